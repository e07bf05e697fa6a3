package cashfree_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/cashfree"
	"github.com/khata-ledger/khata/domain/money"
)

// fake answers as Cashfree's documents say that Cashfree answers.
type fake struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	orders   map[string]map[string]any
	payments string // what the next list of payments is
	refunds  map[string]map[string]any
	keys     map[string]string // by x-idempotency-key: the body that came first
	asked    []string          // "POST /pg/orders"
	sent     map[string]any    // the last body
	sessions string            // the answer of Order Pay
	next     http.HandlerFunc  // answers the next request instead
	always   http.HandlerFunc  // answers every request instead
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, orders: map[string]map[string]any{}, refunds: map[string]map[string]any{}, keys: map[string]string{}}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) account() gateway.Account {
	return gateway.Account{
		Config: "gc_000000001", Base: f.server.URL,
		Credentials: map[string]string{"client_id": "TEST_client", "client_secret": secret},
	}
}

const secret = "cfsk_ma_test_0123456789abcdef"

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	if f.always != nil {
		f.always(w, r)
		return
	}
	if f.next != nil {
		h := f.next
		f.next = nil
		h(w, r)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	f.sent = nil
	if len(body) > 0 {
		if err := json.Unmarshal(body, &f.sent); err != nil {
			f.t.Errorf("a body that is no JSON: %s", body)
		}
	}
	if r.Header.Get("x-api-version") != "2025-01-01" {
		f.fail(w, 400, "version_invalid", "invalid_request_error", "version")
		return
	}
	if r.URL.Path == "/pg/orders/sessions" {
		if r.Header.Get("x-client-secret") != "" {
			f.t.Error("Order Pay was given the secret")
		}
		if f.sessions == "" {
			f.fail(w, 400, "payment_method_unsupported", "invalid_request_error", "upi link is not enabled")
			return
		}
		f.write(w, 200, json.RawMessage(f.sessions))
		return
	}
	if r.Header.Get("x-client-id") != "TEST_client" || r.Header.Get("x-client-secret") != secret {
		f.fail(w, 401, "request_failed", "authentication_error", "authentication Failed")
		return
	}
	if key := r.Header.Get("x-idempotency-key"); key != "" {
		if before, used := f.keys[key]; used && before != string(body) {
			f.fail(w, 422, "request_invalid", "idempotency_error", "something is not found")
			return
		}
		f.keys[key] = string(body)
	} else if r.Method == http.MethodPost {
		f.t.Errorf("%s without an idempotency key", r.URL.Path)
	}
	f.route(w, r, strings.Split(strings.TrimPrefix(r.URL.Path, "/pg/"), "/"))
}

func (f *fake) route(w http.ResponseWriter, r *http.Request, path []string) {
	switch {
	case r.Method == http.MethodPost && len(path) == 1:
		id, _ := f.sent["order_id"].(string)
		if _, exists := f.orders[id]; exists {
			f.fail(w, 409, "order_already_exists", "invalid_request_error", "order with same id is already present")
			return
		}
		f.orders[id] = map[string]any{
			"cf_order_id": "2149460581", "created_at": "2023-08-11T18:02:46+05:30", "entity": "order", "order_id": id, "order_amount": f.sent["order_amount"],
			"order_currency": f.sent["order_currency"], "order_status": "ACTIVE", "payment_session_id": "session_a1VXIPJo8kh7IBigVXX8" + id,
			"customer_details": f.sent["customer_details"], "order_meta": f.sent["order_meta"], "order_splits": []any{}, "terminal_data": nil,
		}
		f.write(w, 200, f.orders[id])
	case f.orders[path[1]] == nil:
		f.fail(w, 404, "order_not_found", "invalid_request_error", "something is not found")
	case len(path) == 2:
		f.write(w, 200, f.orders[path[1]])
	case path[2] == "payments":
		f.write(w, 200, json.RawMessage(f.payments))
	case r.Method == http.MethodPost:
		f.refund(w, path[1])
	case f.refunds[path[3]] == nil:
		f.fail(w, 404, "refund_not_found", "invalid_request_error", "something is not found")
	default:
		f.write(w, 200, f.refunds[path[3]])
	}
}

func (f *fake) refund(w http.ResponseWriter, order string) {
	id, _ := f.sent["refund_id"].(string)
	if before, exists := f.refunds[id]; exists {
		if before["refund_amount"] != f.sent["refund_amount"] {
			f.fail(w, 400, "refund_id_already_exists", "invalid_request_error", "refund_id already exists")
			return
		}
		f.write(w, 200, before)
		return
	}
	f.refunds[id] = map[string]any{
		"cf_payment_id": "789727431", "cf_refund_id": "11325632", "created_at": "2022-02-28T12:54:25+05:30", "entity": "refund", "order_id": order,
		"processed_at": nil, "refund_amount": f.sent["refund_amount"], "refund_arn": nil, "refund_currency": "INR", "refund_id": id,
		"refund_note": f.sent["refund_note"], "refund_status": "PENDING", "refund_type": "MERCHANT_INITIATED",
	}
	f.write(w, 200, f.refunds[id])
}

func (f *fake) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		f.t.Error(err)
	}
}

func (f *fake) fail(w http.ResponseWriter, status int, code, kind, message string) {
	f.write(w, status, map[string]any{"message": message, "code": code, "type": kind, "help": "..."})
}

// once has the next request answered by h.
func (f *fake) once(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = h
}

// all has every request answered by h, until it is nil. A client asks twice when a connection that was kept is dropped.
func (f *fake) all(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.always = h
}

// log is what was asked since it was asked for last.
func (f *fake) log() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := strings.Join(f.asked, ", ")
	f.asked = nil
	return s
}

func newClient(t testing.TB) *cashfree.Client {
	g := cashfree.New()
	t.Cleanup(g.Close)
	return g
}

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

var made = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func order() gateway.Order {
	return gateway.Order{
		Reference: "tx_000000001", Amount: inr("10.34"), Description: "An order", ReturnURL: "https://pay.example/checkout/t/return?x=1",
		WebhookURL: "https://pay.example/gateways/cashfree/ap_1/gc_1/webhook", CreatedAt: made, ExpiresAt: made.Add(time.Hour),
	}
}

// broken are the answers that settle nothing, whatever was asked.
func broken() map[string]http.HandlerFunc {
	page := func(status int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	return map[string]http.HandlerFunc{
		"429":          page(429, "application/json", `{"message":"Too many requests","code":"request_failed","type":"rate_limit_error"}`),
		"500":          page(500, "application/json", `{"message":"internal Server Error","code":"internal_error","type":"api_error"}`),
		"502":          page(502, "application/json", `{"message":"bank processing failure","code":"bank_processing_failure","type":"api_error"}`),
		"proxy's 403":  page(403, "text/html", "<h1>Forbidden</h1>"),
		"proxy's 404":  page(404, "text/html", "<h1>Not found</h1>"),
		"JSON's 400":   page(400, "application/json", `{"error":"no format of theirs"}`),
		"idempotency":  page(422, "application/json", `{"message":"x","code":"request_invalid","type":"idempotency_error"}`),
		"garbage":      page(200, "application/json", "\x00\xff"),
		"empty":        page(200, "application/json", ""),
		"another type": page(200, "application/json", `"text"`),
		"two values":   page(200, "application/json", `{} {}`),
		"too large":    page(200, "application/json", `{"a":"`+strings.Repeat("a", gateway.MaxBodyBytes)+`"}`),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"order_id":`)
		},
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
}
