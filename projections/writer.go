package projections

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

// writer is a connection that writes views: one transaction at a time, with statements that are prepared once.
// It is used by one goroutine.
type writer struct {
	dialect  Dialect
	conn     *sql.Conn
	prepared map[string]*sql.Stmt
	open     bool   // in a transaction
	broken   bool   // the connection is of no use any more
	cache    *cache // of what it has written last; nil after a failure
}

// postgresSettings are those of a writer's connection. A writer's statements touch the rows of one batch, by their keys, however large the tables are: one plan for
// all batches, which never reads a whole table, whatever the statistics say. Where a table has no other way, as one of a single row, the planner takes the forbidden way for so
// dear that it would compile the statement first: for a tenth of a second, and each time, also on behalf of who gets the connection next.
var (
	postgresSettings = []string{
		"SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off", "SET enable_hashjoin = off", "SET enable_mergejoin = off",
		"SET default_statistics_target = 20", "SET jit = off",
	}
	postgresResets = []string{"RESET plan_cache_mode", "RESET enable_seqscan", "RESET enable_hashjoin", "RESET enable_mergejoin", "RESET default_statistics_target", "RESET jit"}
)

func openWriter(ctx context.Context, db *sql.DB, dialect Dialect) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, explain(err)
	}
	w := &writer{dialect: dialect, conn: conn, prepared: map[string]*sql.Stmt{}}
	if dialect == Postgres {
		if err := w.ddl(ctx, postgresSettings...); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return w, nil
}

// close ends what is open, and gives the connection back as it was, or away when it is of no use any more.
func (w *writer) close() error {
	if w.open {
		w.rollback()
	}
	if w.dialect == Postgres && !w.broken {
		if err := w.ddl(context.Background(), postgresResets...); err != nil {
			w.broken = true
		}
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
	w.open, w.cache = false, nil
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
