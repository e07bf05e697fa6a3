package pack

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore/proof"
)

func TestMasking(t *testing.T) {
	m := newMasker([]Personal{{Opened: []byte(`{"name":"Asha Rao","phone":"9876543210","x":"ab"}`)}, {Erased: true}})
	for _, tt := range []struct {
		name, mediaType, body, want string
		ok                          bool
	}{
		{"a request", "application/json", `{"amount":5000,"customer_phone":"9876543210","customer_name":"Asha Rao","order_id":"O1"}`,
			`{"amount":5000,"customer_phone":"******3210","customer_name":"***","order_id":"O1"}`, true},
		{"known in another's field", "application/json", `{"order_id":"for asha rao, 9876543210"}`, `{"order_id":"for ***, ***"}`, true},
		{"nested", "application/json", `{"data":{"status":"paid","to":[{"n":"X"},"Y",12345678]},"ok":true,"none":null}`,
			`{"data":{"status":"paid","to":[{"n":"***"},"***","****5678"]},"ok":true,"none":null}`, true},
		{"a list of what is shown", "application/json", `{"code":["A","B"]}`, `{"code":["A","B"]}`, true},
		{"names of fields", "application/json", `{"Asha Rao":"x"}`, `{"***":"***"}`, true},
		{"a number that is known", "application/json", `{"reference":9876543210}`, `{"reference":"******3210"}`, true},
		{"a text alone", "application/json", `"Asha"`, `"***"`, true},
		{"any JSON", "application/vnd.khata.origin+json; charset=utf-8", `{"client_ip":"192.0.2.1","key_id":"key_1"}`, `{"client_ip":"***","key_id":"key_1"}`, true},
		{"spelling", "application/json", `{"Txn-Id":"T","UTR":"U","net_amount":"1.00","Payer Name":"P"}`, `{"Txn-Id":"T","UTR":"U","net_amount":"1.00","Payer Name":"***"}`, true},
		{"a form", "application/x-www-form-urlencoded", "status=paid&name=Asha+Rao&mobile=%2B919876543210&utr=123", "status=paid&name=%2A%2A%2A&mobile=%2A%2A%2A%2A%2A%2A%2A%2A%2A3210&utr=123", true},
		{"no form", "application/x-www-form-urlencoded", "a=%zz", "", false},
		{"broken JSON", "application/json", `{"status":"paid"`, "", false},
		{"two values", "application/json", `{} {}`, "", false},
		{"nothing", "application/json", "", "", false},
		{"text", "text/plain", "Asha Rao", "", false},
		{"XML", "application/xml", "<name>Asha</name>", "", false},
		{"no text", "application/json", "\"\xff\"", "", false},
		{"no type", "", "{}", "", false},
		{"very deep", "application/json", strings.Repeat("[", 100) + strings.Repeat("]", 100), "", false},
	} {
		got, ok := m.message(tt.mediaType, []byte(tt.body))
		if ok && strings.Contains(tt.mediaType, "json") {
			got = compacted(t, got)
		}
		if ok != tt.ok || string(got) != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got, ok)
		}
	}
	odd := newMasker([]Personal{{Opened: []byte(`{"name":"***","b":"ASHA"}`)}})
	if got, ok := odd.message("application/x-www-form-urlencoded", []byte("ref=%ff%ffasha***")); !ok || string(got) != "ref=%FF%FF%2A%2A%2A%2A%2A%2A" {
		t.Errorf("somebody is called ***, and not UTF-8: %q, %v", got, ok)
	}
	impersonalOnly := []byte("{ \"status\" : \"paid\",\n \"amount\":1.50 }")
	if got, ok := m.json(impersonalOnly); !ok || string(got) != string(impersonalOnly) {
		t.Errorf("what has nothing personal becomes %s", got)
	}
}

func compacted(t *testing.T, b []byte) []byte {
	t.Helper()
	var v json.RawMessage
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestNothingPersonalIsLeft: wherever a gateway puts what the payment's sealed part says, and whatever it calls it, it is not in the masked message;
// and the masked message is of the same shape.
func TestNothingPersonalIsLeft(t *testing.T) {
	secrets := []string{"Rahul Sharma", "1234567890", "राहुल शर्मा"}
	opened, err := json.Marshal(map[string]string{"name": secrets[0], "account_no": secrets[1], "holder": secrets[2]})
	if err != nil {
		t.Fatal(err)
	}
	m := newMasker([]Personal{{Opened: opened}})
	names := rapid.SampledFrom([]string{"id", "utr", "order_id", "reason", "name", "remarks", "to", "status", secrets[0]})
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		return rapid.Custom(func(t *rapid.T) any {
			switch n := rapid.IntRange(0, 5).Draw(t, "kind"); {
			case n == 0 && depth < 4:
				return rapid.MapOfN(names, value(depth+1), 0, 4).Draw(t, "object")
			case n == 1 && depth < 4:
				return rapid.SliceOfN(value(depth+1), 0, 4).Draw(t, "list")
			case n == 2:
				return rapid.Bool().Draw(t, "truth")
			case n == 3:
				return json.Number(rapid.SampledFrom([]string{"1234567890", "1.50", "0", "91234567890"}).Draw(t, "number"))
			default:
				return rapid.SampledFrom([]string{"a ", "", "x-"}).Draw(t, "before") + rapid.SampledFrom(append(secrets, "RAHUL sharma", "paid")).Draw(t, "text") + rapid.SampledFrom([]string{"", " z"}).Draw(t, "behind")
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		body, err := json.Marshal(value(0).Draw(t, "message"))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := m.message("application/json", body)
		if !ok || !json.Valid(got) {
			t.Fatalf("%s becomes %q, %v", body, got, ok)
		}
		for _, s := range append(secrets, "rahul sharma") {
			if strings.Contains(strings.ToLower(string(got)), strings.ToLower(s)) {
				t.Fatalf("%s becomes %s", body, got)
			}
		}
	})
}

// No bytes but those of a pack that was given out hold under the key that has signed it.
func FuzzVerify(f *testing.F) {
	var given [][]byte
	for _, name := range []string{"masked.v1.zip", "clear.v1.zip", "masked.v2.zip", "clear.v2.zip"} {
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		given = append(given, b)
	}
	var all []proof.Keys
	for _, name := range []string{"key.v1.txt", "key.v2.txt"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		keys, err := proof.ParseKeys(string(text))
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, keys)
	}
	f.Add([]byte("PK\x05\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		known := slices.ContainsFunc(given, func(g []byte) bool { return bytes.Equal(b, g) })
		for _, keys := range all {
			if v := Verify(b, keys); v.Holds && !known || v.Holds != (len(v.Faults) == 0) {
				t.Errorf("%+v", v)
			}
		}
	})
}

func FuzzMask(f *testing.F) {
	m := newMasker([]Personal{{Opened: []byte(`{"name":"Rahul"}`)}})
	f.Add("application/json", []byte(`{"a":[1,"x",{"id":null}]}`))
	f.Add("application/x-www-form-urlencoded", []byte("a=b&c"))
	f.Fuzz(func(t *testing.T, mediaType string, body []byte) {
		if got, ok := m.message(mediaType, body); ok && strings.Contains(strings.ToLower(string(got)), "rahul") {
			t.Errorf("%q becomes %q", body, got)
		}
	})
}
