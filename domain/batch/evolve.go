package batch

import (
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Evolve brings the batch behind an event, whose value date is at. It cannot fail.
func (b *Batch) Evolve(e Event, at time.Time) {
	switch e := e.(type) {
	case *Submitted:
		*b = Batch{
			Of: e.Of, Ref: e.Ref, Digest: e.Digest, Terms: e.Terms, Status: Receiving, Count: e.Count,
			Amount: e.Amount, Commission: e.Commission, Fee: e.Fee, By: e.Actor, At: at,
			amount: money.Zero(e.Currency), commission: money.Zero(e.Currency),
		}
	case *ItemsAdded:
		b.Received = e.Chunk
		b.items += len(e.Items)
		for n := range e.Items {
			b.amount, b.commission = b.amount.Add(e.Items[n].Amount), b.commission.Add(e.Items[n].Commission)
		}
		if b.items == b.Count {
			b.Status = Awaiting
			if b.Missing() == 0 {
				b.Status = Processing
			}
		}
	case *Approved:
		b.Approvals = append(slices.Clone(b.Approvals), e.Actor)
		if e.Missing == 0 {
			b.Status, b.Decided = Processing, e.Actor
		}
	case *RejectedBy:
		b.Status, b.Decided, b.Reason, b.Stopper = Rejected, e.Actor, e.Reason, e.Item
	case *CancelledBy:
		b.Status, b.Decided, b.Reason = Cancelled, e.Actor, e.Reason
	case *Closed:
		b.Closing = e.Refused
	case *Drawn:
		b.Drawn, b.Closing = e.Chunk, nil
		b.Refused += len(e.Refused)
	case *CompletedAll:
		b.Status = Completed
	}
}
