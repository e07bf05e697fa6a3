package bankfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/khata-ledger/khata/domain/reconcile"
)

// Bounds of the search for a CSV's header.
const (
	maxPreamble  = 200 // lines before it
	preambleHead = 64 << 10
)

// readCSV reads a statement or a settlement file from a sheet.
func readCSV(t *text, o *Options) (reconcile.Statement, error) {
	in := bufio.NewReaderSize(t, preambleHead)
	head, err := in.Peek(preambleHead)
	if err != nil && !errors.Is(err, io.EOF) {
		return reconcile.Statement{}, err
	}
	at, err := findTable(head, o)
	if err != nil {
		return reconcile.Statement{}, err
	}
	table, err := newTable(at, o)
	if err != nil {
		return reconcile.Statement{}, err
	}
	scan := &csvScanner{in: in, comma: at.comma, most: o.Limits.Field, line: 1}
	for scan.line < at.line {
		line, err := in.ReadString('\n')
		if err != nil {
			return reconcile.Statement{}, fault(scan.line, "", "the file ends before its table")
		}
		scan.line++
		if err := table.outside(scan.line-1, strings.TrimSpace(line)); err != nil {
			return reconcile.Statement{}, err
		}
	}
	if !at.mapping.NoHeader {
		if err := scan.record(); err != nil {
			return reconcile.Statement{}, err
		}
	}
	for {
		err := scan.record()
		if errors.Is(err, io.EOF) {
			return table.statement()
		}
		if err != nil {
			return reconcile.Statement{}, err
		}
		if err := table.record(scan); err != nil {
			return reconcile.Statement{}, err
		}
	}
}

// found is where a table begins and how it is written.
type found struct {
	line    int // of its header, or its first line
	comma   byte
	headers []string
	mapping *Mapping
}

// findTable looks for the header in the first lines of a file: by a mapping, or by what is usual.
func findTable(head []byte, o *Options) (found, error) {
	commas := []byte(",;\t|")
	m := o.Mapping
	if m != nil && m.Delimiter != "" {
		commas = []byte{m.Delimiter[0]}
		if m.Delimiter == "tab" {
			commas[0] = '\t'
		}
	}
	if m != nil && m.NoHeader {
		return unheaded(head, commas, m, o)
	}
	var best found
	for number, line := 1, head; len(line) > 0 && number <= maxPreamble; number++ {
		if m == nil || number > m.SkipLines {
			for _, comma := range commas {
				cells := firstRecord(line, comma, o.Limits.Field)
				if filled(cells) > filled(best.headers) {
					best = found{line: number, comma: comma, headers: cells, mapping: m}
				}
				if at, ok := tableAt(cells, m); ok {
					return found{line: number, comma: comma, headers: cells, mapping: at}, nil
				}
			}
			if m != nil && m.SkipLines > 0 && filled(best.headers) > 0 {
				break // the header is where the mapping says
			}
		}
		next := bytes.IndexByte(line, '\n')
		if next < 0 {
			break
		}
		line = line[next+1:]
	}
	switch {
	case filled(best.headers) == 0:
		return best, fault(0, "", "the file has no line that could name columns")
	case m == nil:
		return best, fault(best.line, "", "%s", howToMap(best.headers))
	}
	_, err := place(m, best.headers, best.line) // says what is missing
	return best, err
}

// tableAt says whether a record is the header: it has all columns of the mapping, or usual ones. A header that stands twice is told by place.
func tableAt(cells []string, m *Mapping) (*Mapping, bool) {
	if m == nil {
		m = recognise(cells)
		return m, m != nil
	}
	if filled(cells) < 2 {
		return nil, false
	}
	names := map[string]bool{}
	for _, c := range cells {
		names[fold(c)] = true
	}
	for _, list := range m.Columns.each() {
		for _, name := range list {
			if n, numbered := columnNumber(name); numbered && n < len(cells) || names[fold(name)] && !numbered {
				continue
			}
			return nil, false
		}
	}
	return m, true
}

// unheaded begins a table without a header behind the lines to skip.
func unheaded(head []byte, commas []byte, m *Mapping, o *Options) (found, error) {
	rest := head
	for range m.SkipLines {
		next := bytes.IndexByte(rest, '\n')
		if next < 0 {
			return found{}, fault(0, "", "the file has no more lines than are to be skipped")
		}
		rest = rest[next+1:]
	}
	best := found{line: m.SkipLines + 1, comma: commas[0], mapping: m}
	cells := 0
	for _, comma := range commas {
		if n := len(firstRecord(rest, comma, o.Limits.Field)); n > cells {
			best.comma, cells = comma, n
		}
	}
	for _, list := range m.Columns.each() {
		for _, name := range list {
			if n, _ := columnNumber(name); n >= cells {
				return found{}, fault(best.line, "", "the mapping names column %s, but the first line has %d", shown(name), cells)
			}
		}
	}
	best.headers = make([]string, cells)
	return best, nil
}

// firstRecord is what the text begins with; nil when that is no record.
func firstRecord(b []byte, comma byte, most int) []string {
	s := &csvScanner{in: bufio.NewReaderSize(bytes.NewReader(b), 512), comma: comma, most: min(most, 4<<10), line: 1}
	if s.record() != nil {
		return nil
	}
	for len(s.cells) > 0 && s.cells[len(s.cells)-1] == "" {
		s.cells = s.cells[:len(s.cells)-1]
	}
	return s.cells
}

func filled(cells []string) int {
	n := 0
	for _, c := range cells {
		if c != "" {
			n++
		}
	}
	return n
}

// compiled are the patterns of a mapping, nil where there is none. Mapping.check has compiled them before.
type compiled struct{ account, opening, closing, count, ignore, end *regexp.Regexp }

func (m *Mapping) compile() compiled {
	one := func(s string) *regexp.Regexp {
		if s == "" {
			return nil
		}
		return regexp.MustCompile(s)
	}
	return compiled{
		account: one(m.AccountPattern), opening: one(m.OpeningPattern), closing: one(m.ClosingPattern),
		count: one(m.CountPattern), ignore: one(m.IgnoreLines), end: one(m.EndPattern),
	}
}
