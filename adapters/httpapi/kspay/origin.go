package kspay

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/khata-ledger/khata/domain/merchant"
)

// mobileOrigin is what the vendor's mobile client calls itself. No browser can send it, and nothing is proven by it: it stands for a client
// that no browser guards.
const mobileOrigin = "kspay-flutter-v1"

// Bounds of origins.
const (
	maxOrigin   = 300 // bytes
	maxRedirect = 2000
)

// Headers of cross-origin calls. No cookie is ever used, so that credentials are never allowed; and no secret key belongs into a browser, so
// that its header is none of those that may be sent.
const (
	corsHeaders = "Accept, Authorization, Content-Type, Idempotency-Key, Merchant-Token, MerchantToken, X-Request-Id, x-signature"
	corsExposed = "Idempotent-Replayed, Retry-After, X-Request-Id"
	corsMaxAge  = "600" // seconds
)

// fromAllowedOrigin holds the request's Origin against the app's, and lets the customer's browser see the answer. A call without one is a
// server's.
func (c *call) fromAllowedOrigin() error {
	values := c.r.Header["Origin"]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return nil
	}
	origin := values[0]
	switch {
	case len(values) > 1:
		return refuse("systemError/invalidOrigin")
	case origin == mobileOrigin:
	case !allows(&c.app, origin):
		return refuse("systemError/invalidOrigin")
	default:
		c.w.Header().Set("Access-Control-Allow-Origin", origin)
		c.w.Header().Set("Access-Control-Expose-Headers", corsExposed)
	}
	c.origin = origin
	return nil
}

// allows reports whether an app's customers may come from an origin: one of its domains. A test app that has none may use any origin of the
// machine that its developer sits at.
func allows(m *merchant.Merchant, origin string) bool {
	u, ok := parseOrigin(origin)
	if !ok {
		return false
	}
	if m.App.Mode == merchant.Test && len(m.App.Domains) == 0 {
		return loopback(u.Hostname())
	}
	return m.App.AllowsOrigin(origin)
}

// parseOrigin accepts scheme, host and port, as browsers send it (RFC 6454).
func parseOrigin(s string) (*url.URL, bool) {
	if len(s) > maxOrigin || !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "http://") {
		return nil, false
	}
	u, err := url.Parse(s)
	return u, err == nil && u.Hostname() != "" && s == u.Scheme+"://"+u.Host
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// redirect checks where a customer goes after paying.
func (c *call) redirect(s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > maxRedirect || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return custom("redirectUrl must be an http or https address of at most %d bytes", maxRedirect)
	}
	if !allows(&c.app, u.Scheme+"://"+u.Host) {
		return refuse("systemError/invalidOrigin")
	}
	return nil
}

// originOf is the origin of an address that redirect has checked.
func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// preflight answers what a browser asks before it sends a call. Whose app it will be about is not known yet (tokens and signatures are not part
// of the question), so every web origin may send: what counts is the call itself, which is refused before anything is done, and whose answer
// no other origin can read. Calls that need the secret key are no browser's.
func preflight(allow string, browsers bool) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Allow", allow)
		h.Add("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
		origins := r.Header["Origin"]
		if browsers && len(origins) == 1 {
			if _, ok := parseOrigin(origins[0]); ok {
				h.Set("Access-Control-Allow-Origin", origins[0])
				h.Set("Access-Control-Allow-Methods", allow)
				h.Set("Access-Control-Allow-Headers", corsHeaders)
				h.Set("Access-Control-Max-Age", corsMaxAge)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
