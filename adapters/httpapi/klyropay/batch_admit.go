package klyropay

import (
	"context"
	"net/http"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
)

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
	_, same, err := a.held(ctx, at, *claim)
	switch {
	case err != nil:
		a.fault(w, r, "reading what an Idempotency-Key stands for", err)
	case !same:
		httpapi.Fail(w, http.StatusUnprocessableEntity, messageKeyReused)
	default:
		replayed(w)
		claim.key = ""
		return true
	}
	return false
}

// admitBatch looks whether a batch that is new can be what it is asked to be: one that begins at a time has that time before it, and one of
// which all or nothing is to be paid at once can be paid. Else it answers for itself and returns false, and nothing is kept. A batch that
// was submitted before is none of its affairs, whatever has become of time and balance meanwhile.
func (a *API) admitBatch(ctx context.Context, w http.ResponseWriter, r *http.Request, c *caller, d *batchDraft, items *spool) bool {
	late, terms := scheduleFault(d.at, a.opts.Clock()), d.terms(c)
	atOnce := terms.Mode == batch.Atomic && terms.Shortage != batch.QueueShort && terms.Approval == batch.NoApproval && terms.ScheduleAt.IsZero()
	if late == "" && !atOnce {
		return true
	}
	known, err := a.refUsed(ctx, c, d.ref)
	switch {
	case err != nil:
		a.refuse(w, r, "looking up a batch_ref", err)
		return false
	case known:
		return true
	case late != "":
		writeBatchProblems(w, problems{{"schedule_at", late}}, BatchReport{})
		return false
	}
	stopper, err := a.stopper(ctx, c, d, items)
	switch {
	case err != nil:
		a.refuse(w, r, "looking for what stops a batch", err)
	case stopper == nil:
		return true
	default:
		writeBatchProblems(w, nil, BatchReport{Problems: []BatchProblem{*stopper}, Total: 1})
	}
	return false
}

// refFree tells whether the batch_ref is free, or that of a batch of the same content. Else it answers for itself, as the submission would.
func (a *API) refFree(w http.ResponseWriter, r *http.Request, c *caller, d *batchDraft) bool {
	found, err := a.ports.BatchViews.BatchByRef(r.Context(), c.merchant.ID, d.ref)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		return true
	case err != nil:
		a.refuse(w, r, "looking up a batch_ref", err)
		return false
	case found.Digest != d.digest && found.Digest != d.plain:
		httpapi.Fail(w, http.StatusConflict, messageDuplicate)
		return false
	}
	return true
}

// stopper is the item for which a batch cannot be paid as a whole now; nil when all of it can.
func (a *API) stopper(ctx context.Context, c *caller, d *batchDraft, items *spool) (*BatchProblem, error) {
	index, reason, err := a.ports.Batches.Stopper(ctx, c.merchant, items.payouts(d.ref))
	if err != nil || index == 0 {
		return nil, err
	}
	// A copy of the request may have made the batch meanwhile: what stops this one is then its own payouts.
	if known, err := a.refUsed(ctx, c, d.ref); err != nil || known {
		return nil, err
	}
	id, err := items.reference(d.ref, index)
	return &BatchProblem{Index: index, RequestID: id, Message: "stops the batch: " + reason}, err
}

// refUsed tells whether the merchant has a batch of that batch_ref.
func (a *API) refUsed(ctx context.Context, c *caller, ref string) (bool, error) {
	_, err := a.ports.BatchViews.BatchByRef(ctx, c.merchant.ID, ref)
	if domain.CodeOf(err) == domain.NotFound {
		return false, nil
	}
	return err == nil, err
}
