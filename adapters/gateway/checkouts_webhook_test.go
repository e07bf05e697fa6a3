package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
)

func TestWebhook(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Fatal(status)
	}
	after := s.payment(p.Payment)
	if after.Status != wallet.Success || after.Checkout.PaidBy != "upi" || after.Checkout.PaidBySub != "okaxis" || after.PaymentID != "pay_1" {
		t.Errorf("%+v", after)
	}
	want := map[string]string{
		"gateway:fake:receivable INR": "1000.00 INR", "merchant:" + appID + ":available INR": "-990.00 INR", "platform:commission INR": "-10.00 INR",
	}
	if books := s.books.balances(t); !maps.Equal(books, want) {
		t.Errorf("%v", books)
	}
	// By the order alone, by the reference alone, by a failure, by an approval, by nothing at all.
	byOrder, byReference, failed, approved := s.ordered(engine), s.ordered(engine), s.ordered(engine), s.ordered(engine)
	m1, m2 := success(byOrder, "pay_2"), success(byReference, "pay_3")
	m1.Reference, m2.OrderID = "", ""
	m3 := gateway.Message{OrderID: failed.Checkout.Order, Payment: &gateway.Payment{PaymentID: "pay_4", Reason: "declined"}}
	m4 := gateway.Message{OrderID: approved.Checkout.Order, Approved: true}
	s.fake.pays(approved.Checkout.Order, gateway.Payment{PaymentID: "pay_5", Amount: "1000", Paid: true})
	if status := s.tell(engine, m1, m2, m3, m4, gateway.Message{ID: "nothing"}); status != http.StatusOK {
		t.Fatal(status)
	}
	for id, want := range map[string]wallet.Status{
		byOrder.Payment: wallet.Success, byReference.Payment: wallet.Success, failed.Payment: wallet.Failed, approved.Payment: wallet.Success,
	} {
		if got := s.payment(id).Status; got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
	// A dispute is found by the payment that it is about.
	if status := s.tell(engine, gateway.Message{Dispute: &gateway.Dispute{
		Case: "disp_1", PaymentID: "pay_1", Phase: "chargeback", Status: "open", Amount: "1000", Reason: "fraud",
	}}); status != http.StatusOK || len(s.payment(p.Payment).Disputes) != 1 {
		t.Errorf("%d: %+v", status, s.payment(p.Payment).Disputes)
	}
	if got := s.count(gateway.CountCallback); got != 7 {
		t.Errorf("%d counted", got)
	}
}

// TestBadWebhooks: none of them changes anything wrongly, and each is found again as evidence.
func TestBadWebhooks(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *shop) {
		engine := s.checkouts()
		s.app(otherApp)
		s.verified(otherApp, "gc_Foreign01", "fake")
		p := s.ordered(engine)
		same := func(what string, change func()) {
			t.Helper()
			before, events := s.books.balances(t), len(s.books.records)
			change()
			if after := s.books.balances(t); !maps.Equal(before, after) {
				t.Errorf("%s: the books were %v and are %v", what, before, after)
			}
			if got := len(s.books.records); got != events {
				t.Errorf("%s: %d records more", what, got-events)
			}
		}
		newest := func(what, config, state, reason string, body []byte) {
			t.Helper()
			list := s.kept(engine, config)
			if len(list) == 0 || list[0].State != state || list[0].Reason != reason || !bytes.Equal(list[0].Body, body) || list[0].Header.Get("X-Signature") == "" ||
				list[0].Header.Get("Authorization") != "" {
				t.Errorf("%s: kept %+v", what, list)
			}
		}
		expect := func(what string, got, want int) {
			t.Helper()
			if got != want {
				t.Errorf("%s: answered %d, want %d", what, got, want)
			}
		}
		forged := s.body(success(p, "pay_forged"))
		same("forged", func() {
			expect("forged", s.hook(engine, "fake", appID, configA, "a guess", s.now(), forged), http.StatusUnauthorized)
			newest("forged", configA, "refused", "forged", forged)
			s.pass(time.Second)
			expect("by the secret of another configuration", s.hook(engine, "fake", appID, configA, "hook of "+configB, s.now(), forged), http.StatusUnauthorized)
			if list := s.kept(engine, configA); len(list) != 1 || list[0].Repeats != 1 {
				t.Errorf("the same one again: %+v", list)
			}
		})
		same("stale", func() {
			b := s.body(success(p, "pay_stale"))
			expect("stale", s.hook(engine, "fake", appID, configA, "hook of "+configA, s.now().Add(-6*time.Minute), b), http.StatusUnauthorized)
			newest("stale", configA, "refused", "stale", b)
		})
		s.pass(time.Second)
		same("malformed", func() {
			b := []byte(`{"half":`)
			expect("malformed", s.hook(engine, "fake", appID, configA, "hook of "+configA, s.now(), b), http.StatusBadRequest)
			newest("malformed", configA, "refused", "malformed", b)
		})
		s.pass(time.Second)
		same("of another app", func() { // genuine at its own app, about our payin
			b := s.body(success(p, "pay_foreign"))
			expect("of another app", s.hook(engine, "fake", otherApp, "gc_Foreign01", "hook of gc_Foreign01", s.now(), b), http.StatusOK)
			list, err := engine.Kept(t.Context(), otherApp, "gc_Foreign01", 10)
			if err != nil || len(list) != 1 || list[0].State != "early" || !bytes.Equal(list[0].Body, b) {
				t.Errorf("of another app: %+v, %v", list, err)
			}
		})
		same("at a wrong account", func() {
			expect("of another gateway", s.hook(engine, "spare", appID, configA, "hook of "+configA, s.now(), forged), http.StatusNotFound)
			newest("of another gateway", "", "refused", "no such account", forged)
			for what, path := range map[string][3]string{
				"no such gateway": {"none", appID, configA}, "no such app": {"fake", "ap_Nobody001", configA},
				"no id of an app": {"fake", "x", configA}, "no id of a configuration": {"fake", appID, "x"}, "a configuration of another app": {"fake", appID, "gc_Foreign01"},
			} {
				expect(what, s.hook(engine, path[0], path[1], path[2], "hook of "+configA, s.now(), forged), http.StatusNotFound)
			}
			expect("too large", s.hook(engine, "fake", appID, configA, "hook of "+configA, s.now(), make([]byte, gateway.MaxBodyBytes+1)), http.StatusRequestEntityTooLarge)
		})

		// Another amount is real money, and nobody's yet; another currency cannot be booked.
		odd := success(p, "pay_odd")
		odd.Payment.Amount = "999.99"
		expect("another amount", s.tell(engine, odd), http.StatusOK)
		if got := s.books.events(p.Payment); got != "created routed ordered suspended" || s.payment(p.Payment).Status != wallet.Pending {
			t.Errorf("another amount: %s", got)
		}
		noted := func(what string, claim string, m gateway.Message) {
			t.Helper()
			before, notes, anomalies := s.books.balances(t), s.payment(p.Payment).Anomalies, s.count(gateway.CountAnomaly)
			expect(what, s.tell(engine, m), http.StatusOK)
			if after := s.books.balances(t); !maps.Equal(before, after) {
				t.Errorf("%s: the books were %v and are %v", what, before, after)
			}
			evidence := s.books.evidenceOf(p.Payment, "payin.noted")
			if s.payment(p.Payment).Anomalies != notes+1 || s.count(gateway.CountAnomaly) != anomalies+1 || len(evidence) != notes+1 || evidence[notes] != string(s.body(m)) {
				t.Errorf("%s: %s, evidence %q", what, s.books.events(p.Payment), evidence)
			}
			last := s.books.records[len(s.books.records)-1]
			if e, err := wallet.Decode(last.Type, last.Schema, last.Data); err != nil || !strings.Contains(e.(*wallet.PayinNoted).Claim, claim) {
				t.Errorf("%s: %s, %v", what, last.Data, err)
			}
		}
		m := success(p, "pay_usd")
		m.Payment.Currency = "USD"
		noted("another currency", "USD", m)
		m = success(p, "pay_order")
		m.OrderID = "order_other"
		noted("another order", "order_other", m)
		m = success(p, "pay_reference")
		m.Reference = "tx_Other0001"
		noted("another reference", "tx_Other0001", m)
		m = success(p, "pay_decimals")
		m.Payment.Amount = "1000.001"
		noted("too many decimals", "pay_decimals", m)

		// Repeated.
		good := success(p, "pay_1")
		expect("paid", s.tell(engine, good), http.StatusOK)
		same("repeated", func() {
			for range 3 {
				expect("repeated", s.tell(engine, good), http.StatusOK)
			}
			s.pass(time.Second)
			expect("repeated in other words", s.tell(engine, success(p, "pay_1")), http.StatusOK)
		})
		second := s.ordered(engine)
		m = success(second, "pay_1")
		before := s.books.balances(t)
		expect("the payment of another payin", s.tell(engine, m), http.StatusOK)
		if got := s.books.events(second.Payment); got != "created routed ordered noted" || !maps.Equal(before, s.books.balances(t)) {
			t.Errorf("the payment of another payin: %s", got)
		}
	})
}

// A payin that goes through one configuration is not moved by another of the same app.
func TestWebhookOfAnotherConfiguration(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	m := success(p, "pay_1")
	m.OrderID = ""
	if status := s.hook(engine, "spare", appID, configB, "hook of "+configB, s.now(), s.body(m)); status != http.StatusOK {
		t.Error(status)
	}
	if got := s.books.events(p.Payment); got != "created routed ordered noted" {
		t.Errorf("%s", got)
	}
}

// Killed between any two steps, a message that is sent until it is answered is taken once.
func TestWebhookKilledAtEachStep(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	for kill := 1; ; kill++ {
		config := "gc_Trial" + string(rune('a'+kill)) + "000"
		s.added(appID, config, "fake")
		p := s.payin(func(c *wallet.CreatePayin) { c.Trial = config })
		s.change(merchant.StartTrial{Of: merchant.Of{Merchant: appID, Actor: "test"}, Config: config, Transaction: p.Payment})
		p, err := s.checkouts().Ensure(t.Context(), s.merchant(appID), p)
		if err != nil || p.Checkout.Config != config {
			t.Fatalf("%+v, %v", p.Checkout, err)
		}
		body := s.body(success(p, "pay_"+p.Payment))
		dies, power := s.process(kill)
		status := s.hook(dies, "fake", appID, config, "hook of "+config, s.now(), body)
		if power.dead != (status != http.StatusOK) {
			t.Fatalf("killed %v: %d", power.steps, status)
		}
		if power.dead {
			if status := s.hook(s.checkouts(), "fake", appID, config, "hook of "+config, s.now(), body); status != http.StatusOK {
				t.Fatalf("killed %v, then: %d", power.steps, status)
			}
		}
		g, _ := s.merchant(appID).App.Gateway(config)
		if got := s.books.events(p.Payment); got != "created routed ordered succeeded" || !g.Tried() || g.Trial != "" {
			t.Errorf("killed %v: %s, %+v", power.steps, got, g)
		}
		if !power.dead {
			if kill < 5 {
				t.Errorf("only %v", power.steps)
			}
			return
		}
	}
}

func TestReturn(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	app := s.merchant(appID)
	form := func(p wallet.Payment, paid string) url.Values {
		return url.Values{"paid": {paid}, "signature": {sign("hook of "+configA, 0, []byte(p.Checkout.Order+paid))}}
	}
	signed := s.ordered(engine)
	p, err := engine.Return(t.Context(), app, signed, form(signed, "pay_1"))
	if err != nil || p.Status != wallet.Success || len(s.books.evidenceOf(p.Payment, "payin.succeeded")) != 1 {
		t.Errorf("%s, %v", p.Status, err)
	}
	if status := s.tell(engine, success(signed, "pay_1")); status != http.StatusOK || s.books.events(p.Payment) != "created routed ordered succeeded" {
		t.Errorf("its webhook: %d, %s", status, s.books.events(p.Payment))
	}

	forged := s.ordered(engine)
	bad := form(signed, "pay_2")
	p, err = engine.Return(t.Context(), app, forged, bad)
	list := s.kept(engine, configA)
	if !errors.Is(err, gateway.ErrSignature) || p.Status != wallet.Pending || len(list) != 1 || list[0].Reason != "return: forged" ||
		string(list[0].Body) != bad.Encode() || s.count(gateway.CountReturnRefused) != 1 {
		t.Errorf("%v: %+v", err, list)
	}

	asked := s.ordered(engine)
	s.fake.pays(asked.Checkout.Order, gateway.Payment{PaymentID: "pay_3", Amount: "1000", Paid: true})
	if p, err = engine.Return(t.Context(), app, asked, form(asked, "")); err != nil || p.Status != wallet.Success {
		t.Errorf("%s, %v", p.Status, err)
	}
	refused := s.ordered(engine)
	s.fake.pays(refused.Checkout.Order, gateway.Payment{PaymentID: "pay_4", Reason: "declined"})
	if p, err = engine.Return(t.Context(), app, refused, form(refused, "")); err != nil || p.Status != wallet.Failed {
		t.Errorf("%s, %v", p.Status, err)
	}
	if _, err = engine.Return(t.Context(), app, s.payin(), nil); domain.CodeOf(err) != domain.Stale {
		t.Errorf("without an order: %v", err)
	}
}

// A page that waits has the gateway asked, now and then.
func TestRefresh(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	app := s.merchant(appID)
	p := s.ordered(engine)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_0", Reason: "declined"})
	asked := func() (n int) {
		calls, _ := s.fake.called()
		for _, c := range calls {
			if strings.HasPrefix(c, "collect") {
				n++
			}
		}
		return n
	}
	for range 5 {
		if after, err := engine.Refresh(t.Context(), app, p); err != nil || after.Status != wallet.Pending {
			t.Fatalf("%s, %v", after.Status, err)
		}
	}
	if asked() != 1 {
		t.Errorf("asked %d times", asked())
	}
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000.00", Currency: "INR", Paid: true})
	s.pass(4 * time.Second)
	after, err := engine.Refresh(t.Context(), app, p)
	if err != nil || after.Status != wallet.Success || asked() != 2 {
		t.Errorf("%s, %v", after.Status, err)
	}
	s.pass(4 * time.Second)
	if _, err := engine.Refresh(t.Context(), app, p); err != nil || asked() != 2 {
		t.Errorf("asked %d times: %v", asked(), err)
	}
	if after, err := engine.Refresh(t.Context(), app, s.payin()); err != nil || after.Status != wallet.Pending || asked() != 2 {
		t.Errorf("without an order: %v", err)
	}
}

// refunds takes what is said of refunds.
type refunds struct {
	said  []gateway.Message
	found bool
	err   error
}

func (r *refunds) ReportRefund(_ context.Context, app, config string, m gateway.Message) (bool, error) {
	if app != appID || config != configA {
		return false, errors.New("another account")
	}
	r.said = append(r.said, m)
	return r.found, r.err
}

func TestWebhookOfRefund(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	book := &refunds{found: true}
	o := s.options()
	o.Refunds = book
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{s.fake}, o)
	if err != nil {
		t.Fatal(err)
	}
	m := gateway.Message{Reference: "rfd_1", Refund: &gateway.RefundAnswer{State: gateway.RefundDone, RefundID: "r1"}}
	if status := s.tell(engine, m); status != http.StatusOK || len(book.said) != 1 || book.said[0].Refund.RefundID != "r1" || string(book.said[0].Body) != string(s.body(m)) {
		t.Errorf("%d: %+v", status, book.said)
	}
	book.found, book.err = false, domain.Errorf(domain.Stale, "no")
	s.pass(time.Second)
	if status := s.tell(engine, m); status != http.StatusOK || s.kept(engine, configA)[0].State != "unmatched" {
		t.Errorf("%d: %+v", status, s.kept(engine, configA))
	}
	book.err = nil
	m.Reference = "rfd_2"
	if status := s.tell(engine, m); status != http.StatusOK || s.count(gateway.CountCallbackEarly) != 1 {
		t.Errorf("%d", status)
	}
	book.err = errors.New("the ledger is away")
	if status := s.tell(engine, m); status != http.StatusServiceUnavailable {
		t.Errorf("%d", status)
	}
}

// Only POST is served, and only under the path.
func TestWebhookPaths(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	for path, want := range map[string]int{gateway.WebhookPath("fake", appID, configA): http.StatusMethodNotAllowed, "/gateways/x": http.StatusNotFound} {
		w := httptest.NewRecorder()
		engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if _, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{s.fake, s.fake}, s.options()); err == nil {
		t.Error("twice")
	}
}
