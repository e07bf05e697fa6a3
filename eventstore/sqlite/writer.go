package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/khata-ledger/khata/eventstore"
)

// lockTimeout is how long a write waits for other processes' writes before it gives up.
const lockTimeout = 10 * time.Second

// maxStatementBytes bounds what one INSERT of many rows copies.
const maxStatementBytes = 8 << 20

// Fifty rows a statement are nearly twice as fast as one; more gain nothing.
var rowsPerStatement = [...]int{1, 10, 50}

// table is a table that records are inserted into.
type table struct{ name, columns string }

// The tables of an append.
var (
	eventsTable = table{"events", "partition, seq, stream, version, subject, type, schema, event_id, effective_at, recorded_at, " +
		"dedupe_key, data, meta, evidence_digests, hash"}
	evidenceTable = table{"evidence", "partition, seq, n, media_type, body"}
)

// statementOf names a prepared INSERT.
type statementOf struct {
	table string
	rows  int
}

// writer is the connection that writes, and its statements. Who took it from Store.writing owns it.
type writer struct {
	conn       *sql.Conn
	statements map[statementOf]*sql.Stmt
	args       []any // of one statement, reused
	broken     bool  // not known to be outside of a transaction: it must be opened anew
}

// write runs change in a transaction that holds SQLite's write lock, and commits it durably. ErrUnknown only when the
// disk failed while committing. Waiting for the lock ends with ctx; what follows is short, and is not interrupted.
func (s *Store) write(ctx context.Context, change func(context.Context, *writer) error) error {
	var w *writer
	select {
	case w = <-s.writing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.writing <- w }()
	if w == nil {
		conn, err := s.writers.Conn(ctx)
		if err != nil {
			return explain(err)
		}
		w = &writer{conn: conn, statements: map[statementOf]*sql.Stmt{}}
	}
	err := w.begin(ctx)
	if err == nil {
		err = w.transact(context.WithoutCancel(ctx), change)
	}
	if w.broken {
		err = errors.Join(err, w.discard())
		w = nil
	}
	return err
}

// begin takes the write lock. It asks again and again in short waits, so that it can give up when ctx ends.
func (w *writer) begin(ctx context.Context) error {
	deadline := time.Now().Add(lockTimeout)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, err := w.conn.ExecContext(context.WithoutCancel(ctx), "BEGIN IMMEDIATE")
		switch {
		case err == nil:
			return nil
		case code(err) != sqlite3.SQLITE_BUSY:
			w.broken = true
			return explain(err)
		case time.Now().After(deadline):
			return explain(err)
		}
	}
}

func (w *writer) transact(ctx context.Context, change func(context.Context, *writer) error) error {
	if err := change(ctx, w); err != nil {
		// SQLite has rolled some failures back by itself, and then refuses to do it twice. Where it is not clear whether
		// the transaction is over, closing the connection makes it so.
		if _, rollbackErr := w.conn.ExecContext(ctx, "ROLLBACK"); rollbackErr != nil {
			w.broken = true
		}
		return explain(err)
	}
	_, err := w.conn.ExecContext(ctx, "COMMIT")
	if err == nil {
		return nil
	}
	w.broken = true
	if code(err) == sqlite3.SQLITE_IOERR {
		return fmt.Errorf("%w: %w", eventstore.ErrUnknown, explain(err))
	}
	return explain(err)
}

// discard closes the connection for good, and with it any transaction.
func (w *writer) discard() error {
	err := w.closeStatements()
	rawErr := w.conn.Raw(func(any) error { return driver.ErrBadConn }) // tells the pool not to keep it
	if !errors.Is(rawErr, driver.ErrBadConn) {
		err = errors.Join(err, rawErr)
	}
	if closeErr := w.conn.Close(); !errors.Is(closeErr, sql.ErrConnDone) {
		err = errors.Join(err, closeErr)
	}
	return err
}

// close gives the connection back.
func (w *writer) close() error { return errors.Join(w.closeStatements(), w.conn.Close()) }

func (w *writer) closeStatements() error {
	var err error
	for _, statement := range w.statements {
		err = errors.Join(err, statement.Close())
	}
	clear(w.statements)
	return err
}

// insert writes n rows into t, many rows a statement. size tells about how many bytes row i has; row appends its values
// to args.
func (w *writer) insert(ctx context.Context, t table, n int, size func(i int) int, row func(args []any, i int) []any) error {
	for from := 0; from < n; {
		rows := 1
		for _, many := range rowsPerStatement {
			if from+many <= n && fits(from, many, size) {
				rows = many
			}
		}
		args := w.args[:0]
		for i := from; i < from+rows; i++ {
			args = row(args, i)
		}
		w.args = args
		statement, err := w.statement(ctx, t, rows) //nolint:sqlclosecheck // kept, and closed with the connection
		if err != nil {
			return fmt.Errorf("prepare for %s: %w", t.name, err)
		}
		if _, err := statement.ExecContext(ctx, args...); err != nil {
			return fmt.Errorf("insert into %s: %w", t.name, err)
		}
		clear(args) // so that the records can be freed
		from += rows
	}
	return nil
}

func fits(from, rows int, size func(i int) int) bool {
	total := 0
	for i := from; i < from+rows; i++ {
		total += size(i)
	}
	return total <= maxStatementBytes
}

// statement is the prepared INSERT of so many rows into t. OR ROLLBACK, because every failure ends the transaction anyway: to
// be able to undo one statement of many rows alone, SQLite would keep a journal of it.
func (w *writer) statement(ctx context.Context, t table, rows int) (*sql.Stmt, error) {
	kept := statementOf{t.name, rows}
	if statement, ok := w.statements[kept]; ok {
		return statement, nil
	}
	values := "(?" + strings.Repeat(", ?", strings.Count(t.columns, ",")) + ")"
	query := "INSERT OR ROLLBACK INTO " + t.name + " (" + t.columns + ") VALUES " + values + strings.Repeat(", "+values, rows-1) //nolint:gosec // constants only
	statement, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	w.statements[kept] = statement
	return statement, nil
}
