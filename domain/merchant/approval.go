package merchant

import (
	"fmt"
	"slices"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Bounds of an approval rule.
const (
	MaxBands    = 20
	MaxCheckers = 2 // of a band

	maxDigits = 18 // of a total, so that none is dear to compute with
)

// ApprovalRule says how many checkers must approve a payout batch, by its total with commission. The zero rule asks for none.
type ApprovalRule struct {
	Version int    `json:"version"` // rises with each change; 0: there never was a rule
	Bands   []Band `json:"bands"`   // by rising UpTo; none: no approval is asked for
}

// Band is a range of totals, in the currency of the merchant's plan.
type Band struct {
	UpTo     decimal.Decimal `json:"up_to,omitzero"` // the largest total of the band; of the last band it is zero: no limit
	Checkers int             `json:"checkers"`       // 0 to MaxCheckers, each another one
}

// ApprovalSet changes the approval rule; the version rises by one. Batches that wait for approval under an older version are
// never approved.
type ApprovalSet struct {
	Of
	Rule   ApprovalRule `json:"rule"`
	Reason string       `json:"reason,omitempty"`
}

// SetApproval changes the approval rule. Without bands no approval is asked for. The bands that are set already change nothing, so that
// a repeat refuses no batch.
type SetApproval struct {
	Of
	Bands  []Band
	Reason string // why, if it is said
}

// Checkers is how many checkers a batch of this total needs.
func (r ApprovalRule) Checkers(total money.Amount) int {
	for _, b := range r.Bands {
		if b.UpTo.IsZero() || total.Decimal().Cmp(b.UpTo) <= 0 {
			return b.Checkers
		}
	}
	return 0
}

func setApproval(m *Merchant, c SetApproval) ([]Event, error) {
	if err := validBands(c.Bands); err != nil {
		return nil, err
	}
	for i, b := range c.Bands {
		if _, err := money.New(b.UpTo, m.Plan.Currency); err != nil {
			return nil, domain.InvalidField(bandField(i, "up_to"), err.Error())
		}
	}
	if c.Reason != "" {
		if err := validReason(c.Reason); err != nil {
			return nil, err
		}
	}
	if slices.EqualFunc(c.Bands, m.Approval.Bands, Band.equal) {
		return nil, nil
	}
	rule := ApprovalRule{Version: m.Approval.Version + 1, Bands: append([]Band{}, c.Bands...)} // none are stored as [], not as null
	return []Event{&ApprovalSet{Of: c.Of, Rule: rule, Reason: c.Reason}}, nil
}

func (b Band) equal(other Band) bool { return b.Checkers == other.Checkers && b.UpTo.Equal(other.UpTo) }

// validBands refuses bands of which a total is not in exactly one. The field is named by its path in the JSON form, such as
// bands[1].up_to.
func validBands(bands []Band) error {
	if len(bands) > MaxBands {
		return domain.InvalidField("bands", fmt.Sprintf("are more than %d", MaxBands))
	}
	var below decimal.Decimal
	for i, b := range bands {
		upTo := bandField(i, "up_to")
		last := i == len(bands)-1
		switch {
		case b.Checkers < 0 || b.Checkers > MaxCheckers:
			return domain.InvalidField(bandField(i, "checkers"), fmt.Sprintf("must be from 0 to %d", MaxCheckers))
		case last && !b.UpTo.IsZero():
			return domain.InvalidField(upTo, "must be absent: the last band takes the rest")
		case last:
			return nil
		case b.UpTo.IsZero():
			return domain.InvalidField(upTo, "is missing: only the last band has none")
		case !small(b.UpTo) || b.UpTo.Sign() < 0:
			return domain.InvalidField(upTo, fmt.Sprintf("must be more than zero, of at most %d digits", maxDigits))
		case b.UpTo.LessThanOrEqual(below):
			return domain.InvalidField(upTo, "must be more than that of the band before")
		}
		below = b.UpTo
	}
	return nil
}

// bandField is the path of a band's field in the JSON form.
func bandField(i int, name string) string { return fmt.Sprintf("bands[%d].%s", i, name) }

// small keeps out figures like 1e999999999, which cost minutes to compare. It looks at exponent and digits only.
func small(d decimal.Decimal) bool {
	e := d.Exponent()
	return e >= -maxDigits && e <= maxDigits && d.NumDigits() <= maxDigits
}
