package bench

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// classicPostgres is the row-locking design as a careful programmer writes it: prepared statements, a connection for each
// client, the request's id unique.
type classicPostgres struct{ pool *pgxpool.Pool }

const classicTables = `
	CREATE SCHEMA classic;
	CREATE TABLE classic.accounts (
		id      bigint NOT NULL PRIMARY KEY,
		balance bigint NOT NULL CHECK (balance >= 0)
	) WITH (fillfactor = 50);
	CREATE TABLE classic.transfers (
		id         text        NOT NULL PRIMARY KEY,
		account    bigint      NOT NULL,
		request    text        NOT NULL UNIQUE,
		amount     bigint      NOT NULL,
		balance    bigint      NOT NULL, -- after it
		created_at timestamptz NOT NULL DEFAULT now()
	)`

func newClassicPostgres(ctx context.Context, at Place) (*classicPostgres, error) {
	config, err := pgxpool.ParseConfig(at.DSN)
	if err != nil {
		return nil, err
	}
	config.MaxConns = singles
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = pool.Exec(ctx, classicTables, pgx.QueryExecModeSimpleProtocol)
	if err == nil {
		_, err = pool.Exec(ctx, "INSERT INTO classic.accounts (id, balance) VALUES (1, $1)", int64(classicFunds))
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("making the tables: %w", err)
	}
	return &classicPostgres{pool}, nil
}

// transfer: pgx prepares each statement once a connection.
func (c *classicPostgres) transfer(ctx context.Context, id, request string, paisa int64) error {
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		var balance int64
		if err := tx.QueryRow(ctx, "SELECT balance FROM classic.accounts WHERE id = 1 FOR UPDATE").Scan(&balance); err != nil {
			return err
		}
		if balance < paisa {
			return errUncovered
		}
		if _, err := tx.Exec(ctx, "UPDATE classic.accounts SET balance = $1 WHERE id = 1", balance-paisa); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO classic.transfers (id, account, request, amount, balance) VALUES ($1, 1, $2, $3, $4)",
			id, request, paisa, balance-paisa)
		return err
	})
}

func (c *classicPostgres) transferAtOnce(ctx context.Context, id, request string, paisa int64) error {
	tag, err := c.pool.Exec(ctx, `WITH debited AS (
			UPDATE classic.accounts SET balance = balance - $3 WHERE id = 1 AND balance >= $3 RETURNING balance
		) INSERT INTO classic.transfers (id, account, request, amount, balance) SELECT $1, 1, $2, $3, balance FROM debited`, id, request, paisa)
	if err == nil && tag.RowsAffected() != 1 {
		return errUncovered
	}
	return err
}

func (c *classicPostgres) sums(ctx context.Context) (balance, transfers, taken int64, err error) {
	err = c.pool.QueryRow(ctx, `SELECT (SELECT balance FROM classic.accounts WHERE id = 1), count(*), coalesce(sum(amount), 0)::bigint
		FROM classic.transfers`).Scan(&balance, &transfers, &taken)
	return balance, transfers, taken, err
}

func (c *classicPostgres) close(ctx context.Context) error {
	_, err := c.pool.Exec(ctx, "DROP SCHEMA classic CASCADE")
	c.pool.Close()
	return errors.Join(err)
}
