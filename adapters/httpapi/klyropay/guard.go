package klyropay

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/merchant"
)

// Messages of the document's error reference.
const (
	messageKeyMissing   = "API key is missing"
	messageKeyInvalid   = "Invalid API key"
	messageKeyInactive  = "API key is inactive or expired"
	messageNoWhitelist  = "No IP whitelist configured"
	messageNotListed    = "Your IP is not whitelisted"
	messageNoAccess     = "You do not have access to this service"
	messageDuplicate    = "Duplicate request"
	messageValidation   = "Validation failed"
	messageInsufficient = "Insufficient wallet balance"
)

// Messages beyond it.
const (
	messageUnknown   = "Transaction not found"
	messageKeyReused = "Idempotency-Key was used with a different request"
)

// maxKeyBytes bounds what is hashed as an API key.
const maxKeyBytes = 256

// access is what an endpoint asks of the caller.
type access struct {
	service merchant.Service // "": none
	roles   []merchant.Role  // of the keys that may; nil: any
}

// The roles that may do what is not for all of a merchant's keys: pay at once; ask for payments; decide about batches.
func whoPays() []merchant.Role    { return []merchant.Role{merchant.Full} }
func whoMakes() []merchant.Role   { return []merchant.Role{merchant.Full, merchant.Maker} }
func whoDecides() []merchant.Role { return []merchant.Role{merchant.Full, merchant.Checker} }

// lets tells whether a key of the merchant may. The banks behind these services are real: what an app plays with in test mode never gets there, whatever services
// it has.
func (need access) lets(m *merchant.Merchant, k *merchant.Key) bool {
	plays := m.App != nil && m.App.Mode != merchant.Live
	return !m.Suspended && (need.service == "" || m.HasService(need.service) && !plays) && (need.roles == nil || slices.Contains(need.roles, k.Role))
}

// caller is who asks, authenticated.
type caller struct {
	merchant merchant.Merchant
	key      merchant.Key
	exchange *httpapi.Exchange
	place    *httpapi.Place // in work, of a command
}

// guard admits a request: key, then address, then rate, then service and role.
func (a *API) guard(need access, serve handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := a.authenticate(w, r)
		if c == nil {
			return
		}
		m := &c.merchant
		switch {
		case len(m.AllowedIPs) == 0:
			httpapi.Fail(w, http.StatusForbidden, messageNoWhitelist)
			return
		case !m.Allows(c.exchange.Client):
			httpapi.Fail(w, http.StatusForbidden, messageNotListed)
			return
		}
		if ok, wait := a.requests.Allow(c.key.ID, a.opts.Clock()); !ok {
			limited(w, wait)
			return
		}
		if !need.lets(m, &c.key) {
			httpapi.Fail(w, http.StatusForbidden, messageNoAccess)
			return
		}
		serve(w, r, c)
	})
}

// handler serves a request of a caller.
type handler func(http.ResponseWriter, *http.Request, *caller)

// reads serves a request that reads, when there is room for one.
func (a *API) reads(serve handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *caller) {
		if place, ok := a.opts.Reads.Admit(w, r, c.merchant.ID); ok {
			place.Answer(w, func(w http.ResponseWriter) { serve(w, r, c) })
		}
	}
}

// works admits a command to a place in work, which the caller gives back. Its body has been read: who sends slowly has no place. It answers for
// itself when it returns false.
func (a *API) works(w http.ResponseWriter, r *http.Request, c *caller) bool {
	place, ok := a.opts.Commands.Admit(w, r, c.merchant.ID)
	c.place = place
	return ok
}

func placed(gate *httpapi.Gate, serve handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *caller) {
		place, ok := gate.Admit(w, r, c.merchant.ID)
		if !ok {
			return
		}
		defer place.Leave()
		serve(w, r, c)
	}
}

func limited(w http.ResponseWriter, wait time.Duration) {
	httpapi.RetryAfter(w, wait)
	httpapi.Fail(w, http.StatusTooManyRequests, httpapi.MessageRate)
}

// authenticate returns who asks, or answers 401 and returns nil.
func (a *API) authenticate(w http.ResponseWriter, r *http.Request) *caller {
	x := httpapi.From(r.Context())
	keys := r.Header["X-Api-Key"]
	if len(keys) == 0 || keys[0] == "" {
		a.unauthorized(w, x, messageKeyMissing)
		return nil
	}
	if len(keys) > 1 || len(keys[0]) > maxKeyBytes {
		a.unauthorized(w, x, messageKeyInvalid)
		return nil
	}
	m, key, found, err := a.ports.Merchants.ByKeyHash(r.Context(), hash([]byte(keys[0])))
	switch {
	case err != nil:
		a.fault(w, r, "looking up an API key", err)
		return nil
	case !found:
		a.unauthorized(w, x, messageKeyInvalid)
		return nil
	}
	x.KeyID = key.ID
	if !key.Active(a.opts.Clock()) {
		a.unauthorized(w, x, messageKeyInactive)
		return nil
	}
	return &caller{merchant: m, key: key, exchange: x}
}

// unauthorized answers a failed authentication: 401, or 429 to an address that has failed too often.
func (a *API) unauthorized(w http.ResponseWriter, x *httpapi.Exchange, message string) {
	if ok, wait := a.failures.Allow(httpapi.Neighbourhood(x.Client), a.opts.Clock()); !ok {
		limited(w, wait)
		return
	}
	httpapi.Fail(w, http.StatusUnauthorized, message)
}

// hash is a SHA-256 in lower-case hexadecimal.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
