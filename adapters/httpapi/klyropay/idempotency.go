package klyropay

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/work"
)

const (
	idempotencyHeader = "Idempotency-Key"
	maxIdempotencyKey = 255
	keepWithin        = 5 * time.Second
)

// claim is a request's hold on its Idempotency-Key.
type claim struct {
	merchant string
	scope    string // method and path
	key      string // "": the request has none
	body     string // SHA-256 of the body, hexadecimal
	older    string // as records have it that are older than keyed digests of batches; "": there are none
}

// newClaim reads the header. It answers for itself when it returns false.
func newClaim(w http.ResponseWriter, h http.Header, scope string, c *caller, body []byte) (claim, bool) {
	cl := claim{merchant: c.merchant.ID, scope: scope, body: hash(body)}
	values := h[idempotencyHeader]
	switch {
	case len(values) == 0:
		return cl, true
	case len(values) > 1 || !saneKey(values[0]):
		p := problems{{idempotencyHeader, "must be 1 to 255 printable ASCII characters, given once"}}
		p.write(w)
		return cl, false
	}
	cl.key = values[0]
	return cl, true
}

func saneKey(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E {
			return false
		}
	}
	return s != "" && len(s) <= maxIdempotencyKey
}

func (c claim) given() bool { return c.key != "" }

// dedupeKey is the key as the log knows it.
func (c claim) dedupeKey() string { return "idem:" + c.merchant + ":" + c.scope + ":" + c.key }

// taken reports whether a command was refused because this very key is held already, and where.
func (c claim) taken(err error) (eventstore.Position, bool) {
	var duplicate *executor.DuplicateError
	if !c.given() || !errors.As(err, &duplicate) || duplicate.Key != c.dedupeKey() {
		return eventstore.Position{}, false
	}
	return duplicate.Position, true
}

// keep stores the answer about a payment and returns the one that stands: a copy of the request may have been answered
// meanwhile. The payment is made, so a store that is away is no reason to keep its answer back: a repeat is then answered from
// the payment.
func (a *API) keep(r *http.Request, c claim, payment string, status int, body []byte) (int, []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), keepWithin)
	defer cancel()
	stands, err := a.ports.Answers.PutAnswer(ctx, work.Answer{
		Merchant: c.merchant, Scope: c.scope, Key: c.key,
		Status: status, Body: body, At: eventstore.Micros(a.opts.Clock()),
	})
	if err != nil {
		a.opts.Logger.Warn("an answer could not be kept", "request_id", httpapi.From(r.Context()).ID, "error", err)
		return status, body
	}
	if !about(stands, payment) {
		a.opts.Logger.Error("the stored answer to a request is about another payment: the log must be an older copy than the work storage",
			"request_id", httpapi.From(r.Context()).ID, "transaction", payment)
		return status, body
	}
	return stands.Status, stands.Body
}

// about tells whether a stored answer is about a payment. One of a history that was lost, when the log was restored from a
// backup, is about a payment that does not exist.
func about(a work.Answer, payment string) bool {
	return bytes.Contains(a.Body, []byte(`"transaction_id":"`+payment+`"`))
}
