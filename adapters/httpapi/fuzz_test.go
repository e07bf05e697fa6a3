package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// Whatever X-Forwarded-For says, somebody who comes through no trusted proxy is who the connection is from; and who comes through one is somebody
// whom a trusted proxy has named.
func FuzzClientAddress(f *testing.F) {
	for _, s := range []string{"", "198.51.100.1", "1.1.1.1, 198.51.100.1", "::ffff:198.51.100.1", "[2001:db8::7]:443", "10.0.0.2", "unknown", "10.0.0.2,,1.1.1.1", "1.1.1.1%eth0", "fe80::1%25x"} {
		f.Add("10.0.0.1:5000", s, s)
		f.Add("203.0.113.1:5000", s, "")
		f.Add("[::ffff:10.0.0.1]:80", "", s)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, peer, one, two string) {
		direct, got := clientAddress(peer, nil, trusted), clientAddress(peer, []string{one, two}, trusted)
		switch {
		case !contains(trusted, direct) && got != direct:
			t.Errorf("%q, who is no proxy, is taken for %s", peer, got)
		case got.Is4In6() || got.Zone() != "":
			t.Errorf("%s is not as addresses are compared", got)
		case got != direct && !strings.Contains(one+two, ".") && !strings.Contains(one+two, ":"):
			t.Errorf("%s stands nowhere", got)
		}
		if n := Neighbourhood(got); n == "" {
			t.Error("no neighbourhood")
		}
	})
}

// A request id that is taken over can stand in a header and in a log as it is; every other one is replaced.
func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"", "req-1", "a b", "a\r\nX: y", "\x00", strings.Repeat("a", 101), "application/json", "application/json; charset=UTF-8", "application/json; charset=\"utf-8\"; x=y", "text/plain"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, id, kind string) {
		got := requestID([]string{id})
		if got != id && len(got) != 32 || strings.Trim(got, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-") != "" || len(got) > maxRequestID || got == "" {
			t.Errorf("%q became %q", id, got)
		}
		if isJSON(http.Header{"Content-Type": {kind}}) && !strings.HasPrefix(strings.TrimSpace(strings.ToLower(kind)), "application/json") {
			t.Errorf("%q is taken for JSON", kind)
		}
	})
}
