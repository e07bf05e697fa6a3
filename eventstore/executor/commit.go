package executor

import (
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// launch commits a batch in a goroutine of its own, which answers its callers, and closes done when that is over.
func (x *Executor) launch(b *batch) *batch {
	b.due = x.due(b)
	go func() {
		defer close(b.done)
		b.err = x.commit(b)
		switch {
		case b.err == nil:
			if len(b.records) > 0 {
				x.opts.OnCommit(b.head, b.records)
			}
		case errors.Is(b.err, eventstore.ErrConflict), errors.Is(b.err, eventstore.ErrDeposed):
			return // the deciding goroutine takes them up again
		default:
			x.opts.Logger.Error("append failed", "partition", x.partition, "records", len(b.records), "error", b.err)
		}
		for _, r := range b.requests {
			if b.err != nil {
				clear(r.results)
				fill(r.errs, fmt.Errorf("%w: %w", ErrStore, b.err))
			}
			close(r.done)
		}
	}()
	return b
}

// commit makes the batch durable. Rejections alone are checked against the head: they too must stand on the truth.
func (x *Executor) commit(b *batch) error {
	ctx, cancel := x.within()
	defer cancel()
	if len(b.records) == 0 {
		head, err := x.log.Head(ctx, x.partition)
		if err != nil {
			return err
		}
		if head.Seq != b.base.Seq || head.Hash != b.base.Hash {
			return eventstore.ErrConflict
		}
		return nil
	}
	err := x.log.Append(ctx, b.base, b.records)
	if errors.Is(err, eventstore.ErrUnknown) {
		return x.findOut(b, err)
	}
	return err
}

// findOut asks the store, until it answers, whether an append of unknown outcome took effect. Nobody can be answered,
// and nothing behind it decided, before that is known.
func (x *Executor) findOut(b *batch, cause error) error {
	wait := 10 * time.Millisecond
	for {
		ctx, cancel := x.within()
		committed, err := x.log.Committed(ctx, b.records)
		cancel()
		switch {
		case err == nil && committed:
			return nil
		case err == nil:
			return fmt.Errorf("not committed, found out afterwards: %w", cause)
		}
		x.opts.Logger.Warn("the outcome of an append is unknown; asking again", "partition", x.partition, "error", err, "wait", wait)
		time.Sleep(wait)
		wait = min(2*wait, 2*time.Second)
	}
}
