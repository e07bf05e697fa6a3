package plaintext

import (
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Entry is one transaction of a journal.
type Entry struct {
	Opening    bool // balances that a period begins with; then there are only PostedAt, ValueAt and Lines
	Position   eventstore.Position
	PostedAt   time.Time // its date, in the journal's zone: ValueAt, unless it is late
	LateFor    string    // the closed period that it is late for, the last one of those that end behind ValueAt; "" when it is not
	ValueAt    time.Time // in the journal's zone
	RecordedAt time.Time // UTC
	EventID    uuid.UUID
	Event      string // type
	Subject    string // the payment
	Merchant   string // "" for what is decided about nobody's wallet
	Currency   money.Currency
	References []Reference
	Lines      []Line
}

// Line is one account's part of a transaction: positive is a debit, negative a credit.
type Line struct {
	Account *Account
	Amount  money.Amount
}

// Reference is how somebody else calls the payment.
type Reference struct{ Name, Value string }

// The names of references.
const (
	refGateway   = "gateway"
	refPaymentID = "gateway_payment_id"
	refUTR       = "utr"
	refBank      = "bank_reference"
	refReturn    = "return_reference"
	refBatch     = "batch"
	refSuspense  = "suspense"
	refDispute   = "dispute"
	refCase      = "dispute_case"
	refRefund    = "refund"
)

// referenceNames lists them.
func referenceNames() []string {
	return []string{refGateway, refPaymentID, refUTR, refBank, refReturn, refBatch, refSuspense, refDispute, refCase, refRefund}
}

// references appends those of an event.
func references(to []Reference, e wallet.Event) []Reference {
	add := func(name, value string) {
		if value != "" {
			to = append(to, Reference{name, value})
		}
	}
	switch e := e.(type) {
	case *wallet.PayinSucceeded:
		add(refGateway, e.Gateway)
		add(refPaymentID, e.PaymentID)
		add(refUTR, e.UTR)
	case *wallet.PayinSuspended:
		add(refGateway, e.Gateway)
		add(refPaymentID, e.PaymentID)
		add(refUTR, e.UTR)
		add(refSuspense, e.Suspense)
	case *wallet.SuspenseCredited:
		add(refSuspense, e.Suspense)
	case *wallet.SuspenseRefunded:
		add(refGateway, e.Gateway)
		add(refSuspense, e.Suspense)
	case *wallet.PayoutInitiated:
		add(refBatch, e.Batch)
	case *wallet.PayoutSucceeded:
		add(refGateway, e.Gateway)
		add(refUTR, e.UTR)
		add(refBank, e.BankReference)
		add(refBatch, e.Batch)
	case *wallet.PayoutFailed:
		add(refBatch, e.Batch)
	case *wallet.PayoutRefunded:
		add(refGateway, e.Gateway)
		add(refBatch, e.Batch)
	case *wallet.PayoutReturned:
		add(refGateway, e.Gateway)
		add(refReturn, e.ReturnReference)
		add(refBatch, e.Batch)
	case *wallet.PayoutPaidAfterRefund:
		add(refGateway, e.Gateway)
		add(refUTR, e.UTR)
		add(refBank, e.BankReference)
		add(refBatch, e.Batch)
	case *wallet.DisputeOpened:
		add(refGateway, e.Gateway)
		add(refCase, e.Case)
	case *wallet.DisputeLost:
		add(refGateway, e.Gateway)
	case *wallet.DisputeReversed:
		add(refGateway, e.Gateway)
	case *wallet.RefundInitiated:
		add(refGateway, e.Gateway)
		add(refPaymentID, e.PaymentID)
	case *wallet.RefundSucceeded:
		add(refGateway, e.Gateway)
		add(refUTR, e.UTR)
		add(refBank, e.RefundID)
	case *wallet.RefundFailed:
		add(refGateway, e.Gateway)
		add(refSuspense, e.Suspense)
	case *wallet.RefundPaidAfterFailure:
		add(refGateway, e.Gateway)
		add(refUTR, e.UTR)
		add(refBank, e.RefundID)
		add(refSuspense, e.Suspense)
	}
	add(refDispute, wallet.DisputeOf(e))
	add(refRefund, wallet.RefundOf(e))
	return to
}
