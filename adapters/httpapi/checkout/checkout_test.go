package checkout_test

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/checkout"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

const (
	appID = "ap_rtk2WdyQR"
	txID  = "tx_UOVynlQ0j"
	upi   = "upi://pay?pa=shop%40bank&pn=Shop%20%26%20Sons&tr=PAYIN-REF-7H2K9QXM&am=123456.50&cu=INR&mode=04"
)

var noon = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)

// shop is everything that the pages stand on, in memory.
type shop struct {
	t        *testing.T
	book     *ticket.Book
	app      merchant.Merchant
	payments map[string]wallet.Payment
	next     checkout.Next
	began    merchant.Method
	returned url.Values
	onReturn func(p *wallet.Payment) error
	fail     error // of Ensure
	now      time.Time
	sealed   string
	handler  http.Handler
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, book: ticket.New([]byte(strings.Repeat("k", 32))), now: noon, payments: map[string]wallet.Payment{}, next: checkout.Next{
		Post: true, URL: "https://api.company.example/pay?x=1", Fields: []checkout.Field{{Name: "order_id", Value: `order_"1"`}},
	}}
	s.app = merchant.Merchant{ID: appID, Name: `Shop <script>alert(1)</script> & Sons`, App: &merchant.App{Mode: merchant.Live, Gateways: []merchant.Gateway{{
		ID: "gc_a1B2c3D4e", Gateway: "company", Enabled: true, Ranks: []merchant.Rank{{Currency: "INR", Priority: 1}},
		Credentials: merchant.StepVerified, Webhook: merchant.StepVerified, Package: merchant.StepVerified, Security: merchant.StepVerified,
	}}}}
	s.seal(wallet.Customer{RedirectURL: "https://shop.example/done?cart=7&payment_status=forged"})
	s.put(wallet.Payment{Of: of(txID), TxnRef: txID, OrderID: "OcrcZcu5z0Az1w2Z", Gateway: wallet.Unrouted})
	rt := httpapi.NewRouter()
	checkout.New(checkout.Ports{Tickets: s.book, Merchants: s, Payments: s, Checkouts: s, Vault: s}, checkout.Options{
		RateLimit: 50, Clock: func() time.Time { return s.now },
	}).Register(rt)
	s.handler = rt
	return s
}

func of(id string) wallet.Of { return wallet.Of{Merchant: appID, Currency: money.INR, Payment: id} }

// put stores a pending payin of 1,23,456.50 rupees.
func (s *shop) put(p wallet.Payment) {
	p.Kind, p.Status = wallet.KindPayin, wallet.Pending
	p.Amount, p.ExpiresAt = money.MustParse("123456.5", money.INR), noon.Add(time.Hour)
	p.Sealed, p.SealID = "sealed", uuid.NewString()
	s.payments[p.Of.Payment] = p
}

func (s *shop) change(id string, change func(*wallet.Payment)) {
	p := s.payments[id]
	change(&p)
	s.payments[id] = p
}

func (s *shop) seal(c wallet.Customer) {
	b, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sealed = string(b)
}

func (s *shop) token() string {
	return s.book.Mint(ticket.Checkout, ticket.Ticket{App: appID, Subject: txID, ID: "1"}, noon.Add(2*time.Hour))
}

func (s *shop) Merchant(_ context.Context, id string) (merchant.Merchant, error) {
	if id != s.app.ID {
		return merchant.Merchant{}, domain.Errorf(domain.NotFound, "no merchant %s", id)
	}
	return s.app, nil
}

func (s *shop) Payment(_ context.Context, _, id string) (wallet.Payment, error) {
	p, there := s.payments[id]
	if !there {
		return p, domain.Errorf(domain.NotFound, "no payment %s", id)
	}
	return p, nil
}

func (s *shop) Subject(_ context.Context, reference string) (merchantID, id string, kind wallet.Kind, found bool, err error) {
	for id, p := range s.payments {
		if p.TxnRef == reference || id == reference {
			return appID, id, p.Kind, true, nil
		}
	}
	return "", "", "", false, nil
}

func (s *shop) Company(name string) checkout.Company {
	if name != "company" {
		return checkout.Company{}
	}
	return checkout.Company{Title: "Company Pay", Methods: []merchant.Method{merchant.NetBanking, merchant.UPI, merchant.CreditCard}}
}

func (s *shop) Ensure(_ context.Context, _ merchant.Merchant, p wallet.Payment) (wallet.Payment, error) {
	if s.fail != nil {
		return p, s.fail
	}
	p.Gateway, p.Checkout.Order = "company", "order_1"
	s.payments[p.Of.Payment] = p
	return p, nil
}

func (s *shop) Begin(_ context.Context, _ merchant.Merchant, _ wallet.Payment, m merchant.Method) (checkout.Next, error) {
	s.began = m
	return s.next, nil
}

func (s *shop) Return(_ context.Context, _ merchant.Merchant, p wallet.Payment, form url.Values) (wallet.Payment, error) {
	s.returned = form
	if s.onReturn != nil {
		if err := s.onReturn(&p); err != nil {
			return p, err
		}
	}
	s.payments[p.Of.Payment] = p
	return p, nil
}

func (s *shop) Refresh(_ context.Context, _ merchant.Merchant, p wallet.Payment) (wallet.Payment, error) {
	return s.payments[p.Of.Payment], nil
}

func (s *shop) UnsealString(context.Context, uuid.UUID, string) (string, error) { return s.sealed, nil }

// ask sends a request; a form makes it a POST.
func (s *shop) ask(path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if form != nil {
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// want checks an answer's status, and that its page has all of these texts, and none of those behind "!".
func (s *shop) want(w *httptest.ResponseRecorder, status int, texts ...string) {
	s.t.Helper()
	if w.Code != status {
		s.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	for _, text := range texts {
		if not, absent := strings.CutPrefix(text, "!"); absent {
			if strings.Contains(w.Body.String(), not) {
				s.t.Errorf("the page has %q:\n%s", not, w.Body)
			}
		} else if !strings.Contains(w.Body.String(), text) {
			s.t.Errorf("the page has not %q:\n%s", text, w.Body)
		}
	}
}

func policy(w *httptest.ResponseRecorder) string { return w.Header().Get("Content-Security-Policy") }

func TestPage(t *testing.T) {
	s := open(t)
	w := s.ask("/checkout/"+s.token(), nil)
	s.want(w, http.StatusOK, "₹1,23,456.50", "Shop &lt;script&gt;", "!<script>alert", "Order OcrcZcu5z0Az1w2Z", `value="UPI"`, `value="NET BANKING"`, `value="CREDIT CARD"`,
		"!DEBIT CARD", "!no money moves", `action="/checkout/`)
	for _, rule := range []string{"default-src 'none'", "style-src 'self'", "script-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy(w), rule) {
			t.Errorf("policy %q lacks %s", policy(w), rule)
		}
	}
	if h := w.Header(); h.Get("Cache-Control") != "no-store" || h.Get("Referrer-Policy") != "origin" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", h)
	}
	if strings.Index(w.Body.String(), "UPI") > strings.Index(w.Body.String(), "NET BANKING") {
		t.Error("the methods are not in their order")
	}
	for _, external := range regexp.MustCompile(`(?:src|href)="(https?:)?//`).FindAllString(w.Body.String(), -1) {
		t.Errorf("the page loads from elsewhere: %s", external)
	}

	s.app.App.Mode = merchant.Test
	s.change(txID, func(p *wallet.Payment) { p.Checkout.Method = "NET BANKING" })
	s.want(s.ask("/checkout/"+s.token(), nil), http.StatusOK, "no money moves", `value="NET BANKING"`, `!value="UPI"`)

	s.change(txID, func(p *wallet.Payment) { p.Checkout.Method = "PAYPAL" })
	s.want(s.ask("/checkout/"+s.token(), nil), http.StatusServiceUnavailable, "No way to pay", "!<form")

	// A trial goes through a gateway that is not usable yet.
	s.app.App.Gateways[0].Security = merchant.StepPending
	s.change(txID, func(p *wallet.Payment) { p.Checkout.Method, p.Checkout.Trial = "", "gc_a1B2c3D4e" })
	s.want(s.ask("/checkout/"+s.token(), nil), http.StatusOK, `value="UPI"`)
}

func TestNoPage(t *testing.T) {
	s := open(t)
	good := s.token()
	old := s.book.Mint(ticket.Checkout, ticket.Ticket{App: appID, Subject: txID}, noon)
	other := s.book.Mint(ticket.Access, ticket.Ticket{App: appID, Subject: txID}, noon.Add(time.Hour))
	nobody := s.book.Mint(ticket.Checkout, ticket.Ticket{App: "ap_000000000", Subject: txID}, noon.Add(time.Hour))
	nothing := s.book.Mint(ticket.Checkout, ticket.Ticket{App: appID, Subject: "tx_000000000"}, noon.Add(time.Hour))
	for name, token := range map[string]string{
		"nonsense": "x", "altered": good[:len(good)-2] + "zz", "expired": old, "of another kind": other, "of no app": nobody, "of no transaction": nothing,
	} {
		for _, path := range []string{"", "/return", "/status"} {
			if w := s.ask("/checkout/"+token+path, nil); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "Sons") {
				t.Errorf("a token %s: %d for %q: %s", name, w.Code, path, w.Body)
			}
		}
		s.want(s.ask("/checkout/"+token+"/pay", url.Values{"method": {"UPI"}}), http.StatusNotFound)
	}
	s.change(txID, func(p *wallet.Payment) { p.Kind = wallet.KindPayout })
	s.want(s.ask("/checkout/"+good, nil), http.StatusNotFound)
}

func TestPayByForm(t *testing.T) {
	s := open(t)
	w := s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"CREDIT CARD"}})
	s.want(w, http.StatusOK, `action="https://api.company.example/pay?x=1"`, `name="order_id" value="order_&#34;1&#34;"`, "Continue to Company Pay", "data-auto")
	if !strings.HasSuffix(policy(w), "form-action https://api.company.example https:") || s.began != merchant.CreditCard {
		t.Errorf("policy %q, method %s", policy(w), s.began)
	}
	s.next = checkout.Next{URL: "https://paypal.example/approve?token=1"}
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"CREDIT CARD"}}), http.StatusOK, `href="https://paypal.example/approve?token=1"`)
	s.next = checkout.Next{URL: "javascript:alert(1)"}
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"CREDIT CARD"}}), http.StatusOK, "That did not work", "!javascript")
}

func TestPayRefuses(t *testing.T) {
	s := open(t)
	for _, form := range []url.Values{{"method": {"DEBIT CARD"}}, {"method": {""}}, {}, {"method": {"nonsense"}}} {
		s.want(s.ask("/checkout/"+s.token()+"/pay", form), http.StatusOK, "Please choose one of the ways", `role="alert"`)
	}
	r := httptest.NewRequest(http.MethodPost, "/checkout/"+s.token()+"/pay", strings.NewReader(`{"method":"UPI"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	s.want(w, http.StatusBadRequest)
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {strings.Repeat("x", 65<<10)}}), http.StatusBadRequest)
	s.fail = errors.New("no gateway answers")
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"UPI"}}), http.StatusOK, "That did not work. Nothing was charged", "!no gateway answers", `value="UPI"`)
	s.fail, s.now = nil, noon.Add(time.Hour)
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"UPI"}}), http.StatusOK, "The time to pay is over", "data-poll")
	if s.began != "" {
		t.Errorf("a payment was begun by %s", s.began)
	}
}

// path is a run of dark modules of a QR code.
var path = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`)

// scan reads the QR code of a page, as a phone does.
func scan(t *testing.T, page string) string {
	t.Helper()
	box := regexp.MustCompile(`viewBox="0 0 (\d+) `).FindStringSubmatch(page)
	if box == nil {
		t.Fatalf("no QR code in %s", page)
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const scale = 4
	side := number(box[1]) * scale
	img := image.NewGray(image.Rect(0, 0, side, side))
	for i := range img.Pix {
		img.Pix[i] = 255
	}
	for _, run := range path.FindAllStringSubmatch(page, -1) {
		x, y, n := number(run[1]), number(run[2]), number(run[3])
		for py := y * scale; py < (y+1)*scale; py++ {
			for px := x * scale; px < (x+n)*scale; px++ {
				img.Set(px, py, color.Black)
			}
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("the QR code cannot be read: %v", err)
	}
	return read.GetText()
}

func TestPayByUPI(t *testing.T) {
	s := open(t)
	s.next = checkout.Next{UPI: upi}
	w := s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"UPI"}})
	s.want(w, http.StatusOK, `href="upi://pay?pa=shop%40bank&amp;pn=Shop%20%26%20Sons`, "data-poll", "Pay before")
	if got := scan(t, w.Body.String()); got != upi {
		t.Errorf("the code reads %s", got)
	}
	s.next = checkout.Next{UPI: "javascript:alert(1)"}
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"UPI"}}), http.StatusInternalServerError, "!javascript")
}

func TestReturn(t *testing.T) {
	s := open(t)
	s.onReturn = func(p *wallet.Payment) error {
		p.Status, p.PaymentID = wallet.Success, "pay_1"
		return nil
	}
	w := s.ask("/checkout/"+s.token()+"/return?a=1", url.Values{"razorpay_payment_id": {"pay_1"}})
	s.want(w, http.StatusOK, "Thank you", `class="success"`)
	to := regexp.MustCompile(`id="on" href="([^"]+)"`).FindStringSubmatch(w.Body.String())
	if to == nil {
		t.Fatal(w.Body)
	}
	u, err := url.Parse(strings.ReplaceAll(to[1], "&amp;", "&"))
	if err != nil || u.Host != "shop.example" || u.Path != "/done" {
		t.Fatal(to[1], err)
	}
	q := u.Query()
	if q.Get("cart") != "7" || len(q["payment_status"]) != 1 || q.Get("payment_status") != "success" || q.Get("kspay_id") != txID || q.Get("provider_payment_id") != "pay_1" {
		t.Errorf("redirect %s", u)
	}
	if s.returned.Get("razorpay_payment_id") != "pay_1" || s.returned.Get("a") != "1" {
		t.Errorf("brought back %v", s.returned)
	}
	// Once it has ended, every page of it leads to the shop.
	s.want(s.ask("/checkout/"+s.token(), nil), http.StatusOK, "shop.example/done", `http-equiv="refresh"`)
	s.want(s.ask("/checkout/"+s.token()+"/pay", url.Values{"method": {"UPI"}}), http.StatusOK, "shop.example/done")
	s.want(s.ask("/checkout/"+s.token()+"/status", nil), http.StatusOK, `{"status":"success","next":"/checkout/`)
}

func TestReturnUnknown(t *testing.T) {
	s := open(t)
	s.onReturn = func(*wallet.Payment) error { return errors.New("forged") }
	s.want(s.ask("/checkout/"+s.token()+"/return?token=5O1", nil), http.StatusOK, "Confirming your payment", "data-poll", "!forged", "!shop.example")
	s.want(s.ask("/checkout/"+s.token()+"/return?cancelled=1", nil), http.StatusOK, "The payment was cancelled", `value="UPI"`)
	s.want(s.ask("/checkout/"+s.token()+"/status", nil), http.StatusOK, `{"status":"pending"}`)
	for status, text := range map[wallet.Status]string{wallet.Failed: "payment_status=failed", wallet.Expired: "payment_status=expired"} {
		s.change(txID, func(p *wallet.Payment) { p.Status = status })
		s.want(s.ask("/checkout/"+s.token(), nil), http.StatusOK, text, `class="`+string(status)+`"`)
	}
	for _, bad := range []string{"", "javascript:alert(1)", "/relative", "mailto:a@b.example"} {
		s.seal(wallet.Customer{RedirectURL: bad})
		s.want(s.ask("/checkout/"+s.token(), nil), http.StatusOK, "!href=\"javascript", "!id=\"on\"")
	}
}

func TestPayin(t *testing.T) {
	s := open(t)
	const ref = "PAYIN-REF-7H2K9QXM"
	s.app.App = nil
	s.put(wallet.Payment{Of: of("txn_1"), TxnRef: ref, OrderID: "ORDER-1", IntentURL: upi, Gateway: "sandbox"})
	w := s.ask("/pay/"+ref, nil)
	s.want(w, http.StatusOK, "₹1,23,456.50", "Order ORDER-1", `data-poll="/pay/`+ref+`/status"`)
	if got := scan(t, w.Body.String()); got != upi {
		t.Errorf("the code reads %s", got)
	}
	s.want(s.ask("/pay/"+ref+"/status", nil), http.StatusOK, `{"status":"pending"}`)
	s.now = noon.Add(time.Hour)
	s.want(s.ask("/pay/"+ref, nil), http.StatusOK, "The time to pay is over", "!<svg")
	s.change("txn_1", func(p *wallet.Payment) { p.Status = wallet.Success })
	s.want(s.ask("/pay/"+ref, nil), http.StatusOK, "Thank you", "!<svg", "!data-poll")
	s.want(s.ask("/pay/"+ref+"/status", nil), http.StatusOK, `{"status":"success","next":"/pay/`+ref+`"}`)
	for _, none := range []string{"PAYIN-REF-0", "txn_1", txID} { // nothing; by the transaction id, which is no secret; a KS Pay transaction
		s.want(s.ask("/pay/"+none, nil), http.StatusNotFound)
		s.want(s.ask("/pay/"+none+"/status", nil), http.StatusNotFound)
	}
}

func TestTooMany(t *testing.T) {
	s := open(t)
	for range 50 {
		s.want(s.ask("/checkout/x", nil), http.StatusNotFound)
	}
	w := s.ask("/checkout/x", nil)
	s.want(w, http.StatusTooManyRequests)
	if w.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	for _, asset := range []string{"/checkout-assets/page.css", "/checkout-assets/page.js"} { // are not counted
		s.want(s.ask(asset, nil), http.StatusOK)
	}
}
