package gateway

import (
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// RefundPolicy says how patiently a gateway is asked about refunds. There is no end to it: only the gateway's own word settles a refund.
type RefundPolicy struct {
	CallTimeout time.Duration // of one call; default 30 s
	// FirstInquiry is how long after a call the first inquiry comes, default 2 s; each further one waits twice as long, up to MaxInquiryGap,
	// default 30 min. Refunds take banks days.
	FirstInquiry  time.Duration
	MaxInquiryGap time.Duration
	ResendGap     time.Duration // before a refund that the gateway does not know is sent again, as often as it takes; default 1 min, doubling likewise
	Concurrency   int           // default 8
}

// SandboxRefundPolicy is short.
func SandboxRefundPolicy() RefundPolicy {
	return RefundPolicy{
		CallTimeout: 2 * time.Second, FirstInquiry: 200 * time.Millisecond, MaxInquiryGap: 2 * time.Second, ResendGap: 400 * time.Millisecond,
		Concurrency: 8,
	}
}

func (p RefundPolicy) withDefaults() RefundPolicy {
	set := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	set(&p.CallTimeout, 30*time.Second)
	set(&p.FirstInquiry, 2*time.Second)
	set(&p.MaxInquiryGap, 30*time.Minute)
	set(&p.ResendGap, time.Minute)
	if p.Concurrency <= 0 {
		p.Concurrency = 8
	}
	return p
}

// RefundSeen is what is remembered of a refund beside the log. It only saves questions: lost, the gateway is asked again.
type RefundSeen struct {
	Last     RefundState `json:"last,omitempty"`      // RefundPending, RefundUnknown, or "" when nothing is known
	At       time.Time   `json:"at,omitzero"`         // when the gateway was last called
	Asked    int         `json:"asked,omitempty"`     // inquiries in a row
	Resends  int         `json:"resends,omitempty"`   // because the gateway did not know it
	RefundID string      `json:"refund_id,omitempty"` // the gateway's own
}

// NextRefundStep decides what to do about a refund: the diagram of the package's documentation, as a pure function of the refund (from the
// log), of what the job remembers, and of the time.
func NextRefundStep(r wallet.Refund, seen RefundSeen, now time.Time, policy RefundPolicy) Step {
	switch {
	case r.Status != wallet.RefundPending:
		return Step{Act: Done}
	case r.Attempts == 0:
		return Step{Act: Submit, Attempt: 1}
	}
	last := past(seen.At, now) // one from the future says that the clock was set back: how long ago it is, nobody knows
	if seen.Last == RefundUnknown {
		if due := last.Add(doubled(policy.ResendGap, seen.Resends, max(policy.ResendGap, policy.MaxInquiryGap))); now.Before(due) {
			return Step{Act: Wait, At: due}
		}
		return Step{Act: Submit, Attempt: r.Attempts + 1}
	}
	if due := last.Add(doubled(policy.FirstInquiry, seen.Asked, max(policy.FirstInquiry, policy.MaxInquiryGap))); now.Before(due) {
		return Step{Act: Wait, At: due}
	}
	return Step{Act: Inquire}
}
