package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// operate sends a request to the operator API.
func (w *world) operate(key, method, path, body string) (int, object) {
	w.t.Helper()
	return w.call(testMerchant{}, method, path, body, "X-Operator-Key", key)
}

// announced is a batch whose items are still to come: it can be stopped, and nothing else happens to it meanwhile.
func (w *world) announced(m testMerchant, ref string) string {
	w.t.Helper()
	of := batch.Of{Merchant: m.ID, Currency: money.INR, Batch: newID("bat_")}
	flags := &storeFlags{DB: w.db, MasterKeyFile: w.keyFile()}
	err := deciding(w.t.Context(), flags, &terminal{&bytes.Buffer{}, &bytes.Buffer{}}, func(_ *stores, l *ledger.Ledger) error {
		_, err := l.SubmitBatch(w.t.Context(), batch.Submit{
			Base: batch.Base{Of: of, At: present(), Actor: "key:test"}, Ref: ref, Digest: ref,
			Terms: batch.Terms{Approval: batch.NoApproval, Rule: 1}, Count: 2, Amount: money.MustParse("2000", money.INR), Commission: money.MustParse("20", money.INR),
		}, eventstore.Origin{Actor: "key:test"})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return of.Batch
}

// The platform sets who must approve, and stops a batch: over the operator API, and on the log itself.
func TestOperatorsOfBatches(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		var op struct {
			ID  string `json:"operator_id"`
			Key string `json:"api_key"`
		}
		w.ledger(&op, "operator", "create", "--name", "Asha", "--role", "maker")

		const rule = `{"bands":[{"up_to":"100000.00","checkers":0},{"checkers":2}],"reason":"audit"}`
		approval := "/ops/v1/merchants/" + m.ID + "/approval"
		if status, o := w.operate(op.Key, http.MethodPut, approval, rule); status != http.StatusOK || o.text("data", "approval", "version") != "1" {
			t.Fatalf("%d %v", status, o)
		}
		file := filepath.Join(w.dir, "rule.json")
		if err := os.WriteFile(file, []byte(rule), 0o600); err != nil {
			t.Fatal(err)
		}
		var shown struct {
			Approval json.RawMessage `json:"approval"`
		}
		const is = `{"version":1,"bands":[{"up_to":"100000","checkers":0},{"checkers":2}]}`
		for _, args := range [][]string{{"set-approval", m.ID, file}, {"show", m.ID}} {
			w.ledger(&shown, append([]string{"merchant"}, args...)...)
			if string(shown.Approval) != is {
				t.Errorf("%v: %s", args, shown.Approval)
			}
		}
		if _, o := w.operate(op.Key, http.MethodGet, approval, ""); o.text("data", "approval", "version") != "1" {
			t.Errorf("%v", o)
		}

		ours, theirs := w.announced(m, "one"), w.announced(m, "two")
		cancel := "/ops/v1/merchants/" + m.ID + "/batches/" + ours + "/cancel"
		for range 2 { // the second one changes nothing
			status, o := w.operate(op.Key, http.MethodPost, cancel, `{"reason":"stolen key"}`)
			if status != http.StatusOK || o.text("data", "batch", "status") != "cancelled" || o.text("data", "batch", "actor") != "operator:"+op.ID {
				t.Errorf("%d %v", status, o)
			}
		}
		if status, _ := w.operate(op.Key, http.MethodPost, strings.Replace(cancel, ours, newID("bat_"), 1), `{"reason":"r"}`); status != http.StatusNotFound {
			t.Errorf("a batch that is not there: %d", status)
		}
		w.stop()

		var stopped batchStopped
		want := batchStopped{m.ID, theirs, "two", batch.Cancelled, 2, "ravi", "wrong file"}
		for _, reason := range []string{"wrong file", "again"} {
			w.ledger(&stopped, "merchant", "cancel-batch", m.ID, theirs, "--reason", reason, "--actor", "ravi")
			if stopped != want {
				t.Errorf("%+v, want %+v", stopped, want)
			}
		}
		for id, actor := range map[string]string{ours: "operator:" + op.ID, theirs: "ravi"} {
			out, code := w.run("replay", id, "--json")
			if code != 0 || strings.Count(out, `"batch.cancelled"`) != 1 || !strings.Contains(out, actor) {
				t.Errorf("%d: %s", code, out)
			}
		}
		w.verify()
	})
}
