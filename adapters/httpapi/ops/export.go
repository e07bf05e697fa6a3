package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/merchant"
)

// Bounds of an export. What is sent has no bound of its own; it is made while it is sent.
const (
	DefaultExports = 2                // at once
	exportWithin   = 30 * time.Minute // the whole of it
	sendWithin     = 30 * time.Second // a piece: a client that takes nothing for so long is given up
	heldBytes      = 64 << 10         // that are made before the first is sent: a fault until then is answered as one
	pieceBytes     = 64 << 10
	exportRetry    = 5 * time.Second // when all places are taken
)

// Messages of refusals of exports.
const (
	messageExportsBusy = "Too many exports at once, please try again"
	messageHTTP10      = "Exports need HTTP/1.1: over HTTP/1.0 a part cannot be told from the whole"
)

// Content types.
const (
	typeCSV  = "text/csv; charset=utf-8"
	typeXLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	typePDF  = "application/pdf"
	typeText = "text/plain; charset=utf-8"
	typeJSON = "application/json"
)

// file is what an export gives: not the envelope, but the file itself, as the command line writes it.
type file struct {
	name  string // for Content-Disposition; "": it is no attachment
	kind  string
	write func(ctx context.Context, w io.Writer) error
}

// exporting reads a request's parameters, and says what is to be written. An error is for refuse.
type exporting func(r *http.Request, by merchant.Operator) (*file, error)

// guardExport admits a request and streams its answer. It stops when the client has gone, when the server stops, and at exportWithin.
func (a *API) guardExport(may func(merchant.Role) bool, prepare exporting) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok := a.admit(w, r, may)
		if !ok {
			return
		}
		f, err := prepare(r, by)
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		if !r.ProtoAtLeast(1, 1) {
			httpapi.Fail(w, http.StatusHTTPVersionNotSupported, messageHTTP10)
			return
		}
		select {
		case a.exports <- struct{}{}:
			defer func() { <-a.exports }()
		default:
			httpapi.RetryAfter(w, exportRetry)
			httpapi.Fail(w, http.StatusServiceUnavailable, messageExportsBusy)
			return
		}
		a.stream(w, r, f)
	})
}

// stream writes a file. What fails before the first byte is sent is answered; behind it the connection is cut, so that nobody takes a part
// for the whole.
func (a *API) stream(w http.ResponseWriter, r *http.Request, f *file) {
	ctx, cancel := context.WithTimeout(r.Context(), exportWithin)
	defer cancel()
	if a.opts.Stopping != nil {
		defer context.AfterFunc(a.opts.Stopping, cancel)()
	}
	out := &sender{ctx: ctx, w: w, rc: http.NewResponseController(w), file: f, head: r.Method == http.MethodHead}
	err := f.write(ctx, out)
	if err == nil {
		err = out.close()
	}
	switch {
	case err == nil || errors.Is(err, errHeadOnly):
	case r.Context().Err() != nil: // nobody is there to be told
		panic(http.ErrAbortHandler)
	case !out.begun:
		a.refuse(w, r, err)
	default:
		x := httpapi.From(r.Context())
		a.opts.Logger.Warn("an export was cut short", "request_id", x.ID, "route", x.Route, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// errHeadOnly ends an export of which only the headers were asked for.
var errHeadOnly = errors.New("only the headers are asked for")

// sender gives a file to the client, and holds back what comes first.
type sender struct {
	ctx   context.Context //nolint:containedctx // it lives as long as the request
	w     http.ResponseWriter
	rc    *http.ResponseController
	file  *file
	head  bool
	held  []byte
	begun bool
}

// Write implements io.Writer.
func (s *sender) Write(b []byte) (int, error) {
	if !s.begun && len(s.held)+len(b) <= heldBytes {
		s.held = append(s.held, b...)
		return len(b), nil
	}
	if !s.begun {
		if err := s.begin(); err != nil {
			return 0, err
		}
	}
	return s.send(b)
}

// begin sends the headers, and what was held back.
func (s *sender) begin() error {
	s.begun = true
	h := s.w.Header()
	h.Set("Content-Type", s.file.kind)
	if s.file.name != "" {
		h.Set("Content-Disposition", `attachment; filename="`+s.file.name+`"`)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.head {
		return errHeadOnly
	}
	_, err := s.send(s.held)
	s.held = nil
	return err
}

// send sends in pieces, each of which has its own time.
func (s *sender) send(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		if err := s.ctx.Err(); err != nil {
			return n, err
		}
		_ = s.rc.SetWriteDeadline(time.Now().Add(sendWithin)) //nolint:errcheck // a writer without deadlines has none to move
		var sent int
		sent, err = s.w.Write(b[:min(len(b), pieceBytes)]) //nolint:gosec // an attachment, or text and JSON that nosniff keeps from being anything else
		n, b = n+sent, b[sent:]
	}
	return n, err
}

// close sends what is held back still: all of it, then.
func (s *sender) close() error {
	if s.begun {
		return nil
	}
	s.w.Header().Set("Content-Length", strconv.Itoa(len(s.held)))
	return s.begin()
}

// whole is a file whose bytes are known at once.
func whole(kind, name string, content func(ctx context.Context) ([]byte, error)) *file {
	return &file{name: name, kind: kind, write: func(ctx context.Context, w io.Writer) error {
		b, err := content(ctx)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	}}
}

// fileName is what a file may be called in a header: letters, digits, hyphens, underscores and full stops; whatever else is a hyphen.
func fileName(parts ...string) string {
	var b []byte
	for i, part := range parts {
		if i > 0 {
			b = append(b, '-')
		}
		for j := range len(part) {
			c := part[j]
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' {
				b = append(b, c)
			} else {
				b = append(b, '-')
			}
		}
	}
	return string(b)
}
