// Package books is the chart of accounts: which kinds of accounts there are, and where they stand in the financial statements.
package books

// Kind is what an account of the books is for: its line in the chart of accounts.
type Kind string

// The chart of accounts. Every posting is to an account of one of these kinds.
const (
	MerchantAvailable  Kind = "merchant_available"
	MerchantLocked     Kind = "merchant_locked"
	MerchantReceivable Kind = "merchant_receivable"
	PlatformCommission Kind = "platform_commission"
	TaxGST             Kind = "tax_gst"
	GatewayReceivable  Kind = "gateway_receivable"
	GatewayFloat       Kind = "gateway_float"
	Suspense           Kind = "suspense"
	Adjustments        Kind = "adjustments"
)

// Type is where an account stands in a balance sheet or in the profit and loss.
type Type string

// Types of accounts.
const (
	Asset     Type = "asset"     // what the platform has, or is owed
	Liability Type = "liability" // what it owes
	Income    Type = "income"    // what it has earned
)

// Side is one of the two sides of an account.
type Side string

// The sides.
const (
	DebitSide  Side = "debit"
	CreditSide Side = "credit"
)

// Chart lists the kinds of accounts in the order in which books show them: assets, liabilities, income.
func Chart() []Kind {
	return []Kind{
		GatewayReceivable, GatewayFloat, MerchantReceivable, Adjustments,
		MerchantAvailable, MerchantLocked, Suspense, TaxGST,
		PlatformCommission,
	}
}

// Type is the kind's place in the financial statements; empty for a kind that the chart does not have.
func (k Kind) Type() Type {
	switch k {
	case GatewayReceivable, GatewayFloat, MerchantReceivable, Adjustments:
		return Asset
	case MerchantAvailable, MerchantLocked, Suspense, TaxGST:
		return Liability
	case PlatformCommission:
		return Income
	}
	return ""
}

// Normal is the side that makes accounts of the type grow; empty for a type that the chart does not have.
func (t Type) Normal() Side {
	switch t {
	case Asset:
		return DebitSide
	case Liability, Income:
		return CreditSide
	}
	return ""
}

// Description says in one line what stands in accounts of the kind; empty for a kind that the chart does not have.
func (k Kind) Description() string {
	switch k {
	case GatewayReceivable:
		return "Collected by the gateway from payers and not settled to the platform yet"
	case GatewayFloat:
		return "Money at the gateway out of which payouts are paid"
	case MerchantReceivable:
		return "What the merchant owes the platform; taken from its next credits"
	case Adjustments:
		return "Counterpart of corrections by hand, to be cleared against bank transfers or written off"
	case MerchantAvailable:
		return "What the merchant can dispose of"
	case MerchantLocked:
		return "The merchant's money in open payouts and holds"
	case Suspense:
		return "Received payments that fit no payin, until they are credited or refunded"
	case TaxGST:
		return "GST charged with commissions, due to the state"
	case PlatformCommission:
		return "Commissions earned, without tax"
	}
	return ""
}
