package work_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/work"
)

func TestLeaseTakesWhatIsDueLongestFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		put(t, s,
			work.Job{Kind: "k", Key: "d", Due: start.Add(time.Microsecond)},
			work.Job{Kind: "k", Key: "c", Due: start},
			work.Job{Kind: "k", Key: "b", Due: start.Add(-time.Hour), Order: 2},
			work.Job{Kind: "k", Key: "a", Due: start.Add(-time.Hour), Order: 9},
			work.Job{Kind: "other", Key: "x", Due: start.Add(-time.Hour)})
		if got := leaseKeys(t, s, start, 1); got != "b" {
			t.Fatalf("first %q", got)
		}
		if got := leaseKeys(t, s, start, 10); got != "a c" {
			t.Fatalf("then %q", got)
		}
		if got := leaseKeys(t, s, start.Add(time.Microsecond), 10); got != "d" {
			t.Fatalf("a microsecond later %q", got)
		}
		if got := leaseKeys(t, s, start.Add(time.Second), 10); got != "" {
			t.Fatalf("what is leased was leased again: %q", got)
		}
	})
}

func TestLeaseRunsOut(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		a, b := newStore(pool()), newStore(pool())
		put(t, a, work.Job{Kind: "k", Key: "1", Due: start})
		lost := lease(t, a, start, 1)[0]
		if !lost.LeaseUntil.Equal(start.Add(time.Minute)) || lost.Token == "" {
			t.Fatalf("%+v", lost)
		}
		if got := leaseKeys(t, b, start.Add(time.Minute-time.Microsecond), 1); got != "" {
			t.Fatalf("leased before it ran out: %q", got)
		}
		won := lease(t, b, start.Add(time.Minute), 1)
		if len(won) != 1 || won[0].Token == lost.Token {
			t.Fatalf("%+v", won)
		}
		ctx := t.Context()
		for i, err := range []error{
			a.Done(ctx, lost), a.Retry(ctx, lost, start, nil), a.Release(ctx, lost), a.Extend(ctx, lost, start),
			a.Done(ctx, work.Job{Kind: "k", Key: "1"}),
		} {
			if !errors.Is(err, work.ErrLeaseLost) {
				t.Errorf("case %d: %v", i, err)
			}
		}
		if got, ok, err := a.Find(ctx, "k", "1"); err != nil || !ok || got.Attempt != 0 || !got.LeaseUntil.Equal(start.Add(2*time.Minute)) || got.Token != "" {
			t.Fatalf("the loser changed the job: %+v, %t, %v", got, ok, err)
		}
		if err := b.Done(ctx, won[0]); err != nil {
			t.Fatal(err)
		}
		if err := b.Done(ctx, won[0]); !errors.Is(err, work.ErrLeaseLost) {
			t.Fatalf("done twice: %v", err)
		}
	})
}

// A holder that is late may still finish while nobody else has taken the job.
func TestLateHolderFinishes(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		put(t, s, work.Job{Kind: "k", Key: "1", Due: start})
		j := lease(t, s, start, 1)[0]
		if err := s.Extend(t.Context(), j, start.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := leaseKeys(t, s, start.Add(time.Hour-1000), 1); got != "" {
			t.Fatalf("the extended lease was taken: %q", got)
		}
		if err := s.Done(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRetryAndRelease(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		put(t, s, work.Job{Kind: "k", Key: "1", Due: start, Payload: []byte("a")})
		if err := s.Release(ctx, lease(t, s, start, 1)[0]); err != nil {
			t.Fatal(err)
		}
		j := lease(t, s, start, 1)[0]
		if j.Attempt != 0 || string(j.Payload) != "a" || !j.Due.Equal(start) {
			t.Fatalf("a released job changed: %+v", j)
		}
		later := start.Add(time.Hour)
		if err := s.Retry(ctx, j, later, nil); err != nil {
			t.Fatal(err)
		}
		if got := leaseKeys(t, s, later.Add(-time.Microsecond), 1); got != "" {
			t.Fatalf("leased before it is due again: %q", got)
		}
		j = lease(t, s, later, 1)[0]
		if j.Attempt != 1 || string(j.Payload) != "a" || !j.Due.Equal(later) {
			t.Fatalf("%+v", j)
		}
		if err := s.Retry(ctx, j, later, []byte{}); err != nil {
			t.Fatal(err)
		}
		if j = lease(t, s, later, 1)[0]; j.Attempt != 2 || len(j.Payload) != 0 {
			t.Fatalf("%+v", j)
		}
		if err := s.Retry(ctx, j, time.Time{}, nil); !errors.Is(err, work.ErrInvalid) {
			t.Fatalf("put off without a time: %v", err)
		}
	})
}

func TestGroupGoesInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		put(t, s,
			work.Job{Kind: "k", Key: "a3", Group: "a", Order: 3, Due: start.Add(-3 * time.Hour)},
			work.Job{Kind: "k", Key: "a1", Group: "a", Order: 1, Due: start},
			work.Job{Kind: "k", Key: "a2", Group: "a", Order: 2, Due: start.Add(-time.Hour)},
			work.Job{Kind: "k", Key: "b1", Group: "b", Order: 8, Due: start.Add(time.Hour)},
			work.Job{Kind: "k", Key: "b2", Group: "b", Order: 8, Due: start},
			work.Job{Kind: "k", Key: "free", Order: 9, Due: start},
			work.Job{Kind: "other", Key: "a0", Group: "a", Order: 0, Due: start})
		first := lease(t, s, start, 10)
		if len(first) != 2 || first[0].Key != "a1" || first[1].Key != "free" {
			t.Fatalf("%+v", first)
		}
		a1 := first[0]
		if err := s.Done(ctx, first[1]); err != nil {
			t.Fatal(err)
		}
		if err := s.Retry(ctx, a1, start.Add(time.Minute), nil); err != nil {
			t.Fatal(err)
		}
		if got := leaseKeys(t, s, start, 10); got != "" {
			t.Fatalf("%q overtook a job that is put off", got)
		}
		a1 = lease(t, s, start.Add(time.Minute), 1)[0]
		if err := s.Done(ctx, a1); err != nil {
			t.Fatal(err)
		}
		if got := leaseKeys(t, s, start.Add(time.Minute), 10); got != "a2" {
			t.Fatalf("behind a1: %q", got)
		}
		if err := s.Remove(ctx, "k", "a2"); err != nil {
			t.Fatal(err)
		}
		if got := leaseKeys(t, s, start.Add(time.Minute), 10); got != "a3" {
			t.Fatalf("behind a2: %q", got)
		}
		if got := leaseKeys(t, s, start.Add(time.Hour), 10); !strings.Contains(got, "b1") || strings.Contains(got, "b2") {
			t.Fatalf("of equal order, by key: %q", got)
		}
	})
}

func TestNextDue(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		want := func(at time.Time) {
			t.Helper()
			got, ok, err := s.NextDue(ctx, "k")
			if err != nil || ok == at.IsZero() || !got.Equal(at) {
				t.Fatalf("%s, %t, %v, want %s", got, ok, err, at)
			}
		}
		want(time.Time{})
		put(t, s, work.Job{Kind: "other", Key: "1", Due: start})
		want(time.Time{})
		put(t, s, work.Job{Kind: "k", Key: "2", Group: "g", Order: 2, Due: start})
		want(start)
		put(t, s, work.Job{Kind: "k", Key: "1", Group: "g", Order: 1, Due: start.Add(time.Hour)})
		want(start.Add(time.Hour)) // the one due first waits for the first of its group
		j := lease(t, s, start.Add(time.Hour), 1)[0]
		want(start.Add(time.Hour + time.Minute)) // when the lease runs out
		put(t, s, work.Job{Kind: "k", Key: "3", Due: start.Add(time.Hour + time.Second)})
		want(start.Add(time.Hour + time.Second))
		if err := s.Done(ctx, j); err != nil {
			t.Fatal(err)
		}
		want(start)
	})
}

// Many workers in several processes: every job is leased by one of them at a time, and groups go in order.
func TestWorkersShareTheJobs(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		const groups, each, loose = 8, 6, 40
		s := newStore(pool())
		var jobs []work.Job
		for g := range groups {
			for i := range each {
				jobs = append(jobs, work.Job{Kind: "k", Key: fmt.Sprintf("%d-%d", g, i), Group: fmt.Sprint("g", g), Order: int64(i), Due: start.Add(-time.Duration(i) * time.Second)})
			}
		}
		for i := range loose {
			jobs = append(jobs, work.Job{Kind: "k", Key: fmt.Sprint("loose", i), Due: start})
		}
		put(t, s, jobs...)

		var mu sync.Mutex
		var order []string
		held := make(map[string]bool)
		take := func(j work.Job) bool {
			mu.Lock()
			defer mu.Unlock()
			name := j.Group
			if name == "" {
				name = j.Key
			}
			was := held[name]
			held[name] = true
			order = append(order, j.Key)
			return !was
		}
		drop := func(j work.Job) {
			mu.Lock()
			defer mu.Unlock()
			delete(held, j.Group)
		}
		var workers sync.WaitGroup
		for w := range 8 {
			mine := newStore(pool())
			workers.Go(func() {
				for {
					got, err := mine.Lease(t.Context(), "k", start, 1+w%4, time.Minute)
					if err != nil {
						t.Error(err)
						return
					}
					for _, j := range got {
						if !take(j) {
							t.Errorf("job %s is leased twice at a time, or its group is", j.Key)
						}
						drop(j)
						if err := mine.Done(t.Context(), j); err != nil {
							t.Error(err)
						}
					}
					if n, err := mine.Count(t.Context(), "k"); err != nil || n == 0 {
						if err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		workers.Wait()
		if len(order) != len(jobs) {
			t.Fatalf("%d jobs were leased %d times", len(jobs), len(order))
		}
		for g := range groups {
			var of []string
			for _, key := range order {
				if strings.HasPrefix(key, fmt.Sprintf("%d-", g)) {
					of = append(of, key)
				}
			}
			if !slices.IsSorted(of) {
				t.Errorf("group %d went %v", g, of)
			}
		}
	})
}
