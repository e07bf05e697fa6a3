package batchfile

import (
	"archive/zip"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of a sheet, as Office Open XML (ECMA-376) programs have them.
const (
	maxSheetRows = 1 << 20
	maxCellText  = 32_767 // UTF-16 units
)

// Styles of cells: their places in cellXfs of the workbook's styles.
const (
	styleAmount  = "1"
	styleText    = "2"
	styleHeading = "3"
	styleQuoted  = "4" // text that would be a formula if it were typed

	styleQuotedHeading = "5"
)

// xlsxSheet writes a workbook of one sheet straight into its archive: texts stand in their cells, so nothing has to be remembered.
type xlsxSheet struct {
	archive *zip.Writer
	out     *bufio.Writer // the sheet's part; its errors stay
	row     []byte
	column  int // of the next cell, from 0
	line    int // of the row, from 1
	err     error
}

func newXLSXSheet(w io.Writer) *xlsxSheet {
	s := &xlsxSheet{archive: zip.NewWriter(w), line: 1}
	for _, part := range workbookParts() {
		if s.err == nil {
			s.err = s.part(part.name, part.content)
		}
	}
	if s.err != nil {
		return s
	}
	sheet, err := s.archive.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		s.err = err
		return s
	}
	s.out = bufio.NewWriterSize(sheet, 32<<10)
	_, s.err = s.out.WriteString(sheetBegin)
	return s
}

func (s *xlsxSheet) part(name, content string) error {
	w, err := s.archive.Create(name)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, content)
	return err
}

func (s *xlsxSheet) heading(h string) {
	if formula(h) {
		s.inline(h, styleQuotedHeading)
		return
	}
	s.inline(h, styleHeading)
}

func (s *xlsxSheet) text(text string) {
	switch {
	case text == "":
		s.column++
	case formula(text):
		s.inline(text, styleQuoted)
	default:
		s.inline(text, styleText)
	}
}

func (s *xlsxSheet) amount(a money.Amount) {
	s.cell(styleAmount)
	s.row = append(a.AppendFixed(append(s.row, `><v>`...)), `</v></c>`...)
}

// inline writes a cell of text.
func (s *xlsxSheet) inline(text, style string) {
	if n := utf16Length(text); n > maxCellText && s.err == nil {
		s.err = fmt.Errorf("row %d: a text of %d characters is too long for a cell of a sheet", s.line, n)
	}
	s.cell(style)
	s.row = append(s.row, ` t="inlineStr"><is><t xml:space="preserve">`...)
	s.row = appendXMLText(s.row, text)
	s.row = append(s.row, `</t></is></c>`...)
}

// cell begins a cell.
func (s *xlsxSheet) cell(style string) {
	s.row = appendColumn(append(s.row, `<c r="`...), s.column)
	s.row = strconv.AppendInt(s.row, int64(s.line), 10)
	s.row = append(append(append(s.row, `" s="`...), style...), '"')
	s.column++
}

func (s *xlsxSheet) end() error {
	if s.line > maxSheetRows && s.err == nil {
		s.err = fmt.Errorf("a sheet has at most %d rows", maxSheetRows)
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

func (s *xlsxSheet) close() error {
	if s.err != nil {
		return s.err
	}
	if _, err := s.out.WriteString(sheetEnd); err != nil {
		return err
	}
	if err := s.out.Flush(); err != nil {
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
