package klyropay_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/adapters/httpapi/spectest"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

// day is the test's time unless it is moved: 30 April 2024, 15:30 in India.
var day = time.Date(2024, 4, 30, 10, 0, 0, 0, time.UTC)

const (
	merchantA = "mer_aaaaaaaaaaaaaaaa"
	merchantB = "mer_bbbbbbbbbbbbbbbb"
	keyA      = "klyro_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	keyB      = "klyro_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	keyMaker  = "klyro_maker"
	keyCheck  = "klyro_checker"
	keyCheck2 = "klyro_another_checker"
	keyOld    = "klyro_expired"
	keyGone   = "klyro_revoked"
	keyNoIP   = "klyro_no_addresses"
	keyFar    = "klyro_other_addresses"
	keyNone   = "klyro_no_services"
	keyStop   = "klyro_suspended"
)

// bench is a server on the books of a test.
type bench struct {
	t     testing.TB
	books *books
	works *batchWorks
	url   string
	logs  *safeBuffer
	mu    sync.Mutex
	now   time.Time
	spec  *specification
}

func (s *bench) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *bench) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func sha(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// admit gives a merchant a key.
func (b *books) admit(m merchant.Merchant, key string, k merchant.Key) {
	if k.ID == "" {
		k.ID = "key_" + sha(key)[:16]
	}
	if k.Role == "" {
		k.Role = merchant.Full
	}
	k.Hash = sha(key)
	if m.Plan.ID == "" {
		m.Plan = fee.Default()
	}
	b.owners[k.Hash], b.apiKeys[k.Hash] = m, k
}

func newMerchants(b *books) {
	home := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	both := []merchant.Service{merchant.Payin, merchant.Payout}
	a := merchant.Merchant{ID: merchantA, Services: both, AllowedIPs: home}
	b.admit(a, keyA, merchant.Key{})
	b.admit(a, keyMaker, merchant.Key{Role: merchant.Maker})
	b.admit(a, keyCheck, merchant.Key{Role: merchant.Checker})
	b.admit(a, keyCheck2, merchant.Key{Role: merchant.Checker})
	b.admit(a, keyOld, merchant.Key{ExpiresAt: day})
	b.admit(a, keyGone, merchant.Key{Revoked: true})
	b.admit(merchant.Merchant{ID: merchantB, Services: both, AllowedIPs: home}, keyB, merchant.Key{})
	b.admit(merchant.Merchant{ID: "mer_noip", Services: both}, keyNoIP, merchant.Key{})
	b.admit(merchant.Merchant{ID: "mer_far", Services: both, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, keyFar, merchant.Key{})
	b.admit(merchant.Merchant{ID: "mer_none", AllowedIPs: home}, keyNone, merchant.Key{})
	b.admit(merchant.Merchant{ID: "mer_stop", Services: both, AllowedIPs: home, Suspended: true}, keyStop, merchant.Key{})
}

// serve starts a server whose bank pays at once.
func serve(t testing.TB, change ...func(*klyropay.Options)) *bench {
	s := &bench{t: t, books: newBooks(t), now: day, logs: &safeBuffer{}, spec: readSpec(t)}
	s.works = newBatchWorks(s.books)
	newMerchants(s.books)
	s.books.bank = func(wallet.InitiatePayout) wallet.Outcome { return wallet.OutcomePaid }
	logger := slog.New(slog.NewJSONHandler(s.logs, nil))
	o := klyropay.Options{
		GatewayWait: 5 * time.Second, VPA: "klyro@sandbox", PayeeName: "Klyro Pay & Co", Gateway: "sandbox",
		MaxBody: 4096, Clock: s.clock, Logger: logger, TempDir: t.TempDir(),
	}
	for _, c := range change {
		c(&o)
	}
	api, err := klyropay.New(klyropay.Ports{
		Merchants: s.books, Ledger: s.books, Log: s.books, Vault: s.books, Answers: s.books, Payments: s.books, Lists: s.books,
		Batches: s.works, BatchViews: s.works, BatchFiles: plainFiles{},
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	router := httpapi.NewRouter()
	api.Register(router)
	front := &httpapi.Front{Next: router, Logger: logger, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// reply is an answer, checked against the description already.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends a request with keyA, JSON and the given headers ("Name: value"; "Name:" removes one), and checks the answer.
func (s *bench) send(method, path, body string, headers ...string) reply {
	s.t.Helper()
	return s.sendType(method, path, strings.NewReader(body), headers...)
}

func (s *bench) sendType(method, path string, body io.Reader, headers ...string) reply {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", keyA)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, strings.TrimSpace(value))
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	got := reply{res.StatusCode, res.Header, string(b)}
	s.spec.check(s.t, method, r.URL, got)
	return got
}

// raw sends bytes as they are, for what net/http's client would not send.
func (s *bench) raw(text string) reply {
	s.t.Helper()
	address, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address.Host)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		s.t.Fatal(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && strings.Contains(text, "Connection: half") {
		if err := tcp.CloseWrite(); err != nil {
			s.t.Fatal(err)
		}
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

func (r reply) want(t testing.TB, status int, body string) {
	t.Helper()
	if r.status != status || r.body != body {
		t.Errorf("answered %d %s\n    want %d %s", r.status, r.body, status, body)
	}
}

func failure(message string) string {
	return `{"success":false,"message":` + quote(message) + `,"data":null}`
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// get returns a value out of the answer by its path, as text; numbers as they were written.
func (r reply) get(t testing.TB, path ...any) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, r.body)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no %v in %s", path, r.body)
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				t.Fatalf("no %v in %s", path, r.body)
			}
			v = l[p]
		}
	}
	return fmt.Sprint(v)
}

// specification is openapi.yaml, compiled.
type specification struct{ *spectest.Spec }

var provoked sync.Map // "METHOD path status" that some test has provoked

var theSpec struct {
	once sync.Once
	spec *specification
}

// readSpec compiles the description once for all tests.
func readSpec(t testing.TB) *specification {
	t.Helper()
	theSpec.once.Do(func() { theSpec.spec = &specification{spectest.New(t, klyropay.OpenAPI())} })
	if theSpec.spec == nil {
		t.Fatal("the description cannot be read; see the first test that tried")
	}
	return theSpec.spec
}

// route finds the documented path; those without parameters go first.
func (s *specification) route(u *url.URL) string {
	if _, literal := s.Paths[u.Path]; literal && !strings.Contains(u.RawPath, "%2F") {
		return u.Path
	}
	for path, re := range s.Match {
		if strings.Contains(path, "{") && re.MatchString(u.EscapedPath()) {
			return path
		}
	}
	return ""
}

// check holds an answer against the description. Undocumented paths and methods have the error envelope, 404 and 405.
func (s *specification) check(t testing.TB, method string, u *url.URL, r reply) {
	t.Helper()
	if method == http.MethodHead || method == http.MethodOptions {
		return
	}
	path := s.route(u)
	if path == "" || s.Paths[path][method] == nil {
		if r.status != http.StatusNotFound && r.status != http.StatusMethodNotAllowed {
			t.Errorf("%s %s is not documented and was answered %d", method, u, r.status)
		}
		return
	}
	status := fmt.Sprint(r.status)
	if !s.Paths[path][method][status] {
		t.Errorf("%s %s: status %s is not documented: %s", method, path, status, r.body)
		return
	}
	provoked.Store(method+" "+path+" "+status, true)
	response, pointer := s.At("/paths/" + spectest.Escape(path) + "/" + strings.ToLower(method) + "/responses/" + status)
	s.checkContent(t, method+" "+path+" "+status, response.(map[string]any)["content"].(map[string]any), pointer, r)
	for name := range response.(map[string]any)["headers"].(map[string]any) {
		h, at := s.At(pointer + "/headers/" + spectest.Escape(name))
		value := r.header.Get(name)
		if value == "" {
			if h.(map[string]any)["required"] == true {
				t.Errorf("%s %s %s: no header %s", method, path, status, name)
			}
			continue
		}
		if err := s.Compile(t, at+"/schema").Validate(value); err != nil {
			t.Errorf("%s %s %s: header %s: %v", method, path, status, name, err)
		}
	}
}

// checkContent holds a body against the description of its type. Files are only announced there.
func (s *specification) checkContent(t testing.TB, what string, content map[string]any, pointer string, r reply) {
	t.Helper()
	got := r.header.Get("Content-Type")
	kind, _, _ := strings.Cut(got, ";")
	if content[kind] == nil || strings.HasPrefix(kind, "application/json") && got != "application/json; charset=utf-8" {
		t.Errorf("%s: content type %q", what, got)
		return
	}
	if kind == "application/json" {
		s.checkBody(t, pointer+"/content/application~1json/schema", r)
	}
}

func (s *specification) checkBody(t testing.TB, pointer string, r reply) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(r.body))
	if err != nil {
		t.Errorf("%v in %s", err, r.body)
		return
	}
	if err := s.Compile(t, pointer).Validate(v); err != nil {
		t.Errorf("%s does not describe %s: %v", pointer, r.body, err)
	}
}
