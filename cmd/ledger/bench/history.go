package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// historySpan is how long ago a history begins. It ends now.
const historySpan = 365 * 24 * time.Hour

// historyAppend is how many records of a partition are appended at once.
const historyAppend = 5000

// lateBy is by how much a bank's value date may lie before the recording; one in lateOne does.
const (
	lateBy  = 48 * time.Hour
	lateOne = 20
)

// historian writes histories as they would have come about: each event is decided by the wallet, stands under its merchant, has its evidence, and
// is appended to the log. It does not go through the executor, which would take minutes for millions, and could not write of last year.
type historian struct {
	log     eventstore.Store
	heads   []eventstore.Head
	pending [][]eventstore.Record // by partition
	wallets []*wallet.Wallet
	version []int64 // of each wallet's stream
	random  *rand.Rand
	now     time.Time
	step    time.Duration // from one record to the next
	count   int64         // records so far
	made    int64         // payments
	ids     *payer
	sample  string // of the subjects: the newest payment
}

// newHistorian prepares wallets of so many merchants, for a history of about so many records. They begin with their merchants' own.
func newHistorian(ctx context.Context, b *Book, merchants int, records int64) (*historian, error) {
	info, err := b.Log.Info(ctx)
	if err != nil {
		return nil, err
	}
	h := &historian{
		log: b.Log, pending: make([][]eventstore.Record, info.Partitions), random: rand.New(rand.NewPCG(1, 2)), ids: newRandom(),
		step: historySpan / time.Duration(records+1), now: time.Now().UTC().Add(-historySpan).Truncate(time.Microsecond),
	}
	if h.heads, err = eventstore.Heads(ctx, b.Log); err != nil {
		return nil, err
	}
	for i := range merchants {
		id := historyMerchant(i)
		made := &merchant.Created{
			Of: merchant.Of{Merchant: id, Actor: "cli:bench"}, Name: fmt.Sprintf("Merchant %d", i), Services: []merchant.Service{merchant.Payin, merchant.Payout},
			Plan: fee.Default(), At: h.now,
		}
		data, err := merchant.Encode(made)
		if err != nil {
			return nil, err
		}
		h.wallets, h.version = append(h.wallets, wallet.NewWallet(id, money.INR)), append(h.version, 0)
		if err := h.add(ctx, eventstore.Record{Stream: merchant.Stream(id), Version: 1, Subject: id, Type: made.Type(), Schema: made.Schema(), Data: data}, id); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// historyMerchant is a merchant's id, by number.
func historyMerchant(i int) string { return fmt.Sprintf("mer_benchaudit%06d", i) }

// until writes payments until there are so many records, or payments.
func (h *historian) until(ctx context.Context, records, payments int64) error {
	for h.count < records && h.made < payments {
		if err := h.pay(ctx, int(h.made)%len(h.wallets)); err != nil {
			return err
		}
	}
	for p := range h.pending {
		if err := h.flush(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// pay writes a payin that is paid, and every third time a payout that is.
func (h *historian) pay(ctx context.Context, of int) error {
	w := h.wallets[of]
	id := h.ids.id("txn_")
	h.sample, h.made = id, h.made+1
	base := wallet.Base{Of: wallet.Of{Merchant: w.Merchant, Currency: w.Currency, Payment: id}, At: h.now}
	charge := fee.Charge{
		Commission: money.MustParse("10.00", money.INR), Tax: money.MustParse("1.53", money.INR), Rule: fee.Rule{Plan: "default", Version: 1},
	}
	amount := money.FromMinor(100_000+h.made%5_000, money.INR)
	sealed := strings.Repeat("c2VhbGVk", 20)
	commands := []wallet.Command{
		wallet.CreatePayin{
			Base: base, Amount: amount, Charge: charge, OrderID: "ORD-" + id, TxnRef: "PAY-" + id, PhoneLast4: "3210", Sealed: sealed,
			IntentURL: "upi://pay?tr=" + id, Gateway: gateway, ExpiresAt: h.now.Add(10 * time.Minute),
		},
		wallet.ReportPayment{Base: base, Gateway: gateway, PaymentID: "pay_" + id, Amount: amount, UTR: fmt.Sprintf("%012d", h.made), Suspense: "sus_" + id},
	}
	if (h.made-1)/int64(len(h.wallets))%3 == 2 {
		commands = []wallet.Command{
			wallet.InitiatePayout{
				Base: base, Amount: amount, Charge: charge, RequestID: "REQ-" + id, IFSC: "SBIN0001234", BankName: "State Bank of India", AccountLast4: "7890",
				AccountFingerprint: "5f1d7a84db00d2fce00b31a7fc73224f", TransferType: "5", Sealed: sealed,
			},
			wallet.SubmitPayout{Base: base, Attempt: 1, Gateway: gateway},
			wallet.ReportPayout{Base: base, Gateway: gateway, Outcome: wallet.OutcomePaid, UTR: fmt.Sprintf("%012d", h.made), Message: "m"},
		}
	}
	p := &wallet.Payment{}
	for i, c := range commands {
		if err := h.decide(ctx, of, p, c, i, len(commands)); err != nil {
			return fmt.Errorf("payment %d: %w", h.made, err)
		}
	}
	return nil
}

// decide writes the events of a command, the i-th of n. The first has its dedupe key, the last the bank's message.
func (h *historian) decide(ctx context.Context, of int, p *wallet.Payment, c wallet.Command, i, n int) error {
	w := h.wallets[of]
	events, err := wallet.Decide(w, p, c)
	if err != nil {
		return err
	}
	for _, e := range events {
		data, err := wallet.Encode(e)
		if err != nil {
			return err
		}
		h.version[of]++
		r := eventstore.Record{
			Stream: wallet.Stream(w.Merchant, w.Currency), Version: h.version[of], Subject: e.Header().Payment, Type: e.Type(), Schema: e.Schema(), Data: data,
		}
		switch i {
		case 0:
			r.Keys = []string{"bench:" + w.Merchant + ":" + r.Subject}
		case n - 1:
			r.Evidence = []eventstore.Evidence{{MediaType: "application/json", Body: []byte(strings.Repeat(r.Subject, 10))}}
		}
		w.Evolve(e)
		p.Evolve(e, h.now)
		if err := h.add(ctx, r, w.Merchant); err != nil {
			return err
		}
	}
	return nil
}

// add dates a record, and queues it. Some are later than their value date.
func (h *historian) add(ctx context.Context, r eventstore.Record, owner string) error {
	h.now = h.now.Add(h.step)
	h.count++
	binary.BigEndian.PutUint64(r.EventID[:], h.random.Uint64())
	binary.BigEndian.PutUint64(r.EventID[8:], h.random.Uint64())
	r.EventID[6], r.EventID[8] = r.EventID[6]&0x0f|0x70, r.EventID[8]&0x3f|0x80
	r.RecordedAt = h.now.Truncate(time.Microsecond)
	r.EffectiveAt = r.RecordedAt
	if h.random.IntN(lateOne) == 0 {
		r.EffectiveAt = r.RecordedAt.Add(-time.Duration(h.random.Int64N(int64(lateBy)))).Truncate(time.Microsecond)
	}
	r.Meta = eventstore.Meta{Command: r.EventID.String(), Actor: "gateway:" + gateway}.Bytes()
	p := eventstore.PartitionOf(owner, len(h.heads))
	h.pending[p] = append(h.pending[p], r)
	if len(h.pending[p]) < historyAppend {
		return nil
	}
	return h.flush(ctx, p)
}

func (h *historian) flush(ctx context.Context, p int) error {
	if len(h.pending[p]) == 0 {
		return nil
	}
	next := eventstore.Chain(h.heads[p], h.pending[p])
	if err := h.log.Append(ctx, h.heads[p], h.pending[p]); err != nil {
		return fmt.Errorf("appending a history to partition %d: %w", p, err)
	}
	h.heads[p], h.pending[p] = next, make([]eventstore.Record, 0, historyAppend)
	return nil
}
