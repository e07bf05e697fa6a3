package work

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// firstOfGroup holds for a job j that no earlier job of its group stands before.
const firstOfGroup = `(j.group_key = '' OR NOT EXISTS (SELECT 1 FROM jobs o
	WHERE o.kind = j.kind AND o.group_key = j.group_key AND o.group_key <> '' AND (o.order_seq, o.key) < (j.order_seq, j.key)))`

// leaseText takes up to $3 eligible jobs of kind $1 at time $2. The conditions on lease_until and due_at stand twice: on PostgreSQL
// two statements may choose the same rows, and the one that had to wait sees by the outer ones that it came too late. There they have a plus sign, so that SQLite does not take
// an index for them and walk through all that is due.
const leaseText = `UPDATE jobs SET lease_until = $4, lease_token = $5
	WHERE kind = $1 AND +lease_until <= $2 AND +due_at <= $2 AND key IN (
		SELECT j.key FROM jobs j WHERE j.kind = $1 AND j.due_at <= $2 AND j.lease_until <= $2 AND ` + firstOfGroup + `
		ORDER BY j.due_at, j.order_seq, j.key LIMIT $3)
	RETURNING ` + jobColumns

// Lease gives the caller up to limit jobs of the kind that are due at now and nobody else has a lease of, those due
// longest first, for the duration hold.
func (s *Store) Lease(ctx context.Context, kind string, now time.Time, limit int, hold time.Duration) (jobs []Job, err error) {
	if limit < 1 || limit > MaxLease || hold <= 0 {
		return nil, fmt.Errorf("%w: leasing %d jobs (1 to %d) for %s", ErrInvalid, limit, MaxLease, hold)
	}
	token, err := uuid.NewRandom()
	if err != nil {
		return nil, fmt.Errorf("token of a lease: %w", err)
	}
	rows, err := s.quick.QueryContext(ctx, leaseText, kind, micros(now), limit, micros(now.Add(hold)), token.String())
	if err != nil {
		return nil, fmt.Errorf("leasing jobs %s: %w", kind, err)
	}
	defer func() {
		if closing := rows.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("leasing jobs %s: %w", kind, closing))
		}
	}()
	for rows.Next() {
		j, err := scanJob(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("leasing jobs %s: %w", kind, err)
		}
		jobs = append(jobs, j)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("leasing jobs %s: %w", kind, err)
	}
	slices.SortFunc(jobs, func(a, b Job) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Key, b.Key))
	})
	return jobs, nil
}

// Done deletes a job that the caller has the lease of. ErrLeaseLost if it has not.
func (s *Store) Done(ctx context.Context, j Job) error {
	return s.holding(ctx, "finishing", j, `DELETE FROM jobs WHERE kind = $1 AND key = $2 AND lease_token = $3`)
}

// Retry puts a leased job off until due, with one attempt more and a new payload (nil keeps the one it has). ErrLeaseLost
// if the caller has not the lease.
func (s *Store) Retry(ctx context.Context, j Job, due time.Time, payload []byte) error {
	if payload == nil {
		payload = j.Payload
	}
	again := j
	again.Due, again.Payload = due, payload
	if err := again.check(); err != nil {
		return err
	}
	return s.holding(ctx, "putting off", j, `UPDATE jobs SET attempt = attempt + 1, due_at = $4, payload = $5, lease_until = 0, lease_token = ''
		WHERE kind = $1 AND key = $2 AND lease_token = $3`, micros(due), stored(payload))
}

// Release gives a lease back; the job is as it was before. ErrLeaseLost if the caller has not the lease.
func (s *Store) Release(ctx context.Context, j Job) error {
	return s.holding(ctx, "releasing", j, `UPDATE jobs SET lease_until = 0, lease_token = ''
		WHERE kind = $1 AND key = $2 AND lease_token = $3`)
}

// Extend makes the caller's lease last until that time. ErrLeaseLost if it has none.
func (s *Store) Extend(ctx context.Context, j Job, until time.Time) error {
	return s.holding(ctx, "keeping", j, `UPDATE jobs SET lease_until = $4 WHERE kind = $1 AND key = $2 AND lease_token = $3`, micros(until))
}

// holding runs a statement that changes the job only under its lease's token.
func (s *Store) holding(ctx context.Context, doing string, j Job, text string, args ...any) error {
	if j.Token == "" {
		return fmt.Errorf("%s job %s %s: %w", doing, j.Kind, j.Key, ErrLeaseLost)
	}
	n, err := changed(s.quick.ExecContext(ctx, text, append([]any{j.Kind, j.Key, j.Token}, args...)...))
	if err == nil && n == 0 {
		err = ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("%s job %s %s: %w", doing, j.Kind, j.Key, err)
	}
	return nil
}

// NextDue returns the earliest time at which a job of the kind can be leased, as far as is known now: when it becomes due
// or a lease runs out. False if there is no such job.
func (s *Store) NextDue(ctx context.Context, kind string) (time.Time, bool, error) {
	var next sql.NullInt64
	err := s.quick.QueryRowContext(ctx, `SELECT MIN(at) FROM (
		SELECT * FROM (SELECT j.due_at AS at FROM jobs j WHERE j.kind = $1 AND j.lease_until = 0 AND `+firstOfGroup+`
			ORDER BY j.due_at, j.order_seq, j.key LIMIT 1) waiting
		UNION ALL
		SELECT MIN(j.lease_until) FROM jobs j WHERE j.kind = $1 AND j.lease_until > 0 AND `+firstOfGroup+`) either`, kind).Scan(&next)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("when jobs %s are due: %w", kind, err)
	}
	if !next.Valid {
		return time.Time{}, false, nil
	}
	return fromMicros(next.Int64), true, nil
}
