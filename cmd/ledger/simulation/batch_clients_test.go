package simulation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/work"
)

// counter is where clients bring batches, and where others decide about them.
type counter struct {
	world *world
	book  *batchBook

	// Owned by the world's goroutine, but for what world.mu guards: outcomes, and whether something is under way.
	most   int // batches
	wishes []*wish
	acts   []*act
}

// wish is a batch that a client wants paid, once, however often it asks.
type wish struct {
	number             int
	merchant, ref      string
	rows               []batches.Item
	terms              batch.Terms
	amount, commission money.Amount
	announced          int // rows
	left               int // attempts
	due                time.Time
	underway           bool
	tries              []*try
}

// try is one time of asking.
type try struct {
	command uuid.UUID
	outcome outcome
	batch   string // that the client was told
	status  batch.Status
}

// act is a decision about a batch, by somebody, once.
type act struct {
	of       batch.Of
	kind     string // approve, reject, cancel
	actor    string
	command  uuid.UUID
	outcome  outcome
	underway bool
}

// How long a batch waits to become whole, and for money: less than a server has them wait.
const (
	abandonAfter = 40 * time.Second
	queueAge     = 50 * time.Second
)

// feeOfRow is what the plan of every merchant takes for a payout, in rupees.
const feeOfRow = "10.00"

func newCounter(w *world, dice *rand.Rand) *counter {
	return &counter{world: w, book: newBatchBook(w), most: 1 + dice.IntN(4)}
}

// teller is the ledger as the batches of a process see it.
type teller struct {
	*ledger.Ledger
	of   *process
	part string
}

// submitting parks a command; false when the process is dead.
func (t teller) submitting(ctx context.Context, what string, o *eventstore.Origin) bool {
	v := t.of.world.park(ctx, t.of, "submit", t.part+" "+label(ctx)+" "+what, false)
	if o.Command == uuid.Nil {
		o.Command = v.uuid()
	}
	return !v.dead
}

// SubmitBatch carries out a command on a batch.
func (t teller) SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	if !t.submitting(ctx, fmt.Sprintf("%T %s", c, c.Target().Batch), &o) {
		return batch.Batch{}, errDead
	}
	return t.Ledger.SubmitBatch(ctx, c, o)
}

// Reserve carries out a command about what a wallet holds for a batch.
func (t teller) Reserve(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Wallet, error) {
	if !t.submitting(ctx, fmt.Sprintf("%T %s", c, c.Target().Payment), &o) {
		return wallet.Wallet{}, errDead
	}
	return t.Ledger.Reserve(ctx, c, o)
}

// Initiate makes payouts: so many at once as the ledger does, and the process can die in between.
func (t teller) Initiate(ctx context.Context, merchantID string, payouts []wallet.InitiatePayout, ids []uuid.UUID, o eventstore.Origin) (errs []error) {
	o.Command = uuid.Max // each payout has its own
	for part := range slices.Chunk(payouts, t.of.world.profile.batch) {
		if !t.submitting(ctx, fmt.Sprintf("payouts %s+%d", part[0].Payment, len(part)), &o) {
			return append(errs, slices.Repeat([]error{errDead}, len(payouts)-len(errs))...)
		}
		errs = append(errs, t.Ledger.Initiate(ctx, merchantID, part, ids[len(errs):len(errs)+len(part)], o)...)
	}
	return errs
}

// Batch reads a batch.
func (t teller) Batch(ctx context.Context, of batch.Of) (batch.Batch, error) {
	if v := t.of.world.park(ctx, t.of, "payment", t.part+" "+label(ctx)+" "+of.Batch, false); !v.answered() {
		return batch.Batch{}, v.err(ctx)
	}
	return t.Ledger.Batch(ctx, of)
}

// Merchant gives a merchant as it is now.
func (t teller) Merchant(ctx context.Context, id string) (merchant.Merchant, error) {
	return clerk{t.of}.Merchant(ctx, id)
}

// SealString seals nothing.
func (sealer) SealString(_ context.Context, _ string, _ uuid.UUID, text string) (string, error) {
	return text, nil
}

// service is the service of batches in a process. Ids are made of what is asked, and how often.
func (c *counter) service(p *process, part, ids string, jobs *work.Store, logger *slog.Logger) *batches.Service {
	made := 0
	next := func() uuid.UUID {
		made++
		return uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d %s %d", c.world.seed, ids, made))
	}
	return batches.New(c.world.plant.batches(teller{p.ledger, p, part}), sealer{}, c.book.as(p), jobs, batches.Options{
		NewID: func(prefix string) string {
			id := next()
			return fmt.Sprintf("%s%x", prefix, id[:8])
		},
		NewUUID: func() (uuid.UUID, error) { return next(), nil },
		Clock:   c.world.now, Abandon: abandonAfter, QueueAge: queueAge, Lease: 3 * time.Second, Log: logger,
	})
}

// join starts the drawing of batches in a process.
func (c *counter) join(p *process, jobs *work.Store, logger *slog.Logger, run func(func(context.Context) error)) []consumer {
	p.batches = func(part, ids string) *batches.Service { return c.service(p, part, ids, jobs, logger) }
	s := p.batches("batches", p.name)
	run(s.Run)
	run(func(ctx context.Context) error {
		for ctx.Err() == nil {
			if s.Recover(ctx) == nil {
				return nil
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		return nil
	})
	return []consumer{{"batches", "batch", c.world.plant.batchJobs(s.Handle), s.Types()}}
}

// turn is what happens at the counter in a step of the world.
func (c *counter) turn(w *world, dice *rand.Rand) {
	chance := func(p int) bool { return dice.IntN(1000) < p }
	if w.storming && len(c.wishes) < c.most && chance(15) {
		c.want(w, dice)
	}
	if w.storming && len(c.wishes) > 0 && chance(3) {
		w.fund(c.wishes[dice.IntN(len(c.wishes))].merchant, "500.00").left = 1 + dice.IntN(3)
	}
	if len(w.alive) == 0 {
		return
	}
	p := w.alive[dice.IntN(len(w.alive))]
	if again := c.again(); len(again) > 0 && chance(150) {
		c.ask(w, again[dice.IntN(len(again))], p, dice)
		w.stand()
	}
	c.book.follow()
	if waits := c.book.undecided(); len(waits) > 0 && chance(40) {
		c.decide(w, waits[dice.IntN(len(waits))], p, dice)
		w.stand()
	}
}

// want makes up a batch.
func (c *counter) want(w *world, dice *rand.Rand) {
	r := &wish{
		number: len(c.wishes) + 1, merchant: fmt.Sprintf("mer_%016d", dice.IntN(w.profile.merchants)), left: 1 + dice.IntN(4),
		amount: money.Zero(money.INR), commission: money.Zero(money.INR),
	}
	r.ref = fmt.Sprintf("BATCH-%d", r.number)
	if dice.IntN(12) == 0 && r.number > 1 {
		r.ref = c.wishes[0].ref // which somebody has used
	}
	r.terms = c.terms(w, dice)
	rows, least := 1+dice.IntN(7), 1
	if dice.IntN(25) == 0 {
		rows, least = batch.ChunkSize+1+dice.IntN(5), 150 // more than a chunk, and much more than the balance
	}
	for n := range rows {
		amount := rupees(fmt.Sprintf("%d.%02d", least+dice.IntN(400), dice.IntN(100)))
		account := "4009112200"
		if at := dice.IntN(len(transferPlans)); dice.IntN(3) == 0 && (transferPlans[at] != keepsPending || dice.IntN(10) == 0) {
			account = fmt.Sprintf("40091122%02d", at)
		}
		id := fmt.Sprintf("ROW-%d-%d", r.number, n+1)
		switch dice.IntN(40) {
		case 0:
			id = fmt.Sprintf("REQ-%d", 1+dice.IntN(10)) // of a payout that comes by itself
		case 1:
			id = fmt.Sprintf("ROW-%d-1", 1+dice.IntN(r.number)) // of this or another batch
		}
		r.rows = append(r.rows, batches.Item{
			RequestID: id, Amount: amount, IFSC: "SBIN0001234", BankName: "State Bank of India", TransferType: "5",
			To: wallet.Beneficiary{Name: "A B", AccountNo: account, Mobile: "9876543210"},
		})
		r.amount, r.commission = r.amount.Add(amount), r.commission.Add(rupees(feeOfRow))
	}
	r.announced = rows
	switch dice.IntN(25) {
	case 0:
		r.announced++ // never whole
	case 1:
		r.amount = r.amount.Add(rupees("0.01")) // not what its rows are
	}
	c.wishes = append(c.wishes, r)
}

// terms are what a batch is submitted under.
func (c *counter) terms(w *world, dice *rand.Rand) batch.Terms {
	t := batch.Terms{Approval: batch.NoApproval}
	if dice.IntN(3) == 0 {
		t.Approval, t.Checkers = batch.ApprovalRequired, dice.IntN(3)
	}
	if dice.IntN(3) == 0 {
		t.Mode = batch.Atomic
	}
	if dice.IntN(3) == 0 {
		t.Shortage = batch.QueueShort
	}
	if dice.IntN(6) == 0 {
		t.ScheduleAt = eventstore.Micros(w.now().Add(time.Duration(dice.IntN(30)) * time.Second))
	}
	return t
}

// again picks the batches whose clients ask again: those without an answer, and a few that have one.
func (c *counter) again() (out []*wish) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	for _, r := range c.wishes {
		if r.left > 0 && !r.underway && !r.due.After(time.Now()) {
			out = append(out, r)
		}
	}
	return out
}

// ask submits a batch to a process. Sometimes the upload breaks off.
func (c *counter) ask(w *world, r *wish, p *process, dice *rand.Rand) {
	breaks := 0
	if dice.IntN(8) == 0 {
		breaks = 1 + dice.IntN(len(r.rows))
	}
	t := &try{command: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d batch %d try %d", w.seed, r.number, len(r.tries)))}
	name := fmt.Sprintf("batch %d.%d", r.number, len(r.tries))
	w.mu.Lock()
	r.left--
	r.underway = true
	r.tries = append(r.tries, t)
	w.mu.Unlock()
	w.note("%s is submitted to %s", name, p.name)
	m, _ := w.extras.shops.find(r.merchant)
	request := batches.Request{
		Merchant: m, Ref: r.ref, Digest: fmt.Sprintf("digest of %d", r.number), Terms: r.terms, Count: r.announced, Amount: r.amount,
		Commission: r.commission, Origin: eventstore.Origin{Command: t.command, Actor: "maker"},
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), labels{}, name), 30*time.Second)
	go func() {
		defer cancel()
		b, _, err := p.batches("desk", name).Submit(ctx, request, upload(r.rows, breaks))
		w.mu.Lock()
		defer w.mu.Unlock()
		r.underway = false
		r.due = time.Now().Add(time.Duration(len(r.tries)) * 700 * time.Millisecond)
		if p.isDead() {
			return
		}
		switch t.batch, t.status = b.Batch, b.Status; {
		case err == nil:
			t.outcome = accepted
		case domain.CodeOf(err) != "":
			t.outcome = declined
		}
	}()
}

var errUpload = errors.New("simulated: the upload broke off")

// upload brings the rows of a batch, up to the one at which it breaks off; 0: all.
func upload(rows []batches.Item, breaks int) iter.Seq2[batches.Item, error] {
	return func(yield func(batches.Item, error) bool) {
		for n, row := range rows {
			if n+1 == breaks {
				yield(row, errUpload)
				return
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// decide has somebody decide about a batch: those that wait for approval until they have it, others rarely.
func (c *counter) decide(w *world, b *batchFacts, p *process, dice *rand.Rand) {
	a := &act{of: batch.Of{Merchant: b.merchant, Currency: money.INR, Batch: b.id}, actor: []string{"maker", "checker one", "checker two", "checker three"}[dice.IntN(4)]}
	switch n := dice.IntN(20); {
	case n == 0 && w.storming:
		a.kind = "cancel"
	case b.status != batch.Awaiting:
		return
	case n == 1:
		a.kind = "reject"
	default:
		a.kind = "approve"
	}
	w.mu.Lock()
	c.acts = append(c.acts, a)
	number := len(c.acts)
	a.underway = true
	w.mu.Unlock()
	name := fmt.Sprintf("act %d", number)
	a.command = uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d %s", w.seed, name))
	w.note("%s: %s is to %s %s, by %s", name, a.actor, a.kind, a.of.Batch, p.name)
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), labels{}, name), 30*time.Second)
	go func() {
		defer cancel()
		var err error
		s, o := p.batches("desk", name), eventstore.Origin{Command: a.command, Actor: a.actor}
		switch a.kind {
		case "approve":
			_, err = s.Approve(ctx, a.of, "looked at", o)
		case "reject":
			_, err = s.Reject(ctx, a.of, "not now", o)
		default:
			_, err = s.Cancel(ctx, a.of, "changed my mind", o)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		a.underway = false
		switch {
		case p.isDead(), errors.Is(err, executor.ErrOutcomeUnknown):
		case err == nil:
			a.outcome = accepted
		default:
			a.outcome = declined
		}
	}()
}

// underway tells whether somebody waits for an answer; the caller holds world.mu.
func (c *counter) underway() bool {
	return slices.ContainsFunc(c.wishes, func(r *wish) bool { return r.underway }) || slices.ContainsFunc(c.acts, func(a *act) bool { return a.underway })
}

// unquiet says what is under way.
func (c *counter) unquiet() string {
	c.world.mu.Lock()
	busy := c.underway() || slices.ContainsFunc(c.wishes, func(r *wish) bool { return r.left > 0 })
	c.world.mu.Unlock()
	if busy {
		return "a client with a batch"
	}
	return c.book.unended()
}
