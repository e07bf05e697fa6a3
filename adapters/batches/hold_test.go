package batches_test

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

var (
	atomicTerms = batch.Terms{Approval: batch.NoApproval, Mode: batch.Atomic}
	queueTerms  = batch.Terms{Approval: batch.NoApproval, Shortage: batch.QueueShort}
)

// under submits a batch of payouts of 1000 at 10 under terms.
func (w *world) under(s *batches.Service, ref string, terms batch.Terms, items iter.Seq2[batches.Item, error], count int) (batch.Batch, error) {
	r := request(ref, count)
	r.Terms = terms
	b, _, err := s.Submit(w.t.Context(), r, items)
	return b, err
}

func (w *world) mustUnder(s *batches.Service, ref string, terms batch.Terms, count int) batch.Batch {
	w.t.Helper()
	b, err := w.under(s, ref, terms, named(ref, count), count)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// named are lines with references of their own.
func named(ref string, count int) iter.Seq2[batches.Item, error] {
	return func(yield func(batches.Item, error) bool) {
		for i, err := range lines(count, 0) {
			i.RequestID = ref + "-" + i.RequestID
			if !yield(i, err) {
				return
			}
		}
	}
}

// reserve is what the wallet keeps for a batch.
func (w *world) reserve(id string) (wallet.Reserve, bool) {
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	return w.books.wallet.Reserve(id)
}

// made are the indexes of a batch's payouts, in the order of the log.
func (w *world) made(id string) (list []int) {
	w.t.Helper()
	records, _ := w.books.since(0)
	for _, r := range records {
		if r.Type != "payout.initiated" {
			continue
		}
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		if p := e.(*wallet.PayoutInitiated); p.Batch == id {
			list = append(list, p.Index)
		}
	}
	return list
}

// balances are what must be available and locked, in payouts of 1010 each.
func (w *world) balances(available, locked int) {
	w.t.Helper()
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	if l := w.books.wallet; !l.Available.Equal(inr(fmt.Sprint(available*1010))) || !l.Locked.Equal(inr(fmt.Sprint(locked*1010))) {
		w.t.Errorf("available %s, locked %s; want %d and %d payouts of 1010", l.Available, l.Locked, available, locked)
	}
}

func (w *world) released(id string) {
	w.t.Helper()
	w.until("its hold is released", func() bool { _, held := w.reserve(id); return !held })
}

func TestAtomic(t *testing.T) {
	t.Parallel()
	const count = batch.ChunkSize + 7
	w := newWorld(t, fmt.Sprint((count+1)*1010))
	s, _ := w.service("work.db", immortal)
	b := w.mustUnder(s, "MARCH", atomicTerms, count)
	if r, _ := w.reserve(b.Batch); r.Upto != count || !r.Left.Equal(inr(fmt.Sprint(count*1010))) {
		t.Errorf("behind the answer %+v is held", r)
	}
	w.balances(1, count)
	w.run(s)
	w.released(b.Batch)
	w.consistent(b.Batch, count)
	w.balances(1, count)
	w.books.settle(wallet.Success)
	w.untilStatus(b.Batch, batch.Completed)
}

// An atomic batch that the balance does not cover is rejected for its first item that is too much, at once or when its time has come, and
// nothing is held.
func TestAtomicTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "300000")
	s, _ := w.service("work.db", immortal)
	b := w.mustUnder(s, "MARCH", atomicTerms, 300)
	if b.Status != batch.Rejected || b.Stopper != 298 {
		t.Errorf("%+v", b)
	}
	later := atomicTerms
	later.Approval = batch.ApprovalRequired
	c := w.mustUnder(s, "APRIL", later, 300)
	w.run(s)
	if _, err := s.Approve(t.Context(), c.Of, "", eventstore.Origin{Actor: "key:ravi"}); err != nil {
		t.Fatal(err)
	}
	w.untilStatus(c.Batch, batch.Rejected)
	if got := w.batch(c.Batch); got.Stopper != 298 || !strings.Contains(got.Reason, "balance") {
		t.Errorf("%+v", got)
	}
	if _, held := w.reserve(c.Batch); held || w.made(b.Batch) != nil || w.made(c.Batch) != nil {
		t.Error("something of it is held")
	}
}

// A reference that was used before stops an atomic batch.
func TestAtomicWithAUsedReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1010000")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	before := w.mustSubmit(s, "BEFORE", 1)
	w.until("it is drawn", func() bool { return w.batch(before.Batch).Drawn == 1 })
	late := atomicTerms
	late.ScheduleAt = time.Now().Add(time.Hour)
	b, err := w.under(s, "MARCH", late, func(yield func(batches.Item, error) bool) {
		for i, err := range named("MARCH", 400) {
			if i.RequestID == "MARCH-R-333" {
				i.RequestID = "R-1"
			}
			if !yield(i, err) {
				return
			}
		}
	}, 400)
	if err != nil {
		t.Fatal(err)
	}
	w.ahead.Store(int64(2 * time.Hour))
	w.untilStatus(b.Batch, batch.Rejected)
	if got := w.batch(b.Batch); got.Stopper != 333 || w.made(b.Batch) != nil {
		t.Errorf("%+v, %v", got, w.made(b.Batch))
	}
	w.balances(999, 1)
}

// Before it is taken in, a batch can be asked what would stop it.
func TestStopper(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "5000")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	before := w.mustSubmit(s, "BEFORE", 1)
	w.until("it is drawn", func() bool { return w.batch(before.Batch).Drawn == 1 })
	gross := func(a money.Amount) (money.Amount, error) { return a.Add(inr("10")), nil }
	for _, c := range []struct {
		name  string
		items iter.Seq2[batches.Item, error]
		want  int
		word  string
	}{
		{"all can be paid", named("X", 3), 0, ""},
		{"the fourth cannot", named("X", 1500), 4, "balance"},
		{"the first was used", lines(2, 0), 1, "partner_request_id"},
		{"the first was used, and too many", lines(1500, 0), 1, "partner_request_id"},
	} {
		index, reason, err := s.Stopper(t.Context(), ofBatch(""), c.items, gross)
		if err != nil || index != c.want || !strings.Contains(reason, c.word) || (reason == "") != (index == 0) {
			t.Errorf("%s: %d, %q, %v", c.name, index, reason, err)
		}
	}
	if _, _, err := s.Stopper(t.Context(), ofBatch(""), lines(3, 2), gross); err == nil {
		t.Error("an item that cannot be read stops nothing")
	}
}

// Items wait for money in strict order: what is behind one that is too dear waits with it, and what is outside the queue does not.
func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "2525") // two and a half
	s, _ := w.service("work.db", immortal)
	w.run(s)
	b, err := w.under(s, "MARCH", queueTerms, func(yield func(batches.Item, error) bool) {
		for i, err := range named("MARCH", 6) {
			switch i.RequestID {
			case "MARCH-R-3":
				i.Amount = inr("2000")
			case "MARCH-R-4":
				i.Amount = inr("1")
			case "MARCH-R-5":
				i.Amount = inr("999")
			}
			if !yield(i, err) {
				return
			}
		}
	}, 6)
	if err != nil {
		t.Fatal(err)
	}
	w.until("two are paid", func() bool { return len(w.made(b.Batch)) == 2 })
	next := w.mustUnder(s, "APRIL", queueTerms, 1)
	w.until("the next one is in the queue", func() bool { r, _ := w.reserve(next.Batch); return r.Queued })
	outside := w.mustUnder(s, "SMALL", batch.Terms{Approval: batch.NoApproval}, 1)
	w.until("what is outside the queue is decided", func() bool { return w.batch(outside.Batch).Drawn == 1 })
	if got := w.batch(outside.Batch); got.Refused != 1 {
		t.Errorf("%+v, of 505", got)
	}
	if r, _ := w.reserve(b.Batch); r.Upto != 2 || !r.Queued || w.made(next.Batch) != nil {
		t.Errorf("%+v, and behind it %v", r, w.made(next.Batch))
	}
	w.books.adjust("1506") // 2011: for the third and not the fourth
	w.until("the third is paid", func() bool { return len(w.made(b.Batch)) == 3 })
	w.books.adjust("3039") // 3040: to the paisa
	w.until("all are paid", func() bool { return w.allDrawn(b.Batch) && w.allDrawn(next.Batch) })
	if made := w.made(b.Batch); !slices.Equal(made, []int{1, 2, 3, 4, 5, 6}) {
		t.Errorf("in the order %v", made)
	}
	w.released(b.Batch)
	w.released(next.Batch)
}

// A refused item in the queue gives back what was held for it, and the next one has it.
func TestQueueWithAUsedReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "3030") // three
	s, _ := w.service("work.db", immortal)
	w.run(s)
	before := w.mustSubmit(s, "BEFORE", 1)
	w.until("it is drawn", func() bool { return w.batch(before.Batch).Drawn == 1 })
	b, err := w.under(s, "MARCH", queueTerms, lines(3, 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	w.until("it is drawn", func() bool { return w.allDrawn(b.Batch) })
	w.released(b.Batch)
	if made := w.made(b.Batch); !slices.Equal(made, []int{2, 3}) || w.batch(b.Batch).Refused != 1 {
		t.Errorf("paid %v, %+v", made, w.batch(b.Batch))
	}
	w.balances(0, 3)
}

// An atomic batch in the queue waits for all of its money, and what is behind it waits with it.
func TestAtomicInTheQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "5050")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	both := atomicTerms
	both.Shortage = batch.QueueShort
	b := w.mustUnder(s, "MARCH", both, 6)
	w.until("it is in the queue", func() bool { r, _ := w.reserve(b.Batch); return r.Queued })
	next := w.mustUnder(s, "APRIL", both, 1)
	w.until("the next one is in the queue", func() bool { r, _ := w.reserve(next.Batch); return r.Queued })
	w.balances(5, 0)
	w.books.adjust("1010")
	w.until("it is drawn", func() bool { return w.allDrawn(b.Batch) })
	w.books.adjust("1010")
	w.until("the next one is drawn", func() bool { return w.allDrawn(next.Batch) })
	w.released(next.Batch)
	w.balances(0, 7)
}

// Cancelling releases what is held, in whatever process; waiting for too long cancels.
func TestQueueIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "2020")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	b := w.mustUnder(s, "MARCH", queueTerms, 3)
	w.until("two are paid", func() bool { return len(w.made(b.Batch)) == 2 })
	next := w.mustUnder(s, "APRIL", queueTerms, 1)
	w.until("the next one is in the queue", func() bool { r, _ := w.reserve(next.Batch); return r.Queued })
	if _, err := s.Cancel(t.Context(), b.Of, "wrong file", eventstore.Origin{Actor: "key:maya"}); err != nil {
		t.Fatal(err)
	}
	if _, held := w.reserve(b.Batch); held {
		t.Error("a cancelled batch is in the queue")
	}
	w.ahead.Store(int64(batches.DefaultQueueAge + time.Hour))
	w.untilStatus(next.Batch, batch.Cancelled)
	if got := w.batch(next.Batch); !strings.Contains(got.Reason, "168h") {
		t.Errorf("%+v", got)
	}
	w.released(next.Batch)
	w.balances(0, 2)
	atOnce := w.mustUnder(s, "MAY", atomicTerms, 1)
	if atOnce.Status != batch.Rejected {
		t.Errorf("%+v", atOnce)
	}
}

// What is held for a batch that is cancelled by somebody else (the command line, on the log) is released too; also when work storage
// is lost.
func TestCancelledElsewhere(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		w := newWorld(t, "10100")
		s, _ := w.service("work.db", immortal)
		b := w.mustUnder(s, "MARCH", atomicTerms, 10)
		w.balances(0, 10)
		c := batch.Cancel{Base: batch.Base{Of: b.Of, At: time.Now(), Actor: "operator:asha"}, Reason: "wrong"}
		if _, err := w.books.SubmitBatch(t.Context(), c, eventstore.Origin{}); err != nil {
			t.Fatal(err)
		}
		if lost {
			if err := s.Recover(t.Context()); err != nil {
				t.Fatal(err)
			}
			go func() { t.Log(s.Run(t.Context())) }()
		} else {
			w.run(s)
		}
		w.released(b.Batch)
		w.balances(10, 0)
	}
}

// Nothing is held, and nothing paid, before its time.
func TestScheduled(t *testing.T) {
	t.Parallel()
	for _, terms := range []batch.Terms{atomicTerms, queueTerms, {Approval: batch.NoApproval}} {
		w := newWorld(t, "10100")
		s, _ := w.service("work.db", immortal)
		w.run(s)
		terms.ScheduleAt = time.Now().Add(time.Hour)
		b := w.mustUnder(s, "MARCH", terms, 10)
		now := w.mustUnder(s, "NOW", batch.Terms{Approval: batch.NoApproval}, 1)
		w.until("another one is drawn", func() bool { return w.allDrawn(now.Batch) })
		if _, held := w.reserve(b.Batch); held || w.made(b.Batch) != nil {
			t.Error("paid before its time")
		}
		w.books.adjust("1010")
		w.ahead.Store(int64(2 * time.Hour))
		w.until("it is drawn", func() bool { return w.allDrawn(b.Batch) })
		w.released(b.Batch)
		w.balances(0, 11)
	}
}

// Two approvals, of two people; a changed rule rejects what waits, and is no matter to what is approved.
func TestApprovals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	two := batch.Terms{Approval: batch.ApprovalRequired, Checkers: 2}
	b, waiting := w.mustUnder(s, "MARCH", two, 10), w.mustUnder(s, "APRIL", two, 10)
	receiving, err := w.under(s, "MAY", two, lines(10, 3), 10)
	if err == nil || receiving.Status != batch.Receiving {
		t.Fatalf("%+v, %v", receiving, err)
	}
	approve := func(id, actor string) (batch.Status, domain.Code) {
		got, err := s.Approve(t.Context(), ofBatch(id), "", eventstore.Origin{Actor: actor})
		return got.Status, domain.CodeOf(err)
	}
	for _, c := range []struct {
		actor  string
		status batch.Status
		code   domain.Code
	}{
		{"key:maya", "", domain.Forbidden},
		{"key:ravi", batch.Awaiting, ""},
		{"key:ravi", batch.Awaiting, ""},
		{"key:asha", batch.Processing, ""},
		{"key:ravi", batch.Processing, ""},
		{"key:vera", "", domain.Stale},
	} {
		if status, code := approve(b.Batch, c.actor); status != c.status || code != c.code {
			t.Errorf("%+v: %s, %q", c, status, code)
		}
	}
	w.until("it is drawn", func() bool { return w.allDrawn(b.Batch) })
	w.books.setRule(t, 1)
	w.untilStatus(waiting.Batch, batch.Rejected)
	if got := w.batch(waiting.Batch); !strings.Contains(got.Reason, "rule") || got.Decided != batches.Actor {
		t.Errorf("%+v", got)
	}
	if _, err := w.under(s, "MAY", two, lines(10, 0), 10); err != nil {
		t.Fatal(err)
	}
	w.untilStatus(receiving.Batch, batch.Rejected)
	if got := w.batch(b.Batch); got.Status != batch.Processing {
		t.Errorf("%+v", got)
	}
}

// setRule changes the merchant's approval rule.
func (l *books) setRule(t *testing.T, version int) {
	t.Helper()
	e := &merchant.ApprovalSet{Of: merchant.Of{Merchant: merchantID, Actor: "operator:asha"}, Rule: merchant.ApprovalRule{Version: version}}
	data, err := merchant.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rule = version
	l.records = append(l.records, eventstore.Record{Seq: int64(len(l.records) + 1), Subject: merchantID, Type: e.Type(), Schema: e.Schema(), Data: data})
}

// A process dies at each of its steps; another goes on, in the end everything is paid once, and nothing stays held.
func TestHoldsKilledAtEachStep(t *testing.T) {
	t.Parallel()
	const count = batch.ChunkSize + 50
	both := atomicTerms
	both.Shortage = batch.QueueShort
	for name, terms := range map[string]batch.Terms{"atomic": atomicTerms, "queue": queueTerms, "both": both} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for lives := int64(1); ; lives++ {
				funds := count * 1010
				if terms.Shortage == batch.QueueShort {
					funds -= 180*1010 - 5
				}
				w := newWorld(t, fmt.Sprint(funds))
				first, left := w.service("first.db", lives)
				stop := w.run(first)
				b, err := w.under(first, "MARCH", terms, lines(count, 0), count)
				if err == nil {
					w.books.adjust(fmt.Sprint(count*1010 - funds))
					w.until("it is dead or done", func() bool { return left.Load() < 0 || w.allDrawn(b.Batch) })
				}
				stop()
				died := left.Load() < 0
				if err != nil {
					w.books.adjust(fmt.Sprint(count*1010 - funds))
				}
				next, _ := w.service("second.db", immortal)
				if err := next.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.run(next)
				if b, err = w.under(next, "MARCH", terms, lines(count, 0), count); err != nil {
					t.Fatal(err)
				}
				w.until("it is drawn", func() bool { return w.allDrawn(b.Batch) })
				w.released(b.Batch)
				w.consistent(b.Batch, count)
				w.balances(0, count)
				if !died {
					if lives < 8 {
						t.Errorf("it was done after %d calls: this test tests nothing", lives)
					}
					return
				}
			}
		})
	}
}

func (w *world) allDrawn(id string) bool {
	b := w.batch(id)
	return b.AllDrawn()
}

// One process finds that the balance does not cover an atomic batch; before it rejects it, money comes and another one holds it. It is paid.
func TestHeldMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "5050")
	l := &hooked{books: w.books}
	other, _ := w.service("other.db", immortal)
	s := w.serviceOn(l, "work.db", batches.Options{})
	l.submit = func(c batch.Command) {
		if r, rejects := c.(batch.Reject); rejects {
			w.books.adjust("1010")
			b := w.batch(r.Of.Batch)
			hold := wallet.HoldBatch{
				Base: wallet.Base{Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: b.Batch}, At: time.Now()},
				Upto: b.Count, Last: true, Amount: b.Amount.Add(b.Commission),
			}
			if _, err := w.books.Reserve(t.Context(), hold, eventstore.Origin{}); err != nil {
				t.Error(err)
			}
		}
	}
	b := w.mustUnder(s, "MARCH", atomicTerms, 6)
	w.run(other)
	w.until("it is drawn", func() bool { return w.allDrawn(b.Batch) })
	w.released(b.Batch)
	w.balances(0, 6)
}
