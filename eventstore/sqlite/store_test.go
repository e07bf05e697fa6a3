package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/storetest"
)

func backend() storetest.Backend {
	return storetest.Backend{
		New: newLog,
		Open: func(ctx context.Context, location string) (eventstore.Store, error) {
			return sqlite.Open(ctx, location)
		},
		Durable: true,
		Execute: execute,
	}
}

func newLog(tb testing.TB, partitions int) string {
	path := filepath.Join(tb.TempDir(), "data", "a log?%23.db")
	if err := sqlite.Migrate(tb.Context(), path); err != nil {
		tb.Fatal(err)
	}
	if partitions == sqlite.Partitions {
		return path
	}
	store, err := sqlite.Open(tb.Context(), path)
	if err != nil {
		tb.Fatal(err)
	}
	if err := store.Adopt(tb.Context(), eventstore.Info{LedgerID: uuid.New(), Partitions: partitions}); err != nil {
		tb.Fatal(err)
	}
	if err := store.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

// execute runs a statement as another program would.
func execute(ctx context.Context, path, statement string) (err error) {
	file := url.URL{Scheme: "file", Path: path}
	db, err := sql.Open("sqlite", file.String()+"?mode=rw")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, statement)
	return err
}

func TestStore(t *testing.T) { storetest.Run(t, backend()) }

func BenchmarkAppend(b *testing.B) { storetest.Benchmark(b, backend()) }
