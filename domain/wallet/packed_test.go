package wallet

import (
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/money"
)

// TestPackRoundTrip fills every field of a payment, whatever fields there are, with anything: none may be lost or changed.
func TestPackRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Payment
		anything(t, reflect.ValueOf(&p).Elem())
		packed := p.Pack()
		got := Payment{UTR: "of another one"}
		packed.Unpack(&got)
		if !samePayment(&got, &p) {
			t.Fatalf("unpacked\n%+v\nof\n%+v", got, p)
		}
		if again := got.Pack(); again != packed {
			t.Fatalf("packed as %q, and again as %q", packed, again)
		}
	})
}

func TestPackZero(t *testing.T) {
	for _, packed := range []Packed{"", new(Payment).Pack()} {
		got := Payment{UTR: "of another one"}
		packed.Unpack(&got)
		if !reflect.DeepEqual(got, Payment{}) {
			t.Errorf("%q: %+v", packed, got)
		}
	}
}

// anything sets a value, and all that is in it, to anything that can be there.
func anything(t *rapid.T, v reflect.Value) {
	texts := rapid.OneOf(rapid.SampledFrom([]string{"", "mer_1", "₹\x00\xff"}), rapid.StringN(0, -1, 300))
	switch v.Interface().(type) {
	case money.Amount:
		v.Set(reflect.ValueOf(anyAmount(t)))
		return
	case money.Currency:
		v.SetString(rapid.SampledFrom([]string{"INR", "JPY", "KWD", ""}).Draw(t, "currency"))
		return
	case time.Time:
		v.Set(reflect.ValueOf(anyTime(t)))
		return
	case map[string]*Suspended:
		for _, id := range rapid.SliceOfNDistinct(texts, 0, 3, rapid.ID[string]).Draw(t, "suspense") {
			s := &Suspended{}
			anything(t, reflect.ValueOf(s).Elem())
			s.ID = id
			if v.IsNil() {
				v.Set(reflect.ValueOf(map[string]*Suspended{}))
			}
			v.SetMapIndex(reflect.ValueOf(id), reflect.ValueOf(s))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			anything(t, v.Field(i))
		}
	case reflect.Slice:
		if n := rapid.IntRange(0, 3).Draw(t, "length"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			anything(t, v.Index(i))
		}
	case reflect.String:
		v.SetString(texts.Draw(t, "text"))
	case reflect.Int:
		v.SetInt(rapid.OneOf(rapid.Int64Range(0, 100), rapid.Int64()).Draw(t, "number"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "flag"))
	default:
		t.Fatalf("a payment has a %s: pack it, and fill it here", v.Type())
	}
}

func anyAmount(t *rapid.T) money.Amount {
	currency := rapid.SampledFrom([]money.Currency{"INR", "INR", "JPY", "KWD"}).Draw(t, "currency")
	switch rapid.SampledFrom([]string{"minor", "any", "none", "huge"}).Draw(t, "amount") {
	case "minor":
		return money.FromMinor(rapid.Int64Range(0, 1_000_000).Draw(t, "minor"), currency)
	case "any":
		return money.FromMinor(rapid.OneOf(rapid.Int64(), rapid.Just[int64](math.MinInt64)).Draw(t, "minor"), currency)
	case "none":
		return money.Amount{}
	}
	huge := decimal.RequireFromString(rapid.StringMatching(`-?[1-9][0-9]{20,60}`).Draw(t, "huge"))
	decimals, _ := currency.Exponent()
	return money.Round(decimal.RequireFromString(huge.StringFixed(decimals)), currency) // with all its decimals, as events have it
}

func anyTime(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "no time") {
		return time.Time{}
	}
	at := time.Unix(rapid.Int64Range(-62_000_000_000, 250_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
	if east := rapid.SampledFrom([]int{0, 19_800, -3600}).Draw(t, "east"); east != 0 {
		return at.In(time.FixedZone("", east))
	}
	return at.UTC()
}

// samePayment compares all that is in a payment; times as what they say, since places have no identity.
func samePayment(a, b *Payment) bool {
	x, y := *a, *b
	if len(x.Disputes) != len(y.Disputes) || len(x.Refunds) != len(y.Refunds) {
		return false
	}
	pairs := [][2]*time.Time{{&x.CreatedAt, &y.CreatedAt}, {&x.UpdatedAt, &y.UpdatedAt}, {&x.ExpiresAt, &y.ExpiresAt}, {&x.SubmittedAt, &y.SubmittedAt}}
	x.Disputes = slices.Clone(x.Disputes)
	for i := range x.Disputes {
		pairs = append(pairs, [2]*time.Time{&x.Disputes[i].RespondBy, &y.Disputes[i].RespondBy}, [2]*time.Time{&x.Disputes[i].At, &y.Disputes[i].At})
	}
	x.Refunds = slices.Clone(x.Refunds)
	for i := range x.Refunds {
		pairs = append(pairs, [2]*time.Time{&x.Refunds[i].CreatedAt, &y.Refunds[i].CreatedAt}, [2]*time.Time{&x.Refunds[i].At, &y.Refunds[i].At})
	}
	for _, times := range pairs {
		if times[0].Format(time.RFC3339Nano) != times[1].Format(time.RFC3339Nano) {
			return false
		}
		*times[0] = *times[1]
	}
	return reflect.DeepEqual(x, y)
}
