package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/ledger/linear"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

// The size of a history: enough that clients meet, few enough that the search for an order takes milliseconds.
const (
	clients        = 6
	actions        = 40 // of a client
	references     = 50 // that clients choose from, so that they meet
	commissionOf   = 10_00
	faultsOfAppend = 6 // one append in so many fails in some way
	faultsOfRead   = 60
)

// histories is how many are made of each kind of store: LEDGER_TEST_HISTORIES, or a few.
func histories(t *testing.T) int {
	t.Helper()
	text := os.Getenv("LEDGER_TEST_HISTORIES")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("LEDGER_TEST_HISTORIES is %q", text)
	}
	return n
}

// errFault is what a store that fails says.
var errFault = errors.New("planted fault")

// failing is a store that fails now and then: appends before and behind their effect, with an outcome that is told and one that is not; the
// finding out of an outcome; reads.
type failing struct {
	eventstore.Store
	mu     sync.Mutex
	random *rand.Rand
	calm   bool
	count  map[string]int
}

// strikes tells whether the next call of a kind fails.
func (f *failing) strikes(kind string, oneIn int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calm || f.random.IntN(oneIn) > 0 {
		return false
	}
	f.count[kind]++
	return true
}

func (f *failing) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	switch {
	case !f.strikes("append", faultsOfAppend):
		return f.Store.Append(ctx, head, records)
	case f.strikes("append refused", 3):
		return errFault
	case f.strikes("append cut before its effect", 2):
		return fmt.Errorf("%w: %w", eventstore.ErrUnknown, errFault)
	}
	f.strikes("append cut behind its effect", 1)
	if err := f.Store.Append(ctx, head, records); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", eventstore.ErrUnknown, errFault)
}

func (f *failing) Committed(ctx context.Context, records []eventstore.Record) (bool, error) {
	if f.strikes("finding out", 3) {
		return false, errFault
	}
	return f.Store.Committed(ctx, records)
}

func (f *failing) Head(ctx context.Context, partition int) (eventstore.Head, error) {
	if f.strikes("read", faultsOfRead) {
		return eventstore.Head{}, errFault
	}
	return f.Store.Head(ctx, partition)
}

func (f *failing) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	if f.strikes("read", faultsOfRead) {
		return nil, errFault
	}
	return f.Store.ReadStream(ctx, partition, stream, after, limit)
}

func (f *failing) ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	if f.strikes("read", faultsOfRead) {
		return nil, errFault
	}
	return f.Store.ReadSubjects(ctx, partition, subjects)
}

func (f *failing) Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error) {
	if f.strikes("read", faultsOfRead) {
		return nil, errFault
	}
	return f.Store.Lookup(ctx, partition, upTo, keys)
}

// stores are the kinds of log, each as a way to open one more handle on the same log.
func stores(t *testing.T) map[string]func() eventstore.Store {
	t.Helper()
	opened := func(s eventstore.Store, err error) eventstore.Store {
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	inMemory, path, dsn := memory.New(1), filepath.Join(t.TempDir(), "ledger.db"), testpg.DSN(t)
	if err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	return map[string]func() eventstore.Store{
		"memory":   func() eventstore.Store { return inMemory },
		"sqlite":   func() eventstore.Store { s, err := sqlite.Open(t.Context(), path); return opened(s, err) },
		"postgres": func() eventstore.Store { s, err := postgres.Open(t.Context(), dsn); return opened(s, err) },
	}
}

// crowd is clients of one wallet, over two ledgers on one log, as two processes are.
type crowd struct {
	t       *testing.T
	books   []*book
	history *linear.History
	owner   string

	mu   sync.Mutex
	next int
	made []payable // payments that can be ended
}

// payable is a payment that was made: a payin, or a payout that has gone to the bank.
type payable struct {
	ref, id string
	amount  money.Amount
	payin   bool
}

// TestHistoriesAreLinearizable: whatever concurrent clients of one wallet are answered, by two processes on a store that fails, a wallet
// that does one thing at a time could have answered. Every refusal is taken at its word: what was said not to be carried out was not.
func TestHistoriesAreLinearizable(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed) // of the choices; what meets what is up to the scheduler
	for name, handle := range stores(t) {
		t.Run(name, func(t *testing.T) {
			var books []*book
			var faults []*failing
			for i := range 2 {
				f := &failing{Store: handle(), random: rand.New(rand.NewPCG(seed, uint64(i))), count: map[string]int{}, calm: true}
				faults, books = append(faults, f), append(books, open(t, f))
			}
			t.Cleanup(func() { calm(faults, true) }) // before the books are closed
			ends := map[linear.Kind]int{}
			for n := range histories(t) {
				c := &crowd{t: t, books: books, history: linear.New(false), owner: fmt.Sprintf("mer_linear%010d", n)}
				c.adjust(clients, c.books[0], 5_000_00) // there is something to pay with
				calm(faults, false)
				c.run(seed + uint64(n))
				calm(faults, true)
				c.look(clients, c.books[1])
				if err := c.history.Check(); err != nil {
					t.Fatalf("history %d: %v", n, err)
				}
				for kind, count := range c.history.Counts() {
					ends[kind] += count
				}
			}
			t.Logf("operations by how they ended: %v; faults: %v and %v", ends, faults[0].count, faults[1].count)
			for _, kind := range []linear.Kind{linear.Done, linear.Poor, linear.TakenRef, linear.TakenKey, linear.Unknown} {
				if ends[kind] == 0 {
					t.Errorf("no operation ended as %q: this shows less than it is meant to", kind)
				}
			}
			verified(t, handle().(ledger.Auditable)) //nolint:forcetypeassert // every store is
		})
	}
}

func calm(faults []*failing, is bool) {
	for _, f := range faults {
		f.mu.Lock()
		f.calm = is
		f.mu.Unlock()
	}
}

// run lets all clients act, and waits for them.
func (c *crowd) run(seed uint64) {
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(client)))
			for range actions {
				c.act(client, random)
			}
		})
	}
	all.Wait()
}

// act does one thing.
func (c *crowd) act(client int, random *rand.Rand) {
	b := c.books[random.IntN(len(c.books))]
	amount := 1_00 + random.Int64N(900_00)
	switch random.IntN(10) {
	case 0, 1, 2:
		c.pay(client, b, random, amount)
	case 3:
		c.create(client, b, random, amount+commissionOf)
	case 4, 5:
		c.end(client, b, random)
	case 6:
		c.adjust(client, b, amount)
	case 7:
		c.adjust(client, b, -amount)
	case 8:
		c.look(client, b)
	case 9:
		c.glance(client, b)
	}
}

// newID is an id of a transaction.
func (c *crowd) newID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return fmt.Sprintf("txn_%s%06d", c.owner[4:], c.next)
}

func minor(a money.Amount) int64 { return a.Decimal().Shift(2).IntPart() }

func rupees(paise int64) money.Amount { return inr(fmt.Sprintf("%d.%02d", paise/100, paise%100)) }

// carryOut submits a command, and says how that ended. A caller may go away at once: then it does not know.
func (c *crowd) carryOut(b *book, command wallet.Command, key string, goAway bool) linear.Output {
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	if goAway {
		go cancel()
	}
	res, err := b.Submit(ctx, command, eventstore.Origin{Actor: "test", IdempotencyKey: key})
	var taken *executor.DuplicateError
	switch {
	case err == nil:
		return linear.Output{Shown: true, Available: minor(res.Wallet.Available), Locked: minor(res.Wallet.Locked)}
	case errors.As(err, &taken) && key != "" && taken.Key == key:
		return linear.Output{Kind: linear.TakenKey}
	case errors.As(err, &taken):
		return linear.Output{Kind: linear.TakenRef}
	case domain.CodeOf(err) == domain.InsufficientBalance:
		return linear.Output{Kind: linear.Poor}
	case errors.Is(err, executor.ErrOutcomeUnknown):
		return linear.Output{Kind: linear.Unknown}
	case errors.Is(err, executor.ErrStore), errors.Is(err, executor.ErrContended):
		return linear.Output{Kind: linear.Absent}
	}
	c.t.Errorf("%T: %v", command, err)
	return linear.Output{Kind: linear.Unknown}
}

func (c *crowd) adjust(client int, b *book, paise int64) {
	amount := rupees(max(paise, -paise))
	if paise < 0 {
		amount = amount.Neg()
	}
	c.history.Do(client, linear.Input{Op: linear.Adjust, Amount: paise}, func() linear.Output {
		return c.carryOut(b, wallet.AdjustWallet{Base: base(c.owner, c.newID()), Amount: amount, Reason: "r", Actor: "test"}, "", false)
	})
}

func (c *crowd) pay(client int, b *book, random *rand.Rand, paise int64) {
	p := payable{ref: fmt.Sprintf("P-%d", random.IntN(references)), id: c.newID(), amount: rupees(paise)}
	in := linear.Input{Op: linear.Pay, Ref: p.ref, Amount: paise + commissionOf}
	if random.IntN(2) == 0 {
		in.Key = fmt.Sprintf("K-%d", random.IntN(references))
	}
	away := random.IntN(10) == 0
	out := c.history.Do(client, in, func() linear.Output {
		return c.carryOut(b, initiate(c.owner, p.id, p.ref, p.amount.Fixed()), c.scoped(in.Key), away)
	})
	if out.Kind != linear.Done {
		return
	}
	for range 100 { // it moves nothing, so it is no operation of the history
		if _, err := b.Submit(c.t.Context(), submitted(c.owner, p.id), eventstore.Origin{Actor: "test"}); err == nil {
			c.keep(p)
			return
		}
	}
	c.t.Errorf("%s cannot be sent to the bank", p.id)
}

func (c *crowd) scoped(key string) string {
	if key == "" {
		return ""
	}
	return "idem:" + c.owner + ":" + key
}

func (c *crowd) create(client int, b *book, random *rand.Rand, paise int64) {
	p := payable{ref: fmt.Sprintf("O-%d", random.IntN(references)), id: c.newID(), amount: rupees(paise), payin: true}
	out := c.history.Do(client, linear.Input{Op: linear.Create, Ref: p.ref, Amount: paise - commissionOf}, func() linear.Output {
		return c.carryOut(b, wallet.CreatePayin{
			Base: base(c.owner, p.id), Amount: p.amount, Charge: charge("10", "1.53"), OrderID: p.ref, TxnRef: p.id, Gateway: "sandbox", ExpiresAt: made.Add(time.Hour),
		}, "", false)
	})
	if out.Kind == linear.Done {
		c.keep(p)
	}
}

func (c *crowd) keep(p payable) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, p)
}

// end tells of a payment what the bank or the gateway says, which may have been told before, or is being told by somebody else.
func (c *crowd) end(client int, b *book, random *rand.Rand) {
	c.mu.Lock()
	if len(c.made) == 0 {
		c.mu.Unlock()
		return
	}
	p := c.made[len(c.made)-1-random.IntN(min(len(c.made), 8))]
	c.mu.Unlock()
	in, command := linear.Input{Op: linear.Collect, Ref: p.ref}, wallet.Command(wallet.ReportPayment{
		Base: base(c.owner, p.id), Gateway: "sandbox", PaymentID: "pay_" + p.id, Amount: p.amount, UTR: "612345678901",
	})
	if !p.payin {
		in.Op, command = linear.Settle, reported(c.owner, p.id, wallet.OutcomePaid)
		if minor(p.amount)%3 == 0 {
			in.Op, command = linear.Refund, reported(c.owner, p.id, wallet.OutcomeFailed)
		}
	}
	away := random.IntN(10) == 0
	c.history.Do(client, in, func() linear.Output {
		out := c.carryOut(b, command, "", away)
		if out.Kind == linear.TakenRef { // the message is known: this was told before
			out.Kind = linear.Done
		}
		return out
	})
}

// look reads the wallet from the log.
func (c *crowd) look(client int, b *book) {
	c.history.Do(client, linear.Input{Op: linear.Look}, func() linear.Output {
		w, err := b.Wallet(c.t.Context(), c.owner, money.INR)
		if err != nil {
			return linear.Output{Kind: linear.Absent}
		}
		return linear.Output{Shown: true, Available: minor(w.Available), Locked: minor(w.Locked)}
	})
}

// glance asks the executor, who answers from memory.
func (c *crowd) glance(client int, b *book) {
	c.history.Do(client, linear.Input{Op: linear.Look}, func() linear.Output {
		return c.carryOut(b, wallet.Look{Base: base(c.owner, "")}, "", false)
	})
}

// behindTheLog is a log whose readers of streams are served by a copy that lags.
type behindTheLog struct {
	eventstore.Store
	by int
}

func (s behindTheLog) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	records, err := s.Store.ReadStream(ctx, partition, stream, after, limit)
	return records[:max(0, len(records)-s.by)], err
}

// TestAStaleReadIsNotLinearizable: the same clients, whose reads come from a copy that lacks the newest record, are found out.
func TestAStaleReadIsNotLinearizable(t *testing.T) {
	t.Parallel()
	for by := range 2 {
		log := memory.New(1)
		c := &crowd{t: t, books: []*book{open(t, log), open(t, log)}, history: linear.New(false), owner: merchantA}
		stale := open(t, behindTheLog{log, by})
		c.adjust(0, c.books[0], 9_000_00)
		for i := range 5 {
			c.adjust(1, c.books[i%2], int64(-1_00-i))
			c.look(2, stale)
		}
		switch err := c.history.Check(); {
		case by == 0 && err != nil:
			t.Errorf("nothing is stale: %v", err)
		case by > 0 && !errors.Is(err, linear.ErrNotLinear):
			t.Errorf("reads that are %d records old: %v", by, err)
		}
	}
}
