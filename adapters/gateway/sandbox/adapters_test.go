package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/payu"
	"github.com/khata-ledger/khata/adapters/gateway/razorpay"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// The adapters of the ledger and the faces were written apart, each to the companies' documentation: here they meet.

const shopReturn = "https://shop.example/back?x=1"

// checkoutWorld is an adapter with an account at a face.
type checkoutWorld struct {
	*testBank
	gateway.Checkout
	account gateway.Account
	hook    *hook
}

func (w *checkoutWorld) order(reference, amount string, m merchant.Method) gateway.Order {
	return gateway.Order{
		Reference: reference, Amount: money.MustParse(amount, money.INR), Method: m, Description: "Tea & more | spice", Name: "Asha Rao", Email: "asha@example.com",
		Phone: "+919999999999", ReturnURL: shopReturn, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}
}

// visit sends the browser to the company's page, presses a button there, and returns with what leads back.
func (w *checkoutWorld) visit(t *testing.T, c gateway.Continuation, press string) url.Values {
	t.Helper()
	form := url.Values{}
	for _, f := range c.Fields {
		form.Set(f.Name, f.Value)
	}
	path, err := url.Parse(c.URL)
	if err != nil || !c.Post {
		t.Fatalf("%+v, %v", c, err)
	}
	status, _, page := w.send(http.MethodPost, path.Path, form.Encode())
	if status != http.StatusOK {
		t.Fatalf("%v: %d %s", form, status, shown(page))
	}
	action, _ := formOf(t, page)
	if status, _, page = w.send(http.MethodPost, action, press); status != http.StatusOK {
		t.Fatalf("%s: %d %s", press, status, shown(page))
	}
	to, back := formOf(t, page)
	if to != shopReturn {
		t.Errorf("back to %s", to)
	}
	return back
}

// collected wants one payment of an order to be collected.
func (w *checkoutWorld) collected(t *testing.T, o gateway.Order, made gateway.Ordered) gateway.Payment {
	t.Helper()
	list, err := w.Collect(t.Context(), w.account, o, made)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list.List {
		if p.Paid {
			if p.Amount != o.Amount.Fixed() || p.Reference != o.Reference || p.PaymentID == "" || (p.UTR == "") != (p.Method == "wallet") {
				t.Errorf("%+v", p)
			}
			return p
		}
	}
	t.Fatalf("nothing collected: %+v", list.List)
	return gateway.Payment{}
}

// heard waits for the webhook that says what is wanted; every webhook must be understood, and none that was altered.
func (w *checkoutWorld) heard(t *testing.T, what string, wanted func(gateway.Message) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		for _, h := range w.hook.all() {
			list, err := w.ParseWebhook(t.Context(), w.account, h.header, []byte(h.body), time.Now())
			if err != nil {
				t.Fatalf("%v: %s", err, h.body)
			}
			for _, m := range list {
				if wanted(m) {
					return true
				}
			}
		}
		return false
	})
}

// refunds gives a payment back, in two parts.
func (w *checkoutWorld) refunds(t *testing.T, p gateway.Payment, o gateway.Order, made gateway.Ordered) {
	t.Helper()
	r := gateway.Refund{
		Reference: "rfd_" + o.Reference[3:] + "a", PaymentID: p.PaymentID, OrderID: made.OrderID, Payin: o.Reference, Amount: money.MustParse("4.25", money.INR),
		Total: o.Amount, Reason: "returned",
	}
	if a, err := w.InquireRefund(t.Context(), w.account, r); err != nil || a.State != gateway.RefundUnknown {
		t.Errorf("before: %+v, %v", a, err)
	}
	first, err := w.Refund(t.Context(), w.account, r)
	if err != nil || first.RefundID == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	again, err := w.Refund(t.Context(), w.account, r)
	if err != nil || again.RefundID != first.RefundID {
		t.Errorf("again: %+v, %v", again, err)
	}
	eventually(t, "the refund is done", func() bool {
		a, err := w.InquireRefund(t.Context(), w.account, r)
		return err == nil && a.State == gateway.RefundDone && a.RefundID == first.RefundID && a.UTR != ""
	})
	w.heard(t, "the webhook about the refund", func(m gateway.Message) bool {
		return m.Refund != nil && m.Refund.State == gateway.RefundDone && (m.Reference == r.Reference || m.Refund.RefundID == first.RefundID)
	})
	more := r
	more.Reference, more.Amount = r.Reference[:len(r.Reference)-1]+"b", money.MustParse("5.76", money.INR)
	var declined *gateway.Declined
	if a, err := w.Refund(t.Context(), w.account, more); !errors.As(err, &declined) {
		t.Errorf("more than was paid: %+v, %v", a, err)
	}
	more.Amount = money.MustParse("5.75", money.INR)
	if _, err := w.Refund(t.Context(), w.account, more); err != nil {
		t.Error(err)
	}
}

func (w *checkoutWorld) check(t *testing.T, secret string) {
	t.Helper()
	if err := w.Check(t.Context(), w.account); err != nil {
		t.Error(err)
	}
	wrong := w.account
	wrong.Credentials = map[string]string{}
	for name, value := range w.account.Credentials {
		wrong.Credentials[name] = value
	}
	wrong.Credentials[secret] = "wrong"
	if err := w.Check(t.Context(), wrong); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("wrong %s: %v", secret, err)
	}
}

func TestRazorpayAdapterMeetsTheFace(t *testing.T) {
	t.Parallel()
	client, h := razorpay.New(), newHook(t)
	defer client.Close()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	z := newRazorpay(b, fmt.Sprintf(`{"webhook_url":%q,"capture":"manual"}`, h.URL))
	w := &checkoutWorld{b, client, gateway.Account{
		Config: "gc_abc123xyz", Base: b.server.URL + razorpayBase, WebhookSecret: z.WebhookSecret,
		Credentials: map[string]string{"key_id": z.KeyID, "key_secret": z.KeySecret},
	}, h}
	w.check(t, "key_secret")

	for i, press := range []string{goodCard + "&action=pay", "method=netbanking&bank=HDFC&action=pay", "method=wallet&wallet=payzapp&action=pay"} {
		m := []merchant.Method{merchant.CreditCard, merchant.NetBanking, ""}[i]
		o := w.order(fmt.Sprintf("tx_rzp00000%d", i), "10.00", m)
		made, err := w.CreateOrder(t.Context(), w.account, o)
		if err != nil {
			t.Fatal(err)
		}
		next, err := w.Begin(t.Context(), w.account, o, made, m)
		if err != nil {
			t.Fatal(err)
		}
		back, err := w.ParseReturn(t.Context(), w.account, o, made, w.visit(t, next, press), time.Now())
		if err != nil || back.Reference != o.Reference || !back.Approved {
			t.Errorf("%+v, %v", back, err)
		}
		p := w.collected(t, o, made) // by which it is captured
		w.heard(t, "the webhook about the payment", func(m gateway.Message) bool {
			return m.Payment != nil && m.Payment.PaymentID == p.PaymentID && m.Payment.Paid
		})
		if i == 0 {
			w.refunds(t, p, o, made)
		}
	}

	// Declined, and then paid by a UPI app.
	o := w.order("tx_rzp000009", "10.00", merchant.UPI)
	made, err := w.CreateOrder(t.Context(), w.account, o)
	if err != nil {
		t.Fatal(err)
	}
	page, err := w.Begin(t.Context(), w.account, o, made, merchant.NetBanking)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := w.ParseReturn(t.Context(), w.account, o, made, w.visit(t, page, "method=netbanking&action=decline"), time.Now()); err != nil || back.Payment != nil || back.Approved {
		t.Errorf("%+v, %v", back, err)
	}
	if list, err := w.Collect(t.Context(), w.account, o, made); err != nil || len(list.List) != 1 || list.List[0].Paid {
		t.Errorf("%+v, %v", list.List, err)
	}
	next, err := w.Begin(t.Context(), w.account, o, made, merchant.UPI)
	if err != nil || next.UPI == "" {
		t.Fatalf("%+v, %v", next, err)
	}
	if status, _, text := b.send(http.MethodPost, "/sandbox/upi/pay", fmt.Sprintf(`{"intent_url":%q,"outcome":"success"}`, next.UPI)); status != http.StatusOK {
		t.Errorf("%d %s", status, text)
	}
	w.collected(t, o, made)

	// An order of which no answer came is found again; a refusal makes none.
	newRazorpay(b, fmt.Sprintf(`{"key_id":%q,"key_secret":%q,"orders":"silent"}`, z.KeyID, z.KeySecret))
	lost := w.order("tx_rzp000010", "10.00", "")
	var declined *gateway.Declined
	if made, err := w.CreateOrder(t.Context(), w.account, lost); err == nil || errors.As(err, &declined) || errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("silent: %+v, %v", made, err)
	}
	lost.Again = true
	if made, err := w.CreateOrder(t.Context(), w.account, lost); err != nil || made.OrderID == "" {
		t.Errorf("again: %+v, %v", made, err)
	}
	for behaviour, definite := range map[string]bool{"refuse": true, "error": false} {
		newRazorpay(b, fmt.Sprintf(`{"key_id":%q,"key_secret":%q,"orders":%q}`, z.KeyID, z.KeySecret, behaviour))
		if made, err := w.CreateOrder(t.Context(), w.account, w.order("tx_rzp000011", "10.00", "")); err == nil || errors.As(err, &declined) != definite {
			t.Errorf("%s: %+v, %v", behaviour, made, err)
		}
	}
	var truth razorpayTruth
	b.get(razorpayBase+"/truth", &truth)
	if collected, refunded := truth.sums(); len(truth.Orders) != 5 || collected != 4000 || refunded != 1000 {
		t.Errorf("%d orders, %d collected, %d refunded", len(truth.Orders), collected, refunded)
	}
}

func TestPayUAdapterMeetsTheFace(t *testing.T) {
	t.Parallel()
	client, h := payu.New(), newHook(t)
	defer client.Close()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	u := newPayU(b, fmt.Sprintf(`{"webhook_url":%q}`, h.URL))
	w := &checkoutWorld{b, client, gateway.Account{
		Config: "gc_abc123xyz", Base: b.server.URL + payuBase, Credentials: map[string]string{"key": u.Key, "salt": u.Salt},
	}, h}
	w.check(t, "salt")
	w.check(t, "key")
	for i, press := range []string{
		"method=NB&bank=SBIB&action=pay", "method=CC&card_number=4111111111111111&card_expiry=12/49&card_cvv=123&action=pay", "method=UPI&vpa=a%40b&action=pay",
	} {
		m := []merchant.Method{merchant.NetBanking, merchant.CreditCard, ""}[i]
		o := w.order(fmt.Sprintf("tx_payu0000%d", i), "10.00", m)
		made, err := w.CreateOrder(t.Context(), w.account, o)
		if err != nil {
			t.Fatal(err)
		}
		next, err := w.Begin(t.Context(), w.account, o, made, m)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := w.ParseReturn(t.Context(), w.account, o, made, w.visit(t, next, "action=cancel"), time.Now()); err != nil || back.Payment != nil && back.Payment.Paid {
			t.Errorf("%+v, %v", back, err)
		}
		back, err := w.ParseReturn(t.Context(), w.account, o, made, w.visit(t, next, press), time.Now())
		if err != nil || back.Payment == nil || !back.Payment.Paid || back.Payment.Amount != "10.00" || back.Reference != o.Reference {
			t.Errorf("%+v, %v", back, err)
		}
		p := w.collected(t, o, made)
		w.heard(t, "the webhook about the payment", func(m gateway.Message) bool {
			return m.Payment != nil && m.Payment.PaymentID == p.PaymentID && m.Payment.Paid
		})
		if i == 0 {
			w.refunds(t, p, o, made)
		}
	}
	for _, behaviour := range []string{"error", "silent"} {
		newPayU(b, fmt.Sprintf(`{"key":%q,"salt":%q,"verify":%q}`, u.Key, u.Salt, behaviour))
		o := w.order("tx_payu00000", "10.00", "")
		var declined *gateway.Declined
		if list, err := w.Collect(t.Context(), w.account, o, gateway.Ordered{OrderID: o.Reference}); err == nil || errors.As(err, &declined) || errors.Is(err, gateway.ErrCredentials) {
			t.Errorf("%s: %+v, %v", behaviour, list.List, err)
		}
	}
	var truth struct {
		Payments []payuPayment
		Refunds  []payuRefund
	}
	b.get(payuBase+"/truth", &truth)
	paid, given := 0, int64(0)
	for _, p := range truth.Payments {
		if p.Status == payuSuccess {
			paid++
		}
		given += p.Refunded
	}
	if paid != 3 || given != 1000 || len(truth.Refunds) != 2 {
		t.Errorf("%d paid, %d paisa given back, %+v", paid, given, truth.Refunds)
	}
}
