// Package migrations holds the SQL schema of the log, of work and of secrets, for SQLite and for PostgreSQL, and brings a
// database up to date. Views are not here: they are rebuilt, never migrated.
//
// A schema only ever goes forward. Several processes may call Up at the same time on one database: one does the
// work, the others wait for it and find it done.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"

	"github.com/khata-ledger/khata/eventstore"
)

//go:embed all:sqlite all:postgres
var files embed.FS

// Dialect is the kind of a database. Its value is the folder of its files.
type Dialect string

// The databases that the ledger runs on.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Areas of storage that have a schema here. Each area counts its own versions, in a table named goose_<area>.
const (
	Log     = "log"
	Work    = "work"
	Secrets = "secrets"
)

// ErrPending means that the schema is older than this program, or is not there at all. Compare with errors.Is.
var ErrPending = errors.New("the schema is not up to date: run `ledger migrate`")

// Up applies what is missing of an area to db. eventstore.ErrNewer when the database was made by a newer program: then
// nothing is changed.
//
// On PostgreSQL the tables are made in the schema that db's search_path names first; where that is the area's own
// name, the schema is made too.
func Up(ctx context.Context, db *sql.DB, dialect Dialect, area string) error {
	newest, err := newestKnown(dialect, area)
	if err != nil {
		return err
	}
	if dialect == SQLite {
		err = upSQLite(ctx, db, area, newest)
	} else {
		err = apply(ctx, db, dialect, area, newest)
	}
	if err != nil {
		return fmt.Errorf("migrate the %s schema: %w", area, err)
	}
	return nil
}

// Check compares the version of an area with the newest one known here, and changes nothing. ErrPending when the database
// is behind, eventstore.ErrNewer when it is ahead.
func Check(ctx context.Context, db *sql.DB, dialect Dialect, area string) error {
	newest, err := newestKnown(dialect, area)
	if err != nil {
		return err
	}
	version, exists, err := current(ctx, db, dialect, area)
	switch {
	case err != nil:
		return fmt.Errorf("read the version of the %s schema: %w", area, err)
	case !exists:
		return fmt.Errorf("the %s schema is missing: %w", area, ErrPending)
	case version < newest:
		return fmt.Errorf("the %s schema is at version %d of %d: %w", area, version, newest, ErrPending)
	}
	return checkNotNewer(area, version, newest)
}

func checkNotNewer(area string, version, newest int64) error {
	if version > newest {
		return fmt.Errorf("%w: its %s schema is at version %d, this program knows versions up to %d", eventstore.ErrNewer, area, version, newest)
	}
	return nil
}

// apply runs goose, unless the schema is newer than this program.
func apply(ctx context.Context, db *sql.DB, dialect Dialect, area string, newest int64) error {
	version, _, err := current(ctx, db, dialect, area)
	if err != nil {
		return err
	}
	if err := checkNotNewer(area, version, newest); err != nil {
		return err
	}
	if version == newest {
		return nil
	}
	sub, err := fs.Sub(files, folder(dialect, area))
	if err != nil {
		return err
	}
	options := []goose.ProviderOption{
		goose.WithTableName(table(area)),
		goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()),
	}
	gooseDialect := goose.DialectSQLite3
	if dialect == Postgres {
		if err := prepareSchema(ctx, db, area); err != nil {
			return err
		}
		gooseDialect = goose.DialectPostgres
		options = append(options, goose.WithSessionLocker(advisoryLock(area)))
	}
	provider, err := goose.NewProvider(gooseDialect, db, sub, options...)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// current is the version of an area in the database, without making anything. exists is false before the first Up.
func current(ctx context.Context, db *sql.DB, dialect Dialect, area string) (version int64, exists bool, err error) {
	query := "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1"
	if dialect == Postgres {
		query = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1"
	}
	var n int
	if err := db.QueryRowContext(ctx, query, table(area)).Scan(&n); err != nil {
		return 0, false, err
	}
	if n == 0 {
		return 0, false, nil
	}
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+table(area)).Scan(&version)
	return version, err == nil, err
}

// newestKnown is the highest version among the embedded files of an area.
func newestKnown(dialect Dialect, area string) (int64, error) {
	if dialect != SQLite && dialect != Postgres {
		return 0, fmt.Errorf("no such database dialect: %q", dialect)
	}
	entries, err := files.ReadDir(folder(dialect, area))
	if err != nil {
		return 0, fmt.Errorf("no %s schema for %s: %w", area, dialect, err)
	}
	var newest int64
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sql") {
			continue
		}
		version, err := goose.NumericComponent(e.Name())
		if err != nil {
			return 0, fmt.Errorf("migration file %s: %w", e.Name(), err)
		}
		newest = max(newest, version)
	}
	if newest == 0 {
		return 0, fmt.Errorf("no %s schema for %s: no migration files", area, dialect)
	}
	return newest, nil
}

func folder(dialect Dialect, area string) string { return string(dialect) + "/" + area }

// table names goose's own table. Areas are constants of this package, checked by newestKnown, so the name is safe in SQL.
func table(area string) string { return "goose_" + area }
