package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/projections"
)

// walletEvents is how many events the history of audit has for each wallet, up to Options.Wallets of them.
const walletEvents = 1000

// auditor is the store that audit measures.
type auditor struct {
	w       *world
	b       *Book
	h       *historian
	begun   time.Time // the history does
	views   sample    // how the views were built
	account int       // how many there are
}

// runAudit measures what finance and dispute teams ask of a log of many events: balances at any instant, proofs, and whether it holds.
func runAudit(ctx context.Context, w *world) (lines []Line, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	a := &auditor{w: w, b: b, begun: time.Now().Add(-historySpan)}
	if err := a.write(ctx, w.opts.auditEvents()); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) ([]Line, error){a.trial, a.include, a.verify} {
		some, err := part(ctx)
		if err != nil {
			return nil, err
		}
		lines = append(lines, some...)
	}
	for i := range lines {
		lines[i].Events = a.h.count
	}
	return lines, nil
}

// write makes the log, and builds the views of it as a server at its first start does.
func (a *auditor) write(ctx context.Context, events int64) (err error) {
	a.w.tell("writing %s events", plainInt(events))
	wallets := int(min(max(events/walletEvents, 1), int64(a.w.opts.Wallets)))
	if a.h, err = newHistorian(ctx, a.b, wallets, events); err != nil {
		return err
	}
	if err := a.h.until(ctx, events, 1<<62); err != nil {
		return err
	}
	a.w.tally.records.Add(a.h.count)
	if finish := caughtUp(a.b); finish != nil {
		if err := finish(ctx); err != nil {
			return err
		}
	}
	a.w.tell("building the views")
	begun := time.Now()
	if err := a.b.Views.Reach(ctx); err != nil {
		return err
	}
	a.views = sample{count: a.h.count, elapsed: time.Since(begun)}
	return nil
}

// trial measures trial balances as of instants at random.
func (a *auditor) trial(ctx context.Context) ([]Line, error) {
	ask := func(by projections.Basis) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			return drive(ctx, 1, a.w.opts.For, func(ctx context.Context, _ int) (int64, error) {
				at := a.begun.Add(time.Duration(a.h.random.Int64N(int64(historySpan))))
				t, err := a.b.Views.TrialBalance(ctx, projections.TrialQuery{By: by, At: at, KnownAt: time.Now()})
				if err == nil && (!t.Balanced() || len(t.Accounts) == 0) {
					err = fmt.Errorf("the trial balance by %s as of %s has %d accounts, and its totals are %v", by, at, len(t.Accounts), t.Totals())
				}
				a.account = len(t.Accounts)
				return 1, err
			}, nil)
		}
	}
	bare, err := a.w.bareViews(ctx)
	if err != nil {
		return nil, err
	}
	newest := fmt.Sprintf(`SELECT a.name, (SELECT l.balance FROM journal_%d AS l WHERE l.partition = a.partition AND l.account = a.account
		ORDER BY l.recorded_at DESC, l.seq DESC, l.line DESC LIMIT 1) FROM accounts_%d AS a`, bare.journal, bare.journal)
	taken, err := a.w.inTurn(ctx,
		measure{"trial balances by value date", ask(projections.ByValue)},
		measure{"trial balances by recording date", ask(projections.ByRecording)},
		measure{"newest balances", func(ctx context.Context) (sample, error) {
			return drive(ctx, 1, a.w.opts.For, func(ctx context.Context, _ int) (int64, error) {
				_, err := bare.read(ctx, newest)
				return 1, err
			}, nil)
		}},
	)
	if err = errors.Join(err, bare.close()); err != nil {
		return nil, err
	}
	const limit = "a bare SELECT of the newest balance of each account, one look into the journal's index each"
	what := fmt.Sprintf("trial balance of %s accounts, ", plainInt(int64(a.account)))
	byValue := line("trial_value", what+"by value date", "balances", taken[0]).latency(taken[0]).beside(limit, taken[0], rates(taken[2]))
	byValue.Note = "as of instants at random; the limit is " + limit
	return []Line{byValue, line("trial_recording", what+"by recording date", "balances", taken[1]).latency(taken[1]).beside(limit, taken[1], rates(taken[2]))}, nil
}

// include measures inclusion proofs of single records at random, under a checkpoint that covers all.
func (a *auditor) include(ctx context.Context) ([]Line, error) {
	file, key, err := a.b.Prove(ctx, a.h.sample) // which signs the checkpoint
	if err != nil {
		return nil, err
	}
	keys, err := proof.ParseKeys(key)
	if err != nil {
		return nil, err
	}
	if v := proof.Verify(file, keys); !v.Holds {
		return nil, fmt.Errorf("the proof of %s does not hold: %+v", a.h.sample, v.Faults)
	}
	taken, err := a.w.inTurn(ctx,
		measure{"inclusion proofs", func(ctx context.Context) (sample, error) {
			return drive(ctx, 1, a.w.opts.For, func(ctx context.Context, _ int) (int64, error) {
				_, _, err := a.b.Prove(ctx, a.anyRecord().String())
				return 1, err
			}, nil)
		}},
		measure{"reading records", func(ctx context.Context) (sample, error) {
			return drive(ctx, 1, a.w.opts.For, func(ctx context.Context, _ int) (int64, error) {
				at := a.anyRecord()
				records, err := a.b.Log.Read(ctx, at.Partition, max(at.Seq-2, 0), 2)
				if err == nil && len(records) == 0 {
					err = fmt.Errorf("record %s: %w", at, eventstore.ErrNotFound)
				}
				return 1, err
			}, nil)
		}},
	)
	if err != nil {
		return nil, err
	}
	const limit = "reading the record and the one in front of it, which the proof holds"
	l := line("include", "inclusion proof of a record", "proofs", taken[0]).latency(taken[0]).beside(limit, taken[0], rates(taken[1]))
	l.Note = "records at random, one checkpoint; the limit is " + limit
	return []Line{l}, nil
}

// anyRecord is the position of a record at random.
func (a *auditor) anyRecord() eventstore.Position {
	for {
		if p := a.h.random.IntN(len(a.h.heads)); a.h.heads[p].Seq > 0 {
			return eventstore.Position{Partition: p, Seq: 1 + a.h.random.Int64N(a.h.heads[p].Seq)}
		}
	}
}

// verify measures what `ledger verify` does: of the log, and once of the views, beside how they were built.
func (a *auditor) verify(ctx context.Context) ([]Line, error) {
	var checks []ledger.Check
	peak := 0.0
	taken, err := a.w.inTurn(ctx,
		measure{"verifying the log", func(ctx context.Context) (s sample, err error) {
			atRest()
			watch := watchMemory()
			begun := time.Now()
			checks, err = ledger.Verify(ctx, a.b.Log, func(int64, int64) {})
			peak = max(peak, watch.stop())
			return sample{count: a.h.count, elapsed: time.Since(begun)}, err
		}},
		measure{"reading bare", a.w.readBare},
	)
	if err != nil {
		return nil, err
	}
	a.w.tell("verifying the views")
	begun := time.Now()
	findings, err := a.b.Views.Check(ctx)
	if err != nil {
		return nil, err
	}
	views := []sample{{count: a.h.count, elapsed: time.Since(begun)}}
	for _, f := range findings {
		checks = append(checks, ledger.Check{Name: "view " + f.View, OK: !f.Fault && !f.Absent, Problem: f.Message})
	}
	a.w.verified = checks
	const bare, build = "a bare read of the same records, nothing decoded", "building the views of the same log, once"
	log := line("verify_log", "verify: chain, positions, postings and all else of the log", "events", taken[0]).beside(bare, taken[0], rates(taken[1]))
	log.ResidentPeakMiB = round(peak, 1)
	log.Note = fmt.Sprintf("%s events in %.1f s; the limit is %s", plainInt(a.h.count), float64(a.h.count)/log.RatePerSecond, bare)
	view := line("verify_views", "verify: the views, by a replay", "events", views).beside(build, views, rates([]sample{a.views}))
	view.Note = fmt.Sprintf("%s events in %.1f s; the limit is %s", plainInt(a.h.count), views[0].elapsed.Seconds(), build)
	return []Line{log, view}, nil
}
