package fee

import (
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

var d = decimal.RequireFromString

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func TestQuote(t *testing.T) {
	onTop, included := GST{Rate: d("18")}, GST{Rate: d("18"), Included: true}
	slabs := Schedule{Slabs: []Slab{{UpTo: d("1000"), Flat: d("5")}, {UpTo: d("25000"), Percent: d("0.5")}, {Percent: d("0.25"), Flat: d("50")}}}
	for _, c := range []struct {
		name            string
		schedule        Schedule
		gst             GST
		amount          string
		commission, tax string
	}{
		{"nothing", Schedule{}, GST{}, "1000", "0", "0"},
		{"percent", Schedule{Percent: d("1")}, GST{}, "1000", "10", "0"},
		{"half a paisa goes up", Schedule{Percent: d("1")}, GST{}, "100.50", "1.01", "0"},
		{"less than half goes down", Schedule{Percent: d("1")}, GST{}, "100.49", "1.00", "0"},
		{"flat", Schedule{Flat: d("10")}, GST{}, "5000", "10", "0"},
		{"percent and flat", Schedule{Percent: d("2"), Flat: d("3")}, GST{}, "1000", "23", "0"},
		{"floor", Schedule{Percent: d("1"), Floor: d("15")}, GST{}, "1000", "15", "0"},
		{"above the floor", Schedule{Percent: d("1"), Floor: d("15")}, GST{}, "2000", "20", "0"},
		{"cap", Schedule{Percent: d("1"), Cap: d("15")}, GST{}, "2000", "15", "0"},
		{"below the cap", Schedule{Percent: d("1"), Cap: d("15")}, GST{}, "1000", "10", "0"},
		{"first slab", slabs, GST{}, "1", "5", "0"},
		{"first slab's end", slabs, GST{}, "1000", "5", "0"},
		{"second slab's beginning", slabs, GST{}, "1000.01", "5.00", "0"},
		{"second slab's end", slabs, GST{}, "25000", "125", "0"},
		{"open slab", slabs, GST{}, "100000", "300", "0"},
		{"tax on top", Schedule{Flat: d("10")}, onTop, "5000", "11.80", "1.80"},
		{"tax included", Schedule{Flat: d("10")}, included, "5000", "10", "1.53"}, // 8.47 + 1.53
		{"tax on top, rounded", Schedule{Flat: d("0.25")}, onTop, "5000", "0.30", "0.05"},
		{"cap, and tax on top of it", Schedule{Percent: d("1"), Cap: d("15")}, onTop, "9000", "17.70", "2.70"},
		{"all tax", Schedule{Flat: d("10")}, GST{Rate: d("100"), Included: true}, "5000", "10", "5"},
	} {
		commission, tax, err := Tariff{Commission: c.schedule, GST: c.gst}.Quote(inr(c.amount))
		if err != nil || !commission.Equal(inr(c.commission)) || !tax.Equal(inr(c.tax)) {
			t.Errorf("%s: %s and %s, %v; want %s and %s", c.name, commission, tax, err, c.commission, c.tax)
		}
	}
	yen, tax, err := Tariff{Commission: Schedule{Percent: d("1.5")}, GST: included}.Quote(money.MustParse("1000", "JPY"))
	if err != nil || yen.String() != "15 JPY" || tax.String() != "2 JPY" {
		t.Errorf("yen: %s and %s, %v", yen, tax, err)
	}
}

func TestCharge(t *testing.T) {
	p := Default()
	p.Version = 7
	in, err := p.PayinCharge(inr("1000"))
	if err != nil || !in.Commission.Equal(inr("10")) || !in.Tax.IsZero() || in.Rule != (Rule{"default", 7}) {
		t.Errorf("payin of 1000: %+v, %v", in, err)
	}
	out, err := p.PayoutCharge(inr("5000"))
	if err != nil || !out.Commission.Equal(inr("10")) {
		t.Errorf("payout of 5000: %+v, %v", out, err)
	}
	if c, err := p.PayoutCharge(inr("4")); err != nil || !c.Commission.Equal(inr("10")) {
		t.Errorf("a payout may be cheaper than its commission: %+v, %v", c, err)
	}
	p.Payin.Commission = Schedule{Flat: d("10")}
	if c, err := p.PayinCharge(inr("10")); err != nil || !c.Commission.Equal(inr("10")) {
		t.Errorf("a payin may be eaten by its commission: %+v, %v", c, err)
	}
	for _, amount := range []money.Amount{inr("9.99"), inr("0"), inr("-1"), money.MustParse("1000", "USD")} {
		wantField(t, "payin of "+amount.String(), "amount", second(p.PayinCharge(amount)))
	}
	wantField(t, "payout of nothing", "amount", second(p.PayoutCharge(inr("0"))))
}

func second(_ Charge, err error) error { return err }

func wantField(t *testing.T, what, field string, err error) {
	t.Helper()
	refusal, ok := err.(*domain.Error) //nolint:errorlint // refusals come bare
	if !ok || refusal.Code != domain.Invalid || refusal.Details[field] == "" {
		t.Errorf("%s: %v, want a refusal that names %q", what, err, field)
	}
}

func TestCheckAmount(t *testing.T) {
	payout := Default().Payout
	for in, good := range map[string]bool{"999.99": false, "1000": true, "200000": true, "200000.01": false, "0": false, "-5000": false} {
		err := payout.CheckAmount(inr(in))
		if good && err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if !good {
			wantField(t, in, "amount", err)
		}
	}
	if err := Default().Payin.CheckAmount(inr("99999999")); err != nil {
		t.Errorf("no bound: %v", err)
	}
	if err := (Tariff{}).CheckAmount(inr("0.01")); err != nil {
		t.Errorf("no bounds: %v", err)
	}
}

// TestQuoteProperties: for any plan and amount, tax is within the commission, commission and net are the amount exactly,
// floor and cap hold, and the figure is within half a paisa of the exact one.
func TestQuoteProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hundredths := func(name string, most int64) decimal.Decimal {
			return decimal.New(rapid.Int64Range(0, most).Draw(t, name), -2)
		}
		floor := hundredths("floor", 2000)
		s := Schedule{Percent: hundredths("percent", 10000), Flat: hundredths("flat", 5000), Floor: floor}
		if rapid.Bool().Draw(t, "capped") {
			s.Cap = floor.Add(hundredths("cap", 100_000)).Add(d("0.01"))
		}
		tariff := Tariff{Commission: s, GST: GST{Rate: hundredths("gst", 4000), Included: rapid.Bool().Draw(t, "included")}}
		amount := money.FromMinor(rapid.Int64Range(1, 1e13).Draw(t, "amount"), money.INR)
		if err := tariff.validate("payin", money.INR); err != nil {
			t.Fatal(err)
		}
		commission, tax, err := tariff.Quote(amount)
		if err != nil {
			t.Fatal(err)
		}
		if tax.Sign() < 0 || tax.Cmp(commission) > 0 {
			t.Errorf("tax %s of commission %s", tax, commission)
		}
		if net := amount.Sub(commission); !net.Add(commission).Equal(amount) {
			t.Errorf("commission %s and net %s of %s", commission, net, amount)
		}
		figure := commission
		if !tariff.GST.Included {
			figure = commission.Sub(tax)
		}
		if figure.Decimal().LessThan(floor) || (!s.Cap.IsZero() && figure.Decimal().GreaterThan(s.Cap)) {
			t.Errorf("figure %s outside of floor %s and cap %s", figure, floor, s.Cap)
		}
		if off := s.figure(amount.Decimal()).Sub(figure.Decimal()).Abs(); off.GreaterThan(d("0.005")) {
			t.Errorf("figure %s is off by %s", figure, off)
		}
	})
}
