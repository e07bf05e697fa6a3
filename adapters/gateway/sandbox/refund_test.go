package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
)

// collected is a payment of 1000 rupees that succeeded.
func (b *testBank) collected(reference string) paymentAnswer {
	b.t.Helper()
	p, err := b.pay(b.t.Context(), reference, money.MustParse("1000", money.INR), outcomeSuccess)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func refundOf(p paymentAnswer, reference, amount string) gateway.Refund {
	return gateway.Refund{Reference: reference, PaymentID: p.PaymentID, Amount: money.MustParse(amount, money.INR)}
}

// The bank keeps one refund per reference, as long as its file is there.
func TestRefundIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sandbox.db")
	b := start(t, path, "http://127.0.0.1:1", time.Hour, true)
	p := b.collected("REF-1")
	ask := func(b *testBank, r gateway.Refund) gateway.RefundAnswer {
		t.Helper()
		a, err := b.client.Refund(t.Context(), gateway.Account{}, r)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := ask(b, refundOf(p, "rfd_1", "400"))
	if first.State != gateway.RefundDone || first.RefundID == "" || len(first.UTR) != 12 || len(first.Body) == 0 {
		t.Errorf("%+v", first)
	}
	if again := ask(b, refundOf(p, "rfd_1", "400")); again.RefundID != first.RefundID {
		t.Errorf("%+v, then %+v", first, again)
	}
	if a, err := b.client.Refund(t.Context(), gateway.Account{}, refundOf(p, "rfd_1", "401")); err == nil {
		t.Errorf("another one under the same reference: %+v", a)
	}
	b.stop()
	b = start(t, path, "http://127.0.0.1:1", time.Hour, true)
	if again := ask(b, refundOf(p, "rfd_1", "400")); again.RefundID != first.RefundID {
		t.Errorf("after a restart %+v, then %+v", first, again)
	}
	if a := ask(b, refundOf(p, "rfd_2", "300.08")); a.State != gateway.RefundPending {
		t.Errorf("%+v", a)
	}
	if a := ask(b, refundOf(p, "rfd_3", "299.02")); a.State != gateway.RefundFailed || a.Reason != "account_closed" {
		t.Errorf("%+v", a)
	}
	for name, r := range map[string]gateway.Refund{
		"more than is left": refundOf(p, "rfd_4", "299.93"), "another payment": {Reference: "rfd_4", PaymentID: "pay_none", Amount: money.MustParse("1", money.INR)},
		"no reference": refundOf(p, "", "1"), "another currency": {Reference: "rfd_4", PaymentID: p.PaymentID, Amount: money.MustParse("1", "USD")},
	} {
		var declined *gateway.Declined
		if a, err := b.client.Refund(t.Context(), gateway.Account{}, r); !errors.As(err, &declined) || declined.Reason == "" {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if a, err := b.client.InquireRefund(t.Context(), gateway.Account{}, refundOf(p, "rfd_4", "1")); err != nil || a.State != gateway.RefundUnknown {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := b.client.InquireRefund(t.Context(), gateway.Account{}, refundOf(p, "rfd_1", "400")); err != nil || a.State != gateway.RefundDone || a.UTR != first.UTR {
		t.Errorf("%+v, %v", a, err)
	}
	var list struct{ Refunds []refundAnswer }
	if status := b.get("/sandbox/upi/refunds?payment_id="+p.PaymentID, &list); status != http.StatusOK || len(list.Refunds) != 3 {
		t.Errorf("%d %+v", status, list)
	}
	if status := b.get("/sandbox/upi/refunds", nil); status != http.StatusUnprocessableEntity {
		t.Error(status)
	}
}

// What is pending happens after a while, and the ledger is told.
func TestRefundCallbacks(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), r.URL, 10*time.Millisecond, false)
	p := b.collected("REF-1")
	r.wait(t, 1)
	for paise, want := range map[string]string{"01": statusRefunded, "06": statusRefunded, "07": statusFailed, "09": statusFailed} {
		reference := "rfd_" + paise
		if _, err := b.client.Refund(t.Context(), gateway.Account{}, refundOf(p, reference, "100."+paise)); err != nil {
			t.Fatal(err)
		}
		var last received
		for n := 2; last.body.Refund != reference; n++ {
			got := r.wait(t, n)
			last = got[n-1]
		}
		if last.body.Kind != kindRefund || last.body.Reference != "REF-1" || last.body.Status != want || last.body.Amount != "100."+paise || last.body.RefundID == "" {
			t.Errorf("%s: %s", paise, last.raw)
		}
		m, err := b.client.ParseCallback(last.headers, []byte(last.raw), time.Now())
		if err != nil || len(m) != 1 || m[0].Reference != reference || m[0].OrderID != "REF-1" || m[0].Refund.RefundID != last.body.RefundID || m[0].Amount != "100."+paise {
			t.Errorf("%s: %+v, %v", paise, m, err)
		}
	}
	// What the callback of 07 says is wrong.
	if a, err := b.client.InquireRefund(t.Context(), gateway.Account{}, refundOf(p, "rfd_07", "100.07")); err != nil || a.State != gateway.RefundDone {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestRefundRequestsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	stranger, err := NewClient(b.server.URL, []byte("another secret, long enough"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	p := b.collected("REF-1")
	if _, err := stranger.Refund(t.Context(), gateway.Account{}, refundOf(p, "rfd_1", "1")); !errors.Is(err, gateway.ErrCredentials) {
		t.Error(err)
	}
	for _, body := range []string{`{`, `{"reference":"rfd_1","amout":"1"}`, strings.Repeat("x", gateway.MaxBodyBytes+1)} {
		req := httptest.NewRequest(http.MethodPost, "/sandbox/upi/refunds", strings.NewReader(body))
		sign(req.Header, testSecret, "m", []byte(body), time.Now())
		w := httptest.NewRecorder()
		b.ServeHTTP(w, req)
		if w.Code/100 != 4 {
			t.Errorf("%.40q: %d", body, w.Code)
		}
	}
}

// Everything but the bank's whole and definite word is unknown.
func TestClientTakesOnlyWholeRefunds(t *testing.T) {
	t.Parallel()
	const good = `{"reference":"rfd_1","status":"failed","amount":"1.00"}`
	for name, c := range map[string]struct {
		status      int
		media, body string
	}{
		"500 with a good body":    {500, "application/json", good},
		"429":                     {429, "application/json", good},
		"404 of a proxy":          {404, "text/html", "<html>"},
		"404 with a state":        {404, "application/json", good},
		"200 with not_found":      {200, "application/json", `{"reference":"rfd_1","status":"not_found"}`},
		"garbage":                 {200, "application/json", "\x00"},
		"another reference":       {200, "application/json", strings.Replace(good, "rfd_1", "rfd_2", 1)},
		"unknown status":          {200, "application/json", strings.Replace(good, "failed", "FAILED", 1)},
		"a refusal without words": {422, "application/json", `{}`},
		"a refusal of a novel":    {422, "application/json", fmt.Sprintf(`{"message":%q}`, strings.Repeat("x", maxRefusal+1))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.media)
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body) //nolint:errcheck // the test sees it
			}))
			defer server.Close()
			client, err := NewClient(server.URL, testSecret, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			r := gateway.Refund{Reference: "rfd_1", PaymentID: "pay_1", Amount: money.MustParse("1", money.INR)}
			var declined *gateway.Declined
			if a, err := client.Refund(t.Context(), gateway.Account{}, r); err == nil || errors.As(err, &declined) {
				t.Errorf("a refund: %+v, %v", a, err)
			}
			if a, err := client.InquireRefund(t.Context(), gateway.Account{}, r); err == nil {
				t.Errorf("an inquiry: %+v", a)
			}
		})
	}
}
