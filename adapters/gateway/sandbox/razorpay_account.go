package sandbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/http"
	"strings"
	"time"
)

// razorpayAccount is an account of the face. It holds secrets.
type razorpayAccount struct {
	KeyID         string    `json:"key_id"`
	KeySecret     string    `json:"key_secret,omitempty"`
	AccountID     string    `json:"account_id"`
	WebhookURL    string    `json:"webhook_url"`
	WebhookSecret string    `json:"webhook_secret,omitempty"`
	Orders        string    `json:"orders"`
	Capture       string    `json:"capture"`
	Refunds       string    `json:"refunds"`
	CreatedAt     time.Time `json:"created_at"`
}

// What an account does with the orders that are to be made.
const (
	faceAccept = "accept"
	faceRefuse = "refuse" // 400, in the company's format
	faceError  = "error"  // 500, and nothing is done
	faceSilent = "silent" // it is done, and the connection closed
)

// How an account's payments are captured.
const (
	captureAuto   = "auto"
	captureManual = "manual"
)

// razorpayAccountRequest makes an account, or changes one, for who gives its key_secret. What it leaves out stays as it is, and is generated for a new account.
type razorpayAccountRequest struct {
	KeyID         *string `json:"key_id"`
	KeySecret     *string `json:"key_secret"`
	WebhookURL    *string `json:"webhook_url"`
	WebhookSecret *string `json:"webhook_secret"`
	Orders        *string `json:"orders"`
	Capture       *string `json:"capture"`
	Refunds       *string `json:"refunds"`
}

// apply changes an account; *fieldError says what may not be.
func (r *razorpayAccountRequest) apply(a *razorpayAccount, b *Bank) error {
	for _, err := range []error{
		replaceText(&a.KeySecret, r.KeySecret, "key_secret"),
		b.replaceHook(&a.WebhookURL, r.WebhookURL),
		replaceText(&a.WebhookSecret, r.WebhookSecret, "webhook_secret"),
		choose(&a.Orders, r.Orders, "orders", faceAccept, faceRefuse, faceError, faceSilent),
		choose(&a.Capture, r.Capture, "capture", captureAuto, captureManual),
		choose(&a.Refunds, r.Refunds, "refunds", refundsProcess, refundsFail, refundsHold),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

const razorpayAccountColumns = `key_id, account_id, key_secret, webhook_url, webhook_secret, orders, capture, refunds, created_at`

func scanRazorpayAccount(scan func(...any) error) (*razorpayAccount, error) {
	a := &razorpayAccount{}
	var created int64
	err := scan(&a.KeyID, &a.AccountID, &a.KeySecret, &a.WebhookURL, &a.WebhookSecret, &a.Orders, &a.Capture, &a.Refunds, &created)
	a.CreatedAt = time.UnixMicro(created).UTC()
	return a, err
}

// razorpayAccountOf returns nil when there is none.
func (b *Bank) razorpayAccountOf(ctx context.Context, q querier, keyID string) (*razorpayAccount, error) {
	return optional(q.QueryRowContext(ctx, `SELECT `+razorpayAccountColumns+` FROM razorpay_accounts WHERE key_id = $1`, keyID), scanRazorpayAccount)
}

func (b *Bank) serveRazorpayAccount(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var req razorpayAccountRequest
	if err := decode(body, &req); err != nil {
		writeFieldError(w, err)
		return
	}
	keyID := faceID("rzp_test_", razorpayIDLength)
	if req.KeyID != nil {
		keyID = *req.KeyID
	}
	rest, known := strings.CutPrefix(keyID, "rzp_test_")
	if !known || !isAlphanumeric(rest, 1, 64) {
		writeFieldError(w, &fieldError{"key_id", "must be rzp_test_ and letters and digits"})
		return
	}
	var a *razorpayAccount
	err := b.transaction(r.Context(), func(tx *sql.Tx) (err error) {
		if a, err = b.razorpayAccountOf(r.Context(), tx, keyID); err != nil {
			return err
		}
		if a != nil && !owns(req.KeySecret, a.KeySecret) {
			return errNotOwner
		}
		if a == nil {
			a = &razorpayAccount{
				KeyID: keyID, KeySecret: rand.Text(), AccountID: faceID("acc_", razorpayIDLength), WebhookSecret: rand.Text(), Orders: faceAccept,
				Capture: captureAuto, Refunds: refundsProcess, CreatedAt: b.now(),
			}
		}
		if err := req.apply(a, b); err != nil {
			return err
		}
		_, err = tx.ExecContext(r.Context(), `INSERT INTO razorpay_accounts (`+razorpayAccountColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (key_id) DO UPDATE SET key_secret = $3, webhook_url = $4, webhook_secret = $5, orders = $6, capture = $7, refunds = $8`,
			a.KeyID, a.AccountID, a.KeySecret, a.WebhookURL, a.WebhookSecret, a.Orders, a.Capture, a.Refunds, a.CreatedAt.UnixMicro())
		return err
	})
	b.answerFace(w, a, err)
}

func (b *Bank) serveRazorpayAccounts(w http.ResponseWriter, r *http.Request) {
	list, err := listOf(r.Context(), b.readers, scanRazorpayAccount,
		`SELECT `+razorpayAccountColumns+` FROM razorpay_accounts ORDER BY seq DESC LIMIT $1`, maxAccounts)
	for _, a := range list {
		a.KeySecret, a.WebhookSecret = "", ""
	}
	b.answerFace(w, map[string]any{"accounts": list}, err)
}

// serveRazorpayTruth tells what the face has really collected and given back.
func (b *Bank) serveRazorpayTruth(w http.ResponseWriter, r *http.Request) {
	limit, err := truthLimit(r)
	if err != nil {
		writeFieldError(w, err)
		return
	}
	ctx, key := r.Context(), r.URL.Query().Get("key_id")
	orders, err := listOf(ctx, b.readers, scanRazorpayOrder,
		`SELECT `+razorpayOrderColumns+` FROM razorpay_orders WHERE $1 IN ('', key_id) ORDER BY seq DESC LIMIT $2`, key, limit)
	if err != nil {
		b.fail(w, err)
		return
	}
	payments, err := listOf(ctx, b.readers, scanRazorpayPayment,
		`SELECT `+razorpayPaymentColumns+` FROM razorpay_payments WHERE $1 IN ('', key_id) ORDER BY seq DESC LIMIT $2`, key, limit)
	if err != nil {
		b.fail(w, err)
		return
	}
	refunds, err := listOf(ctx, b.readers, scanRazorpayRefund,
		`SELECT `+razorpayRefundColumns+` FROM razorpay_refunds WHERE $1 IN ('', key_id) ORDER BY seq DESC LIMIT $2`, key, limit)
	b.answerFace(w, map[string]any{
		"orders":   collectionOf(orders, (*razorpayOrder).entity).Items,
		"payments": collectionOf(payments, (*razorpayPayment).entity).Items,
		"refunds":  collectionOf(refunds, (*razorpayRefund).entity).Items,
	}, err)
}

// answerFace answers a request to the sandbox itself about a face.
func (b *Bank) answerFace(w http.ResponseWriter, out any, err error) {
	var field *fieldError
	switch {
	case err == nil:
		writeJSON(w, http.StatusOK, out)
	case errors.Is(err, errNotOwner):
		writeError(w, http.StatusForbidden, "", errNotOwner.Error())
	case errors.Is(err, errHook):
		writeError(w, http.StatusBadRequest, "webhook_url", errHook.Error())
	case asField(err, &field):
		writeFieldError(w, field)
	default:
		b.fail(w, err)
	}
}
