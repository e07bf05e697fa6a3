package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestPrivateAndSpecialAddressesAreForbidden(t *testing.T) {
	g := newGuard(nil)
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16",
		"169.254.169.254", "169.254.0.1", "172.16.0.1", "172.31.255.255", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1",
		"198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
		"64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::10.1.2.3", "64:ff9b:1::1", "100::1",
		"2001::1", "2001:0:4136:e378::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "2002:a00:1::", "2002:808:808::1",
		"3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
		"2620:4f:8000::1", "2606:4700::1111%eth0",
	} {
		err := g.check(netip.MustParseAddr(a))
		if !errors.Is(err, ErrForbidden) {
			t.Errorf("%s may be called: %v", a, err)
		}
	}
	for _, a := range []string{
		"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1",
		"198.17.255.255", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	} {
		if err := g.check(netip.MustParseAddr(a)); err != nil {
			t.Errorf("%s may not be called: %v", a, err)
		}
	}
	if err := g.check(netip.Addr{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("no address may be called: %v", err)
	}
}

func TestAllowedRanges(t *testing.T) {
	g := newGuard(prefixes("10.1.0.0/16", "::1/128"))
	for a, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "::1": true, "10.2.0.1": false, "127.0.0.1": false, "8.8.8.8": true,
	} {
		equal(t, a, g.check(netip.MustParseAddr(a)) == nil, want)
	}
}

// lookup is a resolver with fixed answers.
type lookup map[string][]string

func (l lookup) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, a := range l[host] {
		out = append(out, netip.MustParseAddr(a))
	}
	if out == nil {
		return nil, fmt.Errorf("no such host %s", host)
	}
	return out, nil
}

func TestEveryAddressOfAHostIsChecked(t *testing.T) {
	r := lookup{
		"public.test":    {"8.8.8.8", "2606:4700::1111"},
		"mixed.test":     {"8.8.8.8", "10.0.0.1"},
		"mapped.test":    {"::ffff:127.0.0.1"},
		"localhost":      {"127.0.0.1", "::1"},
		"allowed.test":   {"10.9.0.1", "8.8.8.8"},
		"half.test":      {"10.9.0.1", "10.8.0.1", "8.8.8.8"},
		"nowhere.test":   {},
		"metadata.cloud": {"169.254.169.254"},
	}
	g := newGuard(prefixes("10.9.0.0/16", "127.0.0.0/8"))
	for host, want := range map[string]string{
		"public.test": "[8.8.8.8 2606:4700::1111]", "mixed.test": "", "mapped.test": "[127.0.0.1]", "localhost": "[127.0.0.1]",
		"allowed.test": "[10.9.0.1 8.8.8.8]", "half.test": "[10.9.0.1]", "nowhere.test": "", "metadata.cloud": "",
		"10.9.3.3": "[10.9.3.3]", "10.8.3.3": "", "::1": "", "2130706433": "", "0x7f.1": "", "127.1": "", "0177.0.0.1": "", "8.8.8.08": "",
	} {
		got, err := g.resolve(t.Context(), r, host)
		if want == "" {
			if err == nil {
				t.Errorf("%s may be called at %v", host, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", host, err)
		}
		equal(t, host, fmt.Sprint(got), want)
	}
}

func TestCheckLiteral(t *testing.T) {
	allow := prefixes("10.9.0.0/16")
	for _, good := range []string{
		"https://example.com/hook", "http://example.com:8080/hook?token=1", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/x",
		"http://10.9.1.1/hook", "https://xn--bcher-kva.example/", "http://localhost:9000/x", "HTTPS://EXAMPLE.COM",
	} {
		if err := CheckLiteral(good, allow); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, forbidden := range []string{
		"http://127.0.0.1/", "http://10.8.0.1/", "https://[::1]/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data",
		"http://[fe80::1%25eth0]/", "http://0.0.0.0/", "http://[64:ff9b::7f00:1]/",
	} {
		if err := CheckLiteral(forbidden, allow); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s: %v", forbidden, err)
		}
	}
	for _, bad := range []string{
		"", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "https:example.com", "https://user:secret@example.com/", "https://example.com/#x",
		"https://example.com:0/", "https://example.com:99999/", "http://2130706433/", "http://0x7f.0.0.1/", "http://127.1/", "http://017700000001/",
		"https://bücher.example/", "http://exa mple.com/", "https://example.com/\n", "javascript:alert(1)", "https://example.com/" + string(make([]byte, maxURL)),
	} {
		if err := CheckLiteral(bad, allow); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
