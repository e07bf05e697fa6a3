package fee

import (
	"testing"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain/money"
)

// BenchmarkPayoutCharge is what the API computes for each payout: a flat commission, and one of a percentage with its tax.
func BenchmarkPayoutCharge(b *testing.B) {
	flat, taxed := Default(), Default()
	taxed.Payout.Commission = Schedule{Percent: decimal.RequireFromString("0.5"), Flat: decimal.NewFromInt(2), Cap: decimal.NewFromInt(50)}
	taxed.Payout.GST = GST{Rate: decimal.NewFromInt(18)}
	amount := money.MustParse("5000.25", money.INR)
	for _, c := range []struct {
		name string
		plan Plan
	}{{"flat", flat}, {"taxed", taxed}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.plan.Payout.CheckAmount(amount); err != nil {
					b.Fatal(err)
				}
				if _, err := c.plan.PayoutCharge(amount); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
