package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

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
	run(gateway.LateJobs, s.engine.LateHandler())
}

// loseWork loses work storage with all that it remembers: jobs, kept messages, and how far the log was read.
func (s *simulation) loseWork() {
	ctx := s.t.Context()
	for _, kind := range []string{gateway.ExpiryJobs, gateway.EarlyJobs, gateway.TrialJobs, gateway.LateJobs, gateway.RefundJobs("fake"), gateway.RefundJobs("spare")} {
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
			if s.chance(12) && s.losable(h.payin) {
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

// losable reports whether a message about a payment may be lost for ever: somebody will ask for what it told, when the payin expires or behind its end.
func (s *simulation) losable(id string) bool {
	if id == "" {
		return false
	}
	p := s.payment(id)
	last := p.ExpiresAt
	if p.UpdatedAt.After(last) {
		last = p.UpdatedAt
	}
	if p.Status == wallet.Success {
		return s.at.Before(last.Add(time.Hour))
	}
	return s.at.Before(last.Add(24 * time.Hour))
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
	for range 12 { // until nobody is asked about what ended
		s.at = s.at.Add(5 * time.Hour)
		s.work()
	}
}
