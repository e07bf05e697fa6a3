package bankfile_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/bankfile"
)

func TestRefusedMappings(t *testing.T) {
	for text, want := range map[string]string{
		"": "empty",
		"columns: {date: a, amount: b, colour: c}": "colour",
		"colour: c": "colour",
		`{"columns": {"date": "a", "amount": "b"}, "colour": 1}`:                      "colour",
		`{"columns": {"date": "a", "amount": "b"}} {}`:                                "behind its end",
		`{"columns": {"date": "a", "amount": "b"}, "unit": "minor", "unit": "major"}`: "twice",
		`{"columns": {"date": "a", "amount": "b", "date": "c"}}`:                      "twice",
		"columns: {date: a, amount: b}\ncolumns: {date: c, amount: d}":                "columns",
		"columns: {date: a, amount: b}\n---\ncolumns: {}":                             "one document",
		"columns: {amount: b}":                                        "columns.date is missing",
		"columns: {date: a}":                                          "must name amount, or debit and credit",
		"columns: {date: a, debit: b}":                                "debit and credit go together",
		"columns: {date: a, debit: b, credit: c, direction: d}":       "direction goes with amount",
		"columns: {date: a, amount: [b, c]}":                          "columns.amount must be one column",
		"columns: {date: a, amount: '--'}":                            "without letters and digits",
		"columns: {date: a, amount: {x: y}}":                          "name of a column",
		"columns: {date: a, amount: b, opening: c}":                   "opening and closing go together",
		"columns: {date: a, amount: b}\ndelimiter: x":                 "delimiter must be one of",
		"columns: {date: a, amount: b}\nencoding: ebcdic":             "encoding must be one of",
		"columns: {date: a, amount: b}\ndecimal: ','\nthousands: ','": "must not be the decimal mark",
		"columns: {date: a, amount: b}\nskip_lines: -1":               "skip_lines",
		"columns: {date: a, amount: b}\ncurrency: XYZ":                "currency is not known",
		"columns: {date: a, amount: b}\ntime_zone: Mars":              "time_zone is not known",
		"columns: {date: a, amount: b}\nutr_pattern: '('":             "no regular expression",
		"columns: {date: a, amount: b}\nutr_pattern: 'x'":             "one group",
		"columns: {date: a, amount: b}\ndate_layouts: [dd.mm]":        "date_layouts",
		"columns: {date: a, amount: b}\nno_header: true":              `such as "#1"`,
		"columns: {date: a, amount: b}\nfee_includes_tax: true":       "needs the columns fee and tax",
		"columns: {date: a, amount: b}\nopening_pattern: '(x)'":       "go together",
		"columns: {date: a, amount: b}\nonly: {x: []}":                "only",
		"[1, 2]":                     "mapping",
		"columns: &a {date: *a}":     "mapping",
		strings.Repeat("#", 100_000): "more than",
	} {
		if m, err := bankfile.ParseMapping([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, %v; want %q", text, m, err, want)
		}
	}
}

func TestMappings(t *testing.T) {
	const text = "name: b\ncolumns: {date: '#1', amount: '#3', narration: ['#2', '#4']}\nno_header: true\nskip_lines: 1\ndelimiter: tab\nunit: minor\nsign: debit\n"
	for _, m := range []string{text, `{"name": "b", "columns": {"date": "#1", "amount": "#3", "narration": ["#2", "#4"]}, "no_header": true, "skip_lines": 1, "delimiter": "tab", "unit": "minor", "sign": "debit"}`} {
		s, err := readText("anything\n01/04/2024\ta\t150\tb\n02/04/2024\tc\t-250\t\n", bankfile.CSV, bankfile.Options{Mapping: mapping(t, m)})
		if err != nil || len(s.Lines) != 2 || s.Lines[0].Amount.Fixed() != "-1.50" || s.Lines[1].Amount.Fixed() != "2.50" || s.Lines[0].Narration != "a b" {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func TestOptions(t *testing.T) {
	plain := mapping(t, csvMap)
	const file = "Account No: 123456\nday,amount,text\n01/04/2024,1.00,x\n"
	two := "columns: {date: day, amount: amount, account: text}"
	for name, c := range map[string]struct {
		file string
		o    bankfile.Options
		want string // "" is no error
	}{
		"account":             {file, bankfile.Options{Mapping: plain, Account: "12 34-56"}, ""},
		"another account":     {file, bankfile.Options{Mapping: plain, Account: "123457"}, "is of account 123456, not of 123457"},
		"currency":            {file, bankfile.Options{Mapping: plain, Currency: "USD"}, ""},
		"another currency":    {file, bankfile.Options{Mapping: mapping(t, csvMap+"\ncurrency: INR"), Currency: "USD"}, "USD is asked for"},
		"currency of nowhere": {file, bankfile.Options{Mapping: plain, Currency: "XYZ"}, "not known"},
		"bytes":               {file, bankfile.Options{Mapping: plain, Limits: bankfile.Limits{Bytes: int64(len(file))}}, ""},
		"too many bytes":      {file, bankfile.Options{Mapping: plain, Limits: bankfile.Limits{Bytes: int64(len(file)) - 1}}, "more than 52 bytes"},
		"too many lines":      {file + "01/04/2024,1.00,x\n", bankfile.Options{Mapping: plain, Limits: bankfile.Limits{Lines: 1}}, "more than 1 lines"},
		"field":               {"day,amount,text\n01/04/2024,1.00,0123456789\n", bankfile.Options{Mapping: plain, Limits: bankfile.Limits{Field: 10}}, ""},
		"too long a field":    {"day,amount,text\n01/04/2024,1.00,01234567890\n", bankfile.Options{Mapping: plain, Limits: bankfile.Limits{Field: 10}}, "line 2: column 3 has more than 10 bytes"},
		"lines":               {file, bankfile.Options{Mapping: plain, Lines: 1}, ""},
		"other lines":         {file, bankfile.Options{Mapping: plain, Lines: 2}, "has 1 lines, and should have 2"},
		"one of two accounts": {"day,amount,text\n01/04/2024,1.00,111\n01/04/2024,1.00,222\n", bankfile.Options{Mapping: mapping(t, two), Account: "222", Lines: 1}, ""},
		"none of them":        {"day,amount,text\n01/04/2024,1.00,111\n", bankfile.Options{Mapping: mapping(t, two), Account: "222"}, "no line of account 222"},
		"mapping for MT940":   {":20:", bankfile.Options{Mapping: plain}, "a mapping is for CSV"},
		"encoding":            {file, bankfile.Options{Mapping: plain, Encoding: "ebcdic"}, "encoding ebcdic is not known"},
		"not in UTF-16":       {file, bankfile.Options{Mapping: plain, Encoding: "utf-16"}, "not in utf-16"},
		"last line open":      {strings.TrimSuffix(file, "\n"), bankfile.Options{Mapping: mapping(t, csvMap+"\nopen_end: true")}, ""},
		"Windows-1252":        {"day,amount,text\n01/04/2024,1.00,Ren\xe9e \x80\n", bankfile.Options{Mapping: plain, Encoding: "windows-1252"}, ""},
		"only some":           {"day,amount,text\n01/04/2024,1.00,ok\n01/04/2024,1.00,failed\n", bankfile.Options{Mapping: mapping(t, csvMap+"\nonly: {text: [OK]}"), Lines: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			format := bankfile.CSV
			if strings.HasPrefix(c.file, ":20:") {
				format = bankfile.MT940
			}
			s, err := readText(c.file, format, c.o)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("%+v, %v; want %q", s, err, c.want)
			}
		})
	}
	s, err := readText("day,amount,text\n01/04/2024,1.00,Ren\xe9e \x80\n", bankfile.CSV, bankfile.Options{Mapping: plain, Encoding: "windows-1252"})
	if err != nil || s.Lines[0].Narration != "Renée €" {
		t.Errorf("%+v, %v", s, err)
	}
}

// Of several accounts in one file, one is picked.
func TestAccountOfSeveral(t *testing.T) {
	one := ":20:S\n:25:BANKXX/111222\n:28C:1\n:60F:C240331INR0,00\n:61:240401C1,00NTRFX\n:62F:C240401INR1,00\n-\n"
	file := one + strings.Replace(one, "111222", "333444", 1)
	s, err := readText(file, bankfile.MT940, bankfile.Options{Account: "333444"})
	if err != nil || s.Account != "333444" || len(s.Lines) != 1 || s.Lines[0].Number != 12 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = readText(file, bankfile.MT940, bankfile.Options{Account: "BANKXX/111222"}); err != nil || s.Account != "BANKXX/111222" {
		t.Errorf("%+v, %v", s, err)
	}
	masked := "Account No: XXXXXXXX5678\nday,amount,text\n01/04/2024,1.00,x\n"
	if s, err = readText(masked, bankfile.CSV, bankfile.Options{Mapping: mapping(t, csvMap), Account: "502000125678"}); err != nil || s.Account != "502000125678" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err = readText(file, bankfile.MT940, bankfile.Options{Account: "555"}); err == nil || !strings.Contains(err.Error(), "333444 in INR") {
		t.Error(err)
	}
}

// Times with an offset are of the day in the zone that is given.
func TestZone(t *testing.T) {
	file := strings.Replace(camt(booked), "<Dt>2024-04-01</Dt>", "<DtTm>2024-03-31T20:00:00Z</DtTm>", 1)
	for want, zone := range map[string]*time.Location{"2024-03-31": nil, "2024-04-01": time.FixedZone("IST", 19800)} {
		s, err := readText(file, bankfile.CAMT053, bankfile.Options{Zone: zone})
		if err != nil || s.Lines[0].Date.Format(time.DateOnly) != want {
			t.Errorf("%v: %+v, %v", zone, s, err)
		}
	}
}

// A line is named by the text's line, also behind cells that hold line ends.
func TestLinesAreCounted(t *testing.T) {
	s, err := readText("day,amount,text\n01/04/2024,1.00,\"a\nb\"\n\n01/04/2024,2.00,c\n", bankfile.CSV, bankfile.Options{Mapping: mapping(t, csvMap)})
	if err != nil || len(s.Lines) != 2 || s.Lines[0].Number != 2 || s.Lines[1].Number != 5 || s.Lines[0].Narration != "a\nb" {
		t.Errorf("%+v, %v", s, err)
	}
	var e *bankfile.Error
	_, err = readText("day,amount,text\n01/04/2024,1.00,\"a\nb\"\n\n01/04/2024,x,c\n", bankfile.CSV, bankfile.Options{Mapping: mapping(t, csvMap)})
	if !errors.As(err, &e) || e.Line != 5 || e.Field != "amount" {
		t.Error(err)
	}
}
