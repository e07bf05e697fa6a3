package paypal_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/paypal"
)

func TestCheck(t *testing.T) {
	f, g := newFake(t), newClient(t)
	if err := g.Check(t.Context(), f.account()); err != nil {
		t.Errorf("good credentials: %v", err)
	}
	wrong := f.account()
	wrong.Credentials = map[string]string{"client_id": "AaBb", "client_secret": "hidden-words"}
	if err := g.Check(t.Context(), wrong); !errors.Is(err, gateway.ErrCredentials) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("wrong credentials: %v", err)
	}
	if _, err := g.CreateOrder(t.Context(), wrong, order()); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("wrong credentials, an order: %v", err)
	}
	for name, h := range broken() {
		f.once(h)
		if err := g.Check(t.Context(), f.account()); !unknown(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, body := range map[string]string{
		"no token":       `{"token_type":"Bearer","expires_in":1}`,
		"another type":   `{"access_token":"a","token_type":"Mac","expires_in":1}`,
		"two lines":      `{"access_token":"a\r\nX: y","token_type":"Bearer","expires_in":1}`,
		"below zero":     `{"access_token":"a","token_type":"Bearer","expires_in":-1}`,
		"too long":       `{"access_token":"` + strings.Repeat("a", 5000) + `","token_type":"Bearer","expires_in":1}`,
		"a request that": `{"error":"unsupported_grant_type"}`,
	} {
		f.once(func(w http.ResponseWriter, _ *http.Request) {
			if _, err := w.Write([]byte(body)); err != nil {
				t.Error(err)
			}
		})
		if err := g.Check(t.Context(), f.account()); !unknown(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.once(func(w http.ResponseWriter, _ *http.Request) { f.fail(w, 400, "INVALID_REQUEST", "x", "y") })
	if err := g.Check(t.Context(), f.account()); !unknown(err) {
		t.Errorf("a token that is refused is no refusal of what it is for: %v", err)
	}
}

// TestTokens: a token is fetched once, and again when it ends, when PayPal does not take it any more, and for another secret.
func TestTokens(t *testing.T) {
	f := newFake(t)
	now := made
	var mu sync.Mutex
	g := paypal.New(func() time.Time { mu.Lock(); defer mu.Unlock(); return now })
	t.Cleanup(g.Close)
	ask := func() {
		t.Helper()
		if _, err := g.CreateOrder(t.Context(), f.account(), order()); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(ask)
	}
	wg.Wait()
	if f.tokens != 1 {
		t.Errorf("%d tokens for 20 at once", f.tokens)
	}
	mu.Lock()
	now = now.Add(9*time.Hour - time.Minute)
	mu.Unlock()
	ask()
	if f.tokens != 2 {
		t.Errorf("%d tokens after the first has ended", f.tokens)
	}
	f.tokens++ // PayPal does not take the second any more
	f.log()
	ask()
	if log := f.log(); log != "POST /v2/checkout/orders, POST /v1/oauth2/token, POST /v2/checkout/orders" {
		t.Errorf("a token that was revoked: %s", log)
	}
	f.all(func(w http.ResponseWriter, _ *http.Request) {
		f.write(w, 401, map[string]any{"error": "invalid_token"})
	})
	f.log()
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("no token is taken: %v", err)
	}
	if log := f.log(); strings.Count(log, "orders") != 2 || strings.Count(log, "token") != 1 {
		t.Errorf("no token is taken: %s", log)
	}
}

// TestTokenWaits: whoever waits for a token that another fetches waits no longer than he may.
func TestTokenWaits(t *testing.T) {
	f, g := newFake(t), newClient(t)
	fetching, end := make(chan struct{}), make(chan struct{})
	f.once(func(w http.ResponseWriter, r *http.Request) {
		close(fetching)
		<-end
		broken()["503"](w, r)
	})
	done := make(chan error, 1)
	go func() {
		_, err := g.CreateOrder(context.WithoutCancel(t.Context()), f.account(), order())
		done <- err
	}()
	<-fetching
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.CreateOrder(ctx, f.account(), order()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(end)
	if err := <-done; !unknown(err) {
		t.Errorf("%v", err)
	}
	if _, err := g.CreateOrder(t.Context(), f.account(), order()); err != nil || f.tokens != 1 {
		t.Errorf("%d tokens, %v", f.tokens, err)
	}
}
