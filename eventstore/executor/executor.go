package executor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Log is what the executor needs of a store; see eventstore.Store for the contract.
type Log interface {
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error
	Committed(ctx context.Context, records []eventstore.Record) (bool, error)
	Claim(ctx context.Context, partition int) (eventstore.Head, error)
	Reader
	Snapshots
}

// Reader is the reading half of Log.
type Reader interface {
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error)
	ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error)
	Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error)
}

// Snapshots are beside the log; see eventstore.Store.
type Snapshots interface {
	Snapshot(ctx context.Context, partition int, stream string) (eventstore.Snapshot, bool, error)
	KeepSnapshot(ctx context.Context, s eventstore.Snapshot) error
}

// Options are the executor's bounds. Zero values take the defaults.
type Options struct {
	Queue    int           // commands waiting; default 16,384
	BatchMax int           // commands decided at once, and most of one SubmitAll; default 5000, at most MaxBatch
	States   int           // states kept in memory; default and least 6 * MaxNeeds * BatchMax
	Retries  int           // decisions of one command before ErrContended; default 20
	Timeout  time.Duration // of one store call; default 30 s
	// SnapshotEvery is how many versions a stream grows by before its next snapshot; default 50,000. It bounds what is folded at
	// a start.
	SnapshotEvery int64
	Clock         func() time.Time
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
	set(&o.Queue, 16_384)
	set(&o.BatchMax, 5000)
	set(&o.Retries, 20)
	o.BatchMax = min(o.BatchMax, MaxBatch)
	// What two batches need fits one generation of the cache, and what was loaded in vain before the store could not be read.
	o.States = max(o.States, 6*MaxNeeds*o.BatchMax)
	if o.SnapshotEvery <= 0 {
		o.SnapshotEvery = 50_000
	}
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
	head     eventstore.Head // behind everything decided so far, durable or not
	known    bool            // head has been read
	landed   int64           // up to here everything is known to be durable
	states   *cache
	unread   map[key]error    // why states of the commands being decided could not be read
	flying   map[string]int64 // keys claimed by records not yet known to be durable -> position
	batches  int64            // begun so far
	standing standing
	starved  bool // another process has won half of what a command may lose

	keeping chan struct{} // holds a token while snapshots are being written; capacity 1
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
		unread:  map[key]error{},
		keeping: make(chan struct{}, 1),
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
