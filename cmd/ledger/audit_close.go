package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/projections"
)

// auditClose is `ledger audit close`.
type auditClose struct {
	storeFlags
	actorFlag
	Period   string `arg:"" help:"A month (2026-03), a quarter of the calendar year (2026-Q1), a financial year by the one in which it ends (FY2026), or a day (2026-03-31: everything up to and including it)."`
	TimeZone string `default:"Asia/Kolkata" help:"Time zone of its days."`
}

// periodClosed is what `audit close` answers.
type periodClosed struct {
	Number    int          `json:"close"`
	Period    string       `json:"period"`
	From      time.Time    `json:"from,omitzero"`
	To        time.Time    `json:"to"`
	Positions []books.Mark `json:"positions"`
	Accounts  int          `json:"accounts"`
	Digest    string       `json:"digest"`
}

// Run closes. A server may be running beside it; what that records meanwhile is late.
func (c *auditClose) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil || c.TimeZone == "Local" { // a name that means the same everywhere
		return usagef("--time-zone: %q is not known", c.TimeZone)
	}
	period, err := books.ParsePeriod(c.Period, zone)
	if err != nil {
		return usageError{err}
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		from, err := origin(actor, "audit close", map[string]string{"period": c.Period, "time_zone": c.TimeZone})
		if err != nil {
			return err
		}
		e, err := l.ClosePeriod(ctx, views, period, actor, from)
		if err != nil {
			return err
		}
		return t.answer(periodClosed{e.Number, e.Name, e.From, e.To, e.Positions, e.Accounts, e.Digest})
	})
}

// auditReopen is `ledger audit reopen`.
type auditReopen struct {
	storeFlags
	reasonFlag
	Period      string `arg:"" help:"The last period that was closed, by the name under which it was."`
	Actor       string `required:"" help:"Who asks for it." placeholder:"NAME"`
	SecondActor string `required:"" help:"Who approves it: another person." placeholder:"NAME"`
}

// periodReopened is what `audit reopen` answers. ClosedTo is the end of what is closed still.
type periodReopened struct {
	Period   string    `json:"period"`
	Reason   string    `json:"reason"`
	Asked    string    `json:"requested_by"`
	Approved string    `json:"reopened_by"`
	ClosedTo time.Time `json:"closed_to,omitzero"`
}

// Run asks and approves.
func (c *auditReopen) Run(ctx context.Context, t *terminal) error {
	if _, err := c.why(); err != nil {
		return err
	}
	for _, f := range []struct{ name, value string }{{"--actor", c.Actor}, {"--second-actor", c.SecondActor}} {
		if err := checkText(f.name, f.value, maxActor); err != nil {
			return err
		}
	}
	if (books.ApproveReopen{Actor: c.SecondActor}).Another(c.Actor) != nil {
		return usagef("--second-actor must be another person than --actor")
	}
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		from, err := origin(c.Actor, "audit reopen", map[string]string{"period": c.Period, "reason": c.Reason, "second_actor": c.SecondActor})
		if err != nil {
			return err
		}
		ask := books.RequestReopen{Name: c.Period, Reason: c.Reason, Actor: c.Actor, At: present()}
		res, err := l.ReopenPeriod(ctx, ask, c.SecondActor, from)
		if err != nil {
			return err
		}
		last, _ := res.Books.Last()
		return t.answer(periodReopened{c.Period, c.Reason, c.Actor, c.SecondActor, last.To})
	})
}

// auditPeriods is `ledger audit periods`.
type auditPeriods struct {
	storeFlags
	Format string `enum:"table,json,csv" default:"table" help:"table, json or csv."`
}

// periodsJSON is what it answers.
type periodsJSON struct {
	Periods []ops.PeriodView `json:"periods"`
}

// Run lists.
func (c *auditPeriods) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		all, err := views.Periods(ctx)
		if err != nil {
			return err
		}
		list := make([]ops.PeriodView, len(all))
		for i := range all {
			list[i] = ops.NewPeriodView(&all[i])
		}
		switch c.Format {
		case "json":
			return t.answer(periodsJSON{list})
		case "csv":
			return periodsCSV(t.out, list)
		}
		return periodsTable(t.out, list)
	})
}

func periodsCSV(out io.Writer, list []ops.PeriodView) error {
	w := sheet.NewCSV(out)
	for _, name := range []string{
		"close", "period", "time_zone", "from", "to", "closed_at", "closed_by", "position", "positions", "accounts", "digest", "late",
		"reopen_requested_by", "reopen_reason", "reopened_at", "reopened_by",
	} {
		w.Heading(name)
	}
	if err := w.End(); err != nil {
		return err
	}
	for i := range list {
		p := &list[i]
		var asked ops.RequestView
		if p.Request != nil {
			asked = *p.Request
		}
		for _, text := range []string{
			strconv.Itoa(p.Number), p.Period, p.Zone, instantOrNone(p.From), instantOrNone(p.To), instantOrNone(p.ClosedAt), p.ClosedBy, p.Position,
			marksText(p.Positions), strconv.Itoa(p.Accounts), p.Digest, lateText(p.Late), asked.Actor, asked.Reason, instantOrNone(p.Reopened), p.Reopener,
		} {
			w.Text(text)
		}
		if err := w.End(); err != nil {
			return err
		}
	}
	return w.Close()
}

func periodsTable(out io.Writer, list []ops.PeriodView) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) // it keeps the first error for Flush
	line := func(cells ...string) {
		fmt.Fprintln(w, strings.Join(cells, "\t")) //nolint:errcheck // see above
	}
	line("CLOSE", "PERIOD", "UP TO (UTC)", "CLOSED (UTC)", "BY", "POSITIONS", "DIGEST", "LATE SINCE", "REOPENED")
	for i := range list {
		p := &list[i]
		state := ""
		switch {
		case p.Reopener != "":
			state = fmt.Sprintf("%s by %s and %s: %s", instantOrNone(p.Reopened), p.Request.Actor, p.Reopener, p.Request.Reason)
		case p.Request != nil:
			state = fmt.Sprintf("asked for by %s: %s", p.Request.Actor, p.Request.Reason)
		}
		line(strconv.Itoa(p.Number), p.Period, instantOrNone(p.To), instantOrNone(p.ClosedAt), p.ClosedBy, marksText(p.Positions),
			fmt.Sprintf("%.12s", p.Digest), lateText(p.Late), state)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}

// instantOrNone is a time for people; nothing for none.
func instantOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func marksText(marks []books.Mark) string {
	texts := make([]string, len(marks))
	for i, m := range marks {
		texts[i] = m.String()
	}
	return strings.Join(texts, " ")
}

// lateText is "2 records, 10.00 INR" for each currency.
func lateText(list []ops.LateView) string {
	texts := make([]string, len(list))
	for i, l := range list {
		texts[i] = fmt.Sprintf("%d records, %s %s", l.Records, l.Amount, l.Currency)
	}
	return strings.Join(texts, "; ")
}

// frozen prints the trial balance that the last close of a period has frozen, read anew.
func (c *auditTrialBalance) frozen(ctx context.Context, t *terminal, views *projections.Views) error {
	all, err := views.Periods(ctx)
	if err != nil {
		return err
	}
	p, err := ops.FindPeriod(all, c.Period)
	if err != nil {
		return err
	}
	canonical := io.Discard
	if c.Format == "canonical" {
		canonical = t.out
	}
	found, trial, err := views.FrozenBalance(ctx, p, canonical)
	if err != nil {
		return err
	}
	if c.Format != "canonical" {
		answer, err := ops.NewTrialBalance(&found, c.Zero)
		if err != nil {
			return err
		}
		answer.Frozen.Digest = trial.Digest
		if err := (&trialBalance{answer}).print(t, c.Format); err != nil {
			return err
		}
	}
	if trial.Digest != p.Digest {
		complain(t.err, "ledger: %s\n", ops.NotAsFrozen(p, &trial))
		return errNo
	}
	return nil
}
