package razorpay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// Name is the gateway's name in events, accounts and URLs.
const Name = "razorpay"

// base is Razorpay's API. Test and live mode are told apart by the key alone.
const base = "https://api.razorpay.com"

// Credentials of an account.
const (
	keyID     = "key_id"
	keySecret = "key_secret"
)

// Client is the adapter to Razorpay. It holds connections and nothing else: whose account it is, each call says.
type Client struct{ http *http.Client }

var (
	_ gateway.Checkout      = (*Client)(nil)
	_ gateway.DisputeTeller = (*Client)(nil)
)

// New makes the adapter. Close drops its idle connections.
func New() *Client { return &Client{http: wire.NewClient()} }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Spec meets gateway.Checkout.
func (c *Client) Spec() gateway.Spec {
	return gateway.Spec{
		Name: Name, Title: "Razorpay", Keys: []string{keyID, keySecret}, Public: keyID, Webhook: "webhook_secret", Hearsay: true,
		Currencies: currencies(),
		Methods: []merchant.Method{
			merchant.UPI, merchant.NetBanking, merchant.DebitCard, merchant.CreditCard, merchant.EWallet, merchant.PayLater,
		},
	}
}

// currencies are those that Razorpay lists (International Payments, Supported Currencies) and the ledger knows. They agree on the decimals.
func currencies() []money.Currency {
	return []money.Currency{
		money.INR, "AED", "ALL", "AMD", "AUD", "AZN", "BBD", "BDT", "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BRL", "BSD", "BTN", "BWP", "BZD",
		"CAD", "CHF", "CLP", "CNY", "COP", "CRC", "CUP", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ETB", "EUR", "FJD", "GBP", "GHS", "GIP", "GMD",
		"GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "IQD", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KRW", "KWD",
		"KYD", "KZT", "LAK", "LKR", "LRD", "LSL", "MAD", "MDL", "MKD", "MMK", "MNT", "MOP", "MUR", "MVR", "MWK", "MXN", "MYR", "NAD", "NGN", "NIO",
		"NOK", "NPR", "NZD", "OMR", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SCR", "SEK", "SGD", "SOS",
		"SZL", "THB", "TND", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD", "UYU", "UZS", "VND", "VUV", "XAF", "XOF", "XPF", "YER", "ZAR", "ZMW",
	}
}

// Check asks for one order, whichever: the cheapest call that needs the credentials.
func (c *Client) Check(ctx context.Context, a gateway.Account) error {
	var said collection[json.RawMessage]
	_, err := c.call(ctx, a, request{method: http.MethodGet, path: "/v1/orders", query: url.Values{"count": {"1"}}}, &said)
	if err == nil && said.Entity != "collection" {
		err = errors.New("an answer that is no list of orders")
	}
	if err != nil {
		return fmt.Errorf("razorpay: checking the account: %w", err)
	}
	return nil
}

// collection is how Razorpay lists things.
type collection[T any] struct {
	Entity string `json:"entity"`
	Items  []T    `json:"items"`
}

// refusal is the body of every 4xx and 5xx.
type refusal struct {
	Error struct {
		Code        string `json:"code"`
		Description string `json:"description"`
		Reason      string `json:"reason"`
		Field       string `json:"field"`
	} `json:"error"`
}

// request is a call of the API.
type request struct {
	method, path string
	query        url.Values
	body         any
	idempotency  string // of a refund
}

// call asks, and reads a good answer. Its errors are of the three kinds of gateway.Checkout.
func (c *Client) call(ctx context.Context, a gateway.Account, r request, into any) (gateway.Raw, error) {
	req, err := r.http(ctx, a)
	if err != nil {
		return gateway.Raw{}, err
	}
	answer, err := wire.Do(c.http, req)
	if err != nil {
		return gateway.Raw{}, err
	}
	switch answer.Outcome() {
	case wire.Good:
		if err := wire.Read(answer.Body, into); err != nil {
			return gateway.Raw{}, fmt.Errorf("status %d: %w", answer.Status, err)
		}
		return answer.Raw, nil
	case wire.Refused, wire.Stranger:
		return gateway.Raw{}, refused(answer)
	default:
		return gateway.Raw{}, answer.Unknown()
	}
}

// http makes the request of a call. Whether the key is of the account's mode is looked at here, so that no call of a test app ever
// reaches a live account.
func (r request) http(ctx context.Context, a gateway.Account) (*http.Request, error) {
	id, secret := a.Credentials[keyID], a.Credentials[keySecret]
	if id == "" || secret == "" || (a.Live && strings.HasPrefix(id, "rzp_test_")) || (!a.Live && strings.HasPrefix(id, "rzp_live_")) {
		return nil, fmt.Errorf("the key of configuration %s is missing, or not of the app's mode: %w", a.Config, gateway.ErrCredentials)
	}
	address, err := wire.Base(a, base, base)
	if err != nil {
		return nil, err
	}
	address += r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body bytes.Buffer
	if r.body != nil {
		if err := json.NewEncoder(&body).Encode(r.body); err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, &body)
	if err != nil {
		return nil, fmt.Errorf("the base of configuration %s: %w", a.Config, err)
	}
	req.SetBasicAuth(id, secret)
	req.Header.Set("Accept", "application/json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.idempotency != "" {
		req.Header.Set("X-Refund-Idempotency", r.idempotency)
	}
	return req, nil
}

// refused reads a refusal. Razorpay's codes are BAD_REQUEST_ERROR, which is definite, and GATEWAY_ERROR and SERVER_ERROR, which are not,
// whatever the status.
func refused(answer wire.Answer) error {
	var said refusal
	if err := wire.Read(answer.Body, &said); err != nil || said.Error.Code != "BAD_REQUEST_ERROR" {
		return answer.Unknown()
	}
	// Of a wrong key the documentation shows both a 401 and a 400 that says so in words.
	words := strings.ToLower(said.Error.Description)
	if answer.Outcome() == wire.Stranger || (strings.Contains(words, "api key") && strings.Contains(words, "invalid")) {
		return gateway.ErrCredentials
	}
	code := said.Error.Reason
	if code == "" || code == "NA" {
		code = said.Error.Code
	}
	return &gateway.Declined{Code: wire.Text(code, 64), Reason: wire.Said(said.Error.Description)}
}

// ids are Razorpay's own: they become parts of paths.
var ids = regexp.MustCompile(`^[A-Za-z0-9]{1,16}_[A-Za-z0-9]{1,48}$`)

func isID(s, prefix string) bool { return strings.HasPrefix(s, prefix) && ids.MatchString(s) }

// minor is an amount in the smallest unit of its currency, as Razorpay takes it; *gateway.Declined when it cannot.
func minor(a money.Amount) (int64, error) {
	n, fits := a.Minor()
	exponent, known := a.Currency().Exponent()
	switch {
	case !known || exponent > 3:
		return 0, &gateway.Declined{Code: "invalid_currency", Reason: "Razorpay does not take " + string(a.Currency())}
	case !fits || n <= 0:
		return 0, &gateway.Declined{Code: "invalid_amount", Reason: "the amount must be positive, and of 64 bits"}
	case exponent == 3 && n%10 != 0:
		return 0, &gateway.Declined{Code: "invalid_amount", Reason: "the third decimal of " + string(a.Currency()) + " must be 0"}
	}
	return n, nil
}

// plain is an amount of Razorpay's as a plain decimal; false when the ledger does not know the currency.
func plain(n int64, currency string) (string, bool) {
	if _, known := money.Currency(currency).Exponent(); !known || n < 0 {
		return "", false
	}
	return money.FromMinor(n, money.Currency(currency)).Fixed(), true
}
