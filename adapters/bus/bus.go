package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Log is what the bus reads.
type Log interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
}

// Tail tells when a partition has grown beyond a position; see eventstore/tail.
type Tail interface {
	Wait(ctx context.Context, partition int, after int64) (int64, error)
}

// Checkpoints keep how far a consumer has read a partition; see eventstore/work. SetCheckpoint gives work.ErrStale, and
// changes nothing, when the checkpoint is not at old.
type Checkpoints interface {
	Checkpoint(ctx context.Context, consumer string, partition int) (int64, error)
	SetCheckpoint(ctx context.Context, consumer string, partition int, old, next int64) error
}

// Options of a Bus. Zero values mean the defaults.
type Options struct {
	Batch        int           // records of one read, fewer where they are large; default 256
	Window       int           // messages of a partition that may be unacknowledged at a time; default 1
	Gap          time.Duration // of a partition that keeps growing, the log is read this often at most; default 10 ms
	FlushRecords int64         // acknowledged records after which the checkpoint is written; default 5,000
	FlushAfter   time.Duration // time after which it is written at the latest; default 100 ms
	MinBackoff   time.Duration // first gap after a failure or a negative acknowledgement; default 50 ms
	MaxBackoff   time.Duration // longest gap; default 5 s
	Logger       *slog.Logger  // default slog.Default()
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.Gap, 10*time.Millisecond)
	set(&o.FlushAfter, 100*time.Millisecond)
	set(&o.MinBackoff, 50*time.Millisecond)
	set(&o.MaxBackoff, 5*time.Second)
	if o.Batch <= 0 {
		o.Batch = 256
	}
	if o.Window <= 0 {
		o.Window = 1
	}
	if o.FlushRecords <= 0 {
		o.FlushRecords = 5000
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Bus gives the records of one log to consumers. It is safe for concurrent use.
type Bus struct {
	log         Log
	reads       *reads
	tail        Tail
	checkpoints Checkpoints
	options     Options
	partitions  int
	turns       turns
}

// New makes a bus over a log.
func New(ctx context.Context, log Log, tail Tail, checkpoints Checkpoints, options Options) (*Bus, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the bus: %w", err)
	}
	return &Bus{
		log: log, reads: newReads(log, info.Partitions), tail: tail, checkpoints: checkpoints,
		options: options.withDefaults(), partitions: info.Partitions,
	}, nil
}

// Consumer is the name under which the checkpoints of a group's reading of a topic are kept.
func Consumer(group, topic string) string { return group + "/" + topic }

// Behind is how many records of all partitions, of whatever type, the consumer has not acknowledged yet.
func (b *Bus) Behind(ctx context.Context, group, topic string) (int64, error) {
	var behind int64
	for p := range b.partitions {
		head, err := b.log.Head(ctx, p)
		if err != nil {
			return 0, fmt.Errorf("how far %s is behind: %w", Consumer(group, topic), err)
		}
		seq, err := b.checkpoints.Checkpoint(ctx, Consumer(group, topic), p)
		if err != nil {
			return 0, fmt.Errorf("how far %s is behind: %w", Consumer(group, topic), err)
		}
		behind += max(0, head.Seq-seq)
	}
	return behind, nil
}

// turns lets one subscription at a time read a consumer's partition.
type turns struct {
	mu    sync.Mutex
	taken map[turn]chan struct{} // of capacity one; full while somebody reads
}

type turn struct {
	consumer  string
	partition int
}

// take waits for the turn, until ctx ends. It returns how to give it back, or nil.
func (t *turns) take(ctx context.Context, key turn) (release func()) {
	t.mu.Lock()
	if t.taken == nil {
		t.taken = map[turn]chan struct{}{}
	}
	c := t.taken[key]
	if c == nil {
		c = make(chan struct{}, 1)
		t.taken[key] = c
	}
	t.mu.Unlock()
	select {
	case c <- struct{}{}:
		return func() { <-c }
	case <-ctx.Done():
		return nil
	}
}

// pause waits for d; false when ctx ended before.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// gap is the wait after the nth failure in a row, from 1.
func (o *Options) gap(n int) time.Duration {
	return min(o.MinBackoff<<min(n-1, 20), o.MaxBackoff)
}
