package reconciling

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Bounds of a run.
const (
	maxEntries = 5_000_000 // of the books, read at once
	maxGrace   = 366       // days
	lookUps    = 50_000    // references of lines without an entry that are looked for among the payments
	atOnce     = 8         // events of one append
)

// slack is how far the clocks of processes that append may be apart: entries recorded so shortly before a run are read again by the next one.
const slack = 10 * time.Minute

// RunOptions say what a run looks at.
type RunOptions struct {
	Upto  reconcile.Day // lines and entries of later days are left alone; zero: of days behind today
	Grace int           // days for which what is on one side alone is in transit
}

// Ran is what a run has found.
type Ran struct {
	Source string        `json:"source"`
	Run    int           `json:"run"` // number of it; of the last one, where nothing has changed since
	Upto   reconcile.Day `json:"upto"`
	Lines  int           `json:"lines"`
	reconcile.Tally
	Passes   map[reconcile.Pass]int      `json:"passes"`      // matched in this run
	Open     map[reconcile.BreakKind]int `json:"open_breaks"` // now
	Settled  int                         `json:"settled"`     // settlements that were approved before, and posted by this run
	Problems []string                    `json:"problems"`    // settlements that could not be posted
	Currency money.Currency              `json:"currency"`
}

// Reconcile runs the passes over one source, or all of them without a name.
func (s *Service) Reconcile(ctx context.Context, name string, opts RunOptions, o eventstore.Origin, tell Progress) ([]Ran, error) {
	if opts.Grace < 0 || opts.Grace > maxGrace {
		return nil, domain.InvalidField("grace", fmt.Sprintf("must be 0 to %d days", maxGrace))
	}
	if opts.Upto.IsZero() {
		opts.Upto = s.today()
	}
	names, err := s.names(ctx, name)
	if err != nil {
		return nil, err
	}
	out := []Ran{}
	for _, n := range names {
		one, err := s.reconcile(ctx, n, opts, o, tell)
		if err != nil {
			return out, fmt.Errorf("source %s: %w", n, err)
		}
		out = append(out, one)
	}
	return out, nil
}

func (s *Service) reconcile(ctx context.Context, name string, opts RunOptions, o eventstore.Origin, tell Progress) (Ran, error) {
	settled, problems, err := s.postDue(ctx, name, o)
	if err != nil {
		return Ran{}, err
	}
	for n := 1; ; n++ {
		out, err := s.runOnce(ctx, name, opts, o, tell)
		out.Settled, out.Problems = settled, problems
		if domain.CodeOf(err) != domain.Stale || n == attempts {
			return out, err
		}
	}
}

// runOnce is one run on the source as it is now: domain.Stale when it changes meanwhile.
func (s *Service) runOnce(ctx context.Context, name string, opts RunOptions, o eventstore.Origin, tell Progress) (out Ran, err error) {
	var events []reconcile.Event
	var seen int64
	err = s.on(ctx, name, func(src *reconcile.Source) error {
		q, heads, err := s.question(ctx, src, opts, tell)
		if err != nil {
			return err
		}
		a := src.Match(q)
		if err := s.status(ctx, src, a); err != nil {
			return err
		}
		start, _ := src.Covers()
		done := reconcile.RunFinished{Upto: opts.Upto, Start: start, Heads: heads, Actor: o.Actor}
		seen = src.Version
		out = Ran{Source: name, Run: src.Run, Upto: opts.Upto, Lines: len(src.Items), Passes: map[reconcile.Pass]int{}, Currency: src.Currency}
		if events, out.Tally = src.Record(a, done); len(events) > 0 {
			out.Run++
		}
		for i := range a.Matches {
			out.Passes[a.Matches[i].Pass]++
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	for part := range slices.Chunk(events, atOnce) {
		if err := s.log.SubmitSource(ctx, name, seen, part, o); err != nil {
			return out, err
		}
		seen += int64(len(part))
		o.Evidence = nil
	}
	return out, s.on(ctx, name, func(src *reconcile.Source) error {
		out.Open = map[reconcile.BreakKind]int{}
		for _, b := range src.Breaks {
			if !b.Ended() {
				out.Open[b.Kind]++
			}
		}
		return nil
	})
}

// question reads what the lines of a source are compared with.
func (s *Service) question(ctx context.Context, src *reconcile.Source, opts RunOptions, tell Progress) (*reconcile.Question, []string, error) {
	start, _ := src.Covers()
	now := eventstore.Micros(s.clock())
	q := &reconcile.Question{Read: now.Add(-slack), Upto: opts.Upto, Now: s.today(), Grace: opts.Grace}
	var floor time.Time
	if last := src.Last; last != nil && last.Start == start { // else older entries may be looked for
		floor = last.Floor
	}
	heads, err := s.entries(ctx, src, floor, now.Add(slack), func(e reconcile.Entry) error {
		if len(q.Entries) == maxEntries {
			return domain.InvalidField("upto", fmt.Sprintf("there are more than %d entries that are not matched: reconcile up to an earlier day", maxEntries))
		}
		q.Entries = append(q.Entries, e)
		if tell != nil && len(q.Entries)%1000 == 0 {
			tell(int64(len(q.Entries)), max(int64(len(src.Items)), int64(len(q.Entries))))
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if src.Against != "" {
		err = s.on(ctx, src.Against, func(of *reconcile.Source) error {
			q.Groups = of.Groups(opts.Upto)
			return nil
		})
	}
	return q, heads, err
}

// entries calls each with the entries of the accounts that a source mirrors, recorded from a moment on and before another one; it returns the
// positions of the log that they were read up to.
func (s *Service) entries(ctx context.Context, src *reconcile.Source, from, until time.Time, each func(reconcile.Entry) error) ([]string, error) {
	upto := map[int]int64{}
	for _, account := range src.Books {
		st, err := s.views.Statement(ctx, projections.StatementFilter{Account: account, Currency: src.Currency, From: from, To: until})
		if domain.CodeOf(err) == domain.NotFound { // nothing was ever booked there
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading account %s: %w", account, err)
		}
		for _, h := range st.Heads {
			upto[h.Partition] = max(upto[h.Partition], h.Seq)
		}
		for l, err := range st.Lines(ctx) {
			if err != nil {
				return nil, fmt.Errorf("reading account %s: %w", account, err)
			}
			if err := each(s.entry(account, &l)); err != nil {
				return nil, err
			}
		}
	}
	heads := []string{}
	for p := range len(upto) {
		heads = append(heads, eventstore.Position{Partition: p, Seq: upto[p]}.String())
	}
	return heads, nil
}

func (s *Service) entry(account string, l *projections.StatementLine) reconcile.Entry {
	return reconcile.Entry{
		Place:   reconcile.Place{Partition: l.Position.Partition, Seq: l.Position.Seq, Posting: l.Line},
		Account: account, Date: reconcile.DayOf(l.ValueAt, s.zone), RecordedAt: l.RecordedAt, Amount: l.Debit.Sub(l.Credit),
		UTR: strings.ToUpper(strings.TrimSpace(l.UTR)), Gateway: l.BankReference, Transaction: l.Transaction,
		References: [2]string{l.Reference, l.TxnRef}, Tail: l.AccountLast4,
	}
}

// status asks what the ledger says of payments that lines name, and that have no entry.
func (s *Service) status(ctx context.Context, src *reconcile.Source, a *reconcile.Answer) error {
	refs := a.Unknown(src)
	if len(refs) > lookUps {
		refs = refs[:lookUps]
	}
	if len(refs) == 0 {
		return nil
	}
	found, err := s.views.PaymentsByRefs(ctx, refs)
	if err != nil {
		return fmt.Errorf("looking up %d payments: %w", len(refs), err)
	}
	known := map[string]reconcile.Payment{}
	for ref, p := range found {
		known[ref] = reconcile.Payment{Transaction: p.ID, Status: string(p.Status)}
	}
	a.Status(src, known)
	return nil
}
