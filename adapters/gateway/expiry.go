package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// ExpiryJobs is the kind of the jobs that end payins whose time is over.
const ExpiryJobs = "payin.expiry"

// ExpiryJobsOf is the kind of those that ask a gateway: see Expiry.AskOrders.
func ExpiryJobsOf(gateway string) string { return ExpiryJobs + ":" + gateway }

// ExpiryPolicy says how a payin is ended.
type ExpiryPolicy struct {
	InquiryTimeout time.Duration // of one question to the gateway; default 10 s
	Inquiries      int           // questions without an answer before the payin expires anyway; default 3
	Gap            time.Duration // between them; default 5 s
	Concurrency    int           // of each kind of jobs; default 8
}

func (p ExpiryPolicy) withDefaults() ExpiryPolicy {
	if p.InquiryTimeout <= 0 {
		p.InquiryTimeout = 10 * time.Second
	}
	if p.Inquiries <= 0 {
		p.Inquiries = 3
	}
	if p.Gap <= 0 {
		p.Gap = 5 * time.Second
	}
	if p.Concurrency <= 0 {
		p.Concurrency = 8
	}
	return p
}

// Expiry ends payins that nobody paid in time. The gateway is asked first, since a callback may be lost; a payment that
// turns up later still counts, as a late one.
type Expiry struct {
	reporter
	jobs     *work.Store
	gateways map[string]Payins
	orders   Orders
	apart    []string // gateways that have workers of their own
	policy   ExpiryPolicy
	lease    time.Duration
}

// Orders knows what customers have paid of payins that are paid at a checkout.
type Orders interface {
	// Collect takes what the customer of a payin that has its order has authorised, and returns the order's payments.
	Collect(ctx context.Context, p wallet.Payment) (Payments, error)
}

// AskOrders has payins that are paid at a checkout asked about there. Call it before Run. The companies that are named, and then each bank too, are asked by workers of
// their own: one that hangs holds up nobody else's payins. A job moves to them when its payin's time is over, since the gateway may not have been chosen before.
func (e *Expiry) AskOrders(o Orders, companies ...string) {
	e.orders = o
	if e.apart = companies; len(companies) > 0 {
		e.apart = slices.Concat(companies, slices.Sorted(maps.Keys(e.gateways)))
	}
}

// Kinds are the kinds of its jobs.
func (e *Expiry) Kinds() []string {
	kinds := []string{ExpiryJobs}
	for _, gateway := range e.apart {
		kinds = append(kinds, ExpiryJobsOf(gateway))
	}
	return kinds
}

// place is the kind of the job of a payin whose time is over.
func (e *Expiry) place(p *wallet.Payment) string {
	asksNobody := atCheckout(p) && p.Checkout.Order == ""
	if asksNobody || !slices.Contains(e.apart, p.Gateway) {
		return ExpiryJobs
	}
	return ExpiryJobsOf(p.Gateway)
}

// NewExpiry makes it.
func NewExpiry(l Ledger, jobs *work.Store, gateways []Payins, policy ExpiryPolicy, o Options) *Expiry {
	o = o.withDefaults()
	e := &Expiry{
		reporter: reporter{ledger: l, clock: o.Clock, jitter: o.Jitter, count: o.Count, log: o.Log.With("part", "expiry")},
		jobs:     jobs, gateways: map[string]Payins{}, policy: policy.withDefaults(), lease: o.Lease,
	}
	for _, g := range gateways {
		e.gateways[g.Name()] = g
	}
	return e
}

// expiryMemory is the payload of a payin's job.
type expiryMemory struct {
	Merchant  string `json:"merchant"`
	Inquiries int    `json:"inquiries,omitempty"` // without an answer
	Failures  int    `json:"failures,omitempty"`
}

func (m expiryMemory) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("gateway: the memory of a job cannot be encoded: " + err.Error()) // strings and numbers always can
	}
	return b
}

// Types are the types of record that Handle is for.
func (*Expiry) Types() []string {
	return []string{"payin.created", "payin.succeeded", "payin.failed", "payin.expired"}
}

// Handle takes note of a record of the log, as Dispatcher.Handle does.
func (e *Expiry) Handle(ctx context.Context, r eventstore.Record) error {
	switch r.Type {
	case "payin.created":
		event, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return unreadable{fmt.Errorf("record %s: %w", r.Position(), err)}
		}
		created, ok := event.(*wallet.PayinCreated)
		if !ok {
			return unreadable{fmt.Errorf("record %s: %s is a %T", r.Position(), r.Type, event)}
		}
		return e.jobs.Put(ctx, expiryJob(created.Merchant, created.Payment, created.ExpiresAt))
	case "payin.failed":
		event, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return unreadable{fmt.Errorf("record %s: %w", r.Position(), err)}
		}
		if failed, ok := event.(*wallet.PayinFailed); ok && e.orders != nil && e.gateways[failed.Gateway] == nil {
			return nil // its customer may try again at the same checkout: the job asks about that, see retried
		}
		return forget(ctx, e.jobs, ExpiryJobs, r.Subject, e.clock())
	case "payin.succeeded", "payin.expired":
		return forget(ctx, e.jobs, ExpiryJobs, r.Subject, e.clock())
	}
	return nil
}

// retried reports whether the customer of a payin that has failed can have paid it with another try: the page of its order stays open.
func (e *Expiry) retried(p *wallet.Payment) bool {
	return e.orders != nil && p.Status == wallet.Failed && p.Checkout.Order != ""
}

func expiryJob(merchant, id string, due time.Time) work.Job {
	return work.Job{Kind: ExpiryJobs, Key: id, Due: due, Payload: expiryMemory{Merchant: merchant}.bytes()}
}

// Recover puts the job of every pending payin that has none.
func (e *Expiry) Recover(ctx context.Context, pending PendingPayments) error {
	return recoverJobs(ctx, e.jobs, pending, wallet.KindPayin, func(p PendingPayment) work.Job {
		due := p.ExpiresAt
		if due.IsZero() {
			due = e.clock() // the handler reads the payin, and waits
		}
		return expiryJob(p.Merchant, p.ID, due)
	})
}

// Run ends payins until ctx is done; then it waits for what it began and returns nil.
func (e *Expiry) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kinds := e.Kinds()
	ended := make(chan error, len(kinds))
	for _, kind := range kinds {
		go func() {
			ended <- work.Run(ctx, e.jobs, kind, work.Options{
				Concurrency: e.policy.Concurrency, Lease: e.lease, Grace: grace(e.policy.InquiryTimeout), Clock: e.clock, Log: e.log,
			}, e.expire)
		}()
	}
	var errs []error
	for range kinds {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel() // half of it ends no payins
		}
	}
	return errors.Join(errs...)
}

// maxGrace is the longest that a stop waits for a gateway. A call that is cut off then is one without an answer, as if the process had been
// killed: what has become of it is asked for after the next start.
const maxGrace = 12 * time.Second

// grace is how long a stop waits for a call.
func grace(timeout time.Duration) time.Duration { return min(timeout+5*time.Second, maxGrace) }

// expire handles the job of one payin.
func (e *Expiry) expire(ctx context.Context, j work.Job) work.Outcome {
	var m expiryMemory
	if err := json.Unmarshal(j.Payload, &m); err != nil || m.Merchant == "" {
		e.log.Error("the job of a payin is unreadable", "payment", j.Key, "error", err)
		return work.Again(e.clock().Add(time.Hour), nil)
	}
	p, err := e.ledger.Payment(ctx, m.Merchant, j.Key)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		e.log.Error("the job of a payin that the log does not have", "payment", j.Key, "merchant", m.Merchant)
		return work.Finish()
	case err != nil:
		return e.putOff(j, m, err)
	case p.Kind != wallet.KindPayin || p.Status != wallet.Pending && !e.retried(&p):
		return work.Finish()
	case e.clock().Before(p.ExpiresAt):
		return work.Again(p.ExpiresAt, nil)
	}
	if kind := e.place(&p); kind != j.Kind {
		if err := e.jobs.Put(ctx, work.Job{Kind: kind, Key: j.Key, Due: e.clock(), Payload: m.bytes()}); err != nil {
			return e.putOff(j, m, err)
		}
		return work.Finish()
	}
	if err := e.ask(ctx, p, j.Key); err != nil {
		if refusal(err) {
			e.log.Error("what the gateway knows of a payin cannot be booked", "payment", j.Key, "error", err)
		}
		if m.Inquiries++; m.Inquiries < e.policy.Inquiries {
			now := e.clock()
			return work.Again(e.jittered(now.Add(e.policy.Gap), now), m.bytes())
		}
		e.count.count(p.Gateway, CountExpiryUnknown)
		e.log.Warn("a payin expires though its gateway does not answer", "payment", j.Key, "gateway", p.Gateway, "error", err)
	}
	_, err = e.ledger.Submit(ctx, wallet.ExpirePayin{Base: wallet.Base{Of: p.Of, At: eventstore.Micros(e.clock())}},
		eventstore.Origin{Actor: "system:expiry"})
	if err != nil {
		return e.putOff(j, m, err)
	}
	return work.Finish()
}

func (e *Expiry) putOff(j work.Job, m expiryMemory, err error) work.Outcome {
	gap := doubled(firstFailureGap, m.Failures, maxFailureGap)
	m.Failures++
	e.log.Warn("the end of a payin is put off", "payment", j.Key, "failures", m.Failures, "gap", gap, "error", err)
	now := e.clock()
	return work.Again(e.jittered(now.Add(gap), now), m.bytes())
}

// ask asks the payin's gateway for payments, and reports them.
func (e *Expiry) ask(ctx context.Context, p wallet.Payment, id string) error {
	calling, cancel := context.WithTimeout(ctx, e.policy.InquiryTimeout)
	defer cancel()
	found, err := e.payments(calling, p)
	if err != nil {
		return err
	}
	var errs []error // one that cannot be booked does not hold up the others
	for _, pay := range definite(found, p.Status == wallet.Pending) {
		if err := e.payment(ctx, p, p.Gateway, "", pay, found.Raw); err != nil {
			errs = append(errs, fmt.Errorf("reporting payment %s of %s: %w", pay.PaymentID, id, err))
		}
	}
	return errors.Join(errs...)
}

// payments asks for what customers have paid. Of a payin at a checkout that has no order nobody has paid anything: a customer is sent to the
// gateway only when its order is in the log, also where an attempt is open that may have made one.
func (e *Expiry) payments(ctx context.Context, p wallet.Payment) (Payments, error) {
	if atCheckout(&p) {
		switch {
		case p.Checkout.Order == "":
			return Payments{}, nil
		case e.orders == nil:
			return Payments{}, fmt.Errorf("gateway %q of the payin is not configured", p.Gateway)
		}
		return e.orders.Collect(ctx, p)
	}
	g, ok := e.gateways[p.Gateway]
	if !ok {
		return Payments{}, fmt.Errorf("gateway %q of the payin is not configured", p.Gateway)
	}
	e.count.count(g.Name(), CountInquired)
	found, err := g.Payments(ctx, p.TxnRef)
	if err != nil {
		e.count.count(g.Name(), CountUnknown)
		return Payments{}, fmt.Errorf("asking for payments: %w", err)
	}
	return found, nil
}
