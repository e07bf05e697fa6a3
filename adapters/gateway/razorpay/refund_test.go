package razorpay

import (
	"slices"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

func TestRefund(t *testing.T) {
	list, ask := "GET /v1/payments/"+payID+"/refunds", "POST /v1/payments/"+payID+"/refund"
	done := refundBody("rfnd_FP8QHiV938haTz", refundRef, "processed", 10000)
	other := refundBody("rfnd_other", "", "processed", 10000)
	refused := "400 " + refusalBody("BAD_REQUEST_ERROR", "The payment has been fully refunded already", "NA")
	for name, one := range map[string]struct {
		lists []string
		ask   string
		state gateway.RefundState
		err   string
	}{
		"it":                            {[]string{collectionBody(other)}, done, gateway.RefundDone, "none"},
		"takes a while":                 {[]string{collectionBody()}, strings.Replace(done, "processed\",\"speed_p", "pending\",\"speed_p", 1), gateway.RefundPending, "none"},
		"failed":                        {[]string{collectionBody()}, strings.Replace(done, "processed\",\"speed_p", "failed\",\"speed_p", 1), gateway.RefundFailed, "none"},
		"there from before":             {[]string{collectionBody(other, done)}, "", gateway.RefundDone, "none"},
		"refused, and there meanwhile":  {[]string{collectionBody(), collectionBody(done)}, refused, gateway.RefundDone, "none"},
		"refused":                       {[]string{collectionBody()}, refused, "", "declined"},
		"refused, and not to be looked": {[]string{collectionBody(), "401 " + refusalBody("BAD_REQUEST_ERROR", "Authentication failed", "NA")}, refused, "", "unknown"},
		"nothing known beforehand":      {[]string{"500 "}, "", "", "unknown"},
		"another amount":                {[]string{collectionBody()}, strings.Replace(done, "10000,", "10001,", 1), "", "unknown"},
		"another payment":               {[]string{collectionBody()}, strings.Replace(done, payID, "pay_other", 1), "", "unknown"},
		"another state":                 {[]string{collectionBody()}, strings.Replace(done, "processed\",\"speed_p", "odd\",\"speed_p", 1), "", "unknown"},
		"there, over another amount":    {[]string{collectionBody(strings.Replace(done, "10000,", "10001,", 1))}, "", "", "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			r, c, a := world(t)
			r.on(list, one.lists...)
			if one.ask != "" {
				r.on(ask, one.ask)
			}
			got, err := c.Refund(timeout(t), a, theRefund())
			if got.State != one.state || kind(err) != one.err {
				t.Fatalf("%+v, %v", got, err)
			}
			if err == nil && (got.RefundID != "rfnd_FP8QHiV938haTz" || got.UTR != "10000000000000" || len(got.Body) == 0 || got.At.Unix() != 1597078866) {
				t.Errorf("%+v", got)
			}
			if (got.State == gateway.RefundFailed) != slices.Contains(wallet.Reasons(), got.Reason) {
				t.Errorf("%q", got.Reason)
			}
			for _, q := range r.all() {
				want := `{"amount":10000,"receipt":"rfd_abc123xyz","notes":{"kspay_id":"tx_abc123xyz","kspay_refund_id":"rfd_abc123xyz"}}`
				if q.line == ask && (q.idempotency != refundRef || strings.TrimSpace(q.body) != want) {
					t.Errorf("asked with key %q and %s", q.idempotency, q.body)
				}
			}
		})
	}
	_, c, a := world(t)
	for name, change := range map[string]func(*gateway.Refund){
		"no payment":          func(r *gateway.Refund) { r.PaymentID = "pay_1/../x" },
		"too short":           func(r *gateway.Refund) { r.Reference = "rfd_1" },
		"not fit for headers": func(r *gateway.Refund) { r.Reference = "rfd_abc123xyz\r\nX: y" },
	} {
		one := theRefund()
		change(&one)
		if _, err := c.Refund(timeout(t), a, one); kind(err) != "unknown" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInquireRefund(t *testing.T) {
	list := "GET /v1/payments/" + payID + "/refunds"
	r, c, a := world(t)
	page := make([]string, refundsPage)
	for i := range page {
		page[i] = refundBody("rfnd_other", "", "processed", 1)
	}
	noted := strings.Replace(refundBody("rfnd_FP8QHiV938haTz", "", "processed", 10000), `"notes":[]`, `"notes":{"kspay_refund_id":"`+refundRef+`"}`, 1)
	r.on(list, collectionBody(page...), collectionBody(noted))
	got, err := c.InquireRefund(timeout(t), a, theRefund())
	if err != nil || got.State != gateway.RefundDone || got.RefundID != "rfnd_FP8QHiV938haTz" {
		t.Errorf("on the second page: %+v, %v", got, err)
	}
	if want := []string{list + "?count=25&skip=0", list + "?count=25&skip=25"}; !slices.Equal(r.lines(), want) {
		t.Errorf("asked %v", r.lines())
	}
	r.on(list, collectionBody())
	if got, err := c.InquireRefund(timeout(t), a, theRefund()); err != nil || got.State != gateway.RefundUnknown || len(got.Body) == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	r.on(list, collectionBody(page...)) // for ever
	if got, err := c.InquireRefund(timeout(t), a, theRefund()); kind(err) != "unknown" {
		t.Errorf("%+v, %v", got, err)
	}
}
