package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/khata-ledger/khata/adapters/editlog"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/adapters/statement"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// This file holds what the commands and the operator API write: to a file, a terminal or a client, it is the same.

// statementOf reads everything of a statement but its lines.
func statementOf(ctx context.Context, views *projections.Views, f projections.StatementFilter) (*statement.Document, error) {
	d := &statement.Document{Zone: f.From.Location(), GeneratedAt: present()}
	var err error
	if d.Statement, err = views.Statement(ctx, f); err != nil {
		return nil, err
	}
	if d.Merchant != "" {
		m, err := views.Merchant(ctx, d.Merchant)
		if err != nil {
			return nil, err
		}
		d.MerchantName = m.Name
	}
	return d, nil
}

// writeStatement writes a statement, and returns how many lines it has.
func writeStatement(ctx context.Context, w io.Writer, format statement.Format, d *statement.Document) (lines int64, err error) {
	err = statement.Write(w, format, d, counted(d.Lines(ctx), &lines))
	return lines, err
}

// writeJournal writes the journal. A merchant that the log does not have is refused first.
func writeJournal(ctx context.Context, w io.Writer, log eventstore.Store, o plaintext.Options) (plaintext.Written, error) {
	if err := known(ctx, log, o.Merchant); err != nil {
		return plaintext.Written{}, err
	}
	return plaintext.Write(ctx, log, w, o)
}

// writeEditLog writes the edit log, and returns how many entries it has, and where the log was. A merchant that the log does not have is
// refused first.
func writeEditLog(ctx context.Context, w io.Writer, log eventstore.Store, format string, o editlog.Options) (entries int64, heads []eventstore.Head, err error) {
	if err := known(ctx, log, o.Merchant); err != nil {
		return 0, nil, err
	}
	sink := newEditSink(w, format)
	heads, err = editlog.Read(ctx, log, o, func(e *editlog.Entry) error {
		entries++
		return sink.entry(e)
	})
	if err == nil {
		err = sink.end(heads)
	}
	return entries, heads, err
}

// writeTimeline writes the events that timeline gives as one object, {"subject":...,"events":[...]}, event by event.
func writeTimeline(w io.Writer, subject string, timeline func(each func(ledger.Moment) error) error) error {
	name, err := json.Marshal(subject)
	if err != nil {
		return err
	}
	opened := false
	err = timeline(func(m ledger.Moment) error {
		separator := ",\n "
		if !opened {
			opened, separator = true, fmt.Sprintf(`{"subject":%s,"events":[`+"\n ", name)
		}
		line, err := json.Marshal(m)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s%s", separator, line)
		return err
	})
	switch {
	case err != nil:
		return err
	case !opened: // nothing had happened by then
		_, err = fmt.Fprintf(w, "{\"subject\":%s,\"events\":[]}\n", name)
	default:
		_, err = fmt.Fprintln(w, "\n]}")
	}
	return err
}
