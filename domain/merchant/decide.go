package merchant

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
)

// Bounds of a merchant.
const (
	MaxName       = 100 // characters
	MaxActiveKeys = 50
	MaxAllowedIPs = 200
	MaxURL        = 2000 // bytes
	MaxReason     = 500  // bytes
	MaxActor      = 200  // bytes
)

// Decide says which events a command causes for a merchant. It is pure. No events and no error: the command changes
// nothing. A refusal is a *domain.Error, and Details name the field; any other error is a fault of the caller.
func Decide(m *Merchant, c Command) ([]Event, error) {
	if m == nil {
		m = &Merchant{}
	}
	if err := addressed(m.ID, c.Target()); err != nil {
		return nil, err
	}
	if c, making := c.(Create); making {
		return create(m, c)
	}
	if m.ID == "" {
		return nil, domain.Errorf(domain.NotFound, "no merchant %s", c.Target().Merchant)
	}
	switch c := c.(type) {
	case AddKey:
		return addKey(m, c)
	case RevokeKey:
		return revokeKey(m, c)
	case AllowIP:
		return allowIP(m, c)
	case SetCallback:
		return setCallback(m, c)
	case SetPlan:
		return setPlan(m, c)
	case SetApproval:
		return setApproval(m, c)
	case Suspend:
		return suspend(m, c)
	case Resume:
		return resume(m, c)
	case OpenData:
		return openData(c)
	}
	return decideApp(m, c)
}

// addressed checks that a command names the one that it has reached, and who acts.
func addressed(id string, of Of) error {
	switch {
	case of.Merchant == "":
		return domain.InvalidField("merchant", "is missing")
	case id != "" && id != of.Merchant:
		return fmt.Errorf("merchant: command about %q reached %q", of.Merchant, id)
	case of.Actor == "" || len(of.Actor) > MaxActor:
		return domain.InvalidField("actor", fmt.Sprintf("must be 1 to %d bytes", MaxActor))
	}
	return nil
}

func create(m *Merchant, c Create) ([]Event, error) {
	if m.ID != "" {
		return nil, domain.Errorf(domain.Stale, "merchant %s exists", m.ID)
	}
	prefixes, err := canonicalAll(c.AllowedIPs)
	if err != nil {
		return nil, err
	}
	plan := c.Plan
	if plan.ID == "" {
		plan = fee.Default()
	}
	plan.Version = 1
	if err := validName(c.Name, c.App != nil); err != nil {
		return nil, err
	}
	if err := validServices(c.Services); err != nil {
		return nil, err
	}
	if err := validURL(c.CallbackURL); err != nil {
		return nil, err
	}
	if err := validPlan(plan); err != nil {
		return nil, err
	}
	key := normal(c.Key)
	if err := validKey(key, Full, Maker, Checker); err != nil {
		return nil, err
	}
	created := &Created{
		Of: c.Of, Name: c.Name, Services: slices.Clone(c.Services), AllowedIPs: prefixes, CallbackURL: c.CallbackURL,
		Plan: plan, At: micros(c.At),
	}
	if c.App == nil {
		if err := pairOf("", key); err != nil {
			return nil, err
		}
		return []Event{created, &KeyAdded{Of: c.Of, Key: key}}, nil
	}
	opened, err := openApp(c.Of, *c.App, c.At)
	if err != nil {
		return nil, err
	}
	if err := pairOf(c.App.Mode, key); err != nil {
		return nil, err
	}
	return []Event{created, opened, &KeyAdded{Of: c.Of, Key: key}}, nil
}

func addKey(m *Merchant, c AddKey) ([]Event, error) {
	key := normal(c.Key)
	if err := validKey(key, Full, Maker, Checker); err != nil {
		return nil, err
	}
	mode := Mode("")
	if m.App != nil {
		mode = m.App.Mode
	}
	if err := pairOf(mode, key); err != nil {
		return nil, err
	}
	active := 0
	for _, k := range m.Keys {
		if k.ID == key.ID || k.Hash == key.Hash || (key.AccessKey != "" && k.AccessKey == key.AccessKey) {
			return nil, domain.Errorf(domain.Duplicate, "key %s exists", k.ID)
		}
		if k.Active(key.CreatedAt) {
			active++
		}
	}
	if active >= MaxActiveKeys {
		return nil, domain.Errorf(domain.Stale, "merchant %s has %d active keys: revoke one first", m.ID, active)
	}
	events := []Event{&KeyAdded{Of: c.Of, Key: key}}
	if c.Replaces == "" {
		return events, nil
	}
	ends, err := replaced(m, c, key)
	if err != nil {
		return nil, err
	}
	return append(events, ends...), nil
}

// replaced ends the keys in whose place a new one comes. A key that ends sooner anyway keeps its time.
func replaced(m *Merchant, c AddKey, key Key) ([]Event, error) {
	if c.Until.IsZero() || c.Until.Before(key.CreatedAt) {
		return nil, domain.InvalidField("until", "must not lie before the new key's making")
	}
	var ends []Event
	for _, k := range m.Keys {
		if c.Replaces != "*" && k.ID != c.Replaces {
			continue
		}
		if c.Replaces == "*" && (k.Role != key.Role || !k.Active(key.CreatedAt)) {
			continue
		}
		if !k.Active(key.CreatedAt) {
			return nil, domain.Errorf(domain.Stale, "key %s is not active", k.ID)
		}
		if k.ExpiresAt.IsZero() || c.Until.Before(k.ExpiresAt) {
			ends = append(ends, &KeyExpires{Of: c.Of, KeyID: k.ID, At: micros(c.Until)})
		}
		if c.Replaces != "*" {
			return ends, nil
		}
	}
	if c.Replaces != "*" {
		return nil, domain.Errorf(domain.NotFound, "no key %s", c.Replaces)
	}
	return ends, nil
}

func revokeKey(m *Merchant, c RevokeKey) ([]Event, error) {
	for _, k := range m.Keys {
		if k.ID != c.KeyID {
			continue
		}
		if k.Revoked {
			return nil, nil
		}
		return []Event{&KeyRevoked{Of: c.Of, KeyID: k.ID}}, nil
	}
	return nil, domain.Errorf(domain.NotFound, "no key %s", c.KeyID)
}

func allowIP(m *Merchant, c AllowIP) ([]Event, error) {
	prefix, err := canonical("ip", c.Prefix)
	if err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(m.AllowedIPs, prefix):
		return nil, nil
	case len(m.AllowedIPs) >= MaxAllowedIPs:
		return nil, domain.InvalidField("ip", fmt.Sprintf("would be more than the %d ranges that a merchant may have", MaxAllowedIPs))
	}
	return []Event{&IPAllowed{Of: c.Of, Prefix: prefix}}, nil
}

func setCallback(m *Merchant, c SetCallback) ([]Event, error) {
	if err := validURL(c.URL); err != nil {
		return nil, err
	}
	switch c.Dialect {
	case Stable, PHP, Node, Raw:
	default:
		return nil, domain.InvalidField("dialect", fmt.Sprintf("%q is not known", string(c.Dialect)))
	}
	if c.URL == m.CallbackURL && c.Dialect == m.Dialect && c.BatchQuiet == m.BatchQuiet {
		return nil, nil
	}
	return []Event{&CallbackSet{Of: c.Of, URL: c.URL, Dialect: c.Dialect, BatchQuiet: c.BatchQuiet}}, nil
}

func setPlan(m *Merchant, c SetPlan) ([]Event, error) {
	plan := c.Plan
	plan.Version = m.Plan.Version + 1
	if err := validPlan(plan); err != nil {
		return nil, err
	}
	if plan.Currency != m.Plan.Currency && len(m.Approval.Bands) > 0 {
		return nil, domain.InvalidField("currency", "cannot change while the approval rule has totals in "+string(m.Plan.Currency)+": set an empty rule first")
	}
	return []Event{&PlanSet{Of: c.Of, Plan: plan}}, nil
}

func suspend(m *Merchant, c Suspend) ([]Event, error) {
	if err := validReason(c.Reason); err != nil {
		return nil, err
	}
	if m.Suspended {
		return nil, nil
	}
	return []Event{&Suspended{Of: c.Of, Reason: c.Reason}}, nil
}

func resume(m *Merchant, c Resume) ([]Event, error) {
	if err := validReason(c.Reason); err != nil {
		return nil, err
	}
	if !m.Suspended {
		return nil, nil
	}
	return []Event{&Resumed{Of: c.Of, Reason: c.Reason}}, nil
}

// canonicalAll brings ranges to their canonical form and drops repeats.
func canonicalAll(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	all := make([]netip.Prefix, 0, len(prefixes))
	for i, p := range prefixes {
		c, err := canonical(fmt.Sprintf("allowed_ips[%d]", i), p)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	if len(all) > MaxAllowedIPs {
		return nil, domain.InvalidField("allowed_ips", fmt.Sprintf("are more than %d", MaxAllowedIPs))
	}
	return all, nil
}

// micros cuts a time to the precision of the log.
func micros(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
