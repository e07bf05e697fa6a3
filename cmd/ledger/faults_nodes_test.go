package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// countedCallbacks counts what the receiver of callbacks behind it is sent, repeats too.
type countedCallbacks struct {
	receiver *callbackReceiver
	mu       sync.Mutex
	byID     map[string]int
}

func (d *countedCallbacks) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.byID[r.Header.Get("webhook-id")]++
	d.mu.Unlock()
	d.receiver.ServeHTTP(rw, r)
}

// sandboxAlone runs `ledger sandbox` and returns its address.
func sandboxAlone(t *testing.T, dir, secret, ledger string) (address string) {
	t.Helper()
	address = freeAddress(t)
	cmd := exec.Command(binary(t), "sandbox", "--listen", address, "--file", filepath.Join(dir, "sandbox.db"), "--secret", secret, "--callback-url", ledger)
	stderr := &lockedBuffer{}
	cmd.Dir, cmd.Stderr = dir, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("log of the sandbox:\n%s", tailOf(stderr.String(), 20))
		}
	})
	return address
}

// TestTwoNodes: two servers on one store serve one hot wallet. Nothing is paid twice, each callback goes out once, and what one
// of them was told the other one knows.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	const secret = "shared-with-the-sandbox"
	dsn := testpg.DSN(t)
	a, b := newWorld(t, t.TempDir(), dsn), newWorld(t, t.TempDir(), dsn)
	bank := newWorld(t, t.TempDir(), dsn)
	bank.addr = sandboxAlone(t, bank.dir, secret, "http://"+a.addr)
	counted := &countedCallbacks{receiver: a.calls, byID: map[string]int{}}
	a.calls.server = httptest.NewServer(counted)
	t.Cleanup(a.calls.server.Close)
	flags := []string{"--gateway-wait", "100ms", "--rate-limit", "1000000", "--sandbox-url", "http://" + bank.addr, "--sandbox-secret", secret}
	a.start(flags...)
	b.start(flags...)
	m := a.merchant()
	a.fund(m, "150000.00") // 148 x 1010 = 149480

	// 200 payouts of every kind, to both, each posted to one of them; and the same reference to both at once, ten times.
	kinds := []string{"99", "01", "02", "03", "09"}
	var ok, poor, duplicate atomic.Int64
	ids := make([]string, 200)
	post := func(w *world, i int, ref string) {
		status, o, err := w.try(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("1234567890"+kinds[i%len(kinds)], "1000", ref))
		switch {
		case err == nil && status == http.StatusOK:
			ok.Add(1)
			ids[i] = o.text("data", "transaction", "transaction_id")
		case err == nil && status == http.StatusUnprocessableEntity && o.text("message") == "Insufficient wallet balance":
			poor.Add(1)
		case err == nil && status == http.StatusConflict && o.text("message") == "Duplicate request":
			duplicate.Add(1)
		default:
			t.Errorf("%s: %d %v %v", ref, status, o, err)
		}
	}
	for i := range 10 {
		var both sync.WaitGroup
		both.Go(func() { post(a, i, fmt.Sprintf("N-%d", i)) })
		both.Go(func() { post(b, i, fmt.Sprintf("N-%d", i)) })
		both.Wait()
	}
	if ok.Load() != 10 || duplicate.Load() != 10 {
		t.Errorf("the same reference to both: %d accepted, %d refused", ok.Load(), duplicate.Load())
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := 10 + worker; i < len(ids); i += 8 {
				post([]*world{a, b}[worker%2], i, fmt.Sprintf("N-%d", i))
			}
		})
	}
	wg.Wait()
	if ok.Load()+poor.Load() != 200 || ok.Load() < 148 {
		t.Errorf("%d accepted, %d refused for want of money", ok.Load(), poor.Load())
	}
	for _, w := range []*world{a, b} {
		w.eventually(60*time.Second, "all payouts have ended", func() bool { _, locked := w.balance(m); return locked == "0.00" })
	}
	nodesAgree(t, a, b, bank, m, ids)
	counted.mu.Lock()
	for id, n := range counted.byID {
		if n != 1 {
			t.Errorf("callback %s was delivered %d times", id, n)
		}
	}
	counted.mu.Unlock()

	a.fund(m, "5000.00")
	nodesRepeat(t, a, b, m)
	nodesRevoke(t, a, b, m)
	a.verify()
	b.stop()
	a.stop()
}

// nodesAgree checks payouts, balances and callbacks against what the bank says.
func nodesAgree(t *testing.T, a, b, bank *world, m testMerchant, ids []string) {
	t.Helper()
	_, o := bank.call(m, http.MethodGet, "/sandbox/bank/transfers", "")
	paid := map[string]int{}
	for _, x := range o["transfers"].([]any) {
		if tr := object(x.(map[string]any)); tr.text("status") == "paid" {
			paid[tr.text("reference")]++
		}
	}
	settled := 0
	for i, id := range ids {
		if id == "" {
			continue
		}
		want := "success"
		if end := i % 5; end == 2 || end == 4 { // 02 and 09
			want = "refunded"
		}
		for _, w := range []*world{a, b} {
			_, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/"+id, "")
			if got := o.text("data", "transaction", "status"); got != want {
				t.Errorf("payout %d is %s, want %s", i, got, want)
			}
		}
		if want == "success" {
			settled++
		}
		if n := paid[id]; n > 1 || (n == 1) != (want == "success") {
			t.Errorf("payout %d is %s, and the bank paid it %d times", i, want, n)
		}
		a.eventually(20*time.Second, fmt.Sprintf("one callback for payout %d", i), func() bool { return slices.Equal(a.calls.statuses(id), []string{want}) })
	}
	if len(paid) != settled {
		t.Errorf("the bank paid %d payouts, the ledger settled %d", len(paid), settled)
	}
	available := fmt.Sprintf("%d.00", 150_000-1010*settled)
	a.wantBalance(m, available, "0.00")
	b.wantBalance(m, available, "0.00")
}

// nodesRepeat: an Idempotency-Key that one node has answered is answered the same by the other.
func nodesRepeat(t *testing.T, a, b *world, m testMerchant) {
	t.Helper()
	const path = "/api/v1/services/payout/process"
	body := payoutBody(loadAccount, "1000", "REPEATED")
	first, o := a.call(m, http.MethodPost, path, body, "Idempotency-Key", "repeated")
	second, again := b.call(m, http.MethodPost, path, body, "Idempotency-Key", "repeated")
	id := o.text("data", "transaction", "transaction_id")
	if first != http.StatusOK || second != http.StatusOK || id == "" || again.text("data", "transaction", "transaction_id") != id {
		t.Errorf("%d %v, then on the other node %d %v", first, o, second, again)
	}
	if status, o := b.call(m, http.MethodPost, path, payoutBody(loadAccount, "1000", "REPEATED")); status != http.StatusConflict {
		t.Errorf("the same reference without the key: %d %v", status, o)
	}
}

// nodesRevoke: a key that the command line makes and revokes is honoured and refused by both.
func nodesRevoke(t *testing.T, a, b *world, m testMerchant) {
	t.Helper()
	var added struct {
		Key string `json:"api_key"`
		ID  string `json:"key_id"`
	}
	a.ledger(&added, "merchant", "add-key", m.ID, "--role", "full")
	second := testMerchant{ID: m.ID, Key: added.Key}
	want := func(status int, what string) {
		t.Helper()
		for _, w := range []*world{a, b} {
			w.eventually(5*time.Second, what, func() bool {
				got, _ := w.call(second, http.MethodGet, "/api/v1/wallet/balance", "")
				return got == status
			})
		}
	}
	want(http.StatusOK, "the new key is honoured")
	a.ledger(nil, "merchant", "revoke-key", m.ID, added.ID)
	want(http.StatusUnauthorized, "the revoked key is refused")
	if status, o := b.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK || strings.Contains(o.text("message"), "key") {
		t.Errorf("the other key: %d %v", status, o)
	}
}
