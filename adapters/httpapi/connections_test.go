package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func discarded() *slog.Logger { return slog.New(slog.DiscardHandler) }

// bounded is a server with bounded connections.
type bounded struct {
	t      *testing.T
	bounds *Connections
	addr   string
}

func serveBounded(t *testing.T, bounds *Connections, front *Front) *bounded {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, served := NewServer(front, time.Second, discarded()), make(chan error, 1)
	go func() { served <- s.Serve(bounds.Bound(l)) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return &bounded{t, bounds, l.Addr().String()}
}

// client is a connection that asks.
type client struct {
	t  *testing.T
	c  net.Conn
	in *bufio.Reader
}

func (b *bounded) dial() *client {
	b.t.Helper()
	c, err := (&net.Dialer{}).DialContext(b.t.Context(), "tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return &client{b.t, c, bufio.NewReader(c)}
}

// ask returns the status, and whether the connection ends behind it.
func (c *client) ask(path string) (status int, last bool, body string) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		c.t.Fatal(err)
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if refused := res.StatusCode == http.StatusServiceUnavailable; refused != (res.Header.Get("Retry-After") == "1") {
		c.t.Errorf("%d with Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	return res.StatusCode, res.Close, string(b)
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// Beyond the bound, what is reserved is served, one request for each connection, and all else is refused; when one ends there is room again.
func TestConnectionsAreBounded(t *testing.T) {
	reserved := func(path string) bool { return strings.HasPrefix(path, "/ops/") }
	front := &Front{Logger: discarded(), Reserved: reserved, Next: http.HandlerFunc(Alive)}
	s := serveBounded(t, NewConnections(2, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, 1, reserved), front)
	first, second := s.dial(), s.dial()
	for _, c := range []*client{first, second} {
		if status, last, _ := c.ask("/api"); status != http.StatusOK || last {
			t.Fatalf("%d, last %v", status, last)
		}
	}
	if status, last, body := s.dial().ask("/api"); status != http.StatusServiceUnavailable || !last || body != string(Failure(MessageUnavailable)) {
		t.Errorf("one too many: %d, last %v: %s", status, last, body)
	}
	for range 3 {
		if status, last, _ := s.dial().ask("/ops/v1"); status != http.StatusOK || !last {
			t.Errorf("an operator: %d, last %v", status, last)
		}
		until(t, "the reserve is free again", func() bool { _, inside, _ := s.bounds.counts(); return inside == 0 })
	}
	second.c.Close()
	until(t, "there is room again", func() bool { open, _, _ := s.bounds.counts(); return open == 1 })
	if status, last, _ := s.dial().ask("/api"); status != http.StatusOK || last {
		t.Errorf("%d, last %v", status, last)
	}
	if n := s.bounds.answered.Load(); n != 1 {
		t.Errorf("%d connections were refused", n)
	}
}

// One address has half of the connections, unless it is exempt.
func TestAnAddressHasHalfOfTheConnections(t *testing.T) {
	none := func(string) bool { return false }
	s := serveBounded(t, NewConnections(4, nil, 1, none), &Front{Logger: discarded(), Next: http.HandlerFunc(Alive)})
	var statuses []int
	for range 3 {
		status, _, _ := s.dial().ask("/")
		statuses = append(statuses, status)
	}
	if fmt.Sprint(statuses) != "[200 200 503]" {
		t.Error(statuses)
	}
}

// What cannot be read as a request's path is no path.
type fakeConn struct {
	net.Conn
	from string
}

func (c fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (fakeConn) Close() error { return nil }

// One host has a whole /64 of IPv6: it is one address.
func TestTheAddressesOfAHostAreOne(t *testing.T) {
	c := NewConnections(4, nil, 1, func(string) bool { return false })
	l := &boundListener{bounds: c, ready: make(chan net.Conn, 8), done: make(chan struct{})} // that nobody accepts from
	for i, want := range []bool{true, true, false, false} {
		if got := c.take(fakeConn{from: fmt.Sprintf("[2001:db8::%x]:%d", i+1, 1000+i)}, l); got != want {
			t.Errorf("connection %d of a host: %v", i, got)
		}
	}
	if !c.take(fakeConn{from: "[2001:db8:0:1::1]:1"}, l) {
		t.Error("another host has no room")
	}
	for range 3 {
		(<-l.ready).Close()
	}
	if open, _, _ := c.counts(); open != 0 || len(c.of) != 0 {
		t.Errorf("%d open, of %v", open, c.of)
	}
}

// An address has its part of the reserve too.
func TestAnAddressHasAPartOfTheReserve(t *testing.T) {
	c := NewConnections(1, nil, 16, func(path string) bool { return path == "/probe" })
	s := serveBounded(t, c, &Front{Logger: discarded(), Reserved: func(path string) bool { return path == "/probe" },
		Next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
	s.dial()
	until(t, "the room to be taken", func() bool { open, _, _ := c.counts(); return open == 1 })
	for range 16 {
		fmt.Fprintf(s.dial().c, "GET /probe HTTP/1.1\r\n") // and never the rest
	}
	until(t, "all to be sifted", func() bool { _, inside, _ := c.counts(); return c.answered.Load()+uint64(inside) == 16 })
	if _, inside, _ := c.counts(); inside != 2 {
		t.Errorf("one address has %d of 16", inside)
	}
}

// outOfFiles is a listener without a file for another connection.
type outOfFiles struct{ fails atomic.Int32 }

func (l *outOfFiles) Accept() (net.Conn, error) {
	l.fails.Add(1)
	return nil, errors.New("too many open files")
}
func (*outOfFiles) Close() error   { return nil }
func (*outOfFiles) Addr() net.Addr { return &net.TCPAddr{} }

// Failures to accept are told as they come and are not kept: net/http waits up to a second behind each, and would wait for minutes when all is well again.
func TestFailuresToAcceptAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sick outOfFiles
		l := NewConnections(10, nil, 1, func(string) bool { return false }).Bound(&sick)
		for n := range int32(3) {
			if _, err := l.Accept(); err == nil {
				t.Fatal("no failure")
			}
			synctest.Wait()
			if asked := sick.fails.Load(); asked > n+2 {
				t.Fatalf("%d failures behind %d that were told", asked, n+1)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestPathOfARequestLine(t *testing.T) {
	for line, want := range map[string]string{
		"GET /ops/v1/x?y=1 HTTP/1.1\r\n": "/ops/v1/x", "GET /healthz HTTP/1.1\n": "/healthz", "GET /ops/": "", "": "", "\n": "", "GET\n": "", " \n": "",
	} {
		if got := pathOf([]byte(line)); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// Who is refused has the answer at once, and is not heard for a moment; what is reserved never has to pause.
func TestRefusalsPauseTheirConnection(t *testing.T) {
	front := &Front{Logger: discarded(), Pause: time.Hour, Reserved: func(path string) bool { return path == "/readyz" }, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			Alive(w, r)
			return
		}
		Refuse(w, r, ErrFull)
	})}
	s := serveBounded(t, nil, front)
	c := s.dial()
	for _, path := range []string{"/", "/readyz", "/readyz", "/", "/refused"} {
		if status, last, _ := c.ask(path); last || (status == http.StatusOK) != (path == "/") {
			t.Errorf("%s: %d, last %v", path, status, last)
		}
	}
	if _, err := io.WriteString(c.c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.ReadByte(); err == nil {
		t.Error("it was served although it was to pause")
	}
	if status, _, _ := s.dial().ask("/"); status != http.StatusOK {
		t.Errorf("another connection: %d", status)
	}
}
