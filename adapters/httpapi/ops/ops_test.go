package ops_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

var day = time.Date(2024, 4, 30, 10, 0, 0, 0, time.UTC)

// office is all that the API works with, in memory.
type office struct {
	operators  map[string]merchant.Operator // by key hash
	merchants  []merchant.Merchant
	suspense   []projections.SuspenseEntry
	deliveries []ops.Delivery
	events     map[string][]ops.Event
	asked      []any // queries, as they came
	resent     []string
	changes    []merchant.Command
	cancelled  []batch.Of
	origins    []eventstore.Origin // of changes and cancellations
	fault      error
	slow       chan struct{} // nil: it is not
}

func (o *office) OperatorByKeyHash(_ context.Context, hash string) (merchant.Operator, bool, error) {
	found, ok := o.operators[hash]
	return found, ok, nil
}

func (o *office) Merchants(_ context.Context, after string, limit int) ([]merchant.Merchant, error) {
	var page []merchant.Merchant
	for _, m := range o.merchants {
		if m.ID > after && len(page) < limit {
			page = append(page, m)
		}
	}
	return page, o.fault
}

func (o *office) Merchant(_ context.Context, id string) (merchant.Merchant, error) {
	for _, m := range o.merchants {
		if m.ID == id {
			return m, o.fault
		}
	}
	return merchant.Merchant{}, domain.Errorf(domain.NotFound, "none")
}

func (o *office) SuspenseList(_ context.Context, f projections.SuspenseFilter) ([]projections.SuspenseEntry, error) {
	o.asked = append(o.asked, f)
	return o.suspense, o.fault
}

func (o *office) List(_ context.Context, q ops.DeliveryQuery) ([]ops.Delivery, string, error) {
	o.asked = append(o.asked, q)
	if q.Cursor == "bad" {
		return nil, "", domain.InvalidField("cursor", "is not one that a list has given")
	}
	return o.deliveries, "next", o.fault
}

func (o *office) Resend(_ context.Context, id string) (ops.Delivery, error) {
	if id != "cb_1" {
		return ops.Delivery{}, domain.Errorf(domain.NotFound, "none")
	}
	o.resent = append(o.resent, id)
	return ops.Delivery{ID: id, Status: "pending", CreatedAt: day}, nil
}

func (o *office) Timeline(_ context.Context, id string) ([]ops.Event, error) {
	events, ok := o.events[id]
	if !ok {
		return nil, domain.Errorf(domain.NotFound, "none")
	}
	return events, o.fault
}

func newOffice() *office {
	o := &office{operators: map[string]merchant.Operator{}, events: map[string][]ops.Event{}}
	for _, r := range []merchant.Role{merchant.Owner, merchant.Maker, merchant.Checker, merchant.Auditor, merchant.Support, "stranger"} {
		o.operators[sha(string(r))] = merchant.Operator{ID: "opr_" + string(r), Role: r}
	}
	o.operators[sha("gone")] = merchant.Operator{ID: "opr_gone", Role: merchant.Owner, Key: merchant.Key{Revoked: true}}
	for _, id := range []string{"mer_a", "mer_b"} {
		o.merchants = append(o.merchants, merchant.Merchant{
			ID: id, Name: "Shop & Co", Services: []merchant.Service{merchant.Payin}, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
			Keys: []merchant.Key{{ID: "key_1", Hash: "SECRETHASH", Last4: "abcd", Role: merchant.Full, CreatedAt: day}}, Plan: fee.Default(), CreatedAt: day,
		})
	}
	o.suspense = []projections.SuspenseEntry{{
		ID: "sus_1", Merchant: "mer_a", Payment: "txn_1", Status: projections.SuspenseOpen, Amount: money.MustParse("500", money.INR),
		Asked: money.MustParse("1000", money.INR), Cause: "amount_mismatch", OpenedAt: day,
	}}
	o.deliveries = []ops.Delivery{{ID: "cb_1", Merchant: "mer_a", Status: "failed", Attempts: 5, CreatedAt: day}}
	o.events["txn_1"] = []ops.Event{{
		Position: "0:7", Type: "payout.initiated", EffectiveAt: day, RecordedAt: day, Actor: "key:key_1", Hash: "00",
		Data:   json.RawMessage(`{"amount":"5000.00","account_last4":"7890","account_fp":"SECRETFP","sealed":"SECRETSEAL","fee":{"plan":"default"}}`),
		Before: &ops.Balances{Available: "6000.00", Locked: "0.00", Owed: "0.00"}, After: &ops.Balances{Available: "990.00", Locked: "5010.00", Owed: "0.00"},
	}}
	return o
}

func sha(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// front is the API behind everything that a request passes.
func front(o *office, opts ops.Options) http.Handler {
	opts.Clock = func() time.Time { return day }
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: o, Deliveries: o, Timeline: o, Merchants: o, Batches: o, Books: o}, opts).Register(rt)
	return &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
}

// serve returns a function that asks with an operator's key.
func serve(o *office, opts ops.Options) func(method, path, key string) *httptest.ResponseRecorder {
	h := front(o, opts)
	return func(method, path, key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		if key != "" {
			r.Header.Set("X-Operator-Key", key)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

func expect(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || w.Body.String() != body {
		t.Errorf("answered %d %s\n    want %d %s", w.Code, w.Body, status, body)
	}
}

func failure(message string) string {
	return `{"success":false,"message":"` + message + `","data":null}`
}

func TestGuard(t *testing.T) {
	ask := serve(newOffice(), ops.Options{})
	expect(t, ask("GET", "/ops/v1/merchants", ""), 401, failure("Operator key is missing"))
	expect(t, ask("GET", "/ops/v1/merchants", "nobody"), 401, failure("Invalid operator key"))
	expect(t, ask("GET", "/ops/v1/merchants", strings.Repeat("k", 300)), 401, failure("Invalid operator key"))
	expect(t, ask("GET", "/ops/v1/merchants", "gone"), 401, failure("Operator key is inactive or expired"))
	expect(t, ask("GET", "/ops/v1/merchants", "stranger"), 403, failure("Your role does not allow this"))
	expect(t, ask("POST", "/ops/v1/merchants", "owner"), 405, failure("Method not allowed"))
	for role, may := range map[string]bool{"owner": true, "maker": true, "checker": false, "auditor": false, "support": false} {
		for _, path := range []string{"/ops/v1/merchants", "/ops/v1/merchants/mer_a", "/ops/v1/suspense", "/ops/v1/deliveries", "/ops/v1/transactions/txn_1"} {
			if w := ask("GET", path, role); w.Code != 200 {
				t.Errorf("%s reads %s: %d", role, path, w.Code)
			}
		}
		want := 403
		if may {
			want = 200
		}
		if w := ask("POST", "/ops/v1/deliveries/cb_1/resend", role); w.Code != want {
			t.Errorf("%s resends: %d, want %d", role, w.Code, want)
		}
	}
}

func TestLimits(t *testing.T) {
	ask := serve(newOffice(), ops.Options{RateLimit: 1, FailureLimit: 1})
	if w := ask("GET", "/ops/v1/merchants", "owner"); w.Code != 200 {
		t.Errorf("%d", w.Code)
	}
	w := ask("GET", "/ops/v1/merchants", "owner")
	expect(t, w, 429, failure("Rate limit exceeded"))
	if w.Header().Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	if w := ask("GET", "/ops/v1/merchants", "nobody"); w.Code != 401 {
		t.Errorf("%d", w.Code)
	}
	expect(t, ask("GET", "/ops/v1/merchants", "nobody"), 429, failure("Rate limit exceeded"))
}

func TestReads(t *testing.T) {
	o := newOffice()
	ask := serve(o, ops.Options{})
	shop := `{"id":"mer_a","name":"Shop \u0026 Co","services":["payin"],"keys":[{"id":"key_1","last4":"abcd","role":"full","created_at":"2024-04-30T10:00:00Z","active":true}],"allowed_ips":["203.0.113.0/24"],"callback_url":"","batch_updates":true,"plan":`
	plan, err := json.Marshal(fee.Default())
	if err != nil {
		t.Fatal(err)
	}
	shop += string(plan) + `,"approval":{"version":0,"bands":[]},"suspended":false,"created_at":"2024-04-30T10:00:00Z"}`
	expect(t, ask("GET", "/ops/v1/merchants/mer_a", "auditor"), 200, `{"success":true,"data":{"merchant":`+shop+`}}`)
	expect(t, ask("GET", "/ops/v1/merchants?limit=1", "auditor"), 200, `{"success":true,"data":{"merchants":[`+shop+`],"next_after":"mer_a"}}`)
	expect(t, ask("GET", "/ops/v1/merchants?after=mer_b", "auditor"), 200, `{"success":true,"data":{"merchants":[]}}`)
	expect(t, ask("GET", "/ops/v1/merchants/mer_x", "auditor"), 404, failure("Not found"))
	expect(t, ask("GET", "/ops/v1/merchants/%00", "auditor"), 404, failure("Not found"))

	expect(t, ask("GET", "/ops/v1/suspense?status=open&merchant=mer_a&after=sus_0&limit=1", "support"), 200,
		`{"success":true,"data":{"suspense":[{"id":"sus_1","merchant_id":"mer_a","transaction_id":"txn_1","status":"open","amount":"500.00","asked":"1000.00","currency":"INR","cause":"amount_mismatch","gateway":"","payment_id":"","utr":"","opened_at":"2024-04-30T10:00:00Z"}],"next_after":"sus_1"}}`)
	if f := o.asked[0]; f != (projections.SuspenseFilter{Status: "open", Merchant: "mer_a", After: "sus_0", Limit: 1}) {
		t.Errorf("asked for %+v", f)
	}
	expect(t, ask("GET", "/ops/v1/deliveries?status=failed&merchant=mer_a", "support"), 200,
		`{"success":true,"data":{"deliveries":[{"id":"cb_1","merchant_id":"mer_a","transaction_id":"","event":"","position":"","payment_status":"","status":"failed","attempts":5,"created_at":"2024-04-30T10:00:00Z"}],"next_cursor":"next"}}`)
	if q := o.asked[1]; q != (ops.DeliveryQuery{Merchant: "mer_a", Status: "failed", Limit: ops.DefaultLimit}) {
		t.Errorf("asked for %+v", q)
	}
	w := ask("GET", "/ops/v1/transactions/txn_1", "support")
	expect(t, w, 200, `{"success":true,"data":{"transaction_id":"txn_1","events":[{"position":"0:7","type":"payout.initiated","effective_at":"2024-04-30T10:00:00Z","recorded_at":"2024-04-30T10:00:00Z","actor":"key:key_1","data":{"amount":"5000.00","account_last4":"7890","fee":{"plan":"default"}},"hash":"00","before":{"balance":"6000.00","locked_balance":"0.00","owed":"0.00"},"after":{"balance":"990.00","locked_balance":"5010.00","owed":"0.00"}}]}}`)
	expect(t, ask("GET", "/ops/v1/transactions/txn_x", "support"), 404, failure("Not found"))
}

func TestProblems(t *testing.T) {
	ask := serve(newOffice(), ops.Options{})
	for path, want := range map[string]string{
		"/ops/v1/merchants?limit=0":                  `"limit":["The limit must be from 1 to 200."]`,
		"/ops/v1/merchants?limit=201":                `"limit":["The limit must be from 1 to 200."]`,
		"/ops/v1/merchants?limit=-1":                 `"limit":["The limit must be from 1 to 200."]`,
		"/ops/v1/suspense?status=shut":               `"status":["The status must be one of open, credited, refunded."]`,
		"/ops/v1/suspense?status=open&status=open":   `"status":["The status must be given once."]`,
		"/ops/v1/deliveries?cursor=bad":              `"cursor":["The cursor is not one that a list has given."]`,
		"/ops/v1/deliveries?limit=x&merchant=%ff":    `"limit":["The limit must be from 1 to 200."],"merchant":["The merchant is too long or no text."]`,
		"/ops/v1/merchants?after=%zz":                `"query":["The query cannot be decoded."]`,
		"/ops/v1/deliveries?status=lost&limit=10000": `"limit":["The limit must be from 1 to 200."],"status":["The status must be one of pending, delivered, failed."]`,
	} {
		expect(t, ask("GET", path, "owner"), 422, `{"success":false,"message":"Validation failed","data":null,"errors":{`+want+`}}`)
	}
}

func TestResend(t *testing.T) {
	o := newOffice()
	var logs bytes.Buffer
	ask := serve(o, ops.Options{Logger: slog.New(slog.NewJSONHandler(&logs, nil))})
	expect(t, ask("POST", "/ops/v1/deliveries/cb_1/resend", "maker"), 200,
		`{"success":true,"data":{"delivery":{"id":"cb_1","merchant_id":"","transaction_id":"","event":"","position":"","payment_status":"","status":"pending","attempts":0,"created_at":"2024-04-30T10:00:00Z"}}}`)
	expect(t, ask("POST", "/ops/v1/deliveries/cb_9/resend", "maker"), 404, failure("Not found"))
	if len(o.resent) != 1 || !strings.Contains(logs.String(), `"operator":"opr_maker"`) {
		t.Errorf("resent %v, logged %s", o.resent, &logs)
	}
}

func TestFaults(t *testing.T) {
	o := newOffice()
	var logs bytes.Buffer
	ask := serve(o, ops.Options{Logger: slog.New(slog.NewJSONHandler(&logs, nil))})
	o.fault = errors.New("password=hunter2")
	for _, path := range []string{"/ops/v1/merchants", "/ops/v1/suspense", "/ops/v1/deliveries", "/ops/v1/transactions/txn_1"} {
		w := ask(http.MethodGet, path, "owner")
		expect(t, w, 503, failure("Service temporarily unavailable, please try again"))
	}
	if n := strings.Count(logs.String(), "hunter2"); n != 4 {
		t.Errorf("logged %d times", n)
	}
}
