package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// claim plays the customer's bank.
func (w *world) claim(body string) map[string]string {
	w.t.Helper()
	res, err := http.Post(w.url+"/sandbox/upi/disputes", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%d %s, %v", res.StatusCode, raw, err)
	}
	var out map[string]string
	if err := json.Unmarshal(raw, &out); err != nil {
		w.t.Fatalf("%s: %v", raw, err)
	}
	return out
}

// A dispute comes from the bank, is escalated, lost and given back; each message counts once, and has its evidence.
func TestDisputeFromTheBank(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	before := w.balance()
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	found, err := w.client().Payments(t.Context(), ref)
	if err != nil || len(found.List) != 1 {
		t.Fatal(found, err)
	}
	payment := found.List[0].PaymentID
	dispute := func() wallet.Dispute {
		if p := w.payment(id); len(p.Disputes) == 1 {
			return p.Disputes[0]
		}
		return wallet.Dispute{}
	}
	opened := w.claim(fmt.Sprintf(`{"payment_id":%q,"reason":"goods not received"}`, payment))
	w.until("the dispute is open", func() bool { return dispute().Status == wallet.DisputeOpen })
	d, amount := dispute(), w.payment(id).Amount
	if d.Case != opened["case_id"] || d.Phase != wallet.PhaseChargeback || d.Reason != "not_received" || !d.Held.Equal(amount) || d.RespondBy.IsZero() {
		t.Errorf("%+v", d)
	}
	say := func(more string) { w.claim(fmt.Sprintf(`{"payment_id":%q,"case_id":%q,%s}`, payment, d.Case, more)) }
	say(`"phase":"arbitration","status":"open"`)
	w.until("it is escalated", func() bool { return dispute().Phase == wallet.PhaseArbitration })
	say(`"phase":"arbitration","status":"lost","fee":"25.00"`)
	w.until("it is lost", func() bool { return dispute().Status == wallet.DisputeIsLost })
	say(`"status":"won"`) // of the phase before: it comes late, and says nothing new
	w.until("it is noted", func() bool { return w.payment(id).Notes == 1 })
	say(`"phase":"arbitration","status":"reversed","fee":"25.00"`)
	w.until("it is given back", func() bool { return dispute().Status == wallet.DisputeIsWon })
	if got := w.ledger.types(id); got != "created succeeded opened escalated lost noted reversed" {
		t.Error(got)
	}
	if net := w.balance().Available.Sub(before.Available); !net.Equal(w.payment(id).Net()) || !w.balance().Locked.Equal(before.Locked) {
		t.Errorf("it leaves %s, locked %s", net, w.balance().Locked)
	}
}

func TestDisputeCallbacksRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	payout := w.submitted()
	_, unpaid := w.payin(time.Hour)
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	body := func(reference, more string) string {
		return fmt.Sprintf(`{"message_id":"msg_d","kind":"dispute","reference":%q,"case_id":"C1","phase":"chargeback","status":"open","amount":"100.00",`+
			`"respond_by":"2026-12-01T00:00:00Z"%s}`, reference, more)
	}
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"a payout", body(payout, ""), http.StatusBadRequest},
		{"a payin that nobody paid", body(unpaid, ""), http.StatusConflict},
		{"nobody's", body("nobody", ""), http.StatusNotFound},
		{"no amount", body(ref, `,"amount":"much"`), http.StatusBadRequest},
		{"no fee", body(ref, `,"fee":"much"`), http.StatusBadRequest},
		{"another payment than there is", body(ref, `,"payment_id":"pay_none"`), http.StatusConflict},
		{"no such phase", body(ref, `,"phase":"lawsuit"`), http.StatusConflict},
		{"no such status", body(ref, `,"status":"lapsed"`), http.StatusConflict},
		{"fine", body(ref, ""), http.StatusOK},
		{"fine, and again", body(ref, ""), http.StatusOK},
	} {
		if got := w.callback(secret, time.Now(), "msg_d", c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := w.ledger.types(id); got != "created succeeded opened" {
		t.Error(got)
	}
	if w.count(gateway.CountAnomaly) == 0 {
		t.Error("nobody is told")
	}
}

// balance is the wallet as it is now.
func (w *world) balance() wallet.Wallet {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	now := *w.ledger.wallet
	if now.Currency != money.INR {
		w.t.Fatal(now)
	}
	return now
}
