package kspay

import (
	"errors"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
)

// pairFromBody authenticates by accessKey and secretKey of the body: as an app's, whose id is given.
func (c *call) pairFromBody(appID string) error {
	accessKey, secretKey, err := c.bodyPair()
	if err != nil {
		return err
	}
	return c.pair(appID, accessKey, secretKey)
}

// bodyPair reads accessKey and secretKey from the body.
func (c *call) bodyPair() (accessKey, secretKey string, err error) {
	f, err := c.form()
	if err != nil {
		return "", "", err
	}
	if accessKey, err = f.text("accessKey", "accesskey"); err != nil {
		return "", "", err
	}
	if secretKey, err = f.text("secretKey", "secretkey"); err != nil {
		return "", "", err
	}
	return accessKey, secretKey, credentials(accessKey, secretKey)
}

// pathApp is the app in the path, if it can be one.
func (c *call) pathApp() (string, error) {
	id := c.r.PathValue("appId")
	if !merchant.ValidID("ap_", id) {
		return "", wrongID("ap_")
	}
	return id, nil
}

func (a *API) generateToken(c *call) error {
	id, err := c.pathApp()
	if err != nil {
		return err
	}
	if err := c.pairFromBody(id); err != nil {
		return err
	}
	c.tokens()
	return nil
}

// tokens answers with a new pair for the authenticated key.
func (c *call) tokens() {
	a, now := c.api, c.now()
	t := ticket.Ticket{App: c.app.ID, KeyID: c.key.ID, ID: ticket.NewID()}
	access := a.tickets.Mint(ticket.Access, t, now.Add(a.opts.TokenLife))
	t.ID = ticket.NewID()
	var o object
	o.text("accessToken", access)
	o.text("refreshToken", a.tickets.Mint(ticket.Refresh, t, now.Add(a.opts.RefreshLife)))
	c.succeed(http.StatusCreated, o.end())
}

func (a *API) generateSignature(c *call) error {
	id, err := c.pathApp()
	if err != nil {
		return err
	}
	if err := c.pairFromBody(id); err != nil {
		return err
	}
	c.succeed(http.StatusCreated, httpapi.AppendString(nil, c.signature("", ticket.NewID())))
	return nil
}

// signature mints one: of a transaction, or, with none, to initiate with.
func (c *call) signature(transaction, id string) string {
	t := ticket.Ticket{App: c.app.ID, KeyID: c.key.ID, Subject: transaction, ID: id}
	return c.api.tickets.Mint(ticket.Signature, t, c.now().Add(c.api.opts.SignatureLife))
}

// refreshToken gives a new pair for a refresh token and the credentials. The token is spent before: who dies in between asks for a new pair
// by the credentials alone.
func (a *API) refreshToken(c *call) error {
	text, err := c.tokenText()
	if err != nil {
		return err
	}
	t, err := a.tickets.Open(ticket.Refresh, text, c.now())
	switch {
	case errors.Is(err, ticket.ErrExpired):
		return refuse("auth/refreshTokenExpired")
	case err != nil:
		return denied("auth/invalidRefreshToken")
	}
	if err := c.pairFromBody(t.App); err != nil {
		return err
	}
	m, err := c.knowing(c.app, inStore, func(k merchant.Key) bool { return k.ID == t.KeyID })
	if err != nil {
		return err
	}
	if key, found := m.KeyByID(t.KeyID); !found || !key.Active(c.now()) {
		return denied("auth/invalidRefreshToken")
	}
	// A minute more than it can be used for, since clocks of several servers differ. That is the token's own time: it was perhaps given when the
	// setting was another one.
	first, err := a.ports.Spent.SpendOnce(c.r.Context(), "kspay-refresh:"+t.ID, a.tickets.Expires(ticket.Refresh, text).Add(time.Minute))
	switch {
	case err != nil:
		return failed("spending a refresh token", err)
	case !first:
		return denied("auth/refreshTokenExpired")
	}
	c.tokens()
	return nil
}
