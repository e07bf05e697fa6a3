package executor_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// distant is a log that takes its time: an append holds the head's lock while it writes, and others wait for it, as in a
// database.
type distant struct {
	*memory.Store
	lock chan struct{} // capacity 1
}

const (
	reading = time.Millisecond
	writing = 2 * time.Millisecond
)

func (d *distant) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	time.Sleep(reading)
	return d.Store.Head(ctx, partition)
}

func (d *distant) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	time.Sleep(reading)
	return d.Store.Read(ctx, partition, after, limit)
}

func (d *distant) Claim(ctx context.Context, partition int) (eventstore.Head, error) {
	d.lock <- struct{}{}
	defer func() { <-d.lock }()
	time.Sleep(writing)
	return d.Store.Claim(ctx, partition)
}

func (d *distant) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	d.lock <- struct{}{}
	defer func() { <-d.lock }()
	time.Sleep(writing)
	return d.Store.Append(ctx, head, records)
}

// TestTwoProcessesTakeTurns: two executors that are never idle share a partition. Who appends fast, again and again, must leave the
// other one the time to read what is new and to append: else its callers are told that there is too much contention.
func TestTwoProcessesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &distant{Store: memory.New(1), lock: make(chan struct{}, 1)}
		var callers sync.WaitGroup
		for range 2 {
			x := start(t, log, executor.Options{})
			for range 8 {
				callers.Go(func() {
					for range 100 {
						if _, err := x.Submit(t.Context(), command(move{account: "hot", amount: 1})); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
		}
		callers.Wait()
		if balance, _ := balanceOf(t, log, "hot"); balance != 1600 {
			t.Errorf("balance %d", balance)
		}
	})
}
