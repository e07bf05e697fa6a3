package reconcile

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// BreakKind says what does not agree.
type BreakKind string

// The kinds of breaks.
const (
	MissingInLedger BreakKind = "missing_in_ledger" // the file has a line, the books have no entry
	MissingInBank   BreakKind = "missing_in_bank"   // the books have an entry, or the gateway a settlement, and the files have no line
	AmountDiffers   BreakKind = "amount"            // line and entry have one key and two amounts
	StatusDiffers   BreakKind = "status"            // the bank says paid or returned, the ledger says otherwise
	Duplicate       BreakKind = "duplicate"         // a key stands twice on one side
	Late            BreakKind = "late"              // matched, but the dates are further apart than the source's terms allow
	FeeDiffers      BreakKind = "fee"               // matched, but the gateway charges something else than the source's terms say
)

// BreakKinds are all of them.
func BreakKinds() []BreakKind {
	return []BreakKind{MissingInLedger, MissingInBank, AmountDiffers, StatusDiffers, Duplicate, Late, FeeDiffers}
}

// Break is one thing that does not agree. What is not stored with it follows from later events.
type Break struct {
	ID          string       `json:"id"`
	Kind        BreakKind    `json:"kind"`
	Amount      money.Amount `json:"amount"` // what the bank has and the books have not: negative, where the books have more. Of Late: of the line
	Date        Day          `json:"date"`   // of the line; of the entry where there is none
	Line        LineAt       `json:"line,omitzero"`
	Same        LineAt       `json:"same_as,omitzero"` // of Duplicate: the line that has the same key
	Entry       Place        `json:"entry,omitzero"`
	Group       string       `json:"settlement,omitempty"`  // id of the settlement that it is about
	Account     string       `json:"account,omitempty"`     // of the books, that an adjustment would be posted to; "" when the source mirrors none
	Transaction string       `json:"transaction,omitempty"` // what the entry is about: a payment, an adjustment
	Detail      string       `json:"detail,omitempty"`      // what differs, in words without names of people

	Life `json:"-"`
}

// Status is where a break is.
type Status string

// The statuses of a break: open -> proposed -> approved -> settled; proposed -> open (rejected); open, proposed -> closed -> open.
const (
	BreakOpen     Status = "open"
	BreakProposed Status = "proposed" // somebody has proposed how to settle it
	BreakApproved Status = "approved" // a second person has approved that; it is being posted
	Settled       Status = "settled"
	BreakClosed   Status = "closed" // resolved by what came later
)

// Life is what has become of a break.
type Life struct {
	Status    Status
	Owner     string
	OpenedAt  time.Time
	EndedAt   time.Time // settled or closed
	Proposals int
	Proposal  Proposal // the last one
	Approver  string
	Positions []string // of the records that it was settled with
}

// Ended tells whether nothing about it will change, unless it comes up again.
func (l *Life) Ended() bool { return l.Status == Settled || l.Status == BreakClosed }

// consumed tells whether the break's line and entry are dealt with: they are looked for no more.
func (l *Life) consumed() bool { return l.Status == BreakApproved || l.Status == Settled }

// lasting tells a break about a pair that is matched: no later record resolves it, a person does.
func (k BreakKind) lasting() bool { return k == Late || k == FeeDiffers }

// BreakPrefix begins the id of a break.
const BreakPrefix = "brk_"

// breakID is the same for the same line and entry, however often it is computed. The separator stands in no part.
func breakID(source string, parts ...string) string {
	sum := sha256.Sum256([]byte(source + "\x1f" + strings.Join(parts, "\x1f")))
	return BreakPrefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// identify gives a break its id.
func (b *Break) identify(source string) {
	b.ID = breakID(source, string(b.Kind), b.Line.String(), b.Entry.String(), b.Group)
}
