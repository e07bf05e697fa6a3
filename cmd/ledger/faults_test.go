package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/wallet"
)

// The tests of faults_*_test.go break things under the built binary: stores, keys, disks, databases, connections, processes.
// This file holds what they share.

// ended is how a command ended.
type ended struct {
	stdout, stderr string
	code           int
}

// execute runs the binary with nothing but the arguments and settings given.
func execute(t *testing.T, dir string, env []string, args ...string) ended {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), args...)
	cmd.Dir, cmd.Env = dir, append(cmd.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return ended{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// wantRefusal runs a command that must refuse: exit 1, nothing on stdout, and one line on stderr that holds every text.
func (w *world) wantRefusal(args []string, texts ...string) {
	w.t.Helper()
	got := execute(w.t, w.dir, nil, append(args, "--db", w.db, "--master-key-file", w.keyFile())...)
	if got.code != exitNo || got.stdout != "" || strings.Count(got.stderr, "\n") != 1 {
		w.t.Errorf("%s: exit %d, stdout %q, stderr %q; want exit 1 and one line on stderr", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(got.stderr, text) {
			w.t.Errorf("%s: %q does not say %q", strings.Join(args, " "), got.stderr, text)
		}
	}
}

// Areas of a store.
var areas = []string{"log", "work", "secrets", "views"}

// sql opens an area directly, behind the product's back.
func (w *world) sql(area string) *sql.DB {
	w.t.Helper()
	driver, dsn := "sqlite", strings.TrimPrefix(w.db, "sqlite:")
	if w.onPostgres() {
		u, err := url.Parse(w.db)
		if err != nil {
			w.t.Fatal(err)
		}
		schema := area
		if area == "log" {
			schema = "public"
		}
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		driver, dsn = "pgx", u.String()
	} else if area != "log" {
		dsn = strings.TrimSuffix(dsn, ".db") + "-" + area + ".db"
	}
	if driver == "sqlite" {
		dsn += "?_pragma=busy_timeout(10000)" // a process that writes, or whose end is being recovered from, has the file for a moment
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	return db
}

func (w *world) onPostgres() bool { return strings.HasPrefix(w.db, "postgres") }

// do executes statements on an area.
func (w *world) do(area string, statements ...string) {
	w.t.Helper()
	db := w.sql(area)
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(w.t.Context(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

// ask scans the one row of a query on an area.
func (w *world) ask(area, query string, into ...any) {
	w.t.Helper()
	db := w.sql(area)
	defer db.Close()
	if err := db.QueryRowContext(w.t.Context(), query).Scan(into...); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
}

// contents is a hash of every row of every table of a store.
func (w *world) contents() string {
	w.t.Helper()
	h := sha256.New()
	for _, area := range areas {
		db := w.sql(area)
		list := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
		if w.onPostgres() {
			list = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
		}
		for _, table := range column[string](w, db, list) {
			rows := rowsOf(w, db, "SELECT * FROM "+table)
			slices.Sort(rows)
			fmt.Fprintf(h, "%s.%s: %q\n", area, table, rows)
		}
		db.Close()
	}
	return hex.EncodeToString(h.Sum(nil))
}

// column is the first column of a query's rows.
func column[T any](w *world, db *sql.DB, query string, args ...any) []T {
	w.t.Helper()
	rows, err := db.QueryContext(w.t.Context(), query, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			w.t.Fatalf("%s: %v", query, err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return out
}

// rowsOf is the text of each row of a query.
func rowsOf(w *world, db *sql.DB, query string) []string {
	w.t.Helper()
	rows, err := db.QueryContext(w.t.Context(), query)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			w.t.Fatalf("%s: %v", query, err)
		}
		out = append(out, fmt.Sprintf("%v", values))
	}
	if err := rows.Err(); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return out
}

// initiated is what the log itself says of a merchant's payouts: transaction ids by reference.
func (w *world) initiated(m testMerchant) map[string][]string {
	w.t.Helper()
	db := w.sql("log")
	defer db.Close()
	rows, err := db.QueryContext(w.t.Context(), "SELECT subject, dedupe_key FROM events WHERE type = 'payout.initiated'")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	out := map[string][]string{}
	for rows.Next() {
		var subject, keys string
		if err := rows.Scan(&subject, &keys); err != nil {
			w.t.Fatal(err)
		}
		for key := range strings.SplitSeq(keys, "\n") {
			if ref, is := strings.CutPrefix(key, wallet.PayoutKey(m.ID, "")); is {
				out[ref] = append(out[ref], subject)
			}
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// load is payouts that are posted all the time, by several clients, until it is stopped. What is answered is kept.
type load struct {
	w       *world
	m       testMerchant
	prefix  string
	stopped chan struct{}
	wg      sync.WaitGroup

	mu       sync.Mutex
	next     int
	answered map[string]string // 200: reference -> transaction id
	refused  map[string]bool   // 503
	lost     map[string]error  // no answer
}

// Payouts of the load: an account that the bank pays at once, and the time between two payouts of a client.
const (
	loadAccount = "123456789099"
	loadPause   = 10 * time.Millisecond
)

// load starts clients that post payouts to the servers, in turns, over connections of their own.
func (w *world) load(m testMerchant, clients int, prefix string, servers ...*world) *load {
	l := &load{
		w: w, m: m, prefix: prefix, stopped: make(chan struct{}),
		answered: map[string]string{}, refused: map[string]bool{}, lost: map[string]error{},
	}
	if len(servers) == 0 {
		servers = []*world{w}
	}
	for client := range clients {
		l.wg.Go(func() {
			pause := time.NewTicker(loadPause)
			defer pause.Stop()
			for turn := client; ; turn++ {
				select {
				case <-l.stopped:
					return
				case <-pause.C:
					l.post(servers[turn%len(servers)])
				}
			}
		})
	}
	w.t.Cleanup(l.stop)
	return l
}

func (l *load) post(server *world) {
	l.mu.Lock()
	l.next++
	ref := fmt.Sprintf("%s-%d", l.prefix, l.next)
	l.mu.Unlock()
	status, o, err := server.try(l.m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", ref))
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.lost[ref] = err
	case status == http.StatusOK:
		l.answered[ref] = o.text("data", "transaction", "transaction_id")
	case isUnavailable(status, o):
		l.refused[ref] = true
	default:
		l.w.t.Errorf("payout %s: %d %v", ref, status, o)
	}
}

// isUnavailable tells a 503 in the documented envelope.
func isUnavailable(status int, o object) bool {
	return status == http.StatusServiceUnavailable && o["success"] == false && o["data"] == nil &&
		o.text("message") == httpapi.MessageUnavailable
}

// stop ends the load and waits for the answers that are due.
func (l *load) stop() {
	l.mu.Lock()
	select {
	case <-l.stopped:
	default:
		close(l.stopped)
	}
	l.mu.Unlock()
	l.wg.Wait()
}

func (l *load) counts() (answered, refused, lost int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answered), len(l.refused), len(l.lost)
}

// more waits until so many more payouts were answered.
func (l *load) more(n int, when string) {
	l.w.t.Helper()
	before, _, _ := l.counts()
	l.w.eventually(30*time.Second, fmt.Sprintf("%d payouts were answered %s", n, when), func() bool {
		now, _, _ := l.counts()
		return now >= before+n
	})
}

// wantStored checks, after stop, that each payout that was answered is in the log once, under its id, and that none is in it twice.
func (l *load) wantStored() {
	l.w.t.Helper()
	stored := l.w.initiated(l.m)
	for ref, id := range l.answered {
		if got := stored[ref]; !slices.Equal(got, []string{id}) {
			l.w.t.Errorf("payout %s was answered as %s; in the log it is %v", ref, id, got)
		}
	}
	for ref, ids := range stored {
		if len(ids) != 1 {
			l.w.t.Errorf("payout %s is in the log as %v", ref, ids)
		}
	}
}

// wantRefusedAbsent checks, after stop, that what was refused is not in the log.
func (l *load) wantRefusedAbsent() {
	l.w.t.Helper()
	stored := l.w.initiated(l.m)
	for ref := range l.refused {
		if ids := stored[ref]; len(ids) > 0 {
			l.w.t.Errorf("payout %s was refused; in the log it is %v", ref, ids)
		}
	}
}

// settled waits until nothing is locked, then checks the books against the bank's and the log.
func (w *world) settled(m testMerchant) {
	w.t.Helper()
	w.eventually(60*time.Second, "all payouts have ended", func() bool {
		status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", "")
		return status == http.StatusOK && o.text("data", "locked_balance") == "0.00"
	})
	w.wantBankTruth(m)
	w.verify()
}

// readiness is the status of /readyz.
func (w *world) readiness() int {
	resp, err := w.httpc.Get("http://" + w.addr + "/readyz")
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// alive tells whether the server is the process that was started.
func (w *world) alive() bool {
	return w.server.ProcessState == nil && w.server.Process.Signal(syscall.Signal(0)) == nil
}

// storeIn is a world on SQLite in a folder of its own.
func storeIn(t *testing.T) *world {
	dir := t.TempDir()
	return newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
}
