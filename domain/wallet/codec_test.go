package wallet

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

func TestGoldens(t *testing.T) {
	covered := map[string]map[string]bool{} // type -> fields seen
	for _, g := range golden.Events(t, ".") {
		e, err := Decode(g.Type, g.Schema, g.Data)
		if err != nil {
			t.Errorf("%s: %v", g.Name, err)
			continue
		}
		again, err := Encode(e)
		if err != nil || string(again) != string(g.Data) {
			t.Errorf("%s is written as\n%s (%v), stored was\n%s", g.Name, again, err, g.Data)
		}
		if e.Type() != g.Type || e.Schema() != g.Schema {
			t.Errorf("%s: decodes as %s, version %d", g.Name, e.Type(), e.Schema())
		}
		for _, a := range amounts(e) {
			if a.Currency() != e.Header().Currency {
				t.Errorf("%s: amount %s has not the event's currency", g.Name, a)
			}
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(g.Data, &fields); err != nil {
			t.Fatal(err)
		}
		if covered[g.Type] == nil {
			covered[g.Type] = map[string]bool{}
		}
		for f := range fields {
			covered[g.Type][f] = true
		}
	}
	for _, typ := range golden.Types(t, ".") {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(blank(typ, 1)).Elem()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && len(f.Index) <= 2 && !covered[typ][name] {
				t.Errorf("no golden of %s has field %q", typ, name)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const of = `"merchant":"mer_1","currency":"INR","payment":"txn_1"`
	for _, c := range []struct {
		name, typ string
		schema    int
		data      string
		says      string
	}{
		{"an unknown type", "payin.dreamt", 1, `{}`, `"payin.dreamt"`},
		{"a newer version", "payin.expired", 2, `{` + of + `}`, `"payin.expired", version 2`},
		{"a field too many", "payin.expired", 1, `{` + of + `,"bonus":1}`, "bonus"},
		{"an absent amount", "wallet.recovered", 1, `{` + of + `}`, "lacks an amount"},
		{"an amount that is null", "wallet.recovered", 1, `{` + of + `,"amount":null}`, "null"},
		{"an amount that is a number", "wallet.recovered", 1, `{` + of + `,"amount":12.5}`, "12.5"},
		{"an amount with an exponent", "wallet.recovered", 1, `{` + of + `,"amount":"1e3"}`, "1e3"},
		{"half a paisa", "wallet.recovered", 1, `{` + of + `,"amount":"1.005"}`, "more than 2 decimals"},
		{"no merchant", "payin.expired", 1, `{"currency":"INR","payment":"txn_1"}`, "no merchant"},
		{"no payment", "payin.expired", 1, `{"currency":"INR","merchant":"m"}`, "no payment"},
		{"an unknown currency", "payin.expired", 1, `{"merchant":"m","currency":"XXX","payment":"txn_1"}`, "XXX"},
		{"two events", "payin.expired", 1, `{` + of + `}{}`, "behind"},
		{"half an event", "payin.expired", 1, `{` + of, "unexpected EOF"},
	} {
		e, err := Decode(c.typ, c.schema, []byte(c.data))
		if err == nil || e != nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.typ) {
			t.Errorf("%s: %v %v, want an error that says %s and %s", c.name, e, err, c.typ, c.says)
		}
		if unknown := c.name == "an unknown type" || c.name == "a newer version"; errors.Is(err, stored.ErrUnknownType) != unknown {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range golden.Events(f, ".") {
		f.Add(g.Type, g.Schema, g.Data)
	}
	f.Fuzz(func(t *testing.T, typ string, schema int, data []byte) {
		e, err := Decode(typ, schema, data)
		if err != nil {
			return
		}
		first, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(e.Type(), e.Schema(), first)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", first, err)
		}
		second, err := Encode(again)
		if err != nil || string(second) != string(first) {
			t.Fatalf("%s becomes %s (%v)", first, second, err)
		}
		NewWallet(e.Header().Merchant, e.Header().Currency).Evolve(e)
		new(Payment).Evolve(e, noon)
		Postings(e)
	})
}

func TestPostings(t *testing.T) {
	const available, locked, receivable = "merchant:mer_1:available", "merchant:mer_1:locked", "merchant:mer_1:receivable"
	dr := func(account, amount string) Posting {
		return Posting{Account: account, Debit: inr(amount), Credit: inr("0")}
	}
	cr := func(account, amount string) Posting {
		return Posting{Account: account, Debit: inr("0"), Credit: inr(amount)}
	}
	for _, c := range []struct {
		event Event
		want  []Posting
	}{
		{created, nil},
		{succeeded, []Posting{dr("gateway:sandbox:receivable", "1000"), cr(available, "988.20"), cr("platform:commission", "10"), cr("tax:gst", "1.80")}},
		{suspendedBy("7", ReasonAmount), []Posting{dr("gateway:sandbox:receivable", "7"), cr("suspense", "7")}},
		{&SuspenseCredited{Of: payin, Priced: priced("7", "1", "0")}, []Posting{dr("suspense", "7"), cr(available, "6"), cr("platform:commission", "1")}},
		{&SuspenseRefunded{Of: payin, Amount: inr("7"), Gateway: "sandbox"}, []Posting{dr("suspense", "7"), cr("gateway:sandbox:receivable", "7")}},
		{initiated, []Posting{dr(available, "5010"), cr(locked, "5010")}},
		{submitted, nil},
		{paid, []Posting{dr(locked, "5010"), cr("gateway:sandbox:float", "5000"), cr("platform:commission", "8.47"), cr("tax:gst", "1.53")}},
		{cancelled, []Posting{dr(locked, "5010"), cr(available, "5010")}},
		{refunded, []Posting{dr(locked, "5010"), cr(available, "5010")}},
		{returned, []Posting{dr("gateway:sandbox:float", "5000"), dr("platform:commission", "8.47"), dr("tax:gst", "1.53"), cr(available, "5010")}},
		{&PayoutPaidAfterRefund{Of: payout, Priced: outPriced, Taken: inr("2010"), Owed: inr("3000"), Gateway: "g"},
			[]Posting{dr(available, "2010"), dr(receivable, "3000"), cr("gateway:g:float", "5000"), cr("platform:commission", "8.47"), cr("tax:gst", "1.53")}},
		{&WalletAdjusted{Of: payin, Amount: inr("5")}, []Posting{dr("adjustments", "5"), cr(available, "5")}},
		{&WalletAdjusted{Of: payin, Amount: inr("-5")}, []Posting{dr(available, "5"), cr("adjustments", "5")}},
		{&WalletRecovered{Of: payin, Amount: inr("5")}, []Posting{dr(available, "5"), cr(receivable, "5")}},
		{&WalletHeld{Of: payin, Amount: inr("5")}, []Posting{dr(available, "5"), cr(locked, "5")}},
		{&WalletReleased{Of: payin, Amount: inr("5")}, []Posting{dr(locked, "5"), cr(available, "5")}},
	} {
		got := Postings(c.event)
		if !slices.EqualFunc(got, c.want, func(a, b Posting) bool {
			return a.Account == b.Account && a.Debit.Equal(b.Debit) && a.Credit.Equal(b.Credit)
		}) {
			t.Errorf("%s: %v, want %v", c.event.Type(), got, c.want)
		}
		sum := money.Zero(money.INR)
		for _, p := range got {
			sum = sum.Add(p.Debit).Sub(p.Credit)
		}
		if !sum.IsZero() {
			t.Errorf("%s is out of balance by %s", c.event.Type(), sum)
		}
	}
}
