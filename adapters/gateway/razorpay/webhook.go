package razorpay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

// How old an event may be, and how far our clocks may be apart. Razorpay repeats an event for 24 hours after its creation.
const (
	MaxAge  = 48 * time.Hour
	MaxSkew = 15 * time.Minute
)

// event is the body of a webhook.
type event struct {
	Entity  string `json:"entity"`
	Event   string `json:"event"`
	Payload struct {
		Payment *wrapped[payment] `json:"payment"`
		Order   *wrapped[order]   `json:"order"`
		Refund  *wrapped[refund]  `json:"refund"`
		Dispute *wrapped[dispute] `json:"dispute"`
	} `json:"payload"`
	CreatedAt int64 `json:"created_at"`
}

type wrapped[T any] struct {
	Entity T `json:"entity"`
}

// signed reports whether a signature is the HMAC-SHA256 of a message. No secret signs nothing.
func signed(signature string, secret string, message []byte) bool {
	said, err := hex.DecodeString(signature)
	if err != nil || secret == "" {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(message)
	return hmac.Equal(said, mac.Sum(nil))
}

// ParseWebhook meets gateway.Checkout. It asks nobody.
func (c *Client) ParseWebhook(_ context.Context, a gateway.Account, header http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	signatures := header.Values("X-Razorpay-Signature")
	if len(body) > gateway.MaxBodyBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", gateway.ErrMalformed, gateway.MaxBodyBytes)
	}
	if len(signatures) != 1 || !signed(signatures[0], a.WebhookSecret, body) {
		return nil, gateway.ErrSignature
	}
	var said event
	if err := wire.Read(body, &said); err != nil || said.Entity != "event" || said.CreatedAt <= 0 {
		return nil, fmt.Errorf("%w: not an event of Razorpay's", gateway.ErrMalformed)
	}
	if at := time.Unix(said.CreatedAt, 0); at.Before(now.Add(-MaxAge)) || at.After(now.Add(MaxSkew)) {
		return nil, gateway.ErrStale
	}
	m, ours, err := said.read()
	if err != nil || !ours {
		return nil, err
	}
	m.ID = wire.Text(header.Get("X-Razorpay-Event-Id"), 64)
	m.Raw = gateway.Raw{Body: body, MediaType: "application/json"}
	return []gateway.Message{m}, nil
}

// read is what an event tells; false when it is about nothing of ours: every payment of ours is of an order.
func (e event) read() (m gateway.Message, ours bool, err error) {
	var p payment
	if e.Payload.Payment != nil {
		p = e.Payload.Payment.Entity
	}
	m.OrderID = p.OrderID
	switch {
	case e.Event == "payment.captured", e.Event == "payment.failed", e.Event == "payment.authorized", e.Event == "order.paid":
		if e.Payload.Payment == nil || (e.Event == "order.paid" && e.Payload.Order == nil) {
			return m, false, malformed(e)
		}
		if p.OrderID == "" {
			return m, false, nil
		}
		err := e.payment(&m, p)
		return m, err == nil, err
	case e.Event == "refund.created", e.Event == "refund.processed", e.Event == "refund.failed":
		if e.Payload.Refund == nil {
			return m, false, malformed(e)
		}
		r := e.Payload.Refund.Entity
		answer, err := r.answer(gateway.Raw{})
		if err != nil {
			return m, false, malformed(e)
		}
		m.Reference, m.Refund = r.reference(), &answer
		return m, true, nil
	case strings.HasPrefix(e.Event, "payment.dispute."):
		return e.dispute(m)
	}
	return m, false, nil
}

// payment reads an event about a payment. The reference is the order's receipt, which we wrote; what the payment's own notes say comes
// from the customer's browser.
func (e event) payment(m *gateway.Message, p payment) error {
	if !isID(p.OrderID, "order_") || !isID(p.ID, "pay_") {
		return malformed(e)
	}
	if e.Event == "order.paid" {
		o := e.Payload.Order.Entity
		if o.ID != p.OrderID {
			return malformed(e)
		}
		m.Reference = wire.Text(o.Receipt, maxReceipt)
	}
	if e.Event == "payment.authorized" {
		m.Approved = true // what has become of it since, Collect asks
		return nil
	}
	if (e.Event == "payment.failed") == p.collected() {
		return malformed(e)
	}
	read, ok := p.read(m.Reference)
	if !ok {
		return malformed(e)
	}
	m.Payment = &read
	return nil
}

// dispute reads an event about a dispute.
func (e event) dispute(m gateway.Message) (gateway.Message, bool, error) {
	switch strings.TrimPrefix(e.Event, "payment.dispute.") {
	case "created", "won", "lost", "closed", "under_review", "action_required":
	default:
		return m, false, nil
	}
	if e.Payload.Dispute == nil {
		return m, false, malformed(e)
	}
	d, ok := e.Payload.Dispute.Entity.read(unix(e.CreatedAt))
	if !ok {
		return m, false, malformed(e)
	}
	if m.OrderID == "" {
		return m, false, nil
	}
	m.Dispute = d
	return m, true, nil
}

func malformed(e event) error {
	return fmt.Errorf("%w: an event %q without what it must have", gateway.ErrMalformed, wire.Text(e.Event, 64))
}
