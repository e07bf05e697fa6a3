package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// periods computes the trial balances of all closes again, also of those that were reopened, while the records pass by, partition after
// partition. A close counts the records up to its mark in each, so they are found before anything is read.
//
// What is held is a balance of each account of the partition, and one for each of the periods that closes still to come divide. When a
// mark has passed, the balances of its close are added to its digest and need not be kept.
type periods struct {
	closes []*periodClose
	known  map[eventstore.Position]bool
	ends   []time.Time // of the closes, each once, rising
	books  books.Books // behind the events that have passed

	// Of the partition being read:
	partition int
	due       []*periodClose                 // by their marks
	least     []int                          // of the ends of due from here on, the first one
	sums      []map[accountKey]*money.Amount // by the first end behind the value date
}

type periodClose struct {
	*books.Closed
	at    eventstore.Position
	end   int // its place among the ends
	canon *books.Canon
}

type accountKey struct {
	currency money.Currency
	name     string
}

// Streamed finds the records of a stream.
type Streamed interface {
	ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error)
}

// closesPage is how many records of the general ledger are read at once.
const closesPage = 1000

// find finds the closes in front of the heads. Those that the index does not find are missed when their records pass by.
func (p *periods) find(ctx context.Context, log Auditable, heads []eventstore.Head) error {
	p.known = map[eventstore.Position]bool{}
	found, able := log.(Streamed)
	if !able {
		return nil
	}
	home := eventstore.PartitionOf(books.Owner, len(heads))
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return found.ReadStream(ctx, home, books.Stream, after, limit)
	}
	err := eventstore.EachPage(ctx, 0, closesPage, read, func(records []eventstore.Record) (bool, error) {
		for i := range records {
			if records[i].Seq > heads[home].Seq {
				return true, nil
			}
			p.add(&records[i], heads)
		}
		return false, nil
	})
	if errors.Is(err, eventstore.ErrBroken) || errors.Is(err, eventstore.ErrConflict) { // damaged, or cut behind its index: the other checks say so
		err = nil
	}
	for _, c := range p.closes {
		p.ends = append(p.ends, c.To)
	}
	slices.SortFunc(p.ends, time.Time.Compare)
	p.ends = slices.CompactFunc(p.ends, time.Time.Equal)
	for _, c := range p.closes {
		c.end, _ = slices.BinarySearchFunc(p.ends, c.To, time.Time.Compare)
	}
	return err
}

// add takes a close whose marks are records of this log. The others cannot be computed, and are missed.
func (p *periods) add(r *eventstore.Record, heads []eventstore.Head) {
	fact, err := DecodeFact(r)
	if err != nil {
		return
	}
	e, closes := fact.(*books.Closed)
	if !closes || len(e.Positions) != len(heads) {
		return
	}
	for n, m := range e.Positions {
		if m.Seq > heads[n].Seq {
			return
		}
	}
	p.known[r.Position()] = true
	p.closes = append(p.closes, &periodClose{Closed: e, at: r.Position(), canon: books.NewCanon(e.To, e.Positions)})
}

// begin prepares for the records of a partition, in their order.
func (p *periods) begin(partition int) {
	p.partition, p.due = partition, slices.Clone(p.closes)
	slices.SortStableFunc(p.due, func(a, b *periodClose) int {
		return cmp.Compare(a.Positions[partition].Seq, b.Positions[partition].Seq)
	})
	p.least = make([]int, len(p.due))
	least := len(p.ends)
	for i := len(p.due) - 1; i >= 0; i-- {
		least = min(least, p.due[i].end)
		p.least[i] = least
	}
	p.sums = make([]map[accountKey]*money.Amount, len(p.ends))
}

// count adds what a record posts.
func (p *periods) count(r *eventstore.Record, postings []books.Posting) {
	if len(p.due) == 0 || len(postings) == 0 {
		return
	}
	for len(p.due) > 0 && p.due[0].Positions[p.partition].Seq < r.Seq {
		p.pass()
	}
	first, found := slices.BinarySearchFunc(p.ends, r.EffectiveAt, time.Time.Compare)
	if found {
		first++ // a value date at the end of a period is behind it
	}
	if len(p.due) == 0 || first == len(p.ends) {
		return
	}
	if p.sums[first] == nil {
		p.sums[first] = map[accountKey]*money.Amount{}
	}
	for i := range postings {
		line := &postings[i]
		add(p.sums[first], accountKey{line.Debit.Currency(), line.Account}, line.Debit.Sub(line.Credit))
	}
}

func add(sums map[accountKey]*money.Amount, key accountKey, amount money.Amount) {
	sum := sums[key]
	if sum == nil {
		sums[key] = &amount
		return
	}
	*sum = sum.Add(amount)
}

// end is behind the last record of a partition.
func (p *periods) end() {
	for len(p.due) > 0 {
		p.pass()
	}
	p.sums = nil
}

// pass adds the balances of the next close to what it has of the partitions before.
func (p *periods) pass() {
	c := p.due[0]
	all := map[accountKey]*money.Amount{}
	for i := range c.end + 1 {
		for key, sum := range p.sums[i] {
			add(all, key, *sum)
		}
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b accountKey) int {
		return cmp.Or(cmp.Compare(a.currency, b.currency), cmp.Compare(a.name, b.name))
	})
	for _, key := range keys {
		c.canon.Add(p.partition, key.name, *all[key])
	}
	p.due, p.least = p.due[1:], p.least[1:]
	if len(p.due) == 0 {
		return
	}
	if p.sums[0] == nil {
		p.sums[0] = map[accountKey]*money.Amount{}
	}
	for i := 1; i <= p.least[0]; i++ { // nothing that comes divides them any more
		for key, sum := range p.sums[i] {
			add(p.sums[0], key, *sum)
		}
		p.sums[i] = nil
	}
}

// followBooks checks an event of the general ledger.
func (v *verifier) followBooks(r *eventstore.Record, e books.Event, postings []books.Posting) {
	wrong := v.periods.books.Again(e, r.EffectiveAt)
	v.periods.books.Evolve(e)
	if _, adjusts := e.(*books.Adjusted); adjusts {
		sum := money.Zero(postings[0].Debit.Currency())
		for _, p := range postings {
			sum = sum.Add(p.Credit).Sub(p.Debit)
		}
		if wrong == nil && !sum.IsZero() {
			wrong = fmt.Errorf("credits exceed debits by %s", sum)
		}
		v.note(checkPostings, r.Position(), wrong, 1)
		return
	}
	if _, closes := e.(*books.Closed); closes && wrong == nil && !v.periods.known[r.Position()] {
		wrong = errors.New("its trial balance is not computed again: it is not found in its stream, or counts records that the log does not have")
	}
	v.note(checkPeriods, r.Position(), wrong, 1)
}

// frozen compares what closes have frozen with what was computed again.
func (v *verifier) frozen() {
	for _, c := range v.periods.closes {
		again, err := c.canon.Trial()
		if err == nil && again.Digest != c.Digest {
			err = fmt.Errorf("the trial balance of %s has digest %s, and was frozen with %s", c.Name, again.Digest, c.Digest)
		}
		if err == nil && (again.Accounts != c.Accounts || !slices.EqualFunc(again.Totals, c.Totals, equalTotals)) {
			err = fmt.Errorf("the trial balance of %s has other totals than were frozen", c.Name)
		}
		v.note(checkPeriods, c.at, err, 0)
	}
}

func equalTotals(a, b books.Total) bool {
	return a.Currency == b.Currency && a.Kind == b.Kind && a.Debit.Equal(b.Debit) && a.Credit.Equal(b.Credit)
}
