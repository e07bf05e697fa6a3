package projections

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// statementPage is how many lines are read at once.
const statementPage = 2000

// Lines reads the lines in their order, in constant memory: by pages of the journal's key; by value, as the database sorts them. Behind the
// last one the balances have been checked: by recording, each line against the balance that the journal has behind it, and always the sum
// of all lines against Closing. ErrUnbalanced names the line, or the partition.
func (s *Statement) Lines(ctx context.Context) iter.Seq2[StatementLine, error] {
	return func(yield func(StatementLine, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var readers sync.WaitGroup
		defer readers.Wait()
		defer cancel()
		feeds := make([]*statementFeed, len(s.parts))
		for i := range s.parts {
			f := &statementFeed{of: s, part: &s.parts[i], running: s.parts[i].opening, pages: make(chan []statementEntry, 1)}
			readers.Go(func() { f.run(ctx) })
			feeds[i] = f
		}
		balance := s.Opening
		for {
			f, err := s.first(feeds)
			if err != nil {
				yield(StatementLine{}, err)
				return
			}
			if f == nil {
				return
			}
			e := &f.rows[f.next]
			f.next++
			balance = balance.Add(s.normal(e.debit - e.credit))
			l := e.line(s.Currency, balance)
			if s.ByValue {
				l.PostedAt, l.LateFor = s.posted(e)
			}
			if !yield(l, nil) {
				return
			}
		}
	}
}

// first is the feed whose next line is the earliest, checked; nil behind the last line of all.
func (s *Statement) first(feeds []*statementFeed) (*statementFeed, error) {
	var earliest *statementFeed
	for _, f := range feeds {
		if err := f.fill(); err != nil {
			return nil, err
		}
		if f.next < len(f.rows) && (earliest == nil || s.compare(&f.rows[f.next], &earliest.rows[earliest.next]) < 0) {
			earliest = f
		}
	}
	if earliest == nil {
		return nil, nil
	}
	e := &earliest.rows[earliest.next]
	earliest.running += e.debit - e.credit
	if !s.ByValue && earliest.running != e.balance {
		return nil, fmt.Errorf("%w: behind record %s, line %d of %s, it has %s, but the journal has %s", ErrUnbalanced,
			e.position(), e.lineRow.line, s.Account, s.normal(earliest.running), s.normal(e.balance))
	}
	return earliest, nil
}

func (s *Statement) compare(a, b *statementEntry) int {
	byValue := 0
	if s.ByValue {
		x, _ := s.posted(a)
		y, _ := s.posted(b)
		byValue = x.Compare(y)
	}
	return cmp.Or(byValue, cmp.Compare(a.recordedAt, b.recordedAt), cmp.Compare(a.partition, b.partition), cmp.Compare(a.seq, b.seq),
		cmp.Compare(a.lineRow.line, b.lineRow.line))
}

// posted is when a line counts by value, and for which period it is late.
func (s *Statement) posted(e *statementEntry) (time.Time, string) {
	at, late := s.closes.Posted(instant(e.effectiveAt), books.Mark{Partition: int(e.partition), Seq: e.seq})
	if late == nil {
		return at, ""
	}
	return at, late.Name
}

// statementFeed reads the lines of one partition ahead of who merges them.
type statementFeed struct {
	of    *Statement
	part  *statementPart
	pages chan []statementEntry
	err   error // why pages was closed early; the reader writes it before

	rows    []statementEntry // of the page being merged
	next    int
	running int64 // debits less credits, up to the line that is next
	ended   bool
}

// fill waits for a page when there is no line left. Behind the last one, the balance is checked.
func (f *statementFeed) fill() error {
	for f.next == len(f.rows) && !f.ended {
		rows, more := <-f.pages
		if more {
			f.rows, f.next = rows, 0
			continue
		}
		if f.err != nil {
			return f.err
		}
		f.ended = true
		if f.running != f.part.closing {
			return fmt.Errorf("%w: %s with its lines has %s in partition %d, but closes with %s", ErrUnbalanced, f.of.Account,
				f.of.normal(f.running), f.part.partition, f.of.normal(f.part.closing))
		}
	}
	return nil
}

func (f *statementFeed) run(ctx context.Context) {
	defer close(f.pages)
	read := f.readKeys
	if f.of.ByValue {
		read = f.readSorted
	}
	f.err = read(ctx)
}

func (f *statementFeed) send(ctx context.Context, page []statementEntry) error {
	for i := range page {
		if err := f.of.views.identify(ctx, f.of.Account, &page[i]); err != nil {
			return err
		}
	}
	select {
	case f.pages <- page:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// readKeys reads page after page behind the key of the last line.
func (f *statementFeed) readKeys(ctx context.Context) error {
	after := lineRow{recordedAt: micros(f.of.From), seq: -1}
	for {
		var page []statementEntry
		err := f.of.views.keyed(ctx, func(q querier, generations []int64) error {
			page = make([]statementEntry, 0, f.of.page)
			text, args := f.keysQuery(generations, &after)
			rows, err := q.QueryContext(ctx, text, args...)
			if err != nil {
				return explain(err)
			}
			return scanStatement(rows, func(e *statementEntry) error {
				page = append(page, *e)
				return nil
			})
		})
		if err != nil {
			return err
		}
		if len(page) > 0 {
			after = page[len(page)-1].lineRow
			if err := f.send(ctx, page); err != nil {
				return err
			}
		}
		if len(page) < f.of.page {
			return nil
		}
	}
}

func (f *statementFeed) keysQuery(generations []int64, after *lineRow) (text string, args []any) {
	return "SELECT " + statementColumns + " " + f.sources(generations) + fmt.Sprintf(` AND l.recorded_at >= $5 AND l.recorded_at < $6
		AND (l.recorded_at, l.seq, l.line) > ($5, $7, $8) ORDER BY l.recorded_at, l.seq, l.line LIMIT %d`, f.of.page),
		append(f.arguments(), after.recordedAt, micros(f.of.To), after.seq, after.line)
}

// readSorted reads everything in one query, which the database sorts: on its disk, when there is much.
func (f *statementFeed) readSorted(ctx context.Context) error {
	return f.of.views.keyed(ctx, func(q querier, generations []int64) error {
		text, args := f.sortedQuery(generations)
		rows, err := q.QueryContext(ctx, text, args...)
		if err != nil {
			return explain(err)
		}
		page := make([]statementEntry, 0, f.of.page)
		err = scanStatement(rows, func(e *statementEntry) error {
			if page = append(page, *e); len(page) < f.of.page {
				return nil
			}
			full := page
			page = make([]statementEntry, 0, f.of.page)
			return f.send(ctx, full)
		})
		if err != nil || len(page) == 0 {
			return err
		}
		return f.send(ctx, page)
	})
}

func (f *statementFeed) sortedQuery(generations []int64) (text string, args []any) {
	inside, posted := f.inside()
	return "SELECT " + statementColumns + " " + f.sources(generations) + inside + " ORDER BY " + posted + ", l.recorded_at, l.seq, l.line",
		append(f.arguments(), micros(f.of.From), micros(f.of.To))
}

// inside is the condition for a line to be posted in the period, from $5 and before $6, and when it is.
func (f *statementFeed) inside() (condition, posted string) {
	const counted = " AND l.effective_at < $6"
	closes := f.of.closes
	if len(closes) == 0 { // everything that has not ended in a close
		return " AND l.effective_at >= $5" + counted, "l.effective_at"
	}
	mark := func(c *books.Closing) int64 { return c.Marks[f.part.partition].Seq }
	// What has an earlier value date and is late for everything that ends before the period's first instant is posted in it, or behind it.
	condition = fmt.Sprintf(" AND (l.effective_at >= $5 OR l.seq > %d)", mark(&closes[0])) + counted
	if end := closes.Freezing(f.of.To); end != nil {
		condition += fmt.Sprintf(" AND l.seq <= %d", mark(end))
		closes = closes[:len(closes)-1]
	}
	return condition, f.of.views.later("l.effective_at", steps(closes, mark))
}

// steps is SQL for the end of the last of some closes that a line l is recorded behind, in microseconds; 0 for none. A binary search, so that
// many closes cost a line little.
func steps(closes books.Closings, mark func(*books.Closing) int64) string {
	if len(closes) == 0 {
		return "0"
	}
	var search func(low, high int) string // of the first low closes it is behind, of those from high on it is not
	search = func(low, high int) string {
		if low == high {
			if low == 0 {
				return "0"
			}
			return strconv.FormatInt(micros(closes[low-1].To), 10)
		}
		middle := (low + high) / 2
		return fmt.Sprintf("CASE WHEN l.seq > %d THEN %s ELSE %s END", mark(&closes[middle]), search(middle+1, high), search(low, middle))
	}
	return search(0, len(closes))
}

// later is SQL for the later one of two times.
func (v *Views) later(a, b string) string {
	switch {
	case b == "0":
		return a
	case v.dialect == SQLite:
		return "max(" + a + ", " + b + ")"
	}
	return "greatest(" + a + ", " + b + ")"
}

// sources is the lines of the account $2 in partition $1 up to seq $3, each with its payment: of merchant $4, where the account is a
// merchant's. Other accounts know no merchant; an id is of one payment in a partition.
func (f *statementFeed) sources(generations []int64) string {
	key := "p.id = l.subject AND p.merchant = $4"
	if f.of.Merchant == "" {
		key = "p.id = l.subject AND $4 = '' AND p.partition = l.partition"
	}
	return fmt.Sprintf("FROM %s AS l %s WHERE l.partition = $1 AND l.account = $2 AND l.seq <= $3", lineTable.in(generations[0]),
		f.of.views.found("p", paymentTable.in(generations[1]), key))
}

func (f *statementFeed) arguments() []any {
	return []any{f.part.partition, f.part.account, f.part.upto, f.of.Merchant}
}

// keyed calls read with the generations of journal and payments; on PostgreSQL in a transaction that finds rows by their keys: see joined.
func (v *Views) keyed(ctx context.Context, read func(q querier, generations []int64) error) error {
	return v.servingAll(ctx, []projection{journal{}, payments{}}, func(generations []int64) error {
		if v.dialect != Postgres {
			return read(v.db, generations)
		}
		tx, err := v.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return explain(err)
		}
		defer tx.Rollback() //nolint:errcheck // it has only read
		if _, err := tx.ExecContext(ctx, byKeysOnly); err != nil {
			return explain(err)
		}
		return read(tx, generations)
	})
}

// statementEntry is a line of the journal with its payment; kind is ” when it has none.
type statementEntry struct {
	lineRow
	typ, suspense string // from identify

	kind, status, merchant, reference string
	first                             int64 // seq of the payment's first record
	amount, commission                int64
	bankName, accountLast4, batch     string
	utr, reason, returnReference      string
	txnRef, bankReference, paymentID  string
	paidAfterRefund                   int64
	suspended, disputed               int64 // 1: the payment has entries in suspense; disputes or refunds
}

const statementColumns = `l.partition, l.account, l.recorded_at, l.seq, l.line, l.debit, l.credit, l.balance, l.effective_at, l.subject,
	coalesce(p.kind, ''), coalesce(p.status, ''), coalesce(p.merchant, ''), coalesce(p.reference, ''), coalesce(p.seq, 0),
	coalesce(p.amount, 0), coalesce(p.commission, 0), coalesce(p.bank_name, ''), coalesce(p.account_last4, ''), coalesce(p.batch, ''),
	coalesce(p.utr, ''), coalesce(p.reason, ''), coalesce(p.return_reference, ''), coalesce(p.paid_after_refund, 0),
	CASE WHEN coalesce(p.suspense, '') = '' THEN 0 ELSE 1 END, CASE WHEN coalesce(p.disputes, '') = '' AND coalesce(p.refunds, '') = '' THEN 0 ELSE 1 END,
	coalesce(p.txn_ref, ''), coalesce(p.bank_reference, ''), coalesce(p.payment_id, '')`

// scanStatement calls each for every row, and closes them.
func scanStatement(rows *sql.Rows, each func(*statementEntry) error) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	var e statementEntry
	targets := []any{
		&e.partition, &e.account, &e.recordedAt, &e.seq, &e.lineRow.line, &e.debit, &e.credit, &e.balance, &e.effectiveAt, &e.subject,
		&e.kind, &e.status, &e.merchant, &e.reference, &e.first, &e.amount, &e.commission, &e.bankName, &e.accountLast4, &e.batch,
		&e.utr, &e.reason, &e.returnReference, &e.paidAfterRefund, &e.suspended, &e.disputed, &e.txnRef, &e.bankReference,
		&e.paymentID,
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if err := each(&e); err != nil {
			return err
		}
	}
	return explain(rows.Err())
}

func (e *statementEntry) position() eventstore.Position {
	return eventstore.Position{Partition: int(e.partition), Seq: e.seq}
}

func (e *statementEntry) line(c money.Currency, balance money.Amount) StatementLine {
	return StatementLine{
		Position: e.position(), Line: int(e.lineRow.line), RecordedAt: instant(e.recordedAt), ValueAt: instant(e.effectiveAt),
		Type: e.typ, Transaction: e.subject,
		Debit: money.FromMinor(e.debit, c), Credit: money.FromMinor(e.credit, c), Balance: balance,
		Merchant: e.merchant, Reference: e.reference, UTR: e.utr, Amount: money.FromMinor(e.amount, c), Commission: money.FromMinor(e.commission, c),
		BankName: e.bankName, AccountLast4: e.accountLast4, Batch: e.batch, Reason: e.reason, Suspense: e.suspense,
		TxnRef: e.txnRef, BankReference: e.bankReference,
	}
}
