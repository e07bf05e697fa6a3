package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

const payoutPath = "/api/v1/services/payout/process"

// httpWithin bounds one exchange.
const httpWithin = 30 * time.Second

// payoutBody is a request body; %s is its partner_request_id.
const payoutBody = `{"mobile_no":"9876543210","beneficiary_name":"Rahul Sharma","account_no":"1234567890","ifsc":"SBIN0001234",` +
	`"bank_name":"State Bank of India","amount":1000,"transfer_type":"5","partner_request_id":"%s"}`

// httpAmount is what payoutBody asks for.
var httpAmount = money.FromMinor(1_000_00, money.INR)

// runHTTP measures requests for payouts against the real server, beside a handler that decodes the same body and answers the
// same bytes. The client is in this process, and as cheap as it can be.
func runHTTP(ctx context.Context, w *world) (lines []Line, err error) {
	if err := w.fundForHTTP(ctx); err != nil {
		return nil, err
	}
	server, err := w.Serve(ctx, w.at, hotMerchant)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	w.tally.records.Store(server.Records)
	charge, err := fee.Default().PayoutCharge(httpAmount)
	if err != nil {
		return nil, err
	}
	gross, _ := httpAmount.Add(charge.Commission).Minor()

	ours, err := dialAll(ctx, server.Address, server.Key, singles)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(ours)) }()
	answer, err := ours[0].exchange()
	if err != nil {
		return nil, err
	}
	w.tally.records.Add(1)
	w.tally.held.Add(gross)
	bare, err := serveBare(ctx, answer)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	limit, err := dialAll(ctx, bare.address, server.Key, singles)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(limit)) }()

	label := fmt.Sprintf("%d keep-alive connections", singles)
	taken, err := w.inTurn(ctx,
		measure{label, func(ctx context.Context) (sample, error) {
			s, err := drive(ctx, singles, w.opts.For, requests(ours), nil)
			w.tally.records.Add(s.count)
			w.tally.held.Add(s.count * gross)
			if err != nil {
				return sample{}, err
			}
			return s, server.Idle(ctx) // what it still works on would slow down the limit
		}},
		measure{"bare handler", func(ctx context.Context) (sample, error) {
			return drive(ctx, singles, w.opts.For, requests(limit), nil)
		}},
	)
	if err != nil {
		return nil, err
	}
	const name = "a handler that decodes the same body and answers the same bytes"
	l := line("payout_64", label, "requests", taken[0]).latency(taken[0]).beside(name, taken[0], rates(taken[1]))
	bareLine := line("bare_64", "the bare handler", "requests", taken[1]).latency(taken[1])
	l.Note = "no request failed; the limit is " + name
	return []Line{l, bareLine}, nil
}

// fundForHTTP gives the hot wallet its money before the server starts.
func (w *world) fundForHTTP(ctx context.Context) (err error) {
	b, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer closing(b, &err)
	return w.fundHot(ctx, b)
}

// requests has each caller ask on a connection of its own.
func requests(conns []*conn) func(context.Context, int) (int64, error) {
	return func(_ context.Context, caller int) (int64, error) {
		_, err := conns[caller].exchange()
		return 1, err
	}
}

// conn is a keep-alive connection of a client that writes one prepared request over and over, with another
// partner_request_id each time.
type conn struct {
	net.Conn
	in      *bufio.Reader
	request []byte
	id      []byte // its place in request
	ids     *payer
	body    []byte // of the last answer, reused
}

// dialAll opens a connection for each of so many callers.
func dialAll(ctx context.Context, address, key string, callers int) (conns []*conn, err error) {
	for range callers {
		c, err := dial(ctx, address, key)
		if err != nil {
			return nil, errors.Join(err, closeAll(conns))
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func dial(ctx context.Context, address, key string) (*conn, error) {
	raw, err := (&net.Dialer{Timeout: httpWithin}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, in: bufio.NewReader(raw), ids: newRandom()}
	id := c.ids.id("PAYOUT-2026-")
	body := fmt.Sprintf(payoutBody, id)
	c.request = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ledger-bench\r\nX-Api-Key: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		payoutPath, address, key, len(body), body)
	at := bytes.LastIndex(c.request, []byte(id))
	c.id = c.request[at : at+len(id)]
	return c, nil
}

func closeAll(conns []*conn) error {
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// exchange sends a request and reads the answer, which must be a 200. The body is good until the next exchange.
func (c *conn) exchange() ([]byte, error) {
	status, _, err := c.attempt()
	if err == nil && status != "200" {
		err = fmt.Errorf("a payout was answered with %s: %s", status, c.body)
	}
	return c.body, err
}

// attempt sends a request and reads the answer, whatever it is. last is that the server closes the connection behind it.
func (c *conn) attempt() (status string, last bool, err error) {
	copy(c.id, c.ids.id("PAYOUT-2026-"))
	if err := c.SetDeadline(time.Now().Add(httpWithin)); err != nil {
		return "", false, err
	}
	if _, err := c.Write(c.request); err != nil {
		return "", false, err
	}
	first, err := c.in.ReadString('\n')
	if err != nil {
		return "", false, err
	}
	_, status, _ = strings.Cut(first, " ")
	status, _, _ = strings.Cut(status, " ")
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return "", false, err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return "", false, err
			}
		case bytes.EqualFold(name, []byte("Connection")):
			last = bytes.EqualFold(bytes.TrimSpace(value), []byte("close"))
		}
	}
	if length < 0 {
		return "", false, errors.New("an answer without Content-Length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.in, c.body)
	return status, last, err
}

// bareServer answers without a ledger.
type bareServer struct {
	address string
	stop    func() error
}

// payoutRequest is the body, as encoding/json reads it.
type payoutRequest struct {
	Mobile       string      `json:"mobile_no"`
	Name         string      `json:"beneficiary_name"`
	Account      string      `json:"account_no"`
	IFSC         string      `json:"ifsc"`
	Bank         string      `json:"bank_name"`
	Amount       json.Number `json:"amount"`
	TransferType string      `json:"transfer_type"`
	RequestID    string      `json:"partner_request_id"`
}

// serveBare starts a server with one handler, which decodes a body and answers.
func serveBare(ctx context.Context, answer []byte) (*bareServer, error) {
	answer = bytes.Clone(answer)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var wrong atomic.Int64
	server := &http.Server{ReadHeaderTimeout: httpWithin, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body payoutRequest
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.RequestID == "" {
			wrong.Add(1)
			http.Error(w, "malformed", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		if _, err := w.Write(answer); err != nil {
			wrong.Add(1)
		}
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return &bareServer{listener.Addr().String(), func() error {
		err := server.Close()
		if end := <-served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		if n := wrong.Load(); n > 0 {
			err = errors.Join(err, fmt.Errorf("the bare handler failed %d times", n))
		}
		return err
	}}, nil
}
