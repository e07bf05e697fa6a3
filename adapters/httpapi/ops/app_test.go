package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

const (
	anApp    = "ap_7q2K9d4M1"
	aGateway = "gc_Zr5mWq0Pb"
	appPath  = "/ops/v1/apps/" + anApp
	gcPath   = appPath + "/gateways/" + aGateway
)

// studio is where apps are set up, in memory: it keeps what it was asked for, and decides as the domain does.
type studio struct {
	*office
	made     []ops.NewApp
	again    bool // what is made was made before
	provided []ops.Secrets
	refuse   error
}

// newStudio has an app with one gateway, whose first three steps are verified if tried.
func newStudio(tried bool) *studio {
	o := newOffice()
	of := merchant.Of{Merchant: anApp, Actor: "x"}
	m := merchant.Merchant{}
	for _, e := range []merchant.Event{
		&merchant.Created{Of: of, Name: "Kirana", Services: []merchant.Service{merchant.Payin}, Plan: fee.Default(), At: day},
		&merchant.AppOpened{Of: of, UserID: "us_M6jVa85Zb", Mode: merchant.Test, Domains: []string{"https://a.example"}, Currencies: []merchant.AppCurrency{
			{Currency: money.INR, Enabled: true, Plan: merchant.AppPlan(money.INR), CreatedAt: day, UpdatedAt: day},
		}},
		&merchant.KeyAdded{Of: of, Key: merchant.Key{
			ID: "key_1", Hash: "SECRETHASH", Last4: "abcd", Role: merchant.Full, CreatedAt: day, AccessKey: "kspay_test_" + strings.Repeat("a", 24),
		}},
		&merchant.GatewayAdded{Of: of, Config: aGateway, Gateway: "razorpay", Ranks: []merchant.Rank{{Currency: money.INR, Priority: 1}}},
	} {
		m.Evolve(e)
	}
	if tried {
		m.Evolve(&merchant.GatewayTrialStarted{Of: of, Config: aGateway, Transaction: "tx_aaaaaaaaa"})
		m.Evolve(&merchant.GatewayTrialEnded{Of: of, Config: aGateway, Transaction: "tx_aaaaaaaaa", Passed: true})
	}
	o.merchants = append([]merchant.Merchant{m}, o.merchants...)
	return &studio{office: o}
}

func (s *studio) Create(_ context.Context, n ops.NewApp, from eventstore.Origin) (ops.Credentials, error) {
	s.made, s.origins = append(s.made, n), append(s.origins, from)
	c := ops.Credentials{App: anApp, UserID: "us_M6jVa85Zb", AccessKey: "kspay_test_1", SecretKey: "s3cret", At: day}
	if s.again {
		c.SecretKey = ""
	}
	return c, s.refuse
}

func (s *studio) Regenerate(_ context.Context, app string, from eventstore.Origin) (ops.Credentials, error) {
	s.origins = append(s.origins, from)
	return ops.Credentials{App: app, UserID: "us_M6jVa85Zb", AccessKey: "kspay_test_2", SecretKey: "s3cret2", At: day}, s.refuse
}

func (s *studio) Change(ctx context.Context, c merchant.Command, from eventstore.Origin) (merchant.Merchant, error) {
	if s.refuse != nil {
		return merchant.Merchant{}, s.refuse
	}
	if add, adds := c.(merchant.AddGateway); adds {
		add.Config = "gc_aaaaaaaaa"
		c = add
	}
	return s.SubmitMerchant(ctx, c, from)
}

func (s *studio) Provide(_ context.Context, app, _ string, given ops.Secrets, from eventstore.Origin) (merchant.Merchant, error) {
	s.provided, s.origins = append(s.provided, given), append(s.origins, from)
	if s.refuse != nil {
		return merchant.Merchant{}, s.refuse
	}
	return s.Merchant(context.Background(), app)
}

func (s *studio) Specs() []ops.GatewaySpec {
	return []ops.GatewaySpec{{Name: "razorpay", Title: "Razorpay", Keys: []string{"key_id", "key_secret"}, Public: "key_id", Webhook: "webhook_secret", Currencies: []money.Currency{}, Methods: merchant.Methods()}}
}

func (s *studio) WebhookURL(gateway, app, config string) string {
	return "https://pay.example/" + gateway + "/" + app + "/" + config
}

func (s *studio) Trial(_ context.Context, app, config, amount string, c money.Currency, from eventstore.Origin) (ops.Trial, error) {
	s.origins = append(s.origins, from)
	return ops.Trial{App: app, Config: config, Transaction: "tx_aaaaaaaaa", Amount: amount, Currency: string(c), Link: "https://pay.example/checkout/x", ExpiresAt: day}, s.refuse
}

func (s *studio) Kept(_ context.Context, _, config string) ([]ops.KeptMessage, error) {
	if config != aGateway {
		return nil, nil
	}
	return []ops.KeptMessage{{ID: "1", State: "refused", Gateway: "razorpay", ReceivedAt: day, Digest: "d"}}, s.refuse
}

func (s *studio) ListPayins(_ context.Context, f projections.Filter) (projections.Page, error) {
	s.asked = append(s.asked, f)
	return projections.Page{Total: 1, Items: []wallet.Payment{{
		Of: wallet.Of{Merchant: f.Merchant, Currency: "JPY", Payment: "tx_bbbbbbbbb"}, OrderID: "ORDER-1", Priced: wallet.Priced{Amount: money.MustParse("1550", "JPY")}, Status: wallet.Success,
		Gateway: "razorpay", CreatedAt: day, Sealed: "SECRETSEAL", Checkout: wallet.Checkout{Config: aGateway, Order: "order_1", Attempts: 2, PaidBy: "netbanking"},
	}}}, nil
}

// desk returns a function that asks as a role; log is what the API has logged.
func (s *studio) desk(log *bytes.Buffer) func(method, path, role, body string) *httptest.ResponseRecorder {
	ask := s.deskOf(log)
	return func(method, path, role, body string) *httptest.ResponseRecorder {
		return ask(method, path, role, body, nil)
	}
}

// deskOf is desk, with headers.
func (s *studio) deskOf(log *bytes.Buffer) func(method, path, role, body string, more http.Header) *httptest.ResponseRecorder {
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: s, Merchants: s, Apps: s, Trials: s, AppPayments: s}, ops.Options{
		Clock: func() time.Time { return day }, Logger: slog.New(slog.NewTextHandler(log, nil)),
	}).Register(rt)
	h := &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	return func(method, path, role, body string, more http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		maps.Copy(r.Header, more)
		r.Header.Set("X-Operator-Key", role)
		if method != http.MethodGet {
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

func TestApps(t *testing.T) {
	s, log := newStudio(false), &bytes.Buffer{}
	ask := s.desk(log)
	for _, path := range []string{"/ops/v1/apps", appPath} {
		w := ask("GET", path, "support", "")
		body := w.Body.String()
		for _, want := range []string{
			`"app_id":"` + anApp + `"`, `"mode":"test","status":"active","domains":["https://a.example"]`, `"currency_id":"c_WkmEe23LeI","currency":"INR"`,
			`"steps":{"credentials":"pending","webhook":"pending","package":"pending","security":"pending"}`,
			`"webhook_url":"https://pay.example/razorpay/` + anApp + `/` + aGateway + `"`, `"access_key":"kspay_test_aaaaaaaaaaaaaaaaaaaaaaaa","status":"active"`,
		} {
			if w.Code != 200 || !strings.Contains(body, want) {
				t.Errorf("%s: %d %s\nlacks %s", path, w.Code, body, want)
			}
		}
		if strings.Contains(body, "SECRETHASH") || strings.Contains(body, "mer_a") {
			t.Errorf("%s: %s", path, body)
		}
	}
	if w := ask("GET", "/ops/v1/apps?limit=0", "owner", ""); w.Code != 422 {
		t.Errorf("a limit of nothing: %d", w.Code)
	}
	for _, none := range []string{"/ops/v1/apps/mer_a", "/ops/v1/apps/ap_000000000", "/ops/v1/apps/mer_a/transactions", appPath + "/gateways/gc_000000000/messages"} {
		if w := ask("GET", none, "owner", ""); w.Code != 404 {
			t.Errorf("%s: %d %s", none, w.Code, w.Body)
		}
	}
	w := ask("GET", appPath+"/transactions?status=success&limit=5", "auditor", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"reference_number":"ORDER-1","amount":"1550","currency":"JPY","status":"success"`) || strings.Contains(w.Body.String(), "SECRETSEAL") {
		t.Errorf("transactions: %d %s", w.Code, w.Body)
	}
	if f := s.asked[len(s.asked)-1].(projections.Filter); f.Merchant != anApp || f.Status != wallet.Success || f.Limit != 5 || f.Page != 1 {
		t.Errorf("asked for %+v", f)
	}
	if w := ask("GET", gcPath+"/messages", "owner", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"state":"refused"`) {
		t.Errorf("messages: %d %s", w.Code, w.Body)
	}
	if w := ask("GET", "/ops/v1/gateways", "owner", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"keys":["key_id","key_secret"],"public_key":"key_id"`) {
		t.Errorf("gateways: %d %s", w.Code, w.Body)
	}
}

func TestAppSignUp(t *testing.T) {
	s, log := newStudio(false), &bytes.Buffer{}
	ask := s.desk(log)
	plan := `{"id":"own","currency":"USD","payin":{"min":"1","commission":{"percent":"2"}},"payout":{"min":"1","commission":{"flat":"0"}}}`
	w := ask("POST", "/ops/v1/apps", "maker", `{"name":"Kirana","currencies":["INR","USD"],"domains":["a.example"],"plans":[`+plan+`]}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"secret_key":"s3cret"`) {
		t.Errorf("create: %d %s", w.Code, w.Body)
	}
	if n := s.made[0]; n.Name != "Kirana" || n.Mode != merchant.Test || !reflect.DeepEqual(n.Currencies, []money.Currency{"INR", "USD"}) || len(n.Plans) != 1 || n.Plans[0].Currency != "USD" {
		t.Errorf("asked for %+v", n)
	}
	if from := s.origins[0]; from.Actor != "operator:opr_maker" || from.Request == "" || len(from.Evidence) != 2 {
		t.Errorf("from %+v", from)
	}
	w = ask("POST", "/ops/v1/apps", "maker", `{"name":"Kirana","plans":[{"id":"own","payin":{"commission":{"percent":"2"}}}]}`) // an app's plan needs no part for payouts
	if n := s.made[len(s.made)-1]; w.Code != 200 || len(n.Plans) != 1 || !n.Plans[0].Payout.Commission.Percent.IsZero() {
		t.Errorf("a plan of payins alone: %d %s", w.Code, w.Body)
	}
	w = ask("POST", appPath+"/credentials", "owner", `{}`)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"secret_key":"s3cret2"`) {
		t.Errorf("regenerate: %d %s", w.Code, w.Body)
	}
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "an app is made") {
		t.Errorf("logged %s", log)
	}
	for body, field := range map[string]string{
		`{}`: "name", `{"name":7}`: "name", `{"name":"Kirana","bonus":1}`: "bonus", `{"name":"Kirana","currencies":"INR"}`: "currencies",
		`{"name":"Kirana","currencies":[1]}`: "currencies", `{"name":"Kirana","plans":[{"id":1}]}`: "plans[0]", `{"name":"Kirana","domains":[""]}`: "domains",
	} {
		if w := ask("POST", "/ops/v1/apps", "owner", body); w.Code != 422 || !strings.Contains(w.Body.String(), `"`+field+`":[`) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := ask("POST", "/ops/v1/apps", "owner", `{"name":"`+strings.Repeat("x", 300<<10)+`"}`); w.Code != 413 {
		t.Errorf("a long body: %d", w.Code)
	}
	for _, role := range []string{"checker", "auditor", "support"} {
		if w := ask("POST", "/ops/v1/apps", role, `{"name":"Kirana"}`); w.Code != 403 {
			t.Errorf("%s makes an app: %d", role, w.Code)
		}
	}
}

// What is asked for again under one Idempotency-Key is made once; its secret key is in the first answer alone.
func TestAppSignUpIsRepeated(t *testing.T) {
	s, log := newStudio(false), &bytes.Buffer{}
	ask := s.deskOf(log)
	post := func(role string, keys ...string) *httptest.ResponseRecorder {
		return ask("POST", "/ops/v1/apps", role, `{"name":"Kirana"}`, http.Header{"Idempotency-Key": keys})
	}
	for _, role := range []string{"owner", "maker"} {
		if w := post(role, "once"); w.Code != 200 || !strings.Contains(w.Body.String(), `"secret_key":"s3cret"`) {
			t.Fatalf("%s: %d %s", role, w.Code, w.Body)
		}
	}
	if a, b := s.origins[0].IdempotencyKey, s.origins[1].IdempotencyKey; a == "" || b == "" || a == b {
		t.Errorf("the keys of two operators: %q, %q", a, b)
	}
	if n := strings.Count(log.String(), "an app is made"); n != 2 {
		t.Errorf("logged %d times", n)
	}
	s.again = true
	w := post("owner", "once")
	if w.Code != 200 || strings.Contains(w.Body.String(), "secret_key") || !strings.Contains(w.Body.String(), `"access_key":"kspay_test_1"`) {
		t.Errorf("again: %d %s", w.Code, w.Body)
	}
	if s.origins[2].IdempotencyKey != s.origins[0].IdempotencyKey || strings.Count(log.String(), "an app is made") != 2 {
		t.Errorf("again: %+v, logged %s", s.origins[2], log)
	}
	for _, keys := range [][]string{{""}, {"a", "b"}, {strings.Repeat("x", 256)}} {
		if w := post("owner", keys...); w.Code != 422 || !strings.Contains(w.Body.String(), "Idempotency-Key") || len(s.made) != 3 {
			t.Errorf("%q: %d %s", keys, w.Code, w.Body)
		}
	}
}

// What a step brings is in no answer, log line or evidence.
func TestGatewaySecretsStaySecret(t *testing.T) {
	s, log := newStudio(false), &bytes.Buffer{}
	ask := s.desk(log)
	w1 := ask("PUT", gcPath+"/credentials", "owner", `{"credentials":{"key_id":"rzp_test_1","key_secret":"hunter2"}}`)
	w2 := ask("PUT", gcPath+"/webhook", "owner", `{"secret":"hunter2hunter2"}`)
	if w1.Code != 200 || w2.Code != 200 || len(s.provided) != 2 {
		t.Fatalf("%d %s, %d %s", w1.Code, w1.Body, w2.Code, w2.Body)
	}
	if s.provided[0].Credentials["key_secret"] != "hunter2" || s.provided[0].Step != "credentials" || s.provided[1].Webhook != "hunter2hunter2" {
		t.Errorf("provided %#v", s.provided)
	}
	kept, err := json.Marshal(s.origins)
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range s.origins {
		for _, e := range from.Evidence {
			kept = append(kept, e.Body...)
		}
	}
	for what, text := range map[string]string{"the answers": w1.Body.String() + w2.Body.String(), "the log": log.String(), "the evidence": string(kept), "its own text": s.provided[0].String()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", what, text)
		}
	}
	if !strings.Contains(string(kept), `"keys":["key_id","key_secret"]`) {
		t.Errorf("the evidence does not say which keys were given: %s", kept)
	}
	for path, bodies := range map[string][]string{
		"/credentials": {`{}`, `{"credentials":"x"}`, `{"credentials":{"a":1}}`, `{"credentials":{"a":""}}`, `{"credentials":{"a":"` + strings.Repeat("x", ops.MaxSecret+1) + `"}}`, `{"credentials":{},"x":1}`},
		"/webhook":     {`{"secret":1}`, `{"secret":"a\nb"}`, `{"x":1}`},
	} {
		for _, body := range bodies {
			if w := ask("PUT", gcPath+path, "owner", body); w.Code != 422 {
				t.Errorf("%s %.60s: %d %s", path, body, w.Code, w.Body)
			}
		}
	}
}

func TestGatewaySetUp(t *testing.T) {
	s, log := newStudio(true), &bytes.Buffer{}
	ask := s.desk(log)
	for _, c := range []struct{ method, path, body, want string }{
		{"PUT", appPath + "/domains", `{"domains":["b.example","a.example"]}`, `"domains":["https://a.example","https://b.example"]`},
		{"PUT", appPath + "/currencies/USD", `{"enabled":true}`, `"currency":"USD","enabled":true`},
		{"PUT", appPath + "/currencies/USD", `{"enabled":false,"plan":null}`, `"currency":"USD","enabled":false`},
		{"PUT", gcPath + "/security", `{"domains":["c.example"]}`, `"security":"verified"`},
		{"PUT", gcPath + "/enabled", `{"enabled":true}`, `"enabled":true,"usable":true`},
		{"PUT", gcPath + "/ranks", `{"ranks":[{"currency":"USD","priority":2}],"methods":["UPI"]}`, `"ranks":[{"currency":"USD","priority":2}],"methods":["UPI"]`},
		{"POST", gcPath + "/reset", `{}`, `"security":"pending"`},
		{"POST", appPath + "/gateways", `{"gateway":"razorpay","ranks":[{"currency":"INR","priority":3}]}`, `"gateway_config_id":"gc_aaaaaaaaa","gateway":"razorpay"`},
		{"POST", gcPath + "/trial", `{"amount":1.50,"currency":"INR"}`, `"amount":"1.50","currency":"INR","checkout_url":"https://pay.example/checkout/x"`},
	} {
		if w := ask(c.method, c.path, "maker", c.body); w.Code != 200 || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s\nlacks %s", c.method, c.path, w.Code, w.Body, c.want)
		}
	}
	m, err := s.Merchant(t.Context(), anApp)
	if err != nil || len(m.App.Domains) != 3 {
		t.Errorf("the domains that came with the security step: %v %v", m.App.Domains, err)
	}
	for _, c := range []struct{ method, path, body, field string }{
		{"PUT", appPath + "/domains", `{}`, "domains"},
		{"PUT", appPath + "/domains", `{"domains":["x/y"]}`, "domain"},
		{"PUT", appPath + "/currencies/USD", `{}`, "enabled"},
		{"PUT", appPath + "/currencies/USD", `{"enabled":true,"plan":7}`, "plan"},
		{"PUT", appPath + "/currencies/DOGE", `{"enabled":true}`, "currency"},
		{"PUT", gcPath + "/enabled", `{"enabled":"yes"}`, "enabled"},
		{"PUT", gcPath + "/ranks", `{"ranks":[{"currency":"USD"}]}`, "ranks[0]"},
		{"PUT", gcPath + "/ranks", `{"ranks":[{"currency":"USD","priority":1.5}]}`, "ranks[0]"},
		{"PUT", gcPath + "/ranks", `{}`, "ranks"},
		{"PUT", gcPath + "/package", `{"x":1}`, "x"},
		{"POST", gcPath + "/reset", `{"x":1}`, "x"},
		{"POST", gcPath + "/trial", `{}`, "amount"},
		{"POST", gcPath + "/trial", `{"amount":[]}`, "amount"},
		{"POST", appPath + "/gateways", `{}`, "gateway"},
	} {
		if w := ask(c.method, c.path, "owner", c.body); w.Code != 422 || !strings.Contains(w.Body.String(), `"`+c.field+`":[`) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
	// A guard of the set-up is a conflict, and says which.
	s.refuse = &domain.Error{Code: domain.Stale, Message: "13009 credentialStepFailed: Step 1 (Credential Status) is in a failed state; cannot update step 2 or step 3."}
	for _, path := range []string{"/webhook", "/package"} {
		if w := ask("PUT", gcPath+path, "owner", `{}`); w.Code != 409 || !strings.Contains(w.Body.String(), `"13009 credentialStepFailed: `) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
