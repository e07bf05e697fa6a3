package eventstore_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore"
)

// TestMetaBytes: the hash of a record covers its meta, so the bytes stay those of encoding/json, whatever the texts are.
func TestMetaBytes(t *testing.T) {
	text := rapid.OneOf(
		rapid.SampledFrom([]string{"", "key:key_1", "a<b>&c", `"\`, "\x00\x1f\x7f\b\f\n\r\t", "\u2028\u2029", "\xff\xc3(", "₹ 1"}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
	rapid.Check(t, func(t *rapid.T) {
		m := eventstore.Meta{Command: text.Draw(t, "command"), Actor: text.Draw(t, "actor"), Request: text.Draw(t, "request"), BodyHash: text.Draw(t, "body")}
		want, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Bytes(); string(got) != string(want) {
			t.Fatalf("%s, encoding/json writes %s", got, want)
		}
	})
}

func BenchmarkMetaBytes(b *testing.B) {
	m := eventstore.Meta{
		Command: "0192f0c4-7a3e-7cc0-98a1-4f1f6f3b9c55", Actor: "key:key_7q2k9d4m1x8cw5n3", Request: "req-0192f0c47a3e7cc0",
		BodyHash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(m.Bytes()) == 0 {
			b.Fatal("nothing")
		}
	}
}
