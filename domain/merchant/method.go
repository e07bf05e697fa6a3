package merchant

// Method is a way in which a customer pays, by its name in the KS Pay API.
type Method string

// The methods of the KS Pay API (contract, Payment API).
const (
	UPI        Method = "UPI"
	NetBanking Method = "NET BANKING"
	DebitCard  Method = "DEBIT CARD"
	CreditCard Method = "CREDIT CARD"
	EWallet    Method = "WALLET"
	PayLater   Method = "PAY LATER"
	PayPal     Method = "PAYPAL"
)

// Methods lists all of them, in the order in which customers see them.
func Methods() []Method {
	return []Method{UPI, NetBanking, DebitCard, CreditCard, EWallet, PayLater, PayPal}
}
