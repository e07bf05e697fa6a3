package executor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// switched is a log whose server is replaced by another one, as a failover or a restore does.
type switched struct{ at atomic.Pointer[memory.Store] }

func (s *switched) Head(ctx context.Context, p int) (eventstore.Head, error) {
	return s.at.Load().Head(ctx, p)
}

func (s *switched) Append(ctx context.Context, h eventstore.Head, r []eventstore.Record) error {
	return s.at.Load().Append(ctx, h, r)
}

func (s *switched) Committed(ctx context.Context, r []eventstore.Record) (bool, error) {
	return s.at.Load().Committed(ctx, r)
}

func (s *switched) Read(ctx context.Context, p int, after int64, limit int) ([]eventstore.Record, error) {
	return s.at.Load().Read(ctx, p, after, limit)
}

func (s *switched) ReadStream(ctx context.Context, p int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	return s.at.Load().ReadStream(ctx, p, stream, after, limit)
}

func (s *switched) ReadSubjects(ctx context.Context, p int, subjects []string) ([]eventstore.Record, error) {
	return s.at.Load().ReadSubjects(ctx, p, subjects)
}

func (s *switched) Lookup(ctx context.Context, p int, upTo int64, keys []string) (map[string]int64, error) {
	return s.at.Load().Lookup(ctx, p, upTo, keys)
}

func (s *switched) Claim(ctx context.Context, p int) (eventstore.Head, error) {
	return s.at.Load().Claim(ctx, p)
}

func (s *switched) Snapshot(ctx context.Context, p int, stream string) (eventstore.Snapshot, bool, error) {
	return s.at.Load().Snapshot(ctx, p, stream)
}

func (s *switched) KeepSnapshot(ctx context.Context, kept eventstore.Snapshot) error {
	return s.at.Load().KeepSnapshot(ctx, kept)
}

// copyOf is a store with the first n records of another one.
func copyOf(t *testing.T, from *memory.Store, n int) *memory.Store {
	t.Helper()
	info, err := from.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := memory.New(1)
	if err := to.Adopt(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	records, err := from.Read(t.Context(), 0, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	head, err := to.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	eventstore.Chain(head, records)
	if err := to.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestAnotherHistory: a standby that had not received the newest records takes over, and another process appends to it before
// this one does. What was in memory of the lost records must not be decided on, however long the new history is.
func TestAnotherHistory(t *testing.T) {
	for _, others := range []int{0, 2, 3, 9} { // records of the new history; three were lost
		t.Run(fmt.Sprintf("%d records instead", others), func(t *testing.T) {
			first := memory.New(1)
			log := &switched{}
			log.at.Store(first)
			x := start(t, log, executor.Options{})
			mustSubmit(t, x, command(move{account: "a", amount: 10}))
			for range 3 { // lost
				mustSubmit(t, x, command(move{account: "a", amount: 100}))
			}
			second := copyOf(t, first, 1)
			log.at.Store(second)
			y := start(t, log, executor.Options{})
			for range others {
				mustSubmit(t, y, command(move{account: "b", amount: 1}))
			}
			if _, err := x.Submit(t.Context(), command(move{account: "a", amount: -50})); !errors.Is(err, errPoor) {
				t.Errorf("50 of 10 were spent: %v", err)
			}
			mustSubmit(t, x, command(move{account: "a", amount: -10}))
			if balance, _ := balanceOf(t, second, "a"); balance != 0 {
				t.Errorf("balance %d", balance)
			}
		})
	}
}

// TestConflictsDoNotSwellTheBatch: commands that are decided again do not make a batch larger than one may be.
func TestConflictsDoNotSwellTheBatch(t *testing.T) {
	const most = 4
	log := newLog(t)
	var appends, largest atomic.Int64
	log.onAppend = func(records []eventstore.Record) (error, error) {
		largest.Store(max(largest.Load(), int64(len(records))))
		if appends.Add(1)%8 != 0 {
			return eventstore.ErrConflict, nil
		}
		return nil, nil
	}
	x := start(t, log, executor.Options{BatchMax: most, Retries: 1000})
	var callers sync.WaitGroup
	for range 64 {
		callers.Go(func() {
			if _, err := x.Submit(t.Context(), command(move{account: "a", amount: 1})); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if largest.Load() > most {
		t.Errorf("a batch of %d commands, the most is %d", largest.Load(), most)
	}
	if balance, _ := balanceOf(t, log, "a"); balance != 64 {
		t.Errorf("balance %d", balance)
	}
}

// newer is a log in which another version of the program has written what this one cannot read.
func newer(t *testing.T, log *faulty, stream, subject string) {
	t.Helper()
	head, err := log.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	records := []eventstore.Record{{
		Stream: stream, Version: 1, Subject: subject, Type: "renamed", Schema: 2, EventID: uuid.New(),
		EffectiveAt: time.Unix(1, 0), RecordedAt: time.Unix(1, 0), Data: []byte(`"ten"`), Meta: []byte("{}"),
	}}
	eventstore.Chain(head, records)
	if err := log.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
}

// TestUnreadableHistoryFailsItsOwnCommandsOnly: one wallet that cannot be read does not stop the partition.
func TestUnreadableHistoryFailsItsOwnCommandsOnly(t *testing.T) {
	log := newLog(t)
	newer(t, log, "odd", "p1")
	x := start(t, log, executor.Options{})
	known := func(m move) executor.Command {
		c := command(m)
		m.payment, m.known = "p1", true
		c.Body = m
		return c
	}
	for range 2 {
		_, errs := x.SubmitAll(t.Context(), []executor.Command{
			command(move{account: "a", amount: 1}),
			command(move{account: "odd", amount: 1}),
			known(move{account: "a", amount: 1}), // on a subject that cannot be read
			command(move{account: "a", amount: 1}),
		})
		if errs[0] != nil || errs[3] != nil {
			t.Errorf("a neighbour failed: %v, %v", errs[0], errs[3])
		}
		if !errors.Is(errs[1], executor.ErrStore) || !errors.Is(errs[2], executor.ErrStore) {
			t.Errorf("decided on what cannot be read: %v, %v", errs[1], errs[2])
		}
	}
	if balance, _ := balanceOf(t, log, "a"); balance != 4 {
		t.Errorf("balance %d", balance)
	}
}
