package wallet

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// What the tables share: one payin and one payout of one merchant, and times.
var (
	noon   = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	expiry = noon.Add(10 * time.Minute)
	payin  = Of{Merchant: "mer_1", Currency: money.INR, Payment: "txn_in"}
	payout = Of{Merchant: "mer_1", Currency: money.INR, Payment: "txn_out"}
	hold   = Of{Merchant: "mer_1", Currency: money.INR, Payment: "hold_1"}
)

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func charge(commission, tax string) fee.Charge {
	return fee.Charge{Commission: inr(commission), Tax: inr(tax), Rule: fee.Rule{Plan: "default", Version: 3}}
}

func priced(amount, commission, tax string) Priced {
	return Priced{Amount: inr(amount), Commission: inr(commission), Tax: inr(tax), Fee: fee.Rule{Plan: "default", Version: 3}}
}

func at(of Of) Base { return Base{Of: of, At: noon} }

// given is a history: events of the payment in question, and of others before.
type given []Event

// state folds a history into the wallet, and into the payment that the command is about.
func (g given) state(about Of) (*Wallet, *Payment) {
	w, p := NewWallet("mer_1", money.INR), &Payment{}
	for _, e := range g {
		w.Evolve(e)
		if e.Header().Payment == about.Payment {
			p.Evolve(e, noon)
		}
	}
	return w, p
}

// funded is a wallet with this much available.
func funded(amount string) given {
	return given{&WalletAdjusted{Of: Of{"mer_1", money.INR, "txn_fund"}, Amount: inr(amount), Reason: "opening", Actor: "asha"}}
}

func (g given) and(events ...Event) given { return append(append(given{}, g...), events...) }

// scene is one line of a table: given a history, when a command comes, then these events, or this refusal.
type scene struct {
	name  string
	given given
	when  Command
	then  []Event
	code  domain.Code // of the refusal
	field string      // that the refusal names
}

func run(t *testing.T, scenes []scene) {
	t.Helper()
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) { s.run(t) })
	}
}

func (s scene) run(t *testing.T) {
	t.Helper()
	w, p := s.given.state(s.when.Target())
	before := text(t, w) + text(t, p)
	events, err := Decide(w, p, s.when)
	if after := text(t, w) + text(t, p); after != before {
		t.Errorf("Decide changed the state\nfrom %s\nto   %s", before, after)
	}
	if code := domain.CodeOf(err); code != s.code || (err != nil && code == "") {
		t.Fatalf("error %v, want code %q", err, s.code)
	}
	if s.field != "" {
		wantField(t, err, s.field)
	}
	if got, want := listing(t, events), listing(t, s.then); got != want {
		t.Errorf("events\n%swant\n%s", got, want)
	}
	for _, e := range events {
		w.Evolve(e)
	}
	if w.Available.Sign() < 0 || w.Locked.Sign() < 0 || w.Owed.Sign() < 0 {
		t.Errorf("wallet went below zero: %s", text(t, w))
	}
}

func wantField(t *testing.T, err error, field string) {
	t.Helper()
	refusal, ok := err.(*domain.Error) //nolint:errorlint // Decide returns refusals bare
	if !ok || refusal.Details[field] == "" {
		t.Errorf("refusal %v does not name field %q", err, field)
	}
}

func text(t interface {
	Helper()
	Fatal(args ...any)
}, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func listing(t *testing.T, events []Event) string {
	t.Helper()
	out := ""
	for _, e := range events {
		out += fmt.Sprintf("%s %s\n", e.Type(), text(t, e))
	}
	return out
}
