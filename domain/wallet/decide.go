package wallet

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// Decide says which events a command causes. It is pure: it changes neither w nor p, and gives the same answer for ever. No
// events and no error: the command changes nothing. A refusal is a *domain.Error; any other error is a fault of the
// caller. p is the payment that the command is about; nil or the zero value is one that does not exist.
//
// Whatever becomes available while the merchant owes something goes to the debt first, in the same decision: so owed > 0
// means that available is zero.
func Decide(w *Wallet, p *Payment, c Command) ([]Event, error) {
	if p == nil {
		p = &Payment{}
	}
	if _, looks := c.(Look); looks {
		return nil, nil
	}
	of := c.Target()
	if err := w.accepts(of); err != nil {
		return nil, err
	}
	exists := p.Kind != ""
	if exists && p.Payment != of.Payment {
		return nil, fmt.Errorf("wallet: command about %s was given payment %s", of.Payment, p.Payment)
	}
	switch {
	case c.Creates() && exists:
		return nil, domain.Errorf(domain.Stale, "payment %s exists", of.Payment)
	case !c.Creates() && (!exists || p.Of != of): // another merchant's is like one that does not exist
		return nil, notFound(of.Payment)
	}
	events, err := dispatch(w, p, c)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return w.recover(of, events), nil
}

func dispatch(w *Wallet, p *Payment, c Command) ([]Event, error) {
	switch c := c.(type) {
	case CreatePayin:
		return createPayin(w, c)
	case ReportPayment:
		return reportPayment(p, c)
	case ReportPayinFailure:
		return reportPayinFailure(p, c)
	case RoutePayin:
		return routePayin(p, c)
	case RecordOrder:
		return recordOrder(p, c)
	case RecordOrderFailure:
		return recordOrderFailure(p, c)
	case NotePayin:
		return notePayin(p, c)
	case ExpirePayin:
		return expirePayin(p, c)
	case CreditSuspense:
		return creditSuspense(p, c)
	case RefundSuspense:
		return refundSuspense(p, c)
	case InitiatePayout:
		return initiatePayout(w, c)
	case SubmitPayout:
		return submitPayout(p, c)
	case CancelPayout:
		return cancelPayout(p, c)
	case ReportPayout:
		return reportPayout(w, p, c)
	case AdjustWallet:
		return adjustWallet(w, c)
	case PlaceHold:
		return placeHold(w, c)
	case ReleaseHold:
		return releaseHold(p, c)
	case QueueBatch:
		return queueBatch(w, c)
	case HoldBatch:
		return holdBatch(w, c)
	case ReleaseBatch:
		return releaseBatch(w, c)
	}
	switch c.(type) {
	case RefundPayin, SubmitRefund, ReportRefund:
		return giveBack(w, p, c)
	}
	return disputed(w, p, c)
}

// accepts checks that a command is about this wallet.
func (w *Wallet) accepts(of Of) error {
	switch {
	case of.Merchant != w.Merchant:
		return fmt.Errorf("wallet: command about merchant %q reached the wallet of %q", of.Merchant, w.Merchant)
	case of.Currency != w.Currency:
		return domain.InvalidField("currency", fmt.Sprintf("%q is not the wallet's %q", string(of.Currency), string(w.Currency)))
	case of.Payment == "":
		return domain.InvalidField("payment", "is missing")
	}
	return nil
}

// recover appends what a merchant that owes gives back of what the events make available.
func (w *Wallet) recover(of Of, events []Event) []Event {
	if w.Owed.IsZero() && len(events) == 1 { // no event brings both a debt and something to pay it with
		return events
	}
	after := *w
	for _, e := range events {
		after.Evolve(e)
	}
	if back := after.Owed.Min(after.Available); back.Sign() > 0 {
		events = append(events, &WalletRecovered{Of: of, Amount: back})
	}
	return events
}

func (w *Wallet) covers(a money.Amount) error {
	if w.Available.Cmp(a) < 0 {
		return domain.Errorf(domain.InsufficientBalance, "Insufficient wallet balance")
	}
	return nil
}

func notFound(payment string) error {
	return domain.Errorf(domain.NotFound, "no payment %s", payment)
}

// mustBe refuses a payment of another kind as one that does not exist.
func (p *Payment) mustBe(k Kind) error {
	if p.Kind != k {
		return notFound(p.Payment)
	}
	return nil
}

// positive refuses an amount that is nothing, less, or of another currency.
func positive(a money.Amount, c money.Currency) error {
	switch {
	case a.Currency() != c:
		return domain.InvalidField("amount", fmt.Sprintf("is in %q, the wallet in %q", string(a.Currency()), string(c)))
	case a.Sign() <= 0:
		return domain.InvalidField("amount", "must be more than zero")
	}
	return possible(a)
}

// maxMinor bounds every amount that a command brings, in minor units: thousands of them fit 64 bits together, which is what the views hold. None
// could go on behind a balance that does not.
const maxMinor = 1_000_000_000_000_000

// possible refuses an amount that nobody has.
func possible(a money.Amount) error {
	most := money.FromMinor(maxMinor, a.Currency())
	if a.Cmp(most) > 0 || a.Cmp(most.Neg()) < 0 {
		return domain.InvalidField("amount", fmt.Sprintf("%s is more than %s", a.Fixed(), most.Fixed()))
	}
	return nil
}

// price checks an amount with its charge, and puts them together.
func price(amount money.Amount, charge fee.Charge, c money.Currency) (Priced, error) {
	if err := positive(amount, c); err != nil {
		return Priced{}, err
	}
	switch {
	case charge.Commission.Currency() != c || charge.Commission.Sign() < 0:
		return Priced{}, domain.InvalidField("commission", "must be zero or more of the wallet's currency")
	case charge.Tax.Currency() != c || charge.Tax.Sign() < 0 || charge.Tax.Cmp(charge.Commission) > 0:
		return Priced{}, domain.InvalidField("tax", "must be from zero to the commission, of the wallet's currency")
	}
	return Priced{Amount: amount, Commission: charge.Commission, Tax: charge.Tax, Fee: charge.Rule}, nil
}

// priceNet is price for what is credited less its commission.
func priceNet(amount money.Amount, charge fee.Charge, c money.Currency) (Priced, error) {
	p, err := price(amount, charge, c)
	if err != nil {
		return Priced{}, err
	}
	if p.Net().Sign() < 0 {
		return Priced{}, domain.InvalidField("amount", "is less than its commission of "+p.Commission.Fixed())
	}
	return p, nil
}

// Bounds of what people write by hand, in bytes.
const (
	MaxReason = 500
	MaxActor  = 200
)

// signed refuses an act by hand without a reason or without a name.
func signed(reason, actor string) error {
	switch {
	case strings.TrimSpace(reason) == "":
		return domain.InvalidField("reason", "is required")
	case strings.TrimSpace(actor) == "":
		return domain.InvalidField("actor", "is required")
	}
	if err := bounded("reason", reason, MaxReason); err != nil {
		return err
	}
	return bounded("actor", actor, MaxActor)
}

// bounded refuses text that is too long, or that JSON would change: then a replay would not give the same state.
func bounded(field, s string, most int) error {
	switch {
	case len(s) > most:
		return domain.InvalidField(field, fmt.Sprintf("is longer than %d bytes", most))
	case !utf8.ValidString(s):
		return domain.InvalidField(field, "is not UTF-8")
	}
	return nil
}

func adjustWallet(w *Wallet, c AdjustWallet) ([]Event, error) {
	if err := signed(c.Reason, c.Actor); err != nil {
		return nil, err
	}
	switch {
	case c.Amount.Currency() != w.Currency:
		return nil, positive(c.Amount, w.Currency)
	case c.Amount.IsZero():
		return nil, domain.InvalidField("amount", "must not be zero")
	case c.Amount.Sign() < 0:
		if err := w.covers(c.Amount.Neg()); err != nil {
			return nil, err
		}
	}
	if err := possible(c.Amount); err != nil {
		return nil, err
	}
	return []Event{&WalletAdjusted{Of: c.Of, Amount: c.Amount, Reason: c.Reason, Actor: c.Actor}}, nil
}

func placeHold(w *Wallet, c PlaceHold) ([]Event, error) {
	if err := signed(c.Reason, c.Actor); err != nil {
		return nil, err
	}
	if err := positive(c.Amount, w.Currency); err != nil {
		return nil, err
	}
	if err := w.covers(c.Amount); err != nil {
		return nil, err
	}
	return []Event{&WalletHeld{Of: c.Of, Amount: c.Amount, Reason: c.Reason, Actor: c.Actor}}, nil
}

func releaseHold(p *Payment, c ReleaseHold) ([]Event, error) {
	if err := p.mustBe(KindHold); err != nil {
		return nil, err
	}
	if err := signed(c.Reason, c.Actor); err != nil {
		return nil, err
	}
	if p.Status != Pending {
		return nil, domain.Errorf(domain.Stale, "hold %s is released already", p.Payment)
	}
	return []Event{&WalletReleased{Of: c.Of, Amount: p.Amount, Reason: c.Reason, Actor: c.Actor}}, nil
}
