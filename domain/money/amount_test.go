package money

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

func inr(s string) Amount { return MustParse(s, INR) }

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in       string
		currency Currency
		want     string // Fixed; empty is a refusal
	}{
		{"1000", INR, "1000.00"},
		{"1000.5", INR, "1000.50"},
		{"-12.34", INR, "-12.34"},
		{"007", INR, "7.00"},
		{"1.10", INR, "1.10"},
		{"1.100", INR, "1.10"}, // no more decimals than it looks: nothing is rounded
		{"1.005", INR, ""},
		{"5", "JPY", "5"},
		{"5.5", "JPY", ""},
		{"1.234", "KWD", "1.234"},
		{"1.2345", "KWD", ""},
		{"1", "XXX", ""},
		{"", INR, ""},
		{"-", INR, ""},
		{".5", INR, ""},
		{"5.", INR, ""},
		{"1.2.3", INR, ""},
		{"1e3", INR, ""},
		{"+1", INR, ""},
		{" 1", INR, ""},
		{"1,000", INR, ""},
		{"--1", INR, ""},
		{"٣", INR, ""}, // digits of other scripts are none
		{"NaN", INR, ""},
		{strings.Repeat("9", 30), INR, strings.Repeat("9", 30) + ".00"},
		{strings.Repeat("9", 31), INR, ""},
	} {
		a, err := Parse(c.in, c.currency)
		if (err != nil) != (c.want == "") || (err == nil && a.Fixed() != c.want) {
			t.Errorf("Parse(%q, %s) = %s, %v; want %q", c.in, c.currency, a, err, c.want)
		}
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("MustParse of nonsense returned")
		}
	}()
	MustParse("x", INR)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"1000", "-12.5", "1000.00", "0.01", "1e9", "", "-", "999999999999999999999999999.99"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s, INR)
		if err != nil {
			return
		}
		again, err := Parse(a.Fixed(), INR)
		if err == nil && !again.Equal(a) {
			t.Errorf("%q is %s and is read again as %s", s, a, again)
		}
		if err != nil && len(a.Fixed()) <= 30 { // with its decimals it may be too long
			t.Errorf("%q is written as %s, which cannot be read: %v", s, a.Fixed(), err)
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok || exact.Cmp(a.Decimal().Rat()) != 0 {
			t.Errorf("%q is read as %s", s, a)
		}
	})
}

func TestArithmetic(t *testing.T) {
	a, b := inr("10.05"), inr("0.95")
	for what, pair := range map[string][2]Amount{
		"sum": {a.Add(b), inr("11")}, "difference": {a.Sub(b), inr("9.10")}, "opposite": {a.Neg(), inr("-10.05")},
		"smaller": {a.Min(b), b}, "smaller, turned": {b.Min(a), b}, "nothing": {a.Sub(a), Zero(INR)},
	} {
		if !pair[0].Equal(pair[1]) {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	if a.Cmp(b) != 1 || b.Cmp(a) != -1 || a.Cmp(inr("10.050")) != 0 {
		t.Error("Cmp")
	}
	if a.Sign() != 1 || a.Neg().Sign() != -1 || !a.Sub(a).IsZero() || a.IsZero() {
		t.Error("Sign or IsZero")
	}
	if a.Equal(MustParse("10.05", "USD")) {
		t.Error("amounts of two currencies are equal")
	}
	if a.Short() != "10.05" || inr("990.50").Short() != "990.5" || inr("1000.00").Short() != "1000" {
		t.Errorf("Short: %s %s %s", a.Short(), inr("990.50").Short(), inr("1000.00").Short())
	}
	if a.String() != "10.05 INR" || a.Currency() != INR {
		t.Errorf("String: %s", a)
	}
}

func TestCurrenciesDoNotMix(t *testing.T) {
	for name, f := range map[string]func(a, b Amount){
		"Add": func(a, b Amount) { a.Add(b) }, "Sub": func(a, b Amount) { a.Sub(b) }, "Cmp": func(a, b Amount) { a.Cmp(b) },
	} {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, ErrCurrency) {
					t.Errorf("%s of two currencies: %v", name, err)
				}
			}()
			f(inr("1"), MustParse("1", "USD"))
		}()
	}
}

func TestMinor(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "12.34": 1234, "-0.01": -1, "92233720368547758.07": math.MaxInt64} {
		got, ok := inr(in).Minor()
		if !ok || got != want || !FromMinor(want, INR).Equal(inr(in)) {
			t.Errorf("%s is %d minor units (%v), and back %s", in, got, ok, FromMinor(want, INR))
		}
	}
	if n, ok := inr("92233720368547758.08").Minor(); ok {
		t.Errorf("too large an amount has %d minor units", n)
	}
	if n, ok := MustParse("5", "JPY").Minor(); !ok || n != 5 {
		t.Errorf("5 JPY are %d minor units", n)
	}
}

func TestRound(t *testing.T) {
	for in, want := range map[string]string{"1.004": "1.00", "1.005": "1.01", "1.015": "1.02", "-1.005": "-1.01", "2.675": "2.68", "1.0049999": "1.00"} {
		if got := Round(decimal.RequireFromString(in), INR); got.Fixed() != want {
			t.Errorf("Round(%s) = %s, want %s", in, got.Fixed(), want)
		}
	}
}

func TestJSON(t *testing.T) {
	b, err := json.Marshal(inr("990.5"))
	if err != nil || string(b) != `"990.50"` {
		t.Errorf("%s, %v", b, err)
	}
	var a Amount
	if err := json.Unmarshal([]byte(`"990.50"`), &a); err != nil {
		t.Fatal(err)
	}
	if in, err := a.In(INR); err != nil || !in.Equal(inr("990.5")) {
		t.Errorf("%s, %v", in, err)
	}
	if _, err := a.In("JPY"); err == nil {
		t.Error("990.50 yen")
	}
	for _, bad := range []string{`990.5`, `null`, `"1e5"`, `""`, `"`, `"x"`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &a); err == nil {
			t.Errorf("%s was taken as an amount", bad)
		}
	}
}

func TestAllocate(t *testing.T) {
	for _, c := range []struct {
		total   string
		weights []int64
		want    string
	}{
		{"100", []int64{1, 1, 1}, "33.34 33.33 33.33"},
		{"0.02", []int64{1, 1, 1}, "0.01 0.01 0.00"},
		{"10", []int64{1, 2, 3}, "1.67 3.33 5.00"},
		{"0.05", []int64{3, 7}, "0.02 0.03"}, // 1.5 and 3.5 paisa: the earlier part has it
		{"1", []int64{0, 5, 0}, "0.00 1.00 0.00"},
		{"-100", []int64{1, 1, 1}, "-33.34 -33.33 -33.33"},
		{"0", []int64{1, 2}, "0.00 0.00"},
		{"1.53", []int64{9, 9}, "0.77 0.76"}, // CGST and SGST of an uneven tax
	} {
		parts, err := inr(c.total).Allocate(c.weights...)
		if err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(parts))
		for i, p := range parts {
			texts[i] = p.Fixed()
		}
		if got := strings.Join(texts, " "); got != c.want {
			t.Errorf("%s over %v: %s, want %s", c.total, c.weights, got, c.want)
		}
	}
	for _, bad := range [][]int64{nil, {0, 0}, {1, -1}} {
		if parts, err := inr("1").Allocate(bad...); err == nil {
			t.Errorf("over %v: %v", bad, parts)
		}
	}
}

// TestAllocateProperties: nothing is lost, and no part is more than a paisa away from its exact share.
func TestAllocateProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := FromMinor(rapid.Int64Range(-1e15, 1e15).Draw(t, "total"), INR)
		weights := rapid.SliceOfN(rapid.Int64Range(0, math.MaxInt64), 1, 20).Draw(t, "weights")
		weights[0]++
		if weights[0] < 0 {
			weights[0] = 1
		}
		parts, err := total.Allocate(weights...)
		if err != nil {
			t.Fatal(err)
		}
		all, sum := new(big.Int), Zero(INR)
		for _, w := range weights {
			all.Add(all, big.NewInt(w))
		}
		for i, p := range parts {
			sum = sum.Add(p)
			exact := new(big.Rat).Mul(total.Decimal().Rat(), new(big.Rat).SetFrac(big.NewInt(weights[i]), all))
			if off := exact.Sub(exact, p.Decimal().Rat()); off.Abs(off).Cmp(big.NewRat(1, 100)) >= 0 {
				t.Errorf("part %d, %s, is off by %s", i, p, off.FloatString(4))
			}
			if p.Sign()*total.Sign() < 0 {
				t.Errorf("part %d of %s is %s", i, total, p)
			}
		}
		if !sum.Equal(total) {
			t.Errorf("parts sum to %s, not %s", sum, total)
		}
	})
}
