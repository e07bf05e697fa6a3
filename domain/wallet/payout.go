package wallet

import (
	"fmt"

	"github.com/khata-ledger/khata/domain"
)

func initiatePayout(w *Wallet, c InitiatePayout) ([]Event, error) {
	priced, err := price(c.Amount, c.Charge, w.Currency)
	if err != nil {
		return nil, err
	}
	if c.FromHold {
		err = w.draws(c.Batch, c.Index, priced.Gross())
	} else {
		err = w.covers(priced.Gross())
	}
	if err != nil {
		return nil, err
	}
	return []Event{&PayoutInitiated{
		Of: c.Of, Priced: priced, RequestID: c.RequestID, IFSC: c.IFSC, BankName: c.BankName, AccountLast4: c.AccountLast4,
		AccountFingerprint: c.AccountFingerprint, TransferType: c.TransferType, Sealed: c.Sealed, Batch: c.Batch, Index: c.Index, FromHold: c.FromHold,
	}}, nil
}

func submitPayout(p *Payment, c SubmitPayout) ([]Event, error) {
	if err := p.mustBe(KindPayout); err != nil {
		return nil, err
	}
	if err := gatewayNamed(c.Gateway); err != nil {
		return nil, err
	}
	switch {
	case p.Status != Pending:
		return nil, domain.Errorf(domain.Stale, "payout %s is %s", p.Payment, p.Status)
	case c.Attempt != p.Attempts+1:
		return nil, domain.Errorf(domain.Stale, "payout %s has %d attempts: number %d cannot follow", p.Payment, p.Attempts, c.Attempt)
	case c.Attempt > MaxAttempts:
		return nil, domain.Errorf(domain.Stale, "payout %s has been sent %d times", p.Payment, MaxAttempts)
	}
	return []Event{&PayoutSubmitted{Of: c.Of, Attempt: c.Attempt, Gateway: c.Gateway, Reference: c.Payment}}, nil
}

func cancelPayout(p *Payment, c CancelPayout) ([]Event, error) {
	if err := p.mustBe(KindPayout); err != nil {
		return nil, err
	}
	switch {
	case p.Status != Pending:
		return nil, domain.Errorf(domain.Stale, "payout %s is %s", p.Payment, p.Status)
	case p.Attempts > 0:
		return nil, domain.Errorf(domain.Stale, "payout %s has been sent to a bank", p.Payment)
	}
	if err := bounded("reason", c.Reason, MaxReason); err != nil {
		return nil, err
	}
	reason := c.Reason
	if reason == "" {
		reason = FailureCancelled
	}
	return []Event{&PayoutFailed{Of: c.Of, Priced: p.Priced, Reason: reason, Batch: p.Batch}}, nil
}

// reportPayout takes a definite answer. The table of the package's documentation says what becomes of it.
func reportPayout(w *Wallet, p *Payment, c ReportPayout) ([]Event, error) {
	if err := p.mustBe(KindPayout); err != nil {
		return nil, err
	}
	if c.Gateway == "" {
		c.Gateway = p.Gateway // an operator's word is about the gateway that has it
	}
	if err := gatewayNamed(c.Gateway); err != nil {
		return nil, err
	}
	r := report{w, p, c}
	switch c.Outcome {
	case OutcomePaid:
		return r.paid(), nil
	case OutcomeFailed:
		return r.failed()
	case OutcomeReturned:
		if c.ReturnReference == "" {
			return nil, domain.InvalidField("return_reference", "is missing")
		}
		return r.returned(), nil
	}
	return nil, domain.InvalidField("outcome", fmt.Sprintf("%q is not known", string(c.Outcome)))
}

// report is one answer about one payout.
type report struct {
	w *Wallet
	p *Payment
	c ReportPayout
}

func (r report) paid() []Event {
	p := r.p
	switch {
	case p.Status == Pending && p.Attempts == 0:
		return []Event{r.succeeded(), r.anomaly("paid, but never sent")}
	case p.Status == Pending:
		return []Event{r.succeeded()}
	case p.Status == Success || p.Returned():
		if r.samePayment() {
			return r.noted()
		}
		return r.anomalyAlone(fmt.Sprintf("paid again: %s UTR %q after %s UTR %q", r.c.Gateway, r.c.UTR, p.Gateway, p.UTR))
	}
	return []Event{r.paidAfterRefund(), r.anomaly("paid, but given back to the merchant before")}
}

func (r report) failed() ([]Event, error) {
	p := r.p
	switch {
	case p.Status == Pending && p.Attempts == 0:
		return nil, domain.Errorf(domain.Stale, "payout %s was never sent", p.Payment)
	case p.Status == Pending && !r.hasIt():
		return r.noted(), nil
	case p.Status == Pending:
		return []Event{&PayoutRefunded{
			Of: r.c.Of, Priced: p.Priced, Gateway: r.c.Gateway, Reason: Reason(r.c.Reason), Actor: r.c.Actor, Batch: p.Batch,
		}}, nil
	case p.Status == Success && r.hasIt():
		return r.anomalyAlone("failed, but paid before"), nil
	}
	return r.noted(), nil
}

func (r report) returned() []Event {
	p := r.p
	switch {
	case p.Status == Pending && p.Attempts == 0:
		return []Event{r.succeeded(), r.back(), r.anomaly("paid and returned, but never sent")}
	case p.Status == Pending:
		return []Event{r.succeeded(), r.back()}
	case p.Status == Success && r.c.Gateway == p.Gateway:
		return []Event{r.back()}
	case p.Returned() && p.ReturnReference == r.c.ReturnReference && r.c.Gateway == p.Gateway:
		return r.noted()
	case p.Status == Success || p.Returned():
		return r.anomalyAlone(fmt.Sprintf("returned by %s with %q, but paid by %s and returned with %q",
			r.c.Gateway, r.c.ReturnReference, p.Gateway, p.ReturnReference))
	}
	return r.anomalyAlone("returned, but never known as paid")
}

// hasIt reports whether the answer comes from the gateway that was sent the payout last, or that paid it. That an earlier
// one did not pay proves nothing about the one that has it now. An operator's word is taken.
func (r report) hasIt() bool { return r.c.Actor != "" || r.c.Gateway == r.p.Gateway }

// samePayment reports whether a paid answer repeats the payment that is known, as far as can be told.
func (r report) samePayment() bool {
	return r.c.Gateway == r.p.Gateway && (r.c.UTR == "" || r.p.UTR == "" || r.c.UTR == r.p.UTR)
}

func (r report) succeeded() Event {
	c := r.c
	return &PayoutSucceeded{
		Of: c.Of, Priced: r.p.Priced, Gateway: c.Gateway, UTR: c.UTR, BankReference: c.BankReference, Actor: c.Actor, Batch: r.p.Batch,
	}
}

func (r report) back() Event {
	c := r.c
	return &PayoutReturned{
		Of: c.Of, Priced: r.p.Priced, Gateway: c.Gateway, ReturnReference: c.ReturnReference, Reason: Reason(c.Reason), Actor: c.Actor,
		Batch: r.p.Batch,
	}
}

// paidAfterRefund takes what there is, and books the rest as owed.
func (r report) paidAfterRefund() Event {
	gross := r.p.Gross()
	taken := r.w.Available.Min(gross)
	return &PayoutPaidAfterRefund{
		Of: r.c.Of, Priced: r.p.Priced, Taken: taken, Owed: gross.Sub(taken), Gateway: r.c.Gateway, UTR: r.c.UTR,
		BankReference: r.c.BankReference, Actor: r.c.Actor, Batch: r.p.Batch,
	}
}

func (r report) anomaly(detail string) Event {
	return &PayoutAnomaly{Of: r.c.Of, Gateway: r.c.Gateway, Status: string(r.p.Status), Claim: string(r.c.Outcome), Detail: detail}
}

// anomalyAlone is an anomaly of an answer that moves nothing: bounded.
func (r report) anomalyAlone(detail string) []Event {
	if r.p.Notes >= MaxAnomalies {
		return nil
	}
	return []Event{r.anomaly(detail)}
}

func (r report) noted() []Event {
	if r.p.Notes >= MaxNotes {
		return nil
	}
	return []Event{&PayoutNoted{Of: r.c.Of, Gateway: r.c.Gateway, Claim: string(r.c.Outcome), UTR: r.c.UTR}}
}
