package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
)

func TestDocs(t *testing.T) {
	h, err := httpapi.Docs(klyropay.OpenAPI(), httpapi.Reference{Spec: "/openapi/klyropay.yaml"}, httpapi.Reference{Name: "Operator API", Page: "/docs/operator"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/docs", nil))
	page := w.Body.String()
	for _, want := range []string{
		"<!doctype html>", `name="viewport"`, `<a href="/openapi/klyropay.yaml">`, `<a href="/docs/operator">Operator API</a>`, "/api/v1/payin/create", "/api/v1/transactions/service/payout/request/{partner_request_id}",
		"Duplicate request", "Insufficient wallet balance", "data.transaction.net_amount", "Idempotency-Key", "&#34;amount&#34;: 1000.00", "one of success | pending | failed | refunded",
		"data.transactions[].utr", "X-KlyroPay-Signature", "your callback URL", "<strong>Amounts</strong>", "<code>1000.00</code>",
		`<a href="#group-sandbox-bank">`, `<section id="group-sandbox-bank">`, "/sandbox/upi/pay",
		"<td><code>03</code></td><td>pays, but its answer never arrives; an inquiry shows it</td><td>success</td>",
		"hash_hmac(&#39;sha256&#39;, json_encode($payload), &#39;YOUR_API_KEY&#39;);\n", "crypto.timingSafeEqual",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if m := regexp.MustCompile(`(?i)<script|<link|<img|src=|https?://|url\(|@import| on[a-z]+=|style=`).FindString(page); m != "" {
		t.Errorf("the page holds %q", m)
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	style := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(page)
	if style == nil {
		t.Fatal("the page has no style")
	}
	if sum := sha256.Sum256([]byte(style[1])); !strings.Contains(policy, base64.StdEncoding.EncodeToString(sum[:])) {
		t.Error("the policy does not allow the page's own style")
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("the template refused some of it")
	}
	w = httptest.NewRecorder()
	httpapi.Spec(klyropay.OpenAPI()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi/klyropay.yaml", nil))
	if w.Body.String() != string(klyropay.OpenAPI()) || w.Header().Get("Content-Type") != "application/yaml; charset=utf-8" {
		t.Error("the description is not served as it is")
	}
	for _, bad := range []string{"", "a: [", "openapi: 3.1.0"} {
		if _, err := httpapi.Docs([]byte(bad), httpapi.Reference{}); err == nil {
			t.Errorf("%q became a page", bad)
		}
	}
}
