package index

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// Check compares the runs of a partition with the names of the records that they cover, read from the log: nothing may be
// missing, or what lacks it would not be found. It returns how many records were compared; the error says what is wrong, as
// eventstore.ErrBroken, or that it could not be read.
func (x *Index) Check(ctx context.Context, n int) (int64, error) {
	for range attempts {
		checked, err := x.check(ctx, n)
		if !errors.Is(err, errMoved) {
			return checked, err
		}
	}
	return 0, fmt.Errorf("%w: the index of partition %d lacks pages of its runs", eventstore.ErrBroken, n)
}

func (x *Index) check(ctx context.Context, n int) (int64, error) {
	at, runs, err := x.db.readRuns(ctx, n)
	if err != nil {
		return 0, err
	}
	if err := x.db.loadExtra(ctx, n, runs); err != nil {
		return 0, damaged(n, err)
	}
	end := int64(0)
	for _, r := range runs {
		if r.from != end {
			return end, fmt.Errorf("%w: the index of partition %d has a gap behind record %d:%d", eventstore.ErrBroken, n, n, end)
		}
		if err := x.checkRun(ctx, n, r); err != nil {
			return end, err
		}
		end = r.to
	}
	if end != at.seq {
		return end, fmt.Errorf("%w: the index of partition %d ends at %d:%d, and says %d", eventstore.ErrBroken, n, n, end, at.seq)
	}
	return end, nil
}

// damaged turns what reading runs may say into a finding.
func damaged(n int, err error) error {
	if errors.Is(err, errPage) {
		return fmt.Errorf("%w: the index of partition %d: %w", eventstore.ErrBroken, n, err)
	}
	return err
}

// checkRun holds a run against the log and against itself: its entries are those of its records, all of them, in order, and its
// filter and its fences let each be found.
func (x *Index) checkRun(ctx context.Context, n int, r *run) error {
	var want, got uint64
	var hash hasher
	var entries []entry
	for from := r.from + 1; from <= r.to; {
		records, err := x.db.readTail(ctx, n, from, int(min(tailPage, r.to-from+1)))
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return fmt.Errorf("%w: the index knows record %d:%d, which is not there", eventstore.ErrBroken, n, from)
		}
		for i := range records {
			entries = hash.entries(entries[:0], &records[i])
			for j, e := range entries {
				if !slices.Contains(entries[:j], e) { // a run holds it once
					want += e.digest()
				}
			}
			if !r.lets(entries) {
				return fmt.Errorf("%w: the index does not find record %s", eventstore.ErrBroken, records[i].Position())
			}
		}
		from = records[len(records)-1].Seq + 1
	}
	c := cursor{db: &x.db, partition: n, run: r}
	var last entry
	for {
		if err := c.fill(ctx); err != nil {
			return damaged(n, err)
		}
		if len(c.entries) == 0 {
			break
		}
		for _, e := range c.entries {
			if e.compare(last) <= 0 {
				return fmt.Errorf("%w: the index of partition %d is out of order, between records %d and %d", eventstore.ErrBroken, n, r.from+1, r.to)
			}
			got += e.digest()
			last = e
		}
		c.entries = nil
	}
	if got != want || r.sum != want {
		return fmt.Errorf("%w: the index of partition %d is not that of records %d to %d", eventstore.ErrBroken, n, r.from+1, r.to)
	}
	return nil
}

// lets tells whether filter and fences lead to each entry's hash.
func (r *run) lets(entries []entry) bool {
	for _, e := range entries {
		if first, end := r.span(e.hash, e.seq-1); first >= end {
			return false
		}
	}
	return true
}
