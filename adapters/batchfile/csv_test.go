package batchfile_test

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

const good = "1@2 9876543210|Asha Verma|00123456789012|SBIN0001234|State Bank of India|1500.00|5|a"

// Sheets of all kinds that say the same.
func TestCSVKinds(t *testing.T) {
	plain := header + row("a")
	semicolons := strings.ReplaceAll(plain, ",", ";")
	for name, text := range map[string]string{
		"plain":                       plain,
		"a byte order mark":           "\ufeff" + plain,
		"CRLF":                        strings.ReplaceAll(plain, "\n", "\r\n"),
		"CR":                          strings.ReplaceAll(plain, "\n", "\r"),
		"no last line end":            strings.TrimSuffix(plain, "\n"),
		"CRLF, no last line end":      strings.TrimSuffix(strings.ReplaceAll(plain, "\n", "\r\n"), "\r\n"),
		"semicolons":                  semicolons,
		"semicolons and a mark":       "\ufeff" + semicolons,
		"semicolons, comma in a cell": strings.Replace(semicolons, "1500.00", "1,500.00", 1),
		"tabs":                        strings.ReplaceAll(plain, ",", "\t"),
		"all quoted":                  `"` + strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(plain), ",", `","`), "\n", "\"\n\"") + "\"\n",
		"blanks around":               strings.ReplaceAll(plain, ",", " , "),
		"blanks around quotes":        strings.Replace(plain, "Asha Verma", ` "Asha Verma" `, 1),
		"blank cells behind":          strings.ReplaceAll(plain, "\n", ",, ,\n"),
		"blank cells behind a row":    plain[:len(plain)-1] + strings.Repeat(",", 100) + "\n",
		"blank lines behind":          plain + "\n\r\n \n,,,,,,,\n,,\n\t\n",
		"an apostrophe":               strings.Replace(plain, "00123456789012", "'00123456789012", 1),
		"an apostrophe and blanks":    strings.Replace(plain, "00123456789012", "' 00123456789012 ", 1),
		"other names": strings.Replace(plain, header,
			"Mobile No,BENEFICIARY NAME,account-no.,Ifsc,Bank_Name, amount ,transferType,\"Partner Request ID\"\n", 1),
		"a quoted header with a line end": strings.Replace(plain, "account_no", "\"account no\"", 1),
	} {
		o := readCSV(t, text)
		t.Run(name, func(t *testing.T) {
			wantProblems(t, o)
			wantItems(t, o, good)
		})
	}
	o := readCSV(t, "\n\r\n,,\n"+header+"\n\n"+row("a")+"\n,,,,,,,\n"+row("b")+"\r\n\r\n"+row("c"))
	wantProblems(t, o)
	wantItems(t, o, strings.Replace(good, "1@2", "1@7", 1), strings.Replace(good[:len(good)-1], "1@2", "2@10", 1)+"b",
		strings.Replace(good[:len(good)-1], "1@2", "3@13", 1)+"c")
}

func TestCSVColumnOrder(t *testing.T) {
	text := "Amount,IFSC,Account No,Transfer Type,Bank Name,Beneficiary Name,Mobile No\n" +
		"\"1,00,000.50\",SBIN0001234,00123456789012,5,SBI,\"Verma, \"\"Asha\"\"\nand Ravi\",9876543210\n" +
		"2000,SBIN0001234,00123456789012,5,SBI,Ravi,12\n"
	r := batchfile.NewCSV(strings.NewReader(text), batchfile.ReadOptions{Check: func(it *batchfile.Item) []batchfile.FieldError {
		if it.MobileNo == "12" {
			return []batchfile.FieldError{{Field: "mobile_no", Message: "must be longer"}}
		}
		return nil
	}})
	o := readAll(t, r)
	wantItems(t, o, "1@2 9876543210|Verma, \"Asha\"\nand Ravi|00123456789012|SBIN0001234|SBI|100000.50|5|",
		"2@4 12|Ravi|00123456789012|SBIN0001234|SBI|2000.00|5|")
	wantProblems(t, o, "item 2, line 4, column 7 (mobile_no): must be longer")
	c := r.Columns()
	if len(c) != 7 || c[2] != (batchfile.Column{Field: "account_no", Header: "Account No"}) {
		t.Errorf("columns %+v", c)
	}
}

func TestCSVHeader(t *testing.T) {
	for _, c := range []struct{ header, want string }{
		{"mobile_no,beneficiary_name,acount_no,ifsc,bank_name,amount,transfer_type\n",
			"line 1, column 3 (acount_no): is not a column of a batch\nline 1, account_no: is missing: a batch needs this column"},
		{"mobile_no,beneficiary_name,account_no,ifsc,Account No,bank_name,amount,transfer_type\n",
			"line 1, column 5 (account_no): stands twice: it is column 3, too"},
		{"mobile_no,beneficiary_name,,account_no,ifsc,bank_name,amount,transfer_type\n", "line 1, column 3: has no name"},
		{"mobile_no,beneficiary_name,account_no,ifsc,bank_name,amount,transfer_type,status,Failure Reason\n",
			"line 1, column 8 (status): is a column of results: remove it to submit the file as a batch\n" +
				"line 1, column 9 (Failure Reason): is a column of results: remove it to submit the file as a batch"},
		{"\n\nbeneficiary_name;amount;\"x\ny\"\n",
			"line 3, column 3 (x y): is not a column of a batch\nline 3, mobile_no: is missing: a batch needs this column\n" +
				"line 3, account_no: is missing: a batch needs this column\nline 3, ifsc: is missing: a batch needs this column\n" +
				"line 3, bank_name: is missing: a batch needs this column\nline 3, transfer_type: is missing: a batch needs this column"},
		{strings.TrimSpace(header) + strings.Repeat(",", 80) + "x\n", "line 1: has more than 64 columns"},
		{strings.Replace(header, "ifsc", `if"sc`, 1), "line 1, column 4: has a quotation mark inside: put the field into quotation marks, and double those within\n" +
			"line 1, column 4 (if\"sc): is not a column of a batch\nline 1, ifsc: is missing: a batch needs this column"},
		{strings.Replace(header, "ifsc", strings.Repeat("é", 600), 1), "line 1, column 4: is longer than 1024 bytes\n" +
			"line 1, column 4 (" + strings.Repeat("é", 60) + "…): is not a column of a batch\nline 1, ifsc: is missing: a batch needs this column"},
		{strings.Replace(header, "ifsc", `"ifsc`, 1), "item 1, line 1, column 4: a quotation mark opens in this column and is not closed before the file ends"},
		{"PK\x03\x04\x14\x00\x06\x00", "item 1, line 1: is a workbook (XLSX) or an archive: save the sheet as CSV UTF-8"},
	} {
		o := readCSV(t, c.header)
		want := strings.ReplaceAll(c.want, "item 1, ", "")
		if got := strings.Join(o.all, "\n"); got != want || len(o.items) > 0 {
			t.Errorf("%q:\n%s\nwant:\n%s", c.header, got, want)
		}
	}
}

func TestCSVItems(t *testing.T) {
	const (
		number = "is in scientific notation, such as 1.23E+14: a spreadsheet took it for a number, and its last digits are lost; " +
			"format the column as text, then type the number again"
		point = "has a decimal point, such as 123456789012.0: a program took it for a number, and may have changed its digits; " +
			"format the column as text, then type the number again"
		inside = "has a quotation mark inside: put the field into quotation marks, and double those within"
		behind = "has text behind its closing quotation mark: quotation marks within a field must be doubled"
		eight  = "must be 8 to 20 digits"
		zeros  = "has nothing but zeros behind its fifteenth digit: a spreadsheet that takes it for a number keeps no more digits than that; " +
			"format the column as text, then type the number again, or put an apostrophe before it if it is right"
		short = "if it began with zeros, a spreadsheet has taken them off: format the column as text, then type the number again"
		phone = "must be a 10-digit mobile number that starts with 6 to 9"
	)
	for _, c := range []struct{ old, cell, want string }{
		{"00123456789012", "1.23E+14", "column 3 (account_no): " + number},
		{"00123456789012", "1.23457e+14", "column 3 (account_no): " + number},
		{"00123456789012", `"1,23E+14"`, "column 3 (account_no): " + number},
		{"00123456789012", "5E15", "column 3 (account_no): " + number},
		{"00123456789012", "'1.23E+14", "column 3 (account_no): " + number},
		{"00123456789012", "123456789012.0", "column 3 (account_no): " + point},
		{"00123456789012", "123456789012.", "column 3 (account_no): " + point},
		{"00123456789012", "1234567890.12", "column 3 (account_no): " + eight},
		{"00123456789012", "123456789012345000", "column 3 (account_no): " + zeros},
		{"00123456789012", "12345678901234500", "column 3 (account_no): " + zeros},
		{"00123456789012", "12345678901234567800", ""},
		{"00123456789012", "1234567890123450", ""}, // one in ten ends in a zero
		{"00123456789012", "'123456789012345000", ""},
		{"00123456789012", `" '123456789012345000"`, ""},
		{"00123456789012", "1234567", "column 3 (account_no): " + eight + "; " + short},
		{"00123456789012", "123456789012345678901", "column 3 (account_no): " + eight},
		{"00123456789012", "AB1234567890", "column 3 (account_no): " + eight},
		{"00123456789012", "1234 5678 9012", "column 3 (account_no): " + eight},
		{"00123456789012", `"1,23,45,678"`, "column 3 (account_no): " + eight},
		{"00123456789012", "E14", "column 3 (account_no): " + eight},
		{"00123456789012", "", "column 3 (account_no): is required"},
		{"00123456789012", "'", "column 3 (account_no): is required"},
		{"9876543210", "9.88E+09", "column 1 (mobile_no): " + number},
		{"9876543210", "9876543210.0", "column 1 (mobile_no): " + point},
		{"9876543210", "'9876543210", ""},
		{"9876543210", "+919876543210", "column 1 (mobile_no): " + phone},
		{"Asha Verma", `Asha "Didi" Verma`, "column 2 (beneficiary_name): " + inside},
		{"Asha Verma", `"Asha" Verma`, "column 2 (beneficiary_name): " + behind},
		{"Asha Verma", `"Asha ""Didi"" Verma"`, ""},
		{"Asha Verma", `  "Asha"  `, ""},
		{"Asha Verma", strings.Repeat("a", 1025), "column 2 (beneficiary_name): is longer than 1024 bytes"},
		{"Asha Verma", strings.Repeat("ü", 500), "column 2 (beneficiary_name): must not be longer than 100 characters"},
		{"Asha Verma", " \u00a0 ", "column 2 (beneficiary_name): is required"},
		{"Asha Verma", "अंजलि", ""},
		{"State Bank of India,", "State Bank, of India,", "has 9 fields where the header has 8: a field with a comma, such as the amount 1,00,000, must stand in quotation marks"},
		{"1500.00", "1,00,000.50", "has 10 fields where the header has 8: a field with a comma, such as the amount 1,00,000, must stand in quotation marks"},
		{",5,a", ",5", "has 7 fields where the header has 8"},
		{",5,a", ",5,a" + strings.Repeat(",", 70) + "x", "has 78 fields where the header has 8: a field with a comma, such as the amount 1,00,000, must stand in quotation marks"},
		{"1500.00", "", "column 6 (amount): is required"},
		{"1500.00", "999.99", "column 6 (amount): must be at least 1000"},
		{"1500.00", "-5", "column 6 (amount): must be more than zero"},
		{",5,", ",,", "column 7 (transfer_type): is required"},
	} {
		o := readCSV(t, header+row("before")+strings.Replace(row("a"), c.old, c.cell, 1)+row("after"))
		t.Run(c.cell[:min(len(c.cell), 30)], func(t *testing.T) {
			if c.want == "" {
				wantProblems(t, o)
			} else {
				sep := map[bool]string{true: ": ", false: ", "}[strings.HasPrefix(c.want, "has ")]
				wantProblems(t, o, "item 2, line 3"+sep+c.want)
			}
			if len(o.items) != 3 || !o.good[0] || !o.good[2] || o.items[2].Line != 4 {
				t.Errorf("items %+v", o.items)
			}
		})
	}
}

func TestCSVTexts(t *testing.T) {
	for cell, want := range map[string]string{
		"'=1+1":        "=1+1",
		"''=1+1":       "'=1+1",
		"'@x":          "@x",
		"'＝x":          "＝x",
		"'Abd al-Aziz": "'Abd al-Aziz",
		"'":            "'",
		"=1+1":         "=1+1",
		"\"'\tx\"":     "\tx",
	} {
		o := readAll(t, batchfile.NewCSV(strings.NewReader(header+strings.Replace(row("a"), "Asha Verma", cell, 1)), batchfile.ReadOptions{}))
		wantProblems(t, o)
		if len(o.items) != 1 || o.items[0].BeneficiaryName != want {
			t.Errorf("%q was read as %+v", cell, o.items)
		}
	}
}

// What ends the reading of a sheet, with its place.
func TestCSVEnds(t *testing.T) {
	inUTF16 := func(mark string) string {
		var b strings.Builder
		b.WriteString(mark)
		for _, u := range utf16.Encode([]rune(header + row("a"))) {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
		return b.String()
	}
	two := header + row("a") + row("b")
	far := header
	for i := range 2000 {
		far += row(strings.Repeat("x", 1+i%90) + string(rune('a'+i%26)) + strings.Repeat("y", i/90))
	}
	for _, c := range []struct{ name, text, want string }{
		{"UTF-16", inUTF16("\xff\xfe"), "line 1: is in UTF-16: save the file as CSV UTF-8"},
		{"UTF-16, big end first", "\xfe\xff\x00m", "line 1: is in UTF-16: save the file as CSV UTF-8"},
		{"UTF-16 without a mark", inUTF16(""), "line 1: holds a zero byte, as files in UTF-16 do: save the file as CSV UTF-8"},
		{"Latin-1", strings.Replace(two, "Asha Verma,00123456789012,SBIN0001234,State Bank of India,1500.00,5,b", "Jos\xe9,x", 1),
			"item 2, line 3: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"a cut character at the end", two + "x\xe2\x82", "item 3, line 4: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"a surrogate", two + "\xed\xa0\x80\n", "item 3, line 4: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"behind CRs", strings.ReplaceAll(two, "\n", "\r") + "\xff", "item 3, line 4: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"behind CRLFs", strings.ReplaceAll(two, "\n", "\r\n") + "\xff", "item 3, line 4: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"far behind", far + "\xff", "item 2001, line 2002: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"a quotation mark", two + "9876543210,\"Asha,1,2\n" + row("c"), "item 3, line 4, column 2: a quotation mark opens in this column and is not closed before the file ends"},
		{"a quotation mark far from the next", two + "9876543210,\"Asha,1,2\n" + far, "item 3, line 4, column 2: a quotation mark opens in this column and is not closed " +
			"within the bytes that a field may have: one is missing, or one within a field is not doubled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := readAll(t, batchfile.NewCSV(strings.NewReader(c.text), batchfile.ReadOptions{}))
			if o.failed == nil || len(o.all) == 0 || o.all[len(o.all)-1] != c.want {
				t.Errorf("%v, want %s", o.all, c.want)
			}
		})
	}
}

// However the bytes come in, what is read is the same.
func TestCSVInPieces(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(header+row("a"), "\n", "\r\n") + strings.Replace(row("b"), "Asha Verma", "\"अंजलि\r\n🙂\"", 1) + "\xff"
	whole := readCSV(t, text)
	for size := 1; size < 9; size++ {
		o := readAll(t, batchfile.NewCSV(pieces{strings.NewReader(text), size}, batchfile.ReadOptions{Check: shape}))
		wantProblems(t, o, whole.all...)
		if len(o.items) != 2 || brief(o.items[1]) != brief(whole.items[1]) {
			t.Errorf("in pieces of %d: %v", size, o.items)
		}
	}
	if want := "item 3, line 5: holds bytes that are not UTF-8: save the file as CSV UTF-8"; whole.all[len(whole.all)-1] != want {
		t.Errorf("%v, want %s", whole.all, want)
	}
}

type pieces struct {
	in   *strings.Reader
	size int
}

func (p pieces) Read(b []byte) (int, error) { return p.in.Read(b[:min(len(b), p.size)]) }
