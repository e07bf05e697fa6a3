package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// lastFlush bounds the writing of the checkpoint when the reader is stopped.
const lastFlush = 5 * time.Second

// reader gives one partition's records to one subscription. One goroutine owns it; its window has a lock of its own.
type reader struct {
	bus       *Bus
	topic     string
	types     []string // those that become messages; none: all of the topic
	inside    bool     // messages are for a Router; see newMessage
	consumer  string
	partition int
	out       chan<- *message.Message
	logger    *slog.Logger

	stored int64     // the checkpoint as we know it
	read   int64     // everything up to here is in the window, was acknowledged, or is of no interest
	limit  int       // of the next read; 0: nothing was read yet
	readAt time.Time // when the log was read last
	since  time.Time // when the checkpoint fell behind, or records were first in the window; zero while neither is so
	window *window
}

// run reads until ctx ends. A store that is away is tried again.
func (r *reader) run(ctx context.Context) {
	release := r.bus.turns.take(ctx, turn{r.consumer, r.partition})
	if release == nil {
		return
	}
	defer release()
	loaded := false
	for failed := 0; ctx.Err() == nil; {
		var err error
		if !loaded {
			err = r.load(ctx)
			loaded = err == nil
		} else if err = r.follow(ctx); err == nil {
			failed = 0
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		failed++
		if failed == 1 {
			r.logger.Warn("the log or its checkpoints cannot be reached; trying on", "error", err)
		}
		pause(ctx, r.bus.options.gap(failed))
	}
	if !loaded {
		return
	}
	r.window.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	if err := r.flush(ctx); err != nil {
		r.logger.Warn("the checkpoint was not written; some records will come again", "error", err)
	}
}

// load finds where the consumer stands. A checkpoint beyond the log's head means that the log was restored from a backup,
// which ends where the head is: what is appended from here on is new.
func (r *reader) load(ctx context.Context) error {
	seq, err := r.bus.checkpoints.Checkpoint(ctx, r.consumer, r.partition)
	if err != nil {
		return err
	}
	head, err := r.bus.log.Head(ctx, r.partition)
	if err != nil {
		return err
	}
	if seq > head.Seq {
		r.logger.Error("the checkpoint is beyond the log, which must be an older copy; going back to its head", "checkpoint", seq, "head", head.Seq)
		if err := r.bus.checkpoints.SetCheckpoint(ctx, r.consumer, r.partition, seq, head.Seq); err != nil {
			return err
		}
		seq = head.Seq
	}
	r.begin(ctx, seq)
	return nil
}

// begin goes on behind a position, with nothing in the window.
func (r *reader) begin(ctx context.Context, seq int64) {
	r.stored, r.read, r.since = seq, seq, time.Time{}
	r.window = newWindow(ctx, r.bus.options.Window, r.deliver)
}

// acked is the position up to which everything was acknowledged, or is of no interest.
func (r *reader) acked() int64 {
	if lowest, held := r.window.lowest(); held {
		return lowest - 1
	}
	return r.read
}

// follow handles one batch of records, or waits until there are some.
func (r *reader) follow(ctx context.Context) error {
	r.readAt = time.Now()
	limit := cmp.Or(r.limit, r.bus.options.Batch) // in the same pages as the other consumers, who share them
	records, err := r.bus.reads.read(ctx, r.partition, r.read, limit)
	if err != nil {
		return err
	}
	if len(records) > 0 {
		r.limit = eventstore.NextPage(records, limit, r.bus.options.Batch)
	}
	if len(records) == 0 {
		return r.idle(ctx)
	}
	for i := range records {
		at := &records[i]
		if at.Seq != r.read+1 {
			return fmt.Errorf("%w: record %s was read where %d is due", eventstore.ErrBroken, at.Position(), r.read+1)
		}
		moved, err := r.pass(ctx, at)
		if err != nil || moved || ctx.Err() != nil {
			return err
		}
	}
	_, err = r.flushIfDue(ctx)
	return err
}

// pass puts a record into the window, when there is room, or passes over it. It is true, and the record was not passed, when
// somebody has moved the checkpoint meanwhile.
func (r *reader) pass(ctx context.Context, at *eventstore.Record) (moved bool, err error) {
	wanted := matches(r.topic, at.Type) && (len(r.types) == 0 || slices.Contains(r.types, at.Type))
	for wanted && !r.window.add(at) {
		if moved, err := r.flushIfDue(ctx); moved || err != nil {
			return moved, err
		}
		var due <-chan time.Time // never, when another reader has written the checkpoint for what our window still holds
		if !r.since.IsZero() {
			due = time.After(time.Until(r.since.Add(r.bus.options.FlushAfter)))
		}
		select {
		case <-r.window.room:
		case <-due:
		case <-ctx.Done():
			return false, nil
		}
	}
	r.read = at.Seq
	if r.since.IsZero() {
		r.since = time.Now()
	}
	if r.read-r.stored >= r.bus.options.FlushRecords {
		return r.flushIfDue(ctx)
	}
	return false, nil
}

// idle waits for the partition to grow, and writes the checkpoint when it is time. What comes after a silence is taken up at
// once; what keeps coming is taken up together, which costs the store less.
func (r *reader) idle(ctx context.Context) error {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if !r.since.IsZero() {
		wait, cancel = context.WithDeadline(ctx, r.since.Add(r.bus.options.FlushAfter))
	}
	defer cancel()
	_, err := r.bus.tail.Wait(wait, r.partition, r.read)
	if early := r.bus.options.Gap - time.Since(r.readAt); err == nil && early > 0 {
		pause(ctx, early)
	}
	if ctx.Err() != nil {
		return nil
	}
	_, err = r.flushIfDue(ctx)
	return err
}

// flushIfDue writes the checkpoint when it is so far or so long behind. It is true when somebody has moved the checkpoint
// to where we do not stand.
func (r *reader) flushIfDue(ctx context.Context) (moved bool, err error) {
	if r.since.IsZero() || r.acked()-r.stored < r.bus.options.FlushRecords && time.Since(r.since) < r.bus.options.FlushAfter {
		return false, nil
	}
	seq, err := r.flushed(ctx)
	if err != nil || seq >= 0 {
		if seq >= 0 {
			r.window.close()
			r.begin(ctx, seq)
		}
		return seq >= 0, err
	}
	r.since = time.Now()
	if r.stored == r.read {
		r.since = time.Time{}
	}
	return false, nil
}

// flush writes the checkpoint.
func (r *reader) flush(ctx context.Context) error {
	_, err := r.flushed(ctx)
	return err
}

// flushed writes the checkpoint, and returns -1. If somebody else has moved it, both have acknowledged what they passed, so the
// further one of the two counts. It returns where the checkpoint is when we have to follow it: when it is further than
// we have read, or was set back behind where we began, to have records again.
func (r *reader) flushed(ctx context.Context) (follow int64, err error) {
	for {
		acked := r.acked()
		if acked <= r.stored {
			return -1, nil
		}
		err := r.bus.checkpoints.SetCheckpoint(ctx, r.consumer, r.partition, r.stored, acked)
		if err == nil {
			r.stored = acked
			return -1, nil
		}
		if !errors.Is(err, work.ErrStale) {
			return -1, err
		}
		seq, err := r.bus.checkpoints.Checkpoint(ctx, r.consumer, r.partition)
		if err != nil {
			return -1, err
		}
		if seq < r.stored || seq > r.read {
			return seq, nil
		}
		r.stored = seq
	}
}

// deliver gives one record until it is acknowledged; false when ctx ended before.
func (r *reader) deliver(ctx context.Context, record *eventstore.Record) bool {
	for nacks := 1; ; nacks++ {
		acked, stopped := r.give(ctx, record)
		switch {
		case acked:
			return true
		case stopped, !pause(ctx, r.bus.options.gap(nacks)):
			return false
		}
	}
}

// give hands the record out once, and waits for the answer.
func (r *reader) give(ctx context.Context, record *eventstore.Record) (acked, stopped bool) {
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	msg := newMessage(life, record, r.inside)
	select {
	case r.out <- msg:
	case <-ctx.Done():
		return false, true
	}
	select {
	case <-msg.Acked():
		return true, false
	case <-msg.Nacked():
		return false, false
	case <-ctx.Done():
	}
	// The answer may have come at the same time.
	select {
	case <-msg.Acked():
		return true, false
	default:
		return false, true
	}
}
