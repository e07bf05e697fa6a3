package reconcile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// desk is a source with everything that happens to it, as the log would have it.
type desk struct {
	t      interface{ Fatalf(string, ...any) }
	source *reconcile.Source
	audit  *reconcile.Audit
	clock  time.Time
	files  int
}

var firstDay = day("2026-03-01")

func day(s string) reconcile.Day {
	var d reconcile.Day
	if err := d.UnmarshalText([]byte(s)); err != nil {
		panic(err)
	}
	return d
}

func newDesk(t interface{ Fatalf(string, ...any) }, terms reconcile.Terms) *desk {
	d := &desk{t: t, source: reconcile.NewSource(), audit: reconcile.NewAudit(), clock: firstDay.Time}
	events, err := d.source.Declare("bank", money.INR, terms, "asha")
	d.take(events, err)
	return d
}

// take stores events and reads them back, as a log does.
func (d *desk) take(events []reconcile.Event, err error) {
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	for _, e := range events {
		data, err := reconcile.Encode(e)
		if err != nil {
			d.t.Fatalf("%v", err)
		}
		stored, err := reconcile.Decode(e.Type(), e.Schema(), data)
		if err != nil {
			d.t.Fatalf("%v", err)
		}
		if err := d.audit.Follow(stored); err != nil {
			d.t.Fatalf("the audit says of %s: %v", data, err)
		}
		d.clock = d.clock.Add(time.Second)
		d.source.Evolve(stored, fmt.Sprint(d.source.Version), d.clock)
	}
}

// file imports lines in chunks of two, and returns how many were new.
func (d *desk) file(lines []reconcile.Line) int {
	d.files++
	f := reconcile.File{SHA256: fmt.Sprint(d.files), Format: "csv", Lines: len(lines), Opening: money.Zero(money.INR), Closing: money.Zero(money.INR)}
	prints := make([]string, len(lines))
	for i := range lines {
		prints[i] = lines[i].Narration
		at := reconcile.Day{Time: lines[i].Date}
		if f.From.IsZero() || at.Before(f.From.Time) {
			f.From = at
		}
		if at.After(f.To.Time) {
			f.To = at
		}
	}
	d.take(d.source.Begin(f, money.INR, "asha"))
	fresh, _, added := d.source.Fresh(lines, prints)
	number := d.source.Open.Number
	chunk := 0
	for part := range slices.Chunk(fresh, 2) {
		chunk++
		d.take([]reconcile.Event{&reconcile.LinesAdded{Of: d.source.Of, Import: number, Chunk: chunk, Lines: part}}, nil)
	}
	d.take([]reconcile.Event{&reconcile.ImportFinished{Of: d.source.Of, Import: number, New: added}}, nil)
	return added
}

func (d *desk) run(q reconcile.Question) (*reconcile.Answer, reconcile.Tally) {
	a := d.source.Match(&q)
	events, tally := d.source.Record(a, reconcile.RunFinished{Upto: q.Upto, Heads: []string{}, Actor: "asha"})
	d.take(events, nil)
	return a, tally
}

func rupees(n int64) money.Amount { return money.FromMinor(n*100, money.INR) }

func drawLine(t *rapid.T, number int) reconcile.Line {
	amount := rapid.SampledFrom([]int64{-2, -1, 1, 2}).Draw(t, "amount")
	pick := func(name string, from ...string) string { return rapid.SampledFrom(append(from, "")).Draw(t, name) }
	return reconcile.Line{
		Number: number, Date: firstDay.Plus(rapid.IntRange(0, 9).Draw(t, "day")).Time, Amount: rupees(amount),
		Fee: money.Zero(money.INR), Tax: money.Zero(money.INR),
		UTR: pick("utr", "U1", "U2", "U3", "U4"), Gateway: pick("gateway", "G1", "G2"), Reference: pick("reference", "txn_1", "txn_2", "O1"),
		Tail: pick("tail", "7890", "1111"), Settlement: pick("settlement", "S1"), Narration: pick("narration", "a", "b"),
	}
}

func drawEntry(t *rapid.T, seq int) reconcile.Entry {
	amount := rapid.SampledFrom([]int64{-2, -1, 1, 2}).Draw(t, "amount")
	pick := func(name string, from ...string) string { return rapid.SampledFrom(append(from, "")).Draw(t, name) }
	date := firstDay.Plus(rapid.IntRange(0, 9).Draw(t, "day"))
	return reconcile.Entry{
		Place: reconcile.Place{Partition: seq % 3, Seq: int64(seq), Posting: 1}, Account: "gateway:sandbox:float", Date: date,
		RecordedAt: date.Add(time.Duration(seq) * time.Second), Amount: rupees(amount),
		UTR: pick("utr", "U1", "U2", "U3", "U5"), Gateway: pick("gateway", "G1", "G3"), Transaction: pick("transaction", "txn_1", "txn_3"),
		References: [2]string{pick("reference", "O1", "O2"), ""}, Tail: pick("tail", "7890", "1111"),
	}
}

func drawn[T any](t *rapid.T, name string, upto int, draw func(*rapid.T, int) T) []T {
	all := make([]T, rapid.IntRange(0, upto).Draw(t, name))
	for i := range all {
		all[i] = draw(t, i+1)
	}
	return all
}

var bankTerms = reconcile.Terms{Kind: reconcile.Bank, Account: "1", Books: []string{"gateway:sandbox:float"}, Late: 3}

// TestEverythingIsAccountedFor holds a run against what must be true of it, whatever lines and entries there are.
func TestEverythingIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk(t, bankTerms)
		d.file(drawn(t, "lines", 12, drawLine))
		entries := drawn(t, "entries", 12, drawEntry)
		q := reconcile.Question{
			Entries: entries, Upto: firstDay.Plus(rapid.IntRange(5, 12).Draw(t, "upto")), Now: firstDay.Plus(12), Grace: rapid.IntRange(0, 3).Draw(t, "grace"),
			Read: firstDay.Plus(30).Time,
		}
		rapid.SampledFrom([]func(){func() {}, func() { slices.Reverse(entries) }}).Draw(t, "order")()
		a := d.source.Match(&q)
		slices.Reverse(q.Entries)
		if b := d.source.Match(&q); fmt.Sprint(a.Matches) != fmt.Sprint(b.Matches) || fmt.Sprint(a.Breaks) != fmt.Sprint(b.Breaks) {
			t.Fatalf("the order of entries changes the answer:\n%v\n%v", a, b)
		}
		accounted(t, d, &q, a)
		naively(t, d, &q, a)

		_, tally := d.run(q)
		if again, tally := d.run(q); len(again.Matches) != 0 || tally.Opened != 0 || tally.Closed != 0 {
			t.Fatalf("the same run again finds %+v", tally)
		}
		if tally.Matched != len(a.Matches) {
			t.Fatalf("matched %d, the answer has %d", tally.Matched, len(a.Matches))
		}
		for _, e := range entries { // what is open must be read again
			if matched := slices.ContainsFunc(a.Matches, func(m reconcile.Match) bool { return m.Entry == e.Place }); !matched {
				if from, _ := d.source.Covers(); !from.IsZero() && from.Since(e.Date) > 7 {
					continue
				}
				if e.RecordedAt.Before(a.Floor) {
					t.Fatalf("entry %s is open, and recorded before the floor", e.Place)
				}
			}
		}
	})
}

// accounted checks that each line and entry has one fate, and that the sums agree.
func accounted(t *rapid.T, d *desk, q *reconcile.Question, a *reconcile.Answer) {
	lines, entries := map[reconcile.LineAt]int{}, map[reconcile.Place]int{}
	byPlace := map[reconcile.Place]reconcile.Entry{}
	for _, e := range q.Entries {
		byPlace[e.Place] = e
	}
	sum := money.Zero(money.INR)
	for _, m := range a.Matches {
		lines[m.Line]++
		entries[m.Entry]++
		sum = sum.Add(d.source.Item(m.Line).Amount)
		if e := byPlace[m.Entry]; !e.Amount.Equal(d.source.Item(m.Line).Amount) {
			t.Fatalf("line %s of %s is matched with %s", m.Line, d.source.Item(m.Line).Amount, e.Amount)
		}
	}
	ids := map[string]bool{}
	for _, b := range a.Breaks {
		if ids[b.ID] {
			t.Fatalf("break %s stands twice", b.ID)
		}
		ids[b.ID] = true
		if b.Kind == reconcile.Late || b.Kind == reconcile.FeeDiffers {
			continue
		}
		if !b.Line.IsZero() {
			lines[b.Line]++
			sum = sum.Add(d.source.Item(b.Line).Amount)
		}
		if !b.Entry.IsZero() {
			entries[b.Entry]++
		}
	}
	for _, l := range a.Lines {
		lines[l.At]++
		sum = sum.Add(l.Amount)
	}
	for _, e := range a.Books {
		entries[e.Place]++
	}
	want := money.Zero(money.INR)
	for _, i := range d.source.Items {
		due := 1
		if i.Date.After(q.Upto.Time) {
			due = 0
		} else {
			want = want.Add(i.Amount)
		}
		if lines[i.At] != due {
			t.Fatalf("line %s has %d fates, not %d", i.At, lines[i.At], due)
		}
	}
	if !sum.Equal(want) {
		t.Fatalf("the lines are %s, their fates %s", want, sum)
	}
	from, _ := d.source.Covers()
	for _, e := range q.Entries {
		switch n := entries[e.Place]; {
		case e.Date.After(q.Upto.Time) && n != 0:
			t.Fatalf("entry %s is of a later day", e.Place)
		case n > 1, n == 0 && !e.Date.After(q.Upto.Time) && !e.Date.Before(from.Time):
			t.Fatalf("entry %s has %d fates", e.Place, n)
		}
	}
}

// naively counts what the first pass must find: of each reference and amount, as many as both sides have.
func naively(t *rapid.T, d *desk, q *reconcile.Question, a *reconcile.Answer) {
	type key struct{ utr, amount string }
	lines, entries, want := map[key]int{}, map[key]int{}, 0
	for _, i := range d.source.Items {
		if i.UTR != "" && !i.Date.After(q.Upto.Time) {
			lines[key{i.UTR, i.Amount.Fixed()}]++
		}
	}
	for _, e := range q.Entries {
		if e.UTR != "" && !e.Date.After(q.Upto.Time) {
			entries[key{e.UTR, e.Amount.Fixed()}]++
		}
	}
	for k, n := range lines {
		want += min(n, entries[k])
	}
	got := 0
	for _, m := range a.Matches {
		if m.Pass == reconcile.PassUTR {
			got++
		}
	}
	if got != want {
		t.Fatalf("%d are matched by their UTR, not %d", got, want)
	}
}

// TestTheSameLinesAgain imports overlapping parts of one statement in any order: each line is there once.
func TestTheSameLinesAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawn(t, "lines", 12, drawLine)
		slices.SortStableFunc(all, func(a, b reconcile.Line) int { return a.Date.Compare(b.Date) })
		d := newDesk(t, bankTerms)
		added := 0
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			from, upto := rapid.IntRange(0, 9).Draw(t, "from"), rapid.IntRange(0, 9).Draw(t, "upto")
			var part []reconcile.Line // whole days, as statements have them
			for _, l := range all {
				if at := (reconcile.Day{Time: l.Date}).Since(firstDay); at >= from && at <= upto {
					l.Number = len(part) + 1
					part = append(part, l)
				}
			}
			added += d.file(part)
		}
		added += d.file(all)
		if added != len(all) || len(d.source.Items) != len(all) {
			t.Fatalf("%d lines were added, the source has %d, the statement %d", added, len(d.source.Items), len(all))
		}
		sum := money.Zero(money.INR)
		for i := range all {
			sum = sum.Add(all[i].Amount)
		}
		if !d.source.Sum().Equal(sum) {
			t.Fatalf("the source has %s, the statement %s", d.source.Sum(), sum)
		}
	})
}

// TestBooksAndBankTie settles whatever a run finds, in any way: the balances always tie.
func TestBooksAndBankTie(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk(t, bankTerms)
		lines := drawn(t, "lines", 10, drawLine)
		d.file(lines)
		entries := drawn(t, "entries", 10, drawEntry)
		q := reconcile.Question{Entries: entries, Upto: firstDay.Plus(12), Now: firstDay.Plus(12), Grace: 1, Read: firstDay.Plus(30).Time}
		d.run(q)
		for _, b := range slices.Clone(d.source.Breaks) {
			w := reconcile.Way{Reason: "because", Actor: "asha", Accept: rapid.Bool().Draw(t, "accept")}
			if rapid.Bool().Draw(t, "leave") {
				continue
			}
			d.take(d.source.Propose(b.ID, w))
			if _, err := d.source.Approve(b.ID, 0, "ASHA"); err == nil {
				t.Fatalf("the maker of a proposal could approve it")
			}
			d.take(d.source.Approve(b.ID, 0, "vikram"))
			if p := d.source.Break(b.ID).Proposal; p.Posts() {
				at := reconcile.Place{Partition: 9, Seq: int64(len(q.Entries) + 1000), Posting: 1}
				q.Entries = append(q.Entries, reconcile.Entry{
					Place: at, Account: p.Account, Date: firstDay.Plus(12), RecordedAt: d.clock, Amount: p.Amount, Transaction: b.ID,
				})
			}
			if rapid.Bool().Draw(t, "dies") { // between the posting and the note of it
				continue
			}
			d.take(d.source.Done(b.ID, nil))
		}
		a, _ := d.run(q)
		for _, b := range d.source.Breaks {
			again := func(o reconcile.Break) bool {
				return o.ID == b.ID || !b.Line.IsZero() && o.Line == b.Line || !b.Entry.IsZero() && o.Entry == b.Entry
			}
			if b.Status == reconcile.Settled && b.Kind != reconcile.Late && slices.ContainsFunc(a.Breaks, again) {
				t.Fatalf("what is settled comes up again: %+v", b)
			}
		}
		tie := d.source.Tie(q.Entries)
		if !tie.Ties() || !tie.Computed.Equal(d.source.Sum()) {
			t.Fatalf("%+v: computed %s, the lines are %s", tie, tie.Computed, d.source.Sum())
		}
	})
}

// TestLaterRecordsResolve books what was missing: its breaks close by themselves.
func TestLaterRecordsResolve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk(t, bankTerms)
		lines := drawn(t, "lines", 10, drawLine)
		for i := range lines {
			lines[i].UTR = fmt.Sprintf("N%d", i) // one each
		}
		d.file(lines)
		q := reconcile.Question{Upto: firstDay.Plus(12), Now: firstDay.Plus(12), Read: firstDay.Plus(30).Time}
		d.run(q)
		for n, l := range lines {
			q.Entries = append(q.Entries, reconcile.Entry{
				Place: reconcile.Place{Seq: int64(n + 1), Posting: 1}, Date: reconcile.Day{Time: l.Date}, Amount: l.Amount, UTR: l.UTR, RecordedAt: d.clock,
			})
		}
		_, tally := d.run(q)
		if tally.Matched != len(lines) || tally.Opened != 0 {
			t.Fatalf("%+v of %d lines", tally, len(lines))
		}
		for _, b := range d.source.Breaks {
			if b.Status != reconcile.BreakClosed {
				t.Fatalf("break %s of kind %s is %s", b.ID, b.Kind, b.Status)
			}
		}
	})
}
