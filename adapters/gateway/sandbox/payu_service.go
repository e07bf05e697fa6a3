package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// PayU's command API, merchant/postservice?form=2. Every answer has status 200 and tells by its own status, 1 or 0, what came of it. Which
// numbers are JSON numbers and which are strings is as documented, command by command: mihpayid is a number of 18 digits in some answers.

// payuAnswer is the answer to a command.
type payuAnswer struct {
	Status  int    `json:"status"`
	Message string `json:"msg"`

	Details   any         `json:"transaction_details,omitempty"`
	RequestID string      `json:"request_id,omitempty"`
	BankRef   *nullString `json:"bank_ref_num,omitempty"`
	PaymentID int64       `json:"mihpayid,omitempty"`
	ErrorCode int         `json:"error_code,omitempty"`
}

// nullString is always null: what is not known yet, but shown.
type nullString struct{}

// MarshalJSON writes null.
func (*nullString) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func payuRefusal(format string, args ...any) *payuAnswer {
	return &payuAnswer{Message: fmt.Sprintf(format, args...)}
}

func (b *Bank) servePayUCommand(w http.ResponseWriter, r *http.Request) {
	in, err := readFields(w, r)
	if err == nil {
		err = in.take(r.URL.Query()) // form=2 may be in both
	}
	var out *payuAnswer
	if err == nil {
		out, err = b.payuCommand(r.Context(), in)
	}
	switch {
	case errors.Is(err, errFields):
		out = payuRefusal("The request could not be read.")
	case errors.Is(err, errSilent):
		drop(w)
		return
	case errors.Is(err, errFault):
		writeJSON(w, http.StatusInternalServerError, payuRefusal("Something went wrong."))
		return
	case err != nil:
		b.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, out)
}

func (b *Bank) payuCommand(ctx context.Context, in fields) (*payuAnswer, error) {
	switch {
	case in["form"] != "2":
		return payuRefusal("The sandbox answers in JSON only: form=2"), nil
	case in["key"] == "" || in["command"] == "" || in["hash"] == "" || in["var1"] == "":
		return payuRefusal("Parameter missing"), nil
	}
	a, err := payuAccountOf(ctx, b.readers, in["key"])
	if err != nil {
		return nil, err
	}
	if a == nil {
		return payuRefusal("Invalid merchant key"), nil
	}
	if !payuHashIs(in["hash"], payuHash(in["key"], in["command"], in["var1"], a.Salt)) {
		return payuRefusal("Invalid Hash."), nil
	}
	switch in["command"] {
	case "verify_payment", "check_payment":
		switch a.Verify {
		case faceError:
			return nil, errFault
		case faceSilent:
			return nil, errSilent
		}
		if in["command"] == "verify_payment" {
			return b.payuVerify(ctx, a, in["var1"])
		}
		return b.payuCheck(ctx, a, in["var1"])
	case "cancel_refund_transaction":
		return b.payuRefund(ctx, a, in)
	case "check_action_status", "check_action_status_txnid":
		return b.payuActions(ctx, a, in)
	}
	return payuRefusal("Invalid Command"), nil
}

// maxPayUTransactions bounds one verify_payment.
const maxPayUTransactions = 100

// payuVerify tells about transactions by the merchant's ids: of each the attempt that succeeded, or else the last one.
func (b *Bank) payuVerify(ctx context.Context, a *payuAccount, list string) (*payuAnswer, error) {
	ids := strings.Split(list, "|")
	if len(ids) > maxPayUTransactions {
		return payuRefusal("More than %d transactions are asked for", maxPayUTransactions), nil
	}
	found, details := 0, map[string]any{}
	for _, id := range ids {
		p, err := optional(b.readers.QueryRowContext(ctx, `SELECT `+payuPaymentColumns+` FROM payu_payments WHERE merchant = $1 AND txnid = $2
			ORDER BY status = $3 DESC, mihpayid DESC LIMIT 1`, a.Key, id, payuSuccess), scanPayUPayment)
		if err != nil {
			return nil, err
		}
		if p == nil {
			details[id] = map[string]string{"mihpayid": "Not Found", "status": "Not Found"}
			continue
		}
		found++
		details[id] = p.verified()
	}
	out := &payuAnswer{Message: fmt.Sprintf("%d out of %d Transactions Fetched Successfully", found, len(ids)), Details: details}
	if found > 0 {
		out.Status = 1
	}
	return out, nil
}

// debited is what the customer has paid, as verify_payment and check_payment show it: a number, and "0.00".
func (p *payuPayment) debited() any {
	if p.Status == payuSuccess {
		return json.Number(p.money().Short())
	}
	return "0.00"
}

// details are the fields that verify_payment and check_payment have in common.
func (p *payuPayment) details() map[string]any {
	out := map[string]any{
		"bank_ref_num": sent(p.BankRef), "amt": p.Amount, "txnid": p.TxnID, "additional_charges": "0.00", "bankcode": p.BankCode, "field9": p.Said,
		"addedon": p.CreatedAt.In(payuZone()).Format(time.DateTime), "payment_source": "payu", "net_amount_debit": p.debited(), "disc": "0.00",
		"mode": p.Mode, "PG_TYPE": sent(p.Mode), "card_no": sent(p.Card), "name_on_card": nil, "status": p.Status, "unmappedstatus": p.Unmapped,
		"Merchant_UTR": nil, "Settled_At": nil,
	}
	for _, name := range []string{"productinfo", "firstname", "udf1", "udf2", "udf3", "udf4", "udf5"} {
		out[name] = p.Form[name]
	}
	return out
}

func (p *payuPayment) verified() map[string]any {
	out := p.details()
	out["mihpayid"], out["request_id"], out["transaction_amount"] = strconv.FormatInt(p.ID, 10), "", p.Amount
	out["error_code"], out["error_Message"], out["card_type"] = sent(p.Error), sent(p.Message), "UNKNOWN"
	return out
}

// payuCheck tells about an attempt by PayU's own id.
func (b *Bank) payuCheck(ctx context.Context, a *payuAccount, id string) (*payuAnswer, error) {
	p, err := b.payuPaymentOf(ctx, b.readers, a, id)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return payuRefusal("Transaction not exists"), nil
	}
	d := p.details()
	d["mihpayid"], d["request_id"], d["net_amount"], d["amount"], d["amount_paid"], d["discount"] = p.ID, nil, nil, p.Amount, p.Amount, "0.00"
	return &payuAnswer{Status: 1, Message: "Transaction Fetched Successfully", Details: d}, nil
}

// payuPaymentOf returns nil when there is none.
func (b *Bank) payuPaymentOf(ctx context.Context, q querier, a *payuAccount, id string) (*payuPayment, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil, nil //nolint:nilerr // what is no number is the id of nothing
	}
	return optional(q.QueryRowContext(ctx, `SELECT `+payuPaymentColumns+` FROM payu_payments WHERE merchant = $1 AND mihpayid = $2`, a.Key, n), scanPayUPayment)
}

// payuRefund is a row of payu_refunds. Its JSON is what the truth shows.
type payuRefund struct {
	RequestID   int64     `json:"request_id,string"`
	Key         string    `json:"key"`
	PaymentID   int64     `json:"mihpayid,string"`
	Token       string    `json:"token"`
	Minor       int64     `json:"-"`
	Amount      string    `json:"amount"`
	Status      string    `json:"status"`
	BankRef     string    `json:"bank_ref_num"`
	CallbackURL string    `json:"-"`
	CreatedAt   time.Time `json:"created_at"`
}

const payuRefundColumns = `request_id, merchant, mihpayid, token, amount, status, bank_ref, callback_url, created_at`

func scanPayURefund(scan func(...any) error) (*payuRefund, error) {
	r := &payuRefund{}
	var created int64
	err := scan(&r.RequestID, &r.Key, &r.PaymentID, &r.Token, &r.Minor, &r.Status, &r.BankRef, &r.CallbackURL, &created)
	r.Amount, r.CreatedAt = money.FromMinor(r.Minor, money.INR).Fixed(), time.UnixMicro(created).UTC()
	return r, err
}

// Codes of refunds, of the documentation's list.
const (
	payuRefundQueued   = 102
	payuInvalidAmount  = 105
	payuTokenExists    = 106
	payuInvalidStatus  = 111
	payuUnknownPayment = 116
	maxPayUToken       = 23
)

// payuRefund gives back a part of a payment, or all of it.
func (b *Bank) payuRefund(ctx context.Context, a *payuAccount, in fields) (out *payuAnswer, err error) {
	token, callback := in["var2"], in["var5"]
	switch {
	case token == "":
		return payuRefusal("token is empty"), nil
	case len(token) > maxPayUToken:
		return payuRefusal("token is longer than %d characters", maxPayUToken), nil
	case in["var3"] == "":
		return payuRefusal("amount is empty"), nil
	case callback != "" && !isWebURL(callback):
		return payuRefusal("Invalid callback url"), nil
	}
	amount, parsed := money.Parse(in["var3"], money.INR)
	minor, fits := amount.Minor()
	err = b.transaction(ctx, func(tx *sql.Tx) error {
		p, err := b.payuPaymentOf(ctx, tx, a, in["var1"])
		if err != nil {
			return err
		}
		var taken int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM payu_refunds WHERE merchant = $1 AND token = $2`, a.Key, token).Scan(&taken); err != nil {
			return err
		}
		switch {
		case p == nil:
			out = &payuAnswer{Message: "Refund FAILURE - Transaction Not Found", ErrorCode: payuUnknownPayment}
		case taken > 0:
			out = &payuAnswer{Message: "Refund FAILURE - Token already exists.", ErrorCode: payuTokenExists, PaymentID: p.ID}
		case p.Status != payuSuccess:
			out = &payuAnswer{Message: "Refund FAILURE - Invalid transaction status", ErrorCode: payuInvalidStatus, PaymentID: p.ID}
		case parsed != nil || !fits || minor < 1 || minor > p.Minor-p.Refunded:
			out = &payuAnswer{Message: "Refund FAILURE - Invalid amount", ErrorCode: payuInvalidAmount, PaymentID: p.ID}
		default:
			out, err = b.payuQueue(ctx, tx, p, token, callback, minor)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	b.signal()
	return out, nil
}

// payuQueue records a refund, which reaches the customer after a while.
func (b *Bank) payuQueue(ctx context.Context, tx *sql.Tx, p *payuPayment, token, callback string, minor int64) (*payuAnswer, error) {
	n, err := number(ctx, tx)
	if err != nil {
		return nil, err
	}
	now, id := b.now(), 131000000+n
	_, err = tx.ExecContext(ctx, `INSERT INTO payu_refunds (`+payuRefundColumns+`) VALUES ($1, $2, $3, $4, $5, $6, '', $7, $8)`,
		id, p.Key, p.ID, token, minor, payuQueued, callback, now.UnixMicro())
	if err != nil {
		return nil, err
	}
	p.Refunded += minor
	if err := p.store(ctx, tx); err != nil {
		return nil, err
	}
	out := &payuAnswer{
		Status: 1, Message: "Refund Request Queued", RequestID: strconv.FormatInt(id, 10), BankRef: &nullString{}, PaymentID: p.ID, ErrorCode: payuRefundQueued,
	}
	return out, b.planTimer(ctx, tx, strconv.FormatInt(id, 10), actPayURefund, now)
}

// payuRefunded carries out the timer of a refund: it has reached the customer, or failed, and the merchant is told: where the
// refund's request says, or else where it is told of payments.
func (b *Bank) payuRefunded(ctx context.Context, tx *sql.Tx, id string) error {
	r, err := scanPayURefund(tx.QueryRowContext(ctx, `SELECT `+payuRefundColumns+` FROM payu_refunds WHERE request_id = $1`, id).Scan)
	if err != nil {
		return fmt.Errorf("timer of refund %s: %w", id, err)
	}
	p, err := scanPayUPayment(tx.QueryRowContext(ctx, `SELECT `+payuPaymentColumns+` FROM payu_payments WHERE mihpayid = $1`, r.PaymentID).Scan)
	if err != nil {
		return fmt.Errorf("timer of refund %s: %w", id, err)
	}
	a, err := payuAccountOf(ctx, tx, r.Key)
	if err != nil {
		return err
	}
	n, err := number(ctx, tx)
	if err != nil {
		return err
	}
	now := b.now()
	switch r.Status, r.BankRef = payuSuccess, utr(n, now); a.Refunds {
	case refundsHold:
		return hold(ctx, tx, id, actPayURefund, now)
	case refundsFail: // the money is the merchant's again
		r.Status = payuFailure
		p.Refunded -= r.Minor
		if err := p.store(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE payu_refunds SET status = $2, bank_ref = $3 WHERE request_id = $1`, r.RequestID, r.Status, r.BankRef); err != nil {
		return err
	}
	target := r.CallbackURL
	if target == "" {
		target = a.WebhookURL
	}
	body, err := json.Marshal(map[string]any{
		"action": "refund", "key": r.Key, "token": r.Token, "status": r.Status, "amt": r.Amount, "mihpayid": strconv.FormatInt(r.PaymentID, 10),
		"request_id": strconv.FormatInt(r.RequestID, 10), "merchantTxnId": p.TxnID, "bank_ref_num": r.BankRef, "bank_arn": r.BankRef,
		"refund_mode": "Back to Source", "remark": nil, "additionalValue1": nil, "additionalValue2": nil,
	})
	if err != nil {
		return err
	}
	return planWebhook(ctx, tx, webhook{
		group: "payu " + p.Key + " " + p.TxnID, id: randomID("msg_"), url: target, body: body, headers: map[string]string{"Content-Type": "application/json"},
	}, now)
}

// payuActions tells what has become of a refund, by its request id; or, with var2=payuid, of all that was done to a payment.
func (b *Bank) payuActions(ctx context.Context, a *payuAccount, in fields) (*payuAnswer, error) {
	asked, column := in["var1"], "request_id"
	if in["command"] == "check_action_status" && strings.EqualFold(in["var2"], "payuid") {
		column = "mihpayid"
	}
	p, err := b.payuPaymentOf(ctx, b.readers, a, asked)
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseInt(asked, 10, 64)
	if err != nil {
		id = 0 // of nothing
	}
	list, err := listOf(ctx, b.readers, scanPayURefund, `SELECT `+payuRefundColumns+` FROM payu_refunds
		WHERE merchant = $1 AND `+column+` = $2 ORDER BY request_id LIMIT $3`, a.Key, id, faceListLimit)
	if err != nil {
		return nil, err
	}
	actions := map[string]any{}
	if column == "mihpayid" && p != nil && p.Status == payuSuccess {
		actions[strconv.FormatInt(p.ID%1e9, 10)] = payuAction(p, p.ID%1e9, "capture", "", "SUCCESS", p.Amount, p.BankRef)
	}
	for _, r := range list {
		of, err := b.payuPaymentOf(ctx, b.readers, a, strconv.FormatInt(r.PaymentID, 10))
		if err != nil {
			return nil, err
		}
		actions[strconv.FormatInt(r.RequestID, 10)] = payuAction(of, r.RequestID, "refund", r.Token, r.Status, r.Amount, r.BankRef)
	}
	if len(actions) == 0 {
		return &payuAnswer{
			Message: "0 out of 1 Transactions Fetched Successfully", Details: map[string]string{asked: "No action status found"},
		}, nil
	}
	return &payuAnswer{
		Status: 1, Message: "1 out of 1 Transactions Fetched Successfully", Details: map[string]any{asked: actions},
	}, nil
}

// payuAction is something done to a payment, as check_action_status shows it.
func payuAction(p *payuPayment, request int64, action, token, status, amount, bankRef string) map[string]any {
	mode := "-"
	if action == "refund" {
		mode = "Back to Source"
	}
	return map[string]any{
		"mihpayid": strconv.FormatInt(p.ID, 10), "bank_ref_num": sent(bankRef), "request_id": strconv.FormatInt(request, 10), "amt": amount, "mode": p.Mode,
		"action": action, "token": token, "status": status, "bank_arn": nil, "settlement_id": nil, "amount_settled": nil, "UTR_no": nil, "value_date": nil,
		"refund_mode": mode,
	}
}
