package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/statement"
	"github.com/khata-ledger/khata/cmd/ledger/bench"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/projections"
)

// benchCommand is `ledger bench`.
type benchCommand struct {
	storeFlags `embed:""`

	Scenarios  []string      `arg:"" optional:"" name:"scenario" help:"Which; all of them unless named: ${scenarios}."`
	JSON       bool          `name:"json" help:"Print JSON for machines."`
	For        time.Duration `default:"3s" help:"How long one measurement takes."`
	Rounds     int           `default:"3" help:"How often each measurement and its limit are taken, in turn."`
	Events     *int64        `help:"Up to how many events grow goes (1,000,000; it also measures at 1,000, 100,000, 1,000,000 and 10,000,000), and how many the log of audit has (200,000)." placeholder:"N"`
	Lines      int64         `default:"100000" help:"Lines of the statement."`
	Batch      int           `default:"1000" help:"Payouts that a caller of many submits at once."`
	Large      int           `default:"100000" help:"Payouts of the batch beside which single payouts are measured."`
	Wallets    int           `default:"10000" help:"Wallets of append on many wallets."`
	History    int           `default:"100000" help:"Payouts in the log that replay reads."`
	Rate       float64       `help:"Events a second under which lag measures; half of what settle reached in the same run unless given." placeholder:"N"`
	Keep       bool          `help:"Leave the scratch stores, and print where they are."`
	Program    string        `help:"Binary whose server overload measures; this one unless given." placeholder:"FILE"`
	CPUProfile string        `name:"cpuprofile" help:"Write a CPU profile of the whole run." placeholder:"FILE"`
}

// Run measures on scratch stores beside the one that --db names, which is never opened.
func (c *benchCommand) Run(ctx context.Context, t *terminal) (err error) {
	loc, err := c.location()
	if err != nil {
		return err
	}
	opts := bench.Options{
		Scenarios: c.Scenarios, For: c.For, Rounds: c.Rounds, Lines: c.Lines, Rate: c.Rate, Keep: c.Keep,
		Batch: c.Batch, Large: c.Large, Wallets: c.Wallets, History: c.History, Tell: t.steps(),
	}
	if c.Events != nil {
		if opts.Events = *c.Events; opts.Events == 0 { // which stands for the presets
			opts.Events = -1
		}
	}
	if err := opts.Check(); err != nil {
		return usageError{err}
	}
	if c.CPUProfile != "" {
		stop, err := profile(c.CPUProfile)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	report, err := bench.Run(ctx, benchProgram{t, c.Program}, bench.Location{Dialect: loc.dialect, DSN: loc.dsn}, opts)
	if err != nil {
		return err
	}
	report.Version = versionText()
	if c.JSON {
		err = report.JSON(t.out)
	} else {
		err = report.Table(t.out)
	}
	if err == nil && !report.OK {
		err = errNo
	}
	return err
}

// steps tells people what is going on, when stderr is a terminal.
func (t *terminal) steps() func(string) {
	if f, ok := t.err.(*os.File); !ok || !isatty.IsTerminal(f.Fd()) {
		return nil
	}
	return func(step string) { complain(t.err, "%s\n", step) }
}

// profile starts a CPU profile. stop writes it.
func profile(path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// benchProgram gives the benchmark the program as it is wired here.
type benchProgram struct {
	t       *terminal
	program string // of Spawn; "": this one
}

func (benchProgram) flags(at bench.Place) *storeFlags {
	return &storeFlags{DB: at.DB, MasterKeyFile: at.MasterKeyFile}
}

// Migrate makes a store with as many partitions as serve gives a new one.
func (p benchProgram) Migrate(ctx context.Context, at bench.Place) error {
	return p.flags(at).migrate(ctx, 0)
}

// Open opens the stores, the views and a ledger.
func (p benchProgram) Open(ctx context.Context, at bench.Place) (_ *bench.Book, err error) {
	s, err := p.flags(at).open(ctx, false)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.openViewsDatabase(ctx, true); err != nil {
		return nil, err
	}
	log := s.tail(p.t)
	views, err := projections.Open(ctx, s.views, projections.Dialect(s.dialect), s.log, log, projections.Options{Logger: p.t.logger()})
	if err != nil {
		return nil, err
	}
	l, err := ledger.Open(ctx, s.log, s.vault, log, ledger.Options{Queue: bench.Queue, Logger: p.t.logger()})
	if err != nil {
		return nil, err
	}
	b := &bench.Book{Log: s.log, Vault: s.vault, Tail: log, Ledger: l, Views: views, Close: func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		return errors.Join(l.Close(ctx), s.Close())
	}}
	b.Statement = func(ctx context.Context, w io.Writer, merchantID string, from, to time.Time) (int64, error) {
		d, err := statementOf(ctx, views, projections.StatementFilter{Account: wallet.AccountAvailable(merchantID), Currency: money.INR, From: from, To: to})
		if err != nil {
			return 0, err
		}
		return writeStatement(ctx, w, statement.CSV, d)
	}
	proofs := notary{&prover{stores: s, views: views}}
	b.Prove = func(ctx context.Context, subject string) ([]byte, string, error) {
		file, err := proofs.Include(ctx, subject, nil)
		if err != nil {
			return nil, "", err
		}
		key, err := proofs.Key(ctx)
		return file, key, err
	}
	return b, nil
}

// Verify is `ledger verify`.
func (p benchProgram) Verify(ctx context.Context, at bench.Place) (checks []ledger.Check, err error) {
	err = reading(ctx, p.flags(at), func(s *stores) error {
		v, err := (&verifyCommand{}).verify(ctx, p.t, s)
		checks = v.Checks
		return err
	})
	return checks, err
}

// Serve is `ledger serve` with its own defaults, but for what the benchmark is about: no wait for the bank, a rate limit that
// is checked and never reached, and payouts held back. Its log goes to a file of the scratch.
func (p benchProgram) Serve(ctx context.Context, at bench.Place, merchantID string) (_ *bench.Server, err error) {
	key, err := p.merchant(ctx, at, merchantID)
	if err != nil {
		return nil, err
	}
	cfg, err := serveDefaults("--db", at.DB, "--master-key-file", at.MasterKeyFile, "--listen", "127.0.0.1:0", "--gateway-wait", "0s",
		"--rate-limit", strconv.Itoa(math.MaxInt32), "--sandbox", "--sandbox-file", filepath.Join(at.Folder, "sandbox.db"), "--queue", strconv.Itoa(bench.Queue))
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(at.Folder, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	stores, err := cfg.open(ctx, false)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	s := &server{cfg: cfg, stores: stores, logger: slog.New(slog.NewJSONHandler(file, &slog.HandlerOptions{Level: cfg.LogLevel}))}
	closeAll := func() error { return errors.Join(stores.Close(), file.Close()) }
	records, err := s.records(ctx)
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	listener, err := s.listen(ctx)
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	s.dispatch.Hold()
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx)) // until Stop: requests under way are answered
	served := make(chan error, 1)
	go func() { served <- s.serveOn(serving, p.t, time.UTC, listener) }()
	stop := func() error {
		cancel()
		return errors.Join(<-served, closeAll())
	}
	if err := s.idle(ctx); err != nil {
		return nil, errors.Join(err, stop())
	}
	return &bench.Server{Address: listener.Addr().String(), Key: key, Records: records, Idle: s.idle, Stop: stop}, nil
}

// serveDefaults are the settings of serve as the command line gives them.
func serveDefaults(args ...string) (*serveCommand, error) {
	var cli struct {
		Serve serveCommand `cmd:""`
	}
	parser, err := kong.New(&cli)
	if err == nil {
		_, err = parser.Parse(append([]string{"serve"}, args...))
	}
	return &cli.Serve, err
}

// merchant makes a merchant that may call from this machine, and returns its key.
func (p benchProgram) merchant(ctx context.Context, at bench.Place, id string) (key string, err error) {
	err = deciding(ctx, p.flags(at), p.t, func(s *stores, l *ledger.Ledger) error {
		made, text, err := s.newKey(ctx, merchant.Full, present())
		if err != nil {
			return err
		}
		key = text
		_, err = submitMerchant(ctx, l, "cli:bench", "bench", merchant.Create{
			Of: merchant.Of{Merchant: id, Actor: "cli:bench"}, Name: "Benchmark", Services: []merchant.Service{merchant.Payout},
			AllowedIPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Plan: fee.Default(), Key: made, At: present(),
		})
		return err
	})
	return key, err
}

// records is how many the log has.
func (s *server) records(ctx context.Context) (n int64, err error) {
	for p := range s.stores.info.Partitions {
		head, err := s.stores.log.Head(ctx, p)
		if err != nil {
			return 0, err
		}
		n += head.Seq
	}
	return n, nil
}

// idle waits until the views and every consumer have done what is in the log.
func (s *server) idle(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		behind := int64(0)
		if s.views.Ready(0) != nil {
			behind = 1
		}
		for _, c := range s.consumes {
			n, err := s.bus.Behind(ctx, c.group, c.topic)
			if err != nil {
				return err
			}
			behind += n
		}
		if behind == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
