package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/eventstore"
)

// replayCommand shows the events of a payment, wallet, merchant or operator in order.
type replayCommand struct {
	storeFlags `embed:""`
	Subject    string    `arg:"" help:"A transaction, hold, batch, merchant or operator id, or a wallet's stream (wallet:mer_x:INR)."`
	Until      untilFlag `help:"Show what had happened by then: a time (RFC 3339) by recording date, or a position (P:SEQ), with what stands there." placeholder:"TIME|POSITION"`
	Diff       rulesFlag `help:"Replay under other rules too, and show the first difference: a fee plan as merchant set-plan takes it (plan:FILE), a version of the merchant's own plan (plan:N), or another release of ledger (the path of the program, on the same store)." placeholder:"plan:FILE|plan:N|PROGRAM"`
	JSON       bool      `name:"json" help:"Print JSON for machines."`
}

// untilFlag is a moment of the log: a time, or a position. The zero value is its end.
type untilFlag struct {
	at       time.Time
	position eventstore.Position
}

// UnmarshalText reads it: see kong.
func (u *untilFlag) UnmarshalText(text []byte) (err error) {
	if u.at, err = time.Parse(time.RFC3339, string(text)); err == nil {
		return nil
	}
	if u.position, err = eventstore.ParsePosition(string(text)); err != nil || u.position.Seq < 1 {
		return fmt.Errorf("%q is neither a time like 2026-03-31T18:00:00+05:30 nor a position like 0:17", text)
	}
	return nil
}

// within tells whether a record about subject is not behind the moment. A position in another partition than the subject's is wrong usage.
func (u *untilFlag) within(subject string, at eventstore.Position, recordedAt time.Time) (bool, error) {
	if u.position.Seq > 0 && at.Partition != u.position.Partition {
		return false, usagef("--until %s: what is about %s stands in partition %d", u.position, subject, at.Partition)
	}
	return (u.position.Seq == 0 || at.Seq <= u.position.Seq) && (u.at.IsZero() || !recordedAt.After(u.at)), nil
}

// errUntil ends a timeline at --until.
var errUntil = errors.New("the rest is later")

// timeline calls each with the events that --until lets through.
func (c *replayCommand) timeline(ctx context.Context, l *ledger.Ledger, each func(ledger.Moment) error) error {
	err := l.Timeline(ctx, c.Subject, func(m ledger.Moment) error {
		at, err := eventstore.ParsePosition(m.Position)
		if err != nil {
			return err
		}
		in, err := c.Until.within(c.Subject, at, m.RecordedAt)
		switch {
		case err != nil:
			return err
		case !in:
			return errUntil
		}
		return each(m)
	})
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

// Run prints the timeline while it is read: a wallet may have millions of events.
func (c *replayCommand) Run(ctx context.Context, t *terminal) error {
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		if c.Diff.text != "" {
			return c.diff(ctx, t, s, l)
		}
		if c.JSON {
			return writeTimeline(t.out, c.Subject, func(each func(ledger.Moment) error) error { return c.timeline(ctx, l, each) })
		}
		return c.printTable(ctx, t, l)
	})
}

func (c *replayCommand) printTable(ctx context.Context, t *terminal, l *ledger.Ledger) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	head := "POSITION\tRECORDED (UTC)\tEVENT\tSUBJECT\tBY\tAVAILABLE\tLOCKED\tHASH\tDETAIL\n"
	lines := 0
	err := c.timeline(ctx, l, func(m ledger.Moment) error {
		available, locked := "", ""
		if m.After != nil {
			available, locked = change(m.Before.Available, m.After.Available), change(m.Before.Locked, m.After.Locked)
		}
		told, err := detail(m.Data)
		if err != nil {
			return fmt.Errorf("record %s: %w", m.Position, err)
		}
		for _, digest := range m.Evidence {
			told += fmt.Sprintf(", evidence %.12s", digest)
		}
		told = strings.TrimPrefix(told, ", ")
		_, err = fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\t%s\n", head,
			m.Position, m.RecordedAt.Format("2006-01-02 15:04:05.000"), m.Type, m.Subject, m.Actor, available, locked, m.Hash, told)
		head = ""
		if lines++; lines%linesAtOnce == 0 && err == nil {
			err = w.Flush()
		}
		return err
	})
	return errors.Join(err, w.Flush())
}

// linesAtOnce is how many lines are laid out together.
const linesAtOnce = 1000

// detail is what an event's data tells a reader: amounts, the bank's references, and why. --json has all of it.
func detail(data []byte) (string, error) {
	var told map[string]json.RawMessage
	if err := json.Unmarshal(data, &told); err != nil {
		return "", err
	}
	var out []string
	for _, part := range []struct{ field, words string }{
		{"amount", "amount"}, {"commission", "commission"}, {"asked", "asked"}, {"attempt", "attempt"}, {"config", "config"}, {"order", "order"},
		{"code", "code"}, {"step", "step"}, {"state", "state"}, {"transaction", "transaction"}, {"failure", "failure"}, {"utr", "utr"},
		{"return_reference", "return"}, {"suspense", "suspense"}, {"detail", "the bank says"}, {"reason", "reason"},
		{"note", "note"}, {"item", "item"}, {"missing", "approvals missing"}, {"upto", "up to item"}, {"chunk", "chunk"},
	} {
		if value := strings.Trim(string(told[part.field]), `"`); value != "" {
			out = append(out, part.words+" "+value)
		}
	}
	if string(told["late"]) == "true" {
		out = append(out, "late")
	}
	if told["candidates"] != nil {
		var candidates []route.Candidate
		if err := json.Unmarshal(told["candidates"], &candidates); err != nil {
			return "", err
		}
		for i := range candidates {
			out = append(out, fmt.Sprintf("%s %s %s", candidates[i].Gateway, candidates[i].Config, candidates[i].Verdict))
		}
	}
	return strings.Join(out, ", "), nil
}

func change(before, after string) string {
	if before == after {
		return after
	}
	return before + " -> " + after
}
