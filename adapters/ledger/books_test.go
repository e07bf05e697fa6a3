package ledger_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// naiveFreezer reads the whole log for a trial balance, and calls meanwhile, if there is one, when it has.
type naiveFreezer struct {
	log       eventstore.Store
	meanwhile func()
	fault     error
}

func (f naiveFreezer) Freeze(ctx context.Context, to time.Time) (books.Trial, error) {
	if f.fault != nil {
		return books.Trial{}, f.fault
	}
	heads, err := eventstore.Heads(ctx, f.log)
	if err != nil {
		return books.Trial{}, err
	}
	marks := make([]books.Mark, len(heads))
	for p, h := range heads {
		marks[p] = books.Mark{Partition: p, Seq: h.Seq}
	}
	c := books.NewCanon(to, marks)
	for p, h := range heads {
		var records []eventstore.Record
		for int64(len(records)) < h.Seq {
			page, err := f.log.Read(ctx, p, int64(len(records)), 1000)
			if err != nil {
				return books.Trial{}, err
			}
			records = append(records, page...)
		}
		type account struct {
			currency money.Currency
			name     string
		}
		sums := map[account]money.Amount{}
		for i := range records {
			r := &records[i]
			e, err := event.Decode(r.Stream, r.Type, r.Schema, r.Data)
			if err != nil {
				return books.Trial{}, err
			}
			if r.Seq > h.Seq || !r.EffectiveAt.Before(to) {
				continue
			}
			for _, line := range event.Postings(e) {
				a := account{line.Debit.Currency(), line.Account}
				sum, there := sums[a]
				if !there {
					sum = money.Zero(a.currency)
				}
				sums[a] = sum.Add(line.Debit).Sub(line.Credit)
			}
		}
		for _, a := range slices.SortedFunc(maps.Keys(sums), func(x, y account) int {
			return cmp.Or(cmp.Compare(x.currency, y.currency), cmp.Compare(x.name, y.name))
		}) {
			c.Add(p, a.name, sums[a])
		}
	}
	if f.meanwhile != nil {
		f.meanwhile()
	}
	return c.Trial()
}

func days(t *testing.T, name string) books.Period {
	t.Helper()
	p, err := books.ParsePeriod(name, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *book) closeBooks(name string, meanwhile func()) (books.Closed, error) {
	b.t.Helper()
	return b.ClosePeriod(b.t.Context(), naiveFreezer{log: b.log, meanwhile: meanwhile}, days(b.t, name), "asha", eventstore.Origin{Actor: "asha"})
}

func (b *book) reopenBooks(name, first, second string) error {
	b.t.Helper()
	_, err := b.ReopenPeriod(b.t.Context(), books.RequestReopen{Name: name, Reason: "a bill", Actor: first, At: made}, second, eventstore.Origin{Actor: first})
	return err
}

func adjustment(about string) books.Adjust {
	return books.Adjust{
		About: about, Debit: books.AccountAdjustments, Credit: wallet.AccountFloat("sandbox"), Amount: inr("5"), Reason: "a break", Maker: "asha", Checker: "ravi", At: made,
	}
}

// Closes, what is late for them, reopenings and adjustments: the trial balances that were frozen are computed again from the log.
func TestClosesAreVerified(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 4} {
		log := memory.New(partitions)
		b := open(t, log)
		b.history(merchantA)
		must := func(_ any, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		edge := base(merchantA, "txn_edge")
		edge.At = days(t, "2026-03-30").To // the first instant behind it
		b.submit(wallet.AdjustWallet{Base: edge, Amount: inr("3"), Reason: "r", Actor: "a"})
		must(b.closeBooks("2026-03-30", nil))
		must(b.closeBooks("2026-03-31", func() { b.history(merchantB) })) // all of it late
		must(b.SubmitBooks(t.Context(), adjustment("brk_1"), eventstore.Origin{Actor: "ravi"}))
		must(nil, b.reopenBooks("2026-03-31", "asha", "ravi"))
		must(b.closeBooks("2026-04-15", nil))
		must(nil, b.reopenBooks("2026-04-15", "asha", "ravi"))
		e, err := b.closeBooks("2026-Q1", nil)
		must(e, err)
		if e.Number != 4 || !e.From.Equal(days(t, "2026-03-30").To) || len(e.Positions) != partitions || e.Accounts == 0 {
			t.Errorf("%+v", e)
		}
		got := verify(t, log)
		if c := got["periods"]; !c.OK || c.Checked != 8 {
			t.Errorf("%+v", c)
		}
		verified(t, log)
		state, err := b.Books(t.Context())
		if last, _ := state.Last(); err != nil || last.Name != "2026-Q1" || state.Changes != 6 {
			t.Errorf("%+v (%v)", state, err)
		}
	}
}

func TestClosingIsRefused(t *testing.T) {
	t.Parallel()
	log := memory.New(2)
	b, other := open(t, log), open(t, log)
	b.history(merchantA)
	head := func() int64 {
		heads, err := eventstore.Heads(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		return heads[0].Seq + heads[1].Seq
	}
	before := head()
	fault := errors.New("the views are away")
	if _, err := b.ClosePeriod(t.Context(), naiveFreezer{fault: fault}, days(t, "2026-03"), "asha", eventstore.Origin{}); !errors.Is(err, fault) {
		t.Error(err)
	}
	if _, err := b.closeBooks("2100-01", func() { t.Error("balances are read for nothing") }); domain.CodeOf(err) != domain.Invalid {
		t.Error(err)
	}
	if err := b.reopenBooks("2026-03", "asha", "Asha"); domain.CodeOf(err) != domain.Forbidden {
		t.Error(err)
	}
	if err := b.reopenBooks("2026-03", "asha", "ravi"); domain.CodeOf(err) != domain.NotFound || head() != before {
		t.Errorf("%v, %d records more", err, head()-before)
	}
	// Another process closes while the balances are read.
	_, err := b.closeBooks("2026-03", func() {
		if _, err := other.closeBooks("2026-02", nil); err != nil {
			t.Error(err)
		}
	})
	if domain.CodeOf(err) != domain.Stale {
		t.Error(err)
	}
	if _, err := b.closeBooks("2026-03", nil); err != nil {
		t.Error(err)
	}
	// Who died after asking, and does it again, goes on.
	ask := books.RequestReopen{Name: "2026-03", Reason: "a bill", Actor: "asha", At: made}
	if _, err := other.SubmitBooks(t.Context(), ask, eventstore.Origin{Actor: "asha"}); err != nil {
		t.Error(err)
	}
	if err := b.reopenBooks("2026-03", "asha", "ravi"); err != nil {
		t.Error(err)
	}
	verified(t, log)
}

// Of many that close at the same time, in two processes, one does, while merchants in all partitions go on.
func TestOneOfManyCloses(t *testing.T) {
	t.Parallel()
	log := memory.New(4)
	processes := []*book{open(t, log), open(t, log)}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for m := range 4 {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				owner := fmt.Sprintf("mer_%016d", m)
				_, err := processes[i%2].Submit(t.Context(), wallet.AdjustWallet{
					Base: base(owner, fmt.Sprint("txn_", i)), Amount: inr("1"), Reason: "r", Actor: "a",
				}, eventstore.Origin{Actor: "a"})
				if err != nil && !errors.Is(err, executor.ErrContended) {
					t.Error(err)
				}
			}
		})
	}
	for _, name := range []string{"2026-03-31", "2026-04-01", "2026-04-02"} {
		var closers sync.WaitGroup
		closed := make(chan books.Closed, 8)
		for n := range cap(closed) {
			closers.Go(func() {
				e, err := processes[n%2].closeBooks(name, nil)
				switch {
				case err == nil:
					closed <- e
				case domain.CodeOf(err) != domain.Stale && !errors.Is(err, executor.ErrContended):
					t.Error(err)
				}
			})
		}
		closers.Wait()
		if len(closed) != 1 {
			t.Errorf("%s is closed %d times", name, len(closed))
		}
	}
	close(stop)
	all.Wait()
	verified(t, log)
}

// The same break is settled once, whoever tries.
func TestAdjustmentsAreMadeOnce(t *testing.T) {
	t.Parallel()
	log := memory.New(2)
	processes := []*book{open(t, log), open(t, log)}
	made := make(chan eventstore.Position, 10)
	var all sync.WaitGroup
	for n := range cap(made) {
		all.Go(func() {
			res, err := processes[n%2].SubmitBooks(t.Context(), adjustment("brk_1"), eventstore.Origin{Actor: "ravi"})
			var taken *executor.DuplicateError
			switch {
			case err == nil:
				made <- res.First
			case !errors.As(err, &taken) || taken.Key != books.AdjustmentKey("brk_1"):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(made) != 1 {
		t.Fatalf("made %d times", len(made))
	}
	if _, err := processes[0].SubmitBooks(t.Context(), adjustment("brk_2"), eventstore.Origin{Actor: "ravi"}); err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]int{"brk_1": 1, books.Stream: 2} {
		n := 0
		if err := processes[1].Timeline(t.Context(), subject, func(ledger.Moment) error { n++; return nil }); err != nil || n != want {
			t.Errorf("the timeline of %s has %d events (%v)", subject, n, err)
		}
	}
	r, err := processes[0].Record(t.Context(), <-made)
	if err != nil || r.Stream != books.Stream || r.Subject != "brk_1" || r.Type != "books.adjusted" || r.Partition != eventstore.PartitionOf(books.Owner, 2) {
		t.Errorf("%+v (%v)", r, err)
	}
	verified(t, log)
}

// What nobody can have decided, and trial balances that the log does not give, are found, though the chain holds.
func TestVerifyFindsWrongCloses(t *testing.T) {
	t.Parallel()
	zero, rupees := inr("0"), inr("1000")
	marks := []books.Mark{{Partition: 0, Seq: 1}}
	to := made.Add(-time.Hour)
	canon := books.NewCanon(to, marks)
	canon.Add(0, "adjustments", rupees)
	canon.Add(0, wallet.AccountAvailable(merchantA), rupees.Neg())
	right, err := canon.Trial()
	if err != nil {
		t.Fatal(err)
	}
	closed := func(change func(*books.Closed)) *books.Closed {
		e := &books.Closed{Number: 1, Period: books.Period{Name: "p", Zone: "UTC", To: to}, Trial: right, Actor: "asha"}
		e.Totals = slices.Clone(e.Totals)
		change(e)
		return e
	}
	asked := &books.ReopenRequested{Number: 1, Name: "p", Reason: "r", Actor: "asha"}
	for name, c := range map[string]struct {
		check  string // "": all is well
		events []books.Event
	}{
		"right":                      {"", []books.Event{closed(func(*books.Closed) {})}},
		"another digest":             {"periods", []books.Event{closed(func(e *books.Closed) { e.Digest = "00" + e.Digest[2:] })}},
		"another number":             {"periods", []books.Event{closed(func(e *books.Closed) { e.Accounts++ })}},
		"other totals":               {"periods", []books.Event{closed(func(e *books.Closed) { e.Totals[0].Debit, e.Totals[1].Credit = inr("1"), inr("1") })}},
		"records that there are not": {"periods", []books.Event{closed(func(e *books.Closed) { e.Positions = []books.Mark{{Partition: 0, Seq: 99}} })}},
		"another log's":              {"periods", []books.Event{closed(func(e *books.Closed) { e.Positions = []books.Mark{{Partition: 0, Seq: 1}, {Partition: 1, Seq: 1}} })}},
		"a gap":                      {"periods", []books.Event{closed(func(e *books.Closed) { e.Number = 2 })}},
		"not ended":                  {"periods", []books.Event{closed(func(e *books.Closed) { e.To = made.Add(time.Hour) })}},
		"one person":                 {"periods", []books.Event{closed(func(*books.Closed) {}), asked, &books.Reopened{Number: 1, Name: "p", Reason: "r", Requested: "asha", Actor: "asha"}}},
		"another reason":             {"periods", []books.Event{closed(func(*books.Closed) {}), asked, &books.Reopened{Number: 1, Name: "p", Reason: "s", Requested: "asha", Actor: "ravi"}}},
		"a wallet adjusted": {"postings", []books.Event{&books.Adjusted{
			About: "brk_1", Debit: "adjustments", Credit: wallet.AccountAvailable(merchantA), Amount: rupees, Currency: money.INR, Reason: "r", Maker: "a", Checker: "b",
		}}},
		"adjusted by less than nothing": {"postings", []books.Event{&books.Adjusted{
			About: "brk_1", Debit: "adjustments", Credit: "suspense", Amount: zero.Sub(rupees), Currency: money.INR, Reason: "r", Maker: "a", Checker: "b",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &forged{t, memory.New(1), map[string]int64{}}
			f.record(eventstore.Record{
				Stream: wallet.Stream(merchantA, "INR"), Version: 1, Subject: "txn_1", EffectiveAt: to.Add(-time.Hour),
			}, &wallet.WalletAdjusted{Of: wallet.Of{Merchant: merchantA, Currency: "INR", Payment: "txn_1"}, Amount: rupees, Reason: "r", Actor: "a"})
			for i, e := range c.events {
				data, err := books.Encode(e)
				if err != nil {
					t.Fatal(err)
				}
				f.raw(eventstore.Record{
					Stream: books.Stream, Version: int64(i + 1), Subject: e.Topic(), Type: e.Type(), Schema: 1, EffectiveAt: made, Data: data,
				})
			}
			got := verify(t, f.log)
			for name, check := range got {
				if check.OK != (name != c.check) {
					t.Errorf("%+v", check)
				}
			}
			if want := fmt.Sprintf("0:%d", len(c.events)+1); c.check != "" && got[c.check].Position != want {
				t.Errorf("%+v, want it at %s", got[c.check], want)
			}
		})
	}
}

func (f *forged) record(r eventstore.Record, e wallet.Event) {
	f.t.Helper()
	data, err := wallet.Encode(e)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Type, r.Schema, r.Data = e.Type(), e.Schema(), data
	f.raw(r)
}

func (f *forged) raw(r eventstore.Record) {
	f.t.Helper()
	r.EventID, r.RecordedAt, r.Meta = uuid.New(), made, eventstore.Meta{Actor: "forger"}.Bytes()
	head, err := f.log.Head(f.t.Context(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	records := []eventstore.Record{r}
	eventstore.Chain(head, records)
	if err := f.log.Append(f.t.Context(), head, records); err != nil {
		f.t.Fatal(err)
	}
}

var _ ledger.Freezer = naiveFreezer{}
