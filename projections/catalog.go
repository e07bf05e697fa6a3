package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/khata-ledger/khata/eventstore"
)

// The catalog's tables. Lane 0 holds the checkpoints of what serves; a lane of another number those of the build of that
// generation. epoch is raised by everything that changes what serves, to a new number of the counter: who does not know of it cannot write. The row of a projection in
// views_serving names the generation that serves it, or 0 while this version of it has none yet. beat is a Unix time in
// microseconds by which the process that builds shows that it lives.
var catalogTables = []string{
	`CREATE TABLE IF NOT EXISTS views_serving (
		name TEXT NOT NULL PRIMARY KEY, generation BIGINT NOT NULL, version BIGINT NOT NULL, shape BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS views_checkpoints (
		lane BIGINT NOT NULL, partition BIGINT NOT NULL, seq BIGINT NOT NULL, hash TEXT NOT NULL, epoch BIGINT NOT NULL,
		PRIMARY KEY (lane, partition))`,
	`CREATE TABLE IF NOT EXISTS views_builds (
		generation BIGINT NOT NULL PRIMARY KEY, names TEXT NOT NULL, beat BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS views_counter (one BIGINT NOT NULL PRIMARY KEY, generation BIGINT NOT NULL)`,
	`INSERT INTO views_counter (one, generation) VALUES (1, 0) ON CONFLICT (one) DO NOTHING`,
}

// mark is a checkpoint: the position and hash of the newest record that a view contains.
type mark struct {
	seq  int64
	hash eventstore.Hash
}

// served is the generation that serves a projection.
type served struct {
	generation, version, shape int64
}

// standing is how the views are. It is replaced, never changed.
type standing struct {
	epoch  int64
	marks  []mark            // by partition; nil: nothing serves
	tables map[string]served // by projection
}

// usable is the generation of a projection that this program can read and write.
func (s *standing) usable(p projection) (int64, bool) {
	at, there := s.tables[p.name()]
	return at.generation, there && len(s.marks) > 0 && at.generation > 0 && at.shape == p.shape()
}

// generations are those of some projections that can be read; missing is the first one that cannot.
func (s *standing) generations(ps []projection) (found []int64, missing projection) {
	for _, p := range ps {
		generation, usable := s.usable(p)
		if !usable {
			return nil, p
		}
		found = append(found, generation)
	}
	return found, nil
}

// behind tells whether a checkpoint stands before where it stood in other, with nothing else made in between.
func (s *standing) behind(other *standing) bool {
	if s.epoch != other.epoch || len(s.marks) != len(other.marks) {
		return false
	}
	for p := range s.marks {
		if s.marks[p].seq < other.marks[p].seq {
			return true
		}
	}
	return false
}

// seqs is where the checkpoints stand, by partition.
func (s *standing) seqs() []int64 {
	seqs := make([]int64, len(s.marks))
	for p, m := range s.marks {
		seqs[p] = m.seq
	}
	return seqs
}

// ready tells whether every projection can be read.
func (s *standing) ready() bool {
	for _, p := range all() {
		if _, usable := s.usable(p); !usable {
			return false
		}
	}
	return true
}

// outdated are the projections that must be built: they do not serve, or their version has changed.
func (s *standing) outdated() []projection {
	var found []projection
	for _, p := range all() {
		if _, usable := s.usable(p); !usable || s.tables[p.name()].version != p.version() {
			found = append(found, p)
		}
	}
	return found
}

// newer names a projection that a newer program has made.
func (s *standing) newer() error {
	for _, p := range all() {
		if at := s.tables[p.name()]; at.version > p.version() || at.shape > p.shape() {
			return fmt.Errorf("%w: %s is at version %d, this program knows %d", ErrNewer, p.name(), at.version, p.version())
		}
	}
	return nil
}

// reaches tells whether every checkpoint is at or behind a position of its partition.
func (s *standing) reaches(seqs []int64) bool {
	if len(s.marks) != len(seqs) {
		return false
	}
	for p, seq := range seqs {
		if s.marks[p].seq < seq {
			return false
		}
	}
	return true
}

// with returns the standing after partition has moved to m.
func (s *standing) with(partition int, m mark) standing {
	moved := *s
	moved.marks = slices.Clone(s.marks)
	moved.marks[partition] = m
	return moved
}

func (s *standing) equal(o *standing) bool {
	return s.epoch == o.epoch && slices.Equal(s.marks, o.marks) && maps.Equal(s.tables, o.tables)
}

// querier is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// makeCatalog makes the catalog's tables where they are missing.
func (v *Views) makeCatalog(ctx context.Context, w *writer) error {
	if v.dialect == Postgres {
		if err := w.makeSchema(ctx); err != nil {
			return err
		}
	}
	return w.atomic(ctx, func() error {
		if v.dialect == Postgres { // two CREATE IF NOT EXISTS at the same time can collide
			if _, err := w.exec(ctx, "SELECT pg_advisory_xact_lock($1)", catalogLock); err != nil {
				return err
			}
		}
		return w.ddl(ctx, catalogTables...)
	})
}

// catalogLock is the key of PostgreSQL's advisory lock under which the catalog is made: "khatavws".
const catalogLock = int64(0x6b68617461767773)

// makeSchema makes the schema that the search path names, where it is missing.
func (w *writer) makeSchema(ctx context.Context) error {
	var schema sql.NullString
	if err := w.conn.QueryRowContext(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
		return explain(err)
	}
	if schema.Valid {
		return nil
	}
	var quoted string
	err := w.conn.QueryRowContext(ctx, "SELECT quote_ident(trim(both ' \"' from split_part(current_setting('search_path'), ',', 1)))").Scan(&quoted)
	if err != nil {
		return explain(err)
	}
	return w.atomic(ctx, func() error {
		if _, err := w.exec(ctx, "SELECT pg_advisory_xact_lock($1)", catalogLock); err != nil {
			return err
		}
		return w.ddl(ctx, "CREATE SCHEMA IF NOT EXISTS "+quoted)
	})
}

// readStanding reads how the views are. Without a catalog, nothing serves.
func readStanding(ctx context.Context, q querier, partitions int) (standing, error) {
	s, err := readCatalog(ctx, q, partitions)
	if err = explain(err); errors.Is(err, errNoTable) {
		return standing{}, nil
	}
	if err != nil {
		return standing{}, fmt.Errorf("read the catalog of the views: %w", err)
	}
	return s, nil
}

// readCatalog reads everything in one statement, so that it is of one moment.
func readCatalog(ctx context.Context, q querier, partitions int) (s standing, err error) {
	rows, err := q.QueryContext(ctx, `
		SELECT 0 AS kind, name AS name, generation AS a, version AS b, shape AS c FROM views_serving
		UNION ALL SELECT 1, hash, partition, seq, epoch FROM views_checkpoints WHERE lane = 0`)
	if err != nil {
		return standing{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	s.tables = map[string]served{}
	marks := make([]mark, partitions)
	found := 0
	for rows.Next() {
		var kind, a, b, c int64
		var text string
		if err := rows.Scan(&kind, &text, &a, &b, &c); err != nil {
			return standing{}, err
		}
		if kind == 0 {
			s.tables[text] = served{a, b, c}
			continue
		}
		found++
		if a >= int64(partitions) {
			continue
		}
		hash, err := eventstore.ParseHash(text)
		if err != nil {
			return standing{}, fmt.Errorf("checkpoint of partition %d: %w", a, err)
		}
		marks[a], s.epoch = mark{b, hash}, c
	}
	if err := rows.Err(); err != nil {
		return standing{}, err
	}
	switch found {
	case partitions:
		s.marks = marks
	case 0:
	default: // of a log with another number of partitions: no checkpoint of it can be believed
		s.marks = make([]mark, partitions)
	}
	return s, nil
}

// count takes the next number of the counter, for a generation or an epoch.
func (w *writer) count(ctx context.Context) (n int64, err error) {
	if _, err := w.exec(ctx, "UPDATE views_counter SET generation = generation + 1"); err != nil {
		return 0, err
	}
	return n, explain(w.conn.QueryRowContext(ctx, "SELECT generation FROM views_counter").Scan(&n))
}

// move swaps a checkpoint. It comes first in its transaction: whoever lost the race waits here, and has done nothing yet.
func (w *writer) move(ctx context.Context, lane int64, partition int, epoch int64, from, to mark) error {
	n, err := w.exec(ctx, `UPDATE views_checkpoints SET seq = $1, hash = $2
		WHERE lane = $3 AND partition = $4 AND seq = $5 AND hash = $6 AND epoch = $7`,
		to.seq, to.hash.String(), lane, partition, from.seq, from.hash.String(), epoch)
	if err != nil {
		return fmt.Errorf("move the checkpoint of partition %d: %w", partition, err)
	}
	if n != 1 {
		return errFenced
	}
	return nil
}

// errFenced: another process has moved the checkpoint, or switched.
var errFenced = errors.New("the checkpoint has moved")

// errNoTable: a generation that was dropped, or a catalog that was never made.
var errNoTable = errors.New("no such table")
