package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
)

const (
	merchantA = "mer_aaaaaaaaaaaaaaaa"
	merchantB = "mer_bbbbbbbbbbbbbbbb"
)

// openSealer writes whose data it is, and what it is bound to, in front of it.
type openSealer struct{ fail error }

func (s openSealer) Seal(_ context.Context, owner string, id uuid.UUID, plaintext []byte) ([]byte, error) {
	return append([]byte("sealed for "+owner+" "+id.String()+": "), plaintext...), s.fail
}

// Commit writes whose request it is, and of which command, in front of its digest.
func (s openSealer) Commit(_ context.Context, owner string, id uuid.UUID, text string) (string, error) {
	return owner + " " + id.String() + " " + text, s.fail
}

// Fingerprint writes whose text it is in front of it.
func (s openSealer) Fingerprint(_ context.Context, owner, text string) (string, error) {
	return "print of " + owner + " " + text, s.fail
}

// book is a ledger on a log, with short ways to submit.
type book struct {
	*ledger.Ledger
	t    *testing.T
	log  eventstore.Store
	tail *tail.Tail
	n    int
}

// open opens a ledger on a log; several may be open on one, as several processes are.
func open(t *testing.T, log eventstore.Store) *book {
	t.Helper()
	info, err := log.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b := &book{t: t, log: log, tail: tail.New(log, info.Partitions, time.Hour, nil)}
	b.Ledger, err = ledger.Open(t.Context(), log, openSealer{}, b.tail, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func charge(commission, tax string) fee.Charge {
	return fee.Charge{Commission: inr(commission), Tax: inr(tax), Rule: fee.Rule{Plan: "default", Version: 1}}
}

var made = time.Date(2026, 3, 31, 12, 30, 0, 0, time.UTC)

func base(merchantID, payment string) wallet.Base {
	return wallet.Base{Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: payment}, At: made}
}

func (b *book) submit(c wallet.Command) ledger.WalletResult {
	b.t.Helper()
	res, err := b.Submit(b.t.Context(), c, eventstore.Origin{
		Actor: "test", Evidence: []eventstore.Evidence{{MediaType: "application/json", Body: []byte("{}")}},
	})
	if err != nil {
		b.t.Fatalf("%T: %v", c, err)
	}
	return res
}

func (b *book) fund(merchantID, payment, amount string) {
	b.t.Helper()
	b.submit(wallet.AdjustWallet{Base: base(merchantID, payment), Amount: inr(amount), Reason: "funds", Actor: "test"})
}

func initiate(merchantID, payment, request, amount string) wallet.InitiatePayout {
	return wallet.InitiatePayout{
		Base: base(merchantID, payment), Amount: inr(amount), Charge: charge("10", "1.53"), RequestID: request, IFSC: "SBIN0001234",
		BankName: "State Bank of India", AccountLast4: "1122", TransferType: "5", Sealed: "c2VhbGVk",
	}
}

func submitted(merchantID, payment string) wallet.SubmitPayout {
	return wallet.SubmitPayout{Base: base(merchantID, payment), Attempt: 1, Gateway: "sandbox"}
}

func reported(merchantID, payment string, outcome wallet.Outcome) wallet.ReportPayout {
	c := wallet.ReportPayout{Base: base(merchantID, payment), Gateway: "sandbox", Outcome: outcome, UTR: "612345678901", Message: payment + string(outcome)}
	if outcome == wallet.OutcomeReturned {
		c.ReturnReference = "698765432109"
	}
	return c
}

func key(owner string) merchant.Key {
	return merchant.Key{ID: "key_" + owner[4:], Hash: strings.Repeat("ab", 32), Last4: "abcd", Role: merchant.Full, CreatedAt: made}
}

// history does some of everything: payins paid, suspended and credited, payouts paid, failed, returned and open, a hold.
func (b *book) history(merchantID string) {
	b.t.Helper()
	id := func(s string) string { return "txn_" + s + merchantID[4:8] }
	_, err := b.SubmitMerchant(b.t.Context(), merchant.Create{
		Of: merchant.Of{Merchant: merchantID, Actor: "test"}, Name: "Shop", Services: []merchant.Service{merchant.Payin, merchant.Payout},
		Plan: fee.Default(), Key: key(merchantID),
	}, eventstore.Origin{Actor: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.fund(merchantID, id("fund"), "20000")
	b.submit(wallet.CreatePayin{
		Base: base(merchantID, id("payin")), Amount: inr("1000"), Charge: charge("10", "1.53"), OrderID: "O-1", TxnRef: "PAYIN-REF-" + merchantID,
		Gateway: "sandbox", ExpiresAt: made.Add(time.Hour),
	})
	for i, amount := range []string{"999", "1000", "500"} {
		b.submit(wallet.ReportPayment{
			Base: base(merchantID, id("payin")), Gateway: "sandbox", PaymentID: fmt.Sprint("pay_", merchantID, i), Amount: inr(amount),
			Suspense: fmt.Sprint("sus_", i),
		})
	}
	by := "an operator"
	b.submit(wallet.CreditSuspense{Base: base(merchantID, id("payin")), Suspense: "sus_0", Charge: charge("9.99", "0"), Reason: "meant", Actor: by})
	b.submit(wallet.RefundSuspense{Base: base(merchantID, id("payin")), Suspense: "sus_2", Reason: "twice", Actor: by})
	for i, outcome := range []wallet.Outcome{wallet.OutcomePaid, wallet.OutcomeFailed, wallet.OutcomeReturned, ""} {
		payment := id(fmt.Sprint("out", i))
		b.submit(initiate(merchantID, payment, fmt.Sprint("P-", i), "1000"))
		b.submit(submitted(merchantID, payment))
		if outcome != "" {
			b.submit(reported(merchantID, payment, outcome))
		}
	}
	b.submit(wallet.PlaceHold{Base: base(merchantID, id("hold")), Amount: inr("50"), Reason: "dispute", Actor: by})
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(4))
	b.fund(merchantA, "txn_fund", "5000")
	id := uuid.Must(uuid.NewV7())
	res, err := b.Submit(t.Context(), initiate(merchantA, "txn_1", "P-1", "1000"), eventstore.Origin{
		Command: id, Actor: "key:key_1", Request: "req-1", IdempotencyKey: "idem:1", BodyHash: "abc",
		Evidence: []eventstore.Evidence{{MediaType: "application/json", Body: []byte("the body")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if res.Wallet.Available.Fixed() != "3990.00" || res.Wallet.Locked.Fixed() != "1010.00" || res.Payment.Status != wallet.Pending || res.First != res.Last {
		t.Errorf("%+v", res)
	}
	if res.Payment.SealID != id.String() {
		t.Errorf("sealed data is bound to %s, the command is %s", res.Payment.SealID, id)
	}
	r, err := b.Record(t.Context(), res.First)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := eventstore.ParseMeta(r.Meta)
	if err != nil || meta != (eventstore.Meta{Command: id.String(), Actor: "key:key_1", Request: "req-1", BodyHash: merchantA + " " + id.String() + " abc"}) {
		t.Errorf("%+v, %v", meta, err)
	}
	if r.EventID != id || r.Partition != b.Partition(merchantA) || !slices.Equal(r.Keys, []string{"idem:1", wallet.PayoutKey(merchantA, "P-1")}) {
		t.Errorf("record %s of event %s with keys %q", r.Position(), r.EventID, r.Keys)
	}
	messages, err := b.log.Evidence(t.Context(), res.First)
	if err != nil || len(messages) != 1 || string(messages[0].Body) != "sealed for "+merchantA+" "+id.String()+": the body" {
		t.Errorf("%q, %v", messages, err)
	}
	for key, want := range map[string]bool{"idem:1": true, "idem:2": false} {
		at, taken, err := b.Lookup(t.Context(), merchantA, key)
		if err != nil || taken != want || taken && at != res.First {
			t.Errorf("%s: %s %v %v", key, at, taken, err)
		}
	}
	if _, err := b.Record(t.Context(), eventstore.Position{Partition: r.Partition, Seq: 99}); !errors.Is(err, eventstore.ErrNotFound) {
		t.Errorf("a record behind the head: %v", err)
	}
}

// The order of the checks: the Idempotency-Key, the reference, the balance. A refusal binds neither key.
func TestKeysAreCheckedInOrder(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(1))
	submit := func(key, request, amount string) error {
		b.n++
		_, err := b.Submit(t.Context(), initiate(merchantA, fmt.Sprint("txn_", b.n), request, amount), eventstore.Origin{IdempotencyKey: key})
		return err
	}
	if err := submit("idem:1", "P-1", "1000"); domain.CodeOf(err) != domain.InsufficientBalance {
		t.Fatalf("an empty wallet: %v", err)
	}
	b.fund(merchantA, "txn_fund", "1010")
	if err := submit("idem:1", "P-1", "1000"); err != nil {
		t.Fatalf("after the refusal: %v", err)
	}
	for _, c := range []struct{ key, request, want string }{
		{"idem:1", "P-1", "idem:1"},
		{"idem:2", "P-1", wallet.PayoutKey(merchantA, "P-1")},
		{"idem:1", "P-2", "idem:1"},
	} {
		var taken *executor.DuplicateError
		if err := submit(c.key, c.request, "1000"); !errors.As(err, &taken) || taken.Key != c.want {
			t.Errorf("%s %s: %v, want %s taken", c.key, c.request, err, c.want)
		}
	}
	if err := submit("idem:2", "P-2", "1000"); domain.CodeOf(err) != domain.InsufficientBalance {
		t.Errorf("an empty wallet: %v", err)
	}
}

// A command that is submitted again, since its outcome was not known, is not carried out twice: not even one without a dedupe
// key, and not by a process that has never heard of it.
func TestSubmittedAgain(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	b := open(t, log)
	adjust := wallet.AdjustWallet{Base: base(merchantA, "txn_1"), Amount: inr("100"), Reason: "funds", Actor: "test"}
	hold := wallet.PlaceHold{Base: base(merchantA, "txn_2"), Amount: inr("10"), Reason: "dispute", Actor: "test"}
	from := eventstore.Origin{Command: uuid.Must(uuid.NewV7())}
	b.submit(adjust)
	b.submit(hold)
	for _, again := range []*book{b, open(t, log)} {
		for _, c := range []wallet.Command{adjust, hold} {
			if _, err := again.Submit(t.Context(), c, from); domain.CodeOf(err) != domain.Stale {
				t.Errorf("%T again: %v", c, err)
			}
		}
	}
	w, err := b.Wallet(t.Context(), merchantA, money.INR)
	if err != nil || w.Available.Fixed() != "90.00" || w.Locked.Fixed() != "10.00" {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestPaymentsAreTheirMerchants(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(1)) // one partition: only the check keeps them apart
	b.fund(merchantA, "txn_1", "100")
	if p, err := b.Payment(t.Context(), merchantA, "txn_1"); err != nil || p.Kind != wallet.KindAdjustment || !p.CreatedAt.Equal(made) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, c := range [][2]string{{merchantB, "txn_1"}, {merchantA, "txn_2"}} {
		if _, err := b.Payment(t.Context(), c[0], c[1]); domain.CodeOf(err) != domain.NotFound {
			t.Errorf("%s of %s: %v", c[1], c[0], err)
		}
	}
	if owner, err := b.Owner(t.Context(), "txn_1"); err != nil || owner != merchantA {
		t.Errorf("%q, %v", owner, err)
	}
	hold := wallet.ReleaseHold{Base: base(merchantB, "txn_1"), Reason: "not mine", Actor: "test"}
	if _, err := b.Submit(t.Context(), hold, eventstore.Origin{}); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("another merchant's payment was found: %v", err)
	}
}

func TestMerchantsAndOperators(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(4))
	b.history(merchantA)
	m, err := b.SubmitMerchant(t.Context(), merchant.Suspend{Of: merchant.Of{Merchant: merchantA, Actor: "test"}, Reason: "fraud"}, eventstore.Origin{})
	if err != nil || !m.Suspended {
		t.Fatalf("%+v, %v", m, err)
	}
	m.Services[0] = "spoilt" // what was answered is the caller's
	if m, err = b.Merchant(t.Context(), merchantA); err != nil || !m.Suspended || m.Services[0] != merchant.Payin {
		t.Errorf("%+v, %v", m, err)
	}
	again := merchant.Create{Of: merchant.Of{Merchant: merchantA, Actor: "test"}, Name: "Other", Services: []merchant.Service{merchant.Payin}, Plan: fee.Default()}
	if _, err := b.SubmitMerchant(t.Context(), again, eventstore.Origin{}); domain.CodeOf(err) == "" {
		t.Errorf("made twice: %v", err)
	}
	if _, err := b.Merchant(t.Context(), merchantB); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("%v", err)
	}
	own := key("opr_aaaaaaaaaaaaaaaa")
	own.Role = merchant.Owner
	of := merchant.Of{Merchant: "opr_aaaaaaaaaaaaaaaa", Actor: "test"}
	o, err := b.SubmitOperator(t.Context(), merchant.CreateOperator{Of: of, Operator: merchant.Operator{
		ID: of.Merchant, Name: "Asha", Role: merchant.Owner, CreatedAt: made,
		Key: own,
	}}, eventstore.Origin{})
	if err != nil || o.Name != "Asha" {
		t.Errorf("%+v, %v", o, err)
	}
}

// Two processes spend the same wallet at once: together they spend what is there, and not a rupee more.
func TestTwoProcessesOneWallet(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	books := []*book{open(t, log), open(t, log)}
	books[0].fund(merchantA, "txn_fund", "10100") // ten payouts of 1000 + 10
	var made, poor atomic.Int64
	var callers sync.WaitGroup
	for i := range 40 {
		callers.Go(func() {
			_, err := books[i%2].Submit(t.Context(), initiate(merchantA, fmt.Sprint("txn_", i), fmt.Sprint("P-", i), "1000"), eventstore.Origin{})
			switch {
			case err == nil:
				made.Add(1)
			case domain.CodeOf(err) == domain.InsufficientBalance:
				poor.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if made.Load() != 10 || poor.Load() != 30 {
		t.Errorf("%d made, %d refused", made.Load(), poor.Load())
	}
	verified(t, log)
}

// What an operator settles is settled once, though two do it at once in two processes.
func TestSuspenseIsSettledOnce(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	books := []*book{open(t, log), open(t, log)}
	books[0].submit(wallet.CreatePayin{
		Base: base(merchantA, "txn_1"), Amount: inr("1000"), Charge: charge("10", "0"), OrderID: "O-1", TxnRef: "PAYIN-REF-1", Gateway: "sandbox",
		ExpiresAt: made.Add(time.Hour),
	})
	books[0].submit(wallet.ReportPayment{Base: base(merchantA, "txn_1"), Gateway: "sandbox", PaymentID: "pay_1", Amount: inr("900"), Suspense: "sus_1"})
	commands := []wallet.Command{
		wallet.CreditSuspense{Base: base(merchantA, "txn_1"), Suspense: "sus_1", Charge: charge("9", "0"), Reason: "meant", Actor: "a"},
		wallet.RefundSuspense{Base: base(merchantA, "txn_1"), Suspense: "sus_1", Reason: "not meant", Actor: "b"},
	}
	var settled, stale atomic.Int64
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			switch _, err := books[i%2].Submit(t.Context(), commands[i/2%2], eventstore.Origin{}); {
			case err == nil:
				settled.Add(1)
			case domain.CodeOf(err) == domain.Stale:
				stale.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if settled.Load() != 1 || stale.Load() != 15 {
		t.Errorf("settled %d times, refused %d times", settled.Load(), stale.Load())
	}
	verified(t, log)
}

func TestSealingFails(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	l, err := ledger.Open(t.Context(), log, openSealer{errors.New("the secrets are away")}, tail.New(log, 1, time.Hour, nil), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := wallet.AdjustWallet{Base: base(merchantA, "txn_1"), Amount: inr("100"), Reason: "funds", Actor: "test"}
	from := eventstore.Origin{Evidence: []eventstore.Evidence{{MediaType: "text/plain", Body: []byte("secret")}}}
	if _, err := l.Submit(t.Context(), c, from); !errors.Is(err, executor.ErrStore) {
		t.Errorf("%v", err)
	}
	if head, err := log.Head(t.Context(), 0); err != nil || head.Seq != 0 {
		t.Errorf("%+v, %v: it was recorded without its evidence", head, err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := l.Submit(t.Context(), c, eventstore.Origin{}); !errors.Is(err, executor.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// What a client calls evidence never stands in the log in clear.
func TestEvidenceIsSealed(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(1))
	const secret = "beneficiary 123456789012"
	res, err := b.Submit(t.Context(), wallet.AdjustWallet{Base: base(merchantA, "txn_1"), Amount: inr("1"), Reason: "r", Actor: "a"},
		eventstore.Origin{Evidence: []eventstore.Evidence{{MediaType: "text/plain", Body: []byte(secret)}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Record(t.Context(), res.First)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(r.Data, []byte(secret)) || bytes.Contains(r.Meta, []byte(secret)) {
		t.Errorf("%s %s", r.Data, r.Meta)
	}
}
