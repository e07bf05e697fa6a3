package wallet

import (
	"slices"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

func TestAdjustWallet(t *testing.T) {
	of := Of{"mer_1", money.INR, "txn_adj"}
	adjust := func(amount string) AdjustWallet {
		return AdjustWallet{Base: at(of), Amount: inr(amount), Reason: "corrected", Actor: "asha"}
	}
	then := func(amount string) []Event {
		return []Event{&WalletAdjusted{Of: of, Amount: inr(amount), Reason: "corrected", Actor: "asha"}}
	}
	change := func(f func(*AdjustWallet)) AdjustWallet {
		c := adjust("5")
		f(&c)
		return c
	}
	run(t, []scene{
		{name: "credit", when: adjust("100000.00"), then: then("100000.00")},
		{name: "debit of all", given: funded("50"), when: adjust("-50"), then: then("-50")},
		{name: "debit of more", given: funded("50"), when: adjust("-50.01"), code: domain.InsufficientBalance},
		{name: "nothing", when: adjust("0"), code: domain.Invalid, field: "amount"},
		{name: "another currency", when: change(func(c *AdjustWallet) { c.Amount = money.MustParse("1", "USD") }), code: domain.Invalid, field: "amount"},
		{name: "no reason", when: change(func(c *AdjustWallet) { c.Reason = "" }), code: domain.Invalid, field: "reason"},
		{name: "a novel", when: change(func(c *AdjustWallet) { c.Reason = strings.Repeat("x", MaxReason+1) }), code: domain.Invalid, field: "reason"},
		{name: "a reason that is no text", when: change(func(c *AdjustWallet) { c.Reason = "\xff" }), code: domain.Invalid, field: "reason"},
		{name: "nobody", when: change(func(c *AdjustWallet) { c.Actor = "" }), code: domain.Invalid, field: "actor"},
		{name: "too long a name", when: change(func(c *AdjustWallet) { c.Actor = strings.Repeat("x", MaxActor+1) }), code: domain.Invalid, field: "actor"},
		{name: "twice", given: given(then("5")), when: adjust("5"), code: domain.Stale},
	})
}

func TestHolds(t *testing.T) {
	place := func(amount string) PlaceHold {
		return PlaceHold{Base: at(hold), Amount: inr(amount), Reason: "dispute", Actor: "asha"}
	}
	release := ReleaseHold{Base: at(hold), Reason: "won", Actor: "asha"}
	held := &WalletHeld{Of: hold, Amount: inr("400"), Reason: "dispute", Actor: "asha"}
	released := &WalletReleased{Of: hold, Amount: inr("400"), Reason: "won", Actor: "asha"}
	run(t, []scene{
		{name: "place", given: funded("400"), when: place("400"), then: []Event{held}},
		{name: "place more than there is", given: funded("399.99"), when: place("400"), code: domain.InsufficientBalance},
		{name: "place nothing", given: funded("400"), when: place("0"), code: domain.Invalid, field: "amount"},
		{name: "place twice", given: funded("900").and(held), when: place("400"), code: domain.Stale},
		{name: "place without a reason", given: funded("400"), when: PlaceHold{Base: at(hold), Amount: inr("1"), Actor: "asha"}, code: domain.Invalid, field: "reason"},
		{name: "release", given: funded("400").and(held), when: release, then: []Event{released}},
		{name: "release twice", given: funded("400").and(held, released), when: release, code: domain.Stale},
		{name: "release without a name", given: funded("400").and(held), when: ReleaseHold{Base: at(hold), Reason: "won"}, code: domain.Invalid, field: "actor"},
		{name: "release what is unknown", when: release, code: domain.NotFound},
		{name: "release an adjustment", given: given{&WalletAdjusted{Of: hold, Amount: inr("5")}}, when: release, code: domain.NotFound},
	})
}

// TestRecovery: whatever is credited while the merchant owes goes to the debt first.
func TestRecovery(t *testing.T) {
	other := Of{"mer_1", money.INR, "txn_debt"}
	debt := func(amount string) given { // a payout that was refunded, spent, and paid after all
		p := priced(amount, "0", "0")
		return funded(amount).and(
			&PayoutInitiated{Of: other, Priced: p}, &PayoutRefunded{Of: other, Priced: p, Gateway: "sandbox"},
			&WalletHeld{Of: hold, Amount: inr(amount)},
			&PayoutPaidAfterRefund{Of: other, Priced: p, Taken: inr("0"), Owed: inr(amount), Gateway: "sandbox"},
		)
	}
	adjustment := Of{"mer_1", money.INR, "txn_adj"}
	credit := AdjustWallet{Base: at(adjustment), Amount: inr("300"), Reason: "r", Actor: "a"}
	credited := &WalletAdjusted{Of: adjustment, Amount: inr("300"), Reason: "r", Actor: "a"}
	pay := ReportPayment{Base: at(payin), Gateway: "sandbox", PaymentID: "pay_1", Amount: inr("1000"), UTR: "1", Suspense: "s"}
	run(t, []scene{
		{name: "a credit smaller than the debt", given: debt("1000"), when: credit, then: []Event{credited, &WalletRecovered{Of: adjustment, Amount: inr("300")}}},
		{name: "a credit larger than the debt", given: debt("120.55"), when: credit, then: []Event{credited, &WalletRecovered{Of: adjustment, Amount: inr("120.55")}}},
		{name: "a payin", given: debt("2000").and(created), when: pay, then: []Event{succeeded, &WalletRecovered{Of: payin, Amount: inr("988.20")}}},
		{name: "a hold released", given: debt("50"), when: ReleaseHold{Base: at(hold), Reason: "r", Actor: "a"},
			then: []Event{&WalletReleased{Of: hold, Amount: inr("50"), Reason: "r", Actor: "a"}, &WalletRecovered{Of: hold, Amount: inr("50")}}},
		{name: "a payin that brings nothing", when: pay,
			given: debt("2000").and(&PayinCreated{Of: payin, Priced: priced("1000", "1000", "0")}),
			then:  []Event{&PayinSucceeded{Of: payin, Priced: priced("1000", "1000", "0"), Gateway: "sandbox", PaymentID: "pay_1", UTR: "1"}}},
	})
}

// TestFaults: what only a fault of the caller can cause is no refusal.
func TestFaults(t *testing.T) {
	w := NewWallet("mer_1", money.INR)
	wrong := at(Of{"mer_2", money.INR, "txn_in"})
	_, p := given{created}.state(payin)
	for name, c := range map[string]Command{
		"another merchant's wallet": ExpirePayin{wrong},
		"another payment":           ExpirePayin{at(payout)},
		"an unknown command":        unknownCommand{at(payin)},
	} {
		events, err := Decide(w, p, c)
		if err == nil || domain.CodeOf(err) != "" || events != nil {
			t.Errorf("%s: %v %v", name, events, err)
		}
	}
	if _, err := Decide(w, nil, ExpirePayin{at(payin)}); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("no payment at all: %v", err)
	}
}

type unknownCommand struct{ Base }

func (unknownCommand) Creates() bool  { return false }
func (unknownCommand) Keys() []string { return nil }

// TestCopiesStay: a copy of a payment is a snapshot, suspense included.
func TestCopiesStay(t *testing.T) {
	_, p := given{created, suspendedBy("7", ReasonAmount)}.state(payin)
	snapshot := *p
	before := text(t, snapshot)
	p.Evolve(&SuspenseRefunded{Of: payin, Suspense: "sus_1", Amount: inr("7")}, noon)
	second := *suspendedBy("8", ReasonAmount)
	second.Suspense = "sus_2"
	p.Evolve(&second, noon)
	if after := text(t, snapshot); after != before {
		t.Errorf("the copy changed\nfrom %s\nto   %s", before, after)
	}
	if len(p.Suspense) != 2 || p.Suspense["sus_1"].Open || !p.Suspense["sus_2"].Open {
		t.Errorf("suspense %s", text(t, p.Suspense))
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		command Command
		want    []string
		creates bool
	}{
		{createCommand(nil), []string{"payin:mer_1:O1"}, true},
		{initiateCommand(nil), []string{"payout:mer_1:P1"}, true},
		{ReportPayment{Base: at(payin), Gateway: "g", PaymentID: "pay_1"}, []string{"payment:g:pay_1"}, false},
		{ReportPayinFailure{Base: at(payin), Message: "d"}, []string{"message:txn_in:d"}, false},
		{ReportPayinFailure{Base: at(payin)}, nil, false},
		{ReportPayout{Base: at(payout), Message: "d"}, []string{"message:txn_out:d"}, false},
		{ReportPayout{Base: at(payout)}, nil, false},
		{ExpirePayin{at(payin)}, nil, false},
		{CreditSuspense{Base: at(payin)}, nil, false},
		{RefundSuspense{Base: at(payin)}, nil, false},
		{SubmitPayout{Base: at(payout)}, nil, false},
		{CancelPayout{Base: at(payout)}, nil, false},
		{AdjustWallet{Base: at(payin)}, nil, true},
		{PlaceHold{Base: at(hold)}, nil, true},
		{ReleaseHold{Base: at(hold)}, nil, false},
	} {
		if got := c.command.Keys(); !slices.Equal(got, c.want) {
			t.Errorf("%T: keys %q, want %q", c.command, got, c.want)
		}
		if c.command.Creates() != c.creates || !c.command.Effective().Equal(noon) {
			t.Errorf("%T: creates %v, effective %s", c.command, c.command.Creates(), c.command.Effective())
		}
	}
	if Stream("mer_1", money.INR) != "wallet:mer_1:INR" {
		t.Errorf("stream %s", Stream("mer_1", money.INR))
	}
}

func TestReason(t *testing.T) {
	for in, want := range map[string]string{
		"account_closed": FailureAccountClosed, " Account Closed ": FailureAccountClosed, "ACCOUNT-CLOSED": FailureAccountClosed,
		"": FailureOther, "beneficiary Mr. X is dead": FailureOther, "other": FailureOther,
	} {
		if got := Reason(in); got != want {
			t.Errorf("Reason(%q) = %q, want %q", in, got, want)
		}
	}
	seen := map[RetryClass]int{}
	for _, r := range Reasons() {
		if Reason(r) != r {
			t.Errorf("reason %q of the list becomes %q", r, Reason(r))
		}
		seen[RetryOf(r)]++
	}
	if seen[RetryNever] == 0 || seen[RetryLater] == 0 || seen[RetryByHand] == 0 || len(seen) != 3 {
		t.Errorf("classes %v", seen)
	}
	if RetryOf("gibberish") != RetryByHand {
		t.Errorf("an unknown reason is %s", RetryOf("gibberish"))
	}
}
