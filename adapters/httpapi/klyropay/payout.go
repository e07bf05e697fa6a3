package klyropay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// imps is the only transfer_type of the document.
const imps = "5"

// Messages of a payout's creation, by its status.
const (
	messagePaid     = "Payout transferred successfully."
	messagePending  = "Payout is being processed. You will be notified once settled."
	messageRefunded = "Payout failed. Amount refunded to wallet."
	messageFailed   = "Payout failed."
)

func (a *API) payoutCreation() creation {
	return creation{
		scope: http.MethodPost + " " + PathPayoutProcess, command: a.payoutCommand, answer: payoutCreated,
		wait: func(p wallet.Payment) bool { return p.Status != wallet.Pending },
	}
}

// payoutCommand reads a payout. The fields are read in the document's order, which is that of the problems.
func (a *API) payoutCommand(ctx context.Context, c *caller, f *form, at moment) (wallet.Command, error) {
	plan := c.merchant.Plan
	mobile := f.phone("mobile_no")
	name := f.name("beneficiary_name", true)
	account := f.account("account_no")
	ifsc := f.ifsc("ifsc")
	bank := f.name("bank_name", true)
	amount := f.amount("amount", plan.Payout, plan.Currency)
	transferType, given := f.text("transfer_type", true)
	if given && transferType != imps {
		f.problems.add("transfer_type", `must be "5" (IMPS)`)
	}
	requestID := f.reference("partner_request_id")
	if len(f.problems) > 0 {
		return nil, nil
	}
	charge, err := plan.PayoutCharge(amount)
	if err != nil {
		return nil, err
	}
	if requestID == "" {
		requestID = newRequestID()
	}
	sealed, err := a.seal(ctx, c, at, wallet.Beneficiary{Name: name, AccountNo: account, Mobile: mobile})
	if err != nil {
		return nil, err
	}
	fingerprint, err := a.ports.Vault.Fingerprint(ctx, c.merchant.ID, account)
	if err != nil {
		return nil, err
	}
	return wallet.InitiatePayout{
		Base: wallet.Base{
			Of: wallet.Of{Merchant: c.merchant.ID, Currency: plan.Currency, Payment: newTransactionID()},
			At: at.now,
		},
		Amount: amount, Charge: charge, RequestID: requestID, IFSC: ifsc, BankName: bank,
		AccountLast4: account[len(account)-4:], AccountFingerprint: fingerprint, TransferType: transferType, Sealed: sealed,
	}, nil
}

// payoutCreated is the answer to a payout's creation: 200 whatever became of it, since it exists.
func payoutCreated(p *wallet.Payment, _ time.Time) (int, []byte) {
	var message string
	switch p.Status {
	case wallet.Success:
		message = messagePaid
	case wallet.Refunded:
		message = messageRefunded
	case wallet.Failed:
		message = messageFailed
	default:
		message = messagePending
	}
	b := append(make([]byte, 0, 512), `{"success":true,"message":`...)
	b = httpapi.AppendString(b, message)
	b = appendTransaction(append(b, `,"data":{"transaction":{`...), p)
	return http.StatusOK, append(b, "}}}"...)
}

// appendTransaction appends the members that every answer about a payout has.
func appendTransaction(b []byte, p *wallet.Payment) []byte {
	b = httpapi.AppendString(append(b, `"transaction_id":`...), p.Payment)
	b = httpapi.AppendOptional(append(b, `,"reference_id":`...), p.BankReference)
	b = httpapi.AppendString(append(b, `,"partner_request_id":`...), p.RequestID)
	b = httpapi.AppendString(append(b, `,"status":`...), string(p.Status))
	b = httpapi.AppendAmount(append(b, `,"amount":`...), p.Amount)
	b = httpapi.AppendAmount(append(b, `,"charge":`...), p.Commission)
	return httpapi.AppendAmount(append(b, `,"net_amount":`...), p.Gross())
}

// appendPayout appends the single answer's transaction: the creation's and what is known beside.
func appendPayout(b []byte, p *wallet.Payment, to beneficiary) []byte {
	b = appendTransaction(append(b, '{'), p)
	b = httpapi.AppendOptional(append(b, `,"beneficiary_name":`...), to.name)
	b = httpapi.AppendString(append(b, `,"account_no":`...), to.account)
	b = httpapi.AppendString(append(b, `,"ifsc":`...), p.IFSC)
	b = httpapi.AppendString(append(b, `,"bank_name":`...), p.BankName)
	b = httpapi.AppendOptional(append(b, `,"utr":`...), p.UTR)
	reason := ""
	if p.Status == wallet.Failed || p.Status == wallet.Refunded {
		reason = p.Reason
	}
	b = httpapi.AppendOptional(append(b, `,"failure_reason":`...), reason)
	b = httpapi.AppendTime(append(b, `,"created_at":`...), p.CreatedAt)
	b = httpapi.AppendTime(append(b, `,"updated_at":`...), p.UpdatedAt)
	return append(b, '}')
}

// beneficiary is what a merchant may read of who was paid.
type beneficiary struct {
	name    string // "": erased
	account string // masked
}

// mask hides all but the last four digits; six X stand for those of an account that was erased.
func mask(account, last4 string) string {
	hidden := 6
	if len(account) > len(last4) {
		hidden = len(account) - len(last4)
	}
	return strings.Repeat("X", hidden) + last4
}

// beneficiary opens the sealed part of a payout. What was erased reads as absent; so does what cannot be opened because it is
// damaged, which is logged. Other errors are faults of the vault.
func (a *API) beneficiary(ctx context.Context, p *wallet.Payment) (beneficiary, error) {
	erased := beneficiary{account: mask("", p.AccountLast4)}
	b, err := a.open(ctx, p)
	switch {
	case err == nil:
		return beneficiary{name: b.Name, account: mask(b.AccountNo, p.AccountLast4)}, nil
	case errors.Is(err, vault.ErrErased):
		return erased, nil
	case errors.Is(err, vault.ErrTampered):
		a.opts.Logger.Error("the sealed data of a payout cannot be read",
			"request_id", httpapi.From(ctx).ID, "transaction", p.Payment, "error", err)
		return erased, nil
	}
	return beneficiary{}, fmt.Errorf("opening the beneficiary of %s: %w", p.Payment, err)
}

// open opens the sealed part of a payout. What was sealed as something else counts as vault.ErrTampered, too.
func (a *API) open(ctx context.Context, p *wallet.Payment) (wallet.Beneficiary, error) {
	var b wallet.Beneficiary
	id, err := uuid.Parse(p.SealID)
	if err != nil {
		return b, fmt.Errorf("%w: seal id %q", vault.ErrTampered, p.SealID)
	}
	text, err := a.ports.Vault.UnsealString(ctx, id, p.Sealed)
	if err != nil {
		return b, err
	}
	if json.Unmarshal([]byte(text), &b) != nil { // its error could quote the text
		return b, fmt.Errorf("%w: what was sealed is no beneficiary", vault.ErrTampered)
	}
	return b, nil
}

func (a *API) payout(w http.ResponseWriter, r *http.Request, c *caller) {
	a.onePayout(w, r, c, a.ports.Payments.Payout, r.PathValue("transaction_id"))
}

func (a *API) payoutByRequest(w http.ResponseWriter, r *http.Request, c *caller) {
	a.onePayout(w, r, c, a.ports.Payments.PayoutByRequest, r.PathValue("partner_request_id"))
}

func (a *API) onePayout(w http.ResponseWriter, r *http.Request, c *caller, find finder, id string) {
	p, err := a.find(r.Context(), c, find, id)
	if err != nil {
		a.refuse(w, r, "reading a payout", err)
		return
	}
	to, err := a.beneficiary(r.Context(), &p)
	if err != nil {
		a.fault(w, r, "reading a payout", err)
		return
	}
	b := appendPayout([]byte(`{"success":true,"data":{"transaction":`), &p, to)
	httpapi.Write(w, http.StatusOK, append(b, "}}"...))
}
