package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// pruneAtOnce bounds one transaction of Prune.
const pruneAtOnce = 1000

// Prune deletes the deliveries that were made before that time, with their attempts, and returns how many those were. One that is pending stays.
// What was deleted can neither be shown nor sent again; the record that it told of is in the log as ever.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		var ids []string
		err := s.transaction(ctx, func(tx *sql.Tx) (err error) {
			if ids, err = deleteSettled(ctx, tx, before); err != nil {
				return err
			}
			for _, id := range ids { // SQLite keeps no foreign keys unless it is told to
				if _, err := tx.ExecContext(ctx, `DELETE FROM delivery_attempts WHERE delivery = $1`, id); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("pruning callbacks: %w", err)
		}
		if total += int64(len(ids)); len(ids) < pruneAtOnce {
			return total, nil
		}
	}
}

// deleteSettled deletes deliveries made before that time, the oldest first, at most pruneAtOnce of them, and says which.
func deleteSettled(ctx context.Context, tx *sql.Tx, before time.Time) (ids []string, err error) {
	rows, err := tx.QueryContext(ctx, `DELETE FROM deliveries WHERE state <> 'pending' AND id IN
		(SELECT id FROM deliveries WHERE created_at < $1 AND state <> 'pending' ORDER BY created_at, id LIMIT $2) RETURNING id`,
		before.UnixMicro(), pruneAtOnce)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
