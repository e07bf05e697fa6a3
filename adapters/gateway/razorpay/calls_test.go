package razorpay

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// kind names an error by the contract's three kinds.
func kind(err error) string {
	var declined *gateway.Declined
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &declined):
		return "declined"
	case errors.Is(err, gateway.ErrCredentials):
		return "credentials"
	}
	return "unknown"
}

// TestEveryKindOfError asks each call of the adapter against each way in which Razorpay can fail.
func TestEveryKindOfError(t *testing.T) {
	secret := "Authentication failed for key secret of gaurav@example.com"
	failures := []struct {
		name, answer, want string
	}{
		{"refused", "400 " + refusalBody("BAD_REQUEST_ERROR", "The amount must be at least INR 1.00, gaurav@example.com", "input_validation_failed"), "declined"},
		{"not found, of its own format", "404 " + refusalBody("BAD_REQUEST_ERROR", "The id provided does not exist", "NA"), "declined"},
		{"wrong key", "401 " + refusalBody("BAD_REQUEST_ERROR", secret, "NA"), "credentials"},
		{"wrong key, as a 400", "400 " + refusalBody("BAD_REQUEST_ERROR", "The api key provided is invalid", "NA"), "credentials"},
		{"forbidden", "403 " + refusalBody("BAD_REQUEST_ERROR", "Access denied", "NA"), "credentials"},
		{"a proxy's 401", "401 <html>", "unknown"},
		{"a proxy's 404", "404 <html>", "unknown"},
		{"400 with an error of the server", "400 " + refusalBody("SERVER_ERROR", "We are facing some trouble", "server_error"), "unknown"},
		{"400 with an error of a bank", "400 " + refusalBody("GATEWAY_ERROR", "Payment failed", "gateway_technical_error"), "unknown"},
		{"too many requests", "429 " + refusalBody("BAD_REQUEST_ERROR", "Too many requests", "NA"), "unknown"},
		{"the first is under way", "409 " + refusalBody("BAD_REQUEST_ERROR", "Conflict", "NA"), "unknown"},
		{"error of the server", "500 " + refusalBody("SERVER_ERROR", "The server encountered an error", "NA"), "unknown"},
		{"unavailable", "503 ", "unknown"},
		{"redirect", "307 {}", "unknown"},
		{"garbage", "{", "unknown"},
		{"something else", `{"entity":"event"}`, "unknown"},
		{"a list", `[]`, "unknown"},
		{"too large", `"` + strings.Repeat("x", gateway.MaxBodyBytes) + `"`, "unknown"},
		{"cut", dropped, "unknown"},
	}
	calls := []struct {
		name, line string
		doubted    bool // a question: no refusal of it settles anything
		call       func(context.Context, *Client, gateway.Account) error
	}{
		{"check", "GET /v1/orders", false, func(ctx context.Context, c *Client, a gateway.Account) error { return c.Check(ctx, a) }},
		{"order", "POST /v1/orders", false, func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.CreateOrder(ctx, a, theOrder())
			return err
		}},
		{"order again", "GET /v1/orders", true, func(ctx context.Context, c *Client, a gateway.Account) error {
			o := theOrder()
			o.Again = true
			_, err := c.CreateOrder(ctx, a, o)
			return err
		}},
		{"collect", "GET /v1/orders/" + orderID + "/payments", true, func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.Collect(ctx, a, theOrder(), made)
			return err
		}},
		{"inquire", "GET /v1/payments/" + payID + "/refunds", true, func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.InquireRefund(ctx, a, theRefund())
			return err
		}},
		{"dispute", "GET /v1/disputes/" + dispID, false, func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.InquireDispute(ctx, a, dispID)
			return err
		}},
		{"refund", "POST /v1/payments/" + payID + "/refund", false, func(ctx context.Context, c *Client, a gateway.Account) error {
			_, err := c.Refund(ctx, a, theRefund())
			return err
		}},
	}
	for _, call := range calls {
		for _, f := range failures {
			t.Run(call.name+"/"+f.name, func(t *testing.T) {
				r, c, a := world(t)
				if call.name == "refund" {
					r.on("GET /v1/payments/"+payID+"/refunds", collectionBody())
				}
				r.on(call.line, f.answer)
				want := f.want
				if call.doubted && want == "declined" {
					want = "unknown"
				}
				err := call.call(timeout(t), c, a)
				if kind(err) != want {
					t.Errorf("%s: %v, want %s", kind(err), err, want)
				}
				if s := err.Error(); strings.Contains(s, "key secret") || strings.Contains(s, "@example.com") || strings.Contains(s, "\x00") || len(s) > 600 {
					t.Errorf("an error that tells too much: %s", s)
				}
			})
		}
	}
}

func TestEndedContextAsksNothing(t *testing.T) {
	_, c, a := world(t)
	ctx, end := context.WithCancel(t.Context())
	end()
	if _, err := c.CreateOrder(ctx, a, theOrder()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestKeysOfTheOtherMode(t *testing.T) {
	_, c, a := world(t) // it would complain of any request
	for _, one := range []struct {
		key  string
		live bool
	}{{"rzp_live_x", false}, {"rzp_test_x", true}, {"", false}} {
		a.Live = one.live
		a.Credentials = map[string]string{"key_id": one.key, "key_secret": "s"}
		if err := c.Check(timeout(t), a); kind(err) != "credentials" {
			t.Errorf("key %q, live %v: %v", one.key, one.live, err)
		}
	}
}

func TestCheck(t *testing.T) {
	r, c, a := world(t)
	r.on("GET /v1/orders", collectionBody())
	if err := c.Check(timeout(t), a); err != nil {
		t.Error(err)
	}
	if got := r.lines(); !slices.Equal(got, []string{"GET /v1/orders?count=1"}) {
		t.Error(got)
	}
	a.Credentials = map[string]string{"key_id": "rzp_test_1DP5mmOlF5G5ag", "key_secret": "wrong"}
	if err := c.Check(timeout(t), a); kind(err) != "credentials" {
		t.Error(err)
	}
}

func TestCreateOrder(t *testing.T) {
	for _, one := range []struct {
		amount   string
		currency money.Currency
		minor    string // "" is refused without asking
	}{
		{"500.00", "INR", "50000"}, {"0.01", "INR", "1"}, {"295", "JPY", "295"}, {"295.990", "KWD", "295990"}, {"295.991", "KWD", ""},
		{"92233720368547758.08", "INR", ""}, {"0", "INR", ""}, {"-1", "INR", ""}, {"0.00000001", "BTC", ""},
	} {
		r, c, a := world(t)
		o := theOrder()
		o.Amount = money.MustParse(one.amount, one.currency)
		n, _ := o.Amount.Minor()
		r.on("POST /v1/orders", orderBody(orderID, reference, string(one.currency), int(n), 1582637108))
		got, err := c.CreateOrder(timeout(t), a, o)
		if one.minor == "" {
			if kind(err) != "declined" || len(r.lines()) != 0 {
				t.Errorf("%s %s: %v, asked %v", one.amount, one.currency, err, r.lines())
			}
			continue
		}
		if err != nil || got.OrderID != orderID || len(got.Body) == 0 || got.MediaType == "" {
			t.Fatalf("%s %s: %+v, %v", one.amount, one.currency, got, err)
		}
		want := `{"amount":` + one.minor + `,"currency":"` + string(one.currency) + `","receipt":"` + reference + `","notes":{"kspay_id":"` + reference + `"}}`
		if body := strings.TrimSpace(r.last().body); body != want {
			t.Errorf("asked with %s, want %s", body, want)
		}
	}
}

func TestCreateOrderOfAnother(t *testing.T) {
	for name, body := range map[string]string{
		"amount":   orderBody(orderID, reference, "INR", 49999, 1),
		"currency": orderBody(orderID, reference, "USD", 50000, 1),
		"receipt":  orderBody(orderID, "tx_other0000", "INR", 50000, 1),
		"id":       orderBody("../x", reference, "INR", 50000, 1),
		"decimals": strings.Replace(orderBody(orderID, reference, "INR", 50000, 1), "50000", "50000.5", 1),
	} {
		r, c, a := world(t)
		r.on("POST /v1/orders", body)
		if _, err := c.CreateOrder(timeout(t), a, theOrder()); kind(err) != "unknown" {
			t.Errorf("another %s: %v", name, err)
		}
	}
}

func TestCreateOrderAgain(t *testing.T) {
	r, c, a := world(t)
	o := theOrder()
	o.Again = true
	r.on("GET /v1/orders", collectionBody(
		orderBody("order_second", reference, "INR", 50000, 20), orderBody(orderID, reference, "INR", 50000, 10), orderBody("order_else", "tx_other0000", "INR", 1, 1)))
	got, err := c.CreateOrder(timeout(t), a, o)
	if err != nil || got.OrderID != orderID {
		t.Errorf("%+v, %v", got, err)
	}
	if want := []string{"GET /v1/orders?count=10&receipt=" + reference}; !slices.Equal(r.lines(), want) {
		t.Errorf("asked %v", r.lines())
	}
	r.on("GET /v1/orders", collectionBody())
	r.on("POST /v1/orders", orderBody("order_new", reference, "INR", 50000, 30))
	if got, err := c.CreateOrder(timeout(t), a, o); err != nil || got.OrderID != "order_new" {
		t.Errorf("%+v, %v", got, err)
	}
	r.on("GET /v1/orders", collectionBody(orderBody(orderID, reference, "INR", 1, 10)))
	if got, err := c.CreateOrder(timeout(t), a, o); kind(err) != "unknown" {
		t.Errorf("an order of this receipt over another amount: %+v, %v", got, err)
	}
}

func TestCreateOrderWhoseReceiptIsTaken(t *testing.T) {
	r, c, a := world(t)
	r.on("POST /v1/orders", "400 "+refusalBody("BAD_REQUEST_ERROR", "Order receipt should be unique.", "input_validation_failed"))
	r.on("GET /v1/orders", collectionBody(orderBody(orderID, reference, "INR", 50000, 10)))
	if got, err := c.CreateOrder(timeout(t), a, theOrder()); err != nil || got.OrderID != orderID {
		t.Errorf("%+v, %v", got, err)
	}
	r.on("GET /v1/orders", "401 "+refusalBody("BAD_REQUEST_ERROR", "Authentication failed", "NA"))
	if _, err := c.CreateOrder(timeout(t), a, theOrder()); kind(err) != "unknown" {
		t.Errorf("an order is there, and cannot be looked up: %v", err)
	}
}

func TestBegin(t *testing.T) {
	r, c, a := world(t)
	o := theOrder()
	o.Name, o.Email, o.Phone = "Gaurav Kumar", "gaurav@example.com", "+919000090000"
	next, err := c.Begin(timeout(t), a, o, made, merchant.CreditCard)
	if err != nil || !next.Post || next.UPI != "" || next.URL != r.URL+"/sandbox/razorpay/v1/checkout/embedded" {
		t.Fatalf("%+v, %v", next, err)
	}
	want := []gateway.Field{
		{Name: "key_id", Value: "rzp_test_1DP5mmOlF5G5ag"}, {Name: "order_id", Value: orderID}, {Name: "amount", Value: "50000"}, {Name: "currency", Value: "INR"},
		{Name: "name", Value: "Acme"}, {Name: "description", Value: "Invoice 7"}, {Name: "method", Value: "card"},
		{Name: "prefill[name]", Value: "Gaurav Kumar"}, {Name: "prefill[email]", Value: "gaurav@example.com"}, {Name: "prefill[contact]", Value: "+919000090000"},
		{Name: "notes[kspay_id]", Value: reference}, {Name: "callback_url", Value: o.ReturnURL}, {Name: "cancel_url", Value: o.ReturnURL},
	}
	if !slices.Equal(next.Fields, want) {
		t.Errorf("%+v", next.Fields)
	}
	any, err := c.Begin(timeout(t), a, theOrder(), made, "")
	if err != nil || slices.ContainsFunc(any.Fields, func(f gateway.Field) bool { return f.Name == "method" || f.Value == "" }) {
		t.Errorf("%+v, %v", any, err)
	}
	if len(r.lines()) != 0 {
		t.Errorf("the hosted form asked for something: %v", r.lines())
	}
}

func TestBeginUPI(t *testing.T) {
	const link = "upi://pay?pa=success@razorpay&pn=xyz&tr=xxxxxxxxxxx&tn=gourav&am=500&cu=INR&mc=1234"
	good := `{"razorpay_payment_id":"pay_CMeM6XvOPGFiF","link":"` + link + `"}`
	for name, one := range map[string]struct {
		answer string
		upi    bool
	}{
		"a link":             {good, true},
		"not enabled":        {"400 " + refusalBody("BAD_REQUEST_ERROR", "The requested URL was not found on the server.", "NA"), false},
		"an error":           {"500 ", false},
		"dropped":            {dropped, false},
		"another kind":       {strings.Replace(good, "upi://pay", "https://pay", 1), false},
		"a link of two":      {strings.Replace(good, "&pn", `\n&pn`, 1), false},
		"no payment":         {`{"link":"` + link + `"}`, false},
		"too long a link":    {strings.Replace(good, "gourav", strings.Repeat("g", 3000), 1), false},
		"a script in the id": {strings.Replace(good, "pay_CMeM6XvOPGFiF", "pay_<script>", 1), false},
	} {
		r, c, a := world(t)
		o := theOrder()
		o.Email, o.Phone = "gaurav@example.com", "9000090000"
		r.on("POST /v1/payments/create/upi", one.answer)
		next, err := c.Begin(timeout(t), a, o, made, merchant.UPI)
		if err != nil || (next.UPI == link) != one.upi || next.Post == one.upi {
			t.Errorf("%s: %+v, %v", name, next, err)
		}
		var sent map[string]any
		if err := json.Unmarshal([]byte(r.last().body), &sent); err != nil || sent["order_id"] != orderID || sent["contact"] != "9000090000" || sent["method"] != "upi" {
			t.Errorf("%s: sent %v, %v", name, sent, err)
		}
		if upi, ok := sent["upi"].(map[string]any); !ok || upi["flow"] != "intent" {
			t.Errorf("%s: sent %v", name, sent)
		}
	}
	r, c, a := world(t) // Razorpay asks who the customer is, also where nobody has said it
	r.on("POST /v1/payments/create/upi", good)
	next, err := c.Begin(timeout(t), a, theOrder(), made, merchant.UPI)
	if sent := r.last().body; err != nil || next.UPI != link || !strings.Contains(sent, `"void@razorpay.com"`) || !strings.Contains(sent, `"9999999999"`) {
		t.Errorf("%+v, %v, sent %s", next, err, sent)
	}
	a.Credentials = map[string]string{"key_id": "rzp_test_1DP5mmOlF5G5ag", "key_secret": "wrong"}
	o := theOrder()
	o.Email, o.Phone = "gaurav@example.com", "9000090000"
	if _, err := c.Begin(timeout(t), a, o, made, merchant.UPI); kind(err) != "credentials" {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	for m, want := range map[merchant.Method]string{
		merchant.NetBanking: `{"display":{"blocks":{"netbanking":{"name":"Pay using Netbanking","instruments":[{"method":"netbanking"}]}},"sequence":["block.netbanking"],"preferences":{"show_default_blocks":false}}}`,
		merchant.DebitCard:  `{"display":{"blocks":{"debitcard":{"name":"Pay using Debit Card","instruments":[{"method":"card","types":["debit"]}]}},"sequence":["block.debitcard"],"preferences":{"show_default_blocks":false}}}`,
		merchant.UPI:        `{"display":{"blocks":{"upi":{"name":"Pay using UPI","instruments":[{"method":"upi"}]}},"sequence":["block.upi"],"preferences":{"show_default_blocks":false}}}`,
		"":                  `{"display":{"preferences":{"show_default_blocks":true}}}`,
		merchant.PayPal:     `{"display":{"preferences":{"show_default_blocks":true}}}`,
	} {
		if got := string(Config(m)); got != want {
			t.Errorf("%q: %s", m, got)
		}
		o := theOrder()
		o.Method = m
		if got, err := New().Config(gateway.Account{}, o, made); err != nil || string(got) != want {
			t.Errorf("of an order by %q: %s, %v", m, got, err)
		}
	}
}

func TestSpec(t *testing.T) {
	s := New().Spec()
	for _, c := range s.Currencies {
		if exponent, known := c.Exponent(); !known || exponent > 3 {
			t.Errorf("%s has %d decimals", c, exponent)
		}
	}
	for _, m := range s.Methods {
		if method(m) == "" {
			t.Errorf("%s is none of Razorpay's", m)
		}
	}
	if s.Name != "razorpay" || s.Public != "key_id" || s.Webhook != "webhook_secret" || !slices.Contains(s.Keys, s.Public) {
		t.Errorf("%+v", s)
	}
}

func TestCollect(t *testing.T) {
	list := "GET /v1/orders/" + orderID + "/payments"
	r, c, a := world(t)
	r.on(list, collectionBody(
		paymentBody("pay_new", orderID, "created", 50000, 40), paymentBody(payID, orderID, "captured", 50000, 30), paymentBody("pay_bad", orderID, "failed", 50000, 20),
		strings.Replace(paymentBody("pay_back", orderID, "refunded", 50000, 10), `"captured":false`, `"captured":true`, 1), paymentBody("pay_late", orderID, "refunded", 50000, 15)))
	got, err := c.Collect(timeout(t), a, theOrder(), made)
	if err != nil || len(got.Body) == 0 {
		t.Fatal(err)
	}
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	base := gateway.Payment{Reference: reference, Amount: "500.00", Currency: "INR", UTR: "4827433", Method: "netbanking", SubMethod: "HDFC"}
	want := make([]gateway.Payment, 4)
	for i, one := range []struct {
		id     string
		paid   bool
		reason string
		at     int64
	}{{"pay_back", true, "", 10}, {"pay_late", false, wallet.FailureOther, 15}, {"pay_bad", false, wallet.FailureLowBalance, 20}, {payID, true, "", 30}} {
		want[i] = base
		want[i].PaymentID, want[i].Paid, want[i].Reason, want[i].At = one.id, one.paid, one.reason, at(one.at)
	}
	if !slices.Equal(got.List, want) {
		t.Errorf("%+v", got.List)
	}
	if got := r.lines(); len(got) != 1 {
		t.Errorf("asked %v", got)
	}
}

func TestCollectCaptures(t *testing.T) {
	list, capture := "GET /v1/orders/"+orderID+"/payments", "POST /v1/payments/"+payID+"/capture"
	waiting := paymentBody(payID, orderID, "authorized", 50000, 30)
	done := paymentBody(payID, orderID, "captured", 50000, 30)
	for name, one := range map[string]struct {
		before, after string
		capture       string // what capturing answers; "" is not to be asked
		paid          int
		err           string
	}{
		"it":                     {collectionBody(waiting), collectionBody(done), done, 1, "none"},
		"the oldest":             {collectionBody(paymentBody("pay_later", orderID, "authorized", 50000, 40), waiting), collectionBody(done), done, 1, "none"},
		"captured meanwhile":     {collectionBody(waiting), collectionBody(done), "400 " + refusalBody("BAD_REQUEST_ERROR", "This payment has already been captured", "NA"), 1, "none"},
		"cannot be any more":     {collectionBody(waiting), collectionBody(waiting), "400 " + refusalBody("BAD_REQUEST_ERROR", "It was refunded", "NA"), 0, "none"},
		"no answer":              {collectionBody(waiting), collectionBody(waiting), dropped, 0, "unknown"},
		"error":                  {collectionBody(waiting), collectionBody(waiting), "500 ", 0, "unknown"},
		"over another amount":    {collectionBody(paymentBody(payID, orderID, "authorized", 49999, 30)), "", "", 0, "none"},
		"with one captured":      {collectionBody(waiting, paymentBody("pay_first", orderID, "captured", 50000, 10)), "", "", 1, "none"},
		"none":                   {collectionBody(), "", "", 0, "none"},
		"one of another order":   {collectionBody(paymentBody(payID, "order_other", "captured", 50000, 30)), "", "", 0, "unknown"},
		"one with another's id":  {collectionBody(paymentBody("pay_../x", orderID, "captured", 50000, 30)), "", "", 0, "unknown"},
		"one of no currency":     {collectionBody(strings.Replace(done, "INR", "XXX", 1)), "", "", 0, "unknown"},
		"one with half a paisa":  {collectionBody(strings.Replace(done, "50000", "50000.5", 1)), "", "", 0, "unknown"},
		"one of negative amount": {collectionBody(strings.Replace(done, "50000", "-50000", 1)), "", "", 0, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			r, c, a := world(t)
			r.on(list, one.before, one.after)
			if one.capture != "" {
				r.on(capture, one.capture)
			}
			got, err := c.Collect(timeout(t), a, theOrder(), made)
			paid := 0
			for _, p := range got.List {
				if p.Paid {
					paid++
				}
			}
			if kind(err) != one.err || paid != one.paid {
				t.Errorf("%+v, %v", got.List, err)
			}
			for _, q := range r.all() {
				if strings.HasPrefix(q.line, "POST") && strings.TrimSpace(q.body) != `{"amount":50000,"currency":"INR"}` {
					t.Errorf("captured with %s", q.body)
				}
			}
		})
	}
	_, c, a := world(t)
	if _, err := c.Collect(timeout(t), a, theOrder(), gateway.Ordered{OrderID: "order_x/../../y"}); kind(err) != "unknown" {
		t.Error(err)
	}
}
