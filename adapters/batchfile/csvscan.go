package batchfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// What is wrong with the writing of a cell.
const (
	quoteInside = "has a quotation mark inside: put the field into quotation marks, and double those within"
	textBehind  = "has text behind its closing quotation mark: quotation marks within a field must be doubled"
	neverClosed = "a quotation mark opens in this column and is not closed before the file ends"
	notClosed   = "a quotation mark opens in this column and is not closed within the bytes that a field may have: " +
		"one is missing, or one within a field is not doubled"
)

// csvScanner takes a sheet apart into records of cells, in memory that does not depend on what it holds.
type csvScanner struct {
	in    *bufio.Reader
	comma byte
	most  int // bytes of a cell
	line  int // of the next byte

	first int    // the line on which the record begins
	text  []byte // of its cells
	cells []cell // the first of them
	count int    // all of them
	extra bool   // there is text in those that are not kept
}

// cell is one cell of a record; its text is a part of the record's.
type cell struct {
	from, to int
	line     int
	problem  string
	long     bool // it is cut off
}

// detect chooses what separates cells: of comma, semicolon and tab what the header has most of outside quotation marks.
func (s *csvScanner) detect(most int) {
	head, _ := s.in.Peek(most) // an error stays, and is met again where it stands
	counts := map[byte]int{}
	quoted, begun := false, false
	for _, b := range head {
		if !quoted && begun && (b == '\n' || b == '\r') {
			break
		}
		switch b {
		case '"':
			quoted = !quoted
		case ',', ';', '\t':
			if !quoted {
				counts[b]++
			}
		}
		begun = begun || b > ' '
	}
	s.comma = ','
	for _, other := range []byte{';', '\t'} {
		if counts[other] > counts[s.comma] {
			s.comma = other
		}
	}
}

// record reads the next record that is not blank; io.EOF behind the last one.
func (s *csvScanner) record() error {
	for {
		s.first, s.count, s.extra = s.line, 0, false
		s.text, s.cells = s.text[:0], s.cells[:0]
		if _, err := s.in.Peek(1); err != nil {
			return err
		}
		for more := true; more; {
			var err error
			if more, err = s.cell(); err != nil {
				return err
			}
		}
		if s.extra || len(bytes.TrimSpace(s.text)) > 0 {
			return nil
		}
	}
}

// cell reads one cell and what ends it. It returns whether another one follows in the record.
func (s *csvScanner) cell() (more bool, err error) {
	c := cell{from: len(s.text), line: s.line}
	for {
		b, err := s.in.ReadByte()
		switch {
		case err != nil && errors.Is(err, io.EOF):
			s.keep(c)
			return false, nil
		case err != nil:
			return false, err
		case b == s.comma:
			s.keep(c)
			return true, nil
		case b == '\n' || b == '\r':
			s.keep(c)
			s.newline(b)
			return false, nil
		case b == '"' && c.problem == "" && blank(s.text[c.from:]):
			s.text = s.text[:c.from]
			if err := s.quoted(&c); err != nil {
				return false, err
			}
			return s.behind(c)
		case b == '"':
			c.problem = quoteInside
		}
		s.add(&c, b)
	}
}

// quoted reads a cell behind its opening quotation mark to behind its closing one.
func (s *csvScanner) quoted(c *cell) error {
	opened, last := s.line, byte(0)
	for {
		b, err := s.in.ReadByte()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return s.open(opened, neverClosed)
			}
			return err
		}
		switch b {
		case '"':
			if !s.follows('"') {
				return nil
			}
		case '\r':
			s.line++
		case '\n':
			if last != '\r' {
				s.line++
			}
		}
		last = b
		s.add(c, b)
		if c.long {
			return s.open(opened, notClosed)
		}
	}
}

// open is the end of reading at a quotation mark that nothing closes: all that follows would be misread.
func (s *csvScanner) open(line int, message string) error {
	return &FileError{Problems: []Problem{{Line: line, Column: s.count + 1, Message: message}}}
}

// behind reads what stands between a closing quotation mark and the end of the cell: blanks at most.
func (s *csvScanner) behind(c cell) (more bool, err error) {
	for {
		b, err := s.in.ReadByte()
		switch {
		case err != nil && errors.Is(err, io.EOF):
			s.keep(c)
			return false, nil
		case err != nil:
			return false, err
		case b == s.comma:
			s.keep(c)
			return true, nil
		case b == '\n' || b == '\r':
			s.keep(c)
			s.newline(b)
			return false, nil
		case c.problem == "" && (b == ' ' || b == '\t'):
			continue
		}
		c.problem = textBehind
		s.add(&c, b)
	}
}

// newline ends a line with b, and takes the second half of a CRLF.
func (s *csvScanner) newline(b byte) {
	s.line++
	if b == '\r' {
		s.follows('\n')
	}
}

// follows says whether b is the next byte, and takes it. An error is none: it stays, and is met again by the next read.
func (s *csvScanner) follows(b byte) bool {
	next, err := s.in.Peek(1)
	if err != nil || next[0] != b {
		return false
	}
	_, err = s.in.Discard(1)
	return err == nil
}

// add adds a byte to a cell that has room for it.
func (s *csvScanner) add(c *cell, b byte) {
	switch {
	case s.count >= maxColumns:
		s.extra = s.extra || b > ' '
		c.to++
		c.long = c.to > s.most
	case len(s.text)-c.from >= s.most:
		c.long = true
	default:
		s.text = append(s.text, b)
	}
}

// keep ends a cell.
func (s *csvScanner) keep(c cell) {
	if s.count < maxColumns {
		c.to = len(s.text)
		s.cells = append(s.cells, c)
	}
	s.count++
}

// raw is the record as far as it is kept, each cell behind its length.
func (s *csvScanner) raw() string {
	var b []byte
	for _, c := range s.cells {
		b = appendText(b, string(s.text[c.from:c.to]))
	}
	return string(b)
}

// blank says whether a cell has only spaces so far: then a quotation mark may still open it.
func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}
