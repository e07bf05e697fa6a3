package kspay

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// Messages of customError.
const (
	messageDuplicate = "A transaction with this referenceNumber already exists"
	messageKeyReused = "Idempotency-Key was used with a different request"
	messageUnknown   = "The payment gateway gave no definite answer: send the same request again to go on with the same transaction"
)

// refusal is an error that is answered: a row of the table, filled.
type refusal struct {
	row     Row
	status  int
	values  []string
	counted bool // against the address that it came from: an attempt to get in
	wait    time.Duration
}

func (e *refusal) Error() string { return e.row.ID() }

// refuse makes a refusal by its row, with what is put into the message.
func refuse(id string, values ...string) *refusal {
	r := named(id)
	return &refusal{row: r, status: r.HTTP, values: values}
}

// denied is a refusal of somebody who tries to get in.
func denied(id string) *refusal {
	r := refuse(id)
	r.counted = true
	return r
}

// with gives the refusal another status than its row's.
func (e *refusal) with(status int) *refusal {
	e.status = status
	return e
}

// custom is a refusal whose words are ours.
func custom(format string, args ...any) *refusal {
	return refuse("(top)/customError", fmt.Sprintf(format, args...))
}

// fault is an error of what the API works with.
type fault struct {
	doing string
	in    place
	err   error
}

// place is where a fault happened. Of most it is told by 503 that they may pass.
type place int

const (
	inStore   place = iota
	inVault         // sealing
	inVerify        // looking up who a signature belongs to
	inGateway       // what knows gateways: what it returns and nobody expects is a fault of ours
)

func (f *fault) Error() string { return f.doing + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// failed wraps an error of a store; nil stays nil, and refusals of the domain are still found in it.
func failed(doing string, err error) error { return failedIn(inStore, doing, err) }

func failedIn(where place, doing string, err error) error {
	if err == nil {
		return nil
	}
	return &fault{doing, where, err}
}

// answer answers an error.
func (a *API) answer(c *call, err error) {
	r := translate(err)
	if r == nil {
		a.answerFault(c, err)
		return
	}
	if r.counted {
		if ok, wait := a.failures.Allow(httpapi.Neighbourhood(c.x.Client), a.opts.Clock()); !ok {
			r = refuse("customErrors/tooManyRequests")
			r.wait = wait
		}
	}
	if order, is := errors.AsType[*OrderError](err); is {
		a.opts.Logger.Warn("an order was not made", "request_id", c.x.ID, "gateway", order.Gateway, "unknown", order.Unknown, "error", order.Err)
	}
	if r.wait > 0 {
		httpapi.RetryAfter(c.w, r.wait)
	}
	c.fail(r.row, r.status, r.values)
}

// translate is the table from the errors of the domain and of gateways to those of the API; nil for a fault.
func translate(err error) *refusal {
	if r, is := errors.AsType[*refusal](err); is {
		return r
	}
	if e, is := errors.AsType[*OrderError](err); is {
		if e.Unknown {
			r := refuse("(top)/externalError", messageUnknown).with(http.StatusBadGateway)
			r.wait = time.Second
			return r
		}
		return refuse("systemError/externalProviderIssue")
	}
	if _, is := errors.AsType[*executor.DuplicateError](err); is {
		return custom(messageDuplicate)
	}
	e, is := errors.AsType[*domain.Error](err)
	if !is {
		return nil
	}
	if r, there := find(strings.Replace(e.Details[merchant.KSPayError], ".", "/", 1)); there && r.HTTP != 0 && !strings.Contains(r.Message, "${") {
		return refuse(r.ID())
	}
	switch e.Code {
	case domain.NotFound:
		return refuse("systemError/noDataFound")
	case domain.Duplicate:
		return custom(messageDuplicate)
	case domain.KeyReused:
		return custom(messageKeyReused)
	case domain.Forbidden:
		return refuse("systemError/unauthorizedAccess")
	case domain.Invalid:
		return custom("%s", fieldsOf(e))
	case domain.Stale:
		return custom("%s", e.Message)
	case domain.InsufficientBalance: // of payouts
	}
	return nil
}

// fieldsOf says which fields are wrong: "amount must be at least 300".
func fieldsOf(e *domain.Error) string {
	if len(e.Details) == 0 {
		return e.Message
	}
	var all []string
	for _, field := range slices.Sorted(maps.Keys(e.Details)) {
		all = append(all, field+" "+e.Details[field])
	}
	return strings.Join(all, "; ")
}

// broken reports a fault that trying again does not mend.
func broken(err error) bool {
	if _, is := errors.AsType[*domain.Error](err); is { // one that has no place in the API
		return true
	}
	for _, target := range []error{
		eventstore.ErrBroken, eventstore.ErrInvalid, eventstore.ErrNotFound, eventstore.ErrNewer, eventstore.ErrPartition,
		vault.ErrInvalid, vault.ErrTampered, vault.ErrErased, vault.ErrWrongMaster,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// passing reports a fault that is known to pass.
func passing(err error) bool {
	for _, target := range []error{
		executor.ErrBusy, executor.ErrClosed, executor.ErrOutcomeUnknown, executor.ErrStore, executor.ErrContended,
		eventstore.ErrConflict, eventstore.ErrDeposed, eventstore.ErrUnknown, driver.ErrBadConn, sql.ErrConnDone,
		context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	_, network := errors.AsType[net.Error](err)
	return network
}

// answerFault answers what is no refusal, and shows nothing of it. A store's fault may pass: dbError, but as a 503, since a client must not
// take it for a refusal. What is broken stays so, and is a 500. All are logged, except that a queue was full or that the client has gone.
func (a *API) answerFault(c *call, err error) {
	where := inGateway // an error that nobody has placed is ours
	doing := "serving"
	if f, is := errors.AsType[*fault](err); is {
		where, doing = f.in, f.doing
	}
	if broken(err) || where == inGateway && !passing(err) {
		a.opts.Logger.Error("a request failed", "request_id", c.x.ID, "route", c.x.Route, "doing", doing, "error", err)
		row := "systemError/oopsSomethingWentWrong"
		switch where {
		case inVault:
			row = "keyVaultErrors/encryptionError"
		case inVerify:
			row = "keyVaultErrors/generalVerificationError"
		case inStore, inGateway:
		}
		c.fail(named(row), http.StatusInternalServerError, nil)
		return
	}
	gone := errors.Is(c.r.Context().Err(), context.Canceled)
	full := errors.Is(err, executor.ErrBusy) || errors.Is(err, httpapi.ErrFull) || errors.Is(err, httpapi.ErrBodies)
	if !gone && !full && !errors.Is(err, executor.ErrClosed) {
		a.opts.Logger.Warn("a request could not be served", "request_id", c.x.ID, "route", c.x.Route, "doing", doing, "error", err)
	}
	httpapi.RetryAfter(c.w, time.Second)
	c.fail(named("systemError/dbError"), http.StatusServiceUnavailable, nil)
}

func (c *call) logPanic(fault any) {
	c.api.opts.Logger.Error("a handler panicked", "request_id", c.x.ID, "route", c.x.Route, "panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
}

// fail writes the envelope of errors.
func (c *call) fail(row Row, status int, values []string) {
	b := strconv.AppendInt([]byte(`{"status":`), int64(status), 10)
	b = strconv.AppendInt(append(b, `,"code":`...), int64(row.Code), 10)
	b = httpapi.AppendString(append(b, `,"message":`...), row.fill(values))
	c.write(status, append(b, `,"result":null}`...))
}
