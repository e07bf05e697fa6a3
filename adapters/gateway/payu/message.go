package payu

import (
	"bytes"
	"context"
	"crypto/subtle"
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

// maxFields bounds a form: PayU sends some sixty.
const maxFields = 200

// ParseWebhook meets gateway.Checkout. A message with a right hash, and one about a refund, makes it ask PayU (package documentation).
func (c *Client) ParseWebhook(ctx context.Context, a gateway.Account, _ http.Header, body []byte, _ time.Time) ([]gateway.Message, error) {
	if len(body) > gateway.MaxBodyBytes {
		return nil, fmt.Errorf("%w: more than %d bytes", gateway.ErrMalformed, gateway.MaxBodyBytes)
	}
	f, err := fieldsOf(body)
	if err != nil {
		return nil, err
	}
	if f["hash"] == "" && f["action"] == "refund" {
		return c.refunded(ctx, a, f)
	}
	if !reversed(f, a.Credentials[saltName]) || f["key"] != a.Credentials[keyName] {
		return nil, gateway.ErrSignature
	}
	if f["txnid"] == "" || len(f["txnid"]) > 64 || strings.ContainsRune(f["txnid"], '|') || f["status"] == "" {
		return nil, fmt.Errorf("%w: no transaction, or no status", gateway.ErrMalformed)
	}
	said, err := c.verify(ctx, a, f["txnid"])
	if err != nil {
		return nil, fmt.Errorf("payu: confirming a message about %s: %w", wire.Text(f["txnid"], maxTxnID), wire.Doubt(err))
	}
	if len(said.List) == 0 {
		if f["status"] == success {
			return nil, errors.New("payu: a payment that PayU does not confirm yet")
		}
		return nil, nil
	}
	p := said.List[0]
	return []gateway.Message{{ID: p.PaymentID, Reference: p.Reference, OrderID: p.Reference, Payment: &p, Raw: said.Raw}}, nil
}

// refunded reads a message about a refund. It is not signed: it only says what to ask for.
func (c *Client) refunded(ctx context.Context, a gateway.Account, f map[string]string) ([]gateway.Message, error) {
	key := a.Credentials[keyName]
	if key == "" || subtle.ConstantTimeCompare([]byte(f["key"]), []byte(key)) != 1 {
		return nil, gateway.ErrSignature
	}
	payuID, token := strings.TrimSpace(f["mihpayid"]), f["token"]
	if !payuIDs.MatchString(payuID) || !tokens.MatchString(token) {
		return nil, fmt.Errorf("%w: a refund without payment or token", gateway.ErrMalformed)
	}
	found, raw, err := c.findAction(ctx, a, payuID, token)
	if err != nil {
		return nil, fmt.Errorf("payu: confirming a message about a refund: %w", wire.Doubt(err))
	}
	if found == nil {
		return nil, gateway.ErrSignature // PayU knows of no such refund
	}
	said, err := found.answer(raw)
	if err != nil {
		return nil, fmt.Errorf("payu: confirming a message about a refund: %w", err)
	}
	return []gateway.Message{{ID: said.RefundID, Reference: token, Refund: &said, Raw: raw}}, nil
}

// fieldsOf reads a form or a JSON object of texts: PayU sends payments as the one and refunds as the other, and partners may choose.
func fieldsOf(body []byte) (map[string]string, error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '{' {
		var said map[string]json.RawMessage
		if err := wire.Read(body, &said); err != nil || len(said) > maxFields {
			return nil, fmt.Errorf("%w: not JSON, or too many fields", gateway.ErrMalformed)
		}
		out := make(map[string]string, len(said))
		for name, raw := range said {
			var v text
			if v.UnmarshalJSON(raw) == nil { // what is neither text nor number is nothing that we read
				out[name] = string(v)
			}
		}
		return out, nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("%w: neither a form nor JSON", gateway.ErrMalformed)
	}
	return single(form)
}

// single is a form whose fields are there once each.
func single(form url.Values) (map[string]string, error) {
	if len(form) > maxFields {
		return nil, fmt.Errorf("%w: too many fields", gateway.ErrMalformed)
	}
	out := make(map[string]string, len(form))
	for name, values := range form {
		if len(values) != 1 {
			return nil, fmt.Errorf("%w: a field is there twice", gateway.ErrMalformed)
		}
		out[name] = values[0]
	}
	return out, nil
}

// ParseReturn meets gateway.Checkout.
func (c *Client) ParseReturn(
	ctx context.Context, a gateway.Account, o gateway.Order, made gateway.Ordered, form url.Values, _ time.Time,
) (gateway.Message, error) {
	m := gateway.Message{Reference: o.Reference, OrderID: made.OrderID}
	if !form.Has("hash") && !form.Has("status") && !form.Has("txnid") {
		return m, nil // the customer has cancelled, or gone back
	}
	f, err := single(form)
	if err != nil {
		return gateway.Message{}, err
	}
	if !reversed(f, a.Credentials[saltName]) {
		return gateway.Message{}, gateway.ErrSignature
	}
	if f["key"] != a.Credentials[keyName] || f["txnid"] != o.Reference || !sameAmount(f["amount"], o.Amount) {
		return gateway.Message{}, fmt.Errorf("%w: a return about another payment", gateway.ErrMalformed)
	}
	kept := url.Values{"txnid": {f["txnid"]}, "status": {f["status"]}, "amount": {f["amount"]}, "hash": {f["hash"]}}
	m.Raw = gateway.Raw{Body: []byte(kept.Encode()), MediaType: "application/x-www-form-urlencoded"}
	m.Approved = f["status"] == success
	said, err := c.verify(ctx, a, o.Reference)
	if err != nil || len(said.List) == 0 {
		return m, nil //nolint:nilerr // the customer is back, that much is signed; Collect asks again
	}
	p := said.List[0]
	m.ID, m.Payment, m.Approved, m.Raw = p.PaymentID, &p, false, said.Raw
	return m, nil
}
