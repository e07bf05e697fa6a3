package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/khata-ledger/khata/adapters/editlog"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/adapters/statement"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/projections"
)

// auditor writes over HTTP what the commands of `ledger audit`, and `ledger replay`, write.
type auditor struct {
	log    eventstore.Store
	views  *projections.Views
	ledger *ledger.Ledger
}

// Statement implements ops.Auditor.
func (a auditor) Statement(ctx context.Context, w io.Writer, q ops.StatementQuery) error {
	f := projections.StatementFilter{Account: q.Account, Currency: q.Currency, ByValue: q.ByValue}
	if q.Merchant != "" {
		f.Account = wallet.AccountAvailable(q.Merchant)
	}
	f.From, f.To, _ = q.Bounds()
	d, err := statementOf(ctx, a.views, f)
	if err != nil {
		return err
	}
	_, err = writeStatement(ctx, w, statement.Format(q.Format), d)
	if errors.Is(err, statement.ErrTooLong) {
		return domain.InvalidField("format", "does not hold so many lines: ask for csv, or for a shorter period")
	}
	return err
}

// Journal implements ops.Auditor.
func (a auditor) Journal(ctx context.Context, w io.Writer, q ops.JournalQuery) error {
	from, until, _ := q.Bounds()
	_, err := writeJournal(ctx, w, a.log, plaintext.Options{
		Format: plaintext.Format(q.Format), From: from, Until: until, Zone: q.Zone, Merchant: q.Merchant,
	})
	return err
}

// EditLog implements ops.Auditor.
func (a auditor) EditLog(ctx context.Context, w io.Writer, q ops.EditLogQuery) error {
	from, until, _ := q.Bounds()
	_, _, err := writeEditLog(ctx, w, a.log, q.Format, editlog.Options{From: from, Until: until, Merchant: q.Merchant})
	return err
}

// Replay implements ops.Auditor.
func (a auditor) Replay(ctx context.Context, w io.Writer, q ops.ReplayQuery) error {
	c := replayCommand{Subject: q.Subject, Until: untilFlag{at: q.Until, position: q.UpTo}}
	err := writeTimeline(w, q.Subject, func(each func(ledger.Moment) error) error {
		return c.timeline(ctx, a.ledger, func(m ledger.Moment) (err error) {
			if q.Masked {
				if m.Data, err = ops.Mask(m.Data); err != nil {
					return fmt.Errorf("record %s: %w", m.Position, err)
				}
			}
			return each(m)
		})
	})
	var usage usageError
	if errors.As(err, &usage) {
		return domain.InvalidField("until", "is a position of another partition than the subject's")
	}
	return err
}

// notary makes over HTTP what the commands of `ledger proof` make.
type notary struct{ *prover }

// Key implements ops.Prover.
func (n notary) Key(ctx context.Context) (string, error) {
	key, err := n.key(ctx)
	if err != nil {
		return "", err
	}
	return key.String(), nil
}

// Checkpoint implements ops.Prover.
func (n notary) Checkpoint(ctx context.Context) ([]byte, error) {
	signed, err := n.checkpoint(ctx)
	return signed, refuted(err)
}

// Include implements ops.Prover.
func (n notary) Include(ctx context.Context, subject string, checkpoint []byte) ([]byte, error) {
	checkpoint, err := n.given(checkpoint)
	if err != nil {
		return nil, err
	}
	made, err := n.include(ctx, subject, checkpoint)
	if errors.Is(err, eventstore.ErrNotFound) || errors.Is(err, eventstore.ErrPartition) {
		return nil, domain.Errorf(domain.NotFound, "there is no record %s", subject)
	}
	return made, refuted(err)
}

// Consistency implements ops.Prover.
func (n notary) Consistency(ctx context.Context, older []byte) ([]byte, error) {
	older, err := n.given(older)
	if err != nil {
		return nil, err
	}
	made, err := n.consistency(ctx, older, nil)
	return made, refuted(err)
}

// given is the last checkpoint of a file that somebody has sent; nil for none. It must be one of this ledger.
func (n notary) given(sent []byte) ([]byte, error) {
	if sent == nil {
		return nil, nil
	}
	last, err := lastCheckpoint(sent)
	if err == nil && last == nil {
		err = errors.New("there is none in it")
	}
	var c proof.Checkpoint
	if err == nil {
		c, err = n.read(last)
	}
	if err == nil && c.At.After(time.Now().Add(time.Minute)) { // whoever signed it: nothing can extend it
		err = fmt.Errorf("it is of %s", c.At.Format(time.RFC3339))
	}
	if err != nil {
		return nil, domain.InvalidField("checkpoint", "is none of this ledger: "+err.Error())
	}
	return last, nil
}

// refuted tells a log that is no extension of what was signed from a fault.
func refuted(err error) error {
	var partition *proof.PartitionError
	if errors.As(err, &partition) || errors.Is(err, errNotIncluded) {
		return &ops.Refuted{Problem: err.Error()}
	}
	return err
}
