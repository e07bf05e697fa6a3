package work_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/work"
)

func TestSpendOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		for _, c := range []struct {
			id    string
			first bool
		}{{"a", true}, {"a", false}, {"b", true}, {"A", true}, {"a", false}} {
			if first, err := s.SpendOnce(ctx, c.id, start.Add(time.Hour)); err != nil || first != c.first {
				t.Errorf("%s: %t, %v, want %t", c.id, first, err, c.first)
			}
		}
		for _, wrong := range []string{"", strings.Repeat("x", work.MaxNameBytes+1)} {
			if _, err := s.SpendOnce(ctx, wrong, start); !errors.Is(err, work.ErrInvalid) {
				t.Errorf("an id of %d bytes: %v", len(wrong), err)
			}
		}
		if _, err := s.SpendOnce(ctx, "c", time.Time{}); !errors.Is(err, work.ErrInvalid) {
			t.Errorf("without a time: %v", err)
		}
	})
}

// Of many who spend the same thing at once, in several processes, one is the first.
func TestSpendingRace(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		var firsts atomic.Int64
		var racers sync.WaitGroup
		for range 4 {
			s := newStore(pool())
			for range 4 {
				racers.Go(func() {
					first, err := s.SpendOnce(t.Context(), "a", start)
					if err != nil {
						t.Error(err)
					}
					if first {
						firsts.Add(1)
					}
				})
			}
		}
		racers.Wait()
		if n := firsts.Load(); n != 1 {
			t.Errorf("%d were the first", n)
		}
	})
}

func TestPruneSpent(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		db := pool()
		s, ctx := newStore(db), t.Context()
		// More than one round of pruning.
		_, err := db.ExecContext(ctx, `INSERT INTO spent (id, until)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)
			SELECT 'old ' || CAST(i AS TEXT), $1 FROM n`, start.UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.SpendOnce(ctx, "a", start.Add(time.Microsecond)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int64{5001, 0} {
			if n, err := s.PruneSpent(ctx, start); err != nil || n != want {
				t.Fatalf("%d, %v, want %d", n, err, want)
			}
		}
		if first, err := s.SpendOnce(ctx, "a", start.Add(time.Hour)); err != nil || first {
			t.Errorf("what must still be remembered is forgotten: %t, %v", first, err)
		}
	})
}
