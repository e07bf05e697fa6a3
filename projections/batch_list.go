package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
)

// BatchRow is a payout batch.
type BatchRow struct {
	ID         string // bat_...
	Ref        string // batch_ref
	Merchant   string
	Currency   money.Currency
	Digest     string // of the content
	Status     batch.Status
	Count      int          // items, as announced
	Amount     money.Amount // of all items
	Commission money.Amount // of all items
	By         string       // who submitted it
	Terms      batch.Terms
	Columns    []batch.Column // of the file that it came in; nil where it came in another way
	Approvals  []string       // who has approved it
	Decided    string         // who approved it last, rejected or cancelled it
	Reason     string         // why it was rejected or cancelled
	Stopper    int            // index of the item for which it was rejected; 0: for none
	Queued     bool           // it waits for money for the items behind Upto
	Upto       int            // index of the last item that money is held for, where the batch holds any
	CreatedAt  time.Time
	UpdatedAt  time.Time
	DecidedAt  time.Time // zero before
}

// Batch returns a merchant's batch, after Reach. domain.NotFound.
func (v *Views) Batch(ctx context.Context, merchantID, id string) (BatchRow, error) {
	if err := v.Reach(ctx); err != nil {
		return BatchRow{}, err
	}
	row, err := v.batch(ctx, merchantID, id)
	if err != nil {
		return BatchRow{}, err
	}
	return row.batch()
}

// BatchByRef returns a merchant's batch by its batch_ref, after Reach. domain.NotFound.
func (v *Views) BatchByRef(ctx context.Context, merchantID, ref string) (BatchRow, error) {
	if err := v.Reach(ctx); err != nil {
		return BatchRow{}, err
	}
	rows, err := query(ctx, v, batches{}, batchTable, "WHERE merchant = $1 AND ref = $2 ORDER BY seq LIMIT 1", merchantID, ref)
	if err != nil {
		return BatchRow{}, err
	}
	if len(rows) == 0 {
		return BatchRow{}, domain.Errorf(domain.NotFound, "there is no batch %s", ref)
	}
	return rows[0].batch()
}

// Batches returns up to limit batches of a merchant, newest first, that are older than the batch before; without it, the newest. After
// Reach. domain.NotFound when the merchant has no batch before.
func (v *Views) Batches(ctx context.Context, merchantID, before string, limit int) ([]BatchRow, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	w := &where{}
	w.and("merchant = %s", merchantID)
	if before != "" {
		last, err := v.batch(ctx, merchantID, before)
		if err != nil {
			return nil, err
		}
		w.and("seq < %s", last.seq)
	}
	rows, err := query(ctx, v, batches{}, batchTable, fmt.Sprintf("%s ORDER BY seq DESC LIMIT %d", w, bounded(limit)), w.args...)
	if err != nil {
		return nil, err
	}
	return batchRows(rows)
}

// BatchesUnfinished returns up to limit batches of all merchants that are neither completed, rejected nor cancelled, or for which
// something is held yet, and whose ids
// follow after, by id; after Reach. Who works on them finds here what it may have lost.
func (v *Views) BatchesUnfinished(ctx context.Context, after string, limit int) ([]BatchRow, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	rows, err := query(ctx, v, batches{}, batchTable, "WHERE unfinished = 1 AND id > $1 ORDER BY id, merchant LIMIT $2", after, bounded(limit))
	if err != nil {
		return nil, err
	}
	return batchRows(rows)
}

// batch reads a merchant's batch. domain.NotFound.
func (v *Views) batch(ctx context.Context, merchantID, id string) (batchRow, error) {
	rows, err := query(ctx, v, batches{}, batchTable, "WHERE id = $1 AND merchant = $2", id, merchantID)
	if err != nil {
		return batchRow{}, err
	}
	if len(rows) == 0 {
		return batchRow{}, domain.Errorf(domain.NotFound, "there is no batch %s", id)
	}
	return rows[0], nil
}

func batchRows(rows []batchRow) ([]BatchRow, error) {
	found := make([]BatchRow, len(rows))
	for i := range rows {
		var err error
		if found[i], err = rows[i].batch(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (r *batchRow) batch() (BatchRow, error) {
	c := money.Currency(r.currency)
	row := BatchRow{
		ID: r.id, Ref: r.ref, Merchant: r.merchant, Currency: c, Digest: r.digest, Status: batch.Status(r.status), Count: int(r.items),
		Amount: money.FromMinor(r.amount, c), Commission: money.FromMinor(r.commission, c), By: r.actor, Decided: r.decided, Reason: r.reason,
		CreatedAt: instant(r.createdAt), UpdatedAt: instant(r.updatedAt), DecidedAt: instant(r.decidedAt),
		Stopper: int(r.stopper), Queued: r.queued == 1, Upto: int(r.upto),
	}
	if r.approvals != "" {
		row.Approvals = strings.Split(strings.TrimSuffix(r.approvals, "\n"), "\n")
	}
	err := json.Unmarshal([]byte(r.terms), &row.Terms)
	if err == nil && r.columns != "" {
		err = json.Unmarshal([]byte(r.columns), &row.Columns)
	}
	if err != nil {
		return BatchRow{}, fmt.Errorf("the view of batch %s: %w", r.id, err)
	}
	return row, nil
}

// queuedItem is the status of an item that waits for money.
const queuedItem = "queued"

// itemStatuses are what an item can be.
func itemStatuses() []string {
	return []string{"pending", queuedItem, "success", "refunded", "failed", "rejected", "cancelled"}
}

// knownItemStatus tells whether an item can be in a status; "" is all of them.
func knownItemStatus(status string) bool {
	return status == "" || slices.Contains(itemStatuses(), status)
}
