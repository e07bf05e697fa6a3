package bus

import (
	"context"
	"sync"

	"github.com/khata-ledger/khata/eventstore"
)

// window holds the records of one partition that one consumer was given and has not acknowledged, up to so many places. Records
// of one subject go out one after the other, in the log's order; those of different subjects go side by side.
//
// The checkpoint stands before the lowest record that is not acknowledged. So a record that stays unacknowledged holds its
// place, and those behind it theirs: when all places are taken, nothing more is read until it is acknowledged.
type window struct {
	ctx     context.Context // of the deliveries
	cancel  context.CancelFunc
	deliver func(ctx context.Context, record *eventstore.Record) bool // true once it is acknowledged; false when ctx ended before
	running sync.WaitGroup                                            // subjects
	room    chan struct{}                                             // of capacity one: places have become free

	mu       sync.Mutex
	size     int
	places   []*place            // in the log's order; the first one is not acknowledged
	subjects map[string][]*place // not yet acknowledged ones; there while a goroutine gives them out
}

// place is one record in a window.
type place struct {
	record *eventstore.Record
	acked  bool
}

func newWindow(ctx context.Context, size int, deliver func(context.Context, *eventstore.Record) bool) *window {
	w := &window{deliver: deliver, room: make(chan struct{}, 1), size: size, subjects: map[string][]*place{}}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// add takes the next record in; false when there is no place for it.
func (w *window) add(record *eventstore.Record) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.places) == w.size {
		return false
	}
	p := &place{record: record}
	w.places = append(w.places, p)
	queue, running := w.subjects[record.Subject]
	w.subjects[record.Subject] = append(queue, p)
	if !running {
		w.running.Go(func() { w.run(record.Subject, p) })
	}
	return true
}

// run gives out the records of a subject, from its first one on, until there are none or the window is closed.
func (w *window) run(subject string, p *place) {
	for p != nil && w.deliver(w.ctx, p.record) {
		p = w.acknowledge(subject, p)
	}
}

// acknowledge takes note of an acknowledgement, and returns the next place of the subject; nil when there is none.
func (w *window) acknowledge(subject string, p *place) *place {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.acked = true
	free := 0
	for free < len(w.places) && w.places[free].acked {
		w.places[free] = nil
		free++
	}
	if w.places = w.places[free:]; free > 0 {
		select {
		case w.room <- struct{}{}:
		default: // it is going to look anyway
		}
	}
	queue := w.subjects[subject][1:]
	if len(queue) == 0 {
		delete(w.subjects, subject)
		return nil
	}
	w.subjects[subject] = queue
	return queue[0]
}

// lowest is the position of the first record that is not acknowledged; false when there is none.
func (w *window) lowest() (seq int64, held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.places) == 0 {
		return 0, false
	}
	return w.places[0].record.Seq, true
}

// close ends all deliveries, and waits for that. What was acknowledged counts.
func (w *window) close() {
	w.cancel()
	w.running.Wait()
}
