package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// simPay is a payment at a company, as the company itself knows it.
type simPay struct {
	id, order, currency string
	amount              money.Amount // in the minor units of currency
	state               string       // authorized, captured, failed
	lost                bool         // a message about it
	refunds             []*simRefund
}

// simRefund is a refund there.
type simRefund struct {
	id, reference string
	amount        money.Amount
	state         string // pending, done, failed
	ours          bool
}

// simCompany is a company with faults of its own, and its own books.
type simCompany struct {
	*company
	sim     *simulation
	pays    []*simPay
	slow    bool // no refund is done at once
	another bool // its account was exchanged for another one
}

// hooked is a message on its way to us.
type hooked struct {
	to      *simCompany
	config  string
	body    []byte
	payin   string // that it is about, when it may be lost
	pay     *simPay
	handled bool
}

type simulation struct {
	t         *testing.T
	r         *rand.Rand
	base      *shop
	books     *appBooks
	at        time.Time
	companies map[string]*simCompany // by configuration
	power     *power
	faults    bool
	engine    *gateway.Checkouts
	refunds   *gateway.Refunder
	expiry    *gateway.Expiry
	queue     []*hooked
	payins    []string
	opened    map[string]string // payin: order that its customer was sent to
	seen      int               // records that were handed to the workers
	n         int
	deaths    int
	losses    int // of work storage
	trace     []string
	kinds     map[string]int // of events
}

func (s *simulation) now() time.Time { return s.at }

func (s *simulation) chance(percent int) bool { return s.r.IntN(100) < percent }

func (s *simulation) fault(percent int) bool { return s.faults && s.chance(percent) }

func (s *simulation) id(prefix string) string {
	s.n++
	return fmt.Sprintf("%s%06d", prefix, s.n)
}

func (s *simulation) say(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

var errSim = errors.New("no answer")

func (c *simCompany) CreateOrder(_ context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	s := c.sim
	if !s.power.step("before CreateOrder") {
		return gateway.Ordered{}, errPower
	}
	kind := s.r.IntN(100)
	switch {
	case !s.faults:
	case kind < 8:
		return gateway.Ordered{}, &gateway.Declined{Code: "NO"}
	case kind < 10:
		return gateway.Ordered{}, gateway.ErrCredentials
	case kind < 20:
		return gateway.Ordered{}, errSim
	}
	known := c.orders[o.Reference]
	if !o.Again || len(known) == 0 {
		known = append(known, s.id("order_"+c.spec.Name+"_"))
		c.orders[o.Reference] = known
	}
	id := known[0]
	if !o.Again {
		id = known[len(known)-1]
	}
	if !s.power.step("after CreateOrder") {
		return gateway.Ordered{}, errPower
	}
	if s.faults && kind < 30 {
		return gateway.Ordered{}, errSim
	}
	return gateway.Ordered{OrderID: id, Raw: gateway.Raw{Body: []byte(`{"id":"` + id + `"}`)}}, nil
}

func (p *simPay) told(ref string) gateway.Payment {
	return gateway.Payment{PaymentID: p.id, Reference: ref, Amount: p.amount.Fixed(), Currency: p.currency, Paid: p.state == "captured", Reason: "declined"}
}

func (c *simCompany) Collect(_ context.Context, _ gateway.Account, o gateway.Order, made gateway.Ordered) (gateway.Payments, error) {
	s := c.sim
	if !s.power.step("before Collect") {
		return gateway.Payments{}, errPower
	}
	if s.fault(15) {
		return gateway.Payments{}, errSim
	}
	var out gateway.Payments
	for _, p := range c.pays {
		if p.order != made.OrderID {
			continue
		}
		if p.state == "authorized" {
			p.state = "captured"
			s.hook(c, o.Reference, p)
			if s.fault(10) {
				return gateway.Payments{}, errSim
			}
		}
		out.List = append(out.List, p.told(o.Reference))
	}
	b, err := json.Marshal(out.List)
	out.Raw = gateway.Raw{Body: b, MediaType: "application/json"}
	if !s.power.step("after Collect") {
		return gateway.Payments{}, errPower
	}
	return out, err
}

func (c *simCompany) ParseReturn(
	_ context.Context, _ gateway.Account, o gateway.Order, made gateway.Ordered, form url.Values, _ time.Time,
) (gateway.Message, error) {
	m := gateway.Message{OrderID: made.OrderID}
	for _, p := range c.pays {
		if p.order == made.OrderID && p.id == form.Get("id") {
			pay := p.told(o.Reference)
			if m.Payment = &pay; p.state == "authorized" {
				m.Payment, m.Approved = nil, true
			}
		}
	}
	return m, nil
}

func (c *simCompany) find(paymentID string) *simPay {
	for _, p := range c.pays {
		if p.id == paymentID {
			return p
		}
	}
	return nil
}

func (r *simRefund) told() gateway.RefundAnswer {
	b := `{"refund":"` + r.id + `","state":"` + r.state + `"}`
	out := gateway.RefundAnswer{State: gateway.RefundState(r.state), RefundID: r.id, Raw: gateway.Raw{Body: []byte(b), MediaType: "application/json"}}
	if r.state == "failed" {
		out.Reason = "other"
	}
	return out
}

func (c *simCompany) Refund(_ context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	s := c.sim
	if !s.power.step("before Refund") {
		return gateway.RefundAnswer{}, errPower
	}
	if s.fault(15) {
		return gateway.RefundAnswer{}, errSim
	}
	p := c.find(r.PaymentID)
	if p == nil || c.another {
		return gateway.RefundAnswer{}, &gateway.Declined{Code: "NO_PAYMENT"}
	}
	left := p.amount
	for _, known := range p.refunds {
		if known.reference == r.Reference {
			return known.told(), nil
		}
		if known.state != "failed" {
			left = left.Sub(known.amount)
		}
	}
	if left.Cmp(r.Amount) < 0 || s.fault(5) {
		return gateway.RefundAnswer{}, &gateway.Declined{Code: "NO"}
	}
	made := &simRefund{id: s.id("rfnd_"), reference: r.Reference, amount: r.Amount, state: "pending", ours: true}
	if !c.slow && s.chance(50) {
		made.state = "done"
		s.hookRefund(c, p, made)
	}
	p.refunds = append(p.refunds, made)
	if !s.power.step("after Refund") {
		return gateway.RefundAnswer{}, errPower
	}
	if s.fault(15) {
		return gateway.RefundAnswer{}, errSim
	}
	return made.told(), nil
}

func (c *simCompany) InquireRefund(_ context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	if !c.sim.power.step("before InquireRefund") {
		return gateway.RefundAnswer{}, errPower
	}
	if c.sim.fault(15) {
		return gateway.RefundAnswer{}, errSim
	}
	if p := c.find(r.PaymentID); p != nil && !c.another {
		for _, known := range p.refunds {
			if known.reference == r.Reference {
				return known.told(), nil
			}
		}
	}
	return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: gateway.Raw{Body: []byte("{}")}}, nil
}

// hook has the company tell of a payment.
func (s *simulation) hook(c *simCompany, payin string, p *simPay) {
	m := gateway.Message{ID: s.id("evt_"), OrderID: p.order}
	if s.chance(50) {
		m.Reference = payin
	}
	if p.state == "authorized" {
		m.Approved = true
	} else {
		pay := p.told(payin)
		m.Payment = &pay
	}
	s.send(c, payin, p, m)
}

func (s *simulation) hookRefund(c *simCompany, p *simPay, r *simRefund) {
	told := r.told()
	m := gateway.Message{ID: s.id("evt_"), Reference: r.reference, Refund: &told, OrderID: p.order}
	if s.chance(30) {
		m.OrderID = ""
	}
	s.send(c, "", p, m)
}

func (s *simulation) send(c *simCompany, payin string, p *simPay, m gateway.Message) {
	body, err := json.Marshal([]gateway.Message{m})
	if err != nil {
		s.t.Fatal(err)
	}
	for config, of := range s.companies {
		if of == c {
			s.queue = append(s.queue, &hooked{to: c, config: config, body: body, payin: payin, pay: p})
		}
	}
}

// boot starts a process; the one before it is gone.
func (s *simulation) boot() {
	s.power = &power{}
	for _, c := range s.companies {
		c.power = s.power
	}
	o := s.base.options()
	o.Clock, o.Patience = s.now, time.Millisecond
	d := &dying{s.books, s.power}
	var err error
	quick := gateway.RefundPolicy{FirstInquiry: time.Second, MaxInquiryGap: time.Second, ResendGap: time.Second}
	s.refunds, err = gateway.NewRefunder(d, s.base.jobs, []gateway.RefundRoute{{Gateway: "fake", Policy: quick}, {Gateway: "spare", Policy: quick}}, o.Options)
	if err != nil {
		s.t.Fatal(err)
	}
	o.Refunds = s.refunds
	s.engine, err = gateway.NewCheckouts(d, s.base.vault, s.base.jobs, []gateway.Checkout{s.companies[configA], s.companies[configB]}, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.refunds.Use(s.engine)
	s.expiry = gateway.NewExpiry(d, s.base.jobs, nil, gateway.ExpiryPolicy{Inquiries: 3}, o.Options)
	s.expiry.AskOrders(s.engine)
}

func (s *simulation) payment(id string) wallet.Payment {
	p, err := s.books.Payment(s.t.Context(), appID, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *simulation) refundOf(id, refund string) wallet.Refund {
	p := s.payment(id)
	r, there := p.Refund(refund)
	if !there {
		s.t.Fatalf("%s has no refund %s", id, refund)
	}
	return r
}

func (s *simulation) app() merchant.Merchant {
	m, err := s.books.Merchant(s.t.Context(), appID)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func (s *simulation) create() {
	amount := []string{"1000", "0.99", "33.33", "7"}[s.r.IntN(4)]
	s.n++
	id := fmt.Sprintf("tx_S%08d", s.n)
	a := money.MustParse(amount, money.INR)
	part := charge("0")
	part.Commission = money.MustParse([]string{"0", "0.07", "0.31"}[s.r.IntN(3)], money.INR)
	_, err := s.books.Submit(s.t.Context(), wallet.CreatePayin{
		Base:   wallet.Base{Of: wallet.Of{Merchant: appID, Currency: money.INR, Payment: id}, At: eventstore.Micros(s.at)},
		Amount: a, Charge: part, OrderID: "ref-" + id, TxnRef: id, Gateway: wallet.Unrouted, ExpiresAt: s.at.Add(30 * time.Minute), Method: string(merchant.UPI),
	}, eventstore.Origin{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.payins = append(s.payins, id)
}

func (s *simulation) companyOf(p *wallet.Payment) *simCompany { return s.companies[p.Checkout.Config] }

// pay is a customer at the company's page, which knows nothing of our expiry.
func (s *simulation) pay(p wallet.Payment) {
	order, there := s.opened[p.Payment]
	if !there {
		return
	}
	c := s.companyOf(&p)
	made := &simPay{id: s.id("pay_"), order: order, currency: "INR", amount: p.Amount, state: []string{"captured", "authorized", "failed"}[s.r.IntN(3)]}
	switch kind := s.r.IntN(100); {
	case kind < 5:
		made.amount = made.amount.Add(money.MustParse("0.01", money.INR))
	case kind < 8:
		made.currency, made.amount = "USD", money.MustParse("5", "USD")
	}
	c.pays = append(c.pays, made)
	s.say("%s of %s pays %s %s: %s", made.id, p.Payment, made.amount, made.currency, made.state)
	s.hook(c, p.Payment, made)
}

func (s *simulation) deliver(h *hooked) {
	secret := "hook of " + h.config
	status := s.base.hook(s.engine, h.to.spec.Name, appID, h.config, secret, s.at, h.body)
	s.say("webhook %s: %d", h.body, status)
	if status == http.StatusOK && !s.power.dead && (!s.faults || s.chance(70)) {
		h.handled = true
	}
}

// records hands what is new in the log to the workers, as the bus does: at least once.
func (s *simulation) records() {
	for s.seen < len(s.books.records) {
		r := s.books.records[s.seen]
		for _, w := range []interface {
			Types() []string
			Handle(context.Context, eventstore.Record) error
		}{s.expiry, s.refunds, s.engine} {
			if slices.Contains(w.Types(), r.Type) {
				if err := w.Handle(s.t.Context(), r); err != nil {
					if !s.power.dead {
						s.t.Fatal(err)
					}
					return
				}
			}
		}
		s.seen++
	}
}

func (s *simulation) work() {
	dead := func() bool { return s.power.dead }
	run := func(kind string, h gateway.Stepper) {
		if dead() {
			return
		}
		if _, err := gateway.StepJobs(s.t.Context(), s.base.jobs, kind, s.at, h, dead); err != nil {
			s.t.Fatal(err)
		}
	}
	s.records()
	run(gateway.ExpiryJobs, s.expiry.ExpiryHandler())
	run(gateway.RefundJobs("fake"), s.refunds.RefundHandler())
	run(gateway.RefundJobs("spare"), s.refunds.RefundHandler())
	run(gateway.EarlyJobs, s.engine.EarlyHandler())
}

// loseWork loses work storage with all that it remembers: jobs, kept messages, and how far the log was read.
func (s *simulation) loseWork() {
	ctx := s.t.Context()
	for _, kind := range []string{gateway.ExpiryJobs, gateway.EarlyJobs, gateway.TrialJobs, gateway.RefundJobs("fake"), gateway.RefundJobs("spare")} {
		held, err := s.base.jobs.Lease(ctx, kind, s.at.Add(100*365*24*time.Hour), work.MaxLease, time.Minute)
		for _, j := range held {
			err = errors.Join(err, s.base.jobs.Done(ctx, j))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for _, config := range []string{configA, configB} {
		kept, err := s.base.jobs.Inbox(ctx, appID, config, 200)
		for _, i := range kept {
			err = errors.Join(err, s.base.jobs.RemoveInbox(ctx, i.ID))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.seen, s.losses = 0, s.losses+1
}

func (s *simulation) act() {
	ctx := s.t.Context()
	if s.power.dead {
		s.deaths++
		s.boot()
		if s.fault(10) {
			s.loseWork()
		}
	}
	if s.fault(12) {
		s.power.mu.Lock()
		s.power.at = len(s.power.steps) + 1 + s.r.IntN(5)
		s.power.mu.Unlock()
	}
	if len(s.payins) == 0 || len(s.payins) < 5 && s.chance(8) {
		s.create()
	}
	p := s.payment(s.payins[s.r.IntN(len(s.payins))])
	switch kind := s.r.IntN(100); {
	case kind < 20:
		after, err := s.engine.Ensure(ctx, s.app(), p)
		s.say("ensure %s: %s %v", p.Payment, after.Checkout.Order, err)
		if err == nil && !s.power.dead {
			if _, err := s.engine.Begin(ctx, s.app(), after, ""); err == nil {
				s.opened[p.Payment] = after.Checkout.Order
			}
		}
	case kind < 32:
		s.pay(p)
	case kind < 52:
		if len(s.queue) > 0 {
			h := s.queue[s.r.IntN(len(s.queue))]
			if s.chance(6) && s.payable(h.payin) {
				s.say("lost %s", h.body)
				h.handled, h.pay.lost = true, true
			} else {
				s.deliver(h)
			}
		}
	case kind < 58:
		form := url.Values{}
		if c := s.companyOf(&p); c != nil && len(c.pays) > 0 {
			form.Set("id", c.pays[s.r.IntN(len(c.pays))].id)
		}
		_, err := s.engine.Return(ctx, s.app(), p, form)
		s.say("return %s: %v", p.Payment, err)
	case kind < 64:
		_, err := s.engine.Refresh(ctx, s.app(), p)
		s.say("refresh %s: %v", p.Payment, err)
	case kind < 76:
		s.at = s.at.Add(time.Duration(s.r.IntN(600)) * time.Second)
	case kind < 84:
		s.give(p)
	case kind < 88:
		s.settle([]string{configA, configB}[s.r.IntN(2)])
	case kind < 90:
		config := []string{configA, configB}[s.r.IntN(2)]
		_, err := s.books.SubmitMerchant(ctx, merchant.SwitchGateway{Of: merchant.Of{Merchant: appID, Actor: "test"}, Config: config, Enabled: s.chance(70)}, eventstore.Origin{})
		if err != nil {
			s.t.Fatal(err)
		}
	default:
		s.work()
	}
	s.queue = slices.DeleteFunc(s.queue, func(h *hooked) bool { return h.handled })
}

// payable reports whether a payin can still be paid in time: then its expiry will ask for what was not told.
func (s *simulation) payable(id string) bool {
	if id == "" {
		return false
	}
	p := s.payment(id)
	return (p.Status == wallet.Pending || p.Status == wallet.Failed) && s.at.Before(p.ExpiresAt)
}

// give refunds something, or settles a payment in suspense.
func (s *simulation) give(p wallet.Payment) {
	of := wallet.Base{Of: p.Of, At: eventstore.Micros(s.at)}
	var c wallet.Command
	for _, id := range slices.Sorted(maps.Keys(p.Suspense)) {
		if p.Suspense[id].Open && s.chance(60) {
			if s.chance(50) {
				c = wallet.CreditSuspense{Base: of, Suspense: id, Charge: charge("0"), Reason: "theirs", Actor: "asha"}
			} else {
				c = wallet.RefundSuspense{Base: of, Suspense: id, Send: true, Reason: "twice", Actor: "asha"}
			}
		}
	}
	if c == nil {
		amount := money.Amount{}
		if left := p.Refundable(); s.chance(60) && left.Cmp(money.MustParse("0.02", money.INR)) > 0 {
			most, _ := left.Minor()
			amount = money.FromMinor(1+s.r.Int64N(most), money.INR)
		}
		s.n++
		c = wallet.RefundPayin{Base: of, Refund: fmt.Sprintf("rfd_%016d", s.n), Amount: amount, Reason: "returned", Actor: "asha"}
	}
	_, err := s.books.Submit(s.t.Context(), c, eventstore.Origin{})
	s.say("%T of %s: %v", c, p.Payment, err)
	if err != nil && domain.CodeOf(err) == "" {
		s.t.Fatal(err)
	}
}

// settle lets a company decide about its refunds; and make one that nobody of us has asked for.
func (s *simulation) settle(config string) {
	c := s.companies[config]
	for _, p := range c.pays {
		left := p.amount
		for _, r := range p.refunds {
			before := r.state
			switch {
			case r.state == "pending" && (!s.faults || s.chance(60)):
				r.state = "done"
				if s.fault(40) {
					r.state = "failed"
				}
			case r.state == "failed" && s.fault(40):
				fits := p.amount.Sub(r.amount)
				for _, o := range p.refunds {
					if o.state != "failed" {
						fits = fits.Sub(o.amount)
					}
				}
				if fits.Sign() >= 0 {
					r.state = "done"
				}
			}
			if r.state != before {
				s.say("refund %s is %s", r.reference, r.state)
				s.hookRefund(c, p, r)
			}
			if r.state != "failed" {
				left = left.Sub(r.amount)
			}
		}
		if p.state == "captured" && left.Equal(p.amount) && s.fault(4) {
			r := &simRefund{id: s.id("rfnd_"), amount: left, state: "done"}
			p.refunds = append(p.refunds, r)
			s.hookRefund(c, p, r)
		}
	}
}

// rest lets everything come to its end, without faults.
func (s *simulation) rest() {
	s.faults = false
	for range 12 {
		if s.power.dead {
			s.deaths++
		}
		s.boot()
		for _, h := range slices.Clone(s.queue) {
			s.deliver(h)
		}
		s.queue = slices.DeleteFunc(s.queue, func(h *hooked) bool { return h.handled })
		s.settle(configA)
		s.settle(configB)
		s.at = s.at.Add(7 * time.Minute)
		s.work()
	}
}

// payments counts those that were taken for an order.
func (s *simulation) payments(order string) (n int) {
	for _, c := range s.companies {
		for _, p := range c.pays {
			if p.order == order && p.state == "captured" {
				n++
			}
		}
	}
	return n
}

// check holds the books against those of the companies.
func (s *simulation) check() {
	t := s.t
	booked := map[string]int{}
	paid := map[string]money.Amount{}
	ordered, noted := map[string]int{}, ""
	for _, r := range s.books.records {
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			t.Fatal(err)
		}
		s.kinds[r.Type]++
		switch e := e.(type) {
		case *wallet.PayinOrdered:
			if ordered[r.Subject]++; ordered[r.Subject] > 1 {
				t.Errorf("%s has %d orders", r.Subject, ordered[r.Subject])
			}
		case *wallet.PayinNoted:
			if noted += e.Claim + " "; e.Anomaly {
				s.kinds["anomaly"]++
			}
		case *wallet.PayinSucceeded:
			booked[e.PaymentID]++
			paid[e.PaymentID] = e.Amount
		case *wallet.PayinSuspended:
			booked[e.PaymentID]++
			paid[e.PaymentID] = e.Amount
		}
	}
	receivable := map[string]money.Amount{}
	for config, c := range s.companies {
		sum := money.Zero(money.INR)
		for _, p := range c.pays {
			if p.currency != "INR" {
				if booked[p.id] > 0 {
					t.Errorf("%s is in %s, and booked", p.id, p.currency)
				}
				if p.state == "captured" && !p.lost && !strings.Contains(noted, p.id) {
					t.Errorf("%s is in %s, and nobody is told", p.id, p.currency)
				}
				continue
			}
			if p.lost && p.state == "captured" && booked[p.id] == 0 && s.payments(p.order) > 1 {
				continue // a second payment of which nobody ever told: reconciliation finds it
			}
			if p.state == "captured" {
				if booked[p.id] != 1 || !paid[p.id].Equal(p.amount) {
					t.Errorf("%s of %s at %s was captured, and is booked %d times, as %v", p.id, p.order, config, booked[p.id], paid[p.id])
				}
				sum = sum.Add(p.amount)
			} else if booked[p.id] > 0 {
				t.Errorf("%s is %s, and booked", p.id, p.state)
			}
			delete(booked, p.id)
			given := money.Zero(money.INR)
			for _, r := range p.refunds {
				if r.state == "done" {
					given = given.Add(r.amount)
				}
				if r.state == "done" && r.ours {
					sum = sum.Sub(r.amount)
				}
			}
			if given.Cmp(p.amount) > 0 {
				t.Errorf("%s: %s of %s was refunded", p.id, given, p.amount)
			}
		}
		receivable["gateway:"+c.spec.Name+":receivable INR"] = sum
	}
	for id, n := range booked {
		t.Errorf("%s is booked %d times, and no company has it", id, n)
	}
	balances := s.books.balances(t)
	for account, want := range receivable {
		got := money.Zero(money.INR).String()
		if b, there := balances[account]; there {
			got = b
		}
		if got != want.String() {
			t.Errorf("%s is %s, and the company owes %s", account, got, want)
		}
	}
	w := s.books.wallets[appID+"INR"]
	if w == nil {
		return
	}
	if w.Available.Sign() < 0 || !w.Locked.IsZero() {
		t.Errorf("available %s, locked %s", w.Available, w.Locked)
	}
	for _, id := range s.payins {
		p := s.payment(id)
		if p.Status == wallet.Pending {
			t.Errorf("%s is pending for ever", id)
		}
		for _, r := range p.Refunds {
			if r.Status == wallet.RefundPending {
				t.Errorf("refund %s is pending for ever", r.ID)
			}
		}
	}
	for _, kind := range []string{gateway.ExpiryJobs, gateway.EarlyJobs, gateway.RefundJobs("fake"), gateway.RefundJobs("spare"), gateway.RefundJobs("")} {
		if n, err := s.base.jobs.Count(t.Context(), kind); n > 0 || err != nil {
			t.Errorf("%d jobs of %s are left, %v", n, kind, err)
		}
	}
}

// newSimulation is a world of its own with nothing in it.
func newSimulation(t *testing.T, base *shop, seed uint64) *simulation {
	t.Helper()
	s := &simulation{
		t: t, r: rand.New(rand.NewPCG(seed, 6)), base: base, books: newAppBooks(), at: time.Unix(1_800_000_000, 0).UTC().Add(time.Duration(seed) * 24 * time.Hour),
		companies: map[string]*simCompany{}, opened: map[string]string{}, n: int(seed) * 1000, kinds: map[string]int{},
	}
	maps.Copy(s.books.merchants, base.books.merchants)
	s.companies[configA] = &simCompany{company: newCompany("fake"), sim: s}
	s.companies[configB] = &simCompany{company: newCompany("spare"), sim: s}
	s.boot()
	return s
}

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

// TestSimulation: whatever customers, companies, webhooks and deaths do, in whatever order, in the end each payment that a company has taken is in the books
// exactly once, each refund that it has made is too, and nothing waits.
func TestSimulation(t *testing.T) {
	t.Parallel()
	base := newShop(t, migrations.SQLite)
	first, runs := uint64(1), uint64(120)
	if s := os.Getenv("KHATA_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, runs = n, 1
	}
	if s := os.Getenv("KHATA_RUNS"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		runs = n
	}
	deaths, losses, events, payments, kinds := 0, 0, 0, 0, map[string]int{}
	for seed := first; seed < first+runs; seed++ {
		s := newSimulation(t, base, seed)
		s.faults, s.kinds = true, kinds
		for range 90 {
			s.act()
		}
		s.rest()
		s.check()
		deaths, losses, events = deaths+s.deaths, losses+s.losses, events+len(s.books.records)
		for _, c := range s.companies {
			payments += len(c.pays)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s\n%s", seed, strings.Join(s.trace, "\n"), strings.Join(slices.Collect(func(yield func(string) bool) {
				for _, id := range s.payins {
					if !yield(id + ": " + s.books.events(id)) {
						return
					}
				}
			}), "\n"))
		}
	}
	t.Logf("%d runs, %d payments, %d deaths, %d losses of work storage, %d events: %v", runs, payments, deaths, losses, events, kinds)
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
