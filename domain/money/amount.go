// Package money holds amounts: exact decimals with their currency.
package money

import (
	"cmp"
	"errors"
	"fmt"
	"math"

	"github.com/shopspring/decimal"
)

// ErrCurrency is the sum or comparison of two currencies.
var ErrCurrency = errors.New("amounts of different currencies")

// Amount is an exact amount of money. Its value never has more decimals than its currency. The zero Amount is no amount
// of no currency: use Zero.
//
// What fits 64 bits of minor units, as all but absurd amounts do, is kept as such: sums of it cost nanoseconds and no
// memory. Beyond, the value is a decimal, and the arithmetic is that of decimals.
type Amount struct {
	minor    int64            // from -MaxInt64 to MaxInt64, so that its opposite fits, too; zero where exact is set
	exact    *decimal.Decimal // what minor cannot hold, or has been decoded and not been given its currency; never written to
	currency Currency
}

// Zero is nothing, in a currency.
func Zero(c Currency) Amount { return Amount{currency: c} }

// New makes an amount. It refuses decimals that the currency does not have: nothing is rounded.
func New(value decimal.Decimal, c Currency) (Amount, error) {
	exp, known := c.Exponent()
	if !known {
		return Amount{}, fmt.Errorf("currency %q is not known", c)
	}
	if !value.Equal(value.Truncate(exp)) {
		return Amount{}, fmt.Errorf("%s %s has more than %d decimals", value, c, exp)
	}
	return of(value, c), nil
}

// Round makes an amount from a value with any number of decimals, half away from zero ("half-up" of Indian practice).
func Round(value decimal.Decimal, c Currency) Amount {
	exp, _ := c.Exponent()
	return of(value.Round(exp), c)
}

// FromMinor makes an amount from minor units (paisa).
func FromMinor(n int64, c Currency) Amount {
	if n == math.MinInt64 {
		exp, _ := c.Exponent()
		return of(decimal.New(n, -exp), c)
	}
	return Amount{minor: n, currency: c}
}

// of is the amount of a value that has no more decimals than its currency.
func of(value decimal.Decimal, c Currency) Amount {
	if value.IsZero() {
		return Zero(c)
	}
	exp, _ := c.Exponent()
	shifted := value.Shift(exp)
	switch digits := int(shifted.Exponent()) + shifted.NumDigits(); { // before the point
	case digits <= safeDigits:
		return Amount{minor: shifted.IntPart(), currency: c}
	case digits == safeDigits+1:
		if n := shifted.BigInt(); n.IsInt64() && n.Int64() != math.MinInt64 {
			return Amount{minor: n.Int64(), currency: c}
		}
	}
	exact := value // the one that escapes
	return Amount{exact: &exact, currency: c}
}

// Minor is the amount in minor units (paisa). False when it does not fit 64 bits.
func (a Amount) Minor() (int64, bool) {
	if a.exact == nil {
		return a.minor, true
	}
	exp, _ := a.currency.Exponent()
	shifted := a.exact.Shift(exp)
	if shifted.Abs().GreaterThan(decimal.NewFromInt(math.MaxInt64)) {
		return 0, false
	}
	return shifted.IntPart(), true
}

// Currency is the amount's currency.
func (a Amount) Currency() Currency { return a.currency }

// Decimal is the amount without its currency.
func (a Amount) Decimal() decimal.Decimal {
	if a.exact != nil {
		return *a.exact
	}
	exp, _ := a.currency.Exponent()
	return decimal.New(a.minor, -exp)
}

// Add is a + b. It panics on different currencies: commands are checked for that at the door.
func (a Amount) Add(b Amount) Amount {
	a.same(b)
	if a.exact == nil && b.exact == nil {
		sum := a.minor + b.minor
		overflow := (a.minor^sum)&(b.minor^sum) < 0 // its sign is that of neither
		if !overflow && sum != math.MinInt64 {
			return Amount{minor: sum, currency: a.currency}
		}
	}
	return of(a.Decimal().Add(b.Decimal()), a.currency)
}

// Sub is a - b.
func (a Amount) Sub(b Amount) Amount { return a.Add(b.Neg()) }

// Neg is -a.
func (a Amount) Neg() Amount {
	if a.exact == nil {
		return Amount{minor: -a.minor, currency: a.currency}
	}
	return of(a.exact.Neg(), a.currency)
}

// Cmp compares: -1, 0, 1.
func (a Amount) Cmp(b Amount) int {
	a.same(b)
	if a.exact == nil && b.exact == nil {
		return cmp.Compare(a.minor, b.minor)
	}
	return a.Decimal().Cmp(b.Decimal())
}

// Min is the smaller of the two.
func (a Amount) Min(b Amount) Amount {
	if a.Cmp(b) <= 0 {
		return a
	}
	return b
}

// Sign is -1, 0 or 1.
func (a Amount) Sign() int {
	if a.exact != nil {
		return a.exact.Sign()
	}
	return cmp.Compare(a.minor, 0)
}

// IsZero reports whether it is nothing.
func (a Amount) IsZero() bool { return a.Sign() == 0 }

// Equal reports the same value in the same currency.
func (a Amount) Equal(b Amount) bool { return a.currency == b.currency && a.Cmp(b) == 0 }

func (a Amount) same(b Amount) {
	if a.currency != b.currency {
		panic(fmt.Errorf("%w: %s and %s", ErrCurrency, a, b))
	}
}

// In gives a decoded amount its currency.
func (a Amount) In(c Currency) (Amount, error) { return New(a.Decimal(), c) }
