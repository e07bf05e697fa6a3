package payu_test

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
	"github.com/khata-ledger/khata/adapters/gateway/payu"
	"github.com/khata-ledger/khata/adapters/gateway/sandbox"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// face is the sandbox's PayU, which was written to the same documentation by another hand, with an account of ours, and our adapter to it.
type face struct {
	t       *testing.T
	base    string
	client  *payu.Client
	account gateway.Account
	hooks   chan []byte
}

func newFace(t *testing.T) *face {
	t.Helper()
	f := &face{t: t, client: payu.New(), hooks: make(chan []byte, 64)}
	ours := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		f.hooks <- body
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
	f.base = served.URL + "/sandbox/payu"
	f.account = gateway.Account{Config: "gc_abc123xyz", Base: f.base, Credentials: map[string]string{"key": "abcdef", "salt": "abcdefgh"}}
	f.set(map[string]string{"webhook_url": ours.URL + "/hook"})
	return f
}

// set changes the account at the face.
func (f *face) set(settings map[string]string) {
	f.t.Helper()
	in := map[string]string{"key": f.account.Credentials["key"], "salt": f.account.Credentials["salt"]}
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

func (f *face) post(address string, form url.Values) string {
	f.t.Helper()
	res, err := http.PostForm(address, form)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		f.t.Fatalf("%s: %d %v %s", address, res.StatusCode, err, page)
	}
	return string(page)
}

// browse plays the customer: opens the page, does something there, and returns what the browser brings back.
func (f *face) browse(next gateway.Continuation, did url.Values) url.Values {
	f.t.Helper()
	form := url.Values{}
	for _, field := range next.Fields {
		form.Add(field.Name, field.Value)
	}
	action := formAction.FindStringSubmatch(f.post(next.URL, form))
	if action == nil {
		f.t.Fatal("no form on the page")
	}
	back := url.Values{}
	origin := f.base[:len(f.base)-len("/sandbox/payu")]
	for _, field := range hidden.FindAllStringSubmatch(f.post(origin+html.UnescapeString(action[1]), did), -1) {
		back.Add(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
	}
	return back
}

// hook waits for the face's next message to us.
func (f *face) hook() []byte {
	f.t.Helper()
	select {
	case body := <-f.hooks:
		return body
	case <-time.After(20 * time.Second):
		f.t.Fatal("never told")
		return nil
	}
}

func order() gateway.Order {
	return gateway.Order{
		Reference: "tx_abc123xyz", Amount: money.MustParse("500.25", money.INR), Description: "Invoice | 7", ReturnURL: "https://shop.example/back",
	}
}

func TestFace(t *testing.T) {
	f := newFace(t)
	ctx, o := t.Context(), order()
	if err := f.client.Check(ctx, f.account); err != nil {
		t.Fatal(err)
	}
	made, err := f.client.CreateOrder(ctx, f.account, o)
	if err != nil {
		t.Fatal(err)
	}
	if none, err := f.client.Collect(ctx, f.account, o, made); err != nil || len(none.List) != 0 {
		t.Fatalf("%+v, %v", none, err)
	}
	next, err := f.client.Begin(ctx, f.account, o, made, merchant.NetBanking)
	if err != nil {
		t.Fatal(err)
	}
	// The customer's bank refuses once, and then does not.
	back := f.browse(next, url.Values{"method": {"NB"}, "bank": {"HDFB"}, "action": {"decline"}})
	m, err := f.client.ParseReturn(ctx, f.account, o, made, back, time.Now())
	if err != nil || m.Payment == nil || m.Payment.Paid || m.Payment.Reason == "" {
		t.Fatalf("%+v, %v", m, err)
	}
	got, err := f.client.ParseWebhook(ctx, f.account, nil, f.hook(), time.Now())
	if err != nil || len(got) != 1 || got[0].Payment.Paid || got[0].Reference != o.Reference {
		t.Fatalf("%+v, %v", got, err)
	}
	back = f.browse(next, url.Values{"method": {"NB"}, "bank": {"HDFB"}, "action": {"pay"}})
	if m, err = f.client.ParseReturn(ctx, f.account, o, made, back, time.Now()); err != nil || m.Payment == nil || !m.Payment.Paid || m.Payment.PaymentID != back.Get("mihpayid") {
		t.Fatalf("%+v, %v", m, err)
	}
	if p := *m.Payment; p.Amount != "500.25" || p.Currency != "INR" || p.Method != "NB" || p.SubMethod != "HDFB" || p.UTR == "" || time.Since(p.At).Abs() > time.Hour {
		t.Errorf("%+v", p)
	}
	hook := f.hook()
	if got, err = f.client.ParseWebhook(ctx, f.account, nil, hook, time.Now()); err != nil || len(got) != 1 || *got[0].Payment != *m.Payment {
		t.Fatalf("%+v, %v", got, err)
	}
	if all, err := f.client.Collect(ctx, f.account, o, made); err != nil || len(all.List) != 1 || all.List[0] != *m.Payment {
		t.Fatalf("%+v, %v", all.List, err)
	}
	// The same form, with another payment's id: nothing of it is signed, and nothing of it counts.
	back.Set("mihpayid", "403993715999999999")
	if m, err := f.client.ParseReturn(ctx, f.account, o, made, back, time.Now()); err != nil || m.Payment.PaymentID != got[0].Payment.PaymentID {
		t.Errorf("%+v, %v", m.Payment, err)
	}
	back.Set("amount", "5000.25")
	if _, err := f.client.ParseReturn(ctx, f.account, o, made, back, time.Now()); !errors.Is(err, gateway.ErrSignature) {
		t.Errorf("another amount: %v", err)
	}
	f.refunds(o, got[0].Payment.PaymentID)
	f.unanswered(o, made, hook)
}

// refunds gives a part back, twice by one reference, and more than there is.
func (f *face) refunds(o gateway.Order, paymentID string) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	r := gateway.Refund{Reference: "rfd_abc123xyz", PaymentID: paymentID, OrderID: o.Reference, Payin: o.Reference, Amount: money.MustParse("200", money.INR), Total: o.Amount}
	if got, err := f.client.InquireRefund(ctx, f.account, r); err != nil || got.State != gateway.RefundUnknown {
		t.Fatalf("before: %+v, %v", got, err)
	}
	first, err := f.client.Refund(ctx, f.account, r)
	if err != nil || first.State != gateway.RefundPending || first.RefundID == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := f.client.Refund(ctx, f.account, r); err != nil || second.RefundID != first.RefundID {
		t.Fatalf("again: %+v, %v", second, err)
	}
	var last gateway.RefundAnswer
	for deadline := time.Now().Add(20 * time.Second); last.State != gateway.RefundDone; {
		if last, err = f.client.InquireRefund(ctx, f.account, r); err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", last, err)
		}
	}
	if last.RefundID != first.RefundID || last.UTR == "" {
		t.Errorf("%+v", last)
	}
	message, err := json.Marshal(map[string]any{
		"action": "refund", "key": f.account.Credentials["key"], "token": r.Reference, "mihpayid": " " + paymentID + " ", "status": "failure", "request_id": 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.client.ParseWebhook(ctx, f.account, nil, message, time.Now()); err != nil || len(got) != 1 || got[0].Refund.State != gateway.RefundDone || got[0].Reference != r.Reference {
		t.Errorf("a message that is not signed: %+v, %v", got, err)
	}
	r.Reference, r.Amount = "rfd_second001", o.Amount // 200 of it are gone
	var declined *gateway.Declined
	if got, err := f.client.Refund(ctx, f.account, r); !errors.As(err, &declined) {
		t.Errorf("more than there is: %+v, %v", got, err)
	}
}

// unanswered sees what is left of a message when the face does not confirm it.
func (f *face) unanswered(o gateway.Order, made gateway.Ordered, hook []byte) {
	t, ctx := f.t, f.t.Context()
	t.Helper()
	for _, how := range []string{"error", "silent"} {
		f.set(map[string]string{"verify": how})
		if got, err := f.client.ParseWebhook(ctx, f.account, nil, hook, time.Now()); err == nil || errors.Is(err, gateway.ErrSignature) || len(got) != 0 {
			t.Errorf("%s: %+v, %v", how, got, err)
		}
		var declined *gateway.Declined
		if _, err := f.client.Collect(ctx, f.account, o, made); err == nil || errors.As(err, &declined) || errors.Is(err, gateway.ErrCredentials) {
			t.Errorf("%s: %v", how, err)
		}
	}
	wrong := f.account
	wrong.Credentials = map[string]string{"key": f.account.Credentials["key"], "salt": "wrong"}
	f.set(map[string]string{"verify": "accept"})
	if err := f.client.Check(ctx, wrong); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("a wrong salt: %v", err)
	}
	wrong.Credentials = map[string]string{"key": "nobody", "salt": "wrong"}
	if err := f.client.Check(ctx, wrong); !errors.Is(err, gateway.ErrCredentials) {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestFaceCancelled(t *testing.T) {
	f := newFace(t)
	ctx, o := t.Context(), order()
	made := gateway.Ordered{OrderID: o.Reference}
	next, err := f.client.Begin(ctx, f.account, o, made, "")
	if err != nil {
		t.Fatal(err)
	}
	back := f.browse(next, url.Values{"action": {"cancel"}})
	m, err := f.client.ParseReturn(ctx, f.account, o, made, back, time.Now())
	if err != nil || m.Payment == nil || m.Payment.Paid || m.Payment.Reason != "declined_by_customer" {
		t.Errorf("%+v, %v", m.Payment, err)
	}
}
