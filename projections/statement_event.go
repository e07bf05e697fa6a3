package projections

import (
	"context"
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// A line of the journal does not say which event it is of. Nearly always its payment tells: there is one event that can have moved that
// account in that direction. Where there are two, the record is read from the log; that costs as much as fifty lines, and is rare.

// identify sets the type of an entry's event, and what is only known of that.
func (v *Views) identify(ctx context.Context, account string, e *statementEntry) error {
	if e.typ = e.told(account); e.typ != "" {
		switch e.typ {
		case "payout.initiated", "payout.succeeded":
			e.reason = ""
		case "payout.returned":
			e.utr = e.returnReference
		case "payin.succeeded":
			e.bankReference = e.paymentID
		}
		return nil
	}
	at := e.position()
	records, err := v.log.Read(ctx, at.Partition, at.Seq-1, 1)
	if err != nil {
		return fmt.Errorf("read record %s: %w", at, err)
	}
	if len(records) == 0 {
		return fmt.Errorf("record %s: %w", at, eventstore.ErrNotFound)
	}
	facts, err := decode(records)
	if err != nil {
		return err
	}
	if of, adjusted := facts[0].books.(*books.Adjusted); adjusted {
		e.typ, e.reason = of.Type(), of.Reason
		return nil
	}
	if facts[0].wallet == nil {
		return fmt.Errorf("record %s: %s moves no money, but the journal has a line of it", at, records[0].Type)
	}
	e.typ, e.merchant = records[0].Type, facts[0].wallet.Header().Merchant
	return v.explainEntry(ctx, e, facts[0].wallet)
}

// told is the type of the entry's event, where its payment tells it; else "".
func (e *statementEntry) told(account string) string {
	switch wallet.Kind(e.kind) {
	case wallet.KindPayin:
		if e.suspended == 0 && e.disputed == 0 && account != wallet.AccountSuspense && (e.debit != 0) == debitNormal(account) {
			return "payin.succeeded"
		}
	case wallet.KindPayout:
		if e.seq == e.first {
			return "payout.initiated"
		}
		if e.paidAfterRefund == 0 {
			return e.ofPayout(account)
		}
	case wallet.KindAdjustment:
		if e.seq == e.first {
			return "wallet.adjusted"
		}
	case wallet.KindHold:
		if e.seq == e.first {
			return "wallet.held"
		}
	}
	return ""
}

// ofPayout is told for what comes after the initiation of a payout that was not paid after a refund: it ends once, or is paid and returned.
func (e *statementEntry) ofPayout(account string) string {
	returned := wallet.Status(e.status) == wallet.Refunded && e.returnReference != ""
	var end string
	switch wallet.Status(e.status) {
	case wallet.Success:
		end = "payout.succeeded"
	case wallet.Failed:
		end = "payout.failed"
	case wallet.Refunded:
		end = "payout.refunded"
	case wallet.Pending, wallet.Expired, wallet.Released: // then the payment does not tell
	}
	switch {
	case strings.HasSuffix(account, ":receivable"):
		return ""
	case strings.HasSuffix(account, ":locked") && e.debit != 0:
		if returned {
			return "payout.succeeded"
		}
		return end
	case strings.HasSuffix(account, ":available") && e.credit != 0:
		if returned {
			return "payout.returned"
		}
		return end
	case strings.HasPrefix(account, "merchant:"):
		return ""
	case e.credit != 0:
		return "payout.succeeded"
	}
	return "payout.returned"
}

// explainEntry adds what the event says. What the views say of the payment is about its end, which may be of another event.
func (v *Views) explainEntry(ctx context.Context, e *statementEntry, event wallet.Event) error {
	entry := ""
	switch of := event.(type) {
	case *wallet.PayinSuspended:
		e.suspense, e.utr, e.reason, e.bankReference = of.Suspense, of.UTR, of.Reason, of.PaymentID
	case *wallet.SuspenseCredited:
		entry, e.reason = of.Suspense, of.Reason
	case *wallet.SuspenseRefunded:
		entry, e.reason = of.Suspense, of.Reason
	case *wallet.PayinSucceeded:
		e.utr, e.reason, e.bankReference = of.UTR, "", of.PaymentID
	case *wallet.PayoutSucceeded:
		e.reason = ""
		if of.UTR != "" {
			e.utr = of.UTR
		}
	case *wallet.PayoutFailed:
		e.reason = of.Reason
	case *wallet.PayoutRefunded:
		e.utr, e.reason = "", of.Reason
	case *wallet.PayoutReturned:
		e.utr, e.reason = of.ReturnReference, of.Reason
	case *wallet.PayoutPaidAfterRefund:
		e.utr, e.reason = of.UTR, ""
	case *wallet.WalletHeld:
		e.reason = of.Reason
	case *wallet.WalletReleased:
		e.reason = of.Reason
	case *wallet.WalletRecovered, *wallet.BatchHeld, *wallet.BatchReleased:
		e.utr, e.reason = "", ""
	case *wallet.DisputeOpened:
		e.reason = of.Reason
	case *wallet.DisputeEscalated:
		e.reason = of.Reason
	case *wallet.DisputeWon:
		e.reason = of.Reason
	case *wallet.DisputeLost:
		e.reason, e.suspense = of.Reason, of.Suspense
	case *wallet.DisputeReversed:
		e.reason, e.suspense = of.Reason, of.Suspense
	case *wallet.DisputeClosed:
		e.reason = of.Reason
	case *wallet.RefundInitiated:
		e.utr, e.reason = "", of.Reason
	case *wallet.RefundSucceeded:
		e.utr, e.reason, e.bankReference = of.UTR, "", of.RefundID
	case *wallet.RefundFailed:
		e.utr, e.reason, e.suspense = "", of.Reason, of.Suspense
	case *wallet.RefundPaidAfterFailure:
		e.utr, e.reason, e.suspense, e.bankReference = of.UTR, "", of.Suspense, of.RefundID
	}
	if strings.HasPrefix(e.subject, "bat_") {
		e.batch = e.subject
	}
	if entry == "" {
		return nil
	}
	e.suspense, e.utr = entry, ""
	rows, err := query(ctx, v, suspense{}, suspenseTable, "WHERE id = $1 AND merchant = $2", entry, e.merchant)
	if err == nil && len(rows) > 0 {
		e.utr = rows[0].utr
	}
	return err
}
