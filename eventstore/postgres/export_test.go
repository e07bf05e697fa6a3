package postgres

import "context"

// StrayBy is Stray with pages of so many messages.
func (s *Store) StrayBy(ctx context.Context, partition, page int) (seq int64, found bool, err error) {
	return s.stray(ctx, partition, page)
}
