package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/razorpay"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// The demo app is the same at every start, as the demo merchant is. Its set-up is what everybody's is: the four steps, and a trial order that is paid on
// the page of the sandbox's Razorpay face.
const (
	demoApp       = "ap_demo00000"
	demoUser      = "us_demo00000"
	demoConfig    = "gc_demo00000"
	demoAppSecret = "demo/app-credentials" //nolint:gosec // a name, no secret
	demoAppActor  = "system:demo"
	demoPoll      = 100 * time.Millisecond
)

// demoPair are the demo app's credentials as the vault has them, which no other app's are.
type demoPair struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// demoShop makes the demo app and sets it up. Where it stopped before, it goes on.
type demoShop struct {
	*server
	desk *appDesk
	base string // under which the sandbox reaches this server
	web  *http.Client
}

// demoKSPay makes the demo app, and returns what to paste.
func (s *server) demoKSPay(ctx context.Context, base string) (string, error) {
	if s.links.sandbox == "" {
		return "", errors.New("there is no sandbox for its payments")
	}
	d := &demoShop{server: s, desk: s.desk(), base: base, web: &http.Client{Timeout: demoWithin}}
	pair, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	if err := d.setUp(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf(demoAppText, s.links.public, demoApp, pair.AccessKey, pair.SecretKey), nil
}

// open makes the app, unless it is there.
func (d *demoShop) open(ctx context.Context) (demoPair, error) {
	var pair demoPair
	_, err := d.ledger.Merchant(ctx, demoApp)
	if domain.CodeOf(err) != domain.NotFound {
		if err == nil {
			pair, err = d.kept(ctx)
		}
		return pair, err
	}
	at := present()
	key, secret, err := d.desk.newPair(ctx, merchant.Test, at)
	if err != nil {
		return pair, err
	}
	pair = demoPair{key.AccessKey, secret}
	text, err := json.Marshal(pair) //nolint:gosec // the vault keeps it
	if err != nil {
		return pair, err
	}
	// Before the app: credentials that cannot be shown again would be worse than a secret without an app.
	if err := d.stores.vault.PutSecret(ctx, demoAppSecret, text); err != nil {
		return pair, err
	}
	create := merchant.Create{
		Of: merchant.Of{Merchant: demoApp, Actor: demoAppActor}, Name: "Demo shop", Services: []merchant.Service{merchant.Payin}, Plan: fee.Default(),
		Key: key, At: at, App: &merchant.NewApp{
			UserID: demoUser, Mode: merchant.Test, Domains: []string{"http://localhost:3000"},
			Currencies: []merchant.AppCurrency{{Currency: money.INR}, {Currency: "USD"}},
		},
	}
	from, err := origin(demoAppActor, "serve --demo", create)
	if err != nil {
		return pair, err
	}
	_, err = d.ledger.SubmitMerchant(ctx, create, from)
	if domain.CodeOf(err) == domain.Stale { // another process was faster
		return d.kept(ctx)
	}
	return pair, err
}

func (d *demoShop) kept(ctx context.Context) (pair demoPair, err error) {
	text, err := d.stores.vault.Secret(ctx, demoAppSecret)
	if errors.Is(err, vault.ErrNotFound) {
		return pair, errors.New("the demo app exists, and its credentials were not kept")
	}
	if err == nil && json.Unmarshal(text, &pair) != nil {
		err = errors.New("the demo app's credentials cannot be read")
	}
	return pair, err
}

// setUp takes the steps that are missing, until payments go through the gateway.
func (d *demoShop) setUp(ctx context.Context) error {
	for {
		m, err := d.ledger.Merchant(ctx, demoApp)
		if err != nil {
			return err
		}
		g, there := m.App.Gateway(demoConfig)
		switch {
		case !there:
			err = d.change(ctx, merchant.AddGateway{Of: d.of(), Config: demoConfig, Gateway: razorpay.Name})
		case g.Usable():
			return nil
		case g.Trial != "":
			err = d.payTrial(ctx, &m, g.Trial)
		case g.Tried() && g.Security != merchant.StepVerified:
			err = d.change(ctx, merchant.SetGatewayStep{Of: d.of(), Config: demoConfig, Step: merchant.StepSecurity, Version: g.Version})
		case g.Verified():
			err = d.change(ctx, merchant.SwitchGateway{Of: d.of(), Config: demoConfig, Enabled: true})
		case g.Credentials != merchant.StepInVerification:
			err = d.account(ctx, merchant.StepCredentials)
		case g.Webhook != merchant.StepInVerification:
			err = d.account(ctx, merchant.StepWebhook)
		case g.Package != merchant.StepInVerification:
			err = d.change(ctx, merchant.SetGatewayStep{Of: d.of(), Config: demoConfig, Step: merchant.StepPackage, Version: g.Version})
		default:
			err = d.startTrial(ctx)
		}
		if domain.CodeOf(err) == domain.Stale { // a process that was killed at it keeps others out for a while
			err = wait(ctx)
		}
		if err != nil {
			return fmt.Errorf("setting up the gateway of the demo app: %w", err)
		}
	}
}

// wait waits for what another does.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(demoPoll):
		return nil
	}
}

func (d *demoShop) of() merchant.Of { return merchant.Of{Merchant: demoApp, Actor: demoAppActor} }

func (d *demoShop) change(ctx context.Context, c merchant.Command) error {
	from, err := origin(demoAppActor, "serve --demo", c)
	if err != nil {
		return err
	}
	_, err = d.desk.Change(ctx, c, from)
	return err
}

// account has an account made at the sandbox's face, and gives its secrets to a step. The face makes a new one each time.
func (d *demoShop) account(ctx context.Context, step string) error {
	asked := map[string]string{"webhook_url": d.base + gateway.WebhookPath(razorpay.Name, demoApp, demoConfig)}
	if step == merchant.StepWebhook {
		m, err := d.ledger.Merchant(ctx, demoApp)
		if err != nil {
			return err
		}
		g, _ := m.App.Gateway(demoConfig)
		secrets, err := d.desk.gatewaySecrets(ctx, &g)
		if err != nil {
			return err
		}
		asked["key_id"], asked["key_secret"] = secrets.Credentials["key_id"], secrets.Credentials["key_secret"]
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	var made struct {
		KeyID         string `json:"key_id"`
		KeySecret     string `json:"key_secret"`
		WebhookSecret string `json:"webhook_secret"`
	}
	text, err := d.post(ctx, d.links.sandbox+"/sandbox/razorpay/accounts", "application/json", body)
	if err != nil {
		return err
	}
	if json.Unmarshal(text, &made) != nil {
		return errors.New("the sandbox answers a new account with something else")
	}
	given := ops.Secrets{Step: step, Webhook: made.WebhookSecret}
	if step == merchant.StepCredentials {
		given = ops.Secrets{Step: step, Credentials: map[string]string{"key_id": made.KeyID, "key_secret": made.KeySecret}}
	}
	from, err := origin(demoAppActor, "serve --demo", step)
	if err != nil {
		return err
	}
	_, err = d.desk.Provide(ctx, demoApp, demoConfig, given, from)
	return err
}

func (d *demoShop) startTrial(ctx context.Context) error {
	from, err := origin(demoAppActor, "serve --demo", "trial")
	if err != nil {
		return err
	}
	_, err = d.desk.Trial(ctx, demoApp, demoConfig, "1.00", money.INR, from)
	return err
}

// payForm finds the form of the face's page.
func payForm() *regexp.Regexp {
	return regexp.MustCompile(`<form method="post" action="(/sandbox/[^"]+)"`)
}

// payTrial pays the trial order on the page of the face, as a customer would, and waits for the webhook.
func (d *demoShop) payTrial(ctx context.Context, m *merchant.Merchant, transaction string) error {
	p, err := d.ledger.Payment(ctx, demoApp, transaction)
	if err != nil {
		return err
	}
	if p, err = d.checkouts.Ensure(ctx, *m, p); err == nil {
		var next gateway.Continuation
		if next, err = d.checkouts.Begin(ctx, *m, p, merchant.NetBanking); err == nil {
			err = d.visit(ctx, next)
		}
	}
	failed := err
	for { // also after an error: when it was paid before, by a process that was killed, the page refuses, and the webhook comes all the same
		now, err := d.ledger.Merchant(ctx, demoApp)
		if err != nil {
			return err
		}
		if g, _ := now.App.Gateway(demoConfig); g.Trial != transaction {
			return nil
		}
		if err := wait(ctx); err != nil {
			return fmt.Errorf("waiting for the trial order: %w", errors.Join(failed, err))
		}
	}
}

// visit opens the face's page, and pays on it.
func (d *demoShop) visit(ctx context.Context, next gateway.Continuation) error {
	form := url.Values{}
	for _, f := range next.Fields {
		form.Set(f.Name, f.Value)
	}
	const encoded = "application/x-www-form-urlencoded"
	page, err := d.post(ctx, next.URL, encoded, []byte(form.Encode()))
	if err != nil {
		return err
	}
	action := payForm().FindSubmatch(page)
	if action == nil {
		return errors.New("the sandbox's page has no form")
	}
	_, err = d.post(ctx, d.links.sandbox+string(action[1]), encoded, []byte("method=netbanking&bank=HDFC&action=pay"))
	return err
}

// post sends to the sandbox. An error does not quote what was sent.
func (d *demoShop) post(ctx context.Context, address, mediaType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := d.web.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is checked
	text, err := io.ReadAll(io.LimitReader(resp.Body, gateway.MaxBodyBytes))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("the sandbox answers %s", resp.Status)
	}
	return text, err
}

const demoAppText = `
The KS Pay API is at %[1]s/v1, and its reference at %[1]s/docs/kspay

  demo app    %[2]s
  access key  %[3]s
  secret key  %[4]s

These lines begin a payment; open the checkout link that the last one prints, and pay on the sandbox's page:

export APP=%[2]s ACCESS_KEY=%[3]s SECRET_KEY=%[4]s
SIGNATURE=$(curl -s %[1]s/v1/auth/generate-signature/$APP -H 'Content-Type: application/json' -d "{\"accessKey\":\"$ACCESS_KEY\",\"secretKey\":\"$SECRET_KEY\"}" | sed 's/.*"result":"\([^"]*\)".*/\1/')
curl -sw '\n' %[1]s/v1/transaction/initiate -H "x-signature: $SIGNATURE" -H 'Content-Type: application/json' -d "{\"currencyId\":\"c_WkmEe23LeI\",\"paymentMethodId\":\"pm_Mk55VGvFm\",\"amount\":345.67,\"referenceNumber\":\"ORDER-$(date +%%s)\"}"
curl -s -X POST %[1]s/v1/transaction/process -H "x-signature: $SIGNATURE" | sed 's/.*"checkoutUrl":"\([^"]*\)".*/\n  checkout link  \1\n\n/'
`
