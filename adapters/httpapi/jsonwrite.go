package httpapi

import (
	"time"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/money"
)

// Answers are written by appending: no reflection, fields in the documented order, amounts as exact numbers.

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. Only what JSON demands is escaped: no HTML escaping, so a link stays readable.
// Bytes that are no UTF-8 become U+FFFD.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += size
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// AppendOptional appends s as a JSON string, or null when it is empty.
func AppendOptional(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return AppendString(b, s)
}

// AppendAmount appends an amount as a JSON number with all decimals of its currency: 1000.00.
func AppendAmount(b []byte, a money.Amount) []byte { return append(b, a.Fixed()...) }

// TimeLayout is how the API writes times: UTC, six fraction digits, Z.
const TimeLayout = "2006-01-02T15:04:05.000000Z"

// AppendTime appends a time as a JSON string in TimeLayout, or null when it is zero.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, TimeLayout)
	return append(b, '"')
}
