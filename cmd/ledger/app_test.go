package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

func TestReadCredentials(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret, keys := file("secret", "hunter2\r\n"), file("keys", `{"key_id":"a","key_secret":"hunter2"}`)
	long, lines, blank := file("long", strings.Repeat("x", ops.MaxSecret+1)), file("lines", "a\nb"), file("blank", "\n")
	t.Setenv("KSPAY_TEST_SECRET", "hunter3")
	for _, c := range []struct {
		name  string
		set   []string
		file  string
		stdin string
		want  map[string]string
		says  string
	}{
		{name: "public as it is, secret from a file", set: []string{"key_id=rzp=1", "key_secret=@" + secret}, want: map[string]string{"key_id": "rzp=1", "key_secret": "hunter2"}},
		{name: "from the environment", set: []string{"salt=env:KSPAY_TEST_SECRET"}, want: map[string]string{"salt": "hunter3"}},
		{name: "a file of all", file: keys, want: map[string]string{"key_id": "a", "key_secret": "hunter2"}},
		{name: "standard input", file: "-", stdin: `{"key":"a"}`, set: []string{"salt=@" + secret}, want: map[string]string{"key": "a", "salt": "hunter2"}},
		{name: "a secret on the command line", set: []string{"key_secret=hunter2"}, says: "others could see it"},
		{name: "an unknown name is taken for a secret", set: []string{"pepper=hunter2"}, says: "others could see it"},
		{name: "nothing", says: "no credentials are given"},
		{name: "no value", set: []string{"key_id"}, says: "give NAME=VALUE"},
		{name: "no name", set: []string{"=x"}, says: "give NAME=VALUE"},
		{name: "twice", file: keys, set: []string{"key_id=b"}, says: "credential key_id is given twice"},
		{name: "no such file", set: []string{"key_secret=@" + dir + "/none"}, says: "--set key_secret: "},
		{name: "no such variable", set: []string{"key_secret=env:KSPAY_TEST_NONE"}, says: "there is no variable KSPAY_TEST_NONE"},
		{name: "too long", set: []string{"key_secret=@" + long}, says: "at most 4000 bytes"},
		{name: "two lines", set: []string{"key_secret=@" + lines}, says: "must be one line"},
		{name: "blank", set: []string{"key_secret=@" + blank}, says: "must be one line"},
		{name: "no object", file: "-", stdin: `["hunter2"]`, says: "must hold a JSON object of texts"},
		{name: "no texts", file: "-", stdin: `{"key_secret":1}`, says: "must hold a JSON object of texts"},
		{name: "too much", file: "-", stdin: strings.Repeat(" ", maxSetFile+1), says: "more than"},
	} {
		got, err := readCredentials(c.set, c.file, strings.NewReader(c.stdin))
		var usage usageError
		if c.says != "" && (err == nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter")) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if c.says == "" && (err != nil || len(got) != len(c.want)) {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
		for name, value := range c.want {
			if got[name] != value {
				t.Errorf("%s: %s is %q", c.name, name, got[name])
			}
		}
	}
}

// openCompany accepts credentials, unless its key is "bad"; "lost" is a company that does not answer.
type openCompany struct{ gateway.Checkout }

func (openCompany) Spec() gateway.Spec {
	return gateway.Spec{Name: "open", Title: "Open", Keys: []string{"key", "secret"}, Public: "key", Webhook: "hook", Currencies: []money.Currency{money.INR}, Methods: []merchant.Method{merchant.UPI}}
}

func (openCompany) Check(_ context.Context, a gateway.Account) error {
	switch a.Credentials["key"] {
	case "bad":
		return gateway.ErrCredentials
	case "lost":
		return errors.New("timeout")
	}
	return nil
}

// withOpenDesk runs f with a desk on a new store, an app, and its gateway configuration.
func withOpenDesk(t *testing.T, f func(d *appDesk, app, config string)) {
	t.Helper()
	flags, _ := inProcess(t)
	err := deciding(t.Context(), &flags, &terminal{&bytes.Buffer{}, &bytes.Buffer{}}, func(s *stores, l *ledger.Ledger) error {
		book, err := ticketBook(t.Context(), s.vault)
		if err != nil {
			return err
		}
		d := &appDesk{
			ledger: &ports{Ledger: l}, vault: s.vault, companies: []gateway.Checkout{openCompany{}}, expiry: time.Hour,
			links:    &links{public: "https://pay.example", book: book},
			inFlight: func(context.Context, string, string) (int, error) { return 0, nil },
		}
		made, err := d.Create(t.Context(), ops.NewApp{Name: "Kirana", Mode: merchant.Test, Currencies: []money.Currency{"USD", money.INR}}, eventstore.Origin{Actor: "asha"})
		if err != nil {
			return err
		}
		m, err := d.Change(t.Context(), merchant.AddGateway{Of: merchant.Of{Merchant: made.App, Actor: "asha"}, Gateway: "open"}, eventstore.Origin{Actor: "asha"})
		if err != nil {
			return err
		}
		if ranks := m.App.Gateways[0].Ranks; len(ranks) != 1 || ranks[0].Currency != money.INR {
			t.Errorf("without ranks it takes %v, want what the company has", ranks)
		}
		f(d, made.App, m.App.Gateways[0].ID)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCreateOnce: one Idempotency-Key makes one app, and its secret key is told once.
func TestCreateOnce(t *testing.T) {
	withOpenDesk(t, func(d *appDesk, _, _ string) {
		n := ops.NewApp{Name: "Kirana", Mode: merchant.Test}
		create := func(key string) ops.Credentials {
			t.Helper()
			made, err := d.Create(t.Context(), n, eventstore.Origin{Actor: "asha", IdempotencyKey: key})
			if err != nil {
				t.Fatal(err)
			}
			return made
		}
		first, other := create("ops:asha:1"), create("ops:asha:2")
		again := create("ops:asha:1")
		if first.App == other.App || first.SecretKey == "" || !merchant.ValidID("ap_", first.App) {
			t.Errorf("%+v, %+v", first, other)
		}
		first.SecretKey = ""
		if again.App != first.App || again.AccessKey != first.AccessKey || again.UserID != first.UserID || again.SecretKey != "" || !again.At.Equal(first.At) {
			t.Errorf("again: %+v, want %+v", again, first)
		}
		if m, err := d.app(t.Context(), first.App); err != nil || len(m.Keys) != 1 {
			t.Errorf("%+v, %v", m.Keys, err)
		}
	})
}

// TestProvide: the vault has what the event names and nothing else, whatever a killed process has left there.
func TestProvide(t *testing.T) {
	withOpenDesk(t, func(d *appDesk, app, config string) {
		ctx, by := t.Context(), eventstore.Origin{Actor: "asha"}
		give := func(key string) ops.Secrets {
			return ops.Secrets{Step: merchant.StepCredentials, Credentials: map[string]string{"key": key, "secret": "s-" + key}}
		}
		version := func(n int) string {
			text, err := d.vault.Secret(ctx, merchant.GatewaySecretName(config, n))
			if errors.Is(err, vault.ErrNotFound) {
				return ""
			}
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
		if _, err := d.Provide(ctx, app, config, give("lost"), by); err == nil || domain.CodeOf(err) != "" || version(1) != "" {
			t.Errorf("a company that does not answer: %v, %q", err, version(1))
		}
		// Killed between the vault and the event: the secrets that nobody names are overwritten.
		if err := d.vault.PutSecret(ctx, merchant.GatewaySecretName(config, 1), []byte("orphan")); err != nil {
			t.Fatal(err)
		}
		_, err := d.Provide(ctx, app, config, give("bad"), by)
		m, foldErr := d.ledger.Merchant(ctx, app)
		if g := m.App.Gateways[0]; foldErr != nil || err == nil || !strings.HasPrefix(err.Error(), "-34 invalidCredentials: ") || g.Credentials != merchant.StepFailed || g.Version != 1 || strings.Contains(version(1), "orphan") {
			t.Errorf("credentials that are not accepted: %v, %+v", err, g)
		}
		if _, err := d.Provide(ctx, app, config, give("good"), by); err != nil || version(1) != "" {
			t.Errorf("good ones: %v; the older version is %q", err, version(1))
		}
		var kept merchant.GatewaySecrets
		if err := json.Unmarshal([]byte(version(2)), &kept); err != nil || kept.Credentials["secret"] != "s-good" {
			t.Errorf("kept: %+v, %v", kept, err)
		}
		// Somebody else is at it, in whatever process; and one that was killed at it an hour ago.
		hook := ops.Secrets{Step: merchant.StepWebhook, Webhook: "w"}
		busy := func(until time.Time) {
			text, err := until.MarshalText()
			if err == nil {
				err = d.vault.PutSecret(ctx, vault.MovingPrefix+"gateway/"+config, text)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		busy(time.Now().Add(time.Minute))
		if _, err := d.Provide(ctx, app, config, hook, by); domain.CodeOf(err) != domain.Stale {
			t.Errorf("while somebody else is at it: %v", err)
		}
		busy(time.Now().Add(-time.Hour))
		if _, err := d.Provide(ctx, app, config, hook, by); err != nil {
			t.Errorf("after one that was killed: %v", err)
		}
		if err := json.Unmarshal([]byte(version(3)), &kept); err != nil || kept.WebhookSecret != "w" || kept.Credentials["secret"] != "s-good" || version(2) != "" {
			t.Errorf("kept: %+v, %v; the older version is %q", kept, err, version(2))
		}
		if _, err := d.vault.Secret(ctx, vault.MovingPrefix+"gateway/"+config); !errors.Is(err, vault.ErrNotFound) {
			t.Errorf("the turn is left behind: %v", err)
		}
	})
}

// TestTrial: a trial order can be paid through its gateway alone, and its link is that of the checkout page.
func TestTrial(t *testing.T) {
	withOpenDesk(t, func(d *appDesk, app, config string) {
		ctx, by := t.Context(), eventstore.Origin{Actor: "asha"}
		for _, s := range []ops.Secrets{{Step: merchant.StepCredentials, Credentials: map[string]string{"key": "k", "secret": "s"}}, {Step: merchant.StepWebhook, Webhook: "w"}} {
			if _, err := d.Provide(ctx, app, config, s, by); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Change(ctx, merchant.SetGatewayStep{Of: merchant.Of{Merchant: app, Actor: "asha"}, Config: config, Step: merchant.StepPackage, Version: 2}, by); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Trial(ctx, app, config, "1", "USD", by); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("in a currency that the gateway does not take: %v", err)
		}
		trial, err := d.Trial(ctx, app, config, "1.50", "", by)
		if err != nil || trial.Amount != "1.50" || trial.Currency != "INR" {
			t.Fatalf("%+v, %v", trial, err)
		}
		token, found := strings.CutPrefix(trial.Link, "https://pay.example/checkout/")
		said, err := d.links.book.Open(ticket.Checkout, token, time.Now())
		if !found || err != nil || said.App != app || said.Subject != trial.Transaction {
			t.Errorf("the link %s says %+v, %v", trial.Link, said, err)
		}
		l := d.ledger.(*ports)
		p, err := l.Payment(ctx, app, trial.Transaction)
		if err != nil || p.Checkout.Trial != config || p.TxnRef != trial.Transaction || p.OrderID != "trial-"+trial.Transaction || !p.ExpiresAt.Equal(trial.ExpiresAt) || p.Commission.Fixed() != "0.02" {
			t.Errorf("the payin: %+v, %v", p, err)
		}
		if _, err := d.vault.UnsealString(ctx, uuid.MustParse(p.SealID), p.Sealed); err != nil {
			t.Errorf("what is sealed: %v", err)
		}
		if m, err := l.Ledger.Merchant(ctx, app); err != nil || m.App.Gateways[0].Trial != trial.Transaction {
			t.Errorf("the gateway: %+v, %v", m.App, err)
		}
	})
}

// TestAppReader: what changes an app counts within a second, and at once for who asks for it as it is now.
func TestAppReader(t *testing.T) {
	withOpenDesk(t, func(d *appDesk, app, _ string) {
		ctx, now := t.Context(), time.Now()
		r := &appReader{ports: d.ledger.(*ports), clock: func() time.Time { return now }, kept: map[string]appRead{}}
		domains := func(read func(context.Context, string) (merchant.Merchant, error)) int {
			m, err := read(ctx, app)
			if err != nil {
				t.Fatal(err)
			}
			return len(m.App.Domains)
		}
		set := func(domains ...string) {
			if _, err := d.Change(ctx, merchant.SetDomains{Of: merchant.Of{Merchant: app, Actor: "asha"}, Domains: domains}, eventstore.Origin{Actor: "asha"}); err != nil {
				t.Fatal(err)
			}
		}
		if n := domains(r.Merchant); n != 0 {
			t.Errorf("%d domains", n)
		}
		set("a.example")
		now = now.Add(appAge - time.Millisecond)
		if n := domains(r.Merchant); n != 0 {
			t.Errorf("within a second: %d domains", n)
		}
		now = now.Add(time.Millisecond)
		if n := domains(r.Merchant); n != 1 {
			t.Errorf("after a second: %d domains", n)
		}
		set("a.example", "b.example")
		if n := domains(r.MerchantNow); n != 2 {
			t.Errorf("now: %d domains", n)
		}
		if n := domains(r.Merchant); n != 2 {
			t.Errorf("what was read is not kept: %d domains", n)
		}
		for range mostApps + 10 {
			r.kept[newAlnum("ap_")] = appRead{}
			if domains(r.MerchantNow); len(r.kept) > mostApps+1 {
				t.Fatalf("%d apps are kept", len(r.kept))
			}
		}
		if _, err := r.Merchant(ctx, "ap_000000000"); domain.CodeOf(err) != domain.NotFound {
			t.Errorf("nobody: %v", err)
		}
	})
}

func TestLinks(t *testing.T) {
	l := &links{public: "https://pay.example", sandbox: "http://127.0.0.1:8080"}
	for _, c := range []struct {
		gateway string
		mode    merchant.Mode
		want    string
	}{
		{"razorpay", merchant.Test, "http://127.0.0.1:8080/sandbox/razorpay"}, {"payu", merchant.Test, "http://127.0.0.1:8080/sandbox/payu"},
		{"cashfree", merchant.Test, ""}, {"paypal", merchant.Test, ""}, {"razorpay", merchant.Live, ""}, {"payu", merchant.Live, ""},
	} {
		if got := l.base(c.gateway, c.mode); got != c.want {
			t.Errorf("%s, %s: %q", c.gateway, c.mode, got)
		}
		if got := (&links{}).base(c.gateway, c.mode); got != "" {
			t.Errorf("without a sandbox: %q", got)
		}
	}
	if got := l.webhook("payu", "ap_1", "gc_1"); got != "https://pay.example/gateways/payu/ap_1/gc_1/webhook" {
		t.Error(got)
	}
	for address, want := range map[string]string{"https://pay.example/": "https://pay.example", "http://127.0.0.1:8080": "http://127.0.0.1:8080", "https://a.example/pay//": "https://a.example/pay"} {
		if got, err := checkBase("--public-url", address); err != nil || got != want {
			t.Errorf("%s: %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"", "pay.example", "ftp://pay.example", "https://", "https://u:p@pay.example", "https://pay.example?a=1", "https://pay.example#x"} {
		if got, err := checkBase("--public-url", address); err == nil {
			t.Errorf("%s is taken for %q", address, got)
		}
	}
}

// TestKSPayErrors: every refusal of the domain that has a name in the KS Pay API has its code there.
func TestKSPayErrors(t *testing.T) {
	for name, want := range map[string]string{
		"gatewayErrors.gatewayNotFound": "13001", "gatewayErrors.credentialsNotYetAdded": "13008", "gatewayErrors.credentialStepFailed": "13009",
		"gatewayErrors.stepAlreadyCompleted": "13010", "gatewayErrors.GatewayStatusInVerify": "13011", "gatewayErrors.GatewayStatusNotVerified": "13012",
		"gatewayErrors.GatewayStatusNotVerifiedCannotDisable": "13013", "gatewayErrors.paymentGatewayCannotBeEdited": "13014",
		"invalidKeyValues": "-17", "missingGatewaySpecsKeys": "-13", "invalidCredentials": "-34", "keyVaultErrors.credentialsAlreadyViewed": "11010",
	} {
		if got, known := kspayCode(name); !known || got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	plain := domain.InvalidField("name", "is short")
	if err := kspayError(plain); !errors.Is(err, error(plain)) {
		t.Errorf("an error without a name there: %v", err)
	}
	if kspayError(nil) != nil {
		t.Error("no error is one")
	}
	err := kspayError(&domain.Error{Code: domain.Stale, Message: "no", Details: map[string]string{merchant.KSPayError: "gatewayErrors.stepAlreadyCompleted", "step": "x"}})
	var refusal *domain.Error
	if !errors.As(err, &refusal) || err.Error() != "13010 stepAlreadyCompleted: no" || len(refusal.Details) != 1 || refusal.Code != domain.Stale {
		t.Errorf("%v", err)
	}
}
