package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

// Partitions of a new log, where the caller of Migrate does not say.
const Partitions = 4

// Migrate makes the log in the database at dsn, with so many partitions (0 for Partitions), or brings it up to date; the number
// of partitions of a log that is there stays. Several processes may do so at once. eventstore.ErrNewer when a newer
// program has made it.
func Migrate(ctx context.Context, dsn string, partitions int) error {
	if err := migrate(ctx, dsn, partitions); err != nil {
		return fmt.Errorf("migrate the log in PostgreSQL: %w", explain(err))
	}
	return nil
}

func migrate(ctx context.Context, dsn string, partitions int) (err error) {
	if partitions == 0 {
		partitions = Partitions
	}
	info := eventstore.Info{LedgerID: uuid.New(), Partitions: partitions}
	if err := info.Check(); err != nil {
		return err
	}
	parsed, err := pgxpool.ParseConfig(dsn) // takes out what is meant for a pool
	if err != nil {
		return err
	}
	config, silence := parsed.ConnConfig, NewSilence(0)
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(silence.prepare))
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := migrations.Up(ctx, db, migrations.Postgres, migrations.Log); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := silence.prepare(ctx, conn); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return identity(ctx, tx, info) })
}

// identity gives a new log its id and its heads. Of several processes at once, the first one's id stays.
func identity(ctx context.Context, tx pgx.Tx, info eventstore.Info) error {
	tag, err := tx.Exec(ctx, "INSERT INTO ledger (one, id, partitions) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
		[16]byte(info.LedgerID), info.Partitions)
	if err != nil || tag.RowsAffected() == 0 {
		return err
	}
	return insertHeads(ctx, tx, info)
}

// insertHeads makes the heads of empty partitions, or sets the hashes of those that are there to a new genesis.
func insertHeads(ctx context.Context, tx pgx.Tx, info eventstore.Info) error {
	for partition := range info.Partitions {
		genesis := eventstore.Genesis(info.LedgerID, partition)
		_, err := tx.Exec(ctx, `INSERT INTO heads (partition, seq, hash, epoch) VALUES ($1, 0, $2, 0)
			ON CONFLICT (partition) DO UPDATE SET hash = excluded.hash`, partition, genesis[:])
		if err != nil {
			return err
		}
	}
	return nil
}
