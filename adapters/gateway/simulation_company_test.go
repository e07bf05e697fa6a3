package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
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

// told is never told in the same words twice.
func (s *simulation) told(r *simRefund) gateway.RefundAnswer {
	b := `{"refund":"` + r.id + `","state":"` + r.state + `","request":"` + s.id("req_") + `"}`
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
			return c.sim.told(known), nil
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
	return s.told(made), nil
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
				return c.sim.told(known), nil
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
	told := s.told(r)
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
