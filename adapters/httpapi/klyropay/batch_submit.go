package klyropay

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

// Messages about batches.
const (
	messageBatchUnknown = "Batch not found"
	messageBatchType    = "Content-Type must be application/json, text/csv or application/x-ndjson"
	messageBatchCut     = "Request body was cut off"
	messageBatchBroken  = "Batch never became whole, nothing of it is paid: use another batch_ref"
	messageBatchEnded   = "Batch has nothing left to cancel"
	messageNotAwaiting  = "Batch does not wait for approval"
	messageRuleChanged  = "Batch was submitted under another approval rule: submit it again"
	messageOwnBatch     = "Batch was submitted with this key: another one must decide about it"
	messageBatchOpen    = "Batch has not ended: its failed items can be retried then"
	messageNoneFailed   = "Batch has no failed items"
)

// scopeBatches is that of Idempotency-Keys.
const scopeBatches = http.MethodPost + " " + PathBatches

// batchDraft is a batch that was read whole, and has nothing wrong with it.
type batchDraft struct {
	ref                string
	options            BatchOptions // complete
	at                 time.Time    // when it begins; zero: at once
	retryOf            string       // the batch whose failed items these are, if they are
	columns            []batch.Column
	count              int
	amount, commission money.Amount
	digest             string // keyed: what the batch keeps
	plain              string // the same without a key: what older batches have kept
}

func newDraft(o BatchOptions, c money.Currency) *batchDraft {
	return &batchDraft{options: o, amount: money.Zero(c), commission: money.Zero(c)}
}

// add prices an item that has nothing wrong with it, and keeps it.
func (d *batchDraft) add(e *BatchEntry, plan *fee.Plan, items *spool) error {
	charge, err := plan.PayoutCharge(e.Amount)
	if err != nil {
		return err
	}
	d.count++
	d.amount, d.commission = d.amount.Add(e.Amount), d.commission.Add(charge.Commission)
	return items.add(e)
}

// fits tells whether the sums can be kept.
func (d *batchDraft) fits() bool {
	_, fits := d.amount.Add(d.commission).Minor()
	return fits
}

// tooMuch is what is wrong with a batch that does not fit.
func tooMuch() BatchProblem {
	return BatchProblem{Field: "items", Message: "add up to more than a batch can be"}
}

// complete ends a draft: what it is called, and what its content is.
func (d *batchDraft) complete(items *spool) {
	d.at = d.options.complete()
	d.ref, d.plain = d.options.BatchRef, items.sum(d.options, d.retryOf)
}

// submitBatch takes a batch: read, check and price all of it, then submit it. Nothing is kept of a batch that is refused.
func (a *API) submitBatch(w http.ResponseWriter, r *http.Request, c *caller) {
	in, ok := a.batchRequest(w, r)
	if !ok {
		drain(r.Body)
		return
	}
	claim, ok := newClaim(w, r.Header, scopeBatches, c, nil)
	if !ok {
		drain(r.Body)
		return
	}
	status, b := a.takeBatch(w, r, c, in, claim, func(items *spool) *batchDraft { return a.readBatch(w, r, c, in, items) })
	if b != nil {
		a.showBatch(w, r, in.wait, status, b)
	}
}

// takeBatch brings a batch in, and returns it with the status of the answer. What read puts into the spool is what is taken. Both answer for
// themselves when they return nil.
func (a *API) takeBatch(w http.ResponseWriter, r *http.Request, c *caller, in batchRequest, claim claim, read func(*spool) *batchDraft) (int, *batch.Batch) {
	c.place.Leave() // of a retry: the places of uploads are others
	leave, ok := a.uploads.enter(r.Context(), w, c.merchant.ID, a.opts.SubmitWithin)
	if !ok {
		drain(r.Body)
		return 0, nil
	}
	defer leave()
	allow(w, a.opts.BatchUpload)
	items, err := newSpool(a.opts.TempDir, c.merchant.Plan.Currency)
	if err != nil {
		a.fault(w, r, "keeping a batch", err)
		return 0, nil
	}
	defer func() {
		if err := items.close(); err != nil {
			a.opts.Logger.Warn("the file of a batch could not be closed", "request_id", c.exchange.ID, "error", err)
		}
	}()
	draft := read(items)
	if draft == nil {
		return 0, nil
	}
	allow(w, a.opts.BatchWithin+in.wait)
	if draft.digest, err = a.ports.Vault.Fingerprint(r.Context(), c.merchant.ID, draft.plain); err != nil {
		a.refuse(w, r, "keying the digest of a batch", err)
		return 0, nil
	}
	if in.dryRun {
		if a.refFree(w, r, c, draft) && a.admitBatch(r.Context(), w, r, c, draft, items) {
			httpapi.Write(w, http.StatusOK, batchPriced(draft))
		}
		return 0, nil
	}
	claim.body, claim.older = claimed(draft.ref, draft.digest), claimed(draft.ref, draft.plain)
	return a.acceptBatch(w, r, c, claim, draft, items)
}

// readBatch reads the body into the spool, and checks and prices it. It answers for itself when it returns nil.
func (a *API) readBatch(w http.ResponseWriter, r *http.Request, c *caller, in batchRequest, items *spool) *batchDraft {
	plan := c.merchant.Plan
	d := newDraft(in.options, plan.Currency)
	body := newUpload(w, r, a.opts.MaxBatchBody)
	report, err := a.ports.BatchFiles.Read(body, BatchReading{
		Format: in.format, Currency: plan.Currency, Items: batch.MaxItems, Problems: maxBatchProblems,
		Check: func(e *BatchEntry) []FieldProblem { return entryProblems(e, plan.Payout) },
		Take:  func(e *BatchEntry) error { return d.add(e, &plan, items) },
	})
	var own *spoolError
	switch {
	case body.tooLarge():
		drain(r.Body)
		httpapi.Fail(w, http.StatusRequestEntityTooLarge, httpapi.MessageTooLarge)
		return nil
	case body.err != nil:
		httpapi.Fail(w, http.StatusBadRequest, messageBatchCut)
		return nil
	case errors.As(err, &own):
		a.fault(w, r, "keeping a batch", err)
		return nil
	case err != nil:
		a.refuse(w, r, "reading a batch", err)
		return nil
	}
	return d.finish(w, r, in, report, items)
}

// claimed is what an Idempotency-Key stands for that was given with a batch.
func claimed(ref, digest string) string { return hash([]byte(ref + "\n" + digest)) }

// finish completes a draft by what the reader reports. It answers for itself when it returns nil.
func (d *batchDraft) finish(w http.ResponseWriter, r *http.Request, in batchRequest, report BatchReport, items *spool) *batchDraft {
	var wrong problems
	if report.NotJSON > 0 {
		drain(r.Body)
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageMalformed+", line "+strconv.Itoa(report.NotJSON))
		return nil
	}
	if in.format == BatchJSON {
		d.options = report.Options
		for _, o := range d.options.named() {
			if !report.about(o.name) && (report.Whole || *o.value != "") {
				o.check(&wrong)
			}
		}
	}
	if !d.fits() {
		report.Problems = append(report.Problems, tooMuch())
		report.Total++
	}
	if len(wrong) > 0 || report.Total > 0 {
		drain(r.Body) // where the reader has left it
		writeBatchProblems(w, wrong, report)
		return nil
	}
	d.columns = report.Columns
	d.complete(items)
	return d
}

// about tells whether an option has a problem already.
func (r *BatchReport) about(option string) bool {
	return slices.ContainsFunc(r.Problems, func(p BatchProblem) bool { return p.Index == 0 && p.Field == option })
}

// entryProblems says what is wrong with an item: by the rules of a single payout.
func entryProblems(e *BatchEntry, t fee.Tariff) []FieldProblem {
	var all []FieldProblem
	add := func(field, fault string) {
		if fault != "" {
			all = append(all, FieldProblem{field, fault})
		}
	}
	required := func(field, value string, fault rule) {
		if value == "" {
			add(field, "is required")
			return
		}
		add(field, fault(value))
	}
	required("mobile_no", e.MobileNo, phoneFault)
	required("beneficiary_name", e.BeneficiaryName, nameFault)
	required("account_no", e.AccountNo, accountFault)
	required("ifsc", e.IFSC, ifscFault)
	required("bank_name", e.BankName, nameFault)
	add("amount", boundsFault(e.Amount, t))
	required("transfer_type", e.TransferType, transferFault)
	add("partner_request_id", referenceFault(e.PartnerRequestID))
	return all
}

// acceptBatch submits a batch. From here on it no longer matters whether the client is still there: a batch that was read whole is
// taken whole, and found by its batch_ref.
func (a *API) acceptBatch(w http.ResponseWriter, r *http.Request, c *caller, claim claim, d *batchDraft, items *spool) (int, *batch.Batch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.opts.BatchWithin)
	defer cancel()
	if claim.given() && !a.freeForBatch(ctx, w, r, &claim) || !a.admitBatch(ctx, w, r, c, d, items) {
		return 0, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		a.fault(w, r, "making a command id", err)
		return 0, nil
	}
	b, repeated, err := a.ports.Batches.Submit(ctx, BatchSubmission{
		Merchant: c.merchant, Ref: d.ref, Digest: d.digest, Plain: d.plain, Terms: d.terms(c),
		Count: d.count, Amount: d.amount, Commission: d.commission, Columns: d.columns, Origin: origin(c, id, claim, nil),
	}, items.payouts(d.ref))
	switch {
	case err != nil:
		a.refuseBatch(w, r, scopeBatches, err, messageBatchBroken)
		return 0, nil
	case repeated:
		return http.StatusOK, &b
	}
	return http.StatusAccepted, &b
}
