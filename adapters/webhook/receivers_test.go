package webhook_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/migrations"
)

// patience bounds what a test waits for; nothing takes that long unless it is broken.
const patience = 20 * time.Second

// onBoth runs a test on SQLite and on PostgreSQL. Each call of open is one more pool on the same store, as another process
// would have it.
func onBoth(t *testing.T, test func(t *testing.T, open func() *sql.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, sqliteWork(t)) })
	t.Run("postgres", func(t *testing.T) {
		u, err := url.Parse(testpg.DSN(t))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("search_path", migrations.Work)
		u.RawQuery = q.Encode()
		test(t, workPool(t, "pgx", u.String(), migrations.Postgres))
	})
}

// sqliteWork is for tests of what no database has a part in.
func sqliteWork(t *testing.T) func() *sql.DB {
	t.Helper()
	file := filepath.Join(t.TempDir(), "work.db")
	dsn := "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)&_pragma=synchronous(OFF)&_txlock=immediate"
	return workPool(t, "sqlite", dsn, migrations.SQLite)
}

func workPool(t *testing.T, driver, dsn string, dialect migrations.Dialect) func() *sql.DB {
	return func() *sql.DB {
		t.Helper()
		db, err := sql.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		db.SetMaxOpenConns(8)
		if err := migrations.Up(t.Context(), db, dialect, migrations.Work); err != nil {
			t.Fatal(err)
		}
		return db
	}
}

// until polls until ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// must is for what cannot fail in a test that is right.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func eq[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// wallClock stands still unless it is moved.
type wallClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *wallClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *wallClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// scene is a log, merchants with their keys, and deliveries.
type scene struct {
	t     *testing.T
	clock *wallClock
	store *webhook.Store
	box   *webhook.Outbox
	logs  syncBuffer

	mu        sync.Mutex
	records   []eventstore.Record
	merchants map[string]merchant.Merchant
	secrets   map[string][]byte
}

func newScene(t *testing.T, db *sql.DB) *scene {
	s := &scene{
		t: t, clock: &wallClock{now: time.Date(2026, 3, 31, 12, 0, 0, 123456000, time.UTC)}, store: webhook.NewStore(db, db),
		merchants: map[string]merchant.Merchant{}, secrets: map[string][]byte{},
	}
	s.box = webhook.NewOutbox(s, s, s.store, s.clock.Now)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.logs.String())
		}
	})
	return s
}

// ReadSubjects plays the log.
func (s *scene) ReadSubjects(_ context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []eventstore.Record
	for _, r := range s.records {
		if r.Partition == partition && slices.Contains(subjects, r.Subject) {
			list = append(list, r)
		}
	}
	return list, nil
}

// Merchant gives a merchant as it is now.
func (s *scene) Merchant(_ context.Context, id string) (merchant.Merchant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, known := s.merchants[id]
	if !known {
		return merchant.Merchant{}, domain.Errorf(domain.NotFound, "there is no merchant %s", id)
	}
	m.Keys = slices.Clone(m.Keys)
	return m, nil
}

// Secret gives what signs.
func (s *scene) Secret(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, known := s.secrets[name]
	if !known {
		return nil, vault.ErrNotFound
	}
	return secret, nil
}

// apiKey is the key in clear of a merchant that join makes.
func apiKey(id string) string { return "klyro_of_" + id }

// join makes a merchant with one key, apiKey(id).
func (s *scene) join(id, callbackURL string) {
	s.change(id, func(m *merchant.Merchant) { m.ID, m.CallbackURL = id, callbackURL })
	s.addKey(id, merchant.Key{ID: "key_" + id, Role: merchant.Full, CreatedAt: s.clock.Now()}, apiKey(id))
}

func (s *scene) change(id string, f func(m *merchant.Merchant)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.merchants[id]
	f(&m)
	s.merchants[id] = m
}

func (s *scene) addKey(id string, key merchant.Key, clear string) {
	s.change(id, func(m *merchant.Merchant) { m.Keys = append(slices.Clone(m.Keys), key) })
	s.mu.Lock()
	defer s.mu.Unlock()
	midstates := vault.NewMidstates([]byte(clear))
	s.secrets[webhook.SecretName(key.ID)] = midstates[:]
}

// record appends an event to the log.
func (s *scene) record(e wallet.Event) eventstore.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := eventstore.Record{
		Partition: 0, Seq: int64(len(s.records) + 1), Subject: e.Header().Payment, Stream: "wallet:" + e.Header().Merchant + ":INR",
		Type: e.Type(), Schema: e.Schema(), EventID: must(uuid.NewV7()), Data: must(wallet.Encode(e)),
		EffectiveAt: s.clock.Now(), RecordedAt: s.clock.Now(),
	}
	s.records = append(s.records, r)
	return r
}

func rupees(text string) money.Amount { return money.MustParse(text, money.INR) }

func price(amount, commission string) wallet.Priced {
	return wallet.Priced{Amount: rupees(amount), Commission: rupees(commission), Tax: rupees("0")}
}

func of(merchantID, payment string) wallet.Of {
	return wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: payment}
}

// asked appends a payin that waits for its customer.
func (s *scene) asked(merchantID, payment string) {
	s.record(&wallet.PayinCreated{Of: of(merchantID, payment), Priced: price("1000", "10"), OrderID: "ORDER-" + payment, TxnRef: "REF-" + payment})
}

func (s *scene) paid(merchantID, payment string) eventstore.Record {
	return s.record(&wallet.PayinSucceeded{Of: of(merchantID, payment), Priced: price("1000", "10"), UTR: "407241812279"})
}

// handle hands a record to the outbox.
func (s *scene) handle(r eventstore.Record) {
	s.t.Helper()
	if err := s.box.Handle(s.t.Context(), r); err != nil {
		s.t.Fatal(err)
	}
}

// callback makes a delivery about a payin of its own, and returns its id.
func (s *scene) callback(merchantID, payment string) string {
	s.t.Helper()
	s.asked(merchantID, payment)
	r := s.paid(merchantID, payment)
	s.handle(r)
	return idOf(r)
}

// idOf is the delivery's id, as documented.
func idOf(r eventstore.Record) string { return fmt.Sprintf("cb_%x", r.EventID[:]) }

func (s *scene) get(id string) (webhook.Delivery, []webhook.Attempt) {
	s.t.Helper()
	d, attempts, err := s.store.Get(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return d, attempts
}

func (s *scene) await(id string, state webhook.State) (webhook.Delivery, []webhook.Attempt) {
	s.t.Helper()
	until(s.t, id+" "+string(state), func() bool {
		d, _ := s.get(id)
		return d.State == state
	})
	return s.get(id)
}

// awaitAttempt waits until the n-th attempt has ended.
func (s *scene) awaitAttempt(id string, n int) (webhook.Delivery, webhook.Attempt) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("attempt %d of %s", n, id), func() bool {
		_, attempts := s.get(id)
		return len(attempts) >= n && !attempts[n-1].FinishedAt.IsZero()
	})
	d, attempts := s.get(id)
	return d, attempts[n-1]
}

// loopback allows what the receivers of these tests listen on.
func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

// run starts a sender and returns what stops it and waits; it ends with the test in any case.
func (s *scene) run(store *webhook.Store, o webhook.Options) (stop func()) {
	s.t.Helper()
	o.Clock = s.clock.Now
	o.Logger = slog.New(slog.NewJSONHandler(&s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Poll == 0 {
		o.Poll = 2 * time.Millisecond
	}
	if o.Allow == nil {
		o.Allow = loopback()
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	sender := webhook.NewSender(store, s, s, o)
	go func() {
		defer close(done)
		sender.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}

// barrier proves that the sender has looked since: another merchant's callback, made now, has arrived.
func (s *scene) barrier() {
	s.t.Helper()
	name := "mer_barrier" + uuid.NewString()[:8]
	s.join(name, newReceiver(s.t).URL)
	s.await(s.callback(name, "txn_"+name), webhook.Delivered)
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// call is one request that a receiver got.
type call struct {
	path   string
	header http.Header
	body   []byte
}

// receiver is a merchant's server.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	calls  []call
	answer http.HandlerFunc // nil: 200
}

func newReceiver(t *testing.T) *receiver { return receiverThat(t, nil) }

func receiverThat(t *testing.T, answer http.HandlerFunc) *receiver {
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err = errors.Join(err, req.Body.Close()); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.calls = append(r.calls, call{req.URL.RequestURI(), req.Header.Clone(), body})
	r.mu.Unlock()
	if r.answer != nil {
		r.answer(w, req)
	}
}

func (r *receiver) got() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// answering gives a fixed status.
func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body) //nolint:errcheck // the sender notices
	}
}

// newStore is a store whose commits all go the same way.
func newStore(db *sql.DB) *webhook.Store { return webhook.NewStore(db, db) }
