package webhook_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain/merchant"
)

// faulty is a scene whose merchants and secrets can be away.
type faulty struct {
	*scene
	away atomic.Bool
}

func (f *faulty) Merchant(ctx context.Context, id string) (merchant.Merchant, error) {
	if f.away.Load() {
		return merchant.Merchant{}, errors.New("the log is away")
	}
	return f.scene.Merchant(ctx, id)
}

// What is wrong on our side costs the merchant no attempt.
func TestOurOwnOutagesCountNothing(t *testing.T) {
	f := &faulty{scene: newScene(t, sqliteWork(t)())}
	server := newReceiver(t)
	f.join("mer_a", server.URL)
	id := f.callback("mer_a", "txn_1")
	f.away.Store(true)
	sender := webhook.NewSender(f.store, f, f, webhook.Options{
		Poll: 2 * time.Millisecond, Allow: loopback(), Clock: f.clock.Now, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sender.Run(ctx)
	}()
	defer func() { cancel(); <-done }()
	until(t, "put off", func() bool { d, _ := f.get(id); return d.Due.After(f.clock.Now()) })
	d, attempts := f.get(id)
	eq(t, "attempts", d.Attempts+len(attempts), 0)
	f.away.Store(false)
	f.clock.advance(time.Minute)
	d, _ = f.await(id, webhook.Delivered)
	eq(t, "attempts", d.Attempts, 1)
}

// Two processes have seen that a callback is due. One makes the attempt, which fails; the other one, whose store was away for a moment, puts
// the callback off then, and does not bring the next attempt forward by that.
func TestPuttingOffKeepsTheGap(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	s.join("mer_a", "https://shop.example/")
	id, now := s.callback("mer_a", "txn_1"), s.clock.Now()
	due := now.Add(5 * time.Minute)
	if ok, err := s.store.Fail(t.Context(), id, now, due); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := s.store.PutOff(t.Context(), id, now, now.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	d, _ := s.get(id)
	eq(t, "due", d.Due, due)
}

// A record whose merchant cannot be read is given again, not put aside.
func TestAnOutageIsNotHopeless(t *testing.T) {
	f := &faulty{scene: newScene(t, sqliteWork(t)())}
	f.join("mer_a", "https://shop.example/")
	f.asked("mer_a", "txn_1")
	r := f.paid("mer_a", "txn_1")
	box := webhook.NewOutbox(f, f, f.store, f.clock.Now)
	f.away.Store(true)
	err := box.Handle(t.Context(), r)
	var says interface{ Permanent() bool }
	if err == nil || errors.As(err, &says) && says.Permanent() {
		t.Fatalf("an outage: %v", err)
	}
	f.away.Store(false)
	if err := box.Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	d, _ := f.get(idOf(r))
	eq(t, "state", d.State, webhook.Pending)
}

func TestTheSenderOutlivesItsStore(t *testing.T) {
	db := sqliteWork(t)()
	s := newScene(t, db)
	s.join("mer_a", newReceiver(t).URL)
	id := s.callback("mer_a", "txn_1")
	rename := func(from, to string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), `ALTER TABLE `+from+` RENAME TO `+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("deliveries", "hidden")
	s.run(s.store, webhook.Options{})
	until(t, "a warning", func() bool { return strings.Contains(s.logs.String(), "cannot be read") })
	rename("hidden", "deliveries")
	s.await(id, webhook.Delivered)
	eq(t, "warnings", strings.Count(s.logs.String(), "cannot be read"), 1)
}

func TestStopWaitsForTheAttemptUnderWay(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	entered, leave := make(chan struct{}), make(chan struct{})
	server := receiverThat(t, func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	})
	s.join("mer_a", server.URL)
	id := s.callback("mer_a", "txn_1")
	stop := s.run(s.store, webhook.Options{})
	<-entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		stop()
	}()
	close(leave)
	<-stopped
	d, _ := s.get(id)
	eq(t, "state", d.State, webhook.Delivered)
}

// A merchant that cannot be called or signed for uses up its attempts: that is for the merchant to mend.
func TestAMerchantThatCannotBeCalled(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	ids := map[string]string{}
	for _, name := range []string{"mer_url", "mer_scheme", "mer_key"} {
		s.join(name, "http://127.0.0.1:1/")
		ids[name] = s.callback(name, "txn_"+name)
	}
	s.change("mer_url", func(m *merchant.Merchant) { m.CallbackURL = "" })
	s.change("mer_scheme", func(m *merchant.Merchant) { m.CallbackURL = "gopher://127.0.0.1/" })
	s.change("mer_key", func(m *merchant.Merchant) { m.Keys[0].Revoked = true })
	s.run(s.store, webhook.Options{Attempts: 1})
	for name, want := range map[string]string{
		"mer_url": "the merchant has no callback URL", "mer_scheme": "the callback URL is not valid",
		"mer_key": "the merchant has no active key of role full that can sign",
	} {
		_, attempts := s.await(ids[name], webhook.Failed)
		eq(t, "attempts", len(attempts), 1)
		eq(t, name, attempts[0].Error, want)
	}
}

// The dialect is the one that the endpoint had when the callback was made: it belongs to the bytes.
func TestADialectStaysWithItsBody(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	server := newReceiver(t)
	s.join("mer_a", server.URL)
	s.change("mer_a", func(m *merchant.Merchant) { m.Dialect = merchant.Raw })
	id := s.callback("mer_a", "txn_1")
	s.change("mer_a", func(m *merchant.Merchant) { m.Dialect = merchant.Stable })
	s.run(s.store, webhook.Options{})
	d, _ := s.await(id, webhook.Delivered)
	eq(t, "dialect", d.Dialect, merchant.Raw)
	if body := string(server.got()[0].body); !strings.Contains(body, `"amount":1000.00,"commission":10.00,"net_amount":990.00,`) {
		t.Error(body)
	}
}
