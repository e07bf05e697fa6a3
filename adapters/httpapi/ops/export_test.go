package ops_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/eventstore"
)

// press is what exports come from.
type press struct {
	asked []any
	write func(ctx context.Context, w io.Writer) error // of every export; nil: "the file"
	fault error
}

func (p *press) print(ctx context.Context, w io.Writer, q any) error {
	p.asked = append(p.asked, q)
	if p.write != nil {
		return p.write(ctx, w)
	}
	if p.fault != nil {
		return p.fault
	}
	_, err := io.WriteString(w, "the file")
	return err
}

func (p *press) Statement(ctx context.Context, w io.Writer, q ops.StatementQuery) error {
	return p.print(ctx, w, q)
}
func (p *press) Journal(ctx context.Context, w io.Writer, q ops.JournalQuery) error {
	return p.print(ctx, w, q)
}
func (p *press) EditLog(ctx context.Context, w io.Writer, q ops.EditLogQuery) error {
	return p.print(ctx, w, q)
}
func (p *press) Replay(ctx context.Context, w io.Writer, q ops.ReplayQuery) error {
	return p.print(ctx, w, q)
}

func (p *press) Key(context.Context) (string, error) { return "the key", p.fault }
func (p *press) Checkpoint(context.Context) ([]byte, error) {
	return []byte("the checkpoint"), p.fault
}

func (p *press) Include(_ context.Context, subject string, checkpoint []byte) ([]byte, error) {
	return []byte(subject + " under " + string(checkpoint)), p.fault
}

func (p *press) Consistency(_ context.Context, older []byte) ([]byte, error) {
	return []byte("extends " + string(older)), p.fault
}

// exportFront is the API with exports behind everything that a request passes.
func exportFront(p *press, opts ops.Options) http.Handler {
	o := newOffice()
	if opts.Clock == nil {
		opts.Clock = func() time.Time { return day }
	}
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: o, Deliveries: o, Timeline: o, Merchants: o, Batches: o, Books: o, Auditor: p, Prover: p, Disputes: &desk{}, Refunds: &desk{}, Reconciliation: &reconcileDesk{}}, opts).Register(rt)
	return &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
}

func exporting(p *press, opts ops.Options) func(method, path, key, body string) *httptest.ResponseRecorder {
	h := exportFront(p, opts)
	return func(method, path, key, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-Operator-Key", key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

func TestExportsAsk(t *testing.T) {
	p := &press{}
	ask := exporting(p, ops.Options{})
	date := func(d int) time.Time { return time.Date(2026, 4, d, 0, 0, 0, 0, time.UTC) }
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	april := ops.Period{From: date(1), To: date(30), Zone: kolkata}
	for _, c := range []struct{ path, kind, name, asked string }{
		{"/ops/v1/audit/statement?merchant=mer_a&from=2026-04-01&to=2026-04-30&format=csv", "text/csv; charset=utf-8", "statement-mer_a-2026-04-01-2026-04-30.csv",
			fmt.Sprintf("%+v", ops.StatementQuery{Merchant: "mer_a", Currency: "INR", Format: "csv", Period: april})},
		{"/ops/v1/audit/statement?account=platform:commission&from=2026-04-01&to=2026-04-30&by=value&currency=USD&time_zone=UTC&format=pdf", "application/pdf",
			"statement-platform-commission-2026-04-01-2026-04-30.pdf",
			fmt.Sprintf("%+v", ops.StatementQuery{Account: "platform:commission", Currency: "USD", ByValue: true, Format: "pdf", Period: ops.Period{From: date(1), To: date(30), Zone: time.UTC}})},
		{"/ops/v1/audit/journal?format=hledger&from=2026-04-01", "text/plain; charset=utf-8", "journal.journal",
			fmt.Sprintf("%+v", ops.JournalQuery{Format: "hledger", Period: ops.Period{From: date(1), Zone: kolkata}})},
		{"/ops/v1/audit/journal?format=csv&merchant=mer_a", "text/csv; charset=utf-8", "journal-mer_a.csv",
			fmt.Sprintf("%+v", ops.JournalQuery{Format: "csv", Merchant: "mer_a", Period: ops.Period{Zone: kolkata}})},
		{"/ops/v1/audit/edit-log?to=2026-04-30", "application/json", "edit-log.json",
			fmt.Sprintf("%+v", ops.EditLogQuery{Format: "json", Period: ops.Period{To: date(30), Zone: kolkata}})},
		{"/ops/v1/replay/wallet:mer_a:INR?until=0:17", "application/json", "",
			fmt.Sprintf("%+v", ops.ReplayQuery{Subject: "wallet:mer_a:INR", UpTo: eventstore.Position{Seq: 17}})},
		{"/ops/v1/replay/mer_a?until=2026-03-31T18:00:00Z", "application/json", "",
			fmt.Sprintf("%+v", ops.ReplayQuery{Subject: "mer_a", Until: time.Date(2026, 3, 31, 18, 0, 0, 0, time.UTC)})},
	} {
		w := ask("GET", c.path, "auditor", "")
		h := w.Header()
		disposition := ""
		if c.name != "" {
			disposition = `attachment; filename="` + c.name + `"`
		}
		if w.Code != 200 || w.Body.String() != "the file" || h.Get("Content-Type") != c.kind || h.Get("Content-Disposition") != disposition ||
			h.Get("Cache-Control") != "no-store" || h.Get("Content-Length") != "8" {
			t.Errorf("%s: %d %s %v", c.path, w.Code, w.Body, h)
		}
		if got := fmt.Sprintf("%+v", p.asked[len(p.asked)-1]); got != c.asked {
			t.Errorf("%s asked for %s\nwant %s", c.path, got, c.asked)
		}
	}
	if w := ask("HEAD", "/ops/v1/audit/journal?format=csv", "auditor", ""); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("HEAD: %d %s %v", w.Code, w.Body, w.Header())
	}
}

func TestExportsRefuse(t *testing.T) {
	p := &press{}
	ask := exporting(p, ops.Options{})
	const statement = "/ops/v1/audit/statement?"
	for path, want := range map[string]string{
		statement: `"format":["The format is missing."],"from":["The from is missing."],"merchant":["The merchant or account is needed, and not both."],"to":["The to is missing."]`,
		statement + "merchant=mer_a&account=b&from=2026-04-02&to=2026-04-01&format=doc":      `"format":["The format must be one of csv, xlsx, pdf, json."],"merchant":["The merchant or account is needed, and not both."],"to":["The to must not be before from."]`,
		statement + "merchant=mer_a&from=2026-02-30&to=0&format=csv&currency=XYZ":            `"currency":["The currency is not known."],"from":["The from must be a day such as 2026-04-01."],"to":["The to must be a day such as 2026-04-01."]`,
		statement + "merchant=mer_a&from=2026-04-01&to=2026-04-01&format=csv&time_zone=Mars": `"time_zone":["The time_zone is not known."]`,
		"/ops/v1/audit/journal?time_zone=../../etc/passwd&format=csv":                        `"time_zone":["The time_zone is not known."]`,
		"/ops/v1/audit/journal":               `"format":["The format is missing."]`,
		"/ops/v1/audit/edit-log?format=table": `"format":["The format must be one of csv, json."]`,
		"/ops/v1/replay/txn_1?until=0:0":      `"until":["The until must be a time such as 2026-03-31T18:00:00Z, or a position such as 0:17."]`,
	} {
		expect(t, ask("GET", path, "auditor", ""), 422, `{"success":false,"message":"Validation failed","data":null,"errors":{`+want+`}}`)
	}
	expect(t, ask("POST", "/ops/v1/proof/consistency", "auditor", " \n"), 422,
		`{"success":false,"message":"Validation failed","data":null,"errors":{"checkpoint":["The checkpoint is missing: send the file as the body."]}}`)
	expect(t, ask("POST", "/ops/v1/proof/consistency", "auditor", strings.Repeat("x", 256<<10+1)), 413, failure("Request body is too large"))
	if len(p.asked) > 0 {
		t.Errorf("asked for %v", p.asked)
	}
	// What is found out only while it is made, and before anything is sent.
	for _, c := range []struct {
		fault  error
		status int
		body   string
	}{
		{domain.Errorf(domain.NotFound, "none"), 404, failure("Not found")},
		{domain.InvalidField("format", "does not hold so many lines"), 422, `{"success":false,"message":"Validation failed","data":null,"errors":{"format":["The format does not hold so many lines."]}}`},
		{errors.New("hunter2"), 503, failure("Service temporarily unavailable, please try again")},
		{&ops.Refuted{Problem: "partition 0: history was rewritten"}, 409, failure("partition 0: history was rewritten")},
	} {
		p.fault = c.fault
		for _, path := range []string{"/ops/v1/audit/journal?format=csv", "/ops/v1/proof/checkpoint", "/ops/v1/proof/key", "/ops/v1/proof/include/0:7", "/ops/v1/replay/txn_1"} {
			w := ask("GET", path, "auditor", "")
			expect(t, w, c.status, c.body)
			if w.Header().Get("Content-Disposition") != "" {
				t.Errorf("%s: an error is called %s", path, w.Header().Get("Content-Disposition"))
			}
		}
	}
}

func TestProofs(t *testing.T) {
	ask := exporting(&press{}, ops.Options{})
	expect(t, ask("GET", "/ops/v1/proof/key", "auditor", ""), 200, "the key\n")
	expect(t, ask("GET", "/ops/v1/proof/checkpoint", "auditor", ""), 200, "the checkpoint")
	expect(t, ask("GET", "/ops/v1/proof/include/0:7", "auditor", ""), 200, "0:7 under ")
	expect(t, ask("POST", "/ops/v1/proof/include/wallet:mer_a:INR", "auditor", "that one"), 200, "wallet:mer_a:INR under that one")
	expect(t, ask("POST", "/ops/v1/proof/consistency", "auditor", "that one"), 200, "extends that one")
	w := ask("GET", "/ops/v1/proof/include/txn_%22%0d%0a", "auditor", "")
	if w.Header().Get("Content-Disposition") != `attachment; filename="txn_---.proof"` {
		t.Errorf("%v", w.Header())
	}
}

// Support replays payments and batches, masked; all the others everything, as it stands.
func TestReplayOfSupport(t *testing.T) {
	p := &press{}
	ask := exporting(p, ops.Options{})
	for _, subject := range []string{"mer_a", "opr_a", "wallet:mer_a:INR", "batch:mer_a:bat_1", "2026-03"} {
		expect(t, ask("GET", "/ops/v1/replay/"+subject, "support", ""), 403, failure("Your role does not allow this"))
	}
	for _, role := range []string{"support", "auditor"} {
		for _, subject := range []string{"txn_1", "bat_1"} {
			if w := ask("GET", "/ops/v1/replay/"+subject, role, ""); w.Code != 200 {
				t.Errorf("%s, %s: %d", role, subject, w.Code)
			}
			if q := p.asked[len(p.asked)-1].(ops.ReplayQuery); q.Masked != (role == "support") {
				t.Errorf("%s is answered %+v", role, q)
			}
		}
	}
}

// listening serves over a real connection, with a server whose own times are short.
func listening(t *testing.T, p *press, opts ops.Options) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(exportFront(p, opts))
	s.Config.ReadTimeout, s.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, s *httptest.Server, path string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Operator-Key", "auditor")
	answer, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := answer.Body.Close(); err != nil {
			t.Error(err)
		}
	})
	return answer
}

const journal = "/ops/v1/audit/journal?format=csv"

// A long export outlives the times that the server gives to other requests.
func TestExportsOutliveTimeouts(t *testing.T) {
	var until time.Time
	piece := bytes.Repeat([]byte("x"), 100_000)
	var pieces int
	p := &press{write: func(ctx context.Context, w io.Writer) error {
		for until = time.Now().Add(250 * time.Millisecond); time.Now().Before(until); pieces++ {
			if _, err := w.Write(piece); err != nil {
				return err
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	answer := get(t, listening(t, p, ops.Options{}), journal) //nolint:bodyclose // get does
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil || n != int64(pieces*len(piece)) || n == 0 || answer.ContentLength != -1 {
		t.Errorf("%d bytes of %d pieces, %v", n, pieces, err)
	}
}

// What fails in the middle is cut, so that the client sees that it is not whole; over HTTP/1.0 it could not.
func TestExportsThatFailAreCut(t *testing.T) {
	p := &press{write: func(_ context.Context, w io.Writer) error {
		if _, err := w.Write(bytes.Repeat([]byte("x"), 200_000)); err != nil {
			return err
		}
		return errors.New("the disk is gone")
	}}
	s := listening(t, p, ops.Options{})
	answer := get(t, s, journal) //nolint:bodyclose // get does
	if n, err := io.Copy(io.Discard, answer.Body); !errors.Is(err, io.ErrUnexpectedEOF) || answer.StatusCode != http.StatusOK {
		t.Errorf("%d, %d bytes, %v", answer.StatusCode, n, err)
	}
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it has only asked
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nX-Operator-Key: auditor\r\n\r\n", journal); err != nil {
		t.Fatal(err)
	}
	old, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Body.Close() //nolint:errcheck // it is read
	if old.StatusCode != http.StatusHTTPVersionNotSupported {
		t.Errorf("HTTP/1.0: %d", old.StatusCode)
	}
}

// A client that goes away, and a server that stops, end the work.
func TestExportsEndEarly(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	endless := func(ctx context.Context, w io.Writer) (err error) {
		defer func() { ended <- err }()
		for {
			if _, err := w.Write(make([]byte, 100_000)); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	p := &press{write: endless}
	s := listening(t, p, ops.Options{Stopping: stopping})
	answer := get(t, s, journal)
	if _, err := io.ReadFull(answer.Body, make([]byte, 300_000)); err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("nobody listens, and it goes on")
	}
	answer = get(t, s, journal) //nolint:bodyclose // get does
	if _, err := io.ReadFull(answer.Body, make([]byte, 300_000)); err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := io.Copy(io.Discard, answer.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the server stops, and it goes on")
	}
}

// Work that writes nothing ends with its client, too.
func TestExportsThatWriteNothing(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error, 1)
	p := &press{write: func(ctx context.Context, _ io.Writer) error {
		close(begun)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	s := listening(t, p, ops.Options{})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nX-Operator-Key: auditor\r\n\r\n", journal); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// So many at once, and the others are told when to come back.
func TestExportsAtOnce(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	p := &press{write: func(ctx context.Context, w io.Writer) error {
		begun <- struct{}{}
		<-goOn
		_, err := io.WriteString(w, "the file")
		return err
	}}
	ask := exporting(p, ops.Options{Exports: 2})
	answers := make(chan *httptest.ResponseRecorder)
	for range 2 {
		go func() { answers <- ask("GET", journal, "auditor", "") }()
		<-begun
	}
	w := ask("GET", journal, "auditor", "")
	expect(t, w, 503, failure("Too many exports at once, please try again"))
	if w.Header().Get("Retry-After") != "5" {
		t.Errorf("%v", w.Header())
	}
	if w := ask("GET", "/ops/v1/audit/journal?format=x", "auditor", ""); w.Code != 422 {
		t.Errorf("a wrong question is told so: %d", w.Code)
	}
	close(goOn)
	for range 2 {
		expect(t, <-answers, 200, "the file")
	}
	p.write = nil
	expect(t, ask("GET", journal, "auditor", ""), 200, "the file")
}
