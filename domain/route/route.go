// Package route chooses the gateway that a customer's payment goes through. The choice is a function of what was known of each candidate
// alone, and both are kept in the log: so that it can be made again, and asked why.
package route

import "slices"

// Candidate is one gateway configuration of an app, as it stood when a payment was routed.
type Candidate struct {
	Config   string `json:"config"` // gc_...
	Gateway  string `json:"gateway"`
	Priority int    `json:"priority"` // 1 goes first
	Enabled  bool   `json:"enabled"`
	Verified bool   `json:"verified"`          // its set-up is complete, or the payment is the one that completes it
	Currency bool   `json:"currency"`          // it takes the payment's currency
	Method   bool   `json:"method"`            // it offers the payment's method
	Failing  bool   `json:"failing,omitempty"` // it has kept failing lately
	// Refused and Open are about this very payment: the gateway has definitely refused it, or it is not known whether it has made its
	// order. The decision sets them from the payment's own history.
	Refused bool    `json:"refused,omitempty"`
	Open    bool    `json:"open,omitempty"`
	Verdict Verdict `json:"verdict"`
}

// Verdict says why a candidate was chosen, or not.
type Verdict string

// The verdicts.
const (
	Chosen      Verdict = "chosen"
	LastResort  Verdict = "last_resort" // chosen though it keeps failing: nothing else is left
	Disabled    Verdict = "disabled"
	Unverified  Verdict = "not_verified"
	NotCurrency Verdict = "other_currency"
	NotMethod   Verdict = "other_method"
	Refused     Verdict = "refused"     // this payment, definitely
	PassedOver  Verdict = "passed_over" // it keeps failing
	Behind      Verdict = "behind"      // usable; another one goes first
	Waits       Verdict = "waits"       // usable; but another one may have made the order already, and is asked again
)

// MaxCandidates bounds the gateways of an app.
const MaxCandidates = 50

// Choose picks the first usable candidate by priority, and gives each its verdict. A gateway that may have made the order already goes
// before all others. One that keeps failing is passed over, unless nothing else is left. The index is -1 when none is usable.
// It changes nothing that it is given; the candidates come back by priority, equal ones by their ids.
func Choose(candidates []Candidate) ([]Candidate, int) {
	out := slices.Clone(candidates)
	slices.SortStableFunc(out, func(a, b Candidate) int {
		switch {
		case a.Priority != b.Priority:
			return a.Priority - b.Priority
		case a.Config < b.Config:
			return -1
		case a.Config > b.Config:
			return 1
		}
		return 0
	})
	chosen, failing, open := -1, -1, false
	for i := range out {
		c := &out[i]
		c.Verdict = c.unusable()
		switch {
		case c.Verdict != "":
		case c.Open && !open:
			chosen, open = i, true
		case open:
		case c.Failing && failing < 0:
			failing = i
		case !c.Failing && chosen < 0:
			chosen = i
		}
	}
	if chosen < 0 {
		chosen = failing
	}
	for i := range out {
		if c := &out[i]; c.Verdict == "" {
			c.Verdict = c.rank(i == chosen, open, chosen == failing)
		}
	}
	return out, chosen
}

// unusable is the verdict on a candidate that cannot be chosen; "" on one that can.
func (c *Candidate) unusable() Verdict {
	switch {
	case !c.Enabled:
		return Disabled
	case !c.Verified:
		return Unverified
	case !c.Currency:
		return NotCurrency
	case !c.Method:
		return NotMethod
	case c.Refused:
		return Refused
	}
	return ""
}

// rank is the verdict on a candidate that can be chosen.
func (c *Candidate) rank(chosen, open, lastResort bool) Verdict {
	switch {
	case chosen && lastResort && !open:
		return LastResort
	case chosen:
		return Chosen
	case open:
		return Waits
	case c.Failing:
		return PassedOver
	}
	return Behind
}
