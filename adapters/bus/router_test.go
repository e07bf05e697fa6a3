package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/eventstore"
)

// permanent is a handler's error that another try cannot cure.
type permanent struct{}

func (permanent) Error() string   { return "no hope for this one" }
func (permanent) Permanent() bool { return true }

// seen collects what a handler was given.
type seen struct {
	mu   sync.Mutex
	data []string
}

func (s *seen) add(r eventstore.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data = append(s.data, string(r.Data))
}

func (s *seen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.data, " ")
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// routing runs a router on the world until the test ends.
func (w *world) routing(t *testing.T, o bus.RouterOptions, register func(r *bus.Router)) (*bus.Router, *bus.Poison) {
	t.Helper()
	o.MinBackoff, o.MaxBackoff = time.Millisecond, 5*time.Millisecond
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	poison := bus.NewPoison(w.db)
	r, err := bus.NewRouter(w.open(t, w.work), poison, o)
	if err != nil {
		t.Fatal(err)
	}
	register(r)
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }()
	t.Cleanup(func() {
		closing(t, r)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-r.Running():
	case <-time.After(20 * time.Second):
		t.Fatal("the router does not start")
	}
	return r, poison
}

func (w *world) poisoned(t *testing.T, p *bus.Poison) []bus.Poisoned {
	t.Helper()
	list, err := p.List(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "count of the poisoned", int(n), len(list))
	return list
}

func TestRouterTriesAFailingHandlerAgain(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 3)
	var got seen
	var failures atomic.Int64
	_, poison := w.routing(t, bus.RouterOptions{}, func(r *bus.Router) {
		r.Handle("effects", "payout", func(_ context.Context, r eventstore.Record) error {
			if r.Seq == 2 && failures.Add(1) <= 20 {
				return errors.New("the store is away")
			}
			got.add(r)
			return nil
		})
	})
	until(t, "all handled", func() bool { return got.String() == "1 2 3" })
	equal(t, "tries of the second", failures.Load(), 21)
	equal(t, "poisoned", len(w.poisoned(t, poison)), 0)
}

func TestRouterPutsAsideWhatCanNeverWork(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 6)
	var got seen
	var panics atomic.Int64
	var healed atomic.Bool
	var logs bytes.Buffer
	var logging sync.Mutex
	options := bus.RouterOptions{
		Logger: slog.New(slog.NewTextHandler(lockedWriter{&logging, &logs}, nil)),
		Decode: func(r *eventstore.Record) (any, error) {
			if string(r.Data) == "5" && !healed.Load() {
				return nil, errors.New("this is no JSON")
			}
			return nil, nil
		},
	}
	handler := func(_ context.Context, r eventstore.Record) error {
		switch {
		case healed.Load():
		case r.Seq == 1:
			return fmt.Errorf("handling: %w", permanent{})
		case r.Seq == 3:
			panics.Add(1)
			panic("a bug")
		}
		got.add(r)
		return nil
	}
	router, poison := w.routing(t, options, func(r *bus.Router) { r.Handle("effects", "log", handler) })
	until(t, "the rest handled", func() bool { return got.String() == "2 4 6" })

	list := w.poisoned(t, poison)
	equal(t, "poisoned", len(list), 3)
	for i, want := range []struct {
		at     string
		reason string
	}{{"0:1", "no hope"}, {"0:3", "a bug"}, {"0:5", "no JSON"}} {
		equal(t, "position", list[i].Position.String(), want.at)
		equal(t, "consumer", list[i].Consumer, bus.Consumer("effects", "log"))
		equal(t, "type", list[i].Type, "payout.x")
		if !strings.Contains(list[i].Reason, want.reason) {
			t.Errorf("reason of %s: %q", want.at, list[i].Reason)
		}
	}
	equal(t, "panics", panics.Load(), 5)
	logging.Lock()
	told := strings.Count(logs.String(), "put aside")
	logging.Unlock()
	equal(t, "log lines", told, 3)

	// A replay that fails leaves it where it is, one that succeeds forgets it.
	consumer := bus.Consumer("effects", "log")
	for _, p := range list {
		if err := router.Replay(t.Context(), consumer, p.Position); err == nil {
			t.Errorf("the replay of %s should fail", p.Position)
		}
	}
	equal(t, "still poisoned", len(w.poisoned(t, poison)), 3)
	healed.Store(true)
	for _, p := range list {
		if err := router.Replay(t.Context(), consumer, p.Position); err != nil {
			t.Error(err)
		}
	}
	equal(t, "after the replay", got.String(), "2 4 6 1 3 5")
	equal(t, "none left", len(w.poisoned(t, poison)), 0)
	for name, err := range map[string]error{
		"what is not poisoned": router.Replay(t.Context(), consumer, list[0].Position),
		"a stranger":           router.Replay(t.Context(), "stranger/log", list[0].Position),
	} {
		if !errors.Is(err, eventstore.ErrNotFound) {
			t.Errorf("replaying %s: %v", name, err)
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(b)
}

// A poisoned record that cannot be put aside is not lost: it is given again until it can.
func TestRouterKeepsWhatItCannotPutAside(t *testing.T) {
	w := newWorld(t)
	if _, err := w.db.ExecContext(t.Context(), `ALTER TABLE poison RENAME TO hidden`); err != nil {
		t.Fatal(err)
	}
	w.fill(t, 0, "payout.x", 2)
	var got seen
	var tries atomic.Int64
	_, poison := w.routing(t, bus.RouterOptions{}, func(r *bus.Router) {
		r.Handle("effects", "payout", func(_ context.Context, r eventstore.Record) error {
			if r.Seq == 1 {
				tries.Add(1)
				return permanent{}
			}
			got.add(r)
			return nil
		})
	})
	until(t, "some tries", func() bool { return tries.Load() >= 3 })
	equal(t, "handled meanwhile", got.String(), "")
	if _, err := w.db.ExecContext(t.Context(), `ALTER TABLE hidden RENAME TO poison`); err != nil {
		t.Fatal(err)
	}
	until(t, "the next handled", func() bool { return got.String() == "2" })
	equal(t, "poisoned", len(w.poisoned(t, poison)), 1)
}

func TestRouterStopsInTheMiddleOfARetry(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 1)
	var tries atomic.Int64
	router, poison := w.routing(t, bus.RouterOptions{}, func(r *bus.Router) {
		r.Handle("effects", "payout", func(context.Context, eventstore.Record) error {
			tries.Add(1)
			return errors.New("the store is away")
		})
	})
	until(t, "some tries", func() bool { return tries.Load() >= 3 })
	closing(t, router)
	equal(t, "poisoned", len(w.poisoned(t, poison)), 0)

	var got seen
	w.routing(t, bus.RouterOptions{}, func(r *bus.Router) {
		r.Handle("effects", "payout", func(_ context.Context, r eventstore.Record) error {
			got.add(r)
			return nil
		})
	})
	until(t, "handled after the restart", func() bool { return got.String() == "1" })
}
