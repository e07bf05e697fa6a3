package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// defaultRate is the load, in events a second, where neither --rate nor a run of settle says another.
const defaultRate = 6_000

// lagTick is how often payouts are due: an open loop, which does not wait for answers.
const lagTick = 10 * time.Millisecond

// lagInFlight bounds the calls under way. When it is reached, the ledger does not keep up with the load.
const lagInFlight = 1_000

// runLag measures how long it takes until what was answered is in the views, under a steady load.
func runLag(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	if err := w.fundHot(ctx, b); err != nil {
		return nil, err
	}
	stop := projecting(ctx, b)
	defer func() { err = errors.Join(err, stop()) }()
	if err := reach(ctx, b); err != nil {
		return nil, err
	}
	rate, why := w.opts.Rate, "--rate"
	switch {
	case rate > 0:
	case w.results.settled > 0:
		rate, why = w.results.settled/2, "half of what settle reached"
	default:
		rate, why = defaultRate, "settle did not run, and --rate does not say"
	}
	steady := &steady{w: w, b: b, rate: rate, tokens: make(chan *payer, lagInFlight)}
	taken, err := w.inTurn(ctx, measure{fmt.Sprintf("%s events a second", plain(rate, 0)), steady.run})
	if err != nil {
		return nil, err
	}
	l := line("hot", "acknowledged to visible, one hot wallet", "events", taken[0]).latency(taken[0])
	l.Note = fmt.Sprintf("asked for %s events a second: %s", plain(rate, 0), why)
	return []Line{l}, nil
}

// steady is an open-loop load.
type steady struct {
	w      *world
	b      *Book
	rate   float64 // events a second
	tokens chan *payer
	made   int // payers
}

// run loads for a while and watches the views. Its sample counts events, and how long each answer took to become visible.
func (s *steady) run(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	seen := &watcher{b: s.b, partition: s.b.Ledger.Partition(hotMerchant)}
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watched sync.WaitGroup
	watched.Go(func() { seen.run(watching) })

	begun := time.Now()
	var payouts int64
	var calls sync.WaitGroup
	tick := time.NewTicker(lagTick)
	defer tick.Stop()
	for elapsed := time.Duration(0); elapsed < s.w.opts.For && ctx.Err() == nil; {
		elapsed = min(time.Since(begun), s.w.opts.For) // what is due at the end is paid, however late this is looked at
		if due := int64(elapsed.Seconds()*s.rate/recordsOfLife) - payouts; due > 0 {
			p, err := s.payer(ctx)
			if err != nil {
				return sample{}, err
			}
			payouts += due
			calls.Go(func() {
				if _, err := s.w.liveMany(ctx, s.b, p, int(due), seen.answered); err != nil {
					cancel(err)
				}
				s.tokens <- p
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	calls.Wait()
	taken := sample{count: payouts * recordsOfLife, elapsed: time.Since(begun)}
	if ctx.Err() != nil {
		return sample{}, context.Cause(ctx)
	}
	if err := finishAll(ctx, s.b); err != nil {
		return sample{}, err
	}
	stopWatching()
	watched.Wait()
	taken.took = seen.lags()
	return taken, nil
}

// payer takes one that is free, or makes one.
func (s *steady) payer(ctx context.Context) (*payer, error) {
	select {
	case p := <-s.tokens:
		return p, nil
	default:
	}
	if s.made == lagInFlight {
		return nil, fmt.Errorf("the ledger does not keep up with %s events a second: %d calls are under way", plain(s.rate, 0), lagInFlight)
	}
	s.made++
	return newPayer(ctx, s.b)
}

// watcher measures from an answer to the moment at which the views contain it.
type watcher struct {
	b         *Book
	partition int

	mu      sync.Mutex
	waiting []answer
	took    []time.Duration
}

// answer is the last position of what was acknowledged at a time.
type answer struct {
	seq int64
	at  time.Time
}

// answered notes an answer. What was visible before its caller had it took no time.
func (w *watcher) answered(p eventstore.Position, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if seqs, _ := w.b.Views.Positions(); seqs[w.partition] >= p.Seq {
		w.took = append(w.took, 0)
		return
	}
	w.waiting = append(w.waiting, answer{p.Seq, at})
}

// run notes what has become visible, whenever the views move, until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for {
		seqs, changed := w.b.Views.Positions()
		w.note(seqs[w.partition], time.Now())
		select {
		case <-changed:
		case <-ctx.Done():
			seqs, _ = w.b.Views.Positions()
			w.note(seqs[w.partition], time.Now())
			return
		}
	}
}

// note takes everything up to a position as visible.
func (w *watcher) note(seq int64, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left := w.waiting[:0]
	for _, a := range w.waiting {
		if a.seq > seq {
			left = append(left, a)
			continue
		}
		w.took = append(w.took, max(now.Sub(a.at), 0))
	}
	w.waiting = left
}

func (w *watcher) lags() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.took
}
