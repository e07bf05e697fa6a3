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
	paymentID                      string // the gateway's own
	suspense, disputes             string // JSON, or ''
	checkout                       string // JSON, or ''
	refunds                        string // JSON, or ''
	refunding                      int64  // how many of the refunds are on their way
	ifsc, bankName, accountLast4   string
	transferType                   string
	bankReference, returnReference string
	paidAfterRefund                int64
	gateway, utr, reason           string
	sealed, sealID                 string
	notes, anomalies               int64
}

var paymentTable = newTable(schema{
	name: "payments", key: 2, wide: true,
	changes: []string{
		"status", "updated_at", "changed", "late", "payment_id", "suspense", "disputes", "bank_reference", "return_reference",
		"paid_after_refund", "gateway", "utr", "reason", "notes", "anomalies", "checkout", "refunds", "refunding",
	},
	indexes: []index{
		{name: "reference", columns: "merchant, kind, reference", where: "reference <> ''"},
		{name: "txn_ref", columns: "txn_ref", where: "txn_ref <> ''"},
		{name: "refunding", columns: "id", where: "refunding <> 0"},
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
	{"payment_id", func(r *paymentRow) any { return &r.paymentID }},
	{"suspense", func(r *paymentRow) any { return &r.suspense }},
	{"disputes", func(r *paymentRow) any { return &r.disputes }},
	{"checkout", func(r *paymentRow) any { return &r.checkout }},
	{"refunds", func(r *paymentRow) any { return &r.refunds }},
	{"refunding", func(r *paymentRow) any { return &r.refunding }},
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
	{"anomalies", func(r *paymentRow) any { return &r.anomalies }},
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
	var err error
	if r.suspense, err = many(len(p.Suspense), p.Suspense); err != nil {
		return fmt.Errorf("payment %s: its suspense: %w", r.id, err)
	}
	if r.disputes, err = many(len(p.Disputes), p.Disputes); err != nil {
		return fmt.Errorf("payment %s: its disputes: %w", r.id, err)
	}
	if r.refunds, err = many(len(p.Refunds), p.Refunds); err != nil {
		return fmt.Errorf("payment %s: its refunds: %w", r.id, err)
	}
	r.refunding = 0
	for i := range p.Refunds {
		r.refunding += flag(p.Refunds[i].Status == wallet.RefundPending)
	}
	r.checkout = ""
	if !p.Checkout.Empty() {
		if r.checkout, err = many(1, p.Checkout); err != nil {
			return fmt.Errorf("payment %s: its checkout: %w", r.id, err)
		}
	}
	r.ifsc, r.bankName, r.accountLast4, r.transferType = p.IFSC, p.BankName, p.AccountLast4, p.TransferType
	r.bankReference, r.returnReference, r.paidAfterRefund = p.BankReference, p.ReturnReference, flag(p.PaidAfterRefund)
	r.gateway, r.utr, r.reason = p.Gateway, p.UTR, p.Reason
	r.sealed, r.sealID, r.notes, r.anomalies = p.Sealed, p.SealID, int64(p.Notes), int64(p.Anomalies)
	r.paymentID = p.PaymentID
	return nil
}

// many writes what a payment rarely has: JSON, or ” for none.
func many(n int, v any) (string, error) {
	if n == 0 {
		return "", nil
	}
	b, err := json.Marshal(v)
	return string(b), err
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
		Batch: r.batch, Gateway: r.gateway, UTR: r.utr, Reason: r.reason, Sealed: r.sealed, SealID: r.sealID, Notes: int(r.notes), Anomalies: int(r.anomalies),
		PaymentID: r.paymentID,
	}
	if p.Kind == wallet.KindPayout {
		p.RequestID = r.reference
	} else {
		p.OrderID = r.reference
	}
	if err := r.unpack(&p); err != nil {
		return p, fmt.Errorf("payment %s: %w", r.id, err)
	}
	return p, nil
}

// unpack reads what many has written.
func (r *paymentRow) unpack(p *wallet.Payment) error {
	var amounts []*money.Amount
	if r.suspense != "" {
		if err := json.Unmarshal([]byte(r.suspense), &p.Suspense); err != nil {
			return fmt.Errorf("its suspense: %w", err)
		}
		for _, entry := range p.Suspense {
			amounts = append(amounts, &entry.Amount)
		}
	}
	if r.disputes != "" {
		if err := json.Unmarshal([]byte(r.disputes), &p.Disputes); err != nil {
			return fmt.Errorf("its disputes: %w", err)
		}
		for i := range p.Disputes {
			d := &p.Disputes[i]
			amounts = append(amounts, &d.Amount, &d.Held, &d.Lost, &d.Fee)
		}
	}
	if r.refunds != "" {
		if err := json.Unmarshal([]byte(r.refunds), &p.Refunds); err != nil {
			return fmt.Errorf("its refunds: %w", err)
		}
		for i := range p.Refunds {
			refund := &p.Refunds[i]
			amounts = append(amounts, &refund.Amount, &refund.Commission, &refund.Tax)
		}
	}
	if r.checkout != "" {
		if err := json.Unmarshal([]byte(r.checkout), &p.Checkout); err != nil {
			return fmt.Errorf("its checkout: %w", err)
		}
	}
	for _, a := range amounts {
		var err error
		if *a, err = a.In(p.Currency); err != nil {
			return err
		}
	}
	return nil
}
