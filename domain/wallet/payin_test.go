package wallet

import (
	"fmt"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

var (
	inPriced    = priced("1000", "11.80", "1.80")
	created     = &PayinCreated{Of: payin, Priced: inPriced, OrderID: "O1", TxnRef: "R1", Gateway: "sandbox", ExpiresAt: expiry}
	succeeded   = &PayinSucceeded{Of: payin, Priced: inPriced, Gateway: "sandbox", PaymentID: "pay_1", UTR: "1"}
	suspendedBy = func(amount, reason string) *PayinSuspended {
		return &PayinSuspended{
			Of: payin, Suspense: "sus_1", Amount: inr(amount), Asked: inr("1000"), Gateway: "sandbox", PaymentID: "pay_1", UTR: "1", Reason: reason,
		}
	}
)

func createCommand(change func(*CreatePayin)) CreatePayin {
	c := CreatePayin{
		Base: at(payin), Amount: inr("1000"), Charge: charge("11.80", "1.80"), OrderID: "O1", TxnRef: "R1", Gateway: "sandbox", ExpiresAt: expiry,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestCreatePayin(t *testing.T) {
	usd := Of{"mer_1", "USD", "txn_in"}
	run(t, []scene{
		{name: "new", when: createCommand(nil), then: []Event{created}},
		{name: "the commission may eat it all", when: createCommand(func(c *CreatePayin) { c.Charge = charge("1000", "0") }),
			then: []Event{&PayinCreated{Of: payin, Priced: priced("1000", "1000", "0"), OrderID: "O1", TxnRef: "R1", Gateway: "sandbox", ExpiresAt: expiry}}},
		{name: "the id is taken", given: given{created}, when: createCommand(nil), code: domain.Stale},
		{name: "no amount", when: createCommand(func(c *CreatePayin) { c.Amount = inr("0") }), code: domain.Invalid, field: "amount"},
		{name: "negative", when: createCommand(func(c *CreatePayin) { c.Amount = inr("-5") }), code: domain.Invalid, field: "amount"},
		{name: "less than its commission", when: createCommand(func(c *CreatePayin) { c.Charge = charge("1000.01", "0") }), code: domain.Invalid, field: "amount"},
		{name: "negative commission", when: createCommand(func(c *CreatePayin) { c.Charge = charge("-1", "0") }), code: domain.Invalid, field: "commission"},
		{name: "more tax than commission", when: createCommand(func(c *CreatePayin) { c.Charge = charge("1", "1.01") }), code: domain.Invalid, field: "tax"},
		{name: "commission of another currency", when: createCommand(func(c *CreatePayin) { c.Charge.Commission = money.MustParse("1", "USD") }), code: domain.Invalid, field: "commission"},
		{name: "amount of another currency", when: createCommand(func(c *CreatePayin) { c.Amount = money.MustParse("1000", "USD") }), code: domain.Invalid, field: "amount"},
		{name: "command of another currency", when: createCommand(func(c *CreatePayin) { c.Of = usd }), code: domain.Invalid, field: "currency"},
		{name: "no id", when: createCommand(func(c *CreatePayin) { c.Payment = "" }), code: domain.Invalid, field: "payment"},
		{name: "expires at once", when: createCommand(func(c *CreatePayin) { c.ExpiresAt = noon }), code: domain.Invalid, field: "expires_at"},
		{name: "no gateway", when: createCommand(func(c *CreatePayin) { c.Gateway = "" }), code: domain.Invalid, field: "gateway"},
		{name: "a gateway's name that is no account's", when: createCommand(func(c *CreatePayin) { c.Gateway = "a:float" }), code: domain.Invalid, field: "gateway"},
	})
}

func TestReportPayment(t *testing.T) {
	report := func(amount string) ReportPayment {
		return ReportPayment{Base: at(payin), Gateway: "sandbox", PaymentID: "pay_1", Amount: inr(amount), UTR: "1", Suspense: "sus_1"}
	}
	late := *succeeded
	late.Late = true
	expired, failed := &PayinExpired{Of: payin}, &PayinFailed{Of: payin, Gateway: "sandbox", Reason: "other"}
	other := report("1000")
	other.Merchant = "mer_2"
	noSuspense := report("999")
	noSuspense.Suspense = ""
	run(t, []scene{
		{name: "pending, asked amount", given: given{created}, when: report("1000.00"), then: []Event{succeeded}},
		{name: "pending, less", given: given{created}, when: report("999.99"), then: []Event{suspendedBy("999.99", ReasonAmount)}},
		{name: "pending, more", given: given{created}, when: report("1000.01"), then: []Event{suspendedBy("1000.01", ReasonAmount)}},
		{name: "expired, asked amount", given: given{created, expired}, when: report("1000"), then: []Event{&late}},
		{name: "expired, another amount", given: given{created, expired}, when: report("500"), then: []Event{suspendedBy("500", ReasonAmount)}},
		{name: "failed, asked amount", given: given{created, failed}, when: report("1000"), then: []Event{&late}},
		{name: "success, asked amount again", given: given{created, succeeded}, when: report("1000"), then: []Event{suspendedBy("1000", ReasonSecond)}},
		{name: "success, another amount", given: given{created, succeeded}, when: report("7"), then: []Event{suspendedBy("7", ReasonSecond)}},
		{name: "right amount behind a wrong one", given: given{created, suspendedBy("7", ReasonAmount)}, when: report("1000"), then: []Event{succeeded}},
		{name: "suspense id taken", given: given{created, suspendedBy("7", ReasonAmount)}, when: report("8"), code: domain.Stale},
		{name: "suspense id missing", given: given{created}, when: noSuspense, code: domain.Invalid, field: "suspense"},
		{name: "unknown", when: report("1000"), code: domain.NotFound},
		{name: "a payout", given: funded("9000").and(&PayoutInitiated{Of: payin, Priced: priced("1000", "10", "0")}), when: report("1000"), code: domain.NotFound},
		{name: "nothing paid", given: given{created}, when: report("0"), code: domain.Invalid, field: "amount"},
		{name: "by no gateway", given: given{created}, when: ReportPayment{Base: at(payin), Amount: inr("1000")}, code: domain.Invalid, field: "gateway"},
	})
	// Payment ids are known across merchants of a partition: another's is not found.
	w, p := NewWallet("mer_2", money.INR), &Payment{}
	p.Evolve(created, noon)
	if _, err := Decide(w, p, other); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("payment of another merchant: %v", err)
	}
}

func TestSuspenseIsBounded(t *testing.T) {
	w, p := given{created}.state(payin)
	for i := range MaxSuspended + 1 {
		c := ReportPayment{Base: at(payin), Gateway: "sandbox", PaymentID: fmt.Sprint(i), Amount: inr("1"), Suspense: fmt.Sprint("sus_", i)}
		events, err := Decide(w, p, c)
		if i == MaxSuspended {
			if domain.CodeOf(err) != domain.Stale {
				t.Errorf("payment %d: %v, want it refused", i, err)
			}
			return
		}
		if err != nil || len(events) != 1 {
			t.Fatalf("payment %d: %v %v", i, events, err)
		}
		p.Evolve(events[0], noon)
	}
}

func TestReportPayinFailure(t *testing.T) {
	c := ReportPayinFailure{Base: at(payin), Gateway: "sandbox", Reason: "Declined by customer", Message: "m"}
	failed := &PayinFailed{Of: payin, Gateway: "sandbox", Reason: FailureDeclined}
	noted := &PayinNoted{Of: payin, Gateway: "sandbox", Claim: "failed"}
	anomaly := &PayinNoted{Of: payin, Gateway: "sandbox", Claim: "failed", Anomaly: true}
	of := func(id string) ReportPayinFailure {
		c := c
		c.PaymentID = id
		return c
	}
	many := func(e Event, n int, before ...Event) given {
		g := given(before)
		for range n {
			g = g.and(e)
		}
		return g
	}
	run(t, []scene{
		{name: "pending", given: given{created}, when: c, then: []Event{failed}},
		{name: "failed", given: given{created, failed}, when: c, then: []Event{noted}},
		{name: "expired", given: given{created, &PayinExpired{Of: payin}}, when: c, then: []Event{noted}},
		{name: "success", given: given{created, succeeded}, when: c, then: []Event{anomaly}},
		{name: "success, of that payment", given: given{created, succeeded}, when: of(succeeded.PaymentID), then: []Event{anomaly}},
		{name: "success, of another try", given: given{created, succeeded}, when: of("pay_refused"), then: []Event{noted}},
		{name: "the last note", given: many(noted, MaxNotes-1, created, failed), when: c, then: []Event{noted}},
		{name: "one note too many", given: many(noted, MaxNotes, created, failed), when: c},
		{name: "an anomaly behind many notes", given: many(noted, MaxNotes, created, failed, succeeded), when: c, then: []Event{anomaly}},
		{name: "one anomaly too many", given: many(anomaly, MaxAnomalies, created, succeeded), when: c},
		{name: "unknown", when: c, code: domain.NotFound},
	})
}

func TestExpirePayin(t *testing.T) {
	when := func(d time.Duration) ExpirePayin { return ExpirePayin{Base{Of: payin, At: expiry.Add(d)}} }
	expired := &PayinExpired{Of: payin}
	run(t, []scene{
		{name: "in time", given: given{created}, when: when(0), then: []Event{expired}},
		{name: "later", given: given{created}, when: when(time.Hour), then: []Event{expired}},
		{name: "too early", given: given{created}, when: when(-time.Microsecond), code: domain.Stale},
		{name: "paid", given: given{created, succeeded}, when: when(0)},
		{name: "failed", given: given{created, &PayinFailed{Of: payin}}, when: when(0)},
		{name: "expired already", given: given{created, expired}, when: when(0)},
		{name: "unknown", when: when(0), code: domain.NotFound},
	})
}

func TestSuspense(t *testing.T) {
	open := given{created, suspendedBy("999.50", ReasonAmount)}
	credit := func(change func(*CreditSuspense)) CreditSuspense {
		c := CreditSuspense{Base: at(payin), Suspense: "sus_1", Charge: charge("10", "1.53"), Reason: "asked", Actor: "asha"}
		if change != nil {
			change(&c)
		}
		return c
	}
	refund := func(change func(*RefundSuspense)) RefundSuspense {
		c := RefundSuspense{Base: at(payin), Suspense: "sus_1", Reason: "asked", Actor: "asha"}
		if change != nil {
			change(&c)
		}
		return c
	}
	credited := &SuspenseCredited{Of: payin, Priced: priced("999.50", "10", "1.53"), Suspense: "sus_1", Reason: "asked", Actor: "asha"}
	refunded := &SuspenseRefunded{Of: payin, Suspense: "sus_1", Amount: inr("999.50"), Gateway: "sandbox", Reason: "asked", Actor: "asha"}
	run(t, []scene{
		{name: "credit", given: open, when: credit(nil), then: []Event{credited}},
		{name: "refund", given: open, when: refund(nil), then: []Event{refunded}},
		{name: "credit twice", given: open.and(credited), when: credit(nil), code: domain.Stale},
		{name: "refund what was credited", given: open.and(credited), when: refund(nil), code: domain.Stale},
		{name: "credit what was refunded", given: open.and(refunded), when: credit(nil), code: domain.Stale},
		{name: "unknown entry", given: open, when: credit(func(c *CreditSuspense) { c.Suspense = "sus_2" }), code: domain.NotFound},
		{name: "unknown payin", when: refund(nil), code: domain.NotFound},
		{name: "no reason", given: open, when: credit(func(c *CreditSuspense) { c.Reason = " " }), code: domain.Invalid, field: "reason"},
		{name: "no actor", given: open, when: refund(func(c *RefundSuspense) { c.Actor = "" }), code: domain.Invalid, field: "actor"},
		{name: "commission above the amount", given: open, when: credit(func(c *CreditSuspense) { c.Charge = charge("999.51", "0") }), code: domain.Invalid, field: "amount"},
	})
	_, p := open.and(credited).state(payin)
	if s := p.Suspense["sus_1"]; s.Open || !s.Credited || p.Status != Pending {
		t.Errorf("after a credit: %+v, payin %s", s, p.Status)
	}
}
