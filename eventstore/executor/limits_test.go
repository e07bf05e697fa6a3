package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// settle pays a payment out of an account, once: what the model must know is in the payment, not in the account.
type settle struct{ account, payment string }

// settling is the model of these tests: a payment can be settled once, whoever does it.
type settling struct{ model }

var errSettled = errors.New("settled already")

func (settling) Needs(body any, needs []executor.Need) []executor.Need {
	if s, ok := body.(settle); ok {
		return append(needs, executor.Need{Kind: executor.Stream, Name: s.account}, executor.Need{Kind: executor.Subject, Name: s.payment})
	}
	return model{}.Needs(body, needs)
}

func (settling) Decide(body any, states []executor.State, events []executor.Event) ([]executor.Event, error) {
	s, ok := body.(settle)
	if !ok {
		return model{}.Decide(body, states, events)
	}
	amount := -states[1].(*payment).amount
	if amount == 0 {
		return nil, errSettled
	}
	data, err := json.Marshal(amount)
	return append(events, executor.Event{
		Stream: s.account, Subject: s.payment, Type: "settled", Schema: 1, EffectiveAt: time.Unix(1, 0), Data: data, Fact: amount,
	}), err
}

// TestASubjectChangedElsewhereIsReadAgain: a process that remembers a payment must not decide on it when another process has
// changed it since, also when it remembers the account well.
func TestASubjectChangedElsewhereIsReadAgain(t *testing.T) {
	log := newLog(t)
	open := func() *executor.Executor {
		x := executor.New(log, settling{}, 0, executor.Options{})
		t.Cleanup(func() {
			if err := x.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return x
	}
	x, y := open(), open()
	mustSubmit(t, x, command(move{account: "a", payment: "p", amount: 10}))
	by := func(x *executor.Executor) error {
		_, err := x.Submit(t.Context(), executor.Command{ID: uuid.New(), Body: settle{"a", "p"}, Meta: []byte("{}")})
		return err
	}
	if err := by(y); err != nil {
		t.Fatal(err)
	}
	mustSubmit(t, x, command(move{account: "b", amount: 1})) // the head is known again; the payment was not asked about
	if err := by(x); !errors.Is(err, errSettled) {
		t.Errorf("settled a second time: %v", err)
	}
	if balance, n := balanceOf(t, log, "a"); balance != 0 || n != 2 {
		t.Errorf("balance %d after %d records", balance, n)
	}
}

// TestCloseWaitsForTheBatchInFlight: with an empty queue too.
func TestCloseWaitsForTheBatchInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newLog(t)
		x := executor.New(log, model{}, 0, executor.Options{})
		gate := make(chan struct{})
		log.gate = gate
		answered := make(chan error, 1)
		go func() {
			_, err := x.Submit(context.Background(), command(move{account: "a", amount: 1}))
			answered <- err
		}()
		synctest.Wait()
		if x.Queued() != 0 {
			t.Fatalf("%d queued: the command should be in flight", x.Queued())
		}
		bounded, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.Close(bounded); err == nil {
			t.Error("closed while an append was under way")
		}
		close(gate)
		if err := x.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-answered; err != nil {
			t.Error(err)
		}
	})
}

// TestRetriesAreBounded: where others always come first, the caller is told so, and nothing was done.
func TestRetriesAreBounded(t *testing.T) {
	log := newLog(t)
	log.onAppend = func([]eventstore.Record) (error, error) { return eventstore.ErrConflict, nil }
	x := start(t, log, executor.Options{Retries: 3})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := x.Submit(ctx, command(move{account: "a", amount: 1})); !errors.Is(err, executor.ErrContended) {
		t.Errorf("answered %v", err)
	}
	log.mu.Lock()
	log.onAppend = nil
	log.mu.Unlock()
	mustSubmit(t, x, command(move{account: "a", amount: 1}))
}

// TestADuplicateLeavesNoTraceInMemory: a command that is submitted again after a restart names a payment that has a history, as
// if it were new. It is refused by its key; who asks about the payment then must find the history.
func TestADuplicateLeavesNoTraceInMemory(t *testing.T) {
	log := newLog(t)
	open := func() *executor.Executor { return executor.New(log, settling{}, 0, executor.Options{}) }
	again := command(move{account: "a", payment: "p", amount: 10}, "order:1")
	x := open()
	mustSubmit(t, x, again)
	if err := x.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	x = open()
	defer x.Close(context.Background())
	var dup *executor.DuplicateError
	if _, err := x.Submit(t.Context(), again); !errors.As(err, &dup) {
		t.Fatalf("submitted again: %v", err)
	}
	mustSubmit(t, x, executor.Command{ID: uuid.New(), Body: settle{"a", "p"}, Meta: []byte("{}")})
}
