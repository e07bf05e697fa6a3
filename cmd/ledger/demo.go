package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// The demo merchant is the same at every start. Its key is kept in the vault, which no other merchant's is, so that it
// can be shown again.
const (
	demoMerchant = "mer_demo000000000000"
	demoSecret   = "demo/api-key"
	demoWithin   = time.Minute
)

// demo makes the demo merchant and prints what to paste. The server works without it, so that a failure is only logged.
func (s *server) demo(ctx context.Context, t *terminal, base string) {
	ctx, cancel := context.WithTimeout(ctx, demoWithin)
	defer cancel()
	key, err := s.demoKey(ctx)
	if err == nil {
		_, err = io.WriteString(t.out, demoLines(base, s.cfg.SandboxURL, key))
	}
	if err != nil {
		s.logger.Error("the demo merchant could not be made", "error", err)
	}
	lines, err := s.demoKSPay(ctx, base)
	if err == nil {
		_, err = io.WriteString(t.out, lines)
	}
	if err != nil {
		s.logger.Error("the demo app could not be made", "error", err)
	}
}

func (s *server) demoKey(ctx context.Context) (string, error) {
	if _, err := s.ledger.Merchant(ctx, demoMerchant); err == nil {
		stored, err := s.stores.vault.Secret(ctx, demoSecret)
		return string(stored), err
	} else if domain.CodeOf(err) != domain.NotFound {
		return "", err
	}
	key, text, err := s.stores.newKey(ctx, merchant.Full, time.Now())
	if err != nil {
		return "", err
	}
	// Before the merchant: a key that cannot be shown again would be worse than a secret without a merchant.
	if err := s.stores.vault.PutSecret(ctx, demoSecret, []byte(text)); err != nil {
		return "", err
	}
	create := merchant.Create{
		Of: merchant.Of{Merchant: demoMerchant, Actor: "system:demo"}, Name: "Demo merchant",
		Services:   []merchant.Service{merchant.Payin, merchant.Payout},
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		Plan:       fee.Default(), Key: key, At: time.Now(),
	}
	from, err := origin("system:demo", "serve --demo", create)
	if err != nil {
		return "", err
	}
	_, err = s.ledger.SubmitMerchant(ctx, create, from)
	if domain.CodeOf(err) == domain.Stale || domain.CodeOf(err) == domain.Duplicate { // another process was faster
		stored, err := s.stores.vault.Secret(ctx, demoSecret)
		if errors.Is(err, vault.ErrNotFound) {
			return "", errors.New("the demo merchant exists, and its key was not kept")
		}
		return string(stored), err
	}
	return text, err
}

// demoLines are what to paste, for a server at base. bank is where the sandbox bank runs when that is another process.
func demoLines(base, bank, key string) string {
	return fmt.Sprintf(demoText, base, demoMerchant, key, cmp.Or(strings.TrimRight(bank, "/"), base))
}

const demoText = `
The ledger is running at %[1]s, and its API reference at %[1]s/docs

  demo merchant  %[2]s
  API key        %[3]s

Paste these lines into another terminal. They collect a payment, pay it as the customer would, and pay a bank account:

export KEY=%[3]s
INTENT=$(curl -sw '\n' %[1]s/api/v1/payin/create -H "X-Api-Key: $KEY" -H 'Content-Type: application/json' -d '{"amount":5000,"customer_phone":"9876543210","customer_name":"Rahul Sharma"}' | tee /dev/stderr | sed 's/.*"intent_url":"\([^"]*\)".*/\1/')
curl -sw '\n' %[4]s/sandbox/upi/pay -H 'Content-Type: application/json' -d "{\"intent_url\":\"$INTENT\",\"outcome\":\"success\"}"
curl -sw '\n' %[1]s/api/v1/wallet/balance -H "X-Api-Key: $KEY"
curl -sw '\n' %[1]s/api/v1/services/payout/process -H "X-Api-Key: $KEY" -H 'Content-Type: application/json' -d '{"mobile_no":"9876543210","beneficiary_name":"Rahul Sharma","account_no":"1234567890","ifsc":"SBIN0001234","bank_name":"State Bank of India","amount":1000,"transfer_type":"5"}'
curl -sw '\n' %[1]s/api/v1/wallet/balance -H "X-Api-Key: $KEY"

Stop with Ctrl-C.
`
