package batches_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// serviceOn is a service with options of the test's own.
func (w *world) serviceOn(l batches.Ledger, file string, o batches.Options) *batches.Service {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, file)+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	if err := migrations.Up(w.t.Context(), db, migrations.SQLite, migrations.Work); err != nil {
		w.t.Fatal(err)
	}
	o.NewID = func(prefix string) string { return fmt.Sprintf("%s%06d", prefix, w.n.Add(1)) }
	o.Log = slog.New(slog.DiscardHandler)
	return batches.New(l, clearVault{}, w.books, work.New(db, db), o)
}

// hooked is the ledger with something that happens before a call.
type hooked struct {
	*books
	submit   func(c batch.Command)
	initiate func(payouts []wallet.InitiatePayout)
}

func (h *hooked) SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	if h.submit != nil {
		h.submit(c)
	}
	return h.books.SubmitBatch(ctx, c, o)
}

func (h *hooked) Initiate(ctx context.Context, id string, p []wallet.InitiatePayout, ids []uuid.UUID, o eventstore.Origin) []error {
	if h.initiate != nil {
		h.initiate(p)
	}
	return h.books.Initiate(ctx, id, p, ids, o)
}

// Two processes draw one chunk; between the first one's refusal and its closing the chunk money comes in, and the second one pays the
// item. batch.drawn must not say that an item was refused that is a payout.
func TestRefusedItemIsNotPaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "2020") // for two of three
	var once sync.Once
	l := &hooked{books: w.books}
	l.submit = func(c batch.Command) {
		note, is := c.(batch.Close)
		if !is {
			return
		}
		once.Do(func() { // the other process, which has come as far as its own initiate
			w.books.adjust("100000")
			b := w.batch(note.Of.Batch)
			err := w.books.EachChunk(t.Context(), b.Of, 0, 0, func(_ int, _ int64, items []batch.Item) error {
				payouts, ids := make([]wallet.InitiatePayout, len(items)), make([]uuid.UUID, len(items))
				for i := range items {
					payouts[i], ids[i] = items[i].Payout(&b, time.Now()), uuid.MustParse(items[i].Event)
				}
				w.books.Initiate(t.Context(), merchantID, payouts, ids, eventstore.Origin{})
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	s := w.serviceOn(l, "work.db", batches.Options{})
	b := w.mustSubmit(s, "MARCH", 3)
	w.run(s)
	w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 1 })
	paid := map[string]bool{}
	records, _ := w.books.since(0)
	for _, r := range records {
		if r.Type == "payout.initiated" {
			paid[r.Subject] = true
		}
	}
	var items []batch.Item
	if err := w.books.EachChunk(t.Context(), b.Of, 0, 0, func(_ int, _ int64, list []batch.Item) error {
		items = append(items, list...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Type != "batch.drawn" {
			continue
		}
		e, err := batch.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, no := range e.(*batch.Drawn).Refused {
			if paid[items[no.Index-1].Payment] {
				t.Errorf("record %d: batch.drawn notes item %d as refused (%s), and the log has its payout", r.Seq, no.Index, no.Code)
			}
		}
	}
}

// The job that waits for a batch to be abandoned must not become a second drawer of a batch that is whole, in one process.
func TestAbandonJobDoesNotDraw(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	var at atomic.Int64
	var most atomic.Int64
	release := make(chan struct{})
	l := &hooked{books: w.books, initiate: func([]wallet.InitiatePayout) {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		at.Add(-1)
	}}
	s := w.serviceOn(l, "work.db", batches.Options{Abandon: time.Second})
	b := w.mustSubmit(s, "MARCH", 10)
	w.run(s)
	w.until("it is being drawn", func() bool { return at.Load() > 0 })
	time.Sleep(3 * time.Second)
	if n := most.Load(); n > 1 {
		t.Errorf("%d handlers of one process draw the same chunk of %s", n, b.Batch)
	}
	close(release)
	w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 1 })
}

// A receiving batch is cancelled after its time also when the server that took it has a clock a second ahead of the one that
// has its job.
func TestAbandonedDespiteClocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	front := w.serviceOn(w.books, "front.db", batches.Options{Abandon: 200 * time.Millisecond, Clock: func() time.Time { return time.Now().Add(time.Second) }})
	back := w.serviceOn(w.books, "back.db", batches.Options{Abandon: 200 * time.Millisecond})
	b, _, err := w.submit(front, "MARCH", 3, 2)
	if err == nil || b.Status != batch.Receiving {
		t.Fatalf("%+v, %v", b, err)
	}
	w.run(back)
	w.untilStatus(b.Batch, batch.Cancelled)
}

// Recover is there "in case work storage was lost": a batch that is being received must be abandoned in its time then, too.
func TestRecoveredIsAbandoned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	o := batches.Options{Abandon: time.Second}
	first := w.serviceOn(w.books, "first.db", o)
	b, _, err := w.submit(first, "MARCH", 3, 2)
	if err == nil {
		t.Fatal("it is whole")
	}
	next := w.serviceOn(w.books, "second.db", o) // the work is lost; the bus's checkpoint was kept, or is ahead
	if err := next.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go next.Run(ctx) //nolint:errcheck // it ends with the test
	w.untilStatus(b.Batch, batch.Cancelled)
}

// A small batch does not wait until one of four large ones (of whomever) is drawn whole.
func TestSmallBatchIsNotStarved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "100000000")
	l := &hooked{books: w.books, initiate: func([]wallet.InitiatePayout) { time.Sleep(30 * time.Millisecond) }}
	s := w.serviceOn(l, "work.db", batches.Options{})
	const chunks = 40
	var large []string
	for i := range 4 {
		r := request(fmt.Sprint("LARGE-", i), chunks*batch.ChunkSize)
		b, _, err := s.Submit(t.Context(), r, func(yield func(batches.Item, error) bool) {
			for item, err := range lines(chunks*batch.ChunkSize, 0) {
				item.RequestID = fmt.Sprint(i, "-", item.RequestID)
				if !yield(item, err) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		large = append(large, b.Batch)
	}
	small := w.mustSubmit(s, "SMALL", 1)
	records, _ := w.books.since(0)
	for _, r := range records { // all are due before the first one is drawn
		if slices.Contains(s.Types(), r.Type) {
			if err := s.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.run(s)
	w.until("the small one is drawn", func() bool { return w.batch(small.Batch).Drawn == 1 })
	most := 0
	for _, id := range large {
		most = max(most, w.batch(id).Drawn)
	}
	if most >= chunks {
		t.Errorf("one payout waited until %d chunks of another batch were drawn", most)
	}
}

// While its merchant is suspended, a batch waits; it goes on when the merchant may pay again.
func TestSuspendedMerchantIsNotDrawn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	w.books.suspend(true)
	b := w.mustSubmit(s, "MARCH", 3)
	w.run(s)
	time.Sleep(200 * time.Millisecond)
	w.consistent(b.Batch, 0)
	w.books.suspend(false)
	w.ahead.Store(int64(time.Minute)) // sooner than it looks again
	w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 1 })
	w.consistent(b.Batch, 3)
}

// A second server starts while the first one draws a batch, on the same work storage. The job that Recover puts has Order 0, so it
// stands before the job that is under way, and the group does not keep it back.
func TestRecoverDoesNotDrawBesideAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	var at, most atomic.Int64
	release := make(chan struct{})
	l := &hooked{books: w.books, initiate: func([]wallet.InitiatePayout) {
		if n := at.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		at.Add(-1)
	}}
	s := w.serviceOn(l, "work.db", batches.Options{})
	b := w.mustSubmit(s, "MARCH", 10)
	w.run(s)
	w.until("it is being drawn", func() bool { return at.Load() > 0 })
	starting := w.serviceOn(l, "work.db", batches.Options{})
	if err := starting.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if n := most.Load(); n > 1 {
		t.Errorf("%d handlers draw the same chunk of %s", n, b.Batch)
	}
	close(release)
	w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 1 })
}
