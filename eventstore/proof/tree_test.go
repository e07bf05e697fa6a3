package proof_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	library "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"pgregory.net/rapid"

	"crypto/sha256"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
)

// shelf is a Source in memory: every hash of every eighth level.
type shelf struct{ levels map[uint][]eventstore.Hash }

// Subtrees refuses what is no block's part: a reader must not ask for more than there is.
func (s shelf) Subtrees(_ context.Context, level uint, from, to int64) ([]eventstore.Hash, error) {
	have := s.levels[level]
	if level%proof.Stride != 0 || from < 0 || to-from > 1<<proof.Stride || to > int64(len(have)) {
		return nil, fmt.Errorf("level %d from %d to %d, of %d", level, from, to, len(have))
	}
	return slices.Clone(have[from:to]), nil
}

// recordHash is the hash of record seq, as good as any.
func recordHash(seq int64) eventstore.Hash {
	return sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(seq)))
}

// naive hashes a tree by the definition in RFC 6962, section 2.1.
func naive(leaves []eventstore.Hash) eventstore.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0][:]...))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := naive(leaves[:k]), naive(leaves[k:])
		return sha256.Sum256(slices.Concat([]byte{1}, left[:], right[:]))
	}
}

const grown = 70_000 // more than a subtree of level 16

// grow makes a tree of n records, and what a Source has of it.
func grow(n int64) (*testonly.Tree, shelf, []eventstore.Hash) {
	tree := testonly.New(rfc6962.DefaultHasher)
	s := shelf{map[uint][]eventstore.Hash{}}
	var leaves []eventstore.Hash
	for seq := int64(1); seq <= n; seq++ {
		h := recordHash(seq)
		leaves = append(leaves, h)
		tree.AppendData(h[:])
		s.levels[0] = append(s.levels[0], proof.Leaf(h))
	}
	for level := uint(proof.Stride); n>>level > 0; level += proof.Stride {
		for from := int64(0); from < n>>level; from++ {
			s.levels[level] = append(s.levels[level], naive(leaves[from<<level:(from+1)<<level]))
		}
	}
	return tree, s, leaves
}

func listed(path []eventstore.Hash) [][]byte {
	out := [][]byte{}
	for i := range path {
		out = append(out, path[i][:])
	}
	return out
}

func same(a [][]byte, b []eventstore.Hash) bool {
	return slices.EqualFunc(a, b, func(x []byte, y eventstore.Hash) bool { return slices.Equal(x, y[:]) })
}

// TestPathsAreTheLibrarys: roots and paths of random sizes are those of the library's own tree, and its verifiers accept them.
func TestPathsAreTheLibrarys(t *testing.T) {
	tree, source, leaves := grow(grown)
	sizes := rapid.OneOf(rapid.Int64Range(1, 600), rapid.Int64Range(1, grown), rapid.SampledFrom([]int64{255, 256, 257, 65_535, 65_536, 65_537, grown}))
	rapid.Check(t, func(t *rapid.T) {
		size := sizes.Draw(t, "size")
		seq := rapid.Int64Range(1, size).Draw(t, "seq")
		older := rapid.Int64Range(0, size).Draw(t, "older")
		reader := proof.NewTree(source, size)
		root, err := reader.Root(t.Context())
		if err != nil || !slices.Equal(root[:], tree.HashAt(uint64(size))) {
			t.Fatalf("root at %d: %s, %v", size, root, err)
		}
		if size < 2000 && root != naive(leaves[:size]) {
			t.Fatalf("root at %d is not that of the definition", size)
		}
		path, err := reader.Inclusion(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		want, err := tree.InclusionProof(uint64(seq-1), uint64(size))
		if err != nil || !same(want, path) {
			t.Fatalf("path of %d in %d: %v, want %v, %v", seq, size, path, want, err)
		}
		leaf := proof.Leaf(recordHash(seq))
		if err := library.VerifyInclusion(rfc6962.DefaultHasher, uint64(seq-1), uint64(size), leaf[:], listed(path), root[:]); err != nil {
			t.Fatal(err)
		}
		if path, err = reader.Consistency(t.Context(), older); err != nil {
			t.Fatal(err)
		}
		err = library.VerifyConsistency(rfc6962.DefaultHasher, uint64(older), uint64(size), listed(path), tree.HashAt(uint64(older)), root[:])
		if err != nil {
			t.Fatalf("from %d to %d: %v", older, size, err)
		}
	})
}

func TestTreesHaveNoOtherRecords(t *testing.T) {
	_, source, _ := grow(10)
	tree := proof.NewTree(source, 10)
	for _, seq := range []int64{-1, 0, 11} {
		if _, err := tree.Inclusion(t.Context(), seq); err == nil {
			t.Errorf("a path of record %d of 10", seq)
		}
	}
	for _, older := range []int64{-1, 11} {
		if _, err := tree.Consistency(t.Context(), older); err == nil {
			t.Errorf("a path from %d to 10 records", older)
		}
	}
	if root, err := proof.NewTree(source, 0).Root(t.Context()); err != nil || root != naive(nil) {
		t.Errorf("the root of no records: %s, %v", root, err)
	}
	if _, err := proof.NewTree(source, 11).Root(t.Context()); err == nil {
		t.Error("a root of records that the source does not have")
	}
}

func TestARangeGrowsLikeTheTree(t *testing.T) {
	tree, _, _ := grow(300)
	rapid.Check(t, func(t *rapid.T) {
		cut := rapid.Int64Range(0, 300).Draw(t, "cut")
		r, err := proof.NewRange(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		for seq := int64(1); seq <= 300; seq++ {
			if seq == cut { // kept and loaded again
				var hashes []eventstore.Hash
				for _, h := range r.Hashes() {
					hashes = append(hashes, eventstore.Hash(h))
				}
				if r, err = proof.NewRange(int64(r.End()), hashes); err != nil {
					t.Fatal(err)
				}
			}
			leaf := proof.Leaf(recordHash(seq))
			if err := r.Append(leaf[:], nil); err != nil {
				t.Fatal(err)
			}
		}
		root, err := r.GetRootHash(nil)
		if err != nil || !slices.Equal(root, tree.HashAt(300)) {
			t.Fatalf("the root is %x, %v", root, err)
		}
	})
}

// someHashes is a log that has hashes only.
type someHashes []eventstore.Hash

func (h someHashes) Hashes(_ context.Context, _ int, after int64, limit int) ([]eventstore.Hash, error) {
	return h[after:min(after+int64(limit), int64(len(h)))], nil
}

// TestTheLogAloneGivesTheSameTree as stored nodes do.
func TestTheLogAloneGivesTheSameTree(t *testing.T) {
	tree, _, records := grow(grown)
	source := proof.FromLog(someHashes(records), 0)
	for _, size := range []int64{1, 255, 256, 257, 1000, 65_536, grown} {
		reader := proof.NewTree(source, size)
		root, err := reader.Root(t.Context())
		if err != nil || !slices.Equal(root[:], tree.HashAt(uint64(size))) {
			t.Errorf("root at %d: %s, %v", size, root, err)
		}
		want, err := tree.ConsistencyProof(uint64(size/2+1), uint64(size))
		if err != nil {
			t.Fatal(err)
		}
		if path, err := reader.Consistency(t.Context(), size/2+1); err != nil || !same(want, path) {
			t.Errorf("from %d to %d: %v, want %v, %v", size/2+1, size, path, want, err)
		}
	}
	if _, err := proof.NewTree(source, grown+1).Root(t.Context()); err == nil {
		t.Error("a root of more than the log has")
	}
}
