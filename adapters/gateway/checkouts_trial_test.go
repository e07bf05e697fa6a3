package gateway_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

const configTrial = "gc_TTTTTTTTT"

// begins begins the trial of a gateway that is not verified yet, and has its order made.
func (s *shop) begins(engine *gateway.Checkouts) wallet.Payment {
	s.t.Helper()
	if _, there := s.merchant(appID).App.Gateway(configTrial); !there {
		s.added(appID, configTrial, "fake")
	}
	p := s.payin(func(c *wallet.CreatePayin) { c.Trial = configTrial })
	s.change(merchant.StartTrial{Of: merchant.Of{Merchant: appID, Actor: "test"}, Config: configTrial, Transaction: p.Payment})
	s.hears(engine)
	p, err := engine.Ensure(s.t.Context(), s.merchant(appID), p)
	if err != nil || p.Checkout.Config != configTrial {
		s.t.Fatalf("%+v, %v", p.Checkout, err)
	}
	return p
}

// hears gives all records to the checkouts, as the bus does; more than once does no harm.
func (s *shop) hears(engine *gateway.Checkouts) {
	s.t.Helper()
	for _, r := range s.books.records {
		if err := engine.Handle(s.t.Context(), r); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shop) tried() *merchant.Gateway {
	s.t.Helper()
	g, _ := s.merchant(appID).App.Gateway(configTrial)
	return &g
}

func (s *shop) hooked(engine http.Handler, m gateway.Message) int {
	s.t.Helper()
	return s.hook(engine, "fake", appID, configTrial, "hook of "+configTrial, s.now(), s.body(m))
}

func TestTrialPasses(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *shop) {
		engine := s.checkouts()
		p := s.begins(engine)
		if status := s.hooked(engine, success(p, "pay_1")); status != http.StatusOK || !s.tried().Tried() || s.tried().Trial != "" {
			t.Fatalf("%d: %+v", status, s.tried())
		}
		if s.hooked(engine, success(p, "pay_1")) != http.StatusOK || s.count(gateway.CountTrialPassed) != 1 {
			t.Error("again")
		}
		s.hears(engine)
		s.runs(engine)
		s.pass(time.Hour)
		s.until("its job is done", func() bool { n, err := s.jobs.Count(t.Context(), gateway.TrialJobs); return err == nil && n == 0 })
		if !s.tried().Tried() || s.tried().Failure != "" {
			t.Errorf("%+v", s.tried())
		}
	})
}

// Paid, as the browser says; but only the webhook shows that webhooks come.
func TestTrialWithoutWebhook(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	pays := func(p wallet.Payment, id string) {
		t.Helper()
		form := url.Values{"paid": {id}, "signature": {sign("hook of "+configTrial, 0, []byte(p.Checkout.Order+id))}}
		if p, err := engine.Return(t.Context(), s.merchant(appID), p, form); err != nil || p.Status != wallet.Success {
			t.Fatalf("%s, %v", p.Status, err)
		}
	}
	p := s.begins(engine)
	pays(p, "pay_1")
	s.hears(engine)
	if g := s.tried(); g.Tried() || g.Trial != p.Payment {
		t.Fatalf("%+v", g)
	}
	s.runs(engine)
	s.pass(33 * time.Minute)
	s.until("it has failed", func() bool { return s.tried().Credentials == merchant.StepFailed })
	if g := s.tried(); g.Failure != "paid, but no webhook came to /gateways/fake/"+appID+"/"+configTrial+"/webhook" || s.count(gateway.CountTrialFailed) != 1 {
		t.Errorf("%+v", g)
	}
	if status := s.hooked(engine, success(p, "pay_1")); status != http.StatusOK || s.tried().Tried() {
		t.Errorf("a webhook that is too late: %d", status)
	}
}

// The return first, the webhook behind it: passed.
func TestTrialReturnThenWebhook(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.begins(engine)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true})
	if after, err := engine.Refresh(t.Context(), s.merchant(appID), p); err != nil || after.Status != wallet.Success || s.tried().Trial == "" {
		t.Fatalf("%s, %v", after.Status, err)
	}
	if status := s.hooked(engine, success(p, "pay_1")); status != http.StatusOK || !s.tried().Tried() {
		t.Errorf("%d: %+v", status, s.tried())
	}
}

// A card that is declined does not end a trial: its customer tries again, on the page that is still open.
func TestTrialPassesAtASecondTry(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.begins(engine)
	refused := gateway.Message{OrderID: p.Checkout.Order, Payment: &gateway.Payment{PaymentID: "pay_1", Reason: "declined"}}
	if status := s.hooked(engine, refused); status != http.StatusOK || s.payment(p.Payment).Status != wallet.Failed {
		t.Fatal(status)
	}
	s.hears(engine)
	if status := s.hooked(engine, success(p, "pay_2")); status != http.StatusOK || !s.tried().Tried() || s.payment(p.Payment).Status != wallet.Success {
		t.Errorf("%d: %+v", status, s.tried())
	}
}

func TestTrialFails(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	expires := func(p wallet.Payment) {
		t.Helper()
		if _, err := s.books.Submit(t.Context(), wallet.ExpirePayin{Base: wallet.Base{Of: p.Of, At: eventstore.Micros(s.now())}}, eventstore.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		ends func(p wallet.Payment)
		why  string
	}{
		"expired": {func(p wallet.Payment) { s.pass(31 * time.Minute); expires(p) }, "nobody paid it in time"},
		"failed": {func(p wallet.Payment) {
			m := gateway.Message{OrderID: p.Checkout.Order, Payment: &gateway.Payment{PaymentID: "pay_" + p.Payment, Reason: "declined"}}
			if status := s.hooked(engine, m); status != http.StatusOK {
				t.Fatal(status)
			}
			s.hears(engine)
			if s.tried().Trial != p.Payment {
				t.Fatalf("a refused try has ended it: %+v", s.tried())
			}
			s.pass(33 * time.Minute)
		}, "the payment failed: other"},
		"another amount": {func(p wallet.Payment) {
			m := success(p, "pay_"+p.Payment)
			m.Payment.Amount = "1"
			if status := s.hooked(engine, m); status != http.StatusOK || s.tried().Trial == "" {
				t.Fatal(status)
			}
			s.pass(31 * time.Minute)
			expires(p)
		}, "nobody paid it in time"},
	} {
		p := s.begins(engine)
		c.ends(p)
		s.hears(engine)
		if _, err := gateway.StepJobs(t.Context(), s.jobs, gateway.TrialJobs, s.now(), engine.TrialHandler(), func() bool { return false }); err != nil {
			t.Fatal(err)
		}
		if g := s.tried(); g.Credentials != merchant.StepFailed || g.Failure != c.why {
			t.Errorf("%s: %+v", what, g)
		}
		if n, err := s.jobs.Count(t.Context(), gateway.TrialJobs); err != nil || n != 0 {
			t.Errorf("%s: %d jobs, %v", what, n, err)
		}
		of := merchant.Of{Merchant: appID, Actor: "test"}
		v := s.tried().Version
		s.change(merchant.ResetGateway{Of: of, Config: configTrial})
		s.change(merchant.SetGatewayStep{Of: of, Config: configTrial, Step: merchant.StepCredentials, Version: v + 1})
		s.change(merchant.SetGatewayStep{Of: of, Config: configTrial, Step: merchant.StepWebhook, Version: v + 2})
		s.change(merchant.SetGatewayStep{Of: of, Config: configTrial, Step: merchant.StepPackage, Version: v + 2})
		b, err := s.vault.Secret(t.Context(), merchant.GatewaySecretName(configTrial, v))
		if err == nil {
			err = s.vault.PutSecret(t.Context(), merchant.GatewaySecretName(configTrial, v+2), b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Killed between any two steps, a trial that nobody paid ends all the same.
func TestTrialKilledAtEachStep(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	p := s.begins(s.checkouts())
	s.pass(31 * time.Minute)
	if _, err := s.books.Submit(t.Context(), wallet.ExpirePayin{Base: wallet.Base{Of: p.Of, At: eventstore.Micros(s.now())}}, eventstore.Origin{}); err != nil {
		t.Fatal(err)
	}
	last := s.books.records[len(s.books.records)-1]
	for kill := 1; kill <= 2; kill++ { // before and after EndTrial
		dies, power := s.process(kill)
		if err := dies.Handle(t.Context(), last); err == nil && power.dead {
			t.Fatalf("%v", power.steps)
		}
	}
	if err := s.checkouts().Handle(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	n, err := s.jobs.Count(t.Context(), gateway.TrialJobs)
	if err != nil || n != 0 || s.tried().Credentials != merchant.StepFailed || s.count(gateway.CountTrialFailed) > 1 {
		t.Errorf("%d jobs, %v, %+v", n, err, s.tried())
	}
}
