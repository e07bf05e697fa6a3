package kspay

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/khata-ledger/khata/adapters/httpapi"
)

// Bounds of a body, beside its bytes.
const maxFields = 100

// Content types that the document shows: JSON, form-encoded, form data, and raw, which is JSON under another name.
const (
	typeJSON      = "application/json"
	typeForm      = "application/x-www-form-urlencoded"
	typeMultipart = "multipart/form-data"
	typeRaw       = "text/plain"
)

// errMediaType is a body of a type that is not read.
var errMediaType = errors.New("the content type is none that is read")

// errMalformed is a body that is not what it says it is.
var errMalformed = errors.New("the body is malformed")

// form is a body, read.
type form struct {
	fields httpapi.Object
	media  string // of raw
	raw    []byte
}

// read reads the body, once.
func (c *call) read() {
	if !c.arrive {
		c.raw, c.broken = httpapi.ReadBody(c.w, c.r, c.api.opts.MaxBody)
		c.arrive = true
	}
}

// form is the body in its fields.
func (c *call) form() (*form, error) {
	if c.body != nil {
		return c.body, nil
	}
	c.read()
	raw, err := c.raw, c.broken
	switch {
	case errors.Is(err, httpapi.ErrTooLarge):
		return nil, refuse("systemError/invalidRequest").with(http.StatusRequestEntityTooLarge)
	case errors.Is(err, httpapi.ErrBodies):
		return nil, c.crowded(err)
	case err != nil:
		return nil, refuse("systemError/invalidRequest")
	}
	f, err := parseForm(c.r.Header, raw)
	switch {
	case errors.Is(err, errMediaType):
		return nil, refuse("systemError/invalidRequest").with(http.StatusUnsupportedMediaType)
	case err != nil:
		return nil, refuse("systemError/invalidRequest")
	}
	c.body = f
	return f, nil
}

// parseForm reads a body by its type. An empty one has no fields, whatever it says that it is. A body that is JSON by its first character is
// read as such when it says nothing, "raw", or what command-line tools say unasked (form-encoded). errMediaType, errMalformed.
func parseForm(h http.Header, raw []byte) (*form, error) {
	types := h["Content-Type"]
	encodings := h["Content-Encoding"]
	if len(types) > 1 || len(encodings) > 0 && !strings.EqualFold(h.Get("Content-Encoding"), "identity") {
		return nil, errMediaType
	}
	media, params := "", map[string]string(nil)
	if len(types) == 1 && types[0] != "" {
		var err error
		if media, params, err = mime.ParseMediaType(types[0]); err != nil {
			return nil, errMediaType
		}
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return nil, errMediaType
	}
	trimmed := bytes.TrimLeft(raw, " \t\r\n")
	object := len(trimmed) > 0 && trimmed[0] == '{'
	f := &form{raw: raw}
	var err error
	switch {
	case len(trimmed) == 0:
		f.media = typeJSON
	case media == typeJSON, object && (media == "" || media == typeRaw || media == typeForm):
		f.media = typeJSON
		f.fields, err = httpapi.DecodeObject(raw)
	case media == "", media == typeForm:
		f.media = typeForm
		f.fields, err = urlEncoded(string(raw))
	case media == typeMultipart:
		f.media = typeMultipart
		f.fields, err = formData(raw, params["boundary"])
	default:
		return nil, errMediaType
	}
	if err != nil || len(f.fields) > maxFields {
		return nil, errMalformed
	}
	return f, nil
}

// urlEncoded reads name=value&...; a name for the second time is malformed, as it is in JSON.
func urlEncoded(text string) (httpapi.Object, error) {
	if strings.Count(text, "&") >= maxFields {
		return nil, errMalformed
	}
	values, err := url.ParseQuery(strings.TrimRight(text, "\r\n"))
	if err != nil {
		return nil, errMalformed
	}
	var o httpapi.Object
	for name, v := range values {
		if len(v) != 1 || !utf8.ValidString(name) || !utf8.ValidString(v[0]) {
			return nil, errMalformed
		}
		o = append(o, httpapi.Member{Name: name, Kind: httpapi.String, Text: v[0]})
	}
	return o, nil
}

// formData reads multipart/form-data. No field is a file here.
func formData(raw []byte, boundary string) (httpapi.Object, error) {
	if boundary == "" || !bytes.Contains(raw, []byte("--"+boundary+"--")) { // else it was cut off
		return nil, errMalformed
	}
	parts := multipart.NewReader(bytes.NewReader(raw), boundary)
	var o httpapi.Object
	for len(o) <= maxFields {
		part, err := parts.NextRawPart()
		if err == io.EOF { //nolint:errorlint // wrapped, it says that something is missing
			return o, nil
		}
		if err != nil {
			return nil, errMalformed
		}
		value, err := io.ReadAll(part) // within the body, which is bounded
		name := part.FormName()
		if err != nil || name == "" || part.FileName() != "" || !utf8.ValidString(name) || !utf8.Valid(value) || o.Get(name).Kind != httpapi.Absent {
			return nil, errMalformed
		}
		o = append(o, httpapi.Member{Name: name, Kind: httpapi.String, Text: string(value)})
	}
	return nil, errMalformed
}

// member finds a field by one of its names. Absent, null and "" are the same.
func (f *form) member(names ...string) (httpapi.Member, bool) {
	for _, name := range names {
		m := f.fields.Get(name)
		if m.Kind != httpapi.Absent && m.Kind != httpapi.Null && (m.Kind != httpapi.String || m.Text != "") {
			return m, true
		}
	}
	return httpapi.Member{Name: names[0]}, false
}

// text reads a string; "" when there is none.
func (f *form) text(names ...string) (string, error) {
	m, given := f.member(names...)
	if given && m.Kind != httpapi.String {
		return "", custom("%s must be a string", names[0])
	}
	return m.Text, nil
}

// namesSecret reports whether something in the body is called like what must never be kept.
func (f *form) namesSecret() bool {
	secret := func(s string) bool {
		s = strings.ToLower(s)
		return strings.Contains(s, "secret") || strings.Contains(s, "accesskey")
	}
	return secret(string(f.raw)) || slices.ContainsFunc(f.fields, func(m httpapi.Member) bool { return secret(m.Name) })
}
