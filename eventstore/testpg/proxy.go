package testpg

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Proxy stands between a client and a PostgreSQL, on TCP, and breaks connections when it is told to. It sees what is sent, so
// the connections through it are not encrypted.
type Proxy struct {
	listener net.Listener
	server   string // network address
	dsn      string
	wg       sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns map[net.Conn]bool
	down  bool
	cut   *cut // the next one, if any
	cuts  int  // so many were made

	frozen   bool
	forsaken map[net.Conn]bool // clients' ends over which nothing passes any more
	changed  *sync.Cond        // frozen, forsaken or down; over mu
}

// cut breaks the connection over which text is sent.
type cut struct {
	text    []byte
	arrives bool
}

// NewProxy starts a proxy to the server of dsn, a URL. It ends with the test.
func NewProxy(tb testing.TB, dsn string) *Proxy {
	tb.Helper()
	p, err := newProxy(dsn)
	if err != nil {
		tb.Fatalf("start a proxy to PostgreSQL: %v", err)
	}
	tb.Cleanup(func() {
		if err := p.listener.Close(); err != nil {
			tb.Errorf("stop the proxy to PostgreSQL: %v", err)
		}
		p.Down()
		p.wg.Wait()
	})
	return p
}

func newProxy(dsn string) (*Proxy, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	q := u.Query()
	q.Del("host")
	q.Del("port")
	q.Set("sslmode", "disable")
	u.Host, u.RawQuery = listener.Addr().String(), q.Encode()
	p := &Proxy{
		listener: listener,
		server:   net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))),
		dsn:      u.String(),
		conns:    map[net.Conn]bool{},
		forsaken: map[net.Conn]bool{},
	}
	p.changed = sync.NewCond(&p.mu)
	p.wg.Go(p.accept)
	return p, nil
}

// DSN is the address of the database through the proxy.
func (p *Proxy) DSN() string { return p.dsn }

// Cut breaks the next connection over which text is sent: before the server gets it, or, if it arrives, behind the server's
// answer that holds the text too, which the client does not get.
func (p *Proxy) Cut(text string, arrives bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = &cut{[]byte(text), arrives}
}

// Cuts is how many connections Cut has broken.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Freeze lets nothing pass over any connection, without closing one, until Thaw: what was sent meanwhile passes then. New connections are taken, and stand still.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// Thaw ends a Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = false
	p.changed.Broadcast()
}

// Forsake lets nothing pass ever again over the connections that there are, without closing one, as when a firewall has forgotten them. New ones work.
func (p *Proxy) Forsake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		p.forsaken[conn] = true
	}
}

// gate waits until something may pass over a connection; false when nothing will.
func (p *Proxy) gate(client net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.frozen || p.forsaken[client]) && !p.down {
		p.changed.Wait()
	}
	return !p.down
}

// Down breaks all connections and takes no new ones, until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	p.changed.Broadcast()
	for conn := range p.conns {
		conn.Close() //nolint:errcheck // closed by its own goroutine too
	}
}

// Up takes connections again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the listener is closed
		}
		p.wg.Go(func() {
			defer client.Close() //nolint:errcheck // closed by the other direction too
			server, err := net.Dial("tcp", p.server)
			if err != nil {
				return // the client sees a broken connection
			}
			defer server.Close() //nolint:errcheck // closed by the other direction too
			if p.register(client, server) {
				p.pass(client, server)
			}
			p.forget(client, server)
		})
	}
}

func (p *Proxy) register(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		p.conns[conn] = true
	}
	return !p.down
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range conns {
		delete(p.conns, conn)
		delete(p.forsaken, conn)
	}
}

// pass carries bytes both ways until one side ends.
func (p *Proxy) pass(client, server net.Conn) {
	withhold := make(chan []byte, 1) // answers are no longer passed on; the one that holds the text is the last
	var wg sync.WaitGroup
	wg.Go(func() {
		defer client.Close() //nolint:errcheck // ends the other direction
		p.answers(client, server, withhold)
	})
	err := p.requests(client, server, withhold)
	if !errors.Is(err, errCutBehind) {
		server.Close() //nolint:errcheck // ends the other direction
	}
	wg.Wait()
}

var (
	errCutBefore = errors.New("cut before the server got it")
	errCutBehind = errors.New("cut behind the server's answer")
)

// requests carries what the client sends, and looks for the text to cut at.
func (p *Proxy) requests(client, server net.Conn, withhold chan<- []byte) error {
	buffer := make([]byte, 64<<10)
	var recent []byte // what was sent last, since the text may come in two pieces
	for {
		n, err := client.Read(buffer)
		if err != nil {
			p.gate(client) // its end does not pass either
			return err
		}
		if !p.gate(client) {
			return net.ErrClosed
		}
		recent = append(recent, buffer[:n]...)
		due := p.due(recent, n)
		switch {
		case due == nil:
		case due.arrives:
			withhold <- due.text
			_, err := server.Write(buffer[:n])
			return errors.Join(errCutBehind, err)
		default:
			return errCutBefore
		}
		recent = recent[max(0, len(recent)-256):]
		if _, err := server.Write(buffer[:n]); err != nil {
			return err
		}
	}
}

// due takes the cut if its text ends within the last n bytes of what was sent.
func (p *Proxy) due(sent []byte, n int) *cut {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil || !bytes.Contains(sent[max(0, len(sent)-n-len(p.cut.text)+1):], p.cut.text) {
		return nil
	}
	due := p.cut
	p.cut = nil
	p.cuts++
	return due
}

// answers carries what the server sends, until one side ends, or until it has been told to withhold it and the last answer
// has come: a connection that is closed earlier could take away what the server has not read yet.
func (p *Proxy) answers(client net.Conn, server io.Reader, withhold <-chan []byte) {
	buffer := make([]byte, 64<<10)
	var until, withheld []byte
	for {
		n, err := server.Read(buffer)
		if err != nil || !p.gate(client) {
			return
		}
		select {
		case until = <-withhold:
		default:
		}
		if until != nil {
			withheld = append(withheld, buffer[:n]...)
			if bytes.Contains(withheld, until) {
				return
			}
			continue
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}
