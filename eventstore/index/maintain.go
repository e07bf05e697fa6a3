package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// writeAll writes every frozen table as a run.
func (p *partition) writeAll(ctx context.Context) error {
	for n := 0; ; n++ {
		more, err := p.writeOne(ctx)
		if err != nil || !more {
			return err
		}
		if n > maxFrozen+attempts { // what is full meanwhile wakes the writer again
			signal(p.index.write)
			return nil
		}
	}
}

// writeOne writes the oldest frozen table as a run; false when there is none.
func (p *partition) writeOne(ctx context.Context) (bool, error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.RLock()
	var t *table
	if len(p.tables) > 1 {
		t = p.tables[0]
	}
	from := int64(0)
	if len(p.runs) > 0 {
		from = p.runs[len(p.runs)-1].to
	}
	p.mu.RUnlock()
	if t == nil {
		return false, nil
	}
	if t.to <= from { // another process has written it
		return true, p.refresh(ctx)
	}
	r, pages, err := makeRun(t, from)
	if err != nil {
		return false, err
	}
	err = p.index.db.addRun(ctx, p.n, r, checkpoint{t.to, t.hash}, pages)
	if errors.Is(err, errMoved) {
		return true, p.overtaken(ctx, t)
	}
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.tables) > 1 && p.tables[0] == t { // not dropped meanwhile
		p.runs = p.affordable(append(slices.Clone(p.runs), r))
		p.tables = p.tables[1:]
	}
	signal(p.index.merge)
	return true, nil
}

// overtaken is called when a table could not be written: another process has written the same records, or the log does not
// hold them any more.
func (p *partition) overtaken(ctx context.Context, t *table) error {
	stands, err := p.stands(ctx, Tip{t.to, t.hash})
	if err != nil {
		return err
	}
	if !stands {
		p.drop()
		return nil
	}
	return p.refresh(ctx)
}

// makeRun sorts the entries of a table behind a position.
func makeRun(t *table, from int64) (*run, [][]byte, error) {
	entries := t.sorted(from)
	names := int64(0)
	for i := range entries {
		if i == 0 || entries[i].hash != entries[i-1].hash {
			names++
		}
	}
	var pages [][]byte
	w := newWriter(from, t.to, 0, names, func(page []byte) error {
		pages = append(pages, page)
		return nil
	})
	for _, e := range entries {
		if err := w.add(e); err != nil {
			return nil, nil, err
		}
	}
	r, err := w.end()
	return r, pages, err
}

// mergeAll merges until no level has too many runs, and deletes what is left over.
func (p *partition) mergeAll(ctx context.Context) error {
	p.merging.Lock()
	defer p.merging.Unlock()
	for moved := 0; ; {
		p.mu.RLock()
		sources := due(p.runs)
		p.mu.RUnlock()
		if sources == nil {
			return p.sweep(ctx)
		}
		err := p.mergeRuns(ctx, sources)
		switch {
		case errors.Is(err, errMoved) && moved < attempts:
			moved++
			err = p.refresh(ctx)
		case errors.Is(err, errMoved), errors.Is(err, errPage): // no process has swapped them: pages are lost or damaged
			err = p.renew(ctx, err)
		}
		if err != nil {
			return fmt.Errorf("merge %d runs: %w", len(sources), err)
		}
	}
}

// due returns neighbours of the same level that are to be merged, nil for none. Those that would give too large a run stay as they are.
func due(runs []*run) []*run {
	for i := 0; i+fanout <= len(runs); i++ {
		pages, j := runs[i].pages, i+1
		for j < i+fanout && runs[j].level == runs[i].level {
			pages += runs[j].pages
			j++
		}
		if j == i+fanout && pages < maxPages {
			return runs[i:j]
		}
	}
	return nil
}

// sweep deletes what merged runs, and processes that died while merging, have left.
func (p *partition) sweep(ctx context.Context) error {
	ids, err := p.index.db.leftover(ctx, p.n, time.Now().Add(-lostAfter))
	for i := 0; i < len(ids) && err == nil; i++ {
		err = p.index.db.remove(ctx, p.n, ids[i])
	}
	return err
}

// stagedPages is how many pages of a run that is being made are written in one transaction.
const stagedPages = 64

// mergeRuns makes one run of neighbours and swaps it for them. It needs memory for a few pages of each, and for the new run's filter
// and fences.
func (p *partition) mergeRuns(ctx context.Context, sources []*run) error {
	db := &p.index.db
	names := int64(0)
	for _, r := range sources {
		names += r.names
	}
	var staged [][]byte
	next := int64(0)
	var w *writer
	stage := func() error {
		err := db.Write(ctx, func(ctx context.Context, tx Tx) error { return insertPages(ctx, tx, p.n, w.run.page(next), staged) })
		next += int64(len(staged))
		staged = staged[:0]
		return err
	}
	w = newWriter(sources[0].from, sources[len(sources)-1].to, sources[0].level+1, names, func(page []byte) error {
		if staged = append(staged, page); len(staged) == stagedPages {
			return stage()
		}
		return nil
	})
	err := db.Write(ctx, func(ctx context.Context, tx Tx) error { return insertRun(ctx, tx, p.n, w.run, building) })
	if err != nil {
		return err
	}
	made, err := p.weave(ctx, sources, w)
	if err == nil && len(staged) > 0 {
		err = stage()
	}
	if err == nil {
		err = db.swap(ctx, p.n, made, sources)
	}
	if err != nil {
		// What is left is swept when it is old, unless the swap has taken effect after all: nobody knows that here.
		return err
	}
	p.mu.Lock()
	if i := slices.Index(p.runs, sources[0]); i >= 0 && i+len(sources) <= len(p.runs) {
		p.runs = p.affordable(slices.Replace(slices.Clone(p.runs), i, i+len(sources), made))
	}
	p.mu.Unlock()
	return p.sweep(ctx)
}

// weave writes the entries of all sources in order.
func (p *partition) weave(ctx context.Context, sources []*run, w *writer) (*run, error) {
	if err := eachEntry(ctx, &p.index.db, p.n, sources, w.add); err != nil {
		return nil, err
	}
	return w.end()
}

// eachEntry calls f with the entries of runs, all in one order.
func eachEntry(ctx context.Context, db *DB, partition int, runs []*run, f func(entry) error) error {
	cursors := make([]*cursor, len(runs))
	for i, r := range runs {
		cursors[i] = &cursor{db: db, partition: partition, run: r}
		if err := cursors[i].fill(ctx); err != nil {
			return err
		}
	}
	for {
		var first *cursor
		for _, c := range cursors {
			if len(c.entries) > 0 && (first == nil || c.entries[0].compare(first.entries[0]) < 0) {
				first = c
			}
		}
		if first == nil {
			return nil
		}
		if err := f(first.entries[0]); err != nil {
			return err
		}
		if first.entries = first.entries[1:]; len(first.entries) == 0 {
			if err := first.fill(ctx); err != nil {
				return err
			}
		}
	}
}

// cursor reads a run from its beginning to its end.
type cursor struct {
	db        *DB
	partition int
	run       *run
	next      int64   // page
	entries   []entry // not taken yet; empty at the end
	buffer    []entry
}

// cursorPages is how many pages a cursor reads at once.
const cursorPages = 32

func (c *cursor) fill(ctx context.Context) error {
	var pages []int64
	for ; c.next < c.run.pages && len(pages) < cursorPages; c.next++ {
		pages = append(pages, c.run.page(c.next))
	}
	if len(pages) == 0 {
		return nil
	}
	bodies, err := c.db.readPages(ctx, c.partition, pages)
	if err != nil {
		return err
	}
	c.buffer = c.buffer[:0]
	for _, n := range pages {
		body, there := bodies[n]
		if !there {
			return errMoved
		}
		if c.buffer, err = c.run.parse(c.buffer, n, body); err != nil {
			return err
		}
	}
	c.entries = c.buffer
	return nil
}
