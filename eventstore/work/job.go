package work

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
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

// Put adds a job, without a lease; if one of its kind and key exists, that is left alone. Callers that put at the same time
// share a transaction.
func (s *Store) Put(ctx context.Context, j Job) error { return s.PutAll(ctx, []Job{j}) }

// Shape of an insert into jobs.
const (
	jobFields  = 7
	jobSizes   = 8 // statements: of 1, 2, 4 ... rows
	jobsAtOnce = 1 << (jobSizes - 1)
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
	if err := s.puts.Do(ctx, jobs); err != nil {
		return fmt.Errorf("putting %d jobs, %s %s first: %w", len(jobs), jobs[0].Kind, jobs[0].Key, err)
	}
	return nil
}

// putTogether writes the jobs of several callers in one transaction.
func (s *Store) putTogether(ctx context.Context, calls [][]Job) error {
	// In one order, so that two processes that put the same jobs do not wait for each other.
	sorted := slices.SortedFunc(slices.Values(slices.Concat(calls...)), func(a, b Job) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
	})
	if err := s.insertAll(ctx, sorted); err != nil {
		return err
	}
	for i := range sorted {
		if i == 0 || sorted[i].Kind != sorted[i-1].Kind {
			s.Wake(sorted[i].Kind)
		}
	}
	return nil
}

// insertAll inserts jobs in one transaction: that of the statement, when one is enough.
func (s *Store) insertAll(ctx context.Context, jobs []Job) error {
	chunks := slices.Collect(slices.Chunk(jobs, jobsAtOnce))
	for _, chunk := range chunks { // before the transaction: they may need a connection of their own
		if err := s.prepareInsert(ctx, sizeOf(chunk)); err != nil {
			return err
		}
	}
	if len(chunks) == 1 {
		return insertJobs(ctx, s.inserts[sizeOf(jobs)], jobs)
	}
	return s.transaction(ctx, func(tx *sql.Tx) error {
		for _, chunk := range chunks {
			if err := insertJobs(ctx, tx.StmtContext(ctx, s.inserts[sizeOf(chunk)]), chunk); err != nil {
				return err
			}
		}
		return nil
	})
}

// sizeOf is the logarithm of the number of rows that insert so many jobs.
func sizeOf(jobs []Job) int { return bits.Len(uint(len(jobs) - 1)) }

func (s *Store) prepareInsert(ctx context.Context, size int) error {
	if s.inserts[size] != nil {
		return nil
	}
	insert, err := s.db.PrepareContext(ctx, insertText(1<<size)) //nolint:sqlclosecheck // it is used for as long as db is open
	if err == nil {
		s.inserts[size] = insert
	}
	return err
}

// insertJobs inserts up to jobsAtOnce jobs. The number of rows is rounded up to a power of two, by repeating the last job, which
// changes nothing: so there are only a few statements to prepare.
func insertJobs(ctx context.Context, insert *sql.Stmt, jobs []Job) error {
	rows := 1 << sizeOf(jobs)
	args := make([]any, 0, jobFields*rows)
	for i := range rows {
		j := &jobs[min(i, len(jobs)-1)]
		args = append(args, j.Kind, j.Key, j.Group, j.Order, micros(j.Due), int64(j.Attempt), stored(j.Payload))
	}
	_, err := insert.ExecContext(ctx, args...)
	return err
}

// insertText inserts so many jobs.
func insertText(rows int) string {
	var text strings.Builder
	text.WriteString(`INSERT INTO jobs (kind, key, group_key, order_seq, due_at, attempt, payload) VALUES `)
	for i := range rows {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(placeholders(jobFields*i, jobFields))
	}
	text.WriteString(` ON CONFLICT DO NOTHING`)
	return text.String()
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
