package paypal_test

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
	"github.com/khata-ledger/khata/adapters/gateway/paypal"
	"github.com/khata-ledger/khata/domain/money"
)

// fake answers as PayPal's documents say that PayPal answers.
type fake struct {
	t      *testing.T
	server *httptest.Server

	mu       sync.Mutex
	tokens   int // given out; the last one is good
	lasts    int // seconds
	orders   map[string]map[string]any
	refunds  map[string]map[string]any
	requests map[string]string // by PayPal-Request-Id: what was made
	asked    []string
	sent     map[string]any
	raw      []byte // the last body
	genuine  string // the message that PayPal has sent; everything else is a FAILURE
	captured string // the status of a capture
	short    bool   // answers are minimal, whatever was preferred
	next     http.HandlerFunc
	always   http.HandlerFunc // answers every request but that for a token
}

func newFake(t *testing.T) *fake {
	f := &fake{
		t: t, lasts: 32400, captured: "COMPLETED",
		orders: map[string]map[string]any{}, refunds: map[string]map[string]any{}, requests: map[string]string{},
	}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

const secret = "EHLhidden0123456789"

func (f *fake) account() gateway.Account {
	return gateway.Account{
		Config: "gc_000000001", Base: f.server.URL, WebhookSecret: "1JE4291016473214C",
		Credentials: map[string]string{"client_id": "AaBb", "client_secret": secret},
	}
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	if r.URL.Path == "/v1/oauth2/token" && f.next == nil {
		f.token(w, r, string(body))
		return
	}
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
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer A21AA%d", f.tokens) {
		f.write(w, 401, map[string]any{"error": "invalid_token", "error_description": "Token signature verification failed"})
		return
	}
	f.sent, f.raw = nil, body
	if len(body) > 0 {
		if err := json.Unmarshal(body, &f.sent); err != nil {
			f.t.Errorf("a body that is no JSON: %s", body)
		}
	}
	f.route(w, r, strings.Split(strings.Trim(r.URL.Path, "/"), "/"))
}

func (f *fake) token(w http.ResponseWriter, r *http.Request, body string) {
	if id, password, _ := r.BasicAuth(); id != "AaBb" || password != secret || body != "grant_type=client_credentials" {
		f.write(w, 401, map[string]any{"error": "invalid_client", "error_description": "Client Authentication failed"})
		return
	}
	f.tokens++
	f.write(w, 200, map[string]any{
		"scope": "https://uri.paypal.com/services/payments/payment", "access_token": fmt.Sprintf("A21AA%d", f.tokens), "token_type": "Bearer",
		"app_id": "APP-80W284485P519543T", "expires_in": f.lasts, "nonce": "2020-04-03T15:35:36ZaYZlGvEkV4yVSz8g6bAKFoGSEzuy3CQcz3ljhibkOHg",
	})
}

func (f *fake) route(w http.ResponseWriter, r *http.Request, path []string) {
	resource := strings.Join(path[1:3], "/")
	switch {
	case resource == "notifications/verify-webhook-signature":
		f.verify(w)
	case resource == "payments/captures":
		f.refund(w, r)
	case resource == "payments/refunds":
		f.show(w, f.refunds[path[3]])
	case len(path) == 3:
		f.order(w, r)
	case len(path) == 4:
		f.show(w, f.orders[path[3]])
	default:
		f.capture(w, r, f.orders[path[3]])
	}
}

func (f *fake) show(w http.ResponseWriter, of map[string]any) {
	if of == nil {
		f.fail(w, 404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "Specified resource ID does not exist. Please check the resource ID and try again.")
		return
	}
	f.write(w, 200, of)
}

// answer is minimal, or the whole when that was preferred.
func (f *fake) answer(w http.ResponseWriter, r *http.Request, status int, of map[string]any) {
	if f.short || r.Header.Get("Prefer") != "return=representation" {
		of = map[string]any{"id": of["id"], "status": of["status"], "links": of["links"]}
	}
	f.write(w, status, of)
}

func (f *fake) order(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("PayPal-Request-Id")
	if before, used := f.requests[key]; used {
		f.answer(w, r, 200, f.orders[before])
		return
	}
	id := fmt.Sprintf("5O190127TN36471%dT", len(f.orders))
	units, _ := f.sent["purchase_units"].([]any)
	f.orders[id] = map[string]any{
		"id": id, "intent": f.sent["intent"], "status": "PAYER_ACTION_REQUIRED", "purchase_units": units, "update_time": "2026-11-22T10:00:00Z",
		"links": []any{
			map[string]any{"href": f.server.URL + "/v2/checkout/orders/" + id, "rel": "self", "method": "GET"},
			map[string]any{"href": "https://www.sandbox.paypal.com/checkoutnow?token=" + id, "rel": "payer-action", "method": "GET"},
		},
	}
	f.requests[key] = id
	f.answer(w, r, 201, f.orders[id])
}

// approve is what the customer does on PayPal's page.
func (f *fake) approve(id, at string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders[id]["status"], f.orders[id]["update_time"] = "APPROVED", at
}

func unitOf(order map[string]any) map[string]any {
	units, _ := order["purchase_units"].([]any)
	unit, _ := units[0].(map[string]any)
	return unit
}

func (f *fake) capture(w http.ResponseWriter, r *http.Request, order map[string]any) {
	key := r.Header.Get("PayPal-Request-Id")
	if _, used := f.requests[key]; used {
		f.answer(w, r, 200, order)
		return
	}
	switch order["status"] {
	case "COMPLETED":
		f.fail(w, 422, "UNPROCESSABLE_ENTITY", "ORDER_ALREADY_CAPTURED", "Order already captured. If 'intent=CAPTURE' only one capture per order is allowed.")
		return
	case "APPROVED":
	default:
		f.fail(w, 422, "UNPROCESSABLE_ENTITY", "ORDER_NOT_APPROVED", "Payer has not yet approved the Order for payment.")
		return
	}
	f.requests[key] = "captured"
	unit := unitOf(order)
	order["status"] = "COMPLETED"
	unit["payments"] = map[string]any{"captures": []any{map[string]any{
		"id": "3C679366HH908993F", "status": f.captured, "amount": unit["amount"], "custom_id": unit["custom_id"], "invoice_id": unit["invoice_id"],
		"final_capture": true, "create_time": "2026-11-22T10:05:00Z", "update_time": "2026-11-22T10:05:01Z",
		"seller_protection": map[string]any{"status": "ELIGIBLE"},
	}}}
	f.answer(w, r, 201, order)
}

func (f *fake) refund(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("PayPal-Request-Id")
	if before, used := f.requests[key]; used {
		f.answer(w, r, 200, f.refunds[before])
		return
	}
	id := fmt.Sprintf("1JU08902781691%03d", len(f.refunds))
	f.refunds[id] = map[string]any{
		"id": id, "status": "COMPLETED", "amount": f.sent["amount"], "custom_id": f.sent["custom_id"], "note_to_payer": f.sent["note_to_payer"],
		"create_time": "2026-11-22T11:00:00Z", "update_time": "2026-11-22T11:00:00Z",
	}
	for _, o := range f.orders {
		if payments, _ := unitOf(o)["payments"].(map[string]any); payments != nil {
			list, _ := payments["refunds"].([]any)
			payments["refunds"] = append(list, f.refunds[id])
		}
	}
	f.requests[key] = id
	f.answer(w, r, 201, f.refunds[id])
}

// verify says SUCCESS to the message that was sent, byte for byte.
func (f *fake) verify(w http.ResponseWriter) {
	status := "FAILURE"
	_, event, _ := strings.Cut(string(f.raw), `"webhook_event":`)
	if strings.TrimSuffix(event, "}") == f.genuine && f.sent["webhook_id"] == "1JE4291016473214C" && f.sent["transmission_sig"] == "c2lnbmVk" {
		status = "SUCCESS"
	}
	f.write(w, 200, map[string]any{"verification_status": status})
}

func (f *fake) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		f.t.Error(err)
	}
}

func (f *fake) fail(w http.ResponseWriter, status int, name, issue, description string) {
	f.write(w, status, map[string]any{
		"name": name, "message": "The requested action could not be performed, semantically incorrect, or failed business validation.",
		"debug_id": "90957fca61718", "details": []any{map[string]any{"issue": issue, "description": description}},
		"links": []any{map[string]any{"href": "https://developer.paypal.com/api/orders/v2/#error-" + issue, "rel": "information_link"}},
	})
}

// once has the next request answered by h, that for a token too.
func (f *fake) once(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next = h
}

// all has every request but that for a token answered by h, until it is nil.
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

func newClient(t testing.TB) *paypal.Client {
	g := paypal.New(nil)
	t.Cleanup(g.Close)
	return g
}

func usd(s string) money.Amount { return money.MustParse(s, "USD") }

var made = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func order() gateway.Order {
	return gateway.Order{
		Reference: "tx_000000001", Amount: usd("100"), Description: "An order", ReturnURL: "https://pay.example/checkout/t/return",
		CreatedAt: made, ExpiresAt: made.Add(time.Hour),
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
		"409":          page(409, "application/json", `{"name":"RESOURCE_CONFLICT","debug_id":"1","details":[{"issue":"PREVIOUS_REQUEST_IN_PROGRESS"}]}`),
		"429":          page(429, "application/json", `{"name":"RATE_LIMIT_REACHED","message":"Too many requests.","debug_id":"1"}`),
		"500":          page(500, "application/json", `{"name":"INTERNAL_SERVER_ERROR","message":"An internal server error has occurred.","debug_id":"1"}`),
		"503":          page(503, "text/html", "<h1>Service unavailable</h1>"),
		"proxy's 401":  page(401, "text/html", "<h1>Who are you?</h1>"),
		"proxy's 403":  page(403, "text/html", "<h1>Forbidden</h1>"),
		"proxy's 404":  page(404, "text/html", "<h1>Not found</h1>"),
		"JSON's 400":   page(400, "application/json", `{"code":"no format of theirs"}`),
		"garbage":      page(200, "application/json", "\x00\xff"),
		"empty":        page(200, "application/json", ""),
		"another type": page(200, "application/json", `"text"`),
		"nothing":      page(200, "application/json", `{}`),
		"too large":    page(200, "application/json", `{"a":"`+strings.Repeat("a", gateway.MaxBodyBytes)+`"}`),
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `{"id":`)
		},
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
}
