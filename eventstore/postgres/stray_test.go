package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

// withMessages opens a log of so many records, each with two messages.
func withMessages(t *testing.T, n int, with ...postgres.Option) (*postgres.Store, string) {
	t.Helper()
	dsn := testpg.DSN(t)
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), dsn, with...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	head, records := behind(t, store, n)
	for i := range records {
		records[i].Evidence = []eventstore.Evidence{{MediaType: "text/plain", Body: []byte("x")}, {MediaType: "text/plain", Body: []byte("y")}}
	}
	eventstore.Chain(head, records)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	return store, dsn
}

// TestStray: a message that no record has is found wherever it is, also at a position that no record can have, however many are looked at in one statement.
func TestStray(t *testing.T) {
	t.Parallel()
	store, dsn := withMessages(t, 7)
	for _, stray := range []string{"-9223372036854775808, 0", "-1, 0", "0, 0", "1, 2", "4, -1", "4, 2", "7, 2", "8, 0", "9223372036854775807, 0"} {
		var want int64
		if _, err := fmt.Sscan(stray, &want); err != nil {
			t.Fatal(err)
		}
		for _, page := range []int{1, 2, 3, 14, 100} {
			if seq, found, err := store.StrayBy(t.Context(), 0, page); found || err != nil {
				t.Fatalf("by %d: %d, %v, %v, and there is none", page, seq, found, err)
			}
		}
		ask(t, dsn, "INSERT INTO evidence VALUES (0, "+stray+", 'text/plain', 'z')")
		for _, page := range []int{1, 2, 3, 14, 100} {
			if seq, found, err := store.StrayBy(t.Context(), 0, page); seq != want || !found || err != nil {
				t.Errorf("%s by %d: %d, %v, %v", stray, page, seq, found, err)
			}
		}
		ask(t, dsn, "ALTER TABLE evidence DISABLE TRIGGER append_only; DELETE FROM evidence WHERE body = 'z'; ALTER TABLE evidence ENABLE TRIGGER append_only")
	}
}

// TestStrayIsNotSilent: all messages together may take longer than the server may say nothing. Each takes 20 ms here, and all of them three times the silence.
func TestStrayIsNotSilent(t *testing.T) {
	t.Parallel()
	store, dsn := withMessages(t, 75, postgres.WithSilence(postgres.NewSilence(time.Second)))
	ask(t, dsn, `ALTER TABLE evidence RENAME TO messages;
		CREATE FUNCTION slow(n integer) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN n >= 0; END $$;
		CREATE VIEW evidence AS SELECT * FROM messages WHERE slow(n)`)
	if seq, found, err := store.StrayBy(t.Context(), 0, 6); found || err != nil {
		t.Errorf("%d, %v, %v", seq, found, err)
	}
	if _, _, err := store.StrayBy(t.Context(), 0, 1000); err == nil {
		t.Error("the silence was never too long, so this shows nothing")
	}
}
