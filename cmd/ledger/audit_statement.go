package main

import (
	"context"
	"io"
	"iter"
	"os"

	"github.com/mattn/go-isatty"

	"github.com/khata-ledger/khata/adapters/statement"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/projections"
)

// auditStatement is `ledger audit statement`.
type auditStatement struct {
	storeFlags
	auditPeriod
	Merchant string           `xor:"of" required:"" help:"Statement of what this merchant can dispose of." placeholder:"ID"`
	Account  string           `xor:"of" required:"" help:"Statement of this account of the books, such as platform:commission." placeholder:"NAME"`
	Currency money.Currency   `default:"INR" help:"Currency of the account."`
	By       string           `enum:"recording,value" default:"recording" help:"Whether the days, and the order of lines, are those of recording or value dates."`
	Format   statement.Format `required:"" enum:"csv,xlsx,pdf,json" help:"csv, xlsx, pdf or json."`
	Output   string           `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// statementWritten is what `audit statement` answers when it writes to a file.
type statementWritten struct {
	File    string         `json:"file"`
	Account string         `json:"account"`
	Lines   int64          `json:"lines"`
	Opening string         `json:"opening_balance"`
	Closing string         `json:"closing_balance"`
	Money   money.Currency `json:"currency"`
	Heads   []headJSON     `json:"heads"`
}

// Run writes the statement while it reads the views. A server may be running beside it.
func (c *auditStatement) Run(ctx context.Context, t *terminal) error {
	filter, err := c.filter(t)
	if err != nil {
		return err
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		d, err := statementOf(ctx, views, filter)
		if err != nil {
			return err
		}
		done := statementWritten{
			File: c.Output, Account: d.Account, Opening: d.Opening.Fixed(), Closing: d.Closing.Fixed(), Money: d.Currency, Heads: headsJSON(d.Heads),
		}
		err = t.writeOut(c.Output, func(w io.Writer) (err error) {
			done.Lines, err = writeStatement(ctx, w, c.Format, d)
			return err
		})
		if err != nil || c.Output == "" {
			return err
		}
		return t.answer(done)
	})
}

// filter is what the flags pick. The zone is in its times.
func (c *auditStatement) filter(t *terminal) (projections.StatementFilter, error) {
	f := projections.StatementFilter{Account: c.Account, Currency: c.Currency, ByValue: c.By == "value"}
	if c.From == nil || c.To == nil {
		return f, usagef("--from and --to are both required: the first and the last day of the statement")
	}
	if _, known := c.Currency.Exponent(); !known {
		return f, usagef("--currency: %q is not known", c.Currency)
	}
	if c.Merchant != "" {
		f.Account = wallet.AccountAvailable(c.Merchant)
	}
	out, isFile := t.out.(*os.File)
	if binary := c.Format == statement.PDF || c.Format == statement.XLSX; binary && c.Output == "" && isFile && isatty.IsTerminal(out.Fd()) {
		return f, usagef("--format %s is not for a terminal: give a file with -o", c.Format)
	}
	var err error
	f.From, f.To, _, err = c.bounds()
	return f, err
}

// counted counts what passes.
func counted[T any](lines iter.Seq2[T, error], n *int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for l, err := range lines {
			if err == nil {
				*n++
			}
			if !yield(l, err) {
				return
			}
		}
	}
}
