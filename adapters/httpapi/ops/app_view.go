package ops

import (
	"cmp"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// AppView is an app as operators see it, here and on the command line. It has no secret, and nothing that a key is found by.
type AppView struct {
	ID          string           `json:"app_id"`
	UserID      string           `json:"user_id"`
	Name        string           `json:"name"`
	Mode        merchant.Mode    `json:"mode"`
	Status      string           `json:"status"` // active or suspended
	Domains     []string         `json:"domains"`
	Currencies  []currencyView   `json:"currencies"`
	Gateways    []GatewayView    `json:"gateways"`
	Credentials []credentialView `json:"credentials"`
	CallbackURL string           `json:"callback_url"`
	CreatedAt   time.Time        `json:"created_at"`
}

type currencyView struct {
	ID        string         `json:"currency_id"`
	Currency  money.Currency `json:"currency"`
	Enabled   bool           `json:"enabled"`
	Plan      fee.Plan       `json:"plan"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
}

type credentialView struct {
	KeyID     string    `json:"key_id"`
	AccessKey string    `json:"access_key"`
	Status    string    `json:"status"` // active, expired or revoked
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// GatewayView is a gateway configuration as operators see it.
type GatewayView struct {
	ID         string            `json:"gateway_config_id"`
	Gateway    string            `json:"gateway"`
	Enabled    bool              `json:"enabled"`
	Usable     bool              `json:"usable"` // payments go through it: it is enabled and all steps are verified
	Public     string            `json:"public_key"`
	Ranks      []merchant.Rank   `json:"ranks"`
	Methods    []merchant.Method `json:"methods"` // empty: all that the company has
	Steps      stepsView         `json:"steps"`
	Trial      string            `json:"trial,omitempty"` // transaction that is under way
	Failure    string            `json:"failure,omitempty"`
	WebhookURL string            `json:"webhook_url"` // to be entered at the company
}

type stepsView struct {
	Credentials string `json:"credentials"` // pending, in_verification, verified or failed
	Webhook     string `json:"webhook"`
	Package     string `json:"package"`
	Security    string `json:"security"`
}

// ViewApp is how an app is shown; webhookURL tells where the companies of its gateways send their messages.
func ViewApp(m *merchant.Merchant, now time.Time, webhookURL func(gateway, app, config string) string) AppView {
	v := AppView{
		ID: m.ID, UserID: m.App.UserID, Name: m.Name, Mode: m.App.Mode, Status: "active", Domains: m.App.Domains,
		Currencies: make([]currencyView, len(m.App.Currencies)), Gateways: make([]GatewayView, len(m.App.Gateways)),
		Credentials: []credentialView{}, CallbackURL: m.CallbackURL, CreatedAt: m.CreatedAt,
	}
	if m.Suspended {
		v.Status = "suspended"
	}
	if v.Domains == nil {
		v.Domains = []string{}
	}
	for i := range m.App.Currencies {
		k := &m.App.Currencies[i]
		known, _ := merchant.CurrencyByCode(k.Currency)
		v.Currencies[i] = currencyView{known.ID, k.Currency, k.Enabled, k.Plan, k.CreatedAt, k.UpdatedAt}
	}
	for i := range m.App.Gateways {
		v.Gateways[i] = viewGateway(m.ID, &m.App.Gateways[i], webhookURL)
	}
	for _, k := range m.Keys {
		status := "active"
		switch {
		case k.Revoked:
			status = "revoked"
		case !k.Active(now):
			status = "expired"
		}
		v.Credentials = append(v.Credentials, credentialView{k.ID, k.AccessKey, status, k.CreatedAt, k.ExpiresAt})
	}
	return v
}

func viewGateway(app string, g *merchant.Gateway, webhookURL func(gateway, app, config string) string) GatewayView {
	step := func(s merchant.Step) string { return cmp.Or(string(s), "pending") }
	v := GatewayView{
		ID: g.ID, Gateway: g.Gateway, Enabled: g.Enabled, Usable: g.Usable(), Public: g.Public, Ranks: g.Ranks, Methods: g.Methods,
		Steps: stepsView{step(g.Credentials), step(g.Webhook), step(g.Package), step(g.Security)},
		Trial: g.Trial, Failure: g.Failure, WebhookURL: webhookURL(g.Gateway, app, g.ID),
	}
	if v.Ranks == nil {
		v.Ranks = []merchant.Rank{}
	}
	if v.Methods == nil {
		v.Methods = []merchant.Method{}
	}
	return v
}
