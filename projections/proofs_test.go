package projections

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/tail"
)

// libraryTree is the tree of a partition as the library grows it.
func (b *book) libraryTree(partition int) *testonly.Tree {
	b.tb.Helper()
	records, err := b.log.Read(context.Background(), partition, 0, 100_000)
	if err != nil {
		b.tb.Fatal(err)
	}
	tree := testonly.New(rfc6962.DefaultHasher)
	for i := range records {
		tree.AppendData(records[i].Hash[:])
	}
	return tree
}

// sameTrees compares roots and paths of the view, at some sizes, with the library's.
func (b *book) sameTrees(v *Views, random *rand.Rand, partitions int) {
	b.tb.Helper()
	for p := range partitions {
		want := b.libraryTree(p)
		source, err := v.Tree(p)
		if err != nil {
			b.tb.Fatal(err)
		}
		sizes := []uint64{want.Size()}
		for range 20 {
			sizes = append(sizes, 1+random.Uint64N(want.Size()))
		}
		for _, size := range sizes {
			tree := proof.NewTree(source, int64(size))
			root, err := tree.Root(context.Background())
			if err != nil || !slices.Equal(root[:], want.HashAt(size)) {
				b.tb.Fatalf("partition %d at %d: root %s, %v", p, size, root, err)
			}
			index := random.Uint64N(size)
			path, err := tree.Inclusion(context.Background(), int64(index+1))
			if err != nil {
				b.tb.Fatal(err)
			}
			library, err := want.InclusionProof(index, size)
			if err != nil || !slices.EqualFunc(path, library, func(a eventstore.Hash, b []byte) bool { return slices.Equal(a[:], b) }) {
				b.tb.Fatalf("partition %d: the path of %d in %d differs: %v", p, index+1, size, err)
			}
		}
	}
}

// TestTreesAreTheLibrarys: whatever the batches, and whoever goes on from what another has written.
func TestTreesAreTheLibrarys(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		random := rand.New(rand.NewPCG(5, 5))
		b := newBook(t, 2)
		for _, batch := range []int{7, 256, 1000} {
			b.wanderFar(uint64(batch), 900)
			opts := quick
			opts.Batch = batch
			v := b.views(at.open(), at.dialect, opts)
			mustReach(t, v)
			b.sameTrees(v, random, 2)
		}
		v := b.views(at.open(), at.dialect, quick)
		if err := v.Rebuild(t.Context(), []string{"proofs"}, nil); err != nil {
			t.Fatal(err)
		}
		b.sameTrees(v, random, 2)
		if findings, err := v.Check(t.Context()); err != nil || slices.ContainsFunc(findings, func(f Finding) bool { return f.Fault }) {
			t.Errorf("the check finds %+v, %v", findings, err)
		}
	})
}

func TestATreeThatIsBehindOrDamagedSaysSo(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		for range 600 {
			b.fund(anna, "1.00")
		}
		v := b.views(at.open(), at.dialect, quick)
		mustReach(t, v)
		source, err := v.Tree(0)
		if err != nil {
			t.Fatal(err)
		}
		for range 600 {
			b.fund(anna, "1.00")
		}
		if _, err := proof.NewTree(source, 1200).Root(t.Context()); !errors.Is(err, ErrBehind) {
			t.Errorf("a root of more than the view has: %v", err)
		}
		if _, err := proof.NewTree(source, 5000).Inclusion(t.Context(), 4999); !errors.Is(err, eventstore.ErrNotFound) {
			t.Errorf("a path of more than the log has: %v", err)
		}
		now, _ := v.standing()
		if _, err := v.db.ExecContext(t.Context(), "UPDATE "+nodeTable.in(now.tables["proofs"].generation)+" SET hash = 'x' WHERE place = 1"); err != nil {
			t.Fatal(err)
		}
		if _, err := proof.NewTree(source, 600).Root(t.Context()); !errors.Is(err, ErrDamaged) {
			t.Errorf("a node that is no hash: %v", err)
		}
	})
}

// BenchmarkInclusion makes inclusion proofs of random records of a log on SQLite: root, path, and the two of a consistency proof apart.
func BenchmarkInclusion(b *testing.B) {
	const records, page = 1_000_000, 50_000
	path := filepath.Join(b.TempDir(), "ledger.db")
	if err := sqlite.Migrate(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	log, err := sqlite.Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer closing(b, log)
	writeFunds(b, log, records, page)
	db, err := OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "views.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer closing(b, db)
	v, err := Open(b.Context(), db, SQLite, log, tail.New(log, 1, time.Hour, slog.New(slog.DiscardHandler)), Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := v.Reach(b.Context()); err != nil {
		b.Fatal(err)
	}
	source, err := v.Tree(0)
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for name, prove := range map[string]func(tree *proof.Tree, seq int64) error{
		"root":        func(tree *proof.Tree, _ int64) error { _, err := tree.Root(b.Context()); return err },
		"inclusion":   func(tree *proof.Tree, seq int64) error { _, err := tree.Inclusion(b.Context(), seq); return err },
		"consistency": func(tree *proof.Tree, seq int64) error { _, err := tree.Consistency(b.Context(), seq); return err },
	} {
		b.Run(name, func(b *testing.B) {
			var slowest time.Duration
			for b.Loop() {
				begun := time.Now()
				if err := prove(proof.NewTree(source, records), 1+random.Int64N(records)); err != nil {
					b.Fatal(err)
				}
				slowest = max(slowest, time.Since(begun))
			}
			b.ReportMetric(float64(slowest.Microseconds())/1000, "ms-slowest")
		})
	}
}

// writeFunds writes adjustments of one wallet, as fast as the store takes them.
func writeFunds(b *testing.B, log eventstore.Store, records, page int) {
	b.Helper()
	scratch := newBook(b, 1)
	head, err := log.Head(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	of := scratch.base(anna, "").Of
	for done := 0; done < records; done += page {
		batch := make([]eventstore.Record, page)
		for i := range batch {
			of.Payment = scratch.id("txn")
			data, err := wallet.Encode(&wallet.WalletAdjusted{Of: of, Amount: inr("1.00"), Reason: "funding", Actor: "operator:asha"})
			if err != nil {
				b.Fatal(err)
			}
			batch[i] = scratch.record(wallet.Stream(anna, "INR"), of.Payment, "wallet.adjusted", 1, scratch.now, data)
		}
		next := eventstore.Chain(head, batch)
		if err := log.Append(b.Context(), head, batch); err != nil {
			b.Fatal(err)
		}
		head = next
	}
}
