package index

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// pageBytes bounds a page without its checksum, so that with its key it fits into one page of PostgreSQL.
const pageBytes = 7900

const checksumBytes = 4

// An entry that a disk had lost would let a key be claimed twice: each page begins with its checksum.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blank begins a page: room for the checksum, and for what follows.
func blank() []byte { return make([]byte, checksumBytes, checksumBytes+pageBytes) }

// seal sets the checksum of a page that begins with room for it.
func seal(page []byte) []byte {
	binary.LittleEndian.PutUint32(page, crc32.Checksum(page[checksumBytes:], castagnoli))
	return page
}

// unseal returns what stands behind the checksum.
func unseal(page []byte) ([]byte, error) {
	if len(page) < checksumBytes || binary.LittleEndian.Uint32(page) != crc32.Checksum(page[checksumBytes:], castagnoli) {
		return nil, errPage
	}
	return page[checksumBytes:], nil
}

// maxEntryBytes is the largest entry: two numbers of 64 bits.
const maxEntryBytes = 2 * binary.MaxVarintLen64

// parse appends the entries of one of a run's pages, which must be the one that its fence, where that is loaded, leads to: else what is in it would not
// be found.
func (r *run) parse(entries []entry, page int64, body []byte) ([]entry, error) {
	n := len(entries)
	entries, err := parsePage(entries, body, r.from)
	if i := page - r.page(0); err == nil && i < int64(len(r.fences)) && (len(entries) == n || entries[n] != r.fences[i]) {
		err = errPage
	}
	return entries, err
}

var errPage = errors.New("a page of the index is damaged")

// A page is a sequence of entries in order, each written as the distance of its hash from the one before, and its
// position: as the distance from the one before where the hash is the same, else from base. The first stands behind nothing.

// appendEntry writes e behind last.
func appendEntry(page []byte, base int64, last, e entry) []byte {
	if len(page) == checksumBytes {
		last = entry{}
	}
	from := base
	if len(page) > checksumBytes && last.hash == e.hash {
		from = last.seq
	}
	page = binary.AppendUvarint(page, e.hash-last.hash)
	return binary.AppendUvarint(page, uint64(e.seq-from))
}

// parsePage appends the entries of a page.
func parsePage(entries []entry, page []byte, base int64) ([]entry, error) {
	page, err := unseal(page)
	if err != nil {
		return nil, err
	}
	var e entry
	for at, first := 0, true; at < len(page); first = false {
		step, n := binary.Uvarint(page[at:])
		if n <= 0 {
			return nil, errPage
		}
		at += n
		distance, n := binary.Uvarint(page[at:])
		if n <= 0 {
			return nil, errPage
		}
		at += n
		if first || step != 0 {
			e.seq = base
		}
		e.hash += step
		e.seq += int64(distance)
		entries = append(entries, e)
	}
	return entries, nil
}
