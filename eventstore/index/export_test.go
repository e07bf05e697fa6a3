package index

import (
	"encoding/binary"
	"slices"
)

// ForgeEntry exchanges, in a page of a run that begins behind base, the entry of a key for another one that adds as much to the sum which the run
// keeps in the database; nil where the page's first entry would become another.
func ForgeEntry(body []byte, base, end int64) []byte {
	entries, err := parsePage(nil, body, base)
	if err != nil {
		return nil
	}
	for i := 1; i < len(entries); i++ {
		was := entries[i]
		if was.hash&keyBit == 0 {
			continue
		}
		for seq := base + 1; seq <= end; seq++ {
			twin := entry{was.hash ^ uint64(was.seq)*digestFactor ^ uint64(seq)*digestFactor, seq}
			if twin == was || twin.digest() != was.digest() || twin.compare(entries[0]) <= 0 {
				continue
			}
			entries[i] = twin
			slices.SortFunc(entries, entry.compare)
			page := blank()
			var last entry
			for _, e := range entries {
				page = appendEntry(page, base, last, e)
				last = e
			}
			return seal(page)
		}
	}
	return nil
}

// ForgeFence has the first page of fences, of which there are at least two, lead past what is in the first page of entries.
func ForgeFence(body []byte) []byte {
	b, err := unseal(slices.Clone(body))
	if err != nil {
		return nil
	}
	binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b)+1)
	return seal(append(blank(), b...))
}
