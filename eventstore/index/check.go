package index

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// Check compares the runs of a partition with the names of the records that they cover: nothing may be missing, or what lacks it
// would not be found. It returns how many were compared, and which of them claim a key that an earlier one has. The error says what is
// wrong, as eventstore.ErrBroken, or that it could not be read.
//
// who reads the log in any case gives each: it is called once, and gives its argument the records as it reads them, in order from the
// first on. Its error is returned. What it does not give, or all if it is nil, is read here.
func (x *Index) Check(ctx context.Context, n int, each func(take func([]eventstore.Record)) error) (checked int64, twice []int64, err error) {
	for range attempts {
		checked, twice, err = x.check(ctx, n, each)
		if !errors.Is(err, errMoved) {
			return checked, twice, err
		}
		each = nil
	}
	return 0, nil, fmt.Errorf("%w: the index of partition %d lacks pages of its runs", eventstore.ErrBroken, n)
}

// Mended says what was wrong with the index of a partition that has been made anew since this one was opened, because a question met the damage: Check
// does not find it any more. It is nil, or eventstore.ErrBroken.
func (x *Index) Mended(n int) error {
	p := x.at(n)
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case p.mended == nil:
		return nil
	case errors.Is(p.mended, errMoved):
		return fmt.Errorf("%w: the index of partition %d lacked pages of its runs, and was made anew", eventstore.ErrBroken, n)
	}
	return fmt.Errorf("%w: the index of partition %d, which was made anew: %w", eventstore.ErrBroken, n, p.mended)
}

func (x *Index) check(ctx context.Context, n int, each func(take func([]eventstore.Record)) error) (checked int64, twice []int64, err error) {
	at, runs, wrong := x.db.readRuns(ctx, n)
	c := &checker{db: &x.db, partition: n, at: at, left: runs, seed: maphash.MakeSeed(), err: wrong}
	if each != nil {
		if err := each(func(records []eventstore.Record) { c.take(ctx, records) }); err != nil {
			return 0, nil, err
		}
	}
	if err := c.rest(ctx); err != nil {
		return c.end, nil, err
	}
	twice, err = x.claimedTwice(ctx, n, runs)
	return c.end, twice, damaged(n, err)
}

// checker holds runs against the records that they cover, one run at a time.
type checker struct {
	db        *DB
	partition int
	at        checkpoint
	left      []*run // the first is the one that is being compared
	loaded    bool   // its fences and its filter
	seq       int64  // the last record that was taken
	end       int64  // of the runs that were compared
	want      sums   // of the records' entries
	seed      maphash.Seed
	hash      hasher
	entries   []entry
	err       error // then nothing more is compared
}

// sums are of entries, in any order.
type sums struct {
	kept   uint64 // as the run has it
	secret uint64 // under the checker's own seed: nobody can have made other entries that give the same
}

func (s *sums) add(seed maphash.Seed, e entry) {
	s.kept += e.digest()
	s.secret += maphash.Comparable(seed, e)
}

// take compares records, which follow the ones before.
func (c *checker) take(ctx context.Context, records []eventstore.Record) {
	for i := range records {
		for c.err == nil && len(c.left) > 0 && records[i].Seq > c.left[0].to {
			c.err = c.finish(ctx)
		}
		if c.err != nil || len(c.left) == 0 {
			return
		}
		if c.err = c.record(ctx, &records[i]); c.err != nil {
			return
		}
	}
}

// rest reads what was not taken, and finishes.
func (c *checker) rest(ctx context.Context) error {
	for c.err == nil && len(c.left) > 0 {
		r := c.left[0]
		if c.seq >= r.to {
			c.err = c.finish(ctx)
			continue
		}
		records, err := c.db.readTail(ctx, c.partition, c.seq+1, int(min(tailPage, r.to-c.seq)))
		if err == nil && len(records) == 0 {
			err = fmt.Errorf("%w: the index knows record %d:%d, which is not there", eventstore.ErrBroken, c.partition, c.seq+1)
		}
		if c.err = err; err == nil {
			c.take(ctx, records)
		}
	}
	if c.err == nil && c.end != c.at.seq {
		c.err = fmt.Errorf("%w: the index of partition %d ends at %d:%d, and says %d", eventstore.ErrBroken, c.partition, c.partition, c.end, c.at.seq)
	}
	return c.err
}

// begin loads the run that comes next.
func (c *checker) begin(ctx context.Context) error {
	r := c.left[0]
	if r.from != c.end {
		return fmt.Errorf("%w: the index of partition %d has a gap behind record %d:%d", eventstore.ErrBroken, c.partition, c.partition, c.end)
	}
	c.loaded, c.want = true, sums{}
	return damaged(c.partition, c.db.loadExtra(ctx, c.partition, c.left[:1]))
}

// record takes up the entries of a record, which filter and fences must lead to.
func (c *checker) record(ctx context.Context, r *eventstore.Record) error {
	if !c.loaded {
		if err := c.begin(ctx); err != nil {
			return err
		}
	}
	c.seq = r.Seq
	c.entries = c.hash.entries(c.entries[:0], r)
	for i, e := range c.entries {
		if !slices.Contains(c.entries[:i], e) { // a run holds it once
			c.want.add(c.seed, e)
		}
	}
	if !c.left[0].lets(c.entries) {
		return fmt.Errorf("%w: the index does not find record %s", eventstore.ErrBroken, r.Position())
	}
	return nil
}

// finish holds the run against what its records gave, and against itself: its entries are those of its records, all of them, in
// order.
func (c *checker) finish(ctx context.Context) error {
	if !c.loaded { // it has no records
		if err := c.begin(ctx); err != nil {
			return err
		}
	}
	r := c.left[0]
	var got sums
	var last entry
	err := eachEntry(ctx, c.db, c.partition, c.left[:1], func(e entry) error {
		if e.compare(last) <= 0 {
			return fmt.Errorf("%w: the index of partition %d is out of order, between records %d and %d", eventstore.ErrBroken, c.partition, r.from+1, r.to)
		}
		got.add(c.seed, e)
		last = e
		return nil
	})
	if err != nil {
		return damaged(c.partition, err)
	}
	if got != c.want || r.sum != c.want.kept {
		return fmt.Errorf("%w: the index of partition %d is not that of records %d to %d", eventstore.ErrBroken, c.partition, r.from+1, r.to)
	}
	r.fences, r.filter = nil, nil // of large runs they are large
	c.left, c.loaded, c.end = c.left[1:], false, r.to
	return nil
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

// lets tells whether filter and fences lead to each entry's hash.
func (r *run) lets(entries []entry) bool {
	for _, e := range entries {
		if first, end := r.span(e.hash, e.seq-1); first >= end {
			return false
		}
	}
	return true
}
