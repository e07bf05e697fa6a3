package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// Name is the gateway's name in events, accounts and URLs.
const Name = "sandbox"

// clientTimeout bounds a call whose context has no earlier end.
const clientTimeout = time.Minute

// Client is the adapter to the sandbox bank. It meets the contract of package gateway.
type Client struct {
	base   string
	secret []byte
	http   *http.Client
	clock  func() time.Time
}

var _ gateway.Gateway = (*Client)(nil)

// NewClient makes the adapter to the bank at base, such as http://127.0.0.1:8080, with the secret that the bank has. A nil
// clock is time.Now.
func NewClient(base string, secret []byte, clock func() time.Time) (*Client, error) {
	if u, err := url.Parse(base); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("sandbox bank at %q: not a URL", base)
	}
	if len(secret) < minSecretBytes {
		return nil, fmt.Errorf("sandbox bank: a secret of %d bytes (at least %d)", len(secret), minSecretBytes)
	}
	if clock == nil {
		clock = time.Now
	}
	return &Client{base: base, secret: bytes.Clone(secret), http: newHTTPClient(clientTimeout), clock: clock}, nil
}

// newHTTPClient makes a client that keeps connections, follows no redirects, asks no proxy, and unpacks nothing.
func newHTTPClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 32 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Name is "sandbox".
func (c *Client) Name() string { return Name }

// Send meets gateway.Payouts.
func (c *Client) Send(ctx context.Context, t gateway.Transfer) (gateway.Answer, error) {
	body, err := json.Marshal(transferRequest{
		Reference: t.Reference, Amount: t.Amount.Fixed(), Currency: t.Amount.Currency(), AccountNo: t.AccountNo, IFSC: t.IFSC,
		Name: t.Name, Mobile: t.Mobile, BankName: t.BankName, TransferType: t.TransferType,
	})
	if err != nil {
		return gateway.Answer{}, fmt.Errorf("sandbox bank: encoding transfer %s: %w", t.Reference, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/sandbox/bank/transfers", bytes.NewReader(body))
	if err != nil {
		return gateway.Answer{}, fmt.Errorf("sandbox bank: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, c.secret, t.Reference, body, c.clock())
	status, raw, err := c.do(req)
	if err != nil {
		return gateway.Answer{}, err
	}
	if status != http.StatusOK {
		return gateway.Answer{}, fmt.Errorf("sandbox bank: answered a transfer with %d", status)
	}
	a, err := readTransfer(raw, t.Reference)
	if err != nil {
		return gateway.Answer{}, err
	}
	if a.State == gateway.NotFound {
		return gateway.Answer{}, errors.New("sandbox bank: answered a transfer with not found")
	}
	if a.Amount != t.Amount.Fixed() {
		return gateway.Answer{}, errors.New("sandbox bank: answered with another amount")
	}
	return a, nil
}

// Inquire meets gateway.Payouts.
func (c *Client) Inquire(ctx context.Context, reference string) (gateway.Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/sandbox/bank/transfers/"+url.PathEscape(reference), nil)
	if err != nil {
		return gateway.Answer{}, fmt.Errorf("sandbox bank: %w", err)
	}
	status, raw, err := c.do(req)
	if err != nil {
		return gateway.Answer{}, err
	}
	if status != http.StatusOK && status != http.StatusNotFound {
		return gateway.Answer{}, fmt.Errorf("sandbox bank: answered an inquiry with %d", status)
	}
	a, err := readTransfer(raw, reference)
	if err != nil {
		return gateway.Answer{}, err
	}
	if (status == http.StatusNotFound) != (a.State == gateway.NotFound) {
		return gateway.Answer{}, fmt.Errorf("sandbox bank: status %d with state %q", status, a.State)
	}
	return a, nil
}

// Payments meets gateway.Payins.
func (c *Client) Payments(ctx context.Context, reference string) (gateway.Payments, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/sandbox/upi/payments?reference="+url.QueryEscape(reference), nil)
	if err != nil {
		return gateway.Payments{}, fmt.Errorf("sandbox bank: %w", err)
	}
	status, raw, err := c.do(req)
	if err != nil {
		return gateway.Payments{}, err
	}
	var said paymentsAnswer
	if err := json.Unmarshal(raw.Body, &said); err != nil || status != http.StatusOK || said.Reference != reference || len(said.Payments) > gateway.MaxPayments {
		return gateway.Payments{}, fmt.Errorf("sandbox bank: answered a question for payments with %d and no list of them", status)
	}
	out := gateway.Payments{Raw: raw}
	for _, p := range said.Payments {
		read, err := readPayment(p)
		if err != nil || p.Reference != reference {
			return gateway.Payments{}, fmt.Errorf("sandbox bank: a list with a payment that cannot be read")
		}
		out.List = append(out.List, read)
	}
	return out, nil
}

// do sends a request and reads a bounded JSON answer. Every error means that nothing is known.
func (c *Client) do(req *http.Request) (status int, raw gateway.Raw, err error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, raw, fmt.Errorf("sandbox bank: %w", err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(res.Body, gateway.MaxBodyBytes+1))
	if err != nil {
		return 0, raw, fmt.Errorf("sandbox bank: reading the answer: %w", err)
	}
	if len(body) > gateway.MaxBodyBytes {
		return 0, raw, fmt.Errorf("sandbox bank: an answer of more than %d bytes", gateway.MaxBodyBytes)
	}
	media := res.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(media); err != nil || kind != "application/json" {
		return 0, raw, fmt.Errorf("sandbox bank: status %d and an answer that is not JSON", res.StatusCode)
	}
	return res.StatusCode, gateway.Raw{Body: body, MediaType: media}, nil
}

// readTransfer reads what the bank says of a transfer, and makes sure that it is about this one.
func readTransfer(raw gateway.Raw, reference string) (gateway.Answer, error) {
	var said transferAnswer
	if err := json.Unmarshal(raw.Body, &said); err != nil {
		return gateway.Answer{}, errors.New("sandbox bank: an answer that is not a transfer")
	}
	if said.Reference != reference {
		return gateway.Answer{}, errors.New("sandbox bank: an answer about another transfer")
	}
	state, ok := stateOf(said.Status)
	if !ok {
		return gateway.Answer{}, errors.New("sandbox bank: an answer of unknown status")
	}
	return gateway.Answer{
		State: state, Amount: said.Amount, UTR: said.UTR, BankReference: said.BankReference, ReturnReference: said.ReturnReference, Reason: said.Reason,
		At: said.At, Raw: raw,
	}, nil
}

func stateOf(status string) (gateway.State, bool) {
	switch status {
	case statusPaid:
		return gateway.Paid, true
	case statusFailed:
		return gateway.Failed, true
	case statusReturned:
		return gateway.Returned, true
	case statusPending:
		return gateway.Pending, true
	case statusNotFound:
		return gateway.NotFound, true
	}
	return "", false
}

func readPayment(p paymentAnswer) (gateway.Payment, error) {
	if p.PaymentID == "" || (p.Status != outcomeSuccess && p.Status != outcomeFailure) {
		return gateway.Payment{}, gateway.ErrMalformed
	}
	return gateway.Payment{
		PaymentID: p.PaymentID, Reference: p.Reference, Amount: p.Amount, UTR: p.UTR, Paid: p.Status == outcomeSuccess, Reason: p.Reason, At: p.At,
	}, nil
}

// ParseCallback meets gateway.Callbacks.
func (c *Client) ParseCallback(header http.Header, body []byte, now time.Time) ([]gateway.Message, error) {
	id, err := verify(header, c.secret, body, now)
	if err != nil {
		return nil, err
	}
	var said callbackBody
	if err := json.Unmarshal(body, &said); err != nil || said.MessageID != id || said.Reference == "" {
		return nil, fmt.Errorf("%w: not a callback of the sandbox bank", gateway.ErrMalformed)
	}
	raw := gateway.Raw{Body: body, MediaType: "application/json"}
	m := gateway.Message{ID: id, Reference: said.Reference, Amount: said.Amount, Raw: raw}
	switch said.Kind {
	case kindTransfer:
		a, err := readTransfer(raw, said.Reference)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", gateway.ErrMalformed, err)
		}
		m.Transfer = &a
	case kindPayment:
		p, err := readPayment(paymentAnswer{
			PaymentID: said.PaymentID, Reference: said.Reference, Amount: said.Amount, Status: said.Status, UTR: said.UTR, Reason: said.Reason, At: said.At,
		})
		if err != nil {
			return nil, err
		}
		m.Payment = &p
	case kindDispute:
		m.Dispute = &gateway.Dispute{
			Case: said.CaseID, PaymentID: said.PaymentID, Phase: said.Phase, Status: said.Status, Amount: said.Amount, Fee: said.Fee, Reason: said.Reason,
			RespondBy: said.RespondBy, Inquiry: said.Inquiry, At: said.At,
		}
	case kindRefund:
		a, err := (&refundAnswer{Status: said.Status, RefundID: said.RefundID, UTR: said.UTR, Reason: said.Reason, At: said.At}).read(raw)
		if err != nil || said.Refund == "" {
			return nil, fmt.Errorf("%w: not about a refund", gateway.ErrMalformed)
		}
		m.OrderID, m.Reference, m.Refund = said.Reference, said.Refund, &a
	default:
		return nil, fmt.Errorf("%w: kind", gateway.ErrMalformed)
	}
	return []gateway.Message{m}, nil
}
