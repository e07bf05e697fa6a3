package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// batches are those of the partition that is being read. A log without any has none.
type batches struct {
	all    map[batchName]*batchBooks
	near   *batchBooks // that was asked for last: neighbours often share theirs
	count  uint32      // of all partitions
	prints printer
	doubts []doubt
}

type batchName struct{ merchant, batch string }

// batchBooks are what is known of a batch behind the records that were read. It is small, however many its items are: of a chunk that is
// not drawn yet it has a sum, and of the one that is being drawn one bit for each item.
type batchBooks struct {
	state   batch.Batch
	number  uint32 // of its own
	begun   int64  // position of its first record
	lost    bool   // a record of its stream was wrong: what may follow cannot be told
	doubted bool
	sums    batchSums
	chunks  []chunk // those behind state.Drawn; of a batch that has stopped, the first of them
	drawing drawing // of the first chunk
}

// batchSums are money by batch: what its payouts have held, and what has become of it.
type batchSums struct {
	held, paid, refunded money.Amount // by its payouts' own amounts, with commission
	locked               money.Amount // by the postings: of its payouts, and in reserve
	reserve              money.Amount // locked for it, and not drawn yet
	brought              money.Amount // into the reserve, ever
	upto                 int          // index of the last item that may draw from the reserve
	made, ended          int          // payouts
}

// doubt is what looks wrong, but for payouts of the batch that ended by an event without its name, as older programs wrote it. Only the
// whole log tells.
type doubt struct {
	at      eventstore.Position
	begun   int64 // position of the batch's first record
	problem error
}

func newBatches() batches { return batches{prints: newPrinter()} }

// find returns a batch of a merchant; nil for none.
func (b *batches) find(merchantID, id string) *batchBooks {
	if n := b.near; n != nil && n.state.Of.Batch == id && n.state.Merchant == merchantID {
		return n
	}
	found := b.all[batchName{merchantID, id}]
	if found != nil {
		b.near = found
	}
	return found
}

func (b *batches) begin(r *eventstore.Record, e *batch.Submitted) *batchBooks {
	zero := money.Zero(e.Currency)
	b.count++
	begun := &batchBooks{
		state: batch.Batch{Of: e.Of}, number: b.count, begun: r.Seq,
		sums: batchSums{held: zero, paid: zero, refunded: zero, locked: zero, reserve: zero, brought: zero},
	}
	if b.all == nil {
		b.all = map[batchName]*batchBooks{}
	}
	b.all[batchName{e.Merchant, e.Of.Batch}] = begun
	return begun
}

// batchOf is the batch that an event of a wallet names; "" for none.
func batchOf(ev wallet.Event) string {
	switch e := ev.(type) {
	case *wallet.PayoutInitiated:
		return e.Batch
	case *wallet.PayoutSucceeded:
		return e.Batch
	case *wallet.PayoutFailed:
		return e.Batch
	case *wallet.PayoutRefunded:
		return e.Batch
	case *wallet.PayoutReturned:
		return e.Batch
	case *wallet.PayoutPaidAfterRefund:
		return e.Batch
	case *wallet.BatchQueued, *wallet.BatchHeld, *wallet.BatchReleased:
		return ev.Header().Payment
	}
	return ""
}

// noteBatch is note for batches. What is wrong with a chunk is found when it is drawn: it may be older than what was found before.
func (v *verifier) noteBatch(at eventstore.Position, err error, checked int64) {
	f := &v.findings[checkBatches]
	f.checked += checked
	if err != nil && (f.problem == nil || before(at, f.at)) {
		f.at, f.problem = at, err
	}
}

// bookBatch checks an event of a wallet that names a batch, b unless there is none. w is the wallet behind it, locked what its postings have
// locked.
func (v *verifier) bookBatch(r *eventstore.Record, w *wallet.Wallet, ev wallet.Event, id string, b *batchBooks, locked money.Amount) {
	of := ev.Header()
	if b == nil || b.state.Currency != of.Currency {
		v.noteBatch(r.Position(), fmt.Errorf("%s names batch %s, which %s has not submitted in %s", r.Subject, id, of.Merchant, of.Currency), 1)
		return
	}
	wrong := b.allows(r, ev, &v.batches.prints)
	b.sums.add(ev, locked)
	if wrong == nil {
		wrong = b.prove(w, ev)
	}
	v.noteBatch(r.Position(), wrong, 1)
	if s := &b.sums; s.paid.Sign() < 0 || s.refunded.Sign() < 0 {
		v.doubt(b, r.Position(), fmt.Errorf("of the payouts of batch %s, %s are paid and %s refunded", id, s.paid, s.refunded))
	}
}

// add adds an event, and what its postings have locked.
func (s *batchSums) add(ev wallet.Event, locked money.Amount) {
	s.locked = s.locked.Add(locked)
	switch e := ev.(type) {
	case *wallet.PayoutInitiated:
		s.held = s.held.Add(e.Gross())
		s.made++
		if e.FromHold {
			s.reserve = s.reserve.Sub(e.Gross())
		}
	case *wallet.PayoutSucceeded:
		s.paid = s.paid.Add(e.Gross())
		s.ended++
	case *wallet.PayoutFailed:
		s.refunded = s.refunded.Add(e.Gross())
		s.ended++
	case *wallet.PayoutRefunded:
		s.refunded = s.refunded.Add(e.Gross())
		s.ended++
	case *wallet.PayoutReturned:
		s.paid, s.refunded = s.paid.Sub(e.Gross()), s.refunded.Add(e.Gross())
	case *wallet.PayoutPaidAfterRefund:
		s.paid, s.refunded = s.paid.Add(e.Gross()), s.refunded.Sub(e.Gross())
	case *wallet.BatchHeld:
		s.reserve, s.brought, s.upto = s.reserve.Add(e.Amount), s.brought.Add(e.Amount), e.Upto
	case *wallet.BatchReleased:
		s.reserve = s.reserve.Sub(e.Amount)
	}
}

// prove tells whether money by batch does not add up behind an event: held = paid + refunded + still locked, nothing of it negative.
//
// Where events of a payout's end do not name its batch (older programs left the name out), that payout counts as locked for ever: the sums
// still agree, and less is found. Then not all payouts ever end, so that nothing is asked of a batch all of whose payouts have ended.
func (b *batchBooks) prove(w *wallet.Wallet, ev wallet.Event) error {
	s, id := &b.sums, b.state.Of.Batch
	payouts := s.locked.Sub(s.reserve)
	switch {
	case s.reserve.Sign() < 0:
		return fmt.Errorf("%s more is drawn from the hold of batch %s, or released, than was held for it", s.reserve.Neg(), id)
	case s.ended > s.made:
		return fmt.Errorf("of %d payouts of batch %s %d have ended", s.made, id, s.ended)
	case payouts.Sign() < 0:
		return fmt.Errorf("payouts of batch %s give back %s more than they had locked", id, payouts.Neg())
	case !s.held.Equal(s.paid.Add(s.refunded).Add(payouts)):
		return fmt.Errorf("payouts of batch %s have held %s, but %s are paid, %s refunded and %s still locked", id, s.held, s.paid, s.refunded, payouts)
	case s.ended == s.made && !payouts.IsZero():
		return fmt.Errorf("all %d payouts of batch %s have ended, and %s are still locked", s.made, id, payouts)
	}
	if e, ok := ev.(*wallet.BatchReleased); ok && e.Done && !s.reserve.IsZero() {
		return fmt.Errorf("the hold of batch %s is done, and %s of it are still locked", id, s.reserve)
	}
	if !b.state.Terms.Holds() {
		return nil
	}
	if kept, there := w.Reserve(id); there && !kept.Left.Equal(s.reserve) || !there && !s.reserve.IsZero() {
		return fmt.Errorf("the hold of batch %s has %s left, and its wallet keeps another amount", id, s.reserve)
	}
	return nil
}

// allows tells whether an event of a wallet is none that its batch allows, as it is before.
func (b *batchBooks) allows(r *eventstore.Record, ev wallet.Event, prints *printer) error {
	if b.lost {
		return nil
	}
	at := r.EffectiveAt.Add(time.Microsecond) // the decision had a time before it was cut to the log's precision
	switch e := ev.(type) {
	case *wallet.PayoutInitiated:
		if err := b.pays(e, at); err != nil {
			return err
		}
		return b.drawing.add(r, e, prints)
	case *wallet.BatchQueued:
		if b.state.Terms.Shortage != batch.QueueShort {
			return fmt.Errorf("batch %s waits for money, which its terms do not say", e.Payment)
		}
		return b.state.Pays(e.Merchant, at)
	case *wallet.BatchHeld:
		return b.holds(e, at)
	case *wallet.BatchReleased:
		if e.Done {
			return b.state.Spent(e.Merchant)
		}
	}
	return nil
}

// pays tells whether a payout cannot be one of an item that the batch may pay now, at the batch's price and from where it pays.
func (b *batchBooks) pays(e *wallet.PayoutInitiated, at time.Time) error {
	if err := b.state.Draws(e.Merchant, e.Index, at); err != nil {
		return err
	}
	switch holds := b.state.Terms.Holds(); {
	case e.FromHold != holds:
		return fmt.Errorf("item %d of batch %s is drawn from a hold: %t, which its terms say is %t", e.Index, e.Batch, e.FromHold, holds)
	case holds && e.Index > b.sums.upto:
		return fmt.Errorf("item %d of batch %s is drawn, which is held for up to item %d", e.Index, e.Batch, b.sums.upto)
	case e.Fee != b.state.Fee:
		return fmt.Errorf("item %d of batch %s is priced by another plan than the batch", e.Index, e.Batch)
	}
	return nil
}

// holds tells whether something is held that is not due: each item is held for once.
func (b *batchBooks) holds(e *wallet.BatchHeld, at time.Time) error {
	total := b.state.Amount.Add(b.state.Commission)
	switch {
	case !b.state.Terms.Holds():
		return fmt.Errorf("batch %s is held for, which its terms do not say", e.Payment)
	case e.Upto <= b.sums.upto || e.Upto > b.state.Count:
		return fmt.Errorf("batch %s of %d items is held for up to item %d behind item %d", e.Payment, b.state.Count, e.Upto, b.sums.upto)
	case b.state.Terms.Mode == batch.Atomic && (e.Upto != b.state.Count || !e.Amount.Equal(total)):
		return fmt.Errorf("of batch %s all is to be held, %s, or nothing, and %s are held", e.Payment, total, e.Amount)
	case b.sums.brought.Add(e.Amount).Cmp(total) > 0:
		return fmt.Errorf("batch %s of %s is held for with %s", e.Payment, total, b.sums.brought.Add(e.Amount))
	}
	return b.state.Pays(e.Merchant, at)
}

// followBatch checks a record of a batch's stream: it is what the batch's own decision gives. The error is a fault of reading.
func (v *verifier) followBatch(ctx context.Context, r *eventstore.Record, e batch.Event) error {
	of := e.Header()
	b := v.batches.find(of.Merchant, of.Batch)
	if b != nil && b.lost {
		v.noteBatch(r.Position(), nil, 1)
		return nil
	}
	var state batch.Batch
	if b != nil {
		state = b.state
	}
	wrong := undecided(&state, e)
	v.noteBatch(r.Position(), wrong, 1)
	if submitted, begins := e.(*batch.Submitted); begins && b == nil {
		b = v.batches.begin(r, submitted)
	}
	if b == nil || wrong != nil {
		if b != nil {
			b.lost = true
		}
		return nil
	}
	if err := v.goOn(ctx, r, b, e); err != nil {
		return err
	}
	b.state.Evolve(e, r.EffectiveAt)
	return nil
}

// undecided tells whether the batch's decision would not have given the event.
func undecided(b *batch.Batch, e batch.Event) error {
	if drawn, ok := e.(*batch.Drawn); ok && b.Closing == nil && len(drawn.Refused) > 0 { // older programs have not closed such chunks
		closed := &batch.Closed{Of: drawn.Of, Chunk: drawn.Chunk, Refused: drawn.Refused}
		if err := undecided(b, closed); err != nil {
			return err
		}
		then := *b
		then.Evolve(closed, time.Time{})
		b = &then
	}
	events, err := batch.Decide(b, commandOf(b, e))
	switch {
	case err != nil:
		return err
	case len(events) != 1:
		return fmt.Errorf("%s of batch %s repeats what is known", e.Type(), e.Header().Batch)
	}
	switch e := e.(type) {
	case *batch.Approved:
		if want, ok := events[0].(*batch.Approved); !ok || e.Missing != want.Missing {
			return fmt.Errorf("an approval of batch %s says that %d more are missing, of %d that were", e.Batch, e.Missing, b.Missing())
		}
	case *batch.ItemsAdded:
		if want, ok := events[0].(*batch.ItemsAdded); !ok || e.Last != want.Last {
			return fmt.Errorf("chunk %d of batch %s is the last one: %t", e.Chunk, e.Batch, e.Last)
		}
	}
	return nil
}

// commandOf is the command that asks for an event.
func commandOf(b *batch.Batch, e batch.Event) batch.Command {
	base := batch.Base{Of: e.Header()}
	by := func(actor string) batch.Base {
		base.Actor = actor
		return base
	}
	switch e := e.(type) {
	case *batch.Submitted:
		return batch.Submit{
			Base: by(e.Actor), Ref: e.Ref, Digest: e.Digest, Terms: e.Terms, Count: e.Count, Amount: e.Amount, Commission: e.Commission, Fee: e.Fee,
			Columns: e.Columns,
		}
	case *batch.ItemsAdded:
		return batch.AddItems{Base: base, Chunk: e.Chunk, Items: e.Items}
	case *batch.Approved:
		return batch.Approve{Base: by(e.Actor), Rule: b.Terms.Rule, Note: e.Note}
	case *batch.RejectedBy:
		return batch.Reject{Base: by(e.Actor), Reason: e.Reason, Item: e.Item}
	case *batch.CancelledBy:
		return batch.Cancel{Base: by(e.Actor), Reason: e.Reason}
	case *batch.Closed:
		return batch.Close{Base: base, Chunk: e.Chunk, Refused: e.Refused}
	case *batch.Drawn:
		return batch.NoteDrawn{Base: base, Chunk: e.Chunk, Refused: e.Refused}
	case *batch.CompletedAll:
		return batch.Complete{Base: base}
	}
	return batch.Look{Base: base}
}

// goOn does what an event of a batch asks for, of the batch as it is before.
func (v *verifier) goOn(ctx context.Context, r *eventstore.Record, b *batchBooks, e batch.Event) error {
	switch e := e.(type) {
	case *batch.ItemsAdded:
		b.chunks = append(b.chunks, v.batches.prints.chunk(r, e.Items))
	case *batch.Drawn:
		return v.endChunk(ctx, r, b, e)
	case *batch.RejectedBy:
		if b.sums.made > 0 {
			v.noteBatch(r.Position(), fmt.Errorf("batch %s is rejected, of which %d payouts are made", e.Batch, b.sums.made), 0)
		}
		b.stop()
	case *batch.CancelledBy:
		b.stop()
	case *batch.CompletedAll:
		if s := &b.sums; s.ended < s.made {
			v.doubt(b, r.Position(), fmt.Errorf("batch %s is completed, of whose %d payouts %d have ended", e.Batch, s.made, s.ended))
		}
	}
	return nil
}

// stop forgets the chunks that will not be drawn. The one that is being drawn may still be noted.
func (b *batchBooks) stop() {
	if len(b.chunks) > 1 {
		b.chunks = []chunk{b.chunks[0]}
	}
}

// doubt keeps the first thing that looks wrong with a batch.
func (v *verifier) doubt(b *batchBooks, at eventstore.Position, problem error) {
	if !b.doubted {
		b.doubted = true
		v.batches.doubts = append(v.batches.doubts, doubt{at, b.begun, problem})
	}
}

// judge finds what of batches can only be told when everything is known: whether each payout ends in the batch that it began in, and which
// doubts hold. A batch that began behind the newest payout of one that has ended by an event that names none has no such payout.
func (v *verifier) judge(ctx context.Context, found *openFindings) error {
	for _, d := range v.batches.doubts {
		if d.begun > found.unnamed[d.at.Partition] {
			v.noteBatch(d.at, d.problem, 0)
		}
	}
	if f := &v.findings[checkBatches]; found.strange.Seq == 0 || f.problem != nil && !before(found.strange, f.at) {
		return nil
	}
	r, err := v.again(ctx, found.strange)
	if err == nil {
		v.noteBatch(found.strange, fmt.Errorf("%s names another batch than %s began in", r.Type, r.Subject), 0)
	}
	return err
}

// endBatches checks the chunks that are being drawn behind the last record of a partition: nothing else will be asked of its batches.
func (v *verifier) endBatches(ctx context.Context, last eventstore.Position) error {
	var faults []error
	for _, b := range v.batches.all {
		faults = append(faults, v.compare(ctx, last, b))
	}
	v.batches.all, v.batches.near = nil, nil
	return errors.Join(faults...)
}
