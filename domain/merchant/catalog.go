package merchant

import (
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
)

// CurrencyInfo is a currency of the platform, as the KS Pay API shows it.
type CurrencyInfo struct {
	ID     string // c_...
	Code   money.Currency
	Name   string
	Symbol string
	Type   string // FIAT or CRYPTO
}

// Kinds of currency.
const (
	fiat   = "FIAT"
	crypto = "CRYPTO"
)

// Currencies is the catalogue: ids never change, since clients keep them. Those of the rupee and the dollar are the document's own.
func Currencies() []CurrencyInfo {
	return []CurrencyInfo{
		{"c_WkmEe23LeI", money.INR, "Rupees", "Rs", fiat},
		{"c_2xqOlqufc3", "USD", "US Dollar", "$", fiat},
		{"c_9bTq4LzXm1", "EUR", "Euro", "€", fiat},
		{"c_Gb7nPw2RkE", "GBP", "Pound Sterling", "£", fiat},
		{"c_Ae5dHv8YsJ", "AED", "UAE Dirham", "AED", fiat},
		{"c_Sg3kMu6QoZ", "SGD", "Singapore Dollar", "S$", fiat},
		{"c_Jp1yCe9NtB", "JPY", "Yen", "¥", fiat},
		{"c_Kw4dFi7LxV", "KWD", "Kuwaiti Dinar", "KD", fiat},
		{"c_Bh2dOr5WqA", "BHD", "Bahraini Dinar", "BD", fiat},
		{"c_Om8rTz3GyK", "OMR", "Omani Rial", "RO", fiat},
		{"c_Au6dVn1HcP", "AUD", "Australian Dollar", "A$", fiat},
		{"c_Ca9dXj4SbM", "CAD", "Canadian Dollar", "C$", fiat},
		{"c_Bt0cUe2RwD", "BTC", "Bitcoin", "BTC", crypto},
	}
}

// CurrencyByCode finds a currency of the platform.
func CurrencyByCode(c money.Currency) (CurrencyInfo, bool) {
	for _, k := range Currencies() {
		if k.Code == c {
			return k, true
		}
	}
	return CurrencyInfo{}, false
}

// CurrencyByID finds a currency of the platform.
func CurrencyByID(id string) (CurrencyInfo, bool) {
	for _, k := range Currencies() {
		if k.ID == id {
			return k, true
		}
	}
	return CurrencyInfo{}, false
}

// MethodID is a method's id in the KS Pay API, pm_...; "" of one that is not known. Net banking, debit and credit cards have the document's own.
func MethodID(m Method) string {
	switch m {
	case UPI:
		return "pm_5LR93Agwv"
	case NetBanking:
		return "pm_Mk55VGvFm"
	case DebitCard:
		return "pm_QtgkfiiWb"
	case CreditCard:
		return "pm_67NoP7JaQ"
	case EWallet:
		return "pm_W4lTe9xYn"
	case PayLater:
		return "pm_P1yLa7tRz"
	case PayPal:
		return "pm_Py8pAl3Kc"
	}
	return ""
}

// MethodByID finds a method by its id.
func MethodByID(id string) (Method, bool) {
	for _, m := range Methods() {
		if MethodID(m) == id {
			return m, true
		}
	}
	return "", false
}

// IDLength is how many letters and digits stand behind the prefix of an id of the KS Pay API: ten of a currency's, nine of all others.
func IDLength(prefix string) int {
	if prefix == "c_" {
		return 10
	}
	return 9
}

// ValidID reports whether an id of the KS Pay API is well formed.
func ValidID(prefix, id string) bool {
	if len(id) != len(prefix)+IDLength(prefix) || id[:len(prefix)] != prefix {
		return false
	}
	for _, c := range id[len(prefix):] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// wrongID is the message of the KS Pay API about a malformed id.
func wrongID(prefix string) string {
	return fmt.Sprintf("ID must start with '%s' and be %d characters long with alphanumeric characters following the prefix.",
		prefix, len(prefix)+IDLength(prefix))
}
