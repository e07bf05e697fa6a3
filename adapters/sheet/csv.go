package sheet

import (
	"bufio"
	"io"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// CSV writes CSV as RFC 4180 has it.
type CSV struct {
	out *bufio.Writer // its errors stay
	row []byte
	any bool // cells in the row
}

// NewCSV writes to w.
func NewCSV(w io.Writer) *CSV { return &CSV{out: bufio.NewWriterSize(w, 32<<10)} }

// Heading is a cell of text.
func (s *CSV) Heading(h string) { s.Text(h) }

// Text is a cell of text, guarded: see Guard.
func (s *CSV) Text(text string) {
	s.comma()
	guarded := Guard(text)
	if len(guarded) == len(text) && !strings.ContainsAny(text, ",\"\r\n;\t") && strings.TrimSpace(text) == text {
		s.row = append(s.row, text...)
		return
	}
	s.row = append(s.row, '"')
	for i := range len(guarded) {
		if guarded[i] == '"' {
			s.row = append(s.row, '"')
		}
		s.row = append(s.row, guarded[i])
	}
	s.row = append(s.row, '"')
}

// Amount is a cell with all decimals of the currency: 1000.00.
func (s *CSV) Amount(a money.Amount) {
	s.comma()
	s.row = a.AppendFixed(s.row)
}

// Time is a cell as RFC 3339 has it, with microseconds where there are any.
func (s *CSV) Time(t time.Time) {
	s.comma()
	s.row = t.AppendFormat(s.row, "2006-01-02T15:04:05.999999Z07:00")
}

func (s *CSV) comma() {
	if s.any {
		s.row = append(s.row, ',')
	}
	s.any = true
}

// End ends the row.
func (s *CSV) End() error {
	s.row = append(s.row, "\r\n"...)
	_, err := s.out.Write(s.row)
	s.row, s.any = s.row[:0], false
	return err
}

// Close writes what is left.
func (s *CSV) Close() error { return s.out.Flush() }

// Guard makes text of what a spreadsheet would take for a formula when it opens a CSV: an apostrophe is put before it, as OWASP's page on
// CSV injection and ASVS 1.2.10 have it. What has such an apostrophe already gets one more, so that readers can take one off.
func Guard(s string) string {
	if Formula(strings.TrimLeft(s, "'")) {
		return "'" + s
	}
	return s
}
