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
	mobile := f.ruled("mobile_no", true, phoneFault)
	name := f.ruled("beneficiary_name", true, nameFault)
	account := f.ruled("account_no", true, accountFault)
	ifsc := f.ruled("ifsc", true, ifscFault)
	bank := f.ruled("bank_name", true, nameFault)
	amount := f.amount("amount", plan.Payout, plan.Currency)
	transferType := f.ruled("transfer_type", true, transferFault)
	requestID := f.ruled("partner_request_id", false, referenceFault)
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
	secret, err := a.seal(ctx, c, at, wallet.Beneficiary{Name: name, AccountNo: account, Mobile: mobile})
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
		AccountLast4: account[len(account)-4:], AccountFingerprint: fingerprint, TransferType: transferType, Sealed: secret,
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

// beneficiary is who a payout goes to, as its merchant may read it.
func (a *API) beneficiary(ctx context.Context, p *wallet.Payment) (beneficiary, error) {
	return a.masked(ctx, sealed{of: p.Payment, text: p.Sealed, id: p.SealID}, p.AccountLast4)
}

func (a *API) masked(ctx context.Context, s sealed, last4 string) (beneficiary, error) {
	b, err := a.unseal(ctx, s)
	if err != nil {
		return beneficiary{}, err
	}
	return beneficiary{name: b.Name, account: mask(b.AccountNo, last4)}, nil
}

// sealed is the personal part of a payout as it is stored.
type sealed struct {
	of   string // the payout's id
	text string
	id   string // what the text is bound to
}

// unseal opens the sealed part of a payout. What was erased reads as absent; so does what cannot be opened because it is
// damaged, which is logged. Other errors are faults of the vault.
func (a *API) unseal(ctx context.Context, s sealed) (wallet.Beneficiary, error) {
	b, err := a.open(ctx, s)
	switch {
	case err == nil:
		return b, nil
	case errors.Is(err, vault.ErrErased):
		return wallet.Beneficiary{}, nil
	case errors.Is(err, vault.ErrTampered):
		a.opts.Logger.Error("the sealed data of a payout cannot be read",
			"request_id", httpapi.From(ctx).ID, "transaction", s.of, "error", err)
		return wallet.Beneficiary{}, nil
	}
	return wallet.Beneficiary{}, fmt.Errorf("opening the beneficiary of %s: %w", s.of, err)
}

// open opens the sealed part of a payout. What was sealed as something else counts as vault.ErrTampered, too.
func (a *API) open(ctx context.Context, s sealed) (wallet.Beneficiary, error) {
	var b wallet.Beneficiary
	id, err := uuid.Parse(s.id)
	if err != nil {
		return b, fmt.Errorf("%w: seal id %q", vault.ErrTampered, s.id)
	}
	text, err := a.ports.Vault.UnsealString(ctx, id, s.text)
	if err != nil {
		return b, err
	}
	if json.Unmarshal([]byte(text), &b) != nil { // its error could quote the text
		return wallet.Beneficiary{}, fmt.Errorf("%w: what was sealed is no beneficiary", vault.ErrTampered)
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
