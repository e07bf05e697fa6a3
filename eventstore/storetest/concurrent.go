package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Sizes of the tests with many writers.
const (
	writers         = 6
	appendsPerWrite = 15
)

// appendRetrying appends at whatever head there is, until no one is faster.
func appendRetrying(ctx context.Context, store eventstore.Store, records []eventstore.Record) error {
	for {
		at, err := store.Head(ctx, 0)
		if err != nil {
			return err
		}
		eventstore.Chain(at, records)
		if err := store.Append(ctx, at, records); !errors.Is(err, eventstore.ErrConflict) {
			return err
		}
	}
}

// write starts the writers, each on the handle that it is given, and returns the ids that each of them writes, in its
// order, when wait returns.
func write(t *testing.T, handle func(writer int) eventstore.Store) (ids [][]uuid.UUID, wait func()) {
	ids = make([][]uuid.UUID, writers)
	errs := make([]error, writers)
	var group sync.WaitGroup
	for w := range writers {
		store := handle(w)
		group.Go(func() {
			version := int64(1)
			for i := range appendsPerWrite {
				batch := series(fmt.Sprintf("writer-%d", w), version, 1+i%3)
				version += int64(len(batch))
				if errs[w] = appendRetrying(t.Context(), store, batch); errs[w] != nil {
					return
				}
				for i := range batch {
					ids[w] = append(ids[w], batch[i].EventID)
				}
			}
		})
	}
	return ids, func() {
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
}

// total is how many records the writers write.
func total() int64 {
	n := int64(0)
	for i := range appendsPerWrite {
		n += int64(1 + i%3)
	}
	return n * writers
}

// concurrentAppenders: none is lost, none comes twice, and each writer's records keep their order.
func concurrentAppenders(t *testing.T, backend Backend) {
	location := backend.New(t, 1)
	store, second := open(t, backend, location), open(t, backend, location)
	ids, wait := write(t, func(w int) eventstore.Store { return []eventstore.Store{store, second}[w%2] })
	wait()
	records := mustAll(t, store)
	if int64(len(records)) != total() {
		t.Fatalf("%d records, want %d", len(records), total())
	}
	for i := range records {
		var w int
		if _, err := fmt.Sscanf(records[i].Stream, "writer-%d", &w); err != nil {
			t.Fatal(err)
		}
		if len(ids[w]) == 0 || ids[w][0] != records[i].EventID {
			t.Fatalf("record %d is out of its writer's order", i+1)
		}
		ids[w] = ids[w][1:]
	}
}

// tailing: a reader that follows by position while others commit sees every record, once, in order, and never one that is
// ahead of the head.
func tailing(t *testing.T, backend Backend) {
	location := backend.New(t, 1)
	store, second := open(t, backend, location), open(t, backend, location)
	_, wait := write(t, func(w int) eventstore.Store { return []eventstore.Store{store, second}[w%2] })
	readers := []eventstore.Store{store, second, open(t, backend, location)}
	errs := make([]error, len(readers))
	var group sync.WaitGroup
	for i, reader := range readers {
		group.Go(func() { errs[i] = tail(t.Context(), reader, 3+4*i) })
	}
	wait()
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func tail(ctx context.Context, store eventstore.Store, page int) error {
	info, err := store.Info(ctx)
	if err != nil {
		return err
	}
	at := eventstore.Head{Hash: eventstore.Genesis(info.LedgerID, 0)}
	for at.Seq < total() {
		before, err := store.Head(ctx, 0)
		if err != nil {
			return err
		}
		records, err := store.Read(ctx, 0, at.Seq, page)
		if err != nil {
			return err
		}
		if len(records) < page && at.Seq+int64(len(records)) < before.Seq {
			return fmt.Errorf("behind %d: %d records, while the head was at %d", at.Seq, len(records), before.Seq)
		}
		if at, err = eventstore.Follow(at, records); err != nil {
			return err
		}
		if len(records) == 0 {
			time.Sleep(time.Millisecond) // leaves the processor to the writers
		}
	}
	return nil
}

// twoHandles: what one process does, the other sees at once.
func twoHandles(t *testing.T, backend Backend) {
	location := backend.New(t, 1)
	server, command := open(t, backend, location), open(t, backend, location)
	stale := put(t, server, record("s", 1))
	wrote := record("s", 2)
	wrote.Keys = []string{"order:1"}
	put(t, command, wrote)
	if got := head(t, server, 0); got.Seq != 2 {
		t.Fatalf("the head is at %d", got.Seq)
	}
	records, err := server.Read(t.Context(), 0, stale.Seq, 10)
	if err != nil || len(records) != 1 || records[0].EventID != wrote.EventID {
		t.Fatalf("%d records, %v", len(records), err)
	}
	taken, err := server.Lookup(t.Context(), 0, math.MaxInt64, wrote.Keys)
	if err != nil || taken["order:1"] != 2 {
		t.Fatalf("%v, %v", taken, err)
	}
	lost := series("s", 2, 1)
	stale.Epoch = head(t, server, 0).Epoch
	eventstore.Chain(stale, lost)
	if err := server.Append(t.Context(), stale, lost); !errors.Is(err, eventstore.ErrConflict) {
		t.Fatalf("the server appends behind an old head: %v", err)
	}
	before := head(t, server, 0)
	if _, err := command.Claim(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	eventstore.Chain(before, lost)
	if err := server.Append(t.Context(), before, lost); !errors.Is(err, eventstore.ErrDeposed) {
		t.Fatalf("the server appends after it was deposed: %v", err)
	}
	mustAll(t, server)
}
