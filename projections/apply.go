package projections

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
)

// target is a generation of a projection that is written to.
type target struct {
	projection
	generation int64
}

// targets are the generations that serve.
func (s *standing) targets() []target {
	var found []target
	for _, p := range all() {
		if generation, usable := s.usable(p); usable {
			found = append(found, target{p, generation})
		}
	}
	return found
}

// lane is a set of generations that move together, over one partition.
type lane struct {
	number    int64
	epoch     int64
	partition int
	targets   []target
}

// batch is what is read from the log at once, decoded.
type batch struct {
	facts []fact
	to    mark // of the last record
}

// read reads and decodes up to limit records behind from. It checks that they continue the chain; an empty batch is the end of
// the log.
func (v *Views) read(ctx context.Context, partition int, from mark, limit int) (batch, error) {
	records, err := v.log.Read(ctx, partition, from.seq, limit)
	if err != nil {
		return batch{}, fmt.Errorf("read the log behind %d:%d: %w", partition, from.seq, err)
	}
	if len(records) == 0 {
		return batch{to: from}, nil
	}
	head, err := eventstore.Follow(eventstore.Head{Partition: partition, Seq: from.seq, Hash: from.hash}, records)
	if err != nil {
		return batch{}, err
	}
	facts, err := decode(records)
	if err != nil {
		return batch{}, err
	}
	return batch{facts, mark{head.Seq, head.Hash}}, nil
}

// advance writes a batch and moves the checkpoint of the lane, in one transaction. errFenced: nothing was written.
func (w *writer) advance(ctx context.Context, l lane, from mark, b batch) error {
	return w.atomic(ctx, func() error {
		if err := w.move(ctx, l.number, l.partition, l.epoch, from, b.to); err != nil {
			return err
		}
		return w.apply(ctx, l, from, b)
	})
}

// apply writes a batch to the targets of a lane, which stand at from, in the open transaction.
func (w *writer) apply(ctx context.Context, l lane, from mark, b batch) error {
	known := w.recall(l, from)
	for _, t := range l.targets {
		if err := t.apply(ctx, w, known, t.generation, b.facts); err != nil {
			return fmt.Errorf("project %s up to record %s: %w", t.name(), b.facts[len(b.facts)-1].record.Position(), err)
		}
	}
	known.moved(b.to)
	return nil
}
