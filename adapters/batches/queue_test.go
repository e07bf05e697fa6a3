package batches_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Of two batches, the first one to be answered is the first in the queue: also when the wallet cannot be asked for a moment.
func TestQueueInTheOrderOfSubmission(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "5")
	var failed sync.Once
	l := &onWallet{books: w.books}
	l.reserve = func(c wallet.Command) (err error) {
		if _, queues := c.(wallet.QueueBatch); queues {
			failed.Do(func() { err = domain.Errorf(domain.Stale, "the store is away for a moment") })
		}
		return err
	}
	s := w.serviceOn(l, "work.db", batches.Options{})
	first := w.mustUnder(s, "MARCH", queueTerms, 1)
	second := w.mustUnder(s, "APRIL", queueTerms, 1)
	w.run(s)
	w.until("both are in the queue", func() bool {
		_, one := w.reserve(first.Batch)
		_, two := w.reserve(second.Batch)
		return one && two
	})
	w.books.mu.Lock()
	defer w.books.mu.Unlock()
	if got := w.books.wallet.First(); got != first.Batch {
		t.Errorf("%s was answered before %s was submitted, and stands behind it", first.Batch, second.Batch)
	}
}

// A batch that waits for money reads its items when the wallet has changed, not at each look.
func TestWaitingReadsNoItems(t *testing.T) {
	t.Parallel()
	both := atomicTerms
	both.Shortage = batch.QueueShort
	for name, terms := range map[string]batch.Terms{"queue": queueTerms, "both": both} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "2020")
			var looks atomic.Int64
			l := &onWallet{books: w.books}
			l.reserve = func(c wallet.Command) error {
				if _, is := c.(wallet.Look); is {
					looks.Add(1)
				}
				return nil
			}
			s := w.serviceOn(l, "work.db", batches.Options{})
			b := w.mustUnder(s, "MARCH", terms, 2*batch.ChunkSize)
			w.run(s)
			w.until("it waits", func() bool {
				r, there := w.reserve(b.Batch)
				return there && (r.Upto == 2 || terms.Mode == batch.Atomic) && looks.Load() >= 4
			})
			chunks, from := l.chunks.Load(), looks.Load()
			w.until("it has looked again", func() bool { return looks.Load() >= from+4 })
			if n := l.chunks.Load() - chunks; n > 2 {
				t.Errorf("nothing has changed, and %d chunks were read", n)
			}
		})
	}
}

// However many batches wait for money, one outside the queue is decided on what is available.
func TestAtomicBesideALongQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "600")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	for i := range wallet.MaxQueued {
		w.mustUnder(s, fmt.Sprint("Q-", i), queueTerms, 1)
	}
	w.until("all are in the queue", func() bool {
		w.books.mu.Lock()
		defer w.books.mu.Unlock()
		return len(w.books.wallet.Reserves) == wallet.MaxQueued
	})
	r := request("MARCH", 1)
	r.Terms, r.Amount = atomicTerms, inr("500")
	b, _, err := s.Submit(t.Context(), r, func(yield func(batches.Item, error) bool) {
		for i, err := range named("MARCH", 1) {
			i.Amount = inr("500")
			yield(i, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, held := w.reserve(b.Batch); !held && b.Status != batch.Rejected {
		t.Errorf("%s neither is held nor is refused, while the balance covers it: it waits until one of %d others leaves the queue", b.Batch, wallet.MaxQueued)
	}
}
