package bankfile

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// Format is how a file is written.
type Format string

// The formats.
const (
	CSV     Format = "csv"     // with a Mapping, or with headers that are known
	MT940   Format = "mt940"   // SWIFT customer statement; MT950 too
	CAMT053 Format = "camt053" // ISO 20022 camt.053.001.02 to .13
)

// Bounds that hold where Limits says nothing.
const (
	DefaultBytes = 256 << 20
	DefaultLines = 1_000_000
	DefaultField = 16 << 10
)

// Limits bound what is read. Zero stands for the default.
type Limits struct {
	Bytes int64 // of the file
	Lines int   // of the statement
	Field int   // bytes of one field, in UTF-8: a cell, a tag of MT940 with its further lines, the text of an element
}

func (l Limits) orDefault() Limits {
	return Limits{Bytes: cmp.Or(l.Bytes, DefaultBytes), Lines: cmp.Or(l.Lines, DefaultLines), Field: cmp.Or(l.Field, DefaultField)}
}

// Options say how a file is read. The zero Options read a file that says everything itself.
type Options struct {
	Mapping *Mapping // of a CSV; nil: its headers must be known

	// Account is which account's statement is wanted. A file with statements of several accounts is refused without it; a file that names
	// only others is refused with it. It is compared without blanks and without the case of letters. A CSV that does not say its account is
	// taken for any.
	Account string

	// Currency of the amounts where the file does not say; "" is INR. Where the file does say, another one is refused unless this is "".
	Currency money.Currency

	Encoding string         // "utf-8", "utf-16", "windows-1252"; "" is what the file or the mapping says, or UTF-8
	Zone     *time.Location // to which times with an offset are taken before their day is; nil: their day as it is written
	Lines    int            // how many lines there must be, when that is known from elsewhere; 0: any number
	Limits   Limits
}

// Error is what is wrong with a file. It never quotes what stands in a line, which may name people: only headers, tags and elements.
type Error struct {
	Line    int    // line of the text, from 1; 0: the file as a whole
	Entry   int    // of camt.053: the entry, from 1; 0: none
	Field   string // header, tag or element; "" when the whole line is meant
	Message string
}

func (e *Error) Error() string {
	var places []string
	if e.Line > 0 {
		places = append(places, fmt.Sprintf("line %d", e.Line))
	}
	if e.Entry > 0 {
		places = append(places, fmt.Sprintf("entry %d", e.Entry))
	}
	if e.Field != "" {
		places = append(places, e.Field)
	}
	if len(places) == 0 {
		return e.Message
	}
	where := strings.Join(places, ", ")
	if strings.HasSuffix(where, ":") { // a tag of MT940
		return where + " " + e.Message
	}
	return where + ": " + e.Message
}

func fault(line int, field, format string, args ...any) *Error {
	return &Error{Line: line, Field: field, Message: fmt.Sprintf(format, args...)}
}

// Read reads a whole file. It gives a whole statement or an error: an *Error for what is wrong with the file, else what r returned. See the
// package's documentation for what makes a file whole. format "" is what Detect finds.
func Read(r io.Reader, format Format, o Options) (reconcile.Statement, error) {
	s, err := read(r, format, o)
	if err != nil {
		return reconcile.Statement{}, err
	}
	return s, nil
}

func read(r io.Reader, format Format, o Options) (reconcile.Statement, error) {
	o.Limits = o.Limits.orDefault()
	if err := o.check(format); err != nil {
		return reconcile.Statement{}, err
	}
	in := bufio.NewReaderSize(&bounded{in: r, left: o.Limits.Bytes, most: o.Limits.Bytes}, 64<<10)
	head, err := in.Peek(detectBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return reconcile.Statement{}, unread(err)
	}
	if format, err = chosen(head, format); err != nil {
		return reconcile.Statement{}, err
	}
	encoding := o.Encoding
	if encoding == "" && format == CSV && o.Mapping != nil {
		encoding = o.Mapping.Encoding
	}
	if encoding == "" && format == CAMT053 {
		if encoding, err = declared(head); err != nil {
			return reconcile.Statement{}, err
		}
	}
	text, err := newText(in, encoding)
	if err != nil {
		return reconcile.Statement{}, err
	}
	var s reconcile.Statement
	switch format {
	case CSV:
		s, err = readCSV(text, &o)
	case MT940:
		s, err = readMT940(text, &o)
	default:
		s, err = readCAMT(text, &o)
	}
	if err != nil {
		return s, unread(err)
	}
	if o.Lines > 0 && len(s.Lines) != o.Lines {
		return s, fault(0, "", "the file has %d lines, and should have %d", len(s.Lines), o.Lines)
	}
	return s, nil
}

// unread says what was being done where an error is not about the file's content.
func unread(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return fmt.Errorf("reading a bank file: %w", err)
}

// check refuses options that no file could be read with.
func (o *Options) check(format Format) error {
	if o.Currency != "" {
		if _, known := o.Currency.Exponent(); !known {
			return fault(0, "", "the currency %s is not known", shown(string(o.Currency)))
		}
	}
	if o.Mapping != nil {
		if format != CSV && format != "" {
			return fault(0, "", "a mapping is for CSV files, not for %s", format)
		}
		return o.Mapping.check()
	}
	return nil
}

// chosen is the format to read by; an error when the file is plainly in another.
func chosen(head []byte, format Format) (Format, error) {
	switch format {
	case "", CSV, MT940, CAMT053:
	default:
		return "", fault(0, "", "the format %s is not known: it is one of csv, mt940, camt053", shown(string(format)))
	}
	found, what := detect(head)
	switch {
	case len(head) == 0:
		return "", fault(0, "", "the file is empty")
	case what != "":
		return "", fault(0, "", "%s", what)
	case format == "" && found == "":
		return "", fault(0, "", "the format was not recognised: say --format csv, mt940 or camt053")
	case format == "":
		return found, nil
	case found != "" && found != format && (found != CSV || format == CAMT053):
		return "", fault(0, "", "this looks like %s; say --format %s", spoken(found), found)
	}
	return format, nil
}

// spoken is a format's name for people.
func spoken(f Format) string {
	switch f {
	case MT940:
		return "MT940"
	case CAMT053:
		return "camt.053"
	default:
		return "CSV"
	}
}

// bounded ends with an error, not with the file's end, where a file is larger than it may be.
type bounded struct {
	in         io.Reader
	left, most int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.in.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fault(0, "", "the file has more than %d bytes", b.most)
	}
	return n, err
}

// shown makes a text of a file fit for a message: short, and on one line.
func shown(s string) string {
	const most = 60
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
