package wallet

import (
	"fmt"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// RefundPayin gives back a part of a payin that was paid, or all of it.
type RefundPayin struct {
	Base
	Refund        string       // its id, rfd_...
	Reference     string       // by which whoever asks knows it, unique for the payin; "" is none
	Amount        money.Amount // what the customer gets; the zero value is all that is refundable
	Reason, Actor string
}

// SubmitRefund records that a gateway is about to be asked for the n-th time.
type SubmitRefund struct {
	Base
	Refund  string
	Attempt int // 1 for the first; must be one more than those recorded
}

// ReportRefund says what a gateway, or an operator with proof, knows of a refund.
type ReportRefund struct {
	Base
	Refund   string
	Gateway  string // "" is the refund's
	Outcome  Outcome
	RefundID string // the gateway's own
	UTR      string
	Reason   string // of OutcomeFailed
	Message  string // digest of the raw message; repeats of it change nothing
	Actor    string // of a resolution by hand
}

// Creates is false for all: a refund is of a payment that exists.
func (RefundPayin) Creates() bool  { return false }
func (SubmitRefund) Creates() bool { return false }
func (ReportRefund) Creates() bool { return false }

// Keys of the commands of refunds: see Command.
func (c RefundPayin) Keys() []string {
	keys := []string{RefundKey(c.Refund)}
	if c.Reference != "" {
		keys = append(keys, RefundReferenceKey(c.Payment, c.Reference))
	}
	return keys
}
func (SubmitRefund) Keys() []string { return nil }
func (c ReportRefund) Keys() []string {
	if c.Message == "" {
		return nil
	}
	return []string{MessagePrefix + c.Payment + ":" + c.Refund + ":" + c.Message} // one message may tell of several refunds
}

// RefundKey is the dedupe key of a refund's id: it finds the payin that the refund is of.
func RefundKey(refund string) string { return "refund:" + refund }

// RefundReferenceKey is the dedupe key of the reference by which the asker knows a refund.
func RefundReferenceKey(payment, reference string) string {
	return "refund-reference:" + payment + ":" + reference
}

// giveBack decides the commands of refunds.
func giveBack(w *Wallet, p *Payment, c Command) ([]Event, error) {
	switch c := c.(type) {
	case RefundPayin:
		return refundPayin(w, p, c)
	case SubmitRefund:
		return submitRefund(p, c)
	case ReportRefund:
		return reportRefund(w, p, c)
	}
	return nil, fmt.Errorf("wallet: command %T is not known", c)
}

func refundPayin(w *Wallet, p *Payment, c RefundPayin) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	_, taken := p.Refund(c.Refund)
	known, again := p.RefundOf(c.Reference)
	left := p.Refundable()
	switch {
	case p.Status != Success:
		return nil, domain.Errorf(domain.Stale, "payin %s is %s: only one that was paid can be refunded", p.Payment, p.Status)
	case taken:
		return nil, domain.Errorf(domain.Stale, "refund %s exists", c.Refund)
	case again:
		return nil, domain.Errorf(domain.Stale, "reference %s is refund %s already", c.Reference, known.ID)
	case len(p.Refunds) >= MaxRefunds:
		return nil, domain.Errorf(domain.Stale, "payin %s has %d refunds", p.Payment, len(p.Refunds))
	case left.IsZero():
		return nil, domain.Errorf(domain.Stale, "nothing of payin %s is left to be refunded", p.Payment)
	}
	amount := c.Amount
	if amount == (money.Amount{}) {
		amount = left
	}
	if err := positive(amount, w.Currency); err != nil {
		return nil, err
	}
	if amount.Cmp(left) > 0 {
		return nil, domain.InvalidField("amount", fmt.Sprintf("%s is more than the %s that can be refunded", amount.Fixed(), left.Fixed()))
	}
	e := &RefundInitiated{
		Of: c.Of, Refund: c.Refund, Reference: c.Reference, Amount: amount, Reason: c.Reason, Actor: c.Actor,
		Gateway: p.Gateway, Config: p.Checkout.Config, PaymentID: p.PaymentID,
	}
	e.Commission, e.Tax = p.unsplit(amount)
	if err := w.covers(amount.Sub(e.Commission)); err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

func (c *RefundPayin) check() error {
	if err := signed(c.Reason, c.Actor); err != nil {
		return err
	}
	if c.Refund == "" {
		return domain.InvalidField("refund", "is missing")
	}
	if err := lineOf("reason", c.Reason, MaxReason); err != nil {
		return err
	}
	return lineOf("reference", c.Reference, MaxName)
}

// refundNamed finds the refund that a command is about.
func (p *Payment) refundNamed(id string) (Refund, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return Refund{}, err
	}
	r, there := p.Refund(id)
	if !there {
		return r, domain.Errorf(domain.NotFound, "no refund %s of payment %s", id, p.Payment)
	}
	return r, nil
}

func submitRefund(p *Payment, c SubmitRefund) ([]Event, error) {
	r, err := p.refundNamed(c.Refund)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Status != RefundPending:
		return nil, domain.Errorf(domain.Stale, "refund %s is %s", r.ID, r.Status)
	case c.Attempt != r.Attempts+1:
		return nil, domain.Errorf(domain.Stale, "refund %s has %d attempts: number %d cannot follow", r.ID, r.Attempts, c.Attempt)
	case c.Attempt > MaxAttempts:
		return nil, domain.Errorf(domain.Stale, "refund %s has been asked for %d times", r.ID, MaxAttempts)
	}
	return []Event{&RefundSubmitted{Of: c.Of, Refund: r.ID, Attempt: c.Attempt, Gateway: r.Gateway}}, nil
}

// reportRefund takes a definite answer. The table of the package's documentation says what becomes of it.
func reportRefund(w *Wallet, p *Payment, c ReportRefund) ([]Event, error) {
	r, err := p.refundNamed(c.Refund)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Gateway == "":
		c.Gateway = r.Gateway
	case c.Gateway != r.Gateway:
		return nil, domain.InvalidField("gateway", fmt.Sprintf("%q does not make the refund: %q does", c.Gateway, r.Gateway))
	}
	for _, t := range []struct{ field, text string }{{"refund_id", c.RefundID}, {"utr", c.UTR}} {
		if err := lineOf(t.field, t.text, MaxName); err != nil {
			return nil, err
		}
	}
	if err := bounded("actor", c.Actor, MaxActor); err != nil {
		return nil, err
	}
	switch c.Outcome {
	case OutcomePaid:
		return r.paid(w, p, c), nil
	case OutcomeFailed:
		return r.failed(p, c)
	case OutcomeReturned: // no gateway says that of a refund
	}
	return nil, domain.InvalidField("outcome", fmt.Sprintf("%q is neither paid nor failed", string(c.Outcome)))
}

func (r *Refund) paid(w *Wallet, p *Payment, c ReportRefund) []Event {
	switch {
	case r.Status == RefundIsFailed:
		return append([]Event{r.paidAfterFailure(w, p, c)}, r.noted(p, c, true, "paid, but not made before")...)
	case r.Status == RefundDone && c.RefundID != "" && r.RefundID != "" && c.RefundID != r.RefundID:
		return r.noted(p, c, true, "paid again, as another one")
	case r.Status == RefundDone:
		return r.noted(p, c, false, "paid")
	}
	events := []Event{&RefundSucceeded{
		Of: c.Of, Refund: r.ID, Suspense: r.Suspense, Amount: r.Amount, Commission: r.Commission, Tax: r.Tax,
		Gateway: c.Gateway, RefundID: c.RefundID, UTR: c.UTR, Actor: c.Actor,
	}}
	if r.Attempts == 0 && c.Actor == "" {
		events = append(events, r.noted(p, c, true, "paid, but never asked for")...)
	}
	return events
}

func (r *Refund) failed(p *Payment, c ReportRefund) ([]Event, error) {
	switch {
	case r.Status == RefundDone:
		return r.noted(p, c, true, "failed, but paid before"), nil
	case r.Status == RefundIsFailed:
		return r.noted(p, c, false, "failed"), nil
	case r.Attempts == 0 && c.Actor == "":
		return nil, domain.Errorf(domain.Stale, "refund %s was never asked for", r.ID)
	}
	return []Event{&RefundFailed{
		Of: c.Of, Refund: r.ID, Suspense: r.Suspense, Amount: r.Amount, Commission: r.Commission, Tax: r.Tax,
		Gateway: c.Gateway, Reason: Reason(c.Reason), Actor: c.Actor,
	}}, nil
}

// paidAfterFailure takes the money from where it is by now.
func (r *Refund) paidAfterFailure(w *Wallet, p *Payment, c ReportRefund) Event {
	zero := money.Zero(w.Currency)
	e := &RefundPaidAfterFailure{
		Of: c.Of, Refund: r.ID, Suspense: r.Suspense, From: FromMerchant, Amount: r.Amount, Commission: zero, Tax: zero, Taken: zero, Owed: zero,
		Gateway: c.Gateway, RefundID: c.RefundID, UTR: c.UTR, Actor: c.Actor,
	}
	if r.Suspense == "" {
		e.Commission, e.Tax = p.unsplit(r.Amount)
		e.Taken, e.Owed = w.cover(r.Amount.Sub(e.Commission))
		return e
	}
	switch s := p.Suspense[r.Suspense]; {
	case s != nil && s.Open:
		e.From = FromSuspense
	case s != nil && s.Credited: // its commission was the price of crediting it, and stays
		e.Taken, e.Owed = w.cover(r.Amount)
	default:
		e.From = FromPlatform
	}
	return e
}

// noted keeps a message beside what it causes; bounded.
func (r *Refund) noted(p *Payment, c ReportRefund, anomaly bool, what string) []Event {
	limit := MaxNotes
	if anomaly {
		limit = MaxAnomalies
	}
	if p.Notes >= limit {
		return nil
	}
	return []Event{&PayinNoted{Of: c.Of, Gateway: c.Gateway, Claim: "refund " + r.ID + ": " + what, Anomaly: anomaly}}
}
