package paypal_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/paypal"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

func unknown(err error) bool {
	return err != nil && !errors.As(err, new(*gateway.Declined)) && !errors.Is(err, gateway.ErrCredentials)
}

// TestFlow goes the whole way: order, page, approval, capture.
func TestFlow(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	first, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil || first.OrderID != "5O190127TN364710T" || len(first.Body) == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	const want = `{"intent":"CAPTURE","purchase_units":[{"reference_id":"tx_000000001","custom_id":"tx_000000001","invoice_id":"tx_000000001",` +
		`"description":"An order","amount":{"currency_code":"USD","value":"100.00"}}],"payment_source":{"paypal":{"experience_context":{` +
		`"payment_method_preference":"IMMEDIATE_PAYMENT_REQUIRED","shipping_preference":"NO_SHIPPING","user_action":"PAY_NOW",` +
		`"return_url":"https://pay.example/checkout/t/return","cancel_url":"https://pay.example/checkout/t/return"}}}}`
	if string(f.raw) != want {
		t.Errorf("asked with %s", f.raw)
	}
	o.Again = true
	again, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil || again.OrderID != first.OrderID || again.Session != first.Session || len(f.orders) != 1 {
		t.Errorf("again: %+v, %v, %d orders", again, err, len(f.orders))
	}
	next, err := g.Begin(t.Context(), f.account(), o, first, merchant.PayPal)
	if err != nil || next.Post || next.URL != "https://www.sandbox.paypal.com/checkoutnow?token=5O190127TN364710T" {
		t.Errorf("%+v, %v", next, err)
	}
	f.log()
	if none, err := g.Collect(t.Context(), f.account(), o, first); err != nil || len(none.List) != 0 || len(none.Body) == 0 {
		t.Errorf("before: %+v, %v", none, err)
	}
	if log := f.log(); log != "GET /v2/checkout/orders/5O190127TN364710T" {
		t.Errorf("an order that nobody has approved: %s", log)
	}
	f.approve(first.OrderID, "2026-11-22T10:04:00Z")
	for range 2 { // collecting twice captures once
		got, err := g.Collect(t.Context(), f.account(), o, first)
		if err != nil || len(got.List) != 1 || len(got.Body) == 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if p := got.List[0]; p.PaymentID != "3C679366HH908993F" || !p.Paid || p.Reference != o.Reference || p.Amount != "100.00" || p.Currency != "USD" ||
			p.Method != "paypal" || !p.At.Equal(made.Add(5*time.Minute)) {
			t.Errorf("%+v", p)
		}
	}
	if log := f.log(); strings.Count(log, "/capture") != 1 || strings.Contains(log, "token") {
		t.Errorf("asked %s", log)
	}
}

func TestShortAnswers(t *testing.T) {
	f, g := newFake(t), newClient(t)
	f.short = true
	o := order()
	ordered, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil || ordered.Session == "" {
		t.Fatalf("%+v, %v", ordered, err)
	}
	f.approve(ordered.OrderID, "2026-11-22T10:04:00Z")
	if got, err := g.Collect(t.Context(), f.account(), o, ordered); err != nil || len(got.List) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	r := gateway.Refund{Reference: "rfd_1", PaymentID: "3C679366HH908993F", OrderID: ordered.OrderID, Payin: o.Reference, Amount: usd("1")}
	if got, err := g.Refund(t.Context(), f.account(), r); err != nil || got.State != gateway.RefundDone {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestCaptureOfLostAnswer: the money is taken, and the answer is lost; the next time finds it.
func TestCaptureOfLostAnswer(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	ordered, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil {
		t.Fatal(err)
	}
	f.approve(ordered.OrderID, "2026-11-22T10:04:00Z")
	f.once(func(w http.ResponseWriter, _ *http.Request) { // the order, as it was before somebody else captured it
		f.write(w, 200, map[string]any{"id": ordered.OrderID, "status": "APPROVED", "update_time": "earlier", "purchase_units": f.orders[ordered.OrderID]["purchase_units"]})
		f.orders[ordered.OrderID]["status"] = "COMPLETED"
		unitOf(f.orders[ordered.OrderID])["payments"] = map[string]any{"captures": []any{map[string]any{
			"id": "3C679366HH908993F", "status": "COMPLETED", "amount": map[string]any{"currency_code": "USD", "value": "100.00"},
		}}}
	})
	got, err := g.Collect(t.Context(), f.account(), o, ordered)
	if err != nil || len(got.List) != 1 || !got.List[0].Paid {
		t.Errorf("%+v, %v", got, err)
	}
	if log := f.log(); !strings.HasSuffix(log, "/capture, GET /v2/checkout/orders/5O190127TN364710T") {
		t.Errorf("asked %s", log)
	}
}

// TestDeclinedInstrument: what was refused is captured anew once the customer has approved anew, under another request id.
func TestDeclinedInstrument(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	ordered, err := g.CreateOrder(t.Context(), f.account(), o)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	capture := func(status int, issue string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost {
				f.show(w, f.orders[ordered.OrderID])
				return
			}
			ids = append(ids, r.Header.Get("PayPal-Request-Id"))
			f.fail(w, status, "UNPROCESSABLE_ENTITY", issue, "The instrument presented was either declined by the processor or bank.")
		}
	}
	f.approve(ordered.OrderID, "2026-11-22T10:04:00Z")
	f.all(capture(422, "INSTRUMENT_DECLINED"))
	declined := new(gateway.Declined)
	if _, err := g.Collect(t.Context(), f.account(), o, ordered); !errors.As(err, &declined) || declined.Code != "INSTRUMENT_DECLINED" {
		t.Errorf("%v", err)
	}
	for _, issue := range []string{"ORDER_NOT_APPROVED", "PAYER_ACTION_REQUIRED"} {
		f.all(capture(422, issue))
		if got, err := g.Collect(t.Context(), f.account(), o, ordered); err != nil || len(got.List) != 0 || len(got.Body) == 0 {
			t.Errorf("%s: %+v, %v", issue, got, err)
		}
	}
	f.all(capture(422, "ORDER_COMPLETION_IN_PROGRESS"))
	if _, err := g.Collect(t.Context(), f.account(), o, ordered); !unknown(err) {
		t.Errorf("in progress: %v", err)
	}
	f.approve(ordered.OrderID, "2026-11-22T10:09:00Z")
	if _, err := g.Collect(t.Context(), f.account(), o, ordered); !unknown(err) {
		t.Errorf("in progress: %v", err)
	}
	if len(ids) != 5 || ids[0] != ids[3] || ids[3] == ids[4] || !strings.HasPrefix(ids[0], "tx_000000001-capture-") || len(ids[0]) > 108 {
		t.Errorf("request ids %v", ids)
	}
}

func TestCaptureStates(t *testing.T) {
	for status, want := range map[string]string{
		"COMPLETED": "paid", "REFUNDED": "paid", "PARTIALLY_REFUNDED": "paid", "DECLINED": "failed", "FAILED": "failed", "PENDING": "", "NEW": "",
	} {
		f, g := newFake(t), newClient(t)
		f.captured = status
		ordered, err := g.CreateOrder(t.Context(), f.account(), order())
		if err != nil {
			t.Fatal(err)
		}
		f.approve(ordered.OrderID, "2026-11-22T10:04:00Z")
		got, err := g.Collect(t.Context(), f.account(), order(), ordered)
		is := ""
		if len(got.List) == 1 {
			is = map[bool]string{true: "paid", false: "failed"}[got.List[0].Paid]
			if got.List[0].Paid == (got.List[0].Reason != "") {
				t.Errorf("%+v", got.List[0])
			}
		}
		if err != nil || is != want {
			t.Errorf("%s is %q, %v", status, is, err)
		}
	}
}

func TestWrongCaptures(t *testing.T) {
	f, g := newFake(t), newClient(t)
	const good = `{"id":"3C6","status":"COMPLETED","amount":{"currency_code":"USD","value":"100.00"}}`
	collect := func(captures string) (gateway.Payments, error) {
		f.all(func(w http.ResponseWriter, _ *http.Request) {
			body := `{"id":"5O1","status":"COMPLETED","purchase_units":[{"custom_id":"tx_000000001","amount":{"currency_code":"USD","value":"100.00"},` +
				`"payments":{"captures":[` + captures + `]}}]}`
			if _, err := w.Write([]byte(body)); err != nil {
				t.Error(err)
			}
		})
		return g.Collect(t.Context(), f.account(), order(), gateway.Ordered{OrderID: "5O1"})
	}
	if got, err := collect(good + "," + strings.Replace(good, "3C6", "3C7", 1)); err != nil || len(got.List) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for name, captures := range map[string]string{
		"no id":     strings.Replace(good, "3C6", "", 1),
		"no amount": strings.Replace(good, "100.00", "", 1),
		"of floats": strings.Replace(good, `"100.00"`, `100.0`, 1),
		"too many":  strings.Repeat(good+",", gateway.MaxPayments) + good,
	} {
		if got, err := collect(captures); !unknown(err) {
			t.Errorf("%s: %d captures, %v", name, len(got.List), err)
		}
	}
}

func TestAmounts(t *testing.T) {
	f, g := newFake(t), newClient(t)
	value := func(amount money.Amount) (string, error) {
		o := order()
		o.Reference, o.Amount = "tx_"+amount.Short()+string(amount.Currency()), amount
		if _, err := g.CreateOrder(t.Context(), f.account(), o); err != nil {
			return "", err
		}
		sent, _ := unitOf(f.sent)["amount"].(map[string]any)
		s, _ := sent["value"].(string)
		return s, nil
	}
	for _, c := range []struct {
		amount   string
		currency money.Currency
		want     string // or the code of a refusal
	}{
		{"100", "USD", "100.00"}, {"0.05", "EUR", "0.05"}, {"500", "JPY", "500"}, {"500", "HUF", "500"}, {"500.00", "TWD", "500"},
		{"500.50", "HUF", "DECIMALS_NOT_SUPPORTED"}, {"500.01", "TWD", "DECIMALS_NOT_SUPPORTED"}, {"1", "INR", "CURRENCY_NOT_SUPPORTED"},
		{"1", "KWD", "CURRENCY_NOT_SUPPORTED"},
	} {
		got, err := value(money.MustParse(c.amount, c.currency))
		if declined := new(gateway.Declined); errors.As(err, &declined) {
			got = declined.Code
		}
		if got != c.want {
			t.Errorf("%s %s: %q, %v, want %q", c.amount, c.currency, got, err, c.want)
		}
	}
	spec := g.Spec()
	if spec.Name != paypal.Name || spec.Webhook != "webhook_id" || !slices.Contains(spec.Currencies, "USD") || slices.Contains(spec.Currencies, money.INR) {
		t.Errorf("%+v", spec)
	}
}

func TestDeclined(t *testing.T) {
	f, g := newFake(t), newClient(t)
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 422, "UNPROCESSABLE_ENTITY", "PAYEE_ACCOUNT_RESTRICTED", "Payee a@example.com is restricted.")
	})
	declined := new(gateway.Declined)
	_, err := g.CreateOrder(t.Context(), f.account(), order())
	if !errors.As(err, &declined) || declined.Code != "PAYEE_ACCOUNT_RESTRICTED" || declined.Reason != "Payee ... is restricted." {
		t.Errorf("%v", err)
	}
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.write(w, 400, map[string]any{"name": "INVALID_REQUEST", "message": "Request is not well-formed.", "debug_id": "1"})
	})
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); !errors.As(err, &declined) || declined.Code != "INVALID_REQUEST" {
		t.Errorf("%v", err)
	}
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 422, "UNPROCESSABLE_ENTITY", "DUPLICATE_INVOICE_ID", "Duplicate Invoice ID detected.")
	})
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); !unknown(err) {
		t.Errorf("an invoice that was paid before: %v", err)
	}
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID", "Specified resource ID does not exist.")
	})
	if _, err := g.Collect(t.Context(), f.account(), order(), gateway.Ordered{OrderID: "5O190127TN364715T"}); !unknown(err) {
		t.Errorf("an order that is not found: %v", err) // with keys of another account it would look the same
	}
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 403, "NOT_AUTHORIZED", "PERMISSION_DENIED", "You do not have permission to access or perform operations on this resource.")
	})
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("403: %v", err)
	}
}

// TestUnknown: whatever settles nothing is neither declined nor about credentials, and never quotes what came.
func TestUnknown(t *testing.T) {
	f, g := newFake(t), newClient(t)
	o := order()
	ordered := gateway.Ordered{OrderID: "5O190127TN364715T"}
	r := gateway.Refund{Reference: "rfd_1", OrderID: ordered.OrderID, PaymentID: "3C679366HH908993F", RefundID: "1JU08902781691411", Amount: usd("1")}
	nameless := r
	nameless.RefundID = ""
	for what, call := range map[string]func(context.Context) error{
		"create":  func(ctx context.Context) error { _, err := g.CreateOrder(ctx, f.account(), o); return err },
		"collect": func(ctx context.Context) error { _, err := g.Collect(ctx, f.account(), o, ordered); return err },
		"refund":  func(ctx context.Context) error { _, err := g.Refund(ctx, f.account(), r); return err },
		"inquire": func(ctx context.Context) error { _, err := g.InquireRefund(ctx, f.account(), r); return err },
		"find":    func(ctx context.Context) error { _, err := g.InquireRefund(ctx, f.account(), nameless); return err },
		"verify": func(ctx context.Context) error {
			_, err := g.ParseWebhook(ctx, f.account(), headers(), []byte("{}"), sentAt)
			if errors.Is(err, gateway.ErrSignature) || errors.Is(err, gateway.ErrMalformed) || errors.Is(err, gateway.ErrStale) {
				t.Errorf("what cannot be verified now is called false: %v", err)
			}
			return err
		},
	} {
		for name, h := range broken() {
			f.all(h)
			if err := call(t.Context()); !unknown(err) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "A21AA") {
				t.Errorf("%s, %s: %v", what, name, err)
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
	const good = `{"id":"5O1","status":"CREATED","purchase_units":[{"custom_id":"tx_000000001","amount":{"currency_code":"USD","value":"100.00"}}],` +
		`"links":[{"href":"https://www.paypal.com/checkoutnow?token=5O1","rel":"approve","method":"GET"}]}`
	answer := func(body string) (gateway.Ordered, error) {
		f.all(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			if _, err := w.Write([]byte(body)); err != nil {
				t.Error(err)
			}
		})
		return g.CreateOrder(t.Context(), f.account(), order())
	}
	if made, err := answer(good); err != nil || made.Session != "https://www.paypal.com/checkoutnow?token=5O1" {
		t.Errorf("%+v, %v", made, err)
	}
	for name, pair := range map[string][2]string{
		"another order":  {`"tx_000000001"`, `"tx_000000002"`},
		"another amount": {`"100.00"`, `"100.01"`},
		"another money":  {`"USD"`, `"EUR"`},
		"an exponent":    {`"100.00"`, `"1e2"`},
		"no id":          {`"5O1",`, `"",`},
		"an id of paths": {`"5O1",`, `"../../x",`},
		"no link":        {`"approve"`, `"self"`},
		"a script":       {`https://www.paypal.com/checkoutnow`, `javascript:alert(1)`},
		"two units":      {`[{"custom_id"`, `[{},{"custom_id"`},
	} {
		if made, err := answer(strings.Replace(good, pair[0], pair[1], 1)); !unknown(err) {
			t.Errorf("%s: %+v, %v", name, made, err)
		}
	}
	if made, err := answer(strings.NewReplacer(`"approve"`, `"self"`, "CREATED", "APPROVED").Replace(good)); err != nil || made.Session != "" {
		t.Errorf("an order that was approved already: %+v, %v", made, err)
	}
	for _, session := range []string{"", "javascript:alert(1)", "http://www.paypal.com/", "https://me@www.paypal.com/"} {
		if next, err := g.Begin(t.Context(), gateway.Account{}, order(), gateway.Ordered{OrderID: "5O1", Session: session}, ""); err == nil {
			t.Errorf("%q: %+v", session, next)
		}
	}
	for _, id := range []string{"", "a/b", "a?b", strings.Repeat("A", 65)} {
		if _, err := g.Collect(t.Context(), f.account(), order(), gateway.Ordered{OrderID: id}); err == nil {
			t.Errorf("%q is collected", id)
		}
	}
}
