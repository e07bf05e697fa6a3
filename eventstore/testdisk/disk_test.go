package testdisk_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver, by the name "sqlite"

	"github.com/khata-ledger/khata/eventstore/testdisk"
)

// recorded opens a database on a disk that is recorded.
func recorded(t *testing.T, pragmas string) (db *sql.DB, journal *testdisk.Journal, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	journal, err := testdisk.Append(path)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	stop, err := testdisk.Record(root, journal)
	if err != nil {
		t.Fatal(err)
	}
	db, err = sql.Open("sqlite", "file:"+filepath.Join(root, "a.db")+"?_pragma=journal_mode(WAL)"+pragmas)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		db.Close()
		stop()
		journal.Close()
	})
	return db, journal, path
}

// TestTellsDurableFromNot: with synchronous=FULL no power failure takes a commit away that was answered; with NORMAL one does. In neither case is what
// is left damaged. This is what the tests of the log stand on: they would see a commit that does not wait for the disk.
func TestTellsDurableFromNot(t *testing.T) {
	for sync, want := range map[string]bool{"FULL": false, "NORMAL": true} {
		t.Run(sync, func(t *testing.T) {
			t.Parallel()
			db, journal, path := recorded(t, "&_pragma=wal_autocheckpoint(20)&_pragma=synchronous("+sync+")")
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE a (n INTEGER, text TEXT)"); err != nil {
				t.Fatal(err)
			}
			for n := range 60 {
				if _, err := db.ExecContext(t.Context(), "INSERT INTO a VALUES ($1, hex(randomblob($2)))", n, 10+n*n); err != nil {
					t.Fatal(err)
				}
				if err := journal.Mark(fmt.Sprint(n)); err != nil {
					t.Fatal(err)
				}
			}
			if lost := losses(t, path); (lost > 0) != want {
				t.Errorf("%d of the crashes lost commits that were answered", lost)
			} else {
				t.Logf("%d of the crashes lost commits that were answered", lost)
			}
		})
	}
}

// losses has the power fail at every tenth place of a journal, and counts how often a commit was lost that was marked.
func losses(t *testing.T, journal string) (lost int) {
	t.Helper()
	ops, err := testdisk.ReadJournal(journal)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := testdisk.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	marked := 0
	for i, op := range ops {
		if err := disk.Do(op); err != nil {
			t.Fatal(err)
		}
		if op.Kind == testdisk.Mark {
			marked++
		}
		if marked == 0 || i%10 != 0 && op.Kind != testdisk.Mark {
			continue
		}
		dir := t.TempDir()
		if err := disk.Crash(dir, random); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "a.db"))
		if err != nil {
			t.Fatal(err)
		}
		var tables, n, distinct int
		var health string
		if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&health); err != nil || health != "ok" {
			t.Fatalf("after operation %d: %q, %v", i, health, err)
		}
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM sqlite_master").Scan(&tables); err != nil {
			t.Fatal(err)
		}
		if tables > 0 { // else it is lost, too
			if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*), COUNT(DISTINCT n) FROM a WHERE n <= $1", marked).Scan(&n, &distinct); err != nil || n != distinct {
				t.Fatalf("after operation %d: %d rows, %d of them different, %v", i, n, distinct, err)
			}
		}
		if n < marked {
			lost++
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return lost
}
