package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/khata-ledger/khata/eventstore"
)

// maxSeq stands for the end of the log, wherever it is.
const maxSeq = math.MaxInt64

// partition is the index of one partition. Runs and tables cover the log from its first record without a gap, up to where the
// last table ends.
type partition struct {
	index *Index
	n     int

	// Each of these is held while one goroutine does what its name says, and taken in this order, before mu.
	merging, writing, loading sync.Mutex

	mu       sync.RWMutex // guards what follows
	runs     []*run       // ascending; replaced, never changed
	tables   []*table     // ascending; all but the last are frozen; empty while nothing was read
	appended bool         // by this process: then Close leaves no long tail
	mended   error        // why this process has made damaged runs anew

	filterBytes atomic.Int64 // of the runs' filters
}

// last is the table that grows, nil while nothing was read. The caller holds mu.
func (p *partition) last() *table {
	if len(p.tables) == 0 {
		return nil
	}
	return p.tables[len(p.tables)-1]
}

func (p *partition) tip() Tip {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if t := p.last(); t != nil {
		return Tip{t.to, t.hash}
	}
	return Tip{}
}

// drop forgets what memory holds: the next question reads it again.
func (p *partition) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.runs, p.tables = nil, nil
	p.filterBytes.Store(0)
}

// add takes up records behind the last table; the caller holds mu.
func (p *partition) add(records []eventstore.Record) {
	t := p.last()
	for i := range records {
		t.add(&records[i])
		if t.records() >= p.index.opts.Records {
			t = t.behind()
			p.tables = append(p.tables, t)
			p.index.wake()
		}
	}
}

// freeze ends the last table when it covers so many records, so that it is written.
func (p *partition) freeze(records int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.last(); t != nil && t.records() >= records {
		p.tables = append(p.tables, newTable(t.to, t.hash))
	}
}

// room writes tables until no more than maxFrozen wait.
func (p *partition) room(ctx context.Context) error {
	for {
		p.mu.RLock()
		full := len(p.tables) > maxFrozen
		p.mu.RUnlock()
		if !full {
			return nil
		}
		if _, err := p.writeOne(ctx); err != nil {
			return fmt.Errorf("write the index of partition %d, which is far behind: %w", p.n, err)
		}
	}
}

// reach brings memory forward to upTo, or to the end of the log when upTo is maxSeq, and returns up to where memory must reach for
// an answer to be whole. ErrConflict when the log ends before upTo: it is not the log that upTo was read from.
func (p *partition) reach(ctx context.Context, upTo int64) (int64, error) {
	for more := true; more; {
		if t := p.tip(); t.Seq >= upTo && t.Seq > 0 {
			return upTo, nil
		}
		if err := p.room(ctx); err != nil {
			return 0, err
		}
		p.loading.Lock()
		var err error
		if t := p.tip(); t.Seq < upTo || t.Seq == 0 { // else another goroutine has done it
			more, err = p.extend(ctx)
		}
		p.loading.Unlock()
		if err != nil {
			return 0, fmt.Errorf("read the index of partition %d: %w", p.n, err)
		}
	}
	end := p.tip().Seq
	if upTo != maxSeq && end < upTo {
		return 0, fmt.Errorf("the log ends at %d:%d, and was seen to reach %d: %w", p.n, end, upTo, eventstore.ErrConflict)
	}
	return min(end, upTo), nil
}

// covers tells whether memory reaches a position, and so every answer is whole. The caller holds mu.
func (p *partition) covers(upTo int64) bool {
	t := p.last()
	return t != nil && t.to >= upTo
}

// extend reads what is next: the runs, then the tail of the log. more is false at its end. The caller holds loading.
func (p *partition) extend(ctx context.Context) (more bool, err error) {
	p.mu.RLock()
	t := p.last()
	p.mu.RUnlock()
	if t == nil {
		return true, p.load(ctx)
	}
	at := p.tip()
	records, err := p.index.db.readTail(ctx, p.n, max(at.Seq, 1), tailPage)
	if err != nil {
		return false, err
	}
	if at.Seq > 0 {
		if len(records) == 0 || records[0].Seq != at.Seq || records[0].Hash != at.Hash {
			p.drop() // it is of another history
			return true, nil
		}
		records = records[1:]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t = p.last()
	if t == nil || t.to != at.Seq || t.hash != at.Hash { // dropped or appended meanwhile: what was read may be of another history
		return true, nil
	}
	for i := range records {
		if records[i].Seq != t.to+1+int64(i) {
			return false, fmt.Errorf("%w: record %d:%d is missing", eventstore.ErrBroken, p.n, t.to+1+int64(i))
		}
	}
	p.add(records)
	return len(records) > 0, nil
}

// load reads the runs, if they are of the log's own history; else they are made again. The caller holds loading.
func (p *partition) load(ctx context.Context) error {
	for n := range attempts {
		at, runs, err := p.readRuns(ctx, nil)
		if err == nil {
			err = p.confirm(ctx, at)
		}
		switch {
		case errors.Is(err, errMoved) && n < attempts/2:
			continue
		case errors.Is(err, errMoved), errors.Is(err, errPage): // pages are missing that no process has swapped
			if err := p.renew(ctx, err); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.runs, p.tables = runs, []*table{newTable(at.seq, at.hash)}
		return nil
	}
	return errMoved
}

// confirm drops runs that do not stand on the log, with errMoved.
func (p *partition) confirm(ctx context.Context, at checkpoint) error {
	if at.seq == 0 {
		return nil
	}
	stands, err := p.stands(ctx, Tip{at.seq, at.hash})
	if err != nil || stands {
		return err
	}
	if err := p.index.db.forget(ctx, p.n, at); err != nil {
		return err
	}
	return errMoved
}

// renew drops the runs, because of what is wrong with them. They are made again from the log by who needs them next.
func (p *partition) renew(ctx context.Context, because error) error {
	slog.Warn("the index of the log is made anew", "partition", p.n, "because", because)
	p.mu.Lock()
	if p.mended = nil; errors.Is(because, errMoved) || errors.Is(because, errPage) {
		p.mended = because
	}
	p.mu.Unlock()
	at, err := p.index.db.readCheckpoint(ctx, p.n)
	if err == nil {
		err = p.index.db.forget(ctx, p.n, at)
	}
	if err != nil && !errors.Is(err, errMoved) {
		return err
	}
	p.drop()
	return nil
}

// stands tells whether the log holds the record that is meant.
func (p *partition) stands(ctx context.Context, at Tip) (bool, error) {
	records, err := p.index.db.readTail(ctx, p.n, at.Seq, 1)
	return len(records) > 0 && records[0].Seq == at.Seq && records[0].Hash == at.Hash, err
}

// readRuns reads checkpoint and runs; of those that are known already, nothing more.
func (p *partition) readRuns(ctx context.Context, known []*run) (checkpoint, []*run, error) {
	db := &p.index.db
	at, runs, err := db.readRuns(ctx, p.n)
	if err != nil {
		return at, nil, err
	}
	end := int64(0)
	var unknown []*run
	for i, r := range runs {
		if r.from != end {
			return at, nil, fmt.Errorf("%w: its runs have a gap behind %d", errPage, end)
		}
		end = r.to
		if k := slices.IndexFunc(known, func(k *run) bool { return k.id == r.id }); k >= 0 {
			runs[i] = known[k]
		} else {
			unknown = append(unknown, r)
		}
	}
	if end != at.seq {
		return at, nil, fmt.Errorf("%w: its runs end at %d, and the checkpoint is at %d", errPage, end, at.seq)
	}
	if err := db.loadExtra(ctx, p.n, unknown); err != nil {
		return at, nil, err
	}
	return at, p.affordable(runs), nil
}

// affordable leaves the filters out for which there is no room: those of the largest runs first. Wallets are not equally hot, so a
// partition takes what the others leave, and at least its equal share. One that then has more than is left for it gives it back
// with its next run, so all of them together are within twice the bound at any time.
func (p *partition) affordable(runs []*run) []*run {
	left := p.index.filterRoom(p)
	used := int64(0)
	bySize := slices.Clone(runs)
	slices.SortFunc(bySize, func(a, b *run) int { return len(a.filter) - len(b.filter) })
	for _, r := range bySize {
		bytes := int64(len(r.filter)) * blockBytes
		if used+bytes <= left || bytes == 0 {
			used += bytes
			continue
		}
		without := *r
		without.filter = nil
		i := slices.Index(runs, r)
		runs = slices.Clone(runs)
		runs[i] = &without
	}
	p.filterBytes.Store(used)
	return runs
}

// filterRoom is how much memory a partition's filters may take.
func (x *Index) filterRoom(p *partition) int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	left := x.opts.FilterBytes
	for _, other := range x.partitions {
		if other != p {
			left -= other.filterBytes.Load()
		}
	}
	return max(left, x.opts.FilterBytes/int64(max(len(x.partitions), 1)))
}

// refresh reads the runs again, because another process has changed them.
func (p *partition) refresh(ctx context.Context) error {
	p.loading.Lock()
	defer p.loading.Unlock()
	p.mu.RLock()
	known := p.runs
	p.mu.RUnlock()
	at, runs, err := p.readRuns(ctx, known)
	for n := 0; errors.Is(err, errMoved) && n < attempts; n++ {
		at, runs, err = p.readRuns(ctx, known)
	}
	switch {
	case errors.Is(err, errMoved), errors.Is(err, errPage):
		return p.renew(ctx, err)
	case err != nil:
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.last()
	if t == nil {
		return nil
	}
	switch {
	case t.to < at.seq: // another process is ahead of what this one has read
		p.runs, p.tables = runs, []*table{newTable(at.seq, at.hash)}
		return nil
	case at.seq < p.tables[0].from: // another process makes the index anew
		p.runs, p.tables = nil, nil
		return nil
	}
	p.runs = runs
	for len(p.tables) > 1 && p.tables[0].to <= at.seq {
		p.tables = p.tables[1:]
	}
	return nil
}
