package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const pathOfBatches = "/api/v1/services/payout/batches"

// as is the merchant with another key, of a role.
func (w *world) as(m testMerchant, role string) testMerchant {
	w.t.Helper()
	var added struct {
		Key string `json:"api_key"`
	}
	w.ledger(&added, "merchant", "add-key", m.ID, "--role", role)
	return testMerchant{ID: m.ID, Key: added.Key}
}

// batchFile writes a CSV of payouts of 1000.
func (w *world) batchFile(name string, count int) string {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(batchOf(count), ",B-", ","+name+"-")), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file
}

// askBatch runs the client, and reads the batch that it prints.
func (w *world) askBatch(m testMerchant, args ...string) (b batchJSON) {
	w.t.Helper()
	out, code := w.client(m, append([]string{"batch"}, append(args, "--json")...)...)
	if code != 0 || json.Unmarshal([]byte(out), &b) != nil {
		w.t.Fatalf("ledger batch %s: %d: %s", strings.Join(args, " "), code, out)
	}
	return b
}

func (w *world) untilBatch(m testMerchant, id, status string) batchJSON {
	w.t.Helper()
	var b batchJSON
	w.eventually(30*time.Second, "batch "+id+" is "+status, func() bool {
		b = w.askBatch(m, "status", id)
		return b.Status == status
	})
	return b
}

// firstItem is the first item of a batch that a query finds.
func (w *world) firstItem(m testMerchant, id, query string) object {
	w.t.Helper()
	status, o := w.call(m, http.MethodGet, pathOfBatches+"/"+id+"/items?limit=1&"+query, "")
	items, ok := o.at("data", "items").([]any)
	if !ok || len(items) != 1 {
		w.t.Fatalf("%d %v", status, o)
	}
	return items[0].(map[string]any)
}

// Two checkers approve what a maker submits; a changed rule rejects what waits; every decision is a callback.
func TestBatchOfMakersAndCheckers(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		rule := filepath.Join(w.dir, "rule.json")
		if err := os.WriteFile(rule, []byte(`{"bands":[{"up_to":"5000","checkers":1},{"checkers":2}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.start("--rate-limit", "0", "--sandbox-delay", "50ms")
		m := w.merchant()
		w.fund(m, "50000.00")
		w.ledger(nil, "merchant", "set-approval", m.ID, rule)
		maker, ravi, asha := w.as(m, "maker"), w.as(m, "checker"), w.as(m, "checker")
		if status, o := w.call(maker, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789020", "1000", "S-1")); status != http.StatusForbidden {
			t.Errorf("a single payout of a maker: %d %v", status, o)
		}
		b := w.askBatch(maker, "submit", w.batchFile("ten.csv", 10))
		if b.Status != "awaiting_approval" {
			t.Fatalf("%+v", b)
		}
		w.wantBalance(m, "50000.00", "0.00")
		for _, by := range []testMerchant{maker, ravi, ravi} {
			out, code := w.client(by, "batch", "approve", b.ID)
			if (code == 0) != (by != maker) {
				t.Errorf("%d: %s", code, out)
			}
		}
		if got := w.askBatch(m, "status", b.ID); got.Status != "awaiting_approval" {
			t.Errorf("approved by one twice: %+v", got)
		}
		w.kill()
		w.start(w.flags...)
		w.askBatch(asha, "approve", b.ID, "--note", "checked against the payroll")
		if got := w.untilBatch(m, b.ID, "completed"); got.Counts["success"] != 10 {
			t.Errorf("%+v", got)
		}
		waiting, small := w.askBatch(maker, "submit", w.batchFile("nine.csv", 9)), w.askBatch(m, "submit", w.batchFile("two.csv", 2))
		if _, o := w.call(m, http.MethodGet, pathOfBatches+"/"+small.ID, ""); o.text("data", "approvals", "needed") != "1" {
			t.Errorf("%v", o)
		}
		w.askBatch(ravi, "reject", small.ID, "--reason", "not this month")
		if err := os.WriteFile(rule, []byte(`{"bands":[{"checkers":1}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		w.ledger(nil, "merchant", "set-approval", m.ID, rule)
		w.untilBatch(m, waiting.ID, "rejected")
		w.eventually(20*time.Second, "the callbacks about batches", func() bool {
			return slices.Equal(w.calls.statuses(b.ID), []string{"processing", "completed"}) && slices.Equal(w.calls.statuses(waiting.ID), []string{"rejected"}) &&
				slices.Equal(w.calls.statuses(small.ID), []string{"rejected"})
		})
		w.wantBankTruth(m)
		w.verify()
		if out, code := w.run("replay", b.ID); code != 0 || strings.Count(out, "batch.approved") != 2 || !strings.Contains(out, "checked against the payroll") {
			t.Errorf("%d: %s", code, out)
		}
	})
}

// An atomic batch is refused with the line that stops it, and keeps nothing; when it is funded, it is held as a whole.
func TestBatchAtomic(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--rate-limit", "0", "--sandbox-delay", "2s")
		m := w.merchant()
		w.fund(m, "303000.00")
		file := w.batchFile("salaries.csv", 301)
		out, code := w.client(m, "batch", "submit", file, "--mode", "atomic")
		if code != 1 || !strings.Contains(out, "301") || !strings.Contains(out, "balance") {
			t.Errorf("%d: %s", code, out)
		}
		w.fund(m, "1010.00")
		b := w.askBatch(m, "submit", file, "--mode", "atomic")
		if available, _ := w.balance(m); available != "0.00" { // of what is locked, the bank may have paid the first by now
			t.Errorf("%s are left", available)
		}
		for range 2 {
			time.Sleep(100 * time.Millisecond)
			w.kill()
			w.start(w.flags...)
		}
		if got := w.untilBatch(m, b.ID, "completed"); got.Counts["success"] != 298 || got.Counts["refunded"] != 3 {
			t.Errorf("%+v", got)
		}
		w.wantBalance(m, "3030.00", "0.00")
		w.wantBankTruth(m)
		w.verify()
	})
}

// What the balance does not cover waits in order, over a kill, and is paid as money comes in.
func TestBatchQueued(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--rate-limit", "0", "--sandbox-delay", "50ms")
		m := w.merchant()
		w.fund(m, "50500.00") // for 50
		first := w.askBatch(m, "submit", w.batchFile("first.csv", 60), "--queue")
		second := w.askBatch(m, "submit", w.batchFile("second.csv", 60), "--queue")
		w.eventually(30*time.Second, "what can be paid is paid", func() bool { return w.askBatch(m, "status", first.ID).Counts["success"] == 50 })
		if got := w.askBatch(m, "status", second.ID); got.Counts["queued"] != 60 || w.askBatch(m, "status", first.ID).Counts["queued"] != 10 {
			t.Errorf("%+v", got)
		}
		w.kill()
		w.start(w.flags...)
		w.fund(m, "30300.00") // for 30 more
		w.eventually(30*time.Second, "what can be paid is paid", func() bool { return w.askBatch(m, "status", second.ID).Counts["success"] == 20 })
		if first := w.firstItem(m, second.ID, "status=queued"); first.text("index") != "21" {
			t.Errorf("%v", first)
		}
		w.askBatch(m, "cancel", second.ID, "--reason", "enough")
		if got := w.untilBatch(m, second.ID, "cancelled"); got.Counts["cancelled"] != 40 {
			t.Errorf("%+v", got)
		}
		w.untilBatch(m, first.ID, "completed")
		w.wantBalance(m, "0.00", "0.00")
		w.wantBankTruth(m)
		w.verify()
	})
}

// What definitely failed is retried in a batch of its own, once; what is scheduled waits for its time.
func TestBatchRetriedAndScheduled(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--rate-limit", "0", "--sandbox-delay", "50ms")
		m := w.merchant()
		w.fund(m, "200000.00")
		status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789020", "1000", "march.csv-7"))
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, o)
		}
		later := w.askBatch(m, "submit", w.batchFile("later.csv", 3), "--schedule-at", time.Now().Add(8*time.Second).UTC().Format(time.RFC3339))
		b := w.askBatch(m, "submit", w.batchFile("march.csv", 100))
		if got := w.untilBatch(m, b.ID, "completed"); got.Counts["success"] != 98 || got.Counts["refunded"] != 1 || got.Counts["rejected"] != 1 {
			t.Fatalf("%+v", got)
		}
		retry := w.askBatch(m, "retry-failed", b.ID)
		if again := w.askBatch(m, "retry-failed", b.ID); again.ID != retry.ID || retry.ID == b.ID {
			t.Errorf("%s, and then %s", retry.ID, again.ID)
		}
		if got := w.untilBatch(m, retry.ID, "completed"); got.Counts["refunded"] != 1 || got.Counts["success"] != 0 {
			t.Errorf("%+v", got)
		}
		if first := w.firstItem(m, retry.ID, ""); first.text("partner_request_id") != "march.csv-100-r1" {
			t.Errorf("%v", first)
		}
		w.eventually(30*time.Second, "the scheduled one is paid", func() bool { return w.askBatch(m, "status", later.ID).Counts["success"] == 3 })
		w.wantBankTruth(m)
		w.verify()
	})
}
