package index

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// Check compares the runs of a partition with the names of the records that they cover, read from the log: nothing may be
// missing, or what lacks it would not be found. It returns how many records were compared, and which of them claim a key that an
// earlier one has. The error says what is wrong, as eventstore.ErrBroken, or that it could not be read.
func (x *Index) Check(ctx context.Context, n int) (checked int64, twice []int64, err error) {
	for range attempts {
		checked, twice, err = x.check(ctx, n)
		if !errors.Is(err, errMoved) {
			return checked, twice, err
		}
	}
	return 0, nil, fmt.Errorf("%w: the index of partition %d lacks pages of its runs", eventstore.ErrBroken, n)
}

func (x *Index) check(ctx context.Context, n int) (checked int64, twice []int64, err error) {
	at, runs, err := x.db.readRuns(ctx, n)
	if err != nil {
		return 0, nil, err
	}
	if err := x.db.loadExtra(ctx, n, runs); err != nil {
		return 0, nil, damaged(n, err)
	}
	end := int64(0)
	for _, r := range runs {
		if r.from != end {
			return end, nil, fmt.Errorf("%w: the index of partition %d has a gap behind record %d:%d", eventstore.ErrBroken, n, n, end)
		}
		if err := x.checkRun(ctx, n, r); err != nil {
			return end, nil, err
		}
		end = r.to
	}
	if end != at.seq {
		return end, nil, fmt.Errorf("%w: the index of partition %d ends at %d:%d, and says %d", eventstore.ErrBroken, n, n, end, at.seq)
	}
	twice, err = x.claimedTwice(ctx, n, runs)
	return end, twice, damaged(n, err)
}

// claimedTwice finds the records that claim a key which an earlier one has. In the order of all runs, the entries of one key are
// neighbours.
func (x *Index) claimedTwice(ctx context.Context, n int, runs []*run) (twice []int64, err error) {
	var last entry
	err = eachEntry(ctx, &x.db, n, runs, func(e entry) error {
		if e.hash == last.hash && e.hash&keyBit != 0 {
			same, err := x.shareKey(ctx, n, last.seq, e.seq, e.hash)
			if err != nil {
				return err
			}
			if same {
				twice = append(twice, e.seq)
			}
		}
		last = e
		return nil
	})
	return twice, err
}

// shareKey tells whether two records claim the same key, of that hash: two keys may have the same.
func (x *Index) shareKey(ctx context.Context, n int, a, b int64, hash uint64) (bool, error) {
	count := map[string]int{}
	err := x.db.readKeys(ctx, n, []int64{a, b}, func(_ int64, keys []string) {
		for i, k := range keys {
			if hashOf(kindKey, k) == hash && !slices.Contains(keys[:i], k) {
				count[k]++
			}
		}
	})
	for _, records := range count {
		if records > 1 {
			return true, err
		}
	}
	return false, err
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
