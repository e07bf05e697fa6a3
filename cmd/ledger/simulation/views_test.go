package simulation

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/projections"
)

// viewsOfEach is how many worlds share one whose views are built: that takes as long as the world does.
const viewsOfEach = 10

// prefix is a log that ends early: as it was when a process came by.
type prefix struct {
	*memory.Store
	parts, of int64
}

// Head returns the tip of the part that is shown.
func (p prefix) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	head, err := p.Store.Head(ctx, partition)
	if err != nil || p.parts == p.of {
		return head, err
	}
	seq := head.Seq * p.parts / p.of
	if seq == 0 {
		info, err := p.Info(ctx)
		return eventstore.Head{Partition: partition, Hash: eventstore.Genesis(info.LedgerID, partition), Epoch: head.Epoch}, err
	}
	at, err := p.Store.Read(ctx, partition, seq-1, 1)
	if err != nil {
		return head, err
	}
	return eventstore.Head{Partition: partition, Seq: seq, Hash: at[0].Hash, Epoch: head.Epoch, RecordedAt: at[0].RecordedAt}, nil
}

// Read returns records of that part.
func (p prefix) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	records, err := p.Store.Read(ctx, partition, after, limit)
	head, unheaded := p.Head(ctx, partition)
	if err := errors.Join(err, unheaded); err != nil {
		return nil, err
	}
	for len(records) > 0 && records[len(records)-1].Seq > head.Seq {
		records = records[:len(records)-1]
	}
	return records, nil
}

// checkViews builds the views of a world's log in three goes, each by a process of its own, and compares them with a replay and with the
// oracle's balances.
func checkViews(t *testing.T, w *world) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "views.db")
	for part := range int64(3) {
		log := prefix{w.log, part + 1, 3}
		db, err := projections.OpenSQLite(t.Context(), path, quiet)
		if err != nil {
			t.Fatal(err)
		}
		views, err := projections.Open(t.Context(), db, projections.SQLite, log, tail.New(log, w.profile.partitions, time.Second, quiet), projections.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for merchant, available := range w.balances {
			b, err := views.Balance(t.Context(), merchant, money.INR)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Available.Decimal().Shift(2).BigInt(); part == 2 && got.Cmp(available) != 0 {
				t.Errorf("the views have %s paisa of %s, the oracle %s", got, merchant, available)
			}
		}
		findings, err := views.Check(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Fault || f.Absent {
				t.Errorf("view %s: %s", f.View, f.Message)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// balances are what the oracle has of a wallet.
type balances map[string]*big.Int
