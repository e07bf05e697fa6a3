package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes, so that time is the test's.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// A client that sends its head, its body, or nothing at all, one byte a second, is cut off after a fixed time, whatever it goes on sending; and one
// that does not read its answer is not waited for either.
func TestSlowClients(t *testing.T) {
	const length = 1 << 20
	for _, c := range []struct {
		name  string
		at    string        // what is sent at once; then comes a byte a second
		bound time.Duration // when the connection is closed, at the latest
	}{
		{"nothing", "", readHeaderTimeout},
		{"a head", "POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ", readHeaderTimeout},
		{"a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", readTimeout},
		{"chunks", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n", readTimeout},
		{"a body beyond the bound", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", readTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				served := make(chan error, 1)
				s := NewServer(&Front{Logger: slog.New(slog.DiscardHandler), Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if _, err := ReadBody(w, r, length); err == nil {
						t.Error("a body was read whole")
					}
					Fail(w, http.StatusBadRequest, MessageMalformed)
				})}, time.Second, slog.New(slog.DiscardHandler))
				l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				go func() { served <- s.Serve(l) }()
				client, server := net.Pipe()
				l.conns <- server
				begun := time.Now()
				var reads sync.WaitGroup
				reads.Go(func() {
					if _, err := io.Copy(io.Discard, client); err != nil && !errors.Is(err, io.ErrClosedPipe) {
						t.Error(err)
					}
				})
				_, err := io.WriteString(client, c.at)
				for ; err == nil; _, err = client.Write([]byte("a")) {
					if time.Since(begun) > time.Hour {
						t.Fatal("it is still listened to")
					}
					time.Sleep(time.Second)
				}
				if took := time.Since(begun); took > c.bound+2*time.Second { // a second of the last byte's, and what is lingered
					t.Errorf("it was cut after %s, and has %s", took, c.bound)
				}
				reads.Wait()
				if err := s.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
	t.Run("an answer that is not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan error, 1)
			s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, err := io.WriteString(w, strings.Repeat("x", length))
				ended <- err
			}), time.Second, slog.New(slog.DiscardHandler))
			l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
			go func() { _ = s.Serve(l) }() // its end is the test's
			client, server := net.Pipe()
			l.conns <- server
			begun := time.Now()
			if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err == nil {
				t.Error("it was written to nobody")
			}
			if took := time.Since(begun); took > readTimeout+2*time.Second {
				t.Errorf("the answer was given up after %s", took)
			}
			if err := errors.Join(client.Close(), s.Close()); err != nil {
				t.Error(err)
			}
		})
	})
}

// What a proxy may take for the rest of a request is not read as another one: the connection ends with a request that says how long it is in chunks.
func TestChunkedRequestsEndTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(&Front{Logger: slog.New(slog.DiscardHandler), Next: http.HandlerFunc(Alive)}, time.Second, slog.New(slog.DiscardHandler))
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		go func() { _ = s.Serve(l) }() // its end is the test's
		for framing, answers := range map[string]int{"Content-Length: 0\r\n\r\n": 2, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 1, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 1} {
			client, server := net.Pipe()
			l.conns <- server
			go func() {
				// The second request may meet a closed connection.
				_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n"+framing+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			}()
			got, in := 0, bufio.NewReader(client)
			for {
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					break
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Error(err)
				}
				res.Body.Close()
				got++
			}
			if got != answers {
				t.Errorf("%q: %d answers, want %d", framing, got, answers)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
