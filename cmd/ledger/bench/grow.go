package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// growSizes are the sizes of the log, in events, at which grow measures, as far as --events goes; and there.
func growSizes(upTo int64) []int64 {
	sizes := []int64{1_000, 100_000, 1_000_000, 10_000_000}
	sizes = slices.DeleteFunc(sizes, func(n int64) bool { return n >= upTo })
	return append(sizes, upTo)
}

// growParts is in how many parts the last slice before a size is measured: the rate is their median.
const growParts = 3

// growSlice is how many events before a size are measured, at most.
const growSlice = 300_000

// runGrow measures whether the ledger stays as fast, as quick to start and as small while the log grows.
func runGrow(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if b != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if err := w.fundHot(ctx, b); err != nil {
		return nil, err
	}
	for _, size := range growSizes(w.opts.growEvents()) {
		if size <= w.tally.records.Load() {
			continue
		}
		w.tell("growing to %s events", plainInt(size))
		l, err := w.growTo(ctx, b, size)
		if err != nil {
			return nil, err
		}
		w.tell("restarting at %s events", plainInt(size))
		err = b.Close()
		b = nil
		if err != nil {
			return nil, err
		}
		atRest() // what the first process held is not there when another one starts
		begun := time.Now()
		if b, err = w.open(ctx); err != nil {
			return nil, err
		}
		p, err := newPayer(ctx, b)
		if err != nil {
			return nil, err
		}
		if _, err := w.payOne(ctx, b, p); err != nil {
			return nil, err
		}
		l.RestartMS = round(milliseconds(time.Since(begun)), 1)
		rest := atRest()
		l.ResidentMiB, l.HeapMiB = round(rest.resident, 1), round(rest.heap, 1)
		for _, earlier := range lines {
			ratio := round(l.RatePerSecond/earlier.RatePerSecond, 2)
			switch earlier.Events {
			case 100_000:
				l.RateTo100k = ratio
			case lines[0].Events:
				l.RateToFirst = ratio
			}
		}
		lines = append(lines, l)
	}
	if len(lines) > 0 {
		lines[0].Note = fmt.Sprintf("the last %s events before each size at most; restart: stores open, first payout of the hot wallet answered", plainInt(growSlice))
	}
	return lines, nil
}

// growTo brings the log to a size, and measures the last slice on the way.
func (w *world) growTo(ctx context.Context, b *Book, size int64) (Line, error) {
	payers, err := newPayers(ctx, b, pipelines)
	if err != nil {
		return Line{}, err
	}
	pay := func(ctx context.Context, caller int, n int) error {
		_, err := w.payMany(ctx, b, payers[caller], n)
		return err
	}
	missing := size - w.tally.records.Load()
	slice := min(missing, max(size/2, 1), growSlice)
	if missing > slice {
		if _, err := w.driveTo(ctx, missing-slice, pay, caughtUp(b)); err != nil {
			return Line{}, err
		}
	}
	peak := watchMemory()
	defer peak.stop()
	var parts []sample
	for part := range int64(growParts) {
		n := slice / growParts
		if part == growParts-1 {
			n = size - w.tally.records.Load()
		}
		if n <= 0 {
			continue
		}
		s, err := w.driveTo(ctx, n, pay, caughtUp(b))
		if err != nil {
			return Line{}, err
		}
		parts = append(parts, s)
	}
	l := line(fmt.Sprintf("at_%d", size), plainInt(size)+" events", "payouts", parts)
	l.Events, l.ResidentPeakMiB = size, round(peak.stop(), 1)
	return l, nil
}

// memoryWatch samples the resident memory.
type memoryWatch struct {
	done    chan struct{}
	once    sync.Once
	running sync.WaitGroup
	most    float64
}

// watchMemory samples until stop.
func watchMemory() *memoryWatch {
	m := &memoryWatch{done: make(chan struct{})}
	m.running.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			m.most = max(m.most, resident())
			select {
			case <-tick.C:
			case <-m.done:
				return
			}
		}
	})
	return m
}

// stop returns the most that was held, in MiB. It may be called again.
func (m *memoryWatch) stop() float64 {
	m.once.Do(func() { close(m.done) })
	m.running.Wait()
	return m.most
}
