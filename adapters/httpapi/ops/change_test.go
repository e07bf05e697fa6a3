package ops_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// SubmitMerchant decides as the ledger does, on the office's merchants.
func (o *office) SubmitMerchant(_ context.Context, c merchant.Command, from eventstore.Origin) (merchant.Merchant, error) {
	o.changes, o.origins = append(o.changes, c), append(o.origins, from)
	for i := range o.merchants {
		m := &o.merchants[i]
		if m.ID != c.Target().Merchant {
			continue
		}
		events, err := merchant.Decide(m, c)
		for _, e := range events {
			m.Evolve(e)
		}
		return *m, errors.Join(err, o.fault)
	}
	return merchant.Merchant{}, domain.Errorf(domain.NotFound, "none")
}

// Cancel knows one batch that can be cancelled, and one that has ended.
func (o *office) Cancel(_ context.Context, of batch.Of, reason string, from eventstore.Origin) (batch.Batch, error) {
	o.cancelled, o.origins = append(o.cancelled, of), append(o.origins, from)
	switch of.Batch {
	case running:
		return batch.Batch{
			Of: of, Ref: "salaries", Status: batch.Cancelled, Count: 3, Amount: money.MustParse("3000", money.INR),
			Commission: money.MustParse("30", money.INR), Decided: from.Actor, Reason: reason,
		}, o.fault
	case ended:
		return batch.Batch{}, domain.Errorf(domain.Stale, "nothing left")
	}
	return batch.Batch{}, domain.Errorf(domain.NotFound, "none")
}

const (
	running      = "bat_running000000000"
	ended        = "bat_ended00000000000"
	approvalPath = "/ops/v1/merchants/mer_a/approval"
	cancelPath   = "/ops/v1/merchants/mer_a/batches/" + running + "/cancel"
	rule         = `{"bands":[{"up_to":"100000.00","checkers":0},{"up_to":1000000,"checkers":1},{"checkers":2}],"reason":"audit"}`
)

// send returns a function that sends JSON with an operator's key.
func send(o *office, opts ops.Options) func(method, path, key, body string) *httptest.ResponseRecorder {
	h := front(o, opts)
	return func(method, path, key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-Operator-Key", key)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", "req-1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

func TestApproval(t *testing.T) {
	o := newOffice()
	var logs bytes.Buffer
	do := send(o, ops.Options{Logger: slog.New(slog.NewJSONHandler(&logs, nil))})
	answer := func(rule string) string { return `{"success":true,"data":{"approval":` + rule + `}}` }
	const first = `{"version":1,"bands":[{"up_to":"100000","checkers":0},{"up_to":"1000000","checkers":1},{"checkers":2}]}`

	expect(t, do("GET", approvalPath, "auditor", ""), 200, answer(`{"version":0,"bands":[]}`))
	expect(t, do("PUT", approvalPath, "maker", rule), 200, answer(first))
	expect(t, do("GET", approvalPath, "auditor", ""), 200, answer(first))
	expect(t, do("PUT", approvalPath, "owner", rule), 200, answer(first))
	expect(t, do("PUT", approvalPath, "owner", `{"bands":[]}`), 200, answer(`{"version":2,"bands":[]}`))
	expect(t, do("GET", "/ops/v1/merchants/mer_b/approval", "auditor", ""), 200, answer(`{"version":0,"bands":[]}`))

	want := merchant.SetApproval{
		Of: merchant.Of{Merchant: "mer_a", Actor: "operator:opr_maker"}, Reason: "audit",
		Bands: []merchant.Band{{UpTo: decimal.RequireFromString("100000.00")}, {UpTo: decimal.NewFromInt(1000000), Checkers: 1}, {Checkers: 2}},
	}
	if got := o.changes[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("commanded %+v\n    want %+v", got, want)
	}
	wantOrigin(t, o.origins[0], "operator:opr_maker", rule)
	if !strings.Contains(logs.String(), `"request_id":"req-1","operator":"opr_maker","merchant":"mer_a","version":1`) {
		t.Errorf("logged %s", &logs)
	}
}

func wantOrigin(t *testing.T, got eventstore.Origin, actor, body string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	want := eventstore.Origin{
		Actor: actor, Request: "req-1", BodyHash: hex.EncodeToString(sum[:]), Evidence: []eventstore.Evidence{
			{MediaType: "application/json", Body: []byte(body)},
			{MediaType: "application/vnd.khata.origin+json",
				Body: []byte(`{"operator_id":"` + strings.TrimPrefix(actor, "operator:") + `","client_ip":"192.0.2.1","request_id":"req-1"}`)},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("origin %+v\n  want %+v", got, want)
	}
}

func TestCancelBatch(t *testing.T) {
	o := newOffice()
	var logs bytes.Buffer
	do := send(o, ops.Options{Logger: slog.New(slog.NewJSONHandler(&logs, nil))})
	expect(t, do("POST", cancelPath, "maker", `{"reason":"stolen key"}`), 200,
		`{"success":true,"data":{"batch":{"batch_id":"`+running+`","merchant_id":"mer_a","batch_ref":"salaries","status":"cancelled","total":3,`+
			`"amount":"3000.00","commission":"30.00","currency":"INR","actor":"operator:opr_maker","reason":"stolen key"}}}`)
	if want := (batch.Of{Merchant: "mer_a", Currency: money.INR, Batch: running}); o.cancelled[0] != want {
		t.Errorf("cancelled %+v", o.cancelled)
	}
	wantOrigin(t, o.origins[0], "operator:opr_maker", `{"reason":"stolen key"}`)
	if !strings.Contains(logs.String(), `"operator":"opr_maker","merchant":"mer_a","batch":"`+running+`"`) {
		t.Errorf("logged %s", &logs)
	}

	why := `{"reason":"r"}`
	expect(t, do("POST", strings.Replace(cancelPath, running, ended, 1), "owner", why), 409, failure("Batch has nothing left to cancel"))
	expect(t, do("POST", strings.Replace(cancelPath, running, "bat_unknown000000000", 1), "owner", why), 404, failure("Not found"))
	asked := len(o.cancelled)
	for _, path := range []string{
		strings.Replace(cancelPath, "mer_a", "mer_x", 1), strings.Replace(cancelPath, "mer_a", "%00", 1),
		strings.Replace(cancelPath, running, "bat_RUNNING000000000", 1), strings.Replace(cancelPath, running, "bat_1", 1),
		strings.Replace(cancelPath, running, "txn_running000000000", 1), strings.Replace(cancelPath, running, "%00", 1),
	} {
		expect(t, do("POST", path, "owner", why), 404, failure("Not found"))
	}
	if len(o.cancelled) != asked {
		t.Errorf("the service was asked for %+v", o.cancelled[asked:])
	}
}

func TestWhoChanges(t *testing.T) {
	o := newOffice()
	do := send(o, ops.Options{})
	for role, may := range map[string]bool{"owner": true, "maker": true, "checker": false, "auditor": false, "support": false, "stranger": false} {
		want := 403
		if may {
			want = 200
		}
		if w := do("PUT", approvalPath, role, rule); w.Code != want {
			t.Errorf("%s sets the rule: %d, want %d", role, w.Code, want)
		}
		if w := do("POST", cancelPath, role, `{"reason":"r"}`); w.Code != want {
			t.Errorf("%s cancels: %d, want %d", role, w.Code, want)
		}
	}
	for _, role := range []string{"nobody", "gone"} {
		if w := do("PUT", approvalPath, role, rule); w.Code != 401 {
			t.Errorf("%s sets the rule: %d", role, w.Code)
		}
	}
	if len(o.changes) != 2 || len(o.cancelled) != 2 {
		t.Errorf("changes %+v, cancelled %+v", o.changes, o.cancelled)
	}
}

func TestBadChanges(t *testing.T) {
	o := newOffice()
	do := send(o, ops.Options{})
	wrong := func(errors string) string {
		return `{"success":false,"message":"Validation failed","data":null,"errors":{` + errors + `}}`
	}
	for body, want := range map[string]string{
		`{}`: `"bands":["The bands is missing."]`,
		`{"bands":[{"up_to":"5","checkers":0},{"up_to":"4","checkers":1},{"checkers":2}]}`: `"bands[1].up_to":["The bands[1].up_to must be more than that of the band before."]`,
		`{"bands":[{"up_to":"5","checkers":0}]}`:                                           `"bands[0].up_to":["The bands[0].up_to must be absent: the last band takes the rest."]`,
		`{"bands":[{"checkers":3}]}`:                                                       `"bands[0].checkers":["The bands[0].checkers must be from 0 to 2."]`,
		`{"bands":[{}]}`:                                                                   `"bands[0].checkers":["The bands[0].checkers is missing."]`,
		`{"bands":[],"version":4}`:                                                         `"version":["The version is not a field of an approval rule."]`,
		`{"bands":[{"up_to":"5.003","checkers":0},{"checkers":1}]}`:                        `"bands[0].up_to":["The bands[0].up_to 5.003 INR has more than 2 decimals."]`,
		`{"bands":[],"reason":" "}`:                                                        `"reason":["The reason must not be blank."]`,
		`{"bands":[],"reason":"a\u0000b"}`:                                                 `"reason":["The reason must not contain control characters."]`,
		`{"bands":[],"reason":"` + strings.Repeat("x", 501) + `"}`:                         `"reason":["The reason must not be longer than 500 bytes."]`,
	} {
		expect(t, do("PUT", approvalPath, "owner", body), 422, wrong(want))
	}
	for body, want := range map[string]string{
		`{}`:                       `"reason":["The reason is missing."]`,
		`{"reason":null}`:          `"reason":["The reason must be a string."]`,
		`{"reason":7}`:             `"reason":["The reason must be a string."]`,
		`{"reason":"\t "}`:         `"reason":["The reason must not be blank."]`,
		`{"reason":"a\nb"}`:        `"reason":["The reason must not contain control characters."]`,
		`{"reason":"r","why":"w"}`: `"why":["The why is not known."]`,
		`{"reason":"` + strings.Repeat("x", 501) + `"}`: `"reason":["The reason must not be longer than 500 bytes."]`,
	} {
		expect(t, do("POST", cancelPath, "owner", body), 422, wrong(want))
	}
	for _, to := range []struct{ method, path string }{{"PUT", approvalPath}, {"POST", cancelPath}} {
		for _, body := range []string{``, `[]`, `{`, `{"reason":"r"}x`, `{"reason":"r","reason":"r"}`, "{\"reason\":\"\xff\"}"} {
			expect(t, do(to.method, to.path, "owner", body), 400, failure("Malformed JSON"))
		}
		expect(t, do(to.method, to.path, "owner", `{"reason":"`+strings.Repeat("x", 20<<10)+`"}`), 413, failure("Request body is too large"))
	}
	r := httptest.NewRequest(http.MethodPut, approvalPath, strings.NewReader(rule))
	r.Header.Set("X-Operator-Key", "owner")
	w := httptest.NewRecorder()
	front(o, ops.Options{}).ServeHTTP(w, r)
	expect(t, w, 415, failure("Content-Type must be application/json"))
	expect(t, do("PUT", strings.Replace(approvalPath, "mer_a", "mer_x", 1), "owner", rule), 404, failure("Not found"))
	expect(t, do("PUT", strings.Replace(approvalPath, "mer_a", "%00", 1), "owner", rule), 404, failure("Not found"))
	expect(t, do("GET", strings.Replace(approvalPath, "mer_a", "mer_x", 1), "owner", ""), 404, failure("Not found"))
	if len(o.cancelled) != 0 || o.merchants[0].Approval.Version != 0 {
		t.Errorf("cancelled %+v, rule %+v", o.cancelled, o.merchants[0].Approval)
	}
}

func TestFaultsOfChanges(t *testing.T) {
	o := newOffice()
	do := send(o, ops.Options{})
	o.fault = errors.New("password=hunter2")
	for _, w := range []*httptest.ResponseRecorder{
		do("GET", approvalPath, "owner", ""), do("PUT", approvalPath, "owner", rule), do("POST", cancelPath, "owner", `{"reason":"r"}`),
	} {
		expect(t, w, 503, failure("Service temporarily unavailable, please try again"))
		if w.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
}
