package sheet

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of a sheet, as Office Open XML (ECMA-376) programs have them.
const (
	MaxRows     = 1 << 20
	maxCellText = 32_767 // UTF-16 units
)

// Styles of cells: their places in cellXfs of the workbook's styles.
const (
	styleAmount  = "1"
	styleText    = "2"
	styleHeading = "3"
	styleQuoted  = "4" // text that would be a formula if it were typed

	styleQuotedHeading = "5"

	styleTime      = "6"
	styleLakh      = "7" // 12,34,567.00
	styleGrouped   = "8" // 1,234,567.00
	styleGroupedTo = "9" // three decimals

	styleGroupedWhole = "10"
	styleGroupedFine  = "11" // eight decimals

	styleWhole = "12" // without groups, as styleAmount
	styleTo    = "13" // three decimals
	styleFine  = "14" // eight decimals
)

// XLSX writes a workbook straight into its archive, sheet after sheet.
type XLSX struct {
	// Grouped writes amounts with the groups of their currency (12,34,567.00), instead of plain digits. They are numbers in both cases.
	Grouped bool

	archive *zip.Writer
	out     *bufio.Writer // the open sheet's part; its errors stay
	sheets  int           // that the workbook has
	number  int           // of the open one, from 1
	row     []byte
	column  int // of the next cell, from 0
	line    int // of the row, from 1
	err     error
}

// NewXLSX begins a workbook of sheets with these names, and opens the first of them. Names are ours: they need no escaping.
func NewXLSX(w io.Writer, names ...string) *XLSX {
	s := &XLSX{archive: zip.NewWriter(w), sheets: len(names)}
	for _, part := range workbookParts(names) {
		if s.err == nil {
			s.err = s.part(part.name, part.content)
		}
	}
	if s.err == nil {
		s.err = s.open()
	}
	return s
}

// NextSheet ends the open sheet, whose last row has ended, and opens the next one.
func (s *XLSX) NextSheet() error {
	if s.number == s.sheets && s.err == nil {
		s.err = fmt.Errorf("a workbook of %d sheets has no sheet %d", s.sheets, s.number+1)
	}
	if s.err == nil {
		s.err = s.finish()
	}
	if s.err == nil {
		s.err = s.open()
	}
	return s.err
}

func (s *XLSX) open() error {
	s.number++
	s.line = 1
	part, err := s.archive.Create(sheetPart(s.number))
	if err != nil {
		return err
	}
	s.out = bufio.NewWriterSize(part, 32<<10)
	_, err = s.out.WriteString(sheetBegin)
	return err
}

func (s *XLSX) finish() error {
	if _, err := s.out.WriteString(sheetEnd); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *XLSX) part(name, content string) error {
	w, err := s.archive.Create(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, content)
	return err
}

// Heading is a cell of bold text.
func (s *XLSX) Heading(h string) {
	if Formula(h) {
		s.inline(h, styleQuotedHeading)
		return
	}
	s.inline(h, styleHeading)
}

// Text is a cell of text; none for the empty text.
func (s *XLSX) Text(text string) {
	switch {
	case text == "":
		s.column++
	case Formula(text):
		s.inline(text, styleQuoted)
	default:
		s.inline(text, styleText)
	}
}

// Amount is a number. Spreadsheets keep fifteen digits of it.
func (s *XLSX) Amount(a money.Amount) {
	s.cell(s.amountStyle(a.Currency()))
	s.row = append(a.AppendFixed(append(s.row, `><v>`...)), `</v></c>`...)
}

func (s *XLSX) amountStyle(c money.Currency) string {
	exp, _ := c.Exponent()
	plain, grouped := styleAmount, styleGrouped
	switch {
	case c == money.INR:
		grouped = styleLakh
	case exp == 0:
		plain, grouped = styleWhole, styleGroupedWhole
	case exp == 3:
		plain, grouped = styleTo, styleGroupedTo
	case exp == 8:
		plain, grouped = styleFine, styleGroupedFine
	}
	if s.Grouped {
		return grouped
	}
	return plain
}

// Time is a date with its time of day in its own zone, to the millisecond: the days since 30 December 1899.
func (s *XLSX) Time(t time.Time) {
	const (
		epoch    = 25_569      // days to 1 January 1970
		decimals = 100_000_000 // of a day: 0.9 ms
		day      = int64(24 * time.Hour / time.Microsecond)
	)
	_, offset := t.Zone()
	wall := t.UnixMicro() + int64(offset)*1_000_000
	days, rest := wall/day, wall%day
	if rest < 0 {
		days, rest = days-1, rest+day
	}
	s.cell(styleTime)
	s.row = fmt.Appendf(s.row, `><v>%d.%08d</v></c>`, days+epoch, rest*decimals/day)
}

// inline writes a cell of text.
func (s *XLSX) inline(text, style string) {
	if n := utf16Length(text); n > maxCellText && s.err == nil {
		s.err = fmt.Errorf("row %d: a text of %d characters is too long for a cell of a sheet", s.line, n)
	}
	s.cell(style)
	s.row = append(s.row, ` t="inlineStr"><is><t xml:space="preserve">`...)
	s.row = appendXMLText(s.row, text)
	s.row = append(s.row, `</t></is></c>`...)
}

// cell begins a cell.
func (s *XLSX) cell(style string) {
	s.row = appendColumn(append(s.row, `<c r="`...), s.column)
	s.row = strconv.AppendInt(s.row, int64(s.line), 10)
	s.row = append(append(append(s.row, `" s="`...), style...), '"')
	s.column++
}

// End ends the row.
func (s *XLSX) End() error {
	if s.line > MaxRows && s.err == nil {
		s.err = fmt.Errorf("a sheet has at most %d rows", MaxRows)
	}
	if s.err != nil {
		return s.err
	}
	begin := strconv.AppendInt(append(make([]byte, 0, 24), `<row r="`...), int64(s.line), 10)
	_, err := s.out.Write(append(begin, `">`...))
	_, err2 := s.out.Write(append(s.row, `</row>`...))
	s.err = errors.Join(err, err2)
	s.row, s.column = s.row[:0], 0
	s.line++
	return s.err
}

// Close ends the last sheet and the archive. It is an error when sheets of the workbook were not written.
func (s *XLSX) Close() error {
	if s.err != nil {
		return s.err
	}
	if s.number != s.sheets {
		return fmt.Errorf("a workbook of %d sheets ends with sheet %d", s.sheets, s.number)
	}
	if err := s.finish(); err != nil {
		return err
	}
	return s.archive.Close()
}

// appendColumn appends the letters of a column: A to Z, AA and so on.
func appendColumn(b []byte, column int) []byte {
	if column >= 26 {
		b = appendColumn(b, column/26-1)
	}
	return append(b, 'A'+byte(column%26))
}

// appendXMLText appends text for an element of type ST_Xstring (ECMA-376 part 1, 22.9.2.19): characters that XML 1.0 cannot hold are written
// _xHHHH_, and so is the underscore of a text that looks like that.
func appendXMLText(b []byte, s string) []byte {
	for i, r := range s {
		switch {
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '_' && escapes(s[i:]):
			b = append(b, "_x005F_"...)
		case r < 0x20 && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			b = fmt.Appendf(b, "_x%04X_", r)
		default:
			b = utf8.AppendRune(b, r) // what is not UTF-8 becomes the replacement character
		}
	}
	return b
}

// escapes says whether a text begins like an escaped character.
func escapes(s string) bool {
	const form = "_x0000_"
	if len(s) < len(form) || s[1] != 'x' || s[6] != '_' {
		return false
	}
	for _, c := range []byte(s[2:6]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// utf16Length is what a text counts in a cell.
func utf16Length(s string) int {
	if len(s) <= maxCellText {
		return len(s) // at most
	}
	n := 0
	for _, r := range s {
		n++
		if r > 0xFFFF {
			n++
		}
	}
	return n
}
