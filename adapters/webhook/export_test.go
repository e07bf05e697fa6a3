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

// Fail makes an attempt that fails, the next one of which is due at a time; false if there was none to make.
func (s *Store) Fail(ctx context.Context, id string, now, due time.Time) (bool, error) {
	d, ok, err := s.begin(ctx, id, "failing "+now.String(), now, now.Add(leaseMargin))
	if err != nil || !ok {
		return ok, err
	}
	return true, s.finish(ctx, &d, &outcome{status: 500}, Pending, now, due)
}

// PutOff is what a process does that could not make an attempt for reasons of its own.
func (s *Store) PutOff(ctx context.Context, id string, now, due time.Time) error {
	return s.putOff(ctx, id, now, due)
}
