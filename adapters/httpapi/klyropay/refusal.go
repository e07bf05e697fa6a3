package klyropay

import (
	"context"
	"errors"
	"net/http"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// statusOf is the table from the domain's refusals to answers; 0 for those that have none. domain.Invalid is not in it: it
// has fields.
func statusOf(code domain.Code) (status int, message string) {
	switch code {
	case domain.NotFound:
		return http.StatusNotFound, messageUnknown
	case domain.Duplicate:
		return http.StatusConflict, messageDuplicate
	case domain.KeyReused:
		return http.StatusUnprocessableEntity, messageKeyReused
	case domain.InsufficientBalance:
		return http.StatusUnprocessableEntity, messageInsufficient
	case domain.Forbidden:
		return http.StatusForbidden, messageNoAccess
	default:
		return 0, ""
	}
}

// refuse answers an error: a refusal by its code, everything else as a fault.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, doing string, err error) {
	var refusal *domain.Error
	var duplicate *executor.DuplicateError
	switch {
	case errors.As(err, &duplicate):
		httpapi.Fail(w, http.StatusConflict, messageDuplicate)
	case !errors.As(err, &refusal):
		a.fault(w, r, doing, err)
	case refusal.Code == domain.Invalid:
		var p problems
		p.join(refusal)
		p.write(w)
	default:
		if status, message := statusOf(refusal.Code); status != 0 {
			httpapi.Fail(w, status, message)
			return
		}
		a.fault(w, r, doing, err)
	}
}

// broken reports a fault that trying again does not mend.
func broken(err error) bool {
	var refusal *domain.Error // one that has no place in the API
	return errors.As(err, &refusal) || errors.Is(err, eventstore.ErrBroken) || errors.Is(err, eventstore.ErrInvalid) ||
		errors.Is(err, eventstore.ErrNotFound) || errors.Is(err, eventstore.ErrNewer) || errors.Is(err, eventstore.ErrPartition)
}

// fault answers what is no refusal. The stores' faults pass, so they are 503; what is broken stays so, and is 500. All are
// logged, except that a queue was full or that the client has gone.
func (a *API) fault(w http.ResponseWriter, r *http.Request, doing string, err error) {
	x := httpapi.From(r.Context())
	if broken(err) {
		a.opts.Logger.Error("a request failed", "request_id", x.ID, "route", x.Route, "doing", doing, "error", err)
		httpapi.Fail(w, http.StatusInternalServerError, httpapi.MessageInternal)
		return
	}
	gone := errors.Is(r.Context().Err(), context.Canceled)
	if !gone && !errors.Is(err, executor.ErrBusy) && !errors.Is(err, executor.ErrClosed) {
		a.opts.Logger.Warn("a request could not be served", "request_id", x.ID, "route", x.Route, "doing", doing, "error", err)
	}
	httpapi.Unavailable(w)
}
