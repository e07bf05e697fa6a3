package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// refused runs `ledger app ...`, which must end with exit code 1 and say what begins so.
func (w *world) refused(says string, args ...string) {
	w.t.Helper()
	out, code := w.run(append(append([]string{"app"}, args...), "--public-url", "http://"+w.addr, "--sandbox")...)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "ledger: "+says) && code == exitNo {
			return
		}
	}
	w.t.Errorf("ledger app %s: exit %d, %q; want %q", strings.Join(args, " "), code, out, says)
}

// TestAppSetUpGuards: each guard of the set-up, with a company that answers.
func TestAppSetUpGuards(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start("--checkout-expiry", "2s")
	a := w.newApp("INR")
	var g object
	w.app(&g, "gateway", "add", a.ID, "razorpay")
	config := g.text("gateway_config_id")
	account := w.account("razorpay", object{"webhook_url": g.text("webhook_url")})
	gateway := func(step string, more ...string) []string {
		return append([]string{"gateway", step, a.ID, config}, more...)
	}
	good := []string{"--set", "key_id=" + account.text("key_id"), "--set", "key_secret=" + w.file("key", account.text("key_secret"))}
	hook := []string{"--secret", w.file("webhook", account.text("webhook_secret"))}

	// The company does not know these: the step has failed, and nothing can be built on it.
	w.refused("-34 invalidCredentials: Invalid credentials for gateway: razorpay for: INR", gateway("credentials", "--set", "key_id="+account.text("key_id"), "--set", "key_secret="+w.file("bad", "wrong"))...)
	w.app(&g, "gateway", "list", a.ID)
	if text := fmt.Sprint(g); !strings.Contains(text, "credentials:failed") || !strings.Contains(text, "failure:Invalid credentials") {
		t.Errorf("after bad credentials: %v", g)
	}
	w.refused("13009 credentialStepFailed", gateway("webhook", hook...)...)
	w.refused("13009 credentialStepFailed", gateway("package")...)
	w.refused("13009 credentialStepFailed", gateway("trial", "--amount", "1")...)
	w.app(nil, gateway("credentials", good...)...)
	w.refused("13010 stepAlreadyCompleted", gateway("credentials", good...)...)
	w.refused("13008 credentialsNotYetAdded", gateway("package")...)
	w.refused("-13 missingGatewaySpecsKeys: The following required fields are missing from the provided data: webhook_secret", gateway("webhook")...)
	w.app(nil, gateway("webhook", hook...)...)
	w.refused("13010 stepAlreadyCompleted", gateway("webhook", hook...)...)
	w.refused("13008 credentialsNotYetAdded", gateway("trial", "--amount", "1")...)
	w.app(nil, gateway("package")...)
	w.refused("amount: must be more than zero", gateway("trial", "--amount", "0")...)
	w.refused("amount: must be a plain decimal in INR", gateway("trial", "--amount", "1.005")...)
	w.refused("13007 invalidCurrencyId", gateway("trial", "--amount", "1", "--currency", "USD")...)
	w.app(nil, gateway("enable")...)
	var trial object
	w.app(&trial, gateway("trial", "--amount", "1", "--checkout-expiry", "90m")...)
	if until, err := time.Parse(time.RFC3339, trial.text("expires_at")); err != nil || until.Before(time.Now().Add(time.Hour)) {
		t.Errorf("a trial order of 90 minutes: %v, %v", trial, err)
	}
	w.refused("13011 GatewayStatusInVerify", gateway("trial", "--amount", "1")...)
	w.refused("13011 GatewayStatusInVerify", gateway("reset")...)
	w.refused("13013 GatewayStatusNotVerifiedCannotDisable", gateway("disable")...)
	w.refused("13012 GatewayStatusNotVerified", gateway("security")...)
	w.refused("13010 stepAlreadyCompleted", gateway("credentials", good...)...)
	// Those of the operator API live as long as this server says.
	var o object
	w.ledger(&o, "operator", "create", "--name", "Asha", "--role", "maker")
	second := w.throughOperators(o.text("api_key"), a, account)
	w.eventually(30*time.Second, "a trial order that nobody pays fails the steps", func() bool {
		w.app(&g, "gateway", "list", a.ID)
		for _, o := range g["gateways"].([]any) {
			if o := object(o.(map[string]any)); o.text("gateway_config_id") == second {
				return o.text("steps", "credentials") == "failed" && o.text("trial") == "" && o.text("failure") != ""
			}
		}
		return false
	})
	w.verify()
	for _, secret := range []string{account.text("key_secret"), account.text("webhook_secret"), o.text("api_key")} {
		if strings.Contains(w.stderr.String(), secret) {
			t.Error("the server's log has a secret")
		}
	}
}

// throughOperators takes the first three steps of another gateway over the operator API, and starts its trial order.
func (w *world) throughOperators(key string, a testApp, account object) (config string) {
	w.t.Helper()
	ask := func(method, path string, body object) object {
		w.t.Helper()
		status, o := w.kspay(method, "/ops/v1"+path, body, "X-Operator-Key", key)
		if status != http.StatusOK {
			w.t.Fatalf("%s %s: %d %v", method, path, status, o)
		}
		return o
	}
	w.eventually(5*time.Second, "the operator is known", func() bool {
		status, _ := w.kspay(http.MethodGet, "/ops/v1/apps", nil, "X-Operator-Key", key)
		return status == http.StatusOK
	})
	if o := ask(http.MethodGet, "/apps/"+a.ID, nil); o.text("data", "app", "name") != "Kirana & Sons" || strings.Contains(fmt.Sprint(o), a.SecretKey) {
		w.t.Errorf("the app over the operator API: %v", o)
	}
	o := ask(http.MethodPost, "/apps/"+a.ID+"/gateways", object{"gateway": "razorpay"})
	all := o.at("data", "app", "gateways").([]any)
	config = object(all[len(all)-1].(map[string]any)).text("gateway_config_id")
	path := "/apps/" + a.ID + "/gateways/" + config
	status, o := w.kspay(http.MethodPut, "/ops/v1"+path+"/package", object{}, "X-Operator-Key", key)
	if status != http.StatusConflict || !strings.HasPrefix(o.text("message"), "13008 credentialsNotYetAdded: ") {
		w.t.Errorf("package first: %d %v", status, o)
	}
	ask(http.MethodPut, path+"/credentials", object{"credentials": object{"key_id": account.text("key_id"), "key_secret": account.text("key_secret")}})
	ask(http.MethodPut, path+"/webhook", object{"secret": account.text("webhook_secret")})
	ask(http.MethodPut, path+"/package", object{})
	trial := ask(http.MethodPost, path+"/trial", object{"amount": "1.00"})
	if link := trial.text("data", "trial", "checkout_url"); !strings.HasPrefix(link, "http://"+w.addr+"/checkout/") {
		w.t.Errorf("the trial order: %v", trial)
	}
	return config
}

// TestAppCredentials: regenerated credentials work at once, and the old ones do not.
func TestAppCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	old := w.token(a)
	var next testApp
	w.app(&next, "credentials", a.ID, "--regenerate")
	w.eventually(3*time.Second, "the old pair is dead", func() bool {
		status, _ := w.kspay(http.MethodPost, "/v1/auth/generate-token/"+a.ID, a.pair())
		return status/100 == 4
	})
	if status, o := w.kspay(http.MethodGet, "/v1/currencies", nil, "Authorization", old); status/100 != 4 {
		t.Errorf("a token of the old pair: %d %v", status, o)
	}
	fresh := w.token(next)
	status, o := w.kspay(http.MethodGet, "/v1/currencies", nil, "Authorization", fresh)
	if status != http.StatusOK || !strings.Contains(fmt.Sprint(o), "c_WkmEe23LeI") {
		t.Errorf("currencies: %d %v", status, o)
	}
	w.ledger(nil, "merchant", "suspend", a.ID, "--reason", "closed")
	w.eventually(3*time.Second, "a suspended app is disabled", func() bool {
		status, o := w.kspay(http.MethodGet, "/v1/currencies", nil, "Authorization", fresh)
		return status == http.StatusNotFound && o.text("code") == "11011"
	})
}

// TestAppStepsDoNotCross: of two who give credentials at the same time one is taken, and the secrets that stay are those that its event names.
func TestAppStepsDoNotCross(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	a := w.newApp("INR")
	var g object
	w.app(&g, "gateway", "add", a.ID, "razorpay")
	config := g.text("gateway_config_id")
	var tries sync.WaitGroup
	outs := make([]string, 4)
	accounts := make([]object, len(outs))
	for i := range outs {
		accounts[i] = w.account("razorpay", object{"webhook_url": g.text("webhook_url")})
	}
	for i := range outs {
		secret := w.file("key", accounts[i].text("key_secret"))
		tries.Go(func() {
			outs[i], _ = w.run("app", "gateway", "credentials", a.ID, config, "--set", "key_id="+accounts[i].text("key_id"), "--set", "key_secret="+secret,
				"--public-url", "http://"+w.addr, "--sandbox")
		})
	}
	tries.Wait()
	taken := ""
	for i, out := range outs {
		if strings.Contains(out, `"public_key":"`+accounts[i].text("key_id")+`"`) {
			taken += accounts[i].text("key_id")
			w.app(nil, "gateway", "webhook", a.ID, config, "--secret", w.file("webhook", accounts[i].text("webhook_secret")))
		}
	}
	w.app(nil, "gateway", "package", a.ID, config)
	var trial object
	w.app(&trial, "gateway", "trial", a.ID, config, "--amount", "1")
	w.checkout(trial.text("checkout_url"), "NET BANKING", "pay") // which it is only with the secret of the key that the event names
	w.eventually(10*time.Second, "the trial order passes", func() bool {
		w.app(&g, "gateway", "list", a.ID)
		return strings.Contains(fmt.Sprint(g), "credentials:verified")
	})
	if len(taken) != len(accounts[0].text("key_id")) {
		t.Errorf("taken were %q of %q", taken, outs)
	}
}
