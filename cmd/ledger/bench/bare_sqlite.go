package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// statementRows is how many rows a statement inserts: more gain nothing.
const statementRows = 50

// bareSQLite inserts many rows a statement into a file of its own beside the log, on one connection: SQLite has one writer.
type bareSQLite struct {
	file   string
	from   excerpt
	tables []sqliteTable
}

// sqliteTable are rows of a table of the log, in order of seq.
type sqliteTable struct {
	name    string
	columns []string // declarations
	key     string
	seq     int // index of that column
	rows    [][]any
}

func newBareSQLite(ctx context.Context, at Place, from excerpt) (s *bareSQLite, err error) {
	s = &bareSQLite{file: filepath.Join(at.Folder, "bare.db"), from: from}
	log, err := openSQLite(at.DSN)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	for name, key := range map[string]string{"events": "partition, seq", "evidence": "partition, seq, n"} {
		t := sqliteTable{name: name, key: key}
		if err := t.read(ctx, log, from); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if len(t.rows) > 0 {
			s.tables = append(s.tables, t)
		}
	}
	slices.SortFunc(s.tables, func(a, b sqliteTable) int { return strings.Compare(a.name, b.name) })
	return s, nil
}

// openSQLite opens a file as the log is opened: WAL, every commit synced, one connection.
func openSQLite(file string) (*sql.DB, error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	db, err := sql.Open("sqlite", u.String()+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)"+
		"&_pragma=synchronous(FULL)&_pragma=cache_size(-65536)&_pragma=wal_autocheckpoint(4000)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// read reads the excerpt, and how the columns are declared.
func (t *sqliteTable) read(ctx context.Context, db *sql.DB, from excerpt) (err error) {
	rows, err := db.QueryContext(ctx, "SELECT * FROM "+t.name+" WHERE partition = ? AND seq > ? AND seq <= ? ORDER BY seq", //nolint:gosec // names of ours
		from.partition, from.after, from.upTo)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	for i, c := range types {
		t.columns = append(t.columns, c.Name()+" "+c.DatabaseTypeName()+" NOT NULL")
		if c.Name() == "seq" {
			t.seq = i
		}
	}
	for rows.Next() {
		values, into := make([]any, len(types)), make([]any, len(types))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i := range values {
			b, blob := values[i].([]byte)
			if values[i] == nil || blob && b == nil { // an empty blob: no column of these tables can be null
				values[i] = []byte{}
			}
		}
		t.rows = append(t.rows, values)
	}
	return rows.Err()
}

func (s *bareSQLite) insert(ctx context.Context, during time.Duration, _, rows int) (taken sample, err error) {
	db, err := s.makeFile(ctx)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, db.Close(), s.removeFile()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return sample{}, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	begun := time.Now()
	var records int64
	statements := map[string]*sql.Stmt{}
	for lap := int64(1); time.Since(begun) < during; lap++ {
		shift := lap * (s.from.upTo - s.from.after)
		for low := s.from.after; low < s.from.upTo && time.Since(begun) < during; low += int64(rows) {
			if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
				return sample{}, err
			}
			for i := range s.tables {
				n, err := s.tables[i].write(ctx, conn, statements, low, low+int64(rows), shift)
				if err != nil {
					return sample{}, err
				}
				if s.tables[i].name == "events" {
					records += int64(n)
				}
			}
			if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
				return sample{}, err
			}
		}
	}
	taken = sample{count: records, elapsed: time.Since(begun)}
	for _, statement := range statements {
		err = errors.Join(err, statement.Close())
	}
	return taken, err
}

// write inserts the rows behind position low, up to high, and returns how many they are.
func (t *sqliteTable) write(ctx context.Context, conn *sql.Conn, statements map[string]*sql.Stmt, low, high, shift int64) (int, error) {
	first, _ := slices.BinarySearchFunc(t.rows, low+1, t.compare)
	last, _ := slices.BinarySearchFunc(t.rows, high+1, t.compare)
	args := make([]any, 0, statementRows*len(t.columns))
	for part := range slices.Chunk(t.rows[first:last], statementRows) {
		text := t.statement(len(part))
		statement := statements[text]
		if statement == nil {
			var err error
			if statement, err = conn.PrepareContext(ctx, text); err != nil {
				return 0, err
			}
			statements[text] = statement
		}
		args = args[:0]
		for _, row := range part {
			args = append(args, row...)
			args[len(args)-len(row)+t.seq] = row[t.seq].(int64) + shift
		}
		if _, err := statement.ExecContext(ctx, args...); err != nil {
			return 0, err
		}
	}
	return last - first, nil
}

func (t *sqliteTable) compare(row []any, seq int64) int { return int(row[t.seq].(int64) - seq) }

func (t *sqliteTable) statement(rows int) string {
	values := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	return "INSERT OR ROLLBACK INTO " + t.name + " VALUES " + values + strings.Repeat(", "+values, rows-1)
}

func (s *bareSQLite) makeFile(ctx context.Context) (*sql.DB, error) {
	if err := s.removeFile(); err != nil {
		return nil, err
	}
	db, err := openSQLite(s.file)
	if err != nil {
		return nil, err
	}
	for _, t := range s.tables {
		_, err := db.ExecContext(ctx, "CREATE TABLE "+t.name+" ("+strings.Join(t.columns, ", ")+", PRIMARY KEY ("+t.key+"))")
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	return db, nil
}

func (s *bareSQLite) removeFile() error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(s.file + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// batch: SQLite keeps no trace of its transactions.
func (s *bareSQLite) batch(context.Context) (int, error) { return 0, nil }

func (s *bareSQLite) close() error { return nil }

// readSQLite reads all records of the log in order into one row, and returns how many there are.
func readSQLite(ctx context.Context, at Place) (n int64, err error) {
	db, err := openSQLite(at.DSN)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, "SELECT * FROM events ORDER BY partition, seq")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	row, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}
