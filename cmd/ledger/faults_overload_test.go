package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
)

// Bounds of the server under the storm, and what is asked of it.
const (
	stormConnections = 96
	stormCommands    = 8
	stormClients     = 10 * stormCommands // of each of two merchants, who send again at once
	stormReaders     = 40
	stormMemory      = 320 << 20 // bytes that the server may have resident
	stormEnough      = 200       // payouts taken, payouts refused, lists refused: then it ends
)

// TestOverload: far more is asked than is let in, over more connections than may be, by clients that do not hear "later". Whoever is refused is told
// so, with 429 or 503; what was taken is stored once, what was refused is not; probes and operators are answered all the while; and when it is over, all
// is as before.
func TestOverload(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--gateway-wait", "0s", "--rate-limit", "0", "--refusal-pause", "20ms", "--max-connections", strconv.Itoa(stormConnections),
			"--max-commands", strconv.Itoa(stormCommands), "--max-reads", "2")
		var operator testMerchant
		w.ledger(&operator, "operator", "create", "--name", "asha", "--role", "owner")
		a, b := w.merchant(), w.merchant()
		w.fund(a, "90000000.00")
		w.fund(b, "90000000.00")
		before := w.metric("go_goroutines")

		storms := []*storm{w.storm(a, "A", true), w.storm(b, "B", false)} // b opens a connection for each request
		desk := w.probe(operator)
		w.eventually(60*time.Second, "enough was taken and refused", func() bool {
			taken, refused, lists := 0, 0, 0
			for _, s := range storms {
				n, r, l := s.counts()
				taken, refused, lists = taken+n, refused+r, lists+l
			}
			return taken >= stormEnough && refused >= stormEnough && lists >= stormEnough && desk.asked(10)
		})
		for _, s := range storms {
			s.stop()
		}
		desk.stop()

		for _, s := range storms {
			s.load.wantStored()
			s.load.wantRefusedAbsent()
			if n, _, _ := s.counts(); n == 0 {
				t.Errorf("none of the payouts of %s was taken", s.load.prefix)
			}
			if _, _, lost := s.load.counts(); lost > 0 {
				t.Errorf("%d requests of %s were not answered, such as: %v", lost, s.load.prefix, s.load.oneLost())
			}
		}
		if desk.most > stormMemory {
			t.Errorf("the server has had %d MiB", int(desk.most)>>20)
		}
		w.eventually(30*time.Second, "the views stand at the head", func() bool { return w.metric("ledger_views_behind_records") == 0 })
		w.eventually(30*time.Second, "an ordinary request is served as before", func() bool {
			status, _ := w.call(a, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", "after"))
			return status == http.StatusOK || status == http.StatusConflict
		})
		for _, m := range []testMerchant{a, b} {
			w.eventually(60*time.Second, "nothing waits for the bank", func() bool {
				_, locked := w.balance(m)
				return locked == "0.00"
			})
		}
		w.eventually(30*time.Second, "no goroutine is left of it", func() bool { return w.metric("go_goroutines") < before+60 })
		w.verify()
		w.stop()
	})
}

// storm is the load of a merchant, and what was answered that load does not know: that it was refused, and rightly.
type storm struct {
	load *load

	mu    sync.Mutex
	lists int // refused
}

// storm starts clients that send without a pause, each over a connection of its own, or over a new one each time.
func (w *world) storm(m testMerchant, prefix string, keep bool) *storm {
	s := &storm{load: &load{
		w: w, m: m, prefix: prefix, stopped: make(chan struct{}),
		answered: map[string]string{}, refused: map[string]bool{}, lost: map[string]error{},
	}}
	for client := range stormClients + stormReaders {
		s.load.wg.Go(func() {
			transport := &http.Transport{MaxConnsPerHost: 1, DisableKeepAlives: !keep}
			defer transport.CloseIdleConnections()
			c := &http.Client{Timeout: 60 * time.Second, Transport: transport}
			for turn := 0; ; turn++ {
				select {
				case <-s.load.stopped:
					return
				default:
				}
				if client < stormClients {
					s.pay(c, fmt.Sprintf("%s-%d-%d", prefix, client, turn))
				} else {
					s.list(c)
				}
			}
		})
	}
	w.t.Cleanup(s.stop)
	return s
}

func (s *storm) stop() { s.load.stop() }

// counts are payouts taken, payouts refused and lists refused.
func (s *storm) counts() (taken, refused, lists int) {
	taken, refused, _ = s.load.counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	return taken, refused, s.lists
}

func (s *storm) pay(c *http.Client, ref string) {
	status, o, err := s.ask(c, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", ref))
	l := s.load
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.lost[ref] = err
	case status == http.StatusOK:
		l.answered[ref] = o.text("data", "transaction", "transaction_id")
	default:
		l.refused[ref] = true
	}
}

func (s *storm) list(c *http.Client) {
	status, _, err := s.ask(c, http.MethodGet, "/api/v1/transactions/service/payout?limit=100", "")
	if err != nil {
		s.load.w.t.Errorf("a list: %v", err)
	}
	if status != http.StatusOK {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lists++
	}
}

// ask sends a request and checks that it is served, or refused as is documented.
func (s *storm) ask(c *http.Client, method, path, body string) (status int, o object, err error) {
	w := s.load.w
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("X-Api-Key", s.load.m.Key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil {
		return 0, nil, err
	}
	later, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusTooManyRequests:
		if later < 1 || o["success"] != false || o.text("message") != httpapi.MessageRate {
			w.t.Errorf("429 with Retry-After %d: %v", later, o)
		}
	case http.StatusServiceUnavailable:
		if later < 1 || !isUnavailable(resp.StatusCode, o) {
			w.t.Errorf("503 with Retry-After %d: %v", later, o)
		}
	default:
		w.t.Errorf("%s %s: %d %v", method, path, resp.StatusCode, o)
	}
	return resp.StatusCode, o, nil
}

// oneLost is what became of a request that was not answered.
func (l *load) oneLost() error {
	for _, err := range l.lost {
		return err
	}
	return nil
}

// desk asks for what must be answered in a storm, over a new connection each time.
type desk struct {
	w        *world
	stopped  chan struct{}
	wg       sync.WaitGroup
	mu       sync.Mutex
	answered map[string]int
	most     float64 // bytes that the server has had resident
}

func (w *world) probe(operator testMerchant) *desk {
	d := &desk{w: w, stopped: make(chan struct{}), answered: map[string]int{}}
	for _, path := range stormPaths() {
		d.wg.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-d.stopped:
					return
				case <-tick.C:
					d.ask(path, operator.Key)
				}
			}
		})
	}
	w.t.Cleanup(d.stop)
	return d
}

// stormPaths are what must be answered in a storm. What operators read waits for the views, and is 503 when those take longer than two
// seconds: that is no refusal to let them in, and so what stands in no view is asked for, too.
func stormPaths() []string {
	return []string{"/healthz", "/readyz", "/metrics", "/ops/v1/merchants/mer_none", "/ops/v1/merchants"}
}

func (d *desk) stop() {
	d.mu.Lock()
	select {
	case <-d.stopped:
	default:
		close(d.stopped)
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// asked tells whether everything was answered so often.
func (d *desk) asked(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(stormPaths(), func(path string) bool { return d.answered[path] < n })
}

func (d *desk) ask(path, key string) {
	r, err := http.NewRequestWithContext(d.w.t.Context(), http.MethodGet, "http://"+d.w.addr+path, http.NoBody)
	if err != nil {
		d.w.t.Error(err)
		return
	}
	r.Header.Set("X-Operator-Key", key)
	c := &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Do(r)
	if err != nil {
		d.w.t.Errorf("%s in the storm: %v", path, err)
		return
	}
	defer resp.Body.Close()
	most, err := residentIn(resp.Body)
	if err != nil {
		d.w.t.Errorf("%s in the storm: %v", path, err)
	}
	behind := strings.HasPrefix(path, "/ops/") && resp.StatusCode == http.StatusServiceUnavailable
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound && !behind {
		d.w.t.Errorf("%s in the storm: %d", path, resp.StatusCode)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.most = max(d.most, most)
	if !behind {
		d.answered[path]++
	}
}

// residentIn reads how much memory metrics say that the server has resident; 0 where they do not.
func residentIn(metrics io.Reader) (float64, error) {
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		if value, is := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); is {
			n, err := strconv.ParseFloat(value, 64)
			_, rest := io.Copy(io.Discard, metrics)
			return n, errors.Join(err, rest)
		}
	}
	return 0, lines.Err()
}
