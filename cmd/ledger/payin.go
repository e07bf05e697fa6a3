package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// payinCommand is `ledger payin`.
type payinCommand struct {
	Refund  payinRefund  `cmd:"" help:"Give a payin back to its customer, or a part of it, through the gateway that brought it."`
	Refunds payinRefunds `cmd:"" help:"List the refunds of a payin."`
	Resolve payinResolve `cmd:"" help:"Say what became of a refund that no gateway answers for, with evidence and a second person."`
}

// refundDesk is where refunds are read and begun.
type refundDesk struct{ disputeDesk }

// NewRefundID makes the id of a refund.
func (refundDesk) NewRefundID() string { return newID("rfd_") }

// refunding opens the ledger with the desk.
func refunding(ctx context.Context, flags *storeFlags, t *terminal, f func(refundDesk) error) error {
	return disputing(ctx, flags, t, func(d disputeDesk) error { return f(refundDesk{d}) })
}

type payinRefund struct {
	storeFlags
	actorFlag
	reasonFlag
	Transaction string `arg:"" help:"Transaction id or txn_ref of the payin."`
	Amount      string `help:"What the customer gets; without it, all that can be refunded." placeholder:"AMOUNT"`
	Reference   string `help:"Your own reference of the refund: asking again under it changes nothing." placeholder:"REF"`
}

// refundBegun is the answer of `payin refund`.
type refundBegun struct {
	ops.Refund
	Refundable string `json:"refundable"`
	Balance    string `json:"balance,omitempty"` // none in the answer to a repetition
	Locked     string `json:"locked_balance,omitempty"`
}

// Run begins a refund; a server sends it.
func (c *payinRefund) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	reason, err := c.why()
	if err != nil {
		return err
	}
	if c.Reference != "" {
		if err := checkText("--reference", c.Reference, wallet.MaxName); err != nil {
			return err
		}
	}
	from, err := origin(actor, "payin refund", map[string]string{
		"transaction": c.Transaction, "amount": c.Amount, "reference": c.Reference, "reason": reason,
	})
	if err != nil {
		return err
	}
	return refunding(ctx, &c.storeFlags, t, func(d refundDesk) error {
		p, err := d.Payin(ctx, c.Transaction)
		if err != nil {
			return err
		}
		command := wallet.RefundPayin{
			Base: wallet.Base{Of: p.Of, At: present()}, Refund: d.NewRefundID(), Reference: c.Reference, Reason: reason, Actor: actor,
		}
		if c.Amount != "" {
			if command.Amount, err = amountOr("--amount", c.Amount, money.Zero(p.Currency)); err != nil {
				return err
			}
		}
		return d.begin(ctx, t, &command, from)
	})
}

func (d refundDesk) begin(ctx context.Context, t *terminal, c *wallet.RefundPayin, from eventstore.Origin) error {
	p, w, err := d.Submit(ctx, *c, from)
	if ops.Repeated(err, c, "") {
		if p, err = d.Payin(ctx, c.Payment); err != nil {
			return err
		}
		made, err := ops.RefundAgain(&p, c)
		if err != nil {
			return err
		}
		return t.answer(refundBegun{Refund: ops.NewRefund(&p, &made), Refundable: p.Refundable().Fixed()})
	}
	if err != nil {
		return err
	}
	made, there := p.Refund(c.Refund)
	if !there {
		return fmt.Errorf("refund %s is not among those of payin %s", c.Refund, p.Of.Payment)
	}
	return t.answer(refundBegun{ops.NewRefund(&p, &made), p.Refundable().Fixed(), w.Available.Fixed(), w.Locked.Fixed()})
}

type payinRefunds struct {
	storeFlags
	Transaction string `arg:"" help:"Transaction id or txn_ref of the payin."`
	Format      string `enum:"table,json" default:"table" help:"table or json."`
}

// Run lists.
func (c *payinRefunds) Run(ctx context.Context, t *terminal) error {
	return refunding(ctx, &c.storeFlags, t, func(d refundDesk) error {
		p, err := d.Payin(ctx, c.Transaction)
		if err != nil {
			return err
		}
		found := ops.NewRefundsOf(&p)
		if c.Format == "json" {
			return t.answer(found)
		}
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "BEGUN\tREFUND\tSTATUS\tAMOUNT\tMERCHANT'S\tCOMMISSION\tTAX\tREFERENCE\tUTR\tREASON") //nolint:errcheck // Flush tells
		for i := range found.Refunds {
			r := &found.Refunds[i]
			status, reason := string(r.Status), r.Reason
			if r.Failure != "" && r.Status == wallet.RefundIsFailed {
				reason += " (" + r.Failure + ")"
			}
			if r.Late {
				status += ", after a failure"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.CreatedAt.Format(time.RFC3339), r.ID, status, r.Amount, r.Currency, //nolint:errcheck // Flush tells
				r.Net, r.Commission, r.Tax, r.Reference, r.UTR, reason)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		_, err = fmt.Fprintf(t.out, "%s %s of %s %s can be refunded.\n", found.Refundable, p.Currency, p.Amount.Fixed(), p.Currency)
		return err
	})
}

type payinResolve struct {
	storeFlags
	Transaction string `arg:"" help:"Transaction id or txn_ref of the payin."`
	Refund      string `arg:"" help:"The refund (rfd_..., or as payin refunds lists it)."`
	Outcome     string `required:"" enum:"paid,not-paid" help:"What the evidence shows: paid, not-paid."`
	UTR         string `help:"The bank's reference; required for paid."`
	Evidence    string `required:"" help:"File that proves it, such as the gateway's letter or statement; kept sealed, byte for byte." placeholder:"FILE"`
	Actor       string `required:"" help:"Who resolves it." placeholder:"NAME"`
	SecondActor string `required:"" help:"Who has checked it: another person." placeholder:"NAME"`
}

// Run resolves.
func (c *payinResolve) Run(ctx context.Context, t *terminal) error {
	usage := payoutResolve{Outcome: c.Outcome, UTR: c.UTR, Actor: c.Actor, SecondActor: c.SecondActor}
	if err := usage.check(); err != nil {
		return err
	}
	proof, err := readBounded(c.Evidence, maxEvidence)
	if err != nil {
		return err
	}
	if len(proof) == 0 {
		return usagef("--evidence: %s is empty", c.Evidence)
	}
	return refunding(ctx, &c.storeFlags, t, func(d refundDesk) error {
		p, err := d.Payin(ctx, c.Transaction)
		if err != nil {
			return err
		}
		r, there := p.Refund(c.Refund)
		switch {
		case !there:
			return notFound("refund", c.Refund)
		case r.Status != wallet.RefundPending && (r.Status != wallet.RefundIsFailed || c.Outcome != "paid"):
			return domain.Errorf(domain.Stale, "refund %s is %s: there is nothing to resolve", r.ID, r.Status)
		}
		digest := sha256.Sum256(proof)
		command := wallet.ReportRefund{
			Base: wallet.Base{Of: p.Of, At: present()}, Refund: r.ID, Outcome: wallet.OutcomePaid, UTR: c.UTR, Message: hex.EncodeToString(digest[:]),
			Actor: c.Actor + ", " + c.SecondActor,
		}
		if c.Outcome == "not-paid" {
			command.Outcome, command.Reason = wallet.OutcomeFailed, wallet.FailureNotPaid
		}
		from, err := origin(command.Actor, "payin resolve", map[string]string{
			"transaction": p.Of.Payment, "refund": r.ID, "outcome": c.Outcome, "utr": c.UTR, "evidence": c.Evidence,
		})
		if err != nil {
			return err
		}
		from.Evidence = append(from.Evidence, eventstore.Evidence{MediaType: http.DetectContentType(proof), Body: proof})
		after, w, err := d.Submit(ctx, command, from)
		var taken *executor.DuplicateError
		if errors.As(err, &taken) {
			return domain.Errorf(domain.Stale, "--evidence: %s was the evidence of record %s about this refund already", c.Evidence, taken.Position)
		}
		if err != nil {
			return err
		}
		ended, _ := after.Refund(r.ID)
		return t.answer(refundBegun{ops.NewRefund(&after, &ended), after.Refundable().Fixed(), w.Available.Fixed(), w.Locked.Fixed()})
	})
}
