package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"
)

// Front stands before every handler of the listener: it gives the request its Exchange, logs and counts it, and turns a
// panic into an answer that says nothing of it.
type Front struct {
	Next    http.Handler
	Logger  *slog.Logger
	Metrics *Metrics       // nil: nothing is counted
	Trusted []netip.Prefix // proxies whose X-Forwarded-For counts
	Bodies  *Bodies        // bounds large bodies; may be nil
	// Reserved reports what is served when there are more connections than may be, and never made to pause: probes, operators. nil: nothing.
	Reserved func(path string) bool
	// Pause is how long nothing is read from a connection whose request was refused with 429 or 503: the refusal says not to come back before a
	// second, and who does would have the server do nothing but refuse. 0: none.
	Pause time.Duration
}

// ServeHTTP serves one request.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &Exchange{
		ID:     requestID(r.Header["X-Request-Id"]),
		Client: clientAddress(r.RemoteAddr, r.Header["X-Forwarded-For"], f.Trusted),
	}
	x.bodies = f.Bodies
	rec := &recorder{ResponseWriter: w}
	rec.Header()["X-Request-Id"] = []string{x.ID}
	if len(r.TransferEncoding) > 0 {
		// A length beside it, which net/http has dropped, may be what a proxy before us went by: what it takes for the rest of this request
		// is not to be read as another one.
		rec.Header()["Connection"] = []string{"close"}
	}
	defer f.finish(rec, r, x, start)
	if ofReserve(r) {
		rec.Header()["Connection"] = []string{"close"}
		if !f.reserved(r) {
			x.Quiet = true
			Unavailable(rec)
			return
		}
	}
	f.Next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
}

func (f *Front) reserved(r *http.Request) bool { return f.Reserved != nil && f.Reserved(r.URL.Path) }

// pause keeps a connection from being read for a moment, behind an answer that the client has.
func (f *Front) pause(w http.ResponseWriter, r *http.Request, status int) {
	if f.Pause <= 0 || status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable || f.reserved(r) {
		return
	}
	if w.Header().Get("Connection") == "close" || http.NewResponseController(w).Flush() != nil {
		return // nothing will be read from it anyway
	}
	over := time.NewTimer(f.Pause)
	defer over.Stop()
	select {
	case <-over.C:
	case <-r.Context().Done():
	}
}

// finish is deferred: it recovers a panic, and records how the exchange ended.
func (f *Front) finish(rec *recorder, r *http.Request, x *Exchange, start time.Time) {
	fault := recover()
	x.release()
	if fault != nil && !deliberate(fault) {
		f.Logger.Error("a handler panicked", "request_id", x.ID, "route", x.Route,
			"panic", fmt.Sprint(fault), "stack", string(debug.Stack()))
		if rec.status == 0 {
			Fail(rec, http.StatusInternalServerError, MessageInternal)
			fault = nil
		}
	}
	status := rec.status
	if status == 0 {
		status = http.StatusOK // what net/http sends for a handler that wrote nothing
	}
	took := time.Since(start)
	f.Metrics.observe(r.Method, x.Route, status, took)
	level := slog.LevelInfo
	if x.Quiet {
		level = slog.LevelDebug
	}
	if f.Logger.Enabled(context.Background(), level) {
		f.Logger.LogAttrs(context.Background(), level, "request",
			slog.String("method", r.Method), slog.String("route", x.Route), slog.Int("status", status),
			slog.Float64("duration_ms", float64(took.Microseconds())/1000), slog.Int64("bytes", rec.bytes),
			slog.String("request_id", x.ID), slog.String("key_id", x.KeyID))
	}
	if fault != nil {
		panic(http.ErrAbortHandler) // an answer that was begun cannot be taken back: cut it, so that it is seen to be cut
	}
	f.pause(rec, r, status)
}

// deliberate reports the panic by which a handler asks to cut the connection.
func deliberate(fault any) bool {
	err, isError := fault.(error)
	return isError && errors.Is(err, http.ErrAbortHandler)
}

// recorder notes what is sent.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 { // 1xx are no answers yet
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack serves handlers that take the connection over, as the sandbox bank does to break it.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}
