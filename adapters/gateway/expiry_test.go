package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

// deaf makes the ledger take no callbacks, so that only the inquiry at expiry can tell.
func (w *world) deaf() {
	fault := func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/gateways/") {
			http.Error(rw, "no", http.StatusBadGateway)
			return true
		}
		return false
	}
	w.fault.Store(&fault)
}

func TestPayinsByCallback(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	p := w.start("work.db", shortPolicy(), nil)
	paid, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(paid, wallet.Success)
	if utr := w.payment(paid).UTR; len(utr) != 12 {
		t.Errorf("UTR %q", utr)
	}
	w.pay(ref, "success", "") // a second payment is real money, and not the merchant's
	w.until("the second payment is suspended", func() bool { return w.ledger.types(paid) == "created succeeded suspended" })

	refused, ref := w.payin(time.Hour)
	w.pay(ref, "failure", "")
	w.untilStatus(refused, wallet.Failed)
	w.pay(ref, "success", "")
	w.untilStatus(refused, wallet.Success)
	if !w.payment(refused).Late {
		t.Error("a payment after a failure is late")
	}

	odd, ref := w.payin(time.Hour)
	w.pay(ref, "success", "999.50")
	w.until("the odd payment is suspended", func() bool { return w.ledger.types(odd) == "created suspended" })
	if s := w.payment(odd).Status; s != wallet.Pending {
		t.Errorf("%s", s)
	}
	w.until("only the pending payin keeps its job", func() bool {
		n, err := p.jobs.Count(t.Context(), gateway.ExpiryJobs)
		return err == nil && n == 1
	})
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.deaf()
	unpaid, lateRef := w.payin(300 * time.Millisecond)
	paid, ref := w.payin(300 * time.Millisecond)
	w.pay(ref, "failure", "")
	w.pay(ref, "success", "")
	refused, ref := w.payin(300 * time.Millisecond)
	w.pay(ref, "failure", "")
	odd, ref := w.payin(300 * time.Millisecond)
	w.pay(ref, "success", "1000.01")
	w.start("work.db", shortPolicy(), nil)
	for id, want := range map[string]struct {
		status wallet.Status
		types  string
	}{
		unpaid:  {wallet.Expired, "created expired"},
		paid:    {wallet.Success, "created succeeded"},
		refused: {wallet.Failed, "created failed"},
		odd:     {wallet.Expired, "created suspended expired"},
	} {
		w.untilStatus(id, want.status)
		if got := w.ledger.types(id); got != want.types {
			t.Errorf("%s: %s", id, got)
		}
	}
	if p := w.payment(unpaid); p.UpdatedAt.Before(p.ExpiresAt) {
		t.Errorf("expired at %s, before %s", p.UpdatedAt, p.ExpiresAt)
	}
	// The callbacks get through at last: what the inquiry told is known, what is late is credited.
	w.fault.Store(nil)
	w.pay(lateRef, "success", "")
	w.untilStatus(unpaid, wallet.Success)
	if !w.payment(unpaid).Late {
		t.Error("not late")
	}
	w.until("all callbacks are through", func() bool { return w.count(gateway.CountCallback) == 5 })
	if got := w.ledger.types(paid); got != "created succeeded noted" { // the refused first try is told after the second
		t.Errorf("%s", got)
	}
	if got := w.ledger.types(odd); got != "created suspended expired" {
		t.Errorf("%s", got)
	}
}

// A gateway that does not answer is asked a few times; then the payin expires all the same.
func TestExpiryWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	fault := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/sandbox/upi/payments" {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	w.fault.Store(&fault)
	id, ref := w.payin(20 * time.Millisecond)
	w.start("work.db", shortPolicy(), nil)
	w.untilStatus(id, wallet.Expired)
	if asked, unknown := w.count(gateway.CountInquired), w.count(gateway.CountExpiryUnknown); asked != 3 || unknown != 1 {
		t.Errorf("asked %d times, %d expired without an answer", asked, unknown)
	}
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
}

func TestExpiryRecover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id, _ := w.payin(50 * time.Millisecond)
	far, _ := w.payin(time.Hour)
	p := w.prepare("work.db", shortPolicy(), nil)
	if err := p.expiry.Recover(t.Context(), w.ledger); err != nil {
		t.Fatal(err)
	}
	if n, err := p.jobs.Count(t.Context(), gateway.ExpiryJobs); err != nil || n != 2 {
		t.Fatalf("%d jobs: %v", n, err)
	}
	p.run()
	w.untilStatus(id, wallet.Expired)
	if s := w.payment(far).Status; s != wallet.Pending {
		t.Error(s)
	}
}
