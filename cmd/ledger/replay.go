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
	"github.com/khata-ledger/khata/eventstore"
)

// replayCommand shows the events of a payment, wallet, merchant or operator in order.
type replayCommand struct {
	storeFlags `embed:""`
	Subject    string    `arg:"" help:"A transaction, hold, batch, merchant or operator id, or a wallet's stream (wallet:mer_x:INR)."`
	Until      untilFlag `help:"Show what had happened by then: a time (RFC 3339) by recording date, or a position (P:SEQ), with what stands there." placeholder:"TIME|POSITION"`
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

// errUntil ends a timeline at --until.
var errUntil = errors.New("the rest is later")

// timeline calls each with the events that --until lets through.
func (c *replayCommand) timeline(ctx context.Context, l *ledger.Ledger, each func(ledger.Moment) error) error {
	err := l.Timeline(ctx, c.Subject, func(m ledger.Moment) error {
		at, err := eventstore.ParsePosition(m.Position)
		switch {
		case err != nil:
			return err
		case c.Until.position.Seq > 0 && at.Partition != c.Until.position.Partition:
			return usagef("--until %s: what is about %s stands in partition %d", c.Until.position, c.Subject, at.Partition)
		case c.Until.position.Seq > 0 && at.Seq > c.Until.position.Seq, !c.Until.at.IsZero() && m.RecordedAt.After(c.Until.at):
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
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		if c.JSON {
			return c.printJSON(ctx, t, l)
		}
		return c.printTable(ctx, t, l)
	})
}

// printJSON prints one object, {"subject":...,"events":[...]}, event by event.
func (c *replayCommand) printJSON(ctx context.Context, t *terminal, l *ledger.Ledger) error {
	subject, err := json.Marshal(c.Subject)
	if err != nil {
		return err
	}
	opened := false
	err = c.timeline(ctx, l, func(m ledger.Moment) error {
		separator := ",\n "
		if !opened {
			opened, separator = true, fmt.Sprintf(`{"subject":%s,"events":[`+"\n ", subject)
		}
		line, err := json.Marshal(m)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s%s", separator, line)
		return err
	})
	if err != nil {
		return err
	}
	if !opened { // nothing had happened by then
		_, err = fmt.Fprintf(t.out, "{\"subject\":%s,\"events\":[]}\n", subject)
		return err
	}
	_, err = fmt.Fprintln(t.out, "\n]}")
	return err
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
		{"amount", "amount"}, {"commission", "commission"}, {"asked", "asked"}, {"attempt", "attempt"}, {"utr", "utr"},
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
	return strings.Join(out, ", "), nil
}

func change(before, after string) string {
	if before == after {
		return after
	}
	return before + " -> " + after
}
