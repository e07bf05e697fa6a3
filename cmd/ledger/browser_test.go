package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// The tests in this file pay on the checkout pages in a real Chromium. LEDGER_TEST_CHROMIUM=required makes its absence a failure.

// browserWithin bounds what one test does in the browser.
const browserWithin = 90 * time.Second

// phone opens a tab of a phone's size in a browser of the test's own.
func phone(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("LEDGER_TEST_CHROMIUM") == "required" {
			t.Fatal("LEDGER_TEST_CHROMIUM=required, and there is no Chromium: make chromium")
		}
		t.Skip("there is no Chromium: make chromium installs it")
	}
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()), chromedp.Flag("disable-quic", true),
		chromedp.WindowSize(390, 844), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(stop)
	ctx, shut := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(shut)
	if _, err := chromedp.Run(ctx, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateScale(2))); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	return ctx
}

// see carries out a step in the tab, and returns what it gives; a failure shows where the browser is.
func see[T any](ctx context.Context, t *testing.T, step chromedp.Action[T]) T {
	t.Helper()
	bounded, cancel := context.WithTimeout(ctx, browserWithin)
	defer cancel()
	got, err := chromedp.Run(bounded, step)
	if err != nil {
		look, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		at, _ := chromedp.Run(look, chromedp.Location())
		page, _ := chromedp.Run(look, chromedp.Text("body"))
		t.Fatalf("%v\nat %s:\n%s", err, at, page)
	}
	return got
}

// browse carries out steps in the tab.
func browse(ctx context.Context, t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	see(ctx, t, chromedp.Steps(steps...))
}

// scanned reads the QR code that the tab shows, as a phone's camera would.
func scanned(ctx context.Context, t *testing.T) string {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(see(ctx, t, chromedp.Screenshot("svg.qr"))))
	if err != nil {
		t.Fatal(err)
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Fatalf("the QR code on the page cannot be read: %v", err)
	}
	return read.GetText()
}

// payUPI plays the customer's UPI app.
func (w *world) payUPI(link, outcome string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{"intent_url": link, "outcome": outcome})
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.httpc.Post("http://"+w.addr+"/sandbox/upi/pay", "application/json", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("the sandbox's UPI app answers %d", resp.StatusCode)
	}
}

// TestBrowserPaysPayin: a customer opens the page of a KlyroPay payin on a phone, scans the code, pays, and reads that it has arrived.
func TestBrowserPaysPayin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+dir+"/ledger.db")
	w.start()
	m := w.merchant()
	status, made := w.call(m, http.MethodPost, "/api/v1/payin/create",
		`{"order_id":"PAGE-1","amount":123456.50,"customer_phone":"9876543210","customer_name":"Rahul Sharma"}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %v", status, made)
	}
	ref, intent := made.text("data", "txn_ref"), made.text("data", "intent_url")
	ctx := phone(t)
	browse(ctx, t, chromedp.Navigate("http://"+w.addr+"/pay/"+ref), chromedp.WaitVisible("svg.qr"))
	text := see(ctx, t, chromedp.Text("main"))
	link := see(ctx, t, chromedp.AttributeValue("#upi", "href")).Value
	for _, want := range []string{"Test shop", "₹1,23,456.50", "PAGE-1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "Rahul") || strings.Contains(text, "9876543210") {
		t.Errorf("the page shows who pays:\n%s", text)
	}
	if code := scanned(ctx, t); code != intent || link != intent {
		t.Fatalf("the code reads %s, the link is %s, and the API said %s", code, link, intent)
	}
	w.payUPI(link, "success")
	browse(ctx, t, chromedp.WaitVisible("h1.success"))
}

// shopFront is the shop that customers come back to.
type shopFront struct {
	server *httptest.Server
	back   chan url.Values // what each customer brought
}

func newShopFront(t *testing.T) *shopFront {
	t.Helper()
	s := &shopFront{back: make(chan url.Values, 10)}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/done" {
			s.back <- r.URL.Query()
		}
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<!DOCTYPE html><title>shop</title><h1 id="shop">Thank you</h1>`))
	}))
	t.Cleanup(s.server.Close)
	return s
}

// order begins a transaction as the checkout flow does, and returns its signature.
func (w *world) order(a testApp, token, amount, reference, redirect string) string {
	w.t.Helper()
	status, o := w.kspay(http.MethodPost, "/v1/transaction/initiate", object{
		"currencyId": "c_WkmEe23LeI", "amount": json.Number(amount), "referenceNumber": reference, "appId": a.ID, "redirectUrl": redirect,
	}, "Authorization", token)
	if status != http.StatusCreated || o.text("result") == "" || o.text("result") != o.text("signature") {
		w.t.Fatalf("initiate %s: %d %v", reference, status, o)
	}
	return o.text("signature")
}

// TestBrowserPaysTransaction: from initiate to the shop's own page and the wallet's credit, on a phone, by keyboard, over the gateway's page; then
// another one by UPI, and one that is declined.
func TestBrowserPaysTransaction(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+dir+"/ledger.db")
	w.start()
	a, shop := w.newApp("INR"), newShopFront(t)
	w.app(nil, "domain", "add", a.ID, shop.server.URL)
	w.gateway(a, "razorpay", "INR", "1.00")
	token, redirect := w.token(a), shop.server.URL+"/done?cart=7"
	ctx := phone(t)

	t.Log("by net banking")
	side := w.process(w.order(a, token, "1234.50", "CART-1", redirect))
	browse(ctx, t, chromedp.Navigate(side.text("checkoutUrl")), chromedp.WaitVisible("fieldset"))
	for _, want := range []string{"Kirana & Sons", "₹1,234.50", "CART-1", "no money moves"} {
		if text := see(ctx, t, chromedp.Text("main")); !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	browse(ctx, t, chromedp.Focus("input[name=method]:checked"), chromedp.KeyEvent(kb.ArrowDown))
	if chosen := see(ctx, t, chromedp.Value("input[name=method]:checked")); chosen != "NET BANKING" {
		t.Fatalf("an arrow key chooses %s", chosen)
	}
	browse(ctx, t, chromedp.KeyEvent(kb.Enter)) // the page in between goes on by itself
	browse(ctx, t, chromedp.WaitVisible("#pay"), chromedp.Click("#pay"))
	w.wantShop(ctx, t, shop, "success", side)
	w.eventually(10*time.Second, "the wallet is credited", func() bool { return w.rupees(a.ID) == "1223.14" }) // 0.99 + 1234.50 - 12.35

	t.Log("by UPI")
	side = w.process(w.order(a, token, "200", "CART-2", redirect))
	browse(ctx, t, chromedp.Navigate(side.text("checkoutUrl")), chromedp.WaitVisible("fieldset"), chromedp.Click(`input[value="UPI"]`), chromedp.Click("#pay"))
	browse(ctx, t, chromedp.WaitVisible("svg.qr"))
	link := see(ctx, t, chromedp.AttributeValue("#upi", "href")).Value
	if code := scanned(ctx, t); code != link || !strings.HasPrefix(link, "upi://pay?") {
		t.Fatalf("the code reads %s, the link is %s", code, link)
	}
	w.payUPI(link, "success")
	w.wantShop(ctx, t, shop, "success", side) // the page goes on by itself
	w.eventually(10*time.Second, "the wallet is credited", func() bool { return w.rupees(a.ID) == "1421.14" })

	t.Log("declined")
	side = w.process(w.order(a, token, "300", "CART-3", redirect))
	browse(ctx, t, chromedp.Navigate(side.text("checkoutUrl")), chromedp.WaitVisible("fieldset"), chromedp.Click(`input[value="NET BANKING"]`), chromedp.Click("#pay"))
	browse(ctx, t, chromedp.WaitVisible("#decline"), chromedp.Click("#decline"))
	w.wantShop(ctx, t, shop, "failed", side)
	if b := w.rupees(a.ID); b != "1421.14" {
		t.Errorf("behind a payment that was declined the wallet has %s", b)
	}
	w.verify()
}

// rupees is what is available in a rupee wallet.
func (w *world) rupees(merchant string) string {
	w.t.Helper()
	var o object
	w.ledger(&o, "wallet", "show", "--merchant", merchant)
	return o.text("balance")
}

// wantShop waits for the customer in the shop, and checks what the browser has brought.
func (w *world) wantShop(ctx context.Context, t *testing.T, shop *shopFront, status string, side object) {
	t.Helper()
	browse(ctx, t, chromedp.WaitVisible("#shop"))
	got := <-shop.back
	if got.Get("payment_status") != status || !strings.HasPrefix(got.Get("kspay_id"), "tx_") || got.Get("cart") != "7" || len(got) != 4 ||
		status == "success" && !strings.HasPrefix(got.Get("provider_payment_id"), "pay_") {
		t.Errorf("the customer of %s comes back with %v", side.text("providerOrderId"), got)
	}
}
