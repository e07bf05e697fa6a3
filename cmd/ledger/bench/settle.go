package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// recordsOfLife is how many records a payout's life has: initiated, submitted, succeeded.
const recordsOfLife = 3

// runSettle measures the whole life of payouts from the hot wallet, until the views contain it. No gateway is asked.
func runSettle(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	payers, err := newPayers(ctx, b, pipelines)
	if err != nil {
		return nil, err
	}
	if err := w.fundHot(ctx, b); err != nil {
		return nil, err
	}
	stop := projecting(ctx, b)
	defer func() { err = errors.Join(err, stop()) }()
	if err := reach(ctx, b); err != nil { // they are made, empty, at the first start
		return nil, err
	}
	limit := &limit{w: w, b: b}
	defer func() { err = errors.Join(err, limit.close()) }()
	name, batches := w.batches()
	taken, err := w.inTurn(ctx,
		measure{batches, func(ctx context.Context) (sample, error) {
			return drive(ctx, pipelines, w.opts.For, func(ctx context.Context, caller int) (int64, error) {
				life, err := w.liveMany(ctx, b, payers[caller], w.opts.Batch, nil)
				return int64(life), err
			}, func(ctx context.Context) error { return finishAll(ctx, b) })
		}},
		measure{"bare inserts", func(ctx context.Context) (sample, error) { return limit.run(ctx, 1) }},
	)
	if err != nil {
		return nil, err
	}
	settled := line("hot_"+name, "one hot wallet, "+batches, "payouts", taken[0]).
		beside(limit.name(), taken[0], perUnit(rates(taken[1]), recordsOfLife))
	settled.Note = fmt.Sprintf("%s events a second; the limit is %s, with the evidence", plain(settled.RatePerSecond*recordsOfLife, 0), limit.name())
	w.results.settled = settled.RatePerSecond * recordsOfLife
	return []Line{settled}, nil
}

// projecting keeps the views up to date until stop, as a server does.
func projecting(ctx context.Context, b *Book) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	var failed error
	running.Go(func() { b.Tail.Run(ctx) })
	running.Go(func() {
		if err := b.Views.Run(ctx); err != nil && ctx.Err() == nil {
			failed = fmt.Errorf("the views: %w", err)
		}
	})
	return func() error {
		cancel()
		running.Wait()
		return failed
	}
}

// reach waits until the views stand at the heads of the log, however long that takes.
func reach(ctx context.Context, b *Book) error {
	for {
		err := b.Views.Reach(ctx)
		if !errors.Is(err, projections.ErrBehind) || ctx.Err() != nil {
			return err
		}
	}
}

// finishAll waits for everything that trails the log.
func finishAll(ctx context.Context, b *Book) error {
	if err := reach(ctx, b); err != nil {
		return err
	}
	if catchUp := caughtUp(b); catchUp != nil {
		return catchUp(ctx)
	}
	return nil
}

// liveMany takes n payouts of the hot wallet through their life, each step at once for all, and tells of each answer: the
// position up to which it stands in the log. It returns how many payouts there were.
func (w *world) liveMany(ctx context.Context, b *Book, p *payer, n int, answered func(eventstore.Position, time.Time)) (int, error) {
	initiated, submitted, reported := make([]ledger.Submission, n), make([]ledger.Submission, n), make([]ledger.Submission, n)
	var gross int64
	from := p.origin()
	bank := eventstore.Origin{Actor: "gateway:" + gateway}
	for i := range n {
		c, g := p.initiate(hotMerchant)
		gross += g
		report, message := p.report(c.Base)
		initiated[i] = ledger.Submission{Command: c, Origin: from}
		submitted[i] = ledger.Submission{Command: wallet.SubmitPayout{Base: c.Base, Attempt: 1, Gateway: gateway}, Origin: bank}
		reported[i] = ledger.Submission{Command: report, Origin: eventstore.Origin{
			Actor: bank.Actor, Evidence: []eventstore.Evidence{{MediaType: "application/json", Body: message}},
		}}
	}
	for _, step := range [][]ledger.Submission{initiated, submitted, reported} {
		results, errs := b.Ledger.SubmitAll(ctx, hotMerchant, step)
		if err := firstOf(errs); err != nil {
			return 0, err
		}
		if answered != nil {
			answered(results[n-1].Last, time.Now())
		}
		w.tally.records.Add(int64(n))
	}
	w.tally.held.Add(gross)
	w.tally.paid.Add(gross)
	return n, nil
}

// report makes what a bank answers to a payout that it has paid: the command, and the message of about 300 bytes.
func (p *payer) report(of wallet.Base) (wallet.ReportPayout, []byte) {
	utr := fmt.Sprintf("6%011d", p.random.Int64N(100_000_000_000))
	message := fmt.Appendf(nil, `{"message_id":"%s","kind":"transfer","reference":"%s","status":"paid","amount":"1000.00","currency":"INR",`+
		`"utr":"%s","bank_reference":"IMPS/%s","beneficiary":{"ifsc":"SBIN0001234","account":"XXXXXX7890","name":"RAHUL SHARMA"},`+
		`"at":"%s"}`, p.id("msg_"), of.Payment, utr, utr, of.At.Format(time.RFC3339Nano))
	return wallet.ReportPayout{
		Base: of, Gateway: gateway, Outcome: wallet.OutcomePaid, UTR: utr, BankReference: "IMPS/" + utr,
		Message: p.id("") + p.id("") + p.id("") + p.id(""), // as long as a digest of it
	}, message
}
