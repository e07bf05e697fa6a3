package wallet

import (
	"maps"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Evolve brings the wallet behind an event. It cannot fail: what is in the log has happened.
func (w *Wallet) Evolve(e Event) {
	switch e := e.(type) {
	case *PayinCreated:
		w.Payins++
	case *PayinSucceeded:
		w.Available = w.Available.Add(e.Net())
	case *SuspenseCredited:
		w.Available = w.Available.Add(e.Net())
	case *PayoutInitiated:
		w.Payouts++
		if e.FromHold {
			w.draw(e)
			return
		}
		w.lock(e.Gross())
	case *PayoutSucceeded:
		w.Locked = w.Locked.Sub(e.Gross())
	case *PayoutFailed:
		w.lock(e.Gross().Neg())
	case *PayoutRefunded:
		w.lock(e.Gross().Neg())
	case *PayoutReturned:
		w.Available = w.Available.Add(e.Gross())
	case *PayoutPaidAfterRefund:
		w.Available = w.Available.Sub(e.Taken)
		w.Owed = w.Owed.Add(e.Owed)
	case *WalletAdjusted:
		w.Available = w.Available.Add(e.Amount)
	case *WalletRecovered:
		w.Available = w.Available.Sub(e.Amount)
		w.Owed = w.Owed.Sub(e.Amount)
	case *WalletHeld:
		w.lock(e.Amount)
	case *WalletReleased:
		w.lock(e.Amount.Neg())
	case *BatchQueued, *BatchHeld, *BatchReleased:
		w.reserve(e)
	default:
		w.evolveDispute(e)
		w.evolveRefund(e)
	}
}

// lock moves an amount from available to locked.
func (w *Wallet) lock(a money.Amount) {
	w.Available = w.Available.Sub(a)
	w.Locked = w.Locked.Add(a)
}

// Evolve brings the payment behind an event of its subject; at is the event's value date. It cannot fail. A copy of the
// struct taken before stays as it was: the map of suspended payments and the lists of disputes and refunds are replaced, never written to.
func (p *Payment) Evolve(e Event, at time.Time) {
	if p.Kind == "" {
		p.Of = *e.Header()
		p.CreatedAt, p.UpdatedAt = at, at
	}
	before := p.Status
	switch e := e.(type) {
	case *WalletAdjusted:
		p.begin(KindAdjustment, Success, alone(e.Amount))
		p.Reason = e.Reason
	case *WalletHeld:
		p.begin(KindHold, Pending, alone(e.Amount))
		p.Reason = e.Reason
	case *WalletReleased:
		p.Status = Released
	case *WalletRecovered: // moves the wallet's debt, nothing of the payment
	default:
		p.evolvePayin(e)
		p.evolveCheckout(e)
		p.evolvePayout(e, at)
		p.evolveDispute(e, at)
		p.evolveRefund(e, at)
	}
	if p.Status != before {
		p.UpdatedAt = at
	}
}

func (p *Payment) begin(k Kind, s Status, priced Priced) {
	p.Kind, p.Status, p.Priced = k, s, priced
}

// alone is an amount without a commission.
func alone(a money.Amount) Priced {
	zero := money.Zero(a.Currency())
	return Priced{Amount: a, Commission: zero, Tax: zero}
}

func (p *Payment) evolvePayin(e Event) {
	switch e := e.(type) {
	case *PayinCreated:
		p.begin(KindPayin, Pending, e.Priced)
		p.OrderID, p.TxnRef, p.IntentURL = e.OrderID, e.TxnRef, e.IntentURL
		p.ExpiresAt, p.Gateway, p.Sealed = e.ExpiresAt, e.Gateway, e.Sealed
	case *PayinSucceeded:
		p.Status, p.Late, p.Reason = Success, e.Late, ""
		p.Gateway, p.UTR, p.PaymentID = e.Gateway, e.UTR, e.PaymentID
	case *PayinFailed:
		p.Status, p.Reason = Failed, e.Reason
	case *PayinExpired:
		p.Status = Expired
	case *PayinSuspended:
		p.keep(Suspended{ID: e.Suspense, Amount: e.Amount, Gateway: e.Gateway, Config: e.Config, PaymentID: e.PaymentID, Open: true})
	case *PayinNoted:
		if p.Notes++; e.Anomaly {
			p.Anomalies++
		}
	case *SuspenseCredited:
		p.settle(e.Suspense, true)
	case *SuspenseRefunded:
		p.settle(e.Suspense, false)
	}
}

// keep puts a suspended payment in, or in the place of its former state.
func (p *Payment) keep(s Suspended) {
	all := make(map[string]*Suspended, len(p.Suspense)+1)
	maps.Copy(all, p.Suspense)
	all[s.ID] = &s
	p.Suspense = all
}

func (p *Payment) settle(id string, credited bool) {
	if s, there := p.Suspense[id]; there {
		closed := *s
		closed.Open, closed.Credited = false, credited
		p.keep(closed)
	}
}

func (p *Payment) evolvePayout(e Event, at time.Time) {
	switch e := e.(type) {
	case *PayoutInitiated:
		p.begin(KindPayout, Pending, e.Priced)
		p.Batch = e.Batch
		p.RequestID, p.IFSC, p.BankName = e.RequestID, e.IFSC, e.BankName
		p.AccountLast4, p.TransferType, p.Sealed = e.AccountLast4, e.TransferType, e.Sealed
	case *PayoutSubmitted:
		p.Attempts, p.Gateway, p.SubmittedAt = e.Attempt, e.Gateway, at
	case *PayoutSucceeded:
		p.Status, p.Gateway, p.UTR, p.BankReference = Success, e.Gateway, e.UTR, e.BankReference
	case *PayoutFailed:
		p.Status, p.Reason = Failed, e.Reason
	case *PayoutRefunded:
		p.Status, p.Gateway, p.Reason = Refunded, e.Gateway, e.Reason
	case *PayoutReturned:
		p.Status, p.Reason, p.ReturnReference = Refunded, e.Reason, e.ReturnReference
	case *PayoutPaidAfterRefund:
		p.Status, p.Reason, p.PaidAfterRefund = Success, "", true
		p.Gateway, p.UTR, p.BankReference = e.Gateway, e.UTR, e.BankReference
	case *PayoutAnomaly:
		p.Notes++
		p.Anomalies++
	case *PayoutNoted:
		p.Notes++
		if p.UTR == "" && p.Status == Success && e.Claim == string(OutcomePaid) {
			p.UTR = e.UTR
		}
	}
}

// Returned reports whether a payout was paid and then sent back by the bank.
func (p *Payment) Returned() bool { return p.Status == Refunded && p.ReturnReference != "" }
