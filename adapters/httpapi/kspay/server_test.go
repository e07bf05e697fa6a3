package kspay_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// day is the test's time unless it is moved: 30 April 2026, 15:30 in India.
var day = time.Date(2026, 4, 30, 10, 0, 0, 0, time.UTC)

// The apps of the tests, and their credentials.
const (
	appA      = "ap_rtk2WdyQR"
	appB      = "ap_bbbbbbbbb" // another one
	appFar    = "ap_faraway00" // may be called from elsewhere only
	appStop   = "ap_suspended" // disabled
	appBare   = "ap_nokeys000" // has no credentials
	appHome   = "ap_home00000" // in test mode, without domains
	appReader = "ap_reader000" // its key may only read
	appLive   = "ap_live00000"

	inr = "c_WkmEe23LeI"
	usd = "c_2xqOlqufc3"
	jpy = "c_Jp1yCe9NtB"
	kwd = "c_Kw4dFi7LxV"
	eur = "c_9bTq4LzXm1"

	netbanking = "pm_Mk55VGvFm"
	paypal     = "pm_Py8pAl3Kc"
	payLater   = "pm_P1yLa7tRz"

	shop = "https://shop.example"
)

func accessOf(app string) string { return "kspay_test_" + sha("access " + app)[:24] }
func secretOf(app string) string { return sha("secret " + app) }

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func keyOf(app, access, secret string) merchant.Key {
	return merchant.Key{ID: "key_" + sha(access)[:16], Hash: sha(secret), Role: merchant.Full, AccessKey: access, CreatedAt: day.AddDate(0, -4, 0)}
}

func gatewayOf(id, name string, priority int, currencies ...money.Currency) merchant.Gateway {
	g := merchant.Gateway{
		ID: id, Gateway: name, Version: 1, Enabled: true,
		Credentials: merchant.StepVerified, Webhook: merchant.StepVerified, Package: merchant.StepVerified, Security: merchant.StepVerified,
	}
	for _, c := range currencies {
		g.Ranks = append(g.Ranks, merchant.Rank{Currency: c, Priority: priority})
	}
	return g
}

func (b *books) admit(id string, change ...func(*merchant.Merchant)) *merchant.Merchant {
	app := &merchant.App{UserID: "us_M6jVa85Zb", Mode: merchant.Test, Domains: []string{shop}}
	for _, c := range []money.Currency{"INR", "JPY", "KWD", "USD"} {
		app.Currencies = append(app.Currencies, merchant.AppCurrency{Currency: c, Enabled: true, Plan: merchant.AppPlan(c), CreatedAt: day.AddDate(0, -4, 0), UpdatedAt: day})
	}
	app.Currencies = append(app.Currencies, merchant.AppCurrency{Currency: "EUR", Plan: merchant.AppPlan("EUR"), CreatedAt: day, UpdatedAt: day})
	app.Gateways = []merchant.Gateway{
		gatewayOf("gc_razorpay1", "razorpay", 1, "INR", "KWD", "JPY"), gatewayOf("gc_payu00001", "payu", 2, "INR"), gatewayOf("gc_paypal001", "paypal", 1, "USD"),
	}
	m := &merchant.Merchant{
		ID: id, Name: id, Services: []merchant.Service{merchant.Payin}, CreatedAt: day.AddDate(0, -4, 0), App: app,
		Keys: []merchant.Key{keyOf(id, accessOf(id), secretOf(id))},
	}
	for _, c := range change {
		c(m)
	}
	b.apps[id] = m
	return m
}

func (b *books) admitAll() {
	b.admit(appA)
	b.admit(appB)
	b.admit(appFar, func(m *merchant.Merchant) { m.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")} })
	b.admit(appStop, func(m *merchant.Merchant) { m.Suspended = true })
	b.admit(appBare, func(m *merchant.Merchant) { m.Keys[0].AccessKey = "" })
	b.admit(appHome, func(m *merchant.Merchant) { m.App.Domains = nil })
	b.admit(appReader, func(m *merchant.Merchant) { m.Keys[0].Role = merchant.Checker })
	b.admit(appLive, func(m *merchant.Merchant) { m.App.Mode, m.App.Domains = merchant.Live, nil })
	b.apps["mer_aaaaaaaaaaaaaaaa"] = &merchant.Merchant{ID: "mer_aaaaaaaaaaaaaaaa"}
}

// bench is a server on the books of a test.
type bench struct {
	t        testing.TB
	books    *books
	gateways *gateways
	tickets  *ticket.Book
	url      string
	logs     *safeBuffer
	mu       sync.Mutex
	now      time.Time
	spec     *specification
}

func (s *bench) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *bench) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve starts a server whose gateways make every order.
func serve(t testing.TB, change ...func(*kspay.Options)) *bench {
	s := &bench{t: t, books: newBooks(), now: day, logs: &safeBuffer{}, spec: readSpec(t), tickets: ticket.New(bytes.Repeat([]byte{7}, 32))}
	s.gateways = &gateways{books: s.books, t: t, clock: s.clock, refuses: map[string]string{}}
	s.books.admitAll()
	logger := slog.New(slog.NewJSONHandler(s.logs, nil))
	o := kspay.Options{
		MaxBody: 16 << 10, Clock: s.clock, Logger: logger,
		CheckoutURL: func(p wallet.Payment) string { return "https://pay.example/checkout/" + p.Of.Payment },
	}
	for _, c := range change {
		c(&o)
	}
	api, err := kspay.New(s.ports(), s.tickets, o)
	if err != nil {
		t.Fatal(err)
	}
	router := httpapi.NewRouter()
	api.Register(router)
	front := &httpapi.Front{Next: router, Logger: logger, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	t.Cleanup(s.noSecrets)
	s.url = server.URL
	return s
}

func (s *bench) ports() kspay.Ports {
	return kspay.Ports{Merchants: s.books, Ledger: s.books, Vault: s.books, Views: s.books, Checkouts: s.gateways, Spent: s.books}
}

// noSecrets looks for what must never be kept or logged, after every test.
func (s *bench) noSecrets() {
	s.books.mu.Lock()
	defer s.books.mu.Unlock()
	var kept strings.Builder
	for _, o := range s.books.origins {
		for _, e := range o.Evidence {
			kept.Write(e.Body)
		}
	}
	for id := range s.books.apps {
		for where, text := range map[string]string{"the evidence": kept.String(), "the log": s.logs.String()} {
			if strings.Contains(text, secretOf(id)) || strings.Contains(text, accessOf(id)) {
				s.t.Errorf("credentials of %s are in %s", id, where)
			}
		}
	}
}

// reply is an answer, checked against the description already.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends JSON, with the given headers ("Name: value"; "Name:" removes one), and checks the answer.
func (s *bench) send(method, path, body string, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if r.Header.Del(name); value != "" {
			r.Header.Add(name, strings.TrimSpace(value))
		}
	}
	return s.do(r)
}

func (s *bench) do(r *http.Request) reply {
	s.t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	got := reply{res.StatusCode, res.Header, string(b)}
	s.spec.check(s.t, r.Method, r.URL, got)
	return got
}

// raw sends bytes as they are, for what net/http's client would not send.
func (s *bench) raw(text string) reply {
	s.t.Helper()
	address, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		s.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// pair is the body with an app's credentials.
func pair(app string) string {
	return `{"accessKey":"` + accessOf(app) + `","secretKey":"` + secretOf(app) + `"}`
}

// token is a header with an access token of an app.
func (s *bench) token(app string) string {
	s.t.Helper()
	return "Authorization: Bearer " + s.send("POST", "/v1/auth/generate-token/"+app, pair(app)).get(s.t, "result", "accessToken")
}

// signature is a header with a signature to initiate with.
func (s *bench) signature(app string) string {
	s.t.Helper()
	return "x-signature: " + s.send("POST", "/v1/auth/generate-signature/"+app, pair(app)).get(s.t, "result")
}

// wish is the body of an initiation; changes are name and JSON, in turns; a value of "" leaves the name out.
func wish(changes ...string) string {
	fields := [][2]string{{"currencyId", quote(inr)}, {"paymentMethodId", quote(netbanking)}, {"amount", "345.67"}, {"referenceNumber", `"OcrcZcu5z0Az1w2Z"`}}
	for i := 0; i < len(changes); i += 2 {
		found := false
		for j := range fields {
			if fields[j][0] == changes[i] {
				fields[j][1], found = changes[i+1], true
			}
		}
		if !found {
			fields = append(fields, [2]string{changes[i], changes[i+1]})
		}
	}
	var parts []string
	for _, f := range fields {
		if f[1] != "" {
			parts = append(parts, quote(f[0])+":"+f[1])
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// initiate makes a transaction by a signature, and must succeed.
func (s *bench) initiate(changes ...string) reply {
	s.t.Helper()
	r := s.send("POST", "/v1/transaction/initiate", wish(changes...), s.signature(appA))
	if r.status != http.StatusCreated {
		s.t.Fatalf("initiate: %d %s", r.status, r.body)
	}
	return r
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// want holds an answer against a row of the table.
func (r reply) want(t testing.TB, id string, message ...string) {
	t.Helper()
	row := rowOf(id)
	status := row.HTTP
	switch id {
	case "systemError/dbError":
		status = http.StatusServiceUnavailable
	case "(top)/externalError":
		status = http.StatusBadGateway
	}
	text := row.Message
	if len(message) > 0 {
		text = message[0]
	}
	body := fmt.Sprintf(`{"status":%d,"code":%d,"message":%s,"result":null}`, status, row.Code, quoteHTML(text))
	if r.status != status || r.body != body {
		t.Errorf("%s: answered %d %s\n    want %d %s", id, r.status, r.body, status, body)
	}
}

// quoteHTML is quote without what encoding/json does for HTML.
func quoteHTML(s string) string { return string(httpapi.AppendString(nil, s)) }

func rowOf(id string) kspay.Row {
	for _, r := range kspay.Errors() {
		if r.ID() == id {
			return r
		}
	}
	panic("no row " + id)
}

// get returns a value out of the answer by its path, as text; numbers as they were written.
func (r reply) get(t testing.TB, path ...any) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no %v in %s", path, r.body)
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("no %v in %s", path, r.body)
			}
			v = l[p]
		}
	}
	return fmt.Sprint(v)
}
