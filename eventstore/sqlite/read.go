package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

const selectEvents = `SELECT partition, seq, stream, version, subject, type, schema, event_id, effective_at, recorded_at,
	dedupe_key, data, meta, evidence_digests, hash FROM events `

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Head returns the tip of a partition.
func (s *Store) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	if err := s.checkPartition(ctx, partition); err != nil {
		return eventstore.Head{}, err
	}
	before := s.index.Tip(partition)
	head, err := readHead(ctx, s.readers, partition)
	if err != nil {
		return eventstore.Head{}, fmt.Errorf("read the head of partition %d: %w", partition, explain(err))
	}
	s.index.Saw(before, head)
	return head, nil
}

func readHead(ctx context.Context, db querier, partition int) (eventstore.Head, error) {
	head := eventstore.Head{Partition: partition}
	var hash []byte
	var recorded sql.NullInt64
	err := db.QueryRowContext(ctx, "SELECT seq, hash, epoch, recorded_at FROM heads WHERE partition = $1", partition).
		Scan(&head.Seq, &hash, &head.Epoch, &recorded)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return eventstore.Head{}, eventstore.ErrPartition
	case err != nil:
		return eventstore.Head{}, err
	case len(hash) != len(head.Hash):
		return eventstore.Head{}, fmt.Errorf("%w: a head's hash of %d bytes", eventstore.ErrBroken, len(hash))
	}
	head.Hash = eventstore.Hash(hash)
	if recorded.Valid {
		head.RecordedAt = time.UnixMicro(recorded.Int64).UTC()
	}
	return head, nil
}

// Read returns up to limit records behind position after, in order.
func (s *Store) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	if err := eventstore.CheckPage(after, limit); err != nil {
		return nil, err
	}
	if err := s.checkPartition(ctx, partition); err != nil {
		return nil, err
	}
	records, err := s.events(ctx, "WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3", partition, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read partition %d behind %d: %w", partition, after, err)
	}
	return records, nil
}

// Hashes returns the hashes of up to limit records behind position after, in order, and reads nothing else of them.
func (s *Store) Hashes(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Hash, error) {
	if err := eventstore.CheckPage(after, limit); err != nil {
		return nil, err
	}
	if err := s.checkPartition(ctx, partition); err != nil {
		return nil, err
	}
	hashes, err := s.hashes(ctx, partition, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the hashes of partition %d behind %d: %w", partition, after, explain(err))
	}
	return hashes, nil
}

func (s *Store) hashes(ctx context.Context, partition int, after int64, limit int) (hashes []eventstore.Hash, err error) {
	rows, err := s.readers.QueryContext(ctx, "SELECT seq, hash FROM events WHERE partition = $1 AND seq > $2 ORDER BY seq LIMIT $3", partition, after, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq int64
		var hash sql.RawBytes
		if err := rows.Scan(&seq, &hash); err != nil {
			return nil, err
		}
		if seq != after+int64(len(hashes))+1 || len(hash) != len(eventstore.Hash{}) {
			return nil, fmt.Errorf("%w: record %d:%d is missing, or its hash", eventstore.ErrBroken, partition, after+int64(len(hashes))+1)
		}
		hashes = append(hashes, eventstore.Hash(hash))
	}
	return hashes, rows.Err()
}

// ReadStream returns up to limit records of a stream behind position after, in order.
func (s *Store) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	if err := eventstore.CheckPage(after, limit); err != nil {
		return nil, err
	}
	head, err := s.Head(ctx, partition)
	if err != nil {
		return nil, err
	}
	records, err := s.index.ReadStream(ctx, head, stream, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read stream %q behind %d: %w", stream, after, explain(err))
	}
	return records, nil
}

// ReadSubjects returns the records of the subjects, in order of position.
func (s *Store) ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	head, err := s.Head(ctx, partition)
	if err != nil {
		return nil, err
	}
	records, err := s.index.ReadSubjects(ctx, head, subjects)
	if err != nil {
		return nil, fmt.Errorf("read %d subjects of partition %d: %w", len(subjects), partition, explain(err))
	}
	return records, nil
}

// Lookup returns the positions of the records that hold the keys.
func (s *Store) Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error) {
	if err := s.checkPartition(ctx, partition); err != nil {
		return nil, err
	}
	taken, err := s.index.Lookup(ctx, partition, upTo, keys)
	if err != nil {
		return nil, fmt.Errorf("look up %d keys in partition %d: %w", len(keys), partition, explain(err))
	}
	return taken, nil
}

// Evidence returns the raw messages of one record, in order.
func (s *Store) Evidence(ctx context.Context, p eventstore.Position) ([]eventstore.Evidence, error) {
	messages, err := s.evidence(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("read the evidence of record %s: %w", p, explain(err))
	}
	return messages, nil
}

func (s *Store) evidence(ctx context.Context, p eventstore.Position) (messages []eventstore.Evidence, err error) {
	head, err := readHead(ctx, s.readers, p.Partition)
	if err != nil {
		return nil, err
	}
	if p.Seq < 1 || p.Seq > head.Seq {
		return nil, eventstore.ErrNotFound
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT media_type, body FROM evidence WHERE partition = $1 AND seq = $2 ORDER BY n", p.Partition, p.Seq)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e eventstore.Evidence
		if err := rows.Scan(&e.MediaType, &e.Body); err != nil {
			return nil, err
		}
		messages = append(messages, e)
	}
	return messages, rows.Err()
}

// EachEvidence calls f with the raw messages of the records from position from up to position to, in order, one at a time. An error of f
// ends it, and is returned.
func (s *Store) EachEvidence(ctx context.Context, partition int, from, to int64, f func(seq int64, message eventstore.Evidence) error) (err error) {
	if err := s.checkPartition(ctx, partition); err != nil {
		return err
	}
	rows, err := s.readers.QueryContext(ctx, "SELECT seq, media_type, body FROM evidence WHERE partition = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq, n", partition, from, to)
	if err != nil {
		return fmt.Errorf("read the evidence of partition %d from %d on: %w", partition, from, explain(err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq int64
		var e eventstore.Evidence
		if err := rows.Scan(&seq, &e.MediaType, &e.Body); err != nil {
			return fmt.Errorf("read the evidence of partition %d from %d on: %w", partition, from, explain(err))
		}
		if err := f(seq, e); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the evidence of partition %d from %d on: %w", partition, from, explain(err))
	}
	return nil
}

// events reads whole records.
func (s *Store) events(ctx context.Context, where string, args ...any) (records []eventstore.Record, err error) {
	rows, err := s.readers.QueryContext(ctx, selectEvents+where, args...)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r eventstore.Record
		if err := scan(rows, &r); err != nil {
			return nil, explain(err)
		}
		records = append(records, r)
	}
	return records, explain(rows.Err())
}

func scan(rows *sql.Rows, r *eventstore.Record) error {
	var id, digests, hash sql.RawBytes
	var effective, recorded int64
	var dedupe string
	if err := rows.Scan(&r.Partition, &r.Seq, &r.Stream, &r.Version, &r.Subject, &r.Type, &r.Schema, &id, &effective, &recorded,
		&dedupe, &r.Data, &r.Meta, &digests, &hash); err != nil {
		return err
	}
	if len(id) != len(uuid.UUID{}) || len(hash) != len(eventstore.Hash{}) {
		return fmt.Errorf("%w: record %s: event id of %d and hash of %d bytes", eventstore.ErrBroken, r.Position(), len(id), len(hash))
	}
	r.EventID, r.Hash = uuid.UUID(id), eventstore.Hash(hash)
	r.EffectiveAt, r.RecordedAt = time.UnixMicro(effective).UTC(), time.UnixMicro(recorded).UTC()
	r.Keys = eventstore.SplitKeys(dedupe)
	var err error
	if r.EvidenceDigests, err = eventstore.SplitDigests(digests); err != nil {
		return fmt.Errorf("record %s: %w", r.Position(), err)
	}
	return nil
}
