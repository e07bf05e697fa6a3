package work

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// MaxBackoff bounds the gap between two tries of a store that is away.
const MaxBackoff = 2 * time.Second

const (
	minBackoff = 50 * time.Millisecond
	minWait    = 5 * time.Millisecond // between two looks that find a due job and do not get it
	minPutOff  = time.Second          // after a panic; doubled with each attempt
	maxPutOff  = 10 * time.Minute
)

// Outcome is what a handler wants to become of its job. Made by Finish, Again and Return; the zero Outcome is an error, and
// puts the job off.
type Outcome struct {
	verdict verdict
	due     time.Time
	payload []byte
}

type verdict int

// The zero verdict is none of these, so that a forgotten outcome does not pass for a finished job.
const (
	finish verdict = iota + 1
	again
	giveBack
)

// Finish is the outcome of a job that is done.
func Finish() Outcome { return Outcome{verdict: finish} }

// Again is the outcome of a job that is to be tried again at due, with one attempt more and that payload; nil keeps the one
// that it has.
func Again(due time.Time, payload []byte) Outcome {
	return Outcome{verdict: again, due: due, payload: payload}
}

// Return is the outcome of a job that was not touched since the program is stopping: it is due at once, for whoever comes.
func Return() Outcome { return Outcome{verdict: giveBack} }

// Options of Run. Zero values mean the defaults.
type Options struct {
	Concurrency int              // handlers at a time; default 4, at most MaxLease
	Poll        time.Duration    // longest time between two looks; default 1 s
	Lease       time.Duration    // how long a lost process blocks its jobs; default 10 s
	Grace       time.Duration    // how long handlers may go on when Run is stopped; default 10 s
	Clock       func() time.Time // default time.Now
	Log         *slog.Logger     // default slog.Default()
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.Poll, time.Second)
	set(&o.Lease, 10*time.Second)
	set(&o.Grace, 10*time.Second)
	if o.Concurrency <= 0 {
		o.Concurrency = 4
	}
	o.Concurrency = min(o.Concurrency, MaxLease)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// Run leases the jobs of a kind when they are due and calls handle for each, several at a time, until ctx is done; then it
// waits for its handlers and returns nil. It looks when a job becomes due, when the store is told so by Put or Wake in this
// process, when a handler ends, and every Options.Poll.
//
// The handlers' context outlasts ctx by Options.Grace, so that a call to a bank is not cut off by a stop; it ends at
// once, with the cause ErrLeaseLost, when the job turns out to belong to somebody else. Handlers honour it. Several Runs of
// one kind, in one process or in many, share the work.
func Run(ctx context.Context, store *Store, kind string, options Options, handle func(context.Context, Job) Outcome) error {
	if err := checkName("kind of a job", kind); err != nil {
		return err
	}
	r := &runner{Options: options.withDefaults(), store: store, kind: kind, handle: handle}
	r.Log = r.Log.With("kind", kind)
	r.free = r.Concurrency
	r.ended = make(chan struct{}, r.Concurrency)
	wake, forget := store.listen(kind)
	defer forget()

	outlasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopGrace := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(r.Grace):
			cancel()
		case <-outlasting.Done():
		}
	})
	defer stopGrace()
	r.loop(ctx, outlasting, wake)
	r.running.Wait()
	return nil
}

// runner is the state of one Run.
type runner struct {
	Options
	store  *Store
	kind   string
	handle func(context.Context, Job) Outcome

	running sync.WaitGroup
	ended   chan struct{} // one for each handler that has ended and that loop has not counted as free
	free    int           // owned by loop
	failed  int           // failures of the store in a row; owned by loop
}

// loop hands out jobs until ctx is done.
func (r *runner) loop(ctx, outlasting context.Context, wake <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		woken := wake
		if r.free > 0 {
			timer.Reset(r.look(ctx, outlasting))
		} else {
			timer.Stop() // a handler's end is what to wait for
		}
		if r.failed > 0 {
			woken = nil // a store that is away is not asked more often because there is more to do
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-woken:
		case <-r.ended:
			r.free++
		}
		r.gather(woken)
	}
}

// gather takes in whatever else has happened by now: one look does for all of it, and asks for as many jobs as there is room for.
func (r *runner) gather(woken <-chan struct{}) {
	for {
		select {
		case <-woken:
		case <-r.ended:
			r.free++
		default:
			return
		}
	}
}

// look leases what is due, starts its handlers, and returns after what time to look again.
func (r *runner) look(ctx, outlasting context.Context) time.Duration {
	// Not under ctx: a statement that is cut off may have leased jobs that nobody would know of.
	jobs, err := r.store.Lease(outlasting, r.kind, r.Clock(), r.free, r.Lease)
	if err != nil {
		return r.storeFailed(err)
	}
	for _, j := range jobs {
		r.free--
		r.running.Go(func() {
			defer func() { r.ended <- struct{}{} }()
			if ctx.Err() != nil {
				r.settle(outlasting, j, Return())
				return
			}
			r.run(outlasting, j)
		})
	}
	wait := r.Poll
	if r.free > 0 {
		next, ok, err := r.store.NextDue(outlasting, r.kind)
		if err != nil {
			return r.storeFailed(err)
		}
		if ok {
			wait = min(wait, max(minWait, next.Sub(r.Clock())))
		}
	}
	if r.failed > 0 {
		r.Log.Info("work goes on", "failures", r.failed)
		r.failed = 0
	}
	return wait
}

func (r *runner) storeFailed(err error) time.Duration {
	gap := doubled(minBackoff, r.failed, MaxBackoff)
	r.failed++
	r.Log.Warn("the work store fails; trying again", "error", err, "failures", r.failed, "gap", gap)
	return gap
}

// doubled is first, doubled n times, at most limit.
func doubled(first time.Duration, n int, limit time.Duration) time.Duration {
	for d := first; ; d *= 2 {
		if n <= 0 || d >= limit {
			return min(d, limit)
		}
		n--
	}
}

// run calls the handler for one job, keeps the lease meanwhile, and stores the outcome.
func (r *runner) run(ctx context.Context, j Job) {
	handling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var keeper sync.WaitGroup
	handled := make(chan struct{})
	keeper.Go(func() { r.keep(ctx, j, handled, cancel) })
	outcome := r.call(handling, j)
	close(handled)
	keeper.Wait()
	if errors.Is(context.Cause(handling), ErrLeaseLost) {
		return
	}
	r.settle(ctx, j, outcome)
}

// keep extends the lease until the job is handled, or calls lost.
func (r *runner) keep(ctx context.Context, j Job, handled <-chan struct{}, lost context.CancelCauseFunc) {
	tick := time.NewTicker(r.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-handled:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case <-handled: // at the same time: what is handled needs no lease any more
			return
		default:
		}
		err := r.store.Extend(ctx, j, r.Clock().Add(r.Lease))
		if errors.Is(err, ErrLeaseLost) {
			r.Log.Warn("a job was taken from its handler", "key", j.Key, "attempt", j.Attempt)
			lost(ErrLeaseLost)
			return
		}
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("a lease was not extended", "key", j.Key, "error", err)
		}
	}
}

// call calls the handler. A panic of it puts the job off.
func (r *runner) call(ctx context.Context, j Job) (outcome Outcome) {
	defer func() {
		if p := recover(); p != nil {
			r.Log.Error("a handler panicked", "key", j.Key, "attempt", j.Attempt, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			outcome = r.putOff(j)
		}
	}()
	return r.handle(ctx, j)
}

func (r *runner) putOff(j Job) Outcome {
	return Again(r.Clock().Add(doubled(minPutOff, j.Attempt, maxPutOff)), nil)
}

// settle stores the outcome, for as long as the lease would last. If that does not succeed, the job is handled again.
func (r *runner) settle(ctx context.Context, j Job, outcome Outcome) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Lease)
	defer cancel()
	for n := 0; ; n++ {
		err := r.apply(ctx, j, outcome)
		switch {
		case err == nil:
			return
		case errors.Is(err, ErrLeaseLost):
			r.Log.Warn("a job was taken from its handler", "key", j.Key, "attempt", j.Attempt)
			return
		case errors.Is(err, ErrInvalid):
			r.Log.Error("a handler asked for what cannot be stored; putting its job off", "key", j.Key, "error", err)
			outcome = r.putOff(j)
		default:
			r.Log.Warn("the outcome of a job was not stored; trying again", "key", j.Key, "error", err)
		}
		select {
		case <-ctx.Done():
			r.Log.Error("the outcome of a job is lost; it is going to be handled again", "key", j.Key, "attempt", j.Attempt, "error", err)
			return
		case <-time.After(doubled(minBackoff, n, MaxBackoff)):
		}
	}
}

func (r *runner) apply(ctx context.Context, j Job, o Outcome) error {
	switch o.verdict {
	case again:
		return r.store.Retry(ctx, j, o.due, o.payload)
	case giveBack:
		return r.store.Release(ctx, j)
	case finish:
		return r.store.Done(ctx, j)
	default:
		return fmt.Errorf("%w: no outcome of job %s %s", ErrInvalid, j.Kind, j.Key)
	}
}
