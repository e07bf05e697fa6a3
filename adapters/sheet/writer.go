package sheet

import (
	"time"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain/money"
)

// Writer is a format that rows are written in, cell by cell. Errors stay: End and Close tell them. It is for one goroutine.
type Writer interface {
	Heading(s string)
	Text(s string)
	Amount(a money.Amount)
	Time(t time.Time) // in its own zone
	End() error       // of a row
	Close() error     // of everything; what it is written to stays open
}

// Formula says whether a spreadsheet would take a text for a formula, or for the beginning of one: the characters are those that OWASP
// names, and their full-width forms.
func Formula(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	switch r {
	case '=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠':
		return true
	}
	return false
}
