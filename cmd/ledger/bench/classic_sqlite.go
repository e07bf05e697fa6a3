package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
)

// classicSQLite is the row-locking design on SQLite. Its lock is the file's, so a careful programmer has one connection that
// writes, on which the clients wait for each other, instead of having them ask for the file's lock again and again.
type classicSQLite struct {
	db       *sql.DB
	read     *sql.Stmt
	update   *sql.Stmt
	insert   *sql.Stmt
	transact *sql.Stmt
}

// The one statement is an INSERT: a trigger debits the account.
const classicSQLiteTables = `
	CREATE TABLE accounts (
		id      INTEGER NOT NULL PRIMARY KEY,
		balance INTEGER NOT NULL CHECK (balance >= 0)
	);
	CREATE TABLE transfers (
		id         TEXT    NOT NULL PRIMARY KEY,
		account    INTEGER NOT NULL,
		request    TEXT    NOT NULL UNIQUE,
		amount     INTEGER NOT NULL,
		balance    INTEGER, -- after it
		created_at INTEGER NOT NULL DEFAULT (unixepoch())
	) WITHOUT ROWID;
	CREATE VIEW debits AS SELECT id, account, request, amount FROM transfers;
	CREATE TRIGGER debit INSTEAD OF INSERT ON debits BEGIN
		UPDATE accounts SET balance = balance - NEW.amount WHERE id = NEW.account;
		INSERT INTO transfers (id, account, request, amount, balance)
			SELECT NEW.id, NEW.account, NEW.request, NEW.amount, balance FROM accounts WHERE id = NEW.account;
	END;`

func newClassicSQLite(ctx context.Context, at Place) (_ *classicSQLite, err error) {
	c := &classicSQLite{}
	if c.db, err = openSQLite(filepath.Join(at.Folder, "classic.db")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close(ctx))
		}
	}()
	if _, err := c.db.ExecContext(ctx, classicSQLiteTables); err != nil {
		return nil, fmt.Errorf("making the tables: %w", err)
	}
	if _, err := c.db.ExecContext(ctx, "INSERT INTO accounts (id, balance) VALUES (1, ?)", int64(classicFunds)); err != nil {
		return nil, fmt.Errorf("making the account: %w", err)
	}
	for text, to := range map[string]**sql.Stmt{
		"SELECT balance FROM accounts WHERE id = 1":                                            &c.read,
		"UPDATE accounts SET balance = ? WHERE id = 1":                                         &c.update,
		"INSERT INTO transfers (id, account, request, amount, balance) VALUES (?, 1, ?, ?, ?)": &c.insert,
		"INSERT INTO debits (id, account, request, amount) VALUES (?, 1, ?, ?)":                &c.transact,
	} {
		if *to, err = c.db.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // kept until close
			return nil, err
		}
	}
	return c, nil
}

// transfer: what StmtContext gives is closed with the transaction.
func (c *classicSQLite) transfer(ctx context.Context, id, request string, paisa int64) (err error) {
	tx, err := c.db.BeginTx(ctx, nil) // immediate: it takes the lock
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	var balance int64
	if err := tx.StmtContext(ctx, c.read).QueryRowContext(ctx).Scan(&balance); err != nil { //nolint:sqlclosecheck // see above
		return err
	}
	if balance < paisa {
		return errUncovered
	}
	if _, err := tx.StmtContext(ctx, c.update).ExecContext(ctx, balance-paisa); err != nil { //nolint:sqlclosecheck // see above
		return err
	}
	if _, err := tx.StmtContext(ctx, c.insert).ExecContext(ctx, id, request, paisa, balance-paisa); err != nil { //nolint:sqlclosecheck // see above
		return err
	}
	return tx.Commit()
}

func (c *classicSQLite) transferAtOnce(ctx context.Context, id, request string, paisa int64) error {
	_, err := c.transact.ExecContext(ctx, id, request, paisa)
	return err
}

func (c *classicSQLite) sums(ctx context.Context) (balance, transfers, taken int64, err error) {
	err = c.db.QueryRowContext(ctx, "SELECT (SELECT balance FROM accounts WHERE id = 1), count(*), coalesce(sum(amount), 0) FROM transfers").
		Scan(&balance, &transfers, &taken)
	return balance, transfers, taken, err
}

func (c *classicSQLite) close(context.Context) error {
	var errs []error
	for _, s := range []*sql.Stmt{c.read, c.update, c.insert, c.transact} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, c.db.Close())...)
}
