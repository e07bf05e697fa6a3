package cashfree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/wallet"
)

type refundRequest struct {
	RefundID string      `json:"refund_id"`
	Amount   json.Number `json:"refund_amount"`
	Note     string      `json:"refund_note,omitempty"` // 3 to 100 characters
}

type refund struct {
	ID        ident       `json:"cf_refund_id"`
	RefundID  string      `json:"refund_id"`
	PaymentID ident       `json:"cf_payment_id"`
	OrderID   string      `json:"order_id"`
	Amount    json.Number `json:"refund_amount"`
	Currency  string      `json:"refund_currency"`
	Status    string      `json:"refund_status"`
	ARN       string      `json:"refund_arn"`
	Created   string      `json:"created_at"`
	Processed string      `json:"processed_at"`
}

// Refund meets gateway.Refunds. Cashfree refunds orders, not payments: an order has one payment that succeeded.
func (g *Client) Refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	note := wire.Text(r.Reason, 100)
	if len([]rune(note)) < 3 {
		note = ""
	}
	body, err := json.Marshal(refundRequest{RefundID: r.Reference, Amount: number(r.Amount), Note: note})
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("cashfree: encoding refund %s: %w", r.Reference, err)
	}
	var said refund
	raw, err := g.call(ctx, a, http.MethodPost, refundsOf(r), body, idempotencyKey("refund", r.Reference, string(body)), &said)
	if exists(err) {
		answer, err := g.fetchRefund(ctx, a, r)
		return answer, unsettled(err)
	}
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	return said.answer(r, raw)
}

// InquireRefund meets gateway.Refunds.
func (g *Client) InquireRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	answer, err := g.fetchRefund(ctx, a, r)
	if none, is := missing(err); is {
		return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: none.raw}, nil
	}
	return answer, unsettled(err)
}

func (g *Client) fetchRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	var said refund
	raw, err := g.call(ctx, a, http.MethodGet, refundsOf(r)+"/"+url.PathEscape(r.Reference), nil, "", &said)
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	return said.answer(r, raw)
}

// refundsOf is where the refunds of an order are; its order_id is our transaction id.
func refundsOf(r gateway.Refund) string {
	id := r.OrderID
	if id == "" {
		id = r.Payin
	}
	return "/orders/" + url.PathEscape(id) + "/refunds"
}

// answer makes sure that what was said is about this refund.
func (said *refund) answer(r gateway.Refund, raw gateway.Raw) (gateway.RefundAnswer, error) {
	total, err := amount(said.Amount, said.Currency)
	switch {
	case said.RefundID != r.Reference:
		return gateway.RefundAnswer{}, errors.New("cashfree: an answer about another refund")
	case r.OrderID != "" && said.OrderID != r.OrderID:
		return gateway.RefundAnswer{}, errors.New("cashfree: an answer about a refund of another order")
	case r.PaymentID != "" && said.PaymentID != "" && string(said.PaymentID) != r.PaymentID:
		return gateway.RefundAnswer{}, errors.New("cashfree: an answer about a refund of another payment")
	case err != nil || !total.Equal(r.Amount):
		return gateway.RefundAnswer{}, fmt.Errorf("cashfree: refund %s has another amount there", r.Reference)
	}
	return said.read(raw)
}

// read reads what became of a refund.
func (said *refund) read(raw gateway.Raw) (gateway.RefundAnswer, error) {
	out := gateway.RefundAnswer{RefundID: string(said.ID), UTR: wire.Text(said.ARN, maxID), At: at(said.Processed, said.Created), Raw: raw}
	switch said.Status {
	case "SUCCESS":
		out.State = gateway.RefundDone
	case "PENDING", "ONHOLD":
		out.State = gateway.RefundPending
	case "CANCELLED", "FAILED": // CANCELLED: Cashfree has tried several times, and given up
		out.State, out.Reason = gateway.RefundFailed, wallet.FailureOther
	default:
		return gateway.RefundAnswer{}, errors.New("cashfree: a refund of unknown status")
	}
	return out, nil
}
