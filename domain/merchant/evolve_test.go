package merchant

import (
	"net/netip"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
)

func TestEvolve(t *testing.T) {
	m := &Merchant{}
	until := noon.Add(time.Hour)
	gold := fee.Plan{ID: "gold", Version: 2, Currency: "INR"}
	for _, e := range []Event{
		made, &KeyAdded{Of: of, Key: first}, &KeyAdded{Of: of, Key: key("key_2", "2", Maker, noon)},
		&KeyExpires{Of: of, KeyID: "key_1", At: until}, &KeyRevoked{Of: of, KeyID: "key_2"},
		&IPAllowed{Of: of, Prefix: netip.MustParsePrefix("10.0.0.0/8")}, &CallbackSet{Of: of, URL: "http://x", Dialect: PHP, BatchQuiet: true},
		&PlanSet{Of: of, Plan: gold}, &ApprovalSet{Of: of, Rule: ApprovalRule{Version: 1, Bands: []Band{{Checkers: 1}}}}, &Suspended{Of: of, Reason: "r"},
	} {
		m.Evolve(e)
	}
	if m.ID != "mer_1" || m.Name != "Demo Shop" || !m.CreatedAt.Equal(noon) || m.CallbackURL != "http://x" || m.Dialect != PHP || m.Plan.ID != "gold" || !m.Suspended {
		t.Errorf("merchant %s", text(t, m))
	}
	if len(m.Keys) != 2 || !m.Keys[0].ExpiresAt.Equal(until) || m.Keys[0].Revoked || !m.Keys[1].Revoked {
		t.Errorf("keys %s", text(t, m.Keys))
	}
	if !m.BatchQuiet || text(t, m.Approval) != `{"version":1,"bands":[{"checkers":1}]}` {
		t.Errorf("merchant %s", text(t, m))
	}
	snapshot := *m
	before := text(t, snapshot)
	m.Evolve(&Resumed{Of: of})
	m.Evolve(&KeyRevoked{Of: of, KeyID: "key_1"})
	m.Evolve(&IPAllowed{Of: of, Prefix: local})
	m.Evolve(&KeyAdded{Of: of, Key: key("key_3", "3", Full, noon)})
	m.Evolve(&CallbackSet{Of: of, URL: "http://x"})
	m.Evolve(&ApprovalSet{Of: of, Rule: ApprovalRule{Version: 2, Bands: []Band{}}})
	if m.BatchQuiet || m.Approval.Version != 2 || len(m.Approval.Bands) != 0 {
		t.Errorf("merchant %s", text(t, m))
	}
	if m.Suspended || !m.Keys[0].Revoked || len(m.AllowedIPs) != 3 {
		t.Errorf("merchant %s", text(t, m))
	}
	if after := text(t, snapshot); after != before {
		t.Errorf("a copy changed\nfrom %s\nto   %s", before, after)
	}

	o := &Operator{}
	o.Evolve(&OperatorCreated{Operator: Operator{ID: "opr_1", Name: "Asha", Role: Owner, Key: first}})
	if o.ID != "opr_1" || !o.Key.Active(noon) {
		t.Errorf("operator %s", text(t, o))
	}
	o.Evolve(&OperatorRevoked{})
	if o.Key.Active(noon) {
		t.Error("a revoked operator is active")
	}
}

func TestAllows(t *testing.T) {
	m := &Merchant{AllowedIPs: []netip.Prefix{local, netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}}
	for addr, want := range map[string]bool{
		"127.0.0.1": true, "127.0.0.2": false, "203.0.113.255": true, "203.0.114.0": false, "::ffff:203.0.113.7": true, "::ffff:8.8.8.8": false,
		"2001:db8::1": true, "2001:db9::1": false, "2001:db8::1%eth0": true, "::1": false,
	} {
		if got := m.Allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %v, want %v", addr, got, want)
		}
	}
	if m.Allows(netip.Addr{}) || (&Merchant{}).Allows(netip.MustParseAddr("127.0.0.1")) {
		t.Error("no address, or no ranges, are allowed")
	}
}

func TestQueries(t *testing.T) {
	old, young := key("key_1", "1", Full, noon), key("key_2", "2", Full, noon.Add(time.Hour))
	maker, gone := key("key_3", "3", Maker, noon.Add(2*time.Hour)), key("key_4", "4", Full, noon.Add(3*time.Hour))
	gone.Revoked = true
	young.ExpiresAt = noon.Add(10 * time.Hour)
	m := &Merchant{Services: []Service{Payin}, Keys: []Key{old, young, maker, gone}}
	if !m.HasService(Payin) || m.HasService(Payout) {
		t.Error("services")
	}
	if k, ok := m.KeyByHash(gone.Hash); !ok || k.ID != "key_4" {
		t.Errorf("by hash: %+v %v", k, ok)
	}
	for _, hash := range []string{"", "5", key("", "5", Full, noon).Hash} {
		if k, ok := m.KeyByHash(hash); ok {
			t.Errorf("%q finds %+v", hash, k)
		}
	}
	for after, want := range map[time.Duration]string{2 * time.Hour: "key_2", 10 * time.Hour: "key_1", 99 * time.Hour: "key_1"} {
		if keys := m.SigningKeys(noon.Add(after)); len(keys) == 0 || keys[0].ID != want {
			t.Errorf("signs after %s: %+v, want %s", after, keys, want)
		}
	}
	if keys := (&Merchant{Keys: []Key{maker, gone}}).SigningKeys(noon); len(keys) != 0 {
		t.Errorf("signs: %+v", keys)
	}
	if Stream("mer_1") != "merchant:mer_1" {
		t.Error(Stream("mer_1"))
	}
}
