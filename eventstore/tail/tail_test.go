package tail_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/tail"
)

// heads is a log of which only the heads matter.
type heads struct {
	mu   sync.Mutex
	seqs []int64
	away error
}

func (h *heads) Head(_ context.Context, p int) (eventstore.Head, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return eventstore.Head{Partition: p, Seq: h.seqs[p]}, h.away
}

func (h *heads) set(p int, seq int64, away error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seqs[p], h.away = seq, away
}

func TestWaitersAreToldOfEveryGrowth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &heads{seqs: make([]int64, 2)}
		tl := tail.New(log, 2, time.Second, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { tl.Run(ctx) })
		defer running.Wait()
		defer stop()

		type result struct {
			seq int64
			err error
		}
		wait := func(p int, after int64) <-chan result {
			c := make(chan result, 1)
			go func() {
				seq, err := tl.Wait(ctx, p, after)
				c <- result{seq, err}
			}()
			synctest.Wait()
			return c
		}

		here := wait(0, 0)
		other := wait(1, 0)
		start := time.Now()
		tl.Advance(eventstore.Head{Partition: 0, Seq: 3}) // what this process appends is told at once
		if r := <-here; r.seq != 3 || r.err != nil || time.Since(start) != 0 {
			t.Errorf("told %+v after %v", r, time.Since(start))
		}
		tl.Advance(eventstore.Head{Partition: 0, Seq: 2}) // late news change nothing
		if seqs, _ := tl.Seqs(); seqs[0] != 3 {
			t.Errorf("the tail went back to %d", seqs[0])
		}

		log.set(1, 7, errors.New("away")) // what others append is found by asking, when the store answers again
		time.Sleep(5 * time.Second)
		select {
		case r := <-other:
			t.Fatalf("told %+v of a partition that could not be read", r)
		default:
		}
		log.set(1, 7, nil)
		if r := <-other; r.seq != 7 || r.err != nil {
			t.Errorf("told %+v", r)
		}

		gone := wait(0, 3)
		stop()
		if r := <-gone; !errors.Is(r.err, context.Canceled) {
			t.Errorf("a waiter whose context ended was told %+v", r)
		}
	})
}

func TestSeqsTellsOfTheNextGrowth(t *testing.T) {
	tl := tail.New(&heads{seqs: make([]int64, 1)}, 1, time.Hour, slog.New(slog.DiscardHandler))
	_, change := tl.Seqs()
	tl.Advance(eventstore.Head{Seq: 1})
	select {
	case <-change:
	default:
		t.Error("the channel is open although the log has grown")
	}
	if seqs, next := tl.Seqs(); seqs[0] != 1 || next == change {
		t.Errorf("positions %v, or the old channel again", seqs)
	}
}
