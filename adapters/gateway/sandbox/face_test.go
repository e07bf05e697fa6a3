package sandbox

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// hook is a merchant's server of webhooks.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []hooked
	more   chan struct{}
}

type hooked struct {
	header http.Header
	body   string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{status: http.StatusNoContent, more: make(chan struct{}, 1000)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		h.mu.Lock()
		h.got = append(h.got, hooked{r.Header.Clone(), string(body)})
		status := h.status
		h.mu.Unlock()
		w.WriteHeader(status)
		h.more <- struct{}{}
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) all() []hooked {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hooked(nil), h.got...)
}

// wait returns the first n webhooks.
func (h *hook) wait(t *testing.T, n int) []hooked {
	t.Helper()
	for {
		if got := h.all(); len(got) >= n {
			return got
		}
		select {
		case <-h.more:
		case <-time.After(30 * time.Second):
			t.Fatalf("%d webhooks, waited for %d", len(h.all()), n)
		}
	}
}

// send makes a request; a body that starts with { is JSON, any other a form.
func (b *testBank) send(method, path, body string, prepare ...func(*http.Request)) (int, http.Header, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[") {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, f := range prepare {
		f(req)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(answer)
}

func read[T any](t *testing.T, text string) T {
	t.Helper()
	var out T
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out
}

// formOf reads the form of a page: where it goes, and its hidden fields.
func formOf(t *testing.T, page string) (action string, fields url.Values) {
	t.Helper()
	m := regexp.MustCompile(`<form method="post" action="([^"]+)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no form: %s", page)
	}
	fields = url.Values{}
	for _, f := range regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`).FindAllStringSubmatch(page, -1) {
		fields.Set(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
	}
	return html.UnescapeString(m[1]), fields
}

// shown is a page without its style.
func shown(page string) string {
	_, main, _ := strings.Cut(page, "<main>")
	return main
}

// checkPage holds a page against what its policy allows: nothing from elsewhere, and only the style and the script whose hashes it names.
func checkPage(t *testing.T, header http.Header, page string) {
	t.Helper()
	policy := header.Get("Content-Security-Policy")
	for _, tag := range []string{"style", "script"} {
		parts := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
		if len(parts) > 1 || len(parts) == 0 && tag == "style" {
			t.Errorf("%d of %s", len(parts), tag)
		}
		for _, p := range parts {
			if !strings.Contains(policy, tag+"-src "+hashSource(p[1])) {
				t.Errorf("the policy does not allow the page's own %s: %s", tag, policy)
			}
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; base-uri 'none'; frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
	if m := regexp.MustCompile(`(?i)(<(img|link|iframe|object|embed)\b|\bsrc=|\bon[a-z]+=| style=)`).FindString(page); m != "" {
		t.Errorf("the page has %s", m)
	}
	for _, input := range regexp.MustCompile(`<(?:input|select)[^>]*>`).FindAllString(page, -1) {
		if i := strings.Index(page, input); !strings.Contains(input, `type="hidden"`) && strings.LastIndex(page[:i], "<label") < strings.LastIndex(page[:i], "</label>") {
			t.Errorf("no label: %s", input)
		}
	}
	if !strings.Contains(page, `<html lang="en">`) || !strings.Contains(page, `name="viewport"`) || header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", header)
	}
}

// A file of version 1 goes on with what it holds.
func TestMigrationFromVersion1(t *testing.T) {
	t.Parallel()
	path, r := filepath.Join(t.TempDir(), "sandbox.db"), newReceiver(t)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	for _, statement := range []string{
		schema, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = 1", applicationID),
		fmt.Sprintf(`INSERT INTO payments (payment_id, reference, amount, currency, status, utr, reason, created_at) VALUES ('pay_old', 'REF', 5, 'INR', 'success', '123456789012', '', %d)`, now),
		fmt.Sprintf(`INSERT INTO callbacks (reference, message_id, body, due_at, created_at) VALUES ('REF', 'msg_old', CAST('{"message_id":"msg_old"}' AS BLOB), %d, %[1]d)`, now),
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and a second time, as version 2
		b := start(t, path, r.URL, time.Hour, false)
		if got := r.wait(t, 1); got[0].body.MessageID != "msg_old" {
			t.Errorf("%+v", got)
		}
		if list, err := b.payments(t.Context(), "REF"); err != nil || len(list.Payments) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		newRazorpay(b, `{}`).order(t, 100)
		b.stop()
	}
}

func TestFieldsOfAllKinds(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		``: `{}`,
		`{"a":1,"b":"x","c":null,"d":true,"e":{"f":1.50,"g":[2,{"h":"i"}]},"j":{},"k":[]}`: `{"a":"1","b":"x","d":"true","e[f]":"1.50","e[g][0]":"2","e[g][1][h]":"i","j":"","k":""}`,
		`a=1&e[f]=2&a=3`:                    `{"a":"3","e[f]":"2"}`,
		`[]`:                                `error`,
		`{`:                                 `error`,
		`{} {}`:                             `error`,
		`{"a":{"b":{"c":{"d":{"e":{}}}}}}`:  `{"a[b][c][d][e]":""}`,
		`{"a":{"b":{"c":{"d":{"e":[1]}}}}}`: `error`,
		`a=%zz`:                             `error`,
		`a=` + strings.Repeat("x", 5000):    `error`,
		`a=` + strings.Repeat("x", 70000):   `error`,
		`{"a":[` + strings.Repeat("1,", 250) + `1]}`: `error`,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		if !strings.HasPrefix(body, "{") && !strings.HasPrefix(body, "[") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		}
		in, err := readFields(httptest.NewRecorder(), r)
		got, _ := encode(in)
		if want == "error" && !errors.Is(err, errFields) || want != "error" && (err != nil || got != want) {
			t.Errorf("%.80s: %s, %v", body, got, err)
		}
	}
}

// Whatever comes, its parameters are bounded, or it is refused.
func FuzzFields(f *testing.F) {
	for _, seed := range []string{`{"a":{"b":[1,"x",null,true]}}`, `a=1&b[c]=2`, `{`, `[]`, `{"a":1}{"b":2}`} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, body string, form bool) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		if form {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		in, err := readFields(httptest.NewRecorder(), r)
		if err != nil && !errors.Is(err, errFields) {
			t.Fatal(err)
		}
		if len(in) > maxFields {
			t.Fatalf("%d parameters", len(in))
		}
		if _, err := razorpayNotes(in); err != nil {
			var refused *razorpayError
			if !errors.As(err, &refused) {
				t.Fatal(err)
			}
		}
	})
}

func TestFaceAccounts(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	for _, face := range []struct{ base, key, secrets string }{{razorpayBase, "key_id", "key_secret webhook_secret"}, {payuBase, "key", "salt"}} {
		_, _, text := b.send(http.MethodPost, face.base+"/accounts", `{}`)
		made := read[map[string]string](t, text)
		key := made[face.key]
		for _, secret := range strings.Fields(face.secrets) {
			if len(made[secret]) < 20 {
				t.Errorf("%s: %s", face.base, text)
			}
		}
		// Known keys, and the secret: what is named is replaced.
		own := strings.Fields(face.secrets)[0]
		_, _, text = b.send(http.MethodPost, face.base+"/accounts", fmt.Sprintf(`{%q:%q,%q:%q,"webhook_url":"http://127.0.0.1:9/x"}`, face.key, key, own, made[own]))
		again := read[map[string]string](t, text)
		if again["webhook_url"] != "http://127.0.0.1:9/x" {
			t.Errorf("%s: %s", face.base, text)
		}
		for name, value := range made {
			if name != "webhook_url" && again[name] != value {
				t.Errorf("%s: %s was %q and is %q", face.base, name, value, again[name])
			}
		}
		_, _, list := b.send(http.MethodGet, face.base+"/accounts", "")
		accounts := read[map[string][]map[string]string](t, list)["accounts"]
		if len(accounts) != 1 || accounts[0][face.key] != key {
			t.Errorf("%s: %s", face.base, list)
		}
		for _, secret := range strings.Fields(face.secrets) {
			if strings.Contains(list, made[secret]) {
				t.Errorf("%s: the list shows the %s", face.base, secret)
			}
		}
		for body, field := range map[string]string{
			`{"nothing":1}`: "nothing", fmt.Sprintf(`{%q:"no key!"}`, face.key): face.key,
			fmt.Sprintf(`{%q:""}`, strings.Fields(face.secrets)[0]): strings.Fields(face.secrets)[0], `{"orders":"maybe"}`: "orders", `{"verify":"maybe"}`: "verify",
		} {
			status, _, text := b.send(http.MethodPost, face.base+"/accounts", body)
			if e := read[errorBody](t, text); status != http.StatusUnprocessableEntity || e.Field != field {
				t.Errorf("%s %s: %d %s", face.base, body, status, text)
			}
		}
		for _, limit := range []string{"x", "-1", "10001"} {
			if status, _, text := b.send(http.MethodGet, face.base+"/truth?limit="+limit, ""); status != http.StatusUnprocessableEntity {
				t.Errorf("%s limit %s: %d %s", face.base, limit, status, text)
			}
		}
	}
}

// Anybody may make an account, and only its owner changes it: the answer must not tell a stranger its secrets.
func TestFaceAccountOfAnother(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	for _, face := range []struct{ base, key, secret string }{{razorpayBase, "key_id", "key_secret"}, {payuBase, "key", "salt"}} {
		_, _, text := b.send(http.MethodPost, face.base+"/accounts", `{"webhook_url":"http://127.0.0.1:9/mine"}`)
		made := read[map[string]string](t, text)
		key := made[face.key]
		for _, guess := range []string{"", fmt.Sprintf(`,%q:"a-guess"`, face.secret), fmt.Sprintf(`,%q:%q`, face.secret, made[face.secret][1:]), fmt.Sprintf(`,%q:""`, face.secret)} {
			body := fmt.Sprintf(`{%q:%q,"webhook_url":"http://127.0.0.1:9/theirs"%s}`, face.key, key, guess)
			status, _, text := b.send(http.MethodPost, face.base+"/accounts", body)
			if e := read[errorBody](t, text); status != http.StatusForbidden || e.Message == "" || strings.Contains(text, made[face.secret]) {
				t.Errorf("%s: %d %s", body, status, text)
			}
		}
		if _, _, list := b.send(http.MethodGet, face.base+"/accounts", ""); !strings.Contains(list, "/mine") || strings.Contains(list, "/theirs") {
			t.Errorf("%s: %s", face.base, list)
		}
		// A key that nobody has makes an account, with the secret that is given.
		taken := strings.ToLower(key[:len(key)-3]) + "new"
		status, _, text := b.send(http.MethodPost, face.base+"/accounts", fmt.Sprintf(`{%q:%q,%q:"of-my-own"}`, face.key, taken, face.secret))
		if status != http.StatusOK || read[map[string]string](t, text)[face.secret] != "of-my-own" {
			t.Errorf("a new one: %d %s", status, text)
		}
	}
}

// Webhooks go to this machine, and to where the bank's own callbacks go: anybody may make an account, and must not reach through it what only we can reach.
func TestFaceWebhookAddresses(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://ledger.example:8080", time.Hour, true)
	b.opts.PublicBase = "https://pay.example"
	for _, base := range []string{razorpayBase, payuBase} {
		for address, want := range map[string]int{
			"http://127.0.0.1:9/x": http.StatusOK, "https://127.8.0.1/x": http.StatusOK, "http://[::1]:9/x": http.StatusOK, "http://LOCALHOST/x": http.StatusOK,
			"http://[::ffff:127.0.0.1]/x": http.StatusOK, "https://Ledger.example/x": http.StatusOK, "https://pay.example/x": http.StatusOK, "": http.StatusOK, "http://169.254.169.254/latest": http.StatusBadRequest,
			"http://10.0.0.1/": http.StatusBadRequest, "http://example.com/": http.StatusBadRequest, "http://127.0.0.1.example.com/": http.StatusBadRequest,
			"http://127.0.0.1@example.com/": http.StatusBadRequest, "http://user:pass@127.0.0.1/": http.StatusBadRequest, "http://x.ledger.example/": http.StatusBadRequest,
			"http://0.0.0.0/": http.StatusBadRequest, "http://2130706433/": http.StatusBadRequest, "ftp://127.0.0.1/": http.StatusBadRequest, "http:///x": http.StatusBadRequest,
		} {
			status, _, text := b.send(http.MethodPost, base+"/accounts", fmt.Sprintf(`{"webhook_url":%q}`, address))
			if status != want || want != http.StatusOK && read[errorBody](t, text).Field != "webhook_url" {
				t.Errorf("%s %q: %d %s", base, address, status, text)
			}
		}
	}
}

// What answers a webhook does not say where it goes next.
func TestFaceWebhooksFollowNoRedirects(t *testing.T) {
	t.Parallel()
	elsewhere := newHook(t)
	came := make(chan struct{}, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		came <- struct{}{}
	}))
	t.Cleanup(hook.Close)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	z := newRazorpay(b, fmt.Sprintf(`{"webhook_url":%q}`, hook.URL))
	z.pay(t, z.order(t, 100).ID)
	for range 3 { // the third try is behind the end of the first
		<-came
	}
	if got := elsewhere.all(); len(got) != 0 {
		t.Errorf("a redirect was followed: %+v", got)
	}
}

// sameJSON compares an answer with a golden one, in which <x> stands for any text without quotes.
func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(got)); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	pattern := regexp.MustCompile(`<\w+>`).ReplaceAllString(regexp.QuoteMeta(want), `[^"]*?`)
	if !regexp.MustCompile(`^` + pattern + `$`).MatchString(compact.String()) {
		t.Errorf("got  %s\nwant %s", compact.String(), want)
	}
}
