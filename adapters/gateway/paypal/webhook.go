package paypal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

// How far the time of a transmission may be from our clock. PayPal tries for three days, see doc.go.
const (
	maxAge   = 3*24*time.Hour + time.Hour
	maxAhead = 5 * time.Minute
)

// transmission is what the headers of a message say, in the order and with the bounds of verify-webhook-signature.
type transmission struct {
	Algorithm string `json:"auth_algo"`
	CertURL   string `json:"cert_url"`
	ID        string `json:"transmission_id"`
	Signature string `json:"transmission_sig"`
	Time      string `json:"transmission_time"`
	Webhook   string `json:"webhook_id"`
}

// transmissionOf reads the headers. gateway.ErrSignature when one is missing, or names a certificate that is not PayPal's.
func transmissionOf(header http.Header, a gateway.Account) (transmission, error) {
	t := transmission{
		Algorithm: header.Get("Paypal-Auth-Algo"), CertURL: header.Get("Paypal-Cert-Url"), ID: header.Get("Paypal-Transmission-Id"),
		Signature: header.Get("Paypal-Transmission-Sig"), Time: header.Get("Paypal-Transmission-Time"), Webhook: a.WebhookSecret,
	}
	for _, part := range []struct {
		value string
		limit int
	}{{t.Algorithm, 100}, {t.CertURL, 500}, {t.ID, 50}, {t.Signature, 500}, {t.Time, 100}} {
		if part.value == "" || len(part.value) > part.limit || strings.ContainsFunc(part.value, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return transmission{}, gateway.ErrSignature
		}
	}
	cert, err := url.Parse(t.CertURL)
	if err != nil || a.Base == "" && (cert.Scheme != "https" || !strings.HasSuffix(cert.Hostname(), ".paypal.com")) {
		return transmission{}, gateway.ErrSignature
	}
	return t, nil
}

// verify asks PayPal whether it has sent a message. The message's own bytes are passed on: written anew they would not fit.
func (g *Client) verify(ctx context.Context, a gateway.Account, t transmission, body []byte) error {
	if a.WebhookSecret == "" {
		return fmt.Errorf("paypal: configuration %s has no webhook id", a.Config)
	}
	head, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("paypal: encoding a message's headers: %w", err)
	}
	asked := bytes.Join([][]byte{head[:len(head)-1], []byte(`,"webhook_event":`), body, []byte("}")}, nil)
	select {
	case g.verifying <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("paypal: waiting to verify a message: %w", ctx.Err())
	}
	defer func() { <-g.verifying }()
	var said struct {
		Status string `json:"verification_status"`
	}
	_, err = g.do(ctx, a, call{method: http.MethodPost, path: "/v1/notifications/verify-webhook-signature", body: asked}, &said)
	if declined := new(gateway.Declined); errors.As(err, &declined) { // the headers are not what PayPal would send
		return gateway.ErrSignature
	}
	if err != nil {
		return fmt.Errorf("verifying a message: %w", err)
	}
	switch said.Status {
	case "SUCCESS":
		return nil
	case "FAILURE":
		return gateway.ErrSignature
	}
	return errors.New("paypal: an answer that does not say whether a message is true")
}

type event struct {
	ID       string          `json:"id"`
	Type     string          `json:"event_type"`
	Resource json.RawMessage `json:"resource"`
}

// ParseWebhook meets gateway.Checkout. It asks PayPal.
func (g *Client) ParseWebhook(ctx context.Context, a gateway.Account, header http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	if len(body) > gateway.MaxBodyBytes || !json.Valid(body) { // anything else could not be put into the question, or would be part of it
		return nil, fmt.Errorf("%w: too large, or not JSON", gateway.ErrMalformed)
	}
	t, err := transmissionOf(header, a)
	if err != nil {
		return nil, err
	}
	if err := g.verify(ctx, a, t, body); err != nil {
		return nil, err
	}
	sent, err := time.Parse(time.RFC3339, t.Time)
	if err != nil {
		return nil, fmt.Errorf("%w: time of the transmission", gateway.ErrMalformed)
	}
	if age := now.Sub(sent); age > maxAge || age < -maxAhead {
		return nil, gateway.ErrStale
	}
	return readEvent(body, wire.Text(header.Get("Content-Type"), 100))
}

// readEvent reads a message that is known to be PayPal's.
func readEvent(body []byte, mediaType string) ([]gateway.Message, error) {
	var said event
	if wire.Read(body, &said) != nil || said.Type == "" {
		return nil, fmt.Errorf("%w: not a message of PayPal", gateway.ErrMalformed)
	}
	m := gateway.Message{ID: wire.Text(said.ID, 100), Raw: gateway.Raw{Body: body, MediaType: mediaType}}
	var err error
	ours := true
	switch said.Type {
	case "CHECKOUT.ORDER.APPROVED":
		ours, err = readApproval(said.Resource, &m)
	case "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.DENIED", "PAYMENT.CAPTURE.DECLINED": // the names of v1 and v2
		ours, err = readCapture(said, &m)
	case "PAYMENT.CAPTURE.REFUNDED":
		err = readRefund(said.Resource, &m)
	case "CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.RESOLVED":
		ours, err = readDispute(said.Resource, &m)
	default: // PAYMENT.CAPTURE.PENDING says nothing definite
		ours = false
	}
	if err != nil || !ours {
		return nil, err
	}
	return []gateway.Message{m}, nil
}

// readApproval reads that a customer has approved an order. Of several orders in one, which we never make, none is ours.
func readApproval(resource []byte, m *gateway.Message) (ours bool, err error) {
	var said order
	if wire.Read(resource, &said) != nil || !id(said.ID) {
		return false, fmt.Errorf("%w: an approval without an order", gateway.ErrMalformed)
	}
	if len(said.Units) != 1 {
		return false, nil
	}
	m.OrderID, m.Reference, m.Approved = said.ID, reference(said.Units[0].Custom), true
	return true, nil
}

// readCapture reads what became of a capture.
func readCapture(said event, m *gateway.Message) (ours bool, err error) {
	var c capture
	if wire.Read(said.Resource, &c) != nil {
		return false, fmt.Errorf("%w: a message without a capture", gateway.ErrMalformed)
	}
	if c.Status == "DENIED" { // as v1 has it
		c.Status = "DECLINED"
	}
	m.Reference = reference(c.Custom)
	if m.Reference == "" {
		m.Reference = reference(c.Invoice)
	}
	if id(c.Related.IDs.Order) {
		m.OrderID = c.Related.IDs.Order
	}
	if m.Reference == "" && m.OrderID == "" {
		return false, nil // of something that the merchant sells elsewhere
	}
	p, definite, err := c.read(m.Reference)
	if err != nil {
		return false, fmt.Errorf("%w: a capture with %w", gateway.ErrMalformed, err)
	}
	if !definite || p.Paid != (said.Type == "PAYMENT.CAPTURE.COMPLETED") {
		return false, fmt.Errorf("%w: a capture whose status is not that of the message", gateway.ErrMalformed)
	}
	m.Payment = &p
	return true, nil
}

// readRefund reads that a refund was made. custom_id is that of the refund, or, of one that was made elsewhere, that of the payment.
func readRefund(resource []byte, m *gateway.Message) error {
	var said refund
	if wire.Read(resource, &said) != nil {
		return fmt.Errorf("%w: a message without a refund", gateway.ErrMalformed)
	}
	answer, err := said.read(m.Raw)
	if err != nil {
		return fmt.Errorf("%w: %w", gateway.ErrMalformed, err)
	}
	m.Refund = &answer
	if strings.HasPrefix(said.Custom, "rfd_") || strings.HasPrefix(said.Custom, "tx_") {
		m.Reference = reference(said.Custom)
	}
	return nil
}

// reference is a reference that a message names; "" when it cannot be one of ours.
func reference(s string) string {
	if len(s) > maxID || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}

// ParseReturn meets gateway.Checkout. The browser brings token, the order's id, and PayerID once the order is approved; nothing is signed. What became of
// the order, Collect tells.
func (g *Client) ParseReturn(_ context.Context, _ gateway.Account, o gateway.Order, made gateway.Ordered, form url.Values, _ time.Time) (gateway.Message, error) {
	for _, token := range form["token"] {
		if token != made.OrderID {
			return gateway.Message{}, fmt.Errorf("%w: another order", gateway.ErrMalformed)
		}
	}
	return gateway.Message{Reference: o.Reference, OrderID: made.OrderID}, nil
}
