package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// Reach waits until the views contain everything that was in the log when it was called. ErrBehind when they do not within
// Options.ReachWithin. Without Run it does the work itself, as long as ctx lets it.
func (v *Views) Reach(ctx context.Context) error {
	heads, err := v.heads.read(ctx)
	if err != nil {
		return fmt.Errorf("read the heads of the log: %w", err)
	}
	seqs := make([]int64, len(heads))
	for p, head := range heads {
		v.tail.Advance(head)
		seqs[p] = head.Seq
	}
	for {
		v.mu.Lock()
		running, change := v.running, v.change
		v.mu.Unlock()
		if running {
			return v.await(ctx, seqs)
		}
		if at, err := v.refresh(ctx); err != nil || v.serves(ctx, &at, seqs) {
			return err // a server beside this process has done it
		}
		select {
		case v.working <- struct{}{}:
			defer v.release()
			return v.catchUp(ctx, seqs)
		case <-change: // Run has begun, or another read has moved the views on
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// serves tells whether the views can be read as they are.
func (v *Views) serves(ctx context.Context, at *standing, seqs []int64) bool {
	return at.ready() && at.reaches(seqs) && v.believe(ctx, at) == nil
}

// await waits for Run, or another process, to bring the views there.
func (v *Views) await(ctx context.Context, seqs []int64) error {
	if reached, _ := v.reached(seqs); reached {
		return nil
	}
	defer v.wait()()
	late := time.NewTimer(v.opts.ReachWithin)
	defer late.Stop()
	for {
		reached, change := v.reached(seqs)
		if reached {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return fmt.Errorf("%w: %s", ErrBehind, v.Standing())
		}
	}
}

// reached tells whether the views that Run keeps can be read up to there, and returns a channel that is closed when that may have changed. Those of a log
// of which an older copy was restored are further than any read asks for, and tell what is not in it.
func (v *Views) reached(seqs []int64) (bool, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.held && v.now.ready() && v.now.reaches(seqs), v.change
}

// catchUp brings the views there itself. The caller has acquired the right to.
func (v *Views) catchUp(ctx context.Context, seqs []int64) (err error) {
	if err := v.complete(ctx); err != nil {
		return err
	}
	w, err := openWriter(ctx, v.db, v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for p, seq := range seqs {
		for {
			at, _ := v.standing()
			if at.marks != nil && at.marks[p].seq >= seq {
				break
			}
			moved, err := v.step(ctx, w, p)
			if err != nil && !errors.Is(err, errFenced) {
				return err
			}
			if err == nil && !moved {
				return fmt.Errorf("record %d:%d: %w", p, seq, eventstore.ErrNotFound)
			}
		}
	}
	return nil
}

// complete prepares the views and builds what does not serve, or waits for another process that does.
func (v *Views) complete(ctx context.Context) error {
	for {
		if err := v.prepare(ctx); err != nil {
			return err
		}
		at, _ := v.standing()
		outdated := at.outdated()
		if len(outdated) == 0 {
			return nil
		}
		err := v.build(ctx, outdated, true, nil)
		switch {
		case errors.Is(err, errBuilding):
			if !pause(ctx, v.opts.Poll) {
				return ctx.Err()
			}
		case err != nil && !errors.Is(err, errUnbelieved):
			return err
		}
	}
}

// release gives back the right to bring the views up to date in this process.
func (v *Views) release() { <-v.working }

// Standing says where the views are, for people: the checkpoint of each partition, or that they are being built.
func (v *Views) Standing() string {
	at, _ := v.standing()
	if at.marks == nil || !at.ready() {
		return "the views are being built"
	}
	seqs, _ := v.tail.Seqs()
	s := "the views stand at"
	for p, m := range at.marks {
		s += fmt.Sprintf(" %s of %d", eventstore.Position{Partition: p, Seq: m.seq}, seqs[p])
	}
	return s
}

// Ready is nil while every projection serves, and no further behind the log than lag records; else ErrBehind.
func (v *Views) Ready(lag int64) error {
	at, _ := v.standing()
	if !at.ready() || v.Lag() > lag {
		return fmt.Errorf("%w: %s", ErrBehind, v.Standing())
	}
	return nil
}

// Lag is the number of records, as far as this process knows, that the views do not contain yet.
func (v *Views) Lag() int64 {
	at, _ := v.standing()
	seqs, _ := v.tail.Seqs()
	var lag int64
	for p, seq := range seqs {
		if p < len(at.marks) {
			seq -= at.marks[p].seq
		}
		lag += max(seq, 0)
	}
	return lag
}

// headReader reads the heads of the log for many callers at once: who comes while a reading is under way shares the next
// one, so that each gets heads that were read after it came.
type headReader struct {
	log        Log
	partitions int

	mu      sync.Mutex
	waiting *reading // not begun; nil: nobody waits
	busy    bool     // a reading is under way
}

type reading struct {
	done  chan struct{}
	heads []eventstore.Head
	err   error
}

func (h *headReader) read(ctx context.Context) ([]eventstore.Head, error) {
	h.mu.Lock()
	r := h.waiting
	if r == nil {
		r = &reading{done: make(chan struct{})}
		h.waiting = r
	}
	if !h.busy {
		h.busy = true
		go h.run(context.WithoutCancel(ctx)) // it ends by itself when nobody waits any more
	}
	h.mu.Unlock()
	select {
	case <-r.done:
		return r.heads, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// headsWithin bounds one reading of the heads: it serves several callers, so none of their contexts ends it.
const headsWithin = 10 * time.Second

func (h *headReader) run(ctx context.Context) {
	for {
		h.mu.Lock()
		r := h.waiting
		h.waiting = nil
		if r == nil {
			h.busy = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		h.fill(ctx, r)
	}
}

func (h *headReader) fill(ctx context.Context, r *reading) {
	defer close(r.done)
	ctx, cancel := context.WithTimeout(ctx, headsWithin)
	defer cancel()
	r.heads = make([]eventstore.Head, h.partitions)
	for p := range r.heads {
		if r.heads[p], r.err = h.log.Head(ctx, p); r.err != nil {
			return
		}
	}
}
