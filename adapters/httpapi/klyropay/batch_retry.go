package klyropay

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/projections"
)

// retryRef makes the batch_ref of a retry that names none.
const retryRef = "-retry"

// retryBatch makes a batch of those items of another one that definitely failed. It is a submission like any other, but that its items come
// from the ledger: they are checked and priced by what holds today, and it needs the approvals that it needs today.
func (a *API) retryBatch(w http.ResponseWriter, r *http.Request, c *caller) {
	in, ok := a.retryRequest(w, r)
	if !ok || !a.works(w, r, c) {
		return
	}
	defer c.place.Leave()
	row := a.findBatch(w, r, c)
	if row == nil {
		return
	}
	if in.options.BatchRef = cmp.Or(in.options.BatchRef, row.Ref+retryRef); referenceFault(in.options.BatchRef) != "" {
		problems{{"batch_ref", "is required: with " + retryRef + " behind it that of the batch is too long"}}.write(w)
		return
	}
	claim, ok := newClaim(w, r.Header, http.MethodPost+" "+PathBatches+"/"+row.ID+"/retry-failed", c, nil)
	if !ok {
		return
	}
	var status int
	b, ok := a.retried(w, r, &claim, in, row)
	switch {
	case !ok:
		return
	case b != nil:
		status = http.StatusOK
	case !a.retriable(w, r, row):
		return
	default:
		status, b = a.takeBatch(w, r, c, in, claim, func(items *spool) *batchDraft { return a.failedItems(w, r, c, in, row, items) })
	}
	if b != nil {
		a.showBatch(w, r, in.wait, status, b)
	}
}

// retryRequest reads options, query and preferences. It answers for itself when it returns false.
func (a *API) retryRequest(w http.ResponseWriter, r *http.Request) (batchRequest, bool) {
	var in batchRequest
	_, object, ok := a.readObject(w, r, false)
	if !ok {
		return in, false
	}
	p := query(w, r)
	if p == nil {
		return in, false
	}
	in.dryRun = p.dryRun()
	f := &form{body: object}
	for _, o := range in.options.named() {
		if *o.value = f.ruled(o.name, false, o.fault); p.text(o.name) != "" {
			p.problems.add(o.name, "belongs into the body")
		}
	}
	p.knownOnly()
	f.knownOnly()
	if p.problems = append(p.problems, f.problems...); len(p.problems) > 0 {
		p.problems.write(w)
		return in, false
	}
	in.wait = preferredWait(r.Header)
	return in, true
}

// knownOnly refuses members that a retry does not have, as a submission does.
func (f *form) knownOnly() {
	options, unknown := new(BatchOptions), 0
	for _, m := range f.body {
		if options.has(m.Name) {
			continue
		}
		if unknown++; unknown <= maxUnknown {
			f.problems.add(m.Name, "is not a field of a retry")
		}
	}
}

// retried is the batch that the same request has made before, whatever has become of the items of the old one since; nil when there is none.
// It answers for itself when it returns false.
func (a *API) retried(w http.ResponseWriter, r *http.Request, claim *claim, in batchRequest, of *projections.BatchRow) (*batch.Batch, bool) {
	if in.dryRun {
		return nil, true
	}
	found, err := a.ports.BatchViews.BatchByRef(r.Context(), of.Merchant, in.options.BatchRef)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		return nil, true
	case err != nil:
		a.refuse(w, r, "looking up a batch_ref", err)
		return nil, false
	case found.Terms.RetryOf != of.ID || found.Status == batch.Receiving || !in.options.became(&found.Terms):
		return nil, true
	}
	claim.body = claimed(found.Ref, found.Digest)
	if claim.given() && !a.freeForBatch(r.Context(), w, r, claim) {
		return nil, false
	}
	return &batch.Batch{Of: batch.Of{Merchant: found.Merchant, Currency: found.Currency, Batch: found.ID}}, true
}

// became tells whether a batch that has these terms can have been asked for with the options.
func (o BatchOptions) became(t *batch.Terms) bool {
	at := o.complete() // of this copy
	return o.Mode == string(cmp.Or(t.Mode, batch.Partial)) && o.OnInsufficientBalance == string(cmp.Or(t.Shortage, batch.RefuseShort)) &&
		at.Equal(t.ScheduleAt) && (o.Approval == string(batch.NoApproval) || t.Approval == batch.ApprovalRequired)
}

// retriable tells whether the outcome of every item is known, so that none can fail behind the back of a retry. It answers for itself when
// it returns false.
func (a *API) retriable(w http.ResponseWriter, r *http.Request, row *projections.BatchRow) bool {
	switch row.Status {
	case batch.Completed:
		return true
	case batch.Rejected: // nothing of it was tried
		httpapi.Fail(w, http.StatusConflict, messageNoneFailed)
		return false
	case batch.Cancelled:
		tally, err := a.ports.BatchViews.BatchTally(r.Context(), row.Merchant, row.ID)
		if err != nil {
			a.refuseBatch(w, r, "counting a batch", err, messageBatchUnknown)
			return false
		}
		if tally[itemPending].Count == 0 {
			return true
		}
	default:
	}
	httpapi.Fail(w, http.StatusConflict, messageBatchOpen)
	return false
}

// retry gathers the items of a batch that are to be tried again.
type retry struct {
	draft    *batchDraft
	report   BatchReport
	requests map[string]int // index by partner_request_id
}

// failedItems puts the items that failed into the spool. It answers for itself when it returns nil.
func (a *API) failedItems(w http.ResponseWriter, r *http.Request, c *caller, in batchRequest, of *projections.BatchRow, items *spool) *batchDraft {
	g := &retry{draft: newDraft(in.options, c.merchant.Plan.Currency), requests: map[string]int{}}
	g.draft.retryOf = of.ID
	for after, more := 0, true; more; {
		page, err := a.ports.BatchViews.BatchItems(r.Context(), of.Merchant, of.ID, projections.BatchItemFilter{After: after, Limit: MaxBatchItems})
		if err != nil {
			a.refuseBatch(w, r, "reading the items of a batch", err, messageBatchUnknown)
			return nil
		}
		for i := range page {
			after = page[i].Index
			if !tryAgain(&page[i]) {
				continue
			}
			if err := a.gather(r.Context(), c, g, &page[i], items); err != nil {
				a.refuse(w, r, "retrying the items of a batch", err)
				return nil
			}
		}
		more = len(page) == MaxBatchItems
	}
	if !g.draft.fits() { // prices may have risen
		g.wrong(tooMuch())
	}
	switch {
	case g.report.Total > 0:
		writeBatchProblems(w, nil, g.report)
		return nil
	case g.draft.count == 0:
		httpapi.Fail(w, http.StatusConflict, messageNoneFailed)
		return nil
	}
	g.draft.complete(items)
	return g.draft
}

// tryAgain tells whether an item definitely failed. One whose partner_request_id was used before is no failure: somebody was paid under it.
func tryAgain(i *projections.BatchItem) bool {
	switch i.Status {
	case itemFailed, itemRefunded:
		return true
	case itemRejected:
		return i.Code != string(domain.Duplicate)
	}
	return false
}

// gather takes an item, or notes what is wrong with it, under the index and the partner_request_id that it had.
func (a *API) gather(ctx context.Context, c *caller, g *retry, i *projections.BatchItem, items *spool) error {
	to, err := a.unseal(ctx, sealed{of: i.Payment, text: i.Sealed, id: i.SealID})
	if err != nil {
		return err
	}
	e := &BatchEntry{
		Index: g.draft.count + 1, MobileNo: to.Mobile, BeneficiaryName: to.Name, AccountNo: to.AccountNo, IFSC: i.IFSC, BankName: i.BankName,
		Amount: i.Amount, TransferType: i.TransferType, PartnerRequestID: i.RequestID,
	}
	if i.Drawn { // else the id was never used
		e.PartnerRequestID = retryReference(i.RequestID)
	}
	var wrong []FieldProblem
	if to.AccountNo == "" {
		wrong = []FieldProblem{{"account_no", "is no longer known: it was erased"}}
	} else {
		wrong = entryProblems(e, c.merchant.Plan.Payout)
	}
	if first, again := g.requests[e.PartnerRequestID]; again {
		wrong = append(wrong, FieldProblem{"partner_request_id", "would be that of item " + strconv.Itoa(first) + ", too"})
	}
	g.requests[e.PartnerRequestID] = i.Index
	for _, p := range wrong {
		if p.Field == "partner_request_id" && referenceFault(e.PartnerRequestID) != "" {
			p.Message = "is too long to be retried under another one that follows from it"
		}
		g.wrong(BatchProblem{Index: i.Index, RequestID: i.RequestID, Field: p.Field, Message: p.Message})
	}
	if len(wrong) > 0 {
		return nil
	}
	return g.draft.add(e, &c.merchant.Plan, items)
}

// wrong notes a problem.
func (g *retry) wrong(p BatchProblem) {
	if g.report.Total++; len(g.report.Problems) < maxBatchProblems {
		g.report.Problems = append(g.report.Problems, p)
	}
}

// maxRetries bounds the digits of the number at the end of a partner_request_id.
const maxRetries = 6

// retryReference is the partner_request_id under which a payout is tried again: X, X-r1, X-r2. It follows from the one before, so that trying
// the same payout again for the second time is refused as a duplicate, and nobody is paid twice.
func retryReference(id string) string {
	if at := strings.LastIndex(id, "-r"); at >= 0 {
		number := id[at+len("-r"):]
		if n, err := strconv.Atoi(number); err == nil && digits(number) && number[0] != '0' && len(number) <= maxRetries {
			return id[:at] + "-r" + strconv.Itoa(n+1)
		}
	}
	return id + "-r1"
}
