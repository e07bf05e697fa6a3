package bus

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// maxAge is how long records that were read for one consumer may serve the others. It is short, so that a log that was replaced
// (a standby has taken over) is not mixed with what was read before.
const maxAge = time.Second

// reads is the log as the bus reads it: once for all consumers that follow it side by side.
type reads struct {
	log        Log
	partitions []lastRead
}

// lastRead is the newest batch that was read of a partition.
type lastRead struct {
	turn    chan struct{} // of capacity one: full while somebody reads, who owns the rest
	records []eventstore.Record
	at      time.Time
}

func newReads(log Log, partitions int) *reads {
	r := &reads{log: log, partitions: make([]lastRead, partitions)}
	for p := range r.partitions {
		r.partitions[p].turn = make(chan struct{}, 1)
	}
	return r
}

// read returns up to limit records behind a position. They are shared: nobody changes them.
func (r *reads) read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	last := &r.partitions[partition]
	select {
	case last.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-last.turn }()
	if n := len(last.records); n > 0 && time.Since(last.at) < maxAge {
		from := after + 1 - last.records[0].Seq
		if from >= 0 && from < int64(n) {
			return last.records[from:], nil
		}
	}
	records, err := r.log.Read(ctx, partition, after, limit)
	if err != nil {
		return nil, err
	}
	if n := len(records); n > 0 {
		last.records, last.at = records[:n:n], time.Now()
	}
	return records, nil
}
