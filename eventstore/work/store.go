package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore/groupcommit"
)

// Bounds.
const (
	MaxNameBytes    = 400     // kind, key, group of a job; merchant, scope, key of an answer; consumer of a checkpoint
	MaxPayloadBytes = 1 << 20 // payload of a job
	MaxAnswerBytes  = 4 << 20 // body of an answer
	MaxLease        = 1000    // jobs of one Lease
)

// Bounds of a transaction that callers share.
const (
	maxTogether    = 1000 // callers
	togetherWithin = 30 * time.Second
)

// Errors of this package. Compare with errors.Is.
var (
	ErrLeaseLost = errors.New("the lease of the job is lost")
	ErrStale     = errors.New("the checkpoint is not where it was expected")
	ErrInvalid   = errors.New("invalid work")
)

// Store is work storage in a database whose schema is that of the area "work". It is safe for concurrent use. On SQLite the
// connections should have a busy timeout.
type Store struct {
	db      *sql.DB
	quick   *sql.DB // for what a crash of the database may undo
	puts    *groupcommit.Pool[[]Job]
	inserts [jobSizes]*sql.Stmt // by the logarithm of their rows; nil until needed; owned by the writer of puts, closed with db

	mu    sync.Mutex
	wakes map[string][]chan struct{} // by kind: one channel, of capacity one, per running Run
}

// New returns the store in db. quick is a pool of connections to the same database whose commits need not wait for the disk; it
// may be db. Both stay the caller's to close.
func New(db, quick *sql.DB) *Store {
	s := &Store{db: db, quick: quick, wakes: make(map[string][]chan struct{})}
	s.puts = groupcommit.New(maxTogether, togetherWithin, s.putTogether)
	return s
}

// Wake makes every Run of the kind in this process look for due jobs at once.
func (s *Store) Wake(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.wakes[kind] {
		select {
		case c <- struct{}{}:
		default: // it is going to look anyway
		}
	}
}

// listen returns a channel that Wake sends on, until forget is called.
func (s *Store) listen(kind string) (wake <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakes[kind] = append(s.wakes[kind], c)
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wakes[kind] = slices.DeleteFunc(s.wakes[kind], func(other chan struct{}) bool { return other == c })
	}
}

// micros and fromMicros are how times are stored: Unix microseconds, UTC.
func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }

// stored makes a body storable: NULL is not an empty one.
func stored(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// transaction runs f in a transaction. The first statement of f must write, so that SQLite locks before it reads.
func (s *Store) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := f(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// changed is the number of rows that a statement changed.
func changed(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func checkName(what, s string) error {
	if s == "" || len(s) > MaxNameBytes {
		return fmt.Errorf("%w: %s of %d bytes (1 to %d)", ErrInvalid, what, len(s), MaxNameBytes)
	}
	return nil
}
