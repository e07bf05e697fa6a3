package main

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestSilentPostgres: PostgreSQL does not go away, it falls silent: nothing comes and nothing is closed. First for ever over the connections that there
// are, as behind a firewall that has forgotten them; then for a while over all of them. The server goes on by itself over new ones, refuses while
// there are none, and keeps nothing twice.
func TestSilentPostgres(t *testing.T) {
	t.Parallel()
	proxy := testpg.NewProxy(t, testpg.DSN(t))
	w := newWorld(t, t.TempDir(), proxy.DSN())
	w.start("--gateway-wait", "0s", "--rate-limit", "1000000", "--db-silence", "1s")
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "S")
	l.more(20, "before")
	before := w.metric("go_goroutines")
	for range max(1, killRounds(t)/10) {
		proxy.Forsake() // nobody mends that: the server has to notice
		l.more(20, "over new connections")

		proxy.Freeze()
		w.eventually(20*time.Second, "it is not ready", func() bool { return w.readiness() == http.StatusServiceUnavailable })
		if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); !isUnavailable(status, o) {
			t.Errorf("the balance while PostgreSQL is silent: %d %v", status, o)
		}
		proxy.Thaw()
		w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
		l.more(20, "after PostgreSQL spoke again")
	}
	l.stop()
	if _, _, lost := l.counts(); lost > 0 {
		t.Errorf("%d payouts were not answered", lost)
	}
	if !strings.Contains(w.stderr.String(), "PostgreSQL does not answer") {
		t.Error("the log does not say that PostgreSQL does not answer")
	}
	l.wantStored()
	w.settled(m)
	w.eventually(30*time.Second, "no goroutine is left of it", func() bool { return w.metric("go_goroutines") < before+60 })
	w.stop()
}

// metric reads a metric of the server; the labels are part of its name.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	res, err := w.httpc.Get("http://" + w.addr + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if value, is := strings.CutPrefix(lines.Text(), name+" "); is {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return n
		}
	}
	w.t.Fatalf("there is no metric %s", name)
	return 0
}
