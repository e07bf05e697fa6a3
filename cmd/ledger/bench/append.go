package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/migrations"
)

// runAppend measures payouts that are initiated: dedupe key, balance, hash chain, durable before the answer, indexes caught up.
func runAppend(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	payers, err := newPayers(ctx, b, max(singles, pipelines))
	if err != nil {
		return nil, err
	}
	if err := w.fundHot(ctx, b); err != nil {
		return nil, err
	}
	w.tell("funding %d wallets", w.opts.Wallets)
	many, err := w.openWallets(ctx, b, payers)
	if err != nil {
		return nil, err
	}
	limit := &limit{w: w, b: b}
	defer func() { err = errors.Join(err, limit.close()) }()
	finish := caughtUp(b)
	name, batches := w.batches()
	wallets := plainInt(int64(w.opts.Wallets)) + " wallets"

	measures := []measure{
		{fmt.Sprintf("%d callers of one payout", singles), func(ctx context.Context) (sample, error) {
			return drive(ctx, singles, w.opts.For, func(ctx context.Context, caller int) (int64, error) {
				return w.payOne(ctx, b, payers[caller])
			}, finish)
		}},
		{batches, func(ctx context.Context) (sample, error) {
			return drive(ctx, pipelines, w.opts.For, func(ctx context.Context, caller int) (int64, error) {
				return w.payMany(ctx, b, payers[caller], w.opts.Batch)
			}, finish)
		}},
		{"bare inserts", func(ctx context.Context) (sample, error) { return limit.run(ctx, 1) }},
		{batches + " on " + wallets, func(ctx context.Context) (sample, error) {
			return drive(ctx, pipelines, w.opts.For, func(ctx context.Context, caller int) (int64, error) {
				return many.pay(ctx, w, b, payers[caller])
			}, finish)
		}},
	}
	if w.at.Dialect == migrations.Postgres {
		measures = append(measures, measure{"bare inserts, two writers", func(ctx context.Context) (sample, error) { return limit.run(ctx, 2) }})
	}
	taken, err := w.inTurn(ctx, measures...)
	if err != nil {
		return nil, err
	}
	bare, bareName := rates(taken[2]), limit.name()
	one := line("hot_64x1", "one hot wallet, 64 callers of 1", "payouts", taken[0]).latency(taken[0]).beside(bareName, taken[0], bare)
	if classic := w.results.classic64; classic > 0 {
		one.ClassicRatio = round(one.RatePerSecond/classic, 1)
	}
	lines = []Line{
		one,
		line("hot_"+name, "one hot wallet, "+batches, "payouts", taken[1]).latency(taken[1]).beside(bareName, taken[1], bare),
		line("wallets_"+name, wallets+", "+batches, "payouts", taken[3]).latency(taken[3]).beside(bareName, taken[3], bare),
	}
	lines[1].Note = "the limit is " + bareName
	if len(taken) > 4 {
		lines = append(lines, line("bare_two_writers", "bare inserts by two writers, for information", "records", taken[4]))
	}
	return lines, nil
}

// wallets are many merchants' wallets, by partition.
type wallets struct {
	byPartition [][]string
	calls       atomic.Int64
}

// openWallets funds so many wallets.
func (w *world) openWallets(ctx context.Context, b *Book, payers []*payer) (*wallets, error) {
	info, err := b.Log.Info(ctx)
	if err != nil {
		return nil, err
	}
	many := &wallets{byPartition: make([][]string, info.Partitions)}
	ids := make(chan string)
	go func() {
		defer close(ids)
		for i := range w.opts.Wallets {
			select {
			case ids <- fmt.Sprintf("mer_bench%011d", i):
			case <-ctx.Done():
				return
			}
		}
	}()
	var mu sync.Mutex
	var failed error
	var running sync.WaitGroup
	for _, p := range payers {
		running.Go(func() {
			for id := range ids {
				err := w.fund(ctx, b, p, id, walletFunds)
				mu.Lock()
				failed = errors.Join(failed, err)
				partition := b.Ledger.Partition(id)
				many.byPartition[partition] = append(many.byPartition[partition], id)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	return many, errors.Join(failed, ctx.Err())
}

// pay submits a thousand payouts, each from another wallet of a partition, whose turn it is.
func (m *wallets) pay(ctx context.Context, w *world, b *Book, p *payer) (int64, error) {
	call := int(m.calls.Add(1))
	partition := call % len(m.byPartition)
	ids := m.byPartition[partition]
	if len(ids) == 0 {
		return 0, nil
	}
	all, from := make([]ledger.Submission, w.opts.Batch), p.origin()
	for i := range all {
		c, _ := p.initiate(ids[(call/len(m.byPartition)*len(all)+i)%len(ids)])
		all[i] = ledger.Submission{Command: c, Origin: from}
	}
	_, errs := b.Ledger.SubmitPartition(ctx, partition, all)
	if err := firstOf(errs); err != nil {
		return 0, err
	}
	w.tally.records.Add(int64(len(all)))
	return int64(len(all)), nil
}
