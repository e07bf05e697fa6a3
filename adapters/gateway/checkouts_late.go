package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// LateJobs is the kind of the jobs that ask about payins whose end is behind them: the page of a company takes what its customer pays whatever we think, and
// the webhook about it may be lost.
const LateJobs = "payin.late"

// When a company is asked about a payin that has ended, from its end or the end of its time on, whichever is later.
const (
	secondGap  = time.Hour        // of one that is paid: once, for a second payment on the same page
	lateTries  = 5                // of one question, without an answer
	lateGap    = time.Minute      // between them; doubled each time
	maxLateGap = 15 * time.Minute // at most
	lateFor    = 48 * time.Hour   // behind an event: older ones that are read again are not asked about
	lateBusy   = 5 * time.Second  // until the next look when a company has its share of questions; doubled each time, up to maxLateGap
	maxLate    = 2                // questions of this kind at a time, for each company
)

// lateGaps are those of a payin that nobody has paid as far as is known.
func lateGaps() []time.Duration {
	return []time.Duration{10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour}
}

// lateMemory is the payload of a job of LateJobs.
type lateMemory struct {
	Merchant string        `json:"merchant"`
	Status   wallet.Status `json:"status,omitempty"`   // of the payin that the rest is about
	Asked    int           `json:"asked,omitempty"`    // questions that are behind it
	Failures int           `json:"failures,omitempty"` // tries of the next one without an answer
	Busy     int           `json:"busy,omitempty"`     // looks in a row at which the company had its share
}

// next is when the company is asked next; false when it has been asked for the last time.
func (m *lateMemory) next(p *wallet.Payment, spec Spec) (time.Time, bool) {
	if m.Status != p.Status {
		*m = lateMemory{Merchant: m.Merchant, Status: p.Status}
	}
	var gaps []time.Duration
	switch {
	case p.Checkout.Order == "":
	case p.Status == wallet.Failed || p.Status == wallet.Expired:
		gaps = lateGaps()
	case p.Status == wallet.Success && !spec.OnePayment:
		gaps = []time.Duration{secondGap}
	}
	if m.Asked >= len(gaps) {
		return time.Time{}, false
	}
	return later(p.ExpiresAt, p.UpdatedAt).Add(gaps[m.Asked]), true
}

// handleLate puts the job of a payin that has ended.
func (c *Checkouts) handleLate(ctx context.Context, r eventstore.Record) error {
	app, is := strings.CutPrefix(r.Stream, "wallet:")
	app, _, _ = strings.Cut(app, ":")
	now := c.clock()
	if !is || !strings.HasPrefix(app, "ap_") || now.Sub(r.EffectiveAt) > lateFor {
		return nil
	}
	gap := lateGaps()[0]
	if r.Type == "payin.succeeded" {
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return unreadable{err}
		}
		paid, is := e.(*wallet.PayinSucceeded)
		if !is {
			return unreadable{fmt.Errorf("record %s: %s is a %T", r.Position(), r.Type, e)}
		}
		if spec, known := c.Spec(paid.Gateway); !known || spec.OnePayment {
			return nil
		}
		gap = secondGap
	}
	payload, err := json.Marshal(lateMemory{Merchant: app})
	if err != nil {
		return unreadable{err}
	}
	return c.jobs.Put(ctx, work.Job{Kind: LateJobs, Key: r.Subject, Due: now.Add(gap), Payload: payload})
}

// late handles the job of a payin that has ended.
func (c *Checkouts) late(ctx context.Context, j work.Job) work.Outcome {
	var m lateMemory
	if json.Unmarshal(j.Payload, &m) != nil || m.Merchant == "" {
		c.log.Error("the job of a payin that has ended is unreadable", "payment", j.Key)
		return work.Finish()
	}
	now := c.clock()
	again := func(at time.Time) work.Outcome {
		b, err := json.Marshal(m)
		if err != nil {
			panic("gateway: the memory of a job cannot be encoded: " + err.Error()) // strings and numbers always can
		}
		return work.Again(at, b)
	}
	p, err := c.ledger.Payment(ctx, m.Merchant, j.Key)
	if domain.CodeOf(err) == domain.NotFound {
		return work.Finish()
	}
	if err != nil {
		return again(c.jittered(now.Add(doubled(firstFailureGap, j.Attempt, maxFailureGap)), now))
	}
	spec, _ := c.Spec(p.Gateway)
	due, more := m.next(&p, spec)
	switch {
	case !more:
		return work.Finish()
	case now.Before(due):
		return again(due)
	}
	done, free := c.lateTurns.take(p.Gateway)
	if !free { // while a company hangs, they are many
		m.Busy++
		return again(c.jittered(now.Add(doubled(lateBusy, m.Busy-1, maxLateGap)), now))
	}
	defer done()
	m.Busy = 0
	if err := c.askLate(ctx, p); err != nil {
		if m.Failures++; m.Failures < lateTries {
			return again(c.jittered(now.Add(doubled(lateGap, m.Failures-1, maxLateGap)), now))
		}
		c.log.Warn("a gateway does not say whether a payin that has ended was paid", "payment", p.Payment, "gateway", p.Gateway, "error", err)
	}
	for more && !now.Before(due) { // those that were missed meanwhile are answered, too
		m.Asked, m.Failures = m.Asked+1, 0
		due, more = m.next(&p, spec)
	}
	if p, err = c.ledger.Payment(ctx, m.Merchant, j.Key); err != nil {
		return again(c.jittered(now.Add(firstFailureGap), now))
	}
	if due, more = m.next(&p, spec); !more {
		return work.Finish()
	}
	return again(due)
}

// askLate asks the company of a payin that has ended for its payments, and reports those that were made.
func (c *Checkouts) askLate(ctx context.Context, p wallet.Payment) error {
	app, err := c.apps.Merchant(ctx, p.Merchant)
	if err != nil {
		return err
	}
	return c.collect(ctx, &app, p, false)
}
