package wallet

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

func refundCommand(amount string, change func(*RefundPayin)) RefundPayin {
	c := RefundPayin{Base: at(payin), Refund: "rfd_1", Reason: "returned", Actor: "asha"}
	if amount != "" {
		c.Amount = inr(amount)
	}
	if change != nil {
		change(&c)
	}
	return c
}

// begun is a refund as it was decided; commission and tax come second and third.
func begun(amount, commission, tax string, change func(*RefundInitiated)) *RefundInitiated {
	e := &RefundInitiated{
		Of: payin, Refund: "rfd_1", Amount: inr(amount), Commission: inr(commission), Tax: inr(tax), Reason: "returned", Actor: "asha",
		Gateway: "sandbox", PaymentID: "pay_1",
	}
	if change != nil {
		change(e)
	}
	return e
}

func TestRefundPayin(t *testing.T) {
	other := func(id, reference string) func(*RefundInitiated) {
		return func(e *RefundInitiated) { e.Refund, e.Reference = id, reference }
	}
	spent := paidIn.and(&WalletHeld{Of: hold, Amount: inr("788.20"), Reason: "r", Actor: "a"}) // 200 are left
	more := funded("100")[0]
	claimed := func(amount string) *DisputeOpened {
		return openedBy(amount, "100", "0", func(e *DisputeOpened) { e.Taken, e.Owed = inr(amount), inr("0") })
	}
	lost := &DisputeLost{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr("300"), Fee: inr("0"), FromHold: inr("300"), Released: inr("0"), Taken: inr("0"), Owed: inr("0")}
	asked := &DisputeOpened{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Phase: PhaseRetrieval, Amount: inr("1000"), Taken: inr("0"), Owed: inr("0")}
	failed := &RefundFailed{Of: payin, Refund: "rfd_0", Amount: inr("600"), Commission: inr("7.08"), Tax: inr("1.08"), Gateway: "sandbox", Reason: "other"}
	run(t, []scene{
		{name: "all of it", given: paidIn, when: refundCommand("", nil), then: []Event{begun("1000", "11.80", "1.80", nil)}},
		{name: "a part", given: paidIn, when: refundCommand("333.33", nil), then: []Event{begun("333.33", "3.93", "0.60", nil)}},
		{name: "the rest", given: paidIn.and(begun("333.33", "3.93", "0.60", other("rfd_0", ""))), when: refundCommand("", nil),
			then: []Event{begun("666.67", "7.87", "1.20", nil)}},
		{name: "after one that failed", given: paidIn.and(begun("600", "7.08", "1.08", other("rfd_0", "")), failed), when: refundCommand("", nil),
			then: []Event{begun("1000", "11.80", "1.80", nil)}},
		{name: "with a reference", given: paidIn, when: refundCommand("1000", func(c *RefundPayin) { c.Reference = "RET 1" }),
			then: []Event{begun("1000", "11.80", "1.80", func(e *RefundInitiated) { e.Reference = "RET 1" })}},
		{name: "beside a dispute", given: paidIn.and(more, claimed("300")), when: refundCommand("", nil), then: []Event{begun("700", "8.26", "1.26", nil)}},
		{name: "beside a loss", given: paidIn.and(more, claimed("300"), lost), when: refundCommand("", nil), then: []Event{begun("700", "8.26", "1.26", nil)}},
		{name: "beside a question", given: paidIn.and(asked), when: refundCommand("", nil), then: []Event{begun("1000", "11.80", "1.80", nil)}},
		{name: "more than a dispute leaves", given: paidIn.and(claimed("300")), when: refundCommand("700.01", nil), code: domain.Invalid, field: "amount"},
		{name: "more than was paid", given: paidIn, when: refundCommand("1000.01", nil), code: domain.Invalid, field: "amount"},
		{name: "nothing is left", given: paidIn.and(begun("1000", "11.80", "1.80", other("rfd_0", ""))), when: refundCommand("", nil), code: domain.Stale},
		{name: "the balance does not cover it", given: spent, when: refundCommand("300", nil), code: domain.InsufficientBalance},
		{name: "the balance covers the merchant's part", given: spent, when: refundCommand("202.38", nil), then: []Event{begun("202.38", "2.39", "0.36", nil)}},
		{name: "not paid", given: given{created}, when: refundCommand("", nil), code: domain.Stale},
		{name: "not there", when: refundCommand("", nil), code: domain.NotFound},
		{name: "a payout", given: funded("9000").and(&PayoutInitiated{Of: payin, Priced: priced("1000", "10", "0")}), when: refundCommand("", nil), code: domain.NotFound},
		{name: "the id is taken", given: paidIn.and(begun("1", "0.01", "0", nil)), when: refundCommand("1", nil), code: domain.Stale},
		{name: "the reference is taken", given: paidIn.and(begun("1", "0.01", "0", other("rfd_0", "R"))), when: refundCommand("1", func(c *RefundPayin) { c.Reference = "R" }), code: domain.Stale},
		{name: "nothing", given: paidIn, when: refundCommand("0", nil), code: domain.Invalid, field: "amount"},
		{name: "another currency", given: paidIn, when: refundCommand("", func(c *RefundPayin) { c.Amount = money.MustParse("1", "USD") }), code: domain.Invalid, field: "amount"},
		{name: "no id", given: paidIn, when: refundCommand("", func(c *RefundPayin) { c.Refund = "" }), code: domain.Invalid, field: "refund"},
		{name: "no reason", given: paidIn, when: refundCommand("", func(c *RefundPayin) { c.Reason = " " }), code: domain.Invalid, field: "reason"},
		{name: "nobody", given: paidIn, when: refundCommand("", func(c *RefundPayin) { c.Actor = "" }), code: domain.Invalid, field: "actor"},
		{name: "a reason of two lines", given: paidIn, when: refundCommand("", func(c *RefundPayin) { c.Reason = "a\nb" }), code: domain.Invalid, field: "reason"},
		{name: "a reference of any length", given: paidIn, when: refundCommand("", func(c *RefundPayin) { c.Reference = strings.Repeat("x", MaxName+1) }), code: domain.Invalid, field: "reference"},
	})
}

// TestRefundsEndExactly: parts that were rounded up and then failed are made good, as far as no part becomes negative.
func TestRefundsEndExactly(t *testing.T) {
	w, p := given{
		&PayinCreated{Of: payin, Priced: priced("0.10", "0.05", "0.05")}, &PayinSucceeded{Of: payin, Priced: priced("0.10", "0.05", "0.05"), Gateway: "sandbox"},
	}.state(payin)
	do := func(c Command) Event {
		t.Helper()
		events, err := Decide(w, p, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			w.Evolve(e)
			p.Evolve(e, noon)
		}
		return events[0]
	}
	var given []string
	for i := range 9 { // of paisa by paisa, each second one fails: those that give back nothing
		id := fmt.Sprint("rfd_", i)
		e := do(RefundPayin{Base: at(payin), Refund: id, Amount: inr("0.01"), Reason: "r", Actor: "a"}).(*RefundInitiated)
		given = append(given, e.Commission.Fixed())
		if i%2 == 1 {
			do(SubmitRefund{Base: at(payin), Refund: id, Attempt: 1})
			do(ReportRefund{Base: at(payin), Refund: id, Outcome: OutcomeFailed})
		}
	}
	last := do(RefundPayin{Base: at(payin), Refund: "rfd_last", Reason: "r", Actor: "a"}).(*RefundInitiated)
	_, commission, tax := p.refunds()
	if !commission.Equal(inr("0.05")) || !tax.Equal(inr("0.05")) || !last.Amount.Equal(inr("0.05")) || !w.Available.IsZero() {
		t.Errorf("%s and %s given back, at last %+v, %s left; %v", commission, tax, last, w.Available, given)
	}
}

func TestSubmitRefund(t *testing.T) {
	open := paidIn.and(begun("1000", "11.80", "1.80", nil))
	submit := func(n int) SubmitRefund { return SubmitRefund{Base: at(payin), Refund: "rfd_1", Attempt: n} }
	sent := func(n int) *RefundSubmitted {
		return &RefundSubmitted{Of: payin, Refund: "rfd_1", Attempt: n, Gateway: "sandbox"}
	}
	often := open
	for n := range MaxAttempts {
		often = often.and(sent(n + 1))
	}
	run(t, []scene{
		{name: "first", given: open, when: submit(1), then: []Event{sent(1)}},
		{name: "second", given: open.and(sent(1)), when: submit(2), then: []Event{sent(2)}},
		{name: "first again", given: open.and(sent(1)), when: submit(1), code: domain.Stale},
		{name: "too many", given: often, when: submit(MaxAttempts + 1), code: domain.Stale},
		{name: "no such refund", given: paidIn, when: submit(1), code: domain.NotFound},
		{name: "done", given: open.and(&RefundSucceeded{Of: payin, Refund: "rfd_1", Amount: inr("1000"), Commission: inr("11.80"), Tax: inr("1.80")}), when: submit(1), code: domain.Stale},
	})
}

func TestReportRefund(t *testing.T) {
	initiated := paidIn.and(begun("1000", "11.80", "1.80", nil))
	sent := initiated.and(&RefundSubmitted{Of: payin, Refund: "rfd_1", Attempt: 1, Gateway: "sandbox"})
	report := func(o Outcome, change func(*ReportRefund)) ReportRefund {
		c := ReportRefund{Base: at(payin), Refund: "rfd_1", Gateway: "sandbox", Outcome: o}
		if change != nil {
			change(&c)
		}
		return c
	}
	done := func(id, actor string) *RefundSucceeded {
		return &RefundSucceeded{Of: payin, Refund: "rfd_1", Amount: inr("1000"), Commission: inr("11.80"), Tax: inr("1.80"), Gateway: "sandbox", RefundID: id, Actor: actor}
	}
	off := &RefundFailed{Of: payin, Refund: "rfd_1", Amount: inr("1000"), Commission: inr("11.80"), Tax: inr("1.80"), Gateway: "sandbox", Reason: "low_balance"}
	late := func(taken, owed, commission, tax string) *RefundPaidAfterFailure {
		return &RefundPaidAfterFailure{
			Of: payin, Refund: "rfd_1", From: FromMerchant, Amount: inr("1000"), Commission: inr(commission), Tax: inr(tax), Taken: inr(taken), Owed: inr(owed), Gateway: "sandbox",
		}
	}
	note := func(what string, anomaly bool) *PayinNoted {
		return &PayinNoted{Of: payin, Gateway: "sandbox", Claim: "refund rfd_1: " + what, Anomaly: anomaly}
	}
	id := func(s string) func(*ReportRefund) { return func(c *ReportRefund) { c.RefundID = s } }
	notes := func(n int) (all []Event) {
		for range n {
			all = append(all, note("x", true))
		}
		return all
	}
	other := begun("900", "10.62", "1.62", func(e *RefundInitiated) { e.Refund = "rfd_2" })
	run(t, []scene{
		{name: "paid", given: sent, when: report(OutcomePaid, id("x")), then: []Event{done("x", "")}},
		{name: "paid, never asked for", given: initiated, when: report(OutcomePaid, nil), then: []Event{done("", ""), note("paid, but never asked for", true)}},
		{name: "paid, by hand", given: initiated, when: report(OutcomePaid, func(c *ReportRefund) { c.Gateway, c.Actor = "", "asha, vikram" }), then: []Event{done("", "asha, vikram")}},
		{name: "paid again", given: sent.and(done("x", "")), when: report(OutcomePaid, id("x")), then: []Event{note("paid", false)}},
		{name: "paid twice", given: sent.and(done("x", "")), when: report(OutcomePaid, id("y")), then: []Event{note("paid again, as another one", true)}},
		{name: "failed", given: sent, when: report(OutcomeFailed, func(c *ReportRefund) { c.Reason = "Low balance" }), then: []Event{off}},
		{name: "failed, never asked for", given: initiated, when: report(OutcomeFailed, nil), code: domain.Stale},
		{name: "failed again", given: sent.and(off), when: report(OutcomeFailed, nil), then: []Event{note("failed", false)}},
		{name: "failed, but paid", given: sent.and(done("x", "")), when: report(OutcomeFailed, nil), then: []Event{note("failed, but paid before", true)}},
		{name: "paid after all", given: sent.and(off), when: report(OutcomePaid, nil), then: []Event{late("988.20", "0", "11.80", "1.80"), note("paid, but not made before", true)}},
		{name: "paid after all, and spent", given: sent.and(off, &WalletHeld{Of: hold, Amount: inr("900"), Reason: "r", Actor: "a"}), when: report(OutcomePaid, nil),
			then: []Event{late("88.20", "900", "11.80", "1.80"), note("paid, but not made before", true)}},
		{name: "paid after all, and refunded again", given: sent.and(off, other), when: report(OutcomePaid, nil),
			then: []Event{late("98.82", "900", "1.18", "0.18"), note("paid, but not made before", true)}},
		{name: "too many anomalies", given: sent.and(off).and(notes(MaxAnomalies)...), when: report(OutcomePaid, nil), then: []Event{late("988.20", "0", "11.80", "1.80")}},
		{name: "too many notes", given: sent.and(off).and(notes(MaxNotes)...), when: report(OutcomeFailed, nil)},
		{name: "another gateway", given: sent, when: report(OutcomePaid, func(c *ReportRefund) { c.Gateway = "other" }), code: domain.Invalid, field: "gateway"},
		{name: "returned", given: sent, when: report(OutcomeReturned, nil), code: domain.Invalid, field: "outcome"},
		{name: "no outcome", given: sent, when: report("", nil), code: domain.Invalid, field: "outcome"},
		{name: "an id of two lines", given: sent, when: report(OutcomePaid, id("a\nb")), code: domain.Invalid, field: "refund_id"},
		{name: "too long a name", given: sent, when: report(OutcomePaid, func(c *ReportRefund) { c.Actor = strings.Repeat("x", MaxActor+1) }), code: domain.Invalid, field: "actor"},
		{name: "no such refund", given: paidIn, when: report(OutcomePaid, nil), code: domain.NotFound},
	})
}

// TestRefundOfSuspense: what the gateway does not send back waits in suspense again; the next refund of it has another name there.
func TestRefundOfSuspense(t *testing.T) {
	waiting := given{created, suspendedBy("999.50", ReasonAmount)}
	refund := func(send bool) RefundSuspense {
		return RefundSuspense{Base: at(payin), Suspense: "sus_1", Send: send, Reason: "wrong amount", Actor: "asha"}
	}
	sent := func(name string) *SuspenseRefunded {
		e := &SuspenseRefunded{Of: payin, Suspense: "sus_1", Amount: inr("999.50"), Gateway: "sandbox", Reason: "wrong amount", Actor: "asha"}
		if name != "" {
			e.Refund, e.PaymentID = name, "pay_1"
		}
		return e
	}
	asked := &RefundSubmitted{Of: payin, Refund: "sus_1", Attempt: 1, Gateway: "sandbox"}
	off := &RefundFailed{
		Of: payin, Refund: "sus_1", Suspense: "sus_1", Amount: inr("999.50"), Commission: inr("0"), Tax: inr("0"), Gateway: "sandbox", Reason: "other",
	}
	late := func(from, taken, owed string) *RefundPaidAfterFailure {
		return &RefundPaidAfterFailure{
			Of: payin, Refund: "sus_1", Suspense: "sus_1", From: from, Amount: inr("999.50"), Commission: inr("0"), Tax: inr("0"), Taken: inr(taken), Owed: inr(owed), Gateway: "sandbox",
		}
	}
	report := ReportRefund{Base: at(payin), Refund: "sus_1", Gateway: "sandbox", Outcome: OutcomePaid}
	note := &PayinNoted{Of: payin, Gateway: "sandbox", Claim: "refund sus_1: paid, but not made before", Anomaly: true}
	refused := waiting.and(sent("sus_1"), asked, off)
	credited := &SuspenseCredited{Of: payin, Priced: priced("999.50", "10", "0"), Suspense: "sus_1", Reason: "r", Actor: "a"}
	full := waiting.and(funded("100")...)
	for i := range MaxRefunds {
		full = full.and(begun("1", "0", "0", func(e *RefundInitiated) { e.Refund = fmt.Sprint("rfd_", i) }))
	}
	run(t, []scene{
		{name: "by hand", given: waiting, when: refund(false), then: []Event{sent("")}},
		{name: "sent", given: waiting, when: refund(true), then: []Event{sent("sus_1")}},
		{name: "done", given: waiting.and(sent("sus_1"), asked), when: report, then: []Event{&RefundSucceeded{
			Of: payin, Refund: "sus_1", Suspense: "sus_1", Amount: inr("999.50"), Commission: inr("0"), Tax: inr("0"), Gateway: "sandbox",
		}}},
		{name: "while it is on its way", given: waiting.and(sent("sus_1")), when: refund(true), code: domain.Stale},
		{name: "refused, and sent again", given: refused, when: refund(true), then: []Event{sent("sus_1-2")}},
		{name: "refused, and made by hand", given: refused, when: refund(false), then: []Event{sent("")}},
		{name: "sent after all", given: refused, when: report, then: []Event{late(FromSuspense, "0", "0"), note}},
		{name: "sent after all, though credited", given: refused.and(credited), when: report, then: []Event{late(FromMerchant, "989.50", "10"), note}},
		{name: "sent after all, though made by hand", given: refused.and(sent("")), when: report, then: []Event{late(FromPlatform, "0", "0"), note}},
		{name: "too many", given: full, when: refund(true), code: domain.Stale},
		{name: "too many, by hand", given: full, when: refund(false), then: []Event{sent("")}},
	})
}

func TestRefundKeys(t *testing.T) {
	c := refundCommand("1", func(c *RefundPayin) { c.Reference = "R" })
	if want := []string{"refund:rfd_1", "refund-reference:txn_in:R"}; !slices.Equal(c.Keys(), want) {
		t.Error(c.Keys())
	}
	r := ReportRefund{Base: at(payin), Refund: "rfd_1", Message: "d"}
	if want := []string{"message:txn_in:rfd_1:d"}; !slices.Equal(r.Keys(), want) {
		t.Error(r.Keys())
	}
	if r.Message = ""; r.Keys() != nil {
		t.Error(r.Keys())
	}
	if c.Reference = ""; len(c.Keys()) != 1 {
		t.Error(c.Keys())
	}
}
