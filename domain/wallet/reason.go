package wallet

import (
	"slices"
	"strings"
)

// Why a bank or gateway has not paid: the closed list. Whatever a gateway says is brought to one of these by its adapter,
// with Reason as the last step, since free text of a bank may hold personal data and is never stored in clear.
const (
	FailureAccountClosed   = "account_closed"
	FailureAccountFrozen   = "account_frozen"
	FailureAccountInvalid  = "account_invalid"
	FailureAccountDormant  = "account_dormant"
	FailureIMPSNotAllowed  = "imps_not_allowed"
	FailureIFSCInvalid     = "ifsc_invalid"
	FailureBankTimeout     = "beneficiary_bank_timeout"
	FailureBankUnavailable = "beneficiary_bank_unavailable"
	FailureLimitExceeded   = "limit_exceeded"
	FailureGatewayTimeout  = "gateway_timeout"
	FailureLowBalance      = "low_balance" // of the payer: the customer of a payin, the float of a payout
	FailureWindowClosed    = "window_closed"
	FailureRejectedByBank  = "rejected_by_bank"             // the bank gave no reason of the list
	FailureReturned        = "returned_by_beneficiary_bank" // after it was paid
	FailureNotFound        = "not_found_at_bank"            // no trace of it after the quiet window
	FailureNotPaid         = "not_paid"                     // an operator has proof
	FailureDeclined        = "declined_by_customer"         // a payin
	FailureCancelled       = "cancelled"                    // before it was sent
	FailureNotApproved     = "not_approved"
	FailureOther           = "other"
)

// RetryClass says what a new payment to the same account can hope for.
type RetryClass string

// The classes.
const (
	RetryNever  RetryClass = "never"  // the same data will fail again
	RetryLater  RetryClass = "later"  // the same data may work after a while
	RetryByHand RetryClass = "manual" // nobody can tell: a person decides
)

// RetryOf returns the class of a failure reason; RetryByHand for one that is not of the list.
func RetryOf(reason string) RetryClass {
	class, known := retryClass(reason)
	if !known {
		return RetryByHand
	}
	return class
}

// Reasons lists every failure reason.
func Reasons() []string {
	return []string{
		FailureAccountClosed, FailureAccountFrozen, FailureAccountInvalid, FailureAccountDormant, FailureIMPSNotAllowed,
		FailureIFSCInvalid, FailureBankTimeout, FailureBankUnavailable, FailureLimitExceeded, FailureGatewayTimeout,
		FailureLowBalance, FailureWindowClosed, FailureRejectedByBank, FailureReturned, FailureNotFound, FailureNotPaid,
		FailureDeclined, FailureCancelled, FailureNotApproved, FailureOther,
	}
}

func retryClass(reason string) (RetryClass, bool) {
	switch reason {
	case FailureAccountClosed, FailureAccountFrozen, FailureAccountInvalid, FailureAccountDormant, FailureIMPSNotAllowed,
		FailureIFSCInvalid:
		return RetryNever, true
	case FailureBankTimeout, FailureBankUnavailable, FailureLimitExceeded, FailureGatewayTimeout, FailureLowBalance,
		FailureWindowClosed, FailureNotFound:
		return RetryLater, true
	case FailureRejectedByBank, FailureReturned, FailureNotPaid, FailureDeclined, FailureCancelled, FailureNotApproved,
		FailureOther:
		return RetryByHand, true
	}
	return "", false
}

// Reason brings a reason to one of the closed list: letter case, spaces and hyphens do not matter; one that is not of the
// list becomes "other".
func Reason(s string) string {
	r := strings.Map(func(c rune) rune {
		if c == ' ' || c == '-' {
			return '_'
		}
		return c
	}, strings.ToLower(strings.TrimSpace(s)))
	if _, known := retryClass(r); known {
		return r
	}
	return FailureOther
}

// DisputeReasons lists why customers' banks claim payments back: the closed list.
func DisputeReasons() []string {
	return []string{
		"fraud", "not_received", "not_as_described", "duplicate", "credit_not_processed", "cancelled", "unrecognized", "authorization",
		"processing_error", FailureOther,
	}
}

// DisputeReason brings what a gateway says to one of DisputeReasons, as Reason does.
func DisputeReason(said string) string {
	said = strings.TrimPrefix(strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(said))), "goods_")
	if slices.Contains(DisputeReasons(), said) {
		return said
	}
	return FailureOther
}
