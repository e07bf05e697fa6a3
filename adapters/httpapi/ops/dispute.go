package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/projections"
)

// Disputes are the claims of customers' banks on payins.
type Disputes interface {
	// Disputes lists them by what must be responded to first. domain.Invalid for a cursor that is none.
	Disputes(ctx context.Context, f projections.DisputeFilter) (projections.DisputePage, error)
	// Dispute returns one. domain.NotFound.
	Dispute(ctx context.Context, id string) (projections.DisputeEntry, error)
	// Payin returns a payin by its transaction id. domain.NotFound, also for a payment of another kind.
	Payin(ctx context.Context, id string) (wallet.Payment, error)
	// Dispute carries out a command about a dispute and returns the payin and the wallet after it, once that is durable.
	Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, wallet.Wallet, error)
	// NewID makes the id of a dispute.
	NewID() string
}

// Dispute is a dispute as people read it.
type Dispute struct {
	ID          string               `json:"id"`
	Merchant    string               `json:"merchant_id"`
	Transaction string               `json:"transaction_id"`
	Case        string               `json:"case_id,omitempty"`
	Gateway     string               `json:"gateway"`
	PaymentID   string               `json:"payment_id,omitempty"`  // the gateway's own id of the payment that is claimed back
	Suspense    string               `json:"suspense_id,omitempty"` // its entry, if it went to suspense
	Phase       wallet.Phase         `json:"phase"`
	Status      wallet.DisputeStatus `json:"status"`
	Reason      string               `json:"reason"`
	Currency    string               `json:"currency"`
	Amount      string               `json:"amount"` // that is claimed
	Held        string               `json:"held"`
	Lost        string               `json:"lost"`
	Fee         string               `json:"fee"`
	Documents   int                  `json:"documents"`
	RespondBy   time.Time            `json:"respond_by"`
	Overdue     bool                 `json:"overdue,omitempty"` // it is open, and nothing was responded in time
	OpenedAt    time.Time            `json:"opened_at"`
	ChangedAt   time.Time            `json:"changed_at"`
}

// NewDispute gives a dispute its shape for readers, as of now.
func NewDispute(d *projections.DisputeEntry, now time.Time) Dispute {
	return Dispute{
		ID: d.ID, Merchant: d.Of.Merchant, Transaction: d.Of.Payment, Case: d.Case, Gateway: d.Gateway, PaymentID: d.PaymentID, Suspense: d.Suspense, Phase: d.Phase, Status: d.Status, Reason: d.Reason,
		Currency: string(d.Of.Currency), Amount: d.Amount.Fixed(), Held: d.Held.Fixed(), Lost: d.Lost.Fixed(), Fee: d.Fee.Fixed(), Documents: d.Documents,
		RespondBy: d.RespondBy, Overdue: d.Status == wallet.DisputeOpen && d.RespondBy.Before(now), OpenedAt: d.OpenedAt, ChangedAt: d.ChangedAt,
	}
}

// DisputeStatuses are the statuses that a list can be asked for: one of them, "running" (open or under_review) or "all".
func DisputeStatuses() []string {
	return []string{"running", "all", string(wallet.DisputeOpen), string(wallet.DisputeReview), string(wallet.DisputeIsWon), string(wallet.DisputeIsLost), string(wallet.DisputeEnded)}
}

// StatusesOf are the statuses that one of DisputeStatuses stands for; none is all.
func StatusesOf(asked string) []wallet.DisputeStatus {
	switch asked {
	case "", "running":
		return []wallet.DisputeStatus{wallet.DisputeOpen, wallet.DisputeReview}
	case "all":
		return nil
	}
	return []wallet.DisputeStatus{wallet.DisputeStatus(asked)}
}

// disputes lists them: without a status those that wait for their outcome.
func (a *API) disputes(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	f := projections.DisputeFilter{
		Statuses: StatusesOf(p.text("status", DisputeStatuses()...)), Merchant: p.text("merchant"), Payment: p.text("transaction"),
		DueBy: p.instant("due_by", time.Time{}), Cursor: p.text("cursor"), Limit: p.limit(),
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	page, err := a.ports.Disputes.Disputes(r.Context(), f)
	if err != nil {
		return nil, err
	}
	views, now := make([]Dispute, len(page.Items)), a.opts.Clock()
	for i := range page.Items {
		views[i] = NewDispute(&page.Items[i], now)
	}
	return struct {
		Disputes []Dispute `json:"disputes"`
		Next     string    `json:"next_cursor,omitempty"`
	}{views, page.NextCursor}, nil
}

// disputeView is the answer about one dispute.
type disputeView struct {
	Dispute Dispute `json:"dispute"`
}

func (a *API) dispute(r *http.Request, _ merchant.Operator) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	d, err := a.ports.Disputes.Dispute(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return disputeView{NewDispute(&d, a.opts.Clock())}, nil
}

// DisputeOf is a dispute of a payment as it is in the log, in its shape for readers.
func DisputeOf(p *wallet.Payment, id string, entry *projections.DisputeEntry, now time.Time) (Dispute, error) {
	d, there := p.Dispute(id)
	if !there {
		return Dispute{}, fmt.Errorf("dispute %s is not among those of payment %s", id, p.Of.Payment)
	}
	found := projections.DisputeEntry{Dispute: d, Of: p.Of, OpenedAt: now, ChangedAt: now}
	if entry != nil {
		found.OpenedAt = entry.OpenedAt
	}
	return NewDispute(&found, now), nil
}

// disputed is the answer of a change: the dispute and the wallet after it.
type disputed struct {
	Dispute Dispute   `json:"dispute"`
	Wallet  *Balances `json:"wallet,omitempty"` // none in the answer to a repeated Idempotency-Key
}

// submitDispute carries a command out, and answers with what it has made of the dispute. What was asked for under the same Idempotency-Key before is not
// done again: the answer is the dispute as it is now.
func (a *API) submitDispute(r *http.Request, by merchant.Operator, c wallet.Command, id string, entry *projections.DisputeEntry, o eventstore.Origin) (any, error) {
	key, err := idempotencyKey(r, by)
	if err != nil {
		return nil, err
	}
	o.IdempotencyKey = key
	p, w, err := a.ports.Disputes.Submit(r.Context(), c, o)
	var taken *executor.DuplicateError
	if key != "" && errors.As(err, &taken) && taken.Key == key {
		d, err := a.ports.Disputes.Dispute(r.Context(), id)
		return disputed{Dispute: NewDispute(&d, a.opts.Clock())}, err
	}
	if err != nil {
		return nil, err
	}
	d, err := DisputeOf(&p, id, entry, c.Effective())
	if err != nil {
		return nil, err
	}
	a.opts.Logger.Info("a dispute is changed", "request_id", o.Request, "operator", by.ID, "dispute", id, "status", string(d.Status))
	return disputed{d, &Balances{Available: w.Available.Fixed(), Locked: w.Locked.Fixed(), Owed: w.Owed.Fixed()}}, nil
}

// idempotencyKey is the request's, within what its operator asks of its path; "" without one.
func idempotencyKey(r *http.Request, by merchant.Operator) (string, error) {
	sent := r.Header.Values("Idempotency-Key")
	if len(sent) == 0 {
		return "", nil
	}
	if len(sent) > 1 || sent[0] == "" || len(sent[0]) > maxIdempotencyKey || !eventstore.ValidText(sent[0]) {
		return "", domain.InvalidField("Idempotency-Key", fmt.Sprintf("must be one text of 1 to %d bytes", maxIdempotencyKey))
	}
	sum := sha256.Sum256([]byte(r.URL.Path + " " + sent[0]))
	return "ops:" + by.ID + ":" + hex.EncodeToString(sum[:]), nil
}

// maxIdempotencyKey bounds an Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// disputeID is the id of a dispute that is opened: of the Idempotency-Key, so that a repeat knows it, or any.
func (a *API) disputeID(r *http.Request, by merchant.Operator) (string, error) {
	key, err := idempotencyKey(r, by)
	if key == "" {
		return a.ports.Disputes.NewID(), err
	}
	sum := sha256.Sum256([]byte(key))
	return "dsp_" + hex.EncodeToString(sum[:8]), nil
}

// knownFields refuses what a body must not have.
func (s *sent) knownFields(names ...string) error {
	for _, m := range s.fields {
		if !slices.Contains(names, m.Name) {
			return domain.InvalidField(m.Name, "is not known")
		}
	}
	return nil
}
