package batchfile

import (
	"fmt"
	"io"

	"github.com/khata-ledger/khata/adapters/sheet"
)

// outcomeHeaders are the columns that results have behind the submitted ones.
func outcomeHeaders() []string {
	return []string{"transaction_id", "status", "utr", "failure_reason"}
}

// Results writes what became of a batch, row by row, in constant memory: the submitted columns in their order, under the headers that
// were submitted, and behind them transaction_id, status, utr and failure_reason. Write the items in their order, then Close.
// It is for one goroutine.
type Results struct{ table }

// NewCSVResults writes results as CSV (RFC 4180: UTF-8 without byte order mark, commas, CRLF). A cell that a spreadsheet would take
// for a formula is written as text; see the package's documentation.
func NewCSVResults(w io.Writer, c Columns) *Results {
	return &Results{newTable(sheet.NewCSV(w), c, outcomeHeaders())}
}

// NewXLSXResults writes results as a workbook of one sheet: amounts are numbers with two decimals, everything else is text, account
// numbers with all their digits.
func NewXLSXResults(w io.Writer, c Columns) *Results {
	return &Results{newTable(sheet.NewXLSX(w, "Payouts"), c, outcomeHeaders())}
}

// Write writes one item and its outcome.
func (r *Results) Write(it *Item, o Outcome) error {
	r.item(it)
	r.out.Text(o.TransactionID)
	r.out.Text(o.Status)
	r.out.Text(o.UTR)
	r.out.Text(o.FailureReason)
	return r.end()
}

// table is rows of items under a header.
type table struct {
	out    sheet.Writer
	fields []field
	rows   int
}

// newTable writes the header.
func newTable(out sheet.Writer, c Columns, more []string) table {
	t := table{out: out, fields: make([]field, len(c))}
	for i, column := range c {
		t.fields[i] = fieldNamed(column.Field)
		out.Heading(column.Header)
	}
	for _, header := range more {
		out.Heading(header)
	}
	return t
}

// Close writes what is left. It does not close what the table is written to.
func (t *table) Close() error {
	if t.rows == 0 {
		if err := t.end(); err != nil { // of the header
			return err
		}
	}
	if err := t.out.Close(); err != nil {
		return fmt.Errorf("ending a sheet of payouts: %w", err)
	}
	return nil
}

// item writes the cells of an item.
func (t *table) item(it *Item) {
	if t.rows == 0 {
		t.rows++
		if err := t.out.End(); err != nil {
			return // it stays, and the end of the row tells it
		}
	}
	for _, f := range t.fields {
		switch {
		case f == noField:
			t.out.Text("")
		case f == amount && it.AmountText == "" && !it.Amount.IsZero():
			t.out.Amount(it.Amount)
		default:
			t.out.Text(*it.text(f))
		}
	}
}

func (t *table) end() error {
	t.rows++
	if err := t.out.End(); err != nil {
		return fmt.Errorf("writing a row of payouts: %w", err)
	}
	return nil
}
