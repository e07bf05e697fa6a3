package batch

import (
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Command asks for a change of one batch. Everything that the decision depends on travels inside.
type Command interface {
	Target() Of
	// Keys are the dedupe keys that the command claims.
	Keys() []string
	// Effective is the value date, UTC.
	Effective() time.Time
}

// Base is the part that all commands share.
type Base struct {
	Of
	At    time.Time // value date, UTC
	Actor string    // who asks, such as "key:key_x" or "system:batches"
}

// Target returns the batch.
func (b Base) Target() Of { return b.Of }

// Effective returns the value date.
func (b Base) Effective() time.Time { return b.At }

// Keys is nil: most commands claim none.
func (Base) Keys() []string { return nil }

// Submit announces a batch.
type Submit struct {
	Base
	Ref        string
	Digest     string
	Terms      Terms
	Count      int
	Amount     money.Amount
	Commission money.Amount
	Fee        fee.Rule
	Columns    []Column // of the file that it came in; none where it came in another way
}

// Keys claims the batch_ref.
func (c Submit) Keys() []string { return []string{RefKey(c.Merchant, c.Ref)} }

// RefKey is the dedupe key of a batch_ref.
func RefKey(merchant, ref string) string { return "batch:" + merchant + ":" + ref }

// AddItems brings a chunk. A chunk that is there already changes nothing.
type AddItems struct {
	Base
	Chunk int // from 1
	Items []Item
}

// Approve allows a batch, together with as many others as its terms ask for. A second one of the same actor changes nothing.
type Approve struct {
	Base
	Rule int    // version of the merchant's approval rule now, which the ledger fills in; a batch under another one is domain.Stale
	Note string // why, if it is said
}

// Reject refuses a batch that waits for approval; or, by an item, one of which all or nothing is to be held.
type Reject struct {
	Base
	Reason string
	Item   int // index of the item that stops it; 0: none
}

// UnderRule refuses the last chunk (domain.Stale) of a batch that needs no approval, when the approval rule was changed since it was begun: it
// would be paid at once. One that needs approval becomes whole, and is rejected then.
func (c AddItems) UnderRule(b *Batch, rule int) error {
	if c.Chunk == b.Received+1 && c.Chunk == Chunks(b.Count) && b.Terms.Approval == NoApproval && b.Terms.Rule != rule {
		return domain.Errorf(domain.Stale, "the approval rule was changed before batch %s was whole", b.Batch)
	}
	return nil
}

// Unheld refuses to reject a batch for an item (domain.Stale) when the wallet holds for it meanwhile.
func (c Reject) Unheld(w *wallet.Wallet) error {
	if r, _ := w.Reserve(c.Batch); c.Item > 0 && r.Upto > 0 {
		return domain.Errorf(domain.Stale, "batch %s is held for", c.Batch)
	}
	return nil
}

// Cancel stops a batch: what is not drawn yet never will be.
type Cancel struct {
	Base
	Reason string
}

// Close says that no more payouts of a chunk are to be made, and which were refused as far as is known. A chunk that is closed
// already changes nothing.
type Close struct {
	Base
	Chunk   int
	Refused []Refusal
}

// NoteDrawn says that the payouts of a chunk are made, but for the refused ones: of those that it was closed with, the ones that did
// not become payouts before. A chunk that is noted already changes nothing.
type NoteDrawn struct {
	Base
	Chunk   int
	Refused []Refusal
}

// Look changes nothing: the answer is the batch as it is.
type Look struct{ Base }

// Complete says that every payout of the batch has ended.
type Complete struct{ Base }
