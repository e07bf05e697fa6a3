package simulation

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	sqlite "modernc.org/sqlite"
)

// viewsDB is the database of the views of all processes: a SQLite file. One connection at a time writes, as SQLite has it; who reads sees what
// was committed.
type viewsDB struct {
	path string

	mu     sync.Mutex
	holder *viewsConn // who has begun to write
}

// lockedFor is how long a connection waits for the one that writes.
const lockedFor = 10 * time.Second

// inTransaction is which of the statements within a transaction are parked: one in so many. What a crash there leaves is what one before
// its COMMIT leaves; what an error there leads to is the product's.
const inTransaction = 16

// connection opens a connection of the product's driver.
func (d *viewsDB) connection() (driver.Conn, error) {
	return (&sqlite.Driver{}).Open("file:" + filepath.ToSlash(d.path) + "?_pragma=busy_timeout(0)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
}

// newViews is a database without tables, or with those of another one.
func (w *world) newViews(like *viewsDB) (made *viewsDB, err error) {
	w.files++
	made = &viewsDB{path: filepath.Join(w.folder, fmt.Sprintf("views%d.db", w.files))}
	from := made
	if like != nil {
		from = like
	}
	conn, err := from.connection()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if like != nil {
		_, err = run(conn, "VACUUM INTO '"+made.path+"'")
	}
	return made, err
}

// lock is true when the connection has the right to write, which is kept until unlock.
func (d *viewsDB) lock(c *viewsConn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == nil {
		d.holder = c
	}
	return d.holder == c
}

func (d *viewsDB) unlock(c *viewsConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.holder == c {
		d.holder = nil
	}
}

func (d *viewsDB) locked() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.holder != nil
}

// viewsLink makes a process's connections.
type viewsLink struct{ of *process }

// Driver is not asked for.
func (viewsLink) Driver() driver.Driver { return nil }

// Connect opens a connection.
func (l viewsLink) Connect(context.Context) (driver.Conn, error) {
	conn, err := l.of.viewsAt.connection()
	if err != nil {
		return nil, err
	}
	return &viewsConn{of: l.of, db: l.of.viewsAt, conn: conn, prepared: map[string]driver.Stmt{}}, nil
}

// viewsConn is one connection. What is done outside of a transaction is parked, of a transaction its first statement, which waits for the right to
// write, its COMMIT, and some between. One goroutine at a time uses it.
type viewsConn struct {
	of       *process
	db       *viewsDB
	conn     driver.Conn
	prepared map[string]driver.Stmt
	open     bool         // BEGIN was said
	name     string       // of the transaction: its first statement
	done     int          // statements of it
	behind   func() error // a bug: what is done when it has committed
}

var (
	_ driver.Connector       = viewsLink{}
	_ driver.ExecerContext   = (*viewsConn)(nil)
	_ driver.QueryerContext  = (*viewsConn)(nil)
	_ driver.StmtExecContext = viewsStmt{}
)

// Begin is not what the product calls.
func (c *viewsConn) Begin() (driver.Tx, error) {
	return nil, errors.New("simulated: a transaction begins with BEGIN")
}

// Prepare keeps the text.
func (c *viewsConn) Prepare(query string) (driver.Stmt, error) { return viewsStmt{c, query}, nil }

// Close ends the connection, and undoes what it has open.
func (c *viewsConn) Close() error {
	var errs []error
	for _, s := range c.prepared {
		errs = append(errs, s.Close())
	}
	err := errors.Join(append(errs, c.conn.Close())...)
	c.db.unlock(c)
	return err
}

// brief is the beginning of a statement, and, of those on the catalog of the views, its arguments. Of the others the product leaves to chance
// which rows are written by which statement of a transaction.
func brief(query string, args []driver.NamedValue) string {
	text := strings.Join(strings.Fields(query), " ")
	out := fmt.Sprintf("%.60s", text)
	for _, a := range args {
		if strings.Contains(query, "views_") {
			out += fmt.Sprintf(" %.20v", a.Value)
		}
	}
	return out
}

// reads tells whether a statement changes nothing.
func reads(query string) bool { return strings.HasPrefix(strings.TrimSpace(query), "SELECT") }

// enter waits until a statement is let go on. It is to be run when there is no error, and its answer is lost when told is false.
func (c *viewsConn) enter(ctx context.Context, query string, args []driver.NamedValue, writes bool) (told bool, err error) {
	w := c.of.world
	name := brief(query, args)
	switch {
	case c.open && c.name != "":
		if c.done++; c.done%inTransaction != 0 {
			return true, nil
		}
		if v := w.park(ctx, c.of, "views row", name, false); !v.answered() {
			return false, v.err(ctx)
		}
		return true, nil
	case !c.open && !writes:
		if v := w.park(ctx, c.of, "views", name, true); !v.answered() {
			return false, v.err(ctx)
		}
		return true, nil
	}
	waits, cancel := context.WithTimeout(ctx, lockedFor)
	defer cancel()
	v := w.parkUntil(waits, c.of, "views write", name, false, c.db.locked)
	if v.dead || v.expired || !v.done() {
		return false, v.err(waits)
	}
	if c.open {
		if !c.db.lock(c) {
			return false, errors.New("simulated: somebody else writes")
		}
		c.name, c.done = name, len(name) // whichever connection of the pool it is
		if _, err := run(c.conn, "BEGIN IMMEDIATE"); err != nil {
			return false, err
		}
	}
	return v.answered(), nil
}

// ExecContext runs a statement.
func (c *viewsConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	switch {
	case strings.HasPrefix(query, "BEGIN"):
		c.open, c.name = true, ""
		return driver.ResultNoRows, nil
	case query == "COMMIT":
		return driver.ResultNoRows, c.commit(ctx)
	case query == "ROLLBACK":
		return driver.ResultNoRows, c.rollback()
	}
	told, err := c.enter(ctx, query, args, true)
	if err != nil {
		return nil, err
	}
	res, err := c.exec(ctx, query, args)
	if err == nil && !told {
		return nil, errCut
	}
	return res, err
}

// exec runs a statement as it is, or, where a bug is planted, as that has it.
func (c *viewsConn) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if bug := c.of.world.plant.views; bug != nil && c.open && strings.HasPrefix(query, "UPDATE views_checkpoints SET seq") {
		return bug(ctx, c, query, args)
	}
	return c.run(ctx, query, args)
}

// run runs a statement.
func (c *viewsConn) run(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtExecContext).ExecContext(context.WithoutCancel(ctx), args)
}

// QueryContext runs a query to its end.
func (c *viewsConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	told, err := c.enter(ctx, query, args, !reads(query))
	if err != nil {
		return nil, err
	}
	s, err := c.statement(query)
	if err != nil {
		return nil, err
	}
	r, err := s.(driver.StmtQueryContext).QueryContext(context.WithoutCancel(ctx), args)
	if err != nil {
		return nil, err
	}
	found, err := toEnd(r)
	if err == nil && !told {
		return nil, errCut
	}
	return found, err
}

func (c *viewsConn) commit(ctx context.Context) error {
	if c.name == "" {
		c.open = false
		return nil
	}
	v := c.of.world.park(ctx, c.of, "views commit", c.name, false)
	if !v.done() {
		return v.err(ctx)
	}
	if _, err := run(c.conn, "COMMIT"); err != nil {
		return err
	}
	c.of.world.saw("transactions of views")
	c.open = false
	c.db.unlock(c)
	if after := c.behind; after != nil {
		c.behind = nil
		if err := after(); err != nil {
			return err
		}
	}
	if !v.answered() {
		return v.err(ctx)
	}
	return nil
}

func (c *viewsConn) rollback() error {
	if !c.open {
		return errors.New("simulated: no transaction is open")
	}
	c.open, c.behind = false, nil
	if c.name == "" {
		return nil
	}
	defer c.db.unlock(c)
	_, err := run(c.conn, "ROLLBACK")
	return err
}

func (c *viewsConn) statement(query string) (driver.Stmt, error) {
	if s, is := c.prepared[query]; is {
		return s, nil
	}
	s, err := c.conn.Prepare(query)
	if err == nil {
		c.prepared[query] = s
	}
	return s, err
}

// run runs a statement that is not worth preparing.
func run(conn driver.Conn, query string) (driver.Result, error) {
	return conn.(driver.ExecerContext).ExecContext(context.Background(), query, nil)
}

// viewsStmt is a prepared statement.
type viewsStmt struct {
	conn  *viewsConn
	query string
}

func (s viewsStmt) Close() error                               { return nil }
func (s viewsStmt) NumInput() int                              { return -1 }
func (s viewsStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s viewsStmt) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

// ExecContext runs it.
func (s viewsStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.query, args)
}

// QueryContext runs it.
func (s viewsStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.query, args)
}
