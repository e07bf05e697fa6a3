package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/migrations"
	"github.com/khata-ledger/khata/projections"
)

// serveCommand runs the server.
type serveCommand struct {
	storeFlags  `embed:""`
	sandboxLink `embed:""`

	Listen            string         `default:"127.0.0.1:8080" help:"Address of the one listener."`
	Demo              bool           `help:"Also make a demo merchant, and print its key and curl lines."`
	PayinExpiry       time.Duration  `default:"10m" help:"How long a payin can be paid."`
	GatewayWait       time.Duration  `default:"3s" help:"How long a payout waits for the bank before it answers pending."`
	CallbackAttempts  int            `default:"5" help:"Attempts of a callback, in all."`
	CallbackGap       time.Duration  `default:"5m" help:"Time between two attempts."`
	CallbackAllow     []addressRange `help:"Address range that callbacks may go to although it is private; repeatable." placeholder:"CIDR"`
	TrustedProxy      []addressRange `help:"Whose X-Forwarded-For is believed; repeatable." placeholder:"CIDR"`
	RateLimit         int            `default:"600" help:"Requests that a key may make in a minute; 0: no limit."`
	MaxBody           byteSize       `default:"1MiB" help:"Larger request bodies are refused."`
	Queue             int            `default:"8192" help:"Commands that wait to be decided."`
	BatchMax          int            `default:"5000" help:"Commands that are decided at once."`
	TimeZone          string         `default:"Asia/Kolkata" help:"Time zone of from_date and to_date."`
	PayeeVPA          string         `default:"klyropay@sandbox" help:"UPI address that customers pay to."`
	PayeeName         string         `default:"KlyroPay" help:"Name that customers see."`
	AcceptRestoredLog bool           `help:"Serve a log that ends before what was seen of it, after a restore of an older copy."`
	NoMigrate         bool           `help:"Do not bring the schema up to date at start."`
	LogLevel          slog.Level     `default:"info" help:"debug, info, warn or error."`
	DrainNotice       time.Duration  `default:"0s" help:"How long requests are still taken after SIGTERM, for a load balancer to notice."`
}

// Bounds of the server.
const (
	drainWithin    = 20 * time.Second       // for requests under way at a stop
	stopWithin     = 20 * time.Second       // for workers, then for the executors
	pollLog        = 200 * time.Millisecond // how soon what other processes append is seen
	readyLag       = 50_000                 // records that the views may be behind and still count as ready
	readyWithin    = 2 * time.Second
	answerMargin   = 30 * time.Second // beyond --gateway-wait: the longest that a handler takes
	jobLease       = 4 * time.Second  // how long a killed process blocks its jobs; they are kept alive while it lives
	recoverRetry   = 2 * time.Second
	pruneInterval  = time.Hour
	answersKeptFor = 7 * 24 * time.Hour
)

// Validate checks what kong cannot.
func (c *serveCommand) Validate() error {
	switch {
	case c.PayinExpiry <= 0:
		return errors.New("--payin-expiry must be positive")
	case c.GatewayWait < 0:
		return errors.New("--gateway-wait must not be negative")
	case c.CallbackAttempts < 1:
		return errors.New("--callback-attempts must be at least 1")
	case c.CallbackGap < 0:
		return errors.New("--callback-gap must not be negative")
	case c.Queue < 1 || c.BatchMax < 1:
		return errors.New("--queue and --batch-max must be at least 1")
	case c.BatchMax > executor.MaxBatch:
		return fmt.Errorf("--batch-max must be at most %d", executor.MaxBatch)
	case c.MaxBody < 1:
		return errors.New("--max-body must be at least 1 byte")
	case c.RateLimit < 0:
		return errors.New("--rate-limit must not be negative")
	case c.DrainNotice < 0:
		return errors.New("--drain-notice must not be negative")
	}
	return errors.Join(checkListen(c.Listen), c.sandboxLink.check())
}

// checkListen holds an address to listen on against what it must look like, before a store is made.
func checkListen(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("--listen %s: it must be host:port", address)
	}
	return nil
}

// server is everything that runs, joined together.
type server struct {
	cfg      *serveCommand
	logger   *slog.Logger
	stores   *stores
	tail     *tail.Tail
	ledger   *ledger.Ledger
	views    *projections.Views
	ports    *ports
	bank     *bank // nil without the sandbox
	router   *bus.Router
	poison   *bus.Poison
	dispatch *gateway.Dispatcher // nil without a gateway
	expiry   *gateway.Expiry
	inbound  *gateway.Inbound
	outbox   *webhook.Outbox
	sender   *webhook.Sender
	webhooks *webhook.Store
	metrics  *prometheus.Registry
	counts   *counters
	ready    *httpapi.Readiness
}

// Run serves until ctx ends (SIGINT, SIGTERM), then drains and stops.
func (c *serveCommand) Run(ctx context.Context, t *terminal) error {
	logger := slog.New(slog.NewJSONHandler(t.err, &slog.HandlerOptions{Level: c.LogLevel}))
	slog.SetDefault(logger)
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil {
		return usagef("--time-zone: %v", err)
	}
	if !c.NoMigrate {
		if err := c.migrate(ctx); err != nil {
			return err
		}
	}
	stores, err := c.open(ctx, true)
	if err != nil {
		return err
	}
	s := &server{cfg: c, logger: logger, stores: stores}
	return errors.Join(s.run(ctx, t, zone), stores.Close())
}

func (s *server) run(ctx context.Context, t *terminal, zone *time.Location) (err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.cfg.Listen, err)
	}
	base := "http://" + reachable(listener.Addr())
	if err := s.join(ctx, base); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, s.stopLedger(ctx)) }()
	handler, err := s.handler(zone)
	if err != nil {
		return errors.Join(err, listener.Close())
	}

	// Workers outlive the requests: what waits for a bank's answer is answered during the drain.
	workers, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	s.startWorkers(workers, &running)
	defer func() {
		stop(errors.New("the server stops"))
		if !waited(&running, stopWithin) {
			err = errors.Join(err, errors.New("workers did not stop in time"))
		}
		s.logger.Info("stopped")
	}()

	if s.cfg.Demo {
		running.Go(func() { s.demo(workers, t, base) })
	}
	s.logger.Info("serving", "address", listener.Addr().String(), "store", s.stores.dialect,
		"ledger_id", s.stores.info.LedgerID, "partitions", s.stores.info.Partitions, "sandbox", s.bank != nil, "version", versionText())
	return httpapi.Serve(ctx, httpapi.NewServer(handler, s.cfg.GatewayWait+answerMargin, s.logger), listener,
		httpapi.Drain{Ready: s.ready, Notice: s.cfg.DrainNotice, Timeout: drainWithin})
}

// reachable is the address under which this process reaches its own listener.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

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
	s.webhooks = webhook.NewStore(s.stores.workDB)
	s.outbox = webhook.NewOutbox(s.stores.log, s.ledger, s.webhooks, time.Now)
	s.sender = webhook.NewSender(s.webhooks, s.ledger, s.stores.vault, webhook.Options{
		Attempts: s.cfg.CallbackAttempts, Gap: s.cfg.CallbackGap, Allow: prefixes(s.cfg.CallbackAllow), Logger: s.logger.With("part", "callbacks"),
	})
	return s.joinBus(ctx)
}

func (s *server) joinGateways(ctx context.Context, base string) (err error) {
	var payins []gateway.Payins
	var callbacks []gateway.Callbacks
	var routes []gateway.Route
	if s.cfg.sandboxOn(s.stores.location) {
		if s.bank, err = s.cfg.openBank(ctx, s.stores, base, s.logger); err != nil {
			return err
		}
		payins, callbacks = append(payins, s.bank.client), append(callbacks, s.bank.client)
		routes = append(routes, gateway.Route{Payouts: s.bank.client, Policy: gateway.SandboxPolicy()})
	}
	opts := gateway.Options{Count: s.counts.gateway, Log: s.logger, Lease: jobLease}
	s.expiry = gateway.NewExpiry(s.ports, s.stores.work, payins, gateway.ExpiryPolicy{}, opts)
	s.inbound = gateway.NewInbound(s.ports, s.ports, callbacks, opts)
	if len(routes) == 0 {
		s.logger.Warn("no gateway is configured: payouts stay pending, and customers pay to --payee-vpa", "payee_vpa", s.cfg.PayeeVPA)
		return nil
	}
	s.dispatch, err = gateway.NewDispatcher(s.ports, s.stores.work, s.stores.vault, routes, opts)
	return err
}

// joinBus subscribes the consumers that cause effects. They write durable work; bounded workers do it.
func (s *server) joinBus(ctx context.Context) error {
	log := s.logger.With("part", "bus")
	b, err := bus.New(ctx, s.stores.log, s.tail, s.stores.work, bus.Options{Logger: log})
	if err != nil {
		return err
	}
	s.router, err = bus.NewRouter(b, s.poison, bus.RouterOptions{Decode: ledger.DecodeFact, Logger: log})
	if err != nil {
		return err
	}
	consumers := []consumer{
		{"expiry", "payin", s.expiry.Handle},
		{"callbacks", "payin", s.outbox.Handle},
		{"callbacks", "payout", s.outbox.Handle},
	}
	if s.dispatch != nil {
		consumers = append(consumers, consumer{"dispatch", "payout", s.dispatch.Handle})
	}
	for _, c := range consumers {
		if err := s.checkNotRestored(ctx, bus.Consumer(c.group, c.topic)); err != nil {
			return err
		}
		s.router.Handle(c.group, c.topic, c.handle)
	}
	return nil
}

// consumer is what the bus carries a topic to.
type consumer struct {
	group, topic string
	handle       bus.Handler
}

// checkNotRestored refuses a log that ends before what a consumer has already seen: an older copy of it was put back, and
// what was recorded since is lost. The bank may have paid payouts that this log does not know, and merchants that ask
// again would be paid again. A person has to look first.
func (s *server) checkNotRestored(ctx context.Context, name string) error {
	for p := range s.stores.info.Partitions {
		seen, err := s.stores.work.Checkpoint(ctx, name, p)
		if err != nil {
			return err
		}
		head, err := s.stores.log.Head(ctx, p)
		if err != nil {
			return err
		}
		switch {
		case seen <= head.Seq:
		case s.cfg.AcceptRestoredLog:
			s.logger.Warn("the log ends before what was seen of it; going on as told", "consumer", name, "partition", p, "seen", seen, "log", head.Seq)
		default:
			return fmt.Errorf("the log ends at %d:%d, and %s has seen %d:%d: an older copy of the log was restored, and it lacks payments "+
				"that were made since; compare them with the bank's list, then start with --accept-restored-log", p, head.Seq, name, p, seen)
		}
	}
	return nil
}

// startWorkers starts everything that runs in the background; all of it ends when ctx does.
func (s *server) startWorkers(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() { s.tail.Run(ctx) })
	run := func(name string, f func(context.Context) error) {
		running.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("a worker ended", "part", name, "error", err)
			}
		})
	}
	run("views", s.views.Run)
	run("bus", s.router.Run)
	run("expiry", s.expiry.Run)
	run("prune", s.prune)
	running.Go(func() { s.sender.Run(ctx) })
	if s.dispatch != nil {
		run("dispatch", s.dispatch.Run)
	}
	if s.bank != nil && s.bank.server != nil {
		run("sandbox", s.bank.server.Run)
	}
	run("recover", s.recover)
}

// recover makes the jobs again that pending payments need, in case work storage was lost. The views tell which those are.
func (s *server) recover(ctx context.Context) error {
	for {
		err := s.expiry.Recover(ctx, s.ports)
		if err == nil && s.dispatch != nil {
			err = s.dispatch.Recover(ctx, s.ports)
		}
		if err == nil {
			return nil
		}
		s.logger.Warn("jobs of pending payments were not checked; trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(recoverRetry):
		}
	}
}

// prune removes stored answers of Idempotency-Keys that are old; a repeat is then answered from the payment.
func (s *server) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		if _, err := s.stores.work.PruneAnswers(ctx, time.Now().Add(-answersKeptFor)); err != nil && ctx.Err() == nil {
			s.logger.Warn("stored answers were not pruned", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// stopLedger finishes the queued commands and closes the sandbox's book.
func (s *server) stopLedger(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	err := s.ledger.Close(bounded)
	if s.bank != nil {
		err = errors.Join(err, s.bank.Close())
	}
	return err
}

// waited waits for a group, for a bounded time.
func waited(g *sync.WaitGroup, within time.Duration) bool {
	done := make(chan struct{})
	go func() {
		g.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(within):
		return false
	}
}

// sandboxOn: the sandbox bank is on by default with the embedded store, and never silently in production.
func (c *serveCommand) sandboxOn(l location) bool {
	if c.Sandbox != nil {
		return *c.Sandbox
	}
	return l.dialect == migrations.SQLite
}
