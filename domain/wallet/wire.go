package wallet

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// codec carries the fields of one event between the event and its stored form. An event's method fields names them once,
// in stored order, and that drives each of the modes.
type codec struct {
	mode mode
	out  []byte // writing: what has been written
	err  error  // writing: the first thing that cannot be written
	// in is what is still to be read. It is cut to nothing by the first thing that Encode would have written otherwise;
	// nothing can be read after that.
	in       string
	currency money.Currency  // reading: of the event's amounts
	amounts  []*money.Amount // gathering
}

type mode uint8

const (
	writing mode = iota
	reading
	gathering // of the amounts
)

// first carries the start of an object and the name of its first field.
func (c *codec) first(name string) { c.name('{', name) }

// next carries the name of a field that follows another one.
func (c *codec) next(name string) { c.name(',', name) }

func (c *codec) name(before byte, name string) {
	switch c.mode {
	case writing:
		c.out = append(c.out, before, '"')
		c.out = append(c.out, name...)
		c.out = append(c.out, '"', ':')
	case reading:
		if !c.ahead(before, name) {
			c.in = ""
			return
		}
		c.in = c.in[len(name)+4:]
	case gathering: // amounts only
	}
}

// ahead reports whether the field of this name is what is read next.
func (c *codec) ahead(before byte, name string) bool {
	n := len(name)
	return len(c.in) >= n+4 && c.in[0] == before && c.in[1] == '"' && c.in[2:n+2] == name && c.in[n+2] == '"' && c.in[n+3] == ':'
}

// of carries what all events begin with. An event of nobody, or of a currency that is not known, is not read.
func (c *codec) of(o *Of) {
	c.first("merchant")
	c.value(&o.Merchant)
	c.next("currency")
	code := string(o.Currency)
	c.value(&code)
	c.text("payment", &o.Payment)
	if c.mode != reading {
		return
	}
	o.Currency = money.Currency(code)
	if code == string(money.INR) {
		o.Currency = money.INR // the constant, which keeps no data
	}
	if _, known := o.Currency.Exponent(); !known || o.Merchant == "" || o.Payment == "" {
		c.in = ""
	}
	c.currency = o.Currency
}

// priced carries a price.
func (c *codec) priced(p *Priced) {
	c.amount("amount", &p.Amount)
	c.amount("commission", &p.Commission)
	c.amount("tax", &p.Tax)
	c.next("fee")
	c.rule(&p.Fee)
}

func (c *codec) rule(r *fee.Rule) {
	c.first("plan")
	c.value(&r.Plan)
	c.number("version", &r.Version)
	c.literal("}")
}

// text carries a text that is always there.
func (c *codec) text(name string, s *string) {
	c.next(name)
	c.value(s)
}

// option carries a text that is left out when it is empty.
func (c *codec) option(name string, s *string) {
	if c.mode == writing && *s != "" || c.mode == reading && c.ahead(',', name) {
		c.text(name, s)
	}
}

// flag carries a truth value that is left out when it is false.
func (c *codec) flag(name string, b *bool) {
	switch {
	case c.mode == writing && *b:
		c.next(name)
		c.literal("true")
	case c.mode == reading && c.ahead(',', name):
		c.next(name)
		c.literal("true")
		*b = true
	}
}

// literal carries text that is always the same.
func (c *codec) literal(text string) {
	switch c.mode {
	case writing:
		c.out = append(c.out, text...)
	case reading:
		if !strings.HasPrefix(c.in, text) {
			c.in = ""
			return
		}
		c.in = c.in[len(text):]
	case gathering: // amounts only
	}
}

func (c *codec) value(s *string) {
	switch c.mode {
	case writing:
		c.out = appendText(c.out, *s)
	case reading:
		*s = c.cut()
	case gathering: // amounts only
	}
}

// amount carries an amount in the event's currency.
func (c *codec) amount(name string, a *money.Amount) {
	c.next(name)
	switch c.mode {
	case writing:
		c.out = append(c.out, '"')
		c.out = append(a.AppendFixed(c.out), '"')
	case reading:
		var err error
		if *a, err = money.Parse(c.cut(), c.currency); err != nil {
			c.in = ""
		}
	case gathering:
		c.amounts = append(c.amounts, a)
	}
}

// maxDigits of a number is how many always fit.
const maxDigits = 9

func (c *codec) number(name string, n *int) {
	c.next(name)
	switch c.mode {
	case writing:
		c.out = strconv.AppendInt(c.out, int64(*n), 10)
	case reading:
		digits := 0
		for *n = 0; digits < len(c.in) && '0' <= c.in[digits] && c.in[digits] <= '9'; digits++ {
			*n = 10**n + int(c.in[digits]-'0')
		}
		if digits == 0 || digits > maxDigits || c.in[0] == '0' && digits > 1 {
			c.in = ""
			return
		}
		c.in = c.in[digits:]
	case gathering: // amounts only
	}
}

// count carries a number that is left out when it is zero.
func (c *codec) count(name string, n *int) {
	if c.mode == writing && *n != 0 || c.mode == reading && c.ahead(',', name) {
		c.number(name, n)
	}
}

// list carries a list of what has no amounts, as encoding/json writes it.
func list[T any](c *codec, name string, items *[]T) {
	c.next(name)
	switch c.mode {
	case writing:
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(*items); err != nil && c.err == nil {
			c.err = err
		}
		c.out = append(c.out, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
	case reading:
		dec := json.NewDecoder(strings.NewReader(c.in))
		dec.DisallowUnknownFields()
		if dec.Decode(items) != nil {
			c.in = ""
			return
		}
		c.in = c.in[dec.InputOffset():]
	case gathering: // amounts only
	}
}

func (c *codec) time(name string, t *time.Time) {
	c.next(name)
	switch c.mode {
	case writing:
		text, err := t.MarshalJSON()
		if err != nil && c.err == nil {
			c.err = err
		}
		c.out = append(c.out, text...)
	case reading:
		if err := t.UnmarshalText([]byte(c.cut())); err != nil {
			c.in = ""
		}
	case gathering: // amounts only
	}
}

// cut reads a text without escapes.
func (c *codec) cut() string {
	if c.in == "" || c.in[0] != '"' {
		c.in = ""
		return ""
	}
	end := strings.IndexByte(c.in[1:], '"')
	if end < 0 {
		c.in = ""
		return ""
	}
	s := c.in[1 : end+1]
	if !plain(s) && !written(s) {
		c.in = ""
		return ""
	}
	c.in = c.in[end+2:]
	return s
}

// One byte in each of eight, to look at eight characters at a time.
const (
	ones = 0x0101010101010101
	high = 0x80 * ones
)

// plain reports whether s stands in JSON as it is, and is ASCII.
func plain(s string) bool {
	for ; len(s) >= 8; s = s[8:] {
		// The high bit of a byte stays clear if it is ASCII, at least a space, and neither of the two that are escaped.
		w := binary.LittleEndian.Uint64([]byte(s[:8]))
		if (w|(w-' '*ones)|((w^'"'*ones)-ones)|((w^'\\'*ones)-ones))&high != 0 {
			return false
		}
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// written reports whether s, found between quotation marks, means what it says: no escapes, no control characters, UTF-8.
func written(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '\\' {
			return false
		}
	}
	return utf8.ValidString(s)
}

// appendText writes a text as JSON. What is not plain is left to encoding/json, which settled how it is stored.
func appendText(b []byte, s string) []byte {
	if plain(s) {
		b = append(b, '"')
		b = append(b, s...)
		return append(b, '"')
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // an intent URL stays readable in SQL
	if err := enc.Encode(s); err != nil {
		panic("wallet: a string does not marshal: " + err.Error())
	}
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...)
}
