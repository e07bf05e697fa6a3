package bench

import (
	"context"
	"errors"
	"math"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// sample is one measurement.
type sample struct {
	count   int64
	elapsed time.Duration
	took    []time.Duration // by each call, unsorted; nil where that says nothing
}

func (s sample) rate() float64 {
	if s.elapsed <= 0 {
		return 0
	}
	return float64(s.count) / s.elapsed.Seconds()
}

// measure is something that is measured once a round.
type measure struct {
	label string
	run   func(ctx context.Context) (sample, error)
}

// inTurn takes each measurement once a round, one behind the other, so that what disturbs the machine disturbs all of them.
// The result is by measurement, then by round.
func (w *world) inTurn(ctx context.Context, measures ...measure) ([][]sample, error) {
	taken := make([][]sample, len(measures))
	for round := range w.opts.Rounds {
		for i, m := range measures {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			w.tell("%s, round %d of %d", m.label, round+1, w.opts.Rounds)
			var s sample
			var err error
			pprof.Do(ctx, pprof.Labels("step", m.label), func(ctx context.Context) { s, err = m.run(ctx) })
			if err != nil {
				return nil, err
			}
			taken[i] = append(taken[i], s)
		}
	}
	return taken, nil
}

// spread is the median of some figures, and how far they lie apart.
type spread struct{ median, min, max float64 }

func spreadOf(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	middle := (sorted[(n-1)/2] + sorted[n/2]) / 2
	return spread{middle, sorted[0], sorted[n-1]}
}

func rates(samples []sample) []float64 {
	out := make([]float64, len(samples))
	for i, s := range samples {
		out[i] = s.rate()
	}
	return out
}

// perUnit gives the figures of units that are made of so many.
func perUnit(figures []float64, factor float64) []float64 {
	out := make([]float64, len(figures))
	for i, f := range figures {
		out[i] = f / factor
	}
	return out
}

// ratios divides round by round: both figures of a round met the same noise.
func ratios(a, b []float64) []float64 {
	var out []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			out = append(out, a[i]/b[i])
		}
	}
	return out
}

// latencies are sorted durations.
type latencies []time.Duration

func latenciesOf(samples []sample) latencies {
	var all latencies
	for _, s := range samples {
		all = append(all, s.took...)
	}
	slices.Sort(all)
	return all
}

// at is the smallest duration that so many of a hundred do not exceed (nearest rank), in milliseconds.
func (l latencies) at(percent float64) float64 {
	if len(l) == 0 {
		return 0
	}
	rank := int(math.Ceil(percent / 100 * float64(len(l))))
	return milliseconds(l[min(max(rank, 1), len(l))-1])
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// round cuts a figure to so many decimals, for people and JSON.
func round(f float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(f*scale) / scale
}

// errDone is a caller's word that there is nothing left to do.
var errDone = errors.New("done")

// drive has callers call over and over for a while, and returns what they have done together. A call that has begun is
// waited for. Each is told which caller it is, and returns how much it has done. finish runs behind them and counts into the
// time; nil for nothing.
func drive(ctx context.Context, callers int, during time.Duration, call func(ctx context.Context, caller int) (int64, error), finish func(context.Context) error) (sample, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	counts, took := make([]int64, callers), make([][]time.Duration, callers)
	begun := time.Now()
	var running sync.WaitGroup
	for caller := range callers {
		running.Go(func() {
			for at := begun; ctx.Err() == nil && at.Sub(begun) < during; {
				n, err := call(ctx, caller)
				if errors.Is(err, errDone) {
					return
				}
				if err != nil {
					stop(err)
					return
				}
				done := time.Now()
				counts[caller] += n
				took[caller] = append(took[caller], done.Sub(at))
				at = done
			}
		})
	}
	running.Wait()
	if ctx.Err() != nil {
		return sample{}, context.Cause(ctx)
	}
	if finish != nil {
		if err := finish(ctx); err != nil {
			return sample{}, err
		}
	}
	s := sample{elapsed: time.Since(begun), took: slices.Concat(took...)}
	for _, n := range counts {
		s.count += n
	}
	return s, nil
}

// driveTo has the callers of many work until they have done so much together, Options.Batch at most by a call. finish is as in
// drive.
func (w *world) driveTo(ctx context.Context, total int64, call func(ctx context.Context, caller int, n int) error, finish func(context.Context) error) (sample, error) {
	var left atomic.Int64
	left.Store(total)
	share := max(min(int64(w.opts.Batch), total/pipelines), 1) // so that all callers have something to do
	return drive(ctx, pipelines, math.MaxInt64, func(ctx context.Context, caller int) (int64, error) {
		n := min(share, left.Add(-share)+share)
		if n <= 0 {
			return 0, errDone
		}
		return n, call(ctx, caller, int(n))
	}, finish)
}
