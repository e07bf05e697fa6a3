package money

import (
	"cmp"
	"encoding/json"
	"math"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// values draws decimals of at most exp decimals, many of them around the bounds of 64 bits of minor units.
func values(exp int32) *rapid.Generator[decimal.Decimal] {
	near := func(edge int64) *rapid.Generator[decimal.Decimal] {
		return rapid.Map(rapid.Int64Range(-3, 3), func(off int64) decimal.Decimal {
			return decimal.NewFromInt(edge).Add(decimal.NewFromInt(off)).Shift(-exp)
		})
	}
	minor := func(n int64) decimal.Decimal { return decimal.New(n, -exp) }
	return rapid.OneOf(
		near(0), near(math.MaxInt64), near(math.MinInt64), near(math.MaxInt64/2), near(math.MinInt64/2),
		rapid.Map(rapid.Int64Range(-1_000_000, 1_000_000), minor),
		rapid.Map(rapid.Int64(), minor),
		rapid.Map(rapid.Int64(), func(n int64) decimal.Decimal { return decimal.New(n, 2) }),
		rapid.Map(rapid.Int64Range(-9, 9), func(n int64) decimal.Decimal { return decimal.New(n, 30) }),
		rapid.Map(rapid.Int64Range(-999, 999), func(n int64) decimal.Decimal { return decimal.New(n*1_000_000, -exp-6) }), // zeros at the end
	)
}

// same holds an amount against the decimal that it stands for.
func same(t *rapid.T, what string, a Amount, want decimal.Decimal) {
	t.Helper()
	exp, _ := a.currency.Exponent()
	if !a.Decimal().Equal(want) {
		t.Fatalf("%s is %s, exactly %s", what, a, want)
	}
	shifted := want.Shift(exp)
	fits := !shifted.Abs().GreaterThan(decimal.NewFromInt(math.MaxInt64))
	if fits != (a.exact == nil) || (!fits && a.minor != 0) {
		t.Fatalf("%s, %s, is kept as %d and %v", what, want, a.minor, a.exact)
	}
	if n, ok := a.Minor(); ok != fits || (ok && n != shifted.IntPart()) {
		t.Fatalf("%s, %s, is %d minor units (%v)", what, want, n, ok)
	}
	if a.Fixed() != want.StringFixed(exp) || a.Short() != want.String() || string(a.AppendFixed([]byte("x"))) != "x"+a.Fixed() {
		t.Fatalf("%s, %s, is written %s and %s", what, want, a.Fixed(), a.Short())
	}
	if a.Sign() != want.Sign() || a.IsZero() != want.IsZero() {
		t.Fatalf("%s, %s: sign %d", what, want, a.Sign())
	}
	b, err := json.Marshal(a)
	if err != nil || string(b) != `"`+want.StringFixed(exp)+`"` {
		t.Fatalf("%s, %s, as JSON: %s, %v", what, want, b, err)
	}
}

// TestAmountsAreDecimals: what is computed in 64 bits, and what is not, is what decimals give.
func TestAmountsAreDecimals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]Currency{INR, "JPY", "KWD"}).Draw(t, "currency")
		exp, _ := c.Exponent()
		x, y := values(exp).Draw(t, "x"), values(exp).Draw(t, "y")
		a, err := New(x, c)
		if err != nil {
			t.Fatal(err)
		}
		b := Round(y, c)
		same(t, "a", a, x)
		same(t, "b", b, y)
		same(t, "a + b", a.Add(b), x.Add(y))
		same(t, "a - b", a.Sub(b), x.Sub(y))
		same(t, "-a", a.Neg(), x.Neg())
		same(t, "the smaller", a.Min(b), decimal.Min(x, y))
		same(t, "a + b - b", a.Add(b).Sub(b), x)
		if a.Cmp(b) != x.Cmp(y) || a.Equal(b) != x.Equal(y) || !a.Equal(a.Add(Zero(c))) {
			t.Fatalf("%s and %s compare as %d", a, b, a.Cmp(b))
		}
		var read Amount
		if err := json.Unmarshal([]byte(`"`+a.Fixed()+`"`), &read); err != nil && len(a.Fixed()) <= 30 {
			t.Fatal(err)
		} else if err == nil {
			in, err := read.In(c)
			if err != nil || read == (Amount{}) {
				t.Fatalf("%s was read as %+v, %v", a, read, err)
			}
			same(t, "a read again", in, x)
		}
	})
}

// TestParseIsDecimal: the short way to read gives what the long one gives, and refuses what it refuses.
func TestParseIsDecimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom([]Currency{INR, "JPY", "KWD", "XXX"}).Draw(t, "currency")
		s := rapid.OneOf(
			rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,4})?`),
			rapid.StringMatching(`-?[0-9]{1,3}\.[0-9]{1,2}0{0,9}`),
			rapid.StringMatching(`[-+.0-9eE ]{0,8}`),
			rapid.String(),
		).Draw(t, "s")
		got, err := Parse(s, c)
		d, derr := decimal.NewFromString(s)
		exp, known := c.Exponent()
		if valid := plain(s) && derr == nil && known && d.Equal(d.Truncate(exp)); valid != (err == nil) {
			t.Fatalf("Parse(%q, %s) = %s, %v", s, c, got, err)
		}
		if err == nil {
			same(t, s, got, d)
		}
	})
}

func TestFromMinorBounds(t *testing.T) {
	for _, n := range []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, math.MaxInt64} {
		for _, c := range []Currency{INR, "JPY", "KWD"} {
			exp, _ := c.Exponent()
			got, want := FromMinor(n, c), decimal.New(n, -exp)
			if !got.Decimal().Equal(want) || !got.Neg().Decimal().Equal(want.Neg()) || got.Sign() != cmp.Compare(n, 0) {
				t.Errorf("%d minor units of %s are %s, the opposite is %s", n, c, got, got.Neg())
			}
			if _, ok := got.Minor(); ok != (n != math.MinInt64) {
				t.Errorf("%s has minor units: %v", got, ok)
			}
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	x, y := inr("123456789.05"), inr("-0.95")
	b.ReportAllocs()
	for b.Loop() {
		if x.Add(y).Sub(y).Cmp(x) != 0 {
			b.Fatal("a sum was lost")
		}
	}
}

func BenchmarkParseFixed(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a, err := Parse("123456.78", INR)
		if err != nil || len(a.Fixed()) != 9 {
			b.Fatal(a, err)
		}
	}
}
