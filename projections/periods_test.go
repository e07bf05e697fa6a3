package projections

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// generalBook is a book with a general ledger. closes is the naive model: every close there was.
type generalBook struct {
	*book
	general books.Books
	closes  []*naiveClose
}

type naiveClose struct {
	*books.Closed
	record   eventstore.Record
	reopened *eventstore.Record // nil: it stands
}

// stood tells whether a close stood, as far as was known at a time.
func (c *naiveClose) stood(knownAt time.Time) bool {
	return !c.record.RecordedAt.After(knownAt) && (c.reopened == nil || c.reopened.RecordedAt.After(knownAt))
}

// ever is behind everything that is recorded.
var ever = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

func newGeneralBook(tb fataler, partitions int) *generalBook {
	return &generalBook{book: newBook(tb, partitions)}
}

// decide decides a command on the general ledger and appends its events. The refusal is returned.
func (b *generalBook) decide(c books.Command) error {
	b.tb.Helper()
	events, err := books.Decide(&b.general, c)
	if err != nil && domain.CodeOf(err) == "" {
		b.tb.Fatal(err)
	}
	for _, e := range events {
		data, err := books.Encode(e)
		if err != nil {
			b.tb.Fatal(err)
		}
		r := b.append(books.Owner, []eventstore.Record{b.record(books.Stream, e.Topic(), e.Type(), e.Schema(), c.Effective(), data)})[0]
		b.general.Evolve(e)
		switch e := e.(type) {
		case *books.Closed:
			b.closes = append(b.closes, &naiveClose{Closed: e, record: r})
		case *books.Reopened:
			b.closes[e.Number-1].reopened = &r
		case *books.Adjusted:
			for _, line := range books.Postings(e) {
				b.postings = append(b.postings, posted{line, r})
			}
		}
	}
	return err
}

// heads are the marks of a close that is made now.
func (b *generalBook) heads() []books.Mark {
	b.tb.Helper()
	heads, err := eventstore.Heads(context.Background(), b.log)
	if err != nil {
		b.tb.Fatal(err)
	}
	marks := make([]books.Mark, len(heads))
	for p, h := range heads {
		marks[p] = books.Mark{Partition: p, Seq: h.Seq}
	}
	return marks
}

// close closes the books before an instant, by balances that are read before something else happens.
func (b *generalBook) close(to time.Time, meanwhile func()) error {
	b.tb.Helper()
	c := books.Close{Period: books.Period{Name: "to " + to.Format(time.RFC3339Nano), Zone: "UTC", To: to}, Changes: b.general.Changes, Actor: "operator:asha"}
	c.Trial = b.naiveTrial(to, b.heads())
	meanwhile()
	c.At = b.now
	return b.decide(c)
}

func (b *generalBook) reopen() {
	b.tb.Helper()
	last, closed := b.general.Last()
	if !closed {
		return
	}
	for _, c := range []books.Command{
		books.RequestReopen{Name: last.Name, Reason: "a bill was missing", Actor: "operator:asha", At: b.now},
		books.ApproveReopen{Name: last.Name, Actor: "operator:ravi", At: b.now},
	} {
		if err := b.decide(c); err != nil {
			b.tb.Fatal(err)
		}
	}
}

func (b *generalBook) adjust(choose chooser) {
	b.tb.Helper()
	at := b.now
	if choose(2) == 0 {
		at = at.Add(-gap(choose))
	}
	accounts := []string{wallet.AccountAdjustments, wallet.AccountFloat("sandbox"), wallet.AccountCommission}
	n := choose(len(accounts))
	err := b.decide(books.Adjust{
		About: b.id("brk"), Debit: accounts[n], Credit: accounts[(n+1)%len(accounts)], Amount: inr("12.34"), Reason: "a break", Maker: "asha", Checker: "ravi", At: at,
	})
	if err != nil {
		b.tb.Fatal(err)
	}
}

// naiveTrial is the trial balance that a close freezes, as a sum over all postings.
func (b *generalBook) naiveTrial(to time.Time, marks []books.Mark) books.Trial {
	type key struct {
		partition      int
		currency, name string
	}
	sums := map[key]money.Amount{}
	for _, p := range b.postings {
		if !p.record.EffectiveAt.Before(to) || p.record.Seq > marks[p.record.Partition].Seq {
			continue
		}
		k := key{p.record.Partition, string(p.Debit.Currency()), p.Account}
		if _, there := sums[k]; !there {
			sums[k] = money.Zero(p.Debit.Currency())
		}
		sums[k] = sums[k].Add(p.Debit).Sub(p.Credit)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "trial balance before %s\npositions", to.UTC().Format(time.RFC3339Nano))
	for _, m := range marks {
		fmt.Fprintf(&text, " %d:%d", m.Partition, m.Seq)
	}
	text.WriteString("\n")
	t := books.Trial{Positions: marks}
	totals := map[books.Kind]books.Total{}
	keys := slices.SortedFunc(maps.Keys(sums), func(x, y key) int {
		if x.partition != y.partition {
			return x.partition - y.partition
		}
		return strings.Compare(x.name, y.name)
	})
	for _, k := range keys {
		if sums[k].IsZero() {
			continue
		}
		fmt.Fprintf(&text, "%d\t%s\t%s\t%s\n", k.partition, k.currency, k.name, sums[k].Fixed())
		t.Accounts++
		a, _ := books.ParseAccount(k.name)
		total, there := totals[a.Kind]
		if !there {
			total = books.Total{Currency: money.INR, Kind: a.Kind, Debit: inr("0"), Credit: inr("0")}
		}
		if sums[k].Sign() > 0 {
			total.Debit = total.Debit.Add(sums[k])
		} else {
			total.Credit = total.Credit.Sub(sums[k])
		}
		totals[a.Kind] = total
	}
	for _, k := range books.Chart() {
		if total, there := totals[k]; there {
			t.Totals = append(t.Totals, total)
		}
	}
	digest := sha256.Sum256([]byte(text.String()))
	t.Digest = hex.EncodeToString(digest[:])
	return t
}

// postedAt is when a record counts by value, as known at a time: not before the end of any close that it stands behind.
func (b *generalBook) postedAt(r *eventstore.Record, knownAt time.Time) (at time.Time, late bool) {
	at = r.EffectiveAt
	for _, c := range b.closes {
		if c.stood(knownAt) && r.Seq > c.Positions[r.Partition].Seq && at.Before(c.To) {
			at, late = c.To, true
		}
	}
	return at, late
}

// wanderGenerally does something that counts at another time than it is recorded, or closes, or reopens.
func (b *generalBook) wanderGenerally(choose chooser) {
	b.tb.Helper()
	switch choose(12) {
	case 0, 1:
		to := b.moment(choose)
		if last, there := b.general.Last(); there && choose(2) == 0 {
			to = last.To.Add(time.Duration(1+choose(3)) * time.Second)
		}
		before, closed := b.general.Last()
		err := b.close(to, func() {
			for range choose(3) {
				b.date(choose)
			}
		})
		if ok := err == nil; ok != (!to.After(b.now) && (!closed || to.After(before.To))) {
			b.tb.Fatalf("closed before %s: %v", to, err)
		}
	case 2:
		b.reopen()
	case 3:
		b.adjust(choose)
	default:
		b.date(choose)
	}
}

// edge is a moment that is of interest to closes.
func (b *generalBook) edge(choose chooser) time.Time {
	if len(b.closes) == 0 || choose(2) == 0 {
		return b.moment(choose)
	}
	c := b.closes[choose(len(b.closes))]
	at := []time.Time{c.To, c.To, c.record.RecordedAt}[choose(3)]
	if c.reopened != nil && choose(3) == 0 {
		at = c.reopened.RecordedAt
	}
	return at.Add(microsecondsLong([]int64{0, -1, 1, 1_000_001}[choose(4)]))
}

// equalFrozen compares trial balances by value with the naive ones.
func (b *generalBook) equalFrozen(v *Views, choose chooser) {
	b.tb.Helper()
	q := TrialQuery{By: ByValue, At: b.edge(choose), KnownAt: b.edge(choose)}
	if choose(2) == 0 {
		q.KnownAt = b.now
	}
	want := map[string]money.Amount{}
	for _, p := range b.postings {
		if p.record.RecordedAt.After(q.KnownAt) {
			continue
		}
		if at, _ := b.postedAt(&p.record, q.KnownAt); !at.After(q.At) {
			if _, there := want[p.Account]; !there {
				want[p.Account] = inr("0")
			}
			want[p.Account] = want[p.Account].Add(p.Debit).Sub(p.Credit)
		}
	}
	got, err := v.TrialBalance(context.Background(), q)
	if err != nil {
		b.tb.Fatal(err)
	}
	for _, a := range got.Accounts {
		w, there := want[a.Name]
		if there && !a.Balance.Equal(w) || !there && !a.Balance.IsZero() {
			b.tb.Fatalf("%+v: %s has %s, by the postings %s; closes %+v", q, a.Name, a.Balance, w, b.general.Closes)
		}
		delete(want, a.Name)
	}
	if len(want) > 0 || !got.Balanced() {
		b.tb.Fatalf("%+v: missing are %v; %+v", q, want, got.Totals())
	}
}

// equalPeriods compares the list of closes, and what is frozen, with the naive model.
func (b *generalBook) equalPeriods(v *Views) {
	b.tb.Helper()
	all, err := v.Periods(context.Background())
	if err != nil || len(all) != len(b.closes) {
		b.tb.Fatal(len(all), err)
	}
	for i := range all {
		p, c := &all[i], b.closes[i]
		want := fmt.Sprintf("%+v %s %s", *c.Closed, c.record.Position(), c.record.RecordedAt)
		if got := fmt.Sprintf("%+v %s %s", p.Closed, p.Position, p.ClosedAt); got != want {
			b.tb.Fatalf("close is\n%s, want\n%s", got, want)
		}
		if (c.reopened == nil) != p.Reopened.IsZero() || c.reopened != nil && (p.Reopener != "operator:ravi" || p.Request.Actor != "operator:asha") {
			b.tb.Fatalf("%+v: reopened by %+v", p, c.reopened)
		}
		var text bytes.Buffer
		balance, again, err := v.FrozenBalance(context.Background(), p, &text)
		sum := sha256.Sum256(text.Bytes())
		if err != nil || again.Digest != c.Digest || hex.EncodeToString(sum[:]) != c.Digest || fmt.Sprint(again) != fmt.Sprint(c.Trial) {
			b.tb.Fatalf("close %d is read anew as %+v (%v)\n%s\nwant %+v", c.Number, again, err, text.String(), c.Trial)
		}
		if !balance.Balanced() || fmt.Sprint(balance.Frozen.Marks) != fmt.Sprint(c.Positions) {
			b.tb.Fatalf("close %d is read anew as %+v", c.Number, balance)
		}
		b.equalLate(p, c)
	}
	to := b.now.Add(time.Second)
	got, err := v.Freeze(context.Background(), to)
	if want := b.naiveTrial(to, b.heads()); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		b.tb.Fatalf("frozen now: %+v (%v), want %+v", got, err, want)
	}
}

func (b *generalBook) equalLate(p *Period, c *naiveClose) {
	b.tb.Helper()
	want := LateTotal{Amount: inr("0")}
	counted := map[eventstore.Position]bool{}
	for _, line := range b.postings {
		r := &line.record
		if c.reopened != nil || r.Seq <= c.Positions[r.Partition].Seq || !r.EffectiveAt.Before(c.To) || r.EffectiveAt.Before(c.From) && !c.From.IsZero() {
			continue
		}
		if !counted[r.Position()] {
			counted[r.Position()] = true
			want.Records++
		}
		want.Amount = want.Amount.Add(line.Debit)
	}
	if got := fmt.Sprint(p.Late); want.Records > 0 && got != fmt.Sprint([]LateTotal{want}) || want.Records == 0 && got != "[]" {
		b.tb.Fatalf("late for %s is %s, want %+v", p.Name, got, want)
	}
}

// equalPosted compares statements by value with the naive model: opening, each line with its marks, closing.
func (b *generalBook) equalPosted(v *Views, choose chooser) {
	b.tb.Helper()
	ctx := context.Background()
	for _, account := range b.accounts() {
		f := StatementFilter{Account: account, Currency: money.INR, From: b.edge(choose), To: b.edge(choose), ByValue: true}
		if !f.From.Before(f.To) {
			f.From, f.To = f.To, f.From.Add(time.Microsecond)
		}
		opening, want := inr("0"), []string{}
		type at struct {
			posted
			at   time.Time
			late bool
		}
		var inside []at
		for _, p := range b.postings {
			posted, late := b.postedAt(&p.record, ever)
			switch {
			case p.Account != account || !posted.Before(f.To):
			case posted.Before(f.From):
				opening = opening.Add(p.Debit).Sub(p.Credit)
			default:
				inside = append(inside, at{p, posted, late})
			}
		}
		slices.SortStableFunc(inside, func(x, y at) int {
			if c := x.at.Compare(y.at); c != 0 {
				return c
			}
			if c := x.record.RecordedAt.Compare(y.record.RecordedAt); c != 0 {
				return c
			}
			return x.record.Partition - y.record.Partition
		})
		closing := opening
		for _, l := range inside {
			closing = closing.Add(l.Debit).Sub(l.Credit)
			want = append(want, fmt.Sprintf("%s %s %v %s %s", l.record.Position(), l.at, l.late, l.record.EffectiveAt, closing.Fixed()))
		}
		s, err := v.Statement(ctx, f)
		if err != nil {
			b.tb.Fatal(err)
		}
		s.page = 1 + choose(5)
		debits := func(a money.Amount) string {
			if !s.DebitNormal {
				a = a.Neg()
			}
			return a.Fixed()
		}
		got := []string{}
		for l, err := range s.Lines(ctx) {
			if err != nil {
				b.tb.Fatalf("%+v: %v", f, err)
			}
			got = append(got, fmt.Sprintf("%s %s %v %s %s", l.Position, l.PostedAt, l.LateFor != "", l.ValueAt, debits(l.Balance)))
		}
		if !slices.Equal(got, want) || debits(s.Opening) != opening.Fixed() || debits(s.Closing) != closing.Fixed() {
			b.tb.Fatalf("%+v\nopens with %s and closes with %s:\n%s\nby the postings with %s and %s:\n%s\ncloses %+v", f, debits(s.Opening), debits(s.Closing),
				strings.Join(got, "\n"), opening.Fixed(), closing.Fixed(), strings.Join(want, "\n"), b.general.Closes)
		}
	}
}

func TestClosedPeriodsEqualTheModel(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n, ".db"))
		db, err := OpenSQLite(context.Background(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			r.Fatal(err)
		}
		defer func() {
			if err := errors.Join(db.Close(), os.Remove(path)); err != nil {
				r.Error(err)
			}
		}()
		b := newGeneralBook(r, rapid.IntRange(1, 3).Draw(r, "partitions"))
		v := b.views(db, SQLite, Options{Batch: rapid.IntRange(1, 9).Draw(r, "batch")})
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "choice") }
		for range rapid.IntRange(0, 30).Draw(r, "steps") {
			b.wanderGenerally(choose)
		}
		for range 4 {
			b.equalFrozen(v, choose)
		}
		b.equalPosted(v, choose)
		b.equalPeriods(v)
	})
}

func TestClosedPeriodsOfALongHistory(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		random := rand.New(rand.NewPCG(7, 7))
		b := newGeneralBook(t, 3)
		v := b.views(at.open(), at.dialect, Options{Batch: 40})
		for i := range 500 {
			b.wanderGenerally(random.IntN)
			if i%50 == 0 {
				b.equalFrozen(v, random.IntN)
				b.equalPosted(v, random.IntN)
			}
		}
		for range 40 {
			b.equalFrozen(v, random.IntN)
		}
		for range 6 {
			b.equalPosted(v, random.IntN)
		}
		b.equalPeriods(v)
		reopened, late := 0, false
		for _, c := range b.closes {
			if c.reopened != nil {
				reopened++
			}
		}
		for _, p := range b.postings {
			_, is := b.postedAt(&p.record, ever)
			late = late || is
		}
		if reopened < 3 || len(b.general.Closes) < 3 || !late {
			t.Errorf("the history has %d closes that stand, %d reopened; late ones: %v", len(b.general.Closes), reopened, late)
		}
	})
}

// A period has its first instant, and not the first one behind it; also where nothing lies between value date, close and recording.
func TestLateAtTheEdges(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newGeneralBook(t, 2)
		first := b.now
		for _, to := range []time.Time{first, first.Add(time.Microsecond)} {
			b.now = to
			if err := b.close(to, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		for _, value := range []int64{-1, 0, 1} {
			base := b.base(anna, b.id("txn"))
			base.At = first.Add(microsecondsLong(value))
			b.do(wallet.AdjustWallet{Base: base, Amount: inr("1.00"), Reason: "late", Actor: "operator:asha"})
		}
		v := b.views(at.open(), at.dialect, quick)
		b.equalPeriods(v)
		all, err := v.Periods(t.Context())
		if err != nil || len(all[0].Late) != 1 || all[0].Late[0].Records != 1 || len(all[1].Late) != 1 || all[1].Late[0].Records != 1 {
			t.Errorf("%+v (%v)", all, err)
		}
		b.equalPosted(v, rand.New(rand.NewPCG(1, 1)).IntN)
	})
}

// Of a moment in a closed period, a trial balance reads no more of the log than of another one: looks into indexes only.
func TestFrozenBalancesUseIndexes(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		random := rand.New(rand.NewPCG(3, 3))
		b := newGeneralBook(t, 2)
		for range 200 {
			b.date(random.IntN)
		}
		v := b.views(at.open(), at.dialect, quick)
		mustReach(t, v)
		tx, err := v.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback() //nolint:errcheck // it has only read
		c := cut{upTo: 9, bounds: []bound{{1, 2}, {3, 4}}}
		late := lateQuery{}
		wants := map[string][]string{
			trialTextOf(at.dialect, 1, c.within()): {"journal_1_key", "recorded_at"},
			datedWithinText(1, ">"):                {"journal_dated_1_pkey", "recorded_at"},
			late.text(1):                           {"journal_dated_1_pkey", "recorded_at"},
			late.nearText(1):                       {"journal_1_key", "recorded_at"},
		}
		if at.dialect == Postgres {
			if _, err := tx.ExecContext(t.Context(), byKeysOnly); err != nil {
				t.Fatal(err)
			}
		} else {
			wants = map[string][]string{
				trialTextOf(at.dialect, 1, c.within()): {
					"SEARCH l USING COVERING INDEX journal_1_key (partition=? AND account=? AND recorded_at<?)", "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)",
					"SEARCH l USING INDEX journal_1_key (partition=? AND account=? AND recorded_at>? AND recorded_at<?)",
				},
				datedWithinText(1, "<="): {"SEARCH journal_dated_1 USING PRIMARY KEY (gap=? AND recorded_at>? AND recorded_at<?)"},
				late.text(1):             {"SEARCH l USING PRIMARY KEY (gap=? AND recorded_at>? AND recorded_at<?)"},
				late.nearText(1):         {"SEARCH l USING INDEX journal_1_key (partition=? AND account=? AND recorded_at>? AND recorded_at<?)"},
			}
		}
		for text, want := range wants {
			n := 3
			for strings.Contains(text, fmt.Sprint("$", n+1)) {
				n++
			}
			plan, err := planOf(t.Context(), tx, at.dialect, text, []any{1, 2, 3, 4, 5, 0, 7}[:n]...)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(plan, w) {
					t.Errorf("%s\nis done by\n%s\nwithout %s", text, plan, w)
				}
			}
			for _, bad := range []string{"SCAN l", "SCAN j", "Seq Scan on journal", "Sort Key: l"} {
				if strings.Contains(plan, bad) {
					t.Errorf("%s\nreads more than it needs:\n%s", text, plan)
				}
			}
		}
	})
}
