package wallet

import (
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
)

// Posting is one line of a double entry: a debit or a credit of one account. The other of the two is zero.
type Posting = books.Posting

// Accounts that are not anybody's. Their names are part of the contract with auditors.
const (
	AccountCommission  = books.AccountCommission
	AccountTax         = books.AccountTax
	AccountSuspense    = books.AccountSuspense
	AccountAdjustments = books.AccountAdjustments
)

// AccountAvailable is what a merchant can dispose of.
func AccountAvailable(merchant string) string { return "merchant:" + merchant + ":available" }

// AccountLocked is what a merchant has in open holds.
func AccountLocked(merchant string) string { return "merchant:" + merchant + ":locked" }

// AccountReceivable is what a merchant owes.
func AccountReceivable(merchant string) string { return "merchant:" + merchant + ":receivable" }

// AccountGatewayReceivable is what a gateway has collected and not settled yet.
func AccountGatewayReceivable(gateway string) string { return "gateway:" + gateway + ":receivable" }

// AccountFloat is the money at a gateway out of which payouts are paid.
func AccountFloat(gateway string) string { return "gateway:" + gateway + ":float" }

// Postings returns the balanced double entry of an event: debits, then credits, lines of zero left out. It is a function
// of the event alone, so that the books can be written anew from the log. Nil for an event that moves nothing.
func Postings(e Event) []Posting {
	of := e.Header()
	available := func() string { return AccountAvailable(of.Merchant) } // a name costs memory: it is made where it is used
	locked := func() string { return AccountLocked(of.Merchant) }
	var b entry
	switch e := e.(type) {
	case *PayinSucceeded:
		b.debit(AccountGatewayReceivable(e.Gateway), e.Amount)
		b.credit(available(), e.Net())
		b.earn(e.Priced)
	case *PayinSuspended:
		b.move(AccountGatewayReceivable(e.Gateway), AccountSuspense, e.Amount)
	case *SuspenseCredited:
		b.debit(AccountSuspense, e.Amount)
		b.credit(available(), e.Net())
		b.earn(e.Priced)
	case *SuspenseRefunded:
		b.move(AccountSuspense, AccountGatewayReceivable(e.Gateway), e.Amount)
	case *PayoutInitiated:
		if !e.FromHold { // else it is locked already
			b.move(available(), locked(), e.Gross())
		}
	case *PayoutSucceeded:
		b.debit(locked(), e.Gross())
		b.credit(AccountFloat(e.Gateway), e.Amount)
		b.earn(e.Priced)
	case *PayoutFailed:
		b.move(locked(), available(), e.Gross())
	case *PayoutRefunded:
		b.move(locked(), available(), e.Gross())
	case *PayoutReturned:
		b.debit(AccountFloat(e.Gateway), e.Amount)
		b.debit(AccountCommission, e.Commission.Sub(e.Tax))
		b.debit(AccountTax, e.Tax)
		b.credit(available(), e.Gross())
	case *PayoutPaidAfterRefund:
		b.debit(available(), e.Taken)
		b.debit(AccountReceivable(of.Merchant), e.Owed)
		b.credit(AccountFloat(e.Gateway), e.Amount)
		b.earn(e.Priced)
	case *WalletAdjusted:
		b.adjust(available(), e.Amount)
	case *WalletRecovered:
		b.move(available(), AccountReceivable(of.Merchant), e.Amount)
	case *WalletHeld:
		b.move(available(), locked(), e.Amount)
	case *WalletReleased:
		b.move(locked(), available(), e.Amount)
	case *BatchHeld:
		b.move(available(), locked(), e.Amount)
	case *BatchReleased:
		b.move(locked(), available(), e.Amount)
	case *DisputeOpened, *DisputeEscalated, *DisputeWon, *DisputeLost, *DisputeReversed, *DisputeClosed:
		b.dispute(e)
	case *RefundInitiated, *RefundSucceeded, *RefundFailed, *RefundPaidAfterFailure:
		b.refund(e)
	}
	return b
}

// dispute writes the lines of an event of a dispute. What is held and not covered is owed at once, so that it is locked like the rest.
func (b *entry) dispute(e Event) {
	available, locked, receivable := AccountAvailable(e.Header().Merchant), AccountLocked(e.Header().Merchant), AccountReceivable(e.Header().Merchant)
	hold := func(taken, owed money.Amount) {
		b.debit(available, taken)
		b.debit(receivable, owed)
		b.credit(locked, taken.Add(owed))
	}
	switch e := e.(type) {
	case *DisputeOpened:
		hold(e.Taken, e.Owed)
	case *DisputeEscalated:
		hold(e.Taken, e.Owed)
		b.move(locked, available, e.Released)
	case *DisputeWon:
		b.move(locked, available, e.Released)
	case *DisputeClosed:
		b.move(locked, available, e.Released)
	case *DisputeLost:
		if e.Suspense != "" {
			b.debit(AccountSuspense, e.Amount)
			b.debit(AccountAdjustments, e.Fee)
			b.credit(AccountGatewayReceivable(e.Gateway), e.Amount.Add(e.Fee))
			return
		}
		b.debit(locked, e.FromHold.Add(e.Released))
		b.debit(available, e.Taken)
		b.debit(receivable, e.Owed)
		b.credit(AccountGatewayReceivable(e.Gateway), e.Amount.Add(e.Fee))
		b.credit(available, e.Released)
	case *DisputeReversed:
		if e.Suspense != "" {
			b.debit(AccountGatewayReceivable(e.Gateway), e.Amount.Add(e.Fee))
			b.credit(AccountSuspense, e.Amount)
			b.credit(AccountAdjustments, e.Fee)
			return
		}
		b.move(AccountGatewayReceivable(e.Gateway), available, e.Amount.Add(e.Fee))
	}
}

// entry gathers the lines of one event.
type entry []Posting

func (b *entry) debit(account string, a money.Amount) {
	b.line(Posting{Account: account, Debit: a, Credit: money.Zero(a.Currency())})
}

func (b *entry) credit(account string, a money.Amount) {
	b.line(Posting{Account: account, Debit: money.Zero(a.Currency()), Credit: a})
}

// usualLines is how many lines all entries have at most, but that of a payment after a refund.
const usualLines = 4

func (b *entry) line(p Posting) {
	if p.Debit.IsZero() && p.Credit.IsZero() {
		return
	}
	if *b == nil {
		*b = make(entry, 0, usualLines)
	}
	*b = append(*b, p)
}

func (b *entry) move(from, to string, a money.Amount) {
	b.debit(from, a)
	b.credit(to, a)
}

// earn credits the commission, less the tax that it includes, and the tax.
func (b *entry) earn(p Priced) {
	b.credit(AccountCommission, p.Commission.Sub(p.Tax))
	b.credit(AccountTax, p.Tax)
}

// adjust turns a signed correction into a debit and a credit.
func (b *entry) adjust(available string, a money.Amount) {
	if a.Sign() < 0 {
		b.move(available, AccountAdjustments, a.Neg())
		return
	}
	b.move(AccountAdjustments, available, a)
}
