package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// TrialJobs is the kind of the jobs that end trial orders.
const TrialJobs = "gateway.trial"

// trialMemory is the payload of a trial's job.
type trialMemory struct {
	Merchant string `json:"merchant"`
}

// Types are the types of record that Handle is for.
func (*Checkouts) Types() []string {
	return []string{"payin.created", "payin.succeeded", "payin.failed", "payin.expired"}
}

// Handle takes note of a record of the log: of a trial order that was made, and of payins that have ended. Others are ignored. It may be called
// with the same record any number of times. An error is a store's, or (Permanent) a record that cannot be read.
func (c *Checkouts) Handle(ctx context.Context, r eventstore.Record) error {
	switch r.Type {
	case "payin.created":
		if !bytes.Contains(r.Data, []byte(`"trial"`)) { // hardly any is one
			return nil
		}
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return unreadable{err}
		}
		made, ok := e.(*wallet.PayinCreated)
		if !ok || made.Trial == "" {
			return nil
		}
		memory, err := json.Marshal(trialMemory{made.Merchant})
		if err != nil {
			return unreadable{err}
		}
		return c.jobs.Put(ctx, work.Job{Kind: TrialJobs, Key: made.Payment, Due: made.ExpiresAt.Add(c.o.TrialGrace), Payload: memory})
	case "payin.succeeded", "payin.failed": // a refused try does not end a trial: its customer may try again on the page that is open
		return c.handleLate(ctx, r)
	case "payin.expired":
		if err := c.handleLate(ctx, r); err != nil {
			return err
		}
		j, found, err := c.jobs.Find(ctx, TrialJobs, r.Subject)
		if err != nil || !found {
			return err
		}
		over, err := c.failTrial(ctx, j)
		if err != nil || !over {
			return err
		}
		return forget(ctx, c.jobs, TrialJobs, r.Subject, c.clock())
	}
	return nil
}

// trial handles the job of a trial order whose time is over.
func (c *Checkouts) trial(ctx context.Context, j work.Job) work.Outcome {
	now := c.clock()
	over, err := c.failTrial(ctx, j)
	var bad unreadable
	switch {
	case errors.As(err, &bad):
		c.log.Error("the job of a trial order is unreadable", "payment", j.Key, "error", err)
		return work.Finish()
	case err != nil:
		c.log.Warn("the end of a trial order is put off", "payment", j.Key, "error", err)
		return work.Again(c.jittered(now.Add(doubled(firstFailureGap, j.Attempt, maxFailureGap)), now), nil)
	case !over:
		return work.Again(c.jittered(now.Add(time.Minute), now), nil) // its payin is about to expire
	}
	return work.Finish()
}

// failTrial ends a trial that has not passed, and reports whether it is over. One that has passed is known to have ended by the log.
func (c *Checkouts) failTrial(ctx context.Context, j work.Job) (over bool, err error) {
	var memory trialMemory
	if err := json.Unmarshal(j.Payload, &memory); err != nil {
		return false, unreadable{err}
	}
	p, err := c.ledger.Payment(ctx, memory.Merchant, j.Key)
	if domain.CodeOf(err) == domain.NotFound {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var why string
	switch p.Status {
	case wallet.Pending:
		return false, nil
	case wallet.Success:
		if c.clock().Before(p.ExpiresAt.Add(c.o.TrialGrace)) {
			return false, nil // its webhook may still come
		}
		why = "paid, but no webhook came to " + WebhookPath(p.Gateway, p.Merchant, p.Checkout.Trial)
	case wallet.Expired:
		why = "nobody paid it in time"
		if p.Checkout.Order == "" {
			why = "the gateway has made no order of it"
		}
	default:
		if c.clock().Before(p.ExpiresAt.Add(c.o.TrialGrace)) {
			return false, nil // another try may still succeed
		}
		why = "the payment failed: " + p.Reason
	}
	return true, c.endTrial(ctx, &p, false, why)
}

// passTrial ends a trial that has passed: its payin is paid, and a webhook says so of the very payment.
func (c *Checkouts) passTrial(ctx context.Context, at *place, p wallet.Payment, m Message) error {
	if p.Checkout.Trial == "" || p.Checkout.Trial != at.config || !m.Approved && (m.Payment == nil || !m.Payment.Paid) {
		return nil
	}
	after, err := c.ledger.Payment(ctx, p.Merchant, p.Payment)
	if err != nil || after.Status != wallet.Success || m.Payment != nil && m.Payment.PaymentID != after.PaymentID {
		return err
	}
	return c.endTrial(ctx, &after, true, "")
}

// endTrial says what came of a trial; nothing when it has ended already.
func (c *Checkouts) endTrial(ctx context.Context, p *wallet.Payment, passed bool, why string) error {
	app, err := c.apps.Merchant(ctx, p.Merchant)
	if err != nil {
		return err
	}
	if g, there := configOf(&app, p.Checkout.Trial); !there || g.Trial != p.Payment {
		return nil
	}
	_, err = c.apps.SubmitMerchant(ctx, merchant.EndTrial{
		Of: merchant.Of{Merchant: p.Merchant, Actor: "system:trial"}, Config: p.Checkout.Trial, Transaction: p.Payment, Passed: passed, Failure: why,
	}, eventstore.Origin{Actor: "system:trial"})
	if err != nil {
		return err
	}
	counted := CountTrialFailed
	if passed {
		counted = CountTrialPassed
	}
	c.count.count(p.Gateway, counted)
	c.log.Info("a trial order has ended", "app", p.Merchant, "config", p.Checkout.Trial, "payment", p.Payment, "passed", passed, "why", why)
	return nil
}

// pruneGap is between two rounds that delete kept messages for their age.
const pruneGap = time.Hour

// Run tries early messages again, ends trial orders, asks about payins that have ended and deletes old messages until ctx is done; then it waits for what it began and returns nil.
func (c *Checkouts) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	options := work.Options{Concurrency: maxEarly, Lease: c.o.Lease, Grace: inboundTimeout, Clock: c.clock, Log: c.log}
	parts := []func() error{
		func() error { return work.Run(ctx, c.jobs, EarlyJobs, options, c.early) },
		func() error { return work.Run(ctx, c.jobs, TrialJobs, options, c.trial) },
		func() error { return work.Run(ctx, c.jobs, LateJobs, options, c.late) },
		func() error { c.prune(ctx); return nil },
	}
	ended := make(chan error, len(parts))
	for _, part := range parts {
		go func() { ended <- part() }()
	}
	var errs []error
	for range parts {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel()
		}
	}
	return errors.Join(errs...)
}

func (c *Checkouts) prune(ctx context.Context) {
	tick := time.NewTicker(pruneGap)
	defer tick.Stop()
	for {
		if n, err := c.jobs.PruneInbox(ctx, c.clock().Add(-keptFor)); err != nil && ctx.Err() == nil {
			c.log.Warn("old messages were not deleted", "error", err)
		} else if n > 0 {
			c.log.Info("old messages were deleted", "messages", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
