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

	"github.com/khata-ledger/khata/adapters/batches"
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
	newStore    `embed:""`
	sandboxLink `embed:""`

	publishFlags   `embed:""`
	admissionFlags `embed:""`

	Listen            string         `default:"127.0.0.1:8080" help:"Address of the one listener."`
	Demo              bool           `help:"Also make a demo merchant, and print its key and curl lines."`
	PayinExpiry       time.Duration  `default:"10m" help:"How long a payin can be paid."`
	GatewayWait       time.Duration  `default:"3s" help:"How long a payout waits for the bank before it answers pending."`
	CallbackAttempts  int            `default:"5" help:"Attempts of a callback, in all."`
	CallbackGap       time.Duration  `default:"5m" help:"Time between two attempts."`
	CallbacksKept     time.Duration  `default:"17520h" help:"Callbacks that have ended are forgotten so long after they were made; 0: never. Packs of disputes tell of them."`
	CallbackAllow     []addressRange `help:"Address range that callbacks may go to although it is private; repeatable." placeholder:"CIDR"`
	TrustedProxy      []addressRange `help:"Whose X-Forwarded-For is believed; repeatable." placeholder:"CIDR"`
	RateLimit         int            `default:"600" help:"Requests that a key may make in a minute; 0: no limit."`
	MaxBody           byteSize       `default:"1MiB" help:"Larger request bodies are refused."`
	MaxBatchBody      byteSize       `default:"64MiB" help:"Larger bodies of batches are refused."`
	BatchQueueAge     time.Duration  `default:"168h" help:"A batch that waits longer for the wallet's balance is cancelled."`
	Queue             int            `default:"8192" help:"Commands that wait to be decided."`
	BatchMax          int            `default:"2500" help:"Commands that are decided at once."`
	TimeZone          string         `default:"Asia/Kolkata" help:"Time zone of from_date and to_date."`
	PayeeVPA          string         `default:"klyropay@sandbox" help:"UPI address that customers pay to."`
	PayeeName         string         `default:"KlyroPay" help:"Name that customers see."`
	AcceptRestoredLog bool           `help:"Serve a log that ends before what was seen of it, after a restore of an older copy."`
	AcceptLostSecrets bool           `help:"Serve a log whose secrets are lost: what was sealed can never be read again."`
	NoMigrate         bool           `help:"Do not bring the schema up to date at start."`
	Exports           int            `default:"2" help:"Statements, journals and other exports of operators that are made at the same time."`
	PublicURL         string         `name:"public-url" help:"Address under which customers' browsers and payment companies reach this server; http://<listen> unless given." placeholder:"URL"`
	TokenLife         time.Duration  `default:"15m" help:"How long an access token of the KS Pay API holds."`
	RefreshLife       time.Duration  `default:"24h" help:"How long a refresh token holds; it is spent by its use."`
	SignatureLife     time.Duration  `default:"10m" help:"How long a signature holds."`
	CheckoutExpiry    time.Duration  `default:"30m" help:"How long a transaction of the KS Pay API can be paid."`
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
	orderWait      = 25 * time.Second // for a gateway's order, with all attempts
	answerMargin   = 30 * time.Second // beyond --gateway-wait or orderWait: the longest that a handler takes
	jobLease       = 4 * time.Second  // how long a killed process blocks its jobs; they are kept alive while it lives
	recoverRetry   = 2 * time.Second
	pruneInterval  = time.Hour
	answersKeptFor = 7 * 24 * time.Hour
	exportsEnd     = 15 * time.Second // at a stop, exports under way have so long: less than drainWithin
	maxExports     = 64
	maxLife        = 90 * 24 * time.Hour // of tokens, signatures and transactions of the KS Pay API
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
	case c.CallbacksKept < 0:
		return errors.New("--callbacks-kept must not be negative")
	case c.BatchMax > executor.MaxBatch:
		return fmt.Errorf("--batch-max must be at most %d", executor.MaxBatch)
	case c.BatchQueueAge <= 0:
		return errors.New("--batch-queue-age must be positive")
	case c.MaxBody < 1 || c.MaxBatchBody < 1:
		return errors.New("--max-body and --max-batch-body must be at least 1 byte")
	case c.RateLimit < 0:
		return errors.New("--rate-limit must not be negative")
	case c.Exports < 1 || c.Exports > maxExports:
		return fmt.Errorf("--exports must be from 1 to %d", maxExports)
	case c.TokenLife < time.Second || c.RefreshLife < time.Second || c.SignatureLife < time.Second || c.CheckoutExpiry < time.Second:
		return errors.New("--token-life, --refresh-life, --signature-life and --checkout-expiry must be at least 1s")
	case c.TokenLife > maxLife || c.RefreshLife > maxLife || c.SignatureLife > maxLife || c.CheckoutExpiry > maxLife:
		return fmt.Errorf("--token-life, --refresh-life, --signature-life and --checkout-expiry must be at most %s", maxLife)
	case c.DrainNotice < 0:
		return errors.New("--drain-notice must not be negative")
	}
	var public error
	if c.PublicURL != "" {
		_, public = checkBase("--public-url", c.PublicURL)
	}
	return errors.Join(checkListen(c.Listen), public, c.sandboxLink.check(), c.publishFlags.check(), c.admissionFlags.check())
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
	bus      *bus.Bus
	consumes []consumer
	router   *bus.Router
	poison   *bus.Poison
	dispatch *gateway.Dispatcher // nil without a gateway
	expiry   *gateway.Expiry
	refunds  *gateway.Refunder
	inbound  *gateway.Inbound
	outbox   *webhook.Outbox
	sender   *webhook.Sender
	webhooks *webhook.Store
	batches  *batches.Service

	links     *links
	companies []gateway.Checkout
	checkouts *gateway.Checkouts
	apps      *appReader

	metrics   *prometheus.Registry
	counts    *counters
	admission *httpapi.Admission // what bounds the requests
	ready     *httpapi.Readiness
	exports   context.Context //nolint:containedctx // ends when exports that are under way have to
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
		if err := c.migrate(ctx, c.Partitions); err != nil {
			return err
		}
	}
	if c.AcceptLostSecrets {
		if err := c.acceptLostSecrets(ctx); err != nil {
			return err
		}
	}
	stores, err := c.open(ctx, true)
	if err != nil {
		return err
	}
	if err := stores.warnOfCrashes(ctx, logger); err != nil {
		return errors.Join(err, stores.Close())
	}
	s := &server{cfg: c, logger: logger, stores: stores}
	return errors.Join(s.run(ctx, t, zone), stores.Close())
}

func (s *server) run(ctx context.Context, t *terminal, zone *time.Location) error {
	listener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	return s.serveOn(ctx, t, zone, listener)
}

// listen takes the address and joins the parts; nothing is served yet.
func (s *server) listen(ctx context.Context) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", s.cfg.Listen, err)
	}
	if err := s.join(ctx, "http://"+reachable(listener.Addr())); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// serveOn serves on a listener that listen gave, until ctx ends.
func (s *server) serveOn(ctx context.Context, t *terminal, zone *time.Location, listener net.Listener) (err error) {
	defer func() { err = errors.Join(err, s.stopLedger(ctx)) }()
	exports, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(exportsEnd, cut) })()
	s.exports = exports
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
		running.Go(func() { s.demo(workers, t, "http://"+reachable(listener.Addr())) })
	}
	s.logger.Info("serving", "address", listener.Addr().String(), "store", s.stores.dialect,
		"ledger_id", s.stores.info.LedgerID, "partitions", s.stores.info.Partitions, "sandbox", s.bank != nil, "version", versionText())
	return httpapi.Serve(ctx, httpapi.NewServer(handler, max(s.cfg.GatewayWait, orderWait)+answerMargin, s.logger), s.admission.Connections.Bound(listener),
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
