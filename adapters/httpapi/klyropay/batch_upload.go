package klyropay

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
)

// Bounds of what is taken at the same time: each batch takes a file, some ten megabytes of memory and a share of the processors.
const (
	maxUploads     = 8
	maxUploadsEach = 2 // of one merchant

	maxUploadQueue     = 64 // wait for their turn
	maxUploadQueueEach = 8  // of one merchant

	maxResults     = 8 // sheets of results
	maxResultsEach = 2 // of one merchant
)

// drainBytes is how much of a refused body is read and dropped, so that clients that send everything first see the answer: also those whose
// file is a good deal larger than a batch can be.
const drainBytes = 64 << 20

// uploads counts the batches that are being read.
type uploads struct {
	mu   sync.Mutex
	all  int
	of   map[string]int // by merchant
	left chan struct{}  // closed and replaced when one ends

	queue *httpapi.Gate // who waits for a turn
}

func newUploads() *uploads {
	return &uploads{
		of: map[string]int{}, left: make(chan struct{}),
		queue: httpapi.NewGate("upload queue", httpapi.Bounds{Most: maxUploadQueue, Share: maxUploadQueueEach}),
	}
}

// enter admits a batch, after waiting for its turn, or answers for itself. What it returns must be called at the end.
func (u *uploads) enter(ctx context.Context, w http.ResponseWriter, merchantID string, within time.Duration) (leave func(), ok bool) {
	over := time.NewTimer(within)
	defer over.Stop()
	waiting, err := u.queue.Enter(ctx, merchantID)
	switch {
	case errors.Is(err, httpapi.ErrShare):
		limited(w, time.Second)
		return nil, false
	case err != nil:
		httpapi.Unavailable(w)
		return nil, false
	}
	defer waiting.Leave()
	for {
		u.mu.Lock()
		own, all, left := u.of[merchantID] < maxUploadsEach, u.all < maxUploads, u.left
		if own && all {
			u.all++
			u.of[merchantID]++
			u.mu.Unlock()
			return func() { u.leave(merchantID) }, true
		}
		u.mu.Unlock()
		select {
		case <-left:
			continue
		case <-over.C:
		case <-ctx.Done():
		}
		if own {
			httpapi.Unavailable(w)
		} else {
			limited(w, time.Second)
		}
		return nil, false
	}
}

func (u *uploads) leave(merchantID string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all--
	if u.of[merchantID]--; u.of[merchantID] == 0 {
		delete(u.of, merchantID)
	}
	close(u.left)
	u.left = make(chan struct{})
}

// batchFormat reads the content type: one of the three, in UTF-8, without a content encoding.
func batchFormat(h http.Header) (BatchFormat, bool) {
	types := h["Content-Type"]
	if len(types) != 1 || len(h["Content-Encoding"]) > 0 && !strings.EqualFold(h.Get("Content-Encoding"), "identity") {
		return "", false
	}
	kind, options, err := mime.ParseMediaType(types[0])
	if err != nil {
		return "", false
	}
	for name, value := range options {
		headed := kind == "text/csv" && name == "header" && strings.EqualFold(value, "present") // RFC 4180, section 3
		if !headed && (name != "charset" || !strings.EqualFold(value, "utf-8")) {
			return "", false
		}
	}
	switch kind {
	case "application/json":
		return BatchJSON, true
	case "text/csv":
		return BatchCSV, true
	case "application/x-ndjson", "application/ndjson":
		return BatchNDJSON, true
	}
	return "", false
}

// upload is a body of bounded length that remembers what ended it, whoever reads it.
type upload struct {
	body io.Reader
	err  error // but for its end
}

func newUpload(w http.ResponseWriter, r *http.Request, limit int64) *upload {
	return &upload{body: http.MaxBytesReader(w, r.Body, limit)}
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		u.err = err
	}
	return n, err
}

// tooLarge tells whether the body went on behind its limit.
func (u *upload) tooLarge() bool {
	var over *http.MaxBytesError
	return errors.As(u.err, &over)
}

// drain reads and drops what is left of a body that is refused.
func drain(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, drainBytes) //nolint:errcheck // it ends where it ends: the answer is the same
}

// writeMargin is how long the answer itself may take to be sent, or one part of it.
const writeMargin = 30 * time.Second

// allow gives the exchange time, in place of what the server allows to all requests: to send the body, and to be answered.
func allow(w http.ResponseWriter, d time.Duration) {
	rc, end := http.NewResponseController(w), time.Now().Add(d)
	// Where the connection does not know deadlines it has none; where it is broken, the next read or write says so.
	_ = rc.SetReadDeadline(end)                   //nolint:errcheck // see above
	_ = rc.SetWriteDeadline(end.Add(writeMargin)) //nolint:errcheck // see above
}
