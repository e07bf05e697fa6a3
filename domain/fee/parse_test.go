package fee

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
)

const good = `{
  "id": "gold", "version": 4, "currency": "INR",
  "payin": {"min": 300, "max": "100000", "commission": {"percent": "1.25", "flat": 2, "floor": 5, "cap": 250.50}, "gst": {"rate": 18, "included": true}},
  "payout": {"min": "1000", "max": 200000, "commission": {"slabs": [{"up_to": 25000, "flat": 10}, {"percent": 0.1}]}, "gst": {"rate": "18"}}
}`

func TestParsePlan(t *testing.T) {
	p, err := ParsePlan([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(p)
	const want = `{"id":"gold","version":4,"currency":"INR",` +
		`"payin":{"min":"300","max":"100000","commission":{"percent":"1.25","flat":"2","floor":"5","cap":"250.5"},"gst":{"rate":"18","included":true}},` +
		`"payout":{"min":"1000","max":"200000","commission":{"slabs":[{"up_to":"25000","flat":"10"},{"percent":"0.1"}]},"gst":{"rate":"18"}}}`
	if err != nil || string(b) != want {
		t.Errorf("read as\n%s (%v), want\n%s", b, err, want)
	}
	if again, err := ParsePlan(b); err != nil || again.Version != 4 {
		t.Errorf("what it writes it does not read: %v", err)
	}
	p, err = ParsePlan([]byte(`{"id":"free","payin":{"commission":{}},"payout":{"commission":{}}}`))
	if err != nil || p.Version != 1 || p.Currency != "INR" {
		t.Errorf("the least plan: %+v, %v", p, err)
	}
	if err := Default().Validate(); err != nil {
		t.Errorf("the default plan: %v", err)
	}
}

func TestParsePlanRefuses(t *testing.T) {
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("the plan has no %s", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	slabs := func(list string) string {
		return replace(`[{"up_to": 25000, "flat": 10}, {"percent": 0.1}]`, list)
	}
	for _, c := range []struct{ name, plan, field string }{
		{"not JSON", `gold`, "plan"},
		{"an array", `[]`, "plan"},
		{"cut off", good[:40], "plan"},
		{"something behind", good + `{}`, "plan"},
		{"too long", strings.Repeat(" ", MaxPlanBytes) + good, "plan"},
		{"a field too many", replace(`"id"`, `"colour": 1, "id"`), "colour"},
		{"a misspelt field", replace(`"cap"`, `"capp"`), "payin.commission.capp"},
		{"another letter case", replace(`"cap"`, `"Cap"`), "payin.commission.Cap"},
		{"a field twice", replace(`"cap": 250.50`, `"cap": 250, "cap": 0`), "payin.commission"},
		{"no id", replace(`"id": "gold", `, ``), "id"},
		{"an id that is a number", replace(`"gold"`, `7`), "id"},
		{"too long an id", replace(`gold`, strings.Repeat("x", MaxIDLength+1)), "id"},
		{"an id that is not ASCII", replace(`gold`, `gøld`), "id"},
		{"version zero", replace(`"version": 4`, `"version": 0`), "version"},
		{"half a version", replace(`"version": 4`, `"version": 1.5`), "version"},
		{"an unknown currency", replace(`"INR"`, `"XXX"`), "currency"},
		{"no payin", `{"id":"x","payout":{"commission":{}}}`, "payin"},
		{"no payout", `{"id":"x","payin":{"commission":{}}}`, "payout"},
		{"payin is null", `{"id":"x","payin":null,"payout":{"commission":{}}}`, "payin"},
		{"no commission", `{"id":"x","payin":{},"payout":{"commission":{}}}`, "payin.commission"},
		{"a figure in words", replace(`"1.25"`, `"much"`), "payin.commission.percent"},
		{"an exponent", replace(`"1.25"`, `1e9999999`), "payin.commission.percent"},
		{"half a quote", replace(`"1.25"`, `"1.25`), "plan"},
		{"a figure that is null", replace(`"1.25"`, `null`), "payin.commission.percent"},
		{"a truth value in words", replace(`"included": true`, `"included": "yes"`), "payin.gst.included"},
		{"a truth value that is null", replace(`"included": true`, `"included": null`), "payin.gst.included"},
		{"slabs that are an object", slabs(`{}`), "payout.commission.slabs"},
		{"a slab that is a number", slabs(`[1]`), "payout.commission.slabs[0]"},
		{"a slab's unknown field", slabs(`[{"upto": 5}]`), "payout.commission.slabs[0].upto"},
		{"too many slabs", slabs(`[` + strings.Repeat(`{"percent":1},`, MaxSlabs) + `{}]`), "payout.commission.slabs"},

		{"negative percent", replace(`"1.25"`, `-1`), "payin.commission.percent"},
		{"more than all", replace(`"1.25"`, `100.01`), "payin.commission.percent"},
		{"too fine a percentage", replace(`"1.25"`, `1.0000001`), "payin.commission.percent"},
		{"a third of a paisa", replace(`"flat": 2`, `"flat": 2.003`), "payin.commission.flat"},
		{"negative floor", replace(`"floor": 5`, `"floor": -5`), "payin.commission.floor"},
		{"cap below floor", replace(`"floor": 5`, `"floor": 251`), "payin.commission.cap"},
		{"max below min", replace(`"100000"`, `299`), "payin.max"},
		{"negative min", replace(`"min": 300`, `"min": -300`), "payin.min"},
		{"too many digits", replace(`"min": 300`, `"min": 1234567890123456789`), "payin.min"},
		{"too much tax", replace(`"rate": "18"`, `"rate": 101`), "payout.gst.rate"},
		{"slabs beside percent", replace(`"slabs"`, `"percent": 1, "slabs"`), "payout.commission.percent"},
		{"slabs beside flat", replace(`"slabs"`, `"flat": 1, "slabs"`), "payout.commission.flat"},
		{"slabs that do not rise", slabs(`[{"up_to": 5}, {"up_to": 5}, {}]`), "payout.commission.slabs[1].up_to"},
		{"an open slab in the middle", slabs(`[{"up_to": 5}, {}, {}]`), "payout.commission.slabs[1].up_to"},
		{"no open slab", slabs(`[{"up_to": 5}, {"up_to": 6}]`), "payout.commission.slabs[1].up_to"},
		{"a slab's percent", slabs(`[{"percent": 101}]`), "payout.commission.slabs[0].percent"},
	} {
		p, err := ParsePlan([]byte(c.plan))
		wantField(t, c.name, c.field, err)
		if p.ID != "" {
			t.Errorf("%s: a plan beside a refusal", c.name)
		}
	}
}

// TestValidateIsQuick: a figure of a thousand million digits is refused by its look, not by computing with it.
func TestValidateIsQuick(t *testing.T) {
	for _, exponent := range []int32{999_999_999, -999_999_999} {
		huge := decimal.New(1, exponent)
		p := Default()
		p.Payin.Commission.Percent = huge
		wantField(t, "percent", "payin.commission.percent", p.Validate())
		p = Default()
		p.Payout.Max = huge
		wantField(t, "max", "payout.max", p.Validate())
	}
}

// An app is paid, and need not pay out: its plan may have no part for that.
func TestParseAppPlan(t *testing.T) {
	p, err := ParseAppPlan([]byte(`{"id":"own","currency":"USD","payin":{"commission":{"percent":"2"}}}`))
	if err != nil || p.ID != "own" || !p.Payin.Commission.Percent.Equal(decimal.NewFromInt(2)) || !p.Payout.Commission.Percent.IsZero() || !p.Payout.Min.IsZero() {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = ParseAppPlan([]byte(`{"id":"own","payin":{"commission":{}},"payout":{"commission":{"flat":"3"}}}`)); err != nil || !p.Payout.Commission.Flat.Equal(decimal.NewFromInt(3)) {
		t.Errorf("%+v, %v", p, err)
	}
	for text, field := range map[string]string{
		`{"id":"own","payout":{"commission":{}}}`: "payin", `{"id":"own","payin":{"commission":{}},"payouts":{}}`: "payouts",
		`{"id":"own","payin":{"commission":{}},"payout":{}}`: "payout.commission", `{"id":"own","payin":{"commission":{}},"payout":null}`: "payout",
	} {
		if _, err := ParseAppPlan([]byte(text)); domain.CodeOf(err) != domain.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"id":"free","payin":{"commission":{}},"payout":{"commission":{}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlan(data)
		if err != nil {
			if domain.CodeOf(err) != domain.Invalid {
				t.Errorf("refused as %v", err)
			}
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("parsed, but invalid: %v", err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePlan(b); err != nil {
			t.Errorf("%s cannot be read again: %v", b, err)
		}
	})
}
