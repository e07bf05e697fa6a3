package wallet

import (
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// Event is a fact about a wallet. Its JSON form is stored for ever under Type and Schema.
type Event interface {
	Type() string
	Schema() int
	// Header is what all events share.
	Header() *Of
	// fields carries the event's fields, in stored order.
	fields(c *codec)
}

// Of says which wallet and payment an event is about.
type Of struct {
	Merchant string         `json:"merchant"`
	Currency money.Currency `json:"currency"`
	Payment  string         `json:"payment"` // transaction id: the record's subject
}

// Header returns o itself.
func (o *Of) Header() *Of { return o }

// Priced is what a payment costs, as decided when it was made.
type Priced struct {
	Amount     money.Amount `json:"amount"`
	Commission money.Amount `json:"commission"` // includes Tax
	Tax        money.Amount `json:"tax"`
	Fee        fee.Rule     `json:"fee"`
}

// Gross is amount + commission: what a payout takes from the wallet.
func (p Priced) Gross() money.Amount { return p.Amount.Add(p.Commission) }

// Net is amount - commission: what a payin brings.
func (p Priced) Net() money.Amount { return p.Amount.Sub(p.Commission) }

// PayinCreated asks a customer for a payment. No money moves.
type PayinCreated struct {
	Of
	Priced
	OrderID    string    `json:"order_id"`
	TxnRef     string    `json:"txn_ref"`
	PhoneLast4 string    `json:"phone_last4"`
	Sealed     string    `json:"sealed"` // Customer, sealed; base64
	IntentURL  string    `json:"intent_url"`
	Gateway    string    `json:"gateway"`
	ExpiresAt  time.Time `json:"expires_at"`
	Method     string    `json:"method,omitempty"` // this and what follows: see Checkout
	Origin     string    `json:"origin,omitempty"`
	Signature  string    `json:"signature,omitempty"`
	Trial      string    `json:"trial,omitempty"`
}

// PayinSucceeded credits amount - commission. Late when the payin had expired or failed before.
type PayinSucceeded struct {
	Of
	Priced
	Gateway   string `json:"gateway"`
	PaymentID string `json:"payment_id"` // the gateway's own id of the payment
	UTR       string `json:"utr"`
	Late      bool   `json:"late,omitempty"`
	Method    string `json:"method,omitempty"` // by which it was paid, as the gateway calls it
	SubMethod string `json:"sub_method,omitempty"`
	Config    string `json:"config,omitempty"` // gateway configuration in whose account the payment is
}

// PayinFailed ends a pending payin that the customer's bank refused.
type PayinFailed struct {
	Of
	Gateway string `json:"gateway"`
	Reason  string `json:"reason"`
}

// PayinExpired ends a pending payin that nobody paid in time.
type PayinExpired struct{ Of }

// PayinSuspended books a payment that does not fit its payin: it waits for an operator.
type PayinSuspended struct {
	Of
	Suspense  string       `json:"suspense"` // sus_...
	Amount    money.Amount `json:"amount"`   // what was paid
	Asked     money.Amount `json:"asked"`
	Gateway   string       `json:"gateway"`
	PaymentID string       `json:"payment_id"`
	UTR       string       `json:"utr"`
	Reason    string       `json:"reason"` // ReasonAmount or ReasonSecond
	Config    string       `json:"config,omitempty"`
}

// Reasons of a suspended payment.
const (
	ReasonAmount = "amount_mismatch"
	ReasonSecond = "second_payment"
)

// PayinNoted keeps a gateway message that changed nothing; Anomaly when it contradicts what is known.
type PayinNoted struct {
	Of
	Gateway string `json:"gateway"`
	Claim   string `json:"claim"` // what the message said
	Anomaly bool   `json:"anomaly,omitempty"`
}

// SuspenseCredited gives suspended money to the merchant, priced by the payin's own fee rule.
type SuspenseCredited struct {
	Of
	Priced
	Suspense string `json:"suspense"`
	Reason   string `json:"reason"`
	Actor    string `json:"actor"`
}

// SuspenseRefunded sends suspended money back through the gateway that brought it.
type SuspenseRefunded struct {
	Of
	Suspense string       `json:"suspense"`
	Amount   money.Amount `json:"amount"`
	Gateway  string       `json:"gateway"`
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor"`
	// What names it at the gateway, which the ledger asks to send it back; "" when that is made by hand.
	Refund    string `json:"refund,omitempty"`
	Config    string `json:"config,omitempty"`     // gateway configuration in whose account the payment is
	PaymentID string `json:"payment_id,omitempty"` // the gateway's own id of the payment
}

// PayoutInitiated moves amount + commission from available to locked.
type PayoutInitiated struct {
	Of
	Priced
	RequestID          string `json:"partner_request_id"`
	IFSC               string `json:"ifsc"`
	BankName           string `json:"bank_name"`
	AccountLast4       string `json:"account_last4"`
	AccountFingerprint string `json:"account_fp"`
	TransferType       string `json:"transfer_type"`
	Sealed             string `json:"sealed"` // Beneficiary, sealed; base64
	Batch              string `json:"batch,omitempty"`
	Index              int    `json:"index,omitempty"`     // in the batch, from 1
	FromHold           bool   `json:"from_hold,omitempty"` // drawn from what the batch has locked: nothing leaves available
}

// PayoutSubmitted records the intent to send attempt n, before the call. The reference is the transaction id, always.
type PayoutSubmitted struct {
	Of
	Attempt   int    `json:"attempt"`
	Gateway   string `json:"gateway"`
	Reference string `json:"reference"`
}

// PayoutSucceeded consumes the lock: the bank has paid.
type PayoutSucceeded struct {
	Of
	Priced
	Gateway       string `json:"gateway"`
	UTR           string `json:"utr"`
	BankReference string `json:"bank_reference"`
	Actor         string `json:"actor,omitempty"` // of a resolution by hand: both people
	Batch         string `json:"batch,omitempty"`
}

// PayoutFailed returns the lock of a payout that was never sent to a bank.
type PayoutFailed struct {
	Of
	Priced
	Reason string `json:"reason"`
	Batch  string `json:"batch,omitempty"`
}

// PayoutRefunded returns the lock of a payout that the bank has not paid.
type PayoutRefunded struct {
	Of
	Priced
	Gateway string `json:"gateway"`
	Reason  string `json:"reason"` // one of the closed list of failure reasons
	Actor   string `json:"actor,omitempty"`
	Batch   string `json:"batch,omitempty"`
}

// PayoutReturned credits again what the bank sent back after a success.
type PayoutReturned struct {
	Of
	Priced
	Gateway         string `json:"gateway"`
	ReturnReference string `json:"return_reference"`
	Reason          string `json:"reason"`
	Actor           string `json:"actor,omitempty"`
	Batch           string `json:"batch,omitempty"`
}

// PayoutPaidAfterRefund takes again what had been refunded: the bank has paid after all. What available does not
// cover is owed.
type PayoutPaidAfterRefund struct {
	Of
	Priced
	Taken         money.Amount `json:"taken"` // from available; taken + owed = amount + commission
	Owed          money.Amount `json:"owed"`
	Gateway       string       `json:"gateway"`
	UTR           string       `json:"utr"`
	BankReference string       `json:"bank_reference"`
	Actor         string       `json:"actor,omitempty"`
	Batch         string       `json:"batch,omitempty"`
}

// PayoutAnomaly raises a gateway message that contradicts what is known. It moves nothing.
type PayoutAnomaly struct {
	Of
	Gateway string `json:"gateway"`
	Status  string `json:"status"` // of the payout, when the message came
	Claim   string `json:"claim"`  // what the message said
	Detail  string `json:"detail"`
}

// PayoutNoted keeps a gateway message that repeats what is known. It may bring the UTR of a payment that had none yet.
type PayoutNoted struct {
	Of
	Gateway string `json:"gateway"`
	Claim   string `json:"claim"`
	UTR     string `json:"utr,omitempty"`
}

// WalletAdjusted is a correction by hand: positive credits, negative debits.
type WalletAdjusted struct { //nolint:revive // named after its stored type
	Of
	Amount money.Amount `json:"amount"`
	Reason string       `json:"reason"`
	Actor  string       `json:"actor"`
}

// WalletRecovered takes from available what the merchant owed; it follows a credit in the same append.
type WalletRecovered struct { //nolint:revive // named after its stored type
	Of
	Amount money.Amount `json:"amount"`
}

// WalletHeld locks an amount for a reason other than a payout. Payment is the hold's id.
type WalletHeld struct { //nolint:revive // named after its stored type
	Of
	Amount money.Amount `json:"amount"`
	Reason string       `json:"reason"`
	Actor  string       `json:"actor"`
}

// WalletReleased gives a hold back.
type WalletReleased struct { //nolint:revive // named after its stored type
	Of
	Amount money.Amount `json:"amount"`
	Reason string       `json:"reason"`
	Actor  string       `json:"actor"`
}

// BatchQueued gives a payout batch its place among those that wait for money. Payment is the batch's id, as in all events of batches.
type BatchQueued struct {
	Of
	Since time.Time `json:"since"`
}

// BatchHeld locks what the payouts of a batch's next items take, with commission.
type BatchHeld struct {
	Of
	Amount money.Amount `json:"amount"`
	Upto   int          `json:"upto"`           // index of the last item that may draw from it
	Last   bool         `json:"last,omitempty"` // no item is behind: the batch leaves the queue
}

// BatchReleased gives back what a batch has locked, and its payouts will not draw.
type BatchReleased struct {
	Of
	Amount money.Amount `json:"amount"`         // zero when there is nothing left of it
	Done   bool         `json:"done,omitempty"` // the batch has ended, or all of its payouts are made
}

// Customer is the sealed part of a payin.
type Customer struct {
	Phone       string `json:"phone"`
	Name        string `json:"name,omitempty"`
	Email       string `json:"email,omitempty"`
	RedirectURL string `json:"redirect_url,omitempty"` // where the customer goes after paying; the app's, and may name the customer
}

// Beneficiary is the sealed part of a payout.
type Beneficiary struct {
	Name      string `json:"name"`
	AccountNo string `json:"account_no"`
	Mobile    string `json:"mobile"`
}
