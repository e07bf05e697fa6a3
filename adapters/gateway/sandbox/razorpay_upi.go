package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// payeeAddress is whom the UPI links of the face pay.
const payeeAddress = "razorpay@sandbox"

// razorpayCreateUPI makes a payment that the customer is to make with a UPI app, and answers with the link for it.
func (b *Bank) razorpayCreateUPI(ctx context.Context, a *razorpayAccount, _ *http.Request, in fields) (any, error) {
	amount, err := razorpayAmount(in, "amount")
	if err != nil {
		return nil, err
	}
	notes, err := razorpayNotes(in)
	if err != nil {
		return nil, err
	}
	flow := in["upi[flow]"]
	if flow == "" {
		flow = in["flow"]
	}
	switch {
	case in["currency"] != string(money.INR):
		return nil, badRequest("currency", "UPI payments are made in INR.")
	case in["order_id"] == "":
		return nil, badRequest("order_id", "The order_id field is required.")
	case in["method"] != "" && in["method"] != methodUPI:
		return nil, badRequest("method", "The selected method is invalid.")
	case flow != flowIntent:
		return nil, badRequest("upi.flow", "The sandbox knows the flow intent only.")
	case in["email"] == "" || in["contact"] == "":
		field := "email"
		if in["email"] != "" {
			field = "contact"
		}
		return nil, badRequest(field, "The "+field+" field is required.")
	}
	var p *razorpayPayment
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		o, err := razorpayOrderOf(ctx, tx, a.KeyID, in["order_id"])
		if err != nil {
			return err
		}
		if err := payable(o, amount); err != nil {
			return err
		}
		p, err = (&razorpayBook{tx: tx, account: a, order: o, now: b.now()}).begin(ctx, amount, razorpayDetails{
			Method: methodUPI, Email: in["email"], Contact: in["contact"], Description: in["description"], Notes: notes,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	link := url.Values{
		"pa": {payeeAddress}, "pn": {"Sandbox"}, "tr": {p.ID}, "am": {money.FromMinor(amount, money.INR).Fixed()}, "cu": {string(money.INR)},
		"tn": {"Payment of " + p.OrderID}, "mc": {"5411"},
	}
	// UPI apps do not read "+" as a space.
	return map[string]string{"razorpay_payment_id": p.ID, "link": "upi://pay?" + strings.ReplaceAll(link.Encode(), "+", "%20")}, nil
}

// payable tells whether an order can be paid by a payment of an amount.
func payable(o *razorpayOrder, amount int64) error {
	least := o.due()
	if o.Partial {
		least = 1
		if o.Paid == 0 {
			least = max(o.Least, 1)
		}
	}
	switch {
	case o.Status == orderPaid:
		return refusal("Payment already done for this order.")
	case amount < least || amount > o.due():
		return badRequest("amount", "Your payment amount is different from your order amount. To pay successfully, please try using right amount.")
	}
	return nil
}

// payRazorpay pays the UPI link of a payment of the face, as the customer's app does; false when the reference is of no payment of it.
// Another amount than the link's is taken as it comes. A payment that has failed may succeed later, as with the company.
func (b *Bank) payRazorpay(ctx context.Context, reference string, amount money.Amount, outcome string) (out paymentAnswer, found bool, err error) {
	if !strings.HasPrefix(reference, "pay_") {
		return out, false, nil
	}
	now := b.now()
	out = paymentAnswer{Reference: reference, Amount: amount.Fixed(), Status: outcome, At: now}
	var orderID string
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		p, err := optional(tx.QueryRowContext(ctx, `SELECT `+razorpayPaymentColumns+` FROM razorpay_payments WHERE id = $1`, reference), scanRazorpayPayment)
		if err != nil || p == nil {
			return err
		}
		found, orderID, out.PaymentID = true, p.OrderID, p.ID
		if p.Status != paymentCreated && (p.Status != paymentFailed || outcome == outcomeFailure) || p.Details.Method != methodUPI {
			return &fieldError{"intent_url", fmt.Sprintf("names a payment that is %s", p.Status)}
		}
		a, err := b.razorpayAccountOf(ctx, tx, p.KeyID)
		if err != nil {
			return err
		}
		o, err := razorpayOrderOf(ctx, tx, p.KeyID, p.OrderID)
		if err != nil {
			return err
		}
		book := &razorpayBook{tx: tx, account: a, order: o, now: now}
		p.Details.VPA = vpaOfCustomer
		if outcome == outcomeFailure {
			out.Reason = wallet.FailureDeclined
			return book.fail(ctx, p, razorpayDeclined(methodUPI))
		}
		minor, fits := amount.Minor()
		if !fits {
			return errors.New("the amount is too large")
		}
		p.Amount = minor
		if err := book.authorize(ctx, p); err != nil {
			return err
		}
		out.UTR = p.Details.Number
		return nil
	})
	if err != nil || !found {
		return out, found, err
	}
	b.signal()
	b.told(ctx, orderID)
	return out, true, nil
}

// razorpayDeclined is why a payment failed that the customer, or the bank, did not want.
func razorpayDeclined(method string) razorpayFailure {
	f := razorpayFailure{
		Code: "BAD_REQUEST_ERROR", Description: "Your payment has been cancelled. Try again or complete the payment later.", Source: "customer",
		Step: "payment_authentication", Reason: "payment_cancelled",
	}
	switch method {
	case methodUPI:
		f.Description, f.Reason, f.Step = "Payment was unsuccessful as the transaction was declined by the customer's bank.", "payment_declined", "payment_authorization"
		f.Source, f.Code = "bank", "GATEWAY_ERROR"
	case methodCard:
		f.Description, f.Reason = "Your payment didn't go through as the bank declined it. Try another payment method.", "payment_failed"
		f.Source, f.Step = "issuer_bank", "payment_authorization"
	}
	return f
}
