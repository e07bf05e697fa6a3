package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/transfer"
	"github.com/khata-ledger/khata/migrations"
)

// logCommand is `ledger log`. It needs no master key: what is sealed stays sealed.
type logCommand struct {
	Export logExport `cmd:"" help:"Write the log as NDJSON."`
	Import logImport `cmd:"" help:"Read an export into a new store, or into one of the same ledger."`
}

type logExport struct {
	storeFlags
	From   []string `help:"First record to export of a partition; all of the others. Repeatable." placeholder:"P:SEQ"`
	Output string   `short:"o" help:"File to write; it appears whole or not at all. Without it, stdout." placeholder:"FILE"`
}

// headJSON is the newest record of a partition.
type headJSON struct {
	Partition int    `json:"partition"`
	Seq       int64  `json:"seq"`
	Hash      string `json:"hash"`
}

func headsJSON(heads []eventstore.Head) []headJSON {
	out := make([]headJSON, len(heads))
	for i, h := range heads {
		out[i] = headJSON{h.Partition, h.Seq, h.Hash.String()}
	}
	return out
}

// exported is what `log export` answers when it writes to a file.
type exported struct {
	File    string     `json:"file"`
	Ledger  uuid.UUID  `json:"ledger_id"`
	Records int64      `json:"records"`
	Heads   []headJSON `json:"heads"`
}

// Run exports.
func (c *logExport) Run(ctx context.Context, t *terminal) error {
	var from []eventstore.Position
	for _, s := range c.From {
		p, err := eventstore.ParsePosition(s)
		if err != nil {
			return usagef("--from: %v", err)
		}
		from = append(from, p)
	}
	return withLog(ctx, &c.storeFlags, func(log eventstore.Store) error {
		info, err := log.Info(ctx)
		if err != nil {
			return err
		}
		tell, finish := t.progress("export")
		var out transfer.Exported
		err = t.writeOut(c.Output, func(w io.Writer) (err error) {
			out, err = transfer.Export(ctx, log, from, w, tell)
			return err
		})
		if err = errors.Join(err, finish()); err != nil {
			return err
		}
		if c.Output == "" {
			_, err := fmt.Fprintf(t.err, "%d records exported\n", out.Records)
			return err
		}
		return t.answer(exported{c.Output, info.LedgerID, out.Records, headsJSON(out.Heads)})
	})
}

type logImport struct {
	storeFlags
	File string `arg:"" optional:"" help:"The export; without it, stdin."`
}

// imported is what `log import` answers.
type imported struct {
	Ledger  uuid.UUID  `json:"ledger_id"`
	Records int64      `json:"records"` // appended
	Equal   int64      `json:"equal"`   // there already
	Heads   []headJSON `json:"heads"`
}

// Run imports. A store that is new is made first.
func (c *logImport) Run(ctx context.Context, t *terminal) error {
	var in io.Reader = os.Stdin
	if c.File != "" {
		f, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // it was only read
		in = f
	}
	err := withLog(ctx, &c.storeFlags, func(eventstore.Store) error { return nil })
	if errors.Is(err, migrations.ErrPending) {
		err = c.migrate(ctx, 0) // an import brings its own number of partitions
	}
	if err != nil {
		return err
	}
	return withLog(ctx, &c.storeFlags, func(log eventstore.Store) error {
		tell, finish := t.progress("import")
		out, err := transfer.Import(ctx, log, bufio.NewReaderSize(in, 1<<20), tell)
		if err = errors.Join(err, finish()); err != nil {
			if out.Records > 0 {
				err = fmt.Errorf("%w (%d records were imported before it; the same command goes on behind them)", err, out.Records)
			}
			return err
		}
		info, err := log.Info(ctx)
		if err != nil {
			return err
		}
		return t.answer(imported{info.LedgerID, out.Records, out.Equal, headsJSON(out.Heads)})
	})
}

// withLog runs f with the log alone open.
func withLog(ctx context.Context, flags *storeFlags, f func(eventstore.Store) error) error {
	loc, err := flags.location()
	if err != nil {
		return err
	}
	log, err := loc.openLog(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(log), log.Close())
}
