package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// States of a payment:
//
//	created --> authorized --> captured --> refunded
//	   |            ^
//	   +-> failed --+ (a bank may say so late)
const (
	paymentCreated    = "created"
	paymentAuthorized = "authorized"
	paymentCaptured   = "captured"
	paymentRefunded   = "refunded" // all of it
	paymentFailed     = "failed"
)

// Methods of payments.
const (
	methodCard    = "card"
	methodBank    = "netbanking"
	methodWallet  = "wallet"
	methodUPI     = "upi"
	methodLater   = "paylater"
	flowIntent    = "intent"
	vpaOfCustomer = "customer@sandbox" // who pays a UPI link
)

// razorpayPayment is a row of razorpay_payments.
type razorpayPayment struct {
	ID        string
	KeyID     string
	OrderID   string
	Amount    int64
	Currency  string
	Status    string
	Refunded  int64
	Details   razorpayDetails
	CreatedAt time.Time
}

// razorpayDetails is what nothing is looked up by.
type razorpayDetails struct {
	Method      string            `json:"method"`
	Bank        string            `json:"bank,omitempty"`
	Wallet      string            `json:"wallet,omitempty"`
	VPA         string            `json:"vpa,omitempty"`
	Card        *razorpayCard     `json:"card,omitempty"`
	Email       string            `json:"email,omitempty"`
	Contact     string            `json:"contact,omitempty"`
	Description string            `json:"description,omitempty"`
	Notes       map[string]string `json:"notes,omitempty"`
	Fee         *int64            `json:"fee,omitempty"` // since it was captured
	Tax         *int64            `json:"tax,omitempty"`
	Number      string            `json:"number,omitempty"` // the bank's: RRN, authorisation code
	Failure     *razorpayFailure  `json:"failure,omitempty"`
}

type razorpayCard struct {
	ID            string  `json:"id"`
	Entity        string  `json:"entity"`
	Name          string  `json:"name"`
	Last4         string  `json:"last4"`
	Network       string  `json:"network"`
	Type          string  `json:"type"`
	Issuer        *string `json:"issuer"`
	International bool    `json:"international"`
	EMI           bool    `json:"emi"`
}

// razorpayFailure says why a payment failed.
type razorpayFailure struct {
	Code        string `json:"code"`
	Description string `json:"description"`
	Source      string `json:"source"`
	Step        string `json:"step"`
	Reason      string `json:"reason"`
}

type razorpayPaymentEntity struct {
	ID               string            `json:"id"`
	Entity           string            `json:"entity"`
	Amount           int64             `json:"amount"`
	Currency         string            `json:"currency"`
	Status           string            `json:"status"`
	OrderID          string            `json:"order_id"`
	InvoiceID        *string           `json:"invoice_id"`
	International    bool              `json:"international"`
	Method           string            `json:"method"`
	AmountRefunded   int64             `json:"amount_refunded"`
	RefundStatus     *string           `json:"refund_status"`
	Captured         bool              `json:"captured"`
	Description      *string           `json:"description"`
	CardID           *string           `json:"card_id"`
	Card             *razorpayCard     `json:"card,omitempty"`
	Bank             *string           `json:"bank"`
	Wallet           *string           `json:"wallet"`
	VPA              *string           `json:"vpa"`
	Email            *string           `json:"email"`
	Contact          *string           `json:"contact"`
	Notes            any               `json:"notes"`
	Fee              *int64            `json:"fee"`
	Tax              *int64            `json:"tax"`
	ErrorCode        *string           `json:"error_code"`
	ErrorDescription *string           `json:"error_description"`
	ErrorSource      *string           `json:"error_source"`
	ErrorStep        *string           `json:"error_step"`
	ErrorReason      *string           `json:"error_reason"`
	AcquirerData     map[string]string `json:"acquirer_data"`
	CreatedAt        int64             `json:"created_at"`
}

func (p *razorpayPayment) entity() razorpayPaymentEntity {
	d := p.Details
	e := razorpayPaymentEntity{
		ID: p.ID, Entity: "payment", Amount: p.Amount, Currency: p.Currency, Status: p.Status, OrderID: p.OrderID, Method: d.Method,
		AmountRefunded: p.Refunded, Captured: p.captured(), Description: sent(d.Description), Card: d.Card, Bank: sent(d.Bank), Wallet: sent(d.Wallet),
		VPA: sent(d.VPA), Email: sent(d.Email), Contact: sent(d.Contact), Notes: notesOf(d.Notes), Fee: d.Fee, Tax: d.Tax,
		AcquirerData: map[string]string{}, CreatedAt: p.CreatedAt.Unix(),
	}
	switch {
	case p.Refunded == 0:
	case p.Refunded < p.Amount:
		e.RefundStatus = sent("partial")
	default:
		e.RefundStatus = sent("full")
	}
	if d.Card != nil {
		e.CardID = &d.Card.ID
	}
	if f := d.Failure; f != nil {
		e.ErrorCode, e.ErrorDescription, e.ErrorSource, e.ErrorStep, e.ErrorReason = &f.Code, &f.Description, &f.Source, &f.Step, &f.Reason
	}
	if d.Number != "" {
		e.AcquirerData[map[string]string{methodUPI: "rrn", methodCard: "auth_code", methodWallet: "transaction_id", methodLater: "transaction_id", methodBank: "bank_transaction_id"}[d.Method]] = d.Number
	}
	return e
}

func (p *razorpayPayment) captured() bool {
	return p.Status == paymentCaptured || p.Status == paymentRefunded
}

const razorpayPaymentColumns = `id, key_id, order_id, amount, currency, status, refunded, details, created_at`

func scanRazorpayPayment(scan func(...any) error) (*razorpayPayment, error) {
	p := &razorpayPayment{}
	var details string
	var created int64
	if err := scan(&p.ID, &p.KeyID, &p.OrderID, &p.Amount, &p.Currency, &p.Status, &p.Refunded, &details, &created); err != nil {
		return nil, err
	}
	p.CreatedAt = time.UnixMicro(created).UTC()
	return p, json.Unmarshal([]byte(details), &p.Details)
}

// razorpayPaymentOf finds a payment of an account; *razorpayError when it has none of this id.
func razorpayPaymentOf(ctx context.Context, q querier, keyID, id string) (*razorpayPayment, error) {
	if rest, ok := strings.CutPrefix(id, "pay_"); !ok || !isAlphanumeric(rest, razorpayIDLength, razorpayIDLength) {
		return nil, badRequest("", fmt.Sprintf("%.50s is not a valid id", id))
	}
	p, err := optional(q.QueryRowContext(ctx, `SELECT `+razorpayPaymentColumns+` FROM razorpay_payments WHERE id = $1 AND key_id = $2`, id, keyID), scanRazorpayPayment)
	if err == nil && p == nil {
		err = unknownID()
	}
	return p, err
}

// razorpayBook changes an order and its payments, in one transaction, with the webhooks that tell of it.
type razorpayBook struct {
	tx      *sql.Tx
	account *razorpayAccount
	order   *razorpayOrder
	now     time.Time
}

// begin makes the order's next payment.
func (k *razorpayBook) begin(ctx context.Context, amount int64, d razorpayDetails) (*razorpayPayment, error) {
	p := &razorpayPayment{
		ID: faceID("pay_", razorpayIDLength), KeyID: k.order.KeyID, OrderID: k.order.ID, Amount: amount, Currency: k.order.Currency, Status: paymentCreated,
		Details: d, CreatedAt: k.now,
	}
	details, err := encode(d)
	if err != nil {
		return nil, err
	}
	_, err = k.tx.ExecContext(ctx, `INSERT INTO razorpay_payments (`+razorpayPaymentColumns+`) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)`,
		p.ID, p.KeyID, p.OrderID, p.Amount, p.Currency, p.Status, details, k.now.UnixMicro())
	if err != nil {
		return nil, err
	}
	k.order.Attempts++
	if k.order.Status == orderCreated {
		k.order.Status = orderAttempted
	}
	return p, k.storeOrder(ctx)
}

func (k *razorpayBook) storeOrder(ctx context.Context) error {
	_, err := k.tx.ExecContext(ctx, `UPDATE razorpay_orders SET paid = $2, status = $3, attempts = $4 WHERE id = $1`,
		k.order.ID, k.order.Paid, k.order.Status, k.order.Attempts)
	return err
}

func (k *razorpayBook) store(ctx context.Context, p *razorpayPayment) error {
	details, err := encode(p.Details)
	if err != nil {
		return err
	}
	_, err = k.tx.ExecContext(ctx, `UPDATE razorpay_payments SET amount = $2, status = $3, refunded = $4, details = $5 WHERE id = $1`,
		p.ID, p.Amount, p.Status, p.Refunded, details)
	return err
}

func (k *razorpayBook) tell(ctx context.Context, event string, about ...contained) error {
	return tellRazorpay(ctx, k.tx, k.account, k.order.ID, event, k.now, about...)
}

// authorize records that the customer has paid, and captures it where that goes by itself. What is paid for an order that is paid
// already stays authorized.
func (k *razorpayBook) authorize(ctx context.Context, p *razorpayPayment) error {
	n, err := number(ctx, k.tx)
	if err != nil {
		return err
	}
	p.Status, p.Details.Number, p.Details.Failure = paymentAuthorized, utr(n, k.now), nil
	if err := k.store(ctx, p); err != nil {
		return err
	}
	if err := k.tell(ctx, "payment.authorized", contained{"payment", p.entity()}); err != nil {
		return err
	}
	if k.order.Status == orderPaid || !k.order.captures(k.account) {
		return nil
	}
	return k.capture(ctx, p)
}

// razorpayFee is what the company takes of a payment: two per cent, and the tax on that; each rounded half up.
func razorpayFee(amount int64) (fee, tax int64) {
	fee = (amount*2 + 50) / 100
	tax = (fee*18 + 50) / 100
	return fee + tax, tax
}

// capture takes an authorized payment.
func (k *razorpayBook) capture(ctx context.Context, p *razorpayPayment) error {
	fee, tax := razorpayFee(p.Amount)
	p.Status, p.Details.Fee, p.Details.Tax = paymentCaptured, &fee, &tax
	if err := k.store(ctx, p); err != nil {
		return err
	}
	k.order.Paid += p.Amount
	if k.order.Paid >= k.order.Amount {
		k.order.Status = orderPaid
	}
	if err := k.storeOrder(ctx); err != nil {
		return err
	}
	if err := k.tell(ctx, "payment.captured", contained{"payment", p.entity()}); err != nil || k.order.Status != orderPaid {
		return err
	}
	return k.tell(ctx, "order.paid", contained{"payment", p.entity()}, contained{"order", k.order.entity()})
}

// fail records that the customer has not paid.
func (k *razorpayBook) fail(ctx context.Context, p *razorpayPayment, why razorpayFailure) error {
	p.Status, p.Details.Failure = paymentFailed, &why
	if err := k.store(ctx, p); err != nil {
		return err
	}
	return k.tell(ctx, "payment.failed", contained{"payment", p.entity()})
}

func (b *Bank) razorpayListPayments(ctx context.Context, a *razorpayAccount, _ *http.Request, in fields) (any, error) {
	count, skip, from, to, err := razorpayPaging(in)
	if err != nil {
		return nil, err
	}
	list, err := listOf(ctx, b.readers, scanRazorpayPayment, `SELECT `+razorpayPaymentColumns+` FROM razorpay_payments
		WHERE key_id = $1 AND created_at BETWEEN $2 AND $3 ORDER BY seq DESC LIMIT $4 OFFSET $5`, a.KeyID, from, to, count, skip)
	return collectionOf(list, (*razorpayPayment).entity), err
}

func (b *Bank) razorpayFetchPayment(ctx context.Context, a *razorpayAccount, r *http.Request, _ fields) (any, error) {
	p, err := razorpayPaymentOf(ctx, b.readers, a.KeyID, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return p.entity(), nil
}

func (b *Bank) razorpayCapturePayment(ctx context.Context, a *razorpayAccount, r *http.Request, in fields) (any, error) {
	amount, err := razorpayAmount(in, "amount")
	if err != nil {
		return nil, err
	}
	var p *razorpayPayment
	err = b.transaction(ctx, func(tx *sql.Tx) (err error) {
		if p, err = razorpayPaymentOf(ctx, tx, a.KeyID, r.PathValue("id")); err != nil {
			return err
		}
		o, err := razorpayOrderOf(ctx, tx, a.KeyID, p.OrderID)
		if err != nil {
			return err
		}
		switch {
		case p.captured():
			return refusal("This payment has already been captured")
		case p.Status != paymentAuthorized:
			return refusal("Only payments which have been authorized and not yet captured can be captured")
		case in["currency"] != "" && in["currency"] != p.Currency:
			return badRequest("currency", "Currency of the capture must be that of the payment")
		case amount != p.Amount:
			return badRequest("amount", "Capture amount must be equal to the amount authorized")
		case o.Status == orderPaid:
			return refusal("Order already paid. This payment can not be captured.")
		}
		return (&razorpayBook{tx: tx, account: a, order: o, now: b.now()}).capture(ctx, p)
	})
	if err != nil {
		return nil, err
	}
	b.signal()
	return p.entity(), nil
}
