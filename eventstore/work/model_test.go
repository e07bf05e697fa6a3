package work_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore/work"
)

// Any sequence of calls does to the store what it does to the model.
func TestStoreAgainstModel(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		var runs atomic.Int64
		rapid.Check(t, func(rt *rapid.T) {
			c := &machine{s: s, kind: fmt.Sprint("k", runs.Add(1)), now: start, m: model{jobs: make(map[string]work.Job)}}
			rt.Repeat(c.actions(t))
			if n, err := s.Count(t.Context(), c.kind); err != nil || int(n) != len(c.m.jobs) {
				rt.Fatalf("%d jobs, %v, want %d", n, err, len(c.m.jobs))
			}
		})
	})
}

// model is what a Store is meant to do, in the plainest way.
type model struct {
	jobs map[string]work.Job
}

func (m *model) eligible(now time.Time) []string {
	var keys []string
	for key, j := range m.jobs {
		first := true
		for _, o := range m.jobs {
			if j.Group != "" && o.Group == j.Group && (o.Order < j.Order || o.Order == j.Order && o.Key < j.Key) {
				first = false
			}
		}
		if first && !j.Due.After(now) && !j.LeaseUntil.After(now) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := m.jobs[a], m.jobs[b]
		if c := x.Due.Compare(y.Due); c != 0 {
			return c
		}
		if x.Order != y.Order {
			return int(x.Order - y.Order)
		}
		return strings.Compare(a, b)
	})
	return keys
}

// machine runs the same steps on a store and on the model.
type machine struct {
	s    *work.Store
	m    model
	kind string
	now  time.Time
	held []work.Job // every lease ever given
}

func (c *machine) actions(outer *testing.T) map[string]func(*rapid.T) {
	ctx := outer.Context()
	settle := func(t *rapid.T, do func(work.Job) error, model func(*work.Job) bool) {
		if len(c.held) == 0 {
			return // nothing was leased yet
		}
		j := rapid.SampledFrom(c.held).Draw(t, "job")
		current, ok := c.m.jobs[j.Key]
		ok = ok && current.Token == j.Token
		err := do(j)
		if ok != (err == nil) || err != nil && !errors.Is(err, work.ErrLeaseLost) {
			t.Fatalf("%+v: %v, has the lease: %t", j, err, ok)
		}
		if ok {
			if keep := model(&current); keep {
				c.m.jobs[j.Key] = current
			} else {
				delete(c.m.jobs, j.Key)
			}
		}
	}
	return map[string]func(*rapid.T){
		"put": func(t *rapid.T) {
			j := work.Job{
				Kind: c.kind, Key: rapid.StringMatching("[a-f]").Draw(t, "key"), Group: rapid.SampledFrom([]string{"", "g", "h"}).Draw(t, "group"),
				Order: int64(rapid.IntRange(-2, 3).Draw(t, "order")), Due: c.now.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "due")) * time.Second),
			}
			if err := c.s.Put(ctx, j); err != nil {
				t.Fatal(err)
			}
			if _, ok := c.m.jobs[j.Key]; !ok {
				c.m.jobs[j.Key] = j
			}
		},
		"lease": func(t *rapid.T) { c.lease(ctx, t) },
		"done": func(t *rapid.T) {
			settle(t, func(j work.Job) error { return c.s.Done(ctx, j) }, func(*work.Job) bool { return false })
		},
		"retry": func(t *rapid.T) {
			due := c.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "due")) * time.Second)
			settle(t, func(j work.Job) error { return c.s.Retry(ctx, j, due, nil) }, func(j *work.Job) bool {
				j.Due, j.Token, j.LeaseUntil = due, "", time.Time{}
				j.Attempt++
				return true
			})
		},
		"release": func(t *rapid.T) {
			settle(t, func(j work.Job) error { return c.s.Release(ctx, j) }, func(j *work.Job) bool {
				j.Token, j.LeaseUntil = "", time.Time{}
				return true
			})
		},
		"remove": func(t *rapid.T) {
			key := rapid.StringMatching("[a-f]").Draw(t, "key")
			if err := c.s.Remove(ctx, c.kind, key); err != nil {
				t.Fatal(err)
			}
			delete(c.m.jobs, key)
		},
		"time passes": func(t *rapid.T) {
			c.now = c.now.Add(time.Duration(rapid.IntRange(1, 4).Draw(t, "seconds")) * time.Second)
		},
		"next due": func(t *rapid.T) {
			next, ok, err := c.s.NextDue(ctx, c.kind)
			if err != nil {
				t.Fatal(err)
			}
			if due := ok && !next.After(c.now); due != (len(c.m.eligible(c.now)) > 0) {
				t.Fatalf("next due %s, %t at %s; eligible: %v", next, ok, c.now, c.m.eligible(c.now))
			}
		},
	}
}

func (c *machine) lease(ctx context.Context, t *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	got, err := c.s.Lease(ctx, c.kind, c.now, limit, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	want := c.m.eligible(c.now)
	want = want[:min(limit, len(want))]
	var keys []string
	for _, j := range got {
		keys = append(keys, j.Key)
		expected := c.m.jobs[j.Key]
		if j.Attempt != expected.Attempt || !j.Due.Equal(expected.Due) || j.Group != expected.Group || j.Order != expected.Order {
			t.Fatalf("%+v, want %+v", j, expected)
		}
		c.m.jobs[j.Key] = j
		c.held = append(c.held, j)
	}
	if !slices.Equal(keys, want) {
		t.Fatalf("leased %v, want %v", keys, want)
	}
}
