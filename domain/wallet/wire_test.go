package wallet

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

// byEncodingJSON is how events were written when the first of them was stored: what Encode must write for ever.
func byEncodingJSON(e Event) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// texts draws what JSON writes in all of its ways.
func texts() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[A-Za-z0-9+/=_:.-]{0,40}`),
		rapid.SampledFrom([]string{
			"", `"`, `\`, `say "no" \ yes`, "a/b?c=d&e=<f>", "\x00", "\x1f", "\x7f", "\x80", "\b\f\n\r\t", "\u2028", "x\u2029", "\ufeff", "\ufffd",
			"\xff", "\xc3(", "ends in \xe2\x82", "\xed\xa0\x80", "भुगतान ₹1", "😀", "1234567\"", "12345678\"", "1234567\\", "7654321\x1f", "7654321\x80",
		}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
}

func amountsOf(c money.Currency) *rapid.Generator[money.Amount] {
	exp, _ := c.Exponent()
	return rapid.OneOf(
		rapid.Map(rapid.Int64Range(-1_000_000, 100_000_000), func(n int64) money.Amount { return money.FromMinor(n, c) }),
		rapid.Map(rapid.Int64(), func(n int64) money.Amount { return money.FromMinor(n, c) }),
		rapid.Map(rapid.Int64(), func(n int64) money.Amount { // more than 64 bits of minor units
			return money.Round(decimal.New(n, 6-exp), c)
		}),
	)
}

// draw fills an event of the type with anything.
func draw(t *rapid.T, typ string) Event {
	e := blank(typ, 1)
	c := rapid.SampledFrom([]money.Currency{"INR", "INR", "JPY", "KWD", "XXX", ""}).Draw(t, "currency")
	fill(t, reflect.ValueOf(e).Elem(), c)
	e.Header().Currency = c
	return e
}

func fill(t *rapid.T, v reflect.Value, c money.Currency) {
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = texts().Draw(t, name)
		case *bool:
			*f = rapid.Bool().Draw(t, name)
		case *int:
			*f = rapid.OneOf(rapid.IntRange(0, 20), rapid.Int()).Draw(t, name)
		case *money.Amount:
			*f = amountsOf(c).Draw(t, name)
		case *time.Time:
			zone := time.FixedZone("", rapid.SampledFrom([]int{0, 19800, -3600, 1, 86400}).Draw(t, "offset"))
			at := time.Unix(rapid.Int64Range(-70_000_000_000, 300_000_000_000).Draw(t, name), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
			*f = rapid.SampledFrom([]time.Time{{}, noon, expiry, at.UTC(), at.In(zone)}).Draw(t, name)
		case *Phase:
			*f = Phase(texts().Draw(t, name))
		case *DisputeStatus:
			*f = DisputeStatus(texts().Draw(t, name))
		case *money.Currency:
		case *[]route.Candidate:
			*f = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) (k route.Candidate) {
				fill(t, reflect.ValueOf(&k).Elem(), c)
				return k
			}), 0, 3).Draw(t, name)
		case *route.Verdict:
			*f = route.Verdict(texts().Draw(t, name))
		default:
			fill(t, v.Field(i), c)
		}
	}
}

// TestEncodeIsEncodingJSON: not one byte of any event differs from what encoding/json writes.
func TestEncodeIsEncodingJSON(t *testing.T) {
	for _, typ := range golden.Types(t, ".") {
		t.Run(typ, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				e := draw(t, typ)
				want, wantErr := byEncodingJSON(e)
				got, err := Encode(e)
				if (err != nil) != (wantErr != nil) || !bytes.Equal(got, want) {
					t.Fatalf("%s (%v)\nencoding/json writes\n%s (%v)", got, err, want, wantErr)
				}
				if err != nil {
					return
				}
				behind, err := new(Encoder).Append([]byte("before"), e)
				if err != nil || string(behind) != "before"+string(want) {
					t.Fatalf("appended: %s (%v)", behind, err)
				}
			})
		})
	}
}

// agree fails unless both ways to read an event give the same: readOwn may only take what readAny takes, and as that.
func agree(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, typ string, data []byte) {
	t.Helper()
	own, other := blank(typ, 1), blank(typ, 1)
	if !readOwn(own, data) {
		return
	}
	if err := readAny(other, data); err != nil {
		t.Fatalf("%s was read as %+v, encoding/json: %v", data, own, err)
	}
	if !reflect.DeepEqual(own, other) {
		t.Fatalf("%s was read as\n%+v, by encoding/json as\n%+v", data, own, other)
	}
}

// TestDecodeIsEncodingJSON reads what was written, and the same damaged in places.
func TestDecodeIsEncodingJSON(t *testing.T) {
	pieces := []string{
		`"`, `\`, `{`, `}`, `,`, `:`, `0`, `1`, `-`, `.`, ` `, "\n", "\xff", "\x00", "true", "false", "null", `""`, `,"late":true`, `,"actor":""`, `00`, `1e3`, `\u0031`, "₹",
		`{}`, `},`, `"INR"`, `"XXX"`, `"currency"`, `"Amount"`,
	}
	for _, typ := range golden.Types(t, ".") {
		t.Run(typ, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				data, err := Encode(draw(t, typ))
				if err != nil {
					return // a time that JSON does not have
				}
				agree(t, typ, data)
				for range rapid.IntRange(1, 3).Draw(t, "damages") {
					from := rapid.IntRange(0, len(data)).Draw(t, "from")
					to := min(len(data), from+rapid.SampledFrom([]int{0, 0, 1, 1, 2, 5}).Draw(t, "cut"))
					put := rapid.SampledFrom(append(pieces, "", "", "")).Draw(t, "put")
					data = slices.Replace(data, from, to, []byte(put)...)
				}
				agree(t, typ, data)
			})
		})
	}
}

// TestDecodeOwn: what Encode writes of an event as the ledger decides it needs no encoding/json.
func TestDecodeOwn(t *testing.T) {
	for _, g := range golden.Events(t, ".") {
		if !readOwn(blank(g.Type, g.Schema), g.Data) {
			t.Errorf("%s is not read as written by Encode", g.Name)
		}
	}
	data, err := Encode(&PayinFailed{Of: payin, Gateway: "भुगतान", Reason: "₹"})
	if err != nil || !readOwn(&PayinFailed{}, data) {
		t.Errorf("%s, %v: is not read as written by Encode", data, err)
	}
}

// TestDecodeRefusesNearMisses: what is almost as Encode writes it is judged like any JSON.
func TestDecodeRefusesNearMisses(t *testing.T) {
	const price = `"amount":"7.00","commission":"1.00","tax":"0.00","fee":{"plan":"p","version":1}`
	const of = `{"merchant":"m","currency":"INR","payment":"txn_1"`
	for name, data := range map[string]string{
		"a brace less":              of + `,"amount":"7.00","commission":"1.00","tax":"0.00","fee":{"plan":"p","version":1,"reason":"r"}`,
		"a brace more":              of + `,` + price + `,"reason":"r"}}`,
		"a number with a zero":      strings.Replace(of+`,`+price+`,"reason":"r"}`, `"version":1`, `"version":01`, 1),
		"a number too large":        strings.Replace(of+`,`+price+`,"reason":"r"}`, `"version":1`, `"version":99999999999999999999`, 1),
		"a line feed in a text":     of + `,` + price + ",\"reason\":\"r\n\"}",
		"no end":                    of + `,` + price + `,"reason":"r"`,
		"no end of a text":          of + `,` + price + `,"reason":"r`,
		"nothing":                   ``,
		"an amount of half a paisa": strings.Replace(of+`,`+price+`,"reason":"r"}`, "7.00", "7.005", 1),
		"a comma at the end":        of + `,` + price + `,"reason":"r",}`,
	} {
		if e, err := Decode("payout.failed", 1, []byte(data)); err == nil {
			t.Errorf("%s: %s was read as %+v", name, data, e)
		}
	}
	e, err := Decode("payout.failed", 1, []byte(` { "reason":"\u0072", `+price+`, `+of[1:]+`} `))
	if err != nil || e.(*PayoutFailed).Reason != "r" || !e.(*PayoutFailed).Amount.Equal(inr("7")) {
		t.Errorf("an event written by hand was read as %+v, %v", e, err)
	}
}

func FuzzDecodeAgrees(f *testing.F) {
	for _, g := range golden.Events(f, ".") {
		f.Add(g.Type, g.Data)
	}
	f.Fuzz(func(t *testing.T, typ string, data []byte) {
		if blank(typ, 1) != nil {
			agree(t, typ, data)
		}
	})
}

// TestPlain compares eight characters at a time with one at a time.
func TestPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(texts(), rapid.Map(rapid.SliceOfN(rapid.ByteRange(0x1e, 0x82), 0, 20), func(b []byte) string { return string(b) })).Draw(t, "s")
		want := !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r >= utf8.RuneSelf })
		if plain(s) != want {
			t.Fatalf("plain(%q) is %v", s, !want)
		}
	})
}
