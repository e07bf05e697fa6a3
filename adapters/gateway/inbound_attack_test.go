package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/wallet"
)

// The id of a transaction that is paid through its app's gateway is no secret to its customer, who can name it to the sandbox's UPI. What that
// collects is no payment of it, neither before its gateway is chosen nor after.
func TestAnotherGatewayCannotPayACheckout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	for name, routed := range map[string]bool{"unrouted": false, "ordered": true} {
		id := "tx_" + name
		b := w.base(id)
		w.submit(wallet.CreatePayin{
			Base: b, Amount: money.MustParse("1000", money.INR), Charge: charge("10"), OrderID: id, TxnRef: id, Gateway: wallet.Unrouted,
			ExpiresAt: b.At.Add(time.Hour), Method: "UPI",
		})
		if routed {
			w.submit(wallet.RoutePayin{Base: w.base(id), Attempt: 1, Candidates: []route.Candidate{
				{Config: "gc_AAAAAAAAA", Gateway: "razorpay", Priority: 1, Enabled: true, Verified: true, Currency: true, Method: true},
			}})
			w.submit(wallet.RecordOrder{Base: w.base(id), Attempt: 1, Config: "gc_AAAAAAAAA", Order: "order_1"})
		}
		message := "msg_" + name
		status := w.callback(secret, time.Now(), message, `{"message_id":"`+message+`","kind":"payment","reference":"`+id+
			`","payment_id":"pay_1","status":"success","amount":"1000.00","utr":"612345678901"}`)
		if status != http.StatusOK {
			t.Errorf("%s: %d", name, status)
		}
		if p := w.payment(id); p.Status != wallet.Pending || p.Anomalies != 1 {
			t.Errorf("%s: %s with %d anomalies: %s", name, p.Status, p.Anomalies, w.ledger.types(id))
		}
	}
}
