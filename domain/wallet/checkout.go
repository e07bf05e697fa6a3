package wallet

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/route"
)

// Unrouted stands for the gateway of a payin whose gateway is chosen later, by RoutePayin.
const Unrouted = "checkout"

// Bounds of a payin that is paid at a checkout.
const (
	MaxRoutes       = 50  // attempts to have an order made
	maxCheckoutText = 200 // of each text about it, in bytes
	maxSession      = 4000
)

// Checkout is what a payin is to its customer, and at the gateway that was chosen for it. The zero value is a payin without: its gateway
// was known from the start.
type Checkout struct {
	Method    string `json:"method,omitempty"`    // that was asked for; "" leaves it to the customer
	Origin    string `json:"origin,omitempty"`    // where it was initiated
	Signature string `json:"signature,omitempty"` // id of the signature that initiated it
	Trial     string `json:"trial,omitempty"`     // the one gateway configuration that it may go through, since it verifies that

	Config   string   `json:"config,omitempty"` // gateway configuration of the last attempt
	Attempts int      `json:"attempts,omitempty"`
	Open     bool     `json:"open,omitempty"`    // it is not known whether the last attempt has made an order
	Refused  []string `json:"refused,omitempty"` // configurations that have definitely refused it; never written to, but replaced
	Order    string   `json:"order,omitempty"`   // the gateway's own id of its order; "" until there is one
	Session  string   `json:"session,omitempty"` // what the gateway needs beside it, for the customer to pay

	PaidBy    string `json:"paid_by,omitempty"` // method by which it was paid, as the gateway calls it
	PaidBySub string `json:"paid_by_sub,omitempty"`
}

// Empty reports the zero value.
func (c *Checkout) Empty() bool {
	return c.Method == "" && c.Origin == "" && c.Signature == "" && c.Trial == "" && c.Config == "" && c.Attempts == 0 && !c.Open &&
		len(c.Refused) == 0 && c.Order == "" && c.Session == "" && c.PaidBy == "" && c.PaidBySub == ""
}

// OrderKey is the dedupe key of a gateway's order, under the account of a gateway configuration: it finds the payin that the order is for.
func OrderKey(merchant, config, order string) string {
	return "order:" + merchant + ":" + config + ":" + order
}

// SignatureKey is the dedupe key of the n-th payin, from 1, that a signature has initiated.
func SignatureKey(merchant, signature string, n int) string {
	return "signature:" + merchant + ":" + signature + ":" + strconv.Itoa(n)
}

// PayinRouted chooses the gateway that is asked for an order next, before it is asked. The choice follows from the candidates alone.
type PayinRouted struct {
	Of
	Attempt    int               `json:"attempt"`
	Config     string            `json:"config"`
	Gateway    string            `json:"gateway"`
	Candidates []route.Candidate `json:"candidates"`
}

// PayinOrdered says that the gateway has made an order. No money moves.
type PayinOrdered struct {
	Of
	Attempt int    `json:"attempt"`
	Config  string `json:"config"`
	Gateway string `json:"gateway"`
	Order   string `json:"order"`
	Session string `json:"session,omitempty"`
}

// PayinOrderFailed says that an attempt has made no order; or, when Unknown, that nobody knows.
type PayinOrderFailed struct {
	Of
	Attempt int    `json:"attempt"`
	Config  string `json:"config"`
	Gateway string `json:"gateway"`
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Unknown bool   `json:"unknown,omitempty"`
}

// RoutePayin chooses the gateway of a payin's next attempt. Who submits it and succeeds, and nobody else, then asks the gateway.
type RoutePayin struct {
	Base
	Attempt    int // one more than those recorded: another one is domain.Stale
	Candidates []route.Candidate
}

// RecordOrder records the order that an attempt has made.
type RecordOrder struct {
	Base
	Attempt int
	Config  string
	Order   string
	Session string
}

// RecordOrderFailure records how an attempt has failed.
type RecordOrderFailure struct {
	Base
	Attempt int
	Config  string
	Code    string
	Reason  string
	Unknown bool
}

// NotePayin keeps a gateway's message about a payin that cannot be booked, such as a payment in another currency.
type NotePayin struct {
	Base
	Gateway string
	Claim   string // what the message said
	Anomaly bool
	Message string // digest of the raw message; repeats of it change nothing
}

// Creates says it for every command: see Command.
func (RoutePayin) Creates() bool         { return false }
func (RecordOrder) Creates() bool        { return false }
func (RecordOrderFailure) Creates() bool { return false }
func (NotePayin) Creates() bool          { return false }

// Keys of every command: see Command.
func (RoutePayin) Keys() []string         { return nil }
func (c RecordOrder) Keys() []string      { return []string{OrderKey(c.Merchant, c.Config, c.Order)} }
func (RecordOrderFailure) Keys() []string { return nil }
func (c NotePayin) Keys() []string        { return messageKeys(c.Payment, c.Message) }

// checkoutTexts holds what a payin says about its checkout against its bounds.
func checkoutTexts(c CreatePayin) error {
	for _, t := range []struct{ field, text string }{
		{"method", c.Method}, {"origin", c.Origin}, {"signature", c.Signature}, {"trial", c.Trial},
	} {
		if err := bounded(t.field, t.text, maxCheckoutText); err != nil {
			return err
		}
	}
	return nil
}

// routePayin chooses. A payin that has its order keeps it, and one whose last attempt is open goes to the same gateway again, as long as that can
// be used.
func routePayin(p *Payment, c RoutePayin) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	k := &p.Checkout
	switch {
	case p.Status != Pending:
		return nil, domain.Errorf(domain.Stale, "payin %s is %s", p.Payment, p.Status)
	case !c.At.Before(p.ExpiresAt):
		return nil, domain.Errorf(domain.Stale, "payin %s has expired", p.Payment)
	case k.Order != "":
		return nil, domain.Errorf(domain.Stale, "payin %s has its order %s", p.Payment, k.Order)
	case c.Attempt != k.Attempts+1:
		return nil, domain.Errorf(domain.Stale, "payin %s has made %d attempts, this one is number %d", p.Payment, k.Attempts, c.Attempt)
	case c.Attempt > MaxRoutes:
		return nil, domain.Errorf(domain.Stale, "payin %s has made %d attempts", p.Payment, k.Attempts)
	case len(c.Candidates) > route.MaxCandidates:
		return nil, domain.InvalidField("candidates", fmt.Sprintf("are more than %d", route.MaxCandidates))
	}
	candidates := slices.Clone(c.Candidates)
	for i := range candidates {
		o := &candidates[i]
		if err := gatewayNamed(o.Gateway); err != nil {
			return nil, err
		}
		o.Refused = slices.Contains(k.Refused, o.Config)
		o.Open = k.Open && o.Config == k.Config
		if k.Trial != "" {
			o.Verified = o.Config == k.Trial
			o.Enabled = o.Enabled || o.Verified
		}
	}
	ranked, chosen := route.Choose(candidates)
	if chosen < 0 {
		return nil, &domain.Error{Code: domain.NotFound, Message: "no gateway can take payin " + p.Payment, Details: verdicts(ranked)}
	}
	return []Event{&PayinRouted{
		Of: c.Of, Attempt: c.Attempt, Config: ranked[chosen].Config, Gateway: ranked[chosen].Gateway, Candidates: ranked,
	}}, nil
}

// verdicts tells, by configuration, why none was chosen.
func verdicts(ranked []route.Candidate) map[string]string {
	out := make(map[string]string, len(ranked))
	for i := range ranked {
		out[ranked[i].Config] = string(ranked[i].Verdict)
	}
	return out
}

// attempted finds the attempt that an outcome is about. The outcome of an earlier one is too late: it is domain.Stale.
func attempted(p *Payment, attempt int, config string) error {
	if err := p.mustBe(KindPayin); err != nil {
		return err
	}
	if k := &p.Checkout; !k.Open || attempt != k.Attempts || config != k.Config {
		return domain.Errorf(domain.Stale, "attempt %d of payin %s, at %s, is not the one that is open", attempt, p.Payment, config)
	}
	return nil
}

func recordOrder(p *Payment, c RecordOrder) ([]Event, error) {
	if err := attempted(p, c.Attempt, c.Config); err != nil {
		return nil, err
	}
	if c.Order == "" {
		return nil, domain.InvalidField("order", "is missing")
	}
	if err := bounded("order", c.Order, maxCheckoutText); err != nil {
		return nil, err
	}
	if err := bounded("session", c.Session, maxSession); err != nil {
		return nil, err
	}
	return []Event{&PayinOrdered{
		Of: c.Of, Attempt: c.Attempt, Config: c.Config, Gateway: p.Gateway, Order: c.Order, Session: c.Session,
	}}, nil
}

func recordOrderFailure(p *Payment, c RecordOrderFailure) ([]Event, error) {
	if err := attempted(p, c.Attempt, c.Config); err != nil {
		return nil, err
	}
	return []Event{&PayinOrderFailed{
		Of: c.Of, Attempt: c.Attempt, Config: c.Config, Gateway: p.Gateway,
		Code: clip(c.Code), Reason: clip(c.Reason), Unknown: c.Unknown,
	}}, nil
}

// clip makes what a gateway said fit to be kept.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= maxCheckoutText {
		return s
	}
	return strings.ToValidUTF8(s[:maxCheckoutText], "")
}

func notePayin(p *Payment, c NotePayin) ([]Event, error) {
	if err := p.mustBe(KindPayin); err != nil {
		return nil, err
	}
	if err := gatewayNamed(c.Gateway); err != nil {
		return nil, err
	}
	if c.Anomaly && p.Notes >= MaxAnomalies || !c.Anomaly && p.Notes >= MaxNotes {
		return nil, nil
	}
	return []Event{&PayinNoted{Of: c.Of, Gateway: c.Gateway, Claim: clip(c.Claim), Anomaly: c.Anomaly}}, nil
}

// evolveCheckout brings the checkout behind an event.
func (p *Payment) evolveCheckout(e Event) {
	k := &p.Checkout
	switch e := e.(type) {
	case *PayinCreated:
		k.Method, k.Origin, k.Signature, k.Trial = e.Method, e.Origin, e.Signature, e.Trial
	case *PayinRouted:
		k.Attempts, k.Config, k.Open = e.Attempt, e.Config, true
		p.Gateway = e.Gateway
	case *PayinOrdered:
		k.Open, k.Order, k.Session = false, e.Order, e.Session
	case *PayinOrderFailed:
		if !e.Unknown {
			k.Open = false
			k.Refused = append(slices.Clone(k.Refused), e.Config)
		}
	case *PayinSucceeded:
		k.PaidBy, k.PaidBySub = e.Method, e.SubMethod
		if e.Config != "" { // of an earlier attempt, perhaps: refunds go where the money is
			k.Config = e.Config
		}
	}
}

func (e *PayinRouted) fields(c *codec) {
	c.of(&e.Of)
	c.number("attempt", &e.Attempt)
	c.text("config", &e.Config)
	c.text("gateway", &e.Gateway)
	list(c, "candidates", &e.Candidates)
}

func (e *PayinOrdered) fields(c *codec) {
	c.of(&e.Of)
	c.number("attempt", &e.Attempt)
	c.text("config", &e.Config)
	c.text("gateway", &e.Gateway)
	c.text("order", &e.Order)
	c.option("session", &e.Session)
}

func (e *PayinOrderFailed) fields(c *codec) {
	c.of(&e.Of)
	c.number("attempt", &e.Attempt)
	c.text("config", &e.Config)
	c.text("gateway", &e.Gateway)
	c.text("code", &e.Code)
	c.text("reason", &e.Reason)
	c.flag("unknown", &e.Unknown)
}
