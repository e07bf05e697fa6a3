package batchfile_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// sheetXML is what this package needs of a sheet, read by another XML reader.
type sheetXML struct {
	Rows []struct {
		R     int `xml:"r,attr"`
		Cells []struct {
			R     string `xml:"r,attr"`
			Type  string `xml:"t,attr"`
			Style string `xml:"s,attr"`
			Value string `xml:"v"`
			Text  string `xml:"is>t"`
		} `xml:"c"`
	} `xml:"sheetData>row"`
}

// parts reads a workbook; every part must be XML.
func parts(t testing.TB, b []byte) map[string]string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range archive.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(f.Name, err)
		}
		for d := xml.NewDecoder(bytes.NewReader(content)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", f.Name, err, content)
			}
		}
		all[f.Name] = string(content)
	}
	return all
}

func TestXLSXResults(t *testing.T) {
	var b bytes.Buffer
	c := columns(t, "Amount", "Account No", "beneficiary_name", "mobile_no", "ifsc", "Bank Name", "transfer_type", "Partner Request Id")
	w := batchfile.NewXLSXResults(&b, c)
	all := nasty()
	all[1].BankName = "a<b>&c\x01\ufffe_x0041_ _x41_ \t\n🙂"
	for i, o := range []batchfile.Outcome{
		{TransactionID: "txn_0000000000000001", Status: "success", UTR: "412345678901"}, {Status: "rejected", FailureReason: "=cmd|' /C calc'!A0"},
	} {
		if err := w.Write(&all[i], o); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files := parts(t, b.Bytes())
	for _, name := range []string{"[Content_Types].xml", "_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/styles.xml", "xl/worksheets/sheet1.xml"} {
		if files[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	if len(files) != 6 {
		t.Errorf("parts %d", len(files))
	}
	var sheet sheetXML
	if err := xml.Unmarshal([]byte(files["xl/worksheets/sheet1.xml"]), &sheet); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, row := range sheet.Rows {
		if row.R != i+1 {
			t.Errorf("row %d is numbered %d", i+1, row.R)
		}
		for _, c := range row.Cells {
			got = append(got, c.R+" "+c.Style+" "+c.Type+" "+c.Value+c.Text)
		}
	}
	want := []string{
		"A1 3 inlineStr Amount", "B1 3 inlineStr Account No", "C1 3 inlineStr beneficiary_name", "D1 3 inlineStr mobile_no", "E1 3 inlineStr ifsc",
		"F1 3 inlineStr Bank Name", "G1 3 inlineStr transfer_type", "H1 3 inlineStr Partner Request Id", "I1 3 inlineStr transaction_id",
		"J1 3 inlineStr status", "K1 3 inlineStr utr", "L1 3 inlineStr failure_reason",
		"A2 1  100000.50", "B2 2 inlineStr 00123456789012", `C2 4 inlineStr =HYPERLINK("http://x";"y")`, "D2 2 inlineStr 9876543210", "E2 2 inlineStr SBIN0001234",
		"F2 4 inlineStr -2+3", "G2 2 inlineStr 5", "H2 4 inlineStr @SUM(1)", "I2 2 inlineStr txn_0000000000000001", "J2 2 inlineStr success", "K2 2 inlineStr 412345678901",
		"A3 4 inlineStr -5", "B3 2 inlineStr 1.23E+14", "C3 2 inlineStr Verma, \"Asha\"_x000D_\nand Ravi", "D3 4 inlineStr +919876543210", "E3 4 inlineStr ＝x",
		"F3 2 inlineStr a<b>&c_x0001__xFFFE__x005F_x0041_ _x41_ \t\n🙂", "G3 2 inlineStr  5", "H3 4 inlineStr \tx", "J3 2 inlineStr rejected", "L3 4 inlineStr =cmd|' /C calc'!A0",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, cell := range sheet.Rows[1].Cells { // styles are there, and say what the cells need
		if n, err := strconv.Atoi(cell.Style); err != nil || n >= strings.Count(files["xl/styles.xml"], "<xf ")-1 {
			t.Errorf("style %s of %s", cell.Style, cell.R)
		}
	}
	formats := regexp.MustCompile(`<cellXfs.*</cellXfs>`).FindString(files["xl/styles.xml"])
	var ids []string
	for _, m := range regexp.MustCompile(`<xf numFmtId="(\d+)"`).FindAllStringSubmatch(formats, -1) {
		ids = append(ids, m[1])
	}
	if strings.Join(ids, " ") != "0 2 49 49 49 49 164 165 4 166 3 167 1 168 169" {
		t.Errorf("number formats %v", ids)
	}
}

// What a sheet cannot hold is an error, not a shorter text.
func TestXLSXLimits(t *testing.T) {
	it := nasty()[0]
	for text, good := range map[string]bool{
		strings.Repeat("a", 32767): true, strings.Repeat("अ", 32767): true, strings.Repeat("🙂", 16383): true,
		strings.Repeat("a", 32768): false, strings.Repeat("🙂", 16384): false,
	} {
		it.BankName = text
		w := batchfile.NewXLSXResults(io.Discard, batchfile.DefaultColumns())
		err := w.Write(&it, batchfile.Outcome{})
		if good != (err == nil) || good != (w.Close() == nil) {
			t.Errorf("%d bytes: %v", len(text), err)
		}
	}
}
