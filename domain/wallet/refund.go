package wallet

import (
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain/money"
)

// Refund is money of a payin that goes back to its customer: of the payment that the payin succeeded by, a part or all of it; of one in suspense, all.
type Refund struct {
	ID         string       `json:"id"`                  // what names it at the gateway, for ever: rfd_..., or made of the suspense entry's id
	Suspense   string       `json:"suspense,omitempty"`  // the entry that is sent back; "" is the payment that the payin succeeded by
	Reference  string       `json:"reference,omitempty"` // by which whoever asked for it knows it
	Amount     money.Amount `json:"amount"`              // what the customer gets
	Commission money.Amount `json:"commission"`          // the part of it that the platform gives back, with the tax; the merchant gives the rest
	Tax        money.Amount `json:"tax"`
	Status     RefundStatus `json:"status"`
	Reason     string       `json:"reason"` // why it is made
	Actor      string       `json:"actor"`
	Gateway    string       `json:"gateway"`
	Config     string       `json:"config,omitempty"`     // gateway configuration in whose account the payment is
	PaymentID  string       `json:"payment_id,omitempty"` // the gateway's own id of the payment
	Attempts   int          `json:"attempts"`             // recorded before the gateway was asked
	RefundID   string       `json:"refund_id,omitempty"`  // the gateway's own id of the refund
	UTR        string       `json:"utr,omitempty"`
	Failure    string       `json:"failure,omitempty"` // why the gateway has not made it: of the closed list of failure reasons
	Late       bool         `json:"late,omitempty"`    // it was made after the gateway had said that it was not
	CreatedAt  time.Time    `json:"created_at"`        // value date of its first event
	At         time.Time    `json:"at"`                // value date of its last event
}

// RefundStatus is a refund's state.
type RefundStatus string

// The states: pending -> success | failed; failed -> success (paid after the failure).
const (
	RefundPending  RefundStatus = "pending" // of the payin's payment, what the merchant gives is locked
	RefundDone     RefundStatus = "success"
	RefundIsFailed RefundStatus = "failed"
)

// MaxRefunds bounds the refunds of a payin, those of its payments in suspense among them.
const MaxRefunds = 100

// counts tells whether the refund takes something of what its payment was: it is on its way, or done.
func (r *Refund) counts() bool { return r.Status != RefundIsFailed }

// Net is what the merchant gives of it.
func (r *Refund) Net() money.Amount { return r.Amount.Sub(r.Commission) }

// Refund returns a refund of the payment.
func (p *Payment) Refund(id string) (Refund, bool) {
	if i := p.refundAt(id); i >= 0 {
		return p.Refunds[i], true
	}
	return Refund{}, false
}

func (p *Payment) refundAt(id string) int {
	return slices.IndexFunc(p.Refunds, func(r Refund) bool { return r.ID == id })
}

// RefundOf returns the refund that its asker knows by a reference.
func (p *Payment) RefundOf(reference string) (Refund, bool) {
	i := slices.IndexFunc(p.Refunds, func(r Refund) bool { return r.Reference == reference })
	if i < 0 || reference == "" {
		return Refund{}, false
	}
	return p.Refunds[i], true
}

// refunds is what refunds of the payin's own payment take together, and what of that is commission and tax.
func (p *Payment) refunds() (amount, commission, tax money.Amount) {
	amount, commission, tax = money.Zero(p.Currency), money.Zero(p.Currency), money.Zero(p.Currency)
	for i := range p.Refunds {
		if r := &p.Refunds[i]; r.counts() && r.Suspense == "" {
			amount, commission, tax = amount.Add(r.Amount), commission.Add(r.Commission), tax.Add(r.Tax)
		}
	}
	return amount, commission, tax
}

// Refundable is what of a payin can still be refunded: what was paid, less refunds that are on their way or done, less what disputes
// of that payment hold or have taken. Zero of a payin that nobody has paid.
func (p *Payment) Refundable() money.Amount {
	if p.Kind != KindPayin || p.Status != Success {
		return money.Zero(p.Currency)
	}
	refunded, _, _ := p.refunds()
	left := p.Amount.Sub(refunded)
	for i := range p.Disputes {
		if d := &p.Disputes[i]; d.Suspense == "" {
			left = left.Sub(d.Held).Sub(d.Lost)
		}
	}
	if left.Sign() < 0 {
		return money.Zero(p.Currency)
	}
	return left
}

// unsplit divides what goes back to the customer as the payin was divided, whatever plan there is by now: when refunds come to R of
// the payin's amount A, the commission C given back comes to C*R/A, rounded, and the tax of it likewise to its share of that. So parts of
// any size add up, and all of it gives back C and its tax exactly. What is refunded beyond A is the merchant's alone.
func (p *Payment) unsplit(amount money.Amount) (commission, tax money.Amount) {
	refunded, commissions, taxes := p.refunds()
	if left := p.Amount.Sub(refunded); left.Cmp(amount) < 0 {
		if amount = left; amount.Sign() < 0 {
			amount = money.Zero(p.Currency)
		}
	}
	commission = shareOf(p.Commission, p.Amount, refunded, commissions, amount)
	return commission, shareOf(p.Tax, p.Commission, commissions, taxes, commission)
}

// shareOf is what of an amount belongs to the part of a whole, when `done` of the whole is gone already, and `given` of the part with it:
// the rounded share of everything that is gone then, less what was given. Never below zero and never more than the amount; where
// refunds have failed since, what was given may be off by their rounding, and is made good as far as that allows.
func shareOf(part, whole, done, given, amount money.Amount) money.Amount {
	zero := money.Zero(amount.Currency())
	if whole.IsZero() || amount.IsZero() {
		return zero
	}
	least := amount.Sub(whole.Sub(part).Sub(done.Sub(given))) // what the rest of the whole cannot give
	if least.Sign() < 0 {
		least = zero
	}
	share := proportion(part, done.Add(amount), whole).Sub(given)
	if share.Cmp(least) < 0 {
		share = least
	}
	return share.Min(amount).Min(part.Sub(given))
}

// proportion is a*b/c, rounded half up to minor units; none is below zero, and c is above.
func proportion(a, b, c money.Amount) money.Amount {
	exp, _ := a.Currency().Exponent()
	units := func(x money.Amount) *big.Int { return x.Decimal().Shift(exp).BigInt() }
	n, d := new(big.Int).Mul(units(a), units(b)), units(c)
	n.Add(n.Lsh(n, 1), d)
	n.Quo(n, d.Lsh(d, 1))
	return money.Round(decimal.NewFromBigInt(n, -exp), a.Currency())
}

// RefundInitiated begins a refund, and holds what the merchant gives of it: amount - commission.
type RefundInitiated struct {
	Of
	Refund     string       `json:"refund"`
	Reference  string       `json:"reference,omitempty"`
	Amount     money.Amount `json:"amount"`
	Commission money.Amount `json:"commission"` // that the platform gives back of it; includes Tax
	Tax        money.Amount `json:"tax"`
	Reason     string       `json:"reason"`
	Actor      string       `json:"actor"`
	Gateway    string       `json:"gateway"`
	Config     string       `json:"config,omitempty"`
	PaymentID  string       `json:"payment_id,omitempty"` // the gateway's own id of the payment
}

// RefundSubmitted records the intent to ask the gateway for the n-th time, before the call. The reference is the refund's id, always.
type RefundSubmitted struct {
	Of
	Refund  string `json:"refund"`
	Attempt int    `json:"attempt"`
	Gateway string `json:"gateway"`
}

// RefundSucceeded says that the gateway has refunded: the merchant's part leaves the lock, the platform gives back its commission and the
// tax. Of a payment in suspense nothing moves: it has left the books when that was decided.
type RefundSucceeded struct {
	Of
	Refund     string       `json:"refund"`
	Suspense   string       `json:"suspense,omitempty"`
	Amount     money.Amount `json:"amount"`
	Commission money.Amount `json:"commission"`
	Tax        money.Amount `json:"tax"`
	Gateway    string       `json:"gateway"`
	RefundID   string       `json:"refund_id,omitempty"` // the gateway's own
	UTR        string       `json:"utr,omitempty"`
	Actor      string       `json:"actor,omitempty"` // of a resolution by hand: both people
}

// RefundFailed ends a refund that the gateway has not made: what is locked is given back. A payment in suspense is there again, and
// waits for an operator.
type RefundFailed struct {
	Of
	Refund     string       `json:"refund"`
	Suspense   string       `json:"suspense,omitempty"`
	Amount     money.Amount `json:"amount"`
	Commission money.Amount `json:"commission"`
	Tax        money.Amount `json:"tax"`
	Gateway    string       `json:"gateway"`
	Reason     string       `json:"reason"` // one of the closed list of failure reasons
	Actor      string       `json:"actor,omitempty"`
}

// Who pays a refund that the gateway has made after all.
const (
	FromMerchant = "merchant" // what available does not cover is owed
	FromSuspense = "suspense" // where the payment waits again
	FromPlatform = "platform" // the money was given away since, and is nobody's any more
)

// RefundPaidAfterFailure takes again what had been given back: the gateway has refunded after all. Amount, commission and tax are as
// they are decided now: other refunds may have been made since.
type RefundPaidAfterFailure struct {
	Of
	Refund     string       `json:"refund"`
	Suspense   string       `json:"suspense,omitempty"`
	From       string       `json:"from"`
	Amount     money.Amount `json:"amount"`
	Commission money.Amount `json:"commission"`
	Tax        money.Amount `json:"tax"`
	Taken      money.Amount `json:"taken"` // from available; of the merchant, taken + owed = amount - commission
	Owed       money.Amount `json:"owed"`
	Gateway    string       `json:"gateway"`
	RefundID   string       `json:"refund_id,omitempty"`
	UTR        string       `json:"utr,omitempty"`
	Actor      string       `json:"actor,omitempty"`
}

// RefundOf is the id of the refund that an event is about; "" of any other event.
func RefundOf(e Event) string {
	switch e := e.(type) {
	case *RefundInitiated:
		return e.Refund
	case *SuspenseRefunded:
		return e.Refund
	case *RefundSubmitted:
		return e.Refund
	case *RefundSucceeded:
		return e.Refund
	case *RefundFailed:
		return e.Refund
	case *RefundPaidAfterFailure:
		return e.Refund
	}
	return ""
}

// Evolve brings the refund behind an event of it; at is the event's value date. It cannot fail, not even where the event that began the
// refund is missing: copies of a log come from strangers.
func (r *Refund) Evolve(e Event, at time.Time) {
	if r.ID == "" {
		zero := money.Zero(e.Header().Currency)
		*r = Refund{ID: RefundOf(e), Amount: zero, Commission: zero, Tax: zero, Status: RefundPending, CreatedAt: at}
	}
	switch e := e.(type) {
	case *RefundInitiated:
		r.Reference, r.Amount, r.Commission, r.Tax = e.Reference, e.Amount, e.Commission, e.Tax
		r.Reason, r.Actor, r.Gateway, r.Config, r.PaymentID = e.Reason, e.Actor, e.Gateway, e.Config, e.PaymentID
	case *SuspenseRefunded:
		r.Suspense, r.Amount = e.Suspense, e.Amount
		r.Reason, r.Actor, r.Gateway, r.Config, r.PaymentID = e.Reason, e.Actor, e.Gateway, e.Config, e.PaymentID
	case *RefundSubmitted:
		r.Attempts = e.Attempt
	case *RefundSucceeded:
		r.Status, r.RefundID, r.UTR = RefundDone, e.RefundID, e.UTR
	case *RefundFailed:
		r.Status, r.Failure = RefundIsFailed, e.Reason
	case *RefundPaidAfterFailure:
		r.Status, r.Late, r.RefundID, r.UTR = RefundDone, true, e.RefundID, e.UTR
		r.Amount, r.Commission, r.Tax = e.Amount, e.Commission, e.Tax
	}
	r.At = at
}

// evolveRefund brings the payment's refunds behind an event, in a copy of the list.
func (p *Payment) evolveRefund(e Event, at time.Time) {
	id := RefundOf(e)
	if id == "" {
		return
	}
	switch e := e.(type) {
	case *RefundFailed:
		if s, there := p.Suspense[e.Suspense]; there {
			open := *s
			open.Open = true
			p.keep(open)
		}
	case *RefundPaidAfterFailure:
		if e.From == FromSuspense {
			p.settle(e.Suspense, false)
		}
	}
	p.Refunds = slices.Clone(p.Refunds)
	i := p.refundAt(id)
	if i < 0 {
		i, p.Refunds = len(p.Refunds), append(p.Refunds, Refund{})
	}
	p.Refunds[i].Evolve(e, at)
}

// evolveRefund brings the wallet behind an event of a refund.
func (w *Wallet) evolveRefund(e Event) {
	switch e := e.(type) {
	case *RefundInitiated:
		w.lock(e.Amount.Sub(e.Commission))
	case *RefundSucceeded:
		if e.Suspense == "" {
			w.Locked = w.Locked.Sub(e.Amount.Sub(e.Commission))
		}
	case *RefundFailed:
		if e.Suspense == "" {
			w.lock(e.Amount.Sub(e.Commission).Neg())
		}
	case *RefundPaidAfterFailure:
		w.Available = w.Available.Sub(e.Taken)
		w.Owed = w.Owed.Add(e.Owed)
	}
}

// refund writes the lines of an event of a refund.
func (b *entry) refund(e Event) {
	merchant := e.Header().Merchant
	switch e := e.(type) {
	case *RefundInitiated:
		b.move(AccountAvailable(merchant), AccountLocked(merchant), e.Amount.Sub(e.Commission))
	case *RefundSucceeded:
		if e.Suspense != "" {
			return
		}
		b.debit(AccountLocked(merchant), e.Amount.Sub(e.Commission))
		b.debit(AccountCommission, e.Commission.Sub(e.Tax))
		b.debit(AccountTax, e.Tax)
		b.credit(AccountGatewayReceivable(e.Gateway), e.Amount)
	case *RefundFailed:
		if e.Suspense != "" {
			b.move(AccountGatewayReceivable(e.Gateway), AccountSuspense, e.Amount)
			return
		}
		b.move(AccountLocked(merchant), AccountAvailable(merchant), e.Amount.Sub(e.Commission))
	case *RefundPaidAfterFailure:
		switch e.From {
		case FromSuspense:
			b.debit(AccountSuspense, e.Amount)
		case FromPlatform:
			b.debit(AccountAdjustments, e.Amount)
		default:
			b.debit(AccountAvailable(merchant), e.Taken)
			b.debit(AccountReceivable(merchant), e.Owed)
			b.debit(AccountCommission, e.Commission.Sub(e.Tax))
			b.debit(AccountTax, e.Tax)
		}
		b.credit(AccountGatewayReceivable(e.Gateway), e.Amount)
	}
}

// suspenseReference names the next refund of an entry in suspense: a gateway that has refused one under a name answers with that for ever.
func (p *Payment) suspenseReference(id string) string {
	n := 1
	for i := range p.Refunds {
		if p.Refunds[i].Suspense == id {
			n++
		}
	}
	if n == 1 {
		return id
	}
	return id + "-" + strconv.Itoa(n)
}

func (e *RefundInitiated) fields(c *codec) {
	c.of(&e.Of)
	c.text("refund", &e.Refund)
	c.option("reference", &e.Reference)
	c.amount("amount", &e.Amount)
	c.amount("commission", &e.Commission)
	c.amount("tax", &e.Tax)
	c.text("reason", &e.Reason)
	c.text("actor", &e.Actor)
	c.text("gateway", &e.Gateway)
	c.option("config", &e.Config)
	c.option("payment_id", &e.PaymentID)
}

func (e *RefundSubmitted) fields(c *codec) {
	c.of(&e.Of)
	c.text("refund", &e.Refund)
	c.number("attempt", &e.Attempt)
	c.text("gateway", &e.Gateway)
}

func (e *RefundSucceeded) fields(c *codec) {
	c.of(&e.Of)
	c.text("refund", &e.Refund)
	c.option("suspense", &e.Suspense)
	c.amount("amount", &e.Amount)
	c.amount("commission", &e.Commission)
	c.amount("tax", &e.Tax)
	c.text("gateway", &e.Gateway)
	c.option("refund_id", &e.RefundID)
	c.option("utr", &e.UTR)
	c.option("actor", &e.Actor)
}

func (e *RefundFailed) fields(c *codec) {
	c.of(&e.Of)
	c.text("refund", &e.Refund)
	c.option("suspense", &e.Suspense)
	c.amount("amount", &e.Amount)
	c.amount("commission", &e.Commission)
	c.amount("tax", &e.Tax)
	c.text("gateway", &e.Gateway)
	c.text("reason", &e.Reason)
	c.option("actor", &e.Actor)
}

func (e *RefundPaidAfterFailure) fields(c *codec) {
	c.of(&e.Of)
	c.text("refund", &e.Refund)
	c.option("suspense", &e.Suspense)
	c.text("from", &e.From)
	c.amount("amount", &e.Amount)
	c.amount("commission", &e.Commission)
	c.amount("tax", &e.Tax)
	c.amount("taken", &e.Taken)
	c.amount("owed", &e.Owed)
	c.text("gateway", &e.Gateway)
	c.option("refund_id", &e.RefundID)
	c.option("utr", &e.UTR)
	c.option("actor", &e.Actor)
}
