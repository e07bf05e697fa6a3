package main

import (
	"math/rand/v2"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestEverythingKilled: SIGKILL at random moments under traffic of every kind, round after round on one store. What was acknowledged is in the
// log each time, once, and is answered the same again; in the end everything has ended, and bank, company and ledger agree.
func TestEverythingKilled(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed) // of the moments, as far as they can be chosen
	onBothStores(t, func(t *testing.T, w *world) {
		random := rand.New(rand.NewPCG(seed, 0))
		c := newTraffic(t, w, random)
		rounds := roundsOr(t, 2)
		for round := range rounds {
			c.start()
			c.more(20+c.chance(100), "before the kill")
			if round == rounds-1 {
				c.everything()
			}
			time.Sleep(time.Duration(c.chance(20_000)) * time.Microsecond) // not right behind an answer
			w.kill()
			c.stop()
			n := c.acknowledgements()
			before := round%2 == 0 // who recovers the files is the reader of this test, or the server
			if before {
				c.wantHolds(w.logged(), n)
			}
			w.start(w.flags...)
			if !before {
				c.wantHolds(w.logged(), n)
			}
			c.repeats()
			if t.Failed() {
				t.Fatalf("round %d", round)
			}
			if round%20 == 19 {
				t.Logf("%d kills so far: %s", round+1, c.summary())
			}
		}
		c.settled()
		t.Logf("%d kills: %s", rounds, c.summary())
		w.stop()
	})
}

// TestEverythingAndPostgresKilled: the same with PostgreSQL killed, and started again, while the server lives on.
func TestEverythingAndPostgresKilled(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
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
	c := newTraffic(t, w, rand.New(rand.NewPCG(seed, 0)))
	signals := []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT}
	rounds := max(1, roundsOr(t, 0)/4)
	for round := range rounds {
		c.start()
		c.more(20+c.chance(100), "before the crash")
		if round == rounds-1 {
			c.everything()
		}
		if err := cluster.Kill(signals[round%len(signals)]); err != nil {
			t.Fatal(err)
		}
		w.eventually(10*time.Second, "it is not ready", func() bool { return w.readiness() == http.StatusServiceUnavailable })
		c.stop()
		n := c.acknowledgements()
		if err := cluster.Restart(); err != nil {
			t.Fatal(err)
		}
		w.eventually(30*time.Second, "it is ready again", func() bool { return w.readiness() == http.StatusOK })
		c.wantHolds(w.logged(), n)
		c.repeats()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if !w.alive() {
		t.Error("the server did not survive")
	}
	c.settled()
	t.Logf("%d crashes of PostgreSQL: %s", rounds, c.summary())
	w.stop()
}
