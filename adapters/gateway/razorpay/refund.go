package razorpay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/wallet"
)

// refundNote is under which name a refund's notes carry our reference.
const refundNote = "kspay_refund_id"

// A payment's refunds are listed by the page, and so many pages are read.
const (
	refundsPage = 25
	maxPages    = 40
)

// keys are what Razorpay takes as X-Refund-Idempotency.
var keys = regexp.MustCompile(`^[A-Za-z0-9_-]{10,40}$`)

type refund struct {
	ID        string          `json:"id"`
	Entity    string          `json:"entity"`
	Amount    int64           `json:"amount"`
	Currency  string          `json:"currency"`
	PaymentID string          `json:"payment_id"`
	Receipt   string          `json:"receipt"`
	Status    string          `json:"status"`
	Notes     json.RawMessage `json:"notes"` // an object, or an empty list
	Acquirer  json.RawMessage `json:"acquirer_data"`
	CreatedAt int64           `json:"created_at"`
}

// reference is ours of a refund; "" when it was made by somebody else, such as in Razorpay's dashboard.
func (r refund) reference() string {
	if r.Receipt != "" {
		return wire.Text(r.Receipt, maxReceipt)
	}
	var notes map[string]any
	if json.Unmarshal(r.Notes, &notes) != nil {
		return ""
	}
	said, isText := notes[refundNote].(string)
	if !isText {
		return ""
	}
	return wire.Text(said, maxReceipt)
}

// answer is what a refund's state says.
func (r refund) answer(raw gateway.Raw) (gateway.RefundAnswer, error) {
	out := gateway.RefundAnswer{RefundID: r.ID, UTR: bankReference(r.Acquirer), At: unix(r.CreatedAt), Raw: raw}
	switch r.Status {
	case "processed":
		out.State = gateway.RefundDone
	case "pending":
		out.State = gateway.RefundPending
	case "failed":
		out.State, out.Reason = gateway.RefundFailed, wallet.FailureRejectedByBank
	default:
		return out, errors.New("a refund in a state that is not known")
	}
	if r.Entity != "refund" || !isID(r.ID, "rfnd_") {
		return out, errors.New("an answer that is no refund")
	}
	return out, nil
}

// Refund meets gateway.Refunds.
func (c *Client) Refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	out, err := c.refund(ctx, a, r)
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("razorpay: refunding %s: %w", r.Reference, err)
	}
	return out, nil
}

func (c *Client) refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	amount, err := minor(r.Amount)
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if !keys.MatchString(r.Reference) {
		return gateway.RefundAnswer{}, errors.New("the reference is not one of 10 to 40 letters, digits, hyphens and underscores")
	}
	if first, err := c.findRefund(ctx, a, r); err != nil || first.State != gateway.RefundUnknown {
		return first, err
	}
	var said refund
	raw, err := c.call(ctx, a, request{
		method: http.MethodPost, path: "/v1/payments/" + r.PaymentID + "/refund", idempotency: r.Reference,
		body: struct {
			Amount  int64             `json:"amount"`
			Receipt string            `json:"receipt"`
			Notes   map[string]string `json:"notes"`
		}{amount, r.Reference, map[string]string{refundNote: r.Reference, note: r.Payin}},
	}, &said)
	if declined := (*gateway.Declined)(nil); errors.As(err, &declined) {
		// It may refuse since the refund is there: made by a call of whose outcome we never heard.
		first, lookup := c.findRefund(ctx, a, r)
		if lookup != nil || first.State != gateway.RefundUnknown {
			return first, wire.Blur(lookup)
		}
	}
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if err := said.of(r, amount); err != nil {
		return gateway.RefundAnswer{}, err
	}
	return said.answer(raw)
}

// of looks whether a refund is the one that was asked for.
func (r refund) of(asked gateway.Refund, amount int64) error {
	if r.PaymentID != asked.PaymentID || r.Amount != amount || r.Currency != string(asked.Amount.Currency()) || r.reference() != asked.Reference {
		return errors.New("an answer about another refund, or another amount")
	}
	return nil
}

// InquireRefund meets gateway.Refunds.
func (c *Client) InquireRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	out, err := c.findRefund(ctx, a, r)
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("razorpay: inquiring after refund %s: %w", r.Reference, err)
	}
	return out, nil
}

// findRefund looks for a refund among those of its payment.
func (c *Client) findRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	amount, err := minor(r.Amount)
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if !isID(r.PaymentID, "pay_") {
		return gateway.RefundAnswer{}, errors.New("that is no payment of Razorpay's")
	}
	for page := range maxPages {
		var said collection[refund]
		raw, err := c.call(ctx, a, request{
			method: http.MethodGet, path: "/v1/payments/" + r.PaymentID + "/refunds",
			query: url.Values{"count": {strconv.Itoa(refundsPage)}, "skip": {strconv.Itoa(page * refundsPage)}},
		}, &said)
		if err != nil {
			return gateway.RefundAnswer{}, fmt.Errorf("listing the payment's refunds: %w", wire.Doubt(err))
		}
		if said.Entity != "collection" {
			return gateway.RefundAnswer{}, errors.New("an answer that is no list of refunds")
		}
		for _, one := range said.Items {
			if one.reference() != r.Reference {
				continue
			}
			if err := one.of(r, amount); err != nil {
				return gateway.RefundAnswer{}, err
			}
			return one.answer(raw)
		}
		if len(said.Items) < refundsPage {
			return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: raw}, nil
		}
	}
	return gateway.RefundAnswer{}, fmt.Errorf("more than %d refunds of one payment", maxPages*refundsPage)
}
