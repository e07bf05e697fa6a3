package wallet

import (
	"strings"

	"github.com/khata-ledger/khata/domain/books"
)

type (
	// AccountKind is a line of the chart of accounts; see package books.
	AccountKind = books.Kind
	// AccountType is where an account stands in the financial statements.
	AccountType = books.Type
	// Side is one of the two sides of an account.
	Side = books.Side
)

// Kinds, types and sides of the chart of accounts.
const (
	MerchantAvailable  = books.MerchantAvailable
	MerchantLocked     = books.MerchantLocked
	MerchantReceivable = books.MerchantReceivable
	PlatformCommission = books.PlatformCommission
	TaxGST             = books.TaxGST
	GatewayReceivable  = books.GatewayReceivable
	GatewayFloat       = books.GatewayFloat
	Suspense           = books.Suspense
	Adjustments        = books.Adjustments
	Asset              = books.Asset
	Liability          = books.Liability
	Income             = books.Income
	DebitSide          = books.DebitSide
	CreditSide         = books.CreditSide
)

// Chart lists the kinds of accounts in the order in which books show them: assets, liabilities, income.
func Chart() []AccountKind { return books.Chart() }

// Account is an account of the books, as its name tells it.
type Account struct {
	Name  string
	Kind  AccountKind
	Owner string // the merchant's id or the gateway's name; empty for what is the platform's own
}

// ParseAccount tells what an account is by its name. False for a name that no posting can have.
func ParseAccount(name string) (Account, bool) {
	switch name {
	case AccountCommission:
		return Account{name, PlatformCommission, ""}, true
	case AccountTax:
		return Account{name, TaxGST, ""}, true
	case AccountSuspense:
		return Account{name, Suspense, ""}, true
	case AccountAdjustments:
		return Account{name, Adjustments, ""}, true
	}
	whose, rest, _ := strings.Cut(name, ":")
	last := strings.LastIndexByte(rest, ':') // a gateway may have a colon in its name
	if last < 1 {
		return Account{}, false
	}
	owner, part := rest[:last], rest[last+1:]
	switch whose + ":" + part {
	case "merchant:available":
		return Account{name, MerchantAvailable, owner}, true
	case "merchant:locked":
		return Account{name, MerchantLocked, owner}, true
	case "merchant:receivable":
		return Account{name, MerchantReceivable, owner}, true
	case "gateway:receivable":
		return Account{name, GatewayReceivable, owner}, true
	case "gateway:float":
		return Account{name, GatewayFloat, owner}, true
	}
	return Account{}, false
}
