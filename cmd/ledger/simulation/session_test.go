package simulation

import (
	"context"
	"database/sql/driver"
	"slices"
)

// wire is the work database as the callbacks of a process see it: as a link, and with transactions.
type wire struct{ of *process }

var (
	_ driver.Connector      = wire{}
	_ driver.ConnBeginTx    = &session{}
	_ driver.ExecerContext  = &session{}
	_ driver.QueryerContext = &session{}
)

// Connect opens a connection.
func (w wire) Connect(context.Context) (driver.Conn, error) { return &session{link: link(w)}, nil }

// Driver is none.
func (wire) Driver() driver.Driver { return nil }

// session is a connection. Each statement is parked; of a transaction the first one, which decides about all of it: between the others
// nobody else can come in, and a process that dies there has done nothing.
type session struct {
	link
	within *transaction
}

// BeginTx begins a transaction. Nothing is locked before its first statement.
func (s *session) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	s.within = &transaction{session: s}
	return s.within, nil
}

// ExecContext runs a statement.
func (s *session) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	query = s.of.world.plant.sql(query)
	if s.within == nil {
		return s.link.ExecContext(ctx, query, args)
	}
	if err := s.within.next(ctx, query, args); err != nil {
		return nil, err
	}
	return s.of.world.work.exec(query, args)
}

// QueryContext runs a query.
func (s *session) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	query = s.of.world.plant.sql(query)
	if s.within == nil {
		return s.link.QueryContext(ctx, query, args)
	}
	if err := s.within.next(ctx, query, args); err != nil {
		return nil, err
	}
	return s.of.world.work.query(query, args)
}

// transaction is several statements, all of which take effect or none.
type transaction struct {
	session *session
	ctx     context.Context //nolint:containedctx // of its first statement: for the error of its end
	v       verdict
	run     int // statements
	fails   int // the statement that fails, or the COMMIT; 0: none
	begun   bool
}

// next is before each statement.
func (t *transaction) next(ctx context.Context, query string, args []driver.NamedValue) error {
	w := t.session.of.world
	if t.run++; t.run == 1 {
		t.ctx = ctx
		t.v = w.parkWithin(ctx, t.session.of, "work", w.work.named(query, args))
		if !t.v.done() {
			t.fails = 1 + int(t.v.draw%3)
		}
	}
	if t.run == t.fails {
		return t.v.err(ctx)
	}
	if t.begun {
		return nil
	}
	t.begun = true
	_, err := w.work.exec("BEGIN", nil)
	return err
}

// Commit ends it. Whoever gets an error does not know whether it has taken effect.
func (t *transaction) Commit() error {
	if t.fails > 0 {
		if err := t.Rollback(); err != nil {
			return err
		}
		return t.v.err(t.ctx)
	}
	if err := t.end("COMMIT"); err != nil {
		return err
	}
	if !t.v.answered() {
		return t.v.err(t.ctx)
	}
	return nil
}

// Rollback undoes it.
func (t *transaction) Rollback() error { return t.end("ROLLBACK") }

func (t *transaction) end(how string) error {
	t.session.within = nil
	if !t.begun {
		return nil
	}
	t.begun = false
	_, err := t.session.of.world.work.exec(how, nil)
	return err
}

// parkWithin is park, but whoever waits goes on by itself when its context ends, even in a paused process: database/sql, which undoes a
// transaction at that moment, waits for its statement.
func (s *schedule) parkWithin(ctx context.Context, of *process, kind, detail string) verdict {
	c := &call{of: of, kind: kind, grant: make(chan verdict, 1)}
	s.mu.Lock()
	if of.dead {
		s.mu.Unlock()
		return verdict{fault: refused, dead: true}
	}
	c.key, c.at = of.name+" "+kind+" "+detail, s.step
	s.parked = append(s.parked, c)
	s.mu.Unlock()
	s.signal()
	select {
	case v := <-c.grant:
		return v
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.parked, c)
	if i >= 0 {
		s.parked = slices.Delete(s.parked, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		return verdict{fault: refused, expired: true}
	}
	return <-c.grant
}
