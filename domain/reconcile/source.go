package reconcile

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Bounds.
const (
	MaxName      = 40        // bytes of a source's name
	MaxText      = 200       // bytes of a name, a reference, an id
	MaxNarration = 2_000     // bytes of a line's narration; more is cut off
	MaxLines     = 1_000_000 // of one file
	MaxBooks     = 16        // accounts that a source mirrors
	MaxReason    = wallet.MaxReason
	MaxActor     = 90  // two of them are kept with a settlement
	MaxLate      = 365 // days
)

// Kind says what a source's files are.
type Kind string

// The kinds of sources.
const (
	Settlement Kind = "settlement" // a gateway's report of what it has collected and paid, line by line
	Bank       Kind = "bank"       // the statement of a bank account
)

// Terms are what is known of a source beside its files.
type Terms struct {
	Kind    Kind        `json:"kind"`
	Account string      `json:"account"`           // as whoever keeps it calls it: what files must name
	Books   []string    `json:"books,omitempty"`   // the accounts of our books that it mirrors. The first one takes adjustments that are of no entry
	Against string      `json:"against,omitempty"` // of a bank account: the settlement source whose settlements come in as one line each
	Fee     *fee.Tariff `json:"fee,omitempty"`     // of a settlement source: what the gateway is to charge on a payment; nil: nobody compares it
	Late    int         `json:"late_days"`         // line and entry whose dates are further apart are late; 0: nobody minds
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// CheckName refuses what cannot be the name of a source (domain.Invalid): it is part of a stream's name, and must not look like an id.
func CheckName(name string) error {
	if len(name) > MaxName || !nameForm.MatchString(name) {
		return domain.InvalidField("source", fmt.Sprintf("must be 1 to %d of a-z, 0-9 and -, and begin with a letter", MaxName))
	}
	return nil
}

// Check refuses terms that make no sense (domain.Invalid).
func (t *Terms) Check(name string) error {
	switch {
	case t.Kind != Settlement && t.Kind != Bank:
		return domain.InvalidField("kind", `must be "settlement" or "bank"`)
	case t.Account == "" || len(t.Account) > MaxText:
		return domain.InvalidField("account", fmt.Sprintf("must be 1 to %d bytes: the account as the files name it", MaxText))
	case len(t.Books) == 0 && t.Against == "":
		return domain.InvalidField("books", "must name an account of the books that the source mirrors, such as gateway:sandbox:receivable")
	case len(t.Books) > MaxBooks:
		return domain.InvalidField("books", fmt.Sprintf("must not be more than %d", MaxBooks))
	case t.Against != "" && (t.Kind != Bank || t.Against == name || CheckName(t.Against) != nil):
		return domain.InvalidField("against", "must be the name of the settlement source whose settlements a bank account receives")
	case t.Late < 0 || t.Late > MaxLate:
		return domain.InvalidField("late", fmt.Sprintf("must be 0 to %d days", MaxLate))
	case t.Fee != nil && t.Kind != Settlement:
		return domain.InvalidField("fee", "is known of settlement sources alone")
	}
	for i, account := range t.Books {
		a, known := books.ParseAccount(account)
		if !known || a.Kind != books.GatewayReceivable && a.Kind != books.GatewayFloat {
			return domain.InvalidField("books", account+" is no account that a gateway or bank keeps for us, such as gateway:sandbox:float")
		}
		if slices.Contains(t.Books[:i], account) {
			return domain.InvalidField("books", account+" is named twice")
		}
	}
	return nil
}

// Follows refuses terms that a source cannot change to: it stays of its kind and account.
func (t *Terms) Follows(was *Terms) error {
	switch {
	case t.Kind != was.Kind:
		return domain.InvalidField("kind", fmt.Sprintf("the source is of kind %s, which does not change", was.Kind))
	case t.Account != was.Account:
		return domain.InvalidField("account", fmt.Sprintf("the source is of account %s, which does not change", was.Account))
	}
	return nil
}

// Overlaps tells whether two sources are of one account, and mirror one account of the books.
func (t *Terms) Overlaps(o *Terms) bool {
	return sameAccount(t.Account, o.Account) && slices.ContainsFunc(t.Books, func(account string) bool { return slices.Contains(o.Books, account) })
}

func (t *Terms) equal(o *Terms) bool {
	same := t.Kind == o.Kind && t.Account == o.Account && slices.Equal(t.Books, o.Books) && t.Against == o.Against && t.Late == o.Late
	return same && sameFee(t.Fee, o.Fee)
}

func sameFee(a, b *fee.Tariff) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Commission.Percent.Equal(b.Commission.Percent) && a.Commission.Flat.Equal(b.Commission.Flat) && a.GST.Rate.Equal(b.GST.Rate) &&
		a.GST.Included == b.GST.Included
}

// Charge is a gateway's fee of so many percent of a payment, with tax on top, of so many percent of the fee.
func Charge(percent, tax string) (*fee.Tariff, error) {
	var of [2]decimal.Decimal
	for i, s := range []string{percent, tax} {
		d, err := decimal.NewFromString(s)
		if err != nil || len(s) > 10 || d.IsNegative() || d.GreaterThan(decimal.NewFromInt(100)) {
			return nil, fmt.Errorf("%q is not a percentage such as 2 or 1.75", s)
		}
		of[i] = d
	}
	return &fee.Tariff{Commission: fee.Schedule{Percent: of[0]}, GST: fee.GST{Rate: of[1]}}, nil
}

// Expected is what the gateway is to charge on a payment: fee and tax on it, together. False where nobody has said.
func (t *Terms) Expected(amount money.Amount) (money.Amount, bool) {
	if t.Fee == nil || amount.Sign() <= 0 {
		return money.Amount{}, false
	}
	charge, _, err := t.Fee.Quote(amount) // which fails for what is not positive alone
	return charge, err == nil
}

// Stream is the name of a source's stream.
func Stream(name string) string { return "source:" + name }

// Register is the subject of the events that make and change sources: who looks for it finds all of them.
const Register = "sources"
