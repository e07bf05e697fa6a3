package projections

import (
	"fmt"
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
	fixed   bool     // rows are inserted once and never change
	adds    []string // columns to which a row of the same key adds; the others it replaces
	indexes []index
}

// index is made when a generation has caught up.
type index struct {
	name    string // behind the table's name and generation
	columns string
	where   string // of a partial index
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

func (s *schema) in(generation int64) string { return fmt.Sprintf("%s_%d", s.name, generation) }

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
	fmt.Fprintf(&b, "PRIMARY KEY (%s))", strings.Join(s.names[:s.key], ", "))
	if dialect == SQLite {
		b.WriteString(" WITHOUT ROWID")
	}
	return b.String()
}

// createIndexes is the DDL of the indexes of a generation.
func (s *schema) createIndexes(generation int64) []string {
	var statements []string
	for _, x := range s.indexes {
		statement := fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s_%s ON %s (%s)", s.in(generation), x.name, s.in(generation), x.columns)
		if x.where != "" {
			statement += " WHERE " + x.where
		}
		statements = append(statements, statement)
	}
	return statements
}

// list joins the column names.
func (s *schema) list() string { return strings.Join(s.names, ", ") }

// conflict is what an insert does with a row whose key is there.
func (s *schema) conflict(generation int64) string {
	if s.fixed {
		return ""
	}
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
