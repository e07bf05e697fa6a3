package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// BooksResult is what became of a command on the general ledger.
type BooksResult struct {
	Books       books.Books         // after the command
	First, Last eventstore.Position // of the events; zero when the command changed nothing
}

// SubmitBooks carries out a command on the general ledger: closes and reopenings of periods, adjustments between accounts that are nobody's
// wallet. Errors are those of Submit: an *executor.DuplicateError for an adjustment about something that has been adjusted.
func (l *Ledger) SubmitBooks(ctx context.Context, c books.Command, o eventstore.Origin) (BooksResult, error) {
	res, err := l.submit(ctx, books.Owner, c, c.Keys(), o)
	if err != nil {
		return BooksResult{}, err
	}
	return BooksResult{Books: *res.Answer.(*books.Books), First: res.First, Last: res.Last}, nil
}

// Books is the general ledger as it is now, folded from the log.
func (l *Ledger) Books(ctx context.Context) (books.Books, error) {
	s := &booksState{}
	err := l.foldStream(ctx, books.Owner, books.Stream, s)
	return s.Books, err
}

// Freezer reads the trial balance of a close that is about to be made: of everything in the log by then, with a value date before to.
type Freezer interface {
	Freeze(ctx context.Context, to time.Time) (books.Trial, error)
}

// ClosePeriod closes a period. What is recorded while its balances are read, or behind them, is late; so nothing has to wait, in any
// partition. Of two that close at the same time, the second is refused: domain.Stale. A process that dies before the append has done nothing.
func (l *Ledger) ClosePeriod(ctx context.Context, from Freezer, p books.Period, actor string, o eventstore.Origin) (books.Closed, error) {
	b, err := l.Books(ctx) // before the balances are read: they stand behind all of its closes
	if err != nil {
		return books.Closed{}, err
	}
	last, _ := b.Last()
	c := books.Close{Period: p, Changes: b.Changes, Actor: actor, At: eventstore.Micros(l.clock())}
	if err := c.Closable(&b); err != nil { // before anything is read that takes long
		return books.Closed{}, err
	}
	if c.Trial, err = from.Freeze(ctx, p.To); err != nil {
		return books.Closed{}, fmt.Errorf("reading the balances of %s: %w", p.Name, err)
	}
	res, err := l.SubmitBooks(ctx, c, o)
	if err != nil {
		return books.Closed{}, err
	}
	return books.Closed{Number: res.Books.Number, Period: p, From: last.To, Trial: c.Trial, Actor: actor}, nil
}

// ReopenPeriod reopens the last close for two people at once: what the first asks for, the second approves. When the process dies between the
// two, the same again goes on; and so it does when the first has asked for it before.
func (l *Ledger) ReopenPeriod(ctx context.Context, ask books.RequestReopen, second string, o eventstore.Origin) (BooksResult, error) {
	approve := books.ApproveReopen{Name: ask.Name, Actor: second, At: ask.At}
	if err := approve.Another(ask.Actor); err != nil {
		return BooksResult{}, err
	}
	if _, err := l.SubmitBooks(ctx, ask, o); err != nil {
		return BooksResult{}, err
	}
	o.Command, o.Actor = uuid.Nil, second
	return l.SubmitBooks(ctx, approve, o)
}

// Copy keeps the general ledger in memory across a conflict.
func (s *booksState) Copy() executor.State { return &booksState{s.Clone()} }

func (s *booksState) Evolve(e executor.Event) {
	if ev, ok := e.Fact.(books.Event); ok {
		s.Books.Evolve(ev)
	}
}

func booksEvents(b *books.Books, c books.Command, out []executor.Event) ([]executor.Event, error) {
	events, err := books.Decide(b, c)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		data, err := books.Encode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, executor.Event{
			Stream: books.Stream, Subject: e.Topic(), Type: e.Type(), Schema: e.Schema(), EffectiveAt: c.Effective(), Data: data, Fact: e,
		})
	}
	return out, nil
}
