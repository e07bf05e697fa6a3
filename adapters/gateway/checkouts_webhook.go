package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// ServeHTTP takes the messages of gateways at POST /gateways/{gateway}/{app}/{config}/webhook. It answers
//
//	200  every message is durable: in the ledger, or, where it is about an order that is not known (yet), among those kept
//	400  it cannot be read                  401  forged, or too old
//	404  the app has no such account        413  too large
//	503  not now: send it again
//
// What was verified and cannot be booked is noted with its payin as an anomaly, and answered 200: sending it again would change nothing.
func (c *Checkouts) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.mux.ServeHTTP(w, r) }

// place is the account that a message came to.
type place struct {
	app     merchant.Merchant
	config  string
	gateway string
}

func (c *Checkouts) webhook(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("gateway")
	if _, built := c.gateways[name]; !built { // not counted: a label for whatever strangers ask for would fill the metrics
		answer(w, http.StatusNotFound, "there is no such gateway")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes)) // before a slot is taken: strangers can be as slow as they like
	if err != nil {
		c.count.count(name, CountCallbackRefused)
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			answer(w, http.StatusRequestEntityTooLarge, "the body is too large")
			return
		}
		answer(w, http.StatusBadRequest, "the body cannot be read")
		return
	}
	done, free := c.shares.take(name)
	if !free {
		answer(w, http.StatusServiceUnavailable, "try again")
		return
	}
	defer done()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		answer(w, http.StatusServiceUnavailable, "try again")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), inboundTimeout)
	defer cancel()
	status, text := c.receive(ctx, name, r.PathValue("app"), r.PathValue("config"), r.Header, body)
	answer(w, status, text)
}

// receive verifies a message and takes what it says, and returns what to answer.
func (c *Checkouts) receive(ctx context.Context, name, appID, config string, header http.Header, body []byte) (int, string) {
	none := func() (int, string) {
		c.count.count(name, CountCallbackRefused)
		return http.StatusNotFound, "there is no such account"
	}
	if !merchant.ValidID("ap_", appID) || !merchant.ValidID("gc_", config) {
		return none()
	}
	l := c.log.With("gateway", name, "app", appID, "config", config)
	app, err := c.apps.Merchant(ctx, appID)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		return none()
	case err != nil:
		return c.later(name, err)
	}
	evidence := kept{Merchant: appID, Gateway: name, MediaType: header.Get("Content-Type"), Header: header, Body: body}
	if g, there := configOf(&app, config); !there || g.Gateway != name {
		if app.App != nil { // among those of the app, not of a configuration: there may be any number of wrong ones
			evidence.Reason = "no such account"
			c.keepRefused(ctx, evidence)
		}
		return none()
	}
	evidence.Config = config
	company, account, err := c.account(ctx, &app, config)
	if errors.Is(err, errNoSecrets) {
		evidence.Reason = "the account has no secrets"
		c.keepRefused(ctx, evidence)
		return none()
	}
	if err != nil {
		return c.later(name, err)
	}
	done, free := c.turns.take(appID + "/" + config)
	if !free {
		return c.later(name, errCrowded)
	}
	defer done()
	messages, err := company.ParseWebhook(ctx, account, header, body, c.clock())
	if err == nil && len(messages) > MaxMessages {
		err = fmt.Errorf("%w: %d messages", ErrMalformed, len(messages))
	}
	if why := refusedAs(err); why != "" {
		c.count.count(name, CountCallbackRefused)
		l.Warn("a message of a gateway was refused", "why", why)
		evidence.Reason = why
		c.keepRefused(ctx, evidence)
		if why == "malformed" {
			return http.StatusBadRequest, "the message cannot be read"
		}
		return http.StatusUnauthorized, "the message is not authentic"
	}
	if err != nil {
		return c.later(name, err)
	}
	return c.takeAll(ctx, &place{app, config, name}, messages, evidence)
}

// errCrowded: too many messages of one account at a time. To verify one may take a question to its company, and anybody can send one.
var errCrowded = errors.New("too many messages of this account are being handled")

func configOf(app *merchant.Merchant, config string) (merchant.Gateway, bool) {
	if app.App == nil {
		return merchant.Gateway{}, false
	}
	return app.App.Gateway(config)
}

func (c *Checkouts) later(gateway string, err error) (int, string) {
	c.count.count(gateway, CountCallbackDeferred)
	c.log.Warn("a message was not taken, the gateway has to send it again", "gateway", gateway, "error", err)
	return http.StatusServiceUnavailable, "try again"
}

// takeAll takes what was verified, and keeps what is early.
func (c *Checkouts) takeAll(ctx context.Context, at *place, messages []Message, evidence kept) (int, string) {
	var early []Message
	for _, m := range messages {
		switch err := c.take(ctx, at, m, 0); {
		case errors.Is(err, errEarly), errors.Is(err, errDoubted):
			early, evidence.Reason = append(early, m), err.Error()
		case err != nil:
			return c.later(at.gateway, err)
		default:
			c.count.count(at.gateway, CountCallback)
		}
	}
	if len(early) > 0 {
		evidence.Messages = early
		if err := c.keepEarly(ctx, evidence); err != nil {
			return c.later(at.gateway, err)
		}
		c.count.count(at.gateway, CountCallbackEarly)
	}
	return http.StatusOK, "ok"
}

// errEarly: the message is about an order that is not known, or not yet.
var errEarly = errors.New("the order is not known")

// take brings one verified message of a webhook into the ledger, age after it came. errEarly when what it is about is not known, errDoubted when its company does
// not know what it says. Neither is waited for any more in the end: then a message that names a payin is noted with it.
func (c *Checkouts) take(ctx context.Context, at *place, m Message, age time.Duration) error {
	last := age >= c.o.EarlyFor
	if m.Refund != nil {
		return c.takeRefund(ctx, at, m, last)
	}
	if m.Payment == nil && m.Dispute == nil && !m.Approved {
		return nil // nothing to record
	}
	p, err := c.find(ctx, at, &m)
	if err != nil {
		return err
	}
	if p.Checkout.Order == "" && p.Checkout.Config == at.config {
		if !last {
			return errEarly
		}
		return c.anomaly(ctx, at, p, m, "is about an order that was never recorded")
	}
	if err := c.hear(ctx, at, p, m, age); err != nil {
		return err
	}
	return c.passTrial(ctx, at, p, m)
}

// onlyApproves reports whether a message has nothing to book in it, but says that there may be something to collect.
func (m *Message) onlyApproves() bool {
	return m.Approved && m.Payment == nil && m.Dispute == nil && m.Refund == nil
}

// takeRefund hands on what a message says of a refund. What cannot be booked is kept among the unmatched. One that nobody has asked for here, such as in the
// company's own dashboard, is noted with its payin in the end, where the message names that.
func (c *Checkouts) takeRefund(ctx context.Context, at *place, m Message, last bool) error {
	if c.o.Refunds == nil {
		return errEarly
	}
	found, err := c.o.Refunds.ReportRefund(ctx, at.app.ID, at.config, m)
	if refusal(err) {
		c.count.count(at.gateway, CountAnomaly)
		c.log.Error("a gateway's statement about a refund cannot be booked", "gateway", at.gateway, "message", m.ID, "reference", m.Reference, "error", err)
		return c.keepUnmatched(ctx, kept{
			Merchant: at.app.ID, Config: at.config, Gateway: at.gateway, Reason: "what it says of a refund cannot be booked",
			MediaType: m.MediaType, Body: m.Body, Messages: []Message{m},
		})
	}
	if err != nil || found {
		return err
	}
	if !last || m.Refund.State != RefundDone {
		return errEarly
	}
	p, err := c.find(ctx, at, &m)
	if err != nil {
		return err
	}
	for _, r := range p.Refunds {
		switch {
		case r.RefundID != "" && r.RefundID == m.Refund.RefundID:
			return nil
		case r.Status == wallet.RefundPending: // it may be this one
			return errEarly
		}
	}
	return c.anomaly(ctx, at, p, m, "was made, and not asked for here")
}

// maxID bounds the ids of gateways that are looked up, and booked.
const maxID = 200

// find finds the payin that a message is about, as the log has it now: by the gateway's order, by the payment that it was paid by, by our own
// reference. errEarly when there is none in this app.
func (c *Checkouts) find(ctx context.Context, at *place, m *Message) (wallet.Payment, error) {
	var keys []string
	if m.OrderID != "" && len(m.OrderID) <= maxID {
		keys = append(keys, wallet.OrderKey(at.app.ID, at.config, m.OrderID))
	}
	if m.Dispute != nil && m.Dispute.PaymentID != "" && len(m.Dispute.PaymentID) <= maxID {
		paid := wallet.ReportPayment{Config: at.config, PaymentID: m.Dispute.PaymentID}
		paid.Merchant = at.app.ID
		keys = append(keys, paid.Keys()...)
	}
	id := m.Reference
	for _, key := range keys {
		position, known, err := c.apps.Lookup(ctx, at.app.ID, key)
		if err != nil {
			return wallet.Payment{}, fmt.Errorf("finding the order of a message: %w", err)
		}
		if !known {
			continue
		}
		record, err := c.ledger.Record(ctx, position)
		if err != nil {
			return wallet.Payment{}, fmt.Errorf("finding the order of a message: %w", err)
		}
		id = record.Subject
		break
	}
	if id == "" || len(id) > maxID {
		return wallet.Payment{}, errEarly
	}
	p, err := c.ledger.Payment(ctx, at.app.ID, id)
	if domain.CodeOf(err) == domain.NotFound || err == nil && p.Kind != wallet.KindPayin {
		return wallet.Payment{}, errEarly
	}
	return p, err
}

// report reports what a message says of a payin, or notes why it cannot.
func (c *Checkouts) report(ctx context.Context, at *place, p wallet.Payment, m Message) error {
	if claim := contradiction(at, &p, &m); claim != "" {
		return c.anomaly(ctx, at, p, m, claim)
	}
	var err error
	switch {
	case m.Payment != nil:
		err = c.payment(ctx, p, at.gateway, m.ID, *m.Payment, m.raws()...)
	case m.Dispute != nil:
		raws := m.raws()
		slices.Reverse(raws) // the same answer to several messages counts once
		err = c.dispute(ctx, p, at.gateway, m.ID, *m.Dispute, raws...)
	case m.Approved && p.Status != wallet.Success:
		err = c.collect(ctx, &at.app, p, false)
	}
	if refusal(err) {
		c.log.Error("a gateway's statement cannot be booked", "gateway", at.gateway, "message", m.ID, "payment", p.Payment, "error", err)
		return c.anomaly(ctx, at, p, m, "cannot be booked: "+err.Error())
	}
	return err
}

// contradiction says in what a message does not fit the payin that it names; "" when it fits. Amounts are the domain's to judge.
func contradiction(at *place, p *wallet.Payment, m *Message) string {
	k := &p.Checkout
	switch {
	case k.Config != at.config:
		return "comes from " + at.config + ", and the payin goes through " + k.Config
	case m.OrderID != "" && m.OrderID != k.Order:
		return "is about order " + m.OrderID + ", and the payin has " + k.Order
	case m.Reference != "" && m.Reference != p.Payment:
		return "names " + m.Reference + ", and its order is that of this payin"
	case m.Payment != nil && m.Payment.Currency != "" && money.Currency(m.Payment.Currency) != p.Currency:
		return "is in " + m.Payment.Currency
	case m.Payment != nil && (m.Payment.PaymentID == "" || len(m.Payment.PaymentID) > maxID):
		return "has no id by which it could be known again"
	case m.Dispute != nil && !collectedBy(p, m.Dispute.PaymentID):
		return "is about payment " + m.Dispute.PaymentID + ", which is none of this payin"
	}
	return ""
}

// collectedBy reports whether a payin was paid by a payment, or it is not said which.
func collectedBy(p *wallet.Payment, id string) bool {
	if id == "" || id == p.PaymentID {
		return true
	}
	for _, s := range p.Suspense {
		if s.PaymentID == id {
			return true
		}
	}
	return false
}

// anomaly notes a message that cannot be booked with its payin. When the payin takes no more notes, it is kept among the unmatched.
func (c *Checkouts) anomaly(ctx context.Context, at *place, p wallet.Payment, m Message, claim string) error {
	what := "a message"
	switch {
	case m.Payment != nil:
		what = "payment " + m.Payment.PaymentID
	case m.Dispute != nil:
		what = "dispute " + m.Dispute.Case
	case m.Refund != nil:
		what = "refund " + m.Refund.RefundID
	}
	if p.Notes >= wallet.MaxAnomalies {
		c.count.count(at.gateway, CountAnomaly)
		c.log.Error("a payin takes no more notes", "gateway", at.gateway, "payment", p.Payment, "message", m.ID)
		return c.keepUnmatched(ctx, kept{
			Merchant: at.app.ID, Config: at.config, Gateway: at.gateway, Reason: "the payin takes no more notes",
			MediaType: m.MediaType, Body: m.Body, Messages: []Message{m},
		})
	}
	return c.note(ctx, p, at.gateway, m.ID, what+" "+claim, m.raws()...)
}
