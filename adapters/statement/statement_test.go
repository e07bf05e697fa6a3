package statement_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/statement"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

const merchant = "mer_0000000000000001"

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func kolkata(t testing.TB) *time.Location {
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// document is a statement that opens with an amount, and n lines of it: credits of 1,234.50 and debits of 7.00 in turn.
func document(t testing.TB, n int) (*statement.Document, iter.Seq2[projections.StatementLine, error]) {
	zone := kolkata(t)
	d := &statement.Document{
		Statement: &projections.Statement{
			StatementFilter: projections.StatementFilter{
				Account: "merchant:" + merchant + ":available", Currency: money.INR, From: time.Date(2026, 3, 1, 0, 0, 0, 0, zone), To: time.Date(2026, 4, 1, 0, 0, 0, 0, zone),
			},
			Merchant: merchant, Opening: inr("1200000.00"), Locked: inr("55.00"), Owed: inr("0.00"),
			Heads: []eventstore.Head{{Partition: 2, Seq: 77, Hash: eventstore.Hash{0xab, 0xcd}}},
		},
		MerchantName: "=Asha & Söhne (“Exports”)", Zone: zone, GeneratedAt: time.Date(2026, 4, 2, 4, 30, 0, 0, time.UTC),
	}
	balance := d.Opening
	for i := range n {
		balance = balance.Add(change(i))
	}
	d.Closing = balance
	return d, func(yield func(projections.StatementLine, error) bool) {
		balance := d.Opening
		for i := range n {
			balance = balance.Add(change(i))
			if !yield(lineOf(i, balance), nil) {
				return
			}
		}
	}
}

func change(i int) money.Amount {
	if i%2 == 0 {
		return inr("1234.50")
	}
	return inr("-7.00")
}

func lineOf(i int, balance money.Amount) projections.StatementLine {
	at := time.Date(2026, 3, 1, 20, 0, 0, 123456000, time.UTC).Add(time.Duration(i) * time.Second)
	l := projections.StatementLine{
		Position: eventstore.Position{Partition: 2, Seq: int64(i + 1)}, Line: 1, RecordedAt: at, ValueAt: at.Add(-48 * time.Hour), Balance: balance,
		Transaction: fmt.Sprintf("txn_%016d", i), Merchant: merchant, Debit: inr("0.00"), Credit: inr("0.00"), Amount: inr("7.00"), Commission: inr("0.00"),
	}
	if i%2 == 0 {
		l.Type, l.Credit, l.Reason = "wallet.adjusted", change(i), "=SUM(A1), “of March”"
		return l
	}
	l.Type, l.Debit, l.BankName, l.AccountLast4, l.Reference, l.UTR = "payout.initiated", change(i).Neg(), "HDFC Bank", "4321", fmt.Sprint("-REQ", i), fmt.Sprintf("%012d", i)
	return l
}

func written(t testing.TB, f statement.Format, n int) string {
	t.Helper()
	d, lines := document(t, n)
	var b bytes.Buffer
	if err := statement.Write(&b, f, d, lines); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCSV(t *testing.T) {
	want := strings.Join([]string{
		"row,recorded_at,value_at,position,transaction_id,type,narration,reference,utr,debit,credit,balance",
		`about,,,,,,Merchant,"'=Asha & Söhne (“Exports”)",,,,`,
		"about,,,,,,Merchant id," + merchant + ",,,,",
		"about,,,,,,Account,merchant:" + merchant + ":available,,,,",
		"about,,,,,,Currency,INR,,,,",
		"about,,,,,,Period,2026-03-01 to 2026-03-31 (Asia/Kolkata),,,,",
		"about,,,,,,Lines by,time of recording,,,,",
		"about,,,,,,Balances are,credits less debits,,,,",
		"about,,,,,,Generated at,2026-04-02T10:00:00+05:30,,,,",
		"about,,,,,,Stands on log position 2:77,abcd" + strings.Repeat("0", 60) + ",,,,",
		"opening,,,,,,Opening balance,,,,,1200000.00",
		`line,2026-03-02T01:30:00.123456+05:30,2026-02-28T01:30:00.123456+05:30,2:1,txn_0000000000000000,wallet.adjusted,"Adjustment: =SUM(A1), “of March”",,,,1234.50,1201234.50`,
		`line,2026-03-02T01:30:01.123456+05:30,2026-02-28T01:30:01.123456+05:30,2:2,txn_0000000000000001,payout.initiated,Payout to HDFC Bank ****4321,"'-REQ1",000000000001,7.00,,1201227.50`,
		"closing,,,,,,Closing balance,,,,,1201227.50",
		`locked,,,,,,"Locked in open payouts, batches and holds",,,,,55.00`,
		"owed,,,,,,Owed to the platform,,,,,0.00",
		"",
	}, "\r\n")
	got := written(t, statement.CSV, 2)
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if rows, err := csv.NewReader(strings.NewReader(got)).ReadAll(); err != nil || len(rows) != 16 {
		t.Errorf("%d rows: %v", len(rows), err)
	}
}

func TestJSON(t *testing.T) {
	for _, n := range []int{0, 1, 5} {
		var got struct {
			Merchant string `json:"merchant_id"`
			Name     string `json:"merchant_name"`
			From, To time.Time
			Log      []struct{ Position, Hash string }
			Opening  money.Amount `json:"opening_balance"`
			Lines    []struct {
				Debit, Credit, Balance *money.Amount
				Narration, UTR         string
				Recorded               time.Time `json:"recorded_at"`
			}
			Count   int          `json:"line_count"`
			Closing money.Amount `json:"closing_balance"`
			Locked  money.Amount `json:"locked_balance"`
		}
		text := written(t, statement.JSON, n)
		decoder := json.NewDecoder(strings.NewReader(text))
		if err := decoder.Decode(&got); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if decoder.More() {
			t.Errorf("more than one object: %s", text)
		}
		d, _ := document(t, n)
		if got.Merchant != merchant || got.Name != d.MerchantName || !got.From.Equal(d.From) || !got.To.Equal(d.To) || len(got.Lines) != n || got.Count != n ||
			got.Closing.Short() != d.Closing.Short() || got.Locked.Short() != "55" || got.Log[0].Position != "2:77" || !strings.HasPrefix(got.Log[0].Hash, "abcd00") {
			t.Errorf("%d lines: %s", n, text)
		}
		if n > 1 && (got.Lines[1].Credit != nil || got.Lines[1].Debit.Short() != "7" || got.Lines[1].UTR != "000000000001") {
			t.Errorf("line 2: %+v", got.Lines[1])
		}
	}
}

// cells are those of a sheet, as `A1 style value`.
func cells(t *testing.T, book, part string) []string {
	t.Helper()
	archive, err := zip.NewReader(strings.NewReader(book), int64(len(book)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := archive.Open(part)
	if err != nil {
		t.Fatal(err)
	}
	var sheet struct {
		Rows []struct {
			Cells []struct {
				R     string `xml:"r,attr"`
				Style string `xml:"s,attr"`
				Type  string `xml:"t,attr"`
				Value string `xml:"v"`
				Text  string `xml:"is>t"`
			} `xml:"c"`
		} `xml:"sheetData>row"`
	}
	if err := xml.NewDecoder(f).Decode(&sheet); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, row := range sheet.Rows {
		for _, c := range row.Cells {
			if (c.Type == "inlineStr") != (c.Value == "") {
				t.Errorf("cell %s is of type %q with value %q", c.R, c.Type, c.Value)
			}
			found = append(found, c.R+" "+c.Style+" "+c.Value+c.Text)
		}
	}
	return found
}

// Amounts are numbers in groups of lakhs (style 7), times are dates (style 6): 2 March 2026 is day 46083.
func TestXLSX(t *testing.T) {
	book := written(t, statement.XLSX, 2)
	lines := strings.Join(cells(t, book, "xl/worksheets/sheet1.xml"), "\n")
	for _, want := range []string{
		"A1 3 row", "A2 2 opening\nG2 2 Opening balance\nL2 7 1200000.00",
		"A3 2 line\nB3 6 46083.06250142\nC3 6 46081.06250142\nD3 2 2:1\nE3 2 txn_0000000000000000\nF3 2 wallet.adjusted\nG3 2 Adjustment: =SUM(A1), “of March”\nK3 7 1234.50\nL3 7 1201234.50",
		"G4 2 Payout to HDFC Bank ****4321\nH4 4 -REQ1\nI4 2 000000000001\nJ4 7 7.00\nL4 7 1201227.50", "A5 2 closing", "A7 2 owed",
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %q in\n%s", want, lines)
		}
	}
	about := strings.Join(cells(t, book, "xl/worksheets/sheet2.xml"), "\n")
	for _, want := range []string{"B2 4 =Asha & Söhne (“Exports”)", "Stands on log position 2:77", "2 Closing balance\nB14 7 1201227.50"} {
		if !strings.Contains(about, want) {
			t.Errorf("no %q in\n%s", want, about)
		}
	}
}

// pages are the texts of a PDF's pages, a line for each piece of text. All of it must begin on the paper.
func pages(t *testing.T, file string) []string {
	t.Helper()
	if !strings.HasPrefix(file, "%PDF-1.") || !strings.HasSuffix(file, "%%EOF\n") {
		t.Fatalf("not a PDF: %.20q ... %q", file, file[max(0, len(file)-20):])
	}
	var found []string
	placed := regexp.MustCompile(`BT ([-\d.]+) ([-\d.]+) Td`)
	shown := regexp.MustCompile(`\(((?:[^()\\]|\\.)*)\) ?Tj`)
	for _, stream := range regexp.MustCompile(`(?s)/Filter /FlateDecode /Length \d+>>\nstream\n(.*?)\nendstream`).FindAllStringSubmatch(file, -1) {
		r, err := zlib.NewReader(strings.NewReader(stream[1]))
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range placed.FindAllStringSubmatch(string(content), -1) {
			x, err := strconv.ParseFloat(m[1], 64)
			y, err2 := strconv.ParseFloat(m[2], 64)
			if err := errors.Join(err, err2); err != nil || x < 30 || x > 570 || y < 25 || y > 820 {
				t.Errorf("page %d: text at %s, %s points: %v", len(found)+1, m[1], m[2], err)
			}
		}
		var texts []string
		for _, m := range shown.FindAllStringSubmatch(string(content), -1) {
			texts = append(texts, strings.NewReplacer(`\(`, "(", `\)`, ")", `\\`, `\`).Replace(m[1]))
		}
		if len(texts) > 0 {
			found = append(found, strings.Join(texts, "\n"))
		}
	}
	return found
}

// Each page carries its totals and the balance forward, to the next one; and says which of how many it is and what it stands on.
func TestPDF(t *testing.T) {
	const lines = 100
	all := pages(t, written(t, statement.PDF, lines))
	if len(all) < 3 || len(all) > 6 {
		t.Fatalf("%d pages", len(all))
	}
	carried, count := "", 0
	for i, page := range all {
		for _, want := range []string{
			fmt.Sprintf("Page %d of %d", i+1, len(all)), "Log position 2:77, hash abcd" + strings.Repeat("0", 60), "Balance (INR)", "\nPage total\n",
			"Generated at 02 Apr 2026 10:00:00 +05:30",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("page %d has no %q:\n%s", i+1, want, page)
			}
		}
		n := strings.Count(page, "\nvalue ")
		count += n
		credits, debits := inr("0.00"), inr("0.00")
		for k := count - n; k < count; k++ {
			if c := change(k); c.Sign() > 0 {
				credits = credits.Add(c)
			} else {
				debits = debits.Sub(c)
			}
		}
		if want := "\nPage total\n" + debits.Grouped() + "\n" + credits.Grouped() + "\n"; !strings.Contains(page, want) {
			t.Errorf("page %d has no %q:\n%s", i+1, want, page)
		}
		if i > 0 && !strings.Contains(page, "\nBrought forward\n"+carried+"\n") {
			t.Errorf("page %d does not begin with %s:\n%s", i+1, carried, page)
		}
		if m := regexp.MustCompile(`\nCarried forward\n(.*)\n`).FindStringSubmatch(page); m != nil {
			carried = m[1]
		} else if i < len(all)-1 {
			t.Errorf("page %d carries nothing forward", i+1)
		}
	}
	if count != lines {
		t.Errorf("%d lines", count)
	}
	d, _ := document(t, lines)
	for page, wants := range map[int][]string{
		0: {
			"Statement of account", "=Asha & S\xf6hne (\x93Exports\x94)", "Opening balance\n12,00,000.00", "2026-03-01 to 2026-03-31 (Asia/Kolkata)",
			"02 Mar 2026\nPayout to HDFC Bank ****4321\n7.00\n12,01,227.50\nvalue 28 Feb 2026\ntxn_0000000000000001  |  Ref -REQ1  |  UTR 000000000001  |  Log 2:2",
		},
		len(all) - 1: {"Total of 100 lines\n350.00\n61,725.00", "Closing balance\n" + d.Closing.Grouped(), "Owed to the platform\n0.00"},
	} {
		for _, want := range wants {
			if !strings.Contains(all[page], want) {
				t.Errorf("page %d has no %q:\n%s", page+1, want, all[page])
			}
		}
	}
}

// Nothing is drawn below the foot, whatever the texts and however many partitions there are.
func TestPDFOfMuchText(t *testing.T) {
	d, lines := document(t, 40)
	for p := range 100 {
		d.Heads = append(d.Heads, eventstore.Head{Partition: p, Seq: int64(p)})
	}
	long := func(yield func(projections.StatementLine, error) bool) {
		for l, err := range lines {
			l.Type, l.Reason = "wallet.adjusted", strings.Repeat("अ long reason ", 35)
			if !yield(l, err) {
				return
			}
		}
	}
	var b bytes.Buffer
	if err := statement.Write(&b, statement.PDF, d, long); err != nil {
		t.Fatal(err)
	}
	all := pages(t, b.String())
	if !strings.Contains(all[0], "SHA-256 of the log positions and hashes listed at the beginning: ") || strings.Count(strings.Join(all, "\n"), "Adjustment: ? long reason") != 40 {
		t.Errorf("%d pages, the first is\n%s", len(all), all[0])
	}
}

func TestTooLongForAPDF(t *testing.T) {
	d, lines := document(t, statement.MaxPDFLines+1)
	var b bytes.Buffer
	err := statement.Write(&b, statement.PDF, d, lines)
	if !errors.Is(err, statement.ErrTooLong) || !strings.Contains(err.Error(), "--format csv") || b.Len() > 0 {
		t.Errorf("%d bytes: %v", b.Len(), err)
	}
}

// What does not add up is told with its line, in every format, and so is what the lines or the writer fail with.
func TestWhatDoesNotAddUp(t *testing.T) {
	broken := errors.New("the database is gone")
	full := errors.New("the disk is full")
	for _, f := range []statement.Format{statement.CSV, statement.XLSX, statement.PDF, statement.JSON} {
		d, lines := document(t, 9)
		wrong := func(yield func(projections.StatementLine, error) bool) {
			for l, err := range lines {
				if l.Position.Seq == 5 {
					l.Balance = l.Balance.Add(inr("0.01"))
				}
				if !yield(l, err) {
					return
				}
			}
		}
		if err := statement.Write(io.Discard, f, d, wrong); !errors.Is(err, statement.ErrUnbalanced) || !strings.Contains(err.Error(), "record 2:5, line 1") {
			t.Errorf("%s, a wrong balance: %v", f, err)
		}
		d.Closing = d.Closing.Add(inr("0.01"))
		if err := statement.Write(io.Discard, f, d, lines); !errors.Is(err, statement.ErrUnbalanced) || !strings.Contains(err.Error(), "9 lines") {
			t.Errorf("%s, a wrong closing: %v", f, err)
		}
		failing := func(yield func(projections.StatementLine, error) bool) {
			for l := range lines {
				if !yield(l, nil) {
					return
				}
			}
			yield(projections.StatementLine{}, broken)
		}
		if err := statement.Write(io.Discard, f, d, failing); !errors.Is(err, broken) {
			t.Errorf("%s, lines that end early: %v", f, err)
		}
		d, lines = document(t, 5000)
		if err := statement.Write(&disk{10_000, full}, f, d, lines); !errors.Is(err, full) {
			t.Errorf("%s, a full disk: %v", f, err)
		}
	}
	d, lines := document(t, 1)
	if err := statement.Write(io.Discard, "odt", d, lines); err == nil {
		t.Error("written as odt")
	}
}

// disk takes so many bytes.
type disk struct {
	room int
	full error
}

func (d *disk) Write(p []byte) (int, error) {
	if d.room -= len(p); d.room < 0 {
		return 0, d.full
	}
	return len(p), nil
}

// live is the heap that is reachable.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestWritingNeedsLittleMemory(t *testing.T) {
	const n = 200_000
	for _, f := range []statement.Format{statement.CSV, statement.XLSX, statement.JSON} {
		d, lines := document(t, n)
		before := live()
		peak := uint64(0)
		watched := func(yield func(projections.StatementLine, error) bool) {
			for l, err := range lines {
				if l.Position.Seq%50_000 == 0 {
					peak = max(peak, live())
				}
				if !yield(l, err) {
					return
				}
			}
		}
		if err := statement.Write(io.Discard, f, d, watched); err != nil {
			t.Fatal(err)
		}
		if grown := peak - min(peak, before); grown > 4<<20 {
			t.Errorf("%s: the heap has grown by %d bytes", f, grown)
		}
	}
}

// Every event that moves money has words of its own, on every account that it moves.
func TestNarration(t *testing.T) {
	l := projections.StatementLine{
		Amount: inr("100000.00"), Commission: inr("10.00"), BankName: "HDFC Bank", AccountLast4: "4321", Reason: "account_closed", Batch: "bat_1",
	}
	const available = "merchant:" + merchant + ":available"
	for _, c := range []struct{ account, typ, want string }{
		{available, "payin.succeeded", "Payin of 1,00,000.00 less commission 10.00"},
		{"gateway:sandbox:receivable", "payin.succeeded", "Payin received"},
		{"platform:commission", "payin.succeeded", "Commission: Payin received"},
		{"suspense", "payin.suspended", "Payment that fits no payin, put in suspense: account closed"},
		{available, "suspense.credited", "Payment from suspense credited: account closed"},
		{"suspense", "suspense.refunded", "Payment from suspense sent back: account closed"},
		{available, "payout.initiated", "Payout to HDFC Bank ****4321, 1,00,000.00 with commission 10.00"},
		{"merchant:x:locked", "payout.initiated", "Payout to HDFC Bank ****4321"},
		{"tax:gst", "payout.succeeded", "GST on commission: Payout to HDFC Bank ****4321, paid"},
		{available, "payout.failed", "Payout to HDFC Bank ****4321, not sent and given back: account closed"},
		{available, "payout.refunded", "Payout to HDFC Bank ****4321, not paid and given back: account closed"},
		{available, "payout.returned", "Payout to HDFC Bank ****4321, returned by the bank: account closed"},
		{available, "payout.paid_after_refund", "Payout to HDFC Bank ****4321, paid after it was given back"},
		{available, "wallet.adjusted", "Adjustment: account closed"},
		{available, "wallet.recovered", "Recovery of what was owed"},
		{available, "wallet.held", "Hold: account closed"},
		{available, "wallet.released", "Hold released: account closed"},
		{available, "batch.held", "Held for payout batch bat_1"},
		{available, "batch.released", "Released from payout batch bat_1"},
		{available, "dispute.opened", "Dispute opened, held: account closed"},
		{available, "dispute.escalated", "Dispute escalated, held: account closed"},
		{available, "dispute.won", "Dispute won, released: account closed"},
		{available, "dispute.lost", "Dispute lost: account closed"},
		{available, "dispute.reversed", "Lost dispute given back: account closed"},
		{available, "dispute.closed", "Dispute closed, released: account closed"},
		{available, "refund.initiated", "Refund to the customer, held: account closed"},
		{"tax:gst", "refund.succeeded", "GST on commission: Refund to the customer, made"},
		{available, "refund.failed", "Refund to the customer, not made and given back: account closed"},
		{available, "refund.paid_after_failure", "Refund to the customer, made after it was given back"},
		{available, "meteor.struck", "meteor.struck"},
	} {
		l.Type = c.typ
		if got := statement.Narration(c.account, &l); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.typ, c.account, got, c.want)
		}
	}
	l.Type, l.BankName, l.Commission = "payout.initiated", "", inr("0.00")
	if got := statement.Narration(available, &l); got != "Payout to a bank account ****4321" {
		t.Error(got)
	}
}
