package work_test

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/work"
)

// start is when the tests of this package begin.
var start = time.Date(2026, 3, 15, 12, 0, 0, 34556000, time.UTC)

func put(t *testing.T, s *work.Store, jobs ...work.Job) {
	t.Helper()
	if err := s.PutAll(t.Context(), jobs); err != nil {
		t.Fatal(err)
	}
}

func lease(t *testing.T, s *work.Store, now time.Time, limit int) []work.Job {
	t.Helper()
	jobs, err := s.Lease(t.Context(), "k", now, limit, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// leaseKeys leases and returns the keys, joined.
func leaseKeys(t *testing.T, s *work.Store, now time.Time, limit int) string {
	t.Helper()
	var keys []string
	for _, j := range lease(t, s, now, limit) {
		keys = append(keys, j.Key)
	}
	return strings.Join(keys, " ")
}

func TestPutLeavesAnExistingJobAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		first := work.Job{Kind: "k", Key: "1", Group: "g", Order: 7, Due: start, Attempt: 2, Payload: []byte{0, 1, 255}}
		put(t, s, first)
		if err := s.Put(t.Context(), work.Job{Kind: "k", Key: "1", Due: start.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		got, ok, err := s.Find(t.Context(), "k", "1")
		if err != nil || !ok || !reflect.DeepEqual(got, first) {
			t.Fatalf("%+v, %t, %v, want %+v", got, ok, err, first)
		}
		put(t, s, work.Job{Kind: "other", Key: "1", Due: start})
		if got, _, err := s.Find(t.Context(), "other", "1"); err != nil || len(got.Payload) != 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if _, ok, err := s.Find(t.Context(), "k", "2"); ok || err != nil {
			t.Fatalf("a job that was never put: %t, %v", ok, err)
		}
	})
}

func TestPutAllIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		jobs := make([]work.Job, 345)
		for i := range jobs {
			jobs[i] = work.Job{Kind: "k", Key: fmt.Sprint(i), Due: start}
		}
		bad := append(jobs[:len(jobs):len(jobs)], work.Job{Kind: "k", Key: "bad"})
		if err := s.PutAll(t.Context(), bad); !errors.Is(err, work.ErrInvalid) {
			t.Fatalf("a job without due time: %v", err)
		}
		want := func(n int64) {
			t.Helper()
			if got, err := s.Count(t.Context(), "k"); err != nil || got != n {
				t.Fatalf("%d jobs, %v, want %d", got, err, n)
			}
		}
		want(0)
		put(t, s, jobs...)
		put(t, s, jobs...)
		put(t, s)
		want(345)
	})
}

func TestJobBounds(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, long := newStore(pool()), strings.Repeat("x", work.MaxNameBytes+1)
		for i, j := range []work.Job{
			{Key: "1", Due: start},
			{Kind: "k", Due: start},
			{Kind: long, Key: "1", Due: start},
			{Kind: "k", Key: long, Due: start},
			{Kind: "k", Key: "1", Due: start, Group: long},
			{Kind: "k", Key: "1", Due: start, Payload: make([]byte, work.MaxPayloadBytes+1)},
			{Kind: "k", Key: "1"},
		} {
			if err := s.Put(t.Context(), j); !errors.Is(err, work.ErrInvalid) {
				t.Errorf("case %d: %v", i, err)
			}
		}
		for _, limit := range []int{0, -1, work.MaxLease + 1} {
			if _, err := s.Lease(t.Context(), "k", start, limit, time.Second); !errors.Is(err, work.ErrInvalid) {
				t.Errorf("leasing %d: %v", limit, err)
			}
		}
		if _, err := s.Lease(t.Context(), "k", start, 1, 0); !errors.Is(err, work.ErrInvalid) {
			t.Errorf("leasing for no time: %v", err)
		}
	})
}

func TestRemove(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		put(t, s, work.Job{Kind: "k", Key: "1", Due: start}, work.Job{Kind: "other", Key: "1", Due: start})
		held := lease(t, s, start, 1)[0]
		for range 2 {
			if err := s.Remove(t.Context(), "k", "1"); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Retry(t.Context(), held, start, nil); !errors.Is(err, work.ErrLeaseLost) {
			t.Fatalf("the holder of a removed job: %v", err)
		}
		if n, err := s.Count(t.Context(), "k"); err != nil || n != 0 {
			t.Fatalf("%d, %v", n, err)
		}
		if n, err := s.Count(t.Context(), "other"); err != nil || n != 1 {
			t.Fatalf("the job of another kind: %d, %v", n, err)
		}
	})
}

func TestPutsOfManyCallersShareTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newStore(open())
		const callers, each = 50, 7
		var running sync.WaitGroup
		for c := range callers {
			running.Go(func() {
				var jobs []work.Job
				for i := range each { // the first one is everybody's
					jobs = append(jobs, work.Job{Kind: "k", Key: fmt.Sprint(min(i, 1) * (c*each + i)), Due: start})
				}
				if err := s.PutAll(t.Context(), jobs); err != nil {
					t.Error(err)
				}
				if _, found, err := s.Find(t.Context(), "k", jobs[each-1].Key); err != nil || !found {
					t.Errorf("a job that was put is not there: %v", err)
				}
			})
		}
		running.Wait()
		if n, err := s.Count(t.Context(), "k"); err != nil || n != callers*(each-1)+1 {
			t.Errorf("%d jobs, %v", n, err)
		}
	})
}

func TestAJobThatTheStoreRefusesFailsNobodyElse(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newStore(open())
		const callers = 40
		var running sync.WaitGroup
		for c := range callers {
			running.Go(func() {
				j := work.Job{Kind: "k", Key: fmt.Sprint(c), Due: start}
				if c == 20 {
					j.Kind = "\xff" // which is no text to PostgreSQL
				}
				if err := s.Put(t.Context(), j); err != nil && c != 20 {
					t.Error(err)
				}
			})
		}
		running.Wait()
		if n, err := s.Count(t.Context(), "k"); err != nil || n != callers-1 {
			t.Errorf("%d jobs, %v", n, err)
		}
	})
}
