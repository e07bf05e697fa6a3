package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// How often a migration of SQLite starts anew because another process was at it, and how long it waits in between.
const (
	raceAttempts = 100
	raceWait     = 50 * time.Millisecond
)

// upSQLite migrates a file that other processes may be migrating too. SQLite has no lock that outlasts a transaction, and
// each step is one; who loses a race sees that the file was busy, or that the version has moved, and looks again.
func upSQLite(ctx context.Context, db *sql.DB, area string, newest int64) error {
	for attempt := 1; ; attempt++ {
		before, existed, err := current(ctx, db, SQLite, area)
		if err == nil {
			err = apply(ctx, db, SQLite, area, newest)
		}
		if err == nil {
			return nil
		}
		if attempt == raceAttempts || !lostRace(ctx, db, area, before, existed, err) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(raceWait):
		}
	}
}

func lostRace(ctx context.Context, db *sql.DB, area string, before int64, existed bool, err error) bool {
	if busy(err) {
		return true
	}
	after, exists, readErr := current(ctx, db, SQLite, area)
	if readErr != nil {
		return busy(readErr)
	}
	return after > before || exists != existed
}

// busy tells SQLITE_BUSY and SQLITE_LOCKED, in whatever extended form.
func busy(err error) bool {
	var coded interface{ Code() int }
	if !errors.As(err, &coded) {
		return false
	}
	primary := coded.Code() & 0xff
	return primary == 5 || primary == 6
}

// advisoryLock serializes the migrations of one area on PostgreSQL. It is a lock of the session: a process that dies leaves
// nothing locked. It makes the area's schema too, since that must not be raced either.
type advisoryLock string

// SessionLock waits for other migrations of the area.
func (area advisoryLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", area.key()); err != nil {
		return fmt.Errorf("wait for other migrations: %w", err)
	}
	if err := makeSchema(ctx, conn, string(area)); err != nil {
		return errors.Join(err, area.SessionUnlock(context.WithoutCancel(ctx), conn))
	}
	return nil
}

// SessionUnlock lets the next one go on.
func (area advisoryLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", area.key())
	return err
}

// key is stable for ever, since old and new programs must meet on it.
func (area advisoryLock) key() int64 {
	h := fnv.New64a()
	h.Write([]byte("khata-ledger/migrations/" + string(area)))
	return int64(h.Sum64())
}

// prepareSchema makes the area's schema, under its lock, before goose looks for pending migrations: it does that without the
// lock, and fails where it cannot make its own table.
func prepareSchema(ctx context.Context, db *sql.DB, area string) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	lock := advisoryLock(area)
	if err := lock.SessionLock(ctx, conn); err != nil {
		return err
	}
	return lock.SessionUnlock(context.WithoutCancel(ctx), conn)
}

// makeSchema makes the area's schema where the search path asks for it.
func makeSchema(ctx context.Context, conn *sql.Conn, area string) error {
	var path string
	if err := conn.QueryRowContext(ctx, "SELECT current_setting('search_path')").Scan(&path); err != nil {
		return err
	}
	first, _, _ := strings.Cut(path, ",")
	if strings.Trim(first, ` "`) != area {
		return nil
	}
	if _, err := conn.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+area); err != nil {
		return fmt.Errorf("create schema %s: %w", area, err)
	}
	return nil
}
