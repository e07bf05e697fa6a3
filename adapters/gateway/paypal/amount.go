package paypal

import (
	"errors"
	"maps"
	"slices"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
)

// amount is PayPal's "money".
type amount struct {
	Currency string `json:"currency_code"`
	Value    string `json:"value"`
}

// decimals are PayPal's currencies, and how many decimals it takes of each ("Currency codes"). BRL, CNY and MYR are for accounts
// of those countries; INR is not taken any more.
func decimals() map[money.Currency]int32 {
	d := map[money.Currency]int32{"HUF": 0, "JPY": 0, "TWD": 0}
	for _, c := range []money.Currency{
		"AUD", "BRL", "CAD", "CNY", "CZK", "DKK", "EUR", "HKD", "ILS", "MYR", "MXN", "NZD", "NOK", "PHP", "PLN", "GBP", "SGD", "SEK", "CHF", "THB", "USD",
	} {
		d[c] = 2
	}
	return d
}

func currencies() []money.Currency { return slices.Sorted(maps.Keys(decimals())) }

// amountOf writes an amount as PayPal takes it. The errors are *gateway.Declined: PayPal would not take it.
func amountOf(a money.Amount) (amount, error) {
	places, known := decimals()[a.Currency()]
	switch {
	case !known:
		return amount{}, &gateway.Declined{Code: "CURRENCY_NOT_SUPPORTED", Reason: string(a.Currency()) + " is not a currency of PayPal's"}
	case !a.Decimal().Equal(a.Decimal().Truncate(places)):
		return amount{}, &gateway.Declined{Code: "DECIMALS_NOT_SUPPORTED", Reason: string(a.Currency()) + " has no decimals at PayPal"}
	}
	return amount{Currency: string(a.Currency()), Value: a.Decimal().StringFixed(places)}, nil
}

// read reads an amount, exactly.
func (a amount) read() (money.Amount, error) {
	if a.Currency == "" || a.Value == "" {
		return money.Amount{}, errors.New("no amount")
	}
	return money.Parse(a.Value, money.Currency(a.Currency))
}

// is reports whether it is this amount.
func (a amount) is(want money.Amount) bool {
	got, err := a.read()
	return err == nil && got.Equal(want)
}
