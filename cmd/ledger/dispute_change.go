package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// disputeChanged is the answer of a command that changes a dispute.
type disputeChanged struct {
	ops.Dispute
	Balance string `json:"balance"`
	Locked  string `json:"locked_balance"`
	Owed    string `json:"owed"`
}

// disputing opens the ledger with the desk.
func disputing(ctx context.Context, flags *storeFlags, t *terminal, f func(disputeDesk) error) error {
	return deciding(ctx, flags, t, func(s *stores, l *ledger.Ledger) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		return f(disputeDesk{views, l})
	})
}

// submit carries a command out, and answers with the dispute and the wallet after it.
func (d disputeDesk) submit(ctx context.Context, t *terminal, c wallet.Command, id string, entry *projections.DisputeEntry, o eventstore.Origin) error {
	p, w, err := d.Submit(ctx, c, o)
	if err != nil {
		return err
	}
	shown, err := ops.DisputeOf(&p, id, entry, c.Effective())
	if err != nil {
		return err
	}
	return t.answer(disputeChanged{shown, w.Available.Fixed(), w.Locked.Fixed(), w.Owed.Fixed()})
}

// deadline is when something must have been responded to.
type deadline time.Time

// UnmarshalText reads a time, or a day.
func (d *deadline) UnmarshalText(text []byte) error {
	at, err := ops.ParseDeadline(string(text))
	*d = deadline(at)
	return err
}

// phaseFlag says how far a dispute has come.
type phaseFlag struct {
	Phase string `required:"" enum:"fraud,retrieval,chargeback,pre_arbitration,arbitration" help:"How far the customer's bank has taken it: fraud, retrieval, chargeback, pre_arbitration, arbitration."`
}

type disputeOpen struct {
	storeFlags
	actorFlag
	reasonFlag
	phaseFlag
	Transaction string   `arg:"" help:"Transaction id of the payin that is disputed."`
	RespondBy   deadline `required:"" help:"When the evidence must be with the gateway: a day (its end in India) or a time (RFC 3339)." placeholder:"TIME"`
	Amount      string   `help:"What is claimed; without it, all that was paid." placeholder:"AMOUNT"`
	Case        string   `help:"The gateway's own id of the dispute." placeholder:"ID"`
	Payment     string   `help:"The gateway's own id of the payment that is claimed back; without it, the one that the payin succeeded by." placeholder:"ID"`
	Hold        bool     `negatable:"" default:"true" help:"Hold the claim in the wallet; an inquiry (fraud, retrieval) need not be."`
}

// Run opens.
func (c *disputeOpen) Run(ctx context.Context, t *terminal) error {
	actor, reason, err := c.signed()
	if err != nil {
		return err
	}
	from, err := origin(actor, "dispute open", map[string]string{
		"transaction": c.Transaction, "phase": c.Phase, "amount": c.Amount, "case": c.Case, "payment": c.Payment, "respond_by": time.Time(c.RespondBy).Format(time.RFC3339), "reason": reason,
	})
	if err != nil {
		return err
	}
	return disputing(ctx, &c.storeFlags, t, func(d disputeDesk) error {
		p, err := d.Payin(ctx, c.Transaction)
		if err != nil {
			return err
		}
		amount, err := amountOr("--amount", c.Amount, p.Amount)
		if err != nil {
			return err
		}
		command := wallet.OpenDispute{
			Base: wallet.Base{Of: p.Of, At: present()}, Dispute: d.NewID(), Case: c.Case, PaymentID: c.Payment, Phase: wallet.Phase(c.Phase), Reason: reason, Amount: amount,
			RespondBy: time.Time(c.RespondBy), Unheld: !c.Hold, Actor: actor,
		}
		return d.submit(ctx, t, command, command.Dispute, nil, from)
	})
}

// signed is who does it, and why.
func (c *disputeOpen) signed() (actor, reason string, err error) {
	if actor, err = c.who(); err == nil {
		reason, err = c.why()
	}
	return actor, reason, err
}

// amountOr is a positive amount, or what is meant without one.
func amountOr(flag, text string, preset money.Amount) (money.Amount, error) {
	if text == "" {
		return preset, nil
	}
	a, err := money.Parse(text, preset.Currency())
	if err != nil {
		return a, usagef("%s: %v", flag, err)
	}
	return a, nil
}

// disputeStep is what commands about a dispute share.
type disputeStep struct {
	storeFlags
	actorFlag
	ID string `arg:"" help:"Dispute (dsp_...)."`
}

// step finds the dispute, and carries out the command that is made of it.
func (c *disputeStep) step(ctx context.Context, t *terminal, name string, arguments map[string]string, build func(base wallet.Base, d *projections.DisputeEntry, actor string) (wallet.Command, error), documents ...eventstore.Evidence) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	arguments["dispute"] = c.ID
	from, err := origin(actor, "dispute "+name, arguments)
	if err != nil {
		return err
	}
	from.Evidence = append(from.Evidence, documents...)
	return disputing(ctx, &c.storeFlags, t, func(desk disputeDesk) error {
		d, err := desk.Dispute(ctx, c.ID)
		if err != nil {
			return err
		}
		command, err := build(wallet.Base{Of: d.Of, At: present()}, &d, actor)
		if err != nil {
			return err
		}
		return desk.submit(ctx, t, command, c.ID, &d, from)
	})
}

type disputeEscalate struct {
	disputeStep
	reasonFlag
	phaseFlag
	Amount    string   `help:"What is claimed from now on; without it, what was claimed." placeholder:"AMOUNT"`
	RespondBy deadline `required:"" help:"When the evidence must be with the gateway: a day (its end in India) or a time (RFC 3339)." placeholder:"TIME"`
}

// Run escalates.
func (c *disputeEscalate) Run(ctx context.Context, t *terminal) error {
	reason, err := c.why()
	if err != nil {
		return err
	}
	arguments := map[string]string{
		"phase": c.Phase, "amount": c.Amount, "reason": reason, "respond_by": time.Time(c.RespondBy).Format(time.RFC3339),
	}
	return c.step(ctx, t, "escalate", arguments, func(base wallet.Base, d *projections.DisputeEntry, actor string) (wallet.Command, error) {
		amount, err := amountOr("--amount", c.Amount, d.Amount)
		return wallet.EscalateDispute{
			Base: base, Dispute: d.ID, Phase: wallet.Phase(c.Phase), Reason: reason, Amount: amount, RespondBy: time.Time(c.RespondBy), Actor: actor,
		}, err
	})
}

type disputeEvidence struct {
	disputeStep
	Kind      string `required:"" enum:"billing_proof,proof_of_service,shipping_proof,customer_communication,refund_confirmation,cancellation_proof,access_log,terms,explanation_letter,other" help:"What the document is: ${enum}."`
	File      string `help:"The document; kept sealed, byte for byte." placeholder:"FILE"`
	Note      string `help:"What is said of it; stays in the log for ever." placeholder:"TEXT"`
	Submitted bool   `help:"The evidence is complete, and with the gateway: the dispute is under review."`
}

// Run attaches.
func (c *disputeEvidence) Run(ctx context.Context, t *terminal) error {
	var documents []eventstore.Evidence
	digest, size := "", 0
	switch {
	case c.File != "":
		body, err := readBounded(c.File, ops.MaxDocument)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usagef("--file: %s is empty", c.File)
		}
		sum := sha256.Sum256(body)
		digest, size = hex.EncodeToString(sum[:]), len(body)
		documents = append(documents, eventstore.Evidence{MediaType: http.DetectContentType(body), Body: body})
	case c.Note == "":
		return usagef("--file or --note must be given")
	}
	if c.Note != "" {
		if err := checkText("--note", c.Note, maxReason); err != nil {
			return err
		}
	}
	return c.step(ctx, t, "evidence", map[string]string{"kind": c.Kind, "file": c.File, "note": c.Note},
		func(base wallet.Base, d *projections.DisputeEntry, actor string) (wallet.Command, error) {
			return wallet.AttachEvidence{Base: base, Dispute: d.ID, Kind: c.Kind, Digest: digest, Size: size, Note: c.Note, Submitted: c.Submitted, Actor: actor}, nil
		}, documents...)
}

// disputeEnd is what the commands that end a dispute share.
type disputeEnd struct {
	disputeStep
	reasonFlag
}

// disputeCost is what ends that move money to or from the gateway share.
type disputeCost struct {
	Amount string `help:"What changes hands; without it, all of it." placeholder:"AMOUNT"`
	Fee    string `help:"The gateway's fee: charged with a loss (none without it), or given back (all of it)." placeholder:"AMOUNT"`
}

func (c *disputeEnd) settle(ctx context.Context, t *terminal, name string, outcome wallet.Settlement, cost disputeCost) error {
	reason, err := c.why()
	if err != nil {
		return err
	}
	arguments := map[string]string{"reason": reason, "amount": cost.Amount, "fee": cost.Fee}
	return c.step(ctx, t, name, arguments, func(base wallet.Base, d *projections.DisputeEntry, actor string) (wallet.Command, error) {
		whole, fee := d.Amount, money.Zero(d.Of.Currency)
		if outcome == wallet.SettleReversed {
			whole, fee = d.Lost, d.Fee
		}
		amount, wrong := amountOr("--amount", cost.Amount, whole)
		fee, wrongFee := amountOr("--fee", cost.Fee, fee)
		return wallet.SettleDispute{Base: base, Dispute: d.ID, Outcome: outcome, Amount: amount, Fee: fee, Reason: reason, Actor: actor}, errors.Join(wrong, wrongFee)
	})
}

type disputeWin struct{ disputeEnd }

// Run settles.
func (c *disputeWin) Run(ctx context.Context, t *terminal) error {
	return c.settle(ctx, t, "win", wallet.SettleWon, disputeCost{})
}

type disputeClose struct{ disputeEnd }

// Run settles.
func (c *disputeClose) Run(ctx context.Context, t *terminal) error {
	return c.settle(ctx, t, "close", wallet.SettleClosed, disputeCost{})
}

type disputeLose struct {
	disputeEnd
	disputeCost
}

// Run settles.
func (c *disputeLose) Run(ctx context.Context, t *terminal) error {
	return c.settle(ctx, t, "lose", wallet.SettleLost, c.disputeCost)
}

type disputeReverse struct {
	disputeEnd
	disputeCost
}

// Run settles.
func (c *disputeReverse) Run(ctx context.Context, t *terminal) error {
	return c.settle(ctx, t, "reverse", wallet.SettleReversed, c.disputeCost)
}
