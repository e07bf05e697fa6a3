package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// The npm package, sdk/js, against the built binary. `make sdk` builds it; LEDGER_TEST_NPM=required makes its absence a failure.

// sdk is the folder of the built package.
func sdk(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join("..", "..", "sdk", "js"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = exec.LookPath("node")
	for _, built := range []string{"dist/index.js", "dist/browser.js", "build/test/e2e/run.js"} {
		if err == nil {
			_, err = os.Stat(filepath.Join(folder, filepath.FromSlash(built)))
		}
	}
	if err != nil {
		if os.Getenv("LEDGER_TEST_NPM") == "required" {
			t.Fatalf("LEDGER_TEST_NPM=required, and the npm package is not built: %v", err)
		}
		t.Skipf("make sdk builds the npm package: %v", err)
	}
	return folder
}

// sdkScript runs one of the package's own tests against this server, as an app.
func (w *world) sdkScript(folder, name string, a testApp, settings ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=spec", filepath.Join("build", "test", "e2e", name+".js")) //nolint:gosec // the test's own
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), settings...),
		"KSPAY_URL=http://"+w.addr+"/v1", "KSPAY_APP="+a.ID, "KSPAY_ACCESS_KEY="+a.AccessKey, "KSPAY_SECRET_KEY="+a.SecretKey)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), a.SecretKey) {
		w.t.Errorf("%s shows the secret key", name)
	}
	if err != nil || strings.Contains(string(out), "tests 0") {
		w.t.Fatalf("%s: %v\n%s", name, err, strings.ReplaceAll(string(out), a.SecretKey, "..."))
	}
}

// TestSDK: the package does all of its calls on the real server, over both faces of the sandbox; and goes on when its tokens end.
func TestSDK(t *testing.T) {
	t.Parallel()
	folder := sdk(t)
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	var last testApp
	for _, face := range []string{"razorpay", "payu"} {
		last = w.newApp("INR")
		w.gateway(last, face, "INR", "1.00")
		w.sdkScript(folder, "run", last)
	}
	w.stop()
	w.start("--token-life", "3s")
	w.sdkScript(folder, "renewal", last, "KSPAY_TOKEN_LIFE_MS=3000")
	w.verify()
}

// sdkShop is a shop whose pages use the package's files as they are, without a bundler.
func sdkShop(t *testing.T, folder string) *httptest.Server {
	t.Helper()
	files := http.StripPrefix("/kspay-js/", http.FileServer(http.Dir(filepath.Join(folder, "dist"))))
	pages := map[string]string{
		"/cart": `<button id="buy">Buy</button><pre id="told"></pre><script type="module">
			import { checkout, KSPayBrowser, openWindow } from "/kspay-js/browser.js";
			const asked = new URLSearchParams(location.search);
			const told = document.querySelector("#told");
			document.querySelector("#buy").onclick = async () => {
				try {
					const mode = asked.get("mode");
					const window = mode === "redirect" ? undefined : openWindow(mode);
					const order = await new KSPayBrowser({ baseUrl: asked.get("api") }).process(asked.get("signature"));
					told.textContent = JSON.stringify(await checkout(order, { mode, window }));
				} catch (error) {
					told.textContent = error.name + " " + error.code + " " + error.httpStatus;
				}
				told.className = "done";
			};
			document.querySelector("#buy").className = "ready";
		</script>`,
		"/paid": `<pre id="told"></pre><script type="module">
			import { finishCheckout } from "/kspay-js/browser.js";
			document.querySelector("#told").textContent = JSON.stringify(finishCheckout());
			document.querySelector("#told").className = "done";
		</script>`,
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/kspay-js/") {
			files.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html><title>shop</title>%s", pages[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	return s
}

// wantPaid checks what the package has read from the address that the customer came back to, and asks whether it is so.
func (w *world) wantPaid(token, told, amount string) {
	w.t.Helper()
	var back struct{ PaymentStatus, KspayID, ProviderPaymentID string }
	if err := json.Unmarshal([]byte(told), &back); err != nil || back.PaymentStatus != "success" || !strings.HasPrefix(back.ProviderPaymentID, "pay_") {
		w.t.Fatalf("the shop's page reads %s, %v", told, err)
	}
	w.eventually(10*time.Second, "the transaction is paid", func() bool {
		o := w.transaction(token, back.KspayID)
		return o.text("status") == "SUCCESS" && o.text("amount") == amount
	})
}

// TestSDKInTheBrowser: a shop's page takes the package's files as they are, has the order given to it across origins, and opens the checkout in the
// same tab and in a popup; the customer comes back, and the transaction that the address names is paid.
func TestSDKInTheBrowser(t *testing.T) {
	t.Parallel()
	folder := sdk(t)
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a, shop := w.newApp("INR"), sdkShop(t, folder)
	ctx := phone(t)
	w.app(nil, "domain", "add", a.ID, shop.URL)
	w.gateway(a, "razorpay", "INR", "1.00")
	token := w.token(a)
	cart := func(mode, signature string) string {
		return shop.URL + "/cart?mode=" + mode + "&api=http://" + w.addr + "/v1&signature=" + signature
	}
	buy := []chromedp.Action[chromedp.Void]{chromedp.WaitVisible("#buy.ready"), chromedp.Click("#buy.ready")}
	pay := []chromedp.Action[chromedp.Void]{
		chromedp.WaitVisible("fieldset"), chromedp.Click(`input[value="NET BANKING"]`), chromedp.Click("#pay"),
		chromedp.WaitVisible("#decline"), chromedp.Click("#pay"), // on the gateway's page
	}

	t.Log("in the same tab")
	signature := w.order(a, token, "120.50", "SDK-1", shop.URL+"/paid")
	browse(ctx, t, append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(cart("redirect", signature))}, buy...)...)
	browse(ctx, t, pay...)
	browse(ctx, t, chromedp.WaitVisible("#told.done"))
	w.wantPaid(token, see(ctx, t, chromedp.Text("#told")), "120.5")

	t.Log("in a popup, which closes when the customer is back")
	signature = w.order(a, token, "75", "SDK-2", shop.URL+"/paid")
	opened := chromedp.WaitNewTarget(ctx, func(*target.Info) bool { return true })
	browse(ctx, t, append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(cart("popup", signature))}, buy...)...)
	select {
	case id := <-opened:
		popup, leave := chromedp.NewContext(ctx, chromedp.WithTargetID(id))
		defer leave()
		browse(popup, t, pay...)
	case <-time.After(browserWithin):
		t.Fatal("no popup opens")
	}
	browse(ctx, t, chromedp.WaitVisible("#told.done"))
	told := see(ctx, t, chromedp.Text("#told"))
	var outcome struct {
		Kind     string
		Redirect json.RawMessage
	}
	if err := json.Unmarshal([]byte(told), &outcome); err != nil || outcome.Kind != "returned" {
		t.Fatalf("behind the popup the shop's page reads %s, %v", told, err)
	}
	w.wantPaid(token, string(outcome.Redirect), "75")

	t.Log("from an origin that is not the app's")
	stranger := sdkShop(t, folder)
	browse(ctx, t, append([]chromedp.Action[chromedp.Void]{chromedp.Navigate(strings.Replace(cart("redirect", signature), shop.URL, stranger.URL, 1))}, buy...)...)
	browse(ctx, t, chromedp.WaitVisible("#told.done"))
	if told := see(ctx, t, chromedp.Text("#told")); !strings.HasPrefix(told, "KSPayNetworkError") { // the browser does not show it the answer
		t.Errorf("a stranger's page reads %s", told)
	}
	w.verify()
}
