package executor

import (
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// batch is what one append carries, and whom it answers.
type batch struct {
	number   int64 // from 1, in the order in which batches are begun
	requests []*request
	commands int             // of the requests
	base     eventstore.Head // what it was decided upon
	head     eventstore.Head // what it leaves behind
	records  []eventstore.Record
	keys     []string      // claimed by records
	undo     []undo        // the states that its events changed, as they were before
	due      []dueSnapshot // taken at its end, kept when it is durable
	err      error         // how the commit ended; read after done
	done     chan struct{}
}

// undo is a state as it was before a batch changed it.
type undo struct {
	of           *entry
	state        State // nil when it cannot be copied
	version, seq int64
}

// standing is what the commands being decided stand on, in order. The slices are used again for the next ones.
type standing struct {
	needs   []Need
	entries []*entry // of needs; nil what was not in memory at first
	counts  []int    // of needs, by command
	keys    []string
	taken   map[string]int64 // of keys -> position
	states  []State          // of the command being decided
	events  []Event          // of the command being decided
}

// decide decides all commands of the requests, in order, and adds what they cause to a batch: b, or a new one. When the
// store cannot be read, they are answered with that, and the batch stays as it is.
func (x *Executor) decide(b *batch, requests []*request) (_ *batch, readable bool) {
	if err := x.prepare(requests); err != nil {
		x.opts.Logger.Error("commands refused: the store cannot be read", "partition", x.partition, "error", err)
		for _, r := range requests {
			fill(r.errs, fmt.Errorf("%w: %w", ErrStore, err))
			close(r.done)
		}
		return b, false
	}
	if b == nil {
		x.batches++
		b = &batch{number: x.batches, base: x.head, head: x.head, done: make(chan struct{})}
	}
	now := eventstore.Micros(x.opts.Clock())
	from := len(b.records)
	b.records = slices.Grow(b.records, len(x.standing.counts))
	needs, entries, counts := x.standing.needs, x.standing.entries, x.standing.counts
	for _, r := range requests {
		for i := range r.commands {
			n := counts[0]
			r.results[i], r.errs[i] = x.decideOne(b, &r.commands[i], needs[:n], entries[:n], now)
			needs, entries, counts = needs[n:], entries[n:], counts[1:]
		}
		b.commands += len(r.commands)
	}
	b.requests = append(b.requests, requests...)
	b.head = eventstore.Chain(b.head, b.records[from:])
	x.head = b.head
	return b, true
}

// decideOne decides a command, applies its events to the states in memory and adds them to the batch.
func (x *Executor) decideOne(b *batch, c *Command, needs []Need, entries []*entry, now time.Time) (Result, error) {
	for _, k := range c.Keys {
		seq, is := x.flying[k]
		if !is {
			seq, is = x.standing.taken[k]
		}
		if is {
			return Result{}, &DuplicateError{Key: k, Position: eventstore.Position{Partition: x.partition, Seq: seq}}
		}
	}
	states, err := x.resolve(needs, entries)
	if err != nil {
		return Result{}, err
	}
	events, err := x.ask(c, states)
	if err != nil {
		return Result{}, err
	}
	from, first := len(b.records), b.base.Seq+int64(len(b.records))+1
	if err := b.record(c, events, entries, now); err != nil {
		b.records = b.records[:from]
		return Result{}, err
	}
	for i := range events {
		for _, e := range entries {
			if !e.follows(&events[i]) {
				continue
			}
			x.remember(b, e)
			e.state.Evolve(events[i])
			e.seq = first + int64(i)
			if e.kind == Stream {
				e.version = b.records[from+i].Version
			}
		}
	}
	res := Result{Answer: x.model.Answer(c.Body, states, events)}
	if len(events) == 0 {
		return res, nil
	}
	for _, k := range c.Keys {
		x.flying[k] = first
	}
	b.keys = append(b.keys, c.Keys...)
	res.First = eventstore.Position{Partition: x.partition, Seq: first}
	res.Last = eventstore.Position{Partition: x.partition, Seq: first + int64(len(events)) - 1}
	return res, nil
}

// resolve finds the states of a command, and the entries that prepare did not find: it has loaded them since, a command in
// front of this one made them, or they are new. What is new is held when an event changes it, and not before: a command that
// is refused as a duplicate may name what has a history.
func (x *Executor) resolve(needs []Need, entries []*entry) ([]State, error) {
	if len(needs) > MaxNeeds {
		return nil, fmt.Errorf("the command needs %d states (at most %d)", len(needs), MaxNeeds)
	}
	states := x.standing.states[:0]
	for i, n := range needs {
		e := entries[i]
		if e == nil {
			e = x.states.get(n.key())
		}
		if e == nil {
			if err := x.unread[n.key()]; err != nil {
				return nil, fmt.Errorf("%w: %w", ErrStore, err)
			}
			if !n.Fresh {
				return nil, fmt.Errorf("state %s was not loaded", n.Name)
			}
			var err error
			if e, err = x.newEntry(n); err != nil {
				return nil, err
			}
		}
		entries[i] = e
		states = append(states, e.state)
	}
	x.standing.states = states
	return states, nil
}

func (x *Executor) newEntry(n Need) (*entry, error) {
	s, err := x.model.New(n)
	if err != nil {
		return nil, err
	}
	return &entry{key: n.key(), state: s}, nil
}

// remember keeps a state as it is before the batch changes it.
func (x *Executor) remember(b *batch, e *entry) {
	if e.changed == b.number {
		return
	}
	e.changed = b.number
	was := undo{of: e, version: e.version, seq: e.seq}
	if c, is := e.state.(Copier); is {
		was.state = c.Copy()
	}
	b.undo = append(b.undo, was)
	if !e.held {
		x.states.add(e)
	}
}

// follows reports whether an event changes the state.
func (e *entry) follows(ev *Event) bool {
	return e.kind == Stream && e.name == ev.Stream || e.kind == Subject && e.name == ev.Subject
}

// ask calls Decide. A panic in it is a fault of one command, not of the process: Decide changes nothing.
func (x *Executor) ask(c *Command, states []State) (events []Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.opts.Logger.Error("deciding a command panicked", "command", c.ID, "panic", p, "stack", string(debug.Stack()))
			events, err = nil, fmt.Errorf("deciding command %s panicked: %v", c.ID, p)
		}
	}()
	clear(x.standing.events)
	if events, err = x.model.Decide(c.Body, states, x.standing.events[:0]); err == nil {
		x.standing.events = events
	}
	return events, err
}

// record adds the records of a command's events, and checks them: what the store would refuse must not fail the batch.
func (b *batch) record(c *Command, events []Event, entries []*entry, now time.Time) error {
	from := len(b.records)
	for i := range events {
		ev := &events[i]
		ev.ID = EventID(c.ID, i)
		version := int64(0) // refused below, unless the event's stream is among what the command needs
		for _, e := range entries {
			if e.kind == Stream && e.name == ev.Stream {
				version = e.version + 1
			}
		}
		for k := from; k < len(b.records); k++ {
			if b.records[k].Stream == ev.Stream {
				version++
			}
		}
		b.records = append(b.records, eventstore.Record{
			Stream: ev.Stream, Version: version, Subject: ev.Subject, Type: ev.Type, Schema: ev.Schema, EventID: ev.ID,
			EffectiveAt: eventstore.Micros(ev.EffectiveAt), RecordedAt: now, Data: ev.Data, Meta: c.Meta,
		})
		r := &b.records[from+i]
		if i == 0 {
			r.Keys, r.Evidence = c.Keys, c.Evidence
		}
		if err := r.Check(); err != nil {
			return fmt.Errorf("event %s of command %s: %w", ev.Type, c.ID, err)
		}
	}
	return nil
}
