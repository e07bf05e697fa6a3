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
)

// Counter counts an event of a gateway. It must be fast and safe for concurrent use.
type Counter func(gateway string, e Event)

func (c Counter) count(gateway string, e Event) {
	if c != nil {
		c(gateway, e)
	}
}
