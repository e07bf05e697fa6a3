package wallet_test

import (
	"slices"
	"testing"

	"github.com/khata-ledger/khata/domain/wallet"
)

func TestParseAccount(t *testing.T) {
	const m = "mer_000000000000anna"
	for _, c := range []struct {
		name   string
		kind   wallet.AccountKind
		owner  string
		typ    wallet.AccountType
		normal wallet.Side
	}{
		{wallet.AccountAvailable(m), wallet.MerchantAvailable, m, wallet.Liability, wallet.CreditSide},
		{wallet.AccountLocked(m), wallet.MerchantLocked, m, wallet.Liability, wallet.CreditSide},
		{wallet.AccountReceivable(m), wallet.MerchantReceivable, m, wallet.Asset, wallet.DebitSide},
		{wallet.AccountGatewayReceivable("sandbox"), wallet.GatewayReceivable, "sandbox", wallet.Asset, wallet.DebitSide},
		{wallet.AccountFloat("a:b"), wallet.GatewayFloat, "a:b", wallet.Asset, wallet.DebitSide},
		{wallet.AccountCommission, wallet.PlatformCommission, "", wallet.Income, wallet.CreditSide},
		{wallet.AccountTax, wallet.TaxGST, "", wallet.Liability, wallet.CreditSide},
		{wallet.AccountSuspense, wallet.Suspense, "", wallet.Liability, wallet.CreditSide},
		{wallet.AccountAdjustments, wallet.Adjustments, "", wallet.Asset, wallet.DebitSide},
	} {
		a, ok := wallet.ParseAccount(c.name)
		if !ok || a != (wallet.Account{Name: c.name, Kind: c.kind, Owner: c.owner}) {
			t.Errorf("%s is %+v, %v", c.name, a, ok)
		}
		if a.Kind.Type() != c.typ || a.Kind.Type().Normal() != c.normal || a.Kind.Description() == "" {
			t.Errorf("%s: %s, %s, %q", c.name, a.Kind.Type(), a.Kind.Type().Normal(), a.Kind.Description())
		}
		if !slices.Contains(wallet.Chart(), a.Kind) {
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
	if k := wallet.AccountKind("other"); k.Type() != "" || k.Type().Normal() != "" || k.Description() != "" {
		t.Error("an unknown kind is described")
	}
}

func TestChartHasNoKindTwice(t *testing.T) {
	kinds := slices.Sorted(slices.Values(wallet.Chart()))
	if len(slices.Compact(slices.Clone(kinds))) != len(kinds) {
		t.Errorf("the chart is %v", kinds)
	}
}
