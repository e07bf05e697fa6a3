package projections

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// batches holds payout batches, and the items of each as they were submitted. What became of an item is not here: it is read from its
// payout, so that the fate of a hundred thousand payouts is written once.
type batches struct{}

func (batches) name() string   { return "batches" }
func (batches) version() int64 { return 2 }
func (batches) shape() int64   { return 2 }
func (batches) schemas() []*schema {
	return []*schema{&batchTable.schema, &itemTable.schema, &refusalTable.schema}
}

// batchRow is a batch; amounts in minor units.
type batchRow struct {
	id, merchant, ref               string
	digest                          string
	terms, columns                  string // JSON; no columns: ""
	approvals                       string // who has approved it, one a line
	status                          string
	unfinished                      int64 // 1 until it is completed, rejected or cancelled, and nothing is held
	currency                        string
	items, amount, commission       int64 // as announced
	actor                           string
	decided, reason                 string // who decided, and why
	stopper                         int64  // index of the item for which it was rejected, if for one
	queued                          int64  // 1 while it waits for money for the items behind upto
	upto                            int64  // index of the last item that money is held for, where the batch holds any
	held                            int64  // 1 while the wallet holds something for it, or its place
	createdAt, updatedAt, decidedAt int64
	partition, seq, changed         int64 // position of the first record, and seq of the last one
}

var batchTable = newTable(schema{
	name: "batches", key: 2,
	indexes: []index{
		{name: "ref", columns: "merchant, ref"},
		{name: "newest", columns: "merchant, seq"},
		{name: "unfinished", columns: "id, merchant", where: "unfinished = 1"},
	},
}, []column[batchRow]{
	{"id", func(r *batchRow) any { return &r.id }},
	{"merchant", func(r *batchRow) any { return &r.merchant }},
	{"ref", func(r *batchRow) any { return &r.ref }},
	{"digest", func(r *batchRow) any { return &r.digest }},
	{"terms", func(r *batchRow) any { return &r.terms }},
	{"columns", func(r *batchRow) any { return &r.columns }},
	{"approvals", func(r *batchRow) any { return &r.approvals }},
	{"status", func(r *batchRow) any { return &r.status }},
	{"unfinished", func(r *batchRow) any { return &r.unfinished }},
	{"currency", func(r *batchRow) any { return &r.currency }},
	{"items", func(r *batchRow) any { return &r.items }},
	{"amount", func(r *batchRow) any { return &r.amount }},
	{"commission", func(r *batchRow) any { return &r.commission }},
	{"actor", func(r *batchRow) any { return &r.actor }},
	{"decided", func(r *batchRow) any { return &r.decided }},
	{"reason", func(r *batchRow) any { return &r.reason }},
	{"stopper", func(r *batchRow) any { return &r.stopper }},
	{"queued", func(r *batchRow) any { return &r.queued }},
	{"upto", func(r *batchRow) any { return &r.upto }},
	{"held", func(r *batchRow) any { return &r.held }},
	{"created_at", func(r *batchRow) any { return &r.createdAt }},
	{"updated_at", func(r *batchRow) any { return &r.updatedAt }},
	{"decided_at", func(r *batchRow) any { return &r.decidedAt }},
	{"partition", func(r *batchRow) any { return &r.partition }},
	{"seq", func(r *batchRow) any { return &r.seq }},
	{"changed", func(r *batchRow) any { return &r.changed }},
})

// itemRow is an item of a batch, which is named by the position of its first record: items lie together in their order, and each new
// one is among the last. Amounts in minor units.
type itemRow struct {
	partition, batch, item       int64 // item from 1
	payment, reference           string
	amount, commission           int64
	ifsc, bankName, accountLast4 string
	transferType, sealed, sealID string
	addedAt                      int64
}

var itemTable = newTable(schema{name: "batch_items", key: 3, fixed: true}, []column[itemRow]{
	{"partition", func(r *itemRow) any { return &r.partition }},
	{"batch", func(r *itemRow) any { return &r.batch }},
	{"item", func(r *itemRow) any { return &r.item }},
	{"payment", func(r *itemRow) any { return &r.payment }},
	{"reference", func(r *itemRow) any { return &r.reference }},
	{"amount", func(r *itemRow) any { return &r.amount }},
	{"commission", func(r *itemRow) any { return &r.commission }},
	{"ifsc", func(r *itemRow) any { return &r.ifsc }},
	{"bank_name", func(r *itemRow) any { return &r.bankName }},
	{"account_last4", func(r *itemRow) any { return &r.accountLast4 }},
	{"transfer_type", func(r *itemRow) any { return &r.transferType }},
	{"sealed", func(r *itemRow) any { return &r.sealed }},
	{"seal_id", func(r *itemRow) any { return &r.sealID }},
	{"added_at", func(r *itemRow) any { return &r.addedAt }},
})

// refusalRow says why an item became no payout. It stands beside itemTable, so that rows of that, which are ten times as wide, never
// change.
type refusalRow struct {
	partition, batch, item int64
	code, reason           string
	refusedAt              int64
}

var refusalTable = newTable(schema{name: "batch_refusals", key: 3, fixed: true}, []column[refusalRow]{
	{"partition", func(r *refusalRow) any { return &r.partition }},
	{"batch", func(r *refusalRow) any { return &r.batch }},
	{"item", func(r *refusalRow) any { return &r.item }},
	{"code", func(r *refusalRow) any { return &r.code }},
	{"reason", func(r *refusalRow) any { return &r.reason }},
	{"refused_at", func(r *refusalRow) any { return &r.refusedAt }},
})

type batchKey struct{ merchant, id string }

// batchOf is the batch that a fact is about; false for none. What a wallet holds for a batch is among the wallet's facts.
func batchOf(f *fact) (batchKey, bool) {
	if f.batch != nil {
		of := f.batch.Header()
		return batchKey{of.Merchant, of.Batch}, true
	}
	switch f.wallet.(type) {
	case *wallet.BatchQueued, *wallet.BatchHeld, *wallet.BatchReleased:
		of := f.wallet.Header()
		return batchKey{of.Merchant, of.Payment}, true
	}
	return batchKey{}, false
}

func (batches) apply(ctx context.Context, w *writer, _ *cache, generation int64, facts []fact) error {
	folded, err := loadBatches(ctx, w, generation, facts)
	if err != nil {
		return err
	}
	changed := map[batchKey]bool{}
	var items []itemRow
	var refused []refusalRow
	for i := range facts {
		f := &facts[i]
		key, is := batchOf(f)
		if !is {
			continue
		}
		if err := evolveBatch(folded, key, f); err != nil {
			return fmt.Errorf("record %s: batch %s: %w", f.record.Position(), key.id, err)
		}
		changed[key] = true
		switch e := f.batch.(type) {
		case *batch.ItemsAdded:
			if items, err = appendItems(items, folded[key], f, e); err != nil {
				return fmt.Errorf("record %s: batch %s: %w", f.record.Position(), key.id, err)
			}
		case *batch.Drawn:
			refused = appendRefused(refused, folded[key], f, e)
		}
	}
	rows := make([]batchRow, 0, len(changed))
	for key := range changed {
		rows = append(rows, *folded[key])
	}
	if err := batchTable.merge(ctx, w, generation, rows); err != nil {
		return err
	}
	if err := itemTable.insert(ctx, w, generation, items); err != nil {
		return err
	}
	return refusalTable.insert(ctx, w, generation, refused)
}

// loadBatches reads the batches that facts go on with.
func loadBatches(ctx context.Context, w *writer, generation int64, facts []fact) (map[batchKey]*batchRow, error) {
	folded := map[batchKey]*batchRow{}
	asked := map[batchKey]bool{}
	var ids []string
	for i := range facts {
		key, is := batchOf(&facts[i])
		if !is {
			continue
		}
		if _, begins := facts[i].batch.(*batch.Submitted); !begins && !asked[key] {
			ids = append(ids, key.id)
		}
		asked[key] = true
	}
	rows, err := batchTable.load(ctx, w, generation, "id", ids)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		folded[batchKey{rows[i].merchant, rows[i].id}] = &rows[i]
	}
	return folded, nil
}

// evolveBatch folds a fact into its batch.
func evolveBatch(folded map[batchKey]*batchRow, key batchKey, f *fact) error {
	at, row := micros(f.record.EffectiveAt), folded[key]
	if e, begins := f.batch.(*batch.Submitted); begins {
		terms, columns, err := described(e)
		if err != nil {
			return err
		}
		row = &batchRow{
			id: e.Batch, merchant: e.Merchant, ref: e.Ref, digest: e.Digest, terms: terms, columns: columns, status: string(batch.Receiving),
			unfinished: 1, currency: string(e.Currency), items: int64(e.Count), actor: e.Actor, createdAt: at,
			partition: int64(f.record.Partition), seq: f.record.Seq,
		}
		folded[key] = row
		if err := minor(&row.amount, e.Amount); err != nil {
			return err
		}
		if err := minor(&row.commission, e.Commission); err != nil {
			return err
		}
	}
	if row == nil {
		return fmt.Errorf("%s goes on with what was never submitted", f.record.Type)
	}
	row.updatedAt, row.changed = at, f.record.Seq
	defer row.finish()
	if f.batch == nil {
		row.hold(f.wallet)
		return nil
	}
	switch e := f.batch.(type) {
	case *batch.ItemsAdded:
		if e.Last {
			return row.received()
		}
	case *batch.Approved:
		row.approvals += e.Actor + "\n"
		if e.Missing == 0 {
			row.decide(batch.Processing, e.Actor, "", at)
		}
	case *batch.RejectedBy:
		row.decide(batch.Rejected, e.Actor, e.Reason, at)
		row.stopper = int64(e.Item)
	case *batch.CancelledBy:
		row.decide(batch.Cancelled, e.Actor, e.Reason, at)
	case *batch.CompletedAll:
		row.status = string(batch.Completed)
	}
	return nil
}

// described is what a batch is submitted under, and the columns that it came in, as they are kept.
func described(e *batch.Submitted) (terms, columns string, err error) {
	text, err := json.Marshal(e.Terms)
	if err != nil || len(e.Columns) == 0 {
		return string(text), "", err
	}
	list, err := json.Marshal(e.Columns)
	return string(text), string(list), err
}

// received notes that all items are there.
func (r *batchRow) received() error {
	var terms batch.Terms
	if err := json.Unmarshal([]byte(r.terms), &terms); err != nil {
		return err
	}
	r.status = string(batch.Awaiting)
	if terms.Approval == batch.NoApproval {
		r.status = string(batch.Processing)
	}
	return nil
}

// finish tells whether somebody has to go on with the batch.
func (r *batchRow) finish() {
	switch batch.Status(r.status) {
	case batch.Completed, batch.Rejected, batch.Cancelled:
		r.unfinished = r.held
	case batch.Receiving, batch.Awaiting, batch.Processing:
		r.unfinished = 1
	}
}

// hold notes what the wallet holds for the batch.
func (r *batchRow) hold(e wallet.Event) {
	switch e := e.(type) {
	case *wallet.BatchQueued:
		r.queued, r.held = 1, 1
	case *wallet.BatchHeld:
		r.upto, r.held = int64(e.Upto), 1
		if e.Last {
			r.queued = 0
		}
	case *wallet.BatchReleased:
		if e.Done {
			r.queued, r.held = 0, 0
		}
	}
}

func (r *batchRow) decide(status batch.Status, actor, reason string, at int64) {
	r.status = string(status)
	r.decided, r.reason, r.decidedAt = actor, reason, at
}

func appendItems(items []itemRow, of *batchRow, f *fact, e *batch.ItemsAdded) ([]itemRow, error) {
	for n := range e.Items {
		i := &e.Items[n]
		row := itemRow{
			partition: of.partition, batch: of.seq, item: int64(i.Index), payment: i.Payment, reference: i.RequestID,
			ifsc: i.IFSC, bankName: i.BankName, accountLast4: i.AccountLast4, transferType: i.TransferType, sealed: i.Sealed, sealID: i.Event,
			addedAt: micros(f.record.EffectiveAt),
		}
		if err := minor(&row.amount, i.Amount); err != nil {
			return nil, fmt.Errorf("item %d: %w", i.Index, err)
		}
		if err := minor(&row.commission, i.Commission); err != nil {
			return nil, fmt.Errorf("item %d: %w", i.Index, err)
		}
		items = append(items, row)
	}
	return items, nil
}

func appendRefused(refused []refusalRow, of *batchRow, f *fact, e *batch.Drawn) []refusalRow {
	for _, r := range e.Refused {
		refused = append(refused, refusalRow{
			partition: of.partition, batch: of.seq, item: int64(r.Index), code: r.Code, reason: r.Reason, refusedAt: micros(f.record.EffectiveAt),
		})
	}
	return refused
}

// minor sets a column to an amount.
func minor(to *int64, a money.Amount) error {
	n, fits := a.Minor()
	if !fits {
		return fmt.Errorf("%s does not fit 64 bits", a)
	}
	*to = n
	return nil
}
