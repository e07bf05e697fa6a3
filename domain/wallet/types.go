package wallet

// blank returns an empty event of a stored type and version, nil when there is none such. An old version of a type gets a
// case of its own here, with the shape that it had.
func blank(typ string, schema int) Event {
	if schema != 1 {
		return nil
	}
	switch typ {
	case "payin.created":
		return &PayinCreated{}
	case "payin.succeeded":
		return &PayinSucceeded{}
	case "payin.failed":
		return &PayinFailed{}
	case "payin.expired":
		return &PayinExpired{}
	case "payin.suspended":
		return &PayinSuspended{}
	case "payin.noted":
		return &PayinNoted{}
	case "payin.routed":
		return &PayinRouted{}
	case "payin.ordered":
		return &PayinOrdered{}
	case "payin.order_failed":
		return &PayinOrderFailed{}
	case "suspense.credited":
		return &SuspenseCredited{}
	case "suspense.refunded":
		return &SuspenseRefunded{}
	case "payout.initiated":
		return &PayoutInitiated{}
	case "payout.submitted":
		return &PayoutSubmitted{}
	case "payout.succeeded":
		return &PayoutSucceeded{}
	case "payout.failed":
		return &PayoutFailed{}
	case "payout.refunded":
		return &PayoutRefunded{}
	case "payout.returned":
		return &PayoutReturned{}
	case "payout.paid_after_refund":
		return &PayoutPaidAfterRefund{}
	case "payout.anomaly":
		return &PayoutAnomaly{}
	case "payout.noted":
		return &PayoutNoted{}
	case "wallet.adjusted":
		return &WalletAdjusted{}
	case "wallet.recovered":
		return &WalletRecovered{}
	case "wallet.held":
		return &WalletHeld{}
	case "wallet.released":
		return &WalletReleased{}
	case "batch.queued":
		return &BatchQueued{}
	case "batch.held":
		return &BatchHeld{}
	case "batch.released":
		return &BatchReleased{}
	case "dispute.opened":
		return &DisputeOpened{}
	case "dispute.escalated":
		return &DisputeEscalated{}
	case "dispute.updated":
		return &DisputeUpdated{}
	case "dispute.evidence":
		return &DisputeEvidence{}
	case "dispute.won":
		return &DisputeWon{}
	case "dispute.lost":
		return &DisputeLost{}
	case "dispute.reversed":
		return &DisputeReversed{}
	case "dispute.closed":
		return &DisputeClosed{}
	case "refund.initiated":
		return &RefundInitiated{}
	case "refund.submitted":
		return &RefundSubmitted{}
	case "refund.succeeded":
		return &RefundSucceeded{}
	case "refund.failed":
		return &RefundFailed{}
	case "refund.paid_after_failure":
		return &RefundPaidAfterFailure{}
	}
	return nil
}

// Type is the stored name of the event: see Event. It never changes.
func (*PayinCreated) Type() string           { return "payin.created" }
func (*PayinSucceeded) Type() string         { return "payin.succeeded" }
func (*PayinFailed) Type() string            { return "payin.failed" }
func (*PayinExpired) Type() string           { return "payin.expired" }
func (*PayinSuspended) Type() string         { return "payin.suspended" }
func (*PayinNoted) Type() string             { return "payin.noted" }
func (*PayinRouted) Type() string            { return "payin.routed" }
func (*PayinOrdered) Type() string           { return "payin.ordered" }
func (*PayinOrderFailed) Type() string       { return "payin.order_failed" }
func (*SuspenseCredited) Type() string       { return "suspense.credited" }
func (*SuspenseRefunded) Type() string       { return "suspense.refunded" }
func (*PayoutInitiated) Type() string        { return "payout.initiated" }
func (*PayoutSubmitted) Type() string        { return "payout.submitted" }
func (*PayoutSucceeded) Type() string        { return "payout.succeeded" }
func (*PayoutFailed) Type() string           { return "payout.failed" }
func (*PayoutRefunded) Type() string         { return "payout.refunded" }
func (*PayoutReturned) Type() string         { return "payout.returned" }
func (*PayoutPaidAfterRefund) Type() string  { return "payout.paid_after_refund" }
func (*PayoutAnomaly) Type() string          { return "payout.anomaly" }
func (*PayoutNoted) Type() string            { return "payout.noted" }
func (*WalletAdjusted) Type() string         { return "wallet.adjusted" }
func (*WalletRecovered) Type() string        { return "wallet.recovered" }
func (*WalletHeld) Type() string             { return "wallet.held" }
func (*WalletReleased) Type() string         { return "wallet.released" }
func (*BatchQueued) Type() string            { return "batch.queued" }
func (*BatchHeld) Type() string              { return "batch.held" }
func (*BatchReleased) Type() string          { return "batch.released" }
func (*DisputeOpened) Type() string          { return "dispute.opened" }
func (*DisputeEscalated) Type() string       { return "dispute.escalated" }
func (*DisputeUpdated) Type() string         { return "dispute.updated" }
func (*DisputeEvidence) Type() string        { return "dispute.evidence" }
func (*DisputeWon) Type() string             { return "dispute.won" }
func (*DisputeLost) Type() string            { return "dispute.lost" }
func (*DisputeReversed) Type() string        { return "dispute.reversed" }
func (*DisputeClosed) Type() string          { return "dispute.closed" }
func (*RefundInitiated) Type() string        { return "refund.initiated" }
func (*RefundSubmitted) Type() string        { return "refund.submitted" }
func (*RefundSucceeded) Type() string        { return "refund.succeeded" }
func (*RefundFailed) Type() string           { return "refund.failed" }
func (*RefundPaidAfterFailure) Type() string { return "refund.paid_after_failure" }

// Schema is the version of the stored shape: see Event.
func (*PayinCreated) Schema() int           { return 1 }
func (*PayinSucceeded) Schema() int         { return 1 }
func (*PayinFailed) Schema() int            { return 1 }
func (*PayinExpired) Schema() int           { return 1 }
func (*PayinSuspended) Schema() int         { return 1 }
func (*PayinNoted) Schema() int             { return 1 }
func (*PayinRouted) Schema() int            { return 1 }
func (*PayinOrdered) Schema() int           { return 1 }
func (*PayinOrderFailed) Schema() int       { return 1 }
func (*SuspenseCredited) Schema() int       { return 1 }
func (*SuspenseRefunded) Schema() int       { return 1 }
func (*PayoutInitiated) Schema() int        { return 1 }
func (*PayoutSubmitted) Schema() int        { return 1 }
func (*PayoutSucceeded) Schema() int        { return 1 }
func (*PayoutFailed) Schema() int           { return 1 }
func (*PayoutRefunded) Schema() int         { return 1 }
func (*PayoutReturned) Schema() int         { return 1 }
func (*PayoutPaidAfterRefund) Schema() int  { return 1 }
func (*PayoutAnomaly) Schema() int          { return 1 }
func (*PayoutNoted) Schema() int            { return 1 }
func (*WalletAdjusted) Schema() int         { return 1 }
func (*WalletRecovered) Schema() int        { return 1 }
func (*WalletHeld) Schema() int             { return 1 }
func (*WalletReleased) Schema() int         { return 1 }
func (*BatchQueued) Schema() int            { return 1 }
func (*BatchHeld) Schema() int              { return 1 }
func (*BatchReleased) Schema() int          { return 1 }
func (*DisputeOpened) Schema() int          { return 1 }
func (*DisputeEscalated) Schema() int       { return 1 }
func (*DisputeUpdated) Schema() int         { return 1 }
func (*DisputeEvidence) Schema() int        { return 1 }
func (*DisputeWon) Schema() int             { return 1 }
func (*DisputeLost) Schema() int            { return 1 }
func (*DisputeReversed) Schema() int        { return 1 }
func (*DisputeClosed) Schema() int          { return 1 }
func (*RefundInitiated) Schema() int        { return 1 }
func (*RefundSubmitted) Schema() int        { return 1 }
func (*RefundSucceeded) Schema() int        { return 1 }
func (*RefundFailed) Schema() int           { return 1 }
func (*RefundPaidAfterFailure) Schema() int { return 1 }
