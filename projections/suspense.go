package projections

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/domain/wallet"
)

// suspense holds the payments that fit no payin.
type suspense struct{}

func (suspense) name() string       { return "suspense" }
func (suspense) version() int64     { return 2 }
func (suspense) shape() int64       { return 1 }
func (suspense) schemas() []*schema { return []*schema{&suspenseTable.schema} }

// suspenseRow is an entry; amounts in minor units.
type suspenseRow struct {
	id, merchant, payment   string
	status                  string
	currency                string
	amount, asked           int64
	gateway, paymentID, utr string
	cause                   string // why it went to suspense
	openedAt                int64
	partition, seq, changed int64 // of the record that opened it, and of the last one
	closedAt                int64
	reason, actor           string // of closing it
}

var suspenseTable = newTable(schema{
	name: "suspense", key: 2, indexes: []index{{name: "status", columns: "status, opened_at, id"}},
}, []column[suspenseRow]{
	{"id", func(r *suspenseRow) any { return &r.id }},
	{"merchant", func(r *suspenseRow) any { return &r.merchant }},
	{"payment", func(r *suspenseRow) any { return &r.payment }},
	{"status", func(r *suspenseRow) any { return &r.status }},
	{"currency", func(r *suspenseRow) any { return &r.currency }},
	{"amount", func(r *suspenseRow) any { return &r.amount }},
	{"asked", func(r *suspenseRow) any { return &r.asked }},
	{"gateway", func(r *suspenseRow) any { return &r.gateway }},
	{"payment_id", func(r *suspenseRow) any { return &r.paymentID }},
	{"utr", func(r *suspenseRow) any { return &r.utr }},
	{"cause", func(r *suspenseRow) any { return &r.cause }},
	{"opened_at", func(r *suspenseRow) any { return &r.openedAt }},
	{"partition", func(r *suspenseRow) any { return &r.partition }},
	{"seq", func(r *suspenseRow) any { return &r.seq }},
	{"changed", func(r *suspenseRow) any { return &r.changed }},
	{"closed_at", func(r *suspenseRow) any { return &r.closedAt }},
	{"reason", func(r *suspenseRow) any { return &r.reason }},
	{"actor", func(r *suspenseRow) any { return &r.actor }},
})

func (suspense) apply(ctx context.Context, w *writer, _ *cache, generation int64, facts []fact) error {
	entries := map[paymentKey]*suspenseRow{}
	var closed []string
	for i := range facts {
		switch e := facts[i].wallet.(type) {
		case *wallet.SuspenseCredited:
			closed = append(closed, e.Suspense)
		case *wallet.SuspenseRefunded:
			closed = append(closed, e.Suspense)
		case *wallet.DisputeLost:
			closed = append(closed, e.Suspense)
		case *wallet.DisputeReversed:
			closed = append(closed, e.Suspense)
		case *wallet.RefundFailed:
			closed = append(closed, e.Suspense)
		case *wallet.RefundPaidAfterFailure:
			closed = append(closed, e.Suspense)
		}
	}
	rows, err := suspenseTable.load(ctx, w, generation, "id", closed)
	if err != nil {
		return err
	}
	for i := range rows {
		entries[paymentKey{rows[i].merchant, rows[i].id}] = &rows[i]
	}
	changed := map[paymentKey]bool{}
	for i := range facts {
		key, err := evolveSuspense(entries, &facts[i])
		if err != nil {
			return err
		}
		if key.id != "" {
			changed[key] = true
		}
	}
	var out []suspenseRow
	for key := range changed {
		out = append(out, *entries[key])
	}
	return suspenseTable.merge(ctx, w, generation, out)
}

// evolveSuspense folds a fact into its entry and returns the entry's key; without an id when the fact is about none.
func evolveSuspense(entries map[paymentKey]*suspenseRow, f *fact) (paymentKey, error) {
	var key paymentKey
	r := f.record
	switch e := f.wallet.(type) {
	case *wallet.PayinSuspended:
		key = paymentKey{e.Merchant, e.Suspense}
		amount, fits := e.Amount.Minor()
		asked, fitsToo := e.Asked.Minor()
		if !fits || !fitsToo {
			return key, fmt.Errorf("record %s: %s or %s does not fit 64 bits", r.Position(), e.Amount, e.Asked)
		}
		entries[key] = &suspenseRow{
			id: e.Suspense, merchant: e.Merchant, payment: e.Payment, status: string(SuspenseOpen), currency: string(e.Currency),
			amount: amount, asked: asked, gateway: e.Gateway, paymentID: e.PaymentID, utr: e.UTR, cause: e.Reason,
			openedAt: micros(r.EffectiveAt), partition: int64(r.Partition), seq: r.Seq, changed: r.Seq,
		}
	case *wallet.SuspenseCredited:
		key = paymentKey{e.Merchant, e.Suspense}
		return key, closeSuspense(entries[key], f, SuspenseCredited, e.Reason, e.Actor)
	case *wallet.SuspenseRefunded:
		key = paymentKey{e.Merchant, e.Suspense}
		return key, closeSuspense(entries[key], f, SuspenseRefunded, e.Reason, e.Actor)
	case *wallet.DisputeLost:
		if e.Suspense == "" {
			return key, nil
		}
		key = paymentKey{e.Merchant, e.Suspense}
		return key, closeSuspense(entries[key], f, SuspenseRefunded, "dispute "+e.Dispute+" lost: "+e.Reason, e.Actor)
	case *wallet.DisputeReversed:
		if e.Suspense == "" || e.Amount.IsZero() {
			return key, nil
		}
		key = paymentKey{e.Merchant, e.Suspense}
		return key, reopenSuspense(entries[key], f)
	case *wallet.RefundFailed:
		if e.Suspense == "" {
			return key, nil
		}
		key = paymentKey{e.Merchant, e.Suspense}
		return key, reopenSuspense(entries[key], f)
	case *wallet.RefundPaidAfterFailure:
		if e.From != wallet.FromSuspense {
			return key, nil
		}
		key = paymentKey{e.Merchant, e.Suspense}
		return key, closeSuspense(entries[key], f, SuspenseRefunded, "refund "+e.Refund+" was made after all", e.Actor)
	}
	return key, nil
}

// reopenSuspense: the money is there again.
func reopenSuspense(entry *suspenseRow, f *fact) error {
	err := closeSuspense(entry, f, SuspenseOpen, "", "")
	if err == nil {
		entry.closedAt = 0
	}
	return err
}

func closeSuspense(entry *suspenseRow, f *fact, status SuspenseStatus, reason, actor string) error {
	if entry == nil {
		return fmt.Errorf("record %s: it closes a suspense entry that was never opened", f.record.Position())
	}
	entry.status, entry.reason, entry.actor = string(status), reason, actor
	entry.closedAt, entry.changed = micros(f.record.EffectiveAt), f.record.Seq
	return nil
}
