package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/cashfree"
	"github.com/khata-ledger/khata/adapters/gateway/paypal"
	"github.com/khata-ledger/khata/adapters/gateway/payu"
	"github.com/khata-ledger/khata/adapters/gateway/razorpay"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
	"github.com/khata-ledger/khata/projections"
)

// appCommand is `ledger app`: apps of the KS Pay API.
type appCommand struct {
	Create       appCreate       `cmd:"" help:"Make an app and its credentials, which are shown this once."`
	List         appList         `cmd:"" help:"List apps."`
	Show         appShow         `cmd:"" help:"Show an app, with the steps of its gateways and the addresses of their webhooks."`
	Credentials  appCredentials  `cmd:"" help:"Say when an app's credentials were made, or make new ones, which are shown this once."`
	Domain       appDomain       `cmd:"" help:"The origins from which an app's customers may call."`
	Currency     appCurrency     `cmd:"" help:"The currencies that an app takes."`
	Currencies   appPlatform     `cmd:"" help:"List the currencies and methods of the platform, with their ids."`
	Gateway      appGateway      `cmd:"" help:"The accounts of an app at payment companies, and their set-up."`
	Webhooks     appWebhooks     `cmd:"" help:"List the messages of a gateway that were kept without being booked."`
	Transactions appTransactions `cmd:"" help:"List the transactions of an app, the newest first."`
}

// checkouts are the payment companies that are built in.
func checkouts() []gateway.Checkout {
	return []gateway.Checkout{razorpay.New(), payu.New(), cashfree.New(), paypal.New(time.Now)}
}

// appFlags say where the server is that customers and companies reach: for links, and for the sandbox's faces.
type appFlags struct {
	storeFlags
	PublicURL  string `name:"public-url" default:"http://127.0.0.1:8080" help:"Address under which customers and payment companies reach the server; as for serve." placeholder:"URL"`
	Sandbox    *bool  `negatable:"" help:"Whether the server has the sandbox, at which accounts of test apps then are; as for serve."`
	SandboxURL string `help:"Where the sandbox is reached, when that is not at --public-url." placeholder:"URL"`
}

// withDesk runs f with the stores open and a desk on them.
func (c *appFlags) withDesk(ctx context.Context, t *terminal, f func(*appDesk) error) error {
	public, err := checkBase("--public-url", c.PublicURL)
	if err != nil {
		return err
	}
	at, err := c.location()
	if err != nil {
		return err
	}
	on := at.dialect == migrations.SQLite
	if c.Sandbox != nil {
		on = *c.Sandbox
	}
	to := &links{public: public}
	switch {
	case on && c.SandboxURL != "":
		if to.sandbox, err = checkBase("--sandbox-url", c.SandboxURL); err != nil {
			return err
		}
	case on:
		to.sandbox = public
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		if to.book, err = ticketBook(ctx, s.vault); err != nil {
			return err
		}
		companies, on := checkouts(), &ports{Ledger: l}
		engine, err := gateway.NewCheckouts(on, s.vault, s.work, companies, gateway.CheckoutOptions{})
		if err != nil {
			return err
		}
		underWay := func(ctx context.Context, app, config string) (int, error) { // hardly ever asked, and the views take their time
			views, err := s.openViews(ctx, t)
			if err != nil {
				return 0, err
			}
			return inFlightIn(views)(ctx, app, config)
		}
		return f(&appDesk{
			ledger: on, vault: s.vault, companies: companies, kept: engine, links: to, expiry: kspay.DefaultCheckoutExpiry, inFlight: underWay,
		})
	})
}

// appChange is a command that changes an app.
type appChange struct {
	appFlags
	actorFlag
	ID string `arg:"" help:"App."`
}

// change carries out a command that brings no secrets, made of the app as it is, and shows the app after it.
func (c *appChange) change(ctx context.Context, t *terminal, name string, f func(of merchant.Of, m *merchant.Merchant) (merchant.Command, error)) error {
	return c.with(ctx, t, func(d *appDesk, actor string) error {
		m, err := d.app(ctx, c.ID)
		if err != nil {
			return err
		}
		command, err := f(merchant.Of{Merchant: c.ID, Actor: actor}, &m)
		if err != nil {
			return err
		}
		from, err := origin(actor, name, command)
		if err != nil {
			return err
		}
		if m, err = d.Change(ctx, command, from); err != nil {
			return err
		}
		return t.answer(ops.ViewApp(&m, present(), d.WebhookURL))
	})
}

// with runs f with a desk, and who acts.
func (c *appChange) with(ctx context.Context, t *terminal, f func(d *appDesk, actor string) error) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	return c.withDesk(ctx, t, func(d *appDesk) error { return f(d, actor) })
}

type appCreate struct {
	appFlags
	actorFlag
	Name     string           `required:"" help:"Name, as its customers see it: 3 to 256 characters."`
	Mode     merchant.Mode    `enum:"test,live" default:"test" help:"test or live; it stays so for ever."`
	Currency []money.Currency `help:"Currency that it takes. Repeatable; INR unless given." placeholder:"CODE"`
	Domain   []string         `help:"Origin from which its customers may call. Repeatable." placeholder:"ORIGIN"`
	User     string           `help:"User that it belongs to; a new one unless given." placeholder:"ID"`
	Plan     []string         `type:"path" help:"File with the fee plan (JSON) of one of its currencies. Repeatable; 1 % of payins unless given." placeholder:"FILE"`
}

// Run makes the app.
func (c *appCreate) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	n := ops.NewApp{Name: c.Name, UserID: c.User, Mode: c.Mode, Currencies: c.Currency, Domains: c.Domain}
	for _, path := range c.Plan {
		plan, err := readPlanAs(path, fee.ParseAppPlan)
		if err != nil {
			return err
		}
		n.Plans = append(n.Plans, plan)
	}
	return c.withDesk(ctx, t, func(d *appDesk) error {
		from, err := origin(actor, "app create", n)
		if err != nil {
			return err
		}
		made, err := d.Create(ctx, n, from)
		if err != nil {
			return err
		}
		return t.answer(made)
	})
}

type appList struct{ appFlags }

// appsJSON is the answer of `app list`.
type appsJSON struct {
	Apps []ops.AppView `json:"apps"`
}

// Run lists.
func (c *appList) Run(ctx context.Context, t *terminal) error {
	return c.viewing(ctx, t, func(views *projections.Views, to *links) error {
		out := appsJSON{Apps: []ops.AppView{}}
		for after := ""; ; {
			page, err := views.Merchants(ctx, after, projections.MaxLimit)
			if err != nil {
				return err
			}
			for i := range page {
				if after = page[i].ID; page[i].App != nil {
					out.Apps = append(out.Apps, ops.ViewApp(&page[i], present(), to.webhook))
				}
			}
			if len(page) < projections.MaxLimit {
				return t.answer(out)
			}
		}
	})
}

// viewing runs f with the views open.
func (c *appFlags) viewing(ctx context.Context, t *terminal, f func(*projections.Views, *links) error) error {
	public, err := checkBase("--public-url", c.PublicURL)
	if err != nil {
		return err
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		return f(views, &links{public: public})
	})
}

// viewed is an app in the views.
func viewed(ctx context.Context, views *projections.Views, id string) (merchant.Merchant, error) {
	if !merchant.ValidID("ap_", id) {
		return merchant.Merchant{}, kspayError(noID("app_id", "ap_"))
	}
	m, err := views.Merchant(ctx, id)
	if domain.CodeOf(err) == domain.NotFound || err == nil && m.App == nil {
		return m, errNoApp()
	}
	return m, err
}

type appShow struct {
	appFlags
	ID string `arg:"" help:"App."`
}

// Run shows.
func (c *appShow) Run(ctx context.Context, t *terminal) error {
	return c.viewing(ctx, t, func(views *projections.Views, to *links) error {
		m, err := viewed(ctx, views, c.ID)
		if err != nil {
			return err
		}
		return t.answer(ops.ViewApp(&m, present(), to.webhook))
	})
}

type appCredentials struct {
	appChange
	Regenerate bool `help:"Make new credentials; the old ones are dead at once."`
}

// Run says when the credentials were made, or makes new ones.
func (c *appCredentials) Run(ctx context.Context, t *terminal) error {
	return c.with(ctx, t, func(d *appDesk, actor string) error {
		if c.Regenerate {
			from, err := origin(actor, "app credentials --regenerate", c.ID)
			if err != nil {
				return err
			}
			made, err := d.Regenerate(ctx, c.ID, from)
			if err != nil {
				return err
			}
			return t.answer(made)
		}
		m, err := d.app(ctx, c.ID)
		if err != nil {
			return err
		}
		shown := "none is active"
		for _, k := range m.Keys {
			if k.AccessKey != "" && k.Active(present()) {
				shown = fmt.Sprintf("%s, made %s", k.AccessKey, k.CreatedAt.UTC().Format(time.RFC3339))
			}
		}
		return kspayError(&domain.Error{
			Code: domain.Stale, Message: "Credentials already viewed or downloaded, try regenerating if lost. (" + shown + ")",
			Details: map[string]string{merchant.KSPayError: "keyVaultErrors.credentialsAlreadyViewed"},
		})
	})
}

// appDomain is `ledger app domain`.
type appDomain struct {
	Add    appDomainAdd    `cmd:"" help:"Let customers call from an origin."`
	Remove appDomainRemove `cmd:"" help:"Let them no more."`
	List   appDomainList   `cmd:"" help:"List the origins."`
}

type appDomainAdd struct {
	appChange
	Origins []string `arg:"" name:"origin" help:"Origin, such as https://shop.example."`
}

// Run adds.
func (c *appDomainAdd) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, "app domain add", func(of merchant.Of, m *merchant.Merchant) (merchant.Command, error) {
		return merchant.SetDomains{Of: of, Domains: slices.Concat(m.App.Domains, c.Origins)}, nil
	})
}

type appDomainRemove struct {
	appChange
	Origin string `arg:"" help:"Origin."`
}

// Run removes. An origin that is not there is named as such: it may be a slip.
func (c *appDomainRemove) Run(ctx context.Context, t *terminal) error {
	return c.change(ctx, t, "app domain remove", func(of merchant.Of, m *merchant.Merchant) (merchant.Command, error) {
		gone := slices.DeleteFunc(slices.Clone(m.App.Domains), func(d string) bool { return d == merchant.CanonicalOrigin(c.Origin) })
		if len(gone) == len(m.App.Domains) {
			return nil, domain.InvalidField("domain", fmt.Sprintf("%q is not among the app's: %s", c.Origin, strings.Join(m.App.Domains, ", ")))
		}
		return merchant.SetDomains{Of: of, Domains: gone}, nil
	})
}

type appDomainList struct{ appShow }

// Run lists.
func (c *appDomainList) Run(ctx context.Context, t *terminal) error {
	return c.viewing(ctx, t, func(views *projections.Views, to *links) error {
		m, err := viewed(ctx, views, c.ID)
		if err != nil {
			return err
		}
		return t.answer(struct {
			ID      string   `json:"app_id"`
			Domains []string `json:"domains"`
		}{m.ID, ops.ViewApp(&m, present(), to.webhook).Domains})
	})
}

// appCurrency is `ledger app currency`.
type appCurrency struct {
	Set appCurrencySet `cmd:"" help:"Take a currency, price it anew, or take it no more."`
}

type appCurrencySet struct {
	appChange
	Code    money.Currency `arg:"" help:"Currency."`
	Disable bool           `help:"Take it no more; what is under way goes on."`
	Plan    string         `type:"path" help:"File with its fee plan (JSON); it stays as it is unless given, 1 % of payins at first." placeholder:"FILE"`
}

// Run sets.
func (c *appCurrencySet) Run(ctx context.Context, t *terminal) error {
	var plan fee.Plan
	if c.Plan != "" {
		var err error
		if plan, err = readPlanAs(c.Plan, fee.ParseAppPlan); err != nil {
			return err
		}
	}
	return c.change(ctx, t, "app currency set", func(of merchant.Of, _ *merchant.Merchant) (merchant.Command, error) {
		return merchant.SetCurrency{Of: of, Currency: c.Code, Enabled: !c.Disable, Plan: plan, At: present()}, nil
	})
}

type appPlatform struct {
	storeFlags // every command takes them
}

// Run lists what the platform has.
func (*appPlatform) Run(t *terminal) error {
	type currency struct {
		ID       string         `json:"currency_id"`
		Code     money.Currency `json:"currency"`
		Name     string         `json:"name"`
		Decimals int32          `json:"decimals"`
	}
	type method struct {
		ID   string          `json:"payment_method_id"`
		Name merchant.Method `json:"name"`
	}
	out := struct {
		Currencies []currency `json:"currencies"`
		Methods    []method   `json:"methods"`
	}{}
	for _, c := range merchant.Currencies() {
		decimals, known := c.Code.Exponent()
		if !known {
			return errors.New("the platform has a currency that the ledger does not know: " + string(c.Code))
		}
		out.Currencies = append(out.Currencies, currency{c.ID, c.Code, c.Name, decimals})
	}
	for _, m := range merchant.Methods() {
		out.Methods = append(out.Methods, method{merchant.MethodID(m), m})
	}
	return t.answer(out)
}

type appTransactions struct {
	appFlags
	ID     string `arg:"" help:"App."`
	Status string `enum:"all,pending,success,failed,expired" default:"all" help:"Of this status alone: pending, success, failed, expired."`
	Limit  int    `default:"100" help:"How many, at most 1000."`
	Cursor string `help:"Where to go on: next_cursor of the page before."`
}

// Run lists.
func (c *appTransactions) Run(ctx context.Context, t *terminal) error {
	if c.Limit < 1 || c.Limit > projections.MaxLimit {
		return usagef("--limit must be from 1 to %d", projections.MaxLimit)
	}
	f := projections.Filter{Merchant: c.ID, Status: wallet.Status(c.Status), Page: 1, Limit: c.Limit, Cursor: c.Cursor}
	if c.Status == "all" {
		f.Status = ""
	}
	return c.viewing(ctx, t, func(views *projections.Views, _ *links) error {
		if _, err := viewed(ctx, views, c.ID); err != nil {
			return err
		}
		page, err := views.ListPayins(ctx, f)
		if err != nil {
			return err
		}
		return t.answer(ops.ViewTransactions(page))
	})
}

type appWebhooks struct {
	appFlags
	ID     string `arg:"" help:"App."`
	Config string `arg:"" name:"gateway-config" help:"Gateway configuration."`
}

// Run lists. What the messages say stays sealed: it may name customers.
func (c *appWebhooks) Run(ctx context.Context, t *terminal) error {
	return c.withDesk(ctx, t, func(d *appDesk) error {
		kept, err := d.Kept(ctx, c.ID, c.Config)
		if err != nil {
			return err
		}
		return t.answer(struct {
			Messages []ops.KeptMessage `json:"messages"`
		}{kept})
	})
}
