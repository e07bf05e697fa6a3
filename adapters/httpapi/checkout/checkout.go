package checkout

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Tickets reads the tokens of pages; see ticket.Book.
type Tickets interface {
	Open(kind ticket.Kind, text string, now time.Time) (ticket.Ticket, error)
}

// Merchants knows who is paid.
type Merchants interface {
	// Merchant is a merchant as it is now, or was within the last second. domain.NotFound when there is none.
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
}

// Payments knows what is paid.
type Payments interface {
	// Payment is a payment as the log has it. domain.NotFound when the merchant has none of that id.
	Payment(ctx context.Context, merchantID, id string) (wallet.Payment, error)
	// Subject finds a payment by its txn_ref; found is false when there is none.
	Subject(ctx context.Context, reference string) (merchantID, id string, kind wallet.Kind, found bool, err error)
}

// Company is a payment company, as customers know it.
type Company struct {
	Title   string
	Methods []merchant.Method
}

// Next is how the customer's browser goes on: a form that it posts, a link, or a UPI link to be shown.
type Next struct {
	Post   bool
	URL    string
	Fields []Field
	UPI    string
}

// Field is a field of a form.
type Field struct{ Name, Value string }

// Checkouts goes on to gateways; see gateway.Checkouts.
type Checkouts interface {
	// Company knows a gateway by its name; the zero value is one that is not built in.
	Company(name string) Company
	Ensure(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error)
	Begin(ctx context.Context, app merchant.Merchant, p wallet.Payment, m merchant.Method) (Next, error)
	Return(ctx context.Context, app merchant.Merchant, p wallet.Payment, form url.Values) (wallet.Payment, error)
	Refresh(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error)
}

// Vault opens what is sealed: where the customer goes after paying.
type Vault interface {
	UnsealString(ctx context.Context, id uuid.UUID, sealed string) (string, error)
}

// Ports are what the pages stand on.
type Ports struct {
	Tickets   Tickets
	Merchants Merchants
	Payments  Payments
	Checkouts Checkouts
	Vault     Vault
}

// Options of the pages; the zero value is good.
type Options struct {
	RateLimit int              // requests of an address in a minute; default 300; negative: no limit
	Clock     func() time.Time // default time.Now
	Logger    *slog.Logger     // default: nothing is logged
	Gate      *httpapi.Gate    // how many are served at the same time, of all and of an address; nil: as many as come
}

// Bounds of the pages.
const (
	defaultRate = 300
	maxForm     = 64 << 10 // what a gateway's page posts back
	within      = 25 * time.Second
)

// Pages serves them.
type Pages struct {
	ports Ports
	opts  Options
	rate  *httpapi.Limiter // by address

	layout *template.Template
}

// New makes the pages.
func New(p Ports, o Options) *Pages {
	if o.RateLimit == 0 {
		o.RateLimit = defaultRate
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Pages{ports: p, opts: o, rate: httpapi.NewLimiter(o.RateLimit), layout: template.Must(template.New("page").Parse(pageTemplate))}
}

// Paths of the pages.
const (
	PathPage   = "/checkout/{token}"
	PathPay    = PathPage + "/pay"
	PathReturn = PathPage + "/return"
	PathStatus = PathPage + "/status"
	PathPayin  = "/pay/{txn_ref}"
	PathAsk    = PathPayin + "/status"

	pathStyle  = "/checkout-assets/page.css"
	pathScript = "/checkout-assets/page.js"
)

// Register adds the routes.
func (g *Pages) Register(rt *httpapi.Router) {
	get, post := http.MethodGet, http.MethodPost
	rt.Handle(get, PathPage, g.guard(g.page))
	rt.Handle(post, PathPay, g.guard(g.pay))
	rt.Handle(get, PathReturn, g.guard(g.back))
	rt.Handle(post, PathReturn, g.guard(g.back))
	rt.Handle(get, PathStatus, httpapi.Quietly(g.guard(g.status)))
	rt.Handle(get, PathPayin, g.guard(g.payin))
	rt.Handle(get, PathAsk, httpapi.Quietly(g.guard(g.payinStatus)))
	rt.Handle(get, pathStyle, httpapi.Quietly(asset("text/css; charset=utf-8", style)))
	rt.Handle(get, pathScript, httpapi.Quietly(asset("text/javascript; charset=utf-8", script)))
}

// guard bounds how often and how long an address is served.
func (g *Pages) guard(serve func(http.ResponseWriter, *http.Request)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := httpapi.Neighbourhood(httpapi.From(r.Context()).Client)
		if ok, wait := g.rate.Allow(address, g.opts.Clock()); !ok {
			httpapi.RetryAfter(w, wait)
			g.fail(w, http.StatusTooManyRequests, "Too many requests", "Please wait a minute, then load this page again.")
			return
		}
		httpapi.Arrive(r)
		place, err := g.opts.Gate.Enter(r.Context(), address)
		if err != nil {
			httpapi.From(r.Context()).Quiet = true
			httpapi.RetryAfter(w, time.Second)
			g.fail(w, http.StatusServiceUnavailable, "One moment, please", "Too many people are paying right now. Please load this page again in a moment.")
			return
		}
		defer place.Leave()
		ctx, cancel := context.WithTimeout(r.Context(), within)
		defer cancel()
		serve(w, r.WithContext(ctx))
	})
}
