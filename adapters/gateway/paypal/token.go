package paypal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

// Bounds of the tokens that are kept.
const (
	maxTokens   = 256            // accounts
	maxTokenAge = 12 * time.Hour // whatever PayPal says
	tokenMargin = 2 * time.Minute
	maxToken    = 4096 // bytes
)

// tokens keeps the access tokens of accounts, for as long as they are good.
type tokens struct {
	clock func() time.Time

	mu sync.Mutex
	of map[tokenKey]*tokenEntry // bounded by maxTokens
}

// tokenKey is an account, with its secret: whoever changes that gets a new token.
type tokenKey [sha256.Size]byte

// tokenEntry is an account's token. Whoever holds turn fetches it; value and until are guarded by tokens.mu.
type tokenEntry struct {
	turn  chan struct{} // one at a time
	value string
	until time.Time
}

func newTokens(clock func() time.Time) *tokens {
	return &tokens{clock: clock, of: map[tokenKey]*tokenEntry{}}
}

func keyOf(base string, a gateway.Account) tokenKey {
	return sha256.Sum256([]byte(strings.Join([]string{base, a.Config, a.Credentials[keyID], a.Credentials[keySecret]}, "\x00")))
}

// entry finds the entry of an account, or makes it in place of the one that ends first.
func (t *tokens) entry(key tokenKey) *tokenEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, there := t.of[key]
	if there {
		return e
	}
	if len(t.of) >= maxTokens {
		var first tokenKey
		found := false
		for k, other := range t.of {
			if !found || other.until.Before(t.of[first].until) {
				first, found = k, true
			}
		}
		delete(t.of, first)
	}
	e = &tokenEntry{turn: make(chan struct{}, 1)}
	t.of[key] = e
	return e
}

// good is the entry's token; "" when it has none that is good.
func (t *tokens) good(e *tokenEntry) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clock().Before(e.until) {
		return e.value
	}
	return ""
}

func (t *tokens) keep(e *tokenEntry, value string, lasts time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.value, e.until = value, t.clock().Add(min(lasts, maxTokenAge)-tokenMargin)
}

// forget drops a token that PayPal does not take, unless another has taken its place.
func (t *tokens) forget(base string, a gateway.Account, value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e, there := t.of[keyOf(base, a)]; there && e.value == value {
		e.value, e.until = "", time.Time{}
	}
}

// token is an access token of the account: the one that is kept, or a new one. Those who wait for it while somebody fetches it do so no longer than their
// ctx.
func (g *Client) token(ctx context.Context, base string, a gateway.Account) (string, error) {
	e := g.tokens.entry(keyOf(base, a))
	if value := g.tokens.good(e); value != "" {
		return value, nil
	}
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return "", fmt.Errorf("paypal: waiting for an access token: %w", ctx.Err())
	}
	defer func() { <-e.turn }()
	if value := g.tokens.good(e); value != "" {
		return value, nil
	}
	value, lasts, err := g.fetchToken(ctx, base, a)
	if err != nil {
		return "", err
	}
	g.tokens.keep(e, value, lasts)
	return value, nil
}

// fetchToken asks PayPal for an access token.
func (g *Client) fetchToken(ctx context.Context, base string, a gateway.Account) (value string, lasts time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return "", 0, errors.New("paypal: a request that cannot be made")
	}
	req.SetBasicAuth(a.Credentials[keyID], a.Credentials[keySecret])
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := wire.Do(g.http, req)
	if err != nil {
		return "", 0, fmt.Errorf("paypal: access token: %w", err)
	}
	if answer.Outcome() != wire.Good {
		err := refused(answer)
		if declined := new(gateway.Declined); errors.As(err, &declined) { // nothing about what the token is for
			err = fmt.Errorf("paypal: %w", answer.Unknown())
		}
		return "", 0, fmt.Errorf("access token: %w", err)
	}
	var said struct {
		Token string `json:"access_token"`
		Type  string `json:"token_type"`
		Lasts int64  `json:"expires_in"` // seconds
	}
	err = wire.Read(answer.Body, &said)
	printable := !strings.ContainsFunc(said.Token, func(r rune) bool { return r <= ' ' || r > '~' })
	if err != nil || said.Token == "" || len(said.Token) > maxToken || !printable || !strings.EqualFold(said.Type, "Bearer") || said.Lasts < 0 {
		return "", 0, errors.New("paypal: an answer that is no access token")
	}
	return said.Token, time.Duration(min(said.Lasts, int64(maxTokenAge/time.Second))) * time.Second, nil
}
