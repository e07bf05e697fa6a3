package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// Bounds of a step that brings secrets.
const (
	checkWithin = 8 * time.Second  // for the company's answer
	provideFor  = 15 * time.Second // for all of it
	turnFor     = 20 * time.Second // how long one that was killed keeps others out
)

// Provide takes a step of a gateway's set-up that brings secrets. They are in the vault, under the version that the event names, before the event
// is; what a killed process has left there is overwritten. Nobody else, in any process, takes such a step of the same configuration meanwhile: one
// would overwrite what the other's event names.
func (d *appDesk) Provide(ctx context.Context, app, config string, s ops.Secrets, o eventstore.Origin) (merchant.Merchant, error) {
	ctx, cancel := context.WithTimeout(ctx, provideFor)
	defer cancel()
	done, err := d.turn(ctx, config)
	if err != nil {
		return merchant.Merchant{}, err
	}
	m, err := d.provide(ctx, app, config, s, o)
	return m, errors.Join(err, done())
}

// turn waits for nobody: who comes while another is at work is refused.
func (d *appDesk) turn(ctx context.Context, config string) (done func() error, err error) {
	if !merchant.ValidID("gc_", config) {
		return nil, kspayError(noID("gateway_config_id", "gc_"))
	}
	name := vault.MovingPrefix + "gateway/" + config
	until := time.Now().Add(turnFor)
	err = d.vault.ChangeSecret(ctx, name, func(old []byte) ([]byte, error) {
		var taken time.Time
		if err := taken.UnmarshalText(old); err == nil && time.Now().Before(taken) {
			return nil, domain.Errorf(domain.Stale, "gateway configuration %s is being set up by somebody else: try again", config)
		}
		return until.MarshalText()
	})
	if err != nil {
		return nil, err
	}
	return func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		return d.vault.DeleteSecret(ctx, name)
	}, nil
}

func (d *appDesk) provide(ctx context.Context, app, config string, given ops.Secrets, o eventstore.Origin) (merchant.Merchant, error) {
	m, err := d.app(ctx, app)
	if err != nil {
		return m, err
	}
	g, _ := m.App.Gateway(config)
	step := merchant.SetGatewayStep{
		Of: merchant.Of{Merchant: app, Actor: o.Actor}, Config: config, Step: given.Step, Version: g.Version + 1,
	}
	if _, err := merchant.Decide(&m, step); err != nil { // before a company is asked
		return m, kspayError(err)
	}
	company, err := d.company(g.Gateway)
	if err != nil {
		return m, err
	}
	if given.Step == merchant.StepCredentials && g.Version > 0 && given.Credentials[company.Spec().Public] != g.Public {
		if err := d.mayMove(ctx, app, config); err != nil {
			return m, err
		}
	}
	secrets, err := d.gatewaySecrets(ctx, &g)
	if err != nil && given.Step != merchant.StepCredentials { // credentials can be given anew when the old ones are lost
		return m, err
	}
	var failed error
	switch given.Step {
	case merchant.StepCredentials:
		secrets.Credentials = given.Credentials
		step.Public = given.Credentials[company.Spec().Public]
		step.Failed, failed, err = d.check(ctx, &m, &g, company, secrets)
	case merchant.StepWebhook:
		secrets.WebhookSecret = given.Webhook
		err = checkWebhookSecret(company.Spec(), given.Webhook)
	}
	if err != nil {
		return m, err
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		return m, errors.New("encoding the secrets of a gateway") // its error could quote them
	}
	if err := d.vault.PutSecret(ctx, merchant.GatewaySecretName(config, step.Version), text); err != nil {
		return m, err
	}
	after, err := d.ledger.SubmitMerchant(ctx, step, o)
	if err != nil {
		return m, kspayError(err)
	}
	if g.Version > 0 { // no event names it any more
		if err := d.vault.DeleteSecret(ctx, g.SecretName()); err != nil {
			return after, err
		}
	}
	return after, failed
}

// check holds credentials against what the company needs, and asks it. reason and failed say that it does not accept them; err, that nothing is known
// and nothing is to be recorded.
func (d *appDesk) check(
	ctx context.Context, m *merchant.Merchant, g *merchant.Gateway, company gateway.Checkout, s merchant.GatewaySecrets,
) (reason string, failed, err error) {
	spec := company.Spec()
	if err := checkKeys(spec, s.Credentials); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	err = company.Check(ctx, gateway.Account{
		Config: g.ID, Live: m.App.Mode == merchant.Live, Base: d.links.base(spec.Name, m.App.Mode), Credentials: s.Credentials, WebhookSecret: s.WebhookSecret,
	})
	if errors.Is(err, gateway.ErrCredentials) {
		var currencies []string
		for _, r := range g.Ranks {
			currencies = append(currencies, string(r.Currency))
		}
		reason = fmt.Sprintf("Invalid credentials for gateway: %s for: %s", spec.Name, strings.Join(currencies, ", "))
		return reason, kspayError(&domain.Error{
			Code: domain.Invalid, Message: reason,
			Details: map[string]string{merchant.KSPayError: "invalidCredentials", "credentials": "are not accepted by " + spec.Title},
		}), nil
	}
	if err != nil {
		err = fmt.Errorf("%s could not be asked whether the credentials are good, and nothing was changed: %w", spec.Title, err)
	}
	return "", nil, err
}

// checkKeys holds the names of credentials against those that a company has.
func checkKeys(spec gateway.Spec, given map[string]string) error {
	var unknown, missing []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(spec.Keys, name) {
			unknown = append(unknown, name)
		}
	}
	for _, name := range spec.Keys {
		if strings.TrimSpace(given[name]) == "" {
			missing = append(missing, name)
		}
	}
	switch {
	case len(unknown) > 0:
		return badKeys("invalidKeyValues", "Invalid keys found for gateway: ", unknown, "is not known: "+spec.Title+" has "+strings.Join(spec.Keys, ", "))
	case len(missing) > 0:
		return badKeys("missingGatewaySpecsKeys", "The following required fields are missing from the provided data: ", missing, "is missing")
	}
	return nil
}

func badKeys(name, message string, keys []string, problem string) error {
	details := map[string]string{merchant.KSPayError: name}
	for _, k := range keys {
		details[k] = problem
	}
	return kspayError(&domain.Error{Code: domain.Invalid, Message: message + strings.Join(keys, ", "), Details: details})
}

// checkWebhookSecret holds the secret of webhooks against whether a company has one.
func checkWebhookSecret(spec gateway.Spec, secret string) error {
	switch {
	case spec.Webhook == "" && secret != "":
		return domain.InvalidField("secret", "is not needed: "+spec.Title+" signs its messages with the account's credentials")
	case spec.Webhook != "" && strings.TrimSpace(secret) == "":
		return badKeys("missingGatewaySpecsKeys", "The following required fields are missing from the provided data: ", []string{spec.Webhook}, "is missing")
	}
	return nil
}
