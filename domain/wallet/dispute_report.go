package wallet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
)

// reportDispute believes what a gateway says of a dispute as far as it goes on from what is known. What repeats it, or comes
// late from an earlier phase, is noted; what contradicts it is noted as an anomaly, for a person to look at, and moves nothing. So is hearsay that would
// let money go.
func reportDispute(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	switch {
	case strings.TrimSpace(c.Case) == "":
		return nil, domain.InvalidField("case", "is missing")
	case c.Phase.rank() < 0:
		return nil, domain.InvalidField("phase", fmt.Sprintf("%q is none of %s", string(c.Phase), oneOf(Phases())))
	}
	if err := lineOf("case", c.Case, MaxName); err != nil {
		return nil, err
	}
	if c.Amount.Currency() != w.Currency || c.Amount.Sign() < 0 || c.Amount.IsZero() && c.Status != string(SettleReversed) {
		return nil, domain.InvalidField("amount", "must be more than zero of the wallet's currency")
	}
	if !slices.Contains(reportable(), c.Status) {
		return nil, domain.InvalidField("status", fmt.Sprintf("%q is none of %s", c.Status, oneOf(reportable())))
	}
	if c.Fee.Currency() != w.Currency || c.Fee.Sign() < 0 {
		return nil, domain.InvalidField("fee", "must be zero or more of the wallet's currency")
	}
	events, err := believeDispute(w, p, c)
	if err == nil && c.Hearsay && slices.ContainsFunc(events, letsGo) {
		return noteDispute(p, c, true)
	}
	return events, err
}

// letsGo tells an event that gives back what a dispute holds or has taken, or ends the dispute.
func letsGo(e Event) bool {
	switch e := e.(type) {
	case *DisputeWon, *DisputeLost, *DisputeClosed, *DisputeReversed:
		return true
	case *DisputeEscalated:
		return e.Released.Sign() > 0
	}
	return false
}

// believeDispute is what a message causes whose gateway is believed.
func believeDispute(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	d, known := p.ofCase(c.Gateway, c.Case)
	if !known {
		if d, known = p.withoutCase(&c); known {
			return d.identify(w, p, c)
		}
		return reportFirst(w, p, c)
	}
	return d.reported(w, p, c)
}

// reportable are the statuses that a gateway may report.
func reportable() []string {
	return []string{
		string(DisputeOpen), string(DisputeReview), string(SettleWon), string(SettleLost), string(SettleClosed), string(SettleReversed),
	}
}

// withoutCase is the one running dispute that a person opened before the gateway told of it: of the same payment and amount, its case not known.
func (p *Payment) withoutCase(c *ReportDispute) (found Dispute, is bool) {
	paid, err := p.collectedBy(c.PaymentID)
	if err != nil {
		return Dispute{}, false
	}
	for _, d := range p.Disputes {
		if d.Case != "" || d.Gateway != c.Gateway || d.Suspense != paid.suspense || !d.Status.Running() || !d.Amount.Equal(c.Amount) {
			continue
		}
		if is { // which of them, only a person can tell
			return Dispute{}, false
		}
		found, is = d, true
	}
	return found, is
}

// identify notes which case a dispute is, and goes on with the message.
func (d *Dispute) identify(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	first := &DisputeUpdated{Of: c.Of, Dispute: d.ID, Case: c.Case, Status: d.Status, RespondBy: d.RespondBy}
	if c.Phase.rank() == d.Phase.rank() {
		first.update(&c)
		return goOn(w, p, c, first, d.ID)
	}
	payment := *p
	payment.Evolve(first, c.At)
	known, _ := payment.Dispute(d.ID)
	rest, err := known.reported(w, &payment, c)
	if err != nil {
		return nil, err
	}
	return append([]Event{first}, rest...), nil
}

// update takes over what the gateway says of a running dispute beside the money.
func (e *DisputeUpdated) update(c *ReportDispute) {
	if !c.RespondBy.IsZero() {
		e.RespondBy = c.RespondBy.UTC().Truncate(time.Microsecond)
	}
	if c.Status == string(DisputeReview) {
		e.Status = DisputeReview
	}
}

// reported is what a message about a known case causes.
func (d *Dispute) reported(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	switch {
	case c.Phase.rank() < d.Phase.rank(): // whether an earlier loss is given back or this one, only a person can tell
		return noteDispute(p, c, c.Status == string(SettleReversed) && d.Status == DisputeIsLost)
	case c.Phase.rank() > d.Phase.rank() && c.Status != string(SettleReversed): // a loss is given back in whatever phase comes
		return d.reportLater(w, p, c)
	}
	return d.report(w, p, c)
}

// report is what a message of the same phase causes.
func (d *Dispute) report(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	running := d.Status.Running()
	note := func(anomaly bool) ([]Event, error) { return noteDispute(p, c, anomaly) }
	switch c.Status {
	case string(DisputeOpen), string(DisputeReview):
		e := &DisputeUpdated{Of: c.Of, Dispute: d.ID, Status: d.Status, RespondBy: d.RespondBy}
		e.update(&c)
		switch {
		case running && !c.Amount.Equal(d.Amount):
			return note(true)
		case running && (e.Status != d.Status || !e.RespondBy.Equal(d.RespondBy)):
			return []Event{e}, nil
		}
		return note(false) // a repeat, or one that was overtaken by its end
	case string(SettleWon):
		if running {
			return []Event{&DisputeWon{Of: c.Of, Dispute: d.ID, Released: d.Held, Reason: c.because()}}, nil
		}
		return note(d.Status != DisputeIsWon)
	case string(SettleClosed):
		if running {
			return []Event{&DisputeClosed{Of: c.Of, Dispute: d.ID, Released: d.Held, Reason: c.because()}}, nil
		}
		return note(d.Status != DisputeEnded)
	case string(SettleLost):
		switch {
		case running && c.Amount.Cmp(d.Amount) > 0: // more than was claimed
			return note(true)
		case running:
			e, err := d.lose(w, p, c.Of, c.Amount, c.Fee, c.because())
			if domain.CodeOf(err) == domain.Invalid { // a fee that no gateway charges, a part of what waits in suspense
				return note(true)
			}
			return one(e, err)
		}
		return note(d.Status != DisputeIsLost)
	case string(SettleReversed):
		switch {
		case d.Status == DisputeIsWon && d.Fee.IsZero():
			return note(false)
		default:
			e, err := d.reverse(c.Of, c.Amount, c.Fee, c.because())
			if domain.CodeOf(err) != "" {
				return note(d.Status != DisputeIsWon)
			}
			return one(e, err)
		}
	}
	return nil, fmt.Errorf("wallet: a gateway's status %q was not checked", c.Status)
}

// because is the reason that the gateway gives, of the closed list.
func (c *ReportDispute) because() string { return DisputeReason(c.Reason) }

// one is an event, or why there is none.
func one[E Event](e E, err error) ([]Event, error) {
	if err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

// reportFirst opens a dispute, and ends it when the message says that too: those before it were lost on the way.
func reportFirst(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	if c.Status == string(SettleReversed) { // of a loss that was never heard of: nothing says what it was
		return noteDispute(p, c, true)
	}
	opened := claim{c.Dispute, c.Case, c.Gateway, c.PaymentID, c.Phase, c.because(), c.Amount, c.RespondBy, c.Unheld && c.Phase.inquiry(), ""}
	if opened.respondBy.IsZero() {
		opened.respondBy = c.At // it is over, or the gateway does not say until when: then it is listed as overdue, and held all the same
	}
	if paid, err := p.collectedBy(c.PaymentID); err == nil && c.Amount.Cmp(p.disputable(paid, "")) > 0 {
		return noteDispute(p, c, true)
	}
	e, err := opened.begin(w, p, c.Of)
	if err != nil {
		return nil, err
	}
	return goOn(w, p, c, e, e.Dispute)
}

// reportLater takes a dispute to a later phase, and ends it when the message says that too.
func (d *Dispute) reportLater(w *Wallet, p *Payment, c ReportDispute) ([]Event, error) {
	if d.Status == DisputeIsLost {
		return noteDispute(p, c, true)
	}
	e := &DisputeEscalated{Of: c.Of, Phase: c.Phase, Reason: c.because(), Amount: c.Amount, RespondBy: c.RespondBy}
	if e.RespondBy.IsZero() {
		e.RespondBy = c.At
	}
	if c.Status == string(SettleLost) && c.Amount.Cmp(d.Amount) < 0 { // a part of the claim is lost
		e.Amount = d.Amount
	}
	e, err := d.escalate(w, p, e)
	if domain.CodeOf(err) != "" {
		return noteDispute(p, c, true)
	}
	if err != nil {
		return nil, err
	}
	return goOn(w, p, c, e, d.ID)
}

// goOn decides the rest of a message behind its first event.
func goOn(w *Wallet, p *Payment, c ReportDispute, first Event, id string) ([]Event, error) {
	_, updated := first.(*DisputeUpdated)
	if c.Status == string(DisputeOpen) || c.Status == string(DisputeReview) && updated {
		return []Event{first}, nil
	}
	after, payment := *w, *p
	after.Evolve(first)
	payment.Evolve(first, c.At)
	d, _ := payment.Dispute(id)
	rest, err := d.report(&after, &payment, c)
	if err != nil {
		return nil, err
	}
	return append([]Event{first}, rest...), nil
}

// noteDispute keeps a message that changes nothing.
func noteDispute(p *Payment, c ReportDispute, anomaly bool) ([]Event, error) {
	limit := MaxNotes
	if anomaly {
		limit = MaxAnomalies
	}
	if p.Notes >= limit {
		return nil, nil
	}
	claim := fmt.Sprintf("dispute %s: %s, %s of %s", c.Case, c.Phase, c.Status, c.Amount.Fixed())
	return []Event{&PayinNoted{Of: c.Of, Gateway: c.Gateway, Claim: claim, Anomaly: anomaly}}, nil
}
