package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

// said is a signed message of the bank about a dispute.
func (w *world) said(id, body string) int {
	w.t.Helper()
	return w.callback(secret, time.Now(), id, fmt.Sprintf(`{"message_id":%q,"kind":"dispute",%s}`, id, body))
}

// A customer who paid twice claims the second payment back. It lies in suspense, and was never the merchant's: nothing of the merchant's may be held or lost.
func TestDisputeOfAPaymentInSuspense(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	w.pay(ref, "success", "")
	w.until("the second is in suspense", func() bool { return len(w.payment(id).Suspense) == 1 })
	found, err := w.client().Payments(t.Context(), ref)
	if err != nil || len(found.List) != 2 {
		t.Fatal(found, err)
	}
	second := found.List[0].PaymentID
	if w.payment(id).PaymentID == second { // the one that succeeded
		second = found.List[1].PaymentID
	}
	before := w.balance()
	w.said("msg_1", fmt.Sprintf(`"reference":%q,"payment_id":%q,"case_id":"C1","phase":"chargeback","status":"lost","amount":"1000.00"`, ref, second))
	if got := w.ledger.types(id); got != "created succeeded suspended opened lost" {
		t.Error(got)
	}
	if after := w.balance(); !after.Available.Equal(before.Available) || !after.Owed.IsZero() {
		t.Errorf("the merchant has %s of %s, and owes %s, for a payment that it never had", after.Available, before.Available, after.Owed)
	}
}

// The bank's dates: what ends a dispute has no earlier value date than what began it, or locked is below zero in between.
func TestValueDatesOfADispute(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	now := w.base(id)
	for i, status := range []string{"open", "won"} {
		at := now.At.Add(-time.Duration(i) * time.Millisecond).Format(time.RFC3339Nano)
		if got := w.said(fmt.Sprint("msg_", i), fmt.Sprintf(
			`"reference":%q,"case_id":"C1","phase":"chargeback","status":%q,"amount":"1000.00","respond_by":"2036-12-01T00:00:00Z","at":%q`, ref, status, at)); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	records, _ := w.ledger.since(0)
	var opened, won time.Time
	for _, r := range records {
		switch r.Type {
		case "dispute.opened":
			opened = r.EffectiveAt
		case "dispute.won":
			won = r.EffectiveAt
		}
	}
	if opened.IsZero() || won.Before(opened) {
		t.Errorf("opened with value date %s, and won with %s", opened, won)
	}
}

// What a bank writes may be about a person: wallet.Reason says that it is never stored in clear.
func TestABanksWordsAreNotInClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	if got := w.said("msg_1", fmt.Sprintf(
		`"reference":%q,"case_id":"C1","phase":"chargeback","status":"open","amount":"1000.00","respond_by":"2036-12-01T00:00:00Z","reason":"Rahul Sharma +919876543210 says not received"`,
		ref)); got != http.StatusOK {
		t.Fatal(got)
	}
	records, _ := w.ledger.since(0)
	for _, r := range records {
		if strings.Contains(string(r.Data), "9876543210") {
			t.Errorf("%s has it in clear: %s", r.Type, r.Data)
		}
	}
}

// docs/operations.md: a message that contradicts is "counted in /metrics as the gateway's other anomalies are".
func TestANotedContradictionIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	for i, status := range []string{"lost", "won"} {
		if got := w.said(fmt.Sprint("msg_", i), fmt.Sprintf(
			`"reference":%q,"case_id":"C1","phase":"chargeback","status":%q,"amount":"1000.00"`, ref, status)); got != http.StatusOK {
			t.Fatal(got)
		}
	}
	if got := w.ledger.types(id); got != "created succeeded opened lost noted" {
		t.Fatal(got)
	}
	if w.count(gateway.CountAnomaly) == 0 {
		t.Error("nobody is told")
	}
}
