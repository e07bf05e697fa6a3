package main

import (
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestReadOnlyPostgres: PostgreSQL comes back as a standby, which takes no writes, as when a server is connected to the wrong one of two or before it is
// promoted; then it is promoted, and then writing is switched off for all of it, as providers do when a disk fills up. The server refuses what it cannot write, says why,
// and goes on by itself.
func TestReadOnlyPostgres(t *testing.T) {
	t.Parallel()
	cluster, err := testpg.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, t.TempDir(), cluster.URL())
	w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "R")
	l.more(20, "before")
	var data string
	w.ask("log", "SHOW data_directory", &data)
	if err := cluster.Kill(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	makeStandby(t, data)
	if err := cluster.Restart(); err != nil {
		t.Fatal(err)
	}
	w.refuses(l, m, "on a standby", "standby perhaps")
	if got := execute(t, w.dir, nil, "serve", "--listen", freeAddress(t), "--db", w.db, "--master-key-file", w.keyFile()); got.code != exitNo ||
		strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "standby perhaps") {
		t.Errorf("a start on a standby: %+v", got)
	}
	w.do("log", "SELECT pg_promote()")
	w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
	l.more(20, "after it was promoted")

	w.do("log", "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
	w.eventually(30*time.Second, "the log says that it is read-only again", func() bool { return strings.Count(w.stderr.String(), "SQLSTATE 25006") > 20 })
	if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK && !isUnavailable(status, o) {
		t.Errorf("the balance where writing is switched off: %d %v", status, o)
	}
	db := w.sql("log")
	for _, s := range []string{"SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"} {
		onOne(t, db, s)
	}
	w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
	l.more(20, "after writing was switched on")
	l.stop()
	if _, _, lost := l.counts(); lost > 0 {
		t.Errorf("%d payouts were not answered", lost)
	}
	if !w.alive() {
		t.Error("the server did not survive")
	}
	l.wantStored()
	w.settled(m)
	w.stop()
}

// onOne executes a statement on the one connection of a pool.
func onOne(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// makeStandby marks a data directory, whose server is stopped, as that of a standby.
func makeStandby(t *testing.T, data string) {
	t.Helper()
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(data, "standby.signal")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if of, is := owner.Sys().(*syscall.Stat_t); is {
		if err := os.Chown(mark, int(of.Uid), int(of.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// refuses waits until payouts are refused, and the log says why; what is asked for meanwhile is refused, too, or answered from what is there. One that was being
// committed waits for what became of that, for as long as a request may take.
func (w *world) refuses(l *load, m testMerchant, when, why string) {
	w.t.Helper()
	_, before, _ := l.counts()
	w.eventually(30*time.Second, "payouts are refused "+when, func() bool {
		_, refused, _ := l.counts()
		return refused > before
	})
	if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); !isUnavailable(status, o) && status != http.StatusOK {
		w.t.Errorf("the balance %s: %d %v", when, status, o)
	}
	if !strings.Contains(w.stderr.String(), why) {
		w.t.Errorf("the log does not say %q", why)
	}
}
