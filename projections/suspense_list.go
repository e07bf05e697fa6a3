package projections

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// SuspenseStatus is what became of money in suspense.
type SuspenseStatus string

// The states of a suspense entry.
const (
	SuspenseOpen     SuspenseStatus = "open"
	SuspenseCredited SuspenseStatus = "credited"
	SuspenseRefunded SuspenseStatus = "refunded"
)

// SuspenseEntry is a payment that does not fit its payin.
type SuspenseEntry struct {
	ID        string // sus_...
	Merchant  string
	Payment   string // transaction id of the payin
	Status    SuspenseStatus
	Amount    money.Amount // what was paid
	Asked     money.Amount
	Gateway   string
	PaymentID string // the gateway's own id
	UTR       string
	Cause     string // wallet.ReasonAmount or wallet.ReasonSecond
	OpenedAt  time.Time
	ClosedAt  time.Time // zero while open
	Reason    string    // why it was credited or refunded
	Actor     string    // who did
	Position  eventstore.Position
}

// SuspenseFilter picks suspense entries.
type SuspenseFilter struct {
	Status   SuspenseStatus // "" is all
	Merchant string         // "" is all
	After    string         // id of the last entry of the page before
	Limit    int            // 1 to MaxLimit; 0 is MaxLimit
}

// SuspenseList returns entries by id, after Reach.
func (v *Views) SuspenseList(ctx context.Context, f SuspenseFilter) ([]SuspenseEntry, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	rows, err := query(ctx, v, suspense{}, suspenseTable,
		`WHERE ($1 = '' OR status = $1) AND ($2 = '' OR merchant = $2) AND id > $3 ORDER BY id, merchant LIMIT $4`,
		string(f.Status), f.Merchant, f.After, bounded(f.Limit))
	if err != nil {
		return nil, err
	}
	entries := make([]SuspenseEntry, len(rows))
	for i := range rows {
		entries[i] = rows[i].entry()
	}
	return entries, nil
}

// SuspenseEntry returns one entry, after Reach. domain.NotFound.
func (v *Views) SuspenseEntry(ctx context.Context, id string) (SuspenseEntry, error) {
	if err := v.Reach(ctx); err != nil {
		return SuspenseEntry{}, err
	}
	rows, err := query(ctx, v, suspense{}, suspenseTable, "WHERE id = $1 LIMIT 1", id)
	if err != nil {
		return SuspenseEntry{}, err
	}
	if len(rows) == 0 {
		return SuspenseEntry{}, domain.Errorf(domain.NotFound, "there is no suspense entry %s", id)
	}
	return rows[0].entry(), nil
}

func (r *suspenseRow) entry() SuspenseEntry {
	c := money.Currency(r.currency)
	return SuspenseEntry{
		ID: r.id, Merchant: r.merchant, Payment: r.payment, Status: SuspenseStatus(r.status),
		Amount: money.FromMinor(r.amount, c), Asked: money.FromMinor(r.asked, c),
		Gateway: r.gateway, PaymentID: r.paymentID, UTR: r.utr, Cause: r.cause,
		OpenedAt: instant(r.openedAt), ClosedAt: instant(r.closedAt), Reason: r.reason, Actor: r.actor,
		Position: eventstore.Position{Partition: int(r.partition), Seq: r.seq},
	}
}
