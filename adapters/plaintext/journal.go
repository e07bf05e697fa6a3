package plaintext

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Log is what a journal is written from.
type Log interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error)
}

// Options say what is written. The zero value but for Format writes everything, with days of UTC.
type Options struct {
	Format   Format
	From     time.Time               // first instant of the period, by the date of posting; zero: from the beginning
	Until    time.Time               // first instant behind it; zero: to the end
	Zone     *time.Location          // whose days the dates are; nil: UTC
	Merchant string                  // whose wallets; empty: all
	Progress func(done, total int64) // of records read; nil: nobody asks
}

// Balance is what an account has in a currency: debits, less credits.
type Balance struct {
	Account string
	Amount  money.Amount
}

// Written says what a journal has.
type Written struct {
	Ledger  uuid.UUID
	Heads   []eventstore.Head // the journal is that of the log up to here
	Entries int64             // transactions, but for the opening one
	Late    int64             // those of an earlier date than one before them
	Moved   int64             // those that are posted behind their value date: it is in a period that was closed before they were recorded
	Opening []Balance         // by account and currency, none of zero
	Closing []Balance         // of every account that the journal names
}

// Write writes the journal of a log as it is now. The log may grow meanwhile.
func Write(ctx context.Context, log Log, w io.Writer, o Options) (Written, error) {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	shape, err := o.Format.shape()
	if err != nil {
		return Written{}, err
	}
	info, err := log.Info(ctx)
	if err != nil {
		return Written{}, err
	}
	heads, err := eventstore.Heads(ctx, log)
	if err != nil {
		return Written{}, err
	}
	closes, err := closings(ctx, log, heads)
	if err != nil {
		return Written{}, err
	}
	j := &journal{
		log: log, options: o, closes: closes, shape: shape, out: bufio.NewWriterSize(w, 1<<16),
		accounts: map[string]*Account{}, taken: map[string]bool{}, currencies: map[money.Currency]bool{}, sums: map[sumKey]money.Amount{},
		written: Written{Ledger: info.LedgerID, Heads: heads},
	}
	for _, h := range heads {
		j.total += h.Seq
	}
	if err := j.write(ctx); err != nil {
		return Written{}, fmt.Errorf("writing the journal: %w", err)
	}
	return j.written, nil
}

// journal is one that is being written.
type journal struct {
	log     Log
	options Options
	closes  books.Closings
	shape   shape
	out     *bufio.Writer
	line    []byte // that is being made
	entry   Entry  // likewise

	accounts   map[string]*Account // that have been declared
	taken      map[string]bool     // names of the format
	currencies map[money.Currency]bool
	sums       map[sumKey]money.Amount
	last       time.Time // newest date written
	written    Written

	done, total int64
}

type sumKey struct {
	account  string
	currency money.Currency
}

func (j *journal) write(ctx context.Context) error {
	opens := !j.options.From.IsZero()
	if opens {
		j.total *= 2
	}
	if err := j.put(j.shape.begin(j.line[:0], &j.written, &j.options)); err != nil {
		return err
	}
	if opens {
		if err := j.open(ctx); err != nil {
			return err
		}
	}
	err := j.each(ctx, func(m *movement) error {
		if m.posted.Before(j.options.From) {
			return nil
		}
		return j.book(m)
	})
	if err != nil {
		return err
	}
	j.written.Closing = j.balances(true)
	lines, err := j.lines(j.written.Closing)
	if err != nil {
		return err
	}
	if err := j.put(j.shape.end(j.line[:0], &j.written, lines, j.last.In(j.options.Zone))); err != nil {
		return err
	}
	return j.out.Flush()
}

// open writes the opening balances: what all came to that is posted before the period, recorded whenever.
func (j *journal) open(ctx context.Context) error {
	err := j.each(ctx, func(m *movement) error {
		if m.posted.Before(j.options.From) {
			j.add(m.postings)
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.written.Opening = j.balances(false)
	clear(j.sums)
	if len(j.written.Opening) == 0 {
		return nil
	}
	lines, err := j.lines(j.written.Opening)
	if err != nil {
		return err
	}
	for _, b := range j.written.Opening {
		j.sums[sumKey{b.Account, b.Amount.Currency()}] = b.Amount
	}
	j.last = j.options.From
	from := j.options.From.In(j.options.Zone)
	j.entry = Entry{Opening: true, PostedAt: from, ValueAt: from, Lines: lines}
	return j.put(j.shape.entry(j.line[:0], &j.entry))
}

// movement is a record that moves money.
type movement struct {
	record   *eventstore.Record
	event    any
	postings []books.Posting
	posted   time.Time      // when it counts
	late     *books.Closing // why that is not its value date; nil: it is
}

// each calls f with every event in question that moves money and is not posted behind the period.
func (j *journal) each(ctx context.Context, f func(*movement) error) error {
	stream, general := "wallet:", books.Stream
	if j.options.Merchant != "" {
		stream, general = stream+j.options.Merchant+":", "no stream"
	}
	until := j.options.Until
	return eventstore.Merge(ctx, j.written.Heads, j.log.Read, func(r *eventstore.Record) error {
		if j.done++; j.options.Progress != nil {
			j.options.Progress(j.done, j.total)
		}
		if !strings.HasPrefix(r.Stream, stream) && r.Stream != general {
			return nil
		}
		m := movement{record: r}
		m.posted, m.late = j.closes.Posted(r.EffectiveAt, books.Mark{Partition: r.Partition, Seq: r.Seq})
		if !until.IsZero() && !m.posted.Before(until) {
			return nil
		}
		var err error
		if m.event, err = event.Decode(r.Stream, r.Type, r.Schema, r.Data); err != nil {
			return fmt.Errorf("record %s: %w", r.Position(), err)
		}
		if m.postings = event.Postings(m.event); len(m.postings) == 0 {
			return nil
		}
		if err := balanced(m.postings); err != nil {
			return fmt.Errorf("record %s: %s: %w", r.Position(), r.Type, err)
		}
		if err := f(&m); err != nil {
			return fmt.Errorf("record %s: %w", r.Position(), err)
		}
		return nil
	})
}

// balanced refuses an entry that is none: whoever wrote the event was no ledger.
func balanced(postings []books.Posting) error {
	sum := money.Zero(postings[0].Debit.Currency())
	for _, p := range postings {
		sum = sum.Add(p.Debit).Sub(p.Credit)
	}
	if !sum.IsZero() {
		return fmt.Errorf("debits less credits are %s", sum)
	}
	return nil
}

// book writes one transaction.
func (j *journal) book(m *movement) error {
	j.add(m.postings)
	lines := j.entry.Lines[:0]
	for _, p := range m.postings {
		l, err := j.entryLine(p.Account, p.Debit.Sub(p.Credit))
		if err != nil {
			return err
		}
		lines = append(lines, l)
	}
	if m.posted.Before(j.last) {
		j.written.Late++
	} else {
		j.last = m.posted
	}
	r := m.record
	e := Entry{
		Position: r.Position(), PostedAt: m.posted.In(j.options.Zone), ValueAt: r.EffectiveAt.In(j.options.Zone), RecordedAt: r.RecordedAt.UTC(),
		EventID: r.EventID, Event: r.Type, Subject: r.Subject, Currency: m.postings[0].Debit.Currency(), Lines: lines,
	}
	if m.late != nil {
		e.LateFor = m.late.Name
		j.written.Moved++
	}
	if of, is := m.event.(wallet.Event); is {
		e.Merchant, e.References = of.Header().Merchant, references(j.entry.References[:0], of)
	}
	j.entry = e
	j.written.Entries++
	return j.put(j.shape.entry(j.line[:0], &j.entry))
}

func (j *journal) add(postings []books.Posting) {
	for _, p := range postings {
		k := sumKey{p.Account, p.Debit.Currency()}
		sum, there := j.sums[k]
		if !there {
			sum = money.Zero(k.currency)
		}
		j.sums[k] = sum.Add(p.Debit).Sub(p.Credit)
	}
}

// balances lists the sums by account and currency, those of zero if asked for.
func (j *journal) balances(zero bool) []Balance {
	keys := slices.SortedFunc(maps.Keys(j.sums), func(a, b sumKey) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.currency, b.currency))
	})
	list := make([]Balance, 0, len(keys))
	for _, k := range keys {
		if sum := j.sums[k]; zero || !sum.IsZero() {
			list = append(list, Balance{k.account, sum})
		}
	}
	return list
}

func (j *journal) lines(list []Balance) ([]Line, error) {
	lines := make([]Line, len(list))
	for i, b := range list {
		var err error
		if lines[i], err = j.entryLine(b.Account, b.Amount); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// entryLine makes a line, and declares what it names for the first time.
func (j *journal) entryLine(name string, amount money.Amount) (Line, error) {
	a, there := j.accounts[name]
	if !there {
		a = &Account{Name: name, Type: typeOf(name), Written: j.free(j.shape.name(name))}
		j.accounts[name] = a
		if err := j.put(j.shape.account(j.line[:0], a)); err != nil {
			return Line{}, err
		}
	}
	if c := amount.Currency(); !j.currencies[c] {
		j.currencies[c] = true
		if err := j.put(j.shape.currency(j.line[:0], c)); err != nil {
			return Line{}, err
		}
	}
	return Line{a, amount}, nil
}

// free is a name of the format that no other account has.
func (j *journal) free(name string) string {
	free := name
	for n := 2; j.taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", name, n)
	}
	j.taken[free] = true
	return free
}

// put writes what was appended to j.line, whose memory is used again.
func (j *journal) put(line []byte) error {
	j.line = line
	_, err := j.out.Write(line)
	return err
}
