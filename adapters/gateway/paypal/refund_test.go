package paypal_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
)

func TestRefund(t *testing.T) {
	f, g := newFake(t), newClient(t)
	ordered, err := g.CreateOrder(t.Context(), f.account(), order())
	if err != nil {
		t.Fatal(err)
	}
	f.approve(ordered.OrderID, "2026-11-22T10:04:00Z")
	if _, err := g.Collect(t.Context(), f.account(), order(), ordered); err != nil {
		t.Fatal(err)
	}
	r := gateway.Refund{
		Reference: "rfd_000000001", PaymentID: "3C679366HH908993F", OrderID: ordered.OrderID, Payin: "tx_000000001", Amount: usd("10"), Total: usd("100"), Reason: "DefectiveProduct",
	}
	if unknown, err := g.InquireRefund(t.Context(), f.account(), r); err != nil || unknown.State != gateway.RefundUnknown || len(unknown.Body) == 0 {
		t.Errorf("before: %+v, %v", unknown, err)
	}
	first, err := g.Refund(t.Context(), f.account(), r)
	if err != nil || first.State != gateway.RefundDone || first.RefundID == "" || len(first.Body) == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if want := `{"amount":{"currency_code":"USD","value":"10.00"},"custom_id":"rfd_000000001","note_to_payer":"DefectiveProduct"}`; string(f.raw) != want {
		t.Errorf("asked with %s", f.raw)
	}
	again, err := g.Refund(t.Context(), f.account(), r)
	if err != nil || again.RefundID != first.RefundID || len(f.refunds) != 1 {
		t.Errorf("again: %+v, %v, %d refunds", again, err, len(f.refunds))
	}
	found, err := g.InquireRefund(t.Context(), f.account(), r) // its answer was lost: looked for by our reference
	if err != nil || found.RefundID != first.RefundID || found.State != gateway.RefundDone {
		t.Errorf("found: %+v, %v", found, err)
	}
	r.RefundID = first.RefundID
	for status, want := range map[string]gateway.RefundState{
		"COMPLETED": gateway.RefundDone, "PENDING": gateway.RefundPending, "FAILED": gateway.RefundFailed, "CANCELLED": gateway.RefundFailed, "NEW": "",
	} {
		f.refunds[first.RefundID]["status"] = status
		if got, err := g.InquireRefund(t.Context(), f.account(), r); got.State != want || (err == nil) != (want != "") {
			t.Errorf("%s: %+v, %v", status, got, err)
		}
	}
	other := r
	other.RefundID = "1JU08902781691999"
	if got, err := g.InquireRefund(t.Context(), f.account(), other); err != nil || got.State != gateway.RefundUnknown {
		t.Errorf("one that PayPal does not know: %+v, %v", got, err)
	}
	other = r
	other.Amount = usd("11")
	f.refunds[first.RefundID]["status"] = "COMPLETED"
	if got, err := g.InquireRefund(t.Context(), f.account(), other); !unknown(err) {
		t.Errorf("of another amount: %+v, %v", got, err)
	}
	other = r
	other.Reference = "rfd_000000002"
	if got, err := g.InquireRefund(t.Context(), f.account(), other); !unknown(err) {
		t.Errorf("of another reference: %+v, %v", got, err)
	}
	delete(f.refunds[first.RefundID], "custom_id")
	other.RefundID = ""
	if got, err := g.InquireRefund(t.Context(), f.account(), other); !unknown(err) {
		t.Errorf("among refunds without references: %+v, %v", got, err)
	}
}

func TestRefundDeclined(t *testing.T) {
	f, g := newFake(t), newClient(t)
	r := gateway.Refund{Reference: "rfd_000000001", PaymentID: "3C679366HH908993F", OrderID: "5O1", Payin: "tx_000000001", Amount: usd("10")}
	refused := func(issue, refunds string) (gateway.RefundAnswer, error) {
		f.all(func(w http.ResponseWriter, req *http.Request) {
			if req.Method == http.MethodPost {
				f.fail(w, 422, "UNPROCESSABLE_ENTITY", issue, "x")
				return
			}
			if _, err := w.Write([]byte(`{"id":"5O1","purchase_units":[{"custom_id":"tx_000000001","payments":{"refunds":` + refunds + `}}]}`)); err != nil {
				t.Error(err)
			}
		})
		return g.Refund(t.Context(), f.account(), r)
	}
	declined := new(gateway.Declined)
	for _, issue := range []string{"REFUND_NOT_ALLOWED", "PENDING_CAPTURE", "CAPTURE_FULLY_REFUNDED"} {
		if got, err := refused(issue, "[]"); !errors.As(err, &declined) || declined.Code != issue {
			t.Errorf("%s: %+v, %v", issue, got, err)
		}
	}
	const ours = `[{"id":"1JU","status":"COMPLETED","custom_id":"rfd_000000001","amount":{"currency_code":"USD","value":"10.00"}}]`
	if got, err := refused("CAPTURE_FULLY_REFUNDED", ours); err != nil || got.RefundID != "1JU" || got.State != gateway.RefundDone {
		t.Errorf("refunded by this very refund: %+v, %v", got, err)
	}
	if got, err := refused("CAPTURE_FULLY_REFUNDED", `[{"id":"1JU","status":"COMPLETED","amount":{"currency_code":"USD","value":"10.00"}}]`); !unknown(err) {
		t.Errorf("refunded by nobody knows whom: %+v, %v", got, err)
	}
	if got, err := refused("CAPTURE_FULLY_REFUNDED", `[{"id":"1JU","status":"COMPLETED","custom_id":"tx_000000001"}]`); !errors.As(err, &declined) {
		t.Errorf("refunded elsewhere: %+v, %v", got, err)
	}
	for _, bad := range []gateway.Refund{
		{Reference: "rfd_1", Amount: usd("1")}, {Reference: "rfd_1", PaymentID: "a/b", Amount: usd("1")},
	} {
		if got, err := g.Refund(t.Context(), f.account(), bad); !unknown(err) {
			t.Errorf("%+v, %v", got, err)
		}
		if got, err := g.InquireRefund(t.Context(), f.account(), bad); !unknown(err) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if got, err := g.InquireRefund(t.Context(), f.account(), gateway.Refund{RefundID: "../x"}); !unknown(err) {
		t.Errorf("%+v, %v", got, err)
	}
}
