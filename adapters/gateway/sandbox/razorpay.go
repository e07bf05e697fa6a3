package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The Razorpay face: what Razorpay's API does for orders, payments, refunds, its hosted page and its webhooks, by its public
// documentation (razorpay.com/docs/api, /docs/webhooks) and its official client.

const (
	razorpayBase     = "/sandbox/razorpay"
	razorpayIDLength = 14 // behind the prefix
)

func (b *Bank) razorpayRoutes() {
	b.mux.HandleFunc("POST "+razorpayBase+"/accounts", b.serveRazorpayAccount)
	b.mux.HandleFunc("GET "+razorpayBase+"/accounts", b.serveRazorpayAccounts)
	b.mux.HandleFunc("GET "+razorpayBase+"/truth", b.serveRazorpayTruth)
	for pattern, call := range map[string]razorpayCall{
		"POST /orders":                           b.razorpayCreateOrder,
		"GET /orders":                            b.razorpayListOrders,
		"GET /orders/{id}":                       b.razorpayFetchOrder,
		"PATCH /orders/{id}":                     b.razorpayEditOrder,
		"GET /orders/{id}/payments":              b.razorpayOrderPayments,
		"GET /payments":                          b.razorpayListPayments,
		"GET /payments/{id}":                     b.razorpayFetchPayment,
		"POST /payments/{id}/capture":            b.razorpayCapturePayment,
		"POST /payments/{id}/refund":             b.razorpayCreateRefund,
		"GET /payments/{id}/refunds":             b.razorpayListRefunds,
		"GET /payments/{id}/refunds/{refund_id}": b.razorpayFetchRefund,
		"GET /refunds":                           b.razorpayListRefunds,
		"GET /refunds/{refund_id}":               b.razorpayFetchRefund,
		"POST /payments/create/upi":              b.razorpayCreateUPI,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		b.mux.HandleFunc(method+" "+razorpayBase+"/v1"+path, b.razorpay(call))
	}
	b.mux.HandleFunc("POST "+razorpayBase+"/v1/checkout/embedded", b.serveRazorpayPage)
	b.mux.HandleFunc("POST "+razorpayBase+"/v1/checkout/{token}", b.serveRazorpayVisit)
	b.mux.HandleFunc("GET "+razorpayBase+"/v1/checkout/{token}/cancel", b.serveRazorpayCancel)
	b.mux.HandleFunc(razorpayBase+"/v1/", func(w http.ResponseWriter, _ *http.Request) {
		e := badRequest("", "The requested URL was not found on the server.")
		e.status = http.StatusNotFound
		b.writeRazorpay(w, nil, e)
	})
}

// razorpayError is a refusal in the company's format.
type razorpayError struct {
	status      int
	Code        string            `json:"code"`
	Description string            `json:"description"`
	Source      string            `json:"source"`
	Step        string            `json:"step"`
	Reason      string            `json:"reason"`
	Metadata    map[string]string `json:"metadata"`
	Field       *string           `json:"field"` // null: none
}

func (e *razorpayError) Error() string { return e.Code + ": " + e.Description }

// badRequest is a request that Razorpay refuses; field "" is none in particular.
func badRequest(field, description string) *razorpayError {
	e := &razorpayError{
		status: http.StatusBadRequest, Code: "BAD_REQUEST_ERROR", Description: description, Source: "business", Step: "payment_initiation",
		Reason: "input_validation_failed", Metadata: map[string]string{},
	}
	if field != "" {
		e.Field = &field
	}
	return e
}

// refusal is a request that is well-formed and cannot be done in this state of things.
func refusal(description string) *razorpayError {
	e := badRequest("", description)
	e.Reason = "NA"
	return e
}

func authenticationFailed(description string) *razorpayError {
	return &razorpayError{
		status: http.StatusUnauthorized, Code: "BAD_REQUEST_ERROR", Description: description, Source: "NA", Step: "NA", Reason: "NA",
		Metadata: map[string]string{},
	}
}

func razorpayServerError() *razorpayError {
	return &razorpayError{
		status: http.StatusInternalServerError, Code: "SERVER_ERROR",
		Description: "We are facing some trouble completing your request at the moment. Please try again shortly.", Source: "NA", Step: "NA", Reason: "NA",
		Metadata: map[string]string{},
	}
}

// errSilent makes the face close the connection instead of answering.
var errSilent = errors.New("no answer")

// razorpayCall is a call of the API: what it answers, or *razorpayError, or errSilent.
type razorpayCall func(ctx context.Context, a *razorpayAccount, r *http.Request, in fields) (any, error)

// razorpay serves a call to who has the account's keys.
func (b *Bank) razorpay(call razorpayCall) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, err := b.razorpayAuthenticate(r)
		in := fields{}
		if err == nil && r.Method == http.MethodGet {
			err = in.take(r.URL.Query())
		} else if err == nil {
			in, err = readFields(w, r)
		}
		var out any
		if err == nil {
			out, err = call(r.Context(), a, r, in)
		}
		b.writeRazorpay(w, out, err)
	}
}

// razorpayAuthenticate checks the keys of Basic authentication, in constant time.
func (b *Bank) razorpayAuthenticate(r *http.Request) (*razorpayAccount, error) {
	id, secret, ok := r.BasicAuth()
	if !ok || id == "" {
		return nil, authenticationFailed("Please provide your api key for authentication purposes.")
	}
	a, err := b.razorpayAccountOf(r.Context(), b.readers, id)
	if err != nil {
		return nil, err
	}
	known := a != nil
	if !known {
		a = &razorpayAccount{}
	}
	given, want := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(a.KeySecret))
	if subtle.ConstantTimeCompare(given[:], want[:]) != 1 || !known {
		return nil, authenticationFailed("Authentication failed")
	}
	return a, nil
}

func (b *Bank) writeRazorpay(w http.ResponseWriter, out any, err error) {
	var refused *razorpayError
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, out)
		return
	case errors.Is(err, errSilent):
		drop(w)
		return
	case errors.As(err, &refused):
	case errors.Is(err, errFields):
		refused = badRequest("", "The request could not be read: "+err.Error())
	default:
		b.log.Error("the Razorpay face failed", "error", err)
		refused = razorpayServerError()
	}
	if refused.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Razorpay"`)
	}
	writeJSON(w, refused.status, map[string]any{"error": refused})
}

// razorpaySignature signs as webhooks and returns are signed.
func razorpaySignature(secret string, message []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(message)
	return hex.EncodeToString(mac.Sum(nil))
}

// razorpayCollection is a list in the company's format.
type razorpayCollection struct {
	Entity string `json:"entity"`
	Count  int    `json:"count"`
	Items  any    `json:"items"`
}

func collectionOf[T, E any](rows []*T, entity func(*T) E) razorpayCollection {
	items := make([]E, len(rows))
	for i, row := range rows {
		items[i] = entity(row)
	}
	return razorpayCollection{Entity: "collection", Count: len(items), Items: items}
}

// razorpayPaging reads count, skip, from and to (Unix seconds, both included).
func razorpayPaging(in fields) (count, skip, from, to int64, err error) {
	count, skip, to = 10, 0, 1<<40
	for name, bound := range map[string]struct {
		into        *int64
		least, most int64
	}{
		"count": {&count, 1, faceListLimit}, "skip": {&skip, 0, 1 << 40}, "from": {&from, 0, 1 << 40}, "to": {&to, 0, 1 << 40},
	} {
		text := in[name]
		if text == "" {
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < bound.least || n > bound.most {
			return 0, 0, 0, 0, badRequest(name, fmt.Sprintf("The %s must be between %d and %d.", name, bound.least, bound.most))
		}
		*bound.into = n
	}
	return count, skip, from * 1e6, to*1e6 + 999_999, nil
}

// razorpayAmount reads an amount in minor units.
func razorpayAmount(in fields, name string) (int64, error) {
	text, sent := in[name]
	if !sent || text == "" {
		return 0, badRequest(name, "The "+name+" field is required.")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return 0, badRequest(name, "The "+name+" must be an integer.")
	case n < 1:
		return 0, badRequest(name, "The "+name+" must be at least 1.")
	case n > maxFaceAmount:
		return 0, badRequest(name, "Amount exceeds maximum amount allowed.")
	}
	return n, nil
}

// Bounds of notes.
const (
	maxNotes     = 15
	maxNoteChars = 256
)

// razorpayNotes reads notes.
func razorpayNotes(in fields) (map[string]string, error) {
	notes, _ := in.object("notes")
	if len(notes) > maxNotes {
		return nil, badRequest("notes", fmt.Sprintf("Number of fields in notes should be less than or equal to %d.", maxNotes))
	}
	for name, value := range notes {
		if strings.Contains(name, "][") {
			return nil, badRequest("notes", "Notes must be texts.")
		}
		if len([]rune(name)) > maxNoteChars || len([]rune(value)) > maxNoteChars {
			return nil, badRequest("notes", fmt.Sprintf("Notes may have at most %d characters each.", maxNoteChars))
		}
	}
	return notes, nil
}

// notesOf is how the company shows notes: an object, and an empty list when there are none.
func notesOf(notes map[string]string) any {
	if len(notes) == 0 {
		return []string{}
	}
	return notes
}

// sent is a text as the company shows one: null when there is none.
func sent(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

// unknownID is the answer to an id of nothing of the account's.
func unknownID() *razorpayError { return badRequest("", "The id provided does not exist") }

// contained is an entity that a webhook tells about.
type contained struct {
	name   string
	entity any
}

// tellRazorpay plans a webhook about an order, or what belongs to it.
func tellRazorpay(ctx context.Context, tx *sql.Tx, a *razorpayAccount, orderID, event string, now time.Time, about ...contained) error {
	payload, names := map[string]any{}, make([]string, len(about))
	for i, c := range about {
		names[i], payload[c.name] = c.name, map[string]any{"entity": c.entity}
	}
	body, err := json.Marshal(struct {
		Entity    string         `json:"entity"`
		AccountID string         `json:"account_id"`
		Event     string         `json:"event"`
		Contains  []string       `json:"contains"`
		Payload   map[string]any `json:"payload"`
		CreatedAt int64          `json:"created_at"`
	}{"event", a.AccountID, event, names, payload, now.Unix()})
	if err != nil {
		return err
	}
	id := faceID("", razorpayIDLength)
	return planWebhook(ctx, tx, webhook{
		group: orderID, id: id, url: a.WebhookURL, body: body,
		headers: map[string]string{
			"Content-Type": "application/json", "X-Razorpay-Event-Id": id, "X-Razorpay-Signature": razorpaySignature(a.WebhookSecret, body),
		},
	}, now)
}
