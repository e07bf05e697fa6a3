package batches

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// errWaits says that a batch waits for money, or for those in front of it.
var errWaits = errors.New("the batch waits for the wallet")

// Reasons of what the service decides by itself.
const (
	reasonShort = "the wallet's balance does not cover it"
	reasonUsed  = "its partner_request_id was used before"
	reasonRule  = "the approval rule was changed"
)

// hand is what drawing does on a wallet for one batch.
type hand struct {
	s *Service
	b *batch.Batch
	m *memory // of the batch's job; a new one where there is none
}

func (h hand) base() wallet.Base {
	return wallet.Base{Of: wallet.Of{Merchant: h.b.Merchant, Currency: h.b.Currency, Payment: h.b.Batch}, At: h.s.now()}
}

func (h hand) do(ctx context.Context, c wallet.Command) (wallet.Wallet, error) {
	return h.s.ledger.Reserve(ctx, c, eventstore.Origin{Actor: Actor})
}

func (h hand) look(ctx context.Context) (wallet.Wallet, error) {
	return h.do(ctx, wallet.Look{Base: h.base()})
}

// release ends what is held for a batch that has ended, or that is drawn: what is left goes back to the wallet. It changes nothing when
// nothing is held.
func (h hand) release(ctx context.Context) error {
	if !h.b.Terms.Holds() {
		return nil
	}
	if _, err := h.do(ctx, wallet.ReleaseBatch{Base: h.base(), Done: true}); err != nil {
		return fmt.Errorf("releasing what is held: %w", err)
	}
	return nil
}

// join gives the batch its place in the queue, when it is one for the queue, and returns the wallet then. errWaits when there is no place.
func (h hand) join(ctx context.Context) (wallet.Wallet, error) {
	w, err := h.look(ctx)
	if err != nil || h.b.Terms.Shortage != batch.QueueShort {
		return w, err
	}
	if _, there := w.Reserve(h.b.Batch); there {
		return w, nil
	}
	now, err := h.do(ctx, wallet.QueueBatch{Base: h.base()})
	if domain.CodeOf(err) == domain.Stale {
		return w, fmt.Errorf("%w: %w", errWaits, err)
	}
	return now, err
}

// waits tells whether the batch has to wait, as far as can be told without its items, and gives it its place in the queue; wait is until the
// next look. A batch that has waited for too long is cancelled.
func (h hand) waits(ctx context.Context) (wait time.Duration, waits bool, err error) {
	if h.b.Terms.Shortage != batch.QueueShort {
		return 0, false, nil
	}
	w, err := h.join(ctx)
	if err != nil && !errors.Is(err, errWaits) {
		return 0, false, err
	}
	r, there := w.Reserve(h.b.Batch)
	if waits = !there || !h.first(&w) || h.still(&w, &r); !waits {
		return 0, false, nil
	}
	if over, err := h.expire(ctx, &r); over || err != nil {
		return 0, false, err
	}
	return h.pause(&w), true, nil
}

// still tells whether what the batch waits for is not there yet: the total of an atomic one; of another one the next item, when all that is
// held for is handled.
func (h hand) still(w *wallet.Wallet, r *wallet.Reserve) bool {
	if h.b.Terms.Mode == batch.Atomic {
		return r.Upto < h.b.Count && w.Available.Cmp(h.total()) < 0
	}
	if h.m.Next == nil || h.m.Handled != r.Upto || !r.Left.IsZero() {
		return false
	}
	next, err := h.m.Next.In(h.b.Currency) // a job remembers amounts without their currency
	return err == nil && w.Available.Cmp(next) < 0
}

func (h hand) total() money.Amount { return h.b.Amount.Add(h.b.Commission) }

// pause is how long the batch waits until its next look at the wallet: the first one in the queue looks often, the others the less the more
// are before them.
func (h hand) pause(w *wallet.Wallet) time.Duration {
	place := w.Place(h.b.Batch)
	wait := min(gap(h.m.Waits), walletGap*time.Duration(1+place), lastGap)
	h.m.Waits++
	return wait
}

// rest notes what the batch waits for next.
func (h hand) rest(upto int, next money.Amount) { h.m.Handled, h.m.Next = upto, &next }

// first tells whether the batch need not wait for those in front of it.
func (h hand) first(w *wallet.Wallet) bool {
	r, there := w.Reserve(h.b.Batch)
	return !there || !r.Queued || w.First() == h.b.Batch
}

// holdAll holds the total of an atomic batch. Nothing is held when an item cannot be: then the batch is rejected for it, or waits in the
// queue (errWaits). checked: the items' references were found to be free a moment ago.
func (h hand) holdAll(ctx context.Context, checked bool) error {
	w, err := h.join(ctx)
	if err != nil {
		return err
	}
	r, _ := w.Reserve(h.b.Batch)
	switch {
	case r.Upto == h.b.Count:
		return nil
	case !h.first(&w), h.b.Terms.Shortage == batch.QueueShort && h.still(&w, &r):
		return errWaits
	}
	if !checked {
		item, reason, err := h.s.stopper(ctx, h.b.Of, &w, h.b.Terms.Shortage == batch.QueueShort, h.items(ctx))
		switch {
		case err != nil:
			return err
		case item > 0:
			return h.reject(ctx, item, reason)
		}
	}
	_, err = h.do(ctx, wallet.HoldBatch{Base: h.base(), Upto: h.b.Count, Last: true, Amount: h.total()})
	switch {
	case domain.CodeOf(err) != domain.InsufficientBalance:
		return err
	case h.b.Terms.Shortage == batch.QueueShort:
		return errWaits
	}
	if w, err = h.look(ctx); err != nil {
		return err
	}
	item, reason, err := h.s.stopper(ctx, h.b.Of, &w, false, h.items(ctx))
	switch {
	case err != nil:
		return err
	case item == 0:
		return errWaits // money has come meanwhile
	}
	return h.reject(ctx, item, reason)
}

// reject ends an atomic batch for one of its items. Where another process holds the batch meanwhile, what it holds is released.
func (h hand) reject(ctx context.Context, item int, reason string) error {
	b, err := h.s.ledger.SubmitBatch(ctx, batch.Reject{Base: h.s.base(h.b.Of, Actor), Reason: reason, Item: item}, eventstore.Origin{Actor: Actor})
	if err != nil {
		return err
	}
	*h.b = b
	return h.release(ctx)
}

// claim is what stopper asks of an item.
type claim struct {
	requestID string
	gross     money.Amount
}

// items are the items of the batch as the log has them.
func (h hand) items(ctx context.Context) iter.Seq2[claim, error] {
	return func(yield func(claim, error) bool) {
		err := h.s.ledger.EachChunk(ctx, h.b.Of, 0, 0, func(_ int, _ int64, items []batch.Item) error {
			for n := range items {
				if !yield(claim{items[n].RequestID, items[n].Gross()}, nil) {
					return errStopped
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(claim{}, err)
		}
	}
}

// Stopper returns the index of the first of the items, priced by the merchant's plan, for which they cannot all be held now, and why; 0
// when they can. It promises nothing for later.
func (s *Service) Stopper(ctx context.Context, of batch.Of, items iter.Seq2[Item, error], gross func(money.Amount) (money.Amount, error)) (index int, reason string, err error) {
	w, err := s.ledger.Reserve(ctx, wallet.Look{Base: wallet.Base{Of: wallet.Of{Merchant: of.Merchant, Currency: of.Currency}, At: s.now()}}, eventstore.Origin{Actor: Actor})
	if err != nil {
		return 0, "", err
	}
	return s.stopper(ctx, of, &w, false, func(yield func(claim, error) bool) {
		for i, err := range items {
			c := claim{requestID: i.RequestID}
			if err == nil {
				c.gross, err = gross(i.Amount)
			}
			if !yield(c, err) {
				return
			}
		}
	})
}

// stopper is Stopper on a wallet as it is. Of a batch that waits for money, only references can stop an item.
func (s *Service) stopper(ctx context.Context, of batch.Of, w *wallet.Wallet, waits bool, items iter.Seq2[claim, error]) (index int, reason string, err error) {
	total, n, short := money.Zero(of.Currency), 0, 0
	var keys []string
	used := func() (int, error) {
		first := n - len(keys)
		claimed, err := s.ledger.Claimed(ctx, of.Merchant, keys)
		if err != nil {
			return 0, err
		}
		i := slices.IndexFunc(keys, func(k string) bool { _, taken := claimed[k]; return taken })
		keys = keys[:0]
		return first + i + 1, nil // first when there is none
	}
	for item, err := range items {
		if err != nil {
			return 0, "", err
		}
		if total = total.Add(item.gross); !waits && w.Available.Cmp(total) < 0 {
			short = n + 1
			break
		}
		n++
		if keys = append(keys, wallet.PayoutKey(of.Merchant, item.requestID)); len(keys) < claimsAtOnce {
			continue
		}
		before := n - len(keys)
		if index, err = used(); err != nil || index > before {
			return index, reasonUsed, err
		}
	}
	before := n - len(keys)
	if index, err = used(); err != nil || index > before {
		return index, reasonUsed, err
	}
	if short > 0 {
		return short, reasonShort, nil
	}
	return 0, "", nil
}

// claimsAtOnce is how many references are looked up together.
const claimsAtOnce = 1000

// triesToHold is how often a hold is tried again when the wallet has moved on meanwhile.
const triesToHold = 5

// drawHeld makes the payouts of a chunk as far as money is held for them, and holds more in between, as much as there is. It returns what
// was refused of the whole chunk; errWaits when the rest of it has to wait.
func (h hand) drawHeld(ctx context.Context, items []batch.Item) (refused []batch.Refusal, err error) {
	first, made, missed := items[0].Index, 0, 0 // made or refused; tries to hold in a row that came to nothing
	for range triesToHold * len(items) {
		w, err := h.look(ctx)
		if err != nil {
			return nil, err
		}
		r, _ := w.Reserve(h.b.Batch)
		upto := min(r.Upto-first+1, len(items))
		if upto > made {
			more, err := h.s.initiate(ctx, h.b, items[made:upto])
			if err != nil {
				return nil, err
			}
			refused, made = append(refused, more...), upto
			if made < len(items) {
				continue
			}
		}
		if made == len(items) {
			return refused, nil
		}
		switch err := h.holdMore(ctx, &w, items[made:]); {
		case err == nil:
			missed = 0
		case domain.CodeOf(err) != domain.Stale && domain.CodeOf(err) != domain.InsufficientBalance:
			return nil, err
		default:
			if missed++; missed == triesToHold { // it may have been cancelled
				return nil, errWaits
			}
		}
	}
	return nil, errWaits
}

// holdMore holds for as many of the next items as the wallet can pay. All items in front of them are payouts or refused: so what is left
// of the hold is the refused ones', and goes back first.
func (h hand) holdMore(ctx context.Context, w *wallet.Wallet, items []batch.Item) (err error) {
	r, _ := w.Reserve(h.b.Batch)
	if r.Left.Sign() > 0 {
		_, err := h.do(ctx, wallet.ReleaseBatch{Base: h.base(), Upto: r.Upto, Amount: r.Left})
		return err
	}
	if !h.first(w) {
		return errWaits
	}
	sum, n := money.Zero(h.b.Currency), 0
	for ; n < len(items); n++ {
		next := sum.Add(items[n].Gross())
		if w.Available.Cmp(next) < 0 {
			break
		}
		sum = next
	}
	if n == 0 {
		h.rest(r.Upto, items[0].Gross())
		return errWaits
	}
	last := items[n-1].Index
	_, err = h.do(ctx, wallet.HoldBatch{Base: h.base(), From: r.Upto, Upto: last, Last: last == h.b.Count, Amount: sum})
	return err
}

// expire cancels a batch that has waited for too long; false when it may go on waiting. One without a place in the queue has waited since
// its job first saw that.
func (h hand) expire(ctx context.Context, r *wallet.Reserve) (bool, error) {
	since := r.Since
	if since.IsZero() {
		if h.m.Since.IsZero() {
			h.m.Since = h.s.now()
		}
		since = h.m.Since
	}
	if h.s.now().Sub(since) < h.s.opts.QueueAge {
		return false, nil
	}
	reason := "waited longer than " + h.s.opts.QueueAge.Round(time.Second).String() + " for the wallet's balance"
	b, err := h.s.ledger.SubmitBatch(ctx, batch.Cancel{Base: h.s.base(h.b.Of, Actor), Reason: reason}, eventstore.Origin{Actor: Actor})
	if err != nil {
		return false, err
	}
	*h.b = b
	return true, h.release(ctx)
}
