package projections

import (
	"context"
	"database/sql"
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

// insert writes rows whose keys are not there yet.
func (t *table[R]) insert(ctx context.Context, w *writer, generation int64, rows []R) error {
	var err error
	switch {
	case len(rows) == 0:
	case w.dialect == Postgres:
		err = t.copyIn(ctx, w, generation, rows)
	default:
		err = t.values(ctx, w, t.every(), rows, func(values string) string {
			return fmt.Sprintf("INSERT INTO %s (%s) %s", t.in(generation), t.list(), values)
		})
	}
	return t.wrote("insert", len(rows), generation, err)
}

// update writes the changing columns of rows whose keys are there.
func (t *table[R]) update(ctx context.Context, w *writer, generation int64, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	text := func(from string, column func(i int) string) string {
		var sets, keys []string
		for n, i := range t.changing() {
			if n < t.key {
				keys = append(keys, fmt.Sprintf("t.%s = u.%s", t.names[i], column(n)))
			} else {
				sets = append(sets, fmt.Sprintf("%s = u.%s", t.names[i], column(n)))
			}
		}
		return fmt.Sprintf("UPDATE %s AS t SET %s FROM %s WHERE %s", t.in(generation), strings.Join(sets, ", "), from, strings.Join(keys, " AND "))
	}
	var err error
	if w.dialect == Postgres {
		arrays, args := t.arrays(t.changing(), rows)
		_, err = w.exec(ctx, text("unnest("+arrays+") AS u("+t.list(t.changing()...)+"), "+t.byKey(generation),
			func(n int) string { return t.names[t.changing()[n]] })+" AND t.ctid = found.at", args...)
	} else {
		err = t.values(ctx, w, t.changing(), rows, func(values string) string {
			return text("("+values+") AS u", func(n int) string { return fmt.Sprintf("column%d", n+1) })
		})
	}
	return t.wrote("update", len(rows), generation, err)
}

// byKey is SQL that finds the row of the same key as u. It is looked up for each u, whatever PostgreSQL knows of the table: when
// that was small, it would plan to read the table for each batch, and keep to it when it has grown.
func (t *table[R]) byKey(generation int64) string {
	var same []string
	for _, name := range t.names[:t.key] {
		same = append(same, fmt.Sprintf("t.%s = u.%s", name, name))
	}
	return fmt.Sprintf("LATERAL (SELECT t.ctid AS at FROM %s AS t WHERE %s OFFSET 0) AS found", t.in(generation), strings.Join(same, " AND "))
}

// remove deletes rows, by their keys.
func (t *table[R]) remove(ctx context.Context, w *writer, generation int64, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	key := t.every()[:t.key]
	var err error
	if w.dialect == Postgres {
		arrays, args := t.arrays(key, rows)
		_, err = w.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT found.at FROM unnest(%s) AS u(%s), %s))",
			t.in(generation), arrays, t.list(key...), t.byKey(generation)), args...)
	} else {
		err = t.values(ctx, w, key, rows, func(values string) string {
			return fmt.Sprintf("DELETE FROM %s WHERE (%s) IN (%s)", t.in(generation), t.list(key...), values)
		})
	}
	return t.wrote("remove", len(rows), generation, err)
}

// merge inserts rows, or replaces those of the same key, or adds to them; no two of rows have the same key.
func (t *table[R]) merge(ctx context.Context, w *writer, generation int64, rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	into := fmt.Sprintf("INSERT INTO %s (%s) ", t.in(generation), t.list())
	var err error
	if w.dialect == Postgres {
		arrays, args := t.arrays(t.every(), rows)
		_, err = w.exec(ctx, into+"SELECT * FROM unnest("+arrays+")"+t.conflict(generation), args...)
	} else {
		err = t.values(ctx, w, t.every(), rows, func(values string) string { return into + values + t.conflict(generation) })
	}
	return t.wrote("merge", len(rows), generation, err)
}

func (t *table[R]) wrote(how string, rows int, generation int64, err error) error {
	if err != nil {
		return fmt.Errorf("%s %d rows of %s: %w", how, rows, t.in(generation), explain(err))
	}
	return nil
}

// arrays are some columns of all rows as one array each: a statement whose text does not depend on the number of rows.
func (t *table[R]) arrays(columns []int, rows []R) (list string, args []any) {
	var names []string
	for n, i := range columns {
		at := t.columns[i].at
		if t.text[i] {
			values := make([]string, len(rows))
			for j := range rows {
				values[j] = storable(*at(&rows[j]).(*string))
			}
			args = append(args, values)
			names = append(names, fmt.Sprintf("$%d::text[]", n+1))
			continue
		}
		values := make([]int64, len(rows))
		for j := range rows {
			values[j] = *at(&rows[j]).(*int64)
		}
		args = append(args, values)
		names = append(names, fmt.Sprintf("$%d::bigint[]", n+1))
	}
	return strings.Join(names, ", "), args
}

// values sends some columns of rows as lists of values, in the statements that text makes around them.
func (t *table[R]) values(ctx context.Context, w *writer, columns []int, rows []R, text func(values string) string) error {
	row := "(?" + strings.Repeat(", ?", len(columns)-1) + ")"
	args := make([]any, 0, min(len(rows), rowsLarge)*len(columns))
	for len(rows) > 0 {
		n := 1
		switch {
		case len(rows) >= rowsLarge:
			n = rowsLarge
		case len(rows) >= rowsSmall:
			n = rowsSmall
		}
		args = args[:0]
		for j := range n {
			for _, i := range columns {
				switch value := t.columns[i].at(&rows[j]).(type) {
				case *string:
					args = append(args, storable(*value))
				case *int64:
					args = append(args, *value)
				}
			}
		}
		if _, err := w.exec(ctx, text("VALUES "+row+strings.Repeat(", "+row, n-1)), args...); err != nil {
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
