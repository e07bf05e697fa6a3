package wallet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Dispute is a claim of the customer's bank on a payin that was paid: what of it is held, until the claim is won or lost.
type Dispute struct {
	ID        string        `json:"id"`             // dsp_...
	Case      string        `json:"case,omitempty"` // the gateway's own id of it; "" when it was opened by hand without one
	Gateway   string        `json:"gateway"`
	PaymentID string        `json:"payment_id,omitempty"` // the gateway's own id of the payment that is claimed back
	Suspense  string        `json:"suspense,omitempty"`   // id of its suspense entry; "" is the payment that the payin succeeded by
	Phase     Phase         `json:"phase"`
	Reason    string        `json:"reason"`
	Status    DisputeStatus `json:"status"`
	Amount    money.Amount  `json:"amount"`             // that is claimed
	Held      money.Amount  `json:"held"`               // of it, in the wallet's locked balance
	Lost      money.Amount  `json:"lost"`               // that went back to the customer, and was not given back since
	Fee       money.Amount  `json:"fee"`                // of the gateway, charged with the loss, and not given back since
	RespondBy time.Time     `json:"respond_by"`         // when the evidence must be with the gateway
	Documents int           `json:"documents"`          // of evidence
	Bytes     int           `json:"bytes"`              // of all documents together
	At        time.Time     `json:"at"`                 // value date of its last event
	Platform  bool          `json:"platform,omitempty"` // it was lost out of suspense: nothing of it was the merchant's
}

// DisputeStatus is a dispute's state.
type DisputeStatus string

// The states: open -> under_review -> won | lost | closed; won | closed -> open (escalated); lost -> won (reversed).
const (
	DisputeOpen   DisputeStatus = "open"
	DisputeReview DisputeStatus = "under_review" // the evidence is with the gateway
	DisputeIsWon  DisputeStatus = "won"          // the hold was released, or the loss given back
	DisputeIsLost DisputeStatus = "lost"         // the claim was debited, with the fee
	DisputeEnded  DisputeStatus = "closed"       // withdrawn, without an outcome; the hold was released
)

// Running tells whether the dispute waits for its outcome.
func (s DisputeStatus) Running() bool { return s == DisputeOpen || s == DisputeReview }

// Phase is how far the customer's bank has taken a dispute.
type Phase string

// The phases.
const (
	PhaseFraud          Phase = "fraud"     // a report, before any claim
	PhaseRetrieval      Phase = "retrieval" // a request for information, before any claim
	PhaseChargeback     Phase = "chargeback"
	PhasePreArbitration Phase = "pre_arbitration"
	PhaseArbitration    Phase = "arbitration"
)

// Phases lists the phases in their order.
func Phases() []Phase {
	return []Phase{PhaseFraud, PhaseRetrieval, PhaseChargeback, PhasePreArbitration, PhaseArbitration}
}

// rank orders the phases; the two before a claim stand beside each other. -1 is not a phase.
func (p Phase) rank() int {
	if p.inquiry() {
		return 0
	}
	return slices.Index(Phases(), p)
}

// inquiry tells whether the phase asks, and claims nothing yet.
func (p Phase) inquiry() bool { return p == PhaseFraud || p == PhaseRetrieval }

// EvidenceKinds lists what a document of evidence can be.
func EvidenceKinds() []string {
	return []string{
		"billing_proof", "proof_of_service", "shipping_proof", "customer_communication", "refund_confirmation",
		"cancellation_proof", "access_log", "terms", "explanation_letter", "other",
	}
}

// Bounds of disputes.
const (
	MaxDisputes  = 20 // of a payment
	MaxDocuments = 50 // of a dispute
	MaxName      = 200
	// MaxDocumentBytes bounds the documents of all disputes of a payment together, so that a pack of the payment holds them.
	MaxDocumentBytes = 40 << 20
)

// Dispute returns a dispute of the payment.
func (p *Payment) Dispute(id string) (Dispute, bool) {
	if i := slices.IndexFunc(p.Disputes, func(d Dispute) bool { return d.ID == id }); i >= 0 {
		return p.Disputes[i], true
	}
	return Dispute{}, false
}

// ofCase returns the dispute that a gateway knows by its own id.
func (p *Payment) ofCase(gateway, id string) (Dispute, bool) {
	i := slices.IndexFunc(p.Disputes, func(d Dispute) bool { return d.Gateway == gateway && d.Case == id })
	if i < 0 || id == "" {
		return Dispute{}, false
	}
	return p.Disputes[i], true
}

// collected is one of the payments that customers have made for a payin.
type collected struct {
	suspense string // its entry in suspense; "" is the payment that the payin succeeded by
	gateway  string
	amount   money.Amount
	waits    bool // in suspense: it is not the merchant's, or not yet
}

// collection is what a dispute is about. False when there is no such payment, or it went back to the customer.
func (p *Payment) collection(suspense string) (collected, bool) {
	if suspense == "" {
		return collected{"", p.Gateway, p.Amount, false}, p.Status == Success
	}
	s, there := p.Suspense[suspense]
	if !there {
		return collected{}, false
	}
	return collected{s.ID, s.Gateway, s.Amount, s.Open}, s.Open || s.Credited
}

// collectedBy finds the payment that somebody disputes by the gateway's id of it. Without an id it is the one that the payin succeeded by; of a
// payin that did not succeed, the only one that there is.
func (p *Payment) collectedBy(paymentID string) (collected, error) {
	var found []collected
	for _, id := range append([]string{""}, slices.Sorted(maps.Keys(p.Suspense))...) {
		known := p.PaymentID
		if id != "" {
			known = p.Suspense[id].PaymentID
		}
		c, there := p.collection(id)
		switch {
		case paymentID != "" && known == paymentID && !there:
			return c, domain.Errorf(domain.Stale, "payment %s of payin %s was sent back already", paymentID, p.Payment)
		case there && (paymentID == "" || known == paymentID):
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 1 || len(found) > 1 && found[0].suspense == "":
		return found[0], nil
	case len(found) > 1:
		return collected{}, domain.InvalidField("payment_id", fmt.Sprintf("is required: payin %s has %d payments", p.Payment, len(found)))
	case paymentID != "":
		return collected{}, domain.Errorf(domain.Stale, "payin %s has no payment %s", p.Payment, paymentID)
	}
	return collected{}, domain.Errorf(domain.Stale, "payin %s is %s: only one that was paid can be disputed", p.Payment, p.Status)
}

// claimedBy is the running dispute of an entry in suspense.
func (p *Payment) claimedBy(suspense string) (Dispute, bool) {
	i := slices.IndexFunc(p.Disputes, func(d Dispute) bool { return d.Suspense == suspense && d.Status.Running() })
	if i < 0 {
		return Dispute{}, false
	}
	return p.Disputes[i], true
}

// disputable is what of a payment no other dispute claims or has lost.
func (p *Payment) disputable(of collected, but string) money.Amount {
	left := of.amount
	for _, d := range p.Disputes {
		switch {
		case d.ID == but || d.Suspense != of.suspense:
		case d.Status.Running():
			left = left.Sub(d.Amount)
		default:
			left = left.Sub(d.Lost)
		}
	}
	return left
}

// DisputeOpened begins a dispute, and holds what it claims: what available does not cover is owed. Of an inquiry that holds
// nothing, and of money in suspense, which waits there, Taken and Owed are zero.
type DisputeOpened struct {
	Of
	Dispute   string       `json:"dispute"`
	Case      string       `json:"case,omitempty"`
	Gateway   string       `json:"gateway"`
	PaymentID string       `json:"payment_id,omitempty"` // the gateway's own id of the payment that is claimed back
	Suspense  string       `json:"suspense,omitempty"`   // its entry, if it went to suspense
	Phase     Phase        `json:"phase"`
	Reason    string       `json:"reason"`
	Amount    money.Amount `json:"amount"`
	Taken     money.Amount `json:"taken"` // from available; taken + owed is held
	Owed      money.Amount `json:"owed"`
	RespondBy time.Time    `json:"respond_by"`
	Actor     string       `json:"actor,omitempty"` // of one that was opened by hand
}

// DisputeEscalated takes a dispute to its next phase, in which it may claim another amount, and holds exactly that.
type DisputeEscalated struct {
	Of
	Dispute   string       `json:"dispute"`
	Phase     Phase        `json:"phase"`
	Reason    string       `json:"reason"`
	Amount    money.Amount `json:"amount"`   // that is claimed from now on
	Taken     money.Amount `json:"taken"`    // what was not held
	Owed      money.Amount `json:"owed"`     // the part of that which available does not cover
	Released  money.Amount `json:"released"` // what was held and is not claimed any more
	RespondBy time.Time    `json:"respond_by"`
	Actor     string       `json:"actor,omitempty"`
}

// DisputeUpdated says something new of a dispute that moves nothing.
type DisputeUpdated struct {
	Of
	Dispute   string        `json:"dispute"`
	Case      string        `json:"case,omitempty"`   // the gateway's own id of it, which was not known
	Status    DisputeStatus `json:"status"`           // open or under_review
	RespondBy time.Time     `json:"respond_by"`       // the deadline as it is now
	Reason    string        `json:"reason,omitempty"` // why
}

// DisputeEvidence attaches a document, which is kept sealed with the record, as its name is.
type DisputeEvidence struct {
	Of
	Dispute   string `json:"dispute"`
	Kind      string `json:"kind"`
	Digest    string `json:"digest,omitempty"`    // SHA-256 of the document, in hexadecimal; "" when only Note says something
	Size      int    `json:"size,omitempty"`      // of the document, in bytes
	Note      string `json:"note,omitempty"`      // what a person says of it
	Submitted bool   `json:"submitted,omitempty"` // the evidence is complete, and with the gateway
	Actor     string `json:"actor"`
}

// DisputeWon ends a dispute for the merchant: what was held is released.
type DisputeWon struct {
	Of
	Dispute  string       `json:"dispute"`
	Released money.Amount `json:"released"`
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor,omitempty"`
}

// DisputeLost ends a dispute for the customer: Amount goes back through the gateway, which charges Fee. Both come from the
// hold first, then from available, and the rest is owed: from_hold + taken + owed = amount + fee. What waits in suspense is lost
// from there, and its fee is the platform's: nothing of it was the merchant's.
type DisputeLost struct {
	Of
	Dispute  string       `json:"dispute"`
	Gateway  string       `json:"gateway"`
	Amount   money.Amount `json:"amount"`
	Fee      money.Amount `json:"fee"`
	FromHold money.Amount `json:"from_hold"`
	Released money.Amount `json:"released"` // the rest of the hold
	Taken    money.Amount `json:"taken"`
	Owed     money.Amount `json:"owed"`
	Suspense string       `json:"suspense,omitempty"` // the entry that pays
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor,omitempty"`
}

// DisputeReversed gives back what a lost dispute has cost. Once all of the loss is back, it is won.
type DisputeReversed struct {
	Of
	Dispute  string       `json:"dispute"`
	Gateway  string       `json:"gateway"`
	Amount   money.Amount `json:"amount"`
	Fee      money.Amount `json:"fee"`
	Suspense string       `json:"suspense,omitempty"` // the entry that it was lost from, which is open again
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor,omitempty"`
}

// DisputeClosed ends a dispute without an outcome: what was held is released.
type DisputeClosed struct {
	Of
	Dispute  string       `json:"dispute"`
	Released money.Amount `json:"released"`
	Reason   string       `json:"reason"`
	Actor    string       `json:"actor,omitempty"`
}

// DisputeOf is the id of the dispute that an event is about; "" of any other event.
func DisputeOf(e Event) string {
	switch e := e.(type) {
	case *DisputeOpened:
		return e.Dispute
	case *DisputeEscalated:
		return e.Dispute
	case *DisputeUpdated:
		return e.Dispute
	case *DisputeEvidence:
		return e.Dispute
	case *DisputeWon:
		return e.Dispute
	case *DisputeLost:
		return e.Dispute
	case *DisputeReversed:
		return e.Dispute
	case *DisputeClosed:
		return e.Dispute
	}
	return ""
}

// Evolve brings the dispute behind an event of it; at is the event's value date. It cannot fail, not even where the event that opened the dispute is missing: packs and copies of a
// log come from strangers.
func (d *Dispute) Evolve(e Event, at time.Time) {
	if d.ID == "" {
		zero := money.Zero(e.Header().Currency)
		d.ID, d.Amount, d.Held, d.Lost, d.Fee = DisputeOf(e), zero, zero, zero, zero
	}
	switch e := e.(type) {
	case *DisputeOpened:
		zero := money.Zero(e.Amount.Currency())
		*d = Dispute{
			ID: e.Dispute, Case: e.Case, Gateway: e.Gateway, PaymentID: e.PaymentID, Suspense: e.Suspense, Phase: e.Phase, Reason: e.Reason,
			Status: DisputeOpen, Amount: e.Amount, Held: e.Taken.Add(e.Owed), Lost: zero, Fee: zero, RespondBy: e.RespondBy,
		}
	case *DisputeEscalated:
		d.Status, d.Phase, d.Reason, d.RespondBy = DisputeOpen, e.Phase, e.Reason, e.RespondBy
		d.Amount, d.Held = e.Amount, d.Held.Add(e.Taken).Add(e.Owed).Sub(e.Released)
	case *DisputeUpdated:
		d.Status, d.RespondBy = e.Status, e.RespondBy
		if e.Case != "" {
			d.Case = e.Case
		}
	case *DisputeEvidence:
		d.Documents++
		d.Bytes += e.Size
		if e.Submitted {
			d.Status = DisputeReview
		}
	case *DisputeWon:
		d.Status, d.Held = DisputeIsWon, d.Held.Sub(e.Released)
	case *DisputeLost:
		d.Status, d.Held = DisputeIsLost, d.Held.Sub(e.FromHold).Sub(e.Released)
		d.Lost, d.Fee, d.Platform = e.Amount, e.Fee, e.Suspense != "" // what is left of an earlier fee is not given back any more
	case *DisputeReversed:
		if d.Lost, d.Fee = d.Lost.Sub(e.Amount), d.Fee.Sub(e.Fee); d.Lost.IsZero() && d.Status == DisputeIsLost {
			d.Status = DisputeIsWon
		}
	case *DisputeClosed:
		d.Status, d.Held = DisputeEnded, d.Held.Sub(e.Released)
	}
	d.At = at
}

// evolveDispute brings the payment's disputes behind an event, in a copy of the list.
func (p *Payment) evolveDispute(e Event, at time.Time) {
	id := DisputeOf(e)
	if id == "" {
		return
	}
	switch e := e.(type) {
	case *DisputeLost:
		p.settle(e.Suspense, false)
	case *DisputeReversed:
		if s, there := p.Suspense[e.Suspense]; there && e.Amount.Sign() > 0 { // else the fee alone comes back
			open := *s
			open.Open = true
			p.keep(open)
		}
	}
	p.Disputes = slices.Clone(p.Disputes)
	i := slices.IndexFunc(p.Disputes, func(d Dispute) bool { return d.ID == id })
	if i < 0 {
		i, p.Disputes = len(p.Disputes), append(p.Disputes, Dispute{})
	}
	p.Disputes[i].Evolve(e, at)
}

// evolveDispute brings the wallet behind an event of a dispute.
func (w *Wallet) evolveDispute(e Event) {
	switch e := e.(type) {
	case *DisputeOpened:
		w.withhold(e.Taken, e.Owed)
	case *DisputeEscalated:
		w.withhold(e.Taken, e.Owed)
		w.lock(e.Released.Neg())
	case *DisputeWon:
		w.lock(e.Released.Neg())
	case *DisputeClosed:
		w.lock(e.Released.Neg())
	case *DisputeLost:
		w.Locked = w.Locked.Sub(e.FromHold).Sub(e.Released)
		w.Available = w.Available.Add(e.Released).Sub(e.Taken)
		w.Owed = w.Owed.Add(e.Owed)
	case *DisputeReversed:
		if e.Suspense == "" {
			w.Available = w.Available.Add(e.Amount).Add(e.Fee)
		}
	}
}

// withhold locks what is taken from available, and what the merchant owes for the lock.
func (w *Wallet) withhold(taken, owed money.Amount) {
	w.lock(taken)
	w.Locked = w.Locked.Add(owed)
	w.Owed = w.Owed.Add(owed)
}
