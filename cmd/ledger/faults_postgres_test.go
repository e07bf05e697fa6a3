package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestPostgresAway: PostgreSQL crashes under load, twice, and with `make kills` as often as a tenth of the kills. The server answers 503 until it is back, and needs no restart.
func TestPostgresAway(t *testing.T) {
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
	for _, setting := range []string{"fsync is off", "full_page_writes is off"} { // as they are in a cluster of tests
		if !strings.Contains(w.stderr.String(), setting) {
			t.Errorf("the server was started on a database whose %s, and does not say so", setting)
		}
	}
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "A")
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT}
	for round := range max(len(signals), killRounds(t)/10) {
		signal := signals[round%len(signals)]
		l.more(30, "before the crash")
		if err := cluster.Kill(signal); err != nil {
			t.Fatal(err)
		}
		w.eventually(10*time.Second, "it is not ready", func() bool { return w.readiness() == http.StatusServiceUnavailable })
		_, before, _ := l.counts()
		w.eventually(30*time.Second, "payouts are refused", func() bool {
			_, refused, _ := l.counts()
			return refused > before
		})
		if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); !isUnavailable(status, o) {
			t.Errorf("the balance without PostgreSQL: %d %v", status, o)
		}
		if err := cluster.Restart(); err != nil {
			t.Fatal(err)
		}
		w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
		l.more(30, "after PostgreSQL was back")
	}
	l.stop()
	if _, refused, lost := l.counts(); refused == 0 || lost > 0 {
		t.Errorf("%d payouts were refused, %d not answered", refused, lost)
	}
	if !w.alive() {
		t.Error("the server did not survive")
	}
	l.wantStored()
	w.settled(m)
	w.stop()
}

// TestCommitCut: the connection breaks in the middle of COMMIT, under load, before PostgreSQL has got it and behind its answer.
// Each payout that is answered is in the log once, each that is refused is not.
func TestCommitCut(t *testing.T) {
	t.Parallel()
	proxy := testpg.NewProxy(t, testpg.DSN(t))
	w := newWorld(t, t.TempDir(), proxy.DSN())
	w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
	m := w.merchant()
	w.fund(m, "9000000.00")
	l := w.load(m, 4, "C")
	for round := range 10 {
		arrives := round%2 == 0
		l.more(10, "before the cut")
		proxy.Cut("COMMIT\x00", arrives)
		w.eventually(20*time.Second, fmt.Sprintf("commit %d is cut", round), func() bool { return proxy.Cuts() > round })
		l.more(10, "after the cut")
	}
	l.stop()
	if _, refused, lost := l.counts(); refused == 0 || lost > 0 {
		t.Errorf("%d payouts were refused, %d not answered", refused, lost)
	}
	l.wantStored()
	l.wantRefusedAbsent()

	// The network is away for a while. What was being committed may be refused before anybody can know what became of it.
	l = w.load(m, 4, "N")
	l.more(10, "before the network was away")
	proxy.Down()
	w.eventually(30*time.Second, "payouts are refused", func() bool {
		_, refused, _ := l.counts()
		return refused > 0
	})
	proxy.Up()
	l.more(10, "after the network was back")
	l.stop()
	if _, _, lost := l.counts(); lost > 0 {
		t.Errorf("%d payouts were not answered", lost)
	}
	l.wantStored()
	w.settled(m)
	w.stop()
}
