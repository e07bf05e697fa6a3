package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/projections"
)

// join opens every part and joins them together. Nothing runs yet but the executors.
func (s *server) join(ctx context.Context, base string) (err error) {
	s.metrics = prometheus.NewRegistry()
	s.tail = tail.New(s.stores.log, s.stores.info.Partitions, pollLog, s.logger)
	s.ledger, err = ledger.Open(ctx, s.stores.log, s.stores.vault, s.tail,
		ledger.Options{Queue: s.cfg.Queue, BatchMax: s.cfg.BatchMax, Logger: s.logger})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stopLedger(ctx))
		}
	}()
	if err := s.stores.openViewsDatabase(ctx, true); err != nil {
		return err
	}
	s.stores.makeRoom(s.cfg.Exports)
	s.views, err = projections.Open(ctx, s.stores.views, projections.Dialect(s.stores.dialect), s.stores.log, s.tail,
		projections.Options{Logger: s.logger.With("part", "views")})
	if err != nil {
		return err
	}
	s.ports = &ports{Ledger: s.ledger, views: s.views}
	if s.counts, err = newCounters(s); err != nil {
		return err
	}
	if err := s.joinGateways(ctx, base); err != nil {
		return err
	}
	s.poison = bus.NewPoison(s.stores.workDB)
	s.webhooks = webhook.NewStore(s.stores.workDB, s.stores.workQuick)
	s.outbox = webhook.NewOutbox(s.stores.log, s.ledger, s.webhooks, time.Now)
	s.sender = webhook.NewSender(s.webhooks, s.ledger, s.stores.vault, webhook.Options{
		Attempts: s.cfg.CallbackAttempts, Gap: s.cfg.CallbackGap, Allow: prefixes(s.cfg.CallbackAllow), Logger: s.logger.With("part", "callbacks"),
	})
	s.batches = batches.New(s.ledger, s.stores.vault, openBatches{s.views}, s.stores.work, batches.Options{
		NewID: newID, QueueAge: s.cfg.BatchQueueAge, Lease: jobLease, Log: s.logger.With("part", "batches"),
	})
	return s.joinBus(ctx)
}

func (s *server) joinGateways(ctx context.Context, base string) (err error) {
	var payins []gateway.Payins
	var callbacks []gateway.Callbacks
	var routes []gateway.Route
	var refunds []gateway.RefundRoute
	if s.cfg.sandboxOn(s.stores.location) {
		if s.bank, err = s.cfg.openBank(ctx, s.stores, base, s.cfg.PublicURL, s.logger); err != nil {
			return err
		}
		payins, callbacks = append(payins, s.bank.client), append(callbacks, s.bank.client)
		routes = append(routes, gateway.Route{Payouts: s.bank.client, Policy: gateway.SandboxPolicy()})
		refunds = append(refunds, gateway.RefundRoute{Gateway: s.bank.client.Name(), Refunds: s.bank.client, Policy: gateway.SandboxRefundPolicy()})
	}
	opts := gateway.Options{Count: s.counts.gateway, Log: s.logger, Lease: jobLease}
	s.expiry = gateway.NewExpiry(s.ports, s.stores.work, payins, gateway.ExpiryPolicy{}, opts)
	s.inbound = gateway.NewInbound(s.ports, s.ports, callbacks, opts)
	for _, c := range checkouts() {
		refunds = append(refunds, gateway.RefundRoute{Gateway: c.Spec().Name})
	}
	if s.refunds, err = gateway.NewRefunder(s.ports, s.stores.work, refunds, opts); err != nil {
		return err
	}
	if err := s.joinCheckouts(ctx, base, opts); err != nil {
		return err
	}
	if len(routes) == 0 {
		s.logger.Warn("no gateway is configured: payouts stay pending, and customers pay to --payee-vpa", "payee_vpa", s.cfg.PayeeVPA)
		return nil
	}
	s.dispatch, err = gateway.NewDispatcher(s.ports, s.stores.work, s.stores.vault, routes, opts)
	return err
}

// effectsAtOnce is how many records of a partition a consumer may have under way. What their handlers write at the same time is
// committed together.
const effectsAtOnce = 512

// joinBus subscribes the consumers that cause effects. They write durable work; bounded workers do it.
func (s *server) joinBus(ctx context.Context) error {
	log := s.logger.With("part", "bus")
	b, err := bus.New(ctx, s.stores.log, s.tail, s.stores.work, bus.Options{Window: effectsAtOnce, Logger: log})
	if err != nil {
		return err
	}
	s.router, err = bus.NewRouter(b, s.poison, bus.RouterOptions{Decode: ledger.DecodeFact, Logger: log})
	if err != nil {
		return err
	}
	consumers := []consumer{
		{"expiry", "payin", s.payinEnds, slices.Compact(slices.Sorted(slices.Values(slices.Concat(s.expiry.Types(), s.checkouts.Types()))))},
		{"refunds", "refund", s.refunds.Handle, s.refunds.Types()},
		{"refunds", "suspense", s.refunds.Handle, s.refunds.Types()},
		{"callbacks", "payin", s.outbox.Handle, s.outbox.Types()},
		{"callbacks", "payout", s.outbox.Handle, s.outbox.Types()},
		{"callbacks", "batch", s.outbox.Handle, s.outbox.Types()},
		{"batches", "batch", s.batches.Handle, s.batches.Types()},
		{"batches", "merchant", s.batches.Handle, s.batches.Types()},
	}
	if s.dispatch != nil {
		consumers = append(consumers, consumer{"dispatch", "payout", s.dispatch.Handle, s.dispatch.Types()})
	}
	for _, c := range consumers {
		if err := s.checkNotRestored(ctx, c); err != nil {
			return err
		}
		s.router.Handle(c.group, c.topic, c.handle, c.types...)
	}
	s.bus, s.consumes = b, consumers
	return s.checkNotRewound(ctx)
}

// payinEnds takes note of a payin for its expiry, and for the end of a trial order: one consumer, so that an installation without apps reads the log no
// more often than it did.
func (s *server) payinEnds(ctx context.Context, r eventstore.Record) error {
	if slices.Contains(s.expiry.Types(), r.Type) {
		if err := s.expiry.Handle(ctx, r); err != nil {
			return err
		}
	}
	if slices.Contains(s.checkouts.Types(), r.Type) {
		return s.checkouts.Handle(ctx, r)
	}
	return nil
}

// consumer is what the bus carries a topic to.
type consumer struct {
	group, topic string
	handle       bus.Handler
	types        []string // of record that handle is for
}
