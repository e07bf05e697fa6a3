package postgres

import (
	"context"
	"fmt"
)

// Durability says what the server is set to that a crash of its machine may cost what was answered for, a sentence each; none when nothing is. That
// commits are waited for at all (synchronous_commit) every connection of a Store sees to itself.
func (s *Store) Durability(ctx context.Context) (doubts []string, err error) {
	var fsync, fullPages bool
	const query = "SELECT current_setting('fsync')::bool, current_setting('full_page_writes')::bool"
	if err := s.pool.QueryRow(ctx, query).Scan(&fsync, &fullPages); err != nil {
		return nil, fmt.Errorf("read the server's settings: %w", explain(err))
	}
	if !fsync {
		doubts = append(doubts, "fsync is off: a crash of PostgreSQL's machine may lose what was answered for, and damage all of it")
	}
	if !fullPages {
		doubts = append(doubts, "full_page_writes is off: a crash of PostgreSQL's machine may leave pages torn, unless its file system writes them whole")
	}
	return doubts, nil
}
