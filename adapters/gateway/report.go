package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// Ledger is what this package needs of the ledger.
type Ledger interface {
	// Submit carries out a command and returns the payment after it, once that is durable. Errors: *domain.Error,
	// *executor.DuplicateError, and the executor's errors, which mean "try again".
	Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error)
	// Payment is a payment as the log has it now. domain.NotFound when there is none of that merchant.
	Payment(ctx context.Context, merchantID, id string) (wallet.Payment, error)
	// Record is the record at a position: what a *executor.DuplicateError stands on.
	Record(ctx context.Context, p eventstore.Position) (eventstore.Record, error)
}

// reporter brings what gateways say into the ledger, with the raw message as evidence.
type reporter struct {
	ledger Ledger
	clock  func() time.Time
	jitter func(limit time.Duration) time.Duration // see Options
	count  Counter
	log    *slog.Logger
}

// payout reports a definite answer. The answer may have been reported before: then nothing happens.
func (r *reporter) payout(ctx context.Context, p wallet.Payment, gateway, request string, a Answer) error {
	outcome := map[State]wallet.Outcome{
		Paid: wallet.OutcomePaid, Failed: wallet.OutcomeFailed, Returned: wallet.OutcomeReturned,
	}[a.State]
	c := wallet.ReportPayout{
		Base:    wallet.Base{Of: p.Of, At: r.valueDate(p, a.At)},
		Gateway: gateway, Outcome: outcome, UTR: a.UTR, BankReference: a.BankReference, Message: digest(a.Body),
	}
	switch a.State {
	case Failed:
		c.Reason = a.Reason
	case Returned:
		c.Reason, c.ReturnReference = a.Reason, a.ReturnReference
	default:
	}
	return r.submit(ctx, p, c, gateway, request, a.Raw)
}

// payment reports what became of a customer's payment for a payin. It is known by the first of the raw messages that say so.
func (r *reporter) payment(ctx context.Context, p wallet.Payment, gateway, request string, pay Payment, raw ...Raw) error {
	base := wallet.Base{Of: p.Of, At: r.valueDate(p, pay.At)}
	if !pay.Paid {
		return r.submit(ctx, p, wallet.ReportPayinFailure{
			Base: base, Gateway: gateway, PaymentID: pay.PaymentID, Reason: pay.Reason, Message: digest(raw[0].Body),
		}, gateway, request, raw...)
	}
	if pay.Currency != "" && money.Currency(pay.Currency) != p.Currency {
		return r.note(ctx, p, gateway, request, "payment "+pay.PaymentID+" is in "+pay.Currency, raw...)
	}
	amount, err := money.Parse(pay.Amount, p.Currency)
	if err != nil {
		return fmt.Errorf("%w: amount of payment %s: %w", ErrMalformed, pay.PaymentID, err)
	}
	return r.submit(ctx, p, wallet.ReportPayment{
		Base: base, Gateway: gateway, Config: p.Checkout.Config, PaymentID: pay.PaymentID, Amount: amount, UTR: pay.UTR,
		Method: pay.Method, SubMethod: pay.SubMethod, Suspense: newID("sus_"),
	}, gateway, request, raw...)
}

// note keeps a statement about a payin that cannot be booked, for a person to look at.
func (r *reporter) note(ctx context.Context, p wallet.Payment, gateway, request, claim string, raw ...Raw) error {
	return r.submit(ctx, p, wallet.NotePayin{
		Base: wallet.Base{Of: p.Of, At: r.valueDate(p, time.Time{})}, Gateway: gateway, Claim: claim, Anomaly: true, Message: digest(raw[0].Body),
	}, gateway, request, raw...)
}

// dispute reports what a gateway says of a claim on a payin. It is known by the first of the raw messages that say so.
func (r *reporter) dispute(ctx context.Context, p wallet.Payment, gateway, request string, d Dispute, raw ...Raw) error {
	amount, err := money.Parse(d.Amount, p.Currency)
	if err != nil {
		return fmt.Errorf("%w: amount of dispute %s: %w", ErrMalformed, d.Case, err)
	}
	fee := money.Zero(p.Currency)
	if d.Fee != "" {
		if fee, err = money.Parse(d.Fee, p.Currency); err != nil {
			return fmt.Errorf("%w: fee of dispute %s: %w", ErrMalformed, d.Case, err)
		}
	}
	at := later(r.valueDate(p, d.At), p.UpdatedAt)
	for i := range p.Disputes { // what ends a dispute is not dated before what began it: locked would be below zero in between
		at = later(at, p.Disputes[i].At)
	}
	return r.submit(ctx, p, wallet.ReportDispute{
		Base: wallet.Base{Of: p.Of, At: at}, Gateway: gateway, Case: d.Case, PaymentID: d.PaymentID, Dispute: newID("dsp_"), Phase: wallet.Phase(d.Phase),
		Reason: d.Reason, Status: d.Status, Amount: amount, Fee: fee, RespondBy: d.RespondBy, Unheld: d.Inquiry, Hearsay: d.Hearsay,
		Message: digest(raw[0].Body),
	}, gateway, request, raw...)
}

// submit carries the command out; that its dedupe key is taken means that the statement is in the log already.
func (r *reporter) submit(ctx context.Context, before wallet.Payment, c wallet.Command, gateway, request string, raw ...Raw) error {
	var evidence []eventstore.Evidence
	for _, said := range raw {
		evidence = append(evidence, eventstore.Evidence{MediaType: mediaType(said.MediaType), Body: said.Body})
	}
	after, err := r.ledger.Submit(ctx, c, eventstore.Origin{
		Actor: "gateway:" + gateway, Request: request, Evidence: evidence,
	})
	if err == nil && after.Kind == wallet.KindPayin && after.Anomalies > before.Anomalies { // those of payouts are counted as the log tells them
		r.count.count(gateway, CountAnomaly)
		r.log.Error("a gateway contradicts what is known", "gateway", gateway, "message", request, "payment", after.Of.Payment)
	}
	var taken *executor.DuplicateError
	if !errors.As(err, &taken) {
		return err
	}
	if pay, ok := c.(wallet.ReportPayment); ok {
		return r.repeats(ctx, pay, taken.Position)
	}
	return nil // its key is made of the very message
}

// repeats compares a payment with what its id stands for in the log. One that says something else, of another payin or
// amount, cannot be recorded under that id: domain.Stale, for a person to look at.
func (r *reporter) repeats(ctx context.Context, c wallet.ReportPayment, at eventstore.Position) error {
	record, err := r.ledger.Record(ctx, at)
	if err != nil {
		return fmt.Errorf("reading what payment %s stands for: %w", c.PaymentID, err)
	}
	known, err := wallet.Decode(record.Type, record.Schema, record.Data)
	if err != nil {
		return fmt.Errorf("reading what payment %s stands for: record %s: %w", c.PaymentID, at, err)
	}
	var amount money.Amount
	switch e := known.(type) {
	case *wallet.PayinSucceeded:
		amount = e.Amount
	case *wallet.PayinSuspended:
		amount = e.Amount
	}
	if known.Header().Payment != c.Payment || !amount.Equal(c.Amount) {
		return domain.Errorf(domain.Stale, "payment %s is known as %s for payin %s, and reported as %s for %s",
			c.PaymentID, amount, known.Header().Payment, c.Amount, c.Payment)
	}
	return nil
}

// valueDate is the gateway's date, or ours when it gave none; never before the payment was made nor after now, since
// clocks differ and a balance as of a time must not show money that was not there.
func (r *reporter) valueDate(p wallet.Payment, at time.Time) time.Time {
	now := r.clock()
	if at.IsZero() || at.After(now) {
		at = now
	}
	return eventstore.Micros(later(at, p.CreatedAt))
}

// refusal tells a refusal by the rules, which will be the same next time, from a fault.
func refusal(err error) bool { return domain.CodeOf(err) != "" || errors.Is(err, ErrMalformed) }

func digest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// mediaType makes what a gateway named fit for the log.
func mediaType(s string) string {
	if s == "" || len(s) > eventstore.MaxNameBytes || !eventstore.ValidText(s) {
		return "application/octet-stream"
	}
	return s
}

// newID makes an id: a prefix of four characters and 16 of a-z0-9.
func newID(prefix string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	out := []byte(prefix)
	var b [32]byte
	for {
		rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails; it ends the program
		for _, x := range b {
			if x < 252 { // 252 is 7 * 36: every letter is as likely
				out = append(out, letters[x%36])
			}
			if len(out) == 20 {
				return string(out)
			}
		}
	}
}
