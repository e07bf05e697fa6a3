package razorpay

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

// ParseReturn meets gateway.Checkout. A browser comes back with a signature that says which payment was authorised for this order; with an
// error, or with nothing (the customer has cancelled): neither is signed, and says no more than that the customer is there.
func (c *Client) ParseReturn(
	ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered, form url.Values, _ time.Time,
) (gateway.Message, error) {
	m := gateway.Message{Reference: o.Reference, OrderID: made.OrderID}
	fields := make(map[string]string, 4)
	for _, name := range []string{"razorpay_payment_id", "razorpay_order_id", "razorpay_signature", "error[metadata]"} {
		switch values := form[name]; {
		case len(values) == 1:
			fields[name] = values[0]
		case len(values) > 1:
			return gateway.Message{}, fmt.Errorf("%w: %s is there twice", gateway.ErrMalformed, name)
		}
	}
	paymentID, signature := fields["razorpay_payment_id"], fields["razorpay_signature"]
	if signature == "" && paymentID == "" {
		return m, sameOrder(fields["error[metadata]"], made.OrderID)
	}
	if !signed(signature, a.Credentials[keySecret], []byte(made.OrderID+"|"+paymentID)) {
		return gateway.Message{}, gateway.ErrSignature
	}
	if !isID(paymentID, "pay_") || fields["razorpay_order_id"] != made.OrderID {
		return gateway.Message{}, fmt.Errorf("%w: a return about another order", gateway.ErrMalformed)
	}
	m.ID, m.Approved = paymentID, true
	kept := url.Values{"razorpay_payment_id": {paymentID}, "razorpay_order_id": {made.OrderID}, "razorpay_signature": {signature}}
	m.Raw = gateway.Raw{Body: []byte(kept.Encode()), MediaType: "application/x-www-form-urlencoded"}

	var said payment
	raw, err := c.call(ctx, a, request{method: http.MethodGet, path: "/v1/payments/" + paymentID}, &said)
	if err != nil || said.ID != paymentID || said.OrderID != made.OrderID || !said.collected() {
		return m, nil //nolint:nilerr // it is authorised, that much is signed; Collect asks again and takes it
	}
	if read, ok := said.read(o.Reference); ok {
		m.Approved, m.Payment, m.Raw = false, &read, raw
	}
	return m, nil
}

// sameOrder looks whether the metadata of an error, if there are any, are about this order.
func sameOrder(metadata, orderID string) error {
	if metadata == "" {
		return nil
	}
	var said struct {
		OrderID string `json:"order_id"`
	}
	if err := wire.Read([]byte(metadata), &said); err != nil {
		return fmt.Errorf("%w: error[metadata] is not JSON", gateway.ErrMalformed)
	}
	if said.OrderID != "" && said.OrderID != orderID {
		return fmt.Errorf("%w: a return about another order", gateway.ErrMalformed)
	}
	return nil
}
