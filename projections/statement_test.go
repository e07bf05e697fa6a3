package projections

import (
	"context"
	"errors"
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

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// backdate corrects a wallet with a value date of some days before the recording.
func (b *book) backdate(choose chooser, m string) {
	base := b.base(m, b.id("txn"))
	base.At = base.At.Add(-time.Duration(choose(80)) * time.Hour)
	b.do(wallet.AdjustWallet{Base: base, Amount: inr([]string{"77.00", "-3.50"}[choose(2)]), Reason: "late", Actor: "operator:asha"})
}

// naiveLine is a line of a statement as the book has it.
func naiveLine(p *posted, line int, balance money.Amount) string {
	return fmt.Sprintf("%s/%d %s %s %s %s %s %s %s", p.record.Position(), line, p.record.RecordedAt, p.record.EffectiveAt, p.record.Type,
		p.record.Subject, p.Debit.Fixed(), p.Credit.Fixed(), balance.Fixed())
}

// naiveStatement is a statement by the book: its balances and lines.
func (b *book) naiveStatement(f *StatementFilter) (opening, closing money.Amount, lines []string) {
	type numbered struct {
		*posted
		line int
	}
	var inside []numbered
	opening = money.Zero(f.Currency)
	line := 0
	for i := range b.postings {
		p := &b.postings[i]
		if line++; i == 0 || b.postings[i-1].record.Position() != p.record.Position() {
			line = 1
		}
		moment := p.record.RecordedAt
		if f.ByValue {
			moment = p.record.EffectiveAt
		}
		switch {
		case p.Account != f.Account || !moment.Before(f.To):
		case moment.Before(f.From):
			opening = opening.Add(p.Credit).Sub(p.Debit)
		default:
			inside = append(inside, numbered{p, line})
		}
	}
	slices.SortStableFunc(inside, func(x, y numbered) int {
		if c := x.record.EffectiveAt.Compare(y.record.EffectiveAt); f.ByValue && c != 0 {
			return c
		}
		if c := x.record.RecordedAt.Compare(y.record.RecordedAt); c != 0 {
			return c
		}
		return x.record.Partition - y.record.Partition
	})
	sign := func(a money.Amount) money.Amount {
		if debitNormal(f.Account) {
			return a.Neg()
		}
		return a
	}
	closing = opening
	for _, n := range inside {
		closing = closing.Add(n.Credit).Sub(n.Debit)
		lines = append(lines, naiveLine(n.posted, n.line, sign(closing)))
	}
	return sign(opening), sign(closing), lines
}

// equalStatement compares a statement with the book's.
func (b *book) equalStatement(v *Views, f StatementFilter, page int) {
	b.tb.Helper()
	ctx := context.Background()
	opening, closing, want := b.naiveStatement(&f)
	s, err := v.Statement(ctx, f)
	if err != nil {
		b.tb.Fatalf("%+v: %v", f, err)
	}
	s.page = page
	var got []string
	for l, err := range s.Lines(ctx) {
		if err != nil {
			b.tb.Fatalf("%+v: %v", f, err)
		}
		p := b.payments[l.Transaction]
		if p != nil && l.Merchant != p.Merchant {
			b.tb.Fatalf("%s: line %s is of merchant %q, by the fold %q", f.Account, l.Position, l.Merchant, p.Merchant)
		}
		if p != nil && p.Kind == wallet.KindPayout && !strings.HasPrefix(l.Type, "wallet.") && (l.Reference != p.RequestID || l.AccountLast4 != p.AccountLast4) {
			b.tb.Fatalf("%s: line %s is told as %+v, by the fold %+v", f.Account, l.Position, l, p)
		}
		got = append(got, fmt.Sprintf("%s/%d %s %s %s %s %s %s %s", l.Position, l.Line, l.RecordedAt, l.ValueAt, l.Type, l.Transaction,
			l.Debit.Fixed(), l.Credit.Fixed(), l.Balance.Fixed()))
	}
	if !slices.Equal(got, want) || !s.Opening.Equal(opening) || !s.Closing.Equal(closing) {
		b.tb.Fatalf("%+v\nopens with %s and closes with %s:\n%s\nby the postings with %s and %s:\n%s", f, s.Opening, s.Closing, strings.Join(got, "\n"),
			opening, closing, strings.Join(want, "\n"))
	}
}

// accounts are all that the book has postings of.
func (b *book) accounts() []string {
	var names []string
	for _, p := range b.postings {
		names = append(names, p.Account)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// equalStatements compares statements of every account, of a random period.
func (b *book) equalStatements(v *Views, choose chooser) {
	b.tb.Helper()
	begin, end := time.Date(2026, 3, 30, 0, 0, 0, 0, time.UTC), b.now.Add(time.Second)
	hours := int(end.Sub(begin)/time.Hour) + 1
	for _, account := range b.accounts() {
		f := StatementFilter{Account: account, Currency: money.INR, From: begin, To: end, ByValue: choose(2) == 0}
		if choose(2) == 0 {
			f.From = begin.Add(time.Duration(choose(hours)) * time.Hour)
			f.To = f.From.Add(time.Duration(1+choose(hours)) * time.Hour)
		}
		b.equalStatement(v, f, 1+choose(5))
	}
}

func TestStatementsEqualThePostings(t *testing.T) {
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
		b := newBook(r, rapid.IntRange(1, 3).Draw(r, "partitions"))
		v := b.views(db, SQLite, quick)
		choose := func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "choice") }
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			b.wander(choose, fewMerchants)
			if choose(6) == 0 {
				b.backdate(choose, fewMerchants[choose(len(fewMerchants))])
			}
		}
		b.equalStatements(v, choose)
	})
}

// turns makes a payout that is refunded, paid after that, owed, recovered and returned; suspense entries that are credited and refunded; and a batch that
// holds and releases. Chance seldom does.
func (b *book) turns(m string) {
	b.fund(m, "1010.00")
	payout := b.payout(m, "1000.00")
	base := b.base(m, payout)
	report := func(outcome wallet.Outcome) {
		b.now = b.now.Add(time.Minute)
		b.do(wallet.ReportPayout{
			Base: base, Gateway: "sandbox", Outcome: outcome, UTR: b.id("utr"), BankReference: b.id("ref"), ReturnReference: b.id("ret"),
			Reason: "account_closed", Message: b.id("msg"),
		})
	}
	b.do(wallet.SubmitPayout{Base: base, Attempt: 1, Gateway: "sandbox"})
	report(wallet.OutcomeFailed)
	b.do(wallet.PlaceHold{Base: b.base(m, b.id("txn")), Amount: inr("1000.00"), Reason: "dispute", Actor: "operator:asha"})
	report(wallet.OutcomePaid) // 10.00 taken, 1000.00 owed
	b.fund(m, "100.00")
	report(wallet.OutcomeReturned)
	payin := b.payin(m, "500.00")
	b.pay(payin, "300.00")
	b.pay(payin, "200.00")
	credited := false
	for entry := range b.payments[payin].Suspense {
		if !credited {
			credited = true
			b.do(wallet.CreditSuspense{Base: b.base(m, payin), Suspense: entry, Charge: charge("5.00", "0.00"), Reason: "theirs", Actor: "operator:asha"})
			continue
		}
		b.do(wallet.RefundSuspense{Base: b.base(m, payin), Suspense: entry, Reason: "not theirs", Actor: "operator:asha"})
	}
	b.fund(m, "5000.00")
	lot := b.base(m, b.whole(m, 2, "25.00", plain).Of.Batch)
	b.do(wallet.HoldBatch{Base: lot, Upto: 2, Amount: inr("70.00"), Last: true})
	b.do(wallet.ReleaseBatch{Base: lot, Done: true})
}

// A long history has every event that moves money, in both databases.
func TestStatementsOfALongHistory(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		random := rand.New(rand.NewPCG(5, 2))
		b := newBook(t, 3)
		b.turns(anna)
		for range 800 {
			b.wander(random.IntN, fewMerchants)
			if random.IntN(20) == 0 {
				b.backdate(random.IntN, fewMerchants[random.IntN(len(fewMerchants))])
			}
		}
		moving := map[string]bool{}
		for _, p := range b.postings {
			moving[p.record.Type] = true
		}
		for _, typ := range []string{
			"payin.succeeded", "payin.suspended", "suspense.credited", "suspense.refunded", "payout.initiated", "payout.succeeded", "payout.failed",
			"payout.refunded", "payout.returned", "payout.paid_after_refund", "wallet.adjusted", "wallet.recovered", "wallet.held", "wallet.released",
			"batch.held", "batch.released",
		} {
			if !moving[typ] {
				t.Errorf("the history has no %s", typ)
			}
		}
		v := b.views(at.open(), at.dialect, quick)
		for range 4 {
			b.equalStatements(v, random.IntN)
		}
	})
}

// A statement says no more than what was in the log when it began.
func TestStatementsStandStill(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		for range 5 {
			b.fund(anna, "10.00")
		}
		v := b.views(at.open(), at.dialect, quick)
		f := StatementFilter{Account: wallet.AccountAvailable(anna), Currency: money.INR, From: b.now.Add(-time.Hour), To: b.now.Add(time.Hour)}
		for _, f.ByValue = range []bool{false, true} {
			s, err := v.Statement(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			s.page = 2
			want := s.Closing.Fixed()
			last, n := "", 0
			for l, err := range s.Lines(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == 1 {
					b.fund(anna, "1.00")
					mustReach(t, v)
				}
				last = l.Balance.Fixed()
			}
			if last != want || s.Heads[0].Seq != int64(n) {
				t.Errorf("by value %v: %d lines up to %s, but it closes with %s at %d", f.ByValue, n, last, want, s.Heads[0].Seq)
			}
		}
	})
}

// A journal that was tampered with makes no statement: the error names the line.
func TestStatementsThatDoNotAddUp(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		for range 5 {
			b.fund(anna, "10.00")
		}
		db := at.open()
		v := b.views(db, at.dialect, quick)
		mustReach(t, v)
		if _, err := db.Exec("UPDATE " + lineTable.in(1) + " SET credit = credit + 1 WHERE seq = 3 AND credit > 0"); err != nil {
			t.Fatal(err)
		}
		f := StatementFilter{Account: wallet.AccountAvailable(anna), Currency: money.INR, From: b.now.Add(-time.Hour), To: b.now.Add(time.Hour)}
		s, err := v.Statement(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, problem := range s.Lines(t.Context()) {
			if err = problem; err == nil {
				lines++
			}
		}
		if !errors.Is(err, ErrUnbalanced) || !strings.Contains(err.Error(), "0:3, line 2") || lines != 2 {
			t.Errorf("behind %d lines: %v", lines, err)
		}
		f.From = b.now.Add(time.Minute) // nothing is in it
		if s, err = v.Statement(t.Context(), f); err != nil || s.Opening.Fixed() != "50.00" || s.Closing.Fixed() != "50.00" {
			t.Errorf("%+v, %v", s, err)
		}
		for l, err := range s.Lines(t.Context()) {
			t.Errorf("%+v, %v", l, err)
		}
	})
}

func TestStatementsThatCannotBe(t *testing.T) {
	b := newBook(t, 2)
	b.fund(anna, "10.00")
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, quick)
	good := StatementFilter{Account: wallet.AccountAvailable(anna), Currency: money.INR, From: b.now, To: b.now.Add(time.Hour)}
	for name, c := range map[string]struct {
		change func(*StatementFilter)
		want   domain.Code
	}{
		"good":               {func(*StatementFilter) {}, ""},
		"a merchant's, new":  {func(f *StatementFilter) { f.Account = wallet.AccountAvailable("mer_new") }, ""},
		"no such account":    {func(f *StatementFilter) { f.Account = "platform:profit" }, domain.NotFound},
		"no such currency":   {func(f *StatementFilter) { f.Currency = "XXX" }, domain.Invalid},
		"not in that one":    {func(f *StatementFilter) { f.Account, f.Currency = wallet.AccountAdjustments, "USD" }, domain.NotFound},
		"a period of naught": {func(f *StatementFilter) { f.To = f.From }, domain.Invalid},
	} {
		f := good
		c.change(&f)
		if _, err := v.Statement(t.Context(), f); domain.CodeOf(err) != c.want || c.want == "" && err != nil {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// Pages are read by the journal's key, payments by theirs, in both databases and however little they know of the tables.
func TestStatementsUseIndexes(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		for range 300 {
			b.fund(anna, "10.00")
		}
		v := b.views(at.open(), at.dialect, quick)
		mustReach(t, v)
		for _, account := range []string{wallet.AccountAvailable(anna), wallet.AccountAdjustments} {
			s, err := v.Statement(t.Context(), StatementFilter{Account: account, Currency: money.INR, From: b.now.Add(-time.Hour), To: b.now.Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			f := &statementFeed{of: s, part: &s.parts[0]}
			err = v.keyed(t.Context(), func(q querier, generations []int64) error {
				keys, keysArgs := f.keysQuery(generations, &lineRow{recordedAt: micros(b.now), seq: 7, line: 1})
				sorted, sortedArgs := f.sortedQuery(generations)
				last := "SELECT " + lineTable.list() + " FROM " + lineTable.in(generations[0]) + " " + lastLine
				for text, args := range map[string][]any{
					keys: keysArgs, sorted: sortedArgs, last: {s.parts[0].partition, s.parts[0].account, micros(s.To), s.parts[0].upto},
				} {
					plan, err := planOf(t.Context(), q, at.dialect, text, args...)
					if err != nil {
						return err
					}
					wants := []string{"journal_1_key"}
					if text != last {
						wants = append(wants, map[Dialect]string{Postgres: "payments_1_pkey", SQLite: "SEARCH p USING INDEX sqlite_autoindex_payments_1_1 (id=?"}[at.dialect])
					}
					if text != sorted && at.dialect == SQLite {
						wants[0] = "USING INDEX journal_1_key (partition=? AND account=? AND "
					}
					for _, want := range wants {
						if !strings.Contains(plan, want) {
							t.Errorf("%s\nis done by\n%s\nwithout %s", text, plan, want)
						}
					}
					sorts := strings.Contains(plan, "Sort") || strings.Contains(plan, "TEMP B-TREE")
					if strings.Contains(plan, "SCAN ") || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Join Filter") || sorts != (text == sorted) {
						t.Errorf("%s\nreads more than it needs:\n%s", text, plan)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// A line of a payment has the gateway's own id of it, by which settlement files name it: of the payment that succeeded, and of what waits in suspense.
func TestStatementsHaveTheGatewaysIDs(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		var want []string
		pay := func(payin, id string) {
			b.do(wallet.ReportPayment{
				Base: b.base(anna, payin), Gateway: "sandbox", PaymentID: id, Amount: inr("500.00"), UTR: b.id("utr"), Suspense: b.id("sus"),
			})
			want = append(want, id)
		}
		alone, twice := b.payin(anna, "500.00"), b.payin(anna, "500.00")
		pay(alone, "pay_alone")
		pay(twice, "pay_first")
		pay(twice, "pay_second")
		v := b.views(at.open(), at.dialect, quick)
		f := StatementFilter{Account: wallet.AccountGatewayReceivable("sandbox"), Currency: money.INR, From: b.now.Add(-time.Hour), To: b.now.Add(time.Hour)}
		s, err := v.Statement(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for l, err := range s.Lines(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, l.BankReference)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}
