package webhook

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// port is the port that a test's server listens at.
func port(t *testing.T, server *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

// The system's last word on the address: even a dialler that came to a wrong one is stopped.
func TestControlChecksTheAddress(t *testing.T) {
	c := newClient(nil, lookup{}, nil, time.Second)
	for _, a := range []string{"127.0.0.1:80", "[::1]:80", "[fe80::1%lo]:80", "no address"} {
		if err := c.control(t.Context(), "tcp", a, nil); err == nil {
			t.Errorf("%s may be called", a)
		}
	}
	if err := c.control(t.Context(), "tcp", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
}

// server is a merchant's server, and the number of its calls.
func server(t *testing.T) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(s.Close)
	return s, &calls
}

func TestProxiesOfTheEnvironmentAreNotUsed(t *testing.T) {
	proxy, proxied := server(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	merchants, calls := server(t)
	c := newClient(prefixes("127.0.0.0/8"), lookup{"merchant.test": {"127.0.0.1"}}, nil, 10*time.Second)
	defer c.close()
	o := c.post(t.Context(), "http://merchant.test:"+port(t, merchants)+"/", http.Header{}, nil)
	equal(t, "status", o.status, http.StatusOK)
	equal(t, "calls of the proxy", proxied.Load(), 0)
	equal(t, "calls of the merchant", calls.Load(), 1)
}

// A host with several addresses is tried at each.
func TestTheNextAddressIsTried(t *testing.T) {
	merchants, calls := server(t)
	c := newClient(prefixes("127.0.0.0/8"), lookup{"two.test": {"127.0.0.9", "127.0.0.1"}}, nil, 10*time.Second)
	defer c.close()
	o := c.post(t.Context(), "http://two.test:"+port(t, merchants)+"/", http.Header{}, nil) // nobody listens at 127.0.0.9
	equal(t, "status", o.status, http.StatusOK)
	equal(t, "calls", calls.Load(), 1)
}

// A redirect is an answer like any other, whatever it says about where to go.
func TestRedirectsAreNotLookedAt(t *testing.T) {
	for _, location := range []string{"http://127.0.0.1:1/", "http://[broken", "", "//"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusPermanentRedirect)
		}))
		c := newClient(prefixes("127.0.0.0/8"), lookup{}, nil, 10*time.Second)
		o := c.post(t.Context(), s.URL, http.Header{}, []byte("{}"))
		equal(t, "status", o.status, http.StatusPermanentRedirect)
		equal(t, "problem", o.problem, "")
		c.close()
		s.Close()
	}
}
