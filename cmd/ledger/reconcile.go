package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/bankfile"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/reconciling"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/projections"
)

// reconcileCommand is `ledger reconcile`: the books beside what gateways and banks say.
type reconcileCommand struct {
	Source   reconcileSource   `cmd:"" help:"Make a source: a gateway's settlement reports, or a bank account; or change what it mirrors."`
	Sources  reconcileSources  `cmd:"" help:"List the sources."`
	Import   reconcileImport   `cmd:"" help:"Take in a settlement file or a bank statement."`
	Run      reconcileRun      `cmd:"" help:"Match the lines of files with the entries of the books, and find what does not agree."`
	Breaks   reconcileBreaks   `cmd:"" help:"List what does not agree."`
	Show     reconcileShow     `cmd:"" help:"Show a break; with --narration also the text of its line, which is sealed."`
	Assign   reconcileAssign   `cmd:"" help:"Give a break to somebody."`
	Settle   reconcileSettle   `cmd:"" help:"Propose how a break should be settled; a second person approves."`
	Approve  reconcileApprove  `cmd:"" help:"Approve what somebody else has proposed, and post it."`
	Reject   reconcileReject   `cmd:"" help:"Refuse what somebody has proposed."`
	Internal reconcileInternal `cmd:"" help:"Compare the balances of the books with those of the banks, and the views with a replay of the log."`
}

// reconcileFlags are what all of them share.
type reconcileFlags struct {
	storeFlags
	TimeZone string `default:"Asia/Kolkata" help:"Time zone of the days."`
}

func (f *reconcileFlags) zone() (*time.Location, error) {
	zone, err := time.LoadLocation(f.TimeZone)
	if err != nil {
		return nil, usagef("--time-zone: %v", err)
	}
	return zone, nil
}

// reconciling runs f with reconciliation on the stores. A server may run beside it.
func (f *reconcileFlags) reconciling(ctx context.Context, t *terminal, run func(*stores, *reconciling.Service) error) error {
	zone, err := f.zone()
	if err != nil {
		return err
	}
	return deciding(ctx, &f.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		return run(s, newReconciling(s, l, views, zone))
	})
}

// sourceTerms are the flags that say what a source is.
type sourceTerms struct {
	Kind     reconcile.Kind `enum:"settlement,bank,unset" default:"unset" help:"settlement: a gateway's reports, line by line. bank: statements of an account."`
	Account  string         `help:"The account as the files name it; files of another one are refused." placeholder:"NUMBER"`
	Books    []string       `help:"Accounts of our books that it mirrors, such as gateway:sandbox:receivable. The first one takes adjustments." placeholder:"ACCOUNT"`
	Against  string         `help:"Of a bank account: the settlement source whose settlements come in as one line each." placeholder:"SOURCE"`
	Currency money.Currency `default:"INR" help:"Currency of the account."`
	Fee      string         `help:"Of settlements: what the gateway is to charge on a payment, in percent, such as 2 or 1.75." placeholder:"PERCENT"`
	FeeGST   string         `name:"fee-gst" default:"18" help:"Tax on the fee, in percent." placeholder:"PERCENT"`
	Late     int            `default:"3" help:"Line and entry whose dates are more days apart than this are late; 0: nobody minds." placeholder:"DAYS"`
}

// given tells whether the flags say what a source is.
func (f *sourceTerms) given() bool { return f.Kind != "unset" || len(f.Books) > 0 || f.Against != "" }

func (f *sourceTerms) terms() (reconcile.Terms, error) {
	t := reconcile.Terms{Kind: f.Kind, Account: f.Account, Books: f.Books, Against: f.Against, Late: f.Late}
	if f.Kind == "unset" {
		return t, usagef("--kind settlement or --kind bank is required to make a source")
	}
	if f.Fee == "" {
		return t, nil
	}
	var err error
	if t.Fee, err = reconcile.Charge(f.Fee, f.FeeGST); err != nil {
		return t, usagef("--fee, --fee-gst: %v", err)
	}
	return t, nil
}

type reconcileSource struct {
	reconcileFlags
	actorFlag
	sourceTerms
	Name string `arg:"" help:"Name: a-z, 0-9 and -."`
}

// declared is the answer of `reconcile source`.
type declared struct {
	reconciling.SourceInfo
	Changed bool `json:"changed"`
}

// Run makes a source.
func (c *reconcileSource) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	terms, err := c.terms()
	if err != nil {
		return err
	}
	from, err := origin(actor, "reconcile source", map[string]any{"source": c.Name, "terms": terms})
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		changed, err := r.Declare(ctx, c.Name, c.Currency, terms, from)
		if err != nil {
			return err
		}
		all, err := r.Sources(ctx, c.Name)
		if err != nil {
			return err
		}
		return t.answer(declared{all[0], changed})
	})
}

type reconcileSources struct {
	reconcileFlags
}

// Run lists.
func (c *reconcileSources) Run(ctx context.Context, t *terminal) error {
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		all, err := r.Sources(ctx, "")
		if err != nil {
			return err
		}
		return t.answer(struct {
			Sources []reconciling.SourceInfo `json:"sources"`
		}{all})
	})
}

type reconcileImport struct {
	reconcileFlags
	actorFlag
	sourceTerms
	File   string          `arg:"" help:"File." type:"path"`
	Source string          `required:"" help:"Source that it belongs to. A new one is made with --kind, --account and --books." placeholder:"NAME"`
	Format bankfile.Format `enum:"csv,mt940,camt053,auto" default:"auto" help:"csv, mt940, camt053; auto finds it out."`
	Map    string          `help:"Which column of a CSV is what: a file of YAML or JSON. Not needed for headers that are known." placeholder:"FILE" type:"path"`
}

// maxMapBytes bounds a mapping.
const maxMapBytes = 64 << 10

// Run imports. The file is read whole before anything is written.
func (c *reconcileImport) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	zone, err := c.zone()
	if err != nil {
		return err
	}
	in := bankFile{name: filepath.Base(c.File), format: c.Format}
	if c.Format == "auto" {
		in.format = ""
	}
	if c.Map != "" {
		if in.mapping, err = readBounded(c.Map, maxMapBytes); err != nil {
			return usagef("--map: %v", err)
		}
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		isNew, err := c.expect(ctx, r, &in)
		if err != nil {
			return err
		}
		file, err := c.read(&in, zone)
		if err != nil {
			return err
		}
		from, err := origin(actor, "reconcile import", map[string]any{"source": c.Source, "file": in.name, "sha256": file.SHA256})
		if err != nil {
			return err
		}
		if isNew {
			terms, err := c.terms()
			if err != nil {
				return err
			}
			if terms.Account == "" {
				terms.Account = file.Statement.Account
			}
			if _, err := r.Declare(ctx, c.Source, file.Statement.Currency, terms, from); err != nil {
				return err
			}
		}
		tell, finish := t.progress("importing " + in.name)
		done, err := r.Import(ctx, c.Source, file, from, reconciling.Progress(tell))
		if err = errors.Join(err, finish()); err != nil {
			return err
		}
		return t.answer(done)
	})
}

// expect finds out of which account and currency the file must be; a source that is not there yet is made of the flags.
func (c *reconcileImport) expect(ctx context.Context, r *reconciling.Service, in *bankFile) (isNew bool, err error) {
	known, err := r.Sources(ctx, c.Source)
	switch {
	case err == nil:
		in.account, in.currency = known[0].Account, known[0].Currency
		return false, nil
	case domain.CodeOf(err) != domain.NotFound:
		return false, err
	case !c.given():
		return false, fmt.Errorf("%w; or say with --kind, --account and --books what it is", err)
	}
	in.account, in.currency = c.Account, c.Currency
	_, err = c.terms()
	return true, err
}

func (c *reconcileImport) read(in *bankFile, zone *time.Location) (reconciling.File, error) {
	f, err := os.Open(c.File)
	if err != nil {
		return reconciling.File{}, err
	}
	in.body = f
	file, err := in.read(zone)
	return file, errors.Join(err, f.Close())
}

type reconcileRun struct {
	reconcileFlags
	actorFlag
	Source string        `help:"This source alone." placeholder:"NAME"`
	Upto   reconcile.Day `help:"Leave lines and entries of later days alone." placeholder:"DATE"`
	Grace  days          `default:"1d" help:"What is on one side alone and younger than this is in transit, and no break; such as 1d." placeholder:"DAYS"`
	JSON   bool          `name:"json" help:"Print JSON for machines."`
}

// days is a number of days on the command line: 2d, or 2.
type days int

// UnmarshalText reads it.
func (d *days) UnmarshalText(text []byte) error {
	var n int
	s := strings.TrimSuffix(string(text), "d")
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || fmt.Sprint(n) != s || n < 0 {
		return fmt.Errorf("%q is not a number of days such as 2d", text)
	}
	*d = days(n)
	return nil
}

// ran is the answer of `reconcile run`.
type ran struct {
	Sources []reconciling.Ran `json:"sources"`
}

// Run reconciles.
func (c *reconcileRun) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	from, err := origin(actor, "reconcile run", map[string]any{"source": c.Source, "upto": c.Upto, "grace_days": c.Grace})
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		tell, finish := t.progress("reconciling")
		found, err := r.Reconcile(ctx, c.Source, reconciling.RunOptions{Upto: c.Upto, Grace: int(c.Grace)}, from, reconciling.Progress(tell))
		if err = errors.Join(err, finish()); err != nil {
			return err
		}
		if c.JSON {
			return t.answer(ran{found})
		}
		return printRan(t.out, found)
	})
}

func printRan(out io.Writer, found []reconciling.Ran) error {
	w := bufio.NewWriter(out) // it keeps the first error for Flush
	for i := range found {
		r := &found[i]
		fmt.Fprintf(w, "source %s, run %d, up to %s: %d lines\n", r.Source, r.Run, r.Upto, r.Lines) //nolint:errcheck // see above
		var passes []string
		for _, p := range slices.Sorted(maps.Keys(r.Passes)) {
			passes = append(passes, fmt.Sprintf("%s %d", p, r.Passes[p]))
		}
		//nolint:errcheck // see above
		fmt.Fprintf(w, "  matched      %8d  %s\n  in transit   %8d lines %s, %d entries %s %s\n  breaks       %8d new, %d resolved\n", r.Matched,
			strings.Join(passes, ", "), r.LinesInTransit, r.LinesTransit.Fixed(), r.BooksInTransit, r.BooksTransit.Fixed(), r.Currency, r.Opened, r.Closed)
		for _, k := range reconcile.BreakKinds() {
			if n := r.Open[k]; n > 0 {
				fmt.Fprintf(w, "  open         %8d  %s\n", n, k) //nolint:errcheck // see above
			}
		}
		if r.Settled > 0 {
			fmt.Fprintf(w, "  settled      %8d  that were approved before\n", r.Settled) //nolint:errcheck // see above
		}
		for _, p := range r.Problems {
			fmt.Fprintf(w, "  NOT POSTED   %s\n", p) //nolint:errcheck // see above
		}
	}
	return w.Flush()
}

type reconcileInternal struct {
	reconcileFlags
	Source  string `help:"This source alone." placeholder:"NAME"`
	NoViews bool   `help:"Do not compare the views with a replay of the log."`
	JSON    bool   `name:"json" help:"Print JSON for machines."`
}

// tied is the answer of `reconcile internal`.
type tied struct {
	OK      bool               `json:"ok"`
	Sources []reconciling.Tied `json:"sources"`
	Views   []viewTied         `json:"views"`
}

// viewTied is a view beside a replay of the log.
type viewTied struct {
	View    string `json:"view"`
	OK      bool   `json:"ok"`
	Checked int64  `json:"checked"`
	Problem string `json:"problem,omitempty"`
}

// Run compares, and ends with exit code 1 when something does not tie.
func (c *reconcileInternal) Run(ctx context.Context, t *terminal) error {
	zone, err := c.zone()
	if err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		out := tied{OK: true, Views: []viewTied{}}
		if out.Sources, err = newReconciling(s, l, views, zone).Tie(ctx, c.Source); err != nil {
			return err
		}
		if !c.NoViews {
			if err := out.compare(ctx, views); err != nil {
				return err
			}
		}
		for i := range out.Sources {
			out.OK = out.OK && out.Sources[i].Ties
		}
		if c.JSON {
			err = t.answer(out)
		} else {
			err = out.table(t.out)
		}
		if err == nil && !out.OK {
			err = errNo
		}
		return err
	})
}

// compare holds the views against a replay, as `ledger verify` does.
func (a *tied) compare(ctx context.Context, views *projections.Views) error {
	found, err := views.Check(ctx)
	if err != nil {
		return fmt.Errorf("comparing the views with the log: %w", err)
	}
	for _, f := range found {
		check := viewCheck(f)
		a.Views = append(a.Views, viewTied{f.View, check.OK, check.Checked, check.Problem})
		a.OK = a.OK && check.OK
	}
	return nil
}

func (a *tied) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(format string, args ...any) {
		fmt.Fprintf(w, format+"\n", args...) //nolint:errcheck // Flush has the first error
	}
	for i := range a.Sources {
		s := &a.Sources[i]
		word := map[bool]string{true: "ties", false: "DOES NOT TIE"}[s.Ties]
		if s.Ties && !s.Stated {
			word = "the matches hold; the files state no balances"
		}
		line("source %s, %s to %s: %s", s.Source, s.From, s.To, word)
		line("balance per books\t\t%s\t%s\t", s.Books, s.Currency)
		for _, c := range s.Causes {
			line("%s\t%d\t%s\t%s\t", c.Cause, c.Count, c.Amount, s.Currency)
		}
		line("books with differences\t\t%s\t%s\t", s.Computed, s.Currency)
		if s.Stated {
			line("balance per bank\t\t%s\t%s\t", s.Bank, s.Currency)
		}
		for _, p := range s.Problems {
			line("WRONG: %s", p)
		}
	}
	for _, v := range a.Views {
		line("view %s: %s, %d rows compared with a replay %s", v.View, map[bool]string{true: "ok", false: "WRONG"}[v.OK], v.Checked, v.Problem)
	}
	return w.Flush()
}
