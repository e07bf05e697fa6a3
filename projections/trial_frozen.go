package projections

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// A trial balance by value of a moment in a closed period does not count what was recorded behind the marks of its close: that is late, and
// posted behind the moment. The marks are of partitions, so each has a bound of its own.

// bound is where the lines of a partition end that count.
type bound struct {
	seq   int64
	known int64 // when the record at seq was recorded, or what the query knows, if that is less
}

// freezing finds the close that freezes what a cut is about, if it is by value, and bounds it.
func (v *Views) freezing(ctx context.Context, q querier, generation int64, c *cut, now *standing) (*books.Closing, error) {
	if !c.byValue || c.whole {
		return nil, nil
	}
	closes, err := v.standingCloses(ctx, q, generation, c.at+1, c.at+1, now.marks[v.booksPartition()].seq, c.known)
	if err != nil || len(closes) == 0 {
		return nil, err
	}
	return &closes[0], v.bound(ctx, c, closes[0].Marks)
}

// bound bounds a cut by marks.
func (v *Views) bound(ctx context.Context, c *cut, marks []books.Mark) error {
	c.bounds = make([]bound, len(marks))
	for p, m := range marks {
		at, err := v.recordedAt(ctx, m)
		if err != nil {
			return err
		}
		c.bounds[p] = bound{m.Seq, min(at, c.known)}
	}
	return nil
}

// recordedAt is when a record was recorded; 0 for none.
func (v *Views) recordedAt(ctx context.Context, m books.Mark) (int64, error) {
	if m.Seq == 0 {
		return 0, nil
	}
	records, err := v.log.Read(ctx, m.Partition, m.Seq-1, 1)
	if err != nil {
		return 0, fmt.Errorf("read record %s: %w", m, err)
	}
	if len(records) == 0 {
		return 0, fmt.Errorf("record %s: %w", m, eventstore.ErrNotFound)
	}
	return records[0].RecordedAt.UnixMicro(), nil
}

// within is the condition for a line l of an account a that the bounds let count, and the cut's own end.
func (c *cut) within() string {
	recorded, seq := make([]string, len(c.bounds)), make([]string, len(c.bounds))
	for p, b := range c.bounds {
		recorded[p] = fmt.Sprintf("WHEN %d THEN %d", p, min(b.known, c.upTo))
		seq[p] = fmt.Sprintf("WHEN %d THEN %d", p, b.seq)
	}
	return fmt.Sprintf("l.recorded_at <= CAST(CASE a.partition %s ELSE CAST($1 AS BIGINT) END AS BIGINT) AND l.seq <= CAST(CASE a.partition %s ELSE 0 END AS BIGINT)",
		strings.Join(recorded, " "), strings.Join(seq, " "))
}

// datedWithin is dated within the bounds.
func (c *cut) datedWithin(ctx context.Context, q querier, generation int64, moved map[inPartition]int64) error {
	for p, b := range c.bounds {
		for class := int64(1); class <= widest; class++ {
			for _, d := range []struct {
				sign, class, after, upTo int64
				side                     string
			}{
				{1, class, min(b.known, c.upTo), min(b.known, c.at+reach(class)), "<="},
				{-1, -class, c.at - reach(class), min(b.known, c.since), ">"},
			} {
				if d.after >= d.upTo {
					continue
				}
				rows, err := q.QueryContext(ctx, datedWithinText(generation, d.side), d.class, d.after, d.upTo, c.at, p, b.seq) //nolint:sqlclosecheck,rowserrcheck // scanDated does
				if err != nil {
					return explain(err)
				}
				if err := scanDated(rows, moved, d.sign); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func datedWithinText(generation int64, side string) string {
	return fmt.Sprintf(`SELECT partition, account, CAST(SUM(amount) AS BIGINT) FROM %s
		WHERE gap = $1 AND recorded_at > $2 AND recorded_at <= $3 AND effective_at %s $4 AND partition = $5 AND seq <= $6 GROUP BY partition, account`,
		datedTable.in(generation), side)
}

// Freeze is the trial balance of a close that is about to be made, after Reach: of everything in the log with a value date before to.
func (v *Views) Freeze(ctx context.Context, to time.Time) (books.Trial, error) {
	f, err := v.freeze(ctx, to, nil)
	if err != nil {
		return books.Trial{}, err
	}
	return canon(to, f.marks, f.rows)
}

// FrozenBalance is the trial balance that a close has frozen, read anew. Its canonical form, of which the close has the digest, is written to
// out; see books.Canon.
func (v *Views) FrozenBalance(ctx context.Context, p *Period, out io.Writer) (TrialBalance, books.Trial, error) {
	f, err := v.freeze(ctx, p.To, p.Positions)
	if err != nil {
		return TrialBalance{}, books.Trial{}, err
	}
	trial, err := canon(p.To, f.marks, f.rows, out)
	if err != nil {
		return TrialBalance{}, books.Trial{}, err
	}
	t := TrialBalance{
		TrialQuery: TrialQuery{By: ByValue, At: p.To.Add(-time.Microsecond), KnownAt: p.ClosedAt},
		Frozen:     &books.Closing{Number: p.Number, Name: p.Name, To: p.To, Marks: p.Positions},
	}
	for _, m := range p.Positions {
		t.Positions = append(t.Positions, eventstore.Position{Partition: m.Partition, Seq: m.Seq})
	}
	t.Accounts = joinPartitions(f.rows)
	return t, trial, nil
}

// frozenRows are the balances of a close in each partition.
type frozenRows struct {
	marks []books.Mark
	rows  []trialRow
}

// freeze reads the balances before an instant, of the records up to marks; without marks, of all that there are.
func (v *Views) freeze(ctx context.Context, to time.Time, marks []books.Mark) (f frozenRows, err error) {
	if err := v.Reach(ctx); err != nil {
		return f, err
	}
	c := newCut(TrialQuery{At: to.Add(-time.Microsecond)})
	c.whole, c.known, c.upTo = true, math.MaxInt64, c.at+near
	if marks != nil {
		if err := v.bound(ctx, &c, marks); err != nil {
			return f, err
		}
	}
	var found trialRead
	err = v.servingAll(ctx, []projection{journal{}, periods{}}, func([]int64) (err error) {
		found, err = v.trial(ctx, c)
		return err
	})
	if err != nil {
		return f, err
	}
	if marks == nil {
		for p, m := range found.marks {
			marks = append(marks, books.Mark{Partition: p, Seq: m.seq})
		}
	}
	found.rows = slices.DeleteFunc(found.rows, func(r trialRow) bool { return firstOf(r.account) > marks[r.partition].Seq })
	return frozenRows{marks, found.rows}, nil
}

// canon sums rows up.
func canon(to time.Time, marks []books.Mark, rows []trialRow, out ...io.Writer) (books.Trial, error) {
	slices.SortFunc(rows, func(a, b trialRow) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.currency, b.currency), cmp.Compare(a.name, b.name))
	})
	c := books.NewCanon(to, marks, out...)
	for i := range rows {
		c.Add(int(rows[i].partition), rows[i].name, money.FromMinor(rows[i].balance, money.Currency(rows[i].currency)))
	}
	return c.Trial()
}
