package fee

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// PayinCharge prices a payin. A commission above the amount is refused (domain.Invalid, field "amount"): a payin never
// takes from the wallet. It does not check the tariff's bounds, since suspended money may lie outside of them.
func (p Plan) PayinCharge(amount money.Amount) (Charge, error) {
	c, err := p.charge(p.Payin, amount)
	if err != nil {
		return Charge{}, err
	}
	if c.Commission.Cmp(amount) > 0 {
		return Charge{}, domain.InvalidField("amount", "is less than its commission of "+c.Commission.Fixed())
	}
	return c, nil
}

// PayoutCharge prices a payout. Its commission comes on top of the amount. It does not check the tariff's bounds.
func (p Plan) PayoutCharge(amount money.Amount) (Charge, error) { return p.charge(p.Payout, amount) }

func (p Plan) charge(t Tariff, amount money.Amount) (Charge, error) {
	if amount.Currency() != p.Currency {
		return Charge{}, domain.InvalidField("amount", fmt.Sprintf("is in %q, the fee plan in %q", amount.Currency(), p.Currency))
	}
	commission, tax, err := t.Quote(amount)
	if err != nil {
		return Charge{}, err
	}
	return Charge{Commission: commission, Tax: tax, Rule: Rule{Plan: p.ID, Version: p.Version}}, nil
}

// Quote computes the commission on an amount, and the tax that it includes. Each is rounded once, half up to the minor
// unit: the schedule's figure first, then the tax on the rounded figure, so that commission less tax is exact too.
func (t Tariff) Quote(amount money.Amount) (commission, tax money.Amount, err error) {
	if amount.Sign() <= 0 {
		return commission, tax, domain.InvalidField("amount", "must be more than zero")
	}
	c := amount.Currency()
	exp, _ := c.Exponent()
	figure := t.Commission.figure(amount.Decimal()).Round(exp)
	commission = money.Round(figure, c)
	if t.GST.Rate.IsZero() {
		return commission, money.Zero(c), nil
	}
	if t.GST.Included {
		tax = money.Round(figure.Mul(t.GST.Rate).DivRound(hundred.Add(t.GST.Rate), exp), c)
		return commission, tax, nil
	}
	tax = money.Round(figure.Mul(t.GST.Rate).Shift(-2), c)
	return commission.Add(tax), tax, nil
}

// figure is the unrounded commission.
func (s Schedule) figure(amount decimal.Decimal) decimal.Decimal {
	percent, flat := s.Percent, s.Flat
	for _, slab := range s.Slabs {
		percent, flat = slab.Percent, slab.Flat
		if slab.UpTo.IsZero() || amount.Cmp(slab.UpTo) <= 0 {
			break
		}
	}
	f := flat
	if !percent.IsZero() {
		f = amount.Mul(percent).Shift(-2).Add(flat)
	}
	if f.LessThan(s.Floor) {
		f = s.Floor
	}
	if !s.Cap.IsZero() && f.GreaterThan(s.Cap) {
		f = s.Cap
	}
	return f
}

// CheckAmount holds an amount against the tariff's bounds. Outside of them it is refused: domain.Invalid, field "amount".
func (t Tariff) CheckAmount(amount money.Amount) error {
	switch d := amount.Decimal(); {
	case d.Sign() <= 0:
		return domain.InvalidField("amount", "must be more than zero")
	case d.LessThan(t.Min):
		return domain.InvalidField("amount", "must be at least "+t.Min.String())
	case !t.Max.IsZero() && d.GreaterThan(t.Max):
		return domain.InvalidField("amount", "must be at most "+t.Max.String())
	}
	return nil
}
