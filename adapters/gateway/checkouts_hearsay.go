package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// errUnconfirmed: a company that has to be asked whether a message is true does not answer.
var errUnconfirmed = errors.New("the gateway was asked whether a message is true, and does not answer")

// errDoubted: a company that was asked whether a message is true does not know of it. Its messages may be ahead of what it answers: it is asked again for a
// while (CheckoutOptions.DoubtFor).
var errDoubted = errors.New("the gateway does not know what the message says")

// hear takes what a verified message says of a payin. Of a company whose messages the app itself could have signed (Spec.Hearsay), one that says what became
// of a payment or a dispute only has the company asked; what it answers is booked, with the message and the answer as evidence. errDoubted when it does not know
// of it, and the message is young; else that is noted, with both, and moves nothing. errUnconfirmed when it does not answer.
func (c *Checkouts) hear(ctx context.Context, at *place, p wallet.Payment, m Message, age time.Duration) error {
	s, _ := c.Spec(at.gateway)
	switch {
	case !s.Hearsay || contradiction(at, &p, &m) != "":
		return c.report(ctx, at, p, m)
	case m.Dispute != nil:
		return c.hearDispute(ctx, at, p, m, age)
	case m.Payment == nil:
		return c.report(ctx, at, p, m)
	}
	moves := p.Status == wallet.Pending // a refusal ends nothing any more, then
	if m.Payment.Paid {
		booked, err := c.booked(ctx, at, &m)
		if err != nil {
			return err
		}
		moves = !booked // what is in the books is compared with them
	}
	if !moves {
		return c.report(ctx, at, p, m)
	}
	found, err := c.payments(ctx, at.app, p)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	m.Answer = &found.Raw
	known := slices.IndexFunc(found.List, func(pay Payment) bool { return pay.confirms(m.Payment, p.Currency) })
	switch {
	case known >= 0:
	case age < c.o.DoubtFor:
		return errDoubted
	default:
		return c.anomaly(ctx, at, p, m, "is not known to the gateway as the message has it")
	}
	said := found.List[known : known+1]
	if paid := definite(found, false); !m.Payment.Paid && len(paid) > 0 {
		said = paid // the customer has tried again
	}
	for _, pay := range said {
		m.Payment = &pay
		if err := c.report(ctx, at, p, m); err != nil {
			return err
		}
	}
	return nil
}

// hearDispute has the company asked how a dispute stands of which a message says something, and books what it answers. Where it cannot be asked, or will not
// tell, money is held as the message has it, but none is let go: that takes a person.
func (c *Checkouts) hearDispute(ctx context.Context, at *place, p wallet.Payment, m Message, age time.Duration) error {
	told := m.Dispute
	said, err := c.askDispute(ctx, at, told.Case)
	declined := (*Declined)(nil)
	switch {
	case err == nil && told.ended() && !said.Dispute.ended():
		if age < c.o.DoubtFor {
			return errDoubted
		}
		m.Answer = &said.Raw
		return c.anomaly(ctx, at, p, m, "is told to be "+told.Status+", and the gateway says "+said.Dispute.Status)
	case err == nil:
		m.Reference, m.OrderID, m.Dispute, m.Answer = said.Reference, said.OrderID, said.Dispute, &said.Raw
		return c.report(ctx, at, p, m)
	case !errors.As(err, &declined) && !errors.Is(err, ErrCredentials) && !errors.Is(err, errMute):
		return fmt.Errorf("%w: %w", errUnconfirmed, err)
	case told.ended() && !errors.Is(err, errMute) && age < c.o.DoubtFor:
		return errDoubted
	}
	held := *told
	held.Hearsay = true
	m.Dispute = &held
	return c.report(ctx, at, p, m)
}

// errMute: the company has nothing that could be asked about disputes.
var errMute = errors.New("the gateway cannot be asked about disputes")

func (c *Checkouts) askDispute(ctx context.Context, at *place, id string) (Message, error) {
	company, account, err := c.account(ctx, &at.app, at.config)
	if err != nil {
		return Message{}, err
	}
	teller, can := company.(DisputeTeller)
	if !can {
		return Message{}, errMute
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	c.count.count(at.gateway, CountInquired)
	said, err := teller.InquireDispute(ctx, account, id)
	if err == nil && (said.Dispute == nil || said.Dispute.Case != id || len(said.Body) == 0) {
		err = errors.New("an answer that is not about the dispute")
	}
	if err != nil {
		c.count.count(at.gateway, CountUnknown)
	}
	return said, err
}

// booked reports whether a payment is in the books.
func (c *Checkouts) booked(ctx context.Context, at *place, m *Message) (bool, error) {
	r := wallet.ReportPayment{Config: at.config, PaymentID: m.Payment.PaymentID}
	r.Merchant = at.app.ID
	for _, key := range r.Keys() {
		if _, there, err := c.apps.Lookup(ctx, at.app.ID, key); err != nil || !there {
			return false, err
		}
	}
	return true, nil
}

// confirms reports whether what the company answered is what a message says: that payment, with that outcome, and if it was made with that amount.
func (pay *Payment) confirms(said *Payment, currency money.Currency) bool {
	if pay.PaymentID != said.PaymentID || pay.Paid != said.Paid {
		return false
	}
	if !said.Paid {
		return true
	}
	if pay.Currency != "" && money.Currency(pay.Currency) != currency {
		return false
	}
	made, err := money.Parse(pay.Amount, currency)
	if err != nil {
		return false
	}
	told, err := money.Parse(said.Amount, currency)
	return err == nil && made.Equal(told)
}

// raws are a message as it came, and what the gateway answered when it was asked about it.
func (m *Message) raws() []Raw {
	if m.Answer == nil {
		return []Raw{m.Raw}
	}
	return []Raw{m.Raw, *m.Answer}
}

// confirmed has a company whose messages prove nothing (Spec.Hearsay) asked about a refund of which one of them says something that would move money, and
// returns the message with its answer. What the company does not call definite is left to the refund's job. errUnconfirmed when it does not answer.
func (f *Refunder) confirmed(ctx context.Context, p *wallet.Payment, config string, m Message) (Message, error) {
	r, found := refundNamed(p, &m)
	moves := r.Status == wallet.RefundPending && m.Refund.State == RefundFailed || r.Status != wallet.RefundDone && m.Refund.State == RefundDone
	if !found || config == "" || r.Config != config || !moves {
		return m, nil
	}
	call, err := f.open(ctx, p, r, r.RefundID) // not the one that the message names: it may be another one's
	if err != nil {
		return m, fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	if g, is := call.gateway.(Checkout); !is || !g.Spec().Hearsay {
		return m, nil
	}
	calling, cancel := context.WithTimeout(ctx, call.timeout)
	defer cancel()
	f.count.count(r.Gateway, CountInquired)
	a, err := call.gateway.InquireRefund(calling, call.account, call.request)
	if err == nil && len(a.Body) == 0 {
		err = errors.New("an answer without evidence")
	}
	if err != nil {
		f.count.count(r.Gateway, CountUnknown)
		return m, fmt.Errorf("%w: %w", errUnconfirmed, err)
	}
	if a.State != m.Refund.State {
		f.log.Warn("a gateway's message says of a refund what the gateway does not", "payment", p.Of.Payment, "refund", r.ID, "gateway", r.Gateway, "config", config,
			"message", string(m.Refund.State), "answer", string(a.State))
	}
	m.Reference, m.Refund, m.Answer = r.ID, &a, &a.Raw
	return m, nil
}

// asked is a message that had the gateway asked; none when it speaks for itself.
func (m *Message) asked() []Raw {
	if m.Answer == nil {
		return nil
	}
	return []Raw{m.Raw}
}
