package kspay

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Options configure the API. Zero values take the defaults, but zero limits mean none.
type Options struct {
	MaxBody        int64          // bytes of a request body; default 64 KiB
	RateLimit      int            // requests per key and minute; and per signature, or transaction, of those that customers send
	FailureLimit   int            // failed authentications per address and minute
	TokenLife      time.Duration  // of access tokens; default 15 minutes
	RefreshLife    time.Duration  // of refresh tokens; default 24 hours
	SignatureLife  time.Duration  // default 10 minutes
	CheckoutExpiry time.Duration  // how long a transaction can be paid; default 30 minutes
	SubmitWithin   time.Duration  // how long a command may take to be durable; default 15 s
	OrderWithin    time.Duration  // how long a gateway's order may take; default 40 s
	Zone           *time.Location // of fromDate and toDate without a time of day; default Asia/Kolkata
	// CheckoutURL is the address of our hosted page for a transaction; required.
	CheckoutURL func(p wallet.Payment) string
	Clock       func() time.Time
	Logger      *slog.Logger

	// How many requests may be in work: commands, reads, and what waits for a gateway.
	Commands, Reads, Waits *httpapi.Gate // nil: as many as come
}

// Defaults.
const (
	DefaultMaxBody        = 64 << 10
	DefaultFailureLimit   = 300
	DefaultTokenLife      = 15 * time.Minute
	DefaultRefreshLife    = 24 * time.Hour
	DefaultSignatureLife  = 10 * time.Minute
	DefaultCheckoutExpiry = 30 * time.Minute
	defaultSubmitWithin   = 15 * time.Second
	defaultOrderWithin    = 40 * time.Second
)

func (o Options) withDefaults() Options {
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	for _, d := range []struct {
		of     *time.Duration
		preset time.Duration
	}{
		{&o.TokenLife, DefaultTokenLife}, {&o.RefreshLife, DefaultRefreshLife}, {&o.SignatureLife, DefaultSignatureLife},
		{&o.CheckoutExpiry, DefaultCheckoutExpiry}, {&o.SubmitWithin, defaultSubmitWithin}, {&o.OrderWithin, defaultOrderWithin},
	} {
		if *d.of <= 0 {
			*d.of = d.preset
		}
	}
	if o.Zone == nil {
		o.Zone = time.FixedZone("Asia/Kolkata", 5*3600+1800) // which has had no other offset since 1945
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// API serves the dialect.
type API struct {
	ports    Ports
	opts     Options
	tickets  *ticket.Book
	requests *httpapi.Limiter // by key id, signature, or transaction
	failures *httpapi.Limiter // by address
}

// New makes the API. It refuses ports and options that leave open what it cannot do without.
func New(p Ports, tickets *ticket.Book, o Options) (*API, error) {
	switch {
	case p.Merchants == nil || p.Ledger == nil || p.Vault == nil || p.Views == nil || p.Checkouts == nil || p.Spent == nil:
		return nil, errors.New("kspay: a port is missing")
	case tickets == nil:
		return nil, errors.New("kspay: there is nothing to make tokens with")
	case o.CheckoutURL == nil:
		return nil, errors.New("kspay: the options do not say where the checkout page is")
	}
	o = o.withDefaults()
	return &API{
		ports: p, opts: o, tickets: tickets,
		requests: httpapi.NewLimiter(o.RateLimit), failures: httpapi.NewLimiter(o.FailureLimit),
	}, nil
}

// Prefix is in front of every path; each is served without it, too.
const Prefix = "/v1"

// Paths of the API, without the prefix.
const (
	PathGenerateToken     = "/auth/generate-token/{appId}"     //nolint:gosec // a path, no secret
	PathGenerateSignature = "/auth/generate-signature/{appId}" //nolint:gosec // a path, no secret
	PathRefreshToken      = "/auth/refresh-token"              //nolint:gosec // a path, no secret
	PathCurrencies        = "/currencies"
	PathPaymentMethods    = "/{currencyId}/payment-methods"
	PathInitiate          = "/transaction/initiate"
	PathProcess           = "/transaction/process"
	PathPayUHash          = "/payU/hash/{altTxnId}"
	PathTransaction       = "/transaction/txnId/{id}"
	PathByReference       = "/transaction/referenceNo/{referenceNumber}"
	PathTransactions      = "/transaction"
)

// route is an endpoint.
type route struct {
	method, path string
	serve        func(*call) error
	browsers     bool // may call it: it needs no secret key
}

func (a *API) routes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{post, PathGenerateToken, a.generateToken, false},
		{post, PathGenerateSignature, a.generateSignature, false},
		{post, PathRefreshToken, a.refreshToken, false},
		{get, PathCurrencies, a.currencies, true},
		{get, PathPaymentMethods, a.paymentMethods, true},
		{post, PathInitiate, a.initiate, true},
		{post, PathProcess, a.process, true},
		{post, PathPayUHash, a.payuHash, true},
		{get, PathTransaction, a.transaction, true},
		{get, PathByReference, a.transactionByReference, true},
		{get, PathTransactions, a.transactions, true},
	}
}

// Register adds the API's routes, and answers what is below the prefix and no route.
func (a *API) Register(rt *httpapi.Router) {
	for _, one := range a.routes() {
		allow := one.method + ", " + http.MethodOptions
		if one.method == http.MethodGet {
			allow = "GET, HEAD, OPTIONS"
		}
		for _, prefix := range []string{Prefix, ""} {
			rt.Handle(one.method, prefix+one.path, a.handler(one.serve))
			rt.HandleFunc(http.MethodOptions, prefix+one.path, preflight(allow, one.browsers))
			for _, other := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
				if other != one.method {
					rt.Handle(other, prefix+one.path, a.handler(wrongMethod(allow)))
				}
			}
		}
	}
	rt.Mount(Prefix+"/", a.handler(func(c *call) error {
		return refuse("(top)/NotFoundUrl", httpapi.MessageNotFound)
	}))
}

func wrongMethod(allow string) func(*call) error {
	return func(c *call) error {
		c.w.Header().Set("Allow", allow)
		return refuse("(top)/NotFoundUrl", httpapi.MessageMethod).with(http.StatusMethodNotAllowed)
	}
}

// handler serves a call: what it returns is answered as an error.
func (a *API) handler(serve func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{api: a, w: w, r: r, x: httpapi.From(r.Context())}
		w.Header().Add("Vary", "Origin")
		defer c.recover()
		defer func() { c.inWork.Leave() }() // of which it has none yet
		if err := serve(c); err != nil {
			a.answer(c, err)
		}
	})
}

// recover answers a panic in the words of this API, and logs it. A handler that panics on purpose is left to.
func (c *call) recover() {
	fault := recover()
	if fault == nil {
		return
	}
	if err, isError := fault.(error); c.answered || isError && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	c.logPanic(fault)
	c.fail(named("systemError/oopsSomethingWentWrong"), http.StatusInternalServerError, nil)
}

// Routes lists methods and paths, without the prefix.
func Routes() [][2]string {
	var out [][2]string
	for _, r := range (&API{}).routes() {
		out = append(out, [2]string{r.method, r.path})
	}
	slices.SortFunc(out, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	return out
}
