package ledger_test

import (
	"slices"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// TestVerifyRoutes: a choice of a gateway that does not follow from its candidates is found, in a log whose hashes all fit.
func TestVerifyRoutes(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	b := open(t, log)
	b.history(merchantA)
	candidate := func(config, gateway string, priority int, enabled bool) route.Candidate {
		return route.Candidate{Config: config, Gateway: gateway, Priority: priority, Enabled: enabled, Verified: true, Currency: true, Method: true}
	}
	of := wallet.Base{Of: wallet.Of{Merchant: merchantA, Currency: money.INR, Payment: "tx_UOVynlQ0j"}, At: made}
	b.submit(wallet.CreatePayin{
		Base: of, Amount: inr("1000"), Charge: charge("10", "1.53"), OrderID: "O-2", TxnRef: "tx_UOVynlQ0j", Gateway: wallet.Unrouted, ExpiresAt: made.Add(time.Hour),
	})
	b.submit(wallet.RoutePayin{Base: of, Attempt: 1, Candidates: []route.Candidate{
		candidate("gc_a", "payu", 1, false), candidate("gc_b", "razorpay", 2, true), candidate("gc_c", "razorpay", 3, true),
	}})
	b.submit(wallet.RecordOrderFailure{Base: of, Attempt: 1, Config: "gc_b", Code: "BAD", Reason: "refused"})
	b.submit(wallet.RoutePayin{Base: of, Attempt: 2, Candidates: []route.Candidate{candidate("gc_b", "razorpay", 2, true), candidate("gc_c", "razorpay", 3, true)}})
	b.submit(wallet.RecordOrder{Base: of, Attempt: 2, Config: "gc_c", Order: "order_1"})
	all := tell(t, log)
	first := slices.IndexFunc(all, func(x telling) bool { return x.Type == "payin.routed" })
	if c := verify(t, retold(t, all))["routes"]; !c.OK || c.Checked != 2 {
		t.Errorf("a sound log: %+v", c)
	}
	for name, change := range map[string]func(*wallet.PayinRouted){
		"another choice":    func(e *wallet.PayinRouted) { e.Config = "gc_c" },
		"another gateway":   func(e *wallet.PayinRouted) { e.Gateway = "payu" },
		"another reason":    func(e *wallet.PayinRouted) { e.Candidates[2].Verdict = route.PassedOver },
		"another candidate": func(e *wallet.PayinRouted) { e.Candidates[0].Enabled = true },
		"none is usable": func(e *wallet.PayinRouted) {
			e.Candidates[1].Enabled, e.Candidates[2].Enabled = false, false
		},
	} {
		told := slices.Clone(all)
		e := *told[first].fact.(*wallet.PayinRouted)
		e.Candidates = slices.Clone(e.Candidates)
		change(&e)
		told[first].fact = &e
		if c := verify(t, retold(t, told))["routes"]; c.OK || c.Position != all[first].Position().String() {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
