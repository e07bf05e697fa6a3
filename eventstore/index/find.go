package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// pagesAtOnce bounds the pages that one query reads.
const pagesAtOnce = 256

// find returns the positions of all records up to upTo, and perhaps of newer ones, that carry one of the hashes; ascending.
func (p *partition) find(ctx context.Context, upTo int64, hashes []uint64) ([]int64, error) {
	var seqs []int64
	err := p.ask(ctx, upTo, func(upTo int64) (err error) {
		seqs, err = p.search(ctx, upTo, hashes)
		return err
	})
	slices.Sort(seqs)
	return slices.Compact(seqs), err
}

// ask brings memory forward to upTo and asks a question, again when runs were changed meanwhile. An index that is damaged is made
// anew: it can be, and until then nothing can be decided.
func (p *partition) ask(ctx context.Context, upTo int64, question func(upTo int64) error) error {
	for n := range attempts {
		reached, err := p.reach(ctx, upTo)
		if err != nil {
			return err
		}
		err = question(reached)
		switch {
		case errors.Is(err, errDropped):
			continue
		case errors.Is(err, errMoved) && n < attempts/2:
			err = p.refresh(ctx)
		case errors.Is(err, errMoved), errors.Is(err, errPage):
			err = p.renew(ctx, err)
		default:
			return err
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the index of partition %d changes all the time: %w", p.n, errMoved)
}

// errDropped: memory was dropped since it reached what is asked for.
var errDropped = errors.New("the index was dropped from memory")

// asked is a hash that is looked for in a page.
type asked struct {
	page int64
	hash uint64
	run  *run
}

// search asks tables and runs. errMoved when pages are missing, errDropped when they do not cover the log up to upTo.
func (p *partition) search(ctx context.Context, upTo int64, hashes []uint64) ([]int64, error) {
	var seqs []int64
	p.mu.RLock()
	if !p.covers(upTo) {
		p.mu.RUnlock()
		return nil, errDropped
	}
	for _, t := range p.tables {
		for _, h := range hashes {
			seqs = t.find(seqs, h, 0)
		}
	}
	runs := p.runs
	p.mu.RUnlock()
	var asks []asked
	for _, r := range runs {
		for _, h := range hashes {
			first, end := r.span(h, 0)
			for n := first; n < end; n++ {
				asks = append(asks, asked{r.page(n), h, r})
			}
		}
	}
	slices.SortFunc(asks, func(a, b asked) int { return cmp.Compare(a.page, b.page) })
	var entries []entry
	for len(asks) > 0 {
		chunk, pages := firstPages(asks)
		asks = asks[len(chunk):]
		bodies, err := p.index.db.readPages(ctx, p.n, pages)
		if err != nil {
			return nil, err
		}
		parsed := int64(-1)
		for _, a := range chunk {
			if parsed != a.page {
				body, there := bodies[a.page]
				if !there {
					return nil, errMoved
				}
				if entries, err = a.run.parse(entries[:0], a.page, body); err != nil {
					return nil, err
				}
				parsed = a.page
			}
			seqs = pick(seqs, entries, a.hash, 0)
		}
	}
	return seqs, nil
}

// firstPages cuts off what asks for the first pages, as many as are read at once.
func firstPages(asks []asked) (chunk []asked, pages []int64) {
	for i := range asks {
		if len(pages) == 0 || pages[len(pages)-1] != asks[i].page {
			if len(pages) == pagesAtOnce {
				return asks[:i], pages
			}
			pages = append(pages, asks[i].page)
		}
	}
	return asks, pages
}

// pick appends the positions behind after of a hash.
func pick(seqs []int64, entries []entry, hash uint64, after int64) []int64 {
	i, _ := slices.BinarySearchFunc(entries, entry{hash, after + 1}, entry.compare)
	for ; i < len(entries) && entries[i].hash == hash; i++ {
		seqs = append(seqs, entries[i].seq)
	}
	return seqs
}

// streamPages bounds the pages that are read at once on the way along a stream. A page of a stream that has the log for itself holds
// more than streamEntries of its entries.
const (
	streamPages   = 16
	streamEntries = 1000
)

// stream returns up to limit positions behind after of records that carry the hash, ascending.
func (p *partition) stream(ctx context.Context, upTo int64, hash uint64, after int64, limit int) ([]int64, error) {
	var seqs []int64
	err := p.ask(ctx, upTo, func(upTo int64) (err error) {
		seqs, err = p.along(ctx, upTo, hash, after, limit)
		return err
	})
	return seqs, err
}

func (p *partition) along(ctx context.Context, upTo int64, hash uint64, after int64, limit int) ([]int64, error) {
	p.mu.RLock()
	if !p.covers(upTo) {
		p.mu.RUnlock()
		return nil, errDropped
	}
	runs := p.runs
	var newest []int64
	for _, t := range p.tables {
		if t.to > after {
			newest = t.find(newest, hash, after)
		}
	}
	p.mu.RUnlock()
	var seqs []int64
	var entries []entry
	for _, r := range runs {
		if r.to <= after {
			continue
		}
		first, end := r.span(hash, after)
		for n := first; n < end && len(seqs) < limit; {
			var pages []int64
			for at := min((limit-len(seqs))/streamEntries+1, streamPages); n < end && len(pages) < at; n++ {
				pages = append(pages, r.page(n))
			}
			bodies, err := p.index.db.readPages(ctx, p.n, pages)
			if err != nil {
				return nil, err
			}
			for _, page := range pages {
				body, there := bodies[page]
				if !there {
					return nil, errMoved
				}
				if entries, err = r.parse(entries[:0], page, body); err != nil {
					return nil, err
				}
				seqs = pick(seqs, entries, hash, after)
			}
		}
	}
	if i, _ := slices.BinarySearch(newest, lastOf(seqs)+1); len(seqs) < limit {
		seqs = append(seqs, newest[i:]...) // a table may overlap the newest run
	}
	return seqs[:min(limit, len(seqs))], nil
}

func lastOf(seqs []int64) int64 {
	if len(seqs) == 0 {
		return 0
	}
	return seqs[len(seqs)-1]
}
