package bus_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/eventstore"
)

// publisher exists for watermill's suite only: the ledger itself writes to the log by commands. A topic is a record type,
// all of it in one partition; the message's metadata travel in the record's meta.
type publisher struct{ *world }

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	var records []eventstore.Record
	for _, msg := range messages {
		metadata, err := json.Marshal(msg.Metadata)
		if err != nil {
			return err
		}
		r := record(topic+".published", string(msg.Payload))
		if r.EventID, err = uuid.Parse(msg.UUID); err != nil {
			return err
		}
		r.Meta = metadata
		records = append(records, r)
	}
	return p.publish(eventstore.PartitionOf(topic, partitions), records...)
}

func (publisher) Close() error { return nil }

// worlds gives each test of the suite a log of its own, shared by all that the test makes.
type worlds struct {
	mu   sync.Mutex
	made map[string]*world
	open map[string]*bus.Bus
}

func (w *worlds) pubSub(t *testing.T, group string) (message.Publisher, message.Subscriber) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.made[t.Name()]
	if one == nil {
		one = newWorld(t)
		w.made[t.Name()] = one
		w.open[t.Name()] = one.open(t, one.work)
	}
	subscriber := &restoring{inner: w.open[t.Name()].Subscriber(group), t: t, closing: make(chan struct{})}
	t.Cleanup(func() { closing(t, subscriber) }) // the suite leaves some open
	return publisher{one}, subscriber
}

// restoring gives messages the metadata back that they were published with. Watermill's own decorator for that waits, when it
// is closed, for a reader that the suite does not have any more.
type restoring struct {
	inner   message.Subscriber
	t       *testing.T
	once    sync.Once
	closing chan struct{}
	running sync.WaitGroup
}

func (r *restoring) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := r.inner.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	r.running.Go(func() {
		defer close(out)
		for msg := range in {
			var metadata message.Metadata
			if err := json.Unmarshal([]byte(msg.Metadata.Get(bus.MetaOrigin)), &metadata); err != nil {
				r.t.Error(err)
			}
			for k, v := range metadata {
				msg.Metadata.Set(k, v)
			}
			select {
			case out <- msg:
			case <-r.closing:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	return out, nil
}

func (r *restoring) Close() error {
	r.once.Do(func() { close(r.closing) })
	err := r.inner.Close()
	r.running.Wait()
	return err
}

func TestWatermillSuite(t *testing.T) {
	w := &worlds{made: map[string]*world{}, open: map[string]*bus.Bus{}}
	tests.TestPubSub(t,
		tests.Features{
			ConsumerGroups:      true,
			ExactlyOnceDelivery: false, // at least once: the checkpoint trails the acknowledgement
			GuaranteedOrder:     true,
			Persistent:          true,
		},
		func(t *testing.T) (message.Publisher, message.Subscriber) { return w.pubSub(t, "suite") },
		w.pubSub,
	)
}
