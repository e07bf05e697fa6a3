package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/transparency-dev/merkle/compact"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
)

// proofs holds the inner nodes of each partition's Merkle tree (see package proof): those of every eighth level, which is one row for 256
// records. What is between them is folded when it is needed.
type proofs struct{}

func (proofs) name() string       { return "proofs" }
func (proofs) version() int64     { return 1 }
func (proofs) shape() int64       { return 1 }
func (proofs) schemas() []*schema { return []*schema{&nodeTable.schema, &rangeTable.schema} }

// nodeRow is the root of a complete subtree: number place, from 0, of those of 2^level records. The hash is hexadecimal.
type nodeRow struct {
	partition, level, place int64
	hash                    string
}

var nodeTable = newTable(schema{name: "proof_nodes", key: 3}, []column[nodeRow]{
	{"partition", func(r *nodeRow) any { return &r.partition }},
	{"level", func(r *nodeRow) any { return &r.level }},
	{"place", func(r *nodeRow) any { return &r.place }},
	{"hash", func(r *nodeRow) any { return &r.hash }},
})

// rangeRow is the tree of a partition as far as it has grown: the roots of its complete subtrees from left to right, hexadecimal, one behind the
// other.
type rangeRow struct {
	partition, size int64
	hashes          string
}

var rangeTable = newTable(schema{name: "proof_ranges", key: 1}, []column[rangeRow]{
	{"partition", func(r *rangeRow) any { return &r.partition }},
	{"size", func(r *rangeRow) any { return &r.size }},
	{"hashes", func(r *rangeRow) any { return &r.hashes }},
})

func (proofs) apply(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error {
	tree := known.tree
	if tree == nil {
		var err error
		if tree, err = loadTree(ctx, w, known.partition, generation); err != nil {
			return err
		}
	}
	var nodes []nodeRow
	visit := func(id compact.NodeID, hash []byte) {
		if id.Level > 0 && id.Level%proof.Stride == 0 {
			nodes = append(nodes, nodeRow{int64(known.partition), int64(id.Level), int64(id.Index), eventstore.Hash(hash).String()})
		}
	}
	for i := range facts {
		leaf := proof.Leaf(facts[i].record.Hash)
		if err := tree.Append(leaf[:], visit); err != nil {
			return fmt.Errorf("record %s: %w", facts[i].record.Position(), err)
		}
		if tree.End() != uint64(facts[i].record.Seq) {
			return fmt.Errorf("record %s: the tree has %d records with it", facts[i].record.Position(), tree.End())
		}
	}
	if err := nodeTable.insert(ctx, w, generation, nodes); err != nil {
		return err
	}
	known.tree = tree
	var hashes strings.Builder
	for _, h := range tree.Hashes() {
		hashes.WriteString(eventstore.Hash(h).String())
	}
	return rangeTable.merge(ctx, w, generation, []rangeRow{{int64(known.partition), int64(tree.End()), hashes.String()}})
}

// loadTree reads the tree of a partition; an empty one when there is none yet.
func loadTree(ctx context.Context, w *writer, partition int, generation int64) (*compact.Range, error) {
	s, err := w.statement(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE partition = $1", rangeTable.list(), rangeTable.in(generation))) //nolint:sqlclosecheck // it is kept for the next time; close closes it
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", rangeTable.name, err)
	}
	found, err := s.QueryContext(ctx, partition)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", rangeTable.name, explain(err))
	}
	rows, err := rangeTable.collect(found)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return proof.NewRange(0, nil)
	}
	const digits = 2 * len(eventstore.Hash{})
	var hashes []eventstore.Hash
	for text := rows[0].hashes; text != ""; text = text[digits:] {
		h, err := eventstore.ParseHash(text[:min(digits, len(text))])
		if err != nil {
			return nil, fmt.Errorf("the tree of partition %d: %w", partition, err)
		}
		hashes = append(hashes, h)
	}
	return proof.NewRange(rows[0].size, hashes)
}

// treeNodes is how many rows a build's tree has.
func treeNodes(marks []mark) int64 {
	var n int64
	for _, m := range marks {
		for size := m.seq >> proof.Stride; size > 0; size >>= proof.Stride {
			n += size
		}
	}
	return n
}

// Tree is a partition's Merkle tree, for package proof: its leaves are read from the log, its inner nodes from the view. Reach first:
// it has what the view has.
func (v *Views) Tree(partition int) (proof.Source, error) {
	log, able := v.log.(proof.Hashes)
	if !able {
		return nil, errors.New("this log cannot read the hashes of records alone")
	}
	return &treeSource{v, log, partition}, nil
}

type treeSource struct {
	views     *Views
	log       proof.Hashes
	partition int
}

// Subtrees implements proof.Source.
func (s *treeSource) Subtrees(ctx context.Context, level uint, from, to int64) ([]eventstore.Hash, error) {
	if from >= to {
		return nil, nil
	}
	if level == 0 {
		return s.leaves(ctx, from, to)
	}
	rows, err := query(ctx, s.views, proofs{}, nodeTable, "WHERE partition = $1 AND level = $2 AND place >= $3 AND place < $4 ORDER BY place",
		s.partition, int64(level), from, to)
	if err != nil {
		return nil, err
	}
	hashes := make([]eventstore.Hash, len(rows))
	for i := range rows {
		if hashes[i], err = eventstore.ParseHash(rows[i].hash); err != nil || rows[i].place != from+int64(i) {
			return nil, fmt.Errorf("%w: node %d of level %d of partition %d is missing or wrong", ErrDamaged, from+int64(i), level, s.partition)
		}
	}
	if int64(len(hashes)) != to-from {
		return nil, fmt.Errorf("%w: the view has %d of %d nodes of level %d of partition %d", ErrBehind, len(hashes), to-from, level, s.partition)
	}
	return hashes, nil
}

func (s *treeSource) leaves(ctx context.Context, from, to int64) ([]eventstore.Hash, error) {
	hashes, err := s.log.Hashes(ctx, s.partition, from, int(to-from))
	if err != nil {
		return nil, err
	}
	if int64(len(hashes)) != to-from {
		return nil, fmt.Errorf("record %d:%d: %w", s.partition, from+int64(len(hashes))+1, eventstore.ErrNotFound)
	}
	for i := range hashes {
		hashes[i] = proof.Leaf(hashes[i])
	}
	return hashes, nil
}
