package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
)

// Options of a Sender. Zero values mean the defaults.
type Options struct {
	Attempts    int            // in all; default 5
	Gap         time.Duration  // between two attempts; default 5 min
	Timeout     time.Duration  // of one attempt; default 10 s
	PerMerchant int            // attempts under way for one merchant; default 4
	Concurrency int            // attempts under way in all; default 64
	Poll        time.Duration  // longest time between two looks; default 1 s
	Allow       []netip.Prefix // ranges that may be called although they are private
	Resolver    Resolver       // default net.DefaultResolver
	Dial        Dialer         // default the system's, which looks at the address once more
	Roots       *x509.CertPool // certificate authorities; default the system's
	Clock       func() time.Time
	Logger      *slog.Logger // default slog.Default()
}

func (o Options) withDefaults() Options {
	number := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	duration := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	number(&o.Attempts, 5)
	number(&o.PerMerchant, 4)
	number(&o.Concurrency, 64)
	duration(&o.Gap, 5*time.Minute)
	duration(&o.Timeout, 10*time.Second)
	duration(&o.Poll, time.Second)
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Times around an attempt.
const (
	leaseMargin = 5 * time.Second       // beyond the timeout: how long a killed process blocks what it was sending
	unready     = 2 * time.Second       // until the next look at a delivery whose keys or merchant could not be read
	minAway     = 50 * time.Millisecond // between two tries of a store that is away
	maxAway     = 5 * time.Second       // the same, at most
)

// maxSlow bounds the merchants that are remembered as slow: those whose receiver last took more than half of the timeout. All of them together have half of the
// places, however many they are: a network that lets nothing through to a part of the merchants must not hold up the others. They take turns, so that
// one that is quick again is found out soon, whatever the others have due.
const maxSlow = 1000

// Sender makes the attempts.
type Sender struct {
	store     *Store
	merchants Merchants
	secrets   Secrets
	options   Options
	client    *client
}

// NewSender makes a sender of the deliveries in store. Run it.
func NewSender(store *Store, merchants Merchants, secrets Secrets, options Options) *Sender {
	o := options.withDefaults()
	c := newClient(o.Allow, o.Resolver, o.Roots, o.Timeout)
	if o.Dial != nil {
		c.connect = o.Dial
	}
	return &Sender{store: store, merchants: merchants, secrets: secrets, options: o, client: c}
}

// round is the state of one Run; its goroutine owns it.
type round struct {
	*Sender
	running sync.WaitGroup
	ended   chan ending
	active  map[string]bool // by delivery id
	busy    map[string]int  // by merchant
	slow    map[string]bool // by merchant; see maxSlow
	served  map[string]bool // those of slow that have had their turn: each has one before any has another
	failed  int             // failures of the store in a row
}

// ending is a delivery of which an attempt has ended.
type ending struct {
	Delivery
	took time.Duration // by the receiver; 0: it was not called
}

// Run makes the attempts that are due until ctx ends, then waits for those under way, which end within the timeout. It outlives
// a store that is away.
func (s *Sender) Run(ctx context.Context) {
	r := &round{Sender: s, ended: make(chan ending, s.options.Concurrency), active: map[string]bool{}, busy: map[string]int{}, slow: map[string]bool{}, served: map[string]bool{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(r.look(ctx))
		wake := s.store.wake
		if r.failed > 0 {
			wake = nil // a store that is away is not asked more often because there is more to do
		}
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-wake:
		case d := <-r.ended:
			r.forget(d)
		}
		r.gather(wake)
	}
	r.running.Wait()
	s.client.close()
}

// look starts what is due and returns after what time to look again.
func (r *round) look(ctx context.Context) time.Duration {
	for len(r.active) < r.options.Concurrency {
		started, err := r.start(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return 0
			}
			r.failed++
			if r.failed == 1 {
				r.options.Logger.Warn("the callbacks cannot be read; trying on", "error", err)
			}
			return min(minAway<<min(r.failed, 20), maxAway)
		}
		if r.failed > 0 {
			r.failed = 0
			r.options.Logger.Info("the callbacks can be read again")
		}
		if started == 0 {
			break
		}
	}
	return r.options.Poll
}

// start begins what is due of merchants that have attempts to spare, as far as there is room.
func (r *round) start(ctx context.Context) (started int, err error) {
	var full []string
	for m, n := range r.busy {
		if n >= r.options.PerMerchant {
			full = append(full, m)
		}
	}
	share, slow := max(1, r.options.Concurrency/2), 0
	for m := range r.slow {
		slow += r.busy[m]
	}
	for m := range r.slow {
		if (slow >= share || r.served[m]) && r.busy[m] < r.options.PerMerchant {
			full = append(full, m)
		}
	}
	slices.Sort(full) // one statement for the same merchants
	// Those under way may come again, until their attempt has taken the lease.
	due, err := r.store.due(ctx, r.options.Clock(), r.options.Concurrency+len(r.active), full)
	if err != nil {
		return 0, err
	}
	turn := false // a slow one's
	for _, d := range due {
		if len(r.active) >= r.options.Concurrency {
			break
		}
		if r.active[d.ID] || r.busy[d.Merchant] >= r.options.PerMerchant || r.slow[d.Merchant] && (slow >= share || r.served[d.Merchant]) {
			continue
		}
		if r.slow[d.Merchant] {
			slow++
			turn, r.served[d.Merchant] = true, true
		}
		r.active[d.ID] = true
		r.busy[d.Merchant]++
		started++
		r.running.Go(func() {
			took := r.attempt(ctx, d)
			r.ended <- ending{d, took}
		})
	}
	if !turn && slow < share && len(r.served) > 0 { // all who have something due have had theirs
		clear(r.served)
		if started == 0 {
			return r.start(ctx)
		}
	}
	return started, nil
}

func (r *round) forget(d ending) {
	switch {
	case d.took == 0:
	case d.took < r.options.Timeout/2:
		delete(r.slow, d.Merchant)
		delete(r.served, d.Merchant)
	case len(r.slow) < maxSlow:
		r.slow[d.Merchant] = true
	}
	delete(r.active, d.ID)
	if r.busy[d.Merchant]--; r.busy[d.Merchant] == 0 {
		delete(r.busy, d.Merchant)
	}
}

// gather takes note of everything that has ended, or come, by now: one look does for all of it.
func (r *round) gather(wake <-chan struct{}) {
	for {
		select {
		case <-wake:
		case d := <-r.ended:
			r.forget(d)
		default:
			return
		}
	}
}

// attempt makes one attempt of a delivery that is due, and decides what becomes of it. It outlasts ctx, within the lease. It returns how long the receiver took.
func (s *Sender) attempt(stopping context.Context, d Delivery) time.Duration {
	now := s.options.Clock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stopping), s.options.Timeout+leaseMargin)
	defer cancel()
	logger := s.options.Logger.With("callback", d.ID, "merchant", d.Merchant, "transaction", d.Transaction)
	if d.Round >= s.options.Attempts {
		if err := s.store.giveUp(ctx, &d, now); err != nil {
			logger.Error("a callback could not be given up", "error", err)
			linger(stopping)
		}
		return 0
	}
	target, header, problem, err := s.prepare(ctx, &d, now)
	var begun Delivery
	var ok bool
	if err == nil {
		begun, ok, err = s.store.begin(ctx, d.ID, uuid.NewString(), now, now.Add(s.options.Timeout+leaseMargin))
	}
	if err != nil {
		logger.Warn("a callback could not be attempted yet", "error", err)
		if err := s.store.putOff(ctx, d.ID, now, now.Add(unready)); err != nil {
			logger.Warn("a callback could not be put off", "error", err)
			linger(stopping)
		}
		return 0
	}
	if !ok {
		return 0 // another process was faster
	}
	o := outcome{problem: problem}
	if problem == "" {
		o = s.client.post(ctx, target, header, begun.Body)
	}
	s.conclude(ctx, logger, &begun, &o)
	return o.latency
}

// linger keeps a delivery under way that the store cannot be told to put off: it is due, and would be begun again at once.
func linger(stopping context.Context) {
	select {
	case <-stopping.Done():
	case <-time.After(unready):
	}
}

// prepare gives what an attempt needs. problem says why none can succeed, as things are with this merchant; err that our own
// stores could not be read.
func (s *Sender) prepare(ctx context.Context, d *Delivery, now time.Time) (target string, header http.Header, problem string, err error) {
	m, err := s.merchants.Merchant(ctx, d.Merchant)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		return "", nil, "the merchant does not exist", nil
	case err != nil:
		return "", nil, "", err
	case m.CallbackURL == "":
		return "", nil, "the merchant has no callback URL", nil
	}
	keys, err := signingKeys(ctx, s.secrets, &m, now)
	if errors.Is(err, errNoKey) {
		return "", nil, err.Error(), nil
	}
	if err != nil {
		return "", nil, "", err
	}
	header, err = headers(d, keys, now)
	return m.CallbackURL, header, "", err
}

// conclude records the outcome, trying on while the store is away and the lease lasts.
func (s *Sender) conclude(ctx context.Context, logger *slog.Logger, d *Delivery, o *outcome) {
	now := s.options.Clock()
	state := Pending
	switch {
	case o.status == http.StatusOK:
		state = Delivered
	case d.Round >= s.options.Attempts:
		state = Failed
	}
	for gap := minAway; ; gap = min(2*gap, maxAway) {
		err := s.store.finish(ctx, d, o, state, now, now.Add(s.options.Gap))
		if err == nil {
			break
		}
		logger.Warn("the outcome of a callback could not be recorded; trying on", "error", err)
		select {
		case <-time.After(gap):
		case <-ctx.Done():
			return
		}
	}
	level := slog.LevelInfo
	if state == Failed {
		level = slog.LevelWarn
	}
	logger.Log(ctx, level, "callback attempted", "attempt", d.Attempts, "http_status", o.status, "problem", o.problem,
		"latency_ms", o.latency.Milliseconds(), "state", string(state))
}
