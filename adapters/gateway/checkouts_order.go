package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// ErrOrder is what an *OrderError is. Compare with errors.Is.
var ErrOrder = errors.New("no order was made")

// OrderError says why a payin has no order. It is not a *domain.Error: its fate is up to the gateways, not to the rules.
type OrderError struct {
	Unknown  bool              // a gateway may have made it: ask again; else every candidate has refused the payin
	Config   string            // that was asked last
	Code     string            // what it said, or why it was not understood
	Verdicts map[string]string // of the candidates, by configuration, when all have refused
}

func (e *OrderError) Error() string {
	if e.Unknown {
		return ErrOrder.Error() + ": it is not known yet whether " + e.Config + " has made it (" + e.Code + ")"
	}
	return ErrOrder.Error() + ": every gateway has refused it, the last one with " + e.Code
}

// Credentials reports whether the gateway that was asked last does not accept the app's account.
func (e *OrderError) Credentials() bool { return e.Code == CodeCredentials }

// Is tells errors.Is.
func (e *OrderError) Is(target error) bool { return target == ErrOrder }

// Codes of attempts that failed on our side, or were not understood; others are the gateways' own.
const (
	CodeUnknown     = "unknown"        // no answer that could be understood
	CodeCredentials = "credentials"    // the gateway does not accept the account's
	CodeNoAccount   = "no_account"     // the secrets of the configuration are not there
	CodeNotAsked    = "not_asked"      // the vault was away
	CodeBadOrder    = "unusable_order" // its id cannot be recorded, or is that of another payin
)

// recordWithin bounds the recording of what a gateway has answered: it must not be lost because its asker went away.
const recordWithin = 10 * time.Second

// Ensure has the order of a payin made, and returns the payin with it; one that has its order is returned as it is. Each attempt is recorded before
// its gateway is asked. A definite refusal goes on to the next gateway; an answer that did not come is asked for once more, and then left
// open. Those who ask for the same order at the same time get the same one.
//
// Errors: domain.NotFound when the app has no gateway for the payin (Details: the verdict on each), domain.Stale when the payin is not pending
// any more, *OrderError; and those of the ledger, which mean "try again".
func (c *Checkouts) Ensure(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error) {
	if err := belongs(app, p); err != nil {
		return p, err
	}
	if p.Checkout.Order != "" {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.OrderWithin)
	defer cancel()
	return c.flights.do(ctx, p.Payment, func() (wallet.Payment, error) {
		return (&ordering{Checkouts: c, app: app.ID, id: p.Payment, patience: c.o.Patience}).run(ctx)
	})
}

// belongs refuses what is no payin of the app that is paid at a checkout.
func belongs(app merchant.Merchant, p wallet.Payment) error {
	if p.Kind != wallet.KindPayin || p.Merchant != app.ID || app.App == nil {
		return domain.Errorf(domain.NotFound, "app %s has no such payin", app.ID)
	}
	if p.Checkout.Config == "" && p.Gateway != wallet.Unrouted {
		return domain.Errorf(domain.NotFound, "payin %s is not paid at a checkout", p.Payment)
	}
	return nil
}

// ordering is one run of Ensure.
type ordering struct {
	*Checkouts
	app, id  string
	patience time.Duration // for somebody else's attempt
	waited   int           // number of the attempt that was waited for, or that was ours
	unknown  int           // attempts of ours that got no answer
	last     OrderError    // what was met last
}

func (o *ordering) run(ctx context.Context) (wallet.Payment, error) {
	var stale *wallet.Payment // as it was when the log refused an attempt
	for {
		p, err := o.ledger.Payment(ctx, o.app, o.id)
		if err != nil {
			return p, err
		}
		k := &p.Checkout
		switch {
		case p.Status != wallet.Pending || !o.clock().Before(p.ExpiresAt):
			return p, domain.Errorf(domain.Stale, "payin %s is %s, or its time is over", o.id, p.Status)
		case k.Order != "":
			return p, nil
		case k.Open && k.Attempts > o.waited:
			if err := o.wait(ctx, k.Attempts); err != nil {
				return p, err
			}
			continue
		}
		after, err := o.attempt(ctx, p)
		switch {
		case err != nil && domain.CodeOf(err) == domain.Stale:
			if stale != nil && samePlace(&stale.Checkout, k) {
				return p, err // nobody was ahead: it is the rules that refuse
			}
			stale, o.patience = &p, o.o.CallTimeout // somebody has just begun
		case err != nil:
			return after, err
		}
	}
}

func samePlace(a, b *wallet.Checkout) bool {
	return a.Attempts == b.Attempts && a.Open == b.Open && a.Order == b.Order && len(a.Refused) == len(b.Refused)
}

// pollGap is between two looks at somebody else's attempt.
const pollGap = 50 * time.Millisecond

// wait gives somebody else's attempt its time: until it has ended, or patience has.
func (o *ordering) wait(ctx context.Context, attempt int) error {
	o.waited = attempt
	over := time.NewTimer(o.patience)
	defer over.Stop()
	for {
		poll := time.NewTimer(pollGap)
		select {
		case <-ctx.Done():
			poll.Stop()
			return ctx.Err()
		case <-over.C:
			poll.Stop()
			return nil
		case <-poll.C:
		}
		p, err := o.ledger.Payment(ctx, o.app, o.id)
		if err != nil || p.Checkout.Attempts != attempt || !p.Checkout.Open || p.Status != wallet.Pending {
			return err
		}
	}
}

// attempt routes the payin, asks the chosen gateway, and records what that said. Without an error and without an order there is another try
// to be made. domain.Stale when somebody else was ahead.
func (o *ordering) attempt(ctx context.Context, p wallet.Payment) (wallet.Payment, error) {
	app, err := o.apps.Merchant(ctx, o.app)
	if err != nil {
		return p, err
	}
	customer, err := o.customer(ctx, &p)
	if err != nil {
		return p, err
	}
	look := o.health.look()
	after, err := o.ledger.Submit(ctx, wallet.RoutePayin{
		Base: o.base(&p), Attempt: p.Checkout.Attempts + 1, Candidates: o.candidates(app.App, &p, look.failing),
	}, eventstore.Origin{Actor: "system:checkout"})
	look.done(after.Checkout.Config)
	var refused *domain.Error
	if errors.As(err, &refused) && refused.Code == domain.NotFound && len(p.Checkout.Refused) > 0 {
		o.last.Unknown, o.last.Verdicts = false, refused.Details
		if o.last.Code == "" {
			o.last.Code = "an earlier refusal"
		}
		last := o.last
		return p, &last
	}
	if err != nil {
		return p, err
	}
	o.waited = after.Checkout.Attempts
	again := p.Checkout.Open && p.Checkout.Config == after.Checkout.Config
	return o.ask(context.WithoutCancel(ctx), &app, after, customer, again)
}

// candidates are the app's gateways as the routing of a payin sees them.
func (c *Checkouts) candidates(app *merchant.App, p *wallet.Payment, failing func(string) bool) []route.Candidate {
	m := merchant.Method(p.Checkout.Method)
	out := app.Candidates(p.Currency, m, c.Methods, failing)
	for i := range out {
		s, built := c.Spec(out[i].Gateway)
		out[i].Enabled = out[i].Enabled && built
		out[i].Currency = out[i].Currency && (s.Currencies == nil || slices.Contains(s.Currencies, p.Currency))
		out[i].Method = out[i].Method && (m == "" || slices.Contains(s.Methods, m))
	}
	return out
}

// ask asks the gateway of the attempt that was just routed. It goes on when its asker goes away: what it makes must be recorded.
func (o *ordering) ask(ctx context.Context, app *merchant.Merchant, p wallet.Payment, customer wallet.Customer, again bool) (wallet.Payment, error) {
	config := p.Checkout.Config
	l := o.log.With("payment", p.Payment, "config", config, "gateway", p.Gateway, "attempt", p.Checkout.Attempts)
	company, account, err := o.account(ctx, app, config)
	switch {
	case errors.Is(err, errNoSecrets), domain.CodeOf(err) == domain.NotFound:
		l.Error("a gateway configuration cannot be used", "error", err)
		return o.failed(ctx, p, CodeNoAccount, "the account of the configuration is not there", false)
	case err != nil:
		l.Warn("the account of a gateway configuration was not read", "error", err)
		return o.failed(ctx, p, CodeNotAsked, "the account could not be read", true)
	}
	calling, cancel := context.WithTimeout(ctx, o.o.CallTimeout)
	order := o.order(app, &p, customer)
	order.Again = again
	made, err := company.CreateOrder(calling, account, order)
	cancel()
	if o.health.report(config, err) {
		o.count.count(p.Gateway, CountPaused)
		l.Warn("a gateway configuration keeps failing, and is passed over for a while")
	}
	var declined *Declined
	switch {
	case err == nil:
		return o.ordered(ctx, p, made)
	case errors.As(err, &declined):
		o.count.count(p.Gateway, CountOrderRefused)
		l.Info("a gateway declines an order", "code", declined.Code)
		return o.failed(ctx, p, declined.Code, declined.Reason, false)
	case errors.Is(err, ErrCredentials):
		o.count.count(p.Gateway, CountOrderRefused)
		l.Error("a gateway does not accept the credentials of a configuration")
		return o.failed(ctx, p, CodeCredentials, ErrCredentials.Error(), false)
	}
	o.count.count(p.Gateway, CountOrderUnknown)
	l.Warn("it is not known whether a gateway has made an order", "error", err)
	return o.failed(ctx, p, CodeUnknown, "no answer that could be understood", true)
}

// ordered records an order.
func (o *ordering) ordered(ctx context.Context, p wallet.Payment, made Ordered) (wallet.Payment, error) {
	after, err := o.persist(ctx, wallet.RecordOrder{
		Base: o.base(&p), Attempt: p.Checkout.Attempts, Config: p.Checkout.Config, Order: made.OrderID, Session: made.Session,
	}, gatewayOrigin(p.Gateway, made.Raw))
	var taken *executor.DuplicateError
	switch {
	case err == nil:
		o.count.count(p.Gateway, CountOrdered)
		return after, nil
	case errors.As(err, &taken):
		record, err := o.ledger.Record(ctx, taken.Position)
		if err != nil {
			return p, fmt.Errorf("reading whose order it is: %w", err)
		}
		if record.Subject == p.Payment { // ours: its recording was not answered, or went on in another process
			return o.ledger.Payment(ctx, p.Merchant, p.Payment)
		}
		o.count.count(p.Gateway, CountAnomaly)
		o.log.Error("a gateway answers with the order of another payin", "payment", p.Payment, "other", record.Subject, "config", p.Checkout.Config)
		return o.failed(ctx, p, CodeBadOrder, "the order is that of "+record.Subject, false)
	case domain.CodeOf(err) == domain.Invalid:
		o.count.count(p.Gateway, CountAnomaly)
		o.log.Error("a gateway's order cannot be recorded", "payment", p.Payment, "config", p.Checkout.Config, "error", err)
		return o.failed(ctx, p, CodeBadOrder, "the order cannot be recorded", false)
	}
	return p, err // Stale: another attempt has gone ahead, and its order counts
}

// maxUnknown is how often one run asks without getting an answer.
const maxUnknown = 2

// failed records how an attempt has failed.
func (o *ordering) failed(ctx context.Context, p wallet.Payment, code, reason string, unknown bool) (wallet.Payment, error) {
	o.last = OrderError{Unknown: unknown, Config: p.Checkout.Config, Code: code}
	after, err := o.persist(ctx, wallet.RecordOrderFailure{
		Base: o.base(&p), Attempt: p.Checkout.Attempts, Config: p.Checkout.Config, Code: code, Reason: reason, Unknown: unknown,
	}, gatewayOrigin(p.Gateway, Raw{}))
	if err != nil {
		return p, err
	}
	if o.unknown++; !unknown {
		o.unknown = 0
	} else if o.unknown >= maxUnknown {
		last := o.last
		return after, &last
	}
	return after, nil
}

// persist records what a gateway has said. A ledger that is busy is tried again for a while.
func (c *Checkouts) persist(ctx context.Context, command wallet.Command, origin eventstore.Origin) (wallet.Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	for n := 0; ; n++ {
		after, err := c.ledger.Submit(ctx, command, origin)
		var taken *executor.DuplicateError
		if err == nil || domain.CodeOf(err) != "" || errors.As(err, &taken) || errors.Is(err, executor.ErrClosed) {
			return after, err
		}
		gap := time.NewTimer(doubled(pollGap, n, time.Second))
		select {
		case <-ctx.Done():
			gap.Stop()
			return after, err
		case <-gap.C:
		}
	}
}

func gatewayOrigin(gateway string, raw Raw) eventstore.Origin {
	o := eventstore.Origin{Actor: "gateway:" + gateway}
	if len(raw.Body) > 0 {
		o.Evidence = []eventstore.Evidence{{MediaType: mediaType(raw.MediaType), Body: raw.Body}}
	}
	return o
}

func (c *Checkouts) base(p *wallet.Payment) wallet.Base {
	return wallet.Base{Of: p.Of, At: eventstore.Micros(later(c.clock(), p.CreatedAt))}
}

// customer opens what is known of a payin's customer; nothing when it was erased.
func (c *Checkouts) customer(ctx context.Context, p *wallet.Payment) (wallet.Customer, error) {
	var who wallet.Customer
	if p.Sealed == "" {
		return who, nil
	}
	id, err := uuid.Parse(p.SealID)
	if err != nil {
		return who, fmt.Errorf("payin %s has no id to open its customer by: %w", p.Payment, err)
	}
	text, err := c.vault.UnsealString(ctx, id, p.Sealed)
	switch {
	case errors.Is(err, vault.ErrErased):
		return who, nil
	case err != nil:
		return who, fmt.Errorf("opening the customer of payin %s: %w", p.Payment, err)
	}
	if json.Unmarshal([]byte(text), &who) != nil { // its error may quote what it has read
		return who, fmt.Errorf("the customer of payin %s is unreadable", p.Payment)
	}
	return who, nil
}

// order is what a gateway is given of a payin.
func (c *Checkouts) order(app *merchant.Merchant, p *wallet.Payment, who wallet.Customer) Order {
	return Order{
		Reference: p.Payment, Amount: p.Amount, Method: merchant.Method(p.Checkout.Method), Merchant: app.Name, Description: "Payment " + p.OrderID,
		Name: who.Name, Email: who.Email, Phone: who.Phone,
		ReturnURL: c.o.ReturnURL(*p), WebhookURL: c.o.WebhookURL(p.Gateway, p.Merchant, p.Checkout.Config),
		CreatedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt,
	}
}
