package plaintext

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/eventstore"
)

// closesPage is how many records of the general ledger are read at once.
const closesPage = 1000

// closings reads the closes that stand at the heads: the journal dates what is late for them behind them, wherever in the log they are.
func closings(ctx context.Context, log Log, heads []eventstore.Head) (books.Closings, error) {
	home := eventstore.PartitionOf(books.Owner, len(heads))
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return log.ReadStream(ctx, home, books.Stream, after, limit)
	}
	var b books.Books
	err := eventstore.EachPage(ctx, 0, closesPage, read, func(records []eventstore.Record) (bool, error) {
		for i := range records {
			r := &records[i]
			if r.Seq > heads[home].Seq {
				return true, nil
			}
			e, err := event.Decode(r.Stream, r.Type, r.Schema, r.Data)
			if err != nil {
				return true, fmt.Errorf("record %s: %w", r.Position(), err)
			}
			if of, is := e.(books.Event); is {
				b.Evolve(of)
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the closes of periods: %w", err)
	}
	for _, c := range b.Closes {
		if len(c.Marks) != len(heads) {
			return nil, fmt.Errorf("close %d has %d positions, and the log %d partitions", c.Number, len(c.Marks), len(heads))
		}
	}
	return b.Closes, nil
}
