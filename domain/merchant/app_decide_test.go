package merchant

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

var (
	ofApp = Of{Merchant: "ap_7q2K9d4M1", Actor: "asha"}
	rupee = AppCurrency{Currency: money.INR, Enabled: true, Plan: AppPlan(money.INR), CreatedAt: noon, UpdatedAt: noon}
	madeA = &Created{Of: ofApp, Name: "Kirana", Services: []Service{Payin}, Plan: plan1, At: noon}
	openA = &AppOpened{Of: ofApp, UserID: "us_M6jVa85Zb", Mode: Test, Currencies: []AppCurrency{rupee}, Domains: []string{}}
	pair1 = pair("key_1", "1", Test)
)

func pair(id, digit string, m Mode) Key {
	k := key(id, digit, Full, noon)
	k.AccessKey = AccessKeyPrefix(m) + strings.Repeat(digit, 24)
	return k
}

func openCommand(change func(*Create)) Create {
	c := Create{
		Of: ofApp, Name: "Kirana", Services: []Service{Payin}, Plan: plan1, Key: pair1, At: noon,
		App: &NewApp{UserID: "us_M6jVa85Zb", Mode: Test, Currencies: []AppCurrency{{Currency: money.INR}}},
	}
	change(&c)
	return c
}

func priced(c money.Currency, percent int64, version int) fee.Plan {
	return fee.Plan{ID: "own", Version: version, Currency: c, Payin: fee.Tariff{Commission: fee.Schedule{Percent: decimal.NewFromInt(percent)}}}
}

func TestOpenApp(t *testing.T) {
	opened := func(change func(*AppOpened)) []Event {
		e := *openA
		change(&e)
		created := *madeA
		created.AllowedIPs = nil
		return []Event{&created, &e, &KeyAdded{Of: ofApp, Key: pair1}}
	}
	bad := func(name, field string, change func(*Create)) scene {
		return scene{name: name, when: openCommand(change), code: domain.Invalid, field: field}
	}
	yen := AppCurrency{Currency: "JPY", Enabled: true, Plan: priced("JPY", 2, 1), CreatedAt: noon, UpdatedAt: noon}
	scenes := []scene{
		{name: "whole", when: openCommand(func(*Create) {}), then: opened(func(*AppOpened) {})},
		{name: "two currencies, one with its plan, in order", when: openCommand(func(c *Create) {
			c.App.Currencies = []AppCurrency{{Currency: "JPY", Plan: priced("JPY", 2, 9)}, {Currency: money.INR}}
		}), then: opened(func(e *AppOpened) { e.Currencies = []AppCurrency{rupee, yen} })},
		{name: "origins in one form", when: openCommand(func(c *Create) {
			c.App.Domains = []string{"shop.example/", "HTTPS://Shop.Example:443", "http://localhost:3000"}
		}), then: opened(func(e *AppOpened) { e.Domains = []string{"http://localhost:3000", "https://shop.example"} })},
		bad("no mode", "mode", func(c *Create) { c.App.Mode = "" }),
		bad("another mode", "mode", func(c *Create) { c.App.Mode = "play" }),
		bad("no user", "user_id", func(c *Create) { c.App.UserID = "M6jVa85Zb" }),
		bad("a merchant's id", "app_id", func(c *Create) { c.Merchant = "mer_1" }),
		bad("no currency", "currencies", func(c *Create) { c.App.Currencies = nil }),
		bad("a currency twice", "currencies", func(c *Create) { c.App.Currencies = []AppCurrency{{Currency: "USD"}, {Currency: "USD"}} }),
		bad("a currency that the platform has not", "currency", func(c *Create) { c.App.Currencies = []AppCurrency{{Currency: "XPF"}} }),
		bad("a plan of another currency", "plan.currency", func(c *Create) { c.App.Currencies = []AppCurrency{{Currency: "USD", Plan: priced("EUR", 1, 1)}} }),
		bad("a plan that is none", "plan.payin.commission.percent", func(c *Create) { c.App.Currencies = []AppCurrency{{Currency: "USD", Plan: priced("USD", -1, 1)}} }),
		bad("a short name", "name", func(c *Create) { c.Name = "ab" }),
		bad("a long name", "name", func(c *Create) { c.Name = strings.Repeat("é", MaxAppName+1) }),
		bad("a path among the domains", "domain", func(c *Create) { c.App.Domains = []string{"https://shop.example/a"} }),
		bad("a key that is no pair", "key.access_key", func(c *Create) { c.Key.AccessKey = "" }),
		bad("a pair of another mode", "key.access_key", func(c *Create) { c.Key = pair("key_1", "1", Live) }),
		bad("a pair that is none", "key.access_key", func(c *Create) { c.Key.AccessKey = "kspay_test_XYZ" }),
		{name: "a pair of who is no app", when: createCommand(func(c *Create) { c.Key = pair1 }), code: domain.Invalid, field: "key.access_key"},
	}
	for i := range scenes {
		for _, e := range scenes[i].then {
			if c, is := e.(*Created); is {
				c.AllowedIPs = canonicalNone(t)
			}
		}
	}
	run(t, scenes)
}

// canonicalNone is how no address ranges are written.
func canonicalNone(t *testing.T) (none []netip.Prefix) {
	t.Helper()
	events, err := Decide(nil, createCommand(func(c *Create) { c.AllowedIPs = nil }))
	if err != nil {
		t.Fatal(err)
	}
	return events[0].(*Created).AllowedIPs
}

func TestAppKeys(t *testing.T) {
	given := []Event{madeA, openA, &KeyAdded{Of: ofApp, Key: pair1}}
	second := pair("key_2", "2", Test)
	twin := second
	twin.AccessKey = pair1.AccessKey
	plain := key("key_2", "2", Full, noon)
	run(t, []scene{
		{name: "another pair ends the first at once", given: given, when: AddKey{Of: ofApp, Key: second, Replaces: "*", Until: noon},
			then: []Event{&KeyAdded{Of: ofApp, Key: second}, &KeyExpires{Of: ofApp, KeyID: "key_1", At: noon}}},
		{name: "the same name", given: given, when: AddKey{Of: ofApp, Key: twin}, code: domain.Duplicate},
		{name: "no pair", given: given, when: AddKey{Of: ofApp, Key: plain}, code: domain.Invalid, field: "key.access_key"},
		{name: "of another mode", given: given, when: AddKey{Of: ofApp, Key: pair("key_2", "2", Live)}, code: domain.Invalid, field: "key.access_key"},
		{name: "of who is no app", given: []Event{made}, when: AddKey{Of: of, Key: second}, code: domain.Invalid, field: "key.access_key"},
	})
	m := folded(given...)
	m.Evolve(&KeyAdded{Of: ofApp, Key: second})
	m.Evolve(&KeyExpires{Of: ofApp, KeyID: "key_1", At: noon})
	if k, found := m.Credentials(second.AccessKey, noon); !found || k.ID != "key_2" {
		t.Errorf("the new pair: %+v %v", k, found)
	}
	if k, found := m.Credentials(pair1.AccessKey, noon); found {
		t.Errorf("the old pair lives: %+v", k)
	}
	if k, found := m.Credentials("", noon); found {
		t.Errorf("no access key finds %+v", k)
	}
}

func folded(events ...Event) *Merchant {
	m := &Merchant{}
	for _, e := range events {
		m.Evolve(e)
	}
	return m
}

func TestDomainsAndCurrencies(t *testing.T) {
	given := []Event{madeA, openA}
	later := noon.Add(time.Hour)
	dollar := AppCurrency{Currency: "USD", Enabled: true, Plan: AppPlan("USD"), CreatedAt: later, UpdatedAt: later}
	dearer := AppCurrency{Currency: money.INR, Enabled: true, Plan: priced(money.INR, 3, 2), CreatedAt: noon, UpdatedAt: later}
	off := AppCurrency{Currency: money.INR, Enabled: false, Plan: AppPlan(money.INR), CreatedAt: noon, UpdatedAt: later}
	many := make([]string, MaxDomains+1)
	for i := range many {
		many[i] = fmt.Sprintf("https://s%d.example", i)
	}
	run(t, []scene{
		{name: "domains", given: given, when: SetDomains{Of: ofApp, Domains: []string{"b.example", "https://a.example", "b.example"}},
			then: []Event{&DomainsSet{Of: ofApp, Domains: []string{"https://a.example", "https://b.example"}}}},
		{name: "the same domains", given: given, when: SetDomains{Of: ofApp, Domains: []string{}}},
		{name: "too many", given: given, when: SetDomains{Of: ofApp, Domains: many}, code: domain.Invalid, field: "domain"},
		{name: "of no app", given: []Event{made}, when: SetDomains{Of: of, Domains: []string{"a.example"}}, code: domain.NotFound},
		{name: "another currency", given: given, when: SetCurrency{Of: ofApp, Currency: "USD", Enabled: true, At: later},
			then: []Event{&CurrencySet{Of: ofApp, Currency: dollar}}},
		{name: "a plan of its own", given: given, when: SetCurrency{Of: ofApp, Currency: money.INR, Enabled: true, Plan: priced(money.INR, 3, 7), At: later},
			then: []Event{&CurrencySet{Of: ofApp, Currency: dearer}}},
		{name: "off, with the plan that is there", given: given, when: SetCurrency{Of: ofApp, Currency: money.INR, At: later},
			then: []Event{&CurrencySet{Of: ofApp, Currency: off}}},
		{name: "as it is", given: given, when: SetCurrency{Of: ofApp, Currency: money.INR, Enabled: true, At: later}},
		{name: "a plan of another currency", given: given, when: SetCurrency{Of: ofApp, Currency: "USD", Plan: priced(money.INR, 3, 7), At: later}, code: domain.Invalid, field: "plan.currency"},
		{name: "of another platform", given: given, when: SetCurrency{Of: ofApp, Currency: "DOGE", At: later}, code: domain.Invalid, field: "currency"},
	})
	m := folded(given...)
	m.Evolve(&CurrencySet{Of: ofApp, Currency: off})
	if _, takes := m.App.Plan(money.INR); takes {
		t.Error("a currency that is off is taken")
	}
	m.Evolve(&CurrencySet{Of: ofApp, Currency: dollar})
	if p, takes := m.App.Plan("USD"); !takes || p.Currency != "USD" || len(m.App.Currencies) != 2 {
		t.Errorf("USD: %+v %v of %d", p, takes, len(m.App.Currencies))
	}
}

func TestOrigins(t *testing.T) {
	for in, want := range map[string]string{
		"shop.example":             "https://shop.example",
		"https://Shop.Example/":    "https://shop.example",
		"https://shop.example:443": "https://shop.example",
		"http://shop.example:80":   "http://shop.example",
		"http://shop.example:443":  "http://shop.example:443",
		"localhost:3000":           "https://localhost:3000",
		"http://[2001:DB8::1]:80":  "http://[2001:db8::1]",
	} {
		if got, err := canonicalOrigin(in); err != nil || got != want {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", "https://", "ftp://shop.example", "https://shop.example/pay", "https://u:p@shop.example", "https://shop.example?a", "https://shop.example#b",
		"https://shop .example", "null", "*", "https://*.shop.example", "https://" + strings.Repeat("a", MaxDomain), "https://shop.example:99999", "https://shop\texample",
	} {
		if got, err := canonicalOrigin(in); err == nil && in != "null" {
			t.Errorf("%q is taken for the origin %q", in, got)
		}
	}
	a := App{Domains: []string{"https://shop.example"}}
	if !a.AllowsOrigin("https://shop.example") || a.AllowsOrigin("https://evil.example") || a.AllowsOrigin("http://shop.example") || a.AllowsOrigin("") || a.AllowsOrigin("null") || (&App{Domains: []string{"https://null"}}).AllowsOrigin("null") || (&App{}).AllowsOrigin("https://shop.example") {
		t.Error("origins")
	}
}

func TestCatalogue(t *testing.T) {
	ids, codes := map[string]bool{}, map[money.Currency]bool{}
	for _, c := range Currencies() {
		if !ValidID("c_", c.ID) || ids[c.ID] || codes[c.Code] || c.Name == "" || c.Symbol == "" || (c.Type != fiat && c.Type != crypto) {
			t.Errorf("currency %+v", c)
		}
		if _, known := c.Code.Exponent(); !known {
			t.Errorf("the ledger does not know %s", c.Code)
		}
		ids[c.ID], codes[c.Code] = true, true
		if byID, ok := CurrencyByID(c.ID); !ok || byID != c {
			t.Errorf("%s finds %+v", c.ID, byID)
		}
		if err := validPlan(AppPlan(c.Code)); err != nil {
			t.Errorf("the plan of %s: %v", c.Code, err)
		}
	}
	for _, m := range Methods() {
		id := MethodID(m)
		if back, ok := MethodByID(id); !ok || back != m || !ValidID("pm_", id) || ids[id] {
			t.Errorf("method %q has %q, which is %q", m, id, back)
		}
		ids[id] = true
	}
	for id, want := range map[string]bool{
		"ap_7q2K9d4M1": true, "ap_7q2K9d4M": false, "ap_7q2K9d4M12": false, "ap_7q2K9d4M-": false, "us_7q2K9d4M1": false, "ap_7q2K9d4é": false, "": false,
	} {
		if ValidID("ap_", id) != want {
			t.Errorf("ValidID %q is not %v", id, want)
		}
	}
	if _, ok := MethodByID(""); ok || MethodID("BARTER") != "" {
		t.Error("no method has an id")
	}
}
