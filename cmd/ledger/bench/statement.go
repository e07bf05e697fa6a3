package bench

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// csvSample is how many rows of the statement the limit writes over and over: more would be held in memory.
const csvSample = 50_000

// runStatement measures the statement of one merchant, to CSV, into a file: as `ledger audit statement -o` writes it.
func runStatement(ctx context.Context, w *world) (lines []Line, err error) {
	if err := w.writeLines(ctx); err != nil {
		return nil, err
	}
	b, err := w.open(ctx) // with nothing in memory of what has been written
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	bare, err := w.bareViews(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(w.at.Folder, "statement.csv")
	peak, base, grown := 0.0, 0.0, 0.0 // MiB
	taken, err := w.inTurn(ctx,
		measure{"the statement", func(ctx context.Context) (sample, error) {
			base = atRest().resident
			watch := watchMemory()
			s, err := w.statement(ctx, b, file)
			peak = max(peak, watch.stop())
			grown = max(grown, watch.stop()-base)
			return s, err
		}},
		measure{"lines bare", func(ctx context.Context) (s sample, err error) {
			begun := time.Now()
			s.count, err = bare.read(ctx, fmt.Sprintf(`SELECT l.* FROM journal_%d AS l JOIN accounts_%d AS a ON l.partition = a.partition AND l.account = a.account
				WHERE a.name = $1 ORDER BY l.recorded_at, l.seq, l.line`, bare.journal, bare.journal), wallet.AccountAvailable(historyMerchant(0)))
			s.elapsed = time.Since(begun)
			return s, err
		}},
		measure{"rows from memory", func(ctx context.Context) (sample, error) { return writeRows(ctx, file, w.opts.For) }},
	)
	if err = errors.Join(err, bare.close()); err != nil {
		return nil, err
	}
	const limit = "a bare SELECT of the account's lines"
	l := line("statement_csv", "statement to CSV, each line checked", "lines", taken[0]).beside(limit, taken[0], rates(taken[1]))
	l.ResidentPeakMiB, l.ResidentMiB = round(peak, 1), round(base, 1)
	l.Note = fmt.Sprintf("%s lines in %.1f s, with %.0f MiB more than at rest; the limit is %s; encoding/csv writes %s of the same rows a second from memory",
		plainInt(w.opts.Lines), float64(w.opts.Lines)/l.RatePerSecond, grown, limit, plain(spreadOf(rates(taken[2])).median, 0))
	return []Line{l}, nil
}

// writeLines writes the history of a merchant, and builds the views.
func (w *world) writeLines(ctx context.Context) (err error) {
	b, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer closing(b, &err)
	w.tell("writing the history of %s lines", plainInt(w.opts.Lines))
	h, err := newHistorian(ctx, b, 1, w.opts.Lines*7/3)
	if err != nil {
		return err
	}
	if err := h.until(ctx, 1<<62, w.opts.Lines); err != nil {
		return err
	}
	w.tally.records.Add(h.count)
	w.tell("building the views")
	return b.Views.Reach(ctx)
}

// statement writes one, durable, and counts its lines.
func (w *world) statement(ctx context.Context, b *Book, file string) (s sample, err error) {
	begun := time.Now()
	f, err := os.Create(file) //nolint:gosec // in the scratch folder
	if err != nil {
		return s, err
	}
	s.count, err = b.Statement(ctx, f, historyMerchant(0), begun.Add(-2*historySpan), begun.Add(24*time.Hour))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil && s.count != w.opts.Lines {
		err = fmt.Errorf("the statement has %d lines of %d", s.count, w.opts.Lines)
	}
	s.elapsed = time.Since(begun)
	return s, err
}

// writeRows writes rows of a CSV file into another one for a while.
func writeRows(ctx context.Context, from string, during time.Duration) (s sample, err error) {
	rows, err := readRowsOf(from)
	if err != nil {
		return s, err
	}
	f, err := os.Create(from + ".bare")
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	out := bufio.NewWriterSize(f, 32<<10)
	c := csv.NewWriter(out)
	begun := time.Now()
	for time.Since(begun) < during && ctx.Err() == nil && err == nil {
		err = c.WriteAll(rows)
		s.count += int64(len(rows))
	}
	err = errors.Join(err, c.Error(), out.Flush(), f.Sync(), f.Close(), ctx.Err())
	s.elapsed = time.Since(begun)
	return s, err
}

func readRowsOf(file string) (rows [][]string, err error) {
	f, err := os.Open(file) //nolint:gosec // in the scratch folder
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := csv.NewReader(bufio.NewReader(f))
	for len(rows) < csvSample {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}
