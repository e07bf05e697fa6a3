package simulation

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// usual is how many worlds TestSimulation runs when it is not told anything: those of the seeds 1, 2, 3, ...
const usual = 220

// shown is how many findings of a world are written.
const shown = 12

// bubble runs f in a bubble of its own.
func bubble(t *testing.T, f func()) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { f() })
}

// seeds are the seeds to run, in order. SIM_SEED alone is one of them; with SIM_FOR they begin there, and go on for so long.
func seeds(t *testing.T) (next func() (uint64, bool), told bool) {
	t.Helper()
	var n atomic.Uint64
	from, last, until := uint64(1), uint64(usual), time.Time{}
	if s := os.Getenv("SIM_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("SIM_SEED: %v", err)
		}
		from, last, told = seed, seed, true
	}
	if s := os.Getenv("SIM_FOR"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("SIM_FOR: %v", err)
		}
		if !told {
			from = uint64(time.Now().Unix()) * 1_000_000
		}
		until, told = time.Now().Add(d), true
	}
	return func() (uint64, bool) {
		seed := from + n.Add(1) - 1
		if !until.IsZero() {
			return seed, time.Now().Before(until)
		}
		return seed, seed <= last
	}, told
}

// repeat is the command that runs a world again.
func repeat(seed uint64) string {
	return asked() + fmt.Sprintf("SIM_SEED=%d go test -run '^TestSimulation$' ./cmd/ledger/simulation", seed)
}

// totals are the figures of many worlds.
type totals struct {
	mu                                                        sync.Mutex
	worlds, steps, requests, attempts, callbacks, records, ps int
	payouts, payins, refunds                                  int
	simulated                                                 time.Duration
	seen, counts                                              map[string]int
}

func (s *totals) add(w *world) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.worlds++
	s.steps += int(w.step)
	s.requests += len(w.requests)
	s.attempts += w.attempts
	s.callbacks += w.callbacks
	s.records += w.records
	s.ps += w.processes
	s.payouts += len(w.bank.deeds)
	s.payins += len(w.bank.payments)
	s.refunds += len(w.bank.refunds)
	s.simulated += w.lasted
	for what, n := range w.seen {
		s.seen[what] += n
	}
	for what, n := range w.counts {
		s.counts[what] += n
	}
}

// tabulate writes figures, the largest first.
func tabulate(to io.Writer, of map[string]int) {
	for _, what := range slices.SortedFunc(maps.Keys(of), func(a, b string) int { return cmp.Or(of[b]-of[a], strings.Compare(a, b)) }) {
		fmt.Fprintf(to, "%8d  %s\n", of[what], what)
	}
}

func (s *totals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d worlds, %s of their time, %d steps; %d processes; %d requests asked %d times, %d callbacks; %d records; "+
		"at the bank %d transfers, %d payments, %d refunds\n", s.worlds, s.simulated.Round(time.Second), s.steps, s.ps, s.requests, s.attempts,
		s.callbacks, s.records, s.payouts, s.payins, s.refunds)
	tabulate(&b, s.seen)
	fmt.Fprintln(&b, "and of faults")
	tabulate(&b, s.counts)
	sum := 0
	for _, n := range s.counts {
		sum += n
	}
	fmt.Fprintf(&b, "%8d  in all\n", sum)
	return b.String()
}

// TestSimulation runs worlds: a few hundred, or as the environment says (see seeds). SIM_TRACE=FILE writes what the dice made of one, SIM_LOG=1 what
// its processes log.
func TestSimulation(t *testing.T) {
	image := emptyWork(t)
	next, told := seeds(t)
	sum := &totals{seen: map[string]int{}, counts: map[string]int{}}
	begun := time.Now()
	var running sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		running.Go(func() {
			for seed, more := next(); more && !t.Failed(); seed, more = next() {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					trace := os.Getenv("SIM_TRACE")
					w := runSeed(t, seed, plant{}, image, func(w *world) {
						w.verbose, w.listed = os.Getenv("SIM_LOG") != "", trace != ""
					})
					sum.add(w)
					if seed%anewOf == 0 {
						if err := w.rebuildViews(t.Context()); err != nil {
							t.Error(err)
						}
					}
					if trace != "" {
						if err := os.WriteFile(trace, []byte(strings.Join(w.lines, "")), 0o600); err != nil {
							t.Error(err)
						}
					}
					for _, f := range w.findings[:min(shown, len(w.findings))] {
						t.Error(f)
					}
					if t.Failed() {
						t.Errorf("%d findings; history %s; again: %s", len(w.findings), w.sum(), repeat(seed))
					}
				})
			}
		})
	}
	running.Wait()
	figures := fmt.Sprintf("%s in %s\n", sum, time.Since(begun).Round(time.Second))
	t.Log(figures)
	if told && !testing.Verbose() {
		os.Stdout.WriteString(figures)
	}
}

// pairs is how many pairs of runs TestSameSeedSameHistory makes when SIM_PAIRS does not say.
const pairs = 16

// TestSameSeedSameHistory runs worlds twice: each step, each id, each time and each hash of the log come out the same.
func TestSameSeedSameHistory(t *testing.T) {
	image := emptyWork(t)
	n := uint64(pairs)
	if s := os.Getenv("SIM_PAIRS"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("SIM_PAIRS: %v", err)
		}
	}
	for seed := range n {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			list := func(w *world) { w.listed = true }
			first, second := runSeed(t, seed, plant{}, image, list), runSeed(t, seed, plant{}, image, list)
			if first.sum() != second.sum() {
				t.Error(parting(first.lines, second.lines))
			}
		})
	}
}

// parting tells where two histories part.
func parting(first, second []string) string {
	for i := range min(len(first), len(second)) {
		if first[i] != second[i] {
			return fmt.Sprintf("the histories part at line %d:\n%s%s", i, first[i], second[i])
		}
	}
	return fmt.Sprintf("one history has %d lines, the other %d", len(first), len(second))
}
