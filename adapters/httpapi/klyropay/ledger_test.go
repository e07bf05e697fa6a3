package klyropay_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"
)

// books is a ledger in memory: it decides with the domain, under one lock, and answers everything that the API asks for.
type books struct {
	mu       sync.Mutex
	wallets  map[string]*wallet.Wallet
	payments map[string]*wallet.Payment
	order    []string // of the payments, oldest first
	keys     map[string]eventstore.Position
	records  []eventstore.Record
	origins  []eventstore.Origin
	changed  chan struct{} // closed and replaced by every change

	owners  map[string]merchant.Merchant // by key hash
	apiKeys map[string]merchant.Key
	answers map[string]work.Answer
	erased  map[string]bool // by seal id
	plain   bool            // records are made as before requests were committed to, and batches as before their digests were keyed

	bank func(wallet.InitiatePayout) wallet.Outcome // called for each payout, on a goroutine; "" is silence
	work sync.WaitGroup

	// Faults to inject.
	submitFault, viewFault, keyFault, logFault, sealFault, answersFault, awaitFault error
	panics                                                                          bool
	blindLookup                                                                     bool // Lookup sees nothing: as if the original were in flight
}

func newBooks(t testing.TB) *books {
	b := &books{
		wallets: map[string]*wallet.Wallet{}, payments: map[string]*wallet.Payment{}, keys: map[string]eventstore.Position{},
		changed: make(chan struct{}), owners: map[string]merchant.Merchant{}, apiKeys: map[string]merchant.Key{},
		answers: map[string]work.Answer{}, erased: map[string]bool{},
	}
	t.Cleanup(b.work.Wait)
	return b
}

func (b *books) ByKeyHash(_ context.Context, hash string) (merchant.Merchant, merchant.Key, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("a fault of ours")
	}
	m, found := b.owners[hash]
	return m, b.apiKeys[hash], found, b.keyFault
}

func (b *books) wallet(id string) *wallet.Wallet {
	if b.wallets[id] == nil {
		b.wallets[id] = wallet.NewWallet(id, money.INR)
	}
	return b.wallets[id]
}

func (b *books) Submit(_ context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.submitFault != nil {
		return wallet.Payment{}, b.submitFault
	}
	return b.submit(c, o)
}

func (b *books) submit(c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	keys := c.Keys()
	if o.IdempotencyKey != "" {
		keys = append([]string{o.IdempotencyKey}, keys...)
	}
	for _, k := range keys {
		if at, taken := b.keys[k]; taken {
			return wallet.Payment{}, &executor.DuplicateError{Key: k, Position: at}
		}
	}
	w, p := b.wallet(c.Target().Merchant), b.payments[c.Target().Payment]
	if p == nil {
		p = &wallet.Payment{}
	}
	events, err := wallet.Decide(w, p, c)
	if err != nil || len(events) == 0 {
		return *p, err
	}
	if p.Kind == "" {
		p.SealID = o.Command.String()
		b.payments[c.Target().Payment] = p
		b.order = append(b.order, c.Target().Payment)
	}
	b.records = append(b.records, eventstore.Record{
		Seq: int64(len(b.records) + 1), Subject: c.Target().Payment, Keys: keys,
		Meta: eventstore.Meta{Command: o.Command.String(), Actor: o.Actor, Request: o.Request, BodyHash: b.commit(o)}.Bytes(),
	})
	b.origins = append(b.origins, o)
	for _, k := range keys {
		b.keys[k] = eventstore.Position{Seq: int64(len(b.records))}
	}
	for _, e := range events {
		w.Evolve(e)
		p.Evolve(e, c.Effective())
	}
	close(b.changed)
	b.changed = make(chan struct{})
	if initiated, ok := c.(wallet.InitiatePayout); ok && b.bank != nil {
		b.work.Go(func() { b.settle(initiated, b.bank(initiated)) })
	}
	return *p, nil
}

// settle tells what the bank says of a payout.
func (b *books) settle(c wallet.InitiatePayout, outcome wallet.Outcome) {
	if outcome == "" {
		return
	}
	at := wallet.Base{Of: c.Of, At: c.At.Add(1250 * time.Millisecond)}
	b.do(wallet.SubmitPayout{Base: at, Attempt: 1, Gateway: "sandbox"})
	b.do(wallet.ReportPayout{
		Base: at, Gateway: "sandbox", Outcome: outcome, UTR: "432109876543", BankReference: "BANK" + c.RequestID,
		Reason: "account closed", Message: string(outcome) + c.Payment,
	})
}

// do submits a command that must be accepted.
func (b *books) do(c wallet.Command) wallet.Payment {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, err := b.submit(c, eventstore.Origin{Command: uuid.New()})
	if err != nil {
		panic(err)
	}
	return p
}

func (b *books) fund(merchantID, amount string) {
	b.do(wallet.AdjustWallet{
		Base:   wallet.Base{Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: "txn_" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]}, At: day},
		Amount: money.MustParse(amount, money.INR), Reason: "funding", Actor: "test",
	})
}

func (b *books) Await(ctx context.Context, merchantID, id string, until func(wallet.Payment) bool) (wallet.Payment, error) {
	for {
		b.mu.Lock()
		p, changed, fault := b.payments[id], b.changed, b.awaitFault
		var now wallet.Payment
		if p != nil {
			now = *p
		}
		b.mu.Unlock()
		switch {
		case fault != nil:
			return wallet.Payment{}, fault
		case p == nil || now.Merchant != merchantID:
			return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is no transaction %s", id)
		case until(now):
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

func (b *books) Lookup(_ context.Context, _, key string) (eventstore.Position, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, taken := b.keys[key]
	return at, taken && !b.blindLookup, b.logFault
}

func (b *books) Record(_ context.Context, p eventstore.Position) (eventstore.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records[p.Seq-1], nil
}

func (b *books) SealString(_ context.Context, owner string, id uuid.UUID, plaintext string) (string, error) {
	return base64.RawURLEncoding.EncodeToString([]byte(owner + "|" + id.String() + "|" + plaintext)), b.sealFault
}

func (b *books) UnsealString(_ context.Context, id uuid.UUID, sealed string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealFault != nil {
		return "", b.sealFault
	}
	if b.erased[id.String()] {
		return "", vault.ErrErased
	}
	text, err := base64.RawURLEncoding.DecodeString(sealed)
	parts := strings.SplitN(string(text), "|", 3)
	if err != nil || len(parts) != 3 || parts[1] != id.String() {
		return "", vault.ErrTampered
	}
	return parts[2], nil
}

// commit is what a record keeps of a request: what the vault says of its body, or, of an old ledger, the body's digest itself.
func (b *books) commit(o eventstore.Origin) string {
	if b.plain {
		return o.BodyHash
	}
	return "committed " + o.Command.String() + " " + o.BodyHash
}

// Matches implements klyropay.Vault.
func (b *books) Matches(_ context.Context, id uuid.UUID, committed, text string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest, is := strings.CutPrefix(committed, "committed ")
	switch {
	case !is:
		return committed == text, b.sealFault
	case b.erased[id.String()]:
		return false, vault.ErrErased
	}
	return rest == id.String()+" "+text, b.sealFault
}

func (b *books) Fingerprint(_ context.Context, owner, text string) (string, error) {
	if len(text) == len(goldenDigest) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.plain {
			return text, b.sealFault
		}
		return "keyed:" + owner + ":" + text, b.sealFault
	}
	return "fp:" + owner + ":" + strconv.Itoa(len(text)), b.sealFault
}

func (b *books) Answer(_ context.Context, merchantID, scope, key string) (work.Answer, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, kept := b.answers[merchantID+scope+key]
	return a, kept, b.answersFault
}

func (b *books) PutAnswer(_ context.Context, a work.Answer) (work.Answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answersFault != nil {
		return work.Answer{}, b.answersFault
	}
	id := a.Merchant + a.Scope + a.Key
	if first, kept := b.answers[id]; kept {
		return first, nil
	}
	b.answers[id] = a
	return a, nil
}

func (b *books) one(merchantID string, is func(*wallet.Payment) bool) (wallet.Payment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.viewFault != nil {
		return wallet.Payment{}, b.viewFault
	}
	for _, p := range b.payments {
		if p.Merchant == merchantID && is(p) {
			return *p, nil
		}
	}
	return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is none")
}

func (b *books) Payin(_ context.Context, m, ref string) (wallet.Payment, error) {
	return b.one(m, func(p *wallet.Payment) bool { return p.Kind == wallet.KindPayin && p.TxnRef == ref })
}

func (b *books) PayinByOrder(_ context.Context, m, id string) (wallet.Payment, error) {
	return b.one(m, func(p *wallet.Payment) bool { return p.Kind == wallet.KindPayin && p.OrderID == id })
}

func (b *books) Payout(_ context.Context, m, id string) (wallet.Payment, error) {
	return b.one(m, func(p *wallet.Payment) bool { return p.Kind == wallet.KindPayout && p.Of.Payment == id })
}

func (b *books) PayoutByRequest(_ context.Context, m, id string) (wallet.Payment, error) {
	return b.one(m, func(p *wallet.Payment) bool { return p.Kind == wallet.KindPayout && p.RequestID == id })
}

// List takes a number of items to skip as its cursor.
func (b *books) List(_ context.Context, q klyropay.Query) (klyropay.Page, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.viewFault != nil {
		return klyropay.Page{}, b.viewFault
	}
	skip := (q.Page - 1) * q.Limit
	if q.Cursor != "" {
		var err error
		if skip, err = strconv.Atoi(q.Cursor); err != nil {
			return klyropay.Page{}, domain.InvalidField("cursor", "is not one that was given out")
		}
	}
	var all []wallet.Payment
	for _, id := range slices.Backward(b.order) {
		p := b.payments[id]
		if p.Merchant != q.Merchant || p.Kind != q.Kind || q.Status != "" && p.Status != q.Status ||
			p.CreatedAt.Before(q.From) || !q.Until.IsZero() && !p.CreatedAt.Before(q.Until) {
			continue
		}
		all = append(all, *p)
	}
	slices.SortStableFunc(all, func(x, y wallet.Payment) int { return cmp.Compare(y.CreatedAt.UnixMicro(), x.CreatedAt.UnixMicro()) })
	page := klyropay.Page{Total: int64(len(all))}
	skip = min(skip, len(all))
	end := min(skip+q.Limit, len(all))
	page.Items = all[skip:end]
	if end < len(all) {
		page.NextCursor = strconv.Itoa(end)
	}
	return page, nil
}

func (b *books) Balance(_ context.Context, merchantID string, c money.Currency) (available, locked money.Amount, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w := b.wallets[merchantID]; w != nil {
		return w.Available, w.Locked, b.viewFault
	}
	return money.Zero(c), money.Zero(c), b.viewFault
}

var errAway = errors.New("the database on 10.0.0.7 is away: password=hunter2")
