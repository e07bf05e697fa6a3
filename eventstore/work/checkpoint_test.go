package work_test

import (
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/khata-ledger/khata/eventstore/work"
)

func TestCheckpoint(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		want := func(group string, partition int, seq int64) {
			t.Helper()
			if got, err := s.Checkpoint(ctx, group, partition); err != nil || got != seq {
				t.Fatalf("%s in partition %d: %d, %v, want %d", group, partition, got, err, seq)
			}
		}
		set := func(group string, partition int, old, next int64, wrong error) {
			t.Helper()
			if err := s.SetCheckpoint(ctx, group, partition, old, next); !errors.Is(err, wrong) {
				t.Fatalf("%s in partition %d from %d to %d: %v", group, partition, old, next, err)
			}
		}
		want("g", 0, 0)
		set("g", 0, 5, 6, work.ErrStale)
		set("g", 0, 0, 6, nil)
		want("g", 0, 6)
		set("g", 0, 0, 7, work.ErrStale)
		set("g", 0, 5, 7, work.ErrStale)
		set("g", 0, 6, 9, nil)
		set("g", 0, 9, 3, nil)
		want("g", 0, 3)
		set("g", 0, 3, 0, nil)
		set("g", 0, 0, 4, nil)
		want("g", 0, 4)
		want("g", 1, 0)
		want("h", 0, 0)
		set("h", 1, 0, 2, nil)
		want("h", 1, 2)
		set("", 0, 0, 1, work.ErrInvalid)
		set("g", 0, -1, 1, work.ErrInvalid)
		set("g", 0, 4, -1, work.ErrInvalid)
	})
}

func TestCheckpointIsRacedByOneWinner(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		for _, old := range []int64{0, 1, 2} {
			var won atomic.Int64
			var racers sync.WaitGroup
			for range 4 {
				s := newStore(pool())
				racers.Go(func() {
					err := s.SetCheckpoint(t.Context(), "g", 0, old, old+1)
					if err == nil {
						won.Add(1)
					} else if !errors.Is(err, work.ErrStale) {
						t.Error(err)
					}
				})
			}
			racers.Wait()
			if won.Load() != 1 {
				t.Fatalf("%d moved the checkpoint from %d", won.Load(), old)
			}
		}
	})
}
