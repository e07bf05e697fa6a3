package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/eventstore"
)

// rulesFlag is what --diff compares with: a fee plan in a file, a version of the merchant's own, or another release of this program.
type rulesFlag struct {
	text    string // as it was written; "": none
	file    string
	version int
	program string // path
}

// planRules begins what names a plan.
const planRules = "plan:"

// UnmarshalText reads it: see kong.
func (r *rulesFlag) UnmarshalText(text []byte) error {
	r.text = string(text)
	name, isPlan := strings.CutPrefix(r.text, planRules)
	switch {
	case name == "":
		return fmt.Errorf("%q names no rules: plan:FILE, plan:N or the path of another release of ledger", text)
	case !isPlan:
		path, err := exec.LookPath(name)
		r.program = path
		return err
	}
	switch n, err := strconv.Atoi(name); {
	case err != nil:
		r.file = name
	case n < 1:
		return fmt.Errorf("%q: versions of a plan are counted from 1; a file of that name is plan:./%s", text, name)
	default:
		r.version = n
	}
	return nil
}

// diff compares what happened with what would have happened under the rules. errNo: they differ.
func (c *replayCommand) diff(ctx context.Context, t *terminal, s *stores, l *ledger.Ledger) error {
	if c.Diff.program != "" {
		return c.diffProgram(ctx, t, s, l)
	}
	plan, err := c.plan(ctx, l)
	if err != nil {
		return err
	}
	r, err := l.Reprice(ctx, c.Subject, plan, c.within)
	if domain.CodeOf(err) == domain.Invalid {
		return usagef("--diff %s: %w", c.Diff.text, err)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = t.answer(r)
	} else {
		err = repricingTable(t.out, &r)
	}
	if err == nil && r.Different > 0 {
		err = errNo
	}
	return err
}

// plan is the one that --diff names.
func (c *replayCommand) plan(ctx context.Context, l *ledger.Ledger) (plan fee.Plan, err error) {
	if c.Diff.file != "" {
		if plan, err = readPlan(c.Diff.file); err != nil {
			err = usagef("--diff %s: %w", c.Diff.text, err)
		}
		return plan, err
	}
	plan, err = l.PlanVersion(ctx, c.Subject, c.Diff.version)
	if errors.Is(err, ledger.ErrNoPlan) {
		err = usagef("--diff %s: %w", c.Diff.text, err)
	}
	return plan, err
}

// within tells whether --until lets a record through.
func (c *replayCommand) within(r *eventstore.Record) (bool, error) {
	return c.Until.within(c.Subject, r.Position(), r.RecordedAt)
}

func repricingTable(out io.Writer, r *ledger.Repricing) error {
	rule := func(r fee.Rule) string { return fmt.Sprintf("%s version %d", r.Plan, r.Version) }
	if _, err := fmt.Fprintf(out, "%s up to %s: %d priced, %d of them otherwise under the plan %s\n",
		r.Subject, orNone(r.UpTo), r.Priced, r.Different, rule(r.Plan)); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if d := r.First; d != nil {
		item := ""
		if d.Item > 0 {
			item = fmt.Sprintf(", item %d", d.Item)
		}
		then := d.Refused
		if d.Repriced != nil {
			then = fmt.Sprintf("%s\t%s\t%s", d.Repriced.Commission, d.Repriced.Tax, rule(d.Repriced.Plan))
		} else {
			then = "refused: " + then
		}
		if _, err := fmt.Fprintf(w, "\nThe first: %s %s %s%s of %s\n\n\tCOMMISSION\tTAX\tPLAN\nrecorded\t%s\t%s\t%s\nunder the plan\t%s\n",
			d.Position, d.Type, d.Subject, item, d.Amount, d.Recorded.Commission, d.Recorded.Tax, rule(d.Recorded.Plan), then); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n\tRECORDED\tUNDER THE PLAN\tDIFFERENCE\n"+
		"commission earned, with tax\t%s\t%s\t%s\nwallet, with what is locked, less what is owed\t%s\t%s\t%s\n",
		r.Commission.Recorded, r.Commission.Repriced, r.Commission.Difference,
		r.Wallet.Recorded, r.Wallet.Repriced, r.Wallet.Difference)
	return errors.Join(err, w.Flush())
}

func orNone(s string) string {
	if s == "" {
		return "no record"
	}
	return s
}
