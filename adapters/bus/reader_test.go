package bus

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// counted ends itself when it is asked too often.
type counted struct {
	context.Context
	asked atomic.Int64
	end   context.CancelFunc
}

func (c *counted) Done() <-chan struct{} {
	if c.asked.Add(1) > 1000 {
		c.end()
	}
	return c.Context.Done()
}

// TestFullWindowWaits has another reader of the group write the checkpoint for all that this one has read, while this one's window is full of
// records that are not acknowledged: it waits for a place, and does not look for one over and over.
func TestFullWindowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner, end := context.WithCancel(t.Context())
		defer end()
		ctx := &counted{Context: inner, end: end}
		free := make(chan struct{})
		r := &reader{bus: &Bus{options: Options{Window: 1}.withDefaults()}, topic: TopicAll}
		r.window = newWindow(inner, 1, func(ctx context.Context, _ *eventstore.Record) bool {
			select {
			case <-free:
				return true
			case <-ctx.Done():
				return false
			}
		})
		defer r.window.close()
		passed := make(chan error, 1)
		go func() {
			for seq := range int64(2) {
				if _, err := r.pass(ctx, &eventstore.Record{Seq: seq + 1, Type: "payout.initiated", Subject: "a payout"}); err != nil {
					passed <- err
					return
				}
				if seq == 0 {
					r.stored, r.since = r.read, time.Time{} // as flushIfDue does, when the other's checkpoint stands where we have read to
				}
			}
			passed <- nil
		}()
		synctest.Wait()
		if n := ctx.asked.Load(); n > 10 {
			t.Fatalf("the reader looked %d times for a place in a window that is full", n)
		}
		close(free)
		if err := <-passed; err != nil || r.read != 2 {
			t.Fatalf("passed up to %d: %v", r.read, err)
		}
	})
}
