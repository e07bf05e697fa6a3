package merchant

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
)

// band makes a band; "" is no limit.
func band(upTo string, checkers int) Band {
	b := Band{Checkers: checkers}
	if upTo != "" {
		b.UpTo = decimal.RequireFromString(upTo)
	}
	return b
}

func TestSetApproval(t *testing.T) {
	three := []Band{band("100000.00", 0), band("1000000", 1), band("", 2)}
	set := func(bands ...Band) SetApproval { return SetApproval{Of: of, Bands: bands} }
	is := func(version int, bands ...Band) *ApprovalSet {
		return &ApprovalSet{Of: of, Rule: ApprovalRule{Version: version, Bands: append([]Band{}, bands...)}}
	}
	why, whyIs := set(three...), is(1, three...)
	why.Reason, whyIs.Reason = "audit of March", "audit of March"
	blank, long := set(three...), set(three...)
	blank.Reason, long.Reason = " ", strings.Repeat("x", MaxReason+1)
	ruled := []Event{made, is(1, three...)}
	refused := func(name, field string, c SetApproval) scene {
		return scene{name: name, given: []Event{made}, when: c, code: domain.Invalid, field: field}
	}
	run(t, []scene{
		{name: "the first rule", given: []Event{made}, when: set(three...), then: []Event{is(1, three...)}},
		{name: "with a reason", given: []Event{made}, when: why, then: []Event{whyIs}},
		{name: "one band for all totals", given: []Event{made}, when: set(band("", 1)), then: []Event{is(1, band("", 1))}},
		{name: "another rule", given: ruled, when: set(band("", 2)), then: []Event{is(2, band("", 2))}},
		{name: "another number of checkers", given: ruled, when: set(three[0], band("1000000", 2), three[2]), then: []Event{is(2, three[0], band("1000000", 2), three[2])}},
		{name: "another total", given: ruled, when: set(band("100000.01", 0), three[1], three[2]), then: []Event{is(2, band("100000.01", 0), three[1], three[2])}},
		{name: "the same rule", given: ruled, when: set(three...)},
		{name: "the same rule, written otherwise, for another reason", given: ruled, when: SetApproval{Of: of, Bands: []Band{band("100000", 0), band("1000000.0", 1), band("", 2)}, Reason: "again"}},
		{name: "no rule any more", given: ruled, when: set(), then: []Event{is(2)}},
		{name: "no rule, twice", given: append(ruled, is(2)), when: set()},
		{name: "no rule where there was none", given: []Event{made}, when: set()},
		{name: "the old rule again", given: append(ruled, is(2)), when: set(three...), then: []Event{is(3, three...)}},
		{name: "as many bands as may be", given: []Event{made}, when: set(rising(MaxBands)...), then: []Event{is(1, rising(MaxBands)...)}},
		{name: "nobody's", when: set(three...), code: domain.NotFound},

		refused("too many bands", "bands", set(rising(MaxBands+1)...)),
		refused("totals that fall", "bands[1].up_to", set(band("5", 0), band("4", 1), band("", 2))),
		refused("totals that stand still", "bands[1].up_to", set(band("5", 0), band("5.00", 1), band("", 2))),
		refused("no limit in the middle", "bands[0].up_to", set(band("", 0), band("", 1))),
		refused("a limit at the end", "bands[1].up_to", set(band("5", 0), band("6", 1))),
		refused("a limit of the only band", "bands[0].up_to", set(band("5", 1))),
		refused("a total below zero", "bands[0].up_to", set(band("-5", 0), band("", 1))),
		refused("a third of a paisa", "bands[0].up_to", set(band("5.003", 0), band("", 1))),
		refused("too many checkers", "bands[1].checkers", set(band("5", 0), band("", MaxCheckers+1))),
		refused("fewer checkers than none", "bands[0].checkers", set(band("5", -1), band("", 1))),
		refused("a total of a thousand million digits", "bands[0].up_to", set(Band{UpTo: decimal.New(1, 999_999_999)}, band("", 1))),
		refused("a part of nothing", "bands[0].up_to", set(Band{UpTo: decimal.New(1, -999_999_999)}, band("", 1))),
		refused("a blank reason", "reason", blank),
		refused("a long reason", "reason", long),
	})
}

// rising are bands for totals up to 1, 2 and so on.
func rising(n int) []Band {
	bands := make([]Band, n)
	for i := range n - 1 {
		bands[i].UpTo = decimal.NewFromInt(int64(i + 1))
	}
	return bands
}

// TestApprovalDecimals: a currency has its own.
func TestApprovalDecimals(t *testing.T) {
	m := &Merchant{ID: "mer_1"}
	for currency, bad := range map[money.Currency]string{"INR": "5.003", "JPY": "5.5"} {
		m.Plan.Currency = currency
		_, err := Decide(m, SetApproval{Of: of, Bands: []Band{band(bad, 0), band("", 1)}})
		if domain.CodeOf(err) != domain.Invalid || !strings.Contains(err.Error(), "bands[0].up_to") {
			t.Errorf("%s of %s: %v", bad, currency, err)
		}
	}
}

func TestCheckers(t *testing.T) {
	rule := ApprovalRule{Version: 1, Bands: []Band{band("100000", 0), band("1000000.50", 1), band("", 2)}}
	for total, want := range map[string]int{"0.01": 0, "100000.00": 0, "100000.01": 1, "1000000.50": 1, "1000000.51": 2, "99999999999.99": 2} {
		if got := rule.Checkers(money.MustParse(total, money.INR)); got != want {
			t.Errorf("%s needs %d checkers, want %d", total, got, want)
		}
	}
	if n := (ApprovalRule{Version: 2}).Checkers(money.MustParse("1000000", money.INR)); n != 0 {
		t.Errorf("without bands: %d checkers", n)
	}
	if MaxCheckers != batch.MaxCheckers {
		t.Errorf("a rule asks for up to %d checkers, a batch for %d", MaxCheckers, batch.MaxCheckers)
	}
}

const goodRule = `{
  "bands": [
    {"up_to": "100000.00", "checkers": 0},
    {"up_to": 1000000, "checkers": 1},
    {"checkers": 2}
  ]
}`

func TestParseApproval(t *testing.T) {
	for text, want := range map[string]string{
		goodRule:        `[{"up_to":"100000","checkers":0},{"up_to":"1000000","checkers":1},{"checkers":2}] `,
		`{"bands": []}`: `null `,
		`{"bands": [{"checkers": 1}], "reason": "new auditor"}`: `[{"checkers":1}] new auditor`,
		`{"bands": [{"checkers": 1}], "reason": ""}`:            `[{"checkers":1}] `,
	} {
		bands, reason, err := ParseApproval([]byte(text))
		if got := string(mustMarshal(t, bands)) + " " + reason; err != nil || got != want {
			t.Errorf("%s\nis read as %s (%v)\nwant       %s", text, got, err, want)
		}
	}
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseApprovalRefuses(t *testing.T) {
	bands := func(list string) string { return `{"bands": [` + list + `]}` }
	upTo := func(figure string) string { return bands(`{"up_to": ` + figure + `, "checkers": 0}, {"checkers": 1}`) }
	checkers := func(n string) string { return bands(`{"checkers": ` + n + `}`) }
	for _, c := range []struct{ name, rule, field string }{
		{"nothing", ``, "rule"},
		{"not JSON", `two`, "rule"},
		{"an array", `[]`, "rule"},
		{"cut off", goodRule[:60], "rule"},
		{"something behind", goodRule + `{}`, "rule"},
		{"too long", strings.Repeat(" ", MaxApprovalBytes) + goodRule, "rule"},
		{"no bands", `{}`, "bands"},
		{"bands that are null", `{"bands": null}`, "bands"},
		{"bands that are an object", `{"bands": {}}`, "bands"},
		{"bands twice", `{"bands": [], "bands": []}`, "rule"},
		{"another letter case", `{"Bands": []}`, "Bands"},
		{"a field too many", `{"bands": [], "version": 1}`, "version"},
		{"a reason that is a number", `{"bands": [], "reason": 7}`, "reason"},
		{"a reason that is null", `{"bands": [], "reason": null}`, "reason"},
		{"a band that is a number", bands(`1`), "bands[0]"},
		{"a band that is null", bands(`{"up_to": 1, "checkers": 0}, null`), "bands[1]"},
		{"a misspelt field", bands(`{"upto": 5, "checkers": 0}, {"checkers": 1}`), "bands[0].upto"},
		{"a field of a band twice", bands(`{"checkers": 2, "checkers": 0}`), "bands[0]"},
		{"no number of checkers", bands(`{"up_to": 5, "checkers": 1}, {}`), "bands[1].checkers"},
		{"checkers in words", checkers(`"two"`), "bands[0].checkers"},
		{"checkers as text", checkers(`"2"`), "bands[0].checkers"},
		{"half a checker", checkers(`1.5`), "bands[0].checkers"},
		{"checkers that are null", checkers(`null`), "bands[0].checkers"},
		{"too many checkers", checkers(`3`), "bands[0].checkers"},
		{"checkers below none", checkers(`-1`), "bands[0].checkers"},
		{"a total in words", upTo(`"much"`), "bands[0].up_to"},
		{"an exponent", upTo(`1e9`), "bands[0].up_to"},
		{"lakh commas", upTo(`"1,00,000"`), "bands[0].up_to"},
		{"a total that is null", upTo(`null`), "bands[0].up_to"},
		{"an empty total", upTo(`""`), "bands[0].up_to"},
		{"a total of zero", upTo(`0`), "bands[0].up_to"},
		{"a total of zero at the end", bands(`{"up_to": "0.00", "checkers": 2}`), "bands[0].up_to"},
		{"a total below zero", upTo(`-5`), "bands[0].up_to"},
		{"too many digits", upTo(`1234567890123456789`), "bands[0].up_to"},
		{"too many digits in all", upTo(`"123456789012.1234567"`), "bands[0].up_to"},
		{"totals that do not rise", bands(`{"up_to": 5, "checkers": 0}, {"up_to": 5, "checkers": 1}, {"checkers": 2}`), "bands[1].up_to"},
		{"no limit in the middle", bands(`{"checkers": 0}, {"checkers": 1}`), "bands[0].up_to"},
		{"a limit at the end", bands(`{"up_to": 5, "checkers": 0}, {"up_to": 6, "checkers": 1}`), "bands[1].up_to"},
		{"too many bands", bands(strings.Repeat(`{"checkers": 1},`, MaxBands) + `{"checkers": 1}`), "bands"},
	} {
		_, _, err := ParseApproval([]byte(c.rule))
		refusal, ok := err.(*domain.Error) //nolint:errorlint // refusals come bare
		if !ok || refusal.Code != domain.Invalid || len(refusal.Details) != 1 || refusal.Details[c.field] == "" {
			t.Errorf("%s: %v, want a refusal of %s", c.name, err, c.field)
		}
	}
}

func FuzzParseApproval(f *testing.F) {
	f.Add([]byte(goodRule))
	f.Add([]byte(`{"bands":[],"reason":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		bands, _, err := ParseApproval(data)
		if err != nil {
			if domain.CodeOf(err) != domain.Invalid {
				t.Errorf("refused as %v", err)
			}
			return
		}
		if err := validBands(bands); err != nil {
			t.Errorf("parsed, but invalid: %v", err)
		}
		text := fmt.Sprintf(`{"bands":%s}`, mustMarshal(t, append([]Band{}, bands...)))
		if _, _, err := ParseApproval([]byte(text)); err != nil {
			t.Errorf("%s cannot be read again: %v", text, err)
		}
	})
}
