package cashfree_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// payment is the example of "Get payments for an order", with another status, id and time.
func payment(id, status, at string) string {
	return fmt.Sprintf(`{"auth_id":null,"authorization":null,"bank_reference":"306118259130","cf_payment_id":%s,"entity":"payment",
		"error_details":{"error_code":"TRANSACTION_DECLINED","error_description":"transaction is rejected at the remitter bank end","error_reason":"bank_rejected","error_source":"bank"},
		"is_captured":%v,"order_amount":10.34,"order_id":"tx_000000001","payment_amount":10.34,"payment_completion_time":%q,"payment_currency":"INR",
		"payment_group":"net_banking","payment_message":"x","payment_method":{"netbanking":{"channel":"link","netbanking_bank_code":3021,
		"netbanking_bank_name":"HDFC Bank"}},"payment_status":%q,"payment_time":"2023-03-02T18:00:00+05:30"}`, id, status == "SUCCESS", at, status)
}

func TestCollect(t *testing.T) {
	f, g := newFake(t), newClient(t)
	ordered, err := g.CreateOrder(t.Context(), f.account(), order())
	if err != nil {
		t.Fatal(err)
	}
	f.payments = "[" + strings.Join([]string{
		payment(`"5"`, "SUCCESS", "2023-03-02T18:24:51+05:30"),
		payment("1636676360", "FAILED", "2023-03-02T18:23:51+05:30"),
		payment(`"3"`, "USER_DROPPED", "2023-03-02T18:22:51+05:30"),
		payment(`"4"`, "PENDING", "2023-03-02T18:21:51+05:30"),
		payment(`"6"`, "NOT_ATTEMPTED", "2023-03-02T18:21:51+05:30"),
		payment(`"7"`, "VOID", "2023-03-02T18:20:51+05:30"),
		strings.Replace(payment(`"8"`, "SUCCESS", "2023-03-02T18:26:51+05:30"), `"is_captured":true`, `"is_captured":false`, 1),
	}, ",") + "]"
	got, err := g.Collect(t.Context(), f.account(), order(), ordered)
	if err != nil || len(got.Body) == 0 {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range got.List {
		ids = append(ids, fmt.Sprintf("%s %v %s", p.PaymentID, p.Paid, p.Reason))
	}
	want := "7 false rejected_by_bank, 3 false declined_by_customer, 1636676360 false rejected_by_bank, 5 true "
	if all := strings.Join(ids, ", "); all != want {
		t.Errorf("%s\nwant %s", all, want)
	}
	paid := got.List[len(got.List)-1]
	if paid.Reference != "tx_000000001" || paid.Amount != "10.34" || paid.Currency != "INR" || paid.UTR != "306118259130" || paid.Method != "net_banking" ||
		paid.SubMethod != "HDFC Bank" || !paid.At.Equal(time.Date(2023, 3, 2, 12, 54, 51, 0, time.UTC)) {
		t.Errorf("%+v", paid)
	}
	f.payments = "[]"
	if none, err := g.Collect(t.Context(), f.account(), order(), ordered); err != nil || len(none.List) != 0 || len(none.Body) == 0 {
		t.Errorf("none: %+v, %v", none, err)
	}
	if log := f.log(); strings.Count(log, "POST") != 1 {
		t.Errorf("collecting makes something: %s", log)
	}
}

func TestCollectRefused(t *testing.T) {
	f, g := newFake(t), newClient(t)
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); err != nil {
		t.Fatal(err)
	}
	one := payment(`"1"`, "SUCCESS", "2023-03-02T18:24:51+05:30")
	for name, list := range map[string]string{
		"another order":  "[" + strings.Replace(one, "tx_000000001", "tx_2", 1) + "]",
		"no id":          "[" + strings.Replace(one, `"cf_payment_id":"1"`, `"cf_payment_id":null`, 1) + "]",
		"id of a float":  "[" + strings.Replace(one, `"cf_payment_id":"1"`, `"cf_payment_id":1.5`, 1) + "]",
		"no amount":      "[" + strings.Replace(one, `"payment_amount":10.34`, `"payment_amount":null`, 1) + "]",
		"below zero":     "[" + strings.Replace(one, `"payment_amount":10.34`, `"payment_amount":-1`, 1) + "]",
		"no currency":    "[" + strings.Replace(one, `"INR"`, `"XXX"`, 1) + "]",
		"too many":       "[" + strings.Repeat("{},", gateway.MaxPayments) + "{}]",
		"not a list":     `{"message":"x"}`,
		"a list of none": `[null]`,
	} {
		f.payments = list
		if got, err := g.Collect(t.Context(), f.account(), order(), gateway.Ordered{OrderID: "tx_000000001"}); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	_, err := g.Collect(t.Context(), f.account(), order(), gateway.Ordered{OrderID: "tx_unheard"})
	if err == nil || errors.As(err, new(*gateway.Declined)) {
		t.Errorf("an order that is not found: %v", err) // with keys of another account it would look the same
	}
}

func TestRefund(t *testing.T) {
	f, g := newFake(t), newClient(t)
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); err != nil {
		t.Fatal(err)
	}
	r := gateway.Refund{
		Reference: "rfd_000000001", PaymentID: "789727431", OrderID: "tx_000000001", Payin: "tx_000000001", Amount: inr("2.50"), Total: inr("10.34"), Reason: "Not wanted",
	}
	if unknown, err := g.InquireRefund(t.Context(), f.account(), r); err != nil || unknown.State != gateway.RefundUnknown || len(unknown.Body) == 0 {
		t.Errorf("before: %+v, %v", unknown, err)
	}
	first, err := g.Refund(t.Context(), f.account(), r)
	if err != nil || first.State != gateway.RefundPending || first.RefundID != "11325632" || len(first.Body) == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	if f.sent["refund_id"] != r.Reference || f.sent["refund_amount"] != 2.5 || f.sent["refund_note"] != "Not wanted" {
		t.Errorf("asked with %v", f.sent)
	}
	f.refunds[r.Reference]["refund_status"] = "SUCCESS"
	f.refunds[r.Reference]["refund_arn"] = "205907014017"
	f.refunds[r.Reference]["processed_at"] = "2022-02-28T13:04:27+05:30"
	again, err := g.Refund(t.Context(), f.account(), r)
	if err != nil || again.State != gateway.RefundDone || again.RefundID != first.RefundID || again.UTR != "205907014017" {
		t.Errorf("again: %+v, %v", again, err)
	}
	inquired, err := g.InquireRefund(t.Context(), f.account(), r)
	if err != nil || inquired.State != gateway.RefundDone || !inquired.At.Equal(time.Date(2022, 2, 28, 7, 34, 27, 0, time.UTC)) {
		t.Errorf("inquired: %+v, %v", inquired, err)
	}
	if len(f.refunds) != 1 {
		t.Errorf("%d refunds", len(f.refunds))
	}
	for status, want := range map[string]gateway.RefundState{"CANCELLED": gateway.RefundFailed, "FAILED": gateway.RefundFailed, "ONHOLD": gateway.RefundPending, "NEW": ""} {
		f.refunds[r.Reference]["refund_status"] = status
		got, err := g.InquireRefund(t.Context(), f.account(), r)
		if got.State != want || (err == nil) != (want != "") {
			t.Errorf("%s: %+v, %v", status, got, err)
		}
	}
	f.refunds[r.Reference]["refund_status"] = "SUCCESS"
	more := r
	more.Amount = inr("3")
	if got, err := g.Refund(t.Context(), f.account(), more); err == nil || errors.As(err, new(*gateway.Declined)) {
		t.Errorf("another amount under the same reference: %+v, %v", got, err)
	}
	other := r
	other.PaymentID = "1"
	if got, err := g.InquireRefund(t.Context(), f.account(), other); err == nil {
		t.Errorf("of another payment: %+v", got)
	}
	for field, value := range map[string]any{"order_id": "tx_2", "refund_id": "rfd_2", "refund_currency": "USD", "refund_amount": "x"} {
		right := f.refunds[r.Reference][field]
		f.refunds[r.Reference][field] = value
		if got, err := g.InquireRefund(t.Context(), f.account(), r); err == nil || errors.As(err, new(*gateway.Declined)) {
			t.Errorf("%s %v: %+v, %v", field, value, got, err)
		}
		f.refunds[r.Reference][field] = right
	}
}

func TestRefundDeclined(t *testing.T) {
	f, g := newFake(t), newClient(t)
	r := gateway.Refund{Reference: "rfd_000000001", PaymentID: "1", Payin: "tx_000000009", Amount: inr("2.50")}
	declined := new(gateway.Declined)
	if got, err := g.Refund(t.Context(), f.account(), r); !errors.As(err, &declined) || declined.Code != "order_not_found" {
		t.Errorf("%+v, %v", got, err)
	}
	wrong := f.account()
	wrong.Credentials = map[string]string{"client_id": "x", "client_secret": "y"}
	if got, err := g.InquireRefund(t.Context(), wrong, r); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("%+v, %v", got, err)
	}
}
