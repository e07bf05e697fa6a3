package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Masking shows what is known to be impersonal, and masks the rest: a gateway that names a field in a way nobody thought of gives away nothing.

// mask stands for what is not shown.
const mask = "***"

// Bounds of masking.
const (
	maxDepth = 64
	minKnown = 3 // bytes: shorter texts are everywhere
)

// impersonal tells the fields whose values are shown, by their names without case, - and _.
func impersonal(name string) bool {
	switch strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name)) {
	case "id", "event", "eventid", "type", "kind", "status", "state", "code", "errorcode", "responsecode", "outcome", "success", "service", "version", "mode",
		"method", "amount", "paidamount", "netamount", "currency", "commission", "fee", "tax", "gst", "balance",
		"transactionid", "txnid", "txnref", "paymentid", "orderid", "partnerrequestid", "referenceid", "reference", "ref", "clientreference", "bankreference",
		"returnreference", "refund", "refundid", "config", "utr", "rrn", "requestid", "batchid", "batch", "suspense", "dispute", "case", "caseid", "keyid", "operatorid", "merchant",
		"merchantid", "command", "gateway", "ifsc", "bankname", "transfertype", "accountlast4", "phonelast4", "last4", "attempt", "index", "phase",
		"reason", "reasoncode", "timestamp", "time", "date", "at", "createdat", "updatedat", "paidat", "completedat", "expiresat", "respondby", "settledat",
		"asof", "evidence", "second", "payout", "transaction", "bank", "vpa", "payeevpa", "pa", "intenturl":
		return true
	}
	return false
}

// masker masks messages of one payment.
type masker struct {
	known []string // texts that are personal, wherever they stand; the longest first
}

// newMasker knows what the sealed parts of the payment say.
func newMasker(personal []Personal) masker {
	var m masker
	for i := range personal {
		var fields map[string]any
		if err := json.Unmarshal(personal[i].Opened, &fields); err != nil {
			continue // erased
		}
		for _, v := range fields {
			if s, is := v.(string); is && len(s) >= minKnown {
				m.known = append(m.known, s)
			}
		}
	}
	slices.SortFunc(m.known, func(a, b string) int { return len(b) - len(a) })
	return m
}

// value masks a text: of a long number the last four digits stay, which the log has in clear too.
func (m masker) value(s string) string {
	digits := strings.TrimPrefix(s, "+")
	if len(digits) >= 8 && strings.Trim(digits, "0123456789") == "" {
		return strings.Repeat("*", len(s)-4) + s[len(s)-4:]
	}
	if s == "" {
		return ""
	}
	return mask
}

// among shows a text, but for what is known to be personal in it.
func (m masker) among(s string) string {
	for _, k := range m.known {
		var out strings.Builder
		rest := s
		for {
			i := foldIndex(rest, k)
			if i < 0 {
				break
			}
			out.WriteString(rest[:i] + mask)
			rest = rest[i+len(k):]
		}
		s = out.String() + rest
	}
	return s
}

// foldIndex finds a text, whatever the case of its ASCII letters.
func foldIndex(s, part string) int { return strings.Index(asciiLower(s), asciiLower(part)) }

// asciiLower has as many bytes as s.
func asciiLower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// message masks a message; false for one that cannot be masked.
func (m masker) message(mediaType string, body []byte) ([]byte, bool) {
	if !utf8.Valid(body) {
		return nil, false
	}
	base, _, err := mime.ParseMediaType(mediaType)
	switch {
	case err != nil:
		return nil, false
	case base == "application/json" || strings.HasSuffix(base, "+json"):
		return m.json(body)
	case base == "application/x-www-form-urlencoded":
		return m.form(body)
	}
	return nil, false
}

// form masks name=value pairs in their order.
func (m masker) form(body []byte) ([]byte, bool) {
	var out []string
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, _ := strings.Cut(pair, "=")
		plainName, err := url.QueryUnescape(name)
		plainValue, wrong := url.QueryUnescape(value)
		if err != nil || wrong != nil {
			return nil, false
		}
		if impersonal(plainName) {
			plainValue = m.among(plainValue)
		} else {
			plainValue = m.value(plainValue)
		}
		out = append(out, url.QueryEscape(m.among(plainName))+"="+url.QueryEscape(plainValue))
	}
	return []byte(strings.Join(out, "&")), true
}

// json masks the texts and numbers of a JSON value, in their order.
func (m masker) json(body []byte) ([]byte, bool) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	w := &maskWriter{masker: m, dec: dec}
	if err := w.value("", 0); err != nil {
		return nil, false
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	var same, out bytes.Buffer
	if err := json.Compact(&same, body); err == nil && bytes.Equal(same.Bytes(), w.out) {
		return body, true // nothing of it is personal: it stays as it is, byte for byte
	}
	if err := json.Indent(&out, w.out, "", "  "); err != nil {
		return nil, false
	}
	return append(out.Bytes(), '\n'), true
}

type maskWriter struct {
	masker
	dec *json.Decoder
	out []byte
}

var errDeep = errors.New("it is nested too deeply")

// value copies the next value, which belongs to a field of this name.
func (w *maskWriter) value(name string, depth int) error {
	t, err := w.dec.Token()
	if err != nil {
		return err
	}
	if depth > maxDepth {
		return errDeep
	}
	switch t := t.(type) {
	case json.Delim:
		return w.nested(t, name, depth)
	case string:
		if impersonal(name) {
			return w.put(w.among(t))
		}
		return w.put(w.masker.value(t))
	case json.Number:
		if impersonal(name) && w.among(t.String()) == t.String() {
			w.out = append(w.out, t...)
			return nil
		}
		return w.put(w.masker.value(t.String()))
	default: // true, false, null
		return w.put(t)
	}
}

func (w *maskWriter) nested(open json.Delim, name string, depth int) error {
	w.out = append(w.out, byte(open))
	for first := true; w.dec.More(); first = false {
		if !first {
			w.out = append(w.out, ',')
		}
		if open == '{' {
			t, err := w.dec.Token()
			if err != nil {
				return err
			}
			name = t.(string) //nolint:errcheck // a member's name is a string
			if err := w.put(w.among(name)); err != nil {
				return err
			}
			w.out = append(w.out, ':')
		}
		if err := w.value(name, depth+1); err != nil {
			return err
		}
	}
	end, err := w.dec.Token()
	if err == nil {
		w.out = append(w.out, byte(end.(json.Delim))) //nolint:errcheck // what ends an object or a list
	}
	return err
}

func (w *maskWriter) put(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	w.out = append(w.out, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	return err
}
