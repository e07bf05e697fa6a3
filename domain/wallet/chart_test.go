package wallet_test

import (
	"slices"
	"testing"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/wallet"
)

func TestParseAccount(t *testing.T) {
	const m = "mer_000000000000anna"
	for _, c := range []struct {
		name   string
		kind   books.Kind
		owner  string
		typ    books.Type
		normal books.Side
	}{
		{wallet.AccountAvailable(m), books.MerchantAvailable, m, books.Liability, books.CreditSide},
		{wallet.AccountLocked(m), books.MerchantLocked, m, books.Liability, books.CreditSide},
		{wallet.AccountReceivable(m), books.MerchantReceivable, m, books.Asset, books.DebitSide},
		{wallet.AccountGatewayReceivable("sandbox"), books.GatewayReceivable, "sandbox", books.Asset, books.DebitSide},
		{wallet.AccountFloat("a:b"), books.GatewayFloat, "a:b", books.Asset, books.DebitSide},
		{wallet.AccountCommission, books.PlatformCommission, "", books.Income, books.CreditSide},
		{wallet.AccountTax, books.TaxGST, "", books.Liability, books.CreditSide},
		{wallet.AccountSuspense, books.Suspense, "", books.Liability, books.CreditSide},
		{wallet.AccountAdjustments, books.Adjustments, "", books.Asset, books.DebitSide},
	} {
		a, ok := wallet.ParseAccount(c.name)
		if !ok || a != (wallet.Account{Name: c.name, Kind: c.kind, Owner: c.owner}) {
			t.Errorf("%s is %+v, %v", c.name, a, ok)
		}
		if a.Kind.Type() != c.typ || a.Kind.Type().Normal() != c.normal || a.Kind.Description() == "" {
			t.Errorf("%s: %s, %s, %q", c.name, a.Kind.Type(), a.Kind.Type().Normal(), a.Kind.Description())
		}
		if !slices.Contains(books.Chart(), a.Kind) {
			t.Errorf("%s is not in the chart", a.Kind)
		}
	}
}

func TestNoAccount(t *testing.T) {
	for _, name := range []string{
		"", ":", "merchant", "merchant:", "merchant:available", "merchant::available", "merchant:mer_x:float", "merchant:mer_x:", "gateway:x:available",
		"gateway:float", "platform:tax", "Suspense", "other:x:available",
	} {
		if a, ok := wallet.ParseAccount(name); ok {
			t.Errorf("%q was taken for %+v", name, a)
		}
	}
	if k := books.Kind("other"); k.Type() != "" || k.Type().Normal() != "" || k.Description() != "" {
		t.Error("an unknown kind is described")
	}
}

func TestChartHasNoKindTwice(t *testing.T) {
	kinds := slices.Sorted(slices.Values(books.Chart()))
	if len(slices.Compact(slices.Clone(kinds))) != len(kinds) {
		t.Errorf("the chart is %v", kinds)
	}
}
