package bankfile

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/khata-ledger/khata/domain/reconcile"
)

// Bounds of MT940.
const (
	maxMTLine  = 4 << 10 // bytes of a line of text
	maxBetween = 50      // lines between two messages: what banks put there
)

// readMT940 reads the messages of a file: each a statement, or a page of one.
func readMT940(t *text, o *Options) (reconcile.Statement, error) {
	r := &mtReader{o: o, in: bufio.NewReaderSize(t, 64<<10), utrs: newUTRFinder(nil)}
	for {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return reconcile.Statement{}, err
		}
		if err := r.take(line); err != nil {
			return reconcile.Statement{}, err
		}
	}
	if err := r.end(); err != nil {
		return reconcile.Statement{}, err
	}
	return together(r.pages, o)
}

// mtReader takes messages apart.
type mtReader struct {
	o    *Options
	in   *bufio.Reader
	utrs *utrFinder
	line int // that was read last

	tag   string // being read, with its further lines
	value []byte
	at    int // its line

	page    *page
	blocks  bool // the message is in SWIFT's blocks, so that "-}" ends it
	marked  int  // messages that had an end mark
	between int  // lines between messages
	last    int  // the last of them that is not blank; 0: none
	entry   *reconcile.Line
	extra   string // what the entry's second line says
	refs    [2]string
	count   int
	pages   []*page
}

// next is the next line of text, without blanks at its end.
func (r *mtReader) next() (string, error) {
	chunk, err := r.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(chunk) > maxMTLine:
		return "", fault(r.line+1, "", "has more than %d bytes", maxMTLine)
	case errors.Is(err, io.EOF) && len(chunk) > 0:
	case err != nil:
		return "", err
	}
	r.line++
	return strings.TrimRight(string(chunk), " \t\n\x03\x1a"), nil
}

// take takes one line of text.
func (r *mtReader) take(line string) error {
	tag, value, isTag := mtTag(line)
	switch {
	case isTag && (r.page != nil || r.tag != "" || tag == "20"):
		if err := r.finish(); err != nil {
			return err
		}
		r.tag, r.value, r.at = tag, append(r.value[:0], value...), r.line
		return nil
	case r.page == nil && r.tag == "":
		return r.outside(line)
	case line == "-" || strings.HasPrefix(line, "-}"):
		if err := r.finish(); err != nil {
			return err
		}
		r.marked++
		return r.close(line)
	case strings.HasPrefix(line, "{1:"):
		if err := r.finish(); err != nil {
			return err
		}
		if r.blocks {
			return fault(r.line, "", "a message begins, and that of line %d has not ended", r.page.line)
		}
		if err := r.closePage(); err != nil {
			return err
		}
		return r.outside(line)
	case line == "":
		return nil
	}
	if len(r.value)+len(line) > r.o.Limits.Field {
		return fault(r.line, ":"+r.tag+":", "has more than %d bytes", r.o.Limits.Field)
	}
	r.value = append(append(r.value, '\n'), line...)
	return nil
}

// mtTag reads ":61:" and what follows.
func mtTag(line string) (tag, value string, ok bool) {
	if len(line) < 4 || line[0] != ':' {
		return "", "", false
	}
	name, value, found := strings.Cut(line[1:], ":")
	if !found || len(name) < 2 || len(name) > 3 {
		return "", "", false
	}
	if name == "NS" {
		return name, value, true
	}
	if !allDigits(name[:2]) || len(name) == 3 && (name[2] < 'A' || name[2] > 'Z') {
		return "", "", false
	}
	return name, value, true
}

// outside takes a line between messages: SWIFT's blocks, and lines of the bank's own.
func (r *mtReader) outside(line string) error {
	if line == "" {
		return nil
	}
	if len(r.pages) > 0 && (strings.HasPrefix(line, "{5:") || strings.HasPrefix(line, "{S:")) {
		return r.trailer(line)
	}
	if r.between++; r.between > maxBetween || len(line) > 256 {
		return fault(r.line, "", "is not MT940: no message begins here with :20:")
	}
	if _, _, ok := mtTag(line); ok {
		return fault(r.line, "", "stands before the message's :20:")
	}
	r.last = r.line
	if i := strings.Index(line, "{2:"); i >= 0 && len(line) > i+7 {
		switch kind := line[i+4 : i+7]; kind {
		case "940", "950":
		case "942":
			return fault(r.line, "{2:", "is MT942, a report within the day, not a statement: ask the bank for MT940")
		default:
			return fault(r.line, "{2:", "is a message of another kind than MT940 or MT950")
		}
	}
	if strings.Contains(line, "{4:") {
		r.blocks = true
	}
	return nil
}

// end ends the file.
func (r *mtReader) end() error {
	if r.tag == "" && r.page == nil {
		switch {
		case len(r.pages) == 0:
			return fault(0, "", "the file holds no message: there is no :20:")
		case r.last > 0:
			return fault(r.last, "", "stands behind the last message, and no other begins: the file was cut off")
		}
		return nil
	}
	if err := r.finish(); err != nil {
		return err
	}
	if r.blocks {
		return fault(r.line, "", "the message of line %d is not ended by -}: the file was cut off", r.page.line)
	}
	if r.marked > 0 {
		return fault(r.line, "", "the message of line %d is not ended by a hyphen, as others are: the file was cut off", r.page.line)
	}
	return r.closePage()
}

// close ends a message at its mark.
func (r *mtReader) close(mark string) error {
	if r.blocks != strings.HasPrefix(mark, "-}") {
		return fault(r.line, "", "the message of line %d does not end as it began", r.page.line)
	}
	if err := r.closePage(); err != nil {
		return err
	}
	rest := strings.TrimLeft(mark, "-}")
	if i := strings.Index(rest, "{1:"); i >= 0 { // the next begins on the same line
		if err := r.trailer(rest[:i]); err != nil {
			return err
		}
		return r.outside(rest[i:])
	}
	return r.trailer(rest)
}

// trailer takes what stands behind the text of a message: blocks, all of them closed.
func (r *mtReader) trailer(s string) error {
	if strings.Count(s, "{") != strings.Count(s, "}") || strings.Trim(s, "\x01\x03 ") != "" && s[len(s)-1] != '}' {
		return fault(r.line, "", "is no whole trailer of a message: the file was cut off")
	}
	return nil
}

// closePage checks that the message was whole, and that its lines make its balances.
func (r *mtReader) closePage() error {
	if err := r.finishEntry(""); err != nil {
		return err
	}
	p := r.page
	switch {
	case p.opened == 0:
		return fault(r.line, "", "the message of line %d has no opening balance (:60F: or :60M:)", p.line)
	case p.closed == 0:
		return fault(r.line, "", "the message of line %d has no closing balance (:62F: or :62M:): the file was cut off", p.line)
	case p.account == "":
		return fault(p.line, ":25:", "is missing: the message does not say its account")
	}
	if sum := p.opening.Add(p.sum); !sum.Equal(p.closing) {
		return fault(p.closed, ":62:", "the closing balance is %s, but the opening balance and the lines make %s", p.closing.Fixed(), sum.Fixed())
	}
	p.bare = bareAccount(p.account, p.currency)
	if len(r.pages) == maxPages {
		return fault(p.line, "", "the file holds more than %d messages", maxPages)
	}
	r.pages = append(r.pages, p)
	r.page, r.blocks, r.between, r.last = nil, false, 0, 0
	return nil
}
