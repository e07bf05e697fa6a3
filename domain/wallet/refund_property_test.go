package wallet

import (
	"fmt"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// refunds adds what a payment's refunds hold, and checks that they stay within the payment and its split.
func (m *machine) refunds(p *Payment, holds *big.Int) {
	amount, cut, tax := new(big.Int), new(big.Int), new(big.Int)
	late, failed := false, false
	for _, r := range p.Refunds {
		if r.Commission.Sign() < 0 || r.Tax.Sign() < 0 || r.Tax.Cmp(r.Commission) > 0 || r.Net().Sign() < 0 {
			m.t.Fatalf("refund %+v", r)
		}
		late, failed = late || r.Late, failed || r.Status == RefundIsFailed
		if r.Suspense != "" || !r.counts() {
			continue
		}
		if r.Status == RefundPending {
			holds.Add(holds, paisa(r.Net()))
		}
		amount.Add(amount, paisa(r.Amount))
		cut.Add(cut, paisa(r.Commission))
		tax.Add(tax, paisa(r.Tax))
	}
	if late || amount.Sign() == 0 { // what a gateway pays after it has said that it does not is real, however much it is
		return
	}
	whole := paisa(p.Amount)
	if amount.Cmp(whole) > 0 || cut.Cmp(paisa(p.Commission)) > 0 || tax.Cmp(paisa(p.Tax)) > 0 {
		m.t.Fatalf("%s: refunds of %s, with %s and %s, of %s", p.Payment, amount, cut, tax, m.text(p.Priced))
	}
	if amount.Cmp(whole) == 0 && (cut.Cmp(paisa(p.Commission)) != 0 || tax.Cmp(paisa(p.Tax)) != 0) {
		m.t.Fatalf("%s: all is refunded, with %s and %s of %s", p.Payment, cut, tax, m.text(p.Priced))
	}
	if !failed && cut.Cmp(rounded(paisa(p.Commission), amount, whole)) != 0 {
		m.t.Fatalf("%s: refunds of %s give back %s of %s", p.Payment, amount, cut, m.text(p.Priced))
	}
}

// rounded is a*b/c, half up.
func rounded(a, b, c *big.Int) *big.Int {
	r := new(big.Rat).SetFrac(new(big.Int).Mul(a, b), c)
	r.Add(r, big.NewRat(1, 2))
	return new(big.Int).Quo(r.Num(), r.Denom())
}

func (m *machine) refund() {
	b := m.paid()
	m.serial++
	c := RefundPayin{Base: b, Refund: fmt.Sprint("rfd_", m.serial), Reason: "r", Actor: "a"}
	if rapid.IntRange(0, 2).Draw(m.t, "part") > 0 {
		c.Amount = m.amount(1, 60_000)
	}
	if rapid.IntRange(0, 3).Draw(m.t, "with reference") == 0 {
		c.Reference = rapid.SampledFrom([]string{"R1", "R2"}).Draw(m.t, "reference")
	}
	m.do(c)
}

// refundedPayin picks a payin that has refunds, and one of them.
func (m *machine) refundedPayin() (Base, Refund) {
	var of []string
	for _, id := range m.ids {
		if len(m.payments[id].Refunds) > 0 {
			of = append(of, id)
		}
	}
	if len(of) == 0 {
		return m.known(KindPayin), Refund{ID: "rfd_none"}
	}
	p := m.payments[of[len(of)-1-min(rapid.IntRange(0, 3).Draw(m.t, "age"), len(of)-1)]]
	return m.base(p.Payment), p.Refunds[rapid.IntRange(0, len(p.Refunds)-1).Draw(m.t, "refund")]
}

func (m *machine) submitRefund() {
	b, r := m.refundedPayin()
	m.do(SubmitRefund{Base: b, Refund: r.ID, Attempt: r.Attempts + rapid.SampledFrom([]int{1, 1, 1, 1, 0, 2}).Draw(m.t, "attempt")})
}

func (m *machine) reportRefund() {
	b, r := m.refundedPayin()
	c := ReportRefund{Base: b, Refund: r.ID, Gateway: r.Gateway, Outcome: rapid.SampledFrom([]Outcome{OutcomePaid, OutcomeFailed}).Draw(m.t, "outcome")}
	if rapid.IntRange(0, 9).Draw(m.t, "another gateway") == 0 {
		c.Gateway = m.gateway()
	}
	if rapid.IntRange(0, 3).Draw(m.t, "asked for") > 0 && r.Attempts == 0 && r.Status == RefundPending {
		m.do(SubmitRefund{Base: b, Refund: r.ID, Attempt: 1})
	}
	c.RefundID = rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(m.t, "refund id")
	m.do(c)
}

// back is a refund, to the naive bookkeeper. Its state: waits, done, off.
type back struct {
	id, sus, ref, state, by string
	amount, cut, tax        *big.Int
	tries                   int
}

func (b *back) net() *big.Int { return new(big.Int).Sub(b.amount, b.cut) }

// nextName is what the gateway has not heard of yet.
func (t *thing) nextName(sus string) string {
	name, n := sus, 1
	for _, b := range t.backs {
		if b.sus == sus {
			n++
			name = fmt.Sprint(sus, "-", n)
		}
	}
	return name
}

// gone is what refunds take of the payment that succeeded.
func (t *thing) gone() (amount, cut, tax *big.Int) {
	amount, cut, tax = new(big.Int), new(big.Int), new(big.Int)
	for _, b := range t.backs {
		if b.sus == "" && b.state != "off" {
			amount.Add(amount, b.amount)
			cut.Add(cut, b.cut)
			tax.Add(tax, b.tax)
		}
	}
	return amount, cut, tax
}

// split sets what of the amount is commission and tax: the share of all that is gone by then, less what was given before, within what is possible.
func (t *thing) split(b *back) {
	amount, cut, tax := t.gone()
	x := new(big.Int).Set(b.amount)
	if left := new(big.Int).Sub(t.amount, amount); left.Cmp(x) < 0 {
		x = left
	}
	part := func(part, whole, done, given, x *big.Int) *big.Int {
		if whole.Sign() == 0 || x.Sign() <= 0 {
			return new(big.Int)
		}
		want := rounded(part, new(big.Int).Add(done, x), whole)
		want.Sub(want, given)
		rest := new(big.Int).Sub(new(big.Int).Sub(whole, part), new(big.Int).Sub(done, given))
		for _, least := range []*big.Int{new(big.Int), new(big.Int).Sub(x, rest)} {
			if want.Cmp(least) < 0 {
				want = least
			}
		}
		for _, most := range []*big.Int{x, new(big.Int).Sub(part, given)} {
			if want.Cmp(most) > 0 {
				want = most
			}
		}
		return want
	}
	b.cut = part(t.cut, t.amount, amount, cut, x)
	b.tax = part(t.tax, t.cut, cut, tax, b.cut)
}

func (n *naive) doRefund(t *thing, c Command) domain.Code {
	if t.suspended == nil {
		return domain.NotFound
	}
	if c, begins := c.(RefundPayin); begins {
		return n.sendBack(t, c)
	}
	var b *back
	var id string
	switch c := c.(type) {
	case SubmitRefund:
		id = c.Refund
	case ReportRefund:
		id = c.Refund
	}
	for _, known := range t.backs {
		if known.id == id {
			b = known
		}
	}
	if b == nil {
		return domain.NotFound
	}
	switch c := c.(type) {
	case SubmitRefund:
		if b.state != "waits" || c.Attempt != b.tries+1 || c.Attempt > 20 {
			return domain.Stale
		}
		b.tries++
	case ReportRefund:
		switch {
		case c.Gateway != b.by:
			return domain.Invalid
		case c.Outcome == OutcomePaid:
			n.cameBack(t, b)
		case b.state == "waits" && b.tries == 0:
			return domain.Stale
		case b.state == "waits":
			b.state = "off"
			if b.sus != "" {
				t.suspended[b.sus] = b.amount
				n.suspense.Add(n.suspense, b.amount)
				n.collected.Add(n.collected, b.amount)
				return ""
			}
			n.unlock(b.net())
			n.credit(b.net())
		}
	}
	return ""
}

func (n *naive) sendBack(t *thing, c RefundPayin) domain.Code {
	if t.state != "paid" || len(t.backs) == MaxRefunds {
		return domain.Stale
	}
	for _, b := range t.backs {
		if c.Reference != "" && b.ref == c.Reference {
			return domain.Stale
		}
	}
	amount, _, _ := t.gone()
	left := new(big.Int).Sub(t.amount, amount)
	for _, q := range t.quarrels {
		if q.sus == "" {
			left.Sub(left.Sub(left, q.kept), q.gone)
		}
	}
	b := &back{id: c.Refund, ref: c.Reference, state: "waits", by: t.payer, amount: left}
	if c.Amount != (money.Amount{}) {
		b.amount = paisa(c.Amount)
	}
	switch {
	case left.Sign() <= 0:
		return domain.Stale
	case b.amount.Cmp(left) > 0:
		return domain.Invalid
	}
	t.split(b)
	if n.available.Cmp(b.net()) < 0 {
		return domain.InsufficientBalance
	}
	n.lock(b.net())
	t.backs = append(t.backs, b)
	return ""
}

// cameBack: the customer has it, whatever was said before.
func (n *naive) cameBack(t *thing, b *back) {
	before := b.state
	switch {
	case before == "done", before == "waits" && b.sus != "":
		b.state = "done"
		return
	case before == "waits":
		n.unlock(b.net())
	case b.sus == "":
		t.split(b)
		n.take(b.net())
	case t.suspended[b.sus].Sign() > 0:
		n.suspense.Sub(n.suspense, b.amount)
		t.suspended[b.sus] = new(big.Int)
	case t.credited[b.sus]:
		n.take(b.amount)
	}
	b.state = "done"
	n.collected.Sub(n.collected, b.amount)
	if b.sus == "" {
		n.earn(&thing{cut: b.cut, tax: b.tax}, -1)
	}
}

// TestRefundsInParts: however a payin is divided into refunds, the commission and the tax that come back add up.
func TestRefundsInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(1, 500_000).Draw(t, "amount")
		cut := rapid.Int64Range(0, amount).Draw(t, "commission")
		tax := rapid.Int64Range(0, cut).Draw(t, "tax")
		w, p := given{
			&PayinCreated{Of: payin, Priced: Priced{Amount: money.FromMinor(amount, money.INR), Commission: money.FromMinor(cut, money.INR), Tax: money.FromMinor(tax, money.INR)}},
			&PayinSucceeded{Of: payin, Priced: Priced{Amount: money.FromMinor(amount, money.INR), Commission: money.FromMinor(cut, money.INR), Tax: money.FromMinor(tax, money.INR)}, Gateway: "sandbox"},
		}.state(payin)
		left, given, taxed := amount, big.NewInt(0), big.NewInt(0)
		for i := 0; left > 0; i++ {
			part := rapid.Int64Range(1, left).Draw(t, "part")
			if i == MaxRefunds-1 {
				part = left
			}
			left -= part
			events, err := Decide(w, p, RefundPayin{Base: at(payin), Refund: fmt.Sprint("rfd_", i), Amount: money.FromMinor(part, money.INR), Reason: "r", Actor: "a"})
			if err != nil {
				t.Fatal(err)
			}
			e := events[0].(*RefundInitiated)
			w.Evolve(e)
			p.Evolve(e, noon)
			given.Add(given, paisa(e.Commission))
			taxed.Add(taxed, paisa(e.Tax))
			if given.Cmp(rounded(big.NewInt(cut), big.NewInt(amount-left), big.NewInt(amount))) != 0 {
				t.Fatalf("after %d of %d: %s of %d", amount-left, amount, given, cut)
			}
			if e.Commission.Sign() < 0 || e.Tax.Sign() < 0 || e.Tax.Cmp(e.Commission) > 0 || e.Commission.Cmp(e.Amount) > 0 {
				t.Fatalf("%+v", e)
			}
		}
		if given.Int64() != cut || taxed.Int64() != tax || w.Available.Sign() != 0 || w.Locked.Cmp(money.FromMinor(amount-cut, money.INR)) != 0 {
			t.Fatalf("%s of %d, %s of %d; %s locked", given, cut, taxed, tax, w.Locked)
		}
	})
}

// sendSuspended lets a payment go to suspense, and back; the gateway refuses, and may turn out to have done it all the same.
func (m *machine) sendSuspended() {
	b := m.paid()
	p := m.payments[b.Payment]
	if p == nil || p.Kind != KindPayin {
		return
	}
	m.serial++
	id := fmt.Sprint("sus_", m.serial)
	m.do(ReportPayment{Base: b, Gateway: "one", PaymentID: fmt.Sprint("pay_", m.serial), Amount: p.Amount.Add(inr("1")), Suspense: id})
	refuse := func() string {
		m.do(RefundSuspense{Base: b, Suspense: id, Send: true, Reason: "r", Actor: "a"})
		name := p.Refunds[len(p.Refunds)-1].ID
		m.do(SubmitRefund{Base: b, Refund: name, Attempt: 1})
		m.do(ReportRefund{Base: b, Refund: name, Outcome: OutcomeFailed, Gateway: "one"})
		return name
	}
	name := refuse()
	switch rapid.IntRange(0, 3).Draw(m.t, "then") {
	case 0:
		m.do(CreditSuspense{Base: b, Suspense: id, Charge: m.charge(p.Amount, true), Reason: "r", Actor: "a"})
	case 1:
		m.do(RefundSuspense{Base: b, Suspense: id, Reason: "r", Actor: "a"})
	case 2:
		refuse()
	}
	m.do(ReportRefund{Base: b, Refund: name, Outcome: OutcomePaid, Gateway: "one"})
}
