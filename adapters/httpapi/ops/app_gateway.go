package ops

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of what a gateway's set-up is sent, in bytes.
const (
	MaxCredentials = 20
	MaxSecret      = 4000
)

func (a *API) gatewaySpecs(*http.Request, merchant.Operator) (any, error) {
	return struct {
		Gateways []GatewaySpec `json:"gateways"`
	}{a.ports.Trials.Specs()}, nil
}

// addGateway gives an app an account at a company. The id of the configuration is made here.
func (a *API) addGateway(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("gateway", "ranks", "methods")
	gateway := f.text("gateway", true, maxText)
	ranks, methods := f.ranks()
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.changeApp(r, by, s, "an app has another gateway", func(of merchant.Of) merchant.Command {
		return merchant.AddGateway{Of: of, Gateway: gateway, Ranks: ranks, Methods: methods}
	})
}

// ranks are the members ranks and methods.
func (f *fields) ranks() (ranks []merchant.Rank, methods []merchant.Method) {
	for i, raw := range f.list("ranks", merchant.MaxCurrencies) {
		name := fmt.Sprintf("ranks[%d]", i)
		o, err := httpapi.DecodeObject(raw)
		c, p := o.Get("currency"), o.Get("priority")
		var priority int
		if err != nil || len(o) != 2 || c.Kind != httpapi.String || p.Kind != httpapi.Number || json.Unmarshal([]byte(p.Text), &priority) != nil {
			f.fault(name, `must be like {"currency":"INR","priority":1}`)
		}
		ranks = append(ranks, merchant.Rank{Currency: money.Currency(c.Text), Priority: priority})
	}
	for _, m := range f.texts("methods", len(merchant.Methods()), maxText) {
		methods = append(methods, merchant.Method(m))
	}
	return ranks, methods
}

// provide takes a step that brings secrets. What is kept of the request has none of them.
func (a *API) provide(r *http.Request, by merchant.Operator, what string, given Secrets) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{"step": given.Step, "keys": slices.Sorted(maps.Keys(given.Credentials))})
	if err != nil {
		return nil, err
	}
	m, err := a.ports.Apps.Provide(r.Context(), name, r.PathValue("config"), given, origin(r, by, body))
	if err != nil {
		return nil, err
	}
	a.changed(r, by, what, m.ID, r.PathValue("config"))
	return a.showApp(&m), nil
}

func (a *API) gatewayCredentials(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("credentials")
	given := Secrets{Step: merchant.StepCredentials, Credentials: map[string]string{}}
	m := s.fields.Get("credentials")
	values, err := httpapi.DecodeObject([]byte(m.Text))
	switch {
	case m.Kind == httpapi.Absent:
		f.fault("credentials", "is missing")
	case m.Kind != httpapi.Nested || err != nil || len(values) > MaxCredentials:
		f.fault("credentials", "must be an object of texts")
	}
	for _, v := range values {
		if v.Kind != httpapi.String || reasonFault(v.Text, MaxSecret) != "" || len(v.Name) > maxText || !eventstore.ValidText(v.Name) {
			f.fault("credentials", "must be an object of texts, none of them blank or too long")
		}
		given.Credentials[v.Name] = v.Text
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.provide(r, by, "a gateway has credentials", given)
}

func (a *API) gatewayWebhook(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("secret")
	given := Secrets{Step: merchant.StepWebhook, Webhook: f.text("secret", false, MaxSecret)}
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.provide(r, by, "a gateway's webhook is set", given)
}

func (a *API) gatewayPackage(r *http.Request, by merchant.Operator, s sent) (any, error) {
	return a.takeStep(r, by, s, merchant.StepPackage)
}

// takeStep takes a step that brings no secrets.
func (a *API) takeStep(r *http.Request, by merchant.Operator, s sent, step string) (any, error) {
	if err := s.empty(step == merchant.StepSecurity); err != nil {
		return nil, err
	}
	m, err := a.findApp(r)
	if err != nil {
		return nil, err
	}
	g, _ := m.App.Gateway(r.PathValue("config")) // one that is not there is refused with its code
	return a.changeApp(r, by, s, "a step of a gateway's set-up is taken", func(of merchant.Of) merchant.Command {
		return merchant.SetGatewayStep{Of: of, Config: r.PathValue("config"), Step: step, Version: g.Version}
	})
}

// empty refuses members; domains are allowed where they were read before.
func (s sent) empty(domains bool) error {
	f := s.read()
	if domains {
		f.only("domains")
	} else {
		f.only()
	}
	return f.err()
}

// gatewaySecurity takes the fourth step. Domains that come with it are added to the app's before.
func (a *API) gatewaySecurity(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("domains")
	domains := f.texts("domains", merchant.MaxDomains, merchant.MaxDomain)
	if err := f.err(); err != nil {
		return nil, err
	}
	if len(domains) > 0 {
		m, err := a.findApp(r)
		if err != nil {
			return nil, err
		}
		if g, there := m.App.Gateway(r.PathValue("config")); there && g.Tried() && g.Security != merchant.StepVerified { // otherwise the step is refused: nothing half done
			_, err = a.ports.Apps.Change(r.Context(), merchant.SetDomains{
				Of: merchant.Of{Merchant: m.ID, Actor: actor(by)}, Domains: slices.Concat(m.App.Domains, domains),
			}, origin(r, by, s.body))
		}
		if err != nil {
			return nil, err
		}
	}
	return a.takeStep(r, by, s, merchant.StepSecurity)
}

func (a *API) gatewayTrial(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("amount", "currency")
	amount, currency := "", money.Currency(f.text("currency", false, maxText))
	switch m := s.fields.Get("amount"); m.Kind {
	case httpapi.String, httpapi.Number:
		amount = m.Text
	case httpapi.Absent:
		f.fault("amount", "is missing")
	default:
		f.fault("amount", "must be a decimal amount")
	}
	name, err := id(r)
	if err = first(f.err(), err); err != nil {
		return nil, err
	}
	trial, err := a.ports.Trials.Trial(r.Context(), name, r.PathValue("config"), amount, currency, origin(r, by, s.body))
	if err != nil {
		return nil, err
	}
	a.changed(r, by, "a trial order is started", trial.App, trial.Config)
	return struct {
		Trial Trial `json:"trial"`
	}{trial}, nil
}

func (a *API) gatewayEnabled(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("enabled")
	on := f.switched("enabled")
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.changeApp(r, by, s, "a gateway is switched", func(of merchant.Of) merchant.Command {
		return merchant.SwitchGateway{Of: of, Config: r.PathValue("config"), Enabled: on}
	})
}

func (a *API) gatewayReset(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.empty(false); err != nil {
		return nil, err
	}
	return a.changeApp(r, by, s, "a gateway's set-up begins anew", func(of merchant.Of) merchant.Command {
		return merchant.ResetGateway{Of: of, Config: r.PathValue("config")}
	})
}

func (a *API) gatewayRanks(r *http.Request, by merchant.Operator, s sent) (any, error) {
	f := s.read()
	f.only("ranks", "methods")
	if s.fields.Get("ranks").Kind == httpapi.Absent {
		f.fault("ranks", "is missing")
	}
	ranks, methods := f.ranks()
	if err := f.err(); err != nil {
		return nil, err
	}
	return a.changeApp(r, by, s, "a gateway is ranked", func(of merchant.Of) merchant.Command {
		return merchant.RankGateway{Of: of, Config: r.PathValue("config"), Ranks: ranks, Methods: methods}
	})
}

func (a *API) gatewayMessages(r *http.Request, _ merchant.Operator) (any, error) {
	m, err := a.findApp(r)
	if err != nil {
		return nil, err
	}
	g, there := m.App.Gateway(r.PathValue("config"))
	if !there {
		return nil, domain.Errorf(domain.NotFound, "app %s has no such gateway configuration", m.ID)
	}
	kept, err := a.ports.Trials.Kept(r.Context(), m.ID, g.ID)
	if err != nil {
		return nil, err
	}
	if kept == nil {
		kept = []KeptMessage{}
	}
	return struct {
		Messages []KeptMessage `json:"messages"`
	}{kept}, nil
}
