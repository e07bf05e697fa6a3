package wallet

import (
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// Command asks for a change of one wallet. Everything that the decision depends on travels inside: times, ids, prices.
type Command interface {
	// Target names the wallet and the payment.
	Target() Of
	// Creates reports whether the command makes the payment: then it has no history to load.
	Creates() bool
	// Keys are the dedupe keys that the command claims, beside an Idempotency-Key; in the order in which they are checked.
	Keys() []string
	// Effective is the value date.
	Effective() time.Time
}

// Base is the part that all commands share.
type Base struct {
	Of
	At time.Time // value date, UTC
}

// Target returns the wallet and payment.
func (b Base) Target() Of { return b.Of }

// Effective returns the value date.
func (b Base) Effective() time.Time { return b.At }

// CreatePayin asks a customer for a payment.
type CreatePayin struct {
	Base
	Amount     money.Amount
	Charge     fee.Charge
	OrderID    string
	TxnRef     string
	PhoneLast4 string
	Sealed     string
	IntentURL  string
	Gateway    string // Unrouted: chosen later
	ExpiresAt  time.Time

	// Of a payin that is paid at a checkout; see Checkout.
	Method, Origin, Signature, Trial string
	// SignatureNo makes it claim the signature, as its n-th payin: see SignatureKey. 0 claims nothing.
	SignatureNo int
}

// ReportPayment says that a gateway has collected money for a payin.
type ReportPayment struct {
	Base
	Gateway   string
	Config    string // gateway configuration in whose account the payment is; "" of a gateway that has none
	PaymentID string
	Amount    money.Amount
	UTR       string
	Method    string // by which it was paid, as the gateway calls it; "" when it does not say
	SubMethod string
	Suspense  string // id of the suspense entry, if there will be one
}

// ReportPayinFailure says that a gateway has definitely not collected.
type ReportPayinFailure struct {
	Base
	Gateway   string
	PaymentID string
	Reason    string
	Message   string // digest of the raw message; repeats of it change nothing
}

// ExpirePayin ends a payin whose time is over.
type ExpirePayin struct{ Base }

// CreditSuspense gives suspended money to the merchant.
type CreditSuspense struct {
	Base
	Suspense      string
	Charge        fee.Charge
	Reason, Actor string
}

// RefundSuspense sends suspended money back.
type RefundSuspense struct {
	Base
	Suspense      string
	Send          bool // through the gateway; else it is made by hand, and only booked
	Reason, Actor string
}

// InitiatePayout asks for a transfer to a bank account.
type InitiatePayout struct {
	Base
	Amount             money.Amount
	Charge             fee.Charge
	RequestID          string
	IFSC               string
	BankName           string
	AccountLast4       string
	AccountFingerprint string
	TransferType       string
	Sealed             string
	Batch              string // "": a payout by itself
	Index              int    // in the batch, from 1
	FromHold           bool   // to be drawn from what the batch has locked
}

// SubmitPayout records that attempt n is about to be sent.
type SubmitPayout struct {
	Base
	Attempt int // 1 for the first; must be one more than those recorded
	Gateway string
}

// CancelPayout gives up a payout that was never submitted.
type CancelPayout struct {
	Base
	Reason string
}

// ReportPayout says what a gateway, or an operator with proof, knows of a submitted payout.
type ReportPayout struct {
	Base
	Gateway         string
	Outcome         Outcome
	UTR             string
	BankReference   string
	ReturnReference string // of OutcomeReturned
	Reason          string // of OutcomeFailed and OutcomeReturned
	Message         string // digest of the raw message; repeats of it change nothing
	Actor           string // of a resolution by hand
}

// Outcome is a definite answer about a payout.
type Outcome string

// The definite answers.
const (
	OutcomePaid     Outcome = "paid"
	OutcomeFailed   Outcome = "failed"
	OutcomeReturned Outcome = "returned"
)

// AdjustWallet corrects a wallet by hand.
type AdjustWallet struct {
	Base
	Amount        money.Amount // signed
	Reason, Actor string
}

// PlaceHold locks an amount.
type PlaceHold struct {
	Base
	Amount        money.Amount
	Reason, Actor string
}

// ReleaseHold gives a hold back.
type ReleaseHold struct {
	Base
	Reason, Actor string
}

// QueueBatch gives a batch its place among those that wait for money. Base.Payment is the batch's id, as in all commands of batches.
// One that has its place keeps it.
type QueueBatch struct{ Base }

// HoldBatch locks what the payouts of a batch's next items take. Of a batch in the queue only the first one can.
type HoldBatch struct {
	Base
	From   int // index of the last item that is held for already: another one is domain.Stale
	Upto   int // index of the last item that is to be held for
	Last   bool
	Amount money.Amount // of the items between, with commission
}

// ReleaseBatch gives back what a batch has locked and not drawn: all of it when the batch is done, which also takes it out of the queue;
// before, what its refused items leave, when nothing else is to be drawn.
type ReleaseBatch struct {
	Base
	Done   bool
	Upto   int          // unless Done: index of the last item that is held for; another one is domain.Stale
	Amount money.Amount // unless Done: all that is left; another amount is domain.Stale
}

// Look changes nothing: the answer is the wallet as it is. It is about no payment.
type Look struct{ Base }

// Creates says it for every command: see Command. Those of batches are about no payment.
func (CreatePayin) Creates() bool        { return true }
func (ReportPayment) Creates() bool      { return false }
func (ReportPayinFailure) Creates() bool { return false }
func (ExpirePayin) Creates() bool        { return false }
func (CreditSuspense) Creates() bool     { return false }
func (RefundSuspense) Creates() bool     { return false }
func (InitiatePayout) Creates() bool     { return true }
func (SubmitPayout) Creates() bool       { return false }
func (CancelPayout) Creates() bool       { return false }
func (ReportPayout) Creates() bool       { return false }
func (AdjustWallet) Creates() bool       { return true }
func (PlaceHold) Creates() bool          { return true }
func (ReleaseHold) Creates() bool        { return false }
func (QueueBatch) Creates() bool         { return true }
func (HoldBatch) Creates() bool          { return true }
func (ReleaseBatch) Creates() bool       { return true }
func (Look) Creates() bool               { return true }

// Keys of every command: see Command. All keys of a partition share one name space, so each starts with its kind and owner.
func (c CreatePayin) Keys() []string {
	keys := []string{PayinKey(c.Merchant, c.OrderID)}
	if c.SignatureNo > 0 {
		keys = append(keys, SignatureKey(c.Merchant, c.Signature, c.SignatureNo))
	}
	return keys
}
func (c ReportPayment) Keys() []string {
	if c.Config != "" { // the account is its app's: what it says must not stand in the way of another app's
		return []string{"payment:" + c.Merchant + ":" + c.Config + ":" + c.PaymentID}
	}
	return []string{"payment:" + c.Gateway + ":" + c.PaymentID}
}
func (c ReportPayinFailure) Keys() []string {
	return messageKeys(c.Payment, c.Message)
}
func (ExpirePayin) Keys() []string      { return nil }
func (CreditSuspense) Keys() []string   { return nil }
func (RefundSuspense) Keys() []string   { return nil }
func (c InitiatePayout) Keys() []string { return []string{PayoutKey(c.Merchant, c.RequestID)} }
func (SubmitPayout) Keys() []string     { return nil }
func (CancelPayout) Keys() []string     { return nil }
func (c ReportPayout) Keys() []string   { return messageKeys(c.Payment, c.Message) }
func (AdjustWallet) Keys() []string     { return nil }
func (PlaceHold) Keys() []string        { return nil }
func (ReleaseHold) Keys() []string      { return nil }
func (QueueBatch) Keys() []string       { return nil }
func (HoldBatch) Keys() []string        { return nil }
func (ReleaseBatch) Keys() []string     { return nil }
func (Look) Keys() []string             { return nil }

// messageKeys claims a raw message, where there is one.
func messageKeys(payment, message string) []string {
	if message == "" {
		return nil
	}
	return []string{MessagePrefix + payment + ":" + message}
}

// MessagePrefix begins the dedupe keys that claim a raw message. What stands behind their last colon is the message's digest: the log gets a
// keyed one, see adapters/ledger.
const MessagePrefix = "message:"

// PayinKey is the dedupe key of an order_id.
func PayinKey(merchant, orderID string) string { return "payin:" + merchant + ":" + orderID }

// PayoutKey is the dedupe key of a partner_request_id.
func PayoutKey(merchant, requestID string) string { return "payout:" + merchant + ":" + requestID }

// Stream is the log stream of a merchant's wallet in a currency.
func Stream(merchant string, c money.Currency) string { return "wallet:" + merchant + ":" + string(c) }
