package batchfile

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/domain/money"
)

// NewCSV reads a batch from a sheet (text/csv): a header, then a line for each item. See the package's documentation for what is
// understood.
func NewCSV(r io.Reader, o ReadOptions) *Reader {
	d := &csvDecoder{}
	reader := newReader(o, d)
	d.scan = csvScanner{in: bufio.NewReaderSize(newSource(r), 2*DefaultRecord), most: reader.limits.Field, line: 1}
	reader.columns, reader.numbered = nil, true
	return reader
}

type csvDecoder struct {
	scan   csvScanner
	fields []field // of each column; noField for none
}

func (d *csvDecoder) amount(s string, c money.Currency) (money.Amount, string) {
	return writtenAmount(s, c)
}

func (d *csvDecoder) next(r *Reader) error {
	if d.fields == nil {
		if err := d.header(r); err != nil {
			return err
		}
	}
	if err := d.scan.record(); err != nil {
		return inItem(err, r.item.Index)
	}
	s := &d.scan
	r.item.Line = s.first
	text := string(s.text) // of all cells: their texts are parts of it
	if n := len(d.fields); d.ragged() {
		r.breaks(s.raw(), "has %d fields where the header has %d%s", s.count, n, hint(s.count, n, s.comma))
		return nil
	}
	for i, f := range d.fields {
		c := s.cells[i]
		r.lines[f] = c.line
		switch {
		case c.long:
			r.item.raw = s.raw()
			r.fault(f, tooLong(r.limits.Field))
			continue
		case c.problem != "":
			r.item.raw = s.raw()
			r.fault(f, c.problem)
		}
		value := cleanCell(text[c.from:c.to], f)
		if f == amount {
			r.amount = value
			if r.given[f] {
				r.item.AmountText = value
			}
			continue
		}
		*r.item.text(f) = value
		if f == accountNo && !r.given[f] && roundedBySheet(value) && !markedAsText(text[c.from:c.to]) {
			r.fault(f, rounded)
		}
	}
	return nil
}

// ragged says whether a record has not the cells that the header names. Blank ones may follow.
func (d *csvDecoder) ragged() bool {
	s := &d.scan
	if s.count < len(d.fields) || s.extra {
		return true
	}
	for _, c := range s.cells[len(d.fields):] {
		if strings.TrimSpace(string(s.text[c.from:c.to])) != "" {
			return true
		}
	}
	return false
}

// hint says what makes a line too long.
func hint(got, want int, comma byte) string {
	if got > want && comma == ',' {
		return `: a field with a comma, such as the amount 1,00,000, must stand in quotation marks`
	}
	return ""
}

// header reads the first line that is not blank.
func (d *csvDecoder) header(r *Reader) error {
	s := &d.scan
	s.detect(DefaultRecord)
	switch err := s.record(); {
	case errors.Is(err, io.EOF):
		return fileError(0, 0, "the file is empty: its first line must name the columns")
	case err != nil:
		return err
	}
	names := make([]string, len(s.cells))
	var problems []Problem
	for i, c := range s.cells {
		names[i] = string(s.text[c.from:c.to])
		switch {
		case c.long:
			problems = append(problems, Problem{Line: c.line, Column: i + 1, Message: tooLong(r.limits.Field)})
		case c.problem != "":
			problems = append(problems, Problem{Line: c.line, Column: i + 1, Message: c.problem})
		}
	}
	if s.extra {
		problems = append(problems, *tooManyColumns(s.first))
	}
	columns, more := ParseColumns(names)
	for i := range more {
		more[i].Line = s.first
	}
	if problems = append(problems, more...); len(problems) > 0 {
		return &FileError{Problems: problems}
	}
	r.columns = columns
	d.fields = make([]field, len(columns))
	for i, c := range columns {
		d.fields[i] = fieldNamed(c.Field)
	}
	return nil
}

func tooManyColumns(line int) *Problem {
	return &fileError(line, 0, "has more than %d columns", maxColumns).Problems[0]
}

// inItem says at which item a file's problem was met.
func inItem(err error, index int) error {
	var fault *FileError
	if errors.As(err, &fault) {
		for i := range fault.Problems {
			fault.Problems[i].Index = index
		}
	}
	return err
}

// cleanCell takes from a cell what sheets add to a value: blanks around it, and the apostrophe that makes it text. In fields that hold any
// text, an apostrophe counts as such only before what would make a formula (see sheet.Guard): 'Abd al-Malik keeps his.
func cleanCell(s string, f field) string {
	s = strings.TrimSpace(s)
	if s == "" || s[0] != '\'' {
		return s
	}
	if !f.freeText() {
		return strings.TrimSpace(strings.TrimLeft(s, "' \t"))
	}
	if sheet.Formula(strings.TrimLeft(s, "'")) {
		return s[1:]
	}
	return s
}

// markedAsText says whether a cell has the apostrophe that makes it text: then no spreadsheet has taken it for a number.
func markedAsText(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "'") }
