package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestTerminatedUnderLoad: SIGTERM in the middle of load. What was accepted is answered, what was not answered is not in the
// log, and the exit code is 0.
func TestTerminatedUnderLoad(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.httpc = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		w.start("--gateway-wait", "2s", "--rate-limit", "1000000")
		m := w.merchant()
		w.fund(m, "9000000.00")
		l := w.load(m, 4, "T")
		l.more(20, "before the signal")

		// These wait for a bank that does not answer: they are under way when the signal comes.
		const waiting = 12
		var wg sync.WaitGroup
		for i := range waiting {
			wg.Go(func() {
				status, o, err := w.try(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("1234567890"+"08", "1000", fmt.Sprintf("W-%d", i)))
				if err != nil || status != http.StatusOK || o.text("data", "transaction", "status") != "pending" {
					t.Errorf("a payout under way at the signal: %d %v %v", status, o, err)
				}
			})
		}
		w.eventually(20*time.Second, "they are under way", func() bool {
			n, stored := 0, w.initiated(m)
			for i := range waiting {
				n += len(stored[fmt.Sprintf("W-%d", i)])
			}
			return n == waiting
		})
		server := w.server
		w.stop()
		if server.ProcessState.ExitCode() != 0 {
			t.Errorf("exit code %d", server.ProcessState.ExitCode())
		}
		wg.Wait()
		l.stop()
		l.wantStored()
		stored := w.initiated(m)
		for ref, err := range l.lost {
			if ids := stored[ref]; len(ids) > 0 {
				t.Errorf("payout %s is in the log as %v and was not answered: %v", ref, ids, err)
			}
		}
		w.verify()
		w.start(w.flags...)
		w.eventually(60*time.Second, "all but those that the bank keeps have ended", func() bool {
			_, locked := w.balance(m)
			return locked == "12120.00" // 12 x 1010
		})
		w.wantBankTruth(m)
		w.verify()
	})
}

// TestSecondSignal: a second signal ends a server that drains.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start("--drain-notice", "5m")
	if err := w.server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.eventually(10*time.Second, "it drains", func() bool { return w.readiness() == http.StatusServiceUnavailable })
	if err := w.server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	server := w.server
	w.server = nil
	go func() { done <- server.Wait() }()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it was cut short, and says that all is well")
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on draining")
		server.Process.Kill()
		<-done
	}
}

// killRounds is how often a server is killed under load: LEDGER_TEST_KILLS, which `make kills` sets, or a few times.
func killRounds(t *testing.T) int { return roundsOr(t, 3) }

// roundsOr is LEDGER_TEST_KILLS, or a few.
func roundsOr(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("LEDGER_TEST_KILLS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LEDGER_TEST_KILLS is %q", text)
	}
	return n
}

// TestKilledAgainAndAgain: SIGKILL under load at random moments, round after round on one store. What was answered is in the log each time, once,
// and in the end every payout is paid once.
func TestKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed) // of the moments, as far as they can be chosen
	onBothStores(t, func(t *testing.T, w *world) {
		random := rand.New(rand.NewPCG(seed, 0))
		w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
		m := w.merchant()
		w.fund(m, "99000000.00")
		var answered, lost int
		for round := range killRounds(t) {
			if round > 0 {
				w.start(w.flags...)
			}
			l := w.load(m, 4, fmt.Sprintf("K%d", round))
			l.more(1+random.IntN(40), fmt.Sprintf("in round %d", round))
			w.kill()
			l.stop()
			l.wantStored()
			a, _, n := l.counts()
			answered, lost = answered+a, lost+n
			if t.Failed() {
				t.Fatalf("round %d", round)
			}
		}
		t.Logf("%d kills, %d payouts answered, %d requests without an answer", killRounds(t), answered, lost)
		w.verify()
		w.start(w.flags...)
		w.settled(m)
		w.stop()
	})
}
