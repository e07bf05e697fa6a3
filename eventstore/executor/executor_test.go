package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// The model of these tests: accounts that hold a number, never negative. A payment is a subject that remembers its amount.

type move struct {
	account string
	payment string
	amount  int64
	huge    bool // the event breaks a bound of the log
	known   bool // the payment may have a history
}

type account struct{ balance, count int64 }

type payment struct{ amount int64 }

var errPoor = errors.New("insufficient balance")

func (a *account) Copy() executor.State    { c := *a; return &c }
func (a *account) Evolve(e executor.Event) { a.balance += e.Fact.(int64); a.count++ }
func (p *payment) Evolve(e executor.Event) { p.amount += e.Fact.(int64) }

type model struct{}

func (model) Needs(body any, needs []executor.Need) []executor.Need {
	m := body.(move)
	return append(needs, executor.Need{Kind: executor.Stream, Name: m.account},
		executor.Need{Kind: executor.Subject, Name: m.payment, Fresh: !m.known})
}

func (model) New(n executor.Need) (executor.State, error) {
	if n.Kind == executor.Stream {
		return &account{}, nil
	}
	return &payment{}, nil
}

func (model) Decide(body any, states []executor.State, events []executor.Event) ([]executor.Event, error) {
	m := body.(move)
	if m.amount == 13 {
		panic("thirteen")
	}
	if states[0].(*account).balance+m.amount < 0 {
		return nil, errPoor
	}
	data, err := json.Marshal(m.amount)
	if m.huge {
		data = []byte(strings.Repeat("1", eventstore.MaxDataBytes+1))
	}
	return append(events, executor.Event{
		Stream: m.account, Subject: m.payment, Type: "moved", Schema: 1, EffectiveAt: time.Unix(1, 0), Data: data, Fact: m.amount,
	}), err
}

func (model) Answer(_ any, states []executor.State, _ []executor.Event) any {
	return states[0].(*account).balance
}

func (model) Decode(r *eventstore.Record) (executor.Event, error) {
	var n int64
	err := json.Unmarshal(r.Data, &n)
	return executor.Event{Stream: r.Stream, Subject: r.Subject, Fact: n}, err
}

func command(m move, keys ...string) executor.Command {
	id := uuid.New()
	if m.payment == "" {
		m.payment = id.String()
	}
	return executor.Command{ID: id, Keys: keys, Body: m, Meta: []byte("{}")}
}

// faulty is a log whose appends fail when told to.
type faulty struct {
	*memory.Store
	mu       sync.Mutex
	onAppend func(records []eventstore.Record) (before, after error) // before: nothing is written; after: it is
	gate     chan struct{}                                           // when not nil, an append waits for it
}

func (f *faulty) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	f.mu.Lock()
	hook, gate := f.onAppend, f.gate
	f.mu.Unlock()
	if gate != nil {
		<-gate
	}
	var before, after error
	if hook != nil {
		before, after = hook(records)
	}
	if before != nil {
		return before
	}
	if err := f.Store.Append(ctx, head, records); err != nil {
		return err
	}
	return after
}

func newLog(t *testing.T) *faulty {
	t.Helper()
	return &faulty{Store: memory.New(1)}
}

func start(t *testing.T, log executor.Log, opts executor.Options) *executor.Executor {
	t.Helper()
	x := executor.New(log, model{}, 0, opts)
	t.Cleanup(func() {
		if err := x.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return x
}

// balanceOf folds an account from the log, and checks that it was never negative.
func balanceOf(t *testing.T, log eventstore.Store, stream string) (balance int64, count int) {
	t.Helper()
	records, err := log.ReadStream(t.Context(), 0, stream, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		var n int64
		if err := json.Unmarshal(r.Data, &n); err != nil {
			t.Fatal(err)
		}
		if balance += n; balance < 0 {
			t.Fatalf("balance %d at record %s", balance, r.Position())
		}
		if r.Version != int64(i+1) {
			t.Fatalf("record %s has version %d, want %d", r.Position(), r.Version, i+1)
		}
	}
	return balance, len(records)
}

func mustSubmit(t *testing.T, x *executor.Executor, c executor.Command) executor.Result {
	t.Helper()
	res, err := x.Submit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestHotAccountThatAffordsHalf(t *testing.T) {
	log := newLog(t)
	x := start(t, log, executor.Options{BatchMax: 64})
	mustSubmit(t, x, command(move{account: "hot", amount: 500}))
	var paid, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 20 {
				switch _, err := x.Submit(t.Context(), command(move{account: "hot", amount: -1})); {
				case err == nil:
					paid.Add(1)
				case errors.Is(err, errPoor):
					refused.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if paid.Load() != 500 || refused.Load() != 500 {
		t.Errorf("%d paid and %d refused, want 500 of each", paid.Load(), refused.Load())
	}
	if balance, n := balanceOf(t, log, "hot"); balance != 0 || n != 501 {
		t.Errorf("balance %d after %d records", balance, n)
	}
}

func TestOneKeyOneRecord(t *testing.T) {
	log := newLog(t)
	x := start(t, log, executor.Options{})
	var accepted, duplicates atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			_, err := x.Submit(t.Context(), command(move{account: "a", amount: 1}, "order:1"))
			var dup *executor.DuplicateError
			switch {
			case err == nil:
				accepted.Add(1)
			case errors.As(err, &dup):
				duplicates.Add(1)
				if got, err := log.Read(t.Context(), 0, dup.Position.Seq-1, 1); err != nil || len(got) != 1 || !slices.Contains(got[0].Keys, "order:1") {
					t.Errorf("the duplicate names %s, which is not durable or not the holder", dup.Position)
				}
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 1 || duplicates.Load() != 15 {
		t.Errorf("%d accepted, %d duplicates", accepted.Load(), duplicates.Load())
	}
}

func TestRefusalBindsNoKey(t *testing.T) {
	x := start(t, newLog(t), executor.Options{})
	if _, err := x.Submit(t.Context(), command(move{account: "a", amount: -5}, "order:1")); !errors.Is(err, errPoor) {
		t.Fatal(err)
	}
	mustSubmit(t, x, command(move{account: "a", amount: 5}, "order:1"))
}

func TestABadCommandFailsAlone(t *testing.T) {
	log := newLog(t)
	x := start(t, log, executor.Options{})
	_, errs := x.SubmitAll(t.Context(), []executor.Command{
		command(move{account: "a", amount: 1}),
		command(move{account: "a", amount: -9}),             // refused by the model
		command(move{account: "a", amount: 1, huge: true}),  // refused by the bounds of the log
		command(move{account: "a", amount: 13}),             // panics
		command(move{account: "a", amount: 1}, "bad\nkey"),  // a key that the log does not take
		command(move{account: "a", amount: 2}, "good"),      //
		command(move{account: "a", amount: 2}, "x", "good"), // second key taken, in the same batch
		command(move{account: "a", amount: 4}),
	})
	var dup *executor.DuplicateError
	for i, ok := range []bool{
		errs[0] == nil, errors.Is(errs[1], errPoor), errors.Is(errs[2], eventstore.ErrInvalid), errs[3] != nil,
		errors.Is(errs[4], eventstore.ErrInvalid), errs[5] == nil, errors.As(errs[6], &dup) && dup.Key == "good", errs[7] == nil,
	} {
		if !ok {
			t.Errorf("command %d: %v", i, errs[i])
		}
	}
	if balance, n := balanceOf(t, log, "a"); balance != 7 || n != 3 {
		t.Errorf("balance %d after %d records, want 7 after 3", balance, n)
	}
}

// TestAnotherProcessAppends: an executor whose memory is stale must not refuse, or accept, on what it remembers.
func TestAnotherProcessAppends(t *testing.T) {
	log := newLog(t)
	x, y := start(t, log, executor.Options{}), start(t, log, executor.Options{})
	mustSubmit(t, x, command(move{account: "a", amount: 10}))
	mustSubmit(t, x, command(move{account: "a", amount: -10}))
	if _, err := x.Submit(t.Context(), command(move{account: "a", amount: -5})); !errors.Is(err, errPoor) {
		t.Fatalf("an empty account paid: %v", err)
	}
	mustSubmit(t, y, command(move{account: "a", amount: 5}, "k"))
	if _, err := x.Submit(t.Context(), command(move{account: "a", amount: -5})); err != nil {
		t.Fatalf("funded by another process, and refused: %v", err)
	}
	if _, err := y.Submit(t.Context(), command(move{account: "a", amount: -5})); !errors.Is(err, errPoor) {
		t.Fatalf("spent by another process, and spent again: %v", err)
	}
	var dup *executor.DuplicateError
	if _, err := x.Submit(t.Context(), command(move{account: "a", amount: 5}, "k")); !errors.As(err, &dup) {
		t.Fatalf("a key taken by another process: %v", err)
	}
}

// counting counts the records that are read to fold streams.
type counting struct {
	*faulty
	folded atomic.Int64
}

func (c *counting) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	records, err := c.faulty.ReadStream(ctx, partition, stream, after, limit)
	c.folded.Add(int64(len(records)))
	return records, err
}

// TestConflictKeepsMemory: after a conflict, or an append that failed, a stream in memory is what the log says, without being
// read again from its first record.
func TestConflictKeepsMemory(t *testing.T) {
	log := &counting{faulty: newLog(t)}
	x, y := start(t, log, executor.Options{}), start(t, log, executor.Options{})
	want := int64(0)
	add := func(x *executor.Executor, amount int64) {
		t.Helper()
		want += amount
		if got := mustSubmit(t, x, command(move{account: "hot", amount: amount})).Answer; got != want {
			t.Fatalf("balance %v, want %d", got, want)
		}
	}
	for range 1000 {
		add(x, 1)
	}
	add(y, 1)
	before := log.folded.Load()
	for i := range int64(50) {
		add(x, 2*i)
		add(y, -1)
		add(y, 2)
		if i%10 != 0 {
			continue
		}
		log.mu.Lock()
		log.onAppend = func([]eventstore.Record) (error, error) { return errors.New("disk full"), nil }
		log.mu.Unlock()
		if _, err := x.Submit(t.Context(), command(move{account: "hot", amount: 100})); err == nil {
			t.Fatal("the append failed, and the command succeeded")
		}
		log.mu.Lock()
		log.onAppend = nil
		log.mu.Unlock()
		add(x, 1)
	}
	if n := log.folded.Load() - before; n > 0 {
		t.Errorf("%d records were read again", n)
	}
	if balance, _ := balanceOf(t, log, "hot"); balance != want {
		t.Errorf("balance %d, want %d", balance, want)
	}
}

func TestRejectionWaitsForWhatItStandsOn(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("append fails %v", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := newLog(t)
				x := start(t, log, executor.Options{})
				mustSubmit(t, x, command(move{account: "a", amount: 10}))
				gate := make(chan struct{})
				log.mu.Lock()
				log.gate = gate
				if fails {
					log.onAppend = func([]eventstore.Record) (error, error) { return errors.New("disk full"), nil }
				}
				log.mu.Unlock()
				first, second := make(chan error, 1), make(chan error, 1)
				go func() {
					_, err := x.Submit(t.Context(), command(move{account: "a", amount: -10}))
					first <- err
				}()
				synctest.Wait()
				go func() {
					_, err := x.Submit(t.Context(), command(move{account: "a", amount: -10}))
					second <- err
				}()
				synctest.Wait()
				select {
				case err := <-second:
					t.Fatalf("answered %v while what it stands on was not durable", err)
				default:
				}
				log.mu.Lock()
				log.gate = nil
				log.mu.Unlock()
				// The hook is read before the gate: the first append fails, later ones do not.
				log.mu.Lock()
				log.onAppend = nil
				log.mu.Unlock()
				close(gate)
				err1, err2 := <-first, <-second
				if fails && (!errors.Is(err1, executor.ErrStore) || err2 != nil) {
					t.Errorf("first: %v, second: %v; the second should have been decided again", err1, err2)
				}
				if !fails && (err1 != nil || !errors.Is(err2, errPoor)) {
					t.Errorf("first: %v, second: %v", err1, err2)
				}
			})
		})
	}
}

func TestUnknownCommitIsFoundOut(t *testing.T) {
	for _, wrote := range []bool{false, true} {
		t.Run(fmt.Sprintf("wrote %v", wrote), func(t *testing.T) {
			log := newLog(t)
			x := start(t, log, executor.Options{})
			mustSubmit(t, x, command(move{account: "a", amount: 10}))
			log.mu.Lock()
			log.onAppend = func([]eventstore.Record) (error, error) {
				if wrote {
					return nil, eventstore.ErrUnknown
				}
				return eventstore.ErrUnknown, nil
			}
			log.mu.Unlock()
			_, err := x.Submit(t.Context(), command(move{account: "a", amount: -10}))
			if wrote && err != nil || !wrote && !errors.Is(err, executor.ErrStore) {
				t.Errorf("answered %v", err)
			}
			log.mu.Lock()
			log.onAppend = nil
			log.mu.Unlock()
			_, err = x.Submit(t.Context(), command(move{account: "a", amount: -10}))
			if wrote != errors.Is(err, errPoor) {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

func TestFullQueueAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		x := executor.New(log, model{}, 0, executor.Options{Queue: 4, BatchMax: 1})
		gate := make(chan struct{})
		log.gate = gate
		errs := make(chan error, 6)
		submit := func() {
			_, err := x.Submit(context.Background(), command(move{account: "a", amount: 1}))
			errs <- err
		}
		for range 2 { // one commits, one is decided behind it
			go submit()
			synctest.Wait()
		}
		for range 4 {
			go submit()
		}
		synctest.Wait()
		if x.Queued() != 4 {
			t.Fatalf("%d queued", x.Queued())
		}
		if _, err := x.Submit(t.Context(), command(move{account: "a", amount: 1})); !errors.Is(err, executor.ErrBusy) {
			t.Errorf("a full queue answered %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.Close(ctx); err == nil {
			t.Error("closed while an append was under way")
		}
		if _, err := x.Submit(t.Context(), command(move{account: "a", amount: 1})); !errors.Is(err, executor.ErrClosed) {
			t.Errorf("a closed executor answered %v", err)
		}
		close(gate)
		if err := x.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for range 6 {
			if err := <-errs; err != nil {
				t.Errorf("queued before the close, and answered %v", err)
			}
		}
		if balance, _ := balanceOf(t, log, "a"); balance != 6 {
			t.Errorf("balance %d", balance)
		}
	})
}

func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		x := start(t, log, executor.Options{})
		gate := make(chan struct{})
		log.gate = gate
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := x.Submit(ctx, command(move{account: "a", amount: 1})); !errors.Is(err, executor.ErrOutcomeUnknown) {
			t.Errorf("answered %v", err)
		}
		close(gate)
		synctest.Wait()
		if balance, _ := balanceOf(t, log, "a"); balance != 1 {
			t.Errorf("balance %d", balance)
		}
	})
}

// TestRandomFaults: several executors on one log, appends that fail before and after they take effect. What was
// acknowledged is in the log exactly once, what was definitely refused is not there, and no account was ever negative.
func TestRandomFaults(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	log := newLog(t)
	var mu sync.Mutex
	log.onAppend = func([]eventstore.Record) (error, error) {
		mu.Lock()
		defer mu.Unlock()
		switch rng.IntN(10) {
		case 0:
			return errors.New("disk full"), nil
		case 1:
			return eventstore.ErrUnknown, nil
		case 2:
			return nil, eventstore.ErrUnknown
		}
		return nil, nil
	}
	// Small memory: states are dropped and read again all the time.
	opts := executor.Options{BatchMax: 8, States: 1, Retries: 1000}
	xs := []*executor.Executor{start(t, log, opts), start(t, log, opts), start(t, log, opts)}
	var acknowledged, refused sync.Map
	var wg sync.WaitGroup
	for w := range 12 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)+2))
			for i := range 100 {
				c := command(move{account: fmt.Sprintf("a%d", r.IntN(5)), amount: r.Int64N(19) - 9}, fmt.Sprintf("k%d-%d", w, i))
				if m := c.Body.(move); m.amount == 13 {
					continue
				}
				if _, err := xs[r.IntN(len(xs))].Submit(t.Context(), c); err == nil {
					acknowledged.Store(c.ID, true)
				} else {
					refused.Store(c.ID, err)
				}
			}
		})
	}
	wg.Wait()
	head, err := log.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	records, err := log.Read(t.Context(), 0, 0, int(head.Seq)+1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uuid.UUID]bool{}
	for _, r := range records {
		if seen[r.EventID] {
			t.Errorf("event %s is in the log twice", r.EventID)
		}
		seen[r.EventID] = true
		if err, is := refused.Load(r.EventID); is {
			t.Errorf("event %s is in the log, and its caller was told %v", r.EventID, err)
		}
	}
	acknowledged.Range(func(id, _ any) bool {
		if !seen[id.(uuid.UUID)] {
			t.Errorf("event %s was acknowledged and is not in the log", id)
		}
		return true
	})
	for i := range 5 {
		balanceOf(t, log, fmt.Sprintf("a%d", i))
	}
	info, err := log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eventstore.Follow(eventstore.Head{Hash: eventstore.Genesis(info.LedgerID, 0)}, records); err != nil {
		t.Error(err)
	}
}

func BenchmarkSubmitAll(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := executor.New(memory.New(1), model{}, 0, executor.Options{})
			defer x.Close(context.Background())
			b.ReportAllocs()
			for b.Loop() {
				commands := make([]executor.Command, n)
				for i := range commands {
					commands[i] = command(move{account: "hot", amount: 1})
				}
				if _, errs := x.SubmitAll(b.Context(), commands); errs[0] != nil {
					b.Fatal(errs[0])
				}
			}
		})
	}
}
