package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// keptAccount is how an account is kept.
type keptAccount struct{ Balance, Count int64 }

func (a *account) Fold() int { return 1 }

func (a *account) Snapshot() ([]byte, error) { return json.Marshal(keptAccount{a.balance, a.count}) }

func (a *account) Restore(b []byte) error {
	var k keptAccount
	err := json.Unmarshal(b, &k)
	a.balance, a.count = k.Balance, k.Count
	return err
}

// keeping is a log that checks each snapshot when it is kept: by then, the log has what it stands on and what is in it.
type keeping struct {
	*faulty
	t      *testing.T
	kept   atomic.Int64
	folded atomic.Int64 // records read to fold streams
	fail   atomic.Bool  // KeepSnapshot
}

func (k *keeping) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	records, err := k.faulty.ReadStream(ctx, partition, stream, after, limit)
	k.folded.Add(int64(len(records)))
	return records, err
}

func (k *keeping) KeepSnapshot(ctx context.Context, s eventstore.Snapshot) error {
	if k.fail.Load() {
		return errors.New("disk full")
	}
	all, err := k.Read(ctx, 0, 0, 1_000_000)
	if err != nil {
		k.t.Error(err)
	}
	if int64(len(all)) < s.Seq || all[s.Seq-1].Hash != s.Hash {
		k.t.Errorf("a snapshot stands on record %d, which is not in the log of %d", s.Seq, len(all))
		return nil
	}
	want := keptAccount{}
	for _, r := range all[:s.Seq] {
		if r.Stream == s.Stream {
			var n int64
			if err := json.Unmarshal(r.Data, &n); err != nil {
				k.t.Error(err)
			}
			want.Balance, want.Count = want.Balance+n, want.Count+1
		}
	}
	var got keptAccount
	if err := json.Unmarshal(s.State, &got); err != nil || got != want || s.Version != want.Count {
		k.t.Errorf("a snapshot of %s at %d holds %+v, version %d; the log folds to %+v", s.Stream, s.Seq, got, s.Version, want)
	}
	k.kept.Add(1)
	return k.faulty.KeepSnapshot(ctx, s)
}

// run opens an executor, pays in so many times, and closes it. It returns the balance after that.
func run(t *testing.T, log executor.Log, opts executor.Options, times int) (balance any) {
	t.Helper()
	x := executor.New(log, model{}, 0, opts)
	for range times {
		balance = mustSubmit(t, x, command(move{account: "hot", amount: 1})).Answer
	}
	if err := x.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return balance
}

func TestAStartFoldsFromTheSnapshotOn(t *testing.T) {
	log := &keeping{faulty: newLog(t), t: t}
	if got := run(t, log, executor.Options{SnapshotEvery: 100}, 250); got != int64(250) {
		t.Fatalf("balance %v", got)
	}
	if log.kept.Load() == 0 {
		t.Fatal("no snapshot was kept")
	}
	log.folded.Store(0)
	if got := run(t, log, executor.Options{SnapshotEvery: 100}, 1); got != int64(251) {
		t.Errorf("balance %v behind a snapshot", got)
	}
	if n := log.folded.Load(); n >= 150 {
		t.Errorf("%d records were folded, of 250", n)
	}
}

func TestCloseKeepsWhatHasGrown(t *testing.T) {
	log := &keeping{faulty: newLog(t), t: t}
	run(t, log, executor.Options{}, 999)
	if n := log.kept.Load(); n != 0 {
		t.Errorf("%d snapshots of a stream that has hardly grown", n)
	}
	run(t, log, executor.Options{}, 1)
	if n := log.kept.Load(); n != 1 {
		t.Errorf("%d snapshots kept at the close, want 1", n)
	}
	log.folded.Store(0)
	run(t, log, executor.Options{}, 1)
	if n := log.folded.Load(); n != 0 {
		t.Errorf("%d records folded behind the newest snapshot", n)
	}
	if n := log.kept.Load(); n != 1 {
		t.Errorf("a snapshot was kept of a stream that had grown by 1")
	}
}

// TestAStateThatIsAheadOfTheHeadIsNotKept: it was read when another process had appended, and the conflict was never met.
func TestAStateThatIsAheadOfTheHeadIsNotKept(t *testing.T) {
	log := &keeping{faulty: newLog(t), t: t}
	x := executor.New(log, model{}, 0, executor.Options{})
	mustSubmit(t, x, command(move{account: "cold", amount: 1}))
	run(t, log.faulty, executor.Options{}, 2000) // the other process
	bent := eventstore.Snapshot{Stream: "hot", Seq: 1, Version: 1, Fold: 9, State: []byte("{}")}
	if err := log.Store.KeepSnapshot(t.Context(), bent); err != nil { // so that the stream is folded whole, and has grown
		t.Fatal(err)
	}
	log.mu.Lock()
	log.onAppend = func([]eventstore.Record) (error, error) { return errors.New("disk full"), nil }
	log.mu.Unlock()
	if _, err := x.Submit(t.Context(), command(move{account: "hot", amount: 1})); !errors.Is(err, executor.ErrStore) {
		t.Fatal(err)
	}
	before := log.kept.Load()
	if err := x.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log.kept.Load() != before {
		t.Error("a state was kept that holds records behind the head it stands on")
	}
}

// TestASnapshotThatCannotBeKept costs nothing: nobody hears of it but the operator.
func TestASnapshotThatCannotBeKept(t *testing.T) {
	log := &keeping{faulty: newLog(t), t: t}
	log.fail.Store(true)
	var logged bytes.Buffer
	if got := run(t, log, executor.Options{SnapshotEvery: 10, Logger: slog.New(slog.NewTextHandler(&logged, nil))}, 100); got != int64(100) {
		t.Errorf("balance %v", got)
	}
	if !strings.Contains(logged.String(), "a snapshot was not kept") || !strings.Contains(logged.String(), "disk full") {
		t.Errorf("logged:\n%s", &logged)
	}
}

// TestSnapshotsOnlyOfWhatIsDurable: an append under way, or one that failed, is in no snapshot; not of the batch decided behind
// it either.
func TestSnapshotsOnlyOfWhatIsDurable(t *testing.T) {
	for _, outcome := range []error{nil, errors.New("disk full"), eventstore.ErrUnknown, eventstore.ErrConflict, eventstore.ErrDeposed} {
		t.Run(fmt.Sprint(outcome), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &keeping{faulty: newLog(t), t: t}
				x := start(t, log, executor.Options{SnapshotEvery: 1, Retries: 1})
				mustSubmit(t, x, command(move{account: "hot", amount: 1}))
				synctest.Wait()
				before := log.kept.Load()
				if before != 1 {
					t.Fatalf("%d snapshots of one record", before)
				}
				gate := make(chan struct{})
				log.mu.Lock()
				log.gate = gate
				log.onAppend = func([]eventstore.Record) (error, error) { return outcome, nil }
				log.mu.Unlock()
				var callers sync.WaitGroup
				for range 2 { // the second is decided behind the first
					callers.Go(func() {
						if _, err := x.Submit(t.Context(), command(move{account: "hot", amount: 1})); (err == nil) != (outcome == nil) {
							t.Errorf("answered %v", err)
						}
					})
					synctest.Wait()
				}
				if n := log.kept.Load(); n != before {
					t.Error("a snapshot was kept while the append was under way")
				}
				close(gate)
				callers.Wait()
				synctest.Wait()
				if n := log.kept.Load(); (n == before) != (outcome != nil) {
					t.Errorf("%d snapshots kept behind an append that ended with %v", n-before, outcome)
				}
			})
		})
	}
}

// TestSnapshotsUnderRandomFaults: several executors, appends that fail before and after they take effect, states that are forgotten
// and read again; what is kept is what the log folds to, whenever it is kept, and who starts from it decides as the log says.
func TestSnapshotsUnderRandomFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	log := &keeping{faulty: newLog(t), t: t}
	log.onAppend = func([]eventstore.Record) (error, error) { // under Append's lock of the hook's own
		log.mu.Lock()
		defer log.mu.Unlock()
		switch rng.IntN(8) {
		case 0:
			return errors.New("disk full"), nil
		case 1:
			return eventstore.ErrUnknown, nil
		case 2:
			return nil, eventstore.ErrUnknown
		}
		return nil, nil
	}
	for range 5 {
		var all sync.WaitGroup
		for p := range 3 {
			x := executor.New(log, model{}, 0, executor.Options{BatchMax: 8, Retries: 1000, SnapshotEvery: 3})
			all.Go(func() {
				var callers sync.WaitGroup
				for w := range 4 {
					callers.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(4*p+w)))
						for range 30 {
							m := move{account: fmt.Sprintf("a%d", r.IntN(4)), amount: r.Int64N(9) - 4}
							if _, err := x.Submit(context.Background(), command(m)); err != nil && !errors.Is(err, errPoor) && !errors.Is(err, executor.ErrStore) {
								t.Error(err)
							}
						}
					})
				}
				callers.Wait()
				if err := x.Close(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	if log.kept.Load() == 0 {
		t.Error("no snapshot was kept")
	}
	for i := range 4 {
		balanceOf(t, log, fmt.Sprintf("a%d", i))
	}
}

// TestSnapshotsThatAreNotBelieved: then the stream is folded from its first record, and the operator is told why.
func TestSnapshotsThatAreNotBelieved(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(*eventstore.Snapshot)
		says string
	}{
		{"another fold", func(s *eventstore.Snapshot) { s.Fold = 2 }, "folded by version 2"},
		{"another history", func(s *eventstore.Snapshot) { s.Hash[0]++ }, "that the log does not have"},
		{"behind the head", func(s *eventstore.Snapshot) { s.Seq += 100 }, "that the log does not have"},
		{"a state that cannot be read", func(s *eventstore.Snapshot) { s.State = []byte("?") }, "reading its state"},
		{"another version than the log goes on with", func(s *eventstore.Snapshot) { s.Version-- }, "is due"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &keeping{faulty: newLog(t), t: t}
			run(t, log, executor.Options{SnapshotEvery: 5}, 10)
			kept, there, err := log.Snapshot(t.Context(), 0, "hot")
			if err != nil || !there {
				t.Fatal(there, err)
			}
			run(t, log, executor.Options{}, 2)
			c.bend(&kept)
			if err := log.Store.KeepSnapshot(t.Context(), kept); err != nil {
				t.Fatal(err)
			}
			log.folded.Store(0)
			var logged bytes.Buffer
			if got := run(t, log, executor.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, 1); got != int64(13) {
				t.Errorf("balance %v, want 13", got)
			}
			if log.folded.Load() < 12 {
				t.Errorf("%d records folded, of 12", log.folded.Load())
			}
			if !strings.Contains(logged.String(), c.says) {
				t.Errorf("logged:\n%s", &logged)
			}
		})
	}
}

// TestASnapshotOfAnotherHistory: what was kept before a failover stands on a record that the new server never had.
func TestASnapshotOfAnotherHistory(t *testing.T) {
	first := &keeping{faulty: newLog(t), t: t}
	run(t, first, executor.Options{SnapshotEvery: 1}, 5)
	kept, _, err := first.Snapshot(t.Context(), 0, "hot")
	if err != nil {
		t.Fatal(err)
	}
	second := copyOf(t, first.Store, 2)
	run(t, second, executor.Options{}, 1)
	if err := second.KeepSnapshot(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	if got := run(t, second, executor.Options{}, 4); got != int64(7) {
		t.Errorf("balance %v, want 7", got)
	}
}

// TestAGapInAStreamIsABrokenLog, and what is on that stream is refused.
func TestAGapInAStreamIsABrokenLog(t *testing.T) {
	log := memory.New(1)
	head, err := log.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	x := executor.New(log, model{}, 0, executor.Options{})
	mustSubmit(t, x, command(move{account: "a", amount: 1}))
	if err := x.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	records, err := log.Read(t.Context(), 0, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	head = head.Behind(records)
	gap := records[0]
	gap.Version, gap.EventID, gap.Subject = 3, uuid.New(), "p"
	behind := []eventstore.Record{gap}
	eventstore.Chain(head, behind)
	if err := log.Append(t.Context(), head, behind); err != nil {
		t.Fatal(err)
	}
	x = start(t, log, executor.Options{})
	_, errs := x.SubmitAll(t.Context(), []executor.Command{command(move{account: "a", amount: 1}), command(move{account: "b", amount: 1})})
	if !errors.Is(errs[0], eventstore.ErrBroken) || !errors.Is(errs[0], executor.ErrStore) || errs[1] != nil {
		t.Errorf("%v, and its neighbour %v", errs[0], errs[1])
	}
}
