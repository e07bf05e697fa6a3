package projections

import (
	"encoding/json"
	"fmt"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// paymentRow is a wallet.Payment as lists and answers need it, so that it can be folded on, and where its records stand: all of it, but for
// its submissions. Amounts in minor units.
type paymentRow struct {
	id, merchant, kind, status     string
	createdAt, updatedAt           int64
	partition, seq, changed        int64 // position of the first record, and seq of the last one
	currency                       string
	amount, commission, tax        int64
	plan                           string
	planVersion                    int64
	batch                          string // that it belongs to
	reference                      string // order_id, or partner_request_id
	txnRef, intentURL              string
	expiresAt, late                int64
	suspense                       string // JSON, or ''
	ifsc, bankName, accountLast4   string
	transferType                   string
	bankReference, returnReference string
	paidAfterRefund                int64
	gateway, utr, reason           string
	sealed, sealID                 string
	notes                          int64
}

var paymentTable = newTable(schema{
	name: "payments", key: 2, wide: true,
	changes: []string{
		"status", "updated_at", "changed", "late", "suspense", "bank_reference", "return_reference",
		"paid_after_refund", "gateway", "utr", "reason", "notes",
	},
	indexes: []index{
		{name: "reference", columns: "merchant, kind, reference", where: "reference <> ''"},
		{name: "txn_ref", columns: "txn_ref", where: "txn_ref <> ''"},
	},
}, []column[paymentRow]{
	{"id", func(r *paymentRow) any { return &r.id }},
	{"merchant", func(r *paymentRow) any { return &r.merchant }},
	{"kind", func(r *paymentRow) any { return &r.kind }},
	{"status", func(r *paymentRow) any { return &r.status }},
	{"created_at", func(r *paymentRow) any { return &r.createdAt }},
	{"updated_at", func(r *paymentRow) any { return &r.updatedAt }},
	{"partition", func(r *paymentRow) any { return &r.partition }},
	{"seq", func(r *paymentRow) any { return &r.seq }},
	{"changed", func(r *paymentRow) any { return &r.changed }},
	{"currency", func(r *paymentRow) any { return &r.currency }},
	{"amount", func(r *paymentRow) any { return &r.amount }},
	{"commission", func(r *paymentRow) any { return &r.commission }},
	{"tax", func(r *paymentRow) any { return &r.tax }},
	{"plan", func(r *paymentRow) any { return &r.plan }},
	{"plan_version", func(r *paymentRow) any { return &r.planVersion }},
	{"batch", func(r *paymentRow) any { return &r.batch }},
	{"reference", func(r *paymentRow) any { return &r.reference }},
	{"txn_ref", func(r *paymentRow) any { return &r.txnRef }},
	{"intent_url", func(r *paymentRow) any { return &r.intentURL }},
	{"expires_at", func(r *paymentRow) any { return &r.expiresAt }},
	{"late", func(r *paymentRow) any { return &r.late }},
	{"suspense", func(r *paymentRow) any { return &r.suspense }},
	{"ifsc", func(r *paymentRow) any { return &r.ifsc }},
	{"bank_name", func(r *paymentRow) any { return &r.bankName }},
	{"account_last4", func(r *paymentRow) any { return &r.accountLast4 }},
	{"transfer_type", func(r *paymentRow) any { return &r.transferType }},
	{"bank_reference", func(r *paymentRow) any { return &r.bankReference }},
	{"return_reference", func(r *paymentRow) any { return &r.returnReference }},
	{"paid_after_refund", func(r *paymentRow) any { return &r.paidAfterRefund }},
	{"gateway", func(r *paymentRow) any { return &r.gateway }},
	{"utr", func(r *paymentRow) any { return &r.utr }},
	{"reason", func(r *paymentRow) any { return &r.reason }},
	{"sealed", func(r *paymentRow) any { return &r.sealed }},
	{"seal_id", func(r *paymentRow) any { return &r.sealID }},
	{"notes", func(r *paymentRow) any { return &r.notes }},
})

// fill sets everything that the payment determines; what stands about its records is the caller's.
func (r *paymentRow) fill(p *wallet.Payment) error {
	r.id, r.merchant, r.currency = p.Of.Payment, p.Merchant, string(p.Currency)
	r.kind, r.status = string(p.Kind), string(p.Status)
	r.createdAt, r.updatedAt = micros(p.CreatedAt), micros(p.UpdatedAt)
	for _, a := range []struct {
		to   *int64
		from money.Amount
	}{{&r.amount, p.Amount}, {&r.commission, p.Commission}, {&r.tax, p.Tax}} {
		var fits bool
		if *a.to, fits = a.from.Minor(); !fits {
			return fmt.Errorf("payment %s: %s does not fit 64 bits", r.id, a.from)
		}
	}
	r.plan, r.planVersion = p.Fee.Plan, int64(p.Fee.Version)
	r.batch, r.reference = p.Batch, p.OrderID
	if p.Kind == wallet.KindPayout {
		r.reference = p.RequestID
	}
	r.txnRef, r.intentURL, r.expiresAt, r.late = p.TxnRef, p.IntentURL, micros(p.ExpiresAt), flag(p.Late)
	r.suspense = ""
	if len(p.Suspense) > 0 {
		b, err := json.Marshal(p.Suspense)
		if err != nil {
			return fmt.Errorf("payment %s: its suspense: %w", r.id, err)
		}
		r.suspense = string(b)
	}
	r.ifsc, r.bankName, r.accountLast4, r.transferType = p.IFSC, p.BankName, p.AccountLast4, p.TransferType
	r.bankReference, r.returnReference, r.paidAfterRefund = p.BankReference, p.ReturnReference, flag(p.PaidAfterRefund)
	r.gateway, r.utr, r.reason = p.Gateway, p.UTR, p.Reason
	r.sealed, r.sealID, r.notes = p.Sealed, p.SealID, int64(p.Notes)
	return nil
}

// payment undoes fill.
func (r *paymentRow) payment() (wallet.Payment, error) {
	c := money.Currency(r.currency)
	p := wallet.Payment{
		Of: wallet.Of{Merchant: r.merchant, Currency: c, Payment: r.id},
		Priced: wallet.Priced{
			Amount: money.FromMinor(r.amount, c), Commission: money.FromMinor(r.commission, c), Tax: money.FromMinor(r.tax, c),
			Fee: fee.Rule{Plan: r.plan, Version: int(r.planVersion)},
		},
		Kind: wallet.Kind(r.kind), Status: wallet.Status(r.status), CreatedAt: instant(r.createdAt), UpdatedAt: instant(r.updatedAt),
		TxnRef: r.txnRef, IntentURL: r.intentURL, ExpiresAt: instant(r.expiresAt), Late: r.late != 0,
		IFSC: r.ifsc, BankName: r.bankName, AccountLast4: r.accountLast4, TransferType: r.transferType,
		BankReference: r.bankReference, ReturnReference: r.returnReference, PaidAfterRefund: r.paidAfterRefund != 0,
		Batch: r.batch, Gateway: r.gateway, UTR: r.utr, Reason: r.reason, Sealed: r.sealed, SealID: r.sealID, Notes: int(r.notes),
	}
	if p.Kind == wallet.KindPayout {
		p.RequestID = r.reference
	} else {
		p.OrderID = r.reference
	}
	if r.suspense == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(r.suspense), &p.Suspense); err != nil {
		return p, fmt.Errorf("payment %s: its suspense: %w", r.id, err)
	}
	for _, entry := range p.Suspense {
		var err error
		if entry.Amount, err = entry.Amount.In(c); err != nil {
			return p, fmt.Errorf("payment %s: its suspense: %w", r.id, err)
		}
	}
	return p, nil
}
