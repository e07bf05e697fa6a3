package kspay_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain/merchant"
)

func TestTokenHeaders(t *testing.T) {
	s := serve(t)
	token := strings.TrimPrefix(s.token(appA), "Authorization: Bearer ")
	for _, good := range [][]string{
		{"Authorization: Bearer " + token}, {"Authorization: " + token}, {"Authorization: bearer  " + token}, {"Merchant-Token: " + token},
		{"MerchantToken: " + token}, {"Merchant-Token: Bearer " + token}, {"Authorization: " + token, "Merchant-Token: junk"},
	} {
		if r := s.send("GET", "/v1/currencies", "", good...); r.status != 200 {
			t.Errorf("%v: %d %s", good, r.status, r.body)
		}
	}
	for header, id := range map[string]string{
		"Authorization: Bearer ": "auth/authTokenMissing", "Authorization: Basic " + token: "auth/unauthorized", "Authorization: " + token + "x": "auth/unauthorized",
		"Authorization: " + token[1:]: "auth/unauthorized", "Merchant-Token: x": "auth/unauthorized",
	} {
		s.send("GET", "/v1/currencies", "", header).want(t, id)
	}
	s.raw("GET /v1/currencies HTTP/1.1\nHost: x\nConnection: close\nAuthorization: "+token+"\nAuthorization: "+token+"\n\n").want(t, "auth/authTokenMissing")
	refresh := s.send("POST", "/v1/auth/generate-token/"+appA, pair(appA)).get(t, "result", "refreshToken")
	s.send("GET", "/v1/currencies", "", "Authorization: "+refresh).want(t, "auth/unauthorized")
	s.send("GET", "/v1/currencies", "", "Authorization: "+s.send("POST", "/v1/auth/generate-signature/"+appA, pair(appA)).get(t, "result")).want(t, "auth/unauthorized")
}

// A token dies with its key, and with its app's suspension, at once.
func TestTokensDie(t *testing.T) {
	s := serve(t)
	token, signature := s.token(appA), s.signature(appA)
	mine := "x-signature: " + s.send("POST", "/transaction/initiate", wish(), token).get(t, "result")
	s.books.apps[appA].Suspended = true
	s.send("GET", "/currencies", "", token).want(t, "keyVaultErrors/appDisabled")
	for _, header := range []string{signature, mine} {
		s.send("POST", "/transaction/process", "", header).want(t, "keyVaultErrors/appDisabled")
	}
	s.books.apps[appA].Suspended = false
	m := s.books.apps[appA]
	m.Keys = []merchant.Key{keyOf(appA, accessOf("new"), secretOf("new"))} // regenerated: the old pair is dead
	s.send("GET", "/currencies", "", token).want(t, "auth/unauthorized")
	for _, header := range []string{signature, mine} {
		s.send("POST", "/transaction/process", "", header).want(t, "keyVaultErrors/accessKeyMismatch")
	}
	s.send("POST", "/auth/generate-token/"+appA, pair(appA)).want(t, "keyVaultErrors/credentialsNotFound")
	delete(s.books.apps, appA)
	s.send("GET", "/currencies", "", token).want(t, "customErrors/appNotFoundForDecryptId")
	s.send("POST", "/transaction/process", "", mine).want(t, "keyVaultErrors/appNotFound")
	s.send("POST", "/auth/generate-token/ap_1", pair(appA)).want(t, "(top)/invalidNanoid", strings.Replace(wrongTx, "tx_", "ap_", 1))
}

// Credentials work from when they were made, also where the app is remembered as it was a moment ago.
func TestNewCredentials(t *testing.T) {
	s := serve(t)
	s.books.stale = map[string]merchant.Merchant{appA: *s.books.apps[appA]}
	old := s.token(appA)
	s.books.apps[appA].Keys = []merchant.Key{keyOf(appA, accessOf("new"), secretOf("new"))}
	r := s.send("POST", "/auth/generate-token/"+appA, pair("new"))
	if r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := s.send("GET", "/currencies", "", "Authorization: "+r.get(t, "result", "accessToken")); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	signature := s.send("POST", "/auth/generate-signature/"+appA, pair("new")).get(t, "result")
	if r := s.send("POST", "/transaction/initiate", wish(), "x-signature: "+signature); r.status != 201 {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.books.stale = nil
	s.send("GET", "/currencies", "", old).want(t, "auth/unauthorized")
}

func TestRefresh(t *testing.T) {
	s := serve(t)
	const path = "/v1/auth/refresh-token"
	first := s.send("POST", "/v1/auth/generate-token/"+appA, pair(appA)).get(t, "result", "refreshToken")
	s.send("POST", path, pair(appA)).want(t, "auth/authTokenMissing")
	s.send("POST", path, pair(appB), "Authorization: "+first).want(t, "keyVaultErrors/credentialsNotFound")
	s.send("POST", path, "", "Authorization: "+first).want(t, "auth/authApiKeyMissing")
	s.advance(time.Hour)
	r := s.send("POST", path, strings.Replace(pair(appA), "accessKey", "accesskey", 1), "Authorization: "+first)
	if r.status != 201 || r.get(t, "result", "refreshToken") == first {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := s.send("GET", "/currencies", "", "Authorization: "+r.get(t, "result", "accessToken")); r.status != 200 {
		t.Errorf("the new token: %d %s", r.status, r.body)
	}
	s.send("POST", path, pair(appA), "Authorization: "+first).want(t, "auth/refreshTokenExpired")
	second := r.get(t, "result", "refreshToken")
	if r := s.send("POST", path, pair(appA), "Authorization: Bearer "+second); r.status != 201 {
		t.Errorf("the second one: %d %s", r.status, r.body)
	}

	// Of many who use one at once, one gets a new pair.
	third := s.send("POST", "/v1/auth/generate-token/"+appA, pair(appA)).get(t, "result", "refreshToken")
	var good atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if r := s.send("POST", path, pair(appA), "Authorization: "+third); r.status == 201 {
				good.Add(1)
			}
		})
	}
	all.Wait()
	if good.Load() != 1 {
		t.Errorf("%d new pairs", good.Load())
	}

	// One of a key that is gone is nothing, whoever has credentials of the app.
	old := s.send("POST", "/v1/auth/generate-token/"+appA, pair(appA)).get(t, "result", "refreshToken")
	s.books.apps[appA].Keys = []merchant.Key{keyOf(appA, accessOf("new"), secretOf("new"))}
	s.send("POST", path, pair("new"), "Authorization: "+old).want(t, "auth/invalidRefreshToken")
}

func TestKeysInHeaders(t *testing.T) {
	s := serve(t)
	send := func(body string, headers ...string) reply {
		return s.send("POST", "/transaction/initiate", body, headers...)
	}
	access, secret := "accessKey: "+accessOf(appA), "secretKey: "+secretOf(appA)
	send(wish()).want(t, "auth/authTokenMissing")
	send(wish(), access).want(t, "(top)/InvalidId", "secretKey not present in Request")
	send(wish(), secret).want(t, "auth/authApiKeyMissing")
	send(wish("appId", quote(appB)), access, secret).want(t, "keyVaultErrors/credentialsNotFound")
	send(wish("appId", `"ap_"`), access, secret).want(t, "(top)/invalidNanoid", strings.Replace(wrongTx, "tx_", "ap_", 1))
	send(wish("appId", `["ap_"]`), access, secret).want(t, "(top)/customError", "appId must be a string")
	send(wish("appId", quote(appA)), access, "secretKey: "+secretOf(appB)).want(t, "keyVaultErrors/invalidSecretKey")
	send("{", access, secret).want(t, "systemError/invalidRequest")
	for i, body := range []string{wish("appId", quote(appA)), wish()} {
		if r := send(strings.Replace(body, "OcrcZcu5z0Az1w2Z", fmt.Sprint(i), 1), access, secret); r.status != 201 || r.get(t, "signature") == "" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// Credentials in the body belong nowhere, but some will send them: they are not kept.
func TestSecretsAreNotKept(t *testing.T) {
	s := serve(t)
	token := s.token(appA)
	for i, extra := range []string{"secretKey", "SECRETKEY", "accessKey", "x"} {
		value := quote(secretOf(appA))
		if extra == "accessKey" {
			value = quote(accessOf(appA))
		}
		if extra == "x" {
			value = `{"secretKey":` + value + `}`
		}
		if r := s.send("POST", "/transaction/initiate", wish("referenceNumber", quote(fmt.Sprint(i)), extra, value), token); r.status != 201 {
			t.Errorf("%d %s", r.status, r.body)
		}
		o := s.books.origins[len(s.books.origins)-1]
		want := `{"currencyId":"c_WkmEe23LeI","paymentMethodId":"pm_Mk55VGvFm","amount":"345.67","referenceNumber":"` + fmt.Sprint(i) + `"}`
		if len(o.Evidence) != 2 || string(o.Evidence[0].Body) != want || o.BodyHash != sha(want) || o.Evidence[0].MediaType != "application/json" {
			t.Errorf("kept %+v", o)
		}
	}
	body := wish("referenceNumber", `"plain"`)
	s.send("POST", "/transaction/initiate", body, token)
	if o := s.books.origins[len(s.books.origins)-1]; string(o.Evidence[0].Body) != body || o.BodyHash != sha(body) || !strings.Contains(string(o.Evidence[1].Body), `"client_ip":"127.0.0.1"`) {
		t.Errorf("kept %+v", o)
	}
} // and the bench looks for them after every test

func TestAddresses(t *testing.T) {
	s := serve(t)
	from := "X-Forwarded-For: 203.0.113.9"
	good := s.send("POST", "/v1/auth/generate-token/"+appFar, pair(appFar), from)
	if good.status != 201 {
		t.Fatalf("%d %s", good.status, good.body)
	}
	token := "Authorization: " + good.get(t, "result", "accessToken")
	signature := "x-signature: " + s.send("POST", "/v1/auth/generate-signature/"+appFar, pair(appFar), from).get(t, "result")
	s.send("GET", "/currencies", "", token).want(t, "auth/unauthroizedAccess")
	s.send("POST", "/transaction/initiate", wish(), token).want(t, "auth/unauthroizedAccess")
	s.send("POST", "/transaction/initiate", wish(), signature).want(t, "auth/unauthroizedAccess")
	mine := s.send("POST", "/transaction/initiate", wish(), token, from).get(t, "result")
	if got := s.mobile(mine)["gateway"]; got != "razorpay" { // the customer is anywhere
		t.Error(got)
	}
	if r := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"b"`), signature, from); r.status != 201 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestLimits(t *testing.T) {
	s := serve(t, func(o *kspay.Options) { o.RateLimit, o.FailureLimit = 3, 2 })
	token := s.token(appA)
	for range 2 {
		s.send("GET", "/currencies", "", token)
	}
	r := s.send("GET", "/currencies", "", token)
	r.want(t, "customErrors/tooManyRequests")
	if r.header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
	}
	if r := s.send("POST", "/auth/generate-token/"+appB, pair(appB)); r.status != 201 {
		t.Errorf("another app: %d %s", r.status, r.body)
	}
	for _, id := range []string{"keyVaultErrors/invalidSecretKey", "keyVaultErrors/invalidSecretKey", "customErrors/tooManyRequests"} {
		s.send("POST", "/auth/generate-token/"+appB, strings.Replace(pair(appB), secretOf(appB), secretOf(appA), 1)).want(t, id)
	}
	if r := s.send("POST", "/auth/generate-token/"+appB, pair(appB)); r.status != 201 {
		t.Errorf("a good pair is held up by failures: %d %s", r.status, r.body)
	}
	s.advance(time.Minute)
	if r := s.send("GET", "/currencies", "", token); r.status != 200 {
		t.Errorf("in the next window: %d %s", r.status, r.body)
	}
}

func TestOrigins(t *testing.T) {
	s := serve(t)
	token, home, live := s.token(appA), s.token(appHome), s.token(appLive)
	const no = "systemError/invalidOrigin"
	for _, c := range []struct{ token, origin, id string }{
		{token, shop, ""}, {token, "kspay-flutter-v1", ""}, {token, "https://shop.example:443", ""}, {token, "http://shop.example", no}, {token, "https://shop.example:8443", no},
		{token, "https://evil.shop.example", no}, {token, "null", no}, {token, "shop.example", no}, {token, "https://shop.example/", no}, {token, "https://shop.example@thief.example", no},
		{token, "http://localhost:3000", no}, {home, "http://localhost:3000", ""}, {home, "https://127.0.0.1", ""}, {home, "http://[::1]:8080", ""}, {home, "http://app.localhost", ""},
		{home, shop, no}, {home, "http://localhost.thief.example", no}, {live, "http://localhost:3000", no}, {live, shop, no}, {live, "kspay-flutter-v1", ""},
	} {
		r := s.send("GET", "/currencies", "", c.token, "Origin: "+c.origin)
		allowed := r.header.Get("Access-Control-Allow-Origin")
		if c.id != "" {
			r.want(t, c.id)
			if allowed != "" {
				t.Errorf("%s may read that it may not: %q", c.origin, allowed)
			}
			continue
		}
		if want := map[bool]string{false: c.origin}[c.origin == "kspay-flutter-v1"]; r.status != 200 || allowed != want || r.header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d %s, %q", c.origin, r.status, r.body, allowed)
		}
	}
	s.raw("GET /currencies HTTP/1.1\nHost: x\nConnection: close\n"+token+"\nOrigin: "+shop+"\nOrigin: "+shop+"\n\n").want(t, no)

	// Errors, too, can be read by the app's own pages.
	signature := "x-signature: " + s.send("POST", "/transaction/initiate", wish(), token).get(t, "result")
	s.advance(10 * time.Minute)
	r := s.send("POST", "/transaction/process", "", signature, "Origin: "+shop)
	r.want(t, "keyVaultErrors/signatureExpired")
	if got := r.header.Get("Access-Control-Allow-Origin"); got != shop {
		t.Errorf("%q", got)
	}
	s.send("POST", "/transaction/process", "", signature, "Origin: https://thief.example").want(t, no)
}

func TestRedirects(t *testing.T) {
	s := serve(t)
	token := s.token(appA)
	const no, form = "systemError/invalidOrigin", "(top)/customError"
	for i, c := range []struct{ url, id string }{
		{shop, ""}, {shop + "/a?b=c&d=%20#e", ""}, {"https://SHOP.example/x", ""}, {"https://thief.example/", no}, {"https://shop.example.thief.example/", no}, {"http://shop.example/", no},
		{"https://user@shop.example/", form}, {"javascript:alert(1)", form}, {"myapp://done", form}, {"/thanks", form}, {"https://shop.example/a b", form},
		{"https://shop.example/" + strings.Repeat("x", 2000), form}, {"https://shop.example/\n", form}, {"https:shop.example", form},
	} {
		r := s.send("POST", "/transaction/initiate", wish("referenceNumber", quote(fmt.Sprint(i)), "redirectUrl", quote(c.url)), token)
		switch {
		case c.id == form:
			r.want(t, form, "redirectUrl must be an http or https address of at most 2000 bytes")
		case c.id != "":
			r.want(t, c.id)
		case r.status != 201:
			t.Errorf("%s: %d %s", c.url, r.status, r.body)
		}
	}
}

func TestPreflight(t *testing.T) {
	s := serve(t)
	ask := func(path, origin string) http.Header {
		return s.send("OPTIONS", path, "", "Origin: "+origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-signature").header
	}
	for _, prefix := range []string{"", "/v1"} {
		h := ask(prefix+"/transaction/process", "https://anybody.example")
		if h.Get("Access-Control-Allow-Origin") != "https://anybody.example" || h.Get("Access-Control-Allow-Methods") != "POST, OPTIONS" || h.Get("Access-Control-Allow-Credentials") != "" ||
			!strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-signature") || strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), "secret") ||
			h.Get("Access-Control-Max-Age") != "600" || !strings.Contains(h.Get("Vary"), "Origin") {
			t.Errorf("%v", h)
		}
		for _, path := range []string{"/auth/generate-token/" + appA, "/auth/generate-signature/" + appA, "/auth/refresh-token"} {
			if h := ask(prefix+path, shop); h.Get("Access-Control-Allow-Origin") != "" || h.Get("Allow") != "POST, OPTIONS" {
				t.Errorf("%s may be called by browsers: %v", path, h)
			}
		}
	}
	for _, origin := range []string{"null", "kspay-flutter-v1", "https://a.example/path"} {
		if h := ask("/transaction/process", origin); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", origin, h)
		}
	}
}

func TestMethodsAndPaths(t *testing.T) {
	s := serve(t)
	for _, prefix := range []string{"", "/v1"} {
		r := s.send("PUT", prefix+"/transaction/process", "")
		if want := `{"status":405,"code":-10,"message":"Method not allowed","result":null}`; r.status != 405 || r.body != want || r.header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%d %s %v", r.status, r.body, r.header)
		}
		if r := s.send("POST", prefix+"/currencies", ""); r.status != 405 || r.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%d %s %v", r.status, r.body, r.header)
		}
		if r := s.send("HEAD", prefix+"/currencies", "", s.token(appA)); r.status != 200 || r.body != "" {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	s.send("GET", "/v1/", "").want(t, "(top)/NotFoundUrl", "Not found")
	if len(kspay.Routes()) != 11 {
		t.Errorf("%v", kspay.Routes())
	}
}

// What nobody minted does not open, whatever it looks like.
func TestForgedSignatures(t *testing.T) {
	s := serve(t)
	good := s.send("POST", "/auth/generate-signature/"+appA, pair(appA)).get(t, "result")
	other := ticket.New([]byte(strings.Repeat("\x08", 32))).Mint(ticket.Signature, ticket.Ticket{App: appA, KeyID: keyOf(appA, accessOf(appA), "").ID, ID: "1"}, day.Add(time.Hour))
	for _, forged := range []string{other, strings.ToUpper(good), good[2:], good + "00", strings.Repeat("ab", 5000)} {
		s.send("POST", "/transaction/initiate", wish(), "x-signature: "+forged).want(t, "keyVaultErrors/invalidSignatureFormat")
	}
	s.send("POST", "/transaction/process", "").want(t, "(top)/InvalidId", "x-signature not present in Request")
	s.raw("POST /transaction/process HTTP/1.1\nHost: x\nConnection: close\nContent-Length: 0\nx-signature: "+good+"\nx-signature: "+good+"\n\n").want(t, "keyVaultErrors/invalidSignatureFormat")
}
