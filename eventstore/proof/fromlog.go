package proof

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
)

// Hashes reads the hashes of records alone.
type Hashes interface {
	// Hashes returns the hashes of up to limit records behind position after, in order.
	Hashes(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Hash, error)
}

// FromLog is a partition's tree as the log alone gives it. It stores nothing, so every record below a node is read for it.
func FromLog(log Hashes, partition int) Source { return &logSource{log, partition} }

type logSource struct {
	log       Hashes
	partition int
}

// readAtOnce bounds the hashes of one read.
const readAtOnce = 1 << 14

// Subtrees implements Source.
func (s *logSource) Subtrees(ctx context.Context, level uint, from, to int64) ([]eventstore.Hash, error) {
	var nodes []eventstore.Hash
	grown, err := NewRange(0, nil)
	if err != nil {
		return nil, err
	}
	end := to << level
	for at := from << level; at < end; {
		want := int(min(readAtOnce, end-at))
		hashes, err := s.log.Hashes(ctx, s.partition, at, want)
		if err != nil {
			return nil, err
		}
		if len(hashes) != want {
			return nil, fmt.Errorf("record %d:%d: %w", s.partition, at+int64(len(hashes))+1, eventstore.ErrNotFound)
		}
		for i := range hashes {
			leaf := Leaf(hashes[i])
			if err := grown.Append(leaf[:], nil); err != nil {
				return nil, err
			}
			if grown.End() != 1<<level {
				continue
			}
			nodes = append(nodes, eventstore.Hash(grown.Hashes()[0]))
			if grown, err = NewRange(0, nil); err != nil {
				return nil, err
			}
		}
		at += int64(want)
	}
	return nodes, nil
}
