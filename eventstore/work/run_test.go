package work_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// logs is a log that tests may read while it is written.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// running runs until stop is called, which waits for the end.
func running(t *testing.T, s *work.Store, o work.Options, handle func(context.Context, work.Job) work.Outcome) (stop func()) {
	t.Helper()
	if o.Log == nil {
		o.Log = new(logs).logger()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- work.Run(ctx, s, "k", o, handle) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// inBubble runs a test on SQLite in time that passes only when everything waits.
func inBubble(t *testing.T, test func(t *testing.T, db *sql.DB, s *work.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		db := sqlitePool(t)()
		test(t, db, work.New(db, db))
	})
}

func due(key string, after time.Duration) work.Job {
	return work.Job{Kind: "k", Key: key, Due: time.Now().Add(after)}
}

func jobsLeft(t *testing.T, s *work.Store) int64 {
	t.Helper()
	n, err := s.Count(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRunSharesTheWorkOfManyProcesses(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		const jobs, concurrency = 60, 3
		s := newStore(pool())
		all := make([]work.Job, jobs)
		for i := range all {
			all[i] = work.Job{Kind: "k", Key: fmt.Sprint(i), Group: fmt.Sprint(i % 20), Order: int64(i), Due: time.Now()}
		}
		put(t, s, all...)
		var mu sync.Mutex
		seen := make(map[string]int)
		last := make(map[string]int64)
		for range 3 {
			var busy atomic.Int64
			stop := running(t, newStore(pool()), work.Options{Concurrency: concurrency}, func(_ context.Context, j work.Job) work.Outcome {
				if n := busy.Add(1); n > concurrency {
					t.Errorf("%d handlers at a time", n)
				}
				defer busy.Add(-1)
				mu.Lock()
				defer mu.Unlock()
				if j.Attempt == 0 && j.Order%7 == 0 {
					return work.Again(time.Now(), []byte("again"))
				}
				if (j.Attempt == 1) != (string(j.Payload) == "again") {
					t.Errorf("%+v", j)
				}
				if before, ok := last[j.Group]; ok && before >= j.Order {
					t.Errorf("in group %s, %d came behind %d", j.Group, j.Order, before)
				}
				seen[j.Key]++
				last[j.Group] = j.Order
				return work.Finish()
			})
			defer stop()
		}
		waitFor(t, func() bool { return jobsLeft(t, s) == 0 })
		mu.Lock()
		defer mu.Unlock()
		if len(seen) != jobs {
			t.Fatalf("%d of %d jobs were handled", len(seen), jobs)
		}
		for key, n := range seen {
			if n != 1 {
				t.Errorf("job %s was finished %d times", key, n)
			}
		}
	})
}

func TestRunIsWokenByPut(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		handled := make(chan string)
		stop := running(t, s, work.Options{Poll: time.Hour}, func(_ context.Context, j work.Job) work.Outcome {
			handled <- j.Key
			return work.Finish()
		})
		defer stop()
		for i := range 20 {
			key := fmt.Sprint(i)
			put(t, s, work.Job{Kind: "k", Key: key, Due: time.Now()})
			if got := <-handled; got != key {
				t.Fatalf("%s, want %s", got, key)
			}
		}
	})
}

func TestRunHandlesAJobWhenItIsDue(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *sql.DB, s *work.Store) {
		began := time.Now()
		at := make(map[string]time.Duration)
		var mu sync.Mutex
		stop := running(t, s, work.Options{Poll: time.Hour}, func(_ context.Context, j work.Job) work.Outcome {
			mu.Lock()
			defer mu.Unlock()
			at[fmt.Sprint(j.Key, j.Attempt)] = time.Since(began)
			if j.Key == "b" && j.Attempt < 2 {
				return work.Again(time.Now().Add(5*time.Minute), nil)
			}
			return work.Finish()
		})
		defer stop()
		put(t, s, due("a", 90*time.Second), due("b", time.Second))
		time.Sleep(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		for what, want := range map[string]time.Duration{"a0": 90 * time.Second, "b0": time.Second, "b1": 301 * time.Second, "b2": 601 * time.Second} {
			if got, ok := at[what]; !ok || got < want || got > want+time.Second {
				t.Errorf("%s after %s, want %s", what, got, want)
			}
		}
	})
}

func TestRunSeesJobsOfOtherProcessesWithinPoll(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, s *work.Store) {
		handled := make(chan time.Time, 1)
		stop := running(t, s, work.Options{Poll: time.Minute}, func(context.Context, work.Job) work.Outcome {
			handled <- time.Now()
			return work.Finish()
		})
		defer stop()
		time.Sleep(90 * time.Second)
		j := due("1", 0)
		put(t, work.New(db, db), j)
		if late := (<-handled).Sub(j.Due); late > time.Minute {
			t.Fatalf("seen after %s", late)
		}
	})
}

func TestRunKeepsTheLeaseOfALongJob(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, s *work.Store) {
		var calls atomic.Int64
		long := func(ctx context.Context, _ work.Job) work.Outcome {
			calls.Add(1)
			time.Sleep(20 * time.Second)
			if ctx.Err() != nil {
				t.Errorf("the lease was lost: %v", context.Cause(ctx))
			}
			return work.Finish()
		}
		put(t, s, due("1", 0))
		defer running(t, s, work.Options{Lease: 3 * time.Second}, long)()
		defer running(t, work.New(db, db), work.Options{Lease: 3 * time.Second}, long)()
		time.Sleep(40 * time.Second)
		if n := calls.Load(); n != 1 || jobsLeft(t, s) != 0 {
			t.Fatalf("%d calls, %d jobs left", n, jobsLeft(t, s))
		}
	})
}

func TestRunTakesOverFromALostProcess(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *sql.DB, s *work.Store) {
		put(t, s, due("1", 0))
		if _, err := s.Lease(t.Context(), "k", time.Now(), 1, time.Minute); err != nil {
			t.Fatal(err)
		}
		began, handled := time.Now(), make(chan time.Duration, 1)
		stop := running(t, s, work.Options{}, func(context.Context, work.Job) work.Outcome {
			handled <- time.Since(began)
			return work.Finish()
		})
		defer stop()
		if after := <-handled; after < time.Minute-time.Millisecond || after > time.Minute+2*time.Second {
			t.Fatalf("taken over after %s", after)
		}
	})
}

func TestRunTellsAHandlerThatItsJobIsTaken(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *sql.DB, s *work.Store) {
		cause, log := make(chan error, 1), new(logs)
		stop := running(t, s, work.Options{Log: log.logger()}, func(ctx context.Context, _ work.Job) work.Outcome {
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return work.Finish()
		})
		defer stop()
		put(t, s, due("1", 0))
		synctest.Wait()
		if err := s.Remove(t.Context(), "k", "1"); err != nil {
			t.Fatal(err)
		}
		put(t, s, due("1", time.Hour)) // the same key, but another job: Finish must not touch it
		if err := <-cause; !errors.Is(err, work.ErrLeaseLost) {
			t.Fatalf("the cause is %v", err)
		}
		stop()
		if jobsLeft(t, s) != 1 || !log.has("taken from its handler") {
			t.Fatalf("%d jobs left", jobsLeft(t, s))
		}
	})
}

func TestRunOutlivesPanics(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *sql.DB, s *work.Store) {
		log := new(logs)
		var attempts []time.Duration
		var others atomic.Int64
		began := time.Now()
		stop := running(t, s, work.Options{Concurrency: 2, Log: log.logger()}, func(_ context.Context, j work.Job) work.Outcome {
			if j.Key != "bad" {
				others.Add(1)
				return work.Finish()
			}
			attempts = append(attempts, time.Since(began).Round(time.Second))
			if j.Attempt < 3 {
				panic("a bug")
			}
			return work.Finish()
		})
		defer stop()
		put(t, s, due("bad", 0), due("good", 0), due("later", 2*time.Second))
		time.Sleep(time.Minute)
		stop()
		if got := fmt.Sprint(attempts); got != "[0s 1s 3s 7s]" || others.Load() != 2 || jobsLeft(t, s) != 0 {
			t.Fatalf("attempts at %s, %d other jobs, %d left", got, others.Load(), jobsLeft(t, s))
		}
		if !log.has("a handler panicked") || !log.has("a bug") || !log.has("run_test.go") {
			t.Fatal("the panic is not in the log")
		}
	})
}

func TestRunPutsOffWhatItCannotStore(t *testing.T) {
	for name, wrong := range map[string]work.Outcome{
		"no outcome":      {},
		"no time":         work.Again(time.Time{}, nil),
		"a large payload": work.Again(start, make([]byte, work.MaxPayloadBytes+1)),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ *sql.DB, s *work.Store) {
				log := new(logs)
				var calls atomic.Int64
				stop := running(t, s, work.Options{Log: log.logger()}, func(context.Context, work.Job) work.Outcome {
					if calls.Add(1) == 1 {
						return wrong
					}
					return work.Finish()
				})
				defer stop()
				put(t, s, due("1", 0))
				time.Sleep(10 * time.Second)
				if calls.Load() != 2 || jobsLeft(t, s) != 0 || !log.has("cannot be stored") {
					t.Fatalf("%d calls, %d jobs left", calls.Load(), jobsLeft(t, s))
				}
			})
		})
	}
}

func TestRunRecoversWhenTheStoreIsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, s *work.Store) {
		log := new(logs)
		rename := func(from, to string) {
			if _, err := db.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Error(err)
			}
		}
		var calls atomic.Int64
		stop := running(t, s, work.Options{Log: log.logger()}, func(context.Context, work.Job) work.Outcome {
			if calls.Add(1) == 1 {
				rename("jobs", "away") // the store goes away while a handler runs
			}
			return work.Finish()
		})
		defer stop()
		put(t, s, due("1", 0), due("2", 20*time.Minute))
		time.Sleep(5 * time.Second) // less than the lease: the outcome is stored yet
		if !log.has("outcome of a job was not stored") || !log.has("work store fails") {
			t.Fatal("the fault is not in the log")
		}
		rename("away", "jobs")
		time.Sleep(work.MaxBackoff)
		if calls.Load() != 1 || jobsLeft(t, s) != 1 || !log.has("work goes on") {
			t.Fatalf("%d calls, %d jobs left", calls.Load(), jobsLeft(t, s))
		}
		rename("jobs", "away")
		time.Sleep(time.Hour)
		rename("away", "jobs")
		time.Sleep(2 * work.MaxBackoff)
		if calls.Load() != 2 || jobsLeft(t, s) != 0 {
			t.Fatalf("after an hour: %d calls, %d jobs left", calls.Load(), jobsLeft(t, s))
		}
	})
}

func TestRunOutlivesAPostgresThatGoesAway(t *testing.T) {
	proxy := testpg.NewProxy(t, testpg.DSN(t))
	s := newStore(opener(t, "pgx", searching(t, proxy.DSN(), migrations.Work), migrations.Postgres)())
	log := new(logs)
	handled := make(chan string)
	stop := running(t, s, work.Options{Poll: 10 * time.Millisecond, Log: log.logger()}, func(_ context.Context, j work.Job) work.Outcome {
		handled <- j.Key
		return work.Finish()
	})
	defer stop()
	put(t, s, work.Job{Kind: "k", Key: "during", Due: time.Now()}, work.Job{Kind: "k", Key: "after", Due: time.Now().Add(time.Second)})
	waitFor(t, func() bool { // its handler waits for this test
		j, ok, err := s.Find(t.Context(), "k", "during")
		return err == nil && ok && !j.LeaseUntil.IsZero()
	})
	proxy.Down()
	if got := <-handled; got != "during" {
		t.Fatal(got)
	}
	waitFor(t, func() bool { return log.has("work store fails") && log.has("outcome of a job was not stored") })
	proxy.Up()
	if got := <-handled; got != "after" {
		t.Fatal(got)
	}
	waitFor(t, func() bool { return jobsLeft(t, s) == 0 && log.has("work goes on") })
}

func TestRunHandlesAgainWhatItCouldNotFinish(t *testing.T) {
	inBubble(t, func(t *testing.T, db *sql.DB, s *work.Store) {
		log := new(logs)
		var calls atomic.Int64
		stop := running(t, s, work.Options{Log: log.logger()}, func(context.Context, work.Job) work.Outcome {
			if calls.Add(1) == 1 {
				if _, err := db.ExecContext(t.Context(), `CREATE TRIGGER no_delete BEFORE DELETE ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END`); err != nil {
					t.Error(err)
				}
			}
			return work.Finish()
		})
		defer stop()
		put(t, s, due("1", 0))
		time.Sleep(time.Minute)
		if _, err := db.ExecContext(t.Context(), `DROP TRIGGER no_delete`); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if calls.Load() < 2 || jobsLeft(t, s) != 0 || !log.has("is lost") || !log.has("disk full") {
			t.Fatalf("%d calls, %d jobs left", calls.Load(), jobsLeft(t, s))
		}
	})
}

func TestRunStopsCleanly(t *testing.T) {
	inBubble(t, func(t *testing.T, _ *sql.DB, s *work.Store) {
		var polite, stubborn atomic.Bool
		began := time.Now()
		stop := running(t, s, work.Options{Concurrency: 2, Grace: 10 * time.Second}, func(ctx context.Context, j work.Job) work.Outcome {
			if j.Key == "polite" {
				time.Sleep(5 * time.Second)
				polite.Store(ctx.Err() == nil)
				return work.Finish()
			}
			<-ctx.Done()
			stubborn.Store(true)
			return work.Return()
		})
		put(t, s, due("polite", 0), due("stubborn", 0), due("third", 0))
		synctest.Wait()
		stop()
		if !polite.Load() || !stubborn.Load() || time.Since(began) < 10*time.Second || time.Since(began) > 11*time.Second {
			t.Fatalf("stopped after %s; handled to the end: %t; cut off: %t", time.Since(began), polite.Load(), stubborn.Load())
		}
		// What was not finished is there for the next process, at once.
		left, err := s.Lease(t.Context(), "k", time.Now(), 10, time.Minute)
		if err != nil || len(left) != 2 || left[0].Key != "stubborn" || left[1].Key != "third" {
			t.Fatalf("%+v, %v", left, err)
		}
	})
}

func TestRunRefusesNoKind(t *testing.T) {
	if err := work.Run(t.Context(), work.New(nil, nil), "", work.Options{}, nil); !errors.Is(err, work.ErrInvalid) {
		t.Fatalf("%v", err)
	}
}
