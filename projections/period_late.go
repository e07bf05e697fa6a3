package projections

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/khata-ledger/khata/domain/money"
)

// lateLines are the late lines of an account: the first lines of records among them, so that each record is counted once, and the sum of
// the debits.
type lateLines struct{ records, debits int64 }

// late sums up what was recorded behind the marks of a close with a value date in its period: of each class of gap in datedTable only what was
// recorded within its reach of the period's end, and in the journal what was recorded within a second of its value date.
func (v *Views) late(ctx context.Context, p *Period) ([]LateTotal, error) {
	found := map[inPartition]lateLines{}
	for _, m := range p.Positions {
		recorded, err := v.recordedAt(ctx, m)
		if err != nil {
			return nil, err
		}
		l := lateQuery{partition: m.Partition, behind: m.Seq, since: recorded, from: math.MinInt64, to: p.To.UnixMicro()}
		if !p.From.IsZero() {
			l.from = p.From.UnixMicro()
		}
		var here map[inPartition]lateLines // of one try
		err = v.keyed(ctx, func(q querier, generations []int64) error {
			here = map[inPartition]lateLines{}
			return l.read(ctx, q, generations[0], here)
		})
		if err != nil {
			return nil, err
		}
		maps.Copy(found, here)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return v.lateTotals(ctx, found)
}

// lateTotals sums by currency, which only the accounts know.
func (v *Views) lateTotals(ctx context.Context, found map[inPartition]lateLines) ([]LateTotal, error) {
	accounts, err := query(ctx, v, journal{}, accountTable, "")
	if err != nil {
		return nil, err
	}
	sums := map[money.Currency]*LateTotal{}
	for i := range accounts {
		lines, late := found[inPartition{accounts[i].partition, accounts[i].account}]
		if !late {
			continue
		}
		c := money.Currency(accounts[i].currency)
		if sums[c] == nil {
			sums[c] = &LateTotal{Amount: money.Zero(c)}
		}
		sums[c].Records += lines.records
		sums[c].Amount = sums[c].Amount.Add(money.FromMinor(lines.debits, c))
	}
	totals := make([]LateTotal, 0, len(sums))
	for _, t := range sums {
		totals = append(totals, *t)
	}
	slices.SortFunc(totals, func(a, b LateTotal) int { return cmp.Compare(a.Amount.Currency(), b.Amount.Currency()) })
	return totals, nil
}

// lateQuery asks for the lines of a partition behind a seq, which was recorded at since, with a value date from from and before to.
type lateQuery struct {
	partition               int
	behind, since, from, to int64
}

func (l *lateQuery) read(ctx context.Context, q querier, generation int64, found map[inPartition]lateLines) error {
	for class := -int64(widest); class <= widest; class++ {
		end := l.to // of what is recorded before its value date
		if class >= 0 {
			end = l.to + reach(class)
		}
		if l.since > end {
			continue
		}
		text, args := l.text(generation), []any{class, l.since, end, l.from, l.to, l.partition, l.behind}
		if class == 0 {
			text = l.nearText(generation)
			args[0] = near
		}
		rows, err := q.QueryContext(ctx, text, args...) //nolint:sqlclosecheck,rowserrcheck // scan does
		if err != nil {
			return explain(err)
		}
		if err := l.scan(rows, found); err != nil {
			return err
		}
	}
	return nil
}

const lateSums = "SELECT l.account, CAST(SUM(CASE WHEN l.line = 1 THEN 1 ELSE 0 END) AS BIGINT), CAST(SUM(%s) AS BIGINT)"

const lateWhere = "l.recorded_at >= $2 AND l.recorded_at <= $3 AND l.effective_at >= $4 AND l.effective_at < $5 AND l.partition = $6 AND l.seq > $7"

func (*lateQuery) text(generation int64) string {
	return fmt.Sprintf(lateSums+" FROM %s AS l WHERE l.gap = $1 AND "+lateWhere+" GROUP BY l.account",
		"CASE WHEN l.amount > 0 THEN l.amount ELSE 0 END", datedTable.in(generation))
}

// nearText looks into each account of the journal: CROSS JOIN has SQLite do it in this order.
func (*lateQuery) nearText(generation int64) string {
	return fmt.Sprintf(lateSums+" FROM %s AS a CROSS JOIN %s AS l WHERE a.partition = $6 AND l.account = a.account AND "+lateWhere+
		" AND l.recorded_at - l.effective_at <= $1 AND l.effective_at - l.recorded_at <= $1 GROUP BY l.account",
		"l.debit", accountTable.in(generation), lineTable.in(generation))
}

func (l *lateQuery) scan(rows *sql.Rows, found map[inPartition]lateLines) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var account int64
		var lines lateLines
		if err := rows.Scan(&account, &lines.records, &lines.debits); err != nil {
			return err
		}
		of := inPartition{int64(l.partition), account}
		sum := found[of]
		found[of] = lateLines{sum.records + lines.records, sum.debits + lines.debits}
	}
	return explain(rows.Err())
}
