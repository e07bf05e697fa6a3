package gateway

import (
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// Act is what to do next about a payout.
type Act string

// The acts.
const (
	Done    Act = "done"    // nothing, ever
	Submit  Act = "submit"  // record the intent to send Step.Attempt, then send
	Inquire Act = "inquire" // ask the gateway that it was sent to
	GiveUp  Act = "give_up" // report it as not paid: the bank has no trace of it
	Wait    Act = "wait"    // nothing before Step.At
)

// Step is what NextStep decided.
type Step struct {
	Act     Act
	Attempt int       // of Submit
	At      time.Time // of Wait
}

// Seen is what a dispatcher remembers of a payout beside the log. It only saves questions: lost, the bank is asked again,
// and a quiet window starts again.
type Seen struct {
	Attempt int       `json:"attempt"`                // which send the rest is about
	Last    State     `json:"last,omitempty"`         // Pending, NotFound, or "" when nothing is known
	At      time.Time `json:"at,omitzero"`            // when the bank was last asked for something, or answered
	Asked   int       `json:"asked,omitempty"`        // inquiries since the send
	Missing time.Time `json:"missing_since,omitzero"` // first of the answers NotFound in a row
	Denied  time.Time `json:"missing_at,omitzero"`    // last of them
}

// inquired is what is remembered after an inquiry; state is "" when it had no answer.
func (s Seen) inquired(state State, at time.Time) Seen {
	s.At = at
	s.Asked++
	switch state {
	case NotFound:
		if s.Last != NotFound || s.Missing.IsZero() || s.Missing.After(at) {
			s.Missing = at
		}
		s.Last, s.Denied = NotFound, at
	case "":
		// An inquiry without an answer neither shows a trace nor takes away what was seen before.
	default:
		s.Last, s.Missing, s.Denied = state, time.Time{}, time.Time{}
	}
	return s
}

// NextStep decides what to do about a payout. It is pure: the payment comes from the log, seen from the job, now from the
// clock.
func NextStep(p wallet.Payment, seen Seen, now time.Time, policy Policy) Step {
	if p.Kind != wallet.KindPayout || p.Status != wallet.Pending {
		return Step{Act: Done}
	}
	if p.Attempts == 0 {
		return Step{Act: Submit, Attempt: 1}
	}
	if seen.Attempt != p.Attempts {
		seen = Seen{Attempt: p.Attempts} // what was seen is about an earlier send
	}
	// A time from the future says that the clock was set back since: how long ago it is, nobody knows.
	sent := past(p.SubmittedAt, now)
	due := later(sent, past(seen.At, now)).Add(policy.gap(seen.Asked))
	if seen.Last == NotFound && !seen.Missing.After(now) {
		missing := later(sent, seen.Missing)
		if p.Attempts < policy.MaxSends {
			again := sent.Add(policy.ResendGap)
			if sent.IsZero() {
				again = missing.Add(policy.ResendGap)
			}
			if now.Before(again) {
				return wait(again, now, policy)
			}
			return Step{Act: Submit, Attempt: p.Attempts + 1}
		}
		end := missing.Add(policy.QuietWindow)
		if !seen.Denied.Before(end) && !seen.Denied.After(now) {
			return Step{Act: GiveUp}
		}
		if seen.At.Before(end) && end.Before(due) {
			due = end // later, an inquiry without an answer is followed by the next after the usual gap
		}
	}
	if now.Before(due) {
		return wait(due, now, policy)
	}
	return Step{Act: Inquire}
}

// past is t, or the zero time where t lies in the future.
func past(t, now time.Time) time.Time {
	if t.After(now) {
		return time.Time{}
	}
	return t
}

// wait is bounded, so that a clock that is set back meanwhile does not put a payout off for long.
func wait(at, now time.Time, policy Policy) Step {
	if limit := now.Add(max(policy.MaxInquiryGap, policy.ResendGap)); at.After(limit) {
		at = limit
	}
	return Step{Act: Wait, At: at}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
