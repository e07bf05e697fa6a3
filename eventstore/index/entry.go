package index

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"github.com/khata-ledger/khata/eventstore"
)

// kind tells names of different use apart.
type kind byte

const (
	kindKey     kind = 'k'
	kindStream  kind = 's'
	kindSubject kind = 'p'
)

// entry says that the record at a position carries a name of this hash.
type entry struct {
	hash uint64
	seq  int64
}

func (e entry) compare(o entry) int {
	if c := cmp.Compare(e.hash, o.hash); c != 0 {
		return c
	}
	return cmp.Compare(e.seq, o.seq)
}

// digestFactor spreads positions over all bits of a digest.
const digestFactor = 0x9e3779b97f4a7c15

// digest is an entry's part of a run's sum, which does not depend on the order. It is there for accidents: another entry of the same digest is
// easily made.
func (e entry) digest() uint64 {
	x := e.hash ^ uint64(e.seq)*digestFactor
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	return x ^ x>>32
}

// hashOf is how a name is known: 63 bits of its SHA-256, and whether it is a key. It is cryptographic so that nobody can choose names that meet: finding them would cost reads.
func hashOf(k kind, name string) uint64 {
	var buffer [1 + eventstore.MaxKeyBytes]byte
	b := append(append(buffer[:0], byte(k)), name...)
	sum := sha256.Sum256(b)
	hash := binary.LittleEndian.Uint64(sum[:]) &^ keyBit
	if k == kindKey {
		hash |= keyBit
	}
	return hash
}

// keyBit is set in the hashes of keys alone: they must be claimed once, while streams and subjects come again and again.
const keyBit = 1

// hasher hashes the names of records. Neighbours often share their stream.
type hasher struct {
	stream string
	hash   uint64
}

// entries appends the entries of a record.
func (h *hasher) entries(entries []entry, r *eventstore.Record) []entry {
	if r.Stream != h.stream || h.hash == 0 {
		h.stream, h.hash = r.Stream, hashOf(kindStream, r.Stream)
	}
	entries = append(entries, entry{h.hash, r.Seq}, entry{hashOf(kindSubject, r.Subject), r.Seq})
	for _, k := range r.Keys {
		entries = append(entries, entry{hashOf(kindKey, k), r.Seq})
	}
	return entries
}
