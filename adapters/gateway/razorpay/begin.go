package razorpay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// maxLink bounds a upi:// link.
const maxLink = 2 << 10

// Whom Razorpay writes to about a UPI payment, when nobody has said who the customer is: its API asks for both. The address is the one that Razorpay's
// own clients use for nobody.
const (
	nobodysEmail = "void@razorpay.com"
	nobodysPhone = "9999999999"
)

// Begin meets gateway.Checkout: a UPI link where the account may make such payments (Razorpay enables that on request); Razorpay's hosted checkout
// otherwise.
func (c *Client) Begin(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered, m merchant.Method) (gateway.Continuation, error) {
	if m == merchant.UPI && o.Amount.Currency() == money.INR {
		link, err := c.intent(ctx, a, o, made)
		switch {
		case err == nil:
			return gateway.Continuation{UPI: link}, nil
		case errors.Is(err, gateway.ErrCredentials), ctx.Err() != nil:
			return gateway.Continuation{}, fmt.Errorf("razorpay: a UPI link for %s: %w", o.Reference, err)
		}
		// Refused, or no answer: the hosted checkout does it. Should a payment have been begun, nobody can pay it without its link, and an
		// order is paid once.
	}
	next, err := hosted(a, o, made, m)
	if err != nil {
		return gateway.Continuation{}, fmt.Errorf("razorpay: the checkout of %s: %w", o.Reference, err)
	}
	return next, nil
}

// intent begins a UPI payment that the customer's app finishes (documentation, S2S UPI Intent Flow).
func (c *Client) intent(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered) (string, error) {
	amount, err := minor(o.Amount)
	if err != nil {
		return "", err
	}
	type flow struct {
		Flow string `json:"flow"`
	}
	var said struct {
		PaymentID string `json:"razorpay_payment_id"`
		Link      string `json:"link"`
	}
	_, err = c.call(ctx, a, request{method: http.MethodPost, path: "/v1/payments/create/upi", body: struct {
		Amount      int64             `json:"amount"`
		Currency    string            `json:"currency"`
		OrderID     string            `json:"order_id"`
		Email       string            `json:"email"`
		Contact     string            `json:"contact"`
		Method      string            `json:"method"`
		Description string            `json:"description,omitempty"`
		Notes       map[string]string `json:"notes"`
		UPI         flow              `json:"upi"`
	}{
		amount, string(o.Amount.Currency()), made.OrderID, cmp.Or(o.Email, nobodysEmail), cmp.Or(o.Phone, nobodysPhone), "upi", wire.Text(o.Description, 255),
		map[string]string{note: o.Reference}, flow{"intent"},
	}}, &said)
	if err != nil {
		return "", err
	}
	if !isID(said.PaymentID, "pay_") || !strings.HasPrefix(said.Link, "upi://pay?") || len(said.Link) > maxLink || wire.Text(said.Link, maxLink) != said.Link {
		return "", errors.New("an answer without a UPI link")
	}
	return said.Link, nil
}

// hosted is the form of Razorpay's own checkout page (documentation, Hosted Integration).
func hosted(a gateway.Account, o gateway.Order, made gateway.Ordered, m merchant.Method) (gateway.Continuation, error) {
	amount, err := minor(o.Amount)
	if err != nil {
		return gateway.Continuation{}, err
	}
	address, err := wire.Base(a, base, base)
	if err != nil {
		return gateway.Continuation{}, err
	}
	out := gateway.Continuation{Post: true, URL: address + "/v1/checkout/embedded"}
	for _, f := range []gateway.Field{
		{Name: "key_id", Value: a.Credentials[keyID]},
		{Name: "order_id", Value: made.OrderID},
		{Name: "amount", Value: strconv.FormatInt(amount, 10)},
		{Name: "currency", Value: string(o.Amount.Currency())},
		{Name: "name", Value: cmp.Or(wire.Text(o.Merchant, 255), wire.Text(o.Description, 255), "Payment")},
		{Name: "description", Value: wire.Text(o.Description, 255)},
		{Name: "method", Value: method(m)},
		{Name: "prefill[name]", Value: wire.Text(o.Name, 100)},
		{Name: "prefill[email]", Value: wire.Text(o.Email, 254)},
		{Name: "prefill[contact]", Value: wire.Text(o.Phone, 20)},
		{Name: "notes[" + note + "]", Value: o.Reference},
		{Name: "callback_url", Value: o.ReturnURL},
		{Name: "cancel_url", Value: o.ReturnURL},
	} {
		if f.Value != "" {
			out.Fields = append(out.Fields, f)
		}
	}
	return out, nil
}

// method is what Razorpay's checkout calls a method; "" for one that it cannot be limited to.
func method(m merchant.Method) string {
	switch m {
	case merchant.UPI:
		return "upi"
	case merchant.NetBanking:
		return "netbanking"
	case merchant.DebitCard, merchant.CreditCard:
		return "card"
	case merchant.EWallet:
		return "wallet"
	case merchant.PayLater:
		return "paylater"
	case merchant.PayPal:
	}
	return ""
}

// Config is what Razorpay's checkout script takes as "config" to show one method alone (documentation, Configure Payment Methods): a JSON
// object. For no method, and for one that it has no block for, it shows its own.
func Config(m merchant.Method) json.RawMessage {
	type instrument struct {
		Method string   `json:"method"`
		Types  []string `json:"types,omitempty"`
	}
	type block struct {
		Name        string       `json:"name"`
		Instruments []instrument `json:"instruments"`
	}
	type preferences struct {
		ShowDefaultBlocks bool `json:"show_default_blocks"`
	}
	type display struct {
		Blocks      map[string]block `json:"blocks,omitempty"`
		Sequence    []string         `json:"sequence,omitempty"`
		Preferences preferences      `json:"preferences"`
	}
	var d display
	switch name := method(m); name {
	case "":
		d.Preferences.ShowDefaultBlocks = true
	default:
		one := instrument{Method: name}
		title, id := map[string]string{"upi": "UPI", "netbanking": "Netbanking", "wallet": "Wallet", "paylater": "Pay Later"}[name], name
		switch m {
		case merchant.DebitCard:
			one.Types, title, id = []string{"debit"}, "Debit Card", "debitcard"
		case merchant.CreditCard:
			one.Types, title, id = []string{"credit"}, "Credit Card", "creditcard"
		default: // the script knows it by its own name
		}
		d.Blocks = map[string]block{id: {Name: "Pay using " + title, Instruments: []instrument{one}}}
		d.Sequence = []string{"block." + id}
	}
	out, err := json.Marshal(struct {
		Display display `json:"display"`
	}{d})
	if err != nil {
		panic("razorpay: strings and booleans are not JSON: " + err.Error())
	}
	return out
}
