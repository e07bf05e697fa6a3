package cashfree_test

import (
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

//go:embed testdata/payment_success.json
var success []byte

// The documents have no example of a signature with its secret. This one was made with openssl:
//
//	(printf 1746427759733; cat payment_success.json) | openssl dgst -sha256 -hmac $secret -binary | base64
const goldenSignature = "Grw2vuOYd5Hd+vfO1tKoYhgbZdVfNLdrhfRzGB3ebkA="

var goldenTime = time.UnixMilli(1746427759733)

func headers(timestamp, signature string) http.Header {
	h := http.Header{}
	h.Set("x-webhook-timestamp", timestamp)
	h.Set("x-webhook-signature", signature)
	h.Set("x-idempotency-key", "n9rn7079wqXcse3GEDEXCYle9ajXmU0SUQY8zrUNAlc=")
	h.Set("x-webhook-version", "2025-01-01")
	h.Set("content-type", "application/json")
	return h
}

func signed(at time.Time, body string) http.Header {
	timestamp := strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + body))
	return headers(timestamp, base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func account() gateway.Account {
	return gateway.Account{Credentials: map[string]string{"client_id": "TEST_client", "client_secret": secret}}
}

func TestWebhook(t *testing.T) {
	g := newClient(t)
	got, err := g.ParseWebhook(t.Context(), account(), headers("1746427759733", goldenSignature), success, goldenTime.Add(time.Minute))
	if err != nil || len(got) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	m := got[0]
	if m.ID != "n9rn7079wqXcse3GEDEXCYle9ajXmU0SUQY8zrUNAlc=" || m.Reference != "order_OFR_2" || m.OrderID != "order_OFR_2" || string(m.Body) != string(success) {
		t.Errorf("%+v", m)
	}
	if p := m.Payment; p == nil || p.PaymentID != "1453002795" || !p.Paid || p.Amount != "1.00" || p.Currency != "INR" || p.UTR != "234928698581" ||
		p.Method != "upi" || p.SubMethod != "" || p.Reference != "order_OFR_2" || !p.At.Equal(time.Date(2022, 12, 15, 6, 50, 29, 0, time.UTC)) {
		t.Errorf("%+v", p)
	}
}

func TestWebhookRefused(t *testing.T) {
	g := newClient(t)
	flipped := append([]byte{}, success...)
	flipped[len(flipped)/2]++
	for name, c := range map[string]struct {
		header http.Header
		body   []byte
		now    time.Time
		want   error
	}{
		"another body":      {headers("1746427759733", goldenSignature), flipped, goldenTime, gateway.ErrSignature},
		"another time":      {headers("1746427759734", goldenSignature), success, goldenTime, gateway.ErrSignature},
		"another signature": {headers("1746427759733", strings.Replace(goldenSignature, "G", "H", 1)), success, goldenTime, gateway.ErrSignature},
		"cut signature":     {headers("1746427759733", goldenSignature[:20]), success, goldenTime, gateway.ErrSignature},
		"no headers":        {http.Header{}, success, goldenTime, gateway.ErrSignature},
		"too old":           {headers("1746427759733", goldenSignature), success, goldenTime.Add(25 * time.Hour), gateway.ErrStale},
		"of the future":     {headers("1746427759733", goldenSignature), success, goldenTime.Add(-6 * time.Minute), gateway.ErrStale},
		"not JSON":          {signed(goldenTime, "{"), []byte("{"), goldenTime, gateway.ErrMalformed},
		"no type":           {signed(goldenTime, "{}"), []byte("{}"), goldenTime, gateway.ErrMalformed},
		"too large":         {http.Header{}, make([]byte, gateway.MaxBodyBytes+1), goldenTime, gateway.ErrMalformed},
	} {
		if got, err := g.ParseWebhook(t.Context(), account(), c.header, c.body, c.now); !errors.Is(err, c.want) || got != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := g.ParseWebhook(t.Context(), gateway.Account{}, signed(goldenTime, "{}"), []byte("{}"), goldenTime); !errors.Is(err, gateway.ErrSignature) {
		t.Errorf("an account without a secret: %+v, %v", got, err)
	}
	timestamp := "soon" // signed all the same
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "{}"))
	if got, err := g.ParseWebhook(t.Context(), account(), headers(timestamp, base64.StdEncoding.EncodeToString(mac.Sum(nil))), []byte("{}"), goldenTime); !errors.Is(err, gateway.ErrMalformed) {
		t.Errorf("a timestamp that is none: %+v, %v", got, err)
	}
}

func parse(t *testing.T, body string) ([]gateway.Message, error) {
	t.Helper()
	return newClient(t).ParseWebhook(t.Context(), account(), signed(goldenTime, body), []byte(body), goldenTime)
}

func TestWebhookOfFailures(t *testing.T) {
	failed := strings.NewReplacer(`"SUCCESS"`, `"FAILED"`, "PAYMENT_SUCCESS_WEBHOOK", "PAYMENT_FAILED_WEBHOOK", `"cf_payment_id": "1453002795"`, `"cf_payment_id": 1453002795`,
		`"payment_offers": null`, `"error_details":{"error_code":"TRANSACTION_DECLINED","error_reason":"insufficient_funds","error_source":"customer"}`).Replace(string(success))
	got, err := parse(t, failed)
	if err != nil || len(got) != 1 || got[0].Payment.Paid || got[0].Payment.Reason != "low_balance" || got[0].Payment.PaymentID != "1453002795" {
		t.Errorf("failed: %+v, %v", got, err)
	}
	dropped := strings.NewReplacer(`"SUCCESS"`, `"USER_DROPPED"`, "PAYMENT_SUCCESS_WEBHOOK", "PAYMENT_USER_DROPPED_WEBHOOK").Replace(string(success))
	if got, err = parse(t, dropped); err != nil || len(got) != 1 || got[0].Payment.Paid || got[0].Payment.Reason != "declined_by_customer" {
		t.Errorf("dropped: %+v, %v", got, err)
	}
	pending := strings.Replace(string(success), `"SUCCESS"`, `"PENDING"`, 1)
	if got, err = parse(t, pending); err != nil || got != nil {
		t.Errorf("pending: %+v, %v", got, err)
	}
	for name, body := range map[string]string{
		"status of another type": strings.Replace(string(success), `"SUCCESS"`, `"FAILED"`, 1),
		"no order":               strings.Replace(string(success), `"order_OFR_2"`, `""`, 1),
		"an order of spaces":     strings.Replace(string(success), `"order_OFR_2"`, `"a b"`, 1),
		"no amount":              strings.Replace(string(success), `1.00`, `null`, 1),
		"no data":                `{"type":"PAYMENT_SUCCESS_WEBHOOK"}`,
	} {
		if got, err := parse(t, body); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err = parse(t, `{"type":"SETTLEMENT_SUCCESS","data":{}}`); err != nil || got != nil {
		t.Errorf("a settlement: %+v, %v", got, err)
	}
}

func TestWebhookOfRefunds(t *testing.T) {
	const body = `{"data":{"refund":{"cf_refund_id":11325632,"cf_payment_id":789727431,"refund_id":"rfd_000000001","order_id":"tx_000000001",
		"refund_amount":2.00,"refund_currency":"INR","entity":"Refund","refund_type":"MERCHANT_INITIATED","refund_arn":"205907014017","refund_status":"SUCCESS",
		"status_description":"Refund processed successfully","created_at":"2022-02-28T12:54:25+05:30","processed_at":"2022-02-28T13:04:27+05:30",
		"refund_charge":0,"refund_note":"Test","refund_splits":[{"merchantVendorId":"sampleID12345","amount":1,"percentage":null}],"metadata":null,
		"refund_mode":"STANDARD"}},"event_time":"2022-02-28T13:04:28+05:30","type":"REFUND_STATUS_WEBHOOK"}`
	got, err := parse(t, body)
	if err != nil || len(got) != 1 || got[0].Reference != "rfd_000000001" || got[0].OrderID != "tx_000000001" {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := got[0].Refund; r == nil || r.State != gateway.RefundDone || r.RefundID != "11325632" || r.UTR != "205907014017" || len(r.Body) == 0 {
		t.Errorf("%+v", r)
	}
	for name, bad := range map[string]string{
		"no status": strings.Replace(body, `"SUCCESS"`, `"GONE"`, 1), "no id": strings.Replace(body, `11325632`, `null`, 1),
		"a reference of spaces": strings.Replace(body, `"rfd_000000001"`, `"rfd 1"`, 1),
	} {
		if got, err := parse(t, bad); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// disputed is the example of "Dispute webhooks".
const disputed = `{"data":{"dispute":{"dispute_id":"433475258","dispute_type":"DISPUTE","reason_code":"1402","reason_description":"Duplicate Processing",
	"dispute_amount":3,"created_at":"2023-06-15T21:49:48+05:30","updated_at":"2023-06-15T21:49:48+05:30","respond_by":"2023-06-18T23:59:59+05:30",
	"dispute_status":"DISPUTE_CREATED","cf_dispute_remarks":"Dispute is created, please take action","dispute_action_on":"MERCHANT"},
	"order_details":{"order_id":"order_1944392DR1kMTFYdIf8bI2awAcC3i9FTa","order_amount":3,"order_currency":"INR","cf_payment_id":885473311,"payment_amount":3,
	"payment_currency":"INR"},"customer_details":{"customer_name":"A","customer_phone":"8000000000","customer_email":"a@example.com"}},
	"event_time":"2023-06-15T21:50:04+05:30","type":"DISPUTE_CREATED"}`

func TestWebhookOfDisputes(t *testing.T) {
	got, err := parse(t, disputed)
	if err != nil || len(got) != 1 || got[0].OrderID != "order_1944392DR1kMTFYdIf8bI2awAcC3i9FTa" || got[0].Reference != got[0].OrderID {
		t.Fatalf("%+v, %v", got, err)
	}
	if d := got[0].Dispute; d == nil || d.Case != "433475258" || d.PaymentID != "885473311" || d.Phase != "retrieval" || d.Status != "open" || d.Amount != "3.00" ||
		d.Reason != "duplicate" || d.Inquiry || !d.RespondBy.Equal(time.Date(2023, 6, 18, 18, 29, 59, 0, time.UTC)) {
		t.Errorf("%+v", d)
	}
	for _, c := range []struct{ kind, status, event, phase, want string }{
		{"RETRIEVAL", "RETRIEVAL_CREATED", "DISPUTE_CREATED", "retrieval", "open"},
		{"CHARGEBACK", "CHARGEBACK_DOCS_RECEIVED", "DISPUTE_UPDATED", "chargeback", "under_review"},
		{"CHARGEBACK", "CHARGEBACK_INSUFFICIENT_EVIDENCE", "DISPUTE_UPDATED", "chargeback", "open"},
		{"CHARGEBACK", "CHARGEBACK_INSUFFICIENT_EVIDENCE", "DISPUTE_CLOSED", "chargeback", "lost"},
		{"CHARGEBACK", "CHARGEBACK_MERCHANT_WON", "DISPUTE_CLOSED", "chargeback", "won"},
		{"PRE_ARBITRATION", "PRE_ARBITRATION_UNDER_REVIEW", "DISPUTE_UPDATED", "pre_arbitration", "under_review"},
		{"ARBITRATION", "ARBITRATION_MERCHANT_LOST", "DISPUTE_CLOSED", "arbitration", "lost"},
		{"ARBITRATION", "ARBITRATION_MERCHANT_ACCEPTED", "DISPUTE_CLOSED", "arbitration", "lost"},
	} {
		body := strings.NewReplacer(`"dispute_type":"DISPUTE"`, `"dispute_type":"`+c.kind+`"`, `"dispute_status":"DISPUTE_CREATED"`, `"dispute_status":"`+c.status+`"`,
			`"type":"DISPUTE_CREATED"`, `"type":"`+c.event+`"`).Replace(disputed)
		got, err := parse(t, body)
		if err != nil || len(got) != 1 || got[0].Dispute.Phase != c.phase || got[0].Dispute.Status != c.want || got[0].Dispute.Inquiry != (c.kind == "RETRIEVAL") {
			t.Errorf("%s in %s: %+v, %v", c.status, c.event, got, err)
		}
	}
	for name, bad := range map[string]string{
		"type":     strings.Replace(disputed, `"DISPUTE",`, `"QUARREL",`, 1),
		"status":   strings.Replace(disputed, `"DISPUTE_CREATED"`, `"CHARGEBACK_CREATED"`, 1),
		"amount":   strings.Replace(disputed, `"dispute_amount":3`, `"dispute_amount":0`, 1),
		"currency": strings.Replace(disputed, `"payment_currency":"INR"`, `"payment_currency":""`, 1),
		"order":    strings.Replace(disputed, `"order_id":"order_1944392DR1kMTFYdIf8bI2awAcC3i9FTa"`, `"order_id":""`, 1),
		"id":       strings.Replace(disputed, `"433475258"`, `""`, 1),
	} {
		if got, err := parse(t, bad); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestDisputeReasons(t *testing.T) {
	for said, want := range map[string]string{
		"Goods or Services Not Received": "not_received", "Merchandise / Services Not Recei": "not_received", "Fraud Transaction": "fraud",
		"Credit not processed": "credit_not_processed", "Cancelled Recurring": "cancelled", "Unauthorised Debit": "fraud", "": "other", "x": "other",
		"Cardholder Does Not Recognize": "unrecognized", "No authorization": "authorization", "Late processing": "processing_error", "Quality": "not_as_described",
	} {
		got, err := parse(t, strings.Replace(disputed, "Duplicate Processing", said, 1))
		if err != nil || got[0].Dispute.Reason != want {
			t.Errorf("%q: %+v, %v", said, got, err)
		}
	}
}

func TestReturn(t *testing.T) {
	g := newClient(t)
	ordered := gateway.Ordered{OrderID: "tx_000000001"}
	for _, form := range []url.Values{{}, {"order_id": {"tx_000000001"}}, {"order_id": {"tx_000000001"}, "x": {"y"}}} {
		m, err := g.ParseReturn(t.Context(), account(), order(), ordered, form, goldenTime)
		if err != nil || m.Reference != "tx_000000001" || m.OrderID != "tx_000000001" || m.Payment != nil || m.Approved {
			t.Errorf("%v: %+v, %v", form, m, err)
		}
	}
	for _, form := range []url.Values{{"order_id": {"tx_2"}}, {"order_id": {"tx_000000001", "tx_2"}}} {
		if m, err := g.ParseReturn(t.Context(), account(), order(), ordered, form, goldenTime); !errors.Is(err, gateway.ErrMalformed) {
			t.Errorf("%v: %+v, %v", form, m, err)
		}
	}
}

// FuzzWebhook: whatever is signed is read whole, or refused as malformed.
func FuzzWebhook(f *testing.F) {
	f.Add(string(success))
	f.Add(disputed)
	f.Add(`{"type":"REFUND_STATUS_WEBHOOK","data":{"refund":{"cf_refund_id":1,"refund_status":"SUCCESS"}}}`)
	f.Add(`{"type":"PAYMENT_FAILED_WEBHOOK","data":{"order":{"order_id":"a"},"payment":{"cf_payment_id":"1","payment_status":"FAILED","payment_amount":1,"payment_currency":"INR","payment_method":{"card":{}}}}}`)
	g := newClient(f)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := g.ParseWebhook(t.Context(), account(), signed(goldenTime, body), []byte(body), goldenTime)
		if err != nil {
			if !errors.Is(err, gateway.ErrMalformed) || got != nil {
				t.Errorf("%+v, %v", got, err)
			}
			return
		}
		for _, m := range got {
			about := 0
			if p := m.Payment; p != nil {
				about++
				if p.PaymentID == "" || p.Amount == "" || m.OrderID == "" || p.Paid == (p.Reason != "") {
					t.Errorf("%+v", p)
				}
			}
			if d := m.Dispute; d != nil {
				about++
				if d.Case == "" || d.Amount == "" || m.OrderID == "" || d.Phase == "" || d.Status == "" {
					t.Errorf("%+v", d)
				}
			}
			if m.Refund != nil {
				about++
				if m.Refund.RefundID == "" || m.Refund.State == "" {
					t.Errorf("%+v", m.Refund)
				}
			}
			if about != 1 || len(m.Body) == 0 {
				t.Errorf("a message about %d things", about)
			}
		}
	})
}

// FuzzReturn: a browser never brings a payment, nor another order.
func FuzzReturn(f *testing.F) {
	f.Add("order_id=tx_000000001")
	f.Add("order_id=tx_2&order_id=tx_000000001")
	g := newClient(f)
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		m, err := g.ParseReturn(t.Context(), account(), order(), gateway.Ordered{OrderID: "tx_000000001"}, form, goldenTime)
		if err == nil && (m.OrderID != "tx_000000001" || m.Payment != nil || form.Has("order_id") && form.Get("order_id") != "tx_000000001") {
			t.Errorf("%q: %+v", query, m)
		}
	})
}
