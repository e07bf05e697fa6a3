package sandbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// payRequest plays the customer's UPI app.
type payRequest struct {
	IntentURL string     `json:"intent_url"`
	Outcome   string     `json:"outcome"`
	Amount    amountText `json:"amount"` // to pay another amount than asked
}

// amountText is an amount given as a JSON string or a JSON number: its text, exactly.
type amountText string

// UnmarshalJSON keeps the text; what is no number is refused later, with the field's name.
func (a *amountText) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	*a = amountText(bytes.Trim(b, `"`))
	return nil
}

// fieldError is a wrong part of a request.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string { return e.field + " " + e.problem }

// maxReferenceBytes bounds a reference.
const maxReferenceBytes = 100

// intent reads a UPI link, and returns its reference and amount ("" when it has none).
func intent(link string) (reference, amount string, err error) {
	wrong := func(problem string) (string, string, error) { return "", "", &fieldError{"intent_url", problem} }
	if link == "" {
		return wrong("is required")
	}
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "upi" || u.Host != "pay" {
		return wrong("must be a link of the form upi://pay?...")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return wrong("has a query that cannot be read")
	}
	reference = q.Get("tr")
	switch {
	case !validReference(reference):
		return wrong("must have a transaction reference, tr")
	case q.Get("pa") == "":
		return wrong("must have a payee address, pa")
	case q.Has("cu") && q.Get("cu") != string(money.INR):
		return wrong("must be in rupees, cu=INR")
	}
	return reference, q.Get("am"), nil
}

func validReference(s string) bool {
	if s == "" || len(s) > maxReferenceBytes {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// check reads the request: *fieldError says what is wrong with it.
func (r *payRequest) check() (reference string, amount money.Amount, err error) {
	reference, asked, err := intent(r.IntentURL)
	if err != nil {
		return "", amount, err
	}
	if r.Outcome != outcomeSuccess && r.Outcome != outcomeFailure {
		return "", amount, &fieldError{"outcome", `must be "success" or "failure"`}
	}
	field, text := "intent_url (am)", asked
	if r.Amount != "" {
		field, text = "amount", string(r.Amount)
	}
	amount, err = money.Parse(text, money.INR)
	if err != nil || amount.Sign() <= 0 {
		return "", amount, &fieldError{field, "must be an amount in rupees above zero, with at most two decimals"}
	}
	if _, fits := amount.Minor(); !fits {
		return "", amount, &fieldError{field, "is too large"}
	}
	return reference, amount, nil
}

// pay records a customer's payment and plans the callback about it.
func (b *Bank) pay(ctx context.Context, reference string, amount money.Amount, outcome string) (paymentAnswer, error) {
	now := b.now()
	p := paymentAnswer{PaymentID: randomID("pay_"), Reference: reference, Amount: amount.Fixed(), Status: outcome, At: now}
	if outcome == outcomeFailure {
		p.Reason = wallet.FailureDeclined
	}
	minor, fits := amount.Minor()
	if !fits {
		return p, fmt.Errorf("amount %s is too large", amount)
	}
	err := b.transaction(ctx, func(tx *sql.Tx) error {
		if outcome == outcomeSuccess {
			n, err := number(ctx, tx)
			if err != nil {
				return err
			}
			p.UTR = utr(n, now)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO payments (payment_id, reference, amount, currency, status, utr, reason, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			p.PaymentID, reference, minor, string(money.INR), p.Status, p.UTR, p.Reason, now.UnixMicro())
		if err != nil {
			return err
		}
		return plan(ctx, tx, callbackBody{
			MessageID: randomID("msg_"), Kind: kindPayment, Reference: reference, PaymentID: p.PaymentID, Status: p.Status,
			Amount: p.Amount, UTR: p.UTR, Reason: p.Reason, At: now,
		}, now)
	})
	if err != nil {
		return p, fmt.Errorf("payment for %s: %w", reference, err)
	}
	b.signal()
	b.told(ctx, reference)
	return p, nil
}

// How long a payment waits for its callback to be tried, and how often it looks.
const (
	tellWithin = time.Second
	tellPoll   = 5 * time.Millisecond
)

// told waits, a bounded time, until the callbacks about a reference have been tried: so that whoever plays the customer and
// then asks the ledger finds the money there. It is a courtesy: nothing depends on it.
func (b *Bank) told(ctx context.Context, reference string) {
	if b.running.TryLock() {
		b.running.Unlock()
		return // nobody delivers callbacks now
	}
	ctx, cancel := context.WithTimeout(ctx, tellWithin)
	defer cancel()
	for waiting := 1; waiting > 0; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(tellPoll):
		}
		err := b.readers.QueryRowContext(ctx, `SELECT COUNT(*) FROM callbacks WHERE reference = $1 AND attempt = 0`, reference).Scan(&waiting)
		if err != nil {
			return
		}
	}
}

// payments returns the first payments made for a reference.
func (b *Bank) payments(ctx context.Context, reference string) (out paymentsAnswer, err error) {
	out = paymentsAnswer{Reference: reference, Payments: []paymentAnswer{}}
	rows, err := b.readers.QueryContext(ctx, `SELECT payment_id, amount, currency, status, utr, reason, created_at FROM payments
		WHERE reference = $1 ORDER BY seq LIMIT $2`, reference, gateway.MaxPayments)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		p := paymentAnswer{Reference: reference}
		var minor, created int64
		var currency string
		if err := rows.Scan(&p.PaymentID, &minor, &currency, &p.Status, &p.UTR, &p.Reason, &created); err != nil {
			return out, err
		}
		p.Amount = money.FromMinor(minor, money.Currency(currency)).Fixed()
		p.At = time.UnixMicro(created).UTC()
		out.Payments = append(out.Payments, p)
	}
	return out, rows.Err()
}
