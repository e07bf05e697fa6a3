package main

import (
	"context"
	"errors"

	"github.com/google/uuid"
)

// migrateCommand is `ledger migrate`.
type migrateCommand struct {
	storeFlags
	newStore
}

// migrated is its answer.
type migrated struct {
	Ledger     uuid.UUID `json:"ledger_id"`
	Store      string    `json:"store"` // sqlite or postgres
	Partitions int       `json:"partitions"`
}

// Run makes what is missing of the store, and nothing of the master key.
func (c *migrateCommand) Run(ctx context.Context, t *terminal) error {
	if err := c.migrate(ctx, c.newStore.Partitions); err != nil {
		return err
	}
	loc, err := c.location()
	if err != nil {
		return err
	}
	s, err := openDatabases(ctx, loc)
	if err != nil {
		return err
	}
	return errors.Join(t.answer(migrated{s.info.LedgerID, string(s.dialect), s.info.Partitions}), s.Close())
}
