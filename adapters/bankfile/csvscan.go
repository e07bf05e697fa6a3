package bankfile

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// maxColumns bounds the columns of a file.
const maxColumns = 256

// csvScanner takes the records of a CSV apart. Its text has line feeds for line ends (see newText). A quotation mark counts where a cell
// begins with it; those within are doubled.
type csvScanner struct {
	in    *bufio.Reader
	comma byte
	most  int // bytes of a cell

	line   int // of what comes next
	first  int // where the record began
	open   bool
	quoted bool // the cell was opened by a quotation mark ...
	closed bool // ... which was closed
	begun  bool // the cell is not blank so far
	text   []byte
	ends   []int // of the cells, in text
	cells  []string
}

// record reads the next record: its cells, trimmed, the line it began on, and whether it is open: ended by the file, not by a line end. io.EOF when
// there is none; an *Error for what is no record.
func (s *csvScanner) record() error {
	s.text, s.ends, s.first, s.open = s.text[:0], s.ends[:0], s.line, false
	s.quoted, s.closed, s.begun = false, false, false
	read := 0
	for {
		c, err := s.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF):
			return s.last(read)
		case err != nil:
			return err
		}
		read++
		if c == '\n' {
			s.line++
		}
		switch inQuotes := s.quoted && !s.closed; {
		case inQuotes && c == '"':
			s.closed = true
		case inQuotes:
			s.text = append(s.text, c)
		case c == s.comma || c == '\n':
			if err := s.cell(); err != nil {
				return err
			}
			if c == '\n' {
				s.cut()
				return nil
			}
		case s.closed && c == '"': // doubled
			s.text, s.closed = append(s.text, c), false
		case s.closed && c != ' ' && c != '\t':
			return s.fault("has something behind its closing quotation mark")
		case s.closed, !s.begun && (c == ' ' || c == '\t'):
		case !s.begun && c == '"':
			s.quoted, s.begun = true, true
		default:
			s.text, s.begun = append(s.text, c), true
		}
		if len(s.text)-s.start() > s.most {
			return s.fault("has more than %d bytes: a quotation mark may not have been closed", s.most)
		}
	}
}

// last ends a record that the file ends.
func (s *csvScanner) last(read int) error {
	switch {
	case read == 0:
		return io.EOF
	case s.quoted && !s.closed:
		return s.fault("opens a quotation mark that is not closed: the file was cut off")
	}
	if err := s.cell(); err != nil {
		return err
	}
	s.open = true
	s.cut()
	return nil
}

func (s *csvScanner) start() int {
	if len(s.ends) == 0 {
		return 0
	}
	return s.ends[len(s.ends)-1]
}

// cell ends a cell.
func (s *csvScanner) cell() error {
	if len(s.ends) == maxColumns {
		return fault(s.first, "", "has more than %d columns", maxColumns)
	}
	s.ends = append(s.ends, len(s.text))
	s.quoted, s.closed, s.begun = false, false, false
	return nil
}

// cut makes strings of the cells: parts of one, so that a record costs one allocation.
func (s *csvScanner) cut() {
	all, from := string(s.text), 0
	s.cells = s.cells[:0]
	for _, end := range s.ends {
		s.cells = append(s.cells, strings.TrimSpace(all[from:end]))
		from = end
	}
}

func (s *csvScanner) fault(format string, args ...any) error {
	e := fault(s.first, "", format, args...)
	e.Message = "column " + itoa(len(s.ends)+1) + " " + e.Message
	return e
}

// blank says whether no cell of the record holds anything.
func (s *csvScanner) blank() bool {
	for _, c := range s.cells {
		if c != "" {
			return false
		}
	}
	return true
}
