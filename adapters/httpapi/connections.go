package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of connections for which there is no room.
const (
	mostHeld  = 8192                   // at a time; more are answered at once and closed
	siftBytes = 512                    // of the first request, in which its path must be
	patience  = time.Second            // for that, and how long who is refused is kept from coming back, when many are
	manyHeld  = 128                    // from so many on
	lingerFor = 500 * time.Millisecond // so that the end does not overtake the answer
	backlog   = 256                    // accepted at once, while nobody takes them
)

// Connections bounds those that are open. Within the bound they are served. Beyond it, what is reserved still is: a connection whose first
// request is for it gets a place of the reserve, for that one request. All others get a 503 without a look at the rest, and are closed. So who
// opens connections cannot keep out probes and operators.
type Connections struct {
	most     int
	each     int            // of one host
	exempt   []netip.Prefix // addresses that may have all of them
	reserve  int
	eachOf   int // the reserve, of one host
	reserved func(path string) bool
	answer   []byte // to all others

	mu       sync.Mutex
	open     int
	inside   int                // of the reserve
	of       map[netip.Addr]int // by host
	within   map[netip.Addr]int // the same, of the reserve
	held     int
	answered atomic.Uint64 // that there is no room
}

// NewConnections bounds connections by most, of which one address may have half, unless it is one of exempt, such as those of proxies; and those for
// paths that are reserved by another number, of which one address may have an eighth. An address is an IPv4 address or a /64 of IPv6, which one host has.
func NewConnections(most int, exempt []netip.Prefix, reserve int, reserved func(path string) bool) *Connections {
	return &Connections{
		most: most, each: (most + 1) / 2, exempt: exempt, reserve: reserve, eachOf: max(reserve/8, 1), reserved: reserved, answer: crowded(),
		of: map[netip.Addr]int{}, within: map[netip.Addr]int{},
	}
}

// crowded is all that is sent on a connection for which there is no room.
func crowded() []byte {
	body := Failure(MessageUnavailable)
	return fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: 1\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		JSONType, len(body), body)
}

// counts returns how many connections are served, how many of the reserve, and how many are held.
func (c *Connections) counts() (open, inside, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.inside, c.held
}

// Bound returns a listener whose connections are bounded. A nil Connections bounds nothing.
func (c *Connections) Bound(l net.Listener) net.Listener {
	if c == nil {
		return l
	}
	b := &boundListener{Listener: l, bounds: c, ready: make(chan net.Conn, backlog), failed: make(chan error), done: make(chan struct{})}
	go b.run()
	return b
}

type boundListener struct {
	net.Listener
	bounds *Connections
	ready  chan net.Conn
	failed chan error // holds none: an old failure would be waited behind when it is over
	once   sync.Once
	done   chan struct{} // closed by Close
}

// run accepts until the listener is closed.
func (l *boundListener) run() {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err:
			case <-l.done:
				return
			}
			continue
		}
		switch c := l.bounds; {
		case c.take(conn, l):
		case c.hold():
			go c.sift(conn, l)
		default: // who asks that often is not waited for
			c.refuse(conn)
			_ = conn.Close() //nolint:errcheck // nobody is there
		}
	}
}

// give has Accept return a connection, or closes it when nobody accepts any more.
func (l *boundListener) give(conn net.Conn) {
	select {
	case l.ready <- conn:
	case <-l.done:
		_ = conn.Close() //nolint:errcheck // nobody is there
	}
}

// Accept returns the next connection that is served.
func (l *boundListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.ready:
		return conn, nil
	case err := <-l.failed:
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener, and what nobody has accepted. What is held ends by itself.
func (l *boundListener) Close() error {
	l.once.Do(func() { close(l.done) })
	err := l.Listener.Close()
	for {
		select {
		case conn := <-l.ready:
			_ = conn.Close() //nolint:errcheck // it has asked nothing yet
		default:
			return err //nolint:wrapcheck // as net/http knows it
		}
	}
}

// host is where a connection comes from, and whether that may have all of them.
func (c *Connections) host(conn net.Conn) (netip.Addr, bool) {
	from := parseAddress(conn.RemoteAddr().String())
	exempt := contains(c.exempt, from)
	if p, err := from.Prefix(64); err == nil && from.Is6() {
		from = p.Addr()
	}
	return from, exempt
}

// take serves a connection if there is room for it.
func (c *Connections) take(conn net.Conn, l *boundListener) bool {
	from, exempt := c.host(conn)
	c.mu.Lock()
	room := c.open < c.most && (c.of[from] < c.each || exempt)
	if room {
		c.open++
		c.of[from]++
	}
	c.mu.Unlock()
	if room {
		l.give(&boundConn{Conn: conn, bounds: c, from: from})
	}
	return room
}

// hold counts a connection for which there is no room. It is false when there are too many of them, too.
func (c *Connections) hold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held >= mostHeld {
		return false
	}
	c.held++
	return true
}

func (c *Connections) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
}

// sift reads the path of a connection's first request: who asks for what is reserved is served, all others are refused.
func (c *Connections) sift(conn net.Conn, l *boundListener) {
	defer c.release()
	begun := time.Now()
	_ = conn.SetDeadline(begun.Add(patience)) //nolint:errcheck // what is read and written says so
	b := make([]byte, 0, siftBytes)
	for len(b) < cap(b) && bytes.IndexByte(b, '\n') < 0 {
		n, err := conn.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			break
		}
	}
	if from, exempt := c.host(conn); c.reserved(pathOf(b)) && c.enter(from, exempt) {
		_ = conn.SetDeadline(time.Time{}) //nolint:errcheck // net/http sets its own
		l.give(&boundConn{Conn: conn, bounds: c, from: from, inside: true, begun: b})
		return
	}
	if _, _, held := c.counts(); held > manyHeld {
		over := time.NewTimer(time.Until(begun.Add(patience)))
		defer over.Stop()
		select {
		case <-over.C:
		case <-l.done:
		}
	}
	c.refuse(conn)
	defer func() { _ = conn.Close() }() //nolint:errcheck // nobody is there
	if half, can := conn.(interface{ CloseWrite() error }); can && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(lingerFor)) //nolint:errcheck // nothing of it is wanted
		for {
			if _, err := conn.Read(b[:cap(b)]); err != nil {
				return
			}
		}
	}
}

// enter takes a place of the reserve.
func (c *Connections) enter(from netip.Addr, exempt bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inside >= c.reserve || c.within[from] >= c.eachOf && !exempt {
		return false
	}
	c.inside++
	c.within[from]++
	return true
}

// refuse answers that there is no room.
func (c *Connections) refuse(conn net.Conn) {
	c.answered.Add(1)
	_ = conn.SetWriteDeadline(time.Now().Add(lingerFor)) //nolint:errcheck // the write says so
	_, _ = conn.Write(c.answer)                          //nolint:errcheck // nobody is there
}

// pathOf is the path in a request line; "" if there is none.
func pathOf(b []byte) string {
	line, _, whole := bytes.Cut(b, []byte{'\n'})
	if !whole {
		return ""
	}
	_, rest, _ := bytes.Cut(line, []byte{' '})
	target, _, _ := bytes.Cut(rest, []byte{' '})
	path, _, _ := bytes.Cut(target, []byte{'?'})
	return string(path)
}

// boundConn is a connection that is counted until it is closed.
type boundConn struct {
	net.Conn
	bounds *Connections
	from   netip.Addr
	inside bool   // the reserve
	begun  []byte // read already
	once   sync.Once
}

// Read reads, first what was read already.
func (b *boundConn) Read(p []byte) (int, error) {
	if len(b.begun) > 0 {
		n := copy(p, b.begun)
		b.begun = b.begun[n:]
		return n, nil
	}
	return b.Conn.Read(p) //nolint:wrapcheck // as net/http knows it
}

// Close closes the connection, and makes room for another one.
func (b *boundConn) Close() error {
	b.once.Do(func() {
		c := b.bounds
		c.mu.Lock()
		defer c.mu.Unlock()
		of := c.of
		if b.inside {
			c.inside--
			of = c.within
		} else {
			c.open--
		}
		if of[b.from]--; of[b.from] == 0 {
			delete(of, b.from)
		}
	})
	return b.Conn.Close() //nolint:wrapcheck // as net/http knows it
}

// CloseWrite serves net/http, which says so that it has nothing more to answer.
func (b *boundConn) CloseWrite() error {
	if half, can := b.Conn.(interface{ CloseWrite() error }); can {
		return half.CloseWrite() //nolint:wrapcheck // as net/http knows it
	}
	return nil
}

type reserveKey struct{}

// ofConn tells the requests of a connection whether it is of the reserve.
func ofConn(ctx context.Context, conn net.Conn) context.Context {
	if b, is := conn.(*boundConn); is && b.inside {
		return context.WithValue(ctx, reserveKey{}, true)
	}
	return ctx
}

func ofReserve(r *http.Request) bool {
	is, _ := r.Context().Value(reserveKey{}).(bool)
	return is
}
