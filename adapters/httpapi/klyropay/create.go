package klyropay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// creation is an endpoint that makes a payment.
type creation struct {
	scope string // method and path: an Idempotency-Key is unique within it, per merchant
	// command reads the form into a command, or leaves problems in it. An error is a fault.
	command func(ctx context.Context, c *caller, f *form, at moment) (wallet.Command, error)
	// wait holds for a payment that need not be waited for any longer; nil: none need be.
	wait func(wallet.Payment) bool
	// answer writes the answer for a payment as it is.
	answer func(p *wallet.Payment, asOf time.Time) (status int, body []byte)
}

// moment is what a command is made with beside the request.
type moment struct {
	id  uuid.UUID // of the command, and of its first event: what sealed data is bound to
	now time.Time
}

// creation serves a creation: repeat, body, command, answer.
func (a *API) creation(e creation) func(http.ResponseWriter, *http.Request, *caller) {
	return func(w http.ResponseWriter, r *http.Request, c *caller) {
		body, ok := a.readBody(w, r)
		if !ok {
			return
		}
		if !a.works(w, r, c) {
			return
		}
		defer c.place.Leave()
		claim, ok := newClaim(w, r.Header, e.scope, c, body)
		if !ok {
			return
		}
		if claim.given() {
			at, taken, err := a.ports.Log.Lookup(r.Context(), c.merchant.ID, claim.dedupeKey())
			if err != nil {
				a.fault(w, r, "looking up an Idempotency-Key", err)
				return
			}
			if taken {
				a.repeat(w, r, c, e, claim, at)
				return
			}
		}
		a.create(w, r, c, e, claim, body)
	}
}

// readBody answers for itself when it returns false.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := httpapi.ReadJSON(w, r, a.opts.MaxBody)
	switch {
	case err == nil:
		return body, true
	case errors.Is(err, httpapi.ErrMediaType):
		httpapi.Fail(w, http.StatusUnsupportedMediaType, httpapi.MessageMediaType)
	case errors.Is(err, httpapi.ErrTooLarge):
		httpapi.Fail(w, http.StatusRequestEntityTooLarge, httpapi.MessageTooLarge)
	case errors.Is(err, httpapi.ErrBodies):
		httpapi.Refuse(w, r, err)
	default:
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageMalformed)
	}
	return nil, false
}

// create makes the payment and answers.
func (a *API) create(w http.ResponseWriter, r *http.Request, c *caller, e creation, claim claim, body []byte) {
	object, err := httpapi.DecodeObject(body)
	if err != nil {
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageMalformed)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.opts.SubmitWithin)
	defer cancel()
	id, err := uuid.NewV7()
	if err != nil {
		a.fault(w, r, "making a command id", err)
		return
	}
	f := &form{body: object}
	command, err := e.command(ctx, c, f, moment{id, eventstore.Micros(a.opts.Clock())})
	switch {
	case len(f.problems) > 0:
		f.problems.write(w)
		return
	case err != nil:
		a.refuse(w, r, "preparing "+e.scope, err)
		return
	}
	payment, err := a.ports.Ledger.Submit(ctx, command, origin(c, id, claim, body))
	if err != nil {
		if at, mine := claim.taken(err); mine {
			a.repeat(w, r, c, e, claim, at)
			return
		}
		a.refuse(w, r, e.scope, err)
		return
	}
	a.finish(w, r, e, claim, a.await(r, c, e, payment), payment.CreatedAt)
}

// await waits, bounded, for the end of a payment. Whatever keeps it from knowing more, the payment exists: it is answered as it
// was last seen. Who waits has no place in work: a slow bank keeps nobody out.
func (a *API) await(r *http.Request, c *caller, e creation, p wallet.Payment) wallet.Payment {
	if e.wait == nil || a.opts.GatewayWait <= 0 || e.wait(p) {
		return p
	}
	c.place.Leave()
	waiting, err := a.opts.Waits.Enter(r.Context(), c.merchant.ID)
	if err != nil {
		return p
	}
	defer waiting.Leave()
	ctx, cancel := context.WithTimeout(r.Context(), a.opts.GatewayWait)
	defer cancel()
	seen, err := a.ports.Ledger.Await(ctx, p.Merchant, p.Payment, e.wait)
	if err != nil && ctx.Err() == nil {
		x := httpapi.From(r.Context())
		a.opts.Logger.Warn("waiting for a payment failed", "request_id", x.ID, "transaction", p.Payment, "error", err)
	}
	if seen.Kind == "" {
		return p
	}
	return seen
}

// finish answers with a payment, and first keeps the answer for repeats.
func (a *API) finish(w http.ResponseWriter, r *http.Request, e creation, claim claim, p wallet.Payment, asOf time.Time) {
	status, body := e.answer(&p, asOf)
	if claim.given() {
		status, body = a.keep(r, claim, p.Payment, status, body)
	}
	httpapi.Write(w, status, body)
}

// repeat answers a request whose Idempotency-Key is held by the record at a position: the first answer again, or for
// another body a refusal.
func (a *API) repeat(w http.ResponseWriter, r *http.Request, c *caller, e creation, claim claim, at eventstore.Position) {
	payment, same, err := a.held(r.Context(), at, claim)
	if err != nil {
		a.fault(w, r, "reading what an Idempotency-Key stands for", err)
		return
	}
	if !same {
		httpapi.Fail(w, http.StatusUnprocessableEntity, messageKeyReused)
		return
	}
	first, kept, err := a.ports.Answers.Answer(r.Context(), claim.merchant, claim.scope, claim.key)
	switch {
	case err != nil:
		a.fault(w, r, "reading a stored answer", err)
		return
	case kept && about(first, payment):
		replayed(w)
		httpapi.Write(w, first.Status, first.Body)
		return
	}
	now, err := a.ports.Ledger.Await(r.Context(), c.merchant.ID, payment, func(wallet.Payment) bool { return true })
	if err != nil {
		a.fault(w, r, "reading the payment of an Idempotency-Key", err)
		return
	}
	now = a.await(r, c, e, now)
	replayed(w)
	a.finish(w, r, e, claim, now, a.opts.Clock())
}

func replayed(w http.ResponseWriter) { w.Header().Set("Idempotent-Replayed", "true") }

// held returns the payment, or the batch, that a record made, and whether the claim's body asked for it. When the key is erased that would
// tell, it did not: better refused than taken for what it may not be.
func (a *API) held(ctx context.Context, at eventstore.Position, claim claim) (subject string, same bool, err error) {
	record, err := a.ports.Log.Record(ctx, at)
	if err != nil {
		return "", false, err
	}
	meta, err := eventstore.ParseMeta(record.Meta)
	if err != nil {
		return "", false, fmt.Errorf("%w: record %s: %w", eventstore.ErrBroken, at, err)
	}
	command, err := uuid.Parse(meta.Command)
	if err != nil {
		return "", false, fmt.Errorf("%w: record %s: its command: %w", eventstore.ErrBroken, at, err)
	}
	same, err = a.ports.Vault.Matches(ctx, command, meta.BodyHash, claim.body)
	if err == nil && !same && claim.older != "" {
		same, err = a.ports.Vault.Matches(ctx, command, meta.BodyHash, claim.older)
	}
	if errors.Is(err, vault.ErrErased) {
		return record.Subject, false, nil
	}
	return record.Subject, same, err
}

// origin says where a command comes from. What is personal in it, the body and the address, is evidence, which gets sealed. The
// body of a batch is none: its items are in the events. Then body is nil.
func origin(c *caller, id uuid.UUID, claim claim, body []byte) eventstore.Origin {
	b := httpapi.AppendString([]byte(`{"key_id":`), c.key.ID)
	b = httpapi.AppendString(append(b, `,"client_ip":`...), c.exchange.Client.String())
	b = httpapi.AppendString(append(b, `,"request_id":`...), c.exchange.ID)
	o := eventstore.Origin{Command: id, Actor: actor(c), Request: c.exchange.ID, BodyHash: claim.body}
	if body != nil {
		o.Evidence = append(o.Evidence, eventstore.Evidence{MediaType: "application/json", Body: body})
	}
	o.Evidence = append(o.Evidence, eventstore.Evidence{MediaType: "application/vnd.khata.origin+json", Body: append(b, '}')})
	if claim.given() {
		o.IdempotencyKey = claim.dedupeKey()
	}
	return o
}

// actor is the caller as events name it.
func actor(c *caller) string { return "key:" + c.key.ID }
