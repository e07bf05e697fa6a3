package payu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// Name is the gateway's name in events, accounts and URLs.
const Name = "payu"

// PayU's addresses: of the pages that customers see, and of what servers ask.
const (
	livePages = "https://secure.payu.in"
	liveAsked = "https://info.payu.in"
	test      = "https://test.payu.in" // both
)

// Credentials of an account.
const (
	keyName  = "key"
	saltName = "salt"
)

// Client is the adapter to PayU. It holds connections and nothing else: whose account it is, each call says.
type Client struct{ http *http.Client }

var _ gateway.Checkout = (*Client)(nil)

// New makes the adapter. Close drops its idle connections.
func New() *Client { return &Client{http: wire.NewClient()} }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Spec meets gateway.Checkout. Webhooks are verified with the salt.
func (c *Client) Spec() gateway.Spec {
	return gateway.Spec{
		Name: Name, Title: "PayU", Keys: []string{keyName, saltName}, Public: keyName, Currencies: []money.Currency{money.INR}, OnePayment: true,
		Methods: []merchant.Method{merchant.UPI, merchant.NetBanking, merchant.DebitCard, merchant.CreditCard, merchant.EWallet},
	}
}

// probe is a transaction that no account has: what it is asked for tells whether the hash was right.
const probe = "khata-no-such-payment"

// Check asks for a payment that there is not.
func (c *Client) Check(ctx context.Context, a gateway.Account) error {
	said, err := c.command(ctx, a, "verify_payment", probe)
	if err != nil {
		return fmt.Errorf("payu: checking the account: %w", err)
	}
	if _, err := said.payment(probe); err != nil {
		return fmt.Errorf("payu: checking the account: %w", err)
	}
	return nil
}

// CreateOrder meets gateway.Checkout: it calls nobody, and looks whether PayU could take the order.
func (c *Client) CreateOrder(_ context.Context, a gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	if err := takes(o); err != nil {
		return gateway.Ordered{}, fmt.Errorf("payu: ordering %s: %w", o.Reference, err)
	}
	if a.Credentials[keyName] == "" || a.Credentials[saltName] == "" {
		return gateway.Ordered{}, fmt.Errorf("payu: ordering %s: configuration %s: %w", o.Reference, a.Config, gateway.ErrCredentials)
	}
	return gateway.Ordered{OrderID: o.Reference}, nil
}

// maxTxnID is how long a txnid may be.
const maxTxnID = 25

func takes(o gateway.Order) error {
	switch {
	case o.Amount.Currency() != money.INR:
		return &gateway.Declined{Code: "currency", Reason: "PayU takes rupees"}
	case o.Amount.Sign() <= 0:
		return &gateway.Declined{Code: "amount", Reason: "the amount must be positive"}
	case o.Reference == "" || len(o.Reference) > maxTxnID || strings.ContainsRune(o.Reference, '|'):
		return &gateway.Declined{Code: "txnid", Reason: "the reference must have 1 to 25 characters"}
	}
	return nil
}

// sameAmount reports whether PayU's text is this very amount.
func sameAmount(said string, a money.Amount) bool {
	if !number.MatchString(said) {
		return false
	}
	parsed, err := money.Parse(said, a.Currency())
	return err == nil && parsed.Equal(a)
}

// answer is what PayU says to a command.
type answer struct {
	Status      text                       `json:"status"`
	Msg         text                       `json:"msg"`
	Code        text                       `json:"error_code"`
	Request     text                       `json:"request_id"`
	Update      text                       `json:"txn_update_id"`
	PayUID      text                       `json:"mihpayid"`
	Details     map[string]json.RawMessage `json:"-"`
	gateway.Raw `json:"-"`
}

// text is a string, a number as it was written, or "" of null: PayU writes the same fields in all three ways.
type text string

// UnmarshalJSON meets json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	var said any
	if err := wire.Read(b, &said); err != nil {
		return err
	}
	switch v := said.(type) {
	case nil:
		*t = ""
	case string:
		*t = text(v)
	case json.Number:
		*t = text(v)
	case bool:
		*t = text(fmt.Sprint(v))
	default:
		return errors.New("neither a text nor a number")
	}
	return nil
}

// command asks PayU something (documentation, General APIs). PayU answers 200 to almost everything, and says in "status" what it means.
func (c *Client) command(ctx context.Context, a gateway.Account, command string, vars ...string) (answer, error) {
	key, salt := a.Credentials[keyName], a.Credentials[saltName]
	if key == "" || salt == "" {
		return answer{}, fmt.Errorf("configuration %s: %w", a.Config, gateway.ErrCredentials)
	}
	address, err := wire.Base(a, liveAsked, test)
	if err != nil {
		return answer{}, err
	}
	form := url.Values{"key": {key}, "command": {command}, "hash": {sum(key, command, vars[0], salt)}}
	for i, v := range vars {
		form.Set(fmt.Sprintf("var%d", i+1), v)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/merchant/postservice?form=2", strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, fmt.Errorf("the base of configuration %s: %w", a.Config, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	got, err := wire.Do(c.http, req)
	if err != nil {
		return answer{}, err
	}
	return read(got)
}

// read reads an answer to a command.
func read(got wire.Answer) (answer, error) {
	var said answer
	if err := wire.Read(got.Body, &said); err != nil || said.Status == "" || said.Msg == "" {
		return answer{}, got.Unknown()
	}
	said.Raw = got.Raw
	// Of its own format, whatever the HTTP status: "Invalid Hash." is a wrong salt or key.
	if said.Status == "0" && stranger(string(said.Msg)) {
		return answer{}, gateway.ErrCredentials
	}
	if got.Outcome() != wire.Good {
		return answer{}, got.Unknown()
	}
	var details struct {
		Of json.RawMessage `json:"transaction_details"` // an object; a text or a list where there is nothing to tell
	}
	if err := wire.Read(got.Body, &details); err != nil {
		return answer{}, got.Unknown()
	}
	if strings.HasPrefix(string(details.Of), "{") {
		if err := wire.Read(details.Of, &said.Details); err != nil {
			return answer{}, got.Unknown()
		}
	}
	return said, nil
}

func stranger(msg string) bool {
	msg = strings.ToLower(msg)
	for _, part := range []string{"invalid hash", "hash mismatch", "invalid key", "invalid merchant", "merchant key", "merchant not found"} {
		if strings.Contains(msg, part) {
			return true
		}
	}
	return false
}
