package wallet

import (
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Wallet is what decisions need to know of a wallet: small and bounded, however long its history.
type Wallet struct {
	Merchant  string
	Currency  money.Currency
	Available money.Amount // never negative
	Locked    money.Amount // the sum of open holds, those of pending payouts and of batches among them
	Owed      money.Amount // what the merchant owes: paid after refund, and not covered
	Payins    int64        // created
	Payouts   int64        // initiated
	Reserves  []Reserve    // of payout batches, in the order of their queue; never written to, but replaced
}

// NewWallet is a wallet without history.
func NewWallet(merchant string, c money.Currency) *Wallet {
	return &Wallet{Merchant: merchant, Currency: c, Available: money.Zero(c), Locked: money.Zero(c), Owed: money.Zero(c)}
}

// Kind tells payments apart.
type Kind string

// The kinds of payment.
const (
	KindPayin      Kind = "payin"
	KindPayout     Kind = "payout"
	KindAdjustment Kind = "adjustment"
	KindHold       Kind = "hold"
)

// Status is a payment's state, by the names of the API.
type Status string

// The states. Payin: pending -> success | failed | expired -> success (late). Payout: pending -> success | refunded |
// failed; success -> refunded (returned by the bank); refunded -> success (paid after refund).
const (
	Pending  Status = "pending"
	Success  Status = "success"
	Failed   Status = "failed"
	Expired  Status = "expired"
	Refunded Status = "refunded"
	Released Status = "released" // of a hold: pending -> released
)

// Payment is what decisions and answers need to know of one payment, folded from the records of its subject. The zero
// value (Kind "") is a payment that does not exist.
type Payment struct {
	Of
	Priced
	Kind      Kind
	Status    Status
	CreatedAt time.Time // value date of the first event
	UpdatedAt time.Time // value date of the last change of status

	// Payins.
	OrderID   string
	TxnRef    string
	IntentURL string
	ExpiresAt time.Time
	Late      bool
	PaymentID string                // the gateway's own id of the payment that it succeeded by
	Suspense  map[string]*Suspended // by suspense id
	Disputes  []Dispute             // in the order in which they were opened; never written to, but replaced
	Refunds   []Refund              // in the order in which they were begun; never written to, but replaced
	Checkout  Checkout              // of one that is paid at a checkout

	// Payouts.
	Batch           string // that it belongs to
	RequestID       string
	IFSC            string
	BankName        string
	AccountLast4    string
	TransferType    string
	Attempts        int // submitted so far
	SubmittedAt     time.Time
	BankReference   string
	ReturnReference string
	PaidAfterRefund bool

	Gateway   string
	UTR       string
	Reason    string // why it failed, was refunded or returned
	Sealed    string // Customer or Beneficiary
	SealID    string // event id that Sealed is bound to: the id of the first event; set by who folds records
	Notes     int    // gateway messages kept that changed nothing; bounded by MaxNotes and MaxAnomalies
	Anomalies int    // those of them that contradict what is known
}

// Suspended is one payment in suspense.
type Suspended struct {
	ID        string
	Amount    money.Amount
	Gateway   string
	Config    string // gateway configuration in whose account it is; "" of a gateway that has none
	PaymentID string // the gateway's own
	Open      bool
	Credited  bool
}

// MaxNotes bounds the harmless messages kept with a payment that changed nothing; what comes after is dropped.
const MaxNotes = 50

// MaxAnomalies bounds the anomalies kept with a payment that moved nothing. It lies above MaxNotes, so that harmless
// repeats cannot crowd a contradiction out; both count in Payment.Notes.
const MaxAnomalies = 2 * MaxNotes

// MaxAttempts bounds the submissions of one payout.
const MaxAttempts = 20
