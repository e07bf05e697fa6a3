package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Bounds of a SQLite file of views.
const (
	connections   = 8
	busyTimeoutMs = 10_000
	cacheKiB      = 16 << 10
	quickCheckMax = 64 << 20 // bytes up to which a file is checked when it is opened
)

// damagedMark is the file beside a damaged one that tells the next OpenSQLite.
const damagedMark = "-damaged"

// OpenSQLite opens the views in the file at path, and makes it, with its folder, where it is missing. A file that is damaged,
// or no database at all, is replaced by an empty one, with a warning: the log has everything. The file is readable by its
// owner only. synchronous=NORMAL is enough: a checkpoint and its rows are in one transaction, so what a power cut loses is
// read from the log again.
func OpenSQLite(ctx context.Context, path string, logger *slog.Logger) (*sql.DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open the views %s: %w", path, err)
	}
	db, err := openFile(ctx, path, os.O_CREATE)
	if errors.Is(err, ErrDamaged) {
		logger.Warn("the views are damaged and are built again from the log", "file", path, "error", err)
		if err := remove(path); err != nil {
			return nil, fmt.Errorf("replace the views %s: %w", path, err)
		}
		db, err = openFile(ctx, path, os.O_CREATE)
	}
	if err != nil {
		return nil, fmt.Errorf("open the views %s: %w", path, err)
	}
	return db, nil
}

// OpenExistingSQLite opens the views in the file at path as they are, for Check: fs.ErrNotExist when there is no file,
// ErrDamaged when it is damaged.
func OpenExistingSQLite(ctx context.Context, path string) (*sql.DB, error) {
	db, err := openFile(ctx, path, 0)
	if err != nil {
		return nil, fmt.Errorf("open the views %s: %w", path, err)
	}
	return db, nil
}

func openFile(ctx context.Context, path string, create int) (*sql.DB, error) {
	if _, err := os.Stat(path + damagedMark); err == nil {
		return nil, fmt.Errorf("%w: it was found so when it was last used", ErrDamaged)
	}
	file, err := os.OpenFile(path, os.O_RDWR|create, 0o600) //nolint:gosec // the operator says where the views are
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}
	dsn := fmt.Sprintf("%s?mode=rw&_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-%d)",
		u.String(), busyTimeoutMs, cacheKiB)
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	if err := sound(ctx, db, info.Size()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// sound looks for damage: in the schema always, in the pages where there are not too many.
func sound(ctx context.Context, db *sql.DB, size int64) error {
	var answer string
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master").Scan(&answer); err != nil {
		return explain(err)
	}
	if size > quickCheckMax {
		return nil
	}
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return explain(err)
	}
	if answer != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, answer)
	}
	return nil
}

func remove(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", damagedMark} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// markDamaged leaves word for the next OpenSQLite: a running process cannot replace a file that others have open.
func (v *Views) markDamaged(ctx context.Context) error {
	if v.dialect != SQLite {
		return nil
	}
	var n int
	var name, path string
	if err := v.db.QueryRowContext(ctx, "PRAGMA database_list").Scan(&n, &name, &path); err != nil {
		return explain(err)
	}
	if path == "" {
		return nil
	}
	return os.WriteFile(path+damagedMark, nil, 0o600)
}

// explain gives the failures that matter here a name: errNoTable, ErrDamaged.
func explain(err error) error {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		case sqlite3.SQLITE_ERROR:
			if noTable(lite.Error()) {
				return fmt.Errorf("%w: %w", errNoTable, err)
			}
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") { // undefined table, undefined schema
		return fmt.Errorf("%w: %w", errNoTable, err)
	}
	return err
}

// noTable reads SQLite's message: the code alone does not tell.
func noTable(message string) bool { return strings.Contains(message, "no such table") }
