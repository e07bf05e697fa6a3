package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// Checkout is an adapter to a payment company that collects payments for orders: the customer pays on a page of the company, and
// the company tells us by a webhook. Each app has an account of its own there, which every call is given.
//
// An answer is only what the company stated about this very order, payment or refund, parsed whole. Errors are of three kinds, and
// every adapter keeps them apart:
//
//	*Declined          the company has refused, in its own format: nothing was made, and nothing will be
//	ErrCredentials     it does not know this account (401, 403 in its own format); nothing was made
//	everything else    unknown: a timeout, a dropped connection, 429, a 5xx, a redirect, garbage, more than MaxBodyBytes
//
// Calls honour ctx, bound what they read, follow no redirects, and are safe for concurrent use. No error, and no log line, holds a secret or
// what a customer typed.
type Checkout interface {
	// Spec says what the company is, and what an account there needs.
	Spec() Spec
	// Check asks whether the account's credentials are good; it makes nothing.
	Check(ctx context.Context, a Account) error
	// CreateOrder makes the order of a payin. An order of the same reference that was made before, by a call whose outcome
	// is not known, is found and given back, where the company can be asked by reference (o.Again is set then).
	CreateOrder(ctx context.Context, a Account, o Order) (Ordered, error)
	// Begin says how the customer's browser goes on to pay an order by a method; "" lets the customer choose there.
	Begin(ctx context.Context, a Account, o Order, made Ordered, m merchant.Method) (Continuation, error)
	// Collect takes what the customer has authorised (captures it, where the company does not by itself), and returns the
	// order's payments, definite ones only, oldest first, at most MaxPayments.
	Collect(ctx context.Context, a Account, o Order, made Ordered) (Payments, error)
	// ParseWebhook verifies a message of the company to us, over its own bytes and in constant time, then its age at now as
	// far as it tells one, and only then reads it. A message about nothing that we keep is an empty list. Errors: ErrSignature, ErrStale,
	// ErrMalformed; anything else: it could not be verified now (a company that has to be asked).
	ParseWebhook(ctx context.Context, a Account, header http.Header, body []byte, now time.Time) ([]Message, error)
	// ParseReturn verifies what the customer's browser brings back from the company's page, query and form together. What it says counts
	// as much as a webhook when Message.Payment is set (see Spec.Hearsay); otherwise the customer has come back, and Collect tells the rest. Errors as in
	// ParseWebhook.
	ParseReturn(ctx context.Context, a Account, o Order, made Ordered, form url.Values, now time.Time) (Message, error)
	Refunds
}

// Refunds gives collected money back to customers.
type Refunds interface {
	// Refund asks for a refund of a payment. The company keeps one per reference: asking again never gives back twice, and
	// answers with the state of the first.
	Refund(ctx context.Context, a Account, r Refund) (RefundAnswer, error)
	// InquireRefund asks what has become of a refund. RefundUnknown only when the company itself says that it does not know it.
	InquireRefund(ctx context.Context, a Account, r Refund) (RefundAnswer, error)
}

// DisputeTeller is a Checkout that can be asked how a dispute stands. One whose messages prove nothing (Spec.Hearsay) and that cannot be asked has money held by
// what they say of disputes, and never let go.
type DisputeTeller interface {
	// InquireDispute asks how a dispute stands, by the company's own id of it. The message says it as a webhook does, and names the payment, the order or our
	// reference; its Raw is the answer. Errors are those of a Checkout: *Declined and ErrCredentials say that the company knows no such dispute, or does not
	// tell this account.
	InquireDispute(ctx context.Context, a Account, id string) (Message, error)
}

// ErrCredentials is an error of a Checkout. Compare with errors.Is.
var ErrCredentials = errors.New("the gateway does not accept these credentials")

// Declined is a definite refusal. Compare with errors.As.
type Declined struct {
	Code   string // the company's own, for people
	Reason string // what it says, bounded; no personal data
}

func (d *Declined) Error() string { return "the gateway declines: " + d.Code + ": " + d.Reason }

// Spec is what a payment company is.
type Spec struct {
	Name       string            // stable: "razorpay"; in events, accounts of the books and URLs
	Title      string            // "Razorpay", for people
	Keys       []string          // of an account's credentials, all required, such as "key_id", "key_secret"
	Public     string            // which of them a customer's browser may see: the transaction's clientId
	Webhook    string            // name of the secret that webhooks are verified with; "" when it is one of Keys
	Currencies []money.Currency  // nil: all
	Methods    []merchant.Method // that it can show
	OnePayment bool              // it takes, or tells of, one payment of an order: nobody asks for a second one

	// Hearsay: its messages are signed with a secret that the app knows, or in a way that the app can forge. Those that say what became of a payment, a
	// refund or a dispute are a reason to ask, and no proof: what Collect, InquireRefund and InquireDispute answer is booked. False only where the adapter asks
	// while it verifies.
	Hearsay bool
}

// Account is an app's account at a payment company. It holds secrets: never log it.
type Account struct {
	Config        string            // gc_...
	Live          bool              // else the company's test environment
	Base          string            // of its API and pages; "" is the company's own: the sandbox's face otherwise
	Credentials   map[string]string // by Spec.Keys
	WebhookSecret string
}

// Order is what a customer is to pay.
type Order struct {
	Reference   string // transaction id, tx_...: unique for ever, kept by the company beside its order
	Amount      money.Amount
	Method      merchant.Method // "": any
	Merchant    string          // the app's name, as customers know it; "" shows the description
	Description string
	Name        string // of the customer, as far as known
	Email       string
	Phone       string
	ReturnURL   string // where the browser comes back to, by GET or POST
	WebhookURL  string // of this account
	CreatedAt   time.Time
	ExpiresAt   time.Time
	Again       bool // an earlier call's outcome is not known
}

// Ordered is an order at the company.
type Ordered struct {
	OrderID string // the company's own; the reference where it has none
	Session string // what Begin needs beside it, such as a payment session or the address of an approval; "" for none
	Raw
}

// Continuation is how a browser goes on. It holds no secret, but may hold the customer's name and phone.
type Continuation struct {
	Post   bool // a form, else a link
	URL    string
	Fields []Field // of the form, in order
	UPI    string  // upi://pay?..., when the customer pays with a UPI app: no URL then
}

// Field is a field of a form.
type Field struct{ Name, Value string }

// Refund is money to be given back to the customer.
type Refund struct {
	Reference string // rfd_...: unique for ever
	PaymentID string // of the company, that is refunded
	OrderID   string
	Payin     string // transaction id
	Amount    money.Amount
	Total     money.Amount // of the payment
	Reason    string
	RefundID  string // the company's own, once it is known
}

// RefundState is what a company says of a refund.
type RefundState string

// The states. Done and Failed are definite; RefundUnknown is about now.
const (
	RefundDone    RefundState = "done"
	RefundPending RefundState = "pending"
	RefundFailed  RefundState = "failed"
	RefundUnknown RefundState = "unknown"
)

// RefundAnswer is what a company stated about one refund.
type RefundAnswer struct {
	State    RefundState
	RefundID string // the company's own
	UTR      string
	Reason   string // of RefundFailed
	At       time.Time
	Raw
}

// Accounts finds an app's account at a gateway.
type Accounts interface {
	// Account opens the account of a gateway configuration, with its secrets. domain.NotFound when the app has no such configuration, or
	// its gateway is not built in.
	Account(ctx context.Context, merchantID, config string) (Checkout, Account, error)
}
