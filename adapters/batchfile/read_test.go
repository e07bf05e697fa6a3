package batchfile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

const header = "mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,partner_request_id\n"

// row is a good line of that header, for an id.
func row(id string) string {
	return "9876543210,Asha Verma,00123456789012,SBIN0001234,State Bank of India,1500.00,5," + id + "\n"
}

// shape stands in for the rules of a single payout.
func shape(it *batchfile.Item) []batchfile.FieldError {
	var faults []batchfile.FieldError
	add := func(field, message string) {
		faults = append(faults, batchfile.FieldError{Field: field, Message: message})
	}
	numeral := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	if len(it.MobileNo) != 10 || !numeral(it.MobileNo) || it.MobileNo[0] < '6' {
		add("mobile_no", "must be a 10-digit mobile number that starts with 6 to 9")
	}
	if len(it.AccountNo) < 8 || len(it.AccountNo) > 20 || !numeral(it.AccountNo) {
		add("account_no", "must be 8 to 20 digits")
	}
	if utf8.RuneCountInString(it.BeneficiaryName) > 100 {
		add("beneficiary_name", "must not be longer than 100 characters")
	}
	if v, ok := it.Amount.Minor(); ok && v < 1000_00 {
		add("amount", "must be at least 1000")
	}
	return faults
}

// outcome is all that was read of a file.
type outcome struct {
	items  []batchfile.Item // refused ones, too
	good   []bool
	all    []string // what is wrong, in the order in which it was told
	failed error    // what ended the reading, when that was not the file's end
	report batchfile.Report
}

func readAll(t testing.TB, r *batchfile.Reader) outcome {
	t.Helper()
	var o outcome
	for item, err := range r.Items() {
		var refused *batchfile.ItemError
		var fault *batchfile.FileError
		switch {
		case o.failed != nil:
			t.Fatalf("%+v, %v were read behind %v", item, err, o.failed)
		case errors.As(err, &refused):
			o.all = append(o.all, texts(refused.Problems)...)
		case errors.As(err, &fault):
			o.all = append(o.all, texts(fault.Problems)...)
			o.failed = err
			continue
		case err != nil:
			o.failed = err
			continue
		}
		if item.Index != len(o.items)+1 {
			t.Fatalf("item %d came as number %d", item.Index, len(o.items)+1)
		}
		o.items, o.good = append(o.items, item), append(o.good, err == nil)
	}
	o.report = r.Report()
	return o
}

func texts(problems []batchfile.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return all
}

// brief is an item on one line.
func brief(it batchfile.Item) string {
	return fmt.Sprintf("%d@%d %s|%s|%s|%s|%s|%s%s|%s|%s", it.Index, it.Line, it.MobileNo, it.BeneficiaryName, it.AccountNo, it.IFSC, it.BankName,
		it.Amount.Fixed(), it.AmountText, it.TransferType, it.PartnerRequestID)
}

// wantProblems compares what is wrong, line by line.
func wantProblems(t testing.TB, o outcome, want ...string) {
	t.Helper()
	if got := strings.Join(o.all, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("problems:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// wantItems compares items, by brief.
func wantItems(t testing.TB, o outcome, want ...string) {
	t.Helper()
	var got []string
	for _, it := range o.items {
		got = append(got, brief(it))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("items:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func readCSV(t testing.TB, text string) outcome {
	t.Helper()
	return readAll(t, batchfile.NewCSV(strings.NewReader(text), batchfile.ReadOptions{Check: shape}))
}

// broken is a reader that ends with an error.
type broken struct {
	io.Reader
	err error
}

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

// readers makes a reader of each format over the same kind of content: n items under a reader's limits.
func readers() map[string]func(io.Reader, batchfile.ReadOptions) *batchfile.Reader {
	return map[string]func(io.Reader, batchfile.ReadOptions) *batchfile.Reader{
		"csv": batchfile.NewCSV, "ndjson": batchfile.NewNDJSON, "json": batchfile.NewJSON,
	}
}

// content is n good items in a format.
func content(format string, n int) string {
	var b strings.Builder
	if format == "csv" {
		b.WriteString(header)
	}
	if format == "json" {
		b.WriteString(`{"items":[` + "\n")
	}
	for i := range n {
		id := fmt.Sprintf("id-%d", i+1)
		switch {
		case format == "csv":
			b.WriteString(row(id))
		case format == "json" && i > 0:
			b.WriteString(",\n" + object(id))
		case format == "json":
			b.WriteString(object(id))
		default:
			b.WriteString(object(id) + "\n")
		}
	}
	if format == "json" {
		b.WriteString("\n]}")
	}
	return b.String()
}

func object(id string) string {
	return `{"mobile_no":"9876543210","beneficiary_name":"Asha Verma","account_no":"00123456789012","ifsc":"SBIN0001234",` +
		`"bank_name":"State Bank of India","amount":1500.00,"transfer_type":"5","partner_request_id":"` + id + `"}`
}

// Every format: the same items, the limit of items, an error of the reader, nothing at all.
func TestFormats(t *testing.T) {
	for format, open := range readers() {
		t.Run(format, func(t *testing.T) {
			o := readAll(t, open(strings.NewReader(content(format, 3)), batchfile.ReadOptions{Check: shape}))
			first := map[string]int{"csv": 2, "ndjson": 1, "json": 2}[format]
			var want []string
			for i := range 3 {
				want = append(want, fmt.Sprintf(
					"%d@%d 9876543210|Asha Verma|00123456789012|SBIN0001234|State Bank of India|1500.00|5|id-%d", i+1, first+i, i+1))
			}
			wantItems(t, o, want...)
			wantProblems(t, o)
			if o.report.Items != 3 || o.report.Refused != 0 || o.failed != nil {
				t.Errorf("%+v, %v", o.report, o.failed)
			}

			o = readAll(t, open(strings.NewReader(content(format, 3)), batchfile.ReadOptions{Limits: batchfile.Limits{Items: 2}}))
			wantProblems(t, o, fmt.Sprintf("item 3, line %d: a batch has at most 2 items", first+2))
			if len(o.items) != 2 || o.report.Items != 2 {
				t.Errorf("%d items under a limit of 2", len(o.items))
			}
			if o := readAll(t, open(strings.NewReader(content(format, 2)), batchfile.ReadOptions{Limits: batchfile.Limits{Items: 2}})); o.failed != nil {
				t.Errorf("as many items as may be: %v", o.failed)
			}

			for _, cause := range []error{errors.New("the line went dead"), io.ErrUnexpectedEOF, fmt.Errorf("cut off: %w", io.EOF)} {
				whole := content(format, 3)
				if format == "csv" {
					whole = header + strings.Replace(row("a"), "Asha Verma", "\"A\"\"\r\nsha\" ", 1) + strings.Replace(row("b"), ",b", ",\"b\" ", 1)
				}
				for cut := 0; cut < len(whole); cut += 1 + cut%3 {
					o := readAll(t, open(broken{strings.NewReader(whole[:cut]), cause}, batchfile.ReadOptions{}))
					if o.failed == nil || !strings.Contains(o.failed.Error(), cause.Error()) || o.report.Total != 0 {
						t.Fatalf("cut off at byte %d by %v: %v, %v", cut, cause, o.failed, o.all)
					}
				}
			}
			mine := &notices{}
			if o := readAll(t, open(broken{strings.NewReader(""), mine}, batchfile.ReadOptions{})); !errors.As(o.failed, new(*notices)) {
				t.Errorf("the cause is lost: %v", o.failed)
			}
		})
	}
}

type notices struct{}

func (*notices) Error() string { return "noticed" }

func TestNothing(t *testing.T) {
	const none = "there is no item in the batch"
	for _, c := range []struct{ format, text, want string }{
		{"csv", "", "the file is empty: its first line must name the columns"},
		{"csv", "\n \r\n,,\n", "the file is empty: its first line must name the columns"},
		{"csv", header, none},
		{"csv", header + "\n,,,,,,,\n", none},
		{"ndjson", "", none},
		{"ndjson", "\n  \r\n", none},
		{"json", `{"items":[]}`, none},
		{"json", `{}`, "items: is required"},
		{"json", ``, "line 1: the JSON ends before its end"},
	} {
		o := readAll(t, readers()[c.format](strings.NewReader(c.text), batchfile.ReadOptions{}))
		if len(o.items) > 0 || o.failed == nil || strings.Join(o.all, "\n") != c.want {
			t.Errorf("%s %q: %v, want %s", c.format, c.text, o.all, c.want)
		}
	}
}

// A loop can be left and taken up again.
func TestLeavingALoop(t *testing.T) {
	r := batchfile.NewNDJSON(strings.NewReader(content("ndjson", 5)), batchfile.ReadOptions{})
	var got []int
	for range 3 {
		for item, err := range r.Items() {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, item.Index)
			if item.Index%2 == 0 {
				break
			}
		}
	}
	if fmt.Sprint(got) != "[1 2 3 4 5]" {
		t.Errorf("read %v", got)
	}
}

// All problems are told with their items; the report keeps the first of them, and says how many more there are.
func TestProblemsAreBounded(t *testing.T) {
	text := header + strings.Repeat("1,,1,,,x,,\n", 50)
	r := batchfile.NewCSV(strings.NewReader(text), batchfile.ReadOptions{Limits: batchfile.Limits{Problems: 9}})
	o := readAll(t, r)
	if len(o.all) != o.report.Total || len(o.report.Problems) != 9 || o.report.More() != o.report.Total-9 || o.report.Refused != 50 {
		t.Fatalf("%d told, report %d of %d, %d more, %d refused", len(o.all), len(o.report.Problems), o.report.Total, o.report.More(), o.report.Refused)
	}
	want := strings.Join(o.all[:9], "\n") + fmt.Sprintf("\nand %d more\n", len(o.all)-9)
	if got := o.report.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	clear(o.report.Problems)
	if r.Report().Problems[0].Message == "" {
		t.Error("a report is shared with its reader")
	}
}

// The caller's rules are told beside those of form, and never twice about one field.
func TestCheck(t *testing.T) {
	text := header + "12,Asha,1.23E+14,SBIN0001234,SBI,999.99,5,a\n"
	o := readAll(t, batchfile.NewCSV(strings.NewReader(text), batchfile.ReadOptions{
		Check: func(it *batchfile.Item) []batchfile.FieldError {
			return append(shape(it), batchfile.FieldError{Field: "purpose", Message: "is required"})
		},
	}))
	wantProblems(t, o,
		"item 1, line 2, column 1 (mobile_no): must be a 10-digit mobile number that starts with 6 to 9",
		"item 1, line 2, column 3 (account_no): is in scientific notation, such as 1.23E+14: a spreadsheet took it for a number, and its last digits are lost; format the column as text, then type the number again",
		"item 1, line 2, column 6 (amount): must be at least 1000",
		"item 1, line 2, purpose: is required",
	)
}

func TestRepeated(t *testing.T) {
	for format, open := range readers() {
		t.Run(format, func(t *testing.T) {
			var text string
			ids := []string{"a", "b", "", "a", "", "c", "b", "a", ""}
			switch format {
			case "csv":
				text = header
				for _, id := range ids {
					text += row(id)
				}
			case "ndjson":
				for _, id := range ids {
					text += object(id) + "\n"
				}
			default:
				for i, id := range ids {
					text += map[bool]string{true: "{\"items\":[\n", false: ",\n"}[i == 0] + object(id)
				}
				text += "]}"
			}
			line := map[string]int{"csv": 1, "ndjson": 0, "json": 1}[format]
			column := map[bool]string{true: "column 8 (partner_request_id)", false: "partner_request_id"}[format == "csv"]
			by := func(again, first int) string {
				return fmt.Sprintf("item %d, line %d, %s: is that of item %d (line %d), too", again, again+line, column, first, first+line)
			}
			same := func(again, first int) string {
				return fmt.Sprintf("item %d, line %d: is the same as item %d (line %d): if both are meant, give each a partner_request_id of its own",
					again, again+line, first, first+line)
			}
			o := readAll(t, open(strings.NewReader(text), batchfile.ReadOptions{Check: shape}))
			wantProblems(t, o, by(4, 1), same(5, 3), by(7, 2), by(8, 1), same(9, 3))
			if o.report.Items != 9 || o.report.Refused != 5 {
				t.Errorf("%+v", o.report)
			}
		})
	}
	o := readCSV(t, header+row("")+strings.Replace(row(""), "1500.00", "1500.01", 1)+strings.Replace(row(""), "Asha", "asha", 1))
	wantProblems(t, o) // each differs from the others in one field
	o = readCSV(t, header+row("")+strings.Replace(row(""), "1500.00", `"₹1,500"`, 1))
	wantProblems(t, o, "item 2, line 3: is the same as item 1 (line 2): if both are meant, give each a partner_request_id of its own")
}

// Errors read as their problems, each with its place.
func TestErrorTexts(t *testing.T) {
	problems := []batchfile.Problem{
		{Line: 3, Column: 2, Field: "ifsc", Index: 2, Message: "is required"}, {Line: 1, Column: 4, Message: "has no name"}, {Field: "items", Message: "is required"}, {Message: "is bad"},
	}
	const want = "item 2, line 3, column 2 (ifsc): is required; line 1, column 4: has no name; items: is required; is bad"
	for _, err := range []error{&batchfile.ItemError{Problems: problems}, &batchfile.FileError{Problems: problems}} {
		if err.Error() != want {
			t.Errorf("%s\nwant\n%s", err, want)
		}
	}
	b, err := json.Marshal(problems[:2])
	if err != nil || string(b) != `[{"line":3,"column":2,"field":"ifsc","index":2,"message":"is required"},{"line":1,"column":4,"message":"has no name"}]` {
		t.Errorf("%s, %v", b, err)
	}
}
