package kspay

import (
	"errors"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

func TestPaymentType(t *testing.T) {
	for _, c := range []struct {
		asked, paidBy string
		want          merchant.Method
	}{
		{"UPI", "card", merchant.UPI}, {"", "", ""}, {"", "card", ""}, {"", "upi", merchant.UPI}, {"", "UPI", merchant.UPI}, {"", "netbanking", merchant.NetBanking}, {"", "NB", merchant.NetBanking},
		{"", "DC", merchant.DebitCard}, {"", "credit_card", merchant.CreditCard}, {"", "wallet", merchant.EWallet}, {"", "paylater", merchant.PayLater}, {"", "paypal", merchant.PayPal},
	} {
		if got := paymentType(&wallet.Checkout{Method: c.asked, PaidBy: c.paidBy}); got != string(c.want) {
			t.Errorf("%q, %q: %q, want %q", c.asked, c.paidBy, got, c.want)
		}
	}
}

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		status         wallet.Status
		order          string
		want, provider string
	}{
		{wallet.Pending, "", "PENDING", ""}, {wallet.Pending, "o", "PENDING", "CREATED"}, {wallet.Success, "o", "SUCCESS", "CAPTURED"}, {wallet.Failed, "o", "FAILED", "FAILED"},
		{wallet.Expired, "o", "EXPIRED", "CREATED"}, {wallet.Expired, "", "EXPIRED", ""},
	} {
		p := wallet.Payment{Status: c.status, Checkout: wallet.Checkout{Order: c.order}}
		if got, provider := statusOf(&p), providerStatus(&p); got != c.want || provider != c.provider {
			t.Errorf("%s, %q: %s, %q", c.status, c.order, got, provider)
		}
	}
}

// Rows take as many values as they have places, and the errors that hold them say which they are.
func TestFilling(t *testing.T) {
	if got := named("(top)/invalidCredentials").fill([]string{"payu", "INR"}); got != "Invalid credentials for gateway: payu for: INR" {
		t.Error(got)
	}
	if got := refuse("auth/tokenExpired").Error(); got != "auth/tokenExpired" {
		t.Error(got)
	}
	for e, word := range map[*OrderError]string{
		{Gateway: "payu", Err: errors.New("x")}:                    "refuses the order",
		{Gateway: "payu", Credentials: true, Err: errors.New("x")}: "does not accept the account",
		{Gateway: "payu", Unknown: true, Err: errors.New("x")}:     "has not said",
	} {
		if !strings.Contains(e.Error(), word) || errors.Unwrap(e) == nil {
			t.Errorf("%v lacks %q", e, word)
		}
	}
	for name, broken := range map[string]func(){
		"no such row":     func() { named("auth/other") },
		"too many values": func() { named("auth/tokenExpired").fill([]string{"x"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			broken()
		}()
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := randomID(transactionPrefix)
		if !merchant.ValidID(transactionPrefix, id) || seen[id] {
			t.Fatal(id)
		}
		seen[id] = true
	}
	for s, valid := range map[string]bool{"a": true, "A_-9": true, "": false, "a b": false, "é": false, strings.Repeat("r", 64): true, strings.Repeat("r", 65): false} {
		if validReference(s) != valid {
			t.Errorf("%q", s)
		}
	}
}
