package batch

import (
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Bounds.
const (
	MaxItems  = 100_000
	ChunkSize = 250 // items of a chunk; the last may have fewer
	MaxRef    = 100 // bytes of a batch_ref
	MaxReason = wallet.MaxReason
	MaxActor  = wallet.MaxActor
)

// Status is where a batch is, by the names of the API.
type Status string

// The statuses. Receiving is before the API answers: nobody is shown it.
const (
	Receiving  Status = "receiving"
	Awaiting   Status = "awaiting_approval"
	Processing Status = "processing"
	Completed  Status = "completed"
	Rejected   Status = "rejected"
	Cancelled  Status = "cancelled"
)

// Mode says whether the items of a batch stand together.
type Mode string

// The modes.
const (
	Partial Mode = "partial" // each item is accepted or refused by itself
	Atomic  Mode = "atomic"  // all are held, or none is
)

// Shortage says what becomes of what the balance does not cover.
type Shortage string

// What it can become.
const (
	RefuseShort Shortage = "reject"
	QueueShort  Shortage = "queue" // it waits for money, in order
)

// Approval says whether somebody has to allow a batch.
type Approval string

// The kinds of approval.
const (
	NoApproval       Approval = "none"
	ApprovalRequired Approval = "required"
)

// Batch is what decisions need to know of a batch: small, however many its items.
type Batch struct {
	Of
	Ref        string
	Digest     string // of the content: items in order, and terms
	Terms      Terms
	Status     Status // "": there is no such batch
	Count      int
	Amount     money.Amount // of all items
	Commission money.Amount // of all items
	Fee        fee.Rule     // that priced them
	Received   int          // chunks
	Drawn      int          // chunks
	Refused    int          // items, while drawing
	Closing    []Refusal    // of the chunk that is closed and not noted yet; nil: it is open
	By         string       // who submitted it
	Approvals  []string     // who has approved it; never written to, but replaced
	Decided    string       // who approved it last, rejected or cancelled it
	Reason     string       // why it was rejected or cancelled
	Stopper    int          // index of the item for which it was rejected, if for one
	At         time.Time    // value date of the first record

	items              int // received
	amount, commission money.Amount
}

// Terms are what a batch is submitted under. Every field but the first is left out where it says what is usual.
type Terms struct {
	Approval   Approval  `json:"approval"`
	Checkers   int       `json:"checkers,omitempty"` // how many must approve it, each another one; 0 is one, where approval is required
	Rule       int       `json:"rule,omitempty"`     // version of the merchant's approval rule at the time; 0: it had none
	Mode       Mode      `json:"mode,omitempty"`     // "" is Partial
	Shortage   Shortage  `json:"on_insufficient_balance,omitempty"`
	ScheduleAt time.Time `json:"schedule_at,omitzero"` // nothing is held before; zero: at once
	RetryOf    string    `json:"retry_of,omitempty"`   // the batch whose failed items these are
}

// MaxCheckers bounds Terms.Checkers.
const MaxCheckers = 2

// Holds tells whether the batch locks money of its own, out of which its payouts are drawn.
func (t *Terms) Holds() bool { return t.Mode == Atomic || t.Shortage == QueueShort }

// Missing is how many approvals the batch still needs.
func (b *Batch) Missing() int {
	if b.Terms.Approval == NoApproval {
		return 0
	}
	return max(b.Terms.Checkers, 1) - len(b.Approvals)
}

// Column is a column of the file that the batch came in: the field of an item, and how the file calls it.
type Column struct {
	Field string `json:"field"`
	Name  string `json:"name"`
}

// Chunks is how many chunks there are of so many items.
func Chunks(items int) int { return (items + ChunkSize - 1) / ChunkSize }

// Final tells whether nothing will change any more.
func (b *Batch) Final() bool {
	return b.Status == Completed || b.Status == Rejected || b.Status == Cancelled
}

// Of names a batch. It has the currency of its merchant's plan.
type Of struct {
	Merchant string         `json:"merchant"`
	Currency money.Currency `json:"currency"`
	Batch    string         `json:"batch"`
}

// Stream is the name of a batch's stream.
func Stream(merchant, id string) string { return "batch:" + merchant + ":" + id }

// Item is one payout to be made.
type Item struct {
	Index              int          `json:"index"` // from 1: the place among the items that were submitted
	Payment            string       `json:"payment"`
	Event              string       `json:"event"` // id of the event that will make the payout; Sealed is bound to it
	RequestID          string       `json:"partner_request_id"`
	Amount             money.Amount `json:"amount"`
	Commission         money.Amount `json:"commission"` // includes Tax
	Tax                money.Amount `json:"tax"`
	IFSC               string       `json:"ifsc"`
	BankName           string       `json:"bank_name"`
	AccountLast4       string       `json:"account_last4"`
	AccountFingerprint string       `json:"account_fp"`
	TransferType       string       `json:"transfer_type"`
	Sealed             string       `json:"sealed"`
}

// Gross is what the item's payout takes from the wallet.
func (i *Item) Gross() money.Amount { return i.Amount.Add(i.Commission) }

// Payout is the command that makes the item's payout.
func (i *Item) Payout(b *Batch, at time.Time) wallet.InitiatePayout {
	return wallet.InitiatePayout{
		Base:   wallet.Base{Of: wallet.Of{Merchant: b.Merchant, Currency: b.Currency, Payment: i.Payment}, At: at},
		Amount: i.Amount, Charge: fee.Charge{Commission: i.Commission, Tax: i.Tax, Rule: b.Fee},
		RequestID: i.RequestID, IFSC: i.IFSC, BankName: i.BankName, AccountLast4: i.AccountLast4,
		AccountFingerprint: i.AccountFingerprint, TransferType: i.TransferType, Sealed: i.Sealed,
		Batch: b.Batch, Index: i.Index, FromHold: b.Terms.Holds(),
	}
}

// Refusal is an item that became no payout, and why.
type Refusal struct {
	Index  int    `json:"index"`
	Code   string `json:"code"` // a domain.Code
	Reason string `json:"reason"`
}
