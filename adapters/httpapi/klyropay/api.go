package klyropay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
	_ "time/tzdata" // so that the zone of lists can be loaded on machines without a time zone database

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// Merchants finds who a key belongs to.
type Merchants interface {
	// ByKeyHash finds merchant and key by the key's SHA-256, in lower-case hexadecimal; false when no merchant has it. A key
	// whose creation was answered, by any process, is found; other changes may come through within a second.
	ByKeyHash(ctx context.Context, hash string) (merchant.Merchant, merchant.Key, bool, error)
}

// Ledger takes commands, and waits for what becomes of them.
type Ledger interface {
	// Submit returns the payment after the command, when that is durable. Errors: *domain.Error, *executor.DuplicateError and
	// the executor's errors.
	Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error)
	// Await returns the payment as soon as until holds for it. When ctx ends first, it returns the payment as it is, with ctx's
	// error. A payment that does not exist is domain.NotFound.
	Await(ctx context.Context, merchantID, id string, until func(wallet.Payment) bool) (wallet.Payment, error)
}

// Log finds what holds an Idempotency-Key.
type Log interface {
	// Lookup returns the position of the record that holds a dedupe key of the merchant's partition; false when it is free.
	Lookup(ctx context.Context, merchantID, key string) (eventstore.Position, bool, error)
	Record(ctx context.Context, p eventstore.Position) (eventstore.Record, error)
}

// Vault seals and opens personal data, and compares with what is committed to; see eventstore/vault.
type Vault interface {
	SealString(ctx context.Context, owner string, id uuid.UUID, plaintext string) (string, error)
	UnsealString(ctx context.Context, id uuid.UUID, sealed string) (string, error)
	Fingerprint(ctx context.Context, owner, text string) (string, error)
	Matches(ctx context.Context, id uuid.UUID, committed, text string) (bool, error)
}

// Answers keeps what was answered under an Idempotency-Key; see eventstore/work.
type Answers interface {
	Answer(ctx context.Context, merchantID, scope, key string) (work.Answer, bool, error)
	// PutAnswer stores an answer unless there is one, and returns the one that stands.
	PutAnswer(ctx context.Context, a work.Answer) (work.Answer, error)
}

// Payments finds one payment of a merchant: domain.NotFound when it has none of that id, as if others' did not exist. What was
// answered before the call, by any process, is found.
type Payments interface {
	Payin(ctx context.Context, merchantID, txnRef string) (wallet.Payment, error)
	PayinByOrder(ctx context.Context, merchantID, orderID string) (wallet.Payment, error)
	Payout(ctx context.Context, merchantID, id string) (wallet.Payment, error)
	PayoutByRequest(ctx context.Context, merchantID, requestID string) (wallet.Payment, error)
}

// Lists reads a merchant's payments, newest first, and its balance. What was answered before the call is in it.
type Lists interface {
	// List returns a page. domain.Invalid, field "cursor", for a cursor that is none.
	List(ctx context.Context, q Query) (Page, error)
	// Balance returns zeros for a wallet without history.
	Balance(ctx context.Context, merchantID string, c money.Currency) (available, locked money.Amount, err error)
}

// Query asks for a page of payments.
type Query struct {
	Merchant string
	Kind     wallet.Kind   // payin or payout
	Status   wallet.Status // "": all
	From     time.Time     // made at or after; zero: no bound
	Until    time.Time     // made before; zero: no bound
	Page     int           // from 1; not used with a Cursor
	Limit    int           // 1 to MaxLimit
	Cursor   string        // opaque: NextCursor of the page before; "": by Page
}

// Page is a part of a list. Total counts all that the query's filters let through.
type Page struct {
	Items      []wallet.Payment
	Total      int64
	NextCursor string // "" at the end
}

// Ports are what the API works with.
type Ports struct {
	Merchants Merchants
	Ledger    Ledger
	Log       Log
	Vault     Vault
	Answers   Answers
	Payments  Payments
	Lists     Lists

	Batches    Batches // nil: the API has no batches
	BatchViews BatchViews
	BatchFiles BatchFiles
}

// Options configure the API. Zero values of Zone, Clock, Logger and the bounds take the defaults; a zero GatewayWait means not to
// wait, and zero limits mean none.
type Options struct {
	MaxBody      int64          // bytes of a request body; default 1 MiB
	MaxBatchBody int64          // bytes of a batch's body; default 64 MiB
	RateLimit    int            // requests per key and minute
	FailureLimit int            // failed authentications per address and minute
	PayinExpiry  time.Duration  // default 10 minutes
	GatewayWait  time.Duration  // how long a payout's answer waits for the bank
	SubmitWithin time.Duration  // how long a command may take to be durable; default 15 s
	BatchUpload  time.Duration  // how long the body of a batch may take to arrive; default 5 minutes
	BatchWithin  time.Duration  // how long a batch that has arrived may take to be durable; default 2 minutes
	TempDir      string         // where a batch is kept while it is read: on a disk, not in memory; default os.TempDir
	Zone         *time.Location // of from_date and to_date; default Asia/Kolkata
	VPA          string         // who is paid: the UPI address in intent_url; required
	PayeeName    string         // and the name; required
	Gateway      string         // name of the gateway that collects payins; required
	Clock        func() time.Time
	Logger       *slog.Logger

	// How many requests may be in work: commands, reads, and what waits for the bank, which is answered at once when there is no room to wait.
	Commands, Reads, Waits *httpapi.Gate // nil: as many as come
}

// Defaults.
const (
	DefaultFailureLimit = 300
	defaultPayinExpiry  = 10 * time.Minute
	defaultSubmitWithin = 15 * time.Second
	defaultBatchUpload  = 5 * time.Minute
	defaultBatchWithin  = 2 * time.Minute
	DefaultMaxBatchBody = 64 << 20
)

// API serves the dialect.
type API struct {
	ports    Ports
	opts     Options
	requests *httpapi.Limiter // by key id
	failures *httpapi.Limiter // by address
	uploads  *uploads
	results  *httpapi.Gate // sheets of results, which take as long as the client does
}

// New makes the API. It refuses options that leave open who collects payins.
func New(p Ports, o Options) (*API, error) {
	if o.VPA == "" || o.PayeeName == "" || o.Gateway == "" {
		return nil, errors.New("klyropay: the options name no VPA, payee or gateway")
	}
	if o.MaxBody <= 0 {
		o.MaxBody = httpapi.DefaultMaxBody
	}
	if o.MaxBatchBody <= 0 {
		o.MaxBatchBody = DefaultMaxBatchBody
	}
	if o.BatchUpload <= 0 {
		o.BatchUpload = defaultBatchUpload
	}
	if o.BatchWithin <= 0 {
		o.BatchWithin = defaultBatchWithin
	}
	if o.PayinExpiry <= 0 {
		o.PayinExpiry = defaultPayinExpiry
	}
	if o.SubmitWithin <= 0 {
		o.SubmitWithin = defaultSubmitWithin
	}
	if o.Zone == nil {
		o.Zone = india()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &API{
		ports: p, opts: o, requests: httpapi.NewLimiter(o.RateLimit), failures: httpapi.NewLimiter(o.FailureLimit),
		uploads: newUploads(), results: httpapi.NewGate("results", httpapi.Bounds{Most: maxResults, Share: maxResultsEach}),
	}, nil
}

// Gates are the API's own, beside those of its options: batches that wait to be read, and sheets of results.
func (a *API) Gates() []*httpapi.Gate { return []*httpapi.Gate{a.uploads.queue, a.results} }

// Paths of the API.
const (
	PathPayinCreate     = "/api/v1/payin/create"
	PathPayinStatus     = "/api/v1/payin/status/{txn_ref}"
	PathPayinOrder      = "/api/v1/payin/order/{order_id}"
	PathPayins          = "/api/v1/payin/transactions"
	PathPayoutProcess   = "/api/v1/services/payout/process"
	PathPayouts         = "/api/v1/transactions/service/payout"
	PathPayout          = "/api/v1/transactions/service/payout/{transaction_id}"
	PathPayoutByRequest = "/api/v1/transactions/service/payout/request/{partner_request_id}"
	PathBalance         = "/api/v1/wallet/balance"

	PathBatches       = "/api/v1/services/payout/batches"
	PathBatchTemplate = PathBatches + "/template"
	PathBatch         = PathBatches + "/{batch_id}"
	PathBatchItems    = PathBatch + "/items"
	PathBatchResults  = PathBatch + "/results"
	PathBatchApprove  = PathBatch + "/approve"
	PathBatchReject   = PathBatch + "/reject"
	PathBatchCancel   = PathBatch + "/cancel"
	PathBatchRetry    = PathBatch + "/retry-failed"
)

// Register adds the API's routes.
func (a *API) Register(rt *httpapi.Router) {
	get, post := http.MethodGet, http.MethodPost
	rt.Handle(post, PathPayinCreate, a.guard(access{merchant.Payin, whoMakes()}, a.creation(a.payinCreation())))
	rt.Handle(get, PathPayinStatus, a.guard(access{service: merchant.Payin}, a.reads(a.payinByRef)))
	rt.Handle(get, PathPayinOrder, a.guard(access{service: merchant.Payin}, a.reads(a.payinByOrder)))
	rt.Handle(get, PathPayins, a.guard(access{service: merchant.Payin}, a.reads(a.payins)))
	rt.Handle(post, PathPayoutProcess, a.guard(access{merchant.Payout, whoPays()}, a.creation(a.payoutCreation())))
	rt.Handle(get, PathPayouts, a.guard(access{service: merchant.Payout}, a.reads(a.payouts)))
	rt.Handle(get, PathPayout, a.guard(access{service: merchant.Payout}, a.reads(a.payout)))
	rt.Handle(get, PathPayoutByRequest, a.guard(access{service: merchant.Payout}, a.reads(a.payoutByRequest)))
	rt.Handle(get, PathBalance, a.guard(access{}, a.reads(a.balance)))
	if a.ports.Batches == nil {
		return
	}
	rt.Handle(post, PathBatches, a.guard(access{merchant.Payout, whoMakes()}, a.submitBatch))
	rt.Handle(get, PathBatches, a.guard(access{service: merchant.Payout}, a.reads(a.batches)))
	rt.Handle(get, PathBatchTemplate, a.guard(access{service: merchant.Payout}, a.batchTemplate))
	rt.Handle(get, PathBatch, a.guard(access{service: merchant.Payout}, a.reads(a.batch)))
	rt.Handle(get, PathBatchItems, a.guard(access{service: merchant.Payout}, a.reads(a.batchItems)))
	rt.Handle(get, PathBatchResults, a.guard(access{service: merchant.Payout}, placed(a.results, a.batchResults)))
	rt.Handle(post, PathBatchApprove, a.guard(access{merchant.Payout, whoDecides()}, a.approveBatch))
	rt.Handle(post, PathBatchReject, a.guard(access{merchant.Payout, whoDecides()}, a.rejectBatch))
	rt.Handle(post, PathBatchCancel, a.guard(access{service: merchant.Payout}, a.cancelBatch))
	rt.Handle(post, PathBatchRetry, a.guard(access{merchant.Payout, whoMakes()}, a.retryBatch))
}

// india is Asia/Kolkata, which has had no other offset since 1945.
func india() *time.Location { return time.FixedZone("Asia/Kolkata", 5*3600+1800) }
