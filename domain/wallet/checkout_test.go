package wallet

import (
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/route"
)

var (
	unrouted = &PayinCreated{
		Of: payin, Priced: inPriced, OrderID: "O1", TxnRef: "txn_in", Gateway: Unrouted, ExpiresAt: expiry, Method: "UPI", Origin: "sdk", Signature: "5f0e",
	}
	routed      = routedTo(1, "gc_a", "razorpay", usable("gc_a", "razorpay", 1, route.Chosen), usable("gc_b", "payu", 2, route.Behind))
	ordered     = &PayinOrdered{Of: payin, Attempt: 1, Config: "gc_a", Gateway: "razorpay", Order: "order_1", Session: "s"}
	orderFailed = &PayinOrderFailed{Of: payin, Attempt: 1, Config: "gc_a", Gateway: "razorpay", Code: "BAD", Reason: "too small"}
)

func usable(config, gateway string, priority int, v route.Verdict) route.Candidate {
	return route.Candidate{Config: config, Gateway: gateway, Priority: priority, Enabled: true, Verified: true, Currency: true, Method: true, Verdict: v}
}

func routedTo(attempt int, config, gateway string, ranked ...route.Candidate) *PayinRouted {
	return &PayinRouted{Of: payin, Attempt: attempt, Config: config, Gateway: gateway, Candidates: ranked}
}

func TestCreateAtCheckout(t *testing.T) {
	create := createCommand(func(c *CreatePayin) {
		c.TxnRef, c.Gateway, c.Method, c.Origin, c.Signature = "txn_in", Unrouted, "UPI", "sdk", "5f0e"
	})
	run(t, []scene{
		{name: "new", when: create, then: []Event{unrouted}},
		{name: "a method that is no method", when: createCommand(func(c *CreatePayin) { c.Method = strings.Repeat("x", 201) }), code: domain.Invalid, field: "method"},
		{name: "an origin that is no text", when: createCommand(func(c *CreatePayin) { c.Origin = "\xff" }), code: domain.Invalid, field: "origin"},
	})
	create.SignatureNo = 2
	if got := strings.Join(create.Keys(), " "); got != "payin:mer_1:O1 signature:mer_1:5f0e:2" {
		t.Errorf("keys %s", got)
	}
}

func TestRoutePayin(t *testing.T) {
	candidates := []route.Candidate{usable("gc_b", "payu", 2, ""), usable("gc_a", "razorpay", 1, "")}
	ask := func(attempt int) RoutePayin {
		return RoutePayin{Base: at(payin), Attempt: attempt, Candidates: candidates}
	}
	late := ask(1)
	late.At = expiry
	refusedA := usable("gc_a", "razorpay", 1, route.Refused)
	refusedA.Refused = true
	openA := usable("gc_a", "razorpay", 1, route.Chosen)
	openA.Open = true
	unknown := *orderFailed
	unknown.Unknown = true
	trial := *unrouted
	trial.Trial = "gc_t"
	untried, other := usable("gc_t", "cashfree", 9, route.Chosen), usable("gc_a", "razorpay", 1, route.Unverified)
	other.Verified = false
	asked := untried
	asked.Verified, asked.Enabled, asked.Verdict = false, false, ""
	bad := usable("gc_a", "raz:or", 1, "")
	none := refusedA
	none.Refused, none.Enabled = false, false
	run(t, []scene{
		{name: "the first", given: given{unrouted}, when: ask(1), then: []Event{routed}},
		{
			name: "behind a definite refusal, the next", given: given{unrouted, routed, orderFailed}, when: ask(2),
			then: []Event{routedTo(2, "gc_b", "payu", refusedA, usable("gc_b", "payu", 2, route.Chosen))},
		},
		{
			name: "behind silence, the same", given: given{unrouted, routed, &unknown}, when: ask(2),
			then: []Event{routedTo(2, "gc_a", "razorpay", openA, usable("gc_b", "payu", 2, route.Waits))},
		},
		{
			name: "behind a crash, the same", given: given{unrouted, routed}, when: ask(2),
			then: []Event{routedTo(2, "gc_a", "razorpay", openA, usable("gc_b", "payu", 2, route.Waits))},
		},
		{
			name: "a trial goes through what it tries, alone", given: given{&trial}, when: RoutePayin{Base: at(payin), Attempt: 1, Candidates: []route.Candidate{asked, usable("gc_a", "razorpay", 1, "")}},
			then: []Event{routedTo(1, "gc_t", "cashfree", other, untried)},
		},
		{name: "a number that is taken", given: given{unrouted, routed, orderFailed}, when: ask(1), code: domain.Stale},
		{name: "it has its order", given: given{unrouted, routed, ordered}, when: ask(2), code: domain.Stale},
		{name: "its time is over", given: given{unrouted}, when: late, code: domain.Stale},
		{name: "it has failed", given: given{unrouted, &PayinFailed{Of: payin, Gateway: "razorpay", Reason: "other"}}, when: ask(1), code: domain.Stale},
		{name: "no such payin", when: ask(1), code: domain.NotFound},
		{name: "no candidate", given: given{unrouted}, when: RoutePayin{Base: at(payin), Attempt: 1}, code: domain.NotFound},
		{name: "none is usable", given: given{unrouted}, when: RoutePayin{Base: at(payin), Attempt: 1, Candidates: []route.Candidate{none}}, code: domain.NotFound, field: "gc_a"},
		{name: "a name that is no gateway's", given: given{unrouted}, when: RoutePayin{Base: at(payin), Attempt: 1, Candidates: []route.Candidate{bad}}, code: domain.Invalid, field: "gateway"},
		{
			name: "too many", given: given{unrouted}, when: RoutePayin{Base: at(payin), Attempt: 1, Candidates: make([]route.Candidate, route.MaxCandidates+1)},
			code: domain.Invalid, field: "candidates",
		},
	})
}

func TestOrderOfPayin(t *testing.T) {
	record := RecordOrder{Base: at(payin), Attempt: 1, Config: "gc_a", Order: "order_1", Session: "s"}
	fail := RecordOrderFailure{Base: at(payin), Attempt: 1, Config: "gc_a", Code: "BAD", Reason: "too small"}
	unknown, elsewhere, second, blank := fail, record, record, record
	unknown.Unknown, elsewhere.Config, second.Attempt, blank.Order = true, "gc_b", 2, ""
	silent := *orderFailed
	silent.Unknown = true
	long := fail
	long.Code, long.Reason = strings.Repeat("c", 300), strings.Repeat("₹", 300)
	cut := *orderFailed
	cut.Code, cut.Reason = strings.Repeat("c", 200), strings.Repeat("₹", 66)
	expired := &PayinExpired{Of: payin}
	run(t, []scene{
		{name: "made", given: given{unrouted, routed}, when: record, then: []Event{ordered}},
		{name: "made behind silence", given: given{unrouted, routed, &silent}, when: record, then: []Event{ordered}},
		{name: "made when the time was over: it is known all the same", given: given{unrouted, routed, expired}, when: record, then: []Event{ordered}},
		{name: "refused", given: given{unrouted, routed}, when: fail, then: []Event{orderFailed}},
		{name: "no answer", given: given{unrouted, routed}, when: unknown, then: []Event{&silent}},
		{name: "what a gateway says is cut", given: given{unrouted, routed}, when: long, then: []Event{&cut}},
		{name: "made twice", given: given{unrouted, routed, ordered}, when: record, code: domain.Stale},
		{name: "refused, and then made", given: given{unrouted, routed, orderFailed}, when: record, code: domain.Stale},
		{name: "made, and then refused", given: given{unrouted, routed, ordered}, when: fail, code: domain.Stale},
		{name: "made elsewhere", given: given{unrouted, routed}, when: elsewhere, code: domain.Stale},
		{name: "an attempt that was not made", given: given{unrouted, routed}, when: second, code: domain.Stale},
		{name: "never routed", given: given{unrouted}, when: record, code: domain.Stale},
		{name: "no id", given: given{unrouted, routed}, when: blank, code: domain.Invalid, field: "order"},
		{name: "no such payin", when: record, code: domain.NotFound},
	})
	if got := strings.Join(record.Keys(), " "); got != "order:mer_1:gc_a:order_1" {
		t.Errorf("keys %s", got)
	}
}

func TestPaidAtCheckout(t *testing.T) {
	report := ReportPayment{
		Base: at(payin), Gateway: "razorpay", Config: "gc_a", PaymentID: "pay_1", Amount: inr("1000"), Method: "netbanking", SubMethod: "HDFC", Suspense: "sus_1",
	}
	paid := &PayinSucceeded{Of: payin, Priced: inPriced, Gateway: "razorpay", PaymentID: "pay_1", Method: "netbanking", SubMethod: "HDFC", Config: "gc_a"}
	run(t, []scene{{name: "paid", given: given{unrouted, routed, ordered}, when: report, then: []Event{paid}}})
	if got := strings.Join(report.Keys(), " "); got != "payment:mer_1:gc_a:pay_1" {
		t.Errorf("keys %s", got)
	}
	// It comes through the account that was asked first, though another one was asked since: that is where a refund goes.
	late := *paid
	late.Config, late.Gateway = "gc_b", "payu"
	if _, p := (given{unrouted, routed, ordered, &late}).state(payin); p.Checkout.Config != "gc_b" || p.Gateway != "payu" {
		t.Errorf("paid in the account of %s at %s", p.Checkout.Config, p.Gateway)
	}
	_, p := given{unrouted, routed, ordered, paid}.state(payin)
	want := Checkout{
		Method: "UPI", Origin: "sdk", Signature: "5f0e", Config: "gc_a", Attempts: 1, Order: "order_1", Session: "s", PaidBy: "netbanking", PaidBySub: "HDFC",
	}
	if text(t, p.Checkout) != text(t, want) || p.Gateway != "razorpay" || p.Status != Success {
		t.Errorf("checkout %s at %s, %s", text(t, p.Checkout), p.Gateway, p.Status)
	}
}

func TestNotePayin(t *testing.T) {
	note := NotePayin{Base: at(payin), Gateway: "razorpay", Claim: "paid 1000.00 USD", Anomaly: true, Message: "d1"}
	full := given{unrouted}
	for range MaxAnomalies {
		full = full.and(&PayinNoted{Of: payin, Gateway: "razorpay", Claim: "c"})
	}
	nobody := note
	nobody.Gateway = ""
	run(t, []scene{
		{name: "kept", given: given{unrouted}, when: note, then: []Event{&PayinNoted{Of: payin, Gateway: "razorpay", Claim: "paid 1000.00 USD", Anomaly: true}}},
		{name: "enough", given: full, when: note},
		{name: "by nobody", given: given{unrouted}, when: nobody, code: domain.Invalid, field: "gateway"},
		{name: "no such payin", when: note, code: domain.NotFound},
	})
}
