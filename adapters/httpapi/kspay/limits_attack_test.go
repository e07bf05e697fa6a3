package kspay_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/wallet"
)

// A customer has the signature of a transaction. However often it is sent, the app's servers, and its other customers, are served.
func TestCustomerCannotUseUpTheAppsLimit(t *testing.T) {
	s := serve(t, func(o *kspay.Options) { o.RateLimit = 5 })
	token := s.token(appA)
	mine := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"mine"`), token).get(t, "result")
	other := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"other"`), token).get(t, "result")
	for range 5 {
		if r := s.send("POST", "/transaction/process", "", "x-signature: "+mine); r.status != 201 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	s.send("POST", "/transaction/process", "", "x-signature: "+mine).want(t, "customErrors/tooManyRequests")
	if r := s.send("POST", "/transaction/process", "", "x-signature: "+other); r.status != 201 {
		t.Errorf("another customer: %d %s", r.status, r.body)
	}
	if r := s.send("GET", "/currencies", "", token); r.status != 200 {
		t.Errorf("the app's own server: %d %s", r.status, r.body)
	}
}

// What is initiated by a signature counts for its key: it is a server's, and signatures are free to make.
func TestSignaturesDoNotMultiplyTheLimit(t *testing.T) {
	s := serve(t, func(o *kspay.Options) { o.RateLimit = 6 })
	one, two := s.signature(appA), s.signature(appA)
	made := 0
	for i, signature := range []string{one, two, one, two, one, two} {
		r := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"r`+string(rune('a'+i))+`"`), signature)
		if r.status == 201 {
			made++
		}
	}
	if made != 4 { // two requests were for the signatures
		t.Errorf("%d transactions", made)
	}
}

// keeper notes until when what is spent has to be remembered.
type keeper struct {
	kspay.Spent
	until time.Time
}

func (k *keeper) SpendOnce(ctx context.Context, id string, until time.Time) (bool, error) {
	k.until = until
	return k.Spent.SpendOnce(ctx, id, until)
}

// A refresh token that was given for a day is remembered as spent for a day, also by a server that gives them for an hour by now.
func TestSpentRefreshTokenIsRememberedForItsOwnLife(t *testing.T) {
	s := serve(t)
	kept := &keeper{Spent: s.books}
	ports := s.ports()
	ports.Spent = kept
	api, err := kspay.New(ports, s.tickets, kspay.Options{
		Clock: s.clock, RefreshLife: time.Hour, CheckoutURL: func(wallet.Payment) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	router := httpapi.NewRouter()
	api.Register(router)
	server := httptest.NewServer(&httpapi.Front{Next: router, Logger: slog.New(slog.DiscardHandler)})
	defer server.Close()
	s.url = server.URL
	ends := day.Add(24 * time.Hour)
	key := s.books.apps[appA].Keys[0]
	old := s.tickets.Mint(ticket.Refresh, ticket.Ticket{App: appA, KeyID: key.ID, ID: ticket.NewID()}, ends)
	if r := s.send("POST", "/auth/refresh-token", pair(appA), "Authorization: "+old); r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if kept.until.Before(ends) {
		t.Errorf("forgotten at %s, and good until %s", kept.until, ends)
	}
}
