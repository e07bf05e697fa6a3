package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// RefundJobs is the kind of the jobs of a gateway's refunds: see PayoutJobs. "" is for gateways that are not configured.
func RefundJobs(gateway string) string { return "refund:" + gateway }

// RefundLedger is what refunds need of the ledger.
type RefundLedger interface {
	Ledger
	// Lookup finds the record that holds a dedupe key of the merchant's, as the log has it now; false when it is free.
	Lookup(ctx context.Context, merchantID, key string) (eventstore.Position, bool, error)
}

// PendingRefunds finds the payins that have a refund on its way; a view answers.
type PendingRefunds interface {
	// Refunding returns up to limit of them whose ids sort behind after, in order of id.
	Refunding(ctx context.Context, after string, limit int) ([]wallet.Payment, error)
}

// RefundRoute is a gateway that can refund.
type RefundRoute struct {
	Gateway string
	// Refunds makes refunds of payments that no gateway configuration has brought; nil when all of the gateway's payments come by accounts.
	Refunds Refunds
	Policy  RefundPolicy
}

// Refunder brings refunds of payins to the gateways that brought the payments, and what became of them into the ledger; doc.go has the states.
type Refunder struct {
	reporter
	finder   RefundLedger
	jobs     *work.Store
	accounts Accounts
	routes   map[string]RefundRoute
	lease    time.Duration
}

// NewRefunder makes it.
func NewRefunder(l RefundLedger, jobs *work.Store, routes []RefundRoute, o Options) (*Refunder, error) {
	o = o.withDefaults()
	f := &Refunder{
		reporter: reporter{ledger: l, clock: o.Clock, jitter: o.Jitter, count: o.Count, log: o.Log.With("part", "refunds")},
		finder:   l, jobs: jobs, routes: map[string]RefundRoute{}, lease: o.Lease,
	}
	for _, r := range routes {
		if _, twice := f.routes[r.Gateway]; twice || r.Gateway == "" {
			return nil, fmt.Errorf("refunds: gateway %q is given twice, or has no name", r.Gateway)
		}
		r.Policy = r.Policy.withDefaults()
		f.routes[r.Gateway] = r
	}
	f.routes[""] = RefundRoute{Policy: RefundPolicy{}.withDefaults()}
	return f, nil
}

// Use says who opens the accounts of apps, before Run: who does that takes what gateways say of refunds to the Refunder.
func (f *Refunder) Use(accounts Accounts) { f.accounts = accounts }

// refundMemory is the payload of a refund's job.
type refundMemory struct {
	Merchant string     `json:"merchant"`
	Payment  string     `json:"payment"`
	Seen     RefundSeen `json:"seen,omitzero"`
	Failures int        `json:"failures,omitempty"` // of ours, in a row
}

func (m refundMemory) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("gateway: the memory of a job cannot be encoded: " + err.Error()) // strings, times and numbers always can
	}
	return b
}

// Kinds are the kinds of its jobs.
func (f *Refunder) Kinds() []string {
	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(f.routes)) {
		kinds = append(kinds, RefundJobs(name))
	}
	return kinds
}

// Types are the types of record that Handle is for.
func (*Refunder) Types() []string {
	return []string{"refund.initiated", "suspense.refunded", "refund.succeeded", "refund.failed", "refund.paid_after_failure"}
}

// Handle takes note of a record of the log, as Dispatcher.Handle does.
func (f *Refunder) Handle(ctx context.Context, r eventstore.Record) error {
	event, err := wallet.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return unreadable{fmt.Errorf("record %s: %w", r.Position(), err)}
	}
	of := event.Header()
	switch e := event.(type) {
	case *wallet.RefundInitiated:
		return f.jobs.Put(ctx, f.job(of, e.Refund, e.Gateway))
	case *wallet.SuspenseRefunded:
		if e.Refund == "" { // it is made by hand
			return nil
		}
		return f.jobs.Put(ctx, f.job(of, e.Refund, e.Gateway))
	case *wallet.RefundSucceeded:
		return f.settled(ctx, e.Refund)
	case *wallet.RefundFailed:
		f.count.count(e.Gateway, CountRefundFailed)
		f.log.Warn("a gateway has not made a refund: what was held for it is given back, and a payment in suspense waits there again",
			"payment", of.Payment, "refund", e.Refund, "suspense", e.Suspense, "gateway", e.Gateway, "reason", e.Reason)
		return f.settled(ctx, e.Refund)
	case *wallet.RefundPaidAfterFailure:
		f.log.Error("a gateway has made a refund that it had refused: somebody has to look at it",
			"payment", of.Payment, "refund", e.Refund, "gateway", e.Gateway, "position", r.Position().String())
	}
	return nil
}

// settled forgets the job of a refund that needs none any more.
func (f *Refunder) settled(ctx context.Context, refund string) error {
	for _, kind := range f.Kinds() {
		if err := forget(ctx, f.jobs, kind, refund, f.clock()); err != nil {
			return err
		}
	}
	return nil
}

func (f *Refunder) job(of *wallet.Of, refund, gateway string) work.Job {
	if _, known := f.routes[gateway]; !known {
		gateway = ""
	}
	return work.Job{Kind: RefundJobs(gateway), Key: refund, Due: f.clock(), Payload: refundMemory{Merchant: of.Merchant, Payment: of.Payment}.bytes()}
}

// Recover puts the job of every refund on its way that has none. Call it at the start, and whenever work storage was lost.
func (f *Refunder) Recover(ctx context.Context, pending PendingRefunds) error {
	after := ""
	for {
		page, err := pending.Refunding(ctx, after, recoverAtOnce)
		if err != nil {
			return fmt.Errorf("finding refunds on their way: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		var list []work.Job
		for i := range page {
			for _, r := range page[i].Refunds {
				if r.Status == wallet.RefundPending {
					list = append(list, f.job(&page[i].Of, r.ID, r.Gateway))
				}
			}
		}
		if err := f.jobs.PutAll(ctx, list); err != nil {
			return err
		}
		after = page[len(page)-1].Of.Payment
	}
}

// Run makes refunds until ctx is done, waits for the calls in flight (bounded, see work.Run), and returns nil.
func (f *Refunder) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(f.routes))
	for name, route := range f.routes {
		go func() {
			err := work.Run(ctx, f.jobs, RefundJobs(name), work.Options{
				Concurrency: route.Policy.Concurrency, Lease: f.lease, Grace: grace(route.Policy.CallTimeout), Clock: f.clock, Log: f.log,
			}, f.serve)
			if err != nil {
				err = fmt.Errorf("refunds of %q: %w", name, err)
			}
			ended <- err
		}()
	}
	var errs []error
	for range cap(ended) {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel() // half of it does not refund
		}
	}
	return errors.Join(errs...)
}

// serve handles the job of one refund: it takes steps until there is one to wait for.
func (f *Refunder) serve(ctx context.Context, j work.Job) work.Outcome {
	var m refundMemory
	if err := json.Unmarshal(j.Payload, &m); err != nil || m.Merchant == "" || m.Payment == "" {
		f.log.Error("the job of a refund is unreadable", "refund", j.Key, "error", err)
		return work.Again(f.clock().Add(time.Hour), nil)
	}
	for range maxSteps {
		p, err := f.ledger.Payment(ctx, m.Merchant, m.Payment)
		r, there := p.Refund(j.Key)
		switch {
		case domain.CodeOf(err) == domain.NotFound, err == nil && !there:
			f.log.Error("the job of a refund that the log does not have", "refund", j.Key, "payment", m.Payment, "merchant", m.Merchant)
			return work.Finish()
		case err != nil:
			return f.putOff(j, m, err)
		}
		now := f.clock()
		step := NextRefundStep(r, m.Seen, now, f.policyOf(r.Gateway))
		switch step.Act {
		case Done:
			return work.Finish()
		case Wait:
			m.Failures = 0
			return work.Again(f.jittered(step.At, now), m.bytes())
		default: // to ask, or to inquire
		}
		call, err := f.open(ctx, &p, r, m.Seen.RefundID)
		if err == nil && step.Act == Submit {
			err = f.ask(ctx, call, step.Attempt, &m)
		} else if err == nil {
			err = f.inquire(ctx, call, &m)
		}
		if err != nil {
			return f.putOff(j, m, err)
		}
	}
	return work.Again(f.clock(), m.bytes())
}

// putOff tries again after a failure of ours, with growing gaps.
func (f *Refunder) putOff(j work.Job, m refundMemory, err error) work.Outcome {
	gap := doubled(firstFailureGap, m.Failures, maxFailureGap)
	m.Failures++
	if !errors.Is(err, errRaced) {
		f.log.Warn("a refund is put off", "refund", j.Key, "payment", m.Payment, "merchant", m.Merchant, "failures", m.Failures, "gap", gap, "error", err)
	}
	now := f.clock()
	return work.Again(f.jittered(now.Add(gap), now), m.bytes())
}

func (f *Refunder) policyOf(gateway string) RefundPolicy {
	route, known := f.routes[gateway]
	if !known {
		route = f.routes[""]
	}
	return route.Policy
}

// refundCall is a refund with the account through which it is made.
type refundCall struct {
	payin   wallet.Payment
	refund  wallet.Refund
	gateway Refunds
	account Account
	request Refund
	timeout time.Duration
}

// open finds where a refund is made: with the account of the payment's gateway configuration, or the gateway itself.
func (f *Refunder) open(ctx context.Context, p *wallet.Payment, r wallet.Refund, refundID string) (*refundCall, error) {
	call := &refundCall{payin: *p, refund: r, timeout: f.policyOf(r.Gateway).CallTimeout, request: Refund{
		Reference: r.ID, PaymentID: r.PaymentID, OrderID: p.Checkout.Order, Payin: p.Of.Payment, Amount: r.Amount, Total: p.Amount,
		Reason: r.Reason, RefundID: refundID,
	}}
	if r.Suspense != "" {
		call.request.Total = r.Amount
	}
	if r.Config == "" {
		route, known := f.routes[r.Gateway]
		if !known || route.Refunds == nil {
			return nil, fmt.Errorf("gateway %q, which has the payment, is not configured", r.Gateway)
		}
		call.gateway = route.Refunds
		return call, nil
	}
	if f.accounts == nil {
		return nil, fmt.Errorf("gateway %q, which has the payment, is not configured", r.Gateway)
	}
	opened, account, err := f.accounts.Account(ctx, p.Merchant, r.Config)
	if err != nil {
		return nil, fmt.Errorf("the account of gateway configuration %s: %w", r.Config, err)
	}
	if name := opened.Spec().Name; name != r.Gateway {
		return nil, fmt.Errorf("gateway configuration %s is of %s, and the payment is at %s", r.Config, name, r.Gateway)
	}
	call.gateway, call.account = opened, account
	return call, nil
}

// ask records the intent, then asks for the refund. The gateway keeps one per reference, so that asking twice is harmless.
func (f *Refunder) ask(ctx context.Context, c *refundCall, attempt int, m *refundMemory) error {
	if attempt <= wallet.MaxAttempts { // beyond, what is recorded already is intent enough
		at := later(f.clock().Round(0), c.refund.At)
		_, err := f.ledger.Submit(ctx, wallet.SubmitRefund{
			Base: wallet.Base{Of: c.payin.Of, At: eventstore.Micros(at)}, Refund: c.refund.ID, Attempt: attempt,
		}, eventstore.Origin{Actor: "system:refunds"})
		if domain.CodeOf(err) == domain.Stale {
			return fmt.Errorf("%w: attempt %d of refund %s: %w", errRaced, attempt, c.refund.ID, err)
		}
		if err != nil {
			return fmt.Errorf("recording attempt %d: %w", attempt, err)
		}
	}
	calling, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	f.count.count(c.refund.Gateway, CountSent)
	a, err := c.gateway.Refund(calling, c.account, c.request)
	if m.Seen.At = f.clock(); m.Seen.Last == RefundUnknown {
		m.Seen.Resends++
	}
	m.Seen.Last, m.Seen.Asked = "", 0
	if err == nil && a.State == RefundUnknown {
		err = errors.New("a request for a refund was answered with not known")
	}
	var declined *Declined
	if errors.As(err, &declined) {
		return f.declined(ctx, c, attempt, declined, m)
	}
	return f.learn(ctx, c, a, err, m)
}

// declined believes a refusal of the first request. That of a later one may be about the refund that an earlier one has made: then the gateway
// is asked about that.
func (f *Refunder) declined(ctx context.Context, c *refundCall, attempt int, d *Declined, m *refundMemory) error {
	refused := RefundAnswer{State: RefundFailed, Reason: d.Code, Raw: d.evidence(c.refund.ID)}
	if attempt == 1 {
		return f.learn(ctx, c, refused, nil, m)
	}
	calling, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	f.count.count(c.refund.Gateway, CountInquired)
	a, err := c.gateway.InquireRefund(calling, c.account, c.request)
	if err == nil && a.State == RefundUnknown {
		a = refused
	}
	return f.learn(ctx, c, a, err, m)
}

// evidence is a refusal as it is kept: the gateway's adapter gives its words, and not the message.
func (d *Declined) evidence(refund string) Raw {
	body, err := json.Marshal(map[string]string{"refund": refund, "declined": d.Code, "reason": d.Reason})
	if err != nil {
		panic("gateway: a refusal cannot be encoded: " + err.Error()) // strings always can
	}
	return Raw{Body: body, MediaType: "application/json"}
}

// inquire asks what has become of a refund.
func (f *Refunder) inquire(ctx context.Context, c *refundCall, m *refundMemory) error {
	calling, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	f.count.count(c.refund.Gateway, CountInquired)
	a, err := c.gateway.InquireRefund(calling, c.account, c.request)
	m.Seen.At = f.clock()
	m.Seen.Asked++
	return f.learn(ctx, c, a, err, m)
}

// learn takes an answer in: a definite one is reported, what is no answer leaves what is known. The error is the ledger's.
func (f *Refunder) learn(ctx context.Context, c *refundCall, a RefundAnswer, err error, m *refundMemory) error {
	if err == nil && len(a.Body) == 0 {
		err = errors.New("an answer without evidence")
	}
	if err == nil && a.State == RefundUnknown && m.Seen.RefundID != "" { // such as one of another account: asked for again there, it would be refused
		err = errors.New("a refund that the gateway has acknowledged is not known there any more")
	}
	if err != nil {
		f.count.count(c.refund.Gateway, CountUnknown)
		level := f.log.Info
		if errors.Is(err, ErrCredentials) {
			level = f.log.Error
		}
		level("no answer about a refund", "refund", c.refund.ID, "payment", c.payin.Of.Payment, "gateway", c.refund.Gateway, "config", c.refund.Config, "error", err)
		return nil
	}
	if a.RefundID != "" && len(a.RefundID) <= wallet.MaxName {
		m.Seen.RefundID = a.RefundID
	}
	switch a.State {
	case RefundDone, RefundFailed:
		return f.refund(ctx, c.payin, c.refund, "", a)
	case RefundPending, RefundUnknown:
		if a.State == RefundUnknown {
			f.count.count(c.refund.Gateway, CountNotFound)
		}
		m.Seen.Last = a.State
		return nil
	}
	f.log.Error("a gateway says of a refund what nobody knows", "refund", c.refund.ID, "gateway", c.refund.Gateway, "state", string(a.State))
	return nil
}

// refund reports a definite answer about a refund, with the message that had it asked for. It may have been reported before: then nothing happens.
func (r *reporter) refund(ctx context.Context, p wallet.Payment, of wallet.Refund, request string, a RefundAnswer, asked ...Raw) error {
	c := wallet.ReportRefund{
		Base:   wallet.Base{Of: p.Of, At: later(later(r.valueDate(p, a.At), p.UpdatedAt), of.At)}, // locked would be below zero before it began
		Refund: of.ID, Gateway: of.Gateway, Outcome: wallet.OutcomePaid, RefundID: a.RefundID, UTR: a.UTR, Message: digest(a.Body),
	}
	if a.State == RefundFailed {
		c.Outcome, c.Reason = wallet.OutcomeFailed, a.Reason
	}
	return r.submit(ctx, p, c, of.Gateway, request, append([]Raw{a.Raw}, asked...)...)
}

// refundNamed finds the refund of a payin that a message is about: by our reference, or the gateway's own.
func refundNamed(p *wallet.Payment, m *Message) (wallet.Refund, bool) {
	of, found := p.Refund(m.Reference)
	for i := range p.Refunds {
		if id := p.Refunds[i].RefundID; !found && id != "" && id == m.Refund.RefundID {
			of, found = p.Refunds[i], true
		}
	}
	return of, found
}

// refundSaid reports what a verified message says of a refund of the payin that goes through a gateway configuration, or through the gateway
// itself. found is false when it is about none that is known.
func (r *reporter) refundSaid(ctx context.Context, p wallet.Payment, gateway, config string, m Message) (found bool, err error) {
	of, found := refundNamed(&p, &m)
	switch {
	case !found || of.Config != config: // the account of one must not speak for that of another
		return false, nil
	case config == "" && of.Gateway != gateway:
		return true, domain.Errorf(domain.Stale, "refund %s is made by %s, not by %s", of.ID, of.Gateway, gateway)
	}
	if m.Amount != "" {
		about := p
		about.Amount = of.Amount
		if err := sameAmount(m.Amount, about); err != nil {
			return true, err
		}
	}
	a := *m.Refund
	if len(a.Body) == 0 {
		a.Raw = m.Raw
	}
	switch a.State {
	case RefundDone, RefundFailed:
		return true, r.refund(ctx, p, of, m.ID, a, m.asked()...)
	case RefundPending, RefundUnknown: // nothing to record
		return true, nil
	}
	return true, fmt.Errorf("%w: state of a refund", ErrMalformed)
}

// ReportRefund meets RefundReports.
func (f *Refunder) ReportRefund(ctx context.Context, merchantID, config string, m Message) (found bool, err error) {
	var keys []string
	if strings.HasPrefix(m.Reference, "rfd_") {
		keys = append(keys, wallet.RefundKey(m.Reference))
	}
	if m.OrderID != "" {
		keys = append(keys, wallet.OrderKey(merchantID, config, m.OrderID))
	}
	for _, key := range keys {
		at, taken, err := f.finder.Lookup(ctx, merchantID, key)
		if err != nil {
			return false, err
		}
		if !taken {
			continue
		}
		record, err := f.ledger.Record(ctx, at)
		if err != nil {
			return false, fmt.Errorf("reading what %s stands for: %w", key, err)
		}
		p, err := f.ledger.Payment(ctx, merchantID, record.Subject)
		if err != nil {
			return false, err
		}
		said, err := f.confirmed(ctx, &p, config, m)
		if err != nil {
			return true, err
		}
		if found, err := f.refundSaid(ctx, p, p.Gateway, config, said); found || err != nil {
			return found, err
		}
	}
	return false, nil
}
