package work

import (
	"context"
	"fmt"
	"time"
)

// SpendOnce spends something that may be used once, such as a refresh token, by its id: first is true for one caller, in whatever process,
// and false for all who come later. It is remembered until a time from which on it could not be used anyway; see PruneSpent.
//
// Unlike other work it cannot be derived again from the log. Its commit waits for the disk where that of db does: on SQLite the store for it is one
// whose db has synchronous=FULL.
func (s *Store) SpendOnce(ctx context.Context, id string, until time.Time) (first bool, err error) {
	if err := checkName("id of what is spent", id); err != nil {
		return false, err
	}
	if until.IsZero() {
		return false, fmt.Errorf("%w: spending without a time until which it is remembered", ErrInvalid)
	}
	n, err := changed(s.db.ExecContext(ctx, `INSERT INTO spent (id, until) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, micros(until)))
	if err != nil {
		return false, fmt.Errorf("spending what may be used once: %w", err)
	}
	return n == 1, nil
}

// PruneSpent forgets what need not be remembered at that time any more, and returns how many those were.
func (s *Store) PruneSpent(ctx context.Context, now time.Time) (int64, error) {
	var total int64
	for {
		n, err := changed(s.quick.ExecContext(ctx, `DELETE FROM spent WHERE id IN
			(SELECT id FROM spent WHERE until <= $1 ORDER BY until LIMIT $2)`, micros(now), pruneAtOnce))
		total += n
		if err != nil {
			return total, fmt.Errorf("pruning what is spent: %w", err)
		}
		if n < pruneAtOnce {
			return total, nil
		}
	}
}
