package bus_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// partitions of the logs under test.
const partitions = 3

// world is a log with its tail, and work storage.
type world struct {
	log  *memory.Store
	tail *tail.Tail
	db   *sql.DB
	work *work.Store
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log := memory.New(partitions)
	db := workDB(t)
	return &world{log: log, tail: tail.New(log, partitions, time.Hour, slog.New(slog.DiscardHandler)), db: db, work: work.New(db, db)}
}

func workDB(t *testing.T) *sql.DB {
	t.Helper()
	file := filepath.Join(t.TempDir(), "work.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_pragma=busy_timeout(20000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	db.SetMaxOpenConns(4)
	if err := migrations.Up(context.Background(), db, migrations.SQLite, migrations.Work); err != nil {
		t.Fatal(err)
	}
	return db
}

// open makes a bus on the world, as a process of its own would have it.
func (w *world) open(t *testing.T, checkpoints bus.Checkpoints) *bus.Bus {
	t.Helper()
	b, err := bus.New(t.Context(), w.log, w.tail, checkpoints, bus.Options{
		MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, FlushAfter: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// publish appends records to one partition, whoever else appends there.
func (w *world) publish(partition int, records ...eventstore.Record) error {
	ctx := context.Background()
	for {
		head, err := w.log.Head(ctx, partition)
		if err != nil {
			return err
		}
		for i := range records {
			records[i].EvidenceDigests = nil
		}
		next := eventstore.Chain(head, records)
		err = w.log.Append(ctx, head, records)
		if errors.Is(err, eventstore.ErrConflict) {
			continue
		}
		if err == nil {
			w.tail.Advance(next)
		}
		return err
	}
}

func record(recordType string, data string) eventstore.Record {
	return eventstore.Record{
		Stream: "wallet:mer_1:INR", Version: 1, Subject: "txn_1", Type: recordType, Schema: 1, EventID: uuid.New(),
		EffectiveAt: time.Now(), RecordedAt: time.Now(), Data: []byte(data), Meta: eventstore.Meta{Actor: "test"}.Bytes(),
	}
}

// fill appends n records of a type to a partition, whose data are 1 to n.
func (w *world) fill(t *testing.T, partition int, recordType string, n int) {
	t.Helper()
	for i := range n {
		if err := w.publish(partition, record(recordType, fmt.Sprint(i+1))); err != nil {
			t.Fatal(err)
		}
	}
}

func subscribe(t *testing.T, s *bus.Subscriber, topic string) <-chan *message.Message {
	t.Helper()
	messages, err := s.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

// receive acknowledges n messages and returns their payloads.
func receive(t *testing.T, messages <-chan *message.Message, n int) []string {
	t.Helper()
	var got []string
	for range n {
		msg := next(t, messages)
		got = append(got, string(msg.Payload))
		msg.Ack()
	}
	return got
}

func next(t *testing.T, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case msg, open := <-messages:
		if !open {
			t.Fatal("the channel is closed")
		}
		return msg
	case <-time.After(20 * time.Second):
		t.Fatal("no message")
	}
	return nil
}

func closing(t *testing.T, s interface{ Close() error }) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func TestMessagesCarryTheRecord(t *testing.T) {
	w := newWorld(t)
	r := record("payout.initiated", `{"amount":"1.00"}`)
	r.Keys = []string{"a", "b"}
	if err := w.publish(1, r); err != nil {
		t.Fatal(err)
	}
	s := w.open(t, w.work).Subscriber("g")
	defer closing(t, s)
	msg := next(t, subscribe(t, s, "payout"))
	got, err := bus.RecordOf(msg)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := w.log.Read(t.Context(), 1, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(stored[0])
	if err != nil {
		t.Fatal(err)
	}
	have, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "record", string(have), string(want))
	equal(t, "uuid", msg.UUID, r.EventID.String())
	equal(t, "merchant", msg.Metadata.Get(bus.MetaMerchant), "mer_1")
	equal(t, "position", msg.Metadata.Get(bus.MetaPosition), "1:1")
}

func TestTopicsChooseByType(t *testing.T) {
	w := newWorld(t)
	for _, typ := range []string{"payin.created", "payout.initiated", "payouts.odd", "payout.succeeded"} {
		if err := w.publish(0, record(typ, typ)); err != nil {
			t.Fatal(err)
		}
	}
	for topic, want := range map[string]string{
		"log":              "[payin.created payout.initiated payouts.odd payout.succeeded]",
		"payout":           "[payout.initiated payout.succeeded]",
		"payout.succeeded": "[payout.succeeded]",
	} {
		s := w.open(t, w.work).Subscriber("g")
		messages := subscribe(t, s, topic)
		var got []string
		for range 4 {
			msg := next(t, messages)
			got = append(got, string(msg.Payload))
			msg.Ack()
			if string(msg.Payload) == "payout.succeeded" {
				break
			}
		}
		equal(t, topic, fmt.Sprint(got), want)
		closing(t, s)
	}
}

func TestCheckpointSurvivesRestart(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 2, "payout.x", 10)
	s := w.open(t, w.work).Subscriber("g")
	messages := subscribe(t, s, "payout")
	equal(t, "first run", fmt.Sprint(receive(t, messages, 4)), "[1 2 3 4]")
	unanswered := next(t, messages)
	equal(t, "unanswered", string(unanswered.Payload), "5")
	closing(t, s)
	select {
	case <-unanswered.Context().Done():
	default:
		t.Error("the context of a message outlives the subscriber")
	}
	if _, err := s.Subscribe(t.Context(), "payout"); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("subscribing after Close: %v", err)
	}

	b := w.open(t, w.work)
	behind, err := b.Behind(t.Context(), "g", "payout")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "behind", behind, 6)
	s = b.Subscriber("g")
	defer closing(t, s)
	equal(t, "second run", fmt.Sprint(receive(t, subscribe(t, s, "payout"), 6)), "[5 6 7 8 9 10]")
	other := b.Subscriber("other")
	defer closing(t, other)
	equal(t, "another group", fmt.Sprint(receive(t, subscribe(t, other, "payout"), 2)), "[1 2]")
}

func TestNackGivesTheSameMessageAgain(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 2)
	s := w.open(t, w.work).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	for range 3 {
		msg := next(t, messages)
		equal(t, "payload", string(msg.Payload), "1")
		msg.Nack()
	}
	equal(t, "then", fmt.Sprint(receive(t, messages, 2)), "[1 2]")
}

func TestPartitionsDoNotWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 1)
	s := w.open(t, w.work).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	stuck := next(t, messages)
	w.fill(t, 1, "payout.x", 3)
	equal(t, "the other partition", fmt.Sprint(receive(t, messages, 3)), "[1 2 3]")
	stuck.Ack()
}

func TestTwoSubscriptionsOfOneConsumerShare(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 100)
	b := w.open(t, w.work)
	s := b.Subscriber("g")
	first, second := subscribe(t, s, "payout"), subscribe(t, s, "payout")
	var got []string
	for len(got) < 100 {
		select {
		case msg := <-first:
			got = append(got, string(msg.Payload))
			msg.Ack()
		case msg := <-second:
			got = append(got, string(msg.Payload))
			msg.Ack()
		}
	}
	for i, payload := range got {
		equal(t, "each once, in order", payload, fmt.Sprint(i+1))
	}
	closing(t, s)
}

// awayCheckpoints fails when told to.
type awayCheckpoints struct {
	bus.Checkpoints
	mu   sync.Mutex
	away bool
}

func (c *awayCheckpoints) set(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

func (c *awayCheckpoints) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return errors.New("away")
	}
	return nil
}

func (c *awayCheckpoints) Checkpoint(ctx context.Context, group string, partition int) (int64, error) {
	if err := c.err(); err != nil {
		return 0, err
	}
	return c.Checkpoints.Checkpoint(ctx, group, partition)
}

func (c *awayCheckpoints) SetCheckpoint(ctx context.Context, group string, partition int, from, to int64) error {
	if err := c.err(); err != nil {
		return err
	}
	return c.Checkpoints.SetCheckpoint(ctx, group, partition, from, to)
}

func TestAStoreThatIsAwayIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 3)
	c := &awayCheckpoints{Checkpoints: w.work, away: true}
	s := w.open(t, c).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	c.set(false)
	equal(t, "after the first outage", fmt.Sprint(receive(t, messages, 3)), "[1 2 3]")
	c.set(true)
	w.fill(t, 0, "payout.x", 2)
	c.set(false)
	equal(t, "after the second outage", fmt.Sprint(receive(t, messages, 2)), "[1 2]")
}

func TestCheckpointsOfTwoProcessesMeet(t *testing.T) {
	w := newWorld(t)
	w.fill(t, 0, "payout.x", 50)
	one, two := w.open(t, w.work).Subscriber("g"), w.open(t, w.work).Subscriber("g")
	first, second := subscribe(t, one, "payout"), subscribe(t, two, "payout")
	receive(t, first, 30)
	receive(t, second, 10)
	closing(t, one)
	closing(t, two)
	seq, err := w.work.Checkpoint(t.Context(), bus.Consumer("g", "payout"), 0)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the further checkpoint", seq, 30)
}

func TestCheckpointBeyondARestoredLog(t *testing.T) {
	w := newWorld(t)
	if err := w.work.SetCheckpoint(t.Context(), bus.Consumer("g", "payout"), 0, 0, 90); err != nil {
		t.Fatal(err)
	}
	w.fill(t, 0, "payout.x", 5)
	s := w.open(t, w.work).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	for {
		seq, err := w.work.Checkpoint(t.Context(), bus.Consumer("g", "payout"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if seq == 5 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := w.publish(0, record("payout.x", "new")); err != nil {
		t.Fatal(err)
	}
	equal(t, "what is new", fmt.Sprint(receive(t, messages, 1)), "[new]")
}
