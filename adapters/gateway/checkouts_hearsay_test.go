package gateway_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

// hearsay is a shop whose first company signs its messages with a secret that the app knows.
func hearsay(t *testing.T, dialect migrations.Dialect) *shop {
	t.Helper()
	s := newShop(t, dialect)
	s.fake.spec.Hearsay = true
	return s
}

func (c *company) silence(mute bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = mute
}

// collected counts the questions for an order's payments.
func (c *company) collected() int {
	calls, _ := c.called()
	return len(slices.DeleteFunc(calls, func(call string) bool { return !strings.HasPrefix(call, "collect ") }))
}

// An app that signs a message to itself, with the secret that it has chosen, must not get a paisa that its company did not collect.
func TestSelfSignedPaymentCreditsNothing(t *testing.T) {
	t.Parallel()
	for _, dialect := range []migrations.Dialect{migrations.SQLite, migrations.Postgres} {
		t.Run(string(dialect), func(t *testing.T) {
			s := hearsay(t, dialect)
			engine := s.checkouts()
			p, other := s.ordered(engine), s.ordered(engine)
			s.fake.pays(other.Checkout.Order, gateway.Payment{PaymentID: "pay_other", Amount: "1000", Currency: "INR", Paid: true})
			s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_refused", Amount: "1000", Currency: "INR", Reason: "declined"})
			s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_usd", Amount: "1000", Currency: "USD", Paid: true})
			s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_small", Amount: "1", Currency: "INR", Paid: true})
			for i, id := range []string{"pay_forged", "pay_other", "pay_refused", "pay_usd", "pay_small"} {
				m := success(p, id)
				for range 3 { // the second and the third one change nothing
					if status := s.tell(engine, m); status != http.StatusOK {
						t.Fatalf("%s: %d", id, status)
					}
				}
				s.early(engine, time.Minute) // the company may be behind its own messages: it is asked again
				if after := s.payment(p.Payment); after.Anomalies != i || len(s.kept(engine, configA)) != 1 {
					t.Fatalf("%s, young: %d anomalies", id, after.Anomalies)
				}
				s.early(engine, time.Minute)
				after, evidence := s.payment(p.Payment), s.books.evidenceOf(p.Payment, "payin.noted")
				if after.Status != wallet.Pending || after.Anomalies != i+1 || s.count(gateway.CountAnomaly) != int64(i+1) || len(s.books.balances(t)) != 0 {
					t.Fatalf("%s: %s, %d anomalies, %v", id, after.Status, after.Anomalies, s.books.balances(t))
				}
				if len(evidence) != 2*(i+1) || evidence[2*i] != string(s.body(m)) || !strings.Contains(evidence[2*i+1], "pay_small") {
					t.Fatalf("%s: evidence %q", id, evidence)
				}
			}
			// What is true is booked as the company has it, and asked about once.
			paid := gateway.Payment{PaymentID: "pay_1", Amount: "1000", Currency: "INR", Paid: true, UTR: "axis1", Method: "netbanking"}
			s.fake.pays(p.Checkout.Order, paid)
			m, asked := success(p, "pay_1"), s.fake.collected()
			m.Payment.UTR = "made up"
			for range 3 {
				if status := s.tell(engine, m); status != http.StatusOK {
					t.Fatal(status)
				}
			}
			after, evidence := s.payment(p.Payment), s.books.evidenceOf(p.Payment, "payin.succeeded")
			if after.Status != wallet.Success || after.UTR != "axis1" || after.Checkout.PaidBy != "netbanking" || s.fake.collected() != asked+1 {
				t.Errorf("%+v", after)
			}
			if len(evidence) != 2 || evidence[0] != string(s.body(m)) || !strings.Contains(evidence[1], "axis1") {
				t.Errorf("evidence %q", evidence)
			}
			// The same id for more, once it is booked, is compared with the books.
			before := s.books.balances(t)
			m.Payment.Amount = "5000"
			if status := s.tell(engine, m); status != http.StatusOK || !maps.Equal(before, s.books.balances(t)) || s.payment(p.Payment).Anomalies != 6 {
				t.Errorf("%d: %v, %d anomalies", status, s.books.balances(t), s.payment(p.Payment).Anomalies)
			}
		})
	}
}

// A company that does not answer leaves a payment unproven, and not refused: the message comes again.
func TestUnconfirmedPaymentComesAgain(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true})
	s.fake.silence(true)
	for range 2 {
		if status := s.tell(engine, success(p, "pay_1")); status != http.StatusServiceUnavailable || s.books.events(p.Payment) != "created routed ordered" {
			t.Fatalf("%d: %s", status, s.books.events(p.Payment))
		}
	}
	if list := s.kept(engine, configA); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	s.fake.silence(false)
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK || s.payment(p.Payment).Status != wallet.Success {
		t.Errorf("%d: %s", status, s.payment(p.Payment).Status)
	}
	s.fake.silence(true)
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Errorf("what is booked needs no answer: %d", status)
	}
}

// An early message is no more of a proof than one in time; one that nobody confirms is given up in the end, and kept.
func TestSelfSignedEarlyPaymentCreditsNothing(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	engine := s.checkouts()
	alive := func() bool { return false }
	step := func() {
		t.Helper()
		if _, err := gateway.StepJobs(t.Context(), s.jobs, gateway.EarlyJobs, s.now(), engine.EarlyHandler(), alive); err != nil {
			t.Fatal(err)
		}
	}
	early := func(order, id string) {
		t.Helper()
		m := gateway.Message{OrderID: order, Payment: &gateway.Payment{PaymentID: id, Amount: "1000", Paid: true}}
		if status := s.tell(engine, m); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	early("order_fake_1", "pay_forged")
	early("order_fake_2", "pay_true")
	early("order_fake_3", "pay_unknown")
	forged, genuine, silent := s.ordered(engine), s.ordered(engine), s.ordered(engine)
	s.fake.pays(genuine.Checkout.Order, gateway.Payment{PaymentID: "pay_true", Amount: "1000", Paid: true})
	s.fake.silence(true)
	step()
	if list := s.kept(engine, configA); len(list) != 3 {
		t.Fatalf("%+v", list)
	}
	s.fake.silence(false)
	s.fake.pays(silent.Checkout.Order, gateway.Payment{PaymentID: "pay_else", Amount: "1000"})
	s.pass(3 * time.Minute)
	step()
	for p, want := range map[string]string{
		forged.Payment: "created routed ordered noted", genuine.Payment: "created routed ordered succeeded", silent.Payment: "created routed ordered noted",
	} {
		if got := s.books.events(p); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
	early("order_fake_4", "pay_never")
	s.fake.silence(true)
	never := s.ordered(engine)
	for range 3 {
		s.pass(10 * time.Minute)
		step()
	}
	n, err := s.jobs.Count(t.Context(), gateway.EarlyJobs)
	if list := s.kept(engine, configA); err != nil || n != 0 || len(list) != 1 || list[0].State != "unmatched" || s.books.events(never.Payment) != "created routed ordered" {
		t.Errorf("%d jobs, %v, %+v", n, err, list)
	}
}

// A genuine message may be ahead of the company's own list: it is asked again a little later, and only then is it an anomaly.
func TestPaymentAheadOfTheList(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK || s.books.events(p.Payment) != "created routed ordered" {
		t.Fatalf("%d: %s", status, s.books.events(p.Payment))
	}
	s.early(engine, time.Second)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Currency: "INR", Paid: true})
	s.early(engine, 2*time.Second)
	if got := s.books.events(p.Payment); got != "created routed ordered succeeded" || len(s.kept(engine, configA)) != 0 {
		t.Errorf("%s, %+v", got, s.kept(engine, configA))
	}
}

// That a payment failed ends a payin only when the company says so.
func TestSelfSignedFailureEndsNothing(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	engine := s.checkouts()
	refused := func(id string) gateway.Payment {
		return gateway.Payment{PaymentID: id, Amount: "1000", Reason: "declined"}
	}
	for what, c := range map[string]struct {
		known []gateway.Payment
		want  string
	}{
		"nobody knows of it":    {nil, "created routed ordered noted"},
		"it was made":           {[]gateway.Payment{{PaymentID: "pay_1", Amount: "1000", Paid: true}}, "created routed ordered noted"},
		"it was refused":        {[]gateway.Payment{refused("pay_1")}, "created routed ordered failed"},
		"another one was made":  {[]gateway.Payment{refused("pay_1"), {PaymentID: "pay_2", Amount: "1000", Paid: true}}, "created routed ordered succeeded"},
		"another one was tried": {[]gateway.Payment{refused("pay_2")}, "created routed ordered noted"},
	} {
		p := s.ordered(engine)
		said := refused("pay_1")
		said.PaymentID += p.Payment
		for _, pay := range c.known {
			pay.PaymentID += p.Payment
			s.fake.pays(p.Checkout.Order, pay)
		}
		for range 2 {
			if status := s.tell(engine, gateway.Message{OrderID: p.Checkout.Order, Payment: &said}); status != http.StatusOK {
				t.Fatalf("%s: %d", what, status)
			}
		}
		s.early(engine, 3*time.Minute)
		got := s.books.events(p.Payment)
		if c.want == "created routed ordered succeeded" { // repeated, it is one that was told late
			got = strings.TrimSuffix(got, " noted")
		}
		if got != c.want {
			t.Errorf("%s: %s", what, got)
		}
	}
	p := s.ordered(engine)
	s.fake.silence(true)
	m := gateway.Message{OrderID: p.Checkout.Order, Payment: &gateway.Payment{PaymentID: "pay_9", Reason: "declined"}}
	if status := s.tell(engine, m); status != http.StatusServiceUnavailable || s.payment(p.Payment).Status != wallet.Pending {
		t.Errorf("without an answer: %d", status)
	}
}

// What the browser brings back is signed with a secret of the app's, too.
func TestSelfSignedReturnCreditsNothing(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	form := url.Values{"paid": {"pay_1"}, "signature": {sign("hook of "+configA, 0, []byte(p.Checkout.Order+"pay_1"))}}
	for range 2 {
		after, err := engine.Return(t.Context(), s.merchant(appID), p, form)
		if err != nil || after.Status != wallet.Pending || s.books.events(p.Payment) != "created routed ordered" {
			t.Fatalf("%v: %s", err, s.books.events(p.Payment))
		}
	}
	if list := s.kept(engine, configA); len(list) != 1 || list[0].State != "refused" || list[0].Reason != "return: the gateway does not know what the message says" {
		t.Errorf("%+v", list)
	}
	s.fake.silence(true)
	if after, err := engine.Return(t.Context(), s.merchant(appID), p, form); err == nil || after.Status != wallet.Pending {
		t.Errorf("without an answer: %s, %v", after.Status, err)
	}
	s.fake.silence(false)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true})
	if after, err := engine.Return(t.Context(), s.merchant(appID), p, form); err != nil || after.Status != wallet.Success || len(s.books.balances(t)) == 0 {
		t.Errorf("%s, %v", after.Status, err)
	}
}

// A trial takes both: a webhook that says so, and the payment at the company.
func TestSelfSignedPaymentPassesNoTrial(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.begins(engine)
	tells := func(what, id string, passes bool) {
		t.Helper()
		if status := s.hooked(engine, success(p, id)); status != http.StatusOK || s.tried().Tried() != passes {
			t.Fatalf("%s: %d, %+v", what, status, s.tried())
		}
	}
	tells("nothing is paid", "pay_forged", false)
	s.early(engine, 3*time.Minute)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true})
	if after, err := engine.Refresh(t.Context(), s.merchant(appID), p); err != nil || after.Status != wallet.Success || s.tried().Tried() {
		t.Fatalf("%s, %v", after.Status, err)
	}
	tells("paid by another payment", "pay_forged", false)
	tells("paid", "pay_1", true)
}

// refunding is a company that answers about refunds as it is told.
type refunding struct {
	*company
	answer gateway.RefundAnswer
	err    error
	asked  []gateway.Refund
}

func (c *refunding) InquireRefund(_ context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	c.asked = append(c.asked, r)
	return c.answer, c.err
}

// An app that signs to itself that a refund has failed must not get back what its customer has.
func TestSelfSignedRefundFailureGivesNothingBack(t *testing.T) {
	t.Parallel()
	s := hearsay(t, migrations.SQLite)
	c := &refunding{company: s.fake}
	o := s.options()
	refunder, err := gateway.NewRefunder(s.books, s.jobs, []gateway.RefundRoute{{Gateway: "fake"}}, o.Options)
	if err != nil {
		t.Fatal(err)
	}
	o.Refunds = refunder
	engine, err := gateway.NewCheckouts(s.books, s.vault, s.jobs, []gateway.Checkout{c, s.spare}, o)
	if err != nil {
		t.Fatal(err)
	}
	refunder.Use(engine)
	p := s.ordered(engine)
	s.fake.pays(p.Checkout.Order, gateway.Payment{PaymentID: "pay_1", Amount: "1000", Paid: true})
	if status := s.tell(engine, success(p, "pay_1")); status != http.StatusOK {
		t.Fatal(status)
	}
	const id = "rfd_0000000000000001"
	of := wallet.Base{Of: p.Of, At: eventstore.Micros(s.now())}
	for _, command := range []wallet.Command{
		wallet.RefundPayin{Base: of, Refund: id, Reason: "returned", Actor: "asha"}, wallet.SubmitRefund{Base: of, Refund: id, Attempt: 1},
	} {
		if _, err := s.books.Submit(t.Context(), command, eventstore.Origin{}); err != nil {
			t.Fatal(err)
		}
	}
	held := s.books.balances(t)
	says := func(state gateway.RefundState) gateway.Message {
		return gateway.Message{
			Reference: id, OrderID: p.Checkout.Order, Refund: &gateway.RefundAnswer{State: state, RefundID: "rfnd_theirs", Reason: "other"},
		}
	}
	for _, a := range []struct {
		what   string
		answer gateway.RefundState
		err    error
		status int
	}{
		{"it is on its way", gateway.RefundPending, nil, http.StatusOK}, {"it is not known", gateway.RefundUnknown, nil, http.StatusOK},
		{"silence", "", errors.New("connection reset"), http.StatusServiceUnavailable},
	} {
		c.answer, c.err = gateway.RefundAnswer{State: a.answer, Raw: gateway.Raw{Body: []byte(`{"now":"` + a.answer + `"}`)}}, a.err
		for _, said := range []gateway.RefundState{gateway.RefundFailed, gateway.RefundDone} {
			if status := s.tell(engine, says(said)); status != a.status || !maps.Equal(held, s.books.balances(t)) {
				t.Errorf("%s: %d, %v", a.what, status, s.books.balances(t))
			}
		}
	}
	if slices.ContainsFunc(c.asked, func(r gateway.Refund) bool { return r.RefundID != "" || r.Reference != id }) {
		t.Errorf("asked for what the message names: %+v", c.asked)
	}
	// The company has made it: that is what counts.
	c.answer, c.err = gateway.RefundAnswer{State: gateway.RefundDone, RefundID: "rfnd_1", Raw: gateway.Raw{Body: []byte(`{"now":"done"}`)}}, nil
	asked := len(c.asked)
	for range 2 {
		if status := s.tell(engine, says(gateway.RefundFailed)); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	after := s.payment(p.Payment)
	r, _ := after.Refund(id)
	evidence := s.books.evidenceOf(p.Payment, "refund.succeeded")
	if r.Status != wallet.RefundDone || r.RefundID != "rfnd_1" || len(c.asked) != asked+1 {
		t.Errorf("%+v, asked %d times", r, len(c.asked)-asked)
	}
	if len(evidence) != 2 || evidence[0] != `{"now":"done"}` || evidence[1] != string(s.body(says(gateway.RefundFailed))) {
		t.Errorf("evidence %q", evidence)
	}
}
