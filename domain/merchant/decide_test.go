package merchant

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
)

var (
	noon  = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	of    = Of{Merchant: "mer_1", Actor: "asha"}
	local = netip.MustParsePrefix("127.0.0.1/32")
	plan1 = fee.Default()
	made  = &Created{Of: of, Name: "Demo Shop", Services: []Service{Payin, Payout}, AllowedIPs: []netip.Prefix{local}, CallbackURL: "https://shop.example/cb", Plan: plan1, At: noon}
	first = key("key_1", "1", Full, noon)
)

func key(id, digit string, r Role, at time.Time) Key {
	return Key{ID: id, Hash: strings.Repeat(digit, 64), Last4: "x9Zq", Role: r, CreatedAt: at}
}

// scene is one line of a table: given a history, when a command comes, then these events, or this refusal.
type scene struct {
	name  string
	given []Event
	when  Command
	then  []Event
	code  domain.Code
	field string
}

func run(t *testing.T, scenes []scene) {
	t.Helper()
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			m, o := &Merchant{}, &Operator{}
			for _, e := range s.given {
				m.Evolve(e)
				o.Evolve(e)
			}
			before := text(t, m) + text(t, o)
			decide := func() ([]Event, error) { return Decide(m, s.when) }
			switch s.when.(type) {
			case CreateOperator, RevokeOperator:
				decide = func() ([]Event, error) { return DecideOperator(o, s.when) }
			}
			events, err := decide()
			if text(t, m)+text(t, o) != before {
				t.Error("Decide changed the state")
			}
			if code := domain.CodeOf(err); code != s.code || (err != nil && code == "") {
				t.Fatalf("error %v, want code %q", err, s.code)
			}
			if refusal, ok := err.(*domain.Error); s.field != "" && (!ok || refusal.Details[s.field] == "") { //nolint:errorlint // refusals come bare
				t.Errorf("%v does not name field %q", err, s.field)
			}
			if got, want := listing(t, events), listing(t, s.then); got != want {
				t.Errorf("events\n%swant\n%s", got, want)
			}
		})
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func listing(t *testing.T, events []Event) string {
	t.Helper()
	out := ""
	for _, e := range events {
		out += fmt.Sprintf("%s %s\n", e.Type(), text(t, e))
	}
	return out
}

func createCommand(change func(*Create)) Create {
	c := Create{
		Of: of, Name: "Demo Shop", Services: []Service{Payin, Payout}, AllowedIPs: []netip.Prefix{local},
		CallbackURL: "https://shop.example/cb", Plan: plan1, Key: first, At: noon,
	}
	if change != nil {
		change(&c)
	}
	return c
}

func TestCreate(t *testing.T) {
	added := &KeyAdded{Of: of, Key: first}
	bad := func(name, field string, change func(*Create)) scene {
		return scene{name: name, when: createCommand(change), code: domain.Invalid, field: field}
	}
	untidy := *made
	untidy.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	bare := *made
	bare.AllowedIPs, bare.CallbackURL = []netip.Prefix{}, ""
	run(t, []scene{
		{name: "whole", when: createCommand(nil), then: []Event{made, added}},
		{name: "no plan is the default one", when: createCommand(func(c *Create) { c.Plan = fee.Plan{} }), then: []Event{made, added}},
		{name: "a plan's version begins at one", when: createCommand(func(c *Create) { c.Plan.Version = 9 }), then: []Event{made, added}},
		{name: "times are cut to microseconds", when: createCommand(func(c *Create) { c.At = noon.Add(999).In(time.FixedZone("IST", 19800)) }), then: []Event{made, added}},
		{name: "no ranges, no callback", when: createCommand(func(c *Create) { c.AllowedIPs, c.CallbackURL = nil, "" }), then: []Event{&bare, added}},
		{name: "untidy ranges", when: createCommand(func(c *Create) {
			c.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("::ffff:10.9.9.9/104"), netip.MustParsePrefix("2001:db8::1/32")}
		}), then: []Event{&untidy, added}},
		{name: "exists", given: []Event{made}, when: createCommand(nil), code: domain.Stale},
		bad("no id", "merchant", func(c *Create) { c.Merchant = "" }),
		bad("nobody", "actor", func(c *Create) { c.Actor = "" }),
		bad("no name", "name", func(c *Create) { c.Name = "" }),
		bad("a blank name", "name", func(c *Create) { c.Name = "  " }),
		bad("a long name", "name", func(c *Create) { c.Name = strings.Repeat("é", 101) }),
		bad("a name of two lines", "name", func(c *Create) { c.Name = "a\nb" }),
		bad("a name that is no text", "name", func(c *Create) { c.Name = "a\xff" }),
		bad("no services", "services", func(c *Create) { c.Services = nil }),
		bad("an unknown service", "services", func(c *Create) { c.Services = []Service{"loans"} }),
		bad("a service twice", "services", func(c *Create) { c.Services = []Service{Payin, Payin} }),
		bad("no range", "allowed_ips[1]", func(c *Create) { c.AllowedIPs = []netip.Prefix{local, {}} }),
		bad("a range around IPv4", "allowed_ips[0]", func(c *Create) { c.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("::ffff:0.0.0.0/90")} }),
		bad("too many ranges", "allowed_ips", func(c *Create) { c.AllowedIPs = ranges(MaxAllowedIPs + 1) }),
		bad("a callback to nowhere", "callback_url", func(c *Create) { c.CallbackURL = "ftp://x" }),
		bad("a bad plan", "plan.payin.commission.percent", func(c *Create) { c.Plan.Payin.Commission.Percent = decimal.NewFromInt(-1) }),
		bad("a key without id", "key.id", func(c *Create) { c.Key.ID = "" }),
		bad("a key with a short hash", "key.hash", func(c *Create) { c.Key.Hash = "ab" }),
		bad("a key with a loud hash", "key.hash", func(c *Create) { c.Key.Hash = strings.Repeat("A", 64) }),
		bad("a key in clear", "key.last4", func(c *Create) { c.Key.Last4 = "secret" }),
		bad("an operator's role", "role", func(c *Create) { c.Key.Role = Owner }),
		bad("a key of no time", "key.created_at", func(c *Create) { c.Key.CreatedAt = time.Time{} }),
		bad("a revoked key", "key.revoked", func(c *Create) { c.Key.Revoked = true }),
		bad("a key that is over", "key.expires_at", func(c *Create) { c.Key.ExpiresAt = noon }),
	})
}

func ranges(n int) []netip.Prefix {
	all := make([]netip.Prefix, n)
	for i := range all {
		all[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
	}
	return all
}

func TestKeys(t *testing.T) {
	later, until := noon.Add(time.Hour), noon.Add(25*time.Hour)
	one := []Event{made, &KeyAdded{Of: of, Key: first}}
	and := func(events ...Event) []Event { return append(slices.Clone(one), events...) }
	second, maker := key("key_2", "2", Full, later), key("key_3", "3", Maker, later)
	add := func(k Key, replaces string, until time.Time) AddKey {
		return AddKey{Of: of, Key: k, Replaces: replaces, Until: until}
	}
	ends := func(id string) *KeyExpires { return &KeyExpires{Of: of, KeyID: id, At: until} }
	soon := first
	soon.ExpiresAt = later.Add(time.Minute)
	var full []Event
	for i := range MaxActiveKeys {
		k := key(fmt.Sprint("key_", i), "1", Full, noon)
		k.Hash = fmt.Sprintf("%064x", i)
		full = append(full, &KeyAdded{Of: of, Key: k})
	}
	run(t, []scene{
		{name: "add", given: one, when: add(maker, "", time.Time{}), then: []Event{&KeyAdded{Of: of, Key: maker}}},
		{name: "replace one", given: one, when: add(second, "key_1", until), then: []Event{&KeyAdded{Of: of, Key: second}, ends("key_1")}},
		{name: "replace all of the role", given: and(&KeyAdded{Of: of, Key: maker}), when: add(second, "*", until), then: []Event{&KeyAdded{Of: of, Key: second}, ends("key_1")}},
		{name: "replace all where there is none", given: one, when: add(maker, "*", until), then: []Event{&KeyAdded{Of: of, Key: maker}}},
		{name: "one that ends sooner keeps its time", given: []Event{made, &KeyAdded{Of: of, Key: soon}}, when: add(second, "*", until), then: []Event{&KeyAdded{Of: of, Key: second}}},
		{name: "a revoked one is not among all", given: and(&KeyRevoked{Of: of, KeyID: "key_1"}), when: add(second, "*", until), then: []Event{&KeyAdded{Of: of, Key: second}}},
		{name: "replace a revoked one", given: and(&KeyRevoked{Of: of, KeyID: "key_1"}), when: add(second, "key_1", until), code: domain.Stale},
		{name: "replace an unknown one", given: one, when: add(second, "key_9", until), code: domain.NotFound},
		{name: "replace until when", given: one, when: add(second, "key_1", time.Time{}), code: domain.Invalid, field: "until"},
		{name: "the id is taken", given: one, when: add(key("key_1", "9", Full, later), "", time.Time{}), code: domain.Duplicate},
		{name: "the key is taken", given: one, when: add(key("key_9", "1", Full, later), "", time.Time{}), code: domain.Duplicate},
		{name: "an id that means all", given: one, when: add(key("*", "9", Full, later), "", time.Time{}), code: domain.Invalid, field: "key.id"},
		{name: "too many", given: append([]Event{made}, full...), when: add(key("key_x", "f", Full, later), "", time.Time{}), code: domain.Stale},
		{name: "nobody's", when: add(second, "", time.Time{}), code: domain.NotFound},

		{name: "revoke", given: one, when: RevokeKey{Of: of, KeyID: "key_1"}, then: []Event{&KeyRevoked{Of: of, KeyID: "key_1"}}},
		{name: "revoke twice", given: and(&KeyRevoked{Of: of, KeyID: "key_1"}), when: RevokeKey{Of: of, KeyID: "key_1"}},
		{name: "revoke an unknown one", given: one, when: RevokeKey{Of: of, KeyID: "key_9"}, code: domain.NotFound},
	})
}

func TestChanges(t *testing.T) {
	exists := []Event{made}
	gold := fee.Plan{ID: "gold", Currency: "INR"}
	goldSecond := gold
	goldSecond.Version = 2
	var many []Event
	for _, p := range ranges(MaxAllowedIPs - 1) {
		many = append(many, &IPAllowed{Of: of, Prefix: p})
	}
	ten := netip.MustParsePrefix("10.0.0.0/8")
	run(t, []scene{
		{name: "allow", given: exists, when: AllowIP{Of: of, Prefix: netip.MustParsePrefix("10.1.1.1/8")}, then: []Event{&IPAllowed{Of: of, Prefix: ten}}},
		{name: "allow twice", given: exists, when: AllowIP{Of: of, Prefix: local}},
		{name: "allow nothing", given: exists, when: AllowIP{Of: of}, code: domain.Invalid, field: "ip"},
		{name: "allow one too many", given: append([]Event{made}, many...), when: AllowIP{Of: of, Prefix: ten}, code: domain.Invalid, field: "ip"},

		{name: "callback", given: exists, when: SetCallback{Of: of, URL: "http://10.0.0.1:8080/x?y=1", Dialect: Node}, then: []Event{&CallbackSet{Of: of, URL: "http://10.0.0.1:8080/x?y=1", Dialect: Node}}},
		{name: "the same callback", given: exists, when: SetCallback{Of: of, URL: made.CallbackURL}},
		{name: "the same URL in another dialect", given: exists, when: SetCallback{Of: of, URL: made.CallbackURL, Dialect: Raw}, then: []Event{&CallbackSet{Of: of, URL: made.CallbackURL, Dialect: Raw}}},
		{name: "no callbacks about batches", given: exists, when: SetCallback{Of: of, URL: made.CallbackURL, BatchQuiet: true}, then: []Event{&CallbackSet{Of: of, URL: made.CallbackURL, BatchQuiet: true}}},
		{name: "callbacks about batches again", given: []Event{made, &CallbackSet{Of: of, URL: made.CallbackURL, BatchQuiet: true}}, when: SetCallback{Of: of, URL: made.CallbackURL}, then: []Event{&CallbackSet{Of: of, URL: made.CallbackURL}}},
		{name: "no callbacks about batches, twice", given: []Event{made, &CallbackSet{Of: of, URL: made.CallbackURL, BatchQuiet: true}}, when: SetCallback{Of: of, URL: made.CallbackURL, BatchQuiet: true}},
		{name: "no callback", given: exists, when: SetCallback{Of: of}, then: []Event{&CallbackSet{Of: of}}},
		{name: "a callback to nowhere", given: exists, when: SetCallback{Of: of, URL: "ftp://x"}, code: domain.Invalid, field: "callback_url"},
		{name: "an unknown dialect", given: exists, when: SetCallback{Of: of, URL: made.CallbackURL, Dialect: "perl"}, code: domain.Invalid, field: "dialect"},

		{name: "plan", given: exists, when: SetPlan{Of: of, Plan: gold}, then: []Event{&PlanSet{Of: of, Plan: goldSecond}}},
		{name: "a plan of no name", given: exists, when: SetPlan{Of: of}, code: domain.Invalid, field: "plan.id"},

		{name: "suspend", given: exists, when: Suspend{Of: of, Reason: "fraud"}, then: []Event{&Suspended{Of: of, Reason: "fraud"}}},
		{name: "suspend twice", given: []Event{made, &Suspended{Of: of}}, when: Suspend{Of: of, Reason: "fraud"}},
		{name: "suspend without a reason", given: exists, when: Suspend{Of: of}, code: domain.Invalid, field: "reason"},
		{name: "resume", given: []Event{made, &Suspended{Of: of}}, when: Resume{Of: of, Reason: "cleared"}, then: []Event{&Resumed{Of: of, Reason: "cleared"}}},
		{name: "resume what goes on", given: exists, when: Resume{Of: of, Reason: "cleared"}},
		{name: "resume without a reason", given: exists, when: Resume{Of: of, Reason: " "}, code: domain.Invalid, field: "reason"},
		{name: "a merchant that does not exist", when: Suspend{Of: of, Reason: "fraud"}, code: domain.NotFound},
	})
}

func TestCallbackURL(t *testing.T) {
	for url, good := range map[string]bool{
		"https://shop.example/a/b?c=d": true, "http://127.0.0.1:9000": true, "https://[2001:db8::1]/x": true,
		"shop.example/cb": false, "//shop.example": false, "https://": false, "https:///cb": false, "https://:443/x": false,
		"https://user:pw@shop.example": false, "https://user@shop.example": false, "https://shop.example/#top": false, "https://shop.example/#": false,
		"javascript:alert(1)": false, "https:shop.example": false, "https://shop.example/%zz": false, "https://a b/": false, "https://shop.example/\n": false,
		"https://shop.example/" + strings.Repeat("x", MaxURL): false,
	} {
		if err := validURL(url); (err == nil) != good {
			t.Errorf("%.60q: %v", url, err)
		}
	}
}

func TestOperators(t *testing.T) {
	who := Of{Merchant: "opr_1", Actor: "setup"}
	create := func(change func(*Operator)) CreateOperator {
		o := Operator{ID: "opr_1", Name: "Asha", Role: Owner, Key: key("key_1", "1", "", noon), CreatedAt: noon}
		if change != nil {
			change(&o)
		}
		return CreateOperator{Of: who, Operator: o}
	}
	want := &OperatorCreated{Of: who, Operator: create(func(o *Operator) { o.Key.Role = Owner }).Operator}
	revoked := &OperatorRevoked{Of: who, Reason: "left"}
	run(t, []scene{
		{name: "create", when: create(nil), then: []Event{want}},
		{name: "create twice", given: []Event{want}, when: create(nil), code: domain.Stale},
		{name: "another's id", when: create(func(o *Operator) { o.ID = "opr_2" }), code: domain.Invalid, field: "id"},
		{name: "no name", when: create(func(o *Operator) { o.Name = "" }), code: domain.Invalid, field: "name"},
		{name: "a merchant's role", when: create(func(o *Operator) { o.Role = Full }), code: domain.Invalid, field: "role"},
		{name: "a key of another role", when: create(func(o *Operator) { o.Key.Role = Support }), code: domain.Invalid, field: "role"},
		{name: "a bad key", when: create(func(o *Operator) { o.Key.Hash = "" }), code: domain.Invalid, field: "key.hash"},
		{name: "revoke", given: []Event{want}, when: RevokeOperator{Of: who, Reason: "left"}, then: []Event{revoked}},
		{name: "revoke twice", given: []Event{want, revoked}, when: RevokeOperator{Of: who, Reason: "left"}},
		{name: "revoke without a reason", given: []Event{want}, when: RevokeOperator{Of: who}, code: domain.Invalid, field: "reason"},
		{name: "revoke nobody", when: RevokeOperator{Of: who, Reason: "left"}, code: domain.NotFound},
	})
	for _, r := range []Role{Owner, Maker, Checker, Auditor, Support} {
		if _, err := DecideOperator(nil, create(func(o *Operator) { o.Role = r })); err != nil {
			t.Errorf("role %s: %v", r, err)
		}
	}
}

// TestFaults: what only a fault of the caller can cause is no refusal.
func TestFaults(t *testing.T) {
	m, o := &Merchant{ID: "mer_2"}, &Operator{ID: "opr_2"}
	for name, err := range map[string]error{
		"another merchant":         fault(Decide(m, Suspend{Of: of, Reason: "r"})),
		"an operator's command":    fault(Decide(&Merchant{ID: "mer_1"}, RevokeOperator{Of: of, Reason: "r"})),
		"another operator":         fault(DecideOperator(o, RevokeOperator{Of: of, Reason: "r"})),
		"a merchant's command":     fault(DecideOperator(nil, Suspend{Of: of, Reason: "r"})),
		"an operator's command 2 ": fault(Decide(&Merchant{ID: "mer_1"}, CreateOperator{Of: of})),
	} {
		if err == nil || domain.CodeOf(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decide(nil, Suspend{Of: of, Reason: "r"}); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("no merchant at all: %v", err)
	}
}

func fault(_ []Event, err error) error { return err }
