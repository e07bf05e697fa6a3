package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
)

// PayoutJobs is the kind of the jobs of a gateway's payouts. A kind of its own for each gateway keeps a slow one from
// holding up the rest.
func PayoutJobs(gateway string) string { return "payout:" + gateway }

// BatchJobs is the kind of the jobs of a gateway's payouts that belong to batches: somebody waits for the answer to a payout by itself,
// which must not stand behind a hundred thousand others.
func BatchJobs(gateway string) string { return "payout-batch:" + gateway }

// Opener opens sealed personal data; see eventstore/vault.
type Opener interface {
	UnsealString(ctx context.Context, id uuid.UUID, sealed string) (string, error)
}

// PendingPayments finds the payments that still wait for something; a view or the log itself answers.
type PendingPayments interface {
	// PendingPayments returns up to limit pending payments of the kind whose ids sort behind after, in order of id.
	PendingPayments(ctx context.Context, kind wallet.Kind, after string, limit int) ([]PendingPayment, error)
}

// PendingPayment is one of them.
type PendingPayment struct {
	Merchant  string
	ID        string
	Gateway   string    // "" when it was not submitted yet
	Batch     string    // of a payout; "": a payout by itself
	ExpiresAt time.Time // of a payin
}

// Route is a gateway with the policy for it.
type Route struct {
	Payouts Payouts
	Policy  Policy
}

// Options of a Dispatcher, of Expiry and of Inbound. Zero values mean the defaults.
type Options struct {
	Clock func() time.Time // default time.Now
	Count Counter          // default: nothing is counted
	Log   *slog.Logger     // default slog.Default()
	Lease time.Duration    // see work.Options; default as there
	// Jitter is by how much a wait is lengthened, up to limit, so that what failed together does not come back together; default: random.
	Jitter func(limit time.Duration) time.Duration
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Jitter == nil {
		o.Jitter = func(limit time.Duration) time.Duration { return rand.N(limit + 1) }
	}
	return o
}

// Dispatcher brings payouts to their gateways and what became of them into the ledger; doc.go has its states.
type Dispatcher struct {
	reporter
	jobs   *work.Store
	opener Opener
	first  string // gateway of new payouts
	routes map[string]Route
	lease  time.Duration
	hold   *hold
}

// NewDispatcher makes a dispatcher. New payouts go to the first of the routes; the others answer for what was sent to them.
func NewDispatcher(l Ledger, jobs *work.Store, opener Opener, routes []Route, o Options) (*Dispatcher, error) {
	o = o.withDefaults()
	d := &Dispatcher{
		reporter: reporter{ledger: l, clock: o.Clock, jitter: o.Jitter, count: o.Count, log: o.Log.With("part", "dispatch")},
		jobs:     jobs, opener: opener, routes: map[string]Route{}, lease: o.Lease, hold: newHold(),
	}
	for _, r := range routes {
		name := r.Payouts.Name()
		if err := r.Policy.Check(); err != nil {
			return nil, fmt.Errorf("gateway %s: %w", name, err)
		}
		if _, twice := d.routes[name]; twice {
			return nil, fmt.Errorf("gateway %s is given twice", name)
		}
		if d.first == "" {
			d.first = name
		}
		d.routes[name] = r
	}
	if d.first == "" {
		return nil, fmt.Errorf("a dispatcher needs a gateway")
	}
	return d, nil
}

// memory is the payload of a payout's job.
type memory struct {
	Merchant string `json:"merchant"`
	Seen     Seen   `json:"seen,omitzero"`
	Failures int    `json:"failures,omitempty"` // of ours, in a row: the store was away, the vault was
}

func (m memory) bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("gateway: the memory of a job cannot be encoded: " + err.Error()) // strings, times and numbers always can
	}
	return b
}

// Types are the types of record that Handle is for.
func (*Dispatcher) Types() []string {
	return []string{"payout.initiated", "payout.succeeded", "payout.failed", "payout.refunded", "payout.anomaly", "payout.paid_after_refund"}
}

// Handle takes note of a record of the log: a new payout becomes a job that is due at once, a settled one needs none any
// more. Records of other types are ignored. It may be called with the same record any number of times, and for several payouts
// at a time. An error is the store's, or (Permanent) a record that cannot be read.
func (d *Dispatcher) Handle(ctx context.Context, r eventstore.Record) error {
	switch r.Type {
	case "payout.initiated":
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return unreadable{fmt.Errorf("record %s: %w", r.Position(), err)}
		}
		made, ok := e.(*wallet.PayoutInitiated)
		if !ok {
			return unreadable{fmt.Errorf("record %s is a %T", r.Position(), e)}
		}
		return d.jobs.Put(ctx, d.job(PendingPayment{Merchant: made.Merchant, ID: made.Payment, Gateway: d.first, Batch: made.Batch}))
	case "payout.anomaly", "payout.paid_after_refund":
		d.count.count(d.gatewayOf(&r), CountAnomaly)
		d.log.Warn("a gateway contradicts what is known of a payout: somebody has to look at it",
			"payment", r.Subject, "gateway", d.gatewayOf(&r), "event", r.Type, "position", r.Position().String())
	case "payout.succeeded", "payout.failed", "payout.refunded":
		for _, name := range slices.Sorted(maps.Keys(d.routes)) {
			for _, kind := range []string{PayoutJobs(name), BatchJobs(name)} {
				if err := forget(ctx, d.jobs, kind, r.Subject, d.clock()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *Dispatcher) job(p PendingPayment) work.Job {
	gateway := p.Gateway
	if _, known := d.routes[gateway]; !known {
		gateway = d.first
	}
	kind := PayoutJobs(gateway)
	if p.Batch != "" {
		kind = BatchJobs(gateway)
	}
	return work.Job{Kind: kind, Key: p.ID, Due: d.clock(), Payload: memory{Merchant: p.Merchant}.bytes()}
}

// gatewayOf is the gateway that an anomaly is about; the first one when the record does not tell.
func (d *Dispatcher) gatewayOf(r *eventstore.Record) string {
	var data struct {
		Gateway string `json:"gateway"`
	}
	if json.Unmarshal(r.Data, &data) != nil || data.Gateway == "" {
		return d.first // a label of a counter is not worth an error
	}
	return data.Gateway
}

// Recover puts the job of every pending payout that has none. Call it at the start, and whenever work storage was lost.
func (d *Dispatcher) Recover(ctx context.Context, pending PendingPayments) error {
	return recoverJobs(ctx, d.jobs, pending, wallet.KindPayout, d.job)
}

// Hold keeps payouts from being dispatched, for benchmarks and maintenance: jobs are kept, no handling begins any more, and those
// that have begun end as they would. Resume undoes it.
func (d *Dispatcher) Hold() { d.hold.set(true) }

// Resume undoes Hold.
func (d *Dispatcher) Resume() { d.hold.set(false) }

// Run dispatches until ctx is done, waits for the calls in flight (bounded, see work.Run), and returns nil.
func (d *Dispatcher) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2*len(d.routes))
	for name, route := range d.routes {
		go func() { ended <- d.runGateway(ctx, PayoutJobs(name), route, route.Policy.Concurrency) }()
		go func() { ended <- d.runGateway(ctx, BatchJobs(name), route, route.Policy.batchConcurrency()) }()
	}
	var errs []error
	for range cap(ended) {
		if err := <-ended; err != nil {
			errs = append(errs, err)
			cancel() // half of it is not a dispatcher
		}
	}
	return errors.Join(errs...)
}

func (d *Dispatcher) runGateway(ctx context.Context, kind string, route Route, concurrency int) error {
	options := work.Options{
		Concurrency: concurrency, Lease: d.lease, Grace: grace(route.Policy.SendTimeout),
		Clock: d.clock, Log: d.log,
	}
	for ctx.Err() == nil {
		open, stop := d.hold.open(ctx)
		err := work.Run(open, d.jobs, kind, options, d.dispatch)
		stop()
		if err != nil {
			return fmt.Errorf("dispatching %s: %w", kind, err)
		}
	}
	return nil
}

// unreadable is the error of a record that no repetition makes readable.
type unreadable struct{ error }

// Permanent tells the bus to take the record out of the way.
func (unreadable) Permanent() bool { return true }

func (u unreadable) Unwrap() error { return u.error }

// forget removes the job of a settled payment, unless somebody is at it just now, who will see for himself.
func forget(ctx context.Context, jobs *work.Store, kind, key string, now time.Time) error {
	j, found, err := jobs.Find(ctx, kind, key)
	if err != nil || !found || j.LeaseUntil.After(now) {
		return err
	}
	return jobs.Remove(ctx, kind, key)
}

// recoverAtOnce is the page of recoverJobs.
const recoverAtOnce = 500

func recoverJobs(ctx context.Context, jobs *work.Store, pending PendingPayments, kind wallet.Kind, job func(PendingPayment) work.Job) error {
	after := ""
	for {
		page, err := pending.PendingPayments(ctx, kind, after, recoverAtOnce)
		if err != nil {
			return fmt.Errorf("finding pending payments (%s): %w", kind, err)
		}
		if len(page) == 0 {
			return nil
		}
		list := make([]work.Job, len(page))
		for i, p := range page {
			list[i] = job(p)
		}
		if err := jobs.PutAll(ctx, list); err != nil {
			return err
		}
		after = page[len(page)-1].ID
	}
}

// jittered puts a time off by up to a quarter of the wait.
func (r *reporter) jittered(at, now time.Time) time.Time {
	wait := at.Sub(now)
	if wait <= 0 {
		return at
	}
	return at.Add(r.jitter(wait / 4))
}

// hold is a gate: shut while payouts are held back.
type hold struct {
	mu     sync.Mutex
	shut   bool
	change chan struct{} // closed and replaced when shut changes
}

func newHold() *hold { return &hold{change: make(chan struct{})} }

func (h *hold) set(shut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut == shut {
		return
	}
	h.shut = shut
	close(h.change)
	h.change = make(chan struct{})
}

func (h *hold) isShut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.shut
}

// open waits until the gate is open, or ctx ends, and returns a context that ends when it shuts. stop must be called.
func (h *hold) open(ctx context.Context) (opened context.Context, stop func()) {
	for {
		h.mu.Lock()
		shut, change := h.shut, h.change
		h.mu.Unlock()
		if shut {
			select {
			case <-change:
				continue
			case <-ctx.Done():
			}
		}
		opened, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			select {
			case <-change:
				cancel()
			case <-opened.Done():
			}
		}()
		return opened, func() { cancel(); <-ended }
	}
}
