package main

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
)

// operation is an endpoint of a description whose path has parameters.
type operation struct {
	method, path string
	params       []string
}

// parametric lists the operations of a description whose paths have parameters.
func parametric(t *testing.T, description []byte) (all []operation) {
	t.Helper()
	var spec struct {
		Paths map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(description, &spec); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\{([a-z_]+)\}`)
	for path, methods := range spec.Paths {
		for method := range methods {
			if o := (operation{method: strings.ToUpper(method), path: path}); slices.Contains([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, o.method) {
				for _, m := range names.FindAllStringSubmatch(path, -1) {
					o.params = append(o.params, m[1])
				}
				if len(o.params) > 0 {
					all = append(all, o)
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return all
}

// plainly sends a request and returns its answer as it came.
func (w *world) plainly(key, method, path string) (int, string) {
	w.t.Helper()
	body := io.Reader(http.NoBody)
	if method == http.MethodPost {
		body = strings.NewReader(`{"reason":"mine"}`)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.addr+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	req.Header.Set("X-Request-Id", "the-same")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := w.httpc.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// Every endpoint of the description that takes an id answers a stranger's id as one that does not exist, to the byte, and does nothing to what it
// names: nobody can act on, read, or find out about what is another merchant's.
func TestIdsOfStrangers(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	owner, stranger := w.merchant(), w.merchant()
	w.fund(owner, "50000.00")
	payin := w.payin(owner, "1000", "O-1")
	_, paid := w.call(owner, "POST", "/api/v1/services/payout/process", payoutBody("40001234567899", "1000", "P-1"))
	// A batch that waits for an approval, which a stranger might give or refuse.
	status, batch := w.call(owner, "POST", "/api/v1/services/payout/batches", `{"batch_ref":"B-1","approval":"required","items":[`+payoutBody("40001234567899", "1000", "B-1-1")+`]}`)
	if status != http.StatusAccepted {
		t.Fatalf("batch: %d %v", status, batch)
	}
	mine := map[string]string{
		"txn_ref": payin.text("txn_ref"), "order_id": "O-1", "transaction_id": paid.text("data", "transaction", "transaction_id"),
		"partner_request_id": "P-1", "batch_id": batch.text("data", "batch_id"),
	}
	nobody := map[string]string{
		"txn_ref": "PAYIN-REF-ZZZZZZZZZZ", "order_id": "O-2", "transaction_id": "txn_zzzzzzzzzzzzzzzz", "partner_request_id": "P-2", "batch_id": "bat_zzzzzzzzzzzzzzzz",
	}
	all := parametric(t, klyropay.OpenAPI())
	if len(all) < 11 {
		t.Fatalf("the description has only %d endpoints with ids", len(all))
	}
	whole := func(key string) string {
		text := ""
		for _, path := range []string{"/api/v1/payin/transactions", "/api/v1/transactions/service/payout", "/api/v1/services/payout/batches", "/api/v1/wallet/balance"} {
			_, answer := w.plainly(key, "GET", path)
			text += answer + "\n"
		}
		return text
	}
	w.eventually(20*time.Second, "the payout is settled", func() bool {
		_, o := w.call(owner, "GET", "/api/v1/transactions/service/payout/request/P-1", "")
		return o.text("data", "transaction", "status") == "success"
	})
	before, others := whole(owner.Key), whole(stranger.Key)
	for _, o := range all {
		at := func(ids map[string]string) string {
			path := o.path
			for _, p := range o.params {
				if ids[p] == "" {
					t.Fatalf("%s: the test has no id for {%s}", o.path, p)
				}
				path = strings.ReplaceAll(path, "{"+p+"}", ids[p])
			}
			return path
		}
		status, answer := w.plainly(stranger.Key, o.method, at(mine))
		wanted, missing := w.plainly(stranger.Key, o.method, at(nobody))
		if status != wanted || answer != missing || status < 400 || status == http.StatusForbidden {
			t.Errorf("%s %s: a stranger's is answered %d %s; what does not exist %d %s", o.method, o.path, status, answer, wanted, missing)
		}
		if status, answer := w.plainly("klyro_guess", o.method, at(mine)); status != http.StatusUnauthorized {
			t.Errorf("%s %s: without a key it is answered %d %s", o.method, o.path, status, answer)
		}
		if o.method == http.MethodGet {
			if status, answer := w.plainly(owner.Key, o.method, at(mine)); status != http.StatusOK {
				t.Errorf("%s %s: its owner is answered %d %s", o.method, o.path, status, answer)
			}
		}
	}
	if after := whole(owner.Key); after != before {
		t.Errorf("a stranger has changed something:\n%s\n%s", before, after)
	}
	if strings.Contains(others, "O-1") || whole(stranger.Key) != others {
		t.Error(fmt.Sprint("a stranger's lists have changed: ", others))
	}
}
