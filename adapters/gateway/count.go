package gateway

// Event is something that is counted, for metrics.
type Event string

// What is counted.
const (
	CountSent             Event = "sent"              // sends
	CountInquired         Event = "inquired"          // inquiries
	CountUnknown          Event = "unknown"           // sends and inquiries without an answer
	CountNotFound         Event = "not_found"         // inquiries answered "not found"
	CountGivenUp          Event = "given_up"          // payouts reported as not paid for want of a trace
	CountAnomaly          Event = "anomaly"           // gateway statements that contradict the ledger
	CountCallback         Event = "callback"          // callback messages recorded, or already known
	CountCallbackRefused  Event = "callback_refused"  // forged, stale, malformed, about something unknown
	CountCallbackDeferred Event = "callback_deferred" // answered "try again"
	CountExpiryUnknown    Event = "expiry_unknown"    // payins expired without an answer of their gateway
	CountRefundFailed     Event = "refund_failed"     // refunds that a gateway has not made

	CountOrdered       Event = "ordered"        // orders that were made
	CountOrderRefused  Event = "order_refused"  // definitely not made
	CountOrderUnknown  Event = "order_unknown"  // attempts without an answer
	CountPaused        Event = "paused"         // pauses of gateway configurations that keep failing
	CountCallbackEarly Event = "callback_early" // verified messages about what is not known, or not yet
	CountUnmatched     Event = "unmatched"      // those of them that were kept in the end
	CountReturnRefused Event = "return_refused" // what browsers brought back and could not be verified
	CountNotKept       Event = "not_kept"       // refused messages that came too fast to be kept
	CountTrialPassed   Event = "trial_passed"   // trial orders
	CountTrialFailed   Event = "trial_failed"
)

// Counter counts an event of a gateway. It must be fast and safe for concurrent use.
type Counter func(gateway string, e Event)

func (c Counter) count(gateway string, e Event) {
	if c != nil {
		c(gateway, e)
	}
}
