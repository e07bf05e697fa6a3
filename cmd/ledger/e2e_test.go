package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// TestPayins: success, failure, expiry, late success and a wrong amount, to the last paisa.
func TestPayins(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--payin-expiry", "2s")
		m := w.merchant()

		paid := w.payin(m, "1000", "ORDER-1")
		if paid.text("amount") != "1000.00" || paid.text("commission") != "10.00" || paid.text("status") != "pending" ||
			paid.text("expires_in") != "2" || !strings.HasPrefix(paid.text("transaction_id"), "txn_") {
			t.Errorf("payin create answered %v", paid)
		}
		failed, expired, late, wrong := w.payin(m, "500", "ORDER-2"), w.payin(m, "600", "ORDER-3"), w.payin(m, "700", "ORDER-4"), w.payin(m, "800", "ORDER-5")
		w.pay(paid.text("intent_url"), "success", "")
		w.pay(failed.text("intent_url"), "failure", "")
		w.pay(wrong.text("intent_url"), "success", "799")
		for _, c := range []struct {
			payin  object
			status string
		}{{paid, "success"}, {failed, "failed"}, {expired, "expired"}, {late, "expired"}, {wrong, "expired"}} {
			w.eventually(15*time.Second, "payin "+c.payin.text("order_id")+" is "+c.status, func() bool {
				return w.payinStatus(m, c.payin.text("txn_ref")).text("status") == c.status
			})
		}
		w.wantBalance(m, "990.00", "0.00")

		w.pay(late.text("intent_url"), "success", "")
		w.eventually(10*time.Second, "the late payin is success", func() bool {
			return w.payinStatus(m, late.text("txn_ref")).text("status") == "success"
		})
		w.wantBalance(m, "1683.00", "0.00") // 990 + 700 - 7
		w.pay(late.text("intent_url"), "success", "")

		w.eventually(10*time.Second, "both misfits are in suspense", func() bool {
			var o object
			w.ledger(&o, "suspense", "list")
			entries, _ := o["suspense"].([]any)
			return len(entries) == 2
		})
		// An operator gives the merchant the one and sends the other back, beside the server.
		var listed struct {
			Suspense []struct {
				ID     string `json:"id"`
				Amount string `json:"amount"`
			}
		}
		w.ledger(&listed, "suspense", "list")
		for _, entry := range listed.Suspense {
			what := "refund"
			if entry.Amount == "799.00" {
				what = "credit"
			}
			w.ledger(nil, "suspense", what, entry.ID, "--reason", "the customer said so")
		}
		w.wantBalance(m, "2474.01", "0.00") // 1683 + 799 - 7.99
		for payin, want := range map[*object][]string{
			&paid: {"success"}, &failed: {"failed"}, &expired: {"expired"}, &late: {"expired", "success"}, &wrong: {"expired"},
		} {
			id := payin.text("transaction_id")
			w.eventually(10*time.Second, fmt.Sprintf("callbacks %v for %s", want, payin.text("order_id")), func() bool {
				return slices.Equal(w.calls.statuses(id), want)
			})
		}
		if got := w.payinStatus(m, paid.text("txn_ref")); len(got.text("utr")) != 12 {
			t.Errorf("a paid payin without UTR: %v", got)
		}
		w.verify()
	})
}

// TestPayouts: all ten behaviours of the bank, with a kill in the middle.
func TestPayouts(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--gateway-wait", "500ms")
		m := w.merchant()
		w.fund(m, "100000.00")

		ends := map[string]string{ // last two digits -> status in the end
			"99": "success", "01": "success", "02": "refunded", "03": "success", "04": "refunded", "05": "refunded",
			"06": "success", "07": "success", "08": "pending", "09": "refunded", "10": "success",
		}
		callbacks := map[string][]string{
			"99": {"success"}, "01": {"success"}, "02": {"refunded"}, "03": {"success"}, "04": {"refunded"}, "05": {"success", "refunded"},
			"06": {"success"}, "07": {"success"}, "08": nil, "09": {"refunded"}, "10": {"success"},
		}
		ids := map[string]string{}
		for digits := range ends {
			status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("1234567890"+digits, "1000", "REF-"+digits))
			if status != http.StatusOK || o["success"] != true || o.text("data", "transaction", "net_amount") != "1010.00" {
				t.Fatalf("payout %s: %d %v", digits, status, o)
			}
			ids[digits] = o.text("data", "transaction", "transaction_id")
		}
		w.restart()
		for digits, want := range ends {
			w.eventually(20*time.Second, "payout "+digits+" is "+want, func() bool {
				_, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/"+ids[digits], "")
				return o.text("data", "transaction", "status") == want
			})
		}
		// Paid: 99 01 03 06 07 10 = six; still locked: 08.
		w.wantBalance(m, "92930.00", "1010.00")
		for digits, want := range callbacks {
			// An attempt that the kill cut short is made again when its lease has run out: after fifteen seconds.
			w.eventually(40*time.Second, fmt.Sprintf("callbacks %v for %s", want, digits), func() bool {
				return slices.Equal(w.calls.statuses(ids[digits]), want)
			})
		}
		w.wantBankTruth(m)
		w.verify()

		w.eventually(10*time.Second, "the contradiction of 07 is an anomaly", func() bool {
			out, code := w.run("replay", ids["07"], "--json")
			return code == 0 && strings.Contains(out, "payout.anomaly")
		})
		// What no bank answers, two people resolve.
		evidence := filepath.Join(w.dir, "statement.txt")
		if err := os.WriteFile(evidence, []byte("not on the statement of 30 April"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, code := w.run("payout", "resolve", ids["08"], "--outcome", "not-paid", "--evidence", evidence, "--actor", "asha", "--second-actor", "asha"); code != 2 {
			t.Errorf("one person resolved a payout: exit %d", code)
		}
		w.ledger(nil, "payout", "resolve", ids["08"], "--outcome", "not-paid", "--evidence", evidence, "--actor", "asha", "--second-actor", "ravi")
		w.wantBalance(m, "93940.00", "0.00")
		w.verify()
		w.stop()
	})
}

// TestSixteenIdenticalPayouts: one 200, fifteen 409, one debit.
func TestSixteenIdenticalPayouts(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "100000.00")
		var ok, duplicate atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				switch status, o, err := w.try(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "SAME")); {
				case err == nil && status == http.StatusOK:
					ok.Add(1)
				case err == nil && status == http.StatusConflict && o.text("message") == "Duplicate request":
					duplicate.Add(1)
				default:
					t.Errorf("%d %v %v", status, o, err)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 1 || duplicate.Load() != 15 {
			t.Errorf("%d accepted, %d duplicates", ok.Load(), duplicate.Load())
		}
		w.wantBalance(m, "98990.00", "0.00")

		// The same with an Idempotency-Key: the repeat is the first answer again.
		body := payoutBody("123456789099", "2000", "KEYED")
		status, first := w.call(m, http.MethodPost, "/api/v1/services/payout/process", body, "Idempotency-Key", "k-1")
		again, second := w.call(m, http.MethodPost, "/api/v1/services/payout/process", body, "Idempotency-Key", "k-1")
		if status != 200 || again != 200 || first.text("data", "transaction", "transaction_id") != second.text("data", "transaction", "transaction_id") {
			t.Errorf("%d %v, then %d %v", status, first, again, second)
		}
		status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "3000", "OTHER"), "Idempotency-Key", "k-1")
		if status != http.StatusUnprocessableEntity || o.text("message") != "Idempotency-Key was used with a different request" {
			t.Errorf("another body under the same key: %d %v", status, o)
		}
		w.wantBalance(m, "96980.00", "0.00")
		w.verify()

		// What the command line changes, the server honours.
		for _, change := range []struct {
			name   string
			status int
		}{{"suspend", http.StatusForbidden}, {"resume", http.StatusOK}} {
			w.ledger(nil, "merchant", change.name, m.ID)
			w.eventually(5*time.Second, change.name+" is honoured", func() bool {
				status, _ := w.call(m, http.MethodGet, "/api/v1/wallet/balance", "")
				return status == change.status
			})
		}
	})
}

// TestWalletRacedByAThousand: a wallet that affords half of them pays exactly half.
func TestWalletRacedByAThousand(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
		m := w.merchant()
		w.fund(m, "505000.00") // 500 x 1010
		var ok, poor atomic.Int64
		var wg sync.WaitGroup
		for worker := range 32 {
			wg.Go(func() {
				for i := worker; i < 1000; i += 32 {
					switch status, o, err := w.try(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", fmt.Sprintf("R-%d", i))); {
					case err == nil && status == http.StatusOK:
						ok.Add(1)
					case err == nil && status == http.StatusUnprocessableEntity && o.text("message") == "Insufficient wallet balance":
						poor.Add(1)
					default:
						t.Errorf("%d %v %v", status, o, err)
					}
				}
			})
		}
		wg.Wait()
		if ok.Load() != 500 || poor.Load() != 500 {
			t.Errorf("%d paid, %d refused", ok.Load(), poor.Load())
		}
		w.eventually(60*time.Second, "all are settled", func() bool {
			available, locked := w.balance(m)
			return available == "0.00" && locked == "0.00"
		})
		w.wantBankTruth(m)
		w.verify()

		// Emptied, refused, then funded from the command line beside the server: it pays at once.
		body := payoutBody("123456789099", "1000", "AFTER")
		if status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", body); status != http.StatusUnprocessableEntity {
			t.Fatalf("an empty wallet: %d %v", status, o)
		}
		w.fund(m, "1010.00")
		if status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", body); status != http.StatusOK {
			t.Errorf("a funded wallet: %d %v", status, o)
		}
	})
}

// TestKilledUnderLoad: every answered payout is in the log after a kill, and pending work goes on.
func TestKilledUnderLoad(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--gateway-wait", "0s", "--rate-limit", "1000000")
		m := w.merchant()
		w.fund(m, "90000000.00")
		var mu sync.Mutex
		acknowledged := map[string]string{}
		next := 0
		for range 3 {
			stop := make(chan struct{})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						mu.Lock()
						next++
						ref := fmt.Sprintf("K-%d", next)
						mu.Unlock()
						status, o, err := w.try(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", ref))
						if err != nil {
							continue // the server is dead: nobody was answered
						}
						if status == http.StatusOK {
							mu.Lock()
							acknowledged[ref] = o.text("data", "transaction", "transaction_id")
							mu.Unlock()
						}
					}
				})
			}
			before := len(acknowledged)
			w.eventually(20*time.Second, "some payouts were answered", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(acknowledged) > before+50
			})
			w.kill()
			close(stop)
			wg.Wait()
			w.start(w.flags...)
		}
		for ref, id := range acknowledged {
			_, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/request/"+ref, "")
			if o.text("data", "transaction", "transaction_id") != id {
				t.Fatalf("payout %s was answered as %s; now: %v", ref, id, o)
			}
		}
		w.eventually(60*time.Second, "pending payouts were paid", func() bool {
			_, locked := w.balance(m)
			return locked == "0.00"
		})
		w.wantBankTruth(m)
		w.verify()
	})
}

// TestFromSQLiteToPostgres: an export imports elsewhere with equal hashes and balances, and carries nothing in clear.
func TestFromSQLiteToPostgres(t *testing.T) {
	dir := t.TempDir()
	a := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	a.start()
	m := a.merchant()
	a.fund(m, "5000.00")
	p := a.payin(m, "1000", "EXPORTED")
	a.pay(p.text("intent_url"), "success", "")
	if status, o := a.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("40001234567899", "1000", "P")); status != http.StatusOK {
		t.Fatalf("%d %v", status, o)
	}
	a.eventually(10*time.Second, "all is settled", func() bool { available, locked := a.balance(m); return available == "4980.00" && locked == "0.00" })
	a.stop()
	file, secrets := filepath.Join(dir, "log.ndjson"), filepath.Join(dir, "secrets.ndjson")
	a.ledger(nil, "log", "export", "-o", file)
	a.ledger(nil, "secrets", "export", "-o", secrets)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []string{"9876543210", "Asha", "Rahul", "40001234567899", m.Key} {
		if strings.Contains(string(raw), clear) {
			t.Errorf("the export holds %q in clear", clear)
		}
	}
	dir2 := t.TempDir()
	b := newWorld(t, dir2, testpg.DSN(t))
	key, err := os.ReadFile(a.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.keyFile(), key, 0o600); err != nil {
		t.Fatal(err)
	}
	b.ledger(nil, "migrate")
	b.ledger(nil, "secrets", "import", secrets)
	b.ledger(nil, "log", "import", file)
	b.ledger(nil, "log", "export", "-o", filepath.Join(dir2, "again.ndjson"))
	again, err := os.ReadFile(filepath.Join(dir2, "again.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(raw) {
		t.Error("the export of the import is another")
	}
	b.start()
	b.wantBalance(m, "4980.00", "0.00")
	b.verify()
	if status, o := b.call(m, http.MethodGet, "/api/v1/transactions/service/payout/request/P", ""); status != http.StatusOK || o.text("data", "transaction", "beneficiary_name") != "Rahul Sharma" {
		t.Errorf("the imported payout: %d %v", status, o)
	}
}

// TestLogsHoldNoSecrets: what the server logs is JSON with request ids, and nothing that is private.
func TestLogsHoldNoSecrets(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	m := w.merchant()
	w.fund(m, "5000.00")
	w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("40001234567899", "1000", "P"))
	w.call(m, http.MethodPost, "/api/v1/services/payout/process", `{"mobile_no":"9876543210","account_no":"40001234567899"`)
	w.call(testMerchant{Key: "klyro_wrong"}, http.MethodGet, "/api/v1/wallet/balance", "")
	w.stop()
	all := w.stderr.String() + w.stdout.String()
	private := []string{m.Key, "klyro_wrong", "9876543210", "Rahul", "40001234567899"}
	for _, p := range private {
		if strings.Contains(all, p) {
			t.Errorf("the log holds %q", p)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	if err != nil || len(files) < 5 {
		t.Fatalf("databases %v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range private {
			if strings.Contains(string(raw), p) {
				t.Errorf("%s holds %q in clear", filepath.Base(file), p)
			}
		}
	}
	requests := 0
	for _, line := range w.logLines() {
		if line.text("request_id") != "" {
			requests++
		}
	}
	if requests < 3 {
		t.Errorf("%d log lines carry a request id", requests)
	}
}
