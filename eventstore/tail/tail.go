// Package tail tells readers when the log has grown: at once for what this process appends, within an interval for what
// others append.
package tail

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Heads reads the tip of a partition.
type Heads interface {
	Head(ctx context.Context, partition int) (eventstore.Head, error)
}

// Tail knows the newest head of every partition.
type Tail struct {
	log      Heads
	interval time.Duration
	logger   *slog.Logger

	mu     sync.Mutex
	seqs   []int64       // newest position known, by partition
	change chan struct{} // closed and replaced when a position grows
}

// New makes a tail over a log of so many partitions. Run keeps it up to date with other processes.
func New(log Heads, partitions int, interval time.Duration, logger *slog.Logger) *Tail {
	return &Tail{log: log, interval: interval, logger: logger, seqs: make([]int64, partitions), change: make(chan struct{})}
}

// Run polls the heads every interval until ctx ends. A store that is away is asked again at the next interval.
func (t *Tail) Run(ctx context.Context) {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	away := false
	for {
		err := t.Poll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !away:
			t.logger.Warn("the log cannot be read", "error", err)
		case err == nil && away:
			t.logger.Info("the log can be read again")
		}
		away = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Poll reads all heads once.
func (t *Tail) Poll(ctx context.Context) error {
	for p := range t.seqs {
		head, err := t.log.Head(ctx, p)
		if err != nil {
			return err
		}
		t.Advance(head)
	}
	return nil
}

// Advance takes note of a head; executors call it when a commit is durable.
func (t *Tail) Advance(head eventstore.Head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if head.Seq <= t.seqs[head.Partition] {
		return
	}
	t.seqs[head.Partition] = head.Seq
	close(t.change)
	t.change = make(chan struct{})
}

// Seqs returns the newest position known of each partition, and a channel that is closed when one of them grows.
func (t *Tail) Seqs() ([]int64, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]int64(nil), t.seqs...), t.change
}

// Wait blocks until partition has grown beyond after, and returns its newest position; or until ctx ends.
func (t *Tail) Wait(ctx context.Context, partition int, after int64) (int64, error) {
	for {
		t.mu.Lock()
		seq, change := t.seqs[partition], t.change
		t.mu.Unlock()
		if seq > after {
			return seq, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return seq, ctx.Err()
		}
	}
}
