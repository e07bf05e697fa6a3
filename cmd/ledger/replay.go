package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/khata-ledger/khata/adapters/ledger"
)

// replayCommand shows the events of a payment, wallet, merchant or operator in order.
type replayCommand struct {
	storeFlags `embed:""`
	Subject    string `arg:"" help:"A transaction, hold, merchant or operator id, or a wallet's stream (wallet:mer_x:INR)."`
	JSON       bool   `name:"json" help:"Print JSON for machines."`
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
	err = l.Timeline(ctx, c.Subject, func(m ledger.Moment) error {
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
	_, err = fmt.Fprintln(t.out, "\n]}")
	return err
}

func (c *replayCommand) printTable(ctx context.Context, t *terminal, l *ledger.Ledger) error {
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	head := "POSITION\tRECORDED (UTC)\tEVENT\tSUBJECT\tBY\tAVAILABLE\tLOCKED\tHASH\tDETAIL\n"
	err := l.Timeline(ctx, c.Subject, func(m ledger.Moment) error {
		available, locked := "", ""
		if m.After != nil {
			available, locked = change(m.Before.Available, m.After.Available), change(m.Before.Locked, m.After.Locked)
		}
		told, err := detail(m.Data)
		if err != nil {
			return fmt.Errorf("record %s: %w", m.Position, err)
		}
		_, err = fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.12s\t%s\n", head,
			m.Position, m.RecordedAt.Format("2006-01-02 15:04:05.000"), m.Type, m.Subject, m.Actor, available, locked, m.Hash, told)
		head = ""
		return err
	})
	return errors.Join(err, w.Flush())
}

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
