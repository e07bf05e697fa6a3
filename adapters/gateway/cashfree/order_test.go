package cashfree_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/cashfree"
	"github.com/khata-ledger/khata/domain/merchant"
)

func TestCheck(t *testing.T) {
	f, g := newFake(t), newClient(t)
	if err := g.Check(t.Context(), f.account()); err != nil {
		t.Errorf("good credentials: %v", err)
	}
	wrong := f.account()
	wrong.Credentials = map[string]string{"client_id": "TEST_client", "client_secret": "wrong"}
	if err := g.Check(t.Context(), wrong); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("wrong credentials: %v", err)
	}
	f.once(broken()["500"])
	if err := g.Check(t.Context(), f.account()); err == nil || errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("500: %v", err)
	}
	if log := f.log(); strings.Contains(log, "POST") {
		t.Errorf("a check makes something: %s", log)
	}
}

func TestOrder(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	o.Method = merchant.NetBanking
	first, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil || first.OrderID != o.Reference || !strings.HasPrefix(first.Session, "session_") || len(first.Body) == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	meta, _ := f.sent["order_meta"].(map[string]any)
	customer, _ := f.sent["customer_details"].(map[string]any)
	for what, pair := range map[string][2]any{
		"amount": {f.sent["order_amount"], 10.34}, "currency": {f.sent["order_currency"], "INR"}, "note": {f.sent["order_note"], "An order"},
		"expiry": {f.sent["order_expiry_time"], "2026-11-22T11:00:00Z"}, "methods": {meta["payment_methods"], "nb"},
		"return":  {meta["return_url"], "https://pay.example/checkout/t/return?x=1&order_id={order_id}"},
		"notify":  {meta["notify_url"], o.WebhookURL},
		"phone":   {customer["customer_phone"], "9999999999"},
		"who":     {customer["customer_id"], "tx000000001"},
		"no name": {customer["customer_name"], nil},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
	f.log()
	o.Again = true
	again, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil || again.OrderID != first.OrderID || again.Session != first.Session {
		t.Errorf("again: %+v, %v", again, err)
	}
	if log := f.log(); log != "GET /pg/orders/tx_000000001" {
		t.Errorf("again asks %s", log)
	}
	o.Again = false // its maker does not know that there was a first
	o.Description = "Another body"
	twice, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil || twice.Session != first.Session {
		t.Errorf("twice: %+v, %v", twice, err)
	}
	if log := f.log(); log != "POST /pg/orders, GET /pg/orders/tx_000000001" {
		t.Errorf("twice asks %s", log)
	}
	if len(f.orders) != 1 {
		t.Errorf("%d orders", len(f.orders))
	}
	o.Amount = inr("11")
	if made, err := g.CreateOrder(t.Context(), f.account(), o); err == nil || errors.As(err, new(*gateway.Declined)) {
		t.Errorf("an order of another amount is this one: %+v, %v", made, err)
	}
}

// TestOrderOfLostAnswer: the first call dies behind the order, or before it; the second gives it either way.
func TestOrderOfLostAnswer(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{"before": broken()["500"], "dropped": broken()["dropped"]} {
		f, g := newFake(t), newClient(t)
		o := order()
		f.all(h)
		if made, err := g.CreateOrder(t.Context(), f.account(), o); err == nil || errors.As(err, new(*gateway.Declined)) || errors.Is(err, gateway.ErrCredentials) {
			t.Errorf("%s: %+v, %v", name, made, err)
		}
		f.all(nil)
		f.log()
		o.Again = true
		made, err := g.CreateOrder(t.Context(), f.account(), o)
		if err != nil || made.OrderID != o.Reference {
			t.Errorf("%s, again: %+v, %v", name, made, err)
		}
		if log := f.log(); log != "GET /pg/orders/tx_000000001, POST /pg/orders" {
			t.Errorf("%s: again asks %s", name, log)
		}
	}
}

func TestOrderKnownCustomer(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	o.Name, o.Email, o.Phone = "Asha Rao", "asha@example.com", "+919876543210"
	o.WebhookURL, o.Description, o.ExpiresAt = "http://127.0.0.1/webhook", "x", made.Add(time.Minute)
	o.ReturnURL = "https://pay.example/" + strings.Repeat("t", 225)
	if _, err := g.CreateOrder(t.Context(), f.account(), o); err != nil {
		t.Fatal(err)
	}
	meta, _ := f.sent["order_meta"].(map[string]any)
	customer, _ := f.sent["customer_details"].(map[string]any)
	for what, pair := range map[string][2]any{
		"name": {customer["customer_name"], "Asha Rao"}, "email": {customer["customer_email"], "asha@example.com"},
		"phone": {customer["customer_phone"], "+919876543210"}, "no https": {meta["notify_url"], nil}, "too short": {f.sent["order_note"], nil},
		"expiry": {f.sent["order_expiry_time"], "2026-11-22T10:20:00Z"}, "any method": {meta["payment_methods"], nil},
		"too long with the id": {meta["return_url"], o.ReturnURL},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestOrderMethods(t *testing.T) {
	f, g := newFake(t), newClient(t)
	want := map[merchant.Method]string{
		merchant.UPI: "upi", merchant.NetBanking: "nb", merchant.DebitCard: "dc", merchant.CreditCard: "cc", merchant.EWallet: "app",
		merchant.PayLater: "paylater", merchant.PayPal: "paypal",
	}
	for _, m := range g.Spec().Methods {
		o := order()
		o.Reference, o.Method = "tx_"+want[m], m
		_, err := g.CreateOrder(t.Context(), f.account(), o)
		meta, _ := f.sent["order_meta"].(map[string]any)
		if err != nil || want[m] == "" || meta["payment_methods"] != want[m] {
			t.Errorf("%s: %v, %v", m, meta, err)
		}
	}
}

func TestOrderDeclined(t *testing.T) {
	f, g := newFake(t), newClient(t)
	f.once(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 400, "customer_details.customer_phone_invalid", "invalid_request_error",
			"customer_details.customer_phone : 98765 43210 of asha@example.com is wrong. Value received: 98765")
	})
	_, err := g.CreateOrder(t.Context(), f.account(), order())
	declined := new(gateway.Declined)
	if !errors.As(err, &declined) || declined.Code != "customer_details.customer_phone_invalid" {
		t.Fatalf("%v", err)
	}
	if declined.Reason != "customer_details.customer_phone : ... of ... is wrong." {
		t.Errorf("reason: %q", declined.Reason)
	}
	wrong := f.account()
	wrong.Credentials = map[string]string{"client_id": "TEST_client", "client_secret": "hidden-words"}
	_, err = g.CreateOrder(t.Context(), wrong, order())
	if !errors.Is(err, gateway.ErrCredentials) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("wrong credentials: %v", err)
	}
	again := order()
	again.Again = true // what was made before is not known: that it cannot be asked for is no refusal of it
	f.once(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 400, "x_invalid", "invalid_request_error", "x")
	})
	if _, err := g.CreateOrder(t.Context(), f.account(), again); err == nil || errors.As(err, &declined) {
		t.Errorf("again: %v", err)
	}
}

// TestUnknown: whatever settles nothing is neither declined nor about credentials, and never quotes what came.
func TestUnknown(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	ordered := gateway.Ordered{OrderID: o.Reference, Session: "session_x"}
	r := gateway.Refund{Reference: "rfd_1", OrderID: o.Reference, PaymentID: "789727431", Amount: inr("1")}
	calls := map[string]func(context.Context) error{
		"create": func(ctx context.Context) error { _, err := g.CreateOrder(ctx, f.account(), o); return err },
		"begin": func(ctx context.Context) error {
			_, err := g.Begin(ctx, f.account(), o, ordered, merchant.UPI)
			return err
		},
		"collect": func(ctx context.Context) error { _, err := g.Collect(ctx, f.account(), o, ordered); return err },
		"refund":  func(ctx context.Context) error { _, err := g.Refund(ctx, f.account(), r); return err },
		"inquire": func(ctx context.Context) error { _, err := g.InquireRefund(ctx, f.account(), r); return err },
	}
	for what, call := range calls {
		for name, h := range broken() {
			f.all(h)
			err := call(t.Context())
			if err == nil || errors.As(err, new(*gateway.Declined)) || errors.Is(err, gateway.ErrCredentials) {
				t.Errorf("%s, %s: %v", what, name, err)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "tx_000000001/")) {
				t.Errorf("%s, %s: an error that says too much: %v", what, name, err)
			}
		}
		f.all(nil)
		ended, end := context.WithCancel(t.Context())
		end()
		if err := call(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: a call whose context has ended: %v", what, err)
		}
	}
}

func TestWrongOrders(t *testing.T) {
	f, g := newFake(t), newClient(t)
	for name, body := range map[string]string{
		"another order":   `{"order_id":"tx_2","order_amount":10.34,"order_currency":"INR","payment_session_id":"session_x"}`,
		"another amount":  `{"order_id":"tx_000000001","order_amount":10.3,"order_currency":"INR","payment_session_id":"session_x"}`,
		"another money":   `{"order_id":"tx_000000001","order_amount":10.34,"order_currency":"USD","payment_session_id":"session_x"}`,
		"a float":         `{"order_id":"tx_000000001","order_amount":10.339999999999,"order_currency":"INR","payment_session_id":"session_x"}`,
		"an exponent":     `{"order_id":"tx_000000001","order_amount":1034e-2,"order_currency":"INR","payment_session_id":"session_x"}`,
		"no session":      `{"order_id":"tx_000000001","order_amount":10.34,"order_currency":"INR"}`,
		"a wrong session": `{"order_id":"tx_000000001","order_amount":10.34,"order_currency":"INR","payment_session_id":"two words"}`,
		"nothing":         `{}`,
	} {
		f.once(func(w http.ResponseWriter, _ *http.Request) {
			if _, err := w.Write([]byte(body)); err != nil {
				t.Error(err)
			}
		})
		if made, err := g.CreateOrder(t.Context(), f.account(), order()); err == nil || errors.As(err, new(*gateway.Declined)) {
			t.Errorf("%s: %+v, %v", name, made, err)
		}
	}
}

func TestBegin(t *testing.T) {
	f, g := newFake(t), newClient(t)
	ordered := gateway.Ordered{OrderID: "tx_000000001", Session: "session_x"}
	hosted := func(next gateway.Continuation, base string) bool {
		return next.Post && next.URL == base+"/pg/view/sessions/checkout" && next.UPI == "" && len(next.Fields) == 1 &&
			next.Fields[0] == gateway.Field{Name: "payment_session_id", Value: "session_x"}
	}
	for _, m := range append(merchant.Methods(), "") {
		next, err := g.Begin(t.Context(), f.account(), order(), ordered, m) // Order Pay is not enabled
		if err != nil || !hosted(next, f.server.URL) {
			t.Errorf("%q: %+v, %v", m, next, err)
		}
	}
	for live, base := range map[bool]string{true: "https://api.cashfree.com", false: "https://sandbox.cashfree.com"} {
		next, err := g.Begin(t.Context(), gateway.Account{Live: live}, order(), ordered, merchant.CreditCard)
		if err != nil || !hosted(next, base) {
			t.Errorf("live %v: %+v, %v", live, next, err)
		}
	}
	const upi = "upi://pay?pa=cashfree@bank&pn=Cashfree&tr=885899755&am=10.34&cu=INR"
	for name, c := range map[string]struct {
		body string
		want gateway.Continuation // zero is an error
	}{
		"link of an app":  {`{"action":"custom","cf_payment_id":885899755,"channel":"link","data":{"url":null,"payload":{"bhim":"upi://x","default":"` + upi + `","web":"https://x/y"}}}`, gateway.Continuation{UPI: upi}},
		"page of theirs":  {`{"action":"link","cf_payment_id":"4105073870","channel":"link","data":{"url":"https://api.cashfree.com/pg/view/gateway/session_F","payload":null,"content_type":null}}`, gateway.Continuation{URL: "https://api.cashfree.com/pg/view/gateway/session_F"}},
		"the simulator":   {`{"action":"custom","data":{"url":null,"payload":{"default":"https://payments-test.cashfree.com/pgbillpayuiapi/simulator/885899755?txnId=885899755"}}}`, gateway.Continuation{URL: "https://payments-test.cashfree.com/pgbillpayuiapi/simulator/885899755?txnId=885899755"}},
		"no link":         {`{"action":"custom","data":{"url":null,"payload":{"name":"card"}}}`, gateway.Continuation{}},
		"a script":        {`{"action":"custom","data":{"url":"javascript:alert(1)","payload":{"default":"upi://mandate?x"}}}`, gateway.Continuation{}},
		"not of strings":  {`{"action":"custom","data":{"url":null,"payload":{"default":7}}}`, gateway.Continuation{}},
		"somebody's page": {`{"data":{"url":"https://me:you@x/"}}`, gateway.Continuation{}},
	} {
		f.sessions = c.body
		next, err := g.Begin(t.Context(), f.account(), order(), ordered, merchant.UPI)
		if next.UPI != c.want.UPI || next.URL != c.want.URL || next.Post || (err == nil) != (c.want.UPI+c.want.URL != "") {
			t.Errorf("%s: %+v, %v", name, next, err)
		}
	}
	if f.sent["payment_session_id"] != "session_x" {
		t.Errorf("Order Pay was asked with %v", f.sent)
	}
	if _, err := g.Begin(t.Context(), f.account(), order(), gateway.Ordered{OrderID: "tx_1"}, ""); err == nil {
		t.Error("an order without a session begins")
	}
}

func TestSpec(t *testing.T) {
	s := newClient(t).Spec()
	if s.Name != cashfree.Name || s.Webhook != "" || s.Public != "client_id" || len(s.Keys) != 2 {
		t.Errorf("%+v", s)
	}
	for _, c := range s.Currencies {
		if exp, known := c.Exponent(); !known || exp != 2 { // what number() and Cashfree's two decimals need
			t.Errorf("%s has %d decimals", c, exp)
		}
	}
}
