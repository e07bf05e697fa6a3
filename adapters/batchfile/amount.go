package batchfile

import (
	"strings"

	"github.com/khata-ledger/khata/domain/money"
)

// maxWhole bounds the digits before an amount's point, as for a single payout: far inside 64 bits of paisa.
const maxWhole = 13

// What is wrong with an amount.
const (
	notPlain    = "must be a plain decimal number"
	notPositive = "must be more than zero"
	notGrouped  = "has commas in the wrong places: write 100000.50 or 1,00,000.50"
)

// plainAmount reads an amount as a single payout's request has it: digits with at most two decimals. It returns what is wrong,
// or "".
func plainAmount(s string, c money.Currency) (a money.Amount, problem string) {
	digits, negative := strings.CutPrefix(s, "-")
	return exactAmount(digits, negative, c)
}

// writtenAmount reads an amount as people write it in a sheet: with the currency before it, and with commas between groups of digits,
// Indian (1,00,000) or western (100,000). A comma never stands for the decimal point.
func writtenAmount(s string, c money.Currency) (a money.Amount, problem string) {
	s, negative := strings.CutPrefix(s, "-")
	s = withoutCurrency(s, c)
	if !negative {
		s, negative = strings.CutPrefix(s, "-")
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.Contains(fraction, ",") || strings.Contains(whole, ",") && !grouped(whole) {
		return a, notGrouped
	}
	return exactAmount(strings.ReplaceAll(s, ",", ""), negative, c)
}

// withoutCurrency cuts off what says the currency before a number, and the spaces behind it.
func withoutCurrency(s string, c money.Currency) string {
	prefixes := []string{string(c)}
	if c == money.INR {
		prefixes = []string{"₹", "₨", "INR", "Rs.", "Rs"}
	}
	for _, p := range prefixes {
		if len(s) >= len(p) && strings.EqualFold(s[:len(p)], p) {
			return strings.TrimSpace(s[len(p):])
		}
	}
	return s
}

// grouped says whether the digits of a whole number with commas are in groups: the last of three digits, those before it all of
// two (Indian) or all of three (western), the first at most that long. Other characters are not looked at.
func grouped(s string) bool {
	groups := strings.Split(s, ",")
	last := len(groups) - 1
	if len(groups[last]) != 3 || groups[0] == "" {
		return false
	}
	indian, western := len(groups[0]) <= 2, len(groups[0]) <= 3
	for _, g := range groups[1:last] {
		indian = indian && len(g) == 2
		western = western && len(g) == 3
	}
	return indian || western
}

// exactAmount reads digits with at most as many decimals as the currency has.
func exactAmount(s string, negative bool, c money.Currency) (a money.Amount, problem string) {
	whole, fraction, point := strings.Cut(s, ".")
	exp, _ := c.Exponent()
	switch {
	case !digits(whole) || point && !digits(fraction) || len(whole) > 1 && whole[0] == '0':
		return a, notPlain
	case len(fraction) > int(exp):
		return a, tooFine(exp)
	case len(whole) > maxWhole:
		return a, "is too large"
	}
	a, err := money.Parse(s, c)
	switch {
	case err != nil:
		return a, notPlain
	case negative || a.Sign() <= 0:
		return a, notPositive
	}
	return a, ""
}

// tooFine says how many decimals there may be.
func tooFine(exp int32) string {
	switch exp {
	case 0:
		return "must have no decimals"
	case 2:
		return "must have at most two decimals"
	}
	return "must have at most three decimals"
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// What a program has made of an account number or a telephone number, when it is certain.
const (
	scientific = "is in scientific notation, such as 1.23E+14: a spreadsheet took it for a number, and its last digits are lost; " +
		"format the column as text, then type the number again"
	fractional = "has a decimal point, such as 123456789012.0: a program took it for a number, and may have changed its digits; " +
		"format the column as text, then type the number again"
	rounded = "has nothing but zeros behind its fifteenth digit: a spreadsheet that takes it for a number keeps no more digits than that; " +
		"format the column as text, then type the number again, or put an apostrophe before it if it is right"
	stripped = "if it began with zeros, a spreadsheet has taken them off: format the column as text, then type the number again"
)

// What a spreadsheet keeps of a number, and how many zeros behind that are no accident: one account number of sixteen digits in ten ends in a
// zero, one of seventeen in a hundred in two.
const (
	keptDigits   = 15
	suspectZeros = 2
)

// roundedBySheet says whether a number looks as if a spreadsheet had kept its first fifteen digits only.
func roundedBySheet(s string) bool {
	return len(s) >= keptDigits+suspectZeros && digits(s) && strings.Trim(s[keptDigits:], "0") == ""
}

// turnedIntoNumber says what has been done to a number that is a name, such as an account's; "" when nothing is certain.
func turnedIntoNumber(s string) string {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		whole, fraction, _ := strings.Cut(strings.Replace(s[:i], ",", ".", 1), ".") // 1,23E+14 where the comma is the decimal point
		exponent := s[i+1:]
		if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
			exponent = exponent[1:]
		}
		if digits(whole) && (fraction == "" || digits(fraction)) && digits(exponent) {
			return scientific
		}
		return ""
	}
	whole, fraction, point := strings.Cut(s, ".")
	if point && digits(whole) && strings.Trim(fraction, "0") == "" {
		return fractional
	}
	return ""
}
