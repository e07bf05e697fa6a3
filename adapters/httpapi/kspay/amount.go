package kspay

import (
	"strconv"
	"strings"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/money"
)

// maxMinor bounds an amount, in minor units: sums of a great many of them still fit 64 bits.
const maxMinor = 1_000_000_000_000_000

// amount reads an amount exactly: plain digits, as a JSON number or in a string. Decimals that the currency does not have are refused, unless
// they are zeros: what is written as 11.0 is eleven yen.
func (f *form) amount(c money.Currency) (money.Amount, error) {
	none := money.Zero(c)
	m, _ := f.member("amount")
	if m.Kind != httpapi.Number && m.Kind != httpapi.String {
		return none, custom("amount must be a number")
	}
	text := strings.TrimSpace(m.Text)
	whole, decimals, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if !digits(whole) || point && !digits(decimals) || len(whole) > 1 && whole[0] == '0' {
		return none, custom("amount must be a plain decimal number")
	}
	exponent, _ := c.Exponent()
	decimals = strings.TrimRight(decimals, "0")
	switch {
	case len(decimals) > int(exponent):
		return none, refuse("(top)/decimalValueAmountError", strconv.Itoa(int(exponent)))
	case text[0] == '-' || strings.Trim(whole+decimals, "0") == "":
		return none, custom("amount must be more than zero")
	case len(whole) > 18:
		return none, custom("amount is too large")
	}
	if decimals != "" {
		whole += "." + decimals
	}
	a, err := money.Parse(whole, c)
	minor, fits := a.Minor()
	if err != nil || !fits || minor > maxMinor {
		return none, custom("amount is too large")
	}
	return a, nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
