package httpapi

import (
	"net/netip"
	"strings"
)

// clientAddress is who asks. The peer is, unless it is a trusted proxy: then the rightmost address of X-Forwarded-For that
// is no trusted proxy. What stands left of that was written by the client and says nothing. An entry that is no address
// ends the search at the proxy that wrote it down; so does the end of the list.
func clientAddress(peer string, forwarded []string, trusted []netip.Prefix) netip.Addr {
	client := parseAddress(peer)
	if len(forwarded) == 0 || !client.IsValid() || !contains(trusted, client) {
		return client
	}
	for i := len(forwarded) - 1; i >= 0; i-- {
		rest, more := forwarded[i], true
		for more {
			var entry string
			if comma := strings.LastIndexByte(rest, ','); comma >= 0 {
				rest, entry = rest[:comma], rest[comma+1:]
			} else {
				entry, more = rest, false
			}
			hop := parseAddress(strings.TrimSpace(entry))
			if !hop.IsValid() {
				return client
			}
			client = hop
			if !contains(trusted, hop) {
				return client
			}
		}
	}
	return client
}

// parseAddress reads an address with or without a port: unmapped, without its zone. Not valid when it is none.
func parseAddress(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// contains reports whether one of the ranges contains the address. IPv4-mapped ranges are read as IPv4.
func contains(ranges []netip.Prefix, a netip.Addr) bool {
	for _, p := range ranges {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Neighbourhood is what counts as one address for limits: the address itself, and of IPv6 the /64 that one host can have.
func Neighbourhood(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
