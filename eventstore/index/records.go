package index

import (
	"context"

	"github.com/khata-ledger/khata/eventstore"
)

// ReadStream returns up to limit records of a stream behind position after, in order: of all records up to head.
func (x *Index) ReadStream(ctx context.Context, head eventstore.Head, stream string, after int64, limit int) ([]eventstore.Record, error) {
	var records []eventstore.Record
	hash := hashOf(kindStream, stream)
	for len(records) < limit {
		want := limit - len(records)
		seqs, err := x.at(head.Partition).stream(ctx, head.Seq, hash, after, want)
		if err != nil {
			return nil, err
		}
		more, err := x.records(ctx, head.Partition, seqs, func(r *eventstore.Record) bool { return r.Stream == stream })
		if err != nil {
			return nil, err
		}
		records = append(records, more...)
		if len(seqs) < want {
			break
		}
		after = seqs[len(seqs)-1]
	}
	return records, nil
}

// ReadSubjects returns the records of the subjects, in order: of all records up to head.
func (x *Index) ReadSubjects(ctx context.Context, head eventstore.Head, subjects []string) ([]eventstore.Record, error) {
	if len(subjects) == 0 {
		return nil, nil
	}
	asked := make(map[string]bool, len(subjects))
	hashes := make([]uint64, len(subjects))
	for i, name := range subjects {
		asked[name] = true
		hashes[i] = hashOf(kindSubject, name)
	}
	seqs, err := x.at(head.Partition).find(ctx, head.Seq, hashes)
	if err != nil {
		return nil, err
	}
	return x.records(ctx, head.Partition, seqs, func(r *eventstore.Record) bool { return asked[r.Subject] })
}

// records reads the records at positions, which ascend, and keeps those that are wanted: a position may be proposed by chance.
func (x *Index) records(ctx context.Context, partition int, seqs []int64, wanted func(*eventstore.Record) bool) ([]eventstore.Record, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	first, last := seqs[0], seqs[len(seqs)-1]
	where, args := "WHERE partition = $1 AND "+x.db.Among("seq", "$2")+" ORDER BY seq", []any{partition, List(seqs)}
	if last-first < 2*int64(len(seqs)) { // few others lie between them: a range is read faster than single positions
		where, args = "WHERE partition = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq", []any{partition, first, last}
	}
	records, err := x.db.Events(ctx, where, args...)
	if err != nil {
		return nil, err
	}
	kept := records[:0]
	for i := range records {
		if wanted(&records[i]) {
			kept = append(kept, records[i])
		}
	}
	clear(records[len(kept):])
	return kept, nil
}
