package index

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
)

// pageBits: a run has fewer pages than 1 << pageBits, which number them within its own part of all page numbers.
const pageBits = 20

// maxPages bounds the pages of entries; fences and filter need about as many again.
const maxPages = 1 << (pageBits - 1)

// run is a part of the index in the database: the entries of the records behind from, up to to, sorted and cut into pages.
// Behind those stand the pages that hold its fences and its filter. It is not changed once it is in use.
type run struct {
	id       int64
	from, to int64
	level    int // how often its entries were merged
	entries  int64
	names    int64  // different hashes, at most
	sum      uint64 // of the digests of its entries
	pages    int64  // of entries
	extra    int64  // pages of fences and filter

	fences []entry // the first entry of each page
	filter filter  // empty when there was no room for it
}

// newRunID picks a number that no other run has.
func newRunID() int64 { return 1 + rand.Int64N(1<<(62-pageBits)-1) }

// page is the number of the n-th page of a run.
func (r *run) page(n int64) int64 { return r.id<<pageBits + n }

// filterBytes is the memory that the filter takes when it is loaded.
func (r *run) filterBytes() int64 { return int64(blocksFor(r.names)) * blockBytes }

// span returns the numbers of the pages that may hold entries of a hash behind a position: first up to, not including, end.
func (r *run) span(hash uint64, after int64) (first, end int64) {
	if !r.filter.may(hash) {
		return 0, 0
	}
	from := entry{hash, after + 1}
	i := sort.Search(len(r.fences), func(i int) bool { return r.fences[i].compare(from) > 0 })
	j := i + sort.Search(len(r.fences)-i, func(j int) bool { return r.fences[i+j].hash > hash })
	return int64(max(i-1, 0)), int64(j)
}

// writer makes a run of entries that come in order. put is given its pages as they fill, in order of their numbers.
type writer struct {
	run  *run
	put  func(page []byte) error
	page []byte
	last entry
}

func newWriter(from, to int64, level int, names int64, put func(page []byte) error) *writer {
	return &writer{
		run: &run{id: newRunID(), from: from, to: to, level: level, filter: make(filter, blocksFor(names)), names: names},
		put: put, page: blank(),
	}
}

func (w *writer) add(e entry) error {
	r := w.run
	if r.entries > 0 && e.compare(w.last) <= 0 {
		return fmt.Errorf("%w: entries out of order", errPage)
	}
	if len(w.page)+maxEntryBytes > checksumBytes+pageBytes {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(w.page) == checksumBytes {
		r.fences = append(r.fences, e)
	}
	if r.entries == 0 || e.hash != w.last.hash {
		r.filter.add(e.hash)
	}
	w.page = appendEntry(w.page, r.from, w.last, e)
	r.entries++
	r.sum += e.digest()
	w.last = e
	return nil
}

func (w *writer) flush() error {
	if len(w.page) == checksumBytes {
		return nil
	}
	if w.run.pages++; w.run.pages >= maxPages {
		return fmt.Errorf("a run of %d pages", w.run.pages)
	}
	err := w.put(seal(w.page))
	w.page = blank() // put may keep the page
	return err
}

// end writes what is left, the fences and the filter.
func (w *writer) end() (*run, error) {
	if err := w.flush(); err != nil {
		return nil, err
	}
	r := w.run
	b := make([]byte, 0, len(r.fences)*16+len(r.filter)*blockBytes)
	for _, f := range r.fences {
		b = binary.LittleEndian.AppendUint64(b, f.hash)
		b = binary.LittleEndian.AppendUint64(b, uint64(f.seq))
	}
	for chunk := range slices.Chunk(r.filter.bytes(b), pageBytes) {
		r.extra++
		if err := w.put(seal(append(blank(), chunk...))); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// parseExtra reads fences and filter from the pages behind those of the entries.
func (r *run) parseExtra(b []byte) error {
	if int64(len(b)) != r.pages*16+r.filterBytes() {
		return errPage
	}
	r.fences = make([]entry, r.pages)
	for i := range r.fences {
		r.fences[i] = entry{binary.LittleEndian.Uint64(b[16*i:]), int64(binary.LittleEndian.Uint64(b[16*i+8:]))}
	}
	r.filter = parseFilter(b[16*r.pages:])
	return nil
}
