package ledger_test

import (
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// TestOpenItems holds open items, with room for a few of them, against a map of all of them.
func TestOpenItems(t *testing.T) {
	t.Parallel()
	amounts := []string{"1", "2", "3.50", "92233720368547758.07", "184467440737095516.14", "100000000000000000000000000000"}
	rapid.Check(t, func(t *rapid.T) {
		open := ledger.NewOpenItems(rapid.IntRange(2, 12).Draw(t, "in memory"))
		defer func() {
			if err := open.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		vast := rapid.IntRange(3, len(amounts)).Draw(t, "amounts") // mostly none that is beyond 64 bits
		left := map[string]money.Amount{}
		var want string
		for n := range rapid.IntRange(0, 120).Draw(t, "changes") {
			suspense := rapid.Bool().Draw(t, "in suspense")
			currency := rapid.SampledFrom([]money.Currency{money.INR, "KWD"}).Draw(t, "currency")
			subject := fmt.Sprintf("txn_%d", rapid.IntRange(0, 9).Draw(t, "payment"))
			change := money.MustParse(rapid.SampledFrom(amounts[:vast]).Draw(t, "amount"), currency)
			if rapid.IntRange(0, 9).Draw(t, "back") < 4 {
				change = change.Neg()
			}
			key := fmt.Sprint(suspense, currency, subject)
			was, there := left[key]
			if !there {
				was = money.Zero(currency)
			}
			if was.Add(change).Sign() < 0 && want == "" {
				if rapid.IntRange(0, 9).Draw(t, "sound") > 0 { // else few histories would be long before they are wrong
					change = was.Neg()
				} else {
					want = fmt.Sprintf("%d:%d %t", n/50, n+1, suspense)
				}
			}
			left[key] = was.Add(change)
			r := &eventstore.Record{Partition: n / 50, Seq: int64(n) + 1, Stream: "wallet:mer_a:" + string(currency), Subject: subject}
			if err := open.Add(suspense, r, change); err != nil {
				t.Fatal(err)
			}
		}
		at, suspense, err := open.Overdrawn()
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if at.Seq > 0 {
			got = fmt.Sprintf("%s %t", at, suspense)
		}
		if got != want {
			t.Fatalf("overdrawn at %q, want %q", got, want)
		}
	})
}

// TestOpenItemsOfBatches: payouts begin in a batch or in none, and end by events that name that batch, none, or another one.
func TestOpenItemsOfBatches(t *testing.T) {
	t.Parallel()
	one := money.MustParse("1", money.INR)
	rapid.Check(t, func(t *rapid.T) {
		open := ledger.NewOpenItems(rapid.IntRange(2, 12).Draw(t, "in memory"))
		defer func() {
			if err := open.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		type begun struct {
			payment string
			batch   uint32
			seq     int64
		}
		var pending []begun
		var strange int64
		unnamed := map[int]int64{}
		for n := range rapid.IntRange(0, 80).Draw(t, "changes") {
			r := &eventstore.Record{Partition: 1, Seq: int64(n) + 1, Stream: "wallet:mer_a:INR"}
			of := rapid.Uint32Range(0, 3).Draw(t, "batch")
			change := one
			if len(pending) == 0 || rapid.Bool().Draw(t, "begins") {
				r.Subject = fmt.Sprintf("txn_%d", n)
				pending = append(pending, begun{r.Subject, of, r.Seq})
			} else {
				i := rapid.IntRange(0, len(pending)-1).Draw(t, "which")
				p := pending[i]
				pending = append(pending[:i], pending[i+1:]...)
				if rapid.IntRange(0, 9).Draw(t, "named") > 0 {
					of = p.batch
				}
				r.Subject, change = p.payment, one.Neg()
				if of != 0 && of != p.batch && strange == 0 {
					strange = r.Seq
				}
				if of == 0 && p.batch != 0 {
					unnamed[1] = max(unnamed[1], p.seq)
				}
			}
			if err := open.AddOf(of, r, change); err != nil {
				t.Fatal(err)
			}
		}
		gotStrange, gotUnnamed, err := open.Batches()
		if err != nil || gotStrange.Seq != strange || !maps.Equal(gotUnnamed, unnamed) {
			t.Fatalf("strange %d, unnamed %v, want %d, %v: %v", gotStrange.Seq, gotUnnamed, strange, unnamed, err)
		}
	})
}

// TestOpenItemsLeaveNothing: payments that close soon take no file, however many they are; nor does the same payment of two
// merchants meet.
func TestOpenItemsLeaveNothing(t *testing.T) {
	t.Parallel()
	open := ledger.NewOpenItems(64)
	one := money.MustParse("1", money.INR)
	seq := int64(0)
	add := func(merchant, payment string, change money.Amount) {
		t.Helper()
		seq++
		r := &eventstore.Record{Seq: seq, Stream: "wallet:" + merchant + ":INR", Subject: payment}
		if err := open.Add(false, r, change); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10_000 {
		add("mer_a", fmt.Sprintf("txn_%d", n), one)
		if n >= 20 {
			add("mer_a", fmt.Sprintf("txn_%d", n-20), one.Neg())
		}
	}
	if open.Spilled() {
		t.Error("twenty open payments need a file")
	}
	for n := range 200 {
		add("mer_c", fmt.Sprintf("txn_%d", n), one)
	}
	if !open.Spilled() {
		t.Error("two hundred open payments are all in memory")
	}
	add("mer_b", "txn_9999", one.Neg())
	at, _, err := open.Overdrawn()
	if err != nil || at.Seq != seq {
		t.Errorf("overdrawn at %s, want record %d: %v", at, seq, err)
	}
	if err := open.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOpenItemsOfAnySize: an amount beyond 64 bits stands between the others in the order of the log.
func TestOpenItemsOfAnySize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes []string
		at      int64
	}{
		"never too much":       {[]string{"100000000000000000000", "5", "-100000000000000000003", "-2"}, 0},
		"too much, given back": {[]string{"100000000000000000000", "5", "-100000000000000000006", "1"}, 3},
		"a sum beyond 64 bits": {[]string{"92233720368547758.07", "92233720368547758.07", "-92233720368547758.07", "-92233720368547758.07"}, 0},
	} {
		open := ledger.NewOpenItems(64)
		for i, text := range c.changes {
			r := &eventstore.Record{Seq: int64(i) + 1, Stream: "wallet:mer_a:INR", Subject: "txn_1"}
			if err := open.Add(false, r, money.MustParse(text, money.INR)); err != nil {
				t.Fatal(err)
			}
		}
		if at, _, err := open.Overdrawn(); err != nil || at.Seq != c.at {
			t.Errorf("%s: overdrawn at %s, want record %d: %v", name, at, c.at, err)
		}
		if err := open.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
