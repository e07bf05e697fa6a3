package gateway_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
)

// replay makes every decision of the log again from its own candidates.
func (s *shop) replay() {
	s.t.Helper()
	for _, r := range s.books.records {
		if r.Type != "payin.routed" {
			continue
		}
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			s.t.Fatal(err)
		}
		routed := e.(*wallet.PayinRouted)
		ranked, chosen := route.Choose(routed.Candidates)
		if chosen < 0 || ranked[chosen].Config != routed.Config || !slices.Equal(ranked, routed.Candidates) {
			s.t.Errorf("%s attempt %d went to %s; again it would be %+v", routed.Payment, routed.Attempt, routed.Config, ranked)
		}
	}
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fake, spare []string // what the companies answer
		change      func(*wallet.CreatePayin)
		events      string
		config      string
		calls       string // of both
		fails       string // "", refused, unknown
	}{
		"an order":             {events: "created routed ordered", config: configA, calls: "create"},
		"declined, fallback":   {fake: []string{"declined"}, events: "created routed order_failed routed ordered", config: configB, calls: "create create"},
		"credentials":          {fake: []string{"credentials"}, events: "created routed order_failed routed ordered", config: configB, calls: "create create"},
		"lost, found again":    {fake: []string{"lost"}, events: "created routed order_failed routed ordered", config: configA, calls: "create again"},
		"silent, then made":    {fake: []string{"silent"}, events: "created routed order_failed routed ordered", config: configA, calls: "create again"},
		"silent for good":      {fake: []string{"silent", "silent"}, events: "created routed order_failed routed order_failed", calls: "create again", fails: "unknown"},
		"silent, then refused": {fake: []string{"silent", "declined"}, events: "created routed order_failed routed order_failed routed ordered", config: configB, calls: "create again create"},
		"all refuse":           {fake: []string{"declined"}, spare: []string{"credentials"}, events: "created routed order_failed routed order_failed", calls: "create create", fails: "refused"},
		"any method":           {change: func(c *wallet.CreatePayin) { c.Method = "" }, events: "created routed ordered", config: configA, calls: "create"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, migrations.SQLite)
			s.fake.plan(c.fake...)
			s.spare.plan(c.spare...)
			engine := s.checkouts()
			var changes []func(*wallet.CreatePayin)
			if c.change != nil {
				changes = append(changes, c.change)
			}
			p, err := engine.Ensure(t.Context(), s.merchant(appID), s.payin(changes...))
			if got := s.books.events("tx_Payin0001"); got != c.events {
				t.Errorf("%s", got)
			}
			a, _ := s.fake.called()
			b, _ := s.spare.called()
			var calls []string
			for _, call := range append(a, b...) {
				calls = append(calls, call[strings.LastIndex(" "+call, " "):])
			}
			if got := strings.ReplaceAll(strings.Join(calls, " "), "tx_Payin0001", "create"); got != c.calls {
				t.Errorf("calls: %s", got)
			}
			var order *gateway.OrderError
			switch c.fails {
			case "":
				if err != nil || p.Checkout.Config != c.config || p.Checkout.Order == "" || p.Checkout.Session != "session_"+p.Checkout.Order {
					t.Fatalf("%+v, %v", p.Checkout, err)
				}
				if again, err := engine.Ensure(t.Context(), s.merchant(appID), p); err != nil || again.Checkout.Order != p.Checkout.Order {
					t.Errorf("again: %+v, %v", again.Checkout, err)
				}
				if e := s.books.evidenceOf(p.Payment, "payin.ordered"); len(e) != 1 || e[0] != `{"id":"`+p.Checkout.Order+`"}` {
					t.Errorf("evidence %q", e)
				}
			default:
				if !errors.As(err, &order) || !errors.Is(err, gateway.ErrOrder) || order.Unknown != (c.fails == "unknown") || domain.CodeOf(err) != "" {
					t.Fatalf("%v", err)
				}
				if c.fails == "refused" && (order.Verdicts[configA] != "refused" || order.Verdicts[configB] != "refused" || order.Code != "credentials") {
					t.Errorf("%+v", order)
				}
			}
			s.replay()
		})
	}
}

// An attempt that is open goes to the same gateway again, as long as it takes.
func TestEnsureAfterUnknown(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	s.fake.plan("lost", "silent")
	engine := s.checkouts()
	p := s.payin()
	if _, err := engine.Ensure(t.Context(), s.merchant(appID), p); !errors.Is(err, gateway.ErrOrder) {
		t.Fatal(err)
	}
	p, err := engine.Ensure(t.Context(), s.merchant(appID), p)
	if err != nil || p.Checkout.Config != configA || p.Checkout.Attempts != 3 {
		t.Fatalf("%+v, %v", p.Checkout, err)
	}
	if _, orders := s.fake.called(); orders != 1 {
		t.Errorf("%d orders", orders)
	}
}

func TestEnsureRefuses(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	wrong := func(what string, code domain.Code, change func(*wallet.CreatePayin)) *domain.Error {
		t.Helper()
		p := s.payin(change)
		_, err := engine.Ensure(t.Context(), s.merchant(appID), p)
		var refused *domain.Error
		if domain.CodeOf(err) != code || !errors.As(err, &refused) {
			t.Fatalf("%s: %v", what, err)
		}
		if got := s.books.events(p.Payment); got != "created" {
			t.Errorf("%s: %s", what, got)
		}
		return refused
	}
	e := wrong("another currency", domain.NotFound, func(c *wallet.CreatePayin) {
		c.Currency, c.Amount = "JPY", money.MustParse("1000", "JPY")
		c.Charge.Commission, c.Charge.Tax = money.Zero("JPY"), money.Zero("JPY")
	})
	if e.Details[configA] != "other_currency" {
		t.Errorf("%v", e.Details)
	}
	e = wrong("another method", domain.NotFound, func(c *wallet.CreatePayin) { c.Method = string(merchant.PayPal) })
	if e.Details[configB] != "other_method" {
		t.Errorf("%v", e.Details)
	}
	wrong("no checkout", domain.NotFound, func(c *wallet.CreatePayin) { c.Gateway = "sandbox" })
	late := s.payin()
	s.pass(31 * time.Minute)
	if _, err := engine.Ensure(t.Context(), s.merchant(appID), late); domain.CodeOf(err) != domain.Stale {
		t.Errorf("expired: %v", err)
	}
	s.app(otherApp)
	if _, err := engine.Ensure(t.Context(), s.merchant(otherApp), s.payin()); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("another app's: %v", err)
	}
}

// Those who ask at the same time, in one process and in several, get one order.
func TestEnsureTogether(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	p := s.payin()
	gate := make(chan struct{})
	s.fake.gate = gate
	first, _ := s.process(0)
	second, _ := s.process(0)
	third, _ := s.process(0)
	orders := make([]string, 12)
	var all sync.WaitGroup
	for i := range orders {
		all.Go(func() {
			after, err := []*gateway.Checkouts{first, second, third}[i%3].Ensure(t.Context(), s.merchant(appID), p)
			if err != nil {
				t.Error(err)
			}
			orders[i] = after.Checkout.Order
		})
	}
	s.until("somebody asks", func() bool { calls, _ := s.fake.called(); return len(calls) > 0 })
	close(gate)
	all.Wait()
	for _, o := range orders {
		if o == "" || o != s.payment(p.Payment).Checkout.Order {
			t.Fatalf("orders %q", orders)
		}
	}
	if got := strings.Count(s.books.events(p.Payment), "ordered"); got != 1 {
		t.Errorf("%s", s.books.events(p.Payment))
	}
	s.replay()
}

// Whose client goes away still records what the gateway makes.
func TestEnsureOutlivesItsAsker(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	p := s.payin()
	gate := make(chan struct{})
	s.fake.gate = gate
	engine := s.checkouts()
	ctx, cancel := contextOf(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		engine.Ensure(ctx, s.merchant(appID), p)
	}()
	s.until("the gateway is asked", func() bool { calls, _ := s.fake.called(); return len(calls) == 1 })
	cancel()
	close(gate)
	<-done
	if got := s.books.events(p.Payment); got != "created routed ordered" {
		t.Errorf("%s", got)
	}
}

// An order that comes when the payin has expired is recorded, and nobody is sent there.
func TestEnsureTooLate(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	p := s.payin()
	gate := make(chan struct{})
	s.fake.gate = gate
	engine := s.checkouts()
	done := make(chan error, 1)
	go func() {
		_, err := engine.Ensure(t.Context(), s.merchant(appID), p)
		done <- err
	}()
	s.until("the gateway is asked", func() bool { calls, _ := s.fake.called(); return len(calls) == 1 })
	s.pass(time.Hour)
	close(gate)
	if err := <-done; domain.CodeOf(err) != domain.Stale {
		t.Error(err)
	}
	if got := s.books.events(p.Payment); got != "created routed ordered" {
		t.Errorf("%s", got)
	}
}

// Killed between any two steps, whoever comes next ends with one order, at a gateway that has one.
func TestEnsureKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for name, script := range map[string][]string{"at once": nil, "fallback": {"declined"}, "lost": {"lost"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, migrations.SQLite)
			for kill := 1; ; kill++ {
				p := s.payin()
				s.fake.plan(script...)
				dies, power := s.process(kill)
				_, err := dies.Ensure(t.Context(), s.merchant(appID), p)
				if !power.dead {
					if err != nil || kill < 5 {
						t.Fatalf("step %d, %v: %v", kill, power.steps, err)
					}
					return
				}
				step := power.steps[len(power.steps)-1]
				s.fake.mu.Lock()
				s.fake.script = nil // what was not met is not met later
				s.fake.mu.Unlock()
				after, err := s.checkouts().Ensure(t.Context(), s.merchant(appID), p)
				if err != nil {
					t.Fatalf("killed %s: %v", step, err)
				}
				at := s.fake
				if after.Checkout.Config == configB {
					at = s.spare
				}
				if known := at.orders[p.Payment]; len(known) != 1 || known[0] != after.Checkout.Order {
					t.Errorf("killed %s: the payin has %s, the company %v (%s)", step, after.Checkout.Order, known, s.books.events(p.Payment))
				}
				if strings.Count(s.books.events(p.Payment), "ordered") != 1 {
					t.Errorf("killed %s: %s", step, s.books.events(p.Payment))
				}
			}
		})
	}
}

// The order of another payin is no order of this one.
func TestEnsureWithTheOrderOfAnother(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	first := s.ordered(engine)
	s.fake.n-- // it gives the same id again
	p := s.ordered(engine)
	if p.Checkout.Config != configB || !strings.HasSuffix(s.books.events(p.Payment), "routed order_failed routed ordered") {
		t.Errorf("%+v: %s", p.Checkout, s.books.events(p.Payment))
	}
	if s.payment(first.Payment).Checkout.Order != first.Checkout.Order || s.count(gateway.CountAnomaly) != 1 {
		t.Error("the first one")
	}
}

// An account whose secrets are gone is passed, and one whose secrets are new is used with those at once.
func TestAccount(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	_, a, err := engine.Account(t.Context(), appID, configA)
	if err != nil || a.Credentials["key_id"] != "public of "+configA || a.WebhookSecret != "hook of "+configA || a.Live || a.Config != configA ||
		a.Base != "https://test.example/fake" {
		t.Fatalf("%v, %v", a.Config, err)
	}
	of := merchant.Of{Merchant: appID, Actor: "test"}
	if err := s.vault.PutSecret(t.Context(), merchant.GatewaySecretName(configA, 3), []byte(`{"credentials":{"key_id":"new"}}`)); err != nil {
		t.Fatal(err)
	}
	s.change(merchant.ResetGateway{Of: of, Config: configA})
	s.change(merchant.SetGatewayStep{Of: of, Config: configA, Step: merchant.StepCredentials, Version: 3, Public: "new"})
	if _, a, err = engine.Account(t.Context(), appID, configA); err != nil || a.Credentials["key_id"] != "new" {
		t.Fatalf("%v, %v", a.Credentials["key_id"], err)
	}
	for what, ids := range map[string][2]string{"no app": {"ap_Nobody001", configA}, "no configuration": {appID, "gc_Nothing01"}} {
		if _, _, err := engine.Account(t.Context(), ids[0], ids[1]); domain.CodeOf(err) != domain.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.vault.DeleteSecret(t.Context(), merchant.GatewaySecretName(configB, 2)); err != nil {
		t.Fatal(err)
	}
	s.verified(appID, "gc_CCCCCCCCC", "fake")
	if p := s.ordered(engine); p.Checkout.Config != "gc_CCCCCCCCC" || !slices.Equal(p.Checkout.Refused, []string{configB}) {
		t.Errorf("%+v", p.Checkout)
	}
}

// A gateway that keeps failing is passed over for a while, tried by one, and used again when it is well.
func TestPassingOver(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	verdict := func(want route.Verdict, chosen string) {
		t.Helper()
		p := s.ordered(engine)
		for _, r := range s.books.records {
			if r.Subject == p.Payment && r.Type == "payin.routed" {
				e, err := wallet.Decode(r.Type, r.Schema, r.Data)
				if err != nil {
					t.Fatal(err)
				}
				if v := e.(*wallet.PayinRouted).Candidates[0].Verdict; v != want {
					t.Errorf("%s: %s, want %s", p.Payment, v, want)
				}
				break
			}
		}
		if p.Checkout.Config != chosen {
			t.Errorf("%s went to %s", p.Payment, p.Checkout.Config)
		}
	}
	for range 3 {
		s.fake.plan("credentials")
		verdict(route.Chosen, configB)
	}
	if s.count(gateway.CountPaused) != 1 {
		t.Errorf("%d pauses", s.count(gateway.CountPaused))
	}
	verdict(route.PassedOver, configB)
	s.pass(31 * time.Second)
	s.fake.plan("credentials")
	verdict(route.Chosen, configB) // the try fails: the next pause is twice as long
	s.pass(31 * time.Second)
	verdict(route.PassedOver, configB)
	s.pass(30 * time.Second)
	verdict(route.Chosen, configA)
	verdict(route.Chosen, configA)

	// When nothing else is left it is taken all the same.
	for range 3 {
		s.fake.plan("credentials")
		verdict(route.Chosen, configB)
	}
	s.change(merchant.SwitchGateway{Of: merchant.Of{Merchant: appID, Actor: "test"}, Config: configB, Enabled: false})
	verdict(route.LastResort, configA)
	s.replay()
}

// What is declined is this payin's affair, unless everything is.
func TestDeclinesAndHealth(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	for range 4 {
		s.fake.plan("declined")
		s.ordered(engine)
	}
	if p := s.ordered(engine); p.Checkout.Config != configA {
		t.Errorf("%+v", p.Checkout)
	}
	for range 8 { // five that may be theirs, three that cannot
		s.fake.plan("declined")
		s.ordered(engine)
	}
	before, _ := s.fake.called()
	if p := s.ordered(engine); p.Checkout.Config != configB {
		t.Errorf("%+v", p.Checkout)
	}
	if after, _ := s.fake.called(); len(after) != len(before) || s.count(gateway.CountPaused) != 1 {
		t.Errorf("asked all the same")
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	app := s.merchant(appID)
	client, err := engine.Client(t.Context(), app, p)
	if err != nil || client.Gateway != "fake" || client.ClientID != "public of "+configA || client.OrderID != p.Checkout.Order || client.Live ||
		len(client.Details) != 1 || string(client.Config) != `{"display":{}}` {
		t.Errorf("%+v, %v", client, err)
	}
	on, err := engine.Begin(t.Context(), app, p, "")
	want := []gateway.Field{
		{Name: "method", Value: "UPI"}, {Name: "name", Value: customerName}, {Name: "back", Value: "https://ours.example/return/" + p.Payment},
		{Name: "hook", Value: "https://ours.example/gateways/fake/" + appID + "/" + configA + "/webhook"},
	}
	if err != nil || !slices.Equal(on.Fields, want) || on.URL != "https://pay.example/"+p.Checkout.Order+"/"+p.Checkout.Session {
		t.Errorf("%+v, %v", on, err)
	}
	if _, err := engine.Begin(t.Context(), app, p, merchant.NetBanking); domain.CodeOf(err) != domain.Invalid {
		t.Errorf("another method than was asked for: %v", err)
	}
	if h, err := engine.Hash(t.Context(), app, p, "payment", "x"); err != nil || h != sign("secret of "+configA, 0, []byte(p.Payment+"paymentx")) {
		t.Errorf("%s, %v", h, err)
	}
	if _, err := engine.Client(t.Context(), app, s.payin()); domain.CodeOf(err) != domain.Stale {
		t.Errorf("no order: %v", err)
	}
	if _, there := engine.Spec("spare"); !there || len(engine.Specs()) != 2 || len(engine.Methods("fake")) != 2 || engine.Methods("none") != nil {
		t.Error("specs")
	}
	s.pass(time.Hour)
	if _, err := engine.Client(t.Context(), app, p); domain.CodeOf(err) != domain.Stale {
		t.Errorf("expired: %v", err)
	}
}

// Expiry asks for what was paid, and a payin without an order just expires.
func TestExpiryOfCheckouts(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	paid, unpaid, refused := s.ordered(engine), s.ordered(engine), s.ordered(engine)
	unrouted := s.payin()
	s.fake.plan("silent", "silent")
	open := s.payin()
	if _, err := engine.Ensure(t.Context(), s.merchant(appID), open); !errors.Is(err, gateway.ErrOrder) {
		t.Fatal(err)
	}
	s.fake.pays(paid.Checkout.Order, gateway.Payment{PaymentID: "pay_0", Amount: "1000", Reason: "declined"})
	s.fake.pays(paid.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true, Method: "upi"})
	s.fake.pays(refused.Checkout.Order, gateway.Payment{PaymentID: "pay_2", Amount: "1000", Reason: "declined"})
	expiry := gateway.NewExpiry(s.books, s.jobs, nil, gateway.ExpiryPolicy{Gap: time.Millisecond}, s.options().Options)
	expiry.AskOrders(engine)
	for _, r := range slices.Clone(s.books.records) {
		if err := expiry.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	s.pass(31 * time.Minute)
	ctx, cancel := contextOf(t)
	ran := make(chan error, 1)
	go func() { ran <- expiry.Run(ctx) }()
	for id, want := range map[string]wallet.Status{
		paid.Payment: wallet.Success, unpaid.Payment: wallet.Expired, refused.Payment: wallet.Failed,
		unrouted.Payment: wallet.Expired, open.Payment: wallet.Expired,
	} {
		s.until(fmt.Sprintf("%s is %s", id, want), func() bool { return s.payment(id).Status == want })
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	calls, _ := s.fake.called()
	if n := len(slices.DeleteFunc(calls, func(c string) bool { return !strings.HasPrefix(c, "collect") })); n != 3 {
		t.Errorf("%d collected", n)
	}
	if got := s.payment(paid.Payment).Checkout.PaidBy; got != "upi" {
		t.Errorf("paid by %q", got)
	}
	if _, taken, err := s.books.Lookup(t.Context(), appID, "payment:"+appID+":"+configA+":pay_1"); !taken || err != nil {
		t.Error("the payment is not the configuration's")
	}
}
