package books

import (
	"strings"

	"github.com/khata-ledger/khata/domain/money"
)

// Posting is one line of a double entry: a debit or a credit of one account. The other of the two is zero.
type Posting struct {
	Account string
	Debit   money.Amount
	Credit  money.Amount
}

// Accounts that are not anybody's. Their names are part of the contract with auditors.
const (
	AccountCommission  = "platform:commission"
	AccountTax         = "tax:gst"
	AccountSuspense    = "suspense"
	AccountAdjustments = "adjustments"
)

// Account is an account of the books, as its name tells it.
type Account struct {
	Name  string
	Kind  Kind
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

// Wallets tells the kinds whose accounts a merchant's wallet decides about: nothing else may post to them.
func (k Kind) Wallets() bool {
	return k == MerchantAvailable || k == MerchantLocked || k == MerchantReceivable
}
