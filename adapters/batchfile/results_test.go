package batchfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/batchfile"
	"github.com/khata-ledger/khata/domain/money"
)

// nasty is an item whose texts spreadsheets would run, and one that could not be read.
func nasty() []batchfile.Item {
	return []batchfile.Item{
		{
			Index: 1, MobileNo: "9876543210", BeneficiaryName: `=HYPERLINK("http://x";"y")`, AccountNo: "00123456789012", IFSC: "SBIN0001234",
			BankName: "-2+3", Amount: money.MustParse("100000.5", money.INR), TransferType: "5", PartnerRequestID: "@SUM(1)",
		},
		{
			Index: 2, MobileNo: "+919876543210", BeneficiaryName: "Verma, \"Asha\"\r\nand Ravi", AccountNo: "1.23E+14", IFSC: "＝x", BankName: "'=x",
			Amount: money.Zero(money.INR), AmountText: "-5", TransferType: " 5", PartnerRequestID: "\tx",
		},
	}
}

func columns(t testing.TB, headers ...string) batchfile.Columns {
	t.Helper()
	c, problems := batchfile.ParseColumns(headers)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

func TestCSVResults(t *testing.T) {
	var b bytes.Buffer
	w := batchfile.NewCSVResults(&b, columns(t, "Amount", "Account No", "beneficiary_name", "mobile_no", "ifsc", "Bank Name", "transfer_type", "Partner Request Id"))
	all := nasty()
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
	want := "Amount,Account No,beneficiary_name,mobile_no,ifsc,Bank Name,transfer_type,Partner Request Id,transaction_id,status,utr,failure_reason\r\n" +
		`100000.50,00123456789012,"'=HYPERLINK(""http://x"";""y"")",9876543210,SBIN0001234,"'-2+3",5,"'@SUM(1)",txn_0000000000000001,success,412345678901,` + "\r\n" +
		`"'-5",1.23E+14,"Verma, ""Asha""` + "\r\n" + `and Ravi","'+919876543210","'＝x","''=x"," 5","'` + "\t" + `x",,rejected,,"'=cmd|' /C calc'!A0"` + "\r\n"
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
	rows, err := csv.NewReader(&b).ReadAll() // another reader takes it apart alike
	if err != nil || len(rows) != 3 || rows[2][2] != "Verma, \"Asha\"\nand Ravi" {
		t.Errorf("%q, %v", rows, err)
	}
}

// The columns of a file are reported as it has them, and results have them again. A name that would be a formula is text in both formats,
// and is read again as the name that it is.
func TestSubmittedColumns(t *testing.T) {
	const sheet = "'-Amount, Account No. ,@x\n"
	if _, problems := batchfile.ParseColumns(strings.Split(strings.TrimSpace(sheet), ",")); len(problems) == 0 || problems[0].Column != 3 {
		t.Errorf("%v", problems)
	}
	for _, name := range []string{"-Amount", "'-Amount", "-_amount"} {
		header := name + ", Account No. ,beneficiary_name,mobile_no,ifsc,Bank Name,transfer_type"
		in := batchfile.NewCSV(strings.NewReader(header+"\n1500,123456789012,Asha,9876543210,SBIN0001234,SBI,5\n"), batchfile.ReadOptions{})
		o := readAll(t, in)
		wantProblems(t, o)
		c := in.Columns()
		if len(c) != 7 || c[0] != (batchfile.Column{Field: "amount", Header: strings.TrimPrefix(name, "'")}) || c[1] != (batchfile.Column{Field: "account_no", Header: "Account No."}) {
			t.Fatalf("%+v", c)
		}
		var b bytes.Buffer
		w := batchfile.NewCSVResults(&b, c)
		if err := errors.Join(w.Write(&o.items[0], batchfile.Outcome{Status: "pending"}), w.Close()); err != nil {
			t.Fatal(err)
		}
		want := `"'` + c[0].Header + `",Account No.,beneficiary_name,mobile_no,ifsc,Bank Name,transfer_type,transaction_id,status,utr,failure_reason` + "\r\n" +
			"1500.00,123456789012,Asha,9876543210,SBIN0001234,SBI,5,,pending,,\r\n"
		if b.String() != want {
			t.Errorf("%q\nwant\n%q", b.String(), want)
		}
		b.Reset()
		if err := batchfile.NewXLSXResults(&b, c).Close(); err != nil {
			t.Fatal(err)
		}
		if first := parts(t, b.Bytes())["xl/worksheets/sheet1.xml"]; !strings.Contains(first, `<c r="A1" s="5" t="inlineStr">`) || !strings.Contains(first, `<c r="B1" s="3" t="inlineStr">`) {
			t.Errorf("%s", first)
		}
	}
}

// What was read and written is read again as it was.
func TestSubmission(t *testing.T) {
	var b bytes.Buffer
	w := batchfile.NewSubmission(&b, batchfile.DefaultColumns())
	all := nasty()
	all[1].TransferType = "5"
	for i := range all {
		if err := w.Write(&all[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o := readAll(t, batchfile.NewCSV(&b, batchfile.ReadOptions{}))
	for i := range all {
		all[i].Line = o.items[i].Line
		if brief(o.items[i]) != brief(all[i]) {
			t.Errorf("%s\nwas\n%s", brief(o.items[i]), brief(all[i]))
		}
	}
}

func TestTemplate(t *testing.T) {
	var b bytes.Buffer
	if err := batchfile.WriteTemplate(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), batchfile.ByteOrderMark+header[:len(header)-1]+"\r\n") {
		t.Errorf("the template begins with %q", b.String())
	}
	o := readCSV(t, b.String())
	wantProblems(t, o)
	wantItems(t, o, "1@2 9876543210|Asha Verma (example)|123456789012|ABCD0123456|Example Bank|1500.00|5|example-1",
		"2@3 9876543211|Ravi Kumar (example)|001234567890123|ABCD0123456|Example Bank|100000.50|5|example-2")
}

// A batch without items has a header, too; and what cannot be written is told.
func TestResultsAtTheEdges(t *testing.T) {
	for name, open := range map[string]func(io.Writer, batchfile.Columns) *batchfile.Results{
		"csv": batchfile.NewCSVResults, "xlsx": batchfile.NewXLSXResults,
	} {
		var b bytes.Buffer
		if err := open(&b, batchfile.DefaultColumns()).Close(); err != nil || b.Len() == 0 {
			t.Errorf("%s: %v, %q", name, err, b.String())
		}
		if name == "csv" && b.String() != strings.TrimSpace(header)+",transaction_id,status,utr,failure_reason\r\n" {
			t.Errorf("%q", b.String())
		}
		full := errors.New("the disk is full")
		for _, room := range []int{0, 100, 2000, 40_000} {
			w := open(&disk{room, full}, batchfile.DefaultColumns())
			var failed error
			for i := range 3000 {
				it := nasty()[i%2]
				it.Index = i + 1
				it.BeneficiaryName = random(i)
				if err := w.Write(&it, batchfile.Outcome{}); err != nil {
					failed = err
				}
			}
			err := w.Close()
			if !errors.Is(err, full) || failed != nil && !errors.Is(failed, full) {
				t.Errorf("%s with room for %d bytes: %v, then %v", name, room, failed, err)
			}
		}
	}
}

// random is a text that does not compress well.
func random(i int) string {
	b := make([]byte, 60)
	x := uint64(i)*0x9E3779B97F4A7C15 + 1
	for j := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[j] = 'a' + byte(x>>33)%26
	}
	return string(b)
}

type disk struct {
	room int
	full error
}

func (d *disk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n := d.room
		d.room = 0
		return n, d.full
	}
	d.room -= len(p)
	return len(p), nil
}
