package transfer

import (
	"bufio"
	"context"
	"fmt"
	"io"

	"github.com/khata-ledger/khata/eventstore"
)

// Source is a store to export.
type Source interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	Evidence(ctx context.Context, p eventstore.Position) ([]eventstore.Evidence, error)
}

// Progress is told how many records are done, and of how many. Nil is nobody.
type Progress func(done, total int64)

func (p Progress) tell(done, total int64) {
	if p != nil {
		p(done, total)
	}
}

// page bounds the records that are in memory.
const page = 256

// Exported is what an export holds.
type Exported struct {
	Records int64
	Heads   []eventstore.Head // the newest record of each partition
}

// Export writes the log to w. From names, for some of the partitions, the first record that is wanted (inclusive); the other
// partitions are exported whole. eventstore.ErrBroken when the chain does not hold, eventstore.ErrPartition and
// eventstore.ErrNotFound when from names what is not there.
func Export(ctx context.Context, store Source, from []eventstore.Position, w io.Writer, progress Progress) (Exported, error) {
	x := exporter{store: store, progress: progress}
	out, err := x.export(ctx, from, w)
	if err != nil {
		return Exported{}, fmt.Errorf("exporting the log: %w", err)
	}
	return out, nil
}

type exporter struct {
	store    Source
	progress Progress
	lines    encoder
	total    int64
	done     int64
}

func (x *exporter) export(ctx context.Context, from []eventstore.Position, w io.Writer) (Exported, error) {
	info, err := x.store.Info(ctx)
	if err != nil {
		return Exported{}, err
	}
	heads, after, err := x.span(ctx, info, from)
	if err != nil {
		return Exported{}, err
	}
	first := header{Format: Format, Ledger: info.LedgerID, Partitions: info.Partitions}
	for p := range heads {
		x.total += heads[p].Seq - after[p].Seq
		first.After = append(first.After, tipOf(after[p]))
	}
	first.Records = x.total
	buf := bufio.NewWriterSize(w, 1<<16)
	x.lines = newEncoder(buf)
	if err := x.lines.write(line{Header: &first}); err != nil {
		return Exported{}, err
	}
	last := end{Records: x.total}
	for p := range heads {
		if err := x.partition(ctx, after[p], heads[p]); err != nil {
			return Exported{}, err
		}
		last.Heads = append(last.Heads, tipOf(heads[p]))
	}
	if err := x.lines.write(line{End: &last}); err != nil {
		return Exported{}, err
	}
	return Exported{x.total, heads}, buf.Flush()
}

// span finds what is to be exported: behind after, up to heads.
func (x *exporter) span(ctx context.Context, info eventstore.Info, from []eventstore.Position) (heads, after []eventstore.Head, err error) {
	first := map[int]int64{}
	for _, p := range from {
		if p.Partition < 0 || p.Partition >= info.Partitions {
			return nil, nil, fmt.Errorf("from %s: partition %d of %d: %w", p, p.Partition, info.Partitions, eventstore.ErrPartition)
		}
		if _, twice := first[p.Partition]; twice {
			return nil, nil, fmt.Errorf("from %s: partition %d is named twice: %w", p, p.Partition, eventstore.ErrInvalid)
		}
		first[p.Partition] = p.Seq
	}
	for p := range info.Partitions {
		head, err := x.store.Head(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		heads = append(heads, head)
		before := eventstore.Head{Partition: p, Hash: eventstore.Genesis(info.LedgerID, p)}
		if seq := first[p] - 1; seq > 0 {
			records, err := x.store.Read(ctx, p, seq-1, 1)
			if err != nil {
				return nil, nil, err
			}
			if len(records) == 0 || seq > head.Seq {
				return nil, nil, fmt.Errorf("from %d:%d: the newest record is %d:%d: %w", p, seq+1, p, head.Seq, eventstore.ErrNotFound)
			}
			before = before.Behind(records)
		}
		after = append(after, before)
	}
	return heads, after, nil
}

// partition writes the records behind at, up to the head.
func (x *exporter) partition(ctx context.Context, at, head eventstore.Head) error {
	for at.Seq < head.Seq {
		records, err := x.store.Read(ctx, at.Partition, at.Seq, int(min(page, head.Seq-at.Seq)))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return fmt.Errorf("%w: record %d:%d is missing", eventstore.ErrBroken, at.Partition, at.Seq+1)
		}
		if at, err = eventstore.Follow(at, records); err != nil {
			return err
		}
		for i := range records {
			if err := x.record(ctx, &records[i]); err != nil {
				return err
			}
		}
		x.done += int64(len(records))
		x.progress.tell(x.done, x.total)
	}
	if at.Hash != head.Hash {
		return fmt.Errorf("%w: the head of partition %d has another hash than record %d:%d", eventstore.ErrBroken, at.Partition, at.Partition, at.Seq)
	}
	return nil
}

func (x *exporter) record(ctx context.Context, r *eventstore.Record) error {
	var evidence []eventstore.Evidence
	if len(r.EvidenceDigests) > 0 {
		var err error
		if evidence, err = x.store.Evidence(ctx, r.Position()); err != nil {
			return err
		}
		if !matches(r, evidence) {
			return fmt.Errorf("%w: record %s: its evidence does not give its digests", eventstore.ErrBroken, r.Position())
		}
	}
	return x.lines.write(line{Record: toLine(r, evidence)})
}

func matches(r *eventstore.Record, evidence []eventstore.Evidence) bool {
	if len(evidence) != len(r.EvidenceDigests) {
		return false
	}
	for i := range evidence {
		if evidence[i].Digest() != r.EvidenceDigests[i] {
			return false
		}
	}
	return true
}
