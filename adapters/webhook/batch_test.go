package webhook_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// ReadStream plays the log, for whoever wants no more than the beginning of a stream.
func (s *scene) ReadStream(_ context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit != 1 {
		return nil, fmt.Errorf("asked for %d records of %s", limit, stream)
	}
	for _, r := range s.records {
		if r.Partition == partition && r.Stream == stream && r.Seq > after {
			return []eventstore.Record{r}, nil
		}
	}
	return nil, nil
}

func ofBatch(merchantID, id string) batch.Of {
	return batch.Of{Merchant: merchantID, Currency: money.INR, Batch: id}
}

// recordBatch appends an event of a batch to the log.
func (s *scene) recordBatch(e batch.Event) eventstore.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := e.Header()
	r := eventstore.Record{
		Partition: 0, Seq: int64(len(s.records) + 1), Subject: of.Batch, Stream: batch.Stream(of.Merchant, of.Batch),
		Type: e.Type(), Schema: e.Schema(), EventID: must(uuid.NewV7()), Data: must(batch.Encode(e)),
		EffectiveAt: s.clock.Now(), RecordedAt: s.clock.Now(),
	}
	s.records = append(s.records, r)
	return r
}

// submitted appends a batch of two items for which nothing has come yet.
func (s *scene) submitted(of batch.Of) eventstore.Record {
	return s.recordBatch(&batch.Submitted{
		Of: of, Ref: "REF-" + of.Batch, Digest: "d1", Terms: batch.Terms{Approval: batch.ApprovalRequired, Checkers: 2}, Count: 2,
		Amount: rupees("2001.50"), Commission: rupees("20"), Actor: "key:maya",
	})
}

func batchItems(of batch.Of) *batch.ItemsAdded {
	e := &batch.ItemsAdded{Of: of, Chunk: 1, Last: true}
	for i := 1; i <= 2; i++ {
		e.Items = append(e.Items, batch.Item{
			Index: i, Payment: fmt.Sprintf("txn_%d", i), Event: fmt.Sprintf("event-%d", i), RequestID: fmt.Sprintf("R-%d", i),
			Amount: rupees("1000.75"), Commission: rupees("10"), Tax: rupees("0"),
		})
	}
	return e
}

// wantUntold fails when there is a callback about the record.
func (s *scene) wantUntold(what string, r eventstore.Record) {
	s.t.Helper()
	if _, _, err := s.store.Get(s.t.Context(), idOf(r)); domain.CodeOf(err) != domain.NotFound {
		s.t.Errorf("%s: %s is told: %v", what, r.Type, err)
	}
}

// bodyOf is the payload that is to be sent about a batch of submitted.
func bodyOf(id, status, reason string) string {
	return `{"event":"batch.updated","batch_id":"` + id + `","batch_ref":"REF-` + id + `","status":"` + status + `","reason":` + reason +
		`,"stopped_by":null,"count":2,"total_amount":2001.5,"commission":20,"timestamp":"2026-03-31T12:00:00.123456Z"}`
}

// The payload of each event of a batch that is told, byte for byte; and what is not told.
func TestPayloadOfEachEventOfABatch(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	s.join("mer_a", "https://shop.example/callback")
	done, rejected, abandoned := ofBatch("mer_a", "bat_done"), ofBatch("mer_a", "bat_no"), ofBatch("mer_a", "bat_cut")
	want := map[string]string{}
	for _, step := range []struct {
		event batch.Event
		want  string // "" for no callback
	}{
		{batchItems(done), ""},
		{&batch.Approved{Of: done, Actor: "key:ravi", Missing: 1}, ""},
		{&batch.Approved{Of: done, Actor: "key:asha", Note: "fine"}, bodyOf("bat_done", "processing", "null")},
		{&batch.Closed{Of: done, Chunk: 1, Refused: []batch.Refusal{{Index: 2, Code: "duplicate", Reason: "used before"}}}, ""},
		{&batch.Drawn{Of: done, Chunk: 1, Refused: []batch.Refusal{{Index: 2, Code: "duplicate", Reason: "used before"}}}, ""},
		{&batch.CompletedAll{Of: done}, bodyOf("bat_done", "completed", "null")},
		{&batch.RejectedBy{Of: rejected, Actor: "key:ravi", Reason: "not <this> month/year"}, bodyOf("bat_no", "rejected", `"not <this> month-year"`)},
		{&batch.CancelledBy{Of: abandoned, Actor: "system:batches", Reason: "never received whole"},
			bodyOf("bat_cut", "cancelled", `"never received whole"`)},
	} {
		if of := step.event.Header(); !s.knows(of) {
			s.handle(s.submitted(of))
		}
		r := s.recordBatch(step.event)
		s.handle(r)
		if step.want == "" {
			s.wantUntold("a step on the way", r)
			continue
		}
		d, _ := s.get(idOf(r))
		eq(t, r.Type, string(d.Body), step.want)
		eq(t, "merchant and subject", d.Merchant+" "+d.Transaction, "mer_a "+step.event.Header().Batch)
		if !strings.Contains(step.want, `"status":"`+d.Status+`"`) {
			t.Errorf("%s: kept as %s, told as %s", r.Type, d.Status, step.want)
		}
		want[idOf(r)] = step.want
	}
	eq(t, "callbacks", len(want), 4)
	// What a batch has of the wallet is about money, under types that begin alike.
	for _, e := range []wallet.Event{
		&wallet.BatchQueued{Of: of("mer_a", "bat_done"), Since: s.clock.Now()}, &wallet.BatchHeld{Of: of("mer_a", "bat_done"), Upto: 2, Amount: rupees("2021.50")},
		&wallet.BatchReleased{Of: of("mer_a", "bat_done"), Amount: rupees("1")},
	} {
		r := s.record(e)
		s.handle(r)
		s.wantUntold("of the wallet", r)
	}
	// The body is that of the batch as it was: handled again later, from a fresh store, it is the same.
	again := newScene(t, sqliteWork(t)())
	again.records, again.merchants = s.records, s.merchants
	for _, r := range s.records {
		again.handle(r)
		if body := want[idOf(r)]; body != "" {
			d, _ := again.get(idOf(r))
			eq(t, r.Type, string(d.Body), body)
		}
	}
}

// knows tells whether the batch was submitted.
func (s *scene) knows(of batch.Of) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if r.Stream == batch.Stream(of.Merchant, of.Batch) {
			return true
		}
	}
	return false
}

// What arrives at the merchant's server: events, signatures, and the order of each batch's callbacks, whatever becomes of others.
func TestCallbacksOfABatchArriveInOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		var down atomic.Bool
		down.Store(true)
		server := receiverThat(t, func(w http.ResponseWriter, r *http.Request) {
			if down.Load() && r.Header.Get("X-KlyroPay-Event") == "batch.updated" {
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		s.join("mer_a", server.URL)
		first := ofBatch("mer_a", "bat_1")
		s.submitted(first)
		s.recordBatch(batchItems(first))
		approved := s.recordBatch(&batch.Approved{Of: first, Actor: "key:asha"})
		completed := s.recordBatch(&batch.CompletedAll{Of: first})
		s.handle(completed) // even if it comes into the queue first
		s.handle(approved)
		item := s.callback("mer_a", "txn_1")
		s.run(s.store, webhook.Options{})
		s.await(item, webhook.Delivered) // a payout's callback does not wait for its batch's
		s.awaitAttempt(idOf(approved), 1)
		s.barrier()
		d, _ := s.get(idOf(completed))
		eq(t, "attempts of the later one", d.Attempts, 0)
		down.Store(false)
		s.clock.advance(5 * time.Minute)
		s.await(idOf(approved), webhook.Delivered)
		s.await(idOf(completed), webhook.Delivered)
		var order []string
		for _, c := range server.got() {
			if c.header.Get("X-KlyroPay-Event") == "transaction.updated" {
				eq(t, "id", c.header.Get("webhook-id"), item)
				continue
			}
			order = append(order, c.header.Get("webhook-id"))
			eq(t, "event", c.header.Get("X-KlyroPay-Event"), "batch.updated")
			eq(t, "signature", c.header.Get("X-KlyroPay-Signature"), fmt.Sprintf("%x", sum(apiKey("mer_a"), string(c.body))))
		}
		eq(t, "order", fmt.Sprint(order), fmt.Sprint([]string{idOf(approved), idOf(approved), idOf(completed)}))

		// It can be sent again, as the same event with the same bytes.
		if _, err := newStore(open()).Resend(t.Context(), idOf(completed), s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		s.awaitAttempt(idOf(completed), 2)
		calls := server.got()
		last := calls[len(calls)-1]
		eq(t, "event sent again", last.header.Get("X-KlyroPay-Event"), "batch.updated")
		eq(t, "body sent again", string(last.body), bodyOf("bat_1", "completed", "null"))
	})
}

// A merchant that wants to hear of payouts alone hears of those, and nothing later of what it was not told.
func TestAQuietMerchantHearsOfPayoutsAlone(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	server := newReceiver(t)
	s.join("mer_a", server.URL)
	s.change("mer_a", func(m *merchant.Merchant) { m.BatchQuiet = true })
	s.run(s.store, webhook.Options{})
	one := ofBatch("mer_a", "bat_1")
	s.submitted(one)
	s.recordBatch(batchItems(one))
	approved := s.recordBatch(&batch.Approved{Of: one, Actor: "key:asha"})
	s.handle(approved)
	s.await(s.callback("mer_a", "txn_1"), webhook.Delivered)
	s.change("mer_a", func(m *merchant.Merchant) { m.BatchQuiet = false })
	completed := s.recordBatch(&batch.CompletedAll{Of: one})
	s.handle(completed)
	s.await(idOf(completed), webhook.Delivered)
	s.wantUntold("while it was quiet", approved)
	var events []string
	for _, c := range server.got() {
		events = append(events, c.header.Get("X-KlyroPay-Event"))
	}
	eq(t, "events", fmt.Sprint(events), "[transaction.updated batch.updated]")
}

// What no other try can make a callback is put aside; a log that is away is asked again.
func TestBatchesThatCannotBeTold(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	s.join("mer_a", "https://shop.example/")
	s.submitted(ofBatch("mer_a", "bat_1"))
	s.submitted(ofBatch("mer_unknown", "bat_2"))
	elsewhere := s.recordBatch(&batch.CompletedAll{Of: ofBatch("mer_a", "bat_other")})
	elsewhere.Stream = batch.Stream("mer_a", "bat_1")
	unreadable := s.recordBatch(&batch.CompletedAll{Of: ofBatch("mer_a", "bat_1")})
	unreadable.Schema = 99
	for name, r := range map[string]eventstore.Record{
		"of no batch": s.recordBatch(&batch.CompletedAll{Of: ofBatch("mer_a", "bat_3")}), "in another's stream": elsewhere, "unreadable": unreadable,
		"unknown merchant": s.recordBatch(&batch.CompletedAll{Of: ofBatch("mer_unknown", "bat_2")}),
	} {
		err := s.box.Handle(t.Context(), r)
		var permanent interface{ Permanent() bool }
		if !errors.As(err, &permanent) || !permanent.Permanent() {
			t.Errorf("%s: %v", name, err)
		}
	}

	away := &streamless{scene: s}
	away.gone.Store(true)
	box := webhook.NewOutbox(away, s, s.store, s.clock.Now)
	r := s.recordBatch(&batch.CompletedAll{Of: ofBatch("mer_a", "bat_1")})
	err := box.Handle(t.Context(), r)
	var permanent interface{ Permanent() bool }
	if err == nil || errors.As(err, &permanent) {
		t.Fatalf("a log that is away: %v", err)
	}
	away.gone.Store(false)
	if err := box.Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	d, _ := s.get(idOf(r))
	eq(t, "state", d.State, webhook.Pending)
}

// streamless is a scene whose streams can be away.
type streamless struct {
	*scene
	gone atomic.Bool
}

func (s *streamless) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	if s.gone.Load() {
		return nil, errors.New("the log is away")
	}
	return s.scene.ReadStream(ctx, partition, stream, after, limit)
}
