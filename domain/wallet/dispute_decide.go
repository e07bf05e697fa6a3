package wallet

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// OpenDispute begins a dispute by hand.
type OpenDispute struct {
	Base
	Dispute   string // its id, dsp_...
	Case      string // the gateway's own id of it, if it is known
	PaymentID string // the gateway's own id of the payment that is claimed back; "" is the one that the payin succeeded by
	Phase     Phase
	Reason    string
	Amount    money.Amount // that is claimed
	RespondBy time.Time
	Unheld    bool // of an inquiry: nothing is held
	Actor     string
}

// EscalateDispute takes a dispute that is not lost to a later phase.
type EscalateDispute struct {
	Base
	Dispute   string
	Phase     Phase
	Reason    string
	Amount    money.Amount // that is claimed from now on; zero is what was claimed
	RespondBy time.Time
	Actor     string
}

// AttachEvidence keeps a document with a running dispute.
type AttachEvidence struct {
	Base
	Dispute   string
	Kind      string // one of EvidenceKinds
	Digest    string // SHA-256 of the document, in hexadecimal; "" without one
	Size      int    // of the document, in bytes
	Note      string
	Submitted bool // the evidence is complete, and with the gateway
	Actor     string
}

// SettleDispute says how a dispute has ended.
type SettleDispute struct {
	Base
	Dispute string
	Outcome Settlement
	Amount  money.Amount // of SettleLost: what is lost, up to the claim; of SettleReversed: what comes back, up to the loss
	Fee     money.Amount // of the gateway: charged with a loss, or given back
	Reason  string
	Actor   string
}

// Settlement is how a dispute has ended.
type Settlement string

// The ends of a dispute.
const (
	SettleWon      Settlement = "won"
	SettleLost     Settlement = "lost"
	SettleClosed   Settlement = "closed"   // withdrawn, without an outcome
	SettleReversed Settlement = "reversed" // a loss is given back
)

// ReportDispute is what a gateway says of a dispute, as it stands there.
type ReportDispute struct {
	Base
	Gateway   string
	Case      string // the gateway's own id of it
	Dispute   string // the id that it gets, if it is new
	PaymentID string // the gateway's own id of the payment that is claimed back; "" when it does not say
	Phase     Phase
	Reason    string
	Status    string       // a DisputeStatus, or SettleReversed
	Amount    money.Amount // that is claimed; with "lost", what is lost
	Fee       money.Amount
	RespondBy time.Time
	Unheld    bool
	Hearsay   bool   // nobody but who can have written it himself says so: it may hold money, and lets none go
	Message   string // digest of the raw message; repeats of it change nothing
}

// Creates is false for all: a dispute is of a payment that exists.
func (OpenDispute) Creates() bool     { return false }
func (EscalateDispute) Creates() bool { return false }
func (AttachEvidence) Creates() bool  { return false }
func (SettleDispute) Creates() bool   { return false }
func (ReportDispute) Creates() bool   { return false }

// Keys of the commands of disputes: see Command.
func (OpenDispute) Keys() []string     { return nil }
func (EscalateDispute) Keys() []string { return nil }
func (AttachEvidence) Keys() []string  { return nil }
func (SettleDispute) Keys() []string   { return nil }
func (c ReportDispute) Keys() []string { return messageKeys(c.Payment, c.Message) }

// disputed decides the commands of disputes.
func disputed(w *Wallet, p *Payment, c Command) ([]Event, error) {
	switch c := c.(type) {
	case OpenDispute:
		return openDispute(w, p, c)
	case EscalateDispute:
		return escalateDispute(w, p, c)
	case AttachEvidence:
		return attachEvidence(p, c)
	case SettleDispute:
		return settleDispute(w, p, c)
	case ReportDispute:
		return reportDispute(w, p, c)
	}
	return nil, fmt.Errorf("wallet: command %T is not known", c)
}

// claim is what a dispute begins with, whoever opens it.
type claim struct {
	id, caseID, gateway string
	paymentID           string
	phase               Phase
	reason              string
	amount              money.Amount
	respondBy           time.Time
	unheld              bool
	actor               string
}

// begin opens a dispute.
func (c *claim) begin(w *Wallet, p *Payment, of Of) (*DisputeOpened, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	paid, err := p.collectedBy(c.paymentID)
	if err != nil {
		return nil, err
	}
	if c.gateway == "" {
		c.gateway = paid.gateway
	}
	if err := c.check(p, paid, w.Currency); err != nil {
		return nil, err
	}
	e := &DisputeOpened{
		Of: of, Dispute: c.id, Case: c.caseID, Gateway: c.gateway, PaymentID: c.paymentID, Suspense: paid.suspense, Phase: c.phase, Reason: c.reason, Amount: c.amount,
		Taken: money.Zero(w.Currency), Owed: money.Zero(w.Currency), RespondBy: c.respondBy.UTC().Truncate(time.Microsecond), Actor: c.actor,
	}
	if !c.unheld && !paid.waits {
		e.Taken, e.Owed = w.cover(c.amount)
	}
	return e, nil
}

// cover divides an amount into what available covers, and what is owed.
func (w *Wallet) cover(a money.Amount) (taken, owed money.Amount) {
	taken = a.Min(w.Available)
	return taken, a.Sub(taken)
}

func (c *claim) check(p *Payment, paid collected, currency money.Currency) error {
	_, taken := p.Dispute(c.id)
	known, again := p.ofCase(c.gateway, c.caseID)
	switch {
	case c.id == "":
		return domain.InvalidField("dispute", "is missing")
	case taken:
		return domain.Errorf(domain.Stale, "dispute %s exists", c.id)
	case again:
		return domain.Errorf(domain.Stale, "case %s is dispute %s already", c.caseID, known.ID)
	case len(p.Disputes) >= MaxDisputes:
		return domain.Errorf(domain.Stale, "payin %s has %d disputes", p.Payment, len(p.Disputes))
	case c.gateway != paid.gateway:
		return domain.InvalidField("gateway", fmt.Sprintf("%q did not collect the payment: %q did", c.gateway, paid.gateway))
	case c.phase.rank() < 0:
		return domain.InvalidField("phase", fmt.Sprintf("%q is none of %s", string(c.phase), oneOf(Phases())))
	case c.unheld && !c.phase.inquiry():
		return domain.InvalidField("phase", fmt.Sprintf("a claim in phase %s is held", c.phase))
	case strings.TrimSpace(c.reason) == "":
		return domain.InvalidField("reason", "is required")
	case c.respondBy.IsZero():
		return domain.InvalidField("respond_by", "is required")
	}
	if err := positive(c.amount, currency); err != nil {
		return err
	}
	if left := p.disputable(paid, ""); c.amount.Cmp(left) > 0 {
		return tooMuch(c.amount, left)
	}
	if err := lineOf("payment_id", c.paymentID, MaxName); err != nil {
		return err
	}
	if err := lineOf("case", c.caseID, MaxName); err != nil {
		return err
	}
	return lineOf("reason", c.reason, MaxReason)
}

func tooMuch(claimed, left money.Amount) error {
	return domain.InvalidField("amount", fmt.Sprintf("%s is more than the %s of the payment that no dispute claims", claimed.Fixed(), left.Fixed()))
}

// lineOf is bounded for a text of one line: it stands in tables and journals, and PostgreSQL keeps no zero byte.
func lineOf(field, s string, most int) error {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return domain.InvalidField(field, "must not contain control characters")
	}
	return bounded(field, s, most)
}

// oneOf lists the values that there are.
func oneOf[T ~string](all []T) string {
	var b strings.Builder
	for i, v := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}

func openDispute(w *Wallet, p *Payment, c OpenDispute) ([]Event, error) {
	if err := signed(c.Reason, c.Actor); err != nil {
		return nil, err
	}
	opened := claim{c.Dispute, c.Case, "", c.PaymentID, c.Phase, c.Reason, c.Amount, c.RespondBy, c.Unheld, c.Actor}
	e, err := opened.begin(w, p, c.Of)
	if err != nil {
		return nil, err
	}
	return []Event{e}, nil
}

// named finds the dispute that somebody acts on.
func (p *Payment) named(id, reason, actor string) (Dispute, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return Dispute{}, err
	}
	if err := signed(reason, actor); err != nil {
		return Dispute{}, err
	}
	if err := lineOf("reason", reason, MaxReason); err != nil {
		return Dispute{}, err
	}
	d, there := p.Dispute(id)
	if !there {
		return Dispute{}, domain.Errorf(domain.NotFound, "no dispute %s of payment %s", id, p.Payment)
	}
	return d, nil
}

func escalateDispute(w *Wallet, p *Payment, c EscalateDispute) ([]Event, error) {
	d, err := p.named(c.Dispute, c.Reason, c.Actor)
	if err != nil {
		return nil, err
	}
	switch {
	case d.Status == DisputeIsLost:
		return nil, domain.Errorf(domain.Stale, "dispute %s is lost: there is nothing left to hold", d.ID)
	case c.Phase.rank() < 0:
		return nil, domain.InvalidField("phase", fmt.Sprintf("%q is none of %s", string(c.Phase), oneOf(Phases())))
	case c.Phase.rank() <= d.Phase.rank():
		return nil, domain.InvalidField("phase", fmt.Sprintf("%s does not come after %s", c.Phase, d.Phase))
	case c.RespondBy.IsZero():
		return nil, domain.InvalidField("respond_by", "is required")
	}
	amount := c.Amount
	if amount.IsZero() {
		amount = d.Amount
	}
	e, err := d.escalate(w, p, &DisputeEscalated{Of: c.Of, Phase: c.Phase, Reason: c.Reason, Amount: amount, RespondBy: c.RespondBy, Actor: c.Actor})
	return one(e, err)
}

// escalate completes an escalation: exactly what is claimed from now on is held. Of a dispute that was won, another one may claim the money by now.
func (d *Dispute) escalate(w *Wallet, p *Payment, e *DisputeEscalated) (*DisputeEscalated, error) {
	if err := positive(e.Amount, w.Currency); err != nil {
		return nil, err
	}
	paid, there := p.collection(d.Suspense)
	if !there {
		return nil, domain.Errorf(domain.Stale, "the payment that dispute %s claims was sent back already", d.ID)
	}
	if left := p.disputable(paid, d.ID); e.Amount.Cmp(left) > 0 {
		return nil, tooMuch(e.Amount, left)
	}
	e.Dispute, e.RespondBy = d.ID, e.RespondBy.UTC().Truncate(time.Microsecond)
	e.Taken, e.Owed, e.Released = money.Zero(w.Currency), money.Zero(w.Currency), money.Zero(w.Currency)
	switch more := e.Amount.Sub(d.Held); {
	case paid.waits:
	case more.Sign() > 0:
		e.Taken, e.Owed = w.cover(more)
	default:
		e.Released = more.Neg()
	}
	return e, nil
}

func attachEvidence(p *Payment, c AttachEvidence) ([]Event, error) {
	d, err := p.named(c.Dispute, "evidence", c.Actor)
	if err != nil {
		return nil, err
	}
	switch {
	case !slices.Contains(EvidenceKinds(), c.Kind):
		return nil, domain.InvalidField("kind", fmt.Sprintf("%q is none of %s", c.Kind, oneOf(EvidenceKinds())))
	case !d.Status.Running():
		return nil, domain.Errorf(domain.Stale, "dispute %s is %s", d.ID, d.Status)
	case d.Documents >= MaxDocuments:
		return nil, domain.Errorf(domain.Stale, "dispute %s has %d documents", d.ID, d.Documents)
	case c.Digest == "" && strings.TrimSpace(c.Note) == "":
		return nil, domain.InvalidField("note", "is required without a document")
	case c.Size < 0 || c.Size > MaxDocumentBytes-p.documentBytes():
		return nil, domain.Errorf(domain.Stale, "payin %s has %d bytes of documents: there is room for %d", p.Payment, p.documentBytes(), MaxDocumentBytes-p.documentBytes())
	}
	if err := lineOf("note", c.Note, MaxReason); err != nil {
		return nil, err
	}
	return []Event{&DisputeEvidence{
		Of: c.Of, Dispute: d.ID, Kind: c.Kind, Digest: c.Digest, Size: c.Size, Note: c.Note, Submitted: c.Submitted, Actor: c.Actor,
	}}, nil
}

// documentBytes is how much the documents of all disputes have.
func (p *Payment) documentBytes() (n int) {
	for i := range p.Disputes {
		n += p.Disputes[i].Bytes
	}
	return n
}

func settleDispute(w *Wallet, p *Payment, c SettleDispute) ([]Event, error) {
	d, err := p.named(c.Dispute, c.Reason, c.Actor)
	if err != nil {
		return nil, err
	}
	if c.Outcome == SettleReversed {
		e, err := d.reverse(c.Of, c.Amount, c.Fee, c.Reason)
		if err != nil {
			return nil, err
		}
		e.Actor = c.Actor
		return []Event{e}, nil
	}
	if !d.Status.Running() {
		return nil, domain.Errorf(domain.Stale, "dispute %s is %s", d.ID, d.Status)
	}
	switch c.Outcome {
	case SettleWon:
		return []Event{&DisputeWon{Of: c.Of, Dispute: d.ID, Released: d.Held, Reason: c.Reason, Actor: c.Actor}}, nil
	case SettleClosed:
		return []Event{&DisputeClosed{Of: c.Of, Dispute: d.ID, Released: d.Held, Reason: c.Reason, Actor: c.Actor}}, nil
	case SettleLost:
		e, err := d.lose(w, p, c.Of, c.Amount, c.Fee, c.Reason)
		if err != nil {
			return nil, err
		}
		e.Actor = c.Actor
		return []Event{e}, nil
	case SettleReversed: // above
	}
	return nil, domain.InvalidField("outcome", fmt.Sprintf("%q is none of won, lost, closed, reversed", string(c.Outcome)))
}

// maxFee bounds a gateway's fee for a dispute, in minor units. A fee is not bounded by the claim, and what is owed must always fit 64 bits:
// the views could not go on behind an event that does not.
const maxFee = 1_000_000_000

// lose takes what is lost, with the fee, from the hold first.
func (d *Dispute) lose(w *Wallet, p *Payment, of Of, amount, fee money.Amount, reason string) (*DisputeLost, error) {
	if err := positive(amount, w.Currency); err != nil {
		return nil, err
	}
	switch {
	case amount.Cmp(d.Amount) > 0:
		return nil, domain.InvalidField("amount", fmt.Sprintf("%s is more than the claim of %s", amount.Fixed(), d.Amount.Fixed()))
	case fee.Currency() != w.Currency || fee.Sign() < 0:
		return nil, domain.InvalidField("fee", "must be zero or more of the wallet's currency")
	case fee.Cmp(money.FromMinor(maxFee, w.Currency)) > 0:
		return nil, domain.InvalidField("fee", fmt.Sprintf("%s is more than any gateway charges", fee.Fixed()))
	}
	if paid, _ := p.collection(d.Suspense); paid.waits {
		return d.loseFromSuspense(paid, of, amount, fee, reason)
	}
	cost := amount.Add(fee)
	held := cost.Min(d.Held)
	e := &DisputeLost{Of: of, Dispute: d.ID, Gateway: d.Gateway, Amount: amount, Fee: fee, FromHold: held, Released: d.Held.Sub(held), Reason: reason}
	e.Taken, e.Owed = w.cover(cost.Sub(held))
	return e, nil
}

// loseFromSuspense sends back what never was the merchant's. An entry is one payment, and goes as a whole.
func (d *Dispute) loseFromSuspense(paid collected, of Of, amount, fee money.Amount, reason string) (*DisputeLost, error) {
	if !amount.Equal(paid.amount) {
		return nil, domain.InvalidField("amount", fmt.Sprintf("must be the %s that wait in suspense: an entry is lost as a whole", paid.amount.Fixed()))
	}
	zero := money.Zero(amount.Currency())
	return &DisputeLost{
		Of: of, Dispute: d.ID, Gateway: d.Gateway, Amount: amount, Fee: fee, FromHold: zero, Released: zero, Taken: zero, Owed: zero,
		Suspense: paid.suspense, Reason: reason,
	}, nil
}

// reverse gives a loss back, or the fee of one that is back already.
func (d *Dispute) reverse(of Of, amount, fee money.Amount, reason string) (*DisputeReversed, error) {
	if d.Lost.IsZero() && d.Fee.IsZero() {
		return nil, domain.Errorf(domain.Stale, "dispute %s is %s: only a loss is reversed", d.ID, d.Status)
	}
	if amount.Currency() != d.Amount.Currency() || amount.Sign() < 0 || amount.IsZero() && fee.IsZero() {
		return nil, domain.InvalidField("amount", "must be more than zero")
	}
	switch {
	case d.Platform && !amount.Equal(d.Lost):
		return nil, domain.InvalidField("amount", fmt.Sprintf("must be the %s that were lost from suspense: an entry comes back as a whole", d.Lost.Fixed()))
	case amount.Cmp(d.Lost) > 0:
		return nil, domain.InvalidField("amount", fmt.Sprintf("%s is more than the loss of %s", amount.Fixed(), d.Lost.Fixed()))
	case fee.Currency() != d.Amount.Currency() || fee.Sign() < 0 || fee.Cmp(d.Fee) > 0:
		return nil, domain.InvalidField("fee", fmt.Sprintf("must be from zero to the %s that was charged", d.Fee.Fixed()))
	}
	e := &DisputeReversed{Of: of, Dispute: d.ID, Gateway: d.Gateway, Amount: amount, Fee: fee, Reason: reason}
	if d.Platform {
		e.Suspense = d.Suspense
	}
	return e, nil
}
