package razorpay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

// maxReceipt is how long a receipt may be.
const maxReceipt = 40

// note is under which name an order's notes carry our reference.
const note = "kspay_id"

type orderRequest struct {
	Amount   int64             `json:"amount"`
	Currency string            `json:"currency"`
	Receipt  string            `json:"receipt"`
	Notes    map[string]string `json:"notes"`
}

type order struct {
	ID        string `json:"id"`
	Entity    string `json:"entity"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Receipt   string `json:"receipt"`
	Status    string `json:"status"`
	CreatedAt int64  `json:"created_at"`
}

// CreateOrder meets gateway.Checkout.
func (c *Client) CreateOrder(ctx context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	made, err := c.createOrder(ctx, a, o)
	if err != nil {
		return gateway.Ordered{}, fmt.Errorf("razorpay: ordering %s: %w", o.Reference, err)
	}
	return made, nil
}

func (c *Client) createOrder(ctx context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	amount, err := minor(o.Amount)
	if err != nil {
		return gateway.Ordered{}, err
	}
	if o.Reference == "" || len(o.Reference) > maxReceipt {
		return gateway.Ordered{}, fmt.Errorf("a reference of %d bytes (1 to %d)", len(o.Reference), maxReceipt)
	}
	if o.Again {
		if made, found, err := c.findOrder(ctx, a, o, amount); err != nil || found {
			return made, err
		}
	}
	var said order
	raw, err := c.call(ctx, a, request{method: http.MethodPost, path: "/v1/orders", body: orderRequest{
		Amount: amount, Currency: string(o.Amount.Currency()), Receipt: o.Reference, Notes: map[string]string{note: o.Reference},
	}}, &said)
	if declined := (*gateway.Declined)(nil); errors.As(err, &declined) && strings.Contains(declined.Reason, "receipt should be unique") {
		// An order of ours is there, of whose making we were never told.
		made, found, lookup := c.findOrder(ctx, a, o, amount)
		if lookup != nil || found {
			return made, wire.Blur(lookup)
		}
	}
	if err != nil {
		return gateway.Ordered{}, err
	}
	if !said.is(o, amount) {
		return gateway.Ordered{}, errors.New("an answer about another order")
	}
	return gateway.Ordered{OrderID: said.ID, Raw: raw}, nil
}

// is reports whether an order is the one of a payin.
func (said order) is(o gateway.Order, amount int64) bool {
	return said.Entity == "order" && isID(said.ID, "order_") && said.Receipt == o.Reference && said.Amount == amount &&
		said.Currency == string(o.Amount.Currency())
}

// findOrder looks for an order by its receipt: the first that was made, should there be several.
func (c *Client) findOrder(ctx context.Context, a gateway.Account, o gateway.Order, amount int64) (gateway.Ordered, bool, error) {
	var said collection[order]
	raw, err := c.call(ctx, a, request{
		method: http.MethodGet, path: "/v1/orders", query: url.Values{"receipt": {o.Reference}, "count": {"10"}},
	}, &said)
	if err != nil {
		return gateway.Ordered{}, false, fmt.Errorf("looking for it: %w", wire.Doubt(err))
	}
	if said.Entity != "collection" {
		return gateway.Ordered{}, false, errors.New("looking for it: an answer that is no list of orders")
	}
	found := slices.DeleteFunc(said.Items, func(one order) bool { return one.Receipt != o.Reference })
	if len(found) == 0 {
		return gateway.Ordered{}, false, nil
	}
	first := slices.MinFunc(found, func(x, y order) int {
		return cmp.Or(cmp.Compare(x.CreatedAt, y.CreatedAt), cmp.Compare(x.ID, y.ID))
	})
	if !first.is(o, amount) {
		return gateway.Ordered{}, false, errors.New("an order of this receipt is there, of another amount")
	}
	return gateway.Ordered{OrderID: first.ID, Raw: raw}, true, nil
}
