package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Hasher is a Checkout whose fields the app's own page may have signed, one text at a time.
type Hasher interface {
	// Hash signs a text that the company's script asks for by a name. It refuses what is about anything but this order: domain.Invalid.
	Hash(a Account, o Order, name, text string) (string, error)
}

// Detailer is a Checkout whose fields a page of the app's own hands over to the company, without what signs them.
type Detailer interface {
	Details(a Account, o Order, made Ordered) ([]Field, error)
}

// Configurer is a Checkout whose own script on a page of the app's takes a configuration, such as of the methods to show.
type Configurer interface {
	Config(a Account, o Order, made Ordered) (json.RawMessage, error)
}

// ClientSide is what the app's own page needs to have an order paid. It holds no secret, but may hold the customer's name and phone.
type ClientSide struct {
	Gateway  string
	ClientID string // the credential that browsers may see; "" when the gateway has none
	Live     bool
	OrderID  string          // the gateway's own
	Details  []Field         // of a Detailer
	Config   json.RawMessage // of a Configurer
}

// open opens what a page needs of a payin that has its order.
type opened struct {
	company Checkout
	account Account
	order   Order
	made    Ordered
}

func (c *Checkouts) open(ctx context.Context, app merchant.Merchant, p wallet.Payment) (opened, error) {
	if err := belongs(app, p); err != nil {
		return opened{}, err
	}
	if p.Checkout.Order == "" {
		return opened{}, domain.Errorf(domain.Stale, "payin %s has no order yet", p.Payment)
	}
	now, err := c.apps.Merchant(ctx, app.ID)
	if err != nil {
		return opened{}, err
	}
	company, account, err := c.account(ctx, &now, p.Checkout.Config)
	if err != nil {
		return opened{}, err
	}
	who, err := c.customer(ctx, &p)
	if err != nil {
		return opened{}, err
	}
	return opened{company, account, c.order(&now, &p, who), Ordered{OrderID: p.Checkout.Order, Session: p.Checkout.Session}}, nil
}

// payable refuses a payin that is not to be paid any more.
func (c *Checkouts) payable(p *wallet.Payment) error {
	if p.Status != wallet.Pending || !c.clock().Before(p.ExpiresAt) {
		return domain.Errorf(domain.Stale, "payin %s is %s, or its time is over", p.Payment, p.Status)
	}
	return nil
}

// Client says what the app's own page needs to have a payin paid that has its order. domain.Stale when it has none, or is not to be paid any more.
func (c *Checkouts) Client(ctx context.Context, app merchant.Merchant, p wallet.Payment) (ClientSide, error) {
	if err := c.payable(&p); err != nil {
		return ClientSide{}, err
	}
	o, err := c.open(ctx, app, p)
	if err != nil {
		return ClientSide{}, err
	}
	s := o.company.Spec()
	out := ClientSide{Gateway: s.Name, Live: o.account.Live, OrderID: o.made.OrderID}
	if s.Public != "" {
		out.ClientID = o.account.Credentials[s.Public]
	}
	if d, does := o.company.(Detailer); does {
		if out.Details, err = d.Details(o.account, o.order, o.made); err != nil {
			return ClientSide{}, fmt.Errorf("details of payin %s: %w", p.Payment, err)
		}
	}
	if d, does := o.company.(Configurer); does {
		if out.Config, err = d.Config(o.account, o.order, o.made); err != nil {
			return ClientSide{}, fmt.Errorf("configuration of payin %s: %w", p.Payment, err)
		}
	}
	return out, nil
}

// Begin says how the browser of the customer of a payin that has its order goes on, to pay by a method; "" is the payin's own, or leaves it to the
// gateway's page. Errors: domain.Invalid for a method that is not offered, domain.Stale as of Client, and those of the gateway.
func (c *Checkouts) Begin(ctx context.Context, app merchant.Merchant, p wallet.Payment, m merchant.Method) (Continuation, error) {
	if err := c.payable(&p); err != nil {
		return Continuation{}, err
	}
	asked := merchant.Method(p.Checkout.Method)
	if m == "" {
		m = asked
	}
	offered := c.Methods(p.Gateway)
	if app.App != nil {
		if g, there := app.App.Gateway(p.Checkout.Config); there && len(g.Methods) > 0 {
			offered = slices.DeleteFunc(slices.Clone(offered), func(m merchant.Method) bool { return !slices.Contains(g.Methods, m) })
		}
	}
	if m != "" && (!slices.Contains(offered, m) || asked != "" && m != asked) {
		return Continuation{}, domain.InvalidField("method", "is not offered for this payment")
	}
	o, err := c.open(ctx, app, p)
	if err != nil {
		return Continuation{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	return o.company.Begin(ctx, o.account, o.order, o.made, m)
}

// Hash signs a text that the script of a payin's gateway asks for by a name. domain.NotFound when the gateway has no such thing.
func (c *Checkouts) Hash(ctx context.Context, app merchant.Merchant, p wallet.Payment, name, text string) (string, error) {
	if err := c.payable(&p); err != nil {
		return "", err
	}
	o, err := c.open(ctx, app, p)
	if err != nil {
		return "", err
	}
	h, does := o.company.(Hasher)
	if !does {
		return "", domain.Errorf(domain.NotFound, "gateway %s has no hashes", p.Gateway)
	}
	return h.Hash(o.account, o.order, name, text)
}

// Return takes what the browser of a payin's customer brings back from its gateway's page, query and form together, and returns the payin after
// it. It counts as far as the gateway's signature on it goes; where it says nothing of a payment, and where that is no proof (Spec.Hearsay), the gateway is asked. A forged one changes
// nothing, and is kept. Errors: ErrSignature, ErrStale, ErrMalformed; domain.Stale when the payin has no order; any other: try again.
func (c *Checkouts) Return(ctx context.Context, app merchant.Merchant, p wallet.Payment, form url.Values) (wallet.Payment, error) {
	o, err := c.open(ctx, app, p)
	if err != nil {
		return p, err
	}
	calling, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	m, err := o.company.ParseReturn(calling, o.account, o.order, o.made, form, c.clock())
	cancel()
	if why := refusedAs(err); why != "" {
		c.count.count(p.Gateway, CountReturnRefused)
		c.keepRefused(ctx, kept{
			Merchant: app.ID, Config: p.Checkout.Config, Gateway: p.Gateway, Reason: "return: " + why,
			MediaType: "application/x-www-form-urlencoded", Body: []byte(form.Encode()),
		})
		return p, err
	}
	if err != nil {
		return p, fmt.Errorf("verifying what came back about payin %s: %w", p.Payment, err)
	}
	if m.Payment == nil {
		return c.refresh(ctx, app, p, true)
	}
	if m.Reference == "" {
		m.Reference = p.Payment
	}
	if len(m.Body) == 0 {
		m.Raw = Raw{Body: []byte(form.Encode()), MediaType: "application/x-www-form-urlencoded"}
	}
	err = c.hear(ctx, &place{app: app, config: p.Checkout.Config, gateway: p.Gateway}, p, m, 0)
	if errors.Is(err, errDoubted) { // that the customer is back is all that it says: a webhook, the page that waits and the expiry ask again
		c.keepRefused(ctx, kept{
			Merchant: app.ID, Config: p.Checkout.Config, Gateway: p.Gateway, Reason: "return: " + err.Error(),
			MediaType: m.MediaType, Body: m.Body,
		})
		return p, nil
	}
	if err != nil {
		return p, err
	}
	return c.ledger.Payment(ctx, p.Merchant, p.Payment)
}

// refusedAs is why a message was not believed; "" when it was, or when that could not be told.
func refusedAs(err error) string {
	switch {
	case errors.Is(err, ErrSignature):
		return "forged"
	case errors.Is(err, ErrStale):
		return "stale"
	case errors.Is(err, ErrMalformed):
		return "malformed"
	}
	return ""
}

// seldom is how much longer the gap is for a payin that is not expected to be paid any more.
const seldom = 10

// Refresh asks the gateway of a payin whether it was paid, for a page that waits, and returns the payin after it. It asks once in
// CheckoutOptions.RefreshGap for each payin; a payin that is paid, or has no order, is returned as it is. What is definitely not paid stays as it
// is too: the customer may try again.
func (c *Checkouts) Refresh(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error) {
	return c.refresh(ctx, app, p, false)
}

// refresh is Refresh; over says that the customer has come back from the gateway's page, so that a refusal counts.
func (c *Checkouts) refresh(ctx context.Context, app merchant.Merchant, p wallet.Payment, over bool) (wallet.Payment, error) {
	if err := belongs(app, p); err != nil {
		return p, err
	}
	p, err := c.ledger.Payment(ctx, p.Merchant, p.Payment)
	if err != nil || p.Status == wallet.Success || p.Checkout.Order == "" || !c.mayAsk(&p) {
		return p, err
	}
	if err := c.collect(ctx, &app, p, over); err != nil {
		return p, err
	}
	return c.ledger.Payment(ctx, p.Merchant, p.Payment)
}

// mayAsk keeps pages from having a gateway asked all the time.
func (c *Checkouts) mayAsk(p *wallet.Payment) bool {
	gap, now, may := c.o.RefreshGap, c.clock(), false
	if p.Status != wallet.Pending {
		gap *= seldom
	}
	c.asked.update(p.Payment, func(last time.Time, there bool) (time.Time, bool) {
		if may = !there || now.Sub(last) >= gap; may {
			last = now
		}
		return last, true
	})
	return may
}

// Collect takes what the customer of a payin that has its order has authorised, and returns the payments of it. It reports nothing.
func (c *Checkouts) Collect(ctx context.Context, p wallet.Payment) (Payments, error) {
	app, err := c.apps.Merchant(ctx, p.Merchant)
	if err != nil {
		return Payments{}, err
	}
	return c.payments(ctx, app, p)
}

func (c *Checkouts) payments(ctx context.Context, app merchant.Merchant, p wallet.Payment) (Payments, error) {
	o, err := c.open(ctx, app, p)
	if err != nil {
		return Payments{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.CallTimeout)
	defer cancel()
	c.count.count(p.Gateway, CountInquired)
	found, err := o.company.Collect(ctx, o.account, o.order, o.made)
	if err != nil {
		c.count.count(p.Gateway, CountUnknown)
		return Payments{}, fmt.Errorf("asking for payments of %s: %w", p.Payment, err)
	}
	return found, nil
}

// collect collects and reports. A refusal is reported only of a payin that waits, and when refusals count.
func (c *Checkouts) collect(ctx context.Context, app *merchant.Merchant, p wallet.Payment, refusals bool) error {
	found, err := c.payments(ctx, *app, p)
	if err != nil {
		return err
	}
	at := &place{app: *app, config: p.Checkout.Config, gateway: p.Gateway}
	var errs []error // one that cannot be booked does not hold up the others
	for _, pay := range definite(found, refusals && p.Status == wallet.Pending) {
		m := Message{Reference: p.Payment, OrderID: p.Checkout.Order, Payment: &pay, Raw: found.Raw}
		if err := c.report(ctx, at, p, m); err != nil {
			errs = append(errs, fmt.Errorf("reporting payment %s of %s: %w", pay.PaymentID, p.Payment, err))
		}
	}
	return errors.Join(errs...)
}

// definite are the payments to report: those that were made; or else, if refusals count, the last refusal.
func definite(found Payments, refusals bool) []Payment {
	paid := slices.DeleteFunc(slices.Clone(found.List), func(pay Payment) bool { return !pay.Paid })
	if len(paid) == 0 && len(found.List) > 0 && refusals {
		return found.List[len(found.List)-1:] // beside a payment, refusals do not matter
	}
	return paid
}
