package statement

import (
	"fmt"
	"io"

	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/domain/money"
)

// columns are those of CSV and of the sheet Statement.
func columns() []string {
	return []string{
		"row", "recorded_at", "value_at", "position", "transaction_id", "type", "narration", "reference", "utr", "debit", "credit", "balance",
	}
}

// postedColumns are the last ones of a statement by value: when a line counts, which for one that is late is not its value date, and for which
// closed period it is late.
func postedColumns() []string { return []string{"posted_at", "late_for"} }

// table writes rows of columns.
type table struct {
	out sheet.Writer
	d   *Document
}

func (t *table) header() error {
	for _, c := range columns() {
		t.out.Heading(c)
	}
	if t.d.ByValue {
		for _, c := range postedColumns() {
			t.out.Heading(c)
		}
	}
	return t.out.End()
}

// told writes a row that is no line; without an amount when that is nil.
func (t *table) told(row, narration, reference string, balance *money.Amount) error {
	t.out.Text(row)
	for range 5 {
		t.out.Text("")
	}
	t.out.Text(narration)
	t.out.Text(reference)
	for range 3 {
		t.out.Text("")
	}
	if balance != nil {
		t.out.Amount(*balance)
	} else {
		t.out.Text("")
	}
	if t.d.ByValue {
		for range postedColumns() {
			t.out.Text("")
		}
	}
	return t.out.End()
}

func (t *table) line(l line) error {
	t.out.Text("line")
	t.out.Time(l.RecordedAt.In(t.d.Zone))
	t.out.Time(l.ValueAt.In(t.d.Zone))
	t.out.Text(l.Position.String())
	t.out.Text(l.Transaction)
	t.out.Text(l.Type)
	t.out.Text(l.narration)
	t.out.Text(l.Reference)
	t.out.Text(l.UTR)
	for _, a := range []money.Amount{l.Debit, l.Credit} {
		if a.IsZero() {
			t.out.Text("")
		} else {
			t.out.Amount(a)
		}
	}
	t.out.Amount(l.Balance)
	if t.d.ByValue {
		t.out.Time(l.PostedAt.In(t.d.Zone))
		t.out.Text(l.LateFor)
	}
	return t.out.End()
}

// closing writes the rows behind the lines.
func (t *table) closing() error {
	if err := t.told("closing", "Closing balance", "", &t.d.Closing); err != nil || !t.d.available() {
		return err
	}
	if err := t.told("locked", "Locked in open payouts, batches and holds", "", &t.d.Locked); err != nil {
		return err
	}
	return t.told("owed", "Owed to the platform", "", &t.d.Owed)
}

// csvRenderer writes CSV.
type csvRenderer struct{ table }

func newCSV(w io.Writer, d *Document) renderer {
	return &csvRenderer{table{sheet.NewCSV(w), d}}
}

func (c *csvRenderer) begin() error {
	if err := c.header(); err != nil {
		return err
	}
	for _, f := range c.d.facts() {
		if err := c.told("about", f.name, f.value, nil); err != nil {
			return err
		}
	}
	return c.told("opening", "Opening balance", "", &c.d.Opening)
}

func (c *csvRenderer) end(totals) error {
	if err := c.closing(); err != nil {
		return err
	}
	return c.out.Close()
}

// xlsxRenderer writes a workbook.
type xlsxRenderer struct {
	table
	book  *sheet.XLSX
	lines int
}

// rowsAround is how many rows of the sheet are no lines: the header, opening, closing, locked and owed.
const rowsAround = 5

func (x *xlsxRenderer) line(l line) error {
	if x.lines++; x.lines > sheet.MaxRows-rowsAround {
		return fmt.Errorf("%w: a sheet has %d lines at most; use --format csv, or a shorter period", ErrTooLong, sheet.MaxRows-rowsAround)
	}
	return x.table.line(l)
}

func newXLSX(w io.Writer, d *Document) renderer {
	book := sheet.NewXLSX(w, "Statement", "About")
	book.Grouped = true
	return &xlsxRenderer{table: table{book, d}, book: book}
}

func (x *xlsxRenderer) begin() error {
	if err := x.header(); err != nil {
		return err
	}
	return x.told("opening", "Opening balance", "", &x.d.Opening)
}

func (x *xlsxRenderer) end(sum totals) error {
	if err := x.closing(); err != nil {
		return err
	}
	if err := x.book.NextSheet(); err != nil {
		return err
	}
	x.book.Heading("About this statement")
	x.book.Heading("")
	if err := x.book.End(); err != nil {
		return err
	}
	for _, f := range x.d.facts() {
		x.book.Text(f.name)
		x.book.Text(f.value)
		if err := x.book.End(); err != nil {
			return err
		}
	}
	for _, a := range []struct {
		name   string
		amount money.Amount
	}{{"Opening balance", x.d.Opening}, {"Debits", sum.debit}, {"Credits", sum.credit}, {"Closing balance", x.d.Closing}} {
		x.book.Text(a.name)
		x.book.Amount(a.amount)
		if err := x.book.End(); err != nil {
			return err
		}
	}
	return x.book.Close()
}
