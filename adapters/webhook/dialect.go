package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/merchant"
)

// signedBytes are the bytes of a body that a dialect's verifier comes to.
func signedBytes(d merchant.Dialect, body []byte) ([]byte, error) {
	switch d {
	case merchant.PHP:
		return reencode(body, phpText)
	case merchant.Node:
		return reencode(body, nodeText)
	case merchant.Stable, merchant.Raw:
		return body, nil
	default:
		return nil, fmt.Errorf("dialect %q is not known", d)
	}
}

// reencode is json_encode(json_decode(body)) or JSON.stringify(JSON.parse(body)) for a flat object of strings, numbers and
// null, which is what bodies are; the two differ in how they write a string.
func reencode(body []byte, text func([]byte, string) []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errNotFlat(err)
	}
	out := []byte{'{'}
	for dec.More() {
		if len(out) > 1 {
			out = append(out, ',')
		}
		name, err := dec.Token() // a string, by the grammar
		if err != nil {
			return nil, errNotFlat(err)
		}
		out = append(text(out, fmt.Sprint(name)), ':')
		value, err := dec.Token()
		if err != nil {
			return nil, errNotFlat(err)
		}
		switch v := value.(type) {
		case string:
			out = text(out, v)
		case json.Number:
			if out, err = appendNumber(out, v.String()); err != nil {
				return nil, err
			}
		case nil:
			out = append(out, "null"...)
		default:
			return nil, errNotFlat(nil)
		}
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, errNotFlat(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) || len(out) == 1 {
		return nil, errNotFlat(err)
	}
	return append(out, '}'), nil
}

func errNotFlat(err error) error {
	return errors.Join(errors.New("the body is not one flat JSON object of strings, numbers and null"), err)
}

// appendNumber writes a number as both platforms do: the shortest that gives the same double. Beyond fifteen digits they
// part, and bodies have none of those.
func appendNumber(b []byte, number string) ([]byte, error) {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return nil, fmt.Errorf("number of a body: %w", err)
	}
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if digits(number) > exactDigits+2 || digits(plain) > exactDigits || plain == "-0" {
		return nil, fmt.Errorf("number %s of a body has more than %d digits", number, exactDigits)
	}
	return append(b, plain...), nil
}

// shortEscape is the escape with a letter that both platforms know for a control character, or 0.
func shortEscape(c rune) byte {
	switch c {
	case '\b':
		return 'b'
	case '\f':
		return 'f'
	case '\n':
		return 'n'
	case '\r':
		return 'r'
	case '\t':
		return 't'
	case '"', '\\':
		return byte(c)
	}
	return 0
}

// phpText writes a string as json_encode does: "/" as \/, everything beyond ASCII as \uXXXX.
func phpText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch short := shortEscape(c); {
		case short != 0:
			b = append(b, '\\', short)
		case c == '/':
			b = append(b, `\/`...)
		case c < 0x20 || c > 0x7F && c <= 0xFFFF:
			b = appendEscape(b, uint16(c))
		case c > 0xFFFF:
			high, low := utf16.EncodeRune(c)
			b = appendEscape(appendEscape(b, uint16(high)), uint16(low))
		default:
			b = append(b, byte(c))
		}
	}
	return append(b, '"')
}

// nodeText writes a string as JSON.stringify does: everything beyond ASCII as it is.
func nodeText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch short := shortEscape(c); {
		case short != 0:
			b = append(b, '\\', short)
		case c < 0x20:
			b = appendEscape(b, uint16(c))
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"')
}
