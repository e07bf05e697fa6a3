package projections

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// quarrel does something to the disputes of a payin, in whatever state they are.
func (b *book) quarrel(choose chooser, p *wallet.Payment) {
	base := b.base(p.Merchant, p.Of.Payment)
	if len(p.Disputes) == 0 || choose(4) == 0 {
		b.do(wallet.OpenDispute{
			Base: base, Dispute: b.id("dsp"), Case: b.id("case"), Phase: []wallet.Phase{wallet.PhaseRetrieval, wallet.PhaseChargeback}[choose(2)], Reason: "fraud",
			Amount: []money.Amount{p.Amount, inr("100.00")}[choose(2)], RespondBy: b.now.Add(time.Duration(choose(9)) * 24 * time.Hour), Actor: "operator:asha",
		})
		return
	}
	d := p.Disputes[choose(len(p.Disputes))]
	switch choose(6) {
	case 0:
		b.do(wallet.AttachEvidence{Base: base, Dispute: d.ID, Kind: "other", Note: "n", Submitted: choose(2) == 0, Actor: "operator:asha"})
	case 1:
		b.do(wallet.EscalateDispute{Base: base, Dispute: d.ID, Phase: wallet.PhaseArbitration, Reason: "on", RespondBy: b.now.Add(24 * time.Hour), Actor: "operator:asha"})
	case 2:
		b.do(wallet.ReportDispute{
			Base: base, Gateway: "sandbox", Case: d.Case, Phase: d.Phase, Status: "won", Amount: d.Amount, Fee: inr("0"), Message: b.id("msg"),
		})
	case 3:
		b.do(wallet.SettleDispute{Base: base, Dispute: d.ID, Outcome: wallet.SettleReversed, Amount: d.Lost, Fee: d.Fee, Reason: "back", Actor: "operator:asha"})
	default:
		b.do(wallet.SettleDispute{
			Base: base, Dispute: d.ID, Outcome: wallet.SettleLost, Amount: []money.Amount{d.Amount, inr("40.00")}[choose(2)], Fee: inr("15.00"), Reason: "lost", Actor: "operator:asha",
		})
	}
}

// bookDispute is when a dispute was opened and changed.
type bookDispute struct {
	payment         string
	opened, changed time.Time
	position        eventstore.Position
}

func (b *book) disputed(e wallet.Event, r *eventstore.Record) {
	id := wallet.DisputeOf(e)
	if id == "" {
		return
	}
	d := b.disputes[id]
	if d == nil {
		d = &bookDispute{payment: r.Subject, opened: r.EffectiveAt, position: r.Position()}
		b.disputes[id] = d
	}
	d.changed = r.EffectiveAt
}

// equalDisputes compares the list of disputes, page by page and by each of its filters, with the payments of the book.
func (b *book) equalDisputes(v *Views) {
	b.tb.Helper()
	var all []DisputeEntry
	for _, p := range b.payments {
		for _, d := range p.Disputes {
			at := b.disputes[d.ID]
			all = append(all, DisputeEntry{Dispute: d, Of: p.Of, OpenedAt: at.opened, ChangedAt: at.changed, Position: at.position})
		}
	}
	slices.SortFunc(all, func(x, y DisputeEntry) int { return cmp.Or(x.RespondBy.Compare(y.RespondBy), cmp.Compare(x.ID, y.ID)) })
	running := []wallet.DisputeStatus{wallet.DisputeOpen, wallet.DisputeReview}
	for _, f := range []DisputeFilter{{}, {Limit: 3}, {Statuses: running, Limit: 2}, {Merchant: anna}, {DueBy: b.now.Add(72 * time.Hour)}, {Payment: "txn_none"}} {
		var want []DisputeEntry
		for _, d := range all {
			if (f.Statuses == nil || slices.Contains(f.Statuses, d.Status)) && (f.Merchant == "" || f.Merchant == d.Of.Merchant) &&
				(f.DueBy.IsZero() || !d.RespondBy.After(f.DueBy)) && (f.Payment == "" || f.Payment == d.Of.Payment) {
				want = append(want, d)
			}
		}
		var got []DisputeEntry
		for more := true; more; more = f.Cursor != "" {
			page, err := v.Disputes(context.Background(), f)
			if err != nil {
				b.tb.Fatal(err)
			}
			got, f.Cursor = append(got, page.Items...), page.NextCursor
		}
		if got, want := shown(b.tb, got), shown(b.tb, want); got != want {
			b.tb.Fatalf("disputes of %+v are\n%s\nby the fold\n%s", f, got, want)
		}
	}
	for _, d := range all {
		if got, err := v.Dispute(context.Background(), d.ID); err != nil || shown(b.tb, got) != shown(b.tb, d) {
			b.tb.Fatalf("dispute is %+v (%v), by the fold %+v", got, err, d)
		}
	}
}
