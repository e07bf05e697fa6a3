package httpapi

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind is the JSON type of a member.
type Kind byte

// The JSON types.
const (
	Absent Kind = iota // there is no such member
	Null
	Bool
	Number
	String
	Array
	Nested // an object
)

// Member is one member of a JSON object. Text is the decoded text of a String, and the raw token of everything else: a
// number is never turned into a float.
type Member struct {
	Name string
	Kind Kind
	Text string
}

// Object is a decoded JSON object, in the order as sent.
type Object []Member

// Get returns the member of that name; one of kind Absent when there is none. Names are compared exactly.
func (o Object) Get(name string) Member {
	for i := range o {
		if o[i].Name == name {
			return o[i]
		}
	}
	return Member{Name: name}
}

// MaxDepth bounds the nesting of a document.
const MaxDepth = 32

// ErrNotObject is a well-formed JSON value that is not an object.
var ErrNotObject = errors.New("the body is not a JSON object")

// DecodeObject reads a JSON object strictly as RFC 8259 has it, and beyond it refuses what readers understand differently:
// duplicate names at any level, text that is not UTF-8, unpaired surrogates, and anything behind the object. Errors are
// for the caller's eyes: they name a byte offset and never quote the body.
func DecodeObject(body []byte) (Object, error) {
	s := scanner{b: string(body)} // so that names and texts are parts of it, and cost nothing more
	s.space()
	object := s.peek() == '{'
	var members Object
	var err error
	if object {
		members, err = s.object(1)
	} else {
		err = s.skip(1)
	}
	if err != nil {
		return nil, err
	}
	s.space()
	if s.i != len(s.b) {
		return nil, s.bad("data behind the value")
	}
	if !object {
		return nil, ErrNotObject
	}
	return members, nil
}

// scanner reads one document. Its methods leave i behind what they have read.
type scanner struct {
	b string
	i int
}

func (s *scanner) bad(what string) error { return fmt.Errorf("byte %d: %s", s.i, what) }

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek is the byte at i, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// object reads an object whose brace is at i. Nested values are checked, and kept as raw text.
func (s *scanner) object(depth int) (Object, error) {
	if depth > MaxDepth {
		return nil, s.bad("nested too deeply")
	}
	s.i++
	members := make(Object, 0, 8)
	seen := names{}
	s.space()
	if s.peek() == '}' {
		s.i++
		return members, nil
	}
	for {
		s.space()
		if s.peek() != '"' {
			return nil, s.bad("a name was expected")
		}
		name, err := s.text()
		if err != nil {
			return nil, err
		}
		if seen.has(members, name) {
			return nil, s.bad("a name for the second time")
		}
		s.space()
		if s.peek() != ':' {
			return nil, s.bad("a colon was expected")
		}
		s.i++
		m, err := s.member(name, depth)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return members, nil
		default:
			return nil, s.bad("a comma or closing brace was expected")
		}
	}
}

// names finds duplicates: by looking through the members while they are few, then by a set.
type names map[string]struct{}

func (n *names) has(members Object, name string) bool {
	const few = 16
	if len(members) < few {
		return members.Get(name).Kind != Absent
	}
	if len(*n) == 0 {
		*n = make(names, 2*few)
		for i := range members {
			(*n)[members[i].Name] = struct{}{}
		}
	}
	if _, taken := (*n)[name]; taken {
		return true
	}
	(*n)[name] = struct{}{}
	return false
}

func (s *scanner) member(name string, depth int) (Member, error) {
	s.space()
	m := Member{Name: name, Kind: kindOf(s.peek())}
	if m.Kind == String {
		var err error
		m.Text, err = s.text()
		return m, err
	}
	start := s.i
	if err := s.skip(depth + 1); err != nil {
		return Member{}, err
	}
	m.Text = s.b[start:s.i]
	return m, nil
}

func kindOf(c byte) Kind {
	switch c {
	case '"':
		return String
	case '{':
		return Nested
	case '[':
		return Array
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	default:
		return Number
	}
}

// skip checks one value of any kind and moves behind it.
func (s *scanner) skip(depth int) error {
	s.space()
	switch s.peek() {
	case '{':
		_, err := s.object(depth)
		return err
	case '[':
		return s.array(depth)
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *scanner) array(depth int) error {
	if depth > MaxDepth {
		return s.bad("nested too deeply")
	}
	s.i++
	s.space()
	if s.peek() == ']' {
		s.i++
		return nil
	}
	for {
		if err := s.skip(depth + 1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return nil
		default:
			return s.bad("a comma or closing bracket was expected")
		}
	}
}

func (s *scanner) literal(word string) error {
	if len(s.b)-s.i < len(word) || s.b[s.i:s.i+len(word)] != word {
		return s.bad("no JSON value")
	}
	s.i += len(word)
	return nil
}

// number checks -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.i++
	}
	switch {
	case s.peek() == '0':
		s.i++
	case s.digits() == 0:
		return s.bad("no JSON value")
	}
	if s.peek() == '.' {
		s.i++
		if s.digits() == 0 {
			return s.bad("no digit behind the point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.i++
		if c := s.peek(); c == '+' || c == '-' {
			s.i++
		}
		if s.digits() == 0 {
			return s.bad("no digit in the exponent")
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i - start
}

// text reads the string whose quote is at i.
func (s *scanner) text() (string, error) {
	s.i++
	start := s.i
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return s.b[start : s.i-1], nil
		case c == '\\':
			return s.escaped(start)
		case c < 0x20:
			return "", s.bad("a control character in a string")
		case c < utf8.RuneSelf:
			s.i++
		default:
			if err := s.rune(); err != nil {
				return "", err
			}
		}
	}
	return "", s.bad("a string without end")
}

// rune moves behind one character beyond ASCII.
func (s *scanner) rune() error {
	r, size := utf8.DecodeRuneInString(s.b[s.i:])
	if r == utf8.RuneError && size <= 1 {
		return s.bad("not UTF-8")
	}
	s.i += size
	return nil
}

// escaped goes on with a string from its first backslash, which is at i.
func (s *scanner) escaped(start int) (string, error) {
	out := append(make([]byte, 0, s.i-start+32), s.b[start:s.i]...)
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return string(out), nil
		case c == '\\':
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		case c < 0x20:
			return "", s.bad("a control character in a string")
		default:
			from := s.i
			if err := s.rune(); err != nil {
				return "", err
			}
			out = append(out, s.b[from:s.i]...)
		}
	}
	return "", s.bad("a string without end")
}

// escape reads one escape sequence, a pair of surrogates as one.
func (s *scanner) escape() (rune, error) {
	s.i++
	c := s.peek()
	s.i++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		r, err := s.hex4()
		if err != nil || !utf16.IsSurrogate(r) {
			return r, err
		}
		if s.peek() != '\\' || s.i+1 >= len(s.b) || s.b[s.i+1] != 'u' {
			return 0, s.bad("half a surrogate pair")
		}
		s.i += 2
		low, err := s.hex4()
		if err != nil {
			return 0, err
		}
		if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
			return 0, s.bad("half a surrogate pair")
		}
		return r, nil
	}
	return 0, s.bad("no such escape")
}

func (s *scanner) hex4() (rune, error) {
	if len(s.b)-s.i < 4 {
		return 0, s.bad("four hexadecimal digits were expected")
	}
	var r rune
	for i := range 4 {
		c := s.b[s.i+i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, s.bad("four hexadecimal digits were expected")
		}
		r = r<<4 | rune(c)
	}
	s.i += 4
	return r, nil
}
