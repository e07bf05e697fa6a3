package simulation

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	sqlite "modernc.org/sqlite"

	"github.com/khata-ledger/khata/migrations"
)

// database is the work database of all processes: SQLite in memory. Its statements are run one at a time.
type database struct {
	mu     sync.Mutex
	conn   driver.Conn
	tokens map[string]string // of leases, which are random -> a name that is not

	prepared map[string]driver.Stmt // by text

	generation int // how often an image was put in place of what was there
}

// emptyWork is the image of a work database without rows.
func emptyWork(t testing.TB) []byte {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "work.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := migrations.Up(t.Context(), db, migrations.SQLite, migrations.Work); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var image []byte
	err = conn.Raw(func(c any) (err error) {
		image, err = c.(interface{ Serialize() ([]byte, error) }).Serialize()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func openDatabase(image []byte) (*database, error) {
	conn, err := (&sqlite.Driver{}).Open(":memory:")
	if err != nil {
		return nil, err
	}
	d := &database{conn: conn, tokens: map[string]string{}, prepared: map[string]driver.Stmt{}}
	return d, d.restore(image)
}

// restore puts an image in place of what is there.
func (d *database) restore(image []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.generation++
	return errors.Join(d.forget(), d.conn.(interface{ Deserialize([]byte) error }).Deserialize(image))
}

// image is what is there.
func (d *database) image() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn.(interface{ Serialize() ([]byte, error) }).Serialize()
}

// statement prepares a statement, once for each text; the caller holds mu.
func (d *database) statement(query string) (driver.Stmt, error) {
	if s, is := d.prepared[query]; is {
		return s, nil
	}
	s, err := d.conn.Prepare(query)
	if err == nil {
		d.prepared[query] = s
	}
	return s, err
}

func (d *database) exec(query string, args []driver.NamedValue) (driver.Result, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.statement(query)
	if err != nil {
		return nil, err
	}
	return s.(driver.StmtExecContext).ExecContext(context.Background(), args)
}

// query runs a statement to its end.
func (d *database) query(query string, args []driver.NamedValue) (*rows, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.statement(query)
	if err != nil {
		return nil, err
	}
	r, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		return nil, err
	}
	return toEnd(r)
}

// toEnd reads rows to their end.
func toEnd(r driver.Rows) (found *rows, err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	found = &rows{columns: r.Columns()}
	for {
		values := make([]driver.Value, len(found.columns))
		if err := r.Next(values); errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, err
		}
		found.values = append(found.values, values)
	}
}

// forget ends the prepared statements; the caller holds mu.
func (d *database) forget() (err error) {
	for _, s := range d.prepared {
		err = errors.Join(err, s.Close())
	}
	clear(d.prepared)
	return err
}

func (d *database) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.forget(), d.conn.Close())
}

// rows is the answer to a query, read to its end.
type rows struct {
	columns []string
	values  [][]driver.Value
}

func (r *rows) Columns() []string { return r.columns }
func (r *rows) Close() error      { return nil }
func (r *rows) Next(to []driver.Value) error {
	if len(r.values) == 0 {
		return io.EOF
	}
	copy(to, r.values[0])
	r.values = r.values[1:]
	return nil
}

// link is a connection of a process to the work database. Each statement is parked.
type link struct{ of *process }

var (
	_ driver.Connector       = link{}
	_ driver.ExecerContext   = link{}
	_ driver.QueryerContext  = link{}
	_ driver.StmtExecContext = statement{}
)

func (l link) Connect(context.Context) (driver.Conn, error) { return l, nil }
func (l link) Driver() driver.Driver                        { return nil }
func (l link) Close() error                                 { return nil }
func (l link) Begin() (driver.Tx, error) {
	return nil, errors.New("simulated: no transactions of several statements")
}

// Prepare keeps the text: statements are prepared as they are run.
func (l link) Prepare(query string) (driver.Stmt, error) { return statement{l, query}, nil }

// ExecContext runs a statement.
func (l link) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	v := l.of.world.park(ctx, l.of, "work", l.of.world.work.named(query, args), strings.HasPrefix(query, "UPDATE jobs SET lease_until = $4 "))
	if !v.done() {
		return nil, v.err(ctx)
	}
	res, err := l.of.world.work.exec(query, args)
	if err == nil && !v.answered() {
		return nil, v.err(ctx)
	}
	return res, err
}

// QueryContext runs a query. Leases change rows, too.
func (l link) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	v := l.of.world.park(ctx, l.of, "work", l.of.world.work.named(query, args), true)
	if !v.done() {
		return nil, v.err(ctx)
	}
	l.of.world.work.baptize(args, v.draw)
	found, err := l.of.world.work.query(query, args)
	if err != nil {
		return nil, err
	}
	if !v.answered() {
		return nil, v.err(ctx)
	}
	return found, nil
}

func isToken(s string) bool { return len(s) == len("01234567-89ab-cdef-0123-456789abcdef") }

// baptize names the tokens of a lease that is being taken.
func (d *database) baptize(args []driver.NamedValue, draw uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range args {
		if s, is := a.Value.(string); is && isToken(s) {
			d.tokens[s] = fmt.Sprintf("lease%x", draw)
		}
	}
}

// named is a statement without what is random in it: tokens, payloads.
func (d *database) named(query string, args []driver.NamedValue) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	b.WriteString(query[:min(len(query), 24)])
	for _, a := range args {
		switch x := a.Value.(type) {
		case string:
			if isToken(x) {
				x = d.tokens[x]
			}
			fmt.Fprintf(&b, " %s", x)
		case int64:
			fmt.Fprintf(&b, " %d", x)
		}
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}

// statement is a prepared statement.
type statement struct {
	link  link
	query string
}

func (s statement) Close() error                               { return nil }
func (s statement) NumInput() int                              { return -1 }
func (s statement) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s statement) Query([]driver.Value) (driver.Rows, error)  { return nil, driver.ErrSkip }

// ExecContext runs it.
func (s statement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.link.ExecContext(ctx, s.query, args)
}
