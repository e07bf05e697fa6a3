package klyropay

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/projections"
)

// Bounds of the items of a batch in one answer.
const (
	DefaultBatchItems = 100
	MaxBatchItems     = 1000
)

// findBatch reads one of the merchant's batches. It answers for itself when it returns nil.
func (a *API) findBatch(w http.ResponseWriter, r *http.Request, c *caller) *projections.BatchRow {
	id := r.PathValue("batch_id")
	if !isBatchID(id) {
		httpapi.Fail(w, http.StatusNotFound, messageBatchUnknown)
		return nil
	}
	row, err := a.ports.BatchViews.Batch(r.Context(), c.merchant.ID, id)
	if err != nil {
		a.refuseBatch(w, r, "reading a batch", err, messageBatchUnknown)
		return nil
	}
	return &row
}

// isBatchID recognises bat_ and sixteen lower-case letters and digits.
func isBatchID(s string) bool {
	rest, ok := strings.CutPrefix(s, "bat_")
	return ok && len(rest) == idLength && strings.Trim(rest, lowerCase) == ""
}

func (a *API) batch(w http.ResponseWriter, r *http.Request, c *caller) {
	row := a.findBatch(w, r, c)
	if row == nil {
		return
	}
	a.tellBatch(w, r, row)
}

// tellBatch answers with a batch as it is now.
func (a *API) tellBatch(w http.ResponseWriter, r *http.Request, row *projections.BatchRow) {
	tally, err := a.ports.BatchViews.BatchTally(r.Context(), row.Merchant, row.ID)
	if err != nil {
		a.refuseBatch(w, r, "counting a batch", err, messageBatchUnknown)
		return
	}
	writeBatch(w, http.StatusOK, row, tally)
}

// query reads the query string; nil when it has answered for itself.
func query(w http.ResponseWriter, r *http.Request) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageQuery)
		return nil
	}
	return &params{values: values}
}

// badCursor is said of a cursor that is none.
const badCursor = "is not one that was given out"

// batches lists a merchant's batches, newest first; with a batch_ref the one that has it, if there is one.
func (a *API) batches(w http.ResponseWriter, r *http.Request, c *caller) {
	p := query(w, r)
	if p == nil {
		return
	}
	limit := p.number("limit", DefaultLimit, MaxLimit)
	before, ref := p.text("cursor"), p.text("batch_ref")
	if before != "" && !isBatchID(before) {
		p.problems.add("cursor", badCursor)
	}
	if len(p.problems) > 0 {
		p.problems.write(w)
		return
	}
	rows, err := a.listBatches(r.Context(), c.merchant.ID, before, ref, limit+1)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		problems{{"cursor", badCursor}}.write(w)
		return
	case err != nil:
		a.refuse(w, r, "listing batches", err)
		return
	}
	more := ""
	if len(rows) > limit {
		rows = rows[:limit]
		more = rows[limit-1].ID
	}
	b := []byte(`{"success":true,"data":{"batches":[`)
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendSummary(append(b, '{'), &rows[i]), '}')
	}
	b = strconv.AppendInt(append(b, `],"limit":`...), int64(limit), 10)
	b = httpapi.AppendOptional(append(b, `,"next_cursor":`...), more)
	httpapi.Write(w, http.StatusOK, append(b, "}}"...))
}

func (a *API) listBatches(ctx context.Context, merchantID, before, ref string, limit int) ([]projections.BatchRow, error) {
	if ref == "" {
		return a.ports.BatchViews.Batches(ctx, merchantID, before, limit)
	}
	if before != "" || referenceFault(ref) != "" {
		return nil, nil // nothing stands behind the only one, and nothing has such a name
	}
	row, err := a.ports.BatchViews.BatchByRef(ctx, merchantID, ref)
	if domain.CodeOf(err) == domain.NotFound {
		return nil, nil
	}
	return []projections.BatchRow{row}, err
}

// itemQuery asks for a page of items.
type itemQuery struct {
	status      string
	page, limit int
	cursor      string // index of the last item seen
	after       int
}

func (p *params) items() itemQuery {
	q := itemQuery{status: p.text("status"), page: p.number("page", 1, maxPage), limit: p.number("limit", DefaultBatchItems, MaxBatchItems)}
	if q.status != "" && !slices.Contains(itemStatuses(), q.status) {
		p.problems.add("status", "must be "+strings.Join(itemStatuses(), ", "))
	}
	if q.cursor = p.text("cursor"); q.cursor != "" {
		n, err := strconv.Atoi(q.cursor)
		if err != nil || !digits(q.cursor) || n < 1 || n > batch.MaxItems {
			p.problems.add("cursor", badCursor)
		}
		q.after = n
	}
	return q
}

// batchItems lists the items of a batch by their index.
func (a *API) batchItems(w http.ResponseWriter, r *http.Request, c *caller) {
	p := query(w, r)
	if p == nil {
		return
	}
	q := p.items()
	if len(p.problems) > 0 {
		p.problems.write(w)
		return
	}
	row := a.findBatch(w, r, c)
	if row == nil {
		return
	}
	total := int64(row.Count)
	if q.status != "" {
		tally, err := a.ports.BatchViews.BatchTally(r.Context(), row.Merchant, row.ID)
		if err != nil {
			a.refuseBatch(w, r, "counting a batch", err, messageBatchUnknown)
			return
		}
		total = tally[q.status].Count
	}
	items, more, err := a.itemPage(r.Context(), row, q, total)
	if err != nil {
		a.refuseBatch(w, r, "listing the items of a batch", err, messageBatchUnknown)
		return
	}
	b := append(make([]byte, 0, 512+512*len(items)), `{"success":true,"data":{"batch_id":`...)
	b = append(httpapi.AppendString(b, row.ID), `,"items":[`...)
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = a.appendItem(r.Context(), b, row, &items[i]); err != nil {
			a.fault(w, r, "listing the items of a batch", err)
			return
		}
	}
	b = strconv.AppendInt(append(b, `],"page":`...), int64(q.page), 10)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(q.limit), 10)
	b = strconv.AppendInt(append(b, `,"total":`...), total, 10)
	b = strconv.AppendInt(append(b, `,"pages":`...), (total+int64(q.limit)-1)/int64(q.limit), 10)
	b = httpapi.AppendOptional(append(b, `,"next_cursor":`...), more)
	httpapi.Write(w, http.StatusOK, append(b, "}}"...))
}

// itemPage reads a page of items, and the cursor of those behind it. Without a status the page follows from the index; with one, the
// items before it are counted off.
func (a *API) itemPage(ctx context.Context, row *projections.BatchRow, q itemQuery, total int64) ([]projections.BatchItem, string, error) {
	after := q.after
	skip := int64(q.page-1) * int64(q.limit)
	if q.cursor != "" {
		skip = 0
	}
	switch {
	case skip >= total && skip > 0:
		return nil, "", nil
	case q.status == "":
		after, skip = after+int(skip), 0
	}
	read := func(after, limit int) ([]projections.BatchItem, error) {
		return a.ports.BatchViews.BatchItems(ctx, row.Merchant, row.ID, projections.BatchItemFilter{Status: q.status, After: after, Limit: limit})
	}
	for skip > 0 {
		passed, err := read(after, int(min(skip, MaxBatchItems)))
		if err != nil || len(passed) == 0 {
			return nil, "", err
		}
		skip -= int64(len(passed))
		after = passed[len(passed)-1].Index
	}
	items, err := read(after, q.limit)
	if err != nil || len(items) < q.limit {
		return items, "", err
	}
	last := items[len(items)-1].Index
	behind, err := read(last, 1)
	if err != nil || len(behind) == 0 {
		return items, "", err
	}
	return items, strconv.Itoa(last), nil
}

// transaction is the id of an item's payout; "" while there is none: until then nothing can be asked about it, and there may never be one.
func transaction(i *projections.BatchItem) string {
	if !i.Drawn {
		return ""
	}
	return i.Payment
}

// failureReason is why an item was not paid; "" when it was, or may be yet. Where one item has stopped the batch, the others name it: the
// reason is not theirs.
func failureReason(row *projections.BatchRow, i *projections.BatchItem) string {
	switch {
	case i.Status == itemPending, i.Status == itemQueued, i.Status == itemSuccess:
		return ""
	case row.Status == batch.Rejected && row.Stopper != 0 && row.Stopper != i.Index:
		return "item " + strconv.Itoa(row.Stopper) + " stopped the batch: " + row.Reason
	}
	return i.Reason
}

func (a *API) appendItem(ctx context.Context, b []byte, row *projections.BatchRow, i *projections.BatchItem) ([]byte, error) {
	to, err := a.masked(ctx, sealed{of: i.Payment, text: i.Sealed, id: i.SealID}, i.AccountLast4)
	if err != nil {
		return nil, err
	}
	b = strconv.AppendInt(append(b, `{"index":`...), int64(i.Index), 10)
	b = httpapi.AppendOptional(append(b, `,"transaction_id":`...), transaction(i))
	b = httpapi.AppendString(append(b, `,"partner_request_id":`...), i.RequestID)
	b = httpapi.AppendString(append(b, `,"status":`...), i.Status)
	b = httpapi.AppendAmount(append(b, `,"amount":`...), i.Amount)
	b = httpapi.AppendAmount(append(b, `,"charge":`...), i.Commission)
	b = httpapi.AppendAmount(append(b, `,"net_amount":`...), i.Amount.Add(i.Commission))
	b = httpapi.AppendOptional(append(b, `,"beneficiary_name":`...), to.name)
	b = httpapi.AppendString(append(b, `,"account_no":`...), to.account)
	b = httpapi.AppendString(append(b, `,"ifsc":`...), i.IFSC)
	b = httpapi.AppendString(append(b, `,"bank_name":`...), i.BankName)
	b = httpapi.AppendOptional(append(b, `,"utr":`...), i.UTR)
	b = httpapi.AppendOptional(append(b, `,"failure_reason":`...), failureReason(row, i))
	b = httpapi.AppendTime(append(b, `,"updated_at":`...), i.UpdatedAt)
	return append(b, '}'), nil
}
