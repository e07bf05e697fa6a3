package gateway_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// Ids of the tests.
const (
	appID    = "ap_Shop00001"
	otherApp = "ap_Other0001"
	configA  = "gc_AAAAAAAAA" // of fake, first
	configB  = "gc_BBBBBBBBB" // of spare, second
)

// What must not show in any log.
const (
	customerName  = "Asha Verma"
	customerPhone = "9812345678"
)

// shop is an app with its gateways, in a world with a clock of its own.
type shop struct {
	t      *testing.T
	books  *appBooks
	fake   *company
	spare  *company
	vault  *vault.Vault
	jobs   *work.Store
	logs   *logBuffer
	log    *slog.Logger
	ahead  atomic.Int64
	counts sync.Map
	n      int
}

// onStores runs a test with the work and the secrets on SQLite, and on PostgreSQL.
func onStores(t *testing.T, test func(t *testing.T, s *shop)) {
	t.Helper()
	for _, dialect := range []migrations.Dialect{migrations.SQLite, migrations.Postgres} {
		t.Run(string(dialect), func(t *testing.T) { test(t, newShop(t, dialect)) })
	}
}

func newShop(t *testing.T, dialect migrations.Dialect) *shop {
	t.Helper()
	s := &shop{t: t, books: newAppBooks(), fake: newCompany("fake"), spare: newCompany("spare"), logs: &logBuffer{}}
	s.log = slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dsn := ""
	if dialect == migrations.Postgres {
		dsn = testpg.DSN(t)
	}
	open := func(area string) *sql.DB {
		driver, address := "sqlite", "file:"+filepath.Join(t.TempDir(), area+".db")+
			"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)&_pragma=synchronous(OFF)&_txlock=immediate"
		if dialect == migrations.Postgres {
			driver, address = "pgx", dsn+"&search_path="+area
		}
		db, err := sql.Open(driver, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		db.SetMaxOpenConns(8)
		if err := migrations.Up(t.Context(), db, dialect, area); err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open(migrations.Work)
	s.jobs = work.New(db, db)
	var err error
	if s.vault, err = vault.Open(t.Context(), open(migrations.Secrets), vault.NewKey()); err != nil {
		t.Fatal(err)
	}
	s.app(appID)
	s.verified(appID, configA, "fake")
	s.verified(appID, configB, "spare")
	t.Cleanup(func() {
		for _, secret := range []string{"secret of", "hook of", customerName, customerPhone} {
			if strings.Contains(s.logs.String(), secret) {
				t.Errorf("%q in the logs", secret)
			}
		}
	})
	return s
}

// app makes an app that takes rupees and dollars.
func (s *shop) app(id string) {
	m := &merchant.Merchant{}
	of := merchant.Of{Merchant: id, Actor: "test"}
	m.Evolve(&merchant.Created{Of: of, Name: "Shop"})
	var currencies []merchant.AppCurrency
	for _, c := range []money.Currency{money.INR, "USD"} {
		currencies = append(currencies, merchant.AppCurrency{Currency: c, Enabled: true, Plan: merchant.AppPlan(c)})
	}
	m.Evolve(&merchant.AppOpened{Of: of, UserID: "us_Owner0001", Mode: merchant.Test, Currencies: currencies, Domains: []string{"https://shop.example"}})
	s.books.merchants[id] = m
}

func (s *shop) change(c merchant.Command) {
	s.t.Helper()
	if _, err := s.books.SubmitMerchant(s.t.Context(), c, eventstore.Origin{}); err != nil {
		s.t.Fatal(err)
	}
}

// added gives an app a gateway that waits for its trial.
func (s *shop) added(app, config, name string) {
	s.t.Helper()
	of := merchant.Of{Merchant: app, Actor: "test"}
	b, err := json.Marshal(merchant.GatewaySecrets{
		Credentials: map[string]string{"key_id": "public of " + config, "key_secret": "secret of " + config}, WebhookSecret: "hook of " + config,
	})
	if err == nil {
		err = s.vault.PutSecret(s.t.Context(), merchant.GatewaySecretName(config, 2), b)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.change(merchant.AddGateway{Of: of, Config: config, Gateway: name})
	s.change(merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepCredentials, Version: 1, Public: "public of " + config})
	s.change(merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepWebhook, Version: 2})
	s.change(merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepPackage, Version: 2})
}

// verified gives an app a gateway that takes payments.
func (s *shop) verified(app, config, name string) {
	s.t.Helper()
	of := merchant.Of{Merchant: app, Actor: "test"}
	s.added(app, config, name)
	s.change(merchant.StartTrial{Of: of, Config: config, Transaction: "tx_Trial0000"})
	s.change(merchant.EndTrial{Of: of, Config: config, Transaction: "tx_Trial0000", Passed: true})
	s.change(merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepSecurity, Version: 2})
	s.change(merchant.SwitchGateway{Of: of, Config: config, Enabled: true})
}

func (s *shop) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func (s *shop) pass(d time.Duration) { s.ahead.Add(int64(d)) }

func (s *shop) count(e gateway.Event) int64 {
	n, ok := s.counts.Load(e)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

func (s *shop) options() gateway.CheckoutOptions {
	return gateway.CheckoutOptions{
		Options: gateway.Options{Log: s.log, Clock: s.now, Lease: 300 * time.Millisecond, Count: func(_ string, e gateway.Event) {
			n, _ := s.counts.LoadOrStore(e, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
		}},
		ReturnURL: func(p wallet.Payment) string { return "https://ours.example/return/" + p.Payment },
		WebhookURL: func(name, app, config string) string {
			return "https://ours.example" + gateway.WebhookPath(name, app, config)
		},
		Base:     func(name string, mode merchant.Mode) string { return "https://" + string(mode) + ".example/" + name },
		Patience: 30 * time.Millisecond,
	}
}

// process is one process's checkouts; kill says at which step it dies, 0 never.
func (s *shop) process(kill int) (*gateway.Checkouts, *power) {
	s.t.Helper()
	p := &power{at: kill}
	s.fake.power, s.spare.power = p, p
	c, err := gateway.NewCheckouts(&dying{s.books, p}, s.vault, s.jobs, []gateway.Checkout{s.fake, s.spare}, s.options())
	if err != nil {
		s.t.Fatal(err)
	}
	return c, p
}

func (s *shop) checkouts() *gateway.Checkouts {
	s.t.Helper()
	c, _ := s.process(0)
	return c
}

// runs runs what a process does in the background, until the test ends.
func (s *shop) runs(c *gateway.Checkouts) {
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	s.t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			s.t.Error(err)
		}
	})
}

func (s *shop) merchant(id string) merchant.Merchant {
	s.t.Helper()
	m, err := s.books.Merchant(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// payin initiates a transaction of 1000 rupees.
func (s *shop) payin(change ...func(*wallet.CreatePayin)) wallet.Payment {
	s.t.Helper()
	s.n++
	id := fmt.Sprintf("tx_Payin%04d", s.n)
	command := uuid.Must(uuid.NewV7())
	sealed, err := s.vault.SealString(s.t.Context(), appID, command, `{"phone":"`+customerPhone+`","name":"`+customerName+`"}`)
	if err != nil {
		s.t.Fatal(err)
	}
	c := wallet.CreatePayin{
		Base:   wallet.Base{Of: wallet.Of{Merchant: appID, Currency: money.INR, Payment: id}, At: eventstore.Micros(s.now())},
		Amount: money.MustParse("1000", money.INR), Charge: charge("10"), OrderID: "ref-" + id, TxnRef: id, Sealed: sealed,
		Gateway: wallet.Unrouted, ExpiresAt: s.now().Add(30 * time.Minute), Method: string(merchant.UPI),
	}
	for _, f := range change {
		f(&c)
	}
	p, err := s.books.Submit(s.t.Context(), c, eventstore.Origin{Command: command})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// ordered is a payin that has its order.
func (s *shop) ordered(c *gateway.Checkouts, change ...func(*wallet.CreatePayin)) wallet.Payment {
	s.t.Helper()
	p := s.payin(change...)
	p, err := c.Ensure(s.t.Context(), s.merchant(p.Merchant), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *shop) payment(id string) wallet.Payment {
	s.t.Helper()
	p, err := s.books.Payment(s.t.Context(), appID, id)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// body is a message as the companies of the tests write it.
func (s *shop) body(messages ...gateway.Message) []byte {
	s.t.Helper()
	b, err := json.Marshal(messages)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// hook posts a message as it comes, to the URL of an app's configuration, signed with a secret for a time.
func (s *shop) hook(c http.Handler, name, app, config, secret string, at time.Time, body []byte) int {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, gateway.WebhookPath(name, app, config), strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-At", strconv.FormatInt(at.Unix(), 10))
	r.Header.Set("X-Signature", sign(secret, at.Unix(), body))
	r.Header.Set("Authorization", "Basic c2VjcmV0")
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Code
}

// tell posts genuine messages about orders of configuration A.
func (s *shop) tell(c http.Handler, messages ...gateway.Message) int {
	s.t.Helper()
	return s.hook(c, "fake", appID, configA, "hook of "+configA, s.now(), s.body(messages...))
}

func success(p wallet.Payment, id string) gateway.Message {
	return gateway.Message{
		ID: "evt_" + id, Reference: p.Payment, OrderID: p.Checkout.Order,
		Payment: &gateway.Payment{PaymentID: id, Amount: "1000.00", Currency: "INR", Paid: true, Method: "upi", SubMethod: "okaxis"},
	}
}

func (s *shop) until(what string, f func() bool) {
	s.t.Helper()
	for range 4000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain until %s\nlogs:\n%s", what, s.logs.String())
}

// contextOf is a context that the test ends itself.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(context.WithoutCancel(t.Context()))
}
