package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"
)

// CheckoutLedger is what checkouts need of the ledger.
type CheckoutLedger interface {
	Ledger
	// Merchant is an app as the log has it now. domain.NotFound when there is none.
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
	// SubmitMerchant carries out a command on an app, and returns the app after it, once that is durable.
	SubmitMerchant(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error)
	// Lookup finds the record that holds a dedupe key of the merchant's, as the log has it now; false when it is free.
	Lookup(ctx context.Context, merchantID, key string) (eventstore.Position, bool, error)
}

// Vault has the secrets of gateways' accounts, and seals what is kept of messages; see eventstore/vault.
type Vault interface {
	Opener
	Secret(ctx context.Context, name string) ([]byte, error)
	Seal(ctx context.Context, owner string, id uuid.UUID, plaintext []byte) ([]byte, error)
	Unseal(ctx context.Context, id uuid.UUID, sealed []byte) ([]byte, error)
}

// RefundReports takes what gateways say of refunds.
type RefundReports interface {
	// ReportRefund reports the statement of a verified message, whose Refund is set, about a refund of an app through one of its gateway
	// configurations. found is false when there is no such refund, as far as is known now.
	ReportRefund(ctx context.Context, merchantID, config string, m Message) (found bool, err error)
}

// CheckoutOptions configure Checkouts. Zero values mean the defaults.
type CheckoutOptions struct {
	Options
	// ReturnURL is where a customer's browser comes back to from the page of a gateway.
	ReturnURL func(p wallet.Payment) string
	// WebhookURL is where the gateway of a configuration sends its messages.
	WebhookURL func(gateway, app, config string) string
	// Base is the address of a gateway's API for apps of a mode; "" is the company's own.
	Base    func(gateway string, mode merchant.Mode) string
	Refunds RefundReports // nil: messages about refunds are kept as unmatched

	CallTimeout time.Duration // of one call to a gateway; default 10 s
	OrderWithin time.Duration // of Ensure as a whole, with all its attempts; default 25 s
	Patience    time.Duration // for an attempt that another process may have under way, before it is gone behind; default 2 s
	RefreshGap  time.Duration // between two questions about one payin that pages ask for; default 3 s
	EarlyFor    time.Duration // how long a message about an unknown order is tried again; default 15 min
	DoubtFor    time.Duration // how long a company that does not know what its message says is asked again; default 2 min
	TrialGrace  time.Duration // for the webhook of a trial, behind the expiry of its payin; default 2 min
	Health      HealthPolicy
}

func (o CheckoutOptions) withDefaults() CheckoutOptions {
	o.Options = o.Options.withDefaults()
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&o.CallTimeout, 10*time.Second)
	set(&o.OrderWithin, 25*time.Second)
	set(&o.Patience, 2*time.Second)
	set(&o.RefreshGap, 3*time.Second)
	set(&o.EarlyFor, 15*time.Minute)
	set(&o.DoubtFor, 2*time.Minute)
	set(&o.TrialGrace, 2*time.Minute)
	if o.ReturnURL == nil {
		o.ReturnURL = func(wallet.Payment) string { return "" }
	}
	if o.WebhookURL == nil {
		o.WebhookURL = func(string, string, string) string { return "" }
	}
	if o.Base == nil {
		o.Base = func(string, merchant.Mode) string { return "" }
	}
	o.Health = o.Health.withDefaults()
	return o
}

// Checkouts takes payins that are paid at a checkout through the gateways of their apps: chooses the gateway, has the order made, and brings
// what the gateway says of it into the ledger. doc.go has an order's states and the rules.
type Checkouts struct {
	reporter
	apps     CheckoutLedger
	vault    Vault
	jobs     *work.Store
	gateways map[string]Checkout
	specs    []Spec
	o        CheckoutOptions
	health   *health
	flights  *flights
	secrets  *recent[secretsRead]
	asked    *recent[time.Time] // when pages last had a payin asked about, by its id
	writes   *writes
	mux      *http.ServeMux
	slots    chan struct{} // of messages that are handled at a time
	turns    *turns        // the same, of each account
	shares   *turns        // the same, of each company

	lateTurns  *turns // questions about payins that have ended, of each company
	earlyTurns *turns // early messages that are tried, of each company
}

// What others are given.
var (
	_ Accounts = (*Checkouts)(nil)
	_ Orders   = (*Checkouts)(nil)
)

// How many messages are handled at a time, in all, of one company and of one account; more are told to come again. A company that is asked about its own
// messages, and hangs, leaves room for those of the others.
const (
	maxWebhooks  = 128
	maxOfCompany = 48
	maxOfAccount = 32
)

// NewCheckouts makes it, of the gateways that are built in. It serves POST /gateways/{gateway}/{app}/{config}/webhook.
func NewCheckouts(l CheckoutLedger, v Vault, jobs *work.Store, gateways []Checkout, o CheckoutOptions) (*Checkouts, error) {
	o = o.withDefaults()
	c := &Checkouts{
		reporter: reporter{ledger: l, clock: o.Clock, jitter: o.Jitter, count: o.Count, log: o.Log.With("part", "checkouts")},
		apps:     l, vault: v, jobs: jobs, gateways: map[string]Checkout{}, o: o, health: newHealth(o.Health, o.Clock), flights: newFlights(),
		secrets: newRecent[secretsRead](maxSecretsKept), asked: newRecent[time.Time](maxAsked), writes: newWrites(o.Clock),
		mux: http.NewServeMux(), slots: make(chan struct{}, maxWebhooks), turns: newTurns(maxOfAccount),
		shares: newTurns(maxOfCompany), lateTurns: newTurns(maxLate), earlyTurns: newTurns(maxEarlyOf),
	}
	for _, g := range gateways {
		s := g.Spec()
		if _, twice := c.gateways[s.Name]; twice || s.Name == "" {
			return nil, fmt.Errorf("gateway %q is given twice, or has no name", s.Name)
		}
		c.gateways[s.Name] = g
		c.specs = append(c.specs, s)
	}
	c.mux.HandleFunc("POST /gateways/{gateway}/{app}/{config}/webhook", c.webhook)
	return c, nil
}

// Specs are the gateways that are built in.
func (c *Checkouts) Specs() []Spec { return slices.Clone(c.specs) }

// Spec finds a built-in gateway by its name.
func (c *Checkouts) Spec(name string) (Spec, bool) {
	for _, s := range c.specs {
		if s.Name == name {
			return s, true
		}
	}
	return Spec{}, false
}

// Methods are the methods that a gateway can show; nil when it is not built in.
func (c *Checkouts) Methods(name string) []merchant.Method {
	s, _ := c.Spec(name)
	return s.Methods
}

// WebhookPath is the path at which the messages of a gateway configuration are taken.
func WebhookPath(gateway, app, config string) string {
	return "/gateways/" + gateway + "/" + app + "/" + config + "/webhook"
}

// What is kept in memory of the vault's secrets. A name has the secrets' version in it, and the version comes from the log, so that a new
// one counts at once; the time only bounds how long they are in memory.
const (
	maxSecretsKept = 500
	secretsFor     = time.Minute
)

// maxAsked bounds the payins whose last question is remembered.
const maxAsked = 10_000

type secretsRead struct {
	secrets merchant.GatewaySecrets
	at      time.Time
}

// errNoSecrets: the vault does not have what the log names, or cannot open it any more. Time does not mend it.
var errNoSecrets = errors.New("the secrets of the gateway configuration are not there")

// Account opens the account of a gateway configuration: see Accounts.
func (c *Checkouts) Account(ctx context.Context, merchantID, config string) (Checkout, Account, error) {
	m, err := c.apps.Merchant(ctx, merchantID)
	if err != nil {
		return nil, Account{}, err
	}
	return c.account(ctx, &m, config)
}

// account is Account of an app that was just read.
func (c *Checkouts) account(ctx context.Context, m *merchant.Merchant, config string) (Checkout, Account, error) {
	if m.App == nil {
		return nil, Account{}, domain.Errorf(domain.NotFound, "merchant %s is no app", m.ID)
	}
	g, there := m.App.Gateway(config)
	if !there {
		return nil, Account{}, domain.Errorf(domain.NotFound, "app %s has no gateway configuration %s", m.ID, config)
	}
	company, built := c.gateways[g.Gateway]
	if !built {
		return nil, Account{}, domain.Errorf(domain.NotFound, "gateway %q of configuration %s is not built in", g.Gateway, config)
	}
	if g.Version == 0 {
		return nil, Account{}, fmt.Errorf("configuration %s: %w", config, errNoSecrets)
	}
	s, err := c.secretsOf(ctx, g.SecretName())
	if err != nil {
		return nil, Account{}, err
	}
	return company, Account{
		Config: config, Live: m.App.Mode == merchant.Live, Base: c.o.Base(g.Gateway, m.App.Mode),
		Credentials: s.Credentials, WebhookSecret: s.WebhookSecret,
	}, nil
}

func (c *Checkouts) secretsOf(ctx context.Context, name string) (merchant.GatewaySecrets, error) {
	now := c.clock()
	if kept, there := c.secrets.get(name); there && now.Sub(kept.at) < secretsFor {
		return kept.secrets, nil
	}
	b, err := c.vault.Secret(ctx, name)
	if errors.Is(err, vault.ErrNotFound) {
		return merchant.GatewaySecrets{}, fmt.Errorf("%w: %w", errNoSecrets, err)
	}
	if err != nil && !errors.Is(err, vault.ErrTampered) && !errors.Is(err, vault.ErrInvalid) { // what stays as it is
		return merchant.GatewaySecrets{}, fmt.Errorf("%w: %w", executor.ErrStore, err)
	}
	if err != nil {
		return merchant.GatewaySecrets{}, err
	}
	var s merchant.GatewaySecrets
	if json.Unmarshal(b, &s) != nil { // its error may quote what it has read
		return merchant.GatewaySecrets{}, fmt.Errorf("%w: %s is unreadable", errNoSecrets, name)
	}
	c.secrets.put(name, secretsRead{s, now})
	return s, nil
}
