package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// BatchItem is one line of a batch, with what has become of it. While there is no payout of it, it is "pending", or "queued" while its batch
// waits for money for it, or "rejected" when it was refused or its batch was rejected, or "cancelled" with its batch; then its status is the payout's: pending, success, failed, refunded.
type BatchItem struct {
	Index        int    // from 1
	Payment      string // transaction id that the payout has, or would have
	Drawn        bool   // there is a payout of it
	RequestID    string
	Amount       money.Amount
	Commission   money.Amount
	IFSC         string
	BankName     string
	AccountLast4 string
	TransferType string
	Sealed       string // wallet.Beneficiary, sealed
	SealID       string // what Sealed is bound to
	Status       string
	UTR          string
	Code         string // a domain.Code when the item was refused, else ""
	Reason       string // of the payout's failure, of the refusal, or why the batch was rejected or cancelled
	UpdatedAt    time.Time
}

// BatchItemFilter picks items of a batch.
type BatchItemFilter struct {
	Status string // "" is all
	After  int    // index of the last item of the page before
	Limit  int    // 1 to MaxLimit; 0 is MaxLimit
}

// BatchTally is how many items of a batch are in each status, and their amounts together. It has every status, also without items.
type BatchTally map[string]struct {
	Count  int64
	Amount money.Amount
}

// What is read of an item, i, of its refusal, r, and of its payout, p. Either of the last two may not be there; $4, $6 and $7 are the status,
// reason and moment of an item that has neither, but that up to index $5 such an item is pending.
const (
	itemStatus  = `COALESCE(p.status, CASE WHEN r.item IS NOT NULL THEN 'rejected' WHEN i.item <= $5 THEN 'pending' ELSE $4 END)`
	itemColumns = `i.item, i.payment, CASE WHEN p.id IS NULL THEN 0 ELSE 1 END, i.reference, i.amount, i.commission, i.ifsc, i.bank_name, i.account_last4, i.transfer_type, i.sealed,
		i.seal_id, ` + itemStatus + `, COALESCE(p.utr, ''), COALESCE(r.code, ''), COALESCE(p.reason, r.reason, $6),
		COALESCE(p.updated_at, r.refused_at, NULLIF(CAST($7 AS BIGINT), 0), i.added_at)`
)

// itemSources is the items of the batch of partition $1 whose first record is $2, of merchant $3, each with what belongs to it.
func (v *Views) itemSources(ofBatches, ofPayments int64) string {
	return fmt.Sprintf("FROM %s AS i %s %s WHERE i.partition = $1 AND i.batch = $2", itemTable.in(ofBatches),
		v.found("r", refusalTable.in(ofBatches), "r.partition = $1 AND r.batch = $2 AND r.item = i.item"),
		v.found("p", paymentTable.in(ofPayments), "p.id = i.payment AND p.merchant = $3"))
}

// found joins a row that is looked up for each item. PostgreSQL is not let to do otherwise: where it knows of few rows, it would go through
// all that belong to the batch, or to the merchant, for each item.
func (v *Views) found(as, table, key string) string {
	if v.dialect == Postgres {
		return fmt.Sprintf("LEFT JOIN LATERAL (SELECT * FROM %s AS %s WHERE %s OFFSET 0) AS %s ON TRUE", table, as, key, as)
	}
	return fmt.Sprintf("LEFT JOIN %s AS %s ON %s", table, as, key)
}

// undrawn is the status, reason and moment of an item that is no payout and was not refused; up to index upto it is pending in any case. The
// moment is 0 when that of the item is.
func (r *batchRow) undrawn() (status string, upto int64, reason string, moment int64) {
	if s := batch.Status(r.status); s == batch.Rejected || s == batch.Cancelled { // the names of items' statuses too
		return r.status, 0, r.reason, r.decidedAt
	}
	if r.queued == 1 {
		return queuedItem, r.upto, "", 0
	}
	return string(wallet.Pending), 0, "", 0
}

// BatchItems returns items of a merchant's batch, in the order of their index, after Reach. domain.NotFound when there is no such batch,
// domain.Invalid when no item can have the status.
func (v *Views) BatchItems(ctx context.Context, merchantID, id string, f BatchItemFilter) ([]BatchItem, error) {
	if !knownItemStatus(f.Status) {
		return nil, domain.InvalidField("status", "must be one of "+strings.Join(itemStatuses(), ", "))
	}
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	of, err := v.batch(ctx, merchantID, id)
	if err != nil {
		return nil, err
	}
	status, upto, reason, moment := of.undrawn()
	condition := &where{args: []any{of.partition, of.seq, merchantID, status, upto, reason, moment}}
	condition.and("i.item > %s", f.After)
	if f.Status != "" {
		condition.and(itemStatus+" = %s", f.Status)
	}
	var items []BatchItem
	err = v.joined(ctx, func(q querier, sources string) error {
		text := fmt.Sprintf("SELECT %s %s AND %s ORDER BY i.item LIMIT %d", itemColumns, sources, strings.Join(condition.text, " AND "), bounded(f.Limit))
		rows, err := q.QueryContext(ctx, text, condition.args...)
		if err != nil {
			return explain(err)
		}
		items, err = collectItems(rows, money.Currency(of.currency))
		return err
	})
	return items, err
}

func collectItems(rows *sql.Rows, c money.Currency) (items []BatchItem, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var i BatchItem
		var amount, commission, updatedAt int64
		if err := rows.Scan(&i.Index, &i.Payment, &i.Drawn, &i.RequestID, &amount, &commission, &i.IFSC, &i.BankName, &i.AccountLast4, &i.TransferType,
			&i.Sealed, &i.SealID, &i.Status, &i.UTR, &i.Code, &i.Reason, &updatedAt); err != nil {
			return nil, err
		}
		i.Amount, i.Commission, i.UpdatedAt = money.FromMinor(amount, c), money.FromMinor(commission, c), instant(updatedAt)
		items = append(items, i)
	}
	return items, explain(rows.Err())
}

// BatchTally counts the items of a merchant's batch by status, after Reach: those that have been received, which are all of them when it
// is no longer receiving, unless it was cancelled before. domain.NotFound.
func (v *Views) BatchTally(ctx context.Context, merchantID, id string) (BatchTally, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	of, err := v.batch(ctx, merchantID, id)
	if err != nil {
		return nil, err
	}
	status, upto, _, _ := of.undrawn()
	var counts BatchTally
	err = v.joined(ctx, func(q querier, sources string) error {
		text := fmt.Sprintf("SELECT %s AS was, count(*), CAST(sum(i.amount) AS BIGINT) %s GROUP BY 1", itemStatus, sources)
		rows, err := q.QueryContext(ctx, text, of.partition, of.seq, merchantID, status, upto)
		if err != nil {
			return explain(err)
		}
		counts, err = collectTally(rows, money.Currency(of.currency))
		return err
	})
	return counts, err
}

// BatchOpen tells whether any item of a merchant's batch may still change, as far as the views have come: they lag, so that it may say so
// for a while after the last one has ended, but never the other way round: what is not there yet is open. It waits for nothing. domain.NotFound when they have not come to
// the batch.
func (v *Views) BatchOpen(ctx context.Context, merchantID, id string) (open bool, err error) {
	of, err := v.batch(ctx, merchantID, id)
	if err != nil || of.status == string(batch.Receiving) { // not all items are there
		return true, err
	}
	status, upto, _, _ := of.undrawn()
	err = v.joined(ctx, func(q querier, sources string) error {
		text := fmt.Sprintf("SELECT i.item %s AND %s IN ('pending', '%s') ORDER BY i.item LIMIT 1", sources, itemStatus, queuedItem)
		rows, err := q.QueryContext(ctx, text, of.partition, of.seq, merchantID, status, upto)
		if err != nil {
			return explain(err)
		}
		defer rows.Close() //nolint:errcheck // it was only read, and rows.Err says what went wrong
		open = rows.Next()
		return explain(rows.Err())
	})
	return open, err
}

func collectTally(rows *sql.Rows, c money.Currency) (counts BatchTally, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	counts = BatchTally{}
	for _, status := range itemStatuses() {
		of := counts[status]
		of.Amount = money.Zero(c)
		counts[status] = of
	}
	for rows.Next() {
		var status string
		var n, amount int64
		if err := rows.Scan(&status, &n, &amount); err != nil {
			return nil, err
		}
		of := counts[status]
		of.Count, of.Amount = n, money.FromMinor(amount, c)
		counts[status] = of
	}
	return counts, explain(rows.Err())
}

// joined calls read with the sources of items.
//
// On PostgreSQL it is a transaction in which they are found by their keys and come in their order, whatever the statistics say: a plan that
// was made when there were few payments would read all of them for each item. Compiling would take longer than the query.
func (v *Views) joined(ctx context.Context, read func(q querier, sources string) error) error {
	return v.servingAll(ctx, []projection{batches{}, payments{}}, func(generations []int64) error {
		sources := v.itemSources(generations[0], generations[1])
		if v.dialect != Postgres {
			return read(v.db, sources)
		}
		tx, err := v.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return explain(err)
		}
		defer tx.Rollback() //nolint:errcheck // it has only read
		if _, err := tx.ExecContext(ctx, byKeysOnly); err != nil {
			return explain(err)
		}
		return read(tx, sources)
	})
}

// byKeysOnly holds until the end of the transaction.
const byKeysOnly = `SELECT set_config(name, 'off', true) FROM (VALUES ('enable_seqscan'), ('enable_bitmapscan'), ('enable_hashjoin'),
	('enable_mergejoin'), ('enable_sort'), ('jit')) AS setting(name)`
