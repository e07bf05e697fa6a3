package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/adapters/bankfile"
	"github.com/khata-ledger/khata/adapters/reconciling"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// reconcileLines is how many lines of a statement are reconciled, unless fewer are asked for.
const reconcileLines = 100_000

// reconcileBooks are the accounts whose entries the lines are of.
func reconcileBooks() []string {
	return []string{wallet.AccountGatewayReceivable(gateway), wallet.AccountFloat(gateway)}
}

// runReconcile measures a bank statement: taken in, and matched with as many entries of the books. Nine lines of ten have the bank's reference, the
// others ours; one of a hundred has another amount than the books.
func runReconcile(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	count := min(w.opts.Lines, reconcileLines)
	w.tell("writing the history of %s entries", plainInt(count))
	h, err := newHistorian(ctx, b, 8, count*7/3+count/100+100) // more than come, so that none is of tomorrow
	if err != nil {
		return nil, err
	}
	if err := h.until(ctx, 1<<62, count); err != nil {
		return nil, err
	}
	w.tally.records.Add(h.count)
	w.tell("building the views")
	if err := b.Views.Reach(ctx); err != nil {
		return nil, err
	}
	csv, err := bankCSV(ctx, b, count)
	if err != nil {
		return nil, err
	}
	d := &teller{world: w, book: b, csv: csv, count: count, service: reconciling.New(b.Ledger, nil, b.Views, b.Vault, reconciling.Options{})}
	taken, err := w.inTurn(ctx,
		measure{"import", d.take}, measure{"reading the file", d.read}, measure{"run", d.run}, measure{"lines and entries read", d.floor})
	if err = errors.Join(err, d.recorded(ctx)); err != nil {
		return nil, err
	}
	l := line("reconcile_import", "a statement read, checked, sealed and appended", "lines", taken[0]).beside("the file read", taken[0], rates(taken[1]))
	m := line("reconcile_run", "lines matched with as many entries, durable", "lines", taken[2]).beside("lines and entries read once", taken[2], rates(taken[3]))
	m.Note = fmt.Sprintf("%s lines are reconciled in %.1f s", plainInt(count), float64(count)/m.RatePerSecond)
	return []Line{l, m}, nil
}

// bankCSV is a statement with a line for each entry.
func bankCSV(ctx context.Context, b *Book, count int64) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("date,amount,utr,reference,narration\n")
	n := int64(0)
	err := eachEntry(ctx, b, func(l *projections.StatementLine) {
		n++
		amount := l.Debit.Sub(l.Credit)
		if n%100 == 0 {
			amount = amount.Add(money.FromMinor(1, money.INR))
		}
		utr, reference := l.UTR, ""
		if n%10 == 0 {
			utr, reference = "", l.Transaction
		}
		fmt.Fprintf(&out, "%s,%s,%s,%s,transfer %d of somebody\n", l.ValueAt.Format(time.DateOnly), amount.Fixed(), utr, reference, n) //nolint:errcheck // to memory
	})
	if err == nil && n != count {
		err = fmt.Errorf("the books have %d entries of %d", n, count)
	}
	return out.Bytes(), err
}

// eachEntry reads the entries of the accounts.
func eachEntry(ctx context.Context, b *Book, each func(*projections.StatementLine)) error {
	for _, account := range reconcileBooks() {
		st, err := b.Views.Statement(ctx, projections.StatementFilter{Account: account, Currency: money.INR, To: time.Now().Add(24 * time.Hour)})
		if err != nil {
			return err
		}
		for l, err := range st.Lines(ctx) {
			if err != nil {
				return err
			}
			each(&l)
		}
	}
	return nil
}

// teller reconciles a statement once a round, each time as another account's.
type teller struct {
	*world
	book    *Book
	csv     []byte
	count   int64
	service *reconciling.Service
	round   int
}

func (d *teller) name() string { return fmt.Sprintf("bench-%d", d.round) }

func (d *teller) file() (reconciling.File, error) {
	m := &bankfile.Mapping{Columns: bankfile.Columns{
		Date: bankfile.Names{"date"}, Amount: bankfile.Names{"amount"}, UTR: bankfile.Names{"utr"}, Reference: bankfile.Names{"reference"},
		Narration: bankfile.Names{"narration"},
	}, DateLayouts: []string{"YYYY-MM-DD"}}
	st, err := bankfile.Read(bytes.NewReader(d.csv), bankfile.CSV, bankfile.Options{Mapping: m})
	sum := sha256.Sum256(d.csv)
	return reconciling.File{SHA256: hex.EncodeToString(sum[:]), Format: "csv", Name: "bench.csv", Statement: &st}, err
}

func (d *teller) read(context.Context) (s sample, err error) {
	begun := time.Now()
	f, err := d.file()
	return sample{count: int64(len(f.Statement.Lines)), elapsed: time.Since(begun)}, err
}

func (d *teller) take(ctx context.Context) (s sample, err error) {
	d.round++
	o := eventstore.Origin{Actor: "cli:bench"}
	terms := reconcile.Terms{Kind: reconcile.Bank, Account: d.name(), Books: reconcileBooks()}
	if _, err := d.service.Declare(ctx, d.name(), money.INR, terms, o); err != nil {
		return s, err
	}
	begun := time.Now()
	f, err := d.file()
	if err != nil {
		return s, err
	}
	done, err := d.service.Import(ctx, d.name(), f, o, nil)
	if err == nil && int64(done.New) != d.count {
		err = fmt.Errorf("%d lines were taken in, of %d", done.New, d.count)
	}
	return sample{count: int64(done.New), elapsed: time.Since(begun)}, err
}

// run begins without anything in memory, as a command does.
func (d *teller) run(ctx context.Context) (s sample, err error) {
	service := reconciling.New(d.book.Ledger, nil, d.book.Views, d.book.Vault, reconciling.Options{})
	begun := time.Now()
	found, err := service.Reconcile(ctx, d.name(), reconciling.RunOptions{Grace: 0}, eventstore.Origin{Actor: "cli:bench"}, nil)
	s.elapsed = time.Since(begun)
	if err != nil {
		return s, err
	}
	s.count = d.count
	if want := int(d.count - d.count/100); found[0].Matched != want {
		err = fmt.Errorf("%d of %d lines are matched, not %d: %+v", found[0].Matched, d.count, want, found[0])
	}
	return s, err
}

// floor reads what a run must read: the source's stream, and the entries.
func (d *teller) floor(ctx context.Context) (s sample, err error) {
	begun := time.Now()
	lines, entries := int64(0), int64(0)
	err = d.book.Ledger.EachOfSource(ctx, d.name(), 0, func(_ *eventstore.Record, e reconcile.Event) error {
		if added, is := e.(*reconcile.LinesAdded); is {
			lines += int64(len(added.Lines))
		}
		return nil
	})
	if err == nil {
		err = eachEntry(ctx, d.book, func(*projections.StatementLine) { entries++ })
	}
	if err == nil && (lines != d.count || entries != d.count) {
		err = fmt.Errorf("%d lines and %d entries were read, of %d", lines, entries, d.count)
	}
	return sample{count: lines, elapsed: time.Since(begun)}, err
}

// recorded counts what the sources have added to the log.
func (d *teller) recorded(ctx context.Context) error {
	for ; d.round > 0; d.round-- {
		err := d.book.Ledger.EachOfSource(ctx, d.name(), 0, func(*eventstore.Record, reconcile.Event) error {
			d.tally.records.Add(1)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
