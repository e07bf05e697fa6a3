package wallet

import (
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Reserve is what a wallet keeps for a payout batch: money that its payouts draw from, and the batch's place in the queue.
type Reserve struct {
	Batch  string       `json:"batch"`
	Left   money.Amount `json:"left"`           // locked, and not drawn yet
	Upto   int          `json:"upto,omitempty"` // index of the last item that may draw; 0: none yet
	Queued bool         `json:"queued,omitempty"`
	Since  time.Time    `json:"since,omitzero"` // when it joined the queue, if it did
}

// MaxReserves bounds the batches that hold something of a wallet, or wait to, at the same time. Those beyond it are refused as
// domain.Stale until others are done.
const MaxReserves = 200

// MaxQueued bounds those of them that wait in the queue, so that there is room for those that do not.
const MaxQueued = 150

// Reserve returns what is kept for a batch.
func (w *Wallet) Reserve(batch string) (Reserve, bool) {
	if i := w.reserved(batch); i >= 0 {
		return w.Reserves[i], true
	}
	return Reserve{}, false
}

func (w *Wallet) reserved(batch string) int {
	return slices.IndexFunc(w.Reserves, func(r Reserve) bool { return r.Batch == batch })
}

// Place is how many batches in the queue stand before this one.
func (w *Wallet) Place(batch string) (place int) {
	for i := range w.Reserves {
		if w.Reserves[i].Batch == batch {
			break
		}
		if w.Reserves[i].Queued {
			place++
		}
	}
	return place
}

// First returns the batch that is first in the queue; "" when there is none.
func (w *Wallet) First() string {
	for i := range w.Reserves {
		if w.Reserves[i].Queued {
			return w.Reserves[i].Batch
		}
	}
	return ""
}

func queueBatch(w *Wallet, c QueueBatch) ([]Event, error) {
	if w.reserved(c.Payment) >= 0 {
		return nil, nil
	}
	queued := 0
	for i := range w.Reserves {
		if w.Reserves[i].Queued {
			queued++
		}
	}
	if queued >= MaxQueued {
		return nil, domain.Errorf(domain.Stale, "%d batches wait for money of this wallet", MaxQueued)
	}
	if err := w.hasRoom(); err != nil {
		return nil, err
	}
	return []Event{&BatchQueued{Of: c.Of, Since: c.At}}, nil
}

func (w *Wallet) hasRoom() error {
	if len(w.Reserves) >= MaxReserves {
		return domain.Errorf(domain.Stale, "%d batches hold money of this wallet, or wait for it", MaxReserves)
	}
	return nil
}

// holdBatch holds for a batch in the queue when it is the first, and for any other once.
func holdBatch(w *Wallet, c HoldBatch) ([]Event, error) {
	r, there := w.Reserve(c.Payment)
	switch {
	case there && !r.Queued && r.Upto == c.Upto:
		return nil, nil
	case r.Upto != c.From || there && !r.Queued:
		return nil, domain.Errorf(domain.Stale, "batch %s is held for up to item %d, not %d", c.Payment, r.Upto, c.From)
	case r.Queued && w.First() != c.Payment:
		return nil, domain.Errorf(domain.Stale, "batch %s is not the first in the queue", c.Payment)
	case c.Upto <= c.From:
		return nil, domain.InvalidField("upto", "must lie behind what is held for already")
	}
	if err := positive(c.Amount, w.Currency); err != nil {
		return nil, err
	}
	if !there {
		if err := w.hasRoom(); err != nil {
			return nil, err
		}
	}
	if err := w.covers(c.Amount); err != nil {
		return nil, err
	}
	return []Event{&BatchHeld{Of: c.Of, Amount: c.Amount, Upto: c.Upto, Last: c.Last}}, nil
}

func releaseBatch(w *Wallet, c ReleaseBatch) ([]Event, error) {
	r, there := w.Reserve(c.Payment)
	switch {
	case c.Done && !there:
		return nil, nil
	case c.Done:
		return []Event{&BatchReleased{Of: c.Of, Amount: r.Left, Done: true}}, nil
	case !there || r.Upto != c.Upto || !r.Left.Equal(c.Amount):
		return nil, domain.Errorf(domain.Stale, "batch %s is held for up to item %d, with %s left", c.Payment, r.Upto, r.Left)
	case r.Left.IsZero():
		return nil, nil
	}
	return []Event{&BatchReleased{Of: c.Of, Amount: r.Left}}, nil
}

// draws refuses what cannot be drawn from a batch's hold: it is not held for, or not any more.
func (w *Wallet) draws(batch string, index int, gross money.Amount) error {
	r, there := w.Reserve(batch)
	if !there || index > r.Upto || r.Left.Cmp(gross) < 0 {
		return domain.Errorf(domain.Stale, "item %d of batch %s is not held for", index, batch)
	}
	return nil
}

// draw takes a payout out of its batch's hold: it stays locked, as the payout's.
func (w *Wallet) draw(e *PayoutInitiated) {
	if i := w.reserved(e.Batch); i >= 0 {
		w.Reserves = slices.Clone(w.Reserves)
		w.Reserves[i].Left = w.Reserves[i].Left.Sub(e.Gross())
	}
}

// reserve brings the reserves behind an event of a batch.
func (w *Wallet) reserve(e Event) {
	batch := e.Header().Payment
	w.Reserves = slices.Clone(w.Reserves)
	i := w.reserved(batch)
	if i < 0 {
		i = len(w.Reserves)
		w.Reserves = append(w.Reserves, Reserve{Batch: batch, Left: money.Zero(w.Currency)})
	}
	r := &w.Reserves[i]
	switch e := e.(type) {
	case *BatchQueued:
		r.Queued, r.Since = true, e.Since
	case *BatchHeld:
		w.lock(e.Amount)
		r.Left, r.Upto = r.Left.Add(e.Amount), e.Upto
		r.Queued = r.Queued && !e.Last
	case *BatchReleased:
		w.lock(e.Amount.Neg())
		r.Left = r.Left.Sub(e.Amount)
		if e.Done {
			w.Reserves = slices.Delete(w.Reserves, i, i+1)
		}
		if len(w.Reserves) == 0 {
			w.Reserves = nil
		}
	}
}
