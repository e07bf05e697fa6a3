package wallet

import (
	"testing"

	"github.com/khata-ledger/khata/domain"
)

var (
	first  = Of{Merchant: "mer_1", Currency: "INR", Payment: "bat_1"}
	second = Of{Merchant: "mer_1", Currency: "INR", Payment: "bat_2"}
)

func queued(of Of) Event { return &BatchQueued{Of: of, Since: noon} }

func held(of Of, amount string, upto int, last bool) Event {
	return &BatchHeld{Of: of, Amount: inr(amount), Upto: upto, Last: last}
}

func released(of Of, amount string, done bool) Event {
	return &BatchReleased{Of: of, Amount: inr(amount), Done: done}
}

// drawing is the payout of an item, of 100.00 at 10.00.
func drawing(batch string, index int) InitiatePayout {
	return InitiatePayout{
		Base: at(payout), Amount: inr("100"), Charge: charge("10", "1.53"), RequestID: "R-1", Batch: batch, Index: index, FromHold: true,
	}
}

func drawn(batch string, index int) Event {
	return &PayoutInitiated{Of: payout, Priced: priced("100", "10", "1.53"), RequestID: "R-1", Batch: batch, Index: index, FromHold: true}
}

func TestHoldsOfBatches(t *testing.T) {
	rich := funded("1000")
	line := rich.and(queued(first), queued(second))
	run(t, []scene{
		{name: "queue", given: rich, when: QueueBatch{at(first)}, then: []Event{queued(first)}},
		{name: "queue twice", given: line, when: QueueBatch{at(first)}},
		{name: "hold at once", given: rich, when: HoldBatch{Base: at(first), Upto: 5, Last: true, Amount: inr("1000")},
			then: []Event{held(first, "1000", 5, true)}},
		{name: "hold at once, again", given: rich.and(held(first, "1000", 5, true)), when: HoldBatch{Base: at(first), Upto: 5, Last: true, Amount: inr("1000")}},
		{name: "hold more than at once", given: rich.and(held(first, "100", 5, true)), when: HoldBatch{Base: at(first), From: 5, Upto: 6, Amount: inr("100")},
			code: domain.Stale},
		{name: "hold what is not there", given: rich, when: HoldBatch{Base: at(first), Upto: 5, Amount: inr("1000.01")}, code: domain.InsufficientBalance},
		{name: "hold nothing", given: rich, when: HoldBatch{Base: at(first), Upto: 5, Amount: inr("0")}, code: domain.Invalid, field: "amount"},
		{name: "hold for nothing", given: line, when: HoldBatch{Base: at(first), Amount: inr("1")}, code: domain.Invalid, field: "upto"},
		{name: "the first holds", given: line, when: HoldBatch{Base: at(first), Upto: 2, Amount: inr("1")}, then: []Event{held(first, "1", 2, false)}},
		{name: "the second waits", given: line, when: HoldBatch{Base: at(second), Upto: 2, Amount: inr("1")}, code: domain.Stale},
		{name: "one outside the queue does not", given: line, when: HoldBatch{Base: at(Of{"mer_1", "INR", "bat_3"}), Upto: 2, Amount: inr("1")},
			then: []Event{held(Of{"mer_1", "INR", "bat_3"}, "1", 2, false)}},
		{name: "behind the last hold comes the second", given: line.and(held(first, "1", 2, true)), when: HoldBatch{Base: at(second), Upto: 2, Amount: inr("1")},
			then: []Event{held(second, "1", 2, false)}},
		{name: "behind the cancelled one comes the second", given: line.and(released(first, "0", true)),
			when: HoldBatch{Base: at(second), Upto: 2, Amount: inr("1")}, then: []Event{held(second, "1", 2, false)}},
		{name: "another place", given: line.and(held(first, "1", 2, false)), when: HoldBatch{Base: at(first), From: 1, Upto: 3, Amount: inr("1")},
			code: domain.Stale},
	})
}

func TestDrawingFromHolds(t *testing.T) {
	given := funded("500").and(held(first, "220", 2, true))
	run(t, []scene{
		{name: "drawn", given: given, when: drawing("bat_1", 2), then: []Event{drawn("bat_1", 2)}},
		{name: "not held for", given: given, when: drawing("bat_1", 3), code: domain.Stale},
		{name: "another batch", given: given, when: drawing("bat_2", 1), code: domain.Stale},
		{name: "drawn already", given: given.and(released(first, "111", false)), when: drawing("bat_1", 1), code: domain.Stale},
	})
	w, _ := given.and(drawn("bat_1", 2)).state(payout)
	if r, _ := w.Reserve("bat_1"); !r.Left.Equal(inr("110")) || !w.Locked.Equal(inr("220")) || !w.Available.Equal(inr("280")) {
		t.Errorf("%+v", w)
	}
}

func TestReleases(t *testing.T) {
	given := funded("500").and(queued(first), held(first, "220", 2, false))
	run(t, []scene{
		{name: "done", given: given, when: ReleaseBatch{Base: at(first), Done: true}, then: []Event{released(first, "220", true)}},
		{name: "done, and nothing left", given: given.and(released(first, "220", false)), when: ReleaseBatch{Base: at(first), Done: true},
			then: []Event{released(first, "0", true)}},
		{name: "done twice", given: given.and(released(first, "220", true)), when: ReleaseBatch{Base: at(first), Done: true}},
		{name: "the rest", given: given, when: ReleaseBatch{Base: at(first), Upto: 2, Amount: inr("220")}, then: []Event{released(first, "220", false)}},
		{name: "another rest", given: given, when: ReleaseBatch{Base: at(first), Upto: 2, Amount: inr("110")}, code: domain.Stale},
		{name: "another place", given: given, when: ReleaseBatch{Base: at(first), Upto: 1, Amount: inr("220")}, code: domain.Stale},
		{name: "no rest", given: given.and(released(first, "220", false)), when: ReleaseBatch{Base: at(first), Upto: 2, Amount: inr("0")}},
		{name: "a rest that goes to a debt",
			given: given.and(&PayoutPaidAfterRefund{Of: payout, Priced: priced("370", "10", "1"), Taken: inr("280"), Owed: inr("100")}),
			when:  ReleaseBatch{Base: at(first), Done: true}, then: []Event{released(first, "220", true), &WalletRecovered{Of: first, Amount: inr("100")}}},
	})
}

// The queue has room for so many, and for others there is room beside it.
func TestReservesAreBounded(t *testing.T) {
	batch := func(n int) Of { return Of{"mer_1", "INR", "bat_" + string(rune('A'+n))} }
	full := funded("500")
	for n := range MaxQueued {
		full = full.and(queued(batch(n)))
	}
	packed := full
	for n := MaxQueued; n < MaxReserves; n++ {
		packed = packed.and(held(batch(n), "1", 1, true))
	}
	at1 := HoldBatch{Base: at(first), Upto: 1, Amount: inr("1")}
	run(t, []scene{
		{name: "queue", given: full, when: QueueBatch{at(first)}, code: domain.Stale},
		{name: "hold", given: full, when: at1, then: []Event{held(first, "1", 1, false)}},
		{name: "hold, where there is no room", given: packed, when: at1, code: domain.Stale},
		{name: "one leaves", given: packed.and(released(batch(1), "0", true)), when: QueueBatch{at(first)}, then: []Event{queued(first)}},
	})
	w, _ := full.and(released(batch(1), "0", true)).state(first)
	if got := w.Place(batch(7).Payment); got != 6 {
		t.Errorf("%d stand before the eighth, when the second has left", got)
	}
}
