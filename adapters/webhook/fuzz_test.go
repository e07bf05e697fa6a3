package webhook

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// A callback URL that is accepted is http or https, names no user, and an address in it is one of the public internet, however it is written.
func FuzzCheckLiteral(f *testing.F) {
	for _, s := range []string{
		"https://shop.example/cb", "http://127.0.0.1/", "http://[::1]/", "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://2130706433/",
		"http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/", "http://127.0.0.1./", "http://a@b/", "http://1.1.1.1:99999/", "javascript:alert(1)", "http:/x", "http://%31%32%37.0.0.1/",
		"http://\u2460\u2461\u2466.0.0.1/", "http://[fe80::1%25eth0]/", "http://8.8.8.8/", "http://x/#y", "http://[::127.0.0.1]/", "http://[64:ff9b:1::7f00:1]/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if CheckLiteral(raw, nil) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Fatalf("%q was accepted", raw)
		}
		host := u.Hostname()
		if a, err := netip.ParseAddr(host); err == nil {
			if a = a.Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
				t.Errorf("%q was accepted: %s", raw, a)
			}
			return
		}
		last := strings.ToLower(host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:])
		if last = strings.TrimSuffix(last, "."); strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
			t.Errorf("%q was accepted: resolvers of old take %q for an address", raw, host)
		}
	})
}
