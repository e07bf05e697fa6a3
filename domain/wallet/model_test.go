package wallet

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
)

// naive is an independent bookkeeper: it knows commands and outcomes, and counts paisa in big integers. It shares no code
// with the decider, and no structure: states are words, and the rules are written down once more, as short as can be.
type naive struct {
	available, locked, owed *big.Int
	commission, tax         *big.Int // earned
	suspense                *big.Int
	collected               *big.Int // by gateways, and not given back
	things                  map[string]*thing
	batches                 map[string]*pot
	line                    []string // of batches that wait
}

// pot is what a batch has put aside.
type pot struct {
	left *big.Int
	upto int
}

type thing struct {
	state              string // see the methods
	amount, cut, tax   *big.Int
	attempts           int
	sentTo, payer, ret string
	expires            time.Time
	suspended          map[string]*big.Int
	quarrels           []*quarrel
	backs              []*back
	payID              string // the gateway's id of the payment that it succeeded by
	came               map[string]came
	credited           map[string]bool
}

// came is a payment that went to suspense.
type came struct {
	id, by string
	amount *big.Int
}

func (t *thing) gross() *big.Int { return new(big.Int).Add(t.amount, t.cut) }

func newNaive() *naive {
	return &naive{new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), map[string]*thing{},
		map[string]*pot{}, nil}
}

// credit raises available; a debt is paid out of it first.
func (n *naive) credit(x *big.Int) {
	n.available.Add(n.available, x)
	back := n.owed
	if n.available.Cmp(back) < 0 {
		back = n.available
	}
	back = new(big.Int).Set(back)
	n.available.Sub(n.available, back)
	n.owed.Sub(n.owed, back)
}

func (n *naive) unlock(x *big.Int) { n.locked.Sub(n.locked, x) }

func (n *naive) lock(x *big.Int) { n.available.Sub(n.available, x); n.locked.Add(n.locked, x) }

// earn books the commission; times is -1 where it is given back.
func (n *naive) earn(t *thing, times int64) {
	net := new(big.Int).Sub(t.cut, t.tax)
	n.commission.Add(n.commission, net.Mul(net, big.NewInt(times)))
	n.tax.Add(n.tax, new(big.Int).Mul(t.tax, big.NewInt(times)))
}

// do carries a command out and returns the refusal that is due.
func (n *naive) do(c Command) domain.Code {
	if strings.HasPrefix(c.Target().Payment, "bat_") {
		return n.doBatch(c)
	}
	t := n.things[c.Target().Payment]
	if (t != nil) == c.Creates() {
		if t == nil {
			return domain.NotFound
		}
		return domain.Stale
	}
	switch c := c.(type) {
	case CreatePayin:
		n.things[c.Payment] = &thing{
			state: "asked", amount: paisa(c.Amount), cut: paisa(c.Charge.Commission), tax: paisa(c.Charge.Tax),
			expires: c.ExpiresAt, suspended: map[string]*big.Int{}, came: map[string]came{}, credited: map[string]bool{},
		}
	case ReportPayment:
		return n.payment(t, c)
	case ReportPayinFailure:
		if t.suspended == nil {
			return domain.NotFound
		}
		if t.state == "asked" {
			t.state = "refused"
		}
	case ExpirePayin:
		return n.expire(t, c)
	case CreditSuspense:
		return n.creditSuspense(t, c)
	case RefundSuspense:
		if t.suspended == nil || t.suspended[c.Suspense] == nil {
			return domain.NotFound
		}
		if t.suspended[c.Suspense].Sign() == 0 || t.claimed(c.Suspense) {
			return domain.Stale
		}
		n.suspense.Sub(n.suspense, t.suspended[c.Suspense])
		n.collected.Sub(n.collected, t.suspended[c.Suspense])
		if c.Send {
			if len(t.backs) == MaxRefunds {
				panic("the machine makes fewer refunds")
			}
			t.backs = append(t.backs, &back{
				id: t.nextName(c.Suspense), sus: c.Suspense, state: "waits", by: t.came[c.Suspense].by, amount: t.suspended[c.Suspense],
				cut: new(big.Int), tax: new(big.Int),
			})
		}
		t.suspended[c.Suspense] = new(big.Int)
	case InitiatePayout:
		made := &thing{state: "held", amount: paisa(c.Amount), cut: paisa(c.Charge.Commission), tax: paisa(c.Charge.Tax)}
		switch b := n.batches[c.Batch]; {
		case c.FromHold && (b == nil || c.Index > b.upto || b.left.Cmp(made.gross()) < 0):
			return domain.Stale
		case c.FromHold:
			b.left.Sub(b.left, made.gross())
		case n.available.Cmp(made.gross()) < 0:
			return domain.InsufficientBalance
		default:
			n.lock(made.gross())
		}
		n.things[c.Payment] = made
	default:
		return n.doMore(t, c)
	}
	return ""
}

func (n *naive) doMore(t *thing, c Command) domain.Code {
	switch c := c.(type) {
	case OpenDispute, EscalateDispute, AttachEvidence, SettleDispute, ReportDispute:
		return n.doDispute(t, c)
	case RefundPayin, SubmitRefund, ReportRefund:
		return n.doRefund(t, c)
	case SubmitPayout:
		if !t.isPayout() {
			return domain.NotFound
		}
		if (t.state != "held" && t.state != "sent") || c.Attempt != t.attempts+1 || c.Attempt > 20 {
			return domain.Stale
		}
		t.state, t.attempts, t.sentTo = "sent", c.Attempt, c.Gateway
	case CancelPayout:
		if !t.isPayout() {
			return domain.NotFound
		}
		if t.state != "held" {
			return domain.Stale
		}
		t.state = "cancelled"
		n.unlock(t.gross())
		n.credit(t.gross())
	case ReportPayout:
		if !t.isPayout() {
			return domain.NotFound
		}
		return n.report(t, c)
	case AdjustWallet:
		x := paisa(c.Amount)
		if new(big.Int).Add(n.available, x).Sign() < 0 {
			return domain.InsufficientBalance
		}
		n.credit(x)
		n.things[c.Payment] = &thing{state: "booked"}
	case PlaceHold:
		x := paisa(c.Amount)
		if n.available.Cmp(x) < 0 {
			return domain.InsufficientBalance
		}
		n.lock(x)
		n.things[c.Payment] = &thing{state: "kept", amount: x}
	case ReleaseHold:
		switch t.state {
		case "kept":
			t.state = "let go"
			n.unlock(t.amount)
			n.credit(t.amount)
		case "let go":
			return domain.Stale
		default:
			return domain.NotFound
		}
	default:
		panic(fmt.Sprintf("the model does not know %T", c))
	}
	return ""
}

func (n *naive) doBatch(c Command) domain.Code {
	id := c.Target().Payment
	b, place := n.batches[id], slices.Index(n.line, id)
	switch c := c.(type) {
	case QueueBatch:
		if b == nil {
			n.batches[id], n.line = &pot{left: new(big.Int)}, append(n.line, id)
		}
	case HoldBatch:
		if b == nil {
			b = &pot{left: new(big.Int)}
		} else if place < 0 {
			if c.Upto == b.upto {
				return ""
			}
			return domain.Stale
		}
		switch {
		case place > 0 || c.From != b.upto:
			return domain.Stale
		case c.Upto <= c.From:
			return domain.Invalid
		case n.available.Cmp(paisa(c.Amount)) < 0:
			return domain.InsufficientBalance
		}
		n.lock(paisa(c.Amount))
		b.left.Add(b.left, paisa(c.Amount))
		n.batches[id], b.upto = b, c.Upto
		if c.Last && place == 0 {
			n.line = n.line[1:]
		}
	case ReleaseBatch:
		if b == nil && c.Done {
			return ""
		}
		if b == nil || !c.Done && (c.Upto != b.upto || b.left.Cmp(paisa(c.Amount)) != 0) {
			return domain.Stale
		}
		n.unlock(b.left)
		n.credit(b.left)
		b.left = new(big.Int)
		if c.Done {
			delete(n.batches, id)
			n.line = slices.DeleteFunc(n.line, func(w string) bool { return w == id })
		}
	}
	return ""
}

func (t *thing) isPayout() bool { return t.cut != nil && t.suspended == nil }

func (n *naive) payment(t *thing, c ReportPayment) domain.Code {
	if t.suspended == nil {
		return domain.NotFound
	}
	x := paisa(c.Amount)
	n.collected.Add(n.collected, x)
	if t.state == "paid" || x.Cmp(t.amount) != 0 {
		t.suspended[c.Suspense] = x
		t.came[c.Suspense] = came{c.PaymentID, c.Gateway, x}
		n.suspense.Add(n.suspense, x)
		return ""
	}
	t.state, t.payer, t.payID = "paid", c.Gateway, c.PaymentID
	n.earn(t, 1)
	n.credit(new(big.Int).Sub(t.amount, t.cut))
	return ""
}

func (n *naive) expire(t *thing, c ExpirePayin) domain.Code {
	if t.suspended == nil {
		return domain.NotFound
	}
	if t.state != "asked" {
		return ""
	}
	if c.At.Before(t.expires) {
		return domain.Stale
	}
	t.state = "over"
	return ""
}

func (n *naive) creditSuspense(t *thing, c CreditSuspense) domain.Code {
	if t.suspended == nil || t.suspended[c.Suspense] == nil {
		return domain.NotFound
	}
	x := t.suspended[c.Suspense]
	if x.Sign() == 0 || t.claimed(c.Suspense) {
		return domain.Stale
	}
	as := &thing{amount: x, cut: paisa(c.Charge.Commission), tax: paisa(c.Charge.Tax)}
	if as.cut.Cmp(x) > 0 {
		return domain.Invalid
	}
	n.suspense.Sub(n.suspense, x)
	n.earn(as, 1)
	n.credit(new(big.Int).Sub(x, as.cut))
	t.suspended[c.Suspense] = new(big.Int)
	t.credited[c.Suspense] = true
	return ""
}

// claimed: somebody wants the entry back.
func (t *thing) claimed(sus string) bool {
	return slices.ContainsFunc(t.quarrels, func(q *quarrel) bool { return q.sus == sus && q.state == "on" })
}

// report is the table of the package's documentation, as far as it moves money.
func (n *naive) report(t *thing, c ReportPayout) domain.Code {
	move := t.state + " " + string(c.Outcome)
	if move == "held failed" {
		return domain.Stale
	}
	switch move {
	case "held paid", "sent paid", "held returned", "sent returned":
		n.unlock(t.gross())
		n.earn(t, 1)
		t.state, t.payer = "paid", c.Gateway
		if c.Outcome == OutcomeReturned {
			n.giveBack(t, c)
		}
	case "sent failed":
		if c.Gateway == t.sentTo {
			t.state = "given back"
			n.unlock(t.gross())
			n.credit(t.gross())
		}
	case "paid returned":
		if c.Gateway == t.payer {
			n.giveBack(t, c)
		}
	case "given back paid", "cancelled paid":
		n.earn(t, 1)
		n.available.Sub(n.available, t.gross())
		if n.available.Sign() < 0 {
			n.owed.Sub(n.owed, n.available)
			n.available.SetInt64(0)
		}
		t.state, t.payer = "paid", c.Gateway
	}
	return ""
}

func (n *naive) giveBack(t *thing, c ReportPayout) {
	n.earn(t, -1)
	t.state, t.ret = "sent back", c.ReturnReference
	n.credit(t.gross())
}
