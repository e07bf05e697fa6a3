package ledger_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// submission is a batch on its way through a ledger. Each item is 100.00, at 10.00.
type submission struct {
	*book
	of    batch.Of
	items []batch.Item
}

// announce submits a batch of so many items.
func (b *book) announce(id string, count int, terms batch.Terms) *submission {
	b.t.Helper()
	s := &submission{book: b, of: batch.Of{Merchant: merchantA, Currency: money.INR, Batch: id}}
	for n := range count {
		s.items = append(s.items, batch.Item{
			Index: n + 1, Payment: fmt.Sprintf("txn_%s_%d", id, n+1), Event: uuid.Must(uuid.NewV7()).String(), RequestID: fmt.Sprintf("%s-%d", id, n+1),
			Amount: inr("100"), Commission: inr("10"), Tax: inr("1.53"), IFSC: "HDFC0001234", BankName: "HDFC", AccountLast4: "9908",
			AccountFingerprint: "fp", TransferType: "5", Sealed: "c2VhbGVk",
		})
	}
	s.do(batch.Submit{
		Base: s.by("key:maker"), Ref: id, Digest: "d", Terms: terms, Count: count, Fee: fee.Rule{Plan: "default", Version: 1},
		Amount: inr(fmt.Sprint(100 * count)), Commission: inr(fmt.Sprint(10 * count)),
	})
	chunk := 0
	for items := range slices.Chunk(s.items, batch.ChunkSize) {
		chunk++
		s.do(batch.AddItems{Base: s.by("key:maker"), Chunk: chunk, Items: items})
	}
	return s
}

func (s *submission) by(actor string) batch.Base {
	return batch.Base{Of: s.of, At: made, Actor: actor}
}

func (s *submission) do(c batch.Command) batch.Batch {
	s.t.Helper()
	got, err := s.SubmitBatch(s.t.Context(), c, eventstore.Origin{Actor: "test"})
	if err != nil {
		s.t.Fatalf("%T: %v", c, err)
	}
	return got
}

func (s *submission) base() wallet.Base { return base(merchantA, s.of.Batch) }

// hold locks for the items behind one up to another.
func (s *submission) hold(from, upto int) {
	s.t.Helper()
	amount := inr(fmt.Sprint(110 * (upto - from)))
	s.submit(wallet.HoldBatch{Base: s.base(), From: from, Upto: upto, Last: upto == len(s.items), Amount: amount})
}

// pay makes the payouts of items, and returns which were refused.
func (s *submission) pay(from, upto int) (refused []batch.Refusal) {
	s.t.Helper()
	b, err := s.Batch(s.t.Context(), s.of)
	if err != nil {
		s.t.Fatal(err)
	}
	items := s.items[from-1 : upto]
	payouts, ids := make([]wallet.InitiatePayout, len(items)), make([]uuid.UUID, len(items))
	for i := range items {
		payouts[i], ids[i] = items[i].Payout(&b, made), uuid.MustParse(items[i].Event)
	}
	for i, err := range s.Initiate(s.t.Context(), merchantA, payouts, ids, eventstore.Origin{Actor: "test"}) {
		if err != nil {
			refused = append(refused, batch.Refusal{Index: items[i].Index, Code: "refused", Reason: err.Error()})
		}
	}
	return refused
}

// drawn notes a chunk, of which so many are refused.
func (s *submission) drawn(chunk int, refused []batch.Refusal, want int) {
	s.t.Helper()
	if len(refused) != want {
		s.t.Fatalf("%d are refused: %+v", len(refused), refused)
	}
	if want > 0 {
		s.do(batch.Close{Base: s.by("test"), Chunk: chunk, Refused: refused})
	}
	s.do(batch.NoteDrawn{Base: s.by("test"), Chunk: chunk, Refused: refused})
}

// settle ends payouts in every way there is; those of refused items are left out.
func (s *submission) settle(refused ...int) {
	s.t.Helper()
	for _, i := range s.items {
		id := i.Payment
		switch {
		case slices.Contains(refused, i.Index):
			continue
		case i.Index%5 == 0:
			s.submit(wallet.CancelPayout{Base: base(merchantA, id)})
			continue
		}
		s.submit(submitted(merchantA, id))
		first := []wallet.Outcome{wallet.OutcomePaid, wallet.OutcomeFailed, wallet.OutcomePaid, wallet.OutcomeFailed}[i.Index%4]
		s.submit(reported(merchantA, id, first))
		switch i.Index % 4 {
		case 2:
			s.submit(reported(merchantA, id, wallet.OutcomeReturned))
		case 3:
			s.submit(reported(merchantA, id, wallet.OutcomePaid))
		}
	}
}

func (s *submission) complete() { s.do(batch.Complete{Base: s.by("test")}) }

// Batches of every kind. Each is named after what it is.
func (b *book) batches(large int) {
	b.t.Helper()
	free := batch.Terms{Approval: batch.NoApproval}
	b.fund(merchantA, "txn_fund", "1000000")
	b.submit(initiate(merchantA, "txn_single", "partial-2", "500")) // whose partner_request_id an item has, too

	partial := b.announce("partial", large, free)
	atomic := b.announce("atomic", 3, batch.Terms{Approval: batch.ApprovalRequired, Checkers: 2, Mode: batch.Atomic})
	for _, checker := range []string{"key:one", "key:two"} {
		atomic.do(batch.Approve{Base: atomic.by(checker), Note: "fine"})
	}
	for chunk := range batch.Chunks(large) {
		refused, count := partial.pay(chunk*batch.ChunkSize+1, min(large, (chunk+1)*batch.ChunkSize)), 0
		if chunk == 0 {
			count = 1
		}
		if chunk == 0 {
			atomic.hold(0, 3)
		}
		partial.drawn(chunk+1, refused, count)
	}
	b.submit(initiate(merchantA, "txn_single2", "atomic-3", "500"))
	atomic.drawn(1, atomic.pay(1, 3), 1)
	b.submit(wallet.ReleaseBatch{Base: atomic.base(), Done: true})
	partial.settle(2)
	partial.complete()
	atomic.settle(3)
	atomic.complete()

	queue := batch.Terms{Approval: batch.NoApproval, Shortage: batch.QueueShort}
	queued, behind := b.announce("queued", 4, queue), b.announce("behind", 2, queue)
	b.submit(wallet.QueueBatch{Base: queued.base()})
	b.submit(wallet.QueueBatch{Base: behind.base()})
	queued.hold(0, 2)
	queued.pay(1, 2)
	queued.hold(2, 4)
	queued.drawn(1, queued.pay(3, 4), 0)
	b.submit(wallet.ReleaseBatch{Base: queued.base(), Done: true})
	behind.hold(0, 2)
	behind.pay(1, 1)
	behind.do(batch.Cancel{Base: behind.by("key:maker"), Reason: "too late"})
	b.submit(wallet.ReleaseBatch{Base: behind.base(), Done: true})

	cancelled := b.announce("cancelled", large, free)
	scheduled := b.announce("scheduled", 2, batch.Terms{Approval: batch.NoApproval, ScheduleAt: made})
	cancelled.pay(1, 2)
	scheduled.pay(1, 1)
	cancelled.pay(3, 3)
	cancelled.do(batch.Cancel{Base: cancelled.by("key:maker"), Reason: "no more"})
	rejected := b.announce("rejected", 2, batch.Terms{Approval: batch.ApprovalRequired})
	rejected.do(batch.Reject{Base: rejected.by("key:one"), Reason: "no"})
	unheld := b.announce("unheld", 2, batch.Terms{Approval: batch.NoApproval, Mode: batch.Atomic})
	unheld.do(batch.Reject{Base: unheld.by("system"), Reason: "the balance does not cover it", Item: 2})
	b.announce("later", 2, batch.Terms{Approval: batch.NoApproval, ScheduleAt: made.Add(time.Hour)})
	scheduled.pay(2, 2)
}
