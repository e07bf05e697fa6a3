// Package bench measures the ledger as people run it: `ledger bench`. Each figure stands beside its limit, measured in turn with
// it in the same run, because absolute figures mean little on a shared machine.
//
//	scratch store -> scenario: (what is timed, its limit) x rounds -> the count, the hot wallet's balance, ledger verify -> removed
//
// A scenario is one file, and one line of scenarios. It never touches the log that --db names.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/projections"
)

// Program is the wiring of the binary: what only package main joins together. Every method works on a scratch store.
type Program interface {
	// Migrate makes the store, with as many partitions as a new store in production has.
	Migrate(ctx context.Context, at Place) error
	// Open opens the store, and a ledger on it, as a command does.
	Open(ctx context.Context, at Place) (*Book, error)
	// Serve makes a merchant of that id, who may call from this machine, and runs the server as `ledger serve` does, with
	// payouts held back from their gateway.
	Serve(ctx context.Context, at Place, merchantID string) (*Server, error)
	// Spawn is Serve in a process of its own.
	Spawn(ctx context.Context, at Place, merchantID string) (*Server, error)
	// Verify is `ledger verify`.
	Verify(ctx context.Context, at Place) ([]ledger.Check, error)
}

// Queue is how many commands may wait for an executor of a scratch store: sixteen callers of a thousand are never told to come
// back later, which would measure their patience.
const Queue = 32_768

// Book is an open store and a ledger on it.
type Book struct {
	Log    eventstore.Store
	Vault  *vault.Vault
	Tail   *tail.Tail
	Ledger *ledger.Ledger
	Views  *projections.Views // nothing keeps them up to date unless their Run is called
	// Statement writes what a merchant can dispose of, as CSV, as `ledger audit statement` does, and counts its lines.
	Statement func(ctx context.Context, w io.Writer, merchantID string, from, to time.Time) (lines int64, err error)
	// Prove makes an inclusion proof, as `ledger proof include` does, and the public key with which it holds.
	Prove func(ctx context.Context, subject string) (file []byte, key string, err error)
	Close func() error
}

// Server is a running server.
type Server struct {
	Address string                      // host:port
	Key     string                      // the merchant's API key
	Records int64                       // in the log, when it was started
	Idle    func(context.Context) error // waits until views and consumers have done what is in the log
	Stop    func() error
	Peak    func() float64 // most that its process has had resident, in MiB; 0 where the system does not tell; nil: it has none of its own
}

// Options say how to measure.
type Options struct {
	Scenarios []string      // all of them without one
	For       time.Duration // of one measurement
	Rounds    int           // of each measurement and its limit, in turn
	Events    int64         // up to which `grow` goes, and of the log of `audit`; 0: presets
	Lines     int64         // of the statement
	Rate      float64       // events a second under which `lag` measures; 0: half of what `settle` reached
	Keep      bool          // leave the scratch stores where they are
	Batch     int           // payouts that a caller of many submits at once
	Large     int           // payouts of the batch beside which single ones are measured
	Wallets   int           // of `append` on many wallets
	History   int           // payouts in the log that `replay` reads
	Tell      func(string)  // told of each step, for people; may be nil
}

// scenario is one thing that is measured.
type scenario struct {
	name string
	what string // one line for people
	run  func(ctx context.Context, w *world) ([]Line, error)
}

// scenarios are all of them, in the order in which they run.
func scenarios() []scenario {
	return []scenario{
		{"classic", "the row-locking design on the same store: one hot account", runClassic},
		{"append", "payouts initiated, durable, every index caught up", runAppend},
		{"settle", "the whole life of a payout, until the views contain it", runSettle},
		{"http", "POST " + payoutPath + ", key, address and rate checked", runHTTP},
		{"overload", "the same, asked for ten times as much as can be in work", runOverload},
		{"batch", "POST " + batchPath + ", 10,000 payouts each, until all of them are held", runBatch},
		{"replay", "reading the log", runReplay},
		{"lag", "from acknowledged to visible in the views", runLag},
		{"statement", "statement of an account, to a file", runStatement},
		{"audit", "trial balances, inclusion proofs, verify", runAudit},
		{"reconcile", "a bank statement taken in, and matched with the books", runReconcile},
		{"grow", "payouts by 16 callers, while the log of one hot wallet grows", runGrow},
	}
}

// Names lists the scenarios.
func Names() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// Presets of Options.Events.
const (
	growEvents  = 1_000_000
	auditEvents = 200_000
)

func (o *Options) growEvents() int64  { return cmp.Or(o.Events, growEvents) }
func (o *Options) auditEvents() int64 { return cmp.Or(o.Events, auditEvents) }

// ErrUnknown means that no scenario has that name.
var ErrUnknown = errors.New("no such scenario")

// Check refuses options that cannot be measured with. ErrUnknown for a scenario that is not there.
func (o *Options) Check() error {
	for _, name := range o.Scenarios {
		if !slices.Contains(Names(), name) {
			return fmt.Errorf("%w: %q (there are %s)", ErrUnknown, name, strings.Join(Names(), ", "))
		}
	}
	switch {
	case o.For <= 0:
		return errors.New("--for must be positive")
	case o.Rounds < 1:
		return errors.New("--rounds must be at least 1")
	case o.Events < 0:
		return errors.New("--events must be at least 1")
	case o.Lines < 1:
		return errors.New("--lines must be at least 1")
	case o.Large < 1 || o.Large > batch.MaxItems:
		return fmt.Errorf("--large: a batch must have 1 to %d payouts", batch.MaxItems)
	case o.Batch < 1 || o.Wallets < 1 || o.History < 1:
		return errors.New("--batch, --wallets and --history must be at least 1")
	case o.Rate < 0:
		return errors.New("--rate must not be negative")
	}
	return nil
}

// Run runs the scenarios, each on a scratch store of its own beside db, and returns what they measured. The report is not OK
// when what was counted is not in the log. An error is a fault of the measurement; the scratch is removed then, too.
func Run(ctx context.Context, program Program, db Location, o Options) (*Report, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	report := &Report{OK: true, Settings: Settings{ForMS: o.For.Milliseconds(), Rounds: o.Rounds}, Machine: machine()}
	shared := &results{}
	for _, s := range scenarios() {
		if len(o.Scenarios) > 0 && !slices.Contains(o.Scenarios, s.name) {
			continue
		}
		result, err := runOne(ctx, program, db, o, s, shared, report)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		report.Scenarios = append(report.Scenarios, result)
		report.OK = report.OK && result.OK
	}
	return report, nil
}

// runOne runs a scenario on a new scratch store, holds the store against what was counted, and removes it.
func runOne(ctx context.Context, program Program, db Location, o Options, s scenario, shared *results, report *Report) (result Scenario, err error) {
	o.Tell(s.name + ": making a scratch store")
	at, err := makeScratch(ctx, db)
	if err != nil {
		return Scenario{}, err
	}
	if o.Keep {
		result.Kept = at.DB
	} else {
		defer func() { err = errors.Join(err, at.remove(ctx)) }()
	}
	if err := program.Migrate(ctx, at.Place); err != nil {
		return Scenario{}, err
	}
	w := &world{Program: program, at: at.Place, opts: o, name: s.name, results: shared}
	if report.Store.Kind == "" {
		if report.Store, err = w.store(ctx); err != nil {
			return Scenario{}, err
		}
		report.Warnings = report.Store.warnings()
	}
	begun := time.Now()
	result.Name, result.What = s.name, s.what
	if result.Lines, err = s.run(ctx, w); err != nil {
		return Scenario{}, err
	}
	o.Tell(s.name + ": verifying")
	pprof.Do(ctx, pprof.Labels("step", "verify"), func(ctx context.Context) { result.Checks, err = w.verify(ctx) })
	if err != nil {
		return Scenario{}, err
	}
	result.OK = !slices.ContainsFunc(result.Checks, func(c Check) bool { return !c.OK })
	result.ElapsedSeconds = round(time.Since(begun).Seconds(), 1)
	return result, nil
}

// results are what later scenarios use of earlier ones.
type results struct {
	classic64 float64 // transfers a second: four statements, 64 clients
	settled   float64 // events a second
}

// world is what a scenario works with.
type world struct {
	Program
	at      Place
	opts    Options
	name    string
	results *results
	tally   tally
	// verified is what `ledger verify` finds, where the scenario has measured that and has appended nothing behind it; else nil.
	verified []ledger.Check
}

func (w *world) tell(format string, args ...any) {
	w.opts.Tell(w.name + ": " + fmt.Sprintf(format, args...))
}

// open opens the scratch store. closing gives it back.
func (w *world) open(ctx context.Context) (*Book, error) { return w.Open(ctx, w.at) }

// closing closes a book and keeps an earlier error: defer closing(book, &err).
func closing(b *Book, err *error) { *err = errors.Join(*err, b.Close()) }
