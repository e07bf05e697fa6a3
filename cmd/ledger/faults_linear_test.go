package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger/linear"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// The size of a history made over HTTP.
const (
	linearClients    = 6
	linearActions    = 30 // of a client
	linearReferences = 40 // that clients choose from, so that they meet
)

// crowd is clients of one merchant's wallet over HTTP, an operator beside them on the command line, and what they were answered.
type crowd struct {
	w       *world
	m       testMerchant
	history *linear.History

	mu       sync.Mutex
	payments map[string]*span  // payouts by reference
	ids      map[string]string // transactions by reference, as they were answered
	answers  int               // since the last kill
}

// span is when a payout can have ended: behind the first request for it, and before the first answer that says so.
type span struct{ first, ended int64 }

// TestHistoriesOverHTTP: whatever concurrent clients of one wallet are answered by the real server, beside corrections from the command line
// and through a SIGKILL, a wallet that does one thing at a time could have answered.
func TestHistoriesOverHTTP(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed) // of the choices; what meets what is up to the machine
	onBothStores(t, func(t *testing.T, w *world) {
		// On a connection of its own for each: on one that is kept, a request with an Idempotency-Key is silently sent again.
		w.httpc = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		w.start("--gateway-wait", "2s", "--rate-limit", "1000000", "--sandbox-delay", "50ms")
		c := &crowd{w: w, m: w.merchant(), history: linear.New(true), payments: map[string]*span{}, ids: map[string]string{}}
		c.adjust(linearClients, 20_000_00)
		var all sync.WaitGroup
		for client := range linearClients {
			all.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(client)))
				for range linearActions {
					c.act(client, random)
				}
			})
		}
		w.eventually(60*time.Second, "there is something to kill in the middle of", func() bool { return c.answered(0) >= linearClients*linearActions/3 })
		w.restart()
		all.Wait()
		stored := c.stored()
		c.history.Resolve(func(ref string) bool { return stored[ref] })
		for ref, p := range c.payments {
			if op, ends := c.end(ref); ends && stored[ref] {
				c.history.Add(linearClients+1, linear.Input{Op: op, Ref: ref}, linear.Output{}, p.first, p.ended)
			}
		}
		c.look(linearClients)
		err := c.history.Check()
		counts := c.history.Counts()
		t.Logf("operations by how they ended: %v", counts)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []linear.Kind{linear.Done, linear.TakenRef, linear.TakenKey} {
			if counts[kind] == 0 {
				t.Errorf("no operation ended as %q: this shows less than it is meant to", kind)
			}
		}
		w.stop()
		w.verify()
	})
}

// act does one thing.
func (c *crowd) act(client int, random *rand.Rand) {
	switch n := random.IntN(20); {
	case n < 9:
		c.pay(client, random)
	case n < 12:
		c.collect(client, random)
	case n < 19:
		c.look(client)
	default:
		c.adjust(client, (1_00+random.Int64N(2_000_00))*(1-2*random.Int64N(2)))
	}
}

// end is how a payout of a reference ends: the account that it goes to says so to the sandbox. False: the bank never answers.
func (c *crowd) end(ref string) (linear.Op, bool) {
	switch ref[len(ref)-1] {
	case '0', '1', '2':
		return linear.Refund, true
	case '3':
		return 0, false
	}
	return linear.Settle, true
}

func (c *crowd) account(ref string) string {
	switch op, ends := c.end(ref); {
	case !ends:
		return "123456789008"
	case op == linear.Refund:
		return "123456789002"
	}
	return loadAccount
}

// ask sends a request, and says how that ended. Clients go away now and then.
func (c *crowd) ask(random *rand.Rand, path, body, key string) (linear.Output, object) {
	ctx, cancel := context.WithCancel(c.w.t.Context())
	defer cancel()
	if random.IntN(15) == 0 {
		go cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.w.addr+path, strings.NewReader(body))
	if err != nil {
		c.w.t.Error(err)
		return linear.Output{Kind: linear.Unknown}, nil
	}
	req.Header.Set("X-Api-Key", c.m.Key)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.w.httpc.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		c.await()
		return linear.Output{Kind: linear.Absent}, nil // nobody was there to hear it
	}
	if err != nil {
		return linear.Output{Kind: linear.Unknown}, nil
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return linear.Output{Kind: linear.Unknown}, nil
	}
	var o object
	if err := json.Unmarshal(raw, &o); err != nil {
		c.w.t.Errorf("%s answered %q: %v", path, raw, err)
	}
	c.answered(1)
	switch message := o.text("message"); {
	case resp.StatusCode/100 == 2:
		return linear.Output{Kind: linear.Done}, o
	case message == "Duplicate request":
		return linear.Output{Kind: linear.TakenRef}, o
	case message == "Idempotency-Key was used with a different request":
		return linear.Output{Kind: linear.TakenKey}, o
	case message == "Insufficient wallet balance":
		return linear.Output{Kind: linear.Poor}, o
	case isUnavailable(resp.StatusCode, o):
		return linear.Output{Kind: linear.Unknown}, o
	}
	c.w.t.Errorf("%s: %d %s", path, resp.StatusCode, raw)
	return linear.Output{Kind: linear.Unknown}, o
}

// await waits for a server that is being started, so that clients do not spend their actions on nobody.
func (c *crowd) await() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 1500 {
		if <-tick.C; c.w.readiness() == http.StatusOK {
			return
		}
	}
}

// stored are the references that the log has payments of.
func (c *crowd) stored() map[string]bool {
	db := c.w.sql("log")
	defer db.Close()
	stored := map[string]bool{}
	for _, keys := range column[string](c.w, db, "SELECT dedupe_key FROM events WHERE type IN ('payout.initiated', 'payin.created')") {
		for key := range strings.SplitSeq(keys, "\n") {
			for _, prefix := range []string{wallet.PayoutKey(c.m.ID, ""), wallet.PayinKey(c.m.ID, "")} {
				if ref, is := strings.CutPrefix(key, prefix); is {
					stored[ref] = true
				}
			}
		}
	}
	return stored
}

func (c *crowd) answered(more int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers += more
	return c.answers
}

// pay asks for a payout, at times under an Idempotency-Key, at times twice.
func (c *crowd) pay(client int, random *rand.Rand) {
	ref := fmt.Sprintf("P-%d", random.IntN(linearReferences))
	rupees := 1000 + int64(random.IntN(3))
	in := linear.Input{Op: linear.Pay, Ref: ref, Amount: (rupees + 10) * 100}
	if random.IntN(2) == 0 {
		in.Key = fmt.Sprintf("K-%d", random.IntN(linearReferences))
	}
	body := payoutBody(c.account(ref), fmt.Sprint(rupees), ref)
	for range 1 + random.IntN(2) {
		called := c.history.Now()
		c.mu.Lock()
		p := c.payments[ref]
		if p == nil {
			p = &span{called, c.history.Never()}
			c.payments[ref] = p
		}
		c.mu.Unlock()
		out, o := c.ask(random, "/api/v1/services/payout/process", body, in.Key)
		returned := c.history.Now()
		c.history.Add(client, in, out, called, returned)
		if out.Kind != linear.Done {
			continue
		}
		transaction := object(o["data"].(map[string]any)["transaction"].(map[string]any))
		c.mu.Lock()
		if transaction.text("status") != "pending" {
			p.ended = min(p.ended, returned)
		}
		c.mu.Unlock()
		c.same(ref, transaction.text("transaction_id"))
	}
}

// same holds that a reference has one transaction for ever.
func (c *crowd) same(ref, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, there := c.ids[ref]; there && known != id || id == "" {
		c.w.t.Errorf("%s was answered as %s, and as %q", ref, known, id)
	}
	c.ids[ref] = id
}

// collect asks for a payin and pays it.
func (c *crowd) collect(client int, random *rand.Rand) {
	ref := fmt.Sprintf("O-%d", random.IntN(linearReferences))
	rupees := 300 + int64(random.IntN(3))*100
	in := linear.Input{Op: linear.Create, Ref: ref, Amount: rupees * 99} // less one percent
	if random.IntN(2) == 0 {
		in.Key = fmt.Sprintf("I-%d", random.IntN(linearReferences))
	}
	body := fmt.Sprintf(`{"order_id":%q,"amount":%d,"customer_phone":"9876543210","customer_name":"Asha Rao"}`, ref, rupees)
	var data object
	out := c.history.Do(client, in, func() linear.Output {
		out, o := c.ask(random, "/api/v1/payin/create", body, in.Key)
		if out.Kind == linear.Done {
			data = object(o["data"].(map[string]any))
		}
		return out
	})
	if out.Kind != linear.Done {
		return
	}
	c.same(ref, data.text("transaction_id"))
	paid, err := json.Marshal(object{"intent_url": data.text("intent_url"), "outcome": "success"})
	if err != nil {
		c.w.t.Error(err)
		return
	}
	c.history.Do(client, linear.Input{Op: linear.Collect, Ref: ref}, func() linear.Output {
		// Whoever pays it again, under a replayed answer, is told that it is paid; one whose payment is not confirmed does not know.
		if _, _, err := c.w.try(testMerchant{}, http.MethodPost, "/sandbox/upi/pay", string(paid)); err != nil {
			return linear.Output{Kind: linear.Unknown}
		}
		status, o, err := c.w.try(c.m, http.MethodGet, "/api/v1/payin/status/"+data.text("txn_ref"), "")
		if err == nil && status == http.StatusOK && o.text("data", "status") == "success" {
			return linear.Output{Kind: linear.Done}
		}
		return linear.Output{Kind: linear.Unknown}
	})
}

// look reads the balance.
func (c *crowd) look(client int) {
	c.history.Do(client, linear.Input{Op: linear.Look}, func() linear.Output {
		status, o, err := c.w.try(c.m, http.MethodGet, "/api/v1/wallet/balance", "")
		if err != nil || status != http.StatusOK {
			c.await()
			return linear.Output{Kind: linear.Absent}
		}
		c.answered(1)
		return c.shown(o.text("data", "balance"), o.text("data", "locked_balance"))
	})
}

func (c *crowd) shown(available, locked string) linear.Output {
	out := linear.Output{Shown: true}
	for text, into := range map[string]*int64{available: &out.Available, locked: &out.Locked} {
		amount, err := money.Parse(text, money.INR)
		if err != nil {
			c.w.t.Error(err)
		}
		*into = amount.Decimal().Shift(2).IntPart()
	}
	return out
}

// adjust corrects the wallet from the command line, beside the server.
func (c *crowd) adjust(client int, paise int64) {
	amount := fmt.Sprintf("%d.%02d", max(paise, -paise)/100, max(paise, -paise)%100)
	if paise < 0 {
		amount = "-" + amount
	}
	c.history.Do(client, linear.Input{Op: linear.Adjust, Amount: paise}, func() linear.Output {
		out, code := c.w.run("wallet", "adjust", "--merchant", c.m.ID, "--amount", amount, "--reason", "correction")
		if code != 0 {
			if strings.Contains(out, "Insufficient wallet balance") {
				return linear.Output{Kind: linear.Poor}
			}
			return linear.Output{Kind: linear.Unknown}
		}
		var a adjusted
		if err := json.Unmarshal([]byte(out), &a); err != nil {
			c.w.t.Error(err)
		}
		return c.shown(a.Balance, a.Locked)
	})
}
