package klyropay

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// decision is something that a person decides about a batch. To ask for one twice is to ask for it once, so an Idempotency-Key has nothing
// to do.
type decision struct {
	doing    string
	field    string // that says why
	required bool
	decide   func(ctx context.Context, of batch.Of, why string, o eventstore.Origin) (batch.Batch, error)
	stale    func(*projections.BatchRow) string // what is said of a batch that is not in the right state
}

// approveBatch allows a batch.
func (a *API) approveBatch(w http.ResponseWriter, r *http.Request, c *caller) {
	a.decideBatch(w, r, c, decision{
		doing: "approving a batch", field: "note",
		decide: a.ports.Batches.Approve,
		stale: func(row *projections.BatchRow) string {
			if row.Status == batch.Awaiting {
				return messageRuleChanged
			}
			return messageNotAwaiting
		},
	})
}

// rejectBatch refuses a batch that waits for approval.
func (a *API) rejectBatch(w http.ResponseWriter, r *http.Request, c *caller) {
	a.decideBatch(w, r, c, decision{
		doing: "rejecting a batch", field: "reason", required: true, decide: a.ports.Batches.Reject,
		stale: func(*projections.BatchRow) string { return messageNotAwaiting },
	})
}

// cancelBatch stops a batch.
func (a *API) cancelBatch(w http.ResponseWriter, r *http.Request, c *caller) {
	a.decideBatch(w, r, c, decision{
		doing: "cancelling a batch", field: "reason", required: true, decide: a.ports.Batches.Cancel,
		stale: func(*projections.BatchRow) string { return messageBatchEnded },
	})
}

// decideBatch carries a decision out, and answers with the batch.
func (a *API) decideBatch(w http.ResponseWriter, r *http.Request, c *caller, d decision) {
	id := r.PathValue("batch_id")
	body, object, ok := a.readObject(w, r, d.required)
	if !ok || !a.works(w, r, c) {
		return
	}
	defer c.place.Leave()
	f := &form{body: object}
	why := f.ruled(d.field, d.required, reasonFault)
	if len(f.problems) > 0 {
		f.problems.write(w)
		return
	}
	if !isBatchID(id) {
		httpapi.Fail(w, http.StatusNotFound, messageBatchUnknown)
		return
	}
	command, err := uuid.NewV7()
	if err != nil {
		a.fault(w, r, "making a command id", err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.opts.SubmitWithin)
	defer cancel()
	of := batch.Of{Merchant: c.merchant.ID, Currency: c.merchant.Plan.Currency, Batch: id}
	_, err = d.decide(ctx, of, why, origin(c, command, claim{body: hash(body)}, body))
	code := domain.CodeOf(err)
	switch {
	case code == domain.Forbidden:
		httpapi.Fail(w, http.StatusForbidden, messageOwnBatch)
		return
	case err != nil && code != domain.Stale:
		a.refuseBatch(w, r, d.doing, err, messageBatchUnknown)
		return
	}
	row := a.findBatch(w, r, c)
	switch {
	case row == nil:
	case code == domain.Stale:
		httpapi.Fail(w, http.StatusConflict, d.stale(row))
	default:
		a.tellBatch(w, r, row)
	}
}

// readObject reads a body that is a JSON object. One that is not required may be absent, and then has no type. It answers for itself
// when it returns false.
func (a *API) readObject(w http.ResponseWriter, r *http.Request, required bool) ([]byte, httpapi.Object, bool) {
	if !required && r.ContentLength == 0 {
		return nil, nil, true
	}
	body, ok := a.readBody(w, r)
	switch {
	case !ok:
		return nil, nil, false
	case !required && len(body) == 0:
		return nil, nil, true
	}
	object, err := httpapi.DecodeObject(body)
	if err != nil {
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageMalformed)
		return nil, nil, false
	}
	return body, object, true
}

// reasonFault allows what an event can hold.
func reasonFault(s string) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "must not be blank"
	case len(s) > batch.MaxReason:
		return "must not be longer than " + strconv.Itoa(batch.MaxReason) + " bytes"
	case strings.ContainsFunc(s, unprintable) || !eventstore.ValidText(s):
		return "must not contain control characters"
	}
	return ""
}
