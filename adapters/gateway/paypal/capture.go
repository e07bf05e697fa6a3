package paypal

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

// capture is money taken from a customer, or tried to.
type capture struct {
	ID      string  `json:"id"`
	Status  string  `json:"status"`
	Details details `json:"status_details"`
	Amount  amount  `json:"amount"`
	Invoice string  `json:"invoice_id"`
	Custom  string  `json:"custom_id"`
	Created string  `json:"create_time"`
	Updated string  `json:"update_time"`
	Related struct {
		IDs struct {
			Order string `json:"order_id"`
		} `json:"related_ids"`
	} `json:"supplementary_data"` // in webhooks
}

type details struct {
	Reason string `json:"reason"`
}

// Collect meets gateway.Checkout: it captures an order that the customer has approved.
func (g *Client) Collect(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered) (gateway.Payments, error) {
	said, raw, err := g.order(ctx, a, o, made)
	if err != nil {
		return gateway.Payments{}, err
	}
	if said.Status == statusApproved {
		if said, raw, err = g.capture(ctx, a, o, made, said, raw); err != nil {
			return gateway.Payments{}, err
		}
	}
	return said.payments(o, raw)
}

// order reads an order, and makes sure that it is this one.
func (g *Client) order(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered) (said order, raw gateway.Raw, err error) {
	if !id(made.OrderID) {
		return said, raw, fmt.Errorf("paypal: %s was never ordered", o.Reference)
	}
	raw, err = g.do(ctx, a, call{method: http.MethodGet, path: "/v2/checkout/orders/" + made.OrderID}, &said)
	if err != nil {
		return said, raw, unsettled(err)
	}
	if said.ID != made.OrderID {
		return said, raw, errors.New("paypal: an answer about another order")
	}
	return said, raw, said.about(o)
}

// capture takes the money of an approved order. What PayPal refuses here, such as INSTRUMENT_DECLINED, is a *gateway.Declined: nothing was taken, until the
// customer approves the order anew.
func (g *Client) capture(ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered, approved order, before gateway.Raw) (said order, raw gateway.Raw, err error) {
	state := sha256.Sum256([]byte(made.OrderID + "\n" + approved.Updated))
	raw, err = g.do(ctx, a, call{
		method: http.MethodPost, path: "/v2/checkout/orders/" + made.OrderID + "/capture", body: []byte("{}"),
		requestID: o.Reference + "-capture-" + hex.EncodeToString(state[:8]),
	}, &said)
	switch {
	case refusedFor(err, "ORDER_ALREADY_CAPTURED"): // by a call whose answer was lost
		return g.order(ctx, a, o, made)
	case refusedFor(err, "ORDER_COMPLETION_IN_PROGRESS"):
		return said, raw, fmt.Errorf("paypal: order %s is being captured", made.OrderID)
	case refusedFor(err, "ORDER_NOT_APPROVED", "PAYER_ACTION_REQUIRED"): // the customer has to approve it anew
		return approved, before, nil
	case err != nil:
		return said, raw, err
	case said.ID != made.OrderID:
		return said, raw, errors.New("paypal: an answer about another order")
	case len(said.Units) == 0: // a short answer
		return g.order(ctx, a, o, made)
	}
	return said, raw, nil
}

// payments lists the captures that have an outcome.
func (said *order) payments(o gateway.Order, raw gateway.Raw) (gateway.Payments, error) {
	out := gateway.Payments{Raw: raw}
	for _, u := range said.Units {
		for _, c := range u.Payments.Captures {
			p, definite, err := c.read(o.Reference)
			if err != nil {
				return gateway.Payments{}, fmt.Errorf("paypal: order %s has a capture that cannot be read: %w", said.ID, err)
			}
			if definite {
				out.List = append(out.List, p)
			}
		}
	}
	if len(out.List) > gateway.MaxPayments {
		return gateway.Payments{}, fmt.Errorf("paypal: order %s has %d captures", said.ID, len(out.List))
	}
	slices.SortStableFunc(out.List, func(x, y gateway.Payment) int { return x.At.Compare(y.At) })
	return out, nil
}

// read reads a capture, and tells whether it has an outcome. What was refunded was collected before.
func (c *capture) read(reference string) (out gateway.Payment, definite bool, err error) {
	total, err := c.Amount.read()
	switch {
	case !id(c.ID):
		return out, false, errors.New("no id")
	case err != nil || total.Sign() < 0:
		return out, false, errors.New("no amount")
	}
	out = gateway.Payment{
		PaymentID: c.ID, Reference: reference, Amount: total.Fixed(), Currency: c.Amount.Currency, Method: Name,
		At: at(cmp.Or(c.Created, c.Updated)),
	}
	switch c.Status {
	case "COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED":
		out.Paid = true
		return out, true, nil
	case "DECLINED", "FAILED":
		out.Reason = wallet.FailureRejectedByBank
		return out, true, nil
	}
	return out, false, nil // PENDING, and whatever comes new
}
