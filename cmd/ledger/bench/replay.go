package bench

import (
	"context"
	"errors"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/migrations"
)

// runReplay measures reading the log: folding a wallet's whole history, and building all views from the first record.
func runReplay(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	w.tell("writing the history of %s payouts", plainInt(int64(w.opts.History)))
	if err := w.writeHistory(ctx, b); err != nil {
		return nil, err
	}
	taken, err := w.inTurn(ctx,
		measure{"folding the wallet", func(ctx context.Context) (sample, error) { return foldWallet(ctx, b) }},
		measure{"reading bare", func(ctx context.Context) (sample, error) { return w.readBare(ctx) }},
		measure{"rebuilding the views", func(ctx context.Context) (sample, error) { return rebuildViews(ctx, b) }},
	)
	if err != nil {
		return nil, err
	}
	const name = "a bare read of the same records, nothing decoded"
	bare := rates(taken[1])
	fold := line("fold_wallet", "decode and fold a wallet's whole history", "events", taken[0]).beside(name, taken[0], bare)
	fold.Note = "the limit is " + name
	return []Line{fold, line("rebuild_views", "build all views anew", "events", taken[2]).beside(name, taken[2], bare)}, nil
}

// writeHistory takes payouts of the hot wallet through their life.
func (w *world) writeHistory(ctx context.Context, b *Book) error {
	payers, err := newPayers(ctx, b, pipelines)
	if err != nil {
		return err
	}
	if err := w.fundHot(ctx, b); err != nil {
		return err
	}
	_, err = w.driveTo(ctx, int64(w.opts.History), func(ctx context.Context, caller int, n int) error {
		_, err := w.liveMany(ctx, b, payers[caller], n, nil)
		return err
	}, caughtUp(b))
	return err
}

// foldWallet reads the hot wallet's stream and folds it, as a ledger does that has nothing of it.
func foldWallet(ctx context.Context, b *Book) (sample, error) {
	records, err := recordsIn(ctx, b) // all are the hot wallet's
	if err != nil {
		return sample{}, err
	}
	begun := time.Now()
	if _, err := b.Ledger.Wallet(ctx, hotMerchant, money.INR); err != nil { // what it folds to is checked at the end
		return sample{}, err
	}
	return sample{count: records, elapsed: time.Since(begun)}, nil
}

func rebuildViews(ctx context.Context, b *Book) (sample, error) {
	records, err := recordsIn(ctx, b)
	if err != nil {
		return sample{}, err
	}
	begun := time.Now()
	if err := b.Views.Rebuild(ctx, nil, nil); err != nil {
		return sample{}, err
	}
	return sample{count: records, elapsed: time.Since(begun)}, nil
}

// readBare reads all records in order, and decodes nothing.
func (w *world) readBare(ctx context.Context) (sample, error) {
	read := readPostgres
	if w.at.Dialect == migrations.SQLite {
		read = readSQLite
	}
	begun := time.Now()
	n, err := read(ctx, w.at)
	if err == nil && n == 0 {
		err = errors.New("the log is empty")
	}
	return sample{count: n, elapsed: time.Since(begun)}, err
}
