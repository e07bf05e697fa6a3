package projections

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Bounds of a list.
const (
	MaxLimit = 1000 // items of a page
	// skipFrom is the offset from which whole days are skipped by their counts, instead of row by row.
	skipFrom = 500
)

// Filter picks payments of a merchant.
type Filter struct {
	Merchant string
	Status   wallet.Status // "" is all
	From     time.Time     // of creation, inclusive; zero is no bound
	To       time.Time     // of creation, exclusive; zero is no bound
	Page     int           // from 1; without meaning beside a Cursor
	Limit    int           // items of a page, 1 to MaxLimit; 0 is MaxLimit
	Cursor   string        // NextCursor of the page before: stable while payments are added
}

// Page is a part of a list, newest first.
type Page struct {
	Items      []wallet.Payment
	Total      int64  // payments that the filter picks, on all pages
	NextCursor string // "" after the last page
}

// ListPayins lists a merchant's payins, after Reach. domain.Invalid names a page, limit or cursor that cannot be.
func (v *Views) ListPayins(ctx context.Context, f Filter) (Page, error) {
	return v.list(ctx, wallet.KindPayin, f)
}

// ListPayouts lists a merchant's payouts, after Reach. domain.Invalid names a page, limit or cursor that cannot be.
func (v *Views) ListPayouts(ctx context.Context, f Filter) (Page, error) {
	return v.list(ctx, wallet.KindPayout, f)
}

// where is a growing condition with its arguments.
type where struct {
	text []string
	args []any
}

// and adds a condition, in which %s stands for each argument.
func (w *where) and(condition string, args ...any) {
	names := make([]any, len(args))
	for i := range args {
		names[i] = fmt.Sprintf("$%d", len(w.args)+i+1)
	}
	w.text = append(w.text, fmt.Sprintf(condition, names...))
	w.args = append(w.args, args...)
}

func (w *where) String() string { return "WHERE " + strings.Join(w.text, " AND ") }

// span is a range of creation times in microseconds, from inclusive, to exclusive.
type span struct{ from, to int64 }

// always is a span without bounds.
var always = span{-1 << 62, 1 << 62}

func (f *Filter) span() span {
	s := always
	if !f.From.IsZero() {
		s.from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		s.to = f.To.UnixMicro()
	}
	return s
}

// statuses are those that a filter picks. A list of all is merged from the lists of each.
func (f *Filter) statuses() []wallet.Status {
	if f.Status != "" {
		return []wallet.Status{f.Status}
	}
	return []wallet.Status{wallet.Pending, wallet.Success, wallet.Failed, wallet.Expired, wallet.Refunded, wallet.Released}
}

// of is the condition of merchant, kind and status, in the table of days.
func (f *Filter) of(kind wallet.Kind) *where {
	w := &where{}
	w.and("merchant = %s AND kind = %s", f.Merchant, string(kind))
	if f.Status != "" {
		w.and("status = %s", string(f.Status))
	}
	return w
}

// listed selects what the filter picks from the lists of statuses, one after the other. before is a condition on all of them;
// first ends each: its order and how much of it is needed.
func (f *Filter) listed(kind wallet.Kind, s span, what string, before func(*where), first string) (text string, args []any) {
	var parts []string
	for _, status := range f.statuses() {
		w := &where{args: args}
		w.and("merchant = %s AND kind = %s AND status = %s", f.Merchant, string(kind), string(status))
		if s.from != always.from {
			w.and("created_at >= %s", s.from)
		}
		if s.to != always.to {
			w.and("created_at < %s", s.to)
		}
		before(w)
		parts = append(parts, fmt.Sprintf("SELECT * FROM (SELECT %s FROM %s %s %s) AS listed",
			what, statusTable.marked(generationMark), w, first))
		args = w.args
	}
	return strings.Join(parts, " UNION ALL "), args
}

func (v *Views) list(ctx context.Context, kind wallet.Kind, f Filter) (Page, error) {
	if f.Limit == 0 {
		f.Limit = MaxLimit
	}
	switch {
	case f.Limit < 1 || f.Limit > MaxLimit:
		return Page{}, domain.InvalidField("limit", fmt.Sprintf("must be 1 to %d", MaxLimit))
	case f.Cursor == "" && f.Page < 1:
		return Page{}, domain.InvalidField("page", "must be 1 or more")
	}
	if err := v.Reach(ctx); err != nil {
		return Page{}, err
	}
	total, err := v.count(ctx, kind, &f, f.span())
	if err != nil {
		return Page{}, err
	}
	before := func(*where) {}
	s, offset := f.span(), int64(0)
	if f.Cursor != "" {
		createdAt, seq, err := parseCursor(f.Cursor)
		if err != nil {
			return Page{}, err
		}
		before = func(w *where) { w.and("(created_at, seq) < (%s, %s)", createdAt, seq) }
	} else {
		if int64(f.Page-1) >= (total+int64(f.Limit)-1)/int64(f.Limit) {
			return Page{Total: total}, nil
		}
		offset = int64(f.Page-1) * int64(f.Limit)
		if s, offset, err = v.skip(ctx, kind, &f, s, offset); err != nil {
			return Page{}, err
		}
	}
	clause, args := f.page(kind, s, offset, before)
	rows, err := query(ctx, v, payments{}, paymentTable, clause, args...)
	if err != nil {
		return Page{}, err
	}
	return newPage(rows, f.Limit, total)
}

// page selects the rows of a page, and one more: their keys first, from the lists of statuses.
func (f *Filter) page(kind wallet.Kind, s span, offset int64, before func(*where)) (clause string, args []any) {
	const newest = "ORDER BY created_at DESC, seq DESC"
	picked, args := f.listed(kind, s, "id, merchant, created_at, seq", before, fmt.Sprintf("%s LIMIT %d", newest, offset+int64(f.Limit)+1))
	return fmt.Sprintf("WHERE (id, merchant) IN (SELECT id, merchant FROM (%s %s LIMIT %d OFFSET %d) AS page) %s",
		picked, newest, f.Limit+1, offset, newest), args
}

// newPage takes the first limit rows; one more shows that there is a next page.
func newPage(rows []paymentRow, limit int, total int64) (Page, error) {
	page := Page{Total: total}
	for i := range min(len(rows), limit) {
		p, err := rows[i].payment()
		if err != nil {
			return Page{}, err
		}
		page.Items = append(page.Items, p)
	}
	if len(rows) > limit {
		page.NextCursor = cursor(&rows[limit-1])
	}
	return page, nil
}

// count is the number of payments in a span: whole days by their counts, the rest of the first and last day one by one.
func (v *Views) count(ctx context.Context, kind wallet.Kind, f *Filter, s span) (int64, error) {
	if s.from >= s.to {
		return 0, nil
	}
	first, last := dayOf(s.from+dayMicros-1), dayOf(s.to) // whole days, last exclusive
	if first >= last {
		return v.countRows(ctx, kind, f, s)
	}
	w := f.of(kind)
	w.and("day >= %s AND day < %s", first, last)
	total, err := number(ctx, v, payments{}, "CAST(coalesce(sum(n), 0) AS BIGINT)", dayTable.marked(generationMark)+" "+w.String(), w.args...)
	if err != nil {
		return 0, err
	}
	for _, edge := range []span{{s.from, first * dayMicros}, {last * dayMicros, s.to}} {
		if edge.from == always.from || edge.to == always.to || edge.from >= edge.to {
			continue
		}
		n, err := v.countRows(ctx, kind, f, edge)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (v *Views) countRows(ctx context.Context, kind wallet.Kind, f *Filter, s span) (int64, error) {
	picked, args := f.listed(kind, s, "id", func(*where) {}, "")
	return number(ctx, v, payments{}, "CAST(count(*) AS BIGINT)", "("+picked+") AS picked", args...)
}

// skip turns a large offset into an earlier end of the span and a smaller offset.
func (v *Views) skip(ctx context.Context, kind wallet.Kind, f *Filter, s span, offset int64) (span, int64, error) {
	if offset < skipFrom {
		return s, offset, nil
	}
	last := dayOf(s.to)
	if s.to != always.to {
		n, err := v.countRows(ctx, kind, f, span{max(s.from, last*dayMicros), s.to})
		if err != nil || n > offset {
			return s, offset, err
		}
		s.to, offset = last*dayMicros, offset-n
	}
	w := f.of(kind)
	w.and("day >= %s AND day < %s", dayOf(s.from+dayMicros-1), last)
	days, err := query(ctx, v, payments{}, dayTable, w.String()+" ORDER BY day DESC", w.args...)
	if err != nil {
		return s, offset, err
	}
	for len(days) > 0 {
		day, n := days[0].day, int64(0)
		for len(days) > 0 && days[0].day == day { // one row for each status
			n += days[0].n
			days = days[1:]
		}
		if n > offset {
			return s, offset, nil
		}
		s.to, offset = day*dayMicros, offset-n
	}
	return s, offset, nil
}

// cursor names the place behind a row.
func cursor(r *paymentRow) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", r.createdAt, r.seq))
}

func parseCursor(s string) (createdAt, seq int64, err error) {
	b, decodeErr := base64.RawURLEncoding.DecodeString(s)
	if decodeErr == nil {
		_, decodeErr = fmt.Sscanf(string(b), "%d.%d", &createdAt, &seq)
	}
	if decodeErr != nil || fmt.Sprintf("%d.%d", createdAt, seq) != string(b) {
		return 0, 0, domain.InvalidField("cursor", "is not one that a list has given")
	}
	return createdAt, seq, nil
}

// bounded is a limit within bounds; 0 is the largest.
func bounded(limit int) int {
	if limit < 1 || limit > MaxLimit {
		return MaxLimit
	}
	return limit
}
