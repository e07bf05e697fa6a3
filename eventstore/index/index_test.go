package index_test

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/index"
)

// history is the naive model: all records of a log.
type history []eventstore.Record

func (h history) head() eventstore.Head {
	if len(h) == 0 {
		return eventstore.Head{}
	}
	return eventstore.Head{Seq: int64(len(h)), Hash: h[len(h)-1].Hash}
}

func (h history) stream(name string, after int64, limit int) (seqs []int64) {
	for i := range h {
		if h[i].Stream == name && h[i].Seq > after && len(seqs) < limit {
			seqs = append(seqs, h[i].Seq)
		}
	}
	return seqs
}

func (h history) subjects(names []string) (seqs []int64) {
	for i := range h {
		if slices.Contains(names, h[i].Subject) {
			seqs = append(seqs, h[i].Seq)
		}
	}
	return seqs
}

func (h history) lookup(keys []string) map[string]int64 {
	taken := map[string]int64{}
	for i := range h {
		for _, k := range h[i].Keys {
			if _, there := taken[k]; !there && slices.Contains(keys, k) {
				taken[k] = h[i].Seq
			}
		}
	}
	return taken
}

// grow appends random records: a hot stream, a few others, subjects that come back, keys that nearly never do.
func (h history) grow(p *place, random *rand.Rand, salt string, n int) history {
	for range n {
		seq := int64(len(h)) + 1
		stream := "hot"
		if random.IntN(4) == 0 {
			stream = fmt.Sprintf("s%d", random.IntN(10))
		}
		var keys []string
		for range random.IntN(3) {
			keys = append(keys, fmt.Sprintf("k%d", random.IntN(100_000)))
		}
		r := record(salt, seq, stream, fmt.Sprintf("p%d", random.IntN(200)), keys...)
		p.put(&r)
		h = append(h, r)
	}
	return h
}

// verify asks an index what the model knows.
func (h history) verify(t *testing.T, x *index.Index, random *rand.Rand) {
	t.Helper()
	head := h.head()
	for range 5 {
		stream := []string{"hot", "s1", "s7", "none"}[random.IntN(4)]
		after, limit := random.Int64N(head.Seq+2), 1+random.IntN(2*len(h)+1)
		records, err := x.ReadStream(t.Context(), head, stream, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		if want := h.stream(stream, after, limit); !slices.Equal(seqsOf(records), want) {
			t.Fatalf("stream %s behind %d, at most %d:\n%v, want\n%v", stream, after, limit, seqsOf(records), want)
		}
		names := []string{"none", fmt.Sprintf("p%d", random.IntN(200)), fmt.Sprintf("p%d", random.IntN(200))}
		if records, err = x.ReadSubjects(t.Context(), head, names); err != nil {
			t.Fatal(err)
		}
		if want := h.subjects(names); !slices.Equal(seqsOf(records), want) {
			t.Fatalf("subjects %v: %v, want %v", names, seqsOf(records), want)
		}
		keys := []string{"none", fmt.Sprintf("k%d", random.IntN(100_000))}
		for range 20 {
			if r := h[random.IntN(len(h))]; len(r.Keys) > 0 {
				keys = append(keys, r.Keys[0])
			}
		}
		taken, err := x.Lookup(t.Context(), 0, head.Seq, keys)
		if err != nil {
			t.Fatal(err)
		}
		if want := h.lookup(keys); !maps.Equal(taken, want) {
			t.Fatalf("keys %v: %v, want %v", keys, taken, want)
		}
	}
}

func seqsOf(records []eventstore.Record) (seqs []int64) {
	for i := range records {
		seqs = append(seqs, records[i].Seq)
	}
	return seqs
}

// TestAgainstModel grows a log beside several indexes, which are told of it or are not, write and merge, close and open: each
// must find what the naive model finds, whenever it is asked.
func TestAgainstModel(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			var h history
			handles := []*index.Index{p.index(7), p.index(7), p.index(50)}
			for step := range 60 {
				before, was := h.head(), len(h)
				told := random.IntN(4)
				if told < len(handles) {
					if err := handles[told].Ready(t.Context(), before); err != nil {
						t.Fatal(err)
					}
				}
				h = h.grow(p, random, "a", 1+random.IntN(40))
				if told < len(handles) {
					handles[told].Added(before, h[was:])
				}
				x := handles[random.IntN(len(handles))]
				h.verify(t, x, random)
				switch random.IntN(8) {
				case 0:
					if err := x.CatchUp(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
				case 1:
					i := random.IntN(len(handles))
					if err := handles[i].Close(); err != nil {
						t.Fatal(err)
					}
					handles[i] = p.index(7)
				}
				if step%10 == 9 {
					checked(t, x)
				}
			}
			for _, x := range handles {
				if err := x.CatchUp(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				h.verify(t, x, random)
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			}
			reopened := p.index(7)
			h.verify(t, reopened, random)
			if n := checked(t, reopened); n != int64(len(h)) {
				t.Errorf("%d records are in runs after all were caught up with, of %d", n, len(h))
			}
			if runs := p.count("SELECT count(*) FROM index_runs WHERE state = 1"); runs > 40 {
				t.Errorf("%d runs are left of %d records: they are not merged", runs, len(h))
			}
			if err := reopened.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func checked(t *testing.T, x *index.Index) int64 {
	t.Helper()
	n, _, err := x.Check(t.Context(), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestManyPages: runs of many pages, a stream that spans them, and merges of merges.
func TestManyPages(t *testing.T) {
	p := sqlitePlace(t)
	const n = 9000
	random := rand.New(rand.NewPCG(1, 2))
	h := history(nil).grow(p, random, "a", n)
	x := p.index(60)
	if err := x.CatchUp(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if level := p.count("SELECT max(level) FROM index_runs WHERE state = 1"); level < 2 {
		t.Errorf("merged %d times at most", level)
	}
	if pages := p.count("SELECT max(pages) FROM index_runs WHERE state = 1"); pages < 3 {
		t.Errorf("the largest run has %d pages", pages)
	}
	if left := p.count("SELECT count(*) FROM index_runs WHERE state <> 1"); left != 0 {
		t.Errorf("%d runs were left over", left)
	}
	if pages, known := p.count("SELECT count(*) FROM index_pages"), p.count("SELECT sum(pages + extra) FROM index_runs"); pages != known {
		t.Errorf("%d pages are there, and %d belong to runs", pages, known)
	}
	h.verify(t, x, random)
	records, err := x.ReadStream(t.Context(), h.head(), "hot", 0, n)
	if err != nil || !slices.Equal(seqsOf(records), h.stream("hot", 0, n)) {
		t.Errorf("%d records of the hot stream, %v", len(records), err)
	}
	checked(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	small := index.New(index.DB{Read: p.db, Events: p.events, Write: p.write, Among: p.among}, index.Options{Records: 60, FilterBytes: 1})
	h.verify(t, small, random) // without any filter
	if err := small.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOtherHistory: a standby without the newest records takes over, and others are written in their place. What an index had
// in memory, and what had been written of it, is not believed.
func TestOtherHistory(t *testing.T) {
	for name, open := range places {
		for _, kept := range []int{100, 25, 0} { // behind the runs, within them, nothing
			for _, again := range []int{0, 30, 200} { // shorter than before, or longer
				t.Run(fmt.Sprintf("%s %d+%d", name, kept, again), func(t *testing.T) {
					p := open(t)
					random := rand.New(rand.NewPCG(3, 4))
					h := history(nil).grow(p, random, "a", 120)
					x := p.index(30)
					h.verify(t, x, random)
					if err := x.CatchUp(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					h = h.grow(p, random, "a", 5)
					h.verify(t, x, random)
					p.allowDelete()
					p.exec("DELETE FROM events WHERE seq > $1", kept)
					before := x.Tip(0)
					h = h[:kept].grow(p, random, "b", again)
					x.Saw(before, h.head())
					if len(h) > 0 {
						h.verify(t, x, random)
						checked(t, x)
					}
					taken, err := x.Lookup(t.Context(), 0, h.head().Seq, []string{"none"})
					if err != nil || len(taken) > 0 {
						t.Errorf("%v, %v", taken, err)
					}
					if err := x.Close(); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}

// allowDelete takes away what keeps a log from being shortened.
func (p *place) allowDelete() {
	p.tb.Helper()
	for _, drop := range []string{"DROP TRIGGER events_delete", "ALTER TABLE events DISABLE TRIGGER append_only"} {
		if _, err := p.db.ExecContext(p.tb.Context(), drop); err == nil {
			return
		}
	}
	p.tb.Fatal("the trigger cannot be taken away")
}

// TestDiedWhileMerging: what a process leaves behind that dies in the middle of a merge is cleared away, but not while its writer
// may live.
func TestDiedWhileMerging(t *testing.T) {
	p := sqlitePlace(t)
	random := rand.New(rand.NewPCG(5, 6))
	h := history(nil).grow(p, random, "a", 100)
	const left = `INSERT INTO index_runs (partition, run, state, made_at, from_seq, to_seq, level, entries, names, digest, pages, extra)
		VALUES (0, $1, 0, $2, 0, 99, 1, 1, 1, 1, 1, 1)`
	p.exec(left, 5, 1)
	p.exec(left, 6, int64(1)<<60)
	p.exec("INSERT INTO index_pages (partition, page, body) VALUES (0, $1, $3), (0, $2, $3)", 5<<20, 6<<20, []byte("x"))
	x := p.index(10)
	if err := x.CatchUp(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := p.count("SELECT count(*) FROM index_runs WHERE run = 5") + p.count("SELECT count(*) FROM index_pages WHERE page = $1", 5<<20); n != 0 {
		t.Error("what a dead process left is still there")
	}
	if n := p.count("SELECT count(*) FROM index_pages WHERE page = $1", 6<<20); n != 1 {
		t.Error("pages were taken from a process that may still write")
	}
	h.verify(t, x, random)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestConcurrent: readers ask two indexes while a log grows, tables are written and runs are merged and swept.
func TestConcurrent(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			handles := []*index.Index{p.index(10), p.index(10)}
			var published atomic.Pointer[history]
			random := rand.New(rand.NewPCG(11, 12))
			h := history(nil).grow(p, random, "a", 50)
			first := h
			published.Store(&first)
			done := make(chan struct{})
			var readers sync.WaitGroup
			for n := range 4 {
				readers.Go(func() {
					random := rand.New(rand.NewPCG(13, uint64(n)))
					for {
						select {
						case <-done:
							return
						default:
							published.Load().ask(t, handles[n%2], random)
						}
					}
				})
			}
			for range 60 {
				before, was := h.head(), len(h)
				if err := handles[0].Ready(t.Context(), before); err != nil {
					t.Error(err)
				}
				h = h.grow(p, random, "a", 10)
				handles[0].Added(before, h[was:])
				grown := h
				published.Store(&grown)
			}
			close(done)
			readers.Wait()
			for _, x := range handles {
				h.verify(t, x, random)
				if err := x.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// ask asks for a subject and a part of a stream, from a goroutine that must not end the test. The log may have grown meanwhile.
func (h history) ask(t *testing.T, x *index.Index, random *rand.Rand) {
	head, subject := h.head(), fmt.Sprintf("p%d", random.IntN(200))
	older := func(seq int64) bool { return seq <= head.Seq }
	records, err := x.ReadSubjects(t.Context(), head, []string{subject})
	if err != nil {
		t.Error(err)
	}
	if got, want := slices.Collect(filter(seqsOf(records), older)), h.subjects([]string{subject}); !slices.Equal(got, want) {
		t.Errorf("subject %s up to %d: %v, want %v", subject, head.Seq, got, want)
	}
	after := random.Int64N(head.Seq)
	records, err = x.ReadStream(t.Context(), head, "hot", after, len(h))
	if err != nil {
		t.Error(err)
	}
	if got, want := slices.Collect(filter(seqsOf(records), older)), h.stream("hot", after, len(h)); !slices.Equal(got, want) {
		t.Errorf("hot stream behind %d, up to %d: %v, want %v", after, head.Seq, got, want)
	}
}

func filter(seqs []int64, keep func(int64) bool) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for _, seq := range seqs {
			if keep(seq) && !yield(seq) {
				return
			}
		}
	}
}
