package ledger_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// A batch goes through the log: submitted, read back in chunks, paid under the ids of its items, and fenced by its state.
func TestBatch(t *testing.T) {
	log := memory.New(2)
	b := open(t, log)
	b.fund(merchantA, "txn_fund", "1000000")
	of := batch.Of{Merchant: merchantA, Currency: money.INR, Batch: "bat_1"}
	by := batch.Base{Of: of, At: made, Actor: "key:x"}
	const count = batch.ChunkSize + 3
	list := make([]batch.Item, count)
	for i := range list {
		list[i] = batch.Item{
			Index: i + 1, Payment: fmt.Sprintf("txn_%d", i+1), Event: uuid.New().String(), RequestID: fmt.Sprintf("R%d", i+1),
			Amount: inr("1000"), Commission: inr("10"), Tax: inr("0"), IFSC: "HDFC0001234", AccountLast4: "9908", TransferType: "5", Sealed: "x",
		}
	}
	do := func(l *book, c batch.Command) batch.Batch {
		t.Helper()
		got, err := l.SubmitBatch(t.Context(), c, eventstore.Origin{Actor: "key:x"})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	do(b, batch.Submit{
		Base: by, Ref: "MARCH", Digest: "d", Terms: batch.Terms{Approval: batch.NoApproval}, Count: count,
		Amount: inr(fmt.Sprint(1000 * count)), Commission: inr(fmt.Sprint(10 * count)), Fee: fee.Rule{Plan: "default", Version: 1},
	})
	do(b, batch.AddItems{Base: by, Chunk: 1, Items: list[:batch.ChunkSize]})
	do(b, batch.AddItems{Base: by, Chunk: 2, Items: list[batch.ChunkSize:]})

	other := open(t, log) // another process, which has seen nothing of it
	got, err := other.Batch(t.Context(), of)
	if err != nil || got.Status != batch.Processing || got.Received != 2 || got.Ref != "MARCH" {
		t.Fatalf("%+v, %v", got, err)
	}
	var chunks [][]batch.Item
	var places [3]int64 // of chunks
	for after := range 3 {
		n := 0
		if err := other.EachChunk(t.Context(), of, after, places[after], func(chunk int, at int64, items []batch.Item) error {
			places[chunk] = at
			if n++; chunk != after+n {
				t.Errorf("chunk %d behind %d", chunk, after)
			}
			if after == 0 {
				chunks = append(chunks, items)
			}
			return nil
		}); err != nil || n != 2-after {
			t.Errorf("%d chunks behind %d, %v", n, after, err)
		}
	}
	pay := func(items []batch.Item) []error {
		payouts, ids := make([]wallet.InitiatePayout, len(items)), make([]uuid.UUID, len(items))
		for i := range items {
			payouts[i], ids[i] = items[i].Payout(&got, made), uuid.MustParse(items[i].Event)
		}
		return other.Initiate(t.Context(), merchantA, payouts, ids, eventstore.Origin{Actor: "key:x"})
	}
	for i, err := range pay(chunks[1]) {
		if domain.CodeOf(err) != domain.Stale {
			t.Errorf("item %d of the second chunk before the first is drawn: %v", i, err)
		}
	}
	for i, err := range pay(chunks[0]) {
		if err != nil {
			t.Errorf("item %d: %v", i, err)
		}
	}
	p, err := other.Payment(t.Context(), merchantA, "txn_7")
	if err != nil || p.SealID != list[6].Event || p.RequestID != "R7" || p.Status != wallet.Pending {
		t.Errorf("%+v, %v", p, err)
	}
	do(b, batch.NoteDrawn{Base: by, Chunk: 1}) // the first process, whose memory is older than the payouts
	if got := do(other, batch.NoteDrawn{Base: by, Chunk: 2}); got.Drawn != 2 {
		t.Errorf("%+v", got)
	}
	if _, err := other.Batch(t.Context(), batch.Of{Merchant: merchantA, Currency: money.INR, Batch: "bat_2"}); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("a batch that is not there: %v", err)
	}
	if _, err := other.Batch(t.Context(), batch.Of{Merchant: merchantB, Currency: money.INR, Batch: "bat_1"}); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("another merchant's batch: %v", err)
	}
	if w, err := other.Wallet(t.Context(), merchantA, money.INR); err != nil || !w.Locked.Equal(inr(fmt.Sprint(1010*batch.ChunkSize))) {
		t.Errorf("%s locked, %v", w.Locked, err)
	}
}

// Of the approval rule, the decision knows the newest: what was submitted or is approved under an older one is refused, by any process.
func TestBatchesUnderARule(t *testing.T) {
	log := memory.New(2)
	b, other := open(t, log), open(t, log)
	by := merchant.Of{Merchant: merchantA, Actor: "operator:asha"}
	if _, err := b.SubmitMerchant(t.Context(), merchant.Create{
		Of: by, Name: "A", Services: []merchant.Service{merchant.Payout}, Plan: fee.Default(), Key: key(merchantA), At: made,
	}, eventstore.Origin{Actor: by.Actor}); err != nil {
		t.Fatal(err)
	}
	rule := func(l *book, checkers int) {
		t.Helper()
		if _, err := l.SubmitMerchant(t.Context(), merchant.SetApproval{Of: by, Bands: []merchant.Band{{Checkers: checkers}}}, eventstore.Origin{Actor: by.Actor}); err != nil {
			t.Fatal(err)
		}
	}
	submit := func(l *book, id string, version int) error {
		of := batch.Base{Of: batch.Of{Merchant: merchantA, Currency: money.INR, Batch: id}, At: made, Actor: "key:maya"}
		item := batch.Item{
			Index: 1, Payment: "txn_" + id, Event: uuid.New().String(), RequestID: id, Amount: inr("1000"), Commission: inr("10"), Tax: inr("0"),
			IFSC: "HDFC0001234", AccountLast4: "9908", TransferType: "5", Sealed: "x",
		}
		_, err := l.SubmitBatch(t.Context(), batch.Submit{
			Base: of, Ref: id, Digest: "d", Terms: batch.Terms{Approval: batch.ApprovalRequired, Rule: version}, Count: 1,
			Amount: item.Amount, Commission: item.Commission, Fee: fee.Rule{Plan: "default", Version: 1},
		}, eventstore.Origin{Actor: of.Actor})
		if err == nil {
			_, err = l.SubmitBatch(t.Context(), batch.AddItems{Base: of, Chunk: 1, Items: []batch.Item{item}}, eventstore.Origin{Actor: of.Actor})
		}
		return err
	}
	approve := func(l *book, id string) error {
		_, err := l.SubmitBatch(t.Context(), batch.Approve{
			Base: batch.Base{Of: batch.Of{Merchant: merchantA, Currency: money.INR, Batch: id}, At: made, Actor: "key:ravi"},
		}, eventstore.Origin{Actor: "key:ravi"})
		return err
	}
	rule(b, 1)
	for id, version := range map[string]int{"bat_1": 1, "bat_2": 1} {
		if err := submit(b, id, version); err != nil {
			t.Fatal(err)
		}
	}
	if err := approve(b, "bat_1"); err != nil {
		t.Error(err)
	}
	rule(other, 2)
	for what, err := range map[string]error{
		"a batch that waited": approve(b, "bat_2"), "a batch under no rule": submit(b, "bat_3", 0), "a batch under the old rule": submit(b, "bat_4", 1),
	} {
		if domain.CodeOf(err) != domain.Stale {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := submit(b, "bat_5", 2); err != nil {
		t.Error(err)
	}
}

// What is released to a merchant who owes goes to the debt first, and the books agree.
func TestReleaseToADebtor(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	b := open(t, log)
	b.fund(merchantA, "txn_fund", "1000")
	b.submit(initiate(merchantA, "txn_single", "R-1", "500"))
	b.submit(submitted(merchantA, "txn_single"))
	b.submit(reported(merchantA, "txn_single", wallet.OutcomeFailed))
	s := b.announce("bat_1", 8, batch.Terms{Approval: batch.NoApproval, Mode: batch.Atomic})
	s.hold(0, 8)
	b.submit(reported(merchantA, "txn_single", wallet.OutcomePaid)) // 120 of it are there
	s.pay(1, 3)
	s.do(batch.Cancel{Base: s.by("key:maker"), Reason: "no"})
	w := b.submit(wallet.ReleaseBatch{Base: s.base(), Done: true}).Wallet
	if !w.Available.Equal(inr("160")) || !w.Locked.Equal(inr("330")) || !w.Owed.IsZero() || w.Reserves != nil {
		t.Errorf("%+v", w)
	}
	verified(t, log)
}
