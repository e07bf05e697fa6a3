package projections

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// Basis is the date by which a trial balance counts postings.
type Basis string

// The two dates of a posting.
const (
	ByValue     Basis = "value"     // when it counts, as the bank says
	ByRecording Basis = "recording" // when the ledger recorded it
)

// TrialQuery asks for the balances of all accounts: of what was recorded by KnownAt, that microsecond included, the postings
// whose date is not after At. By value it is the date on which they are posted: of what is late for a period that was closed then, that is not
// its value date. See books.Closings.
type TrialQuery struct {
	By          Basis
	At, KnownAt time.Time
}

// TrialBalance is its answer. Positions is the newest record of each partition that was known; it counts no record behind it.
type TrialBalance struct {
	TrialQuery
	Positions []eventstore.Position
	Accounts  []AccountBalance // by currency, then name; all that were known, also where no posting counts yet
	Frozen    *books.Closing   // the close that ends behind At, by value: no record behind its marks counts; nil: none
}

// AccountBalance is what an account has. Balance is debits less credits, of all partitions together.
type AccountBalance struct {
	Name    string
	Balance money.Amount
}

// Debit is the balance of an account that stands on the debit side; else zero.
func (a *AccountBalance) Debit() money.Amount {
	if a.Balance.Sign() < 0 {
		return money.Zero(a.Balance.Currency())
	}
	return a.Balance
}

// Credit is the balance of an account that stands on the credit side, as a positive amount; else zero.
func (a *AccountBalance) Credit() money.Amount {
	if a.Balance.Sign() > 0 {
		return money.Zero(a.Balance.Currency())
	}
	return a.Balance.Neg()
}

// TrialTotal sums the two sides of a currency. They are equal, unless the books are wrong.
type TrialTotal struct {
	Currency      money.Currency
	Debit, Credit money.Amount
}

// Totals are the sums of all currencies, in the order of the accounts.
func (t *TrialBalance) Totals() []TrialTotal {
	var totals []TrialTotal
	for i := range t.Accounts {
		a := &t.Accounts[i]
		c := a.Balance.Currency()
		if len(totals) == 0 || totals[len(totals)-1].Currency != c {
			totals = append(totals, TrialTotal{c, money.Zero(c), money.Zero(c)})
		}
		last := &totals[len(totals)-1]
		last.Debit, last.Credit = last.Debit.Add(a.Debit()), last.Credit.Add(a.Credit())
	}
	return totals
}

// Balanced tells whether debits equal credits in every currency.
func (t *TrialBalance) Balanced() bool {
	return !slices.ContainsFunc(t.Totals(), func(c TrialTotal) bool { return !c.Debit.Equal(c.Credit) })
}

// TrialBalance returns the balances of all accounts at an instant, after Reach.
//
// The journal has running balances in the order of recording. By recording date a balance is that of the newest line by then. By
// value date it is corrected by the lines that were recorded on another side of the instant than their value date: those within a second
// of it are found in the journal, around the instant; the others in datedTable. So what it costs depends on how many accounts there
// are and how late banks are, and not on how long the log is.
func (v *Views) TrialBalance(ctx context.Context, q TrialQuery) (TrialBalance, error) {
	if err := v.Reach(ctx); err != nil {
		return TrialBalance{}, err
	}
	q.At, q.KnownAt = eventstore.Micros(q.At), eventstore.Micros(q.KnownAt)
	t := TrialBalance{TrialQuery: q}
	var found trialRead
	err := v.servingAll(ctx, []projection{journal{}, periods{}}, func([]int64) (err error) {
		found, err = v.trial(ctx, newCut(q))
		return err
	})
	if err != nil {
		return TrialBalance{}, err
	}
	t.Frozen = found.frozen
	for p, m := range found.marks {
		seq, err := v.knownBy(ctx, p, m.seq, q.KnownAt)
		if err != nil {
			return TrialBalance{}, err
		}
		if t.Frozen != nil {
			seq = min(seq, t.Frozen.Marks[p].Seq)
		}
		t.Positions = append(t.Positions, eventstore.Position{Partition: p, Seq: seq})
	}
	rows := slices.DeleteFunc(found.rows, func(r trialRow) bool { return firstOf(r.account) > t.Positions[r.partition].Seq })
	t.Accounts = joinPartitions(rows)
	return t, nil
}

// trialRow is the balance of an account in one partition.
type trialRow struct {
	name, currency string
	inPartition
	balance int64
}

// trialRead is what was read for a trial balance: where the views stood, the close that freezes it, and the balances.
type trialRead struct {
	marks  []mark
	frozen *books.Closing
	rows   []trialRow
}

// trial reads a trial balance, and where the views stood, in one transaction: of one moment.
func (v *Views) trial(ctx context.Context, c cut) (found trialRead, err error) {
	tx, err := v.db.BeginTx(ctx, &sql.TxOptions{Isolation: v.snapshotIsolation(), ReadOnly: true})
	if err != nil {
		return found, explain(err)
	}
	defer tx.Rollback() //nolint:errcheck // it has only read
	now, err := readStanding(ctx, tx, v.info.Partitions)
	if err != nil {
		return found, err
	}
	generations, missing := now.generations([]projection{journal{}, periods{}})
	if missing != nil {
		return found, fmt.Errorf("%w: the %s is being built", ErrBehind, missing.name())
	}
	found.marks = now.marks
	if found.frozen, err = v.freezing(ctx, tx, generations[1], &c, &now); err != nil {
		return found, err
	}
	if v.dialect == Postgres {
		if _, err := tx.ExecContext(ctx, byKeysOnly); err != nil {
			return found, explain(err)
		}
	}
	moved, err := c.dated(ctx, tx, generations[0])
	if err != nil {
		return found, err
	}
	found.rows, err = c.balances(ctx, tx, v.dialect, generations[0], moved)
	return found, err
}

// cut is where a trial balance divides the lines, in microseconds. Counted are those recorded by upTo, less those of them recorded
// behind since whose value date is after at, and less and more what datedTable has. Behind the bounds, where there are some, nothing counts.
type cut struct {
	at, known   int64
	since, upTo int64
	byValue     bool
	whole       bool    // no close has a say
	bounds      []bound // by partition; nil: none
}

func newCut(q TrialQuery) cut {
	c := cut{at: q.At.UnixMicro(), known: q.KnownAt.UnixMicro(), byValue: q.By != ByRecording}
	if c.byValue {
		c.since, c.upTo = c.at-near, min(c.known, c.at+near)
	} else {
		c.upTo = min(c.known, c.at)
		c.since = c.upTo
	}
	return c
}

// inPartition is an account by its number.
type inPartition struct{ partition, account int64 }

// dated sums, by account, what lines far from their value date add to the balances or take from them.
func (c cut) dated(ctx context.Context, q querier, generation int64) (map[inPartition]int64, error) {
	moved := map[inPartition]int64{}
	if !c.byValue {
		return moved, nil
	}
	if c.bounds != nil {
		return moved, c.datedWithin(ctx, q, generation, moved)
	}
	for class := int64(1); class <= widest; class++ {
		// Recorded late: behind upTo, yet of a value date by then.
		err := c.addDated(ctx, q, generation, moved, 1, class, c.upTo, min(c.known, c.at+reach(class)), "<=")
		if err != nil {
			return nil, err
		}
		// Recorded early: by since, yet of a value date after it. What was recorded between since and upTo is found in the journal.
		err = c.addDated(ctx, q, generation, moved, -1, -class, c.at-reach(class), min(c.known, c.since), ">")
		if err != nil {
			return nil, err
		}
	}
	return moved, nil
}

// addDated adds lines of a class, recorded behind after and by upTo, whose value date is on a side of the instant.
func (c cut) addDated(
	ctx context.Context, q querier, generation int64, moved map[inPartition]int64, sign, class, after, upTo int64, side string,
) error {
	if after >= upTo {
		return nil
	}
	rows, err := q.QueryContext(ctx, datedText(generation, side), class, after, upTo, c.at)
	if err != nil {
		return explain(err)
	}
	return scanDated(rows, moved, sign)
}

// scanDated adds the rows, with a sign, and closes them.
func scanDated(rows *sql.Rows, moved map[inPartition]int64, sign int64) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var of inPartition
		var amount int64
		if err := rows.Scan(&of.partition, &of.account, &amount); err != nil {
			return fmt.Errorf("read %s: %w", datedTable.name, err)
		}
		var fits bool
		if moved[of], fits = sum(moved[of], sign*amount); !fits {
			return fmt.Errorf("a balance of account %d in partition %d does not fit 64 bits", of.account, of.partition)
		}
	}
	return explain(rows.Err())
}

func datedText(generation int64, side string) string {
	return fmt.Sprintf(`SELECT partition, account, CAST(SUM(amount) AS BIGINT) FROM %s
		WHERE gap = $1 AND recorded_at > $2 AND recorded_at <= $3 AND effective_at %s $4 GROUP BY partition, account`,
		datedTable.in(generation), side)
}

// balances reads what each account has, but for moved, which it adds.
func (c cut) balances(ctx context.Context, q querier, dialect Dialect, generation int64, moved map[inPartition]int64) (found []trialRow, err error) {
	text := trialText(dialect, generation)
	if c.bounds != nil {
		text = trialTextOf(dialect, generation, c.within())
	}
	rows, err := q.QueryContext(ctx, text, c.upTo, c.since, c.at)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var row trialRow
		var balance, early int64
		if err := rows.Scan(&row.name, &row.currency, &row.partition, &row.account, &balance, &early); err != nil {
			return nil, fmt.Errorf("read %s: %w", accountTable.name, err)
		}
		var fits, fitsToo bool
		row.balance, fits = sum(balance, -early)
		row.balance, fitsToo = sum(row.balance, moved[row.inPartition])
		if !fits || !fitsToo {
			return nil, fmt.Errorf("the balance of %s does not fit 64 bits", row.name)
		}
		found = append(found, row)
	}
	return found, explain(rows.Err())
}

// trialText reads, for each account, its balance behind the newest line recorded by $1, and the sum of those of its lines recorded behind $2
// and by $1 whose value date is after $3. Each is a look into the index of the journal; the second only where the first found a line there.
func trialText(dialect Dialect, generation int64) string {
	return trialTextOf(dialect, generation, "l.recorded_at <= $1")
}

// trialTextOf is trialText of the lines that a condition lets count.
func trialTextOf(dialect Dialect, generation int64, counted string) string {
	of := "l.partition = a.partition AND l.account = a.account AND " + counted
	newest := fmt.Sprintf("FROM %s AS l WHERE %s ORDER BY l.recorded_at DESC, l.seq DESC, l.line DESC LIMIT 1", lineTable.in(generation), of)
	join := "LATERAL (SELECT l.recorded_at, l.balance " + newest + ") AS j ON TRUE"
	if dialect == SQLite {
		join = fmt.Sprintf("%s AS j ON j.rowid = (SELECT l.rowid %s)", lineTable.in(generation), newest)
	}
	return strings.Join([]string{
		"SELECT a.name, a.currency, a.partition, a.account, COALESCE(j.balance, 0), CASE WHEN j.recorded_at > $2 THEN",
		"(SELECT CAST(COALESCE(SUM(l.debit - l.credit), 0) AS BIGINT) FROM", lineTable.in(generation), "AS l WHERE", of,
		"AND l.recorded_at > $2 AND l.effective_at > $3) ELSE 0 END",
		"FROM", accountTable.in(generation), "AS a LEFT JOIN", join,
	}, " ")
}

// sum adds, and tells whether the sum fits.
func sum(a, b int64) (int64, bool) {
	s := a + b
	return s, (s > a) == (b > 0) && b != math.MinInt64
}

// joinPartitions sums each account over its partitions.
func joinPartitions(rows []trialRow) []AccountBalance {
	slices.SortFunc(rows, func(a, b trialRow) int {
		return cmp.Or(cmp.Compare(a.currency, b.currency), cmp.Compare(a.name, b.name))
	})
	accounts := make([]AccountBalance, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		amount := money.FromMinor(r.balance, money.Currency(r.currency))
		if i > 0 && rows[i-1].name == r.name && rows[i-1].currency == r.currency {
			last := &accounts[len(accounts)-1]
			last.Balance = last.Balance.Add(amount)
			continue
		}
		accounts = append(accounts, AccountBalance{r.name, amount})
	}
	return accounts
}

// knownBy is the position of the newest record of a partition, up to a position, that was recorded by a time: a binary search, since that time never
// decreases within a partition.
func (v *Views) knownBy(ctx context.Context, partition int, seq int64, at time.Time) (int64, error) {
	low, high := int64(0), seq // of the positions up to low it is so, of those behind high it is not
	for probe := seq; low < high; probe = low + (high-low+1)/2 {
		records, err := v.log.Read(ctx, partition, probe-1, 1)
		if err != nil {
			return 0, fmt.Errorf("read record %d:%d: %w", partition, probe, err)
		}
		if len(records) == 0 {
			return 0, fmt.Errorf("record %d:%d: %w", partition, probe, eventstore.ErrNotFound)
		}
		if records[0].RecordedAt.After(at) {
			high = probe - 1
		} else {
			low = probe
		}
	}
	return low, nil
}
