// Package money holds amounts: exact decimals with their currency.
package money

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/shopspring/decimal"
)

// Currency is an ISO 4217 code.
type Currency string

// INR is the Indian rupee, in paisa.
const INR Currency = "INR"

// ErrCurrency is the sum or comparison of two currencies.
var ErrCurrency = errors.New("amounts of different currencies")

// Exponent is the number of decimals of the currency; false when the ledger does not know it.
func (c Currency) Exponent() (int32, bool) {
	switch c {
	case "JPY":
		return 0, true
	case INR, "USD", "EUR", "GBP", "AED", "SGD":
		return 2, true
	case "KWD", "BHD", "OMR":
		return 3, true
	}
	return 0, false
}

// Amount is an exact amount of money. Its value never has more decimals than its currency. The zero Amount is no amount
// of no currency: use Zero.
type Amount struct {
	value    decimal.Decimal
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
	return Amount{value, c}, nil
}

// Parse reads a plain decimal such as "1000", "-12.5" or "1000.00": digits, at most one point, no exponent, no spaces.
func Parse(s string, c Currency) (Amount, error) {
	if !plain(s) {
		return Amount{}, fmt.Errorf("%q is not a plain decimal number", s)
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return Amount{}, fmt.Errorf("%q is not a decimal number: %w", s, err)
	}
	return New(d, c)
}

// plain accepts [-]digits[.digits] of up to 30 characters.
func plain(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, frac, point := strings.Cut(s, ".")
	return len(s) <= 30 && digits(whole) && (!point || digits(frac))
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}

// MustParse is Parse for constants.
func MustParse(s string, c Currency) Amount {
	a, err := Parse(s, c)
	if err != nil {
		panic("money: " + err.Error())
	}
	return a
}

// Round makes an amount from a value with any number of decimals, half away from zero ("half-up" of Indian practice).
func Round(value decimal.Decimal, c Currency) Amount {
	exp, _ := c.Exponent()
	return Amount{value.Round(exp), c}
}

// FromMinor makes an amount from minor units (paisa).
func FromMinor(n int64, c Currency) Amount {
	exp, _ := c.Exponent()
	return Amount{decimal.New(n, -exp), c}
}

// Minor is the amount in minor units (paisa). False when it does not fit 64 bits.
func (a Amount) Minor() (int64, bool) {
	exp, _ := a.currency.Exponent()
	shifted := a.value.Shift(exp)
	if shifted.Abs().GreaterThan(decimal.NewFromInt(math.MaxInt64)) {
		return 0, false
	}
	return shifted.IntPart(), true
}

// Currency is the amount's currency.
func (a Amount) Currency() Currency { return a.currency }

// Decimal is the amount without its currency.
func (a Amount) Decimal() decimal.Decimal { return a.value }

// Add is a + b. It panics on different currencies: commands are checked for that at the door.
func (a Amount) Add(b Amount) Amount {
	a.same(b)
	return Amount{a.value.Add(b.value), a.currency}
}

// Sub is a - b.
func (a Amount) Sub(b Amount) Amount {
	a.same(b)
	return Amount{a.value.Sub(b.value), a.currency}
}

// Neg is -a.
func (a Amount) Neg() Amount { return Amount{a.value.Neg(), a.currency} }

// Cmp compares: -1, 0, 1.
func (a Amount) Cmp(b Amount) int {
	a.same(b)
	return a.value.Cmp(b.value)
}

// Min is the smaller of the two.
func (a Amount) Min(b Amount) Amount {
	if a.Cmp(b) <= 0 {
		return a
	}
	return b
}

// Sign is -1, 0 or 1.
func (a Amount) Sign() int { return a.value.Sign() }

// IsZero reports whether it is nothing.
func (a Amount) IsZero() bool { return a.value.IsZero() }

// Equal reports the same value in the same currency.
func (a Amount) Equal(b Amount) bool { return a.currency == b.currency && a.value.Equal(b.value) }

func (a Amount) same(b Amount) {
	if a.currency != b.currency {
		panic(fmt.Errorf("%w: %s and %s", ErrCurrency, a, b))
	}
}

// Fixed is the value with all decimals of its currency: "1000.00".
func (a Amount) Fixed() string {
	exp, _ := a.currency.Exponent()
	return a.value.StringFixed(exp)
}

// Short is the value without trailing zeros: "1000", "990.5".
func (a Amount) Short() string { return a.value.String() }

func (a Amount) String() string { return a.Fixed() + " " + string(a.currency) }

// MarshalJSON writes the value alone, as a string: events name their currency once.
func (a Amount) MarshalJSON() ([]byte, error) {
	return []byte(`"` + a.Fixed() + `"`), nil
}

// UnmarshalJSON reads the value alone; In gives it its currency.
func (a *Amount) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || !plain(s[1:len(s)-1]) {
		return fmt.Errorf("amount %s is not a decimal string", s)
	}
	d, err := decimal.NewFromString(s[1 : len(s)-1])
	if err != nil {
		return fmt.Errorf("amount %s: %w", s, err)
	}
	a.value = d
	return nil
}

// In gives a decoded amount its currency.
func (a Amount) In(c Currency) (Amount, error) { return New(a.value, c) }
