package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// disputeRequest plays the customer's bank. Whoever plays it keeps the case in mind: the sandbox bank only passes on what it says.
type disputeRequest struct {
	PaymentID string     `json:"payment_id"` // of a payment that succeeded
	CaseID    string     `json:"case_id"`    // "" makes one
	Phase     string     `json:"phase"`      // "" is chargeback
	Status    string     `json:"status"`     // "" is open
	Amount    amountText `json:"amount"`     // "" is the payment's
	Fee       amountText `json:"fee"`
	Reason    string     `json:"reason"`
	RespondBy time.Time  `json:"respond_by"` // none is in seven days
	Inquiry   bool       `json:"inquiry"`    // nothing is to be held
}

// respondWithin is how long a merchant has, unless the request says.
const respondWithin = 7 * 24 * time.Hour

// check fills in what was left out; *fieldError says what is wrong.
func (r *disputeRequest) check(now time.Time) (amount, fee money.Amount, err error) {
	if r.CaseID == "" {
		r.CaseID = randomID("case_")
	}
	if r.Phase == "" {
		r.Phase = string(wallet.PhaseChargeback)
	}
	if r.Status == "" {
		r.Status = string(wallet.DisputeOpen)
	}
	if r.RespondBy.IsZero() {
		r.RespondBy = now.Add(respondWithin)
	}
	statuses := []string{
		string(wallet.DisputeOpen), string(wallet.DisputeReview), string(wallet.DisputeIsWon), string(wallet.DisputeIsLost), string(wallet.DisputeEnded),
		string(wallet.SettleReversed),
	}
	switch {
	case r.PaymentID == "":
		return amount, fee, &fieldError{"payment_id", "is required"}
	case !validReference(r.CaseID):
		return amount, fee, &fieldError{"case_id", "must be 1 to 100 printable characters without spaces"}
	case !slices.Contains(wallet.Phases(), wallet.Phase(r.Phase)):
		return amount, fee, &fieldError{"phase", fmt.Sprintf("must be one of %v", wallet.Phases())}
	case !slices.Contains(statuses, r.Status):
		return amount, fee, &fieldError{"status", fmt.Sprintf("must be one of %v", statuses)}
	}
	for field, a := range map[string]struct {
		text amountText
		to   *money.Amount
	}{"amount": {r.Amount, &amount}, "fee": {r.Fee, &fee}} {
		*a.to = money.Zero(money.INR)
		if a.text == "" {
			continue
		}
		if *a.to, err = money.Parse(string(a.text), money.INR); err != nil || a.to.Sign() < 0 {
			return amount, fee, &fieldError{field, "must be an amount in rupees, with at most two decimals"}
		}
	}
	return amount, fee, nil
}

// disputeAnswer is what the ledger will be told.
type disputeAnswer struct {
	CaseID    string    `json:"case_id"`
	PaymentID string    `json:"payment_id"`
	Reference string    `json:"reference"`
	Phase     string    `json:"phase"`
	Status    string    `json:"status"`
	Amount    string    `json:"amount"`
	Fee       string    `json:"fee,omitempty"`
	RespondBy time.Time `json:"respond_by"`
}

// dispute plans the callback about a case.
func (b *Bank) dispute(ctx context.Context, req *disputeRequest, amount, fee money.Amount) (disputeAnswer, error) {
	now := b.now()
	out := disputeAnswer{CaseID: req.CaseID, PaymentID: req.PaymentID, Phase: req.Phase, Status: req.Status, RespondBy: req.RespondBy.UTC()}
	if fee.Sign() > 0 {
		out.Fee = fee.Fixed()
	}
	err := b.transaction(ctx, func(tx *sql.Tx) error {
		var paid int64
		err := tx.QueryRowContext(ctx, "SELECT reference, amount FROM payments WHERE payment_id = $1 AND status = $2", req.PaymentID, outcomeSuccess).
			Scan(&out.Reference, &paid)
		if errors.Is(err, sql.ErrNoRows) {
			return &fieldError{"payment_id", "is not that of a payment that succeeded"}
		}
		if err != nil {
			return err
		}
		if amount.IsZero() {
			amount = money.FromMinor(paid, money.INR)
		}
		out.Amount = amount.Fixed()
		return plan(ctx, tx, callbackBody{
			MessageID: randomID("msg_"), Kind: kindDispute, Reference: out.Reference, PaymentID: out.PaymentID, Status: out.Status, Amount: out.Amount,
			Reason: req.Reason, At: now, CaseID: out.CaseID, Phase: out.Phase, Fee: out.Fee, RespondBy: out.RespondBy, Inquiry: req.Inquiry,
		}, now)
	})
	if err != nil {
		return out, fmt.Errorf("dispute of %s: %w", req.PaymentID, err)
	}
	b.signal()
	b.told(ctx, out.Reference)
	return out, nil
}

func (b *Bank) serveDispute(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var req disputeRequest
	if err := decode(body, &req); err != nil {
		writeFieldError(w, err)
		return
	}
	amount, fee, err := req.check(b.now())
	if err != nil {
		writeFieldError(w, err)
		return
	}
	out, err := b.dispute(r.Context(), &req, amount, fee)
	var field *fieldError
	switch {
	case errors.As(err, &field):
		writeFieldError(w, field)
	case err != nil:
		b.fail(w, err)
	default:
		writeJSON(w, http.StatusOK, out)
	}
}
