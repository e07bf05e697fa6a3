package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// appGateway is `ledger app gateway`.
type appGateway struct {
	Add         gatewayAdd         `cmd:"" help:"Give an app an account at a payment company."`
	Credentials gatewayCredentials `cmd:"" help:"Step 1: the account's credentials, which are checked with the company."`
	Webhook     gatewayWebhook     `cmd:"" help:"Step 2: the secret of its webhooks; prints the address to enter at the company."`
	Package     gatewayPackage     `cmd:"" help:"Step 3: the app has the package in place."`
	Trial       gatewayTrial       `cmd:"" help:"Start the trial order, which verifies the first three steps when it is paid; prints its link."`
	Security    gatewaySecurity    `cmd:"" help:"Step 4: the domains of the app's customers."`
	Enable      gatewayEnable      `cmd:"" help:"Let payments through, as soon as all steps are verified."`
	Disable     gatewayDisable     `cmd:"" help:"Let no more payments through; those under way go on."`
	Reset       gatewayReset       `cmd:"" help:"Begin the set-up anew; no payments go through until it is complete."`
	Rank        gatewayRank        `cmd:"" help:"Say which currencies it takes, in which place, and which methods it offers."`
	List        gatewayList        `cmd:"" help:"List the gateways of an app."`
	Specs       gatewaySpecs       `cmd:"" help:"List the companies that are built in, and what an account at each needs."`
}

// Help tells the set-up.
func (*appGateway) Help() string {
	return `A gateway takes payments when it is enabled and its four steps are verified:

  credentials  key names and values of the account at the company; see specs. The company is asked whether they are good
  webhook      the secret of the company's messages, and, at the company, the address that this prints
  package      the app can open a checkout
  trial        one order is paid at the link that this prints; that verifies the three
  security     the app's domains are known

Secrets are given in files or on standard input, so that nobody sees them in the list of processes:

  ledger app gateway credentials ap_... gc_... --set key_id=rzp_test_1 --set key_secret=@secret.txt
  ledger app gateway credentials ap_... gc_... --set-file - <keys.json     # {"key_id":"...","key_secret":"..."}
  ledger app gateway credentials ap_... gc_... --set key_id=env:KEY_ID --set key_secret=env:KEY_SECRET`
}

// gatewayChange is a command that changes a gateway configuration.
type gatewayChange struct {
	appChange
	Config string `arg:"" name:"gateway-config" help:"Gateway configuration."`
}

// ranking says which currencies a gateway takes.
type ranking struct {
	Currency []money.Currency  `help:"Currency that it takes; repeatable." placeholder:"CODE"`
	Priority []int             `help:"Its place for that currency, 1 goes first; once for all, or once for each." placeholder:"N"`
	Method   []merchant.Method `sep:";" help:"Method that it offers, as in app currencies; repeatable. All that the company has unless given." placeholder:"NAME"`
}

// ranks joins currencies and priorities.
func (r *ranking) ranks() ([]merchant.Rank, error) {
	if len(r.Priority) > 1 && len(r.Priority) != len(r.Currency) {
		return nil, usagef("--priority: give one, or one for each --currency")
	}
	if len(r.Priority) > 0 && len(r.Currency) == 0 {
		return nil, usagef("--priority: for which --currency?")
	}
	var ranks []merchant.Rank
	for i, c := range r.Currency {
		rank := merchant.Rank{Currency: c, Priority: 1}
		switch {
		case len(r.Priority) == 1:
			rank.Priority = r.Priority[0]
		case len(r.Priority) > 1:
			rank.Priority = r.Priority[i]
		}
		ranks = append(ranks, rank)
	}
	return ranks, nil
}

type gatewayAdd struct {
	appChange
	ranking
	Gateway string `arg:"" help:"Company; see specs."`
}

// Run adds. Without currencies it takes all of the app's, behind its other gateways.
func (c *gatewayAdd) Run(ctx context.Context, t *terminal) error {
	ranks, err := c.ranks()
	if err != nil {
		return err
	}
	return c.with(ctx, t, func(d *appDesk, actor string) error {
		command := merchant.AddGateway{Of: merchant.Of{Merchant: c.ID, Actor: actor}, Gateway: c.Gateway, Ranks: ranks, Methods: c.Method}
		from, err := origin(actor, "app gateway add", command)
		if err != nil {
			return err
		}
		before, err := d.app(ctx, c.ID)
		if err != nil {
			return err
		}
		after, err := d.Change(ctx, command, from)
		if err != nil {
			return err
		}
		for _, g := range ops.ViewApp(&after, present(), d.WebhookURL).Gateways {
			if _, was := before.App.Gateway(g.ID); !was && g.Gateway == c.Gateway {
				return t.answer(g)
			}
		}
		return errors.New("the gateway was added, and is not there")
	})
}

// step takes a step that brings no secrets, and shows the gateway after it.
func (c *gatewayChange) step(ctx context.Context, t *terminal, name string, f func(of merchant.Of, m *merchant.Merchant, g *merchant.Gateway) []merchant.Command) error {
	return c.with(ctx, t, func(d *appDesk, actor string) error {
		m, err := d.app(ctx, c.ID)
		if err != nil {
			return err
		}
		g, _ := m.App.Gateway(c.Config) // one that is not there is refused with its code
		for _, command := range f(merchant.Of{Merchant: c.ID, Actor: actor}, &m, &g) {
			from, err := origin(actor, name, command)
			if err != nil {
				return err
			}
			if m, err = d.Change(ctx, command, from); err != nil {
				return err
			}
		}
		return answerGateway(t, d, &m, c.Config)
	})
}

// answerGateway prints a gateway configuration.
func answerGateway(t *terminal, d *appDesk, m *merchant.Merchant, config string) error {
	for _, g := range ops.ViewApp(m, present(), d.WebhookURL).Gateways {
		if g.ID == config {
			return t.answer(g)
		}
	}
	return notFound("gateway configuration", config)
}

// provide takes a step that brings secrets. What is kept of the command line has none of them.
func (c *gatewayChange) provide(ctx context.Context, t *terminal, name string, given ops.Secrets) error {
	return c.with(ctx, t, func(d *appDesk, actor string) error {
		from, err := origin(actor, name, map[string]any{"app": c.ID, "gateway_config": c.Config, "keys": slices.Sorted(maps.Keys(given.Credentials))})
		if err != nil {
			return err
		}
		m, err := d.Provide(ctx, c.ID, c.Config, given, from)
		if err != nil {
			return err
		}
		return answerGateway(t, d, &m, c.Config)
	})
}

type gatewayCredentials struct {
	gatewayChange
	Set     []string `sep:"none" help:"A credential: NAME=VALUE for what customers may see, NAME=@FILE or NAME=env:VARIABLE for secrets. Repeatable." placeholder:"NAME=..."`
	SetFile string   `name:"set-file" help:"File with credentials, a JSON object; - is standard input." placeholder:"FILE"`
}

// Run gives credentials.
func (c *gatewayCredentials) Run(ctx context.Context, t *terminal) error {
	values, err := readCredentials(c.Set, c.SetFile, os.Stdin)
	if err != nil {
		return err
	}
	return c.provide(ctx, t, "app gateway credentials", ops.Secrets{Step: merchant.StepCredentials, Credentials: values})
}

// Bounds of what secrets are read from, in bytes.
const (
	maxSetFile    = 64 << 10
	maxSecretFile = ops.MaxSecret + 2 // with a line's end
)

// readCredentials reads what --set and --set-file say.
func readCredentials(set []string, file string, stdin io.Reader) (map[string]string, error) {
	values := map[string]string{}
	put := func(name, value string) error {
		switch {
		case values[name] != "":
			return usagef("credential %s is given twice", name)
		case len(values) >= ops.MaxCredentials:
			return usagef("there are more than %d credentials", ops.MaxCredentials)
		}
		values[name] = value
		return checkSecret("credential "+name, value)
	}
	if file != "" {
		all, err := readSetFile(file, stdin)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if err := put(name, all[name]); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range set {
		name, value, found := strings.Cut(s, "=")
		if !found || name == "" {
			return nil, usagef("--set: give NAME=VALUE, NAME=@FILE or NAME=env:VARIABLE")
		}
		value, err := readSecret("--set "+name, value, secretName(name))
		if err != nil {
			return nil, err
		}
		if err := put(name, value); err != nil {
			return nil, err
		}
	}
	if len(values) == 0 {
		return nil, usagef("no credentials are given: --set NAME=..., or --set-file FILE")
	}
	return values, nil
}

// secretName tells of a credential's name whether its value must not stand on the command line: of all but those that customers' browsers see anyway.
func secretName(name string) bool {
	for _, c := range checkouts() {
		if c.Spec().Public == name {
			return false
		}
	}
	return true
}

// readSecret reads a value that is given as @FILE or env:VARIABLE, or as it is where it is no secret.
func readSecret(flag, value string, secret bool) (string, error) {
	if path, isFile := strings.CutPrefix(value, "@"); isFile {
		text, err := readBounded(path, maxSecretFile)
		if err != nil {
			return "", usagef("%s: %v", flag, err)
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
	if name, isVariable := strings.CutPrefix(value, "env:"); isVariable {
		text, there := os.LookupEnv(name)
		if !there {
			return "", usagef("%s: there is no variable %s in the environment", flag, name)
		}
		return text, nil
	}
	if secret {
		return "", usagef("%s: others could see it on the command line: give @FILE or env:VARIABLE", flag)
	}
	return value, nil
}

// checkSecret holds a secret against what can be kept; no message quotes it.
func checkSecret(what, s string) error {
	if strings.TrimSpace(s) == "" || len(s) > ops.MaxSecret || !eventstore.ValidText(s) || strings.ContainsAny(s, "\r\n") {
		return usagef("%s must be one line of text, of at most %d bytes", what, ops.MaxSecret)
	}
	return nil
}

func readSetFile(path string, stdin io.Reader) (map[string]string, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(io.LimitReader(stdin, maxSetFile+1))
	} else {
		text, err = readBounded(path, maxSetFile)
	}
	var values map[string]string
	switch {
	case err != nil:
		return nil, usagef("--set-file: %v", err)
	case len(text) > maxSetFile:
		return nil, usagef("--set-file: more than %d bytes", maxSetFile)
	case json.Unmarshal(text, &values) != nil: // its error could quote a secret
		return nil, usagef(`--set-file: must hold a JSON object of texts, such as {"key_id":"...","key_secret":"..."}`)
	}
	return values, nil
}

type gatewayWebhook struct {
	gatewayChange
	Secret string `help:"The secret of the company's messages: @FILE, env:VARIABLE, or - for standard input. Not needed where the company signs with its credentials; see specs." placeholder:"@FILE"`
}

// Run gives the webhook's secret, and prints where the company is to send its messages.
func (c *gatewayWebhook) Run(ctx context.Context, t *terminal) error {
	given := ops.Secrets{Step: merchant.StepWebhook}
	if c.Secret != "" {
		var err error
		if c.Secret == "-" {
			var text []byte
			text, err = io.ReadAll(io.LimitReader(os.Stdin, maxSecretFile+1))
			given.Webhook = strings.TrimRight(string(text), "\r\n")
		} else {
			given.Webhook, err = readSecret("--secret", c.Secret, true)
		}
		if err != nil {
			return err
		}
		if err := checkSecret("--secret", given.Webhook); err != nil {
			return err
		}
	}
	return c.provide(ctx, t, "app gateway webhook", given)
}

type gatewayPackage struct{ gatewayChange }

// Run takes the third step.
func (c *gatewayPackage) Run(ctx context.Context, t *terminal) error {
	return c.step(ctx, t, "app gateway package", func(of merchant.Of, _ *merchant.Merchant, g *merchant.Gateway) []merchant.Command {
		return []merchant.Command{merchant.SetGatewayStep{Of: of, Config: c.Config, Step: merchant.StepPackage, Version: g.Version}}
	})
}

type gatewaySecurity struct {
	gatewayChange
	Domain []string `help:"Origin from which the app's customers may call, added to those that it has. Repeatable." placeholder:"ORIGIN"`
}

// Run takes the fourth step. Domains are added only when the step can be taken.
func (c *gatewaySecurity) Run(ctx context.Context, t *terminal) error {
	return c.step(ctx, t, "app gateway security", func(of merchant.Of, m *merchant.Merchant, g *merchant.Gateway) []merchant.Command {
		take := merchant.SetGatewayStep{Of: of, Config: c.Config, Step: merchant.StepSecurity, Version: g.Version}
		if len(c.Domain) == 0 || !g.Tried() || g.Security == merchant.StepVerified {
			return []merchant.Command{take}
		}
		return []merchant.Command{merchant.SetDomains{Of: of, Domains: slices.Concat(m.App.Domains, c.Domain)}, take}
	})
}

type gatewayEnable struct{ gatewayChange }

// Run enables.
func (c *gatewayEnable) Run(ctx context.Context, t *terminal) error {
	return c.turn(ctx, t, "enable", true)
}

type gatewayDisable struct{ gatewayChange }

// Run disables.
func (c *gatewayDisable) Run(ctx context.Context, t *terminal) error {
	return c.turn(ctx, t, "disable", false)
}

func (c *gatewayChange) turn(ctx context.Context, t *terminal, name string, on bool) error {
	return c.step(ctx, t, "app gateway "+name, func(of merchant.Of, _ *merchant.Merchant, _ *merchant.Gateway) []merchant.Command {
		return []merchant.Command{merchant.SwitchGateway{Of: of, Config: c.Config, Enabled: on}}
	})
}

type gatewayReset struct{ gatewayChange }

// Run begins anew.
func (c *gatewayReset) Run(ctx context.Context, t *terminal) error {
	return c.step(ctx, t, "app gateway reset", func(of merchant.Of, _ *merchant.Merchant, _ *merchant.Gateway) []merchant.Command {
		return []merchant.Command{merchant.ResetGateway{Of: of, Config: c.Config}}
	})
}

type gatewayRank struct {
	gatewayChange
	ranking
}

// Run ranks: it says all of it. Methods that are not given are all that the company has.
func (c *gatewayRank) Run(ctx context.Context, t *terminal) error {
	ranks, err := c.ranks()
	if err != nil {
		return err
	}
	if len(ranks) == 0 {
		return usagef("which currencies does it take? give --currency")
	}
	return c.step(ctx, t, "app gateway rank", func(of merchant.Of, _ *merchant.Merchant, _ *merchant.Gateway) []merchant.Command {
		return []merchant.Command{merchant.RankGateway{Of: of, Config: c.Config, Ranks: ranks, Methods: c.Method}}
	})
}

type gatewayTrial struct {
	gatewayChange
	Amount   string         `required:"" help:"Amount, such as 1.00; it is really paid." placeholder:"AMOUNT"`
	Currency money.Currency `help:"Currency; the first that the gateway takes unless given." placeholder:"CODE"`
	Expiry   time.Duration  `name:"checkout-expiry" default:"30m" help:"How long it can be paid; as for serve."`
}

// Run starts the trial order.
func (c *gatewayTrial) Run(ctx context.Context, t *terminal) error {
	if c.Expiry < time.Second || c.Expiry > maxLife {
		return fmt.Errorf("--checkout-expiry must be 1s to %s", maxLife)
	}
	return c.with(ctx, t, func(d *appDesk, actor string) error {
		from, err := origin(actor, "app gateway trial", map[string]string{
			"app": c.ID, "gateway_config": c.Config, "amount": strconv.Quote(c.Amount), "currency": string(c.Currency),
		})
		if err != nil {
			return err
		}
		d.expiry = c.Expiry
		trial, err := d.Trial(ctx, c.ID, c.Config, c.Amount, c.Currency, from)
		if err != nil {
			return err
		}
		return t.answer(trial)
	})
}

type gatewayList struct{ appShow }

// Run lists.
func (c *gatewayList) Run(ctx context.Context, t *terminal) error {
	return c.viewing(ctx, t, func(views *projections.Views, to *links) error {
		m, err := viewed(ctx, views, c.ID)
		if err != nil {
			return err
		}
		return t.answer(struct {
			ID       string            `json:"app_id"`
			Gateways []ops.GatewayView `json:"gateways"`
		}{m.ID, ops.ViewApp(&m, present(), to.webhook).Gateways})
	})
}

type gatewaySpecs struct {
	storeFlags // every command takes them
}

// Run lists what is built in.
func (*gatewaySpecs) Run(t *terminal) error {
	d := appDesk{companies: checkouts()}
	return t.answer(struct {
		Gateways []ops.GatewaySpec `json:"gateways"`
	}{d.Specs()})
}
