package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// elsewhere is how often a payment that somebody waits for is read again, in case another process changed it.
const elsewhere = 250 * time.Millisecond

// readWithin bounds one reading of a payment that somebody waits for: it outlasts the wait, so that there is an answer, but not
// a store that has stopped answering.
const readWithin = 10 * time.Second

// Await returns the payment as soon as until holds for it, or as it is when ctx ends (with ctx's error).
func (l *Ledger) Await(ctx context.Context, merchantID, id string, until func(wallet.Payment) bool) (wallet.Payment, error) {
	changed, stop := l.watches.add(id)
	defer stop()
	tick := time.NewTicker(elsewhere)
	defer tick.Stop()
	for {
		p, err := l.present(ctx, merchantID, id)
		if err != nil || until(p) {
			return p, err
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
}

// present reads the payment, also when ctx has ended.
func (l *Ledger) present(ctx context.Context, merchantID, id string) (wallet.Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin)
	defer cancel()
	return l.Payment(ctx, merchantID, id)
}

// committed is called by the executors, with what has become durable.
func (l *Ledger) committed(head eventstore.Head, records []eventstore.Record) {
	l.tail.Advance(head)
	l.watches.tell(records)
}

// watches are the callers that wait for a payment to change.
type watches struct {
	mu       sync.Mutex
	channels map[string]map[chan struct{}]bool // by subject
}

func newWatches() *watches {
	return &watches{channels: map[string]map[chan struct{}]bool{}}
}

func (w *watches) add(subject string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.channels[subject] == nil {
		w.channels[subject] = map[chan struct{}]bool{}
	}
	w.channels[subject][c] = true
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.channels[subject], c)
		if len(w.channels[subject]) == 0 {
			delete(w.channels, subject)
		}
	}
}

func (w *watches) tell(records []eventstore.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.channels) == 0 {
		return
	}
	for i := range records {
		for c := range w.channels[records[i].Subject] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}
