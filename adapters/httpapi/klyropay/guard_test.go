package klyropay_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/merchant"
)

const (
	balancePath = "/api/v1/wallet/balance"
	payinPath   = "/api/v1/payin/create"
	payoutPath  = "/api/v1/services/payout/process"
	payinsPath  = "/api/v1/payin/transactions"
	payoutsPath = "/api/v1/transactions/service/payout"
)

func TestGuard(t *testing.T) {
	s := serve(t)
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		want                     string
	}{
		{"no key", "GET", balancePath, "", []string{"X-Api-Key:"}, 401, failure("API key is missing")},
		{"an unknown key", "GET", balancePath, "", []string{"X-Api-Key: klyro_nobody"}, 401, failure("Invalid API key")},
		{"a key too long to be one", "GET", balancePath, "", []string{"X-Api-Key: " + strings.Repeat("k", 1000)}, 401, failure("Invalid API key")},
		{"a key of another case", "GET", balancePath, "", []string{"X-Api-Key: " + strings.ToLower(keyA)}, 401, failure("Invalid API key")},
		{"an expired key", "GET", balancePath, "", []string{"X-Api-Key: " + keyOld}, 401, failure("API key is inactive or expired")},
		{"a revoked key", "GET", balancePath, "", []string{"X-Api-Key: " + keyGone}, 401, failure("API key is inactive or expired")},
		{"no whitelist", "GET", balancePath, "", []string{"X-Api-Key: " + keyNoIP}, 403, failure("No IP whitelist configured")},
		{"another address", "GET", balancePath, "", []string{"X-Api-Key: " + keyFar}, 403, failure("Your IP is not whitelisted")},
		{"an address by a trusted proxy", "GET", balancePath, "", []string{"X-Api-Key: " + keyFar, "X-Forwarded-For: 198.51.100.9, 203.0.113.77"}, 200, `{"success":true,"data":{"balance":0.00,"locked_balance":0.00}}`},
		{"an IPv4-mapped address by a trusted proxy", "GET", balancePath, "", []string{"X-Api-Key: " + keyFar, "X-Forwarded-For: ::ffff:203.0.113.77"}, 200, `{"success":true,"data":{"balance":0.00,"locked_balance":0.00}}`},
		{"an address that the client wrote", "GET", balancePath, "", []string{"X-Api-Key: " + keyFar, "X-Forwarded-For: 203.0.113.77, 198.51.100.9"}, 403, failure("Your IP is not whitelisted")},
		{"a suspended merchant", "GET", balancePath, "", []string{"X-Api-Key: " + keyStop}, 403, failure("You do not have access to this service")},
		{"payins without the service", "POST", payinPath, `{}`, []string{"X-Api-Key: " + keyNone}, 403, failure("You do not have access to this service")},
		{"payouts without the service", "POST", payoutPath, `{}`, []string{"X-Api-Key: " + keyNone}, 403, failure("You do not have access to this service")},
		{"reading payouts without the service", "GET", payoutsPath, "", []string{"X-Api-Key: " + keyNone}, 403, failure("You do not have access to this service")},
		{"the balance without any service", "GET", balancePath, "", []string{"X-Api-Key: " + keyNone}, 200, `{"success":true,"data":{"balance":0.00,"locked_balance":0.00}}`},
		{"a maker's payout", "POST", payoutPath, payoutBody, []string{"X-Api-Key: " + keyMaker}, 403, failure("You do not have access to this service")},
		{"a maker's look at payouts", "GET", payoutsPath, "", []string{"X-Api-Key: " + keyMaker}, 200, `{"success":true,"data":{"transactions":[],"page":1,"limit":15,"total":0,"pages":0,"next_cursor":null}}`},
		{"key before body", "POST", payoutPath, `{`, []string{"X-Api-Key: x", "Content-Type: text/plain"}, 401, failure("Invalid API key")},
		{"address before body", "POST", payoutPath, `{`, []string{"X-Api-Key: " + keyFar}, 403, failure("Your IP is not whitelisted")},
		{"service before body", "POST", payoutPath, `{`, []string{"X-Api-Key: " + keyNone}, 403, failure("You do not have access to this service")},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.send(c.method, c.path, c.body, c.headers...).want(t, c.status, c.want)
		})
	}
}

// The secret key of an app is a key here too. What an app in test mode is paid is play money, and a real bank would pay it out.
func TestTestModeReachesNoBank(t *testing.T) {
	s := serve(t)
	home := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	for i, mode := range []merchant.Mode{merchant.Test, merchant.Live, ""} {
		key := fmt.Sprintf("kspay_secret_%d", i)
		m := merchant.Merchant{
			ID: fmt.Sprintf("ap_Shop0000%d", i), Services: []merchant.Service{merchant.Payin, merchant.Payout}, AllowedIPs: home, App: &merchant.App{Mode: mode},
		}
		s.books.admit(m, key, merchant.Key{AccessKey: "access"})
		for path, method := range map[string]string{
			payinPath: http.MethodPost, payoutPath: http.MethodPost, payinsPath: http.MethodGet, payoutsPath: http.MethodGet, balancePath: http.MethodGet,
		} {
			r := s.send(method, path, "", "X-Api-Key: "+key)
			if refused := r.status == http.StatusForbidden; refused != (mode != merchant.Live && path != balancePath) {
				t.Errorf("%q %s %s: %d %s", mode, method, path, r.status, r.body)
			}
			if r.status == http.StatusForbidden {
				r.want(t, http.StatusForbidden, failure("You do not have access to this service"))
			}
		}
	}
}

func TestTwoKeysAtOnce(t *testing.T) {
	s := serve(t)
	r := s.raw("GET " + balancePath + " HTTP/1.1\nHost: x\nX-Api-Key: " + keyA + "\nX-Api-Key: " + keyB + "\nConnection: close\n\n")
	r.want(t, 401, failure("Invalid API key"))
}

func TestRateLimit(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.RateLimit = 3 })
	for range 3 {
		if r := s.send("GET", balancePath, ""); r.status != 200 {
			t.Fatalf("within the limit: %d %s", r.status, r.body)
		}
	}
	s.advance(20*time.Second + time.Millisecond)
	r := s.send("POST", payoutPath, `{`) // the rate is checked before the body
	r.want(t, 429, failure("Rate limit exceeded"))
	if got := r.header.Get("Retry-After"); got != "40" {
		t.Errorf("Retry-After %q, want the 39.999 seconds left, rounded up", got)
	}
	if r := s.send("GET", balancePath, "", "X-Api-Key: "+keyB); r.status != 200 {
		t.Errorf("another key is limited too: %d", r.status)
	}
	if r := s.send("GET", balancePath, "", "X-Api-Key: "+keyMaker); r.status != 200 {
		t.Errorf("another key of the same merchant is limited too: %d", r.status)
	}
	s.advance(40 * time.Second)
	if r := s.send("GET", balancePath, ""); r.status != 200 {
		t.Errorf("after the window: %d %s", r.status, r.body)
	}
}

func TestFailedAuthenticationsAreLimitedByAddress(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.FailureLimit = 2 })
	bad := "X-Api-Key: klyro_nobody"
	for range 2 {
		s.send("GET", balancePath, "", bad).want(t, 401, failure("Invalid API key"))
	}
	r := s.send("GET", balancePath, "", bad)
	r.want(t, 429, failure("Rate limit exceeded"))
	if got := r.header.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %q, want 60", got)
	}
	if r := s.send("GET", balancePath, ""); r.status != 200 {
		t.Errorf("a good key from that address: %d", r.status)
	}
	s.send("GET", balancePath, "", bad, "X-Forwarded-For: 198.51.100.9").want(t, 401, failure("Invalid API key"))
	// Who has an IPv6 network has 2^64 addresses, and the guesses of one.
	for i, from := range []string{"2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2:3:4:5:6", "2001:db8:1:3::1", "::ffff:127.0.0.1"} {
		want := []int{401, 401, 429, 401, 429}[i]
		if r := s.send("GET", balancePath, "", bad, "X-Forwarded-For: "+from); r.status != want {
			t.Errorf("a guess from %s: %d, want %d", from, r.status, want)
		}
	}
}

func TestKeyExpiresWhileInUse(t *testing.T) {
	s := serve(t)
	s.books.admit(s.books.owners[sha(keyA)], "klyro_rotated", merchant.Key{ExpiresAt: day.Add(time.Hour)})
	key := "X-Api-Key: klyro_rotated"
	if r := s.send("GET", balancePath, "", key); r.status != 200 {
		t.Errorf("before its end: %d", r.status)
	}
	s.advance(time.Hour)
	s.send("GET", balancePath, "", key).want(t, 401, failure("API key is inactive or expired"))
}

func TestPathsAndMethods(t *testing.T) {
	s := serve(t)
	for _, c := range []struct {
		method, path, allow string
		status              int
	}{
		{"GET", "/", "", 404},
		{"GET", "/api/v1/wallet", "", 404},
		{"GET", "/api/v1/wallet/balance/", "", 404},
		{"GET", "/api/v1//wallet/balance", "", 404},
		{"GET", "/api/v1/x/../wallet/balance", "", 404},
		{"GET", "/api/v1/wallet%2Fbalance", "", 404},
		{"GET", "/api/v1/payin/status/", "", 404},
		{"GET", "/api/v1/payin/status/a/b", "", 404},
		{"GET", "/api/v1/payin/create", "OPTIONS, POST", 405},
		{"PUT", "/api/v1/payin/create", "OPTIONS, POST", 405},
		{"DELETE", "/api/v1/services/payout/process", "OPTIONS, POST", 405},
		{"POST", "/api/v1/wallet/balance", "GET, HEAD, OPTIONS", 405},
		{"BREW", "/api/v1/payin/status/x", "GET, HEAD, OPTIONS", 405},
	} {
		message := "Not found"
		if c.status == 405 {
			message = "Method not allowed"
		}
		r := s.send(c.method, c.path, "", "X-Api-Key:")
		r.want(t, c.status, failure(message))
		if got := r.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.path, got, c.allow)
		}
	}
	r := s.send("OPTIONS", "/api/v1/payin/status/x", "", "X-Api-Key:")
	if r.status != 204 || r.header.Get("Allow") != "GET, HEAD, OPTIONS" || r.body != "" {
		t.Errorf("OPTIONS: %d %v %q", r.status, r.header, r.body)
	}
	r = s.send("HEAD", balancePath, "")
	if r.status != 200 || r.body != "" || r.header.Get("Content-Length") != fmt.Sprint(len(`{"success":true,"data":{"balance":0.00,"locked_balance":0.00}}`)) {
		t.Errorf("HEAD: %d %v %q", r.status, r.header, r.body)
	}
	if r := s.send("GET", "/api/v1/wallet/b%61lance", ""); r.status != 200 {
		t.Errorf("a needlessly escaped path: %d", r.status)
	}
}

func TestRequestID(t *testing.T) {
	s := serve(t)
	if got := s.send("GET", balancePath, "", "X-Request-Id: order-7:retry.2").header.Get("X-Request-Id"); got != "order-7:retry.2" {
		t.Errorf("a sane id came back as %q", got)
	}
	for _, bad := range []string{"", "with space", strings.Repeat("a", 101), `"}`, "é"} {
		got := s.send("GET", balancePath, "", "X-Request-Id: "+bad).header.Get("X-Request-Id")
		if len(got) != 32 || got == bad {
			t.Errorf("%q came back as %q", bad, got)
		}
	}
}

// Nothing of a merchant's keys, names, numbers, references and bodies gets into the logs.
func TestLogsAreSilent(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "100000.00")
	s.send("POST", payinPath, `{"order_id":"SECRET-ORDER","amount":1000,"customer_phone":"9876543210","customer_name":"Rahul Sharma"}`, "Idempotency-Key: SECRET-IDEM")
	s.send("POST", payoutPath, payoutBody)
	s.send("POST", payoutPath, `{"mobile_no":"98765","beneficiary_name":7}`)
	s.send("GET", "/api/v1/payin/order/SECRET-ORDER", "")
	s.send("GET", payoutsPath+"?status=SECRETSTATUS", "")
	s.books.viewFault = errAway
	if r := s.send("GET", balancePath, ""); strings.Contains(r.body, "hunter2") || r.status != http.StatusServiceUnavailable {
		t.Errorf("a fault was answered %d %s", r.status, r.body)
	}
	logs := s.logs.String()
	for _, secret := range []string{keyA, sha(keyA), "SECRET", "9876543210", "Rahul", "1234567890", "YOUR-UNIQUE"} {
		if strings.Contains(logs, secret) {
			t.Errorf("%q is in the logs", secret)
		}
	}
	for _, there := range []string{`"route":"/api/v1/payin/order/{order_id}"`, `"key_id":"key_`, `"status":201`, `"request_id":"`, `"duration_ms":`} {
		if !strings.Contains(logs, there) {
			t.Errorf("%s is not in the logs:\n%s", there, logs)
		}
	}
}
