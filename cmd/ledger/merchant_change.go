package main

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
)

// merchantChange is what the commands share that change one merchant.
type merchantChange struct {
	storeFlags
	actorFlag
	ID string `arg:"" help:"Merchant."`
}

// apply carries out the command that f makes, and prints the merchant after it.
func (c *merchantChange) apply(ctx context.Context, t *terminal, name string, f func(of merchant.Of, now merchant.Merchant) merchant.Command) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		m, err := l.Merchant(ctx, c.ID)
		if err != nil {
			return err
		}
		m, err = submitMerchant(ctx, l, actor, name, f(merchant.Of{Merchant: c.ID, Actor: actor}, m))
		if err != nil {
			return err
		}
		return t.answer(merchantView(m, present()))
	})
}

type merchantAddKey struct {
	merchantChange
	Role merchant.Role `enum:"full,maker,checker" default:"full" help:"What the key may do: full, maker, checker."`
}

// Help says what the roles are.
func (*merchantAddKey) Help() string {
	return `The roles of keys:

  full     everything: single payouts, too, and approving batches that another key has submitted
  maker    reads, creates payins, submits and cancels batches; no single payouts. A batch of a maker always needs a checker
  checker  reads, approves, rejects and cancels batches; creates nothing

No key approves what it has submitted itself, whatever its role. Callbacks are signed with the newest key of role full.`
}

// keyAdded is the answer of add-key and rotate-key.
type keyAdded struct {
	Merchant string        `json:"merchant_id"`
	APIKey   string        `json:"api_key"` // shown this once
	KeyID    string        `json:"key_id"`
	Role     merchant.Role `json:"role"`
	OldUntil *time.Time    `json:"old_keys_until,omitempty"` // of rotate-key: when the others end
}

// Run adds a key.
func (c *merchantAddKey) Run(ctx context.Context, t *terminal) error {
	return c.addKey(ctx, t, "merchant add-key", c.Role, nil)
}

// addKey adds a key; with an overlap it takes the place of all others of the role when that is over.
func (c *merchantChange) addKey(ctx context.Context, t *terminal, name string, role merchant.Role, overlap *time.Duration) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		if _, err := l.Merchant(ctx, c.ID); err != nil {
			return err
		}
		at := present()
		key, text, err := s.newKey(ctx, role, at)
		if err != nil {
			return err
		}
		command := merchant.AddKey{Of: merchant.Of{Merchant: c.ID, Actor: actor}, Key: key}
		out := keyAdded{Merchant: c.ID, APIKey: text, KeyID: key.ID, Role: role}
		if overlap != nil {
			command.Replaces, command.Until = "*", at.Add(*overlap)
			out.OldUntil = &command.Until
		}
		if _, err := submitMerchant(ctx, l, actor, name, command); err != nil {
			return err
		}
		return t.answer(out)
	})
}

type merchantRotateKey struct {
	merchantChange
	Overlap time.Duration `default:"24h" help:"How long the keys that are there work on."`
	Role    merchant.Role `enum:"full,maker,checker" default:"full" help:"Which keys are replaced: full, maker, checker."`
}

// maxOverlap bounds how long an old key lives on.
const maxOverlap = 90 * 24 * time.Hour

// Run rotates the keys of a role.
func (c *merchantRotateKey) Run(ctx context.Context, t *terminal) error {
	if c.Overlap < 0 || c.Overlap > maxOverlap {
		return usagef("--overlap must be from 0 to %s", maxOverlap)
	}
	return c.addKey(ctx, t, "merchant rotate-key", c.Role, &c.Overlap)
}

type merchantRevokeKey struct {
	merchantChange
	KeyID string `arg:"" help:"Key."`
}

// Run revokes a key.
func (c *merchantRevokeKey) Run(ctx context.Context, t *terminal) error {
	return c.apply(ctx, t, "merchant revoke-key", func(of merchant.Of, _ merchant.Merchant) merchant.Command {
		return merchant.RevokeKey{Of: of, KeyID: c.KeyID}
	})
}

type merchantAllowIP struct {
	merchantChange
	CIDR string `arg:"" help:"Address or range."`
}

// Run allows a range.
func (c *merchantAllowIP) Run(ctx context.Context, t *terminal) error {
	prefix, err := parsePrefix(c.CIDR)
	if err != nil {
		return err
	}
	return c.apply(ctx, t, "merchant allow-ip", func(of merchant.Of, _ merchant.Merchant) merchant.Command {
		return merchant.AllowIP{Of: of, Prefix: prefix}
	})
}

type merchantSetCallback struct {
	merchantChange
	callbackAllowFlag
	URL          string `arg:"" help:"Where callbacks go; '' ends them."`
	BatchUpdates *bool  `negatable:"" help:"Callbacks about batches themselves (batch.updated), beside those about each payout of them. It stays as it is unless given; on at first."`
	Dialect      string `enum:",stable,php,node,raw" default:"" help:"Over which bytes callbacks are signed: stable satisfies every verifier; php, node and raw what that platform re-encodes. It stays as it is unless given."`
}

// Run sets the callback; an empty URL ends callbacks.
func (c *merchantSetCallback) Run(ctx context.Context, t *terminal) error {
	if c.URL != "" {
		if err := c.check("URL", c.URL); err != nil {
			return err
		}
	}
	return c.apply(ctx, t, "merchant set-callback", func(of merchant.Of, now merchant.Merchant) merchant.Command {
		command := merchant.SetCallback{Of: of, URL: c.URL, Dialect: merchant.Dialect(c.Dialect), BatchQuiet: now.BatchQuiet}
		if c.BatchUpdates != nil {
			command.BatchQuiet = !*c.BatchUpdates
		}
		switch c.Dialect {
		case "":
			command.Dialect = now.Dialect
		case "stable":
			command.Dialect = merchant.Stable
		}
		return command
	})
}

type merchantSetPlan struct {
	merchantChange
	File string `arg:"" help:"The plan, as JSON."`
}

// Help shows a plan.
func (*merchantSetPlan) Help() string {
	return `A plan prices payins and payouts and bounds their amounts. Percentages and amounts are plain decimals, in the currency's
major unit; min and max are inclusive. The version is counted by the ledger; payments keep the version that priced them.

  {
    "id": "standard",
    "currency": "INR",
    "payin": {
      "min": "300",
      "commission": {"percent": "1", "floor": "3", "cap": "250"},
      "gst": {"rate": "18", "included": true}
    },
    "payout": {
      "min": "1000", "max": "200000",
      "commission": {"slabs": [{"up_to": "25000", "flat": "5"}, {"up_to": "100000", "flat": "10"}, {"percent": "0.02"}]},
      "gst": {"rate": "18"}
    }
  }`
}

// Run sets the plan.
func (c *merchantSetPlan) Run(ctx context.Context, t *terminal) error {
	plan, err := readPlan(c.File)
	if err != nil {
		return err
	}
	return c.apply(ctx, t, "merchant set-plan", func(of merchant.Of, _ merchant.Merchant) merchant.Command {
		return merchant.SetPlan{Of: of, Plan: plan}
	})
}

type merchantSuspend struct {
	merchantChange
	Reason string `default:"suspended" help:"Why; it stays in the log for ever." placeholder:"TEXT"`
}

// Run suspends.
func (c *merchantSuspend) Run(ctx context.Context, t *terminal) error {
	if err := checkText("--reason", c.Reason, maxReason); err != nil {
		return err
	}
	return c.apply(ctx, t, "merchant suspend", func(of merchant.Of, _ merchant.Merchant) merchant.Command {
		return merchant.Suspend{Of: of, Reason: c.Reason}
	})
}

type merchantResume struct {
	merchantChange
	Reason string `default:"resumed" help:"Why; it stays in the log for ever." placeholder:"TEXT"`
}

// Run resumes.
func (c *merchantResume) Run(ctx context.Context, t *terminal) error {
	if err := checkText("--reason", c.Reason, maxReason); err != nil {
		return err
	}
	return c.apply(ctx, t, "merchant resume", func(of merchant.Of, _ merchant.Merchant) merchant.Command {
		return merchant.Resume{Of: of, Reason: c.Reason}
	})
}

// notFound is the answer for an id that nothing has.
func notFound(what, id string) error {
	return domain.Errorf(domain.NotFound, "there is no %s %s", what, id)
}
