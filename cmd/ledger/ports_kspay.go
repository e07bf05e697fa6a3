package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi/checkout"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/projections"
)

// appReader finds apps for requests: as they are in the log, or were within the last second.
type appReader struct {
	*ports
	clock func() time.Time

	mu   sync.Mutex
	kept map[string]appRead
}

type appRead struct {
	m  merchant.Merchant
	at time.Time
}

// What is kept of merchants that were read for a request.
const (
	appAge   = time.Second
	mostApps = 1000
)

// Merchant reads a merchant. What changes it counts for everybody within a second, in whatever process it was made.
func (a *appReader) Merchant(ctx context.Context, id string) (merchant.Merchant, error) {
	asked := a.clock()
	a.mu.Lock()
	read, there := a.kept[id]
	a.mu.Unlock()
	if there && asked.Sub(read.at) < appAge {
		return read.m, nil
	}
	return a.MerchantNow(ctx, id)
}

// MerchantNow reads a merchant as it is now.
func (a *appReader) MerchantNow(ctx context.Context, id string) (merchant.Merchant, error) {
	asked := a.clock()
	m, err := a.Ledger.Merchant(ctx, id)
	if err != nil {
		return m, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if read, there := a.kept[id]; there && asked.Before(read.at) { // somebody has read it since
		return m, nil
	}
	if len(a.kept) >= mostApps {
		clear(a.kept) // they are read again at once
	}
	a.kept[id] = appRead{m, asked}
	return m, nil
}

// Payins returns a page of an app's payins.
func (a *appReader) Payins(ctx context.Context, q kspay.Query) (kspay.Page, error) {
	page, err := a.views.ListPayins(ctx, projections.Filter{Merchant: q.App, From: q.From, To: q.Until, Page: q.Page, Limit: q.Limit})
	return kspay.Page{Items: page.Items, Total: page.Total}, err
}

// kspayCheckouts gives checkouts the shape of the KS Pay API.
type kspayCheckouts struct{ *gateway.Checkouts }

// Ensure has the order of a payin made.
func (k kspayCheckouts) Ensure(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error) {
	after, err := k.Checkouts.Ensure(ctx, app, p)
	var failed *gateway.OrderError
	if errors.As(err, &failed) {
		name := after.Gateway
		if g, there := app.App.Gateway(failed.Config); there {
			name = g.Gateway
		}
		return after, &kspay.OrderError{Gateway: name, Credentials: failed.Credentials(), Unknown: failed.Unknown, Err: err}
	}
	return after, err
}

// Client says what the customer's side needs of a payin that has its order.
func (k kspayCheckouts) Client(ctx context.Context, app merchant.Merchant, p wallet.Payment) (kspay.ClientSide, error) {
	c, err := k.Checkouts.Client(ctx, app, p)
	if err != nil {
		return kspay.ClientSide{}, err
	}
	out := kspay.ClientSide{Gateway: c.Gateway, ClientID: c.ClientID, Live: c.Live, OrderID: c.OrderID, Config: c.Config}
	for _, f := range c.Details {
		out.Details = append(out.Details, kspay.Field(f))
	}
	return out, nil
}

// pageCheckouts gives checkouts the shape of the checkout page.
type pageCheckouts struct{ *gateway.Checkouts }

// Company knows a gateway by its name.
func (k pageCheckouts) Company(name string) checkout.Company {
	s, built := k.Spec(name)
	if !built {
		return checkout.Company{}
	}
	return checkout.Company{Title: s.Title, Methods: s.Methods}
}

// Begin says how the customer's browser goes on.
func (k pageCheckouts) Begin(ctx context.Context, app merchant.Merchant, p wallet.Payment, m merchant.Method) (checkout.Next, error) {
	c, err := k.Checkouts.Begin(ctx, app, p, m)
	if err != nil {
		return checkout.Next{}, err
	}
	next := checkout.Next{Post: c.Post, URL: c.URL, UPI: c.UPI}
	for _, f := range c.Fields {
		next.Fields = append(next.Fields, checkout.Field(f))
	}
	return next, nil
}

// checkoutOf is the page on which a payin is paid.
func (l *links) checkoutOf(p wallet.Payment) string {
	return l.checkout(p.Merchant, p.Payment, p.ExpiresAt)
}

// back is where a customer's browser comes back to from the page of a gateway.
func (l *links) back(p wallet.Payment) string { return l.checkoutOf(p) + "/return" }

// submitMargin is what handling an order takes beside asking for it.
const submitMargin = 5 * time.Second

// joinCheckouts makes what takes payins through the gateways of their apps.
func (s *server) joinCheckouts(ctx context.Context, base string, opts gateway.Options) (err error) {
	s.links = &links{public: base}
	if s.cfg.PublicURL != "" {
		if s.links.public, err = checkBase("--public-url", s.cfg.PublicURL); err != nil {
			return err
		}
	}
	if s.bank != nil {
		s.links.sandbox = base
		if s.cfg.SandboxURL != "" {
			if s.links.sandbox, err = checkBase("--sandbox-url", s.cfg.SandboxURL); err != nil {
				return err
			}
		}
	}
	if s.links.book, err = ticketBook(ctx, s.stores.vault); err != nil {
		return err
	}
	s.companies = checkouts()
	s.apps = &appReader{ports: s.ports, clock: time.Now, kept: map[string]appRead{}}
	s.checkouts, err = gateway.NewCheckouts(s.ports, s.stores.vault, s.stores.work, s.companies, gateway.CheckoutOptions{
		Options: opts, ReturnURL: s.links.back, WebhookURL: s.links.webhook, Base: s.links.base, Refunds: s.refunds, OrderWithin: orderWait,
	})
	if err != nil {
		return err
	}
	var names []string
	for _, spec := range s.checkouts.Specs() {
		names = append(names, spec.Name)
	}
	s.expiry.AskOrders(s.checkouts, names...)
	s.refunds.Use(s.checkouts)
	return nil
}

// desk is where apps are set up.
func (s *server) desk() *appDesk {
	return &appDesk{
		ledger: s.ports, vault: s.stores.vault, companies: s.companies, kept: s.checkouts, links: s.links, expiry: s.cfg.CheckoutExpiry,
		inFlight: inFlightIn(s.views),
	}
}

// kspay is the KS Pay API on this ledger.
func (s *server) kspay(zone *time.Location) (*kspay.API, error) {
	return kspay.New(
		kspay.Ports{
			Merchants: s.apps, Ledger: s.ports, Vault: s.stores.vault, Views: s.apps, Checkouts: kspayCheckouts{s.checkouts}, Spent: s.stores.spent,
		}, s.links.book,
		kspay.Options{
			MaxBody: min(int64(s.cfg.MaxBody), kspay.DefaultMaxBody), RateLimit: s.cfg.RateLimit, FailureLimit: kspay.DefaultFailureLimit,
			TokenLife: s.cfg.TokenLife, RefreshLife: s.cfg.RefreshLife, SignatureLife: s.cfg.SignatureLife, CheckoutExpiry: s.cfg.CheckoutExpiry,
			OrderWithin: orderWait + submitMargin, Zone: zone, CheckoutURL: s.links.checkoutOf, Logger: s.logger,
			Commands: s.admission.Commands, Reads: s.admission.Reads, Waits: s.admission.Waits,
		})
}

// pages are what customers see.
func (s *server) pages() *checkout.Pages {
	return checkout.New(
		checkout.Ports{Tickets: s.links.book, Merchants: s.apps, Payments: s.ports, Checkouts: pageCheckouts{s.checkouts}, Vault: s.stores.vault},
		checkout.Options{Logger: s.logger, Gate: s.admission.Pages})
}
