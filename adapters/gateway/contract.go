package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Gateway is an adapter to one bank or payment company: everything that the ledger needs of it. The comments of the
// three interfaces are the contract that every adapter meets; doc.go says what is built on it.
type Gateway interface {
	Payouts
	Payins
	Callbacks
}

// Payouts sends money to bank accounts.
//
// An Answer is only what the gateway stated about this very transfer, parsed whole: right reference, a status that the
// adapter knows, the amount if it is told (one that differs from what was sent is held to be no answer). Everything else is
// an error, and every error means "unknown": a timeout, a refused connection, a 5xx, a 4xx about the request and not about
// the transfer (401, 429), a redirect, a body that is garbage, cut short or beyond MaxBodyBytes. Unknown is never failed.
//
// Calls honour ctx, bound what they read, and are safe for concurrent use.
type Payouts interface {
	// Name is the gateway's stable name, such as "sandbox": it is in events, account names and URLs.
	Name() string
	// Send asks for the transfer. The gateway keeps one transfer per reference: sending again with the same reference
	// never pays again, and answers with the state of the first (never with "failed" because it is a repetition).
	// NotFound is no answer to Send.
	Send(ctx context.Context, t Transfer) (Answer, error)
	// Inquire asks what has become of a reference. NotFound only when the gateway itself says that it does not know the
	// reference, in its own format; the 404 of a proxy is an error.
	Inquire(ctx context.Context, reference string) (Answer, error)
}

// Payins knows what customers have paid.
type Payins interface {
	Name() string
	// Payments returns the payments made for a reference (a payin's txn_ref), definite ones only, oldest first, at most
	// MaxPayments; none is an answer. Errors as in Payouts: unknown.
	Payments(ctx context.Context, reference string) (Payments, error)
}

// Callbacks reads what the gateway sends to us.
type Callbacks interface {
	Name() string
	// ParseCallback verifies the signature over the body's own bytes in constant time, then the age of the message at
	// now, and only then reads it. Errors: ErrSignature, ErrStale, ErrMalformed.
	ParseCallback(header http.Header, body []byte, now time.Time) ([]Message, error)
}

// Bounds of what gateways send.
const (
	MaxBodyBytes = 64 << 10 // an answer, a callback
	MaxPayments  = 100      // of one payin reference
	MaxMessages  = 100      // in one callback
)

// Errors of ParseCallback. Compare with errors.Is.
var (
	ErrSignature = errors.New("the signature does not fit the message")
	ErrStale     = errors.New("the message is too old or from the future")
	ErrMalformed = errors.New("the message is malformed")
)

// Transfer is a payout as it is given to a gateway. It carries personal data in clear: never log it.
type Transfer struct {
	Reference    string // our transaction id: the same for every attempt
	Amount       money.Amount
	AccountNo    string
	IFSC         string
	Name         string // of the beneficiary
	Mobile       string
	BankName     string
	TransferType string // "5" is IMPS
}

// State is what a gateway says of a transfer.
type State string

// The states. All but Pending and NotFound are definite. NotFound is about now, not about ever.
const (
	Paid     State = "paid"
	Failed   State = "failed"
	Returned State = "returned" // was paid, and came back
	Pending  State = "pending"
	NotFound State = "not_found"
)

// Definite reports whether the state settles the transfer.
func (s State) Definite() bool { return s == Paid || s == Failed || s == Returned }

// Answer is what a gateway stated about one transfer.
type Answer struct {
	State           State
	Amount          string // of the transfer, plain decimal; "" when the gateway does not tell
	UTR             string
	BankReference   string
	ReturnReference string    // of Returned
	Reason          string    // of Failed and Returned: of the closed list of wallet.Reasons; everything else counts as "other"
	At              time.Time // the gateway's value date; zero when it gave none
	Raw
}

// whole reports whether an answer is one: of a known state, with evidence, and with the reference of a return.
func (a Answer) whole() bool {
	known := a.State.Definite() || a.State == Pending || a.State == NotFound
	return known && len(a.Body) > 0 && (a.State != Returned || a.ReturnReference != "")
}

// Raw is a message as it came, byte for byte: the evidence.
type Raw struct {
	Body      []byte
	MediaType string // as the gateway named it
}

// Payments is what a gateway stated about one payin reference.
type Payments struct {
	List []Payment
	Raw
}

// Payment is one payment of a customer.
type Payment struct {
	PaymentID string // the gateway's own, unique for ever
	Reference string // the payin's txn_ref
	Amount    string // plain decimal, in the payin's currency
	Currency  string // ISO 4217; "" is the payin's
	UTR       string
	Method    string // by which the customer paid, as the gateway calls it; "" when it does not say
	SubMethod string // the bank, wallet or card network
	Paid      bool   // false: definitely not collected
	Reason    string // as of an Answer, when not paid
	At        time.Time
}

// Dispute is what a gateway says of a claim on a payment, as it stands there.
type Dispute struct {
	Case      string // the gateway's own id of it, unique for ever
	PaymentID string // the gateway's own id of the payment that is claimed back; "" when it does not say
	Phase     string // of wallet.Phases
	Status    string // open, under_review, won, lost, closed, or reversed: a loss is given back
	Amount    string // that is claimed; with "lost" and "reversed", that changes hands; plain decimal, in the payin's currency
	Fee       string // that the gateway charges, or gives back; "" is none
	Reason    string
	RespondBy time.Time
	Inquiry   bool // the customer's bank only asks: nothing is to be held
	At        time.Time
	Hearsay   bool `json:"-"` // nobody has confirmed it: it may hold money, and lets none go
}

// ended tells that the claim is told to be over: then money that it holds goes somewhere.
func (d *Dispute) ended() bool {
	return d.Status != string(wallet.DisputeOpen) && d.Status != string(wallet.DisputeReview)
}

// Message is one verified statement of a callback: about a transfer, a payment or a dispute.
type Message struct {
	ID        string // the gateway's id of the message, for logs
	Reference string // transaction id of a payout, txn_ref of a payin; "" when the gateway names its own order alone
	OrderID   string // the gateway's own order; "" when it has none
	Amount    string // of a transfer: plain decimal, "" when not told
	Transfer  *Answer
	Payment   *Payment
	Dispute   *Dispute
	Refund    *RefundAnswer // Reference is that of the refund, or RefundID names it
	Approved  bool          // the customer has agreed to pay, and the money is to be collected
	Raw
	Answer *Raw `json:"-"` // of the gateway, that was asked whether this is so; nil when it was not
}
