package work_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// onBoth runs a test on SQLite and on PostgreSQL. Each call of open is one more pool on the same empty store, as another
// process would have it.
func onBoth(t *testing.T, test func(t *testing.T, open func() *sql.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, sqlitePool(t)) })
	t.Run("postgres", func(t *testing.T) {
		test(t, opener(t, "pgx", searching(t, testpg.DSN(t), migrations.Work), migrations.Postgres))
	})
}

// newStore is a store whose commits all go the same way.
func newStore(db *sql.DB) *work.Store { return work.New(db, db) }

func sqlitePool(t *testing.T) func() *sql.DB {
	t.Helper()
	file := filepath.Join(t.TempDir(), "work.db")
	return opener(t, "sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)&_pragma=synchronous(OFF)&_txlock=immediate", migrations.SQLite)
}

func opener(t *testing.T, driver, dsn string, dialect migrations.Dialect) func() *sql.DB {
	t.Helper()
	return func() *sql.DB {
		t.Helper()
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		db.SetMaxOpenConns(8)
		if err := migrations.Up(t.Context(), db, dialect, migrations.Work); err != nil {
			t.Fatal(err)
		}
		return db
	}
}

// searching adds a search path to the address of a database.
func searching(t *testing.T, address, schema string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// waitFor polls until ok.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for !ok() {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}
