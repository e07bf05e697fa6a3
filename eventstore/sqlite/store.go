package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver, by the name "sqlite"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/index"
	"github.com/khata-ledger/khata/migrations"
)

// Bounds of a store.
const (
	readConnections    = 4
	busyTimeoutReadMs  = 10_000 // a reader waits for the recovery of a file that was not closed, at most
	busyTimeoutWriteMs = 20     // one wait for the write lock; see lockTimeout for all of them
	writerCacheKiB     = 16 << 10
	readerCacheKiB     = 8 << 10
	walPages           = 4000 // of 4 KiB: the WAL is moved to the file when it has grown by so many
)

// applicationID marks a file as a log of this program, in SQLite's header: "KHLG". The first migration writes it.
const applicationID = 0x4b484c47

// Store is a log in a SQLite file. It is safe for concurrent use.
type Store struct {
	path       string
	readers    *sql.DB
	writers    *sql.DB
	writing    chan *writer // holds the writer, which is taken to write; nil inside means that it must be opened
	index      *index.Index
	partitions atomic.Int64 // as last read; Adopt changes it
}

var _ eventstore.Store = (*Store)(nil)

// Open opens the log in the file at path, which Migrate has made. migrations.ErrPending when it is not there or not up to
// date, eventstore.ErrNewer when a newer program has made it, eventstore.ErrBroken when it is not a SQLite file.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open the log %s: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string) (*Store, error) {
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no such file: %w", migrations.ErrPending)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a folder")
	}
	dsn, err := fileDSN(path)
	if err != nil {
		return nil, err
	}
	if err := checkFile(ctx, dsn); err != nil {
		return nil, err
	}
	s := &Store{path: path, writing: make(chan *writer, 1)}
	s.writing <- nil
	s.readers, err = connect(dsn, readConnections,
		pragma("busy_timeout", busyTimeoutReadMs), pragma("cache_size", -readerCacheKiB), pragma("query_only", 1))
	if err != nil {
		return nil, err
	}
	s.writers, err = connect(dsn, 1,
		pragma("busy_timeout", busyTimeoutWriteMs), pragma("cache_size", -writerCacheKiB),
		pragma("synchronous", "FULL"), pragma("wal_autocheckpoint", walPages))
	if err != nil {
		return nil, errors.Join(err, s.readers.Close())
	}
	s.index = index.New(index.DB{Read: s.readers, Events: s.events, Write: s.writeIndex, Among: among}, index.Options{})
	if _, err := s.Info(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// checkFile tells whether the file is a log of this program's version, without changing it.
func checkFile(ctx context.Context, dsn string) (err error) {
	db, err := connect(dsn, 1, pragma("busy_timeout", busyTimeoutReadMs), pragma("query_only", 1))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ours, empty, err := identify(ctx, db)
	switch {
	case err != nil:
		return err
	case empty:
		return fmt.Errorf("the file is empty: %w", migrations.ErrPending)
	case !ours:
		return errors.New("it is a SQLite database, but not a log of this program")
	}
	return explain(migrations.Check(ctx, db, migrations.SQLite, migrations.Log))
}

// identify looks whose file it is. The tables are counted first: a process that makes the log at this moment writes its mark
// together with them.
func identify(ctx context.Context, db *sql.DB) (ours, empty bool, err error) {
	var id, tables int64
	// A first migration that was cut short has left goose's table and nothing else.
	const others = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT IN ('goose_log', 'sqlite_sequence')"
	if err := db.QueryRowContext(ctx, others).Scan(&tables); err != nil {
		return false, false, explain(err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return false, false, explain(err)
	}
	return id == applicationID, tables == 0, nil
}

// fileDSN names the file so that it is never created by opening it.
func fileDSN(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}
	return u.String() + "?mode=rw", nil
}

func pragma(name string, value any) string { return fmt.Sprintf("%s(%v)", name, value) }

func connect(dsn string, connections int, pragmas ...string) (*sql.DB, error) {
	for _, p := range pragmas {
		dsn += "&_pragma=" + url.QueryEscape(p)
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Info returns the ledger's id and its number of partitions. eventstore.ErrBroken where the heads are not so many.
func (s *Store) Info(ctx context.Context) (eventstore.Info, error) {
	var info eventstore.Info
	var heads int
	var id string
	err := s.readers.QueryRowContext(ctx, "SELECT id, partitions, (SELECT count(*) FROM heads) FROM ledger").Scan(&id, &info.Partitions, &heads)
	if errors.Is(err, sql.ErrNoRows) {
		return eventstore.Info{}, fmt.Errorf("the log has no id yet: %w", migrations.ErrPending)
	}
	if err != nil {
		return eventstore.Info{}, fmt.Errorf("read the ledger's id: %w", explain(err))
	}
	if info.LedgerID, err = uuid.Parse(id); err != nil {
		return eventstore.Info{}, fmt.Errorf("%w: ledger id %q", eventstore.ErrBroken, id)
	}
	if heads != info.Partitions { // with another number, a merchant would be looked for where it is not
		return eventstore.Info{}, fmt.Errorf("%w: it says that it has %d partitions, and there are the heads of %d", eventstore.ErrBroken, info.Partitions, heads)
	}
	s.partitions.Store(int64(info.Partitions))
	return info, nil
}

// checkPartition refuses a partition that the log does not have.
func (s *Store) checkPartition(ctx context.Context, partition int) error {
	if partition >= 0 && int64(partition) < s.partitions.Load() {
		return nil
	}
	info, err := s.Info(ctx) // another process may have adopted more of them
	if err != nil {
		return err
	}
	if partition < 0 || partition >= info.Partitions {
		return fmt.Errorf("partition %d of %d: %w", partition, info.Partitions, eventstore.ErrPartition)
	}
	return nil
}

// Close waits for a write in progress and closes the file. The store cannot be used afterwards.
func (s *Store) Close() error {
	err := s.index.Close()
	w := <-s.writing
	if w != nil {
		err = errors.Join(err, w.close())
	}
	s.writing <- nil
	if err := errors.Join(err, s.writers.Close(), s.readers.Close()); err != nil {
		return fmt.Errorf("close the log %s: %w", s.path, err)
	}
	return nil
}
