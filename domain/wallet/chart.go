package wallet

import (
	"strings"

	"github.com/khata-ledger/khata/domain/books"
)

// Account is an account of the books, as its name tells it.
type Account struct {
	Name  string
	Kind  books.Kind
	Owner string // the merchant's id or the gateway's name; empty for what is the platform's own
}

// ParseAccount tells what an account is by its name. False for a name that no posting can have.
func ParseAccount(name string) (Account, bool) {
	switch name {
	case AccountCommission:
		return Account{name, books.PlatformCommission, ""}, true
	case AccountTax:
		return Account{name, books.TaxGST, ""}, true
	case AccountSuspense:
		return Account{name, books.Suspense, ""}, true
	case AccountAdjustments:
		return Account{name, books.Adjustments, ""}, true
	}
	whose, rest, _ := strings.Cut(name, ":")
	last := strings.LastIndexByte(rest, ':') // a gateway may have a colon in its name
	if last < 1 {
		return Account{}, false
	}
	owner, part := rest[:last], rest[last+1:]
	switch whose + ":" + part {
	case "merchant:available":
		return Account{name, books.MerchantAvailable, owner}, true
	case "merchant:locked":
		return Account{name, books.MerchantLocked, owner}, true
	case "merchant:receivable":
		return Account{name, books.MerchantReceivable, owner}, true
	case "gateway:receivable":
		return Account{name, books.GatewayReceivable, owner}, true
	case "gateway:float":
		return Account{name, books.GatewayFloat, owner}, true
	}
	return Account{}, false
}
