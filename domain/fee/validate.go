package fee

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of a plan.
const (
	MaxIDLength = 64
	MaxSlabs    = 50
	maxScale    = 6  // decimals of a percentage
	maxDigits   = 18 // of any figure, so that none is dear to compute with
)

var hundred = decimal.NewFromInt(100)

// Validate refuses a plan that cannot price every amount (domain.Invalid; the field is named by its path in the JSON
// form, such as payin.commission.slabs[1].up_to).
func (p Plan) Validate() error {
	if p.ID == "" || len(p.ID) > MaxIDLength || !printable(p.ID) {
		return domain.InvalidField("id", fmt.Sprintf("must be 1 to %d printable ASCII characters", MaxIDLength))
	}
	if p.Version < 1 {
		return domain.InvalidField("version", "must be at least 1")
	}
	if _, known := p.Currency.Exponent(); !known {
		return domain.InvalidField("currency", fmt.Sprintf("%q is not known", string(p.Currency)))
	}
	if err := p.Payin.validate("payin", p.Currency); err != nil {
		return err
	}
	if err := p.Payout.validate("payout", p.Currency); err != nil {
		return err
	}
	return nil
}

func printable(s string) bool {
	for _, r := range s {
		if r < 0x20 || r > 0x7e {
			return false
		}
	}
	return true
}

func (t Tariff) validate(path string, c money.Currency) error {
	if err := first(
		figure(path+".min", t.Min, c),
		figure(path+".max", t.Max, c),
		rate(path+".gst.rate", t.GST.Rate),
	); err != nil {
		return err
	}
	if !t.Max.IsZero() && t.Max.LessThan(t.Min) {
		return domain.InvalidField(path+".max", "is less than min")
	}
	return t.Commission.validate(path+".commission", c)
}

func (s Schedule) validate(path string, c money.Currency) error {
	if err := first(
		rate(path+".percent", s.Percent),
		figure(path+".flat", s.Flat, c),
		figure(path+".floor", s.Floor, c),
		figure(path+".cap", s.Cap, c),
	); err != nil {
		return err
	}
	switch {
	case !s.Cap.IsZero() && s.Cap.LessThan(s.Floor):
		return domain.InvalidField(path+".cap", "is less than floor")
	case len(s.Slabs) > MaxSlabs:
		return domain.InvalidField(path+".slabs", fmt.Sprintf("are more than %d", MaxSlabs))
	case len(s.Slabs) > 0 && !s.Percent.IsZero():
		return domain.InvalidField(path+".percent", "cannot stand beside slabs")
	case len(s.Slabs) > 0 && !s.Flat.IsZero():
		return domain.InvalidField(path+".flat", "cannot stand beside slabs")
	}
	return validateSlabs(path, s.Slabs, c)
}

func validateSlabs(path string, slabs []Slab, c money.Currency) error {
	var below decimal.Decimal
	for i, slab := range slabs {
		at := fmt.Sprintf("%s.slabs[%d]", path, i)
		if err := first(
			figure(at+".up_to", slab.UpTo, c),
			rate(at+".percent", slab.Percent),
			figure(at+".flat", slab.Flat, c),
		); err != nil {
			return err
		}
		last := i == len(slabs)-1
		switch {
		case last && !slab.UpTo.IsZero():
			return domain.InvalidField(at+".up_to", "must be absent: the last slab takes the rest")
		case !last && slab.UpTo.LessThanOrEqual(below):
			return domain.InvalidField(at+".up_to", "must be more than that of the slab before")
		}
		below = slab.UpTo
	}
	return nil
}

// figure checks an amount of money in a plan: not negative, with the decimals of its currency.
func figure(path string, d decimal.Decimal, c money.Currency) error {
	if !small(d) || d.Sign() < 0 {
		return domain.InvalidField(path, fmt.Sprintf("must be zero or more, of at most %d digits", maxDigits))
	}
	if _, err := money.New(d, c); err != nil {
		return domain.InvalidField(path, err.Error())
	}
	return nil
}

// rate checks a percentage.
func rate(path string, d decimal.Decimal) error {
	if !small(d) || d.Sign() < 0 || d.GreaterThan(hundred) || !d.Equal(d.Truncate(maxScale)) {
		return domain.InvalidField(path, fmt.Sprintf("must be from 0 to 100, with at most %d decimals", maxScale))
	}
	return nil
}

// small keeps out figures like 1e999999999, which cost minutes to compare. It looks at exponent and digits only.
func small(d decimal.Decimal) bool {
	e := d.Exponent()
	return e >= -maxDigits && e <= maxDigits && d.NumDigits() <= maxDigits
}

// first returns the first fault.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
