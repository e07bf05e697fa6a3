package work

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Job is something to be done, once it is due.
type Job struct {
	Kind string // what handles it, such as payout.dispatch
	Key  string // unique within the kind

	Group string // jobs of a kind that share a group run one after the other; "" for none
	Order int64  // place in the group, such as the position of the event that caused the job

	Due     time.Time // UTC, microseconds
	Attempt int       // how often Retry has put it off
	Payload []byte    // the handler's own; at most MaxPayloadBytes, no clear personal data

	LeaseUntil time.Time // zero without a lease
	Token      string    // of the lease; what Done, Retry, Release and Extend go by
}

// check reports the first bound that the job breaks, as ErrInvalid.
func (j *Job) check() error {
	if err := errors.Join(checkName("kind of a job", j.Kind), checkName("key of a job", j.Key)); err != nil {
		return err
	}
	switch {
	case len(j.Group) > MaxNameBytes:
		return fmt.Errorf("%w: group of job %s %s of %d bytes (at most %d)", ErrInvalid, j.Kind, j.Key, len(j.Group), MaxNameBytes)
	case len(j.Payload) > MaxPayloadBytes:
		return fmt.Errorf("%w: payload of job %s %s of %d bytes (at most %d)", ErrInvalid, j.Kind, j.Key, len(j.Payload), MaxPayloadBytes)
	case j.Due.IsZero():
		return fmt.Errorf("%w: job %s %s has no due time", ErrInvalid, j.Kind, j.Key)
	}
	return nil
}

// Put adds a job, without a lease; if one of its kind and key exists, that is left alone.
func (s *Store) Put(ctx context.Context, j Job) error { return s.PutAll(ctx, []Job{j}) }

// Shape of an insert into jobs.
const (
	jobFields  = 7
	jobsAtOnce = 100
)

// PutAll is Put of many, all of them or none. It wakes those who Run their kinds in this process.
func (s *Store) PutAll(ctx context.Context, jobs []Job) error {
	for i := range jobs {
		if err := jobs[i].check(); err != nil {
			return err
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	// In one order, so that two processes that put the same jobs do not wait for each other.
	sorted := slices.SortedFunc(slices.Values(jobs), func(a, b Job) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		for chunk := range slices.Chunk(sorted, jobsAtOnce) {
			if err := insertJobs(ctx, tx, chunk); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("putting %d jobs, %s %s first: %w", len(jobs), sorted[0].Kind, sorted[0].Key, err)
	}
	for i := range sorted {
		if i == 0 || sorted[i].Kind != sorted[i-1].Kind {
			s.Wake(sorted[i].Kind)
		}
	}
	return nil
}

func insertJobs(ctx context.Context, tx *sql.Tx, jobs []Job) error {
	var text strings.Builder
	text.WriteString(`INSERT INTO jobs (kind, key, group_key, order_seq, due_at, attempt, payload) VALUES `)
	args := make([]any, 0, jobFields*len(jobs))
	for i := range jobs {
		j := &jobs[i]
		text.WriteString(placeholders(len(args), jobFields))
		args = append(args, j.Kind, j.Key, j.Group, j.Order, micros(j.Due), int64(j.Attempt), stored(j.Payload))
		if i < len(jobs)-1 {
			text.WriteByte(',')
		}
	}
	text.WriteString(` ON CONFLICT DO NOTHING`)
	_, err := tx.ExecContext(ctx, text.String(), args...)
	return err
}

// placeholders is ($after+1, ..., $after+n).
func placeholders(after, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "$" + strconv.Itoa(after+i+1)
	}
	return "(" + strings.Join(names, ",") + ")"
}

// jobColumns are what scanJob reads.
const jobColumns = `kind, key, group_key, order_seq, due_at, attempt, payload, lease_until, lease_token`

func scanJob(scan func(...any) error) (Job, error) {
	var j Job
	var due, attempt, until int64
	if err := scan(&j.Kind, &j.Key, &j.Group, &j.Order, &due, &attempt, &j.Payload, &until, &j.Token); err != nil {
		return Job{}, err
	}
	j.Due, j.Attempt = fromMicros(due), int(attempt)
	if until != 0 {
		j.LeaseUntil = fromMicros(until)
	}
	return j, nil
}

// Find returns a job as it stands, without its lease's token; false if there is none.
func (s *Store) Find(ctx context.Context, kind, key string) (Job, bool, error) {
	j, err := scanJob(s.db.QueryRowContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE kind = $1 AND key = $2`, kind, key).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Job{}, false, nil
	}
	if err != nil {
		return Job{}, false, fmt.Errorf("finding job %s %s: %w", kind, key, err)
	}
	j.Token = ""
	return j, true, nil
}

// Count returns how many jobs of the kind there are, due or not.
func (s *Store) Count(ctx context.Context, kind string) (int64, error) {
	var n int64
	if err := s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM jobs WHERE kind = $1`, kind).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting jobs %s: %w", kind, err)
	}
	return n, nil
}

// Remove deletes a job, also from under a lease; that there is none is no error.
func (s *Store) Remove(ctx context.Context, kind, key string) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM jobs WHERE kind = $1 AND key = $2`, kind, key); err != nil {
		return fmt.Errorf("removing job %s %s: %w", kind, key, err)
	}
	s.Wake(kind) // the next of its group may go now
	return nil
}
