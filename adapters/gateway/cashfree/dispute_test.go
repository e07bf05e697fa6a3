package cashfree_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// shown is the answer about a dispute, as the models of the official SDKs have it: the parts of a webhook in one, the id as a number.
const shown = `{"dispute_id":433475258,"dispute_type":"CHARGEBACK","reason_code":"1402","reason_description":"Duplicate Processing","dispute_amount":3,
	"created_at":"2023-06-15T21:49:48+05:30","updated_at":"2023-06-16T21:49:48+05:30","respond_by":"2023-06-18T23:59:59+05:30","resolved_at":null,
	"dispute_status":"CHARGEBACK_DOCS_RECEIVED","cf_dispute_remarks":"","preferred_evidence":[],"dispute_evidence":[],
	"order_details":{"order_id":"tx_000000001","order_amount":3,"order_currency":"INR","cf_payment_id":"885473311","payment_amount":3,"payment_currency":"INR"},
	"customer_details":{"customer_name":"A","customer_phone":"8000000000","customer_email":"a@example.com"}}`

func TestInquireDispute(t *testing.T) {
	f, g := newFake(t), newClient(t)
	answers := func(body string) {
		f.once(func(w http.ResponseWriter, _ *http.Request) { f.write(w, 200, json.RawMessage(body)) })
	}
	answers(shown)
	m, err := g.InquireDispute(t.Context(), f.account(), "433475258")
	if err != nil || f.log() != "GET /pg/disputes/433475258" || m.Reference != "tx_000000001" || m.OrderID != "tx_000000001" || len(m.Body) == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if d := m.Dispute; d.Case != "433475258" || d.PaymentID != "885473311" || d.Phase != "chargeback" || d.Status != "under_review" || d.Amount != "3.00" {
		t.Errorf("%+v", d)
	}
	for status, want := range map[string]string{"MERCHANT_WON": "won", "MERCHANT_LOST": "lost", "INSUFFICIENT_EVIDENCE": "open", "CREATED": "open"} {
		answers(strings.Replace(shown, "DOCS_RECEIVED", status, 1))
		if m, err := g.InquireDispute(t.Context(), f.account(), "433475258"); err != nil || m.Dispute.Status != want {
			t.Errorf("%s: %+v, %v", status, m.Dispute, err)
		}
	}
	answers(strings.NewReplacer("DOCS_RECEIVED", "INSUFFICIENT_EVIDENCE", `"resolved_at":null`, `"resolved_at":"2023-06-20T10:00:00+05:30"`).Replace(shown))
	if m, err := g.InquireDispute(t.Context(), f.account(), "433475258"); err != nil || m.Dispute.Status != "lost" {
		t.Errorf("too late: %+v, %v", m.Dispute, err)
	}
	declined := (*gateway.Declined)(nil)
	for what, body := range map[string]string{
		"of another": strings.Replace(shown, "433475258", "433475259", 1), "of no order": strings.Replace(shown, "tx_000000001", "", 1), "garbage": "[]",
	} {
		answers(body)
		if m, err := g.InquireDispute(t.Context(), f.account(), "433475258"); err == nil || errors.As(err, &declined) {
			t.Errorf("an answer %s: %+v, %v", what, m, err)
		}
	}
	f.once(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 404, "dispute_not_found", "invalid_request_error", "something is not found")
	})
	if _, err := g.InquireDispute(t.Context(), f.account(), "433475258"); !errors.As(err, &declined) {
		t.Errorf("one that there is not: %v", err)
	}
	f.log()
	f.once(func(w http.ResponseWriter, _ *http.Request) {
		f.fail(w, 404, "dispute_not_found", "invalid_request_error", "something is not found")
	})
	if _, err := g.InquireDispute(t.Context(), f.account(), "../orders/x"); !errors.As(err, &declined) || strings.Contains(f.log(), "/pg/orders") {
		t.Errorf("an id that is a path: %v", err)
	}
}
