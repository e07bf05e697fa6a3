package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/route"
)

func usable(config string, priority int) route.Candidate {
	return route.Candidate{Config: config, Gateway: "g", Priority: priority, Enabled: true, Verified: true, Currency: true, Method: true}
}

func with(c route.Candidate, change func(*route.Candidate)) route.Candidate {
	change(&c)
	return c
}

func TestChoose(t *testing.T) {
	failing := func(c *route.Candidate) { c.Failing = true }
	refused := func(c *route.Candidate) { c.Refused = true }
	open := func(c *route.Candidate) { c.Open = true }
	disabled := func(c *route.Candidate) { c.Enabled = false }
	for _, c := range []struct {
		name string
		in   []route.Candidate
		want string // config:verdict, in order
	}{
		{"none", nil, ""},
		{"by priority", []route.Candidate{usable("b", 2), usable("a", 1)}, "a:chosen b:behind"},
		{"equal ones by id", []route.Candidate{usable("b", 1), usable("a", 1)}, "a:chosen b:behind"},
		{
			"what cannot be used", []route.Candidate{
				with(usable("a", 1), disabled), with(usable("b", 2), func(c *route.Candidate) { c.Verified = false }),
				with(usable("c", 3), func(c *route.Candidate) { c.Currency = false }), with(usable("d", 4), func(c *route.Candidate) { c.Method = false }),
				with(usable("e", 5), refused), usable("f", 6),
			}, "a:disabled b:not_verified c:other_currency d:other_method e:refused f:chosen",
		},
		{"nothing usable", []route.Candidate{with(usable("a", 1), refused)}, "a:refused"},
		{"failing is passed over", []route.Candidate{with(usable("a", 1), failing), usable("b", 2), usable("c", 3)}, "a:passed_over b:chosen c:behind"},
		{
			"the first that fails, when nothing else is left", []route.Candidate{with(usable("a", 1), failing), with(usable("b", 2), failing), with(usable("c", 3), disabled)},
			"a:last_resort b:passed_over c:disabled",
		},
		{"an open one is asked again", []route.Candidate{usable("a", 1), with(usable("b", 2), open), usable("c", 3)}, "a:waits b:chosen c:waits"},
		{"an open one, though it fails", []route.Candidate{usable("a", 1), with(with(usable("b", 2), open), failing)}, "a:waits b:chosen"},
		{"an open one that cannot be used any more", []route.Candidate{usable("a", 1), with(with(usable("b", 2), open), disabled)}, "a:chosen b:disabled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.in)
			out, chosen := route.Choose(c.in)
			var got []string
			for i, k := range out {
				got = append(got, k.Config+":"+string(k.Verdict))
				if is := k.Verdict == route.Chosen || k.Verdict == route.LastResort; is != (i == chosen) {
					t.Errorf("%s is %s, and the choice is number %d", k.Config, k.Verdict, chosen)
				}
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s, want %s", s, c.want)
			}
			if !slices.Equal(before, c.in) {
				t.Error("what was given has changed")
			}
		})
	}
}

// TestChooseProperties holds what is true of every choice: it is one that can be used; it is made whenever there is one; it does not depend on the
// order of the candidates; and it comes out again when it is made anew of what the log has.
func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 6).Draw(t, "n")
		flag := func(name string) bool { return rapid.IntRange(0, 3).Draw(t, name) > 0 }
		in := make([]route.Candidate, n)
		opens := rapid.IntRange(0, 8).Draw(t, "open") // a payment has one open attempt at most
		for i := range in {
			in[i] = route.Candidate{
				Config: fmt.Sprintf("gc_%d", i), Gateway: "g", Priority: rapid.IntRange(1, 3).Draw(t, "priority"),
				Enabled: flag("enabled"), Verified: flag("verified"), Currency: flag("currency"), Method: flag("method"),
				Failing: !flag("healthy"), Refused: !flag("accepted"), Open: i == opens,
			}
		}
		can := func(c route.Candidate) bool { return c.Enabled && c.Verified && c.Currency && c.Method && !c.Refused }
		out, chosen := route.Choose(in)
		if (chosen >= 0) != slices.ContainsFunc(in, can) {
			t.Fatalf("chosen %d of %+v", chosen, in)
		}
		if chosen >= 0 {
			best := out[chosen]
			for _, o := range in {
				switch {
				case !can(best):
					t.Fatalf("%+v cannot be used", best)
				case o.Open && can(o) && !best.Open:
					t.Fatalf("%+v may have made the order, and %+v was chosen", o, best)
				case !best.Open && can(o) && best.Failing && !o.Failing:
					t.Fatalf("%+v fails, and %+v does not", best, o)
				case !best.Open && can(o) && best.Failing == o.Failing && o.Priority < best.Priority:
					t.Fatalf("%+v goes before %+v", o, best)
				}
			}
		}
		again, second := route.Choose(out)
		if second != chosen || !slices.Equal(again, out) {
			t.Fatalf("made anew, the choice is %d: %+v", second, again)
		}
		shuffled, third := route.Choose(rapid.Permutation(in).Draw(t, "order"))
		if third != chosen || !slices.Equal(shuffled, out) {
			t.Fatalf("in another order, the choice is %d: %+v", third, shuffled)
		}
	})
}
