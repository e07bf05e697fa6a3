package klyropay

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/projections"
)

// maxBatchProblems is how many problems of a batch are told.
const maxBatchProblems = 100

// Bounds of waiting for a batch's end.
const (
	maxWait  = 30 * time.Second
	firstGap = 20 * time.Millisecond // between two looks
	lastGap  = time.Second
)

// refuseBatch answers an error about a batch; stale is what is said of one that is not in the right state.
func (a *API) refuseBatch(w http.ResponseWriter, r *http.Request, doing string, err error, stale string) {
	switch domain.CodeOf(err) {
	case domain.NotFound:
		httpapi.Fail(w, http.StatusNotFound, messageBatchUnknown)
	case domain.Stale:
		httpapi.Fail(w, http.StatusConflict, stale)
	default:
		a.refuse(w, r, doing, err)
	}
}

// writeBatchProblems answers 422: what is wrong with the options as for any other request, what is wrong with the items as lines, and all of
// the body as data with its places.
func writeBatchProblems(w http.ResponseWriter, options problems, report BatchReport) {
	listed := report.Problems[:min(len(report.Problems), maxBatchProblems)]
	var lines []string
	for _, p := range listed {
		if p.ofOption() {
			options.add(p.Field, p.Message)
		} else {
			lines = append(lines, p.String())
		}
	}
	b := []byte(`{"success":false,"message":"` + messageValidation + `","data":null,"errors":{`)
	for i, p := range options {
		if i > 0 {
			b = append(b, ',')
		}
		b = httpapi.AppendString(b, p.field)
		b = append(httpapi.AppendString(append(b, ":["...), "The "+p.field+" "+p.text+"."), ']')
	}
	for i, line := range lines {
		switch {
		case i > 0:
			b = append(b, ',')
		case len(options) > 0:
			b = append(b, `,"items":[`...)
		default:
			b = append(b, `"items":[`...)
		}
		b = httpapi.AppendString(b, line)
	}
	if len(lines) > 0 {
		b = append(b, ']')
	}
	b = append(b, `},"problems":[`...)
	for i, p := range listed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPlace(append(b, `{"index":`...), p.Index)
		b = appendPlace(append(b, `,"line":`...), p.Line)
		b = appendPlace(append(b, `,"column":`...), p.Column)
		b = httpapi.AppendOptional(append(b, `,"field":`...), p.Field)
		if p.RequestID != "" {
			b = httpapi.AppendString(append(b, `,"partner_request_id":`...), p.RequestID)
		}
		b = httpapi.AppendString(append(b, `,"message":`...), p.Message)
		b = append(b, '}')
	}
	b = strconv.AppendInt(append(b, `],"more":`...), int64(max(report.Total-len(listed), 0)), 10)
	httpapi.Write(w, http.StatusUnprocessableEntity, append(b, '}'))
}

// ofOption tells whether an option is meant. Each has one problem at most.
func (p BatchProblem) ofOption() bool {
	return p.Index == 0 && new(BatchOptions).has(p.Field)
}

// appendPlace appends a number from 1, or null.
func appendPlace(b []byte, n int) []byte {
	if n <= 0 {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(n), 10)
}

// String is the problem on one line: "item 17, line 18, column 3 (account_no): must be 8 to 20 digits".
func (p BatchProblem) String() string {
	var places []string
	for _, at := range []struct {
		name string
		n    int
	}{{"item ", p.Index}, {"line ", p.Line}, {"column ", p.Column}} {
		if at.n > 0 {
			places = append(places, at.name+strconv.Itoa(at.n))
		}
	}
	if p.RequestID != "" {
		places = append(places, "partner_request_id "+p.RequestID)
	}
	where := strings.Join(places, ", ")
	switch {
	case p.Field != "" && where != "":
		where += " (" + p.Field + ")"
	case p.Field != "":
		where = p.Field
	}
	if where == "" {
		return p.Message
	}
	return where + ": " + p.Message
}

// batchPriced is the answer to a dry run.
func batchPriced(d *batchDraft) []byte {
	b := httpapi.AppendString([]byte(`{"success":true,"data":{"dry_run":true,"batch_ref":`), d.ref)
	b = strconv.AppendInt(append(b, `,"count":`...), int64(d.count), 10)
	return append(appendSums(b, d.amount, d.commission), "}}"...)
}

// appendSums appends what a batch costs.
func appendSums(b []byte, amount, commission money.Amount) []byte {
	b = httpapi.AppendAmount(append(b, `,"total_amount":`...), amount)
	b = httpapi.AppendAmount(append(b, `,"commission":`...), commission)
	return httpapi.AppendAmount(append(b, `,"net_amount":`...), amount.Add(commission))
}

// itemStatuses are what an item of a batch can be, in the order of answers.
func itemStatuses() []string {
	return []string{itemPending, itemQueued, itemSuccess, itemRefunded, itemFailed, itemRejected, itemCancelled}
}

// Statuses of items. Those that are queued, rejected and cancelled are no payouts; a pending one may be one.
const (
	itemPending   = "pending"
	itemQueued    = "queued"
	itemSuccess   = "success"
	itemRefunded  = "refunded"
	itemFailed    = "failed"
	itemRejected  = "rejected"
	itemCancelled = "cancelled"
)

// appendSummary appends what lists tell of a batch.
func appendSummary(b []byte, row *projections.BatchRow) []byte {
	status := row.Status
	if status == batch.Receiving {
		status = batch.Processing
	}
	b = httpapi.AppendString(append(b, `"batch_id":`...), row.ID)
	b = httpapi.AppendString(append(b, `,"batch_ref":`...), row.Ref)
	b = httpapi.AppendString(append(b, `,"status":`...), string(status))
	b = strconv.AppendInt(append(b, `,"count":`...), int64(row.Count), 10)
	b = appendSums(b, row.Amount, row.Commission)
	b = httpapi.AppendString(append(b, `,"submitted_by":`...), row.By)
	b = httpapi.AppendOptional(append(b, `,"decided_by":`...), row.Decided)
	b = httpapi.AppendOptional(append(b, `,"reason":`...), row.Reason)
	b = appendTerms(b, row)
	b = httpapi.AppendTime(append(b, `,"created_at":`...), row.CreatedAt)
	return httpapi.AppendTime(append(b, `,"updated_at":`...), row.UpdatedAt)
}

// appendTerms appends what a batch was submitted under, and how far that has come.
func appendTerms(b []byte, row *projections.BatchRow) []byte {
	t := &row.Terms
	needed := 0
	if t.Approval == batch.ApprovalRequired {
		needed = max(t.Checkers, 1)
	}
	b = httpapi.AppendString(append(b, `,"mode":`...), string(cmp.Or(t.Mode, batch.Partial)))
	b = httpapi.AppendString(append(b, `,"approval":`...), string(cmp.Or(t.Approval, batch.NoApproval)))
	b = strconv.AppendInt(append(b, `,"approvals":{"needed":`...), int64(needed), 10)
	b = strconv.AppendInt(append(b, `,"given":`...), int64(len(row.Approvals)), 10)
	b = append(b, `,"by":[`...)
	for i, who := range row.Approvals {
		if i > 0 {
			b = append(b, ',')
		}
		b = httpapi.AppendString(b, who)
	}
	b = httpapi.AppendString(append(b, `]},"on_insufficient_balance":`...), string(cmp.Or(t.Shortage, batch.RefuseShort)))
	b = httpapi.AppendTime(append(b, `,"schedule_at":`...), t.ScheduleAt)
	b = httpapi.AppendOptional(append(b, `,"retry_of":`...), t.RetryOf)
	if row.Stopper == 0 {
		return append(b, `,"stopped_by":null`...)
	}
	b = strconv.AppendInt(append(b, `,"stopped_by":{"index":`...), int64(row.Stopper), 10)
	return append(httpapi.AppendString(append(b, `,"reason":`...), row.Reason), '}')
}

// appendBatch appends a batch with what has become of its items.
func appendBatch(b []byte, row *projections.BatchRow, tally projections.BatchTally) []byte {
	tally = whole(row, tally)
	b = append(appendSummary(append(b, '{'), row), `,"counts":{`...)
	open := int64(row.Count)
	for i, status := range itemStatuses() {
		if i > 0 {
			b = append(b, ',')
		}
		n := tally[status].Count
		b = strconv.AppendInt(append(httpapi.AppendString(b, status), ':'), n, 10)
		if status != itemPending && status != itemQueued {
			open -= n
		}
	}
	b = append(b, `},"sums":{`...)
	for i, status := range itemStatuses() {
		if i > 0 {
			b = append(b, ',')
		}
		sum := money.Zero(row.Currency)
		if t := tally[status]; t.Count > 0 {
			sum = t.Amount
		}
		b = httpapi.AppendAmount(append(httpapi.AppendString(b, status), ':'), sum)
	}
	progress := int64(100)
	if row.Count > 0 {
		progress = (int64(row.Count) - open) * 100 / int64(row.Count)
	}
	b = strconv.AppendInt(append(b, `},"progress":`...), progress, 10)
	return append(b, '}')
}

// whole is the tally of all items that a batch was announced with. Those that were never received, of a batch that was cut short, are
// pending, or cancelled or rejected with it.
func whole(row *projections.BatchRow, tally projections.BatchTally) projections.BatchTally {
	missing, amount := int64(row.Count), row.Amount
	for _, t := range tally {
		if t.Count > 0 {
			missing, amount = missing-t.Count, amount.Sub(t.Amount)
		}
	}
	if missing <= 0 {
		return tally
	}
	status := itemPending
	if row.Status == batch.Cancelled || row.Status == batch.Rejected { // the names of items' statuses too
		status = string(row.Status)
	}
	all := projections.BatchTally{}
	maps.Copy(all, tally)
	t := all[status]
	if t.Count == 0 {
		t.Amount = money.Zero(row.Currency)
	}
	t.Count, t.Amount = t.Count+missing, t.Amount.Add(amount)
	all[status] = t
	return all
}

// writeBatch answers with a batch.
func writeBatch(w http.ResponseWriter, status int, row *projections.BatchRow, tally projections.BatchTally) {
	b := appendBatch([]byte(`{"success":true,"data":`), row, tally)
	httpapi.Write(w, status, append(b, '}'))
}

// showBatch answers with a batch that was submitted, after waiting for its end if that is wanted. A new one that the views cannot tell of
// is answered as it was made: it exists.
func (a *API) showBatch(w http.ResponseWriter, r *http.Request, wait time.Duration, status int, b *batch.Batch) {
	if wait > 0 {
		waiting, err := a.opts.Waits.Enter(r.Context(), b.Merchant)
		if err != nil {
			wait = 0 // there is no room to wait: it is answered as it is
		}
		defer waiting.Leave()
	}
	if wait > 0 {
		w.Header().Set("Preference-Applied", "wait="+strconv.Itoa(int(wait/time.Second)))
	}
	row, tally := begun(b), projections.BatchTally(nil)
	if wait == 0 && status == http.StatusAccepted {
		writeBatch(w, status, &row, tally)
		return
	}
	seen, sums, err := a.awaitBatch(r.Context(), b, wait)
	switch {
	case err == nil:
		row, tally = seen, sums
	case status != http.StatusAccepted:
		a.refuseBatch(w, r, "reading a batch", err, messageDuplicate)
		return
	case r.Context().Err() == nil:
		a.opts.Logger.Warn("waiting for a batch failed", "request_id", httpapi.From(r.Context()).ID, "batch", b.Batch, "error", err)
	}
	writeBatch(w, status, &row, tally)
}

// begun is a batch as it was made: its items are all still to be paid, or rejected with it.
func begun(b *batch.Batch) projections.BatchRow {
	return projections.BatchRow{
		ID: b.Batch, Ref: b.Ref, Merchant: b.Merchant, Currency: b.Currency, Digest: b.Digest, Status: b.Status, Count: b.Count,
		Amount: b.Amount, Commission: b.Commission, By: b.By, Decided: b.Decided, Reason: b.Reason, CreatedAt: b.At, UpdatedAt: b.At,
		Terms: b.Terms, Approvals: b.Approvals, Stopper: b.Stopper,
	}
}

// awaitBatch looks at a batch until it has ended, the wait is over or the client has gone, at growing intervals. It returns the batch as
// it was last seen.
func (a *API) awaitBatch(ctx context.Context, b *batch.Batch, wait time.Duration) (projections.BatchRow, projections.BatchTally, error) {
	over := time.NewTimer(wait)
	defer over.Stop()
	next := time.NewTimer(0)
	defer next.Stop()
	for gap := firstGap; ; gap = min(gap*3/2, lastGap) {
		row, err := a.ports.BatchViews.Batch(ctx, b.Merchant, b.Batch)
		if err != nil {
			return row, nil, err
		}
		end := wait == 0 || ended(row.Status)
		if !end {
			next.Reset(gap)
			select {
			case <-next.C:
			case <-over.C:
				end = true
			case <-ctx.Done():
				return row, nil, ctx.Err()
			}
		}
		if end {
			tally, err := a.ports.BatchViews.BatchTally(ctx, b.Merchant, b.Batch)
			return row, tally, err
		}
	}
}

// ended tells whether a batch will not change any more.
func ended(s batch.Status) bool {
	return s == batch.Completed || s == batch.Rejected || s == batch.Cancelled
}

// preferredWait reads "Prefer: wait=N" (RFC 7240): seconds, bounded. What is not understood does not count.
func preferredWait(h http.Header) time.Duration {
	for _, line := range h["Prefer"] {
		for preference := range strings.SplitSeq(line, ",") {
			preference, _, _ = strings.Cut(preference, ";") // parameters
			name, value, _ := strings.Cut(preference, "=")
			value = strings.Trim(strings.TrimSpace(value), `"`)
			if !strings.EqualFold(strings.TrimSpace(name), "wait") || !digits(value) {
				continue
			}
			if n, err := strconv.Atoi(value); err == nil && n < int(maxWait/time.Second) {
				return time.Duration(n) * time.Second
			}
			return maxWait
		}
	}
	return 0
}
