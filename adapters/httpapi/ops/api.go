package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Views are the read models; *projections.Views is one.
type Views interface {
	// OperatorByKeyHash finds an operator by the key's SHA-256, in lower-case hexadecimal.
	OperatorByKeyHash(ctx context.Context, hash string) (merchant.Operator, bool, error)
	Merchants(ctx context.Context, after string, limit int) ([]merchant.Merchant, error)
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
	SuspenseList(ctx context.Context, f projections.SuspenseFilter) ([]projections.SuspenseEntry, error)
}

// Deliveries are the callbacks to merchants.
type Deliveries interface {
	// List returns a page, newest first, and the cursor of the next one. domain.Invalid for a cursor that is none.
	List(ctx context.Context, q DeliveryQuery) (page []Delivery, next string, err error)
	// Resend has a callback sent again. domain.NotFound when there is none.
	Resend(ctx context.Context, id string) (Delivery, error)
}

// Timeline reads the log.
type Timeline interface {
	// Timeline returns a payment's events in order. domain.NotFound when there is none.
	Timeline(ctx context.Context, id string) ([]Event, error)
}

// Merchants are changed in the log.
type Merchants interface {
	// SubmitMerchant carries out a command and returns the merchant after it. domain.NotFound, domain.Invalid.
	SubmitMerchant(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error)
}

// Batches are the batches of payouts of all merchants.
type Batches interface {
	// Cancel stops what is not drawn yet, and returns the batch; one that is cancelled already as it is. domain.NotFound;
	// domain.Stale when there is nothing left to stop.
	Cancel(ctx context.Context, of batch.Of, reason string, o eventstore.Origin) (batch.Batch, error)
}

// DeliveryQuery asks for a page of callbacks.
type DeliveryQuery struct {
	Merchant string // "": of all
	Status   string // "", pending, delivered or failed
	Limit    int    // 1 to MaxLimit
	Cursor   string
}

// Delivery is a callback.
type Delivery struct {
	ID            string    `json:"id"`
	Merchant      string    `json:"merchant_id"`
	Transaction   string    `json:"transaction_id"`
	Event         string    `json:"event"`
	Position      string    `json:"position"`
	PaymentStatus string    `json:"payment_status"` // what the callback tells
	Status        string    `json:"status"`         // pending, delivered, failed
	Attempts      int       `json:"attempts"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	CreatedAt     time.Time `json:"created_at"`
	DeliveredAt   time.Time `json:"delivered_at,omitzero"`
}

// Event is an event of a payment. Data is as stored; what is sealed in it is masked before it is shown.
type Event struct {
	Position    string          `json:"position"`
	Type        string          `json:"type"`
	EffectiveAt time.Time       `json:"effective_at"`
	RecordedAt  time.Time       `json:"recorded_at"`
	Actor       string          `json:"actor"`
	Request     string          `json:"request_id,omitempty"`
	Data        json.RawMessage `json:"data"`
	Hash        string          `json:"hash"`
	Before      *Balances       `json:"before,omitempty"` // of the wallet
	After       *Balances       `json:"after,omitempty"`
}

// Balances are a wallet's figures, decimal.
type Balances struct {
	Available string `json:"balance"`
	Locked    string `json:"locked_balance"`
	Owed      string `json:"owed"`
}

// Ports are what the API works with.
type Ports struct {
	Views          Views
	Deliveries     Deliveries
	Timeline       Timeline
	Merchants      Merchants
	Batches        Batches
	Books          Books
	Periods        Periods
	Auditor        Auditor
	Prover         Prover
	Packer         Packer
	Disputes       Disputes
	Refunds        Refunds
	Reconciliation Reconciliation
	Apps           Apps
	Trials         Trials
	AppPayments    AppPayments
}

// Options configure the API. Zero limits mean none.
type Options struct {
	RateLimit    int // requests per key and minute
	FailureLimit int // failed authentications per address and minute
	Exports      int // at once; 0: DefaultExports
	// Stopping ends exports that are under way; nil: nothing does.
	Stopping context.Context //nolint:containedctx // it is of the server's life, not of a call
	Clock    func() time.Time
	Logger   *slog.Logger
	// Gate bounds how many requests are in work, beside exports; nil: as many as come.
	Gate *httpapi.Gate
}

// Messages of refusals.
const (
	messageKeyMissing  = "Operator key is missing"
	messageKeyInvalid  = "Invalid operator key"
	messageKeyInactive = "Operator key is inactive or expired"
	messageRole        = "Your role does not allow this"
	messageValidation  = "Validation failed"
	messageStale       = "Batch has nothing left to cancel"
)

const maxKeyBytes = 256

// API serves operators.
type API struct {
	ports    Ports
	opts     Options
	requests *httpapi.Limiter
	failures *httpapi.Limiter
	exports  chan struct{} // a token for each that is under way
}

// New makes the API.
func New(p Ports, o Options) *API {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Exports <= 0 {
		o.Exports = DefaultExports
	}
	return &API{
		ports: p, opts: o, requests: httpapi.NewLimiter(o.RateLimit), failures: httpapi.NewLimiter(o.FailureLimit),
		exports: make(chan struct{}, o.Exports),
	}
}

// Register adds the API's routes.
func (a *API) Register(rt *httpapi.Router) {
	rt.Handle(http.MethodGet, "/ops/v1/merchants", a.guard(reads, a.merchants))
	rt.Handle(http.MethodGet, "/ops/v1/merchants/{id}", a.guard(reads, a.merchant))
	rt.Handle(http.MethodGet, "/ops/v1/merchants/{id}/approval", a.guard(reads, a.approval))
	rt.Handle(http.MethodPut, "/ops/v1/merchants/{id}/approval", a.guardChange(writes, a.setApproval))
	rt.Handle(http.MethodPost, "/ops/v1/merchants/{id}/batches/{batch}/cancel", a.guardChange(writes, a.cancelBatch))
	rt.Handle(http.MethodGet, "/ops/v1/suspense", a.guard(reads, a.suspense))
	rt.Handle(http.MethodGet, "/ops/v1/deliveries", a.guard(reads, a.deliveries))
	rt.Handle(http.MethodPost, "/ops/v1/deliveries/{id}/resend", a.guard(writes, a.resend))
	rt.Handle(http.MethodGet, "/ops/v1/transactions/{id}", a.guard(reads, a.transaction))
	rt.Handle(http.MethodGet, "/ops/v1/transactions/{id}/pack", a.guardExport(reads, a.pack))
	rt.Handle(http.MethodPost, "/ops/v1/transactions/{id}/disputes", a.guardChange(writes, a.openDispute))
	rt.Handle(http.MethodGet, "/ops/v1/payins/{id}/refunds", a.guard(reads, a.refunds))
	rt.Handle(http.MethodPost, "/ops/v1/payins/{id}/refunds", a.guardChange(writes, a.refundPayin))
	rt.Handle(http.MethodGet, "/ops/v1/disputes", a.guard(reads, a.disputes))
	rt.Handle(http.MethodGet, "/ops/v1/disputes/{id}", a.guard(reads, a.dispute))
	rt.Handle(http.MethodPost, "/ops/v1/disputes/{id}/evidence", a.guardBody(writes, maxEvidenceBody, a.attachEvidence))
	rt.Handle(http.MethodPost, "/ops/v1/disputes/{id}/escalate", a.guardChange(writes, a.escalateDispute))
	rt.Handle(http.MethodPost, "/ops/v1/disputes/{id}/win", a.guardChange(writes, a.settleDispute(wallet.SettleWon)))
	rt.Handle(http.MethodPost, "/ops/v1/disputes/{id}/lose", a.guardChange(writes, a.settleDispute(wallet.SettleLost)))
	rt.Handle(http.MethodPost, "/ops/v1/disputes/{id}/close", a.guardChange(writes, a.settleDispute(wallet.SettleClosed)))
	rt.Handle(http.MethodPost, "/ops/v1/disputes/{id}/reverse", a.guardChange(writes, a.settleDispute(wallet.SettleReversed)))
	rt.Handle(http.MethodGet, "/ops/v1/audit/trial-balance", a.guard(reads, a.trialBalance))
	rt.Handle(http.MethodGet, "/ops/v1/audit/periods", a.guard(reads, a.periods))
	rt.Handle(http.MethodPost, "/ops/v1/audit/periods", a.guardChange(writes, a.closePeriod))
	rt.Handle(http.MethodPost, "/ops/v1/audit/periods/{period}/reopen", a.guardChange(writes, a.requestReopen))
	rt.Handle(http.MethodPost, "/ops/v1/audit/periods/{period}/reopen/approve", a.guardChange(approves, a.approveReopen))
	rt.Handle(http.MethodGet, "/ops/v1/audit/statement", a.guardExport(audits, a.statement))
	rt.Handle(http.MethodGet, "/ops/v1/audit/journal", a.guardExport(audits, a.journal))
	rt.Handle(http.MethodGet, "/ops/v1/audit/edit-log", a.guardExport(audits, a.editLog))
	rt.Handle(http.MethodGet, "/ops/v1/replay/{subject}", a.guardExport(reads, a.replay))
	rt.Handle(http.MethodGet, "/ops/v1/proof/key", a.guardExport(audits, a.proofKey))
	rt.Handle(http.MethodGet, "/ops/v1/proof/checkpoint", a.guardExport(audits, a.proofCheckpoint))
	rt.Handle(http.MethodGet, "/ops/v1/proof/include/{subject}", a.guardExport(audits, a.proofInclude))
	rt.Handle(http.MethodPost, "/ops/v1/proof/include/{subject}", a.guardUpload(audits, a.proofIncludeUnder))
	rt.Handle(http.MethodPost, "/ops/v1/proof/consistency", a.guardUpload(audits, a.proofConsistency))
	a.registerReconciliation(rt)
	a.registerApps(rt)
}

// reads and writes are who may.
func reads(r merchant.Role) bool {
	switch r {
	case merchant.Owner, merchant.Maker, merchant.Checker, merchant.Auditor, merchant.Support:
		return true
	default:
		return false
	}
}

func writes(r merchant.Role) bool { return r == merchant.Owner || r == merchant.Maker }

// handler serves a request of an operator: it returns the answer's data, or an error for refuse.
type handler func(r *http.Request, by merchant.Operator) (any, error)

// guard admits a request and answers it.
func (a *API) guard(may func(merchant.Role) bool, serve handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok := a.admit(w, r, may)
		if !ok {
			return
		}
		place, ok := a.opts.Gate.Admit(w, r, by.ID)
		if !ok {
			return
		}
		defer place.Leave()
		data, err := serve(r, by)
		a.answer(w, r, data, err)
	})
}

// admit holds a request against key, then rate, then role. It answers for itself when it returns false.
func (a *API) admit(w http.ResponseWriter, r *http.Request, may func(merchant.Role) bool) (merchant.Operator, bool) {
	by, ok := a.authenticate(w, r)
	if !ok {
		return merchant.Operator{}, false
	}
	if ok, wait := a.requests.Allow(by.ID, a.opts.Clock()); !ok {
		httpapi.RetryAfter(w, wait)
		httpapi.Fail(w, http.StatusTooManyRequests, httpapi.MessageRate)
		return merchant.Operator{}, false
	}
	if !may(by.Role) {
		httpapi.Fail(w, http.StatusForbidden, messageRole)
		return merchant.Operator{}, false
	}
	return by, true
}

// answer answers with what a handler has returned.
func (a *API) answer(w http.ResponseWriter, r *http.Request, data any, err error) {
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	body, err := json.Marshal(struct {
		Success bool `json:"success"`
		Data    any  `json:"data"`
	}{true, data})
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	httpapi.Write(w, http.StatusOK, body)
}

func (a *API) authenticate(w http.ResponseWriter, r *http.Request) (merchant.Operator, bool) {
	x := httpapi.From(r.Context())
	keys := r.Header["X-Operator-Key"]
	if len(keys) == 0 || keys[0] == "" {
		a.unauthorized(w, x, messageKeyMissing)
		return merchant.Operator{}, false
	}
	if len(keys) > 1 || len(keys[0]) > maxKeyBytes {
		a.unauthorized(w, x, messageKeyInvalid)
		return merchant.Operator{}, false
	}
	sum := sha256.Sum256([]byte(keys[0]))
	by, found, err := a.ports.Views.OperatorByKeyHash(r.Context(), hex.EncodeToString(sum[:]))
	switch {
	case err != nil:
		a.refuse(w, r, err)
		return merchant.Operator{}, false
	case !found:
		a.unauthorized(w, x, messageKeyInvalid)
		return merchant.Operator{}, false
	}
	x.KeyID = by.ID
	if !by.Key.Active(a.opts.Clock()) {
		a.unauthorized(w, x, messageKeyInactive)
		return merchant.Operator{}, false
	}
	return by, true
}

func (a *API) unauthorized(w http.ResponseWriter, x *httpapi.Exchange, message string) {
	if ok, wait := a.failures.Allow(httpapi.Neighbourhood(x.Client), a.opts.Clock()); !ok {
		httpapi.RetryAfter(w, wait)
		httpapi.Fail(w, http.StatusTooManyRequests, httpapi.MessageRate)
		return
	}
	httpapi.Fail(w, http.StatusUnauthorized, message)
}

// refuse answers an error: a refusal by its code; everything else is a fault, logged and answered 503.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var finding *Refuted
	switch {
	case errors.Is(err, httpapi.ErrTooLarge):
		httpapi.Fail(w, http.StatusRequestEntityTooLarge, httpapi.MessageTooLarge)
		return
	case errors.As(err, &finding):
		httpapi.Fail(w, http.StatusConflict, finding.Problem)
		return
	}
	switch domain.CodeOf(err) {
	case domain.Forbidden:
		httpapi.Fail(w, http.StatusForbidden, messageRole)
	case domain.NotFound:
		httpapi.Fail(w, http.StatusNotFound, httpapi.MessageNotFound)
	case domain.Stale:
		httpapi.Fail(w, http.StatusConflict, message(err))
	case domain.Invalid:
		httpapi.Write(w, http.StatusUnprocessableEntity, invalid(err))
	default:
		x := httpapi.From(r.Context())
		a.opts.Logger.Warn("an operator's request could not be served", "request_id", x.ID, "route", x.Route, "error", err)
		httpapi.Unavailable(w)
	}
}

// message is what a refusal says to people.
func message(err error) string {
	var refusal *domain.Error
	if errors.As(err, &refusal) {
		return refusal.Message
	}
	return err.Error()
}
