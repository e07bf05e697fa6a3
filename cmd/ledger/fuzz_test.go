package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
)

// fuzzed is the whole server, in this process, so that fuzzing sees what it covers; with a demo merchant, its app, and an operator.
type fuzzed struct {
	base      string
	logs      lockedBuffer
	endpoints []endpoint
	keys      http.Header // of everybody who may do something
	known     map[string]string
	secret    []string // what no answer and no line of the log may have
}

// endpoint is one operation of an API.
type endpoint struct {
	method, path, kind string // kind of body
	body               string // such as the description asks for
}

// take returns what was written since the last call.
func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

// await returns the first match of a pattern's group in what is written.
func await(f *testing.F, b *lockedBuffer, pattern string) string {
	f.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if m := re.FindStringSubmatch(b.String()); m != nil {
			return m[1]
		}
	}
	f.Fatalf("nothing like %s came within a minute", pattern)
	return ""
}

// start runs the program as its command line does.
func start(f *testing.F) *fuzzed {
	f.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		f.Fatal(err)
	}
	folder := f.TempDir()
	store := []string{"--db", "sqlite:" + filepath.Join(folder, "ledger.db"), "--master-key-file", filepath.Join(folder, "master.key")}
	s := &fuzzed{base: "http://" + address, keys: http.Header{}, known: map[string]string{}}
	ctx, cancel := context.WithCancel(f.Context())
	var out lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"serve", "--demo", "--listen", address, "--rate-limit", "0", "--gateway-wait", "0s"}, store...), &out, &s.logs)
	}()
	f.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			f.Errorf("serve ended with %d: %s", code, s.logs.take())
		}
	})
	key := await(f, &out, `export KEY=(\S+)`)
	access, secret := await(f, &out, `ACCESS_KEY=(\S+)`), await(f, &out, `SECRET_KEY=(\S+)`)
	var operator lockedBuffer
	if code := run(f.Context(), append([]string{"operator", "create", "--name", "O", "--role", "owner", "--actor", "fuzz"}, store...), &operator, io.Discard); code != 0 {
		f.Fatalf("operator create ended with %d", code)
	}
	office := await(f, &operator, `"api_key":\s*"([^"]+)"`)
	s.secret = []string{key, secret, office}
	s.keys.Set("X-Api-Key", key)
	s.keys.Set("X-Operator-Key", office)
	s.prepare(f, access, secret)
	s.describe(f)
	return s
}

// prepare makes something to look at, and a token of the app.
func (s *fuzzed) prepare(f *testing.F, access, secret string) {
	f.Helper()
	paid := s.make(f, "/api/v1/payin/create", `{"amount":9000000,"customer_phone":"9876543210","customer_name":"Rahul Sharma"}`)
	s.make(f, "/sandbox/upi/pay", `{"intent_url":"`+find(f, paid, `"intent_url":"([^"]*)"`)+`","outcome":"success"}`)
	payin := s.make(f, "/api/v1/payin/create", `{"amount":5000,"customer_phone":"9876543210","customer_name":"Rahul Sharma","order_id":"ORDER-1"}`)
	token := s.make(f, "/v1/auth/generate-token/"+demoApp, `{"accessKey":"`+access+`","secretKey":"`+secret+`"}`)
	signature := s.make(f, "/v1/auth/generate-signature/"+demoApp, `{"accessKey":"`+access+`","secretKey":"`+secret+`"}`)
	batch := s.make(f, "/api/v1/services/payout/batches", `{"batch_ref":"B-1","items":[{"mobile_no":"9876543210","beneficiary_name":"R","account_no":"1234567890","ifsc":"SBIN0001234","bank_name":"SBI","amount":1000,"transfer_type":"5"}]}`)
	s.keys.Set("Authorization", "Bearer "+find(f, token, `"accessToken":"([^"]+)"`))
	s.keys.Set("X-Signature", find(f, signature, `"result":"([^"]+)"`))
	_, trials := s.ask(f, endpoint{method: http.MethodGet, path: "/v1/transaction"}, "", "", nil)
	transaction := find(f, paid, `"transaction_id":"([^"]+)"`)
	maps.Copy(s.known, map[string]string{
		"id": transaction, "subject": transaction, "transaction_id": transaction, "txn_ref": find(f, payin, `"txn_ref":"([^"]+)"`), "order_id": "ORDER-1",
		"batch": find(f, batch, `"batch_id":"([^"]+)"`), "batch_id": find(f, batch, `"batch_id":"([^"]+)"`), "appId": demoApp, "config": demoConfig, "currency": "INR",
		"currencyId": "c_WkmEe23LeI", "trial": find(f, trials, `"id":"(tx_[^"]+)"`), "period": "2026-01", "source": "bank",
	})
}

// find is the first match of a pattern's group, which must be there.
func find(f *testing.F, in, pattern string) string {
	f.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(in)
	if m == nil {
		f.Fatalf("no %s in %s", pattern, in)
	}
	return m[1]
}

// make posts JSON, which must succeed.
func (s *fuzzed) make(f *testing.F, path, body string) string {
	f.Helper()
	status, text := s.ask(f, endpoint{method: http.MethodPost, path: path, kind: "application/json"}, "", "", []byte(body))
	if status/100 != 2 {
		f.Fatalf("%s: %d %s", path, status, text)
	}
	return text
}

// describe reads the endpoints out of the descriptions.
func (s *fuzzed) describe(f *testing.F) {
	f.Helper()
	for _, text := range [][]byte{klyropay.OpenAPI(), kspay.OpenAPI(), ops.OpenAPI()} {
		var doc map[string]any
		if err := yaml.Unmarshal(text, &doc); err != nil {
			f.Fatal(err)
		}
		for _, path := range slices.Sorted(maps.Keys(at(doc, "paths"))) {
			operations := at(doc, "paths", path)
			for _, method := range slices.Sorted(maps.Keys(operations)) {
				r := endpoint{method: strings.ToUpper(method), path: path}
				for kind, content := range at(operations, method, "requestBody", "content") {
					if r.kind == "" || kind == "application/json" {
						r.kind, r.body = kind, example(f, doc, content.(map[string]any))
					}
				}
				s.endpoints = append(s.endpoints, r)
			}
		}
	}
	for _, path := range []string{
		"/gateways/sandbox/callback", "/gateways/razorpay/webhook/" + demoApp + "/" + demoConfig, "/sandbox/upi/pay", "/checkout/x", "/pay/x", "/sandbox/razorpay/v1/orders",
	} {
		s.endpoints = append(s.endpoints, endpoint{method: http.MethodPost, path: path, kind: "application/json", body: "{}"}, endpoint{method: http.MethodGet, path: path})
	}
}

// example is a body such as a description has, or else asks for.
func example(f *testing.F, doc, content map[string]any) string {
	f.Helper()
	value := content["example"]
	for _, name := range slices.Sorted(maps.Keys(at(content, "examples"))) {
		value = at(content, "examples", name)["value"]
	}
	if value == nil {
		value = sample(doc, at(content, "schema"), 0)
	}
	if text, ok := value.(string); ok {
		return text
	}
	text, err := json.Marshal(value)
	if err != nil {
		f.Fatal(err)
	}
	return string(text)
}

// at follows names through objects; an object of nothing where there is none.
func at(v map[string]any, names ...string) map[string]any {
	for _, name := range names {
		v, _ = v[name].(map[string]any)
	}
	return v
}

// sample is a value such as a schema asks for.
func sample(doc, schema map[string]any, deep int) any {
	if ref, ok := schema["$ref"].(string); ok {
		return sample(doc, at(doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), deep+1)
	}
	for _, name := range []string{"example", "const", "default"} {
		if v, ok := schema[name]; ok {
			return v
		}
	}
	for _, name := range []string{"enum", "examples", "oneOf", "anyOf", "allOf"} {
		if list, ok := schema[name].([]any); ok && len(list) > 0 {
			if part, ok := list[0].(map[string]any); ok && name != "enum" && name != "examples" {
				return sample(doc, part, deep+1)
			}
			return list[0]
		}
	}
	switch {
	case schema["properties"] != nil && deep < 8:
		o := map[string]any{}
		for name, part := range at(schema, "properties") {
			if part, ok := part.(map[string]any); ok {
				o[name] = sample(doc, part, deep+1)
			}
		}
		return o
	case schema["type"] == "array":
		return []any{sample(doc, at(schema, "items"), deep+1)}
	case schema["type"] == "boolean":
		return true
	case schema["type"] == "integer", schema["type"] == "number":
		return 1
	}
	return "text"
}

var parameter = regexp.MustCompile(`\{([^}]*)\}`)

// ask sends a request with everybody's keys. What stands in the path is what is known to be there, unless it is given.
func (s *fuzzed) ask(t testing.TB, r endpoint, param, query string, body []byte) (int, string) {
	t.Helper()
	path := parameter.ReplaceAllStringFunc(r.path, func(name string) string {
		name = name[1 : len(name)-1]
		switch {
		case param != "":
			return url.PathEscape(param)
		case name == "id" && strings.HasPrefix(r.path, "/v1/"):
			return s.known["trial"]
		case name == "id" && strings.HasPrefix(r.path, "/ops/v1/apps/"):
			return demoApp
		case name == "id" && strings.HasPrefix(r.path, "/ops/v1/merchants/"):
			return demoMerchant
		}
		return url.PathEscape(s.known[name] + "x"[:min(1, max(0, 1-len(s.known[name])))])
	})
	req, err := http.NewRequestWithContext(t.Context(), r.method, s.base, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.Opaque = path // so that it goes out as it is
	req.URL.RawQuery = query
	req.Header = s.keys.Clone()
	if r.kind != "" {
		req.Header.Set("Content-Type", r.kind)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error() // the client did not want to send it
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := res.Header.Get("Content-Type"); strings.HasPrefix(kind, "application/json") && !json.Valid(text) {
		t.Errorf("%s %s: %d with what is no JSON: %q", r.method, path, res.StatusCode, text)
	}
	return res.StatusCode, string(text)
}

// client follows no redirect.
var client = &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// unfit is a query that cannot stand in a request line.
var unfit = regexp.MustCompile(`[^!-~]|#`)

// FuzzServer: whatever is sent to any endpoint of any API by who has all the keys, the server answers, and not with an error of its own; it logs no
// error, and no key is in an answer or in the log.
func FuzzServer(f *testing.F) {
	s := start(f)
	for i, r := range s.endpoints {
		f.Add(uint16(i), "", "", []byte(r.body))
		f.Add(uint16(i), "a%00/../\xff", "limit=99999999999999999999&cursor=%00&from=x&format=x&%zz", []byte(`{"a":1e400,"a":`))
	}
	s.logs.take()
	f.Fuzz(func(t *testing.T, number uint16, param, query string, body []byte) {
		r := s.endpoints[int(number)%len(s.endpoints)]
		if unfit.MatchString(query) {
			query = url.QueryEscape(query)
		}
		status, text := s.ask(t, r, param, query, body)
		logs := s.logs.take()
		t.Logf("%s %s: %d %.200s", r.method, r.path, status, text)
		if status >= http.StatusInternalServerError && status != http.StatusServiceUnavailable && status != http.StatusBadGateway || strings.Contains(logs, `"level":"ERROR"`) {
			t.Errorf("%s %s: %d %s\n%s", r.method, r.path, status, text, logs)
		}
		for _, secret := range s.secret {
			if strings.Contains(logs, secret) || strings.Contains(text, secret) && !bytes.Contains(body, []byte(secret)) {
				t.Errorf("%s %s tells a key: %s\n%s", r.method, r.path, text, logs)
			}
		}
	})
}
