package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("::ffff:192.0.2.0/120")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"the peer", "203.0.113.1:5000", nil, "203.0.113.1"},
		{"the peer, which is no proxy", "203.0.113.1:5000", []string{"198.51.100.1"}, "203.0.113.1"},
		{"a proxy's client", "10.0.0.1:5000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"what the client wrote itself", "10.0.0.1:5000", []string{"1.1.1.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:5000", []string{"1.1.1.1, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:5000", []string{"1.1.1.1, 198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		{"only proxies", "10.0.0.1:5000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"nonsense behind a proxy", "10.0.0.1:5000", []string{"198.51.100.1, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"an empty header", "10.0.0.1:5000", []string{""}, "10.0.0.1"},
		{"with ports", "10.0.0.1:5000", []string{"198.51.100.1:443"}, "198.51.100.1"},
		{"IPv6 with a port", "[fd00::1]:5000", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv6 in brackets", "[fd00::1]:5000", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"a zone", "[fe80::1%eth0]:5000", nil, "fe80::1"},
		{"a mapped peer", "[::ffff:10.0.0.1]:5000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"a mapped range", "192.0.2.9:5000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"a unix socket", "@", []string{"198.51.100.1"}, "invalid IP"},
	} {
		if got := clientAddress(c.peer, c.forwarded, trusted); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if a, b := Neighbourhood(netip.MustParseAddr("2001:db8::1")), Neighbourhood(netip.MustParseAddr("2001:db8::ffff")); a != b || a != "2001:db8::/64" {
		t.Errorf("neighbourhoods %s and %s", a, b)
	}
	if a := Neighbourhood(netip.MustParseAddr("203.0.113.1")); a != "203.0.113.1" {
		t.Errorf("neighbourhood %s", a)
	}
}

func TestLimiter(t *testing.T) {
	start := time.Date(2024, 4, 30, 10, 0, 0, 0, time.UTC)
	l := NewLimiter(2)
	at := func(after time.Duration, name string) (bool, time.Duration) { return l.Allow(name, start.Add(after)) }
	expect := func(after time.Duration, name string, want bool, wait time.Duration) {
		t.Helper()
		if ok, w := at(after, name); ok != want || w != wait {
			t.Errorf("%s at %s: %t, %s; want %t, %s", name, after, ok, w, want, wait)
		}
	}
	expect(0, "a", true, 0)
	expect(59*time.Second, "a", true, 0)
	expect(59*time.Second, "a", false, time.Second)
	expect(59*time.Second, "b", true, 0) // a window of its own, until 1:59
	expect(60*time.Second, "a", true, 0) // the next window
	expect(61*time.Second, "a", true, 0)
	expect(61*time.Second, "a", false, 59*time.Second)
	expect(118*time.Second, "b", true, 0)
	expect(118*time.Second, "b", false, time.Second)
	expect(119*time.Second, "b", true, 0)
	expect(400*time.Second, "a", true, 0)
	expect(0, "a", true, 0) // the clock went back: better let through than shut out for long
	if ok, _ := NewLimiter(0).Allow("a", start); !ok {
		t.Error("no limit refuses")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	start := time.Date(2024, 4, 30, 10, 0, 0, 0, time.UTC)
	l := NewLimiter(1)
	l.most = 100
	for i := range 5 * l.most {
		l.Allow(strconv.Itoa(i), start.Add(time.Duration(i)*250*time.Millisecond))
		if n := len(l.now) + len(l.earlier); n > 2*l.most {
			t.Fatalf("%d windows are kept", n)
		}
	}
	start = start.Add(time.Hour)
	l.Allow("x", start.Add(2*Window))
	l.Allow("x", start.Add(4*Window))
	if n := len(l.now) + len(l.earlier); n > 2 {
		t.Errorf("%d windows are kept after their time", n)
	}
}

func logTo(b io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }

func TestFrontRecovers(t *testing.T) {
	var logs bytes.Buffer
	rt := NewRouter()
	rt.HandleFunc("GET", "/early", func(http.ResponseWriter, *http.Request) { panic(errors.New("dsn=secret")) })
	rt.HandleFunc("GET", "/late", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		panic("half way")
	})
	rt.HandleFunc("GET", "/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	rt.HandleFunc("GET", "/silent", func(http.ResponseWriter, *http.Request) {})
	f := &Front{Next: rt, Logger: logTo(&logs)}
	server := httptest.NewServer(f)
	defer server.Close()

	res, err := http.Get(server.URL + "/early")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil || res.StatusCode != http.StatusInternalServerError || string(body) != string(Failure(MessageInternal)) {
		t.Errorf("%d %s %v", res.StatusCode, body, err)
	}
	if !strings.Contains(logs.String(), "dsn=secret") || !strings.Contains(logs.String(), "front_test.go") {
		t.Errorf("the panic was not logged whole: %s", &logs)
	}
	for _, path := range []string{"/late", "/abort"} {
		res, err := http.Get(server.URL + path)
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: a cut answer does not look cut", path)
		}
	}
	res, err = http.Get(server.URL + "/silent?name=Rahul")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%v %v", res, err)
	}
	res.Body.Close()
	if strings.Contains(logs.String(), "Rahul") {
		t.Error("a query string is in the logs")
	}
}

func TestRouterMounts(t *testing.T) {
	rt := NewRouter()
	say := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, s+" "+r.PathValue("id")+" "+From(r.Context()).Route)
		})
	}
	rt.Mount("/sandbox/", say("sandbox"))
	rt.Mount("/sandbox/deep/", say("deep"))
	rt.Handle("GET", "/sandbox/own", say("own"))
	rt.Handle("GET", "/x/{id}", say("one"))
	rt.Handle("GET", "/x/{id}/y", say("two"))
	f := &Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	for path, want := range map[string]string{
		"/sandbox/bank": "sandbox  /sandbox/", "/sandbox/deep/er": "deep  /sandbox/deep/", "/sandbox/own": "own  /sandbox/own",
		"/x/a%2Fb": "one a/b /x/{id}", "/x/a%2525/y": "two a%25 /x/{id}/y", "/sandbox": string(Failure(MessageNotFound)), "/x/": string(Failure(MessageNotFound)),
	} {
		w := httptest.NewRecorder()
		f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Body.String() != want {
			t.Errorf("%s: %q, want %q", path, w.Body, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a route was taken twice")
		}
	}()
	rt.Handle("GET", "/x/{id}", say("again"))
}

func TestHijackThroughTheFront(t *testing.T) {
	rt := NewRouter()
	rt.HandleFunc("GET", "/", func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	server := httptest.NewServer(&Front{Next: rt, Logger: slog.New(slog.DiscardHandler)})
	defer server.Close()
	if res, err := http.Get(server.URL + "/"); err == nil {
		res.Body.Close()
		t.Error("a dropped connection was an answer")
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := NewMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewMetrics(reg); err == nil {
		t.Error("the same metrics were registered twice")
	}
	rt := NewRouter()
	rt.HandleFunc("GET", "/x/{id}", Alive)
	f := &Front{Next: rt, Logger: slog.New(slog.DiscardHandler), Metrics: m}
	for _, r := range [][2]string{{"GET", "/x/1"}, {"GET", "/x/2"}, {"BREW", "/x/1"}, {"GET", "/secret"}} {
		f.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r[0], r[1], nil))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, family := range families {
		for _, metric := range family.Metric {
			text := family.GetName()
			for _, l := range metric.Label {
				text += " " + l.GetValue()
			}
			if c := metric.Counter; c != nil && c.GetValue() == 2 {
				text += " twice"
			}
			got = append(got, text)
		}
	}
	for _, want := range []string{
		"ledger_http_requests_total GET /x/{id} 200 twice", "ledger_http_requests_total other /x/{id} 405", "ledger_http_requests_total GET unmatched 404",
		"ledger_http_request_duration_seconds /x/{id}",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestReadiness(t *testing.T) {
	var logs bytes.Buffer
	fault := error(nil)
	rd := NewReadiness(logTo(&logs), time.Second,
		Check{"store", func(context.Context) (string, error) { return "", fault }},
		Check{"views", func(context.Context) (string, error) { return "3 behind", nil }})
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		rd.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("no JSON: %s", w.Body)
		}
		return w.Code, w.Body.String()
	}
	if code, body := ask(); code != 200 || body != `{"status":"ready","checks":{"store":{"ok":true},"views":{"ok":true,"detail":"3 behind"}}}` {
		t.Errorf("%d %s", code, body)
	}
	fault = errors.New("password=hunter2")
	if code, body := ask(); code != 503 || body != `{"status":"not ready","checks":{"store":{"ok":false},"views":{"ok":true,"detail":"3 behind"}}}` {
		t.Errorf("%d %s", code, body)
	}
	if !strings.Contains(logs.String(), "hunter2") {
		t.Error("the fault was not logged")
	}
	fault = nil
	rd.Drain()
	if code, body := ask(); code != 503 || !strings.HasPrefix(body, `{"status":"draining"`) {
		t.Errorf("%d %s", code, body)
	}
}

// A probe that hangs is given up after the timeout.
func TestReadinessIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rd := NewReadiness(slog.New(slog.DiscardHandler), time.Second, Check{"store", func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}})
		w := httptest.NewRecorder()
		rd.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != 503 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// A request in flight is answered; after that nothing is.
func TestServeDrains(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	rd := NewReadiness(slog.New(slog.DiscardHandler), time.Second)
	s := NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(inside)
		<-leave
		Alive(w, r)
	}), time.Second, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		if err := Serve(ctx, s, l, Drain{Ready: rd, Timeout: 10 * time.Second}); err != nil {
			t.Error(err)
		}
	})
	all.Go(func() {
		res, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("the request in flight was answered %d", res.StatusCode)
		}
	})
	<-inside
	stop()
	for !rd.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	close(leave)
	all.Wait()
	if res, err := http.Get("http://" + l.Addr().String()); err == nil {
		res.Body.Close()
		t.Error("it still serves")
	}
}

func TestServeCutsWhatHangs(t *testing.T) {
	inside, leave := make(chan struct{}), make(chan struct{})
	defer close(leave)
	s := NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-leave
	}), time.Second, slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, s, l, Drain{Timeout: time.Millisecond}) }()
	go func() {
		if res, err := http.Get("http://" + l.Addr().String()); err == nil {
			res.Body.Close()
		}
	}()
	<-inside
	stop()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
