package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// payoutCommand is `ledger payout`.
type payoutCommand struct {
	Resolve payoutResolve `cmd:"" help:"Say what became of a payout that no bank answers, with evidence and a second person."`
}

type payoutResolve struct {
	storeFlags
	ID          string `arg:"" help:"Transaction id of the payout."`
	Outcome     string `required:"" enum:"paid,not-paid" help:"What the evidence shows: paid, not-paid."`
	UTR         string `help:"The bank's reference; required for paid."`
	Evidence    string `required:"" help:"File that proves it, such as the bank's letter or statement; kept sealed, byte for byte." placeholder:"FILE"`
	Actor       string `required:"" help:"Who resolves it." placeholder:"NAME"`
	SecondActor string `required:"" help:"Who has checked it: another person." placeholder:"NAME"`
}

// Bounds of a resolution.
const (
	maxEvidence = eventstore.MaxEvidenceBytes - 4<<10 // of a file; sealing adds some bytes
	maxUTR      = 40
)

// resolved is the answer of `payout resolve`.
type resolved struct {
	Transaction string        `json:"transaction_id"`
	Merchant    string        `json:"merchant_id"`
	Status      wallet.Status `json:"status"`
	UTR         string        `json:"utr,omitempty"`
	Balance     string        `json:"balance"`
	Locked      string        `json:"locked_balance"`
}

// check refuses wrong usage.
func (c *payoutResolve) check() error {
	for _, f := range []struct{ name, value string }{{"--actor", c.Actor}, {"--second-actor", c.SecondActor}} {
		if err := checkText(f.name, f.value, maxActor); err != nil {
			return err
		}
		if strings.Contains(f.value, ",") {
			return usagef("%s names one person, so it holds no comma", f.name)
		}
	}
	if domain.SamePerson(c.Actor, c.SecondActor) {
		return usagef("--second-actor must be another person than --actor")
	}
	if c.Outcome == "paid" {
		return checkUTR(c.UTR)
	}
	if c.UTR != "" {
		return usagef("--utr: what was not paid has none")
	}
	return nil
}

// checkUTR refuses a reference that callbacks could not carry as it is.
func checkUTR(s string) error {
	if err := checkText("--utr, which is required for paid,", s, maxUTR); err != nil {
		return err
	}
	for _, b := range []byte(s) {
		if b <= ' ' || b > '~' || b == '/' {
			return usagef("--utr must be printable ASCII without spaces and /, as the bank gave it")
		}
	}
	return nil
}

// Run resolves.
func (c *payoutResolve) Run(ctx context.Context, t *terminal) error {
	if err := c.check(); err != nil {
		return err
	}
	proof, err := readBounded(c.Evidence, maxEvidence)
	if err != nil {
		return err
	}
	if len(proof) == 0 {
		return usagef("--evidence: %s is empty", c.Evidence)
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		p, err := s.findPayment(ctx, l, c.ID)
		if err != nil {
			return err
		}
		if err := c.resolvable(p); err != nil {
			return err
		}
		command := c.command(p, proof)
		from, err := origin(command.Actor, "payout resolve", map[string]string{
			"payout": c.ID, "outcome": c.Outcome, "utr": c.UTR, "evidence": c.Evidence,
		})
		if err != nil {
			return err
		}
		from.Evidence = append(from.Evidence, eventstore.Evidence{MediaType: http.DetectContentType(proof), Body: proof})
		res, err := l.Submit(ctx, command, from)
		var taken *executor.DuplicateError
		if errors.As(err, &taken) {
			return domain.Errorf(domain.Stale, "--evidence: %s was the evidence of record %s about this payout already", c.Evidence, taken.Position)
		}
		if err != nil {
			return err
		}
		return t.answer(resolved{
			Transaction: c.ID, Merchant: p.Merchant, Status: res.Payment.Status, UTR: res.Payment.UTR,
			Balance: res.Wallet.Available.Fixed(), Locked: res.Wallet.Locked.Fixed(),
		})
	})
}

// resolvable refuses a payout about which there is nothing to resolve: one that a bank has answered. That a refunded one was
// paid after all can be learnt from a bank's letter, too.
func (c *payoutResolve) resolvable(p wallet.Payment) error {
	switch {
	case p.Kind != wallet.KindPayout:
		return domain.Errorf(domain.Invalid, "%s is a %s, not a payout", c.ID, p.Kind)
	case p.Status == wallet.Pending, p.Status == wallet.Refunded && c.Outcome == "paid" && !p.PaidAfterRefund:
		return nil
	}
	return domain.Errorf(domain.Stale, "payout %s is %s: there is nothing to resolve", c.ID, p.Status)
}

func (c *payoutResolve) command(p wallet.Payment, proof []byte) wallet.ReportPayout {
	digest := sha256.Sum256(proof)
	r := wallet.ReportPayout{
		Base: wallet.Base{Of: p.Of, At: present()}, Gateway: p.Gateway, Outcome: wallet.OutcomePaid, UTR: c.UTR, BankReference: c.UTR,
		Message: hex.EncodeToString(digest[:]), Actor: c.Actor + ", " + c.SecondActor,
	}
	if c.Outcome == "not-paid" {
		r.Outcome, r.Reason = wallet.OutcomeFailed, wallet.FailureNotPaid
	}
	return r
}

// findPayment finds a payment by its id alone, in the log itself: views may not know it yet.
func (s *stores) findPayment(ctx context.Context, l *ledger.Ledger, id string) (wallet.Payment, error) {
	for p := range s.info.Partitions {
		records, err := s.log.ReadSubjects(ctx, p, []string{id})
		if err != nil {
			return wallet.Payment{}, err
		}
		if len(records) == 0 {
			continue
		}
		fact, err := ledger.DecodeFact(&records[0])
		if err != nil {
			return wallet.Payment{}, err
		}
		if event, ok := fact.(wallet.Event); ok {
			return l.Payment(ctx, event.Header().Merchant, id)
		}
	}
	return wallet.Payment{}, notFound("transaction", id)
}
