package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

// Bounds of an answer.
const (
	maxAnswer  = 1024     // bytes of the body that are kept
	maxHeaders = 64 << 10 // bytes
	maxProblem = 300      // bytes of a stored error
)

// client makes the calls. It is no http.Client, which looks at where a redirect leads even if it is not to follow it.
type client struct {
	guard     *guard
	resolver  Resolver
	connect   Dialer
	timeout   time.Duration
	transport *http.Transport
}

// Dialer connects to an address, which was checked.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

func newClient(allow []netip.Prefix, resolver Resolver, roots *x509.CertPool, timeout time.Duration) *client {
	c := &client{guard: newGuard(allow), resolver: resolver, timeout: timeout}
	c.connect = (&net.Dialer{ControlContext: c.control}).DialContext
	c.transport = &http.Transport{
		Proxy:                  nil, // a proxy would resolve names itself
		DialContext:            c.dial,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    timeout, // the handshake outlives the call that it was begun for
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		MaxResponseHeaderBytes: maxHeaders,
		DisableCompression:     true, // an answer is kept as it came, and nothing is unpacked
	}
	return c
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// dialError is why there was no connection. It comes from this system: nothing of it is the other side's.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// dial connects to an address of the host that was checked: nothing is resolved after the check. The transport does not end
// it with the call that it is for, so it has a timeout of its own.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &dialError{err}
	}
	addrs, err := c.guard.resolve(ctx, c.resolver, host)
	if err != nil {
		return nil, &dialError{err}
	}
	var failed error
	for i, a := range addrs {
		// Each address gets an equal part of the time that is left.
		part, cancel := context.WithTimeout(ctx, c.share(ctx, len(addrs)-i))
		conn, err := c.connect(part, network, net.JoinHostPort(a.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = err
	}
	return nil, &dialError{failed}
}

func (c *client) share(ctx context.Context, parts int) time.Duration {
	left := c.timeout
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	return left / time.Duration(parts)
}

// control sees the address that the system is about to connect to: the last word.
func (c *client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q: %w", address, ErrForbidden)
	}
	return c.guard.check(at.Addr())
}

// outcome is what came of one call.
type outcome struct {
	status  int // 0 without an answer
	answer  []byte
	latency time.Duration
	problem string // why there was no answer, or why no call was made
}

// post makes one call. Its outcome names neither the URL nor anything of the body.
func (c *client) post(ctx context.Context, target string, header http.Header, body []byte) (o outcome) {
	began := time.Now()
	defer func() { o.latency = time.Since(began) }()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return outcome{problem: "the callback URL is not valid"}
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" || req.URL.User != nil {
		return outcome{problem: "the callback URL is not valid"}
	}
	req.Header = header
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return outcome{problem: c.describe(err)}
	}
	o.status = res.StatusCode
	o.answer, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		o.problem = "the answer broke off" // its status is what counts
	}
	return o
}

// describe is why a call failed, without the URL, and without what the other side has said: that may be anything, and it is
// logged.
func (c *client) describe(err error) string {
	var timeout interface{ Timeout() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("no answer within %s", c.timeout)
	}
	if !ours(err) {
		return "the connection broke, or the answer is not HTTP"
	}
	text := strings.ReplaceAll(strings.ToValidUTF8(err.Error(), "?"), "\x00", "?")
	return strings.ToValidUTF8(text[:min(len(text), maxProblem)], "")
}

// ours tells the errors whose text is this system's own.
func ours(err error) bool {
	var dial *dialError
	var system *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &dial) || errors.As(err, &system) || errors.As(err, &certificate) || errors.Is(err, http.ErrSchemeMismatch)
}
