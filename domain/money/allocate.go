package money

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/shopspring/decimal"
)

// Allocate splits the amount over parts by their weights, so that the parts sum to the amount exactly. Each part gets its
// share cut to the minor unit; the units that remain go one each to the parts with the largest remainders, among equal
// remainders to the earlier part. A negative amount is split as its opposite. Weights must not be negative, nor all
// zero.
func (a Amount) Allocate(weights ...int64) ([]Amount, error) {
	sum := new(big.Int)
	for i, w := range weights {
		if w < 0 {
			return nil, fmt.Errorf("weight %d is negative: %d", i, w)
		}
		sum.Add(sum, big.NewInt(w))
	}
	if sum.Sign() == 0 {
		return nil, errors.New("nothing to allocate over: no weight is positive")
	}
	exp, _ := a.currency.Exponent()
	total := a.Decimal().Shift(exp).BigInt()
	negative := total.Sign() < 0
	total.Abs(total)

	left := new(big.Int).Set(total)
	units := make([]*big.Int, len(weights))
	rests := make([]*big.Int, len(weights))
	order := make([]int, len(weights))
	for i, w := range weights {
		units[i], rests[i] = new(big.Int).QuoRem(new(big.Int).Mul(total, big.NewInt(w)), sum, new(big.Int))
		left.Sub(left, units[i])
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return rests[j].Cmp(rests[i]) })
	for _, i := range order[:left.Int64()] { // fewer units than parts remain
		units[i].Add(units[i], big.NewInt(1))
	}
	parts := make([]Amount, len(weights))
	for i, u := range units {
		if negative {
			u.Neg(u)
		}
		parts[i] = fromUnits(u, exp, a.currency)
	}
	return parts, nil
}

func fromUnits(n *big.Int, exp int32, c Currency) Amount {
	return of(decimal.NewFromBigInt(n, -exp), c)
}
