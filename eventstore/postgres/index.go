package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/index"
)

// among is SQL for a column of integers that is one of those in a text.
func among(column, placeholder string) string {
	return column + " = ANY (string_to_array(" + placeholder + ", ',')::bigint[])"
}

// writeIndex runs what the index writes in a transaction.
func (s *Store) writeIndex(ctx context.Context, change func(context.Context, index.Tx) error) error {
	tx, err := s.reads.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	if err := change(ctx, tx); err != nil {
		return errors.Join(explain(err), tx.Rollback())
	}
	return explain(tx.Commit())
}

// CatchUp brings what trails the commits to the head of the log: then a restart has nothing to read.
func (s *Store) CatchUp(ctx context.Context) error {
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	return explain(s.index.CatchUp(ctx, info.Partitions))
}

// RenewIndex makes anew what trails the commits, from the log.
func (s *Store) RenewIndex(ctx context.Context) error {
	info, err := s.Info(ctx)
	for partition := 0; partition < info.Partitions && err == nil; partition++ {
		err = explain(s.index.Renew(ctx, partition))
	}
	return err
}

// CheckIndex compares what finds a partition's records by their names with the records. It returns how many were compared, and the
// positions of those that claim a dedupe key which an earlier one has. The error says what is wrong, as eventstore.ErrBroken, or
// that it could not be read. each is called once, and gives its argument the records as it reads them, in order from the first on; its
// error is returned. What it does not give, or all if it is nil, is read here.
func (s *Store) CheckIndex(ctx context.Context, partition int, each func(take func([]eventstore.Record)) error) (checked int64, twice []int64, err error) {
	var reading error
	if each != nil {
		given := each
		each = func(take func([]eventstore.Record)) error {
			reading = given(take)
			return reading
		}
	}
	checked, twice, err = s.index.Check(ctx, partition, each)
	if err == nil {
		err = s.index.Mended(partition)
	}
	switch {
	case reading != nil:
		return checked, nil, reading
	case err != nil:
		return checked, nil, fmt.Errorf("check the index: %w", explain(err))
	}
	return checked, twice, nil
}
