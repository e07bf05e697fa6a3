package webhook

import (
	"context"
	"time"
)

// Abandon begins an attempt and never ends it, as a process does that is killed. False if there was none to begin.
func (s *Store) Abandon(ctx context.Context, id string, now, leaseUntil time.Time) (bool, error) {
	_, ok, err := s.begin(ctx, id, "abandoned "+now.String(), now, leaseUntil)
	return ok, err
}
