package projections

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Rows of one SQLite statement: what is left over by the larger goes in the smaller ones. So there are few texts, each
// prepared once.
const (
	rowsLarge = 64
	rowsSmall = 8
)

// writer is a connection that writes views: one transaction at a time, with statements that are prepared once.
// It is used by one goroutine.
type writer struct {
	dialect   Dialect
	conn      *sql.Conn
	prepared  map[string]*sql.Stmt
	open      bool // in a transaction
	broken    bool // the connection is of no use any more
	partition int  // that the facts being applied are of
}

func openWriter(ctx context.Context, db *sql.DB, dialect Dialect) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, explain(err)
	}
	return &writer{dialect: dialect, conn: conn, prepared: map[string]*sql.Stmt{}}, nil
}

// close ends what is open, and gives the connection back, or away when it is of no use any more.
func (w *writer) close() error {
	if w.open {
		w.rollback()
	}
	if w.broken {
		if err := w.conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
			return explain(err)
		}
		return nil
	}
	var errs []error
	for _, s := range w.prepared {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// begin opens a transaction. On SQLite it holds the write lock from the start, so that nothing that it reads can move.
func (w *writer) begin(ctx context.Context) error {
	begin := "BEGIN"
	if w.dialect == SQLite {
		begin = "BEGIN IMMEDIATE"
	}
	if _, err := w.conn.ExecContext(ctx, begin); err != nil {
		return explain(err)
	}
	w.open = true
	return nil
}

// commit ends the transaction. It is not cut short by ctx: its outcome would be unknown.
func (w *writer) commit(ctx context.Context) error {
	if _, err := w.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT"); err != nil {
		return explain(err)
	}
	w.open = false
	return nil
}

// rollback undoes the transaction. A connection that cannot even do that is given away, which undoes it too.
func (w *writer) rollback() {
	w.open = false
	if _, err := w.conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
		w.broken = true
	}
}

// atomic runs do in a transaction: committed when do returns nil.
func (w *writer) atomic(ctx context.Context, do func() error) error {
	if err := w.begin(ctx); err != nil {
		return err
	}
	if err := do(); err != nil {
		w.rollback()
		return err
	}
	if err := w.commit(ctx); err != nil {
		w.rollback()
		return err
	}
	return nil
}

func (w *writer) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := w.prepared[text]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, explain(err)
	}
	w.prepared[text] = s
	return s, nil
}

// exec runs a statement and returns the number of rows that it affected.
func (w *writer) exec(ctx context.Context, text string, args ...any) (int64, error) {
	s, err := w.statement(ctx, text) //nolint:sqlclosecheck // it is kept for the next time; close closes it
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(ctx, args...)
	if err != nil {
		return 0, explain(err)
	}
	return result.RowsAffected()
}

// ddl runs statements that are not worth preparing.
func (w *writer) ddl(ctx context.Context, texts ...string) error {
	for _, text := range texts {
		if _, err := w.conn.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, explain(err))
		}
	}
	return nil
}

// load reads the rows whose column is one of the values, in one query.
func (t *table[R]) load(ctx context.Context, w *writer, generation int64, column string, values []string) ([]R, error) {
	if len(values) == 0 {
		return nil, nil
	}
	text := fmt.Sprintf("SELECT %s FROM %s WHERE %s = ANY($1)", t.list(), t.in(generation), column)
	var arg any = values
	if w.dialect == SQLite {
		text = fmt.Sprintf("SELECT %s FROM %s WHERE %s IN (SELECT value FROM json_each($1))", t.list(), t.in(generation), column)
		b, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		arg = string(b)
	}
	s, err := w.statement(ctx, text) //nolint:sqlclosecheck // it is kept for the next time; close closes it
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", t.name, err)
	}
	found, err := s.QueryContext(ctx, arg)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", t.name, explain(err))
	}
	return t.collect(found)
}

// collect scans and closes rows of all columns.
func (t *table[R]) collect(found *sql.Rows) (rows []R, err error) {
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var row R
		if err := found.Scan(t.targets(&row)...); err != nil {
			return nil, fmt.Errorf("read %s: %w", t.name, err)
		}
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.name, explain(err))
	}
	return rows, nil
}

// write inserts rows, or replaces those of the same key; no two of rows have the same key.
func (t *table[R]) write(ctx context.Context, w *writer, generation int64, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	var err error
	if w.dialect == Postgres {
		err = t.writeArrays(ctx, w, generation, rows)
	} else {
		err = t.writeValues(ctx, w, generation, rows)
	}
	if err != nil {
		return fmt.Errorf("write %d rows of %s: %w", len(rows), t.in(generation), err)
	}
	return nil
}

// writeArrays sends all rows as one array for each column: one statement, whose text does not depend on their number.
func (t *table[R]) writeArrays(ctx context.Context, w *writer, generation int64, rows []R) error {
	args := make([]any, len(t.columns))
	var arrays []string
	for i, c := range t.columns {
		if t.text[i] {
			values := make([]string, len(rows))
			for j := range rows {
				values[j] = storable(*c.at(&rows[j]).(*string))
			}
			args[i] = values
			arrays = append(arrays, fmt.Sprintf("$%d::text[]", i+1))
			continue
		}
		values := make([]int64, len(rows))
		for j := range rows {
			values[j] = *c.at(&rows[j]).(*int64)
		}
		args[i] = values
		arrays = append(arrays, fmt.Sprintf("$%d::bigint[]", i+1))
	}
	_, err := w.exec(ctx, fmt.Sprintf("INSERT INTO %s (%s) SELECT * FROM unnest(%s)%s",
		t.in(generation), t.list(), strings.Join(arrays, ", "), t.conflict(generation)), args...)
	return err
}

// writeValues sends rows as lists of values.
func (t *table[R]) writeValues(ctx context.Context, w *writer, generation int64, rows []R) error {
	for len(rows) > 0 {
		n := 1
		switch {
		case len(rows) >= rowsLarge:
			n = rowsLarge
		case len(rows) >= rowsSmall:
			n = rowsSmall
		}
		row := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
		text := fmt.Sprintf("INSERT INTO %s (%s) VALUES %s%s%s",
			t.in(generation), t.list(), row, strings.Repeat(", "+row, n-1), t.conflict(generation))
		args := make([]any, 0, n*len(t.columns))
		for j := range n {
			for _, c := range t.columns {
				switch value := c.at(&rows[j]).(type) {
				case *string:
					args = append(args, storable(*value))
				case *int64:
					args = append(args, *value)
				}
			}
		}
		if _, err := w.exec(ctx, text, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// storable drops zero bytes, which PostgreSQL's text cannot hold, and a bank's message may.
func storable(s string) string {
	if strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(s, "\x00", "")
}
