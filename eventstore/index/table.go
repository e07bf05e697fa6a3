package index

import (
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// table is a part of the index in memory: the entries of the records behind from, up to to. It only grows, and not any more
// when another table has been begun behind it.
type table struct {
	from, to int64
	hash     eventstore.Hash // of the record at to; unknown (zero) while to is from and no record was seen
	entries  []entry         // in order of position
	older    []int32         // by entry: the one before of the same hash, -1 for none
	newest   map[uint64]int32
	hasher   hasher
}

func newTable(from int64, hash eventstore.Hash) *table {
	return &table{from: from, to: from, hash: hash, newest: map[uint64]int32{}}
}

// add takes up the record behind to.
func (t *table) add(r *eventstore.Record) {
	n := len(t.entries)
	t.entries = t.hasher.entries(t.entries, r)
	for i := n; i < len(t.entries); i++ {
		before, there := t.newest[t.entries[i].hash]
		if !there {
			before = -1
		}
		t.older = append(t.older, before)
		t.newest[t.entries[i].hash] = int32(i)
	}
	t.to, t.hash = r.Seq, r.Hash
}

// records is how many records the table covers.
func (t *table) records() int64 { return t.to - t.from }

// find appends the positions behind after of a hash, ascending.
func (t *table) find(seqs []int64, hash uint64, after int64) []int64 {
	begin := len(seqs)
	i, there := t.newest[hash]
	for there && i >= 0 && t.entries[i].seq > after {
		seqs = append(seqs, t.entries[i].seq)
		i = t.older[i]
	}
	slices.Reverse(seqs[begin:])
	return seqs
}

// sorted are the entries behind a position, as a run has them.
func (t *table) sorted(after int64) []entry {
	from, _ := slices.BinarySearchFunc(t.entries, after, func(e entry, after int64) int {
		if e.seq <= after {
			return -1
		}
		return 1
	})
	sorted := slices.Clone(t.entries[from:])
	slices.SortFunc(sorted, entry.compare)
	return slices.Compact(sorted)
}
