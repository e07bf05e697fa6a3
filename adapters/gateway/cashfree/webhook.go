package cashfree

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

// Headers of a message.
const (
	headerSignature = "X-Webhook-Signature"
	headerTimestamp = "X-Webhook-Timestamp" // milliseconds
	headerID        = "X-Idempotency-Key"   // since 2025-01-01
)

// How far the timestamp of a message may be from our clock. Merchants may have Cashfree try for long, see doc.go.
const (
	maxAge   = 24 * time.Hour
	maxAhead = 5 * time.Minute
)

// signature is what Cashfree signs a message with.
func signature(secret, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp))
	mac.Write(body)
	return mac.Sum(nil)
}

// verify checks a message's signature, in constant time, and then its age. Errors: gateway.ErrSignature, gateway.ErrStale.
func verify(header http.Header, secret string, body []byte, now time.Time) error {
	timestamp := header.Get(headerTimestamp)
	given, err := base64.StdEncoding.DecodeString(header.Get(headerSignature))
	if secret == "" || err != nil || !hmac.Equal(given, signature(secret, timestamp, body)) {
		return gateway.ErrSignature
	}
	n, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: timestamp", gateway.ErrMalformed)
	}
	sent := time.UnixMilli(n)
	if n < 1e11 { // seconds: as milliseconds it would be of 1973
		sent = time.Unix(n, 0)
	}
	if age := now.Sub(sent); age > maxAge || age < -maxAhead {
		return gateway.ErrStale
	}
	return nil
}

type event struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// ParseWebhook meets gateway.Checkout. The secret is the account's client secret.
func (g *Client) ParseWebhook(_ context.Context, a gateway.Account, header http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	if len(body) > gateway.MaxBodyBytes {
		return nil, fmt.Errorf("%w: too large", gateway.ErrMalformed)
	}
	if err := verify(header, a.Credentials[keySecret], body, now); err != nil {
		return nil, err
	}
	var said event
	if wire.Read(body, &said) != nil || said.Type == "" {
		return nil, fmt.Errorf("%w: not a message of Cashfree", gateway.ErrMalformed)
	}
	m := gateway.Message{
		ID:  wire.Text(header.Get(headerID), 100),
		Raw: gateway.Raw{Body: body, MediaType: wire.Text(header.Get("Content-Type"), 100)},
	}
	var err error
	definite := true
	switch said.Type {
	case "PAYMENT_SUCCESS_WEBHOOK", "PAYMENT_FAILED_WEBHOOK", "PAYMENT_USER_DROPPED_WEBHOOK":
		definite, err = readPayment(said, &m)
	case "REFUND_STATUS_WEBHOOK":
		err = readRefund(said, &m)
	case "DISPUTE_CREATED", "DISPUTE_UPDATED", "DISPUTE_CLOSED":
		err = readDispute(said, &m)
	default: // settlements, offers, refunds that Cashfree makes by itself of payments that were never ours
		return nil, nil
	}
	if err != nil || !definite {
		return nil, err
	}
	return []gateway.Message{m}, nil
}

// readPayment reads a message about a payment, and tells whether that has an outcome.
func readPayment(said event, m *gateway.Message) (definite bool, err error) {
	var data struct {
		Order   order   `json:"order"`
		Payment payment `json:"payment"`
		Failure failure `json:"error_details"` // beside the payment here
	}
	if wire.Read(said.Data, &data) != nil || !reference(data.Order.OrderID) {
		return false, fmt.Errorf("%w: a payment without an order", gateway.ErrMalformed)
	}
	if data.Payment.Failure == (failure{}) {
		data.Payment.Failure = data.Failure
	}
	p, definite, err := data.Payment.read(data.Order.OrderID)
	if err != nil {
		return false, fmt.Errorf("%w: a payment with %w", gateway.ErrMalformed, err)
	}
	if definite && p.Paid != (said.Type == "PAYMENT_SUCCESS_WEBHOOK") {
		return false, fmt.Errorf("%w: a payment whose status is not that of the message", gateway.ErrMalformed)
	}
	m.Reference, m.OrderID, m.Payment = data.Order.OrderID, data.Order.OrderID, &p
	return definite, nil
}

// readRefund reads a message about a refund.
func readRefund(said event, m *gateway.Message) error {
	var data struct {
		Refund refund `json:"refund"`
	}
	if wire.Read(said.Data, &data) != nil || data.Refund.ID == "" || data.Refund.RefundID != "" && !reference(data.Refund.RefundID) {
		return fmt.Errorf("%w: a refund without an id", gateway.ErrMalformed)
	}
	answer, err := data.Refund.read(m.Raw)
	if err != nil {
		return fmt.Errorf("%w: %w", gateway.ErrMalformed, err)
	}
	m.Reference, m.Refund = data.Refund.RefundID, &answer
	if reference(data.Refund.OrderID) {
		m.OrderID = data.Refund.OrderID
	}
	return nil
}

// ParseReturn meets gateway.Checkout. The browser brings the order's id and nothing that is signed: what became of it, Collect tells.
func (g *Client) ParseReturn(_ context.Context, _ gateway.Account, o gateway.Order, made gateway.Ordered, form url.Values, _ time.Time) (gateway.Message, error) {
	for _, id := range form["order_id"] {
		if id != made.OrderID {
			return gateway.Message{}, fmt.Errorf("%w: another order", gateway.ErrMalformed)
		}
	}
	return gateway.Message{Reference: o.Reference, OrderID: made.OrderID}, nil
}
