package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

// Partitions of a new log. SQLite has one writer, so more would gain nothing; an adopted log may have more.
const Partitions = 1

const busyTimeoutMigrateMs = 10_000

// Migrate makes the log at path, with its folder, or brings it up to date; on a log that is up to date it does nothing.
// Several processes may do so at once. The file is readable by its owner only. eventstore.ErrNewer when a newer program
// has made it, eventstore.ErrBroken when the file is there and is not SQLite's.
func Migrate(ctx context.Context, path string) error {
	if err := migrate(ctx, path); err != nil {
		return fmt.Errorf("migrate the log %s: %w", path, err)
	}
	return nil
}

func migrate(ctx context.Context, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	dsn, err := fileDSN(path)
	if err != nil {
		return err
	}
	db, err := connect(dsn+"&_txlock=immediate", 1,
		pragma("busy_timeout", busyTimeoutMigrateMs), pragma("synchronous", "FULL"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ours, empty, err := identify(ctx, db)
	if err != nil {
		return err
	}
	if !ours && !empty {
		return errors.New("it is a SQLite database, but not a log of this program")
	}
	if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return explain(err)
	}
	if err := migrations.Up(ctx, db, migrations.SQLite, migrations.Log); err != nil {
		return explain(err)
	}
	return explain(identity(ctx, db))
}

// identity gives a new log its id and its heads.
func identity(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it has nothing to do; after a failure that failure is what counts
	id := uuid.New()
	result, err := tx.ExecContext(ctx, "INSERT INTO ledger (one, id, partitions) SELECT 1, $1, $2 WHERE NOT EXISTS (SELECT 1 FROM ledger)", id.String(), Partitions)
	if err != nil {
		return err
	}
	made, err := result.RowsAffected()
	if err != nil || made == 0 {
		return err
	}
	if err := insertHeads(ctx, tx, eventstore.Info{LedgerID: id, Partitions: Partitions}); err != nil {
		return err
	}
	return tx.Commit()
}

type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// insertHeads makes the heads of empty partitions, or sets the hashes of those that are there to a new genesis.
func insertHeads(ctx context.Context, tx execer, info eventstore.Info) error {
	for partition := range info.Partitions {
		genesis := eventstore.Genesis(info.LedgerID, partition)
		_, err := tx.ExecContext(ctx, `INSERT INTO heads (partition, seq, hash, epoch) VALUES ($1, 0, $2, 0)
			ON CONFLICT (partition) DO UPDATE SET hash = excluded.hash`, partition, genesis[:])
		if err != nil {
			return err
		}
	}
	return nil
}
