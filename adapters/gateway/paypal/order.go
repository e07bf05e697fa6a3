package paypal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
)

type orderRequest struct {
	Intent string        `json:"intent"`
	Units  []unitRequest `json:"purchase_units"`
	Source struct {
		PayPal struct {
			Experience experience `json:"experience_context"`
		} `json:"paypal"`
	} `json:"payment_source"`
}

type unitRequest struct {
	Reference   string `json:"reference_id"`
	Custom      string `json:"custom_id"`
	Invoice     string `json:"invoice_id"`
	Description string `json:"description,omitempty"`
	Amount      amount `json:"amount"`
}

type experience struct {
	Preference string `json:"payment_method_preference"`
	Shipping   string `json:"shipping_preference"`
	Action     string `json:"user_action"`
	ReturnURL  string `json:"return_url"`
	CancelURL  string `json:"cancel_url"`
}

// order is an order at PayPal, as far as it is read.
type order struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Updated string `json:"update_time"`
	Units   []unit `json:"purchase_units"`
	Links   []link `json:"links"`
}

type unit struct {
	Reference string `json:"reference_id"`
	Custom    string `json:"custom_id"`
	Amount    amount `json:"amount"`
	Payments  struct {
		Captures []capture `json:"captures"`
		Refunds  []refund  `json:"refunds"`
	} `json:"payments"`
}

type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

// Statuses of an order.
const (
	statusApproved  = "APPROVED"
	statusCompleted = "COMPLETED"
)

// CreateOrder meets gateway.Checkout. Again or not, the request is the same, and PayPal answers with the order that it made the first time.
func (g *Client) CreateOrder(ctx context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	total, err := amountOf(o.Amount)
	if err != nil {
		return gateway.Ordered{}, err
	}
	r := orderRequest{Intent: "CAPTURE", Units: []unitRequest{{
		Reference: o.Reference, Custom: o.Reference, Invoice: o.Reference, Description: wire.Text(o.Description, 127), Amount: total,
	}}}
	r.Source.PayPal.Experience = experience{
		Preference: "IMMEDIATE_PAYMENT_REQUIRED",                                                     // no cheques, which take days
		Shipping:   "NO_SHIPPING", Action: "PAY_NOW", ReturnURL: o.ReturnURL, CancelURL: o.ReturnURL, // PayPal adds token, and PayerID when it was approved
	}
	body, err := json.Marshal(r)
	if err != nil {
		return gateway.Ordered{}, fmt.Errorf("paypal: encoding order %s: %w", o.Reference, err)
	}
	var said order
	raw, err := g.do(ctx, a, call{method: http.MethodPost, path: "/v2/checkout/orders", body: body, requestID: o.Reference}, &said)
	if refusedFor(err, "DUPLICATE_INVOICE_ID") { // somebody has paid for this reference already
		return gateway.Ordered{}, fmt.Errorf("paypal: order %s was paid before under another id", o.Reference)
	}
	if err == nil && len(said.Units) == 0 && id(said.ID) { // a short answer, though the whole was asked for
		said, raw, err = g.order(ctx, a, o, gateway.Ordered{OrderID: said.ID})
	}
	if err != nil {
		return gateway.Ordered{}, err
	}
	if err := said.about(o); err != nil {
		return gateway.Ordered{}, err
	}
	session, err := said.approval(a)
	if err != nil && said.Status != statusApproved && said.Status != statusCompleted {
		return gateway.Ordered{}, err
	}
	return gateway.Ordered{OrderID: said.ID, Session: session, Raw: raw}, nil
}

// about makes sure that an answer is about this order.
func (said *order) about(o gateway.Order) error {
	switch {
	case !id(said.ID):
		return errors.New("paypal: an order without an id")
	case len(said.Units) != 1 || said.Units[0].Custom != o.Reference:
		return errors.New("paypal: an answer about another order")
	case !said.Units[0].Amount.is(o.Amount):
		return fmt.Errorf("paypal: order %s has another amount there", o.Reference)
	}
	return nil
}

// approval is the address where the customer approves the order.
func (said *order) approval(a gateway.Account) (string, error) {
	for _, rel := range []string{"payer-action", "approve"} {
		for _, l := range said.Links {
			if l.Rel == rel && page(l.Href, a) {
				return l.Href, nil
			}
		}
	}
	return "", fmt.Errorf("paypal: order %s has no address where it is approved", said.ID)
}

// page reports whether an address is one for a customer's browser: https, except of a face of the sandbox bank.
func page(address string, a gateway.Account) bool {
	u, err := url.Parse(address)
	return err == nil && len(address) <= 2048 && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && a.Base != "")
}

// Begin meets gateway.Checkout: the customer goes to the page where he approves the order.
func (g *Client) Begin(_ context.Context, a gateway.Account, _ gateway.Order, made gateway.Ordered, _ merchant.Method) (gateway.Continuation, error) {
	if !page(made.Session, a) {
		return gateway.Continuation{}, fmt.Errorf("paypal: order %s has no address where it is approved", made.OrderID)
	}
	return gateway.Continuation{URL: made.Session}, nil
}
