package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection.
const (
	MaxHeaderBytes    = 64 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
)

// NewServer makes a server with every timeout set. answer is the longest time that a handler may take to answer.
func NewServer(h http.Handler, answer time.Duration, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      readTimeout + answer,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ConnContext:       ofConn,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// Drain says how a server stops.
type Drain struct {
	Ready   *Readiness    // answers "draining" from the first moment on; may be nil
	Notice  time.Duration // requests are still taken for so long, so that a load balancer can notice
	Timeout time.Duration // for the requests in flight; what is not answered then is cut
}

// Serve serves until ctx ends, then drains: it announces it, takes requests during the notice, refuses new ones, and waits
// for those in flight. It returns when no handler runs any more, or the drain's timeout has passed (with an error).
func Serve(ctx context.Context, s *http.Server, l net.Listener, d Drain) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	if d.Ready != nil {
		d.Ready.Drain()
	}
	notice := time.NewTimer(d.Notice)
	defer notice.Stop()
	select {
	case err := <-served:
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	case <-notice.C:
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Timeout)
	defer cancel()
	err := s.Shutdown(bounded)
	if err != nil {
		err = errors.Join(fmt.Errorf("draining %s: %w", l.Addr(), err), s.Close())
	}
	if end := <-served; !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, end)
	}
	return err
}
