package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// How long Run waits after a failure: twice as long each time, up to the second.
const (
	backoffFirst = 100 * time.Millisecond
	backoffLast  = 2 * time.Second
)

// sweepEvery is how often tables that nothing uses any more are looked for.
const sweepEvery = 30 * time.Second

// Run keeps the views up to date until ctx ends. It builds what is missing or of an old version. Several processes may run on
// the same views; a second Run of the same Views waits for the first. The log or the views being away is logged once and
// waited out; Run returns an error only when a newer program has made the views (ErrNewer).
func (v *Views) Run(ctx context.Context) error {
	if !v.start(ctx) {
		return nil
	}
	defer v.stop()
	health := &health{logger: v.opts.Logger, failing: map[int]bool{}}
	wait := backoffFirst
	for {
		begun := time.Now()
		err := v.session(ctx, health)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrNewer):
			return err
		case errors.Is(err, errUnbelieved):
			continue
		}
		health.failed(everything, err)
		if errors.Is(err, ErrDamaged) {
			if err := v.markDamaged(ctx); err != nil {
				v.opts.Logger.Warn("the damaged views cannot be marked", "error", err)
			}
		}
		if time.Since(begun) > backoffLast {
			wait = backoffFirst
		}
		if !pause(ctx, wait) {
			return nil
		}
		wait = min(2*wait, backoffLast)
	}
}

// start waits for the right to bring the views up to date in this process, and tells waiting reads that Run does so now.
func (v *Views) start(ctx context.Context) bool {
	select {
	case v.working <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running, v.held = true, false
	v.set(v.now)
	return true
}

func (v *Views) stop() {
	v.mu.Lock()
	v.running = false
	v.set(v.now)
	v.mu.Unlock()
	v.release()
}

// session runs until something fails that concerns all partitions.
func (v *Views) session(ctx context.Context, health *health) error {
	if err := v.prepare(ctx); err != nil {
		return err
	}
	v.mu.Lock()
	v.held = true
	v.set(v.now)
	v.mu.Unlock()
	health.recovered(everything)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return v.watch(ctx) })
	group.Go(func() error { return v.renew(ctx) })
	for p := range v.info.Partitions {
		group.Go(func() error { return v.follow(ctx, p, health) })
	}
	return group.Wait()
}

// watch looks what other processes do to the views, and drops what nothing uses any more.
func (v *Views) watch(ctx context.Context) error {
	tick := time.NewTicker(v.opts.Poll)
	defer tick.Stop()
	var swept time.Time
	for {
		at, err := v.refresh(ctx)
		if err != nil {
			return err
		}
		if err := at.newer(); err != nil {
			return err
		}
		if now := time.Now(); now.Sub(swept) > sweepEvery {
			swept = now
			if err := v.sweep(ctx); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// renew builds the projections that do not serve or are of an old version.
func (v *Views) renew(ctx context.Context) error {
	for {
		at, change := v.standing()
		outdated := at.outdated()
		if len(outdated) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-change:
				continue
			}
		}
		err := v.build(ctx, outdated, true, nil)
		if errors.Is(err, errBuilding) {
			if !pause(ctx, apart(v.opts.Poll, v.info.Partitions)) {
				return ctx.Err()
			}
			_, err = v.refresh(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// follow applies the records of one partition as they come. It ends with ctx, or with errUnbelieved.
func (v *Views) follow(ctx context.Context, partition int, health *health) error {
	wait := backoffFirst
	for {
		err := v.followUntil(ctx, partition, func() { health.recovered(partition); wait = backoffFirst })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrDamaged) {
			return err
		}
		health.failed(partition, err)
		if !pause(ctx, apart(wait, partition)) {
			return ctx.Err()
		}
		wait = min(2*wait, backoffLast)
		at, err := v.refresh(ctx)
		if err == nil {
			err = v.believe(ctx, &at)
		}
		if errors.Is(err, errUnbelieved) {
			return err
		}
	}
}

// followUntil applies records until something fails. fine is called after each thing that worked.
func (v *Views) followUntil(ctx context.Context, partition int, fine func()) (err error) {
	w, err := openWriter(ctx, v.db, v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var begun time.Time // the newest batch
	for {
		seqs, grown := v.tail.Seqs()
		at, change := v.standing()
		if at.marks != nil && at.marks[partition].seq < seqs[partition] {
			if seqs[partition]-at.marks[partition].seq < int64(v.opts.Batch) && !v.gather(ctx, begun) {
				return ctx.Err()
			}
			begun = time.Now()
			moved, err := v.step(ctx, w, partition)
			switch {
			case errors.Is(err, errFenced): // another process is at it: follow, and look again when it has had its time
				if !pause(ctx, apart(v.opts.Poll/4, partition)) {
					return ctx.Err()
				}
			case err != nil:
				return err
			case !moved: // the log is shorter than it was
				if err := v.believe(ctx, &at); err != nil {
					return err
				}
				if !pause(ctx, apart(v.opts.Poll, partition)) {
					return ctx.Err()
				}
			}
			fine()
			continue
		}
		fine()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grown:
		case <-change:
		}
	}
}

// gatherFor is how long after the beginning of a batch the next one begins, under a steady load: a transaction costs as much
// as dozens of records. Without load, the first record that comes is applied at once.
const gatherFor = 50 * time.Millisecond

// gather waits for the rest of gatherFor, but not while a read waits for the views; false when ctx has ended.
func (v *Views) gather(ctx context.Context, begun time.Time) bool {
	rest := time.Until(begun.Add(gatherFor))
	if rest <= 0 {
		return true
	}
	over := time.NewTimer(rest)
	defer over.Stop()
	for {
		awaited, change := v.awaited()
		if awaited {
			return true
		}
		select {
		case <-over.C:
			return true
		case <-change:
		case <-ctx.Done():
			return false
		}
	}
}

// step applies one batch to what serves. moved is false at the end of the log. errFenced: another process did it, or has
// switched; how the views are has been read again.
func (v *Views) step(ctx context.Context, w *writer, partition int) (moved bool, err error) {
	at, _ := v.standing()
	if at.marks == nil {
		return false, fmt.Errorf("nothing serves: %w", errFenced)
	}
	from := at.marks[partition]
	b, err := v.read(ctx, partition, from, v.opts.Batch)
	if err != nil || len(b.facts) == 0 {
		return false, err
	}
	l := lane{epoch: at.epoch, partition: partition, targets: at.targets()}
	if err := w.advance(ctx, l, from, b); err != nil {
		if errors.Is(err, errFenced) {
			if _, err := v.refresh(ctx); err != nil {
				return false, err
			}
		}
		return false, err
	}
	v.moved(at.epoch, partition, b.to)
	return true, nil
}

// apart makes waits that begin together end one after the other, by who waits: the partitions, and behind them those who build. All of them
// read how the views are when they go on.
func apart(wait time.Duration, number int) time.Duration {
	return wait + time.Duration(number+1)*time.Millisecond
}

// pause waits; false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
