package merchant

import (
	"crypto/subtle"
	"net/netip"
	"slices"
	"time"
)

// Evolve brings the merchant behind an event. It cannot fail. A copy of the struct taken before stays as it was: slices are
// replaced, never written to.
func (m *Merchant) Evolve(e Event) {
	switch e := e.(type) {
	case *Created:
		m.ID, m.Name, m.CreatedAt = e.Merchant, e.Name, e.At
		m.Services, m.AllowedIPs = slices.Clone(e.Services), slices.Clone(e.AllowedIPs)
		m.CallbackURL, m.Plan = e.CallbackURL, e.Plan
	case *KeyAdded:
		m.Keys = append(slices.Clone(m.Keys), e.Key)
	case *KeyExpires:
		m.changeKey(e.KeyID, func(k *Key) { k.ExpiresAt = e.At })
	case *KeyRevoked:
		m.changeKey(e.KeyID, func(k *Key) { k.Revoked = true })
	case *IPAllowed:
		m.AllowedIPs = append(slices.Clone(m.AllowedIPs), e.Prefix)
	case *CallbackSet:
		m.CallbackURL, m.Dialect, m.BatchQuiet = e.URL, e.Dialect, e.BatchQuiet
	case *PlanSet:
		m.Plan = e.Plan
	case *ApprovalSet:
		m.Approval = ApprovalRule{Version: e.Rule.Version, Bands: slices.Clone(e.Rule.Bands)}
	case *Suspended:
		m.Suspended = true
	case *Resumed:
		m.Suspended = false
	default:
		m.evolveApp(e)
	}
}

func (m *Merchant) changeKey(id string, change func(*Key)) {
	m.Keys = slices.Clone(m.Keys)
	for i := range m.Keys {
		if m.Keys[i].ID == id {
			change(&m.Keys[i])
		}
	}
}

// KeyByHash finds a key by the SHA-256 of what the caller sent, in lower-case hexadecimal; active or not (see Key.Active).
func (m *Merchant) KeyByHash(hash string) (Key, bool) {
	for _, k := range m.Keys {
		if subtle.ConstantTimeCompare([]byte(k.Hash), []byte(hash)) == 1 {
			return k, true
		}
	}
	return Key{}, false
}

// Credentials finds an active key by its access key.
func (m *Merchant) Credentials(accessKey string, now time.Time) (Key, bool) {
	for _, k := range m.Keys {
		if k.AccessKey != "" && subtle.ConstantTimeCompare([]byte(k.AccessKey), []byte(accessKey)) == 1 && k.Active(now) {
			return k, true
		}
	}
	return Key{}, false
}

// KeyByID finds a key by its id.
func (m *Merchant) KeyByID(id string) (Key, bool) {
	for _, k := range m.Keys {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// HasService reports whether the merchant may use a service.
func (m *Merchant) HasService(s Service) bool { return slices.Contains(m.Services, s) }

// Allows reports whether a call may come from an address. A merchant without allowed ranges allows none. IPv4 inside IPv6
// is taken as IPv4, and an IPv6 zone does not count.
func (m *Merchant) Allows(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(m.AllowedIPs, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// SigningKeys are the active keys of role full, newest first: the first of them signs callbacks. Of keys made at the same
// time, the one added last is the newest.
func (m *Merchant) SigningKeys(now time.Time) []Key {
	var active []Key
	for _, k := range m.Keys {
		if k.Role == Full && k.Active(now) {
			active = append(active, k)
		}
	}
	slices.Reverse(active)
	slices.SortStableFunc(active, func(a, b Key) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return active
}
