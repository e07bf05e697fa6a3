package bankfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// newText reads a file as UTF-8 with line feeds for line ends, whatever it is written in. Errors name the line.
func newText(in *bufio.Reader, encoding string) (*text, error) {
	t := &text{in: in, line: 1}
	head, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, unread(err)
	}
	bom := 0
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		bom, t.decode = 3, t.utf8
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		bom, t.decode, t.order = 2, t.utf16, binary.LittleEndian
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		bom, t.decode, t.order = 2, t.utf16, binary.BigEndian
	case len(head) >= 2 && head[0] != 0 && head[1] == 0:
		t.decode, t.order = t.utf16, binary.LittleEndian
	case len(head) >= 2 && head[0] == 0 && head[1] != 0:
		t.decode, t.order = t.utf16, binary.BigEndian
	}
	switch {
	case encoding == "" && t.decode == nil, encoding == "utf-8" && t.decode == nil:
		t.decode = t.utf8
	case encoding == "windows-1252" && t.decode == nil:
		t.decode = t.windows1252
	case encoding == "", encoding == "utf-8" && t.order == nil, encoding == "utf-16" && t.order != nil,
		encoding == "utf-16le" && t.order == binary.ByteOrder(binary.LittleEndian),
		encoding == "utf-16be" && t.order == binary.ByteOrder(binary.BigEndian):
	case encoding == "utf-16", encoding == "utf-16le", encoding == "utf-16be", encoding == "utf-8", encoding == "windows-1252":
		return nil, fault(1, "", "the file is not in %s: its first bytes are of another encoding", encoding)
	default:
		return nil, fault(0, "", "the encoding %s is not known: it is one of utf-8, utf-16, windows-1252", shown(encoding))
	}
	if _, err := in.Discard(bom); err != nil {
		return nil, unread(err)
	}
	return t, nil
}

// text is a source of characters. Its errors stay.
type text struct {
	in     *bufio.Reader
	decode func() error // appends to out what the next bytes are
	order  binary.ByteOrder
	raw    [16 << 10]byte
	kept   int // bytes of raw that are the begin of a character
	out    []byte
	from   int
	line   int
	cr     bool
	err    error
}

// Read hands out UTF-8.
func (t *text) Read(p []byte) (int, error) {
	for t.from == len(t.out) {
		if t.err != nil {
			return 0, t.err
		}
		t.out, t.from = t.out[:0], 0
		t.err = t.decode()
	}
	n := copy(p, t.out[t.from:])
	t.from += n
	return n, nil
}

// fill reads behind what was kept. At the end of the file it returns io.EOF, with the last bytes.
func (t *text) fill() ([]byte, error) {
	n, err := t.in.Read(t.raw[t.kept:])
	b := t.raw[:t.kept+n]
	t.kept = 0
	return b, err
}

// keep keeps the begin of a character for the next fill.
func (t *text) keep(b []byte) { t.kept = copy(t.raw[:], b) }

// put takes over ASCII and longer characters that were checked, and makes line ends line feeds.
func (t *text) put(b []byte) error {
	for len(b) > 0 {
		if t.cr {
			t.cr = false
			if b[0] == '\n' {
				b = b[1:]
				continue
			}
		}
		n := 0
		for n < len(b) && (b[n] > '\r' || b[n] != '\n' && b[n] != '\r' && b[n] != 0) {
			n++
		}
		if n == len(b) {
			t.out = append(t.out, b...)
			return nil
		}
		if b[n] == 0 {
			return fault(t.line, "", "holds a zero byte, as no text does")
		}
		t.cr = b[n] == '\r'
		t.line++
		t.out = append(append(t.out, b[:n]...), '\n')
		b = b[n+1:]
	}
	return nil
}

func (t *text) utf8() error {
	b, err := t.fill()
	good := len(b)
	if !utf8.Valid(b) {
		good = 0
		for good < len(b) {
			r, size := utf8.DecodeRune(b[good:])
			if r == utf8.RuneError && size <= 1 {
				break
			}
			good += size
		}
	}
	if e := t.put(b[:good]); e != nil {
		return e
	}
	if rest := b[good:]; len(rest) > 0 {
		if utf8.FullRune(rest) || err != nil {
			return fault(t.line, "", `holds bytes that are not UTF-8: the encoding may be "windows-1252", or the file be damaged`)
		}
		t.keep(rest)
	}
	return err
}

func (t *text) utf16() error {
	b, err := t.fill()
	var made []byte
	for len(b) >= 2 {
		r := rune(t.order.Uint16(b))
		size := 2
		if utf16.IsSurrogate(r) {
			if len(b) < 4 && err == nil {
				break
			}
			second := rune(0)
			if len(b) >= 4 {
				second = rune(t.order.Uint16(b[2:]))
			}
			if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
				if e := t.put(made); e != nil {
					return e
				}
				return fault(t.line, "", "holds half a character of UTF-16: the file is damaged")
			}
			size = 4
		}
		made = utf8.AppendRune(made, r)
		b = b[size:]
	}
	if e := t.put(made); e != nil {
		return e
	}
	if len(b) > 0 && err != nil {
		return fault(t.line, "", "ends within a character of UTF-16: the file was cut off")
	}
	t.keep(b)
	return err
}

// high are the characters 0x80 to 0x9f of Windows-1252; zero: none.
const high = "€\x00‚ƒ„…†‡ˆ‰Š‹Œ\x00Ž\x00\x00‘’“”•–—˜™š›œ\x00žŸ"

func (t *text) windows1252() error {
	b, err := t.fill()
	made := make([]byte, 0, len(b)+len(b)/8)
	table := []rune(high)
	for _, c := range b {
		r := rune(c)
		if c >= 0x80 && c < 0xa0 {
			if r = table[c-0x80]; r == 0 {
				if e := t.put(made); e != nil {
					return e
				}
				return fault(t.line, "", "holds a byte that windows-1252 does not have")
			}
		}
		made = utf8.AppendRune(made, r)
	}
	if e := t.put(made); e != nil {
		return e
	}
	return err
}
