package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// Everything but the bank's whole and definite word is an error, and an error means "unknown".
func TestClientTakesOnlyWholeAnswers(t *testing.T) {
	t.Parallel()
	const good = `{"reference":"txn_1","status":"failed","amount":"5000.00"}`
	answer := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	const media = "application/json"
	var elsewhere atomic.Int64
	for name, handler := range map[string]http.HandlerFunc{
		"500 with a good body": answer(500, media, good),
		"503":                  answer(503, media, `{"success":false}`),
		"401":                  answer(401, media, good),
		"429":                  answer(429, media, good),
		"201":                  answer(201, media, good),
		"404 of a proxy":       answer(404, "text/html", "<html>not found</html>"),
		"404 with a state":     answer(404, media, good),
		"200 with not_found":   answer(200, media, `{"reference":"txn_1","status":"not_found"}`),
		"not JSON":             answer(200, "text/plain", good),
		"garbage":              answer(200, media, "\x00\xff"),
		"empty":                answer(200, media, ""),
		"cut short":            answer(200, media, good[:len(good)-5]),
		"another reference":    answer(200, media, strings.Replace(good, "txn_1", "txn_2", 1)),
		"unknown status":       answer(200, media, strings.Replace(good, "failed", "FAILED", 1)),
		"no status":            answer(200, media, `{"reference":"txn_1"}`),
		"too large":            answer(200, media, good+strings.Repeat(" ", gateway.MaxBodyBytes)),
		"claims to be longer": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "999")
			answer(200, media, good)(w, r)
		},
		"dropped": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"dropped after a while": func(w http.ResponseWriter, r *http.Request) {
			answer(200, media, good[:10])(w, r)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			panic(http.ErrAbortHandler)
		},
		"redirected": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				elsewhere.Add(1)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<16)); err != nil {
					return
				}
			}
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"drip": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", media)
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				<-tick.C
				if _, err := io.WriteString(w, " "); err != nil {
					return
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil { // so that the server sees the client go
					return
				}
				handler(w, r)
			}))
			defer server.Close()
			c, err := NewClient(server.URL, testSecret, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for what, call := range map[string]func(context.Context) (any, error){
				"send":     func(ctx context.Context) (any, error) { return c.Send(ctx, transferTo("22", "txn_1")) },
				"inquire":  func(ctx context.Context) (any, error) { return c.Inquire(ctx, "txn_1") },
				"payments": func(ctx context.Context) (any, error) { return c.Payments(ctx, "R") },
			} {
				limit := time.Minute
				if name == "silent" || name == "drip" {
					limit = 50 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				if a, err := call(ctx); err == nil {
					t.Errorf("%s: %+v", what, a)
				}
				cancel()
			}
		})
	}
	t.Cleanup(func() {
		if elsewhere.Load() > 0 {
			t.Error("a redirect was followed")
		}
	})
}

func TestClientRefusedConnectionAndAmount(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprint(w, `{"reference":"txn_1","status":"paid","amount":"500.00","utr":"612345678901"}`)
	}))
	c, err := NewClient(server.URL, testSecret, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.Send(t.Context(), transferTo("22", "txn_1")); err == nil {
		t.Errorf("paid another amount: %+v", a)
	}
	if a, err := c.Inquire(t.Context(), "txn_1"); err != nil || a.State != gateway.Paid || a.UTR != "612345678901" {
		t.Errorf("%+v, %v", a, err)
	}
	server.Close()
	if a, err := c.Inquire(t.Context(), "txn_1"); err == nil {
		t.Errorf("nobody there: %+v", a)
	}
}

func TestNewClientRefuses(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://x", "http://"} {
		if _, err := NewClient(base, testSecret, nil); err == nil {
			t.Errorf("%q: accepted", base)
		}
	}
	if _, err := NewClient("http://x", []byte("short"), nil); err == nil {
		t.Error("a short secret: accepted")
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		body := []byte(`{"a":1}`)
		fresh := func() http.Header {
			h := http.Header{}
			sign(h, testSecret, "msg_1", body, time.Now())
			return h
		}
		kept := fresh()
		if id, err := verify(kept, testSecret, body, time.Now()); err != nil || id != "msg_1" {
			t.Fatal(id, err)
		}
		for name, h := range map[string]http.Header{
			"id":        func() http.Header { h := fresh(); h.Set(headerID, "msg_2"); return h }(),
			"timestamp": func() http.Header { h := fresh(); h.Set(headerTimestamp, "1"); return h }(),
			"signature": func() http.Header { h := fresh(); h.Set(headerSignature, "v1=00"); return h }(),
			"version": func() http.Header {
				h := fresh()
				h.Set(headerSignature, strings.TrimPrefix(h.Get(headerSignature), "v1="))
				return h
			}(),
			"none": {},
		} {
			if _, err := verify(h, testSecret, body, time.Now()); !errors.Is(err, gateway.ErrSignature) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := verify(kept, testSecret, append(body, ' '), time.Now()); !errors.Is(err, gateway.ErrSignature) {
			t.Error("another body", err)
		}
		if _, err := verify(kept, []byte("another key of enough bytes"), body, time.Now()); !errors.Is(err, gateway.ErrSignature) {
			t.Error("another key", err)
		}
		time.Sleep(tolerance - time.Second) // on the bubble's clock
		if _, err := verify(kept, testSecret, body, time.Now()); err != nil {
			t.Error("within the tolerance", err)
		}
		time.Sleep(2 * time.Second)
		if _, err := verify(kept, testSecret, body, time.Now()); !errors.Is(err, gateway.ErrStale) {
			t.Error("replayed", err)
		}
	})
}

func TestUTR(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)
	if got := utr(1_234_567, at); got != "636523234567" {
		t.Error(got)
	}
	if got := gapAfter(0); got != firstGap {
		t.Error(got)
	}
	if got := gapAfter(1_000_000); got != maxGap {
		t.Error(got)
	}
}
