package projections

import (
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// crashing is a PostgreSQL of the test's own that puts writing to the disk off for as long as it is allowed to.
func crashing(t *testing.T, settings ...string) (*testpg.Cluster, place) {
	t.Helper()
	cluster, err := testpg.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	at := postgresAt(t, cluster.URL())
	db := at.open()
	for _, s := range append(settings, "CREATE SCHEMA IF NOT EXISTS views", "ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()") {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	return cluster, at
}

// PostgreSQL crashes under a process that remembers how far the views were. Where commits wait for the disk the views are
// where they were; where they do not, the views go on from where they are found.
func TestPostgresCrashes(t *testing.T) {
	for _, lossy := range []bool{false, true} {
		t.Run(fmt.Sprintf("lossy=%t", lossy), func(t *testing.T) {
			t.Parallel()
			var settings []string
			if lossy {
				settings = []string{"ALTER ROLE CURRENT_USER SET synchronous_commit = off"}
			}
			cluster, at := crashing(t, settings...)
			b := newBook(t, 2)
			b.fund(anna, "100.00")
			var logs syncBuffer
			options := quick
			options.Logger = slog.New(slog.NewTextHandler(&logs, nil))
			v := running(t, b.views(at.open(), at.dialect, options))
			mustReach(t, v)
			if _, err := at.open().Exec("SET synchronous_commit = on; CREATE TABLE views.marker ()"); err != nil { // the disk has what was written so far
				t.Fatal(err)
			}
			b.wanderFar(3, 40)
			mustReach(t, v)
			known, _ := v.standing()
			if err := cluster.Kill(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := cluster.Restart(); err != nil {
				t.Fatal(err)
			}
			if found, err := readStanding(t.Context(), at.open(), 2); err != nil || !lossy && found.behind(&known) {
				t.Errorf("the views stand at %v, were at %v: %v", found.seqs(), known.seqs(), err)
			}
			b.wanderFar(4, 40)
			mustReach(t, v)
			b.equalToFold(v)
			if lost := strings.Contains(logs.String(), "the views have gone back"); lost != lossy {
				t.Errorf("commits were lost: %t", lost)
			}
		})
	}
}
