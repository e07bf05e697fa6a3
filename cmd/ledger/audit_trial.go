package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/projections"
)

// auditTrialBalance is `ledger audit trial-balance`.
type auditTrialBalance struct {
	storeFlags
	At      *instant `help:"Balances as of then (RFC 3339), instead of now." placeholder:"TIME"`
	KnownAt *instant `help:"By what was recorded until then (RFC 3339), instead of until now." placeholder:"TIME"`
	By      string   `enum:"value,recording" default:"value" help:"Which date of a posting counts: value (the bank's) or recording (ours)."`
	Zero    bool     `help:"Also accounts whose balance is zero."`
	Period  string   `help:"The one that was frozen when this period was closed, read anew and held against its digest." placeholder:"PERIOD"`
	Format  string   `enum:"table,json,csv,canonical" default:"table" help:"table, json, csv, or with --period canonical: the text of which the close has the SHA-256."`
}

// trialBalance prints the answer.
type trialBalance struct{ ops.TrialBalance }

// Run prints the trial balance, and ends with exit code 1 when it does not sum to zero.
func (c *auditTrialBalance) Run(ctx context.Context, t *terminal) error {
	now := present()
	q := projections.TrialQuery{By: projections.Basis(c.By), At: now, KnownAt: now}
	if c.At != nil {
		q.At = time.Time(*c.At)
	}
	if c.KnownAt != nil {
		q.KnownAt = time.Time(*c.KnownAt)
	}
	if q.KnownAt.After(now) {
		return usagef("--known-at %s: nobody knows yet what will be recorded until then", q.KnownAt.Format(time.RFC3339Nano))
	}
	switch {
	case c.Period != "" && (c.At != nil || c.KnownAt != nil || c.By == "recording"):
		return usagef("--period says itself as of when it is, and by which date: it does not go with --at, --known-at and --by")
	case c.Period == "" && c.Format == "canonical":
		return usagef("--format canonical is of what a close has frozen: give its --period")
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		if c.Period != "" {
			return c.frozen(ctx, t, views)
		}
		found, err := views.TrialBalance(ctx, q)
		if err != nil {
			return err
		}
		answer, err := ops.NewTrialBalance(&found, c.Zero)
		if err == nil && !answer.Balanced {
			answer.FirstWrong, err = ops.FirstWrong(ctx, views, &found)
		}
		if err == nil {
			err = (&trialBalance{answer}).print(t, c.Format)
		}
		if err == nil && !answer.Balanced {
			err = errNo
		}
		return err
	})
}

func (b *trialBalance) print(t *terminal, format string) error {
	switch format {
	case "json":
		return t.answer(b.TrialBalance)
	case "csv":
		if err := b.csv(t.out); err != nil {
			return fmt.Errorf("printing the answer: %w", err)
		}
		complain(t.err, "%s\n", strings.Join(b.remarks(), "\n")) // a CSV file has no place for it
		return nil
	}
	return b.table(t.out)
}

// remarks say what the trial balance stands on, and what is wrong with it.
func (b *trialBalance) remarks() []string {
	date := map[projections.Basis]string{projections.ByValue: "value date", projections.ByRecording: "recording date"}[b.By]
	lines := []string{
		fmt.Sprintf("Trial balance by %s as of %s, as known on %s", date, b.At.Format(time.RFC3339Nano), b.KnownAt.Format(time.RFC3339Nano)),
		"from the log up to " + strings.Join(b.Positions, " "),
	}
	if f := b.Frozen; f != nil {
		lines = append(lines, strings.TrimSuffix(fmt.Sprintf("as close %d of %s has frozen it: what was recorded later counts later; SHA-256 %s", f.Number, f.Period, f.Digest), "; SHA-256 "))
	}
	for _, c := range b.Currencies {
		if c.Debit != c.Credit {
			lines = append(lines, fmt.Sprintf("WRONG: debits less credits of %s are %s", c.Currency, c.Difference))
		}
	}
	if b.FirstWrong != nil {
		lines = append(lines, fmt.Sprintf("first wrong: %s", strings.TrimPrefix(b.FirstWrong.Position+": "+b.FirstWrong.Problem, ": ")))
	}
	return lines
}

// csv prints a row for each account, with amounts as plain numbers, and one for the total of each currency.
func (b *trialBalance) csv(out io.Writer) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"currency", "account", "kind", "type", "debit", "credit", "balance"}}
	for _, c := range b.Currencies {
		for _, a := range c.Accounts {
			rows = append(rows, []string{string(c.Currency), a.Account, string(a.Kind), string(a.Type), a.Debit, a.Credit, a.Balance})
		}
		rows = append(rows, []string{string(c.Currency), "total", "", "", c.Debit, c.Credit, c.Difference})
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	return w.Error()
}

// table prints for people: a balance stands in one column alone.
func (b *trialBalance) table(out io.Writer) error {
	account, amount := len("ACCOUNT"), len("CREDIT INR")
	for _, c := range b.Currencies {
		amount = max(amount, len(c.Debit), len(c.Credit))
		for _, a := range c.Accounts {
			account, amount = max(account, len(a.Account)), max(amount, len(a.Debit), len(a.Credit))
		}
	}
	w := bufio.NewWriter(out) // it keeps the first error for Flush
	line := func(name, typ, debit, credit string) {
		fmt.Fprintf(w, "%-*s  %-9s  %*s  %*s\n", account, name, typ, amount, debit, amount, credit) //nolint:errcheck // see above
	}
	fmt.Fprintln(w, strings.Join(b.remarks(), "\n")) //nolint:errcheck // see above
	for _, c := range b.Currencies {
		fmt.Fprintln(w) //nolint:errcheck // see above
		line("ACCOUNT", "TYPE", "DEBIT "+string(c.Currency), "CREDIT "+string(c.Currency))
		for _, a := range c.Accounts {
			debit, credit := a.Debit, ""
			if a.Side == books.CreditSide {
				debit, credit = "", a.Credit
			}
			line(a.Account, string(a.Type), debit, credit)
		}
		line("total", "", c.Debit, c.Credit)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}
