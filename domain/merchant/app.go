package merchant

import (
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
)

// App is what a merchant of the KS Pay API has beside what every merchant has. Its merchant's id is the app's: ap_ and nine letters or
// digits. Slices are replaced, never written to.
type App struct {
	UserID     string        `json:"user_id"` // us_...
	Mode       Mode          `json:"mode"`
	Domains    []string      `json:"domains"` // origins that its customers' browsers may call from: https://shop.example
	Currencies []AppCurrency `json:"currencies"`
	Gateways   []Gateway     `json:"gateways"`
}

// Mode separates play from earnest: an app, its keys and its gateway accounts are of one mode for ever.
type Mode string

// The modes.
const (
	Test Mode = "test"
	Live Mode = "live"
)

// AppCurrency is a currency that an app takes, and what a payment in it costs.
type AppCurrency struct {
	Currency  money.Currency `json:"currency"`
	Enabled   bool           `json:"enabled"`
	Plan      fee.Plan       `json:"plan"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
}

// Gateway is an app's account at a payment company: a gateway configuration. It takes payments when it is enabled and verified. Its secrets
// are in the vault, under SecretName.
type Gateway struct {
	ID          string   `json:"id"` // gc_...
	Gateway     string   `json:"gateway"`
	Version     int      `json:"version"` // of its secrets; 0: there are none yet
	Public      string   `json:"public"`  // the credential that customers' browsers see
	Enabled     bool     `json:"enabled"`
	Ranks       []Rank   `json:"ranks"`       // the currencies that it takes
	Methods     []Method `json:"methods"`     // that it offers; none: all that the company has
	Credentials Step     `json:"credentials"` // step 1
	Webhook     Step     `json:"webhook"`     // step 2
	Package     Step     `json:"package"`     // step 3
	Security    Step     `json:"security"`    // step 4
	Trial       string   `json:"trial"`       // transaction of the trial order that is under way
	Failure     string   `json:"failure"`     // why a step failed
}

// Rank is the place of a gateway among an app's for a currency: 1 goes first.
type Rank struct {
	Currency money.Currency `json:"currency"`
	Priority int            `json:"priority"`
}

// Step is how far a step of a gateway's set-up is.
type Step string

// The steps' states. One trial order, paid, verifies the first three.
const (
	StepPending        Step = ""
	StepInVerification Step = "in_verification"
	StepVerified       Step = "verified"
	StepFailed         Step = "failed"
)

// Tried reports whether the first three steps are verified.
func (g *Gateway) Tried() bool {
	return g.Credentials == StepVerified && g.Webhook == StepVerified && g.Package == StepVerified
}

// Verified reports whether the set-up is complete.
func (g *Gateway) Verified() bool { return g.Tried() && g.Security == StepVerified }

// Usable reports whether payments may go through it.
func (g *Gateway) Usable() bool { return g.Enabled && g.Verified() }

// SecretName is where the vault has the secrets of a version of a gateway configuration, as JSON of GatewaySecrets.
func (g *Gateway) SecretName() string { return GatewaySecretName(g.ID, g.Version) }

// offers reports whether the configuration offers a method; "" is any.
func (g *Gateway) offers(m Method, company []Method) bool {
	all := g.Methods
	if len(all) == 0 {
		all = company
	}
	return m == "" || slices.Contains(all, m)
}

// priority is the configuration's rank for a currency; false when it does not take it.
func (g *Gateway) priority(c money.Currency) (int, bool) {
	for _, r := range g.Ranks {
		if r.Currency == c {
			return r.Priority, true
		}
	}
	return 0, false
}

// Gateway finds a configuration by its id.
func (a *App) Gateway(id string) (Gateway, bool) {
	for _, g := range a.Gateways {
		if g.ID == id {
			return g, true
		}
	}
	return Gateway{}, false
}

// Plan is the fee plan of an enabled currency; false when the app does not take it.
func (a *App) Plan(c money.Currency) (fee.Plan, bool) {
	for i := range a.Currencies {
		if k := &a.Currencies[i]; k.Currency == c && k.Enabled {
			return k.Plan, true
		}
	}
	return fee.Plan{}, false
}

// MethodsOf are the methods that customers can choose from in a currency: of the usable gateways that take it, in the order of Methods. company
// tells what a payment company offers, and nil for one that is not built in.
func (a *App) MethodsOf(c money.Currency, company func(gateway string) []Method) []Method {
	var out []Method
	for _, m := range Methods() {
		for i := range a.Gateways {
			g := &a.Gateways[i]
			if _, takes := g.priority(c); g.Usable() && takes && g.offers(m, company(g.Gateway)) {
				out = append(out, m)
				break
			}
		}
	}
	return out
}

// Candidates are the app's gateways as a payment's routing sees them. failing tells, by configuration, which have kept failing lately.
func (a *App) Candidates(c money.Currency, m Method, company func(gateway string) []Method, failing func(config string) bool) []route.Candidate {
	out := make([]route.Candidate, len(a.Gateways))
	for i := range a.Gateways {
		g := &a.Gateways[i]
		priority, takes := g.priority(c)
		out[i] = route.Candidate{
			Config: g.ID, Gateway: g.Gateway, Priority: priority, Enabled: g.Enabled, Verified: g.Verified(),
			Currency: takes, Method: g.offers(m, company(g.Gateway)), Failing: failing(g.ID),
		}
	}
	return out
}

// AllowsOrigin reports whether a browser may call from an origin, such as https://shop.example. An app without domains allows none.
func (a *App) AllowsOrigin(origin string) bool {
	o, err := canonicalOrigin(origin)
	return err == nil && strings.Contains(origin, "://") && slices.Contains(a.Domains, o)
}

// GatewaySecrets is what the vault has of a gateway configuration.
type GatewaySecrets struct {
	Credentials   map[string]string `json:"credentials"`
	WebhookSecret string            `json:"webhook_secret,omitempty"`
}

// AppOpened makes a merchant an app.
type AppOpened struct {
	Of
	UserID     string        `json:"user_id"`
	Mode       Mode          `json:"mode"`
	Currencies []AppCurrency `json:"currencies"`
	Domains    []string      `json:"domains"`
}

// DomainsSet says from which origins an app's customers may call.
type DomainsSet struct {
	Of
	Domains []string `json:"domains"`
}

// CurrencySet says whether an app takes a currency, and what a payment in it costs.
type CurrencySet struct {
	Of
	Currency AppCurrency `json:"currency"`
}

// GatewayAdded gives an app an account at a payment company; nothing of it is known yet.
type GatewayAdded struct {
	Of
	Config  string   `json:"config"`
	Gateway string   `json:"gateway"`
	Ranks   []Rank   `json:"ranks"`
	Methods []Method `json:"methods"`
}

// GatewayStepSet is a step of a gateway's set-up that was taken: see the Step fields of Gateway. Version is that of its secrets from now on.
type GatewayStepSet struct {
	Of
	Config  string `json:"config"`
	Step    string `json:"step"` // credentials, webhook, package or security
	State   Step   `json:"state"`
	Version int    `json:"version"`
	Public  string `json:"public,omitempty"`
	Failure string `json:"failure,omitempty"`
}

// GatewayTrialStarted names the trial order that is to verify the first three steps.
type GatewayTrialStarted struct {
	Of
	Config      string `json:"config"`
	Transaction string `json:"transaction"`
}

// GatewayTrialEnded says what came of it.
type GatewayTrialEnded struct {
	Of
	Config      string `json:"config"`
	Transaction string `json:"transaction"`
	Passed      bool   `json:"passed"`
	Failure     string `json:"failure,omitempty"`
}

// GatewayReset begins a gateway's set-up anew. It takes no payments until that is complete.
type GatewayReset struct {
	Of
	Config string `json:"config"`
}

// GatewaySwitched enables or disables a gateway.
type GatewaySwitched struct {
	Of
	Config  string `json:"config"`
	Enabled bool   `json:"enabled"`
}

// GatewayRanked changes which currencies a gateway takes, in which place, and the methods that it offers.
type GatewayRanked struct {
	Of
	Config  string   `json:"config"`
	Ranks   []Rank   `json:"ranks"`
	Methods []Method `json:"methods"`
}

// evolveApp brings what makes a merchant an app behind an event.
func (m *Merchant) evolveApp(e Event) {
	if e, opens := e.(*AppOpened); opens {
		m.App = &App{UserID: e.UserID, Mode: e.Mode, Domains: slices.Clone(e.Domains), Currencies: slices.Clone(e.Currencies)}
		return
	}
	if m.App == nil {
		return
	}
	a := *m.App
	m.App = &a
	switch e := e.(type) {
	case *DomainsSet:
		a.Domains = slices.Clone(e.Domains)
	case *CurrencySet:
		a.Currencies = slices.DeleteFunc(slices.Clone(a.Currencies), func(k AppCurrency) bool { return k.Currency == e.Currency.Currency })
		a.Currencies = append(a.Currencies, e.Currency)
		slices.SortFunc(a.Currencies, byCurrency)
	case *GatewayAdded:
		a.Gateways = append(slices.Clone(a.Gateways), Gateway{ID: e.Config, Gateway: e.Gateway, Ranks: e.Ranks, Methods: e.Methods})
	case *GatewayStepSet:
		a.change(e.Config, func(g *Gateway) { g.step(e) })
	case *GatewayTrialStarted:
		a.change(e.Config, func(g *Gateway) { g.Trial, g.Failure = e.Transaction, "" })
	case *GatewayTrialEnded:
		a.change(e.Config, func(g *Gateway) { g.end(e) })
	case *GatewayReset:
		a.change(e.Config, func(g *Gateway) {
			g.Credentials, g.Webhook, g.Package, g.Security = StepPending, StepPending, StepPending, StepPending
			g.Trial, g.Failure = "", ""
		})
	case *GatewaySwitched:
		a.change(e.Config, func(g *Gateway) { g.Enabled = e.Enabled })
	case *GatewayRanked:
		a.change(e.Config, func(g *Gateway) { g.Ranks, g.Methods = e.Ranks, e.Methods })
	}
}

func (a *App) change(id string, change func(*Gateway)) {
	a.Gateways = slices.Clone(a.Gateways)
	for i := range a.Gateways {
		if a.Gateways[i].ID == id {
			change(&a.Gateways[i])
		}
	}
}

// at is the place of a step's state.
func (g *Gateway) at(step string) *Step {
	switch step {
	case StepCredentials:
		return &g.Credentials
	case StepWebhook:
		return &g.Webhook
	case StepPackage:
		return &g.Package
	case StepSecurity:
		return &g.Security
	}
	return nil
}

func (g *Gateway) step(e *GatewayStepSet) {
	if at := g.at(e.Step); at != nil {
		*at = e.State
	}
	g.Version, g.Failure = e.Version, e.Failure
	if e.Public != "" {
		g.Public = e.Public
	}
}

func (g *Gateway) end(e *GatewayTrialEnded) {
	if g.Trial != e.Transaction {
		return
	}
	state := StepFailed
	if e.Passed {
		state = StepVerified
	}
	g.Credentials, g.Webhook, g.Package = state, state, state
	g.Trial, g.Failure = "", e.Failure
}
