package main

import (
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// testApp is an app with its credentials.
type testApp struct {
	ID        string `json:"app_id"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
}

// app runs `ledger app ...` for the server of this world.
func (w *world) app(answer any, args ...string) {
	w.t.Helper()
	w.ledger(answer, append(append([]string{"app"}, args...), "--public-url", "http://"+w.addr, "--sandbox")...)
}

// newApp signs an app up.
func (w *world) newApp(currencies ...string) testApp {
	w.t.Helper()
	args := []string{"create", "--name", "Kirana & Sons", "--domain", "https://shop.example"}
	for _, c := range currencies {
		args = append(args, "--currency", c)
	}
	var a testApp
	w.app(&a, args...)
	return a
}

// account makes an account at a face of the sandbox, or changes one.
func (w *world) account(face string, settings object) object {
	w.t.Helper()
	body, err := json.Marshal(settings)
	if err != nil {
		w.t.Fatal(err)
	}
	status, o := w.call(testMerchant{}, http.MethodPost, "/sandbox/"+face+"/accounts", string(body))
	if status/100 != 2 {
		w.t.Fatalf("account of %s: %d %v", face, status, o)
	}
	return o
}

// file writes a secret where --set and --secret read it.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return "@" + path
}

// gateway gives an app a gateway, and takes all of its steps: the trial order is paid as customers pay. It returns configuration and account.
func (w *world) gateway(a testApp, face, currency, amount string, flags ...string) (config string, account object) {
	w.t.Helper()
	var g object
	w.app(&g, append([]string{"gateway", "add", a.ID, face}, flags...)...)
	config = g.text("gateway_config_id")
	account = w.account(face, object{"webhook_url": g.text("webhook_url")})
	credentials := []string{"gateway", "credentials", a.ID, config}
	webhook := []string{"gateway", "webhook", a.ID, config}
	switch face {
	case "razorpay":
		credentials = append(credentials, "--set", "key_id="+account.text("key_id"), "--set", "key_secret="+w.file("key", account.text("key_secret")))
		webhook = append(webhook, "--secret", w.file("webhook", account.text("webhook_secret")))
	case "payu":
		credentials = append(credentials, "--set", "key="+account.text("key"), "--set", "salt="+w.file("salt", account.text("salt")))
	}
	w.app(nil, credentials...)
	w.app(nil, webhook...)
	w.app(nil, "gateway", "package", a.ID, config)
	var trial object
	w.app(&trial, "gateway", "trial", a.ID, config, "--amount", amount, "--currency", currency)
	w.checkout(trial.text("checkout_url"), "NET BANKING", "pay")
	w.eventually(20*time.Second, "the trial order of "+face+" has verified three steps", func() bool {
		w.app(&g, "gateway", "list", a.ID)
		for _, o := range g["gateways"].([]any) {
			if o := object(o.(map[string]any)); o.text("gateway_config_id") == config {
				return o.text("steps", "package") == "verified" && o.text("trial") == ""
			}
		}
		return false
	})
	w.app(nil, "gateway", "security", a.ID, config)
	w.app(&g, "gateway", "enable", a.ID, config)
	if g["usable"] != true {
		w.t.Errorf("after all steps: %v", g)
	}
	token := w.token(a)
	w.eventually(5*time.Second, "requests know of the gateway, within a second", func() bool {
		_, o := w.kspay(http.MethodGet, "/v1/c_WkmEe23LeI/payment-methods", nil, "Authorization", token)
		methods, _ := o["result"].([]any)
		return len(methods) > 0
	})
	return config, account
}

// page is what a browser has loaded.
type page struct {
	status   int
	text     string
	location string
}

// browse loads a page, or sends a form; redirects are not followed.
func (w *world) browse(method, address string, form url.Values) page {
	w.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return page{resp.StatusCode, string(text), resp.Header.Get("Location")}
}

// form is the first form of a page: where it goes, and its hidden fields.
func (w *world) form(p page) (string, url.Values) {
	w.t.Helper()
	at := regexp.MustCompile(`<form[^>]*action="([^"]+)"`).FindStringSubmatch(p.text)
	if at == nil {
		w.t.Fatalf("a page without a form: %d %s", p.status, p.text)
	}
	fields := url.Values{}
	for _, f := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`).FindAllStringSubmatch(p.text, -1) {
		fields.Set(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
	}
	address, err := url.Parse(html.UnescapeString(at[1]))
	if err != nil {
		w.t.Fatal(err)
	}
	base, err := url.Parse("http://" + w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	return base.ResolveReference(address).String(), fields
}

// checkout goes from the checkout page over the gateway's page and back, as a customer who presses a button there: pay or decline. It returns where
// the browser stands in the end.
func (w *world) checkout(link, method, button string) page {
	w.t.Helper()
	return w.leave(w.arrive(link, method), button)
}

// arrive goes from the checkout page to the gateway's page.
func (w *world) arrive(link, method string) page {
	w.t.Helper()
	w.eventually(5*time.Second, "the checkout page is there", func() bool { return w.browse(http.MethodGet, link, nil).status == http.StatusOK })
	address, fields := w.form(w.browse(http.MethodPost, link+"/pay", url.Values{"method": {method}}))
	return w.browse(http.MethodPost, address, fields)
}

// leave presses a button on the gateway's page, and goes back from there.
func (w *world) leave(there page, button string) page {
	w.t.Helper()
	address, fields := w.form(there)
	choices := regexp.MustCompile(`<input type="radio" name="method" value="([^"]+)" data-kind="netbanking"`).FindStringSubmatch(there.text)
	if choices == nil {
		w.t.Fatalf("the gateway's page: %s", there.text)
	}
	fields.Set("method", choices[1])
	fields.Set("bank", "HDFC")
	fields.Set("action", button)
	address, fields = w.form(w.browse(http.MethodPost, address, fields)) // the way back
	return w.browse(http.MethodPost, address, fields)
}

// kspay calls the KS Pay API.
func (w *world) kspay(method, path string, body object, headers ...string) (int, object) {
	w.t.Helper()
	raw := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		raw = string(b)
	}
	return w.call(testMerchant{}, method, path, raw, headers...)
}

func (a testApp) pair() object { return object{"accessKey": a.AccessKey, "secretKey": a.SecretKey} }

// token is an access token.
func (w *world) token(a testApp) string {
	w.t.Helper()
	status, o := w.kspay(http.MethodPost, "/v1/auth/generate-token/"+a.ID, a.pair())
	if status != http.StatusCreated {
		w.t.Fatalf("generate-token: %d %v", status, o)
	}
	return "Bearer " + o.text("result", "accessToken")
}

// initiate begins a transaction as a server does, and returns its id and its signature.
func (w *world) initiate(a testApp, currencyID, methodID, amount, reference string) (id, signature string) {
	w.t.Helper()
	status, o := w.kspay(http.MethodPost, "/v1/auth/generate-signature/"+a.ID, a.pair())
	if status != http.StatusCreated {
		w.t.Fatalf("generate-signature: %d %v", status, o)
	}
	signature = o.text("result")
	status, o = w.kspay(http.MethodPost, "/v1/transaction/initiate", object{
		"currencyId": currencyID, "paymentMethodId": methodID, "amount": json.Number(amount), "referenceNumber": reference,
	}, "x-signature", signature)
	if status != http.StatusCreated {
		w.t.Fatalf("initiate %s: %d %v", reference, status, o)
	}
	return o.text("result", "pe_txnId"), signature
}

// process is what the customer's side is told; the link of the hosted page among it.
func (w *world) process(signature string) object {
	w.t.Helper()
	status, o := w.kspay(http.MethodPost, "/v1/transaction/process", nil, "x-signature", signature)
	if status != http.StatusCreated {
		w.t.Fatalf("process: %d %v", status, o)
	}
	return object(o["result"].(map[string]any))
}

// transaction is a transaction as the API tells it.
func (w *world) transaction(token, id string) object {
	w.t.Helper()
	status, o := w.kspay(http.MethodGet, "/v1/transaction/txnId/"+id, nil, "Authorization", token)
	if status != http.StatusOK {
		w.t.Fatalf("transaction %s: %d %v", id, status, o)
	}
	return object(o["result"].(map[string]any))
}

// wantWallet compares a wallet's balance.
func (w *world) wantWallet(merchant, currency, want string) {
	w.t.Helper()
	var o object
	w.ledger(&o, "wallet", "show", "--merchant", merchant, "--currency", currency)
	if o.text("balance") != want {
		w.t.Errorf("the %s wallet of %s has %s, want %s", currency, merchant, o.text("balance"), want)
	}
}

const netBanking = "pm_Mk55VGvFm"

// TestKSPay: an app signs up, sets its gateway up with a trial order that is paid, and takes payments in three currencies, to the last minor unit.
func TestKSPay(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		a := w.newApp("INR", "USD", "JPY")
		config, _ := w.gateway(a, "razorpay", "INR", "1.00")
		w.wantWallet(a.ID, "INR", "0.99")
		token := w.token(a)
		for currency, c := range map[string]struct{ id, amount, net string }{
			"INR": {"c_WkmEe23LeI", "345.67", "343.20"}, // 0.99 + 345.67 - 3.46
			"USD": {"c_2xqOlqufc3", "10.05", "9.95"},    // 10.05 - 0.10
			"JPY": {"c_Jp1yCe9NtB", "1550", "1534"},     // 1550 - 16
		} {
			tx, signature := w.initiate(a, c.id, netBanking, c.amount, "ORDER-"+currency)
			if o := w.transaction(token, tx); o.text("status") != "PENDING" || o.text("amount") != c.amount || o.text("currencyCode") != currency || o.text("gatewayConfigId") != config {
				t.Errorf("before it is paid: %v", o)
			}
			side := w.process(signature)
			if side.text("gateway") != "razorpay" || side.text("providerOrderId") == "" || !strings.HasPrefix(side.text("clientId"), "rzp_test_") {
				t.Errorf("process: %v", side)
			}
			w.checkout(side.text("checkoutUrl"), "NET BANKING", "pay")
			w.eventually(10*time.Second, currency+" is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
			w.wantWallet(a.ID, currency, c.net)
			if o := w.transaction(token, tx); o["isPaid"] != true || o.text("providerOrderId") != side.text("providerOrderId") || o.text("providerTxnId") == "" {
				t.Errorf("paid: %v", o)
			}
		}
		// A refund goes back through the account that brought the payment, and the commission with it.
		refunded, signature := w.initiate(a, "c_2xqOlqufc3", netBanking, "20", "ORDER-BACK")
		w.checkout(w.process(signature).text("checkoutUrl"), "NET BANKING", "pay")
		w.eventually(10*time.Second, "it is paid", func() bool { return w.transaction(token, refunded).text("status") == "SUCCESS" })
		w.wantWallet(a.ID, "USD", "29.75")
		w.ledger(nil, "payin", "refund", refunded, "--reason", "sent back")
		w.eventually(20*time.Second, "the gateway has refunded it", func() bool {
			out, _ := w.run("payin", "refunds", refunded, "--format", "json")
			return strings.Contains(out, `"status":"success"`)
		})
		w.wantWallet(a.ID, "USD", "9.95")
		// A forged message changes nothing, and is kept.
		if forged := w.browse(http.MethodPost, "http://"+w.addr+"/gateways/razorpay/"+a.ID+"/"+config+"/webhook", url.Values{"event": {"payment.captured"}}); forged.status/100 != 4 {
			t.Errorf("a forged message: %d %s", forged.status, forged.text)
		}
		var kept object
		w.app(&kept, "webhooks", a.ID, config)
		if list, _ := kept["messages"].([]any); len(list) != 1 || object(list[0].(map[string]any)).text("state") != "refused" {
			t.Errorf("kept: %v", kept)
		}
		// One that is declined at the gateway can be tried again on the same order; nothing is credited for the first try.
		tx, signature := w.initiate(a, "c_WkmEe23LeI", netBanking, "50", "ORDER-DECLINED")
		link := w.process(signature).text("checkoutUrl")
		w.checkout(link, "NET BANKING", "decline")
		if o := w.transaction(token, tx); o.text("status") == "SUCCESS" {
			t.Errorf("declined, and %v", o)
		}
		w.wantWallet(a.ID, "INR", "343.20")
		w.verify()
		w.restart()
		w.wantTrialBalance("INR", "JPY", "USD")
		if o := w.transaction(token, tx); o.text("referenceNumber") != "ORDER-DECLINED" { // tokens outlive a restart
			t.Errorf("after a restart: %v", o)
		}
	})
}

// wantTrialBalance says that the books of these currencies sum to zero, each by itself.
func (w *world) wantTrialBalance(currencies ...string) {
	w.t.Helper()
	var o object
	w.ledger(&o, "audit", "trial-balance", "--format", "json")
	var found []string
	for _, c := range o["currencies"].([]any) {
		c := object(c.(map[string]any))
		found = append(found, c.text("currency"))
		if strings.Trim(c.text("difference"), "0.") != "" || c.text("debit") != c.text("credit") {
			w.t.Errorf("the books in %s: %v", c.text("currency"), c)
		}
	}
	if !slices.Equal(found, currencies) {
		w.t.Errorf("the books are in %q, want %q", found, currencies)
	}
}

// TestKSPayOverPayU: the same through PayU, whose page is reached by a form and whose return is signed.
func TestKSPayOverPayU(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	config, account := w.gateway(a, "payu", "INR", "2.00")
	token := w.token(a)
	tx, signature := w.initiate(a, "c_WkmEe23LeI", netBanking, "99.99", "ORDER-1")
	side := w.process(signature)
	sent := side.at("details", "initiateTransaction")
	if fields, ok := sent.(map[string]any); side.text("gateway") != "payu" || !ok || fields["key"] != account.text("key") || fields["amount"] != "99.99" || fields["enforce_paymethod"] != "netbanking" {
		t.Errorf("process: %v", side)
	}
	back := w.checkout(side.text("checkoutUrl"), "NET BANKING", "pay")
	if back.status/100 > 3 {
		t.Errorf("back from PayU: %d %s", back.status, back.text)
	}
	w.eventually(10*time.Second, "it is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
	if o := w.transaction(token, tx); o.text("gatewayConfigId") != config || o.text("amount") != "99.99" {
		t.Errorf("paid: %v", o)
	}
	w.wantWallet(a.ID, "INR", "100.97") // 2.00 - 0.02, and 99.99 - 1.00
	w.verify()
	for _, secret := range []string{account.text("salt"), a.SecretKey, signature} {
		if strings.Contains(w.stderr.String(), secret) {
			t.Error("the log of the server has a secret")
		}
	}
}

// TestKSPayFallsBack: the gateway that goes first refuses the order, and the next one takes the payment; what was tried is in the log.
func TestKSPayFallsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	first, account := w.gateway(a, "razorpay", "INR", "1.00", "--currency", "INR", "--priority", "1")
	second, _ := w.gateway(a, "payu", "INR", "1.00", "--currency", "INR", "--priority", "2")
	token := w.token(a)
	refusing := object{"orders": "refuse"}
	for _, name := range []string{"key_id", "key_secret", "webhook_url", "webhook_secret"} {
		refusing[name] = account[name]
	}
	w.account("razorpay", refusing)
	tx, signature := w.initiate(a, "c_WkmEe23LeI", netBanking, "500", "ORDER-1")
	if side := w.process(signature); side.text("gateway") != "payu" {
		t.Errorf("process after a refusal: %v", side)
	} else {
		w.checkout(side.text("checkoutUrl"), "NET BANKING", "pay")
	}
	w.eventually(10*time.Second, "it is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
	if o := w.transaction(token, tx); o.text("gatewayConfigId") != second || o.text("providerName") == "" {
		t.Errorf("paid: %v", o)
	}
	out, code := w.run("replay", tx)
	for _, want := range []string{"payin.routed", "payin.order_failed", first, second} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("the timeline does not tell of %s: exit %d\n%s", want, code, out)
		}
	}
	// When there is no other one, the refusal is the answer.
	w.app(nil, "gateway", "disable", a.ID, second)
	status, o := w.kspay(http.MethodPost, "/v1/auth/generate-signature/"+a.ID, a.pair())
	if status != http.StatusCreated {
		t.Fatalf("generate-signature: %d %v", status, o)
	}
	status, o = w.kspay(http.MethodPost, "/v1/transaction/initiate", object{
		"currencyId": "c_WkmEe23LeI", "paymentMethodId": netBanking, "amount": 7, "referenceNumber": "ORDER-2",
	}, "x-signature", o.text("result"))
	if status/100 != 4 || o.text("code") == "" || o["result"] != nil {
		t.Errorf("every gateway has refused: %d %v", status, o)
	}
	w.verify()
}

// TestKSPayAccountInUse: a gateway configuration is given no other account while a payment is under way through the present one.
func TestKSPayAccountInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	config, account := w.gateway(a, "razorpay", "INR", "1.00")
	token := w.token(a)
	tx, signature := w.initiate(a, "c_WkmEe23LeI", netBanking, "500", "ORDER-1")
	there := w.arrive(w.process(signature).text("checkoutUrl"), "NET BANKING")
	w.app(nil, "gateway", "disable", a.ID, config)
	w.app(nil, "gateway", "reset", a.ID, config)
	other := w.account("razorpay", object{})
	move := []string{
		"app", "gateway", "credentials", a.ID, config, "--set", "key_id=" + other.text("key_id"), "--set", "key_secret=" + w.file("key", other.text("key_secret")),
		"--public-url", "http://" + w.addr, "--sandbox",
	}
	if out, code := w.run(move...); code == 0 || !strings.Contains(out, "1 payins or refunds are under way") {
		t.Errorf("another account: exit %d, %s", code, out)
	}
	w.app(nil, "gateway", "credentials", a.ID, config, "--set", "key_id="+account.text("key_id"), "--set", "key_secret="+w.file("key", account.text("key_secret")))
	w.leave(there, "pay")
	w.eventually(10*time.Second, "it is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
	w.app(nil, "gateway", "reset", a.ID, config)
	w.app(nil, move[1:len(move)-3]...)
	w.verify()
}
