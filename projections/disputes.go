package projections

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// disputes holds the claims of customers' banks on payins.
type disputes struct{}

func (disputes) name() string       { return "disputes" }
func (disputes) version() int64     { return 1 }
func (disputes) shape() int64       { return 1 }
func (disputes) schemas() []*schema { return []*schema{&disputeTable.schema} }

// disputeRow is a wallet.Dispute, and where its records stand. Amounts in minor units.
type disputeRow struct {
	id, merchant, payment   string
	caseID, gateway         string
	paymentID, suspense     string
	phase, reason, status   string
	currency                string
	amount, held, lost, fee int64
	respondBy               int64
	documents, bytes        int64
	platform                int64
	openedAt, changedAt     int64
	partition, seq, changed int64 // of the record that opened it, and of the last one
}

var disputeTable = newTable(schema{
	name: "disputes", key: 2,
	indexes: []index{{name: "deadline", columns: "status, respond_by, id"}, {name: "merchant", columns: "merchant, respond_by, id"}, {name: "payment", columns: "payment"}},
}, []column[disputeRow]{
	{"id", func(r *disputeRow) any { return &r.id }},
	{"merchant", func(r *disputeRow) any { return &r.merchant }},
	{"payment", func(r *disputeRow) any { return &r.payment }},
	{"case_id", func(r *disputeRow) any { return &r.caseID }},
	{"gateway", func(r *disputeRow) any { return &r.gateway }},
	{"payment_id", func(r *disputeRow) any { return &r.paymentID }},
	{"suspense", func(r *disputeRow) any { return &r.suspense }},
	{"phase", func(r *disputeRow) any { return &r.phase }},
	{"reason", func(r *disputeRow) any { return &r.reason }},
	{"status", func(r *disputeRow) any { return &r.status }},
	{"currency", func(r *disputeRow) any { return &r.currency }},
	{"amount", func(r *disputeRow) any { return &r.amount }},
	{"held", func(r *disputeRow) any { return &r.held }},
	{"lost", func(r *disputeRow) any { return &r.lost }},
	{"fee", func(r *disputeRow) any { return &r.fee }},
	{"respond_by", func(r *disputeRow) any { return &r.respondBy }},
	{"documents", func(r *disputeRow) any { return &r.documents }},
	{"bytes", func(r *disputeRow) any { return &r.bytes }},
	{"platform", func(r *disputeRow) any { return &r.platform }},
	{"opened_at", func(r *disputeRow) any { return &r.openedAt }},
	{"changed_at", func(r *disputeRow) any { return &r.changedAt }},
	{"partition", func(r *disputeRow) any { return &r.partition }},
	{"seq", func(r *disputeRow) any { return &r.seq }},
	{"changed", func(r *disputeRow) any { return &r.changed }},
})

func (disputes) apply(ctx context.Context, w *writer, _ *cache, generation int64, facts []fact) error {
	var known []string
	about := make([]string, len(facts))
	for i := range facts {
		if facts[i].wallet == nil {
			continue
		}
		about[i] = wallet.DisputeOf(facts[i].wallet)
		if _, opened := facts[i].wallet.(*wallet.DisputeOpened); about[i] != "" && !opened {
			known = append(known, about[i])
		}
	}
	rows, err := disputeTable.load(ctx, w, generation, "id", known)
	if err != nil {
		return err
	}
	found := map[paymentKey]*disputeRow{}
	for i := range rows {
		found[paymentKey{rows[i].merchant, rows[i].id}] = &rows[i]
	}
	changed := map[paymentKey]*disputeRow{}
	for i := range facts {
		if about[i] == "" {
			continue
		}
		key := paymentKey{facts[i].wallet.Header().Merchant, about[i]}
		row := found[key]
		if row == nil {
			row = &disputeRow{}
			found[key] = row
		}
		if err := row.evolve(&facts[i]); err != nil {
			return err
		}
		changed[key] = row
	}
	out := make([]disputeRow, 0, len(changed))
	for _, row := range changed {
		out = append(out, *row)
	}
	return disputeTable.merge(ctx, w, generation, out)
}

// evolve folds a fact about the dispute.
func (r *disputeRow) evolve(f *fact) error {
	of, at := f.wallet.Header(), micros(f.record.EffectiveAt)
	if _, opened := f.wallet.(*wallet.DisputeOpened); opened {
		*r = disputeRow{
			merchant: of.Merchant, payment: of.Payment, currency: string(of.Currency), openedAt: at,
			partition: int64(f.record.Partition), seq: f.record.Seq,
		}
	} else if r.id == "" {
		return fmt.Errorf("record %s: it is about dispute %s, which was never opened", f.record.Position(), wallet.DisputeOf(f.wallet))
	}
	d := r.dispute()
	d.Evolve(f.wallet, f.record.EffectiveAt)
	r.changedAt, r.changed = at, f.record.Seq
	return r.fill(&d)
}

// fill sets what the dispute determines.
func (r *disputeRow) fill(d *wallet.Dispute) error {
	r.id, r.caseID, r.gateway, r.phase, r.reason, r.status = d.ID, d.Case, d.Gateway, string(d.Phase), d.Reason, string(d.Status)
	r.paymentID, r.suspense, r.platform = d.PaymentID, d.Suspense, flag(d.Platform)
	r.respondBy, r.documents, r.bytes = micros(d.RespondBy), int64(d.Documents), int64(d.Bytes)
	for _, a := range []struct {
		to   *int64
		from money.Amount
	}{{&r.amount, d.Amount}, {&r.held, d.Held}, {&r.lost, d.Lost}, {&r.fee, d.Fee}} {
		var fits bool
		if *a.to, fits = a.from.Minor(); !fits {
			return fmt.Errorf("dispute %s: %s does not fit 64 bits", r.id, a.from)
		}
	}
	return nil
}

// dispute undoes fill.
func (r *disputeRow) dispute() wallet.Dispute {
	amount := func(minor int64) money.Amount { return money.FromMinor(minor, money.Currency(r.currency)) }
	return wallet.Dispute{
		ID: r.id, Case: r.caseID, Gateway: r.gateway, Phase: wallet.Phase(r.phase), Reason: r.reason, Status: wallet.DisputeStatus(r.status),
		Amount: amount(r.amount), Held: amount(r.held), Lost: amount(r.lost), Fee: amount(r.fee),
		RespondBy: instant(r.respondBy), Documents: int(r.documents), Bytes: int(r.bytes), At: instant(r.changedAt),
		PaymentID: r.paymentID, Suspense: r.suspense, Platform: r.platform != 0,
	}
}
