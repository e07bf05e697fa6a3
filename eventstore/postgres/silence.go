package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// DefaultSilence is how long a server may say nothing to a question, unless Open is told otherwise.
const DefaultSilence = 30 * time.Second

// maxConnect bounds the making of a connection, where the address does not say connect_timeout.
const maxConnect = 10 * time.Second

// ErrSilent is the error of a connection that was given up because the server said nothing. Compare with errors.Is.
var ErrSilent = errors.New("PostgreSQL does not answer")

// Silence gives up connections over which nothing comes. A server that stands still, a firewall or a proxy that has forgotten a connection and a network that drops
// what is sent close nothing: without a bound the question would be waited for as long as the operating system sends it again (a
// quarter of an hour on Linux), or for ever.
//
// What is measured is silence, not duration: an answer may come in pieces for as long as it takes. When a connection is given up, the others that have heard
// nothing since it fell silent are given up, too: each of them would be found dead only by who uses it next, after as long a wait. One Silence
// may bound several pools.
type Silence struct {
	limit time.Duration

	mu    sync.Mutex
	conns map[*heeded]struct{}
}

// NewSilence makes one; limit <= 0 is DefaultSilence.
func NewSilence(limit time.Duration) *Silence {
	if limit <= 0 {
		limit = DefaultSilence
	}
	return &Silence{limit: limit, conns: map[*heeded]struct{}{}}
}

// Bound makes the connections of a configuration be given up after so many times the silence. Statements that take long before they say anything need more than one.
func (s *Silence) Bound(config *pgconn.Config, times int) {
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = min(maxConnect, s.limit)
	}
	dial, limit := config.DialFunc, s.limit*time.Duration(times)
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &heeded{Conn: conn, of: s, limit: limit, heard: time.Now()}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns[c] = struct{}{}
		return c, nil
	}
}

// Settings are the statements with which a session makes the server notice that we are gone: who is gone in the middle of a transaction has its locks, and holds up everybody else.
// It asks after us (keepalives), and ends a transaction that stands still for so many times the silence.
func (s *Silence) Settings(times int) string {
	return fmt.Sprintf("SET idle_in_transaction_session_timeout = '%dms'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; ",
		(s.limit * time.Duration(times)).Milliseconds())
}

// Alive reports whether a connection was not given up. Pools ask that before they hand one out.
func (s *Silence) Alive(conn *pgconn.PgConn) bool {
	under := conn.Conn()
	if secured, is := under.(interface{ NetConn() net.Conn }); is { // TLS
		under = secured.NetConn()
	}
	c, bound := under.(*heeded)
	if !bound {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, there := s.conns[c]
	return there
}

// giveUp closes what has heard nothing since then.
func (s *Silence) giveUp(since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.lastHeard().Before(since) {
			c.Conn.Close() //nolint:errcheck // who uses it next sees that it is closed
			delete(s.conns, c)
		}
	}
}

func (s *Silence) forget(c *heeded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// heeded is a connection whose reads and writes end when nothing comes for too long.
type heeded struct {
	net.Conn
	of    *Silence
	limit time.Duration

	mu       sync.Mutex
	deadline time.Time // that its user has set: a context's end
	asked    time.Time // when what is waited for was asked; zero: nothing is
	heard    time.Time // when something came last
}

func (c *heeded) lastHeard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heard
}

// arm sets the deadline of what follows; c.mu is held.
func (c *heeded) arm(now time.Time) error {
	until := now.Add(c.limit)
	if !c.deadline.IsZero() && c.deadline.Before(until) {
		until = c.deadline
	}
	return c.Conn.SetDeadline(until)
}

// begin is before a read or a write.
func (c *heeded) begin(asks bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if asks && c.asked.IsZero() {
		c.asked = now
	}
	return c.arm(now)
}

// Read meets net.Conn.
func (c *heeded) Read(b []byte) (int, error) {
	if err := c.begin(false); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.mu.Lock()
		c.heard, c.asked = time.Now(), time.Time{}
		c.mu.Unlock()
	}
	return n, c.silent(err)
}

// Write meets net.Conn.
func (c *heeded) Write(b []byte) (int, error) {
	if err := c.begin(true); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	return n, c.silent(err)
}

// silent tells the end of patience from that of a context. It must not look like a timeout, behind which a connection would be used again.
func (c *heeded) silent(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.mu.Lock()
	now := time.Now()
	theirs := !c.deadline.IsZero() && !now.Before(c.deadline)
	since := c.asked
	c.mu.Unlock()
	if theirs {
		return err
	}
	if since.IsZero() { // it was in the middle of an answer
		since = now.Add(-c.limit)
	}
	closing := c.Conn.Close()
	c.of.giveUp(since)
	return errors.Join(fmt.Errorf("%w: nothing came for %s", ErrSilent, c.limit), closing)
}

// SetDeadline meets net.Conn; the limit stays.
func (c *heeded) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.arm(time.Now())
}

// Close meets net.Conn.
func (c *heeded) Close() error {
	c.of.forget(c)
	if err := c.Conn.Close(); !errors.Is(err, net.ErrClosed) { // it may have been given up
		return err
	}
	return nil
}
