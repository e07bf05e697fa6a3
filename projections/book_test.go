package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
)

// book writes histories: it decides commands against its own states, which are the naive fold that views are compared with.
type book struct {
	tb       fataler
	log      *memory.Store
	tail     *tail.Tail
	now      time.Time
	n        int // ids given
	versions map[string]int64
	wallets  map[string]*wallet.Wallet
	payments map[string]*wallet.Payment
	first    map[string]eventstore.Position // of the payment's first record
	order    []string                       // payments, as made
	postings []posted
	suspense map[string]SuspenseEntry
	disputes map[string]*bookDispute
	batches  map[string]*bookBatch
	lots     []string // batches, as made
}

type posted struct {
	wallet.Posting
	record eventstore.Record
}

// fataler is a testing.TB or a rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newBook(tb fataler, partitions int) *book {
	log := memory.New(partitions)
	return &book{
		tb: tb, log: log, tail: tail.New(log, partitions, time.Hour, slog.New(slog.DiscardHandler)),
		now:      time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC),
		versions: map[string]int64{}, wallets: map[string]*wallet.Wallet{}, payments: map[string]*wallet.Payment{},
		first: map[string]eventstore.Position{}, suspense: map[string]SuspenseEntry{}, disputes: map[string]*bookDispute{},
		batches: map[string]*bookBatch{},
	}
}

func (b *book) id(prefix string) string {
	b.n++
	return fmt.Sprintf("%s_%016d", prefix, b.n)
}

// do decides a command and appends its events. A refusal changes nothing.
func (b *book) do(c wallet.Command) []wallet.Event {
	b.tb.Helper()
	of := c.Target()
	stream := wallet.Stream(of.Merchant, of.Currency)
	if b.wallets[stream] == nil {
		b.wallets[stream] = wallet.NewWallet(of.Merchant, of.Currency)
	}
	p := b.payments[of.Payment]
	if p == nil {
		p = &wallet.Payment{}
	}
	events, err := wallet.Decide(b.wallets[stream], p, c)
	if domain.CodeOf(err) != "" || err == nil && len(events) == 0 {
		return nil
	}
	if err != nil {
		b.tb.Fatal(err)
	}
	records := make([]eventstore.Record, len(events))
	for i, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			b.tb.Fatal(err)
		}
		records[i] = b.record(stream, e.Header().Payment, e.Type(), e.Schema(), c.Effective(), data)
	}
	records = b.append(of.Merchant, records)
	for i, e := range events {
		b.evolve(e, &records[i])
	}
	return events
}

func (b *book) evolve(e wallet.Event, r *eventstore.Record) {
	b.wallets[r.Stream].Evolve(e)
	p := b.payments[r.Subject]
	switch e.(type) {
	case *wallet.BatchQueued, *wallet.BatchHeld, *wallet.BatchReleased: // of no payment
		p = &wallet.Payment{}
	}
	if p == nil {
		p = &wallet.Payment{SealID: r.EventID.String()}
		b.payments[r.Subject] = p
		b.first[r.Subject] = r.Position()
		b.order = append(b.order, r.Subject)
	}
	p.Evolve(e, r.EffectiveAt)
	for _, line := range wallet.Postings(e) {
		b.postings = append(b.postings, posted{line, *r})
	}
	b.disputed(e, r)
	b.refunded(e, r)
	switch e := e.(type) {
	case *wallet.PayinSuspended:
		b.suspense[e.Suspense] = SuspenseEntry{
			ID: e.Suspense, Merchant: e.Merchant, Payment: e.Payment, Status: SuspenseOpen, Amount: e.Amount, Asked: e.Asked,
			Gateway: e.Gateway, PaymentID: e.PaymentID, UTR: e.UTR, Cause: e.Reason, OpenedAt: r.EffectiveAt, Position: r.Position(),
		}
	case *wallet.SuspenseCredited:
		b.settle(e.Suspense, SuspenseCredited, e.Reason, e.Actor, r)
	case *wallet.SuspenseRefunded:
		b.settle(e.Suspense, SuspenseRefunded, e.Reason, e.Actor, r)
	}
}

func (b *book) settle(id string, status SuspenseStatus, reason, actor string, r *eventstore.Record) {
	s := b.suspense[id]
	s.Status, s.Reason, s.Actor, s.ClosedAt = status, reason, actor, r.EffectiveAt
	b.suspense[id] = s
}

func (b *book) record(stream, subject, typ string, schema int, effective time.Time, data []byte) eventstore.Record {
	b.versions[stream]++
	return eventstore.Record{
		Stream: stream, Version: b.versions[stream], Subject: subject, Type: typ, Schema: schema,
		EventID: uuid.New(), EffectiveAt: effective, RecordedAt: b.now, Data: data, Meta: []byte(`{}`),
	}
}

func (b *book) append(owner string, records []eventstore.Record) []eventstore.Record {
	b.tb.Helper()
	info, err := b.log.Info(context.Background())
	if err != nil {
		b.tb.Fatal(err)
	}
	head, err := b.log.Head(context.Background(), eventstore.PartitionOf(owner, info.Partitions))
	if err != nil {
		b.tb.Fatal(err)
	}
	behind := eventstore.Chain(head, records)
	if err := b.log.Append(context.Background(), head, records); err != nil {
		b.tb.Fatal(err)
	}
	b.tail.Advance(behind)
	return records
}

// merchant appends events of a merchant, or of an operator.
func (b *book) merchant(stream string, events ...merchant.Event) {
	b.tb.Helper()
	for _, e := range events {
		data, err := merchant.Encode(e)
		if err != nil {
			b.tb.Fatal(err)
		}
		b.append(e.Subject(), []eventstore.Record{b.record(stream, e.Subject(), e.Type(), e.Schema(), b.now, data)})
	}
}

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func (b *book) base(m, payment string) wallet.Base {
	return wallet.Base{Of: wallet.Of{Merchant: m, Currency: money.INR, Payment: payment}, At: b.now}
}

func charge(commission, tax string) fee.Charge {
	return fee.Charge{Commission: inr(commission), Tax: inr(tax), Rule: fee.Rule{Plan: "default", Version: 1}}
}

func (b *book) payin(m, amount string) string {
	id := b.id("txn")
	b.do(wallet.CreatePayin{
		Base: b.base(m, id), Amount: inr(amount), Charge: charge("10.00", "1.53"), OrderID: "ORDER-" + id, TxnRef: "PAYIN-REF-" + id,
		PhoneLast4: "3210", Sealed: "c2VhbGVk", IntentURL: "upi://pay?tr=" + id, Gateway: "sandbox", ExpiresAt: b.now.Add(10 * time.Minute),
	})
	return id
}

func (b *book) pay(id, amount string) {
	b.do(wallet.ReportPayment{
		Base: b.base(b.payments[id].Merchant, id), Gateway: "sandbox", PaymentID: b.id("pay"), Amount: inr(amount), UTR: b.id("utr"), Suspense: b.id("sus"),
	})
}

func (b *book) payout(m, amount string) string {
	id := b.id("txn")
	b.payoutAs(m, id, amount)
	return id
}

func (b *book) payoutAs(m, id, amount string) {
	b.do(wallet.InitiatePayout{
		Base: b.base(m, id), Amount: inr(amount), Charge: charge("10.00", "0.00"), RequestID: "REQ-" + id, IFSC: "SBIN0001234",
		BankName: "State Bank of India", AccountLast4: "7890", AccountFingerprint: "fp", TransferType: "5", Sealed: "c2VhbGVk",
	})
}

func (b *book) fund(m, amount string) string {
	id := b.id("txn")
	b.do(wallet.AdjustWallet{Base: b.base(m, id), Amount: inr(amount), Reason: "funding", Actor: "operator:asha"})
	return id
}

// chooser draws a number from 0 to n-1.
type chooser func(n int) int

// wander does something to some merchant or payment.
func (b *book) wander(choose chooser, merchants []string) {
	b.now = b.now.Add(time.Duration(choose(3)) * 4 * time.Hour).Add(time.Duration(choose(5)) * time.Microsecond)
	m := merchants[choose(len(merchants))]
	amounts := []string{"300.00", "1000.00", "4999.99"}
	amount := amounts[choose(len(amounts))]
	switch choose(7) {
	case 0:
		b.payin(m, amount)
	case 1:
		b.payout(m, amount)
	case 2:
		b.fund(m, []string{"10000.00", "-250.10", "0.01"}[choose(3)])
	case 3, 4:
		b.wanderBatch(choose, m)
	default:
		if len(b.order) > 0 {
			back := min(len(b.order), 12) // mostly what is new
			b.touch(choose, b.payments[b.order[len(b.order)-1-choose(back)]], amount)
		}
	}
}

// touch does something to a payment, of whatever kind and state it is.
func (b *book) touch(choose chooser, p *wallet.Payment, amount string) {
	id := p.Of.Payment
	base := b.base(p.Merchant, id)
	entries := slices.Sorted(func(yield func(string) bool) {
		for id := range p.Suspense {
			if !yield(id) {
				return
			}
		}
	})
	entry := "sus_unknown"
	if len(entries) > 0 {
		entry = entries[choose(len(entries))]
	}
	switch {
	case p.Kind == wallet.KindPayin:
		switch choose(12) {
		case 0, 1:
			b.pay(id, p.Amount.Fixed())
		case 7, 8:
			b.quarrel(choose, p)
		case 9, 10, 11:
			b.sendBack(choose, p)
		case 2:
			b.pay(id, amount)
		case 3:
			b.do(wallet.ReportPayinFailure{Base: base, Gateway: "sandbox", PaymentID: b.id("pay"), Reason: "declined", Message: b.id("msg")})
		case 4:
			b.do(wallet.ExpirePayin{Base: base})
		case 5:
			b.do(wallet.CreditSuspense{Base: base, Suspense: entry, Charge: charge("5.00", "0.00"), Reason: "theirs", Actor: "operator:asha"})
		default:
			b.do(wallet.RefundSuspense{Base: base, Suspense: entry, Send: choose(2) == 0, Reason: "not theirs", Actor: "operator:asha"})
		}
	case p.Kind == wallet.KindPayout && choose(3) == 0:
		b.do(wallet.SubmitPayout{Base: base, Attempt: p.Attempts + 1, Gateway: []string{"sandbox", "other"}[choose(2)]})
	case p.Kind == wallet.KindPayout && choose(6) == 0:
		b.do(wallet.CancelPayout{Base: base, Reason: "cancelled"})
	case p.Kind == wallet.KindPayout:
		outcome := []wallet.Outcome{wallet.OutcomePaid, wallet.OutcomeFailed, wallet.OutcomeReturned}[choose(3)]
		b.do(wallet.ReportPayout{
			Base: base, Gateway: []string{"sandbox", "other"}[choose(2)], Outcome: outcome, UTR: b.id("utr"), BankReference: b.id("ref"),
			ReturnReference: b.id("ret"), Reason: "account_closed", Message: b.id("msg"),
		})
	case p.Kind == wallet.KindHold:
		b.do(wallet.ReleaseHold{Base: base, Reason: "over", Actor: "operator:asha"})
	default:
		b.do(wallet.PlaceHold{Base: b.base(p.Merchant, b.id("txn")), Amount: inr(amount), Reason: "dispute", Actor: "operator:asha"})
	}
}

// shown makes payments comparable: amounts by value, maps by content.
func shown(tb fataler, v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// equalToFold compares everything that the views answer with the book, and their rows with a replay.
func (b *book) equalToFold(v *Views) {
	b.tb.Helper()
	b.equalAnswers(v)
	findings, err := v.Check(context.Background())
	if err != nil {
		b.tb.Fatal(err)
	}
	for _, f := range findings {
		if f.Fault || f.Absent {
			b.tb.Fatalf("check: %+v", f)
		}
	}
}

// equalAnswers compares what the views answer with the book.
func (b *book) equalAnswers(v *Views) {
	b.tb.Helper()
	ctx := context.Background()
	if err := v.Reach(ctx); err != nil {
		b.tb.Fatal(err)
	}
	for _, w := range b.wallets {
		got, err := v.Balance(ctx, w.Merchant, w.Currency)
		if err != nil {
			b.tb.Fatal(err)
		}
		if !got.Available.Equal(w.Available) || !got.Locked.Equal(w.Locked) || !got.Owed.Equal(w.Owed) {
			b.tb.Fatalf("balance of %s: %s %s %s, by the fold %s %s %s", w.Merchant, got.Available, got.Locked, got.Owed, w.Available, w.Locked, w.Owed)
		}
	}
	for i, id := range b.order {
		if (len(b.order)-i)%5 == 1 { // lists compare the others
			b.equalPayment(v, b.payments[id])
		}
	}
	b.equalSuspense(v)
	b.equalDisputes(v)
	b.equalRefunds(v)
	b.equalBatches(v)
	b.equalPast(v)
	b.equalPending(v)
}

func (b *book) equalPending(v *Views) {
	b.tb.Helper()
	for _, kind := range []wallet.Kind{wallet.KindPayin, wallet.KindPayout} {
		var want, got []string
		for _, id := range b.order {
			if p := b.payments[id]; p.Kind == kind && p.Status == wallet.Pending {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		for after := ""; ; after = got[len(got)-1] {
			page, err := v.Pending(context.Background(), kind, after, 3)
			if err != nil {
				b.tb.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, p := range page {
				got = append(got, p.Of.Payment)
			}
		}
		if !slices.Equal(got, want) {
			b.tb.Fatalf("pending %s: %v, by the fold %v", kind, got, want)
		}
	}
}

func (b *book) equalPayment(v *Views, want *wallet.Payment) {
	b.tb.Helper()
	ctx := context.Background()
	id := want.Of.Payment
	want = unsent(want)
	var got []wallet.Payment
	take := func(p wallet.Payment, err error) {
		b.tb.Helper()
		if err != nil {
			b.tb.Fatalf("payment %s: %v", id, err)
		}
		got = append(got, p)
	}
	if want.Kind == wallet.KindPayin {
		take(v.Payin(ctx, want.Merchant, want.TxnRef))
		take(v.PayinByOrder(ctx, want.Merchant, want.OrderID))
	}
	if want.Kind == wallet.KindPayout {
		take(v.Payout(ctx, want.Merchant, id))
		take(v.PayoutByRequest(ctx, want.Merchant, want.RequestID))
	}
	for _, p := range got {
		if got, want := shown(b.tb, p), shown(b.tb, want); got != want {
			b.tb.Fatalf("payment %s is\n%s\nby the fold\n%s", id, got, want)
		}
	}
	s, err := v.Subject(ctx, id)
	if err != nil || s.Merchant != want.Merchant || s.ID != id || s.Kind != want.Kind {
		b.tb.Fatalf("subject %s: %+v, %v", id, s, err)
	}
}

// unsent is a payment as the views have it: without its submissions.
func unsent(p *wallet.Payment) *wallet.Payment {
	known := *p
	known.Attempts, known.SubmittedAt = 0, time.Time{}
	if p.Kind == wallet.KindPayout && p.Status == wallet.Pending {
		known.Gateway = ""
	}
	return &known
}

func (b *book) equalSuspense(v *Views) {
	b.tb.Helper()
	got, err := v.SuspenseList(context.Background(), SuspenseFilter{})
	if err != nil {
		b.tb.Fatal(err)
	}
	if len(got) != len(b.suspense) {
		b.tb.Fatalf("%d suspense entries, by the fold %d", len(got), len(b.suspense))
	}
	for _, e := range got {
		if got, want := shown(b.tb, e), shown(b.tb, b.suspense[e.ID]); got != want {
			b.tb.Fatalf("suspense entry is\n%s\nby the fold\n%s", got, want)
		}
	}
}

// equalPast compares balances as of the moments of a few records with sums of postings.
func (b *book) equalPast(v *Views) {
	b.tb.Helper()
	for i := 0; i < len(b.postings); i += 1 + len(b.postings)/3 {
		at := b.postings[i].record.RecordedAt
		for _, w := range b.wallets {
			sums := map[string]money.Amount{}
			for _, line := range b.postings {
				if !line.record.RecordedAt.After(at) {
					if _, there := sums[line.Account]; !there {
						sums[line.Account] = money.Zero(w.Currency)
					}
					sums[line.Account] = sums[line.Account].Add(line.Credit).Sub(line.Debit)
				}
			}
			got, err := v.BalanceAt(context.Background(), w.Merchant, w.Currency, at)
			if err != nil {
				b.tb.Fatal(err)
			}
			for account, have := range map[string]money.Amount{
				wallet.AccountAvailable(w.Merchant): got.Available, wallet.AccountLocked(w.Merchant): got.Locked,
				wallet.AccountReceivable(w.Merchant): got.Owed.Neg(),
			} {
				want, there := sums[account]
				if !there {
					want = money.Zero(w.Currency)
				}
				if !have.Equal(want) {
					b.tb.Fatalf("%s at %s: %s, by the postings %s", account, at, have, want)
				}
			}
		}
	}
}
