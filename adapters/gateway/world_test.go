package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/sandbox"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

const merchantID = "mer_0123456789abcdef"

// Personal data of the tests: none of it may show in a log.
const (
	beneficiaryName   = "Rahul Sharma"
	beneficiaryMobile = "9876543210"
	accountStem       = "40091122" // account numbers are this and two digits
)

var secret = []byte("a secret of the test, long enough")

// memoryLedger runs the domain's own decisions in memory: what adapters/ledger does on a log.
type memoryLedger struct {
	mu       sync.Mutex
	wallet   *wallet.Wallet
	payments map[string]*wallet.Payment
	keys     map[string]int64
	records  []eventstore.Record
	evidence map[int64][]eventstore.Evidence
	change   chan struct{} // closed and replaced with each append
}

func newMemoryLedger() *memoryLedger {
	return &memoryLedger{
		wallet: wallet.NewWallet(merchantID, money.INR), payments: map[string]*wallet.Payment{}, keys: map[string]int64{},
		evidence: map[int64][]eventstore.Evidence{}, change: make(chan struct{}),
	}
}

func (l *memoryLedger) Submit(_ context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range c.Keys() {
		if seq, taken := l.keys[k]; taken {
			return wallet.Payment{}, &executor.DuplicateError{Key: k, Position: eventstore.Position{Seq: seq}}
		}
	}
	id := c.Target().Payment
	p := l.payments[id]
	if p == nil {
		p = &wallet.Payment{}
	}
	events, err := wallet.Decide(l.wallet, p, c)
	if err != nil {
		return wallet.Payment{}, err
	}
	if len(events) > 0 {
		for _, k := range c.Keys() {
			l.keys[k] = int64(len(l.records) + 1)
		}
		l.evidence[int64(len(l.records)+1)] = o.Evidence
	}
	for _, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return wallet.Payment{}, err
		}
		eventID := uuid.New()
		if p.Kind == "" {
			p.SealID = eventID.String()
		}
		l.wallet.Evolve(e)
		p.Evolve(e, c.Effective())
		l.payments[id] = p
		l.records = append(l.records, eventstore.Record{
			Seq: int64(len(l.records) + 1), Stream: wallet.Stream(merchantID, money.INR), Subject: id, Type: e.Type(), Schema: e.Schema(),
			EventID: eventID, EffectiveAt: c.Effective(), Data: data,
		})
	}
	if len(events) > 0 {
		close(l.change)
		l.change = make(chan struct{})
	}
	return *p, nil
}

func (l *memoryLedger) Payment(_ context.Context, merchant, id string) (wallet.Payment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.payments[id]
	if p == nil || p.Merchant != merchant {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is no transaction %s", id)
	}
	return *p, nil
}

func (l *memoryLedger) Record(_ context.Context, p eventstore.Position) (eventstore.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Seq < 1 || p.Seq > int64(len(l.records)) {
		return eventstore.Record{}, eventstore.ErrNotFound
	}
	return l.records[p.Seq-1], nil
}

func (l *memoryLedger) Subject(_ context.Context, reference string) (string, string, wallet.Kind, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range l.payments {
		if id == reference || (p.TxnRef != "" && p.TxnRef == reference) {
			return p.Merchant, id, p.Kind, true, nil
		}
	}
	return "", "", "", false, nil
}

func (l *memoryLedger) PendingPayments(_ context.Context, kind wallet.Kind, after string, limit int) ([]gateway.PendingPayment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []gateway.PendingPayment
	for {
		least := ""
		for id, p := range l.payments {
			if id > after && (least == "" || id < least) && p.Kind == kind && p.Status == wallet.Pending {
				least = id
			}
		}
		if least == "" || len(out) == limit {
			return out, nil
		}
		p := l.payments[least]
		out = append(out, gateway.PendingPayment{Merchant: p.Merchant, ID: least, Gateway: p.Gateway, ExpiresAt: p.ExpiresAt})
		after = least
	}
}

// since returns the records behind a position, and a channel that is closed when there are more.
func (l *memoryLedger) since(after int) ([]eventstore.Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]eventstore.Record(nil), l.records[after:]...), l.change
}

// types are the event types of a payment, in order.
func (l *memoryLedger) types(id string) string {
	records, _ := l.since(0)
	var out []string
	for _, r := range records {
		if r.Subject == id {
			_, short, _ := strings.Cut(r.Type, ".")
			out = append(out, short)
		}
	}
	return strings.Join(out, " ")
}

// logBuffer collects everything that is logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// world is a ledger and a sandbox bank, talking HTTP.
type world struct {
	t      *testing.T
	ledger *memoryLedger
	logs   *logBuffer
	log    *slog.Logger
	url    string
	bank   *sandbox.Bank
	dir    string
	counts sync.Map // gateway.Event -> *atomic.Int64
	fault  atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	ids    atomic.Int64
	ahead  atomic.Int64 // what the clock of the processes shows too much
}

func newWorld(t *testing.T, delay time.Duration) *world {
	t.Helper()
	w := &world{t: t, ledger: newMemoryLedger(), logs: &logBuffer{}, dir: t.TempDir()}
	w.log = slog.New(slog.NewJSONHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	mux := http.NewServeMux()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f := w.fault.Load(); f != nil && (*f)(rw, r) {
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	bank, err := sandbox.Open(t.Context(), filepath.Join(w.dir, "sandbox.db"), sandbox.Options{
		Secret: secret, CallbackBase: server.URL, Delay: delay, Log: w.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.bank = bank
	client := w.client()
	mux.Handle("/sandbox/", bank)
	mux.Handle("/gateways/", gateway.NewInbound(w.ledger, w.ledger, []gateway.Callbacks{client}, w.options()))
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- bank.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ran, bank.Close()); err != nil {
			t.Error(err)
		}
		for _, personal := range []string{beneficiaryName, beneficiaryMobile, accountStem} {
			if strings.Contains(w.logs.String(), personal) {
				t.Errorf("personal data in the logs: %s", personal)
			}
		}
	})
	w.submit(wallet.AdjustWallet{
		Base: w.base("txn_funds"), Amount: money.MustParse("1000000", money.INR), Reason: "funds", Actor: "test",
	})
	return w
}

func (w *world) options() gateway.Options {
	return gateway.Options{Log: w.log, Lease: 300 * time.Millisecond, Clock: w.now, Count: func(_ string, e gateway.Event) {
		n, _ := w.counts.LoadOrStore(e, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}}
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) count(e gateway.Event) int64 {
	n, ok := w.counts.Load(e)
	if !ok {
		return 0
	}
	return n.(*atomic.Int64).Load()
}

func (w *world) client() *sandbox.Client {
	w.t.Helper()
	c, err := sandbox.NewClient(w.url, secret, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) base(id string) wallet.Base {
	return wallet.Base{Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: id}, At: eventstore.Micros(time.Now())}
}

func (w *world) submit(c wallet.Command) {
	w.t.Helper()
	if _, err := w.ledger.Submit(w.t.Context(), c, eventstore.Origin{}); err != nil {
		w.t.Fatal(err)
	}
}

func charge(commission string) fee.Charge {
	return fee.Charge{Commission: money.MustParse(commission, money.INR), Tax: money.Zero(money.INR)}
}

// payout initiates a payout to the account with these last two digits.
func (w *world) payout(digits string) string {
	w.t.Helper()
	id := fmt.Sprintf("txn_payout%s%04d", digits, w.ids.Add(1))
	sealed, err := json.Marshal(wallet.Beneficiary{Name: beneficiaryName, AccountNo: accountStem + digits, Mobile: beneficiaryMobile})
	if err != nil {
		w.t.Fatal(err)
	}
	w.submit(wallet.InitiatePayout{
		Base: w.base(id), Amount: money.MustParse("5000", money.INR), Charge: charge("10"), RequestID: id, IFSC: "SBIN0001234",
		BankName: "State Bank of India", AccountLast4: "22" + digits, TransferType: "5", Sealed: string(sealed),
	})
	return id
}

// payin asks for 1000, for so long.
func (w *world) payin(lasts time.Duration) (id, ref string) {
	w.t.Helper()
	n := w.ids.Add(1)
	id, ref = fmt.Sprintf("txn_payin%04d", n), fmt.Sprintf("PAYIN-REF-%04d", n)
	b := w.base(id)
	w.submit(wallet.CreatePayin{
		Base: b, Amount: money.MustParse("1000", money.INR), Charge: charge("10"), OrderID: id, TxnRef: ref,
		IntentURL: intentURL(ref), Gateway: "sandbox", ExpiresAt: b.At.Add(lasts),
	})
	return id, ref
}

func intentURL(ref string) string {
	return "upi://pay?pa=ledger%40sandbox&pn=Test&tr=" + ref + "&am=1000.00&cu=INR&tn=Payment&mode=04"
}

// pay plays the customer.
func (w *world) pay(ref, outcome, amount string) {
	w.t.Helper()
	body := map[string]string{"intent_url": intentURL(ref), "outcome": outcome}
	if amount != "" {
		body["amount"] = amount
	}
	b, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := http.Post(w.url+"/sandbox/upi/pay", "application/json", bytes.NewReader(b))
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("pay: %s", res.Status)
	}
}

func (w *world) payment(id string) wallet.Payment {
	w.t.Helper()
	p, err := w.ledger.Payment(w.t.Context(), merchantID, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// until waits for something that is going to become true.
func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for range 6000 {
		if f() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Fatalf("waited in vain until %s\nlogs:\n%s", what, w.logs.String())
}

func (w *world) untilStatus(id string, s wallet.Status) {
	w.t.Helper()
	w.until(fmt.Sprintf("%s is %s", id, s), func() bool { return w.payment(id).Status == s })
}

// truth is the bank's own list: status by reference.
func (w *world) truth() map[string]string {
	w.t.Helper()
	res, err := http.Get(w.url + "/sandbox/bank/transfers")
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var list struct {
		Transfers []struct{ Reference, Status, Amount, UTR string }
	}
	b, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(b, &list)
	}
	if err != nil {
		w.t.Fatalf("%v: %s", err, b)
	}
	out := map[string]string{}
	for _, x := range list.Transfers {
		if _, twice := out[x.Reference]; twice {
			w.t.Errorf("the bank has two transfers of %s", x.Reference)
		}
		if x.Amount != "5000.00" {
			w.t.Errorf("the bank has %s of %s", x.Amount, x.Reference)
		}
		out[x.Reference] = x.Status
	}
	return out
}

// agree checks that bank and ledger say the same of the payouts, and that the wallet adds up.
func (w *world) agree(ids ...string) {
	w.t.Helper()
	truth := w.truth()
	gone, locked := 0, 0
	for _, id := range ids {
		p := w.payment(id)
		says, known := truth[id]
		ok := false
		switch p.Status {
		case wallet.Success:
			ok = says == "paid"
			gone++
		case wallet.Refunded:
			ok = !known || says == "failed" || says == "returned"
		case wallet.Pending:
			ok = !known || says == "pending"
			locked++
		default:
		}
		if !ok {
			w.t.Errorf("%s is %s in the ledger and %q at the bank (events: %s)", id, p.Status, says, w.ledger.types(id))
		}
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	available := money.FromMinor(int64(1_000_000_00-5010_00*(gone+locked)), money.INR)
	if !w.ledger.wallet.Available.Equal(available) || !w.ledger.wallet.Locked.Equal(money.FromMinor(int64(5010_00*locked), money.INR)) {
		w.t.Errorf("available %s, locked %s; want %s and %d payouts", w.ledger.wallet.Available, w.ledger.wallet.Locked, available, locked)
	}
}
