package gateway_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/migrations"
)

// kept are the messages kept for a configuration, as "state: reason".
func (s *shop) kept(c *gateway.Checkouts, config string) []gateway.KeptMessage {
	s.t.Helper()
	list, err := c.Kept(s.t.Context(), appID, config, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// What a payin takes no note of any more is kept beside the ledger.
func TestTooManyAnomalies(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	p := s.ordered(engine)
	for i := range wallet.MaxAnomalies + 2 {
		m := success(p, "pay_1")
		m.ID, m.Payment.Currency = fmt.Sprintf("evt_%d", i), "USD"
		if status := s.tell(engine, m); status != http.StatusOK {
			t.Fatal(status)
		}
	}
	list := s.kept(engine, configA)
	if s.payment(p.Payment).Anomalies != wallet.MaxAnomalies || len(list) != 2 || list[0].State != "unmatched" || list[0].Reason != "the payin takes no more notes" {
		t.Errorf("%d noted, %d kept", s.payment(p.Payment).Anomalies, len(list))
	}
	if status := s.tell(engine, success(p, "pay_2")); status != http.StatusOK || s.payment(p.Payment).Status != wallet.Success {
		t.Errorf("what is true is booked all the same: %d", status)
	}
}

// An early message waits for its order; one about nothing of ours is given up, and kept.
func TestEarlyWebhook(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *shop) {
		gate := make(chan struct{})
		s.fake.gate = gate
		engine := s.checkouts()
		p := s.payin()
		done := make(chan error, 1)
		go func() {
			_, err := engine.Ensure(t.Context(), s.merchant(appID), p)
			done <- err
		}()
		s.until("the gateway is asked", func() bool { calls, _ := s.fake.called(); return len(calls) == 1 })
		m := success(p, "pay_1")
		m.OrderID = "order_fake_1"
		before := s.books.balances(t)
		for range 2 { // sent twice, kept once
			if status := s.tell(engine, m); status != http.StatusOK {
				t.Fatal(status)
			}
		}
		foreign := gateway.Message{OrderID: "order_elsewhere", Payment: &gateway.Payment{PaymentID: "pay_9", Amount: "5", Paid: true}}
		if status := s.tell(engine, foreign); status != http.StatusOK {
			t.Fatal(status)
		}
		if list := s.kept(engine, configA); len(list) != 2 || !maps.Equal(before, s.books.balances(t)) || s.payment(p.Payment).Status != wallet.Pending {
			t.Errorf("%+v", list)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		// Another process takes it up.
		other := s.checkouts()
		s.runs(other)
		s.until("it is paid", func() bool { return s.payment(p.Payment).Status == wallet.Success })
		s.until("it is not kept any more", func() bool { return len(s.kept(engine, configA)) == 1 })
		s.pass(16 * time.Minute)
		s.until("the other is given up", func() bool { return s.kept(engine, configA)[0].State == "unmatched" })
		list := s.kept(engine, configA)
		if list[0].Reason != "the order never became known" || !bytes.Equal(list[0].Body, s.body(foreign)) || s.count(gateway.CountUnmatched) != 1 {
			t.Errorf("%+v", list)
		}
		s.until("no job is left", func() bool {
			n, err := s.jobs.Count(t.Context(), gateway.EarlyJobs)
			return err == nil && n == 0
		})
	})
}

// Killed between an early message and its job, it was not answered: when it is sent again it gets its job.
func TestEarlyWithoutItsJob(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	foreign := gateway.Message{OrderID: "order_elsewhere", Payment: &gateway.Payment{PaymentID: "pay_9", Amount: "5", Paid: true}}
	for range 2 {
		if status := s.tell(engine, foreign); status != http.StatusOK {
			t.Fatal(status)
		}
		list := s.kept(engine, configA)
		if _, there, err := s.jobs.Find(t.Context(), gateway.EarlyJobs, list[0].ID); len(list) != 1 || !there || err != nil {
			t.Fatalf("%+v, job %t, %v", list, there, err)
		}
		if err := s.jobs.Remove(t.Context(), gateway.EarlyJobs, list[0].ID); err != nil {
			t.Fatal(err)
		}
	}
}

// A message about a payin whose order was never recorded is noted with it in the end.
func TestEarlyForGood(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	engine := s.checkouts()
	s.fake.plan("lost", "lost")
	p := s.payin()
	if _, err := engine.Ensure(t.Context(), s.merchant(appID), p); !errors.Is(err, gateway.ErrOrder) {
		t.Fatal(err)
	}
	m := success(p, "pay_1")
	m.OrderID = "order_fake_1"
	if status := s.tell(engine, m); status != http.StatusOK {
		t.Fatal(status)
	}
	s.pass(16 * time.Minute)
	s.runs(engine)
	s.until("it is noted", func() bool { return strings.HasSuffix(s.books.events(p.Payment), "noted") })
	s.until("it is not kept any more", func() bool { return len(s.kept(engine, configA)) == 0 })
}

// A forger cannot fill the disk, and cannot push out what is true.
func TestForgersAreBounded(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, s *shop) {
		engine := s.checkouts()
		foreign := gateway.Message{OrderID: "order_elsewhere", Payment: &gateway.Payment{PaymentID: "pay_9", Amount: "5", Paid: true}}
		if status := s.tell(engine, foreign); status != http.StatusOK {
			t.Fatal(status)
		}
		for i := range 300 {
			if i >= 100 {
				s.pass(5 * time.Second)
			}
			body := append(bytes.Repeat([]byte("x"), 40<<10), byte(i), byte(i>>8))
			if status := s.hook(engine, "fake", appID, configA, "a guess", s.now(), body); status != http.StatusUnauthorized {
				t.Fatal(status)
			}
		}
		refused, early := 0, 0
		for _, k := range s.kept(engine, configA) {
			switch k.State {
			case "refused":
				if refused++; len(k.Body) != 16<<10 || k.Length != 40<<10+2 {
					t.Fatalf("%d of %d bytes", len(k.Body), k.Length)
				}
			case "early":
				early++
			}
		}
		if refused != 50 || early != 1 || s.count(gateway.CountNotKept) < 80 || s.count(gateway.CountCallbackRefused) != 300 {
			t.Errorf("%d refused, %d early, %d not kept", refused, early, s.count(gateway.CountNotKept))
		}
	})
}
