package cashfree

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// Name is the gateway's name in events, accounts and URLs.
const Name = "cashfree"

// Where Cashfree is. Account.Base stands for these: an address without /pg.
const (
	liveBase = "https://api.cashfree.com"
	testBase = "https://sandbox.cashfree.com"
)

// apiVersion is of requests and answers; webhooks have that of the dashboard.
const apiVersion = "2025-01-01"

// Credentials of an account.
const (
	keyID     = "client_id"
	keySecret = "client_secret"
)

const (
	maxReason = 200 // runes of what Cashfree says of a refusal
	maxID     = 64  // bytes of an id of Cashfree's, of an order and of a refund
)

// Client is the adapter. It keeps nothing but connections.
type Client struct{ http *http.Client }

var (
	_ gateway.Checkout      = (*Client)(nil)
	_ gateway.DisputeTeller = (*Client)(nil)
)

// New makes the adapter. Close drops its idle connections.
func New() *Client { return &Client{http: wire.NewClient()} }

// Close drops idle connections.
func (g *Client) Close() { g.http.CloseIdleConnections() }

// Spec meets gateway.Checkout. Of the many currencies that Cashfree can be asked to enable, these are the ones with two decimals that the ledger knows.
func (g *Client) Spec() gateway.Spec {
	return gateway.Spec{
		Name: Name, Title: "Cashfree", Keys: []string{keyID, keySecret}, Public: keyID, Hearsay: true,
		Currencies: []money.Currency{money.INR, "USD", "EUR", "GBP", "AED", "SGD"},
		Methods:    merchant.Methods(),
	}
}

// Check meets gateway.Checkout: it asks for an order that nobody has made.
func (g *Client) Check(ctx context.Context, a gateway.Account) error {
	_, err := g.call(ctx, a, http.MethodGet, "/orders/credentials-check", nil, "", &struct{}{})
	if _, none := missing(err); none {
		return nil
	}
	return err
}

// refusal is a *gateway.Declined with the status it came with.
type refusal struct {
	gateway.Declined
	status int
	raw    gateway.Raw
}

// Unwrap makes it a *gateway.Declined.
func (r *refusal) Unwrap() error { return &r.Declined }

// exists reports whether err is the refusal to make for the second time what there is; the codes are order_already_exists and refund_id_already_exists.
func exists(err error) bool {
	r := new(refusal)
	return errors.As(err, &r) && strings.HasSuffix(strings.ToLower(r.Code), "already_exists")
}

// missing is the refusal that says that there is no such thing.
func missing(err error) (*refusal, bool) {
	r := new(refusal)
	return r, errors.As(err, &r) && r.status == http.StatusNotFound
}

// call asks Cashfree, and reads a 2xx answer into said. Its errors are of the three kinds of gateway.Checkout.
func (g *Client) call(ctx context.Context, a gateway.Account, method, path string, body []byte, key string, said any) (gateway.Raw, error) {
	req, err := request(ctx, a, method, path, body)
	if err != nil {
		return gateway.Raw{}, err
	}
	req.Header.Set("x-client-id", a.Credentials[keyID])
	req.Header.Set("x-client-secret", a.Credentials[keySecret])
	if key != "" {
		req.Header.Set("x-idempotency-key", key)
	}
	return g.do(req, said)
}

// request makes one without credentials.
func request(ctx context.Context, a gateway.Account, method, path string, body []byte) (*http.Request, error) {
	base, err := wire.Base(a, liveBase, testBase)
	if err != nil {
		return nil, fmt.Errorf("cashfree: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/pg"+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("cashfree: a request that cannot be made")
	}
	req.Header.Set("x-api-version", apiVersion)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func (g *Client) do(req *http.Request, said any) (gateway.Raw, error) {
	answer, err := wire.Do(g.http, req)
	if err != nil {
		return gateway.Raw{}, fmt.Errorf("cashfree: %w", err)
	}
	if answer.Outcome() != wire.Good {
		return gateway.Raw{}, refused(answer)
	}
	if err := wire.Read(answer.Body, said); err != nil {
		return gateway.Raw{}, fmt.Errorf("cashfree: an answer of status %d: %w", answer.Status, err)
	}
	return answer.Raw, nil
}

// refused reads an answer that is not 2xx. Only what is in Cashfree's own format says anything; and of that, what is about the request and
// not about the network, the rate or the key of idempotency.
func refused(answer wire.Answer) error {
	var said struct {
		Message string `json:"message"`
		Code    string `json:"code"`
		Type    string `json:"type"`
	}
	unknown := fmt.Errorf("cashfree: %w", answer.Unknown())
	if wire.Read(answer.Body, &said) != nil || said.Type == "" && said.Code == "" {
		return unknown
	}
	switch said.Type {
	case "invalid_request_error", "authentication_error", "feature_not_enabled", "validation_error":
	default: // api_error, api_connection_error, bad_gateway_error, rate_limit_error, idempotency_error
		return unknown
	}
	switch outcome := answer.Outcome(); {
	case outcome == wire.Stranger:
		return fmt.Errorf("cashfree: %w", gateway.ErrCredentials)
	case outcome != wire.Refused && answer.Status != http.StatusConflict: // 409 is definite here: what is still under way has a type of its own
		return unknown
	}
	return &refusal{
		Declined: gateway.Declined{Code: wire.Text(said.Code, maxID), Reason: reason(said.Message)}, status: answer.Status, raw: answer.Raw,
	}
}

// unsettled makes a refusal to tell something into an error that settles nothing: that Cashfree does not show an order or a refund is not
// that there is none, nor that there will be none. Keys of another account of the merchant's would look like that.
func unsettled(err error) error {
	if r := new(refusal); errors.As(err, &r) {
		return fmt.Errorf("cashfree: asked what there is, it answers %d, %s", r.status, r.Code)
	}
	return err
}

var (
	quoted   = regexp.MustCompile(`(?i)value received.*`)                           // what the request had, which may be a customer's phone
	personal = regexp.MustCompile(`[^\s:,;]+@[^\s:,;]+|\+?[0-9][0-9 ()-]{5,}[0-9]`) // an address, a number of a phone or card
)

// reason is what Cashfree says, without what it repeats of the request.
func reason(message string) string {
	return wire.Text(personal.ReplaceAllString(quoted.ReplaceAllString(message, ""), "..."), maxReason)
}

// idempotencyKey is the same for the same words, and a UUID.
func idempotencyKey(words ...string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("cashfree:"+strings.Join(words, "\n"))).String()
}

// ident is an id, which Cashfree writes as a number in some versions and as a string in others. "" is none.
type ident string

// UnmarshalJSON reads a string, a whole number, or null.
func (i *ident) UnmarshalJSON(b []byte) error {
	s := string(b)
	switch {
	case s == "null":
		*i = ""
		return nil
	case s != "" && s[0] == '"':
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return errors.New("an id that is no text")
		}
		s = text
	case !digits(s):
		return errors.New("an id that is no whole number")
	}
	if s != "" && !reference(s) {
		return errors.New("an id that is too long or not of letters")
	}
	*i = ident(s)
	return nil
}

// reference reports whether s can be an id of an order or a refund of ours.
func reference(s string) bool {
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// amount reads a decimal number of a currency, exactly.
func amount(n json.Number, currency string) (money.Amount, error) {
	return money.Parse(n.String(), money.Currency(currency))
}

// number writes an amount as a JSON number.
func number(a money.Amount) json.Number { return json.Number(a.Fixed()) }

// at reads a time; zero when it is none.
func at(texts ...string) time.Time {
	for _, s := range texts {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
