package merchant

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
)

// Bounds of an app.
const (
	MinAppName    = 3   // characters
	MaxAppName    = 256 // characters
	MaxDomains    = 100
	MaxDomain     = 300 // bytes
	MaxCurrencies = 50
	MaxPriority   = 1000
	maxFailure    = 300 // bytes
	maxPublic     = 200 // bytes
)

// The steps of a gateway's set-up, in order.
const (
	StepCredentials = "credentials"
	StepWebhook     = "webhook"
	StepPackage     = "package"
	StepSecurity    = "security"
)

// KSPayError is the key in the Details of a refusal under which stands the name of the KS Pay error, as "module.name".
const KSPayError = "kspay"

// refused makes the refusal of a step, with its name in the KS Pay API.
func refused(name, message string) error {
	return &domain.Error{Code: domain.Stale, Message: message, Details: map[string]string{KSPayError: "gatewayErrors." + name}}
}

// NewApp is the part of Create that makes the merchant an app.
type NewApp struct {
	UserID     string
	Mode       Mode
	Domains    []string
	Currencies []AppCurrency
}

// SetDomains says from which origins an app's customers may call, all of them.
type SetDomains struct {
	Of
	Domains []string
}

// SetCurrency says whether an app takes a currency, and what a payment in it costs. A plan without an id keeps the one that is there, or is
// AppPlan.
type SetCurrency struct {
	Of
	Currency money.Currency
	Enabled  bool
	Plan     fee.Plan
	At       time.Time
}

// AddGateway gives an app an account at a payment company. Without ranks it takes every currency of the app, behind the other gateways.
type AddGateway struct {
	Of
	Config  string
	Gateway string
	Ranks   []Rank
	Methods []Method
}

// SetGatewayStep takes a step of a gateway's set-up. Its secrets, where the step has any, are in the vault under Version already. Failed says that
// the company has not accepted the credentials. Security also needs Domains.
type SetGatewayStep struct {
	Of
	Config  string
	Step    string
	Version int    // one more than the last, where the step brings secrets; else the last
	Public  string // of credentials
	Failed  string // of credentials: why; "" when they are good
}

// StartTrial names the trial order of a gateway.
type StartTrial struct {
	Of
	Config      string
	Transaction string
}

// EndTrial says what came of the trial order.
type EndTrial struct {
	Of
	Config      string
	Transaction string
	Passed      bool
	Failure     string
}

// ResetGateway begins a gateway's set-up anew.
type ResetGateway struct {
	Of
	Config string
}

// SwitchGateway enables or disables a gateway.
type SwitchGateway struct {
	Of
	Config  string
	Enabled bool
}

// RankGateway changes which currencies a gateway takes, in which place, and the methods that it offers; none: all that the company has.
type RankGateway struct {
	Of
	Config  string
	Ranks   []Rank
	Methods []Method
}

// GatewaySecretName is where the vault has the secrets of a version of a gateway configuration.
func GatewaySecretName(config string, version int) string {
	return "gateway/" + config + "/" + strconv.Itoa(version)
}

// AppPlan is the fee plan of an app's currency that was given none: payins at 1 %, of any amount.
func AppPlan(c money.Currency) fee.Plan {
	return fee.Plan{ID: "checkout", Version: 1, Currency: c, Payin: fee.Tariff{Commission: fee.Schedule{Percent: decimal.NewFromInt(1)}}}
}

func byCurrency(a, b AppCurrency) int { return cmp.Compare(a.Currency, b.Currency) }

// openApp is the event that makes a new merchant an app.
func openApp(of Of, n NewApp, at time.Time) (Event, error) {
	if n.Mode != Test && n.Mode != Live {
		return nil, domain.InvalidField("mode", "must be test or live")
	}
	if !ValidID("us_", n.UserID) {
		return nil, domain.InvalidField("user_id", wrongID("us_"))
	}
	if !ValidID("ap_", of.Merchant) {
		return nil, domain.InvalidField("app_id", wrongID("ap_"))
	}
	domains, err := canonicalOrigins(n.Domains)
	if err != nil {
		return nil, err
	}
	e := &AppOpened{Of: of, UserID: n.UserID, Mode: n.Mode, Domains: domains}
	for _, k := range n.Currencies {
		k, err := newCurrency(nil, SetCurrency{Currency: k.Currency, Enabled: true, Plan: k.Plan, At: at})
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(e.Currencies, func(o AppCurrency) bool { return o.Currency == k.Currency }) {
			return nil, domain.InvalidField("currencies", string(k.Currency)+" stands twice")
		}
		e.Currencies = append(e.Currencies, k)
	}
	slices.SortFunc(e.Currencies, byCurrency)
	if len(e.Currencies) == 0 || len(e.Currencies) > MaxCurrencies {
		return nil, domain.InvalidField("currencies", fmt.Sprintf("must be 1 to %d", MaxCurrencies))
	}
	return e, nil
}

// pairOf holds a key of an app against the app's mode: it is a pair of credentials, and of no other mode. Who is no app has no pairs.
func pairOf(mode Mode, k Key) error {
	if mode == "" && k.AccessKey != "" {
		return domain.InvalidField("key.access_key", "is for apps alone")
	}
	if mode != "" && !strings.HasPrefix(k.AccessKey, AccessKeyPrefix(mode)) {
		return domain.InvalidField("key.access_key", "must begin with "+AccessKeyPrefix(mode))
	}
	return nil
}

// decideApp decides the commands that only an app knows.
func decideApp(m *Merchant, c Command) ([]Event, error) {
	switch c.(type) {
	case SetDomains, SetCurrency, AddGateway, SetGatewayStep, StartTrial, EndTrial, ResetGateway, SwitchGateway, RankGateway:
	default:
		return nil, fmt.Errorf("merchant: command %T is not known", c)
	}
	if m.App == nil {
		return nil, domain.Errorf(domain.NotFound, "merchant %s is no app", m.ID)
	}
	switch c := c.(type) {
	case SetDomains:
		return setDomains(m.App, c)
	case SetCurrency:
		return setCurrency(m.App, c)
	case AddGateway:
		return addGateway(m.App, c)
	}
	return decideGateway(m.App, c)
}

func setDomains(a *App, c SetDomains) ([]Event, error) {
	domains, err := canonicalOrigins(c.Domains)
	if err != nil || slices.Equal(domains, a.Domains) {
		return nil, err
	}
	return []Event{&DomainsSet{Of: c.Of, Domains: domains}}, nil
}

func setCurrency(a *App, c SetCurrency) ([]Event, error) {
	var before *AppCurrency
	for i := range a.Currencies {
		if a.Currencies[i].Currency == c.Currency {
			before = &a.Currencies[i]
		}
	}
	if before == nil && len(a.Currencies) >= MaxCurrencies {
		return nil, domain.InvalidField("currency", fmt.Sprintf("would be more than the %d that an app may have", MaxCurrencies))
	}
	after, err := newCurrency(before, c)
	if err != nil {
		return nil, err
	}
	if before != nil && before.Enabled == after.Enabled && c.Plan.ID == "" {
		return nil, nil
	}
	return []Event{&CurrencySet{Of: c.Of, Currency: after}}, nil
}

// newCurrency is a currency as it will be.
func newCurrency(before *AppCurrency, c SetCurrency) (AppCurrency, error) {
	if _, known := CurrencyByCode(c.Currency); !known {
		return AppCurrency{}, domain.InvalidField("currency", fmt.Sprintf("%q is not one of the platform's", string(c.Currency)))
	}
	after := AppCurrency{Currency: c.Currency, Enabled: c.Enabled, Plan: c.Plan, CreatedAt: micros(c.At), UpdatedAt: micros(c.At)}
	switch {
	case before == nil && c.Plan.ID == "":
		after.Plan = AppPlan(c.Currency)
	case before == nil:
		after.Plan.Version = 1
	case c.Plan.ID == "":
		after.Plan = before.Plan
	default:
		after.Plan.Version = before.Plan.Version + 1
	}
	if before != nil {
		after.CreatedAt = before.CreatedAt
	}
	if after.Plan.Currency != c.Currency {
		return after, domain.InvalidField("plan.currency", "is not "+string(c.Currency))
	}
	return after, validPlan(after.Plan)
}

func addGateway(a *App, c AddGateway) ([]Event, error) {
	switch {
	case !ValidID("gc_", c.Config):
		return nil, domain.InvalidField("gateway_config_id", wrongID("gc_"))
	case c.Gateway == "" || strings.ContainsAny(c.Gateway, ": \n/") || len(c.Gateway) > 50:
		return nil, domain.InvalidField("gateway", "is not a gateway's name")
	case len(a.Gateways) >= route.MaxCandidates:
		return nil, domain.InvalidField("gateway", fmt.Sprintf("would be more than the %d that an app may have", route.MaxCandidates))
	}
	if _, there := a.Gateway(c.Config); there {
		return nil, domain.Errorf(domain.Duplicate, "gateway configuration %s exists", c.Config)
	}
	ranks := c.Ranks
	if len(ranks) == 0 {
		for _, k := range a.Currencies {
			ranks = append(ranks, Rank{Currency: k.Currency, Priority: len(a.Gateways) + 1})
		}
	}
	if err := validRanks(ranks, c.Methods); err != nil {
		return nil, err
	}
	return []Event{&GatewayAdded{Of: c.Of, Config: c.Config, Gateway: c.Gateway, Ranks: slices.Clone(ranks), Methods: slices.Clone(c.Methods)}}, nil
}

func validRanks(ranks []Rank, methods []Method) error {
	for i, r := range ranks {
		switch {
		case r.Priority < 1 || r.Priority > MaxPriority:
			return domain.InvalidField("priority", fmt.Sprintf("must be 1 to %d", MaxPriority))
		case slices.ContainsFunc(ranks[:i], func(o Rank) bool { return o.Currency == r.Currency }):
			return domain.InvalidField("currency", string(r.Currency)+" stands twice")
		}
		if _, known := CurrencyByCode(r.Currency); !known {
			return domain.InvalidField("currency", fmt.Sprintf("%q is not one of the platform's", string(r.Currency)))
		}
	}
	for i, m := range methods {
		if !slices.Contains(Methods(), m) || slices.Contains(methods[:i], m) {
			return domain.InvalidField("method", fmt.Sprintf("%q is not known, or stands twice", string(m)))
		}
	}
	return nil
}

// canonicalOrigins brings origins to one form, sorted, and drops repeats.
func canonicalOrigins(domains []string) ([]string, error) {
	out := []string{}
	for _, d := range domains {
		o, err := canonicalOrigin(d)
		if err != nil {
			return nil, domain.InvalidField("domain", fmt.Sprintf("%q %v", cut(d), err))
		}
		out = append(out, o)
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) > MaxDomains {
		return nil, domain.InvalidField("domain", fmt.Sprintf("are more than %d", MaxDomains))
	}
	return out, nil
}

// cut keeps an error short.
func cut(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "..."
	}
	return s
}

// CanonicalOrigin is the one form of an origin; what is none stays as it is.
func CanonicalOrigin(s string) string {
	if o, err := canonicalOrigin(s); err == nil {
		return o
	}
	return s
}

// canonicalOrigin is an origin as browsers send it (RFC 6454): scheme, host in lower case, and a port that is not the scheme's own. A bare host is
// taken as https.
func canonicalOrigin(s string) (string, error) {
	s = strings.TrimSuffix(s, "/")
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || len(s) > MaxDomain:
		return "", fmt.Errorf("is not an origin such as https://shop.example")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", fmt.Errorf("must begin with https:// or http://")
	case u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return "", fmt.Errorf("is not an origin such as https://shop.example")
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	} else if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return "", fmt.Errorf("must name one host, and in ASCII, as browsers send it")
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", fmt.Errorf("has a port that is none")
		}
	}
	if port := u.Port(); port != "" && (u.Scheme != "https" || port != "443") && (u.Scheme != "http" || port != "80") {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}
