package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Apps sets apps of the KS Pay API up. A refusal that has a code there begins with it: "13009 credentialStepFailed: ...".
type Apps interface {
	// Create makes an app with its first credentials. What was made under the same Idempotency-Key before is given back, without its secret key.
	Create(ctx context.Context, n NewApp, o eventstore.Origin) (Credentials, error)
	// Regenerate makes new credentials; the old ones are dead at once.
	Regenerate(ctx context.Context, app string, o eventstore.Origin) (Credentials, error)
	// Change carries out a command that brings no secrets, and returns the app after it.
	Change(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error)
	// Provide takes the first or the second step of a gateway's set-up, which bring secrets. Credentials are checked with the company.
	Provide(ctx context.Context, app, config string, s Secrets, o eventstore.Origin) (merchant.Merchant, error)
}

// Trials are the gateways of apps, and the trial orders that verify them.
type Trials interface {
	// Specs are the gateways that are built in.
	Specs() []GatewaySpec
	// WebhookURL is where the company of a configuration is to send its messages.
	WebhookURL(gateway, app, config string) string
	// Trial starts the trial order of a configuration. amount is a decimal text.
	Trial(ctx context.Context, app, config, amount string, c money.Currency, o eventstore.Origin) (Trial, error)
	// Kept are the latest messages of a configuration's gateway that were kept without being booked, newest first; at most MaxLimit.
	Kept(ctx context.Context, app, config string) ([]KeptMessage, error)
}

// AppPayments are the transactions of apps; *projections.Views is one.
type AppPayments interface {
	ListPayins(ctx context.Context, f projections.Filter) (projections.Page, error)
}

// NewApp is an app to be made.
type NewApp struct {
	Name       string
	UserID     string // "": a new one
	Mode       merchant.Mode
	Currencies []money.Currency // none: INR
	Plans      []fee.Plan       // of those currencies that are not to have the usual one
	Domains    []string
}

// Credentials are shown once.
type Credentials struct {
	App       string    `json:"app_id"`
	UserID    string    `json:"user_id"`
	AccessKey string    `json:"access_key"`
	SecretKey string    `json:"secret_key,omitempty"` // none in the answer to a repeated Idempotency-Key
	At        time.Time `json:"created_at"`
}

// Secrets are what a step of a gateway's set-up brings. They are in no answer, log line or event.
type Secrets struct {
	Step        string            // merchant.StepCredentials or StepWebhook
	Credentials map[string]string // of the one
	Webhook     string            // of the other; "" where the company signs with its credentials
}

// String hides them.
func (Secrets) String() string { return "[secrets]" }

// GoString hides them.
func (Secrets) GoString() string { return "[secrets]" }

// GatewaySpec is what an account at a payment company needs.
type GatewaySpec struct {
	Name       string            `json:"gateway"`
	Title      string            `json:"title"`
	Keys       []string          `json:"keys"`
	Public     string            `json:"public_key"`               // the one of keys that customers' browsers see
	Webhook    string            `json:"webhook_secret,omitempty"` // name of the secret of webhooks; absent when it is one of keys
	Currencies []money.Currency  `json:"currencies"`               // empty: all
	Methods    []merchant.Method `json:"methods"`
}

// Trial is a trial order that waits to be paid.
type Trial struct {
	App         string    `json:"app_id"`
	Config      string    `json:"gateway_config_id"`
	Transaction string    `json:"transaction_id"`
	Amount      string    `json:"amount"`
	Currency    string    `json:"currency"`
	Link        string    `json:"checkout_url"`
	ExpiresAt   time.Time `json:"expires_at"`
}

// KeptMessage is a message of a gateway that was not booked, without what it says: its body may name a customer.
type KeptMessage struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // early, unmatched or refused
	Reason     string    `json:"reason,omitempty"`
	Gateway    string    `json:"gateway"`
	ReceivedAt time.Time `json:"received_at"`
	Repeats    int       `json:"repeats"`
	Digest     string    `json:"sha256"`
	MediaType  string    `json:"media_type"`
	Bytes      int       `json:"bytes"`
}

// maxAppBody bounds the bodies of changes of apps, in bytes: the longest has plans.
const maxAppBody = 256 << 10

// registerApps adds the routes of apps.
func (a *API) registerApps(rt *httpapi.Router) {
	const app, gateway = "/ops/v1/apps/{id}", "/ops/v1/apps/{id}/gateways/{config}"
	rt.Handle(http.MethodGet, "/ops/v1/gateways", a.guard(reads, a.gatewaySpecs))
	rt.Handle(http.MethodGet, "/ops/v1/apps", a.guard(reads, a.apps))
	rt.Handle(http.MethodPost, "/ops/v1/apps", a.guardBody(writes, maxAppBody, a.createApp))
	rt.Handle(http.MethodGet, app, a.guard(reads, a.app))
	rt.Handle(http.MethodPost, app+"/credentials", a.guardChange(writes, a.regenerate))
	rt.Handle(http.MethodPut, app+"/domains", a.guardBody(writes, maxAppBody, a.setDomains))
	rt.Handle(http.MethodPut, app+"/currencies/{currency}", a.guardBody(writes, maxAppBody, a.setCurrency))
	rt.Handle(http.MethodGet, app+"/transactions", a.guard(reads, a.appTransactions))
	rt.Handle(http.MethodPost, app+"/gateways", a.guardChange(writes, a.addGateway))
	rt.Handle(http.MethodPut, gateway+"/credentials", a.guardChange(writes, a.gatewayCredentials))
	rt.Handle(http.MethodPut, gateway+"/webhook", a.guardChange(writes, a.gatewayWebhook))
	rt.Handle(http.MethodPut, gateway+"/package", a.guardChange(writes, a.gatewayPackage))
	rt.Handle(http.MethodPost, gateway+"/trial", a.guardChange(writes, a.gatewayTrial))
	rt.Handle(http.MethodPut, gateway+"/security", a.guardBody(writes, maxAppBody, a.gatewaySecurity))
	rt.Handle(http.MethodPut, gateway+"/enabled", a.guardChange(writes, a.gatewayEnabled))
	rt.Handle(http.MethodPost, gateway+"/reset", a.guardChange(writes, a.gatewayReset))
	rt.Handle(http.MethodPut, gateway+"/ranks", a.guardChange(writes, a.gatewayRanks))
	rt.Handle(http.MethodGet, gateway+"/messages", a.guard(reads, a.gatewayMessages))
}

// appAnswer answers with an app.
type appAnswer struct {
	App AppView `json:"app"`
}

func (a *API) showApp(m *merchant.Merchant) appAnswer {
	return appAnswer{ViewApp(m, a.opts.Clock(), a.ports.Trials.WebhookURL)}
}

// findApp is the app that the path names. A merchant that is none is not found.
func (a *API) findApp(r *http.Request) (merchant.Merchant, error) {
	m, err := a.find(r)
	if err == nil && m.App == nil {
		err = domain.Errorf(domain.NotFound, "merchant %s is no app", m.ID)
	}
	return m, err
}

// apps lists apps: the merchants that are one, from an id on.
func (a *API) apps(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	after, limit := p.text("after"), p.limit()
	if err := p.err(); err != nil {
		return nil, err
	}
	views, next := []AppView{}, ""
	for cursor := max(after, "ap_"); ; { // apps stand together in the order of ids
		page, err := a.ports.Views.Merchants(r.Context(), cursor, limit)
		if err != nil {
			return nil, err
		}
		for i := range page {
			m := &page[i]
			cursor = m.ID
			if m.App == nil {
				continue
			}
			if len(views) == limit {
				next = views[limit-1].ID
				break
			}
			views = append(views, a.showApp(m).App)
		}
		if next != "" || len(page) < limit || cursor > "ap`" {
			return struct {
				Apps []AppView `json:"apps"`
				Next string    `json:"next_after,omitempty"`
			}{views, next}, nil
		}
	}
}

func (a *API) app(r *http.Request, _ merchant.Operator) (any, error) {
	m, err := a.findApp(r)
	if err != nil {
		return nil, err
	}
	return a.showApp(&m), nil
}

// createApp makes an app. Its secret key is in this answer alone. What was asked for under the same Idempotency-Key before is not made again.
func (a *API) createApp(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("name", "user_id", "mode", "currencies", "plans", "domains")
	n := NewApp{
		Name: f.text("name", true, 4*merchant.MaxAppName), UserID: f.text("user_id", false, maxText),
		Mode: merchant.Mode(f.text("mode", false, maxText)), Domains: f.texts("domains", merchant.MaxDomains, merchant.MaxDomain),
	}
	for _, c := range f.texts("currencies", merchant.MaxCurrencies, maxText) {
		n.Currencies = append(n.Currencies, money.Currency(c))
	}
	for i, raw := range f.list("plans", merchant.MaxCurrencies) {
		plan, err := fee.ParseAppPlan(raw)
		if err != nil {
			f.fault(fmt.Sprintf("plans[%d]", i), err.Error())
		}
		n.Plans = append(n.Plans, plan)
	}
	if n.Mode == "" {
		n.Mode = merchant.Test
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	o := origin(r, by, s.body)
	var err error
	if o.IdempotencyKey, err = idempotencyKey(r, by); err != nil {
		return nil, err
	}
	made, err := a.ports.Apps.Create(r.Context(), n, o)
	if err != nil {
		return nil, err
	}
	if made.SecretKey != "" {
		a.changed(r, by, "an app is made", made.App, "")
	}
	return struct {
		Credentials Credentials `json:"credentials"`
	}{made}, nil
}

// regenerate makes new credentials. They are in this answer alone.
func (a *API) regenerate(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only()
	name, err := id(r)
	if err = first(f.err(), err); err != nil {
		return nil, err
	}
	made, err := a.ports.Apps.Regenerate(r.Context(), name, origin(r, by, s.body))
	if err != nil {
		return nil, err
	}
	a.changed(r, by, "an app has new credentials", made.App, "")
	return struct {
		Credentials Credentials `json:"credentials"`
	}{made}, nil
}

// changed logs a change of an app.
func (a *API) changed(r *http.Request, by merchant.Operator, what, app, config string) {
	a.opts.Logger.Info(what, "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "app", app, "gateway_config", config)
}

// changeApp carries out a command on the app that the path names, and answers with the app after it.
func (a *API) changeApp(r *http.Request, by merchant.Operator, s sent, what string, command func(of merchant.Of) merchant.Command) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	m, err := a.ports.Apps.Change(r.Context(), command(merchant.Of{Merchant: name, Actor: actor(by)}), origin(r, by, s.body))
	if err != nil {
		return nil, err
	}
	a.changed(r, by, what, m.ID, r.PathValue("config"))
	return a.showApp(&m), nil
}

func (a *API) setDomains(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("domains")
	domains := f.texts("domains", merchant.MaxDomains, merchant.MaxDomain)
	if s.fields.Get("domains").Kind == httpapi.Absent {
		f.fault("domains", "is missing")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.changeApp(r, by, s, "an app's domains are set", func(of merchant.Of) merchant.Command {
		return merchant.SetDomains{Of: of, Domains: domains}
	})
}

func (a *API) setCurrency(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("enabled", "plan")
	on := f.switched("enabled")
	var plan fee.Plan
	switch m := s.fields.Get("plan"); m.Kind {
	case httpapi.Absent, httpapi.Null:
	case httpapi.Nested:
		var err error
		if plan, err = fee.ParseAppPlan([]byte(m.Text)); err != nil {
			f.fault("plan", err.Error())
		}
	default:
		f.fault("plan", "must be an object")
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.changeApp(r, by, s, "an app's currency is set", func(of merchant.Of) merchant.Command {
		return merchant.SetCurrency{
			Of: of, Currency: money.Currency(r.PathValue("currency")), Enabled: on, Plan: plan, At: eventstore.Micros(a.opts.Clock()),
		}
	})
}

// appTransaction is a transaction of an app as operators see it.
type appTransaction struct {
	ID        string        `json:"id"`
	Reference string        `json:"reference_number"`
	Amount    string        `json:"amount"`
	Currency  string        `json:"currency"`
	Status    wallet.Status `json:"status"`
	Method    string        `json:"method,omitempty"` // asked for
	Gateway   string        `json:"gateway"`
	Config    string        `json:"gateway_config_id,omitempty"`
	Order     string        `json:"provider_order_id,omitempty"`
	Attempts  int           `json:"attempts"`
	Trial     bool          `json:"trial,omitempty"`
	PaidBy    string        `json:"paid_by,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	UpdatedAt time.Time     `json:"updated_at"`
	ExpiresAt time.Time     `json:"expires_at"`
}

// TransactionPage is a page of an app's transactions.
type TransactionPage struct {
	Transactions []appTransaction `json:"transactions"`
	Total        int64            `json:"total"`
	Next         string           `json:"next_cursor,omitempty"`
}

// ViewTransactions is a page as operators see it.
func ViewTransactions(page projections.Page) TransactionPage {
	out := TransactionPage{Transactions: make([]appTransaction, len(page.Items)), Total: page.Total, Next: page.NextCursor}
	for i := range page.Items {
		p := &page.Items[i]
		k := &p.Checkout
		out.Transactions[i] = appTransaction{
			ID: p.Payment, Reference: p.OrderID, Amount: p.Amount.Fixed(), Currency: string(p.Currency), Status: p.Status, Method: k.Method,
			Gateway: p.Gateway, Config: k.Config, Order: k.Order, Attempts: k.Attempts, Trial: k.Trial != "", PaidBy: k.PaidBy,
			CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, ExpiresAt: p.ExpiresAt,
		}
	}
	return out
}

func (a *API) appTransactions(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	f := projections.Filter{
		Status: wallet.Status(p.text("status", string(wallet.Pending), string(wallet.Success), string(wallet.Failed), string(wallet.Expired))),
		Page:   1, Limit: p.limit(), Cursor: p.text("cursor"),
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	m, err := a.findApp(r)
	if err != nil {
		return nil, err
	}
	f.Merchant = m.ID
	page, err := a.ports.AppPayments.ListPayins(r.Context(), f)
	if err != nil {
		return nil, err
	}
	return ViewTransactions(page), nil
}

// only refuses members of other names.
func (f *fields) only(names ...string) {
	for _, m := range f.sent.fields {
		known := false
		for _, n := range names {
			known = known || n == m.Name
		}
		if !known {
			f.fault(m.Name, "is not known")
		}
	}
}

// switched is a flag that must be given.
func (f *fields) switched(name string) bool {
	if f.sent.fields.Get(name).Kind == httpapi.Absent {
		f.fault(name, "is missing")
	}
	return f.flag(name)
}

// list is an array of the body, its elements as they were sent.
func (f *fields) list(name string, most int) []json.RawMessage {
	m := f.sent.fields.Get(name)
	var all []json.RawMessage
	switch {
	case m.Kind == httpapi.Absent || m.Kind == httpapi.Null:
	case m.Kind != httpapi.Array || json.Unmarshal([]byte(m.Text), &all) != nil:
		f.fault(name, "must be a list")
	case len(all) > most:
		f.fault(name, fmt.Sprintf("has more than %d elements", most))
		return nil
	}
	return all
}

// texts is an array of texts, each of at most limit bytes.
func (f *fields) texts(name string, most, limit int) []string {
	var out []string
	for _, raw := range f.list(name, most) {
		var s string
		if !strings.HasPrefix(string(raw), `"`) || json.Unmarshal(raw, &s) != nil {
			f.fault(name, "must be a list of strings")
			return nil
		}
		if fault := reasonFault(s, limit); fault != "" {
			f.fault(name, "has an element that "+fault)
		}
		out = append(out, s)
	}
	return out
}

// first is the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
