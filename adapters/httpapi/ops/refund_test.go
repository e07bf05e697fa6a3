package ops_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

func (*desk) NewRefundID() string { return "rfd_1" }

const refundPath = "/ops/v1/payins/txn_1/refunds"

// A refund's life over HTTP.
func TestRefunds(t *testing.T) {
	d, logs := newDesk(t), &bytes.Buffer{}
	do := d.at(logs)
	step := func(method, key, body string, want ...string) {
		t.Helper()
		status, got := do(method, refundPath, key, body)
		for _, w := range want {
			if status != http.StatusOK || !strings.Contains(got, w) {
				t.Errorf("%s: %d %s, want %s", method, status, got, w)
			}
		}
	}
	step("GET", "support", "", `"refunds":[],"refundable":"1000.00"`)
	step("POST", "maker", `{"amount":"400","reason":"goods returned","reference":"RET-1"}`,
		`"refund":{"id":"rfd_1","merchant_id":"mer_a","transaction_id":"txn_1","reference":"RET-1","status":"pending","currency":"INR","amount":"400.00"`,
		`"actor":"operator:opr_maker","gateway":"sandbox","payment_id":"pay_1"`, `"refundable":"600.00","wallet":{"balance":"600.00","locked_balance":"400.00","owed":"0.00"}`)
	d.take(&wallet.RefundSucceeded{Of: d.payment.Of, Refund: "rfd_1", Amount: money.MustParse("400", money.INR), Commission: money.Zero(money.INR), Tax: money.Zero(money.INR), Gateway: "sandbox", RefundID: "r1", UTR: "6001"})
	step("GET", "auditor", "", `"status":"success"`, `"refund_id":"r1","utr":"6001"`, `"refundable":"600.00"`)
	step("POST", "owner two", `{"reason":"the rest","amount":null}`, `"amount":"600.00"`, `"refundable":"0.00"`)
	if len(d.payment.Refunds) != 2 || !strings.Contains(logs.String(), `"operator":"opr_maker","refund":"rfd_1","payment":"txn_1"`) {
		t.Errorf("%+v, logged %s", d.payment.Refunds, logs)
	}
}

// A request whose answer was lost is sent again, with its key, and done once.
func TestRefundsAreBegunOnce(t *testing.T) {
	d := newDesk(t)
	do := d.at(&bytes.Buffer{})
	for i, want := range []string{`"wallet":`, `"refundable":"900.00"}`, `"refundable":"900.00"}`} {
		if status, got := do("POST", refundPath, "owner one", `{"amount":100,"reason":"r"}`); status != http.StatusOK || !strings.Contains(got, `"amount":"100.00"`) || !strings.Contains(got, want) {
			t.Fatalf("%d: %d %s", i, status, got)
		}
	}
	if status, got := do("POST", refundPath, "owner one", `{"amount":"200","reason":"r"}`); status != http.StatusConflict || !strings.Contains(got, "of 100.00, was asked for under this reference") {
		t.Errorf("%d %s", status, got)
	}
	if status, _ := do("POST", refundPath, "owner two", `{"amount":"100","reason":"r"}`); status != http.StatusOK || len(d.payment.Refunds) != 2 {
		t.Errorf("%d %+v", status, d.payment.Refunds)
	}
}

func TestRefundsRefused(t *testing.T) {
	d := newDesk(t)
	do := d.at(&bytes.Buffer{})
	d.wallet.Evolve(&wallet.WalletHeld{Of: wallet.Of{Merchant: "mer_a", Currency: money.INR, Payment: "hld_1"}, Amount: money.MustParse("700", money.INR)})
	for _, c := range []struct {
		name, method, path, key, body string
		status                        int
		want                          string
	}{
		{"by an auditor", "POST", refundPath, "auditor", `{"reason":"r"}`, 403, "role"},
		{"of nothing", "POST", "/ops/v1/payins/txn_2/refunds", "owner", `{"reason":"r"}`, 404, ""},
		{"listed of nothing", "GET", "/ops/v1/payins/txn_2/refunds", "owner", "", 404, ""},
		{"without a reason", "POST", refundPath, "owner", `{}`, 422, `"reason":["The reason is missing."]`},
		{"of another form", "POST", refundPath, "owner", `{"amount":"much","reason":7,"reference":true}`, 422, `"amount":["The amount must be an amount in INR."]`},
		{"of nothing at all", "POST", refundPath, "owner", `{"amount":"0","reason":"r"}`, 422, "more than zero"},
		{"of more than was paid", "POST", refundPath, "owner", `{"amount":"1000.01","reason":"r"}`, 422, "is more than the 1000.00 that can be refunded"},
		{"with what is not known", "POST", refundPath, "owner", `{"reason":"r","colour":"red"}`, 422, `"colour":["The colour is not known."]`},
		{"that the wallet does not cover", "POST", refundPath, "owner", `{"reason":"r"}`, 409, "Insufficient wallet balance"},
		{"with a key of any length", "POST", refundPath, "owner " + strings.Repeat("x", 256), `{"reason":"r"}`, 422, "Idempotency-Key"},
	} {
		if status, got := do(c.method, c.path, c.key, c.body); status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s", c.name, status, got)
		}
	}
	if len(d.payment.Refunds) != 0 {
		t.Errorf("%+v", d.payment.Refunds)
	}
}
