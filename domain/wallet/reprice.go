package wallet

import (
	"github.com/khata-ledger/khata/domain/fee"
)

// PricedOf is what an event was priced at; nil where no plan has a say in it.
func PricedOf(e Event) *Priced {
	switch e := e.(type) {
	case *PayinCreated:
		return &e.Priced
	case *PayinSucceeded:
		return &e.Priced
	case *SuspenseCredited:
		return &e.Priced
	case *PayoutInitiated:
		return &e.Priced
	case *PayoutSucceeded:
		return &e.Priced
	case *PayoutFailed:
		return &e.Priced
	case *PayoutRefunded:
		return &e.Priced
	case *PayoutReturned:
		return &e.Priced
	case *PayoutPaidAfterRefund:
		return &e.Priced
	}
	return nil
}

// Reprice prices an event again, as if plan had been its merchant's: the charge, or the plan's refusal (domain.Invalid), with which the payment
// would not have been made. A payment's later events have the figures of its first one, so they come to the same.
func Reprice(e Event, plan *fee.Plan) (fee.Charge, error) {
	amount := PricedOf(e).Amount
	switch e.(type) {
	case *SuspenseCredited: // may lie outside of the plan's bounds: what was paid is not what was asked
		return plan.PayinCharge(amount)
	case *PayinCreated, *PayinSucceeded:
		if err := plan.Payin.CheckAmount(amount); err != nil {
			return fee.Charge{}, err
		}
		return plan.PayinCharge(amount)
	}
	if err := plan.Payout.CheckAmount(amount); err != nil {
		return fee.Charge{}, err
	}
	return plan.PayoutCharge(amount)
}
