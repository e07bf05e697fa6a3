package razorpay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/razorpay"
	"github.com/khata-ledger/khata/adapters/gateway/sandbox"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// face is the sandbox's Razorpay, which was written to the same documentation by another hand, with an account of ours, and our adapter to it.
type face struct {
	t       *testing.T
	base    string
	client  *razorpay.Client
	account gateway.Account
	hooks   chan hook
}

// hook is a message of the face to us.
type hook struct {
	header http.Header
	body   []byte
}

func newFace(t *testing.T, settings map[string]string) *face {
	t.Helper()
	f := &face{t: t, client: razorpay.New(), hooks: make(chan hook, 64)}
	ours := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		f.hooks <- hook{r.Header, body}
	}))
	bank, err := sandbox.Open(t.Context(), filepath.Join(t.TempDir(), "sandbox.db"), sandbox.Options{
		Secret: []byte("0123456789abcdef"), CallbackBase: ours.URL, Delay: time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(bank)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- bank.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		err := <-ran
		f.client.Close()
		served.Close()
		ours.Close()
		if err := errors.Join(err, bank.Close()); err != nil {
			t.Error(err)
		}
	})
	f.base = served.URL + "/sandbox/razorpay"
	f.account = gateway.Account{
		Config: "gc_abc123xyz", Base: f.base, WebhookSecret: "webhooksecret",
		Credentials: map[string]string{"key_id": "rzp_test_abcdefgh123456", "key_secret": "abcdefghijklmnopqrstuvwx"},
	}
	f.set(settings)
	f.set(map[string]string{"webhook_url": ours.URL + "/hook"})
	return f
}

// set changes the account at the face.
func (f *face) set(settings map[string]string) {
	f.t.Helper()
	in := map[string]string{
		"key_id": f.account.Credentials["key_id"], "key_secret": f.account.Credentials["key_secret"], "webhook_secret": f.account.WebhookSecret,
	}
	for k, v := range settings {
		in[k] = v
	}
	body, err := json.Marshal(in)
	if err != nil {
		f.t.Fatal(err)
	}
	res, err := http.Post(f.base+"/accounts", "application/json", bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err := io.ReadAll(res.Body); err != nil || res.StatusCode > 299 {
		f.t.Fatalf("account: %d %s %v", res.StatusCode, answer, err)
	}
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]+)"`)
	hidden     = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)
)

// post sends a form as a browser does, and returns the page.
func post(t *testing.T, address string, form url.Values) string {
	t.Helper()
	res, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %s", address, res.StatusCode, err, page)
	}
	return string(page)
}

// browse plays the customer: opens the page of a continuation, does something there, and returns what the browser brings back.
func browse(t *testing.T, origin string, next gateway.Continuation, did url.Values) url.Values {
	t.Helper()
	form := url.Values{}
	for _, field := range next.Fields {
		form.Add(field.Name, field.Value)
	}
	action := formAction.FindStringSubmatch(post(t, next.URL, form))
	if action == nil {
		t.Fatal("no form on the page")
	}
	back := url.Values{}
	for _, field := range hidden.FindAllStringSubmatch(post(t, origin+html.UnescapeString(action[1]), did), -1) {
		back.Add(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	return back
}

func (f *face) origin() string { return f.base[:len(f.base)-len("/sandbox/razorpay")] }

// told waits for a message that says what is wanted.
func (f *face) told(what string, wanted func(gateway.Message) bool) gateway.Message {
	f.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case h := <-f.hooks:
			got, err := f.client.ParseWebhook(f.t.Context(), f.account, h.header, h.body, time.Now())
			if err != nil {
				f.t.Fatalf("a webhook is refused: %v: %s", err, h.body)
			}
			for _, m := range got {
				if wanted(m) {
					return m
				}
			}
		case <-deadline:
			f.t.Fatalf("never told: %s", what)
		}
	}
}

func order(amount string) gateway.Order {
	return gateway.Order{
		Reference: "tx_abc123xyz", Amount: money.MustParse(amount, money.INR), Merchant: "Acme", Description: "Invoice 7", Name: "Gaurav Kumar",
		Email: "gaurav@example.com", Phone: "9000090000", ReturnURL: "https://shop.example/back",
	}
}

func TestFace(t *testing.T) {
	for _, capture := range []string{"auto", "manual"} {
		t.Run(capture, func(t *testing.T) {
			f := newFace(t, map[string]string{"capture": capture})
			ctx, o := t.Context(), order("500.25")
			if err := f.client.Check(ctx, f.account); err != nil {
				t.Fatal(err)
			}
			made, err := f.client.CreateOrder(ctx, f.account, o)
			if err != nil {
				t.Fatal(err)
			}
			again := o
			again.Again = true
			if same, err := f.client.CreateOrder(ctx, f.account, again); err != nil || same.OrderID != made.OrderID {
				t.Fatalf("%+v, %v", same, err)
			}
			if none, err := f.client.Collect(ctx, f.account, o, made); err != nil || len(none.List) != 0 {
				t.Fatalf("%+v, %v", none, err)
			}
			next, err := f.client.Begin(ctx, f.account, o, made, merchant.NetBanking)
			if err != nil {
				t.Fatal(err)
			}
			// The customer's bank refuses once, and then does not.
			back := browse(t, f.origin(), next, url.Values{"method": {"netbanking"}, "bank": {"HDFC"}, "action": {"decline"}})
			if m, err := f.client.ParseReturn(ctx, f.account, o, made, back, time.Now()); err != nil || m.Payment != nil || m.Approved {
				t.Fatalf("%+v, %v", m, err)
			}
			f.told("the failure", func(m gateway.Message) bool { return m.Payment != nil && !m.Payment.Paid && m.OrderID == made.OrderID })
			back = browse(t, f.origin(), next, url.Values{"method": {"netbanking"}, "bank": {"HDFC"}, "action": {"pay"}})
			m, err := f.client.ParseReturn(ctx, f.account, o, made, back, time.Now())
			if err != nil || (m.Payment != nil) != (capture == "auto") || m.Approved != (capture == "manual") {
				t.Fatalf("%+v, %v", m, err)
			}
			if capture == "manual" {
				f.told("the approval", func(m gateway.Message) bool { return m.Approved && m.OrderID == made.OrderID })
			}
			paid := collected(t, f, o, made)
			if paid.PaymentID != back.Get("razorpay_payment_id") || paid.Amount != "500.25" || paid.Currency != "INR" || paid.Method != "netbanking" || paid.SubMethod != "HDFC" {
				t.Errorf("%+v", paid)
			}
			f.told("the payment", func(m gateway.Message) bool {
				return m.Payment != nil && m.Payment.Paid && m.Payment.PaymentID == paid.PaymentID && m.Payment.Amount == "500.25" && m.OrderID == made.OrderID
			})
			f.refunds(o, made, paid.PaymentID)
		})
	}
}

// collected collects, and makes sure that there is one payment that was, and one that was not.
func collected(t *testing.T, f *face, o gateway.Order, made gateway.Ordered) gateway.Payment {
	t.Helper()
	got, err := f.client.Collect(t.Context(), f.account, o, made)
	if err != nil || len(got.List) != 2 {
		t.Fatalf("%+v, %v", got.List, err)
	}
	paid, not := got.List[0], got.List[1] // of the same second, perhaps
	if not.Paid {
		paid, not = not, paid
	}
	if !paid.Paid || not.Paid || not.Reason == "" {
		t.Fatalf("%+v", got.List)
	}
	return paid
}

// refunds gives a part back, twice by one reference, and more than there is.
func (f *face) refunds(o gateway.Order, made gateway.Ordered, paymentID string) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	r := gateway.Refund{
		Reference: "rfd_abc123xyz", PaymentID: paymentID, OrderID: made.OrderID, Payin: o.Reference, Amount: money.MustParse("200", money.INR), Total: o.Amount,
	}
	if got, err := f.client.InquireRefund(ctx, f.account, r); err != nil || got.State != gateway.RefundUnknown {
		t.Fatalf("before: %+v, %v", got, err)
	}
	first, err := f.client.Refund(ctx, f.account, r)
	if err != nil || (first.State != gateway.RefundPending && first.State != gateway.RefundDone) {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := f.client.Refund(ctx, f.account, r); err != nil || second.RefundID != first.RefundID {
		t.Fatalf("again: %+v, %v", second, err)
	}
	m := f.told("the refund", func(m gateway.Message) bool { return m.Refund != nil && m.Refund.State == gateway.RefundDone })
	if m.Reference != r.Reference || m.Refund.RefundID != first.RefundID {
		t.Errorf("%+v", m)
	}
	if got, err := f.client.InquireRefund(ctx, f.account, r); err != nil || got.State != gateway.RefundDone || got.RefundID != first.RefundID {
		t.Errorf("after: %+v, %v", got, err)
	}
	r.Reference, r.Amount = "rfd_second001", o.Amount // 200 of it are gone
	var declined *gateway.Declined
	if got, err := f.client.Refund(ctx, f.account, r); !errors.As(err, &declined) {
		t.Errorf("more than there is: %+v, %v", got, err)
	}
}

func TestFaceUPI(t *testing.T) {
	f := newFace(t, nil)
	ctx, o := t.Context(), order("42")
	made, err := f.client.CreateOrder(ctx, f.account, o)
	if err != nil {
		t.Fatal(err)
	}
	next, err := f.client.Begin(ctx, f.account, o, made, merchant.UPI)
	if err != nil || next.UPI == "" {
		t.Fatalf("%+v, %v", next, err)
	}
	body, err := json.Marshal(map[string]string{"intent_url": next.UPI, "outcome": "success"})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(f.origin()+"/sandbox/upi/pay", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err := io.ReadAll(res.Body); err != nil || res.StatusCode > 299 {
		t.Fatalf("%d %s %v", res.StatusCode, answer, err)
	}
	f.told("the payment", func(m gateway.Message) bool {
		return m.Payment != nil && m.Payment.Paid && m.Payment.Method == "upi" && m.Payment.UTR != "" && m.OrderID == made.OrderID
	})
	got, err := f.client.Collect(ctx, f.account, o, made)
	if err != nil || len(got.List) != 1 || !got.List[0].Paid || got.List[0].Amount != "42.00" {
		t.Errorf("%+v, %v", got.List, err)
	}
}

// TestFaceFails sees each way in which the face's orders fail for what it is.
func TestFaceFails(t *testing.T) {
	f := newFace(t, map[string]string{"orders": "refuse"})
	ctx, o := t.Context(), order("500")
	var declined *gateway.Declined
	if _, err := f.client.CreateOrder(ctx, f.account, o); !errors.As(err, &declined) || declined.Code == "" || declined.Reason == "" {
		t.Errorf("refused: %v", err)
	}
	f.set(map[string]string{"orders": "error"})
	if _, err := f.client.CreateOrder(ctx, f.account, o); err == nil || errors.As(err, &declined) || errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("an error: %v", err)
	}
	f.set(map[string]string{"orders": "silent"})
	if _, err := f.client.CreateOrder(ctx, f.account, o); err == nil || errors.As(err, &declined) || errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("no answer: %v", err)
	}
	o.Again = true // the order was made: it is found, and no second one made
	first, err := f.client.CreateOrder(ctx, f.account, o)
	if err != nil {
		t.Fatal(err)
	}
	f.set(map[string]string{"orders": "accept"})
	if second, err := f.client.CreateOrder(ctx, f.account, o); err != nil || second.OrderID != first.OrderID {
		t.Errorf("%+v, %v", second, err)
	}
	wrong := f.account
	wrong.Credentials = map[string]string{"key_id": "rzp_test_abcdefgh123456", "key_secret": "wrong"}
	if err := f.client.Check(ctx, wrong); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("a wrong secret: %v", err)
	}
	if _, err := f.client.CreateOrder(ctx, wrong, o); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("a wrong secret: %v", err)
	}
}
