package batchfile

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf16"
)

// What is wrong with the JSON of an item.
const (
	notObject  = "must be a JSON object"
	notJSON    = "is not well-formed JSON"
	notWhole   = "the JSON ends before its end"
	halfPair   = "has half a surrogate pair"
	mustString = "must be a string"
	mustNumber = "must be a number"
	givenTwice = "is given twice"
)

// maxUnknown bounds the fields of an item that are refused by name.
const maxUnknown = 16

func tooLong(most int) string { return fmt.Sprintf("is longer than %d bytes", most) }

// object puts a JSON value into the reader's item. The value is well-formed.
func (r *Reader) object(text string) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] != '{' {
		r.breaks(text, notObject)
		return
	}
	var seen [fieldCount]bool
	unknown := 0
	for name, value := range members(text) {
		plain, ok := unquote(name)
		f := fieldNamed(plain)
		switch {
		case !ok || f == noField:
			if !ok {
				plain = name
			}
			if unknown++; unknown <= maxUnknown {
				r.found = append(r.found, Problem{
					Line: r.item.Line, Field: shown(plain), Index: r.item.Index, Message: "is not a field of an item",
				})
			}
			r.item.raw = text
		case seen[f]:
			if !r.given[f] {
				r.fault(f, givenTwice)
			}
			r.item.raw = text
		default:
			seen[f] = true
			r.member(f, value, text)
		}
	}
}

// member puts one field into the reader's item. An absent field, null and "" are the same.
func (r *Reader) member(f field, value, item string) {
	number := value[0] == '-' || value[0] >= '0' && value[0] <= '9'
	problem := ""
	switch {
	case value == "null":
		return
	case f == amount && number:
		r.amount = value
	case f == amount && value[0] != '"':
		problem = mustNumber
	case value[0] != '"':
		problem = mustString
	default:
		s, ok := unquote(value)
		switch {
		case !ok:
			problem = halfPair
		case len(s) > r.limits.Field:
			problem = tooLong(r.limits.Field)
		case f == amount:
			r.amount = s
		default:
			*r.item.text(f) = s
		}
	}
	if len(r.amount) > r.limits.Field {
		r.amount, problem = "", tooLong(r.limits.Field)
	}
	if problem != "" {
		r.item.raw = item
		r.fault(f, problem)
	}
}

// members hands out the members of a well-formed JSON object: name and value as they stand there.
func members(s string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		i := blanks(s, 1)
		for s[i] != '}' {
			from := i
			i = valueEnd(s, i)
			name := s[from:i]
			i = blanks(s, blanks(s, i)+1) // over the colon
			from = i
			i = valueEnd(s, i)
			if !yield(name, s[from:i]) {
				return
			}
			if i = blanks(s, i); s[i] == ',' {
				i = blanks(s, i+1)
			}
		}
	}
}

func blanks(s string, i int) int {
	for s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r' {
		i++
	}
	return i
}

// valueEnd is the end of the well-formed value at i.
func valueEnd(s string, i int) int {
	depth := 0
	for {
		switch s[i] {
		case '"':
			for i++; s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			i++
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			i++
		default: // a number or a word
			for i < len(s) && !strings.ContainsRune(",:]} \t\n\r", rune(s[i])) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// unquote decodes a well-formed JSON string. It refuses half a surrogate pair, which decoders understand differently.
func unquote(s string) (string, bool) {
	if !strings.Contains(s, `\`) {
		return s[1 : len(s)-1], true
	}
	var text string
	if err := json.Unmarshal([]byte(s), &text); err != nil || !paired(s) {
		return "", false
	}
	return text, true
}

// paired says whether the surrogates that a string escapes are in pairs.
func paired(s string) bool {
	high := false
	for i := 0; i < len(s); i++ {
		var unit rune
		if s[i] == '\\' {
			if i++; s[i] == 'u' {
				unit = hex(s[i+1 : i+5])
				i += 4
			}
		}
		low := utf16.IsSurrogate(unit) && unit >= 0xDC00
		if low != high {
			return false
		}
		high = utf16.IsSurrogate(unit) && unit < 0xDC00
	}
	return !high
}

// hex reads four hexadecimal digits.
func hex(s string) rune {
	var r rune
	for _, c := range []byte(s) {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
