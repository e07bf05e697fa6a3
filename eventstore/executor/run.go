package executor

import (
	"errors"
	"runtime"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// run is the deciding goroutine. At most one batch is in flight. Behind it one is decided of what was queued meanwhile; when the
// flight has landed, that one takes in what has arrived since, and leaves.
func (x *Executor) run() {
	defer close(x.stopped)
	var flight, next *batch
	readable := true // the store, since the last landing
	for {
		if readable && (flight == nil || next == nil) {
			next, readable = x.extend(next)
		}
		switch {
		case flight != nil:
			// Not while the store cannot be read: what is loaded in vain must not push out of memory what the flight has changed.
			var wake <-chan struct{}
			if readable && next == nil {
				wake = x.wake
			}
			select {
			case <-wake:
			case <-flight.done:
				next = x.settle(flight, next)
				flight, readable = nil, true
			}
		case next != nil:
			flight, next = x.launch(next), nil
		default:
			if !readable {
				x.known = false // the log may have gone back: then what memory stands on is not there any more
			}
			readable = true
			if !x.await() {
				x.keepRest()
				return
			}
		}
	}
}

// extend decides what is queued, as far as it fits the batch. It is false when the store could not be read.
func (x *Executor) extend(b *batch) (_ *batch, readable bool) {
	room := x.opts.BatchMax
	if b != nil {
		room -= b.commands
	}
	requests := x.take(room)
	if len(requests) == 0 {
		return b, true
	}
	return x.decide(b, requests)
}

// take returns the requests to decide next, of so many commands at most.
func (x *Executor) take(room int) []*request {
	x.mu.Lock()
	defer x.mu.Unlock()
	n, commands := 0, 0
	for n < len(x.queue) && commands+len(x.queue[n].commands) <= room {
		commands += len(x.queue[n].commands)
		n++
	}
	if n == 0 {
		return nil
	}
	requests := slices.Clone(x.queue[:n])
	x.queue = slices.Delete(x.queue, 0, n)
	x.queued -= commands
	return requests
}

// await waits until something is queued. It is false when nothing will be.
func (x *Executor) await() bool {
	x.mu.Lock()
	queued, closed := x.queued > 0, x.closed
	x.mu.Unlock()
	if queued || closed {
		return queued
	}
	<-x.wake
	return true
}

// settle takes note of a flight's end. It returns the batch decided behind it: nil when that has to be decided again.
func (x *Executor) settle(flight, next *batch) *batch {
	if flight.err == nil {
		x.land(flight)
		x.keep(flight.due)
		// Who was answered may ask again before the next batch leaves: with 64 callers of one, a third more a second.
		runtime.Gosched()
		return next
	}
	var behind []*request
	if next != nil {
		// What it was decided upon has not come true. Forget the newest first: the head goes back with it.
		x.forget(next)
		behind = next.requests
	}
	x.putBack(append(x.land(flight), behind...))
	return nil
}

// putBack queues requests that have to be decided again, in front of all others: together they may be more than one batch.
func (x *Executor) putBack(requests []*request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.queue = slices.Insert(x.queue, 0, requests...)
	for _, r := range requests {
		x.queued += len(r.commands)
	}
}

// land takes note of a batch whose commit has ended. It returns the requests that must be decided again.
func (x *Executor) land(b *batch) (again []*request) {
	for _, k := range b.keys {
		delete(x.flying, k)
	}
	if b.err == nil {
		x.landed = b.head.Seq
		return nil
	}
	x.forget(b)
	if !errors.Is(b.err, eventstore.ErrConflict) && !errors.Is(b.err, eventstore.ErrDeposed) {
		return nil // answered with the error by the committing goroutine
	}
	x.known = false
	for _, r := range b.requests {
		r.tries++
		x.starved = x.starved || r.tries == x.opts.Retries/2
		if r.tries > x.opts.Retries {
			clear(r.results)
			fill(r.errs, ErrContended)
			close(r.done)
			continue
		}
		again = append(again, r)
	}
	return again
}

// forget undoes what a batch changed in memory, or drops it, and the head that it stood for.
func (x *Executor) forget(b *batch) {
	for _, k := range b.keys {
		delete(x.flying, k)
	}
	for _, was := range b.undo {
		if was.state == nil {
			x.states.drop(was.of.key)
			continue
		}
		was.of.state, was.of.version, was.of.seq = was.state, was.version, was.seq
	}
	x.head = b.base
}
