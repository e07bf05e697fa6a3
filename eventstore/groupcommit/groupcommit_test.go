package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/eventstore/groupcommit"
)

// table notes what is written, each write at a time.
type table struct {
	mu     sync.Mutex
	writes [][]int
	took   time.Duration // of each write
	refuse int           // an item that no write takes; 0: none
}

var errRefused = errors.New("refused")

func (b *table) write(ctx context.Context, items []int) error {
	select {
	case <-time.After(b.took):
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != 0 && slices.Contains(items, b.refuse) {
		return errRefused
	}
	b.writes = append(b.writes, slices.Clone(items))
	return nil
}

func TestWhoComesMeanwhileSharesTheNextWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &table{took: time.Second}
		p := groupcommit.New(3, time.Minute, b.write)
		var running sync.WaitGroup
		for i := 1; i <= 6; i++ {
			running.Go(func() {
				if err := p.Do(t.Context(), i); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		running.Wait()
		if got := fmt.Sprint(b.writes); got != "[[1] [2 3 4] [5 6]]" {
			t.Errorf("written %s", got)
		}
	})
}

func TestOneThatCannotBeWrittenFailsNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &table{took: time.Second, refuse: 3}
		p := groupcommit.New(10, time.Minute, b.write)
		errs := make([]error, 5)
		var running sync.WaitGroup
		for i := 1; i <= 4; i++ {
			running.Go(func() { errs[i] = p.Do(t.Context(), i) })
			synctest.Wait()
		}
		running.Wait()
		for i := 1; i <= 4; i++ {
			if want := map[bool]error{true: errRefused}[i == 3]; !errors.Is(errs[i], want) {
				t.Errorf("item %d: %v", i, errs[i])
			}
		}
		if got := fmt.Sprint(b.writes); got != "[[1] [2] [4]]" {
			t.Errorf("written %s", got)
		}
	})
}

func TestACallerThatLeavesIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &table{took: time.Second}
		p := groupcommit.New(10, time.Minute, b.write)
		var running sync.WaitGroup
		running.Go(func() {
			if err := p.Do(t.Context(), 1); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		ctx, leave := context.WithCancel(t.Context())
		running.Go(func() {
			if err := p.Do(ctx, 2); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller that left was told %v", err)
			}
		})
		synctest.Wait()
		leave()
		running.Wait()
		if err := p.Do(ctx, 3); !errors.Is(err, context.Canceled) {
			t.Errorf("a caller whose time was over was told %v", err)
		}
		if got := fmt.Sprint(b.writes); got != "[[1]]" {
			t.Errorf("written %s", got)
		}
	})
}

func TestAWriteIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &table{took: time.Hour}
		p := groupcommit.New(10, time.Minute, b.write)
		begun := time.Now()
		if err := p.Do(t.Context(), 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("told %v after %s", err, time.Since(begun))
		}
		b.took = 0
		if err := p.Do(t.Context(), 2); err != nil {
			t.Error(err)
		}
	})
}
