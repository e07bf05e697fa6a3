package gateway_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

// TestRefundAtAnotherAccount: a configuration is reset while the company makes a refund, and is given another account, which knows of nothing. The refund is
// not taken for one that was never made: the merchant would get back what the customer has.
func TestRefundAtAnotherAccount(t *testing.T) {
	t.Parallel()
	s := newSimulation(t, newShop(t, migrations.SQLite), 1)
	s.create()
	p := s.payment(s.payins[0])
	p, err := s.engine.Ensure(t.Context(), s.app(), p)
	if err != nil {
		t.Fatal(err)
	}
	c := s.companyOf(&p)
	paid := &simPay{id: "pay_1", order: p.Checkout.Order, currency: "INR", amount: p.Amount, state: "captured"}
	c.pays = append(c.pays, paid)
	if p, err = s.engine.Refresh(t.Context(), s.app(), p); err != nil || p.Status != wallet.Success {
		t.Fatalf("%s, %v", p.Status, err)
	}
	refund := wallet.RefundPayin{Base: wallet.Base{Of: p.Of, At: eventstore.Micros(s.at)}, Refund: "rfd_0000000000000001", Reason: "returned", Actor: "asha"}
	if _, err := s.books.Submit(t.Context(), refund, eventstore.Origin{}); err != nil {
		t.Fatal(err)
	}
	c.slow = true
	s.work()
	if len(paid.refunds) != 1 || paid.refunds[0].state != "pending" {
		t.Fatalf("%+v", paid.refunds)
	}
	c.another = true
	for range 10 {
		s.at = s.at.Add(time.Minute)
		s.work()
	}
	if r := s.refundOf(p.Payment, refund.Refund); r.Status != wallet.RefundPending || r.Attempts != 1 {
		t.Errorf("at another account: %s after %d attempts", r.Status, r.Attempts)
	}
	c.another = false
	paid.refunds[0].state = "done"
	s.at = s.at.Add(time.Minute)
	s.work()
	if r := s.refundOf(p.Payment, refund.Refund); r.Status != wallet.RefundDone {
		t.Errorf("at its own account: %s", r.Status)
	}
}

// TestRefundFromADashboard: what an app's people give back on the company's own page is money that is gone. It is noted with its payin, as something that
// nobody has asked for here, once it is clear that it is none of ours.
func TestRefundFromADashboard(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	o := s.options()
	o.Refunds = &refunds{}
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{s.fake, s.spare}, o)
	if err != nil {
		t.Fatal(err)
	}
	p := s.ordered(engine)
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Fatal(status)
	}
	m := gateway.Message{OrderID: p.Checkout.Order, Refund: &gateway.RefundAnswer{State: gateway.RefundDone, RefundID: "rfnd_theirs"}}
	if status := s.tell(engine, m); status != http.StatusOK || s.payment(p.Payment).Anomalies != 0 {
		t.Fatalf("%d, %d anomalies", status, s.payment(p.Payment).Anomalies)
	}
	alive := func() bool { return false }
	for range 3 {
		s.pass(10 * time.Minute)
		if _, err := gateway.StepJobs(t.Context(), s.jobs, gateway.EarlyJobs, s.now(), engine.EarlyHandler(), alive); err != nil {
			t.Fatal(err)
		}
	}
	after := s.payment(p.Payment)
	if n, err := s.jobs.Count(t.Context(), gateway.EarlyJobs); n != 0 || err != nil || after.Anomalies != 1 || after.Status != wallet.Success {
		t.Errorf("%d jobs, %v; %d anomalies, %s", n, err, after.Anomalies, after.Status)
	}
	if got := s.books.evidenceOf(p.Payment, "payin.noted"); len(got) != 1 || got[0] != string(s.body(m)) {
		t.Errorf("evidence: %q", got)
	}
}

// TestTriedAgainAfterAFailure: a customer whose first try was refused pays with the second one, on the page that is still open. The message about it is lost, and
// the browser never comes back: the money is found when the time of the payin is over.
func TestTriedAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	expiry := gateway.NewExpiry(s.books, s.jobs, nil, gateway.ExpiryPolicy{}, s.options().Options)
	expiry.AskOrders(engine)
	paid, unpaid := s.ordered(engine), s.ordered(engine)
	for i, p := range []wallet.Payment{paid, unpaid} {
		refused := gateway.Payment{PaymentID: fmt.Sprintf("pay_refused%d", i), Amount: "1000", Reason: "declined"}
		s.fake.pays(p.Checkout.Order, refused)
		if status := s.tell(engine, gateway.Message{OrderID: p.Checkout.Order, Payment: &refused}); status != http.StatusOK || s.payment(p.Payment).Status != wallet.Failed {
			t.Fatal(status)
		}
	}
	s.fake.pays(paid.Checkout.Order, gateway.Payment{PaymentID: "pay_2", Amount: "1000", Paid: true})
	for _, r := range slices.Clone(s.books.records) {
		if slices.Contains(expiry.Types(), r.Type) {
			if err := expiry.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	step := func() {
		if _, err := gateway.StepJobs(t.Context(), s.jobs, gateway.ExpiryJobs, s.now(), expiry.ExpiryHandler(), func() bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if got := s.payment(paid.Payment).Status; got != wallet.Failed {
		t.Errorf("asked before its time: %s", got)
	}
	s.pass(31 * time.Minute)
	step()
	if p := s.payment(paid.Payment); p.Status != wallet.Success || !p.Late || p.Anomalies != 0 {
		t.Errorf("paid: %s, late %t", p.Status, p.Late)
	}
	if p := s.payment(unpaid.Payment); p.Status != wallet.Failed || p.Notes != 0 {
		t.Errorf("unpaid: %s, %d notes", p.Status, p.Notes)
	}
	if n, err := s.jobs.Count(t.Context(), gateway.ExpiryJobs); n != 0 || err != nil {
		t.Errorf("%d jobs are left, %v", n, err)
	}
}

// TestSecretsAreGone: when the secrets of a configuration are lost while a payin is under way, the payin still comes to its end, a message cannot be
// believed and is kept, and an early one is not tried for ever.
func TestSecretsAreGone(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	expiry := gateway.NewExpiry(s.books, s.jobs, nil, gateway.ExpiryPolicy{Inquiries: 3}, s.options().Options)
	expiry.AskOrders(engine)
	p := s.ordered(engine)
	for _, r := range slices.Clone(s.books.records) {
		if err := expiry.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.vault.DeleteSecret(t.Context(), merchant.GatewaySecretName(configA, 2)); err != nil {
		t.Fatal(err)
	}
	s.pass(31 * time.Minute) // what is in memory is too old
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusNotFound || len(s.kept(engine, configA)) != 1 {
		t.Errorf("%d, %+v", status, s.kept(engine, configA))
	}
	for range 3 {
		if _, err := gateway.StepJobs(t.Context(), s.jobs, gateway.ExpiryJobs, s.now(), expiry.ExpiryHandler(), func() bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.payment(p.Payment).Status; got != wallet.Expired {
		t.Errorf("%s", got)
	}
	other := s.payin()
	other, err := engine.Ensure(t.Context(), s.merchant(appID), other)
	if err != nil || other.Checkout.Config != configB {
		t.Errorf("%+v, %v", other.Checkout, err)
	}
}

// TestEarlyApprovalEnds: an early message that only says that there is something to collect is not tried for ever, when the company does not answer.
func TestEarlyApprovalEnds(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	order := "order_fake_1" // it will be
	if status := s.tell(engine, gateway.Message{OrderID: order, Approved: true}); status != http.StatusOK {
		t.Fatal(status)
	}
	p := s.ordered(engine)
	if p.Checkout.Order != order {
		t.Fatal(p.Checkout.Order)
	}
	if err := s.vault.DeleteSecret(t.Context(), merchant.GatewaySecretName(configA, 2)); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		s.pass(10 * time.Minute)
		if _, err := gateway.StepJobs(t.Context(), s.jobs, gateway.EarlyJobs, s.now(), engine.EarlyHandler(), func() bool { return false }); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.jobs.Count(t.Context(), gateway.EarlyJobs)
	if list := s.kept(engine, configA); n != 0 || err != nil || len(list) != 1 || list[0].State != "unmatched" {
		t.Errorf("%d jobs, %v, %+v", n, err, list)
	}
}
