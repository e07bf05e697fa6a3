package domain

import "testing"

func TestSamePerson(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"asha", "asha", true}, {"asha", " Asha ", true}, {"asha k", "asha\u00a0 K", true}, {"asha", "as\u200bha", true}, {"\u202easha", "asha", true},
		{"asha", "ravi", false}, {"asha k", "ashak", false}, {"operator:opr_1", "operator:opr_2", false},
	} {
		if got := SamePerson(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %t", c.a, c.b, got)
		}
	}
}
