package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Check is one condition of being ready.
type Check struct {
	Name string
	// Probe returns a short detail that anyone may read, and an error, which is only logged, when the condition does not hold.
	Probe func(ctx context.Context) (detail string, err error)
}

// Readiness tells whether the server should be sent requests.
type Readiness struct {
	checks   []Check
	timeout  time.Duration
	logger   *slog.Logger
	draining atomic.Bool
}

// NewReadiness makes a readiness of checks, which run at once, each for at most timeout.
func NewReadiness(logger *slog.Logger, timeout time.Duration, checks ...Check) *Readiness {
	return &Readiness{checks: checks, timeout: timeout, logger: logger}
}

// Drain makes the server not ready, for good.
func (rd *Readiness) Drain() { rd.draining.Store(true) }

type finding struct {
	detail string
	err    error
}

// ServeHTTP answers 200 when every check holds, else 503:
// {"status":"ready|not ready|draining","checks":{"store":{"ok":true,"detail":"..."}}}.
func (rd *Readiness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), rd.timeout)
	defer cancel()
	findings := make([]finding, len(rd.checks))
	var running sync.WaitGroup
	for i, c := range rd.checks {
		running.Go(func() { findings[i].detail, findings[i].err = c.Probe(ctx) })
	}
	running.Wait()

	status, word := http.StatusOK, "ready"
	b := []byte(`,"checks":{`)
	for i, f := range findings {
		if f.err != nil {
			status, word = http.StatusServiceUnavailable, "not ready"
			if r.Context().Err() != nil { // who asked has gone: it says nothing of us
				continue
			}
			rd.logger.Warn("not ready", "check", rd.checks[i].Name, "error", f.err)
		}
		b = appendFinding(b, rd.checks[i].Name, f, i == 0)
	}
	if rd.draining.Load() {
		status, word = http.StatusServiceUnavailable, "draining"
	}
	head := AppendString([]byte(`{"status":`), word)
	Write(w, status, append(append(head, b...), "}}"...))
}

func appendFinding(b []byte, name string, f finding, first bool) []byte {
	if !first {
		b = append(b, ',')
	}
	b = append(AppendString(b, name), `:{"ok":`...)
	if f.err == nil {
		b = append(b, "true"...)
	} else {
		b = append(b, "false"...)
	}
	if f.detail != "" {
		b = AppendString(append(b, `,"detail":`...), f.detail)
	}
	return append(b, '}')
}

// Alive answers 200: the process lives.
func Alive(w http.ResponseWriter, _ *http.Request) {
	Write(w, http.StatusOK, []byte(`{"status":"ok"}`))
}
