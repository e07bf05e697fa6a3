package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A batch whose server is killed again and again has one outcome for each line, pays nothing twice, and agrees with the bank.
func TestBatchKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--gateway-wait", "0s", "--rate-limit", "0", "--sandbox-delay", "50ms")
		m := w.merchant()
		w.fund(m, "9000000.00")
		status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789020", "1000", "B-7"))
		if status != http.StatusOK {
			t.Fatalf("%d %v", status, o)
		}
		const count = 700
		file := filepath.Join(w.dir, "batch.csv")
		if err := os.WriteFile(file, []byte(batchOf(count)), 0o600); err != nil {
			t.Fatal(err)
		}
		ask := func(args ...string) (b batchJSON) {
			t.Helper()
			out, code := w.client(m, append([]string{"batch"}, append(args, "--json")...)...)
			if code != 0 || json.Unmarshal([]byte(out), &b) != nil {
				t.Fatalf("%d: %s", code, out)
			}
			return b
		}
		b := ask("submit", file)
		for range 3 {
			time.Sleep(150 * time.Millisecond) // anywhere in the middle
			w.kill()
			w.start(w.flags...)
		}
		if again := ask("submit", file); again.ID != b.ID {
			t.Errorf("the same file made batch %s, and then %s", b.ID, again.ID)
		}
		unpaid := filepath.Join(w.dir, "unpaid.csv")
		b = ask("status", b.ID, "--watch", "--failures", unpaid)
		if b.Status != "completed" || b.Counts["success"] != count-1-count/100 || b.Counts["refunded"] != count/100 || b.Counts["rejected"] != 1 {
			t.Errorf("%+v", b)
		}
		rows, err := os.ReadFile(unpaid)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(rows), "\n"); n != 1+count/100+1 || !strings.Contains(string(rows), "B-7,,rejected,,") {
			t.Errorf("%d lines:\n%s", n, rows)
		}
		w.eventually(20*time.Second, "one callback about the batch itself", func() bool {
			return slices.Equal(w.calls.statuses(b.ID), []string{"completed"})
		})
		w.wantBankTruth(m)
		w.verify()
		if out, code := w.run("replay", b.ID); code != 0 || !strings.Contains(out, "batch.completed") {
			t.Errorf("%d: %s", code, out)
		}
	})
}

// batchOf is a CSV of payouts of 1000; of each hundred, the bank refuses one.
func batchOf(count int) string {
	var b strings.Builder
	b.WriteString("mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,partner_request_id\r\n")
	for i := 1; i <= count; i++ {
		ending := "20"
		if i%100 == 0 {
			ending = "02"
		}
		fmt.Fprintf(&b, "9876543210,Asha Verma,4009%06d%s,HDFC0001234,HDFC Bank,\"1,000\",5,B-%d\r\n", i, ending, i)
	}
	return b.String()
}

// A file with mistakes is told all of them, and keeps nothing.
func TestBatchWithMistakes(t *testing.T) {
	t.Parallel()
	w := storeIn(t)
	w.start()
	m := w.merchant()
	file := filepath.Join(w.dir, "batch.csv")
	rows := strings.Split(batchOf(6), "\r\n")
	rows[2] = strings.Replace(rows[2], "400900000220", "4.00900E+11", 1)
	rows[4] = strings.Replace(rows[4], "HDFC0001234", "HDFC", 1)
	if err := os.WriteFile(file, []byte(strings.Join(rows, "\r\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := w.client(m, "batch", "submit", file)
	for _, want := range []string{"line 3, column 3 (account_no)", "scientific notation", "line 5, column 4 (ifsc)"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%d: %s\nlacks %q", code, out, want)
		}
	}
	if _, o := w.call(m, http.MethodGet, "/api/v1/services/payout/batches", ""); len(o.at("data", "batches").([]any)) != 0 {
		t.Errorf("%v", o)
	}
}
