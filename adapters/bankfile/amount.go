package bankfile

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/money"
)

// maxWhole bounds the digits before the decimal mark, as the formats of banks do.
const maxWhole = 15

// What is wrong with an amount.
const (
	notAmount  = "is not an amount"
	notGrouped = "is an amount whose digits are not grouped as in 1,00,000.00 or 100,000.00"
	tooLarge   = "is too large for an amount"
	twoSigns   = "is an amount with two signs"
)

// numerals say how amounts are written.
type numerals struct {
	decimal   byte
	thousands string // "" for none
	minor     bool   // whole numbers of minor units
}

func (m *Mapping) numerals() numerals {
	n := numerals{decimal: '.', thousands: ",", minor: m.Unit == "minor"}
	if m.Decimal == "," {
		n.decimal, n.thousands = ',', "."
	}
	switch m.Thousands {
	case "":
	case "none":
		n.thousands = ""
	default:
		n.thousands = m.Thousands
	}
	return n
}

// parse reads an amount as banks write it: 1234.50, -1,23,456.00, (12.00), 12.00-, 12.00 Dr, Rs. 12.00. It returns what is wrong, or "".
// Nothing is rounded: more decimals than the currency has are refused, even zeros, since the marks may then be those of another country.
func (n numerals) parse(s string, c money.Currency) (a money.Amount, problem string) {
	s, negative, signed, problem := signs(strings.TrimSpace(s))
	if problem != "" {
		return a, problem
	}
	if s = strings.TrimSpace(withoutCurrency(s, c)); !signed && strings.HasPrefix(s, "-") {
		s, negative = s[1:], true // Rs. -12.00
	}
	whole, fraction, point := strings.Cut(s, string(n.decimal))
	if n.thousands != "" && strings.Contains(whole, n.thousands) || strings.ContainsAny(whole, "\u00a0\u202f") {
		if n.thousands == " " {
			whole = strings.NewReplacer("\u00a0", " ", "\u202f", " ").Replace(whole)
		}
		if whole, problem = ungrouped(whole, n.thousands); problem != "" {
			return a, problem
		}
	}
	if whole == "" || point && fraction == "" && n.decimal != ',' { // MT940 writes 100,
		return a, notAmount
	}
	exp, _ := c.Exponent()
	switch {
	case n.minor && point:
		return a, "is not a whole number of minor units"
	case n.minor && len(strings.TrimLeft(whole, "0")) <= maxWhole+int(exp):
		v, ok := digitsOf(whole, "", 0)
		if !ok {
			return a, notAmount
		}
		return minorUnits(v, negative, c), ""
	case !allDigits(whole) || fraction != "" && !allDigits(fraction):
		return a, notAmount
	case len(fraction) > int(exp):
		return a, tooFine(exp)
	case len(strings.TrimLeft(whole, "0")) > maxWhole:
		return a, tooLarge
	}
	v, ok := digitsOf(whole, fraction, int(exp))
	if !ok {
		return a, tooLarge
	}
	return minorUnits(v, negative, c), ""
}

func minorUnits(v int64, negative bool, c money.Currency) money.Amount {
	if negative {
		v = -v
	}
	return money.FromMinor(v, c)
}

// signs takes one sign off, wherever it stands.
func signs(s string) (rest string, negative, signed bool, problem string) {
	found := 0
	if strings.HasPrefix(s, "(") && strings.HasSuffix(s, ")") && len(s) > 2 && s[1] >= '0' && s[1] <= '9' {
		s, negative, found = s[1:len(s)-1], true, found+1
	}
	if low := strings.ToLower(s); len(low) == len(s) {
		for _, word := range []string{"(cr)", "(dr)", "cr.", "dr.", "cr", "dr"} {
			if strings.HasSuffix(low, word) {
				s, found = strings.TrimSpace(s[:len(s)-len(word)]), found+1
				negative = negative || strings.Contains(word, "dr")
				break
			}
		}
	}
	for _, mark := range []string{"-", "\u2212", "+"} {
		for _, cut := range []func(string, string) (string, bool){strings.CutPrefix, strings.CutSuffix} {
			if rest, ok := cut(s, mark); ok {
				s, found = strings.TrimSpace(rest), found+1
				negative = negative || mark != "+"
			}
		}
	}
	if found > 1 {
		return "", false, true, twoSigns
	}
	return s, negative, found > 0, ""
}

// withoutCurrency cuts off what says the currency, before or behind a number.
func withoutCurrency(s string, c money.Currency) string {
	if s == "" || s[0] >= '0' && s[0] <= '9' && s[len(s)-1] >= '0' && s[len(s)-1] <= '9' {
		return s
	}
	words := []string{string(c)}
	if c == money.INR {
		words = []string{"₹", "INR", "Rs.", "Rs"}
	}
	for _, w := range words {
		switch {
		case len(s) >= len(w) && strings.EqualFold(s[:len(w)], w):
			return s[len(w):]
		case len(s) >= len(w) && strings.EqualFold(s[len(s)-len(w):], w):
			return s[:len(s)-len(w)]
		}
	}
	return s
}

// ungrouped takes the marks out of digits in groups: the last of three, those before it all of two (Indian) or all of three, the first at most
// that long.
func ungrouped(s, mark string) (string, string) {
	if mark == "" {
		return "", notAmount
	}
	groups := strings.Split(s, mark)
	last := len(groups) - 1
	if len(groups[last]) != 3 || groups[0] == "" {
		return "", notGrouped
	}
	indian, western := len(groups[0]) <= 2, len(groups[0]) <= 3
	for i, g := range groups {
		if !allDigits(g) {
			return "", notAmount
		}
		if i > 0 && i < last {
			indian = indian && len(g) == 2
			western = western && len(g) == 3
		}
	}
	if !indian && !western {
		return "", notGrouped
	}
	return strings.Join(groups, ""), ""
}

// digitsOf is the number of minor units; false when it is none, or does not fit.
func digitsOf(whole, fraction string, exp int) (int64, bool) {
	var v int64
	add := func(d byte) bool {
		if d < '0' || d > '9' || v > (math.MaxInt64-9)/10 {
			return false
		}
		v = v*10 + int64(d-'0')
		return true
	}
	for i := range len(whole) {
		if !add(whole[i]) {
			return 0, false
		}
	}
	for i := range exp {
		d := byte('0')
		if i < len(fraction) {
			d = fraction[i]
		}
		if !add(d) {
			return 0, false
		}
	}
	return v, true
}

// tooFine says how many decimals there may be.
func tooFine(exp int32) string {
	switch exp {
	case 0:
		return "has decimals, which the currency does not have"
	case 2:
		return "has more than two decimals, which the currency does not have"
	}
	return "has more than three decimals, which the currency does not have"
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// blankValue says whether a cell is one of those that stand for nothing.
func blankValue(s string) bool {
	switch len(s) {
	case 0:
		return true
	case 1:
		return s == "-"
	case 2:
		return strings.EqualFold(s, "NA") || s == "--"
	case 3:
		return strings.EqualFold(s, "N/A")
	case 4:
		return strings.EqualFold(s, "null") || strings.EqualFold(s, "none")
	}
	return false
}

// tailOf is the last four letters and digits of an account, "" when there are fewer or they are masked.
func tailOf(account string) string {
	var last [4]byte
	n := 0
	for i := len(account) - 1; i >= 0 && n < 4; i-- {
		switch c := account[i]; {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			n++
			last[4-n] = c
		case c >= utf8.RuneSelf, c == '*':
			return ""
		}
	}
	if n < 4 {
		return ""
	}
	tail := strings.ToUpper(string(last[:]))
	if strings.ContainsRune(tail, 'X') {
		return "" // masked to its end
	}
	return tail
}
