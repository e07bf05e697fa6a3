package money

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGrouped(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0.00", "999.5": "999.50", "1000": "1,000.00", "100000": "1,00,000.00", "-12345678.9": "-1,23,45,678.90", "1234567": "12,34,567.00",
		"10000000": "1,00,00,000.00", "-100": "-100.00", "123456789012": "1,23,45,67,89,012.00",
	} {
		if got := inr(in).Grouped(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[Currency]string{"USD": "1,234,567.00", "JPY": "1,234,567", "KWD": "-1,234,567.000"} {
		amount := MustParse("1234567", in)
		if in == "KWD" {
			amount = amount.Neg()
		}
		if got := amount.Grouped(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// Groups change nothing of the number.
func TestGroupedIsFixed(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		a := FromMinor(rapid.Int64().Draw(r, "minor"), rapid.SampledFrom([]Currency{INR, "USD", "JPY", "KWD"}).Draw(r, "currency"))
		got := a.Grouped()
		if strings.ReplaceAll(got, ",", "") != a.Fixed() || strings.Contains(got, "-,") || strings.HasPrefix(got, ",") {
			r.Fatalf("%s is grouped as %s", a.Fixed(), got)
		}
	})
}
