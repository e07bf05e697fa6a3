package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// startWorkers starts everything that runs in the background; all of it ends when ctx does.
func (s *server) startWorkers(ctx context.Context, running *sync.WaitGroup) {
	running.Go(func() { s.tail.Run(ctx) })
	running.Go(func() { s.admission.Watch(ctx, s.logger, refusalsEvery) })
	run := func(name string, f func(context.Context) error) {
		running.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("a worker ended", "part", name, "error", err)
			}
		})
	}
	run("views", s.views.Run)
	run("bus", s.router.Run)
	run("expiry", s.expiry.Run)
	run("checkouts", s.checkouts.Run)
	run("refunds", s.refunds.Run)
	run("batches", s.batches.Run)
	run("prune", s.prune)
	running.Go(func() { s.sender.Run(ctx) })
	if s.dispatch != nil {
		run("dispatch", s.dispatch.Run)
	}
	if s.bank != nil && s.bank.server != nil {
		run("sandbox", s.bank.server.Run)
	}
	if p := s.publisher(); p != nil {
		run("checkpoints", p.Run)
	}
	run("recover", s.recover)
}

// recover makes the jobs again that pending payments and batches need, in case work storage was lost. The views tell which those are.
func (s *server) recover(ctx context.Context) error {
	for {
		err := errors.Join(s.expiry.Recover(ctx, s.ports), s.batches.Recover(ctx), s.refunds.Recover(ctx, s.views))
		if err == nil && s.dispatch != nil {
			err = s.dispatch.Recover(ctx, s.ports)
		}
		if err == nil {
			return nil
		}
		s.logger.Warn("jobs of pending payments were not checked; trying again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(recoverRetry):
		}
	}
}

// prune removes stored answers of Idempotency-Keys that are old (a repeat is then answered from the payment), spent tokens that have expired, and
// callbacks that ended long ago.
func (s *server) prune(ctx context.Context) error {
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		s.pruned(ctx, "stored answers", s.stores.work.PruneAnswers, answersKeptFor)
		s.pruned(ctx, "spent tokens", s.stores.work.PruneSpent, 0)
		if s.cfg.CallbacksKept > 0 {
			s.pruned(ctx, "callbacks", s.webhooks.Prune, s.cfg.CallbacksKept)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pruned has what is older than that removed. What cannot be removed now is removed an hour later.
func (s *server) pruned(ctx context.Context, what string, prune func(context.Context, time.Time) (int64, error), keptFor time.Duration) {
	n, err := prune(ctx, time.Now().Add(-keptFor))
	switch {
	case err != nil && ctx.Err() == nil:
		s.logger.Warn(what+" were not pruned", "error", err)
	case n > 0:
		s.logger.Info(what+" were pruned", "count", n)
	}
}
