package simulation

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/projections"
)

// process is a server without its HTTP front: everything in it but the simulated outside is the product's.
type process struct {
	world *world
	name  string

	dead, paused bool      // guarded by schedule.mu
	wake         time.Time // when a paused one goes on; the world's goroutine owns it

	ledger  *ledger.Ledger
	inbound http.Handler
	db      *sql.DB
	views   *projections.Views // nil: there are none in this world
	viewsAt *viewsDB
	viewsDB *sql.DB
	rebuild func() // builds the views again, beside what serves
	stop    context.CancelFunc
	batches func(part, ids string) *batches.Service // where there are batches
	running sync.WaitGroup
	ended   chan struct{} // closed when nothing of it runs any more
}

// poll is how often a process looks for what others have appended.
const poll = 700 * time.Millisecond

// start starts a process, as the wiring of cmd/ledger does.
func (w *world) start() (*process, error) {
	w.processes++
	p := &process{world: w, name: fmt.Sprintf("p%d", w.processes), ended: make(chan struct{})}
	logger := slog.New(slog.DiscardHandler)
	if w.verbose {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", p.name)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	grown := tail.New(p.store("tail"), w.profile.partitions, poll, logger)
	var err error
	p.ledger, err = ledger.Open(ctx, p.store("ledger"), sealer{}, grown, ledger.Options{
		Queue: w.profile.queue, BatchMax: w.profile.batch, SnapshotEvery: w.profile.snapshots, Clock: w.now, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	p.db = sql.OpenDB(link{p})
	jobs := work.New(p.db, p.db)
	o := gateway.Options{Clock: w.now, Log: logger, Lease: 3 * time.Second, Jitter: func(limit time.Duration) time.Duration {
		h := fnv.New64a()
		fmt.Fprint(h, w.seed, limit)
		return time.Duration(h.Sum64() % uint64(limit+1))
	}}
	dispatch, err := gateway.NewDispatcher(w.plant.ledger(p.port("dispatch")), jobs, sealer{}, []gateway.Route{{Payouts: w.plant.bank(window{p}), Policy: policy()}}, o)
	if err != nil {
		return nil, err
	}
	expiry := gateway.NewExpiry(p.port("expiry"), jobs, []gateway.Payins{window{p}}, gateway.ExpiryPolicy{InquiryTimeout: 2 * time.Second, Gap: time.Second}, o)
	refunds, err := gateway.NewRefunder(p.port("refunds"), jobs, []gateway.RefundRoute{
		{Gateway: bankName, Refunds: window{p}, Policy: gateway.SandboxRefundPolicy()},
	}, o)
	if err != nil {
		return nil, err
	}
	if err := p.openViews(ctx, grown, logger); err != nil {
		return nil, err
	}
	p.inbound = w.plant.inbound(gateway.NewInbound(w.plant.ledger(p.port("inbound")), w.index, []gateway.Callbacks{window{p}}, o))
	run := func(f func(context.Context) error) {
		p.running.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				w.wrong("process %s: a worker ended: %v", p.name, err)
			}
		})
	}
	p.running.Go(func() { grown.Run(ctx) })
	run(dispatch.Run)
	run(expiry.Run)
	run(refunds.Run)
	for _, c := range append(w.extras.join(ctx, p, jobs, logger, run), []consumer{
		{"dispatch", "payout", w.plant.handler(dispatch.Handle), dispatch.Types()},
		{"expiry", "payin", expiry.Handle, expiry.Types()},
		{"refunds", "refund", refunds.Handle, refunds.Types()},
		{"refunds", "suspense", refunds.Handle, refunds.Types()},
	}...) {
		run(func(ctx context.Context) error { return p.consume(ctx, c, grown, jobs, logger) })
	}
	if p.views != nil {
		run(p.views.Run)
	}
	run(func(ctx context.Context) error { return p.recover(ctx, dispatch, expiry, refunds) })
	go func() {
		<-ctx.Done()
		p.running.Wait()
		if err := p.ledger.Close(context.Background()); err != nil {
			w.wrong("process %s: %v", p.name, err)
		}
		if err := p.db.Close(); err != nil {
			w.wrong("process %s: %v", p.name, err)
		}
		if err := p.closeViews(); err != nil {
			w.wrong("process %s: %v", p.name, err)
		}
		close(p.ended)
	}()
	w.alive = append(w.alive, p)
	return p, nil
}

// policy is that of the sandbox, with less to wait for.
func policy() gateway.Policy {
	p := gateway.SandboxPolicy()
	p.Concurrency = 4
	return p
}

func (p *process) store(part string) *handle {
	return &handle{Store: p.world.log, world: p.world, of: p, part: part}
}

func (p *process) port(part string) *port { return &port{Ledger: p.ledger, of: p, part: part} }

// consumer is what the bus carries records to.
type consumer struct {
	group, topic string
	handle       bus.Handler
	types        []string
}

// consume gives the records of a topic to a consumer, several at a time. That a record is handed over, and that it is acknowledged, are
// steps between which a process can die.
func (p *process) consume(ctx context.Context, c consumer, grown *tail.Tail, jobs *work.Store, logger *slog.Logger) error {
	name := bus.Consumer(c.group, c.topic)
	b, err := bus.New(ctx, p.store(name), grown, jobs, bus.Options{Window: 3, Logger: logger})
	if err != nil {
		return err
	}
	subscriber := b.Subscriber(c.group, c.types...)
	messages, err := subscriber.Subscribe(ctx, c.topic)
	if err != nil {
		return err
	}
	var handling sync.WaitGroup
	for m := range messages {
		handling.Go(func() { p.take(ctx, name, c.handle, m) })
	}
	handling.Wait()
	return subscriber.Close()
}

func (p *process) take(ctx context.Context, name string, h bus.Handler, m *message.Message) {
	w := p.world
	record, err := bus.RecordOf(m)
	if err != nil {
		w.wrong("a message of the bus: %v", err)
		return
	}
	if v := w.park(m.Context(), p, "handle", name+" "+record.Position().String(), false); !v.answered() {
		m.Nack()
		return
	}
	err = h(m.Context(), record)
	var says interface{ Permanent() bool }
	if errorsAs(err, &says) && says.Permanent() {
		w.wrong("%s cannot handle record %s: %v", name, record.Position(), err)
	}
	if err != nil {
		m.Nack()
		return
	}
	if v := w.park(m.Context(), p, "ack", name+" "+record.Position().String(), false); v.answered() {
		m.Ack()
	}
}

// recover makes the jobs again that are missing, as a server does at its start.
func (p *process) recover(ctx context.Context, d *gateway.Dispatcher, e *gateway.Expiry, r *gateway.Refunder) error {
	pending := pendings{p}
	for ctx.Err() == nil {
		err := e.Recover(ctx, pending)
		if err == nil {
			err = r.Recover(ctx, pending)
		}
		if err == nil {
			err = d.Recover(ctx, pending)
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

// pendings finds what waits, where the product asks a view.
type pendings struct{ of *process }

// PendingPayments lists pending payments.
func (l pendings) PendingPayments(ctx context.Context, kind wallet.Kind, after string, limit int) ([]gateway.PendingPayment, error) {
	if v := l.of.world.park(ctx, l.of, "pending", string(kind)+after, false); !v.answered() {
		return nil, v.err(ctx)
	}
	return l.of.world.index.pending(kind, after, limit), nil
}

// Refunding lists payins with refunds on their way.
func (l pendings) Refunding(ctx context.Context, after string, limit int) ([]wallet.Payment, error) {
	if v := l.of.world.park(ctx, l.of, "pending", "refunds"+after, false); !v.answered() {
		return nil, v.err(ctx)
	}
	var out []wallet.Payment
	for _, of := range l.of.world.index.refunding(after, limit) {
		p, err := l.of.ledger.Payment(ctx, of.Merchant, of.Payment)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// port is the ledger as one part of a process sees it.
type port struct {
	*ledger.Ledger
	of   *process
	part string
}

// labels carry, in a context, which callback or client a call belongs to.
type labels struct{}

func label(ctx context.Context) string {
	s, _ := ctx.Value(labels{}).(string)
	return s
}

// Submit carries a command out. Its id, and the id of what it may make, are drawn.
func (p *port) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	payment, _, err := p.submit(ctx, c, o)
	return payment, err
}

func (p *port) submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, ledger.WalletResult, error) {
	v := p.of.world.park(ctx, p.of, "submit", fmt.Sprintf("%s %s %T %s", p.part, label(ctx), c, c.Target().Payment), false)
	if v.dead {
		return wallet.Payment{}, ledger.WalletResult{}, errDead
	}
	if o.Command == uuid.Nil {
		o.Command = v.uuid()
	}
	if r, is := c.(wallet.ReportPayment); is && r.Suspense != "" {
		r.Suspense = v.id("sus_")
		c = r
	}
	res, err := p.Ledger.Submit(ctx, c, o)
	return res.Payment, res, err
}

// Payment reads a payment.
func (p *port) Payment(ctx context.Context, merchant, id string) (wallet.Payment, error) {
	if v := p.of.world.park(ctx, p.of, "payment", p.part+" "+label(ctx)+" "+id, false); !v.answered() {
		return wallet.Payment{}, v.err(ctx)
	}
	return p.Ledger.Payment(ctx, merchant, id)
}

// sealer seals nothing: what the vault does is tested by itself, and its nonces are random.
type sealer struct{}

// Seal returns a copy.
func (sealer) Seal(_ context.Context, owner string, id uuid.UUID, plain []byte) ([]byte, error) {
	return append([]byte(owner+id.String()+" "), plain...), nil
}

// UnsealString returns what it is given.
func (sealer) UnsealString(_ context.Context, _ uuid.UUID, sealed string) (string, error) {
	return sealed, nil
}

// Commit returns the text.
func (sealer) Commit(_ context.Context, _ string, _ uuid.UUID, text string) (string, error) {
	return text, nil
}

// Fingerprint prints without a key.
func (sealer) Fingerprint(_ context.Context, owner, text string) (string, error) {
	h := sha256.Sum256([]byte(owner + " " + text))
	return hex.EncodeToString(h[:]), nil
}
