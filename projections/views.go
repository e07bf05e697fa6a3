package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/tail"
)

// Dialect is the kind of the database that holds the views.
type Dialect string

// The databases that views live in.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Log is the part of the event log that the views are made from.
type Log interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
}

// Options configure Views. The zero value is good.
type Options struct {
	Batch       int              // records of one transaction, at most
	ReachWithin time.Duration    // how long Reach waits
	Poll        time.Duration    // how often Run looks what other processes have done to the views
	KeyAge      time.Duration    // how old an answer of MerchantByKeyHash and OperatorByKeyHash may be
	Clock       func() time.Time // for KeyAge
	Logger      *slog.Logger
}

// Defaults of Options.
const (
	defaultBatch       = 8_000
	defaultReachWithin = 2 * time.Second
	defaultPoll        = 150 * time.Millisecond
	defaultKeyAge      = 500 * time.Millisecond
)

// Errors of the views. Compare with errors.Is.
var (
	// ErrBehind: the views have not reached the log within the bound, or are being built. Try again.
	ErrBehind = errors.New("the views are behind the log")
	// ErrNewer: a newer program has made the views, and this one cannot read them.
	ErrNewer = errors.New("the views were made by a newer version of this program")
	// ErrDamaged: the SQLite file of the views is damaged. OpenSQLite replaces it.
	ErrDamaged = errors.New("the views database is damaged")
	// ErrUnknownProjection: no projection has that name.
	ErrUnknownProjection = errors.New("no such projection")
)

// Views answers from the projections. It is safe for concurrent use. Run keeps them up to date; without it, reads bring them
// up to date themselves, as a command beside a server does.
type Views struct {
	db      *sql.DB
	dialect Dialect
	log     Log
	info    eventstore.Info
	tail    *tail.Tail
	opts    Options

	heads   headReader
	keys    keyCache
	working chan struct{} // holds a token while somebody brings the views up to date: Run, or a read without it
	reading chan struct{} // holds a token while somebody reads the standing from the database

	mu      sync.Mutex
	running bool          // Run keeps the views up to date
	held    bool          // against the log, since Run began: they are not of another history
	waiting int           // reads that wait for it
	now     standing      // as last seen or written by this process
	change  chan struct{} // closed and replaced when now changes
}

// Open makes Views over a database, which may be empty: it writes nothing before Run, Rebuild or a read needs it. On
// PostgreSQL the tables are made in the schema that db's search_path names first. The database stays the caller's to close.
func Open(ctx context.Context, db *sql.DB, dialect Dialect, from Log, t *tail.Tail, opts Options) (*Views, error) {
	if dialect != SQLite && dialect != Postgres {
		return nil, fmt.Errorf("open the views: no such database dialect: %q", dialect)
	}
	info, err := from.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the views: %w", err)
	}
	if limit := db.Stats().MaxOpenConnections; limit > 0 && limit < Connections(info.Partitions) {
		return nil, fmt.Errorf("open the views: a pool of %d connections (at least %d for %d partitions)", limit, Connections(info.Partitions), info.Partitions)
	}
	opts.Batch = defaulted(opts.Batch, defaultBatch)
	opts.ReachWithin = defaulted(opts.ReachWithin, defaultReachWithin)
	opts.Poll = defaulted(opts.Poll, defaultPoll)
	opts.KeyAge = defaulted(opts.KeyAge, defaultKeyAge)
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	v := &Views{db: db, dialect: dialect, log: from, info: info, tail: t, opts: opts,
		working: make(chan struct{}, 1), reading: make(chan struct{}, 1), change: make(chan struct{})}
	v.heads.log, v.heads.partitions = from, info.Partitions
	return v, nil
}

// Connections is how many connections the pool of the views needs at least: while views are built, every partition has a
// writer that follows the log and one that fills the new generation, each with a connection of its own; the rest are for reads.
func Connections(partitions int) int { return 2*partitions + 4 }

func defaulted[T int | time.Duration](value, preset T) T {
	if value <= 0 {
		return preset
	}
	return value
}

// Names lists the projections.
func Names() []string {
	var names []string
	for _, p := range all() {
		names = append(names, p.name())
	}
	return names
}
