package gateway

import (
	"context"
	"errors"
	"sync"

	"github.com/khata-ledger/khata/domain/wallet"
)

// recent is a bounded map for what may be forgotten: when it is full, one of the entries that were not put lately goes.
type recent[V any] struct {
	mu      sync.Mutex
	most    int
	turn    int64
	entries map[string]recentEntry[V]
}

type recentEntry[V any] struct {
	value V
	turn  int64
}

func newRecent[V any](most int) *recent[V] {
	return &recent[V]{most: most, entries: map[string]recentEntry[V]{}}
}

func (r *recent[V]) get(key string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, there := r.entries[key]
	return e.value, there
}

func (r *recent[V]) put(key string, value V) {
	r.update(key, func(V, bool) (V, bool) { return value, true })
}

// update changes an entry in one step; change says whether there is to be one.
func (r *recent[V]) update(key string, change func(old V, there bool) (V, bool)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, there := r.entries[key]
	value, keep := change(e.value, there)
	if !keep {
		delete(r.entries, key)
		return
	}
	if !there && len(r.entries) >= r.most {
		r.forgetOne()
	}
	r.turn++
	r.entries[key] = recentEntry[V]{value, r.turn}
}

// looks is how many entries are compared for the one that goes.
const looks = 16

// forgetOne drops the oldest of a few entries. The caller holds mu.
func (r *recent[V]) forgetOne() {
	oldest, turn, n := "", int64(0), 0
	for key, e := range r.entries { // in no order
		if n == 0 || e.turn < turn {
			oldest, turn = key, e.turn
		}
		if n++; n == looks {
			break
		}
	}
	delete(r.entries, oldest)
}

// flights lets those who want the same order at the same time share one's work.
type flights struct {
	mu      sync.Mutex
	running map[string]*flight
}

type flight struct {
	done chan struct{} // closed when p and err stand
	p    wallet.Payment
	err  error
}

func newFlights() *flights { return &flights{running: map[string]*flight{}} }

// do runs f, or waits for whoever runs it for the same key already. That he was called off is nobody else's end.
func (f *flights) do(ctx context.Context, key string, work func() (wallet.Payment, error)) (wallet.Payment, error) {
	for {
		f.mu.Lock()
		other, taken := f.running[key]
		if !taken {
			mine := &flight{done: make(chan struct{})}
			f.running[key] = mine
			f.mu.Unlock()
			return f.run(key, mine, work)
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return wallet.Payment{}, ctx.Err()
		case <-other.done:
		}
		if !errors.Is(other.err, context.Canceled) && !errors.Is(other.err, context.DeadlineExceeded) {
			return other.p, other.err
		}
		if ctx.Err() != nil {
			return wallet.Payment{}, ctx.Err()
		}
	}
}

func (f *flights) run(key string, mine *flight, work func() (wallet.Payment, error)) (wallet.Payment, error) {
	mine.err = errors.New("the order was not made: its maker panicked") // unless it comes back
	defer func() {
		f.mu.Lock()
		delete(f.running, key)
		f.mu.Unlock()
		close(mine.done)
	}()
	mine.p, mine.err = work()
	return mine.p, mine.err
}

// turns bounds how much is done at a time under each key.
type turns struct {
	most int

	mu    sync.Mutex
	taken map[string]int
}

func newTurns(most int) *turns { return &turns{most: most, taken: map[string]int{}} }

// take takes a turn, which done gives back; free is false when all are taken.
func (t *turns) take(key string) (done func(), free bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken[key] >= t.most {
		return nil, false
	}
	t.taken[key]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.taken[key]--; t.taken[key] == 0 {
			delete(t.taken, key)
		}
	}, true
}
