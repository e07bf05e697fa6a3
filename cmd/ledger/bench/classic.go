package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/migrations"
)

// classic is the row-locking design: a table of accounts, a table of transfers, every client locks the account's row.
type classic interface {
	// transfer locks and reads the balance, updates it, inserts the transfer and commits: four statements.
	transfer(ctx context.Context, id, request string, paisa int64) error
	// transferAtOnce does the same by one statement.
	transferAtOnce(ctx context.Context, id, request string, paisa int64) error
	// sums returns the balance, the transfers and what they took.
	sums(ctx context.Context) (balance, transfers, taken int64, err error)
	close(ctx context.Context) error
}

// classicFunds is what the account begins with, in paisa.
const classicFunds = hotFunds

// errUncovered: the account does not hold so much.
var errUncovered = errors.New("the balance does not cover the transfer")

// runClassic measures the design that the ledger is not.
func runClassic(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	payers, err := newPayers(ctx, b, singles)
	if err != nil {
		return nil, err
	}
	var c classic
	if w.at.Dialect == migrations.SQLite {
		c, err = newClassicSQLite(ctx, w.at)
	} else {
		c, err = newClassicPostgres(ctx, w.at)
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close(context.WithoutCancel(ctx))) }()

	var measures []measure
	for _, statements := range []int{4, 1} {
		transfer := c.transfer
		if statements == 1 {
			transfer = c.transferAtOnce
		}
		for _, clients := range []int{1, 8, singles} {
			label := fmt.Sprintf("%d clients, four statements", clients)
			name := fmt.Sprintf("four_statements_%d", clients)
			if statements == 1 {
				label, name = fmt.Sprintf("%d clients, one statement", clients), fmt.Sprintf("one_statement_%d", clients)
			}
			measures = append(measures, measure{label, func(ctx context.Context) (sample, error) {
				return drive(ctx, clients, w.opts.For, func(ctx context.Context, caller int) (int64, error) {
					p := payers[caller]
					return 1, transfer(ctx, p.id("txn_"), p.id("PAYOUT-2026-"), p.gross[p.random.IntN(prices)])
				}, nil)
			}})
			lines = append(lines, Line{Name: name, What: label})
		}
	}
	taken, err := w.inTurn(ctx, measures...)
	if err != nil {
		return nil, err
	}
	var counted int64
	for i, samples := range taken {
		lines[i] = line(lines[i].Name, lines[i].What, "transfers", samples).latency(samples)
		counted += lines[i].Count
	}
	w.results.classic64 = lines[2].RatePerSecond
	balance, transfers, sum, err := c.sums(ctx)
	if err != nil {
		return nil, err
	}
	if transfers != counted || balance != classicFunds-sum {
		return nil, fmt.Errorf("the design itself is wrong: %d transfers of %d paisa, balance %d; counted %d", transfers, sum, balance, counted)
	}
	return lines, nil
}
