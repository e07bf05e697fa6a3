// Package fee holds commission plans: what a merchant pays for payins and payouts, and the amounts it may move.
package fee

import (
	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain/money"
)

// Plan is a merchant's fee plan. A changed plan is a new version: events name the id and version that priced them.
type Plan struct {
	ID       string         `json:"id"`
	Version  int            `json:"version"`
	Currency money.Currency `json:"currency"`
	Payin    Tariff         `json:"payin"`
	Payout   Tariff         `json:"payout"`
}

// Tariff prices one service and bounds its amounts. Min and Max are inclusive; a zero Max is no bound.
type Tariff struct {
	Min        decimal.Decimal `json:"min"`
	Max        decimal.Decimal `json:"max,omitzero"`
	Commission Schedule        `json:"commission"`
	GST        GST             `json:"gst,omitzero"`
}

// Schedule says how a commission is computed: percent of the amount plus flat, by slab where there are slabs, then
// raised to the floor and cut to the cap.
type Schedule struct {
	Percent decimal.Decimal `json:"percent,omitzero"` // 1 is one percent
	Flat    decimal.Decimal `json:"flat,omitzero"`
	Slabs   []Slab          `json:"slabs,omitempty"` // replace Percent and Flat; ascending UpTo
	Floor   decimal.Decimal `json:"floor,omitzero"`
	Cap     decimal.Decimal `json:"cap,omitzero"` // zero is no cap
}

// Slab prices amounts up to and including UpTo; the last one has none (zero) and takes the rest.
type Slab struct {
	UpTo    decimal.Decimal `json:"up_to,omitzero"`
	Percent decimal.Decimal `json:"percent,omitzero"`
	Flat    decimal.Decimal `json:"flat,omitzero"`
}

// GST is the tax on the commission.
type GST struct {
	Rate     decimal.Decimal `json:"rate,omitzero"`      // 18 is eighteen percent; zero is no tax
	Included bool            `json:"included,omitempty"` // the schedule's figure contains the tax; otherwise it goes on top
}

// Charge is what one payment costs. Commission includes Tax.
type Charge struct {
	Commission money.Amount
	Tax        money.Amount
	Rule       Rule
}

// Rule names the plan and version that priced a payment.
type Rule struct {
	Plan    string `json:"plan"`
	Version int    `json:"version"`
}

// Default is the plan of a merchant that was given none: payin 1 %, payout flat 10 (contract, section Statuses).
func Default() Plan {
	return Plan{
		ID: "default", Version: 1, Currency: money.INR,
		Payin:  Tariff{Min: decimal.NewFromInt(300), Commission: Schedule{Percent: decimal.NewFromInt(1)}},
		Payout: Tariff{Min: decimal.NewFromInt(1000), Max: decimal.NewFromInt(200000), Commission: Schedule{Flat: decimal.NewFromInt(10)}},
	}
}
