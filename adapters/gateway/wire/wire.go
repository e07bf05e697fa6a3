// Package wire is how adapters to payment companies talk HTTP: bounded answers, no redirects, and one rule for what a status means. It knows
// no company, no account and no payment.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// Timeout bounds a call whose context has no earlier end.
const Timeout = time.Minute

// NewClient makes a client that keeps connections and follows no redirects. Whoever made it drops its idle connections.
func NewClient() *http.Client {
	return &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment, // never asked about loopback
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 32 << 10,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // what is kept as evidence is what came
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Outcome is what the status of an answer alone says.
type Outcome int

// The outcomes. All but Good and Unsettled count only when the body is in the company's own format, too: a proxy answers 403 and 404 as well.
const (
	Unsettled Outcome = iota // nothing is known: 1xx, 3xx, 408, 409 (often: the first try is under way), 425, 429, 5xx
	Good                     // 2xx
	Refused                  // any other 4xx
	Stranger                 // 401, 403: the company does not know or not let in the account
)

// Answer is an answer that came whole.
type Answer struct {
	Status int
	gateway.Raw
}

// Outcome classifies the status.
func (a Answer) Outcome() Outcome {
	switch {
	case a.Status >= 200 && a.Status <= 299:
		return Good
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden:
		return Stranger
	case a.Status == http.StatusRequestTimeout, a.Status == http.StatusConflict, a.Status == http.StatusTooEarly, a.Status == http.StatusTooManyRequests:
		return Unsettled
	case a.Status >= 400 && a.Status <= 499:
		return Refused
	}
	return Unsettled
}

// Do sends a request and reads its answer, at most gateway.MaxBodyBytes of it. Every error means that nothing is known; none holds the
// address asked, which may name a customer's order.
func Do(client *http.Client, req *http.Request) (answer Answer, err error) {
	res, err := client.Do(req) //nolint:gosec // G704: the address is the company's or the operator's, never a customer's
	if err != nil {
		var asked *url.Error
		if errors.As(err, &asked) {
			err = asked.Err
		}
		return Answer{}, fmt.Errorf("%s %s: %w", req.Method, req.URL.Host, err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(res.Body, gateway.MaxBodyBytes+1))
	if err != nil {
		return Answer{}, fmt.Errorf("%s %s: reading the answer: %w", req.Method, req.URL.Host, err)
	}
	if len(body) > gateway.MaxBodyBytes {
		return Answer{}, fmt.Errorf("%s %s: an answer of more than %d bytes", req.Method, req.URL.Host, gateway.MaxBodyBytes)
	}
	return Answer{Status: res.StatusCode, Raw: gateway.Raw{Body: body, MediaType: Text(res.Header.Get("Content-Type"), 100)}}, nil
}

// Unknown is the error of an answer that settles nothing. It never quotes the body.
func (a Answer) Unknown() error {
	return fmt.Errorf("an answer of status %d that tells nothing", a.Status)
}

// Read decodes exactly one JSON value. Its errors do not quote the body.
func Read(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // amounts are exact
	if err := d.Decode(into); err != nil {
		return errors.New("not the JSON that was expected")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something behind the JSON")
	}
	return nil
}

// Base is where an account's company is asked, without a slash at the end.
func Base(a gateway.Account, live, test string) (string, error) {
	base := test
	switch {
	case a.Base != "":
		base = strings.TrimRight(a.Base, "/")
	case a.Live:
		base = live
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("the base of gateway configuration %s is not an http address", a.Config)
	}
	return base, nil
}

// Said is what a company says of a refusal, fit for people: words that may be of a customer (addresses, long numbers) are left out.
func Said(s string) string {
	words := strings.Fields(Text(s, 200))
	for i, w := range words {
		digits := 0
		for _, r := range w {
			if unicode.IsDigit(r) {
				digits++
			}
		}
		if digits >= 6 || strings.ContainsRune(w, '@') {
			words[i] = "..."
		}
	}
	return strings.Join(words, " ")
}

// Text is what somebody else wrote, made fit for logs and people: printable, on one line, and at most limit runes.
func Text(s string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == limit {
			break
		}
		switch {
		case unicode.IsSpace(r):
			r = ' '
		case !unicode.IsPrint(r):
			continue
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimSpace(b.String())
}

// Doubt makes an error one that settles nothing. A question about something is not that something: that the company refuses to say what has
// become of an order does not mean that there is none.
func Doubt(err error) error {
	if declined := (*gateway.Declined)(nil); errors.As(err, &declined) {
		return fmt.Errorf("it does not say: %s: %s", declined.Code, declined.Reason)
	}
	return err
}

// Blur makes any error one that settles nothing: where something was asked for before, and what was then looked up failed.
func Blur(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}
