package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// A source's events are decided by who has folded its whole stream: that is as large as its lines are many, and no executor keeps it. What
// keeps decisions apart is how many events they were decided on: with another number they are refused.

// sourceCommand adds events to a source's stream.
type sourceCommand struct {
	source string
	seen   int64 // events that they were decided on
	events []reconcile.Event
	at     time.Time
}

// sourceState counts the events of a source.
type sourceState struct{ seen int64 }

func (s *sourceState) Evolve(executor.Event) { s.seen++ }

// Copy keeps it in memory across a conflict: its stream has all of its lines.
func (s *sourceState) Copy() executor.State {
	c := *s
	return &c
}

func sourceEvents(s *sourceState, c sourceCommand, out []executor.Event) ([]executor.Event, error) {
	if s.seen != c.seen {
		return nil, domain.Errorf(domain.Stale, "source %s was changed meanwhile: try again", c.source)
	}
	for _, e := range c.events {
		data, err := reconcile.Encode(e)
		if err != nil {
			return nil, err
		}
		out = append(out, executor.Event{
			Stream: reconcile.Stream(c.source), Subject: e.Topic(), Type: e.Type(), Schema: e.Schema(), EffectiveAt: c.at, Data: data, Fact: e,
		})
	}
	return out, nil
}

// SubmitSource adds events to a source's stream, which were decided on so many events of it: domain.Stale when there are more by now.
func (l *Ledger) SubmitSource(ctx context.Context, name string, seen int64, events []reconcile.Event, o eventstore.Origin) error {
	_, err := l.submit(ctx, name, sourceCommand{name, seen, events, l.clock()}, nil, o)
	return err
}

// EachOfSource calls f with the events of a source behind a position, in order.
func (l *Ledger) EachOfSource(ctx context.Context, name string, after int64, f func(r *eventstore.Record, e reconcile.Event) error) error {
	return l.eachBehind(ctx, l.Partition(name), reconcile.Stream(name), after, func(r *eventstore.Record) (bool, error) {
		e, err := reconcile.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return true, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		return false, f(r, e)
	})
}

// Sources returns the names of all sources, in the order of their partitions.
func (l *Ledger) Sources(ctx context.Context) ([]string, error) {
	var names []string
	for p := range l.partitions {
		records, err := l.log.ReadSubjects(ctx, p, []string{reconcile.Register})
		if err != nil {
			return nil, fmt.Errorf("reading the register of sources: %w", err)
		}
		for i := range records {
			e, err := reconcile.Decode(records[i].Type, records[i].Schema, records[i].Data)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", records[i].Position(), err)
			}
			if opened, is := e.(*reconcile.Opened); is {
				names = append(names, opened.Source)
			}
		}
	}
	return names, nil
}

// breakTimeline is Timeline of a break: what people have decided of it, and what was posted to the books for it, in the order of recording. They may
// stand in two partitions.
func (l *Ledger) breakTimeline(ctx context.Context, id string, each func(Moment) error) error {
	var all []Moment
	for p := range l.partitions {
		records, err := l.log.ReadSubjects(ctx, p, []string{id})
		if err != nil {
			return fmt.Errorf("reading %s: %w", id, err)
		}
		for i := range records {
			m, err := momentOf(&records[i])
			if err != nil {
				return err
			}
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return domain.Errorf(domain.NotFound, "nobody has decided anything about %s", id)
	}
	slices.SortStableFunc(all, func(a, b Moment) int { return a.RecordedAt.Compare(b.RecordedAt) })
	for _, m := range all {
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}
