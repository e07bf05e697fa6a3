package sandbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// States of a refund: pending until it reaches the customer, or fails.
const (
	refundPending   = "pending"
	refundProcessed = "processed"
	refundFailed    = "failed"
)

// Speeds of a refund.
const (
	speedNormal  = "normal"  // after Options.Delay
	speedOptimum = "optimum" // at once
)

// razorpayRefund is a row of razorpay_refunds.
type razorpayRefund struct {
	ID          string
	KeyID       string
	PaymentID   string
	Amount      int64
	Currency    string
	Status      string
	Speed       string
	Receipt     string
	Notes       map[string]string
	ARN         string // the bank's number
	Idempotency string
	Fingerprint string
	CreatedAt   time.Time
}

type razorpayRefundEntity struct {
	ID             string             `json:"id"`
	Entity         string             `json:"entity"`
	Amount         int64              `json:"amount"`
	Currency       string             `json:"currency"`
	PaymentID      string             `json:"payment_id"`
	Notes          any                `json:"notes"`
	Receipt        *string            `json:"receipt"`
	AcquirerData   map[string]*string `json:"acquirer_data"`
	CreatedAt      int64              `json:"created_at"`
	BatchID        *string            `json:"batch_id"`
	Status         string             `json:"status"`
	SpeedProcessed string             `json:"speed_processed"`
	SpeedRequested string             `json:"speed_requested"`
}

func (r *razorpayRefund) entity() razorpayRefundEntity {
	e := razorpayRefundEntity{
		ID: r.ID, Entity: "refund", Amount: r.Amount, Currency: r.Currency, PaymentID: r.PaymentID, Notes: notesOf(r.Notes), Receipt: sent(r.Receipt),
		AcquirerData: map[string]*string{"arn": sent(r.ARN)}, CreatedAt: r.CreatedAt.Unix(), Status: r.Status, SpeedProcessed: speedNormal,
		SpeedRequested: r.Speed,
	}
	if r.Speed == speedOptimum {
		e.SpeedProcessed = "instant"
	}
	return e
}

const razorpayRefundColumns = `id, key_id, payment_id, amount, currency, status, speed, receipt, notes, arn, idempotency, fingerprint, created_at`

func scanRazorpayRefund(scan func(...any) error) (*razorpayRefund, error) {
	r := &razorpayRefund{}
	var notes string
	var created int64
	err := scan(&r.ID, &r.KeyID, &r.PaymentID, &r.Amount, &r.Currency, &r.Status, &r.Speed, &r.Receipt, &notes, &r.ARN, &r.Idempotency, &r.Fingerprint, &created)
	if err != nil {
		return nil, err
	}
	r.CreatedAt = time.UnixMicro(created).UTC()
	return r, json.Unmarshal([]byte(notes), &r.Notes)
}

// minIdempotencyKey is the least that the company documents of the key in the header X-Refund-Idempotency.
const minIdempotencyKey = 10

// readRazorpayRefund reads what a refund is to be; an amount of 0 is what is left.
func readRazorpayRefund(r *http.Request, in fields) (*razorpayRefund, error) {
	out := &razorpayRefund{Speed: in["speed"], Receipt: in["receipt"], Idempotency: r.Header.Get("X-Refund-Idempotency"), Status: refundPending}
	var err error
	if _, given := in["amount"]; given {
		if out.Amount, err = razorpayAmount(in, "amount"); err != nil {
			return nil, err
		}
	}
	if out.Notes, err = razorpayNotes(in); err != nil {
		return nil, err
	}
	switch out.Speed {
	case "":
		out.Speed = speedNormal
	case speedNormal, speedOptimum:
	default:
		return nil, badRequest("speed", "The selected speed is invalid.")
	}
	if len([]rune(out.Receipt)) > maxReceipt {
		return nil, badRequest("receipt", fmt.Sprintf("The receipt may not be greater than %d characters.", maxReceipt))
	}
	if key := out.Idempotency; key != "" && !isAlphanumeric(strings.NewReplacer("-", "0", "_", "0").Replace(key), minIdempotencyKey, maxReferenceBytes) {
		return nil, badRequest("", "The idempotency key must have at least 10 letters, numbers, hyphens and underscores.")
	}
	same, err := encode([]any{r.PathValue("id"), out.Amount, out.Speed, out.Receipt, out.Notes})
	sum := sha256.Sum256([]byte(same))
	out.Fingerprint = hex.EncodeToString(sum[:16])
	return out, err
}

func (b *Bank) razorpayCreateRefund(ctx context.Context, a *razorpayAccount, r *http.Request, in fields) (any, error) {
	refund, err := readRazorpayRefund(r, in)
	if err != nil {
		return nil, err
	}
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		p, err := razorpayPaymentOf(ctx, tx, a.KeyID, r.PathValue("id"))
		if err != nil {
			return err
		}
		if refund.Idempotency != "" {
			first, err := optional(tx.QueryRowContext(ctx, `SELECT `+razorpayRefundColumns+` FROM razorpay_refunds WHERE key_id = $1 AND idempotency = $2`,
				a.KeyID, refund.Idempotency), scanRazorpayRefund)
			if err != nil {
				return err
			}
			if first != nil && first.Fingerprint != refund.Fingerprint {
				return badRequest("", "Different request body sent for the same Idempotency Header")
			}
			if first != nil {
				refund = first
				return nil
			}
		}
		return b.giveBack(ctx, tx, a, p, refund)
	})
	if err != nil {
		return nil, err
	}
	b.signal()
	return refund.entity(), nil
}

// giveBack records a refund of a payment.
func (b *Bank) giveBack(ctx context.Context, tx *sql.Tx, a *razorpayAccount, p *razorpayPayment, refund *razorpayRefund) error {
	left := p.Amount - p.Refunded
	switch {
	case p.Status == paymentRefunded:
		return refusal("The payment has been fully refunded already")
	case p.Status != paymentCaptured:
		return refusal("The payment status should be captured for action to be taken")
	case refund.Amount > p.Amount:
		return badRequest("amount", "The refund amount provided is greater than amount captured")
	case refund.Amount > left:
		return badRequest("amount", "The total refund amount is greater than the refund payment amount")
	case refund.Amount == 0:
		refund.Amount = left
	}
	now := b.now()
	refund.ID, refund.KeyID, refund.PaymentID, refund.Currency, refund.CreatedAt = faceID("rfnd_", razorpayIDLength), a.KeyID, p.ID, p.Currency, now
	notes, err := encode(refund.Notes)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO razorpay_refunds (`+razorpayRefundColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11, $12)`,
		refund.ID, refund.KeyID, refund.PaymentID, refund.Amount, refund.Currency, refund.Status, refund.Speed, refund.Receipt, notes, refund.Idempotency,
		refund.Fingerprint, now.UnixMicro())
	if err != nil {
		return err
	}
	if p.Refunded += refund.Amount; p.Refunded == p.Amount {
		p.Status = paymentRefunded
	}
	if err := (&razorpayBook{tx: tx}).store(ctx, p); err != nil {
		return err
	}
	err = tellRazorpay(ctx, tx, a, p.OrderID, "refund.created", now, contained{"refund", refund.entity()}, contained{"payment", p.entity()})
	if err != nil {
		return err
	}
	if refund.Speed == speedOptimum && a.Refunds == refundsProcess {
		return b.reach(ctx, tx, a, p, refund)
	}
	return b.planTimer(ctx, tx, refund.ID, actRazorpayRefund, now)
}

// reach records that a refund has reached the customer.
func (b *Bank) reach(ctx context.Context, tx *sql.Tx, a *razorpayAccount, p *razorpayPayment, refund *razorpayRefund) error {
	n, err := number(ctx, tx)
	if err != nil {
		return err
	}
	now := b.now()
	refund.Status, refund.ARN = refundProcessed, utr(n, now)
	if _, err := tx.ExecContext(ctx, `UPDATE razorpay_refunds SET status = $2, arn = $3 WHERE id = $1`, refund.ID, refund.Status, refund.ARN); err != nil {
		return err
	}
	return tellRazorpay(ctx, tx, a, p.OrderID, "refund.processed", now, contained{"refund", refund.entity()}, contained{"payment", p.entity()})
}

// razorpayRefunded carries out the timer of a refund.
func (b *Bank) razorpayRefunded(ctx context.Context, tx *sql.Tx, id string) error {
	refund, err := scanRazorpayRefund(tx.QueryRowContext(ctx, `SELECT `+razorpayRefundColumns+` FROM razorpay_refunds WHERE id = $1`, id).Scan)
	if err != nil {
		return fmt.Errorf("timer of refund %s: %w", id, err)
	}
	p, err := razorpayPaymentOf(ctx, tx, refund.KeyID, refund.PaymentID)
	if err != nil {
		return fmt.Errorf("timer of refund %s: %w", id, err)
	}
	a, err := b.razorpayAccountOf(ctx, tx, refund.KeyID)
	if err != nil {
		return err
	}
	switch a.Refunds {
	case refundsHold:
		return hold(ctx, tx, id, actRazorpayRefund, b.now())
	case refundsFail:
		return b.keep(ctx, tx, a, p, refund)
	}
	return b.reach(ctx, tx, a, p, refund)
}

// keep records that a refund has failed: its money is the merchant's again.
func (b *Bank) keep(ctx context.Context, tx *sql.Tx, a *razorpayAccount, p *razorpayPayment, refund *razorpayRefund) error {
	refund.Status = refundFailed
	if _, err := tx.ExecContext(ctx, `UPDATE razorpay_refunds SET status = $2 WHERE id = $1`, refund.ID, refund.Status); err != nil {
		return err
	}
	p.Refunded -= refund.Amount
	p.Status = paymentCaptured
	if err := (&razorpayBook{tx: tx}).store(ctx, p); err != nil {
		return err
	}
	return tellRazorpay(ctx, tx, a, p.OrderID, "refund.failed", b.now(), contained{"refund", refund.entity()}, contained{"payment", p.entity()})
}

// razorpayListRefunds lists the refunds of a payment, or of the account.
func (b *Bank) razorpayListRefunds(ctx context.Context, a *razorpayAccount, r *http.Request, in fields) (any, error) {
	count, skip, from, to, err := razorpayPaging(in)
	if err != nil {
		return nil, err
	}
	paymentID := r.PathValue("id")
	if paymentID != "" {
		if _, err := razorpayPaymentOf(ctx, b.readers, a.KeyID, paymentID); err != nil {
			return nil, err
		}
	}
	list, err := listOf(ctx, b.readers, scanRazorpayRefund, `SELECT `+razorpayRefundColumns+` FROM razorpay_refunds
		WHERE key_id = $1 AND $2 IN ('', payment_id) AND created_at BETWEEN $3 AND $4 ORDER BY seq DESC LIMIT $5 OFFSET $6`,
		a.KeyID, paymentID, from, to, count, skip)
	return collectionOf(list, (*razorpayRefund).entity), err
}

func (b *Bank) razorpayFetchRefund(ctx context.Context, a *razorpayAccount, r *http.Request, _ fields) (any, error) {
	id := r.PathValue("refund_id")
	if rest, ok := strings.CutPrefix(id, "rfnd_"); !ok || !isAlphanumeric(rest, razorpayIDLength, razorpayIDLength) {
		return nil, badRequest("", fmt.Sprintf("%.50s is not a valid id", id))
	}
	refund, err := optional(b.readers.QueryRowContext(ctx, `SELECT `+razorpayRefundColumns+` FROM razorpay_refunds
		WHERE id = $1 AND key_id = $2 AND $3 IN ('', payment_id)`, id, a.KeyID, r.PathValue("id")), scanRazorpayRefund)
	if err != nil {
		return nil, err
	}
	if refund == nil {
		return nil, unknownID()
	}
	return refund.entity(), nil
}
