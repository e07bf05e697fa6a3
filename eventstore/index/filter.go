package index

import "encoding/binary"

// filter tells that a hash is not in a run, or that it may be: wrong about once in a thousand times. It is a Bloom filter whose
// eight bits of a hash are in one block of 32 bytes, so that asking it touches one line of the processor's cache.
type filter []block

type block [8]uint32

const blockBytes = 32

// blocksFor is the size of a filter for so many different hashes: 16 bits for each.
func blocksFor(hashes int64) int { return int(hashes/16) + 1 }

// The odd numbers by which a hash chooses its bit in each word of a block.
var salts = [8]uint32{0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31}

func (f filter) blockOf(hash uint64) *block {
	return &f[(hash>>32)*uint64(len(f))>>32]
}

func (f filter) add(hash uint64) {
	b := f.blockOf(hash)
	for i, salt := range salts {
		b[i] |= 1 << (uint32(hash) * salt >> 27)
	}
}

// may is false when the hash was never added. A filter that is not loaded does not know.
func (f filter) may(hash uint64) bool {
	if len(f) == 0 {
		return true
	}
	b := f.blockOf(hash)
	for i, salt := range salts {
		if b[i]&(1<<(uint32(hash)*salt>>27)) == 0 {
			return false
		}
	}
	return true
}

func (f filter) bytes(b []byte) []byte {
	for i := range f {
		for _, word := range f[i] {
			b = binary.LittleEndian.AppendUint32(b, word)
		}
	}
	return b
}

func parseFilter(b []byte) filter {
	f := make(filter, len(b)/blockBytes)
	for i := range f {
		for j := range f[i] {
			f[i][j] = binary.LittleEndian.Uint32(b[blockBytes*i+4*j:])
		}
	}
	return f
}
