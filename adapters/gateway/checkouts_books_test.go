package gateway_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// power ends a process at a step: from then on whatever it asks of the world around it fails.
type power struct {
	mu    sync.Mutex
	steps []string
	at    int // step that is the last; 0: none
	dead  bool
}

// step is called before and after each effect; false is the end.
func (p *power) step(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return false
	}
	p.steps = append(p.steps, name)
	p.dead = p.at > 0 && len(p.steps) >= p.at
	return !p.dead
}

var errPower = fmt.Errorf("the process was killed: %w", executor.ErrClosed)

// appBooks runs the domain's own decisions in memory, for any number of apps: what adapters/ledger does on a log.
type appBooks struct {
	mu        sync.Mutex
	wallets   map[string]*wallet.Wallet // by merchant and currency
	payments  map[string]*wallet.Payment
	merchants map[string]*merchant.Merchant
	keys      map[string]int64
	records   []eventstore.Record
	evidence  map[int64][]eventstore.Evidence
}

func newAppBooks() *appBooks {
	return &appBooks{
		wallets: map[string]*wallet.Wallet{}, payments: map[string]*wallet.Payment{}, merchants: map[string]*merchant.Merchant{},
		keys: map[string]int64{}, evidence: map[int64][]eventstore.Evidence{},
	}
}

func (b *appBooks) Submit(_ context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	of := c.Target()
	for _, k := range c.Keys() {
		if seq, taken := b.keys[of.Merchant+" "+k]; taken {
			return wallet.Payment{}, &executor.DuplicateError{Key: k, Position: eventstore.Position{Seq: seq}}
		}
	}
	w := b.wallets[of.Merchant+string(of.Currency)]
	if w == nil {
		w = wallet.NewWallet(of.Merchant, of.Currency)
		b.wallets[of.Merchant+string(of.Currency)] = w
	}
	p := b.payments[of.Payment]
	if p == nil {
		p = &wallet.Payment{}
	}
	events, err := wallet.Decide(w, p, c)
	if err != nil {
		return wallet.Payment{}, err
	}
	if len(events) > 0 {
		first := int64(len(b.records) + 1)
		for _, k := range c.Keys() {
			b.keys[of.Merchant+" "+k] = first
		}
		b.evidence[first] = o.Evidence
	}
	for n, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return wallet.Payment{}, err
		}
		id := uuid.New()
		if n == 0 && o.Command != uuid.Nil {
			id = o.Command
		}
		if p.Kind == "" {
			p.SealID = id.String()
		}
		w.Evolve(e)
		p.Evolve(e, c.Effective())
		b.payments[of.Payment] = p
		b.records = append(b.records, eventstore.Record{
			Seq: int64(len(b.records) + 1), Stream: wallet.Stream(of.Merchant, of.Currency), Subject: of.Payment, Type: e.Type(), Schema: e.Schema(),
			EventID: id, EffectiveAt: c.Effective(), Data: data,
		})
	}
	return *p, nil
}

func (b *appBooks) Payment(_ context.Context, merchantID, id string) (wallet.Payment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.payments[id]
	if p == nil || p.Merchant != merchantID {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is no transaction %s", id)
	}
	return *p, nil
}

func (b *appBooks) Record(_ context.Context, p eventstore.Position) (eventstore.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Seq < 1 || p.Seq > int64(len(b.records)) {
		return eventstore.Record{}, eventstore.ErrNotFound
	}
	return b.records[p.Seq-1], nil
}

func (b *appBooks) Lookup(_ context.Context, merchantID, key string) (eventstore.Position, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seq, taken := b.keys[merchantID+" "+key]
	return eventstore.Position{Seq: seq}, taken, nil
}

func (b *appBooks) Merchant(_ context.Context, id string) (merchant.Merchant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.merchants[id]
	if m == nil {
		return merchant.Merchant{}, domain.Errorf(domain.NotFound, "there is no merchant %s", id)
	}
	return *m, nil
}

func (b *appBooks) SubmitMerchant(_ context.Context, c merchant.Command, _ eventstore.Origin) (merchant.Merchant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := *b.merchants[c.Target().Merchant]
	events, err := merchant.Decide(&m, c)
	if err != nil {
		return merchant.Merchant{}, err
	}
	for _, e := range events {
		m.Evolve(e)
	}
	b.merchants[m.ID] = &m
	return m, nil
}

// balances are the books' accounts; zero ones are left out.
func (b *appBooks) balances(t *testing.T) map[string]string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	sums := map[string]money.Amount{}
	for _, r := range b.records {
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range wallet.Postings(e) {
			account := line.Account + " " + string(e.Header().Currency)
			sum, there := sums[account]
			if !there {
				sum = money.Zero(e.Header().Currency)
			}
			sums[account] = sum.Add(line.Debit).Sub(line.Credit)
		}
	}
	out := map[string]string{}
	for account, sum := range sums {
		if !sum.IsZero() {
			out[account] = sum.String()
		}
	}
	return out
}

// events are the event types of a payment, in order.
func (b *appBooks) events(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, r := range b.records {
		if r.Subject == id {
			_, short, _ := strings.Cut(r.Type, ".")
			out = append(out, short)
		}
	}
	return strings.Join(out, " ")
}

// evidenceOf are the raw messages stored with a payment's events of a type.
func (b *appBooks) evidenceOf(id, typ string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for i, r := range b.records {
		if r.Subject == id && r.Type == typ {
			for _, e := range b.evidence[int64(i+1)] {
				out = append(out, string(e.Body))
			}
		}
	}
	return out
}

// dying is the ledger as a process sees it that may be killed.
type dying struct {
	*appBooks
	power *power
}

func (d *dying) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	name := strings.TrimPrefix(reflect.TypeOf(c).String(), "wallet.")
	if !d.power.step("before " + name) {
		return wallet.Payment{}, errPower
	}
	p, err := d.appBooks.Submit(ctx, c, o)
	if !d.power.step("after " + name) {
		return wallet.Payment{}, errPower
	}
	return p, err
}

func (d *dying) SubmitMerchant(ctx context.Context, c merchant.Command, o eventstore.Origin) (merchant.Merchant, error) {
	name := strings.TrimPrefix(reflect.TypeOf(c).String(), "merchant.")
	if !d.power.step("before " + name) {
		return merchant.Merchant{}, errPower
	}
	m, err := d.appBooks.SubmitMerchant(ctx, c, o)
	if !d.power.step("after " + name) {
		return merchant.Merchant{}, errPower
	}
	return m, err
}
