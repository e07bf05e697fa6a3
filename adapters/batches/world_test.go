package batches_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

const merchantID = "mer_0123456789abcdef"

var errDead = errors.New("the process is dead")

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

// books runs the domain's own decisions in memory: what adapters/ledger does on a log.
type books struct {
	mu       sync.Mutex
	wallet   *wallet.Wallet
	batches  map[string]*batch.Batch
	payments map[string]*wallet.Payment
	keys     map[string]int64
	records  []eventstore.Record

	suspended bool // the merchant is
	rule      int  // version of its approval rule
}

func newBooks(funds string) *books {
	l := &books{wallet: wallet.NewWallet(merchantID, money.INR), batches: map[string]*batch.Batch{}, payments: map[string]*wallet.Payment{}, keys: map[string]int64{}}
	l.adjust(funds)
	return l
}

func (l *books) adjust(amount string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wallet.Evolve(&wallet.WalletAdjusted{Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: "txn_fund"}, Amount: inr(amount), Reason: "test", Actor: "test"})
}

// claim takes keys for the record that comes next.
func (l *books) claim(keys []string) error {
	for _, k := range keys {
		if seq, taken := l.keys[k]; taken {
			return &executor.DuplicateError{Key: k, Position: eventstore.Position{Seq: seq}}
		}
	}
	return nil
}

func (l *books) append(id uuid.UUID, keys []string, subject, typ string, schema int, data []byte) {
	for _, k := range keys {
		l.keys[k] = int64(len(l.records) + 1)
	}
	l.records = append(l.records, eventstore.Record{Seq: int64(len(l.records) + 1), Subject: subject, Type: typ, Schema: schema, EventID: id, Data: data})
}

func (l *books) SubmitBatch(_ context.Context, c batch.Command, _ eventstore.Origin) (batch.Batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := c.Target().Batch
	b := l.batches[id]
	if b == nil {
		b = &batch.Batch{}
	}
	if err := l.claim(c.Keys()); err != nil {
		return batch.Batch{}, err
	}
	if a, approves := c.(batch.Approve); approves {
		a.Rule = l.rule
		c = a
	}
	if a, adds := c.(batch.AddItems); adds {
		if err := a.UnderRule(b, l.rule); err != nil {
			return batch.Batch{}, err
		}
	}
	if s, submits := c.(batch.Submit); submits && s.Terms.Rule != l.rule {
		return batch.Batch{}, domain.Errorf(domain.Stale, "under another rule")
	}
	if r, rejects := c.(batch.Reject); rejects {
		if err := r.Unheld(l.wallet); err != nil {
			return batch.Batch{}, err
		}
	}
	events, err := batch.Decide(b, c)
	if err != nil {
		return batch.Batch{}, err
	}
	keys := c.Keys()
	for _, e := range events {
		data, err := batch.Encode(e)
		if err != nil {
			return batch.Batch{}, err
		}
		l.append(uuid.New(), keys, id, e.Type(), e.Schema(), data)
		b.Evolve(e, c.Effective())
		l.batches[id], keys = b, nil
	}
	return *b, nil
}

func (l *books) Batch(ctx context.Context, of batch.Of) (batch.Batch, error) {
	return l.SubmitBatch(ctx, batch.Look{Base: batch.Base{Of: of}}, eventstore.Origin{})
}

func (l *books) EachChunk(_ context.Context, of batch.Of, after int, from int64, f func(int, int64, []batch.Item) error) error {
	records, _ := l.since(from)
	for _, r := range records {
		if r.Type != "batch.items" || r.Subject != of.Batch {
			continue
		}
		e, err := batch.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return err
		}
		if added := e.(*batch.ItemsAdded); added.Chunk > after {
			if err := f(added.Chunk, r.Seq, added.Items); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *books) Initiate(_ context.Context, _ string, payouts []wallet.InitiatePayout, ids []uuid.UUID, _ eventstore.Origin) []error {
	errs := make([]error, len(payouts))
	for i := range payouts {
		errs[i] = l.initiate(payouts[i], ids[i])
	}
	return errs
}

func (l *books) initiate(c wallet.InitiatePayout, id uuid.UUID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.claim(c.Keys()); err != nil {
		return err
	}
	if err := l.batches[c.Batch].Draws(c.Merchant, c.Index, c.At); err != nil {
		return err
	}
	p := &wallet.Payment{}
	events, err := wallet.Decide(l.wallet, p, c)
	if err != nil {
		return err
	}
	for _, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return err
		}
		l.append(id, c.Keys(), c.Payment, e.Type(), e.Schema(), data)
		l.wallet.Evolve(e)
		p.Evolve(e, c.At)
		l.payments[c.Payment] = p
	}
	return nil
}

// Reserve is what adapters/ledger decides on the batch, too.
func (l *books) Reserve(_ context.Context, c wallet.Command, _ eventstore.Origin) (wallet.Wallet, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := c.Target().Payment
	err := error(nil)
	switch c := c.(type) {
	case wallet.QueueBatch:
		err = l.batches[id].Pays(merchantID, c.At)
	case wallet.HoldBatch:
		err = l.batches[id].Pays(merchantID, c.At)
	case wallet.ReleaseBatch:
		if c.Done {
			err = l.batches[id].Spent(merchantID)
		}
	}
	if err != nil {
		return wallet.Wallet{}, err
	}
	events, err := wallet.Decide(l.wallet, nil, c)
	if err != nil {
		return wallet.Wallet{}, err
	}
	for _, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return wallet.Wallet{}, err
		}
		l.append(uuid.New(), nil, id, e.Type(), e.Schema(), data)
		l.wallet.Evolve(e)
	}
	return *l.wallet, nil
}

func (l *books) Record(_ context.Context, p eventstore.Position) (eventstore.Record, error) {
	records, _ := l.since(p.Seq - 1)
	return records[0], nil
}

func (l *books) since(seq int64) ([]eventstore.Record, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.records[seq:]), int64(len(l.records))
}

func (l *books) Merchant(context.Context, string) (merchant.Merchant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return merchant.Merchant{ID: merchantID, Services: []merchant.Service{merchant.Payout}, Suspended: l.suspended,
		Approval: merchant.ApprovalRule{Version: l.rule}}, nil
}

func (l *books) suspend(suspended bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = suspended
}

func (l *books) Claimed(_ context.Context, _ string, keys []string) (map[string]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := map[string]int64{}
	for _, k := range keys {
		if seq, taken := l.keys[k]; taken {
			held[k] = seq
		}
	}
	return held, nil
}

func (l *books) Partition(string) int { return 0 }

// Open and Unfinished are what the views tell.
func (l *books) Open(_ context.Context, _, id string) (open bool, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.payments {
		open = open || p.Batch == id && p.Status == wallet.Pending
	}
	return open, nil
}

func (l *books) Unfinished(_ context.Context, after string, limit int) (list []batches.Unfinished, _ error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, b := range l.batches {
		_, held := l.wallet.Reserve(id)
		if id > after && (!b.Final() || held) && len(list) < limit {
			list = append(list, batches.Unfinished{Of: b.Of, Status: b.Status, Terms: b.Terms})
		}
	}
	slices.SortFunc(list, func(a, b batches.Unfinished) int { return strings.Compare(a.Batch, b.Batch) })
	return list, nil
}

// settle ends every payout that is pending.
func (l *books) settle(status wallet.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.payments {
		if p.Status == wallet.Pending {
			p.Status = status
		}
	}
}

// world is the books, and processes on them.
type world struct {
	t     *testing.T
	books *books
	dir   string
	ahead atomic.Int64
	n     atomic.Int64
}

func newWorld(t *testing.T, funds string) *world {
	return &world{t: t, books: newBooks(funds), dir: t.TempDir()}
}

// mortal is the ledger as a process sees it that dies.
type mortal struct {
	*books
	lives *atomic.Int64
}

func (m mortal) alive() bool { return m.lives.Add(-1) >= 0 }

func (m mortal) SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	if !m.alive() {
		return batch.Batch{}, errDead
	}
	b, err := m.books.SubmitBatch(ctx, c, o)
	if !m.alive() { // it took effect, and nobody knows
		return batch.Batch{}, errDead
	}
	return b, err
}

func (m mortal) Reserve(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Wallet, error) {
	if !m.alive() {
		return wallet.Wallet{}, errDead
	}
	w, err := m.books.Reserve(ctx, c, o)
	if !m.alive() {
		return wallet.Wallet{}, errDead
	}
	return w, err
}

func (m mortal) Initiate(ctx context.Context, id string, payouts []wallet.InitiatePayout, ids []uuid.UUID, o eventstore.Origin) []error {
	errs := make([]error, len(payouts))
	for i := range payouts {
		if i%50 == 0 && !m.alive() { // in the middle of a chunk
			for n := i; n < len(errs); n++ {
				errs[n] = errDead
			}
			return errs
		}
		errs[i] = m.books.initiate(payouts[i], ids[i])
	}
	return errs
}

const immortal = 1 << 40

// service is a process without its background.
func (w *world) service(file string, lives int64) (*batches.Service, *atomic.Int64) {
	w.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.dir, file)+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	})
	if err := migrations.Up(w.t.Context(), db, migrations.SQLite, migrations.Work); err != nil {
		w.t.Fatal(err)
	}
	left := &atomic.Int64{}
	left.Store(lives)
	return batches.New(mortal{w.books, left}, clearVault{}, w.books, work.New(db, db), batches.Options{
		NewID: func(prefix string) string { return fmt.Sprintf("%s%06d", prefix, w.n.Add(1)) },
		Clock: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) },
		Log:   slog.New(slog.DiscardHandler),
	}), left
}

// run feeds a service from the log and has it draw, until the test ends or the returned function is called.
func (w *world) run(s *batches.Service) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			w.t.Error(err)
		}
	})
	running.Go(func() {
		after := int64(0)
		for ctx.Err() == nil {
			records, end := w.books.since(after)
			for _, r := range records {
				if slices.Contains(s.Types(), r.Type) {
					if err := s.Handle(ctx, r); err != nil && ctx.Err() == nil {
						w.t.Error(err)
					}
				}
			}
			after = end
			time.Sleep(time.Millisecond)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	w.t.Cleanup(stop)
	return stop
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for begun := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			w.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (w *world) batch(id string) batch.Batch {
	w.t.Helper()
	b, err := w.books.Batch(w.t.Context(), ofBatch(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) untilStatus(id string, s batch.Status) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s is %s", id, s), func() bool { return w.batch(id).Status == s })
}

// clearVault seals by writing what it is bound to in front of it.
type clearVault struct{}

func (clearVault) SealString(_ context.Context, owner string, id uuid.UUID, text string) (string, error) {
	return base64.StdEncoding.EncodeToString([]byte(owner + " " + id.String() + " " + text)), nil
}

func (clearVault) Fingerprint(_ context.Context, owner, text string) (string, error) {
	return owner + text, nil
}

// request is a batch of so many payouts of 1000.
func request(ref string, count int) batches.Request {
	total, commission := money.Zero(money.INR), money.Zero(money.INR)
	for range count {
		total, commission = total.Add(inr("1000")), commission.Add(inr("10"))
	}
	return batches.Request{
		Merchant: merchant.Merchant{ID: merchantID, Plan: fee.Default()}, Ref: ref, Digest: fmt.Sprint("digest of ", count),
		Terms: batch.Terms{Approval: batch.NoApproval}, Count: count, Amount: total, Commission: commission, Origin: eventstore.Origin{Actor: "key:maya"},
	}
}

// lines are the items of request. The one at broken fails to be read; 0: none.
func lines(count, broken int) iter.Seq2[batches.Item, error] {
	return func(yield func(batches.Item, error) bool) {
		for i := 1; i <= count; i++ {
			item := batches.Item{
				RequestID: fmt.Sprintf("R-%d", i), Amount: inr("1000"), IFSC: "HDFC0001234", BankName: "HDFC Bank", TransferType: "5",
				To: wallet.Beneficiary{Name: "Asha", AccountNo: fmt.Sprintf("40091122%04d", i), Mobile: "9876543210"},
			}
			var err error
			if i == broken {
				err = errors.New("the upload broke off")
			}
			if !yield(item, err) {
				return
			}
		}
	}
}
