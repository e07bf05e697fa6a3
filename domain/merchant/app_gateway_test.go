package merchant

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
)

const gc = "gc_Zr5mWq0Pb"

var added = &GatewayAdded{Of: ofApp, Config: gc, Gateway: "razorpay", Ranks: []Rank{{money.INR, 1}}, Methods: nil}

// stepped is a step as it is recorded.
func stepped(step string, state Step, version int) *GatewayStepSet {
	e := &GatewayStepSet{Of: ofApp, Config: gc, Step: step, State: state, Version: version}
	if step == StepCredentials {
		e.Public = "rzp_test_1"
	}
	if state == StepFailed {
		e.Failure = "no"
	}
	return e
}

func take(step string, version int) SetGatewayStep {
	c := SetGatewayStep{Of: ofApp, Config: gc, Step: step, Version: version}
	if step == StepCredentials {
		c.Public = "rzp_test_1"
	}
	return c
}

// The history of a set-up, from one state to the next.
var (
	inApp        = []Event{madeA, openA, &DomainsSet{Of: ofApp, Domains: []string{"https://shop.example"}}, added}
	credentialed = after(inApp, stepped(StepCredentials, StepInVerification, 1))
	rejected     = after(inApp, stepped(StepCredentials, StepFailed, 1))
	hooked       = after(credentialed, stepped(StepWebhook, StepInVerification, 2))
	packaged     = after(hooked, stepped(StepPackage, StepInVerification, 2))
	trying       = after(packaged, &GatewayTrialStarted{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j"})
	tried        = after(trying, &GatewayTrialEnded{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j", Passed: true})
	failedTrial  = after(trying, &GatewayTrialEnded{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j", Failure: "expired"})
	wholly       = after(tried, stepped(StepSecurity, StepVerified, 2))
)

func after(given []Event, more ...Event) []Event {
	return append(append([]Event{}, given...), more...)
}

func TestAddGateway(t *testing.T) {
	add := AddGateway{Of: ofApp, Config: gc, Gateway: "razorpay"}
	given := []Event{madeA, openA}
	second := add
	second.Config = "gc_aaaaaaaaa"
	full := given
	for i := range route.MaxCandidates {
		full = after(full, &GatewayAdded{Of: ofApp, Config: "gc_" + strings.Repeat(string(rune('A'+i%26)), 8) + string(rune('a'+i/26)), Gateway: "razorpay"})
	}
	bad := func(name, field string, change func(*AddGateway)) scene {
		c := add
		change(&c)
		return scene{name: name, given: given, when: c, code: domain.Invalid, field: field}
	}
	run(t, []scene{
		{name: "for every currency of the app", given: given, when: add, then: []Event{added}},
		{name: "behind the others", given: after(given, added), when: second, then: []Event{&GatewayAdded{Of: ofApp, Config: "gc_aaaaaaaaa", Gateway: "razorpay", Ranks: []Rank{{money.INR, 2}}}}},
		{name: "twice", given: after(given, added), when: add, code: domain.Duplicate},
		{name: "one too many", given: full, when: add, code: domain.Invalid, field: "gateway"},
		{name: "of no app", given: []Event{made}, when: AddGateway{Of: of, Config: gc, Gateway: "razorpay"}, code: domain.NotFound},
		bad("an id that is none", "gateway_config_id", func(c *AddGateway) { c.Config = "gc_1" }),
		bad("no gateway", "gateway", func(c *AddGateway) { c.Gateway = "" }),
		bad("a gateway that is no name", "gateway", func(c *AddGateway) { c.Gateway = "a:b" }),
		bad("a priority below one", "priority", func(c *AddGateway) { c.Ranks = []Rank{{money.INR, 0}} }),
		bad("a priority beyond the last", "priority", func(c *AddGateway) { c.Ranks = []Rank{{money.INR, MaxPriority + 1}} }),
		bad("a currency twice", "currency", func(c *AddGateway) { c.Ranks = []Rank{{money.INR, 1}, {money.INR, 2}} }),
		bad("an unknown currency", "currency", func(c *AddGateway) { c.Ranks = []Rank{{"DOGE", 1}} }),
		bad("an unknown method", "method", func(c *AddGateway) { c.Methods = []Method{"BARTER"} }),
		bad("a method twice", "method", func(c *AddGateway) { c.Methods = []Method{UPI, UPI} }),
	})
}

func TestSetUp(t *testing.T) {
	failing := take(StepCredentials, 1)
	failing.Failed = "no"
	trial := StartTrial{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j"}
	run(t, []scene{
		{name: "credentials", given: inApp, when: take(StepCredentials, 1), then: []Event{stepped(StepCredentials, StepInVerification, 1)}},
		{name: "credentials that the company does not accept", given: inApp, when: failing, then: []Event{stepped(StepCredentials, StepFailed, 1)}},
		{name: "credentials anew", given: rejected, when: take(StepCredentials, 2), then: []Event{stepped(StepCredentials, StepInVerification, 2)}},
		{name: "webhook", given: credentialed, when: take(StepWebhook, 2), then: []Event{stepped(StepWebhook, StepInVerification, 2)}},
		{name: "package", given: hooked, when: take(StepPackage, 2), then: []Event{stepped(StepPackage, StepInVerification, 2)}},
		{name: "trial", given: packaged, when: trial, then: []Event{&GatewayTrialStarted{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j"}}},
		{name: "security", given: tried, when: take(StepSecurity, 2), then: []Event{stepped(StepSecurity, StepVerified, 2)}},
		{name: "credentials after a failed trial", given: failedTrial, when: take(StepCredentials, 3), then: []Event{stepped(StepCredentials, StepInVerification, 3)}},
		{name: "reset", given: wholly, when: ResetGateway{Of: ofApp, Config: gc}, then: []Event{&GatewayReset{Of: ofApp, Config: gc}}},
		{name: "credentials after a reset", given: after(wholly, &GatewayReset{Of: ofApp, Config: gc}), when: take(StepCredentials, 3), then: []Event{stepped(StepCredentials, StepInVerification, 3)}},
		{name: "enable before it is verified", given: inApp, when: SwitchGateway{Of: ofApp, Config: gc, Enabled: true}, then: []Event{&GatewaySwitched{Of: ofApp, Config: gc, Enabled: true}}},
		{name: "disable what is disabled", given: inApp, when: SwitchGateway{Of: ofApp, Config: gc}},
		{name: "rank", given: inApp, when: RankGateway{Of: ofApp, Config: gc, Ranks: []Rank{{"USD", 4}}, Methods: []Method{UPI}},
			then: []Event{&GatewayRanked{Of: ofApp, Config: gc, Ranks: []Rank{{"USD", 4}}, Methods: []Method{UPI}}}},
		{name: "rank as it is", given: inApp, when: RankGateway{Of: ofApp, Config: gc, Ranks: []Rank{{money.INR, 1}}}},
		{name: "rank beyond the last", given: inApp, when: RankGateway{Of: ofApp, Config: gc, Ranks: []Rank{{money.INR, 9999}}}, code: domain.Invalid, field: "priority"},
		{name: "the trial's end", given: trying, when: EndTrial{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j", Passed: true, Failure: "x"},
			then: []Event{&GatewayTrialEnded{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j", Passed: true}}},
		{name: "a failed trial's end, its reason cut", given: trying, when: EndTrial{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j", Failure: strings.Repeat("é", maxFailure)},
			then: []Event{&GatewayTrialEnded{Of: ofApp, Config: gc, Transaction: "tx_UOVynlQ0j", Failure: strings.Repeat("é", maxFailure/2)}}},
		{name: "another trial's end", given: trying, when: EndTrial{Of: ofApp, Config: gc, Transaction: "tx_aaaaaaaaa", Passed: true}},
		{name: "no trial's end", given: packaged, when: EndTrial{Of: ofApp, Config: gc, Passed: true}},
		{name: "secrets of another version", given: inApp, when: take(StepCredentials, 2), code: domain.Stale},
		{name: "a package with new secrets", given: hooked, when: take(StepPackage, 3), code: domain.Stale},
		{name: "a step that is none", given: inApp, when: take("blessing", 1), code: domain.Invalid, field: "step"},
		{name: "a public key that is too long", given: inApp, when: SetGatewayStep{Of: ofApp, Config: gc, Step: StepCredentials, Version: 1, Public: strings.Repeat("x", maxPublic+1)}, code: domain.Invalid, field: "public"},
		{name: "a trial that is no transaction", given: packaged, when: StartTrial{Of: ofApp, Config: gc, Transaction: "txn_1"}, code: domain.Invalid, field: "transaction"},
		{name: "security without domains", given: without[*DomainsSet](tried), when: take(StepSecurity, 2), code: domain.Invalid, field: "domain"},
	})
}

func without[E Event](events []Event) (left []Event) {
	for _, e := range events {
		if _, is := e.(E); !is {
			left = append(left, e)
		}
	}
	return left
}

// TestGuards names every guard of the set-up by its error in the KS Pay API.
func TestGuards(t *testing.T) {
	trial := StartTrial{Of: ofApp, Config: gc, Transaction: "tx_aaaaaaaaa"}
	off := SwitchGateway{Of: ofApp, Config: gc}
	on := SwitchGateway{Of: ofApp, Config: gc, Enabled: true}
	reset := ResetGateway{Of: ofApp, Config: gc}
	enabled := &GatewaySwitched{Of: ofApp, Config: gc, Enabled: true}
	other := take(StepCredentials, 1)
	other.Config = "gc_aaaaaaaaa"
	for _, c := range []struct {
		name  string
		given []Event
		when  Command
		want  string
	}{
		{"another configuration's step", inApp, other, "gatewayNotFound"},
		{"another configuration's trial", inApp, StartTrial{Of: ofApp, Config: "gc_aaaaaaaaa"}, "gatewayNotFound"},
		{"another configuration's end", inApp, EndTrial{Of: ofApp, Config: "gc_aaaaaaaaa"}, "gatewayNotFound"},
		{"another configuration's reset", inApp, ResetGateway{Of: ofApp, Config: "gc_aaaaaaaaa"}, "gatewayNotFound"},
		{"another configuration's switch", inApp, SwitchGateway{Of: ofApp, Config: "gc_aaaaaaaaa"}, "gatewayNotFound"},
		{"another configuration's rank", inApp, RankGateway{Of: ofApp, Config: "gc_aaaaaaaaa"}, "gatewayNotFound"},
		{"13008: webhook first", inApp, take(StepWebhook, 1), "credentialsNotYetAdded"},
		{"13008: package first", inApp, take(StepPackage, 0), "credentialsNotYetAdded"},
		{"13008: package before webhook", credentialed, take(StepPackage, 1), "credentialsNotYetAdded"},
		{"13008: trial first", inApp, trial, "credentialsNotYetAdded"},
		{"13008: trial before package", hooked, trial, "credentialsNotYetAdded"},
		{"13009: webhook behind failed credentials", rejected, take(StepWebhook, 2), "credentialStepFailed"},
		{"13009: package behind failed credentials", rejected, take(StepPackage, 1), "credentialStepFailed"},
		{"13009: trial behind failed credentials", rejected, trial, "credentialStepFailed"},
		{"13009: webhook behind a failed trial", failedTrial, take(StepWebhook, 3), "credentialStepFailed"},
		{"13010: credentials twice", credentialed, take(StepCredentials, 2), "stepAlreadyCompleted"},
		{"13010: webhook twice", hooked, take(StepWebhook, 3), "stepAlreadyCompleted"},
		{"13010: package twice", packaged, take(StepPackage, 2), "stepAlreadyCompleted"},
		{"13010: webhook in a trial", trying, take(StepWebhook, 3), "stepAlreadyCompleted"},
		{"13010: security twice", wholly, take(StepSecurity, 2), "stepAlreadyCompleted"},
		{"13011: reset in a trial", trying, reset, "GatewayStatusInVerify"},
		{"13011: trial in a trial", trying, trial, "GatewayStatusInVerify"},
		{"13012: security first", inApp, take(StepSecurity, 0), "GatewayStatusNotVerified"},
		{"13012: security before the trial", packaged, take(StepSecurity, 2), "GatewayStatusNotVerified"},
		{"13012: security in a trial", trying, take(StepSecurity, 2), "GatewayStatusNotVerified"},
		{"13013: disable in a trial", after(trying, enabled), off, "GatewayStatusNotVerifiedCannotDisable"},
		{"13013: enable in a trial", trying, on, "GatewayStatusNotVerifiedCannotDisable"},
		{"13014: credentials after the trial", tried, take(StepCredentials, 3), "paymentGatewayCannotBeEdited"},
		{"13014: webhook of a verified one", wholly, take(StepWebhook, 3), "paymentGatewayCannotBeEdited"},
		{"13014: another trial", wholly, trial, "paymentGatewayCannotBeEdited"},
	} {
		events, err := Decide(folded(c.given...), c.when)
		var refusal *domain.Error
		if !errors.As(err, &refusal) || events != nil || refusal.Details[KSPayError] != "gatewayErrors."+c.want {
			t.Errorf("%s: %v %v, want %s", c.name, events, err, c.want)
		}
	}
}

func TestMethodsAndCandidates(t *testing.T) {
	company := func(name string) []Method {
		if name == "razorpay" {
			return []Method{UPI, DebitCard}
		}
		return nil
	}
	enabled := &GatewaySwitched{Of: ofApp, Config: gc, Enabled: true}
	m := folded(after(wholly, enabled)...)
	if got := m.App.MethodsOf(money.INR, company); len(got) != 2 || got[0] != UPI || got[1] != DebitCard {
		t.Errorf("methods %q", got)
	}
	if got := m.App.MethodsOf("USD", company); got != nil {
		t.Errorf("methods of another currency %q", got)
	}
	m.Evolve(&GatewayRanked{Of: ofApp, Config: gc, Ranks: []Rank{{money.INR, 3}}, Methods: []Method{DebitCard}})
	if got := m.App.MethodsOf(money.INR, company); len(got) != 1 || got[0] != DebitCard {
		t.Errorf("methods that it offers %q", got)
	}
	got := m.App.Candidates(money.INR, UPI, company, func(config string) bool { return config == gc })
	want := route.Candidate{Config: gc, Gateway: "razorpay", Priority: 3, Enabled: true, Verified: true, Currency: true, Failing: true}
	if len(got) != 1 || got[0] != want {
		t.Errorf("candidates %+v, want %+v", got, want)
	}
	if got := m.App.Candidates("USD", "", company, func(string) bool { return false }); got[0].Currency || !got[0].Method {
		t.Errorf("candidates for any method of another currency %+v", got)
	}
	m.Evolve(&GatewaySwitched{Of: ofApp, Config: gc})
	if got := m.App.MethodsOf(money.INR, company); got != nil {
		t.Errorf("methods of a disabled gateway %q", got)
	}
}

// next is the command that brings a set-up on, by its number in TestNeverUsableHalfSetUp.
func next(m *Merchant, g *Gateway) int {
	switch {
	case g.Trial != "":
		return 5
	case g.Tried() && len(m.App.Domains) == 0:
		return 8
	case g.Tried() && g.Security != StepVerified:
		return 3
	case g.Verified():
		return 7
	case g.Credentials != StepInVerification:
		return 0
	case g.Webhook != StepInVerification:
		return 1
	case g.Package != StepInVerification:
		return 2
	}
	return 4
}

// TestNeverUsableHalfSetUp: whatever is asked for in whatever order, a gateway takes payments only when it is enabled, all four steps were taken,
// a trial order of its present credentials was paid, and no reset came since.
func TestNeverUsableHalfSetUp(t *testing.T) {
	reached := 0
	defer func() {
		if reached == 0 {
			t.Error("no gateway was ever usable")
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		m := folded(after([]Event{madeA, openA}, added)...)
		var credentials, webhook, pack, paid, secured, on bool // what was done since the last reset, by the events alone
		trials := []string{"tx_aaaaaaaaa", "tx_bbbbbbbbb"}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			g, _ := m.App.Gateway(gc)
			versions := rapid.SampledFrom([]int{g.Version, g.Version + 1, 0})
			step := func(s string) Command {
				c := take(s, versions.Draw(t, "version"))
				if s == StepCredentials && rapid.Bool().Draw(t, "refused") {
					c.Failed = "no"
				}
				return c
			}
			tx := rapid.SampledFrom(trials).Draw(t, "transaction")
			var c Command
			which := rapid.IntRange(0, 8).Draw(t, "command")
			if rapid.IntRange(0, 3).Draw(t, "sensible") > 0 {
				which = next(m, &g)
			}
			switch which {
			case 0:
				c = step(StepCredentials)
			case 1:
				c = step(StepWebhook)
			case 2:
				c = step(StepPackage)
			case 3:
				c = step(StepSecurity)
			case 4:
				c = StartTrial{Of: ofApp, Config: gc, Transaction: tx}
			case 5:
				c = EndTrial{Of: ofApp, Config: gc, Transaction: tx, Passed: rapid.Bool().Draw(t, "paid")}
			case 6:
				c = ResetGateway{Of: ofApp, Config: gc}
			case 7:
				c = SwitchGateway{Of: ofApp, Config: gc, Enabled: rapid.Bool().Draw(t, "on")}
			case 8:
				c = SetDomains{Of: ofApp, Domains: rapid.SampledFrom([][]string{nil, {"a.example"}}).Draw(t, "domains")}
			}
			events, err := Decide(m, c)
			if err != nil {
				if domain.CodeOf(err) == "" {
					t.Fatalf("%T: %v is no refusal", c, err)
				}
				continue
			}
			for _, e := range events {
				switch e := e.(type) {
				case *GatewayStepSet:
					credentials = credentials && e.Step != StepCredentials || e.Step == StepCredentials && e.State == StepInVerification
					webhook = webhook || e.Step == StepWebhook
					pack = pack || e.Step == StepPackage
					secured = secured || e.Step == StepSecurity
				case *GatewayTrialEnded:
					paid = e.Passed
				case *GatewayReset:
					credentials, webhook, pack, paid, secured = false, false, false, false, false
				case *GatewaySwitched:
					on = e.Enabled
				}
				m.Evolve(e)
			}
			g, _ = m.App.Gateway(gc)
			if whole := credentials && webhook && pack && paid && secured && on; g.Usable() != whole {
				t.Fatalf("after %T usable is %v; credentials %v, webhook %v, package %v, paid %v, security %v, enabled %v", c, g.Usable(), credentials, webhook, pack, paid, secured, on)
			}
			if g.Usable() {
				reached++
			}
			if g.Usable() && (g.Trial != "" || len(m.App.MethodsOf(money.INR, func(string) []Method { return []Method{UPI} })) != 1) {
				t.Fatalf("a usable gateway %+v", g)
			}
		}
	})
}
