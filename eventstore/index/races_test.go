package index_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/index"
)

func fill(p *place, n int) history {
	var h history
	for i := range n {
		seq := int64(i + 1)
		r := record("a", seq, "s", fmt.Sprintf("p%d", seq), fmt.Sprintf("k%d", seq))
		p.put(&r)
		h = append(h, r)
	}
	return h
}

// A key that is in the log must be found, whatever drops memory meanwhile.
func TestLookupWhileMemoryIsDropped(t *testing.T) {
	for name, open := range places {
		for _, who := range []string{"same", "other"} {
			t.Run(name+"/"+who, func(t *testing.T) {
				p := open(t)
				h := fill(p, 100)
				x := p.index(7)
				defer x.Close()
				renewer := x
				if who == "other" {
					renewer = p.index(7)
					defer renewer.Close()
				}
				if err := x.CatchUp(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var wg sync.WaitGroup
				var asked, missed, streams, errs atomic.Int64
				for range 4 {
					wg.Go(func() {
						for ctx.Err() == nil {
							taken, err := x.Lookup(ctx, 0, 100, []string{"k50", "k100"})
							if err != nil {
								errs.Add(1)
								continue
							}
							asked.Add(1)
							if taken["k50"] != 50 || taken["k100"] != 100 {
								missed.Add(1)
							}
							rs, err := x.ReadStream(ctx, h.head(), "s", 0, 1000)
							if err == nil && len(rs) != 100 {
								streams.Add(1)
							}
						}
					})
				}
				wg.Go(func() {
					for ctx.Err() == nil {
						if err := renewer.Renew(ctx, 0); err != nil && ctx.Err() == nil {
							t.Log("renew:", err)
						}
					}
				})
				wg.Wait()
				t.Logf("asked %d, not found %d, short streams %d, errors %d", asked.Load(), missed.Load(), streams.Load(), errs.Load())
				if missed.Load() > 0 || streams.Load() > 0 {
					t.Errorf("%d of %d lookups did not find a key that is in the log; %d streams were short", missed.Load(), asked.Load(), streams.Load())
				}
			})
		}
	}
}

// The pages of fences and filters are gone (a table left out of a dump, a swap of unknown outcome): a process that starts makes the index anew.
func TestLoadWithoutPages(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			fill(p, 100)
			x := p.index(7)
			if err := x.CatchUp(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			p.exec("DELETE FROM index_pages")
			y := p.index(7)
			defer y.Close()
			taken, err := y.Lookup(t.Context(), 0, 100, []string{"k50"})
			if err != nil || taken["k50"] != 50 {
				t.Errorf("%v, %v", taken, err)
			}
			n, _, err := p.index(7).Check(t.Context(), 0, nil)
			t.Logf("check: %d, %v", n, err)
		})
	}
}

// A page of entries is missing in a run that is due to be merged: merging must end.
func TestMergeWithoutPage(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			fill(p, 7*7)
			x := p.index(7)
			if err := x.CatchUp(t.Context(), 1); err != nil { // seven runs of level 0
				t.Fatal(err)
			}
			p.exec("DELETE FROM index_pages WHERE page = (SELECT min(run) * 1048576 FROM index_runs WHERE state = 1)")
			for i := range 7 {
				seq := int64(50 + i)
				r := record("a", seq, "s", "p", fmt.Sprintf("k%d", seq))
				p.put(&r)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := x.CatchUp(ctx, 1); errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
				t.Errorf("merging went on for ever: %v", err)
			}
		})
	}
}

// flaky is a place whose commits may succeed and not say so.
type flaky struct {
	*place
	fail func(n int) bool
	n    atomic.Int64
}

func (f *flaky) index(records int64) *index.Index {
	return f.closing(index.New(index.DB{Read: f.db, Events: f.events, Write: f.write, Among: f.among}, index.Options{Records: records}))
}

func (f *flaky) write(ctx context.Context, change func(context.Context, index.Tx) error) error {
	if err := f.place.write(ctx, change); err != nil {
		return err
	}
	if f.fail(0) {
		return errors.New("the connection broke while committing")
	}
	return nil
}

// The swap of a merge commits, but the answer is lost: the run that is in use must not lose its pages.
func TestSwapOfUnknownOutcome(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			fill(p, 8*7)
			f := &flaky{place: p}
			f.fail = func(int) bool {
				return p.count("SELECT count(*) FROM index_runs WHERE level = 1 AND state = 1") == 1 && f.once()
			}
			x := f.index(7)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := x.CatchUp(ctx, 1)
			t.Logf("catch up: %v", err)
			live := p.count("SELECT run FROM index_runs WHERE level = 1 AND state = 1")
			if n := p.count("SELECT count(*) FROM index_pages WHERE page >= $1 AND page < $2", live<<20, (live+1)<<20); n == 0 {
				t.Error("the run in use has no pages")
			}
			y := p.index(7)
			defer y.Close()
			taken, err := y.Lookup(t.Context(), 0, 56, []string{"k50"})
			if err != nil || taken["k50"] != 50 {
				t.Errorf("the next process: %v, %v", taken, err)
			}
		})
	}
}

func (f *flaky) once() bool {
	return f.n.Add(1) == 1
}

// A lookup up to a position that the database does not show (another server answers) is no lookup.
func TestLookupShortOfUpTo(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			fill(p, 5)
			x := p.index(7)
			defer x.Close()
			if taken, err := x.Lookup(t.Context(), 0, 10, []string{"k7"}); err == nil {
				t.Errorf("asked for all records up to 10 of a log of 5: %v, no error", taken)
			}
		})
	}
}

// A merge takes longer than lostAfter (or the clock of another machine is ahead): who sweeps, and has seen the run as left over,
// must not delete the pages of what has come into use since.
func TestSweepOfARunThatComesIntoUse(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			fill(p, 8*7)
			x := p.index(7)
			// The sweeper: its list of what is left over was read while the run was being made; its first deletion comes behind the swap.
			sweeper := &flaky{place: p, fail: func(int) bool { return false }}
			y := p.closing(index.New(index.DB{Read: p.db, Events: p.events, Among: p.among, Write: func(ctx context.Context, change func(context.Context, index.Tx) error) error {
				if sweeper.once() {
					p.exec("UPDATE index_runs SET state = CASE run WHEN 12345 THEN 1 ELSE 2 END") // the swap of the slow one commits now
				}
				return p.write(ctx, change)
			}}, index.Options{Records: 7}))
			if err := x.CatchUp(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			// The run as a slow merge has it right before its swap.
			run := p.count("SELECT run FROM index_runs WHERE state = 1")
			p.exec("INSERT INTO index_pages SELECT partition, page + $1, body FROM index_pages WHERE page >= $2", (12345-run)<<20, run<<20)
			p.exec(`INSERT INTO index_runs SELECT partition, 12345, 0, 1, from_seq, to_seq, level, entries, names, digest, pages, extra
				FROM index_runs WHERE state = 1`)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			t.Log(y.CatchUp(ctx, 1))
			live := p.count("SELECT count(*) FROM index_runs WHERE run = 12345 AND state = 1")
			pages := p.count("SELECT count(*) FROM index_pages WHERE page >= $1 AND page < $2", int64(12345)<<20, int64(12346)<<20)
			t.Logf("live %d, pages %d", live, pages)
			if live == 1 && pages == 0 {
				t.Error("the pages of a run in use were deleted")
			}
		})
	}
}

// Extending while a fork happens: records of one history are appended by this process, and its acknowledgement (Added) comes while
// another goroutine has already read the tail of the log that took over.
func TestExtendMixesHistories(t *testing.T) {
	for i := 0; i < 60 && !t.Failed(); i++ {
		extendMixes(t)
	}
}

func extendMixes(t *testing.T) {
	p := sqlitePlace(t)
	h := fill(p, 10)
	x := p.index(1000)
	defer x.Close()
	if err := x.Ready(t.Context(), h.head()); err != nil {
		t.Fatal(err)
	}
	// The fork: 11' to 15' are in the log. 11 to 12 were answered by the server that is gone.
	for seq := int64(11); seq <= 15; seq++ {
		r := record("b", seq, "s", "p", "new"+string(rune('a'+seq-11)))
		p.put(&r)
	}
	old := history{record("a", 11, "s", "p", "old11"), record("a", 12, "s", "p", "old12")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { _, err := x.Lookup(ctx, 0, 15, []string{"newa"}); done <- err }()
	time.Sleep(time.Duration(rand.IntN(800)) * time.Microsecond)
	x.Added(h.head(), old) // at the same time
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	taken, err := x.Lookup(ctx, 0, 15, []string{"newa", "newb", "newe"})
	if err != nil || len(taken) != 3 {
		t.Errorf("%v, %v; tip %d", taken, err, x.Tip(0).Seq)
	}
}
