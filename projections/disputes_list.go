package projections

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// DisputeEntry is a dispute, and what it is about.
type DisputeEntry struct {
	wallet.Dispute
	Of        wallet.Of // the payin
	OpenedAt  time.Time
	ChangedAt time.Time
	Position  eventstore.Position // of the record that opened it
}

// DisputeFilter picks disputes.
type DisputeFilter struct {
	Statuses []wallet.DisputeStatus // none is all
	Merchant string                 // "" is all
	Payment  string                 // "" is all
	DueBy    time.Time              // respond-by not after this; zero is no bound
	Cursor   string                 // NextCursor of the page before
	Limit    int                    // 1 to MaxLimit; 0 is MaxLimit
}

// DisputePage is a part of a list, those first that must be responded to first.
type DisputePage struct {
	Items      []DisputeEntry
	NextCursor string // "" after the last page
}

// Disputes lists disputes, after Reach. domain.Invalid names a cursor that no list has given.
func (v *Views) Disputes(ctx context.Context, f DisputeFilter) (DisputePage, error) {
	if err := v.Reach(ctx); err != nil {
		return DisputePage{}, err
	}
	w := &where{text: []string{"1 = 1"}}
	if len(f.Statuses) > 0 {
		args := make([]any, len(f.Statuses))
		for i, s := range f.Statuses {
			args[i] = string(s)
		}
		w.and("status IN ("+strings.TrimSuffix(strings.Repeat("%s, ", len(args)), ", ")+")", args...)
	}
	for column, value := range map[string]string{"merchant": f.Merchant, "payment": f.Payment} {
		if value != "" {
			w.and(column+" = %s", value)
		}
	}
	if !f.DueBy.IsZero() {
		w.and("respond_by <= %s", f.DueBy.UnixMicro())
	}
	if f.Cursor != "" {
		respondBy, id, err := parseDisputeCursor(f.Cursor)
		if err != nil {
			return DisputePage{}, err
		}
		w.and("(respond_by, id) > (%s, %s)", respondBy, id)
	}
	limit := bounded(f.Limit)
	rows, err := query(ctx, v, disputes{}, disputeTable, fmt.Sprintf("%s ORDER BY respond_by, id, merchant LIMIT %d", w, limit+1), w.args...)
	if err != nil {
		return DisputePage{}, err
	}
	var page DisputePage
	for i := range min(len(rows), limit) {
		page.Items = append(page.Items, rows[i].entry())
	}
	if len(rows) > limit {
		page.NextCursor = disputeCursor(&rows[limit-1])
	}
	return page, nil
}

// Dispute returns one dispute, after Reach. domain.NotFound.
func (v *Views) Dispute(ctx context.Context, id string) (DisputeEntry, error) {
	if err := v.Reach(ctx); err != nil {
		return DisputeEntry{}, err
	}
	rows, err := query(ctx, v, disputes{}, disputeTable, "WHERE id = $1 LIMIT 1", id)
	if err != nil {
		return DisputeEntry{}, err
	}
	if len(rows) == 0 {
		return DisputeEntry{}, domain.Errorf(domain.NotFound, "there is no dispute %s", id)
	}
	return rows[0].entry(), nil
}

func (r *disputeRow) entry() DisputeEntry {
	d := r.dispute()
	return DisputeEntry{
		Dispute: d, Of: wallet.Of{Merchant: r.merchant, Currency: d.Amount.Currency(), Payment: r.payment},
		OpenedAt: instant(r.openedAt), ChangedAt: instant(r.changedAt), Position: eventstore.Position{Partition: int(r.partition), Seq: r.seq},
	}
}

// disputeCursor names the place behind a row.
func disputeCursor(r *disputeRow) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%s", r.respondBy, r.id))
}

func parseDisputeCursor(s string) (respondBy int64, id string, err error) {
	b, decodeErr := base64.RawURLEncoding.DecodeString(s)
	if decodeErr == nil {
		_, decodeErr = fmt.Sscanf(string(b), "%d.%s", &respondBy, &id)
	}
	if decodeErr != nil || fmt.Sprintf("%d.%s", respondBy, id) != string(b) || !eventstore.ValidText(id) {
		return 0, "", domain.InvalidField("cursor", "is not one that a list has given")
	}
	return respondBy, id, nil
}
