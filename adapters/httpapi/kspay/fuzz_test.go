package kspay

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/money"
)

// Whatever a body holds and says that it is, it is read or refused; and what is read as a string of JSON or of a form is what the standard
// library reads.
func FuzzForm(f *testing.F) {
	for _, seed := range [][2]string{
		{"application/json", `{"a":"b","amount":345.67,"a2":null}`}, {"application/x-www-form-urlencoded", "a=b&amount=345.67"}, {"", `{"a":"\ud83d\ude42"}`}, {"", "a"},
		{"text/plain", "{}"}, {"text/plain", "x"}, {"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n--b--\r\n"},
		{"multipart/form-data", ""}, {"application/json; charset=utf-8", `{"a":1,"a":2}`}, {"application/x-www-form-urlencoded", "a=%zz&b"},
	} {
		f.Add(seed[0], []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		h := http.Header{}
		if kind != "" {
			h["Content-Type"] = []string{kind}
		}
		read, err := parseForm(h, body)
		if err != nil {
			if !errors.Is(err, errMalformed) && !errors.Is(err, errMediaType) {
				t.Fatal(err)
			}
			return
		}
		if len(read.fields) > maxFields {
			t.Fatalf("%d fields", len(read.fields))
		}
		for _, m := range read.fields {
			if got := read.fields.Get(m.Name); got != m {
				t.Fatalf("%q stands twice", m.Name)
			}
			if m.Kind != httpapi.String {
				continue
			}
			switch read.media {
			case typeJSON:
				var want map[string]any
				if err := json.Unmarshal(body, &want); err != nil || want[m.Name] != m.Text {
					t.Fatalf("%q is read as %q: %v", body, m.Text, err)
				}
			case typeForm:
				want, err := url.ParseQuery(strings.TrimRight(string(body), "\r\n"))
				if err != nil || want.Get(m.Name) != m.Text {
					t.Fatalf("%q is read as %q: %v", body, m.Text, err)
				}
			}
		}
	})
}

// An amount that is read is the number that was written, and has no more decimals than its currency.
func FuzzAmount(f *testing.F) {
	for _, seed := range []string{"345.67", "0", "-1", "1e3", "11.00", "999999999999999999999", ".5", "5.", "٣", "0.10", "00.1"} {
		f.Add(seed, uint8(2))
	}
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		c := []money.Currency{"JPY", "KWD", "INR", "BTC"}[which%4]
		body := &form{fields: httpapi.Object{{Name: "amount", Kind: httpapi.String, Text: text}}}
		a, err := body.amount(c)
		if err != nil {
			return
		}
		if a.Sign() <= 0 || a.Currency() != c {
			t.Fatalf("%q is read as %s", text, a)
		}
		plain := strings.TrimSpace(text)
		if strings.Contains(plain, ".") {
			plain = strings.TrimRight(strings.TrimRight(plain, "0"), ".")
		}
		if a.Short() != plain {
			t.Fatalf("%q is read as %s", text, a.Short())
		}
	})
}
