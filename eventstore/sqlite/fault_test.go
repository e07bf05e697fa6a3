package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/migrations"
)

func open(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	store, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// behind makes n records behind the head, with data of so many bytes.
func behind(t *testing.T, store *sqlite.Store, n, size int) (eventstore.Head, []eventstore.Record) {
	t.Helper()
	head, err := store.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]eventstore.Record, n)
	for i := range records {
		records[i] = eventstore.Record{
			Stream: "s", Version: head.Seq + 1 + int64(i), Subject: "p", Type: "payin.created", Schema: 1, EventID: uuid.New(),
			EffectiveAt: time.Now(), RecordedAt: time.Now(), Data: []byte(`"` + strings.Repeat("x", size) + `"`), Meta: []byte("{}"),
		}
	}
	eventstore.Chain(head, records)
	return head, records
}

// count reads everything and checks the chain.
func count(t *testing.T, store *sqlite.Store) int {
	t.Helper()
	info, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	records, err := store.Read(t.Context(), 0, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	tip, err := eventstore.Follow(eventstore.Head{Hash: eventstore.Genesis(info.LedgerID, 0)}, records)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := store.Head(t.Context(), 0); err != nil || head.Hash != tip.Hash {
		t.Fatalf("the head is %v, %v", head, err)
	}
	return len(records)
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		want error
		says string
	}{
		{"absent", func(*testing.T, string) {}, migrations.ErrPending, "ledger migrate"},
		{"empty", func(t *testing.T, path string) { writeFile(t, path, "") }, migrations.ErrPending, "ledger migrate"},
		{"a text", func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("not a database\n", 100)) }, eventstore.ErrBroken, "not a SQLite database"},
		{"another program's", func(t *testing.T, path string) { statement(t, path, "CREATE TABLE customers (id)") }, nil, "not a log of this program"},
		{"never finished", func(t *testing.T, path string) {
			statement(t, path, "PRAGMA application_id = 1263029319")
			statement(t, path, "CREATE TABLE goose_log (version_id INTEGER)")
		}, migrations.ErrPending, "ledger migrate"},
		{"newer", func(t *testing.T, path string) {
			migrate(t, path)
			statement(t, path, "INSERT INTO goose_log (version_id, is_applied) VALUES (999, 1)")
		}, eventstore.ErrNewer, "version 999"},
		{"damaged", func(t *testing.T, path string) {
			migrate(t, path)
			damage(t, path)
		}, eventstore.ErrBroken, "damaged"},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, nil, "folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger.db")
			tt.make(t, path)
			_, err := sqlite.Open(t.Context(), path)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want one that says %q and names the file", err, tt.says)
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestMigrateRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "views.db")
	statement(t, path, "CREATE TABLE balances (id)")
	if err := sqlite.Migrate(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not a log of this program") {
		t.Errorf("another database: %v", err)
	}
	text := filepath.Join(t.TempDir(), "notes.txt")
	writeFile(t, text, strings.Repeat("do not touch\n", 100))
	if err := sqlite.Migrate(t.Context(), text); !errors.Is(err, eventstore.ErrBroken) {
		t.Errorf("a text: %v", err)
	}
	if kept, err := os.ReadFile(text); err != nil || string(kept) != strings.Repeat("do not touch\n", 100) {
		t.Errorf("the text was changed: %v", err)
	}
	newer := filepath.Join(t.TempDir(), "ledger.db")
	migrate(t, newer)
	statement(t, newer, "INSERT INTO goose_log (version_id, is_applied) VALUES (999, 1)")
	if err := sqlite.Migrate(t.Context(), newer); !errors.Is(err, eventstore.ErrNewer) {
		t.Errorf("a newer log: %v", err)
	}
}

// TestMigrateTogether: several processes start at once on a new file. One makes it; all find the same ledger.
func TestMigrateTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "ledger.db")
	ids := make([]uuid.UUID, 6)
	errs := make([]error, len(ids))
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			if errs[i] = sqlite.Migrate(t.Context(), path); errs[i] != nil {
				return
			}
			store, err := sqlite.Open(t.Context(), path)
			if err != nil {
				errs[i] = err
				return
			}
			info, err := store.Info(t.Context())
			ids[i], errs[i] = info.LedgerID, errors.Join(err, store.Close())
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several ledgers: %v", ids)
		}
	}
	file, err := os.Stat(path)
	if err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", file.Mode(), err)
	}
}

// TestLocked: another process holds the write lock. Append waits while its caller does, then says who is in the way, and
// works when the lock is free. Readers are not held up.
func TestLocked(t *testing.T) {
	path := newLog(t, 1)
	store := open(t, path)
	other, err := sql.Open("sqlite", uri(path))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close() //nolint:errcheck // a test's own connection
	conn, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // as above
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	head, records := behind(t, store, 3, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := store.Append(ctx, head, records); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the deadline", err)
	}
	if n := count(t, store); n != 0 {
		t.Fatalf("%d records", n)
	}
	done := make(chan error)
	go func() { done <- store.Append(t.Context(), head, records) }()
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := count(t, store); n != 3 {
		t.Fatalf("%d records", n)
	}
}

// TestFullDisk: the file may grow no more, at every place of an append in turn. Nothing is half written; what is in doubt
// is found out; and when there is room again, the same store goes on.
func TestFullDisk(t *testing.T) {
	path := newLog(t, 1)
	store := open(t, path)
	head, records := behind(t, store, 10, 100)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ) // the kernel's word for it, which would end the process
	defer signal.Reset(syscall.SIGXFSZ)
	written, unknown, failed := 10, 0, 0
	for room := int64(0); ; room += 64 << 10 {
		head, records := behind(t, store, 150, 2000)
		size := walSize(t, path)
		err := within(t, size+room, func() error { return store.Append(t.Context(), head, records) })
		if errors.Is(err, eventstore.ErrUnknown) {
			unknown++
			found, findErr := store.Committed(t.Context(), records)
			if findErr != nil || found {
				t.Fatalf("committed: %v, %v", found, findErr)
			}
			if n := count(t, open(t, afterCrash(t, path))); n != written {
				t.Fatalf("%d records after a crash, want %d: what Committed said was not final", n, written)
			}
		}
		if err != nil {
			failed++
			if !strings.Contains(err.Error(), "disk") {
				t.Errorf("it does not say what is wrong: %v", err)
			}
			if n := count(t, store); n != written {
				t.Fatalf("%d records after a failure, want %d", n, written)
			}
			continue
		}
		written += len(records)
		if n := count(t, store); n != written {
			t.Fatalf("%d records, want %d", n, written)
		}
		break
	}
	if failed == 0 || unknown == 0 {
		t.Errorf("%d appends failed, %d of them while committing: the test has not filled the disk", failed, unknown)
	}
	if n := count(t, open(t, path)); n != written {
		t.Errorf("a new handle finds %d records, want %d", n, written)
	}
}

// afterCrash copies the file and its WAL, as a machine that loses power would leave them.
func afterCrash(t *testing.T, path string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "ledger.db")
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, copied+suffix, string(text))
	}
	return copied
}

// within runs do while no file may be longer than size bytes.
func within(t *testing.T, size int64, do func() error) error {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = uint64(size)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	err := do()
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	return err
}

func walSize(t *testing.T, path string) int64 {
	t.Helper()
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return wal.Size()
}

// TestReplaceRefused: REPLACE deletes without asking a delete trigger.
func TestReplaceRefused(t *testing.T) {
	path := newLog(t, 1)
	store := open(t, path)
	head, records := behind(t, store, 3, 10)
	records[1].Keys = []string{"order:1"}
	records[1].Evidence = []eventstore.Evidence{{MediaType: "text/plain", Body: []byte("x")}}
	eventstore.Chain(head, records)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "evidence", "heads", "ledger"} {
		replace := fmt.Sprintf("REPLACE INTO %s SELECT * FROM %s", table, table)
		if err := execute(t.Context(), path, replace); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", replace, err)
		}
	}
	const back = "REPLACE INTO heads SELECT partition, 0, hash, epoch, recorded_at FROM heads" // to write events anew behind it
	const beyond = "INSERT INTO heads (partition, seq, hash, epoch) VALUES (7, 5, x'00', 0)"
	for _, statement := range []string{back, beyond} {
		if err := execute(t.Context(), path, statement); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if n := count(t, store); n != 3 {
		t.Errorf("%d records", n)
	}
}

func migrate(t *testing.T, path string) {
	t.Helper()
	if err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
}

func uri(path string) string {
	u := url.URL{Scheme: "file", Path: path}
	return u.String()
}

func statement(t *testing.T, path, sqlText string) {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), sqlText); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// damage overwrites the file behind its header.
func damage(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 100; i < len(text); i++ {
		text[i] = 0xa5
	}
	writeFile(t, path, string(text))
}
