package statement

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"codeberg.org/go-pdf/fpdf"

	"github.com/khata-ledger/khata/domain/money"
)

// MaxPDFLines bounds the lines of a PDF, which is made in memory.
const MaxPDFLines = 20_000

// The page, in millimetres: A4, upright.
const (
	pageHeight = 297.0
	pageWidth  = 210.0
	margin     = 12.0
	bottom     = pageHeight - 24.0 // where the footer begins
	rowHeight  = 4.2               // of text of 8 points
	noteHeight = 3.2               // of text of 6 points
	totalRow   = 5.4
)

// Widths of the columns; together they are the page without its margins.
const (
	widthDate    = 20.0
	widthText    = 82.0
	widthAmount  = 27.0
	widthBalance = 30.0
)

// pdfRenderer makes a PDF in memory, and writes it at the end. Every page ends with its totals and the balance carried forward, with which
// the next one begins.
type pdfRenderer struct {
	to    io.Writer
	d     *Document
	doc   *fpdf.Fpdf
	stand string // what the statement stands on, for the foot of each page

	lines   int
	page    totals // of the lines on the open page
	balance money.Amount
}

func newPDF(w io.Writer, d *Document) renderer {
	doc := fpdf.New("P", "mm", "A4", "")
	doc.SetMargins(margin, margin, margin)
	doc.SetAutoPageBreak(false, 0)
	doc.SetCellMargin(1)
	doc.SetCatalogSort(true)
	doc.SetCreationDate(d.GeneratedAt)
	doc.SetModificationDate(d.GeneratedAt)
	doc.SetTitle("Statement of account "+d.Account, true)
	doc.SetCreator("khata-ledger", true)
	doc.AliasNbPages("{pages}")
	p := &pdfRenderer{to: w, d: d, doc: doc, stand: d.stand(), balance: d.Opening}
	doc.SetFooterFunc(p.footer)
	return p
}

// stand names what the statement stands on, on one line: the head of the log, or, where there are several, the digest of their list.
func (d *Document) stand() string {
	if len(d.Heads) == 1 {
		return "Log position " + headAt(d.Heads[0]) + ", hash " + d.Heads[0].Hash.String()
	}
	var list strings.Builder
	for _, h := range d.Heads {
		fmt.Fprintf(&list, "%s %s\n", headAt(h), h.Hash)
	}
	digest := sha256.Sum256([]byte(list.String()))
	return "SHA-256 of the log positions and hashes listed at the beginning: " + hex.EncodeToString(digest[:])
}

func (p *pdfRenderer) begin() error {
	doc := p.doc
	doc.AddPage()
	p.font("B", 15)
	doc.CellFormat(0, 8, "Statement of account", "", 1, "L", false, 0, "")
	if p.d.MerchantName != "" {
		p.font("B", 11)
		doc.CellFormat(0, 6, latin(p.d.MerchantName), "", 1, "L", false, 0, "")
	}
	doc.Ln(2)
	for _, f := range p.d.facts() {
		if doc.GetY() > bottom-40 { // of very many partitions
			doc.AddPage()
		}
		p.font("", 8)
		doc.SetTextColor(90, 90, 90)
		doc.CellFormat(48, rowHeight, latin(f.name), "", 0, "L", false, 0, "")
		doc.SetTextColor(0, 0, 0)
		doc.CellFormat(0, rowHeight, p.fitting(f.value, pageWidth-2*margin-48), "", 1, "L", false, 0, "")
	}
	doc.Ln(3)
	p.header()
	p.sum("Opening balance", nil, &p.balance)
	return doc.Error()
}

// header names the columns.
func (p *pdfRenderer) header() {
	p.page = totals{debit: money.Zero(p.d.Currency), credit: money.Zero(p.d.Currency)}
	p.font("B", 8)
	p.doc.SetFillColor(228, 233, 240)
	for _, c := range []struct {
		name, align string
		width       float64
	}{
		{"Date", "L", widthDate}, {"Particulars", "L", widthText}, {"Debit", "R", widthAmount}, {"Credit", "R", widthAmount},
		{"Balance (" + string(p.d.Currency) + ")", "R", widthBalance},
	} {
		p.doc.CellFormat(c.width, 6, c.name, "TB", 0, c.align, true, 0, "")
	}
	p.doc.Ln(-1)
}

// line writes a line, on a new page when it does not fit above the totals of this one.
func (p *pdfRenderer) line(l line) error {
	if p.lines++; p.lines > MaxPDFLines {
		return fmt.Errorf("%w: a PDF has %d lines at most; use --format csv, or a shorter period", ErrTooLong, MaxPDFLines)
	}
	p.font("", 8)
	text := p.split(l.narration)
	p.font("", 6)
	notes := p.split(notes(&l, p.d.Zone))
	height := max(rowHeight+noteHeight, float64(len(text))*rowHeight+float64(len(notes))*noteHeight) + 1
	if p.doc.GetY()+height > bottom-2*totalRow {
		p.turn()
	}
	x, y := p.doc.GetX(), p.doc.GetY()
	p.font("", 8)
	p.at(x, y, widthDate, rowHeight, l.RecordedAt.In(p.d.Zone).Format("02 Jan 2006"), "L")
	for i, s := range text {
		p.at(x+widthDate, y+float64(i)*rowHeight, widthText, rowHeight, s, "L")
	}
	right := x + widthDate + widthText
	if !l.Debit.IsZero() {
		p.at(right, y, widthAmount, rowHeight, l.Debit.Grouped(), "R")
	}
	if !l.Credit.IsZero() {
		p.at(right+widthAmount, y, widthAmount, rowHeight, l.Credit.Grouped(), "R")
	}
	p.at(right+2*widthAmount, y, widthBalance, rowHeight, l.Balance.Grouped(), "R")
	p.font("", 6)
	p.doc.SetTextColor(90, 90, 90)
	p.at(x, y+rowHeight, widthDate, noteHeight, "value "+l.ValueAt.In(p.d.Zone).Format("02 Jan 2006"), "L")
	for i, s := range notes {
		p.at(x+widthDate, y+float64(len(text))*rowHeight+float64(i)*noteHeight, widthText, noteHeight, s, "L")
	}
	p.doc.SetTextColor(0, 0, 0)
	p.doc.SetDrawColor(205, 205, 205)
	p.doc.Line(x, y+height-0.5, pageWidth-margin, y+height-0.5)
	p.doc.SetDrawColor(0, 0, 0)
	p.doc.SetXY(x, y+height)
	p.page.lines++
	p.page.debit, p.page.credit, p.balance = p.page.debit.Add(l.Debit), p.page.credit.Add(l.Credit), l.Balance
	return p.doc.Error()
}

// notes are the references of a line.
func notes(l *line, zone *time.Location) string {
	said := []string{l.Transaction}
	if l.Reference != "" {
		said = append(said, "Ref "+l.Reference)
	}
	if l.UTR != "" {
		said = append(said, "UTR "+l.UTR)
	}
	if l.LateFor != "" {
		said = append(said, "Late for "+l.LateFor+", posted "+l.PostedAt.In(zone).Format("02 Jan 2006"))
	}
	return strings.Join(append(said, "Log "+l.Position.String()), "  |  ")
}

// turn ends a page and begins the next one.
func (p *pdfRenderer) turn() {
	p.totals("Carried forward")
	p.doc.AddPage()
	p.header()
	p.sum("Brought forward", nil, &p.balance)
}

// totals ends a page.
func (p *pdfRenderer) totals(what string) {
	p.sum("Page total", &p.page, nil)
	p.sum(what, nil, &p.balance)
}

func (p *pdfRenderer) end(sum totals) error {
	const behind = 8 * totalRow
	if p.doc.GetY()+2*totalRow+behind > bottom {
		p.turn()
	}
	p.sum("Page total", &p.page, nil)
	p.sum(fmt.Sprintf("Total of %d lines", sum.lines), &sum, nil)
	p.sum("Closing balance", nil, &p.d.Closing)
	if p.d.available() {
		p.doc.Ln(2)
		p.sum("Locked in open payouts, batches and holds", nil, &p.d.Locked)
		p.sum("Owed to the platform", nil, &p.d.Owed)
	}
	p.doc.Ln(3)
	p.font("", 7)
	p.doc.CellFormat(0, rowHeight, "Opening balance and lines make the closing balance: this was checked when the statement was made.", "", 1, "L", false, 0, "")
	if err := p.doc.Error(); err != nil {
		return err
	}
	return p.doc.Output(p.to)
}

// sum writes a row of sums.
func (p *pdfRenderer) sum(what string, of *totals, balance *money.Amount) {
	p.font("B", 8)
	p.doc.CellFormat(widthDate+widthText, totalRow, what, "", 0, "L", false, 0, "")
	debit, credit, behind := "", "", ""
	if of != nil {
		debit, credit = of.debit.Grouped(), of.credit.Grouped()
	}
	if balance != nil {
		behind = balance.Grouped()
	}
	p.doc.CellFormat(widthAmount, totalRow, debit, "", 0, "R", false, 0, "")
	p.doc.CellFormat(widthAmount, totalRow, credit, "", 0, "R", false, 0, "")
	p.doc.CellFormat(widthBalance, totalRow, behind, "", 1, "R", false, 0, "")
}

// footer is the foot of every page.
func (p *pdfRenderer) footer() {
	p.doc.SetY(bottom + 3)
	p.font("", 6.5)
	p.doc.SetTextColor(90, 90, 90)
	p.doc.CellFormat(0, noteHeight, latin(p.d.Account+", "+string(p.d.Currency)+". Generated at "+p.d.GeneratedAt.In(p.d.Zone).Format("02 Jan 2006 15:04:05 -07:00")),
		"T", 0, "L", false, 0, "")
	p.doc.SetX(margin)
	p.doc.CellFormat(0, noteHeight, fmt.Sprintf("Page %d of {pages}", p.doc.PageNo()), "", 1, "R", false, 0, "")
	p.doc.CellFormat(0, noteHeight, p.stand, "", 1, "L", false, 0, "")
	p.doc.SetTextColor(0, 0, 0)
}

func (p *pdfRenderer) font(style string, points float64) { p.doc.SetFont("Helvetica", style, points) }

// at writes a cell at a place.
func (p *pdfRenderer) at(x, y, width, height float64, text, align string) {
	p.doc.SetXY(x, y)
	p.doc.CellFormat(width, height, text, "", 0, align, false, 0, "")
}

// split breaks a text into lines of the column of particulars, in the current font.
func (p *pdfRenderer) split(s string) (lines []string) {
	for _, l := range p.doc.SplitLines([]byte(latin(s)), widthText-2) {
		lines = append(lines, string(l))
	}
	return lines
}

// fitting is a text cut to a width in the current font.
func (p *pdfRenderer) fitting(s string, width float64) string {
	s = latin(s)
	for len(s) > 0 && p.doc.GetStringWidth(s) > width-2 {
		s = s[:len(s)-1]
	}
	return s
}

// latin is a text in Windows-1252, the encoding of the fonts that every reader of PDF has. Other characters become question marks.
func latin(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= ' ' && r < 0x7F, r >= 0xA0 && r <= 0xFF:
			b = append(b, byte(r))
		case r == '\t' || r == '\n' || r == '\r':
			b = append(b, ' ')
		default:
			b = append(b, punctuation(r))
		}
	}
	return string(b)
}

func punctuation(r rune) byte {
	switch r {
	case '€':
		return 0x80
	case '…':
		return 0x85
	case '‘':
		return 0x91
	case '’':
		return 0x92
	case '“':
		return 0x93
	case '”':
		return 0x94
	case '•':
		return 0x95
	case '–':
		return 0x96
	case '—':
		return 0x97
	}
	return '?'
}
