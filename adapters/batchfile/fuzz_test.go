package batchfile_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// readGood reads a file and holds what must be true of any: it returns the items without problems.
func readGood(t *testing.T, r *batchfile.Reader, text string) (outcome, []batchfile.Item) {
	t.Helper()
	o := readAll(t, r)
	lines := 1 + strings.Count(text, "\n") + strings.Count(text, "\r")
	var items []batchfile.Item
	refused, last := 0, 1
	for i, it := range o.items {
		if it.Line < last || it.Line > lines {
			t.Fatalf("item %d stands on line %d of %d, behind line %d", it.Index, it.Line, lines, last)
		}
		last = it.Line
		if !o.good[i] {
			refused++
			continue
		}
		if it.Amount.Sign() <= 0 || it.AmountText != "" || it.MobileNo == "" || it.AccountNo == "" || it.IFSC == "" || it.TransferType == "" {
			t.Fatalf("%+v has no problem", it)
		}
		items = append(items, it)
	}
	if o.report.Items != len(o.items) || o.report.Refused != refused || o.report.Total != len(o.all) {
		t.Fatalf("%+v of %d items, %d refused, %d problems", o.report, len(o.items), refused, len(o.all))
	}
	if len(o.items) == 0 && o.failed == nil {
		t.Fatal("a batch without items")
	}
	return o, items
}

// again compares items with what is read where they were written.
func again(t *testing.T, items []batchfile.Item, r *batchfile.Reader) {
	t.Helper()
	if len(items) == 0 {
		return
	}
	o := readAll(t, r)
	if len(o.all) > 0 || o.failed != nil || len(o.items) != len(items) {
		t.Fatalf("%d items were read again as %d: %v, %v", len(items), len(o.items), o.all, o.failed)
	}
	for i, it := range items {
		got := o.items[i]
		it.Index, it.Line = got.Index, got.Line
		if got != it {
			t.Fatalf("%+v\nwas read again as\n%+v", it, got)
		}
	}
}

// asCSV writes items, and asLines too.
func asCSV(t *testing.T, items []batchfile.Item) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := batchfile.NewSubmission(&b, batchfile.DefaultColumns())
	for i := range items {
		if err := w.Write(&items[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func asLines(t *testing.T, items []batchfile.Item) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := json.NewEncoder(&b)
	for _, it := range items {
		if err := w.Encode(map[string]any{
			"mobile_no": it.MobileNo, "beneficiary_name": it.BeneficiaryName, "account_no": it.AccountNo, "ifsc": it.IFSC, "bank_name": it.BankName,
			"amount": json.Number(it.Amount.Fixed()), "transfer_type": it.TransferType, "partner_request_id": it.PartnerRequestID,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

// Whatever a sheet holds: its good items are those that a reader of strict CSV finds, and written out they are read again as they were.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		header + row("a") + row("b"), "\ufeff" + header, strings.ReplaceAll(header+row("a"), ",", ";"), header + row("'=1"), header + strings.Replace(row("a"), "1500.00", `"₹1,00,000.5"`, 1),
		strings.ReplaceAll(header+row("a"), "\n", "\r"), header + strings.Replace(row("a"), "Asha", "\"A\"\"s\r\nha\"", 1), header + ",,,,\n\n" + row("x") + row("x"),
		header + "\"", header + "1.2E+14,,,,,,,\n", "Account No,amount\n1,2\n", "\xff\xfe", header + row("") + row(""),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, items := readGood(t, batchfile.NewCSV(strings.NewReader(text), batchfile.ReadOptions{}), text)
		again(t, items, batchfile.NewCSV(asCSV(t, items), batchfile.ReadOptions{}))
		again(t, items, batchfile.NewNDJSON(asLines(t, items), batchfile.ReadOptions{}))
		if !strings.HasPrefix(text, header) || strings.ContainsAny(text, "\r") || o.failed != nil {
			return
		}
		strict := csv.NewReader(strings.NewReader(text))
		strict.FieldsPerRecord = -1
		rows, err := strict.ReadAll()
		if err != nil {
			return
		}
		var lines [][]string
		for _, cells := range rows[1:] {
			if strings.TrimSpace(strings.Join(cells, "")) != "" {
				lines = append(lines, cells)
			}
		}
		if len(lines) != len(o.items) {
			t.Fatalf("%d items, strictly %d lines", len(o.items), len(lines))
		}
		for _, it := range items {
			cells := lines[it.Index-1]
			for i, value := range []string{it.MobileNo, it.BeneficiaryName, it.AccountNo, it.IFSC, it.BankName} {
				if want := strings.TrimSpace(cells[i]); value != want && !strings.HasPrefix(want, "'") {
					t.Fatalf("item %d has %q where %q stands", it.Index, value, want)
				}
			}
		}
	})
}

// Whatever lines hold: each that is not blank is one item, and the good ones are what encoding/json reads.
func FuzzNDJSON(f *testing.F) {
	for _, seed := range []string{
		object("a") + "\n" + object("b"), "\n\n{}\r\n[]\n", object(`\ud83d\ude42`), object(`\ud83d`), strings.Replace(object("a"), "1500.00", `"1e5"`, 1), `{"amount":1,"amount":2}`, "\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, items := readGood(t, batchfile.NewNDJSON(strings.NewReader(text), batchfile.ReadOptions{}), text)
		again(t, items, batchfile.NewNDJSON(asLines(t, items), batchfile.ReadOptions{}))
		if o.failed != nil {
			return
		}
		var lines []string
		for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
			if strings.TrimSpace(line) != "" {
				lines = append(lines, line)
			}
		}
		if len(lines) != len(o.items) {
			t.Fatalf("%d items of %d lines", len(o.items), len(lines))
		}
		for _, it := range items {
			same(t, it, []byte(lines[it.Index-1]))
		}
	})
}

// same compares an item with what encoding/json reads where it stands.
func same(t *testing.T, it batchfile.Item, raw []byte) {
	t.Helper()
	var want map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&want); err != nil {
		t.Fatalf("%s was taken: %v", raw, err)
	}
	for name, value := range map[string]string{
		"mobile_no": it.MobileNo, "beneficiary_name": it.BeneficiaryName, "account_no": it.AccountNo, "ifsc": it.IFSC, "bank_name": it.BankName,
		"transfer_type": it.TransferType, "partner_request_id": it.PartnerRequestID,
	} {
		if text, _ := want[name].(string); text != value {
			t.Fatalf("%s is %q in %s", name, value, raw)
		}
	}
	text, ok := want["amount"].(string)
	if !ok {
		text = want["amount"].(json.Number).String()
	}
	if whole, fraction, _ := strings.Cut(text, "."); it.Amount.Fixed() != whole+"."+(fraction + "00")[:2] {
		t.Fatalf("amount %s in %s", it.Amount, raw)
	}
}

// Whatever a body holds: what is taken is JSON, and its items are those that encoding/json reads.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		content("json", 3), `{"batch_ref":"x","items":[` + object("a") + `],"mode":"atomic"}`, `{"items":[]}`, `{"items":[{},1]}`, `{"items":[` + object("a") + `,]}`, `{"mode":"x","items":[` + object("a") + `]} 1`,
		`{"items":[` + object("a") + " " + object("b") + `]}`, "{\"items\":[\n\n" + object("a") + "\n,\n" + object("a") + "]}", "\ufeff[]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, items := readGood(t, batchfile.NewJSON(strings.NewReader(text), batchfile.ReadOptions{}), text)
		again(t, items, batchfile.NewNDJSON(asLines(t, items), batchfile.ReadOptions{}))
		if o.failed != nil {
			return
		}
		var body struct{ Items []json.RawMessage }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &body); err != nil || len(body.Items) != len(o.items) {
			t.Fatalf("%d items of %d: %v", len(o.items), len(body.Items), err)
		}
		for _, it := range items {
			same(t, it, body.Items[it.Index-1])
		}
	})
}

// Whatever an item's texts are, a sheet of results is XML in a ZIP archive, and a CSV has its rows.
func FuzzResults(f *testing.F) {
	f.Add("=1+1", "\x00\x01_x0041_", "\"\r\n,;\t", "<&>")
	f.Fuzz(func(t *testing.T, name, account, bank, reason string) {
		it := batchfile.Item{Index: 1, BeneficiaryName: name, AccountNo: account, BankName: bank, AmountText: reason}
		var book, sheet bytes.Buffer
		for b, open := range map[*bytes.Buffer]func() *batchfile.Results{
			&book:  func() *batchfile.Results { return batchfile.NewXLSXResults(&book, batchfile.DefaultColumns()) },
			&sheet: func() *batchfile.Results { return batchfile.NewCSVResults(&sheet, batchfile.DefaultColumns()) },
		} {
			w := open()
			if err := w.Write(&it, batchfile.Outcome{FailureReason: reason}); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil || b.Len() == 0 {
				t.Fatal(err)
			}
		}
		parts(t, book.Bytes())
		rows, err := csv.NewReader(&sheet).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 12 {
			t.Fatalf("%q, %v", rows, err)
		}
		for _, cell := range rows[1] {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Fatalf("a cell begins with %q", cell[0])
			}
		}
	})
}
