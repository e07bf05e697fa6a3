package ledger

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// SubmitBatch carries out a command on a batch, and returns the batch after it. Errors are those of Submit.
func (l *Ledger) SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	res, err := l.submit(ctx, c.Target().Merchant, c, c.Keys(), o)
	if err != nil {
		return batch.Batch{}, err
	}
	return *res.Answer.(*batch.Batch), nil
}

// Batch is a batch as it is now. It asks the executor, which remembers batches that are at work: folding one reads all of its items.
// domain.NotFound when the merchant has none of that id.
func (l *Ledger) Batch(ctx context.Context, of batch.Of) (batch.Batch, error) {
	return l.SubmitBatch(ctx, batch.Look{Base: batch.Base{Of: of, At: l.clock()}}, eventstore.Origin{})
}

// Reserve carries out a command about what a wallet holds for a batch (or wallet.Look), and returns the wallet after it. Errors are those
// of Submit.
func (l *Ledger) Reserve(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Wallet, error) {
	res, err := l.submit(ctx, c.Target().Merchant, c, c.Keys(), o)
	if err != nil {
		return wallet.Wallet{}, err
	}
	return res.Answer.(*answer).wallet, nil
}

// EachChunk calls f with the chunks of a batch behind number after, in order, as far as they are in the log, and with the position
// of each. from is the position of chunk number after, or 0 where that is not known. An error of f ends it, and is returned.
func (l *Ledger) EachChunk(ctx context.Context, of batch.Of, after int, from int64, f func(chunk int, at int64, items []batch.Item) error) error {
	chunk := 0
	if from > 0 {
		chunk = after
	}
	return l.eachBehind(ctx, l.Partition(of.Merchant), batch.Stream(of.Merchant, of.Batch), from, func(r *eventstore.Record) (bool, error) {
		if r.Type != (*batch.ItemsAdded).Type(nil) {
			return false, nil
		}
		if chunk++; chunk <= after {
			return false, nil
		}
		e, err := batch.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return true, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		added, ok := e.(*batch.ItemsAdded)
		if !ok || added.Chunk != chunk {
			return true, fmt.Errorf("record %s is not chunk %d of batch %s", r.Position(), chunk, of.Batch)
		}
		return false, f(chunk, r.Seq, added.Items)
	})
}

// Claimed returns the positions of the records that hold dedupe keys in the merchant's partition; those that are free are left out.
func (l *Ledger) Claimed(ctx context.Context, merchantID string, keys []string) (map[string]int64, error) {
	p := l.Partition(merchantID)
	head, err := l.log.Head(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("looking up %d dedupe keys: %w", len(keys), err)
	}
	return l.log.Lookup(ctx, p, head.Seq, keys)
}

// Initiate makes payouts of one merchant, each by itself: one that is refused does not fail the others. ids are those of their
// commands, and so of the events that begin them. There is one error for each; see Submit.
func (l *Ledger) Initiate(ctx context.Context, merchantID string, payouts []wallet.InitiatePayout, ids []uuid.UUID, o eventstore.Origin) []error {
	all := make([]Submission, len(payouts))
	for i := range payouts {
		all[i] = Submission{Command: payouts[i], Origin: o}
		all[i].Origin.Command = ids[i]
	}
	_, errs := l.SubmitAll(ctx, merchantID, all)
	return errs
}
