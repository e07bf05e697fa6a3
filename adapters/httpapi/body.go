package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// DefaultMaxBody is the bound of a request body: 1 MiB.
const DefaultMaxBody = 1 << 20

// drainBytes is how much of a body that is too large is read and dropped: many clients look for an answer only when they have
// sent everything, and see a broken connection otherwise.
const drainBytes = 8 << 20

// Errors of ReadJSON.
var (
	ErrMediaType = errors.New("the content type is not application/json")
	ErrTooLarge  = errors.New("the body is too large")
)

// ReadJSON reads a body of at most limit bytes that says it is JSON. ErrMediaType, ErrTooLarge, ErrBodies, or the connection's error.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if !isJSON(r.Header) {
		return nil, ErrMediaType
	}
	return ReadBody(w, r, limit)
}

// ReadBody reads a body of at most limit bytes of any type. ErrTooLarge, ErrBodies, or the connection's error.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		drain(r.Body)
		return nil, ErrTooLarge
	}
	b, err := readAll(r, http.MaxBytesReader(w, r.Body, limit), limit, r.ContentLength)
	if over := (*http.MaxBytesError)(nil); errors.As(err, &over) {
		drain(r.Body)
		return nil, ErrTooLarge
	}
	return b, err
}

func drain(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, drainBytes) //nolint:errcheck // it ends where it ends: the answer is the same
}

// isJSON accepts application/json alone or with charset=utf-8, once, and no content encoding.
func isJSON(h http.Header) bool {
	types := h["Content-Type"]
	if len(types) != 1 || len(h["Content-Encoding"]) > 0 && !strings.EqualFold(h.Get("Content-Encoding"), "identity") {
		return false
	}
	if types[0] == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return len(params) == 0 || given && len(params) == 1 && strings.EqualFold(charset, "utf-8")
}
