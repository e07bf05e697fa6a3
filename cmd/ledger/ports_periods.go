package main

import (
	"context"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// closings gives the closing of periods the shape of the operator API.
type closings struct {
	*projections.Views
	ledger *ledger.Ledger
}

// ClosePeriod implements ops.Periods.
func (c closings) ClosePeriod(ctx context.Context, p books.Period, actor string, o eventstore.Origin) error {
	_, err := c.ledger.ClosePeriod(ctx, c.Views, p, actor, o)
	return err
}

// SubmitBooks implements ops.Periods.
func (c closings) SubmitBooks(ctx context.Context, command books.Command, o eventstore.Origin) error {
	_, err := c.ledger.SubmitBooks(ctx, command, o)
	return err
}
