package batchfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

func readJSON(t testing.TB, text string) (outcome, batchfile.Options) {
	t.Helper()
	r := batchfile.NewJSON(strings.NewReader(text), batchfile.ReadOptions{Check: shape})
	return readAll(t, r), r.Options()
}

func TestJSONOptions(t *testing.T) {
	const options = `"batch_ref":"pay-7","mode":"atomic","approval":"required","on_insufficient_balance":"queue","schedule_at":"2026-04-01T09:30:00+05:30"`
	items := `"items":[` + object("a") + `]`
	want := batchfile.Options{
		BatchRef: "pay-7", Mode: batchfile.ModeAtomic, Approval: batchfile.ApprovalRequired, OnInsufficientBalance: batchfile.BalanceQueue,
		ScheduleAt: time.Date(2026, 4, 1, 4, 0, 0, 0, time.UTC),
	}
	for _, text := range []string{
		"{" + options + "," + items + "}",
		"{" + items + "," + options + "}",
		"\ufeff {\n" + strings.ReplaceAll(options, ",", ",\n") + " ,\n" + items + "}\n\n",
		`{"batch_ref":"pay-7",` + items + `,` + strings.TrimPrefix(options, `"batch_ref":"pay-7",`) + "}",
		"{" + strings.ReplaceAll(options, "pay-7", `\u0070ay-7`) + "," + items + "}",
	} {
		o, got := readJSON(t, text)
		wantProblems(t, o)
		if len(o.items) != 1 || got != want {
			t.Errorf("%s: %d items, %+v", text, len(o.items), got)
		}
	}
	o, got := readJSON(t, `{"mode":null,"approval":"",`+items+"}")
	if wantProblems(t, o); got != (batchfile.Options{}) {
		t.Errorf("%+v", got)
	}
}

// What is wrong with a body as a whole.
func TestJSONBody(t *testing.T) {
	a, b := object("a"), object("b")
	for _, c := range []struct{ text, want string }{
		{`[]`, "line 1: the body must be a JSON object"},
		{"\n\nnull", "line 3: the body must be a JSON object"},
		{`"x"`, "line 1: the body must be a JSON object"},
		{`{"items":{}}`, "line 1, items: must be an array"},
		{`{"items":null}`, "line 1, items: must be an array"},
		{`{"items":"x"}`, "line 1, items: must be an array"},
		{`{"items":[` + a + `],"items":[` + b + `]}`, "line 1, items: is given twice"},
		{"{\n\"mode\":\"partial\",\n\"mode\":\"atomic\",\n\"items\":[" + a + "]}", "line 3, mode: is given twice"},
		{"{\"items\":[" + a + "],\n\"mode\":\"all\",\n\"approval\":5,\"on_insufficient_balance\":\"wait\",\"schedule_at\":\"tomorrow\",\"extra\":{\"x\":[1]},\"batch_ref\":\"\\ud800\"}",
			"line 2, mode: must be \"partial\" or \"atomic\"\nline 3, approval: must be a string\nline 3, on_insufficient_balance: must be \"reject\" or \"queue\"\n" +
				"line 3, schedule_at: must be a time with its zone, such as 2026-04-01T09:30:00+05:30\nline 3, extra: is not a field of a batch\nline 3, batch_ref: has half a surrogate pair"},
		{`{"mode":"x"}`, "line 1, mode: must be \"partial\" or \"atomic\"\nitems: is required"},
		{`{"mode":"x","items":[]}`, "line 1, mode: must be \"partial\" or \"atomic\"\nthere is no item in the batch"},
		{`{"items":[` + a + `]} x`, "line 1: is not well-formed JSON: invalid character 'x' looking for beginning of value"},
		{`{"items":[` + a + `]}{}`, "line 1: is not well-formed JSON: there is data behind the body"},
		{`{"items":[` + a + `]`, "line 1: the JSON ends before its end"},
		{`{"items":[` + a, "line 1: the JSON ends before its end"},
		{"{\"items\":[\n" + a + ",\n" + a[:50], "item 2, line 3: the JSON ends before its end"},
		{"{\"items\":[\n" + a + ",\n\n{\"amount\":01}]}", "item 2, line 4: is not well-formed JSON: invalid character '1' after object key:value pair"},
		{"{\"items\":[\n" + a + "\n" + b + "]}", "item 2, line 3: is not well-formed JSON: expected comma after array element"},
		{"{\"items\":[\n" + a + ",\n]}", "item 2, line 3: is not well-formed JSON: invalid character ']' looking for beginning of value"},
		{"{\"items\":[" + a + "],}", "line 1: is not well-formed JSON: "},
		{"{\"items\":[" + a + "}", "line 1: is not well-formed JSON: "},
		{"{'items':[]}", "line 1: is not well-formed JSON: "},
		{"{\"items\" []}", "line 1: is not well-formed JSON: "},
		{"{\"items\":[" + a + ",\n" + strings.Replace(b, "Asha", "Ash\xe9", 1) + "]}", "item 2, line 2: holds bytes that are not UTF-8: save the file as CSV UTF-8"},
		{"{\"items\":[" + a + ",\n" + strings.Replace(b, "Asha", strings.Repeat("a", 40<<10), 1) + "]}", "item 2, line 2: a JSON value here is longer than 16384 bytes"},
		{"{\"items\":[" + a + ",\n" + strings.Replace(b, "Asha", strings.Repeat("a", 16<<10), 1) + "]}", "item 2, line 2: a JSON value here is longer than 16384 bytes"},
		{`{"` + strings.Repeat("x", 40<<10) + `":1}`, "line 1: a JSON value here is longer than 16384 bytes"},
		{`{"items":[` + strings.Repeat(" ", 40<<10), "line 1: a JSON value here is longer than 16384 bytes"},
	} {
		t.Run(c.text[:min(len(c.text), 40)], func(t *testing.T) {
			o, _ := readJSON(t, c.text)
			got := strings.Join(o.all, "\n")
			if o.failed == nil || got != c.want && (!strings.HasSuffix(c.want, ": ") || !strings.HasPrefix(got, c.want)) {
				t.Errorf("%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// items are read alike in JSON and NDJSON.
func TestObjects(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(object("a"), old, replacement, 1) }
	const amount = `1500.00`
	for _, c := range []struct{ text, want string }{
		{with(amount, `"1500.00"`), ""},
		{with(amount, `1500`), ""},
		{with(amount, `1500.000`), "amount: must have at most two decimals"},
		{with(amount, `1e3`), "amount: must be a plain decimal number"},
		{with(amount, `"1,500"`), "amount: must be a plain decimal number"},
		{with(amount, `"₹1500"`), "amount: must be a plain decimal number"},
		{with(amount, `" 1500"`), "amount: must be a plain decimal number"},
		{with(amount, `-0`), "amount: must be more than zero"},
		{with(amount, `10000000000000`), "amount: is too large"},
		{with(amount, `true`), "amount: must be a number"},
		{with(amount, `{"x":[1]}`), "amount: must be a number"},
		{with(amount, `null`), "amount: is required"},
		{with(amount, `""`), "amount: is required"},
		{with(amount, `"`+strings.Repeat("1", 2000)+`"`), "amount: is longer than 1024 bytes"},
		{with(amount, strings.Repeat("1", 2000)), "amount: is longer than 1024 bytes"},
		{with(`"00123456789012"`, `123456789012`), "account_no: must be a string"},
		{with(`"00123456789012"`, `"1.23E+14"`), "account_no: is in scientific notation, such as 1.23E+14: a spreadsheet took it for a number, and its last digits are lost; " +
			"format the column as text, then type the number again"},
		{with(`"00123456789012"`, `"'00123456789012"`), "account_no: must be 8 to 20 digits"},
		{with(`"9876543210"`, `null`), "mobile_no: is required"},
		{with(`"Asha Verma"`, `["Asha"]`), "beneficiary_name: must be a string"},
		{with(`"Asha Verma"`, `"\ud800"`), "beneficiary_name: has half a surrogate pair"},
		{with(`"Asha Verma"`, `"\ud800x"`), "beneficiary_name: has half a surrogate pair"},
		{with(`"Asha Verma"`, `"\udc00\ud800"`), "beneficiary_name: has half a surrogate pair"},
		{with(`"Asha Verma"`, `"\ud83d\ude42 \\ud800 \u0041"`), ""},
		{with(`"Asha Verma"`, `"`+strings.Repeat("a", 1025)+`"`), "beneficiary_name: is longer than 1024 bytes"},
		{with(`{`, `{"ifsc":"SBIN0000000",`), "ifsc: is given twice"},
		{with(`{`, `{"\u0069fsc":"SBIN0000000",`), "ifsc: is given twice"},
		{with(`{`, `{"IFSC":"x","purpose":[{"a":"]}"}],`), "IFSC: is not a field of an item\npurpose: is not a field of an item"},
		{with(`{`, `{"":1,`), ": is not a field of an item"},
		{`{}`, "mobile_no: is required\nbeneficiary_name: is required\naccount_no: is required\nifsc: is required\nbank_name: is required\namount: is required\ntransfer_type: is required"},
		{`[1]`, ": must be a JSON object"},
		{`null`, ": must be a JSON object"},
	} {
		t.Run(c.text[:min(len(c.text), 60)], func(t *testing.T) {
			for format, open := range readers() {
				text := object("before") + "\n" + c.text + "\n" + object("after") + "\n"
				line := 2
				switch format {
				case "csv":
					continue
				case "json":
					text = "{\"items\":[" + object("before") + ",\n\n" + c.text + ",\n" + object("after") + "]}"
					line = 3
				}
				o := readAll(t, open(strings.NewReader(text), batchfile.ReadOptions{Check: shape}))
				var want []string
				for w := range strings.Lines(c.want) {
					w = strings.TrimSpace(w)
					place := fmt.Sprintf("item 2, line %d", line)
					if w[0] != ':' {
						place += ", "
					}
					want = append(want, place+w)
				}
				wantProblems(t, o, want...)
				if len(o.items) != 3 || !o.good[0] || !o.good[2] || o.failed != nil {
					t.Errorf("%s: %+v, %v", format, o.items, o.failed)
				}
			}
		})
	}
	many := `{`
	for i := range 900 {
		many += fmt.Sprintf(`"x%d":1,`, i)
	}
	o := readAll(t, batchfile.NewNDJSON(strings.NewReader(many+object("a")[1:]), batchfile.ReadOptions{}))
	if len(o.all) != 16 || o.all[15] != "item 1, line 1, x15: is not a field of an item" {
		t.Errorf("%d problems, %v", len(o.all), o.all)
	}
}

func TestNDJSONLines(t *testing.T) {
	text := "\ufeff\n" + object("a") + "\r\n\r\n" + `{"mobile_no":` + "\n" + strings.Replace(object("b"), "Asha", strings.Repeat("a", 70<<10), 1) + "\n  " + object("c")
	o := readAll(t, batchfile.NewNDJSON(strings.NewReader(text), batchfile.ReadOptions{Check: shape}))
	wantProblems(t, o, "item 2, line 4: is not well-formed JSON", "item 3, line 5: is longer than 16384 bytes")
	if len(o.items) != 4 || brief(o.items[3]) != "4@6 9876543210|Asha Verma|00123456789012|SBIN0001234|State Bank of India|1500.00|5|c" {
		t.Errorf("%+v", o.items)
	}
	exact := object("a")
	exact += strings.Repeat(" ", 16<<10-len(exact))
	o = readAll(t, batchfile.NewNDJSON(strings.NewReader(exact+"\r\n"+exact+" \r\n"), batchfile.ReadOptions{}))
	wantProblems(t, o, "item 2, line 2: is longer than 16384 bytes")
	o = readAll(t, batchfile.NewNDJSON(strings.NewReader(object("a")+"\n"+"{\xff}\n"), batchfile.ReadOptions{}))
	wantProblems(t, o, "item 2, line 2: holds bytes that are not UTF-8: save the file as CSV UTF-8")
}

func TestSetOptions(t *testing.T) {
	var o batchfile.Options
	for _, c := range []struct{ name, value, want string }{
		{"mode", "partial", ""}, {"mode", "Partial", `mode must be "partial" or "atomic"`}, {"mode", "", ""},
		{"approval", "none", ""}, {"approval", "maybe", `approval must be "none" or "required"`},
		{"on_insufficient_balance", "queue", ""}, {"on_insufficient_balance", "x", `on_insufficient_balance must be "reject" or "queue"`},
		{"schedule_at", "2026-04-01T09:30:00Z", ""}, {"schedule_at", "2026-04-01 09:30", "schedule_at must be a time with its zone, such as 2026-04-01T09:30:00+05:30"},
		{"batch_ref", "x", ""}, {"batch_ref", "", ""}, {"dry_run", "true", "dry_run is not an option of a batch"},
	} {
		got := ""
		if err := o.Set(c.name, c.value); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s=%s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
	want := batchfile.Options{
		BatchRef: "x", Mode: "partial", Approval: "none", OnInsufficientBalance: "queue", ScheduleAt: time.Date(2026, 4, 1, 9, 30, 0, 0, time.UTC),
	}
	if o != want {
		t.Errorf("%+v", o)
	}
}
