package gateway_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

var errDead = errors.New("the process is dead")

// clearOpener opens what was never sealed.
type clearOpener struct{}

func (clearOpener) UnsealString(_ context.Context, _ uuid.UUID, sealed string) (string, error) {
	return sealed, nil
}

// process is a running dispatcher and expiry, with connections of its own, that can be killed.
type process struct {
	w          *world
	dead       atomic.Bool
	db         *sql.DB
	jobs       *work.Store
	dispatcher *gateway.Dispatcher
	expiry     *gateway.Expiry
	cancel     context.CancelFunc
	ended      sync.WaitGroup
	crashed    chan struct{}
	once       sync.Once
	hook       func(point string, p *process) // may call kill
	sends      atomic.Int64
}

// start starts a process on the work file of this name. hook is called at the points of a payout's way.
func (w *world) start(file string, policy gateway.Policy, hook func(point string, p *process)) *process {
	w.t.Helper()
	p := w.prepare(file, policy, hook)
	p.run()
	return p
}

func (w *world) prepare(file string, policy gateway.Policy, hook func(point string, p *process)) *process {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, file)+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := migrations.Up(w.t.Context(), db, migrations.SQLite, migrations.Work); err != nil {
		w.t.Fatal(err)
	}
	if hook == nil {
		hook = func(string, *process) {}
	}
	p := &process{w: w, db: db, jobs: work.New(db, db), crashed: make(chan struct{}), hook: hook}
	client := w.client()
	p.dispatcher, err = gateway.NewDispatcher(mortalLedger{p}, p.jobs, clearOpener{},
		[]gateway.Route{{Payouts: mortalGateway{client, p}, Policy: policy}}, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	p.expiry = gateway.NewExpiry(mortalLedger{p}, p.jobs, []gateway.Payins{client},
		gateway.ExpiryPolicy{InquiryTimeout: policy.InquiryTimeout, Inquiries: 3, Gap: 20 * time.Millisecond}, w.options())
	w.t.Cleanup(p.stop)
	return p
}

func (p *process) run() {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.ended.Go(func() {
		if err := p.dispatcher.Run(ctx); err != nil {
			p.w.t.Error(err)
		}
	})
	p.ended.Go(func() {
		if err := p.expiry.Run(ctx); err != nil {
			p.w.t.Error(err)
		}
	})
	p.ended.Go(func() { p.feed(ctx) })
}

// feed is the bus: it gives each record of the types that are wanted, in order, until it is taken.
func (p *process) feed(ctx context.Context) {
	after := 0
	for ctx.Err() == nil {
		records, change := p.w.ledger.since(after)
		for _, r := range records {
			var err error
			if slices.Contains(p.dispatcher.Types(), r.Type) {
				err = p.dispatcher.Handle(ctx, r)
			}
			if slices.Contains(p.expiry.Types(), r.Type) {
				err = errors.Join(err, p.expiry.Handle(ctx, r))
			}
			if err != nil {
				if !p.dead.Load() && ctx.Err() == nil {
					p.w.t.Errorf("record %d: %v", r.Seq, err)
				}
				return
			}
			after++
		}
		select {
		case <-change:
		case <-ctx.Done():
		}
	}
}

// kill ends the process as SIGKILL would: nothing that it does from now on has an effect.
func (p *process) kill() {
	p.once.Do(func() {
		p.dead.Store(true)
		p.cancel()
		if err := p.db.Close(); err != nil {
			p.w.t.Error(err)
		}
		close(p.crashed)
	})
}

func (p *process) stop() {
	if p.cancel != nil {
		p.cancel()
	}
	p.ended.Wait()
	if !p.dead.Load() {
		if err := p.db.Close(); err != nil {
			p.w.t.Error(err)
		}
	}
}

// mortalLedger is the ledger as a process reaches it while it lives.
type mortalLedger struct{ p *process }

func (l mortalLedger) Payment(ctx context.Context, merchant, id string) (wallet.Payment, error) {
	if l.p.dead.Load() {
		return wallet.Payment{}, errDead
	}
	return l.p.w.ledger.Payment(ctx, merchant, id)
}

func (l mortalLedger) Record(ctx context.Context, p eventstore.Position) (eventstore.Record, error) {
	if l.p.dead.Load() {
		return eventstore.Record{}, errDead
	}
	return l.p.w.ledger.Record(ctx, p)
}

func (l mortalLedger) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	name := strings.TrimPrefix(fmt.Sprintf("%T", c), "wallet.")
	l.p.hook("before "+name, l.p)
	if l.p.dead.Load() {
		return wallet.Payment{}, errDead
	}
	pay, err := l.p.w.ledger.Submit(ctx, c, o)
	l.p.hook("after "+name, l.p)
	if l.p.dead.Load() {
		return wallet.Payment{}, errDead
	}
	return pay, err
}

// mortalGateway is the bank as a process reaches it while it lives.
type mortalGateway struct {
	gateway.Payouts
	p *process
}

func (g mortalGateway) Send(ctx context.Context, t gateway.Transfer) (gateway.Answer, error) {
	g.p.hook("before Send", g.p)
	if g.p.dead.Load() {
		return gateway.Answer{}, errDead
	}
	g.p.sends.Add(1)
	a, err := g.Payouts.Send(ctx, t)
	g.p.hook("after Send", g.p)
	if g.p.dead.Load() {
		return gateway.Answer{}, errDead
	}
	return a, err
}

func (g mortalGateway) Inquire(ctx context.Context, reference string) (gateway.Answer, error) {
	g.p.hook("before Inquire", g.p)
	if g.p.dead.Load() {
		return gateway.Answer{}, errDead
	}
	return g.Payouts.Inquire(ctx, reference)
}

// shortPolicy is SandboxPolicy, faster.
func shortPolicy() gateway.Policy {
	return gateway.Policy{
		SendTimeout: 400 * time.Millisecond, InquiryTimeout: 900 * time.Millisecond,
		FirstInquiry: 20 * time.Millisecond, MaxInquiryGap: 100 * time.Millisecond,
		ResendGap: 30 * time.Millisecond, MaxSends: 5, QuietWindow: 500 * time.Millisecond, Concurrency: 8,
	}
}
