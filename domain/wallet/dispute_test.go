package wallet

import (
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

var (
	respond = noon.Add(7 * 24 * time.Hour)
	paidIn  = given{created, succeeded} // 988.20 are available
)

func openCommand(change func(*OpenDispute)) OpenDispute {
	c := OpenDispute{
		Base: at(payin), Dispute: "dsp_1", Case: "CB-1", Phase: PhaseChargeback, Reason: "fraud", Amount: inr("900"), RespondBy: respond, Actor: "asha",
	}
	if change != nil {
		change(&c)
	}
	return c
}

// openedBy is a dispute as the gateway's own words would open it; the taken amount comes first, then the owed one.
func openedBy(amount, taken, owed string, change func(*DisputeOpened)) *DisputeOpened {
	e := &DisputeOpened{
		Of: payin, Dispute: "dsp_1", Case: "CB-1", Gateway: "sandbox", Phase: PhaseChargeback, Reason: "fraud", Amount: inr(amount),
		Taken: inr(taken), Owed: inr(owed), RespondBy: respond, Actor: "asha",
	}
	if change != nil {
		change(e)
	}
	return e
}

func TestOpenDispute(t *testing.T) {
	spent := paidIn.and(&WalletHeld{Of: hold, Amount: inr("788.20"), Reason: "r", Actor: "a"}) // 200 are left
	other := func(e *DisputeOpened) { e.Dispute, e.Case = "dsp_0", "CB-0" }
	run(t, []scene{
		{name: "covered", given: paidIn, when: openCommand(nil), then: []Event{openedBy("900", "900", "0", nil)}},
		{name: "what is not covered is owed", given: spent, when: openCommand(nil), then: []Event{openedBy("900", "200", "700", nil)}},
		{name: "the commission is claimed too", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Amount = inr("1000") }),
			then: []Event{openedBy("1000", "988.20", "11.80", nil)}},
		{name: "an inquiry that holds nothing", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Phase, c.Unheld = PhaseRetrieval, true }),
			then: []Event{openedBy("900", "0", "0", func(e *DisputeOpened) { e.Phase = PhaseRetrieval })}},
		{name: "an inquiry that holds", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Phase = PhaseFraud }),
			then: []Event{openedBy("900", "900", "0", func(e *DisputeOpened) { e.Phase = PhaseFraud })}},
		{name: "beside another", given: paidIn.and(openedBy("100", "100", "0", other)), when: openCommand(nil), then: []Event{openedBy("900", "888.20", "11.80", nil)}},
		{name: "more than others leave", given: paidIn.and(openedBy("100.01", "100.01", "0", other)), when: openCommand(nil), code: domain.Invalid, field: "amount"},
		{name: "more than was paid", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Amount = inr("1000.01") }), code: domain.Invalid, field: "amount"},
		{name: "a claim that holds nothing", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Unheld = true }), code: domain.Invalid, field: "phase"},
		{name: "no such phase", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Phase = "lawsuit" }), code: domain.Invalid, field: "phase"},
		{name: "not paid", given: given{created}, when: openCommand(nil), code: domain.Stale},
		{name: "not there", when: openCommand(nil), code: domain.NotFound},
		{name: "a payout", given: funded("9000").and(&PayoutInitiated{Of: payin, Priced: priced("1000", "10", "0")}), when: openCommand(nil), code: domain.NotFound},
		{name: "the id is taken", given: paidIn.and(openedBy("1", "1", "0", func(e *DisputeOpened) { e.Case = "" })), when: openCommand(nil), code: domain.Stale},
		{name: "the case is known", given: paidIn.and(openedBy("1", "1", "0", func(e *DisputeOpened) { e.Dispute = "dsp_0" })), when: openCommand(nil), code: domain.Stale},
		{name: "no amount", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Amount = inr("0") }), code: domain.Invalid, field: "amount"},
		{name: "another currency", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Amount = money.MustParse("1", "USD") }), code: domain.Invalid, field: "amount"},
		{name: "no id", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Dispute = "" }), code: domain.Invalid, field: "dispute"},
		{name: "no reason", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Reason = " " }), code: domain.Invalid, field: "reason"},
		{name: "nobody", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Actor = "" }), code: domain.Invalid, field: "actor"},
		{name: "no deadline", given: paidIn, when: openCommand(func(c *OpenDispute) { c.RespondBy = time.Time{} }), code: domain.Invalid, field: "respond_by"},
		{name: "a case of two lines", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Case = "CB\n1" }), code: domain.Invalid, field: "case"},
		{name: "a reason that no database keeps", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Reason = "a\x00b" }), code: domain.Invalid, field: "reason"},
		{name: "a case of any length", given: paidIn, when: openCommand(func(c *OpenDispute) { c.Case = strings.Repeat("x", MaxName+1) }), code: domain.Invalid, field: "case"},
	})
}

func TestManyDisputes(t *testing.T) {
	all := paidIn
	for i := range MaxDisputes {
		all = all.and(openedBy("1", "1", "0", func(e *DisputeOpened) { e.Dispute, e.Case = "dsp_x"+string(rune('a'+i)), "" }))
	}
	run(t, []scene{{name: "no more", given: all, when: openCommand(func(c *OpenDispute) { c.Amount = inr("1") }), code: domain.Stale}})
}

func TestSettleDispute(t *testing.T) {
	open := paidIn.and(openedBy("900", "900", "0", nil)) // 88.20 are available
	settle := func(o Settlement, amount, fee string) SettleDispute {
		return SettleDispute{Base: at(payin), Dispute: "dsp_1", Outcome: o, Amount: inr(amount), Fee: inr(fee), Reason: "r", Actor: "asha"}
	}
	lost := func(amount, fee, held, released, taken, owed string) *DisputeLost {
		return &DisputeLost{
			Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr(amount), Fee: inr(fee), FromHold: inr(held), Released: inr(released),
			Taken: inr(taken), Owed: inr(owed), Reason: "r", Actor: "asha",
		}
	}
	won := &DisputeWon{Of: payin, Dispute: "dsp_1", Released: inr("900"), Reason: "r", Actor: "asha"}
	closed := &DisputeClosed{Of: payin, Dispute: "dsp_1", Released: inr("900"), Reason: "r", Actor: "asha"}
	back := func(amount, fee string) *DisputeReversed {
		return &DisputeReversed{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr(amount), Fee: inr(fee), Reason: "r", Actor: "asha"}
	}
	owing := paidIn.and(&WalletHeld{Of: hold, Amount: inr("788.20"), Reason: "r", Actor: "a"}, openedBy("900", "200", "700", nil))
	inquiry := paidIn.and(openedBy("900", "0", "0", func(e *DisputeOpened) { e.Phase = PhaseRetrieval }))
	run(t, []scene{
		{name: "won", given: open, when: settle(SettleWon, "0", "0"), then: []Event{won}},
		{name: "won, and the debt is paid of it", given: owing, when: settle(SettleWon, "0", "0"), then: []Event{won, &WalletRecovered{Of: payin, Amount: inr("700")}}},
		{name: "closed", given: open, when: settle(SettleClosed, "0", "0"), then: []Event{closed}},
		{name: "lost", given: open, when: settle(SettleLost, "900", "0"), then: []Event{lost("900", "0", "900", "0", "0", "0")}},
		{name: "lost in part", given: open, when: settle(SettleLost, "400.10", "0"), then: []Event{lost("400.10", "0", "400.10", "499.90", "0", "0")}},
		{name: "lost in part, the fee of the rest", given: open, when: settle(SettleLost, "400.10", "350"), then: []Event{lost("400.10", "350", "750.10", "149.90", "0", "0")}},
		{name: "lost, the fee of available", given: open, when: settle(SettleLost, "900", "50"), then: []Event{lost("900", "50", "900", "0", "50", "0")}},
		{name: "lost, the fee owed", given: open, when: settle(SettleLost, "900", "100"), then: []Event{lost("900", "100", "900", "0", "88.20", "11.80")}},
		{name: "lost, never held", given: inquiry, when: settle(SettleLost, "900", "100"), then: []Event{lost("900", "100", "0", "0", "988.20", "11.80")}},
		{name: "lost in part by one that owes", given: owing, when: settle(SettleLost, "100", "0"),
			then: []Event{lost("100", "0", "100", "800", "0", "0"), &WalletRecovered{Of: payin, Amount: inr("700")}}},
		{name: "more lost than claimed", given: open, when: settle(SettleLost, "900.01", "0"), code: domain.Invalid, field: "amount"},
		{name: "nothing lost", given: open, when: settle(SettleLost, "0", "0"), code: domain.Invalid, field: "amount"},
		{name: "a fee that the books do not hold", given: open, when: settle(SettleLost, "900", "99999999999999999999"), code: domain.Invalid, field: "fee"},
		{name: "the most of a fee", given: inquiry, when: settle(SettleLost, "900", "10000000"), then: []Event{lost("900", "10000000", "0", "0", "988.20", "9999911.80")}},
		{name: "a fee of more", given: open, when: settle(SettleLost, "900", "10000000.01"), code: domain.Invalid, field: "fee"},
		{name: "a reason of two lines", given: open, when: func() SettleDispute { c := settle(SettleWon, "0", "0"); c.Reason = "a\nb"; return c }(), code: domain.Invalid, field: "reason"},
		{name: "a fee below zero", given: open, when: settle(SettleLost, "900", "-1"), code: domain.Invalid, field: "fee"},
		{name: "lost again", given: open.and(lost("900", "0", "900", "0", "0", "0")), when: settle(SettleLost, "900", "0"), code: domain.Stale},
		{name: "lost and won", given: open.and(lost("900", "0", "900", "0", "0", "0")), when: settle(SettleWon, "0", "0"), code: domain.Stale},
		{name: "won and lost", given: open.and(won), when: settle(SettleLost, "900", "0"), code: domain.Stale},
		{name: "reversed", given: open.and(lost("900", "50", "900", "0", "50", "0")), when: settle(SettleReversed, "900", "50"), then: []Event{back("900", "50")}},
		{name: "reversed in part", given: open.and(lost("900", "50", "900", "0", "50", "0")), when: settle(SettleReversed, "300", "0"), then: []Event{back("300", "0")}},
		{name: "the rest reversed", given: open.and(lost("900", "50", "900", "0", "50", "0"), back("300", "0")), when: settle(SettleReversed, "600", "50"), then: []Event{back("600", "50")}},
		{name: "more reversed than lost", given: open.and(lost("900", "50", "900", "0", "50", "0"), back("300", "0")), when: settle(SettleReversed, "600.01", "0"), code: domain.Invalid, field: "amount"},
		{name: "the fee alone", given: open.and(lost("900", "50", "900", "0", "50", "0"), back("900", "0")), when: settle(SettleReversed, "0", "50"), then: []Event{back("0", "50")}},
		{name: "nothing reversed", given: open.and(lost("900", "50", "900", "0", "50", "0")), when: settle(SettleReversed, "0", "0"), code: domain.Invalid, field: "amount"},
		{name: "more of the fee than charged", given: open.and(lost("900", "50", "900", "0", "50", "0")), when: settle(SettleReversed, "900", "50.01"), code: domain.Invalid, field: "fee"},
		{name: "reversed, and open", given: open, when: settle(SettleReversed, "900", "0"), code: domain.Stale},
		{name: "no such end", given: open, when: settle("drawn", "900", "0"), code: domain.Invalid, field: "outcome"},
		{name: "no such dispute", given: paidIn, when: settle(SettleWon, "0", "0"), code: domain.NotFound},
	})
}

func TestEscalateDispute(t *testing.T) {
	escalate := func(p Phase) EscalateDispute {
		return EscalateDispute{Base: at(payin), Dispute: "dsp_1", Phase: p, Reason: "r", RespondBy: respond, Actor: "asha"}
	}
	raised := func(p Phase, taken, owed string) *DisputeEscalated {
		return &DisputeEscalated{
			Of: payin, Dispute: "dsp_1", Phase: p, Reason: "r", Amount: inr("900"), Taken: inr(taken), Owed: inr(owed), Released: inr("0"), RespondBy: respond, Actor: "asha",
		}
	}
	of := func(p Phase, amount string) EscalateDispute {
		c := escalate(p)
		c.Amount = inr(amount)
		return c
	}
	changed := func(amount, taken, released string) *DisputeEscalated {
		e := raised(PhaseArbitration, taken, "0")
		e.Amount, e.Released = inr(amount), inr(released)
		return e
	}
	inquiry := paidIn.and(openedBy("900", "0", "0", func(e *DisputeOpened) { e.Phase = PhaseRetrieval }))
	open := paidIn.and(openedBy("900", "900", "0", nil))
	won := open.and(&DisputeWon{Of: payin, Dispute: "dsp_1", Released: inr("900"), Reason: "r"})
	run(t, []scene{
		{name: "an inquiry becomes a claim", given: inquiry, when: escalate(PhaseChargeback), then: []Event{raised(PhaseChargeback, "900", "0")}},
		{name: "held already", given: open, when: escalate(PhasePreArbitration), then: []Event{raised(PhasePreArbitration, "0", "0")}},
		{name: "of one that was won", given: won, when: escalate(PhaseArbitration), then: []Event{raised(PhaseArbitration, "900", "0")}},
		{name: "of one that was won and paid out", given: won.and(&WalletHeld{Of: hold, Amount: inr("988.20"), Reason: "r", Actor: "a"}), when: escalate(PhaseArbitration),
			then: []Event{raised(PhaseArbitration, "0", "900")}},
		{name: "of less", given: open, when: of(PhaseArbitration, "600"), then: []Event{changed("600", "0", "300")}},
		{name: "of more", given: open, when: of(PhaseArbitration, "950"), then: []Event{changed("950", "50", "0")}},
		{name: "of less, an inquiry that held nothing", given: inquiry, when: of(PhaseArbitration, "600"), then: []Event{changed("600", "600", "0")}},
		{name: "of more than was paid", given: open, when: of(PhaseArbitration, "1000.01"), code: domain.Invalid, field: "amount"},
		{name: "of less than nothing", given: open, when: of(PhaseArbitration, "-1"), code: domain.Invalid, field: "amount"},
		{name: "back", given: open, when: escalate(PhaseRetrieval), code: domain.Invalid, field: "phase"},
		{name: "nowhere", given: open, when: escalate(PhaseChargeback), code: domain.Invalid, field: "phase"},
		{name: "no such phase", given: open, when: escalate("x"), code: domain.Invalid, field: "phase"},
		{name: "the money is claimed by another", given: won.and(openedBy("900", "900", "0", func(e *DisputeOpened) { e.Dispute, e.Case = "dsp_2", "CB-2" })),
			when: escalate(PhaseArbitration), code: domain.Invalid, field: "amount"},
		{name: "lost", given: open.and(&DisputeLost{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr("900"), Fee: inr("0"), FromHold: inr("900"), Released: inr("0"),
			Taken: inr("0"), Owed: inr("0"), Reason: "r"}), when: escalate(PhaseArbitration), code: domain.Stale},
	})
}

func TestAttachEvidence(t *testing.T) {
	open := paidIn.and(openedBy("900", "900", "0", nil))
	attach := func(change func(*AttachEvidence)) AttachEvidence {
		c := AttachEvidence{Base: at(payin), Dispute: "dsp_1", Kind: "billing_proof", Digest: strings.Repeat("a", 64), Size: 1000, Actor: "asha"}
		change(&c)
		return c
	}
	kept := &DisputeEvidence{Of: payin, Dispute: "dsp_1", Kind: "billing_proof", Digest: strings.Repeat("a", 64), Size: 1000, Actor: "asha"}
	full := open
	for range MaxDocuments {
		full = full.and(kept)
	}
	run(t, []scene{
		{name: "a document", given: open, when: attach(func(*AttachEvidence) {}), then: []Event{kept}},
		{name: "no such kind", given: open, when: attach(func(c *AttachEvidence) { c.Kind = "rumour" }), code: domain.Invalid, field: "kind"},
		{name: "no kind", given: open, when: attach(func(c *AttachEvidence) { c.Kind = "" }), code: domain.Invalid, field: "kind"},
		{name: "a note that leaves its line", given: open, when: attach(func(c *AttachEvidence) { c.Note = "a\x1b[31m" }), code: domain.Invalid, field: "note"},
		{name: "too much of it", given: open, when: attach(func(c *AttachEvidence) { c.Size = MaxDocumentBytes + 1 }), code: domain.Stale},
		{name: "too much beside others", given: open.and(kept), when: attach(func(c *AttachEvidence) { c.Size = MaxDocumentBytes - 999 }), code: domain.Stale},
		{name: "nothing", given: open, when: attach(func(c *AttachEvidence) { c.Digest = "" }), code: domain.Invalid, field: "note"},
		{name: "one too many", given: full, when: attach(func(*AttachEvidence) {}), code: domain.Stale},
		{name: "too late", given: open.and(&DisputeWon{Of: payin, Dispute: "dsp_1", Released: inr("900"), Reason: "r"}), when: attach(func(*AttachEvidence) {}), code: domain.Stale},
	})
}

// What a gateway says is believed as far as it goes on from what is known.
func TestReportDispute(t *testing.T) {
	report := func(status string, change func(*ReportDispute)) ReportDispute {
		c := ReportDispute{
			Base: at(payin), Gateway: "sandbox", Case: "CB-1", Dispute: "dsp_1", Phase: PhaseChargeback, Reason: "fraud", Status: status, Amount: inr("900"), Fee: inr("0"),
			RespondBy: respond, Message: "m",
		}
		if change != nil {
			change(&c)
		}
		return c
	}
	bySandbox := func(e *DisputeOpened) { e.Actor = "" }
	opened := openedBy("900", "900", "0", bySandbox)
	won := &DisputeWon{Of: payin, Dispute: "dsp_1", Released: inr("900"), Reason: "fraud"}
	lost := &DisputeLost{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr("900"), Fee: inr("0"), FromHold: inr("900"), Released: inr("0"), Taken: inr("0"), Owed: inr("0"), Reason: "fraud"}
	raised := &DisputeEscalated{
		Of: payin, Dispute: "dsp_1", Phase: PhaseArbitration, Reason: "fraud", Amount: inr("900"), Taken: inr("0"), Owed: inr("0"), Released: inr("0"), RespondBy: respond,
	}
	later := func(c *ReportDispute) { c.Phase = PhaseArbitration }
	hearsay := func(c *ReportDispute) { c.Hearsay = true }
	review := &DisputeUpdated{Of: payin, Dispute: "dsp_1", Status: DisputeReview, RespondBy: respond}
	byHand := paidIn.and(openedBy("900", "900", "0", func(e *DisputeOpened) { e.Case = "" }))
	identified := &DisputeUpdated{Of: payin, Dispute: "dsp_1", Case: "CB-1", Status: DisputeOpen, RespondBy: respond}
	noted := func(claim string, anomaly bool) *PayinNoted {
		return &PayinNoted{Of: payin, Gateway: "sandbox", Claim: "dispute CB-1: " + claim, Anomaly: anomaly}
	}
	open := paidIn.and(opened)
	run(t, []scene{
		{name: "new", given: paidIn, when: report("open", nil), then: []Event{opened}},
		{name: "new, without a deadline", given: paidIn, when: report("open", func(c *ReportDispute) { c.RespondBy = time.Time{} }),
			then: []Event{openedBy("900", "900", "0", func(e *DisputeOpened) { e.Actor, e.RespondBy = "", noon })}},
		{name: "new, in words of its own", given: paidIn, when: report("open", func(c *ReportDispute) { c.Reason = "Rahul Sharma did not get it" }),
			then: []Event{openedBy("900", "900", "0", func(e *DisputeOpened) { e.Actor, e.Reason = "", "other" })}},
		{name: "new, and under review", given: paidIn, when: report("under_review", nil), then: []Event{opened, review}},
		{name: "under review", given: open, when: report("under_review", nil), then: []Event{review}},
		{name: "more time", given: open, when: report("open", func(c *ReportDispute) { c.RespondBy = respond.Add(time.Hour) }),
			then: []Event{&DisputeUpdated{Of: payin, Dispute: "dsp_1", Status: DisputeOpen, RespondBy: respond.Add(time.Hour)}}},
		{name: "open behind under review", given: open.and(review), when: report("open", nil), then: []Event{noted("chargeback, open of 900.00", false)}},
		{name: "a case that a person had opened", given: byHand, when: report("open", nil), then: []Event{identified}},
		{name: "a case that a person had opened, lost", given: byHand, when: report("lost", nil), then: []Event{identified, lost}},
		{name: "a case that a person had opened, in a later phase", given: byHand, when: report("open", later), then: []Event{identified, raised}},
		{name: "a case of another amount than a person had opened", given: byHand, when: report("open", func(c *ReportDispute) { c.Dispute, c.Amount = "dsp_2", inr("50") }),
			then: []Event{openedBy("50", "50", "0", func(e *DisputeOpened) { e.Dispute, e.Actor = "dsp_2", "" })}},
		{name: "more than is left", given: paidIn, when: report("open", func(c *ReportDispute) { c.Amount = inr("1000.01") }), then: []Event{noted("chargeback, open of 1000.01", true)}},
		{name: "a case that leaves its line", given: paidIn, when: report("open", func(c *ReportDispute) { c.Case = "CB\x00" }), code: domain.Invalid, field: "case"},
		{name: "new, and won", given: paidIn, when: report("won", nil), then: []Event{opened, won}},
		{name: "new, and lost", given: paidIn, when: report("lost", nil), then: []Event{opened, lost}},
		{name: "new, and a loss is given back that was never heard of", given: paidIn, when: report("reversed", nil), then: []Event{noted("chargeback, reversed of 900.00", true)}},
		{name: "again", given: open, when: report("open", nil), then: []Event{noted("chargeback, open of 900.00", false)}},
		{name: "again, of another amount", given: open, when: report("open", func(c *ReportDispute) { c.Amount = inr("901") }), then: []Event{noted("chargeback, open of 901.00", true)}},
		{name: "won", given: open, when: report("won", nil), then: []Event{won}},
		{name: "won again", given: open.and(won), when: report("won", nil), then: []Event{noted("chargeback, won of 900.00", false)}},
		{name: "won behind lost", given: open.and(lost), when: report("won", nil), then: []Event{noted("chargeback, won of 900.00", true)}},
		{name: "lost behind won", given: open.and(won), when: report("lost", nil), then: []Event{noted("chargeback, lost of 900.00", true)}},
		{name: "a fee that no gateway charges", given: open, when: report("lost", func(c *ReportDispute) { c.Fee = inr("10000000.01") }), then: []Event{noted("chargeback, lost of 900.00", true)}},
		{name: "open behind lost", given: open.and(lost), when: report("open", nil), then: []Event{noted("chargeback, open of 900.00", false)}},
		{name: "more lost than claimed", given: open, when: report("lost", func(c *ReportDispute) { c.Amount = inr("901") }), then: []Event{noted("chargeback, lost of 901.00", true)}},
		{name: "a loss given back", given: open.and(lost), when: report("reversed", nil),
			then: []Event{&DisputeReversed{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr("900"), Fee: inr("0"), Reason: "fraud"}}},
		{name: "a loss given back in a later phase", given: open.and(lost), when: report("reversed", later),
			then: []Event{&DisputeReversed{Of: payin, Dispute: "dsp_1", Gateway: "sandbox", Amount: inr("900"), Fee: inr("0"), Reason: "fraud"}}},
		{name: "escalated", given: open, when: report("open", later), then: []Event{raised}},
		{name: "escalated and won", given: open, when: report("won", later), then: []Event{raised, won}},
		{name: "an earlier phase", given: open.and(raised), when: report("lost", nil), then: []Event{noted("chargeback, lost of 900.00", false)}},
		{name: "a loss given back in an earlier phase", given: open.and(raised, lost), when: report("reversed", nil), then: []Event{noted("chargeback, reversed of 900.00", true)}},
		{name: "another gateway", given: paidIn, when: report("open", func(c *ReportDispute) { c.Gateway = "other" }), code: domain.Invalid, field: "gateway"},
		{name: "no case", given: paidIn, when: report("open", func(c *ReportDispute) { c.Case = "" }), code: domain.Invalid, field: "case"},
		{name: "no such status", given: open, when: report("lapsed", nil), code: domain.Invalid, field: "status"},
		{name: "new, and no such status", given: paidIn, when: report("lapsed", nil), code: domain.Invalid, field: "status"},
		{name: "hearsay of a claim holds it", given: paidIn, when: report("open", hearsay), then: []Event{opened}},
		{name: "and more of it", given: paidIn.and(openedBy("900", "900", "0", bySandbox)), when: report("open", func(c *ReportDispute) { later(c); hearsay(c) }), then: []Event{raised}},
		{name: "hearsay of a smaller claim frees nothing", given: open, when: report("open", func(c *ReportDispute) { later(c); hearsay(c); c.Amount = inr("1") }),
			then: []Event{noted("arbitration, open of 1.00", true)}},
		{name: "hearsay that it is won", given: open, when: report("won", hearsay), then: []Event{noted("chargeback, won of 900.00", true)}},
		{name: "hearsay that it is closed", given: open, when: report("closed", hearsay), then: []Event{noted("chargeback, closed of 900.00", true)}},
		{name: "hearsay that it is lost", given: open, when: report("lost", hearsay), then: []Event{noted("chargeback, lost of 900.00", true)}},
		{name: "hearsay that a loss is given back", given: open.and(lost), when: report("reversed", hearsay), then: []Event{noted("chargeback, reversed of 900.00", true)}},
		{name: "hearsay of a claim that is won at once", given: paidIn, when: report("won", hearsay), then: []Event{noted("chargeback, won of 900.00", true)}},
		{name: "hearsay that ends what a person has opened", given: byHand, when: report("won", hearsay), then: []Event{noted("chargeback, won of 900.00", true)}},
		{name: "no such payment", given: paidIn, when: report("open", func(c *ReportDispute) { c.PaymentID = "pay_9" }), code: domain.Stale},
		{name: "not paid yet", given: given{created}, when: report("open", nil), code: domain.Stale},
	})
}

// A dispute that is opened and won in one append owes nothing behind it.
func TestADisputeOpenedAndWonAtOnce(t *testing.T) {
	spent := paidIn.and(&WalletHeld{Of: hold, Amount: inr("788.20"), Reason: "r", Actor: "a"})
	w, p := spent.state(payin)
	events, err := Decide(w, p, ReportDispute{
		Base: at(payin), Gateway: "sandbox", Case: "CB-1", Dispute: "dsp_1", Phase: PhaseChargeback, Status: "won", Amount: inr("900"), Fee: inr("0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		w.Evolve(e)
	}
	if len(events) != 3 || !w.Owed.IsZero() || !w.Available.Equal(inr("200")) || !w.Locked.Equal(inr("788.20")) {
		t.Errorf("%d events leave %s", len(events), text(t, w))
	}
}

// What is disputed is one of the payments that came for a payin: what waits in suspense is not the merchant's.
func TestDisputesOfSuspense(t *testing.T) {
	second := &PayinSuspended{Of: payin, Suspense: "sus_1", Amount: inr("1000"), Asked: inr("1000"), Gateway: "other", PaymentID: "pay_2", Reason: ReasonSecond}
	twice := paidIn.and(second)
	claim := openCommand(func(c *OpenDispute) { c.PaymentID, c.Amount = "pay_2", inr("1000") })
	opened := openedBy("1000", "0", "0", func(e *DisputeOpened) { e.Gateway, e.PaymentID, e.Suspense = "other", "pay_2", "sus_1" })
	settle := func(o Settlement, amount, fee string) SettleDispute {
		return SettleDispute{Base: at(payin), Dispute: "dsp_1", Outcome: o, Amount: inr(amount), Fee: inr(fee), Reason: "r", Actor: "asha"}
	}
	lost := &DisputeLost{
		Of: payin, Dispute: "dsp_1", Gateway: "other", Amount: inr("1000"), Fee: inr("50"), FromHold: inr("0"), Released: inr("0"), Taken: inr("0"), Owed: inr("0"),
		Suspense: "sus_1", Reason: "r", Actor: "asha",
	}
	back := &DisputeReversed{Of: payin, Dispute: "dsp_1", Gateway: "other", Amount: inr("1000"), Fee: inr("50"), Suspense: "sus_1", Reason: "r", Actor: "asha"}
	credited := &SuspenseCredited{Of: payin, Priced: priced("1000", "0", "0"), Suspense: "sus_1", Reason: "r", Actor: "a"}
	refunded := &SuspenseRefunded{Of: payin, Suspense: "sus_1", Amount: inr("1000"), Gateway: "other", Reason: "r", Actor: "a"}
	won := &DisputeWon{Of: payin, Dispute: "dsp_1", Released: inr("0"), Reason: "r", Actor: "asha"}
	credit := CreditSuspense{Base: at(payin), Suspense: "sus_1", Charge: charge("0", "0"), Reason: "r", Actor: "a"}
	refund := RefundSuspense{Base: at(payin), Suspense: "sus_1", Reason: "r", Actor: "a"}
	wrong := given{created, &PayinSuspended{Of: payin, Suspense: "sus_1", Amount: inr("900"), Asked: inr("1000"), Gateway: "sandbox", PaymentID: "pay_1", Reason: ReasonAmount}}
	third := &PayinSuspended{Of: payin, Suspense: "sus_2", Amount: inr("800"), Asked: inr("1000"), Gateway: "sandbox", PaymentID: "pay_3", Reason: ReasonAmount}
	run(t, []scene{
		{name: "what waits is not held in the wallet", given: twice, when: claim, then: []Event{opened}},
		{name: "nor given to anybody meanwhile", given: twice.and(opened), when: credit, code: domain.Stale},
		{name: "nor sent back meanwhile", given: twice.and(opened), when: refund, code: domain.Stale},
		{name: "it is lost from there", given: twice.and(opened), when: settle(SettleLost, "1000", "50"), then: []Event{lost}},
		{name: "as a whole", given: twice.and(opened), when: settle(SettleLost, "999", "0"), code: domain.Invalid, field: "amount"},
		{name: "and is gone", given: twice.and(opened, lost), when: credit, code: domain.Stale},
		{name: "and comes back", given: twice.and(opened, lost), when: settle(SettleReversed, "1000", "50"), then: []Event{back}},
		{name: "as a whole, too", given: twice.and(opened, lost), when: settle(SettleReversed, "999", "50"), code: domain.Invalid, field: "amount"},
		{name: "and can be sent back then", given: twice.and(opened, lost, back), when: refund, then: []Event{refunded}},
		{name: "won, and credited then", given: twice.and(opened, won), when: credit, then: []Event{&SuspenseCredited{
			Of: payin, Priced: priced("1000", "0", "0"), Suspense: "sus_1", Reason: "r", Actor: "a"}}},
		{name: "what was credited is the merchant's to bear", given: twice.and(credited), when: claim,
			then: []Event{openedBy("1000", "1000", "0", func(e *DisputeOpened) { e.Gateway, e.PaymentID, e.Suspense = "other", "pay_2", "sus_1" })}},
		{name: "won, credited and escalated: it is held now", given: twice.and(opened, won, credited),
			when: EscalateDispute{Base: at(payin), Dispute: "dsp_1", Phase: PhaseArbitration, Reason: "r", RespondBy: respond, Actor: "asha"},
			then: []Event{&DisputeEscalated{Of: payin, Dispute: "dsp_1", Phase: PhaseArbitration, Reason: "r", Amount: inr("1000"), Taken: inr("1000"), Owed: inr("0"),
				Released: inr("0"), RespondBy: respond, Actor: "asha"}}},
		{name: "what was sent back cannot be claimed", given: twice.and(refunded), when: claim, code: domain.Stale},
		{name: "the payment that succeeded is another", given: twice.and(opened), when: openCommand(func(c *OpenDispute) { c.Dispute, c.Case = "dsp_2", "CB-2" }),
			then: []Event{openedBy("900", "900", "0", func(e *DisputeOpened) { e.Dispute, e.Case = "dsp_2", "CB-2" })}},
		{name: "the only payment needs no name", given: wrong, when: openCommand(nil), then: []Event{openedBy("900", "0", "0", func(e *DisputeOpened) { e.Suspense = "sus_1" })}},
		{name: "one of two does", given: wrong.and(third), when: openCommand(nil), code: domain.Invalid, field: "payment_id"},
		{name: "no such payment", given: twice, when: openCommand(func(c *OpenDispute) { c.PaymentID = "pay_9" }), code: domain.Stale},
	})
}
