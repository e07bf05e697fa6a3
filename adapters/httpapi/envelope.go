package httpapi

import (
	"net/http"
	"strconv"
	"time"
)

// Messages of errors that every dialect shares. None of them tells what went wrong inside.
const (
	MessageNotFound    = "Not found"
	MessageMethod      = "Method not allowed"
	MessageTooLarge    = "Request body is too large"
	MessageMediaType   = "Content-Type must be application/json"
	MessageMalformed   = "Malformed JSON"
	MessageQuery       = "Malformed query string"
	MessageInternal    = "Internal server error"
	MessageUnavailable = "Service temporarily unavailable, please try again"
	MessageRate        = "Rate limit exceeded"
)

// JSONType is the Content-Type of answers.
const JSONType = "application/json; charset=utf-8"

// Write sends a JSON body. An error of the connection is nobody's to answer: the client is gone, and the access log shows
// the bytes that were sent.
func Write(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = []string{JSONType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:errcheck,gosec // see above; JSON that nosniff keeps from being anything else
}

// Failure is the documented error envelope: {"success":false,"message":"...","data":null}.
func Failure(message string) []byte {
	b := make([]byte, 0, 64+len(message))
	b = append(b, `{"success":false,"message":`...)
	b = AppendString(b, message)
	return append(b, `,"data":null}`...)
}

// Fail answers with the error envelope.
func Fail(w http.ResponseWriter, status int, message string) { Write(w, status, Failure(message)) }

// RetryAfter sets the header of that name: whole seconds, rounded up, at least one.
func RetryAfter(w http.ResponseWriter, d time.Duration) {
	seconds := max(int64((d+time.Second-1)/time.Second), 1)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
}

// Unavailable answers 503 with a Retry-After of a second: nothing was done, or its outcome is not known yet.
func Unavailable(w http.ResponseWriter) {
	RetryAfter(w, time.Second)
	Fail(w, http.StatusServiceUnavailable, MessageUnavailable)
}
