package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// schemaFaces is what version 2 of the file adds: the faces, and callbacks that go elsewhere than to the ledger's own address.
const schemaFaces = `
ALTER TABLE callbacks ADD COLUMN url     TEXT NOT NULL DEFAULT ''; -- '' is the ledger's own address, and its own signature
ALTER TABLE callbacks ADD COLUMN headers TEXT NOT NULL DEFAULT ''; -- JSON object; signed when it was planned, as the companies do

CREATE TABLE razorpay_accounts (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id         TEXT    NOT NULL UNIQUE,
    account_id     TEXT    NOT NULL,
    key_secret     TEXT    NOT NULL,
    webhook_url    TEXT    NOT NULL,
    webhook_secret TEXT    NOT NULL,
    orders         TEXT    NOT NULL,
    capture        TEXT    NOT NULL,
    refunds        TEXT    NOT NULL,
    created_at     INTEGER NOT NULL
) STRICT;

CREATE TABLE razorpay_orders (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    key_id     TEXT    NOT NULL,
    amount     INTEGER NOT NULL, -- minor units, like all amounts here
    paid       INTEGER NOT NULL DEFAULT 0,
    currency   TEXT    NOT NULL,
    receipt    TEXT    NOT NULL, -- '' is none
    status     TEXT    NOT NULL CHECK (status IN ('created', 'attempted', 'paid')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    notes      TEXT    NOT NULL, -- JSON object
    partial    INTEGER NOT NULL, -- 1: may be paid in parts
    least      INTEGER NOT NULL, -- of a first part; 0 is no bound
    capture    TEXT    NOT NULL, -- '' is the account's
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX razorpay_orders_of ON razorpay_orders (key_id, seq);
CREATE INDEX razorpay_orders_receipt ON razorpay_orders (key_id, receipt, seq);

CREATE TABLE razorpay_payments (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT    NOT NULL UNIQUE,
    key_id     TEXT    NOT NULL,
    order_id   TEXT    NOT NULL,
    amount     INTEGER NOT NULL,
    currency   TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('created', 'authorized', 'captured', 'refunded', 'failed')),
    refunded   INTEGER NOT NULL DEFAULT 0,
    details    TEXT    NOT NULL, -- JSON
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX razorpay_payments_of ON razorpay_payments (key_id, seq);
CREATE INDEX razorpay_payments_order ON razorpay_payments (order_id, seq);

CREATE TABLE razorpay_refunds (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    key_id      TEXT    NOT NULL,
    payment_id  TEXT    NOT NULL,
    amount      INTEGER NOT NULL,
    currency    TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('pending', 'processed', 'failed')),
    speed       TEXT    NOT NULL,
    receipt     TEXT    NOT NULL,
    notes       TEXT    NOT NULL,
    arn         TEXT    NOT NULL DEFAULT '',
    idempotency TEXT    NOT NULL, -- key of the request; '' is none
    fingerprint TEXT    NOT NULL, -- of the request
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX razorpay_refunds_of ON razorpay_refunds (key_id, seq);
CREATE INDEX razorpay_refunds_payment ON razorpay_refunds (payment_id, seq);
CREATE UNIQUE INDEX razorpay_refunds_once ON razorpay_refunds (key_id, idempotency) WHERE idempotency <> '';

-- Visits of the hosted page.
CREATE TABLE razorpay_visits (
    token        TEXT    PRIMARY KEY,
    key_id       TEXT    NOT NULL,
    order_id     TEXT    NOT NULL,
    payment_id   TEXT    NOT NULL DEFAULT '', -- that paid on it
    callback_url TEXT    NOT NULL,
    cancel_url   TEXT    NOT NULL,
    form         TEXT    NOT NULL, -- JSON object: what the page shows
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE payu_accounts (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    merchant    TEXT    NOT NULL UNIQUE, -- its key
    salt        TEXT    NOT NULL,
    webhook_url TEXT    NOT NULL,
    verify      TEXT    NOT NULL,
    refunds     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE payu_payments (
    mihpayid   INTEGER PRIMARY KEY,
    token      TEXT    NOT NULL UNIQUE, -- of its page
    merchant   TEXT    NOT NULL,
    txnid      TEXT    NOT NULL,
    amount     INTEGER NOT NULL, -- paisa
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'success', 'failure')),
    unmapped   TEXT    NOT NULL,
    mode       TEXT    NOT NULL DEFAULT '',
    bankcode   TEXT    NOT NULL DEFAULT '',
    card       TEXT    NOT NULL DEFAULT '', -- masked
    bank_ref   TEXT    NOT NULL DEFAULT '',
    error      TEXT    NOT NULL DEFAULT '',
    message    TEXT    NOT NULL DEFAULT '',
    said       TEXT    NOT NULL DEFAULT '', -- field9
    refunded   INTEGER NOT NULL DEFAULT 0,
    form       TEXT    NOT NULL, -- JSON object: what the merchant has posted
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX payu_payments_txnid ON payu_payments (merchant, txnid);
CREATE UNIQUE INDEX payu_payments_once ON payu_payments (merchant, txnid) WHERE status = 'success';

CREATE TABLE payu_refunds (
    request_id   INTEGER PRIMARY KEY,
    merchant     TEXT    NOT NULL,
    mihpayid     INTEGER NOT NULL,
    token        TEXT    NOT NULL,
    amount       INTEGER NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('queued', 'success', 'failure')),
    bank_ref     TEXT    NOT NULL DEFAULT '',
    callback_url TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    UNIQUE (merchant, token)
) STRICT;
CREATE INDEX payu_refunds_payment ON payu_refunds (mihpayid, request_id);
`

// Bounds of what is asked of the faces.
const (
	maxFields     = 200           // of a request
	maxFieldBytes = 4096          // of one
	maxFaceAmount = 1e13          // minor units
	maxURLBytes   = 1000          // of a webhook or a return
	faceListLimit = 100           // of a list, and what the truth shows unless it is asked for more
	maxTruth      = 10_000        // rows of each kind
	maxAccounts   = faceListLimit // of a list of accounts
)

// webhook is a message of a face to a merchant's server.
type webhook struct {
	group   string // those of one group are delivered one after the other
	id      string
	url     string // "" sends none
	headers map[string]string
	body    []byte
}

// planWebhook stores a webhook that is to be delivered at once, in the transaction of what it tells.
func planWebhook(ctx context.Context, tx *sql.Tx, w webhook, now time.Time) error {
	if w.url == "" {
		return nil
	}
	headers, err := json.Marshal(w.headers)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO callbacks (reference, message_id, body, due_at, created_at, url, headers)
		VALUES ($1, $2, $3, $4, $4, $5, $6)`, w.group, w.id, w.body, now.UnixMicro(), w.url, string(headers))
	return err
}

// request makes the HTTP request of a webhook.
func (c *callback) request(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	var headers map[string]string
	if err := json.Unmarshal([]byte(c.headers), &headers); err != nil {
		return nil, fmt.Errorf("headers of webhook %s: %w", c.messageID, err)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return req, nil
}

// planTimer stores an act that is to be carried out after a while.
func (b *Bank) planTimer(ctx context.Context, tx *sql.Tx, reference string, what act, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO timers (due_at, reference, act) VALUES ($1, $2, $3)`,
		now.Add(b.opts.Delay).UnixMicro(), reference, string(what))
	return err
}

// What an account does with refunds that were accepted.
const (
	refundsProcess = "process" // they reach the customer, after Options.Delay
	refundsFail    = "fail"    // they fail, after that
	refundsHold    = "hold"    // they stay as they are until the account does something else
)

// holdGap is after what time a refund that is held is looked at again.
const holdGap = 200 * time.Millisecond

// hold plans the timer of a refund again.
func hold(ctx context.Context, tx *sql.Tx, reference string, what act, now time.Time) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO timers (due_at, reference, act) VALUES ($1, $2, $3)`, now.Add(holdGap).UnixMicro(), reference, string(what))
	return err
}

// fields are the parameters of a request by name; those of objects are called "upi[flow]". The companies take JSON and forms alike, and do not
// tell 100 from "100".
type fields map[string]string

// errFields is a body that cannot be read.
var errFields = errors.New("the body cannot be read")

// readFields reads the parameters of a request's body.
func readFields(w http.ResponseWriter, r *http.Request) (fields, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, gateway.MaxBodyBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFields, err)
	}
	in := fields{}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return in, nil
	case err == nil && media == "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errFields, err)
		}
		return in, in.take(values)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil || object == nil {
		return nil, errFields
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errFields
	}
	for name, value := range object {
		if err := in.flatten(name, value, 0); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// take reads a form or a query; of a name that comes twice, the last.
func (in fields) take(values url.Values) error {
	for name, list := range values {
		if err := in.set(name, list[len(list)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (in fields) set(name, value string) error {
	if len(in) >= maxFields || len(name) > maxFieldBytes || len(value) > maxFieldBytes {
		return fmt.Errorf("%w: too many or too long parameters", errFields)
	}
	in[name] = value
	return nil
}

// flatten takes a JSON value. What is null was not sent; an empty object is there, and empty.
func (in fields) flatten(name string, value any, depth int) error {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return in.set(name, v)
	case json.Number:
		return in.set(name, v.String())
	case bool:
		return in.set(name, strconv.FormatBool(v))
	}
	inner := map[string]any{}
	switch v := value.(type) {
	case map[string]any:
		inner = v
	case []any:
		for i, element := range v {
			inner[strconv.Itoa(i)] = element
		}
	}
	if len(inner) == 0 {
		return in.set(name, "")
	}
	if depth == 4 {
		return fmt.Errorf("%w: it is nested too deeply", errFields)
	}
	for key, element := range inner {
		if err := in.flatten(name+"["+key+"]", element, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// object returns the members of an object by their names; false when none was sent.
func (in fields) object(name string) (map[string]string, bool) {
	_, sent := in[name]
	out := map[string]string{}
	for key, value := range in {
		if inner, ok := strings.CutPrefix(key, name+"["); ok {
			out[strings.TrimSuffix(inner, "]")] = value
			sent = true
		}
	}
	return out, sent
}

// yes reads a truth as PHP does.
func (in fields) yes(name string) bool {
	switch strings.ToLower(in[name]) {
	case "true", "1", "yes", "on", "automatic":
		return true
	}
	return false
}

const alphanumerics = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// faceID is a prefix and n random letters and digits.
func faceID(prefix string, n int) string {
	raw := make([]byte, n)
	rand.Read(raw) //nolint:errcheck // crypto/rand.Read never fails; it ends the program
	for i, b := range raw {
		raw[i] = alphanumerics[int(b)%len(alphanumerics)]
	}
	return prefix + string(raw)
}

// isAlphanumeric tells whether s has between least and most letters and digits, and nothing else.
func isAlphanumeric(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if !strings.ContainsRune(alphanumerics, rune(c)) {
			return false
		}
	}
	return true
}

// isWebURL tells whether a browser or a server can be sent there.
func isWebURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= maxURLBytes && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

// choose replaces a setting by what was asked, when something was. *fieldError when it may not be that.
func choose(setting, asked *string, name string, choices ...string) error {
	if asked == nil {
		return nil
	}
	for _, c := range choices {
		if *asked == c {
			*setting = c
			return nil
		}
	}
	return &fieldError{name, "must be one of " + strings.Join(choices, ", ")}
}

// replaceText is choose for a secret or a name: printable, of a bounded length.
func replaceText(setting, asked *string, name string) error {
	if asked == nil {
		return nil
	}
	if !validReference(*asked) {
		return &fieldError{name, "must be 1 to 100 printable characters without spaces"}
	}
	*setting = *asked
	return nil
}

// errNotOwner: somebody else's account.
var errNotOwner = errors.New("the account exists, and the secret given is not its own")

// owns tells whether who asks for a change of an account has given its secret, which stays what it is.
func owns(given *string, secret string) bool {
	return given != nil && subtle.ConstantTimeCompare([]byte(*given), []byte(secret)) == 1
}

// errHook: anybody may make an account, so that its webhooks must not reach what only this machine can reach.
var errHook = errors.New("must be an http or https URL on a loopback address, or on the host of the ledger that callbacks go to")

// replaceHook is choose for the address of webhooks; "" is none. errHook when it is elsewhere than the bank's own callbacks, and not on this machine.
func (b *Bank) replaceHook(setting, asked *string) error {
	if asked == nil {
		return nil
	}
	if *asked != "" && !b.mayHook(*asked) {
		return errHook
	}
	*setting = *asked
	return nil
}

func (b *Bank) mayHook(address string) bool {
	u, err := url.Parse(address)
	if err != nil || !isWebURL(address) || u.User != nil {
		return false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost") {
		return true
	}
	for _, base := range []string{b.opts.CallbackBase, b.opts.PublicBase} {
		if own, err := url.Parse(base); err == nil && host != "" && strings.EqualFold(host, own.Hostname()) {
			return true
		}
	}
	return false
}

// truthLimit reads how many rows of each kind are asked for.
func truthLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return faceListLimit, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxTruth {
		return 0, &fieldError{"limit", fmt.Sprintf("must be a whole number up to %d", maxTruth)}
	}
	return n, nil
}

// listOf reads rows.
func listOf[T any](ctx context.Context, db *sql.DB, scan func(func(...any) error) (*T, error), query string, args ...any) (list []*T, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	list = []*T{}
	for rows.Next() {
		row, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	return list, rows.Err()
}

// optional reads one row; nil when there is none.
func optional[T any](row *sql.Row, scan func(func(...any) error) (*T, error)) (*T, error) {
	out, err := scan(row.Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return out, err
}

// asField finds what is wrong with a request.
func asField(err error, into **fieldError) bool { return errors.As(err, into) }
