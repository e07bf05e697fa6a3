package sqlite

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/khata-ledger/khata/eventstore"
)

// code is SQLite's primary result code of an error, 0 when it is none of SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// explain says what a failure of SQLite means to the one who must mend it.
func explain(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("the disk is full: %w", err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("another process keeps the log locked: %w", err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("the log cannot be written: its file, one beside it (-wal, -shm) or its folder is read-only: %w", err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the disk reports an error: %w", err)
	case sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file cannot be opened: %w", err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: the file is not a SQLite database: %w", eventstore.ErrBroken, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: the file is damaged: %w", eventstore.ErrBroken, err)
	}
	return err
}
