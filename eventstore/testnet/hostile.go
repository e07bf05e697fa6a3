// Package testnet has the other sides of a network as tests need them: servers that nobody would want to talk to.
package testnet

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fault is one way in which a server answers wrongly. None of them is an answer, whatever of a good one is in it.
type Fault struct {
	Name string
	// Ends is false when the server never ends by itself: who asks has to give up.
	Ends bool
	do   func(s *Hostile, conn *net.TCPConn, good string)
}

// Hostile is an HTTP server that misbehaves. It speaks TCP itself, since the servers of the standard library cannot be made to.
type Hostile struct {
	listener *net.TCPListener
	over     chan struct{} // closed at the end
	wg       sync.WaitGroup
	sent     atomic.Int64
	requests atomic.Int64

	mu    sync.Mutex // guards what follows
	fault *Fault
	good  string
	other func(*http.Request) string // the answer to requests that are answered well; "" for the others
	moved string                     // where redirects lead
}

// Flood is how much the servers that send too much send, if they are let: a gigabyte.
const Flood = 1 << 30

// NewHostile starts one, which ends with the test. Its answers are good until it is told otherwise.
func NewHostile(tb testing.TB) *Hostile {
	tb.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	s := &Hostile{listener: listener, over: make(chan struct{})}
	s.wg.Go(s.accept)
	tb.Cleanup(func() {
		close(s.over)
		if err := listener.Close(); err != nil {
			tb.Errorf("ending a hostile server: %v", err)
		}
		s.wg.Wait()
	})
	return s
}

// URL is its address.
func (s *Hostile) URL() string { return "http://" + s.listener.Addr().String() }

// Sent is how many bytes it has got rid of.
func (s *Hostile) Sent() int64 { return s.sent.Load() }

// Requests is how many requests it has read.
func (s *Hostile) Requests() int64 { return s.requests.Load() }

// Answer says how it answers from now on: with the body good, and a fault unless that is nil. other has the answers to requests that come before or beside the
// one that is meant; nil, or "" from it, are for those that are meant.
func (s *Hostile) Answer(good string, fault *Fault, other func(*http.Request) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.good, s.fault, s.other = good, fault, other
}

// Redirect says where redirects lead.
func (s *Hostile) Redirect(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moved = to
}

// Front stands before a server, and answers in its place while Fault has named one.
type Front struct {
	*Hostile
	web *httptest.Server
}

// NewFront starts one before the server at an address such as http://127.0.0.1:8081. It ends with the test.
func NewFront(tb testing.TB, server string) *Front {
	tb.Helper()
	to, err := url.Parse(server)
	if err != nil {
		tb.Fatal(err)
	}
	f := &Front{Hostile: NewHostile(tb)}
	behind := httputil.NewSingleHostReverseProxy(to)
	behind.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	f.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		good, fault := f.good, f.fault
		f.mu.Unlock()
		if fault == nil {
			behind.ServeHTTP(w, r)
			return
		}
		f.requests.Add(1)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			tb.Error(err)
			return
		}
		defer conn.Close() //nolint:errcheck // the fault may have closed it
		f.wg.Go(func() {
			<-f.over
			conn.Close() //nolint:errcheck // above, too
		})
		fault.do(f.Hostile, conn.(*net.TCPConn), good)
	}))
	tb.Cleanup(f.web.CloseClientConnections)
	return f
}

// URL is its address.
func (f *Front) URL() string { return f.web.URL }

// Fault has everything answered by a fault from now on, made of a good body; nil: by the server.
func (f *Front) Fault(good string, fault *Fault) { f.Answer(good, fault, nil) }

func (s *Hostile) accept() {
	for {
		conn, err := s.listener.AcceptTCP()
		if err != nil {
			return // closed
		}
		s.wg.Go(func() {
			ended := make(chan struct{})
			s.wg.Go(func() { // whatever it is doing ends with the server
				select {
				case <-s.over:
				case <-ended:
				}
				conn.Close() //nolint:errcheck // closed below, too
			})
			s.serve(conn)
			close(ended)
		})
	}
}

func (s *Hostile) serve(conn *net.TCPConn) {
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		s.requests.Add(1)
		s.mu.Lock()
		good, fault, other := s.good, s.fault, s.other
		s.mu.Unlock()
		if other != nil {
			if body := other(r); body != "" {
				s.write(conn, whole("200 OK", "application/json", body))
				continue
			}
		}
		if fault == nil {
			s.write(conn, whole("200 OK", "application/json", good))
			continue
		}
		fault.do(s, conn, good)
		return
	}
}

// write writes what it can, and reports whether it could.
func (s *Hostile) write(conn net.Conn, text string) bool {
	n, err := io.WriteString(conn, text)
	s.sent.Add(int64(n))
	return err == nil
}

func whole(status, media, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", status, media, len(body), body)
}

// flood writes a piece again and again, as long as it is taken, up to Flood.
func (s *Hostile) flood(conn net.Conn, piece string) {
	piece = strings.Repeat(piece, 1+(64<<10)/len(piece))
	for n := 0; n < Flood && s.write(conn, piece); n += len(piece) {
	}
}

// wait waits until the other side has gone away, or the test is over.
func (s *Hostile) wait(conn net.Conn) {
	io.Copy(io.Discard, conn) //nolint:errcheck // that it ends is what is waited for
}

// drip writes a text byte by byte, and then the last one again and again.
func (s *Hostile) drip(conn net.Conn, text string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		if !s.write(conn, text[min(i, len(text)-1):][:1]) {
			return
		}
		select {
		case <-tick.C:
		case <-s.over:
			return
		}
	}
}

// raw answers with a text, and closes.
func raw(name string, text func(good string) string) Fault {
	return Fault{name, true, func(s *Hostile, conn *net.TCPConn, good string) { s.write(conn, text(good)) }}
}

// body answers 200 with a whole body.
func body(name string, text func(good string) string) Fault {
	return raw(name, func(good string) string { return whole("200 OK", "application/json", text(good)) })
}

func always(text string) func(string) string { return func(string) string { return text } }

// packed is a text, compressed; more of it says how often it is repeated.
func packed(text string, times int) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	var err error
	for range times {
		_, e := io.WriteString(w, text)
		err = errors.Join(err, e)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic("testnet: compressing into memory: " + err.Error())
	}
	return out.String()
}

// HugeNumber is the fault that the amount of a good body, which must be 1000 or 1000.00, is 1e400.
const HugeNumber = "a huge number"

// Faults are all of them. What a good body would be is told to Answer: much of what is sent is made of it.
func Faults() []Fault {
	return append(append(brokenHTTP(), brokenBodies()...), endless()...)
}

func brokenHTTP() []Fault {
	list := []Fault{
		{"closed after the request", true, func(*Hostile, *net.TCPConn, string) {}},
		{"reset after the request", true, func(_ *Hostile, conn *net.TCPConn, _ string) {
			conn.SetLinger(0) //nolint:errcheck // it is closed at once then, one way or the other
		}},
		raw("half a status line", always("HTTP/1.1 20")),
		raw("no HTTP", always("+OK ready\r\n")),
		raw("a body alone", func(good string) string { return good }),
		raw("an answer of HTTP/2", always("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
		raw("a status of four digits", func(good string) string { return whole("2000 OK", "application/json", good) }),
		raw("another protocol", always("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")),
		raw("nothing", always("HTTP/1.1 204 No Content\r\n\r\n")),
		raw("not modified", always("HTTP/1.1 304 Not Modified\r\n\r\n")),
		raw("two lengths", func(good string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nContent-Length: 2\r\n\r\n%s", len(good), good)
		}),
		raw("a negative length", func(good string) string {
			return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: -1\r\n\r\n" + good
		}),
		raw("too long a length", func(good string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(good)+1, good)
		}),
		raw("too short a length", func(good string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(good)-1, good)
		}),
		raw("half of HTTP/1.0", func(good string) string {
			return "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + good[:len(good)/2]
		}),
		raw("a chunk without an end", func(good string) string {
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(good), good)
		}),
		raw("a chunk of no size", func(good string) string {
			return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + good + "\r\n0\r\n\r\n"
		}),
		raw("a large header", func(good string) string {
			return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: " + strings.Repeat("x", 1<<20) + "\r\nContent-Length: " + fmt.Sprint(len(good)) + "\r\n\r\n" + good
		}),
	}
	for _, status := range []string{"301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"} {
		list = append(list, Fault{"redirect " + status[:3], true, func(s *Hostile, conn *net.TCPConn, good string) {
			s.mu.Lock()
			to := s.moved
			s.mu.Unlock()
			s.write(conn, fmt.Sprintf("HTTP/1.1 %s\r\nLocation: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, to, len(good), good))
		}})
	}
	for _, status := range []string{"100 Continue", "404 Not Found", "403 Forbidden", "401 Unauthorized", "408 Request Timeout", "429 Too Many Requests", "500 Internal Server Error", "503 Service Unavailable"} {
		list = append(list, raw("a page of "+status[:3], func(string) string { return whole(status, "text/html", "<html>"+status+"</html>") }))
	}
	return list
}

func brokenBodies() []Fault {
	return []Fault{
		body("an empty body", always("")),
		body("null", always("null")),
		body("true", always("true")),
		body("a number", always("1e400")),
		body("a text", always(`"paid"`)),
		body("an object of nothing", always("{}")),
		body("a page", always("<html>welcome</html>")),
		body("30,000 levels of lists", always(strings.Repeat("[", 30_000)+strings.Repeat("]", 30_000))),
		body("levels of objects", always(strings.Repeat(`{"a":`, 12_000)+"1"+strings.Repeat("}", 1))),
		body("invalid UTF-8", func(good string) string { return "\xff\xfe" + good }),
		body("a mark before it", func(good string) string { return "\xef\xbb\xbf" + good }),
		body("something behind it", func(good string) string { return good + "x" }),
		body("twice", func(good string) string { return good + good }),
		body("a list around it", func(good string) string { return "[[" + good + "]]" }),
		body("all of the wrong type", func(good string) string {
			return strings.NewReplacer(`":"`, `":["`, `",`, `"],`, `"}`, `"]}`).Replace(good)
		}),
		body(HugeNumber, func(good string) string {
			return strings.NewReplacer("1000.00", "1e400", "1000", "1e400").Replace(good)
		}),
		raw("compressed, unasked", func(good string) string {
			zipped := packed(good, 1)
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(zipped), zipped)
		}),
		raw("a compressed bomb", func(string) string {
			zipped := packed(strings.Repeat(" ", 1<<16), 64) // of 4 MiB in 4 KiB: who unpacks it has far more than an answer may have
			return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(zipped), zipped)
		}),
	}
}

// endless are those that end by being too much, and those that do not end.
func endless() []Fault {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	return []Fault{
		{"a gigabyte of blanks", true, func(s *Hostile, conn *net.TCPConn, _ string) {
			s.write(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", Flood))
			s.flood(conn, " ")
		}},
		{"a gigabyte behind it", true, func(s *Hostile, conn *net.TCPConn, good string) {
			s.write(conn, head+"\r\n"+good)
			s.flood(conn, "\n")
		}},
		{"a gigabyte in chunks", true, func(s *Hostile, conn *net.TCPConn, _ string) {
			s.write(conn, head+"Transfer-Encoding: chunked\r\n\r\n")
			s.flood(conn, "10\r\n[[[[[[[[[[[[[[[[\r\n")
		}},
		{"a gigabyte of headers", true, func(s *Hostile, conn *net.TCPConn, _ string) {
			s.write(conn, head)
			s.flood(conn, "X-More: and more\r\n")
		}},
		{"a gigabyte of 1xx", true, func(s *Hostile, conn *net.TCPConn, _ string) {
			s.flood(conn, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
		}},
		{"a gigabyte of one line", true, func(s *Hostile, conn *net.TCPConn, _ string) { s.flood(conn, "HTTP") }},
		{"silence", false, func(s *Hostile, conn *net.TCPConn, _ string) { s.wait(conn) }},
		{"headers byte by byte", false, func(s *Hostile, conn *net.TCPConn, _ string) { s.drip(conn, head+"X: y") }},
		{"headers and silence", false, func(s *Hostile, conn *net.TCPConn, good string) {
			s.write(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(good)))
			s.wait(conn)
		}},
		{"a body byte by byte", false, func(s *Hostile, conn *net.TCPConn, good string) {
			s.write(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", Flood))
			s.drip(conn, good+" ")
		}},
		{"all but the last byte", false, func(s *Hostile, conn *net.TCPConn, good string) {
			s.write(conn, head+fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(good), good[:len(good)-1]))
			s.wait(conn)
		}},
	}
}

// Cut is the fault that a good answer ends after n bytes of its body: framed as HTTP/1.0, where the end of the connection is the end of the answer.
func Cut(n int) *Fault {
	f := raw(fmt.Sprintf("cut after %d bytes", n), func(good string) string {
		return "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + good[:n]
	})
	return &f
}
