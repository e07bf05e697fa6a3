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
	filling   bool // by a build that makes up afterwards what can be derived at once: see completed
}

// stretch is what is read from the log at once, decoded, and written in one transaction.
type stretch struct {
	facts []fact
	to    mark // of the last record
	more  bool // another one follows in the same transaction
}

// A stretch is read in portions, each twice as large as the one before, and ends behind the one with which it has stretchBytes: a record
// with the items of a payout batch is a hundred times as large as one of a payment, and hundreds of them may follow each other.
const (
	portionFirst = 64 // records
	portionLast  = 512
	stretchBytes = 8 << 20
)

// read reads and decodes up to limit records behind from, or fewer if they are large. It checks that they continue the chain; an empty
// stretch is the end of the log.
func (v *Views) read(ctx context.Context, partition int, from mark, limit int) (stretch, error) {
	records, err := v.records(ctx, partition, from.seq, limit)
	if err != nil {
		return stretch{}, fmt.Errorf("read the log behind %d:%d: %w", partition, from.seq, err)
	}
	if len(records) == 0 {
		return stretch{to: from}, nil
	}
	head, err := eventstore.Follow(eventstore.Head{Partition: partition, Seq: from.seq, Hash: from.hash}, records)
	if err != nil {
		return stretch{}, err
	}
	facts, err := decode(records)
	if err != nil {
		return stretch{}, err
	}
	return stretch{facts: facts, to: mark{head.Seq, head.Hash}}, nil
}

// records reads portions.
func (v *Views) records(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	var records []eventstore.Record
	size := 0
	for portion := portionFirst; len(records) < limit && size < stretchBytes; portion = min(2*portion, portionLast) {
		portion = min(portion, limit-len(records))
		more, err := v.log.Read(ctx, partition, after+int64(len(records)), portion)
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
		if len(more) < portion {
			break
		}
		for i := range more {
			size += len(more[i].Data)
		}
	}
	return records, nil
}

// advance writes a batch and moves the checkpoint of the lane, in one transaction. errFenced: nothing was written.
func (w *writer) advance(ctx context.Context, l lane, from mark, b stretch) error {
	return w.atomic(ctx, func() error {
		if err := w.move(ctx, l.number, l.partition, l.epoch, from, b.to); err != nil {
			return err
		}
		return w.apply(ctx, l, from, b)
	})
}

// apply writes a batch to the targets of a lane, which stand at from, in the open transaction.
func (w *writer) apply(ctx context.Context, l lane, from mark, b stretch) error {
	known := w.recall(l, from)
	known.more = b.more
	for _, t := range l.targets {
		if err := t.apply(ctx, w, known, t.generation, b.facts); err != nil {
			return fmt.Errorf("project %s up to record %s: %w", t.name(), b.facts[len(b.facts)-1].record.Position(), err)
		}
	}
	known.moved(b.to)
	return nil
}
