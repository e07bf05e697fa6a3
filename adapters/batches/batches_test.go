package batches_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

func (w *world) submit(s *batches.Service, ref string, count, broken int) (batch.Batch, bool, error) {
	return s.Submit(w.t.Context(), request(ref, count), lines(count, broken))
}

func (w *world) mustSubmit(s *batches.Service, ref string, count int) batch.Batch {
	w.t.Helper()
	b, _, err := w.submit(s, ref, count, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// consistent checks what must hold at every moment: each item became one payout at most, under the ids that it was given, and
// what the batch locks is what its payouts are.
func (w *world) consistent(id string, payouts int) {
	w.t.Helper()
	items := map[string]batch.Item{}
	if err := w.books.EachChunk(w.t.Context(), ofBatch(id), 0, 0, func(_ int, _ int64, list []batch.Item) error {
		for _, i := range list {
			items[i.Payment] = i
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	made := map[string]bool{}
	records, _ := w.books.since(0)
	for _, r := range records {
		if r.Type != "payout.initiated" {
			continue
		}
		i, known := items[r.Subject]
		if !known || made[i.RequestID] || r.EventID.String() != i.Event {
			w.t.Errorf("record %d: payout %s of event %s: known %t, made before %t", r.Seq, r.Subject, r.EventID, known, made[i.RequestID])
		}
		made[i.RequestID] = true
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		p := e.(*wallet.PayoutInitiated)
		sealed, err := base64.StdEncoding.DecodeString(p.Sealed)
		if err != nil || !strings.HasPrefix(string(sealed), merchantID+" "+i.Event+" ") || p.Batch != id || p.Index != i.Index {
			w.t.Errorf("record %d: %+v sealed for %s, %v", r.Seq, p, sealed, err)
		}
	}
	if len(made) != payouts {
		w.t.Errorf("%d payouts, want %d", len(made), payouts)
	}
	if locked := w.books.wallet.Locked; !locked.Equal(inr(fmt.Sprint(payouts * 1010))) {
		w.t.Errorf("locked %s by %d payouts", locked, payouts)
	}
}

func ofBatch(id string) batch.Of {
	return batch.Of{Merchant: merchantID, Currency: money.INR, Batch: id}
}

func TestLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	b := w.mustSubmit(s, "MARCH", 2*batch.ChunkSize+7)
	if b.Status != batch.Processing || b.Received != 3 {
		t.Errorf("%+v", b)
	}
	w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 3 })
	w.consistent(b.Batch, 2*batch.ChunkSize+7)
	if got := w.batch(b.Batch).Status; got != batch.Processing {
		t.Errorf("%s while payouts are pending", got)
	}
	w.books.settle(wallet.Success)
	w.untilStatus(b.Batch, batch.Completed)
}

// An item that the balance does not cover, and one whose partner_request_id is taken, are refused by themselves.
func TestRefusedItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "4040") // four of them
	s, _ := w.service("work.db", immortal)
	first := w.mustSubmit(s, "ONE", 1)
	stop := w.run(s)
	w.until("the first is drawn", func() bool { return w.batch(first.Batch).Drawn == 1 })
	second := w.mustSubmit(s, "MORE", 5)
	w.until("the second is drawn", func() bool { return w.batch(second.Batch).Drawn == 1 })
	stop()
	records, _ := w.books.since(0)
	var drawn *batch.Drawn
	for _, r := range records {
		if r.Type == "batch.drawn" && r.Subject == second.Batch {
			e, err := batch.Decode(r.Type, r.Schema, r.Data)
			if err != nil {
				t.Fatal(err)
			}
			drawn = e.(*batch.Drawn)
		}
	}
	if drawn == nil || len(drawn.Refused) != 2 || drawn.Refused[0].Index != 1 || drawn.Refused[0].Code != string(domain.Duplicate) ||
		!strings.Contains(drawn.Refused[0].Reason, "R-1") || drawn.Refused[1].Index != 5 || drawn.Refused[1].Code != string(domain.InsufficientBalance) {
		t.Errorf("%+v", drawn)
	}
}

func TestRepeats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	b := w.mustSubmit(s, "MARCH", 3)
	again, repeated, err := w.submit(s, "MARCH", 3, 0)
	if err != nil || !repeated || again.Batch != b.Batch || again.Received != 1 {
		t.Errorf("%+v, %t, %v", again, repeated, err)
	}
	if _, _, err := w.submit(s, "MARCH", 4, 0); domain.CodeOf(err) != domain.Duplicate {
		t.Errorf("another content: %v", err)
	}
	if other := w.mustSubmit(s, "APRIL", 3); other.Batch == b.Batch {
		t.Error("another ref is another batch")
	}
}

// An upload that breaks off has paid nothing, and goes on when it comes again.
func TestUploadGoesOn(t *testing.T) {
	t.Parallel()
	const count = 3*batch.ChunkSize + 1
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	for _, broken := range []int{1, batch.ChunkSize, batch.ChunkSize + 1, 3 * batch.ChunkSize, count} {
		b, _, err := w.submit(s, "MARCH", count, broken)
		if err == nil || b.Status != batch.Receiving || b.Received != (broken-1)/batch.ChunkSize {
			t.Fatalf("broken at %d: %s, %d chunks, %v", broken, b.Status, b.Received, err)
		}
		w.consistent(b.Batch, 0)
	}
	b := w.mustSubmit(s, "MARCH", count)
	w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 4 })
	w.consistent(b.Batch, count)
}

// Sixteen copies of one request at once make one batch.
func TestCopies(t *testing.T) {
	t.Parallel()
	const count = 4 * batch.ChunkSize
	w := newWorld(t, "2000000")
	s, _ := w.service("work.db", immortal)
	w.run(s)
	var all sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		all.Go(func() {
			b, _, err := w.submit(s, "MARCH", count, 0)
			if err != nil {
				t.Error(err)
			}
			ids[i] = b.Batch
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("%v", ids)
		}
	}
	w.until("it is drawn", func() bool { return w.batch(ids[0]).Drawn == 4 })
	w.consistent(ids[0], count)
}

// The process dies at every step of submitting and drawing; the next one, with or without the work that was stored, goes on.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	const count = batch.ChunkSize + 60
	for _, keeps := range []bool{true, false} {
		t.Run(fmt.Sprintf("work kept=%t", keeps), func(t *testing.T) {
			t.Parallel()
			for lives := int64(1); ; lives++ {
				w := newWorld(t, "1000000")
				s, left := w.service("first.db", lives)
				stop := w.run(s)
				b, _, err := w.submit(s, "MARCH", count, 0)
				if err == nil {
					w.until("it is dead or done", func() bool { return left.Load() < 0 || w.batch(b.Batch).Drawn == 2 })
				}
				stop()
				died := left.Load() < 0
				file := "first.db"
				if !keeps {
					file = "second.db"
				}
				next, _ := w.service(file, immortal)
				if err := next.Recover(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.run(next)
				b = w.mustSubmit(next, "MARCH", count) // the merchant asks again
				w.until("it is drawn", func() bool { return w.batch(b.Batch).Drawn == 2 })
				w.consistent(b.Batch, count)
				if !died {
					if lives < 10 {
						t.Errorf("it was done after %d calls: this test tests nothing", lives)
					}
					return
				}
			}
		})
	}
}

// Two processes draw one batch at the same time, as when a lease is lost.
func TestTwoDraw(t *testing.T) {
	t.Parallel()
	const count = 6 * batch.ChunkSize
	w := newWorld(t, "1000000") // not for all of them
	a, _ := w.service("a.db", immortal)
	b, _ := w.service("b.db", immortal)
	made := w.mustSubmit(a, "MARCH", count)
	w.run(a)
	w.run(b)
	w.until("it is drawn", func() bool { return w.batch(made.Batch).Drawn == 6 })
	got := w.batch(made.Batch)
	w.consistent(made.Batch, count-got.Refused)
	if got.Refused != count-990 {
		t.Errorf("%d refused of %d", got.Refused, count)
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	b := w.mustSubmit(s, "MARCH", 10)
	if _, err := s.Cancel(t.Context(), b.Of, "wrong file", eventstore.Origin{Actor: "key:maya"}); err != nil {
		t.Fatal(err)
	}
	w.run(s)
	marker := w.mustSubmit(s, "APRIL", 2) // were not used up
	w.until("a later batch is drawn", func() bool { return w.batch(marker.Batch).Drawn == 1 })
	if got := w.batch(b.Batch); got.Status != batch.Cancelled || got.Drawn != 0 {
		t.Errorf("%+v", got)
	}
	w.consistent(marker.Batch, 2)
}

// A batch that never becomes whole is cancelled, by the job of its first record.
func TestAbandoned(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1000000")
	s, _ := w.service("work.db", immortal)
	b, _, err := w.submit(s, "MARCH", 3, 2)
	if err == nil || b.Status != batch.Receiving {
		t.Fatalf("%+v, %v", b, err)
	}
	w.run(s)
	slow := w.mustSubmit(s, "APRIL", 2)
	w.until("the bus is past it", func() bool { return w.batch(slow.Batch).Drawn == 1 })
	if got := w.batch(b.Batch); got.Status != batch.Receiving {
		t.Errorf("%s before its time", got.Status)
	}
	w.ahead.Store(int64(2 * time.Hour))
	w.untilStatus(b.Batch, batch.Cancelled)
	if _, _, err := w.submit(s, "MARCH", 3, 0); err != nil {
		t.Errorf("the repeat of a batch that was cancelled: %v", err)
	}
}

func TestHandleRefusesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	s, _ := newWorld(t, "0").service("work.db", immortal)
	err := s.Handle(context.Background(), eventstore.Record{Type: "batch.items", Schema: 1, Data: []byte(`{`)})
	if p, ok := err.(interface{ Permanent() bool }); !ok || !p.Permanent() {
		t.Errorf("%v", err)
	}
}
