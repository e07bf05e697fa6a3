package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"github.com/khata-ledger/khata/adapters/reconciling"
	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

type reconcileBreaks struct {
	reconcileFlags
	Source    string              `help:"Of this source alone." placeholder:"NAME"`
	Kind      reconcile.BreakKind `enum:"any,missing_in_ledger,missing_in_bank,amount,status,duplicate,late,fee" default:"any" help:"Of this kind: missing_in_ledger, missing_in_bank, amount, status, duplicate, late, fee."`
	OlderThan days                `default:"0d" help:"At least so old, such as 7d." placeholder:"DAYS"`
	Owner     string              `help:"Of this person." placeholder:"NAME"`
	Unowned   bool                `help:"Of nobody."`
	Ended     bool                `help:"Also those that are settled, or resolved by what came later."`
	Format    string              `enum:"table,json,csv,xlsx" default:"table" help:"table, json, csv or xlsx."`
	Output    string              `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// breaks is the answer of `reconcile breaks`.
type breaks struct {
	Breaks []reconciling.Break `json:"breaks"`
}

// Run lists.
func (c *reconcileBreaks) Run(ctx context.Context, t *terminal) error {
	if c.Owner != "" && c.Unowned {
		return usagef("--owner and --unowned exclude each other")
	}
	f := reconciling.BreakFilter{Source: c.Source, Kind: c.Kind, OlderThan: int(c.OlderThan), Owner: c.Owner, Nobodys: c.Unowned, Ended: c.Ended}
	if c.Kind == "any" {
		f.Kind = ""
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		found, err := r.List(ctx, f)
		if err != nil {
			return err
		}
		return t.writeOut(c.Output, func(w io.Writer) error {
			switch c.Format {
			case "json":
				return (&terminal{out: w, err: t.err}).answer(breaks{found})
			case "csv":
				return writeBreaks(sheet.NewCSV(w), found)
			case "xlsx":
				return writeBreaks(sheet.NewXLSX(w, "Breaks"), found)
			}
			return breakTable(w, found)
		})
	})
}

func breakTable(out io.Writer, found []reconciling.Break) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) {
		fmt.Fprintf(w, format+"\n", args...) //nolint:errcheck // Flush has the first error
	}
	line("BREAK\tSOURCE\tKIND\tAMOUNT\tDATE\tAGE\tSTATUS\tOWNER\tFILE\tPOSITION\tDETAIL")
	for i := range found {
		b := &found[i]
		file := ""
		if b.Line > 0 {
			file = fmt.Sprintf("%s:%d", b.File, b.Line)
		}
		detail := b.Detail
		if detail == "" {
			detail = b.UTR + b.Settlement + b.Transaction
		}
		line("%s\t%s\t%s\t%s\t%s\t%dd\t%s\t%s\t%s\t%s\t%s", b.ID, b.Source, b.Kind, b.Amount, b.Date, b.Age, b.Status, b.Owner, file, b.Position, detail)
	}
	return w.Flush()
}

func writeBreaks(w sheet.Writer, found []reconciling.Break) error {
	for _, h := range []string{
		"break", "source", "kind", "status", "amount", "currency", "date", "age_days", "owner", "file", "line", "position", "account",
		"transaction_id", "settlement_id", "utr", "reference", "detail",
	} {
		w.Heading(h)
	}
	if err := w.End(); err != nil {
		return err
	}
	for i := range found {
		b := &found[i]
		amount, err := money.Parse(b.Amount, b.Currency)
		if err != nil {
			return err
		}
		for _, s := range []string{b.ID, b.Source, string(b.Kind), string(b.Status)} {
			w.Text(s)
		}
		w.Amount(amount)
		line := ""
		if b.Line > 0 {
			line = strconv.Itoa(b.Line)
		}
		for _, s := range []string{
			string(b.Currency), b.Date.String(), strconv.Itoa(b.Age), b.Owner, b.File, line, b.Position, b.Account, b.Transaction, b.Settlement, b.UTR,
			b.Reference, b.Detail,
		} {
			w.Text(s)
		}
		if err := w.End(); err != nil {
			return err
		}
	}
	return w.Close()
}

type reconcileShow struct {
	reconcileFlags
	actorFlag
	ID        string `arg:"" help:"Break."`
	Narration bool   `help:"Open the narration of its line, which may name people. That is an event in the log, with who and why."`
	Reason    string `help:"Why; required with --narration." placeholder:"TEXT"`
}

// Run shows.
func (c *reconcileShow) Run(ctx context.Context, t *terminal) error {
	if !c.Narration {
		return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
			b, err := r.Break(ctx, c.ID)
			if err != nil {
				return err
			}
			return t.answer(b)
		})
	}
	actor, err := c.who()
	if err != nil {
		return err
	}
	if err := checkText("--reason", c.Reason, maxReason); err != nil {
		return err
	}
	from, err := origin(actor, "reconcile show", map[string]string{"break": c.ID, "reason": c.Reason})
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		b, err := r.Narration(ctx, c.ID, c.Reason, from)
		if err != nil {
			return err
		}
		return t.answer(b)
	})
}

type reconcileAssign struct {
	reconcileFlags
	actorFlag
	ID    string `arg:"" help:"Break."`
	Owner string `required:"" help:"To whom; '' to nobody." placeholder:"NAME"`
}

// Run assigns.
func (c *reconcileAssign) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	if c.Owner != "" {
		if err := checkText("--owner", c.Owner, maxActor); err != nil {
			return err
		}
	}
	from, err := origin(actor, "reconcile assign", map[string]string{"break": c.ID, "owner": c.Owner})
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		b, err := r.Assign(ctx, c.ID, c.Owner, from)
		if err != nil {
			return err
		}
		return t.answer(b)
	})
}

type reconcileSettle struct {
	reconcileFlags
	actorFlag
	reasonFlag
	ID          string `arg:"" help:"Break."`
	To          string `xor:"way" help:"Post the difference against this account, such as suspense; without it, adjustments." placeholder:"ACCOUNT"`
	Merchant    string `xor:"way" help:"The money is this merchant's: its wallet is adjusted." placeholder:"ID"`
	Accept      bool   `xor:"way" help:"Post nothing: it stays as it is."`
	SecondActor string `help:"Who approves it at once: another person." placeholder:"NAME"`
}

// Run proposes, and with a second person approves.
func (c *reconcileSettle) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	reason, err := c.why()
	if err != nil {
		return err
	}
	if c.SecondActor != "" {
		if err := checkText("--second-actor", c.SecondActor, maxActor); err != nil {
			return err
		}
		if domain.SamePerson(c.SecondActor, actor) {
			return usagef("--second-actor must be another person than --actor")
		}
	}
	said := map[string]any{"break": c.ID, "reason": reason, "to": c.To, "merchant": c.Merchant, "accept": c.Accept}
	from, err := origin(actor, "reconcile settle", said)
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		b, err := r.Propose(ctx, c.ID, reconcile.Way{To: c.To, Merchant: c.Merchant, Accept: c.Accept, Reason: reason}, from)
		if err == nil && c.SecondActor != "" {
			if from, err = origin(c.SecondActor, "reconcile approve", said); err == nil {
				b, err = r.Approve(ctx, c.ID, b.Proposal.Number, from)
			}
		}
		if err != nil {
			return err
		}
		return t.answer(b)
	})
}

type reconcileApprove struct {
	reconcileFlags
	actorFlag
	ID       string `arg:"" help:"Break."`
	Proposal int    `help:"Number of the proposal that is meant; refused when there is a later one. Without it, the last one." placeholder:"NUMBER"`
}

// Run approves.
func (c *reconcileApprove) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	from, err := origin(actor, "reconcile approve", map[string]any{"break": c.ID, "proposal": c.Proposal})
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		b, err := r.Approve(ctx, c.ID, c.Proposal, from)
		if err != nil {
			return err
		}
		return t.answer(b)
	})
}

type reconcileReject struct {
	reconcileFlags
	actorFlag
	reasonFlag
	ID string `arg:"" help:"Break."`
}

// Run rejects.
func (c *reconcileReject) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	reason, err := c.why()
	if err != nil {
		return err
	}
	from, err := origin(actor, "reconcile reject", map[string]string{"break": c.ID, "reason": reason})
	if err != nil {
		return err
	}
	return c.reconciling(ctx, t, func(_ *stores, r *reconciling.Service) error {
		b, err := r.Reject(ctx, c.ID, reason, from)
		if err != nil {
			return err
		}
		return t.answer(b)
	})
}
