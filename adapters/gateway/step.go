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
}

// inquired is what is remembered after an inquiry; state is "" when it had no answer.
func (s Seen) inquired(state State, at time.Time) Seen {
	s.At = at
	s.Asked++
	switch state {
	case NotFound:
		if s.Last != NotFound || s.Missing.IsZero() {
			s.Missing = at
		}
		s.Last = NotFound
	case "":
		// An inquiry without an answer neither shows a trace nor takes away what was seen before.
	default:
		s.Last, s.Missing = state, time.Time{}
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
	due := later(p.SubmittedAt, seen.At).Add(policy.gap(seen.Asked))
	if seen.Last == NotFound {
		if p.Attempts < policy.MaxSends {
			again := p.SubmittedAt.Add(policy.ResendGap)
			if now.Before(again) {
				return wait(again, now, policy)
			}
			return Step{Act: Submit, Attempt: p.Attempts + 1}
		}
		end := later(p.SubmittedAt, seen.Missing).Add(policy.QuietWindow)
		if !seen.At.Before(end) {
			return Step{Act: GiveUp}
		}
		if end.Before(due) {
			due = end
		}
	}
	if now.Before(due) {
		return wait(due, now, policy)
	}
	return Step{Act: Inquire}
}

// wait is bounded, so that a clock that was set back does not put a payout off for long.
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
