package webhook

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
)

// batchTypes are the types of record of a batch's stream that callbacks may be about: see batchNews.
func batchTypes() []string {
	return []string{"batch.approved", "batch.rejected", "batch.completed", "batch.cancelled"}
}

// ofBatch tells the records of a batch's stream from those about the batch's money, which are of the wallet's stream and whose types
// begin alike.
func ofBatch(r *eventstore.Record) bool { return strings.HasPrefix(r.Stream, "batch:") }

// batchNews is what the merchant is told by a record of a batch's stream; nil when that is nothing, as by an approval that is not the
// last one. It is made of the record and of the stream's first one, which announces the batch: what
// lies between are the items, up to hundreds of records, and nothing that is told.
func (b *Outbox) batchNews(ctx context.Context, r *eventstore.Record) (*news, error) {
	if !slices.Contains(batchTypes(), r.Type) {
		return nil, nil
	}
	e, err := batch.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return nil, &hopeless{fmt.Errorf("record %s: %w", r.Position(), err)}
	}
	if approved, ok := e.(*batch.Approved); ok && approved.Missing > 0 {
		return nil, nil
	}
	stream, err := b.log.ReadStream(ctx, r.Partition, r.Stream, 0, 1)
	if err != nil {
		return nil, err
	}
	if len(stream) == 0 || stream[0].Type != "batch.submitted" || stream[0].Seq >= r.Seq {
		return nil, &hopeless{fmt.Errorf("record %s (%s) belongs to no batch that was submitted", r.Position(), r.Type)}
	}
	first := &stream[0]
	submitted, err := batch.Decode(first.Type, first.Schema, first.Data)
	if err != nil {
		return nil, &hopeless{fmt.Errorf("record %s: %w", first.Position(), err)}
	}
	if e.Header() != submitted.Header() {
		return nil, &hopeless{fmt.Errorf("record %s (%s) is about another batch than its stream", r.Position(), r.Type)}
	}
	at := &batch.Batch{}
	at.Evolve(submitted, first.EffectiveAt)
	at.Evolve(e, r.EffectiveAt)
	return &news{at.Merchant, string(at.Status), func(d merchant.Dialect) []byte { return buildBatchBody(r, at, d) }}, nil
}

// buildBatchBody is the payload of the callback about record r, where b is the batch as of r but for its items. How many of them came
// to what is not told: that would have to be counted, item by item, and goes on changing when the batch is only approved.
func buildBatchBody(r *eventstore.Record, b *batch.Batch, d merchant.Dialect) []byte {
	w := &bodyWriter{dialect: d}
	w.text("event", BatchUpdated)
	w.text("batch_id", b.Batch)
	w.text("batch_ref", b.Ref)
	w.text("status", string(b.Status))
	w.optional("reason", b.Reason)
	w.index("stopped_by", b.Stopper)
	w.count("count", b.Count)
	w.amount("total_amount", b.Amount)
	w.amount("commission", b.Commission)
	w.text("timestamp", r.RecordedAt.UTC().Format(timestampLayout))
	return append(w.b, '}')
}
