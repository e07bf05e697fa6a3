package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/payu"
	"github.com/khata-ledger/khata/adapters/gateway/razorpay"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// links are the addresses that customers' browsers and payment companies use.
type links struct {
	public  string // under which they reach the server
	sandbox string // where the sandbox's faces are; "" without a sandbox
	book    *ticket.Book
}

// ticketSecretName is where the vault has what tokens of the KS Pay API and of the checkout page are signed with.
const ticketSecretName = "kspay/tickets"

// ticketBook opens the book of tokens; its secret is made once.
func ticketBook(ctx context.Context, v *vault.Vault) (*ticket.Book, error) {
	secret, err := v.Secret(ctx, ticketSecretName)
	if errors.Is(err, vault.ErrNotFound) {
		err = v.ChangeSecret(ctx, ticketSecretName, func(old []byte) ([]byte, error) {
			if secret = old; len(old) == 0 { // nobody was faster
				secret = make([]byte, ticket.MinSecret)
				rand.Read(secret) //nolint:errcheck // documented never to fail
			}
			return secret, nil
		})
	}
	if err != nil {
		return nil, err
	}
	if len(secret) < ticket.MinSecret {
		return nil, fmt.Errorf("secret %s has %d bytes, and needs %d", ticketSecretName, len(secret), ticket.MinSecret)
	}
	return ticket.New(secret), nil
}

// webhook is where the company of a configuration sends its messages.
func (l *links) webhook(name, app, config string) string {
	return l.public + gateway.WebhookPath(name, app, config)
}

// ticketLife is how much longer a checkout link works than its transaction: to see what has become of it.
const ticketLife = 24 * time.Hour

// checkout is the page on which a transaction is paid.
func (l *links) checkout(app, transaction string, expires time.Time) string {
	return l.public + "/checkout/" + l.book.Mint(ticket.Checkout, ticket.Ticket{App: app, Subject: transaction}, expires.Add(ticketLife))
}

// base is the address of a gateway's API for apps of a mode: the sandbox's face for test apps of a server that has the sandbox, else "", which is the
// company's own.
func (l *links) base(name string, mode merchant.Mode) string {
	if l.sandbox == "" || mode != merchant.Test {
		return ""
	}
	switch name {
	case razorpay.Name, payu.Name:
		return l.sandbox + "/sandbox/" + name
	}
	return ""
}

// checkBase holds an address such as https://pay.example against what others are built on.
func checkBase(flag, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", usagef("%s %s: it must be an address such as https://pay.example", flag, address)
	}
	return strings.TrimRight(address, "/"), nil
}
