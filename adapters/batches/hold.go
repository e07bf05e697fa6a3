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
	s       *Service
	b       *batch.Batch
	handled *int // memory.Handled; for drawHeld only
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
	w, err = h.do(ctx, wallet.QueueBatch{Base: h.base()})
	if domain.CodeOf(err) == domain.Stale {
		return w, fmt.Errorf("%w: %w", errWaits, err)
	}
	return w, err
}

// first tells whether the batch need not wait for those in front of it.
func (h hand) first(w *wallet.Wallet) bool {
	r, there := w.Reserve(h.b.Batch)
	return !there || !r.Queued || w.First() == h.b.Batch
}

// ready sees to what must be so before anything is drawn of a batch that holds: an atomic one is held for as a whole, and another one is the
// first in the queue, or has left it.
func (h hand) ready(ctx context.Context) error {
	if h.b.Terms.Mode == batch.Atomic {
		return h.holdAll(ctx, false)
	}
	w, err := h.join(ctx)
	if err == nil && !h.first(&w) {
		err = errWaits
	}
	return err
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
	case !h.first(&w):
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
	_, err = h.do(ctx, wallet.HoldBatch{Base: h.base(), Upto: h.b.Count, Last: true, Amount: h.b.Amount.Add(h.b.Commission)})
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
	first, made := items[0].Index, 0 // made or refused
	for range triesToHold * len(items) {
		w, err := h.look(ctx)
		if err != nil {
			return nil, err
		}
		r, _ := w.Reserve(h.b.Batch)
		upto := min(r.Upto-first+1, len(items))
		if made == 0 && h.still(&w, items[max(upto, 0):]) {
			return nil, errWaits
		}
		if upto > made {
			more, err := h.s.initiate(ctx, h.b, items[made:upto])
			if err != nil {
				return nil, err
			}
			refused, made = append(refused, more...), upto
			*h.handled = r.Upto
			if made < len(items) {
				continue
			}
		}
		if made == len(items) {
			return refused, nil
		}
		if err := h.holdMore(ctx, &w, items[made:]); err != nil && domain.CodeOf(err) != domain.Stale && domain.CodeOf(err) != domain.InsufficientBalance {
			return nil, err
		}
	}
	return nil, errWaits
}

// still tells whether nothing has changed since the batch began to wait: all that is held for is handled, and the rest of the chunk cannot
// be held for.
func (h hand) still(w *wallet.Wallet, rest []batch.Item) bool {
	r, _ := w.Reserve(h.b.Batch)
	return r.Upto > 0 && r.Upto == *h.handled && r.Left.IsZero() && len(rest) > 0 && w.Available.Cmp(rest[0].Gross()) < 0
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
		return errWaits
	}
	last := items[n-1].Index
	_, err = h.do(ctx, wallet.HoldBatch{Base: h.base(), From: r.Upto, Upto: last, Last: last == h.b.Count, Amount: sum})
	return err
}

// expired cancels a batch that has waited for too long; false when it may go on waiting.
func (h hand) expired(ctx context.Context) (bool, error) {
	w, err := h.look(ctx)
	if err != nil {
		return false, err
	}
	r, there := w.Reserve(h.b.Batch)
	if age := h.s.opts.QueueAge; !there || !r.Queued || h.s.now().Sub(r.Since) < age {
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
