package proof

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/khata-ledger/khata/eventstore"
)

// Stride is the distance of the levels whose nodes a Source has: leaves, subtrees of 256 leaves, of 65,536, and so on.
const Stride = 8

// Source has the hashes of one partition's complete subtrees.
type Source interface {
	// Subtrees returns the hashes of the complete subtrees of 2^level leaves with the numbers from up to, not including, to: number n has
	// the leaves from n<<level on. The level is a multiple of Stride; at level 0 they are leaves (Leaf). All of them, or an error.
	Subtrees(ctx context.Context, level uint, from, to int64) ([]eventstore.Hash, error)
}

// Leaf is the leaf of a record's hash.
func Leaf(record eventstore.Hash) eventstore.Hash {
	var b [1 + sha256.Size]byte // 0x00 || data, as rfc6962.DefaultHasher.HashLeaf, without what that allocates
	copy(b[1:], record[:])
	return sha256.Sum256(b[:])
}

// node is the parent of two nodes: 0x01 || left || right, as rfc6962.DefaultHasher.HashChildren. Trees are grown with it, record by record.
func node(left, right []byte) []byte {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left)
	copy(b[1+sha256.Size:], right)
	sum := sha256.Sum256(b[:])
	return sum[:]
}

// EmptyRoot is the root of a tree without leaves.
func EmptyRoot() eventstore.Hash { return eventstore.Hash(rfc6962.DefaultHasher.EmptyRoot()) }

// NewRange is the compact range of a tree that is grown leaf by leaf: the roots of its complete subtrees, from left to right.
// hashes are those of a tree of that size; none for an empty one. An error when they are not as many as it has.
func NewRange(size int64, hashes []eventstore.Hash) (*compact.Range, error) {
	f := compact.RangeFactory{Hash: node}
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	return f.NewRange(0, uint64(size), list)
}

// Tree reads roots and paths of one partition at one size. It remembers what it has read, so it is for one purpose and one goroutine.
type Tree struct {
	source Source
	size   int64
	blocks map[block][]eventstore.Hash
}

// block is a run of up to 1<<Stride neighbouring hashes of a level.
type block struct {
	level  uint
	number int64
}

// NewTree is the tree of the first size records.
func NewTree(source Source, size int64) *Tree {
	return &Tree{source: source, size: size, blocks: map[block][]eventstore.Hash{}}
}

// Root is the root of the tree.
func (t *Tree) Root(ctx context.Context) (eventstore.Hash, error) {
	if t.size == 0 {
		return EmptyRoot(), nil
	}
	hashes, err := t.nodes(ctx, compact.RangeNodes(0, uint64(t.size), nil))
	if err != nil {
		return eventstore.Hash{}, err
	}
	f := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	r, err := f.NewRange(0, uint64(t.size), hashes)
	if err != nil {
		return eventstore.Hash{}, err
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		return eventstore.Hash{}, err
	}
	return eventstore.Hash(root), nil
}

// Inclusion is the path from the leaf of the record at seq to the root.
func (t *Tree) Inclusion(ctx context.Context, seq int64) ([]eventstore.Hash, error) {
	if seq < 1 || seq > t.size {
		return nil, fmt.Errorf("%w: record %d in a tree of %d", eventstore.ErrNotFound, seq, t.size)
	}
	nodes, err := proof.Inclusion(uint64(seq-1), uint64(t.size))
	if err != nil {
		return nil, err
	}
	return t.path(ctx, nodes)
}

// Consistency is the path that shows that the tree appends to what it was at an older size.
func (t *Tree) Consistency(ctx context.Context, older int64) ([]eventstore.Hash, error) {
	if older < 0 || older > t.size {
		return nil, fmt.Errorf("%w: %d records in a tree of %d", eventstore.ErrNotFound, older, t.size)
	}
	nodes, err := proof.Consistency(uint64(older), uint64(t.size))
	if err != nil {
		return nil, err
	}
	return t.path(ctx, nodes)
}

func (t *Tree) path(ctx context.Context, nodes proof.Nodes) ([]eventstore.Hash, error) {
	hashes, err := t.nodes(ctx, nodes.IDs)
	if err != nil {
		return nil, err
	}
	if hashes, err = nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren); err != nil {
		return nil, err
	}
	path := make([]eventstore.Hash, len(hashes))
	for i := range hashes {
		path[i] = eventstore.Hash(hashes[i])
	}
	return path, nil
}

func (t *Tree) nodes(ctx context.Context, ids []compact.NodeID) ([][]byte, error) {
	hashes := make([][]byte, len(ids))
	for i, id := range ids {
		h, err := t.node(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h[:]
	}
	return hashes, nil
}

// node is the root of a complete subtree: folded from those of the level below that the source has. There are at most 128 of
// them, and they lie in one block.
func (t *Tree) node(ctx context.Context, id compact.NodeID) (eventstore.Hash, error) {
	level := id.Level / Stride * Stride
	span := int64(1) << (id.Level - level)
	from := int64(id.Index) * span
	at := block{level, from >> Stride}
	hashes, there := t.blocks[at]
	if !there {
		first := at.number << Stride
		end := min(first+1<<Stride, t.size>>level)
		var err error
		if hashes, err = t.source.Subtrees(ctx, level, first, end); err != nil {
			return eventstore.Hash{}, err
		}
		if int64(len(hashes)) != end-first {
			return eventstore.Hash{}, fmt.Errorf("%d hashes of level %d from %d on, where there must be %d", len(hashes), level, first, end-first)
		}
		t.blocks[at] = hashes
	}
	from -= at.number << Stride
	return fold(hashes[from : from+span]), nil
}

// fold is the root over a power of two of hashes.
func fold(hashes []eventstore.Hash) eventstore.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	left, right := fold(hashes[:len(hashes)/2]), fold(hashes[len(hashes)/2:])
	return eventstore.Hash(rfc6962.DefaultHasher.HashChildren(left[:], right[:]))
}

// checkInclusion verifies a path from the record at seq to a root.
func checkInclusion(at TreeHead, seq int64, record eventstore.Hash, path []eventstore.Hash) error {
	leaf := Leaf(record)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(seq-1), uint64(at.Size), leaf[:], slicesOf(path), at.Root[:]); err != nil {
		return short(err)
	}
	return nil
}

// checkConsistency verifies that the newer tree appends to the older one.
func checkConsistency(older, newer TreeHead, path []eventstore.Hash) error {
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(older.Size), uint64(newer.Size), slicesOf(path), older.Root[:], newer.Root[:])
	if err != nil {
		return short(err)
	}
	return nil
}

func slicesOf(path []eventstore.Hash) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}
