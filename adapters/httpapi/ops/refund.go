package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// Refunds are what goes back to customers of payins that were paid.
type Refunds interface {
	// Payin returns a payin by its transaction id or txn_ref, as the log has it now. domain.NotFound, also for a payment of another kind.
	Payin(ctx context.Context, id string) (wallet.Payment, error)
	// Submit carries out a command about a payin, and returns it and the wallet after it, once that is durable.
	Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, wallet.Wallet, error)
	// NewRefundID makes the id of a refund.
	NewRefundID() string
}

// Refund is a refund as people read it.
type Refund struct {
	ID          string              `json:"id"`
	Merchant    string              `json:"merchant_id"`
	Transaction string              `json:"transaction_id"`
	Suspense    string              `json:"suspense_id,omitempty"` // the entry that is sent back; "" is the payment that the payin succeeded by
	Reference   string              `json:"reference,omitempty"`
	Status      wallet.RefundStatus `json:"status"`
	Currency    string              `json:"currency"`
	Amount      string              `json:"amount"`     // what the customer gets
	Commission  string              `json:"commission"` // the platform's part of it, with the tax
	Tax         string              `json:"tax"`
	Net         string              `json:"net"` // the merchant's part
	Reason      string              `json:"reason"`
	Actor       string              `json:"actor"`
	Gateway     string              `json:"gateway"`
	Config      string              `json:"config_id,omitempty"`
	PaymentID   string              `json:"payment_id,omitempty"` // the gateway's own id of the payment
	Attempts    int                 `json:"attempts"`
	RefundID    string              `json:"refund_id,omitempty"` // the gateway's own id of the refund
	UTR         string              `json:"utr,omitempty"`
	Failure     string              `json:"failure,omitempty"`
	Late        bool                `json:"paid_after_failure,omitempty"`
	CreatedAt   time.Time           `json:"created_at"`
	ChangedAt   time.Time           `json:"changed_at"`
}

// NewRefund gives a refund of a payin its shape for readers.
func NewRefund(p *wallet.Payment, r *wallet.Refund) Refund {
	return Refund{
		ID: r.ID, Merchant: p.Merchant, Transaction: p.Of.Payment, Suspense: r.Suspense, Reference: r.Reference, Status: r.Status,
		Currency: string(p.Currency), Amount: r.Amount.Fixed(), Commission: r.Commission.Fixed(), Tax: r.Tax.Fixed(), Net: r.Net().Fixed(),
		Reason: r.Reason, Actor: r.Actor, Gateway: r.Gateway, Config: r.Config, PaymentID: r.PaymentID, Attempts: r.Attempts,
		RefundID: r.RefundID, UTR: r.UTR, Failure: r.Failure, Late: r.Late, CreatedAt: r.CreatedAt, ChangedAt: r.At,
	}
}

// RefundsOf are all refunds of a payin, those begun first first, and what can still be refunded.
type RefundsOf struct {
	Refunds    []Refund `json:"refunds"`
	Refundable string   `json:"refundable"`
}

// NewRefundsOf gives the refunds of a payin their shape for readers.
func NewRefundsOf(p *wallet.Payment) RefundsOf {
	out := RefundsOf{Refunds: make([]Refund, len(p.Refunds)), Refundable: p.Refundable().Fixed()}
	for i := range p.Refunds {
		out.Refunds[i] = NewRefund(p, &p.Refunds[i])
	}
	return out
}

// Repeated reports whether the error of a request for a refund says that the same was asked for before: under its Idempotency-Key, if it
// has one, its id or its reference.
func Repeated(err error, c *wallet.RefundPayin, key string) bool {
	var taken *executor.DuplicateError
	if !errors.As(err, &taken) {
		return false
	}
	return taken.Key == wallet.RefundKey(c.Refund) || taken.Key == wallet.RefundReferenceKey(c.Payment, c.Reference) || key != "" && taken.Key == key
}

// RefundAgain finds the refund that a repeated request stands for. domain.Stale when it was another one that was asked for then.
func RefundAgain(p *wallet.Payment, c *wallet.RefundPayin) (wallet.Refund, error) {
	r, there := p.Refund(c.Refund)
	if !there {
		r, there = p.RefundOf(c.Reference)
	}
	switch {
	case !there:
		return r, domain.Errorf(domain.Stale, "the reference belongs to another payin")
	case c.Amount != (money.Amount{}) && !c.Amount.Equal(r.Amount), c.Reference != r.Reference:
		return r, domain.Errorf(domain.Stale, "refund %s, of %s, was asked for under this reference", r.ID, r.Amount.Fixed())
	}
	return r, nil
}

// refunds lists those of a payin.
func (a *API) refunds(r *http.Request, _ merchant.Operator) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	p, err := a.ports.Refunds.Payin(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return NewRefundsOf(&p), nil
}

// refunded is the answer of a request for a refund: the refund, and the wallet after it.
type refunded struct {
	Refund     Refund    `json:"refund"`
	Refundable string    `json:"refundable"`
	Wallet     *Balances `json:"wallet,omitempty"` // none in the answer to a repetition
}

// refundPayin begins a refund. What was asked for before, under the same Idempotency-Key or reference, is not done again: the answer is that
// refund as it is now.
func (a *API) refundPayin(r *http.Request, by merchant.Operator, s sent) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	if err := s.knownFields("amount", "reason", "reference"); err != nil {
		return nil, err
	}
	key, err := idempotencyKey(r, by)
	if err != nil {
		return nil, err
	}
	p, err := a.ports.Refunds.Payin(r.Context(), name)
	if err != nil {
		return nil, err
	}
	f := s.read()
	c := wallet.RefundPayin{
		Base: wallet.Base{Of: p.Of, At: a.now()}, Refund: a.refundID(key), Reference: f.text("reference", false, wallet.MaxName),
		Reason: f.text("reason", true, wallet.MaxReason), Actor: actor(by),
	}
	if m := s.fields.Get("amount"); m.Kind != httpapi.Absent && m.Kind != httpapi.Null {
		c.Amount = f.amount("amount", money.Zero(p.Currency))
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	o := origin(r, by, s.body)
	o.IdempotencyKey = key
	after, w, err := a.ports.Refunds.Submit(r.Context(), c, o)
	switch {
	case Repeated(err, &c, key):
		return a.refundAgain(r.Context(), name, &c)
	case domain.CodeOf(err) == domain.InsufficientBalance:
		return nil, domain.Errorf(domain.Stale, "%s", message(err))
	case err != nil:
		return nil, err
	}
	made, there := after.Refund(c.Refund)
	if !there {
		return nil, fmt.Errorf("refund %s is not among those of payin %s", c.Refund, after.Of.Payment)
	}
	a.opts.Logger.Info("a refund is begun", "request_id", o.Request, "operator", by.ID, "refund", made.ID, "payment", after.Of.Payment)
	return refunded{
		NewRefund(&after, &made), after.Refundable().Fixed(),
		&Balances{Available: w.Available.Fixed(), Locked: w.Locked.Fixed(), Owed: w.Owed.Fixed()},
	}, nil
}

func (a *API) refundAgain(ctx context.Context, name string, c *wallet.RefundPayin) (any, error) {
	p, err := a.ports.Refunds.Payin(ctx, name)
	if err != nil {
		return nil, err
	}
	made, err := RefundAgain(&p, c)
	if err != nil {
		return nil, err
	}
	return refunded{Refund: NewRefund(&p, &made), Refundable: p.Refundable().Fixed()}, nil
}

// refundID is the id of a new refund: of the Idempotency-Key, so that a repeat knows it, or any.
func (a *API) refundID(key string) string {
	if key == "" {
		return a.ports.Refunds.NewRefundID()
	}
	sum := sha256.Sum256([]byte(key))
	return "rfd_" + hex.EncodeToString(sum[:8])
}
