package wallet

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// disputes adds what a payment's disputes hold, and checks that they stay within the payments that they claim.
func (m *machine) disputes(p *Payment, holds *big.Int) {
	claimed := map[string]*big.Int{}
	for _, d := range p.Disputes {
		holds.Add(holds, paisa(d.Held))
		if claimed[d.Suspense] == nil {
			claimed[d.Suspense] = new(big.Int)
		}
		of := claimed[d.Suspense]
		of.Add(of, paisa(d.Lost))
		if d.Status.Running() {
			of.Add(of, paisa(d.Amount))
		} else if d.Held.Sign() != 0 {
			m.t.Fatalf("dispute %s is %s and holds %s", d.ID, d.Status, d.Held)
		}
		if d.Held.Sign() < 0 || d.Held.Cmp(d.Amount) > 0 || d.Lost.Sign() < 0 || d.Fee.Sign() < 0 || (d.Lost.Sign() > 0) != (d.Status == DisputeIsLost) {
			m.t.Fatalf("dispute %+v", d)
		}
	}
	for id, sum := range claimed {
		most := p.Amount
		if id != "" {
			most = p.Suspense[id].Amount
		}
		if sum.Cmp(paisa(most)) > 0 {
			m.t.Fatalf("disputes of %s %s claim %s of %s", p.Payment, id, sum, most)
		}
	}
}

// paid makes a payin that is paid, now and then; else one of those that there are.
func (m *machine) paid() Base {
	if rapid.IntRange(0, 2).Draw(m.t, "new") == 0 {
		b, a := m.fresh(), m.amount(1000, 300_000)
		m.do(CreatePayin{Base: b, Amount: a, Charge: m.charge(a, true), OrderID: b.Payment, Gateway: "one", ExpiresAt: b.At.Add(10 * time.Minute)})
		m.serial++
		m.do(ReportPayment{Base: b, Gateway: m.gateway(), PaymentID: fmt.Sprint("pay_", m.serial), Amount: a, Suspense: fmt.Sprint("sus_", m.serial)})
		return b
	}
	return m.known(KindPayin)
}

// claimed is the whole of a payment, mostly.
func (m *machine) claimed(b Base) money.Amount {
	if p := m.payments[b.Payment]; p != nil && p.Amount.Sign() > 0 && rapid.IntRange(0, 2).Draw(m.t, "whole") > 0 {
		return p.Amount
	}
	return m.amount(1, 150_000)
}

// paymentID is mostly none, and else that of one of the payments.
func (m *machine) paymentID(b Base) string {
	ids := []string{"", "", "", "pay_none"}
	if p := m.payments[b.Payment]; p != nil {
		ids = append(ids, p.PaymentID)
		for i := range m.serial + 1 {
			if s := p.Suspense[fmt.Sprint("sus_", i)]; s != nil {
				ids = append(ids, s.PaymentID)
			}
		}
	}
	return rapid.SampledFrom(ids).Draw(m.t, "payment id")
}

func (m *machine) phase() Phase {
	return rapid.SampledFrom([]Phase{PhaseChargeback, PhaseChargeback, PhaseRetrieval, PhaseFraud, PhasePreArbitration, PhaseArbitration}).Draw(m.t, "phase")
}

func (m *machine) caseOf(b Base) string {
	return b.Payment + rapid.SampledFrom([]string{"-1", "-1", "-2"}).Draw(m.t, "case")
}

func (m *machine) dispute() {
	b := m.paid()
	m.serial++
	c := OpenDispute{
		Base: b, Dispute: fmt.Sprint("dsp_", m.serial), Phase: m.phase(), Reason: "r", Amount: m.claimed(b), RespondBy: b.At.Add(time.Hour),
		Unheld: rapid.IntRange(0, 3).Draw(m.t, "unheld") == 0, Actor: "a",
	}
	if rapid.Bool().Draw(m.t, "with case") {
		c.Case = m.caseOf(b)
	}
	c.PaymentID = m.paymentID(b)
	c.Amount = m.amountOf(b, c.PaymentID, c.Amount)
	m.do(c)
}

// amountOf is mostly that of the payment that is claimed, if it is one in suspense.
func (m *machine) amountOf(b Base, paymentID string, preset money.Amount) money.Amount {
	if p := m.payments[b.Payment]; p != nil && rapid.IntRange(0, 3).Draw(m.t, "its amount") > 0 {
		for _, s := range p.Suspense {
			if s.PaymentID == paymentID || paymentID == "" && p.Status != Success && len(p.Suspense) == 1 {
				return s.Amount
			}
		}
	}
	return preset
}

// disputed picks a payin that has disputes, and one of them.
func (m *machine) disputed() (Base, Dispute) {
	var of []string
	for _, id := range m.ids {
		if len(m.payments[id].Disputes) > 0 {
			of = append(of, id)
		}
	}
	if len(of) == 0 {
		return m.known(KindPayin), Dispute{ID: "dsp_none", Amount: inr("1"), Lost: inr("1"), Fee: inr("0")}
	}
	p := m.payments[of[len(of)-1-min(rapid.IntRange(0, 3).Draw(m.t, "age"), len(of)-1)]]
	return m.base(p.Payment), p.Disputes[rapid.IntRange(0, len(p.Disputes)-1).Draw(m.t, "dispute")]
}

func (m *machine) escalate() {
	b, d := m.disputed()
	c := EscalateDispute{Base: b, Dispute: d.ID, Phase: m.phase(), Reason: "r", RespondBy: b.At.Add(time.Hour), Actor: "a"}
	if rapid.IntRange(0, 2).Draw(m.t, "another amount") == 0 {
		c.Amount = m.amount(1, 150_000)
	}
	m.do(c)
}

func (m *machine) attach() {
	b, d := m.disputed()
	m.do(AttachEvidence{Base: b, Dispute: d.ID, Kind: "other", Note: "n", Submitted: rapid.Bool().Draw(m.t, "submitted"), Actor: "a"})
}

func (m *machine) settle() {
	b, d := m.disputed()
	c := SettleDispute{Base: b, Dispute: d.ID, Reason: "r", Actor: "a", Amount: d.Amount, Fee: inr("0")}
	c.Outcome = rapid.SampledFrom([]Settlement{SettleLost, SettleWon, SettleReversed, SettleClosed}).Draw(m.t, "outcome")
	if c.Outcome == SettleReversed {
		c.Amount, c.Fee = d.Lost, d.Fee
	} else if rapid.Bool().Draw(m.t, "fee") {
		c.Fee = m.amount(0, 80_000)
	}
	if rapid.IntRange(0, 3).Draw(m.t, "part") == 0 {
		c.Amount = m.amount(1, 150_000)
	}
	m.do(c)
}

func (m *machine) reportDispute() {
	b := m.paid()
	p := m.payments[b.Payment]
	m.serial++
	c := ReportDispute{
		Base: b, Gateway: m.gateway(), Case: m.caseOf(b), Dispute: fmt.Sprint("dsp_", m.serial), Phase: m.phase(), Amount: m.claimed(b), Fee: inr("0"),
		RespondBy: b.At.Add(time.Hour), Unheld: rapid.IntRange(0, 3).Draw(m.t, "unheld") == 0,
		Status: rapid.SampledFrom([]string{"open", "lost", "won", "under_review", "closed", "reversed"}).Draw(m.t, "status"),
	}
	if p != nil {
		c.PaymentID = m.paymentID(b)
		c.Amount = m.amountOf(b, c.PaymentID, c.Amount)
		if paid, err := p.collectedBy(c.PaymentID); err == nil && rapid.IntRange(0, 3).Draw(m.t, "its gateway") > 0 {
			c.Gateway = paid.gateway
		}
		if d, there := p.ofCase(c.Gateway, c.Case); there && rapid.IntRange(0, 3).Draw(m.t, "same") > 0 {
			c.Phase, c.Amount = d.Phase, d.Amount
		}
	}
	if rapid.IntRange(0, 3).Draw(m.t, "fee") == 0 {
		c.Fee = m.amount(0, 80_000)
	}
	m.do(c)
}

// quarrel is a dispute, to the naive bookkeeper.
type quarrel struct {
	id, caseID, state     string // state: on, won, lost, over
	gateway, sus          string // sus: the entry of the payment in suspense, "" for the one that succeeded
	stage                 int    // 0 asks, 1 to 3 claim
	claim, kept, gone, fe *big.Int
	ours                  bool // it was lost from suspense
}

func stageOf(p Phase) int {
	return map[Phase]int{PhaseFraud: 0, PhaseRetrieval: 0, PhaseChargeback: 1, PhasePreArbitration: 2, PhaseArbitration: 3}[p]
}

// take pays an amount out of what there is, and owes the rest.
func (n *naive) take(x *big.Int) {
	n.available.Sub(n.available, x)
	if n.available.Sign() < 0 {
		n.owed.Sub(n.owed, n.available)
		n.available.SetInt64(0)
	}
}

func (t *thing) quarrelNamed(id string) *quarrel {
	i := slices.IndexFunc(t.quarrels, func(q *quarrel) bool { return q.id == id })
	if i < 0 {
		return nil
	}
	return t.quarrels[i]
}

// purse is a payment that came: how much, by whom, and where it is: here (the merchant's), there (in suspense) or gone.
type purse struct {
	sus, by, at string
	amount      *big.Int
}

// purses are the payments of a payin, by the gateway's id of each.
func (t *thing) purses() map[string]purse {
	all := map[string]purse{}
	if t.state == "paid" {
		all[t.payID] = purse{"", t.payer, "here", t.amount}
	}
	for sus, came := range t.came {
		p := purse{sus, came.by, "gone", came.amount}
		if t.credited[sus] {
			p.at = "here"
		} else if t.suspended[sus].Sign() > 0 {
			p.at = "there"
		}
		all[came.id] = p
	}
	return all
}

// pick finds the payment that is meant.
func (t *thing) pick(id string) (purse, domain.Code) {
	all := t.purses()
	if id != "" {
		p, there := all[id]
		if !there || p.at == "gone" {
			return purse{}, domain.Stale
		}
		return p, ""
	}
	var left []purse
	for _, p := range all {
		if p.at != "gone" {
			left = append(left, p)
		}
		if p.sus == "" {
			return p, ""
		}
	}
	switch len(left) {
	case 0:
		return purse{}, domain.Stale
	case 1:
		return left[0], ""
	}
	return purse{}, domain.Invalid
}

// of is the payment that a quarrel is about.
func (t *thing) of(q *quarrel) purse {
	for _, p := range t.purses() {
		if p.sus == q.sus {
			return p
		}
	}
	return purse{at: "gone"}
}

// free is what of a payment nobody else claims.
func (t *thing) free(p purse, but *quarrel) *big.Int {
	left := new(big.Int).Set(p.amount)
	for _, q := range t.quarrels {
		switch {
		case q == but || q.sus != p.sus:
		case q.state == "on":
			left.Sub(left, q.claim)
		default:
			left.Sub(left, q.gone)
		}
	}
	return left
}

func (n *naive) doDispute(t *thing, c Command) domain.Code {
	if t.suspended == nil {
		return domain.NotFound
	}
	switch c := c.(type) {
	case OpenDispute:
		p, code := t.pick(c.PaymentID)
		if code != "" {
			return code
		}
		return n.quarrel(t, p, &quarrel{id: c.Dispute, caseID: c.Case, gateway: p.by, stage: stageOf(c.Phase), claim: paisa(c.Amount)}, c.Unheld)
	case EscalateDispute:
		q := t.quarrelNamed(c.Dispute)
		switch {
		case q == nil:
			return domain.NotFound
		case q.state == "lost":
			return domain.Stale
		case stageOf(c.Phase) <= q.stage:
			return domain.Invalid
		}
		amount := q.claim
		if !c.Amount.IsZero() {
			amount = paisa(c.Amount)
		}
		return n.raise(t, q, stageOf(c.Phase), amount)
	case AttachEvidence:
		q := t.quarrelNamed(c.Dispute)
		switch {
		case q == nil:
			return domain.NotFound
		case q.state != "on":
			return domain.Stale
		}
		return ""
	case SettleDispute:
		q := t.quarrelNamed(c.Dispute)
		if q == nil {
			return domain.NotFound
		}
		return n.end(t, q, string(c.Outcome), paisa(c.Amount), paisa(c.Fee))
	case ReportDispute:
		return n.hear(t, c)
	}
	panic(fmt.Sprintf("the model does not know %T", c))
}

func (n *naive) quarrel(t *thing, p purse, q *quarrel, unheld bool) domain.Code {
	for _, other := range t.quarrels {
		if q.caseID != "" && other.caseID == q.caseID && other.gateway == q.gateway {
			return domain.Stale
		}
	}
	switch {
	case len(t.quarrels) == MaxDisputes:
		return domain.Stale
	case q.gateway != p.by, unheld && q.stage > 0:
		return domain.Invalid
	case t.free(p, nil).Cmp(q.claim) < 0:
		return domain.Invalid
	}
	q.sus, q.state, q.kept, q.gone, q.fe = p.sus, "on", new(big.Int), new(big.Int), new(big.Int)
	if !unheld && p.at == "here" {
		q.kept.Set(q.claim)
		n.take(q.claim)
		n.locked.Add(n.locked, q.claim)
	}
	t.quarrels = append(t.quarrels, q)
	return ""
}

func (n *naive) raise(t *thing, q *quarrel, stage int, amount *big.Int) domain.Code {
	p := t.of(q)
	if p.at == "gone" {
		return domain.Stale
	}
	if t.free(p, q).Cmp(amount) < 0 {
		return domain.Invalid
	}
	q.state, q.stage, q.claim = "on", stage, new(big.Int).Set(amount)
	if p.at == "there" {
		return ""
	}
	if more := new(big.Int).Sub(amount, q.kept); more.Sign() > 0 {
		n.take(more)
		n.locked.Add(n.locked, more)
	} else {
		n.unlock(more.Neg(more))
		n.credit(more)
	}
	q.kept.Set(amount)
	return ""
}

// end settles. What is held pays first; nothing may change hands twice.
func (n *naive) end(t *thing, q *quarrel, how string, x, fee *big.Int) domain.Code {
	switch {
	case how == "reversed":
		return n.back(t, q, x, fee)
	case q.state != "on":
		return domain.Stale
	case how == "lost":
		return n.lose(t, q, x, fee)
	}
	n.unlock(q.kept)
	n.credit(q.kept)
	q.kept = new(big.Int)
	q.state = map[string]string{"won": "won", "closed": "over"}[how]
	return ""
}

func (n *naive) lose(t *thing, q *quarrel, x, fee *big.Int) domain.Code {
	p := t.of(q)
	if x.Sign() <= 0 || x.Cmp(q.claim) > 0 || p.at == "there" && x.Cmp(p.amount) != 0 {
		return domain.Invalid
	}
	cost := new(big.Int).Add(x, fee)
	n.collected.Sub(n.collected, cost)
	q.gone.Set(x)
	q.fe.Set(fee)
	q.state, q.ours = "lost", p.at == "there"
	if q.ours {
		n.suspense.Sub(n.suspense, x)
		t.suspended[q.sus] = new(big.Int)
		return ""
	}
	n.unlock(q.kept)
	rest := new(big.Int).Sub(q.kept, cost)
	q.kept = new(big.Int)
	if rest.Sign() < 0 {
		n.take(rest.Neg(rest))
	} else {
		n.credit(rest)
	}
	return ""
}

func (n *naive) back(t *thing, q *quarrel, x, fee *big.Int) domain.Code {
	switch {
	case q.gone.Sign() == 0 && q.fe.Sign() == 0:
		return domain.Stale
	case x.Sign() == 0 && fee.Sign() == 0, x.Cmp(q.gone) > 0, fee.Cmp(q.fe) > 0, q.ours && x.Cmp(q.gone) != 0:
		return domain.Invalid
	}
	q.gone.Sub(q.gone, x)
	q.fe.Sub(q.fe, fee)
	if q.gone.Sign() == 0 && q.state == "lost" {
		q.state = "won"
	}
	both := new(big.Int).Add(x, fee)
	n.collected.Add(n.collected, both)
	if !q.ours {
		n.credit(both)
		return ""
	}
	if n.suspense.Add(n.suspense, x); x.Sign() > 0 {
		t.suspended[q.sus] = new(big.Int).Set(x)
	}
	return ""
}

// nameless is the one quarrel that a person began before its case was known.
func (t *thing) nameless(c ReportDispute) *quarrel {
	p, code := t.pick(c.PaymentID)
	var found []*quarrel
	for _, q := range t.quarrels {
		if code == "" && q.caseID == "" && q.gateway == c.Gateway && q.sus == p.sus && q.state == "on" && q.claim.Cmp(paisa(c.Amount)) == 0 {
			found = append(found, q)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// hear follows a gateway as far as it goes on from what is known. What it does not believe is kept, and moves nothing.
func (n *naive) hear(t *thing, c ReportDispute) domain.Code {
	var q *quarrel
	for _, known := range t.quarrels {
		if known.caseID == c.Case && known.gateway == c.Gateway {
			q = known
		}
	}
	if q == nil {
		if q = t.nameless(c); q != nil {
			q.caseID = c.Case
		}
	}
	stage := stageOf(c.Phase)
	if q == nil {
		if c.Status == "reversed" {
			return ""
		}
		p, code := t.pick(c.PaymentID)
		if code != "" {
			return code
		}
		if t.free(p, nil).Cmp(paisa(c.Amount)) < 0 {
			return ""
		}
		q = &quarrel{id: c.Dispute, caseID: c.Case, gateway: c.Gateway, stage: stage, claim: paisa(c.Amount)}
		if code := n.quarrel(t, p, q, c.Unheld && stage == 0); code != "" {
			return code
		}
	} else if stage < q.stage {
		return ""
	} else if stage > q.stage && c.Status != "reversed" {
		amount := paisa(c.Amount)
		if c.Status == "lost" && amount.Cmp(q.claim) < 0 {
			amount = q.claim
		}
		if q.state == "lost" || n.raise(t, q, stage, amount) != "" {
			return ""
		}
	}
	if c.Status != "open" && c.Status != "under_review" {
		n.end(t, q, c.Status, paisa(c.Amount), paisa(c.Fee))
	}
	return ""
}
