package wallet

import (
	"testing"

	"github.com/khata-ledger/khata/domain"
)

var (
	outPriced = priced("5000", "10", "1.53")
	initiated = &PayoutInitiated{Of: payout, Priced: outPriced, RequestID: "P1", IFSC: "HDFC0001234", AccountLast4: "4321", TransferType: "5"}
	submitted = &PayoutSubmitted{Of: payout, Attempt: 1, Gateway: "sandbox", Reference: "txn_out"}
	rerouted  = &PayoutSubmitted{Of: payout, Attempt: 2, Gateway: "other", Reference: "txn_out"}
	paid      = &PayoutSucceeded{Of: payout, Priced: outPriced, Gateway: "sandbox", UTR: "1", BankReference: "B1"}
	refunded  = &PayoutRefunded{Of: payout, Priced: outPriced, Gateway: "sandbox", Reason: FailureAccountClosed}
	returned  = &PayoutReturned{Of: payout, Priced: outPriced, Gateway: "sandbox", ReturnReference: "RET-1", Reason: FailureReturned}
	cancelled = &PayoutFailed{Of: payout, Priced: outPriced, Reason: FailureCancelled}
)

func initiateCommand(change func(*InitiatePayout)) InitiatePayout {
	c := InitiatePayout{
		Base: at(payout), Amount: inr("5000"), Charge: charge("10", "1.53"), RequestID: "P1", IFSC: "HDFC0001234", AccountLast4: "4321", TransferType: "5",
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestInitiatePayout(t *testing.T) {
	run(t, []scene{
		{name: "covered exactly", given: funded("5010"), when: initiateCommand(nil), then: []Event{initiated}},
		{name: "one paisa short", given: funded("5009.99"), when: initiateCommand(nil), code: domain.InsufficientBalance},
		{name: "empty wallet", when: initiateCommand(nil), code: domain.InsufficientBalance},
		{name: "locked money does not count", given: funded("6000").and(&WalletHeld{Of: hold, Amount: inr("1000")}), when: initiateCommand(nil), code: domain.InsufficientBalance},
		{name: "the id is taken", given: funded("99999").and(initiated), when: initiateCommand(nil), code: domain.Stale},
		{name: "no amount", given: funded("5010"), when: initiateCommand(func(c *InitiatePayout) { c.Amount = inr("0") }), code: domain.Invalid, field: "amount"},
		{name: "negative amount", given: funded("5010"), when: initiateCommand(func(c *InitiatePayout) { c.Amount = inr("-5000") }), code: domain.Invalid, field: "amount"},
		{name: "negative commission", given: funded("5010"), when: initiateCommand(func(c *InitiatePayout) { c.Charge = charge("-10", "0") }), code: domain.Invalid, field: "commission"},
		{name: "another currency", given: funded("5010"), when: initiateCommand(func(c *InitiatePayout) { c.Currency = "USD" }), code: domain.Invalid, field: "currency"},
	})
	w, p := funded("1").state(payout)
	_, err := Decide(w, p, initiateCommand(nil))
	if err == nil || err.Error() != "Insufficient wallet balance" {
		t.Errorf("message %v", err)
	}
}

func TestSubmitAndCancelPayout(t *testing.T) {
	submit := func(n int) SubmitPayout { return SubmitPayout{Base: at(payout), Attempt: n, Gateway: "sandbox"} }
	open := funded("5010").and(initiated)
	var all given
	for i := range MaxAttempts {
		all = append(all, &PayoutSubmitted{Of: payout, Attempt: i + 1, Gateway: "sandbox", Reference: "txn_out"})
	}
	nameless := submit(1)
	nameless.Gateway = ""
	cancel := CancelPayout{Base: at(payout)}
	run(t, []scene{
		{name: "first", given: open, when: submit(1), then: []Event{submitted}},
		{name: "second", given: open.and(submitted), when: submit(2), then: []Event{&PayoutSubmitted{Of: payout, Attempt: 2, Gateway: "sandbox", Reference: "txn_out"}}},
		{name: "the same again", given: open.and(submitted), when: submit(1), code: domain.Stale},
		{name: "one left out", given: open, when: submit(2), code: domain.Stale},
		{name: "the last", given: open.and(all[:MaxAttempts-1]...), when: submit(MaxAttempts), then: []Event{all[MaxAttempts-1]}},
		{name: "one too many", given: open.and(all...), when: submit(MaxAttempts + 1), code: domain.Stale},
		{name: "paid already", given: open.and(submitted, paid), when: submit(2), code: domain.Stale},
		{name: "refunded already", given: open.and(submitted, refunded), when: submit(2), code: domain.Stale},
		{name: "no gateway", given: open, when: nameless, code: domain.Invalid, field: "gateway"},
		{name: "unknown", when: submit(1), code: domain.NotFound},
		{name: "of a payin", given: given{&PayinCreated{Of: payout, Priced: inPriced}}, when: submit(1), code: domain.NotFound},

		{name: "cancel", given: open, when: cancel, then: []Event{cancelled}},
		{name: "cancel with a reason", given: open, when: CancelPayout{Base: at(payout), Reason: FailureNotApproved},
			then: []Event{&PayoutFailed{Of: payout, Priced: outPriced, Reason: FailureNotApproved}}},
		{name: "cancel with a novel", given: open, when: CancelPayout{Base: at(payout), Reason: string(make([]byte, MaxReason+1))}, code: domain.Invalid, field: "reason"},
		{name: "cancel what was sent", given: open.and(submitted), when: cancel, code: domain.Stale},
		{name: "cancel twice", given: open.and(cancelled), when: cancel, code: domain.Stale},
		{name: "cancel what is unknown", when: cancel, code: domain.NotFound},
	})
}

// TestReportPayout walks every cell of the table in the package's documentation.
func TestReportPayout(t *testing.T) {
	fromBank := ReportPayout{Base: at(payout), Gateway: "sandbox", UTR: "1", BankReference: "B1", Message: "m"}
	said := func(o Outcome, change ...func(*ReportPayout)) ReportPayout {
		c := fromBank
		c.Outcome = o
		if o != OutcomePaid {
			c.UTR, c.BankReference = "", ""
		}
		if o == OutcomeFailed {
			c.Reason = FailureAccountClosed
		}
		if o == OutcomeReturned {
			c.ReturnReference, c.Reason = "RET-1", FailureReturned
		}
		for _, f := range change {
			f(&c)
		}
		return c
	}
	utr := func(s string) func(*ReportPayout) { return func(c *ReportPayout) { c.UTR = s } }
	elsewhere := func(c *ReportPayout) { c.Gateway = "other" }
	byHand := func(c *ReportPayout) { c.Gateway, c.Actor = "", "asha, ravi" }
	ret := func(s string) func(*ReportPayout) { return func(c *ReportPayout) { c.ReturnReference = s } }
	anomaly := func(gateway string, s Status, claim Outcome, detail string) *PayoutAnomaly {
		return &PayoutAnomaly{Of: payout, Gateway: gateway, Status: string(s), Claim: string(claim), Detail: detail}
	}
	noted := func(claim Outcome, utr string) *PayoutNoted {
		return &PayoutNoted{Of: payout, Gateway: "sandbox", Claim: string(claim), UTR: utr}
	}
	paidAfter := func(taken, owed string) *PayoutPaidAfterRefund {
		return &PayoutPaidAfterRefund{
			Of: payout, Priced: outPriced, Taken: inr(taken), Owed: inr(owed), Gateway: "sandbox", UTR: "1", BankReference: "B1",
		}
	}
	unsentReturn := &PayoutSucceeded{Of: payout, Priced: outPriced, Gateway: "sandbox"}
	handPaid, handRefund := *paid, *refunded
	handPaid.Actor, handRefund.Actor = "asha, ravi", "asha, ravi"

	unsent := funded("5010").and(initiated)
	sent := unsent.and(submitted)
	success := sent.and(paid)
	back := success.and(returned)
	gone := sent.and(refunded)
	never := unsent.and(cancelled)
	again := gone.and(paidAfter("5010", "0"))

	run(t, []scene{
		{name: "never sent, paid", given: unsent, when: said(OutcomePaid), then: []Event{paid, anomaly("sandbox", Pending, OutcomePaid, "paid, but never sent")}},
		{name: "never sent, failed", given: unsent, when: said(OutcomeFailed), code: domain.Stale},
		{name: "never sent, returned", given: unsent, when: said(OutcomeReturned), then: []Event{unsentReturn, returned, anomaly("sandbox", Pending, OutcomeReturned, "paid and returned, but never sent")}},

		{name: "pending, paid", given: sent, when: said(OutcomePaid), then: []Event{paid}},
		{name: "pending, paid by hand", given: sent, when: said(OutcomePaid, byHand), then: []Event{&handPaid}},
		{name: "pending, failed", given: sent, when: said(OutcomeFailed), then: []Event{refunded}},
		{name: "pending, failed by hand", given: sent, when: said(OutcomeFailed, byHand), then: []Event{&handRefund}},
		{name: "pending, failed where it is no longer", given: sent.and(rerouted), when: said(OutcomeFailed), then: []Event{noted(OutcomeFailed, "")}},
		{name: "pending, paid where it is no longer", given: sent.and(rerouted), when: said(OutcomePaid), then: []Event{paid}},
		{name: "pending, returned", given: sent, when: said(OutcomeReturned, utr("1"), func(c *ReportPayout) { c.BankReference = "B1" }), then: []Event{paid, returned}},

		{name: "success, paid again with the same UTR", given: success, when: said(OutcomePaid), then: []Event{noted(OutcomePaid, "1")}},
		{name: "success, paid again without a UTR", given: success, when: said(OutcomePaid, utr("")), then: []Event{noted(OutcomePaid, "")}},
		{name: "success, paid again with another UTR", given: success, when: said(OutcomePaid, utr("2")), then: []Event{anomaly("sandbox", Success, OutcomePaid, `paid again: sandbox UTR "2" after sandbox UTR "1"`)}},
		{name: "success, paid by another gateway", given: success, when: said(OutcomePaid, utr(""), elsewhere), then: []Event{anomaly("other", Success, OutcomePaid, `paid again: other UTR "" after sandbox UTR "1"`)}},
		{name: "success, failed", given: success, when: said(OutcomeFailed), then: []Event{anomaly("sandbox", Success, OutcomeFailed, "failed, but paid before")}},
		{name: "success, failed elsewhere", given: success, when: said(OutcomeFailed, elsewhere), then: []Event{&PayoutNoted{Of: payout, Gateway: "other", Claim: "failed"}}},
		{name: "success, returned", given: success, when: said(OutcomeReturned), then: []Event{returned}},
		{name: "success, returned by a gateway that never paid", given: success, when: said(OutcomeReturned, elsewhere), then: []Event{anomaly("other", Success, OutcomeReturned, `returned by other with "RET-1", but paid by sandbox and returned with ""`)}},

		{name: "refunded, paid, and covered", given: gone, when: said(OutcomePaid), then: []Event{paidAfter("5010", "0"), anomaly("sandbox", Refunded, OutcomePaid, "paid, but given back to the merchant before")}},
		{name: "refunded, paid, and half covered", given: gone.and(&WalletHeld{Of: hold, Amount: inr("3000")}), when: said(OutcomePaid),
			then: []Event{paidAfter("2010", "3000"), anomaly("sandbox", Refunded, OutcomePaid, "paid, but given back to the merchant before")}},
		{name: "refunded, paid, and not covered", given: gone.and(&WalletHeld{Of: hold, Amount: inr("5010")}), when: said(OutcomePaid),
			then: []Event{paidAfter("0", "5010"), anomaly("sandbox", Refunded, OutcomePaid, "paid, but given back to the merchant before")}},
		{name: "refunded, failed", given: gone, when: said(OutcomeFailed), then: []Event{noted(OutcomeFailed, "")}},
		{name: "refunded, returned", given: gone, when: said(OutcomeReturned), then: []Event{anomaly("sandbox", Refunded, OutcomeReturned, "returned, but never known as paid")}},

		{name: "returned, paid with the same UTR", given: back, when: said(OutcomePaid), then: []Event{noted(OutcomePaid, "1")}},
		{name: "returned, paid with another UTR", given: back, when: said(OutcomePaid, utr("2")), then: []Event{anomaly("sandbox", Refunded, OutcomePaid, `paid again: sandbox UTR "2" after sandbox UTR "1"`)}},
		{name: "returned, failed", given: back, when: said(OutcomeFailed), then: []Event{noted(OutcomeFailed, "")}},
		{name: "returned, returned", given: back, when: said(OutcomeReturned), then: []Event{noted(OutcomeReturned, "")}},
		{name: "returned, another return", given: back, when: said(OutcomeReturned, ret("RET-2")), then: []Event{anomaly("sandbox", Refunded, OutcomeReturned, `returned by sandbox with "RET-2", but paid by sandbox and returned with "RET-1"`)}},

		{name: "cancelled, paid", given: never, when: said(OutcomePaid), then: []Event{paidAfter("5010", "0"), anomaly("sandbox", Failed, OutcomePaid, "paid, but given back to the merchant before")}},
		{name: "cancelled, failed", given: never, when: said(OutcomeFailed), then: []Event{noted(OutcomeFailed, "")}},
		{name: "cancelled, returned", given: never, when: said(OutcomeReturned), then: []Event{anomaly("sandbox", Failed, OutcomeReturned, "returned, but never known as paid")}},

		{name: "paid after refund, paid again", given: again, when: said(OutcomePaid), then: []Event{noted(OutcomePaid, "1")}},
		{name: "paid after refund, failed", given: again, when: said(OutcomeFailed), then: []Event{anomaly("sandbox", Success, OutcomeFailed, "failed, but paid before")}},
		{name: "paid after refund, returned", given: again, when: said(OutcomeReturned), then: []Event{returned}},
		{name: "paid after refund, returned while owed", when: said(OutcomeReturned),
			given: gone.and(&WalletHeld{Of: hold, Amount: inr("3000")}, paidAfter("2010", "3000")),
			then:  []Event{returned, &WalletRecovered{Of: payout, Amount: inr("3000")}}},

		{name: "a return without its reference", given: success, when: said(OutcomeReturned, ret("")), code: domain.Invalid, field: "return_reference"},
		{name: "no known outcome", given: sent, when: said("maybe"), code: domain.Invalid, field: "outcome"},
		{name: "no gateway at all", given: unsent, when: said(OutcomePaid, byHand), code: domain.Invalid, field: "gateway"},
		{name: "unknown payout", when: said(OutcomePaid), code: domain.NotFound},
		{name: "a payin", given: given{&PayinCreated{Of: payout, Priced: inPriced}}, when: said(OutcomePaid), code: domain.NotFound},
	})
}

func TestNotesAreBounded(t *testing.T) {
	repeat := &PayoutNoted{Of: payout, Gateway: "sandbox", Claim: "paid", UTR: "1"}
	g := funded("5010").and(initiated, submitted, paid)
	for range MaxNotes {
		g = g.and(repeat)
	}
	same := ReportPayout{Base: at(payout), Gateway: "sandbox", Outcome: OutcomePaid, UTR: "1", BankReference: "B1", Message: "m"}
	failure := ReportPayout{Base: at(payout), Gateway: "sandbox", Outcome: OutcomeFailed, Message: "m"}
	contradiction := &PayoutAnomaly{Of: payout, Gateway: "sandbox", Status: "success", Claim: "failed", Detail: "failed, but paid before"}
	full := g
	for range MaxAnomalies - MaxNotes {
		full = full.and(contradiction)
	}
	run(t, []scene{
		{name: "the last note", given: g[:len(g)-1], when: same, then: []Event{repeat}},
		{name: "one note too many", given: g, when: same},
		{name: "an anomaly behind many notes", given: g, when: failure, then: []Event{contradiction}},
		{name: "one anomaly too many", given: full, when: failure},
	})
}

// TestNotedUTR: a success that was reported without its UTR learns it from a repeat.
func TestNotedUTR(t *testing.T) {
	bare := *paid
	bare.UTR = ""
	w, p := funded("5010").and(initiated, submitted, &bare).state(payout)
	events, err := Decide(w, p, ReportPayout{Base: at(payout), Gateway: "sandbox", Outcome: OutcomePaid, UTR: "77", Message: "m"})
	if err != nil || len(events) != 1 {
		t.Fatal(events, err)
	}
	p.Evolve(events[0], noon)
	if p.UTR != "77" || p.Notes != 1 {
		t.Errorf("UTR %q, notes %d", p.UTR, p.Notes)
	}
}
