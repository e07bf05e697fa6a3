package executor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of keeping snapshots.
const (
	keepAtOnce   = 16              // snapshots of one batch
	keepWithin   = 5 * time.Second // writing them
	closeGrowth  = 1000            // versions that a stream has grown by, to be kept when the executor closes
	closeAtOnce  = 256             // snapshots kept then
	closeLasting = 5 * time.Second // writing them
)

// dueSnapshot is a state to be kept, copied at the end of a batch. It shares nothing with the one in memory.
type dueSnapshot struct {
	of    *entry
	state Snapshotter
	at    eventstore.Snapshot // all but State
}

// snapshotOf is the snapshot of a state that stands on head; false when it cannot be kept. A state that was read while another
// process appended may have more than there is up to head, if the conflict has not been met yet.
func (x *Executor) snapshotOf(e *entry, head eventstore.Head) (dueSnapshot, bool) {
	s, is := e.state.(Snapshotter)
	if !is || e.seq > head.Seq {
		return dueSnapshot{}, false
	}
	return dueSnapshot{of: e, state: s, at: eventstore.Snapshot{
		Partition: x.partition, Stream: e.name, Seq: head.Seq, Hash: head.Hash, Version: e.version, Fold: s.Fold(),
	}}, true
}

// due copies those of a batch's states whose snapshot is due, as of its end. Nothing has been decided upon the batch yet.
// While snapshots are being written there are none: what is due stays due.
func (x *Executor) due(b *batch) (due []dueSnapshot) {
	if len(x.keeping) > 0 {
		return nil
	}
	for i := range b.undo {
		e := b.undo[i].of
		if e.kind != Stream || e.version-e.kept < x.opts.SnapshotEvery || len(due) == keepAtOnce {
			continue
		}
		if d, can := x.snapshotOf(e, b.head); can {
			d.state = d.state.Copy().(Snapshotter)
			due = append(due, d)
		}
	}
	return due
}

// keep writes snapshots of a batch that is durable, beside the deciding. A write that fails is not tried again before the
// stream has grown by as much once more.
func (x *Executor) keep(due []dueSnapshot) {
	if len(due) == 0 {
		return
	}
	x.keeping <- struct{}{}
	for _, d := range due {
		d.of.kept = d.at.Version
	}
	go func() {
		defer func() { <-x.keeping }()
		x.write(due, keepWithin)
	}()
}

// write writes snapshots until time is over. A failure costs nothing but the time that the next start takes.
func (x *Executor) write(due []dueSnapshot, within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for _, d := range due {
		var err error
		if d.at.State, err = d.state.Snapshot(); err == nil {
			err = x.log.KeepSnapshot(ctx, d.at)
		}
		if err != nil {
			x.opts.Logger.Warn("a snapshot was not kept", "partition", x.partition, "stream", d.at.Stream, "error", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// keepRest keeps, when all is answered, what has grown since its last snapshot, so that the next start is fast. Nothing is in
// flight then, so the head is durable; behind a conflict it is not known.
func (x *Executor) keepRest() {
	x.keeping <- struct{}{} // until the write under way has ended; its time is bounded
	if !x.known {
		return
	}
	var rest []dueSnapshot
	for e := range x.states.all() {
		if e.kind != Stream || e.version-e.kept < closeGrowth {
			continue
		}
		if d, can := x.snapshotOf(e, x.head); can {
			rest = append(rest, d)
		}
	}
	slices.SortFunc(rest, func(a, b dueSnapshot) int { return int(b.at.Version - b.of.kept - a.at.Version + a.of.kept) })
	x.write(rest[:min(len(rest), closeAtOnce)], closeLasting)
}

// restored is a state as its snapshot has it: nil without one, and with the reason when there is one that is not believed. It
// is believed when it was folded as this program folds, and the log has the record that it stands on: else it is another
// history's.
func (x *Executor) restored(n Need) (*entry, error) {
	e, err := x.newEntry(n)
	if err != nil {
		return nil, nil // loadStream says so
	}
	s, can := e.state.(Snapshotter)
	if !can {
		return nil, nil
	}
	ctx, cancel := x.within()
	defer cancel()
	kept, there, err := x.log.Snapshot(ctx, x.partition, n.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading it: %w", err)
	case !there:
		return nil, nil
	case kept.Fold != s.Fold():
		return nil, fmt.Errorf("it was folded by version %d, this program has %d", kept.Fold, s.Fold())
	case kept.Check() != nil:
		return nil, kept.Check()
	}
	at, err := x.log.Read(ctx, x.partition, kept.Seq-1, 1)
	if err != nil {
		return nil, fmt.Errorf("reading record %d:%d: %w", x.partition, kept.Seq, err)
	}
	if len(at) == 0 || at[0].Seq != kept.Seq || at[0].Hash != kept.Hash {
		return nil, fmt.Errorf("it stands on a record %d:%d that the log does not have", x.partition, kept.Seq)
	}
	if err := s.Restore(kept.State); err != nil {
		return nil, fmt.Errorf("reading its state: %w", err)
	}
	e.version, e.kept, e.seq = kept.Version, kept.Version, kept.Seq
	return e, nil
}
