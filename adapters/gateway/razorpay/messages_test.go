package razorpay

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

// TestSignatures holds the vectors of Razorpay's own client (razorpay-node, test/utils/razorpay-utils.spec.js).
func TestSignatures(t *testing.T) {
	for _, v := range []struct{ message, secret, signature string }{
		{`{"a":1,"b":2,"c":{"d":3}}`, "123456", "2fe04e22977002e6c7cb553adab8b460cb9e2a4970d5953cb27a8472752e3bbc"},
		{"order_IEIaMR65cu6nz3|pay_IH4NVgf4Dreq1l", "EnLs21M47BllR3X8PSFtjtbd", "0d4e745a1838664ad6c9c9902212a32d627d68e917290b0ad5f08ff4561bc50f"},
	} {
		if !signed(v.signature, v.secret, []byte(v.message)) {
			t.Errorf("%s is not signed by %s", v.message, v.signature)
		}
		for _, wrong := range []string{"", "sdfafds", v.signature[:62], v.signature + "00", strings.Replace(v.signature, "0", "1", 1)} {
			if signed(wrong, v.secret, []byte(v.message)) {
				t.Errorf("%s is signed by %q", v.message, wrong)
			}
		}
	}
	if signed(sign("", "x"), "", []byte("x")) {
		t.Error("no secret signs")
	}
}

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// eventBody is a webhook's body as in the documentation's samples.
func eventBody(name string, at time.Time, entities map[string]string) string {
	var parts []string
	for kind, body := range entities {
		parts = append(parts, fmt.Sprintf(`%q:{"entity":%s}`, kind, body))
	}
	return fmt.Sprintf(`{"entity":"event","account_id":"acc_BFQ7uQEaa7j2z7","event":%q,"contains":["payment"],"payload":{%s},"created_at":%d}`,
		name, strings.Join(parts, ","), at.Unix())
}

func disputeBody(status, phase string, deducted int) string {
	return fmt.Sprintf(`{"id":"disp_EsIAlDcoUr8CaQ","entity":"dispute","payment_id":%q,"amount":39000,"currency":"INR","amount_deducted":%d,
		"reason_code":"processed_invalid_expired_card","respond_by":1590431400,"status":%q,"evidence":{"amount":39000},"phase":%q,"created_at":1589907957}`,
		payID, deducted, status, phase)
}

func header(signature string) http.Header {
	return http.Header{"X-Razorpay-Signature": {signature}, "X-Razorpay-Event-Id": {"CaJ1ZrOmf2Aj8m"}}
}

func parse(t *testing.T, a gateway.Account, body string) ([]gateway.Message, error) {
	t.Helper()
	return New().ParseWebhook(t.Context(), a, header(sign(a.WebhookSecret, body)), []byte(body), now)
}

func TestWebhook(t *testing.T) {
	_, _, a := world(t)
	captured, failed := paymentBody(payID, orderID, "captured", 50000, 1567674599), paymentBody(payID, orderID, "failed", 50000, 1567674599)
	forged := strings.Replace(captured, `"notes":[]`, `"notes":{"kspay_id":"tx_victim000"}`, 1)
	for _, one := range []struct {
		name, event string
		entities    map[string]string
		check       func(m gateway.Message) bool
	}{
		{"captured", "payment.captured", map[string]string{"payment": captured}, func(m gateway.Message) bool {
			return m.Payment != nil && m.Payment.Paid && m.Payment.PaymentID == payID && m.Payment.Amount == "500.00" && m.Payment.Currency == "INR" && !m.Approved
		}},
		{"the browser's notes name no reference", "payment.captured", map[string]string{"payment": forged}, func(m gateway.Message) bool {
			return m.Reference == "" && m.Payment.Reference == "" && m.OrderID == orderID
		}},
		{"failed", "payment.failed", map[string]string{"payment": failed}, func(m gateway.Message) bool {
			return m.Payment != nil && !m.Payment.Paid && m.Payment.Reason == wallet.FailureLowBalance
		}},
		{"authorized", "payment.authorized", map[string]string{"payment": paymentBody(payID, orderID, "authorized", 50000, 1)}, func(m gateway.Message) bool {
			return m.Approved && m.Payment == nil
		}},
		{"order paid", "order.paid", map[string]string{"payment": captured, "order": orderBody(orderID, reference, "INR", 50000, 1)}, func(m gateway.Message) bool {
			return m.Reference == reference && m.Payment != nil && m.Payment.Reference == reference && m.Payment.Paid
		}},
		{"refund processed", "refund.processed", map[string]string{"payment": captured, "refund": refundBody("rfnd_a", refundRef, "processed", 10000)}, func(m gateway.Message) bool {
			return m.Reference == refundRef && m.Refund != nil && m.Refund.State == gateway.RefundDone && m.Refund.RefundID == "rfnd_a"
		}},
		{"refund failed", "refund.failed", map[string]string{"payment": captured, "refund": refundBody("rfnd_a", refundRef, "failed", 10000)}, func(m gateway.Message) bool {
			return m.Refund.State == gateway.RefundFailed
		}},
		{"refund of the dashboard", "refund.created", map[string]string{"payment": captured, "refund": strings.Replace(refundBody("rfnd_a", "", "pending", 1), `""`, "null", 1)}, func(m gateway.Message) bool {
			return m.Reference == "" && m.Refund.State == gateway.RefundPending && m.Refund.RefundID == "rfnd_a"
		}},
		{"dispute", "payment.dispute.created", map[string]string{"payment": captured, "dispute": disputeBody("open", "chargeback", 0)}, func(m gateway.Message) bool {
			d := m.Dispute
			return d != nil && d.Case == "disp_EsIAlDcoUr8CaQ" && d.PaymentID == payID && d.Amount == "390.00" && d.Status == "open" && d.Phase == "chargeback" &&
				!d.Inquiry && d.RespondBy.Unix() == 1590431400 && d.Reason == "processing_error" && d.At.Equal(now)
		}},
		{"dispute lost", "payment.dispute.lost", map[string]string{"payment": captured, "dispute": disputeBody("lost", "chargeback", 30000)}, func(m gateway.Message) bool {
			return m.Dispute.Status == "lost" && m.Dispute.Amount == "300.00"
		}},
		{"only a question", "payment.dispute.action_required", map[string]string{"payment": captured, "dispute": disputeBody("open", "retrieval", 0)}, func(m gateway.Message) bool {
			return m.Dispute.Inquiry && m.Dispute.Phase == "retrieval"
		}},
	} {
		body := eventBody(one.event, now, one.entities)
		got, err := parse(t, a, body)
		if err != nil || len(got) != 1 || got[0].OrderID != orderID || got[0].ID != "CaJ1ZrOmf2Aj8m" || string(got[0].Body) != body || !one.check(got[0]) {
			t.Errorf("%s: %+v, %v", one.name, got, err)
		}
	}
	for name, body := range map[string]string{
		"an event of others":       eventBody("settlement.processed", now, nil),
		"another of disputes":      eventBody("payment.dispute.looked_at", now, nil),
		"a payment without order":  eventBody("payment.captured", now, map[string]string{"payment": paymentBody(payID, "", "captured", 1, 1)}),
		"a dispute of such":        eventBody("payment.dispute.won", now, map[string]string{"payment": paymentBody(payID, "", "captured", 1, 1), "dispute": disputeBody("won", "chargeback", 0)}),
		"a changed refund's speed": eventBody("refund.speed_changed", now, map[string]string{"refund": refundBody("rfnd_a", refundRef, "processed", 1)}),
	} {
		if got, err := parse(t, a, body); err != nil || len(got) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWebhookRefused(t *testing.T) {
	_, _, a := world(t)
	good := eventBody("payment.captured", now, map[string]string{"payment": paymentBody(payID, orderID, "captured", 50000, 1)})
	right := sign(a.WebhookSecret, good)
	for name, h := range map[string]http.Header{
		"no signature": {}, "another secret": header(sign("key secret", good)), "not hexadecimal": header("zz"), "half": header(right[:32]),
		"two": {"X-Razorpay-Signature": {right, right}}, "of no secret": header(sign("", good)),
	} {
		if _, err := New().ParseWebhook(t.Context(), a, h, []byte(good), now); !errors.Is(err, gateway.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New().ParseWebhook(t.Context(), a, header(right), []byte(good+" "), now); !errors.Is(err, gateway.ErrSignature) {
		t.Error("another body passes")
	}
	open := a
	open.WebhookSecret = ""
	if _, err := New().ParseWebhook(t.Context(), open, header(sign("", good)), []byte(good), now); !errors.Is(err, gateway.ErrSignature) {
		t.Errorf("an account without a webhook secret: %v", err)
	}
	for name, one := range map[string]struct {
		at   time.Time
		want error
	}{
		"on the edge": {now.Add(-MaxAge), nil}, "too old": {now.Add(-MaxAge - time.Second), gateway.ErrStale},
		"a little ahead": {now.Add(MaxSkew), nil}, "from the future": {now.Add(MaxSkew + time.Second), gateway.ErrStale},
	} {
		body := eventBody("payment.captured", one.at, map[string]string{"payment": paymentBody(payID, orderID, "captured", 50000, 1)})
		if _, err := parse(t, a, body); !errors.Is(err, one.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	pay := func(p string) map[string]string { return map[string]string{"payment": p} }
	captured := paymentBody(payID, orderID, "captured", 50000, 1)
	for name, body := range map[string]string{
		"not JSON": "{", "a list": "[]", "two values": good + "{}", "no event": `{"a":1}`, "no time": strings.Replace(good, fmt.Sprint(now.Unix()), "0", 1),
		"no payment":                      eventBody("payment.captured", now, nil),
		"captured, says the event alone":  eventBody("payment.captured", now, pay(paymentBody(payID, orderID, "authorized", 50000, 1))),
		"failed, says the event alone":    eventBody("payment.failed", now, pay(captured)),
		"no order beside order.paid":      eventBody("order.paid", now, pay(captured)),
		"another order beside order.paid": eventBody("order.paid", now, map[string]string{"payment": captured, "order": orderBody("order_other", reference, "INR", 1, 1)}),
		"an amount with decimals":         eventBody("payment.captured", now, pay(strings.Replace(captured, "50000", "50000.1", 1))),
		"a currency of nobody":            eventBody("payment.captured", now, pay(strings.Replace(captured, "INR", "XXX", 1))),
		"a path as id":                    eventBody("payment.captured", now, pay(strings.Replace(captured, payID, "pay_1/2", 1))),
		"no refund":                       eventBody("refund.processed", now, pay(captured)),
		"a refund in no known state":      eventBody("refund.processed", now, map[string]string{"payment": captured, "refund": refundBody("rfnd_a", refundRef, "odd", 1)}),
		"no dispute":                      eventBody("payment.dispute.won", now, pay(captured)),
		"a dispute in no known state":     eventBody("payment.dispute.won", now, map[string]string{"payment": captured, "dispute": disputeBody("odd", "chargeback", 0)}),
		"a dispute in no known phase":     eventBody("payment.dispute.won", now, map[string]string{"payment": captured, "dispute": disputeBody("won", "odd", 0)}),
		"too large":                       `{"x":"` + strings.Repeat("x", gateway.MaxBodyBytes) + `"}`,
	} {
		if got, err := parse(t, a, body); !errors.Is(err, gateway.ErrMalformed) || len(got) != 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func success(secret, order, payment string) url.Values {
	return url.Values{"razorpay_payment_id": {payment}, "razorpay_order_id": {order}, "razorpay_signature": {sign(secret, orderID+"|"+payment)}}
}

func TestReturn(t *testing.T) {
	ask := "GET /v1/payments/" + payID
	for name, one := range map[string]struct {
		answer   string
		paid     bool
		approved bool
	}{
		"captured":             {paymentBody(payID, orderID, "captured", 50000, 1), true, false},
		"authorized":           {paymentBody(payID, orderID, "authorized", 50000, 1), false, true},
		"no answer":            {dropped, false, true},
		"an error":             {"500 ", false, true},
		"of another order":     {paymentBody(payID, "order_other", "captured", 50000, 1), false, true},
		"of another payment":   {paymentBody("pay_other", orderID, "captured", 50000, 1), false, true},
		"of a strange account": {"401 " + refusalBody("BAD_REQUEST_ERROR", "Authentication failed", "NA"), false, true},
	} {
		r, c, a := world(t)
		r.on(ask, one.answer)
		m, err := c.ParseReturn(timeout(t), a, theOrder(), made, success("key secret", orderID, payID), now)
		if err != nil || m.Reference != reference || m.OrderID != orderID || (m.Payment != nil) != one.paid || m.Approved != one.approved || len(m.Body) == 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if m.Payment != nil && (!m.Payment.Paid || m.Payment.PaymentID != payID || m.Payment.Amount != "500.00" || m.Payment.Reference != reference) {
			t.Errorf("%s: %+v", name, m.Payment)
		}
	}
	_, c, a := world(t) // whoever comes without a signature is asked nothing about
	for name, form := range map[string]url.Values{
		"cancelled": {},
		"failed": {"error[code]": {"BAD_REQUEST_ERROR"}, "error[description]": {"Payment failed"}, "error[reason]": {"payment_failed"},
			"error[metadata]": {`{"payment_id":"pay_x","order_id":"` + orderID + `"}`}},
		"failed, without an order": {"error[code]": {"BAD_REQUEST_ERROR"}, "error[metadata]": {`{}`}},
	} {
		m, err := c.ParseReturn(timeout(t), a, theOrder(), made, form, now)
		if err != nil || m.Payment != nil || m.Approved || m.Reference != reference {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestReturnRefused(t *testing.T) {
	_, c, a := world(t)
	twice := success("key secret", orderID, payID)
	twice["razorpay_payment_id"] = append(twice["razorpay_payment_id"], "pay_other")
	unsigned := success("key secret", orderID, payID)
	unsigned.Del("razorpay_signature")
	other := url.Values{"razorpay_payment_id": {payID}, "razorpay_order_id": {"order_other"}, "razorpay_signature": {sign("key secret", "order_other|"+payID)}}
	for name, one := range map[string]struct {
		form url.Values
		want error
	}{
		"unsigned":                  {unsigned, gateway.ErrSignature},
		"of another secret":         {success("hook secret", orderID, payID), gateway.ErrSignature},
		"of another order":          {other, gateway.ErrSignature},
		"that names another order":  {success("key secret", "order_other", payID), gateway.ErrMalformed},
		"with a path as payment":    {success("key secret", orderID, "pay_1/../../orders"), gateway.ErrMalformed},
		"with two payments":         {twice, gateway.ErrMalformed},
		"an error of another order": {url.Values{"error[metadata]": {`{"order_id":"order_other"}`}}, gateway.ErrMalformed},
		"an error that is no JSON":  {url.Values{"error[metadata]": {`{`}}, gateway.ErrMalformed},
		"a signature alone":         {url.Values{"razorpay_signature": {"00"}}, gateway.ErrSignature},
	} {
		if m, err := c.ParseReturn(timeout(t), a, theOrder(), made, one.form, now); !errors.Is(err, one.want) || m.Payment != nil || m.Approved {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	a.Credentials = map[string]string{"key_id": "rzp_test_x"}
	if _, err := c.ParseReturn(timeout(t), a, theOrder(), made, success("", orderID, payID), now); !errors.Is(err, gateway.ErrSignature) {
		t.Error("an account without a secret takes signatures of none")
	}
}

// FuzzWebhook signs whatever comes: what is read must be whole.
func FuzzWebhook(f *testing.F) {
	captured := paymentBody(payID, orderID, "captured", 50000, 1)
	f.Add(eventBody("payment.captured", now, map[string]string{"payment": captured}))
	f.Add(eventBody("order.paid", now, map[string]string{"payment": captured, "order": orderBody(orderID, reference, "INR", 50000, 1)}))
	f.Add(eventBody("refund.failed", now, map[string]string{"payment": captured, "refund": refundBody("rfnd_a", refundRef, "failed", 1)}))
	f.Add(eventBody("payment.dispute.lost", now, map[string]string{"payment": captured, "dispute": disputeBody("lost", "fraud", 1)}))
	f.Add("{}")
	a := gateway.Account{WebhookSecret: "s"}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := New().ParseWebhook(t.Context(), a, header(sign("s", body)), []byte(body), now)
		if err != nil && (len(got) != 0 || (!errors.Is(err, gateway.ErrMalformed) && !errors.Is(err, gateway.ErrStale))) {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, m := range got {
			if m.OrderID == "" && m.Refund == nil {
				t.Errorf("about nothing: %+v", m)
			}
			if p := m.Payment; p != nil && (p.PaymentID == "" || p.Amount == "" || strings.HasPrefix(p.Amount, "-")) {
				t.Errorf("%+v", p)
			}
			if d := m.Dispute; d != nil && (d.Case == "" || d.Amount == "" || d.Phase == "") {
				t.Errorf("%+v", d)
			}
		}
	})
}

func FuzzReturn(f *testing.F) {
	f.Add(success("key secret", orderID, payID).Encode())
	f.Add("error[code]=BAD_REQUEST_ERROR&error[metadata]=%7B%7D")
	f.Add("razorpay_signature=0&razorpay_payment_id=1")
	a := gateway.Account{Base: "http://127.0.0.1:1", Credentials: map[string]string{"key_id": "rzp_test_x", "key_secret": "another"}}
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		m, err := New().ParseReturn(t.Context(), a, theOrder(), made, form, now)
		if m.Payment != nil || m.Approved {
			t.Errorf("nobody has signed this: %+v", m)
		}
		if err != nil && !errors.Is(err, gateway.ErrSignature) && !errors.Is(err, gateway.ErrMalformed) {
			t.Error(err)
		}
	})
}

// TestReasons brings whatever Razorpay says to the ledger's closed lists.
func TestReasons(t *testing.T) {
	for said, want := range map[string]string{
		"insufficient_funds": wallet.FailureLowBalance, "payment_cancelled": wallet.FailureDeclined, "payment_timed_out": wallet.FailureGatewayTimeout,
		"bank_technical_error": wallet.FailureBankUnavailable, "transaction_limit_exceeded": wallet.FailureLimitExceeded, "card_declined": wallet.FailureRejectedByBank,
		"invalid_vpa": wallet.FailureAccountInvalid, "something_new": wallet.FailureOther, "": wallet.FailureOther,
	} {
		if got := failure(said); got != want || !slices.Contains(wallet.Reasons(), got) {
			t.Errorf("%q is %q", said, got)
		}
	}
	for code, want := range map[string]string{
		"other_fraud_card_absent_environment": "fraud", "merchandise_services_not_received": "not_received", "not_as_described": "not_as_described",
		"duplicate_processing": "duplicate", "credit_not_processed": "credit_not_processed", "cancelled_recurring": "cancelled", "no_authorization": "authorization",
		"chargeback": wallet.FailureOther, "": wallet.FailureOther,
	} {
		if got := disputeReason(code); got != want || !slices.Contains(wallet.DisputeReasons(), got) {
			t.Errorf("%q is %q", code, got)
		}
	}
}
