package klyropay

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
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
)

// Values of options.
const (
	modePartial   = "partial" // each item is accepted or refused by itself
	balanceReject = "reject"  // what the balance does not cover is refused
)

// scopeBatches is that of Idempotency-Keys.
const scopeBatches = http.MethodPost + " " + PathBatches

// batchRequest is what a submission says beside its body.
type batchRequest struct {
	format  BatchFormat
	options BatchOptions // of bodies that cannot hold them
	dryRun  bool
	wait    time.Duration // 0: not to wait
}

// batchDraft is a batch that was read whole, and has nothing wrong with it.
type batchDraft struct {
	ref                string
	options            BatchOptions
	count              int
	amount, commission money.Amount
	digest             string
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
	if status, b := a.takeBatch(w, r, c, in, claim); b != nil {
		a.showBatch(w, r, in.wait, status, b)
	}
}

// takeBatch brings a batch in, and returns it with the status of the answer. It answers for itself when it returns nil.
func (a *API) takeBatch(w http.ResponseWriter, r *http.Request, c *caller, in batchRequest, claim claim) (int, *batch.Batch) {
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
	draft := a.readBatch(w, r, c, in, items)
	if draft == nil {
		return 0, nil
	}
	allow(w, a.opts.BatchWithin+in.wait)
	if in.dryRun {
		httpapi.Write(w, http.StatusOK, batchPriced(draft))
		return 0, nil
	}
	claim.body = hash([]byte(draft.ref + "\n" + draft.digest))
	return a.acceptBatch(w, r, c, claim, draft, items)
}

// batchRequest reads content type, query and preferences. It answers for itself when it returns false.
func (a *API) batchRequest(w http.ResponseWriter, r *http.Request) (batchRequest, bool) {
	var in batchRequest
	var ok bool
	if in.format, ok = batchFormat(r.Header); !ok {
		httpapi.Fail(w, http.StatusUnsupportedMediaType, messageBatchType)
		return in, false
	}
	if r.ContentLength > a.opts.MaxBatchBody {
		httpapi.Fail(w, http.StatusRequestEntityTooLarge, httpapi.MessageTooLarge)
		return in, false
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageQuery)
		return in, false
	}
	p := &params{values: values}
	switch p.text("dry_run") {
	case "", "false":
	case "true":
		in.dryRun = true
	default:
		p.problems.add("dry_run", `must be "true" or "false"`)
	}
	for _, o := range in.options.named() {
		switch *o.value = p.text(o.name); {
		case *o.value != "" && in.format == BatchJSON:
			p.problems.add(o.name, "belongs into the body")
		case in.format != BatchJSON && len(values[o.name]) <= 1:
			o.check(&p.problems)
		}
	}
	if len(p.problems) > 0 {
		p.problems.write(w)
		return in, false
	}
	in.wait = preferredWait(r.Header)
	return in, true
}

// namedOption is an option and its rule.
type namedOption struct {
	name     string
	value    *string
	required bool
	fault    rule
}

// named lists the options in the document's order.
func (o *BatchOptions) named() []namedOption {
	return []namedOption{
		{"batch_ref", &o.BatchRef, true, referenceFault},
		{"mode", &o.Mode, false, only(modePartial)},
		{"approval", &o.Approval, false, only(string(batch.NoApproval))},
		{"on_insufficient_balance", &o.OnInsufficientBalance, false, only(balanceReject)},
		{"schedule_at", &o.ScheduleAt, false, func(string) string { return "cannot be given: a batch begins at once" }},
	}
}

// only is the rule of options that have one value so far.
func only(value string) rule {
	return func(s string) string {
		if s != value {
			return `must be "` + value + `"`
		}
		return ""
	}
}

func (o namedOption) check(p *problems) {
	switch {
	case *o.value != "":
		if fault := o.fault(*o.value); fault != "" {
			p.add(o.name, fault)
		}
	case o.required:
		p.add(o.name, "is required")
	}
}

// complete puts the defaults where nothing was given.
func (o BatchOptions) complete() BatchOptions {
	o.Mode = cmp.Or(o.Mode, modePartial)
	o.Approval = cmp.Or(o.Approval, string(batch.NoApproval))
	o.OnInsufficientBalance = cmp.Or(o.OnInsufficientBalance, balanceReject)
	return o
}

// readBatch reads the body into the spool, and checks and prices it. It answers for itself when it returns nil.
func (a *API) readBatch(w http.ResponseWriter, r *http.Request, c *caller, in batchRequest, items *spool) *batchDraft {
	plan := c.merchant.Plan
	d := &batchDraft{options: in.options, amount: money.Zero(plan.Currency), commission: money.Zero(plan.Currency)}
	body := newUpload(w, r, a.opts.MaxBatchBody)
	report, err := a.ports.BatchFiles.Read(body, BatchReading{
		Format: in.format, Currency: plan.Currency, Items: batch.MaxItems, Problems: maxBatchProblems,
		Check: func(e *BatchEntry) []FieldProblem { return entryProblems(e, plan.Payout) },
		Take: func(e *BatchEntry) error {
			charge, err := plan.PayoutCharge(e.Amount)
			if err != nil {
				return err
			}
			d.count++
			d.amount, d.commission = d.amount.Add(e.Amount), d.commission.Add(charge.Commission)
			return items.add(e)
		},
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

// finish completes a draft by what the reader reports. It answers for itself when it returns nil.
func (d *batchDraft) finish(w http.ResponseWriter, r *http.Request, in batchRequest, report BatchReport, items *spool) *batchDraft {
	var wrong problems
	if in.format == BatchJSON {
		d.options = report.Options
		for _, o := range d.options.named() {
			if !report.about(o.name) && (report.Whole || *o.value != "") {
				o.check(&wrong)
			}
		}
	}
	if _, fits := d.amount.Add(d.commission).Minor(); !fits {
		report.Problems = append(report.Problems, BatchProblem{Field: "items", Message: "add up to more than a batch can be"})
		report.Total++
	}
	if len(wrong) > 0 || report.Total > 0 {
		drain(r.Body) // where the reader has left it
		writeBatchProblems(w, wrong, report)
		return nil
	}
	d.options = d.options.complete()
	d.ref, d.digest = d.options.BatchRef, items.sum(d.options)
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
	if claim.given() && !a.freeForBatch(ctx, w, r, &claim) {
		return 0, nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		a.fault(w, r, "making a command id", err)
		return 0, nil
	}
	b, repeated, err := a.ports.Batches.Submit(ctx, BatchSubmission{
		Merchant: c.merchant, Ref: d.ref, Digest: d.digest, Terms: batch.Terms{Approval: batch.Approval(d.options.Approval)},
		Count: d.count, Amount: d.amount, Commission: d.commission, Origin: origin(c, id, claim, nil),
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

// freeForBatch looks whether an Idempotency-Key is held. When another request holds it, it answers for itself and returns false. When this
// very request does, it goes on without the key: the batch_ref finds the batch, and completes one that was cut short.
func (a *API) freeForBatch(ctx context.Context, w http.ResponseWriter, r *http.Request, claim *claim) bool {
	at, taken, err := a.ports.Log.Lookup(ctx, claim.merchant, claim.dedupeKey())
	if err != nil {
		a.fault(w, r, "looking up an Idempotency-Key", err)
		return false
	}
	if !taken {
		return true
	}
	_, body, err := a.held(ctx, at)
	switch {
	case err != nil:
		a.fault(w, r, "reading what an Idempotency-Key stands for", err)
	case body != claim.body:
		httpapi.Fail(w, http.StatusUnprocessableEntity, messageKeyReused)
	default:
		replayed(w)
		claim.key = ""
		return true
	}
	return false
}
