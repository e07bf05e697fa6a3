package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// traffic is requests of every kind that is acknowledged, made all the time by clients of every kind: a merchant's payouts, payins, batches and refunds, an
// app's transactions and tokens, the messages of bank and payment company, the operator's commands. The bank and the company are a process of their
// own, which lives on.
//
// What was acknowledged is kept in memory, by the test's own process: the kill is of the server alone, and nothing that happens to it reaches
// into this list. An answer counts from when it was read whole; so nothing is on the list that a client could not have acted upon.
type traffic struct {
	w, bank  *world
	m        testMerchant
	app      testApp
	account  object // of the app, at the company
	operator string // key
	random   *rand.Rand

	wg      sync.WaitGroup
	stopped chan struct{}

	mu       sync.Mutex
	next     int
	acks     []ack
	counts   map[string]int      // of acks, by kind
	lost     int                 // requests without an answer
	refused  int                 // 503, and commands that failed
	failed   string              // the last of these commands' words
	open     map[string]payin    // paid once, by txn_ref: to be refunded when the bank's message is acknowledged
	paid     map[string]string   // what was paid: the gateway's payment id -> what for
	rows     int                 // of a batch
	sizes    map[string]int      // of accepted batches, by reference
	again    []func() error      // repeats of what was acknowledged since the last kill
	refresh  string              // token, not used yet
	spent    []string            // refresh tokens that were used up, as was answered
	refunds  chan payin          // paid, and the message about it acknowledged
	onAck    func(n int)         // told of each, if there
	inBatch  map[string]struct{} // references of batches that were asked for; while there are some, no more are
	repeated int                 // of again, in all
	rounds   int                 // times that repeats was called
}

// ack is an acknowledgement, and what must be in the log for it.
type ack struct {
	what  string
	holds func(*logged) error
}

type payin struct{ id, ref, back string } // back is what is refunded of it

const (
	bankSecret   = "shared-with-the-sandbox"
	againAtMost  = 60
	spentLooked  = 5
	rupees       = "c_WkmEe23LeI"
	payoutPath   = "/api/v1/services/payout/process"
	refreshPath  = "/v1/auth/refresh-token"
	payinPath    = "/api/v1/payin/create"
	pauseOfACall = 10 * time.Millisecond
)

// newTraffic starts the bank and the server, and sets up whom the clients speak for.
func newTraffic(t *testing.T, w *world, random *rand.Rand) *traffic {
	t.Helper()
	c := &traffic{
		w: w, bank: newWorld(t, t.TempDir(), w.db), random: random, counts: map[string]int{}, open: map[string]payin{}, paid: map[string]string{},
		rows: 100, sizes: map[string]int{}, inBatch: map[string]struct{}{}, refunds: make(chan payin, 100_000),
	}
	if roundsOr(t, 0) > 0 { // where time is not scarce
		c.rows = 300
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("faults in the server's log:\n%s", tailOf(linesWith(w.stderr.String(), `"level":"ERROR"`), 20))
		}
	})
	front := httptest.NewServer(http.HandlerFunc(c.forward))
	t.Cleanup(front.Close)
	c.bank.addr = sandboxAlone(t, c.bank.dir, bankSecret, front.URL)
	w.eventually(20*time.Second, "the bank is open", func() bool {
		resp, err := c.bank.httpc.Get("http://" + c.bank.addr + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	w.start("--gateway-wait", "0s", "--rate-limit", "10000000", "--sandbox-url", "http://"+c.bank.addr, "--sandbox-secret", bankSecret)
	c.m = w.merchant()
	w.fund(c.m, "900000000.00")
	var operator object
	w.ledger(&operator, "operator", "create", "--name", "asha", "--role", "maker")
	c.operator = operator.text("api_key")
	w.eventually(5*time.Second, "the operator is known", func() bool {
		status, _ := w.kspay(http.MethodGet, "/ops/v1/apps", nil, "X-Operator-Key", c.operator)
		return status == http.StatusOK
	})
	c.openApp(front.URL)
	return c
}

// openApp signs an app up, with an account at the company whose messages go through the front.
func (c *traffic) openApp(public string) {
	w := c.w
	w.t.Helper()
	on := func(answer any, args ...string) {
		w.t.Helper()
		w.ledger(answer, append(append([]string{"app"}, args...), "--public-url", public, "--sandbox", "--sandbox-url", "http://"+c.bank.addr)...)
	}
	on(&c.app, "create", "--name", "Kirana & Sons", "--domain", "https://shop.example", "--currency", "INR")
	var g object
	on(&g, "gateway", "add", c.app.ID, "razorpay")
	config := g.text("gateway_config_id")
	c.account = c.bank.account("razorpay", object{"webhook_url": g.text("webhook_url")})
	on(nil, "gateway", "credentials", c.app.ID, config, "--set", "key_id="+c.account.text("key_id"), "--set", "key_secret="+w.file("key", c.account.text("key_secret")))
	on(nil, "gateway", "webhook", c.app.ID, config, "--secret", w.file("webhook", c.account.text("webhook_secret")))
	on(nil, "gateway", "package", c.app.ID, config)
	var trial object
	on(&trial, "gateway", "trial", c.app.ID, config, "--amount", "1.00", "--currency", "INR")
	w.arrive(trial.text("checkout_url"), "NET BANKING")
	_, truth := c.bank.call(testMerchant{}, http.MethodGet, "/sandbox/razorpay/truth?key_id="+c.account.text("key_id"), "")
	if err := c.payOrder(object(truth["orders"].([]any)[0].(map[string]any)).text("id"), 100, "trial"); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(20*time.Second, "the trial order has verified three steps", func() bool {
		on(&g, "gateway", "list", c.app.ID)
		o := object(g["gateways"].([]any)[0].(map[string]any))
		return o.text("steps", "package") == "verified" && o.text("trial") == ""
	})
	on(nil, "gateway", "security", c.app.ID, config)
	on(nil, "gateway", "enable", c.app.ID, config)
	w.eventually(5*time.Second, "requests know of the gateway, within a second", func() bool {
		_, o := w.kspay(http.MethodGet, "/v1/"+rupees+"/payment-methods", nil, "Authorization", w.token(c.app))
		methods, _ := o["result"].([]any)
		return len(methods) > 0
	})
}

// forward is what bank and company reach instead of the server: it hands their messages on, and notes which of them are acknowledged.
func (c *traffic) forward(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+c.w.addr+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	out.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		rw.WriteHeader(http.StatusBadGateway)
		return
	}
	if resp.StatusCode/100 == 2 {
		c.message(r.URL.Path, body)
	}
	for name, values := range resp.Header {
		rw.Header()[name] = values
	}
	rw.WriteHeader(resp.StatusCode)
	rw.Write(text)
}

// message notes a message that the server has acknowledged.
func (c *traffic) message(path string, body []byte) {
	var o object
	if json.Unmarshal(body, &o) != nil {
		return
	}
	booked := func(kind, payment string) {
		c.acknowledged(kind, payment, func(l *logged) error { return once("events that book payment "+payment, l.payments[payment]) })
	}
	switch {
	case strings.HasSuffix(path, "/webhook"):
		if o.text("event") == "payment.captured" {
			booked("webhooks of captured payments", o.text("payload", "payment", "entity", "id"))
		}
	case path != "/gateways/sandbox/callback":
	case o.text("kind") == "payment" && o.text("status") == "success":
		booked("bank's messages of payments", o.text("payment_id"))
		c.mu.Lock()
		p, there := c.open[o.text("reference")]
		delete(c.open, o.text("reference"))
		c.mu.Unlock()
		if there {
			c.refunds <- p
		}
	case o.text("kind") == "transfer" && o.text("status") == "paid":
		id := o.text("reference")
		c.acknowledged("bank's messages of transfers", id, func(l *logged) error { return once("payout.succeeded of "+id, l.of(id, "payout.succeeded")) })
	case o.text("kind") == "refund" && o.text("status") == "refunded":
		id := o.text("refund")
		c.acknowledged("bank's messages of refunds", id, func(l *logged) error { return once("refund.succeeded of "+id, l.refunded[id]) })
	}
}

func once(what string, n int) error {
	if n != 1 {
		return fmt.Errorf("%d %s", n, what)
	}
	return nil
}

// acknowledged puts an acknowledgement on the list.
func (c *traffic) acknowledged(kind, what string, holds func(*logged) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[kind]++
	c.acks = append(c.acks, ack{kind + " " + what, holds})
	if c.onAck != nil {
		c.onAck(len(c.acks))
	}
}

// repeatable notes how something that was acknowledged is asked for again.
func (c *traffic) repeatable(again func() error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.again = append(c.again, again)
}

// number is a new number, for references.
func (c *traffic) number() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return c.next
}

// chance is a random number below n.
func (c *traffic) chance(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

// start has all clients begin.
func (c *traffic) start() {
	c.stopped = make(chan struct{})
	for _, client := range []func(){c.payout, c.payin, c.payin, c.refund, c.transaction, c.transaction, c.tokens, c.batch, c.operate} {
		c.wg.Go(func() {
			pause := time.NewTicker(pauseOfACall)
			defer pause.Stop()
			for {
				select {
				case <-c.stopped:
					return
				case <-pause.C:
					client()
				}
			}
		})
	}
}

// stop ends the clients and waits for the answers that are due.
func (c *traffic) stop() {
	close(c.stopped)
	c.wg.Wait()
}

// ask makes a request. ok is false when there was no answer, or a 503; another status than the one wanted fails the test.
func (c *traffic) ask(want int, m testMerchant, method, path, body string, headers ...string) (o object, ok bool) {
	status, o, err := c.w.try(m, method, path, body, headers...)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.lost++
	case status == http.StatusServiceUnavailable:
		c.refused++
	case status != want:
		c.w.t.Errorf("%s %s: %d %v", method, path, status, o)
	default:
		return o, true
	}
	return nil, false
}
