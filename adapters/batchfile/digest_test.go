package batchfile_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// digest reads all items of a batch and adds them.
func digest(t testing.TB, r *batchfile.Reader, o batchfile.Options) string {
	t.Helper()
	d := batchfile.NewDigest()
	for _, it := range readAll(t, r).items {
		d.Add(&it)
	}
	sum := d.Sum(o)
	if again := d.Sum(o); again != sum {
		t.Error("a digest changes as it is asked for")
	}
	return hex.EncodeToString(sum[:])
}

// The same batch has the same digest in every format and spelling, and that of its content does not change with the years.
func TestDigestIsOfTheContent(t *testing.T) {
	want := digest(t, batchfile.NewCSV(strings.NewReader(content("csv", 3)), batchfile.ReadOptions{}), batchfile.Options{})
	const stored = "624320a141710571d18a019fe80ba84a42619d172d4a6363aea3a359e4e11e7a" // made by another program, from the description
	if want != stored {
		t.Errorf("the digest of three items has changed to %s: what is stored is compared with it", want)
	}
	moved := "Amount;Transfer Type;Account No;IFSC;Bank Name;Partner Request Id;Mobile No;Beneficiary Name\r\n"
	for _, id := range []string{"id-1", "id-2", "id-3"} {
		moved += "₹1,500;5;'00123456789012;SBIN0001234; State Bank of India ;" + id + ";9876543210;\"Asha Verma\"\r\n\r\n"
	}
	reordered := strings.ReplaceAll(strings.ReplaceAll(content("ndjson", 3), `"amount":1500.00,`, ""), `{`, `{ "amount" : "1500" , `)
	for _, c := range []struct{ format, text string }{
		{"json", content("json", 3)}, {"ndjson", content("ndjson", 3)}, {"ndjson", reordered}, {"csv", moved},
	} {
		for _, o := range []batchfile.Options{{}, {BatchRef: "x"}, {Mode: "partial", Approval: "none", OnInsufficientBalance: "reject"}} {
			if got := digest(t, readers()[c.format](strings.NewReader(c.text), batchfile.ReadOptions{}), o); got != want {
				t.Errorf("%s, %+v: %s, want %s", c.text, o, got, want)
			}
		}
	}
	zoned := time.Date(2026, 4, 1, 9, 30, 0, 0, time.FixedZone("", 19800))
	open := func() *batchfile.Reader {
		return batchfile.NewCSV(strings.NewReader(content("csv", 3)), batchfile.ReadOptions{})
	}
	if digest(t, open(), batchfile.Options{ScheduleAt: zoned}) != digest(t, open(), batchfile.Options{ScheduleAt: zoned.UTC()}) {
		t.Error("a time zone changes the digest")
	}
}

// Whatever differs makes another digest.
func TestDigestDiffers(t *testing.T) {
	base := content("csv", 3)
	seen := map[string]string{}
	note := func(name, sum string) {
		if other, taken := seen[sum]; taken {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		seen[sum] = name
	}
	for _, c := range [][2]string{
		{"", ""}, {"9876543210", "9876543211"}, {"Asha", "asha"}, {"00123456789012", "0123456789012"}, {"SBIN0001234", "SBIN0001235"}, {"State", "Stat"},
		{"1500.00", "1500.01"}, {",5,", ",6,"}, {"id-1", "id-11"}, {"id-3", ""}, {"1500.00", "x"}, {"1500.00", "y"}, {"1500.00", "0"}, {"1500.00", ""},
		{"Asha Verma,00123456789012", "Asha,Verma00123456789012"}, {"Asha Verma,", ""}, {"Asha Verma,", ","}, {"Asha Verma,", ",,"}, {"Asha Verma,", ",,a"},
		{"Asha Verma", `"Asha" Verma`}, {"Asha Verma", strings.Repeat("a", 1025)}, {row("id-3"), ""}, {row("id-3"), row("id-3") + row("id-4")},
		{row("id-1") + row("id-2"), row("id-2") + row("id-1")},
	} {
		text := strings.Replace(base, c[0], c[1], 1)
		note(strings.Join(c[:], " -> "), digest(t, batchfile.NewCSV(strings.NewReader(text), batchfile.ReadOptions{}), batchfile.Options{}))
	}
	for _, o := range []batchfile.Options{
		{Mode: "atomic"}, {Approval: "required"}, {OnInsufficientBalance: "queue"}, {ScheduleAt: time.Unix(1, 0)}, {ScheduleAt: time.Unix(1, 1)},
	} {
		note(o.Mode+o.Approval+o.OnInsufficientBalance+o.ScheduleAt.String(), digest(t, batchfile.NewCSV(strings.NewReader(base), batchfile.ReadOptions{}), o))
	}
	for _, account := range []string{`"123456789"`, `123456789`, `123456780`, `null`, `true`, `{"x":1}`} {
		text := strings.Replace(content("ndjson", 1), `"00123456789012"`, account, 1)
		note(account, digest(t, batchfile.NewNDJSON(strings.NewReader(text), batchfile.ReadOptions{}), batchfile.Options{}))
	}
	note("nothing", digest(t, batchfile.NewNDJSON(strings.NewReader(""), batchfile.ReadOptions{}), batchfile.Options{}))
}
