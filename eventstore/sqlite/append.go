package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// Append writes records behind head, in one durable transaction. See eventstore.Store.
func (s *Store) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	if err := eventstore.CheckAppend(head, records); err != nil {
		return err
	}
	if err := s.checkPartition(ctx, head.Partition); err != nil {
		return err
	}
	if err := s.index.Ready(ctx, head); err != nil {
		return fmt.Errorf("append behind %d:%d: %w", head.Partition, head.Seq, explain(err))
	}
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		current, err := readHead(ctx, w.conn, head.Partition)
		if err != nil {
			return err
		}
		if err := current.Stands(head); err != nil {
			return err
		}
		if err := w.insertRecords(ctx, records); err != nil {
			return err
		}
		return w.moveHead(ctx, head.Behind(records))
	})
	if err != nil {
		last := records[len(records)-1].Seq
		return fmt.Errorf("append records %d:%d to %d: %w", head.Partition, records[0].Seq, last, err)
	}
	s.index.Added(head, records)
	return nil
}

func (w *writer) insertRecords(ctx context.Context, records []eventstore.Record) error {
	err := w.insert(ctx, eventsTable, len(records),
		func(i int) int { return len(records[i].Data) + len(records[i].Meta) },
		func(args []any, i int) []any { return eventArgs(args, &records[i]) })
	if err != nil {
		return err
	}
	type message struct {
		record, n int
	}
	var messages []message
	for i := range records {
		for n := range records[i].Evidence {
			messages = append(messages, message{i, n})
		}
	}
	return w.insert(ctx, evidenceTable, len(messages),
		func(i int) int { return len(records[messages[i].record].Evidence[messages[i].n].Body) },
		func(args []any, i int) []any {
			r := &records[messages[i].record]
			e := &r.Evidence[messages[i].n]
			return append(args, r.Partition, r.Seq, messages[i].n, e.MediaType, notNull(e.Body))
		})
}

func eventArgs(args []any, r *eventstore.Record) []any {
	return append(args, r.Partition, r.Seq, r.Stream, r.Version, r.Subject, r.Type, r.Schema, r.EventID[:],
		r.EffectiveAt.UnixMicro(), r.RecordedAt.UnixMicro(), r.DedupeKey(), string(r.Data), string(r.Meta),
		r.JoinDigests(), r.Hash[:])
}

// notNull makes an empty blob of nil, which would be stored as null.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func (w *writer) moveHead(ctx context.Context, head eventstore.Head) error {
	_, err := w.conn.ExecContext(ctx, "UPDATE heads SET seq = $1, hash = $2, recorded_at = $3 WHERE partition = $4",
		head.Seq, head.Hash[:], head.RecordedAt.UnixMicro(), head.Partition)
	return err
}

// Committed finds out whether an append whose outcome is unknown took effect. It takes the write lock, and writes the head
// anew as it is: if a disk error has left a transaction in the WAL that nobody sees, but that a crash could bring back, it
// is overwritten now. What Committed says is final.
func (s *Store) Committed(ctx context.Context, records []eventstore.Record) (bool, error) {
	if len(records) == 0 {
		return false, fmt.Errorf("%w: no records to look for", eventstore.ErrInvalid)
	}
	partition, first, last := records[0].Partition, records[0].Seq, records[len(records)-1].Seq
	if err := s.checkPartition(ctx, partition); err != nil {
		return false, err
	}
	var found bool
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		if _, err := w.conn.ExecContext(ctx, "UPDATE heads SET seq = seq WHERE partition = $1", partition); err != nil {
			return err
		}
		rows, err := w.conn.QueryContext(ctx,
			"SELECT event_id FROM events WHERE partition = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq", partition, first, last)
		if err != nil {
			return err
		}
		found, err = sameEvents(rows, records)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("find out whether records %d:%d to %d are committed: %w", partition, first, last, err)
	}
	return found, nil
}

func sameEvents(rows *sql.Rows, records []eventstore.Record) (same bool, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	n := 0
	for rows.Next() {
		var id sql.RawBytes
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		if n >= len(records) || !slices.Equal(id, records[n].EventID[:]) {
			return false, nil
		}
		n++
	}
	return n == len(records), rows.Err()
}

// Claim raises the partition's epoch.
func (s *Store) Claim(ctx context.Context, partition int) (eventstore.Head, error) {
	if err := s.checkPartition(ctx, partition); err != nil {
		return eventstore.Head{}, err
	}
	before := s.index.Tip(partition)
	var head eventstore.Head
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		_, err := w.conn.ExecContext(ctx, "UPDATE heads SET epoch = epoch + 1 WHERE partition = $1", partition)
		if err != nil {
			return err
		}
		head, err = readHead(ctx, w.conn, partition)
		return err
	})
	if err != nil {
		return eventstore.Head{}, fmt.Errorf("claim partition %d: %w", partition, err)
	}
	s.index.Saw(before, head)
	return head, nil
}

// Adopt takes another ledger's id and number of partitions while the log is empty.
func (s *Store) Adopt(ctx context.Context, info eventstore.Info) error {
	if err := info.Check(); err != nil {
		return err
	}
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		var used int
		if err := w.conn.QueryRowContext(ctx, "SELECT count(*) FROM heads WHERE seq > 0").Scan(&used); err != nil {
			return err
		}
		if used > 0 {
			return eventstore.ErrNotEmpty
		}
		_, err := w.conn.ExecContext(ctx, "UPDATE ledger SET id = $1, partitions = $2", info.LedgerID.String(), info.Partitions)
		if err != nil {
			return err
		}
		if _, err := w.conn.ExecContext(ctx, "DELETE FROM heads WHERE partition >= $1", info.Partitions); err != nil {
			return err
		}
		return insertHeads(ctx, w.conn, info)
	})
	if err != nil {
		return fmt.Errorf("adopt ledger %s: %w", info.LedgerID, err)
	}
	s.partitions.Store(int64(info.Partitions))
	return nil
}
