package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// telling is a record that is about to be told otherwise.
type telling struct {
	eventstore.Record
	fact any
}

// tell reads a log of one partition.
func tell(t *testing.T, log eventstore.Store) (all []telling) {
	t.Helper()
	records, err := log.Read(t.Context(), 0, 0, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		fact, err := ledger.DecodeFact(&records[i])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, telling{records[i], fact})
	}
	return all
}

// retold is a log of these facts, whose every hash fits.
func retold(t *testing.T, all []telling) *memory.Store {
	t.Helper()
	log := memory.New(1)
	versions, records := map[string]int64{}, make([]eventstore.Record, len(all))
	for i := range all {
		r, err := all[i].Record, error(nil)
		switch e := all[i].fact.(type) {
		case wallet.Event:
			r.Type, r.Schema, r.Stream, r.Subject = e.Type(), e.Schema(), wallet.Stream(e.Header().Merchant, e.Header().Currency), e.Header().Payment
			r.Data, err = wallet.Encode(e)
		case batch.Event:
			r.Type, r.Schema, r.Stream, r.Subject = e.Type(), e.Schema(), batch.Stream(e.Header().Merchant, e.Header().Batch), e.Header().Batch
			r.Data, err = batch.Encode(e)
		}
		if err != nil {
			t.Fatal(err)
		}
		versions[r.Stream]++
		r.Version, r.EvidenceDigests, r.Keys = versions[r.Stream], nil, nil
		records[i] = r
	}
	head, err := log.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	eventstore.Chain(head, records)
	if err := log.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	return log
}

// where is the place of the nth fact, from 1, of a batch and type.
func where(t *testing.T, all []telling, of, typ string, nth int) int {
	t.Helper()
	for i := range all {
		id := ""
		switch e := all[i].fact.(type) {
		case batch.Event:
			id = e.Header().Batch
		case *wallet.BatchHeld:
			id = e.Payment
		case *wallet.BatchReleased:
			id = e.Payment
		case wallet.Event:
			if id, _, _ = strings.Cut(strings.TrimPrefix(e.Header().Payment, "txn_"), "_"); id == "" {
				continue
			}
		}
		if id == of && all[i].Type == typ {
			if nth--; nth == 0 {
				return i
			}
		}
	}
	t.Fatalf("batch %s has too few %s", of, typ)
	return 0
}

func TestVerifySoundBatches(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	open(t, log).batches(batch.ChunkSize + 3)
	got := verify(t, log)
	for _, c := range got {
		if !c.OK {
			t.Errorf("%+v", c)
		}
	}
	all := tell(t, log)
	about := int64(0)
	for i := range all {
		switch {
		case strings.HasPrefix(all[i].Type, "batch."):
			about++
		case strings.Contains(string(all[i].Data), `"batch":"`):
			about++
		}
	}
	if n := got["batches"].Checked; n != about || n < 600 {
		t.Errorf("%d records of batches are checked, there are %d", n, about)
	}
	verified(t, retold(t, all))
	for partitions := 2; partitions <= 5; partitions++ {
		log := memory.New(partitions)
		open(t, log).batches(4)
		verified(t, log)
	}
}

// TestVerifyOldBatches: programs before the events of a payout's end named its batch have left them without; those that came later may have
// ended the rest.
func TestVerifyOldBatches(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	open(t, log).batches(30)
	unname := func(all []telling, until int) {
		for i := range all[:until] {
			switch e := all[i].fact.(type) {
			case *wallet.PayoutSucceeded:
				e.Batch = ""
			case *wallet.PayoutFailed:
				e.Batch = ""
			case *wallet.PayoutRefunded:
				e.Batch = ""
			case *wallet.PayoutReturned:
				e.Batch = ""
			case *wallet.PayoutPaidAfterRefund:
				e.Batch = ""
			}
		}
	}
	length := len(tell(t, log))
	for until := 0; until <= length; until += 7 {
		all := tell(t, log)
		unname(all, until)
		verified(t, retold(t, all))
	}
	// Of a batch that began later, everything is asked.
	all := tell(t, log)
	unname(all, where(t, all, "partial", "payout.failed", 2))
	later := open(t, retold(t, all)).announce("new", 2, batch.Terms{Approval: batch.NoApproval})
	later.drawn(1, later.pay(1, 2), 0)
	later.complete()
	head, err := later.log.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if c := verify(t, later.log)["batches"]; c.Position != fmt.Sprintf("0:%d", head.Seq) || !strings.Contains(c.Problem, "of whose 2 payouts 0 have ended") {
		t.Errorf("%+v", c)
	}
}

// TestVerifyFindsWrongBatches: the chain holds, and a batch was not paid as it was submitted, or its money does not add up.
func TestVerifyFindsWrongBatches(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	open(t, log).batches(7)
	initiated := func(all []telling, at int) *wallet.PayoutInitiated { return all[at].fact.(*wallet.PayoutInitiated) }
	payout := func(of string, nth int, change func(*wallet.PayoutInitiated)) func(*testing.T, []telling) ([]telling, int) {
		return func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, of, "payout.initiated", nth)
			change(initiated(all, at))
			return all, at
		}
	}
	// another puts a copy of a fact behind a place.
	another := func(all []telling, behind int, fact any) ([]telling, int) {
		r := all[behind].Record
		r.EventID = uuid.New()
		r.Type = fact.(interface{ Type() string }).Type()
		return slices.Insert(all, behind+1, telling{r, fact}), behind + 1
	}
	for name, c := range map[string]struct {
		change  func(*testing.T, []telling) ([]telling, int) // returns the place of the first record that is wrong
		problem string
	}{
		"nothing":                     {func(_ *testing.T, all []telling) ([]telling, int) { return all, -1 }, ""},
		"another amount":              {payout("partial", 3, func(e *wallet.PayoutInitiated) { e.Amount = inr("99") }), "as submitted"},
		"another amount, all made":    {payout("queued", 4, func(e *wallet.PayoutInitiated) { e.Amount = inr("99") }), "as submitted"},
		"another amount, cancelled":   {payout("cancelled", 3, func(e *wallet.PayoutInitiated) { e.Amount = inr("101") }), "as submitted"},
		"another amount, under way":   {payout("scheduled", 2, func(e *wallet.PayoutInitiated) { e.Amount = inr("101") }), "as submitted"},
		"another tax":                 {payout("partial", 3, func(e *wallet.PayoutInitiated) { e.Tax = inr("1") }), "as submitted"},
		"another account":             {payout("partial", 1, func(e *wallet.PayoutInitiated) { e.AccountFingerprint = "mine" }), "as submitted"},
		"another beneficiary":         {payout("atomic", 1, func(e *wallet.PayoutInitiated) { e.Sealed = "bWU=" }), "as submitted"},
		"another partner_request_id":  {payout("partial", 6, func(e *wallet.PayoutInitiated) { e.RequestID += "-r1" }), "as submitted"},
		"another payment":             {payout("partial", 6, func(e *wallet.PayoutInitiated) { e.Payment = "txn_partial_x" }), "as submitted"},
		"another plan":                {payout("partial", 1, func(e *wallet.PayoutInitiated) { e.Fee.Version++ }), "priced"},
		"another item's index":        {payout("partial", 1, func(e *wallet.PayoutInitiated) { e.Index = 4 }), "as submitted"},
		"an index that is none":       {payout("partial", 1, func(e *wallet.PayoutInitiated) { e.Index = 8 }), "not to be paid now"},
		"a batch that is none":        {payout("partial", 1, func(e *wallet.PayoutInitiated) { e.Batch = "bat_x" }), "names batch bat_x"},
		"a batch that ended":          {payout("scheduled", 2, func(e *wallet.PayoutInitiated) { e.Batch = "cancelled" }), "batch cancelled is cancelled"},
		"a batch that is rejected":    {payout("scheduled", 2, func(e *wallet.PayoutInitiated) { e.Batch = "rejected" }), "is rejected"},
		"a batch before its time":     {payout("scheduled", 2, func(e *wallet.PayoutInitiated) { e.Batch = "later" }), "scheduled for"},
		"a batch that pays otherwise": {payout("scheduled", 1, func(e *wallet.PayoutInitiated) { e.Batch = "queued" }), "not to be paid now"},
		"not from the hold":           {payout("queued", 1, func(e *wallet.PayoutInitiated) { e.FromHold = false }), "from a hold: false"},
		"from no hold":                {payout("partial", 1, func(e *wallet.PayoutInitiated) { e.FromHold = true }), "from a hold: true"},
		"another event": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "payout.initiated", 2)
			all[at].EventID = uuid.New()
			return all, at
		}, "as submitted"},
		"another merchant's": {func(t *testing.T, all []telling) ([]telling, int) {
			e := *initiated(all, where(t, all, "scheduled", "payout.initiated", 1))
			e.Merchant = merchantB
			return another(all, len(all)-1, &e)
		}, "has not submitted"},
		"paid twice": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "payout.initiated", 2)
			e := *initiated(all, at)
			e.Payment = "txn_partial_again"
			return another(all, at+1, &e)
		}, "for the second time"},
		"paid twice, the first is not it": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "payout.initiated", 2)
			e := *initiated(all, at)
			e.Payment = "txn_partial_again"
			return another(all, at-1, &e)
		}, "as submitted"},
		"paid after it was drawn": {func(t *testing.T, all []telling) ([]telling, int) {
			e := *initiated(all, where(t, all, "partial", "payout.initiated", 2))
			return another(all, where(t, all, "partial", "batch.drawn", 1), &e)
		}, "not to be paid now"},
		"refused and paid": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.drawn", 1)
			refused := append([]batch.Refusal{{Index: 1, Code: "c", Reason: "r"}}, all[at].fact.(*batch.Drawn).Refused...)
			all[where(t, all, "partial", "batch.closed", 1)].fact.(*batch.Closed).Refused = refused
			all[at].fact.(*batch.Drawn).Refused = refused
			return all, at
		}, "item 1 of batch partial is refused"},
		"refused twice": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.drawn", 1)
			e := all[at].fact.(*batch.Drawn)
			e.Refused = append(e.Refused, e.Refused...)
			return all, at
		}, "item 2 of batch partial is refused"},
		"neither refused nor paid": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "payout.initiated", 1)
			return slices.Delete(all, at, at+1), where(t, all, "partial", "batch.drawn", 1)
		}, "of whose 7 items 5 are payouts and 1 refused"},
		"drawn twice": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.drawn", 1)
			return another(all, at, all[at].fact)
		}, "repeats"},
		"items that do not add up": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.items", 1)
			all[at].fact.(*batch.ItemsAdded).Items[0].Amount = inr("1")
			return all, at
		}, "the items are"},
		"two of different chunks": {func(t *testing.T, all []telling) ([]telling, int) {
			initiated(all, where(t, all, "cancelled", "payout.initiated", 1)).Amount = inr("99")
			at := where(t, all, "partial", "payout.initiated", 3)
			initiated(all, at).Amount = inr("99")
			return all, at
		}, "as submitted"},
		"an item that no event could pay": {func(t *testing.T, all []telling) ([]telling, int) {
			all[where(t, all, "partial", "batch.items", 1)].fact.(*batch.ItemsAdded).Items[0].Event = "evt"
			return all, where(t, all, "partial", "payout.initiated", 1)
		}, "as submitted"},
		"refused without being closed": {func(t *testing.T, all []telling) ([]telling, int) { // as older programs did
			at := where(t, all, "partial", "batch.closed", 1)
			return slices.Delete(all, at, at+1), -1
		}, ""},
		"refused, and not of the chunk": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.closed", 1)
			all = slices.Delete(all, at, at+1)
			all[at].fact.(*batch.Drawn).Refused[0].Index = 8
			return all, at
		}, "refused item 8 is not in chunk 1"},
		"submitted twice": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.submitted", 1)
			return another(all, at+1, all[at].fact)
		}, "exists"},
		"never submitted": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.submitted", 1)
			return slices.Delete(all, at, at+1), at
		}, "there is no batch partial"},
		"submitted in another currency": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "scheduled", "batch.submitted", 1)
			zero := money.MustParse("1", "USD")
			e := all[at].fact.(*batch.Submitted)
			e.Currency, e.Amount, e.Commission = "USD", zero, zero
			return all, at + 1
		}, "there is no batch scheduled"},
		"not the last items": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.items", 1)
			all[at].fact.(*batch.ItemsAdded).Last = false
			return all, at
		}, "the last one: false"},
		"an end too many": {func(t *testing.T, all []telling) ([]telling, int) {
			return another(all, len(all)-1, all[where(t, all, "partial", "payout.succeeded", 1)].fact)
		}, "of 6 payouts of batch partial 7 have ended"},
		"items in another order": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "batch.items", 1)
			all[at].fact.(*batch.ItemsAdded).Items[0].Index = 2
			return all, at
		}, "item 2 stands at 1"},
		"approved by who submitted it": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "batch.approved", 2)
			all[at].fact.(*batch.Approved).Actor = "key:maker"
			return all, at
		}, "who submitted a batch cannot approve it"},
		"approved by one": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "batch.approved", 1)
			all[at].fact.(*batch.Approved).Missing = 0
			return slices.Delete(all, at+1, at+2), at
		}, "of 2 that were"},
		"held before it is approved": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "batch.approved", 2)
			all = slices.Delete(all, at, at+1)
			return all, where(t, all, "atomic", "batch.held", 1)
		}, "awaiting_approval"},
		"more held than it is": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "queued", "batch.held", 2)
			all[at].fact.(*wallet.BatchHeld).Amount = inr("220.01")
			return all, at
		}, "440.01"},
		"not all held": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "batch.held", 1)
			all[at].fact.(*wallet.BatchHeld).Amount = inr("329.99")
			return all, at
		}, "or nothing"},
		"held for twice": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "queued", "batch.held", 2)
			all[at].fact.(*wallet.BatchHeld).Upto = 2
			return all, at
		}, "behind item 2"},
		"held though it does not hold": {func(t *testing.T, all []telling) ([]telling, int) {
			return another(all, where(t, all, "partial", "batch.items", 1), &wallet.BatchHeld{Of: base(merchantA, "partial").Of, Amount: inr("1"), Upto: 1})
		}, "terms do not say"},
		"queued though it is refused": {func(t *testing.T, all []telling) ([]telling, int) {
			return another(all, where(t, all, "partial", "batch.items", 1), &wallet.BatchQueued{Of: base(merchantA, "partial").Of, Since: made})
		}, "terms do not say"},
		"drawn from what is not held": {func(t *testing.T, all []telling) ([]telling, int) {
			all[where(t, all, "queued", "batch.held", 2)].fact.(*wallet.BatchHeld).Amount = inr("219.99")
			return all, where(t, all, "queued", "payout.initiated", 4)
		}, "0.01 INR more is drawn"},
		"drawn in front of the hold": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "queued", "batch.held", 2)
			all[at], all[at+1] = all[at+1], all[at]
			return all, at
		}, "up to item 2"},
		"more released": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "batch.released", 1)
			all[at].fact.(*wallet.BatchReleased).Amount = inr("110.01")
			return all, at
		}, "0.01 INR more is drawn from the hold of batch atomic, or released"},
		"less released": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "behind", "batch.released", 1)
			all[at].fact.(*wallet.BatchReleased).Amount = inr("109")
			return all, at
		}, "1.00 INR of it are still locked"},
		"released too early": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "batch.held", 1)
			return another(all, at, &wallet.BatchReleased{Of: base(merchantA, "atomic").Of, Amount: inr("330"), Done: true})
		}, "has drawn 0 chunks"},
		"rejected when it is paid": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "payout.initiated", 1)
			return another(all, at, &batch.RejectedBy{
				Of: batch.Of{Merchant: merchantA, Currency: "INR", Batch: "atomic"}, Reason: "r", Actor: "system", Item: 2,
			})
		}, "of which 1 payouts are made"},
		"an end of another amount": {func(t *testing.T, all []telling) ([]telling, int) {
			all[where(t, all, "partial", "payout.succeeded", 1)].fact.(*wallet.PayoutSucceeded).Amount = inr("99")
			last := 0
			for i := range all {
				switch all[i].Type {
				case "payout.succeeded", "payout.failed", "payout.refunded":
					if e, ok := all[i].fact.(wallet.Event); ok && strings.HasPrefix(e.Header().Payment, "txn_partial") {
						last = i
					}
				}
			}
			return all, last
		}, "1.00 INR are still locked"},
		"an end of more than there is": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "atomic", "payout.succeeded", 1)
			for i := range all {
				if e, ok := all[i].fact.(*wallet.PayoutRefunded); ok && e.Batch == "atomic" {
					e.Amount, at = inr("1000"), i
					break
				}
			}
			return all, at
		}, "give back"},
		"an end of another batch's": {func(t *testing.T, all []telling) ([]telling, int) {
			for i := range all {
				if e, ok := all[i].fact.(*wallet.PayoutRefunded); ok && e.Batch == "partial" {
					e.Batch = "atomic"
					return all, i
				}
			}
			return all, 0
		}, "names another batch"},
		"an end of a batch's, of none": {func(t *testing.T, all []telling) ([]telling, int) {
			all, at := another(all, len(all)-1, &wallet.PayoutFailed{
				Of: base(merchantA, "txn_single").Of, Batch: "scheduled",
				Priced: wallet.Priced{Amount: inr("100"), Commission: inr("10"), Tax: inr("1.53")},
			})
			return all, at
		}, "names another batch"},
		"completed while one is open": {func(t *testing.T, all []telling) ([]telling, int) {
			at := where(t, all, "partial", "payout.failed", 1)
			all = slices.Delete(all, at, at+1)
			return all, where(t, all, "partial", "batch.completed", 1)
		}, "of whose 6 payouts 5 have ended"},
		"returned without being paid": {func(t *testing.T, all []telling) ([]telling, int) {
			e := initiated(all, where(t, all, "scheduled", "payout.initiated", 1))
			return another(all, len(all)-1, &wallet.PayoutReturned{Of: e.Of, Priced: e.Priced, Gateway: "sandbox", Reason: "other", Batch: e.Batch})
		}, "-110.00 INR are paid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all, at := c.change(t, tell(t, log))
			got := verify(t, retold(t, all))
			want := ""
			if at >= 0 {
				want = fmt.Sprintf("0:%d", at+1)
			}
			if b := got["batches"]; b.Position != want || !strings.Contains(b.Problem, c.problem) || !got["chain"].OK || !got["events"].OK {
				t.Errorf("%+v, want it at %s: %s", b, want, c.problem)
			}
		})
	}
}

// TestVerifyFindsOverdrawnHolds: a hold of a batch is an open item as any other.
func TestVerifyFindsOverdrawnHolds(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	open(t, log).batches(3)
	all := tell(t, log)
	all[where(t, all, "queued", "batch.held", 2)].fact.(*wallet.BatchHeld).Amount = inr("219.99")
	want := fmt.Sprintf("0:%d", where(t, all, "queued", "payout.initiated", 4)+1)
	if c := verify(t, retold(t, all))["postings"]; c.Position != want || c.Problem != "txn_queued_4 draws more than its batch had locked" {
		t.Errorf("%+v, want it at %s", c, want)
	}
	all = tell(t, log)
	at := where(t, all, "atomic", "batch.released", 1)
	all[at].fact.(*wallet.BatchReleased).Amount = inr("110.01")
	want = fmt.Sprintf("0:%d", at+1)
	if c := verify(t, retold(t, all))["postings"]; c.Position != want || c.Problem != "atomic gives back more than it had locked" {
		t.Errorf("%+v, want it at %s", c, want)
	}
}
