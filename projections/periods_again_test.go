package projections

import (
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain/books"
)

// A close whose reopening was asked for in vain, since the next period was closed then, can be asked for again when it is the last one anew.
func TestReopeningIsAskedForTwice(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newGeneralBook(t, 2)
		first := b.now
		b.now = first.Add(2 * time.Second)
		decide := func(c books.Command) {
			t.Helper()
			if err := b.decide(c); err != nil {
				t.Fatal(err)
			}
		}
		end := func(to time.Time) {
			t.Helper()
			if err := b.close(to, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		end(first)
		name := b.general.Closes[0].Name
		decide(books.RequestReopen{Name: name, Reason: "a bill was missing", Actor: "operator:kiran", At: b.now})
		end(first.Add(time.Second))
		v := b.views(at.open(), at.dialect, quick)
		all, err := v.Periods(t.Context())
		if err != nil || len(all) != 2 || all[0].Request != nil {
			t.Errorf("the next close has dropped what was asked for: %+v (%v)", all, err)
		}
		b.reopen() // the second
		decide(books.RequestReopen{Name: name, Reason: "another bill was missing", Actor: "operator:asha", At: b.now})
		if all, err = v.Periods(t.Context()); err != nil || all[0].Request == nil || all[0].Request.Actor != "operator:asha" {
			t.Fatalf("%+v (%v)", all, err)
		}
		decide(books.ApproveReopen{Name: name, Actor: "operator:ravi", At: b.now})
		b.equalPeriods(v)
		if all, err = v.Periods(t.Context()); err != nil || all[0].Request.Reason != "another bill was missing" {
			t.Fatalf("%+v (%v)", all[0].Request, err)
		}
	})
}
