package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// Bounds of one handling of a job.
const (
	maxSteps        = 6 // then the job is put back, so that others have their turn
	firstFailureGap = 50 * time.Millisecond
	maxFailureGap   = 30 * time.Second
)

// errRaced means that somebody else took the step first: what is known is stale.
var errRaced = errors.New("the payout has moved on")

// dispatch handles the job of one payout: it takes steps until there is one to wait for.
func (d *Dispatcher) dispatch(ctx context.Context, j work.Job) work.Outcome {
	if d.hold.isShut() {
		return work.Return()
	}
	var m memory
	if err := json.Unmarshal(j.Payload, &m); err != nil || m.Merchant == "" {
		d.log.Error("the job of a payout is unreadable", "payment", j.Key, "error", err)
		return work.Again(d.clock().Add(time.Hour), nil)
	}
	var evidence Raw // of the last inquiry, if it was made just now
	for range maxSteps {
		p, err := d.ledger.Payment(ctx, m.Merchant, j.Key)
		if domain.CodeOf(err) == domain.NotFound {
			d.log.Error("the job of a payout that the log does not have", "payment", j.Key, "merchant", m.Merchant)
			return work.Finish()
		}
		if err != nil {
			return d.putOff(j, m, err)
		}
		route, policy, err := d.routeOf(p)
		if err != nil {
			return d.putOff(j, m, err)
		}
		now := d.clock()
		step := NextStep(p, m.Seen, now, policy)
		if step.Act == GiveUp && evidence.Body == nil {
			// It was seen before the process ended: the evidence for it has to be had again.
			m.Seen.Denied = time.Time{}
			step = NextStep(p, m.Seen, now, policy)
		}
		switch step.Act {
		case Done:
			return work.Finish()
		case Wait:
			m.Failures = 0
			return work.Again(d.jittered(step.At, now), m.bytes())
		case Submit:
			err = d.send(ctx, route, p, step.Attempt, &m)
		case Inquire:
			evidence, err = d.inquire(ctx, route, p, &m)
		case GiveUp:
			err = d.giveUp(ctx, p, evidence)
		}
		if err != nil {
			return d.putOff(j, m, err)
		}
	}
	return work.Again(d.clock(), m.bytes())
}

// putOff tries again after a failure of ours, with growing gaps.
func (d *Dispatcher) putOff(j work.Job, m memory, err error) work.Outcome {
	gap := doubled(firstFailureGap, m.Failures, maxFailureGap)
	m.Failures++
	if !errors.Is(err, errRaced) {
		d.log.Warn("a payout is put off", "payment", j.Key, "merchant", m.Merchant, "failures", m.Failures, "gap", gap, "error", err)
	}
	now := d.clock()
	return work.Again(d.jittered(now.Add(gap), now), m.bytes())
}

// routeOf is where a payout was sent, or will be: once it was submitted somewhere, only that gateway is asked.
func (d *Dispatcher) routeOf(p wallet.Payment) (Payouts, Policy, error) {
	name := p.Gateway
	if p.Attempts == 0 {
		name = d.first
	}
	r, ok := d.routes[name]
	if !ok {
		return nil, Policy{}, fmt.Errorf("gateway %q, where the payout was sent, is not configured", name)
	}
	return r.Payouts, r.Policy, nil
}

// send records the intent, then sends. Nobody else sends this attempt: the log takes it once.
func (d *Dispatcher) send(ctx context.Context, g Payouts, p wallet.Payment, attempt int, m *memory) error {
	t, err := d.transfer(ctx, p)
	if err != nil {
		return err
	}
	at := d.clock().Round(0) // by the wall clock: the monotonic one stands still while a machine sleeps
	_, err = d.ledger.Submit(ctx, wallet.SubmitPayout{
		Base: wallet.Base{Of: p.Of, At: eventstore.Micros(later(at, p.CreatedAt))}, Attempt: attempt, Gateway: g.Name(),
	}, eventstore.Origin{Actor: "system:dispatch"})
	if domain.CodeOf(err) == domain.Stale {
		return fmt.Errorf("%w: attempt %d: %w", errRaced, attempt, err)
	}
	if err != nil {
		// Recorded or not, it is not sent: if it was, the next look finds an attempt that has to be inquired about.
		return fmt.Errorf("recording attempt %d: %w", attempt, err)
	}
	timeout := d.routes[g.Name()].Policy.SendTimeout
	m.Seen = Seen{Attempt: attempt, At: d.clock()}
	if m.Seen.At.Sub(at) > timeout {
		d.log.Warn("an attempt is not sent: recording it took too long", "payment", p.Payment, "attempt", attempt)
		return nil
	}
	calling, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	d.count.count(g.Name(), CountSent)
	a, err := g.Send(calling, t)
	m.Seen.At = d.clock()
	if err == nil && a.State == NotFound {
		err = errors.New("a send was answered with not found")
	}
	return d.learn(ctx, g, p, a, err, func(s State) {
		if s == Pending {
			m.Seen.Last = Pending
		}
	})
}

// inquire asks what has become of the payout, and returns the evidence that the bank has no trace of it, if it said so.
func (d *Dispatcher) inquire(ctx context.Context, g Payouts, p wallet.Payment, m *memory) (Raw, error) {
	calling, cancel := context.WithTimeout(ctx, d.routes[g.Name()].Policy.InquiryTimeout)
	defer cancel()
	d.count.count(g.Name(), CountInquired)
	a, err := g.Inquire(calling, p.Payment)
	if m.Seen.Attempt != p.Attempts {
		m.Seen = Seen{Attempt: p.Attempts}
	}
	now := d.clock()
	var missing Raw
	err = d.learn(ctx, g, p, a, err, func(s State) {
		m.Seen = m.Seen.inquired(s, now)
		if s == NotFound {
			missing = a.Raw
			d.count.count(g.Name(), CountNotFound)
		}
	})
	return missing, err
}

// learn takes an answer in: a definite one is reported, what is no answer is remembered as "". The error is the ledger's.
func (d *Dispatcher) learn(ctx context.Context, g Payouts, p wallet.Payment, a Answer, err error, remember func(State)) error {
	if err == nil && !a.whole() {
		err = fmt.Errorf("an answer that is not whole: state %q, %d bytes of evidence", a.State, len(a.Body))
	}
	if err == nil && a.State != NotFound {
		if err = sameAmount(a.Amount, p); err != nil {
			d.count.count(g.Name(), CountAnomaly)
			d.log.Error("a gateway speaks of another amount than was sent: somebody has to look at it",
				"payment", p.Payment, "gateway", g.Name(), "state", string(a.State), "error", err)
		}
	}
	if err != nil {
		d.count.count(g.Name(), CountUnknown)
		d.log.Info("no answer from the gateway", "payment", p.Payment, "gateway", g.Name(), "attempts", p.Attempts, "error", err)
		remember("")
		return nil
	}
	if !a.State.Definite() {
		remember(a.State)
		return nil
	}
	remember("")
	if err := d.payout(ctx, p, g.Name(), "", a); err != nil {
		return fmt.Errorf("reporting %s: %w", a.State, err)
	}
	return nil
}

// giveUp reports a payout that the bank has no trace of; the last inquiry is the evidence.
func (d *Dispatcher) giveUp(ctx context.Context, p wallet.Payment, evidence Raw) error {
	err := d.payout(ctx, p, p.Gateway, "", Answer{State: Failed, Reason: wallet.FailureNotFound, Raw: evidence})
	if err != nil {
		return fmt.Errorf("giving up: %w", err)
	}
	d.count.count(p.Gateway, CountGivenUp)
	d.log.Warn("a payout was given up: the bank has no trace of it", "payment", p.Payment, "gateway", p.Gateway, "attempts", p.Attempts)
	return nil
}

// transfer opens the beneficiary.
func (d *Dispatcher) transfer(ctx context.Context, p wallet.Payment) (Transfer, error) {
	id, err := uuid.Parse(p.SealID)
	if err != nil {
		return Transfer{}, fmt.Errorf("the beneficiary of %s is sealed under %q: %w", p.Payment, p.SealID, err)
	}
	opened, err := d.opener.UnsealString(ctx, id, p.Sealed)
	if err != nil {
		return Transfer{}, fmt.Errorf("opening the beneficiary of %s: %w", p.Payment, err)
	}
	var b wallet.Beneficiary
	if err := json.Unmarshal([]byte(opened), &b); err != nil {
		return Transfer{}, fmt.Errorf("the beneficiary of %s is unreadable", p.Payment) // the error would quote it
	}
	return Transfer{
		Reference: p.Payment, Amount: p.Amount, AccountNo: b.AccountNo, IFSC: p.IFSC, Name: b.Name, Mobile: b.Mobile,
		BankName: p.BankName, TransferType: p.TransferType,
	}, nil
}
