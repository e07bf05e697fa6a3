package kspay

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Gateways whose clients the document knows.
const (
	razorpay = "razorpay"
	payu     = "payu"
)

// process gives the order of the transaction that the signature initiated to the customer's client, and has it made first, unless there is
// one.
func (a *API) process(c *call) error {
	if err := c.signed(); err != nil {
		return err
	}
	p, err := c.transactionOfSignature()
	if err != nil {
		return err
	}
	if err := c.payable(&p); err != nil {
		return err
	}
	if p, err = c.ordered(p); err != nil {
		return err
	}
	side, err := c.clientSide(p)
	if err != nil {
		return err
	}
	order := orderOf(&p, &side, a.opts.CheckoutURL(p))
	c.succeed(http.StatusCreated, order, member{"order", order})
	return nil
}

// transactionOfSignature finds what the signature is about: the transaction that it names; the one that the body names, if the signature has
// initiated it; or the only one that it has initiated.
func (c *call) transactionOfSignature() (wallet.Payment, error) {
	f, err := c.form()
	if err != nil {
		return wallet.Payment{}, err
	}
	named, err := f.text("pe_txnId")
	if err != nil {
		return wallet.Payment{}, err
	}
	switch {
	case named != "" && !merchant.ValidID(transactionPrefix, named):
		return wallet.Payment{}, wrongID(transactionPrefix)
	case c.token.Subject != "" && named != "" && named != c.token.Subject:
		return wallet.Payment{}, refuse("systemError/noDataFound")
	case c.token.Subject != "":
		return c.payin(c.token.Subject)
	case named != "":
		p, err := c.payin(named)
		if err == nil && p.Checkout.Signature != c.token.ID {
			err = refuse("systemError/noDataFound")
		}
		return p, err
	}
	ctx := c.r.Context()
	at, found, err := c.api.ports.Ledger.Lookup(ctx, c.app.ID, wallet.SignatureKey(c.app.ID, c.token.ID, 1))
	if err != nil {
		return wallet.Payment{}, failed("looking up a signature", err)
	}
	if !found {
		return wallet.Payment{}, refuse("systemError/noDataFound")
	}
	_, several, err := c.api.ports.Ledger.Lookup(ctx, c.app.ID, wallet.SignatureKey(c.app.ID, c.token.ID, 2))
	if err != nil {
		return wallet.Payment{}, failed("looking up a signature", err)
	}
	if several {
		return wallet.Payment{}, custom("This signature has initiated several transactions: name the one that is meant as pe_txnId")
	}
	p, _, err := c.held(ctx, at, "")
	return p, err
}

// payin reads one of the app's transactions, as it is now. Those of others are like those that do not exist.
func (c *call) payin(id string) (wallet.Payment, error) {
	p, err := c.api.ports.Ledger.Payment(c.r.Context(), c.app.ID, id)
	if err == nil && (p.Kind != wallet.KindPayin || p.Merchant != c.app.ID) {
		err = domain.Errorf(domain.NotFound, "it is no payin of this app")
	}
	return p, failed("reading a transaction", err)
}

// payable refuses a transaction that nobody should pay any more.
func (c *call) payable(p *wallet.Payment) error {
	switch {
	case p.Status != wallet.Pending:
		return custom("The transaction is %s already", statusOf(p))
	case !c.now().Before(p.ExpiresAt):
		return custom("The transaction has expired")
	}
	return nil
}

// ordered has the transaction's order made, whether or not the client waits for it: a call that is cut off leaves open what the gateway has
// done.
func (c *call) ordered(p wallet.Payment) (wallet.Payment, error) {
	if p.Checkout.Order != "" {
		return p, nil
	}
	if err := c.payable(&p); err != nil {
		return p, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.r.Context()), c.api.opts.OrderWithin)
	defer cancel()
	c.inWork.Leave() // a slow gateway keeps nobody out
	waiting, err := c.api.opts.Waits.Enter(ctx, c.app.ID)
	if err != nil {
		return p, c.crowded(err)
	}
	defer waiting.Leave()
	now, err := c.api.ports.Checkouts.Ensure(ctx, c.app, p)
	if err == nil {
		return now, nil
	}
	refused, is := errors.AsType[*OrderError](err)
	switch {
	case is && refused.Credentials && !refused.Unknown:
		c.api.opts.Logger.Warn("a gateway does not accept an app's account", "request_id", c.x.ID, "gateway", refused.Gateway, "app", c.app.ID, "error", refused.Err)
		return p, refuse("(top)/invalidCredentials", refused.Gateway, string(p.Currency))
	case !is && domain.CodeOf(err) == domain.NotFound:
		return p, refuse("gatewayErrors/gatewayNotFound")
	}
	return p, failedIn(inGateway, "having an order made", err)
}

// clientSide asks what the customer's client needs.
func (c *call) clientSide(p wallet.Payment) (ClientSide, error) {
	side, err := c.api.ports.Checkouts.Client(c.r.Context(), c.app, p)
	if domain.CodeOf(err) == domain.NotFound {
		return side, refuse("gatewayErrors/gatewaySpecsNotFound")
	}
	return side, failedIn(inGateway, "reading what a customer's client needs", err)
}

// orderOf is what the customer's client is given.
func orderOf(p *wallet.Payment, side *ClientSide, checkoutURL string) []byte {
	var o object
	o.text("gateway", side.Gateway)
	switch side.Gateway {
	case payu:
		o.text("mode", mode(side.Live))
		o.text("altTxnId", side.OrderID)
		var form, details object
		for _, f := range side.Details {
			if !strings.EqualFold(f.Name, "hash") {
				form.text(f.Name, f.Value)
			}
		}
		if len(form.b) == 0 {
			form.b = append(form.b, '{')
		}
		details.raw("initiateTransaction", form.end())
		o.raw("details", details.end())
	case razorpay:
		o.text("clientId", side.ClientID)
		o.raw("amount", number(p))
		o.text("providerOrderId", side.OrderID)
		o.raw("config", config(side))
	default:
		o.text("clientId", side.ClientID)
		o.raw("amount", []byte(p.Amount.Short()))
		o.text("providerOrderId", side.OrderID)
	}
	o.text("checkoutUrl", checkoutURL)
	return o.end()
}

// Bounds of what PayU's checkout asks to be hashed, in bytes.
const (
	maxHashName = 100
	maxHashText = 8000
)

// payuHash makes a hash for PayU's own checkout in the customer's client. The vendor's client sends nothing that it could be known by: no
// signature, and an origin that anybody can write. So a signature must be the transaction's own where there is one, and the rest rests on this:
// the transaction is pending and has its order at PayU, its id cannot be guessed, a browser must come from the app's domains, there is a limit
// for each transaction, and Checkouts.Hash signs nothing but what belongs to this very order.
func (a *API) payuHash(c *call) error {
	id := c.r.PathValue("altTxnId")
	if !merchant.ValidID(transactionPrefix, id) {
		return wrongID(transactionPrefix)
	}
	if err := c.ownerOf(id); err != nil {
		return err
	}
	f, err := c.form()
	if err != nil {
		return err
	}
	name, err := f.text("hashName")
	if err != nil {
		return err
	}
	text, err := f.text("hashString")
	switch {
	case err != nil:
		return err
	case name == "":
		return refuse("(top)/InvalidId", "hashName")
	case text == "":
		return refuse("(top)/InvalidId", "hashString")
	case len(name) > maxHashName || len(text) > maxHashText:
		return custom("hashName must not be longer than %d bytes, hashString not longer than %d", maxHashName, maxHashText)
	}
	p, err := c.payin(id)
	if err != nil {
		return err
	}
	if p.Gateway != payu || p.Checkout.Order == "" { // first: nothing is said here of any other transaction
		return refuse("systemError/noDataFound")
	}
	if err := c.payable(&p); err != nil {
		return err
	}
	made, err := a.ports.Checkouts.Hash(c.r.Context(), c.app, p, name, text)
	if domain.CodeOf(err) == domain.NotFound {
		return refuse("gatewayErrors/gatewaySpecsNotFound")
	}
	if err != nil {
		return failedIn(inGateway, "making a hash", err)
	}
	c.succeed(http.StatusCreated, httpapi.AppendString(nil, made))
	return nil
}

// ownerOf finds whose transaction it is: by the signature if there is one, else by its id.
func (c *call) ownerOf(id string) error {
	if len(c.r.Header[headerSignature]) > 0 {
		if err := c.signed(); err != nil {
			return err
		}
		if c.token.Subject != "" && c.token.Subject != id {
			return refuse("systemError/noDataFound")
		}
		p, err := c.payin(id)
		if err == nil && p.Checkout.Signature != c.token.ID {
			err = refuse("systemError/noDataFound")
		}
		return err
	}
	app, _, kind, found, err := c.api.ports.Views.Subject(c.r.Context(), id)
	switch {
	case err != nil:
		return failed("looking for a transaction", err)
	case !found || kind != wallet.KindPayin:
		return denied("systemError/noDataFound")
	}
	if c.app, err = c.find(app, inStore, "systemError/noDataFound"); err != nil {
		return err
	}
	if err := c.fromAllowedOrigin(); err != nil {
		return err
	}
	if c.app.Suspended {
		return refuse("keyVaultErrors/appDisabled")
	}
	return c.within(id)
}
