package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ErrForbidden is a callback address that is private or special, and not allowed by the settings.
var ErrForbidden = errors.New("the address is private or reserved and not allowed for callbacks")

// maxURL bounds a callback URL, in bytes.
const maxURL = 2000

// forbiddenRanges are the ranges of the IANA special-purpose registries that no merchant's server is in. Of IPv6, only
// 2000::/3 is considered at all; see public.
func forbiddenRanges() []string {
	return []string{
		"0.0.0.0/8",         // this host
		"10.0.0.0/8",        // private
		"100.64.0.0/10",     // carrier-grade NAT; a cloud's metadata
		"127.0.0.0/8",       // loopback
		"168.63.129.16/32",  // a cloud's host agent
		"169.254.0.0/16",    // link-local, clouds' metadata among them
		"172.16.0.0/12",     // private
		"192.0.0.0/24",      // protocol assignments
		"192.0.2.0/24",      // documentation
		"192.88.99.0/24",    // 6to4 relays
		"192.168.0.0/16",    // private
		"198.18.0.0/15",     // benchmarks
		"198.51.100.0/24",   // documentation
		"203.0.113.0/24",    // documentation
		"224.0.0.0/4",       // multicast
		"240.0.0.0/4",       // reserved, broadcast
		"2001::/23",         // protocol assignments: Teredo, benchmarks, ORCHID
		"2001:db8::/32",     // documentation
		"2002::/16",         // 6to4: embeds any IPv4 address
		"2620:4f:8000::/48", // AS112
		"3fff::/20",         // documentation
	}
}

// nat64 embeds the IPv4 address that is meant in its last four bytes.
const nat64 = "64:ff9b::/96"

// guard decides which addresses may be called.
type guard struct {
	allow     []netip.Prefix
	forbidden []netip.Prefix
	global6   netip.Prefix
	nat64     netip.Prefix
}

func newGuard(allow []netip.Prefix) *guard {
	g := &guard{allow: allow, global6: netip.MustParsePrefix("2000::/3"), nat64: netip.MustParsePrefix(nat64)}
	for _, r := range forbiddenRanges() {
		g.forbidden = append(g.forbidden, netip.MustParsePrefix(r))
	}
	return g
}

// public tells whether an address is an ordinary one of the internet.
func (g *guard) public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if g.nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() || a.Is6() && !g.global6.Contains(a) {
		return false
	}
	for _, p := range g.forbidden {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// allowed tells whether the settings name the address.
func (g *guard) allowed(a netip.Addr) bool {
	for _, p := range g.allow {
		if p.Contains(a.Unmap()) || p.Contains(a) {
			return true
		}
	}
	return false
}

// check is nil for an address that may be called.
func (g *guard) check(a netip.Addr) error {
	if g.allowed(a) || g.public(a) {
		return nil
	}
	return fmt.Errorf("%s: %w", a, ErrForbidden)
}

// choose gives the addresses of a host that may be called. One that is forbidden spoils the others, except
// that addresses which the settings name are called in any case.
func (g *guard) choose(addrs []netip.Addr) ([]netip.Addr, error) {
	var public, allowed []netip.Addr
	var refused error
	for _, a := range addrs {
		a = a.Unmap()
		switch {
		case g.allowed(a):
			allowed = append(allowed, a)
		case g.public(a):
			public = append(public, a)
		case refused == nil:
			refused = fmt.Errorf("%s: %w", a, ErrForbidden)
		}
	}
	switch {
	case refused == nil && len(addrs) > 0:
		return append(allowed, public...), nil
	case len(allowed) > 0:
		return allowed, nil
	case refused != nil:
		return nil, refused
	}
	return nil, errors.New("the host has no address")
}

// Resolver gives the addresses of a host; net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// resolve gives the addresses of a host, a name or an address, that may be called.
func (g *guard) resolve(ctx context.Context, r Resolver, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return g.choose([]netip.Addr{a})
	}
	if err := checkName(host); err != nil {
		return nil, err
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	return g.choose(addrs)
}

// checkName refuses what resolvers of old take for an IPv4 address: 2130706433, 0x7f.1, 127.1. As browsers do, a name that
// ends in a number is none.
func checkName(host string) error {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	hex, isHex := strings.CutPrefix(strings.ToLower(last), "0x")
	if _, err := strconv.ParseUint(last, 0, 64); err == nil || digits(last) == len(last) || isHex && strings.Trim(hex, "0123456789abcdef") == "" {
		return fmt.Errorf("%q is neither a host name nor an address", host)
	}
	for _, c := range host {
		if c <= 0x20 || c >= 0x7F {
			return errors.New("a host name is ASCII; write an international one in its xn-- form")
		}
	}
	return nil
}

// CheckLiteral checks a callback URL without asking the network: http or https, no user information, and an address that
// stands in it literally must be public or allowed (ErrForbidden). Names are checked at each attempt.
func CheckLiteral(raw string, allow []netip.Prefix) error {
	if len(raw) > maxURL {
		return fmt.Errorf("the callback URL has more than %d bytes", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("the callback URL is not a URL")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the callback URL must begin with https:// or http://")
	case u.Opaque != "" || u.Hostname() == "":
		return errors.New("the callback URL names no host")
	case u.User != nil:
		return errors.New("the callback URL must not hold a user name or password")
	case u.Fragment != "":
		return errors.New("the callback URL must not have a fragment")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("the callback URL has no valid port: %q", p)
		}
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return checkName(u.Hostname())
	}
	return newGuard(allow).check(a)
}
