package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// lastFlush bounds the writing of the checkpoint when the reader is stopped.
const lastFlush = 5 * time.Second

// reader gives one partition's records to one subscription. One goroutine owns it.
type reader struct {
	bus       *Bus
	topic     string
	consumer  string
	partition int
	out       chan<- *message.Message
	logger    *slog.Logger

	stored int64     // the checkpoint as we know it
	acked  int64     // everything up to here was acknowledged, or is of no interest to the topic
	dirty  time.Time // when acked left stored; zero while they are equal
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
	r.stored, r.acked, r.dirty = seq, seq, time.Time{}
	return nil
}

// follow handles one batch of records, or waits until there are some.
func (r *reader) follow(ctx context.Context) error {
	records, err := r.bus.log.Read(ctx, r.partition, r.acked, r.bus.options.Batch)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return r.idle(ctx)
	}
	for i := range records {
		at := &records[i]
		if at.Seq != r.acked+1 {
			return fmt.Errorf("%w: record %s was read where %d is due", eventstore.ErrBroken, at.Position(), r.acked+1)
		}
		if matches(r.topic, at.Type) && !r.deliver(ctx, at) {
			return nil
		}
		r.acked = at.Seq
		if r.dirty.IsZero() {
			r.dirty = time.Now()
		}
		if r.acked-r.stored < r.bus.options.FlushRecords && time.Since(r.dirty) < r.bus.options.FlushAfter {
			continue
		}
		acked := r.acked
		if err := r.flush(ctx); err != nil {
			return err
		}
		if r.acked != acked { // somebody moved the checkpoint
			return nil
		}
	}
	return nil
}

// idle waits for the partition to grow, and writes the checkpoint when it is time.
func (r *reader) idle(ctx context.Context) error {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if !r.dirty.IsZero() {
		wait, cancel = context.WithDeadline(ctx, r.dirty.Add(r.bus.options.FlushAfter))
	}
	defer cancel()
	if _, err := r.bus.tail.Wait(wait, r.partition, r.acked); err == nil || ctx.Err() != nil {
		return nil
	}
	return r.flush(ctx)
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
	msg := newMessage(record)
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	msg.SetContext(life)
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

// flush writes the checkpoint. If somebody else has moved it, both have acknowledged what they passed, so the further one of
// the two counts; unless it was set back behind where we began, to have records again: then we follow.
func (r *reader) flush(ctx context.Context) error {
	for r.acked != r.stored {
		err := r.bus.checkpoints.SetCheckpoint(ctx, r.consumer, r.partition, r.stored, r.acked)
		if err == nil {
			r.stored = r.acked
			break
		}
		if !errors.Is(err, work.ErrStale) {
			return err
		}
		seq, err := r.bus.checkpoints.Checkpoint(ctx, r.consumer, r.partition)
		if err != nil {
			return err
		}
		if seq < r.stored || seq > r.acked {
			r.acked = seq
		}
		r.stored = seq
	}
	r.dirty = time.Time{}
	return nil
}
