package sandbox

import "github.com/khata-ledger/khata/domain/wallet"

// Statuses of a transfer, in the bank's file and its answers.
const (
	statusPaid     = "paid"
	statusReturned = "returned"
	statusFailed   = "failed"
	statusPending  = "pending"
	statusNotFound = "not_found"
)

// act is what a timer does to a transfer.
type act string

const (
	actPay    act = "pay"
	actFail   act = "fail"
	actReturn act = "return"
)

// What a timer does in a face.
const (
	actRazorpayRefund act = "razorpay refund" // it reaches the customer
	actPayURefund     act = "payu refund"
)

// behaviour is what the bank does with the transfers to an account.
type behaviour struct {
	digits   string // last two of the account number
	status   string // as recorded when the transfer comes; "" records nothing
	reason   string // of a failure
	drop     bool   // the connection is closed instead of an answer
	errors   int    // sends that are answered with 500 before it works
	then     act    // after Options.Delay; "" for nothing
	callback int    // how often the callback about that is sent
	contrary bool   // a callback that contradicts it follows
}

// behaviours is the table of the sandbox bank; every other account is paid at once.
func behaviours() []behaviour {
	return []behaviour{
		{digits: "01", status: statusPending, then: actPay, callback: 1},
		{digits: "02", status: statusFailed, reason: wallet.FailureAccountClosed},
		{digits: "03", status: statusPaid, drop: true},
		{digits: "04", drop: true},
		{digits: "05", status: statusPaid, then: actReturn, callback: 1},
		{digits: "06", status: statusPending, then: actPay, callback: 3},
		{digits: "07", status: statusPending, then: actPay, callback: 1, contrary: true},
		{digits: "08", status: statusPending},
		{digits: "09", status: statusPending, then: actFail, callback: 1, reason: wallet.FailureAccountFrozen},
		{digits: "10", status: statusPaid, errors: 2},
	}
}

// behaviourOf finds the behaviour of an account number or of its last two digits.
func behaviourOf(account string) behaviour {
	if len(account) >= 2 {
		for _, b := range behaviours() {
			if b.digits == account[len(account)-2:] {
				return b
			}
		}
		return behaviour{digits: account[len(account)-2:], status: statusPaid}
	}
	return behaviour{digits: account, status: statusPaid}
}
