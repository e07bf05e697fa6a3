package kspay_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// errAway is a store's fault; nothing of it may show.
var errAway = errors.New("the database on 10.0.0.7 is away: password=hunter2")

// books is a ledger in memory: it decides with the domain, under one lock, and answers everything that the API asks for.
type books struct {
	mu       sync.Mutex
	apps     map[string]*merchant.Merchant
	wallets  map[string]*wallet.Wallet
	payments map[string]*wallet.Payment
	order    []string // of the payments, oldest first
	keys     map[string]eventstore.Position
	records  []eventstore.Record
	origins  []eventstore.Origin
	spent    map[string]bool
	stale    map[string]merchant.Merchant // what Merchant still says of an app
	taken    int                          // ids that Subject says are taken, before it looks

	// Faults to inject.
	merchantFault, submitFault, viewFault, logFault, sealFault, spentFault error
	panics                                                                 bool
}

func newBooks() *books {
	return &books{
		apps: map[string]*merchant.Merchant{}, wallets: map[string]*wallet.Wallet{}, payments: map[string]*wallet.Payment{},
		keys: map[string]eventstore.Position{}, spent: map[string]bool{},
	}
}

func (b *books) Merchant(_ context.Context, id string) (merchant.Merchant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.panics {
		panic("a fault of ours")
	}
	if b.merchantFault != nil {
		return merchant.Merchant{}, b.merchantFault
	}
	if old, kept := b.stale[id]; kept {
		return old, nil
	}
	return b.app(id)
}

func (b *books) MerchantNow(_ context.Context, id string) (merchant.Merchant, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.merchantFault != nil {
		return merchant.Merchant{}, b.merchantFault
	}
	return b.app(id)
}

func (b *books) app(id string) (merchant.Merchant, error) {
	m := b.apps[id]
	if m == nil {
		return merchant.Merchant{}, domain.Errorf(domain.NotFound, "there is no merchant %s", id)
	}
	return *m, nil
}

func (b *books) ByKeyHash(_ context.Context, hash string) (merchant.Merchant, merchant.Key, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.apps {
		if k, found := m.KeyByHash(hash); found {
			return *m, k, true, b.merchantFault
		}
	}
	return merchant.Merchant{}, merchant.Key{}, false, b.merchantFault
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
	of := c.Target()
	keys := c.Keys()
	if o.IdempotencyKey != "" {
		keys = append([]string{o.IdempotencyKey}, keys...)
	}
	for _, k := range keys {
		if at, taken := b.keys[k]; taken {
			return wallet.Payment{}, &executor.DuplicateError{Key: k, Position: at}
		}
	}
	stream := wallet.Stream(of.Merchant, of.Currency)
	if b.wallets[stream] == nil {
		b.wallets[stream] = wallet.NewWallet(of.Merchant, of.Currency)
	}
	w, p := b.wallets[stream], b.payments[of.Payment]
	if p == nil {
		p = &wallet.Payment{}
	}
	events, err := wallet.Decide(w, p, c)
	if err != nil || len(events) == 0 {
		return *p, err
	}
	if p.Kind == "" {
		p.SealID = o.Command.String()
		b.payments[of.Payment] = p
		b.order = append(b.order, of.Payment)
	}
	b.records = append(b.records, eventstore.Record{
		Seq: int64(len(b.records) + 1), Subject: of.Payment, Keys: keys,
		Meta: eventstore.Meta{Command: o.Command.String(), Actor: o.Actor, Request: o.Request, BodyHash: o.BodyHash}.Bytes(),
	})
	b.origins = append(b.origins, o)
	for _, k := range keys {
		b.keys[k] = eventstore.Position{Seq: int64(len(b.records))}
	}
	for _, e := range events {
		w.Evolve(e)
		p.Evolve(e, c.Effective())
	}
	return *p, nil
}

// do submits a command that must be accepted.
func (b *books) do(t testing.TB, c wallet.Command) wallet.Payment {
	t.Helper()
	p, err := b.Submit(t.Context(), c, eventstore.Origin{Command: uuid.New()})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (b *books) Payment(_ context.Context, merchantID, id string) (wallet.Payment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.payments[id]
	if b.logFault != nil {
		return wallet.Payment{}, b.logFault
	}
	if p == nil || p.Merchant != merchantID {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is no transaction %s", id)
	}
	return *p, nil
}

func (b *books) Lookup(_ context.Context, _, key string) (eventstore.Position, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, taken := b.keys[key]
	return at, taken, b.logFault
}

func (b *books) Record(_ context.Context, p eventstore.Position) (eventstore.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.records[p.Seq-1], b.logFault
}

func (b *books) SealString(_ context.Context, owner string, id uuid.UUID, plaintext string) (string, error) {
	return base64.RawURLEncoding.EncodeToString([]byte(owner + "|" + id.String() + "|" + plaintext)), b.sealFault
}

// Matches implements kspay.Vault.
func (b *books) Matches(_ context.Context, _ uuid.UUID, committed, text string) (bool, error) {
	return committed == text, b.sealFault
}

// opened is what SealString has sealed for a payment.
func opened(t testing.TB, p *wallet.Payment) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(p.Sealed)
	parts := strings.SplitN(string(text), "|", 3)
	if err != nil || len(parts) != 3 || parts[0] != p.Merchant || parts[1] != p.SealID {
		t.Fatalf("%q is not sealed for %s", text, p.Payment)
	}
	return parts[2]
}

func (b *books) Payins(_ context.Context, q kspay.Query) (kspay.Page, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.viewFault != nil {
		return kspay.Page{}, b.viewFault
	}
	var all []wallet.Payment
	for _, id := range slices.Backward(b.order) {
		p := b.payments[id]
		if p.Merchant == q.App && p.Kind == wallet.KindPayin && !p.CreatedAt.Before(q.From) && (q.Until.IsZero() || p.CreatedAt.Before(q.Until)) {
			all = append(all, *p)
		}
	}
	from := min((q.Page-1)*q.Limit, len(all))
	return kspay.Page{Items: all[from:min(from+q.Limit, len(all))], Total: int64(len(all))}, nil
}

func (b *books) Subject(_ context.Context, id string) (merchantID, payment string, kind wallet.Kind, found bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.taken > 0 {
		b.taken--
		return "ap_somebody0", id, wallet.KindPayin, true, b.viewFault
	}
	p := b.payments[id]
	if p == nil || b.viewFault != nil {
		return "", "", "", false, b.viewFault
	}
	return p.Merchant, p.Of.Payment, p.Kind, true, nil
}

func (b *books) SpendOnce(_ context.Context, id string, _ time.Time) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spentFault != nil {
		return false, b.spentFault
	}
	first := !b.spent[id]
	b.spent[id] = true
	return first, nil
}

// gateways has orders made, by the ledger's own commands, at companies that do as they are told.
type gateways struct {
	*books
	t     testing.TB
	clock func() time.Time

	mu       sync.Mutex
	n        int
	fault    error             // of Ensure, before anything
	refuses  map[string]string // by gateway: "no", "account", "silent" or "dies"
	gone     bool              // Client and Hash know no gateway
	hashErr  error
	asked    []string // gateways that were asked for an order
	noConfig bool
}

func (*gateways) Methods(gateway string) []merchant.Method {
	switch gateway {
	case "razorpay":
		return []merchant.Method{merchant.UPI, merchant.NetBanking, merchant.DebitCard, merchant.CreditCard, merchant.EWallet}
	case "payu":
		return []merchant.Method{merchant.UPI, merchant.NetBanking}
	case "paypal":
		return []merchant.Method{merchant.PayPal}
	}
	return nil
}

var errDies = errors.New("the process dies here")

func (g *gateways) Ensure(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fault != nil {
		return p, g.fault
	}
	for p.Checkout.Order == "" {
		at := wallet.Base{Of: p.Of, At: g.clock()}
		candidates := app.App.Candidates(p.Currency, merchant.Method(p.Checkout.Method), g.Methods, func(string) bool { return false })
		routed, err := g.Submit(ctx, wallet.RoutePayin{Base: at, Attempt: p.Checkout.Attempts + 1, Candidates: candidates}, eventstore.Origin{Command: uuid.New()})
		if domain.CodeOf(err) == domain.NotFound && len(p.Checkout.Refused) > 0 {
			return p, &kspay.OrderError{Gateway: p.Gateway, Credentials: g.refuses[p.Gateway] == "account", Err: errors.New("refused: secret_of_theirs")}
		}
		if err != nil {
			return p, err
		}
		p = routed
		k := &p.Checkout
		g.asked = append(g.asked, p.Gateway)
		switch g.refuses[p.Gateway] {
		case "dies":
			return p, errDies
		case "silent":
			g.do(g.t, wallet.RecordOrderFailure{Base: at, Attempt: k.Attempts, Config: k.Config, Code: "timeout", Unknown: true})
			return p, &kspay.OrderError{Gateway: p.Gateway, Unknown: true, Err: errors.New("timeout")}
		case "":
			g.n++
			p = g.do(g.t, wallet.RecordOrder{Base: at, Attempt: k.Attempts, Config: k.Config, Order: orderID(&p, g.n)})
		default:
			p = g.do(g.t, wallet.RecordOrderFailure{Base: at, Attempt: k.Attempts, Config: k.Config, Code: "refused"})
		}
	}
	return p, nil
}

func orderID(p *wallet.Payment, n int) string {
	if p.Gateway == "payu" { // which keeps our own
		return p.Of.Payment
	}
	return fmt.Sprintf("order_%d", n)
}

func (g *gateways) Client(_ context.Context, app merchant.Merchant, p wallet.Payment) (kspay.ClientSide, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return kspay.ClientSide{}, domain.Errorf(domain.NotFound, "no such gateway")
	}
	if p.Status != wallet.Pending {
		return kspay.ClientSide{}, domain.Errorf(domain.Stale, "payin %s is %s", p.Of.Payment, p.Status)
	}
	side := kspay.ClientSide{Gateway: p.Gateway, ClientID: "public_" + p.Gateway, Live: app.App.Mode == merchant.Live, OrderID: p.Checkout.Order}
	switch {
	case p.Gateway == "payu":
		side.Details = []kspay.Field{
			{"key", "gtKFFx"}, {"txnid", p.Of.Payment}, {"amount", p.Amount.Fixed()}, {"productinfo", "kspay"}, {"firstname", "Customer"}, {"email", "customer@example.com"},
			{"phone", "9999999999"}, {"surl", "https://pay.example/return"}, {"furl", "https://pay.example/return"}, {"enforce_paymethod", "netbanking"}, {"hash", "never shown"},
		}
	case p.Gateway == "razorpay" && p.Checkout.Method == "NET BANKING" && !g.noConfig:
		side.Config = []byte(netBanking)
	}
	return side, nil
}

const netBanking = `{"display":{"blocks":{"netbanking":{"name":"Pay using Netbanking","instruments":[{"method":"netbanking"}]}},"sequence":["block.netbanking"],"preferences":{"show_default_blocks":false}}}`

func (g *gateways) Hash(_ context.Context, _ merchant.Merchant, p wallet.Payment, name, text string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.gone:
		return "", domain.Errorf(domain.NotFound, "no such gateway")
	case g.hashErr != nil:
		return "", g.hashErr
	case !strings.Contains(text, p.Of.Payment):
		return "", domain.Errorf(domain.Forbidden, "the text is not about transaction %s", p.Of.Payment)
	}
	return fmt.Sprintf("%x", name), nil
}

// pay books what a gateway has collected.
func (s *bench) pay(id string) {
	s.t.Helper()
	p := s.books.payments[id]
	s.books.do(s.t, wallet.ReportPayment{
		Base: wallet.Base{Of: p.Of, At: s.clock()}, Gateway: p.Gateway, Config: p.Checkout.Config, PaymentID: "pay_1", Amount: p.Amount,
		Method: "netbanking", SubMethod: "HDFC", Suspense: "sus_1",
	})
}

func amountOf(s string, c money.Currency) money.Amount { return money.MustParse(s, c) }
