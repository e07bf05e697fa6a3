package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/sqlite"
)

func zzRecords(t *testing.T, s *sqlite.Store, n int, key string) (eventstore.Head, []eventstore.Record) {
	t.Helper()
	head, err := s.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]eventstore.Record, n)
	for i := range records {
		records[i] = eventstore.Record{
			Stream: "s", Version: head.Seq + 1 + int64(i), Subject: "p", Type: "payin.created", Schema: 1, EventID: uuid.New(),
			EffectiveAt: time.Now(), RecordedAt: time.Now(), Data: []byte(`{}`), Meta: []byte("{}"),
		}
	}
	if key != "" {
		records[0].Keys = []string{key}
	}
	eventstore.Chain(head, records)
	return head, records
}

// As in postgres: a restored copy under a process that runs on (the file's content is replaced by SQLite's backup, say), then Claim.
func TestClaimAfterTheLogWentBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log.db")
	if err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	open := func() *sqlite.Store {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	a, b := open(), open()
	head, records := zzRecords(t, a, 5, "")
	if err := a.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range []string{"DROP TRIGGER events_delete", "DROP TRIGGER heads_forward", "DELETE FROM events WHERE seq > 3",
		"UPDATE heads SET seq = 3, hash = x'" + records[2].Hash.String() + "'"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(q, err)
		}
	}
	head, records = zzRecords(t, b, 1, "payout:1")
	if err := b.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	head, err = a.Claim(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := a.Lookup(t.Context(), 0, head.Seq, []string{"payout:1"})
	if err != nil || taken["payout:1"] != 4 {
		t.Errorf("payout:1 is at 4, and Lookup up to %d says %v, %v", head.Seq, taken, err)
	}
}
