package projections

import (
	"context"

	"github.com/khata-ledger/khata/domain/wallet"
)

// Pending returns up to limit pending payments of a kind, of all merchants, whose ids sort behind after, in order of id; after
// Reach. What works on them finds here what it may have lost.
func (v *Views) Pending(ctx context.Context, kind wallet.Kind, after string, limit int) ([]wallet.Payment, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	rows, err := query(ctx, v, payments{}, paymentTable, byPending, string(kind), after, bounded(limit))
	if err != nil {
		return nil, err
	}
	pending := make([]wallet.Payment, len(rows))
	for i := range rows {
		if pending[i], err = rows[i].payment(); err != nil {
			return nil, err
		}
	}
	return pending, nil
}

// Refunding returns up to limit payins, of all merchants, whose ids sort behind after and which have a refund that is on its way, in order of
// id; after Reach.
func (v *Views) Refunding(ctx context.Context, after string, limit int) ([]wallet.Payment, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	rows, err := query(ctx, v, payments{}, paymentTable, "WHERE refunding <> 0 AND id > $1 ORDER BY id LIMIT $2", after, bounded(limit))
	if err != nil {
		return nil, err
	}
	found := make([]wallet.Payment, len(rows))
	for i := range rows {
		if found[i], err = rows[i].payment(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

var byPending = "WHERE (id, merchant) IN (SELECT id, merchant FROM " + statusTable.marked(generationMark) +
	" WHERE kind = $1 AND status = 'pending' AND id > $2 ORDER BY id LIMIT $3) ORDER BY id"
