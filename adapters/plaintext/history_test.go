package plaintext_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored/golden"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

var start = time.Date(2026, 3, 25, 9, 0, 0, 0, time.UTC)

// fact is an event with its times, as history made it.
type fact struct {
	event      wallet.Event // nil: adjusted
	adjusted   *books.Adjusted
	effective  time.Time // or, where that is late for a close, when it is posted
	recordedAt time.Time
}

// merchant is whose it is; "" for an adjustment of the general ledger.
func (f *fact) merchant() string {
	if f.event == nil {
		return ""
	}
	return f.event.Header().Merchant
}

func (f *fact) postings() []books.Posting {
	if f.event == nil {
		return books.Postings(f.adjusted)
	}
	return wallet.Postings(f.event)
}

// history is a log of n events of every type, in turns, with random amounts, of three merchants in three currencies, over weeks; and what is in it.
// A journal is a function of each event alone, so the events need not follow from each other. Every seventh is late.
func history(t testing.TB, seed uint64, n int) (*memory.Store, []fact) {
	t.Helper()
	const partitions = 3
	log, r := memory.New(partitions), rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test repeats
	records := make([][]eventstore.Record, partitions)
	versions := map[string]int64{}
	var facts []fact
	types := golden.Types(t, "../../domain/wallet")
	for i := range n {
		e := made(r, types[i%len(types)])
		of := e.Header()
		f := fact{event: e, recordedAt: start.Add(time.Duration(i) * 17 * time.Minute)}
		f.effective = f.recordedAt
		if i%7 == 3 {
			f.effective = f.effective.Add(-time.Duration(r.IntN(5*24)) * time.Hour)
		}
		data, err := wallet.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		stream := wallet.Stream(of.Merchant, of.Currency)
		versions[stream]++
		var id uuid.UUID
		binary.BigEndian.PutUint64(id[:], uint64(i+1))
		p := eventstore.PartitionOf(of.Merchant, partitions)
		records[p] = append(records[p], eventstore.Record{
			Stream: stream, Version: versions[stream], Subject: of.Payment, Type: e.Type(), Schema: e.Schema(), EventID: id,
			EffectiveAt: f.effective, RecordedAt: f.recordedAt, Data: data, Meta: eventstore.Meta{Command: id.String(), Actor: "key:key_x"}.Bytes(),
		})
		facts = append(facts, f)
	}
	used := 0
	for p := range records {
		if len(records[p]) == 0 {
			continue
		}
		used++
		head, err := log.Head(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		eventstore.Chain(head, records[p])
		if err := log.Append(t.Context(), head, records[p]); err != nil {
			t.Fatal(err)
		}
	}
	if used < 2 {
		t.Fatal("all merchants are of one partition")
	}
	return log, facts
}

// Gateways whose names some format must change, two of them to the same; and references as no bank should send them.
var (
	gateways = []string{"sandbox", "razor_pay", "razor-pay", "9bank", "; odd (bank)", "-x:y"}
	odd      = []string{"600000000001", `"quoted" \ ; note: date:2026`, "=SUM(A1)", "x\ty", "[=2020/01/01]", "हिन्दी"}
)

func made(r *rand.Rand, typ string) wallet.Event {
	currency := []money.Currency{money.INR, money.INR, "JPY", "KWD"}[r.IntN(4)]
	amount := func(most int64) money.Amount { return money.FromMinor(1+r.Int64N(most), currency) }
	of := wallet.Of{
		Merchant: []string{"mer_aaaaaaaaaaaaaaaa", "mer_bbbbbbbbbbbbbbbb", "mer_0000000000000000"}[r.IntN(3)], Currency: currency,
		Payment: fmt.Sprintf("txn_%016x", r.Uint64()),
	}
	tax := amount(100)
	p := wallet.Priced{Amount: amount(1e12), Commission: tax.Add(amount(1000)), Tax: tax}
	p.Amount = p.Amount.Add(p.Commission)
	gateway, utr := gateways[r.IntN(len(gateways))], odd[r.IntN(len(odd))]
	signed := p.Amount
	if r.IntN(2) == 0 {
		signed = signed.Neg()
	}
	owed := amount(1000)
	zero := money.Zero(currency)
	return map[string]wallet.Event{
		"refund.initiated":          &wallet.RefundInitiated{Of: of, Refund: "rfd_1", Amount: p.Amount, Commission: p.Commission, Tax: tax, Reason: "PERSON", Actor: "asha", Gateway: gateway, PaymentID: utr},
		"refund.submitted":          &wallet.RefundSubmitted{Of: of, Refund: "rfd_1", Attempt: 1, Gateway: gateway},
		"refund.succeeded":          &wallet.RefundSucceeded{Of: of, Refund: "rfd_1", Amount: p.Amount, Commission: p.Commission, Tax: tax, Gateway: gateway, RefundID: utr, UTR: utr},
		"refund.failed":             &wallet.RefundFailed{Of: of, Refund: "sus_1", Suspense: "sus_1", Amount: p.Amount, Commission: zero, Tax: zero, Gateway: gateway, Reason: "other"},
		"refund.paid_after_failure": &wallet.RefundPaidAfterFailure{Of: of, Refund: "rfd_1", From: wallet.FromMerchant, Amount: p.Amount, Commission: p.Commission, Tax: tax, Taken: p.Net(), Owed: zero, Gateway: gateway, UTR: utr},
		"payin.routed":              &wallet.PayinRouted{Of: of, Attempt: 1, Config: "gc_1", Gateway: gateway},
		"payin.ordered":             &wallet.PayinOrdered{Of: of, Attempt: 1, Config: "gc_1", Gateway: gateway, Order: "order_1"},
		"payin.order_failed":        &wallet.PayinOrderFailed{Of: of, Attempt: 1, Config: "gc_1", Gateway: gateway, Code: "x", Reason: "PERSON"},
		"dispute.opened":            &wallet.DisputeOpened{Of: of, Dispute: "dsp_1", Case: utr, Gateway: gateway, Reason: "other", Amount: p.Amount, Taken: p.Amount.Sub(owed), Owed: owed, RespondBy: start},
		"dispute.escalated":         &wallet.DisputeEscalated{Of: of, Dispute: "dsp_1", Reason: "other", Amount: p.Amount, Taken: p.Amount, Owed: owed, Released: zero, RespondBy: start},
		"dispute.updated":           &wallet.DisputeUpdated{Of: of, Dispute: "dsp_1", Status: wallet.DisputeReview, RespondBy: start},
		"dispute.evidence":          &wallet.DisputeEvidence{Of: of, Dispute: "dsp_1", Note: "PERSON", Actor: "asha"},
		"dispute.won":               &wallet.DisputeWon{Of: of, Dispute: "dsp_1", Released: p.Amount, Reason: "PERSON"},
		"dispute.lost":              &wallet.DisputeLost{Of: of, Dispute: "dsp_1", Gateway: gateway, Amount: p.Amount, Fee: tax, FromHold: p.Amount, Released: zero, Taken: tax, Owed: zero, Reason: "other"},
		"dispute.reversed":          &wallet.DisputeReversed{Of: of, Dispute: "dsp_1", Gateway: gateway, Amount: p.Amount, Fee: zero, Reason: "PERSON"},
		"dispute.closed":            &wallet.DisputeClosed{Of: of, Dispute: "dsp_1", Released: p.Amount, Reason: "PERSON"},
		"payin.created":             &wallet.PayinCreated{Of: of, Priced: p, Sealed: "SECRET", PhoneLast4: "LAST", Gateway: gateway, ExpiresAt: start},
		"payin.succeeded":           &wallet.PayinSucceeded{Of: of, Priced: p, Gateway: gateway, PaymentID: utr, UTR: utr},
		"payin.failed":              &wallet.PayinFailed{Of: of, Gateway: gateway, Reason: "other"},
		"payin.expired":             &wallet.PayinExpired{Of: of},
		"payin.suspended":           &wallet.PayinSuspended{Of: of, Suspense: "sus_1", Amount: p.Amount, Asked: p.Amount, Gateway: gateway, UTR: utr},
		"payin.noted":               &wallet.PayinNoted{Of: of, Gateway: gateway, Claim: "x"},
		"suspense.credited":         &wallet.SuspenseCredited{Of: of, Priced: p, Suspense: "sus_1", Reason: "PERSON", Actor: "asha"},
		"suspense.refunded":         &wallet.SuspenseRefunded{Of: of, Suspense: "sus_1", Amount: p.Amount, Gateway: gateway, Reason: "PERSON", Actor: "asha"},
		"payout.initiated":          &wallet.PayoutInitiated{Of: of, Priced: p, Sealed: "SECRET", AccountLast4: "LAST", Batch: "bat_1", FromHold: r.IntN(4) == 0},
		"payout.submitted":          &wallet.PayoutSubmitted{Of: of, Attempt: 1, Gateway: gateway, Reference: of.Payment},
		"payout.succeeded":          &wallet.PayoutSucceeded{Of: of, Priced: p, Gateway: gateway, UTR: utr, BankReference: utr},
		"payout.failed":             &wallet.PayoutFailed{Of: of, Priced: p, Reason: "other"},
		"payout.refunded":           &wallet.PayoutRefunded{Of: of, Priced: p, Gateway: gateway, Reason: "other"},
		"payout.returned":           &wallet.PayoutReturned{Of: of, Priced: p, Gateway: gateway, ReturnReference: utr, Reason: "other"},
		"payout.paid_after_refund":  &wallet.PayoutPaidAfterRefund{Of: of, Priced: p, Taken: p.Gross().Sub(owed), Owed: owed, Gateway: gateway, UTR: utr},
		"payout.anomaly":            &wallet.PayoutAnomaly{Of: of, Gateway: gateway, Status: "success", Claim: "paid", Detail: "x"},
		"payout.noted":              &wallet.PayoutNoted{Of: of, Gateway: gateway, Claim: "paid"},
		"wallet.adjusted":           &wallet.WalletAdjusted{Of: of, Amount: signed, Reason: "PERSON", Actor: "asha"},
		"wallet.recovered":          &wallet.WalletRecovered{Of: of, Amount: p.Amount},
		"wallet.held":               &wallet.WalletHeld{Of: of, Amount: p.Amount, Reason: "PERSON", Actor: "asha"},
		"wallet.released":           &wallet.WalletReleased{Of: of, Amount: p.Amount, Reason: "PERSON", Actor: "asha"},
		"batch.queued":              &wallet.BatchQueued{Of: of, Since: start},
		"batch.held":                &wallet.BatchHeld{Of: of, Amount: p.Amount, Upto: 3},
		"batch.released":            &wallet.BatchReleased{Of: of, Amount: p.Amount},
	}[typ]
}

// india is a zone whose days are not those of UTC.
func india() *time.Location { return time.FixedZone("Asia/Kolkata", 5*3600+1800) }

// sums is the naive model: the postings of every event with a value date before a moment, added up, by account and currency; none of zero.
func sums(facts []fact, until time.Time, merchant string) map[string]string {
	total := map[string]money.Amount{}
	for _, f := range facts {
		if merchant != "" && f.merchant() != merchant || !until.IsZero() && !f.effective.Before(until) {
			continue
		}
		for _, p := range f.postings() {
			key := p.Account + " " + string(p.Debit.Currency())
			sum, there := total[key]
			if !there {
				sum = money.Zero(p.Debit.Currency())
			}
			total[key] = sum.Add(p.Debit).Sub(p.Credit)
		}
	}
	out := map[string]string{}
	for key, sum := range total {
		if !sum.IsZero() {
			out[key] = sum.Fixed()
		}
	}
	return out
}
