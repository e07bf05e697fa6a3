package paypal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
)

// Name is the gateway's name in events, accounts and URLs.
const Name = "paypal"

// Where PayPal is. Account.Base stands for these.
const (
	liveBase = "https://api-m.paypal.com"
	testBase = "https://api-m.sandbox.paypal.com"
)

// Credentials of an account, and the name of what webhooks are verified with.
const (
	keyID     = "client_id"
	keySecret = "client_secret"
	webhookID = "webhook_id"
)

const (
	maxReason = 200 // runes of what PayPal says of a refusal
	maxID     = 64  // bytes of an id of PayPal's
)

// maxVerifying bounds the messages that PayPal is asked about at a time: anybody can send us some.
const maxVerifying = 16

// Client is the adapter. It keeps connections, and access tokens.
type Client struct {
	http      *http.Client
	tokens    *tokens
	verifying chan struct{}
}

var (
	_ gateway.Checkout      = (*Client)(nil)
	_ gateway.DisputeTeller = (*Client)(nil)
)

// New makes the adapter. Close drops its idle connections. A nil clock is time.Now.
func New(clock func() time.Time) *Client {
	if clock == nil {
		clock = time.Now
	}
	return &Client{http: wire.NewClient(), tokens: newTokens(clock), verifying: make(chan struct{}, maxVerifying)}
}

// Close drops idle connections.
func (g *Client) Close() { g.http.CloseIdleConnections() }

// Spec meets gateway.Checkout.
func (g *Client) Spec() gateway.Spec {
	return gateway.Spec{
		Name: Name, Title: "PayPal", Keys: []string{keyID, keySecret}, Public: keyID, Webhook: webhookID,
		OnePayment: true,
		Hearsay:    true, // PayPal signs a CRC-32 of what it sends: whoever has one message of its own can make others that fit
		Currencies: currencies(), Methods: []merchant.Method{merchant.PayPal},
	}
}

// Check meets gateway.Checkout: it fetches an access token.
func (g *Client) Check(ctx context.Context, a gateway.Account) error {
	base, err := wire.Base(a, liveBase, testBase)
	if err != nil {
		return fmt.Errorf("paypal: %w", err)
	}
	_, _, err = g.fetchToken(ctx, base, a)
	return err
}

// refusal is a *gateway.Declined with what it came with.
type refusal struct {
	gateway.Declined
	status int
	issues []string // of details, such as ORDER_ALREADY_CAPTURED
	raw    gateway.Raw
}

// Unwrap makes it a *gateway.Declined.
func (r *refusal) Unwrap() error { return &r.Declined }

// refusedFor reports whether err is a refusal for one of these issues.
func refusedFor(err error, issues ...string) bool {
	r := new(refusal)
	return errors.As(err, &r) && slices.ContainsFunc(issues, func(i string) bool { return slices.Contains(r.issues, i) })
}

// missing is the refusal that says that there is no such thing.
func missing(err error) (*refusal, bool) {
	r := new(refusal)
	return r, errors.As(err, &r) && r.status == http.StatusNotFound
}

// call is one request to PayPal.
type call struct {
	method, path string
	body         []byte
	requestID    string // PayPal-Request-Id; "" for none
}

// do asks PayPal, and reads a 2xx answer into said. Its errors are of the three kinds of gateway.Checkout.
func (g *Client) do(ctx context.Context, a gateway.Account, c call, said any) (gateway.Raw, error) {
	base, err := wire.Base(a, liveBase, testBase)
	if err != nil {
		return gateway.Raw{}, fmt.Errorf("paypal: %w", err)
	}
	for again := false; ; again = true {
		token, err := g.token(ctx, base, a)
		if err != nil {
			return gateway.Raw{}, err
		}
		answer, err := g.send(ctx, base, c, token)
		if err != nil {
			return gateway.Raw{}, err
		}
		switch {
		case answer.Outcome() == wire.Good:
			if err := wire.Read(answer.Body, said); err != nil {
				return gateway.Raw{}, fmt.Errorf("paypal: an answer of status %d: %w", answer.Status, err)
			}
			return answer.Raw, nil
		case answer.Status == http.StatusUnauthorized && !again:
			g.tokens.forget(base, a, token) // ended early, or was revoked
			continue
		}
		return gateway.Raw{}, refused(answer)
	}
}

func (g *Client) send(ctx context.Context, base string, c call, token string) (wire.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, c.method, base+c.path, bytes.NewReader(c.body))
	if err != nil {
		return wire.Answer{}, errors.New("paypal: a request that cannot be made")
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json") // asked for by the documents, for requests without a body too
	req.Header.Set("Prefer", "return=representation")
	if c.requestID != "" {
		req.Header.Set("PayPal-Request-Id", c.requestID)
	}
	answer, err := wire.Do(g.http, req)
	if err != nil {
		return wire.Answer{}, fmt.Errorf("paypal: %w", err)
	}
	return answer, nil
}

// refused reads an answer that is not 2xx. Only what is in PayPal's own format says anything. 409 says nothing: a request of the same id is still under
// way.
func refused(answer wire.Answer) error {
	var said struct {
		Name    string `json:"name"`
		Message string `json:"message"`
		Debug   string `json:"debug_id"`
		Details []struct {
			Issue       string `json:"issue"`
			Description string `json:"description"`
		} `json:"details"`
		Error string `json:"error"` // of authentication: invalid_token, invalid_client
	}
	unknown := fmt.Errorf("paypal: %w", answer.Unknown())
	if wire.Read(answer.Body, &said) != nil {
		return unknown
	}
	own := said.Name != "" && (said.Debug != "" || len(said.Details) > 0)
	switch outcome := answer.Outcome(); {
	case outcome == wire.Stranger && (own || said.Error != ""):
		return fmt.Errorf("paypal: %w", gateway.ErrCredentials)
	case outcome != wire.Refused || !own:
		return unknown
	}
	r := &refusal{Declined: gateway.Declined{Code: wire.Text(said.Name, maxID), Reason: said.Message}, status: answer.Status, raw: answer.Raw}
	for i, d := range said.Details {
		r.issues = append(r.issues, d.Issue)
		if i == 0 {
			r.Code, r.Reason = wire.Text(d.Issue, maxID), d.Description
		}
	}
	r.Reason = reason(r.Reason)
	return r
}

// unsettled makes a refusal to tell something into an error that settles nothing: that PayPal does not show an order or a refund is not that
// there is none, nor that there will be none. Keys of another account of the merchant's would look like that.
func unsettled(err error) error {
	if r := new(refusal); errors.As(err, &r) {
		return fmt.Errorf("paypal: asked what there is, it answers %d, %s", r.status, r.Code)
	}
	return err
}

// personal is an address, a number of a phone or card.
var personal = regexp.MustCompile(`[^\s:,;]+@[^\s:,;]+|\+?[0-9][0-9 ()-]{5,}[0-9]`)

// reason is what PayPal says. It does not repeat what it was sent, except in `value`, which is not read.
func reason(said string) string { return wire.Text(personal.ReplaceAllString(said, "..."), maxReason) }

// id reports whether s is an id of PayPal's. They go into addresses.
func id(s string) bool {
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '-'
	})
}

// at reads a time; zero when it is none.
func at(texts ...string) time.Time {
	for _, s := range texts {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
