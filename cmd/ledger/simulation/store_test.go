package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// handle is the store as one part of one process sees it.
type handle struct {
	*memory.Store
	world *world
	of    *process
	part  string // who calls
}

// inDoubt is an append whose connection broke in the middle of COMMIT: it may take effect yet.
type inDoubt struct {
	head    eventstore.Head
	records []eventstore.Record
}

// Append writes records, or fails in one of the ways that the contract allows.
func (h *handle) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	w := h.world
	v := w.park(ctx, h.of, "append", fmt.Sprintf("%d:%d+%d", head.Partition, head.Seq, len(records)), false)
	if w.plant.append != nil {
		return w.plant.append(h, v, head, records)
	}
	return h.append(ctx, v, head, records)
}

func (h *handle) append(ctx context.Context, v verdict, head eventstore.Head, records []eventstore.Record) error {
	clear := context.WithoutCancel(ctx)
	switch {
	case v.fault == doubt:
		h.world.mu.Lock()
		h.world.doubts = append(h.world.doubts, inDoubt{head, slices.Clone(records)})
		h.world.mu.Unlock()
		return fmt.Errorf("%w: %w", eventstore.ErrUnknown, v.err(ctx))
	case v.done():
		if err := h.Store.Append(clear, head, records); err != nil {
			return err
		}
		if !v.answered() {
			return fmt.Errorf("%w: %w", eventstore.ErrUnknown, v.err(ctx))
		}
		return nil
	case v.expired:
		return fmt.Errorf("%w: %w", eventstore.ErrUnknown, v.err(ctx))
	}
	return v.err(ctx)
}

// Committed finds out what became of an append in doubt: it waits it out, or fences it off.
func (h *handle) Committed(ctx context.Context, records []eventstore.Record) (bool, error) {
	w := h.world
	v := w.park(ctx, h.of, "committed", fmt.Sprintf("%d:%d", records[0].Partition, records[0].Seq), false)
	if v.dead {
		return false, nil // so that its goroutine ends
	}
	if !v.answered() {
		return false, v.err(ctx)
	}
	if w.plant.committed != nil {
		return w.plant.committed(h, records)
	}
	w.mu.Lock()
	i := slices.IndexFunc(w.doubts, func(d inDoubt) bool { return d.records[0].EventID == records[0].EventID })
	var d inDoubt
	if i >= 0 {
		d = w.doubts[i]
		w.doubts = slices.Delete(w.doubts, i, i+1)
	}
	w.mu.Unlock()
	if i >= 0 && v.draw%2 == 0 {
		w.land(d)
	} else if i >= 0 {
		if _, err := h.Store.Claim(ctx, records[0].Partition); err != nil {
			return false, err
		}
	}
	return h.Store.Committed(ctx, records)
}

// land lets an append in doubt take effect, if it still can.
func (w *world) land(d inDoubt) {
	err := w.log.Append(context.Background(), d.head, d.records)
	if err != nil {
		w.count("a COMMIT in doubt came too late")
		return
	}
	w.count("a COMMIT in doubt took effect late")
}

// KeepSnapshot keeps a snapshot: it may come late, over a newer one, or half of it only.
func (h *handle) KeepSnapshot(ctx context.Context, kept eventstore.Snapshot) error {
	w := h.world
	v := w.park(ctx, h.of, "keep", fmt.Sprintf("%d:%d %s", kept.Partition, kept.Seq, kept.Stream), false)
	if w.plant.snapshot != nil {
		before, _, err := h.Store.Snapshot(context.WithoutCancel(ctx), kept.Partition, kept.Stream)
		if err != nil {
			return err
		}
		kept = w.plant.snapshot(before, kept)
	}
	if v.fault == doubt {
		w.bank.mu.Lock()
		w.bank.plan(time.Duration(v.draw%uint64(time.Minute)), "a snapshot of "+kept.Stream+" arrives late", func() {
			if err := w.keepSnapshot(kept, verdict{}); err != nil {
				w.wrong("keeping a snapshot late: %v", err)
			}
		})
		w.bank.mu.Unlock()
		return v.err(ctx)
	}
	if v.done() {
		if err := w.keepSnapshot(kept, v); err != nil {
			return err
		}
	}
	if v.answered() || v.fault == garbled && !v.dead && !v.expired {
		return nil
	}
	return v.err(ctx)
}

// keepSnapshot puts a snapshot where it is kept.
func (w *world) keepSnapshot(kept eventstore.Snapshot, v verdict) error {
	is := torn(kept, v)
	w.mu.Lock()
	delete(w.cut, kept.Stream)
	if len(is.State) < len(kept.State) {
		w.cut[kept.Stream] = true
	}
	w.mu.Unlock()
	return w.log.KeepSnapshot(context.Background(), is)
}

// torn is a snapshot as it is: whole, or, when that is its fault, cut short or of another history.
func torn(s eventstore.Snapshot, v verdict) eventstore.Snapshot {
	switch {
	case v.fault != garbled:
	case v.draw%2 == 0:
		s.State = s.State[:v.draw/2%uint64(len(s.State))]
	default:
		s.Hash[0] ^= 1
	}
	return s
}

// Snapshot returns the snapshot that is kept: it may be gone.
func (h *handle) Snapshot(ctx context.Context, partition int, stream string) (eventstore.Snapshot, bool, error) {
	w := h.world
	v := w.park(ctx, h.of, "snapshot", fmt.Sprint(h.part, " ", partition, " ", stream), true)
	if v.dead || v.expired || v.fault == refused {
		return eventstore.Snapshot{}, false, v.err(ctx)
	}
	kept, there, err := h.Store.Snapshot(context.WithoutCancel(ctx), partition, stream)
	if err != nil || !there || v.fault == lost {
		return eventstore.Snapshot{}, false, err
	}
	w.saw("snapshots read")
	return torn(kept, v), true, nil
}

// look parks a call that only reads.
func (h *handle) look(ctx context.Context, kind, detail string) error {
	v := h.world.park(ctx, h.of, kind, h.part+" "+detail, true)
	if v.answered() {
		return nil
	}
	return v.err(ctx)
}

// Head returns the tip of a partition.
func (h *handle) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	if err := h.look(ctx, "head", fmt.Sprint(partition)); err != nil {
		return eventstore.Head{}, err
	}
	return h.Store.Head(context.WithoutCancel(ctx), partition)
}

// Claim raises the epoch.
func (h *handle) Claim(ctx context.Context, partition int) (eventstore.Head, error) {
	if err := h.look(ctx, "claim", fmt.Sprint(partition)); err != nil {
		return eventstore.Head{}, err
	}
	return h.Store.Claim(context.WithoutCancel(ctx), partition)
}

// Read returns a page of records.
func (h *handle) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	if err := h.look(ctx, "read", fmt.Sprintf("%d:%d+%d", partition, after, limit)); err != nil {
		return nil, err
	}
	return h.Store.Read(context.WithoutCancel(ctx), partition, after, limit)
}

// ReadStream returns a page of a stream.
func (h *handle) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	if err := h.look(ctx, "stream", fmt.Sprintf("%s:%d", stream, after)); err != nil {
		return nil, err
	}
	return h.Store.ReadStream(context.WithoutCancel(ctx), partition, stream, after, limit)
}

// ReadSubjects returns the records of subjects.
func (h *handle) ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	if err := h.look(ctx, "subjects", fmt.Sprint(partition, subjects)); err != nil {
		return nil, err
	}
	return h.Store.ReadSubjects(context.WithoutCancel(ctx), partition, subjects)
}

// Lookup finds dedupe keys.
func (h *handle) Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error) {
	if err := h.look(ctx, "lookup", fmt.Sprint(partition, upTo, strings.Join(keys, ","))); err != nil {
		return nil, err
	}
	if h.world.plant.lookup != nil {
		return h.world.plant.lookup(keys), nil
	}
	return h.Store.Lookup(context.WithoutCancel(ctx), partition, upTo, keys)
}
