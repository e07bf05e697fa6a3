package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "github.com/jackc/pgx/v5/stdlib" // registers "pgx" with database/sql

	"github.com/khata-ledger/khata/migrations"
)

// bareViews reads tables of the views beside the ledger.
type bareViews struct {
	db      *sql.DB
	journal int64 // generation of the journal's tables
}

// bareViews opens the database of the views.
func (w *world) bareViews(ctx context.Context) (v *bareViews, err error) {
	v = &bareViews{}
	if w.at.Dialect == migrations.SQLite {
		v.db, err = openSQLite(filepath.Join(w.at.Folder, "ledger-views.db"))
	} else {
		v.db, err = openPostgresViews(w.at.DSN)
	}
	if err != nil {
		return nil, err
	}
	if err := v.db.QueryRowContext(ctx, "SELECT generation FROM views_serving WHERE name = 'journal'").Scan(&v.journal); err != nil {
		return nil, errors.Join(fmt.Errorf("looking for the journal's tables: %w", err), v.db.Close())
	}
	return v, nil
}

func openPostgresViews(dsn string) (*sql.DB, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, errors.New("the address of the scratch database is not a URL")
	}
	q := u.Query()
	q.Set("search_path", "views")
	u.RawQuery = q.Encode()
	return sql.Open("pgx", u.String())
}

// read reads all rows of a query, column by column into the same place, and returns how many there are.
func (v *bareViews) read(ctx context.Context, text string, args ...any) (n int64, err error) {
	rows, err := v.db.QueryContext(ctx, text, args...)
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
			return n, err
		}
		n++
	}
	return n, rows.Err()
}

func (v *bareViews) close() error { return v.db.Close() }
