package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/migrations"
)

// database opens pools on one empty database.
type database struct {
	name    string
	dialect migrations.Dialect
	driver  string
	dsn     string
}

func databases(t *testing.T, area string) []database {
	t.Helper()
	postgres := testpg.DSN(t)
	if area != migrations.Log {
		postgres += "&search_path=" + area
	}
	file := "file:" + filepath.Join(t.TempDir(), "x.db")
	return []database{
		{"sqlite", migrations.SQLite, "sqlite", file + "?_pragma=busy_timeout(1000)"},
		{"postgres", migrations.Postgres, "pgx", postgres},
	}
}

func (d database) open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // the least that a caller may allow
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func onAll(t *testing.T, test func(t *testing.T, d database, area string)) {
	for _, area := range []string{migrations.Log, migrations.Work, migrations.Secrets} {
		for _, d := range databases(t, area) {
			t.Run(area+"/"+d.name, func(t *testing.T) { test(t, d, area) })
		}
	}
}

func TestUpAndCheck(t *testing.T) {
	onAll(t, func(t *testing.T, d database, area string) {
		db := d.open(t)
		if err := migrations.Check(t.Context(), db, d.dialect, area); !errors.Is(err, migrations.ErrPending) {
			t.Errorf("before: %v", err)
		}
		for range 2 {
			if err := migrations.Up(t.Context(), db, d.dialect, area); err != nil {
				t.Fatal(err)
			}
			if err := migrations.Check(t.Context(), db, d.dialect, area); err != nil {
				t.Errorf("after: %v", err)
			}
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_"+area+" (version_id, is_applied) VALUES (77, 'true')"); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"Up": migrations.Up(t.Context(), db, d.dialect, area), "Check": migrations.Check(t.Context(), db, d.dialect, area),
		} {
			if !errors.Is(err, eventstore.ErrNewer) || !strings.Contains(err.Error(), "version 77") ||
				!strings.Contains(err.Error(), "versions up to") {
				t.Errorf("%s of a newer database: %v", what, err)
			}
		}
	})
}

// TestTogether: processes that start at the same time all find the schema made.
func TestTogether(t *testing.T) {
	onAll(t, func(t *testing.T, d database, area string) {
		errs := make([]error, 6)
		var group sync.WaitGroup
		for i := range errs {
			db := d.open(t)
			group.Go(func() { errs[i] = migrations.Up(t.Context(), db, d.dialect, area) })
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		if err := migrations.Check(t.Context(), d.open(t), d.dialect, area); err != nil {
			t.Error(err)
		}
	})
}

func TestUnknown(t *testing.T) {
	db := databases(t, migrations.Log)[0].open(t)
	if err := migrations.Up(t.Context(), db, migrations.SQLite, "../sqlite/log"); err == nil {
		t.Error("an area that is not there")
	}
	if err := migrations.Check(t.Context(), db, "oracle", migrations.Log); err == nil {
		t.Error("a dialect that is not there")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := migrations.Up(ended, db, migrations.SQLite, migrations.Log); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}
