package sandbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// schemaRefunds is a part of the second version of the file.
const schemaRefunds = `
CREATE TABLE refunds (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    reference  TEXT    NOT NULL UNIQUE, -- of whoever asked for it
    refund_id  TEXT    NOT NULL UNIQUE,
    payment_id TEXT    NOT NULL,
    payin      TEXT    NOT NULL, -- reference of the payment
    amount     INTEGER NOT NULL,
    currency   TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('pending', 'refunded', 'failed')),
    utr        TEXT    NOT NULL DEFAULT '',
    reason     TEXT    NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX refunds_payment ON refunds (payment_id, seq);
`

// Statuses of a refund of a UPI payment, beside statusPending, statusFailed and statusNotFound.
const statusRefunded = "refunded"

// What a timer does to a refund of a UPI payment.
const (
	actUPIRefund  act = "upi refund"
	actUPIRefusal act = "upi refund fails"
	actUPITurn    act = "upi refund turns" // the bank says something else than before
)

// refundBehaviour is what the bank does with the refunds of an amount that ends in these two decimals.
type refundBehaviour struct {
	paise  int64
	status string // as recorded when it comes; "" records nothing
	reason string // of a failure
	drop   bool   // the connection is closed instead of an answer
	errors int    // times that it is answered with 500 before it works
	then   act    // after Options.Delay, with a callback; "" for nothing
}

// refundBehaviours is the table of refunds; every other one is made at once.
func refundBehaviours() []refundBehaviour {
	return []refundBehaviour{
		{paise: 1, status: statusPending, then: actUPIRefund},
		{paise: 2, status: statusFailed, reason: wallet.FailureAccountClosed},
		{paise: 3, status: statusRefunded, drop: true},
		{paise: 4, drop: true},
		{paise: 6, status: statusFailed, reason: wallet.FailureBankUnavailable, then: actUPITurn},
		{paise: 7, status: statusRefunded, then: actUPITurn},
		{paise: 8, status: statusPending},
		{paise: 9, status: statusPending, then: actUPIRefusal, reason: wallet.FailureAccountFrozen},
		{paise: 10, status: statusRefunded, errors: 2},
	}
}

func refundBehaviourOf(minor int64) refundBehaviour {
	for _, b := range refundBehaviours() {
		if b.paise == minor%100 {
			return b
		}
	}
	return refundBehaviour{paise: minor % 100, status: statusRefunded}
}

type refundRequest struct {
	Reference string         `json:"reference"`
	PaymentID string         `json:"payment_id"`
	Amount    string         `json:"amount"`
	Currency  money.Currency `json:"currency"`
	Reason    string         `json:"reason,omitempty"`
}

type refundAnswer struct {
	Reference string    `json:"reference"`
	Status    string    `json:"status"` // pending, refunded, failed, not_found
	RefundID  string    `json:"refund_id,omitempty"`
	PaymentID string    `json:"payment_id,omitempty"`
	Amount    string    `json:"amount,omitempty"`
	UTR       string    `json:"utr,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	At        time.Time `json:"at,omitzero"` // of the last change
}

// upiRefund is a row of refunds.
type upiRefund struct {
	refundAnswer
	payin string
	minor int64
}

const upiRefundColumns = `reference, refund_id, payment_id, payin, amount, currency, status, utr, reason, updated_at`

func scanUPIRefund(scan func(...any) error) (*upiRefund, error) {
	r := &upiRefund{}
	var updated int64
	var currency string
	err := scan(&r.Reference, &r.RefundID, &r.PaymentID, &r.payin, &r.minor, &currency, &r.Status, &r.UTR, &r.Reason, &updated)
	if err != nil {
		return nil, err
	}
	r.Amount, r.At = money.FromMinor(r.minor, money.Currency(currency)).Fixed(), time.UnixMicro(updated).UTC()
	return r, nil
}

// findUPIRefund returns nil when there is none.
func findUPIRefund(ctx context.Context, q querier, reference string) (*upiRefund, error) {
	r, err := scanUPIRefund(q.QueryRowContext(ctx, `SELECT `+upiRefundColumns+` FROM refunds WHERE reference = $1`, reference).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

// check reads the amount; *fieldError says what is wrong with the request.
func (r *refundRequest) check() (money.Amount, error) {
	amount, err := money.Parse(r.Amount, r.Currency)
	switch {
	case !validReference(r.Reference) || strings.Contains(r.Reference, "/"):
		return amount, &fieldError{"reference", "must be 1 to 100 printable characters without / and spaces"}
	case r.PaymentID == "":
		return amount, &fieldError{"payment_id", "is required"}
	case err != nil || amount.Sign() <= 0 || r.Currency != money.INR:
		return amount, &fieldError{"amount", "must be an amount in rupees above zero"}
	}
	if _, fits := amount.Minor(); !fits {
		return amount, &fieldError{"amount", "is too large"}
	}
	return amount, nil
}

// refund records a refund, or finds the one that has its reference. nil without an error means that nothing was recorded.
func (b *Bank) refund(ctx context.Context, req *refundRequest, amount money.Amount) (out *upiRefund, err error) {
	minor, _ := amount.Minor() // check has seen that it fits
	behaves, fault := refundBehaviourOf(minor), false
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		var err error
		if out, err = findUPIRefund(ctx, tx, req.Reference); err != nil || out != nil {
			return err
		}
		payin, left, err := refundableOf(ctx, tx, req.PaymentID)
		switch {
		case err != nil:
			return err
		case minor > left:
			return &fieldError{"amount", "is more than what is left of the payment"}
		case behaves.status == "":
			return nil
		}
		if fault, err = countFault(ctx, tx, req.Reference, behaves.errors); err != nil || fault {
			return err
		}
		out, err = b.recordRefund(ctx, tx, req, payin, minor, behaves)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("refund %s: %w", req.Reference, err)
	case fault:
		return nil, errFault
	case out != nil && (out.PaymentID != req.PaymentID || out.minor != minor):
		return nil, errConflict
	}
	b.signal()
	return out, nil
}

// refundableOf is the reference of a payment that succeeded, and what of it was not refunded, in minor units.
func refundableOf(ctx context.Context, tx *sql.Tx, paymentID string) (payin string, left int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT reference, amount - (SELECT coalesce(sum(amount), 0) FROM refunds
		WHERE payment_id = $1 AND status <> $3) FROM payments WHERE payment_id = $1 AND status = $2`,
		paymentID, outcomeSuccess, statusFailed).Scan(&payin, &left)
	if errors.Is(err, sql.ErrNoRows) {
		err = &fieldError{"payment_id", "is not that of a payment that succeeded"}
	}
	return payin, left, err
}

func (b *Bank) recordRefund(ctx context.Context, tx *sql.Tx, req *refundRequest, payin string, minor int64, behaves refundBehaviour) (*upiRefund, error) {
	now := b.now()
	r := &upiRefund{
		refundAnswer: refundAnswer{
			Reference: req.Reference, Status: behaves.status, RefundID: randomID("rfnd_"), PaymentID: req.PaymentID,
			Amount: money.FromMinor(minor, money.INR).Fixed(), At: now,
		},
		payin: payin, minor: minor,
	}
	switch r.Status {
	case statusRefunded:
		n, err := number(ctx, tx)
		if err != nil {
			return nil, err
		}
		r.UTR = utr(n, now)
	case statusFailed:
		r.Reason = behaves.reason
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO refunds (reference, refund_id, payment_id, payin, amount, currency, status, utr, reason, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`,
		r.Reference, r.RefundID, r.PaymentID, payin, minor, string(money.INR), r.Status, r.UTR, r.Reason, now.UnixMicro())
	if err != nil || behaves.then == "" {
		return r, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO timers (due_at, reference, act) VALUES ($1, $2, $3)`,
		now.Add(b.opts.Delay).UnixMicro(), r.Reference, string(behaves.then))
	return r, err
}

// turnRefund does what a timer says to a refund, and plans the callback about it.
func (b *Bank) turnRefund(ctx context.Context, tx *sql.Tx, reference string, what act) error {
	r, err := findUPIRefund(ctx, tx, reference)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("a timer of refund %s, which does not exist", reference)
	}
	n, err := number(ctx, tx)
	if err != nil {
		return err
	}
	r.At = b.now()
	done := what == actUPIRefund || what == actUPITurn && r.Status == statusFailed
	said := *r // what the callback says
	if done {
		said.Status, said.UTR, said.Reason = statusRefunded, utr(n, r.At), ""
	} else {
		said.Status, said.UTR, said.Reason = statusFailed, "", wallet.FailureAccountFrozen
	}
	if what != actUPITurn || done { // else it says so, and is wrong: the customer has the money
		_, err = tx.ExecContext(ctx, `UPDATE refunds SET status = $2, utr = $3, reason = $4, updated_at = $5 WHERE reference = $1`,
			reference, said.Status, said.UTR, said.Reason, r.At.UnixMicro())
		if err != nil {
			return err
		}
	}
	return plan(ctx, tx, callbackBody{
		MessageID: randomID("msg_"), Kind: kindRefund, Reference: r.payin, PaymentID: r.PaymentID, Status: said.Status, Amount: r.Amount,
		UTR: said.UTR, Reason: said.Reason, At: r.At, Refund: reference, RefundID: r.RefundID,
	}, r.At)
}

func (b *Bank) serveRefund(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	if _, err := verify(r.Header, b.opts.Secret, body, b.opts.Clock()); err != nil {
		writeError(w, http.StatusUnauthorized, "", err.Error())
		return
	}
	var req refundRequest
	if err := decode(body, &req); err != nil {
		writeFieldError(w, err)
		return
	}
	amount, err := req.check()
	if err != nil {
		writeFieldError(w, err)
		return
	}
	out, err := b.refund(r.Context(), &req, amount)
	b.linger(r.Context())
	var field *fieldError
	switch {
	case errors.As(err, &field):
		writeFieldError(w, field)
	case errors.Is(err, errFault):
		writeError(w, http.StatusInternalServerError, "", errFault.Error())
	case errors.Is(err, errConflict):
		writeError(w, http.StatusConflict, "reference", "the reference belongs to another refund")
	case err != nil:
		b.fail(w, err)
	case out == nil || refundBehaviourOf(out.minor).drop:
		drop(w)
	default:
		writeJSON(w, http.StatusOK, out.refundAnswer)
	}
}

func (b *Bank) serveRefundInquiry(w http.ResponseWriter, r *http.Request) {
	reference := r.PathValue("reference")
	out, err := findUPIRefund(r.Context(), b.readers, reference)
	b.linger(r.Context())
	switch {
	case err != nil:
		b.fail(w, err)
	case out == nil:
		writeJSON(w, http.StatusNotFound, refundAnswer{Reference: reference, Status: statusNotFound})
	default:
		writeJSON(w, http.StatusOK, out.refundAnswer)
	}
}

// serveRefunds answers with the bank's own truth: the refunds of a payment, oldest first.
func (b *Bank) serveRefunds(w http.ResponseWriter, r *http.Request) {
	payment := r.URL.Query().Get("payment_id")
	if payment == "" {
		writeFieldError(w, &fieldError{"payment_id", "is required"})
		return
	}
	list, err := b.refundsOf(r.Context(), payment)
	if err != nil {
		b.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, map[string][]refundAnswer{"refunds": list})
}

func (b *Bank) refundsOf(ctx context.Context, payment string) (list []refundAnswer, err error) {
	rows, err := b.readers.QueryContext(ctx, `SELECT `+upiRefundColumns+` FROM refunds WHERE payment_id = $1 ORDER BY seq LIMIT $2`, payment, listPage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	list = []refundAnswer{}
	for rows.Next() {
		r, err := scanUPIRefund(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, r.refundAnswer)
	}
	return list, rows.Err()
}
