package paypal

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// TestTokensBounded: of more accounts than are kept, the one whose token ends first goes.
func TestTokensBounded(t *testing.T) {
	now := time.Unix(1e9, 0)
	kept := newTokens(func() time.Time { return now })
	account := func(i int) tokenKey { return keyOf("base", gateway.Account{Config: strconv.Itoa(i)}) }
	for i := range maxTokens {
		kept.keep(kept.entry(account(i)), "token", time.Hour+time.Duration((i+7)%maxTokens)*time.Second)
	}
	first := account(maxTokens - 7)
	if kept.good(kept.entry(first)) != "token" || len(kept.of) != maxTokens {
		t.Errorf("%d tokens", len(kept.of))
	}
	kept.entry(account(maxTokens))
	if _, there := kept.of[first]; there || len(kept.of) != maxTokens {
		t.Errorf("%d tokens, the first to end still among them: %v", len(kept.of), there)
	}
	second := kept.entry(account(0))
	kept.forget("base", gateway.Account{Config: "0"}, "another")
	if kept.good(second) != "token" {
		t.Error("a token was forgotten in place of another")
	}
	now = now.Add(time.Hour + 7*time.Second - tokenMargin)
	if kept.good(second) != "" {
		t.Error("a token is good until its very end")
	}
}

// FuzzEvent: whatever PayPal confirms is read whole, or refused as malformed.
func FuzzEvent(f *testing.F) {
	f.Add(`{"id":"WH-1","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":"27M","status":"COMPLETED","custom_id":"tx_1","amount":{"currency_code":"USD","value":"1.00"}}}`)
	f.Add(`{"id":"WH-1","event_type":"PAYMENT.CAPTURE.DENIED","resource":{"id":"27M","status":"DENIED","invoice_id":"tx_1","amount":{"currency_code":"JPY","value":"1"}}}`)
	f.Add(`{"id":"WH-1","event_type":"PAYMENT.CAPTURE.REFUNDED","resource":{"id":"1Y1","status":"PENDING","custom_id":"rfd_1"}}`)
	f.Add(`{"id":"WH-1","event_type":"CHECKOUT.ORDER.APPROVED","resource":{"id":"5O1","purchase_units":[{"custom_id":"tx_1"}]}}`)
	f.Add(`{"id":"WH-1","event_type":"CUSTOMER.DISPUTE.RESOLVED","resource":{"dispute_id":"PP-1","status":"RESOLVED","dispute_life_cycle_stage":"CHARGEBACK",` +
		`"disputed_transactions":[{"custom":"tx_1"}],"dispute_amount":{"currency_code":"USD","value":"3"},"dispute_outcome":{"outcome_code":"ACCEPTED"}}}`)
	f.Fuzz(func(t *testing.T, body string) {
		got, err := readEvent([]byte(body), "application/json")
		if err != nil {
			if !errors.Is(err, gateway.ErrMalformed) || got != nil {
				t.Errorf("%+v, %v", got, err)
			}
			return
		}
		for _, m := range got {
			about := 0
			if m.Approved {
				about++
			}
			if p := m.Payment; p != nil {
				about++
				if p.PaymentID == "" || p.Amount == "" || m.OrderID+m.Reference == "" || p.Paid == (p.Reason != "") {
					t.Errorf("%+v", p)
				}
			}
			if d := m.Dispute; d != nil {
				about++
				if d.Case == "" || d.Amount == "" || m.Reference == "" || d.Phase == "" || d.Status == "" {
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
