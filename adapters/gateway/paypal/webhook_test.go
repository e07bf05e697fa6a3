package paypal_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/paypal"
)

var sentAt = time.Date(2026, 11, 22, 10, 6, 0, 0, time.UTC)

func headers() http.Header {
	h := http.Header{}
	h.Set("PAYPAL-AUTH-ALGO", "SHA256withRSA")
	h.Set("PAYPAL-CERT-URL", "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77")
	h.Set("PAYPAL-TRANSMISSION-ID", "69cd13f0-d67a-11e5-baa3-778b53f4ae55")
	h.Set("PAYPAL-TRANSMISSION-SIG", "c2lnbmVk")
	h.Set("PAYPAL-TRANSMISSION-TIME", "2026-11-22T10:06:00Z")
	h.Set("Content-Type", "application/json")
	return h
}

// completed is the example of PAYMENT.CAPTURE.COMPLETED, with our references, and spaces that only its sender would know.
const completed = `{"id":"WH-58D329510W468432D-8HN650336L201105X","create_time":"2019-02-14T21:50:07.940Z",  "resource_type":"capture",
 "event_type":"PAYMENT.CAPTURE.COMPLETED","summary":"Payment completed for $ 30.0 USD","resource":{"amount":{"currency_code":"USD","value":"30.00"},
 "seller_protection":{"status":"ELIGIBLE","dispute_categories":["ITEM_NOT_RECEIVED","UNAUTHORIZED_TRANSACTION"]},
 "supplementary_data":{"related_ids":{"order_id":"5O190127TN364715T"}},"custom_id":"tx_000000001","invoice_id":"tx_000000001",
 "update_time":"2019-02-14T21:49:58Z","create_time":"2019-02-14T21:49:58Z","final_capture":true,
 "links":[{"href":"https://api.paypal.com/v2/payments/captures/27M47624FP291604U","rel":"self","method":"GET"}],
 "id":"27M47624FP291604U","status":"COMPLETED"},"event_version":"1.0","resource_version":"2.0"}`

// parse has PayPal confirm the message, and reads it.
func parse(t *testing.T, f *fake, g *paypal.Client, body string) ([]gateway.Message, error) {
	t.Helper()
	f.genuine = body
	return g.ParseWebhook(t.Context(), f.account(), headers(), []byte(body), sentAt.Add(time.Minute))
}

func TestWebhook(t *testing.T) {
	f, g := newFake(t), newClient(t)
	got, err := parse(t, f, g, completed)
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	m := got[0]
	if m.ID != "WH-58D329510W468432D-8HN650336L201105X" || m.Reference != "tx_000000001" || m.OrderID != "5O190127TN364715T" || string(m.Body) != completed {
		t.Errorf("%+v", m)
	}
	if p := m.Payment; p == nil || p.PaymentID != "27M47624FP291604U" || !p.Paid || p.Amount != "30.00" || p.Currency != "USD" || p.Reference != "tx_000000001" ||
		!p.At.Equal(time.Date(2019, 2, 14, 21, 49, 58, 0, time.UTC)) {
		t.Errorf("%+v", p)
	}
	const want = `{"auth_algo":"SHA256withRSA","cert_url":"https://api.sandbox.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-a5cafa77",` +
		`"transmission_id":"69cd13f0-d67a-11e5-baa3-778b53f4ae55","transmission_sig":"c2lnbmVk","transmission_time":"2026-11-22T10:06:00Z",` +
		`"webhook_id":"1JE4291016473214C","webhook_event":`
	if string(f.raw) != want+completed+"}" {
		t.Errorf("PayPal was asked %s", f.raw)
	}
}

func TestWebhookRefused(t *testing.T) {
	f, g := newFake(t), newClient(t)
	f.genuine = completed
	with := func(name, value string) http.Header {
		h := headers()
		h.Set(name, value)
		return h
	}
	at := sentAt.Add(time.Minute)
	for name, c := range map[string]struct {
		header http.Header
		body   string
		now    time.Time
		want   error
	}{
		"another body":      {headers(), strings.Replace(completed, "30.00", "31.00", 1), at, gateway.ErrSignature},
		"written anew":      {headers(), strings.Replace(completed, "  ", "", 1), at, gateway.ErrSignature},
		"another signature": {with("PAYPAL-TRANSMISSION-SIG", "b3RoZXI="), completed, at, gateway.ErrSignature},
		"no headers":        {http.Header{}, completed, at, gateway.ErrSignature},
		"no algorithm":      {with("PAYPAL-AUTH-ALGO", ""), completed, at, gateway.ErrSignature},
		"a long signature":  {with("PAYPAL-TRANSMISSION-SIG", strings.Repeat("a", 501)), completed, at, gateway.ErrSignature},
		"too old":           {headers(), completed, at.Add(74 * time.Hour), gateway.ErrStale},
		"of the future":     {headers(), completed, at.Add(-7 * time.Minute), gateway.ErrStale},
		"no time":           {with("PAYPAL-TRANSMISSION-TIME", "soon"), completed, at, gateway.ErrMalformed},
		"not JSON":          {headers(), "{", at, gateway.ErrMalformed},
		"more than JSON":    {headers(), `{},"webhook_id":"mine"`, at, gateway.ErrMalformed},
		"too large":         {headers(), `"` + strings.Repeat("a", gateway.MaxBodyBytes) + `"`, at, gateway.ErrMalformed},
	} {
		if got, err := g.ParseWebhook(t.Context(), f.account(), c.header, []byte(c.body), c.now); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.write(w, 400, map[string]any{"name": "VALIDATION_ERROR", "message": "Invalid request - see details.", "debug_id": "1", "details": []any{map[string]any{"issue": "x"}}})
	})
	if got, err := g.ParseWebhook(t.Context(), f.account(), headers(), []byte(completed), at); !errors.Is(err, gateway.ErrSignature) {
		t.Errorf("PayPal does not take the question: %+v, %v", got, err)
	}
	live := gateway.Account{Config: "gc_1", WebhookSecret: "1"} // PayPal's own: no certificate of anybody else's, and no call
	for _, cert := range []string{"https://evil.example/cert", "http://api.paypal.com/cert", "https://evilpaypal.com/cert", "https://api.paypal.com.evil.example/cert", "::"} {
		if got, err := g.ParseWebhook(t.Context(), live, with("PAYPAL-CERT-URL", cert), []byte(completed), at); !errors.Is(err, gateway.ErrSignature) {
			t.Errorf("%s: %+v, %v", cert, got, err)
		}
	}
	bare := f.account()
	bare.WebhookSecret = ""
	if got, err := g.ParseWebhook(t.Context(), bare, headers(), []byte(completed), at); !unknown(err) || errors.Is(err, gateway.ErrSignature) {
		t.Errorf("an account without a webhook: %+v, %v", got, err)
	}
}

func TestWebhookOfOrders(t *testing.T) {
	f, g := newFake(t), newClient(t)
	const approved = `{"id":"WH-1","event_type":"CHECKOUT.ORDER.APPROVED","resource_type":"checkout-order","resource":{"id":"5O190127TN364715T","status":"APPROVED",
		"intent":"CAPTURE","purchase_units":[{"reference_id":"tx_000000001","custom_id":"tx_000000001","amount":{"currency_code":"USD","value":"100.00"}}],
		"payer":{"email_address":"customer@example.com","payer_id":"QYR5Z8XDVJNXQ"}}}`
	got, err := parse(t, f, g, approved)
	if err != nil || len(got) != 1 || !got[0].Approved || got[0].OrderID != "5O190127TN364715T" || got[0].Reference != "tx_000000001" || got[0].Payment != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := parse(t, f, g, strings.Replace(approved, `"purchase_units":[`, `"purchase_units":[{},`, 1)); err != nil || got != nil {
		t.Errorf("of two units: %+v, %v", got, err)
	}
	if got, err := parse(t, f, g, strings.Replace(approved, `"5O190127TN364715T"`, `""`, 1)); !errors.Is(err, gateway.ErrMalformed) {
		t.Errorf("no order: %+v, %v", got, err)
	}
	for _, kind := range []string{"PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED"} {
		for _, status := range []string{"DECLINED", "DENIED"} {
			denied := strings.NewReplacer("PAYMENT.CAPTURE.COMPLETED", kind, `"status":"COMPLETED"`, `"status":"`+status+`"`).Replace(completed)
			if got, err := parse(t, f, g, denied); err != nil || len(got) != 1 || got[0].Payment.Paid || got[0].Payment.Reason != "rejected_by_bank" {
				t.Errorf("%s: %+v, %v", kind, got, err)
			}
		}
	}
	for name, body := range map[string]string{
		"pending":         strings.NewReplacer("CAPTURE.COMPLETED", "CAPTURE.PENDING", `"status":"COMPLETED"`, `"status":"PENDING"`).Replace(completed),
		"sold elsewhere":  strings.NewReplacer(`"order_id":"5O190127TN364715T"`, ``, `"tx_000000001"`, `""`).Replace(completed),
		"a subscription":  `{"id":"WH-1","event_type":"BILLING.SUBSCRIPTION.CREATED","resource":{}}`,
		"nothing of ours": `{"id":"WH-1","event_type":"X","resource":null}`,
	} {
		if got, err := parse(t, f, g, body); err != nil || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{
		"another status": strings.Replace(completed, `"status":"COMPLETED"`, `"status":"DECLINED"`, 1),
		"no amount":      strings.Replace(completed, `"value":"30.00"`, `"value":""`, 1),
		"no id":          strings.Replace(completed, `"27M47624FP291604U","status"`, `"","status"`, 1),
		"no resource":    `{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":[]}`,
		"no type":        `{"id":"WH-1"}`,
		"a list":         `[]`,
	} {
		if got, err := parse(t, f, g, body); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWebhookOfRefunds(t *testing.T) {
	f, g := newFake(t), newClient(t)
	const refunded = `{"id":"WH-1GE84257G0350133W-6RW800890C634293G","event_type":"PAYMENT.CAPTURE.REFUNDED","resource_type":"refund","resource":{
		"amount":{"currency_code":"USD","value":"1.00"},"custom_id":"rfd_000000001","id":"1Y107995YT783435V","status":"COMPLETED",
		"create_time":"2018-08-15T19:16:55Z","update_time":"2018-08-15T19:16:55Z",
		"links":[{"href":"https://api.paypal.com/v2/payments/captures/0JF852973C016714D","rel":"up","method":"GET"}]}}`
	got, err := parse(t, f, g, refunded)
	if err != nil || len(got) != 1 || got[0].Reference != "rfd_000000001" {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := got[0].Refund; r == nil || r.State != gateway.RefundDone || r.RefundID != "1Y107995YT783435V" || len(r.Body) == 0 {
		t.Errorf("%+v", r)
	}
	got, err = parse(t, f, g, strings.Replace(refunded, "rfd_000000001", "tx_000000001", 1)) // made in PayPal's own centre
	if err != nil || len(got) != 1 || got[0].Reference != "tx_000000001" || got[0].Refund.RefundID != "1Y107995YT783435V" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{strings.Replace(refunded, "COMPLETED", "GONE", 1), strings.Replace(refunded, "1Y107995YT783435V", "", 1)} {
		if got, err := parse(t, f, g, bad); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// disputed is the example of CUSTOMER.DISPUTE.CREATED.
const disputed = `{"id":"WH-4M0448861G563140B-9EX36365822141321","event_type":"CUSTOMER.DISPUTE.CREATED","resource_type":"dispute","resource":{
	"dispute_id":"PP-000-042-663-135","create_time":"2018-06-21T13:36:34.000Z","update_time":"2018-06-21T13:36:42.000Z",
	"disputed_transactions":[{"seller_transaction_id":"00D10444LD479031K","seller":{"merchant_id":"RD465XN5VS364"},"custom":"tx_000000001","items":[]}],
	"reason":"MERCHANDISE_OR_SERVICE_NOT_RECEIVED","status":"OPEN","dispute_amount":{"currency_code":"USD","value":"3.00"},
	"dispute_life_cycle_stage":"INQUIRY","dispute_channel":"INTERNAL","seller_response_due_date":"2018-06-28T13:36:42.000Z",
	"messages":[{"posted_by":"BUYER","content":"qwqwqwq"}]}}`

func TestWebhookOfDisputes(t *testing.T) {
	f, g := newFake(t), newClient(t)
	got, err := parse(t, f, g, disputed)
	if err != nil || len(got) != 1 || got[0].Reference != "tx_000000001" {
		t.Fatalf("%+v, %v", got, err)
	}
	if d := got[0].Dispute; d == nil || d.Case != "PP-000-042-663-135" || d.PaymentID != "00D10444LD479031K" || d.Phase != "retrieval" || d.Status != "open" ||
		d.Amount != "3.00" || d.Reason != "not_received" || d.Inquiry || !d.RespondBy.Equal(time.Date(2018, 6, 28, 13, 36, 42, 0, time.UTC)) {
		t.Errorf("%+v", d)
	}
	for _, c := range []struct{ status, outcome, movements, want, amount string }{
		{"WAITING_FOR_SELLER_RESPONSE", "", "", "open", "3.00"},
		{"UNDER_REVIEW", "", "", "under_review", "3.00"},
		{"RESOLVED", "RESOLVED_BUYER_FAVOUR", "", "lost", "3.00"},
		{"RESOLVED", `RESOLVED_BUYER_FAVOUR","amount_refunded":{"currency_code":"USD","value":"2.00"},"x":"`, "", "lost", "2.00"},
		{"RESOLVED", "ACCEPTED", "", "lost", "3.00"},
		{"RESOLVED", "RESOLVED_SELLER_FAVOUR", "", "won", "3.00"},
		{"RESOLVED", "DENIED", "", "won", "3.00"},
		{"RESOLVED", "CANCELED_BY_BUYER", "", "closed", "3.00"},
		{"RESOLVED", "NONE", "", "closed", "3.00"},
		{"RESOLVED", "", "", "under_review", "3.00"},
		{"RESOLVED", "RESOLVED_WITH_PAYOUT", "", "won", "3.00"},
		{"RESOLVED", "RESOLVED_WITH_PAYOUT", `{"affected_party":"SELLER","type":"DEBIT"},{"affected_party":"BUYER","type":"CREDIT"}`, "under_review", "3.00"},
		{"RESOLVED", "RESOLVED_WITH_PAYOUT", `{"affected_party":"SELLER","type":"DEBIT"},{"affected_party":"SELLER","type":"CREDIT"}`, "won", "3.00"},
	} {
		body := strings.Replace(disputed, `"status":"OPEN"`,
			fmt.Sprintf(`"status":%q,"dispute_outcome":{"outcome_code":"%s"},"money_movements":[%s]`, c.status, c.outcome, c.movements), 1)
		got, err := parse(t, f, g, strings.Replace(body, "DISPUTE.CREATED", "DISPUTE.RESOLVED", 1))
		if err != nil || len(got) != 1 || got[0].Dispute.Status != c.want || got[0].Dispute.Amount != c.amount {
			t.Errorf("%+v: %+v, %v", c, got, err)
		}
	}
	for stage, phase := range map[string]string{"CHARGEBACK": "chargeback", "PRE_ARBITRATION": "pre_arbitration", "ARBITRATION": "arbitration"} {
		if got, err := parse(t, f, g, strings.Replace(disputed, "INQUIRY", stage, 1)); err != nil || got[0].Dispute.Phase != phase {
			t.Errorf("%s: %+v, %v", stage, got, err)
		}
	}
	for said, want := range map[string]string{
		"MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED": "not_as_described", "UNAUTHORISED": "fraud", "CREDIT_NOT_PROCESSED": "credit_not_processed",
		"DUPLICATE_TRANSACTION": "duplicate", "INCORRECT_AMOUNT": "processing_error", "CANCELED_RECURRING_BILLING": "cancelled", "OTHER": "other",
	} {
		if got, err := parse(t, f, g, strings.Replace(disputed, "MERCHANDISE_OR_SERVICE_NOT_RECEIVED", said, 1)); err != nil || got[0].Dispute.Reason != want {
			t.Errorf("%s: %+v, %v", said, got, err)
		}
	}
	for name, body := range map[string]string{
		"of two":    strings.Replace(disputed, `"disputed_transactions":[`, `"disputed_transactions":[{},`, 1),
		"elsewhere": strings.Replace(disputed, `"tx_000000001"`, `""`, 1),
	} {
		if got, err := parse(t, f, g, body); err != nil || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, body := range map[string]string{
		"stage": strings.Replace(disputed, "INQUIRY", "QUARREL", 1), "status": strings.Replace(disputed, `"OPEN"`, `"SHUT"`, 1),
		"amount": strings.Replace(disputed, `"3.00"`, `"0.00"`, 1), "id": strings.Replace(disputed, "PP-000-042-663-135", "", 1),
	} {
		if got, err := parse(t, f, g, body); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestReturn(t *testing.T) {
	g := newClient(t)
	ordered := gateway.Ordered{OrderID: "5O190127TN364715T"}
	for _, form := range []url.Values{
		{}, {"token": {"5O190127TN364715T"}}, {"token": {"5O190127TN364715T"}, "PayerID": {"QYR5Z8XDVJNXQ"}},
	} {
		m, err := g.ParseReturn(t.Context(), gateway.Account{}, order(), ordered, form, made)
		if err != nil || m.Reference != "tx_000000001" || m.OrderID != ordered.OrderID || m.Payment != nil || m.Approved {
			t.Errorf("%v: %+v, %v", form, m, err)
		}
	}
	if m, err := g.ParseReturn(t.Context(), gateway.Account{}, order(), ordered, url.Values{"token": {"5O1"}}, made); !errors.Is(err, gateway.ErrMalformed) {
		t.Errorf("%+v, %v", m, err)
	}
}

// FuzzReturn: a browser never brings a payment, nor another order.
func FuzzReturn(f *testing.F) {
	f.Add("token=5O190127TN364715T&PayerID=QYR5Z8XDVJNXQ")
	f.Add("token=5O1&token=5O190127TN364715T")
	g := newClient(f)
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		m, err := g.ParseReturn(t.Context(), gateway.Account{}, order(), gateway.Ordered{OrderID: "5O190127TN364715T"}, form, made)
		if err == nil && (m.OrderID != "5O190127TN364715T" || m.Payment != nil || form.Has("token") && form.Get("token") != "5O190127TN364715T") {
			t.Errorf("%q: %+v", query, m)
		}
	})
}
