package projections

import (
	"context"
	"database/sql"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// place is an empty database for views.
type place struct {
	dialect Dialect
	open    func() *sql.DB // another handle on the same database
}

func sqlitePlace(tb testing.TB) place {
	path := filepath.Join(tb.TempDir(), "views.db")
	return place{SQLite, func() *sql.DB {
		db, err := OpenSQLite(context.Background(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { closing(tb, db) })
		return db
	}}
}

func postgresPlace(tb testing.TB) place {
	return postgresAt(tb, testpg.DSN(tb))
}

func postgresAt(tb testing.TB, dsn string) place {
	dsn = withSearchPath(tb, dsn)
	return place{Postgres, func() *sql.DB { return openPostgres(tb, dsn) }}
}

func withSearchPath(tb testing.TB, dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "views")
	u.RawQuery = q.Encode()
	return u.String()
}

func openPostgres(tb testing.TB, dsn string) *sql.DB {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closing(tb, db) })
	return db
}

func closing(tb testing.TB, c interface{ Close() error }) {
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}

// everywhere runs a test on both databases.
func everywhere(t *testing.T, test func(t *testing.T, at place)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqlitePlace(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, postgresPlace(t)) })
}

// views opens views of the book over a database.
func (b *book) views(db *sql.DB, dialect Dialect, opts Options) *Views {
	b.tb.Helper()
	info, err := b.log.Info(context.Background())
	if err != nil {
		b.tb.Fatal(err)
	}
	db.SetMaxOpenConns(Connections(info.Partitions) + 4)
	db.SetMaxIdleConns(Connections(info.Partitions) + 4)
	v, err := Open(context.Background(), db, dialect, b.log, b.tail, opts)
	if err != nil {
		b.tb.Fatal(err)
	}
	return v
}

// running runs views until the test ends.
func running(t *testing.T, v *Views) *Views {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- v.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return v
}
