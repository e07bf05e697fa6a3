package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"fmt"
	"hash"
)

// Midstates are what of an HMAC-SHA256 key is enough to sign: the chaining values of the inner and the outer hash
// behind the padded key block, 32 bytes each. The key cannot be computed from them. They are as secret as the key.
type Midstates [2 * sha256.Size]byte

// String hides them.
func (Midstates) String() string { return "[midstates]" }

// GoString hides them.
func (Midstates) GoString() string { return "[midstates]" }

// The state that crypto/sha256 marshals: magic, chaining value, block in progress, bytes hashed.
const (
	stateMagic = 4
	stateBytes = stateMagic + sha256.Size + sha256.BlockSize + 8
)

// NewMidstates computes the midstates of a key of any length.
func NewMidstates(key []byte) Midstates {
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	var m Midstates
	for i, pad := range []byte{0x36, 0x5c} {
		var block [sha256.BlockSize]byte
		copy(block[:], key)
		for j := range block {
			block[j] ^= pad
		}
		h := sha256.New()
		h.Write(block[:])
		copy(m[i*sha256.Size:(i+1)*sha256.Size], marshalState(h)[stateMagic:])
	}
	return m
}

// ParseMidstates takes the 64 bytes of midstates as they were stored.
func ParseMidstates(b []byte) (Midstates, error) {
	var m Midstates
	if len(b) != len(m) {
		return m, fmt.Errorf("%w: midstates are %d bytes, not %d", ErrInvalid, len(m), len(b))
	}
	return Midstates(b), nil
}

// Sign is HMAC-SHA256 of body under the key that m was made of.
func Sign(m Midstates, body []byte) [sha256.Size]byte {
	inner := resume(m[:sha256.Size])
	inner.Write(body)
	var sum [sha256.Size]byte
	outer := resume(m[sha256.Size:])
	outer.Write(inner.Sum(sum[:0]))
	outer.Sum(sum[:0])
	return sum
}

// Verify tells, in constant time, whether mac is Sign(m, body).
func Verify(m Midstates, body, mac []byte) bool {
	want := Sign(m, body)
	return hmac.Equal(want[:], mac)
}

// resume gives the hash that has taken in one block and stands at the chaining value.
func resume(chaining []byte) hash.Hash {
	h := sha256.New()
	state := marshalState(h)
	copy(state[stateMagic:], chaining)
	binary.BigEndian.PutUint64(state[stateBytes-8:], sha256.BlockSize)
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(state); err != nil {
		panic("vault: crypto/sha256 does not resume: " + err.Error())
	}
	return h
}

func marshalState(h hash.Hash) []byte {
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil || len(state) != stateBytes {
		panic(fmt.Sprintf("vault: crypto/sha256 marshals %d bytes: %v", len(state), err))
	}
	return state
}
