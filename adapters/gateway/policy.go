package gateway

import (
	"fmt"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// Policy says how patiently a gateway's payouts are dispatched.
type Policy struct {
	SendTimeout    time.Duration // of one Send
	InquiryTimeout time.Duration // of one Inquire
	// FirstInquiry is how long after a send, or an answer "pending", the first inquiry comes; each further one waits
	// twice as long, up to MaxInquiryGap.
	FirstInquiry  time.Duration
	MaxInquiryGap time.Duration
	ResendGap     time.Duration // least time between two sends of a payout that the bank does not know
	MaxSends      int           // sends of one payout, at most wallet.MaxAttempts
	// QuietWindow is how long after the last send, and since the last trace of it, the bank must not know a payout before
	// it is given up.
	QuietWindow time.Duration
	Concurrency int // calls at a time for payouts by themselves; half as many more for those of batches
}

// DefaultPolicy is for real banks.
func DefaultPolicy() Policy {
	return Policy{
		SendTimeout: 30 * time.Second, InquiryTimeout: 15 * time.Second,
		FirstInquiry: 5 * time.Second, MaxInquiryGap: 15 * time.Minute,
		ResendGap: time.Minute, MaxSends: 5, QuietWindow: 30 * time.Minute,
		Concurrency: 32,
	}
}

// SandboxPolicy is short: whatever the sandbox bank does, the payout has ended (or is known to stay pending) within ten
// seconds.
func SandboxPolicy() Policy {
	return Policy{
		SendTimeout: 2 * time.Second, InquiryTimeout: 2 * time.Second,
		FirstInquiry: 200 * time.Millisecond, MaxInquiryGap: 2 * time.Second,
		ResendGap: 400 * time.Millisecond, MaxSends: 4, QuietWindow: 3 * time.Second,
		Concurrency: 16,
	}
}

// Check refuses a policy that could strand a payout, or give up one that is still on its way to the bank.
func (p Policy) Check() error {
	switch {
	case p.SendTimeout <= 0 || p.InquiryTimeout <= 0 || p.FirstInquiry <= 0 || p.ResendGap <= 0:
		return fmt.Errorf("gateway policy: timeouts and gaps must be positive: %+v", p)
	case p.MaxInquiryGap < p.FirstInquiry:
		return fmt.Errorf("gateway policy: the largest gap of inquiries (%s) is below the first (%s)", p.MaxInquiryGap, p.FirstInquiry)
	case p.MaxSends < 1 || p.MaxSends > wallet.MaxAttempts:
		return fmt.Errorf("gateway policy: %d sends (1 to %d)", p.MaxSends, wallet.MaxAttempts)
	case p.QuietWindow <= p.SendTimeout:
		return fmt.Errorf("gateway policy: the quiet window (%s) must be longer than a send may take (%s)", p.QuietWindow, p.SendTimeout)
	case p.Concurrency < 1:
		return fmt.Errorf("gateway policy: concurrency %d", p.Concurrency)
	}
	return nil
}

// gap is the wait before the next inquiry, after so many of them.
func (p Policy) gap(asked int) time.Duration { return doubled(p.FirstInquiry, asked, p.MaxInquiryGap) }

// doubled is first, doubled n times, at most limit.
func doubled(first time.Duration, n int, limit time.Duration) time.Duration {
	d := first
	for range n {
		if d >= limit {
			break
		}
		d *= 2
	}
	return min(d, limit)
}

// batchConcurrency is the number of calls at a time for payouts of batches.
func (p Policy) batchConcurrency() int { return max(1, p.Concurrency/2) }
