package gateway_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// callback sends what the bank would, signed here by hand so that the wire format is pinned, and returns the status.
func (w *world) callback(key []byte, at time.Time, id, body string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.url+"/gateways/sandbox/callback", strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	req.Header.Set("Sandbox-Message-Id", id)
	req.Header.Set("Sandbox-Timestamp", timestamp)
	req.Header.Set("Sandbox-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		w.t.Fatal(err)
	}
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		w.t.Error("503 without Retry-After")
	}
	return res.StatusCode
}

func transferBody(id, reference, status, more string) string {
	return fmt.Sprintf(`{"message_id":%q,"kind":"transfer","reference":%q,"status":%q,"amount":"5000.00"%s,"at":"2026-01-02T03:04:05.000006Z"}`,
		id, reference, status, more)
}

// submitted is a payout that was sent, without a dispatcher.
func (w *world) submitted() string {
	w.t.Helper()
	id := w.payout("22")
	w.submit(wallet.SubmitPayout{Base: w.base(id), Attempt: 1, Gateway: "sandbox"})
	return id
}

func TestCallbacksForgedAndMalformed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id, now := w.submitted(), time.Now()
	payin, ref := w.payin(time.Hour)
	good := transferBody("msg_1", id, "paid", "")
	for _, c := range []struct {
		name string
		key  []byte
		at   time.Time
		id   string
		body string
		want int
	}{
		{"another key", []byte("another key of enough bytes"), now, "msg_1", good, http.StatusUnauthorized},
		{"old", secret, now.Add(-10 * time.Minute), "msg_1", good, http.StatusUnauthorized},
		{"from the future", secret, now.Add(10 * time.Minute), "msg_1", good, http.StatusUnauthorized},
		{"id of another message", secret, now, "msg_2", good, http.StatusBadRequest},
		{"garbage", secret, now, "msg_1", "failed", http.StatusBadRequest},
		{"unknown status", secret, now, "msg_1", transferBody("msg_1", id, "lost", ""), http.StatusBadRequest},
		{"return without a reference", secret, now, "msg_1", transferBody("msg_1", id, "returned", ""), http.StatusBadRequest},
		{"unknown reference", secret, now, "msg_1", transferBody("msg_1", "txn_nobody", "paid", ""), http.StatusNotFound},
		{"transfer of a payin", secret, now, "msg_1", transferBody("msg_1", payin, "paid", ""), http.StatusBadRequest},
		{"payment of a payout", secret, now, "msg_1", `{"message_id":"msg_1","kind":"payment","reference":"` + id +
			`","payment_id":"pay_1","status":"success","amount":"5000.00"}`, http.StatusBadRequest},
		{"payment of no amount", secret, now, "msg_1", `{"message_id":"msg_1","kind":"payment","reference":"` + ref +
			`","payment_id":"pay_1","status":"success","amount":"1e3"}`, http.StatusBadRequest},
		{"another amount", secret, now, "msg_1", strings.Replace(good, "5000.00", "50.00", 1), http.StatusConflict},
		{"too large", secret, now, "msg_1", good + strings.Repeat(" ", gateway.MaxBodyBytes), http.StatusRequestEntityTooLarge},
		{"still pending", secret, now, "msg_1", transferBody("msg_1", id, "pending", ""), http.StatusOK},
	} {
		if got := w.callback(c.key, c.at, c.id, c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if w.ledger.types(id) != "initiated submitted" || w.ledger.types(payin) != "created" {
		t.Errorf("they changed something: %s, %s", w.ledger.types(id), w.ledger.types(payin))
	}
	unsigned, err := http.Post(w.url+"/gateways/sandbox/callback", "application/json", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	unsigned.Body.Close()
	stranger, err := http.Post(w.url+"/gateways/nobody/callback", "application/json", strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	stranger.Body.Close()
	if unsigned.StatusCode != http.StatusUnauthorized || stranger.StatusCode != http.StatusNotFound {
		t.Errorf("unsigned %d, unknown gateway %d", unsigned.StatusCode, stranger.StatusCode)
	}
}

// What comes again, late, in another order or against what is known changes nothing twice.
func TestCallbacksRepeatedReorderedContradicting(t *testing.T) {
	t.Parallel()
	paid := func(n, id string) string { return transferBody("msg_"+n, id, "paid", `,"utr":"612345678901"`) }
	failed := func(n, id string) string { return transferBody("msg_"+n, id, "failed", `,"reason":"account_closed"`) }
	returned := func(n, id string) string {
		return transferBody("msg_"+n, id, "returned", `,"utr":"612345678901","return_reference":"698765432109"`)
	}
	for name, c := range map[string]struct {
		messages []func(n, id string) string // "msg_1", "msg_2" by their place; the last is sent three times
		want     string
	}{
		"paid again":           {[]func(n, id string) string{paid}, "succeeded"},
		"failed again":         {[]func(n, id string) string{failed}, "refunded"},
		"failed after paid":    {[]func(n, id string) string{paid, failed}, "succeeded anomaly"},
		"returned":             {[]func(n, id string) string{paid, returned}, "succeeded returned"},
		"returned before paid": {[]func(n, id string) string{returned, paid}, "succeeded returned noted"},
		"paid after refund":    {[]func(n, id string) string{failed, paid}, "refunded paid_after_refund anomaly"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			id := w.submitted()
			for i, m := range c.messages {
				n := strconv.Itoa(i + 1)
				times := 1
				if i == len(c.messages)-1 {
					times = 3
				}
				for range times {
					if got := w.callback(secret, time.Now(), "msg_"+n, m(n, id)); got != http.StatusOK {
						t.Fatalf("message %s: %d", n, got)
					}
				}
			}
			if got := w.ledger.types(id); got != "initiated submitted "+c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// A payment's id stands for one payment. The same again is taken as known; another amount, or another payin, under the same id
// is not: it moves nothing, and the gateway is told that somebody has to look.
func TestPaymentIdsStandForOnePayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	first, ref := w.payin(time.Hour)
	second, other := w.payin(time.Hour)
	n := 0
	report := func(ref, amount string) int {
		n++
		id := "msg_" + strconv.Itoa(n)
		return w.callback(secret, time.Now(), id, `{"message_id":"`+id+`","kind":"payment","reference":"`+ref+
			`","payment_id":"pay_1","status":"success","amount":"`+amount+`","utr":"612345678901","at":"2026-03-31T12:30:00Z"}`)
	}
	for _, c := range []struct {
		ref, amount string
		want        int
	}{
		{ref, "1000.00", http.StatusOK}, {ref, "1000", http.StatusOK},
		{ref, "900.00", http.StatusConflict}, {other, "1000.00", http.StatusConflict},
	} {
		if got := report(c.ref, c.amount); got != c.want {
			t.Errorf("%s of %s: %d, want %d", c.amount, c.ref, got, c.want)
		}
	}
	if got := w.ledger.types(first) + ", " + w.ledger.types(second); got != "created succeeded, created" {
		t.Error(got)
	}
	if got := w.count(gateway.CountAnomaly); got != 2 {
		t.Errorf("%d anomalies", got)
	}
}

// The bank's value date is kept, within what can be true.
func TestValueDates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id := w.submitted()
	created := w.payment(id).CreatedAt
	if got := w.callback(secret, time.Now(), "msg_1", transferBody("msg_1", id, "paid", "")); got != http.StatusOK {
		t.Fatal(got)
	}
	if at := w.payment(id).UpdatedAt; !at.Equal(created) { // its date lies in January 2026, before the payout
		t.Errorf("effective at %s, the payout was made at %s", at, created)
	}
	other := w.submitted()
	created = w.payment(other).CreatedAt
	w.until("a moment has passed", func() bool { return time.Since(created) > 2*time.Millisecond })
	at := created.Add(time.Millisecond)
	body := strings.Replace(transferBody("msg_2", other, "paid", ""), "2026-01-02T03:04:05.000006Z", at.Format(time.RFC3339Nano), 1)
	if got := w.callback(secret, time.Now(), "msg_2", body); got != http.StatusOK {
		t.Fatal(got)
	}
	if got := w.payment(other).UpdatedAt; !got.Equal(at) {
		t.Errorf("effective at %s, the bank said %s", got, at)
	}
}

// busyLedger cannot take anything for a while.
type busyLedger struct {
	*memoryLedger
	busy atomic.Bool
}

func (l *busyLedger) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	if l.busy.Load() {
		return wallet.Payment{}, executor.ErrBusy
	}
	return l.memoryLedger.Submit(ctx, c, o)
}

// 200 only for what is durable: a ledger that cannot take a message has the bank send it again.
func TestCallbackWaitsForTheLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	l := &busyLedger{memoryLedger: w.ledger}
	l.busy.Store(true)
	in := gateway.NewInbound(l, w.ledger, []gateway.Callbacks{w.client()}, w.options())
	fault := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/gateways/sandbox/callback" {
			return false
		}
		in.ServeHTTP(rw, r)
		return true
	}
	w.fault.Store(&fault)
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.until("the bank was sent away twice", func() bool { return w.count(gateway.CountCallbackDeferred) >= 2 })
	if s := w.payment(id).Status; s != wallet.Pending {
		t.Fatal(s)
	}
	l.busy.Store(false)
	w.untilStatus(id, wallet.Success)
}

func FuzzParseCallback(f *testing.F) {
	f.Add([]byte(transferBody("msg_1", "txn_1", "paid", "")))
	f.Add([]byte(`{"message_id":"msg_1","kind":"payment","reference":"R","payment_id":"pay_1","status":"success","amount":"1"}`))
	f.Add([]byte(`{}`))
	f.Add([]byte{0xff, 0})
	w := &world{url: "http://127.0.0.1:1"}
	f.Fuzz(func(t *testing.T, body []byte) {
		w.t = t
		now := time.Unix(1_800_000_000, 0)
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "msg_1.%d.%s", now.Unix(), body)
		h := http.Header{}
		h.Set("Sandbox-Message-Id", "msg_1")
		h.Set("Sandbox-Timestamp", strconv.FormatInt(now.Unix(), 10))
		h.Set("Sandbox-Signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
		messages, err := w.client().ParseCallback(h, body, now)
		if err != nil {
			return
		}
		for _, m := range messages {
			of := 0
			for _, is := range []bool{m.Transfer != nil, m.Payment != nil, m.Dispute != nil} {
				if is {
					of++
				}
			}
			if of != 1 || m.Reference == "" || !bytes.Equal(m.Body, body) {
				t.Errorf("%q gave %+v", body, m)
			}
		}
		h.Set("Sandbox-Signature", "v1="+strings.Repeat("00", 32))
		if _, err := w.client().ParseCallback(h, body, now); err == nil {
			t.Error("a forged message was read")
		}
	})
}
