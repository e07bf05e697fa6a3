package sandbox

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// transfer is a row of transfers.
type transfer struct {
	seq             int64
	reference       string
	fingerprint     string
	digits          string
	amount          money.Amount
	status          string
	utr             string
	bankReference   string
	returnReference string
	reason          string
	updatedAt       time.Time
}

func (t *transfer) answer() transferAnswer {
	return transferAnswer{
		Reference: t.reference, Status: t.status, Amount: t.amount.Fixed(), UTR: t.utr, BankReference: t.bankReference,
		ReturnReference: t.returnReference, Reason: t.reason, At: t.updatedAt,
	}
}

const transferColumns = `seq, reference, fingerprint, digits, amount, currency, status, utr, bank_reference, return_reference, reason, updated_at`

func scanTransfer(scan func(...any) error) (*transfer, error) {
	t := &transfer{}
	var minor, updated int64
	var currency string
	err := scan(&t.seq, &t.reference, &t.fingerprint, &t.digits, &minor, &currency, &t.status, &t.utr, &t.bankReference,
		&t.returnReference, &t.reason, &updated)
	if err != nil {
		return nil, err
	}
	t.amount, t.updatedAt = money.FromMinor(minor, money.Currency(currency)), time.UnixMicro(updated).UTC()
	return t, nil
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// findTransfer returns nil when there is none.
func findTransfer(ctx context.Context, q querier, reference string) (*transfer, error) {
	t, err := scanTransfer(q.QueryRowContext(ctx, `SELECT `+transferColumns+` FROM transfers WHERE reference = $1`, reference).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return t, err
}

// errConflict is another transfer under a reference that is taken.
var errConflict = errors.New("the reference belongs to another transfer")

// errFault is the answer 500 of an account that gives some.
var errFault = errors.New("internal error of the bank")

// send records a transfer, or finds the one that has its reference. nil without an error means that nothing was recorded.
func (b *Bank) send(ctx context.Context, r transferRequest, amount money.Amount) (out *transfer, err error) {
	behaves := behaviourOf(r.AccountNo)
	fingerprint := b.fingerprint(r, amount)
	fault := false
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		var err error
		if out, err = findTransfer(ctx, tx, r.Reference); err != nil || out != nil {
			return err
		}
		if behaves.status == "" {
			return nil
		}
		if fault, err = countFault(ctx, tx, r.Reference, behaves.errors); err != nil || fault {
			return err
		}
		out, err = b.record(ctx, tx, r.Reference, fingerprint, amount, behaves)
		return err
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("transfer %s: %w", r.Reference, err)
	case fault:
		return nil, errFault
	case out != nil && out.fingerprint != fingerprint:
		return nil, errConflict
	}
	b.signal()
	return out, nil
}

func (b *Bank) fingerprint(r transferRequest, amount money.Amount) string {
	mac := hmac.New(sha256.New, b.opts.Secret)
	mac.Write([]byte(r.AccountNo + "|" + r.IFSC + "|" + amount.String()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// countFault tells whether this send is still one to be answered with 500, and counts it.
func countFault(ctx context.Context, tx *sql.Tx, reference string, faults int) (bool, error) {
	if faults == 0 {
		return false, nil
	}
	var answered int
	err := tx.QueryRowContext(ctx, `INSERT INTO faults (reference, answered) VALUES ($1, 1)
		ON CONFLICT (reference) DO UPDATE SET answered = answered + 1 RETURNING answered`, reference).Scan(&answered)
	return answered <= faults, err
}

// record inserts the transfer as the behaviour says, with its timer.
func (b *Bank) record(ctx context.Context, tx *sql.Tx, reference, fingerprint string, amount money.Amount, behaves behaviour) (*transfer, error) {
	n, err := number(ctx, tx)
	if err != nil {
		return nil, err
	}
	now := b.now()
	t := &transfer{
		reference: reference, fingerprint: fingerprint, digits: behaves.digits, amount: amount, status: behaves.status,
		bankReference: fmt.Sprintf("SBX%012d", n), updatedAt: now,
	}
	switch t.status {
	case statusPaid:
		t.utr = utr(n, now)
	case statusFailed:
		t.reason = behaves.reason
	}
	minor, fits := amount.Minor()
	if !fits {
		return nil, fmt.Errorf("amount %s is too large", amount)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO transfers (reference, fingerprint, digits, amount, currency, status, utr, bank_reference, reason,
		created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)`,
		t.reference, t.fingerprint, t.digits, minor, string(amount.Currency()), t.status, t.utr, t.bankReference, t.reason, now.UnixMicro())
	if err != nil || behaves.then == "" {
		return t, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO timers (due_at, reference, act) VALUES ($1, $2, $3)`,
		now.Add(b.opts.Delay).UnixMicro(), reference, string(behaves.then))
	return t, err
}

// carryOut does what a timer says to a transfer, and plans the callbacks about it.
func (b *Bank) carryOut(ctx context.Context, tx *sql.Tx, reference string, what act) error {
	switch what {
	case actRazorpayRefund:
		return b.razorpayRefunded(ctx, tx, reference)
	case actPayURefund:
		return b.payuRefunded(ctx, tx, reference)
	case actUPIRefund, actUPIRefusal, actUPITurn:
		return b.turnRefund(ctx, tx, reference, what)
	default: // of a transfer
	}
	t, err := findTransfer(ctx, tx, reference)
	if err != nil {
		return err
	}
	if t == nil {
		return fmt.Errorf("a timer of transfer %s, which does not exist", reference)
	}
	n, err := number(ctx, tx)
	if err != nil {
		return err
	}
	behaves := behaviourOf(t.digits)
	t.updatedAt = b.now()
	switch what {
	case actPay:
		t.status, t.utr = statusPaid, utr(n, t.updatedAt)
	case actFail:
		t.status, t.reason = statusFailed, behaves.reason
	case actReturn:
		t.status, t.returnReference, t.reason = statusReturned, utr(n, t.updatedAt), wallet.FailureAccountInvalid
	default:
		return fmt.Errorf("a timer of transfer %s: unknown act %q", reference, what)
	}
	_, err = tx.ExecContext(ctx, `UPDATE transfers SET status = $2, utr = $3, return_reference = $4, reason = $5, updated_at = $6 WHERE reference = $1`,
		reference, t.status, t.utr, t.returnReference, t.reason, t.updatedAt.UnixMicro())
	if err != nil {
		return err
	}
	said := transferCallback(t)
	for range behaves.callback {
		if err := plan(ctx, tx, said, t.updatedAt); err != nil {
			return err
		}
	}
	if behaves.contrary {
		t.status, t.utr, t.reason = statusFailed, "", wallet.FailureAccountClosed
		return plan(ctx, tx, transferCallback(t), t.updatedAt)
	}
	return nil
}

func transferCallback(t *transfer) callbackBody {
	return callbackBody{
		MessageID: randomID("msg_"), Kind: kindTransfer, Reference: t.reference, Status: t.status, Amount: t.amount.Fixed(),
		UTR: t.utr, BankReference: t.bankReference, ReturnReference: t.returnReference, Reason: t.reason, At: t.updatedAt,
	}
}

// plan stores a callback that is to be delivered at once.
func plan(ctx context.Context, tx *sql.Tx, c callbackBody, now time.Time) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO callbacks (reference, message_id, body, due_at, created_at) VALUES ($1, $2, $3, $4, $4)`,
		c.Reference, c.MessageID, body, now.UnixMicro())
	return err
}

// listPage is how many transfers are read at a time.
const listPage = 1000

// list calls f for the newest transfers, limit of them or (negative) all, newest first. It reads in pages, so that a slow reader
// does not hold the file.
func (b *Bank) list(ctx context.Context, limit int, f func(listedTransfer) error) error {
	if limit < 0 {
		limit = math.MaxInt
	}
	before := int64(math.MaxInt64)
	for limit > 0 {
		size := min(listPage, limit)
		page, last, err := b.page(ctx, before, size)
		if err != nil {
			return err
		}
		for _, t := range page {
			if err := f(t); err != nil {
				return err
			}
		}
		if len(page) < size {
			return nil
		}
		before = last
		limit -= size
	}
	return nil
}

func (b *Bank) page(ctx context.Context, before int64, size int) (page []listedTransfer, last int64, err error) {
	rows, err := b.readers.QueryContext(ctx, `SELECT `+transferColumns+` FROM transfers WHERE seq < $1 ORDER BY seq DESC LIMIT $2`, before, size)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		t, err := scanTransfer(rows.Scan)
		if err != nil {
			return nil, 0, err
		}
		page = append(page, listedTransfer{Reference: t.reference, Amount: t.amount.Fixed(), Status: t.status, UTR: t.utr})
		last = t.seq
	}
	return page, last, rows.Err()
}
