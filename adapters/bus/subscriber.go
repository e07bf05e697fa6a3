package bus

import (
	"context"
	"errors"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// ErrClosed is the answer of a Subscriber that was closed.
var ErrClosed = errors.New("the subscriber is closed")

// Subscriber is the log as one consumer group sees it. It is safe for concurrent use.
type Subscriber struct {
	bus     *Bus
	group   string
	types   []string
	inside  bool // its messages are for a Router
	closing chan struct{}

	mu     sync.Mutex // guards closed, and running against a concurrent Close
	closed bool

	running sync.WaitGroup // subscriptions
}

var _ message.Subscriber = (*Subscriber)(nil)

// Subscriber makes a subscriber of a consumer group. With types given, only records of these types become messages; all others
// only move the checkpoint. Close it.
func (b *Bus) Subscriber(group string, types ...string) *Subscriber {
	return &Subscriber{bus: b, group: group, types: types, closing: make(chan struct{})}
}

// Subscribe gives the records of a topic from where the group has got to: "log" for all records, a prefix of their type such
// as "payout", or a type. The channel is closed when ctx ends or the subscriber is closed; what was not acknowledged by
// then comes again. ErrClosed after Close.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		s.pump(ctx, topic, out)
	})
	return out, nil
}

// pump runs one reader for each partition, until ctx ends or the subscriber is closed.
func (s *Subscriber) pump(ctx context.Context, topic string, out chan<- *message.Message) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var readers sync.WaitGroup
	for p := range s.bus.partitions {
		r := &reader{
			bus: s.bus, topic: topic, types: s.types, inside: s.inside, partition: p, consumer: Consumer(s.group, topic), out: out,
			logger: s.bus.options.Logger.With("consumer", Consumer(s.group, topic), "partition", p),
		}
		readers.Go(func() { r.run(ctx) })
	}
	select {
	case <-s.closing:
	case <-ctx.Done():
	}
	cancel()
	readers.Wait()
}

// Close ends all subscriptions and waits until their checkpoints are written and their channels closed.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
