package pack

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
)

// The page, in millimetres: A4, upright. It looks as the statements do.
const (
	pageHeight = 297.0
	pageWidth  = 210.0
	margin     = 12.0
	bottom     = pageHeight - 24.0 // where the footer begins
	rowHeight  = 4.2               // of text of 8 points
	noteHeight = 3.2               // of text of 6 points
	labelWidth = 48.0
)

// Widths of the timeline's columns; together they are the page without its margins.
const (
	widthTime    = 34.0
	widthWhat    = 92.0
	widthBalance = 60.0
)

// pdfOf is summary.pdf: the same for the same facts, uncompressed.
func pdfOf(s *summary, lines []line) ([]byte, error) {
	doc := fpdf.New("P", "mm", "A4", "")
	doc.SetMargins(margin, margin, margin)
	doc.SetAutoPageBreak(false, 0)
	doc.SetCellMargin(1)
	doc.SetCatalogSort(true)
	doc.SetCompression(false)
	doc.SetCreationDate(s.CheckpointAt)
	doc.SetModificationDate(s.CheckpointAt)
	doc.SetTitle("Dispute pack of "+s.Payment, true)
	doc.SetCreator("khata-ledger", true)
	doc.AliasNbPages("{pages}")
	p := &page{doc: doc, s: s}
	doc.SetFooterFunc(p.footer)
	doc.AddPage()
	p.font("B", 15)
	doc.CellFormat(0, 8, "Dispute pack", "", 1, "L", false, 0, "")
	p.font("B", 11)
	doc.CellFormat(0, 6, written(fmt.Sprintf("%s %s of %s %s: %s", s.Kind, s.Payment, s.Currency, s.Amount, s.Status)), "", 1, "L", false, 0, "")
	doc.Ln(2)
	for _, f := range p.facts() {
		p.fact(f[0], f[1])
	}
	doc.Ln(3)
	p.heading("What happened")
	p.header()
	for i := range lines {
		p.event(&lines[i])
	}
	doc.Ln(3)
	p.points("What this pack proves, if `ledger dispute verify` says VALID", proves())
	p.points("What it does not prove", limits())
	var out bytes.Buffer
	err := doc.Output(&out)
	return out.Bytes(), err
}

type page struct {
	doc *fpdf.Fpdf
	s   *summary
}

func (p *page) facts() [][2]string {
	s := p.s
	all := [][2]string{
		{"Merchant", strings.TrimSpace(s.MerchantName + " (" + s.Merchant + ")")},
		{"Amount", s.Currency + " " + s.Amount + ", commission " + s.Commission + " (of it tax " + s.Tax + ")"},
		{"Brought to the wallet so far", s.Currency + " " + s.Moved},
		{"Merchant's reference", s.Reference}, {"UTR", s.UTR}, {"Gateway", s.Gateway}, {"Gateway's reference", s.BankRef}, {"Beneficiary's bank", s.Bank},
		{"Reason", s.Reason}, {"Made", s.CreatedAt.Format("02 Jan 2006 15:04:05") + " UTC"}, {"Payout batch", s.Batch},
	}
	for _, k := range s.Parties {
		_, says, err := plain(k.Data)
		switch {
		case k.Shown == Erased:
			says = "erased for ever"
		case err != nil:
			says = "see " + personalName
		}
		all = append(all, [2]string{"Customer or beneficiary (" + strings.ReplaceAll(string(k.Shown), "_", " ") + ")", says})
	}
	return append(all,
		[2]string{"Records", fmt.Sprintf("%d of the payment, %d of its batch, %d of this pack's making", s.Records[string(ofPayment)], s.Records[string(ofBatch)], s.Records[string(ofOpening)])},
		[2]string{"Raw messages", fmt.Sprintf("%d as they are, %d masked, %d withheld, %d erased", s.Messages[string(AsIs)], s.Messages[string(Masked)], s.Messages[string(Withheld)], s.Messages[string(Erased)])},
		[2]string{"Callbacks to the merchant", fmt.Sprint(s.Callbacks)},
		[2]string{"Opened by", strings.TrimSuffix(s.OpenedBy+": "+s.OpenedFor, ": ") + " (log position " + s.OpenedAt + ")"},
		[2]string{"Ledger", s.Ledger},
		[2]string{"Signed checkpoint", fmt.Sprintf("%s UTC, %d records in this partition", s.CheckpointAt.Format("02 Jan 2006 15:04:05"), s.Covers)},
		[2]string{"Root", s.Root},
	)
}

// fact writes a name and its value, which may take several lines; nothing for an empty value.
func (p *page) fact(name, value string) {
	if strings.TrimSpace(value) == "" {
		return
	}
	p.font("", 8)
	rows := p.split(value, pageWidth-2*margin-labelWidth)
	p.room(float64(len(rows)) * rowHeight)
	p.doc.SetTextColor(90, 90, 90)
	p.doc.CellFormat(labelWidth, rowHeight, written(name), "", 0, "L", false, 0, "")
	p.doc.SetTextColor(0, 0, 0)
	for _, row := range rows {
		p.doc.SetX(margin + labelWidth)
		p.doc.CellFormat(0, rowHeight, row, "", 1, "L", false, 0, "")
	}
}

func (p *page) heading(what string) {
	p.room(20)
	p.font("B", 10)
	p.doc.CellFormat(0, 6, written(what), "", 1, "L", false, 0, "")
}

func (p *page) header() {
	p.font("B", 8)
	p.doc.SetFillColor(228, 233, 240)
	p.doc.CellFormat(widthTime, 6, "Recorded (UTC)", "TB", 0, "L", true, 0, "")
	p.doc.CellFormat(widthWhat, 6, "Event", "TB", 0, "L", true, 0, "")
	p.doc.CellFormat(widthBalance, 6, "Available balance ("+p.s.Currency+")", "TB", 1, "R", true, 0, "")
}

// event writes a line of the timeline, on a new page when it does not fit on this one.
func (p *page) event(l *line) {
	p.font("", 6)
	notes := p.split(fmt.Sprintf("by %s  |  log %s  |  hash %.16s...", l.Actor, l.Position, l.Hash), widthWhat)
	notes = append(notes, p.split(l.Says, widthWhat)...)
	height := rowHeight + float64(len(notes))*noteHeight + 1
	if p.doc.GetY()+height > bottom {
		p.doc.AddPage()
		p.header()
	}
	y := p.doc.GetY()
	p.font("", 8)
	p.at(margin, y, widthTime, rowHeight, strings.Replace(l.RecordedAt[:len("2006-01-02T15:04:05")], "T", " ", 1), "L")
	p.at(margin+widthTime, y, widthWhat, rowHeight, written(l.Event), "L")
	if l.Before != nil && l.After != nil {
		p.at(margin+widthTime+widthWhat, y, widthBalance, rowHeight, change(l.Before.Available, l.After.Available), "R")
	}
	p.font("", 6)
	p.doc.SetTextColor(90, 90, 90)
	for i, s := range notes {
		p.at(margin+widthTime, y+rowHeight+float64(i)*noteHeight, widthWhat, noteHeight, s, "L")
	}
	p.doc.SetTextColor(0, 0, 0)
	p.doc.SetDrawColor(205, 205, 205)
	p.doc.Line(margin, y+height-0.5, pageWidth-margin, y+height-0.5)
	p.doc.SetDrawColor(0, 0, 0)
	p.doc.SetXY(margin, y+height)
}

func (p *page) points(what string, points []string) {
	p.heading(what)
	for _, s := range points {
		p.font("", 8)
		rows := p.split("-  "+s, pageWidth-2*margin)
		p.room(float64(len(rows)) * rowHeight)
		for _, row := range rows {
			p.doc.CellFormat(0, rowHeight, row, "", 1, "L", false, 0, "")
		}
	}
	p.doc.Ln(2)
}

// room begins a new page where this one has not so much left.
func (p *page) room(height float64) {
	if p.doc.GetY()+height > bottom {
		p.doc.AddPage()
	}
}

// footer is the foot of every page.
func (p *page) footer() {
	p.doc.SetY(bottom + 3)
	p.font("", 6.5)
	p.doc.SetTextColor(90, 90, 90)
	p.doc.CellFormat(0, noteHeight, written("Dispute pack of "+p.s.Payment+", made under the checkpoint of "+p.s.CheckpointAt.Format(timeLayout)), "T", 0, "L", false, 0, "")
	p.doc.SetX(margin)
	p.doc.CellFormat(0, noteHeight, fmt.Sprintf("Page %d of {pages}", p.doc.PageNo()), "", 1, "R", false, 0, "")
	p.doc.CellFormat(0, noteHeight, "This page is a summary. "+manifestName+" is signed and names it; "+timelineName+" and "+inclusionName+" are what can be verified.", "", 1, "L", false, 0, "")
	p.doc.SetTextColor(0, 0, 0)
}

func (p *page) font(style string, points float64) { p.doc.SetFont("Helvetica", style, points) }

// at writes a cell at a place.
func (p *page) at(x, y, width, height float64, text, align string) {
	p.doc.SetXY(x, y)
	p.doc.CellFormat(width, height, text, "", 0, align, false, 0, "")
}

// split breaks a text into lines of a width, in the current font.
func (p *page) split(s string, width float64) (rows []string) {
	for _, l := range p.doc.SplitLines([]byte(written(s)), width-2) {
		rows = append(rows, string(l))
	}
	return rows
}

// written is a text in Windows-1252, the encoding of the fonts that every reader of PDF has. What is in another script stands there as such, with
// where to read it: it would be worse than nothing as question marks.
func written(s string) string {
	var b strings.Builder
	var foreign []rune
	flush := func() {
		if len(foreign) == 0 {
			return
		}
		fmt.Fprintf(&b, "[%d characters of %s: see %s]", len(foreign), script(foreign[0]), summaryName)
		foreign = nil
	}
	runes := []rune(s)
	for i, r := range runes {
		switch {
		case r == ' ' && len(foreign) > 0 && i+1 < len(runes) && !latin(runes[i+1]): // between two words of that script
			foreign = append(foreign, r)
		case latin(r):
			flush()
			b.WriteByte(byte(r))
		case r < ' ' || r == 0x7F:
			flush()
			b.WriteByte(' ')
		default:
			foreign = append(foreign, r)
		}
	}
	flush()
	return b.String()
}

func latin(r rune) bool { return r >= ' ' && r < 0x7F || r >= 0xA0 && r <= 0xFF }

// script names the script of a character.
func script(r rune) string {
	for name, table := range unicode.Scripts { // a character is of one script
		if unicode.Is(table, r) && name != "Common" && name != "Inherited" {
			return name
		}
	}
	return "another script"
}
