package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/khata-ledger/khata/adapters/editlog"
	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/eventstore"
)

// auditEditLog is `ledger audit edit-log`. Its period is of the days on which things were done, by our clock.
type auditEditLog struct {
	storeFlags
	auditPeriod
	Merchant string `help:"Only what is about this merchant." placeholder:"ID"`
	Format   string `enum:"table,json,csv" default:"table" help:"table, json or csv."`
	Output   string `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// editLogWritten is what `audit edit-log` answers when it writes to a file.
type editLogWritten struct {
	File    string     `json:"file"`
	Entries int64      `json:"entries"`
	Heads   []headJSON `json:"heads"`
}

// editSink writes entries in a format.
type editSink interface {
	entry(e *editlog.Entry) error
	end(heads []eventstore.Head) error
}

// Run writes the edit log while it reads the log. It needs no master key and no views.
func (c *auditEditLog) Run(ctx context.Context, t *terminal) error {
	from, until, _, err := c.bounds()
	if err != nil {
		return err
	}
	return withLog(ctx, &c.storeFlags, func(log eventstore.Store) error {
		tell, finish := t.progress("edit log")
		done := editLogWritten{File: c.Output}
		err := t.writeOut(c.Output, func(w io.Writer) error {
			entries, heads, err := writeEditLog(ctx, w, log, c.Format,
				editlog.Options{From: from, Until: until, Merchant: c.Merchant, Progress: tell})
			done.Entries, done.Heads = entries, headsJSON(heads)
			return err
		})
		if err = errors.Join(err, finish()); err != nil || c.Output == "" {
			return err
		}
		return t.answer(done)
	})
}

// newEditSink makes a sink of one of the formats json, csv and table.
func newEditSink(w io.Writer, format string) editSink {
	switch format {
	case "json":
		return &editJSON{out: w}
	case "csv":
		return &editCSV{rows: sheet.NewCSV(w)}
	}
	return &editTable{out: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

// editJSON writes one object, an entry on a line.
type editJSON struct {
	out    io.Writer
	opened bool
	count  int64
}

func (j *editJSON) open() string {
	if j.opened {
		return ",\n "
	}
	j.opened = true
	return `{"edits":[` + "\n "
}

func (j *editJSON) entry(e *editlog.Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.count++
	_, err = fmt.Fprintf(j.out, "%s%s", j.open(), line)
	return err
}

func (j *editJSON) end(heads []eventstore.Head) error {
	text, err := json.Marshal(headsJSON(heads))
	if err != nil {
		return err
	}
	begin := ""
	if !j.opened {
		begin = j.open()
	}
	_, err = fmt.Fprintf(j.out, "%s\n],\"count\":%d,\"heads\":%s}\n", begin, j.count, text)
	return err
}

// editCSV writes a row for each field that changed, and one for an entry that changed none.
type editCSV struct {
	rows  *sheet.CSV
	begun bool
}

func (s *editCSV) begin() error {
	if s.begun {
		return nil
	}
	s.begun = true
	for _, name := range []string{
		"position", "recorded_at", "event", "subject", "merchant_id", "actor", "origin", "source", "request_id", "field", "before", "after",
		"amount", "currency", "reason", "evidence", "event_id", "hash",
	} {
		s.rows.Heading(name)
	}
	return s.rows.End()
}

func (s *editCSV) entry(e *editlog.Entry) error {
	if err := s.begin(); err != nil {
		return err
	}
	for _, c := range editRows(e) {
		s.rows.Text(e.Position)
		s.rows.Time(e.RecordedAt)
		for _, text := range []string{
			e.Event, e.Subject, e.Merchant, e.Actor, e.Origin, e.Source, e.Request, c.Field, c.Before, c.After, e.Amount, e.Currency, e.Reason,
			strings.Join(e.Evidence, " "), e.EventID, e.Hash,
		} {
			s.rows.Text(text)
		}
		if err := s.rows.End(); err != nil {
			return err
		}
	}
	return nil
}

func (s *editCSV) end([]eventstore.Head) error { return errors.Join(s.begin(), s.rows.Close()) }

// editRows are the changes of an entry, at least one.
func editRows(e *editlog.Entry) []editlog.Change {
	if len(e.Changes) == 0 {
		return []editlog.Change{{}}
	}
	return e.Changes
}

// editPage is how many rows of a table are aligned with each other: it is printed while the log is read.
const editPage = 500

// editTable writes for people.
type editTable struct {
	out  *tabwriter.Writer
	rows int
}

func (s *editTable) entry(e *editlog.Entry) error {
	for i, c := range editRows(e) {
		if s.rows%editPage == 0 {
			if err := s.out.Flush(); err != nil {
				return err
			}
			if _, err := fmt.Fprint(s.out, "POSITION\tRECORDED (UTC)\tEVENT\tSUBJECT\tBY\tFROM\tFIELD\tBEFORE\tAFTER\tREASON\n"); err != nil {
				return err
			}
		}
		s.rows++
		what := [7]string{e.Position, e.RecordedAt.Format("2006-01-02 15:04:05.000"), e.Event, e.Subject, e.Actor, cameFrom(e), e.Reason}
		if i > 0 {
			what = [7]string{} // of the entry above
		}
		if _, err := fmt.Fprintf(s.out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			what[0], what[1], what[2], what[3], what[4], what[5], c.Field, c.Before, c.After, what[6]); err != nil {
			return err
		}
	}
	return nil
}

// cameFrom is where an entry came from, in short.
func cameFrom(e *editlog.Entry) string {
	switch {
	case e.Request != "":
		return e.Source + " " + e.Request
	case e.Origin != e.Actor:
		return e.Source + " " + e.Origin
	}
	return e.Source
}

func (s *editTable) end([]eventstore.Head) error { return s.out.Flush() }
