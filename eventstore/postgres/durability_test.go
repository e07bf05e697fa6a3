package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestDurability: a server whose settings take the promise out of a commit is told of; that it does not wait for the disk by default changes nothing, since
// connections say what they want themselves.
func TestDurability(t *testing.T) {
	t.Parallel()
	cluster, err := testpg.StartDurable()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := postgres.Migrate(t.Context(), cluster.URL(), 1); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		settings string
		doubts   []string
	}{
		{"", nil},
		{"synchronous_commit = off", nil},
		{"full_page_writes = off", []string{"full_page_writes is off"}},
		{"fsync = off", []string{"fsync is off", "full_page_writes is off"}},
	} {
		if tt.settings != "" {
			ask(t, cluster.URL(), "ALTER SYSTEM SET "+tt.settings)
			ask(t, cluster.URL(), "SELECT pg_reload_conf()")
			name, _, _ := strings.Cut(tt.settings, " ")
			for ask(t, cluster.URL(), "SHOW "+name) != "off" { // it is told, and does it in its own time
				if t.Context().Err() != nil {
					t.Fatal("the server does not take " + tt.settings)
				}
			}
		}
		store, err := postgres.Open(t.Context(), cluster.URL())
		if err != nil {
			t.Fatal(err)
		}
		doubts, err := store.Durability(t.Context())
		if err != nil || len(doubts) != len(tt.doubts) {
			t.Errorf("%q: %q, %v", tt.settings, doubts, err)
		}
		for i := range min(len(doubts), len(tt.doubts)) {
			if !strings.HasPrefix(doubts[i], tt.doubts[i]+": ") {
				t.Errorf("%q: %q", tt.settings, doubts)
			}
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// ask is the one text that a statement answers with, on a connection of its own.
func ask(t *testing.T, dsn, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(t.Context(), statement).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if len(results) == 0 || len(results[0].Rows) == 0 {
		return ""
	}
	return string(results[0].Rows[0][0])
}
