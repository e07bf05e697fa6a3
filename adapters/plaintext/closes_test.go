package plaintext_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// closedHistory is a history whose periods were closed day by day while it went on, but for the last one, which was reopened; and an adjustment of
// the general ledger that is late. What is late has, in the facts, the date on which it is posted.
func closedHistory(t testing.TB, seed uint64, n int) (*memory.Store, []fact) {
	t.Helper()
	log, facts := history(t, seed, n)
	heads, err := eventstore.Heads(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	var b books.Books
	last := facts[len(facts)-1].recordedAt
	write := func(e books.Event, at time.Time) {
		b.Evolve(e)
		data, err := books.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		p := eventstore.PartitionOf(books.Owner, len(heads))
		records := []eventstore.Record{{
			Stream: books.Stream, Version: int64(len(data)), Subject: e.Topic(), Type: e.Type(), Schema: 1, EventID: uuid.New(), EffectiveAt: at, RecordedAt: last,
			Data: data, Meta: eventstore.Meta{Command: "c", Actor: "cli:asha"}.Bytes(),
		}}
		head, err := log.Head(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		eventstore.Chain(head, records)
		if err := log.Append(t.Context(), head, records); err != nil {
			t.Fatal(err)
		}
	}
	// The log is there already: the marks say how far it was when the closes were made.
	for day := range 4 {
		to := time.Date(2026, 3, 26+day, 0, 0, 0, 0, india())
		marks := make([]books.Mark, len(heads))
		for p := range heads {
			marks[p] = books.Mark{Partition: p, Seq: upTo(t, log, p, to.Add(2*time.Hour))}
		}
		write(&books.Closed{
			Number: day + 1, Period: books.Period{Name: to.AddDate(0, 0, -1).Format(time.DateOnly), Zone: "Asia/Kolkata", To: to.UTC()},
			Trial: books.Trial{Positions: marks}, Actor: "asha",
		}, last)
	}
	write(&books.Reopened{Number: 4, Name: b.Closes[3].Name, Reason: "r", Requested: "asha", Actor: "ravi"}, last)
	adjusted := &books.Adjusted{
		About: "brk_1", Debit: books.AccountCommission, Credit: books.AccountAdjustments, Amount: money.MustParse("7.77", money.INR), Currency: money.INR,
		Reason: "PERSON", Maker: "asha", Checker: "ravi",
	}
	write(adjusted, start)
	facts = append(facts, fact{adjusted: adjusted, effective: start, recordedAt: last})
	late := 0
	for i := range facts {
		f := &facts[i]
		// Everything that is recorded up to two hours behind the end of a day is in front of that day's mark.
		for day := range 3 {
			to := time.Date(2026, 3, 26+day, 0, 0, 0, 0, india())
			if f.recordedAt.After(to.Add(2*time.Hour)) && f.effective.Before(to) {
				f.effective = to
				late++
			}
		}
	}
	if late < 10 {
		t.Fatalf("the history has %d late records", late)
	}
	return log, facts
}

// upTo is the position of the newest record of a partition that was recorded by a time.
func upTo(t testing.TB, log *memory.Store, partition int, at time.Time) (seq int64) {
	t.Helper()
	records, err := log.Read(t.Context(), partition, 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if !records[i].RecordedAt.After(at) {
			seq = records[i].Seq
		}
	}
	return seq
}

// What is late for a closed period says so in every format, with its value date; what is not, does not.
func TestLateEntriesSaySo(t *testing.T) {
	log, facts := closedHistory(t, 5, 600)
	moving := 0
	for i := range facts {
		if len(facts[i].postings()) > 0 {
			moving++
		}
	}
	for format, want := range map[plaintext.Format][]string{
		plaintext.HLedger:   {"\n2026-03-28 * (", ") platform | books.adjusted brk_1\n", "    ; value_at: 2026-03-25T14:30:00.000000+05:30\n", "    ; late_for: 2026-03-27\n"},
		plaintext.Ledger:    {"\n2026-03-28 * (", ") platform  ; books.adjusted brk_1\n", "    ; late_for: 2026-03-27\n"},
		plaintext.Beancount: {"\n2026-03-28 * \"platform\" \"books.adjusted brk_1\" ^brk_1\n", "  late_for: \"2026-03-27\"\n"},
		plaintext.CSV:       {",2026-03-25,2026-03-25T14:30:00.000000+05:30,", ",books.adjusted,brk_1,,", ",platform:commission,INR,7.77,,", ",2026-03-28,2026-03-27\r\n"},
		plaintext.JSON:      {`"value_date":"2026-03-25","value_at":"2026-03-25T14:30:00.000000+05:30","posted_date":"2026-03-28","late_for":"2026-03-27"`, `"event":"books.adjusted","subject":"brk_1"`},
	} {
		var out bytes.Buffer
		written, err := plaintext.Write(t.Context(), log, &out, plaintext.Options{Format: format, Zone: india()})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%s lacks %q", format, w)
			}
		}
		if strings.Contains(out.String(), "PERSON") {
			t.Errorf("%s tells the reason", format)
		}
		if written.Moved == 0 || written.Entries != int64(moving) || written.Moved == written.Entries {
			t.Errorf("%s: %d entries of %d, %d of them late", format, written.Entries, moving, written.Moved)
		}
		var alone bytes.Buffer
		if _, err := plaintext.Write(t.Context(), log, &alone, plaintext.Options{Format: format, Merchant: "mer_aaaaaaaaaaaaaaaa"}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(alone.String(), "books.adjusted") {
			t.Errorf("%s of a merchant has an entry of the general ledger", format)
		}
	}
}
