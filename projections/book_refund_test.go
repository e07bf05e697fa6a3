package projections

import (
	"context"
	"slices"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// sendBack does something to the refunds of a payin, in whatever state they are.
func (b *book) sendBack(choose chooser, p *wallet.Payment) {
	base := b.base(p.Merchant, p.Of.Payment)
	if len(p.Refunds) == 0 || choose(3) == 0 {
		b.do(wallet.RefundPayin{
			Base: base, Refund: b.id("rfd"), Reference: b.id("RET"), Amount: []money.Amount{{}, inr("33.33"), inr("100.00")}[choose(3)], Reason: "returned", Actor: "operator:asha",
		})
		return
	}
	r := p.Refunds[choose(len(p.Refunds))]
	if r.Attempts == 0 {
		b.do(wallet.SubmitRefund{Base: base, Refund: r.ID, Attempt: 1})
		return
	}
	b.do(wallet.ReportRefund{
		Base: base, Refund: r.ID, Outcome: []wallet.Outcome{wallet.OutcomePaid, wallet.OutcomeFailed}[choose(2)], RefundID: b.id("rf"), UTR: b.id("utr"), Message: b.id("msg"),
	})
}

// refunded follows what a refund does to its entry in suspense.
func (b *book) refunded(e wallet.Event, r *eventstore.Record) {
	switch e := e.(type) {
	case *wallet.RefundFailed:
		if e.Suspense != "" {
			entry := b.suspense[e.Suspense]
			entry.Status, entry.Reason, entry.Actor = SuspenseOpen, "", ""
			entry.ClosedAt = instant(0)
			b.suspense[e.Suspense] = entry
		}
	case *wallet.RefundPaidAfterFailure:
		if e.From == wallet.FromSuspense {
			b.settle(e.Suspense, SuspenseRefunded, "refund "+e.Refund+" was made after all", e.Actor, r)
		}
	}
}

// equalRefunds compares the list of payins with a refund on its way, page by page, with the payments of the book.
func (b *book) equalRefunds(v *Views) {
	b.tb.Helper()
	var want []string
	for id, p := range b.payments {
		if slices.ContainsFunc(p.Refunds, func(r wallet.Refund) bool { return r.Status == wallet.RefundPending }) {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; {
		page, err := v.Refunding(context.Background(), after, 3)
		if err != nil {
			b.tb.Fatal(err)
		}
		for i := range page {
			after = page[i].Of.Payment
			got = append(got, after)
			if shown(b.tb, page[i].Refunds) != shown(b.tb, b.payments[after].Refunds) {
				b.tb.Fatalf("refunds of %s are %+v, by the fold %+v", after, page[i].Refunds, b.payments[after].Refunds)
			}
		}
		if len(page) < 3 {
			break
		}
	}
	if !slices.Equal(got, want) {
		b.tb.Fatalf("refunds are on their way of %v, by the fold of %v", got, want)
	}
}
