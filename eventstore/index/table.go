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
	newest   slots
	hasher   hasher
}

func newTable(from int64, hash eventstore.Hash) *table {
	return &table{from: from, to: from, hash: hash}
}

// behind is a new table behind t, which is full: as much will come again, so it has the room.
func (t *table) behind() *table {
	n := newTable(t.to, t.hash)
	n.entries, n.older = make([]entry, 0, len(t.entries)), make([]int32, 0, len(t.entries))
	n.newest.at = make([]int32, len(t.newest.at))
	return n
}

// add takes up the record behind to.
func (t *table) add(r *eventstore.Record) {
	n := len(t.entries)
	t.entries = t.hasher.entries(t.entries, r)
	for i := n; i < len(t.entries); i++ {
		t.older = append(t.older, t.newest.put(t.entries, int32(i)))
	}
	t.to, t.hash = r.Seq, r.Hash
}

// records is how many records the table covers.
func (t *table) records() int64 { return t.to - t.from }

// find appends the positions behind after of a hash, ascending.
func (t *table) find(seqs []int64, hash uint64, after int64) []int64 {
	begin := len(seqs)
	for i := t.newest.get(t.entries, hash); i >= 0 && t.entries[i].seq > after; i = t.older[i] {
		seqs = append(seqs, t.entries[i].seq)
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

// slots finds the newest entry of a hash. It holds no hash, as a map would: hashes are random already, so that the lowest bits
// of one choose its slot, and the next free one is taken where that is another's.
type slots struct {
	at   []int32 // number of an entry, and one; 0 is free. As many as a power of two
	used int     // at most half of them
}

// get returns the number of the newest entry of a hash, -1 for none.
func (s *slots) get(entries []entry, hash uint64) int32 {
	if len(s.at) == 0 {
		return -1
	}
	return s.at[s.slot(entries, hash)] - 1
}

// put makes entry i the newest of its hash, and returns the one before it, -1 for none.
func (s *slots) put(entries []entry, i int32) int32 {
	if 2*s.used >= len(s.at) {
		s.grow(entries)
	}
	n := s.slot(entries, entries[i].hash)
	before := s.at[n] - 1
	if before < 0 {
		s.used++
	}
	s.at[n] = i + 1
	return before
}

// slot is where a hash is, or would be.
func (s *slots) slot(entries []entry, hash uint64) uint64 {
	mask := uint64(len(s.at) - 1)
	n := hash & mask
	for s.at[n] != 0 && entries[s.at[n]-1].hash != hash {
		n = (n + 1) & mask
	}
	return n
}

func (s *slots) grow(entries []entry) {
	was := s.at
	s.at = make([]int32, max(2*len(was), 64))
	for _, n := range was {
		if n != 0 {
			s.at[s.slot(entries, entries[n-1].hash)] = n
		}
	}
}
