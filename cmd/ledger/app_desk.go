package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// appLedger is what the set-up of apps needs of the ledger.
type appLedger interface {
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
	SubmitMerchant(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error)
	Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error)
}

// appDesk sets apps of the KS Pay API up: for the command line and for the operator API, which ask for the same things.
type appDesk struct {
	ledger    appLedger
	vault     *vault.Vault
	companies []gateway.Checkout
	kept      keeper
	links     *links
	expiry    time.Duration // of trial orders
	inFlight  inFlight
}

// idTries is how often an id is made anew when it is taken: chance takes none twice.
const idTries = 5

// Create makes an app with its first credentials: once for one Idempotency-Key, whose app has an id that follows from it.
func (d *appDesk) Create(ctx context.Context, n ops.NewApp, o eventstore.Origin) (ops.Credentials, error) {
	currencies, err := appCurrencies(n.Currencies, n.Plans)
	if err != nil {
		return ops.Credentials{}, err
	}
	at, user := present(), n.UserID
	if user == "" {
		user = newAlnum("us_")
	}
	for try := 1; ; try++ {
		app := newAlnum("ap_")
		if o.IdempotencyKey != "" {
			app = alnum("ap_", mathrand.NewChaCha8(sha256.Sum256([]byte(fmt.Sprint(try, " app ", o.IdempotencyKey)))))
		}
		key, secret, err := d.newPair(ctx, n.Mode, at)
		if err != nil {
			return ops.Credentials{}, err
		}
		_, err = d.ledger.SubmitMerchant(ctx, merchant.Create{
			Of: merchant.Of{Merchant: app, Actor: o.Actor}, Name: n.Name, Services: []merchant.Service{merchant.Payin}, Plan: fee.Default(), Key: key, At: at,
			App: &merchant.NewApp{UserID: user, Mode: n.Mode, Domains: n.Domains, Currencies: currencies},
		}, o)
		if domain.CodeOf(err) == domain.Stale && try < idTries {
			err = d.vault.DeleteSecret(ctx, webhook.SecretName(key.ID))
			if err == nil {
				continue
			}
		}
		var before *executor.DuplicateError
		if errors.As(err, &before) && o.IdempotencyKey != "" && before.Key == o.IdempotencyKey {
			if err := d.vault.DeleteSecret(ctx, webhook.SecretName(key.ID)); err != nil {
				return ops.Credentials{}, err
			}
			return d.created(ctx, app)
		}
		if err != nil {
			return ops.Credentials{}, kspayError(errors.Join(err, d.vault.DeleteSecret(ctx, webhook.SecretName(key.ID))))
		}
		return ops.Credentials{App: app, UserID: user, AccessKey: key.AccessKey, SecretKey: secret, At: at}, nil
	}
}

// created is what is told of an app that was made before: its newest credentials, without the secret key, which nobody has any more.
func (d *appDesk) created(ctx context.Context, app string) (ops.Credentials, error) {
	m, err := d.app(ctx, app)
	if err != nil {
		return ops.Credentials{}, err
	}
	key := m.Keys[len(m.Keys)-1] // it was made with one
	return ops.Credentials{App: app, UserID: m.App.UserID, AccessKey: key.AccessKey, At: key.CreatedAt}, nil
}

// appCurrencies joins the currencies of a new app with their plans.
func appCurrencies(codes []money.Currency, plans []fee.Plan) ([]merchant.AppCurrency, error) {
	if len(codes) == 0 {
		codes = []money.Currency{money.INR}
	}
	out := make([]merchant.AppCurrency, len(codes))
	for i, c := range codes {
		out[i] = merchant.AppCurrency{Currency: c}
	}
	for _, p := range plans {
		i := slices.Index(codes, p.Currency)
		switch {
		case i < 0:
			return nil, domain.InvalidField("plan", fmt.Sprintf("%s is for %s, which the app would not take", p.ID, p.Currency))
		case out[i].Plan.ID != "":
			return nil, domain.InvalidField("plan", fmt.Sprintf("for %s is given twice", p.Currency))
		}
		out[i].Plan = p
	}
	return out, nil
}

// newPair makes credentials. What signs callbacks with the secret key is stored before any event names it, as for other keys.
func (d *appDesk) newPair(ctx context.Context, mode merchant.Mode, at time.Time) (key merchant.Key, secret string, err error) {
	var name [12]byte
	var random [32]byte
	rand.Read(name[:])   //nolint:errcheck // documented never to fail
	rand.Read(random[:]) //nolint:errcheck // the same
	secret = hex.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(secret))
	key = merchant.Key{
		ID: newID("key_"), Hash: hex.EncodeToString(hash[:]), Last4: secret[len(secret)-4:], Role: merchant.Full, CreatedAt: at,
		AccessKey: merchant.AccessKeyPrefix(mode) + hex.EncodeToString(name[:]),
	}
	midstates := vault.NewMidstates([]byte(secret))
	return key, secret, d.vault.PutSecret(ctx, webhook.SecretName(key.ID), midstates[:])
}

// Regenerate makes new credentials; the old ones are dead at once.
func (d *appDesk) Regenerate(ctx context.Context, app string, o eventstore.Origin) (ops.Credentials, error) {
	m, err := d.app(ctx, app)
	if err != nil {
		return ops.Credentials{}, err
	}
	at := present()
	key, secret, err := d.newPair(ctx, m.App.Mode, at)
	if err != nil {
		return ops.Credentials{}, err
	}
	_, err = d.ledger.SubmitMerchant(ctx, merchant.AddKey{
		Of: merchant.Of{Merchant: app, Actor: o.Actor}, Key: key, Replaces: "*", Until: at,
	}, o)
	if err != nil {
		return ops.Credentials{}, errors.Join(err, d.vault.DeleteSecret(ctx, webhook.SecretName(key.ID)))
	}
	return ops.Credentials{App: app, UserID: m.App.UserID, AccessKey: key.AccessKey, SecretKey: secret, At: at}, nil
}

// app finds an app in the log.
func (d *appDesk) app(ctx context.Context, id string) (merchant.Merchant, error) {
	if !merchant.ValidID("ap_", id) {
		return merchant.Merchant{}, kspayError(noID("app_id", "ap_"))
	}
	m, err := d.ledger.Merchant(ctx, id)
	if domain.CodeOf(err) == domain.NotFound || err == nil && m.App == nil {
		return m, errNoApp()
	}
	return m, err
}

// errNoApp is the refusal of an app that there is not.
func errNoApp() error {
	return kspayError(&domain.Error{
		Code: domain.NotFound, Message: "Application not found for the provided app ID",
		Details: map[string]string{merchant.KSPayError: "keyVaultErrors.appNotFound"},
	})
}

// noID is the refusal of an id that nothing can have.
func noID(field, prefix string) error {
	return &domain.Error{Code: domain.Invalid, Message: fmt.Sprintf(
		"ID must start with '%s' and be %d characters long with alphanumeric characters following the prefix.", prefix, len(prefix)+merchant.IDLength(prefix)),
		Details: map[string]string{merchant.KSPayError: "invalidNanoid", field: "must be " + prefix + " and " + fmt.Sprint(merchant.IDLength(prefix)) + " letters or digits"}}
}

// Change carries out a command that brings no secrets. A gateway configuration without an id is given one.
func (d *appDesk) Change(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error) {
	m, err := d.app(ctx, c.Target().Merchant)
	if err != nil {
		return m, err
	}
	if rank, ranks := c.(merchant.RankGateway); ranks {
		if g, there := m.App.Gateway(rank.Config); there {
			err = d.offered(g.Gateway, rank.Ranks, rank.Methods)
		}
	}
	add, adds := c.(merchant.AddGateway)
	if adds {
		add, err = d.fitted(m.App, add)
		c = add
	}
	if err != nil {
		return m, err
	}
	if !adds || add.Config != "" {
		m, err := d.ledger.SubmitMerchant(ctx, c, o)
		return m, kspayError(err)
	}
	for try := 1; ; try++ {
		add.Config = newAlnum("gc_")
		m, err := d.ledger.SubmitMerchant(ctx, add, o)
		if domain.CodeOf(err) != domain.Duplicate || try == idTries {
			return m, kspayError(err)
		}
	}
}

// company finds a payment company that is built in.
func (d *appDesk) company(name string) (gateway.Checkout, error) {
	names := make([]string, len(d.companies))
	for i, c := range d.companies {
		if names[i] = c.Spec().Name; names[i] == name {
			return c, nil
		}
	}
	return nil, kspayError(&domain.Error{
		Code: domain.Invalid, Message: fmt.Sprintf("Gateway Specs not found for the provided ID: gateway must be one of %s", strings.Join(names, ", ")),
		Details: map[string]string{merchant.KSPayError: "gatewayErrors.gatewaySpecsNotFound", "gateway": "must be one of " + strings.Join(names, ", ")},
	})
}

// fitted is an account that is to be added, for what its company offers: without currencies, for those of the app's that the company takes.
func (d *appDesk) fitted(a *merchant.App, c merchant.AddGateway) (merchant.AddGateway, error) {
	company, err := d.company(c.Gateway)
	if err != nil {
		return c, err
	}
	if spec := company.Spec(); len(c.Ranks) == 0 {
		for i := range a.Currencies {
			if k := a.Currencies[i].Currency; spec.Currencies == nil || slices.Contains(spec.Currencies, k) {
				c.Ranks = append(c.Ranks, merchant.Rank{Currency: k, Priority: len(a.Gateways) + 1})
			}
		}
		if len(c.Ranks) == 0 {
			return c, notOffered(spec.Title+" takes none of the app's currencies", "currency")
		}
	}
	return c, d.offered(c.Gateway, c.Ranks, c.Methods)
}

// offered holds currencies and methods against what a company has.
func (d *appDesk) offered(name string, ranks []merchant.Rank, methods []merchant.Method) error {
	company, err := d.company(name)
	if err != nil {
		return err
	}
	spec := company.Spec()
	for _, r := range ranks {
		if spec.Currencies != nil && !slices.Contains(spec.Currencies, r.Currency) {
			return notOffered(fmt.Sprintf("%s does not take %s", spec.Title, r.Currency), "currency")
		}
	}
	for _, m := range methods {
		if !slices.Contains(spec.Methods, m) {
			return domain.InvalidField("method", fmt.Sprintf("%q is none of %s's: %s", m, spec.Title, strings.Join(methodNames(spec.Methods), ", ")))
		}
	}
	return nil
}

func methodNames(methods []merchant.Method) []string {
	out := make([]string, len(methods))
	for i, m := range methods {
		out[i] = string(m)
	}
	return out
}

func notOffered(problem, field string) error {
	return kspayError(&domain.Error{
		Code: domain.Invalid, Message: "Invalid currency ID provided, check if currency is valid or disabled by administration: " + problem,
		Details: map[string]string{merchant.KSPayError: "gatewayErrors.invalidCurrencyId", field: "is not possible: " + problem},
	})
}

// Specs are the gateways that are built in.
func (d *appDesk) Specs() []ops.GatewaySpec {
	out := make([]ops.GatewaySpec, len(d.companies))
	for i, c := range d.companies {
		s := c.Spec()
		out[i] = ops.GatewaySpec{
			Name: s.Name, Title: s.Title, Keys: s.Keys, Public: s.Public, Webhook: s.Webhook, Currencies: s.Currencies, Methods: s.Methods,
		}
		if out[i].Currencies == nil {
			out[i].Currencies = []money.Currency{}
		}
	}
	return out
}

// WebhookURL is where the company of a configuration is to send its messages.
func (d *appDesk) WebhookURL(name, app, config string) string {
	return d.links.webhook(name, app, config)
}

// newAlnum makes an id of the KS Pay API: the prefix, and random letters and digits.
func newAlnum(prefix string) string { return alnum(prefix, rand.Reader) }

// alnum makes an id of what a source gives, which never ends nor fails.
func alnum(prefix string, source io.Reader) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := []byte(prefix)
	for len(id) < len(prefix)+merchant.IDLength(prefix) {
		var b [1]byte
		source.Read(b[:]) //nolint:errcheck // documented never to fail
		if i := int(b[0] & 63); i < len(letters) {
			id = append(id, letters[i])
		}
	}
	return string(id)
}

// kspayError puts the code of the KS Pay API, where a refusal has one, before its message: "13009 credentialStepFailed: ...".
func kspayError(err error) error {
	var refusal *domain.Error
	if !errors.As(err, &refusal) || refusal.Details[merchant.KSPayError] == "" {
		return err
	}
	name := refusal.Details[merchant.KSPayError]
	code, known := kspayCode(name)
	if !known {
		return err
	}
	details := map[string]string{}
	for k, v := range refusal.Details {
		if k != merchant.KSPayError {
			details[k] = v
		}
	}
	return &domain.Error{Code: refusal.Code, Message: code + " " + name[strings.LastIndexByte(name, '.')+1:] + ": " + refusal.Message, Details: details}
}

// gatewaySecrets are the secrets of a configuration as the vault has them; none where there are none yet.
func (d *appDesk) gatewaySecrets(ctx context.Context, g *merchant.Gateway) (merchant.GatewaySecrets, error) {
	var s merchant.GatewaySecrets
	if g.Version == 0 {
		return s, nil
	}
	text, err := d.vault.Secret(ctx, g.SecretName())
	if err != nil {
		return s, fmt.Errorf("the secrets of gateway configuration %s: %w", g.ID, err)
	}
	if json.Unmarshal(text, &s) != nil { // its error may quote what it has read
		return s, fmt.Errorf("the secrets of gateway configuration %s cannot be read", g.ID)
	}
	return s, nil
}
