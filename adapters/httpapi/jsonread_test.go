package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeObject(t *testing.T) {
	const in = " {\"s\":\"a\\u00e9\\ud83d\\ude42\\n\\\"\\/é\",\"n\":-12.50e+3,\"t\":true,\"z\":null,\"l\":[1,{\"a\":[]}],\"o\":{\"x\" : \"y\"},\"\":0}\r\n"
	got, err := DecodeObject([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := Object{
		{"s", String, "aé🙂\n\"/é"}, {"n", Number, "-12.50e+3"}, {"t", Bool, "true"}, {"z", Null, "null"},
		{"l", Array, `[1,{"a":[]}]`}, {"o", Nested, `{"x" : "y"}`}, {"", Number, "0"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if m := got.Get("S"); m.Kind != Absent {
		t.Errorf("names are compared without case: %v", m)
	}
}

func TestDecodeObjectRefuses(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":%d`, i, i)
	}
	for _, in := range []string{
		``, ` `, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{'a':1}`, `{"a":1}}`, `{"a":1} x`, "{\"a\":1}\x00",
		`{"a":01}`, `{"a":.5}`, `{"a":5.}`, `{"a":1e}`, `{"a":+1}`, `{"a":-}`, `{"a":1e+}`, `{"a":NaN}`, `{"a":Infinity}`, `{"a":0x1}`,
		`{"a":tru}`, `{"a":TRUE}`, `{"a":nul}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\`, `{"a":"\u`, `{"a":"`,
		`{"a":"\ud800"}`, `{"a":"\ud800x"}`, `{"a":"\ud800\n"}`, `{"a":"\ud800\ud800"}`, `{"a":"\udc00"}`, `{"a":"\ud800\u`,
		"{\"a\":\"\xff\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"\xff\":1}", "{\"a\":\"x\\ny\xff\"}", "{\"a\":\"\x01\"}", "{\"a\":\"\\n\x01\"}",
		`{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"x":{"a":1,"a":1}}`, `{"x":[{"a":1,"a":1}]}`, `{` + strings.Join(many, ",") + `,"k39":1}`, `{` + strings.Join(many, ",") + `,"k0":1}`,
		`{"a":[1,]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":[`, `{"a":{]}`, `{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`,
		`{"a":` + strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth) + `}`, "\ufeff{}", `{"a":1/**/}`,
	} {
		if o, err := DecodeObject([]byte(in)); err == nil || errors.Is(err, ErrNotObject) {
			t.Errorf("%q was read as %v, error %v", in, o, err)
		}
	}
	for _, in := range []string{`[]`, `null`, `1`, `"x"`, ` true `, `[{"a":1}]`} {
		if _, err := DecodeObject([]byte(in)); !errors.Is(err, ErrNotObject) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := DecodeObject([]byte(`{` + strings.Join(many, ",") + `}`)); err != nil {
		t.Errorf("forty members: %v", err)
	}
}

// What DecodeObject takes, encoding/json takes too, and with the same text; and it never takes a name twice.
func FuzzDecodeObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":"b"}`, `{"a":1.5e3,"b":[true,null,{"c":"\u00e9\ud83d\ude42"}]}`, `[1]`, `{"a":1,"a":2}`, `{"a":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		o, err := DecodeObject(in)
		if err != nil {
			return
		}
		var std map[string]json.RawMessage
		if err := json.Unmarshal(in, &std); err != nil {
			t.Fatalf("%q is taken; encoding/json says %v", in, err)
		}
		if len(std) != len(o) {
			t.Fatalf("%q has %d members, read as %d", in, len(std), len(o))
		}
		for _, m := range o {
			if m.Kind != String {
				if string(std[m.Name]) != m.Text {
					t.Fatalf("%q: %q is %q, read as %q", in, m.Name, std[m.Name], m.Text)
				}
				continue
			}
			var s string
			if err := json.Unmarshal(std[m.Name], &s); err != nil || s != m.Text {
				t.Fatalf("%q: %q is %q (%v), read as %q", in, m.Name, s, err, m.Text)
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("a\"b\\c\n\x00\x1f\u2028é🙂\xff</script>")
	f.Fuzz(func(t *testing.T, s string) {
		b := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatalf("%q became %s: %v", s, b, err)
		}
		var std string
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &std); err != nil || std != back {
			t.Fatalf("%q came back as %q, from encoding/json as %q", s, back, std)
		}
	})
}
