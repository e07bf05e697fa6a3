package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// merchantCommand is `ledger merchant`.
type merchantCommand struct {
	Create      merchantCreate      `cmd:"" help:"Make a merchant and its first key, which is shown this once."`
	List        merchantList        `cmd:"" help:"List merchants."`
	Show        merchantShow        `cmd:"" help:"Show a merchant."`
	AddKey      merchantAddKey      `cmd:"" help:"Add a key, which is shown this once."`
	RotateKey   merchantRotateKey   `cmd:"" help:"Add a key in the place of those that are there, which work on for a while."`
	RevokeKey   merchantRevokeKey   `cmd:"" help:"End a key at once."`
	AllowIP     merchantAllowIP     `cmd:"" help:"Let a merchant call from an address range."`
	SetCallback merchantSetCallback `cmd:"" help:"Change where callbacks go."`
	SetPlan     merchantSetPlan     `cmd:"" help:"Change the fee plan."`
	SetApproval merchantSetApproval `cmd:"" help:"Change how many checkers a batch needs; what waits under the old rule is rejected."`
	CancelBatch merchantCancelBatch `cmd:"" help:"Stop a merchant's batch: what is not paid yet never will be."`
	Suspend     merchantSuspend     `cmd:"" help:"Stop a merchant's use of the API; money in flight goes on."`
	Resume      merchantResume      `cmd:"" help:"Undo suspend."`
}

// callbackAllowFlag is a setting of the server, too.
type callbackAllowFlag struct {
	CallbackAllow []string `help:"Private range that callbacks may go to; as for serve. Repeatable." placeholder:"CIDR"`
}

// check holds a callback URL, and a literal address in it, against the ranges. name is how the command line calls it.
func (f callbackAllowFlag) check(name, callbackURL string) error {
	allow, err := parsePrefixes("--callback-allow", f.CallbackAllow)
	if err != nil {
		return err
	}
	err = webhook.CheckLiteral(callbackURL, allow)
	switch {
	case errors.Is(err, webhook.ErrForbidden):
		return fmt.Errorf("%s: %w; --callback-allow, here and for serve, allows a range", name, err)
	case err != nil:
		return usagef("%s: %v", name, err)
	}
	return nil
}

type merchantCreate struct {
	storeFlags
	actorFlag
	callbackAllowFlag
	Name        string             `required:"" help:"Name, as the people of the platform know it."`
	Service     []merchant.Service `enum:"payin,payout" default:"payin,payout" help:"What the merchant may use: payin, payout. Repeatable; both unless given."`
	IP          []string           `help:"Address or range that the merchant calls from. Repeatable; without one it cannot call." placeholder:"CIDR"`
	CallbackURL string             `help:"Where callbacks go." placeholder:"URL"`
	Plan        string             `help:"File with the fee plan (JSON); see set-plan. Without it payin 1 %, payout flat 10." placeholder:"FILE"`
}

// created is the answer of `merchant create`.
type created struct {
	Merchant string `json:"merchant_id"`
	APIKey   string `json:"api_key"` // shown this once
	KeyID    string `json:"key_id"`
}

// Run makes the merchant.
func (c *merchantCreate) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	if err := checkText("--name", c.Name, 200); err != nil {
		return err
	}
	ips, err := parsePrefixes("--ip", c.IP)
	if err != nil {
		return err
	}
	if c.CallbackURL != "" {
		if err := c.check("--callback-url", c.CallbackURL); err != nil {
			return err
		}
	}
	plan := fee.Default()
	if c.Plan != "" {
		if plan, err = readPlan(c.Plan); err != nil {
			return err
		}
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		id, at := newID("mer_"), present()
		key, text, err := s.newKey(ctx, merchant.Full, at)
		if err != nil {
			return err
		}
		_, err = submitMerchant(ctx, l, actor, "merchant create", merchant.Create{
			Of: merchant.Of{Merchant: id, Actor: actor}, Name: c.Name, Services: c.Service, AllowedIPs: ips,
			CallbackURL: c.CallbackURL, Plan: plan, Key: key, At: at,
		})
		if err != nil {
			return err
		}
		return t.answer(created{id, text, key.ID})
	})
}

// newKey makes an API key. What signs callbacks with it is stored before any event names it: a key that could not sign
// would be of no use, a secret that no event names harms nothing. The key in clear is nowhere else.
func (s *stores) newKey(ctx context.Context, role merchant.Role, at time.Time) (key merchant.Key, text string, err error) {
	key, text = generateKey(role, at)
	midstates := vault.NewMidstates([]byte(text))
	return key, text, s.vault.PutSecret(ctx, webhook.SecretName(key.ID), midstates[:])
}

// generateKey makes an API key of 256 random bits.
func generateKey(role merchant.Role, at time.Time) (key merchant.Key, text string) {
	var secret [32]byte
	rand.Read(secret[:]) //nolint:errcheck // documented never to fail
	text = "klyro_" + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := sha256.Sum256([]byte(text))
	return merchant.Key{
		ID: newID("key_"), Hash: hex.EncodeToString(hash[:]), Last4: text[len(text)-4:], Role: role, CreatedAt: at,
	}, text
}

// submitMerchant carries out a command on a merchant.
func submitMerchant(ctx context.Context, l *ledger.Ledger, actor, name string, c merchant.Command) (merchant.Merchant, error) {
	from, err := origin(actor, name, c)
	if err != nil {
		return merchant.Merchant{}, err
	}
	return l.SubmitMerchant(ctx, c, from)
}

// parsePrefixes reads address ranges; a bare address is a range of one.
func parsePrefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range texts {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, usagef("%s: %v", flag, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, usagef("%q is not an address or a range", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, usagef("%q is not an address or a range", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, usagef("%q is an address within a range; write the range as %s", s, p.Masked())
	}
	return p, nil
}

// addressRange is an address range among the flags of the server.
type addressRange netip.Prefix

// UnmarshalText reads it as parsePrefix does.
func (r *addressRange) UnmarshalText(text []byte) error {
	p, err := parsePrefix(string(text))
	*r = addressRange(p)
	return err
}

func prefixes(ranges []addressRange) []netip.Prefix {
	out := make([]netip.Prefix, len(ranges))
	for i, r := range ranges {
		out[i] = netip.Prefix(r)
	}
	return out
}

// readPlan reads a merchant's fee plan.
func readPlan(path string) (fee.Plan, error) { return readPlanAs(path, fee.ParsePlan) }

// readPlanAs reads a fee plan by its form.
func readPlanAs(path string, parse func([]byte) (fee.Plan, error)) (fee.Plan, error) {
	text, err := readBounded(path, fee.MaxPlanBytes)
	if err != nil {
		return fee.Plan{}, err
	}
	plan, err := parse(text)
	if err != nil {
		return fee.Plan{}, fmt.Errorf("%s: %w", path, err)
	}
	return plan, nil
}
