package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/khata-ledger/khata/eventstore"
)

// Finding is what Check says of one view.
type Finding struct {
	View    string
	Fault   bool   // the view differs from a replay of the log
	Absent  bool   // the view is not there, or of another version: it cannot be wrong, and will be built
	Rows    int64  // compared
	Message string // what was compared, or the first row that differs and how
}

// Check compares each view, as it stands at its checkpoint, with a replay of the log up to there, row by row. It changes
// nothing, and works beside a running server. The replay is a SQLite file in the folder for temporary files, about as large
// as the views are. An error means that the comparison could not be made: the log cannot be read, or is broken
// (eventstore.ErrBroken).
func (v *Views) Check(ctx context.Context) ([]Finding, error) {
	at, err := readStanding(ctx, v.db, v.info.Partitions)
	if errors.Is(err, ErrDamaged) {
		return everyView(Finding{Fault: true, Message: err.Error()}), nil
	}
	if err != nil {
		return nil, err
	}
	if len(at.targets()) == 0 {
		return everyView(Finding{Absent: true, Message: "it has not been built"}), nil
	}
	switch err := v.believe(ctx, &at); {
	case errors.Is(err, errUnbelieved):
		return everyView(Finding{Fault: true, Message: err.Error()}), nil
	case err != nil:
		return nil, err
	}
	findings, err := v.compare(ctx, &at)
	if err != nil {
		return nil, fmt.Errorf("check the views: %w", err)
	}
	return findings, nil
}

func everyView(f Finding) []Finding {
	var findings []Finding
	for _, name := range Names() {
		f.View = name
		findings = append(findings, f)
	}
	return findings
}

// compare replays the log up to where the views stand, then takes a snapshot of them, replays the little that has come
// since, and compares.
func (v *Views) compare(ctx context.Context, at *standing) (findings []Finding, err error) {
	r, err := v.newReplay(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.advance(ctx, at.marks); err != nil {
		return nil, err
	}
	snapshot, err := v.db.BeginTx(ctx, &sql.TxOptions{Isolation: v.snapshotIsolation(), ReadOnly: true})
	if err != nil {
		return nil, explain(err)
	}
	defer snapshot.Rollback() //nolint:errcheck // it has only read
	now, err := readStanding(ctx, snapshot, v.info.Partitions)
	if err != nil {
		return nil, err
	}
	if !now.reaches(seqsOf(r.marks)) {
		return nil, fmt.Errorf("%w: they were built again meanwhile", ErrBehind)
	}
	if err := r.advance(ctx, now.marks); err != nil {
		return nil, err
	}
	for _, p := range all() {
		served := now.tables[p.name()]
		generation, usable := now.usable(p)
		if !usable || served.version != p.version() {
			findings = append(findings, Finding{View: p.name(), Absent: true,
				Message: fmt.Sprintf("version %d has not been built, there is %d", p.version(), served.version)})
			continue
		}
		f, err := r.compare(ctx, snapshot, p, generation)
		if err != nil {
			return nil, err
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// snapshotIsolation is the level at which a transaction reads one moment. SQLite's always do.
func (v *Views) snapshotIsolation() sql.IsolationLevel {
	if v.dialect == Postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

func seqsOf(marks []mark) []int64 {
	seqs := make([]int64, len(marks))
	for p, m := range marks {
		seqs[p] = m.seq
	}
	return seqs
}

// replay is the views made anew in a temporary file.
type replay struct {
	v       *Views
	folder  string
	db      *sql.DB
	w       *writer
	targets []target
	marks   []mark
}

// replayed is the generation of a replay's tables.
const replayed = 1

func (v *Views) newReplay(ctx context.Context) (r *replay, err error) {
	r = &replay{v: v}
	if r.folder, err = os.MkdirTemp("", "ledger-check-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	// The file is thrown away in any case, so nothing of it need survive a crash.
	r.db, err = sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(r.folder, "views.db"))+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)")
	if err != nil {
		return nil, err
	}
	if r.w, err = openWriter(ctx, r.db, SQLite); err != nil {
		return nil, err
	}
	for _, p := range all() {
		r.targets = append(r.targets, target{p, replayed})
		for _, s := range p.schemas() {
			if err := r.w.ddl(ctx, s.create(SQLite, replayed)); err != nil {
				return nil, err
			}
		}
	}
	for p := range v.info.Partitions {
		r.marks = append(r.marks, mark{hash: eventstore.Genesis(v.info.LedgerID, p)})
	}
	return r, nil
}

func (r *replay) close() error {
	var errs []error
	if r.w != nil {
		errs = append(errs, r.w.close())
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.folder))...)
}

// advance replays every partition up to its goal exactly.
func (r *replay) advance(ctx context.Context, goals []mark) error {
	for p, goal := range goals {
		l := lane{partition: p, targets: r.targets}
		for r.marks[p].seq < goal.seq {
			b, err := r.v.read(ctx, p, r.marks[p], int(min(int64(r.v.opts.Batch), goal.seq-r.marks[p].seq)))
			if err != nil {
				return err
			}
			if len(b.facts) == 0 {
				return fmt.Errorf("record %d:%d: %w", p, goal.seq, eventstore.ErrNotFound)
			}
			if err := r.w.atomic(ctx, func() error { return r.w.apply(ctx, l, r.marks[p], b) }); err != nil {
				return err
			}
			r.marks[p] = b.to
		}
	}
	return nil
}

// compare compares the tables of a projection.
func (r *replay) compare(ctx context.Context, snapshot querier, p projection, generation int64) (Finding, error) {
	f := Finding{View: p.name()}
	for _, s := range p.schemas() {
		n, difference, err := r.compareTable(ctx, snapshot, s, generation)
		f.Rows += n
		if errors.Is(err, ErrDamaged) || errors.Is(err, errNoTable) {
			difference, err = err.Error(), nil
		}
		if err != nil {
			return f, fmt.Errorf("compare %s: %w", s.name, err)
		}
		if difference != "" {
			f.Fault, f.Message = true, s.name+": "+difference
			return f, nil
		}
	}
	f.Message = fmt.Sprintf("%d rows equal a replay of the log", f.Rows)
	return f, nil
}

// compareTable reads both in the order of the key, and describes the first difference; "" when there is none.
func (r *replay) compareTable(ctx context.Context, snapshot querier, s *schema, generation int64) (n int64, difference string, err error) {
	there, err := openCursor(ctx, snapshot, s, generation)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, there.rows.Close()) }()
	replay, err := openCursor(ctx, r.w.conn, s, replayed)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, replay.rows.Close()) }()
	for {
		if err := errors.Join(there.next(), replay.next()); err != nil {
			return n, "", err
		}
		switch order := there.order(replay); {
		case there.done && replay.done:
			return n, "", nil
		case order < 0:
			return n, there.key() + " does not follow from the log", nil
		case order > 0:
			return n, replay.key() + " is missing", nil
		}
		n++
		for i := s.key; i < len(s.names); i++ {
			if there.value(i) != replay.value(i) {
				return n, fmt.Sprintf("%s: %s is %s, by the log it is %s", there.key(), s.names[i], there.shown(i), replay.shown(i)), nil
			}
		}
	}
}

// rowCursor walks over a table in the order of its key.
type rowCursor struct {
	schema *schema
	rows   *sql.Rows
	done   bool
	ints   []int64
	texts  []string
	into   []any
}

func openCursor(ctx context.Context, q querier, s *schema, generation int64) (*rowCursor, error) {
	order := strings.Join(s.names[:s.key], ", ")
	rows, err := q.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", s.list(), s.in(generation), order)) //nolint:rowserrcheck // next checks it
	if err != nil {
		return nil, explain(err)
	}
	c := &rowCursor{schema: s, rows: rows, ints: make([]int64, len(s.names)), texts: make([]string, len(s.names)), into: make([]any, len(s.names))}
	for i := range s.names {
		c.into[i] = &c.ints[i]
		if s.text[i] {
			c.into[i] = &c.texts[i]
		}
	}
	return c, nil
}

func (c *rowCursor) next() error {
	if c.rows.Next() {
		return c.rows.Scan(c.into...)
	}
	c.done = true
	return explain(c.rows.Err())
}

// order compares the keys of two rows; a cursor that is done comes last.
func (c *rowCursor) order(o *rowCursor) int {
	switch {
	case c.done && o.done:
		return 0
	case c.done:
		return 1
	case o.done:
		return -1
	}
	for i := range c.schema.key {
		switch {
		case c.texts[i] < o.texts[i] || c.ints[i] < o.ints[i]:
			return -1
		case c.texts[i] > o.texts[i] || c.ints[i] > o.ints[i]:
			return 1
		}
	}
	return 0
}

func (c *rowCursor) value(i int) any {
	if c.schema.text[i] {
		return c.texts[i]
	}
	return c.ints[i]
}

// shown is a value for people, cut short.
func (c *rowCursor) shown(i int) string {
	const most = 80
	if !c.schema.text[i] {
		return fmt.Sprint(c.ints[i])
	}
	if s := c.texts[i]; len(s) > most {
		return fmt.Sprintf("%.*q... (%d bytes)", most, s, len(s))
	}
	return fmt.Sprintf("%q", c.texts[i])
}

// key names the row.
func (c *rowCursor) key() string {
	var parts []string
	for i, name := range c.schema.names[:c.schema.key] {
		parts = append(parts, fmt.Sprintf("%s=%v", name, c.value(i)))
	}
	return "row " + strings.Join(parts, " ")
}
