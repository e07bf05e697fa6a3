package wallet

import (
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
)

// MaxSuspended bounds the payments in suspense of one payin. What comes after is refused, never dropped: the gateway is
// told that it was not taken, and a person must look.
const MaxSuspended = 1000

func createPayin(w *Wallet, c CreatePayin) ([]Event, error) {
	priced, err := priceNet(c.Amount, c.Charge, w.Currency)
	if err != nil {
		return nil, err
	}
	if !c.ExpiresAt.After(c.At) {
		return nil, domain.InvalidField("expires_at", "must lie behind the payin's making")
	}
	if err := gatewayNamed(c.Gateway); err != nil {
		return nil, err
	}
	if err := checkoutTexts(c); err != nil {
		return nil, err
	}
	return []Event{&PayinCreated{
		Of: c.Of, Priced: priced, OrderID: c.OrderID, TxnRef: c.TxnRef, PhoneLast4: c.PhoneLast4, Sealed: c.Sealed,
		IntentURL: c.IntentURL, Gateway: c.Gateway, ExpiresAt: c.ExpiresAt.UTC().Truncate(time.Microsecond),
		Method: c.Method, Origin: c.Origin, Signature: c.Signature, Trial: c.Trial,
	}}, nil
}

// gatewayNamed: the name is part of an account's name in the books.
func gatewayNamed(name string) error {
	if name == "" || strings.ContainsAny(name, ": \n") {
		return domain.InvalidField("gateway", fmt.Sprintf("%q is not a gateway's name", name))
	}
	return nil
}

// reportPayment credits a payment that fits its payin, and puts every other one in suspense.
func reportPayment(p *Payment, c ReportPayment) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	if err := positive(c.Amount, p.Currency); err != nil {
		return nil, err
	}
	if err := gatewayNamed(c.Gateway); err != nil {
		return nil, err
	}
	switch {
	case p.Status == Success:
		return suspend(p, c, ReasonSecond)
	case !c.Amount.Equal(p.Amount):
		return suspend(p, c, ReasonAmount)
	}
	return []Event{&PayinSucceeded{
		Of: c.Of, Priced: p.Priced, Gateway: c.Gateway, PaymentID: c.PaymentID, UTR: c.UTR, Late: p.Status != Pending,
		Method: clip(c.Method), SubMethod: clip(c.SubMethod), Config: c.Config,
	}}, nil
}

func suspend(p *Payment, c ReportPayment, reason string) ([]Event, error) {
	switch _, taken := p.Suspense[c.Suspense]; {
	case c.Suspense == "":
		return nil, domain.InvalidField("suspense", "is missing")
	case taken:
		return nil, domain.Errorf(domain.Stale, "suspense entry %s exists", c.Suspense)
	case len(p.Suspense) >= MaxSuspended:
		return nil, domain.Errorf(domain.Stale, "payin %s has %d payments in suspense", p.Payment, len(p.Suspense))
	}
	return []Event{&PayinSuspended{
		Of: c.Of, Suspense: c.Suspense, Amount: c.Amount, Asked: p.Amount, Gateway: c.Gateway, PaymentID: c.PaymentID,
		UTR: c.UTR, Reason: reason, Config: c.Config,
	}}, nil
}

func reportPayinFailure(p *Payment, c ReportPayinFailure) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	switch {
	case p.Status == Pending:
		return []Event{&PayinFailed{Of: c.Of, Gateway: c.Gateway, Reason: Reason(c.Reason)}}, nil
	case p.Status == Success && p.contradicts(c.PaymentID):
		if p.Notes >= MaxAnomalies {
			return nil, nil
		}
		return []Event{&PayinNoted{Of: c.Of, Gateway: c.Gateway, Claim: claimFailed, Anomaly: true}}, nil
	case p.Notes < MaxNotes:
		return []Event{&PayinNoted{Of: c.Of, Gateway: c.Gateway, Claim: claimFailed}}, nil
	}
	return nil, nil
}

// contradicts reports whether that a payment was not collected contradicts what is known. Customers try again: that another try than the one that paid
// was refused, and is told later, does not.
func (p *Payment) contradicts(paymentID string) bool {
	if paymentID == "" || p.PaymentID == "" || paymentID == p.PaymentID {
		return true
	}
	for _, s := range p.Suspense {
		if s.PaymentID == paymentID {
			return true
		}
	}
	return false
}

const claimFailed = string(OutcomeFailed)

func expirePayin(p *Payment, c ExpirePayin) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	switch {
	case p.Status != Pending:
		return nil, nil
	case c.At.Before(p.ExpiresAt):
		return nil, domain.Errorf(domain.Stale, "payin %s expires at %s", p.Payment, p.ExpiresAt.Format(time.RFC3339))
	}
	return []Event{&PayinExpired{Of: c.Of}}, nil
}

// openSuspense finds the entry that an operator wants to settle.
func openSuspense(p *Payment, id, reason, actor string) (*Suspended, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	if err := signed(reason, actor); err != nil {
		return nil, err
	}
	s, there := p.Suspense[id]
	switch {
	case !there:
		return nil, domain.Errorf(domain.NotFound, "no suspense entry %s", id)
	case !s.Open:
		return nil, domain.Errorf(domain.Stale, "suspense entry %s is settled already", id)
	}
	if d, claimed := p.claimedBy(id); claimed {
		return nil, domain.Errorf(domain.Stale, "suspense entry %s is claimed back by dispute %s", id, d.ID)
	}
	return s, nil
}

func creditSuspense(p *Payment, c CreditSuspense) ([]Event, error) {
	s, err := openSuspense(p, c.Suspense, c.Reason, c.Actor)
	if err != nil {
		return nil, err
	}
	priced, err := priceNet(s.Amount, c.Charge, p.Currency)
	if err != nil {
		return nil, err
	}
	return []Event{&SuspenseCredited{Of: c.Of, Priced: priced, Suspense: s.ID, Reason: c.Reason, Actor: c.Actor}}, nil
}

func refundSuspense(p *Payment, c RefundSuspense) ([]Event, error) {
	s, err := openSuspense(p, c.Suspense, c.Reason, c.Actor)
	if err != nil {
		return nil, err
	}
	e := &SuspenseRefunded{Of: c.Of, Suspense: s.ID, Amount: s.Amount, Gateway: s.Gateway, Reason: c.Reason, Actor: c.Actor}
	if c.Send {
		if len(p.Refunds) >= MaxRefunds {
			return nil, domain.Errorf(domain.Stale, "payin %s has %d refunds: this one must be made by hand", p.Payment, len(p.Refunds))
		}
		e.Refund, e.Config, e.PaymentID = p.suspenseReference(s.ID), s.Config, s.PaymentID
	}
	return []Event{e}, nil
}
