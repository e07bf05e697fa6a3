package projections

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// column is one column of a table whose rows are R. at points to its field, an *int64 or a *string: there are no other types
// and no NULLs, so that both databases hold and compare the same.
type column[R any] struct {
	name string
	at   func(*R) any
}

// table is a table of a projection. Its name in SQL ends in a generation.
type table[R any] struct {
	schema
	columns []column[R]
}

// schema is what a table is made and compared by, without its rows.
type schema struct {
	name    string
	names   []string // of the columns; the first ones are the key
	text    []bool   // by column: TEXT, or else BIGINT
	key     int      // the first columns, so many of them
	fixed   bool     // rows are inserted once and never looked for by their key: its index is made with the others
	wide    bool     // SQLite keeps the rows in the order in which they come, with the key beside them, not in the order of the key
	changes []string // columns that update sets
	adds    []string // columns to which a row of the same key adds in merge; the others it replaces
	indexes []index
}

// roomy leaves a part of each page to the rows' later versions, on PostgreSQL: then an update that changes no indexed column
// touches no index.
const roomy = " WITH (fillfactor = 50)"

// index is made when a generation has caught up.
type index struct {
	name    string // behind the table's name and generation
	columns string
	where   string // of a partial index
	unique  bool
}

// newTable completes a table from its columns.
func newTable[R any](s schema, columns []column[R]) *table[R] {
	var sample R
	for _, c := range columns {
		_, text := c.at(&sample).(*string)
		s.names = append(s.names, c.name)
		s.text = append(s.text, text)
	}
	return &table[R]{s, columns}
}

func (s *schema) in(generation int64) string { return s.marked(strconv.FormatInt(generation, 10)) }

// marked is the table's name with a generation, or with what stands for it in a query.
func (s *schema) marked(generation string) string { return s.name + "_" + generation }

// create is the DDL of a generation. Text is compared by its bytes, in both databases.
func (s *schema) create(dialect Dialect, generation int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", s.in(generation))
	for i, name := range s.names {
		kind := "BIGINT"
		if s.text[i] {
			kind = "TEXT"
			if dialect == Postgres {
				kind = `TEXT COLLATE "C"`
			}
		}
		fmt.Fprintf(&b, "%s %s NOT NULL, ", name, kind)
	}
	if s.fixed {
		return strings.TrimSuffix(b.String(), ", ") + ")"
	}
	fmt.Fprintf(&b, "PRIMARY KEY (%s))", s.list(s.every()[:s.key]...))
	switch {
	case dialect == SQLite && !s.wide:
		b.WriteString(" WITHOUT ROWID")
	case dialect == Postgres && len(s.changes) > 0:
		b.WriteString(roomy)
	}
	return b.String()
}

// createIndexes is the DDL of the indexes of a generation.
func (s *schema) createIndexes(generation int64) []string {
	var statements []string
	indexes := s.indexes
	if s.fixed {
		indexes = append([]index{{name: "key", columns: s.list(s.every()[:s.key]...), unique: true}}, indexes...)
	}
	for _, x := range indexes {
		create := "CREATE INDEX"
		if x.unique {
			create = "CREATE UNIQUE INDEX"
		}
		statement := fmt.Sprintf("%s IF NOT EXISTS %s_%s ON %s (%s)", create, s.in(generation), x.name, s.in(generation), x.columns)
		if x.where != "" {
			statement += " WHERE " + x.where
		}
		statements = append(statements, statement)
	}
	return statements
}

// list joins the names of columns; of all, without any.
func (s *schema) list(columns ...int) string {
	if len(columns) == 0 {
		return strings.Join(s.names, ", ")
	}
	names := make([]string, len(columns))
	for n, i := range columns {
		names[n] = s.names[i]
	}
	return strings.Join(names, ", ")
}

// every is all columns.
func (s *schema) every() []int {
	columns := make([]int, len(s.names))
	for i := range columns {
		columns[i] = i
	}
	return columns
}

// changing is the key and the columns that an update sets.
func (s *schema) changing() []int {
	columns := s.every()[:s.key]
	for _, name := range s.changes {
		columns = append(columns, slices.Index(s.names, name))
	}
	return columns
}

// conflict is what an insert does with a row whose key is there.
func (s *schema) conflict(generation int64) string {
	adding := map[string]bool{}
	for _, name := range s.adds {
		adding[name] = true
	}
	var sets []string
	for _, name := range s.names[s.key:] {
		if adding[name] {
			sets = append(sets, fmt.Sprintf("%s = %s.%s + excluded.%s", name, s.in(generation), name, name))
		} else {
			sets = append(sets, fmt.Sprintf("%s = excluded.%s", name, name))
		}
	}
	return fmt.Sprintf(" ON CONFLICT (%s) DO UPDATE SET %s", strings.Join(s.names[:s.key], ", "), strings.Join(sets, ", "))
}

// targets are what a row is scanned into.
func (t *table[R]) targets(row *R) []any {
	targets := make([]any, len(t.columns))
	for i, c := range t.columns {
		targets[i] = c.at(row)
	}
	return targets
}

// micros is a time as columns hold it; 0 is no time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// instant undoes micros.
func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
