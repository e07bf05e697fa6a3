package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/domain/wallet"
)

// PaymentStatus is what the views say of a payment that somebody else names.
type PaymentStatus struct {
	ID       string
	Merchant string
	Kind     wallet.Kind
	Status   wallet.Status
}

// refsPage is how many payments are looked up at once.
const refsPage = 500

// PaymentsByRefs finds payments, of whatever merchant, by transaction ids or txn_refs, after Reach. What is neither is left out.
func (v *Views) PaymentsByRefs(ctx context.Context, refs []string) (map[string]PaymentStatus, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	found := map[string]PaymentStatus{}
	for part := range slices.Chunk(refs, refsPage) {
		marks, args := make([]string, len(part)), make([]any, len(part))
		for i, ref := range part {
			marks[i], args[i] = fmt.Sprintf("$%d", i+1), ref
		}
		in := " IN (" + strings.Join(marks, ", ") + ")"
		for _, clause := range []string{"WHERE txn_ref <> '' AND txn_ref" + in, "WHERE id" + in} {
			rows, err := query(ctx, v, payments{}, paymentTable, clause, args...)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				r := &rows[i]
				p := PaymentStatus{ID: r.id, Merchant: r.merchant, Kind: wallet.Kind(r.kind), Status: wallet.Status(r.status)}
				found[r.id] = p
				if r.txnRef != "" {
					found[r.txnRef] = p
				}
			}
		}
	}
	return found, nil
}
