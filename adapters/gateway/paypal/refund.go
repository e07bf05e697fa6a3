package paypal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/wallet"
)

type refundRequest struct {
	Amount amount `json:"amount"`
	Custom string `json:"custom_id"`
	Note   string `json:"note_to_payer,omitempty"`
}

type refund struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Amount  amount `json:"amount"`
	Custom  string `json:"custom_id"`
	ARN     string `json:"acquirer_reference_number"`
	Created string `json:"create_time"`
	Updated string `json:"update_time"`
}

// Refund meets gateway.Refunds.
func (g *Client) Refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	total, err := amountOf(r.Amount)
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if !id(r.PaymentID) {
		return gateway.RefundAnswer{}, fmt.Errorf("paypal: refund %s is of no capture", r.Reference)
	}
	body, err := json.Marshal(refundRequest{Amount: total, Custom: r.Reference, Note: wire.Text(r.Reason, 255)})
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("paypal: encoding refund %s: %w", r.Reference, err)
	}
	var said refund
	raw, err := g.do(ctx, a, call{
		method: http.MethodPost, path: "/v2/payments/captures/" + r.PaymentID + "/refund", body: body, requestID: r.Reference,
	}, &said)
	if refusedFor(err, "CAPTURE_FULLY_REFUNDED", "REFUND_AMOUNT_EXCEEDED", "MAX_NUMBER_OF_REFUNDS_EXCEEDED") && id(r.OrderID) {
		// by this very refund, perhaps, when PayPal has forgotten the request
		if found, lost := g.findRefund(ctx, a, r); lost != nil || found.State != gateway.RefundUnknown {
			return found, lost
		}
	}
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if said.Amount == (amount{}) && id(said.ID) { // a short answer, though the whole was asked for
		r.RefundID = said.ID
		return g.InquireRefund(ctx, a, r)
	}
	return said.answer(r, raw)
}

// InquireRefund meets gateway.Refunds. A refund whose own id is not known is looked for among those of the order.
func (g *Client) InquireRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	if r.RefundID == "" {
		return g.findRefund(ctx, a, r)
	}
	if !id(r.RefundID) {
		return gateway.RefundAnswer{}, fmt.Errorf("paypal: refund %s has no id of PayPal's", r.Reference)
	}
	var said refund
	raw, err := g.do(ctx, a, call{method: http.MethodGet, path: "/v2/payments/refunds/" + r.RefundID}, &said)
	if none, is := missing(err); is {
		return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: none.raw}, nil
	}
	if err != nil {
		return gateway.RefundAnswer{}, unsettled(err)
	}
	if said.ID != r.RefundID {
		return gateway.RefundAnswer{}, errors.New("paypal: an answer about another refund")
	}
	return said.answer(r, raw)
}

// findRefund looks for a refund by our reference. It is not known only when PayPal lists the order's refunds with
// the references that they were given, and this is not among them.
func (g *Client) findRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	if !id(r.OrderID) {
		return gateway.RefundAnswer{}, fmt.Errorf("paypal: refund %s is of no order", r.Reference)
	}
	var said order
	raw, err := g.do(ctx, a, call{method: http.MethodGet, path: "/v2/checkout/orders/" + r.OrderID}, &said)
	if err != nil {
		return gateway.RefundAnswer{}, unsettled(err)
	}
	if said.ID != r.OrderID || len(said.Units) == 0 {
		return gateway.RefundAnswer{}, errors.New("paypal: an answer about another order")
	}
	nameless := false
	for _, u := range said.Units {
		for _, found := range u.Payments.Refunds {
			switch found.Custom {
			case r.Reference:
				return found.answer(r, raw)
			case "": // made elsewhere, or PayPal did not keep what we said
				nameless = true
			}
		}
	}
	if nameless {
		return gateway.RefundAnswer{}, fmt.Errorf("paypal: order %s has refunds without a reference: one may be %s", r.OrderID, r.Reference)
	}
	return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: raw}, nil
}

// answer makes sure that what was said is about this refund.
func (said *refund) answer(r gateway.Refund, raw gateway.Raw) (gateway.RefundAnswer, error) {
	switch {
	case !said.Amount.is(r.Amount):
		return gateway.RefundAnswer{}, fmt.Errorf("paypal: refund %s has another amount there", r.Reference)
	case said.Custom != "" && said.Custom != r.Reference && said.Custom != r.Payin:
		return gateway.RefundAnswer{}, errors.New("paypal: an answer about another refund")
	}
	return said.read(raw)
}

// read reads what became of a refund.
func (said *refund) read(raw gateway.Raw) (gateway.RefundAnswer, error) {
	if !id(said.ID) {
		return gateway.RefundAnswer{}, errors.New("paypal: a refund without an id")
	}
	out := gateway.RefundAnswer{RefundID: said.ID, UTR: wire.Text(said.ARN, maxID), At: at(said.Updated, said.Created), Raw: raw}
	switch said.Status {
	case "COMPLETED":
		out.State = gateway.RefundDone
	case "PENDING":
		out.State = gateway.RefundPending
	case "FAILED", "CANCELLED":
		out.State, out.Reason = gateway.RefundFailed, wallet.FailureOther
	default:
		return gateway.RefundAnswer{}, errors.New("paypal: a refund of unknown status")
	}
	return out, nil
}
