package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// walletBooks are the sums of a wallet's postings, by account.
type walletBooks struct {
	available, locked, receivable accountSum
}

// accountSum is what the postings to an account add up to: credits, less debits.
type accountSum struct {
	account string
	sum     money.Amount
}

func newBooks(merchantID string, c money.Currency) walletBooks {
	zero := money.Zero(c)
	return walletBooks{
		accountSum{wallet.AccountAvailable(merchantID), zero},
		accountSum{wallet.AccountLocked(merchantID), zero},
		accountSum{wallet.AccountReceivable(merchantID), zero},
	}
}

// event decodes a record. Nil unless it can be read, and is in its place.
func (v *verifier) event(r *eventstore.Record, s *stream) any {
	fact, err := DecodeFact(r)
	if err == nil {
		err = misplaced(r, s, fact)
	}
	v.note(checkEvents, r.Position(), err, 1)
	if err != nil {
		return nil
	}
	return fact
}

// book checks what an event does to the books of a wallet. The error is a fault of counting.
func (v *verifier) book(r *eventstore.Record, s *stream, ev wallet.Event, postings []wallet.Posting) error {
	if s.wallet == nil {
		of := ev.Header()
		s.wallet, s.books = wallet.NewWallet(of.Merchant, of.Currency), newBooks(of.Merchant, of.Currency)
	}
	s.wallet.Evolve(ev)
	var number uint32
	var of *batchBooks
	id := batchOf(ev)
	if id != "" {
		if of = v.batches.find(ev.Header().Merchant, id); of != nil {
			number = of.number
		}
	}
	locked, wrong, err := v.post(r, s, ev, postings, number)
	if err != nil {
		return err
	}
	v.note(checkPostings, r.Position(), wrong, 1)
	if id != "" {
		v.bookBatch(r, s.wallet, ev, id, of, locked)
	}
	v.note(checkBalances, r.Position(), s.balances(), 1)
	wrong = nil
	if holds := s.books.locked.sum; !holds.Equal(s.wallet.Locked) {
		wrong = fmt.Errorf("locked is %s, and the open holds add up to %s", s.wallet.Locked, holds)
	}
	v.note(checkOpenHolds, r.Position(), wrong, 1)
	return nil
}

// misplaced tells whether a record stands under another stream or subject than its event is about.
func misplaced(r *eventstore.Record, s *stream, fact any) error {
	var stream, subject string
	switch e := fact.(type) {
	case wallet.Event:
		of := e.Header()
		if w := s.wallet; w != nil && of.Merchant == w.Merchant && of.Currency == w.Currency && of.Payment == r.Subject {
			return nil // as good as always: the wallet was found to be of this stream
		}
		stream, subject = wallet.Stream(of.Merchant, of.Currency), of.Payment
	case merchant.Event:
		kind, _, _ := strings.Cut(r.Type, ".")
		stream, subject = kind+":"+e.Subject(), e.Subject()
	case batch.Event:
		of := e.Header()
		stream, subject = batch.Stream(of.Merchant, of.Batch), of.Batch
	case books.Event:
		stream, subject = books.Stream, e.Topic()
	case reconcile.Event:
		stream, subject = reconcile.Stream(e.Header().Source), e.Topic()
	}
	if r.Stream != stream || r.Subject != subject {
		return fmt.Errorf("an event about %s of %s stands under %s of %s", subject, stream, r.Subject, r.Stream)
	}
	return nil
}

// post sums the event's postings into the books, and returns what they have locked. number is that of the batch which it names, wrong says
// that the postings do not balance. What a payment gives back too much is found at the end, by overdrawn.
func (v *verifier) post(
	r *eventstore.Record, s *stream, ev wallet.Event, postings []wallet.Posting, number uint32,
) (locked money.Amount, wrong, err error) {
	zero := money.Zero(s.wallet.Currency)
	sum, suspended := zero, zero
	locked = zero
	for _, p := range postings {
		change := p.Credit.Sub(p.Debit)
		sum = sum.Add(change)
		switch p.Account {
		case s.books.available.account:
			s.books.available.sum = s.books.available.sum.Add(change)
		case s.books.locked.account:
			s.books.locked.sum = s.books.locked.sum.Add(change)
			locked = locked.Add(change)
		case s.books.receivable.account:
			s.books.receivable.sum = s.books.receivable.sum.Add(change)
		case wallet.AccountSuspense:
			suspended = suspended.Add(change)
		}
	}
	if !sum.IsZero() {
		wrong = fmt.Errorf("credits exceed debits by %s", sum)
	}
	if err := v.open.add(itemLocked, r, r.Subject, locked, number); err != nil {
		return locked, wrong, err
	}
	if p, ok := ev.(*wallet.PayoutInitiated); ok && p.FromHold {
		if err := v.draw(r, p, number); err != nil {
			return locked, wrong, err
		}
	}
	return locked, wrong, v.open.add(itemSuspended, r, r.Subject, suspended, 0)
}

// draw moves what a payout draws from its batch's hold to the payout: no posting says so, since it stays locked.
func (v *verifier) draw(r *eventstore.Record, p *wallet.PayoutInitiated, number uint32) error {
	if err := v.open.add(itemLocked, r, p.Batch, p.Gross().Neg(), number); err != nil {
		return err
	}
	return v.open.add(itemLocked, r, r.Subject, p.Gross(), number)
}

// overdrawn finds the first record by which a payment, or the hold of a batch, gives back more than it has open; and what of batches can
// only be told when everything is known.
func (v *verifier) overdrawn(ctx context.Context) error {
	found, err := v.open.findings()
	if err != nil {
		return err
	}
	if err := v.judge(ctx, &found); err != nil {
		return err
	}
	at := found.at
	if f := &v.findings[checkPostings]; at.Seq == 0 || f.problem != nil && before(f.at, at) {
		return nil
	}
	r, err := v.again(ctx, at)
	if err != nil {
		return err
	}
	problem := fmt.Errorf("%s gives back more than it had locked", r.Subject)
	switch {
	case found.kind == itemSuspended:
		problem = fmt.Errorf("%s takes more out of suspense than it had there", r.Subject)
	case r.Type == (*wallet.PayoutInitiated).Type(nil):
		problem = fmt.Errorf("%s draws more than its batch had locked", r.Subject)
	}
	v.findings[checkPostings].at, v.findings[checkPostings].problem = at, problem
	return nil
}

// again reads a record for the second time.
func (v *verifier) again(ctx context.Context, at eventstore.Position) (r eventstore.Record, err error) {
	records, err := v.log.Read(ctx, at.Partition, at.Seq-1, 1)
	if err != nil {
		return r, err
	}
	if len(records) == 0 || records[0].Position() != at {
		return r, fmt.Errorf("%w: record %s was there, and is not any more", eventstore.ErrBroken, at)
	}
	return records[0], nil
}

// balances compares a wallet with its books.
func (s *stream) balances() error {
	w := s.wallet
	if w.Available.Sign() < 0 || w.Locked.Sign() < 0 || w.Owed.Sign() < 0 {
		return fmt.Errorf("wallet of %s: available %s, locked %s, owed %s", w.Merchant, w.Available, w.Locked, w.Owed)
	}
	owed := s.books.receivable.sum.Neg()
	if s.books.available.sum.Equal(w.Available) && s.books.locked.sum.Equal(w.Locked) && owed.Equal(w.Owed) {
		return nil
	}
	for _, a := range []struct {
		name      string
		got, want money.Amount
	}{
		{"available", s.books.available.sum, w.Available},
		{"locked", s.books.locked.sum, w.Locked},
		{"receivable", s.books.receivable.sum, w.Owed.Neg()},
	} {
		if !a.got.Equal(a.want) {
			return fmt.Errorf("account %s of %s: postings add up to %s, the wallet says %s", a.name, w.Merchant, a.got, a.want)
		}
	}
	return nil
}
