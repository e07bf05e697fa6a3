package batches_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// onWallet is the ledger with something that happens before a command about a wallet's hold. What it returns fails the command.
type onWallet struct {
	*books
	reserve func(c wallet.Command) error
	submit  func(c batch.Command)
	chunks  atomic.Int64 // that were read
}

func (l *onWallet) Reserve(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Wallet, error) {
	if l.reserve != nil {
		if err := l.reserve(c); err != nil {
			return wallet.Wallet{}, err
		}
	}
	return l.books.Reserve(ctx, c, o)
}

func (l *onWallet) SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	if l.submit != nil {
		l.submit(c)
	}
	return l.books.SubmitBatch(ctx, c, o)
}

func (l *onWallet) EachChunk(ctx context.Context, of batch.Of, after int, from int64, f func(int, int64, []batch.Item) error) error {
	return l.books.EachChunk(ctx, of, after, from, func(chunk int, at int64, items []batch.Item) error {
		l.chunks.Add(1)
		return f(chunk, at, items)
	})
}

// The request that submits an atomic batch is about to hold for it, while the batch's job holds, draws and releases, and all payouts end. The
// request holds nothing then: its job is done, so nobody would release it.
func TestHoldAtOnceBehindTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "10100")
	reached, goOn, held := make(chan string, 1), make(chan struct{}), make(chan struct{})
	var once, twice sync.Once
	front := w.serviceOn(&onWallet{books: w.books, reserve: func(c wallet.Command) error {
		if _, holds := c.(wallet.HoldBatch); holds {
			once.Do(func() { reached <- c.Target().Payment; <-goOn })
		}
		return nil
	}}, "front.db", batches.Options{})
	back := w.serviceOn(&onWallet{books: w.books, submit: func(c batch.Command) {
		if _, completes := c.(batch.Complete); completes {
			twice.Do(func() { close(goOn); <-held })
		}
	}}, "back.db", batches.Options{})
	go func() {
		defer close(held)
		if _, err := w.under(front, "MARCH", atomicTerms, named("MARCH", 3), 3); err != nil {
			t.Error(err)
		}
	}()
	id := <-reached
	w.run(back)
	w.until("it is drawn", func() bool { return w.allDrawn(id) })
	w.books.settle(wallet.Success)
	<-held
	w.untilStatus(id, batch.Completed)
	if r, there := w.reserve(id); there {
		t.Errorf("all of %s is paid, and %+v is held for it", id, r)
	}
	w.balances(7, 3)
}

// A batch that is cancelled while it holds for its next item gives up at once.
func TestCancelledWhileHolding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "2020")
	var holds atomic.Int64
	l := &onWallet{books: w.books}
	l.reserve = func(c wallet.Command) error {
		h, is := c.(wallet.HoldBatch)
		if !is {
			return nil
		}
		if holds.Add(1) == 1 {
			of := batch.Of{Merchant: h.Merchant, Currency: h.Currency, Batch: h.Payment}
			_, err := w.books.SubmitBatch(t.Context(), batch.Cancel{Base: batch.Base{Of: of, At: time.Now(), Actor: "key:maya"}, Reason: "wrong"}, eventstore.Origin{})
			if err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	s := w.serviceOn(l, "work.db", batches.Options{})
	b := w.mustUnder(s, "MARCH", queueTerms, batch.ChunkSize)
	stop := w.run(s)
	w.untilStatus(b.Batch, batch.Cancelled)
	stop()
	if n := holds.Load(); n > 10 {
		t.Errorf("it tried to hold %d times for a batch that is cancelled", n)
	}
}

// All or nothing also of what waits for money, and of what is begun once more after a while: a reference that was used before stops it.
func TestAtomicAtOnceWithAUsedReference(t *testing.T) {
	t.Parallel()
	both := atomicTerms
	both.Shortage = batch.QueueShort
	for name, terms := range map[string]batch.Terms{"both": both, "begun before": atomicTerms} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "1010000")
			s, _ := w.service("work.db", immortal)
			if name == "begun before" {
				if _, err := w.under(s, "MARCH", terms, lines(3, 2), 3); err == nil {
					t.Fatal("it is whole")
				}
			}
			w.run(s)
			before := w.mustSubmit(s, "BEFORE", 1)
			w.until("it is drawn", func() bool { return w.allDrawn(before.Batch) })
			b, err := w.under(s, "MARCH", terms, lines(3, 0), 3)
			if err != nil {
				t.Fatal(err)
			}
			w.until("it is decided", func() bool { return w.batch(b.Batch).Status == batch.Rejected || w.allDrawn(b.Batch) })
			if got := w.batch(b.Batch); got.Stopper != 1 || w.made(b.Batch) != nil {
				t.Errorf("%s, stopped by item %d, and paid are %v", got.Status, got.Stopper, w.made(b.Batch))
			}
		})
	}
}
