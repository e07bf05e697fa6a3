package executor

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// batch is what one append carries, and whom it answers.
type batch struct {
	requests []*request
	base     eventstore.Head // what it was decided upon
	head     eventstore.Head // what it leaves behind
	records  []eventstore.Record
	keys     []string          // claimed by records
	touched  []Need            // states that its events changed
	before   map[string]*entry // what those of them that can be copied were, by cacheKey
	err      error             // how the commit ended; read after done
	took     time.Duration     // by the commit; read after done
	done     chan struct{}
}

// staleReach is how far behind the head states are still patched by reading what happened; beyond it all are dropped.
const staleReach = 10_000

// decide decides all commands of the requests, in order. When the store cannot be read, they are answered with that, and
// the batch is empty.
func (x *Executor) decide(requests []*request) *batch {
	b := &batch{requests: requests, before: map[string]*entry{}, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), x.opts.Timeout)
	defer cancel()
	taken, err := x.prepare(ctx, requests)
	b.base = x.head
	if err != nil {
		x.opts.Logger.Error("commands refused: the store cannot be read", "partition", x.partition, "error", err)
		for _, r := range requests {
			fill(r.errs, fmt.Errorf("%w: %w", ErrStore, err))
			close(r.done)
		}
		b.requests = nil
		return b
	}
	var needs []Need
	for _, r := range requests {
		for i := range r.commands {
			needs = x.model.Needs(r.commands[i].Body, needs[:0])
			r.results[i], r.errs[i] = x.decideOne(b, &r.commands[i], needs, taken)
		}
	}
	b.head = eventstore.Chain(b.base, b.records)
	x.head = b.head
	return b
}

// decideOne decides a command, applies its events to the states in memory and adds them to the batch.
func (x *Executor) decideOne(b *batch, c *Command, needs []Need, taken map[string]int64) (Result, error) {
	for _, k := range c.Keys {
		seq, is := x.flying[k]
		if !is {
			seq, is = taken[k]
		}
		if is {
			return Result{}, &DuplicateError{Key: k, Position: eventstore.Position{Partition: x.partition, Seq: seq}}
		}
	}
	entries := make([]*entry, len(needs))
	states := make([]State, len(needs))
	for i, n := range needs {
		e, ok := x.states.get(n)
		if err := x.unread[cacheKey(n)]; err != nil {
			return Result{}, fmt.Errorf("%w: %w", ErrStore, err)
		}
		if !ok {
			return Result{}, fmt.Errorf("state %s was not loaded", n.Name)
		}
		entries[i], states[i] = e, e.state
	}
	events, err := x.ask(c, states)
	if err != nil {
		return Result{}, err
	}
	records, err := x.records(c, events, needs, entries)
	if err != nil {
		return Result{}, err
	}
	first := x.head.Seq + int64(len(b.records)) + 1
	for i := range events {
		for j, n := range needs {
			if about(n, &events[i]) {
				b.remember(n, entries[j])
				entries[j].state.Evolve(events[i])
				b.touched = append(b.touched, n)
			}
			if n.Kind == Stream && n.Name == events[i].Stream {
				entries[j].version = records[i].Version
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
	b.records = append(b.records, records...)
	res.First = eventstore.Position{Partition: x.partition, Seq: first}
	res.Last = eventstore.Position{Partition: x.partition, Seq: first + int64(len(events)) - 1}
	return res, nil
}

// remember keeps a state as it is before the batch changes it.
func (b *batch) remember(n Need, e *entry) {
	k := cacheKey(n)
	if b.before[k] != nil {
		return
	}
	if c, is := e.state.(Copier); is {
		b.before[k] = &entry{state: c.Copy(), version: e.version}
	}
}

// about reports whether an event changes a state.
func about(n Need, ev *Event) bool {
	return n.Kind == Stream && n.Name == ev.Stream || n.Kind == Subject && n.Name == ev.Subject
}

// ask calls Decide. A panic in it is a fault of one command, not of the process: Decide changes nothing.
func (x *Executor) ask(c *Command, states []State) (events []Event, err error) {
	defer func() {
		if p := recover(); p != nil {
			x.opts.Logger.Error("deciding a command panicked", "command", c.ID, "panic", p, "stack", string(debug.Stack()))
			events, err = nil, fmt.Errorf("deciding command %s panicked: %v", c.ID, p)
		}
	}()
	return x.model.Decide(c.Body, states)
}

// records makes the records of a command's events, and checks them: what the store would refuse must not fail the batch.
func (x *Executor) records(c *Command, events []Event, needs []Need, entries []*entry) ([]eventstore.Record, error) {
	records := make([]eventstore.Record, len(events))
	now := eventstore.Micros(x.opts.Clock())
	for i := range events {
		ev := &events[i]
		ev.ID = EventID(c.ID, i)
		version := int64(0)
		for j, n := range needs {
			if n.Kind == Stream && n.Name == ev.Stream {
				version = entries[j].version + 1
			}
		}
		for k := range i {
			if records[k].Stream == ev.Stream {
				version++
			}
		}
		records[i] = eventstore.Record{
			Stream: ev.Stream, Version: version, Subject: ev.Subject, Type: ev.Type, Schema: ev.Schema, EventID: ev.ID,
			EffectiveAt: eventstore.Micros(ev.EffectiveAt), RecordedAt: now, Data: ev.Data, Meta: c.Meta,
		}
		if i == 0 {
			records[i].Keys, records[i].Evidence = c.Keys, c.Evidence
		}
		if err := records[i].Check(); err != nil {
			return nil, fmt.Errorf("event %s of command %s: %w", ev.Type, c.ID, err)
		}
	}
	return records, nil
}

// prepare reads what the requests stand on and memory lacks: the head, states, and which of the keys are taken.
func (x *Executor) prepare(ctx context.Context, requests []*request) (taken map[string]int64, err error) {
	if !x.known {
		if err := x.catchUp(ctx); err != nil {
			return nil, err
		}
	}
	clear(x.unread)
	var keys, subjects []string
	var needs []Need
	asked := map[Need]bool{}
	for _, r := range requests {
		for i := range r.commands {
			for _, k := range r.commands[i].Keys {
				if _, flies := x.flying[k]; !flies {
					keys = append(keys, k)
				}
			}
			needs = x.model.Needs(r.commands[i].Body, needs[:0])
			for _, n := range needs {
				if _, have := x.states.get(n); have || asked[n] {
					continue
				}
				fresh := n.Fresh
				if n.Fresh, asked[n] = false, true; fresh {
					if err := x.addNew(n); err != nil {
						return nil, err
					}
				} else if n.Kind == Subject {
					subjects = append(subjects, n.Name)
				} else if err := x.loadStream(ctx, n); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := x.loadSubjects(ctx, subjects); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if taken, err = x.log.Lookup(ctx, x.partition, keys); err != nil {
		return nil, fmt.Errorf("looking up dedupe keys: %w", err)
	}
	return taken, nil
}

func (x *Executor) addNew(n Need) error {
	s, err := x.model.New(n)
	if err != nil {
		return err
	}
	x.states.add(n, &entry{state: s})
	return nil
}

// catchUp reads the head, and what others have appended in front of it: streams in memory follow, subjects are dropped. When
// too much has been appended, or the log is not the one that memory stands on, all of memory is dropped.
func (x *Executor) catchUp(ctx context.Context) error {
	head, err := x.log.Head(ctx, x.partition)
	if err != nil {
		return fmt.Errorf("reading the head of partition %d: %w", x.partition, err)
	}
	begun := x.head.Hash != (eventstore.Hash{}) // else nothing is in memory yet
	follows := begun && (head.Seq > x.head.Seq && head.Seq-x.head.Seq <= staleReach || head.Seq == x.head.Seq && head.Hash == x.head.Hash)
	for after := x.head.Seq; follows && after < head.Seq; {
		records, err := x.log.Read(ctx, x.partition, after, 1000)
		if err != nil {
			return fmt.Errorf("reading what others appended: %w", err)
		}
		if len(records) == 0 {
			return fmt.Errorf("%w: no record behind %d:%d, and the head is at %d", eventstore.ErrBroken, x.partition, after, head.Seq)
		}
		if after == x.head.Seq && !stands(&records[0], x.head.Hash) {
			// A standby that lacked the newest records has taken over, or an older copy was restored, and others have
			// appended to it since.
			follows = false
			break
		}
		for i := range records {
			x.follow(&records[i])
			x.states.drop(Need{Kind: Subject, Name: records[i].Subject})
			after = records[i].Seq
		}
	}
	if !follows {
		x.states.clear()
	}
	x.head, x.known = head, true
	return nil
}

// stands tells whether a record was chained to the one with this hash.
func stands(r *eventstore.Record, prev eventstore.Hash) bool {
	hash, _ := r.Next(prev, nil)
	return hash == r.Hash
}

// follow brings the state of a stream, if it is in memory, behind a record of another process. A state that was read behind
// the head has the record already.
func (x *Executor) follow(r *eventstore.Record) {
	n := Need{Kind: Stream, Name: r.Stream}
	e, have := x.states.get(n)
	if !have || r.Version <= e.version {
		return
	}
	ev, err := x.decode(r)
	if err != nil || r.Version != e.version+1 {
		x.states.drop(n) // who needs it reads it again, and reports what is wrong
		return
	}
	e.state.Evolve(ev)
	e.version = r.Version
}

// loadStream folds a stream's whole history. One that cannot be read fails the commands that need it, and no others.
func (x *Executor) loadStream(ctx context.Context, n Need) error {
	s, err := x.model.New(n)
	if err != nil {
		return err
	}
	e := &entry{state: s}
	const page = 5000
	for {
		records, err := x.log.ReadStream(ctx, x.partition, n.Name, e.version, page)
		if err != nil {
			return fmt.Errorf("reading stream %s: %w", n.Name, err)
		}
		for i := range records {
			ev, err := x.decode(&records[i])
			if err != nil {
				x.unreadable(n, err)
				return nil
			}
			s.Evolve(ev)
			e.version = records[i].Version
		}
		if len(records) < page {
			x.states.add(n, e)
			return nil
		}
	}
}

// loadSubjects folds the history of many subjects, read at once. As for loadStream, one that cannot be read stands alone.
func (x *Executor) loadSubjects(ctx context.Context, subjects []string) error {
	if len(subjects) == 0 {
		return nil
	}
	records, err := x.log.ReadSubjects(ctx, x.partition, subjects)
	if err != nil {
		return fmt.Errorf("reading %d subjects: %w", len(subjects), err)
	}
	for _, name := range subjects {
		if err := x.addNew(Need{Kind: Subject, Name: name}); err != nil {
			return err
		}
	}
	for i := range records {
		n := Need{Kind: Subject, Name: records[i].Subject}
		if x.unread[cacheKey(n)] != nil {
			continue
		}
		ev, err := x.decode(&records[i])
		if err != nil {
			x.unreadable(n, err)
			continue
		}
		e, ok := x.states.get(n)
		if !ok {
			return fmt.Errorf("subject %s was read, and not asked for", records[i].Subject)
		}
		e.state.Evolve(ev)
	}
	return nil
}

// unreadable takes a state out of the batch.
func (x *Executor) unreadable(n Need, err error) {
	x.opts.Logger.Error("a history cannot be read: what needs it is refused", "partition", x.partition, "name", n.Name, "error", err)
	x.unread[cacheKey(n)] = err
	x.states.drop(n)
}

func (x *Executor) decode(r *eventstore.Record) (Event, error) {
	ev, err := x.model.Decode(r)
	if err != nil {
		return Event{}, fmt.Errorf("decoding record %s: %w", r.Position(), err)
	}
	ev.ID = r.EventID
	return ev, nil
}
