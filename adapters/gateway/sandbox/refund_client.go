package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/khata-ledger/khata/adapters/gateway"
)

var _ gateway.Refunds = (*Client)(nil)

// Refund meets gateway.Refunds. The bank has one account, which the client knows.
func (c *Client) Refund(ctx context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	body, err := json.Marshal(refundRequest{
		Reference: r.Reference, PaymentID: r.PaymentID, Amount: r.Amount.Fixed(), Currency: r.Amount.Currency(), Reason: r.Reason,
	})
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("sandbox bank: encoding refund %s: %w", r.Reference, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/sandbox/upi/refunds", bytes.NewReader(body))
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("sandbox bank: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, c.secret, r.Reference, body, c.clock())
	status, raw, err := c.do(req)
	switch {
	case err != nil:
		return gateway.RefundAnswer{}, err
	case status == http.StatusUnauthorized:
		return gateway.RefundAnswer{}, fmt.Errorf("sandbox bank: %w", gateway.ErrCredentials)
	case status == http.StatusUnprocessableEntity:
		return gateway.RefundAnswer{}, readRefusal(raw)
	case status != http.StatusOK:
		return gateway.RefundAnswer{}, fmt.Errorf("sandbox bank: answered a refund with %d", status)
	}
	a, err := readRefund(raw, r.Reference)
	if err == nil && a.State == gateway.RefundUnknown {
		err = errors.New("sandbox bank: answered a refund with not found")
	}
	return a, err
}

// InquireRefund meets gateway.Refunds.
func (c *Client) InquireRefund(ctx context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/sandbox/upi/refunds/"+url.PathEscape(r.Reference), nil)
	if err != nil {
		return gateway.RefundAnswer{}, fmt.Errorf("sandbox bank: %w", err)
	}
	status, raw, err := c.do(req)
	if err != nil {
		return gateway.RefundAnswer{}, err
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return gateway.RefundAnswer{}, fmt.Errorf("sandbox bank: answered an inquiry with %d", status)
	}
	a, err := readRefund(raw, r.Reference)
	if err == nil && (status == http.StatusNotFound) != (a.State == gateway.RefundUnknown) {
		err = fmt.Errorf("sandbox bank: status %d with state %q", status, a.State)
	}
	return a, err
}

// readRefund reads what the bank says of a refund, and makes sure that it is about this one.
func readRefund(raw gateway.Raw, reference string) (gateway.RefundAnswer, error) {
	var said refundAnswer
	if err := json.Unmarshal(raw.Body, &said); err != nil {
		return gateway.RefundAnswer{}, errors.New("sandbox bank: an answer that is not a refund")
	}
	if said.Reference != reference {
		return gateway.RefundAnswer{}, errors.New("sandbox bank: an answer about another refund")
	}
	return said.read(raw)
}

func (a *refundAnswer) read(raw gateway.Raw) (gateway.RefundAnswer, error) {
	out := gateway.RefundAnswer{RefundID: a.RefundID, UTR: a.UTR, Reason: a.Reason, At: a.At, Raw: raw}
	switch a.Status {
	case statusRefunded:
		out.State = gateway.RefundDone
	case statusPending:
		out.State = gateway.RefundPending
	case statusFailed:
		out.State = gateway.RefundFailed
	case statusNotFound:
		out.State = gateway.RefundUnknown
	default:
		return gateway.RefundAnswer{}, errors.New("sandbox bank: a refund of unknown status")
	}
	return out, nil
}

// maxRefusal bounds what is kept of the words of a refusal, in bytes.
const maxRefusal = 200

// readRefusal reads a definite refusal; what cannot be read as one says nothing.
func readRefusal(raw gateway.Raw) error {
	var said errorBody
	if err := json.Unmarshal(raw.Body, &said); err != nil || said.Message == "" || len(said.Message) > maxRefusal {
		return errors.New("sandbox bank: a refusal that cannot be read")
	}
	return &gateway.Declined{Code: said.Field, Reason: said.Message}
}
