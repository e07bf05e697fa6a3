package money

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/shopspring/decimal"
)

// Parse reads a plain decimal such as "1000", "-12.5" or "1000.00": digits, at most one point, no exponent, no spaces.
func Parse(s string, c Currency) (Amount, error) {
	if exp, known := c.Exponent(); known {
		if n, ok := parseMinor(s, int(exp)); ok {
			return Amount{minor: n, currency: c}, nil
		}
	}
	if !plain(s) {
		return Amount{}, fmt.Errorf("%q is not a plain decimal number", s)
	}
	d, err := decimal.NewFromString(s)
	if err != nil {
		return Amount{}, fmt.Errorf("%q is not a decimal number: %w", s, err)
	}
	return New(d, c)
}

// safeDigits is how many digits always fit 64 bits.
const safeDigits = 18

// parseMinor reads a plain decimal as minor units of a currency with exp decimals. It knows only what is short and written
// with no more decimals than that; the rest, valid or not, is left to decimals.
func parseMinor(s string, exp int) (minor int64, ok bool) {
	s, negative := strings.CutPrefix(s, "-")
	decimals, point := 0, false
	for i := range len(s) {
		digit := s[i] - '0'
		switch {
		case digit <= 9:
			minor = 10*minor + int64(digit)
			if point {
				decimals++
			}
		case s[i] == '.' && !point && i > 0 && i < len(s)-1:
			point = true
		default:
			return 0, false
		}
		if i >= safeDigits-exp {
			return 0, false
		}
	}
	if s == "" || decimals > exp {
		return 0, false
	}
	for ; decimals < exp; decimals++ {
		minor *= 10
	}
	if negative {
		minor = -minor
	}
	return minor, true
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

// Fixed is the value with all decimals of its currency: "1000.00".
func (a Amount) Fixed() string {
	var scratch [24]byte // the longest of 64 bits: sign, 19 digits, point
	return string(a.AppendFixed(scratch[:0]))
}

// AppendFixed appends what Fixed returns.
func (a Amount) AppendFixed(b []byte) []byte {
	exp, _ := a.currency.Exponent()
	if a.exact != nil {
		return append(b, a.exact.StringFixed(exp)...)
	}
	minor := a.minor
	if minor < 0 {
		b = append(b, '-')
		minor = -minor
	}
	unit := int64(1) // minor units of one rupee
	for range exp {
		unit *= 10
	}
	b = strconv.AppendInt(b, minor/unit, 10)
	if unit > 1 {
		b = append(b, '.')
	}
	for rest := minor % unit; unit > 1; rest %= unit {
		unit /= 10
		b = append(b, '0'+byte(rest/unit))
	}
	return b
}

// Short is the value without trailing zeros: "1000", "990.5".
func (a Amount) Short() string {
	if a.exact != nil {
		return a.exact.String()
	}
	s := a.Fixed()
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func (a Amount) String() string { return a.Fixed() + " " + string(a.currency) }

// MarshalJSON writes the value alone, as a string: events name their currency once.
func (a Amount) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 24), '"')
	return append(a.AppendFixed(b), '"'), nil
}

// UnmarshalJSON reads the value alone; In gives it its currency. What was read is never the zero Amount.
func (a *Amount) UnmarshalJSON(b []byte) error {
	s := string(b)
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' || !plain(s[1:len(s)-1]) {
		return fmt.Errorf("amount %s is not a decimal string", s)
	}
	d, err := decimal.NewFromString(s[1 : len(s)-1])
	if err != nil {
		return fmt.Errorf("amount %s: %w", s, err)
	}
	a.minor, a.exact = 0, &d
	return nil
}

// Grouped is an amount as people read it: rupees by lakh and crore (12,34,567.00), other currencies by thousands.
func (a Amount) Grouped() string {
	fixed := a.Fixed()
	sign := ""
	if rest, negative := strings.CutPrefix(fixed, "-"); negative {
		sign, fixed = "-", rest
	}
	whole, decimals, point := strings.Cut(fixed, ".")
	size := 3
	if a.currency == INR {
		size = 2 // but for the last three digits
	}
	if len(whole) > 3 {
		groups := whole[len(whole)-3:]
		for whole = whole[:len(whole)-3]; len(whole) > size; whole = whole[:len(whole)-size] {
			groups = whole[len(whole)-size:] + "," + groups
		}
		whole += "," + groups
	}
	if point {
		decimals = "." + decimals
	}
	return sign + whole + decimals
}
