package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/eventstore"
)

// about appends one record of partition 0 for each of the subjects. Its data are the subject and its number there.
func (w *world) about(t *testing.T, subjects ...string) {
	t.Helper()
	count := map[string]int{}
	for _, subject := range subjects {
		count[subject]++
		r := record("payout.x", fmt.Sprint(subject, count[subject]))
		r.Subject = subject
		if err := w.publish(0, r); err != nil {
			t.Fatal(err)
		}
	}
}

// wide makes a bus that gives out so many messages at a time.
func (w *world) wide(t *testing.T, log bus.Log, window int) *bus.Bus {
	t.Helper()
	b, err := bus.New(t.Context(), log, w.tail, w.work, bus.Options{
		Window: window, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, FlushAfter: 10 * time.Millisecond,
		Gap: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// take receives n messages, by payload, and acknowledges none.
func take(t *testing.T, messages <-chan *message.Message, n int) map[string]*message.Message {
	t.Helper()
	got := map[string]*message.Message{}
	for range n {
		msg := next(t, messages)
		got[string(msg.Payload)] = msg
	}
	return got
}

func payloads(m map[string]*message.Message) string {
	var all []string
	for payload := range m {
		all = append(all, payload)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// stands waits until the checkpoint of g/payout is at seq.
func (w *world) stands(t *testing.T, seq int64) {
	t.Helper()
	until(t, fmt.Sprint("the checkpoint at ", seq), func() bool {
		got, err := w.work.Checkpoint(t.Context(), bus.Consumer("g", "payout"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got > seq {
			t.Fatalf("the checkpoint is at %d, beyond %d", got, seq)
		}
		return got == seq
	})
}

func TestSubjectsGoSideBySideAndEachInOrder(t *testing.T) {
	w := newWorld(t)
	w.about(t, "a", "a", "b", "c", "a", "b")
	s := w.wide(t, w.log, 100).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")

	first := take(t, messages, 3)
	equal(t, "at first, one of each", payloads(first), "a1 b1 c1")
	first["b1"].Ack()
	second := next(t, messages)
	equal(t, "behind b1", string(second.Payload), "b2")
	second.Ack()
	first["c1"].Ack()
	first["a1"].Nack()
	again := next(t, messages)
	equal(t, "after a negative acknowledgement, nothing overtakes", string(again.Payload), "a1")
	w.stands(t, 0) // a1 is the lowest

	again.Ack()
	a2 := next(t, messages)
	equal(t, "behind a1", string(a2.Payload), "a2")
	w.stands(t, 1)
	a2.Ack()
	equal(t, "the last", fmt.Sprint(receive(t, messages, 1)), "[a3]")
	w.stands(t, 6)
}

func TestAFullWindowWaits(t *testing.T) {
	w := newWorld(t)
	w.about(t, "a", "b", "c", "d")
	s := w.wide(t, w.log, 2).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	first := take(t, messages, 2)
	equal(t, "two places", payloads(first), "a1 b1")
	first["b1"].Ack() // its place is behind a1's
	select {
	case msg := <-messages:
		t.Fatalf("%s was given before the lowest was acknowledged", msg.Payload)
	case <-time.After(20 * time.Millisecond):
	}
	first["a1"].Ack()
	rest := take(t, messages, 2)
	equal(t, "then", payloads(rest), "c1 d1")
}

func TestWhatWasNotAcknowledgedComesAgainAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.about(t, "a", "b", "c", "d", "e")
	s := w.wide(t, w.log, 100).Subscriber("g")
	given := take(t, subscribe(t, s, "payout"), 5)
	for _, payload := range []string{"a1", "b1", "d1"} {
		given[payload].Ack()
	}
	w.stands(t, 2)
	closing(t, s)
	s = w.wide(t, w.log, 100).Subscriber("g")
	defer closing(t, s)
	equal(t, "from the lowest on", payloads(take(t, subscribe(t, s, "payout"), 3)), "c1 d1 e1")
}

func TestACheckpointThatIsSetBackIsFollowed(t *testing.T) {
	w := newWorld(t)
	w.about(t, "a", "b", "c")
	s := w.wide(t, w.log, 100).Subscriber("g")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	for _, msg := range take(t, messages, 3) {
		msg.Ack()
	}
	w.stands(t, 3)
	if err := w.work.SetCheckpoint(t.Context(), bus.Consumer("g", "payout"), 0, 3, 1); err != nil {
		t.Fatal(err)
	}
	w.about(t, "d")
	// d is given before it turns out that the checkpoint was moved; it may come a second time.
	got := map[string]*message.Message{}
	for len(got) < 3 {
		msg := next(t, messages)
		got[string(msg.Payload)] = msg
		msg.Ack()
	}
	equal(t, "again", payloads(got), "b1 c1 d1")
	for {
		select {
		case msg := <-messages:
			msg.Ack()
			continue
		case <-time.After(20 * time.Millisecond):
		}
		break
	}
	w.stands(t, 4)
}

func TestTypesThatNobodyWantsOnlyMoveTheCheckpoint(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"payout.a", "payout.b", "payin.a", "payout.a", "payout.b"} {
		if err := w.publish(0, record(kind, kind)); err != nil {
			t.Fatal(err)
		}
	}
	s := w.wide(t, w.log, 100).Subscriber("g", "payout.b")
	defer closing(t, s)
	messages := subscribe(t, s, "payout")
	first := next(t, messages)
	equal(t, "first", string(first.Payload), "payout.b")
	w.stands(t, 1)
	first.Ack()
	second := next(t, messages)
	equal(t, "second", string(second.Payload), "payout.b")
	w.stands(t, 4)
	second.Ack()
	w.stands(t, 5)
}

// counted counts what is read.
type counted struct {
	bus.Log
	records atomic.Int64
}

func (c *counted) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	records, err := c.Log.Read(ctx, partition, after, limit)
	c.records.Add(int64(len(records)))
	return records, err
}

func TestConsumersShareWhatIsRead(t *testing.T) {
	w := newWorld(t)
	log := &counted{Log: w.log}
	b := w.wide(t, log, 100)
	w.fill(t, 0, "payout.x", 200)
	for _, group := range []string{"one", "two", "three"} {
		s := b.Subscriber(group)
		defer closing(t, s)
		got := receive(t, subscribe(t, s, "payout"), 200)
		equal(t, "the last of "+group, got[199], "200")
	}
	if n := log.records.Load(); n >= 3*200 {
		t.Errorf("%d records were read for three consumers of 200", n)
	}
}
