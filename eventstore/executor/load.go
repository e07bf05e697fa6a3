package executor

import (
	"context"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// staleReach is how far behind the head states are still patched by reading what happened; beyond it all are dropped.
const staleReach = 10_000

// Pages of reading.
const (
	headPage   = 1000 // of what others appended
	streamPage = 5000 // of a stream's history
)

// within bounds one call of the store.
func (x *Executor) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), x.opts.Timeout)
}

// prepare finds what the requests stand on, and reads what memory lacks of it: the head, states, which keys are taken.
func (x *Executor) prepare(requests []*request) error {
	if !x.known {
		if err := x.catchUp(); err != nil {
			return err
		}
	}
	clear(x.unread)
	s := &x.standing
	clear(s.entries)
	s.needs, s.entries, s.counts, s.keys, s.taken = s.needs[:0], s.entries[:0], s.counts[:0], s.keys[:0], nil
	var subjects []string
	for _, r := range requests {
		for i := range r.commands {
			c := &r.commands[i]
			s.keys = append(s.keys, c.Keys...)
			from := len(s.needs)
			s.needs = x.model.Needs(c.Body, s.needs)
			s.counts = append(s.counts, len(s.needs)-from)
			for _, n := range s.needs[from:] {
				var e *entry
				if !n.Fresh { // what is new is looked for once, when its turn comes
					e = x.states.get(n.key())
				}
				switch {
				case e != nil || n.Fresh || x.unread[n.key()] != nil:
				case n.Kind == Subject:
					subjects = append(subjects, n.Name)
				default:
					if err := x.loadStream(n); err != nil {
						return err
					}
				}
				s.entries = append(s.entries, e)
			}
		}
	}
	if err := x.loadSubjects(subjects); err != nil {
		return err
	}
	return x.lookUp()
}

// lookUp finds which of the keys are taken.
func (x *Executor) lookUp() error {
	s := &x.standing
	if len(s.keys) == 0 {
		return nil
	}
	ctx, cancel := x.within()
	defer cancel()
	var err error
	if s.taken, err = x.log.Lookup(ctx, x.partition, x.landed, s.keys); err != nil {
		return fmt.Errorf("looking up dedupe keys: %w", err)
	}
	return nil
}

// catchUp reads the head, and what others have appended in front of it: streams in memory follow, subjects are dropped. When
// too much has been appended, or the log is not the one that memory stands on, all of memory is dropped.
func (x *Executor) catchUp() error {
	ctx, cancel := x.within()
	defer cancel()
	head, err := x.readHead(ctx)
	if err != nil {
		return fmt.Errorf("reading the head of partition %d: %w", x.partition, err)
	}
	begun := x.head.Hash != (eventstore.Hash{}) // else nothing is in memory yet
	follows := begun && (head.Seq > x.head.Seq && head.Seq-x.head.Seq <= staleReach || head.Seq == x.head.Seq && head.Hash == x.head.Hash)
	for after := x.head.Seq; follows && after < head.Seq; {
		records, err := x.log.Read(ctx, x.partition, after, headPage)
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
			x.states.drop(key{Subject, records[i].Subject})
			after = records[i].Seq
		}
	}
	if !follows {
		x.states.clear()
	}
	x.head, x.known, x.landed = head, true, head.Seq
	return nil
}

// readHead reads the head. Who always comes second claims the partition instead: the append that the other process has under way
// then fails, and it learns that it is not alone.
func (x *Executor) readHead(ctx context.Context) (eventstore.Head, error) {
	if !x.starved {
		return x.log.Head(ctx, x.partition)
	}
	x.starved = false
	return x.log.Claim(ctx, x.partition)
}

// stands tells whether a record was chained to the one with this hash.
func stands(r *eventstore.Record, prev eventstore.Hash) bool {
	hash, _ := r.Next(prev, nil)
	return hash == r.Hash
}

// follow brings the state of a stream, if it is in memory, behind a record of another process. A state that was read behind
// the head has the record already.
func (x *Executor) follow(r *eventstore.Record) {
	e := x.states.get(key{Stream, r.Stream})
	if e == nil || r.Seq <= e.seq {
		return
	}
	if err := x.fold(e, r); err != nil {
		x.states.drop(e.key) // who needs it reads it again, and reports what is wrong
	}
}

// loadStream folds a stream: from its snapshot on, or its whole history. One that cannot be read fails the commands that need
// it, and no others.
func (x *Executor) loadStream(n Need) error {
	e, broken := x.restored(n)
	restored := e != nil
	if restored {
		var err error
		if broken, err = x.foldRest(e); err != nil {
			return err
		}
	}
	if broken != nil {
		x.opts.Logger.Warn("a snapshot is not believed: its stream is folded from the first record",
			"partition", x.partition, "stream", n.Name, "error", broken)
	}
	if !restored || broken != nil {
		var err error
		if e, broken = x.newEntry(n); broken == nil {
			if broken, err = x.foldRest(e); err != nil {
				return err
			}
		}
	}
	if broken != nil {
		x.unreadable(n.key(), broken)
		return nil
	}
	x.states.add(e)
	return nil
}

// foldRest brings a stream behind its records that are not in it yet. Broken is what cannot be read of them, err that the
// store cannot be.
func (x *Executor) foldRest(e *entry) (broken, err error) {
	for limit := eventstore.NextPage(nil, 0, streamPage); ; {
		ctx, cancel := x.within() // for a page each: a long history may take longer than one call should
		records, err := x.log.ReadStream(ctx, x.partition, e.name, e.seq, limit)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("reading stream %s: %w", e.name, err)
		}
		for i := range records {
			if err := x.fold(e, &records[i]); err != nil {
				return err, nil
			}
		}
		if len(records) < limit {
			return nil, nil
		}
		limit = eventstore.NextPage(records, limit, streamPage)
	}
}

// fold brings a state behind its next record, or says why it cannot. A stream whose versions have a gap is a broken log.
func (x *Executor) fold(e *entry, r *eventstore.Record) error {
	ev, err := x.model.Decode(r)
	if err != nil {
		return fmt.Errorf("decoding record %s: %w", r.Position(), err)
	}
	if e.kind == Stream {
		if r.Version != e.version+1 {
			return fmt.Errorf("%w: record %s has version %d of its stream, where %d is due", eventstore.ErrBroken, r.Position(), r.Version, e.version+1)
		}
		e.version = r.Version
	}
	ev.ID = r.EventID
	e.state.Evolve(ev)
	e.seq = r.Seq
	return nil
}

// loadSubjects folds the history of many subjects, read at once. As for loadStream, one that cannot be read stands alone.
func (x *Executor) loadSubjects(subjects []string) error {
	if len(subjects) == 0 {
		return nil
	}
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	ctx, cancel := x.within()
	defer cancel()
	records, err := x.log.ReadSubjects(ctx, x.partition, subjects)
	if err != nil {
		return fmt.Errorf("reading %d subjects: %w", len(subjects), err)
	}
	for _, name := range subjects {
		e, err := x.newEntry(Need{Kind: Subject, Name: name})
		if err != nil {
			x.unreadable(key{Subject, name}, err)
			continue
		}
		x.states.add(e)
	}
	for i := range records {
		k := key{Subject, records[i].Subject}
		if x.unread[k] != nil {
			continue
		}
		e := x.states.get(k)
		if e == nil {
			return fmt.Errorf("subject %s was read, and not asked for", k.name)
		}
		if err := x.fold(e, &records[i]); err != nil {
			x.unreadable(k, err)
		}
	}
	return nil
}

// unreadable takes a state out of the batch.
func (x *Executor) unreadable(k key, err error) {
	x.opts.Logger.Error("a history cannot be read: what needs it is refused", "partition", x.partition, "name", k.name, "error", err)
	x.unread[k] = err
	x.states.drop(k)
}
