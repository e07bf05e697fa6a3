package eventstore_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore"
)

// All partitions are read in one order, up to the heads and no further.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := make([][]eventstore.Record, rapid.IntRange(1, 4).Draw(t, "partitions"))
		heads := make([]eventstore.Head, len(parts))
		var want []eventstore.Record
		for p := range parts {
			at := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
			n := rapid.IntRange(0, 200).Draw(t, "records")
			heads[p] = eventstore.Head{Partition: p, Seq: int64(rapid.IntRange(0, n).Draw(t, "head"))}
			for seq := range n {
				at = at.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "later")) * time.Microsecond)
				r := eventstore.Record{Partition: p, Seq: int64(seq + 1), RecordedAt: at}
				parts[p] = append(parts[p], r)
				if r.Seq <= heads[p].Seq {
					want = append(want, r)
				}
			}
		}
		slices.SortFunc(want, func(a, b eventstore.Record) int {
			return cmp.Or(a.RecordedAt.Compare(b.RecordedAt), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Seq, b.Seq))
		})
		var got []eventstore.Position
		err := eventstore.Merge(context.Background(), heads, reader(parts), func(r *eventstore.Record) error {
			got = append(got, r.Position())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, func(p eventstore.Position, r eventstore.Record) bool { return p == r.Position() }) {
			t.Fatalf("got %v", got)
		}
	})
}

func TestMergeFails(t *testing.T) {
	parts := [][]eventstore.Record{{{Seq: 1}, {Seq: 2}}, {{Partition: 1, Seq: 1}}}
	heads := []eventstore.Head{{Seq: 2}, {Partition: 1, Seq: 1}}
	stop := errors.New("enough")
	calls := 0
	err := eventstore.Merge(t.Context(), heads, reader(parts), func(*eventstore.Record) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d records", err, calls)
	}
	nothing := func(*eventstore.Record) error { return nil }
	heads[1].Seq = 2
	if err := eventstore.Merge(t.Context(), heads, reader(parts), nothing); !errors.Is(err, eventstore.ErrBroken) {
		t.Errorf("a partition that ends before its head: %v", err)
	}
	err = eventstore.Merge(t.Context(), heads, func(context.Context, int, int64, int) ([]eventstore.Record, error) { return nil, stop }, nothing)
	if !errors.Is(err, stop) {
		t.Errorf("a log that cannot be read: %v", err)
	}
}

func reader(parts [][]eventstore.Record) func(context.Context, int, int64, int) ([]eventstore.Record, error) {
	return func(_ context.Context, p int, after int64, limit int) ([]eventstore.Record, error) {
		rest := parts[p][min(int(after), len(parts[p])):]
		return rest[:min(limit, len(rest))], nil
	}
}
