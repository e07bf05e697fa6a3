package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
)

// This file holds what the platform decides about a merchant's batches: who must approve them, and that one stops.

type merchantSetApproval struct {
	merchantChange
	File   string `arg:"" help:"The rule, as JSON."`
	Reason string `help:"Why; it stays in the log for ever. The file can say it, too." placeholder:"TEXT"`
}

// Help shows a rule.
func (*merchantSetApproval) Help() string {
	return `A rule asks for 0, 1 or 2 checkers, each another key, by a batch's total with commission. Totals are plain decimals in the
major unit of the plan's currency; up_to is inclusive, and the last band has none. No bands: no approval is asked for.
The version is counted by the ledger. The rule that is set already changes nothing; any other one rejects the batches that
wait for approval under the one before.

  {
    "bands": [
      {"up_to": "100000.00", "checkers": 0},
      {"up_to": "1000000", "checkers": 1},
      {"checkers": 2}
    ],
    "reason": "a second pair of eyes above ten lakh"
  }`
}

// Run sets the rule.
func (c *merchantSetApproval) Run(ctx context.Context, t *terminal) error {
	text, err := readBounded(c.File, merchant.MaxApprovalBytes)
	if err != nil {
		return err
	}
	bands, reason, err := merchant.ParseApproval(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	name := "--reason"
	if c.Reason == "" {
		name = c.File + ": reason"
	}
	if reason = cmp.Or(c.Reason, reason); reason != "" {
		if err := checkText(name, reason, maxReason); err != nil {
			return err
		}
	}
	return c.apply(ctx, t, "merchant set-approval", func(of merchant.Of, _ merchant.Merchant) merchant.Command {
		return merchant.SetApproval{Of: of, Bands: bands, Reason: reason}
	})
}

type merchantCancelBatch struct {
	merchantChange
	reasonFlag
	Batch string `arg:"" help:"Batch."`
}

// Help says how it works.
func (*merchantCancelBatch) Help() string {
	return `This works on the log itself, so that a batch can be stopped while no server runs. Payouts that were made of it
already go on. Money that is held for the others is released by the server, at once or when it starts.`
}

// batchStopped is the answer of cancel-batch.
type batchStopped struct {
	Merchant string       `json:"merchant_id"`
	Batch    string       `json:"batch_id"`
	Ref      string       `json:"batch_ref"`
	Status   batch.Status `json:"status"`
	Total    int          `json:"total"` // items
	Actor    string       `json:"actor"` // who stopped it, now or before
	Reason   string       `json:"reason"`
}

// Run stops the batch. One that is stopped already stays as it is.
func (c *merchantCancelBatch) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	reason, err := c.why()
	if err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		m, err := l.Merchant(ctx, c.ID)
		if err != nil {
			return err
		}
		command := batch.Cancel{
			Base:   batch.Base{Of: batch.Of{Merchant: m.ID, Currency: m.Plan.Currency, Batch: c.Batch}, At: present(), Actor: actor},
			Reason: reason,
		}
		from, err := origin(actor, "merchant cancel-batch", command)
		if err != nil {
			return err
		}
		b, err := l.SubmitBatch(ctx, command, from)
		if err != nil {
			return err
		}
		return t.answer(batchStopped{m.ID, b.Batch, b.Ref, b.Status, b.Count, b.Decided, b.Reason})
	})
}
