package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Checkpoint returns the position up to which the consumer group has read the partition; 0 before its first record.
func (s *Store) Checkpoint(ctx context.Context, group string, partition int) (int64, error) {
	var seq int64
	err := s.quick.QueryRowContext(ctx, `SELECT seq FROM checkpoints WHERE consumer = $1 AND partition = $2`, group, int64(partition)).Scan(&seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("checkpoint of %s in partition %d: %w", group, partition, err)
	}
	return seq, nil
}

// SetCheckpoint moves the group's checkpoint from old to next, backwards too. ErrStale, and nothing changes, if it is not at
// old: another consumer of the group is at work.
func (s *Store) SetCheckpoint(ctx context.Context, group string, partition int, old, next int64) error {
	if err := checkName("consumer group", group); err != nil {
		return err
	}
	if old < 0 || next < 0 {
		return fmt.Errorf("%w: checkpoint of %s from %d to %d", ErrInvalid, group, old, next)
	}
	text := `UPDATE checkpoints SET seq = $4, updated_at = $5 WHERE consumer = $1 AND partition = $2 AND seq = $3`
	if old == 0 {
		text = `INSERT INTO checkpoints (consumer, partition, seq, updated_at) VALUES ($1, $2, $4, $5)
			ON CONFLICT (consumer, partition) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at WHERE checkpoints.seq = $3`
	}
	n, err := changed(s.quick.ExecContext(ctx, text, group, int64(partition), old, next, micros(time.Now())))
	if err == nil && n == 0 {
		err = ErrStale
	}
	if err != nil {
		return fmt.Errorf("moving the checkpoint of %s in partition %d from %d to %d: %w", group, partition, old, next, err)
	}
	return nil
}
