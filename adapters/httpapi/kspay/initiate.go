package kspay

import (
	"net/http"
	"strings"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// wanted is what a request asks to be made.
type wanted struct {
	currency  merchant.CurrencyInfo
	method    merchant.Method // "": the customer chooses
	amount    money.Amount
	reference string
	redirect  string
}

// initiate makes a transaction. With a signature its order is made at once, since a server waits for it. With a token, or the credentials in
// headers, the answer is the signature that the customer's client processes the transaction by; the order is made then.
func (a *API) initiate(c *call) error {
	atOnce, err := c.initiator()
	if err != nil {
		return err
	}
	if err := c.may(); err != nil {
		return err
	}
	f, err := c.form()
	if err != nil {
		return err
	}
	want, err := c.wanted(f, atOnce)
	if err != nil {
		return err
	}
	p, err := c.made(want, f)
	if err != nil {
		return err
	}
	if !atOnce {
		signature := httpapi.AppendString(nil, c.signature(p.Payment, p.Checkout.Signature))
		c.succeed(http.StatusCreated, signature, member{"signature", signature})
		return nil
	}
	if p, err = c.ordered(p); err != nil {
		return err
	}
	side := ClientSide{Live: c.app.App.Mode == merchant.Live}
	if c.payable(&p) == nil { // else the request is repeated long after, and there is nothing to show to a customer any more
		if side, err = c.clientSide(p); err != nil {
			return err
		}
	}
	c.succeed(http.StatusCreated, initiated(&p, &side))
	return nil
}

// initiator authenticates who initiates, and reports whether by a signature.
func (c *call) initiator() (bySignature bool, err error) {
	switch h := c.r.Header; {
	case len(h[headerSignature]) > 0:
		if err := c.signed(); err != nil {
			return true, err
		}
		if err := c.fromAllowedAddress(); err != nil {
			return true, err
		}
		if c.token.Subject != "" { // of a transaction already: a customer has it
			return true, denied("auth/unauthroizedAccess")
		}
		return true, c.within(c.key.ID)
	case c.hasToken():
		return false, c.bearer()
	case len(h[headerAccess]) > 0 || len(h[headerSecret]) > 0:
		return false, c.pairFromHeaders()
	}
	return false, refuse("auth/authTokenMissing")
}

// pairFromHeaders authenticates by accessKey and secretKey in headers; as the app that the body names, if it names one.
func (c *call) pairFromHeaders() error {
	accessKey, secretKey := strings.TrimSpace(c.r.Header.Get(headerAccess)), strings.TrimSpace(c.r.Header.Get(headerSecret))
	if err := credentials(accessKey, secretKey); err != nil {
		return err
	}
	f, err := c.form()
	if err != nil {
		return err
	}
	appID, err := f.text("appId", "appid")
	switch {
	case err != nil:
		return err
	case appID == "":
		return c.pairAlone(accessKey, secretKey)
	case !merchant.ValidID("ap_", appID):
		return wrongID("ap_")
	}
	return c.pair(appID, accessKey, secretKey)
}

// wanted reads and checks the fields. A server that has its order made at once says by which method.
func (c *call) wanted(f *form, atOnce bool) (wanted, error) {
	needed := []string{"currencyId", "amount", "referenceNumber"}
	if atOnce {
		needed = []string{"currencyId", "paymentMethodId", "amount", "referenceNumber"}
	}
	for _, name := range needed {
		if _, given := f.member(name); !given {
			return wanted{}, refuse("(top)/InvalidId", name)
		}
	}
	var texts [5]string
	for i, name := range [5]string{"currencyId", "paymentMethodId", "referenceNumber", "redirectUrl", "interfaceType"} {
		var err error
		if texts[i], err = f.text(name); err != nil {
			return wanted{}, err
		}
	}
	if err := c.namesOwnApp(f); err != nil {
		return wanted{}, err
	}
	w := wanted{reference: texts[2], redirect: texts[3]}
	var err error
	if w.currency, err = c.currency(texts[0]); err != nil {
		return w, err
	}
	if w.method, err = c.method(texts[1], w.currency); err != nil {
		return w, err
	}
	if w.amount, err = f.amount(w.currency.Code); err != nil {
		return w, err
	}
	switch {
	case !validReference(w.reference):
		return w, custom("referenceNumber must be 1 to %d letters, digits, _ and -", maxReference)
	case texts[4] != "" && texts[4] != "sdk" && texts[4] != "web":
		return w, custom("interfaceType must be sdk or web")
	case w.redirect == "":
		return w, nil
	}
	return w, c.redirect(w.redirect)
}

// namesOwnApp refuses a body that names another app than the caller's.
func (c *call) namesOwnApp(f *form) error {
	id, err := f.text("appId", "appid")
	switch {
	case err != nil || id == "" || id == c.app.ID:
		return err
	case !merchant.ValidID("ap_", id):
		return wrongID("ap_")
	}
	return denied("keyVaultErrors/userDoesNotBelongToApp")
}

// initiated is the answer to a server.
func initiated(p *wallet.Payment, side *ClientSide) []byte {
	var o object
	o.text("pe_txnId", p.Payment)
	o.text("providerOrderId", p.Checkout.Order)
	o.raw("amount", []byte(p.Amount.Short()))
	o.text("currency", string(p.Currency))
	o.text("gateway", strings.ToUpper(p.Gateway))
	o.option("method", p.Checkout.Method)
	o.text("mode", mode(side.Live))
	o.raw("config", config(side))
	return o.end()
}

func mode(live bool) string {
	if live {
		return "live"
	}
	return "sandbox"
}

// config tells the gateway's checkout which methods to show: an empty object when it shows them all.
func config(side *ClientSide) []byte {
	if len(side.Config) == 0 {
		return []byte("{}")
	}
	return side.Config
}
