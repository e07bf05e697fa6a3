package projections

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// gap is what lies between value date and recording in these tests: the edges of the classes, and between them.
func gap(choose chooser) time.Duration {
	microseconds := []int64{
		0, 1, 30_000, 999_999, 1_000_000, 1_000_001, 2_500_000, 4_000_000, 4_000_001, 16_000_000, 16_000_001, 64_000_000,
		3_600_000_000, 86_400_000_000, 40 * 86_400_000_000, 366 * 86_400_000_000, 60 * 365 * 86_400_000_000,
	}
	d := microsecondsLong(microseconds[choose(len(microseconds))])
	if choose(3) == 0 {
		return -d
	}
	return d
}

// date does something that counts at another time than it is recorded.
func (b *book) date(choose chooser) {
	b.now = b.now.Add([]time.Duration{0, time.Microsecond, 400 * time.Millisecond, 2 * time.Second, time.Minute, 9 * time.Hour}[choose(6)])
	m := fewMerchants[choose(len(fewMerchants))]
	base := b.base(m, b.id("txn"))
	if choose(3) > 0 {
		base.At = b.now.Add(-gap(choose))
	}
	switch choose(4) {
	case 0:
		b.do(wallet.PlaceHold{Base: base, Amount: inr("12.34"), Reason: "dispute", Actor: "operator:asha"})
	case 1:
		if len(b.order) > 0 {
			p := b.payments[b.order[choose(len(b.order))]]
			base.Of = p.Of
			b.do(wallet.ReleaseHold{Base: base, Reason: "over", Actor: "operator:asha"})
		}
	default:
		amount := []string{"1000.00", "0.01", "-3.00"}[choose(3)]
		b.do(wallet.AdjustWallet{Base: base, Amount: inr(amount), Reason: "funding", Actor: "operator:asha"})
	}
}

// moment is an instant at which something changes, or one near it.
func (b *book) moment(choose chooser) time.Time {
	at := b.now
	if len(b.postings) > 0 {
		r := b.postings[choose(len(b.postings))].record
		at = []time.Time{r.RecordedAt, r.EffectiveAt, b.now}[choose(3)]
	}
	return at.Add(microsecondsLong([]int64{0, -1, 1, -1_000_000, 1_000_000, 1_000_001, 500_000, 3_600_000_000}[choose(8)]))
}

func microsecondsLong(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// naive is a trial balance as a sum over all postings: zero for an account that is known, and has none that counts.
func (b *book) naive(q TrialQuery) map[string]money.Amount {
	sums := map[string]money.Amount{}
	for _, p := range b.postings {
		if p.record.RecordedAt.After(q.KnownAt) {
			continue
		}
		if _, there := sums[p.Account]; !there {
			sums[p.Account] = money.Zero(money.INR)
		}
		date := p.record.EffectiveAt
		if q.By == ByRecording {
			date = p.record.RecordedAt
		}
		if !date.After(q.At) {
			sums[p.Account] = sums[p.Account].Add(p.Debit).Sub(p.Credit)
		}
	}
	return sums
}

// equalTrial compares trial balances with the naive ones.
func (b *book) equalTrial(v *Views, choose chooser, times int) {
	b.tb.Helper()
	for range times {
		q := TrialQuery{By: []Basis{ByValue, ByValue, ByRecording}[choose(3)], At: b.moment(choose), KnownAt: b.moment(choose)}
		if choose(2) == 0 {
			q.KnownAt = b.now
		}
		got, err := v.TrialBalance(context.Background(), q)
		if err != nil {
			b.tb.Fatal(err)
		}
		want := b.naive(q)
		if !slices.IsSortedFunc(got.Accounts, func(x, y AccountBalance) int { return strings.Compare(x.Name, y.Name) }) {
			b.tb.Fatalf("accounts are not in order: %+v", got.Accounts)
		}
		for _, a := range got.Accounts {
			if w, there := want[a.Name]; !there || !a.Balance.Equal(w) {
				b.tb.Fatalf("%+v: %s has %s, by the postings %s, %v", q, a.Name, a.Balance, w, there)
			}
			delete(want, a.Name)
		}
		if len(want) > 0 {
			b.tb.Fatalf("%+v: missing are %v", q, want)
		}
		if !got.Balanced() {
			b.tb.Fatalf("%+v: does not sum to zero: %+v", q, got.Totals())
		}
		b.equalPositions(got)
	}
}

// equalPositions compares the positions that a trial balance stands on with the log.
func (b *book) equalPositions(t TrialBalance) {
	b.tb.Helper()
	for _, at := range t.Positions {
		records, err := b.log.Read(context.Background(), at.Partition, 0, 1_000_000)
		if err != nil {
			b.tb.Fatal(err)
		}
		want := int64(0)
		for _, r := range records {
			if !r.RecordedAt.After(t.KnownAt) {
				want = r.Seq
			}
		}
		if at.Seq != want {
			b.tb.Fatalf("known by %s are records up to %s, by the log %d", t.KnownAt, at, want)
		}
	}
}

func TestTrialBalanceEqualsTheSum(t *testing.T) {
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
			if err := db.Close(); err != nil {
				r.Error(err)
			}
			if err := os.Remove(path); err != nil {
				r.Error(err)
			}
		}()
		b := newBook(r, rapid.IntRange(1, 3).Draw(r, "partitions"))
		v := b.views(db, SQLite, Options{Batch: rapid.IntRange(1, 9).Draw(r, "batch")})
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "choice") }
		for range rapid.IntRange(0, 25).Draw(r, "steps") {
			b.date(choose)
		}
		b.equalTrial(v, choose, 6)
	})
}

func TestTrialBalanceOfALongHistory(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		const seed = 11
		random := rand.New(rand.NewPCG(seed, seed))
		b := newBook(t, 3)
		v := b.views(at.open(), at.dialect, Options{Batch: 40})
		for i := range 600 {
			b.date(random.IntN)
			if i%60 == 0 {
				b.wander(random.IntN, fewMerchants)
				b.equalTrial(v, random.IntN, 3)
			}
		}
		b.equalTrial(v, random.IntN, 60)
		b.equalToFold(v)
	})
}

func TestGapClasses(t *testing.T) {
	for _, c := range []struct{ gap, class int64 }{
		{0, 0}, {1, 0}, {-1, 0}, {near, 0}, {-near, 0}, {near + 1, 1}, {-near - 1, -1}, {4 * near, 1}, {4*near + 1, 2}, {-16 * near, -2}, {16*near + 1, 3},
		{10_000 * 366 * 86_400 * near, 20},
	} {
		if got := gapClass(1000+c.gap, 1000); got != c.class {
			t.Errorf("a gap of %d is of class %d, want %d", c.gap, got, c.class)
		}
	}
}

func TestSumsThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		a, b int64
		fits bool
	}{
		{1, 2, true}, {5, 0, true}, {-5, -7, true}, {1<<63 - 1, 1, false}, {-1 << 63, -1, false}, {-1 << 63, 1, true}, {0, -1 << 63, false},
	} {
		if got, fits := sum(c.a, c.b); fits != c.fits || fits && got != c.a+c.b {
			t.Errorf("%d and %d: %d, %v", c.a, c.b, got, fits)
		}
	}
}

// What a trial balance reads does not grow with the log: looks into indexes only.
func TestTrialBalanceUsesIndexes(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		const seed = 3
		random := rand.New(rand.NewPCG(seed, seed))
		b := newBook(t, 1)
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
		wants := map[string][]string{
			trialText(at.dialect, 1): {"journal_1_key", "recorded_at"},
			datedText(1, ">"):        {"journal_dated_1_pkey", "recorded_at"},
		}
		if at.dialect == Postgres {
			if _, err := tx.ExecContext(t.Context(), byKeysOnly); err != nil {
				t.Fatal(err)
			}
		} else {
			wants = map[string][]string{
				trialText(at.dialect, 1): {
					"SEARCH l USING COVERING INDEX journal_1_key (partition=? AND account=? AND recorded_at<?)", "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)",
					"SEARCH l USING INDEX journal_1_key (partition=? AND account=? AND recorded_at>? AND recorded_at<?)",
				},
				datedText(1, "<="): {"SEARCH journal_dated_1 USING PRIMARY KEY (gap=? AND recorded_at>? AND recorded_at<?)"},
			}
		}
		for text, want := range wants {
			args := []any{1, 2, 3, 4}[:strings.Count(text, "$4")+3]
			plan, err := planOf(t.Context(), tx, at.dialect, text, args...)
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

// Books that do not balance are found, with the record that did it; those of before it, and by other dates, do balance.
func TestTrialBalanceNamesTheRecord(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		v := b.views(at.open(), at.dialect, quick)
		b.fund(anna, "1000.00")
		before := b.now
		b.now = b.now.Add(time.Hour)
		wrong := b.lopsided(anna, b.now.Add(-30*time.Minute))
		b.now = b.now.Add(time.Hour)
		b.lopsided(fewMerchants[0], b.now)
		b.fund(anna, "1.00")
		expect := func(q TrialQuery, balanced bool) {
			t.Helper()
			got, err := v.TrialBalance(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			where, found, err := v.FirstImbalance(t.Context(), &got)
			if err != nil || got.Balanced() != balanced || found == balanced {
				t.Fatalf("%+v: %+v, %v, %v, %v", q, got.Totals(), where, found, err)
			}
			if !balanced && (where.Position != wrong || where.Excess.Fixed() != "3.00") {
				t.Errorf("%+v: named is %+v, want %s", q, where, wrong)
			}
		}
		expect(TrialQuery{ByValue, b.now, b.now}, false)
		expect(TrialQuery{ByRecording, b.now, b.now}, false)
		expect(TrialQuery{ByValue, before.Add(30 * time.Minute), b.now}, false)
		expect(TrialQuery{ByValue, before.Add(29 * time.Minute), b.now}, true)
		expect(TrialQuery{ByRecording, before.Add(59 * time.Minute), b.now}, true)
		expect(TrialQuery{ByValue, b.now, before.Add(59 * time.Minute)}, true)
	})
}

// lopsided appends an event whose debits exceed its credits by 3.00, as no decision makes it.
func (b *book) lopsided(m string, at time.Time) eventstore.Position {
	b.tb.Helper()
	id := b.id("txn")
	e := &wallet.PayoutPaidAfterRefund{
		Of: wallet.Of{Merchant: m, Currency: money.INR, Payment: id}, Priced: wallet.Priced{Amount: inr("10.00"), Commission: inr("0.00"), Tax: inr("0.00")},
		Taken: inr("13.00"), Owed: inr("0.00"), Gateway: "sandbox", UTR: "1",
	}
	data, err := wallet.Encode(e)
	if err != nil {
		b.tb.Fatal(err)
	}
	records := b.append(m, []eventstore.Record{b.record(wallet.Stream(m, money.INR), id, e.Type(), e.Schema(), at, data)})
	return records[0].Position()
}
