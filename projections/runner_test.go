package projections

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

const anna = "mer_000000000000anna"

// quick are options of tests that wait for other processes' work.
var quick = Options{Batch: 8, Poll: 5 * time.Millisecond, ReachWithin: time.Minute}

func (b *book) wanderFar(seed uint64, steps int) {
	random := rand.New(rand.NewPCG(seed, seed))
	for range steps {
		b.wander(random.IntN, fewMerchants)
	}
}

// until polls for what another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for begun := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func mustWriter(t *testing.T, v *Views) *writer {
	t.Helper()
	w, err := openWriter(t.Context(), v.db, v.dialect)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, closerFunc(w.close)) })
	return w
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

func mustReach(t *testing.T, v *Views) {
	t.Helper()
	if err := v.Reach(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestAStaleWorkerIsFenced(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100.00")
		stale, other := b.views(at.open(), at.dialect, quick), b.views(at.open(), at.dialect, quick)
		mustReach(t, stale)
		mustReach(t, other)

		b.fund(anna, "50.00")
		mustReach(t, other) // moves the checkpoint: stale does not know
		w := mustWriter(t, stale)
		if moved, err := stale.step(t.Context(), w, 0); moved || !errors.Is(err, errFenced) {
			t.Fatalf("a step from an old checkpoint: %v, %v", moved, err)
		}
		b.equalToFold(stale)

		if err := other.Rebuild(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		b.fund(anna, "25.00")
		if moved, err := stale.step(t.Context(), w, 0); moved || !errors.Is(err, errFenced) {
			t.Fatalf("a step of an old epoch: %v, %v", moved, err)
		}
		b.equalToFold(stale)
	})
}

// A batch that was written and not committed has no effect, and its records have theirs once.
func TestKilledBetweenApplyAndCommit(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100.00")
		v := b.views(at.open(), at.dialect, quick)
		mustReach(t, v)
		b.fund(anna, "50.00")
		b.payin(anna, "1000.00")

		w, err := openWriter(t.Context(), v.db, v.dialect)
		if err != nil {
			t.Fatal(err)
		}
		now, _ := v.standing()
		next, err := v.read(t.Context(), 0, now.marks[0], 10)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.move(t.Context(), 0, 0, now.epoch, now.marks[0], next.to); err != nil {
			t.Fatal(err)
		}
		if err := w.apply(t.Context(), lane{epoch: now.epoch, targets: now.targets()}, now.marks[0], next); err != nil {
			t.Fatal(err)
		}
		if err := w.close(); err != nil { // without a commit
			t.Fatal(err)
		}
		after, err := readStanding(t.Context(), v.db, 1)
		if err != nil || !after.equal(&now) {
			t.Fatalf("the checkpoint is %+v, %v; it was %+v", after, err, now)
		}
		b.equalToFold(b.views(at.open(), at.dialect, quick))
	})
}

// Several processes keep the same views up to date, while they are rebuilt again and again: each record has its effect once.
func TestRebuildBesideServingUnderAppends(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		b.wanderFar(1, 50)
		first := running(t, b.views(at.open(), at.dialect, quick))
		second := running(t, b.views(at.open(), at.dialect, quick))
		mustReach(t, first)

		var rebuilds sync.WaitGroup
		var done atomic.Bool
		rebuilds.Go(func() {
			defer done.Store(true)
			large := quick
			large.Batch = 200 // it must be faster than what is appended meanwhile
			beside := b.views(at.open(), at.dialect, large)
			for i := range 3 {
				var names []string
				if i%2 == 1 {
					names = []string{"payments", "journal"}
				}
				var last, total int64
				err := beside.Rebuild(context.Background(), names, func(done, of int64) {
					if done < last || done > of {
						t.Errorf("progress %d of %d after %d", done, of, last)
					}
					last, total = done, of
				})
				if err != nil {
					t.Errorf("rebuild: %v", err)
				}
				if last == 0 || last > total {
					t.Errorf("the last progress is %d of %d", last, total)
				}
			}
		})
		for i := uint64(0); !done.Load(); i++ {
			b.wanderFar(100+i, 5)
			mustReach(t, first)
			balance, err := second.Balance(t.Context(), fewMerchants[0], "INR")
			if err != nil {
				t.Fatal(err)
			}
			if w := b.wallets["wallet:"+fewMerchants[0]+":INR"]; w != nil && !balance.Available.Equal(w.Available) {
				t.Fatalf("in the midst: %s, by the fold %s", balance.Available, w.Available)
			}
		}
		rebuilds.Wait()
		b.equalToFold(first)
		b.equalToFold(second)
		generations(t, first)
	})
}

// generations checks that only what serves has tables.
func generations(t *testing.T, v *Views) {
	t.Helper()
	if err := v.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	at, err := v.refresh(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tables, err := mustWriter(t, v).tables(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if at.tables[table.projection].generation != table.generation {
			t.Errorf("table %s is left over: %+v", table.table, at.tables)
		}
	}
}

// Views of another history, as after a restore of the log, are built again.
func TestACheckpointThatTheLogLacks(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		old := newBook(t, 2)
		old.wanderFar(2, 80)
		mustReach(t, old.views(at.open(), at.dialect, quick))

		b := newBook(t, 2) // another log
		b.wanderFar(3, 30)
		var logged bytes.Buffer
		opts := quick
		opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		v := b.views(at.open(), at.dialect, opts)
		b.equalToFold(v)
		if !strings.Contains(logged.String(), "do not belong to the log") {
			t.Errorf("no warning: %s", &logged)
		}
		generations(t, v)
	})
}

// A server that begins on an older log than the views are of, which are further than any read asks for, lets no read have them before they were held against it.
func TestNothingIsReadOfAnotherHistoryWhileRunBegins(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		old := newBook(t, 1)
		old.wanderFar(2, 80)
		mustReach(t, old.views(at.open(), at.dialect, quick))
		b := newBook(t, 1)
		b.fund(anna, "1.00")
		opts := quick
		opts.ReachWithin = 50 * time.Millisecond
		v := b.views(at.open(), at.dialect, opts)
		if _, err := v.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !v.start(t.Context()) { // as far as Run has come before it has looked
			t.Fatal("it was not started")
		}
		if err := v.Reach(t.Context()); !errors.Is(err, ErrBehind) {
			t.Errorf("views of another history: %v", err)
		}
		v.stop()
		b.equalToFold(v)
	})
}

// The log goes back behind the views while they run: a restore under a running server.
func TestTheLogGoesBackUnderARunningServer(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100.00")
		restored := newBook(t, 1)
		info, err := b.log.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := restored.log.Adopt(t.Context(), info); err != nil {
			t.Fatal(err)
		}
		log := &swapped{}
		log.Store(b.log)
		v, err := Open(t.Context(), at.open(), at.dialect, log, b.tail, quick)
		if err != nil {
			t.Fatal(err)
		}
		running(t, v)
		mustReach(t, v)
		restored.tail = b.tail
		restored.fund(anna, "1.00")
		restored.fund(anna, "2.00")
		log.Store(restored.log)
		until(t, "the views are those of the restored log", func() bool {
			balance, err := v.Balance(t.Context(), anna, "INR")
			return err == nil && balance.Available.Equal(inr("3.00"))
		})
	})
}

// swapped is a log that can be replaced by another.
type swapped struct{ atomic.Pointer[memory.Store] }

func (s *swapped) Info(ctx context.Context) (eventstore.Info, error) { return s.Load().Info(ctx) }

func (s *swapped) Head(ctx context.Context, p int) (eventstore.Head, error) {
	return s.Load().Head(ctx, p)
}

func (s *swapped) Read(ctx context.Context, p int, after int64, limit int) ([]eventstore.Record, error) {
	return s.Load().Read(ctx, p, after, limit)
}

func TestANewVersionIsBuiltBesideTheOld(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		b.wanderFar(4, 30)
		db := at.open()
		mustReach(t, b.views(db, at.dialect, quick))
		for _, old := range []string{"version = 0", "shape = 0", "generation = 0"} {
			if _, err := db.Exec("UPDATE views_serving SET " + old + " WHERE name = 'payments'"); err != nil {
				t.Fatal(err)
			}
			b.wanderFar(5, 5)
			v := running(t, b.views(at.open(), at.dialect, quick))
			b.equalLists(v, rand.New(rand.NewPCG(5, 5)).IntN)
			until(t, "the new version serves", func() bool {
				now, err := v.refresh(t.Context())
				return err == nil && len(now.outdated()) == 0
			})
			generations(t, v)
			b.equalLists(v, rand.New(rand.NewPCG(6, 6)).IntN)
		}
		b.equalToFold(b.views(db, at.dialect, quick))
	})
}

// A process that has read what serves while a projection of another shape was being built, and comes to write when it has been: what it does not know
// of would be missing there for ever.
func TestWhoKnowsOnlyTheAnnouncementCannotWrite(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100.00")
		db := at.open()
		mustReach(t, b.views(db, at.dialect, Options{}))
		if _, err := db.Exec("UPDATE views_serving SET shape = 0 WHERE name = 'payments'"); err != nil {
			t.Fatal(err)
		}
		maker, other := b.views(at.open(), at.dialect, Options{}), b.views(at.open(), at.dialect, Options{})
		w := mustWriter(t, maker)
		made := &build{v: maker, goals: make([]int64, 1), tally: newTally()}
		if err := made.begin(t.Context(), w, []projection{payments{}}, false); err != nil {
			t.Fatal(err)
		}
		if _, err := other.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := made.run(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		b.fund(anna, "5.00")
		if moved, err := other.step(t.Context(), mustWriter(t, other), 0); !errors.Is(err, errFenced) {
			t.Errorf("it wrote without the payments: %v, %v", moved, err)
		}
		b.equalToFold(other)
	})
}

func TestViewsOfANewerProgram(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "1.00")
		db := at.open()
		v := b.views(db, at.dialect, quick)
		mustReach(t, v)
		if _, err := db.Exec("UPDATE views_serving SET version = 99 WHERE name = 'journal'"); err != nil {
			t.Fatal(err)
		}
		if err := v.Run(t.Context()); !errors.Is(err, ErrNewer) {
			t.Errorf("Run: %v", err)
		}
		if err := v.Rebuild(t.Context(), nil, nil); !errors.Is(err, ErrNewer) {
			t.Errorf("Rebuild: %v", err)
		}
	})
}

// flaky is a log that can be away.
type flaky struct {
	Log
	away atomic.Bool
}

var errAway = errors.New("the store is away")

func (f *flaky) Head(ctx context.Context, p int) (eventstore.Head, error) {
	if f.away.Load() {
		return eventstore.Head{}, errAway
	}
	return f.Log.Head(ctx, p)
}

func (f *flaky) Read(ctx context.Context, p int, after int64, limit int) ([]eventstore.Record, error) {
	if f.away.Load() {
		return nil, errAway
	}
	return f.Log.Read(ctx, p, after, limit)
}

func TestTheLogGoesAwayAndComesBack(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		log := &flaky{Log: b.log}
		var logged syncBuffer
		opts := quick
		opts.Logger = slog.New(slog.NewTextHandler(&logged, nil))
		v, err := Open(t.Context(), at.open(), at.dialect, log, b.tail, opts)
		if err != nil {
			t.Fatal(err)
		}
		running(t, v)
		mustReach(t, v)
		log.away.Store(true)
		b.fund(anna, "10.00")
		until(t, "it is logged", func() bool { return strings.Contains(logged.String(), "cannot be kept up to date") })
		b.fund(anna, "10.00")
		if err := v.Reach(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("Reach without a log: %v", err)
		}
		log.away.Store(false)
		b.equalToFold(v)
		until(t, "it is logged", func() bool { return strings.Contains(logged.String(), "kept up to date again") })
		if n := strings.Count(logged.String(), "cannot be kept up to date"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, logged.String())
		}
	})
}

// syncBuffer is a buffer that a logger and a test share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestPostgresGoesAwayAndComesBack(t *testing.T) {
	proxy := testpg.NewProxy(t, testpg.DSN(t))
	b := newBook(t, 2)
	v := running(t, b.views(openPostgres(t, withSearchPath(t, proxy.DSN())), Postgres, quick))
	b.wanderFar(6, 20)
	b.equalToFold(v)
	for range 3 {
		proxy.Down()
		b.wanderFar(7, 20)
		proxy.Up()
		until(t, "the views can be reached", func() bool { return v.Reach(t.Context()) == nil })
		b.equalToFold(v)
	}
}

// A COMMIT whose answer is lost is found out from the checkpoint.
func TestLostCommit(t *testing.T) {
	for _, arrives := range []bool{false, true} {
		t.Run(fmt.Sprint("arrives ", arrives), func(t *testing.T) {
			proxy := testpg.NewProxy(t, testpg.DSN(t))
			b := newBook(t, 1)
			v := running(t, b.views(openPostgres(t, withSearchPath(t, proxy.DSN())), Postgres, quick))
			b.fund(anna, "5.00")
			mustReach(t, v)
			proxy.Cut("COMMIT", arrives)
			b.fund(anna, "7.00")
			until(t, "the views can be reached", func() bool { return v.Reach(t.Context()) == nil })
			b.equalToFold(v)
		})
	}
}

func TestReachIsBounded(t *testing.T) {
	b := newBook(t, 1)
	at := sqlitePlace(t)
	opts := quick
	opts.ReachWithin = time.Millisecond
	v := b.views(at.open(), at.dialect, opts)
	v.running = true // and does nothing
	b.fund(anna, "1.00")
	if err := v.Reach(t.Context()); !errors.Is(err, ErrBehind) {
		t.Errorf("Reach: %v", err)
	}
	if err := v.Ready(0); !errors.Is(err, ErrBehind) {
		t.Errorf("Ready: %v", err)
	}
	if lag := v.Lag(); lag != 1 {
		t.Errorf("lag %d", lag)
	}
	v.running = false
	mustReach(t, v)
	if err := v.Ready(0); err != nil {
		t.Errorf("Ready: %v", err)
	}
}

// Two readings of the catalog that overlap could come back in the other order, and the older one be taken for the newer.
func TestReadingsOfTheStandingDoNotOverlap(t *testing.T) {
	b := newBook(t, 1)
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, quick)
	mustReach(t, v)
	before, _ := v.standing()
	v.reading <- struct{}{} // a reading that has begun, and hangs
	if err := b.views(at.open(), at.dialect, quick).Rebuild(t.Context(), nil, nil); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.refresh(waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("a reading beside another: %v", err)
	}
	<-v.reading
	after, err := v.refresh(t.Context())
	if err != nil || after.epoch <= before.epoch {
		t.Errorf("epoch %d after the rebuild, %d before: %v", after.epoch, before.epoch, err)
	}
}

// A writer that has forgotten what it wrote reads it back.
func TestWhatIsForgottenIsReadBack(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "100.00")
		v := b.views(at.open(), at.dialect, Options{})
		mustReach(t, v)
		w := mustWriter(t, v)
		for round := range uint64(6) {
			b.wanderFar(20+round, 15)
			if moved, err := v.step(t.Context(), w, 0); !moved || err != nil {
				t.Fatal(moved, err)
			}
			switch round % 3 {
			case 0:
				if len(w.cache.wallets) == 0 || len(w.cache.accounts) == 0 || len(w.cache.payments) == 0 {
					t.Errorf("nothing is remembered: %+v", w.cache)
				}
			case 1:
				clear(w.cache.wallets)
				clear(w.cache.accounts)
				clear(w.cache.payments)
			case 2: // as after a failure
				w.cache = nil
			}
		}
		b.equalToFold(v)
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	c := cache{accounts: map[accountKey]*accountRow{}}
	for i := range cached + 1 {
		if c.moved(mark{}); len(c.accounts) != i {
			t.Fatalf("%d are left of %d", len(c.accounts), i)
		}
		c.accounts[accountKey{name: fmt.Sprint(i)}] = &accountRow{}
	}
	if c.moved(mark{}); len(c.accounts) != 0 {
		t.Errorf("%d accounts are remembered", len(c.accounts))
	}
}

// Who gathers records for the next batch stops when a read waits for them.
func TestAReadEndsTheGathering(t *testing.T) {
	b := newBook(t, 1)
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, quick)
	late := time.Now().Add(time.Hour)
	gathered := make(chan bool)
	go func() { gathered <- v.gather(t.Context(), late) }()
	done := v.wait()
	if !<-gathered || !v.gather(t.Context(), late) {
		t.Error("it did not end well")
	}
	done()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v.gather(ctx, late) {
		t.Error("it did not end with its context")
	}
}
