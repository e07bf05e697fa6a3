package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore"
)

// Snapshot returns the newest snapshot of a stream; false when there is none.
func (s *Store) Snapshot(ctx context.Context, partition int, stream string) (eventstore.Snapshot, bool, error) {
	if err := s.checkPartition(ctx, partition); err != nil || invalid(stream) {
		return eventstore.Snapshot{}, false, err
	}
	kept := eventstore.Snapshot{Partition: partition, Stream: stream}
	var hash []byte
	err := s.pool.QueryRow(ctx, "SELECT seq, hash, version, fold, state FROM snapshots WHERE partition = $1 AND stream = $2",
		partition, stream).Scan(&kept.Seq, &hash, &kept.Version, &kept.Fold, &kept.State)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return eventstore.Snapshot{}, false, nil
	case err != nil:
		return eventstore.Snapshot{}, false, fmt.Errorf("read the snapshot of %s: %w", stream, explain(err))
	case len(hash) != len(kept.Hash):
		return eventstore.Snapshot{}, false, nil // damaged: as good as none
	}
	kept.Hash = eventstore.Hash(hash)
	return kept, true, nil
}

// EachKept calls f with the snapshots of a partition, without their states. An error of f ends it, and is returned.
func (s *Store) EachKept(ctx context.Context, partition int, f func(kept eventstore.Snapshot) error) error {
	rows, err := s.pool.Query(ctx, "SELECT stream, seq, hash, version, fold FROM snapshots WHERE partition = $1 ORDER BY stream", partition)
	if err != nil {
		return fmt.Errorf("read the snapshots of partition %d: %w", partition, explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		kept := eventstore.Snapshot{Partition: partition}
		var hash []byte
		if err := rows.Scan(&kept.Stream, &kept.Seq, &hash, &kept.Version, &kept.Fold); err != nil {
			return fmt.Errorf("read a snapshot of partition %d: %w", partition, explain(err))
		}
		if len(hash) != len(kept.Hash) {
			continue // as in Snapshot
		}
		kept.Hash = eventstore.Hash(hash)
		if err := f(kept); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

// KeepSnapshot keeps a snapshot in place of the stream's former one.
func (s *Store) KeepSnapshot(ctx context.Context, kept eventstore.Snapshot) error {
	if err := kept.Check(); err != nil {
		return err
	}
	if err := s.checkPartition(ctx, kept.Partition); err != nil {
		return err
	}
	_, err := s.pool.Exec(ctx, `INSERT INTO snapshots (partition, stream, seq, hash, version, fold, state) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (partition, stream) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, version = excluded.version,
			fold = excluded.fold, state = excluded.state`,
		kept.Partition, kept.Stream, kept.Seq, kept.Hash[:], kept.Version, kept.Fold, kept.State)
	if err != nil {
		return fmt.Errorf("keep a snapshot of %s: %w", kept.Stream, explain(err))
	}
	return nil
}
