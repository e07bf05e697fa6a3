package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/khata-ledger/khata/eventstore"
)

// maxPanics is how often a handler may panic at one record before the record is put aside.
const maxPanics = 5

// Handler causes the effect of a record: it writes durable, idempotent work. An error has the record given again. An
// error with a method Permanent() bool that says true has the record put aside.
type Handler func(ctx context.Context, r eventstore.Record) error

// RouterOptions configure a Router. Zero values mean the defaults.
type RouterOptions struct {
	// Decode, when set, is tried on each record before its handler; what it refuses is put aside.
	Decode       func(r *eventstore.Record) (any, error)
	MinBackoff   time.Duration // first gap between two tries of a handler; default 100 ms
	MaxBackoff   time.Duration // longest gap; default 2 s: a store that is back is noticed soon
	CloseTimeout time.Duration // how long Close waits for handlers; default 10 s
	Logger       *slog.Logger  // default slog.Default()
}

// Router runs handlers over the log: for each of them watermill's Recoverer inside Retry inside PoisonQueue. Retry has to be
// outside Recoverer, or a panic would not be retried, and inside PoisonQueue, or nothing would ever be. There is no
// Deduplicator: handlers dedupe by event id, in what they write.
type Router struct {
	bus    *Bus
	poison *Poison
	decode func(*eventstore.Record) (any, error)
	logger *slog.Logger
	router *message.Router

	mu       sync.Mutex
	handlers map[string]Handler // by consumer
}

// NewRouter makes a router without handlers.
func NewRouter(b *Bus, poison *Poison, options RouterOptions) (*Router, error) {
	if options.MinBackoff <= 0 {
		options.MinBackoff = 100 * time.Millisecond
	}
	if options.MaxBackoff <= 0 {
		options.MaxBackoff = 2 * time.Second
	}
	if options.CloseTimeout <= 0 {
		options.CloseTimeout = 10 * time.Second
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	logger := watermillLogger(options.Logger)
	inner, err := message.NewRouter(message.RouterConfig{CloseTimeout: options.CloseTimeout}, logger)
	if err != nil {
		return nil, fmt.Errorf("making the router: %w", err)
	}
	r := &Router{bus: b, poison: poison, decode: options.Decode, logger: options.Logger, router: inner, handlers: map[string]Handler{}}
	aside, err := middleware.PoisonQueueWithFilter(poisonPublisher{r}, "poison", hopeless)
	if err != nil {
		return nil, fmt.Errorf("making the router: %w", err)
	}
	retry := middleware.Retry{
		MaxRetries:      -1, // for ever
		InitialInterval: options.MinBackoff, MaxInterval: options.MaxBackoff, Multiplier: 2, RandomizationFactor: 0.3,
		ShouldRetry:         shouldRetry,
		ResetContextOnRetry: true,
		Logger:              logger,
	}
	inner.AddMiddleware(aside, retry.Middleware, middleware.Recoverer)
	return r, nil
}

// watermillLogger is slog for watermill, whose "info" is our debug.
func watermillLogger(l *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(l, map[slog.Level]slog.Level{
		slog.LevelInfo: slog.LevelDebug, slog.LevelDebug: watermill.LevelTrace, watermill.LevelTrace: watermill.LevelTrace,
	})
}

// permanent tells errors that another try cannot cure.
func permanent(err error) bool {
	var says interface{ Permanent() bool }
	return errors.As(err, &says) && says.Permanent()
}

func shouldRetry(p middleware.RetryParams) bool {
	var panicked middleware.RecoveredPanicError
	if errors.As(p.Err, &panicked) {
		return p.RetryNum+1 < maxPanics
	}
	return !permanent(p.Err)
}

// hopeless tells which errors that come out of Retry poison the record. Others, such as the end of the context, have it
// given again.
func hopeless(err error) bool {
	var panicked middleware.RecoveredPanicError
	return permanent(err) || errors.As(err, &panicked)
}

// undecodable is the error of a record that cannot be read.
type undecodable struct{ err error }

func (e *undecodable) Error() string { return "undecodable record: " + e.err.Error() }
func (e *undecodable) Unwrap() error { return e.err }

// Permanent says that another try is of no use.
func (*undecodable) Permanent() bool { return true }

// Handle registers a handler for the records of a topic that are of these types, or for all of them when none is given, as the
// consumer Consumer(group, topic). With a Window of more than one it is called for several subjects at a time. Register before
// Run; a consumer registered twice is a bug and panics.
func (r *Router) Handle(group, topic string, h Handler, types ...string) {
	consumer := Consumer(group, topic)
	subscriber := r.bus.Subscriber(group, types...)
	subscriber.inside = true
	r.mu.Lock()
	defer r.mu.Unlock()
	r.router.AddConsumerHandler(consumer, topic, subscriber, func(msg *message.Message) error {
		record, err := RecordOf(msg)
		if err != nil {
			return &undecodable{err}
		}
		return r.handle(msg.Context(), record, h)
	})
	r.handlers[consumer] = h
}

func (r *Router) handle(ctx context.Context, record eventstore.Record, h Handler) error {
	if r.decode != nil {
		if _, err := r.decode(&record); err != nil {
			return &undecodable{fmt.Errorf("record %s: %w", record.Position(), err)}
		}
	}
	if err := h(ctx, record); err != nil {
		return fmt.Errorf("record %s (%s): %w", record.Position(), record.Type, err)
	}
	return nil
}

// Run handles records until ctx ends or Close is called.
func (r *Router) Run(ctx context.Context) error {
	if err := r.router.Run(ctx); err != nil {
		return fmt.Errorf("running the consumers: %w", err)
	}
	return nil
}

// Running is closed once all handlers have subscribed.
func (r *Router) Running() <-chan struct{} { return r.router.Running() }

// Close stops the handlers and waits for them, for at most RouterOptions.CloseTimeout.
func (r *Router) Close() error {
	if err := r.router.Close(); err != nil {
		return fmt.Errorf("stopping the consumers: %w", err)
	}
	return nil
}

// Replay gives a poisoned record to its handler again, and forgets that it was poisoned when that succeeds.
// eventstore.ErrNotFound when it is not poisoned, or the consumer is not one of this router's.
func (r *Router) Replay(ctx context.Context, consumer string, at eventstore.Position) error {
	r.mu.Lock()
	h := r.handlers[consumer]
	r.mu.Unlock()
	if h == nil {
		return fmt.Errorf("consumer %s: %w", consumer, eventstore.ErrNotFound)
	}
	found, err := r.poison.holds(ctx, consumer, at)
	if err == nil && !found {
		err = fmt.Errorf("poisoned record %s of %s: %w", at, consumer, eventstore.ErrNotFound)
	}
	if err != nil {
		return err
	}
	records, err := r.bus.log.Read(ctx, at.Partition, at.Seq-1, 1)
	if err != nil {
		return fmt.Errorf("replaying record %s: %w", at, err)
	}
	if len(records) == 0 || records[0].Seq != at.Seq {
		return fmt.Errorf("replaying record %s: %w", at, eventstore.ErrNotFound)
	}
	if err := r.recovering(ctx, records[0], h); err != nil {
		return err
	}
	return r.poison.remove(ctx, consumer, at)
}

func (r *Router) recovering(ctx context.Context, record eventstore.Record, h Handler) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = middleware.RecoveredPanicError{V: v, Stacktrace: string(debug.Stack())}
		}
	}()
	return r.handle(ctx, record, h)
}
