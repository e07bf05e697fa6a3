package simulation

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/projections"
)

// anewOf is how many worlds share one whose views are built anew at its end.
const anewOf = 20

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

// viewsOf is how many worlds share one in which views are built: that takes as long as the rest of it.
const viewsOf = 4

// openViews opens the views of a process, where its world has any.
func (p *process) openViews(ctx context.Context, grown *tail.Tail, logger *slog.Logger) (err error) {
	w := p.world
	if w.views == nil {
		return nil
	}
	p.viewsAt = w.views
	p.viewsDB = sql.OpenDB(viewsLink{p})
	p.viewsDB.SetMaxIdleConns(projections.Connections(w.profile.partitions))
	p.views, err = projections.Open(ctx, p.viewsDB, projections.SQLite, p.store("views"), grown, projections.Options{
		Batch: w.profile.batch, Poll: 3 * time.Second, Clock: w.now, Logger: logger,
	})
	p.rebuild = func() {
		p.running.Go(func() {
			if err := p.views.Rebuild(ctx, nil, nil); err == nil {
				w.saw("views built again, to the end")
			}
		})
	}
	return err
}

// firstViews builds the views of the log as it begins: where a storm is there from the first moment on, they are hardly built before it ends.
func (w *world) firstViews() error {
	ctx, quiet := context.Background(), slog.New(slog.DiscardHandler)
	db, err := projections.OpenSQLite(ctx, w.views.path, quiet)
	if err != nil {
		return err
	}
	views, err := projections.Open(ctx, db, projections.SQLite, w.log, tail.New(w.log, w.profile.partitions, poll, quiet), projections.Options{})
	if err == nil {
		err = views.Rebuild(ctx, nil, nil)
	}
	return errors.Join(err, db.Close())
}

func (p *process) closeViews() error {
	if p.viewsDB == nil {
		return nil
	}
	return p.viewsDB.Close()
}

// misplaceViews loses the views, puts an older copy in their place, or makes one.
func (w *world) misplaceViews() (err error) {
	switch {
	case w.chance(100):
		w.count("the views are lost")
		w.note("the views are lost")
		w.views, err = w.newViews(w.oldViews)
	case w.chance(200):
		w.note("the views are copied")
		w.oldViews, err = w.newViews(w.views)
	}
	return err
}

// viewsBehind says what the views have not got yet; "" when they stand at the heads of the log.
func (w *world) viewsBehind() string {
	if w.views == nil {
		return ""
	}
	conn, err := w.views.connection()
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	r, err := conn.(driver.QueryerContext).QueryContext(context.Background(),
		"SELECT partition, seq FROM views_checkpoints WHERE lane = 0 AND NOT EXISTS (SELECT 1 FROM views_serving WHERE generation = 0)", nil)
	if err != nil {
		return "the views: " + err.Error()
	}
	found, err := toEnd(r)
	if err != nil || len(found.values) != w.profile.partitions {
		return fmt.Sprint("the views, which are being built: ", err)
	}
	for _, at := range found.values {
		head, err := w.log.Head(context.Background(), int(at[0].(int64)))
		if err != nil || head.Seq != at[1].(int64) {
			return fmt.Sprintf("the views at %v of %d (%v)", at, head.Seq, err)
		}
	}
	return ""
}

// judgeViews compares the views that the run has built with a replay, and with the oracle's balances.
func (w *world) judgeViews(ctx context.Context) {
	if w.views == nil {
		return
	}
	db, err := projections.OpenExistingSQLite(ctx, w.views.path)
	if err != nil {
		w.wrong("the views: %v", err)
		return
	}
	w.compareViews(ctx, db, w.log)
	if err := db.Close(); err != nil {
		w.wrong("the views: %v", err)
	}
}

// compareViews compares views with a replay of a log, and with the oracle's balances where they have all of it.
func (w *world) compareViews(ctx context.Context, db *sql.DB, log projections.Log) {
	quiet := slog.New(slog.DiscardHandler)
	views, err := projections.Open(ctx, db, projections.SQLite, log, tail.New(log, w.profile.partitions, time.Second, quiet), projections.Options{})
	if err != nil {
		w.wrong("the views: %v", err)
		return
	}
	for merchant, available := range w.balances {
		b, err := views.Balance(ctx, merchant, money.INR)
		if err != nil {
			w.wrong("the balance of %s in the views: %v", merchant, err)
			continue
		}
		got := b.Available.Decimal().Shift(2).BigInt()
		if p, part := log.(prefix); got.Cmp(available) != 0 && (!part || p.parts == p.of) {
			w.wrong("the views have %s paisa of %s, the oracle %s", got, merchant, available)
		}
	}
	findings, err := views.Check(ctx)
	if err != nil {
		w.wrong("checking the views: %v", err)
	}
	for _, f := range findings {
		if f.Fault || f.Absent {
			w.wrong("view %s: %s", f.View, f.Message)
		}
	}
}

// rebuildViews builds the views of a world's log anew in three goes, each by a process of its own.
func (w *world) rebuildViews(ctx context.Context) error {
	path := filepath.Join(w.folder, "anew.db")
	for part := range int64(3) {
		db, err := projections.OpenSQLite(ctx, path, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		w.compareViews(ctx, db, prefix{w.log, part + 1, 3})
		if err := db.Close(); err != nil {
			return err
		}
	}
	return nil
}

// balances are what the oracle has of a wallet.
type balances map[string]*big.Int
