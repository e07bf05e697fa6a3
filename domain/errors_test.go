package domain

import (
	"errors"
	"fmt"
	"testing"
)

func TestCodeOf(t *testing.T) {
	refusal := InvalidField("amount", "is nothing")
	for _, c := range []struct {
		err  error
		want Code
	}{
		{refusal, Invalid},
		{fmt.Errorf("payout 7: %w", refusal), Invalid},
		{errors.Join(errors.New("a"), Errorf(Stale, "b")), Stale},
		{errors.New("a fault"), ""},
		{nil, ""},
	} {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("CodeOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
	if refusal.Error() != "amount: is nothing" || refusal.Details["amount"] != "is nothing" {
		t.Errorf("refusal %v, details %v", refusal, refusal.Details)
	}
	if e := Errorf(NotFound, "no payment %d", 7); e.Error() != "no payment 7" || e.Details != nil {
		t.Errorf("refusal %v, details %v", e, e.Details)
	}
}
