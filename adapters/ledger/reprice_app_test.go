package ledger

import (
	"testing"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// The plan of an app's wallet is that of its currency, and not the one that its merchant was made with.
func TestPlansOfApps(t *testing.T) {
	dear := merchant.AppPlan("USD")
	dear.ID, dear.Version = "dear", 2
	history := []merchant.Event{
		&merchant.Created{Plan: fee.Plan{ID: "default", Version: 1, Currency: money.INR}},
		&merchant.AppOpened{Currencies: []merchant.AppCurrency{{Currency: money.INR, Plan: merchant.AppPlan(money.INR)}, {Currency: "USD", Plan: merchant.AppPlan("USD")}}},
		&merchant.PlanSet{Plan: fee.Plan{ID: "default", Version: 2, Currency: money.INR}},
		&merchant.CurrencySet{Currency: merchant.AppCurrency{Currency: "USD", Plan: dear}},
	}
	for _, c := range []struct {
		events   []merchant.Event
		currency money.Currency
		version  int
		want     string
	}{
		{history, "INR", 1, "checkout"}, {history, "INR", 2, ""}, {history, "USD", 1, "checkout"}, {history, "USD", 2, "dear"}, {history, "JPY", 1, ""},
		{history[:1], "INR", 1, "default"}, {[]merchant.Event{history[0], history[2]}, "INR", 2, "default"}, {history[:1], "INR", 3, ""},
	} {
		h := planHistory{currency: c.currency, version: c.version}
		for _, e := range c.events {
			h.take(e)
		}
		got := ""
		if h.found != nil {
			got = h.found.ID
		}
		if got != c.want || h.found != nil && c.want != "default" && h.found.Currency != c.currency {
			t.Errorf("version %d in %s of %d events: %q, want %q", c.version, c.currency, len(c.events), got, c.want)
		}
	}
}
