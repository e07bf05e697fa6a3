package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Log is what the executor needs of a store; see eventstore.Store for the contract.
type Log interface {
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error
	Committed(ctx context.Context, records []eventstore.Record) (bool, error)
	Reader
}

// Reader is the reading half of Log.
type Reader interface {
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error)
	ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error)
	Lookup(ctx context.Context, partition int, keys []string) (map[string]int64, error)
}

// Options are the executor's bounds. Zero values take the defaults.
type Options struct {
	Queue    int           // commands waiting; default 8192
	BatchMax int           // commands decided at once, and most of one SubmitAll; default 5000, at most MaxBatch
	States   int           // states kept in memory; default 200,000, at least 16 * BatchMax
	Retries  int           // decisions of one command before ErrContended; default 20
	Timeout  time.Duration // of one store call; default 30 s
	Clock    func() time.Time
	// OnCommit is told of each durable append, from the committing goroutine, before the callers are answered.
	OnCommit func(eventstore.Head, []eventstore.Record)
	Logger   *slog.Logger
}

// MaxBatch bounds Options.BatchMax, so that an append can hold what a batch causes: a command causes eight events at most.
const MaxBatch = eventstore.MaxAppend / 8

func (o Options) withDefaults() Options {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.Queue, 8192)
	set(&o.BatchMax, 5000)
	set(&o.States, 200_000)
	set(&o.Retries, 20)
	o.BatchMax = min(o.BatchMax, MaxBatch)
	o.States = max(o.States, 16*o.BatchMax)
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.OnCommit == nil {
		o.OnCommit = func(eventstore.Head, []eventstore.Record) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Executor executes the commands of one partition.
type Executor struct {
	log       Log
	model     Model
	partition int
	opts      Options

	mu      sync.Mutex // guards queue, queued, closed
	queue   []*request
	queued  int // commands in queue
	closed  bool
	wake    chan struct{} // a request was queued, or closed was set; capacity 1
	stopped chan struct{} // closed when the deciding goroutine has ended

	// Owned by the deciding goroutine.
	head   eventstore.Head // behind everything decided so far, durable or not
	known  bool            // head has been read
	states *cache
	unread map[string]error // why states of the batch being decided could not be read, by cacheKey
	flying map[string]int64 // keys claimed by records not yet known to be durable -> position
	rival  time.Time        // when an append last met the records of another process
}

// request is one call of SubmitAll. results and errs are written before done is closed, and not after.
type request struct {
	commands []Command
	results  []Result
	errs     []error
	tries    int
	done     chan struct{}
}

// New makes the executor of a partition and starts it. Close stops it.
func New(log Log, model Model, partition int, opts Options) *Executor {
	x := &Executor{
		log: log, model: model, partition: partition, opts: opts.withDefaults(),
		wake:    make(chan struct{}, 1),
		stopped: make(chan struct{}),
		flying:  map[string]int64{},
		unread:  map[string]error{},
	}
	x.states = newCache(x.opts.States)
	go x.run()
	return x
}

// Submit executes one command. Errors: a refusal of the model; *DuplicateError; the errors of this package.
func (x *Executor) Submit(ctx context.Context, c Command) (Result, error) {
	results, errs := x.SubmitAll(ctx, []Command{c})
	return results[0], errs[0]
}

// SubmitAll executes commands in order, each by itself: one that is refused does not fail the others. They share
// one append. There is one result and one error per command.
func (x *Executor) SubmitAll(ctx context.Context, commands []Command) ([]Result, []error) {
	r := &request{commands: commands, results: make([]Result, len(commands)), errs: make([]error, len(commands)), done: make(chan struct{})}
	if len(commands) == 0 {
		return r.results, r.errs
	}
	if err := x.enqueue(r); err != nil {
		return r.results, fill(r.errs, err)
	}
	select {
	case <-r.done:
		return r.results, r.errs
	case <-ctx.Done():
		// The slices stay the executor's: it may still write them.
		err := fmt.Errorf("%w: %w", ErrOutcomeUnknown, context.Cause(ctx))
		return make([]Result, len(commands)), fill(make([]error, len(commands)), err)
	}
}

func fill(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (x *Executor) enqueue(r *request) error {
	if len(r.commands) > x.opts.BatchMax {
		return fmt.Errorf("%d commands at once (at most %d)", len(r.commands), x.opts.BatchMax)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed:
		return ErrClosed
	case x.queued > 0 && x.queued+len(r.commands) > x.opts.Queue:
		return ErrBusy
	}
	x.queue = append(x.queue, r)
	x.queued += len(r.commands)
	x.signal()
	return nil
}

func (x *Executor) signal() {
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Queued is the number of commands that wait to be decided.
func (x *Executor) Queued() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.queued
}

// Close refuses new commands, finishes the queued ones and waits for that, or for ctx.
func (x *Executor) Close(ctx context.Context) error {
	x.mu.Lock()
	x.closed = true
	x.signal()
	x.mu.Unlock()
	select {
	case <-x.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing the executor of partition %d: %w", x.partition, ctx.Err())
	}
}

// take returns the requests to decide next, BatchMax commands at most.
func (x *Executor) take() (requests []*request, closed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, commands := 0, 0
	for n < len(x.queue) && (n == 0 || commands+len(x.queue[n].commands) <= x.opts.BatchMax) {
		commands += len(x.queue[n].commands)
		n++
	}
	requests = append(requests, x.queue[:n]...)
	x.queue = append(x.queue[:0], x.queue[n:]...)
	clear(x.queue[len(x.queue):cap(x.queue)])
	x.queued -= commands
	return requests, x.closed
}

// run is the deciding goroutine. At most one batch is in flight; the one behind it is decided meanwhile.
func (x *Executor) run() {
	defer close(x.stopped)
	var flight *batch
	for {
		requests, closed := x.take()
		if len(requests) == 0 {
			if closed && flight == nil {
				return
			}
			flight = x.idle(flight)
			continue
		}
		if flight != nil && time.Since(x.rival) < rivalWindow {
			flight = x.takeTurns(flight, requests)
			continue
		}
		next := x.decide(requests)
		if flight != nil {
			<-flight.done
			if flight.err != nil {
				// What next was decided upon has not come true. Forget the newest first: the head goes back with it.
				x.forget(next)
				x.putBack(append(x.land(flight), next.requests...))
				flight = nil
				continue
			}
			x.land(flight)
		}
		flight = x.launch(next)
	}
}

// Bounds of taking turns with another process.
const (
	rivalWindow = time.Second           // how long behind a conflict the other one is taken to write on
	yieldMax    = 50 * time.Millisecond // what is left to it at once
)

// takeTurns stands for deciding ahead while another process writes to the partition too: what is decided ahead would be for
// nothing whenever the other one wins. Who has won leaves it about the time that it needs to read what is new and append;
// otherwise the faster process would win for ever.
func (x *Executor) takeTurns(flight *batch, requests []*request) *batch {
	<-flight.done
	again := x.land(flight)
	if flight.err == nil {
		time.Sleep(rand.N(min(3*flight.took, yieldMax) + 1))
	}
	if len(again) > 0 {
		x.putBack(append(again, requests...))
		return nil
	}
	return x.launch(x.decide(requests))
}

// idle waits for work or for the batch in flight, and returns the batch that is in flight afterwards.
func (x *Executor) idle(flight *batch) *batch {
	if flight == nil {
		<-x.wake
		return nil
	}
	select {
	case <-x.wake:
		return flight
	case <-flight.done:
	}
	x.putBack(x.land(flight))
	return nil
}

// putBack queues requests that have to be decided again, in front of all others: together they may be more than one batch.
func (x *Executor) putBack(requests []*request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue = slices.Insert(x.queue, 0, requests...)
	for _, r := range requests {
		x.queued += len(r.commands)
	}
}

// land takes note of a batch whose commit has ended. It returns the requests that must be decided again.
func (x *Executor) land(b *batch) (again []*request) {
	for _, k := range b.keys {
		delete(x.flying, k)
	}
	if b.err == nil {
		return nil
	}
	x.forget(b)
	if !errors.Is(b.err, eventstore.ErrConflict) && !errors.Is(b.err, eventstore.ErrDeposed) {
		return nil // answered with the error by the committing goroutine
	}
	x.known, x.rival = false, time.Now()
	for _, r := range b.requests {
		if r.tries++; r.tries > x.opts.Retries {
			clear(r.results)
			fill(r.errs, ErrContended)
			close(r.done)
			continue
		}
		again = append(again, r)
	}
	return again
}

// forget undoes what a batch changed in memory, or drops it, and the head that it stood for.
func (x *Executor) forget(b *batch) {
	for _, k := range b.keys {
		delete(x.flying, k)
	}
	for _, n := range b.touched {
		if was := b.before[cacheKey(n)]; was != nil {
			x.states.add(n, was)
		} else {
			x.states.drop(n)
		}
	}
	x.head = b.base
}
